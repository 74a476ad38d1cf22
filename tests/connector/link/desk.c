/*
 * The desk of desk.h.
 */
#include "tests/connector/link/desk.h"

#include "base/core/text.h"

static void add(struct desk *d, const char *what, const struct msg_in *m)
{
        char id[ID_MAX + 1] = "";
        size_t used = strlen(d->frames);

        (void)msg_get_str(m, TAG_ID, id, sizeof(id));
        (void)snprintf(d->frames + used, sizeof(d->frames) - used, "%s%s%s ", what, *id ? ":" : "", *id ? id + 16 : "");
}

static void take_roster(struct desk *d, const struct msg_in *m)
{
        size_t n;
        const uint8_t *text = msg_get_bytes(m, TAG_ROSTER, &n);

        assert_int_equal(msg_get_u64(m, TAG_PART, 999), d->roster_parts);
        assert_true(n > 0 && n <= ROSTER_PART_MAX);
        d->roster_total = msg_get_u64(m, TAG_TOTAL, 0);
        d->roster_parts++;
        assert_int_equal(buffer_append(&d->roster, text, n), 0);
}

void desk_on_validator(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;
        const uint8_t *sealed;
        size_t n;

        assert_int_equal(fd, -1);
        switch (m->type) {
        case FRAME_REQUEST:
                add(d, "request", m);
                sealed = msg_get_bytes(m, TAG_SEALED, &n);
                (void)snprintf(d->sealed, sizeof(d->sealed), "%.*s", (int)n, (const char *)sealed);
                d->budget = msg_get_u64(m, TAG_BUDGET, 0);
                d->received = msg_get_u64(m, TAG_RECEIVED, 0);
                assert_false(msg_has(m, TAG_TRACE));
                break;
        case FRAME_CANCEL:
                add(d, "cancel", m);
                break;
        case FRAME_CONFIRMED:
                add(d, "confirmed", m);
                break;
        case FRAME_LATE:
                add(d, "late", m);
                break;
        case FRAME_ROSTER:
                take_roster(d, m);
                break;
        case FRAME_CLOCK:
                d->relay_wall = (int64_t)msg_get_u64(m, TAG_WALL, 0);
                assert_true(msg_get_u64(m, TAG_RECEIVED, 0) <= loop_now(d->t->loop));
                break;
        default:
                fail_msg("frame %u", m->type);
        }
}

static void on_ledger(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;
        const size_t used = strlen(d->unanswered);
        char id[ID_MAX + 1], why[32];

        assert_int_equal(fd, -1);
        if (m->type == FRAME_STATUS) {
                assert_int_equal(msg_get_str(m, TAG_TEXT, d->status, sizeof(d->status)), 0);
        } else if (m->type == FRAME_UNANSWERED) {
                assert_int_equal(msg_get_str(m, TAG_ID, id, sizeof(id)), 0);
                assert_int_equal(msg_get_str(m, R_DECLINED, why, sizeof(why)), 0);
                assert_true(msg_get_u64(m, R_WALL, 0) > 0);
                (void)snprintf(d->unanswered + used, sizeof(d->unanswered) - used, "%s:%s ", id + 16, why);
        } else {
                assert_int_equal(m->type, FRAME_EVENT);
        }
}

static void on_closed(void *arg, const char *why)
{
        struct desk *d = arg;

        (void)why;
        d->closed = true;
}

/* A channel of which the bridge gets one end. */
struct ipc *open_channel(struct desk *d, int (*open)(struct bridge *, int), ipc_frame_fn *fn)
{
        struct ipc *ours = NULL;
        int fds[2];

        assert_int_equal(ipc_pair(fds), 0);
        assert_int_equal(ipc_new(&ours, d->t->loop, fds[0], fn, on_closed, d), 0);
        assert_int_equal(open(&d->b, fds[1]), 0);
        return ours;
}

static char no_proxy[] = "";

struct line *first_line(struct desk *d)
{
        return TAILQ_FIRST(&d->b.lines);
}

int desk_set_up(void **state)
{
        struct desk *d = calloc(1, sizeof(*d));
        struct bridge *b;
        struct error err = {""};
        void *t = NULL;

        assert_non_null(d);
        assert_int_equal(begin(&t), 0);
        d->t = t;
        d->roster = BUFFER(1 << 20);
        link_free(d->t->link);
        b = &d->b;
        lines_init(b);
        b->validator_fd = -1;
        b->process.loop = d->t->loop;
        b->process.table = &posternd_frames;
        b->process.part = PART_LINK;
        b->config = calloc(1, sizeof(*b->config));
        assert_non_null(b->config);
        b->config->proxy = no_proxy;
        b->boot = strdup(BOOT);
        b->key = BUFFER_SECRET(16384);
        b->cert = BUFFER(16384);
        assert_int_equal(buffer_append_str(&b->key, fake_relay_key(d->t->relay)), 0);
        assert_int_equal(buffer_append_str(&b->cert, fake_relay_cert(d->t->relay)), 0);
        assert_int_equal(link_host_new(&b->host, d->t->loop, fake_relay_ca(d->t->relay), "", &err), 0);
        assert_int_equal(text_set(&b->relay, fake_relay_url(d->t->relay)), 0);
        assert_int_equal(lines_begin(b, &err), 0);
        d->t->link = first_line(d)->link;
        assert_int_equal(loop_timer_new(&b->last_words, d->t->loop, NULL, lines_lose, b), 0);
        d->validator = open_channel(d, bridge_open_validator, desk_on_validator);
        d->ledger = open_channel(d, bridge_open_ledger, on_ledger);
        *state = d;
        return 0;
}

int desk_tear_down(void **state)
{
        struct desk *d = *state;
        struct bridge *b = &d->b;
        void *t = d->t;

        lines_clear(b);
        loop_timer_free(b->last_words);
        d->t->link = NULL;
        ipc_free(b->validator);
        ipc_free(b->ledger);
        ipc_free(d->validator);
        ipc_free(d->ledger);
        ipc_free(d->supervisor);
        ipc_free(b->process.control);
        link_host_free(b->host);
        free(b->config);
        free(b->boot);
        free(b->relay);
        buffer_free(&b->key);
        buffer_free(&b->cert);
        buffer_free(&d->roster);
        free(d);
        return end(&t);
}

void say(struct desk *d, const struct msg_out *m)
{
        assert_int_equal(ipc_send(d->validator, m), 0);
}

void say_state(struct desk *d, const char *realms, const char *reasons)
{
        struct msg_out m;

        msg_begin(&m, FRAME_STATE);
        msg_u64(&m, TAG_CAPACITY, 4);
        msg_u64(&m, TAG_LOAD, 250);
        msg_bytes(&m, TAG_REALMS, realms, strlen(realms));
        msg_bytes(&m, TAG_REASONS, reasons, strlen(reasons));
        msg_str(&m, TAG_STATEMENT, "s.t.m");
        msg_str(&m, TAG_IDENTITY, "{\"kty\":\"EC\"}");
        msg_str(&m, TAG_PROOF, "p.r.f");
        msg_u64(&m, TAG_IN_ROSTER, 1);
        say(d, &m);
}

void say_verdict(struct desk *d, const char *id, const char *jwe, uint64_t deadline)
{
        struct msg_out m;

        msg_begin(&m, FRAME_VERDICT);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_JWE, jwe);
        msg_u64(&m, TAG_DEADLINE, deadline);
        say(d, &m);
}

void say_declined(struct desk *d, const char *id, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DECLINED);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_WHY, why);
        say(d, &m);
}

void say_held(struct desk *d, const char *id)
{
        struct msg_out m;

        msg_begin(&m, FRAME_HELD);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, TAG_DEADLINE, loop_now(d->t->loop) + 5000);
        say(d, &m);
}

static void on_supervisor(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;

        assert_int_equal(fd, -1);
        assert_int_equal(m->type, FRAME_DRAINED);
        assert_false(d->drained);
        d->drained = true;
}

static int open_control(struct bridge *b, int fd)
{
        return ipc_new(&b->process.control, b->process.loop, fd, on_supervisor, on_closed, NULL);
}

int desk_set_up_second(void **state)
{
        struct desk *d;

        assert_int_equal(desk_set_up(state), 0);
        d = *state;
        d->supervisor = open_channel(d, open_control, on_supervisor);
        return 0;
}

/* The link in that role; NULL. */
struct link *link_in(struct desk *d, enum line_role role)
{
        struct line *line;

        TAILQ_FOREACH (line, &d->b.lines, entry)
                if (line->role == role)
                        return line->link;
        return NULL;
}

void open_second(struct desk *d)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(16384);
        struct error err = {""};

        assert_int_equal(buffer_append_str(&text, fake_relay_key(d->t->relay)), 0);
        assert_int_equal(buffer_append_str(&text, fake_relay_cert(d->t->relay)), 0);
        if (lines_open_next(&d->b, &text, NULL, &err) < 0)
                fail_msg("%s", err.text);
}

/* ms go by, and the process looks at its links each second. */
void pass_looking(struct desk *d, uint64_t ms)
{
        for (; ms >= 1000; ms -= 1000) {
                pass(d->t, 1000);
                lines_turn(&d->b, loop_now(d->t->loop));
        }
}
