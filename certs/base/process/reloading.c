/*
 * Asking for a reload, and telling how it ended: a line with which reload it was, and one with why it was refused, or
 * none. This judges nothing: the daemon does.
 */
#include "base/process/reloading.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/process/hand.h"

#define LOOK_MS 100
#define WAIT_MS 240000 /* a check, a drain of at most 60 s and a start */
#define ANSWER_MAX 4096
#define LOST " lost"

int reloading_tell(const char *path, const char *boot, uint64_t n, const char *why, bool lost, struct error *err)
{
        char text[ANSWER_MAX];
        const int len = snprintf(text, sizeof(text), "%s %" PRIu64 "%s\n%.2048s", boot, n, lost ? LOST : "", why);

        return file_write_atomic(path, text, (size_t)len, 0600, err);
}

static pid_t pid_in_lock(const char *lock)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(64);
        uint64_t pid = 0;
        struct error err;

        if (file_read(&text, lock, &err) < 0 || !text.len)
                return 0;
        text.data[strcspn(text.data, "\n")] = '\0';
        return text_parse_u64(text.data, 2, INT32_MAX, &pid) == 0 && hand_locked(lock) ? (pid_t)pid : 0;
}

static int say(const struct reloading *asked, const char *what, const char *more)
{
        (void)fprintf(stderr, "%s: %s%s\n", asked->program, what, more);
        return 1;
}

/* Which reload it was tells an answer from the one before. */
static void read_answer(const struct reloading *asked, struct buffer *out)
{
        struct error err;

        buffer_clear(out);
        (void)file_read(out, asked->answer, &err);
}

static int show(const struct reloading *asked, const struct buffer *answer)
{
        const char *why = strchr(answer->data, '\n');

        if (why && !why[1])
                return puts("reloaded") >= 0 ? 0 : 1;
        if (why && (size_t)(why - answer->data) >= strlen(LOST) && memcmp(why - strlen(LOST), LOST, strlen(LOST)) == 0)
                return say(asked, "the reload failed, and what ran is gone; correct the configuration, then reload: ",
                           why + 1);
        return say(asked, "the reload was refused, and what runs goes on as it was: ", why ? why + 1 : "see the log");
}

int reloading_wait(const struct reloading *asked)
{
        _cleanup_(buffer_free) struct buffer before = BUFFER(ANSWER_MAX), now = BUFFER(ANSWER_MAX);
        const char *main_pid = getenv("MAINPID");
        const pid_t holder = pid_in_lock(asked->lock);
        uint64_t told;
        const pid_t pid = main_pid && text_parse_u64(main_pid, 2, INT32_MAX, &told) == 0 ? (pid_t)told : holder;
        _cleanup_(closep) int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

        if (pidfd < 0)
                return (void)fprintf(stderr, "%s: no %s runs with state_dir %s\n", asked->program, asked->program,
                                     asked->state_dir),
                       1;
        read_answer(asked, &before);
        if (kill(pid, SIGHUP) < 0)
                return say(asked, "it cannot be signalled: ", strerror(errno));
        /* It reads the configuration and refuses that. A lock that is held without a pid is of a full disk, and may be
         * its. */
        if (holder != pid && (holder || !hand_locked(asked->lock)))
                return say(asked, "the reload was refused: another state_dir needs a restart", "");
        for (unsigned waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
                const bool ended = poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, LOOK_MS) == 1;

                read_answer(asked, &now);
                if (now.len && (now.len != before.len || memcmp(now.data, before.data, now.len) != 0))
                        return show(asked, &now);
                if (ended)
                        return say(asked, "it ended during the reload", "");
        }
        return say(asked, "no answer; see its log", "");
}
