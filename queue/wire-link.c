/*
 * The events that a relay sends down a stream, and its answer to a report, as values and as text.
 *
 * Decoders bound every member and ignore members they don't know. What an event may do (sequence, credit,
 * session) is the link's to judge; a roster is passed on unverified.
 */
#include "queue/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/roster.h"
#include "connector/base/cleanup.h"
#include "connector/base/text.h"
#include "queue/wire-json.h"

/* ---- hello ---- */

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
        json_write_open(&w, "nodes", '[');
        for (size_t i = 0; i < h->n_nodes && i < HELLO_NODES_MAX; i++)
                json_write_str(&w, NULL, h->nodes[i]);
        json_write_close(&w, ']');
        json_write_int(&w, "roster_seq", (int64_t)h->roster_seq);
        json_write_open(&w, "reconnect", '[');
        json_write_int(&w, NULL, h->reconnect_min);
        json_write_int(&w, NULL, h->reconnect_max);
        json_write_close(&w, ']');
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* Reads {..., "reconnect": [min, max]}, both in ms. */
static void read_reconnect(struct json_reader *r, uint32_t *ret_min, uint32_t *ret_max)
{
        json_t *pair = json_read_member(r, "reconnect", JSON_REQUIRED);
        json_int_t min, max;

        if (!pair)
                return;
        if (json_array_size(pair) != 2 || !json_is_integer(json_array_get(pair, 0)) ||
            !json_is_integer(json_array_get(pair, 1))) {
                json_read_fail(r, "reconnect", "is not a pair of integers");
                return;
        }
        min = json_integer_value(json_array_get(pair, 0));
        max = json_integer_value(json_array_get(pair, 1));
        if (min < 0 || max < min || max > RECONNECT_MAX) {
                json_read_fail(r, "reconnect", "is out of range");
                return;
        }
        *ret_min = (uint32_t)min;
        *ret_max = (uint32_t)max;
}

static void read_versions(struct json_reader *r)
{
        json_t *list = json_read_member(r, "v", JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list)
                return;
        if (json_array_size(list) <= 16)
                json_array_foreach (list, i, value)
                        if (json_is_integer(value) && json_integer_value(value) == 1)
                                return;
        json_read_fail(r, "v", "is not an array with version 1 in it");
}

static void read_nodes(struct json_reader *r, struct hello *h)
{
        json_t *list = json_read_member(r, "nodes", JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list)
                return;
        if (!json_is_array(list) || json_array_size(list) > HELLO_NODES_MAX) {
                json_read_fail(r, "nodes", "is not an array of at most 4 URLs");
                return;
        }
        json_array_foreach (list, i, value) {
                const char *url = json_string_value(value);

                if (!url || json_string_length(value) >= sizeof(h->nodes[0]) ||
                    strncmp(url, "https://", 8) != 0) {
                        json_read_fail(r, "nodes", "holds what is no https URL");
                        return;
                }
                memcpy(h->nodes[h->n_nodes++], url, json_string_length(value) + 1);
        }
}

int hello_decode(struct hello *ret_h, const char *json, size_t n, struct error *err)
{
        struct hello h = {0};
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "hello", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "hello", err);
        json_read_id(&r, "session", h.session);
        json_read_str(&r, "node", JSON_REQUIRED, h.node, sizeof(h.node));
        read_versions(&r);
        h.now = json_read_int(&r, "now", 0, JSON_TIME_MAX);
        h.heartbeat = (uint32_t)json_read_int(&r, "heartbeat", 1, 60000);
        read_nodes(&r, &h);
        h.roster_seq = (uint64_t)json_read_int(&r, "roster_seq", 0, JSON_SEQ_MAX);
        read_reconnect(&r, &h.reconnect_min, &h.reconnect_max);
        result = json_read_end(&r, false);
        json_decref(root);
        if (result == 0)
                *ret_h = h;
        return result;
}

/* ---- request ---- */

int request_event_encode(const struct request_event *e, struct buffer *out)
{
        struct json_writer w;
        int r;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "id", e->id);
        json_write_int(&w, "seq", (int64_t)e->seq);
        json_write_int(&w, "budget", e->budget);
        json_write_opt(&w, "traceparent", e->traceparent);
        r = json_write_end(&w);
        if (r < 0)
                return r;
        /* The object goes in as it is: its text was made by the relay from a parsed object. */
        r = buffer_append_str(out, ",\"jwe\":");
        r = r < 0 ? r : buffer_append_str(out, e->jwe);
        return r < 0 ? r : buffer_append_char(out, '}');
}

static bool traceparent_valid(const char *s)
{
        return strlen(s) == 55 && strspn(s, "0123456789abcdef-") == 55;
}

/* Takes the JWE object as text again; its members are the validator's to judge. */
static int take_jwe(struct json_reader *r, char **ret_jwe)
{
        json_t *jwe = json_read_member(r, "jwe", JSON_REQUIRED);

        if (jwe && !json_is_object(jwe))
                json_read_fail(r, "jwe", "is not an object");
        if (json_read_end(r, false) < 0)
                return r->r;
        *ret_jwe = json_dumps(jwe, JSON_COMPACT);
        return *ret_jwe ? 0 : error_fail(r->err, -ENOMEM, "request event: no memory");
}

int request_event_decode(struct request_event *ret_e, const char *json, size_t n, struct error *err)
{
        struct request_event e = {0};
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "request event", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "request event", err);
        json_read_id(&r, "id", e.id);
        e.seq = (uint64_t)json_read_int(&r, "seq", 1, JSON_SEQ_MAX);
        e.budget = (uint32_t)json_read_int(&r, "budget", 1, BUDGET_MAX);
        json_read_str(&r, "traceparent", JSON_OPTIONAL, e.traceparent, sizeof(e.traceparent));
        if (r.r == 0 && e.traceparent[0] && !traceparent_valid(e.traceparent))
                json_read_fail(&r, "traceparent", "is malformed");
        result = take_jwe(&r, &e.jwe);
        json_decref(root);
        if (result == 0)
                *ret_e = e;
        return result;
}

void request_event_clear(struct request_event *e)
{
        free(e->jwe);
        *e = (struct request_event){0};
}

/* ---- cancel, drain, roster ---- */

int cancel_event_decode(char ret_id[ID_MAX + 1], const char *json, size_t n, struct error *err)
{
        char id[ID_MAX + 1];
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "cancel event", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "cancel event", err);
        json_read_id(&r, "id", id);
        result = json_read_end(&r, false);
        json_decref(root);
        if (result == 0)
                memcpy(ret_id, id, sizeof(id));
        return result;
}

int drain_event_decode(uint32_t *ret_min, uint32_t *ret_max, const char *json, size_t n, struct error *err)
{
        uint32_t min = 0, max = 0;
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "drain event", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "drain event", err);
        read_reconnect(&r, &min, &max);
        result = json_read_end(&r, false);
        json_decref(root);
        if (result < 0)
                return result;
        *ret_min = min;
        *ret_max = max;
        return 0;
}

int roster_event_decode(char **ret_jws, const char *json, size_t n, struct error *err)
{
        struct json_reader r;
        json_t *root = NULL, *jws;
        char *copy = NULL;
        int result;

        result = jose_json_object(&root, json, n, "roster event", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "roster event", err);
        jws = json_read_member(&r, "jws", JSON_REQUIRED);
        if (jws && (json_string_length(jws) == 0 || json_string_length(jws) > ROSTER_TEXT_MAX))
                json_read_fail(&r, "jws", "is no string within the limit");
        result = json_read_end(&r, false);
        if (result == 0)
                result = text_set(&copy, json_string_value(jws));
        json_decref(root);
        if (result == 0)
                *ret_jws = copy;
        return result;
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
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* Reads an array of ids into a new array. */
static void read_ids(struct json_reader *r, const char *key, char (**ret_ids)[ID_MAX + 1], size_t *ret_n)
{
        json_t *list = json_read_member(r, key, JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list || (json_is_array(list) && json_array_size(list) == 0))
                return;
        if (!json_is_array(list) || json_array_size(list) > REPORT_ITEMS_MAX) {
                json_read_fail(r, key, "is not an array of ids within the limit");
                return;
        }
        *ret_ids = calloc(json_array_size(list), sizeof(**ret_ids));
        if (!*ret_ids) {
                json_read_no_memory(r);
                return;
        }
        json_array_foreach (list, i, value) {
                const char *id = json_string_value(value);

                if (!id || !id_valid(id, json_string_length(value))) {
                        json_read_fail(r, key, "holds what is no id");
                        return;
                }
                memcpy((*ret_ids)[(*ret_n)++], id, json_string_length(value) + 1);
        }
}

int report_answer_decode(struct report_answer *ret_a, const char *json, size_t n, struct error *err)
{
        struct report_answer a = {0};
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "answer to a report", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "answer to a report", err);
        read_ids(&r, "confirmed", &a.confirmed, &a.n_confirmed);
        read_ids(&r, "late", &a.late, &a.n_late);
        result = json_read_end(&r, false);
        json_decref(root);
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
