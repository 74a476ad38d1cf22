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
        {"not_my_realm", true}, {"no_dc", true},        {"full", true},    {"draining", true},  {"stale_key", true},
        {"expired", true},      {"bad_request", false}, {"replay", false}, {"throttled", true},
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
        struct json_reader map;

        if (!json_read_object(&map, r, "ready", JSON_REQUIRED) || map.n == 0)
                return;
        if (map.n > REPORT_REALMS_MAX) {
                json_read_fail(r, "ready", "has more realms than the limit");
                return;
        }
        out->realms = calloc(map.n, sizeof(*out->realms));
        if (!out->realms) {
                json_read_no_memory(r);
                return;
        }
        while (json_read_next(&map)) {
                json_read_name(&map, out->realms[out->n_realms].realm, sizeof(out->realms[0].realm));
                out->realms[out->n_realms++].ready = json_read_bool(&map, NULL);
        }
}

static void read_reasons(struct json_reader *r, struct report *out)
{
        struct json_reader list;

        if (!json_read_list(&list, r, "reasons", JSON_REQUIRED, 0, REPORT_REASONS_MAX) || list.n == 0)
                return;
        out->reasons = calloc(list.n, sizeof(*out->reasons));
        if (!out->reasons) {
                json_read_no_memory(r);
                return;
        }
        while (json_read_next(&list)) {
                char *reason = out->reasons[out->n_reasons++];

                json_read_cut(&list, NULL, reason, sizeof(out->reasons[0]));
                if (!*reason)
                        json_read_fail(&list, NULL, "is empty");
        }
}

static void read_item(struct json_reader *r, struct report_item *item)
{
        const char *kind;

        claims_id(r, "id", item->id);
        kind = json_read_word(r, "is", kinds);
        if (kind == kinds[0])
                item->is = REPORT_RECEIVED;
        if (kind == kinds[1]) {
                item->is = REPORT_DECLINED;
                json_read_str(r, "why", JSON_REQUIRED, item->why, sizeof(item->why));
                if (!decline_why_valid(item->why))
                        json_read_fail(r, "why", "is no known word");
        }
        if (kind == kinds[2]) {
                item->is = REPORT_VERDICT;
                wire_read_jose(r, "jwe", JSON_REQUIRED, VERDICT_JWE_MAX, &item->jwe);
        }
        if (kind == kinds[3])
                item->is = REPORT_LOST;
}

static void read_items(struct json_reader *r, struct report *out)
{
        struct json_reader list, item;

        if (!json_read_list(&list, r, "items", JSON_REQUIRED, 0, REPORT_ITEMS_MAX) || list.n == 0)
                return;
        out->items = calloc(list.n, sizeof(*out->items));
        if (!out->items) {
                json_read_no_memory(r);
                return;
        }
        while (json_read_next(&list))
                if (json_read_object(&item, &list, NULL, JSON_REQUIRED))
                        read_item(&item, &out->items[out->n_items++]);
}

int report_decode(struct report *ret_r, const char *json, size_t n, struct error *err)
{
        struct report report = {0};
        struct json_reader r;
        int result;

        json_read_begin(&r, json, n, JSON_PLAIN, "report", err);
        claims_id(&r, "session", report.session);
        json_read_b64u_text(&r, "boot", report.boot, 16);
        report.granted = (uint64_t)json_read_int(&r, "granted", 0, JSON_SEQ_MAX);
        read_ready(&r, &report);
        read_reasons(&r, &report);
        report.load = json_read_number(&r, "load", 0, 1);
        wire_read_jose(&r, "statement", JSON_OPTIONAL, STATEMENT_TEXT_MAX, &report.statement);
        report.has_in_hand = json_read_has(&r, "in_hand");
        if (report.has_in_hand)
                wire_read_ids(&r, "in_hand", REPORT_IN_HAND_MAX, &report.in_hand, &report.n_in_hand);
        read_items(&r, &report);
        result = json_read_end(&r, false);
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
