/*
 * The dispatcher: what may reach a DC, which DC is asked by which method, and when it is over.
 *
 * Invariants: an operation is in the list of its validator until its one answer was given or it was
 * cancelled; the answer comes from the loop, never from inside validate_start, and after the password was
 * wiped. Another DC is asked only after an attempt that says that the password provably never left. It speaks
 * no protocol itself.
 */
#include "validate/validate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "connector/base/log.h"
#include "connector/base/text.h"
#include "validate/config-copy.h"
#include "validate/dc.h"
#include "validate/name.h"

#define OPS_MAX 1024
#define BACKSTOP_MS 250 /* an attempt that overruns its deadline by this is dropped */

enum op_state {
        OP_NEW = 0,   /* waits for the loop; out.reason may already hold the answer */
        OP_RESOLVING, /* the DC's address */
        OP_ASKING,    /* an attempt runs */
        OP_DONE,
};

struct validate_op {
        TAILQ_ENTRY(validate_op) link;
        struct validate *v;
        char id[ID_MAX + 1];
        enum op_state state;
        bool answered; /* out is the answer, to be given at the next turn */
        struct name name;
        const struct domain_config *domain;
        struct dcs *dcs;
        struct secret *password;
        uint64_t started, deadline;
        uint32_t tried;
        struct dc *dc;
        struct loop_timer *timer;
        struct dns_query *query;
        struct ldap_attempt *ldap;
        struct krb_attempt *krb;
        struct outcome out; /* what is known so far: the last attempt's */
        validate_done_fn *fn;
        void *arg;
};

struct validate {
        struct loop *loop;
        struct config_copy *copy;
        const struct validate_config *config;
        struct dc_tools tools;
        struct dcs **dcs; /* one per domain */
        validate_ready_fn *on_ready;
        void *arg;
        struct loop_timer *ready_timer; /* tells on_ready from a turn of its own */
        TAILQ_HEAD(, validate_op) ops;
        size_t n_ops;
};

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

static void on_dcs_changed(void *arg)
{
        struct validate *v = arg;

        loop_timer_in(v->ready_timer, 0);
}

static void on_ready_timer(void *arg)
{
        struct validate *v = arg;

        if (v->on_ready)
                v->on_ready(v->arg);
}

static int domain_start(struct validate *v, size_t i, struct error *err)
{
        const struct domain_config *domain = &v->config->domains[i];
        int r = config_check_domain(domain, err);

        if (r < 0)
                return r;
        if (domain->methods[0] == METHOD_KRB5) {
                r = v->tools.krb ? 0 : krb_new(&v->tools.krb, v->loop, err);
                if (r == 0)
                        r = krb_domain_add(v->tools.krb, domain, err);
        } else {
                r = ldap_domain_add(v->tools.ldap, domain, err);
        }
        if (r < 0)
                return r;
        r = dcs_new(&v->dcs[i], &v->tools, domain, on_dcs_changed, v);
        return r < 0 ? error_fail(err, r, "domain %s: out of memory", domain->name) : 0;
}

static int fill(struct validate *v, const struct validate_config *config, struct error *err)
{
        int r = config_copy_new(&v->copy, config);

        if (r < 0)
                return error_fail(err, r, "validation: out of memory, or more than %d DCs in a domain",
                                  DCS_MAX);
        v->config = config_copy_get(v->copy);
        v->dcs = calloc(config->n_domains ? config->n_domains : 1, sizeof(struct dcs *));
        if (!v->dcs || loop_timer_new(&v->ready_timer, v->loop, NULL, on_ready_timer, v) < 0 ||
            ldap_pools_new(&v->tools.ldap, v->loop) < 0)
                return error_fail(err, -ENOMEM, "validation: out of memory");
        r = dns_new(&v->tools.dns, v->loop, err);
        for (size_t i = 0; r == 0 && i < v->config->n_domains; i++)
                r = domain_start(v, i, err);
        return r;
}

int validate_new(struct validate **ret_v, struct loop *loop, const struct validate_config *config,
                 validate_ready_fn *on_ready, void *arg, struct error *err)
{
        struct validate *v = calloc(1, sizeof *v);
        int r;

        if (!v)
                return error_fail(err, -ENOMEM, "validation: out of memory");
        TAILQ_INIT(&v->ops);
        v->loop = loop;
        v->tools.loop = loop;
        v->on_ready = on_ready;
        v->arg = arg;
        r = fill(v, config, err);
        if (r < 0) {
                validate_free(v);
                return r;
        }
        *ret_v = v;
        return 0;
}

struct validate *validate_free(struct validate *v)
{
        struct validate_op *op;

        if (!v)
                return NULL;
        while ((op = TAILQ_FIRST(&v->ops)))
                validate_cancel(op);
        for (size_t i = 0; v->dcs && i < v->config->n_domains; i++)
                dcs_free(v->dcs[i]);
        free(v->dcs);
        ldap_pools_free(v->tools.ldap);
        krb_free(v->tools.krb);
        dns_free(v->tools.dns);
        loop_timer_free(v->ready_timer);
        config_copy_free(v->copy);
        free(v);
        return NULL;
}

bool validate_ready(const struct validate *v, size_t i, const char **ret_why)
{
        if (i < v->config->n_domains)
                return dcs_ready(v->dcs[i], ret_why);
        if (ret_why)
                *ret_why = "no such domain";
        return false;
}

int validate_route(const struct validate *v, const char *name, size_t n)
{
        struct name parsed;
        enum reason reason = name_parse(&parsed, v->config, name, n);

        if (reason == REASON_OK)
                return (int)parsed.domain;
        return reason == REASON_UNKNOWN_DOMAIN ? -ENOENT : -EINVAL;
}

void validate_each_dc(const struct validate *v, validate_dc_fn *fn, void *arg)
{
        for (size_t i = 0; i < v->config->n_domains; i++) {
                for (size_t k = 0; k < dcs_count(v->dcs[i]); k++) {
                        const struct dc *dc = dcs_at(v->dcs[i], k);
                        const struct validate_dc seen = {
                                .domain = v->config->domains[i].name,
                                .host = dc_host(dc),
                                .state = dc_state_text(dc),
                                .ewma_ms = dc_ewma_ms(dc),
                                .reason = dc_failure(dc),
                                .detail = dc_failure_detail(dc),
                        };

                        fn(arg, &seen);
                }
        }
}
