/*
 * The life of one operation: what may reach a DC, which DC is asked by which method, and when it is over.
 *
 * Invariants: an operation is in the list of its validator until its one answer was given or it was
 * cancelled; the answer comes from the loop, never from inside validate_start, and after the password was
 * wiped. Another DC is asked only after an attempt that says that the password provably never left. It speaks
 * no protocol itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/log.h"
#include "validate/validate-internal.h"

#define OPS_MAX 1024
#define BACKSTOP_MS 250 /* an attempt that overruns its deadline by this is dropped */

static const char *state_text(enum op_state state)
{
        switch (state) {
        case OP_NEW:
                return "new";
        case OP_RESOLVING:
                return "resolving";
        case OP_ASKING:
                return "asking";
        case OP_DONE:
                return "done";
        }
        return "?";
}

/* The one writer of state. */
static void state_set(struct validate_op *op, enum op_state state)
{
        log_debug("sign_in", KV_S("from", state_text(op->state)), KV_S("to", state_text(state)),
                  KV_S("dc", op->dc ? dc_host(op->dc) : NULL));
        op->state = state;
}

/* Wipes first, then lets go of everything. */
static void op_free(struct validate_op *op)
{
        op->password = secret_free(op->password);
        dns_query_cancel(op->query);
        if (op->ldap)
                ldap_attempt_cancel(op->ldap);
        if (op->krb)
                krb_attempt_cancel(op->krb);
        loop_timer_free(op->timer);
        TAILQ_REMOVE(&op->v->ops, op, link);
        op->v->n_ops--;
        free(op);
}

/* The one end that answers. */
static void finish(struct validate_op *op)
{
        struct outcome out = op->out;
        validate_done_fn *fn = op->fn;
        void *arg = op->arg;

        state_set(op, OP_DONE);
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
        finish(op);
}

static void ask_next(struct validate_op *op);

/* The DC could not be asked: on to the next while there is time. */
static void dc_missed(struct validate_op *op, const struct outcome *outcome)
{
        dc_note(op->dc, outcome);
        op->tried |= dc_bit(op->dc);
        op->out = *outcome;
        if (loop_now(op->v->loop) < op->deadline)
                ask_next(op);
        else
                finish(op);
}

static void dc_unresolved(struct validate_op *op, const char *why)
{
        struct outcome outcome = {.reason = REASON_DNS, .counted = COUNTED_NO};

        snprintf(outcome.dc, sizeof outcome.dc, "%s", dc_host(op->dc));
        snprintf(outcome.context, sizeof outcome.context, "%.80s: %.120s", dc_host(op->dc), why);
        dc_missed(op, &outcome);
}

static void on_attempt(void *arg, const struct outcome *outcome, bool left)
{
        struct validate_op *op = arg;

        op->ldap = NULL;
        op->krb = NULL;
        log_debug("attempt", KV_S("dc", dc_host(op->dc)), KV_S("reason", reason_info(outcome->reason)->id),
                  KV_U("left", left), KV_S("detail", outcome->context));
        if (!left && reason_info(outcome->reason)->verdict == VERDICT_UNAVAILABLE) {
                dc_missed(op, outcome);
                return;
        }
        dc_note(op->dc, outcome);
        op->out = *outcome;
        finish(op);
}

static void attempt_start(struct validate_op *op, const struct dns_address *address)
{
        struct attempt attempt = {
                .id = op->id,
                .domain = op->domain,
                .host = dc_host(op->dc),
                .address = address->storage,
                .address_len = address->len,
                .name = &op->name,
                .password = op->password,
                .deadline = op->deadline,
        };
        int r;

        state_set(op, OP_ASKING);
        loop_timer_at(op->timer, op->deadline + BACKSTOP_MS);
        if (op->domain->methods[0] == METHOD_KRB5)
                r = krb_attempt_start(&op->krb, op->v->tools.krb, &attempt, on_attempt, op);
        else
                r = ldap_attempt_start(&op->ldap, op->v->tools.ldap, &attempt, on_attempt, op);
        if (r < 0)
                finish_failed(op, REASON_OVERLOADED, COUNTED_NO, "the attempt could not be started");
}

static void on_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct validate_op *op = arg;

        op->query = NULL;
        log_set_id(op->id);
        if (address)
                attempt_start(op, address);
        else
                dc_unresolved(op, why);
}

static void resolve(struct validate_op *op)
{
        const struct dc_config *dc = dc_get_config(op->dc);
        const char *host = dc->address ? dc->address : dc->host;
        struct dns_address address;
        int r;

        state_set(op, OP_RESOLVING);
        loop_timer_at(op->timer, op->deadline);
        if (dns_known(op->v->tools.dns, &address, host)) {
                attempt_start(op, &address);
                return;
        }
        r = dns_query_start(&op->query, op->v->tools.dns, host, on_resolved, op);
        if (r < 0)
                dc_unresolved(op, strerror(-r));
}

/* Picks a DC that was not tried yet. When there is none, what the last one said is the answer, else why none
 * can be asked. */
static void ask_next(struct validate_op *op)
{
        op->dc = dcs_choose(op->dcs, op->tried);
        if (op->dc) {
                resolve(op);
                return;
        }
        if (op->tried == 0) {
                dcs_explain(op->dcs, &op->out);
                op->out.counted = COUNTED_NO;
        }
        finish(op);
}

static void on_timer(void *arg)
{
        struct validate_op *op = arg;

        switch (op->state) {
        case OP_NEW:
                if (op->answered)
                        finish(op);
                else if (loop_now(op->v->loop) >= op->deadline)
                        finish_failed(op, REASON_DEADLINE, COUNTED_NO, "no time was left when it started");
                else
                        ask_next(op);
                return;
        case OP_RESOLVING:
                finish_failed(op, REASON_DEADLINE, COUNTED_NO, "the DC's address was not known in time");
                return;
        case OP_ASKING:
                finish_failed(op, REASON_OUTCOME_UNKNOWN, COUNTED_UNKNOWN,
                              "the attempt overran its deadline");
                return;
        case OP_DONE:
                return;
        }
}

/* Whether the password may be shown to a DC. */
static enum reason check_password(const struct validate_request *request)
{
        const struct secret *s = request->password;

        if (!s)
                return request->password_reason == REASON_BAD_PASSWORD_FORM ? REASON_BAD_PASSWORD_FORM
                                                                            : REASON_EMPTY_PASSWORD;
        if (secret_len(s) == 0)
                return REASON_EMPTY_PASSWORD;
        if (memchr(secret_text(s), '\0', secret_len(s)) || !utf8_valid(secret_text(s), secret_len(s)))
                return REASON_BAD_PASSWORD_FORM;
        return REASON_OK;
}

/* Answers what must not reach a DC, else routes. */
static void admit(struct validate_op *op, const struct validate_request *request)
{
        struct validate *v = op->v;
        enum reason reason = check_password(request);

        if (reason == REASON_OK)
                reason = name_parse(&op->name, v->config, request->name, request->name_len);
        if (reason == REASON_OK && v->n_ops > OPS_MAX)
                reason = REASON_OVERLOADED;
        if (reason == REASON_OK) {
                op->domain = &v->config->domains[op->name.domain];
                op->dcs = v->dcs[op->name.domain];
                return;
        }
        op->answered = true;
        op->out.reason = reason;
        op->out.counted = COUNTED_NO;
        op->password = secret_free(op->password);
}

int validate_start(struct validate_op **ret_op, struct validate *v, const struct validate_request *request,
                   validate_done_fn *fn, void *arg)
{
        struct validate_op *op = calloc(1, sizeof *op);

        if (!op) {
                secret_free(request->password);
                return -ENOMEM;
        }
        op->v = v;
        op->password = request->password;
        op->deadline = request->deadline;
        op->started = loop_now(v->loop);
        op->fn = fn;
        op->arg = arg;
        op->out.counted = COUNTED_NO;
        snprintf(op->id, sizeof op->id, "%s", request->id ? request->id : "");
        TAILQ_INSERT_TAIL(&v->ops, op, link);
        v->n_ops++;
        if (loop_timer_new(&op->timer, v->loop, op->id, on_timer, op) < 0) {
                op_free(op);
                return -ENOMEM;
        }
        admit(op, request);
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
