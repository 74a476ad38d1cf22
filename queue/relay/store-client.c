/*
 * Starting the store process, calling it, and putting together what it tells of tenants.
 *
 * Owns the process, its channel and the calls that wait. Invariant: each call has one end, from the loop, whatever
 * happens to the process. The process's word is taken for its own state only: a frame that is not as it must be ends
 * the channel, and the process is started again.
 */
#include "queue/relay/store-client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/process.h"
#include "queue/relay/store-cluster.h"
#include "queue/relay/store-process.h"

#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 5000
#define START_MS 60000
#define DRAIN_MS 5000
#define BUSY_FRAMES 1024
#define SILENT_MS                                                                                                      \
        30000 /* it says every second that it lives; one that hangs is ended. A lock holds a call up for 2 s */
#define WATCH_MS 5000
#define MEMBERS_MAX 65536
#define REVOKED_MAX 262144

struct store_call {
        TAILQ_ENTRY(store_call) entry;
        struct store_client *client;
        uint64_t number;
        store_row_fn *row;
        store_end_fn *end;
        void *arg;
};
TAILQ_HEAD(calls, store_call);

struct store_client {
        struct loop *loop;
        const struct store_client_ops *ops;
        void *arg;
        const struct relay_config *config;
        struct store_state state;
        struct ipc *ipc;
        pid_t pid;
        struct loop_signal *ended;
        struct loop_timer *timer; /* starts the process again; fails lost calls; ends waiting for it */
        uint64_t restart_ms, calls_made, run, heard;
        struct loop_timer *watch;
        struct calls calls, lost;
        struct store_image image;
        size_t cap_members, cap_revoked;
        bool told, waits; /* all tenants were told once; loop_run was called for an event of this */
        bool draining, drained;
        int code; /* why the first start failed */
        struct error why;
        char failed[200]; /* what the database said to the latest call that failed; "": it went well since */
};

/* ---- images ---- */

static void image_clear(struct store_client *c)
{
        free(c->image.members);
        free(c->image.revoked);
        buffer_free(&c->image.roster);
        c->image = (struct store_image){.roster = BUFFER(ROSTER_TEXT_MAX), .run = c->run};
        c->cap_members = c->cap_revoked = 0;
}

/* Room for one more of size bytes, in an array of n. */
static bool array_grow(void **array, size_t n, size_t *cap, size_t size, size_t max)
{
        if (n < *cap)
                return true;
        const size_t more = *cap ? *cap * 2 : 16;
        void *p = n < max ? realloc(*array, more * size) : NULL;

        if (!p)
                return false;
        *array = p;
        *cap = more;
        return true;
}

static bool take_piece(struct store_client *c, const struct msg_in *m)
{
        struct store_image *i = &c->image;

        switch ((enum store_kind)msg_get_u64(m, STORE_TAG_N, 0)) {
        case STORE_IS_TENANT:
                return store_frames_tenant(m, &i->tenant);
        case STORE_IS_SECRET:
                return i->n_secrets < STORE_SECRETS_MAX && store_frames_secret(m, &i->secrets[i->n_secrets]) &&
                       ++i->n_secrets;
        case STORE_IS_MEMBER:
                return array_grow((void **)&i->members, i->n_members, &c->cap_members, sizeof(*i->members),
                                  MEMBERS_MAX) &&
                       store_frames_member(m, &i->members[i->n_members]) && ++i->n_members;
        case STORE_IS_REVOKED:
                return array_grow((void **)&i->revoked, i->n_revoked, &c->cap_revoked, sizeof(*i->revoked),
                                  REVOKED_MAX) &&
                       store_frames_serial(m, &i->revoked[i->n_revoked]) && ++i->n_revoked;
        }
        return false;
}

static bool take_image(struct store_client *c, const struct msg_in *m)
{
        const int64_t code = (int64_t)msg_get_u64(m, STORE_TAG_CODE, 0);
        char name[TENANT_MAX + 1];

        if (msg_get_str(m, STORE_TAG_TENANT, name, sizeof(name)) < 0 ||
            (code == 0 && strcmp(name, c->image.tenant.name) != 0))
                return false;
        if (code == 0 && !c->draining)
                c->ops->image(c->arg, &c->image);
        else if (code == 1 && !c->draining)
                c->ops->gone(c->arg, name);
        image_clear(c);
        return true;
}

/* ---- calls ---- */

static struct store_call *find_call(struct store_client *c, const struct msg_in *m)
{
        const uint64_t number = msg_get_u64(m, STORE_TAG_CALL, 0);
        struct store_call *call;

        TAILQ_FOREACH (call, &c->calls, entry) /* they end in order: it is the first, or one that was forgotten */
                if (call->number == number)
                        return call;
        return NULL;
}

static void end_call(struct calls *list, struct store_call *call, int code)
{
        TAILQ_REMOVE(list, call, entry);
        if (call->end)
                call->end(call->arg, code);
        free(call);
}

static void end_lost(struct store_client *c)
{
        struct store_call *call;

        while ((call = TAILQ_FIRST(&c->lost)))
                end_call(&c->lost, call, -EIO);
}

void store_client_forget(struct store_call *call)
{
        if (call) {
                call->row = NULL;
                call->end = NULL;
        }
}

static int send_text(struct store_client *c, const char *text)
{
        const size_t n = text ? strlen(text) : 0;
        struct msg_out m;
        int r = 0;

        for (size_t at = 0; at < n && r == 0; at += STORE_PART_MAX) {
                msg_begin(&m, STORE_FRAME_PART);
                msg_u64(&m, STORE_TAG_CALL, 0);
                msg_bytes(&m, STORE_TAG_BYTES, text + at, n - at < STORE_PART_MAX ? n - at : STORE_PART_MAX);
                r = ipc_send(c->ipc, &m);
        }
        return r;
}

static int send_call(struct store_client *c, const struct store_request *q, uint64_t number)
{
        struct msg_out m;
        int r = c->ipc ? send_text(c, q->text) : -EPIPE;

        if (r < 0)
                return r;
        msg_begin(&m, STORE_FRAME_CALL);
        msg_u64(&m, STORE_TAG_OP, q->op);
        msg_u64(&m, STORE_TAG_CALL, number);
        msg_str(&m, STORE_TAG_TENANT, q->tenant);
        msg_str(&m, STORE_TAG_ID, q->id);
        msg_str(&m, STORE_TAG_WORD, q->word);
        if (q->bytes)
                msg_bytes(&m, STORE_TAG_BYTES, q->bytes, q->n_bytes);
        msg_u64(&m, STORE_TAG_AT, (uint64_t)q->at);
        msg_u64(&m, STORE_TAG_N, (uint64_t)q->n);
        if (q->hash)
                msg_bytes(&m, STORE_TAG_HASH, q->hash, STORE_HASH_LEN);
        msg_str(&m, STORE_TAG_JWK, q->jwk);
        msg_str(&m, STORE_TAG_PROOF, q->proof);
        return ipc_send(c->ipc, &m);
}

struct store_call *store_client_call(struct store_client *client, const struct store_request *request,
                                     store_row_fn *row, store_end_fn *end, void *arg)
{
        struct store_call *call = end ? calloc(1, sizeof(*call)) : NULL;

        if (end && !call)
                return NULL;
        const uint64_t number = end ? ++client->calls_made : 0;
        const int r = send_call(client, request, number);
        if (r < 0)
                log_error("store_not_called", KV_U("operation", request->op), KV_S("why", strerror(-r)));
        if (!call)
                return NULL;
        *call = (struct store_call){.client = client, .number = number, .row = row, .end = end, .arg = arg};
        if (r < 0) {
                TAILQ_INSERT_TAIL(&client->lost, call, entry);
                if (!loop_timer_armed(client->timer))
                        loop_timer_in(client->timer, 0);
        } else {
                TAILQ_INSERT_TAIL(&client->calls, call, entry);
        }
        return call;
}

bool store_client_busy(const struct store_client *client)
{
        return !client->ipc || ipc_queued(client->ipc) > BUSY_FRAMES;
}

const char *store_client_fault(const struct store_client *client)
{
        return !client->ipc ? "the process does not run" : client->failed[0] ? client->failed : NULL;
}

/* ---- the channel ---- */

static void take_state(struct store_client *c, const struct msg_in *m)
{
        const bool writable = msg_get_u64(m, STORE_TAG_CODE, 0) == 1;

        if (writable != c->state.writable)
                c->state.since = loop_wall(c->loop);
        c->state.writable = writable;
        c->state.waiting = (int64_t)msg_get_u64(m, STORE_TAG_N, 0);
        c->state.why[0] = '\0';
        (void)msg_get_str(m, TAG_WHY, c->state.why, sizeof(c->state.why));
}

/* Of a reload. */
static void take_taken(const struct msg_in *m)
{
        char name[64] = "", why[256] = "";

        (void)msg_get_str(m, TAG_NAME, name, sizeof(name));
        if (msg_get_str(m, TAG_WHY, why, sizeof(why)) >= 0 && why[0])
                log_error("store_file_not_taken", KV_S("file", name), KV_S("why", why));
        else if (strcmp(name, cluster_file_name(CLUSTER_LOGIN)) == 0)
                log_info("store_joined_anew");
}

const struct store_state *store_client_state(const struct store_client *client)
{
        return &client->state;
}

static void stop_waiting(struct store_client *c)
{
        if (c->waits)
                loop_stop(c->loop, 0);
        c->waits = false;
}

static void take_sync(struct store_client *c, const struct msg_in *m)
{
        struct msg_out answer;
        const uint64_t n = msg_get_u64(m, STORE_TAG_N, 0);

        if (n == 1) {
                c->told = true;
                c->restart_ms = 0;
                c->ops->all_told(c->arg, c->run);
                stop_waiting(c);
        }
        msg_begin(&answer, STORE_FRAME_SYNCED);
        msg_u64(&answer, STORE_TAG_N, n);
        (void)ipc_send(c->ipc, &answer); /* where that fails the channel closes by itself */
}

static void drop_process(struct store_client *c, const char *why)
{
        if (!c->draining)
                log_error("store_lost", KV_S("why", why));
        c->ipc = ipc_free(c->ipc);
        if (c->pid > 0)
                (void)kill(c->pid, SIGKILL);
        image_clear(c);
        TAILQ_CONCAT(&c->lost, &c->calls, entry);
        if (!c->told || c->draining) {
                stop_waiting(c);
                return;
        }
        c->restart_ms = c->restart_ms * 2 < RESTART_MIN_MS   ? RESTART_MIN_MS
                        : c->restart_ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS
                                                             : c->restart_ms * 2;
        loop_timer_in(c->timer, c->restart_ms);
}

static void on_closed(void *arg, const char *why)
{
        drop_process(arg, why);
}

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        _cleanup_(closep) int unwanted = fd;
        struct store_client *c = arg;
        struct store_call *call;
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, STORE_TAG_BYTES, &n);
        bool good = true;

        c->heard = loop_now(c->loop);
        if (m->type == STORE_FRAME_IMAGE) {
                good = take_piece(c, m);
        } else if (m->type == STORE_FRAME_PART) {
                good = bytes && buffer_append(&c->image.roster, bytes, n) == 0;
        } else if (m->type == STORE_FRAME_IMAGE_END) {
                good = take_image(c, m);
        } else if (m->type == STORE_FRAME_SYNC) {
                take_sync(c, m);
        } else if (m->type == STORE_FRAME_ROW && (call = find_call(c, m)) && call->row) {
                call->row(call->arg, m);
        } else if (m->type == STORE_FRAME_END && (call = find_call(c, m))) {
                const int code = (int)(int64_t)msg_get_u64(m, STORE_TAG_CODE, 0);

                c->failed[0] = '\0';
                if (code == -EIO && msg_get_str(m, TAG_WHY, c->failed, sizeof(c->failed)) < 0)
                        (void)snprintf(c->failed, sizeof(c->failed), "the database failed");
                end_call(&c->calls, call, code);
        } else if (m->type == STORE_FRAME_STATE) {
                take_state(c, m);
        } else if (m->type == FRAME_TAKEN) {
                take_taken(m);
        } else if (m->type == FRAME_FAILED) {
                (void)msg_get_str(m, TAG_WHY, c->why.text, sizeof(c->why.text));
        } else if (m->type == FRAME_DRAINED) {
                c->drained = true;
                stop_waiting(c);
        }
        if (!good)
                drop_process(c, "the store process sent what it may not");
}

/* ---- the process ---- */

static int spawn_store(struct store_client *c, const char *user, int control)
{
        char program[] = "/proc/self/exe", role[] = STORE_PROCESS_ROLE, as[80];
        char name[] = "postern-relay";
        char *argv[] = {name, role, user && geteuid() == 0 ? as : NULL, NULL};
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none;

        (void)snprintf(as, sizeof(as), "--user=%s", user ? user : "");
        (void)sigemptyset(&none);
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r == 0) {
                (void)posix_spawnattr_setsigmask(&attr, &none);
                (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
                r = posix_spawn_file_actions_adddup2(&actions, control, PROCESS_CONTROL_FD);
                if (r == 0)
                        r = posix_spawn(&c->pid, program, &actions, &attr, argv, environ);
                (void)posix_spawnattr_destroy(&attr);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* The login last: by it a process that runs joins anew. */
static int send_files(struct store_client *c, struct error *err)
{
        const struct relay_nats *nats = &c->config->nats;
        struct msg_out m;
        int r = 0;

        for (size_t i = 0; i < CLUSTER_FILES_ && r == 0 && c->config->store == RELAY_ON_NATS; i++) {
                const enum cluster_file file = (enum cluster_file)i;
                _cleanup_(closep) int fd = -1;

                if (!cluster_file_path(nats, CLUSTER_STORE, file))
                        continue;
                r = cluster_file_open(nats, CLUSTER_STORE, file, &fd, err);
                msg_begin(&m, FRAME_FILE);
                msg_str(&m, TAG_NAME, cluster_file_name(file));
                if (r == 0 && (r = ipc_send_fd(c->ipc, &m, fd)) < 0)
                        (void)error_fail(err, r, "the store process does not take files: %s", strerror(-r));
        }
        return r;
}

int store_client_reload(struct store_client *client, struct error *err)
{
        return client->ipc ? send_files(client, err) : 0;
}

static int send_start(struct store_client *c, struct error *err)
{
        _cleanup_(closep) int config = memfd_create("settings", MFD_CLOEXEC);
        struct store_settings settings;
        struct msg_out m;

        store_settings_of(c->config, &settings);
        if (config < 0 || write(config, &settings, sizeof(settings)) != (ssize_t)sizeof(settings))
                return error_fail(err, -errno, "the store process cannot be told its settings: %s", strerror(errno));
        msg_begin(&m, FRAME_CONFIG);
        int r = ipc_send_fd(c->ipc, &m, config);
        if (r == 0)
                r = send_files(c, err);
        if (r < 0)
                return r;
        msg_begin(&m, FRAME_START);
        msg_str(&m, TAG_BOOT, "-");
        msg_str(&m, TAG_INSTANCE, "-");
        msg_u64(&m, TAG_SEQ, 0);
        r = ipc_send(c->ipc, &m);
        return r < 0 ? error_fail(err, r, "the store process does not listen: %s", strerror(-r)) : 0;
}

static int start_process(struct store_client *c, const char *user, struct error *err)
{
        int fds[2];
        int r = ipc_pair(fds);

        c->run++;
        c->heard = loop_now(c->loop);
        image_clear(c);
        if (r < 0)
                return error_fail(err, r, "the store process: no pair of sockets: %s", strerror(-r));
        /* at 3 it would be dup'ed onto itself, and stay close-on-exec */
        _cleanup_(closep) int theirs = fcntl(fds[1], F_DUPFD_CLOEXEC, PROCESS_CONTROL_FD + 1);
        close(fds[1]);
        r = ipc_new(&c->ipc, c->loop, fds[0], on_frame, on_closed, c);
        if (r < 0) {
                close(fds[0]);
                return error_fail(err, r, "no memory for the store process");
        }
        ipc_set_rules(c->ipc, &store_frames, STORE_PART_RELAY, STORE_PART_STORE, NULL);
        r = theirs < 0 ? -errno : spawn_store(c, user, theirs);
        return r < 0 ? error_fail(err, r, "the store process cannot be started: %s", strerror(-r)) : send_start(c, err);
}

static void on_timer(void *arg)
{
        struct store_client *c = arg;
        struct error err;

        end_lost(c);
        if (c->waits) {
                stop_waiting(c);
                return;
        }
        if (c->ipc || c->draining || !c->told)
                return;
        if (start_process(c, NULL, &err) < 0)
                drop_process(c, err.text);
        else
                log_info("store_started_again");
}

static void on_watch(void *arg)
{
        struct store_client *c = arg;

        loop_timer_in(c->watch, WATCH_MS);
        if (c->ipc && c->told && loop_now(c->loop) - c->heard > SILENT_MS)
                drop_process(c, "the store process hangs");
}

/* Reaps it; what it said last is in the channel. */
static void on_ended(void *arg)
{
        struct store_client *c = arg;
        int status;

        if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
                return;
        c->pid = 0;
        c->code = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIGURATION ? -EINVAL : -EIO;
        if (c->ipc)
                ipc_read_rest(c->ipc);
        if (c->ipc)
                drop_process(c, "the store process ended");
}

/* ---- life ---- */

int store_client_new(struct store_client **ret_client, struct loop *loop, const struct relay_config *config,
                     const struct store_client_ops *ops, void *arg, struct error *err)
{
        struct store_client *c = calloc(1, sizeof(*c));
        int r = 0;

        if (!c)
                return error_fail(err, -ENOMEM, "no memory");
        c->config = config;
        c->state = (struct store_state){.writable = true, .since = loop_wall(loop)};
        c->loop = loop;
        c->ops = ops;
        c->arg = arg;
        TAILQ_INIT(&c->calls);
        TAILQ_INIT(&c->lost);
        image_clear(c);
        *ret_client = c; /* images come before this returns */
        if (loop_timer_new(&c->timer, loop, NULL, on_timer, c) < 0 ||
            loop_timer_new(&c->watch, loop, NULL, on_watch, c) < 0 ||
            loop_signal_new(&c->ended, loop, SIGCHLD, on_ended, c) < 0)
                r = error_fail(err, -ENOMEM, "no memory");
        if (r == 0)
                r = start_process(c, config->user, err);
        if (r == 0) {
                c->waits = true;
                loop_timer_in(c->timer, START_MS);
                (void)loop_run(loop);
                loop_timer_stop(c->timer);
                loop_timer_in(c->watch, WATCH_MS);
                if (!c->told)
                        r = error_fail(err, c->code ? c->code : -EIO, "%s",
                                       c->why.text[0] ? c->why.text : "the store process did not start");
        }
        if (r < 0)
                *ret_client = store_client_free(c);
        return r;
}

struct store_client *store_client_free(struct store_client *client)
{
        struct store_call *call;
        struct msg_out m;

        if (!client)
                return NULL;
        client->draining = true;
        msg_begin(&m, FRAME_DRAIN);
        msg_u64(&m, TAG_BUDGET, DRAIN_MS);
        if (client->ipc && client->told && ipc_send(client->ipc, &m) == 0) {
                client->waits = true;
                loop_timer_in(client->timer, DRAIN_MS);
                (void)loop_run(client->loop);
        }
        client->ipc = ipc_free(client->ipc); /* that is its end */
        client->ended = loop_signal_free(client->ended);
        if (client->pid > 0 && !client->drained)
                (void)kill(client->pid, SIGKILL);
        if (client->pid > 0)
                (void)waitpid(client->pid, NULL, 0);
        TAILQ_CONCAT(&client->lost, &client->calls, entry);
        while ((call = TAILQ_FIRST(&client->lost))) {
                TAILQ_REMOVE(&client->lost, call, entry);
                free(call);
        }
        loop_timer_free(client->timer);
        loop_timer_free(client->watch);
        image_clear(client);
        free(client);
        return NULL;
}
