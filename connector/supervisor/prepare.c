/*
 * What is there before any process starts: folders, enrolment, lock, hash key, control socket. A start makes it; a
 * check (supervisor/check.c) only looks at it, by the same functions.
 *
 * Invariant: a check makes, binds and locks nothing. The files of the processes are supervisor/files.c's.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/frames/name-hash.h"
#include "connector/conf/enrolment.h"

#define CONTROL_BACKLOG 16

static int make_folder(const char *path, mode_t mode, struct error *err)
{
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return error_fail(err, -errno, "cannot make the folder %s: %s", path, strerror(errno));
        return 0;
}

/* Pins, certificates and the lock are found by name in it: whoever can write to it is the connector. */
static int judge_state_folder(const char *path, struct error *err)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return error_fail(err, -errno, "state_dir %s: %s", path, strerror(errno));
        if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH))
                return error_fail(
                        err, -EPERM,
                        "state_dir %s is not a folder, belongs to another user, or can be written to by others; "
                        "fix it with: chown root %s; chmod 700 %s",
                        path, path, path);
        return 0;
}

static int judge_ledger_folder(const char *path, gid_t gid, struct error *err)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
                return error_fail(err, -EPERM, "%s is not %s folder; fix it with: chown %u:%u %s; chmod 770 %s", path,
                                  geteuid() == 0 ? "root's" : "this user's", (unsigned)geteuid(), (unsigned)gid, path,
                                  path);
        if (geteuid() == 0 && (st.st_gid != gid || (st.st_mode & 0070) != 0070))
                log_warning("ledger.folder", KV_S("path", path), KV_S("why", "the ledger's user cannot write to it"),
                            KV_U("chgrp", gid), KV_S("chmod", "770"));
        return 0;
}

static int ledger_gid(const struct config *c, gid_t *ret_gid, struct error *err)
{
        const struct passwd *pw = geteuid() == 0 ? getpwnam(c->user_ledger) : NULL;

        *ret_gid = pw ? pw->pw_gid : getegid();
        return geteuid() == 0 && !pw ? error_fail(err, -ENOENT, "there is no user %s", c->user_ledger) : 0;
}

/* Root's, and the ledger's by its group, which it is made with: root has no right to enter others' folders, nor to
 * give any away. */
static int make_ledger_folder(const struct config *c, struct error *err)
{
        char path[PATH_MAX];
        gid_t gid = 0;
        int r = files_in_folder(path, c->state_dir, "ledger", err);

        if (r == 0)
                r = ledger_gid(c, &gid, err);
        if (r < 0 || geteuid() != 0)
                return r < 0 ? r : make_folder(path, 0700, err);
        if (setegid(gid) < 0)
                return error_fail(err, -errno, "cannot make a folder of the ledger's group: %s", strerror(errno));
        r = mkdir(path, 0700) == 0 ? chmod(path, 0770) : errno == EEXIST ? 0 : -1;
        int code = errno;
        caps_back();
        if (r < 0)
                return error_fail(err, -code, "cannot make the folder %s: %s", path, strerror(code));
        return judge_ledger_folder(path, gid, err);
}

static int agree(const char *key, const char *configured, const char *enrolled, struct error *err)
{
        size_t n = configured ? strlen(configured) : 0, m = strlen(enrolled);

        while (n && configured[n - 1] == '/')
                n--;
        while (m && enrolled[m - 1] == '/')
                m--;
        if (!configured || (n == m && strncmp(configured, enrolled, n) == 0))
                return 0;
        return error_fail(err, -EINVAL,
                          "the configuration says %s = %s, but this connector is enrolled with %s; leave the "
                          "key out or "
                          "enrol anew",
                          key, configured, enrolled);
}

/* Who this connector is. name: NAME_MAX_LEN + 1 bytes. -ENOENT: it is not enrolled. */
static int read_enrolment(const struct config *config, char id[ID_MAX + 1], char *name, struct error *err)
{
        _cleanup_(enrolment_clear) struct enrolment e = {0};
        char path[PATH_MAX];
        int r = files_in_folder(path, config->state_dir, FILE_ENROLMENT, err);

        if (r < 0)
                return r;
        _cleanup_(closep) int fd = hand_open(path, HAND_PUBLIC, err);
        if (fd == -ENOENT)
                return error_fail(err, -ENOENT,
                                  "this connector is not enrolled (%s is missing); do it with: postern "
                                  "enroll --relay URL "
                                  "--tenant TENANT --token-file FILE",
                                  path);
        r = fd < 0 ? fd : enrolment_read(&e, fd, err);
        if (r == 0)
                r = agree("relay", config->relay, e.relay, err);
        if (r == 0)
                r = agree("tenant", config->tenant, e.tenant, err);
        if (r == 0)
                r = agree("name", config->name, e.name, err);
        if (r == 0) {
                (void)snprintf(id, ID_MAX + 1, "%s", e.id);
                (void)snprintf(name, NAME_MAX_LEN + 1, "%s", e.name);
        }
        return r;
}

static int make_hash_key(const struct config *c, struct error *err)
{
        uint8_t key[NAME_HASH_KEY_LEN];
        char path[PATH_MAX];
        int r = files_in_folder(path, c->state_dir, FILE_HASH_KEY, err);

        if (r < 0 || access(path, F_OK) == 0)
                return r;
        if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
                return error_fail(err, -EIO, "no random bytes");
        return file_write_atomic(path, key, sizeof(key), 0600, err);
}

/* The group that a key names; this process's own where it names none. */
static int socket_gid(const char *key, const char *group, gid_t *ret_gid, struct error *err)
{
        const struct group *gr = group ? getgrnam(group) : NULL;

        *ret_gid = gr ? gr->gr_gid : getegid();
        if (group && !gr)
                return error_fail(err, -ENOENT, "%s: there is no group %s; make it with: groupadd --system %s", key,
                                  group, group);
        return 0;
}

static int socket_path(const struct config *config, const char *name, struct sockaddr_un *ret_address,
                       struct error *err)
{
        *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s/%s", config->runtime_dir, name) >=
            (int)sizeof(ret_address->sun_path))
                return error_fail(err, -ENAMETOOLONG, "runtime_dir: the path is too long for a socket");
        return 0;
}

/* A listening socket of that name in runtime_dir, in the place of *slot. key: where its group stands. */
static int bind_socket(const struct config *config, const char *name, const char *key, const char *group, int *slot,
                       struct error *err)
{
        struct sockaddr_un address;
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        gid_t gid = 0;
        int r = socket_path(config, name, &address, err);

        if (r == 0)
                r = socket_gid(key, group, &gid, err);
        if (r < 0)
                return r;
        (void)unlink(address.sun_path);
        const mode_t before = umask(0117); /* bound as the group's that it shall have, for root and that group */
        if (fd < 0 || setegid(gid) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                r = -errno;
        caps_back();
        (void)umask(before);
        if (r == 0 && listen(fd, CONTROL_BACKLOG) < 0)
                r = -errno;
        if (r < 0)
                return error_fail(err, r, "%s: %s", address.sun_path, strerror(-r));
        closep(slot);
        *slot = fd;
        fd = -1;
        return 0;
}

int files_prepare(struct supervisor *s, struct error *err)
{
        char lock[PATH_MAX];
        int r = make_folder(s->config->state_dir, 0700, err);

        if (r == 0)
                r = judge_state_folder(s->config->state_dir, err);
        if (r == 0)
                r = read_enrolment(s->config, s->connector_id, s->connector_name, err);
        if (r == 0)
                r = files_in_folder(lock, s->config->state_dir, FILE_LOCK, err);
        if (r == 0 && s->lock_fd < 0 && (r = hand_lock(lock, &s->lock_fd, err)) == -EBUSY)
                error_fail(err, r, "another posternd runs with the same state_dir");
        if (r == 0)
                r = make_ledger_folder(s->config, err);
        if (r == 0)
                r = make_hash_key(s->config, err);
        if (r == 0)
                r = make_folder(s->config->runtime_dir, 0755, err);
        if (r == 0)
                r = bind_socket(s->config, FILE_CONTROL_SOCKET, "control_group", s->config->control_group,
                                &s->control_fd, err);
        return r == 0 ? bind_socket(s->config, FILE_METRICS_SOCKET, "metrics_group", s->config->metrics_group,
                                    &s->metrics_fd, err)
                      : r;
}

/* ---- the same, only looked at ---- */

static size_t tell(const struct files_check *check, int r, const struct error *err)
{
        if (r < 0)
                check->tell(check->arg, err->text);
        return r < 0;
}

size_t prepare_check(struct supervisor *s, struct files_check *check)
{
        struct sockaddr_un address;
        struct error err = {""};
        char ledger[PATH_MAX];
        gid_t gid = 0;
        size_t n = 0;
        int r = judge_state_folder(s->config->state_dir, &err);

        if (r == 0)
                r = read_enrolment(s->config, s->connector_id, s->connector_name, &err);
        check->enrolled = r == 0;
        if (r == -ENOENT)
                check->note(check->arg, err.text);
        else
                n += tell(check, r, &err);
        if (access(s->config->state_dir, F_OK) == 0) {
                r = files_in_folder(ledger, s->config->state_dir, "ledger", &err);
                if (r == 0 && ledger_gid(s->config, &gid, &err) == 0) /* else it is told that the user is missing */
                        r = judge_ledger_folder(ledger, gid, &err);
                n += tell(check, r == -ENOENT ? 0 : r, &err); /* the first start makes it */
        }
        n += tell(check, socket_gid("control_group", s->config->control_group, &gid, &err), &err);
        n += tell(check, socket_gid("metrics_group", s->config->metrics_group, &gid, &err), &err);
        return n + tell(check, socket_path(s->config, FILE_CONTROL_SOCKET, &address, &err), &err);
}
