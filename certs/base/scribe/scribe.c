/*
 * The scribe: takes lines from its writer, and writes them.
 *
 * Invariants: it takes no more from the channel than it holds, so that what cannot be written waits with the writer,
 * who counts what it loses; and it says that a line is done only once the file, or the receiver, has it. It may hang in
 * any call, and nobody looks whether its loop turns.
 */
#include "base/scribe/scribe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/harden.h"
#include "base/process/process.h"
#include "base/scribe/scribe-frames.h"
#include "base/scribe/sink.h"

#define LOOK_MS 1000

struct scribe {
        struct process process;
        struct scribe_setup setup;
        struct sink sink;
        int writer;         /* -1: it ended */
        bool over;          /* the writer has said all */
        struct loop_io *io; /* NULL: the start has not come */
        struct loop_timer *timer;
        struct events_word word; /* not said yet */
        char told[200];          /* word.why as it was said and logged last */
};

/* What came of it, to the writer, who may be slow to hear: then the next turn says it again. */
static void tell(struct scribe *s)
{
        if (strcmp(s->told, s->word.why) != 0) {
                if (s->word.why[0])
                        log_warning("outlet.closed", KV_S("key", s->setup.key), KV_S("path", s->setup.path),
                                    KV_S("why", s->word.why));
                else
                        log_info("outlet.open", KV_S("key", s->setup.key), KV_S("path", s->setup.path));
        } else if (s->word.done == 0 && s->word.refused == 0 && !s->word.why[0]) {
                return; /* with a trouble it is said again, so that it is not taken for one that hangs */
        }
        if (send(s->writer, &s->word, sizeof(s->word), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(s->word)) {
                (void)snprintf(s->told, sizeof(s->told), "%s", s->word.why);
                s->word.done = s->word.refused = 0;
        }
}

/* Lines of the writer's, as many as there is room for. False: the channel has no more now. */
static bool take_lines(struct scribe *s)
{
        char *room;

        while (!s->over && (room = sink_room(&s->sink))) {
                const ssize_t n = recv(s->writer, room, EVENTS_LINE_MAX + 1, MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
                        return false;
                if (n <= 0 || n > EVENTS_LINE_MAX)
                        s->over = true;
                else
                        sink_add(&s->sink, (size_t)n);
        }
        return !s->over;
}

/* Until there is nothing to write, or it cannot be written now. */
static void work(void *arg)
{
        struct scribe *s = arg;
        bool more = true;

        sink_look(&s->sink);
        while (more && s->sink.n_lines == 0) {
                more = take_lines(s);
                sink_write(&s->sink, &s->word);
                tell(s);
        }
        if (s->sink.n_lines > 0) { /* from before */
                sink_write(&s->sink, &s->word);
                tell(s);
        }
        if (s->over && (s->sink.n_lines == 0 || s->sink.why[0]))
                process_stop(&s->process, 0, "the writer ended");
        loop_io_set(s->io, s->over || s->sink.n_lines > 0 ? 0 : LOOP_READ);
        /* a receiver that is slow was waited for already */
        loop_timer_in(s->timer, s->sink.n_lines > 0 && s->sink.socket && s->sink.fd >= 0 ? 0 : LOOK_MS);
}

static void on_writer(void *arg, int fd, int events)
{
        (void)fd;
        (void)events;
        work(arg);
}

/* ---- the process ---- */

static int on_config(void *arg, int handed, struct error *err)
{
        _cleanup_(closep) int fd = handed;
        struct scribe *s = arg;

        if (pread(fd, &s->setup, sizeof(s->setup), 0) != (ssize_t)sizeof(s->setup) ||
            !memchr(s->setup.key, '\0', sizeof(s->setup.key)) || !memchr(s->setup.path, '\0', sizeof(s->setup.path)))
                return error_fail(err, -EBADMSG, "the setup is malformed");
        sink_init(&s->sink, s->setup.path, s->setup.socket);
        return 0;
}

static int on_file(void *arg, const char *name, int handed, struct error *err)
{
        _cleanup_(closep) int fd = handed;
        struct scribe *s = arg;

        (void)err;
        if (strcmp(name, SCRIBE_WRITER) == 0 && s->writer < 0)
                s->writer = steal_fd(&fd);
        return 0;
}

static int on_start(void *arg, const char *boot, const char *instance, struct error *err)
{
        struct scribe *s = arg;
        char folder[PATH_MAX];
        const char *end = strrchr(s->setup.path, '/');

        (void)boot;
        (void)instance;
        if (s->writer < 0 || !end)
                return error_fail(err, -EINVAL, "there is no writer, or no path");
        (void)snprintf(folder, sizeof(folder), "%.*s", end > s->setup.path ? (int)(end - s->setup.path) : 1,
                       s->setup.path);
        const struct confine_path own = {.path = folder, .write = !s->setup.socket};
        const struct confine_rules rules = {.process = "scribe",
                                            .needs = s->setup.socket ? CONFINE_READ | CONFINE_TELL : CONFINE_WRITE,
                                            .paths = &own,
                                            .n_paths = 1};
        int r = process_confine(&s->process, &rules, (enum confine_mode)s->setup.confinement, err);
        if (r == 0)
                r = loop_timer_new(&s->timer, s->process.loop, NULL, work, s);
        if (r == 0)
                r = loop_io_new(&s->io, s->process.loop, NULL, s->writer, LOOP_READ, on_writer, s);
        if (r < 0)
                return r;
        process_ready(&s->process);
        (void)snprintf(s->told, sizeof(s->told), "-"); /* the first word is said in any case */
        loop_timer_in(s->timer, 0);
        return 0;
}

/* What its writer has sent is written yet. */
static bool on_orphaned(void *arg)
{
        const struct scribe *s = arg;

        return s->io && !s->over;
}

bool scribe_wanted(int argc, char **argv)
{
        return argc >= 2 && strcmp(argv[1], SCRIBE_ROLE) == 0;
}

int scribe_main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = on_config, .file = on_file, .start = on_start, .orphaned = on_orphaned};
        static struct scribe s = {.writer = -1, .sink = {.fd = -1}};
        struct error err = {""};

        (void)prctl(PR_SET_NAME, "postern-scribe"); /* not "exe", by which it was started */
        (void)signal(SIGXFSZ, SIG_IGN);             /* a limit on files is a full disk */
        if (process_open(&s.process, &scribe_frames, SCRIBE_PART_SCRIBE, argc, argv, &ops, &s, &err) < 0 ||
            (geteuid() == 0 && harden_powerless(&err) < 0))
                return process_fail("scribe", &err);
        log_native(NULL);
        const int code = process_run(&s.process);
        sink_close(&s.sink);
        s.io = loop_io_free(s.io);
        s.timer = loop_timer_free(s.timer);
        closep(&s.writer);
        process_close(&s.process);
        return code;
}
