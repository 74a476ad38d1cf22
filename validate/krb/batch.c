/*
 * The queue of keys and the lanes that compute them.
 *
 * Invariant: a job is in the list of those that wait, in that of those that run and then owns its lanes, or in
 * neither. A lane nobody owns is overwritten. A turn of the loop is held for one slice, or for one key that is
 * computed alone.
 */
#include "validate/krb/batch.h"

#include <errno.h>
#include <nettle/pbkdf2.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/log.h"

#define SLICE 1024 /* iterations: a quarter of a millisecond or so */
#define TRIAL 128  /* iterations that a set is measured with */
#define ALONE_MAX_ITERATIONS 4096

TAILQ_HEAD(job_list, krb_batch_job);

struct krb_batch {
        struct loop_timer *timer;
        const struct krb_lane_set *set;
        bool alone;      /* one key is faster by nettle */
        bool lanes_next; /* after a key alone it is the lanes' turn */
        struct job_list waiting, running;
        uint32_t used; /* a bit for each lane that is owned */
        struct krb_lanes *lanes;
};

static unsigned lanes_of(const struct krb_batch_job *job)
{
        return (unsigned)((job->key_len + KRB_LANE_BLOCK - 1) / KRB_LANE_BLOCK);
}

/* Takes the job out of wherever it is; its lanes are given back. */
static void take_out(struct krb_batch *b, struct krb_batch_job *job)
{
        for (unsigned i = 0; job->running && i < lanes_of(job); i++) {
                krb_lane_clear(b->lanes, job->lanes[i]);
                b->used &= ~(UINT32_C(1) << job->lanes[i]);
        }
        if (job->running)
                TAILQ_REMOVE(&b->running, job, link);
        else if (job->waiting)
                TAILQ_REMOVE(&b->waiting, job, link);
        job->running = job->waiting = false;
}

static bool free_lanes(const struct krb_batch *b, struct krb_batch_job *job)
{
        unsigned n = 0;

        for (unsigned lane = 0; lane < b->set->lanes && n < lanes_of(job); lane++)
                if (!(b->used & UINT32_C(1) << lane))
                        job->lanes[n++] = lane;
        return n == lanes_of(job);
}

/* Fills the lanes that are free, in order. */
static void fill(struct krb_batch *b)
{
        struct krb_batch_job *job;

        while ((job = TAILQ_FIRST(&b->waiting)) && !job->alone && free_lanes(b, job)) {
                for (unsigned i = 0; i < lanes_of(job); i++) {
                        krb_lane_load(b->lanes, job->lanes[i], job->password, job->salt, job->salt_len, i + 1);
                        b->used |= UINT32_C(1) << job->lanes[i];
                }
                job->left = job->iterations - 1;
                TAILQ_REMOVE(&b->waiting, job, link);
                TAILQ_INSERT_TAIL(&b->running, job, link);
                job->waiting = false;
                job->running = true;
        }
        krb_lanes_wipe_stack();
}

static void run_slice(struct krb_batch *b)
{
        struct krb_batch_job *job;
        uint32_t n = SLICE;

        TAILQ_FOREACH (job, &b->running, link)
                n = job->left < n ? job->left : n;
        b->set->run(b->lanes, n);
        krb_lanes_wipe_stack();
        TAILQ_FOREACH (job, &b->running, link)
                job->left -= n;
}

static void read_key(const struct krb_batch *b, const struct krb_batch_job *job, uint8_t *key)
{
        uint8_t blocks[2 * KRB_LANE_BLOCK] = {0};

        for (unsigned i = 0; i < lanes_of(job); i++)
                krb_lane_read(b->lanes, job->lanes[i], blocks + (size_t)i * KRB_LANE_BLOCK);
        memcpy(key, blocks, job->key_len);
        wipe(blocks, sizeof blocks);
}

static void by_nettle(const struct krb_batch_job *job, uint8_t *key)
{
        const void *text = secret_text(job->password);

        pbkdf2_hmac_sha1(secret_len(job->password), text, job->iterations, job->salt_len, job->salt, job->key_len, key);
}

/* The first one in the queue, if it is to be computed without lanes. */
static struct krb_batch_job *next_alone(struct krb_batch *b)
{
        struct krb_batch_job *first = TAILQ_FIRST(&b->waiting);

        if (!first || first->alone)
                return first;
        return b->alone && TAILQ_EMPTY(&b->running) && !TAILQ_NEXT(first, link) &&
                               first->iterations <= ALONE_MAX_ITERATIONS
                       ? first
                       : NULL;
}

static void again(struct krb_batch *b)
{
        if (!TAILQ_EMPTY(&b->waiting) || !TAILQ_EMPTY(&b->running))
                loop_timer_in(b->timer, 0);
}

/* One turn: the loop's other events come between two. At most one key is told in each, because its owner may do
 * anything then. */
static void on_turn(void *arg)
{
        struct krb_batch *b = arg;
        struct krb_batch_job *job;
        uint8_t key[KRB_BATCH_KEY_MAX];

        TAILQ_FOREACH (job, &b->running, link)
                if (job->left == 0) /* it is through */
                        break;
        if (job) {
                read_key(b, job, key);
        } else if (!b->lanes_next && (job = next_alone(b))) {
                b->lanes_next = !TAILQ_EMPTY(&b->running);
                (job->alone ? job->alone : by_nettle)(job, key);
                krb_lanes_wipe_stack();
        } else {
                b->lanes_next = false;
                fill(b);
                run_slice(b);
        }
        if (job)
                take_out(b, job);
        again(b);
        if (job) {
                job->fn(job->arg, key); /* job and batch may be gone afterwards */
                wipe(key, sizeof key);
        }
}

void krb_batch_start(struct krb_batch *b, struct krb_batch_job *job)
{
        job->waiting = true;
        job->running = false;
        TAILQ_INSERT_TAIL(&b->waiting, job, link);
        again(b);
}

void krb_batch_cancel(struct krb_batch *b, struct krb_batch_job *job)
{
        take_out(b, job);
}

void krb_batch_use(struct krb_batch *b, const struct krb_lane_set *set, bool alone)
{
        b->set = set;
        b->alone = alone;
}

static uint64_t cpu_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The set with the least time for a lane, and whether nettle does a key of two blocks in less than one run. */
static void choose_set(struct krb_batch *b)
{
        static const uint8_t text[] = "trial";
        size_t n;
        const struct krb_lane_set *sets = krb_lane_sets(&n);
        uint64_t best = 0, nettle = cpu_ns();
        uint8_t key[KRB_BATCH_KEY_MAX];

        pbkdf2_hmac_sha1(sizeof text, text, TRIAL, sizeof text, text, sizeof key, key);
        nettle = cpu_ns() - nettle;
        for (size_t i = 0; i < n; i++) {
                uint64_t ns = cpu_ns();

                sets[i].run(b->lanes, TRIAL);
                ns = cpu_ns() - ns;
                if (b->set && ns * b->set->lanes >= best * sets[i].lanes)
                        continue;
                b->set = &sets[i];
                best = ns;
        }
        b->alone = nettle < best;
        memset(b->lanes, 0, sizeof *b->lanes);
        log_debug("krb_lanes", KV_S("set", b->set->name), KV_U("alone", b->alone));
}

int krb_batch_new(struct krb_batch **ret, struct loop *loop)
{
        struct krb_batch *b = calloc(1, sizeof *b);

        if (!b)
                return -ENOMEM;
        TAILQ_INIT(&b->waiting);
        TAILQ_INIT(&b->running);
        b->lanes = OPENSSL_secure_zalloc(sizeof *b->lanes);
        if (!b->lanes || loop_timer_new(&b->timer, loop, NULL, on_turn, b) < 0) {
                krb_batch_free(b);
                return -ENOMEM;
        }
        choose_set(b);
        *ret = b;
        return 0;
}

struct krb_batch *krb_batch_free(struct krb_batch *b)
{
        if (!b)
                return NULL;
        loop_timer_free(b->timer);
        OPENSSL_secure_clear_free(b->lanes, sizeof *b->lanes);
        free(b);
        return NULL;
}
