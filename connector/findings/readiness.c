/*
 * Readiness: a domain is ready if and only if each of its conditions is met.
 *
 * Made of what the parts say and of when the ledger saw each of it change; no part is asked anew.
 */
#include "connector/findings/readiness.h"

#include <string.h>

#include "connector/findings/facts.h"

struct domain {
        const json_t *parts;
        json_t *conditions;
        bool ready;
        long long met_last, missed_last; /* the latest change to either */
};

static void add(struct domain *d, const char *what, bool met, long long since, const char *cause)
{
        json_t *condition = json_pack("{s:s, s:b}", "what", what, "met", met);
        long long *last = met ? &d->met_last : &d->missed_last;

        if (since)
                (void)json_object_set_new(condition, "since", json_integer(since));
        if (!met && cause[0])
                (void)json_object_set_new(condition, "cause", json_string(cause));
        (void)json_array_append_new(d->conditions, condition);
        d->ready = d->ready && met;
        *last = since > *last ? since : *last;
}

static void add_link(struct domain *d)
{
        const json_t *link = fact_part(d->parts, "link");
        const bool up = strcmp(fact_text(link, "state"), "up") == 0,
                   unheard = json_is_false(json_object_get(link, "heard"));

        add(d, "link", up && !unheard,
            up && unheard ? fact_since(d->parts, "link", "heard") : fact_number(link, "since", 0),
            up ? "the relay has answered no report yet" : fact_text(link, "detail"));
        add(d, "released", !json_is_true(json_object_get(link, "quarantined")),
            fact_since(d->parts, "link", "quarantined"),
            "this identity was seen on two machines, so the relay gives it no sign-in until an administrator decides");
        const long long refused_since = fact_since(d->parts, "link", "statement_refused");
        /* one that was never refused is announced since there is a link */
        add(d, "announced", !fact_text(link, "statement_refused")[0],
            refused_since ? refused_since : fact_number(link, "since", 0),
            "the relay does not take this connector's key statement, so no service can seal to it");
}

static json_t *domain_of(const json_t *parts, const char *part, const json_t *value)
{
        struct domain d = {.parts = parts, .conditions = json_array(), .ready = true};
        const json_t *v = fact_part(parts, "validator"), *clock = json_object_get(v, "clock");
        const char *detail = fact_text(value, "detail");

        add_link(&d);
        add(&d, "clock", v && strcmp(fact_text(clock, "state"), "wrong") != 0, fact_since(parts, "validator", "clock"),
            fact_text(clock, "detail"));
        add(&d, "keys", json_is_true(json_object_get(v, "keys")), fact_since(parts, "validator", "keys"),
            v ? "the encryption keys could not be made or signed" : "the validator has not spoken yet");
        add(&d, "roster", json_is_true(json_object_get(value, "may_speak")), fact_since(parts, part, "may_speak"),
            "the roster does not let this connector speak for the domain, or is not valid now");
        add(&d, "dc", json_is_true(json_object_get(value, "ready")), fact_since(parts, part, "ready"),
            detail[0] ? detail : fact_text(value, "reason"));
        return json_pack("{s:s, s:b, s:I, s:o}", "domain", fact_text(value, "domain"), "ready", d.ready, "since",
                         (json_int_t)(d.ready ? d.met_last : d.missed_last), "conditions", d.conditions);
}

json_t *readiness_of(const json_t *answer)
{
        json_t *parts = json_object_get(answer, "parts"), *list = json_array(), *part;
        const char *name;

        json_object_foreach (parts, name, part)
                if (strncmp(name, "domain:", 7) == 0)
                        (void)json_array_append_new(list, domain_of(parts, name, json_object_get(part, "value")));
        return list;
}
