/*
 * The life of one operation: what may reach a DC, which DC is asked by which method, and when it is over.
 *
 * Invariants: an operation is in the list of its validator until its one answer was given or it was
 * cancelled; the answer comes from the loop, never from inside validate_start, and after the password was
 * wiped. At most two DCs are prepared side by side; the first that is ready commits, which calls the other
 * off, so the password goes to one. Another is asked only after an attempt that says that the password
 * provably never left. It speaks no protocol itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "validate/op/internal.h"

#define WAIT_AGAIN_MS 100 /* until the guard is asked again for an account that others try under other names */
#define COMMITTED_PATIENCE_MAX_MS 500
#define BACKSTOP_MS 250 /* an attempt that overruns its deadline by this is dropped */

static const char *const state_names[] = {[OP_NEW] = "new",
                                          [OP_LOOKING_UP] = "looking_up",
                                          [OP_WAITING] = "waiting",
                                          [OP_PREPARING] = "preparing",
                                          [OP_DETAILING] = "detailing",
                                          [OP_CONFIRMING] = "confirming",
                                          [OP_COMMITTED] = "committed",
                                          [OP_DONE] = "done"};

/* The one writer of state. */
static void state_set(struct validate_op *op, enum op_state state)
{
        if (op->state == state)
                return;
        log_debug("sign_in", KV_S("from", state_names[op->state]), KV_S("to", state_names[state]),
                  KV_S("dc", op->committed ? dc_host(op->committed->dc) : NULL));
        op->state = state;
}

/* Calls off what runs in the slot, without a word to anybody, and frees it. */
static void try_clear(struct op_try *t)
{
        dns_query_cancel(t->query);
        method_cancel(t->run);
        if (t->dc)
                dc_release(t->dc);
        *t = (struct op_try){.op = t->op};
}

/* Whether an attempt runs, beyond looking an address up. */
static bool op_is_asking(const struct validate_op *op)
{
        for (size_t i = 0; i < OP_TRIES; i++)
                if (op->tries[i].run)
                        return true;
        return false;
}

/* A place with the guard came free: who waits for one of this account asks again. Those that wait for an account that
 * the KDC told ask again by themselves, each time the KDC, too: they are woken only where pausing. */
static void wake_waiting(struct validate *v, const struct guard_ticket *ticket, bool pausing)
{
        struct validate_op *op;

        TAILQ_FOREACH (op, &v->ops, link)
                if (op->state == OP_WAITING && (pausing || op->stop != GUARD_WAIT) && guard_same(&op->ticket, ticket))
                        loop_timer_in(op->timer, 0);
}

/* Calls off what borrows the passwords, wipes them, then lets go of everything. */
static void op_free(struct validate_op *op)
{
        bool entered = op->ticket.entered;

        for (size_t i = 0; i < OP_TRIES; i++)
                try_clear(&op->tries[i]);
        op_lookup_cancel(op);
        op_confirm_cancel(op);
        op->password = secret_free(op->password);
        op->new_password = secret_free(op->new_password);
        loop_timer_free(op->timer);
        loop_timer_free(op->pace);
        TAILQ_REMOVE(&op->v->ops, op, link);
        op->v->n_ops--;
        guard_leave(op->v->guard, &op->ticket, op->state == OP_DONE && op->answered ? &op->out : NULL,
                    loop_now(op->v->loop));
        if (entered)
                wake_waiting(op->v, &op->ticket, true);
        wipe(&op->ticket, sizeof op->ticket);
        free(op);
}

/* The one end that answers. */
void op_finish(struct validate_op *op)
{
        validate_done_fn *fn = op->fn;
        void *arg = op->arg;
        struct outcome out;
        size_t n;
        bool tie = op_wants_tie(op);

        if (tie || op_wants_details(op)) {
                state_set(op, OP_DETAILING);
                op->password = secret_free(op->password); /* nothing borrows them any more */
                op->new_password = secret_free(op->new_password);
                loop_timer_stop(op->pace);
                loop_timer_stop(op->timer); /* the look-up has a limit of its own */
                if (tie)
                        op_tie_start(op);
                else
                        op_details_start(op);
                return;
        }
        out = op->out;
        state_set(op, OP_DONE);
        op->answered = true;
        op_check_found(op, &out);
        n = strlen(out.context);
        if (op->ticket.would_be) /* GUARD_OBSERVE: the record says what GUARD_ON would have done */
                snprintf(out.context + n, sizeof out.context - n, "%s(the lockout guard would have stopped this)",
                         n > 0 ? " " : "");
        out.ms_total = (uint32_t)(loop_now(op->v->loop) - op->started);
        op_free(op);
        fn(arg, &out);
}

static void finish_failed(struct validate_op *op, enum reason reason, enum counted counted, const char *why)
{
        op->out.reason = reason;
        op->out.password_proved = false;
        op->out.counted = counted;
        snprintf(op->out.context, sizeof op->out.context, "%s", why);
        op_finish(op);
}

static bool try_next(struct validate_op *op);
static void resolve(struct op_try *t);
static void finish_changed(struct validate_op *op, const struct outcome *outcome);

/* What an attempt taught about its DC. Of one that is known to be silent an attempt that came to nothing teaches
 * nothing. */
static void note(const struct op_try *t, const struct outcome *outcome)
{
        if (t->hurried && reason_info(outcome->reason)->verdict == VERDICT_UNAVAILABLE)
                return;
        dc_note(t->dc, outcome);
        dc_note_sign_in(t->dc, op_account(t->op), outcome);
}

/* The DC could not be asked: on to the next while there is time. */
static void try_missed(struct op_try *t, const struct outcome *outcome)
{
        struct validate_op *op = t->op;
        bool running = false;

        note(t, outcome);
        if (op->changed) {
                finish_changed(op, outcome);
                return;
        }
        op->out = *outcome;
        if (op->committed == t) {
                op->committed = NULL;
                op->ticket.sent = false;
                state_set(op, OP_PREPARING);
        }
        try_clear(t);
        if (loop_now(op->v->loop) < op->deadline)
                try_next(op);
        for (size_t i = 0; i < OP_TRIES; i++)
                running |= op->tries[i].dc != NULL;
        if (!running)
                op_finish(op);
}

static void try_unresolved(struct op_try *t, const char *why)
{
        struct outcome outcome = {.reason = REASON_DNS, .counted = COUNTED_NO};

        snprintf(outcome.dc, sizeof outcome.dc, "%s", dc_host(t->dc));
        snprintf(outcome.context, sizeof outcome.context, "%.80s: %.120s", dc_host(t->dc), why);
        try_missed(t, &outcome);
}

/* What a sign-in after a change came to. */
static void finish_changed(struct validate_op *op, const struct outcome *outcome)
{
        op->out = *outcome;
        if (outcome->reason == REASON_OK) {
                op->out.reason = REASON_PASSWORD_CHANGED;
        } else {
                op->out.reason = REASON_CHANGED_UNVERIFIED;
                op->out.password_proved = op->change_proved;
                snprintf(op->out.context, sizeof op->out.context, "changed; then %s: %.150s",
                         reason_info(outcome->reason)->id, outcome->context);
        }
        op_finish(op);
}

/* What the guard says without leave. */
static void finish_stopped(struct validate_op *op, enum guard_answer answer)
{
        if (answer == GUARD_REPEATED)
                finish_failed(op, REASON_WRONG_PASSWORD, COUNTED_NO,
                              "the same wrong password as a moment ago: no domain controller got it");
        else {
                char why[96];

                snprintf(why, sizeof why, "stopped by the lockout guard for another %u s",
                         (unsigned)op->out.retry_after);
                op->out.elsewhere = guard_is_share(op->v->guard, op->name.domain);
                finish_failed(op, REASON_THROTTLED, COUNTED_NO, why);
        }
}

/* The guard, asked for the account that the DC told, does not let it go on: its place is given back, and nothing
 * counts. Those that pause as it will are not woken: they would wake it in turn, as fast as the KDC answers. The answer
 * names the DC, which was asked, though not with the password. */
static void stopped(struct validate_op *op, const struct outcome *told)
{
        for (size_t i = 0; i < OP_TRIES; i++)
                try_clear(&op->tries[i]);
        op->tried = 0;
        op->stopped = false;
        guard_leave(op->v->guard, &op->ticket, NULL, loop_now(op->v->loop));
        wake_waiting(op->v, &op->ticket, false);
        if (op->stop != GUARD_WAIT) {
                op->out.method = told->method;
                op->out.ms_connect = told->ms_connect;
                op->out.ms_dc = told->ms_dc;
                snprintf(op->out.dc, sizeof op->out.dc, "%s", told->dc);
                finish_stopped(op, op->stop);
                return;
        }
        state_set(op, OP_WAITING); /* for others of the account under other names */
        loop_timer_stop(op->pace);
        loop_timer_in(op->timer, WAIT_AGAIN_MS);
}

/* False: the password stays here. */
static bool on_told(void *arg, const uint8_t *salt, size_t n)
{
        struct op_try *t = arg;
        struct validate_op *op = t->op;

        if (op->committed || op->changed)
                return true;
        op->stop = guard_hint(op->v->guard, &op->ticket, (size_t)(op->domain - op->v->config->domains),
                              &(struct guard_who){salt, n}, op->password, loop_now(op->v->loop), &op->out.retry_after);
        op->stopped = op->stop != GUARD_GO;
        return !op->stopped;
}

/* The password is about to go to this DC: from now on there is no other. It gets longer before it is suspected: a probe
 * costs it little, but not nothing. */
static void on_commit(void *arg)
{
        struct op_try *t = arg;
        struct validate_op *op = t->op;
        uint32_t patience = 2 * dc_patience_ms(t->dc);

        op->committed = t;
        op->ticket.sent = true;
        state_set(op, OP_COMMITTED);
        for (size_t i = 0; i < OP_TRIES; i++)
                if (&op->tries[i] != t)
                        try_clear(&op->tries[i]);
        loop_timer_at(op->timer, op->deadline + BACKSTOP_MS);
        loop_timer_in(op->pace, patience < COMMITTED_PATIENCE_MAX_MS ? patience : COMMITTED_PATIENCE_MAX_MS);
        dc_asked(t->dc);
}

static void on_attempt(void *arg, const struct outcome *seen, bool left)
{
        struct op_try *t = arg;
        struct validate_op *op = t->op;
        struct outcome judged = *seen, *outcome = &judged;

        t->run = NULL;
        if (op->stopped) {
                stopped(op, seen);
                return;
        }
        op_judge(op, outcome);
        if (outcome->reason == REASON_PASSWORD_CHANGED && op->new_password) {
                op->change_proved = outcome->password_proved;
                secret_free(op->password); /* the verdict is that of a sign-in with the new one, at the same DC */
                op->password = steal(op->new_password);
                op->changed = true;
                resolve(t);
                return;
        }
        if (op->changed) {
                note(t, outcome);
                finish_changed(op, outcome);
                return;
        }
        log_debug("attempt", KV_S("dc", dc_host(t->dc)), KV_S("reason", reason_info(outcome->reason)->id),
                  KV_U("left", left), KV_S("detail", outcome->context));
        if (!left && reason_info(outcome->reason)->verdict == VERDICT_UNAVAILABLE) {
                try_missed(t, outcome);
                return;
        }
        note(t, outcome);
        op->out = *outcome;
        if (op_may_confirm(op)) {
                if (op->unasked)
                        on_commit(t);
                state_set(op, OP_CONFIRMING);
                loop_timer_stop(op->pace);
                op_confirm_start(op);
        } else {
                op_finish(op);
        }
}

static void on_try_heard(void *arg)
{
        const struct op_try *t = arg;

        dc_heard(t->dc);
}

/* Whether the password is checked by a fast bind, which tells nothing else: the account is then known before. */
static bool fast_bind(const struct validate_op *op)
{
        return op->domain->fast_bind && op->domain->methods[0] == METHOD_LDAP && !op->new_password;
}

static void attempt_start(struct op_try *t, const struct dns_address *address)
{
        struct validate_op *op = t->op;
        struct attempt attempt = {
                .id = op->id,
                .domain = op->domain,
                .host = dc_host(t->dc),
                .address = address->storage,
                .address_len = address->len,
                .name = &op->name,
                .password = op->password,
                .new_password = op->new_password,
                .fast = fast_bind(op),
                .known_sid = op->lookup.sid,
                .known_sam = op->lookup.sam,
                .known_kind = op->lookup.kind,
                .deadline = op->deadline,
                .patient = !dcs_has_other(op->dcs, t->dc),
                .told = on_told,
                .commit = on_commit,
                .heard = on_try_heard,
                .arg = t,
        };
        struct method_instance *method = op->v->tools.methods[op->new_password ? METHOD_KRB5 : op->domain->methods[0]];
        struct outcome outcome = {.reason = REASON_OVERLOADED, .counted = COUNTED_NO};

        if (method->ops->start(&t->run, method, &attempt, on_attempt, t) == 0)
                return;
        snprintf(outcome.context, sizeof outcome.context, "the attempt could not be started");
        try_missed(t, &outcome);
}

static void on_try_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct op_try *t = arg;

        t->query = NULL;
        log_set_id(t->op->id);
        if (address)
                attempt_start(t, address);
        else
                try_unresolved(t, why);
}

static void resolve(struct op_try *t)
{
        struct dns_address address;
        int r = dc_resolve(t->dc, &address, &t->query, on_try_resolved, t);

        if (r > 0)
                attempt_start(t, &address);
        else if (r < 0)
                try_unresolved(t, strerror(-r));
}

/* Sets out for a DC that was not tried yet, where a slot is free. False when there is none. */
static bool try_next(struct validate_op *op)
{
        struct op_try *t = NULL;

        for (size_t i = 0; i < OP_TRIES; i++)
                if (!op->tries[i].dc)
                        t = &op->tries[i];
        if (op->committed || !t)
                return false;
        t->dc = dcs_choose(op->dcs, op->tried, op_account(op));
        if (!t->dc)
                return false;
        dc_hold(t->dc);
        op->tried |= dc_bit(t->dc);
        state_set(op, OP_PREPARING);
        loop_timer_in(op->pace, dc_patience_ms(t->dc));
        resolve(t);
        return true;
}

/* Asks the guard for leave, then the first DC; where none can be asked, says why not. */
static void enter(struct validate_op *op)
{
        struct validate *v = op->v;
        enum guard_answer answer;

        op->stop = GUARD_GO;
        answer = guard_enter(v->guard, &op->ticket, &op->name, op->password, loop_now(v->loop), &op->out.retry_after);
        switch (answer) {
        case GUARD_GO:
                loop_timer_at(op->timer, op->deadline);
                if (try_next(op))
                        return;
                dcs_explain(op->dcs, &op->out);
                op->out.counted = COUNTED_NO;
                op_finish(op);
                return;
        case GUARD_WAIT:
                state_set(op, OP_WAITING);
                loop_timer_at(op->timer, op->deadline);
                return;
        case GUARD_REPEATED:
        case GUARD_THROTTLED:
                finish_stopped(op, answer);
                return;
        }
}

void op_looked_up(struct validate_op *op, enum reason reason)
{
        op->out.reason = reason;
        if (reason == REASON_OK)
                enter(op);
        else
                op_finish(op);
}

/* The DC takes longer than it should: another is prepared beside it (the first that is ready gets the
 * password), or, once it has the password, it is asked for a sign of life. */
static void on_pace(void *arg)
{
        struct validate_op *op = arg;

        if (op->state == OP_COMMITTED) {
                dc_note_waiting(op->committed->dc, op_account(op));
                dc_suspect(op->committed->dc);
                loop_timer_in(op->pace, DC_SUSPECT_MS);
        } else if (op->state == OP_PREPARING) {
                for (size_t i = 0; i < OP_TRIES; i++)
                        if (op->tries[i].run)
                                dc_suspect(op->tries[i].dc);
                if (!try_next(op))
                        loop_timer_in(op->pace, DC_SUSPECT_MS); /* one may come back meanwhile */
        }
}

static void on_op_timer(void *arg)
{
        struct validate_op *op = arg;

        switch (op->state) {
        case OP_NEW:
                if (op->answered) {
                        op_finish(op);
                } else if (loop_now(op->v->loop) >= op->deadline) {
                        finish_failed(op, REASON_DEADLINE, COUNTED_NO, "no time was left when it started");
                } else if (!op->name.alternate && !fast_bind(op)) {
                        enter(op);
                } else {
                        state_set(op, OP_LOOKING_UP);
                        loop_timer_at(op->timer, op->deadline);
                        op_lookup_start(op);
                }
                return;
        case OP_LOOKING_UP:
                finish_failed(op, REASON_DEADLINE, COUNTED_NO, "the search for the account took all of the time");
                return;
        case OP_WAITING:
                if (loop_now(op->v->loop) < op->deadline)
                        enter(op);
                else
                        finish_failed(op, REASON_OVERLOADED, COUNTED_NO,
                                      "earlier sign-ins with this name were not decided in time");
                return;
        case OP_PREPARING: /* the attempts have the same deadline and say more, unless they wait for DNS */
                loop_timer_at(op->timer, op->deadline + BACKSTOP_MS);
                if (loop_now(op->v->loop) >= op->deadline + BACKSTOP_MS || !op_is_asking(op))
                        finish_failed(op, REASON_DEADLINE, COUNTED_NO,
                                      "no domain controller was ready for the password in time");
                return;
        case OP_DETAILING:
        case OP_CONFIRMING: /* the attempt has a deadline of its own */
                return;
        case OP_COMMITTED:
                finish_failed(op,
                              op->changed        ? REASON_CHANGED_UNVERIFIED
                              : op->new_password ? REASON_CHANGE_UNKNOWN
                                                 : REASON_OUTCOME_UNKNOWN,
                              COUNTED_UNKNOWN, "the attempt overran its deadline");
                return;
        case OP_DONE:
                return;
        }
}

/* One DC's try of an operation; true when it did something, after which op may be gone. */
static bool hurry(struct validate_op *op, const struct dc *dc)
{
        struct outcome outcome = {.counted = COUNTED_NO};

        for (size_t i = 0; i < OP_TRIES; i++) {
                struct op_try *t = &op->tries[i];

                if (t->dc != dc || t->hurried || op->state == OP_DETAILING || op->state == OP_CONFIRMING)
                        continue;
                t->hurried = true;
                if (!dcs_has_other(op->dcs, dc))
                        continue; /* there is nothing better to do than to wait */
                log_set_id(op->id);
                if (op->committed == t && t->run) {
                        t->run->ops->expire(t->run);
                } else {
                        dc_explain(dc, &outcome);
                        try_missed(t, &outcome);
                }
                return true;
        }
        return false;
}

void ops_dc_silent(void *arg, struct dc *dc)
{
        struct validate *v = arg;
        struct validate_op *op = TAILQ_FIRST(&v->ops);

        /* An operation that ends may end others: begin again after each. */
        while (op)
                op = hurry(op, dc) ? TAILQ_FIRST(&v->ops) : TAILQ_NEXT(op, link);
        log_set_id(NULL);
}

int validate_start(struct validate_op **ret_op, struct validate *v, const struct validate_request *request,
                   validate_done_fn *fn, void *arg)
{
        struct validate_op *op = calloc(1, sizeof *op);

        if (!op) {
                secret_free(request->password);
                secret_free(request->new_password);
                return -ENOMEM;
        }
        op->v = v;
        op->password = request->password;
        op->new_password = request->new_password;
        op->deadline = request->deadline;
        op->started = loop_now(v->loop);
        op->fn = fn;
        op->arg = arg;
        op->out.counted = COUNTED_NO;
        snprintf(op->id, sizeof op->id, "%s", request->id ? request->id : "");
        TAILQ_INSERT_TAIL(&v->ops, op, link);
        v->n_ops++;
        for (size_t i = 0; i < OP_TRIES; i++)
                op->tries[i].op = op;
        if (loop_timer_new(&op->timer, v->loop, op->id, on_op_timer, op) < 0 ||
            loop_timer_new(&op->pace, v->loop, op->id, on_pace, op) < 0) {
                op_free(op);
                return -ENOMEM;
        }
        op_admit(op, request);
        loop_timer_in(op->timer, 0);
        *ret_op = op;
        return 0;
}

void validate_cancel(struct validate_op *op)
{
        if (!op)
                return;
        state_set(op, OP_DONE);
        op_free(op);
}
