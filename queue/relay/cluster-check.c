/*
 * Whether the cluster of section [nats] is as it must be, asked of the servers themselves: reach, TLS, logins, the
 * bucket, and that no sign-in can come to a disk.
 *
 * Changes nothing that lasts: the stream that it tries to make could hold no message, and is removed again if the
 * servers make it, which is a mistake that is told.
 */
#include <errno.h>
#include <nats/nats.h>
#include <stdio.h>
#include <string.h>

#include "queue/relay/bucket.h"
#include "queue/relay/cluster.h"

#define WAIT_MS 2000
#define REFUSAL_MS 1000 /* what a user may not do has no answer */
#define HEAR_MS 300
#define ROOM_MIN (16 * INT64_C(1024) * 1024)

static int join(const struct relay_config *config, enum cluster_role role, struct cluster **ret_cluster,
                struct error *err)
{
        struct cluster_files files;
        struct cluster_place place;

        cluster_files_init(&files);
        cluster_place_of(&config->nats, role, config->node, &place);
        int r = cluster_files_read(&files, &config->nats, role, err);
        if (r == 0)
                r = cluster_new(ret_cluster, &place, &files, true, err);
        cluster_files_free(&files);
        return r;
}

/* Each server by itself: more than half must be there. */
static int check_reach(const struct relay_config *config, enum cluster_role role, cluster_warn_fn *warn, void *arg,
                       struct error *err)
{
        struct relay_config one = *config;
        size_t reached = 0;
        int r = 0;

        for (size_t i = 0; i < config->nats.n_servers; i++) {
                struct cluster *cluster = NULL;
                struct error why;
                char line[ERROR_TEXT_MAX + CLUSTER_SERVER_MAX];

                one.nats.servers[0] = config->nats.servers[i];
                one.nats.n_servers = 1;
                const int code = join(&one, role, &cluster, &why);
                cluster_free(cluster);
                if (code == 0) {
                        reached++;
                        continue;
                }
                if (r == 0) {
                        r = code;
                        *err = why;
                }
                (void)snprintf(line, sizeof(line), "%s: %s", config->nats.servers[i], why.text);
                warn(arg, line);
        }
        if (reached * 2 > config->nats.n_servers)
                return 0;
        if (reached)
                return error_fail(err, -EHOSTUNREACH,
                                  "%zu of %zu NATS servers are reached, too few to decide anything (no quorum)",
                                  reached, config->nats.n_servers);
        return r == -ENOTCONN ? error_fail(err, r, "none of the %zu NATS servers is reached", config->nats.n_servers)
                              : r;
}

static int check_bucket(const struct relay_config *config, struct cluster *cluster, cluster_warn_fn *warn, void *arg,
                        struct error *err)
{
        _cleanup_(bucket_freep) struct bucket *bucket = NULL;
        struct bucket_facts facts;
        char line[200];

        if (natsConnection_GetMaxPayload(cluster_connection(cluster)) < BUCKET_VALUE_MAX)
                return error_fail(err, -EINVAL, "the NATS servers' max_payload must be %u at least",
                                  (unsigned)BUCKET_VALUE_MAX);
        if (bucket_new(&bucket, cluster, config->nats.bucket, config->node) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        int r = bucket_look(bucket, 0, WAIT_MS, &facts, err);
        if (r == -ENOENT)
                return 0; /* the first start makes it */
        if (r < 0)
                return r;
        if (!facts.kv)
                return error_fail(err, -EINVAL,
                                  "stream KV_%s is not the store's: it must keep one value a key, in files, without "
                                  "end; take another `bucket`",
                                  config->nats.bucket);
        if (facts.max_bytes >= 0 && facts.max_bytes < ROOM_MIN)
                return error_fail(err, -EINVAL, "stream KV_%s may have 16 MiB at least", config->nats.bucket);
        if (facts.replicas < config->nats.replicas) {
                (void)snprintf(line, sizeof(line), "the bucket has %u replicas, not %u", facts.replicas,
                               config->nats.replicas);
                warn(arg, line);
        }
        if (facts.current < facts.replicas) {
                (void)snprintf(line, sizeof(line), "%u of %u servers of the bucket are up to date", facts.current,
                               facts.replicas);
                warn(arg, line);
        }
        return bucket_settle(bucket, WAIT_MS) ? 0 : error_fail(err, -EHOSTUNREACH, "%s", bucket_why(bucket));
}

/* Of the account. */
static int check_limits(struct cluster *cluster, struct error *err)
{
        jsErrCode code = (jsErrCode)0;
        jsAccountInfo *info = NULL;
        jsOptions options;
        const char *why = NULL;
        jsCtx *js = NULL;
        int r = 0;

        natsStatus s = jsOptions_Init(&options);
        options.Wait = WAIT_MS;
        s = s ? s : natsConnection_JetStream(&js, cluster_connection(cluster), &options);
        s = s ? s : js_GetAccountInfo(&info, js, &options, &code);
        if (code == JSNotEnabledErr || code == JSNotEnabledForAccountErr)
                r = error_fail(err, -EPERM, "the account of store_login has no JetStream");
        else if (s == NATS_TIMEOUT && natsConnection_GetLastError(cluster_connection(cluster), &why) != NATS_OK &&
                 why && strcasestr(why, "permissions violation"))
                r = error_fail(err, -EPERM, "the user of store_login may not ask JetStream: %s", why);
        else if (s != NATS_OK)
                r = error_fail(err, -EHOSTUNREACH,
                               "JetStream does not answer the user of store_login (%s): it has no quorum, or the "
                               "user may not ask $JS.API.INFO",
                               natsStatus_GetText(s));
        else if (info->Limits.MaxStore >= 0 && info->Limits.MaxStore < ROOM_MIN)
                r = error_fail(err, -EINVAL, "the account of store_login must have 16 MiB of file storage at least");
        jsAccountInfo_Destroy(info);
        jsCtx_Destroy(js);
        return r;
}

/* Whether this user can make a stream over the subjects of sign-ins. It could hold nothing: no message is that small.
 */
static int check_no_stream(const struct relay_config *config, struct cluster *cluster, const char *login,
                           struct error *err)
{
        char subject[80];
        const char *subjects[] = {subject};
        jsStreamConfig stream;
        jsStreamInfo *info = NULL;
        jsOptions options;
        jsCtx *js = NULL;

        (void)snprintf(subject, sizeof(subject), "%s.>", config->nats.subject);
        natsStatus s = jsOptions_Init(&options);
        options.Wait = REFUSAL_MS;
        s = s ? s : natsConnection_JetStream(&js, cluster_connection(cluster), &options);
        s = s ? s : jsStreamConfig_Init(&stream);
        stream.Name = "postern_check";
        stream.Subjects = subjects;
        stream.SubjectsLen = 1;
        stream.Storage = js_FileStorage; /* an account may have no memory for streams, and files all the same */
        stream.MaxMsgs = 1;
        stream.MaxMsgSize = 1;
        s = s ? s : js_AddStream(&info, js, &stream, &options, NULL);
        if (s == NATS_OK) {
                jsStreamInfo_Destroy(info);
                (void)js_DeleteStream(js, stream.Name, &options, NULL);
        }
        jsCtx_Destroy(js);
        if (s != NATS_OK)
                return 0;
        return error_fail(err, -EPERM,
                          "the user of %s can make a stream over %s, the subjects of sign-ins: allow it "
                          "$JS.API.STREAM.CREATE.KV_%s alone, and give dispatch an account without JetStream",
                          login, subject, config->nats.bucket);
}

/* Whether what dispatch says comes to the account of the store. */
static int check_apart(const struct relay_config *config, struct cluster *store, struct cluster *dispatch,
                       struct error *err)
{
        natsSubscription *sub = NULL;
        natsMsg *msg = NULL;
        char subject[100];

        (void)snprintf(subject, sizeof(subject), "%s.check.%s", config->nats.subject, "apart");
        natsStatus s = natsConnection_SubscribeSync(&sub, cluster_connection(store), subject);
        s = s ? s : natsConnection_FlushTimeout(cluster_connection(store), WAIT_MS);
        s = s ? s : natsConnection_PublishString(cluster_connection(dispatch), subject, "-");
        s = s ? s : natsConnection_FlushTimeout(cluster_connection(dispatch), WAIT_MS);
        s = s ? s : natsSubscription_NextMsg(&msg, sub, HEAR_MS);
        cluster_drop(store, &sub);
        natsMsg_Destroy(msg);
        if (s != NATS_OK)
                return 0;
        return error_fail(err, -EPERM,
                          "the user of store_login hears what dispatch says: they must be users of separate accounts");
}

int cluster_check(const struct relay_config *config, cluster_warn_fn *warn, void *arg, struct error *err)
{
        const bool store = config->store == RELAY_ON_NATS, dispatch = config->dispatch == RELAY_ON_NATS;
        _cleanup_(cluster_freep) struct cluster *s = NULL, *d = NULL;
        int r = 0;

        if (!store && !dispatch)
                return 0;
        r = check_reach(config, store ? CLUSTER_STORE : CLUSTER_DISPATCH, warn, arg, err);
        if (r == 0 && store)
                r = join(config, CLUSTER_STORE, &s, err);
        if (r == 0 && store)
                r = check_limits(s, err);
        if (r == 0 && store)
                r = check_bucket(config, s, warn, arg, err);
        if (r == 0 && store)
                r = check_no_stream(config, s, "store_login", err);
        if (r == 0 && dispatch)
                r = join(config, CLUSTER_DISPATCH, &d, err);
        if (r == 0 && dispatch)
                r = check_no_stream(config, d, "dispatch_login", err);
        if (r == 0 && s && d)
                r = check_apart(config, s, d, err);
        return r;
}
