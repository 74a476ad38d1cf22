/*
 * The events that a relay sends down a stream, and its answer to a report, as values and as text.
 *
 * Decoders bound every member and ignore members they don't know. What an event may do (sequence, credit,
 * session) is the link's to judge; a roster is passed on unverified.
 */
#include "queue/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "queue/wire/json.h"

/* ---- hello ---- */

static void put_reconnect(struct json_writer *w, uint32_t min, uint32_t max)
{
        json_write_open(w, "reconnect", '[');
        json_write_int(w, NULL, min);
        json_write_int(w, NULL, max);
        json_write_close(w, ']');
}

int hello_encode(const struct hello *h, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "session", h->session);
        json_write_str(&w, "node", h->node);
        json_write_open(&w, "v", '[');
        json_write_int(&w, NULL, 1);
        json_write_close(&w, ']');
        json_write_int(&w, "now", h->now);
        json_write_int(&w, "heartbeat", h->heartbeat);
        json_write_int(&w, "report", h->report);
        json_write_open(&w, "nodes", '[');
        for (size_t i = 0; i < h->n_nodes && i < HELLO_NODES_MAX; i++)
                json_write_str(&w, NULL, h->nodes[i]);
        json_write_close(&w, ']');
        json_write_int(&w, "roster_seq", (int64_t)h->roster_seq);
        put_reconnect(&w, h->reconnect_min, h->reconnect_max);
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* Reads {..., "reconnect": [min, max]}, both in ms. */
static void read_reconnect(struct json_reader *r, uint32_t *ret_min, uint32_t *ret_max)
{
        struct json_reader pair;
        uint32_t ms[2] = {0, 0};

        json_read_list(&pair, r, "reconnect", JSON_REQUIRED, 2, 2);
        while (json_read_next(&pair))
                ms[pair.at - 1] = (uint32_t)json_read_int(&pair, NULL, 0, RECONNECT_MAX);
        if (ms[1] < ms[0])
                json_read_fail(r, "reconnect", "ends before it begins");
        *ret_min = ms[0];
        *ret_max = ms[1];
}

static void read_versions(struct json_reader *r)
{
        struct json_reader list;
        bool known = false;

        json_read_list(&list, r, "v", JSON_REQUIRED, 1, 16);
        while (json_read_next(&list)) {
                size_t n = 0;
                const char *spelt = json_read_raw(&list, NULL, JSON_REQUIRED, &n);

                known |= n == 1 && *spelt == '1'; /* the others may be of any type */
        }
        if (!known)
                json_read_fail(r, "v", "is not an array with version 1 in it");
}

/* How often to report, in ms; absent where nothing is said. */
static uint32_t read_report(struct json_reader *r, uint32_t absent)
{
        if (!json_read_has(r, "report"))
                return absent;
        return (uint32_t)json_read_int(r, "report", HELLO_REPORT_MIN, HELLO_REPORT_MAX);
}

int hello_decode(struct hello *ret_h, const char *json, size_t n, struct error *err)
{
        struct hello h = {0};
        struct json_reader r, nodes;
        int result;

        json_read_begin(&r, json, n, JSON_PLAIN, "hello", err);
        claims_id(&r, "session", h.session);
        json_read_str(&r, "node", JSON_REQUIRED, h.node, sizeof(h.node));
        read_versions(&r);
        h.now = json_read_int(&r, "now", 0, JSON_TIME_MAX);
        h.heartbeat = (uint32_t)json_read_int(&r, "heartbeat", 1, 60000);
        h.report = read_report(&r, HELLO_REPORT_DEFAULT);
        json_read_list(&nodes, &r, "nodes", JSON_REQUIRED, 0, HELLO_NODES_MAX);
        while (json_read_next(&nodes)) {
                char *url = h.nodes[h.n_nodes++];

                json_read_str(&nodes, NULL, JSON_REQUIRED, url, sizeof(h.nodes[0]));
                if (strncmp(url, "https://", 8) != 0)
                        json_read_fail(&nodes, NULL, "is no https URL");
        }
        h.roster_seq = (uint64_t)json_read_int(&r, "roster_seq", 0, JSON_SEQ_MAX);
        read_reconnect(&r, &h.reconnect_min, &h.reconnect_max);
        result = json_read_end(&r, false);
        if (result == 0)
                *ret_h = h;
        return result;
}

/* ---- request ---- */

#define LAST_WORD "last"

int request_event_encode(const struct request_event *e, struct buffer *out)
{
        const char *end = strchr(e->sealed, '\n');
        size_t shared = end ? (size_t)(end - e->sealed) : 0, n = strlen(e->sealed), before = out->len;
        int r;

        if (!end || n < shared + 3 || e->sealed[n - 1] != '\n' || strchr(end + 1, '\n') != e->sealed + n - 1)
                return -EINVAL;
        r = buffer_printf(out, "%s %llu %u %s ", e->id, (unsigned long long)e->seq, e->budget,
                          *e->traceparent ? e->traceparent : "-");
        r = r < 0 ? r : buffer_append(out, e->sealed, shared);
        r = r < 0 ? r : buffer_append_char(out, ' ');
        r = r < 0 ? r : buffer_append(out, end + 1, n - shared - 2);
        if (r == 0 && e->last)
                r = buffer_append_str(out, " " LAST_WORD);
        if (r < 0)
                out->len = before;
        return r;
}

bool wire_traceparent_valid(const char *s)
{
        return strlen(s) == 55 && strspn(s, "0123456789abcdef-") == 55;
}

/* Copies what stands before the next blank; *at goes behind that. -EBADMSG where it is empty or does not fit. */
static int next_field(const char **at, const char *end, char *out, size_t cap)
{
        const char *blank = memchr(*at, ' ', (size_t)(end - *at));
        size_t n = (size_t)((blank ? blank : end) - *at);

        if (n == 0 || n >= cap || memchr(*at, '\0', n))
                return -EBADMSG;
        memcpy(out, *at, n);
        out[n] = '\0';
        *at = blank ? blank + 1 : end;
        return 0;
}

/* The two lines that stand there with a blank between, as the lines that they are. Of the fields behind them the ones
 * of a later relay are left out. */
static int take_sealed(const char *at, const char *end, struct request_event *e)
{
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *second = blank ? blank + 1 : end, *more = memchr(second, ' ', (size_t)(end - second));
        size_t n = (size_t)((more ? more : end) - at);
        char *text = malloc(n + 2);

        if (!text)
                return -ENOMEM;
        memcpy(text, at, n);
        if (blank)
                text[blank - at] = '\n';
        text[n] = '\n';
        text[n + 1] = '\0';
        e->sealed = text;
        for (const char *field = more; field; field = memchr(field + 1, ' ', (size_t)(end - field - 1))) {
                const size_t rest = (size_t)(end - field - 1), len = strlen(LAST_WORD);

                e->last |=
                        rest >= len && memcmp(field + 1, LAST_WORD, len) == 0 && (rest == len || field[1 + len] == ' ');
        }
        return 0;
}

int request_event_decode(struct request_event *ret_e, const char *text, size_t n, struct error *err)
{
        const char *at = text, *end = text + n;
        struct request_event e = {0};
        char seq[24], budget[24];
        uint64_t ms;
        int r;

        if (next_field(&at, end, e.id, sizeof(e.id)) < 0 || !id_valid(e.id, strlen(e.id)))
                return error_fail(err, -EBADMSG, "request event: does not begin with an id");
        if (next_field(&at, end, seq, sizeof(seq)) < 0 || text_parse_u64(seq, 1, JSON_SEQ_MAX, &e.seq) < 0)
                return error_fail(err, -EBADMSG, "request event: seq is no number in its range");
        if (next_field(&at, end, budget, sizeof(budget)) < 0 || text_parse_u64(budget, 1, BUDGET_MAX, &ms) < 0)
                return error_fail(err, -EBADMSG, "request event: budget is not 1 to %d", BUDGET_MAX);
        e.budget = (uint32_t)ms;
        if (next_field(&at, end, e.traceparent, sizeof(e.traceparent)) < 0 ||
            (strcmp(e.traceparent, "-") != 0 && !wire_traceparent_valid(e.traceparent)))
                return error_fail(err, -EBADMSG, "request event: traceparent is malformed");
        if (strcmp(e.traceparent, "-") == 0)
                e.traceparent[0] = '\0';
        r = take_sealed(at, end, &e);
        if (r < 0)
                return error_fail(err, r, "request event: no memory");
        *ret_e = e;
        return 0;
}

void request_event_clear(struct request_event *e)
{
        free(e->sealed);
        *e = (struct request_event){0};
}

/* ---- cancel, drain, roster ---- */

int cancel_event_decode(char ret_id[ID_MAX + 1], const char *json, size_t n, struct error *err)
{
        char id[ID_MAX + 1];
        struct json_reader r;
        int result;

        json_read_begin(&r, json, n, JSON_PLAIN, "cancel event", err);
        claims_id(&r, "id", id);
        result = json_read_end(&r, false);
        if (result == 0)
                memcpy(ret_id, id, sizeof(id));
        return result;
}

int drain_event_decode(uint32_t *ret_min, uint32_t *ret_max, const char *json, size_t n, struct error *err)
{
        uint32_t min = 0, max = 0;
        struct json_reader r;
        int result;

        json_read_begin(&r, json, n, JSON_PLAIN, "drain event", err);
        read_reconnect(&r, &min, &max);
        result = json_read_end(&r, false);
        if (result < 0)
                return result;
        *ret_min = min;
        *ret_max = max;
        return 0;
}

int roster_event_decode(char **ret_jws, const char *json, size_t n, struct error *err)
{
        struct json_reader r;

        json_read_begin(&r, json, n, JSON_PLAIN, "roster event", err);
        json_read_text(&r, "jws", JSON_REQUIRED, ROSTER_TEXT_MAX, ret_jws);
        return json_read_end(&r, false);
}

/* ---- the answer to a report ---- */

static void put_ids(struct json_writer *w, const char *key, const char (*ids)[ID_MAX + 1], size_t n)
{
        json_write_open(w, key, '[');
        for (size_t i = 0; i < n; i++)
                json_write_str(w, NULL, ids[i]);
        json_write_close(w, ']');
}

int report_answer_encode(const struct report_answer *a, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        put_ids(&w, "confirmed", a->confirmed, a->n_confirmed);
        put_ids(&w, "late", a->late, a->n_late);
        if (a->has_reconnect)
                put_reconnect(&w, a->reconnect_min, a->reconnect_max);
        if (a->report)
                json_write_int(&w, "report", a->report);
        if (a->quarantined)
                json_write_bool(&w, "quarantined", true);
        if (a->refused.why[0]) {
                json_write_open(&w, "statement_refused", '{');
                json_write_str(&w, "why", a->refused.why);
                json_write_opt(&w, "detail", a->refused.detail);
                json_write_close(&w, '}');
        }
        json_write_close(&w, '}');
        return json_write_end(&w);
}

static void read_refusal(struct json_reader *r, struct report_refusal *refused)
{
        struct json_reader inner;

        if (!json_read_has(r, "statement_refused"))
                return;
        json_read_object(&inner, r, "statement_refused", JSON_REQUIRED);
        json_read_str(&inner, "why", JSON_REQUIRED, refused->why, sizeof(refused->why));
        json_read_str(&inner, "detail", JSON_OPTIONAL, refused->detail, sizeof(refused->detail));
        json_read_end(&inner, false);
}

int report_answer_decode(struct report_answer *ret_a, const char *json, size_t n, struct error *err)
{
        struct report_answer a = {0};
        struct json_reader r;
        int result;

        json_read_begin(&r, json, n, JSON_PLAIN, "answer to a report", err);
        wire_read_ids(&r, "confirmed", REPORT_ITEMS_MAX, &a.confirmed, &a.n_confirmed);
        wire_read_ids(&r, "late", REPORT_ITEMS_MAX, &a.late, &a.n_late);
        size_t quarantined = 0;
        const char *word = json_read_raw(&r, "quarantined", JSON_OPTIONAL, &quarantined);
        a.quarantined = word && quarantined == strlen("true") && memcmp(word, "true", quarantined) == 0;
        a.has_reconnect = json_read_has(&r, "reconnect");
        if (a.has_reconnect)
                read_reconnect(&r, &a.reconnect_min, &a.reconnect_max);
        a.report = read_report(&r, 0);
        read_refusal(&r, &a.refused);
        result = json_read_end(&r, false);
        if (result < 0)
                report_answer_clear(&a);
        else
                *ret_a = a;
        return result;
}

void report_answer_clear(struct report_answer *a)
{
        free(a->confirmed);
        free(a->late);
        *a = (struct report_answer){0};
}
