/*
 * What a sign-in service uses: takes roster and statements, chooses connectors, seals, sends, opens, verifies.
 *
 * Two levels: the pure steps (directory, request_make, verdict_check), for services with an own event loop; and
 * client_sign_in, which drives them over https.h, blocking. The account is keyed by tenant, the verdict's user_domain
 * and its user_id, never by the name as typed.
 */
#pragma once

#include "certs/http/https.h"
#include "certs/trust/roster.h"
#include "certs/trust/statement.h"
#include "base/core/secret.h"
#include "queue/wire/wire.h"

/* A verified answer of GET /keys. */
struct directory {
        struct roster *roster;
        size_t n;
        struct directory_entry {
                const struct roster_member *connector; /* in roster */
                struct statement *statement;
                int rank; /* place in the relay's ready list, -1 where it is not ready */
                size_t n_ready;
                char **ready; /* realms that the relay calls ready there; owned */
        } * entries;
};
/*
 * Verifies the JSON answer: roster against pin, tenant, now and min_seq; each statement against its roster member. A
 * statement that does not verify, or whose key is not in the roster, is left out (count in *ret_refused), never an
 * error; of two statements by one identity the newer counts. The relay's ready list only orders what verified. -EBADMSG
 * or roster_verify's codes.
 */
#define DIRECTORY_MAX (4 * 1024 * 1024)
int directory_open(struct directory **ret_d, const char *json, size_t n, const char *pin, const char *tenant,
                   int64_t now, uint64_t min_seq, size_t *ret_refused, struct error *err);
/*
 * The same with a roster from a second source beside the relay's (text, n_text; NULL: none): the newer one counts, so
 * that a relay that withholds a removal changes nothing. One that does not verify is an error, -EBADMSG, and so are two
 * texts of one number, -EBADE; one that has expired still is the floor of seq.
 */
int directory_open_with(struct directory **ret_d, const char *json, size_t n, const char *text, size_t n_text,
                        const char *pin, const char *tenant, int64_t now, uint64_t min_seq, size_t *ret_refused,
                        struct error *err);
struct directory *directory_free(struct directory *d);
DEFINE_FREEP(struct directory, directory_free)

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

struct client_config {
        const char *relay; /* https://host:port */
        const char *tenant, *pin;
        const char *bearer;  /* service secret */
        const char *ca_file; /* or NULL */
        const char *service_id;
        struct key *service_key;
        uint32_t budget_ms;            /* 0: BUDGET_DEFAULT */
        uint64_t min_seq;              /* the highest roster sequence number seen so far */
        const char *roster_hash;       /* client_roster_hash of then, or NULL: another text of that number is refused */
        const char *roster_source;     /* a file, or an https URL: a second source of the roster; or NULL */
        const char *const *distrusted; /* identities (kid) that a probe found out before; copied */
        size_t n_distrusted;
};
struct client;
int client_new(struct client **ret_c, const struct client_config *config, struct error *err);
struct client *client_free(struct client *c);
DEFINE_FREEP(struct client, client_free)

/* What became of one sign-in: a verdict, or the relay's problem answer. */
struct client_result {
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
/* Blocking; within the budget: refreshes keys where the cache is stale. Where the relay says that nobody started on it
 * (started = "no") and that nobody took it, refreshes them too and, where they name somebody new, seals once more: so
 * at most 2 * SIGN_IN_TO_MAX connectors see a sign-in. 0 whenever *ret_r tells the outcome; negative only for misuse or
 * no memory. */
int client_sign_in(struct client *c, const struct sign_in_params *p, struct client_result *ret_r, struct error *err);
/* The directory, fetched if the cache is older than max-age. Borrowed until the next call. */
int client_directory(struct client *c, const struct directory **ret_d, struct error *err);
uint64_t client_roster_seq(const struct client *c);
const char *client_roster_hash(const struct client *c); /* of the roster of that number; "": not known */

/* One connector's answer to a probe. */
struct client_probe {
        const struct roster_member *connector;
        bool asked;  /* there is a verdict: otherwise result says why not, and nothing is known */
        bool honest; /* it did not believe a random password */
        const struct client_result *result;
};
typedef void client_probe_fn(void *arg, const struct client_probe *probe);
struct client_probe_params {
        const char *canary;                                /* the account's name */
        const char *client_ip, *client_agent, *client_app; /* as this service's sign-ins have them; or NULL */
};
/*
 * Asks every connector of the roster, one by one, to sign the canary account in with a password drawn for it, which
 * can't be right. One that says accepted, or that the password was proved, lies or was patched: no sign-in goes there
 * any more (client_distrusted). Nothing but the name tells a connector that it is a probe. Costs the account one
 * failure per connector, so it must not lock out. 0; negative when there is no directory or no memory.
 */
int client_probe(struct client *c, const struct client_probe_params *p, client_probe_fn *fn, void *arg,
                 struct error *err);
/* The identities that were found out, here and before: kids; borrowed until the next probe. */
size_t client_distrusted(const struct client *c, const char *const **ret_kids);
