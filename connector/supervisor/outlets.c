/*
 * Where records leave the host: files and a socket that the configuration names, opened here and handed to the ledger,
 * which can open nothing.
 *
 * A file that was moved away (by logrotate, say) is made anew within seconds and handed on; a socket whose receiver
 * ended is connected to again when there is one. What cannot be opened never stops anything: the ledger keeps what it
 * can, and `postern status` says why.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#define TURN_MS 1000
#define SOCKET_BYTES (1024 * 1024)

enum { OUTLET_EVENTS = 0, OUTLET_SOCKET, OUTLET_TRACES, OUTLETS };
static const char *const names[OUTLETS] = {FILE_EVENTS, FILE_EVENTS_SOCKET, FILE_TRACES};

struct outlet {
        bool handed; /* the ledger has it */
        dev_t dev;   /* of what it has */
        ino_t ino;
        char trouble[ERROR_TEXT_MAX]; /* why it has none, or not the one of that path; "": none */
};

struct outlets {
        struct supervisor *s;
        struct loop_timer *timer;
        struct outlet all[OUTLETS];
};

/* The path in the configuration, or NULL; *ret_key: its key. */
static const char *path_of(const struct config *config, size_t i, const char **ret_key)
{
        static const char *const keys[OUTLETS] = {"events_file", "events_socket", "traces_file"};
        const char *const paths[OUTLETS] = {config->events_file, config->events_socket, config->traces_file};

        *ret_key = keys[i];
        return paths[i];
}

static bool is_socket(size_t i)
{
        return i == OUTLET_SOCKET;
}

static int open_file(const char *path, struct error *err)
{
        const mode_t before = umask(027);
        _cleanup_(closep) int fd =
                open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
        const int code = errno;
        struct stat st;

        (void)umask(before);
        if (fd < 0)
                return error_fail(err, -code, "%s: %s%s", path, strerror(code),
                                  code == ENOENT  ? "; make its folder"
                                  : code == EROFS ? "; the unit lets posternd write in /var/log/postern alone: use "
                                                    "that, or add ReadWritePaths= to it"
                                                  : "");
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
                return error_fail(err, -EINVAL, "%s is no file of its own (a device, or it has a second name)", path);
        return steal_fd(&fd);
}

static int open_socket(const char *path, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const int bytes = SOCKET_BYTES;

        if (strlen(path) >= sizeof(address.sun_path))
                return error_fail(err, -ENAMETOOLONG, "%s: the path is too long for a socket", path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                const int code = errno;
                return error_fail(err, -code, "%s: %s", path,
                                  code == EPROTOTYPE ? "it is a stream socket; a datagram socket is needed"
                                  : code == ECONNREFUSED || code == ENOENT ? "nobody receives there; is rsyslog up?"
                                                                           : strerror(code));
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* as much of it as the host allows */
        return steal_fd(&fd);
}

static void set_trouble(struct outlets *o, size_t i, const char *key, const char *why)
{
        if (strcmp(o->all[i].trouble, why) == 0)
                return;
        if (why[0])
                log_warning("outlet.closed", KV_S("key", key), KV_S("why", why));
        else
                log_info("outlet.open", KV_S("key", key));
        (void)snprintf(o->all[i].trouble, sizeof(o->all[i].trouble), "%s", why);
        share_supervisor(o->s);
}

static void hand_on(struct outlets *o, size_t i, const char *key, const char *path)
{
        struct child *ledger = &o->s->children[PART_LEDGER];
        struct error err = {""};
        struct stat st;
        _cleanup_(closep) int fd = is_socket(i) ? open_socket(path, &err) : open_file(path, &err);

        if (fd < 0) {
                set_trouble(o, i, key, err.text);
                return;
        }
        if ((is_socket(i) ? stat(path, &st) : fstat(fd, &st)) < 0 || child_hand(ledger, names[i], fd, &err) < 0)
                return; /* the next turn tries again */
        o->all[i].handed = true;
        o->all[i].dev = st.st_dev;
        o->all[i].ino = st.st_ino;
        set_trouble(o, i, key, "");
}

static void look(struct outlets *o, size_t i)
{
        const char *key, *path = path_of(o->s->config, i, &key);
        const struct outlet *out = &o->all[i];
        struct stat st;

        if (path && (!out->handed || stat(path, &st) < 0 || st.st_dev != out->dev || st.st_ino != out->ino))
                hand_on(o, i, key, path);
}

static void on_timer(void *arg)
{
        struct outlets *o = arg;
        const struct child *ledger = &o->s->children[PART_LEDGER];

        loop_timer_in(o->timer, TURN_MS);
        for (size_t i = 0; ledger->state == CHILD_RUNNING && ledger->ready && i < OUTLETS; i++)
                look(o, i);
}

void outlets_again(struct outlets *o)
{
        for (size_t i = 0; i < OUTLETS; i++)
                o->all[i].handed = false;
        loop_timer_in(o->timer, 0);
}

void outlets_lost(struct outlets *o, const char *name)
{
        for (size_t i = 0; i < OUTLETS; i++)
                if (strcmp(name, names[i]) == 0)
                        o->all[i].handed = false;
}

json_t *outlets_troubles(const struct outlets *o)
{
        json_t *found = json_object();

        for (size_t i = 0; o && i < OUTLETS; i++) {
                const char *key, *path = path_of(o->s->config, i, &key);

                if (path && o->all[i].trouble[0])
                        (void)json_object_set_new(found, key, json_string(o->all[i].trouble));
        }
        return found;
}

size_t outlets_check(const struct config *config, const struct files_check *check)
{
        struct error err;
        size_t n = 0;

        for (size_t i = 0; i < OUTLETS; i++) {
                const char *key, *path = path_of(config, i, &key), *end = path ? strrchr(path, '/') : NULL;
                char folder[PATH_MAX];
                struct stat st;

                if (!path || is_socket(i)) /* its receiver may come later */
                        continue;
                (void)snprintf(folder, sizeof(folder), "%.*s", end > path ? (int)(end - path) : 1, path);
                if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
                        (void)error_fail(&err, 0, "%s: there is no folder %.200s; make it", key, folder);
                        check->tell(check->arg, err.text);
                        n++;
                } else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
                        (void)error_fail(&err, 0, "%s: %.200s is no ordinary file", key, path);
                        check->tell(check->arg, err.text);
                        n++;
                }
        }
        return n;
}

struct outlets *outlets_new(struct supervisor *s)
{
        struct outlets *o = calloc(1, sizeof(*o));

        if (!o)
                return NULL;
        o->s = s;
        if (loop_timer_new(&o->timer, s->loop, NULL, on_timer, o) < 0) {
                free(o);
                return NULL;
        }
        loop_timer_in(o->timer, TURN_MS);
        return o;
}

struct outlets *outlets_free(struct outlets *o)
{
        if (o)
                loop_timer_free(o->timer);
        free(o);
        return NULL;
}
