/*
 * For tests: a bucket whose servers say what this program lets them say, over a connection to a real NATS server: an
 * error that passes, one that stays, and a history that begins again. Says what is not as it must be.
 *
 * usage: bucket_said CA LOGIN SERVER
 */
#include <errno.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/relay/bucket.h"
#include "queue/relay/cluster.h"

#define NAME "said"
#define KEY "t.acme"
#define SETTLE_MS 20000
#define BEAT_MS 10
#define SOON_MS 3000 /* less than a bucket without room is left alone */

static atomic_uint_least64_t last;  /* revision */
static _Atomic(const char *) error; /* of what is stored but beats; NULL: it is stored */

static void check(bool good, const char *what)
{
        if (good)
                return;
        fprintf(stderr, "not so: %s (%s)\n", what, nats_GetLastError(NULL));
        exit(1);
}

static void on_store(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *arg)
{
        const char *said = strstr(natsMsg_GetSubject(msg), "." NAME ".n.") ? NULL : atomic_load(&error);
        char text[160];

        (void)sub;
        (void)arg;
        if (said)
                (void)snprintf(text, sizeof(text), "{\"error\":%s,\"stream\":\"KV_" NAME "\",\"seq\":0}", said);
        else
                (void)snprintf(text, sizeof(text), "{\"stream\":\"KV_" NAME "\",\"seq\":%llu}",
                               (unsigned long long)atomic_fetch_add(&last, 1) + 1);
        (void)natsConnection_PublishString(nc, natsMsg_GetReply(msg), text);
        natsMsg_Destroy(msg);
}

static int put(struct bucket *bucket)
{
        uint64_t revision;

        return bucket_put(bucket, KEY, "{}", 2, 0, &revision);
}

/* Whether it is asked of the servers, which know no such bucket. */
static bool may_erase(struct bucket *bucket)
{
        return bucket_erase(bucket, 1) == -EPERM;
}

static void what_passes(struct bucket *bucket)
{
        atomic_store(&error, "{\"code\":503,\"err_code\":10008,\"description\":\"JetStream system temporarily "
                             "unavailable\"}");
        check(put(bucket) == -EHOSTUNREACH && !bucket_writable(bucket), "what is refused is told");
        check(strstr(bucket_why(bucket), "temporarily unavailable") != NULL, "and why");
        atomic_store(&error, NULL);
        check(bucket_settle(bucket, SOON_MS), "after an error that passes the next beat tells that it has");
        check(put(bucket) == 0, "then all goes on");
}

static void what_stays(struct bucket *bucket)
{
        atomic_store(&error, "{\"code\":503,\"err_code\":10077,\"description\":\"maximum bytes exceeded\"}");
        check(put(bucket) == -EHOSTUNREACH, "what has no room is told");
        check(!bucket_settle(bucket, SOON_MS) && strstr(bucket_why(bucket), "is full"), "and stays so for a while");
        check(bucket_readable(bucket) && may_erase(bucket), "a full bucket is read, and room is made in it");
        atomic_store(&error, NULL);
        check(bucket_settle(bucket, SETTLE_MS) && put(bucket) == 0, "with room it goes on");
}

static void what_is_another_history(struct bucket *bucket)
{
        const int64_t end = nats_Now() + SETTLE_MS;

        atomic_store(&last, 0);
        for (bucket_beat(bucket); !bucket_rewound(bucket) && nats_Now() < end; bucket_beat(bucket))
                nats_Sleep(BEAT_MS);
        check(bucket_rewound(bucket), "an older copy is found by the next beat");
        check(put(bucket) == -EHOSTUNREACH && !bucket_readable(bucket), "it is left alone until that is known");
        check(!may_erase(bucket), "nothing of it is erased by a revision of the history before");
        bucket_rewound_known(bucket);
        check(bucket_writable(bucket) && put(bucket) == 0, "then it is used");
}

int main(int argc, char **argv)
{
        struct error err = {""};
        struct cluster_files files;
        struct cluster_place place;
        struct cluster *cluster = NULL;
        struct bucket *bucket = NULL;
        natsSubscription *sub = NULL;

        if (argc != 4)
                return 2;
        const struct relay_nats nats = {
                .ca = argv[1], .store_login = argv[2], .dispatch_login = argv[2], .servers = {argv[3]}, .n_servers = 1};
        cluster_files_init(&files);
        cluster_place_of(&nats, CLUSTER_STORE, "n1", &place);
        check(cluster_files_read(&files, &nats, CLUSTER_STORE, &err) == 0 &&
                      cluster_new(&cluster, &place, &files, true, &err) == 0 &&
                      bucket_new(&bucket, cluster, NAME, "n1") == 0,
              err.text);
        cluster_files_free(&files);
        natsConnection *nc = cluster_connection(cluster);
        check(natsConnection_Subscribe(&sub, nc, "$KV." NAME ".>", on_store, NULL) == NATS_OK &&
                      natsConnection_Flush(nc) == NATS_OK,
              "this program answers for the servers");
        check(bucket_settle(bucket, SETTLE_MS), "beats are stored");
        what_passes(bucket);
        what_stays(bucket);
        what_is_another_history(bucket);
        cluster_drop(cluster, &sub);
        bucket_free(bucket);
        cluster_free(cluster);
        puts("as it must be");
        return 0;
}
