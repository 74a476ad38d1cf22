/*
 * One sign-in by LDAP simple bind at one DC, or one probe.
 *
 * Invariants: the password is sent at most once, on a connection whose certificate was checked, and only by
 * state BIND; a connection that is lost before the request left is replaced by a fresh one, afterwards
 * nothing is sent again. An accepted outcome carries the account's id, read on the account's own bind. Which
 * DC to ask, and whether another one after this, is the dispatcher's business.
 */
#include "validate/types/method.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/log.h"
#include "validate/ldap/details.h"
#include "validate/ldap/identity.h"
#include "validate/ldap/lookup.h"
#include "validate/ldap/pool.h"
#include "validate/types/detail.h"

#define STALE_MS 5000 /* idle for longer: ask for a sign of life first (AD drops idle connections) */
#define LOST_MAX 3    /* used connections that may prove dead before the DC counts as refusing */
#define CONNECT_TIMEOUT_MS 2000
#define CHECK_PATIENT_MS                                                                                               \
        1500            /* for a sign of life where there is no other DC; a fresh connection is something better */
#define DETAILS_MS 2000 /* for the attributes of an account that is accepted already */
#define LDAP_BUSY 51
#define LDAP_UNAVAILABLE 52
#define NO_SEARCH_RESPONSE "the DC answers the search by a message of another kind"

enum attempt_state {
        ATTEMPT_NEW = 0, /* waits for the loop */
        ATTEMPT_CONNECT, /* waits for a connection */
        ATTEMPT_CHECK,   /* reads the rootDSE: the probe itself, or before a bind on a connection long idle */
        ATTEMPT_FAST,    /* a fresh connection is made one for fast binds */
        ATTEMPT_BIND,    /* the password is on its way */
        ATTEMPT_WHO,     /* asks which account that was: rootDSE (AD) or "Who am I" */
        ATTEMPT_LOOK_UP, /* reads that account */
        ATTEMPT_DETAILS, /* reads the attributes that the verdict is to carry */
        ATTEMPT_DONE,
};

struct ldap_attempt {
        struct method_run run; /* the first */
        struct ldap_pools *pools;
        struct ldap_pool *pool;
        struct attempt in;
        char id[ID_MAX + 1];
        bool probe;
        attempt_done_fn *fn;
        void *arg;
        enum attempt_state state;
        struct loop_timer *timer; /* the deadline, or a shorter one of the state */
        struct ldap_waiter waiter;
        struct ldap_conn *conn;
        bool conn_used; /* it was open before */
        bool left;
        unsigned lost;
        uint64_t started, asked;
        struct ldap_who who;
        struct ldap_details details;
        struct outcome outcome;
};

static const char *const state_names[] = {
        [ATTEMPT_NEW] = "new",         [ATTEMPT_CONNECT] = "connect", [ATTEMPT_CHECK] = "check",
        [ATTEMPT_FAST] = "fast",       [ATTEMPT_BIND] = "bind",       [ATTEMPT_WHO] = "who",
        [ATTEMPT_LOOK_UP] = "look_up", [ATTEMPT_DETAILS] = "details", [ATTEMPT_DONE] = "done"};

/* The one writer of state. */
static void state_set(struct ldap_attempt *a, enum attempt_state state)
{
        log_debug("ldap_attempt", KV_S("dc", a->in.host), KV_S("from", state_names[a->state]),
                  KV_S("to", state_names[state]));
        a->state = state;
}

/* Gives the connection back; whatever is still under way on it closes it. */
static void drop_conn(struct ldap_attempt *a, bool reusable)
{
        struct ldap_conn *conn = a->conn;

        a->conn = NULL;
        if (conn)
                ldap_pool_release(a->pool, conn, reusable);
}

static void attempt_free(struct ldap_attempt *a)
{
        loop_timer_free(a->timer);
        free(a);
}

/* The one end. reusable: the connection may serve others. */
static void finish(struct ldap_attempt *a, bool reusable)
{
        struct outcome outcome;
        uint64_t now = loop_now(ldap_pools_loop(a->pools));
        attempt_done_fn *fn = a->fn;
        void *arg = a->arg;
        bool left = a->left;

        if (a->state == ATTEMPT_DONE)
                return;
        state_set(a, ATTEMPT_DONE);
        a->outcome.method = METHOD_LDAP;
        a->outcome.ms_total = (uint32_t)(now - a->started);
        if (a->asked)
                a->outcome.ms_dc = (uint32_t)(now - a->asked);
        snprintf(a->outcome.dc, sizeof a->outcome.dc, "%s", a->in.host);
        outcome = a->outcome;
        if (a->pool)
                ldap_pool_stop_waiting(a->pool, &a->waiter);
        drop_conn(a, reusable);
        attempt_free(a);
        fn(arg, &outcome, left);
}

/* Ends before any answer about the password. */
static void finish_failed(struct ldap_attempt *a, enum reason reason, const char *why)
{
        a->outcome.reason = reason;
        a->outcome.password_proved = false;
        a->outcome.counted = a->left ? COUNTED_UNKNOWN : COUNTED_NO;
        snprintf(a->outcome.context, sizeof a->outcome.context, "%s", why);
        finish(a, false);
}

/* Ends with what was read of the account's attributes, if anything was to be. */
static void finish_details(struct ldap_attempt *a, bool reusable)
{
        ldap_details_result(&a->details, &a->outcome.details);
        outcome_require_details(&a->outcome, a->in.domain->attributes_required,
                                "the account's own bind could not read its attributes");
        finish(a, reusable);
}

static void details_lost(struct ldap_attempt *a)
{
        a->details.failed = true;
        finish_details(a, false);
}

/* Ends after the bind was accepted, without knowing who it was. */
static void finish_nobody(struct ldap_attempt *a, const char *why, bool reusable)
{
        a->outcome.reason = REASON_NO_IDENTITY;
        snprintf(a->outcome.context, sizeof a->outcome.context, "%s", why);
        finish(a, reusable);
}

/* Sends a built request; the state says what it asks. */
static void send_request(struct ldap_attempt *a, struct buffer *request, int r)
{
        if (r == 0)
                r = ldap_conn_send(a->conn, request);
        buffer_free(request);
        if (r == 0)
                return;
        if (a->state == ATTEMPT_DETAILS)
                details_lost(a);
        else if (a->state == ATTEMPT_WHO || a->state == ATTEMPT_LOOK_UP)
                finish_nobody(a, "the question who it was could not be sent", false);
        else
                finish_failed(a, REASON_OVERLOADED, "the request could not be built or sent");
}

static void heard(const struct ldap_attempt *a)
{
        if (a->in.heard)
                a->in.heard(a->in.arg);
}

static void arm(struct ldap_attempt *a, uint64_t limit_ms)
{
        uint64_t at = loop_now(ldap_pools_loop(a->pools)) + limit_ms;

        loop_timer_at(a->timer, limit_ms && at < a->in.deadline ? at : a->in.deadline);
}

static uint32_t connect_timeout(const struct ldap_attempt *a)
{
        return a->in.domain->connect_timeout_ms ? a->in.domain->connect_timeout_ms : CONNECT_TIMEOUT_MS;
}

/* For a sign of life on a used connection, so that there is time left for a fresh one. */
static uint64_t check_limit(const struct ldap_attempt *a)
{
        uint64_t now = loop_now(ldap_pools_loop(a->pools));
        uint64_t least = connect_timeout(a) / 2, third = a->in.deadline > now ? (a->in.deadline - now) / 3 : 0;

        if (!a->in.patient || least >= CHECK_PATIENT_MS)
                return least;
        return third < CHECK_PATIENT_MS ? third : CHECK_PATIENT_MS;
}

static void enter_check(struct ldap_attempt *a)
{
        static const char *const attributes[] = {"currentTime", NULL};
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        bool root = a->probe && a->in.domain->directory == DIRECTORY_AD;
        int32_t id = ldap_conn_next_id(a->conn);

        state_set(a, ATTEMPT_CHECK);
        if (a->probe)
                a->asked = loop_now(ldap_pools_loop(a->pools));
        arm(a, a->probe ? 0 : check_limit(a));
        send_request(a, &request,
                     root ? ldap_encode_root(&request, id) : ldap_encode_read(&request, id, "", NULL, attributes));
}

static void enter_bind(struct ldap_attempt *a)
{
        struct buffer request = BUFFER_SECRET(LDAP_REQUEST_MAX);
        char name[LDAP_BIND_NAME_MAX];
        int r;

        state_set(a, ATTEMPT_BIND);
        if (a->in.commit)
                a->in.commit(a->in.arg);
        arm(a, 0);
        a->asked = loop_now(ldap_pools_loop(a->pools));
        a->outcome.ms_connect = (uint32_t)(a->asked - a->started);
        r = ldap_bind_name(name, a->in.domain, a->in.name);
        if (r == 0)
                r = ldap_encode_bind(&request, ldap_conn_next_id(a->conn), name, a->in.password);
        send_request(a, &request, r);
}

static void enter_fast(struct ldap_attempt *a)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);

        state_set(a, ATTEMPT_FAST);
        arm(a, a->in.patient ? 0 : connect_timeout(a));
        send_request(a, &request, ldap_encode_extended(&request, ldap_conn_next_id(a->conn), LDAP_OID_FAST_BIND));
}

static void fast_done(struct ldap_attempt *a, const struct ldap_message *m)
{
        char why[80];

        if (m->op == LDAP_OP_EXTENDED && m->result == 0) {
                enter_bind(a);
                return;
        }
        snprintf(why, sizeof why, "the DC offers no fast bind (LDAP result %d): set fast_bind = no", (int)m->result);
        finish_failed(a, REASON_DC_ERROR, why);
}

/* The bind says nothing about whose it was: the account was searched for before, and its name bound as. */
static void finish_known(struct ldap_attempt *a)
{
        struct identity *user = &a->outcome.user;

        user->kind = a->in.known_kind;
        snprintf(user->id, sizeof user->id, "%s", a->in.known_sid);
        snprintf(user->sam, sizeof user->sam, "%s", a->in.known_sam);
        snprintf(user->domain, sizeof user->domain, "%s", a->in.domain->name);
        if (!user->id[0])
                a->outcome.reason = REASON_NO_IDENTITY;
        finish(a, true);
}

static void enter_who(struct ldap_attempt *a)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);

        state_set(a, ATTEMPT_WHO);
        send_request(a, &request, ldap_who_ask(&request, ldap_conn_next_id(a->conn), a->in.domain));
}

static void enter_look_up(struct ldap_attempt *a)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        int r;

        state_set(a, ATTEMPT_LOOK_UP);
        r = ldap_who_look_up(&request, ldap_conn_next_id(a->conn), &a->who);
        if (r == -ENOENT)
                finish_nobody(a, "the DC does not say which account the bind was for", true);
        else
                send_request(a, &request, r);
}

static void on_attempt_conn(void *arg, struct ldap_conn *conn, bool used);
static void on_attempt_none(void *arg, enum reason reason, const char *why);

static void enter_connect(struct ldap_attempt *a)
{
        state_set(a, ATTEMPT_CONNECT);
        arm(a, 0);
        a->waiter.on_conn = on_attempt_conn;
        a->waiter.on_none = on_attempt_none;
        a->waiter.arg = a;
        a->waiter.first = a->probe;
        ldap_pool_wait(a->pool, &a->waiter);
}

/* A fresh connection takes the place of one that may be dead without saying so, as may those that idle beside it. */
static void reconnect(struct ldap_attempt *a)
{
        state_set(a, ATTEMPT_CONNECT);
        ldap_pool_drop_idle(a->pool);
        drop_conn(a, false);
        enter_connect(a);
}

/* A used connection that proves dead before the password left costs only time. */
static void on_attempt_lost(void *arg, enum reason reason, const char *why, bool left)
{
        struct ldap_attempt *a = arg;

        a->conn = NULL;
        a->left = a->left || (left && a->state == ATTEMPT_BIND);
        if (a->state == ATTEMPT_DETAILS) {
                details_lost(a);
        } else if (a->state == ATTEMPT_WHO || a->state == ATTEMPT_LOOK_UP) {
                finish_nobody(a, why, false);
        } else if (a->left) {
                finish_failed(a, REASON_OUTCOME_UNKNOWN, why);
        } else if (a->conn_used && a->lost++ < LOST_MAX) {
                ldap_pool_drop_idle(a->pool);
                enter_connect(a);
        } else {
                finish_failed(a, reason, why);
        }
}

/* The rootDSE's currentTime ([MS-ADTS] 3.1.1.3.2.6), in generalized time: how far the DC's clock is off; and which SID
 * its domain has. */
static void on_root(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        struct ldap_attempt *a = arg;
        struct tm tm = {0};
        char text[32];

        if (ldap_bytes_is(attribute, "defaultNamingContext") && index == 0)
                (void)ldap_extended_sid(a->outcome.domain_sid, value);
        if (!ldap_bytes_is(attribute, "currentTime") || index > 0 || value->n < 14 || value->n >= sizeof text)
                return;
        memcpy(text, value->data, value->n);
        text[value->n] = '\0';
        if (strspn(text, "0123456789") == 14 && strptime(text, "%Y%m%d%H%M%S", &tm))
                a->outcome.dc_clock = timegm(&tm);
}

static void note_result(struct ldap_attempt *a, const struct ldap_message *m)
{
        const struct ldap_refusal refusal = {.result = m->result,
                                             .diagnostic = m->diagnostic.data,
                                             .n = m->diagnostic.n,
                                             .ad = a->in.domain->directory == DIRECTORY_AD,
                                             .fast = a->in.fast};

        outcome_from_ldap(&a->outcome, &refusal);
}

/* A DC that answers a probe is alive, even where it shows nothing to the nameless. */
static void check_done(struct ldap_attempt *a, const struct ldap_message *m)
{
        int64_t skew = a->outcome.dc_clock ? a->outcome.dc_clock - loop_wall(ldap_pools_loop(a->pools)) : 0;

        if (m->op != LDAP_OP_DONE) {
                finish_failed(a, REASON_DC_PROTOCOL, NO_SEARCH_RESPONSE);
        } else if (!a->probe) {
                enter_bind(a);
        } else if (m->result == LDAP_BUSY || m->result == LDAP_UNAVAILABLE) {
                note_result(a, m);
                finish(a, false);
        } else if (skew > CLOCK_SKEW_MAX || skew < -CLOCK_SKEW_MAX) {
                a->outcome.reason = REASON_CLOCK_SKEW;
                snprintf(a->outcome.context, sizeof a->outcome.context, "its clock is %lld %s", llabs((long long)skew),
                         detail_phrase(skew > 0 ? DETAIL_CLOCK_AHEAD : DETAIL_CLOCK_BEHIND));
                finish(a, true);
        } else {
                a->outcome.reason = REASON_OK;
                finish(a, true);
        }
}

static void bind_done(struct ldap_attempt *a, const struct ldap_message *m)
{
        if (m->op != LDAP_OP_BIND_RESPONSE) {
                finish_failed(a, REASON_DC_PROTOCOL, "the DC answers the bind by a message of another kind");
                return;
        }
        note_result(a, m);
        if (a->outcome.reason == REASON_OK && a->in.fast) {
                finish_known(a);
        } else if (a->outcome.reason == REASON_OK) {
                /* not yet: nobody is accepted before it is known who it is */
                a->outcome.reason = REASON_NO_IDENTITY;
                enter_who(a);
        } else {
                finish(a, reason_info(a->outcome.reason)->verdict == VERDICT_REFUSED);
        }
}

/* The next question about the account, or the end. */
static void next_detail(struct ldap_attempt *a)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        int r = ldap_details_ask(&a->details, &request, ldap_conn_next_id(a->conn));

        if (r == 1)
                finish_details(a, true);
        else
                send_request(a, &request, r);
}

static void look_up_done(struct ldap_attempt *a, const struct ldap_message *m)
{
        const char *why = NULL;

        if (m->op != LDAP_OP_DONE || ldap_who_identity(&a->outcome.user, &a->who, a->in.domain, &why) < 0) {
                finish_nobody(a, why ? why : NO_SEARCH_RESPONSE, m->op == LDAP_OP_DONE);
                return;
        }
        a->outcome.reason = REASON_OK;
        a->outcome.context[0] = '\0';
        if (!a->in.domain->attributes[0]) {
                finish(a, true);
                return;
        }
        state_set(a, ATTEMPT_DETAILS);
        arm(a, DETAILS_MS);
        a->details = (struct ldap_details){.domain = a->in.domain, .base = a->who.base};
        next_detail(a);
}

/* Entries are collected; whatever ends the request moves on. */
static void on_attempt_message(void *arg, const struct ldap_message *m)
{
        struct ldap_attempt *a = arg;
        bool part = m->op == LDAP_OP_ENTRY || m->op == LDAP_OP_REFERENCE;

        heard(a);
        switch (a->state) {
        case ATTEMPT_CHECK:
                if (!part)
                        check_done(a, m);
                else if (a->probe && m->op == LDAP_OP_ENTRY)
                        ldap_entry_each(m, on_root, a);
                return;
        case ATTEMPT_FAST:
                if (!part)
                        fast_done(a, m);
                return;
        case ATTEMPT_BIND:
                a->left = true; /* what answers has been read */
                bind_done(a, m);
                return;
        case ATTEMPT_WHO:
                if (part) {
                        ldap_who_entry(&a->who, m);
                } else {
                        ldap_who_done(&a->who, m);
                        enter_look_up(a);
                }
                return;
        case ATTEMPT_LOOK_UP:
                if (part)
                        ldap_who_account(&a->who, m);
                else
                        look_up_done(a, m);
                return;
        case ATTEMPT_DETAILS:
                if (part) {
                        ldap_details_entry(&a->details, m);
                } else {
                        ldap_details_done(&a->details, m);
                        next_detail(a);
                }
                return;
        case ATTEMPT_NEW:
        case ATTEMPT_CONNECT:
        case ATTEMPT_DONE:
                return;
        }
}

/* The pool calls from inside other sign-ins' callbacks: log lines bear this one's id meanwhile. */
static void id_enter(char outer[ID_MAX + 1], const struct ldap_attempt *a)
{
        const char *id = log_get_id();

        snprintf(outer, ID_MAX + 1, "%s", id ? id : "");
        log_set_id(a->id);
}

static void on_attempt_conn(void *arg, struct ldap_conn *conn, bool used)
{
        struct ldap_attempt *a = arg;
        struct ldap_conn_user user = {
                .id = a->id, .on_message = on_attempt_message, .on_lost = on_attempt_lost, .arg = a};
        uint64_t idle = loop_now(ldap_pools_loop(a->pools)) - ldap_conn_idle_since(conn);
        char outer[ID_MAX + 1];

        id_enter(outer, a);
        a->conn = conn;
        a->conn_used = used;
        ldap_conn_attach(conn, &user);
        if (!used)
                heard(a);
        if (a->in.fast && used && idle > STALE_MS) /* nothing but a bind may be asked on it, so no sign of life */
                reconnect(a);
        else if (a->in.fast && !used)
                enter_fast(a);
        else if (a->probe || (used && idle > STALE_MS))
                enter_check(a);
        else
                enter_bind(a);
        log_set_id(outer);
}

static void on_attempt_none(void *arg, enum reason reason, const char *why)
{
        struct ldap_attempt *a = arg;
        char outer[ID_MAX + 1];

        id_enter(outer, a);
        finish_failed(a, reason, why);
        log_set_id(outer);
}

static void connect_late(struct ldap_attempt *a)
{
        enum reason reason = ldap_pool_obstacle(a->pool);

        finish_failed(a, reason,
                      reason == REASON_OVERLOADED       ? "all connections to the DC serve other sign-ins"
                      : reason == REASON_DC_TLS_TIMEOUT ? "no TLS handshake with the DC in time"
                                                        : "no connection to the DC in time");
}

static void on_attempt_timer(void *arg)
{
        struct ldap_attempt *a = arg;
        bool in_time = loop_now(ldap_pools_loop(a->pools)) < a->in.deadline;

        switch (a->state) {
        case ATTEMPT_NEW:
                if (in_time)
                        enter_connect(a);
                else
                        finish_failed(a, REASON_DEADLINE, "no time left");
                return;
        case ATTEMPT_CONNECT:
                connect_late(a);
                return;
        case ATTEMPT_CHECK: /* it does not answer a mere read */
                if (!a->probe && a->conn_used && a->lost++ == 0 && in_time)
                        reconnect(a);
                else
                        finish_failed(a, REASON_DC_TIMEOUT, "no answer to a read of the rootDSE");
                return;
        case ATTEMPT_FAST:
                finish_failed(a, REASON_DC_TIMEOUT, "no answer to the request for fast binds");
                return;
        case ATTEMPT_BIND:
                a->left = ldap_conn_left(a->conn);
                finish_failed(a, a->left ? REASON_OUTCOME_UNKNOWN : REASON_DC_TIMEOUT, "no answer to the bind in time");
                return;
        case ATTEMPT_WHO:
        case ATTEMPT_LOOK_UP:
                finish_nobody(a, "no time left to read which account it was", false);
                return;
        case ATTEMPT_DETAILS:
                details_lost(a);
                return;
        case ATTEMPT_DONE:
                return;
        }
}

static int attempt_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                         attempt_done_fn *fn, void *arg)
{
        struct ldap_pools *pools = (struct ldap_pools *)method;
        struct ldap_attempt *a = calloc(1, sizeof *a);

        if (!a)
                return -ENOMEM;
        a->run.ops = &ldap_ops;
        a->pools = pools;
        a->in = *attempt;
        snprintf(a->id, sizeof a->id, "%s", attempt->id ? attempt->id : "");
        a->fn = fn;
        a->arg = arg;
        a->started = loop_now(ldap_pools_loop(pools));
        a->pool = ldap_pool_find(pools, attempt);
        if (!a->pool || loop_timer_new(&a->timer, ldap_pools_loop(pools), a->id, on_attempt_timer, a) < 0) {
                attempt_free(a);
                return -ENOMEM;
        }
        loop_timer_in(a->timer, 0);
        *ret = &a->run;
        return 0;
}

static int probe_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                       attempt_done_fn *fn, void *arg)
{
        int r = attempt_start(ret, method, attempt, fn, arg);

        if (r == 0)
                ((struct ldap_attempt *)*ret)->probe = true;
        return r;
}

static void attempt_expire(struct method_run *run)
{
        on_attempt_timer(run);
}

static void attempt_cancel(struct method_run *run)
{
        struct ldap_attempt *a = (struct ldap_attempt *)run;

        state_set(a, ATTEMPT_DONE);
        ldap_pool_stop_waiting(a->pool, &a->waiter);
        drop_conn(a, true); /* closed unless at rest */
        attempt_free(a);
}

const struct method_ops ldap_ops = {.domain_add = ldap_domain_add,
                                    .start = attempt_start,
                                    .probe = probe_start,
                                    .look_up = ldap_lookup_start,
                                    .cancel = attempt_cancel,
                                    .expire = attempt_expire,
                                    .free = ldap_pools_free};
