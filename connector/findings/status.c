/*
 * The parts of a connector, laid out in sections of labelled rows.
 *
 * It judges nothing (health.c does) and prints nothing.
 */
#include "connector/findings/status.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "connector/findings/facts.h"
#include "connector/findings/readiness.h"

/* ---- sections and rows ---- */

struct sheet {
        const json_t *parts; /* borrowed */
        long long now;
        json_t *sections, *rows; /* rows: of the last section */
};

/* name: the part that speaks, whose age is told, or NULL. */
static void section(struct sheet *s, const char *title, const char *name)
{
        const json_t *part = name ? json_object_get(s->parts, name) : NULL;
        json_t *object = json_pack("{s:s}", "title", title);

        if (part)
                (void)json_object_set_new(object, "age", json_integer(s->now - fact_number(part, "at", s->now)));
        s->rows = json_array();
        (void)json_object_set_new(object, "rows", s->rows);
        (void)json_array_append_new(s->sections, object);
}

static void row_text(struct sheet *s, const char *label, const char *text)
{
        fact_row(s->rows, label, "%s", text[0] ? text : "-");
}

static void row_end(struct sheet *s, const char *label, long long end)
{
        char when[32] = "-";

        if (end)
                fact_time(end, when, sizeof(when));
        fact_row(s->rows, label, "valid until %s", when);
}

/* ---- the parts ---- */

static void put_validator(struct sheet *s)
{
        const json_t *v = fact_part(s->parts, "validator"), *guard = json_object_get(v, "guard");

        section(s, "this connector", "validator");
        if (!v)
                return;
        row_text(s, "name", fact_text(v, "name"));
        row_text(s, "id", fact_text(v, "connector"));
        row_text(s, "tenant", fact_text(v, "tenant"));
        row_text(s, "fingerprint", fact_text(v, "identity"));
        fact_row(s->rows, "roster number", "%lld", fact_number(v, "roster_seq", 0));
        row_end(s, "roster", fact_number(v, "roster_expires", 0));
        row_text(s, "approved", json_is_true(json_object_get(v, "in_roster")) ? "yes" : "no");
        fact_row(s->rows, "in flight", "%lld", fact_number(v, "in_flight", 0));
        if (guard) /* what it did, or only watched */
                fact_row(
                        s->rows, "lockout guard", "%s: %lld throttled, %lld repeated%s; an account may fail here: %lld",
                        fact_text(guard, "mode"), fact_number(guard, "throttled", 0), fact_number(guard, "repeated", 0),
                        strcmp(fact_text(guard, "mode"), "observe") == 0 ? " (had it been on)" : "",
                        fact_number(guard, "failures", 0));
        row_text(s, "version", fact_text(fact_part(s->parts, "process:supervisor"), "version"));
}

/* Where there are several. */
static void put_nodes(struct sheet *s, const json_t *nodes)
{
        const json_t *node;
        char age[32];
        size_t i;

        if (json_array_size(nodes) < 2)
                return;
        json_array_foreach (nodes, i, node) {
                const int up = strcmp(fact_text(node, "state"), "up") == 0;

                fact_age(s->now - fact_number(node, "since", s->now), age, sizeof(age));
                fact_row(s->rows, i ? "" : "nodes", "%s %s for %s%s%s", fact_text(node, "relay"),
                         fact_text(node, "state"), age, up ? "" : ": ", up ? "" : fact_text(node, "detail"));
        }
}

static void put_link(struct sheet *s)
{
        const json_t *link = fact_part(s->parts, "link");
        const long long since = fact_number(link, "since", 0), expires = fact_number(link, "certificate_expires", 0),
                        next = fact_number(link, "certificate_renewal", 0);
        char age[32], when[32];

        section(s, "link to the relay", "link");
        if (!link)
                return;
        fact_age(s->now - since, age, sizeof(age));
        row_text(s, "relay", fact_text(link, "relay"));
        fact_row(s->rows, "state", "%s%s%s", fact_text(link, "state"), since > 0 ? " for " : "", since > 0 ? age : "");
        if (strcmp(fact_text(link, "state"), "up") != 0)
                row_text(s, "why", fact_text(link, "detail"));
        put_nodes(s, json_object_get(link, "nodes"));
        row_end(s, "certificate", expires);
        fact_time(next, when, sizeof(when));
        if (expires)
                fact_row(s->rows, "  left", "%lld days, renewed at %s%s",
                         expires > s->now ? (expires - s->now) / 86400 : 0, next ? when : "?",
                         fact_text(link, "certificate_why")[0] ? ", tried before" : "");
        fact_row(s->rows, "requests", "%lld", fact_number(link, "requests", 0));
        fact_row(s->rows, "verdicts", "%lld", fact_number(link, "verdicts", 0));
}

static void put_dc(struct sheet *s, const json_t *dc)
{
        const char *source = fact_text(dc, "source"), *failure = fact_text(dc, "reason");
        char answered[64] = "";

        if (fact_number(dc, "ms", 0) > 0)
                (void)snprintf(answered, sizeof(answered), ", answered in %lld ms", fact_number(dc, "ms", 0));
        fact_row(s->rows, "", "%s  %s  %s%s%s%s%s", fact_text(dc, "domain"), fact_text(dc, "host"),
                 fact_text(dc, "state"),
                 strcmp(source, "site") == 0  ? ", of the site by DNS"
                 : strcmp(source, "srv") == 0 ? ", by DNS"
                                              : "",
                 answered, failure[0] ? ", last failure: " : "", failure);
}

/* Since when; of one that is not ready what is in the way. */
static void put_readiness(struct sheet *s, const json_t *answer)
{
        json_t *all = readiness_of(answer), *domain, *condition;
        size_t i, j;

        section(s, "readiness", NULL);
        json_array_foreach (all, i, domain) {
                const int ready = json_is_true(json_object_get(domain, "ready"));
                const long long since = fact_number(domain, "since", 0);
                char age[32];

                fact_age(s->now - since, age, sizeof(age));
                fact_row(s->rows, fact_text(domain, "domain"), "%s%s%s", ready ? "ready" : "not ready",
                         since ? " for " : "", since ? age : "");
                json_array_foreach (json_object_get(domain, "conditions"), j, condition)
                        if (json_is_false(json_object_get(condition, "met")))
                                fact_row(s->rows, "", "%s: %s", fact_text(condition, "what"),
                                         fact_text(condition, "cause")[0] ? fact_text(condition, "cause") : "not met");
        }
        json_decref(all);
}

static void put_domains(struct sheet *s)
{
        const char *name;
        const json_t *part;
        json_t *parts = (json_t *)(uintptr_t)s->parts; /* jansson's loop takes no const */

        section(s, "domain controllers", NULL);
        json_object_foreach (parts, name, part)
                if (strncmp(name, "dc:", 3) == 0)
                        put_dc(s, json_object_get(part, "value"));
        if (json_array_size(s->rows) == 0)
                fact_row(s->rows, "", "none reported yet");
        json_object_foreach (parts, name, part) {
                const json_t *sid = json_object_get(part, "value");
                const char *source = fact_text(sid, "source"), *text = fact_text(sid, "sid");

                if (strncmp(name, "sid:", 4) == 0)
                        fact_row(s->rows, "", "%s  SID %s%s%s%s", fact_text(sid, "domain"),
                                 text[0] ? text : "not known yet", source[0] ? " (" : "", source, source[0] ? ")" : "");
        }
}

static void put_processes(struct sheet *s)
{
        static const char *const names[] = {"supervisor", "link", "validator", "ledger"};

        section(s, "processes", NULL);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char key[32], age[32], confined[64] = "", ends[160] = "";
                (void)snprintf(key, sizeof(key), "process:%s", names[i]);
                const json_t *value = fact_part(s->parts, key);
                const char *landlock = fact_text(value, "landlock");
                const bool seccomp = json_is_true(json_object_get(value, "seccomp"));
                const long long restarts = fact_number(value, "restarts", 0), since = fact_number(value, "since", 0);

                fact_age(s->now - since, age, sizeof(age));
                if (restarts)
                        (void)snprintf(ends, sizeof(ends), ", %lld restart%s, last end: %.100s", restarts,
                                       restarts == 1 ? "" : "s", fact_text(value, "last_end"));
                if (landlock[0]) /* of a child that is ready: the supervisor cannot shut itself up */
                        (void)snprintf(confined, sizeof(confined), "%s%s",
                                       seccomp ? ", seccomp, Landlock " : ", not confined", seccomp ? landlock : "");
                fact_row(s->rows, names[i], "%-9s pid %-7lld%s%s%s%s", value ? fact_text(value, "state") : "unknown",
                         fact_number(value, "pid", 0), since > 0 ? " for " : "", since > 0 ? age : "", confined, ends);
        }
}

static void put_ledger(struct sheet *s, const json_t *answer)
{
        const json_t *ledger = json_object_get(answer, "ledger"), *counts = json_object_get(answer, "counts");
        const char *key;
        json_t *outlet;

        section(s, "ledger", NULL);
        row_text(s, "state", fact_text(ledger, "state"));
        fact_row(s->rows, "sign-ins", "%lld kept, %lld in memory, %lld lost", fact_number(ledger, "rows", 0),
                 fact_number(ledger, "in_memory", 0), fact_number(ledger, "dropped", 0));
        fact_row(s->rows, "since start", "%lld accepted, %lld refused, %lld unavailable, %lld declined",
                 fact_number(counts, "accepted", 0), fact_number(counts, "refused", 0),
                 fact_number(counts, "unavailable", 0), fact_number(counts, "declined", 0));
        json_object_foreach (json_object_get(answer, "outlets"), key, outlet)
                fact_row(s->rows, key, "%.200s: %lld sent, %lld wait, %lld lost%s%.150s", fact_text(outlet, "path"),
                         fact_number(outlet, "sent", 0), fact_number(outlet, "waiting", 0),
                         fact_number(outlet, "lost", 0), fact_text(outlet, "why")[0] ? "; " : "",
                         fact_text(outlet, "why"));
}

json_t *status_sections(const json_t *answer)
{
        struct sheet s = {.parts = json_object_get(answer, "parts"),
                          .now = fact_number(answer, "now", 0),
                          .sections = json_array()};

        if (json_is_true(json_object_get(answer, "offline"))) { /* nobody speaks of itself */
                put_ledger(&s, answer);
                return s.sections;
        }
        put_validator(&s);
        put_link(&s);
        put_readiness(&s, answer);
        put_domains(&s);
        put_processes(&s);
        put_ledger(&s, answer);
        return s.sections;
}
