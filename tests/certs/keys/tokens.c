/*
 * Tokens for tests: SoftHSM by softhsm2-util, a TPM by swtpm, and holders of keys in them.
 *
 * Nothing is shared between tests that run in parallel: folders and sockets are fresh.
 */
#include "tests/certs/keys/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/text.h"

#define ARGUMENTS_MAX 32

/* It ends with the test, also where that fails. */
static pid_t start(char **argv)
{
        static char with[4][16] = {"setpriv", "--pdeathsig", "TERM", "--"};
        char *bound[ARGUMENTS_MAX + 5] = {with[0], with[1], with[2], with[3]};
        posix_spawn_file_actions_t actions;
        pid_t pid;

        for (size_t i = 0; i < ARGUMENTS_MAX && argv[i]; i++)
                bound[4 + i] = argv[i];

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        const int r = posix_spawnp(&pid, bound[0], &actions, NULL, bound, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                fail_msg("cannot start %s: %s (tests/packages.sh installs it)", argv[0], strerror(r));
        return pid;
}

bool run(const char *program, ...)
{
        char *argv[ARGUMENTS_MAX + 1] = {strdup(program)};
        size_t n = 1;
        va_list list;
        int status;

        va_start(list, program);
        for (const char *word; (word = va_arg(list, const char *)) && n < ARGUMENTS_MAX;)
                argv[n++] = strdup(word);
        va_end(list);
        const pid_t pid = start(argv);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        for (size_t i = 0; i < n; i++)
                free(argv[i]);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void make_dir(char dir[64], const char *name)
{
        (void)snprintf(dir, 64, "/tmp/postern-%s-XXXXXX", name);
        assert_non_null(mkdtemp(dir));
}

static void write_text(const char *path, const char *text)
{
        struct error err;

        if (file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
                fail_msg("%s", err.text);
}

/* ---- SoftHSM ---- */

void softhsm_begin(struct softhsm *h)
{
        char path[96], text[256];

        make_dir(h->dir, "softhsm");
        (void)snprintf(path, sizeof(path), "%s/tokens", h->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(text, sizeof(text), "directories.tokendir = %s/tokens\nobjectstore.backend = file\n", h->dir);
        (void)snprintf(path, sizeof(path), "%s/softhsm2.conf", h->dir);
        write_text(path, text);
        assert_int_equal(setenv("SOFTHSM2_CONF", path, 1), 0);
        (void)snprintf(h->pin_file, sizeof(h->pin_file), "%s/pin", h->dir);
        write_text(h->pin_file, TOKEN_PIN "\n");
        (void)snprintf(h->wrong_pin_file, sizeof(h->wrong_pin_file), "%s/wrong-pin", h->dir);
        write_text(h->wrong_pin_file, "0000-wrong\n");
        assert_true(run("softhsm2-util", "--init-token", "--free", "--label", "postern", "--so-pin", "so-secret",
                        "--pin", TOKEN_PIN, NULL));
}

void softhsm_end(struct softhsm *h)
{
        assert_true(run("rm", "-rf", h->dir, NULL));
        unsetenv("SOFTHSM2_CONF");
}

/* ---- swtpm ---- */

/* A connection to the control channel, which does not disturb the one for commands, proves it is up. */
static bool answers(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        const bool ok = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
        (void)close(fd);
        return ok;
}

void swtpm_begin(struct swtpm *t)
{
        char state[96], server[128], control[128], path[96], tcti[128];
        char program[] = "swtpm", kind[] = "socket", two[] = "--tpm2", s[] = "--tpmstate", o[] = "--server",
             c[] = "--ctrl", f[] = "--flags", flags[] = "not-need-init,startup-clear";
        char *argv[] = {program, kind, two, s, state, o, server, c, control, f, flags, NULL};
        const struct timespec step = {0, 10000000};

        make_dir(t->dir, "swtpm");
        (void)snprintf(state, sizeof(state), "dir=%s", t->dir);
        (void)snprintf(server, sizeof(server), "type=unixio,path=%s/tpm", t->dir);
        (void)snprintf(control, sizeof(control), "type=unixio,path=%s/tpm.ctrl", t->dir);
        (void)snprintf(path, sizeof(path), "%s/tpm.ctrl", t->dir);
        (void)snprintf(tcti, sizeof(tcti), "swtpm:path=%s/tpm", t->dir);
        t->pid = start(argv);
        for (int i = 0; !answers(path); i++) {
                if (i == 1000)
                        fail_msg("swtpm does not start");
                nanosleep(&step, NULL);
        }
        assert_int_equal(setenv("TPM2OPENSSL_TCTI", tcti, 1), 0);
        assert_int_equal(setenv("TPM2TOOLS_TCTI", tcti, 1), 0);
}

void swtpm_end(struct swtpm *t)
{
        int status;

        assert_int_equal(kill(t->pid, SIGTERM), 0);
        assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
        assert_true(run("rm", "-rf", t->dir, NULL));
        unsetenv("TPM2OPENSSL_TCTI");
        unsetenv("TPM2TOOLS_TCTI");
}

/* ---- holders ---- */

int holder_open(struct holder *h, const char *reference, const char *pin_file, bool make)
{
        const struct keyholder_start how = {
                .program = getenv("KEYHOLDER"),
                .make = make,
                .reference_fd = memfd_create("reference", MFD_CLOEXEC),
                .pin_fd = pin_file ? open(pin_file, O_RDONLY | O_CLOEXEC) : -1,
        };
        int fd = -1;

        *h = (struct holder){.name = BUFFER(KEYHOLDER_REFERENCE_MAX)};
        assert_non_null(how.program);
        assert_true(how.reference_fd >= 0 && (!pin_file || how.pin_fd >= 0));
        assert_int_equal(write(how.reference_fd, reference, strlen(reference)), (ssize_t)strlen(reference));
        if (keyholder_start(&how, &h->pid, &fd, &h->err) < 0)
                fail_msg("%s", h->err.text);
        close(how.reference_fd);
        if (how.pin_fd >= 0)
                close(how.pin_fd);
        return key_from_holder(&h->key, fd, &h->name, &h->err);
}

int holder_close(struct holder *h)
{
        int status;

        h->key = key_free(h->key);
        buffer_free(&h->name);
        assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
