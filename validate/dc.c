/*
 * The memory of DCs and their probes.
 *
 * Invariants: a DC has at most one probe under way; a probe never carries anybody's password; a dead DC is
 * asked by probes only. It does not connect (the methods do) and holds no sign-in.
 */
#include "validate/dc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connector/base/log.h"

#define ALIVE_PROBE_MS 15000
#define DEAD_PROBE_MIN_MS 1000
#define DEAD_PROBE_MAX_MS 10000
#define RECOVERING_PROBE_MS 1000
#define SUSPECT_PROBE_MS 50
#define DISTRUST_MS 60000
#define PATIENCE_MIN_MS 150
#define PATIENCE_MAX_MS 1000
#define PATIENCE_TIMES 4 /* the usual answer time */
#define PROBE_EXTRA_MS 1000
#define CONNECT_TIMEOUT_MS 2000
#define EWMA_ONE 16 /* the average is kept in sixteenths of a millisecond */
#define SWITCH_MS 2 /* another DC must be faster by a quarter and this */

enum probe_state {
        PROBE_WAITING = 0, /* for the timer */
        PROBE_RESOLVING,   /* for the address */
        PROBE_ASKING,      /* for the DC */
};

struct dc {
        struct dcs *dcs;
        const struct dc_config *config; /* the configuration's, or own */
        struct dc_config own;
        char host[257]; /* of own */
        unsigned index;
        bool listed, gone; /* in the configuration; found by discovery once, and not any more */
        bool in_site;
        uint16_t priority;
        unsigned holds;
        enum dc_state state;
        enum reason last_reason; /* of the last failure */
        char last_context[160];
        unsigned failures;
        bool suspect;              /* a sign-in waits for it too long; until it answers */
        bool skewed;               /* its clock was wrong at the last probe */
        uint64_t distrusted_until; /* its tickets did not fit our keytab a moment ago */
        uint32_t ewma;             /* in EWMA_ONEths of a ms; 0: no sample yet */
        uint64_t answered_at;
        uint64_t dead_delay;

        enum probe_state probe;
        struct loop_timer *timer; /* the next probe */
        struct dns_query *query;
        struct ldap_attempt *ldap;
        struct krb_attempt *krb;
        uint64_t probe_deadline;
};

struct dcs {
        struct dc_tools tools;
        const struct domain_config *domain;
        struct dcs_events events;
        bool ready;
        struct dc *current;     /* the choice that others must beat clearly */
        char undiscovered[400]; /* why discovery found nothing, or "" */
        size_t n;
        struct dc dcs[DCS_MAX];
};

static const char *state_text(enum dc_state state)
{
        switch (state) {
        case DC_ALIVE:
                return "alive";
        case DC_RECOVERING:
                return "recovering";
        case DC_DEAD:
                return "dead";
        case DC_UNKNOWN:
                break;
        }
        return "unknown";
}

static const char *probe_text(enum probe_state state)
{
        switch (state) {
        case PROBE_WAITING:
                return "waiting";
        case PROBE_RESOLVING:
                return "resolving";
        case PROBE_ASKING:
                return "asking";
        }
        return "?";
}

/* The one writer of probe. */
static void probe_set(struct dc *dc, enum probe_state probe)
{
        if (dc->probe == probe)
                return;
        log_debug("dc_probe", KV_S("dc", dc->config->host), KV_S("from", probe_text(dc->probe)),
                  KV_S("to", probe_text(probe)));
        dc->probe = probe;
}

static bool any_alive(const struct dcs *dcs)
{
        for (size_t i = 0; i < dcs->n; i++)
                if (!dcs->dcs[i].gone &&
                    (dcs->dcs[i].state == DC_ALIVE || dcs->dcs[i].state == DC_RECOVERING))
                        return true;
        return false;
}

/* The one writer of state. Tells the owner when the domain's readiness changed. */
static void state_set(struct dc *dc, enum dc_state state)
{
        struct dcs *dcs = dc->dcs;
        bool ready;

        if (dc->state == state)
                return;
        log_debug("dc_state", KV_S("dc", dc->config->host), KV_S("from", state_text(dc->state)),
                  KV_S("to", state_text(state)), KV_S("reason", reason_info(dc->last_reason)->id),
                  KV_S("detail", dc->last_context));
        dc->state = state;
        ready = any_alive(dcs);
        if (ready == dcs->ready)
                return;
        dcs->ready = ready;
        dcs->events.changed(dcs->events.arg);
}

static void schedule(struct dc *dc, uint64_t delay)
{
        if (dc->probe == PROBE_WAITING)
                loop_timer_in(dc->timer, delay);
}

/* When the next probe is due after what was just learned. */
static void schedule_next(struct dc *dc)
{
        uint64_t delay = ALIVE_PROBE_MS;

        if (dc->state == DC_DEAD) {
                delay = dc->dead_delay;
                dc->dead_delay = delay * 3 / 2 < DEAD_PROBE_MAX_MS ? delay * 3 / 2 : DEAD_PROBE_MAX_MS;
        } else if (dc->state == DC_RECOVERING) {
                delay = RECOVERING_PROBE_MS;
        } else if (dc->failures > 0) {
                delay = dc->failures == 1 ? SUSPECT_PROBE_MS : DEAD_PROBE_MIN_MS;
        }
        schedule(dc, delay + loop_jitter(0, delay / 10));
}

static void note_answer(struct dc *dc, uint32_t ms)
{
        uint32_t sample = (ms < 60000 ? ms : 60000) * EWMA_ONE;

        if (sample == 0)
                sample = 1;
        dc->ewma = dc->ewma == 0 ? sample : (dc->ewma * 7 + sample) / 8;
        dc->failures = 0;
        dc->suspect = false;
        dc->dead_delay = DEAD_PROBE_MIN_MS;
        dc->answered_at = loop_now(dc->dcs->tools.loop);
        state_set(dc, dc->state == DC_DEAD ? DC_RECOVERING : DC_ALIVE);
}

static void note_failure(struct dc *dc, const struct outcome *outcome, bool dead)
{
        dc->failures++;
        dc->last_reason = outcome->reason;
        snprintf(dc->last_context, sizeof dc->last_context, "%.150s", outcome->context);
        if (dead)
                state_set(dc, DC_DEAD);
}

enum lesson { LESSON_NONE = 0, LESSON_ANSWERED, LESSON_SUSPECT, LESSON_FAILED };

static bool is_silence(enum reason reason)
{
        return reason == REASON_DC_TIMEOUT || reason == REASON_DC_UNREACHABLE ||
               reason == REASON_DC_TLS_TIMEOUT;
}

/* What a reason says about the DC's health. */
static enum lesson lesson_of(enum reason reason)
{
        if (reason_info(reason)->verdict != VERDICT_UNAVAILABLE)
                return LESSON_ANSWERED;
        if (reason == REASON_DC_ERROR || reason == REASON_CLOCK_SKEW || reason == REASON_NO_IDENTITY ||
            reason == REASON_NAME_AMBIGUOUS || reason == REASON_ETYPE_NOSUPP || reason == REASON_REFERRAL ||
            reason == REASON_KDC_NOT_VERIFIED)
                return LESSON_ANSWERED;
        /* What one account's data brings about must not take the DC away from everybody: a probe decides. */
        if (is_silence(reason) || reason == REASON_OUTCOME_UNKNOWN || reason == REASON_DC_PROTOCOL)
                return LESSON_SUSPECT;
        if (reason == REASON_DC_REFUSED || reason == REASON_DC_TLS || reason == REASON_DC_CERTIFICATE ||
            reason == REASON_DNS)
                return LESSON_FAILED;
        return LESSON_NONE;
}

void dc_note(struct dc *dc, const struct outcome *outcome)
{
        bool known = dc->state == DC_DEAD || dc->failures > 0; /* then a probe is due already */

        if (outcome->reason == REASON_KDC_NOT_VERIFIED)
                dc->distrusted_until = loop_now(dc->dcs->tools.loop) + DISTRUST_MS;
        /* A DC that told a right password from a wrong one is alive, whatever failed after that. */
        switch (outcome->password_proved ? LESSON_ANSWERED : lesson_of(outcome->reason)) {
        case LESSON_ANSWERED:
                note_answer(dc, outcome->ms_dc);
                return;
        case LESSON_SUSPECT:
                note_failure(dc, outcome, false);
                break;
        case LESSON_FAILED:
                note_failure(dc, outcome, true);
                break;
        case LESSON_NONE:
                return;
        }
        if (!known)
                schedule_next(dc);
}

/* An answer with a wrong clock is one: the DC decides sign-ins by LDAP all the same. */
static void note_skew(struct dc *dc, const struct outcome *outcome)
{
        dc->skewed = outcome->reason == REASON_CLOCK_SKEW;
        if (!dc->skewed)
                return;
        dc->last_reason = REASON_CLOCK_SKEW;
        snprintf(dc->last_context, sizeof dc->last_context, "%.150s", outcome->context);
}

/* The one end of a probe. */
static void probe_end(struct dc *dc, const struct outcome *outcome)
{
        bool silent = is_silence(outcome->reason);

        dc->query = NULL;
        dc->ldap = NULL;
        dc->krb = NULL;
        probe_set(dc, PROBE_WAITING);
        if (outcome->reason == REASON_OK || outcome->reason == REASON_CLOCK_SKEW) {
                note_skew(dc, outcome);
                note_answer(dc, outcome->ms_dc);
        } else { /* unless it failed by a limit of ours */
                note_failure(dc, outcome, lesson_of(outcome->reason) != LESSON_NONE);
        }
        schedule_next(dc);
        if (silent)
                dc->dcs->events.silent(dc->dcs->events.arg, dc);
}

static void on_probed(void *arg, const struct outcome *outcome, bool left)
{
        (void)left;
        probe_end(arg, outcome);
}

static void probe_fail(struct dc *dc, enum reason reason, const char *why)
{
        struct outcome outcome = {.reason = reason};

        snprintf(outcome.context, sizeof outcome.context, "%s", why);
        probe_end(dc, &outcome);
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
        };
        int r;

        probe_set(dc, PROBE_ASKING);
        if (dcs->domain->methods[0] == METHOD_KRB5)
                r = krb_probe_start(&dc->krb, dcs->tools.krb, &attempt, on_probed, dc);
        else
                r = ldap_probe_start(&dc->ldap, dcs->tools.ldap, &attempt, on_probed, dc);
        if (r < 0)
                probe_fail(dc, REASON_INTERNAL, strerror(-r));
}

static void on_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct dc *dc = arg;

        dc->query = NULL;
        if (address)
                probe_ask(dc, address);
        else
                probe_fail(dc, REASON_DNS, why);
}

/* Begins a probe, unless sign-ins showed lately that the DC is alive. */
static void probe_start(struct dc *dc)
{
        const struct dcs *dcs = dc->dcs;
        uint64_t now = loop_now(dcs->tools.loop);
        struct dns_address address;
        const char *host;
        int r;

        if (dc->state == DC_ALIVE && dc->failures == 0 && !dc->suspect &&
            now - dc->answered_at < ALIVE_PROBE_MS * 9 / 10) {
                schedule(dc, ALIVE_PROBE_MS - (now - dc->answered_at));
                return;
        }
        dc->probe_deadline =
                now + PROBE_EXTRA_MS +
                (dcs->domain->connect_timeout_ms ? dcs->domain->connect_timeout_ms : CONNECT_TIMEOUT_MS);
        probe_set(dc, PROBE_RESOLVING);
        host = dc->config->address ? dc->config->address : dc->config->host;
        if (dns_known(dcs->tools.dns, &address, host)) {
                probe_ask(dc, &address);
                return;
        }
        r = dns_query_start(&dc->query, dcs->tools.dns, host, on_resolved, dc);
        if (r < 0)
                probe_fail(dc, REASON_DNS, strerror(-r));
}

static void probe_cancel(struct dc *dc)
{
        dns_query_cancel(dc->query);
        if (dc->ldap)
                ldap_attempt_cancel(dc->ldap);
        if (dc->krb)
                krb_attempt_cancel(dc->krb);
        dc->query = NULL;
        dc->ldap = NULL;
        dc->krb = NULL;
}

/* The time of a DC under suspicion is over before its probe ended. */
static void probe_overdue(struct dc *dc)
{
        if (!dc->suspect)
                return; /* a sign-in was answered meanwhile */
        if (dc->ldap) {
                ldap_attempt_expire(dc->ldap);
        } else if (dc->krb) {
                krb_attempt_expire(dc->krb);
        } else {
                probe_cancel(dc);
                probe_fail(dc, REASON_DNS, "the name is not resolved in time");
        }
}

/* Time for a probe, unless sign-ins showed lately that the DC is alive. */
static void on_timer(void *arg)
{
        struct dc *dc = arg;

        if (dc->gone && dc->probe == PROBE_WAITING)
                state_set(dc, DC_UNKNOWN);
        else if (dc->probe == PROBE_WAITING)
                probe_start(dc);
        else
                probe_overdue(dc);
}

void dc_suspect(struct dc *dc)
{
        if (dc->suspect || dc->state == DC_DEAD)
                return;
        dc->suspect = true;
        log_debug("dc_suspect", KV_S("dc", dc->config->host));
        if (dc->probe == PROBE_WAITING)
                probe_start(dc);
        if (dc->probe != PROBE_WAITING)
                loop_timer_in(dc->timer, DC_SUSPECT_MS);
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

        if (!timer && loop_timer_new(&timer, dcs->tools.loop, "probe", on_timer, dc) < 0)
                return -ENOMEM;
        *dc = (struct dc){.dcs = dcs,
                          .config = config,
                          .index = (unsigned)(dc - dcs->dcs),
                          .timer = timer,
                          .last_reason = REASON_NO_DC,
                          .dead_delay = DEAD_PROBE_MIN_MS};
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

static struct dc *find_host(struct dcs *dcs, const char *host)
{
        for (size_t i = 0; i < dcs->n; i++)
                if (strcasecmp(dcs->dcs[i].config->host, host) == 0)
                        return &dcs->dcs[i];
        return NULL;
}

/* A place for one more DC: a fresh one, or that of one which is gone and which nothing holds. */
static struct dc *free_place(struct dcs *dcs)
{
        if (dcs->n < DCS_MAX)
                return &dcs->dcs[dcs->n];
        for (size_t i = 0; i < dcs->n; i++)
                if (dcs->dcs[i].gone && dcs->dcs[i].holds == 0 && dcs->dcs[i].probe == PROBE_WAITING)
                        return &dcs->dcs[i];
        return NULL;
}

static void set_found(struct dc *dc, const struct dc_found *found)
{
        dc->in_site = found->in_site;
        dc->priority = found->priority;
}

static void add_found(struct dcs *dcs, const struct dc_found *found)
{
        struct dc *dc = free_place(dcs);

        if (!dc || dc_init(dc, dcs, NULL) < 0)
                return; /* over DCS_MAX, or no memory: the others will do */
        snprintf(dc->host, sizeof dc->host, "%s", found->host);
        dc->own.host = dc->host;
        dc->config = &dc->own;
        set_found(dc, found);
        if (dc == &dcs->dcs[dcs->n])
                dcs->n++;
        log_debug("dc_found", KV_S("dc", dc->host), KV_U("in_site", found->in_site));
}

/* What discovery says of a DC that is known: there still, back again, or gone. */
static void update_known(struct dc *dc, const struct dc_found *found)
{
        bool was_gone = dc->gone;

        dc->gone = !dc->listed && !found;
        if (found)
                set_found(dc, found);
        if (dc->gone)
                state_set(dc, DC_UNKNOWN);
        else if (was_gone)
                schedule(dc, 0);
}

void dcs_update(struct dcs *dcs, const struct dc_found *found, size_t n)
{
        dcs->undiscovered[0] = '\0';
        for (size_t i = 0; i < dcs->n; i++) {
                const struct dc_found *match = NULL;

                for (size_t k = 0; k < n && !match; k++)
                        if (strcasecmp(dcs->dcs[i].config->host, found[k].host) == 0)
                                match = &found[k];
                update_known(&dcs->dcs[i], match);
        }
        for (size_t k = 0; k < n; k++)
                if (!find_host(dcs, found[k].host))
                        add_found(dcs, &found[k]);
}

void dcs_undiscovered(struct dcs *dcs, const char *why)
{
        snprintf(dcs->undiscovered, sizeof dcs->undiscovered, "%s", why);
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

                probe_cancel(dc);
                loop_timer_free(dc->timer);
        }
        free(dcs);
        return NULL;
}

/* A DC that just failed a sign-in comes last until its probe told more. */
static unsigned rank(const struct dc *dc)
{
        if (dc->failures > 0 || dc->suspect)
                return 4;
        if (dc->skewed || dc->distrusted_until > loop_now(dc->dcs->tools.loop))
                return 3;
        if (dc->state == DC_RECOVERING)
                return 2;
        return dc->state == DC_ALIVE ? 0 : 1;
}

/* Configured or in the site before all others, then by the SRV record's priority. */
static uint32_t preference(const struct dc *dc)
{
        return (dc->listed || dc->in_site ? 0 : 0x10000u) + dc->priority;
}

/* Alive before unknown, then the preferred, then the faster, then the one listed first. */
static bool better(const struct dc *a, const struct dc *b)
{
        if (!b || rank(a) != rank(b))
                return !b || rank(a) < rank(b);
        if (preference(a) != preference(b))
                return preference(a) < preference(b);
        return a->ewma < b->ewma;
}

static bool clearly_better(const struct dc *a, const struct dc *than)
{
        if (preference(a) != preference(than))
                return preference(a) < preference(than);
        return a->ewma + a->ewma / 4 + SWITCH_MS * EWMA_ONE < than->ewma;
}

struct dc *dcs_choose(struct dcs *dcs, uint32_t tried)
{
        struct dc *best = NULL, *current = dcs->current;

        for (size_t i = 0; i < dcs->n; i++) {
                struct dc *dc = &dcs->dcs[i];

                if (dc->state != DC_DEAD && !dc->gone && !(tried & dc_bit(dc)) && better(dc, best))
                        best = dc;
        }
        if (!best || rank(best) != 0)
                return best;
        if (current && !current->gone && rank(current) == 0 && !(tried & dc_bit(current)) &&
            !clearly_better(best, current))
                return current;
        if (tried == 0)
                dcs->current = best;
        return best;
}

void dcs_explain(const struct dcs *dcs, struct outcome *out)
{
        const struct dc *first = &dcs->dcs[0];

        if (dcs->n == 0) {
                out->reason = dcs->undiscovered[0] ? REASON_DNS : REASON_NO_DC;
                snprintf(out->context, sizeof out->context, "%.250s",
                         dcs->undiscovered[0] ? dcs->undiscovered
                                              : "the domain controllers were not looked up yet");
                return;
        }
        out->reason = first->last_reason;
        for (size_t i = 1; i < dcs->n; i++)
                if (dcs->dcs[i].last_reason != first->last_reason)
                        out->reason = REASON_NO_DC;
        if (lesson_of(out->reason) != LESSON_SUSPECT && lesson_of(out->reason) != LESSON_FAILED)
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

size_t dcs_count(const struct dcs *dcs)
{
        return dcs->n;
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

const struct dc_config *dc_get_config(const struct dc *dc)
{
        return dc->config;
}

const char *dc_source(const struct dc *dc)
{
        return dc->listed ? "list" : dc->in_site ? "site" : "srv";
}

const char *dc_state_text(const struct dc *dc)
{
        return dc->gone ? "gone" : state_text(dc->state);
}

uint32_t dc_ewma_ms(const struct dc *dc)
{
        return (dc->ewma + EWMA_ONE / 2) / EWMA_ONE;
}

void dc_explain(const struct dc *dc, struct outcome *out)
{
        out->reason = is_silence(dc->last_reason) ? dc->last_reason : REASON_DC_TIMEOUT;
        snprintf(out->dc, sizeof out->dc, "%s", dc->config->host);
        snprintf(out->context, sizeof out->context, "%s", dc->last_context);
}

const char *dc_failure(const struct dc *dc)
{
        return dc->failures > 0 || dc->skewed ? reason_info(dc->last_reason)->id : "";
}

const char *dc_failure_detail(const struct dc *dc)
{
        return dc->failures > 0 || dc->skewed ? dc->last_context : "";
}
