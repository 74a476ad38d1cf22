/*
 * Reports: what a connector tells the relay of its state, its credit and the requests it has.
 *
 * Every list has a limit that a decoder checks before it allocates. A report says nothing about outcomes:
 * verdicts are sealed texts here.
 */
#include "queue/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/statement.h"
#include "base/core/text.h"
#include "queue/wire/json.h"

static const char *const kinds[] = {"received", "declined", "verdict", "lost", NULL};

static const struct {
        const char *why;
        bool may_move_on;
} declines[] = {
        {"not_my_realm", true}, {"no_dc", true},   {"full", true},         {"draining", true},
        {"stale_key", true},    {"expired", true}, {"bad_request", false}, {"replay", false},
};

bool decline_why_valid(const char *why)
{
        for (size_t i = 0; i < sizeof(declines) / sizeof(declines[0]); i++)
                if (strcmp(declines[i].why, why) == 0)
                        return true;
        return false;
}

bool decline_may_move_on(const char *why)
{
        for (size_t i = 0; i < sizeof(declines) / sizeof(declines[0]); i++)
                if (strcmp(declines[i].why, why) == 0)
                        return declines[i].may_move_on;
        return false;
}

/* ---- encode ---- */

static void put_item(struct json_writer *w, const struct report_item *item)
{
        json_write_open(w, NULL, '{');
        json_write_str(w, "id", item->id);
        switch (item->is) {
        case REPORT_RECEIVED:
                json_write_str(w, "is", "received");
                break;
        case REPORT_DECLINED:
                json_write_str(w, "is", "declined");
                json_write_str(w, "why", item->why);
                break;
        case REPORT_VERDICT:
                json_write_str(w, "is", "verdict");
                json_write_str(w, "jwe", item->jwe);
                break;
        case REPORT_LOST:
                json_write_str(w, "is", "lost");
                break;
        }
        json_write_close(w, '}');
}

int report_encode(const struct report *r, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "session", r->session);
        json_write_str(&w, "boot", r->boot);
        json_write_int(&w, "granted", (int64_t)r->granted);
        json_write_open(&w, "ready", '{');
        for (size_t i = 0; i < r->n_realms; i++)
                json_write_bool(&w, r->realms[i].realm, r->realms[i].ready);
        json_write_close(&w, '}');
        json_write_open(&w, "reasons", '[');
        for (size_t i = 0; i < r->n_reasons; i++)
                json_write_str(&w, NULL, r->reasons[i]);
        json_write_close(&w, ']');
        json_write_fraction(&w, "load", r->load);
        json_write_opt(&w, "statement", r->statement);
        if (r->has_in_hand) {
                json_write_open(&w, "in_hand", '[');
                for (size_t i = 0; i < r->n_in_hand; i++)
                        json_write_str(&w, NULL, r->in_hand[i]);
                json_write_close(&w, ']');
        }
        json_write_open(&w, "items", '[');
        for (size_t i = 0; i < r->n_items; i++)
                put_item(&w, &r->items[i]);
        json_write_close(&w, ']');
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* ---- decode ---- */

static void read_ready(struct json_reader *r, struct report *out)
{
        json_t *map = json_read_member(r, "ready", JSON_REQUIRED);
        const char *realm;
        json_t *value;

        if (!map || (json_is_object(map) && json_object_size(map) == 0))
                return;
        if (!json_is_object(map) || json_object_size(map) > REPORT_REALMS_MAX) {
                json_read_fail(r, "ready", "is not an object within the limit");
                return;
        }
        out->realms = calloc(json_object_size(map), sizeof(*out->realms));
        if (!out->realms) {
                json_read_no_memory(r);
                return;
        }
        json_object_foreach (map, realm, value) {
                size_t n = strlen(realm);

                if (n == 0 || n >= sizeof(out->realms[0].realm) || !json_is_boolean(value)) {
                        json_read_fail(r, "ready", "holds what is no realm or no boolean");
                        return;
                }
                memcpy(out->realms[out->n_realms].realm, realm, n + 1);
                out->realms[out->n_realms++].ready = json_is_true(value);
        }
}

static void read_reasons(struct json_reader *r, struct report *out)
{
        json_t *list = json_read_member(r, "reasons", JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list || (json_is_array(list) && json_array_size(list) == 0))
                return;
        if (!json_is_array(list) || json_array_size(list) > REPORT_REASONS_MAX) {
                json_read_fail(r, "reasons", "is not an array within the limit");
                return;
        }
        out->reasons = calloc(json_array_size(list), sizeof(*out->reasons));
        if (!out->reasons) {
                json_read_no_memory(r);
                return;
        }
        json_array_foreach (list, i, value) {
                const char *text = json_string_value(value);

                if (!text || strlen(text) == 0) {
                        json_read_fail(r, "reasons", "holds what is no text");
                        return;
                }
                wire_text_cut(out->reasons[out->n_reasons++], sizeof(out->reasons[0]), text, strlen(text));
        }
}

static void read_load(struct json_reader *r, struct report *out)
{
        json_t *member = json_read_member(r, "load", JSON_REQUIRED);

        if (!member)
                return;
        out->load = json_number_value(member);
        if (!json_is_number(member) || !(out->load >= 0.0 && out->load <= 1.0))
                json_read_fail(r, "load", "is not a number from 0 to 1");
}

/* Copies an optional string of bounded length made of base64url and dots. */
static void read_jose_text(struct json_reader *r, const char *key, enum json_need need, size_t max, char **ret_text)
{
        json_t *member = json_read_member(r, key, need);
        const char *text = json_string_value(member);

        if (!member)
                return;
        if (!text || !*text || json_string_length(member) > max) {
                json_read_fail(r, key, "is no string within the limit");
                return;
        }
        if (text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")]) {
                json_read_fail(r, key, "is no compact JOSE text");
                return;
        }
        if (text_set(ret_text, text) < 0)
                json_read_no_memory(r);
}

static void read_item(struct json_reader *parent, json_t *value, struct report_item *item)
{
        struct json_reader r;
        const char *kind;

        json_read_sub(&r, parent, value);
        json_read_id(&r, "id", item->id);
        kind = json_read_word(&r, "is", kinds);
        if (kind == kinds[0])
                item->is = REPORT_RECEIVED;
        if (kind == kinds[1]) {
                item->is = REPORT_DECLINED;
                json_read_str(&r, "why", JSON_REQUIRED, item->why, sizeof(item->why));
                if (r.r == 0 && !decline_why_valid(item->why))
                        json_read_fail(&r, "why", "is no known word");
        }
        if (kind == kinds[2]) {
                item->is = REPORT_VERDICT;
                read_jose_text(&r, "jwe", JSON_REQUIRED, VERDICT_JWE_MAX, &item->jwe);
        }
        if (kind == kinds[3])
                item->is = REPORT_LOST;
        if (json_read_end(&r, false) < 0 && parent->r == 0)
                parent->r = r.r;
}

static void read_items(struct json_reader *r, struct report *out)
{
        json_t *list = json_read_member(r, "items", JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list || (json_is_array(list) && json_array_size(list) == 0))
                return;
        if (!json_is_array(list) || json_array_size(list) > REPORT_ITEMS_MAX) {
                json_read_fail(r, "items", "is not an array within the limit");
                return;
        }
        out->items = calloc(json_array_size(list), sizeof(*out->items));
        if (!out->items) {
                json_read_no_memory(r);
                return;
        }
        json_array_foreach (list, i, value)
                read_item(r, value, &out->items[out->n_items++]);
}

static void read_in_hand(struct json_reader *r, struct report *out)
{
        out->has_in_hand = json_object_get(r->object, "in_hand") != NULL;
        if (out->has_in_hand)
                json_read_ids(r, "in_hand", REPORT_IN_HAND_MAX, &out->in_hand, &out->n_in_hand);
}

int report_decode(struct report *ret_r, const char *json, size_t n, struct error *err)
{
        struct report report = {0};
        struct json_reader r;
        json_t *root = NULL;
        int result;

        result = jose_json_object(&root, json, n, "report", err);
        if (result < 0)
                return result;
        json_read_begin(&r, root, "report", err);
        json_read_id(&r, "session", report.session);
        json_read_b64u(&r, "boot", 16, report.boot);
        report.granted = (uint64_t)json_read_int(&r, "granted", 0, JSON_SEQ_MAX);
        read_ready(&r, &report);
        read_reasons(&r, &report);
        read_load(&r, &report);
        read_jose_text(&r, "statement", JSON_OPTIONAL, STATEMENT_TEXT_MAX, &report.statement);
        read_in_hand(&r, &report);
        read_items(&r, &report);
        result = json_read_end(&r, false);
        json_decref(root);
        if (result < 0)
                report_clear(&report);
        else
                *ret_r = report;
        return result;
}

void report_clear(struct report *r)
{
        for (size_t i = 0; i < r->n_items; i++)
                free(r->items[i].jwe);
        free(r->items);
        free(r->in_hand);
        free(r->realms);
        free(r->reasons);
        free(r->statement);
        *r = (struct report){0};
}
