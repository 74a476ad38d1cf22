/*
 * The memory of a domain's DCs: what sign-ins and probes taught, and who is known at all.
 *
 * Invariant: a dead DC is asked by probes only (dc/probe.c). It does not connect (the methods do), does not
 * choose (dc/choose.c) and holds no sign-in.
 */
#include "validate/dc/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"

#define DISTRUST_MS 60000
#define PATIENCE_MIN_MS 150
#define PATIENCE_MAX_MS 1000
#define PATIENCE_TIMES 4 /* the usual answer time */

static const char *const state_names[] = {
        [DC_ALIVE] = "alive", [DC_RECOVERING] = "recovering", [DC_DEAD] = "dead", [DC_UNKNOWN] = "unknown"};

void dc_state_set(struct dc *dc, enum dc_state state)
{
        struct dcs *dcs = dc->dcs;
        bool ready = false;

        if (dc->state == state)
                return;
        log_debug("dc_state", KV_S("dc", dc->config->host), KV_S("from", state_names[dc->state]),
                  KV_S("to", state_names[state]), KV_S("reason", reason_info(dc->last_reason)->id),
                  KV_S("detail", dc->last_context));
        dc->state = state;
        for (size_t i = 0; i < dcs->n; i++)
                ready |= !dcs->dcs[i].gone && (dcs->dcs[i].state == DC_ALIVE || dcs->dcs[i].state == DC_RECOVERING);
        if (ready == dcs->ready)
                return;
        dcs->ready = ready;
        dcs->events.changed(dcs->events.arg);
}

void dc_note_answer(struct dc *dc, uint32_t ms)
{
        uint32_t sample = (ms < 60000 ? ms : 60000) * DC_EWMA_ONE;

        if (sample == 0)
                sample = 1;
        dc->ewma = dc->ewma == 0 ? sample : (dc->ewma * 7 + sample) / 8;
        dc->failures = 0;
        dc->misses = 0;
        dc->silent_since = 0;
        dc->suspect = false;
        dc->dead_delay = DC_DEAD_PROBE_MIN_MS;
        dc->answered_at = loop_now(dc->dcs->tools.loop);
        dc_state_set(dc, dc->state == DC_DEAD ? DC_RECOVERING : DC_ALIVE);
}

void dc_heard(struct dc *dc)
{
        dc->heard_at = loop_now(dc->dcs->tools.loop);
}

void dc_note_failure(struct dc *dc, const struct outcome *outcome, bool dead)
{
        dc->failures++;
        dc->last_reason = outcome->reason;
        snprintf(dc->last_context, sizeof dc->last_context, "%.150s", outcome->context);
        if (dead)
                dc_state_set(dc, DC_DEAD);
}

bool dc_is_silence(enum reason reason)
{
        return reason == REASON_DC_TIMEOUT || reason == REASON_DC_UNREACHABLE || reason == REASON_DC_TLS_TIMEOUT;
}

enum lesson dc_lesson(enum reason reason)
{
        if (reason_info(reason)->verdict != VERDICT_UNAVAILABLE)
                return LESSON_ANSWERED;
        if (reason == REASON_DC_ERROR || reason == REASON_CLOCK_SKEW || reason == REASON_NO_IDENTITY ||
            reason == REASON_NAME_AMBIGUOUS || reason == REASON_ETYPE_NOSUPP || reason == REASON_REFERRAL ||
            reason == REASON_KDC_NOT_VERIFIED || reason == REASON_FOREIGN_SID)
                return LESSON_ANSWERED;
        /* What one account's data brings about must not take the DC away from everybody: a probe decides. */
        if (dc_is_silence(reason) || reason == REASON_OUTCOME_UNKNOWN || reason == REASON_DC_PROTOCOL)
                return LESSON_SUSPECT;
        if (reason == REASON_DC_REFUSED || reason == REASON_DC_TLS || reason == REASON_DC_CERTIFICATE ||
            reason == REASON_DNS)
                return LESSON_FAILED;
        return LESSON_NONE;
}

void dc_note_clock(struct dc *dc, const struct outcome *outcome)
{
        if (!outcome->dc_clock)
                return;
        dc->clock = outcome->dc_clock;
        dc->clock_at = loop_now(dc->dcs->tools.loop);
}

void dc_note(struct dc *dc, const struct outcome *outcome)
{
        bool known = dc->state == DC_DEAD || dc->failures > 0; /* then a probe is due already */

        dc_note_clock(dc, outcome);
        if (outcome->reason == REASON_KDC_NOT_VERIFIED || outcome->reason == REASON_FOREIGN_SID)
                dc->distrusted_until = loop_now(dc->dcs->tools.loop) + DISTRUST_MS;
        /* A DC that told a right password from a wrong one is alive, whatever failed after that. */
        switch (outcome->password_proved || outcome->claim == CLAIM_RIGHT ? LESSON_ANSWERED
                                                                          : dc_lesson(outcome->reason)) {
        case LESSON_ANSWERED:
                dc_note_answer(dc, outcome->ms_dc);
                return;
        case LESSON_SUSPECT:
                dc_note_failure(dc, outcome, false);
                break;
        case LESSON_FAILED:
                dc_note_failure(dc, outcome, true);
                break;
        case LESSON_NONE:
                return;
        }
        if (!known)
                dc_probe_schedule_next(dc);
}

uint32_t dc_patience_ms(const struct dc *dc)
{
        uint32_t ms = dc_ewma_ms(dc) * PATIENCE_TIMES;

        return ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms > PATIENCE_MAX_MS ? PATIENCE_MAX_MS : ms;
}

/* Makes the next place a DC's; its first probe starts at the next turn. 0 or -ENOMEM. */
static int dc_init(struct dc *dc, struct dcs *dcs, const struct dc_config *config)
{
        struct loop_timer *timer = dc->timer;

        if (!timer && loop_timer_new(&timer, dcs->tools.loop, "probe", dc_probe_due, dc) < 0)
                return -ENOMEM;
        *dc = (struct dc){.dcs = dcs,
                          .config = config,
                          .index = (unsigned)(dc - dcs->dcs),
                          .timer = timer,
                          .last_reason = REASON_NO_DC,
                          .dead_delay = DC_DEAD_PROBE_MIN_MS};
        loop_timer_in(timer, 0);
        return 0;
}

int dcs_new(struct dcs **ret_dcs, const struct dc_tools *tools, const struct domain_config *domain,
            const struct dcs_events *events)
{
        struct dcs *dcs = calloc(1, sizeof *dcs);

        if (!dcs)
                return -ENOMEM;
        dcs->tools = *tools;
        dcs->domain = domain;
        dcs->events = *events;
        for (size_t i = 0; i < domain->n_dcs; i++) {
                if (dc_init(&dcs->dcs[i], dcs, &domain->dcs[i]) < 0) {
                        dcs_free(dcs);
                        return -ENOMEM;
                }
                dcs->dcs[i].listed = true;
                dcs->n++;
        }
        *ret_dcs = dcs;
        return 0;
}

/* Takes a fresh place, or that of a DC which is gone and which nothing holds. */
static void add_found(struct dcs *dcs, const struct dc_found *found)
{
        struct dc *dc = dcs->n < DCS_MAX ? &dcs->dcs[dcs->n] : NULL;

        for (size_t i = 0; !dc && i < dcs->n; i++)
                if (dcs->dcs[i].gone && dcs->dcs[i].holds == 0 && dcs->dcs[i].probe == PROBE_WAITING)
                        dc = &dcs->dcs[i];
        if (!dc || dc_init(dc, dcs, NULL) < 0) {
                dcs->left_out++; /* over DCS_MAX, or no memory: the others will do */
                return;
        }
        snprintf(dc->host, sizeof dc->host, "%s", found->host);
        dc->own.host = dc->host;
        dc->config = &dc->own;
        dc->in_site = found->in_site;
        dc->priority = found->priority;
        if (dc == &dcs->dcs[dcs->n])
                dcs->n++;
        log_debug("dc_found", KV_S("dc", dc->host), KV_U("in_site", found->in_site));
}

size_t dcs_left_out(const struct dcs *dcs)
{
        return dcs->left_out;
}

void dcs_update(struct dcs *dcs, const struct dc_found *found, size_t n, size_t left_out)
{
        dcs->left_out = left_out;
        dcs->undiscovered[0] = '\0';
        for (struct dc *dc = dcs->dcs; dc < dcs->dcs + dcs->n; dc++) { /* there still, back again, or gone */
                const struct dc_found *match = NULL;
                const bool was_gone = dc->gone;

                for (size_t k = 0; k < n && !match; k++)
                        if (strcasecmp(dc->config->host, found[k].host) == 0)
                                match = &found[k];
                dc->gone = !dc->listed && !match;
                dc->in_site = match ? match->in_site : dc->in_site;
                dc->priority = match ? match->priority : dc->priority;
                if (dc->gone)
                        dc_state_set(dc, DC_UNKNOWN);
                else if (was_gone)
                        dc_probe_schedule(dc, 0);
        }
        for (size_t k = 0; k < n; k++) {
                bool known = false;

                for (size_t i = 0; !known && i < dcs->n; i++)
                        known = strcasecmp(dcs->dcs[i].config->host, found[k].host) == 0;
                if (!known)
                        add_found(dcs, &found[k]);
        }
}

void dcs_undiscovered(struct dcs *dcs, const char *why)
{
        snprintf(dcs->undiscovered, sizeof dcs->undiscovered, "%s", why);
}

const char *dcs_undiscovered_why(const struct dcs *dcs)
{
        return dcs->undiscovered;
}

void dc_hold(struct dc *dc)
{
        dc->holds++;
}

void dc_release(struct dc *dc)
{
        dc->holds--;
}

struct dcs *dcs_free(struct dcs *dcs)
{
        if (!dcs)
                return NULL;
        for (size_t i = 0; i < dcs->n; i++) {
                struct dc *dc = &dcs->dcs[i];

                dc_probe_cancel(dc);
                loop_timer_free(dc->timer);
        }
        free(dcs);
        return NULL;
}

void dcs_explain(const struct dcs *dcs, struct outcome *out)
{
        const struct dc *first = &dcs->dcs[0];

        if (dcs->n == 0) {
                out->reason = dcs->undiscovered[0] ? REASON_DNS : REASON_NO_DC;
                snprintf(out->context, sizeof out->context, "%.250s",
                         dcs->undiscovered[0] ? dcs->undiscovered : "the domain controllers were not looked up yet");
                return;
        }
        out->reason = first->last_reason;
        for (size_t i = 1; i < dcs->n; i++)
                if (dcs->dcs[i].last_reason != first->last_reason)
                        out->reason = REASON_NO_DC;
        if (dc_lesson(out->reason) != LESSON_SUSPECT && dc_lesson(out->reason) != LESSON_FAILED)
                out->reason = REASON_NO_DC;
        if (out->reason == REASON_OUTCOME_UNKNOWN)
                out->reason = REASON_DC_TIMEOUT;
        snprintf(out->context, sizeof out->context, "%.80s: %s", first->config->host,
                 first->last_context[0] ? first->last_context : "not reached yet");
}

bool dcs_ready(const struct dcs *dcs, const char **ret_why)
{
        if (ret_why && !dcs->ready)
                *ret_why = dcs->n > 0             ? reason_info(dcs->dcs[0].last_reason)->id
                           : dcs->undiscovered[0] ? "dns"
                                                  : "no_dc";
        return dcs->ready;
}

const struct dc *dcs_at(const struct dcs *dcs, size_t i)
{
        return i < dcs->n ? &dcs->dcs[i] : NULL;
}

uint32_t dc_bit(const struct dc *dc)
{
        return UINT32_C(1) << dc->index;
}

const char *dc_host(const struct dc *dc)
{
        return dc->config->host;
}

const char *dc_asked_for(const struct dc *dc)
{
        return dc->config->address ? dc->config->address : dc->config->host;
}

bool dc_address(const struct dc *dc, struct dns_address *ret_address)
{
        return dns_known(dc->dcs->tools.dns, ret_address, dc_asked_for(dc));
}

int dc_resolve(const struct dc *dc, struct dns_address *ret_address, struct dns_query **ret_query, dns_fn *fn,
               void *arg)
{
        if (dc_address(dc, ret_address))
                return 1;
        return dns_query_start(ret_query, dc->dcs->tools.dns, dc_asked_for(dc), fn, arg);
}

uint32_t dc_ewma_ms(const struct dc *dc)
{
        return (dc->ewma + DC_EWMA_ONE / 2) / DC_EWMA_ONE;
}

void dc_explain(const struct dc *dc, struct outcome *out)
{
        out->reason = dc_is_silence(dc->last_reason) ? dc->last_reason : REASON_DC_TIMEOUT;
        snprintf(out->dc, sizeof out->dc, "%s", dc->config->host);
        snprintf(out->context, sizeof out->context, "%s", dc->last_context);
}

void dc_describe(const struct dc *dc, struct validate_dc *ret_dc)
{
        bool sick = dc_is_sick(dc), failed = dc->failures > 0 || dc->skewed, fails = sick && dc->failures == 0;

        *ret_dc = (struct validate_dc){
                .host = dc->config->host,
                .source = dc->listed    ? "list"
                          : dc->in_site ? "site"
                                        : "srv",
                .state = dc->gone                                      ? "gone"
                         : dc->state == DC_ALIVE && sick               ? "sick"
                         : dc->state == DC_ALIVE && dc_probe_waits(dc) ? "silent"
                                                                       : state_names[dc->state],
                .ewma_ms = dc_ewma_ms(dc),
                .reason = fails    ? reason_info(dc->sick_reason)->id
                          : failed ? reason_info(dc->last_reason)->id
                                   : "",
                .detail = fails    ? dc->sick_context
                          : failed ? dc->last_context
                                   : "",
                .clock = dc->clock,
                .clock_at = dc->clock_at,
        };
}
