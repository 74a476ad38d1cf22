/*
 * The files of the gateway: judged and opened here, read by the process they belong to. Key bytes do not pass through
 * the supervisor's memory, but for those of the events-key, which is made here.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/hand.h"
#include "base/process/reloading.h"
#include "queue/gateway/supervisor/supervisor.h"

#define PEM_MAX (256 * 1024)
#define FILE_LOCK "lock"     /* of state_dir: held while a gateway runs, with its pid in it */
#define FILE_RELOAD "reload" /* the same: how the latest reload ended */

/* What one process gets. */
struct handing {
        const struct gateway_config *config;
        const struct gateway *sockets;
        hand_fn *fn;
        void *arg;
        struct error *err;
};

static int hand_path(struct handing *h, const char *name, const char *path, enum hand_kind kind)
{
        _cleanup_(closep) int fd = hand_open(path, kind, h->err);

        return fd < 0 ? fd : h->fn(h->arg, name, fd, h->err);
}

/* For OpenSSL, which opens it by name. */
static int hand_pem(struct handing *h, const char *name, const char *path, enum hand_kind kind)
{
        _cleanup_(closep) int from = hand_open(path, kind, h->err);
        _cleanup_(closep) int fd = from < 0 ? from : hand_copy(path, from, PEM_MAX, h->err);

        return fd < 0 ? fd : h->fn(h->arg, name, fd, h->err);
}

static int in_state(const struct gateway_config *config, const char *name, char path[PATH_MAX], struct error *err)
{
        if (snprintf(path, PATH_MAX, "%s/%s", config->state_dir, name) >= PATH_MAX)
                return error_fail(err, -ENAMETOOLONG, "state_dir: the path is too long");
        return 0;
}

int gateway_lock(struct gateway *g, const struct gateway_config *config, struct error *err)
{
        char path[PATH_MAX];
        int r = in_state(config, FILE_LOCK, path, err);

        r = r < 0 ? r : hand_lock(path, &g->lock_fd, err);
        return r == -EBUSY
                       ? error_fail(err, r,
                                    "another postern-gateway runs with state_dir %s: give each one a folder of its own",
                                    config->state_dir)
                       : r;
}

void gateway_reload_tell(struct gateway *g, const char *why, bool lost)
{
        char path[PATH_MAX];
        struct error err;
        int r = in_state(g->config, FILE_RELOAD, path, &err);

        r = r < 0 ? r : reloading_tell(path, g->boot.id, ++g->reloads, why, lost, &err);
        if (r < 0)
                log_warning("reload.untold", KV_S("why", err.text));
}

int gateway_reload(const struct gateway_config *config)
{
        char lock[PATH_MAX], answer[PATH_MAX];
        struct error err;

        if (in_state(config, FILE_LOCK, lock, &err) < 0 || in_state(config, FILE_RELOAD, answer, &err) < 0)
                return (void)fprintf(stderr, "%s\n", err.text), 1;
        return reloading_wait(&(struct reloading){"postern-gateway", config->state_dir, lock, answer});
}

bool gateway_runs(const struct gateway_config *config)
{
        char path[PATH_MAX];
        struct error err;

        return in_state(config, FILE_LOCK, path, &err) == 0 && hand_locked(path);
}

static int in_service(const struct handing *h, const char *name, char path[PATH_MAX])
{
        if (snprintf(path, PATH_MAX, "%s/%s", h->config->service, name) >= PATH_MAX)
                return error_fail(h->err, -ENAMETOOLONG, "service: the path is too long");
        return 0;
}

/* service.json for itself, and to the process. */
static int hand_service(struct handing *h, struct service *ret_service)
{
        char path[PATH_MAX];
        int r = in_service(h, SERVICE_META, path);
        _cleanup_(closep) int fd = r < 0 ? r : hand_open(path, HAND_PUBLIC, h->err);

        if (fd == -ENOENT)
                return error_fail(
                        h->err, -ENOENT,
                        "no service is in %s: make one with: postern service init NAME --gateway --relay URL "
                        "--tenant T --pin PIN (or, in a folder of your own: --service FOLDER --secret-file F)",
                        h->config->service);
        if (fd < 0)
                return fd;
        r = gateway_service_read(ret_service, fd, h->err);
        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = error_fail(h->err, -errno, "%s: %s", path, strerror(errno));
        return r < 0 ? r : h->fn(h->arg, SERVICE_META, fd, h->err);
}

static int hand_sealer(struct handing *h)
{
        char path[PATH_MAX];
        struct service service;
        int r = hand_service(h, &service);

        r = r < 0 ? r : in_service(h, SERVICE_KEY, path);
        r = r < 0 ? r : hand_path(h, SERVICE_KEY, path, HAND_PRIVATE);
        if (r < 0)
                return r;
        r = in_state(h->config, GATEWAY_FILE_ROSTER, path, h->err);
        if (r < 0 || h->sockets)
                return r < 0 ? r : hand_path(h, GATEWAY_FILE_ROSTER, path, HAND_STATE);
        if (access(h->config->state_dir, W_OK) < 0)
                return error_fail(h->err, -errno, "state_dir %s: %s; make it with: mkdir -m 700 %s",
                                  h->config->state_dir, strerror(errno), h->config->state_dir);
        r = hand_path(h, GATEWAY_FILE_ROSTER, path, HAND_PRIVATE);
        return r == -ENOENT ? 0 : r; /* a start makes it */
}

static int hand_link(struct handing *h)
{
        struct service service = {.id = ""};
        int r = hand_service(h, &service);
        const char *ca = r < 0                ? NULL
                         : h->config->ca_file ? h->config->ca_file
                         : *service.ca_file   ? service.ca_file
                                              : NULL;

        r = r < 0 ? r : hand_path(h, GATEWAY_FILE_SECRET, service.secret_file, HAND_PRIVATE);
        return r < 0 || !ca ? r : hand_path(h, GATEWAY_FILE_CA, ca, HAND_PUBLIC);
}

static int make_events_key(const char *path, struct error *err)
{
        uint8_t key[GATEWAY_EVENTS_KEY_LEN];
        int r = getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key) ? 0 : -EIO;

        r = r < 0 ? error_fail(err, r, "no random numbers") : file_write_atomic(path, key, sizeof(key), 0600, err);
        explicit_bzero(key, sizeof(key));
        return r;
}

/* The key of pseudonyms, made where there is none, or half of one. Records keep nobody from signing in: without it the
 * doors make one that lasts until their end. */
static void hand_events_key(struct handing *h)
{
        char path[PATH_MAX];
        struct stat st;
        struct error err = {""};
        int r = in_state(h->config, GATEWAY_FILE_EVENTS_KEY, path, &err);

        if (r == 0 && (stat(path, &st) < 0 ? errno == ENOENT : st.st_size < GATEWAY_EVENTS_KEY_LEN))
                r = make_events_key(path, &err);
        struct handing for_doors = *h;
        for_doors.err = &err;
        if (r == 0)
                r = hand_path(&for_doors, GATEWAY_FILE_EVENTS_KEY, path, HAND_PRIVATE);
        if (r < 0)
                log_warning("events.no_key", KV_S("why", err.text));
}

static int hand_doors(struct handing *h)
{
        const struct gateway_config *c = h->config;
        char name[CONTROL_NAME_MAX];
        int r = 0;

        if (c->certificate)
                r = hand_pem(h, GATEWAY_FILE_CERTIFICATE, c->certificate, HAND_PUBLIC);
        if (r == 0 && c->key)
                r = hand_pem(h, GATEWAY_FILE_TLS_KEY, c->key, HAND_PRIVATE);
        if (r == 0 && c->client_ca)
                r = hand_pem(h, GATEWAY_FILE_CLIENT_CA, c->client_ca, HAND_PUBLIC);
        if (r == 0 && h->sockets && (c->events_file || c->events_socket))
                hand_events_key(h);
        for (size_t i = 0; r == 0 && i < c->n_apps; i++) {
                if (!c->apps[i].secret_file)
                        continue;
                (void)snprintf(name, sizeof(name), GATEWAY_FILE_APP "%s", c->apps[i].name);
                r = hand_path(h, name, c->apps[i].secret_file, HAND_PRIVATE);
        }
        for (size_t i = 0; r == 0 && h->sockets && i < h->sockets->n_sockets; i++) {
                (void)snprintf(name, sizeof(name), GATEWAY_FILE_LISTEN "%zu", i);
                r = h->fn(h->arg, name, h->sockets->sockets[i].fd, h->err);
        }
        return r;
}

int gateway_files(const struct gateway_config *config, const struct gateway *sockets, enum gateway_part part,
                  hand_fn *fn, void *arg, struct error *err)
{
        struct handing h = {config, sockets, fn, arg, err};

        return part == GATEWAY_DOORS ? hand_doors(&h) : part == GATEWAY_SEALER ? hand_sealer(&h) : hand_link(&h);
}

static int hand_nobody(void *arg, const char *name, int fd, struct error *err)
{
        (void)arg;
        (void)name;
        (void)fd;
        (void)err;
        return 0;
}

/* As root: each process has a user of its own, which is there. */
static int check_user(const struct gateway_config *config, enum gateway_part part, struct error *err)
{
        const char *name = gateway_user(config, part);
        const struct passwd *pw = getpwnam(name);

        if (!pw)
                return error_fail(err, -ENOENT,
                                  "user_%s: there is no user %s; make it with: useradd --system --no-create-home "
                                  "--shell /usr/sbin/nologin %s",
                                  gateway_frames.parts[part], name, name);
        if (pw->pw_uid == 0)
                return error_fail(err, -EINVAL, "user_%s: %s is root", gateway_frames.parts[part], name);
        for (enum gateway_part other = GATEWAY_DOORS; other < part; other++)
                if (strcmp(gateway_user(config, other), name) == 0)
                        return error_fail(err, -EINVAL,
                                          "user_%s and user_%s are one: give each process a user of its own",
                                          gateway_frames.parts[other], gateway_frames.parts[part]);
        return 0;
}

static void tell_fault(void *arg, const char *text)
{
        (void)arg;
        (void)fprintf(stderr, "%s\n", text);
}

static void tell_note(void *arg, const char *text)
{
        (void)arg;
        (void)fprintf(stderr, "note: %s\n", text);
}

size_t gateway_files_check(const struct gateway_config *config, size_t ret_found[GATEWAY_PARTS])
{
        struct error err;
        size_t n = 0;

        for (enum gateway_part part = GATEWAY_DOORS; part < GATEWAY_PARTS; n += ret_found[part++]) {
                ret_found[part] = 0;
                if (geteuid() == 0 && check_user(config, part, &err) < 0) {
                        (void)fprintf(stderr, "%s\n", err.text);
                        ret_found[part]++;
                }
                if (part == GATEWAY_LINK && ret_found[GATEWAY_SEALER]) /* service.json's faults are told once */
                        continue;
                if (gateway_files(config, NULL, part, hand_nobody, NULL, &err) < 0) {
                        (void)fprintf(stderr, "%s\n", err.text);
                        ret_found[part]++;
                }
        }
        return n + scribe_check(
                           (const char *const[EVENTS_WAYS]){
                                   [EVENTS_WAY_FILE] = config->events_file, [EVENTS_WAY_TRACES] = config->traces_file},
                           tell_fault, tell_note, NULL);
}
