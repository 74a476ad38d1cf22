/*
 * The highest roster seen, kept across restarts in one file that the supervisor opened: two slots, written in
 * turn, so that a torn write loses nothing.
 */
#pragma once

#include "certs/trust/roster.h"

struct roster_store {
        int fd;                 /* owned */
        unsigned next;          /* slot to write */
        char hash[KID_LEN + 1]; /* of the text of the highest seq, as roster_store_load found it; "": none */
        int64_t iat, exp;       /* of the same, also where it is not valid now; 0: none */
};

/* Takes over fd. */
void roster_store_init(struct roster_store *s, int fd);
void roster_store_clear(struct roster_store *s);
/*
 * Reads both slots and gives the verified roster with the highest seq (expired ones count for seq, too:
 * ret_seq), or *ret_roster = NULL where there is none. Never fails for a damaged slot: err then says so and 1
 * is returned.
 */
int roster_store_load(struct roster_store *s, const char *pin, const char *tenant, int64_t now,
                      struct roster **ret_roster, uint64_t *ret_seq, struct error *err);
/* Writes text into the older slot and syncs. -EIO and the like with err. */
int roster_store_save(struct roster_store *s, const char *text, size_t n, struct error *err);
