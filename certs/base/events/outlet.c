/*
 * The queue in front of a file or a socket that takes records.
 *
 * Invariants: a record that was put is waiting, sent, or counted as lost. The line at the head may be in a file in part
 * (head_sent): it stays at the head until it is there whole, or until there is another file, which then gets all of it.
 * Only a way that takes something again is told of what was lost, in front of all that waits.
 */
#include "base/events/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#define FLUSH_MS 50
#define RETRY_MS 5000
#define BLOCK 65536   /* of one write to a file */
#define TURN_MAX 1024 /* datagrams of one turn of the loop */

struct line {
        TAILQ_ENTRY(line) link;
        size_t n;
        uint64_t gap; /* of a gap's record: how many it tells of; else 0 */
        char text[];
};

struct events_outlet {
        struct events_outlet_config config;
        int fd;
        struct loop_io *io; /* of a socket: armed while it is full */
        struct loop_timer *timer;
        TAILQ_HEAD(, line) waiting;
        size_t n_waiting, bytes, head_sent;
        uint64_t number, sent, lost, untold; /* untold: lost since the last gap's record */
        int64_t since, lost_last;
        bool full;     /* a socket whose reader is slow */
        char why[160]; /* "": nothing is wrong */
};

static void set_why(struct events_outlet *o, const char *why)
{
        if ((o->why[0] != '\0') != (why[0] != '\0'))
                o->since = loop_wall(o->config.loop);
        (void)snprintf(o->why, sizeof(o->why), "%s", why);
}

static void drop_head(struct events_outlet *o)
{
        struct line *head = TAILQ_FIRST(&o->waiting);

        TAILQ_REMOVE(&o->waiting, head, link);
        o->bytes -= head->n;
        o->n_waiting--;
        o->head_sent = 0;
        free(head);
}

/* A line (NULL: one that could not even be kept) does not go out; what a gap's record tells of is to be told again. */
static void count_lost(struct events_outlet *o, const struct line *l)
{
        o->lost += !l || l->gap == 0;
        o->untold += l && l->gap ? l->gap : 1;
        o->lost_last = loop_wall(o->config.loop);
}

/* Where the head is in a file in part, the next one goes. */
static void make_room(struct events_outlet *o)
{
        while (o->bytes > EVENTS_WAITING_MAX) {
                struct line *head = TAILQ_FIRST(&o->waiting), *next = TAILQ_NEXT(head, link);

                if (o->head_sent == 0 || !next) {
                        count_lost(o, head);
                        drop_head(o);
                        continue;
                }
                count_lost(o, next);
                TAILQ_REMOVE(&o->waiting, next, link);
                o->bytes -= next->n;
                o->n_waiting--;
                free(next);
        }
}

/* gap: of a gap's record, which goes to the head. */
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
        if (gap)
                TAILQ_INSERT_HEAD(&o->waiting, l, link);
        else
                TAILQ_INSERT_TAIL(&o->waiting, l, link);
        o->n_waiting++;
        o->bytes += n;
        if (!gap)
                make_room(o);
}

/* Before anything goes out again, what is missing. */
static void tell_gap(struct events_outlet *o)
{
        struct events_record gap = {.wall = loop_wall(o->config.loop),
                                    .kind = "gap",
                                    .sentence = "records are missing here",
                                    .level = LOG_LEVEL_WARNING};
        char text[EVENTS_LINE_MAX];

        if (o->untold == 0 || o->head_sent > 0 || o->config.foreign)
                return;
        events_number(&gap, "lost", (int64_t)o->untold);
        const uint64_t lost = o->untold;
        o->untold = 0;
        queue_line(o, text, events_render(text, o->config.form, o->config.origin, ++o->number, &gap), lost);
}

/* n bytes of what waits are out. */
static void account(struct events_outlet *o, size_t n)
{
        struct line *head;

        while (n > 0 && (head = TAILQ_FIRST(&o->waiting))) {
                const size_t rest = head->n - o->head_sent;

                if (n < rest) {
                        o->head_sent += n;
                        return;
                }
                n -= rest;
                o->sent++;
                drop_head(o);
        }
}

/* 0, or -errno. */
static int flush_file(struct events_outlet *o)
{
        char block[BLOCK];

        while (!TAILQ_EMPTY(&o->waiting)) {
                size_t n = 0, skip = o->head_sent;
                struct line *l;

                TAILQ_FOREACH (l, &o->waiting, link) {
                        if (n + l->n - skip > sizeof(block))
                                break;
                        memcpy(block + n, l->text + skip, l->n - skip);
                        n += l->n - skip;
                        skip = 0;
                }
                const ssize_t out = write(o->fd, block, n);
                if (out < 0)
                        return errno == EINTR ? 0 : -errno;
                account(o, (size_t)out);
                if ((size_t)out < n)
                        return -ENOSPC;
        }
        return 0;
}

static int flush_socket(struct events_outlet *o)
{
        for (unsigned i = 0; i < TURN_MAX && !TAILQ_EMPTY(&o->waiting); i++) {
                const struct line *head = TAILQ_FIRST(&o->waiting);
                const ssize_t out = send(o->fd, head->text, head->n, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (out < 0 && errno == EMSGSIZE) { /* the receiver will never take it */
                        count_lost(o, head);
                        drop_head(o);
                        continue;
                }
                if (out < 0)
                        return errno == EINTR ? 0 : -errno;
                o->sent++;
                drop_head(o);
        }
        return 0;
}

static void close_fd(struct events_outlet *o)
{
        o->io = loop_io_free(o->io);
        closep(&o->fd);
        o->fd = -1;
        o->full = false;
}

static bool is_gone(int r)
{
        return r == -ECONNREFUSED || r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -EBADF;
}

static void flush(struct events_outlet *o)
{
        if (o->fd < 0)
                return;
        tell_gap(o);
        const int r = (o->config.form == EVENTS_SYSLOG ? flush_socket : flush_file)(o);
        o->full = r == -EAGAIN || r == -EWOULDBLOCK;
        if (o->io)
                loop_io_set(o->io, o->full ? LOOP_WRITE : 0);
        if (r == 0) {
                set_why(o, "");
                if (!TAILQ_EMPTY(&o->waiting))
                        loop_timer_in(o->timer, 0);
        } else if (o->full) {
                set_why(o, "whoever receives them reads too slowly");
        } else if (is_gone(r)) {
                set_why(o, strerror(-r));
                close_fd(o);
                if (o->config.lost)
                        o->config.lost(o->config.arg, o->why);
        } else {
                set_why(o, strerror(-r));
                loop_timer_in(o->timer, RETRY_MS);
        }
}

static void on_timer(void *arg)
{
        flush(arg);
}

static void on_writable(void *arg, int fd, int events)
{
        (void)fd;
        (void)events;
        flush(arg);
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
        const int r = loop_timer_new(&o->timer, config->loop, NULL, on_timer, o);
        if (r < 0) {
                free(o);
                return r;
        }
        *ret_outlet = o;
        return 0;
}

struct events_outlet *events_outlet_free(struct events_outlet *o)
{
        if (!o)
                return NULL;
        o->config.lost = NULL;
        flush(o);
        while (!TAILQ_EMPTY(&o->waiting))
                drop_head(o);
        loop_timer_free(o->timer);
        close_fd(o);
        free(o);
        return NULL;
}

void events_outlet_open(struct events_outlet *o, int fd)
{
        close_fd(o);
        o->fd = fd;
        o->head_sent = 0;
        if (o->config.form == EVENTS_SYSLOG && loop_io_new(&o->io, o->config.loop, NULL, fd, 0, on_writable, o) < 0)
                o->io = NULL; /* the timer comes again */
        set_why(o, "");
        loop_timer_in(o->timer, 0);
}

void events_outlet_line(struct events_outlet *o, const char *line, size_t n)
{
        queue_line(o, line, n, 0);
        if (!loop_timer_armed(o->timer) && !o->full && o->fd >= 0)
                loop_timer_in(o->timer, FLUSH_MS);
}

void events_outlet_put(struct events_outlet *o, const struct events_record *record)
{
        char text[EVENTS_LINE_MAX];

        events_outlet_line(o, text, events_render(text, o->config.form, o->config.origin, ++o->number, record));
}

void events_outlet_state(const struct events_outlet *o, struct events_state *ret_state)
{
        *ret_state = (struct events_state){.open = o->why[0] == '\0',
                                           .sent = o->sent,
                                           .lost = o->lost,
                                           .waiting = o->n_waiting,
                                           .since = o->since,
                                           .lost_last = o->lost_last,
                                           .why = o->why};
}
