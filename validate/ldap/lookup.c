/*
 * One look-up by the service account on a pooled connection.
 *
 * Invariants: at most two entries are ever asked for; the value goes into the filter as an assertion value,
 * in BER, where no character of it means anything; an answer that is malformed or has no SID finds nobody.
 * The service account's password is sent once. It tries no other DC.
 */
#include "validate/ldap/lookup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "validate/ldap/details.h"
#include "validate/ldap/identity.h"

#define LDAP_SIZE_LIMIT_EXCEEDED 4
#define ATTRIBUTE_MAX 64

enum lookup_state {
        LOOKUP_NEW = 0, /* waits for the loop */
        LOOKUP_CONNECT, /* waits for a connection */
        LOOKUP_BIND,
        LOOKUP_SEARCH,
        LOOKUP_DETAILS,
        LOOKUP_DONE,
};

struct ldap_lookup {
        struct method_run run; /* the first */
        struct ldap_pools *pools;
        struct ldap_pool *pool;
        const struct domain_config *domain;
        const char *host;
        char id[ID_MAX + 1], attribute[ATTRIBUTE_MAX + 1], value[USERNAME_MAX + 1], sam[USERNAME_MAX + 1];
        uint64_t deadline, started;
        enum lookup_state state;
        struct loop_timer *timer;
        struct ldap_waiter waiter;
        struct ldap_conn *conn;
        size_t entries;
        bool malformed;
        uint32_t type, control;      /* sAMAccountType and userAccountControl */
        char base[SID_TEXT_MAX + 8]; /* "<SID=S-1-...>" where attributes are read; else "" */
        struct ldap_details details;
        struct method_found found;
        method_found_fn *fn;
        void *arg;
};

static const char *const state_names[] = {
        [LOOKUP_NEW] = "new",       [LOOKUP_CONNECT] = "connect", [LOOKUP_BIND] = "bind",
        [LOOKUP_SEARCH] = "search", [LOOKUP_DETAILS] = "details", [LOOKUP_DONE] = "done"};

/* The one writer of state. */
static void state_set(struct ldap_lookup *l, enum lookup_state state)
{
        log_debug("ldap_lookup", KV_S("dc", l->host), KV_S("from", state_names[l->state]),
                  KV_S("to", state_names[state]));
        l->state = state;
}

static void release(struct ldap_lookup *l, bool reusable)
{
        if (l->pool)
                ldap_pool_stop_waiting(l->pool, &l->waiter);
        if (l->conn)
                ldap_pool_release(l->pool, l->conn, reusable);
        loop_timer_free(l->timer);
        free(l);
}

/* Where the type is not told, a search has asked for people's accounts; a computer's name ends with a $. */
static enum account_kind kind_of(const struct ldap_lookup *l)
{
        enum account_kind kind = ldap_account_kind(l->type | l->details.type, l->control | l->details.control);
        size_t n = strlen(l->found.sam);

        if (kind != ACCOUNT_UNKNOWN || n == 0)
                return kind;
        return l->found.sam[n - 1] == '$' ? ACCOUNT_OTHER : ACCOUNT_PERSON;
}

/* The one end. */
static void finish(struct ldap_lookup *l, enum reason reason, const char *why)
{
        struct method_found found = l->found;
        method_found_fn *fn = l->fn;
        void *arg = l->arg;
        bool reusable = reason == REASON_OK || reason == REASON_ALIAS_UNKNOWN;

        found.reason = reason;
        found.kind = kind_of(l);
        found.ms = (uint32_t)(loop_now(ldap_pools_loop(l->pools)) - l->started);
        if (why)
                snprintf(found.context, sizeof found.context, "search for the account: %.200s", why);
        state_set(l, LOOKUP_DONE);
        release(l, reusable);
        fn(arg, &found);
}

static void send_request(struct ldap_lookup *l, struct buffer *request, int r)
{
        if (r == 0)
                r = ldap_conn_send(l->conn, request);
        buffer_free(request);
        if (r < 0)
                finish(l, REASON_LOOKUP_FAILED, "the request could not be built or sent");
}

static void enter_search(struct ldap_lookup *l)
{
        static const char *const attributes[] = {"sAMAccountName", "objectSid", "sAMAccountType", "userAccountControl",
                                                 NULL};
        char base[DOMAIN_BASE_MAX];
        struct ldap_search search = {.base = domain_search_base(base, l->domain),
                                     .attribute = l->attribute,
                                     .value = l->value,
                                     .or_attribute = l->sam[0] ? "sAMAccountName" : NULL,
                                     .or_value = l->sam,
                                     .size_limit = 2,
                                     .attributes = attributes};
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);

        state_set(l, LOOKUP_SEARCH);
        send_request(l, &request, ldap_encode_search(&request, ldap_conn_next_id(l->conn), &search));
}

/* The next question about the account, or the end. */
static void next_detail(struct ldap_lookup *l)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        int r = ldap_details_ask(&l->details, &request, ldap_conn_next_id(l->conn));

        if (r != 1) {
                send_request(l, &request, r);
                return;
        }
        ldap_details_result(&l->details, &l->found.details);
        if (l->found.details.state == DETAILS_UNAVAILABLE)
                finish(l, REASON_LOOKUP_FAILED, "the service account cannot read the account");
        else
                finish(l, REASON_OK, NULL);
}

static void bind_done(struct ldap_lookup *l, const struct ldap_message *m)
{
        const struct ldap_refusal refusal = {.result = m->result,
                                             .diagnostic = m->diagnostic.data,
                                             .n = m->diagnostic.n,
                                             .ad = l->domain->directory == DIRECTORY_AD};
        struct outcome outcome = {0};
        char why[320];

        if (m->op != LDAP_OP_BIND_RESPONSE) {
                finish(l, REASON_LOOKUP_FAILED, "the DC answers the bind by a message of another kind");
                return;
        }
        outcome_from_ldap(&outcome, &refusal);
        if (outcome.reason == REASON_OK && l->base[0]) {
                state_set(l, LOOKUP_DETAILS);
                l->details = (struct ldap_details){.domain = l->domain, .base = l->base};
                next_detail(l);
        } else if (outcome.reason == REASON_OK) {
                enter_search(l);
        } else {
                l->found.refused = reason_info(outcome.reason)->verdict == VERDICT_REFUSED;
                snprintf(why, sizeof why, "the service account's bind: %s (%s)", reason_info(outcome.reason)->id,
                         outcome.context);
                finish(l, REASON_LOOKUP_FAILED, why);
        }
}

static void on_found_value(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        struct ldap_lookup *l = arg;

        if (ldap_bytes_is(attribute, "sAMAccountName") && index == 0)
                ldap_bytes_text(l->found.sam, sizeof l->found.sam, value);
        if (ldap_bytes_is(attribute, "sAMAccountType"))
                l->type = ldap_number(value);
        if (ldap_bytes_is(attribute, "userAccountControl"))
                l->control = ldap_number(value);
        if (ldap_bytes_is(attribute, "objectSid") && (index > 0 || ldap_sid_text(l->found.sid, value) < 0))
                l->malformed = true;
}

static void search_done(struct ldap_lookup *l, const struct ldap_message *m)
{
        char why[64];

        if (m->op == LDAP_OP_DONE && (l->entries > 1 || m->result == LDAP_SIZE_LIMIT_EXCEEDED)) {
                finish(l, REASON_ALIAS_AMBIGUOUS, "several accounts have this value");
        } else if (m->op != LDAP_OP_DONE || m->result != 0) {
                snprintf(why, sizeof why, "LDAP result %d", (int)m->result);
                finish(l, REASON_LOOKUP_FAILED, why);
        } else if (l->entries == 0) {
                finish(l, REASON_ALIAS_UNKNOWN, NULL);
        } else if (l->malformed || !l->found.sam[0] || !l->found.sid[0]) {
                finish(l, REASON_LOOKUP_FAILED, "the account was found without sAMAccountName or objectSid");
        } else {
                finish(l, REASON_OK, NULL);
        }
}

static void on_look_up_message(void *arg, const struct ldap_message *m)
{
        struct ldap_lookup *l = arg;

        if (l->state == LOOKUP_BIND) {
                bind_done(l, m);
        } else if (l->state == LOOKUP_DETAILS && (m->op == LDAP_OP_ENTRY || m->op == LDAP_OP_REFERENCE)) {
                ldap_details_entry(&l->details, m);
        } else if (l->state == LOOKUP_DETAILS) {
                ldap_details_done(&l->details, m);
                next_detail(l);
        } else if (m->op == LDAP_OP_ENTRY) {
                l->malformed = ldap_entry_each(m, on_found_value, l) < 0 || l->malformed;
                l->entries++;
        } else if (m->op != LDAP_OP_REFERENCE) {
                search_done(l, m);
        }
}

static void on_look_up_lost(void *arg, enum reason reason, const char *why, bool left)
{
        struct ldap_lookup *l = arg;

        (void)left;
        l->conn = NULL;
        finish(l, reason, why);
}

static void on_look_up_conn(void *arg, struct ldap_conn *conn, bool used)
{
        struct ldap_lookup *l = arg;
        struct ldap_conn_user user = {
                .id = l->id, .on_message = on_look_up_message, .on_lost = on_look_up_lost, .arg = l};
        struct buffer request = BUFFER_SECRET(LDAP_REQUEST_MAX);

        (void)used;
        l->conn = conn;
        ldap_conn_attach(conn, &user);
        state_set(l, LOOKUP_BIND);
        send_request(l, &request,
                     ldap_encode_bind(&request, ldap_conn_next_id(l->conn), l->domain->service_account,
                                      l->domain->service_password));
}

static void on_look_up_none(void *arg, enum reason reason, const char *why)
{
        finish(arg, reason, why);
}

static void on_look_up_timer(void *arg)
{
        struct ldap_lookup *l = arg;

        switch (l->state) {
        case LOOKUP_NEW:
                state_set(l, LOOKUP_CONNECT);
                loop_timer_at(l->timer, l->deadline);
                ldap_pool_wait(l->pool, &l->waiter);
                return;
        case LOOKUP_CONNECT:
                finish(l, ldap_pool_obstacle(l->pool), "no connection to the DC in time");
                return;
        case LOOKUP_BIND:
        case LOOKUP_SEARCH:
        case LOOKUP_DETAILS:
                finish(l, REASON_DC_TIMEOUT, "no answer in time");
                return;
        case LOOKUP_DONE:
                return;
        }
}

static void lookup_cancel(struct method_run *run)
{
        struct ldap_lookup *l = (struct ldap_lookup *)run;

        state_set(l, LOOKUP_DONE);
        release(l, false);
}

int ldap_lookup_start(struct method_run **ret, struct method_instance *method, const struct method_look_up *request,
                      method_found_fn *fn, void *arg)
{
        static const struct method_ops ops = {.cancel = lookup_cancel};
        struct ldap_pools *pools = (struct ldap_pools *)method;
        const struct attempt *attempt = request->attempt;
        struct ldap_lookup *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        l->run.ops = &ops;
        l->pools = pools;
        l->domain = attempt->domain;
        l->host = attempt->host;
        l->deadline = attempt->deadline;
        l->started = loop_now(ldap_pools_loop(pools));
        snprintf(l->id, sizeof l->id, "%s", attempt->id ? attempt->id : "");
        if (request->sid) {
                snprintf(l->base, sizeof l->base, "<SID=%s>", request->sid);
        } else {
                snprintf(l->attribute, sizeof l->attribute, "%s", request->attribute);
                snprintf(l->value, sizeof l->value, "%s", request->value);
                snprintf(l->sam, sizeof l->sam, "%s", request->sam ? request->sam : "");
        }
        l->waiter = (struct ldap_waiter){.on_conn = on_look_up_conn, .on_none = on_look_up_none, .arg = l};
        l->fn = fn;
        l->arg = arg;
        l->pool = ldap_pool_find(pools, attempt);
        if (!l->pool || loop_timer_new(&l->timer, ldap_pools_loop(pools), l->id, on_look_up_timer, l) < 0) {
                free(l);
                return -ENOMEM;
        }
        loop_timer_in(l->timer, 0);
        *ret = &l->run;
        return 0;
}
