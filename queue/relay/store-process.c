/*
 * The store process: does what the relay calls for, tells it of every tenant that was written, and keeps metadata of
 * sign-ins until the database takes them.
 *
 * Owns the database handle. Invariants: calls are done in order, and what a call has written reaches the relay before
 * its END; a tenant is sent whole, so that the relay never sees half of a change; rows of sign-ins wait here, as many
 * as ROWS_MAX, however long somebody else holds the database's lock. It judges nothing and knows no clock but the
 * calls'.
 */
#include "queue/relay/store-process.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/process.h"
#include "queue/relay/store-process-internal.h"

#define LOOK_MS 500 /* for what somebody wrote who does not say so */
#define RETRY_MS 300
#define QUEUE_FULL 512 /* frames that wait: no further tenant is sent until the relay has read some */
#define PUSH_MS 2
#define ROWS_MAX 65536
#define ROWS_AT_ONCE 512
#define WRITTEN_MS 5000

/* ---- tenants to the relay ---- */

void store_process_send(struct server *s, const struct msg_out *m)
{
        if (process_send(&s->process, m, -1) < 0)
                process_stop(&s->process, 1, "the relay does not read what it is sent");
}

static void send_piece(struct server *s, enum store_kind kind, const void *row, size_t size)
{
        struct msg_out m;

        msg_begin(&m, STORE_FRAME_IMAGE);
        msg_u64(&m, STORE_TAG_N, kind);
        msg_bytes(&m, STORE_TAG_BYTES, row, size);
        store_process_send(s, &m);
}

static void send_member(void *arg, const struct store_member *member)
{
        send_piece(arg, STORE_IS_MEMBER, member, sizeof(*member));
}

static void send_serial(void *arg, const struct store_serial *serial)
{
        send_piece(arg, STORE_IS_REVOKED, serial, sizeof(*serial));
}

static void send_parts(struct server *s, const struct buffer *text)
{
        struct msg_out m;

        for (size_t at = 0; at < text->len; at += STORE_PART_MAX) {
                msg_begin(&m, STORE_FRAME_PART);
                msg_u64(&m, STORE_TAG_CALL, 0);
                msg_bytes(&m, STORE_TAG_BYTES, text->data + at,
                          text->len - at < STORE_PART_MAX ? text->len - at : STORE_PART_MAX);
                store_process_send(s, &m);
        }
}

/* 0, 1: there is none of this name; -EIO. What is written meanwhile is a change of its own, and sent after this. */
static int send_pieces(struct server *s, const char *name)
{
        _cleanup_(buffer_free) struct buffer roster = BUFFER(ROSTER_TEXT_MAX);
        struct store_secret secrets[STORE_SECRETS_MAX];
        struct store_tenant tenant;
        size_t n = 0;

        memset(&tenant, 0, sizeof(tenant));
        int r = store_tenant_get(s->store, name, &tenant);
        if (r < 0)
                return r == -ENOENT ? 1 : r;
        send_piece(s, STORE_IS_TENANT, &tenant, sizeof(tenant));
        memset(secrets, 0, sizeof(secrets));
        r = store_secrets(s->store, name, secrets, &n);
        for (size_t i = 0; r == 0 && i < n; i++)
                send_piece(s, STORE_IS_SECRET, &secrets[i], sizeof(secrets[i]));
        if (r == 0)
                r = store_members(s->store, name, send_member, s);
        if (r == 0)
                r = store_revoked(s->store, name, send_serial, s);
        if (r == 0)
                r = store_roster_get(s->store, name, &roster);
        if (r == 0)
                send_parts(s, &roster);
        return r == -ENOENT ? 0 : r;
}

/* Of a tenant of which a part cannot be read the relay goes by what it has. */
static int send_tenant(struct server *s, const char *name)
{
        struct msg_out m;
        const int r = send_pieces(s, name);

        if (r < 0)
                log_error("tenant_not_read", KV_S("tenant", name), KV_S("why", store_why(s->store)));
        msg_begin(&m, STORE_FRAME_IMAGE_END);
        msg_str(&m, STORE_TAG_TENANT, name);
        msg_u64(&m, STORE_TAG_CODE, (uint64_t)(int64_t)r);
        store_process_send(s, &m);
        return r;
}

/* All that was written was sent: who waits for that waits for the relay's word on this SYNC. */
static void send_sync(struct server *s)
{
        struct msg_out m;

        msg_begin(&m, STORE_FRAME_SYNC);
        msg_u64(&m, STORE_TAG_N, ++s->syncs);
        store_process_send(s, &m);
        for (size_t i = 0; i < s->n_waiters; i++)
                if (s->waiters[i].sync == 0)
                        s->waiters[i].sync = s->syncs;
        s->all_sent = true;
        s->waiting = false;
}

static void note_change(void *arg, const char *tenant)
{
        struct server *s = arg;
        struct changed *c = calloc(1, sizeof(*c));

        if (!c)
                return;
        memcpy(c->tenant, tenant, strnlen(tenant, TENANT_MAX));
        STAILQ_INSERT_TAIL(&s->changes, c, entry);
}

static void note_tenant(void *arg, const struct store_tenant *tenant)
{
        note_change(arg, tenant->name);
}

/* Sends what has changed, as fast as the relay reads; then says that this was all. */
static void on_push(void *arg)
{
        struct server *s = arg;
        struct changed *c;

        while ((c = STAILQ_FIRST(&s->changes)) && process_queued(&s->process) < QUEUE_FULL) {
                if (send_tenant(s, c->tenant) < 0) {
                        loop_timer_in(s->push, RETRY_MS);
                        return;
                }
                STAILQ_REMOVE_HEAD(&s->changes, entry);
                free(c);
        }
        if (c)
                loop_timer_in(s->push, PUSH_MS);
        else if (!s->all_sent || s->waiting)
                send_sync(s);
}

/* Takes up what was written since the last time, by whoever. */
void store_process_look(struct server *s)
{
        int64_t last;

        if (store_changes(s->store, s->seen, note_change, s, &last) < 0) {
                log_error("changes_not_read", KV_S("why", store_why(s->store)));
                return;
        }
        s->seen = last;
        on_push(s);
}

static void on_look(void *arg)
{
        struct server *s = arg;
        const int64_t version = store_version(s->store);

        loop_timer_in(s->look, LOOK_MS);
        if (version == s->version)
                return;
        s->version = version;
        store_process_look(s);
}

/* ---- who waits until the relay goes by what was written ---- */

static void on_waiter(void *arg, int listening, int events)
{
        struct server *s = arg;
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        (void)events;
        if (fd < 0)
                return;
        if (s->n_waiters == WAITERS_MAX) {
                close(fd);
                return;
        }
        s->waiters[s->n_waiters++] = (struct waiter){fd, 0};
        s->waiting = true;
        store_process_look(s);
}

static void end_waiters(struct server *s, uint64_t sync)
{
        size_t n = 0;

        for (size_t i = 0; i < s->n_waiters; i++) {
                if (s->waiters[i].sync ? s->waiters[i].sync <= sync : sync == UINT64_MAX)
                        close(s->waiters[i].fd);
                else
                        s->waiters[n++] = s->waiters[i];
        }
        s->n_waiters = n;
}

static int listen_here(struct server *s, struct error *err)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = STORE_PROCESS_SOCKET};

        (void)unlink(STORE_PROCESS_SOCKET); /* of a relay that was killed */
        s->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const mode_t mask = umask(0177);
        const int r = s->listening < 0 ? -1 : bind(s->listening, (struct sockaddr *)&to, sizeof(to));
        umask(mask);
        if (r < 0 || listen(s->listening, WAITERS_MAX) < 0)
                return error_fail(err, -errno, "%s/%s: %s", s->settings.dir, STORE_PROCESS_SOCKET, strerror(errno));
        return loop_io_new(&s->listener, s->process.loop, NULL, s->listening, LOOP_READ, on_waiter, s);
}

bool store_process_written(const char *dir)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = STORE_PROCESS_SOCKET};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (fd < 0 || chdir(dir) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                return true; /* no relay runs */
        return poll(&p, 1, WRITTEN_MS) > 0;
}

/* ---- metadata of sign-ins ---- */

void store_process_write_rows(void *arg)
{
        struct server *s = arg;
        const char *tenants[ROWS_AT_ONCE];
        struct store_sign_in rows[ROWS_AT_ONCE];

        while (s->n_rows) {
                const size_t n = s->n_rows < ROWS_AT_ONCE ? s->n_rows : ROWS_AT_ONCE;

                for (size_t i = 0; i < n; i++) {
                        tenants[i] = s->rows[i].tenant;
                        rows[i] = s->rows[i].sign_in;
                }
                if (store_sign_ins_put(s->store, tenants, rows, n) < 0) {
                        log_debug("metadata_waits", KV_U("rows", s->n_rows), KV_S("why", store_why(s->store)));
                        loop_timer_in(s->retry, RETRY_MS);
                        return;
                }
                memmove(s->rows, s->rows + n, (s->n_rows - n) * sizeof(*s->rows));
                s->n_rows -= n;
        }
        free(s->rows);
        s->rows = NULL;
        s->cap_rows = 0;
}

int store_process_take_rows(struct server *s, const struct msg_in *m)
{
        struct store_row rows[STORE_ROWS_A_FRAME];
        size_t n;

        if (!store_frames_rows(m, rows, &n))
                return -EBADMSG;
        if (s->n_rows + n > s->cap_rows) {
                const size_t cap = s->cap_rows ? s->cap_rows * 2 : 1024;
                struct store_row *more = s->n_rows + n <= ROWS_MAX ? realloc(s->rows, cap * sizeof(*more)) : NULL;

                if (!more) {
                        s->dropped += n;
                        log_warning("metadata_dropped", KV_U("rows", n), KV_U("total", s->dropped),
                                    KV_S("why", store_why(s->store)));
                        return -ENOBUFS;
                }
                s->rows = more;
                s->cap_rows = cap;
        }
        memcpy(s->rows + s->n_rows, rows, n * sizeof(*rows));
        s->n_rows += n;
        if (!loop_timer_armed(s->retry))
                loop_timer_in(s->retry, 0); /* with all that came in the same breath */
        return 0;
}

static void take_frame(void *arg, const struct msg_in *m)
{
        struct server *s = arg;
        size_t n;
        const uint8_t *part = msg_get_bytes(m, STORE_TAG_BYTES, &n);

        if (m->type == STORE_FRAME_CALL)
                store_process_call(s, m);
        else if (m->type == STORE_FRAME_SYNCED)
                end_waiters(s, msg_get_u64(m, STORE_TAG_N, 0));
        else if (m->type == STORE_FRAME_PART && (!part || buffer_append(&s->parts, part, n) < 0))
                process_stop(&s->process, 1, "the relay sent a text that is too long");
}

/* ---- life ---- */

static int take_config(void *arg, int fd, struct error *err)
{
        struct server *s = arg;
        const ssize_t n = pread(fd, &s->settings, sizeof(s->settings), 0);

        close(fd);
        s->settings.dir[sizeof(s->settings.dir) - 1] = '\0';
        return n == (ssize_t)sizeof(s->settings) ? 0 : error_fail(err, -EBADMSG, "the relay sent no configuration");
}

/* The login is the last of them: after the start, that is a reload. */
static int take_file(void *arg, const char *name, int fd, struct error *err)
{
        _cleanup_(closep) int owned = fd;
        struct server *s = arg;
        int r = -EBADMSG;

        for (size_t i = 0; i < CLUSTER_FILES_; i++)
                if (strcmp(cluster_file_name((enum cluster_file)i), name) == 0)
                        r = cluster_file_take(&s->files, (enum cluster_file)i, owned, err);
        if (!s->cluster)
                return r;
        if (r == 0 && strcmp(name, cluster_file_name(CLUSTER_LOGIN)) == 0)
                r = store_cluster_reload(s->cluster, &s->files, err);
        process_taken(&s->process, name, r < 0 ? err->text : NULL);
        return 0; /* what it had goes on */
}

static int open_all(struct server *s, struct error *err)
{
        struct process *p = &s->process;
        const char *dir = s->settings.dir;
        int r = store_open(&s->store, dir, err);

        if (r == 0 && chdir(dir) < 0)
                r = error_fail(err, -errno, "state_dir %s: %s", dir, strerror(errno));
        if (r == 0)
                r = listen_here(s, err);
        if (r == 0 && (loop_timer_new(&s->push, p->loop, NULL, on_push, s) < 0 ||
                       loop_timer_new(&s->look, p->loop, NULL, on_look, s) < 0 ||
                       loop_timer_new(&s->retry, p->loop, NULL, store_process_write_rows, s) < 0))
                r = error_fail(err, -ENOMEM, "no memory");
        return r;
}

/* A host that lets nobody confine himself still has a relay; what it has no more is one wall of several. */
static void confine_here(struct server *s)
{
        const struct confine_path paths[] = {{.path = s->settings.dir, .fd = -1, .write = true},
                                             {.path = "/etc/hosts", .fd = -1},
                                             {.path = "/etc/resolv.conf", .fd = -1},
                                             {.path = "/etc/nsswitch.conf", .fd = -1},
                                             {.path = "/run/systemd/resolve", .fd = -1}};
        const bool nats = s->settings.nats != 0;
        const struct confine_rules rules = {.process = "store",
                                            .needs = CONFINE_WRITE | CONFINE_ACCEPT |
                                                     (nats ? CONFINE_CONNECT | CONFINE_THREADS : 0),
                                            .paths = paths,
                                            .n_paths = nats ? sizeof(paths) / sizeof(paths[0]) : 1};
        struct addrinfo *found = NULL;
        struct error err;

        /* what the C library and OpenSSL read once, and find no more behind the wall */
        if (nats && getaddrinfo("localhost", NULL, NULL, &found) == 0)
                freeaddrinfo(found);
        if (nats)
                (void)OPENSSL_init_ssl(0, NULL);

        if (process_confine(&s->process, &rules, CONFINE_ENFORCE, &err) < 0)
                log_warning("store_not_confined", KV_S("why", err.text));
}

static void on_changed(void *arg)
{
        store_process_look(arg);
}

static void on_state(void *arg, bool writable, const char *why, int64_t waiting)
{
        struct server *s = arg;
        struct msg_out m;

        msg_begin(&m, STORE_FRAME_STATE);
        msg_u64(&m, STORE_TAG_CODE, writable);
        msg_u64(&m, STORE_TAG_N, (uint64_t)waiting);
        if (!writable)
                msg_str(&m, TAG_WHY, why);
        store_process_send(s, &m);
}

static int join_cluster(struct server *s, struct error *err)
{
        static const struct store_cluster_ops ops = {.changed = on_changed, .state = on_state};

        return store_cluster_new(&s->cluster, s->process.loop, s->store, &s->settings, &s->files, &ops, s, err);
}

static int start(void *arg, const char *boot, const char *instance, struct error *err)
{
        struct server *s = arg;

        (void)boot;
        (void)instance;
        int r = open_all(s, err);
        if (r < 0)
                return r;
        confine_here(s);
        if (s->settings.nats && (r = join_cluster(s, err)) < 0)
                return r;
        s->version = store_version(s->store);
        if (store_changes(s->store, -1, note_change, s, &s->seen) < 0 || store_tenants(s->store, note_tenant, s) < 0)
                return error_fail(err, -EIO, "%s", store_why(s->store));
        process_ready(&s->process);
        on_push(s);
        loop_timer_in(s->look, LOOK_MS);
        return 0;
}

/* The relay goes down: what waits is written, if the database lets us. */
static void drain(void *arg, uint64_t budget_ms)
{
        struct server *s = arg;

        (void)budget_ms;
        store_process_write_rows(s);
        process_drained(&s->process);
}

static void clear(struct server *s)
{
        struct changed *c;

        while ((c = STAILQ_FIRST(&s->changes))) {
                STAILQ_REMOVE_HEAD(&s->changes, entry);
                free(c);
        }
        end_waiters(s, UINT64_MAX);
        loop_io_free(s->listener);
        if (s->listening >= 0) {
                (void)unlink(STORE_PROCESS_SOCKET);
                close(s->listening);
        }
        loop_timer_free(s->push);
        loop_timer_free(s->look);
        loop_timer_free(s->retry);
        buffer_free(&s->parts);
        free(s->rows);
        store_cluster_free(s->cluster);
        cluster_files_free(&s->files);
        store_free(s->store);
}

bool store_process_wanted(int argc, char **argv)
{
        return argc > 1 && strcmp(argv[1], STORE_PROCESS_ROLE) == 0;
}

int store_process_main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = take_config, .file = take_file, .start = start, .drain = drain, .frame = take_frame};
        static struct server s = {.listening = -1};
        struct error err;

        STAILQ_INIT(&s.changes);
        cluster_files_init(&s.files);
        s.parts = BUFFER(ROSTER_TEXT_MAX);
        if (process_open(&s.process, &store_frames, STORE_PART_STORE, argc, argv, &ops, &s, &err) < 0)
                return process_fail("store", &err);
        (void)prctl(PR_SET_NAME, "postern-relay"); /* not "exe", by which it was started */
        const int code = process_run(&s.process);
        clear(&s);
        process_close(&s.process);
        return code;
}
