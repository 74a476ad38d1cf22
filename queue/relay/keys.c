/*
 * What services fetch: the roster, key statements and who is ready, whole or as what changed since they looked.
 *
 * Owns struct board, a tenant's list as it was shown last. Each change raises its version, and a service that names the
 * version that it has (`since`) is given what changed after it: so 512 connectors cost a service what one of them
 * changes. Invariants: what is shown is made of the tenant's statements and links at that moment, never of what was
 * shown; nobody waits longer than asked; what is gone is remembered only as a kid, for at most KIDS_MAX of them.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "certs/codec/json.h"
#include "queue/relay/relay.h"

#define MAX_AGE "max-age=30"
#define ANSWER_MAX (8 * 1024 * 1024)
#define READY_MAX (1024 * 1024)
#define WAITING_MAX 64 /* services that wait, of a tenant */
#define GATHER_MS 250  /* changes of a moment are told together */
#define LOOK_MS 5000   /* what no event announces: an expiry, a measurement that fades */
#define KIDS_MAX (2 * ROSTER_MEMBERS_MAX)
#define STATE_MAX 64
#define LAST_MAX (4 * SESSIONS_PER_CONNECTOR) /* a connector's links at all nodes */
#define EPOCH_LEN 22                          /* b64u of 16 bytes */

/* A statement that was shown, or whose end was. */
struct posted {
        struct table_node by_kid;
        TAILQ_ENTRY(posted) entry; /* what changed longest ago comes first */
        char kid[KID_LEN + 1];
        char *text; /* NULL: gone */
        uint64_t version;
        bool seen;
};

/* A service that waits for a change. */
struct waiter {
        TAILQ_ENTRY(waiter) entry;
        struct board *board;
        struct http_req *r;
        uint64_t since;
        struct loop_timer *end;
};

struct board {
        struct relay *relay;
        struct tenant *t;
        char epoch[EPOCH_LEN +
                   1];           /* drawn with it: versions of another relay, or of another start, mean nothing here */
        uint64_t version, floor; /* floor: what changed up to it is not known one by one any more */
        uint64_t roster_seq, roster_version;
        char *ready; /* JSON */
        uint64_t ready_version;
        struct table kids;
        TAILQ_HEAD(posted_list, posted) posted;
        TAILQ_HEAD(waiter_list, waiter) waiters;
        unsigned n_waiters;
        size_t n_shown; /* statements, when it was looked at last */
        bool dirty;
        uint64_t looked_at;
        struct loop_timer *gather;
};

/* ---- what there is ---- */

/* Whether a link of that start of the connector is there: with any other, or none, its keys open nothing any more. */
static bool is_open(const struct tenant *t, const struct announced *a)
{
        return connector_is_linked(t, a->connector, a->statement->boot);
}

static void drop(struct board *b, struct posted *p)
{
        table_remove(&p->by_kid);
        TAILQ_REMOVE(&b->posted, p, entry);
        free(p->text);
        free(p);
}

/* Takes up that p's text is another now, or NULL. */
static int change(struct board *b, struct posted *p, const char *text, uint64_t version)
{
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                return -ENOMEM;
        free(p->text);
        p->text = copy;
        p->version = version;
        TAILQ_REMOVE(&b->posted, p, entry);
        TAILQ_INSERT_TAIL(&b->posted, p, entry);
        return 1;
}

/* 1 where it is new or another, 0, -ENOMEM. */
static int post(struct board *b, const struct statement *s, uint64_t version)
{
        struct posted *p = table_object(table_find(&b->kids, s->kid, NULL), struct posted, by_kid);

        if (!p) {
                p = calloc(1, sizeof(*p));
                if (!p)
                        return -ENOMEM;
                memcpy(p->kid, s->kid, sizeof(p->kid));
                table_add(&b->kids, &p->by_kid, p->kid, NULL);
                TAILQ_INSERT_TAIL(&b->posted, p, entry);
        }
        p->seen = true;
        return p->text && strcmp(p->text, s->text) == 0 ? 0 : change(b, p, s->text, version);
}

/* Kids of those that left long ago are forgotten: who asks for what changed since then gets everything. */
static void forget_some(struct board *b)
{
        struct posted *p, *next;

        for (p = TAILQ_FIRST(&b->posted); p && b->kids.n > KIDS_MAX; p = next) {
                next = TAILQ_NEXT(p, entry);
                if (p->text)
                        continue;
                b->floor = p->version;
                drop(b, p);
        }
}

static int look_at_statements(struct board *b, uint64_t version)
{
        const struct announced *a;
        struct posted *p, *next;
        int changed = 0, r = 0;

        b->n_shown = 0;
        tenant_expire_statements(b->relay, b->t);
        TAILQ_FOREACH (p, &b->posted, entry)
                p->seen = false;
        TAILQ_FOREACH (a, &b->t->announced, entry) {
                if (!is_open(b->t, a))
                        continue;
                r = post(b, a->statement, version);
                if (r < 0)
                        return r;
                changed |= r;
                b->n_shown++;
        }
        for (p = TAILQ_FIRST(&b->posted); p; p = next) {
                next = TAILQ_NEXT(p, entry);
                if (!p->seen && p->text)
                        changed |= change(b, p, NULL, version);
        }
        forget_some(b);
        return changed;
}

struct listing {
        const struct tenant *t;
        struct json_writer w;
        const char *last[LAST_MAX]; /* connectors that were listed just now: their links are neighbours */
        size_t n;
};

static void add_realm(void *arg, const char *realm)
{
        struct listing *l = arg;

        json_write_str(&l->w, NULL, realm);
}

static void add_ready(void *arg, const struct dispatch_view *view)
{
        struct listing *l = arg;
        const struct announced *a = view->ready ? tenant_announced(l->t, view->connector) : NULL;

        for (size_t i = 0; i < LAST_MAX; i++)
                if (l->last[i] && strcmp(l->last[i], view->connector) == 0)
                        return;
        if (!a || !is_open(l->t, a))
                return;
        l->last[l->n++ % LAST_MAX] = a->connector;
        json_write_open(&l->w, NULL, '{');
        json_write_str(&l->w, "kid", a->statement->kid);
        json_write_open(&l->w, "realms", '[');
        connector_realms(l->t, a->connector, add_realm, l);
        json_write_close(&l->w, ']');
        json_write_int(&l->w, "weight", view->weight);
        json_write_close(&l->w, '}');
}

/* 1 where another list came of it, 0, -ENOMEM. */
static int look_at_ready(struct board *b)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(READY_MAX);
        struct listing l = {.t = b->t};

        json_write_begin(&l.w, &out);
        json_write_open(&l.w, NULL, '[');
        dispatch_links(b->relay->dispatch, b->t->name, add_ready, &l);
        json_write_close(&l.w, ']');
        if (json_write_end(&l.w) < 0)
                return -ENOMEM;
        if (b->ready && strcmp(b->ready, out.data) == 0)
                return 0;
        free(b->ready);
        b->ready = buffer_steal(&out);
        return b->ready ? 1 : -ENOMEM;
}

/* Brings the board up to date. -ENOMEM: it stays dirty. */
static int look(struct board *b)
{
        const uint64_t version = b->version + 1, seq = b->t->roster ? b->t->roster->seq : 0;
        int ready, statements;

        if (!b->dirty && loop_now(b->relay->loop) < b->looked_at + LOOK_MS)
                return 0;
        statements = look_at_statements(b, version);
        ready = look_at_ready(b);
        if (ready > 0)
                b->ready_version = version;
        if (seq != b->roster_seq)
                b->roster_version = version;
        if (ready > 0 || statements != 0 || seq != b->roster_seq)
                b->version = version;
        b->roster_seq = seq;
        if (statements < 0 || ready < 0)
                return -ENOMEM;
        b->dirty = false;
        b->looked_at = loop_now(b->relay->loop);
        return 0;
}

/* ---- what is answered ---- */

static void state_text(const struct board *b, uint64_t version, const char *quote, char out[STATE_MAX])
{
        (void)snprintf(out, STATE_MAX, "%s%s.%llu%s", quote, b->epoch, (unsigned long long)version, quote);
}

/* The version that a service has, as this board gave it; 0: none that means anything here, or too old. */
static uint64_t version_of(const struct board *b, const char *state)
{
        uint64_t version;

        if (strncmp(state, b->epoch, EPOCH_LEN) != 0 || state[EPOCH_LEN] != '.' ||
            text_parse_u64(state + EPOCH_LEN + 1, 1, b->version, &version) < 0 || version < b->floor)
                return 0;
        return version;
}

/* What changed after version since; 0: everything that there is. */
static int write_answer(const struct board *b, uint64_t since, struct buffer *out)
{
        char state[STATE_MAX];
        const struct posted *p;
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        state_text(b, b->version, "", state);
        json_write_str(&w, "state", state);
        state_text(b, since, "", state);
        json_write_opt(&w, "since", since ? state : "");
        if (b->roster_version > since)
                json_write_str(&w, "roster", b->t->roster->text);
        json_write_open(&w, "statements", '[');
        TAILQ_FOREACH (p, &b->posted, entry)
                if (p->text && p->version > since)
                        json_write_str(&w, NULL, p->text);
        json_write_close(&w, ']');
        if (since) {
                json_write_open(&w, "gone", '[');
                TAILQ_FOREACH (p, &b->posted, entry)
                        if (!p->text && p->version > since)
                                json_write_str(&w, NULL, p->kid);
                json_write_close(&w, ']');
        }
        if (b->ready_version > since)
                json_write_raw(&w, "ready", b->ready, strlen(b->ready));
        json_write_close(&w, '}');
        return json_write_end(&w);
}

static void answer(const struct board *b, struct http_req *r, uint64_t since)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(ANSWER_MAX);
        char etag[STATE_MAX];

        if (since < b->version && write_answer(b, since, &out) < 0) {
                http_fail(r, PROBLEM_INTERNAL, "no memory for the answer");
                return;
        }
        state_text(b, b->version, "\"", etag);
        http_add_header(r, "ETag", etag);
        http_add_header(r, "Cache-Control", MAX_AGE);
        if (out.len)
                http_reply(r, 200, "application/json", out.data, out.len);
        else
                http_reply(r, 304, NULL, "", 0);
}

/* ---- who waits ---- */

/* It is gone, or told. */
static void waiter_free(void *arg)
{
        struct waiter *w = arg;

        TAILQ_REMOVE(&w->board->waiters, w, entry);
        w->board->n_waiters--;
        loop_timer_free(w->end);
        free(w);
}

/* The request of one that waits, which waits no more. */
static struct http_req *release(struct waiter *w)
{
        struct http_req *r = w->r;

        http_on_close(r, NULL, NULL);
        waiter_free(w);
        return r;
}

static void on_waited(void *arg)
{
        struct waiter *w = arg;
        const struct board *b = w->board;
        const uint64_t since = w->since;

        answer(b, release(w), since);
}

static void on_gathered(void *arg)
{
        struct board *b = arg;
        struct waiter *w, *next;
        const int r = look(b);

        for (w = TAILQ_FIRST(&b->waiters); w && r == 0; w = next) {
                const uint64_t since = w->since;

                next = TAILQ_NEXT(w, entry);
                if (since < b->version)
                        answer(b, release(w), since >= b->floor ? since : 0);
        }
        if (b->n_waiters)
                loop_timer_in(b->gather, LOOK_MS);
}

static void wait_for_change(struct board *b, struct http_req *r, uint64_t since, uint64_t ms)
{
        struct waiter *w = b->n_waiters < WAITING_MAX ? calloc(1, sizeof(*w)) : NULL;

        if (!w || loop_timer_new(&w->end, b->relay->loop, NULL, on_waited, w) < 0) {
                free(w);
                http_problem(
                        r, &(struct problem){.type = PROBLEM_BUSY,
                                             .detail = "too many services of this tenant wait for changes of its keys",
                                             .retry_after = 10});
                return;
        }
        w->board = b;
        w->r = r;
        w->since = since;
        loop_timer_in(w->end, ms);
        if (b->n_waiters++ == 0)
                loop_timer_in(b->gather, b->dirty ? GATHER_MS : LOOK_MS);
        TAILQ_INSERT_TAIL(&b->waiters, w, entry);
        http_on_close(r, waiter_free, w);
}

void api_keys_touch(const struct relay *relay, struct tenant *t)
{
        struct board *b = t->board;

        nodes_touch(relay->nodes, t);
        if (!b || b->dirty)
                return;
        b->dirty = true;
        if (b->n_waiters)
                loop_timer_in(b->gather, GATHER_MS);
}

unsigned api_keys_waiting(const struct tenant *t)
{
        return t->board ? t->board->n_waiters : 0;
}

void api_keys_drain(const struct relay *relay)
{
        const struct tenant *t;

        LIST_FOREACH (t, &relay->tenants, entry)
                while (t->board && !TAILQ_EMPTY(&t->board->waiters))
                        http_fail(release(TAILQ_FIRST(&t->board->waiters)), PROBLEM_DRAINING, NULL);
}

/* ---- life, and the call ---- */

struct board *api_keys_free(struct board *b)
{
        if (!b)
                return NULL;
        while (!TAILQ_EMPTY(&b->waiters))
                http_fail(release(TAILQ_FIRST(&b->waiters)), PROBLEM_NO_SUCH_TENANT, NULL);
        while (!TAILQ_EMPTY(&b->posted))
                drop(b, TAILQ_FIRST(&b->posted));
        table_clear(&b->kids);
        loop_timer_free(b->gather);
        free(b->ready);
        free(b);
        return NULL;
}

static struct board *board_of(struct relay *relay, struct tenant *t)
{
        struct board *b = t->board ? NULL : calloc(1, sizeof(*b));
        uint8_t epoch[16];

        if (!b)
                return t->board;
        if (RAND_bytes(epoch, sizeof(epoch)) != 1 ||
            loop_timer_new(&b->gather, relay->loop, NULL, on_gathered, b) < 0) {
                free(b);
                return NULL;
        }
        b64u_encode_to(b->epoch, epoch, sizeof(epoch));
        TAILQ_INIT(&b->posted);
        TAILQ_INIT(&b->waiters);
        b->relay = relay;
        b->t = t;
        b->dirty = true;
        return t->board = b;
}

/* The parts of the query; false: it was answered that one is wrong. */
static bool read_query(struct http_req *r, char since[STATE_MAX], uint64_t *ret_wait)
{
        const char *query = http_head(r)->query;
        char wait[24];

        since[0] = '\0';
        *ret_wait = 0;
        if (http_query_get(query, "since", since, STATE_MAX) == -EMSGSIZE)
                since[0] = '\0'; /* nothing that this relay gave out */
        const int code = http_query_get(query, "wait", wait, sizeof(wait));
        if (code == -ENOENT || (code >= 0 && text_parse_u64(wait, 0, KEYS_WAIT_MAX_MS, ret_wait) == 0))
                return true;
        http_fail(r, PROBLEM_MALFORMED, "wait must be milliseconds from 0 to 30000");
        return false;
}

void api_keys(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), 0);
        const char *match = http_header(r, "If-None-Match");
        char since[STATE_MAX], etag[STATE_MAX];
        uint64_t wait, has;

        if (!t || !read_query(r, since, &wait))
                return;
        if (!t->roster) {
                api_refuse(relay, r, t, REFUSED_OWN,
                           &(struct problem){.type = PROBLEM_NOT_FOUND, .detail = "the tenant has no roster yet"});
                return;
        }
        if (handover_hold(relay->handover, r, t, api_keys, KEYS_WAIT_MAX_MS))
                return;
        if (sessions_are_gone(relay, t)) { /* what is known here is of no use any more */
                api_refuse(relay, r, t, REFUSED_OWN, &(struct problem){.type = PROBLEM_DRAINING});
                return;
        }
        struct board *b = board_of(relay, t);
        if (!b || look(b) < 0) {
                http_fail(r, PROBLEM_INTERNAL, "no memory for the answer");
                return;
        }
        refused_note_keys(relay, t, http_header(r, "Postern-Id"), b->n_shown);
        state_text(b, b->version, "\"", etag);
        has = match && strcmp(match, etag) == 0 ? b->version : version_of(b, since);
        if (has == b->version && wait && since[0] && !relay->draining)
                wait_for_change(b, r, has, wait);
        else
                answer(b, r, has);
}
