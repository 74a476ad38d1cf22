/*
 * The bucket by libnats and JetStream.
 *
 * Owns the JetStream context, one subscription that watches, and one for the answers to beats. Invariant: whether it
 * is writable is known from what was stored and from nothing else: a leader that lost its followers still answers
 * questions for a while.
 */
#include "queue/relay/bucket.h"

#include <errno.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/relay/cluster.h"

#define WAIT_MS 2000
#define BEAT_LATE_MS 3000
#define WATCH_LATE_MS 10000
#define HEARTBEAT_NS (2 * INT64_C(1000000000))
#define REFUSED_MS 10000 /* a small beat is stored where there is no room for anything else */
#define LOOK_AGAIN_MS 100
#define SETTLE_MS 10
#define SUBJECT_MAX (BUCKET_KEY_MAX + 48)
#define DUPLICATE_CONFLICT 10158 /* JSStreamDuplicateMessageConflict: the other is being stored just now */

struct bucket {
        struct cluster *cluster;
        jsCtx *js;
        char name[33], stream[40], prefix[48], beat[128], inbox[64];
        natsSubscription *watch, *acks;
        uint64_t beaten_at; /* of the beat that has no answer yet; 0: none */
        uint64_t stored, seen, behind_since;
        uint64_t delivered;  /* by the watch: each message has the next number */
        uint64_t looked_at;  /* at which of the changes of servers it was seen which bucket this is */
        uint64_t refused_at; /* the servers had no room; 0: they had, or that is long ago */
        bool reached;        /* the last beat was stored, and no call failed since */
        bool rewound;
        char why[300];
};

static uint64_t now_ms(void)
{
        struct timespec t = {0, 0};

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static natsConnection *connection(const struct bucket *b)
{
        return cluster_connection(b->cluster);
}

/* ---- life ---- */

static int open_context(struct bucket *b, struct cluster *cluster)
{
        natsSubscription *acks = NULL;
        natsConnection *nc = cluster_connection(cluster);
        jsOptions options;
        jsCtx *js = NULL;

        natsStatus s = jsOptions_Init(&options);
        options.Wait = WAIT_MS;
        s = s ? s : natsConnection_JetStream(&js, nc, &options);
        s = s ? s : natsConnection_SubscribeSync(&acks, nc, b->inbox);
        if (s != NATS_OK) {
                jsCtx_Destroy(js);
                return -ENOMEM;
        }
        cluster_drop(b->cluster, &b->watch);
        cluster_drop(b->cluster, &b->acks);
        jsCtx_Destroy(b->js);
        b->cluster = cluster;
        b->js = js;
        b->acks = acks;
        b->beaten_at = 0;
        b->looked_at = cluster_reconnects(cluster);
        return 0;
}

int bucket_new(struct bucket **ret_bucket, struct cluster *cluster, const char *name, const char *node)
{
        struct bucket *b = calloc(1, sizeof(*b));
        natsInbox *inbox = NULL;

        if (!b || natsInbox_Create(&inbox) != NATS_OK) {
                free(b);
                return -ENOMEM;
        }
        /* a library's inbox has its own prefix: what is behind it serves */
        (void)snprintf(b->inbox, sizeof(b->inbox), "%s.beat.%s", cluster_inbox(CLUSTER_STORE), strrchr(inbox, '.') + 1);
        natsInbox_Destroy(inbox);
        (void)snprintf(b->name, sizeof(b->name), "%s", name);
        (void)snprintf(b->stream, sizeof(b->stream), "KV_%s", b->name);
        (void)snprintf(b->prefix, sizeof(b->prefix), "$KV.%s.", b->name);
        size_t n = (size_t)snprintf(b->beat, sizeof(b->beat), "%sn.", b->prefix);
        for (; *node && n < sizeof(b->beat) - 1; node++)
                b->beat[n++] = (char)((*node >= 'a' && *node <= 'z') || (*node >= 'A' && *node <= 'Z') ||
                                                      (*node >= '0' && *node <= '9') || *node == '-'
                                              ? *node
                                              : '_');
        (void)snprintf(b->why, sizeof(b->why), "no NATS server was reached yet");
        int r = open_context(b, cluster);
        if (r < 0)
                free(b);
        else
                *ret_bucket = b;
        return r;
}

struct bucket *bucket_free(struct bucket *bucket)
{
        if (!bucket)
                return NULL;
        cluster_drop(bucket->cluster, &bucket->watch);
        cluster_drop(bucket->cluster, &bucket->acks);
        jsCtx_Destroy(bucket->js);
        free(bucket);
        return NULL;
}

int bucket_move(struct bucket *bucket, struct cluster *cluster)
{
        return open_context(bucket, cluster);
}

/* ---- state ---- */

static int unreached(struct bucket *b, natsStatus s)
{
        b->reached = false;
        if (!cluster_connected(b->cluster))
                (void)snprintf(b->why, sizeof(b->why), "no NATS server is reached");
        else if (s == NATS_TIMEOUT || s == NATS_NO_RESPONDERS || s == NATS_ERR)
                (void)snprintf(b->why, sizeof(b->why),
                               "the NATS servers decide nothing now: too few are there, or none leads yet (no quorum)");
        else
                (void)snprintf(b->why, sizeof(b->why), "NATS: %s", natsStatus_GetText(s));
        return -EHOSTUNREACH;
}

/* The servers answer, and refuse to store: the answer's text says why. Where they have room, the next beat tells
 * whether that has passed. */
static int refused(struct bucket *b, const char *answer)
{
        const char *text = strstr(answer, "\"description\":\"");
        const int n = text ? (int)strcspn(text + 15, "\"") : 0;
        const bool full = text && (memmem(text + 15, (size_t)n, "exceeded", 8) ||
                                   memmem(text + 15, (size_t)n, "insufficient", 12));

        if (!text)
                return unreached(b, NATS_NO_RESPONDERS);
        b->refused_at = full ? now_ms() : b->refused_at;
        b->reached = b->reached && full;
        (void)snprintf(
                b->why, sizeof(b->why), "the NATS servers refuse to store: %.*s%s", n, text + 15,
                full ? " (the bucket is full: raise the account's max_file or the bucket's max_bytes, or make room on "
                       "the servers' disks)"
                     : "");
        return -EHOSTUNREACH;
}

/* Whether to call at all. Behind a change of servers an older copy may have been put back: bucket_look comes first. */
static bool is_ready(struct bucket *b)
{
        if (b->reached && cluster_reconnects(b->cluster) != b->looked_at) {
                b->reached = false;
                (void)snprintf(b->why, sizeof(b->why), "another NATS server was just gone over to");
        }
        return bucket_readable(b);
}

bool bucket_writable(const struct bucket *bucket)
{
        return bucket_readable(bucket) && !bucket->refused_at;
}

bool bucket_readable(const struct bucket *bucket)
{
        return bucket->reached && !bucket->rewound;
}

const char *bucket_why(const struct bucket *bucket)
{
        return bucket->why;
}

/* JSON of the server's; as a string of its own. */
static void take_ack(struct bucket *b, natsMsg *msg)
{
        char text[512];
        const int n = natsMsg_GetDataLength(msg);

        (void)snprintf(text, sizeof(text), "%.*s", n > 0 ? n : 0, n > 0 ? natsMsg_GetData(msg) : "");
        const char *seq = strstr(text, "\"error\":") ? NULL : strstr(text, "\"seq\":");
        if (seq) {
                const uint64_t stored = strtoull(seq + 6, NULL, 10);

                b->rewound = b->rewound || stored <= b->stored;
                b->stored = stored;
                b->refused_at = now_ms() - b->refused_at < REFUSED_MS ? b->refused_at : 0;
                b->reached = true;
                if (b->rewound)
                        (void)snprintf(b->why, sizeof(b->why), "an older copy of the bucket was put back just now");
        } else if (b->beaten_at) {
                (void)refused(b, text);
                b->reached = false;
        }
        b->beaten_at = 0;
}

static void take_acks(struct bucket *b)
{
        natsMsg *msg = NULL;
        int n = 0, bytes = 0;

        while (natsSubscription_GetPending(b->acks, &n, &bytes) == NATS_OK && n > 0 &&
               natsSubscription_NextMsg(&msg, b->acks, 1) == NATS_OK) {
                take_ack(b, msg);
                natsMsg_Destroy(msg);
                msg = NULL;
        }
        if (!b->rewound || !b->watch)
                return;
        cluster_drop(b->cluster, &b->watch); /* bucket_take says so, and it is looked at anew */
}

bool bucket_rewound(const struct bucket *bucket)
{
        return bucket->rewound;
}

void bucket_rewound_known(struct bucket *bucket)
{
        bucket->rewound = false;
}

const char *bucket_beat_key(const struct bucket *bucket)
{
        return bucket->beat + strlen(bucket->prefix);
}

void bucket_beat(struct bucket *bucket)
{
        static const char value[] = "{\"v\":1}";
        const uint64_t now = now_ms();

        take_acks(bucket);
        if (!cluster_connected(bucket->cluster)) {
                unreached(bucket, NATS_CONNECTION_DISCONNECTED);
                bucket->beaten_at = 0;
                return;
        }
        if (bucket->beaten_at && now - bucket->beaten_at > BEAT_LATE_MS) {
                unreached(bucket, NATS_TIMEOUT);
                bucket->beaten_at = 0;
        }
        if (!bucket->beaten_at && natsConnection_PublishRequest(connection(bucket), bucket->beat, bucket->inbox, value,
                                                                (int)(sizeof(value) - 1)) == NATS_OK)
                bucket->beaten_at = now ? now : 1;
        if (bucket->stored <= bucket->seen)
                bucket->behind_since = 0;
        else if (!bucket->behind_since)
                bucket->behind_since = now ? now : 1;
        else if (now - bucket->behind_since > WATCH_LATE_MS) { /* what is stored does not come: bucket_take says so */
                cluster_drop(bucket->cluster, &bucket->watch);
                bucket->behind_since = 0;
        }
}

bool bucket_settle(struct bucket *bucket, unsigned wait_ms)
{
        const int64_t end = nats_Now() + wait_ms;

        for (bucket_beat(bucket); !bucket_writable(bucket) && !bucket->rewound && nats_Now() < end; bucket_beat(bucket))
                nats_Sleep(SETTLE_MS);
        return bucket_writable(bucket);
}

/* ---- the stream ---- */

/* One value a key, in files, read from the leader; what cannot be stored is refused instead of pushing out another. */
static natsStatus make_stream(struct bucket *b, unsigned replicas, jsStreamInfo **ret_info, jsErrCode *ret_code)
{
        char subject[64];
        const char *subjects[] = {subject};
        jsStreamConfig config;

        (void)snprintf(subject, sizeof(subject), "%s>", b->prefix);
        natsStatus s = jsStreamConfig_Init(&config);
        config.Name = b->stream;
        config.Description = "postern-relay: tenants, tokens, connectors, rosters, events; no sign-ins";
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        config.MaxMsgsPerSubject = 1;
        config.MaxMsgSize = BUCKET_VALUE_MAX;
        config.Storage = js_FileStorage;
        config.Discard = js_DiscardNew;
        config.Replicas = replicas;
        config.AllowRollup = true;
        return s ? s : js_AddStream(ret_info, b->js, &config, NULL, ret_code);
}

static void read_facts(const jsStreamInfo *info, struct bucket_facts *ret_facts)
{
        const jsStreamConfig *c = info->Config;
        struct bucket_facts f = {.created = info->Created,
                                 .last = info->State.LastSeq,
                                 .bytes = info->State.Bytes,
                                 .replicas = (unsigned)c->Replicas,
                                 .current = 1,
                                 .max_bytes = c->MaxBytes,
                                 .direct = c->AllowDirect,
                                 .kv = c->MaxMsgsPerSubject == 1 && c->Storage == js_FileStorage && c->MaxAge == 0};

        for (int i = 0; info->Cluster && i < info->Cluster->ReplicasLen; i++)
                f.current += info->Cluster->Replicas[i]->Current && !info->Cluster->Replicas[i]->Offline;
        *ret_facts = f;
}

int64_t bucket_epoch_of(const char *value, size_t n)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%.*s", n < sizeof(text) ? (int)n : 0, value);
        return strtoll(text, NULL, 10);
}

/* What this node's last beat and the epoch are. */
static natsStatus read_marks(struct bucket *b, struct bucket_facts *facts, jsErrCode *ret_code)
{
        char epoch[64];
        natsMsg *msg = NULL;

        (void)snprintf(epoch, sizeof(epoch), "%s" BUCKET_EPOCH_KEY, b->prefix);
        natsStatus s = js_GetLastMsg(&msg, b->js, b->stream, b->beat, NULL, ret_code);
        facts->beat = s == NATS_OK ? natsMsg_GetSequence(msg) : 0;
        natsMsg_Destroy(msg);
        if (s != NATS_OK && *ret_code != JSNoMessageFoundErr)
                return s;
        msg = NULL;
        *ret_code = (jsErrCode)0;
        s = js_GetLastMsg(&msg, b->js, b->stream, epoch, NULL, ret_code);
        facts->epoch = s == NATS_OK ? bucket_epoch_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)) : 0;
        facts->epoch_revision = s == NATS_OK ? natsMsg_GetSequence(msg) : 0;
        natsMsg_Destroy(msg);
        return *ret_code == JSNoMessageFoundErr ? NATS_OK : s;
}

/* One look: 0, or as bucket_look. */
static int look_once(struct bucket *b, unsigned replicas, struct bucket_facts *ret_facts, struct error *err)
{
        jsStreamInfo *info = NULL;
        jsErrCode code = (jsErrCode)0;

        if (!cluster_connected(b->cluster)) {
                unreached(b, NATS_CONNECTION_DISCONNECTED);
                return error_fail(err, -EHOSTUNREACH, "%s", b->why);
        }
        natsStatus s = js_GetStreamInfo(&info, b->js, b->stream, NULL, &code);
        if (code == JSStreamNotFoundErr && replicas == 0)
                return error_fail(err, -ENOENT, "there is no bucket %s", b->name);
        if (code == JSStreamNotFoundErr)
                s = make_stream(b, replicas, &info, &code);
        if (s == NATS_OK) {
                read_facts(info, ret_facts);
                jsStreamInfo_Destroy(info);
                s = read_marks(b, ret_facts, &code);
                if (s == NATS_OK)
                        return 0;
        }
        if (code == JSNotEnabledErr || code == JSNotEnabledForAccountErr)
                return error_fail(err, -EPERM, "the account of store_login has no JetStream");
        unreached(b, s);
        if (code == (jsErrCode)0 || code == JSClusterNotAvailErr)
                return error_fail(err, -EHOSTUNREACH, "%s", b->why);
        if (code == JSClusterNoPeersErr) /* servers that were just started have not all found each other */
                return error_fail(err, -EHOSTUNREACH,
                                  "bucket %s: fewer than %u NATS servers with room for it have found each other: start "
                                  "the others, or see their logs (JetStream error %d)",
                                  b->name, replicas, (int)code);
        return error_fail(err, -EPERM, "bucket %s: %s (JetStream error %d): see the account's limits and replicas",
                          b->name, natsStatus_GetText(s), (int)code);
}

int bucket_look(struct bucket *bucket, unsigned replicas, unsigned wait_ms, struct bucket_facts *ret_facts,
                struct error *err)
{
        const int64_t end = nats_Now() + wait_ms;
        int r;

        bucket->looked_at = cluster_reconnects(bucket->cluster);
        while ((r = look_once(bucket, replicas, ret_facts, err)) == -EHOSTUNREACH && nats_Now() < end)
                nats_Sleep(LOOK_AGAIN_MS);
        return r;
}

/* ---- reading and writing ---- */

static void subject_of(const struct bucket *b, const char *key, char out[SUBJECT_MAX])
{
        (void)snprintf(out, SUBJECT_MAX, "%s%s", b->prefix, key);
}

static bool is_deleted(natsMsg *msg)
{
        const char *what = NULL;

        return natsMsgHeader_Get(msg, "KV-Operation", &what) == NATS_OK && what && strcmp(what, "PUT") != 0;
}

int bucket_get(struct bucket *bucket, const char *key, struct buffer *value, uint64_t *ret_revision)
{
        char subject[SUBJECT_MAX];
        jsErrCode code = (jsErrCode)0;
        natsMsg *msg = NULL;
        int r;

        if (!is_ready(bucket))
                return -EHOSTUNREACH;
        subject_of(bucket, key, subject);
        natsStatus s = js_GetLastMsg(&msg, bucket->js, bucket->stream, subject, NULL, &code);
        if (code == JSNoMessageFoundErr) {
                *ret_revision = 0;
                return -ENOENT;
        }
        if (s != NATS_OK)
                return unreached(bucket, s);
        *ret_revision = natsMsg_GetSequence(msg);
        r = is_deleted(msg) ? -ENOENT : buffer_append(value, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
        natsMsg_Destroy(msg);
        return r;
}

/*
 * Of two that store at once behind the same revision one must lose. NATS servers up to 2.9.20 compare the expected
 * revision before they order what comes, and let both through (nats-server issue 4320); what all of them look at while
 * they store, one after the other, is the message's id. So the id says which revision it comes behind. A key that has
 * none is compared while it is stored by all of them, and may have been erased a moment ago: that needs no id.
 */
int bucket_put(struct bucket *bucket, const char *key, const void *value, size_t n, uint64_t revision,
               uint64_t *ret_revision)
{
        char subject[SUBJECT_MAX], id[SUBJECT_MAX + 24], answer[256];
        jsErrCode code = (jsErrCode)0;
        jsPubOptions options;
        jsPubAck *ack = NULL;
        natsMsg *msg = NULL;

        if (!is_ready(bucket) || bucket->refused_at)
                return -EHOSTUNREACH;
        subject_of(bucket, key, subject);
        natsStatus s = jsPubOptions_Init(&options);
        options.MaxWait = WAIT_MS;
        options.ExpectStream = bucket->stream;
        options.ExpectLastSubjectSeq = revision;
        options.ExpectNoMessage = revision == 0;
        (void)snprintf(id, sizeof(id), "%s@%llu", key, (unsigned long long)revision);
        options.MsgId = revision ? id : NULL;
        s = s ? s : natsMsg_Create(&msg, subject, NULL, value, (int)n);
        s = s ? s : js_PublishMsg(&ack, bucket->js, msg, &options, &code);
        natsMsg_Destroy(msg);
        if (s == NATS_OK) {
                const bool second = ack->Duplicate;

                *ret_revision = ack->Sequence;
                jsPubAck_Destroy(ack);
                return second ? -EAGAIN : 0;
        }
        if (code == JSStreamWrongLastSequenceErr || (int)code == DUPLICATE_CONFLICT)
                return -EAGAIN;
        if (code == (jsErrCode)0)
                return unreached(bucket, s);
        (void)snprintf(answer, sizeof(answer), "\"description\":\"%s", nats_GetLastError(NULL));
        return refused(bucket, answer);
}

int bucket_erase(struct bucket *bucket, uint64_t revision)
{
        jsErrCode code = (jsErrCode)0;

        if (!is_ready(bucket))
                return -EHOSTUNREACH;
        const natsStatus s = js_DeleteMsg(bucket->js, bucket->stream, revision, NULL, &code);
        if (s == NATS_OK)
                return 0;
        if (code == (jsErrCode)0) /* no answer: those behind it do not wait for one, too */
                return unreached(bucket, s);
        return code == JSNoMessageFoundErr || code == JSSequenceNotFoundErr ? -ENOENT : -EPERM;
}

/* ---- watching ---- */

int bucket_watch(struct bucket *bucket, uint64_t after)
{
        char subject[64];
        jsErrCode code = (jsErrCode)0;
        jsSubOptions options;

        cluster_drop(bucket->cluster, &bucket->watch);
        bucket->behind_since = 0;
        bucket->delivered = 0;
        if (!cluster_connected(bucket->cluster))
                return unreached(bucket, NATS_CONNECTION_DISCONNECTED);
        (void)snprintf(subject, sizeof(subject), "%s>", bucket->prefix);
        natsStatus s = jsSubOptions_Init(&options);
        options.Stream = bucket->stream;
        options.Config.AckPolicy = js_AckNone;
        options.Config.MaxDeliver = 1;
        options.Config.FlowControl = true;
        options.Config.Heartbeat = HEARTBEAT_NS;
        options.Config.DeliverPolicy = after ? js_DeliverByStartSequence : js_DeliverAll;
        options.Config.OptStartSeq = after ? after + 1 : 0;
        s = s ? s : js_SubscribeSync(&bucket->watch, bucket->js, subject, NULL, &options, &code);
        return s == NATS_OK ? 0 : unreached(bucket, s);
}

/* Whether the message is the next one of the watch, and which revision that is. */
static bool is_next(struct bucket *b, natsMsg *msg)
{
        jsMsgMetaData *meta = NULL;
        const bool good = natsMsg_GetMetaData(&meta, msg) == NATS_OK && meta->Sequence.Consumer == b->delivered + 1;

        b->delivered += good;
        b->seen = good ? meta->Sequence.Stream : b->seen;
        jsMsgMetaData_Destroy(meta);
        return good;
}

int bucket_take(struct bucket *bucket, unsigned wait_ms, unsigned max, bucket_entry_fn *fn, void *arg)
{
        const size_t skip = strlen(bucket->prefix);
        natsMsg *msg = NULL;
        natsStatus s = bucket->watch ? NATS_OK : NATS_INVALID_SUBSCRIPTION;
        unsigned n = 0;

        while (n < max && s == NATS_OK) {
                s = natsSubscription_NextMsg(&msg, bucket->watch, n || !wait_ms ? 1 : wait_ms);
                if (s == NATS_OK && !is_next(bucket, msg)) {
                        natsMsg_Destroy(msg);
                        s = NATS_MISMATCH;
                }
                if (s != NATS_OK)
                        break;
                const char *subject = natsMsg_GetSubject(msg);
                const bool gone = is_deleted(msg);

                if (strlen(subject) > skip)
                        fn(arg, subject + skip, gone ? NULL : natsMsg_GetData(msg),
                           gone ? 0 : (size_t)natsMsg_GetDataLength(msg), bucket->seen);
                natsMsg_Destroy(msg);
                n++;
        }
        return s == NATS_OK || s == NATS_TIMEOUT ? (int)n : n ? (int)n : -EPIPE;
}
