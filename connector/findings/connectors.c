/*
 * All connectors of a tenant side by side: how each is, by the relay and by its own word, and whose word is missing.
 *
 * Invariant: a connector that did not answer is never left out; what it did is missing, not absent.
 */
#include "connector/findings/connectors.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "connector/findings/facts.h"
#include "connector/findings/health.h"

/* ---- how each is ---- */

/* The version by its own word, else as the relay heard it. */
static void put_link(json_t *rows, const json_t *relay, const json_t *answer)
{
        const char *told = fact_text(fact_part(json_object_get(answer, "parts"), "process:supervisor"), "version"),
                   *version = told[0] ? told : fact_text(relay, "version");
        char since[32], until[32];

        if (!json_is_true(json_object_get(relay, "linked")))
                return;
        fact_time(fact_number(relay, "since", 0), since, sizeof(since));
        fact_time(fact_number(relay, "certificate_not_after", 0), until, sizeof(until));
        fact_row(rows, "link", "since %s, %s%s", since, told[0] ? "version " : "",
                 version[0] ? version : "version not told");
        fact_row(rows, "certificate", "valid until %s", until);
}

/* A person of some of its domains is told no load of the whole, and counts of these alone. */
static void put_load(json_t *rows, const json_t *answer)
{
        const json_t *parts = json_object_get(answer, "parts"), *counts = json_object_get(answer, "counts");
        const long long in_flight = fact_number(fact_part(parts, "validator"), "in_flight", -1);
        char now[48] = "";

        if (in_flight >= 0)
                (void)snprintf(now, sizeof(now), "%lld in flight; ", in_flight);
        fact_row(rows, "load", "%ssince its start %lld accepted, %lld refused, %lld unavailable", now,
                 fact_number(counts, "accepted", 0), fact_number(counts, "refused", 0),
                 fact_number(counts, "unavailable", 0));
}

static void put_dcs(json_t *rows, const json_t *answer)
{
        json_t *part;
        const char *name;

        json_object_foreach (json_object_get(answer, "parts"), name, part) {
                const json_t *dc = json_object_get(part, "value");
                const char *reason = fact_text(dc, "reason");

                if (strncmp(name, "dc:", 3) == 0)
                        fact_row(rows, "DC", "%s  %s  %lld ms%s%s", fact_text(dc, "host"), fact_text(dc, "state"),
                                 fact_number(dc, "ms", 0), reason[0] ? "  " : "", reason);
        }
}

static json_t *tell(const json_t *all, const json_t *c)
{
        const json_t *relay = NULL, *seen, *answer = json_object_get(c, "answer"); /* relay: what it sees of c */
        size_t i;

        json_array_foreach (json_object_get(all, "relay"), i, seen)
                if (!relay && strcmp(fact_text(seen, "id"), fact_text(c, "id")) == 0)
                        relay = seen;
        const bool ready = json_is_true(json_object_get(relay, "ready")) || (answer && !json_object_get(all, "relay"));
        json_t *rows = json_array(), *findings = answer ? health_findings(answer) : json_array();

        put_link(rows, relay, answer);
        if (answer) {
                put_load(rows, answer);
                put_dcs(rows, answer);
        } else {
                fact_row(rows, fact_text(c, "state"), "%s", fact_text(c, "why"));
        }
        return json_pack("{s:s, s:s, s:b, s:b, s:s, s:o, s:o}", "name", fact_text(c, "name"), "id", fact_text(c, "id"),
                         "ready", ready, "well", ready && answer, "state",
                         ready                                            ? "ready"
                         : json_is_true(json_object_get(relay, "linked")) ? "linked, NOT READY"
                                                                          : "NOT LINKED",
                         "rows", rows, "findings", findings);
}

json_t *connectors_told(const json_t *answer)
{
        const json_t *all = json_object_get(answer, "everywhere"), *c;
        json_t *told = json_array();
        size_t i;

        json_array_foreach (json_object_get(all, "connectors"), i, c)
                (void)json_array_append_new(told, tell(all, c));
        return told;
}

const char *connectors_state(const json_t *told)
{
        bool ready = false, well = true, found = false;
        const json_t *c;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)told, i, c) {
                ready |= json_is_true(json_object_get(c, "ready"));
                well &= json_is_true(json_object_get(c, "well"));
                found |= json_array_size(json_object_get(c, "findings")) > 0;
        }
        return !ready ? "stopped" : !well ? "limited" : found ? "warned" : "well";
}

/* ---- who is missing ---- */

static void __attribute__((format(printf, 2, 3))) say(json_t *list, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        (void)json_array_append_new(list, text ? text : json_string("(not valid text)"));
}

json_t *connectors_missing(const json_t *answer)
{
        const json_t *all = json_object_get(answer, "everywhere"), *c;
        const long long asked = fact_number(all, "asked", 0), answered = fact_number(all, "answered", 0);
        json_t *list = json_array();
        size_t i;

        if (all && asked == 0)
                say(list, "No connector of the roster serves one of your domains.");
        json_array_foreach (json_object_get(all, "connectors"), i, c) {
                const char *state = fact_text(c, "state");

                if (json_is_true(json_object_get(json_object_get(c, "answer"), "cut")))
                        say(list, "%s has more than is shown: ask for less time, or for one user.",
                            fact_text(c, "name"));
                if (strcmp(state, "answered") != 0)
                        say(list, "%s %s: %s",
                            strcmp(state, "untrue") == 0    ? "NOT BELIEVED is what came for"
                            : strcmp(state, "refused") == 0 ? "No answer from"
                                                            : "SILENT is",
                            fact_text(c, "name"), fact_text(c, "why"));
        }
        if (answered < asked)
                say(list,
                    "%lld of %lld connectors answered. What the others did is missing here: `postern explain` on their "
                    "hosts shows it, and of a sign-in's id `postern tenant trace` says which connector had it.",
                    answered, asked);
        return list;
}

json_t *connectors_reach(const json_t *answer)
{
        json_t *list = json_array();
        const json_t *c;
        char when[32];
        size_t i;

        json_array_foreach (json_object_get(json_object_get(answer, "everywhere"), "connectors"), i, c) {
                const json_t *own = json_object_get(c, "answer");
                const long long since = fact_number(json_object_get(own, "absent"), "records_since", 0);
                const bool readable = strcmp(fact_text(json_object_get(own, "ledger"), "state"), "ok") == 0;

                fact_time(since, when, sizeof(when));
                if (own)
                        say(list, "%-20s its records %s%s%s", fact_text(c, "name"), since ? "go back to " : "are empty",
                            since ? when : "", readable ? "" : ", and those on its disk cannot be read now");
        }
        return list;
}
