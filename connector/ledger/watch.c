/*
 * Turns of state that the helpdesk should find later: a process that ended, a domain controller that stopped
 * or began to answer, each one line of `postern log --events`.
 *
 * Looks only at what the parts say of themselves, as it comes; it decides nothing and keeps nothing.
 */
#include <stdio.h>
#include <string.h>

#include "connector/findings/facts.h"
#include "connector/ledger/ledger.h"

void ledger_note(struct ledger *l, const char *event, const char *detail)
{
        struct msg_out out;
        struct msg_in in;

        msg_begin(&out, FRAME_EVENT);
        msg_str(&out, TAG_NAME, event);
        msg_str(&out, TAG_TEXT, detail);
        if (!out.overflow && msg_parse(&in, out.data, out.len) == 0)
                ledger_take(l, &in);
}

static void watch_process(struct ledger *l, const char *process, const char *before, const json_t *value)
{
        const char *state = fact_text(value, "state");
        bool up = strcmp(state, "running") == 0;
        char detail[600];

        /* a first start is none of the helpdesk's business */
        if (json_integer_value(json_object_get(value, "restarts")) == 0 || (!up && strcmp(state, "down") != 0) ||
            strcmp(state, before) == 0)
                return;
        if (up)
                (void)snprintf(detail, sizeof(detail), "%s runs again", process);
        else
                (void)snprintf(detail, sizeof(detail), "%s ended: %s%s%s", process, fact_text(value, "last_end"),
                               fact_text(value, "why")[0] ? ": " : "", fact_text(value, "why"));
        ledger_note(l, up ? "process.up" : "process.down", detail);
}

static void note_keytab(struct ledger *l, const char *domain, const char *was, const char *is)
{
        char detail[1024];

        if (strcmp(was, is) == 0)
                return;
        (void)snprintf(detail, sizeof(detail), "%.200s: %s", domain, is[0] ? is : "the keytab on the disk is in use");
        ledger_note(l, is[0] ? "keytab.refused" : "keytab.in_use", detail);
}

/* A reload that was refused, and its mending; keytabs on the disk that are not those in use. */
static void watch_supervisor(struct ledger *l, const json_t *before, const json_t *value)
{
        const char *was = fact_text(before, "reload_refused"), *is = fact_text(value, "reload_refused");
        const json_t *keytabs = json_object_get(value, "keytabs"), *old = json_object_get(before, "keytabs");
        const char *domain;
        json_t *why;

        if (strcmp(was, is) != 0)
                ledger_note(l, is[0] ? "reload.refused" : "reload.done",
                            is[0] ? is : "the configuration is in use now");
        json_object_foreach ((json_t *)(uintptr_t)keytabs, domain, why)
                note_keytab(l, domain, fact_text(old, domain), json_string_value(why));
        json_object_foreach ((json_t *)(uintptr_t)old, domain, why)
                if (!json_object_get(keytabs, domain))
                        note_keytab(l, domain, json_string_value(why), "");
}

static void watch_dc(struct ledger *l, const char *before, const json_t *value)
{
        const char *state = fact_text(value, "state");
        bool up = strcmp(state, "alive") == 0 || strcmp(state, "recovering") == 0,
             was_down = strcmp(before, "dead") == 0 || strcmp(before, "sick") == 0, sick = strcmp(state, "sick") == 0;
        char detail[1024];

        if (up && was_down)
                (void)snprintf(detail, sizeof(detail), "%.300s answers again", fact_text(value, "host"));
        else if (sick && strcmp(before, "sick") != 0)
                (void)snprintf(detail, sizeof(detail), "%.300s answers, but fails sign-ins (%.40s): %.400s",
                               fact_text(value, "host"), fact_text(value, "reason"), fact_text(value, "detail"));
        else if (strcmp(state, "dead") == 0 && !was_down)
                (void)snprintf(detail, sizeof(detail), "%.300s cannot be used (%.40s): %.400s",
                               fact_text(value, "host"), fact_text(value, "reason"), fact_text(value, "detail"));
        else
                return;
        ledger_note(l, up ? "dc.up" : sick ? "dc.sick" : "dc.down", detail);
}

/* At a start nothing has been asked yet, which reads no_dc: that is no failure. */
static bool domain_fails(const json_t *value)
{
        return json_is_false(json_object_get(value, "ready")) && strcmp(fact_text(value, "reason"), "no_dc") != 0;
}

static void watch_domain(struct ledger *l, const json_t *before, const json_t *value)
{
        const bool fails = domain_fails(value), failed = domain_fails(before);
        char detail[600];

        if (fails == failed || (!fails && !json_is_true(json_object_get(value, "ready"))))
                return;
        if (fails)
                (void)snprintf(detail, sizeof(detail), "no domain controller of %.300s can be used: %.40s%s%.200s",
                               fact_text(value, "domain"), fact_text(value, "reason"),
                               fact_text(value, "detail")[0] ? ": " : "", fact_text(value, "detail"));
        else
                (void)snprintf(detail, sizeof(detail), "%.300s is served again", fact_text(value, "domain"));
        ledger_note(l, fails ? "domain.down" : "domain.up", detail);
}

void ledger_watch(struct ledger *l, const char *part, const json_t *before, const json_t *value)
{
        if (!l->journal)
                return;
        if (strcmp(part, "process:supervisor") == 0)
                watch_supervisor(l, before, value);
        else if (strncmp(part, "process:", 8) == 0)
                watch_process(l, part + 8, fact_text(before, "state"), value);
        else if (strncmp(part, "dc:", 3) == 0)
                watch_dc(l, fact_text(before, "state"), value);
        else if (strncmp(part, "domain:", 7) == 0)
                watch_domain(l, before, value);
}

json_t *ledger_watch_since(const json_t *before, const json_t *since, const json_t *value, int64_t wall)
{
        json_t *is = json_object(), *member;
        const char *key;

        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
                json_t *was = json_object_get(since, key);

                if (json_is_number(member))
                        continue;
                if (was && json_equal(json_object_get(before, key), member))
                        (void)json_object_set(is, key, was);
                else
                        (void)json_object_set_new(is, key, json_integer(wall));
        }
        return is;
}
