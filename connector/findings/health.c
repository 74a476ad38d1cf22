/*
 * The rules by which a connector is well or not.
 *
 * Each rule looks at one part of the ledger's answer and adds at most a finding per thing that is wrong; what stops all
 * sign-ins comes first. It asks nobody and prints nothing.
 */
#include "connector/findings/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/process/confine.h"
#include "connector/findings/facts.h"
#include "validate/types/outcome.h"

#define STALE_S 15 /* link and validator speak every 5 s */
#define DAY_S 86400
#define ROSTER_WARN_S (7 * DAY_S) /* of at most 30 days */
#define CLOCK_WARN_S 60
#define CERTIFICATE_WARN_S (7 * DAY_S) /* of 30 days, renewed at two thirds */

struct health {
        json_t *parts, *list;
        long long now;
};

struct finding {
        const char *code, *about, *remedy; /* about, remedy: or NULL */
        long long since;                   /* 0: not known */
};

/* The cause as printf makes it. */
static void __attribute__((format(printf, 3, 4))) found(struct health *h, struct finding f, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *cause = json_vsprintf(fmt, ap), *object = json_object();
        va_end(ap);
        (void)json_object_set_new(object, "code", json_string(f.code));
        if (f.about)
                (void)json_object_set_new(object, "about", json_string(f.about));
        if (f.since > 0)
                (void)json_object_set_new(object, "since", json_integer(f.since));
        (void)json_object_set_new(object, "cause", cause ? cause : json_string("something that is not valid text"));
        if (f.remedy && f.remedy[0])
                (void)json_object_set_new(object, "remedy", json_string(f.remedy));
        (void)json_array_append_new(h->list, object);
}

/* The part's value, or NULL where it never spoke. Its silence is told. */
static const json_t *spoken(struct health *h, const char *name)
{
        const json_t *part = json_object_get(h->parts, name);
        long long at = fact_number(part, "at", 0), age = part ? h->now - at : 0;

        if (!part)
                found(h,
                      (struct finding){.code = "process_silent",
                                       .about = name,
                                       .remedy = "Wait a few seconds, then: journalctl -u postern"},
                      "the %s process has not reported yet", name);
        else if (age > STALE_S)
                found(h,
                      (struct finding){.code = "process_silent",
                                       .about = name,
                                       .since = at,
                                       .remedy = "See journalctl -u postern"},
                      "the %s process has been silent for %lld s, and what is shown of it is as old", name, age);
        return json_object_get(part, "value");
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
                found(h,
                      (struct finding){.code = "reload_refused",
                                       .since = at,
                                       .remedy = "Mend that, then: systemctl reload postern"},
                      "the reload %s ago was refused, so the configuration before it is still in use: %s", age, why);
        json_object_foreach (json_object_get(supervisor, "keytabs"), domain, keytab)
                found(h,
                      (struct finding){.code = "keytab_refused",
                                       .about = domain,
                                       .remedy = "Mend the file; it is taken at once"},
                      "the keytab of %s on the disk cannot be used, so the keys read before it are still in use, until "
                      "the "
                      "next start: %s",
                      domain, json_string_value(keytab));
}

static void judge_confinement(struct health *h, const char *name, const json_t *value)
{
        if (strcmp(fact_text(value, "landlock"), "forbidden") == 0)
                found(h,
                      (struct finding){.code = "landlock_forbidden",
                                       .about = name,
                                       .remedy = "Add to [Service] of the unit: SystemCallFilter=" CONFINE_UNIT_CALLS},
                      "the process %s runs without Landlock, because a filter around it, of its unit or its container, "
                      "forbids it",
                      name);
}

static void judge_processes(struct health *h)
{
        static const char *const names[] = {"supervisor", "link", "validator", "ledger"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char key[32];
                (void)snprintf(key, sizeof(key), "process:%s", names[i]);
                const json_t *value = json_object_get(json_object_get(h->parts, key), "value");
                const char *state = value ? fact_text(value, "state") : "unknown", *last = fact_text(value, "last_end");
                if (strcmp(state, "running") != 0)
                        found(h,
                              (struct finding){.code = "process_down",
                                               .about = names[i],
                                               .since = fact_number(value, "since", 0),
                                               .remedy = "It is started again by itself"},
                              "the process %s is %s%s%s%s%s", names[i], state, last[0] ? ", it ended by " : "", last,
                              fact_text(value, "why")[0] ? ": " : "", fact_text(value, "why"));
                judge_confinement(h, names[i], value);
        }
}

/* Whether the roster is of use at all; one that is not valid now approves nobody. */
static bool judge_roster(struct health *h, const json_t *v)
{
        static const char *const sign = "On the tenant admin's machine run: postern tenant roster sign";
        const long long begins = fact_number(v, "roster_begins", 0), expires = fact_number(v, "roster_expires", 0),
                        seq = fact_number(v, "roster_seq", 0);
        char age[32];

        if (seq > 0 && begins > h->now + CLOCK_WARN_S) {
                fact_age(begins - h->now, age, sizeof(age));
                found(h,
                      (struct finding){.code = "roster_not_yet",
                                       .remedy = "Set the clock (chronyd, systemd-timesyncd)"},
                      "the roster (number %lld) begins %s from now, so no sign-in is accepted: this host's clock is "
                      "behind, "
                      "or that of the tenant admin's machine was ahead",
                      seq, age);
                return false;
        }
        if (seq > 0 && expires <= h->now) {
                found(h, (struct finding){.code = "roster_expired", .since = expires, .remedy = sign},
                      "the roster (number %lld) has expired, so no sign-in is accepted", seq);
                return false;
        }
        if (expires && expires - h->now <= ROSTER_WARN_S) {
                fact_age(expires - h->now, age, sizeof(age));
                found(h, (struct finding){.code = "roster_ends", .remedy = sign}, "the roster expires in %s", age);
        }
        return true;
}

static void judge_validator(struct health *h)
{
        const json_t *v = spoken(h, "validator");
        char approve[400];

        if (!v || !judge_roster(h, v))
                return;
        (void)snprintf(approve, sizeof(approve),
                       "On the tenant admin's machine run: postern tenant approve %.200s %.100s", fact_text(v, "name"),
                       fact_text(v, "identity"));
        if (json_is_true(json_object_get(v, "removed")))
                found(h,
                      (struct finding){
                              .code = "removed",
                              .remedy = "Stop posternd, remove the files in its state_dir, run postern enroll with "
                                        "a new token, and have the new fingerprint approved"},
                      "this connector was removed from the roster, and its key is not taken again");
        else if (!json_is_true(json_object_get(v, "in_roster")))
                found(h, (struct finding){.code = "not_approved", .remedy = approve}, "this connector is not approved");
        else if (json_object_get(v, "services") && fact_number(v, "services", 0) == 0)
                found(h,
                      (struct finding){.code = "no_service",
                                       .remedy = "On the tenant admin's machine run: postern tenant "
                                                 "approve-service FILE FINGERPRINT"},
                      "the roster names no sign-in service, so nobody can sign in");
}

/* What the validator holds of the clock, by all that it knows; until it knows enough the relay's word stands. */
static void judge_clock(struct health *h, const json_t *link, const json_t *validator)
{
        static const char *const set = "Set it (chronyd, systemd-timesyncd)";
        const json_t *clock = json_object_get(validator, "clock");
        const char *state = fact_text(clock, "state"), *detail = fact_text(clock, "detail");
        const long long ahead = fact_number(link, "clock_ahead", 0);

        if (strcmp(state, "wrong") == 0)
                found(h, (struct finding){.code = "clock_wrong", .remedy = set},
                      "this host's clock is wrong, so no sign-in comes here: %s", detail);
        else if (strcmp(state, "relay_off") == 0 || strcmp(state, "service_off") == 0)
                found(h,
                      (struct finding){.code = strcmp(state, "relay_off") == 0 ? "clock_of_relay" : "clock_of_service"},
                      "%s", detail);
        else if (ahead > CLOCK_WARN_S || ahead < -CLOCK_WARN_S)
                found(h, (struct finding){.code = "clock_off", .remedy = set},
                      "this host's clock is %lld s %s the relay's: from 105 s on requests are declined, from 120 s on "
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
                found(h,
                      (struct finding){
                              .code = "certificate_expired",
                              .since = expires,
                              .remedy = "Get a token (postern-relay token TENANT NAME), run postern enroll --again "
                                        "--token-file FILE, then restart posternd; no new approval is needed"},
                      "the transport certificate has expired");
                return;
        }
        fact_age(expires - h->now, age, sizeof(age));
        found(h, (struct finding){.code = "certificate_ends", .remedy = "It is tried again by itself"},
              "the transport certificate expires in %s and could not be renewed%s%s", age, why[0] ? ": " : "", why);
}

/* While another is up; what none of them says is said of the link as a whole. */
static void judge_nodes(struct health *h, const json_t *nodes)
{
        const json_t *node;
        size_t i;

        json_array_foreach (nodes, i, node)
                if (strcmp(fact_text(node, "state"), "up") != 0)
                        found(h,
                              (struct finding){.code = "relay_node_down",
                                               .about = fact_text(node, "relay"),
                                               .since = fact_number(node, "since", 0)},
                              "no link to the relay's node %s: %s", fact_text(node, "relay"),
                              fact_text(node, "detail"));
}

static void judge_link(struct health *h)
{
        const json_t *link = spoken(h, "link");

        if (!link)
                return;
        if (strcmp(fact_text(link, "state"), "up") != 0)
                found(h,
                      (struct finding){.code = "link_down",
                                       .about = fact_text(link, "relay"),
                                       .since = fact_number(link, "since", 0)},
                      "no link to the relay %s, so no sign-in comes here: %s", fact_text(link, "relay"),
                      fact_text(link, "detail"));
        else
                judge_nodes(h, json_object_get(link, "nodes"));
        judge_clock(h, link, json_object_get(json_object_get(h->parts, "validator"), "value"));
        judge_certificate(h, link);
}

static void judge_dc(struct health *h, const json_t *dc)
{
        const char *host = fact_text(dc, "host"), *id = fact_text(dc, "reason"), *detail = fact_text(dc, "detail");
        enum reason reason = reason_from_id(id);
        const char *state = fact_text(dc, "state");
        const char *what = strcmp(state, "dead") == 0   ? "cannot be used"
                           : strcmp(state, "sick") == 0 ? "answers, but fails the sign-ins of several accounts"
                           : id[0]                      ? "failed lately"
                                                        : NULL;

        if (!what)
                return;
        found(h,
              (struct finding){.code = strcmp(state, "dead") == 0   ? "dc_dead"
                                       : strcmp(state, "sick") == 0 ? "dc_sick"
                                                                    : "dc_failed",
                               .about = host,
                               .remedy = reason == REASON_MAX ? NULL : reason_info(reason)->remedy},
              "the domain controller %s %s: %s%s%s", host, what, detail[0] ? detail : "it does not answer",
              id[0] ? " - " : "", id);
}

/* How many DCs of the domain are known, and how many of them are dead. */
static size_t count_dcs(const struct health *h, const char *domain, size_t *ret_dead)
{
        const char *name;
        json_t *part;
        size_t n = 0;

        *ret_dead = 0;
        json_object_foreach (h->parts, name, part) {
                const json_t *dc = json_object_get(part, "value");
                if (strncmp(name, "dc:", 3) != 0 || strcmp(fact_text(dc, "domain"), domain) != 0)
                        continue;
                n++;
                *ret_dead += strcmp(fact_text(dc, "state"), "dead") == 0;
        }
        return n;
}

/* Whether sign-ins of the domain are taken. What is wrong with each DC is told besides. */
static void judge_domain(struct health *h, const json_t *d, bool in_roster)
{
        const char *domain = fact_text(d, "domain"), *detail = fact_text(d, "detail");
        size_t dead, n = count_dcs(h, domain, &dead);

        if (in_roster && json_is_false(json_object_get(d, "may_speak")))
                found(h,
                      (struct finding){
                              .code = "domain_not_ours",
                              .about = domain,
                              .remedy = "On the tenant admin's machine run: postern tenant connector-domains, or "
                                        "leave the domain out here"},
                      "the roster does not let this connector speak for %s, so no sign-in of its users comes here",
                      domain);
        if (!json_is_false(json_object_get(d, "ready")))
                return;
        if (n == 0)
                found(h,
                      (struct finding){.code = "no_dc_known",
                                       .about = domain,
                                       .remedy = detail[0] ? "Check the connector's DNS servers and the domain's SRV "
                                                             "records, or name the domain controllers by dcs"
                                                           : "Set dcs, or discover"},
                      "no domain controller of %s is known, so no sign-in of its users can be decided here%s%s", domain,
                      detail[0] ? ": " : "", detail);
        else if (dead == n)
                found(h, (struct finding){.code = "no_dc_usable", .about = domain},
                      "no domain controller of %s can be used: no sign-in of its users can be decided here", domain);
        else
                found(h, (struct finding){.code = "no_dc_yet", .about = domain},
                      "no domain controller of %s has answered yet: no sign-in of its users can be decided here",
                      domain);
}

static void judge_dcs(struct health *h)
{
        const json_t *v = json_object_get(json_object_get(h->parts, "validator"), "value");
        const bool in_roster = json_is_true(json_object_get(v, "in_roster"));
        const char *name;
        json_t *part;

        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "domain:", 7) == 0)
                        judge_domain(h, json_object_get(part, "value"), in_roster);
        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "dc:", 3) == 0)
                        judge_dc(h, json_object_get(part, "value"));
}

/* Where the SID in force is corrected, by who set it. */
static void sid_remedy(char out[600], const char *source, const char *domain, const char *other)
{
        if (strcmp(source, "roster") == 0)
                (void)snprintf(
                        out, 600,
                        "Where that is right, run on the tenant admin's machine: postern tenant domain set %.255s "
                        "--sid %.100s",
                        domain, other);
        else if (strcmp(source, "config") == 0)
                (void)snprintf(out, 600, "Where that is right, correct domain_sid of %.255s", domain);
        else
                (void)snprintf(out, 600, "Where the domain was built anew, run: postern domain repin %.255s", domain);
}

static void judge_sid(struct health *h, const json_t *sid)
{
        const char *domain = fact_text(sid, "domain"), *in_force = fact_text(sid, "sid"),
                   *source = fact_text(sid, "source"), *learnt = fact_text(sid, "learnt"),
                   *seen = fact_text(sid, "seen");
        char remedy[600];

        sid_remedy(remedy, source, domain, seen[0] ? seen : learnt);
        if (seen[0])
                found(h, (struct finding){.code = "sid_differs", .about = domain, .remedy = remedy},
                      "a domain controller of %s names the SID %s, not the domain's %s (%s): its accounts are refused",
                      domain, seen, in_force, source);
        else if (learnt[0] && strcmp(learnt, in_force) != 0)
                found(h, (struct finding){.code = "sid_differs", .about = domain, .remedy = remedy},
                      "the SID of %s is %s (%s), but a domain controller said %s before: where it still does, its "
                      "accounts are refused",
                      domain, in_force, source, learnt);
        if (fact_text(sid, "rival")[0])
                found(h,
                      (struct finding){
                              .code = "sid_claimed_twice", .about = domain, .remedy = "Set domain_sid of both"},
                      "%s and %s claim one SID, so nobody of %s is accepted", domain, fact_text(sid, "rival"), domain);
}

static void judge_sids(struct health *h)
{
        const char *name;
        json_t *part;

        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "sid:", 4) == 0)
                        judge_sid(h, json_object_get(part, "value"));
}

/* What the parts don't see of themselves: a keytab of another key, say, or a service that isn't approved. */
static void judge_lately(struct health *h, const json_t *lately)
{
        const enum reason reason = reason_from_id(fact_text(lately, "reason"));
        const long long n = fact_number(lately, "n", 0);
        char age[32], remedy[700];

        if (n == 0)
                return;
        fact_age(h->now - fact_number(lately, "wall", h->now), age, sizeof(age));
        (void)snprintf(remedy, sizeof(remedy), "%.500s See postern explain %.64s",
                       reason == REASON_MAX ? "" : reason_info(reason)->remedy, fact_text(lately, "id"));
        found(h, (struct finding){.code = "sign_ins_unchecked", .about = fact_text(lately, "reason"), .remedy = remedy},
              "%lld sign-in%s of the last %lld min could not be checked, the latest %s ago: %s", n, n == 1 ? "" : "s",
              fact_number(lately, "within", 0) / 60, age, fact_text(lately, "reason"));
}

static void judge_ledger(struct health *h, const json_t *ledger)
{
        if (strcmp(fact_text(ledger, "state"), "ok") != 0)
                found(h, (struct finding){.code = "ledger_memory_only"},
                      "sign-ins are checked, but records of them are kept in memory only: %s",
                      fact_text(ledger, "why"));
        if (fact_number(ledger, "dropped", 0) > 0)
                found(h, (struct finding){.code = "records_lost"}, "%lld records of sign-ins were lost",
                      fact_number(ledger, "dropped", 0));
}

json_t *health_findings(const json_t *status)
{
        struct health h = {
                .parts = json_object_get(status, "parts"), .list = json_array(), .now = fact_number(status, "now", 0)};

        judge_processes(&h);
        judge_changes(&h, json_object_get(json_object_get(h.parts, "process:supervisor"), "value"));
        judge_link(&h);
        judge_validator(&h);
        judge_dcs(&h);
        judge_sids(&h);
        judge_lately(&h, json_object_get(status, "unavailable_lately"));
        judge_ledger(&h, json_object_get(status, "ledger"));
        return h.list;
}
