/*
 * Reads secrets from a terminal without echo, or from standard input, straight into the secret arena.
 *
 * Invariant: the terminal's mode is restored before this returns, also after Ctrl-C: signals that would end
 * the program are held back while echo is off. Reads byte by byte, so that nothing behind the line is taken
 * from the input.
 */
#include "connector/cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "certs/keys/self-test-tls.h"
#include "base/core/cleanup.h"
#include "base/process/harden.h"
#include "base/core/text.h"
#include "connector/person/folder.h"

#define SLOTS 16
#define SECURE_HEAP (1u << 20)

int secrets_setup(const struct cli *cli)
{
        struct error err = {""};
        int r = harden_process(&err);

        if (r == 0)
                r = tls_self_test(&err);
        if (r == 0)
                r = secure_heap_init(SECURE_HEAP, &err);
        if (r == 0)
                r = secret_arena_init(SLOTS, &err);
        if (r < 0)
                cli_error(cli, "%s", err.text);
        return r;
}

static int read_line(int fd, char *line, size_t cap, size_t *ret_n, struct error *err)
{
        size_t n = 0;

        for (;;) {
                char c;
                ssize_t r = read(fd, &c, 1);

                if (r < 0)
                        return error_fail(err, -errno, "cannot read the password: %s", strerror(errno));
                if (r == 0 || c == '\n')
                        break;
                if (n == cap)
                        return error_fail(err, -EMSGSIZE, "the password is longer than %d bytes", SECRET_MAX);
                line[n++] = c;
        }
        if (n > 0 && line[n - 1] == '\r')
                n--;
        *ret_n = n;
        return 0;
}

static int read_secret(int fd, struct secret **ret_secret, struct error *err)
{
        char line[SECRET_MAX + 1];
        size_t n = 0;
        int r = read_line(fd, line, sizeof(line), &n, err);

        if (r == 0 && n == 0) {
                *ret_secret = NULL;
                r = 1;
        } else if (r == 0) {
                r = secret_new(ret_secret, line, n);
                if (r < 0)
                        error_fail(err, r,
                                   r == -EMSGSIZE ? "the password is longer than 1024 bytes"
                                                  : "no room for a password");
        }
        wipe(line, sizeof(line));
        return r;
}

int prompt_secret(const char *prompt, struct secret **ret_secret, struct error *err)
{
        struct termios old, quiet;
        sigset_t hold, before;
        int r;

        if (tcgetattr(STDIN_FILENO, &old) < 0)
                return read_secret(STDIN_FILENO, ret_secret, err);
        sigemptyset(&hold);
        sigaddset(&hold, SIGINT);
        sigaddset(&hold, SIGTERM);
        sigaddset(&hold, SIGQUIT);
        sigaddset(&hold, SIGTSTP);
        sigprocmask(SIG_BLOCK, &hold, &before);
        quiet = old;
        quiet.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK);
        quiet.c_lflag |= ECHONL;
        if (write(STDERR_FILENO, prompt, strlen(prompt)) < 0 || tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0)
                r = error_fail(err, -errno, "cannot turn off the terminal's echo: %s", strerror(errno));
        else
                r = read_secret(STDIN_FILENO, ret_secret, err);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}

int prompt_pin(struct secret **ret_pin, struct error *err)
{
        int r = prompt_secret("PIN of the token: ", ret_pin, err);

        return r > 0 ? error_fail(err, -EINVAL, "the PIN is empty") : r;
}

int prompt_passphrase(const char *file, const char *prompt, struct secret **ret_secret, struct error *err)
{
        int r = file ? folder_secret_read(file, ret_secret, err) : prompt_secret(prompt, ret_secret, err);

        return r > 0 ? error_fail(err, -EINVAL, "the passphrase is empty") : r;
}

int prompt_new_passphrase(const char *file, const char *prompt, struct secret **ret_secret, struct error *err)
{
        struct secret *again = NULL;
        int r = prompt_passphrase(file, prompt, ret_secret, err);

        if (r < 0 || file || !isatty(STDIN_FILENO))
                return r;
        r = prompt_passphrase(NULL, "Again: ", &again, err);
        if (r == 0 && !secret_equal(*ret_secret, again))
                r = error_fail(err, -EINVAL, "the two passphrases differ");
        secret_free(again);
        return r;
}
