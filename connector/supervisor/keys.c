/*
 * Keys in hardware: one postern-keyholder per key, started for the child that owns the key, which gets the
 * other end of its socket instead of a key file.
 *
 * Invariant: a PIN that the token refused is not offered again before its file has changed, however often the
 * owner is started: three wrong ones lock a token. The PIN is read by the holder alone, from an open
 * descriptor. A holder ends with its owner, whose end of the socket is the only one.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits.h>

#include "certs/keys/key-holder.h"
#include "certs/keys/key-uri.h"
#include "base/core/cleanup.h"
#include "base/process/program.h"

#define END_PATIENCE_MS 1000
#define ENVIRONMENT_MAX 256

static const char *setting_of(enum holder_id id)
{
        return id == HOLDER_IDENTITY ? "identity_key" : "transport_key";
}

/* ---- which PIN file ---- */

/* The PIN file that the reference names, open and judged; -1 in *ret_fd where it names none. */
static int open_pin(int reference_fd, int *ret_fd, struct error *err)
{
        char text[KEY_URI_MAX + 2], path[KEY_PATH_MAX];
        /* a PEM text is not read further than its label */
        const ssize_t n = pread(reference_fd, text, KEY_URI_MAX + 1, 0);
        size_t len = n > 0 ? (size_t)n : 0;

        *ret_fd = -1;
        if (n < 0)
                return error_fail(err, -errno, "cannot be read: %s", strerror(errno));
        while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
                len--;
        text[len] = '\0';
        if (key_kind_of(text, strlen(text)) == KEY_KIND_TPM_PEM)
                return 0;
        int r = key_uri_check(text, path, err);
        if (r < 0 || !path[0])
                return r;
        *ret_fd = hand_open(path, HAND_PRIVATE, err);
        return *ret_fd < 0 ? error_prefix(err, *ret_fd, "the PIN file") : 0;
}

/* Whether the token refused what this file holds, whichever key it was offered for. */
static bool was_refused(const struct supervisor *s, const struct stat *st)
{
        for (size_t i = 0; i < HOLDER_N; i++) {
                const struct holder *holder = &s->holders[i];

                if (holder->pin_refused && holder->pin_ino == st->st_ino &&
                    holder->pin_changed.tv_sec == st->st_mtim.tv_sec &&
                    holder->pin_changed.tv_nsec == st->st_mtim.tv_nsec)
                        return true;
        }
        return false;
}

/* ---- ends ---- */

static void note_end(struct holder *holder, int status)
{
        holder->pid = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == KEYHOLDER_EXIT_PIN)
                holder->pin_refused = true;
}

void keys_reap(struct supervisor *s)
{
        int status;

        for (size_t i = 0; i < HOLDER_N; i++)
                if (s->holders[i].pid > 0 && waitpid(s->holders[i].pid, &status, WNOHANG) == s->holders[i].pid)
                        note_end(&s->holders[i], status);
}

/* The holder before has lost its owner, so it is ending; how it ends decides whether its PIN may be used
 * again. One that hangs in its module is killed. */
static void end_before(struct holder *holder)
{
        struct pollfd p = {.fd = -1, .events = POLLIN};
        int status = 0;

        if (holder->pid <= 0)
                return;
        p.fd = pidfd_open(holder->pid, 0);
        if (p.fd < 0 || poll(&p, 1, END_PATIENCE_MS) != 1)
                caps_kill(holder->pid, holder->uid);
        closep(&p.fd);
        if (waitpid(holder->pid, &status, 0) == holder->pid)
                note_end(holder, status);
        holder->pid = 0;
}

/* ---- starting ---- */

/* Whether the holder gets this variable: those that steer the vendor's module are set in posternd's unit and passed on,
 * those that concern posternd alone are not. */
static bool passed_on(const char *variable)
{
        static const char *const own[] = {"NOTIFY_", "WATCHDOG_", "LISTEN_", "LD_", "CREDENTIALS_"};

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
                if (strncmp(variable, own[i], strlen(own[i])) == 0)
                        return false;
        const char *end = strchr(variable, '='), *proxy = strcasestr(variable, "_proxy");
        return end && !(proxy && proxy < end); /* it may hold a password */
}

static const char *confinement_word(enum confine_mode mode)
{
        switch (mode) {
        case CONFINE_OFF:
                return "off";
        case CONFINE_LOG:
                return "log";
        case CONFINE_ENFORCE:
                break;
        }
        return "enforce";
}

static int start(struct holder *holder, const struct config *config, bool make, int reference_fd, int pin_fd,
                 struct error *err)
{
        char program[PATH_MAX], *environment[ENVIRONMENT_MAX + 1];
        struct keyholder_start how = {.program = program,
                                      .make = make,
                                      .confinement = confinement_word(config->confinement),
                                      .user = geteuid() == 0 ? config->user_keys : NULL,
                                      .reference_fd = reference_fd,
                                      .pin_fd = pin_fd,
                                      .environment = environment};
        int fd = -1;
        size_t n = 0;
        int r = program_path("keyholder", program, sizeof(program), err);

        for (char **at = environ; *at && n < ENVIRONMENT_MAX; at++)
                if (passed_on(*at))
                        environment[n++] = *at;
        environment[n] = NULL;
        holder->uid = files_uid_of(config->user_keys);
        if (r == 0)
                r = keyholder_start(&how, &holder->pid, &fd, err);
        return r < 0 ? r : fd;
}

int keys_start(const struct supervisor *s, const struct config *config, enum holder_id id, bool make, int reference_fd,
               struct error *err)
{
        struct holder *holder = &s->holders[id];
        _cleanup_(closep) int pin = -1;
        struct stat st = {0};
        int r = open_pin(reference_fd, &pin, err);

        if (r < 0)
                return error_prefix(err, r, "%s", setting_of(id));
        end_before(holder);
        if (pin >= 0 && fstat(pin, &st) < 0)
                return error_fail(err, -errno, "the PIN file: %s", strerror(errno));
        if (pin >= 0 && was_refused(s, &st))
                return error_fail(err, -EACCES,
                                  "%s: the token refused the PIN; it is not tried again, so that the token is "
                                  "not locked, until the PIN file is written anew",
                                  setting_of(id));
        holder->pin_refused = false;
        holder->pin_ino = st.st_ino;
        holder->pin_changed = st.st_mtim;
        r = start(holder, config, make, reference_fd, pin, err);
        if (r < 0)
                return r;
        log_info("keyholder.started", KV_S("key", setting_of(id)), KV_I("pid", holder->pid));
        return r;
}

void keys_take_next(struct supervisor *s)
{
        const struct holder before = s->holders[HOLDER_TRANSPORT];

        s->holders[HOLDER_TRANSPORT] = s->holders[HOLDER_NEXT];
        s->holders[HOLDER_NEXT] = before;
}

int keys_check(const struct config *config, enum holder_id id, int reference_fd, struct error *err)
{
        char program[PATH_MAX];
        _cleanup_(closep) int pin = -1;
        int r = open_pin(reference_fd, &pin, err);

        if (r == 0)
                r = files_check_keys_user(config, err);
        if (r == 0)
                r = program_path("keyholder", program, sizeof(program), err);
        return r < 0 ? error_prefix(err, r, "%s", setting_of(id)) : 0;
}
