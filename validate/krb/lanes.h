/*
 * PBKDF2-HMAC-SHA1 (RFC 2898 5.2) for several passwords side by side, one in each lane of the CPU's vectors.
 * Internal to the Kerberos method.
 *
 * A lane computes one block, 20 bytes of one password's key. Its iterations may be done in pieces, so that nobody
 * waits for all of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/secret.h"

#define KRB_LANES_MAX 16
#define KRB_LANE_BLOCK 20 /* bytes */

/* Word i of lane l is at [i][l]. All of it is secret. */
struct krb_lanes {
        uint32_t inner[5][KRB_LANES_MAX], outer[5][KRB_LANES_MAX]; /* SHA-1 after HMAC's two pads */
        uint32_t u[5][KRB_LANES_MAX], t[5][KRB_LANES_MAX];
};

/* One way to compute them. */
struct krb_lane_set {
        const char *name;
        unsigned lanes;
        /* Does so many iterations more in each of the first `lanes` lanes, loaded or not. */
        void (*run)(struct krb_lanes *lanes, uint32_t iterations);
};

/* The sets that this CPU has, *ret_n of them, the narrowest first. */
const struct krb_lane_set *krb_lane_sets(size_t *ret_n);
/* What has been loaded into a lane after this has had its first iteration. block: 1 for the key's first 20 bytes. */
void krb_lane_load(struct krb_lanes *lanes, unsigned lane, const struct secret *password, const uint8_t *salt,
                   size_t salt_len, uint32_t block);
/* The block, once all iterations are done. */
void krb_lane_read(const struct krb_lanes *lanes, unsigned lane, uint8_t out[KRB_LANE_BLOCK]);
/* Overwrites what callees left below the caller's frame: for after a load or a run. */
void krb_lanes_wipe_stack(void);
/* Overwrites the lane. */
void krb_lane_clear(struct krb_lanes *lanes, unsigned lane);
