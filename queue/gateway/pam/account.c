/*
 * What this host knows of an account: whether it may be the domain's at all, and whose it was at first.
 *
 * Invariant: an account of the system, or one that has a password of its own here, is never asked of the domain; and a
 * local name that once was one person's is nobody else's, until an administrator removes its pin.
 */
#include <errno.h>
#include <fcntl.h>
#include <shadow.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "queue/gateway/pam/pam.h"

#define ENTRY_MAX 16384
#define PIN_MAX 512

bool pam_shadow_is_empty_account(const char *hash)
{
        /* "!" and "*" as useradd and system accounts have them. "!$6$…" is a password that was locked: a local one. */
        return *hash && strspn(hash, "!*") == strlen(hash);
}

/* -EEXIST where there is one, or nobody may look. */
static int has_password(const struct passwd *pw, const char *user, struct error *err)
{
        char bytes[ENTRY_MAX];
        struct spwd entry, *found = NULL;
        const char *hash = pw->pw_passwd;

        if (strcmp(hash, "x") == 0) {
                const int r = getspnam_r(user, &entry, bytes, sizeof bytes, &found);

                if (!found)
                        return error_fail(err, -EEXIST,
                                          "%s: whether it has a password on this host cannot be told (%s); only root "
                                          "may look into shadow(5)",
                                          user, r ? strerror(r) : "it has no entry there");
                hash = found->sp_pwdp;
        }
        const bool empty = pam_shadow_is_empty_account(hash);
        explicit_bzero(bytes, sizeof bytes);
        return empty ? 0
                     : error_fail(err, -EEXIST,
                                  "%s: has a password on this host, so its password is not the domain's business",
                                  user);
}

int pam_account_judge(struct pam_account *ret_account, const char *user, uid_t minimum_uid, struct error *err)
{
        char bytes[ENTRY_MAX];
        struct passwd entry, *found = NULL;
        int r = getpwnam_r(user, &entry, bytes, sizeof bytes, &found);

        *ret_account = (struct pam_account){.local = found != NULL, .uid = found ? entry.pw_uid : 0};
        if (!found)
                return error_fail(err, -ENOENT, "%s: this host has no such account%s%s", user, r ? ": " : "",
                                  r ? strerror(r) : "");
        if (entry.pw_uid < minimum_uid)
                return error_fail(err, -EPERM, "%s: its uid %u is below %u", user, (unsigned)entry.pw_uid,
                                  (unsigned)minimum_uid);
        r = has_password(&entry, user, err);
        explicit_bzero(bytes, sizeof bytes);
        return r;
}

/* ---- pins ---- */

/* A name that could lead out of the folder, or be hidden in it, has no pin and so no sign-in. */
static bool is_plain_name(const char *user)
{
        return user[0] && user[0] != '.' && strlen(user) <= 255 && !strchr(user, '/');
}

/* A folder that others can write to could say anything. */
static int open_folder(const char *dir, struct error *err)
{
        _cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_fail(err, -errno, "pins=%s: %s; make it with: install -d -m 700 %s", dir, strerror(errno),
                                  dir);
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
                return error_fail(err, -EPERM,
                                  "pins=%s: others may write there; mend it with: chown root %s; chmod 700 %s", dir,
                                  dir, dir);
        return steal_fd(&fd);
}

/* Appends what the pin says; -ENOENT: there is none. */
static int read_pin(int folder, const char *user, struct buffer *out)
{
        _cleanup_(closep) int fd = openat(folder, user, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd_read_all(out, fd, NULL);
}

/* Whole or not at all, and never over one that came meanwhile. */
static int write_pin(int folder, const char *user, const char *text)
{
        char temporary[300];
        int r = 0;

        (void)snprintf(temporary, sizeof temporary, ".%ld", (long)getpid());
        _cleanup_(closep) int fd =
                openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 ||
            linkat(folder, temporary, folder, user, 0) < 0)
                r = -errno;
        (void)unlinkat(folder, temporary, 0);
        return r;
}

int pam_pin_check(const char *dir, const char *user, const struct pam_account *account, const char *domain,
                  const char *id, struct error *err)
{
        _cleanup_(buffer_free) struct buffer seen = BUFFER(PIN_MAX);
        char text[PIN_MAX], uid[16] = "-";
        _cleanup_(closep) int folder =
                is_plain_name(user) ? open_folder(dir, err) : error_fail(err, -EINVAL, "the name can have no pin");

        if (folder < 0)
                return folder;
        if (account->local)
                (void)snprintf(uid, sizeof uid, "%u", (unsigned)account->uid);
        (void)snprintf(text, sizeof text, "%s %s %s\n", uid, domain, id);
        int r = read_pin(folder, user, &seen);
        if (r == -ENOENT && (r = write_pin(folder, user, text)) == 0)
                return 0;
        if (r == -EEXIST) /* another sign-in was as fast */
                r = read_pin(folder, user, &seen);
        if (r >= 0 && (!seen.data || !seen.len))
                r = -EBADMSG;
        if (r < 0)
                return error_fail(err, r, "%s/%s: %s", dir, user, strerror(-r));
        if (strcmp(seen.data, text) == 0)
                return 0;
        seen.data[strcspn(seen.data, "\n")] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return error_fail(err, -EKEYREJECTED,
                          "%s belongs to another account than the one that signs in (uid, domain, id: %.120s; now "
                          "%.120s); if the name was given to somebody else, remove %s/%s",
                          user, seen.data, text, dir, user);
}
