/*
 * A DC's health by what sign-ins came to: one that answers probes and fails the sign-ins of several accounts is sick.
 *
 * Invariants: one account alone makes no DC sick, however often it fails, but its own next sign-in goes elsewhere
 * first. A sick DC gets one sign-in at a time once its rest is over, until TRIALS of them were answered. Where all of a
 * domain's DCs would be sick, none is (dc/choose.c). It asks nobody and has no timer.
 */
#include "validate/dc/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/core/log.h"

#define MEMORY_MS 60000       /* a result is worth as much */
#define ACCOUNTS_IN_A_ROW 3   /* that failed since anybody was answered */
#define FAILURES_OF_TWO 4     /* of two accounts, since anybody was answered */
#define ACCOUNTS_AMONG_MANY 4 /* that failed, beside at most twice as many that did not */
#define TRIALS 3
#define HUNG_MS 1000 /* a DC that lets sign-ins wait so long, and answers none meanwhile, fails them */
#define REST_MIN_MS 10000
#define REST_MAX_MS 300000

/* What says that the DC fails sign-ins: nothing that names a state of one account, or a limit of ours. */
static const enum reason sicknesses[] = {
        REASON_DC_ERROR,    REASON_DC_PROTOCOL,     REASON_DC_SIGNING_REQUIRED, REASON_DC_CHANNEL_BINDING,
        REASON_NO_IDENTITY, REASON_OUTCOME_UNKNOWN, REASON_DC_TIMEOUT,          REASON_DC_UNREACHABLE,
        REASON_DC_REFUSED,  REASON_DC_TLS,          REASON_DC_TLS_TIMEOUT,
};

static struct dc_result *result_of(struct dc *dc, uint64_t account)
{
        struct dc_result *oldest = &dc->results[0];

        for (size_t i = 0; i < DC_RESULTS; i++) {
                if (dc->results[i].at > 0 && dc->results[i].account == account)
                        return &dc->results[i];
                if (dc->results[i].at < oldest->at)
                        oldest = &dc->results[i];
        }
        *oldest = (struct dc_result){.account = account};
        return oldest;
}

static bool looks_sick(const struct dc *dc, uint64_t now)
{
        unsigned failed = 0, answered = 0; /* accounts, by their latest result */
        unsigned in_a_row = 0;             /* accounts that failed since anybody was answered */

        for (size_t i = 0; i < DC_RESULTS; i++) {
                const struct dc_result *r = &dc->results[i];

                if (r->at == 0 || now - r->at > MEMORY_MS)
                        continue;
                failed += r->failed;
                answered += !r->failed;
                in_a_row += r->failed && r->number > dc->last_answer;
        }
        return in_a_row >= ACCOUNTS_IN_A_ROW || (in_a_row == 2 && dc->failed_in_a_row >= FAILURES_OF_TWO) ||
               (failed >= ACCOUNTS_AMONG_MANY && answered <= 2 * failed);
}

/* Sick, or well again: the owner tells it on. */
static void trials_set(struct dc *dc, unsigned trials)
{
        log_debug("dc_health", KV_S("dc", dc->config->host), KV_U("trials", trials),
                  KV_S("reason", reason_info(dc->sick_reason)->id), KV_S("detail", dc->sick_context));
        dc->trials = trials;
        dc->dcs->events.changed(dc->dcs->events.arg);
}

static void note(struct dc *dc, uint64_t account, bool failed)
{
        uint64_t now = loop_now(dc->dcs->tools.loop);
        struct dc_result *result = result_of(dc, account);

        result->at = now;
        result->failed = failed;
        result->number = ++dc->n_results;
        dc->failed_in_a_row = failed ? dc->failed_in_a_row + 1 : 0;
        if (!failed)
                dc->last_answer = dc->n_results;
        if (dc->trials > 0 && !failed && --dc->trials == 0) { /* it is well again */
                trials_set(dc, 0);
                memset(dc->results, 0, sizeof dc->results);
        } else if (dc->trials > 0 ? failed && now >= dc->rests_until : failed && looks_sick(dc, now)) {
                /* the one way into sickness, and back into it after a trial failed */
                dc->rest_ms = dc->trials == 0                 ? REST_MIN_MS
                              : dc->rest_ms * 2 < REST_MAX_MS ? dc->rest_ms * 2
                                                              : REST_MAX_MS;
                dc->rests_until = now + dc->rest_ms;
                if (dc->trials == 0)
                        trials_set(dc, TRIALS);
                dc->trials = TRIALS;
        }
}

static void note_failed(struct dc *dc, uint64_t account, enum reason reason, const char *context)
{
        dc->sick_reason = reason;
        snprintf(dc->sick_context, sizeof dc->sick_context, "%.150s", context);
        note(dc, account, true);
}

void dc_note_sign_in(struct dc *dc, uint64_t account, const struct outcome *outcome)
{
        /* the DC decided something about the account: then its sign-ins work */
        const bool answer = outcome->password_proved || outcome->claim == CLAIM_RIGHT ||
                            reason_info(outcome->reason)->verdict != VERDICT_UNAVAILABLE;
        /* a failed trust by Kerberos is another domain's */
        bool sickness = outcome->reason == REASON_TRUST_FAILURE && outcome->has_ldap_data;

        for (size_t i = 0; i < sizeof sicknesses / sizeof *sicknesses; i++)
                sickness |= outcome->reason == sicknesses[i];
        if (answer) { /* who else waits begins to wait now */
                dc->unanswered_since = dc->holds > 1 ? loop_now(dc->dcs->tools.loop) : 0;
                note(dc, account, false);
        } else if (sickness) {
                note_failed(dc, account, outcome->reason, outcome->context);
        }
}

void dc_note_waiting(struct dc *dc, uint64_t account)
{
        if (dc_unanswered_ms(dc) < HUNG_MS)
                return;
        note_failed(dc, account, REASON_DC_TIMEOUT, "sign-ins wait for it and none is answered");
}

void dc_asked(struct dc *dc)
{
        if (dc->unanswered_since == 0 || dc->holds <= 1)
                dc->unanswered_since = loop_now(dc->dcs->tools.loop);
}

uint64_t dc_unanswered_ms(const struct dc *dc)
{
        return dc->unanswered_since ? loop_now(dc->dcs->tools.loop) - dc->unanswered_since : 0;
}

bool dc_is_sick(const struct dc *dc)
{
        return dc->trials > 0;
}

bool dc_rests(const struct dc *dc)
{
        return dc->trials > 0 && (dc->holds > 0 || loop_now(dc->dcs->tools.loop) < dc->rests_until);
}

bool dc_failed_lately(const struct dc *dc, uint64_t account)
{
        uint64_t now = loop_now(dc->dcs->tools.loop);

        for (size_t i = 0; i < DC_RESULTS; i++) {
                const struct dc_result *r = &dc->results[i];

                if (r->at > 0 && r->account == account)
                        return r->failed && now - r->at <= MEMORY_MS;
        }
        return false;
}
