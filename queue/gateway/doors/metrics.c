/*
 * The gateway's metrics: how questions ended and how long they took, for GET /metrics on a UNIX socket.
 *
 * No name, address or application is in them. Reasons and problems are of tables; any other word counts as "other", so
 * that no relay or connector can make the text grow.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/gateway/doors/doors-internal.h"
#include "queue/http/problem.h"
#include "validate/types/outcome.h"

enum { VERDICT_WORDS = 3 };
static const char *const verdicts[VERDICT_WORDS] = {"accepted", "refused", "unavailable"};

struct tally {
        uint64_t reasons[REASON_MAX], problems[PROBLEM_TYPES_], other;
        struct metrics_times took[VERDICT_WORDS];
        uint64_t remembered;
};

int doors_tally_new(struct doors *d)
{
        d->tally = calloc(1, sizeof(*d->tally));
        return d->tally ? 0 : -1;
}

void doors_tally_free(struct doors *d)
{
        free(d->tally);
        d->tally = NULL;
}

void doors_tally_note(struct doors *d, const struct door_answer *a, uint64_t ms)
{
        const enum reason reason = reason_from_id(a->reason);
        enum problem_type p = PROBLEM_MALFORMED;

        if (!d->tally)
                return;
        d->tally->remembered += a->remembered;
        for (size_t i = 0; i < VERDICT_WORDS; i++)
                if (strcmp(verdicts[i], a->verdict) == 0)
                        metrics_observe(&d->tally->took[i], ms);
        if (reason != REASON_MAX && strcmp(verdict_text(reason_info(reason)->verdict), a->verdict) == 0) {
                d->tally->reasons[reason]++;
                return;
        }
        while (p < PROBLEM_TYPES_ && strcmp(problem_word(p), a->reason) != 0)
                p++;
        if (p < PROBLEM_TYPES_)
                d->tally->problems[p]++;
        else
                d->tally->other++;
}

void doors_tally_put(const struct doors *d, struct metrics *m)
{
        const struct tally *t = d->tally;
        const char *why;

        metrics_begin(m, "postern_gateway_sign_ins_total", METRICS_COUNTER,
                      "Questions of applications by how they ended; reasons and problems are in postern-verdicts(7).");
        for (enum reason r = 0; r < REASON_MAX; r++)
                metrics_put(m, (double)t->reasons[r], "verdict", verdict_text(reason_info(r)->verdict), "class",
                            verdict_class_text(reason_info(r)->class), "reason", reason_info(r)->id, METRICS_END);
        for (enum problem_type p = PROBLEM_MALFORMED; p < PROBLEM_TYPES_; p++)
                if (reason_from_id(problem_word(p)) == REASON_MAX) /* else that row is there already */
                        metrics_put(m, (double)t->problems[p], "verdict", "unavailable", "class", "infrastructure",
                                    "reason", problem_word(p), METRICS_END);
        metrics_put(m, (double)t->other, "verdict", "unavailable", "class", "infrastructure", "reason", "other",
                    METRICS_END);
        metrics_begin(m, "postern_gateway_sign_in_seconds", METRICS_HISTOGRAM,
                      "From an application's question to the answer.");
        for (size_t i = 0; i < VERDICT_WORDS; i++)
                metrics_put_times(m, &t->took[i], "verdict", verdicts[i], METRICS_END);
        metrics_one(m, "postern_gateway_remembered_total", METRICS_COUNTER, "Answers that remember_s took from memory.",
                    (double)t->remembered);
        metrics_one(m, "postern_gateway_ready", METRICS_GAUGE, "1: sign-ins can be decided, as GET /readyz says.",
                    doors_ready(d, &why));
        metrics_one(m, "postern_gateway_in_flight", METRICS_GAUGE, "Sign-ins under way.", (double)d->n_inquiries);
        events_ways_metrics(d->events, m);
        metrics_one(m, "postern_gateway_in_flight_max", METRICS_GAUGE, "`in_flight` of the configuration.",
                    d->config->in_flight);
}
