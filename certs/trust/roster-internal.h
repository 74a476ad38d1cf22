/*
 * Internal to certs: shared by reading and editing a roster.
 */
#pragma once

#include "certs/trust/roster.h"

/* 1..NAME_MAX_LEN bytes of UTF-8 without control characters. */
bool roster_name_valid(const char *name);
/* [a-z0-9-]{1,31} */
bool roster_role_valid(const char *role);
void roster_member_clear(struct roster_member *member);

/* roster-domain.c */
/* Every form and count of the list; no name, suffix, NetBIOS name or SID twice, one default at most. -EINVAL
 * malformed, -EEXIST twice, -ENOMEM. */
int roster_domains_check(const struct roster_domain *domains, size_t n, struct error *err);
/* The payload's lists; -EBADMSG. The connector's domains must be in the roster's, each once. */
int roster_domains_parse(struct roster *roster, const json_t *payload, struct error *err);
int roster_member_domains_parse(struct roster_member *member, const struct roster *roster, const json_t *object,
                                const char *what, struct error *err);
/* NULL: no memory. */
json_t *roster_domains_json(const struct roster *roster);
json_t *roster_names_json(char *const *names, size_t n);
/* A copy of n names; lower: ASCII letters become small. */
int roster_names_copy(char ***to, size_t *ret_n, char *const *names, size_t n, bool lower);
void roster_names_free(char **names, size_t n);
