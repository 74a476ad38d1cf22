/*
 * Internal to certs: shared by reading and editing a roster.
 */
#pragma once

#include "certs/codec/json.h"
#include "certs/trust/roster.h"

/* 1..NAME_MAX_LEN bytes of UTF-8 without control characters. */
bool roster_name_valid(const char *name);
/* [a-z0-9-]{1,31} */
bool roster_role_valid(const char *role);
void roster_member_clear(struct roster_member *member);
/* The lists of a roster's members. */
enum roster_list { ROSTER_CONNECTORS = 0, ROSTER_SERVICES, ROSTER_PEOPLE, ROSTER_LISTS };
/* One of them, and where its length is. */
struct roster_member **roster_members(struct roster *roster, enum roster_list list, size_t **ret_n);

/* roster-domain.c */
/* Every form and count of the list; no name, suffix, NetBIOS name or SID twice, one default at most. -EINVAL
 * malformed, -EEXIST twice, -ENOMEM. */
int roster_domains_check(const struct roster_domain *domains, size_t n, struct error *err);
/* The payload's list; -EBADMSG, -ENOMEM. */
int roster_domains_read(struct roster *roster, struct json_reader *payload, struct error *err);
/* A connector's own, which must be in the roster's, each once. */
void roster_member_domains_read(struct roster_member *member, const struct roster *roster, struct json_reader *object);
/* The member "domains". */
void roster_domains_write(struct json_writer *w, const struct roster_domain *domains, size_t n);
/* A copy of n names; lower: ASCII letters become small. */
int roster_names_copy(char ***to, size_t *ret_n, char *const *names, size_t n, bool lower);
void roster_names_free(char **names, size_t n);
/* A realm, suffix or NetBIOS name: 1..max bytes of UTF-8 without what separates or quotes names. NULL: false. */
bool roster_word_valid(const char *word, size_t max);
/* A list of at most max strings of at most len bytes; words: each of the form above, otherwise their forms are
 * roster_domains_check's. The caller frees what there is, after a failure too. */
void roster_names_read(struct json_reader *r, const char *member, size_t max, size_t len, bool words, char ***ret_names,
                       size_t *ret_n);
