/*
 * posternd --reload: makes the daemon that runs read its configuration anew, and waits for what comes of it.
 *
 * The daemon is found by the lock in state_dir, or by $MAINPID, which systemd sets; it answers in
 * state_dir/reload.json. This judges nothing: the daemon does, before it drains.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

#define LOOK_MS 100
#define WAIT_MS 240000 /* a check, a drain of at most 60 s and a start */

/* "" where there is none yet. */
static void read_answer(const char *state_dir, struct buffer *out)
{
        char path[4096];
        struct error err;

        buffer_clear(out);
        if (files_in_folder(path, state_dir, FILE_RELOAD, &err) == 0)
                (void)file_read(out, path, &err);
}

static pid_t pid_in_lock(const char *state_dir)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(64);
        char path[4096];
        uint64_t pid = 0;
        struct error err;

        if (files_in_folder(path, state_dir, FILE_LOCK, &err) < 0 || file_read(&text, path, &err) < 0 || !text.len)
                return 0;
        text.data[strcspn(text.data, "\n")] = '\0';
        return text_parse_u64(text.data, 2, INT32_MAX, &pid) == 0 && hand_locked(path) ? (pid_t)pid : 0;
}

static int show(const struct buffer *answer)
{
        json_auto_t *json = json_loads(answer->data, 0, NULL);

        if (json_is_true(json_object_get(json, "ok")))
                return puts("reloaded") >= 0 ? 0 : 1;
        const char *why = json_string_value(json_object_get(json, "why"));
        (void)fprintf(stderr, "posternd: the reload was refused, and what runs goes on as it was: %s\n",
                      why ? why : "see the log");
        return 1;
}

int reload_client(const char *state_dir)
{
        _cleanup_(buffer_free) struct buffer before = BUFFER(4096), now = BUFFER(4096);
        const char *main_pid = getenv("MAINPID");
        uint64_t told;
        const pid_t pid =
                main_pid && text_parse_u64(main_pid, 2, INT32_MAX, &told) == 0 ? (pid_t)told : pid_in_lock(state_dir);
        _cleanup_(closep) int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

        if (pidfd < 0)
                return (void)fprintf(stderr, "posternd: no posternd runs with state_dir %s\n", state_dir), 1;
        const bool elsewhere = pid_in_lock(state_dir) != pid; /* it reads the configuration and refuses that */
        read_answer(state_dir, &before);
        if (kill(pid, SIGHUP) < 0)
                return (void)fprintf(stderr, "posternd: cannot signal process %d: %s\n", (int)pid, strerror(errno)), 1;
        if (elsewhere)
                return (void)fputs("posternd: the reload was refused: another state_dir needs a restart\n", stderr), 1;
        for (unsigned waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
                const bool ended = poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, LOOK_MS) == 1;
                read_answer(state_dir, &now);
                if (now.len && (now.len != before.len || memcmp(now.data, before.data, now.len) != 0))
                        return show(&now);
                if (ended)
                        return (void)fputs("posternd: it ended during the reload\n", stderr), 1;
        }
        return (void)fputs("posternd: no answer; see its log\n", stderr), 1;
}
