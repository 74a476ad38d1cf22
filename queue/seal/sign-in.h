/*
 * One request of a sign-in and its verdict: choosing connectors, sealing, opening, verifying. No network and no clock.
 *
 * The account is keyed by tenant, the verdict's user_domain and its user_id, never by the name as typed.
 */
#pragma once

#include "base/core/secret.h"
#include "queue/seal/directory.h"
#include "queue/wire/wire.h"

#define SIGN_IN_TO_MAX 4

/* One request under way: what is needed to check its verdict. It holds rk: wipe it (sign_in_clear does). */
struct sign_in {
        char id[ID_MAX + 1]; /* jti */
        char req[KID_LEN + 1];
        uint8_t rk[32];
        char service_id[ID_MAX + 1], tenant[65];
        /* the roster's domain that the name belongs to: its name, its SID ("": none), and the SIDs of the others */
        char domain[256], domain_sid[ROSTER_SID_MAX + 1];
        size_t n_other_sids;
        char other_sids[ROSTER_DOMAINS_MAX][ROSTER_SID_MAX + 1];
        size_t n_to;
        struct sign_in_to {
                char id[ID_MAX + 1];
                char sealed_to[KID_LEN + 1]; /* kid of the encryption key */
                struct key *identity;
                size_t n_sign;
                struct statement_key sign[STATEMENT_SIGN_MAX]; /* that may sign in its place */
        } to[REQUEST_TO_MAX];
        size_t padded;      /* the request's class; its verdict has the same */
        bool nobody;        /* the name is of no domain: the one it is sealed to says so, and got no password */
        struct buffer body; /* the sealed text to POST */
};
struct sign_in_params {
        const char *service_id;
        struct key *service_key;
        const char *username;
        size_t username_len;
        const struct secret *password;     /* NULL: sent as the empty password, which the connector refuses */
        bool change_password;              /* the operation is to set new_password */
        const struct secret *new_password; /* NULL: sent as the empty one, which the connector refuses */
        const char *client_ip, *client_agent, *client_app; /* or NULL */
        const char *traceparent; /* W3C Trace Context, sent in clear for relay and connector to continue; NULL: none */
        /* Identities (kid) that are not to be used: those that believed a canary's random password. */
        const char *const *distrusted;
        size_t n_distrusted;
        const char
                *only_connector; /* id or name: seal to this one alone (a helpdesk's tool); NULL: up to 4 ready ones */
        bool disguised; /* and `to` names those that a sign-in would go to, so that it cannot tell: for client_probe */
        /* Encryption keys (kid) that an earlier attempt of the same sign-in was sealed to: others come first. */
        const char *const *tried;
        size_t n_tried;
        const char *id; /* the request's jti; NULL: one is drawn */
        int64_t now;
};
/* Picks at most SIGN_IN_TO_MAX connectors that the roster lets speak for the name's domain (the default one for a bare
 * name) and that announce the name, ready ones first, at random among them; seals to their newest keys. A name of no
 * domain is sealed without a password to one that then answers unknown_domain. -ENOENT: no connector has live keys, or
 * none of the name's domain; -EMSGSIZE; -EINVAL. */
int sign_in_make(struct sign_in *ret_s, const struct directory *d, const struct sign_in_params *p, struct error *err);
/* The id of a sign-in's second attempt: the first one's with "-2" behind, so that the two are found together. -EINVAL:
 * too long. */
int sign_in_retry_id(char out[ID_MAX + 1], const char *first);
/* Whether sign_in_make would seal to a key that was not tried, of a connector that the relay calls ready. */
bool sign_in_names_another(const struct directory *d, const struct sign_in_params *p);
/* Opens and checks a verdict as PROTOCOL.md demands; any failure is -EBADMSG/-EKEYREJECTED and means unavailable. */
int sign_in_check(const struct sign_in *s, const char *jwe, size_t n, int64_t now, struct verdict_claims *ret_v,
                  struct error *err);
void sign_in_clear(struct sign_in *s);

/* What became of one sign-in: a verdict, or the relay's problem answer. */
struct sign_in_result {
        char id[ID_MAX + 1]; /* drawn before anything can fail; of the last request that was made, where one was */
        bool has_verdict;
        struct verdict_claims verdict;
        char connector[ID_MAX + 1], connector_name[65];
        long status;      /* HTTP, of the last answer; 0: none came */
        char problem[64]; /* "no-connector", "connector-lost" ...; "transport" where nothing was sent, "connection-lost"
                             where no answer came; "" with a verdict */
        char started[8], retry[16]; /* as in the problem */
        char detail[256];
        char reasons[256]; /* of the problem: what the connectors said that had not taken it, a line each, as many as
                              fit */
        uint32_t ms;
};
