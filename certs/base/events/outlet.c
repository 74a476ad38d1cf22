/*
 * The queue in front of a scribe.
 *
 * Invariants: a record that was put is waiting, sent, or counted as lost. Those that wait are in order: first the
 * n_flight that the scribe has, then, from `next` on, those that it has not. Only the latter are dropped for want of
 * room, and what was lost is told where it is missing, in front of them. A scribe is believed about what it wrote, but
 * not that it wrote more than it was given.
 */
#include "base/events/events.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

#define FLUSH_MS 50
#define LAST_MS 500 /* that the end takes at most */

struct line {
        TAILQ_ENTRY(line) link;
        size_t n;
        uint64_t gap; /* of a gap's record: how many it tells of; else 0 */
        char text[];
};

struct events_outlet {
        struct events_outlet_config config;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer;
        TAILQ_HEAD(, line) waiting;
        struct line *next; /* the first that the scribe has not; NULL: it has all */
        size_t n_waiting, n_flight, bytes;
        uint64_t number, sent, lost, untold; /* untold: lost since the last gap's record */
        uint64_t quiet_from;                 /* when it was last given some, having none, or last said something */
        int64_t since, lost_last;
        bool full;     /* the channel takes nothing more now */
        char why[200]; /* "": nothing is wrong */
};

static void set_why(struct events_outlet *o, const char *why)
{
        if ((o->why[0] != '\0') != (why[0] != '\0'))
                o->since = loop_wall(o->config.loop);
        (void)snprintf(o->why, sizeof(o->why), "%s", why);
}

static void drop(struct events_outlet *o, struct line *l)
{
        TAILQ_REMOVE(&o->waiting, l, link);
        o->bytes -= l->n;
        o->n_waiting--;
        free(l);
}

/* A line (NULL: one that could not even be kept) does not go out; what a gap's record tells of is to be told again. */
static void count_lost(struct events_outlet *o, const struct line *l)
{
        o->lost += !l || l->gap == 0;
        o->untold += l && l->gap ? l->gap : 1;
        o->lost_last = loop_wall(o->config.loop);
}

/* gap: of a gap's record, which goes in front of those that the scribe has not; else 0. */
static void queue_line(struct events_outlet *o, const char *text, size_t n, uint64_t gap)
{
        struct line *l = malloc(sizeof(*l) + n);

        if (!l) {
                count_lost(o, NULL);
                return;
        }
        l->n = n;
        l->gap = gap;
        memcpy(l->text, text, n);
        if (gap && o->next)
                TAILQ_INSERT_BEFORE(o->next, l, link);
        else
                TAILQ_INSERT_TAIL(&o->waiting, l, link);
        if (gap || !o->next)
                o->next = l;
        o->n_waiting++;
        o->bytes += n;
        while (!gap && o->bytes > EVENTS_WAITING_MAX && o->next) {
                struct line *oldest = o->next;

                o->next = TAILQ_NEXT(oldest, link);
                count_lost(o, oldest);
                drop(o, oldest);
        }
}

/* Before anything goes out again, what is missing. */
static void tell_gap(struct events_outlet *o)
{
        struct events_record gap = {.wall = loop_wall(o->config.loop),
                                    .kind = "gap",
                                    .sentence = "records are missing here",
                                    .level = LOG_LEVEL_WARNING};
        const uint64_t lost = o->untold;
        char text[EVENTS_LINE_MAX];

        if (lost == 0 || o->config.foreign)
                return;
        events_number(&gap, "lost", (int64_t)lost);
        o->untold = 0;
        queue_line(o, text, events_render(text, o->config.form, o->config.origin, ++o->number, &gap), lost);
}

/* What the scribe had goes to the next one. */
static void close_fd(struct events_outlet *o, const char *why)
{
        o->io = loop_io_free(o->io);
        closep(&o->fd);
        o->fd = -1;
        o->full = false;
        o->n_flight = 0;
        o->next = TAILQ_FIRST(&o->waiting);
        if (why)
                set_why(o, why);
}

/* 0: all that may be is out; -EAGAIN: the channel is full; -errno: it is of no use. */
static int send_next(struct events_outlet *o)
{
        while (o->next && o->n_flight < EVENTS_FLIGHT_MAX) {
                if (send(o->fd, o->next->text, o->next->n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                        return errno == EINTR ? 0 : errno == EWOULDBLOCK ? -EAGAIN : -errno;
                if (o->n_flight++ == 0)
                        o->quiet_from = loop_now(o->config.loop);
                o->next = TAILQ_NEXT(o->next, link);
        }
        return 0;
}

static void flush(void *arg)
{
        struct events_outlet *o = arg;
        struct pollfd room = {.fd = o->fd, .events = POLLOUT};

        int r = 0;

        if (o->fd < 0)
                return;
        if (o->untold > 0 && o->n_flight < EVENTS_FLIGHT_MAX && poll(&room, 1, 0) != 1)
                r = -EAGAIN; /* nothing goes out before what is missing was told */
        else if (o->n_flight < EVENTS_FLIGHT_MAX)
                tell_gap(o);
        r = r < 0 ? r : send_next(o);
        o->full = r == -EAGAIN;
        if (r < 0 && !o->full)
                close_fd(o, strerror(-r));
        else if (o->io)
                loop_io_set(o->io, LOOP_READ | (o->full ? LOOP_WRITE : 0));
}

/* Whether the word can be true. */
static bool take_word(struct events_outlet *o, const struct events_word *w)
{
        const uint64_t n = (uint64_t)w->done + w->refused;

        if (n > o->n_flight || !memchr(w->why, '\0', sizeof(w->why)) || !utf8_valid(w->why, strlen(w->why)))
                return false;
        for (uint64_t i = 0; i < n; i++) {
                if (i < w->refused)
                        count_lost(o, TAILQ_FIRST(&o->waiting));
                drop(o, TAILQ_FIRST(&o->waiting));
        }
        o->n_flight -= (size_t)n;
        o->sent += w->done;
        o->quiet_from = loop_now(o->config.loop);
        set_why(o, w->why);
        return true;
}

static void on_channel(void *arg, int fd, int events)
{
        struct events_outlet *o = arg;
        struct events_word w;
        ssize_t n = -1;

        (void)events;
        while ((n = recv(fd, &w, sizeof(w), MSG_DONTWAIT)) == (ssize_t)sizeof(w))
                if (!take_word(o, &w))
                        break;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
                flush(o);
        else
                close_fd(o, n == 0 || n < 0 ? "the process that writes them ended; another one is started"
                                            : "the process that writes them said what cannot be");
}

int events_outlet_new(struct events_outlet **ret_outlet, const struct events_outlet_config *config)
{
        struct events_outlet *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;
        o->config = *config;
        o->fd = -1;
        o->since = loop_wall(config->loop);
        TAILQ_INIT(&o->waiting);
        (void)snprintf(o->why, sizeof(o->why), "it is not open yet");
        const int r = loop_timer_new(&o->timer, config->loop, NULL, flush, o);
        if (r < 0) {
                free(o);
                return r;
        }
        *ret_outlet = o;
        return 0;
}

static int64_t real_ms(void)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct events_outlet *events_outlet_free(struct events_outlet *o)
{
        const int64_t until = real_ms() + LAST_MS;
        struct pollfd room = {.fd = o ? o->fd : -1, .events = POLLOUT};
        int r = 0;

        if (!o)
                return NULL;
        if (o->fd >= 0)
                tell_gap(o);
        /* what waits goes out as far as the channel takes it, and no word is waited for */
        while (o->fd >= 0 && o->next && (r == 0 || r == -EAGAIN) && real_ms() < until) {
                o->n_flight = 0;
                r = send_next(o);
                if (r == -EAGAIN)
                        (void)poll(&room, 1, LAST_MS / 10);
        }
        while (!TAILQ_EMPTY(&o->waiting))
                drop(o, TAILQ_FIRST(&o->waiting));
        loop_timer_free(o->timer);
        close_fd(o, NULL);
        free(o);
        return NULL;
}

void events_outlet_open(struct events_outlet *o, int fd)
{
        close_fd(o, NULL);
        o->fd = fd;
        if (loop_io_new(&o->io, o->config.loop, NULL, fd, LOOP_READ, on_channel, o) < 0) {
                close_fd(o, strerror(ENOMEM));
                return;
        }
        loop_timer_in(o->timer, 0);
}

void events_outlet_line(struct events_outlet *o, const char *line, size_t n)
{
        queue_line(o, line, n, 0);
        if (!loop_timer_armed(o->timer) && !o->full && o->fd >= 0 && o->n_flight < EVENTS_FLIGHT_MAX)
                loop_timer_in(o->timer, FLUSH_MS);
}

void events_outlet_put(struct events_outlet *o, const struct events_record *record)
{
        char text[EVENTS_LINE_MAX];

        events_outlet_line(o, text, events_render(text, o->config.form, o->config.origin, ++o->number, record));
}

void events_outlet_state(const struct events_outlet *o, struct events_state *ret_state)
{
        const uint64_t now = loop_now(o->config.loop);
        const bool hangs = o->n_flight > 0 && now - o->quiet_from >= EVENTS_SILENCE_MS;

        *ret_state = (struct events_state){
                .open = o->why[0] == '\0' && !hangs,
                .sent = o->sent,
                .lost = o->lost,
                .waiting = o->n_waiting,
                .since = hangs ? loop_wall(o->config.loop) - (int64_t)((now - o->quiet_from) / 1000) : o->since,
                .lost_last = o->lost_last,
                .why = hangs ? "writing hangs: its disk, or its network file system, does not answer" : o->why};
}
