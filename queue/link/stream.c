/*
 * The stream: from connecting to the end of the session.
 *
 * Invariants: the first event is hello, and there is one; sequence numbers go up by one and stay within the
 * credit that was sent. A relay that breaks a rule loses the session. A request is handed over at once and
 * never twice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/json.h"
#include "certs/trust/roster.h"
#include "certs/jose/sealed.h"
#include "base/core/log.h"
#include "queue/link/internal.h"

#define STREAM_DATA_MAX (ROSTER_TEXT_MAX + 256)
#define URL_MAX 600

/* ---- events ---- */

/* Ends the session for a broken rule; the return value stops the parser. */
static int broken(struct link *l, const struct error *err)
{
        link_session_end(l, LINK_DOWN_PROTOCOL, err->text);
        return 1;
}

static int on_hello(struct link *l, const char *data, size_t n)
{
        struct error err;

        if (l->phase != LINK_CONNECT) {
                error_fail(&err, 0, "a second hello");
                return broken(l, &err);
        }
        if (hello_decode(&l->hello, data, n, &err) < 0)
                return broken(l, &err);
        link_reconnect_linked(&l->reconnect);
        link_reconnect_set(&l->reconnect, l->hello.reconnect_min, l->hello.reconnect_max);
        l->live_since = loop_now(l->loop);
        link_note_clock(l, l->hello.now);
        link_phase_set(l, LINK_LIVE);
        link_store_say_received(l);
        loop_timer_in(l->phase_timer, DEAD_AFTER);
        link_report_soon(l);
        link_tell_state(l, LINK_UP, l->hello.node);
        return 0;
}

/* Answers in the validator's place: nothing was handed over. */
static void decline(struct link *l, const char *id, const char *why)
{
        if (link_store_item(l, id, REPORT_DECLINED, why) < 0)
                log_debug("link.item_dropped", KV_S("request", id));
        if (l->cb->on_unanswered)
                l->cb->on_unanswered(l->arg, id, why);
        link_report_soon(l);
}

static void take_request(struct link *l, const struct request_event *e)
{
        uint64_t now = loop_now(l->loop);
        size_t n = strlen(e->sealed);
        struct sealed sealed;
        struct error err;
        int r;

        if (l->draining) {
                decline(l, e->id, "draining");
                return;
        }
        if (sealed_read(&sealed, e->sealed, n, &err) < 0 || sealed.n != 1) {
                decline(l, e->id, "bad_request");
                return;
        }
        if (link_store_find_kept(l, e->id)) {
                decline(l, e->id, "replay");
                return;
        }
        r = link_store_flight(l, e->id, now + e->budget + LATE_GRACE);
        if (r < 0) {
                decline(l, e->id, r == -EEXIST ? "replay" : "full");
                return;
        }
        if (link_store_item(l, e->id, REPORT_RECEIVED, NULL) < 0)
                log_debug("link.item_dropped", KV_S("request", e->id));
        link_report_receipt(l);
        l->cb->on_request(l->arg, &(struct link_request){.id = e->id,
                                                         .budget_ms = e->budget,
                                                         .received_ms = now,
                                                         .sealed = e->sealed,
                                                         .n = n,
                                                         .traceparent = e->traceparent,
                                                         .last = e->last});
}

static int on_request(struct link *l, const char *data, size_t n)
{
        struct request_event e = {0};
        struct error err;

        if (request_event_decode(&e, data, n, &err) < 0)
                return broken(l, &err);
        if (e.seq != l->last_seq + 1 || e.seq > l->granted_sent) {
                error_fail(&err, 0, "request %s has sequence %llu after %llu, credit %llu", e.id,
                           (unsigned long long)e.seq, (unsigned long long)l->last_seq,
                           (unsigned long long)l->granted_sent);
                request_event_clear(&e);
                return broken(l, &err);
        }
        l->last_seq = e.seq;
        take_request(l, &e);
        request_event_clear(&e);
        return 0;
}

static int on_cancel(struct link *l, const char *data, size_t n)
{
        char id[ID_MAX + 1];
        struct flight *f;
        struct error err;

        if (cancel_event_decode(id, data, n, &err) < 0)
                return broken(l, &err);
        f = link_store_find_flight(l, id);
        if (!f)
                return 0;
        link_store_free_credit(l, f);
        link_settled(l);
        link_report_soon(l);
        l->cb->on_cancel(l->arg, id);
        return 0;
}

static int on_roster(struct link *l, const char *data, size_t n)
{
        struct error err;
        char *jws = NULL;

        if (roster_event_decode(&jws, data, n, &err) < 0)
                return broken(l, &err);
        l->cb->on_roster(l->arg, jws, strlen(jws));
        free(jws);
        link_identity_announce(l);
        /* the relay had to ignore the statement while the roster did not name this connector: say it again */
        l->statement_known = l->statement_posted = false;
        link_report_soon(l);
        return 0;
}

static int on_drain(struct link *l, const char *data, size_t n)
{
        uint32_t min, max;
        struct error err;

        if (drain_event_decode(&min, &max, data, n, &err) < 0)
                return broken(l, &err);
        link_reconnect_set(&l->reconnect, min, max);
        if (l->phase == LINK_LIVE) {
                l->leave_by = loop_now(l->loop) + BUDGET_MAX + LATE_GRACE;
                link_phase_set(l, LINK_LEAVE);
        }
        link_settled(l);
        return 0;
}

static int dispatch(struct link *l, const char *event, const char *data, size_t n)
{
        struct error err;
        bool roster = strcmp(event, "roster") == 0;

        if (!roster && n > EVENT_MAX) {
                error_fail(&err, 0, "an event of %zu bytes", n);
                return broken(l, &err);
        }
        if (strcmp(event, "hello") == 0)
                return on_hello(l, data, n);
        if (l->phase == LINK_CONNECT) {
                error_fail(&err, 0, "the first event is not hello");
                return broken(l, &err);
        }
        if (roster)
                return on_roster(l, data, n);
        if (strcmp(event, "request") == 0)
                return on_request(l, data, n);
        if (strcmp(event, "question") == 0)
                return link_question_event(l, data, n, &err) < 0 ? broken(l, &err) : 0;
        if (strcmp(event, "cancel") == 0)
                return on_cancel(l, data, n);
        if (strcmp(event, "drain") == 0)
                return on_drain(l, data, n);
        log_debug("link.event_ignored", KV_S("event", event));
        return 0;
}

/* Stops the parser when a callback ended the session. */
static int on_event(void *arg, const char *event, const char *data, size_t n)
{
        struct link *l = arg;
        uint64_t serial = l->serial;
        int r = dispatch(l, event, data, n);

        return r || l->serial != serial || !l->stream;
}

/* ---- the call ---- */

static void on_open(void *arg, const char *content_type)
{
        struct link *l = arg;

        if (strncmp(content_type, "text/event-stream", 17) != 0)
                link_session_end(l, LINK_DOWN_PROTOCOL, "the stream is not text/event-stream");
}

static void on_data(void *arg, const char *bytes, size_t n)
{
        struct link *l = arg;
        struct error err = {""};
        uint64_t serial = l->serial;

        if (l->phase != LINK_CONNECT)
                loop_timer_in(l->phase_timer, DEAD_AFTER);
        if (sse_feed(&l->sse, bytes, n, on_event, l, &err) < 0 && l->serial == serial && l->stream)
                link_session_end(l, LINK_DOWN_PROTOCOL, err.text);
}

/* What the relay gives as the cause (RFC 9457), for a human; "" where it gives none. */
static void problem_text(const struct buffer *answer, char *out, size_t cap)
{
        struct json_reader r;

        out[0] = '\0';
        if (!answer || answer->len == 0)
                return;
        json_read_begin(&r, answer->data, answer->len, JSON_PLAIN, "answer", NULL);
        memcpy(out, ": ", 3);
        json_read_cut(&r, json_read_has(&r, "detail") ? "detail" : "title", out + 2, cap - 2);
        if (json_read_end(&r, false) < 0 || !out[2])
                out[0] = '\0';
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct link *l = arg;
        struct error err;

        l->stream = NULL;
        if (status != 0 && status != 200) {
                char cause[220];

                problem_text(answer, cause, sizeof(cause));
                error_fail(&err, 0, "the relay answered the stream with status %ld%s", status, cause);
                /* 503: it goes down, or has too many links; by the schedule it may be there again */
                link_session_end(l, status == 503 ? LINK_DOWN_DRAIN : LINK_DOWN_REFUSED, err.text);
                return;
        }
        error_fail(&err, 0, "%s", *why ? why : "the relay closed the stream");
        link_session_end(l, l->phase == LINK_LEAVE ? LINK_DOWN_DRAIN : LINK_DOWN_TRANSPORT, err.text);
}

void link_stream_connect(struct link *l)
{
        struct buffer url = BUFFER(URL_MAX);
        struct https_request request = {.method = "GET", .accept = "text/event-stream"};
        const struct https_handlers handlers = {on_open, on_data, on_done, l};
        struct error err = {""};
        int r;

        sse_clear(&l->sse);
        sse_init(&l->sse, STREAM_DATA_MAX);
        l->serial++;
        l->last_seq = l->granted = l->granted_sent = 0;
        l->statement_known = l->statement_posted = false;
        l->refused = (struct report_refusal){.why = ""};
        l->heard = l->in_hand_posted = l->in_hand_known = false;
        l->receipt_at = 0;
        l->report_fails = 0;
        link_phase_set(l, LINK_CONNECT);
        loop_timer_in(l->phase_timer, HELLO_WITHIN);
        r = buffer_printf(&url, "%s/v1/link/stream?boot=%s", l->relay, l->boot);
        request.url = url.data;
        if (r < 0)
                error_fail(&err, r, "the relay's URL is too long");
        else
                r = https_start(l->https, &l->stream, &request, &handlers, &err);
        buffer_free(&url);
        if (r < 0)
                link_session_end(l, LINK_DOWN_TRANSPORT, err.text);
}
