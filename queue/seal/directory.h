/*
 * Who may be sealed to: a verified answer of GET /keys, whoever fetched it. No network and no clock.
 */
#pragma once

#include "certs/trust/roster.h"
#include "certs/trust/statement.h"

#define DIRECTORY_MAX (4 * 1024 * 1024)
#define DIRECTORY_STATE_MAX 63
#define DIRECTORY_WEIGHT_MAX 1000

/* A verified answer of GET /keys. */
struct directory {
        struct roster *roster;
        char state[DIRECTORY_STATE_MAX + 1]; /* what the relay calls it: GET keys?since=STATE; "": it gave no name */
        size_t n_verified; /* signatures that were checked for this answer, the roster's and statements' */
        size_t n;
        struct directory_entry {
                const struct roster_member *connector; /* in roster */
                struct statement *statement;
                int rank;        /* place in the relay's ready list, -1 where it is not ready */
                unsigned weight; /* which share of the work it should get beside others, 1 to DIRECTORY_WEIGHT_MAX */
                size_t n_ready;
                char **ready; /* realms that the relay calls ready there; owned */
        } * entries;
};
struct directory_rules {
        bool sandbox; /* only a sandbox's roster counts; otherwise no sandbox's does */
        const char *pin, *tenant;
        int64_t now;
        uint64_t min_seq;
        /*
         * A roster from a second source beside the relay's, or NULL: the newer one counts, so that a relay that
         * withholds a removal changes nothing. One that does not verify is an error, -EBADMSG, and so are two texts of
         * one number, -EBADE; one that has expired still is the floor of seq.
         */
        const char *second;
        size_t n_second;
        /*
         * What there was before, or NULL. The answer may tell only what changed since it (-EBADMSG where it is since
         * something else), and texts that stand in it are not verified again. It stays as it is, and may be freed.
         */
        const struct directory *base;
};
/*
 * Verifies the JSON answer: roster against rules; each statement against its roster member. A
 * statement that does not verify, or whose key is not in the roster, is left out (count in *ret_refused), never an
 * error; of two statements by one identity the newer counts. The relay's ready list only orders what verified. -EBADMSG
 * or roster_verify's codes.
 */
int directory_open(struct directory **ret_d, const char *json, size_t n, const struct directory_rules *rules,
                   size_t *ret_refused, struct error *err);
/* The key with which a connector signed a verdict or an answer, by its kid: its identity, or one of the n that its
 * statement certifies, if that one lives. NULL: none of these. Borrowed. */
const struct key *directory_signer(const struct key *identity, const struct statement_key *sign, size_t n,
                                   const char *kid, int64_t now);
struct directory *directory_free(struct directory *d);
DEFINE_FREEP(struct directory, directory_free)
