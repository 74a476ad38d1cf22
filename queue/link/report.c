/*
 * Reports: one POST at a time, with everything that came up since the last.
 *
 * Invariants: what is in the report under way is marked, and unmarked again when the report fails, so nothing
 * is lost or freed while a POST is out; the credit is a ceiling that only rises within a session: last
 * sequence seen + capacity - what is in hand.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/link/internal.h"

#define URL_MAX 600
#define STATEMENT_AGAIN 60000 /* ms, after the relay refused it */
#define IN_HAND_BYTES (ID_MAX + 3)
#define ITEM_OVERHEAD 160 /* JSON around one item, its id included */

/* ---- credit ---- */

static void raise_credit(struct link *l)
{
        uint64_t taking = l->flights_taking;
        uint64_t ceiling;

        if (l->draining || l->phase != LINK_LIVE || taking >= l->state.capacity)
                return;
        ceiling = l->last_seq + l->state.capacity - taking;
        if (ceiling > l->granted)
                l->granted = ceiling;
}

/* ---- the next report ---- */

struct batch {
        struct report report;
        size_t bytes, max_items;
};

/* Room for one more item of so many bytes? Counts it if there is. */
static bool batch_room(struct batch *b, size_t bytes)
{
        if (b->report.n_items >= b->max_items || b->bytes + bytes + ITEM_OVERHEAD > REPORT_MAX)
                return false;
        b->bytes += bytes + ITEM_OVERHEAD;
        return true;
}

static void batch_items(struct link *l, struct batch *b)
{
        struct item *item;

        TAILQ_FOREACH (item, &l->items, order) {
                if (!batch_room(b, sizeof(item->content.why)))
                        return;
                item->posted = true;
                b->report.items[b->report.n_items++] = item->content;
        }
}

/* Texts are borrowed from the store until the report is encoded. */
static void batch_verdicts(struct link *l, struct batch *b, bool held)
{
        struct by_id *node;

        TAILQ_FOREACH (node, &l->kept.list, order) {
                struct kept *k = (struct kept *)node;
                struct report_item *item = &b->report.items[b->report.n_items];

                if (k->state != KEPT_QUEUED && !(held && k->state == KEPT_HELD))
                        continue;
                if (!batch_room(b, strlen(k->jwe)))
                        return;
                k->state = KEPT_POSTED;
                *item = (struct report_item){.is = REPORT_VERDICT, .jwe = k->jwe};
                memcpy(item->id, node->id, sizeof(item->id));
                b->report.n_items++;
        }
}

static size_t state_bytes(const struct report *r)
{
        size_t n = 1024;

        for (size_t i = 0; i < r->n_realms; i++)
                n += strlen(r->realms[i].realm) * 6 + 16;
        for (size_t i = 0; i < r->n_reasons; i++)
                n += strlen(r->reasons[i]) * 6 + 4;
        if (r->has_in_hand)
                n += r->n_in_hand * IN_HAND_BYTES + 16;
        return n + (r->statement ? strlen(r->statement) : 0);
}

/* Draining: nothing is ready, whatever the validator says. */
static int encode_draining(const struct report *report, struct buffer *body)
{
        struct report r = *report;
        char reason[1][64] = {"draining"};
        int result;

        r.realms = calloc(r.n_realms + 1, sizeof(*r.realms));
        if (!r.realms)
                return -ENOMEM;
        for (size_t i = 0; i < r.n_realms; i++)
                memcpy(r.realms[i].realm, report->realms[i].realm, sizeof(r.realms[i].realm));
        r.n_reasons = 1;
        r.reasons = reason;
        result = report_encode(&r, body);
        free(r.realms);
        return result;
}

static void add_id(struct report *r, const char *id)
{
        if (r->n_in_hand < REPORT_IN_HAND_MAX)
                memcpy(r->in_hand[r->n_in_hand], id, strlen(id) + 1);
        r->n_in_hand++;
}

/*
 * Once a session: the ids of all that is in hand, so that the relay need not wait for what the one before lost on the
 * way. Left out where the connector has more than this link knows of, or more than fits.
 */
static int list_in_hand(struct link *l, struct report *r)
{
        const struct by_id *node;
        const struct item *item;

        if (l->in_hand_known || (l->cb->has_all && !l->cb->has_all(l->arg)))
                return 0;
        r->in_hand = calloc(REPORT_IN_HAND_MAX, sizeof(*r->in_hand));
        if (!r->in_hand)
                return -ENOMEM;
        TAILQ_FOREACH (node, &l->flights.list, order)
                if (!((const struct flight *)node)->over)
                        add_id(r, node->id);
        TAILQ_FOREACH (node, &l->kept.list, order)
                add_id(r, node->id);
        TAILQ_FOREACH (item, &l->items, order)
                add_id(r, item->content.id);
        l->in_hand_posted = r->has_in_hand =
                r->n_in_hand <= REPORT_IN_HAND_MAX && r->n_in_hand * IN_HAND_BYTES <= REPORT_MAX / 2;
        return 0;
}

/* A relay that takes no statement may do so later: its roster or a clock was wrong. */
static bool refused_long_ago(const struct link *l)
{
        return l->refused.why[0] && loop_now(l->loop) - l->refused_at >= STATEMENT_AGAIN;
}

static int make_body(struct link *l, bool held, struct buffer *body)
{
        struct batch b = {.report = l->state.report};
        int r;

        raise_credit(l);
        memcpy(b.report.session, l->hello.session, sizeof(b.report.session));
        memcpy(b.report.boot, l->boot, sizeof(b.report.boot));
        b.report.granted = l->granted;
        l->statement_posted = b.report.statement && (!l->statement_known || refused_long_ago(l));
        if (!l->statement_posted)
                b.report.statement = NULL;
        r = list_in_hand(l, &b.report);
        if (r < 0)
                return r;
        b.bytes = state_bytes(&b.report);
        b.max_items = l->n_items + l->kept.ids.n < REPORT_ITEMS_MAX ? l->n_items + l->kept.ids.n : REPORT_ITEMS_MAX;
        b.report.items = calloc(b.max_items + 1, sizeof(*b.report.items));
        if (!b.report.items) {
                free(b.report.in_hand);
                return -ENOMEM;
        }
        batch_items(l, &b);
        batch_verdicts(l, &b, held);
        r = l->draining ? encode_draining(&b.report, body) : report_encode(&b.report, body);
        free(b.report.items);
        free(b.report.in_hand);
        return r;
}

/* ---- the answer ---- */

/* What was posted and is in neither list waits for the next periodic report. */
static void on_answer_ids(struct link *l, const struct report_answer *a)
{
        struct by_id *node;

        for (size_t i = 0; i < a->n_confirmed + a->n_late; i++) {
                bool late = i >= a->n_confirmed;
                const char *id = late ? a->late[i - a->n_confirmed] : a->confirmed[i];
                struct kept *k = link_store_find_kept(l, id);

                if (!k)
                        continue;
                link_store_drop_kept(l, k);
                if (late)
                        l->cb->on_late(l->arg, id);
                else
                        l->cb->on_confirmed(l->arg, id);
        }
        TAILQ_FOREACH (node, &l->kept.list, order)
                if (((struct kept *)node)->state == KEPT_POSTED)
                        ((struct kept *)node)->state = KEPT_HELD;
}

static bool has_news(const struct link *l)
{
        const struct by_id *node;

        if (l->report_due || (!TAILQ_EMPTY(&l->items) && !l->receipt_at))
                return true;
        TAILQ_FOREACH (node, &l->kept.list, order)
                if (((const struct kept *)node)->state == KEPT_QUEUED)
                        return true;
        return false;
}

static void on_accepted(struct link *l, const struct buffer *body)
{
        struct report_answer answer = {0};
        struct error err = {""};

        if (report_answer_decode(&answer, body->data ? body->data : "", body->len, &err) < 0) {
                link_session_end(l, LINK_DOWN_PROTOCOL, err.text);
                return;
        }
        l->report_fails = 0;
        l->heard = true;
        l->quarantined = answer.quarantined;
        if (l->drain_posted && !l->drain_known_at)
                l->drain_known_at = loop_now(l->loop);
        if (l->statement_posted) {
                l->refused_at = loop_now(l->loop);
                if (!l->refused.why[0])
                        l->refused_since = l->refused_at;
                l->refused = answer.refused;
        }
        l->statement_known = l->statement_known || l->statement_posted;
        l->statement_posted = false;
        l->in_hand_known = l->in_hand_known || l->in_hand_posted;
        link_store_drop_items(l, true, UINT64_MAX);
        link_settled(l);
        if (answer.has_reconnect)
                link_reconnect_set(&l->reconnect, answer.reconnect_min, answer.reconnect_max);
        if (answer.report)
                l->hello.report = answer.report;
        on_answer_ids(l, &answer);
        report_answer_clear(&answer);
        if (!link_has_session(l))
                return;
        if (has_news(l))
                loop_timer_in(l->report_timer, 0);
        else if (l->receipt_at)
                loop_timer_at(l->report_timer, l->receipt_at);
        else if (l->flights.ids.n || l->kept.ids.n || l->draining)
                loop_timer_in(l->report_timer, REPORT_EVERY);
        else /* as often as the relay asks for, and a little before */
                loop_timer_in(l->report_timer, l->hello.report - l->hello.report / 5);
}

static void on_failed(struct link *l, long status, const char *why)
{
        uint64_t delay = (uint64_t)REPORT_RETRY_MIN << (l->report_fails < 4 ? l->report_fails : 4);

        link_store_unpost(l);
        l->statement_posted = l->in_hand_posted = false;
        l->report_due = true;
        l->report_fails++;
        if (l->cb->on_unheard)
                l->cb->on_unheard(l->arg);
        log_debug("link.report_failed", KV_I("status", status), KV_S("why", why), KV_U("times", l->report_fails));
        loop_timer_in(l->report_timer, loop_jitter(delay / 2, delay < REPORT_RETRY_MAX ? delay : REPORT_RETRY_MAX));
}

static void on_done(void *arg, long status, const struct buffer *body, const char *why)
{
        struct link *l = arg;

        link_note_clock(l, https_date(l->report));
        l->report = NULL;
        if (status == 200) {
                on_accepted(l, body);
        } else if (status == 409) {
                link_session_end(l, LINK_DOWN_SESSION, "the relay does not know this session any more");
        } else if (status >= 400 && status < 500 && status != 408 && status != 429) {
                struct error err;

                error_fail(&err, 0, "the relay refused a report with status %ld", status);
                link_session_end(l, LINK_DOWN_REFUSED, err.text);
        } else {
                on_failed(l, status, why);
        }
}

/* ---- posting ---- */

static int post(struct link *l, bool held, struct error *err)
{
        struct buffer body = BUFFER(REPORT_MAX + 4096);
        struct buffer url = BUFFER(URL_MAX);
        struct https_request request = {.method = "POST",
                                        .content_type = "application/json",
                                        .timeout_ms = REPORT_TIMEOUT,
                                        .max_body = REPORT_MAX};
        const struct https_handlers handlers = {.on_done = on_done, .arg = l};
        int r;

        r = buffer_printf(&url, "%s/v1/link/report", l->relay);
        r = r < 0 ? r : make_body(l, held, &body);
        if (r < 0) {
                error_fail(err, r, "the report cannot be made: %s", strerror(-r));
        } else {
                request.url = url.data;
                request.body = body.data;
                request.body_len = body.len;
                r = https_start(l->https, &l->report, &request, &handlers, err);
        }
        buffer_free(&url);
        buffer_free(&body);
        return r;
}

void link_report_on_timer(void *arg)
{
        struct link *l = arg;
        struct error err = {""};
        uint64_t now = loop_now(l->loop);
        bool held = now - l->held_at >= REPORT_EVERY;

        if (l->report || !link_has_session(l))
                return;
        l->report_due = false;
        l->receipt_at = 0;
        l->drain_posted = l->draining;
        if (held)
                l->held_at = now;
        if (post(l, held, &err) < 0)
                on_failed(l, 0, err.text);
        else
                l->granted_sent = l->granted;
}

void link_report_receipt(struct link *l)
{
        /* the relay may be waiting for credit: then at once */
        if (l->report_due || l->granted_sent - l->last_seq <= l->state.capacity / 2) {
                link_report_soon(l);
        } else if (!l->receipt_at) {
                l->receipt_at = loop_now(l->loop) + RECEIPT_WITHIN;
                if (link_has_session(l) && !l->report && l->report_fails == 0)
                        loop_timer_at(l->report_timer, l->receipt_at);
        }
}

void link_report_soon(struct link *l)
{
        l->report_due = true;
        if (link_has_session(l) && !l->report && l->report_fails == 0)
                loop_timer_in(l->report_timer, 0);
}
