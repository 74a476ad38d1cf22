/*
 * One timer for each run: until the DC's answer, or until the run's time is over.
 *
 * Invariants: a run calls back once, from the loop or from inside expire, and not after it was cancelled; once the
 * script was told of the password (FAKE_PASSWORD), whatever ends the attempt says that the password left.
 */
#include "validate/fake/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 2000

struct fake_of {
        struct method_instance method; /* the first */
        struct fake *fake;
};

struct fake {
        struct loop *loop;
        fake_script_fn *script;
        void *arg;
        struct fake_of of[METHODS];
        size_t runs;
};

struct fake_run {
        struct method_run run; /* the first */
        struct fake_of *of;
        enum fake_step step;
        struct attempt attempt;
        struct fake_answer answer;
        uint64_t answers_at, started, asked;
        uint32_t ms_connect;
        struct loop_timer *timer;
        attempt_done_fn *done;
        method_found_fn *found;
        void *arg;
};

static void run_free(struct fake_run *run)
{
        run->of->fake->runs--;
        loop_timer_free(run->timer);
        free(run);
}

static enum method method_of(const struct fake_run *run)
{
        return (enum method)(run->of - run->of->fake->of);
}

/* The one end that calls back. */
static void run_end(struct fake_run *run, struct outcome *out)
{
        attempt_done_fn *done = run->done;
        method_found_fn *found_fn = run->found;
        struct method_found found = run->answer.found;
        bool left = run->step == FAKE_PASSWORD;
        uint64_t now = loop_now(run->of->fake->loop);
        void *arg = run->arg;

        out->method = method_of(run);
        out->ms_total = (uint32_t)(now - run->started);
        out->ms_connect = run->ms_connect;
        out->ms_dc = (uint32_t)(now - run->asked);
        snprintf(out->dc, sizeof out->dc, "%s", run->attempt.host);
        if (out->reason != REASON_OK)
                found.reason = out->reason;
        run_free(run);
        if (found_fn)
                found_fn(arg, &found);
        else
                done(arg, out, left);
}

/* Its time is over, whatever the DC would have said. */
static void run_overdue(struct method_run *method_run)
{
        struct fake_run *run = (struct fake_run *)method_run;
        bool left = run->step == FAKE_PASSWORD;
        struct outcome out = {.reason = left                        ? REASON_OUTCOME_UNKNOWN
                                        : run->step == FAKE_CONNECT ? REASON_DC_UNREACHABLE
                                                                    : REASON_DC_TIMEOUT,
                              .counted = left ? COUNTED_UNKNOWN : COUNTED_NO};

        snprintf(out.context, sizeof out.context, "the DC is silent");
        run_end(run, &out);
}

static void run_ask(struct fake_run *run, enum fake_step step, const struct method_look_up *look_up)
{
        struct fake *fake = run->of->fake;
        struct fake_question question = {
                .step = step, .method = method_of(run), .attempt = &run->attempt, .look_up = look_up};

        const uint32_t set = run->attempt.domain->connect_timeout_ms, connect = set ? set : CONNECT_TIMEOUT_MS;
        uint64_t now = loop_now(fake->loop), end = run->attempt.deadline;

        run->step = step;
        run->asked = now;
        run->answer = (struct fake_answer){.outcome = {.reason = REASON_OK}, .found = {.reason = REASON_OK}};
        fake->script(fake->arg, &question, &run->answer);
        if (run->answer.ms == FAKE_STUCK) {
                loop_timer_stop(run->timer);
                return;
        }
        /* the answer, or the end of the run's time, whichever is first */
        run->answers_at = run->answer.ms == FAKE_NEVER ? UINT64_MAX : now + run->answer.ms;
        if (step == FAKE_CONNECT && !run->attempt.patient && now + connect < end)
                end = now + connect;
        loop_timer_at(run->timer, run->answers_at < end ? run->answers_at : end);
}

static void on_run_timer(void *arg)
{
        struct fake_run *run = arg;
        const struct attempt *in = &run->attempt;
        struct outcome out = run->answer.outcome;
        const char *salt = run->answer.salt;

        if (run->answers_at > loop_now(run->of->fake->loop)) {
                run_overdue(&run->run);
                return;
        }
        if (in->heard)
                in->heard(in->arg);
        if (run->step == FAKE_CONNECT)
                out.counted = COUNTED_NO;
        if (run->step != FAKE_CONNECT || out.reason != REASON_OK) {
                run_end(run, &out);
                return;
        }
        if (salt && in->told && !in->told(in->arg, (const uint8_t *)salt, strlen(salt))) {
                out = (struct outcome){.reason = REASON_CANCELLED, .counted = COUNTED_NO};
                run_end(run, &out);
                return;
        }
        run->ms_connect = (uint32_t)(loop_now(run->of->fake->loop) - run->started);
        if (in->commit)
                in->commit(in->arg);
        run_ask(run, FAKE_PASSWORD, NULL);
}

static int run_new(struct fake_run **ret, struct method_instance *method, const struct attempt *attempt, void *arg)
{
        struct fake_of *of = (struct fake_of *)method;
        struct fake_run *run = calloc(1, sizeof *run);

        if (!run || loop_timer_new(&run->timer, of->fake->loop, attempt->id, on_run_timer, run) < 0) {
                free(run);
                return -ENOMEM;
        }
        run->run.ops = method->ops;
        run->of = of;
        run->attempt = *attempt;
        run->started = loop_now(of->fake->loop);
        run->arg = arg;
        of->fake->runs++;
        *ret = run;
        return 0;
}

/* What attempt and probe begin with is all that parts them. */
static int ask_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                     attempt_done_fn *fn, void *arg, enum fake_step first)
{
        struct fake_run *run;
        int r = run_new(&run, method, attempt, arg);

        if (r < 0)
                return r;
        run->done = fn;
        *ret = &run->run;
        run_ask(run, first, NULL);
        return 0;
}

static int attempt_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                         attempt_done_fn *fn, void *arg)
{
        return ask_start(ret, method, attempt, fn, arg, FAKE_CONNECT);
}

static int probe_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                       attempt_done_fn *fn, void *arg)
{
        return ask_start(ret, method, attempt, fn, arg, FAKE_PROBE);
}

static int look_up_start(struct method_run **ret, struct method_instance *method, const struct method_look_up *look_up,
                         method_found_fn *fn, void *arg)
{
        struct fake_run *run;
        int r = run_new(&run, method, look_up->attempt, arg);

        if (r < 0)
                return r;
        run->found = fn;
        *ret = &run->run;
        run_ask(run, FAKE_LOOK_UP, look_up);
        return 0;
}

static void run_cancel(struct method_run *run)
{
        run_free((struct fake_run *)run);
}

static int domain_add(struct method_instance *method, const struct domain_config *domain, struct error *err)
{
        (void)method;
        (void)domain;
        (void)err;
        return 0;
}

static int set_keytab(struct method_instance *method, const struct domain_config *domain, const char *keytab,
                      struct error *err)
{
        (void)keytab;
        return domain_add(method, domain, err);
}

static struct method_instance *method_free(struct method_instance *method)
{
        (void)method;
        return NULL;
}

static const struct method_ops fake_ops = {.domain_add = domain_add,
                                           .set_keytab = set_keytab,
                                           .start = attempt_start,
                                           .probe = probe_start,
                                           .look_up = look_up_start,
                                           .cancel = run_cancel,
                                           .expire = run_overdue,
                                           .free = method_free};

int fake_new(struct fake **ret_fake, struct loop *loop, fake_script_fn *script, void *arg)
{
        struct fake *fake = calloc(1, sizeof *fake);

        if (!fake)
                return -ENOMEM;
        fake->loop = loop;
        fake->script = script;
        fake->arg = arg;
        for (size_t i = 0; i < METHODS; i++)
                fake->of[i] = (struct fake_of){.method = {.ops = &fake_ops}, .fake = fake};
        *ret_fake = fake;
        return 0;
}

struct fake *fake_free(struct fake *fake)
{
        free(fake);
        return NULL;
}

struct method_instance *fake_method(struct fake *fake, enum method method)
{
        return &fake->of[method].method;
}

size_t fake_runs(const struct fake *fake)
{
        return fake->runs;
}
