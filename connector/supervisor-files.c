/*
 * The files of the daemon: found, judged and opened by the supervisor, read by the process they belong to.
 *
 * Key bytes never pass through the supervisor's memory, but for a transport key that stands beside its certificate,
 * which is wiped: a child gets an open descriptor, or (keytabs, which krb5 opens by name) a memfd that the kernel filled. A private file that others may read, or that somebody
 * else could have written, is refused with the remedy.
 */
#include "connector/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "certs/key-uri.h"
#include "connector/base/cleanup.h"
#include "connector/base/text.h"
#include "connector/name-hash.h"
#include "connector/sid-file.h"
#include "connector/transport.h"
#include "connector/validator/enrolment.h"

#define CONTROL_BACKLOG 16

enum file_kind { FILE_PUBLIC = 0, FILE_PRIVATE, FILE_STATE };

static int in_folder(char *out, const char *folder, const char *name, struct error *err)
{
        int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);

        return n >= PATH_MAX ? error_fail(err, -ENAMETOOLONG, "%s/%s: the path is too long", folder, name)
                             : 0;
}

static int judge(int fd, const char *path, enum file_kind kind, struct error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return error_fail(err, -EINVAL, "%s is not a regular file", path);
        if (kind == FILE_PUBLIC && (st.st_mode & S_IWOTH))
                return error_fail(err, -EPERM, "%s can be written by others; mend it with: chmod o-w %s",
                                  path, path);
        if (kind == FILE_PUBLIC)
                return 0;
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return error_fail(err, -EPERM,
                                  "%s belongs to another user (uid %u); mend it with: chown root %s", path,
                                  (unsigned)st.st_uid, path);
        if (st.st_mode & (S_IRWXO | S_IWGRP))
                return error_fail(err, -EPERM,
                                  "%s can be read or written by others; mend it with: chmod 600 %s", path,
                                  path);
        return 0;
}

/* An own open file, at offset 0, judged. -ENOENT where it doesn't exist. */
static int open_judged(const char *path, enum file_kind kind, struct error *err)
{
        int flags = kind == FILE_STATE ? O_RDWR | O_CREAT | O_NOFOLLOW : O_RDONLY;
        int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

        if (fd < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        int r = judge(fd, path, kind, err);
        if (r < 0) {
                (void)close(fd);
                return r;
        }
        return fd;
}

int files_open_private(const char *path, struct error *err)
{
        return open_judged(path, FILE_PRIVATE, err);
}

int files_memfd(const char *name, const void *bytes, size_t n, struct error *err)
{
        _cleanup_(closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || (n && write(fd, bytes, n) != (ssize_t)n) || lseek(fd, 0, SEEK_SET) < 0)
                return error_fail(err, -errno, "cannot hand on %s: %s", name, strerror(errno));
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return error_fail(err, -errno, "cannot seal %s: %s", name, strerror(errno));
        int given = fd;
        fd = -1;
        return given;
}

/* Made as its owner, for root keeps no right to give files away. */
static int memfd_of(uid_t owner)
{
        int fd = -1;

        if (seteuid(owner) < 0)
                return -1;
        fd = memfd_create("keytab", MFD_CLOEXEC);
        if (fd >= 0 && fchmod(fd, 0600) < 0)
                closep(&fd);
        if (seteuid(getuid()) < 0)
                abort(); /* another user's process must not go on as the supervisor */
        return fd;
}

/* A copy that may be opened again by its new owner through /proc/self/fd; the bytes move inside the kernel.
 */
static int copy_memfd(int from, const char *path, uid_t owner, struct error *err)
{
        _cleanup_(closep) int fd = memfd_of(owner);
        ssize_t n;

        if (fd < 0)
                return error_fail(err, -errno, "%s: cannot be handed on: %s", path, strerror(errno));
        while ((n = sendfile(fd, from, NULL, KEYTAB_MAX)) > 0)
                if (lseek(fd, 0, SEEK_CUR) > KEYTAB_MAX)
                        return error_fail(err, -EFBIG, "%s is longer than a keytab can be", path);
        if (n < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return error_fail(err, -errno, "%s: cannot be handed on: %s", path, strerror(errno));
        int given = fd;
        fd = -1;
        return given;
}

/* ---- what each child gets ---- */

struct handing {
        const struct supervisor *s;
        const struct config *config;
        files_hand_fn *fn;
        void *arg;
        struct error *err;
        bool check; /* only whether it could be handed on: nothing is started */
};

static int hand_fd(struct handing *h, const char *name, int opened)
{
        _cleanup_(closep) int fd = opened;

        return fd < 0 ? fd : h->fn(h->arg, name, fd, h->err);
}

static int hand_path(struct handing *h, const char *name, const char *path, enum file_kind kind)
{
        return hand_fd(h, name, open_judged(path, kind, h->err));
}

static int open_state(struct handing *h, const char *name, enum file_kind kind)
{
        char path[PATH_MAX];
        int r = in_folder(path, h->config->state_dir, name, h->err);

        if (r == 0)
                r = open_judged(path, kind, h->err);
        if (r == -ENOENT)
                return error_fail(h->err, r,
                                  "%s is missing; to enrol anew remove the other files in %s and run postern "
                                  "enroll",
                                  path, h->config->state_dir);
        return r;
}

static int hand_state(struct handing *h, const char *name, enum file_kind kind)
{
        return hand_fd(h, name, open_state(h, name, kind));
}

/* Says which key of the configuration named the file. */
static int in_key(struct handing *h, const char *key, int r)
{
        return r < 0 ? error_prefix(h->err, r, "%s", key) : 0;
}

static int hand_relay_ca(struct handing *h)
{
        if (h->config->relay_ca_file)
                return in_key(h, "relay_ca_file",
                              hand_path(h, FILE_RELAY_CA, h->config->relay_ca_file, FILE_PUBLIC));
        int r = hand_state(h, FILE_RELAY_CA, FILE_PUBLIC);
        return r == -ENOENT ? 0 : r;
}

/* What the key's setting says, or the file that `postern enroll` wrote. */
static int open_key(struct handing *h, const char *setting, const char *name)
{
        if (!setting)
                return open_state(h, name, FILE_PRIVATE);
        if (setting[0] == '/')
                return open_judged(setting, FILE_PRIVATE, h->err);
        return files_memfd(name, setting, strlen(setting), h->err);
}

/* The key's file, open; or, where that only names a key in hardware, a socket to its holder. */
static int hand_opened_key(struct handing *h, enum holder_id id, int fd)
{
        char head[40];
        const ssize_t n = fd < 0 ? 0 : pread(fd, head, sizeof(head), 0);
        int r;

        if (fd < 0 || n < 0 || key_kind_of(head, (size_t)n) == KEY_KIND_NONE)
                return hand_fd(h, id == HOLDER_IDENTITY ? FILE_IDENTITY : FILE_TRANSPORT_KEY, fd);
        if (h->check)
                r = keys_check(h->config, id, fd, h->err);
        else
                r = hand_fd(h, id == HOLDER_IDENTITY ? FILE_IDENTITY_HOLDER : FILE_TRANSPORT_HOLDER,
                            keys_start(h->s, h->config, id, fd, h->err));
        (void)close(fd);
        return r;
}

static int hand_key(struct handing *h, enum holder_id id)
{
        const bool identity = id == HOLDER_IDENTITY;
        const char *setting = identity ? h->config->identity_key : h->config->transport_key;
        int r = hand_opened_key(h, id, open_key(h, setting, identity ? FILE_IDENTITY : FILE_TRANSPORT_KEY));

        return setting ? in_key(h, identity ? "identity_key" : "transport_key", r) : r;
}

uid_t files_uid_of(const char *user)
{
        const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;

        return pw ? pw->pw_uid : geteuid();
}

static int hand_keytab(struct handing *h, const struct config_domain *d)
{
        char name[PATH_MAX];
        _cleanup_(closep) int fd = open_judged(d->keytab, FILE_PRIVATE, h->err);

        if (fd < 0)
                return fd;
        (void)snprintf(name, sizeof(name), "%s%s", FILE_KEYTAB, d->name);
        return hand_fd(h, name, copy_memfd(fd, d->keytab, files_uid_of(h->config->user_validator), h->err));
}

static int hand_domains(struct handing *h)
{
        char name[PATH_MAX];
        int r = 0;

        for (size_t i = 0; r == 0 && i < h->config->n_domains; i++) {
                const struct config_domain *d = &h->config->domains[i];
                (void)snprintf(name, sizeof(name), "%s%s", FILE_DC_CA, d->name);
                if (d->ca_file)
                        r = in_key(h, "ca_file", hand_path(h, name, d->ca_file, FILE_PUBLIC));
                (void)snprintf(name, sizeof(name), "%s%s", FILE_SERVICE_PASSWORD, d->name);
                if (r == 0 && d->service_password_file)
                        r = in_key(h, "service_password_file",
                                   hand_path(h, name, d->service_password_file, FILE_PRIVATE));
                if (r == 0 && d->keytab)
                        r = in_key(h, "keytab", hand_keytab(h, d));
        }
        return r;
}

/* The certificate, and the key or its name: from the same file since the first renewal, before from its own. */
static int hand_transport(struct handing *h)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(TRANSPORT_PEM_MAX), key = BUFFER_SECRET(TRANSPORT_PEM_MAX),
                                             chain = BUFFER(TRANSPORT_PEM_MAX);
        _cleanup_(closep) int fd = open_state(h, FILE_TRANSPORT_CERT, FILE_PUBLIC);
        int r = fd < 0 ? fd : fd_read_all(&text, fd, h->err);

        if (r == 0 && (r = transport_split(&text, &key, &chain)) < 0)
                error_fail(h->err, r, "%s is malformed", FILE_TRANSPORT_CERT);
        if (r < 0)
                return r;
        r = hand_fd(h, FILE_TRANSPORT_CERT, files_memfd(FILE_TRANSPORT_CERT, chain.data, chain.len, h->err));
        if (r < 0 || key.len == 0 || h->config->transport_key)
                return r < 0 ? r : hand_key(h, HOLDER_TRANSPORT);
        return hand_opened_key(h, HOLDER_TRANSPORT, files_memfd(FILE_TRANSPORT_KEY, key.data, key.len, h->err));
}

static int hand_link(struct handing *h)
{
        int r = hand_state(h, FILE_ENROLMENT, FILE_PUBLIC);

        if (r == 0)
                r = hand_transport(h);
        return r == 0 ? hand_relay_ca(h) : r;
}

int files_read_state(const struct supervisor *s, const char *name, struct buffer *out, struct error *err)
{
        char path[PATH_MAX];
        int r = in_folder(path, s->config->state_dir, name, err);
        _cleanup_(closep) int fd = r < 0 ? r : open_judged(path, FILE_PUBLIC, err);

        return fd < 0 ? fd : fd_read_all(out, fd, err);
}

int files_write_transport(const struct supervisor *s, const struct buffer *text, struct error *err)
{
        char path[PATH_MAX] = "", old[PATH_MAX] = "";
        int r = in_folder(path, s->config->state_dir, FILE_TRANSPORT_CERT, err);

        if (r == 0)
                r = in_folder(old, s->config->state_dir, FILE_TRANSPORT_KEY, err);
        if (r == 0)
                r = file_write_atomic(path, text->data, text->len, 0600, err);
        if (r == 0 && unlink(old) < 0 && errno != ENOENT)
                log_warning("file.left", KV_S("path", old), KV_S("why", strerror(errno)));
        return r;
}

static int hand_validator(struct handing *h)
{
        int r = hand_state(h, FILE_ENROLMENT, FILE_PUBLIC);

        if (r == 0)
                r = hand_key(h, HOLDER_IDENTITY);
        if (r == 0)
                r = hand_state(h, FILE_HASH_KEY, FILE_PRIVATE);
        if (r == 0)
                r = hand_state(h, FILE_ROSTER, FILE_STATE);
        if (r == 0)
                r = hand_state(h, FILE_DOMAIN_SIDS, FILE_STATE);
        return r == 0 ? hand_domains(h) : r;
}

static int hand_ledger(struct handing *h)
{
        char path[PATH_MAX];
        int r = hand_state(h, FILE_HASH_KEY, FILE_PRIVATE);

        if (r == 0)
                r = in_folder(path, h->config->state_dir, "ledger", h->err);
        if (r < 0)
                return r;
        int fd = open(path, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return error_fail(h->err, -errno, "%s: %s", path, strerror(errno));
        r = hand_fd(h, FILE_LEDGER_DIR, fd);
        return r < 0 ? r : h->fn(h->arg, FILE_CONTROL_SOCKET, h->s->control_fd, h->err);
}

static int hand_nothing(void *arg, const char *name, int fd, struct error *err)
{
        (void)arg;
        (void)name;
        (void)fd;
        (void)err;
        return 0;
}

static int files_of(const struct supervisor *s, const struct config *config, enum child_id id,
                    files_hand_fn *fn, void *arg, struct error *err)
{
        struct handing h = {s, config, fn, arg, err, fn == hand_nothing};

        switch (id) {
        case CHILD_LINK:
                return hand_link(&h);
        case CHILD_VALIDATOR:
                return hand_validator(&h);
        case CHILD_LEDGER:
                return hand_ledger(&h);
        case CHILD_N:
                break;
        }
        return -EINVAL;
}

int files_keytab(const struct supervisor *s, const struct config_domain *domain, files_hand_fn *fn, void *arg,
                 struct error *err)
{
        struct handing h = {.s = s, .config = s->config, .fn = fn, .arg = arg, .err = err};

        return in_key(&h, "keytab", hand_keytab(&h, domain));
}

int files_each(const struct supervisor *s, enum child_id id, files_hand_fn *fn, void *arg, struct error *err)
{
        return files_of(s, s->config, id, fn, arg, err);
}

/* ---- checking ---- */

int files_check_user(const struct config *config, enum child_id id, struct error *err)
{
        const char *user = child_user(config, id);

        if (geteuid() != 0)
                return 0;
        errno = 0;
        const struct passwd *pw = getpwnam(user);
        if (!pw && errno != 0 && errno != ENOENT)
                return error_fail(err, -errno, "cannot look up the user %s: %s", user, strerror(errno));
        if (!pw)
                return error_fail(err, -ENOENT,
                                  "there is no user %s for the process %s; make it with systemd-sysusers, or "
                                  "with: useradd --system --user-group --no-create-home --shell "
                                  "/usr/sbin/nologin %s",
                                  user, child_name(id), user);
        uid_t uid = pw->pw_uid;
        if (uid == 0)
                return error_fail(err, -EINVAL, "the user %s for the process %s is root; name another", user,
                                  child_name(id));
        for (int other = 0; other < (int)id; other++)
                if (files_uid_of(child_user(config, (enum child_id)other)) == uid)
                        return error_fail(err, -EINVAL, "the users %s and %s are one (uid %u); name another",
                                          child_user(config, (enum child_id)other), user, (unsigned)uid);
        return 0;
}

int files_check_keys_user(const struct config *config, struct error *err)
{
        const char *user = config->user_keys;
        const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;

        if (geteuid() != 0)
                return 0;
        if (!pw)
                return error_fail(err, -ENOENT,
                                  "there is no user %s for the keys in hardware; make it with "
                                  "systemd-sysusers, or with: useradd --system --user-group "
                                  "--no-create-home --shell /usr/sbin/nologin %s",
                                  user, user);
        const uid_t uid = pw->pw_uid;
        for (int other = 0; other < CHILD_N; other++)
                if (uid == 0 || files_uid_of(child_user(config, (enum child_id)other)) == uid)
                        return error_fail(err, -EINVAL,
                                          "the user %s for the keys in hardware is root or another process's; "
                                          "name another",
                                          user);
        return 0;
}

int files_check(const struct supervisor *s, const struct config *config, struct error *err)
{
        int r = 0;

        for (int id = 0; r == 0 && id < CHILD_N; id++) {
                r = files_check_user(config, (enum child_id)id, err);
                if (r == 0)
                        r = files_of(s, config, (enum child_id)id, hand_nothing, NULL, err);
        }
        return r;
}

/* ---- preparation ---- */

static int make_folder(const char *path, mode_t mode, struct error *err)
{
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return error_fail(err, -errno, "cannot make the folder %s: %s", path, strerror(errno));
        return 0;
}

/* Pins, certificates and the lock are found by name in it: whoever can write to it is the connector. */
static int make_state_folder(const char *path, struct error *err)
{
        struct stat st;
        int r = make_folder(path, 0700, err);

        if (r < 0)
                return r;
        if (stat(path, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH))
                return error_fail(
                        err, -EPERM,
                        "state_dir %s is no folder of this user's alone; mend it with: chown root %s; "
                        "chmod 700 %s",
                        path, path, path);
        return 0;
}

/* Root's, and the ledger's by its group, which it is made with: root has no right to enter others' folders, nor to
 * give any away. */
static int make_ledger_folder(const struct config *c, struct error *err)
{
        const struct passwd *pw = geteuid() == 0 ? getpwnam(c->user_ledger) : NULL;
        char path[PATH_MAX];
        struct stat st;
        int r = in_folder(path, c->state_dir, "ledger", err);

        if (r < 0 || geteuid() != 0)
                return r < 0 ? r : make_folder(path, 0700, err);
        if (!pw || setegid(pw->pw_gid) < 0)
                return error_fail(err, -ENOENT, "there is no user %s", c->user_ledger);
        r = mkdir(path, 0700) == 0 ? chmod(path, 0770) : errno == EEXIST ? 0 : -1;
        int code = errno;
        if (setegid(getgid()) < 0)
                abort();
        if (r < 0)
                return error_fail(err, -code, "cannot make the folder %s: %s", path, strerror(code));
        if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0)
                return error_fail(err, -EPERM,
                                  "%s is not root's folder; mend it with: chown root:%u %s; chmod 770 %s", path,
                                  (unsigned)pw->pw_gid, path, path);
        if (st.st_gid != pw->pw_gid || (st.st_mode & 0070) != 0070)
                log_warning("ledger.folder", KV_S("path", path), KV_S("why", "the ledger's user cannot write to it"),
                            KV_U("chgrp", pw->pw_gid), KV_S("chmod", "770"));
        return 0;
}

static int take_lock(struct supervisor *s, struct error *err)
{
        char path[PATH_MAX];
        int r = in_folder(path, s->config->state_dir, "lock", err);

        if (r < 0 || s->lock_fd >= 0)
                return r;
        s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->lock_fd < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
                return error_fail(err, -errno, "%s",
                                  errno == EWOULDBLOCK ? "another posternd runs with the same state_dir"
                                                       : strerror(errno));
        return 0;
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

static int read_enrolment(struct supervisor *s, struct error *err)
{
        _cleanup_(enrolment_clear) struct enrolment e = {0};
        char path[PATH_MAX];
        int r = in_folder(path, s->config->state_dir, FILE_ENROLMENT, err);

        if (r < 0)
                return r;
        _cleanup_(closep) int fd = open_judged(path, FILE_PUBLIC, err);
        if (fd == -ENOENT)
                return error_fail(err, -ENOENT,
                                  "this connector is not enrolled (%s is missing); do it with: postern "
                                  "enroll --relay URL "
                                  "--tenant TENANT --token-file FILE",
                                  path);
        r = fd < 0 ? fd : enrolment_read(&e, fd, err);
        if (r == 0)
                r = agree("relay", s->config->relay, e.relay, err);
        if (r == 0)
                r = agree("tenant", s->config->tenant, e.tenant, err);
        if (r == 0)
                (void)snprintf(s->connector_id, sizeof(s->connector_id), "%s", e.id);
        return r;
}

static int make_hash_key(const struct config *c, struct error *err)
{
        uint8_t key[NAME_HASH_KEY_LEN];
        char path[PATH_MAX];
        int r = in_folder(path, c->state_dir, FILE_HASH_KEY, err);

        if (r < 0 || access(path, F_OK) == 0)
                return r;
        if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
                return error_fail(err, -EIO, "no random bytes");
        return file_write_atomic(path, key, sizeof(key), 0600, err);
}

static int control_gid(const char *group, gid_t *ret_gid, struct error *err)
{
        const struct group *gr = group ? getgrnam(group) : NULL;

        *ret_gid = gr ? gr->gr_gid : getegid();
        if (group && !gr)
                return error_fail(err, -ENOENT,
                                  "control_group: there is no group %s; make it with: groupadd --system %s",
                                  group, group);
        return 0;
}

/* Binds it as the group's that it shall have, with a mode for root and that group. */
static int bind_as(int fd, const struct sockaddr_un *address, gid_t gid)
{
        const gid_t own = getegid();
        const mode_t before = umask(0117);
        int r = fd < 0 || setegid(gid) < 0 ? -errno : 0;

        if (r == 0 && bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
                r = -errno;
        if (setegid(own) < 0)
                abort();
        (void)umask(before);
        return r;
}

int files_bind_control(struct supervisor *s, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const char *path = address.sun_path;
        gid_t gid;

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", s->config->runtime_dir) >=
            (int)sizeof(address.sun_path))
                return error_fail(err, -ENAMETOOLONG, "runtime_dir: the path is too long for a socket");
        int r = control_gid(s->config->control_group, &gid, err);
        if (r < 0)
                return r;
        (void)unlink(path);
        r = bind_as(fd, &address, gid);
        if (r == 0 && listen(fd, CONTROL_BACKLOG) < 0)
                r = -errno;
        if (r < 0)
                return error_fail(err, r, "%s: %s", path, strerror(-r));
        closep(&s->control_fd);
        s->control_fd = fd;
        fd = -1;
        return 0;
}

int files_prepare(struct supervisor *s, struct error *err)
{
        int r = make_state_folder(s->config->state_dir, err);

        if (r == 0)
                r = read_enrolment(s, err);
        if (r == 0)
                r = take_lock(s, err);
        if (r == 0)
                r = make_ledger_folder(s->config, err);
        if (r == 0)
                r = make_hash_key(s->config, err);
        if (r == 0)
                r = make_folder(s->config->runtime_dir, 0755, err);
        return r == 0 ? files_bind_control(s, err) : r;
}
