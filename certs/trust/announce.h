/*
 * An identity's announcement: a connector that wants to be approved proves that it holds its identity key, and
 * says which domains it serves and which rosters it reads (PROTOCOL.md "PUT /v1/link/identity").
 *
 * The domains are what its configuration says. They count for nothing until the tenant's admin has put them
 * into the roster.
 */
#pragma once

#include "certs/trust/roster.h"

#define ANNOUNCE_TEXT_MAX 4000
#define ANNOUNCE_LIFE_MAX 300
#define ANNOUNCE_ANY_TIME INT64_MIN /* as now: the times are not checked */

struct announcement {
        char *tenant, *id;
        int64_t iat, exp;
        unsigned roster_form; /* the newest form of rosters that the connector reads */
        size_t n_domains;
        struct roster_domain *domains; /* is_default: the one of its bare names */
};

/* Signs tenant, id and domains for life seconds. Domains that do not fit ANNOUNCE_TEXT_MAX are left out, all of
 * them: the admin then names them. -ENOMEM or -EINVAL with err. */
int announcement_sign(const struct announcement *a, const struct key *identity, int64_t now, int64_t life,
                      struct buffer *text, struct error *err);
/* Parses, and verifies with the announced key. -EBADMSG malformed, -EKEYREJECTED signature, -ETIME not current.
 * Whom it is of, the caller compares. */
int announcement_verify(struct announcement **ret_a, const char *text, size_t n, const struct key *key, int64_t now,
                        struct error *err);
struct announcement *announcement_free(struct announcement *a);
DEFINE_FREEP(struct announcement, announcement_free)
