/*
 * The files of the daemon: found, judged and opened by the supervisor, read by the process they belong to.
 *
 * Key bytes never pass through the supervisor's memory, but for a transport key that stands beside its certificate,
 * which is wiped: a child gets an open descriptor, or (keytabs, which krb5 opens by name) a memfd that the kernel
 * filled. A private file that others may read, or that somebody else could have written, is refused with the remedy.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/keys/key-uri.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/frames/sid-file.h"
#include "certs/enrol/transport.h"

int files_in_folder(char *out, const char *folder, const char *name, struct error *err)
{
        int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);

        return n >= PATH_MAX ? error_fail(err, -ENAMETOOLONG, "%s/%s: the path is too long", folder, name) : 0;
}

/* A sealed copy that may be opened again by its new owner through /proc/self/fd; the bytes move inside the kernel. */
static int copy_memfd(int from, const char *path, uid_t owner, struct error *err)
{
        _cleanup_(closep) int fd = -1;
        int code = 0;
        ssize_t n;

        /* made as its owner, for root keeps no right to give files away */
        if (seteuid(owner) < 0)
                return error_fail(err, -errno, "%s: cannot be handed on: %s", path, strerror(errno));
        fd = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || fchmod(fd, 0600) < 0)
                code = errno;
        caps_back();
        if (code)
                return error_fail(err, -code, "%s: cannot be handed on: %s", path, strerror(code));
        while ((n = sendfile(fd, from, NULL, KEYTAB_MAX)) > 0)
                if (lseek(fd, 0, SEEK_CUR) > KEYTAB_MAX)
                        return error_fail(err, -EFBIG, "%s is longer than %d KiB", path, KEYTAB_MAX / 1024);
        if (n < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return error_fail(err, -errno, "%s: cannot be handed on: %s", path, strerror(errno));
        int given = fd;
        fd = -1;
        return given;
}

/* ---- what each child gets ---- */

struct handing {
        const struct supervisor *s;
        const struct config *config;
        hand_fn *fn;
        void *arg;
        struct error *err;
        const struct files_check *check; /* or NULL: for good */
        size_t faults;                   /* that it was told */
};

/* A check goes on behind a fault, so that one run tells all. */
static int settle(struct handing *h, int r)
{
        if (r >= 0 || !h->check)
                return r;
        h->check->tell(h->check->arg, h->err->text);
        h->faults++;
        return 0;
}

/* What the first start makes may be missing in a check. */
static int made_at_start(const struct handing *h, int r)
{
        return r == -ENOENT && h->check ? 0 : r;
}

static int hand_fd(struct handing *h, const char *name, int opened)
{
        _cleanup_(closep) int fd = opened;

        return fd < 0 ? fd : h->fn(h->arg, name, fd, h->err);
}

static int open_state(struct handing *h, const char *name, enum hand_kind kind)
{
        char path[PATH_MAX];
        int r = files_in_folder(path, h->config->state_dir, name, h->err);

        if (r == 0)
                r = hand_open(path, kind, h->err);
        if (r == -ENOENT && kind != HAND_STATE)
                return error_fail(h->err, r,
                                  "%s is missing; to enrol anew remove the other files in %s and run postern "
                                  "enroll",
                                  path, h->config->state_dir);
        return r;
}

static int hand_state(struct handing *h, const char *name, enum hand_kind kind)
{
        return hand_fd(h, name, open_state(h, name, kind));
}

/* Says which key of the configuration named the file. */
static int in_key(struct handing *h, const char *key, int r)
{
        return r < 0 ? error_prefix(h->err, r, "%s", key) : 0;
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
                            keys_start(h->s, h->config, id, false, fd, h->err));
        (void)close(fd);
        return r;
}

static int hand_key(struct handing *h, enum holder_id id)
{
        const bool identity = id == HOLDER_IDENTITY;
        const char *setting = identity ? h->config->identity_key : h->config->transport_key;
        const char *name = identity ? FILE_IDENTITY : FILE_TRANSPORT_KEY; /* the file that `postern enroll` wrote */
        int fd = !setting            ? open_state(h, name, HAND_PRIVATE)
                 : setting[0] == '/' ? hand_open(setting, HAND_PRIVATE, h->err)
                                     : hand_memfd(name, setting, strlen(setting), h->err);
        int r = hand_opened_key(h, id, fd);

        return settle(h, setting ? in_key(h, identity ? "identity_key" : "transport_key", r) : r);
}

uid_t files_uid_of(const char *user)
{
        const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;

        return pw ? pw->pw_uid : geteuid();
}

/* From the disk, and kept where the validator takes it. */
static int hand_from_disk(struct handing *h, const char *name, const char *path, enum hand_kind kind)
{
        _cleanup_(closep) int fd = hand_open(path, kind, h->err);
        _cleanup_(closep) int copy = -1;

        if (fd < 0)
                return fd;
        copy = copy_memfd(fd, path, files_uid_of(h->config->user_validator), h->err);
        if (copy < 0)
                return copy;
        if (!h->check)
                kept_offer(h->s->kept, name, copy);
        return h->fn(h->arg, name, copy, h->err);
}

/* A file of a domain: the copy that is in use where there is one, even if the disk has another by now; else the file on
 * the disk. key: the setting that names it. */
static int hand_domain_file(struct handing *h, const char *prefix, const struct domain_config *d, const char *path,
                            const char *key)
{
        const enum hand_kind kind = strcmp(prefix, FILE_DC_CA) == 0 ? HAND_PUBLIC : HAND_PRIVATE;
        char name[PATH_MAX];
        int kept;

        if (!path)
                return 0;
        (void)snprintf(name, sizeof(name), "%s%s", prefix, d->name);
        kept = h->check ? -ENOENT : kept_get(h->s->kept, name);
        return settle(
                h, in_key(h, key, kept >= 0 ? h->fn(h->arg, name, kept, h->err) : hand_from_disk(h, name, path, kind)));
}

/* The certificate, and the key or its name: from the same file since the first renewal, before from its own. */
static int hand_transport(struct handing *h)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(TRANSPORT_PEM_MAX),
                                             key = BUFFER_SECRET(TRANSPORT_PEM_MAX), chain = BUFFER(TRANSPORT_PEM_MAX);
        _cleanup_(closep) int fd = open_state(h, FILE_TRANSPORT_CERT, HAND_PUBLIC);
        int r = fd < 0 ? fd : fd_read_all(&text, fd, h->err);

        if (r == 0 && (r = transport_split(&text, &key, &chain)) < 0)
                error_fail(h->err, r, "%s is malformed", FILE_TRANSPORT_CERT);
        if (r < 0)
                return r;
        r = hand_fd(h, FILE_TRANSPORT_CERT, hand_memfd(FILE_TRANSPORT_CERT, chain.data, chain.len, h->err));
        if (r < 0 || key.len == 0 || h->config->transport_key)
                return r < 0 ? r : hand_key(h, HOLDER_TRANSPORT);
        return hand_opened_key(h, HOLDER_TRANSPORT, hand_memfd(FILE_TRANSPORT_KEY, key.data, key.len, h->err));
}

static bool enrolled(const struct handing *h)
{
        return !h->check || h->check->enrolled;
}

static int hand_link(struct handing *h)
{
        const char *relay_ca = h->config->relay_ca_file;
        int r = enrolled(h) ? settle(h, hand_state(h, FILE_ENROLMENT, HAND_PUBLIC)) : 0;

        if (r == 0 && enrolled(h))
                r = settle(h, hand_transport(h));
        if (r < 0)
                return r;
        if (relay_ca)
                r = in_key(h, "relay_ca_file", hand_fd(h, FILE_RELAY_CA, hand_open(relay_ca, HAND_PUBLIC, h->err)));
        else if ((r = hand_state(h, FILE_RELAY_CA, HAND_PUBLIC)) == -ENOENT) /* not every relay needs one */
                r = 0;
        return settle(h, r);
}

int files_read_state(const struct supervisor *s, const char *name, struct buffer *out, struct error *err)
{
        char path[PATH_MAX];
        int r = files_in_folder(path, s->config->state_dir, name, err);
        _cleanup_(closep) int fd = r < 0 ? r : hand_open(path, HAND_PUBLIC, err);

        return fd < 0 ? fd : fd_read_all(out, fd, err);
}

int files_write_transport(const struct supervisor *s, const struct buffer *text, struct error *err)
{
        char path[PATH_MAX] = "", old[PATH_MAX] = "";
        int r = files_in_folder(path, s->config->state_dir, FILE_TRANSPORT_CERT, err);

        if (r == 0)
                r = files_in_folder(old, s->config->state_dir, FILE_TRANSPORT_KEY, err);
        if (r == 0)
                r = file_write_atomic(path, text->data, text->len, 0600, err);
        if (r == 0 && unlink(old) < 0 && errno != ENOENT)
                log_warning("file.left", KV_S("path", old), KV_S("why", strerror(errno)));
        return r;
}

/* What the process writes; a check does not make it. */
static int hand_writable(struct handing *h, const char *name)
{
        return settle(h, made_at_start(h, hand_state(h, name, h->check ? HAND_PRIVATE : HAND_STATE)));
}

static int hand_validator(struct handing *h)
{
        int r = enrolled(h) ? settle(h, hand_state(h, FILE_ENROLMENT, HAND_PUBLIC)) : 0;

        if (r == 0 && enrolled(h))
                r = hand_key(h, HOLDER_IDENTITY);
        if (r == 0)
                r = settle(h, made_at_start(h, hand_state(h, FILE_HASH_KEY, HAND_PRIVATE)));
        if (r == 0)
                r = hand_writable(h, FILE_ROSTER);
        if (r == 0)
                r = hand_writable(h, FILE_DOMAIN_SIDS);
        if (!h->check) /* what the validator before did not confirm never came into use */
                kept_settle(h->s->kept, NULL, false);
        for (size_t i = 0; r == 0 && i < h->config->validate.n_domains; i++) {
                const struct domain_config *d = &h->config->domains[i];

                r = hand_domain_file(h, FILE_DC_CA, d, d->ca_file, "ca_file");
                if (r == 0)
                        r = hand_domain_file(h, FILE_SERVICE_PASSWORD, d, d->service_password_file,
                                             "service_password_file");
                if (r == 0)
                        r = hand_domain_file(h, FILE_KEYTAB, d, d->keytab_file, "keytab");
        }
        return r;
}

static int hand_ledger(struct handing *h)
{
        char path[PATH_MAX];
        int r = settle(h, made_at_start(h, hand_state(h, FILE_HASH_KEY, HAND_PRIVATE)));

        if (r == 0)
                r = files_in_folder(path, h->config->state_dir, "ledger", h->err);
        if (r < 0)
                return r;
        int fd = open(path, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return settle(h, made_at_start(h, error_fail(h->err, -errno, "%s: %s", path, strerror(errno))));
        r = hand_fd(h, FILE_LEDGER_DIR, fd);
        if (r == 0 && !h->check)
                r = h->fn(h->arg, FILE_CONTROL_SOCKET, h->s->control_fd, h->err);
        return r < 0 || h->check ? r : h->fn(h->arg, FILE_METRICS_SOCKET, h->s->metrics_fd, h->err);
}

static int hand_all(struct handing *h, enum part id)
{
        switch (id) {
        case PART_LINK:
                return hand_link(h);
        case PART_VALIDATOR:
                return hand_validator(h);
        case PART_LEDGER:
                return hand_ledger(h);
        case PART_SUPERVISOR:
        case PART_N:
                break;
        }
        return -EINVAL;
}

int files_keytab(const struct supervisor *s, const struct domain_config *domain, hand_fn *fn, void *arg,
                 struct error *err)
{
        struct handing h = {.s = s, .config = s->config, .fn = fn, .arg = arg, .err = err};

        char name[PATH_MAX];

        (void)snprintf(name, sizeof(name), "%s%s", FILE_KEYTAB, domain->name);
        return in_key(&h, "keytab", hand_from_disk(&h, name, domain->keytab_file, HAND_PRIVATE));
}

int files_each(const struct supervisor *s, enum part id, hand_fn *fn, void *arg, struct error *err)
{
        struct handing h = {.s = s, .config = s->config, .fn = fn, .arg = arg, .err = err, .check = s->check};

        return hand_all(&h, id);
}

static int hand_nothing(void *arg, const char *name, int fd, struct error *err)
{
        (void)arg;
        (void)name;
        (void)fd;
        (void)err;
        return 0;
}

size_t files_check(const struct supervisor *s, enum part id, const struct files_check *check)
{
        struct error err = {""};
        struct handing h = {.s = s, .config = s->config, .fn = hand_nothing, .err = &err, .check = check};

        (void)settle(&h, hand_all(&h, id));
        return h.faults;
}

/* ---- checking ---- */

int files_check_user(const struct config *config, enum part id, struct error *err)
{
        const char *user = supervisor_user(config, id);

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
                                  user, part_name(id), user);
        uid_t uid = pw->pw_uid;
        if (uid == 0)
                return error_fail(err, -EINVAL, "the user %s for the process %s is root; name another", user,
                                  part_name(id));
        for (int other = PART_LINK; other < (int)id; other++)
                if (files_uid_of(supervisor_user(config, (enum part)other)) == uid)
                        return error_fail(err, -EINVAL, "the users %s and %s are one (uid %u); name another",
                                          supervisor_user(config, (enum part)other), user, (unsigned)uid);
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
        for (int other = PART_LINK; other < PART_N; other++)
                if (uid == 0 || files_uid_of(supervisor_user(config, (enum part)other)) == uid)
                        return error_fail(err, -EINVAL,
                                          "the user %s for the keys in hardware is root or another process's; "
                                          "name another",
                                          user);
        return 0;
}
