/*
 * Questions of the doors: each is one exchange (queue/seal/exchange.h).
 *
 * Invariant: a question that is in the list has not been answered; it leaves it by its one answer, or when it is
 * forgotten. Its passwords live in the arena until then, since a second attempt may have to be sealed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/gateway/sealer/sealer-internal.h"

#define GRACE_MS 300 /* behind the budget: by then the link has said that its time is over */

struct question {
        TAILQ_ENTRY(question) link;
        struct seal_process *s;
        struct exchange *exchange;
        struct loop_timer *timer;
        struct table_node node; /* of asked, by id */
        uint64_t keys_n;        /* the fetch that it waits for; 0: none */
        bool posted, change, marked;
        struct mark mark;
        char posted_id[ID_MAX + 1];
        char user[GATEWAY_USER_MAX + 1], app[128], ip[64], agent[256], trace[64], id[ID_MAX + 1];
        struct secret *password, *new_password;
        struct sign_in_params params;
};

bool questions_forbidden(const struct seal_process *s)
{
        return s->unguarded[0] && !s->config->without_guard;
}

struct exchange_now questions_now(const struct seal_process *s)
{
        return (struct exchange_now){.ms = loop_now(s->process.loop), .wall = loop_wall(s->process.loop)};
}

static void question_free(struct question *q)
{
        struct seal_process *s = q->s;

        TAILQ_REMOVE(&s->questions, q, link);
        s->n_questions--;
        table_remove(&q->node);
        q->exchange = exchange_free(q->exchange);
        q->timer = loop_timer_free(q->timer);
        secret_free(q->password);
        secret_free(q->new_password);
        wipe(q, sizeof(*q));
        free(q);
}

static void cancel_post(const struct question *q)
{
        struct msg_out m;

        if (!q->posted || !q->s->link)
                return;
        msg_begin(&m, FRAME_CANCEL);
        msg_str(&m, TAG_ID, q->posted_id);
        sealer_send(q->s, q->s->link, &m);
}

/* ---- the answer ---- */

static void answer_verdict(struct msg_out *m, const struct verdict_claims *v)
{
        msg_str(m, TAG_VERDICT, v->verdict);
        msg_str(m, TAG_CLASS, v->class);
        msg_str(m, TAG_REASON, v->reason);
        msg_u64(m, TAG_PROVED, v->password_proved);
        msg_str(m, TAG_COUNTED, v->may_have_counted);
        if (v->retry_after)
                msg_u64(m, TAG_RETRY, v->retry_after);
        if (strcmp(v->verdict, "accepted") != 0)
                return;
        msg_str(m, TAG_USER_ID, v->user_id);
        msg_str(m, TAG_DOMAIN, v->user_domain);
        msg_str(m, TAG_UPN, *v->user_upn ? v->user_upn : NULL);
        msg_str(m, TAG_SAM, *v->user_sam ? v->user_sam : NULL);
        msg_str(m, TAG_GUID, *v->user_guid ? v->user_guid : NULL);
        msg_str(m, TAG_ATTRIBUTES_STATE, v->attributes_state);
        if (v->attributes_state)
                msg_bytes(m, TAG_ATTRIBUTES, v->attributes.bytes, v->attributes.len);
}

static void answer(struct seal_process *s, const char *id, const struct sign_in_result *r, bool remembered)
{
        struct msg_out m;

        if (!s->doors)
                return;
        msg_begin(&m, FRAME_ANSWER);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_SHOWN, r->id);
        if (r->has_verdict) {
                answer_verdict(&m, &r->verdict);
                msg_str(&m, TAG_CONNECTOR, *r->connector ? r->connector : NULL);
        } else {
                msg_str(&m, TAG_VERDICT, "unavailable");
                msg_str(&m, TAG_CLASS, "infrastructure");
                msg_str(&m, TAG_REASON, r->problem);
                msg_u64(&m, TAG_PROVED, 0);
                msg_str(&m, TAG_COUNTED, strcmp(r->started, "no") == 0 ? "0" : "unknown");
                msg_str(&m, TAG_WHY, r->detail);
        }
        if (remembered)
                msg_u64(&m, TAG_REMEMBERED, 1);
        sealer_send(s, s->doors, &m);
        wipe(m.data, m.len);
}

/* What never became an exchange. */
static void refuse(struct seal_process *s, const char *id, const char *word, const char *why)
{
        struct sign_in_result r = {.started = "no"};

        wire_text_cut(r.problem, sizeof(r.problem), word, strlen(word));
        wire_text_cut(r.id, sizeof(r.id), id, strlen(id));
        wire_text_cut(r.detail, sizeof(r.detail), why, strlen(why));
        answer(s, id, &r, false);
}

static void finish(struct question *q)
{
        struct seal_process *s = q->s;
        const struct sign_in_result *r = exchange_result(q->exchange);

        if (q->marked && q->change) /* whatever became of it: the password may be another one now */
                memory_drop_name(s->memory, &q->mark);
        else if (q->marked)
                memory_take(s->memory, &q->mark, r);
        answer(s, q->id, r, false);
        question_free(q);
}

/* ---- the steps ---- */

static void answered(struct question *q, const struct exchange_answer *a)
{
        q->posted = false;
        exchange_answered(q->exchange, a, questions_now(q->s));
}

/* True: the request is the link's now. */
static bool post(struct question *q)
{
        struct exchange_post p;
        struct msg_out m;

        if (!q->s->link) {
                answered(q, &(struct exchange_answer){.code = -ECONNREFUSED, .why = "the gateway's link is not there"});
                return false;
        }
        exchange_post(q->exchange, loop_now(q->s->process.loop), &p);
        wire_text_cut(q->posted_id, sizeof(q->posted_id), p.id, strlen(p.id));
        msg_begin(&m, FRAME_POST);
        msg_str(&m, TAG_ID, p.id);
        msg_bytes(&m, TAG_SEALED, p.body, p.n);
        msg_u64(&m, TAG_BUDGET, p.budget_ms);
        msg_u64(&m, TAG_TIMEOUT, p.timeout_ms);
        msg_str(&m, TAG_TRACE, p.traceparent);
        q->posted = true;
        sealer_send(q->s, q->s->link, &m);
        return true;
}

/* Does what the exchange asks for, as far as it goes now. q may be gone behind it. */
static void proceed(struct question *q)
{
        for (;;) {
                switch (exchange_step(q->exchange)) {
                case EXCHANGE_KEYS:
                        q->keys_n = sealer_want_keys(q->s);
                        return;
                case EXCHANGE_POST:
                        if (post(q))
                                return;
                        break;
                case EXCHANGE_DONE:
                        finish(q);
                        return;
                }
        }
}

static void on_deadline(void *arg)
{
        struct question *q = arg;
        const struct exchange_answer late = {.code = -ETIMEDOUT, .why = "no answer came within the budget"};

        if (q->posted) {
                cancel_post(q);
                answered(q, &late);
        } else {
                exchange_keys_failed(q->exchange, &late, questions_now(q->s));
        }
        if (exchange_step(q->exchange) == EXCHANGE_DONE)
                finish(q);
        else
                loop_timer_in(q->timer, GRACE_MS);
}

bool questions_keys(struct seal_process *s, uint64_t n, const struct exchange_answer *failed)
{
        struct question *q = TAILQ_FIRST(&s->questions), *next;
        struct error err = {""};
        bool others = false;

        for (; q; q = next) {
                next = TAILQ_NEXT(q, link);
                others = others || q->keys_n > n;
                if (!q->keys_n || q->keys_n > n)
                        continue;
                q->keys_n = 0;
                if (failed)
                        exchange_keys_failed(q->exchange, failed, questions_now(s));
                else if (exchange_keys(q->exchange, questions_now(s), &err) < 0)
                        exchange_keys_failed(q->exchange, &(struct exchange_answer){.status = 200, .why = err.text},
                                             questions_now(s));
                proceed(q);
        }
        return others;
}

static struct question *question_of(struct seal_process *s, const char *id)
{
        return table_object(table_find(&s->asked, id, NULL), struct question, node);
}

/* Whether the relay has several nodes: the link sets aside the one that answered that nobody started. */
static bool has_another_node(const struct seal_process *s)
{
        const char *relay = s->service.relay + strspn(s->service.relay, " ");

        relay += strcspn(relay, " ");
        return s->config->n_relays ? s->config->n_relays > 1 : relay[strspn(relay, " ")] != '\0';
}

void questions_reply(struct seal_process *s, const struct msg_in *m)
{
        char id[ID_MAX + 1], first[ID_MAX + 1], type[128], why[256];
        struct exchange_answer a = {.status = (long)(msg_get_u64(m, TAG_STATUS, 0) & 0xffff),
                                    .code = -(int)(msg_get_u64(m, TAG_CODE, EIO) & 0xffff),
                                    .elsewhere = has_another_node(s)};
        struct question *q;

        if (msg_get_str(m, TAG_ID, id, sizeof(id)) != 0)
                return;
        /* the request's id is the question's, or that of its second attempt */
        wire_text_cut(first, sizeof(first), id, id_first(id));
        q = question_of(s, first);
        if (!q || !q->posted || strcmp(q->posted_id, id) != 0)
                return;
        a.body = (const char *)msg_get_bytes(m, TAG_BODY, &a.n);
        a.body = a.body ? a.body : "";
        a.content_type = msg_get_str(m, TAG_TYPE, type, sizeof(type)) == 0 ? type : "";
        a.why = msg_get_str(m, TAG_WHY, why, sizeof(why)) == 0 ? why : "";
        answered(q, &a);
        proceed(q);
}

void questions_link_lost(struct seal_process *s)
{
        struct question *q = TAILQ_FIRST(&s->questions), *next;

        for (; q; q = next) {
                next = TAILQ_NEXT(q, link);
                if (!q->posted)
                        continue;
                answered(q, &(struct exchange_answer){.code = -EIO, .why = "the gateway's link ended"});
                proceed(q);
        }
}

/* ---- asking ---- */

static int take_secret(struct secret **ret, const struct msg_in *m, uint8_t tag)
{
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, tag, &n);

        return n ? secret_new(ret, bytes, n) : 0;
}

/* Takes what the frame says. 0; negative: no memory, no room in the arena. */
static int fill(struct question *q, const struct msg_in *m)
{
        size_t n;
        const uint8_t *user = msg_get_bytes(m, TAG_USER, &n);
        int r = msg_get_str(m, TAG_ID, q->id, sizeof(q->id));

        q->change = msg_get_u64(m, TAG_CHANGE, 0) != 0;
        r = r < 0 ? r : msg_get_str(m, TAG_APP, q->app, sizeof(q->app));
        if (r < 0 || !id_valid(q->id, strlen(q->id)) || strlen(q->id) > ID_MAX - strlen(ID_SECOND))
                return -EBADMSG;
        if (n)
                memcpy(q->user, user, n);
        (void)msg_get_str(m, TAG_CLIENT_IP, q->ip, sizeof(q->ip));
        (void)msg_get_str(m, TAG_CLIENT_AGENT, q->agent, sizeof(q->agent));
        (void)msg_get_str(m, TAG_TRACE, q->trace, sizeof(q->trace));
        r = take_secret(&q->password, m, TAG_PASSWORD);
        r = r < 0 ? r : take_secret(&q->new_password, m, TAG_NEW_PASSWORD);
        q->params = (struct sign_in_params){.username = q->user,
                                            .username_len = n,
                                            .password = q->password,
                                            .change_password = q->change,
                                            .new_password = q->new_password,
                                            .client_ip = *q->ip ? q->ip : NULL,
                                            .client_agent = *q->agent ? q->agent : NULL,
                                            .traceparent = *q->trace ? q->trace : NULL,
                                            .client_app = q->app,
                                            .id = q->id};
        return r < 0 ? r : loop_timer_new(&q->timer, q->s->process.loop, q->id, on_deadline, q);
}

/* Whether the same question was answered moments ago, which it is again. */
static bool recalled(struct question *q)
{
        const struct sign_in_result *kept = memory_find(q->s->memory, &q->mark);

        if (kept)
                answer(q->s, q->id, kept, true);
        return kept != NULL;
}

void questions_ask(struct seal_process *s, const struct msg_in *m)
{
        struct error err = {"out of memory"};
        struct question *q = calloc(1, sizeof(*q));
        const uint32_t budget = (uint32_t)(msg_get_u64(m, TAG_BUDGET, 0) & 0xffff);
        char id[ID_MAX + 1];
        int r;

        if (!q || msg_get_str(m, TAG_ID, id, sizeof(id)) < 0 || question_of(s, id)) {
                free(q);
                return;
        }
        if (questions_forbidden(s)) {
                free(q);
                refuse(s, id, "not-ready", s->unguarded);
                return;
        }
        q->s = s;
        TAILQ_INSERT_TAIL(&s->questions, q, link);
        s->n_questions++;
        r = s->n_questions > s->config->in_flight ? error_fail(&err, -EAGAIN, "too much is under way") : fill(q, m);
        if (r == 0)
                q->marked = memory_mark(s->memory,
                                        &(struct memory_question){q->app, q->user, q->params.username_len, q->password},
                                        &q->mark) == 0;
        if (r == 0 && q->marked && !q->change && msg_get_u64(m, TAG_RECALL, 0) && recalled(q)) {
                question_free(q);
                return;
        }
        r = r < 0 ? r : exchange_new(&q->exchange, s->sealer, &q->params, budget, questions_now(s), &err);
        if (r < 0) {
                log_warning("question.refused", KV_S("id", id), KV_S("why", err.text));
                question_free(q);
                refuse(s, id, "internal", err.text);
                return;
        }
        table_add(&s->asked, &q->node, q->id, NULL);
        loop_timer_in(q->timer, budget + GRACE_MS);
        proceed(q);
}

void questions_drop(struct seal_process *s)
{
        struct question *q;

        while ((q = TAILQ_FIRST(&s->questions))) {
                cancel_post(q);
                question_free(q);
        }
}
