/*
 * The part of `postern check` about domains: what the probes of each domain controller came to, by each method, whether
 * its domain can be served, and whether its keytab gets a ticket.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "connector/cli/check-internal.h"
#include "connector/conf/domains.h"
#include "connector/findings/facts.h"
#include "connector/findings/finding.h"
#include "connector/findings/hop.h"
#include "validate/types/detail.h"

#define READY_MS 10000
#define POLL_MS 10
#define CLOCK_AGREES_S 60

static void count_unknown(void *arg, const struct validate_dc *dc)
{
        *(unsigned *)arg += strcmp(dc->state, "unknown") == 0;
}

static const char *remedy_of(const char *id)
{
        const enum reason reason = reason_from_id(id);

        return reason == REASON_MAX ? "" : reason_info(reason)->remedy;
}

struct showing {
        struct check *c;
        const struct config *config; /* of the instance whose probes are shown */
};

/* How many domain controllers have another time than this host, and how many the same. */
struct clocks {
        const struct check *c;
        size_t differ, agree;
};

/* By how many seconds its clock was ahead of this host's when it told; where it told. */
static long long ahead_of(const struct check *c, const struct validate_dc *dc)
{
        return dc->clock - (loop_wall(c->loop) - (int64_t)((loop_now(c->loop) - dc->clock_at) / 1000));
}

static void count_clock(void *arg, const struct validate_dc *dc)
{
        struct clocks *clocks = arg;
        const long long ahead = ahead_of(clocks->c, dc);
        const bool off = dc->clock_at ? llabs(ahead) > CLOCK_AGREES_S : strcmp(dc->reason, "clock_skew") == 0;

        clocks->differ += off;
        clocks->agree += !off && dc->clock_at > 0;
}

static void show_dc(void *arg, const struct validate_dc *dc)
{
        const struct showing *showing = arg;
        struct check *c = showing->c;
        const int i = config_domain_find(showing->config, dc->domain);
        json_auto_t *lines = json_array();
        struct clocks clocks = {.c = c};

        validate_each_dc(c->v, count_clock, &clocks);
        hop_dc(lines, dc, i < 0 ? "" : method_text(showing->config->domains[i].methods[0]),
               &(struct hop_clock){.known = dc->clock_at > 0,
                                   .ahead = ahead_of(c, dc),
                                   .remedy = fact_clock_remedy(clocks.differ, clocks.agree)});
        check_add(showing->c, json_incref(json_array_get(lines, 0)));
}

static void on_ready(void *arg [[maybe_unused]])
{
}

/* What is known of one domain's SID, to be said with whether it can be served. */
struct sid_note {
        const char *domain;
        char text[SID_TEXT_MAX + 64];
};

static void note_sid(void *arg, const struct validate_sid *sid)
{
        struct sid_note *note = arg;

        if (strcmp(sid->domain, note->domain) == 0 && sid->sid[0])
                snprintf(note->text, sizeof note->text, "; its SID is %s (%s)", sid->sid, sid_source_text(sid->source));
        else if (strcmp(sid->domain, note->domain) == 0)
                snprintf(note->text, sizeof note->text,
                         "; its SID was not told: set domain_sid, or the first sign-in tells");
}

/* Ends the wait once each DC has come to something, each domain to some DC, and each keytab to a ticket or none. */
void check_poll(void *arg)
{
        struct check *c = arg;
        const struct config *keytabs = c->trials[TRIAL_KEYTAB].v ? c->trials[TRIAL_KEYTAB].config : NULL;
        unsigned unknown = 0;

        validate_each_dc(c->v, count_unknown, &unknown);
        if (c->trials[TRIAL_SECOND].v)
                validate_each_dc(c->trials[TRIAL_SECOND].v, count_unknown, &unknown);
        for (size_t i = 0; keytabs && i < keytabs->validate.n_domains; i++)
                unknown += !c->keytabs[i].ok && !c->keytabs[i].why[0];
        for (size_t i = 0; i < c->config->validate.n_domains; i++)
                if (!validate_ready(c->v, i, NULL) && !validate_undiscovered(c->v, i)[0])
                        unknown += c->config->domains[i].discover;
        if (unknown == 0 || loop_now(c->loop) >= c->ready_until)
                loop_stop(c->loop, 0);
        else
                loop_timer_in(c->poll, POLL_MS);
}

/* What refusals by Kerberos are worth without armour. */
static const char *note_proof(const struct domain_config *d)
{
        if (d->methods[0] != METHOD_KRB5 || d->armor_principal)
                return "";
        return d->ca_pem || d->pins[0]
                       ? "; refusals by Kerberos are confirmed over LDAPS"
                       : "; refusals by Kerberos prove nothing, so users are not told that a password expired: set "
                         "armor_principal, or ca_file for LDAPS";
}

/* What would refuse everybody of a domain, or some. */
static void judge_sid(void *arg, const struct validate_sid *sid)
{
        struct check *c = arg;

        if (sid->rival[0])
                (void)hop_add(c->steps,
                              (struct hop){.step = "sid",
                                           .result = HOP_FAILED,
                                           .about = sid->domain,
                                           .code = "sid_claimed_twice",
                                           .remedy = finding_info("sid_claimed_twice")->remedy},
                              "%s and %s have one SID, %s", sid->domain, sid->rival, sid->sid);
        else if (sid->seen[0])
                (void)hop_add(c->steps,
                              (struct hop){.step = "sid",
                                           .result = HOP_FAILED,
                                           .about = sid->domain,
                                           .code = "sid_differs",
                                           .remedy = finding_info("sid_differs")->remedy},
                              "%s: a domain controller says %s, not %s (%s)", sid->domain, sid->seen, sid->sid,
                              sid_source_text(sid->source));
}

/* What one instance's probes of a domain came to, as a whole. */
static void judge_domain(struct check *c, size_t i)
{
        const char *name = c->config->domains[i].name, *why = NULL, *unknown = validate_undiscovered(c->v, i);
        const size_t left_out = validate_left_out(c->v, i);

        if (left_out > 0)
                check_say(c, "dc", "warning", "%zu more domain controllers of %s are known by SRV records and not used",
                          left_out, name);
        if (validate_ready(c->v, i, &why)) {
                struct sid_note note = {.domain = name};

                validate_each_sid(c->v, note_sid, &note);
                check_say(c, "ready", "ok", "%s can be served%s%s", name, note.text,
                          note_proof(&c->config->domains[i]));
                return;
        }
        (void)hop_add(c->steps,
                      (struct hop){.step = "ready",
                                   .result = HOP_FAILED,
                                   .about = name,
                                   .code = unknown[0] ? "no_dc_known" : "no_dc_usable",
                                   .remedy = unknown[0] ? remedy_of("dns") : "No sign-in of its users can be decided"},
                      "%s: %s%s%s", name, why ? why : "no domain controller answered", unknown[0] ? ", " : "", unknown);
        c->skip = "a domain has no domain controller that answers";
}

/* A domain that a trial cannot serve is told by the main instance. */
static void begin_trial(struct check *c, enum trial_kind kind)
{
        struct trial *trial = &c->trials[kind];
        struct error err;

        trial->config = c->narrowed ? NULL : trial_config(c->config, kind);
        if (!trial->config || validate_new(&trial->v, c->loop, &trial->config->validate, on_ready, c, &err) < 0)
                trial->v = NULL;
}

static void judge_keytab(struct check *c, size_t i)
{
        const struct domain_config *d = &c->trials[TRIAL_KEYTAB].config->domains[i];
        const struct keytab_word *word = &c->keytabs[i];
        const bool stale = strstr(word->why, "reauthentication failed") || strstr(word->why, "Decrypt integrity");

        if (word->ok)
                check_say(c, "keytab", "ok", "the keytab of %s gets a ticket for %s", d->name, d->armor_principal);
        else if (stale || d->armor_principal != d->service_principal)
                (void)hop_add(c->steps,
                              (struct hop){.step = "keytab",
                                           .result = HOP_FAILED,
                                           .about = d->name,
                                           .code = stale ? "keytab_old_key" : "armor_unavailable",
                                           .remedy = stale ? detail_info(DETAIL_KEYTAB_OLD_KEY)->remedy
                                                           : remedy_of("armor_unavailable")},
                              "the keytab of %s gets no ticket for %s: %s", d->name, d->armor_principal,
                              word->why[0] ? word->why : "no answer in time");
        else
                check_say(c, "keytab", "skipped",
                          "because %s gets no ticket of its own (%s): a sign-in shows whether the keytab of %s fits",
                          d->service_principal, word->why[0] ? word->why : "no answer in time", d->name);
}

void check_dcs(struct check *c)
{
        struct showing first = {c, c->config}, second = {c, NULL};
        struct error err = {""};

        if (validate_new(&c->v, c->loop, &c->config->validate, on_ready, c, &err) < 0) {
                (void)hop_add(c->steps, (struct hop){.step = "domains", .result = HOP_FAILED, .code = "domain_unfit"},
                              "%s", err.text);
                c->skip = "a domain cannot be served as it is configured";
                return;
        }
        check_say(c, "domains", "ok", "certificates and keytabs are usable");
        begin_trial(c, TRIAL_SECOND);
        begin_trial(c, TRIAL_KEYTAB);
        c->ready_until = loop_now(c->loop) + READY_MS;
        loop_timer_in(c->poll, 0);
        loop_run(c->loop);
        validate_each_dc(c->v, show_dc, &first);
        second.config = c->trials[TRIAL_SECOND].config;
        if (c->trials[TRIAL_SECOND].v)
                validate_each_dc(c->trials[TRIAL_SECOND].v, show_dc, &second);
        validate_each_sid(c->v, judge_sid, c);
        for (size_t i = 0; c->trials[TRIAL_KEYTAB].v && i < c->trials[TRIAL_KEYTAB].config->validate.n_domains; i++)
                judge_keytab(c, i);
        for (size_t i = 0; i < c->config->validate.n_domains; i++)
                judge_domain(c, i);
}
