/*
 * What the relay remembers across restarts: one SQLite database in its state directory. No name, no outcome,
 * no body of a sign-in.
 *
 * Secrets and tokens are kept as SHA-256 hashes. The command line and the running relay use the same file at
 * the same time. All functions: 0 or -errno; -EIO is SQLite's (err, or store_why, has its text).
 *
 * With a bucket (store-copy.c) the database is a copy, and what writes may also end with -EHOSTUNREACH: too few NATS
 * servers are there, and nothing was changed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/trust/roster.h"
#include "base/ipc/loop.h"

#define STORE_HASH_LEN 32
#define STORE_SECRETS_MAX 32  /* per tenant */
#define STORE_PENDING_MAX 256 /* identities per tenant that no roster has */
#define STORE_PENDING_LIFE (7 * 86400)
#define STORE_SIGN_IN_LIFE (30 * 86400)

struct store;

/* Whether the process may keep its state there; -errno with what to do in err. */
int store_check_dir(const char *dir, struct error *err);
int store_open(struct store **ret_store, const char *dir, struct error *err);
struct store *store_free(struct store *store);
DEFINE_FREEP(struct store, store_free)
/* A copy of the database, also while others use it, in a file that is made. -EIO. */
int store_backup(struct store *store, const char *path);
/* Changes whenever another process has written. */
int64_t store_version(struct store *store);
/*
 * Each tenant of which something was written that a running relay goes by, later than number after, by whoever (a
 * trigger of the database counts): 0, and *ret_last is the last number. after -1: only that number.
 */
typedef void store_change_fn(void *arg, const char *tenant);
int store_changes(struct store *store, int64_t after, store_change_fn *fn, void *arg, int64_t *ret_last);
const char *store_why(struct store *store);

/* ---- a store on NATS ---- */
struct bucket;
/* From now on the bucket decides, and the database is this node's copy; borrowed. NULL: as before. */
void store_set_bucket(struct store *store, struct bucket *bucket);
/* There is a bucket, and it cannot be had: what would write to it fails with -EHOSTUNREACH, and why is its text
 * (borrowed), until store_set_bucket. */
void store_detach(struct store *store, const char *why);
/*
 * Takes all that is in the bucket and was not taken, and watches it from then on; makes it, with so many replicas,
 * where there is none (0: does not). wait_ms: for servers that are not there; settle_ms: for a beat to be stored,
 * without which the tenant of what came before it cannot be asked for. -EHOSTUNREACH, and as bucket_look.
 */
int store_catch_up(struct store *store, unsigned replicas, unsigned wait_ms, unsigned settle_ms, struct error *err);
/* Whether it has ever had all, so that it can do without the servers for a while. */
bool store_is_whole(struct store *store);
/* Takes what has come from other nodes, a part of it: how much; -EPIPE: to be caught up with again. */
int store_take(struct store *store, unsigned wait_ms);
/* How many entities are to be stored in the bucket yet. */
int64_t store_waiting(struct store *store);
/* Stores some of them, while that can be done. */
int store_flush(struct store *store);
/* Erases from the bucket some of what is no more, also where the bucket is full. 0; -EHOSTUNREACH and others: not now.
 */
int store_erase_some(struct store *store);
/* Stores all of them, and waits so long for a bucket that cannot be written. -EHOSTUNREACH: some are left. */
int store_drain(struct store *store, unsigned wait_ms);
/* Has everything in the database stored in the bucket: the first time, or after the bucket was lost. */
int store_push(struct store *store);

/* ---- tenants and their secrets ---- */
struct store_tenant {
        char name[TENANT_MAX + 1];
        char pin[KID_LEN + 1];
        int64_t since;
};
/* -EEXIST */
int store_tenant_add(struct store *store, const char *name, const char *pin, int64_t now);
/* -ENOENT */
int store_tenant_get(struct store *store, const char *name, struct store_tenant *ret_tenant);
/*
 * Forgets a tenant and everything that hangs on it, in one step; its certificates stay revoked for as long as they
 * would have lived, whoever takes the name after it, and no older copy of a bucket brings it back. -ENOENT.
 */
int store_tenant_remove(struct store *store, const char *name, int64_t now);
typedef void store_tenant_fn(void *arg, const struct store_tenant *tenant);
int store_tenants(struct store *store, store_tenant_fn *fn, void *arg);

/* What a bearer secret is for; of a number that is none of them: the least, SECRET_HELPDESK. */
enum store_secret_kind { SECRET_SERVICE = 1, SECRET_ADMIN = 2, SECRET_HELPDESK = 3 };
enum store_secret_kind store_secret_kind(int64_t number);
struct store_secret {
        enum store_secret_kind kind;
        uint8_t hash[STORE_HASH_LEN];
        int64_t since;
};
/* -ENOSPC: the tenant has STORE_SECRETS_MAX. */
int store_secret_add(struct store *store, const char *tenant, enum store_secret_kind kind,
                     const uint8_t hash[STORE_HASH_LEN], int64_t now);
/* 1: it is no more, and no older copy of a bucket brings it back; 0: there was none. */
int store_secret_remove(struct store *store, const char *tenant, const uint8_t hash[STORE_HASH_LEN], int64_t now);
/* The oldest first. */
int store_secrets(struct store *store, const char *tenant, struct store_secret secrets[STORE_SECRETS_MAX],
                  size_t *ret_n);

/* ---- enrolment tokens ---- */
int store_token_add(struct store *store, const char *tenant, const char *name, const uint8_t hash[STORE_HASH_LEN],
                    int64_t expires);
#define STORE_REPEAT_S 600
/* A request that brings a token. */
struct store_ticket {
        const char *tenant, *name;  /* name: of the connector */
        const uint8_t *token, *csr; /* SHA-256 */
};
/* Whether the token could be taken now; uses nothing up. 0; 1: it was taken less than STORE_REPEAT_S ago by the same
 * request, which may be answered once more. Who shows a token that is not good may know why, for nobody else has it:
 * -EACCES: nobody knows it; -EXDEV: it is for another connector or tenant; -EKEYREVOKED: it was used, or spoilt with
 * its connector's revocation; -EKEYEXPIRED. */
int store_token_check(struct store *store, const struct store_ticket *t, int64_t now);
/* Uses the token up for this request. Else, and 1, as above. */
int store_token_take(struct store *store, const struct store_ticket *t, int64_t now);
/* Keeps what the request that took the token was answered. -EEXIST: it was answered already, is to be no more, or
 * another request took the token. */
int store_token_answered(struct store *store, const struct store_ticket *t, const char *answer);
/* Appends that. -ENOENT: also to any other request than that one. */
int store_token_answer(struct store *store, const struct store_ticket *t, struct buffer *out);

/* ---- connectors ---- */
struct store_connector {
        char id[ID_MAX + 1];
        char name[NAME_MAX_LEN + 1];
        char kid[KID_LEN + 1];   /* "" until an identity came */
        int64_t enrolled, since; /* since: of the identity */
        char *jwk, *proof;       /* NULL or owned by the callee's caller: valid during the callback only */
};
/* Notes an enrolled connector, which ends its revocation, and its certificate. -EEXIST: the id stands under another
 * name. */
int store_connector_enrol(struct store *store, const char *tenant, const char *id, const char *name, int64_t now);
int store_certificate_add(struct store *store, const char *tenant, const char *id, const char *serial,
                          int64_t not_after);
/* Copies all but jwk and proof. -ENOENT. */
int store_connector_get(struct store *store, const char *tenant, const char *id, struct store_connector *ret_connector);
/* -ENOSPC: too many identities wait already. */
int store_identity_put(struct store *store, const char *tenant, const struct store_connector *c);
typedef void store_connector_fn(void *arg, const struct store_connector *c);
/* Those that have posted an identity. */
int store_identities(struct store *store, const char *tenant, store_connector_fn *fn, void *arg);

/* ---- what was decided about connectors (store-decided.c) ---- */
struct store_listed {
        struct store_connector connector;
        int64_t certificates; /* that live and are not revoked */
        int64_t not_after;    /* the last of them; 0: none */
        bool revoked;         /* and has not enrolled again */
        char quarantine[256]; /* why; "" : it is in none */
};
typedef void store_listed_fn(void *arg, const struct store_listed *c);
/* All that ever enrolled, by name. */
int store_connectors(struct store *store, const char *tenant, store_listed_fn *fn, void *arg);
/*
 * Revokes every certificate that the connector has, the identity itself until it enrols with a new token, and the
 * tokens for its name that were not used, or might be answered once more. How many certificates; -errno. Never
 * -EHOSTUNREACH: other nodes hear of it as soon as they can (store_waiting).
 */
int store_revoke(struct store *store, const char *tenant, const char *id, int64_t now);
/* Whether this certificate, or whatever its identity shows, was revoked. 1, 0, -errno. */
int store_is_revoked(struct store *store, const char *tenant, const char *id, const char *serial);
/* 1: it is in quarantine from now on, 0: it was already. Never -EHOSTUNREACH, as store_revoke. */
int store_quarantine(struct store *store, const char *tenant, const char *id, const char *why, int64_t now);
int store_is_quarantined(struct store *store, const char *tenant, const char *id);
/* 1: it is out, 0: it was in none. */
int store_release(struct store *store, const char *tenant, const char *id);

/* What a running relay goes by: every connector that ever enrolled, and serial numbers that were revoked. */
struct store_member {
        struct store_connector connector;
        uint8_t barred, quarantined; /* 1 or 0 */
};
typedef void store_member_fn(void *arg, const struct store_member *member);
int store_members(struct store *store, const char *tenant, store_member_fn *fn, void *arg);
struct store_serial {
        char text[48];
};
typedef void store_serial_fn(void *arg, const struct store_serial *serial);
int store_revoked(struct store *store, const char *tenant, store_serial_fn *fn, void *arg);

struct store_event {
        int64_t at;
        char name[32], id[ID_MAX + 1], text[600];
};
/* Never -EHOSTUNREACH. The newest 200 of each kind are kept, for STORE_SIGN_IN_LIFE; of those who ask for approval the
 * newest of each. */
int store_event_add(struct store *store, const char *tenant, const struct store_event *event);
typedef void store_event_fn(void *arg, const struct store_event *event);
/* The newest first, at most 400, 100 of each kind. */
int store_events(struct store *store, const char *tenant, store_event_fn *fn, void *arg);

/* ---- rosters ---- */
int store_roster_put(struct store *store, const char *tenant, uint64_t seq, const char *jws, int64_t now);
/* 1, 0, -errno. */
int store_has_roster(struct store *store, const char *tenant);
/* -ENOENT. Appends the text. */
int store_roster_get(struct store *store, const char *tenant, struct buffer *jws);

/* ---- sign-ins: metadata only ---- */
struct store_sign_in {
        char id[ID_MAX + 1];
        int64_t at;
        char connector[ID_MAX + 1]; /* "" where none had it */
        char state[16];
        char problem[32];                   /* "" where none */
        char reasons[256];                  /* what connectors said that had not taken it, a line each */
        int64_t handed, received, answered; /* ms after it came in; -1: never */
};
/* Writes many in one transaction. An id that is stored keeps its first row: a replay hides nothing. */
int store_sign_ins_put(struct store *store, const char *const *tenants, const struct store_sign_in *rows, size_t n);
/* -ENOENT */
int store_sign_in_get(struct store *store, const char *tenant, const char *id, struct store_sign_in *ret_row);
#define STORE_FOUND_MAX 4
/* Those whose ids begin so, the first by id. How many; -errno. */
int store_sign_ins_find(struct store *store, const char *tenant, const char *beginning,
                        struct store_sign_in ret_rows[STORE_FOUND_MAX]);
/* Forgets what is older than its term: sign-ins, tokens, identities that nobody took, certificates. */
int store_purge(struct store *store, int64_t now);
