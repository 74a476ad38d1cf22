/*
 * Who starts scribes: one for each way, again when it ended, and another beside one that hangs.
 *
 * Invariants: each way has at most one scribe that is its own; those that were left (`left`) are only waited for, by
 * SIGCHLD, and there are at most LEFT_MAX of them: one that hangs in the kernel ends when that lets it go. Nothing here
 * touches what scribes write to, nor waits for them, but for a second at the end.
 */
#include "base/scribe/scribe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/scribe/scribe-frames.h"

#define LEFT_MAX 16
#define FINISH_MS 1000
#define CHECK_MS 2000
#define LOOK_MS 5

struct one {
        TAILQ_ENTRY(one) link;
        struct child child;
        struct scribes *scribes;
        size_t way;
        bool left;
};

struct scribes {
        struct loop *loop;
        const struct child_boot *boot;
        scribes_give_fn *give;
        void *arg;
        enum confine_mode confinement;
        char user[64], paths[EVENTS_WAYS][PATH_MAX]; /* "": none */
        TAILQ_HEAD(, one) all;
        size_t n_left;
        bool wanted; /* a writer is there */
};

static void sleep_ms(long ms)
{
        (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static struct one *own_of(struct scribes *s, size_t way)
{
        struct one *o;

        TAILQ_FOREACH (o, &s->all, link)
                if (o->way == way && !o->left)
                        return o;
        return NULL;
}

static void one_free(struct one *o)
{
        TAILQ_REMOVE(&o->scribes->all, o, link);
        o->scribes->n_left -= o->left;
        child_free(&o->child);
        free(o);
}

/* ---- starting ---- */

static int hand_over(struct one *o, struct error *err)
{
        const struct scribes *s = o->scribes;
        _cleanup_(closep) int ours = -1, theirs = -1;
        int pair[2];
        int r = ipc_pair(pair);

        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        theirs = pair[0];
        ours = pair[1];
        r = child_hand(&o->child, SCRIBE_WRITER, theirs, err);
        if (r == 0)
                r = child_begin(&o->child, s->boot, "scribe", false);
        if (r == 0)
                r = s->give(s->arg, events_way_keys[o->way], ours);
        return r < 0 ? error_fail(err, r, "the channel broke") : 0;
}

static void start_process(struct child *child)
{
        struct one *o = child->arg;
        struct scribes *s = o->scribes;
        const struct spawn how = {.role = "scribe", .user = s->user[0] ? s->user : NULL};
        struct scribe_setup setup = {.socket = o->way == EVENTS_WAY_SOCKET, .confinement = s->confinement};
        _cleanup_(buffer_free) struct buffer text = BUFFER(sizeof(setup));
        struct error err = {"no memory"};

        if (o->left || !s->wanted)
                return;
        (void)snprintf(setup.key, sizeof(setup.key), "%s", events_way_keys[o->way]);
        (void)snprintf(setup.path, sizeof(setup.path), "%s", s->paths[o->way]);
        int r = buffer_append(&text, &setup, sizeof(setup));
        if (r == 0)
                r = child_start(child, &how, &text, &err);
        if (r == 0)
                r = hand_over(o, &err);
        if (r < 0)
                child_start_failed(child, &err);
}

/* Those of the way that may hang are left behind; too many of them, and the way waits until one has ended. */
static void begin_way(struct scribes *s, size_t way)
{
        static const struct child_ops ops = {.again = start_process};
        struct one *o = own_of(s, way);

        if (o && o->child.state == CHILD_DOWN) {
                one_free(o);
        } else if (o) {
                o->left = true;
                s->n_left++;
                child_end(&o->child);
        }
        if (!s->paths[way][0] || s->n_left >= LEFT_MAX)
                return;
        o = calloc(1, sizeof(*o));
        if (!o || child_new(&o->child, s->loop, &scribe_frames, SCRIBE_PART_SCRIBE, &ops, o) < 0) {
                free(o);
                log_error("process.not_started", KV_S("process", "scribe"), KV_S("why", "no memory"));
                return;
        }
        o->scribes = s;
        o->way = way;
        TAILQ_INSERT_TAIL(&s->all, o, link);
        start_process(&o->child);
}

void scribes_begin(struct scribes *s, const struct scribes_wanted *wanted)
{
        s->wanted = true;
        s->confinement = wanted->confinement;
        (void)snprintf(s->user, sizeof(s->user), "%s", wanted->user ? wanted->user : "");
        for (size_t i = 0; i < EVENTS_WAYS; i++)
                (void)snprintf(s->paths[i], sizeof(s->paths[i]), "%s", wanted->paths[i] ? wanted->paths[i] : "");
        for (size_t i = 0; i < EVENTS_WAYS; i++)
                begin_way(s, i);
}

/* ---- their ends ---- */

void scribes_pause(struct scribes *s)
{
        struct one *o = s ? TAILQ_FIRST(&s->all) : NULL, *next;

        for (; o; o = next) {
                next = TAILQ_NEXT(o, link);
                if (o->child.state == CHILD_DOWN)
                        one_free(o);
        }
        if (s)
                s->wanted = false;
}

void scribes_reap(struct scribes *s)
{
        struct one *o = s ? TAILQ_FIRST(&s->all) : NULL, *next;

        for (; o; o = next) {
                next = TAILQ_NEXT(o, link);
                if (!child_reap(&o->child))
                        continue;
                const size_t way = o->way;
                if (!o->left && s->wanted) {
                        child_again_later(&o->child);
                        continue;
                }
                log_info("process.ended", KV_S("process", "scribe"), KV_S("how", o->child.last_end));
                one_free(o);
                if (s->wanted && !own_of(s, way))
                        begin_way(s, way);
        }
}

void scribes_finish(struct scribes *s)
{
        if (!s)
                return;
        scribes_pause(s);
        for (int ms = 0; ms < FINISH_MS; ms += LOOK_MS) {
                bool busy = false;
                struct one *o;

                scribes_reap(s);
                TAILQ_FOREACH (o, &s->all, link)
                        busy = busy || (!o->left && o->child.state != CHILD_DOWN);
                if (!busy)
                        return;
                sleep_ms(LOOK_MS);
        }
}

struct scribes *scribes_new(struct loop *loop, const struct child_boot *boot, scribes_give_fn *give, void *arg)
{
        struct scribes *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->loop = loop;
        s->boot = boot;
        s->give = give;
        s->arg = arg;
        TAILQ_INIT(&s->all);
        return s;
}

struct scribes *scribes_free(struct scribes *s)
{
        while (s && TAILQ_FIRST(&s->all))
                one_free(TAILQ_FIRST(&s->all));
        free(s);
        return NULL;
}

/* ---- a check ---- */

enum { PATH_GOOD = 0, PATH_NO_FOLDER, PATH_NO_FILE };

static int look_at(const char *path)
{
        const char *end = strrchr(path, '/');
        char folder[PATH_MAX];
        struct stat st;

        (void)snprintf(folder, sizeof(folder), "%.*s", end > path ? (int)(end - path) : 1, path);
        if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
                return PATH_NO_FOLDER;
        return lstat(path, &st) == 0 && !S_ISREG(st.st_mode) ? PATH_NO_FILE : PATH_GOOD;
}

/* -ETIMEDOUT: it hangs. */
static int check_file(const char *key, const char *path, struct error *err)
{
        const pid_t pid = fork();
        int status = 0, ms = 0;

        if (pid == 0) {
                (void)close_range(0, ~0U, 0); /* it may stay, and nobody is to wait for the ends of its pipes */
                _exit(look_at(path));
        }
        if (pid < 0)
                return error_fail(err, -errno, "%s: cannot look: %s", key, strerror(errno));
        while (waitpid(pid, &status, WNOHANG) == 0) {
                if (ms >= CHECK_MS) {
                        (void)kill(pid, SIGKILL);
                        return error_fail(err, -ETIMEDOUT,
                                          "%s: %.200s: its file system does not answer; records wait in memory until "
                                          "it does, and the oldest are lost",
                                          key, path);
                }
                sleep_ms(LOOK_MS);
                ms += LOOK_MS;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == PATH_NO_FOLDER)
                return error_fail(err, -ENOENT, "%s: there is no folder %.*s; make it", key,
                                  (int)(strrchr(path, '/') - path), path);
        if (WIFEXITED(status) && WEXITSTATUS(status) == PATH_NO_FILE)
                return error_fail(err, -EINVAL, "%s: %.200s is not a regular file", key, path);
        return 0;
}

size_t scribe_check(const char *const paths[EVENTS_WAYS], scribe_tell_fn *tell, scribe_tell_fn *note, void *arg)
{
        struct error err;
        size_t n = 0;

        for (size_t i = 0; i < EVENTS_WAYS; i++) {
                const int r = paths[i] && i != EVENTS_WAY_SOCKET ? check_file(events_way_keys[i], paths[i], &err) : 0;

                if (r < 0)
                        (r == -ETIMEDOUT ? note : tell)(arg, err.text);
                n += r < 0 && r != -ETIMEDOUT;
        }
        return n;
}
