/*
 * Runs the ledger's program for one request: it reads the database as the user that the database belongs to. This side
 * opens no database and no file of state_dir.
 */
#include "connector/cli/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/process/program.h"
#include "connector/frames/control.h"

static int request_file(const json_t *request)
{
        _cleanup_(freep) char *text = json_dumps(request, JSON_COMPACT);
        _cleanup_(closep) int fd = memfd_create("request", MFD_CLOEXEC);
        const size_t n = text ? strlen(text) : 0;

        if (fd < 0 || n == 0 || write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) < 0)
                return -EIO;
        return steal_fd(&fd);
}

/* What the program printed, within CONTROL_ANSWER_MAX, and its end. */
static int run(struct buffer *answer, const char *program, const char *config_path, int in, struct error *err)
{
        const char *const argv[] = {program, LEDGER_OFFLINE, config_path, NULL};
        int fds[2], status = 0;
        pid_t pid = -1;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_fail(err, -errno, "cannot run %s: %s", program, strerror(errno));
        int r = program_spawn(&pid, argv, (const int[3]){in, fds[1], -1});
        (void)close(fds[1]);
        if (r == 0)
                r = fd_read_all(answer, fds[0], err);
        else
                (void)error_fail(err, r, "cannot run %s: %s", program, strerror(-r));
        (void)close(fds[0]); /* where it says too much it ends by that */
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return r;
}

int offline_ask(json_t **ret_answer, const char *config_path, const json_t *request, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(CONTROL_ANSWER_MAX);
        _cleanup_(closep) int in = request_file(request);
        char program[PATH_MAX];
        int r = in < 0 ? error_fail(err, in, "the request cannot be handed on") : 0;

        if (r == 0)
                r = program_path("ledger", program, sizeof(program), err);
        if (r == 0)
                r = run(&text, program, config_path, in, err);
        if (r < 0)
                return r;
        json_t *answer = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_true(json_object_get(answer, "ok"))) {
                *ret_answer = answer;
                return 0;
        }
        const char *why = json_string_value(json_object_get(answer, "error"));
        r = error_fail(err, -EREMOTEIO, "%s", why ? why : "the ledger's program ended without an answer");
        json_decref(answer);
        return r;
}
