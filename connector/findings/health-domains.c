/*
 * The rules about domains, domain controllers and SIDs.
 *
 * Domain controllers of one domain that fail in one way are one finding. What the validator has not spoken of for a
 * while, though it speaks of others, is gone and not judged.
 */
#include <stdio.h>
#include <string.h>

#include "connector/findings/health-internal.h"
#include "validate/types/detail.h"

/* The code of what is wrong with the DC, and the words for it; NULL: nothing is. */
static const char *dc_trouble(const json_t *dc, const char **ret_words)
{
        static const struct {
                const char *state, *code, *words;
        } troubles[] = {
                {"dead", "dc_dead", "cannot be used"},
                {"sick", "dc_sick", "answers, but fails the sign-ins of several accounts"},
                {"silent", "dc_silent", "was asked and has been silent for longer than an answer takes"},
                {"unknown", "dc_unknown", "has not answered yet"},
        };
        const char *state = fact_text(dc, "state");

        for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
                if (strcmp(state, troubles[i].state) == 0) {
                        *ret_words = troubles[i].words;
                        return troubles[i].code;
                }
        *ret_words = "failed lately";
        return fact_text(dc, "reason")[0] && strcmp(state, "gone") != 0 ? "dc_failed" : NULL;
}

/* A DC that discovery lost keeps its last word, which grows old beside the validator's. */
static bool is_current(const struct health *h, const json_t *part)
{
        const json_t *validator = json_object_get(h->parts, "validator");

        return fact_number(part, "at", 0) + HEALTH_STALE_S >= fact_number(validator, "at", 0);
}

/* Whether a finding of another DC of the domain, for the same cause, takes this one in. */
static bool joined(struct health *h, const char *code, const json_t *dc, const struct detail_info *detail)
{
        json_t *finding;
        size_t i;

        json_array_foreach (h->list, i, finding) {
                if (strcmp(fact_text(finding, "code"), code) != 0 ||
                    strcmp(fact_text(finding, "domain"), fact_text(dc, "domain")) != 0 ||
                    strcmp(fact_text(finding, "reason"), fact_text(dc, "reason")) != 0 ||
                    strcmp(fact_text(finding, "detail"), detail ? detail->id : fact_text(dc, "reason")) != 0)
                        continue;
                json_t *others = json_object_get(finding, "others");
                if (!others)
                        (void)json_object_set_new(finding, "others", others = json_array());
                (void)json_array_append_new(others, json_string(fact_text(dc, "host")));
                return true;
        }
        return false;
}

/* Whose clock is wrong, by the other domain controllers and the relay. */
static const char *clock_remedy(const struct health *h)
{
        const json_t *link = fact_part(h->parts, "link");
        const long long ahead = fact_number(link, "clock_ahead", HEALTH_CLOCK_S + 1);
        const bool linked = strcmp(fact_text(link, "state"), "up") == 0;
        size_t differ = 0, agree = linked && ahead <= HEALTH_CLOCK_S && ahead >= -HEALTH_CLOCK_S;
        const char *name;
        json_t *part;

        json_object_foreach (h->parts, name, part) {
                const json_t *dc = json_object_get(part, "value");

                if (strncmp(name, "dc:", 3) != 0 || !is_current(h, part) ||
                    strcmp(fact_text(dc, "state"), "alive") != 0)
                        continue;
                differ += strcmp(fact_text(dc, "reason"), "clock_skew") == 0;
                agree += fact_text(dc, "reason")[0] == '\0';
        }
        return fact_clock_remedy(differ, agree);
}

static void judge_dc(struct health *h, const char *part, const json_t *dc)
{
        const char *host = fact_text(dc, "host"), *reason = fact_text(dc, "reason"), *told = fact_text(dc, "detail"),
                   *words;
        const enum reason known = reason_from_id(reason);
        const struct detail_info *detail = detail_info(detail_find(known, told));
        const char *code = dc_trouble(dc, &words);
        const char *clock = strcmp(reason, "clock_skew") == 0 ? clock_remedy(h) : NULL;

        if (!code || joined(h, code, dc, detail))
                return;
        json_t *finding = finding_add(h->list,
                                      (struct finding){.code = code,
                                                       .about = host,
                                                       .detail = detail ? detail->id : reason,
                                                       .since = fact_since(h->parts, part, "state"),
                                                       .remedy = clock                 ? clock
                                                                 : detail              ? detail->remedy
                                                                 : known == REASON_MAX ? NULL
                                                                                       : reason_info(known)->remedy},
                                      "the domain controller %s %s%s%s%s%s", host, words, told[0] ? ": " : "", told,
                                      reason[0] ? " - " : "", reason);
        (void)json_object_set_new(finding, "domain", json_string(fact_text(dc, "domain")));
        (void)json_object_set_new(finding, "reason", json_string(reason));
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
                if (strncmp(name, "dc:", 3) != 0 || strcmp(fact_text(dc, "domain"), domain) != 0 ||
                    strcmp(fact_text(dc, "state"), "gone") == 0 || !is_current(h, part))
                        continue;
                n++;
                *ret_dead += strcmp(fact_text(dc, "state"), "dead") == 0;
        }
        return n;
}

/* A domain whose sign-ins cannot be decided: what is known of its DCs says why. */
static void judge_unready(struct health *h, const char *domain, const json_t *d, long long since)
{
        const char *detail = fact_text(d, "detail");
        size_t dead, n = count_dcs(h, domain, &dead);
        struct finding f = {.code = n == 0      ? "no_dc_known"
                                    : dead == n ? "no_dc_usable"
                                                : "no_dc_yet",
                            .about = domain,
                            .since = since,
                            .remedy = n == 0 && !detail[0] ? "Set dcs, or discover" : NULL};
        const char *what = n == 0 ? "is known" : dead == n ? "can be used" : "has answered yet";

        json_t *finding = finding_add(
                h->list, f, "no domain controller of %s %s, so no sign-in of its users can be decided here%s%s", domain,
                what, n == 0 && detail[0] ? ": " : "", n == 0 ? detail : "");
        (void)json_object_set_new(finding, "domain", json_string(domain));
        (void)json_object_set_new(finding, "reason", json_string(fact_text(d, "reason")));
}

/* Whether sign-ins of the domain are taken. What is wrong with each DC is told besides. */
static void judge_domain(struct health *h, const char *part, const json_t *d, bool in_roster)
{
        const char *domain = fact_text(d, "domain"), *detail = fact_text(d, "detail");

        if (in_roster && json_is_false(json_object_get(d, "may_speak")))
                (void)finding_add(
                        h->list,
                        (struct finding){.code = "domain_not_ours",
                                         .about = domain,
                                         .since = fact_since(h->parts, part, "may_speak")},
                        "the roster does not let this connector speak for %s, so no sign-in of its users comes here",
                        domain);
        if (json_is_false(json_object_get(d, "ready")))
                judge_unready(h, domain, d, fact_since(h->parts, part, "ready"));
        else if (detail[0])
                (void)finding_add(h->list,
                                  (struct finding){.code = "dns_failing",
                                                   .about = domain,
                                                   .since = fact_since(h->parts, part, "detail")},
                                  "the domain controllers of %s cannot be looked up now, and those known from before "
                                  "are used: %s",
                                  domain, detail);
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
                   *seen = fact_text(sid, "seen"), *rival = fact_text(sid, "rival");
        char remedy[600];

        sid_remedy(remedy, source, domain, seen[0] ? seen : learnt);
        if (seen[0])
                (void)finding_add(h->list, (struct finding){.code = "sid_differs", .about = domain, .remedy = remedy},
                                  "a domain controller of %s names the SID %s, not the domain's %s (%s): its accounts "
                                  "are refused",
                                  domain, seen, in_force, source);
        else if (learnt[0] && strcmp(learnt, in_force) != 0)
                (void)finding_add(
                        h->list, (struct finding){.code = "sid_differs", .about = domain, .remedy = remedy},
                        "the SID of %s is %s (%s), but a domain controller said %s before: where it still does, its "
                        "accounts are refused",
                        domain, in_force, source, learnt);
        if (rival[0])
                (void)finding_add(h->list, (struct finding){.code = "sid_claimed_twice", .about = domain},
                                  "%s and %s claim one SID, so nobody of %s is accepted", domain, rival, domain);
}

void health_domains(struct health *h, bool in_roster)
{
        const char *name;
        json_t *part;
        bool any = false;

        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "domain:", 7) == 0) {
                        judge_domain(h, name, json_object_get(part, "value"), in_roster);
                        any = true;
                }
        if (!any)
                (void)finding_add(h->list, (struct finding){.code = "no_dc_yet"},
                                  "nothing is known of any domain controller yet, so no sign-in can be decided here");
        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "dc:", 3) == 0 && is_current(h, part))
                        judge_dc(h, name, json_object_get(part, "value"));
        json_object_foreach (h->parts, name, part)
                if (strncmp(name, "sid:", 4) == 0)
                        judge_sid(h, json_object_get(part, "value"));
}
