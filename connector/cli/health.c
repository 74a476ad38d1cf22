/*
 * The rules by which a connector is well or not.
 *
 * Each rule looks at one part of the ledger's answer and adds at most a sentence per thing that is wrong;
 * what stops all sign-ins comes first. It asks nobody and prints nothing.
 */
#include "connector/cli/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/process/confine.h"
#include "connector/cli/view.h"
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

static void __attribute__((format(printf, 2, 3))) wrong(struct health *h, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        (void)json_array_append_new(h->list, text ? text : json_string("something that is not valid text"));
}

/* The part's value, or NULL where it never spoke. Its silence is said. */
static const json_t *spoken(struct health *h, const char *name)
{
        const json_t *part = json_object_get(h->parts, name);
        long long age = part ? h->now - view_number(part, "at", 0) : 0;

        if (!part)
                wrong(h, "the %s process has not reported yet", name);
        else if (age > STALE_S)
                wrong(h, "the %s process has been silent for %lld s: what is shown of it is as old", name, age);
        return json_object_get(part, "value");
}

/* What was changed on the disk and is not in use. */
static void judge_changes(struct health *h, const json_t *supervisor)
{
        const char *why = view_text(supervisor, "reload_refused"), *domain;
        char age[32];
        json_t *keytab;

        if (why[0]) {
                view_age(h->now - view_number(supervisor, "reload_at", h->now), age, sizeof(age));
                wrong(h,
                      "the reload %s ago was refused, so the configuration before it is still in use: %s. Mend that, "
                      "then: "
                      "systemctl reload postern",
                      age, why);
        }
        json_object_foreach (json_object_get(supervisor, "keytabs"), domain, keytab)
                wrong(h,
                      "the keytab of %s on the disk cannot be used, so the keys read before it are still in use, until "
                      "the next "
                      "start: %s",
                      domain, json_string_value(keytab));
}

static void judge_confinement(struct health *h, const char *name, const json_t *value)
{
        if (strcmp(view_text(value, "landlock"), "forbidden") == 0)
                wrong(h,
                      "the process %s runs without Landlock, because a filter around it, of its unit or its container, "
                      "forbids it; add to [Service] of the unit: SystemCallFilter=" CONFINE_UNIT_CALLS,
                      name);
}

static void judge_processes(struct health *h)
{
        static const char *const names[] = {"supervisor", "link", "validator", "ledger"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char key[32];
                (void)snprintf(key, sizeof(key), "process:%s", names[i]);
                const json_t *value = json_object_get(json_object_get(h->parts, key), "value");
                const char *state = value ? view_text(value, "state") : "unknown", *last = view_text(value, "last_end");
                if (strcmp(state, "running") != 0)
                        wrong(h, "the process %s is %s%s%s%s%s; it is started again by itself", names[i], state,
                              last[0] ? ", it ended by " : "", last, view_text(value, "why")[0] ? ": " : "",
                              view_text(value, "why"));
                judge_confinement(h, names[i], value);
        }
}

/* Whether the roster is of use at all; one that is not valid now approves nobody. */
static bool judge_roster(struct health *h, const json_t *v)
{
        const long long begins = view_number(v, "roster_begins", 0), expires = view_number(v, "roster_expires", 0),
                        seq = view_number(v, "roster_seq", 0);
        char age[32];

        if (seq > 0 && begins > h->now + CLOCK_WARN_S) {
                view_age(begins - h->now, age, sizeof(age));
                wrong(h,
                      "the roster (number %lld) begins %s from now, so no sign-in is accepted: this host's clock is "
                      "behind, or that of the tenant admin's machine was ahead; set it (chronyd, systemd-timesyncd)",
                      seq, age);
                return false;
        }
        if (seq > 0 && expires <= h->now) {
                wrong(h,
                      "the roster (number %lld) has expired, so no sign-in is accepted: on the tenant admin's machine "
                      "run: postern tenant roster sign",
                      seq);
                return false;
        }
        if (expires && expires - h->now <= ROSTER_WARN_S) {
                view_age(expires - h->now, age, sizeof(age));
                wrong(h, "the roster expires in %s: on the tenant admin's machine run: postern tenant roster sign",
                      age);
        }
        return true;
}

static void judge_validator(struct health *h)
{
        const json_t *v = spoken(h, "validator");

        if (!v || !judge_roster(h, v))
                return;
        if (json_is_true(json_object_get(v, "removed")))
                wrong(h, "this connector was removed from the roster, and its key is not taken again: stop posternd, "
                         "remove the files in its state_dir, run postern enroll with a new token, and have the new "
                         "fingerprint approved");
        else if (!json_is_true(json_object_get(v, "in_roster")))
                wrong(h, "not approved: on the tenant admin's machine run: postern tenant approve %s %s",
                      view_text(v, "name"), view_text(v, "identity"));
        else if (json_object_get(v, "services") && view_number(v, "services", 0) == 0)
                wrong(h,
                      "the roster names no sign-in service, so nobody can sign in: on the tenant admin's machine run: "
                      "postern tenant approve-service FILE FINGERPRINT");
}

/* What the validator holds of the clock, by all that it knows; until it knows enough the relay's word stands. */
static void judge_clock(struct health *h, const json_t *link, const json_t *validator)
{
        const json_t *clock = json_object_get(validator, "clock");
        const char *state = view_text(clock, "state"), *detail = view_text(clock, "detail");
        const long long ahead = view_number(link, "clock_ahead", 0);

        if (strcmp(state, "wrong") == 0)
                wrong(h, "this host's clock is wrong, so no sign-in comes here: %s (chronyd, systemd-timesyncd)",
                      detail);
        else if (strcmp(state, "relay_off") == 0 || strcmp(state, "service_off") == 0)
                wrong(h, "%s", detail);
        else if (ahead > CLOCK_WARN_S || ahead < -CLOCK_WARN_S)
                wrong(h,
                      "this host's clock is %lld s %s the relay's: set it (chronyd, systemd-timesyncd); from 105 s on "
                      "requests are declined, from 120 s on statements are refused",
                      ahead < 0 ? -ahead : ahead, ahead < 0 ? "ahead of" : "behind");
}

/* Renewal begins with a third of the life left; what is still not renewed with a quarter left wants a person. */
static void judge_certificate(struct health *h, const json_t *link)
{
        const long long expires = view_number(link, "certificate_expires", 0),
                        next = view_number(link, "certificate_renewal", 0);
        const char *why = view_text(link, "certificate_why");
        char age[32];

        if (expires == 0 || expires - h->now > CERTIFICATE_WARN_S || (next && !why[0] && next >= h->now))
                return;
        if (expires <= h->now) {
                wrong(h, "the transport certificate has expired: get a token (postern-relay token TENANT NAME), run "
                         "postern enroll --again --token-file FILE, then restart posternd; no new approval is needed");
                return;
        }
        view_age(expires - h->now, age, sizeof(age));
        wrong(h, "the transport certificate expires in %s and could not be renewed%s%s; it is tried again by itself",
              age, why[0] ? ": " : "", why);
}

static void judge_link(struct health *h)
{
        const json_t *link = spoken(h, "link");

        if (!link)
                return;
        if (strcmp(view_text(link, "state"), "up") != 0)
                wrong(h, "no link to the relay %s, so no sign-in comes here: %s", view_text(link, "relay"),
                      view_text(link, "detail"));
        judge_clock(h, link, json_object_get(json_object_get(h->parts, "validator"), "value"));
        judge_certificate(h, link);
}

static void judge_dc(struct health *h, const json_t *dc)
{
        const char *host = view_text(dc, "host"), *id = view_text(dc, "reason"), *detail = view_text(dc, "detail");
        enum reason reason = reason_from_id(id);
        const char *state = view_text(dc, "state");
        const char *what = strcmp(state, "dead") == 0   ? "cannot be used"
                           : strcmp(state, "sick") == 0 ? "answers, but fails the sign-ins of several accounts"
                           : id[0]                      ? "failed lately"
                                                        : NULL;

        if (!what)
                return;
        wrong(h, "the domain controller %s %s: %s%s%s. %s", host, what, detail[0] ? detail : "it does not answer",
              id[0] ? " - " : "", id, reason == REASON_MAX ? "" : reason_info(reason)->remedy);
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
                if (strncmp(name, "dc:", 3) != 0 || strcmp(view_text(dc, "domain"), domain) != 0)
                        continue;
                n++;
                *ret_dead += strcmp(view_text(dc, "state"), "dead") == 0;
        }
        return n;
}

/* Whether sign-ins of the domain are taken. What is wrong with each DC is told besides. */
static void judge_domain(struct health *h, const json_t *d, bool in_roster)
{
        const char *domain = view_text(d, "domain"), *detail = view_text(d, "detail");
        size_t dead, n = count_dcs(h, domain, &dead);

        if (in_roster && json_is_false(json_object_get(d, "may_speak")))
                wrong(h,
                      "the roster does not let this connector speak for %s, so no sign-in of its users comes here: on "
                      "the tenant admin's machine run: postern tenant connector-domains, or leave the domain out here",
                      domain);
        if (!json_is_false(json_object_get(d, "ready")))
                return;
        if (n == 0)
                wrong(h, "no domain controller of %s is known, so no sign-in of its users can be decided here%s%s. %s",
                      domain, detail[0] ? ": " : "", detail,
                      detail[0] ? "Check the connector's DNS servers and the domain's SRV records, or name the domain "
                                  "controllers by dcs"
                                : "Set dcs, or discover");
        else if (dead == n)
                wrong(h, "no domain controller of %s can be used: no sign-in of its users can be decided here", domain);
        else
                wrong(h, "no domain controller of %s has answered yet: no sign-in of its users can be decided here",
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
        const char *domain = view_text(sid, "domain"), *in_force = view_text(sid, "sid"),
                   *source = view_text(sid, "source"), *learnt = view_text(sid, "learnt"),
                   *seen = view_text(sid, "seen");
        char remedy[600];

        sid_remedy(remedy, source, domain, seen[0] ? seen : learnt);
        if (seen[0])
                wrong(h,
                      "a domain controller of %s names the SID %s, not the domain's %s (%s): its accounts are "
                      "refused. %s",
                      domain, seen, in_force, source, remedy);
        else if (learnt[0] && strcmp(learnt, in_force) != 0)
                wrong(h,
                      "the SID of %s is %s (%s), but a domain controller said %s before: where it still does, its "
                      "accounts are refused. %s",
                      domain, in_force, source, learnt, remedy);
        if (view_text(sid, "rival")[0])
                wrong(h, "%s and %s claim one SID, so nobody of %s is accepted: set domain_sid of both", domain,
                      view_text(sid, "rival"), domain);
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
        enum reason reason = reason_from_id(view_text(lately, "reason"));
        char age[32];

        if (view_number(lately, "n", 0) == 0)
                return;
        view_age(h->now - view_number(lately, "wall", h->now), age, sizeof(age));
        wrong(h,
              "%lld sign-in%s of the last %lld min could not be checked, the latest %s ago: %s. %s See "
              "postern explain %s",
              view_number(lately, "n", 0), view_number(lately, "n", 0) == 1 ? "" : "s",
              view_number(lately, "within", 0) / 60, age, view_text(lately, "reason"),
              reason == REASON_MAX ? "" : reason_info(reason)->remedy, view_text(lately, "id"));
}

static void judge_ledger(struct health *h, const json_t *ledger)
{
        if (strcmp(view_text(ledger, "state"), "ok") != 0)
                wrong(h, "sign-ins are checked, but records of them are kept in memory only: %s",
                      view_text(ledger, "why"));
        if (view_number(ledger, "dropped", 0) > 0)
                wrong(h, "%lld records of sign-ins were lost", view_number(ledger, "dropped", 0));
}

json_t *health_wrong(const json_t *status)
{
        struct health h = {
                .parts = json_object_get(status, "parts"), .list = json_array(), .now = view_number(status, "now", 0)};

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
