/*
 * The rules by which a connector is well or not: processes, link, clock, roster, incidents, ledger.
 *
 * Each rule looks at one part of the ledger's answer and adds at most a finding per thing that is wrong; what stops all
 * sign-ins comes first. It asks nobody and prints nothing.
 */
#include <stdio.h>
#include <string.h>

#include "base/process/confine.h"
#include "certs/http/http-flaw.h"
#include "connector/findings/health-internal.h"
#include "validate/types/outcome.h"

#define DAY_S 86400
#define ROSTER_WARN_S (7 * DAY_S)      /* of at most 30 days */
#define CERTIFICATE_WARN_S (7 * DAY_S) /* of 30 days, renewed at two thirds */
#define LOOP_S 600                     /* a process that ended so often within this time ends in a loop */
#define LOOP_ENDS 3
#define UNHEARD_S 15
#define OUTLET_S 10 /* what opens and receives them may just be starting */

/* ---- processes ---- */

/* The part's value, or NULL where it never spoke. Its silence is told. */
static const json_t *spoken(struct health *h, const char *name)
{
        const json_t *part = json_object_get(h->parts, name);
        long long at = fact_number(part, "at", 0), age = part ? h->now - at : 0;

        if (!part)
                (void)finding_add(h->list,
                                  (struct finding){.code = "process_silent",
                                                   .about = name,
                                                   .remedy = "Wait a few seconds, then: journalctl -u postern"},
                                  "the %s process has not reported yet", name);
        else if (age > HEALTH_STALE_S)
                (void)finding_add(h->list, (struct finding){.code = "process_silent", .about = name, .since = at},
                                  "the %s process has been silent for %lld s, and what is shown of it is as old", name,
                                  age);
        return json_object_get(part, "value");
}

static void judge_confinement(struct health *h, const char *name, const json_t *value)
{
        if (strcmp(fact_text(value, "landlock"), "forbidden") == 0)
                (void)finding_add(
                        h->list,
                        (struct finding){.code = "landlock_forbidden",
                                         .about = name,
                                         .remedy =
                                                 "Add to [Service] of the unit: SystemCallFilter=" CONFINE_UNIT_CALLS},
                        "the process %s runs without Landlock, because a filter around it, of its unit or its "
                        "container, forbids it",
                        name);
}

/* Ends of the process within LOOP_S; the first of them in *ret_first. */
static size_t count_ends(const struct health *h, const json_t *value, long long *ret_first)
{
        const json_t *ends = json_object_get(value, "ends");
        size_t n = 0;

        *ret_first = 0;
        for (size_t i = 0; i < json_array_size(ends); i++) {
                const long long at = json_integer_value(json_array_get(ends, i));

                if (at == 0 || at + LOOP_S < h->now)
                        continue;
                n++;
                *ret_first = *ret_first == 0 || at < *ret_first ? at : *ret_first;
        }
        return n;
}

static void judge_process(struct health *h, const char *name)
{
        char key[32];

        (void)snprintf(key, sizeof(key), "process:%s", name);
        const json_t *value = fact_part(h->parts, key);
        const char *state = value ? fact_text(value, "state") : "unknown", *last = fact_text(value, "last_end"),
                   *why = fact_text(value, "why");
        long long first;
        const size_t ends = count_ends(h, value, &first);

        if (strcmp(state, "running") != 0)
                (void)finding_add(h->list,
                                  (struct finding){.code = "process_down",
                                                   .about = name,
                                                   .since = fact_number(value, "since", 0)},
                                  "the process %s is %s%s%s%s%s", name, state, last[0] ? ", it ended by " : "", last,
                                  why[0] ? ": " : "", why);
        else if (ends >= LOOP_ENDS)
                (void)finding_add(h->list, (struct finding){.code = "process_loops", .about = name, .since = first},
                                  "the process %s ended %zu times within 10 min, the last time by %s%s%s", name, ends,
                                  last, why[0] ? ": " : "", why);
        judge_confinement(h, name, value);
}

/* What was changed on the disk and is not in use. */
static void judge_changes(struct health *h, const json_t *supervisor)
{
        const char *why = fact_text(supervisor, "reload_refused"), *domain;
        const long long at = fact_number(supervisor, "reload_at", h->now);
        char age[32];
        json_t *keytab;

        fact_age(h->now - at, age, sizeof(age));
        if (why[0])
                (void)finding_add(h->list, (struct finding){.code = "reload_refused", .since = at},
                                  "the reload %s ago was refused, so the configuration before it is still in use: %s",
                                  age, why);
        json_object_foreach (json_object_get(supervisor, "keytabs"), domain, keytab)
                (void)finding_add(h->list, (struct finding){.code = "keytab_refused", .about = domain},
                                  "the keytab of %s on the disk cannot be used, so the keys read before it are still "
                                  "in use, until the next start: %s",
                                  domain, json_string_value(keytab));
}

/* ---- the link ---- */

/* What the validator holds of the clock, by all that it knows; until it knows enough the relay's word stands. */
static void judge_clock(struct health *h, const json_t *link, const json_t *validator)
{
        const json_t *clock = json_object_get(validator, "clock");
        const char *state = fact_text(clock, "state"), *detail = fact_text(clock, "detail");
        const long long ahead = fact_number(link, "clock_ahead", 0);

        if (strcmp(state, "wrong") == 0)
                (void)finding_add(h->list, (struct finding){.code = "clock_wrong"},
                                  "this host's clock is wrong, so no sign-in comes here: %s", detail);
        else if (strcmp(state, "relay_off") == 0 || strcmp(state, "service_off") == 0)
                (void)finding_add(h->list,
                                  (struct finding){.code = strcmp(state, "relay_off") == 0 ? "clock_of_relay"
                                                                                           : "clock_of_service"},
                                  "%s", detail);
        else if (ahead > HEALTH_CLOCK_S || ahead < -HEALTH_CLOCK_S)
                (void)finding_add(h->list, (struct finding){.code = "clock_off"},
                                  "this host's clock is %lld s %s the relay's: from 105 s on requests are declined, "
                                  "from 120 s on "
                                  "statements are refused",
                                  ahead < 0 ? -ahead : ahead, ahead < 0 ? "ahead of" : "behind");
}

/* Renewal begins with a third of the life left; what is still not renewed with a quarter left wants a person. */
static void judge_certificate(struct health *h, const json_t *link)
{
        const long long expires = fact_number(link, "certificate_expires", 0),
                        next = fact_number(link, "certificate_renewal", 0);
        const char *why = fact_text(link, "certificate_why");
        char age[32];

        if (expires == 0 || expires - h->now > CERTIFICATE_WARN_S || (next && !why[0] && next >= h->now))
                return;
        if (expires <= h->now) {
                (void)finding_add(h->list, (struct finding){.code = "certificate_expired", .since = expires},
                                  "the transport certificate has expired");
                return;
        }
        fact_age(expires - h->now, age, sizeof(age));
        (void)finding_add(h->list, (struct finding){.code = "certificate_ends"},
                          "the transport certificate expires in %s and could not be renewed%s%s", age,
                          why[0] ? ": " : "", why);
}

/* Why no service can seal to this connector, and what to do, by the relay's word for it. */
static const char *const refusals[][3] = {
        {"not_in_roster", "its roster does not hold this connector, or has expired by its clock",
         "On the tenant admin's machine run: postern tenant roster publish. If it goes on, the relay's clock is wrong: "
         "tell the relay's operator"},
        {"not_newer", "it has one that seems newer, of a copy of this connector or of a time when a clock was ahead",
         "If there is a copy, end it; set the clock (chronyd, systemd-timesyncd). Without a copy it ends by itself "
         "within "
         "two hours, and at once when postern-relay is restarted"},
        {"invalid", "it does not verify there",
         "If it speaks of a time, the clock of this host or of the relay is wrong: postern check compares them. "
         "Otherwise "
         "the relay has another roster: on the tenant admin's machine run: postern tenant roster publish"},
};

static void add_refused(struct health *h, const char *code, const json_t *part, long long since)
{
        const char *why = fact_text(part, "statement_refused"), *detail = fact_text(part, "statement_detail"),
                   *cause = why, *remedy = NULL;

        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
                if (strcmp(refusals[i][0], why) == 0) {
                        cause = refusals[i][1];
                        remedy = refusals[i][2];
                }
        (void)finding_add(h->list,
                          (struct finding){.code = code,
                                           .about = fact_text(part, "relay"),
                                           .detail = why,
                                           .since = since,
                                           .remedy = remedy},
                          "the relay %s does not take this connector's key statement, so no sign-in comes here by it: "
                          "%s%s%s",
                          fact_text(part, "relay"), cause, detail[0] ? "; it says: " : "", detail);
}

/* While another is up; what none of them says, or takes, is said of the link as a whole. */
static void judge_nodes(struct health *h, const json_t *link)
{
        const json_t *nodes = json_object_get(link, "nodes"), *node;
        const bool by_all = fact_text(link, "statement_refused")[0] != '\0';
        size_t i;

        json_array_foreach (nodes, i, node)
                if (fact_text(node, "statement_refused")[0] && !by_all)
                        add_refused(h, "node_refuses_statement", node, 0);
                else if (strcmp(fact_text(node, "state"), "up") != 0)
                        (void)finding_add(h->list,
                                          (struct finding){.code = "relay_node_down",
                                                           .about = fact_text(node, "relay"),
                                                           .since = fact_number(node, "since", 0)},
                                          "no link to the relay's node %s: %s", fact_text(node, "relay"),
                                          fact_text(node, "detail"));
}

static void judge_link(struct health *h)
{
        const json_t *link = spoken(h, "link");
        const char *relay = fact_text(link, "relay");
        const struct http_flaw *flaw = http_flaw_find(fact_text(link, "detail"));
        const long long since = fact_number(link, "since", 0);

        if (!link)
                return;
        if (strcmp(fact_text(link, "state"), "up") != 0)
                (void)finding_add(h->list,
                                  (struct finding){.code = "link_down",
                                                   .about = relay,
                                                   .detail = flaw ? flaw->id : fact_text(link, "why"),
                                                   .since = since,
                                                   .remedy = flaw ? flaw->remedy : NULL},
                                  "no link to the relay %s, so no sign-in comes here: %s", relay,
                                  fact_text(link, "detail"));
        else if (json_is_true(json_object_get(link, "quarantined")))
                (void)finding_add(h->list,
                                  (struct finding){.code = "quarantined",
                                                   .about = relay,
                                                   .since = fact_since(h->parts, "link", "quarantined")},
                                  "the relay saw this connector's identity on two machines at once, a copy of its "
                                  "state folder or of the whole host, and gives neither of them any sign-in");
        else if (json_is_false(json_object_get(link, "heard")) && h->now - since > UNHEARD_S)
                (void)finding_add(h->list, (struct finding){.code = "link_unheard", .about = relay, .since = since},
                                  "the link to the relay %s stands, but the relay has answered no report of it, so no "
                                  "sign-in comes here",
                                  relay);
        else
                judge_nodes(h, link);
        judge_clock(h, link, fact_part(h->parts, "validator"));
        judge_certificate(h, link);
}

/* ---- the tenant ---- */

/* Whether the roster is of use at all; one that is not valid now approves nobody. */
static bool judge_roster(struct health *h, const json_t *v)
{
        const long long begins = fact_number(v, "roster_begins", 0), expires = fact_number(v, "roster_expires", 0),
                        seq = fact_number(v, "roster_seq", 0);
        char age[32];

        if (seq > 0 && begins > h->now + HEALTH_CLOCK_S) {
                fact_age(begins - h->now, age, sizeof(age));
                (void)finding_add(h->list, (struct finding){.code = "roster_not_yet"},
                                  "the roster (number %lld) begins %s from now, so no sign-in is accepted: this host's "
                                  "clock is behind, or that of the tenant admin's machine was ahead",
                                  seq, age);
                return false;
        }
        if (seq > 0 && expires <= h->now) {
                (void)finding_add(h->list, (struct finding){.code = "roster_expired", .since = expires},
                                  "the roster (number %lld) has expired, so no sign-in is accepted", seq);
                return false;
        }
        if (expires && expires - h->now <= ROSTER_WARN_S) {
                fact_age(expires - h->now, age, sizeof(age));
                (void)finding_add(h->list, (struct finding){.code = "roster_ends"}, "the roster expires in %s", age);
        }
        return true;
}

static void judge_validator(struct health *h)
{
        const json_t *v = spoken(h, "validator");
        const long long since = fact_since(h->parts, "validator", "in_roster");
        const json_t *link = fact_part(h->parts, "link");
        const long long refused = fact_since(h->parts, "link", "statement_refused");
        char approve[400];

        if (!v || !judge_roster(h, v))
                return;
        (void)snprintf(approve, sizeof(approve),
                       "On the tenant admin's machine run: postern tenant approve %.200s %.100s", fact_text(v, "name"),
                       fact_text(v, "identity"));
        if (json_is_true(json_object_get(v, "removed")))
                (void)finding_add(h->list, (struct finding){.code = "removed", .since = since},
                                  "this connector was removed from the roster, and its key is not taken again");
        else if (!json_is_true(json_object_get(v, "in_roster")))
                (void)finding_add(h->list, (struct finding){.code = "not_approved", .since = since, .remedy = approve},
                                  "this connector is not approved");
        else if (json_object_get(v, "services") && fact_number(v, "services", 0) == 0)
                (void)finding_add(h->list, (struct finding){.code = "no_service"},
                                  "the roster names no sign-in service, so nobody can sign in");
        else if (fact_text(link, "statement_refused")[0])
                add_refused(h, "statement_refused", link, refused);
}

/* ---- sign-ins ---- */

/* A finding that tells the cause of this incident already. */
static json_t *finding_of(const struct health *h, const char *reason)
{
        json_t *finding;
        size_t i;

        json_array_foreach (h->list, i, finding)
                if (fact_text(finding, "reason")[0] &&
                    (strcmp(fact_text(finding, "reason"), reason) == 0 ||
                     (strcmp(reason, "no_dc") == 0 && strncmp(fact_text(finding, "code"), "no_dc_", 6) == 0)))
                        return finding;
        return NULL;
}

/* One cause, many sign-ins: what the parts don't see of themselves, a keytab of another key, say. */
static void judge_incident(struct health *h, const json_t *incident)
{
        const char *id = fact_text(incident, "reason"), *sign_in = fact_text(incident, "id");
        const bool declined = strcmp(fact_text(incident, "verdict"), "declined") == 0;
        const enum reason reason = declined ? REASON_MAX : reason_from_id(id);
        const long long n = fact_number(incident, "n", 0), users = fact_number(incident, "users", 0);
        const char *means = declined               ? fact_decline(id)
                            : reason == REASON_MAX ? NULL
                                                   : reason_info(reason)->helpdesk_text;
        json_t *finding = finding_of(h, id);
        char age[32], remedy[700];

        fact_age(h->now - fact_number(incident, "last", h->now), age, sizeof(age));
        (void)snprintf(remedy, sizeof(remedy), "%.500s%sSee postern explain %.64s",
                       reason == REASON_MAX ? "" : reason_info(reason)->remedy, reason == REASON_MAX ? "" : " ",
                       sign_in);
        if (!finding)
                finding = finding_add(h->list,
                                      (struct finding){.code = declined ? "sign_ins_declined" : "sign_ins_unchecked",
                                                       .about = id,
                                                       .since = fact_number(incident, "first", 0),
                                                       .remedy = remedy},
                                      "%lld sign-in%s of %lld user%s could not be %s, the latest %s ago: %s%s%.300s", n,
                                      n == 1 ? "" : "s", users, users == 1 ? "" : "s", declined ? "taken" : "checked",
                                      age, id, means ? ": " : "", means ? means : "");
        (void)json_object_set_new(finding, "sign_ins", json_integer(n));
        (void)json_object_set_new(finding, "users", json_integer(users));
        (void)json_object_set_new(finding, "id", json_string(sign_in));
        (void)json_object_set(finding, "dcs", json_object_get(incident, "dcs"));
        (void)json_object_set(finding, "changes", json_object_get(incident, "changes"));
}

static void judge_ledger(struct health *h, const json_t *ledger)
{
        if (strcmp(fact_text(ledger, "state"), "ok") != 0)
                (void)finding_add(h->list, (struct finding){.code = "ledger_memory_only"},
                                  "sign-ins are checked, but records of them are kept in memory only: %s",
                                  fact_text(ledger, "why"));
        if (fact_number(ledger, "dropped", 0) > 0)
                (void)finding_add(h->list, (struct finding){.code = "records_lost"},
                                  "%lld records of sign-ins were lost", fact_number(ledger, "dropped", 0));
}

/* What goes out to a SIEM. */
static void judge_outlets(struct health *h, const json_t *outlets)
{
        const char *key;
        json_t *outlet;

        json_object_foreach ((json_t *)(uintptr_t)outlets, key, outlet) {
                const char *why = fact_text(outlet, "why");
                const long long since = fact_number(outlet, "since", 0), waiting = fact_number(outlet, "waiting", 0),
                                lost = fact_number(outlet, "lost", 0), last = fact_number(outlet, "lost_last", 0);

                if (why[0] && h->now - since > OUTLET_S)
                        (void)finding_add(h->list,
                                          (struct finding){.code = "records_not_sent", .about = key, .since = since},
                                          "%s: %s; %lld records wait", key, why, waiting);
                if (lost > 0 && h->now - last < DAY_S)
                        (void)finding_add(h->list, (struct finding){.code = "sent_records_lost", .about = key},
                                          "%s: %lld records were lost on the way out", key, lost);
        }
}

/* Of a posternd that does not run only its last run and its records are known. */
static void judge_last_run(struct health *h, const json_t *run)
{
        const long long started = fact_number(run, "started", 0), ended = fact_number(run, "ended", 0);
        const char *why = fact_text(run, "why");
        char when[32] = "";

        fact_time(ended, when, sizeof(when));
        if (ended)
                (void)finding_add(h->list, (struct finding){.code = "not_running", .since = ended},
                                  "posternd does not run; it ended at %s: %s", when,
                                  why[0] ? why : "for no known cause");
        else if (started)
                (void)finding_add(h->list, (struct finding){.code = "not_running"},
                                  "posternd does not run, and its last run ended without a word: it was killed, or the "
                                  "host went down");
        else
                (void)finding_add(h->list, (struct finding){.code = "not_running"},
                                  "posternd does not run, and nothing is known of a run before");
}

/* The worst first, else as found. Takes over list. */
static json_t *in_order(json_t *list)
{
        json_t *sorted = json_array(), *finding;
        size_t i;

        for (enum finding_level level = 0; level < FINDING_LEVELS; level++)
                json_array_foreach (list, i, finding)
                        if (strcmp(fact_text(finding, "level"), finding_level_text(level)) == 0)
                                (void)json_array_append(sorted, finding);
        json_decref(list);
        return sorted;
}

json_t *health_findings(const json_t *status)
{
        static const char *const processes[] = {"supervisor", "link", "validator", "ledger"};
        struct health h = {
                .parts = json_object_get(status, "parts"), .list = json_array(), .now = fact_number(status, "now", 0)};
        json_t *incident;
        size_t i;

        if (json_is_true(json_object_get(status, "offline"))) {
                judge_last_run(&h, json_object_get(status, "last_run"));
                return h.list;
        }
        for (i = 0; i < sizeof(processes) / sizeof(processes[0]); i++)
                judge_process(&h, processes[i]);
        judge_changes(&h, fact_part(h.parts, "process:supervisor"));
        judge_link(&h);
        judge_validator(&h);
        if (fact_part(h.parts, "validator"))
                health_domains(&h, json_is_true(json_object_get(fact_part(h.parts, "validator"), "in_roster")));
        json_array_foreach (json_object_get(status, "incidents"), i, incident)
                judge_incident(&h, incident);
        judge_ledger(&h, json_object_get(status, "ledger"));
        judge_outlets(&h, json_object_get(status, "outlets"));
        return in_order(h.list);
}
