/*
 * The connector's encryption keys: made in memory, a new one each day, announced in a signed statement,
 * destroyed here.
 *
 * Nothing of them is ever written anywhere: stolen disks open no recorded traffic.
 */
#pragma once

#include "certs/trust/statement.h"
#include "connector/conf/domains.h"

#define ENCKEY_LIFE 86400    /* a key is offered for a day ... */
#define ENCKEY_GRACE 300     /* ... and opens what was sealed to it just before its end */
#define STATEMENT_RENEW 1800 /* a statement is replaced after this, s */
#define ENCKEYS_MAX 3

struct enckeys {
        struct key *identity; /* private */
        char *connector_id, *tenant;
        char boot[BOOT_LEN + 1];
        uint64_t seq;
        size_t n;
        struct statement_key keys[ENCKEYS_MAX]; /* newest first */
        bool hourly; /* verdicts are signed by keys in memory, which the identity certifies in its statements */
        size_t n_sign;
        struct statement_key sign[STATEMENT_SIGN_MAX]; /* newest first */
        uint64_t dies[ENCKEYS_MAX];  /* the loop's time, ms, when each is destroyed whatever the clock says by then */
        struct statement *statement; /* the current one */
        uint64_t stated_at;          /* the loop's time, ms, when it was signed */
        int64_t stated_base;         /* the wall clock less the loop's, s, then */
};

/*
 * identity is referenced, the texts are copied. The first key and statement are made by enckeys_turn. seq: above
 * that of every statement made before under this boot, by whichever process.
 */
int enckeys_init(struct enckeys *e, struct key *identity, const char *connector_id, const char *tenant,
                 const char *boot, uint64_t seq);
void enckeys_clear(struct enckeys *e);
/*
 * Makes and drops keys as time demands and signs a new statement when the old one is due, when the clock was set since,
 * or when `renew` says so: its contents changed, or services go by another. now: s since the epoch; now_ms: the loop's
 * time, which nobody sets. names: the realms, suffixes and NetBIOS names to announce (borrowed). 1 when there is a new
 * statement, 0 when not.
 */
int enckeys_turn(struct enckeys *e, const struct domains_names *names, int64_t now, uint64_t now_ms, bool renew,
                 struct error *err);
/* The private key that signs a verdict now: the identity, or with `hourly` the oldest key that lives for a while yet,
 * so that services have had its statement for long. Borrowed. */
const struct key *enckeys_signer(const struct enckeys *e, int64_t now);
/* The private key with this kid while it may still open requests, else NULL. Borrowed. */
const struct key *enckeys_find(const struct enckeys *e, const char *kid, int64_t now);
