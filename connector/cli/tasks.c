/*
 * Child processes of `postern check` and what they test.
 *
 * Invariant: a task ends within TASKS_MS, with all that it started (they are a process group of their own), and no
 * later than `postern` itself. It holds nothing that its parent needs, and says its lines as JSON over a pipe.
 */
#include "connector/cli/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "certs/enrol/transport.h"
#include "certs/keys/key-uri.h"
#include "connector/cli/account.h"
#include "connector/cli/startup.h"
#include "connector/cli/view.h"
#include "connector/conf/enrolment.h"
#include "connector/findings/hop.h"
#include "connector/frames/control.h"

#define PEM_MAX 65536
#define CA_MAX (1024 * 1024)

static uint64_t now_ms(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int tasks_begin(struct task *ret_task, task_fn *fn, const struct cli *cli, const struct config *config)
{
        int fds[2];

        (void)fflush(stdout);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pid_t pid = fork();
        if (pid == 0) {
                json_t *lines = json_array();

                (void)setpgid(0, 0);
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                fn(cli, config, lines);
                (void)json_dumpfd(lines, fds[1], JSON_COMPACT);
                _exit(0);
        }
        const int r = pid < 0 ? -errno : 0;
        (void)close(fds[1]);
        if (r < 0)
                (void)close(fds[0]);
        else
                *ret_task = (struct task){.pid = pid, .fd = fds[0], .until = now_ms() + TASKS_MS};
        return r;
}

/* What the task says until it ends or its time is over. */
static void read_lines(const struct task *task, struct buffer *text)
{
        for (uint64_t now = now_ms(); now < task->until; now = now_ms()) {
                struct pollfd p = {.fd = task->fd, .events = POLLIN};
                char bytes[4096];

                if (poll(&p, 1, (int)(task->until - now)) <= 0)
                        continue;
                const ssize_t n = read(task->fd, bytes, sizeof(bytes));
                if (n <= 0 || buffer_append(text, bytes, (size_t)n) < 0)
                        return;
        }
}

json_t *tasks_end(struct task *task, const char *step)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(CONTROL_ANSWER_MAX);
        int status;

        if (task->pid > 0) {
                read_lines(task, &text);
                (void)kill(-task->pid, SIGKILL);
                (void)kill(task->pid, SIGKILL); /* before it made the group */
                while (waitpid(task->pid, &status, 0) < 0 && errno == EINTR)
                        ;
                (void)close(task->fd);
        }
        *task = (struct task){.pid = 0};
        json_t *lines = text.len ? json_loadb(text.data, text.len, 0, NULL) : NULL;
        if (!lines) {
                lines = json_array();
                (void)hop_add(lines,
                              (struct hop){.step = step,
                                           .result = HOP_FAILED,
                                           .code = "check_timeout",
                                           .remedy = "Try again; if it is the same, see what hangs on this host"},
                              "this test did not end within %d s", TASKS_MS / 1000);
        }
        return lines;
}

int tasks_output(struct buffer *out, const char *const *argv)
{
        int fds[2], status = -1;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        const pid_t pid = fork();
        if (pid == 0) {
                const int null = open("/dev/null", O_RDWR);

                (void)setpgid(0, 0);
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                if (dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 && dup2(fds[1], STDOUT_FILENO) >= 0)
                        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
                _exit(127);
        }
        (void)close(fds[1]);
        const struct task task = {.pid = pid, .fd = fds[0], .until = now_ms() + TASKS_MS};
        if (pid > 0) {
                read_lines(&task, out);
                if (now_ms() >= task.until)
                        (void)kill(-pid, SIGKILL);
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                        ;
        }
        (void)close(fds[0]);
        return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* ---- what a start, or a reload, of posternd would find: users, folders, enrolment, files ---- */

static void on_startup_line(void *arg, const char *line)
{
        const size_t number = strspn(line, "0123456789");
        const char *note = strstr(line, "note: ");

        if (number > 0 && strncmp(line + number, " error", 6) == 0)
                return; /* only how many there were */
        if (strstr(line, "is fine: "))
                return;
        if (note)
                (void)hop_add(arg, (struct hop){.step = "start", .result = HOP_WARNING}, "%s", note + strlen("note: "));
        else
                (void)hop_add(
                        arg,
                        (struct hop){.step = "start",
                                     .result = HOP_FAILED,
                                     .code = "start_refused",
                                     .remedy =
                                             "Correct that; until then posternd does not start, and refuses a reload"},
                        "%s", line);
}

void tasks_startup(const struct cli *cli, const struct config *config, json_t *lines)
{
        struct error err = {""};
        bool fit = false;

        (void)config;
        if (startup_check(cli->config, on_startup_line, lines, &fit, &err) < 0)
                (void)hop_add(lines, (struct hop){.step = "start", .result = HOP_FAILED, .code = "start_refused"}, "%s",
                              err.text);
        else if (fit)
                (void)hop_add(lines, (struct hop){.step = "start"},
                              "posternd could start: users, folders, enrolment, keys and files are as they must be");
        else if (hop_worst(lines) != HOP_FAILED)
                (void)hop_add(lines, (struct hop){.step = "start", .result = HOP_FAILED, .code = "start_refused"},
                              "posternd could not start, and did not say why");
}

/* ---- the relay ---- */

/* The file of state_dir, or what the configuration names instead. */
static int read_state(const struct config *config, const char *instead, const char *name, struct buffer *out)
{
        char path[PATH_MAX];
        struct error err;

        if (snprintf(path, sizeof(path), "%s/%s", config->state_dir, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        return file_read(out, instead ? instead : path, &err);
}

/* The key's PEM where it is in a file; NULL where it is in hardware, or not there. */
static const char *read_identity(const struct config *config, struct buffer *key, struct buffer *chain)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(PEM_MAX);

        if (read_state(config, NULL, "transport.pem", &text) < 0 || transport_split(&text, key, chain) < 0)
                return NULL;
        if (!key->len && read_state(config, config->transport_key, "transport.key", key) < 0)
                return NULL;
        return key->data && key_kind_of(key->data, key->len) == KEY_KIND_NONE ? key->data : NULL;
}

void tasks_relay(const struct cli *cli, const struct config *config, json_t *lines)
{
        _cleanup_(buffer_free) struct buffer key = BUFFER_SECRET(PEM_MAX), chain = BUFFER(PEM_MAX), ca = BUFFER(CA_MAX);
        _cleanup_(enrolment_clear) struct enrolment enrolment = {0};
        char path[PATH_MAX];
        struct error err = {""};

        (void)cli;
        (void)snprintf(path, sizeof(path), "%s/enrolment.json", config->state_dir);
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || enrolment_read(&enrolment, fd, &err) < 0) {
                (void)hop_add(lines, (struct hop){.step = "relay", .result = HOP_SKIPPED},
                              "skipped because this connector is not enrolled");
                return;
        }
        if (config->relay_ca_file && access(config->relay_ca_file, R_OK) < 0) {
                (void)hop_add(lines, (struct hop){.step = "relay", .result = HOP_SKIPPED},
                              "skipped because relay_ca_file cannot be read");
                return;
        }
        const bool own_ca = read_state(config, config->relay_ca_file, "relay-ca.pem", &ca) == 0;
        const char *key_pem = read_identity(config, &key, &chain);
        const struct hop_relay relay = {.url = config->relay ? config->relay : enrolment.relay,
                                        .proxy = config->proxy,
                                        .cas = own_ca ? &ca : NULL,
                                        .cert_pem = key_pem ? chain.data : NULL,
                                        .key_pem = key_pem,
                                        .no_identity = "the transport key is in hardware, or cannot be read"};
        hop_relay(lines, &relay);
}

/* Without such an account sign-ins go on. */
void tasks_readers(const struct cli *cli, const struct config *config, json_t *lines)
{
        char text[1024];

        for (size_t i = 0; i < config->validate.n_domains; i++) {
                if (!config->domains[i].reader)
                        continue;
                const int r = account_judge_reader(cli, config->domains[i].name, text, sizeof(text));
                (void)hop_add(lines,
                              (struct hop){.step = "reader",
                                           .result = r ? HOP_WARNING : HOP_OK,
                                           .about = config->domains[i].name,
                                           .code = r ? "reader" : NULL},
                              "%s", text);
        }
}

/* ---- the daemon ---- */

void tasks_daemon(const struct cli *cli, const struct config *config, json_t *lines)
{
        json_auto_t *request = json_pack("{s:s}", "do", "status"), *answer = NULL;
        char path[PATH_MAX];
        struct error err = {""};

        (void)config;
        view_socket(cli, "control.sock", path, sizeof(path));
        const int r = control_ask(&answer, path, request, &err);
        if (r == 0)
                hop_daemon(lines, answer);
        else if (r == -ENOENT || r == -ECONNREFUSED)
                (void)hop_add(lines,
                              (struct hop){.step = "daemon",
                                           .result = HOP_WARNING,
                                           .code = "not_running",
                                           .remedy = "Start it: systemctl start postern; why it ended: postern status"},
                              "posternd does not run, so no sign-in comes here");
        else
                (void)hop_add(lines,
                              (struct hop){.step = "daemon",
                                           .result = HOP_FAILED,
                                           .code = r == -EACCES ? "not_allowed" : "process_silent"},
                              "%s", err.text);
}
