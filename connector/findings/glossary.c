/*
 * The tables of outcomes, problems, declines and findings, put side by side.
 *
 * It owns no sentence: each is its table's, so what a page says is what a command says.
 */
#include "connector/findings/glossary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "certs/http/http-flaw.h"
#include "connector/findings/facts.h"
#include "connector/findings/finding.h"
#include "queue/http/problem.h"
#include "validate/types/detail.h"
#include "validate/types/outcome.h"

/* A sentence of a table whose sentences have no full stop. */
static void put_sentence(json_t *object, const char *key, const char *text)
{
        if (text && text[0])
                (void)json_object_set_new(object, key, json_sprintf("%c%s.", text[0] & ~0x20, text + 1));
}

static json_t *entry(json_t *list, const char *kind, const char *id)
{
        json_t *object = json_pack("{s:s, s:s}", "kind", kind, "id", id);

        (void)json_array_append_new(list, object);
        return object;
}

static void add_reasons(json_t *list)
{
        for (enum reason r = 0; r < REASON_MAX; r++) {
                const struct reason_info *info = reason_info(r);
                json_t *e = entry(list, "reason", info->id);
                const bool policy = info->class == VERDICT_CLASS_POLICY;

                fact_put(e, "verdict", verdict_text(info->verdict));
                fact_put(e, "class", verdict_class_text(info->class));
                fact_put(e, "meaning", info->helpdesk_text);
                fact_put(e, "user", reason_user_text(r, true));
                if (policy && strcmp(reason_user_text(r, false), reason_user_text(r, true)) != 0)
                        fact_put(e, "user_unproved", reason_user_text(r, false));
                fact_put(e, "remedy", info->remedy);
                fact_put(e, "remedy_for", info->class == VERDICT_CLASS_INFRASTRUCTURE ? "admin" : "helpdesk");
        }
}

/* What the caller can do by itself is no user's business; all else reads as a sign-in that could not be checked. */
static void add_problems(json_t *list)
{
        for (enum problem_type p = PROBLEM_MALFORMED; p < PROBLEM_TYPES_; p++) {
                const struct problem_text text = problem_text(p);
                json_t *e = entry(list, "problem", problem_word(p));
                const bool for_good =
                        strcmp(text.retry, "never") == 0 && p != PROBLEM_DEADLINE && p != PROBLEM_CONNECTOR_LOST;

                (void)json_object_set_new(e, "status", json_integer(problem_status(p)));
                put_sentence(e, "meaning", text.meaning);
                fact_put(e, "user",
                         reason_user_text(for_good ? REASON_SERVICE_UNKNOWN : REASON_OUTCOME_UNKNOWN, false));
                put_sentence(e, "remedy", text.remedy);
                fact_put(e, "remedy_for", "admin");
                fact_put(e, "retry", text.retry);
        }
}

/* What lies behind a reason, or behind "no link to the relay". */
static void add_details(json_t *list)
{
        const struct http_flaw *flaw;

        for (int d = DETAIL_NONE + 1; d < DETAIL_MAX; d++) {
                const struct detail_info *info = detail_info((enum detail)d);
                json_t *e = entry(list, "detail", info->id);

                fact_put(e, "meaning", info->helpdesk_text);
                fact_put(e, "remedy", info->remedy);
                fact_put(e, "remedy_for", "admin");
        }
        for (size_t i = 0; (flaw = http_flaw_at(i)); i++) {
                json_t *e = entry(list, "detail", flaw->id);

                put_sentence(e, "meaning", flaw->meaning);
                put_sentence(e, "remedy", flaw->remedy);
                fact_put(e, "remedy_for", "admin");
        }
}

json_t *glossary_all(void)
{
        static const char *const declines[] = {"not_my_realm", "no_dc",   "full",   "draining", "stale_key",
                                               "bad_request",  "expired", "replay", "throttled"};
        const struct finding_info *info;
        json_t *list = json_array();

        add_reasons(list);
        add_problems(list);
        for (size_t i = 0; i < sizeof(declines) / sizeof(declines[0]); i++)
                put_sentence(entry(list, "decline", declines[i]), "meaning", fact_decline(declines[i]));
        for (size_t i = 0; (info = finding_at(i)); i++) {
                json_t *e = entry(list, "finding", info->code);
                fact_put(e, "level", finding_level_text(info->level));
                put_sentence(e, "meaning", info->meaning);
                put_sentence(e, "remedy", info->remedy);
                fact_put(e, "remedy_for", "admin");
        }
        add_details(list);
        return list;
}

json_t *glossary_find(const char *id)
{
        json_t *all = glossary_all(), *found = json_array(), *e;
        size_t i;

        json_array_foreach (all, i, e)
                if (strcmp(fact_text(e, "id"), id) == 0)
                        (void)json_array_append(found, e);
        json_decref(all);
        return found;
}

/* ---- as a document ---- */

static const struct {
        const char *kind, *title, *about;
} kinds[] = {
        {"reason", "Reasons", "What a sign-in can end with, as the service and the records of a connector have it."},
        {"problem", "Problems", "What the relay answers where there is no verdict."},
        {"decline", "Declines",
         "Why a connector gave a sign-in back before it asked a domain controller; another one "
         "may have taken it."},
        {"finding", "Findings", "What postern status finds wrong with a connector."},
        {"detail", "Details", "Which of several causes lies behind a reason, or behind a way to the relay that fails."},
};

static int put_entry(struct buffer *out, const json_t *e)
{
        static const struct {
                const char *key, *label;
        } rows[] = {{"verdict", "Verdict"},     {"class", "Class"},
                    {"level", "Level"},         {"meaning", "What it means"},
                    {"user", "The user reads"}, {"user_unproved", "Where the password was not proved right"},
                    {"remedy", "What to do"}};
        int r = buffer_printf(out, "<section id=\"%s-%s\"><h3><a href=\"#%s-%s\">%s</a></h3>\n<dl>\n",
                              fact_text(e, "kind"), fact_text(e, "id"), fact_text(e, "kind"), fact_text(e, "id"),
                              fact_text(e, "id"));

        for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (!fact_text(e, rows[i].key)[0])
                        continue;
                r = buffer_printf(out, "<dt>%s</dt><dd>", rows[i].label);
                for (const char *text = fact_text(e, rows[i].key); r == 0 && *text; text++)
                        r = *text == '&'   ? buffer_append_str(out, "&amp;")
                            : *text == '<' ? buffer_append_str(out, "&lt;")
                                           : buffer_append_char(out, *text);
                r = r ? r : buffer_append_str(out, "</dd>\n");
        }
        return r ? r : buffer_append_str(out, "</dl></section>\n");
}

int glossary_html(struct buffer *out)
{
        json_t *all = glossary_all(), *e;
        size_t i;
        int r = buffer_append_str(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                                       "<meta name=\"viewport\" content=\"width=device-width\">\n"
                                       "<title>Postern: what its words mean</title>\n"
                                       "<style>body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;"
                                       "padding:0 1rem;color-scheme:light dark}dt{font-weight:bold}"
                                       "dd{margin:0 0 .5rem 1rem}:target{outline:2px solid;outline-offset:.5rem}"
                                       "</style></head><body>\n<h1>What Postern&#8217;s words mean</h1>\n");

        for (size_t k = 0; r == 0 && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
                r = buffer_printf(out, "<h2 id=\"%s\">%s</h2>\n<p>%s</p>\n", kinds[k].kind, kinds[k].title,
                                  kinds[k].about);
                json_array_foreach (all, i, e)
                        if (r == 0 && strcmp(fact_text(e, "kind"), kinds[k].kind) == 0)
                                r = put_entry(out, e);
        }
        json_decref(all);
        return r ? r : buffer_append_str(out, "</body></html>\n");
}
