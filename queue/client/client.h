/*
 * What a sign-in service uses: client_sign_in drives the steps of queue/seal (directory, request, verdict, and when a
 * sign-in is sealed once more) over https.h, blocking.
 *
 * Services with an event loop of their own take those steps as they are. The account is keyed by tenant, the verdict's
 * user_domain and its user_id, never by the name as typed.
 */
#pragma once

#include "certs/http/https.h"
#include "queue/seal/exchange.h"

struct client_config {
        const char *relay; /* https://host:port; of a relay with several nodes up to 4 of them, blanks between them */
        const char *tenant, *pin;
        const char *bearer;  /* service secret */
        const char *ca_file; /* or NULL */
        const char *service_id;
        struct key *service_key;
        uint32_t budget_ms;            /* 0: BUDGET_DEFAULT */
        uint64_t min_seq;              /* the highest roster sequence number seen so far */
        const char *roster_hash;       /* sealer_view of then, or NULL: another text of that number is refused */
        const char *roster_source;     /* a file, or an https URL: a second source of the roster; or NULL */
        const char *const *distrusted; /* identities (kid) that a probe found out before; copied */
        size_t n_distrusted;
        /* It speaks to a postern-sandbox, which checks no password. Then, and only then, is its roster taken, and no
         * other: so that this, left on by mistake, refuses every real relay at once. */
        bool sandbox;
        /* Called right before and right after each call waits for the network, where it touches nothing but this client
         * and libcurl: for a caller with threads, which holds a lock. May be NULL. */
        void (*waits)(void *arg, bool begins);
        void *waits_arg;
};
struct client;
#define CLIENT_NODES_MAX 4
/* -EINVAL for what cannot be, -ENOMEM. */
int client_new(struct client **ret_c, const struct client_config *config, struct error *err);
struct client *client_free(struct client *c);
DEFINE_FREEP(struct client, client_free)

/* Blocking; within the budget: refreshes keys where the cache is stale. Where the relay says that nobody started on it
 * (started = "no") and that nobody took it, refreshes them too and, where they name somebody new, seals once more: so
 * at most 2 * SIGN_IN_TO_MAX connectors see a sign-in. A node that cannot be reached, goes down or has no connector is
 * left for the next one; a request of which a byte may have left goes to no other. 0 whenever *ret_r tells the outcome;
 * negative only for misuse or no memory. */
int client_sign_in(struct client *c, const struct sign_in_params *p, struct sign_in_result *ret_r, struct error *err);
/* The directory, fetched if the cache is older than max-age. Borrowed until the next call. */
int client_directory(struct client *c, const struct directory **ret_d, struct error *err);
/* The URL of the relay's node that is asked at the moment. Borrowed. */
const char *client_node(const struct client *c);
/* How many nodes there are, and going on to the next one. */
size_t client_nodes(const struct client *c);
void client_next_node(struct client *c);
/* What it seals with. Its sealer_view tells what the client has seen: the roster, and the identities that a probe found
 * out. Borrowed. */
struct sealer *client_sealer(const struct client *c);

/* One connector's answer to a probe. */
struct client_probe {
        const struct roster_member *connector;
        bool asked;  /* there is a verdict: otherwise result says why not, and nothing is known */
        bool honest; /* it did not believe a random password */
        const struct sign_in_result *result;
};
typedef void client_probe_fn(void *arg, const struct client_probe *probe);
struct client_probe_params {
        const char *canary;                                /* the account's name */
        const char *client_ip, *client_agent, *client_app; /* as this service's sign-ins have them; or NULL */
};
/*
 * Asks every connector of the roster, one by one, to sign the canary account in with a password drawn for it, which
 * can't be right. One that says accepted, or that the password was proved, lies or was patched: no sign-in goes there
 * any more (sealer_view). Nothing but the name tells a connector that it is a probe. Costs the account one
 * failure per connector, so it must not lock out. 0; negative when there is no directory or no memory.
 */
int client_probe(struct client *c, const struct client_probe_params *p, client_probe_fn *fn, void *arg,
                 struct error *err);
