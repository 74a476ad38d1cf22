/*
 * The bus process: messages between the relay and a NATS server.
 *
 * Owns the connection. Invariants: what cannot leave now is dropped and, where that matters, told, and never sent
 * later; messages come from libnats' threads through a pipe of pointers, so that everything else is this loop's alone;
 * nothing is looked into, and nothing is kept.
 */
#include "queue/relay/bus-process.h"

#include <errno.h>
#include <fcntl.h>
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/process.h"
#include "queue/relay/bus-frames.h"

#define LOOK_MS 200  /* whether the connection is there */
#define RETRY_MS 500 /* an attempt blocks, for 2 s a server at most */
#define RETRY_MAX_MS 5000
#define PENDING_MAX 8192 /* messages that libnats holds for one subscription */
#define PENDING_BYTES (32 * 1024 * 1024)
#define AT_ONCE 64 /* messages before other work gets its turn */
#define SUBJECT_MAX 200
#define SUBSCRIPTIONS 3

struct server {
        struct process process;
        struct bus_setup setup;
        struct cluster_files files;
        struct cluster *cluster; /* NULL: it is to be made */
        natsSubscription *subscriptions[SUBSCRIPTIONS];
        struct loop_timer *look;
        struct loop_io *reader;
        int pipe[2];
        bool connected; /* as the relay was told */
        uint64_t retry_ms;
};

/* Of all that libnats' threads touch there is only this: where they put what came, and how often there was no room. */
static atomic_int arrivals = -1;
static atomic_uint_fast64_t lost;
static atomic_uint busy; /* threads that are putting something there */

/* ---- from NATS ---- */

/* In a thread of libnats. */
static void put_arrival(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
        (void)nc;
        (void)sub;
        (void)closure;
        atomic_fetch_add(&busy, 1);
        if (write(atomic_load(&arrivals), &msg, sizeof(msg)) != (ssize_t)sizeof(msg)) {
                natsMsg_Destroy(msg);
                atomic_fetch_add(&lost, 1);
        }
        atomic_fetch_sub(&busy, 1);
}

/* The end of a subject behind "SUBJECT.1.WORD."; NULL: it is another. */
static const char *subject_rest(const struct server *s, const char *subject, const char *word)
{
        char beginning[SUBJECT_MAX];
        const int n = snprintf(beginning, sizeof(beginning), "%s" BUS_SUBJECT_VERSION ".%s.", s->setup.subject, word);

        return n > 0 && strncmp(subject, beginning, (size_t)n) == 0 ? subject + n : NULL;
}

static void send_up(struct server *s, const struct msg_out *m)
{
        if (process_send(&s->process, m, -1) < 0)
                process_stop(&s->process, 1, "the relay does not read what it is sent");
}

static void tell_absent(struct server *s, const char *run, uint64_t number)
{
        struct msg_out m;

        msg_begin(&m, BUS_FRAME_ABSENT);
        msg_str(&m, BUS_TAG_TO, run);
        msg_u64(&m, BUS_TAG_NUMBER, number);
        send_up(s, &m);
}

/* lost.OURS.THEIRS.NUMBER: NATS says that it had nobody to give that message to. */
static void take_absent(struct server *s, const char *rest)
{
        char run[BUS_RUN_LEN + 1];
        uint64_t number;

        if (strlen(rest) < 2 * (BUS_RUN_LEN + 1) ||
            text_parse_u64(rest + 2 * (BUS_RUN_LEN + 1), 1, UINT64_MAX, &number) < 0)
                return;
        memcpy(run, rest + BUS_RUN_LEN + 1, BUS_RUN_LEN);
        run[BUS_RUN_LEN] = '\0';
        tell_absent(s, run, number);
}

static void take_arrival(struct server *s, natsMsg *msg)
{
        const char *rest = subject_rest(s, natsMsg_GetSubject(msg), "lost");
        const int n = natsMsg_GetDataLength(msg);
        struct msg_out m;

        if (rest) {
                if (natsMsg_IsNoResponders(msg))
                        take_absent(s, rest);
        } else if (n > 0 && n <= BUS_MESSAGE_MAX) {
                msg_begin(&m, BUS_FRAME_RECEIVED);
                msg_bytes(&m, BUS_TAG_BYTES, natsMsg_GetData(msg), (size_t)n);
                send_up(s, &m);
        }
        natsMsg_Destroy(msg);
}

static void on_arrivals(void *arg, int fd, int events)
{
        struct server *s = arg;
        natsMsg *msg;

        (void)events;
        for (unsigned i = 0; i < AT_ONCE && read(fd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg); i++)
                take_arrival(s, msg);
}

/* ---- the connection ---- */

static void tell_state(struct server *s, bool connected, const char *why)
{
        struct msg_out m;

        s->connected = connected;
        msg_begin(&m, BUS_FRAME_STATE);
        msg_u64(&m, BUS_TAG_NUMBER, connected);
        msg_str(&m, TAG_WHY, why);
        send_up(s, &m);
}

static void drop_connection(struct server *s)
{
        for (size_t i = 0; i < SUBSCRIPTIONS; i++)
                cluster_drop(s->cluster, &s->subscriptions[i]);
        s->cluster = cluster_free(s->cluster);
}

static natsStatus subscribe(const struct server *s, struct cluster *cluster,
                            natsSubscription *subscriptions[SUBSCRIPTIONS])
{
        static const char *const words[SUBSCRIPTIONS] = {"all", "to.", "lost."};
        natsStatus status = NATS_OK;
        char subject[SUBJECT_MAX];

        for (size_t i = 0; i < SUBSCRIPTIONS && status == NATS_OK; i++) {
                (void)snprintf(subject, sizeof(subject), "%s" BUS_SUBJECT_VERSION ".%s%s%s", s->setup.subject, words[i],
                               i ? s->setup.run : "", i == 2 ? ".>" : "");
                status = natsConnection_Subscribe(&subscriptions[i], cluster_connection(cluster), subject, put_arrival,
                                                  NULL);
                if (status == NATS_OK)
                        status = natsSubscription_SetPendingLimits(subscriptions[i], PENDING_MAX, PENDING_BYTES);
        }
        /* the server has all of them, or says what it does not allow */
        return status ? status : natsConnection_FlushTimeout(cluster_connection(cluster), RETRY_MS);
}

/* Connects beside a connection that may be there, whose place the new one takes. */
static int connect_now(struct server *s, struct error *err)
{
        natsSubscription *subscriptions[SUBSCRIPTIONS] = {NULL};
        _cleanup_(cluster_freep) struct cluster *cluster = NULL;
        int r = cluster_new(&cluster, &s->setup.place, &s->files, true, err);

        if (r < 0)
                return r;
        const natsStatus status = subscribe(s, cluster, subscriptions);
        if (status != NATS_OK) {
                for (size_t i = 0; i < SUBSCRIPTIONS; i++)
                        cluster_drop(cluster, &subscriptions[i]);
                return error_fail(err, -EACCES, "NATS does not let dispatch listen to %s.> (%s)", s->setup.subject,
                                  natsStatus_GetText(status));
        }
        drop_connection(s);
        s->cluster = steal(cluster);
        memcpy(s->subscriptions, subscriptions, sizeof(subscriptions));
        return 0;
}

static void look_at_lost(void)
{
        const uint64_t n = atomic_exchange(&lost, 0);

        if (n)
                log_warning("bus_messages_lost", KV_U("messages", n), KV_S("why", "more came than could be read"));
}

static void on_look(void *arg)
{
        struct server *s = arg;
        struct error err = {""};
        uint64_t again = LOOK_MS;

        look_at_lost();
        if (s->cluster && natsConnection_IsClosed(cluster_connection(s->cluster))) /* it has given up */
                drop_connection(s);
        if (!s->cluster && connect_now(s, &err) < 0) {
                again = s->retry_ms = s->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->retry_ms * 2;
                tell_state(s, false, err.text);
        } else if (cluster_connected(s->cluster) != s->connected) {
                s->retry_ms = RETRY_MS;
                tell_state(s, !s->connected, s->connected ? "the connection to the NATS servers was lost" : NULL);
        }
        loop_timer_in(s->look, again);
}

/* ---- to NATS ---- */

static void take_send(struct server *s, const struct msg_in *m)
{
        const uint64_t number = msg_get_u64(m, BUS_TAG_NUMBER, 0);
        char run[BUS_RUN_LEN + 1] = "", subject[SUBJECT_MAX], reply[SUBJECT_MAX];
        natsStatus status = NATS_CONNECTION_CLOSED;
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, BUS_TAG_BYTES, &n);

        (void)msg_get_str(m, BUS_TAG_TO, run, sizeof(run));
        (void)snprintf(subject, sizeof(subject), "%s" BUS_SUBJECT_VERSION ".%s%s", s->setup.subject,
                       run[0] ? "to." : "all", run);
        (void)snprintf(reply, sizeof(reply), "%s" BUS_SUBJECT_VERSION ".lost.%s.%s.%llu", s->setup.subject,
                       s->setup.run, run, (unsigned long long)number);
        if (s->cluster && cluster_connected(s->cluster))
                status = number ? natsConnection_PublishRequest(cluster_connection(s->cluster), subject, reply, bytes,
                                                                (int)n)
                                : natsConnection_Publish(cluster_connection(s->cluster), subject, bytes, (int)n);
        /* of these alone it is certain that not a byte left */
        if (number && (status == NATS_CONNECTION_CLOSED || status == NATS_INSUFFICIENT_BUFFER))
                tell_absent(s, run, number);
        if (status != NATS_OK)
                log_debug("bus_not_sent", KV_S("why", natsStatus_GetText(status)));
}

static void take_frame(void *arg, const struct msg_in *m)
{
        struct error err;

        if (m->type == BUS_FRAME_SEND)
                take_send(arg, m);
        else if (m->type == BUS_FRAME_RELOAD && connect_now(arg, &err) < 0)
                log_error("bus_not_reloaded", KV_S("why", err.text));
        else if (m->type == BUS_FRAME_RELOAD)
                log_info("bus_reloaded");
}

/* ---- life ---- */

static int take_config(void *arg, int fd, struct error *err)
{
        struct server *s = arg;
        const ssize_t n = pread(fd, &s->setup, sizeof(s->setup), 0);

        close(fd);
        s->setup.run[BUS_RUN_LEN] = s->setup.subject[sizeof(s->setup.subject) - 1] = '\0';
        return n == (ssize_t)sizeof(s->setup) ? 0 : error_fail(err, -EBADMSG, "the relay sent no configuration");
}

static int take_file(void *arg, const char *name, int fd, struct error *err)
{
        struct server *s = arg;
        int r = 0;

        for (size_t i = 0; i < CLUSTER_FILES_; i++)
                if (strcmp(name, cluster_file_name((enum cluster_file)i)) == 0)
                        r = cluster_file_take(&s->files, (enum cluster_file)i, fd, err);
        close(fd);
        return r;
}

/* What getaddrinfo() and OpenSSL read. A host that lets nobody confine himself still has a bus. */
static void confine_here(struct server *s)
{
        static const struct confine_path readable[] = {{"/etc/resolv.conf", -1, false},   {"/etc/hosts", -1, false},
                                                       {"/etc/nsswitch.conf", -1, false}, {"/etc/gai.conf", -1, false},
                                                       {"/etc/host.conf", -1, false},     {"/etc/ssl", -1, false},
                                                       {"/usr/lib/ssl", -1, false}};
        const struct confine_rules rules = {.process = "bus",
                                            .needs = CONFINE_CONNECT | CONFINE_READ | CONFINE_THREADS,
                                            .paths = readable,
                                            .n_paths = sizeof(readable) / sizeof(readable[0])};
        struct error err;

        if (process_confine(&s->process, &rules, CONFINE_ENFORCE, &err) < 0)
                log_warning("bus_not_confined", KV_S("why", err.text));
}

static int start(void *arg, const char *boot, const char *instance, struct error *err)
{
        struct server *s = arg;
        struct loop *loop = s->process.loop;

        (void)boot;
        (void)instance;
        if (pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_fail(err, -errno, "no pipe: %s", strerror(errno));
        atomic_store(&arrivals, s->pipe[1]);
        if (loop_io_new(&s->reader, loop, NULL, s->pipe[0], LOOP_READ, on_arrivals, s) < 0 ||
            loop_timer_new(&s->look, loop, NULL, on_look, s) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        confine_here(s); /* before libnats has threads */
        process_ready(&s->process);
        s->retry_ms = RETRY_MS;
        loop_timer_in(s->look, 0);
        return 0;
}

static void clear(struct server *s)
{
        natsMsg *msg;

        if (s->cluster) /* the last words */
                (void)natsConnection_FlushTimeout(cluster_connection(s->cluster), RETRY_MS);
        atomic_store(&arrivals, -1);
        drop_connection(s);
        while (atomic_load(&busy)) /* what it puts there now is still to be freed */
                (void)usleep(1000);
        while (s->pipe[0] >= 0 && read(s->pipe[0], &msg, sizeof(msg)) == (ssize_t)sizeof(msg))
                natsMsg_Destroy(msg);
        loop_io_free(s->reader);
        loop_timer_free(s->look);
        cluster_files_free(&s->files);
        for (size_t i = 0; i < 2; i++)
                if (s->pipe[i] >= 0)
                        close(s->pipe[i]);
}

bool bus_process_built(void)
{
        return true;
}

bool bus_process_wanted(int argc, char **argv)
{
        return argc > 1 && strcmp(argv[1], BUS_PROCESS_ROLE) == 0;
}

int bus_process_main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = take_config, .file = take_file, .start = start, .frame = take_frame};
        static struct server s = {.pipe = {-1, -1}};
        struct error err;

        cluster_files_init(&s.files);
        if (process_open(&s.process, &bus_frames, BUS_PART_BUS, argc, argv, &ops, &s, &err) < 0)
                return process_fail("bus", &err);
        (void)prctl(PR_SET_NAME, "postern-relay"); /* not "exe", by which it was started */
        const int code = process_run(&s.process);
        clear(&s);
        process_close(&s.process);
        return code;
}
