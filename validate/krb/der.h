/*
 * A small strict look at Kerberos messages (RFC 4120 DER): what kind they are and which padata they carry.
 *
 * Everything is bounded by the input; indefinite, over-long and non-minimal lengths are malformed. Results
 * point into the input. libkrb5 does the real decoding; this decides only what is sent, once, and what may
 * cost us time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KRB_PADATA_MAX 32
#define KRB_ETYPES_MAX 16

enum krb_message { KRB_MESSAGE_BAD = 0, KRB_MESSAGE_AS_REP, KRB_MESSAGE_ERROR };

enum {
        KRB_PA_ENC_TIMESTAMP = 2,
        KRB_PA_ETYPE_INFO2 = 19,
};

/* Codes of KRB-ERROR that the flow itself acts on. */
enum {
        KRB_ERROR_PREAUTH_REQUIRED = 25,
        KRB_ERROR_WRONG_REALM = 68,
};

struct krb_padata {
        int32_t type;
        const uint8_t *bytes;
        size_t n;
};

struct krb_padata_list {
        size_t n;
        struct krb_padata items[KRB_PADATA_MAX];
};

struct krb_etype_entry {
        int32_t etype;
        const uint8_t *salt; /* NULL where absent, which means the default salt */
        size_t salt_len;
        const uint8_t *params; /* s2kparams; NULL where absent */
        size_t params_len;
};

struct krb_etype_info {
        size_t n;
        struct krb_etype_entry entries[KRB_ETYPES_MAX];
};

/* What a whole reply is by its tag, version and message type; its length must be exactly n. */
enum krb_message krb_message_kind(const uint8_t *bytes, size_t n);
/* METHOD-DATA, as in the e-data of KRB-ERROR 25. 0 or -EBADMSG (also when there are over KRB_PADATA_MAX). */
int krb_padata_parse(struct krb_padata_list *ret, const uint8_t *bytes, size_t n);
/* The padata of an AS-REP or AS-REQ; an empty list where there is none. 0 or -EBADMSG. */
int krb_as_rep_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n);
int krb_as_req_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n);
/* NULL where the type is absent. */
const struct krb_padata *krb_padata_find(const struct krb_padata_list *list, int32_t type);
/*
 * Whether an AS-REQ proves knowledge of a key: it holds padata that is not known to be mere information. An
 * unknown type counts as a proof, so the mistake is on the side of sending less. 0 or -EBADMSG.
 */
int krb_as_req_has_preauth(bool *ret, const uint8_t *bytes, size_t n);
/* ETYPE-INFO2. 0 or -EBADMSG (also when empty or over KRB_ETYPES_MAX). */
int krb_etype_info2_parse(struct krb_etype_info *ret, const uint8_t *bytes, size_t n);
