/*
 * The probes of DCs: in the background, by the domain's first method, up to the point where a password would go.
 *
 * Invariants: a DC has at most one probe under way, and none carries anybody's password. A host with several
 * addresses is probed at one after the other: a round over all of them counts as one probe of a dead DC. A DC that
 * answers somebody is not silent, however long its answer to the probe takes: it has much to do.
 */
#include "validate/dc/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/core/log.h"

#define DEAD_PROBE_MAX_MS 10000
#define RECOVERING_PROBE_MS 1000
#define SUSPECT_PROBE_MS 50
#define PROBE_EXTRA_MS 1000
#define PROBE_TRIPS 4 /* round trips of a probe by a fresh connection: TCP, TLS, the question */
#define FAR_SUSPECT_MS 1500
#define ONLY_SUSPECT_MS 2000
#define FAR_ONLY_SUSPECT_MS 6000
#define ONLY_PROBE_MS 8000
#define BUSY_MAX_MS 8000 /* a DC that answers none of the sign-ins that wait so long is not busy */
#define CONNECT_TIMEOUT_MS 2000

static const char *const probe_names[] = {
        [PROBE_WAITING] = "waiting", [PROBE_RESOLVING] = "resolving", [PROBE_ASKING] = "asking"};

/* The one writer of probe. */
static void probe_set(struct dc *dc, enum probe_state probe)
{
        if (dc->probe == probe)
                return;
        log_debug("dc_probe", KV_S("dc", dc->config->host), KV_S("from", probe_names[dc->probe]),
                  KV_S("to", probe_names[probe]));
        dc->probe = probe;
}

void dc_probe_schedule(struct dc *dc, uint64_t delay)
{
        if (dc->probe == PROBE_WAITING)
                loop_timer_in(dc->timer, delay);
}

void dc_probe_schedule_next(struct dc *dc)
{
        uint64_t delay = DC_ALIVE_PROBE_MS;

        if (dc->misses > 0 && dc->misses % dns_count(dc->dcs->tools.dns, dc_asked_for(dc)) != 0) {
                delay = SUSPECT_PROBE_MS; /* another of its addresses was not asked yet */
        } else if (dc->state == DC_DEAD) {
                delay = dc->dead_delay;
                dc->dead_delay = delay * 3 / 2 < DEAD_PROBE_MAX_MS ? delay * 3 / 2 : DEAD_PROBE_MAX_MS;
        } else if (dc->state == DC_RECOVERING) {
                delay = RECOVERING_PROBE_MS;
        } else if (dc->failures > 0) {
                delay = dc->failures == 1 ? SUSPECT_PROBE_MS : DC_DEAD_PROBE_MIN_MS;
        }
        dc_probe_schedule(dc, delay + loop_jitter(0, delay / 10));
}

/* How long the DC may be silent to a probe that a sign-in asked for: a second DC is something better to do with the
 * time than waiting; a far one needs some round trips. */
static uint64_t suspect_ms(const struct dc *dc)
{
        bool only = !dcs_has_other(dc->dcs, dc);
        uint64_t trips = (uint64_t)dc_ewma_ms(dc) * PROBE_TRIPS, least = only ? ONLY_SUSPECT_MS : DC_SUSPECT_MS,
                 most = only ? FAR_ONLY_SUSPECT_MS : FAR_SUSPECT_MS;

        return trips < least ? least : trips > most ? most : trips;
}

/* It is at work, so its answer to a probe may take; unless that work never comes to anything. */
static bool heard_lately(const struct dc *dc)
{
        return dc->heard_at > 0 && loop_now(dc->dcs->tools.loop) < dc->heard_at + suspect_ms(dc) &&
               dc_unanswered_ms(dc) < BUSY_MAX_MS;
}

/* The one end of a probe. */
static void probe_end(struct dc *dc, const struct outcome *outcome)
{
        bool silent = dc_is_silence(outcome->reason), busy = silent && heard_lately(dc);

        dc->query = NULL;
        dc->asking = NULL;
        probe_set(dc, PROBE_WAITING);
        dc_note_clock(dc, outcome);
        if (silent && !busy && dc->silent_since == 0)
                dc->silent_since = loop_now(dc->dcs->tools.loop);
        if (outcome->reason == REASON_OK || outcome->reason == REASON_CLOCK_SKEW) {
                /* an answer with a wrong clock is one: the DC decides sign-ins by LDAP all the same */
                dc->skewed = outcome->reason == REASON_CLOCK_SKEW;
                if (dc->skewed) {
                        dc->last_reason = REASON_CLOCK_SKEW;
                        snprintf(dc->last_context, sizeof dc->last_context, "%.150s", outcome->context);
                }
                dc_note_answer(dc, outcome->ms_dc);
                dcs_reconsider(dc);
        } else if (busy) {
                dc_note_failure(dc, outcome, false);
        } else { /* unless it failed by a limit of ours */
                dc_note_failure(dc, outcome, dc_lesson(outcome->reason) != LESSON_NONE);
                dc->misses++;
                dns_next(dc->dcs->tools.dns, dc_asked_for(dc));
        }
        dc_probe_schedule_next(dc);
        if (silent && !busy)
                dc->dcs->events.silent(dc->dcs->events.arg, dc);
}

static void on_probed(void *arg, const struct outcome *outcome, bool left)
{
        const struct dc *dc = arg;

        (void)left;
        if (outcome->domain_sid[0])
                dc->dcs->events.sid(dc->dcs->events.arg, dc->dcs->domain, outcome->domain_sid);
        probe_end(arg, outcome);
}

static void probe_fail(struct dc *dc, enum reason reason, const char *why)
{
        struct outcome outcome = {.reason = reason};

        snprintf(outcome.context, sizeof outcome.context, "%s", why);
        probe_end(dc, &outcome);
}

static void on_probe_heard(void *arg)
{
        dc_heard(arg);
}

static void probe_ask(struct dc *dc, const struct dns_address *address)
{
        const struct dcs *dcs = dc->dcs;
        struct attempt attempt = {
                .id = "probe",
                .domain = dcs->domain,
                .host = dc->config->host,
                .address = address->storage,
                .address_len = address->len,
                .deadline = dc->probe_deadline,
                .patient = !dcs_has_other(dcs, dc),
                .heard = on_probe_heard,
                .arg = dc,
        };
        struct method_instance *method = dcs->tools.methods[dcs->domain->methods[0]];
        int r;

        probe_set(dc, PROBE_ASKING);
        r = method->ops->probe(&dc->asking, method, &attempt, on_probed, dc);
        if (r < 0)
                probe_fail(dc, REASON_INTERNAL, strerror(-r));
}

static void on_probe_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct dc *dc = arg;

        dc->query = NULL;
        if (address)
                probe_ask(dc, address);
        else
                probe_fail(dc, REASON_DNS, why);
}

/* Begins a probe, unless sign-ins showed lately that the DC is alive. The only DC gets more time: it may be far away.
 */
static void probe_start(struct dc *dc)
{
        const struct dcs *dcs = dc->dcs;
        uint32_t connect = dcs->domain->connect_timeout_ms;
        uint64_t ms = PROBE_EXTRA_MS + (connect ? connect : CONNECT_TIMEOUT_MS);
        uint64_t now = loop_now(dcs->tools.loop);
        struct dns_address address;
        int r;

        if (dc->state == DC_ALIVE && dc->failures == 0 && !dc->suspect &&
            now - dc->answered_at < DC_ALIVE_PROBE_MS * 9 / 10) {
                dc_probe_schedule(dc, DC_ALIVE_PROBE_MS - (now - dc->answered_at));
                return;
        }
        dc->probe_began = now;
        dc->probe_deadline = now + (dcs_has_other(dcs, dc) || ms > ONLY_PROBE_MS ? ms : ONLY_PROBE_MS);
        probe_set(dc, PROBE_RESOLVING);
        if (dc->suspect)
                loop_timer_in(dc->timer, suspect_ms(dc));
        r = dc_resolve(dc, &address, &dc->query, on_probe_resolved, dc);
        if (r > 0)
                probe_ask(dc, &address);
        else if (r < 0)
                probe_fail(dc, REASON_DNS, strerror(-r));
}

bool dc_probe_waits(const struct dc *dc)
{
        return dc->probe != PROBE_WAITING && loop_now(dc->dcs->tools.loop) >= dc->probe_began + suspect_ms(dc) &&
               !heard_lately(dc);
}

void dc_probe_cancel(struct dc *dc)
{
        dns_query_cancel(dc->query);
        method_cancel(dc->asking);
        dc->query = NULL;
        dc->asking = NULL;
}

void dc_probe_due(void *arg)
{
        struct dc *dc = arg;

        if (dc->probe == PROBE_WAITING) {
                if (dc->gone)
                        dc_state_set(dc, DC_UNKNOWN);
                else
                        probe_start(dc);
                return;
        }
        /* the time of a DC under suspicion is over before its probe ended, unless a sign-in was answered meanwhile */
        if (dc->suspect && heard_lately(dc)) {
                loop_timer_at(dc->timer, dc->heard_at + suspect_ms(dc));
        } else if (dc->suspect && dc->asking) {
                dc->asking->ops->expire(dc->asking);
        } else if (dc->suspect) {
                dc_probe_cancel(dc);
                probe_fail(dc, REASON_DNS, "the name is not resolved in time");
        }
}

void dc_suspect(struct dc *dc)
{
        if (dc->suspect || dc->state == DC_DEAD)
                return;
        dc->suspect = true;
        log_debug("dc_suspect", KV_S("dc", dc->config->host));
        loop_timer_in(dc->timer, dc->probe == PROBE_WAITING ? 0 : suspect_ms(dc));
}
