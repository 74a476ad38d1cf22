/*
 * One sign-in: taken in, validated, answered, kept until the relay has it.
 *
 * Invariant: an object is in the table from its request until its verdict was confirmed, found late, or
 * lapsed; set_state is the only writer of its state; finish() is the only way out of SIGNIN_RUNNING and seals
 * before anything else. The password moves from the claims straight into the arena and belongs to validate/
 * from then on.
 */
#include "connector/validator/signin.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/core/table.h"
#include "base/core/log.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "connector/frames/messages.h"
#include "connector/validator/limit.h"
#include "connector/validator/record.h"
#include "connector/validator/shares.h"
#include "connector/validator/verdict.h"
#include "validate/types/detail.h"

#define LAPSE_MS 30000 /* a verdict that nobody confirmed is dropped this long after its deadline */
#define AGAIN_MS 100   /* until a verdict that the link's channel could not take is offered again */
#define ANSWER_MARGIN(budget)                                                                                          \
        ((budget) / 10 < 200 ? (budget) / 10 : 200) /* of the budget kept for sealing and the way back */

enum signin_state {
        SIGNIN_RUNNING = 1, /* a DC is being asked */
        SIGNIN_ANSWERED,    /* the verdict is with the link, not yet confirmed */
};

struct signin {
        TAILQ_ENTRY(signin) by_age;
        struct table_node by_id;
        struct signins *s;
        enum signin_state state;
        char id[ID_MAX + 1];
        size_t domain; /* that it is counted for; n_domains: none */
        uint64_t received, deadline;
        struct intake in;
        bool last; /* the relay has nobody else for it */
        struct validate_op *op;
        struct loop_timer *lapse;
        char *jwe; /* the verdict */
        bool unsent;
        uint32_t t_opened;
};

struct signins {
        struct signins_config c;
        size_t running, answered;
        uint64_t opened;     /* since the start: sealed to a key that is held */
        uint32_t *by_domain; /* of those that run, n_domains */
        bool draining;
        struct loop_timer *again; /* armed while a verdict is unsent */
        struct limit refusals;
        TAILQ_HEAD(, signin) all;
        struct table by_id;
};

static void count_running(struct signin *x, int by)
{
        struct signins *s = x->s;

        s->running += (size_t)by;
        if (x->domain < s->c.n_domains)
                s->by_domain[x->domain] += (uint32_t)by;
}

static void set_state(struct signin *x, enum signin_state state)
{
        if (x->state == SIGNIN_RUNNING)
                count_running(x, -1);
        if (x->state == SIGNIN_ANSWERED)
                x->s->answered--;
        x->state = state;
        if (state == SIGNIN_RUNNING)
                count_running(x, 1);
        if (state == SIGNIN_ANSWERED)
                x->s->answered++;
        log_debug("signin.state", KV_S("state", state == SIGNIN_RUNNING ? "running" : "answered"));
}

static struct signin *find(struct signins *s, const char *id)
{
        return table_object(table_find(&s->by_id, id, NULL), struct signin, by_id);
}

/* Takes it out of the table and frees it; cancels what still runs. */
static void drop(struct signin *x)
{
        struct signins *s = x->s;
        bool was_running = x->state == SIGNIN_RUNNING;

        validate_cancel(x->op);
        loop_timer_free(x->lapse);
        intake_clear(&x->in);
        TAILQ_REMOVE(&s->all, x, by_age);
        table_remove(&x->by_id);
        if (was_running)
                count_running(x, -1);
        s->answered -= !was_running;
        free(x->jwe);
        free(x);
        if (was_running && s->running == 0 && s->c.idle)
                s->c.idle(s->c.arg);
}

struct signins *signins_free(struct signins *s)
{
        struct signin *x;

        if (!s)
                return NULL;
        s->c.idle = NULL;
        while ((x = TAILQ_FIRST(&s->all)))
                drop(x);
        table_clear(&s->by_id);
        loop_timer_free(s->again);
        free(s->by_domain);
        free(s);
        return NULL;
}

static void send_declined(struct signins *s, const char *id, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DECLINED);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_WHY, why);
        s->c.to_link(s->c.arg, &m);
}

static void send_verdict(struct signin *x)
{
        struct msg_out m;

        msg_begin(&m, FRAME_VERDICT);
        msg_str(&m, TAG_ID, x->id);
        msg_str(&m, TAG_JWE, x->jwe);
        msg_u64(&m, TAG_DEADLINE, x->deadline);
        x->unsent = x->s->c.to_link(x->s->c.arg, &m) < 0;
        if (x->unsent && !loop_timer_armed(x->s->again))
                loop_timer_in(x->s->again, AGAIN_MS);
}

/* Offers what the channel could not take, until it cannot take more. */
static void on_again(void *arg)
{
        struct signins *s = arg;
        struct signin *x;

        TAILQ_FOREACH (x, &s->all, by_age) {
                if (x->state != SIGNIN_ANSWERED || !x->unsent)
                        continue;
                send_verdict(x);
                if (x->unsent)
                        return;
        }
}

int signins_new(struct signins **ret_s, const struct signins_config *config)
{
        struct signins *s = calloc(1, sizeof(*s));

        if (s)
                s->by_domain = calloc(config->n_domains + 1, sizeof(*s->by_domain));
        if (!s || !s->by_domain || loop_timer_new(&s->again, config->loop, NULL, on_again, s) < 0) {
                free(s ? s->by_domain : NULL);
                free(s);
                return -ENOMEM;
        }
        s->c = *config;
        s->refusals = (struct limit){.burst = SIGNINS_REFUSALS_BURST, .every_ms = SIGNINS_REFUSAL_EVERY_MS};
        TAILQ_INIT(&s->all);
        *ret_s = s;
        return 0;
}

static uint32_t since(const struct signin *x)
{
        return (uint32_t)(loop_now(x->s->c.loop) - x->received);
}

/*
 * Whether to record one more request that was declined, or that no service of the roster made: a relay can
 * make any number of those, and the records of real sign-ins must outlast them.
 */
static bool is_noted(struct signins *s)
{
        char text[128];
        uint64_t missed;
        bool noted = limit_take(&s->refusals, loop_now(s->c.loop), &missed);

        if (!noted && missed > 1)
                return false;
        if (!noted)
                snprintf(text, sizeof(text), "more than %d a second: only some are recorded",
                         1000 / SIGNINS_REFUSAL_EVERY_MS);
        else if (missed > 0)
                snprintf(text, sizeof(text), "%llu were not recorded", (unsigned long long)missed);
        if (!noted || missed > 0) {
                log_warning("signin.flood", KV_S("why", text));
                record_event(&s->c, "signin.flood", text);
        }
        return noted;
}

/* Everything that is known of a sign-in that ended. */
static void record(struct signin *x, const struct outcome *o)
{
        if (intake_authentic(&x->in) || is_noted(x->s))
                record_signin(&x->s->c, x->id, &x->in, o, x->t_opened, since(x));
}

static void on_lapse(void *arg)
{
        struct signin *x = arg;

        log_warning("signin.lapsed", KV_S("why", "the relay never confirmed the verdict"));
        record_delivery(x->s->c.to_ledger, x->s->c.arg, x->id, "lost");
        drop(x);
}

static int seal(struct signin *x, const struct outcome *o)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        const struct signins_config *c = &x->s->c;
        struct verdict_frame frame = {
                .signer = enckeys_signer(c->keys, loop_wall(c->loop)),
                .connector_id = c->connector_id,
                .service_id = x->in.claims->iss,
                .tenant = c->tenant,
                .jti = x->id,
                .req = x->in.req,
                .rk = x->in.claims->rk,
                .padded = x->in.padded,
                .now = loop_wall(c->loop),
                .t_opened = x->t_opened,
                .t_dc = o->ms_dc,
                .t_total = since(x),
        };
        struct error err = {""};
        int r = verdict_seal(&frame, o, &jwe, &err);

        if (r < 0) {
                log_error("signin.seal_failed", KV_S("why", err.text));
                return r;
        }
        x->jwe = buffer_steal(&jwe);
        return x->jwe ? 0 : -ENOMEM;
}

/* The one end of validation: seals, sends, records, wipes the claims. An outcome that no verdict can carry
 * becomes "internal"; where not even that can be sealed the relay hears a decline after which it asks nobody
 * else, since the password may have left. */
static void finish(struct signin *x, const struct outcome *o)
{
        struct outcome internal = {.reason = REASON_INTERNAL, .counted = o->counted, .method = o->method};
        struct signins *s = x->s;

        x->op = NULL;
        if (seal(x, o) < 0) {
                o = &internal;
                if (seal(x, o) < 0) {
                        record(x, o);
                        send_declined(s, x->id, "bad_request");
                        drop(x);
                        return;
                }
        }
        record(x, o);
        intake_clear(&x->in);
        set_state(x, SIGNIN_ANSWERED);
        loop_timer_at(x->lapse, x->deadline + LAPSE_MS);
        send_verdict(x);
        if (s->running == 0 && s->c.idle)
                s->c.idle(s->c.arg);
}

static void decline(struct signins *s, const char *id, const char *why, const struct intake *in)
{
        send_declined(s, id, why);
        if (!is_noted(s))
                return;
        log_info("signin.declined", KV_S("why", why), KV_S("detail", in ? in->detail.text : ""));
        record_declined(&s->c, id, in, why);
}

/* Whoever mistyped once must not be stopped by one of several connectors, each of which has a share of the guard's
 * limit: the next recipient takes it. The last one refuses, with the time to wait. */
static void on_validated(void *arg, const struct outcome *o)
{
        struct signin *x = arg;

        if (o->reason != REASON_THROTTLED || !o->elsewhere || x->in.claims->n_to <= 1 || x->last) {
                finish(x, o);
                return;
        }
        x->op = NULL;
        decline(x->s, x->id, "throttled", &x->in);
        drop(x);
}

/* Moves the password out of the claims into the arena; NULL with the reason where it is none. */
static enum reason take_password(struct request_claims *claims, struct secret **ret_secret)
{
        enum reason reason = REASON_OK;

        *ret_secret = NULL;
        if (claims->password_form == CREDENTIAL_EMPTY)
                reason = REASON_EMPTY_PASSWORD;
        else if (claims->password_form != CREDENTIAL_OK)
                reason = REASON_BAD_PASSWORD_FORM;
        else if (secret_new(ret_secret, claims->password, claims->password_len) < 0)
                reason = REASON_OVERLOADED;
        wipe(claims->password, sizeof(claims->password));
        return reason;
}

/* The same for the new password of a change; without one *ret_secret stays NULL and it is REASON_OK. */
static enum reason take_new_password(struct request_claims *claims, struct secret **ret_secret)
{
        enum reason reason = REASON_OK;

        *ret_secret = NULL;
        if (claims->new_password_form == CREDENTIAL_UNCHECKED)
                return REASON_OK;
        if (claims->new_password_form != CREDENTIAL_OK)
                reason = REASON_BAD_NEW_PASSWORD;
        else if (secret_new(ret_secret, claims->new_password, claims->new_password_len) < 0)
                reason = REASON_OVERLOADED;
        wipe(claims->new_password, sizeof(claims->new_password));
        return reason;
}

/* Whose name it is: a domain that the roster lets this connector speak for, or -ENOENT, or as validate_route. */
static int domain_of(const struct signins *s, const struct request_claims *claims)
{
        int domain = validate_route(s->c.validate, claims->username, claims->username_len);

        return domain >= 0 && s->c.may_speak && !s->c.may_speak(s->c.arg, (size_t)domain) ? -ENOENT : domain;
}

/* What was wrong with a name that was not even read. */
static const char *name_form_text(enum credential_form form)
{
        switch (form) {
        case CREDENTIAL_EMPTY:
                return "the name is empty";
        case CREDENTIAL_TOO_LONG:
                return "the name is over 256 bytes long";
        case CREDENTIAL_HAS_NUL:
                return "the name holds U+0000";
        case CREDENTIAL_UNCHECKED:
        case CREDENTIAL_OK:
                break;
        }
        return "the name is not there";
}

static void start_validation(struct signin *x)
{
        struct request_claims *claims = x->in.claims;
        struct validate_request request = {
                .id = x->id,
                .name = claims->username,
                .name_len = claims->username_len,
                .deadline = x->deadline,
        };
        struct outcome o = {0};
        enum reason reason;

        if (x->in.result == INTAKE_ANSWER) {
                o = (struct outcome){.reason = x->in.reason, .counted = COUNTED_NO};
                finish(x, &o);
                return;
        }
        reason = take_password(claims, &request.password);
        request.password_reason = reason;
        request.new_password_reason = take_new_password(claims, &request.new_password);
        if (request.new_password_reason == REASON_OVERLOADED)
                reason = REASON_OVERLOADED;
        if (reason == REASON_OVERLOADED || claims->username_form != CREDENTIAL_OK) {
                secret_free(request.password);
                secret_free(request.new_password);
                o = (struct outcome){.reason = reason == REASON_OVERLOADED ? reason : REASON_BAD_NAME_FORM,
                                     .counted = COUNTED_NO};
                if (o.reason == REASON_BAD_NAME_FORM)
                        snprintf(o.context, sizeof(o.context), "%s", name_form_text(claims->username_form));
                finish(x, &o);
        } else if (domain_of(x->s, claims) == -ENOENT) {
                secret_free(request.password);
                secret_free(request.new_password);
                o = (struct outcome){.reason = REASON_UNKNOWN_DOMAIN, .counted = COUNTED_NO};
                const char *meant = validate_domain_meant(x->s->c.validate, claims->username, claims->username_len);
                if (meant)
                        (void)snprintf(o.context, sizeof(o.context), "%s %.200s", detail_phrase(DETAIL_DOMAIN_MISTYPED),
                                       meant);
                finish(x, &o);
        } else if (validate_start(&x->op, x->s->c.validate, &request, on_validated, x) < 0) {
                o = (struct outcome){.reason = REASON_OVERLOADED, .counted = COUNTED_NO};
                finish(x, &o);
        }
}

/* What must be known of a name's realm before its sign-in is taken, and whether that realm has room: one whose DCs hold
 * every sign-in must not stop the others. NULL: take it; *ret_domain is then which realm's it is, or stays. */
static const char *decline_by_realm(struct signins *s, const struct intake *in, size_t *ret_domain)
{
        const struct request_claims *claims = in->claims;
        int domain;

        if (in->result != INTAKE_OPEN || claims->username_form != CREDENTIAL_OK)
                return NULL;
        domain = domain_of(s, claims);
        if (domain == -ENOENT)
                return claims->n_to > 1 ? "not_my_realm" : NULL;
        /* a name that nobody could take is refused here, not declined by one after the other */
        if (domain < 0)
                return NULL;
        /* another connector may have a live DC; the last one answers with the reason instead */
        if (!validate_ready(s->c.validate, (size_t)domain, NULL) && claims->n_to > 1)
                return "no_dc";
        if ((size_t)domain < s->c.n_domains && !share_allows(s->by_domain, s->c.n_domains, (size_t)domain, s->c.max))
                return "full";
        *ret_domain = (size_t)domain;
        return NULL;
}

static int insert(struct signins *s, const struct msg_in *m, const char *id, size_t domain, struct intake *in,
                  struct signin **ret_x)
{
        struct signin *x = calloc(1, sizeof(*x));
        uint64_t budget = msg_get_u64(m, TAG_BUDGET, BUDGET_DEFAULT);

        if (!x || loop_timer_new(&x->lapse, s->c.loop, id, on_lapse, x) < 0) {
                free(x);
                return -ENOMEM;
        }
        if (budget > BUDGET_MAX)
                budget = BUDGET_MAX;
        x->s = s;
        x->domain = domain;
        x->last = msg_get_u64(m, TAG_LAST, 0) != 0;
        memcpy(x->id, id, strlen(id) + 1);
        x->received = msg_get_u64(m, TAG_RECEIVED, loop_now(s->c.loop));
        if (x->received > loop_now(s->c.loop))
                x->received = loop_now(s->c.loop);
        x->deadline = x->received + budget - ANSWER_MARGIN(budget);
        x->in = *in;
        *in = (struct intake){0};
        x->t_opened = since(x);
        TAILQ_INSERT_TAIL(&s->all, x, by_age);
        table_add(&s->by_id, &x->by_id, x->id, NULL);
        set_state(x, SIGNIN_RUNNING);
        *ret_x = x;
        return 0;
}

static void take(struct signins *s, const struct msg_in *m, const char *id)
{
        _cleanup_(intake_clear) struct intake in = {0};
        struct intake_context ctx = {
                .keys = s->c.keys,
                .roster = s->c.roster(s->c.arg),
                .replay = s->c.replay,
                .tenant = s->c.tenant,
                .id = id,
                .now = loop_wall(s->c.loop),
        };
        const char *why = NULL;
        struct signin *x;
        const uint8_t *sealed;
        size_t n, domain = s->c.n_domains;

        sealed = msg_get_bytes(m, TAG_SEALED, &n);
        if (intake_open(&in, &ctx, (const char *)sealed, n) < 0)
                why = "full";
        else if (in.result == INTAKE_DECLINE)
                why = in.decline;
        else
                why = decline_by_realm(s, &in, &domain);
        s->opened += in.claims != NULL;
        if (msg_get_str(m, TAG_TRACE, in.trace, sizeof(in.trace)) < 0)
                in.trace[0] = '\0';
        if (s->c.clock && intake_tells_time(&in))
                clock_note(s->c.clock, CLOCK_SERVICE, in.claims->iss, in.claims->iat, loop_now(s->c.loop));
        if (!why && insert(s, m, id, domain, &in, &x) < 0)
                why = "full";
        if (why)
                decline(s, id, why, &in);
        else
                start_validation(x);
}

void signins_request(struct signins *s, const struct msg_in *m)
{
        char id[ID_MAX + 1];
        struct signin *x;

        if (msg_get_str(m, TAG_ID, id, sizeof(id)) < 0 || !id_valid(id, strlen(id))) {
                log_warning("signin.frame_without_id");
                return;
        }
        log_set_id(id);
        x = find(s, id);
        if (x && x->state == SIGNIN_ANSWERED)
                send_verdict(x);
        else if (x)
                log_warning("signin.again", KV_S("why", "the link sent a request that is already running"));
        else if (s->draining)
                decline(s, id, "draining", NULL);
        else if (s->running >= s->c.max || s->answered >= SIGNINS_UNDELIVERED_MAX)
                decline(s, id, "full", NULL);
        else
                take(s, m, id);
        log_set_id(NULL);
}

void signins_cancel(struct signins *s, const char *id)
{
        struct signin *x = find(s, id);
        struct outcome o = {.reason = REASON_CANCELLED};

        if (!x || x->state != SIGNIN_RUNNING)
                return;
        record(x, &o);
        drop(x);
}

void signins_delivered(struct signins *s, const char *id, const char *state)
{
        struct signin *x = find(s, id);

        if (!x || x->state != SIGNIN_ANSWERED)
                return;
        record_delivery(s->c.to_ledger, s->c.arg, id, state);
        drop(x);
}

void signins_resend(struct signins *s)
{
        struct signin *x;
        struct msg_out m;

        TAILQ_FOREACH (x, &s->all, by_age) {
                if (x->state == SIGNIN_ANSWERED) {
                        send_verdict(x);
                        continue;
                }
                msg_begin(&m, FRAME_HELD);
                msg_str(&m, TAG_ID, x->id);
                msg_u64(&m, TAG_DEADLINE, x->deadline);
                s->c.to_link(s->c.arg, &m);
        }
}

void signins_drain(struct signins *s)
{
        s->draining = true;
}

uint64_t signins_opened(const struct signins *s)
{
        return s->opened;
}

size_t signins_running(const struct signins *s)
{
        return s->running;
}

size_t signins_undelivered(const struct signins *s)
{
        return s->answered;
}
