/*
 * For tests: a bucket of which two make use in the same moment, by two connections to two real servers.
 *
 * usage: at_once put|watch ROUNDS CA LOGIN BUCKET SERVER SERVER
 * put: both store behind one revision; prints in how many rounds not just one of them did.
 * watch: one watches and ends that, again and again, while the other stores; prints how many entries came.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/relay/bucket.h"
#include "queue/relay/cluster.h"

#define SETTLE_MS 20000
#define KEY "k.at-once"

struct side {
        struct cluster *cluster;
        struct bucket *bucket;
        uint64_t behind, stored;
        int code;
};

static pthread_barrier_t together;
static atomic_bool over;

static void fail(const char *what)
{
        fprintf(stderr, "%s\n", what);
        exit(2);
}

static void open_side(struct side *side, char *ca, char *login, const char *bucket, char *server)
{
        const struct relay_nats nats = {
                .ca = ca, .store_login = login, .dispatch_login = login, .servers = {server}, .n_servers = 1};
        struct cluster_files files;
        struct cluster_place place;
        struct bucket_facts facts;
        struct error err = {""};

        cluster_files_init(&files);
        cluster_place_of(&nats, CLUSTER_STORE, server, &place);
        if (cluster_files_read(&files, &nats, CLUSTER_STORE, &err) < 0 ||
            cluster_new(&side->cluster, &place, &files, true, &err) < 0 ||
            bucket_new(&side->bucket, side->cluster, bucket, server) < 0 ||
            bucket_look(side->bucket, 3, SETTLE_MS, &facts, &err) < 0)
                fail(err.text);
        cluster_files_free(&files);
        if (!bucket_settle(side->bucket, SETTLE_MS))
                fail(bucket_why(side->bucket));
}

/* The key's revision, for who is the first of this program. */
static uint64_t revision_now(struct side *side)
{
        struct buffer text = BUFFER(64);
        uint64_t revision;
        const int r = bucket_get(side->bucket, KEY, &text, &revision);

        buffer_free(&text);
        if (r < 0 && r != -ENOENT)
                fail(bucket_why(side->bucket));
        return revision;
}

static void *put_once(void *arg)
{
        struct side *side = arg;

        (void)pthread_barrier_wait(&together);
        side->code = bucket_put(side->bucket, KEY, "{}", 2, side->behind, &side->stored);
        return NULL;
}

/* How many rounds had another number of winners than one. */
static unsigned put_rounds(struct side sides[2], unsigned rounds)
{
        uint64_t revision = revision_now(&sides[0]);
        unsigned wrong = 0;

        for (unsigned i = 0; i < rounds; i++) {
                pthread_t threads[2];
                unsigned won = 0;

                (void)pthread_barrier_init(&together, NULL, 2);
                for (size_t j = 0; j < 2; j++) {
                        sides[j].behind = revision;
                        if (pthread_create(&threads[j], NULL, put_once, &sides[j]) != 0)
                                fail("no thread");
                }
                for (size_t j = 0; j < 2; j++) {
                        (void)pthread_join(threads[j], NULL);
                        if (sides[j].code != 0 && sides[j].code != -EAGAIN)
                                fail(bucket_why(sides[j].bucket));
                        won += sides[j].code == 0;
                        revision = sides[j].code == 0 && sides[j].stored > revision ? sides[j].stored : revision;
                }
                wrong += won != 1;
                (void)pthread_barrier_destroy(&together);
        }
        return wrong;
}

static void *put_on(void *arg)
{
        struct side *side = arg;
        uint64_t revision = revision_now(side);

        while (!atomic_load(&over))
                if (bucket_put(side->bucket, KEY, "{}", 2, revision, &revision) < 0)
                        fail(bucket_why(side->bucket));
        return NULL;
}

static void count_entry(void *arg, const char *key, const char *value, size_t n, uint64_t revision)
{
        unsigned *count = arg;

        (void)value;
        (void)n;
        (void)revision;
        *count += strcmp(key, KEY) == 0;
}

static unsigned watch_rounds(struct side sides[2], unsigned rounds)
{
        pthread_t writer;
        unsigned n = 0;

        if (pthread_create(&writer, NULL, put_on, &sides[1]) != 0)
                fail("no thread");
        for (unsigned i = 0; i < rounds; i++) /* the first watch of each round ends with the second */
                if (bucket_watch(sides[0].bucket, 0) < 0 || bucket_take(sides[0].bucket, 2000, 8, count_entry, &n) < 0)
                        fail(bucket_why(sides[0].bucket));
        atomic_store(&over, true);
        (void)pthread_join(writer, NULL);
        return n;
}

int main(int argc, char **argv)
{
        struct side sides[2] = {{NULL, NULL, 0, 0, 0}, {NULL, NULL, 0, 0, 0}};

        if (argc != 8)
                return 2;
        const unsigned rounds = (unsigned)strtoul(argv[2], NULL, 10);
        for (int i = 0; i < 2; i++)
                open_side(&sides[i], argv[3], argv[4], argv[5], argv[6 + i]);
        printf("%u\n", strcmp(argv[1], "put") == 0 ? put_rounds(sides, rounds) : watch_rounds(sides, rounds));
        for (int i = 0; i < 2; i++) {
                bucket_free(sides[i].bucket);
                cluster_free(sides[i].cluster);
        }
        return 0;
}
