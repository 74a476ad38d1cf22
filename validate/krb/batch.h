/*
 * Sign-ins that wait for a key, computed side by side, in slices between the loop's other work. Internal to the
 * Kerberos method.
 *
 * What comes while a slice runs joins at the next one; nobody waits for a batch to fill.
 */
#pragma once

#include <sys/queue.h>

#include "base/ipc/loop.h"
#include "validate/krb/lanes.h"

#define KRB_BATCH_KEY_MAX 32

struct krb_batch;
struct krb_batch_job;

/* The key: key_len bytes, the callee's to copy; wiped afterwards. Called once, from the loop; the job is the
 * callee's again, and it may start and cancel others. */
typedef void krb_batch_fn(void *arg, const uint8_t *key);

/* Owned by the caller, who fills in the first part and leaves the rest alone until fn was called. */
struct krb_batch_job {
        const struct secret *password; /* borrowed */
        const uint8_t *salt;           /* borrowed */
        size_t salt_len;
        uint32_t iterations;
        size_t key_len; /* 16 or 32 */
        /* Another way to compute the key, at once and alone: where lanes can't, or are no faster for one. NULL:
         * PBKDF2-HMAC-SHA1 by nettle. */
        void (*alone)(const struct krb_batch_job *job, uint8_t *key);
        krb_batch_fn *fn;
        void *arg;

        TAILQ_ENTRY(krb_batch_job) link;
        uint32_t left;     /* iterations */
        unsigned lanes[2]; /* which are its */
        bool waiting, running;
};

/* 0 or -ENOMEM. Measures which of the CPU's sets is the fastest: some 0.2 ms. */
int krb_batch_new(struct krb_batch **ret, struct loop *loop);
/* Jobs that wait or run are forgotten. NULL-safe. */
struct krb_batch *krb_batch_free(struct krb_batch *batch);
/* Uses this set instead of the fastest; alone: one job that nobody runs beside is computed by nettle. For tests. */
void krb_batch_use(struct krb_batch *batch, const struct krb_lane_set *set, bool alone);
void krb_batch_start(struct krb_batch *batch, struct krb_batch_job *job);
/* Nothing of the job's password is left afterwards; fn is not called. For a job that was started or is all zero. */
void krb_batch_cancel(struct krb_batch *batch, struct krb_batch_job *job);
