/*
 * Names as people type them, taken apart once; only these forms reach a DC.
 */
#pragma once

#include "validate/types/domain.h"

enum name_form { NAME_UPN = 1, NAME_NETBIOS };

struct name {
        enum name_form form;
        char user[USERNAME_MAX + 1];   /* left of the last @, or right of the backslash, or the bare name */
        char suffix[USERNAME_MAX + 1]; /* right of the @ as typed, or the domain's name for a bare name */
        size_t domain;                 /* index into the config */
        bool alternate;                /* user@suffix is the value of the domain's alternate_id */
};

/*
 * Takes n bytes as typed. REASON_OK and *ret_name filled, REASON_UNKNOWN_DOMAIN and it is filled, but for the domain,
 * else REASON_BAD_NAME_FORM. Blanks, invisible characters and a dot around it are cut off, the rest is composed (NFC).
 * Suffixes and NetBIOS names compare without case. Refused: what typed_flaw finds, over USERNAME_MAX bytes, empty
 * parts, more than one backslash, a DN, SID or SPN form, and the characters AD forbids in names where they would change
 * the form.
 */
enum reason name_parse(struct name *ret_name, const struct validate_config *config, const char *bytes, size_t n);
/* Of a name like user@domain whose domain is none of ours: the configured domain or suffix that differs from it by two
 * letters at most, borrowed of config; NULL: there is none. */
const char *name_domain_meant(const struct name *name, const struct validate_config *config);
#define NAME_FAULT_MAX 160
/* For a name that name_parse found of bad form: what is wrong with it, for the helpdesk. Of what was typed it tells
 * only blanks and what cannot be seen, since people type passwords into the name's field. */
void name_fault(const struct validate_config *config, const char *bytes, size_t n, char out[NAME_FAULT_MAX]);
/* The text for an LDAP bind: user@suffix or NETBIOS\user. cap 2 * USERNAME_MAX + 2. */
void name_bind_text(const struct name *name, const struct domain_config *domain, char *out, size_t cap);
/* Whether two names are the same but for case, by Unicode's simple folding: É is é, and e is neither. */
bool name_same(const char *a, const char *b);
/* Writes name in lower case, without width, ligatures, accents and what cannot be seen (NFKD without marks), as AD
 * compares names or coarser, to out (cap bytes with the NUL, cut where it does not fit); returns its length. For keys,
 * not for showing. */
size_t name_fold(char *out, size_t cap, const char *name);
/* Turns a name into NETBIOS\\sam, or sam@domain where the domain has no NetBIOS name: the account that an
 * alternate id belongs to. -EINVAL where sam holds what no sAMAccountName can. */
int name_set_sam(struct name *name, const struct domain_config *domain, const char *sam);
