/*
 * Questions of people: down by the stream as requests come, each answer up by a POST of its own, so that none of it
 * waits for a report or takes a sign-in's credit.
 *
 * A question is never kept over the end of its session, and an answer is sent once: whoever asked asks again. Nothing
 * is opened here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/link/internal.h"
#include "queue/wire/question.h"

#define URL_MAX 800
#define ANSWER_TIMEOUT 15000
#define LINK_QUESTIONS_MAX 8

struct link_question {
        LIST_ENTRY(link_question) entry;
        struct link *link;
        char id[ID_MAX + 1], session[ID_MAX + 1];
        uint64_t ends_at;
        struct https_call *call; /* its answer is on its way */
};

static void drop(struct link_question *q)
{
        LIST_REMOVE(q, entry);
        q->link->n_questions--;
        https_cancel(q->call);
        free(q);
}

void link_questions_clear(struct link *l)
{
        struct link_question *q;

        while ((q = LIST_FIRST(&l->questions)))
                drop(q);
}

static struct link_question *find(struct link *l, const char *id)
{
        struct link_question *q;

        LIST_FOREACH (q, &l->questions, entry)
                if (!q->call && strcmp(q->id, id) == 0)
                        return q;
        return NULL;
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct link_question *q = arg;

        (void)answer;
        if (status != 204)
                log_debug("link.answer_lost", KV_S("question", q->id), KV_I("status", status), KV_S("why", why));
        q->call = NULL;
        drop(q);
}

/* Posts the answer, or the reason why there is none. */
static void post(struct link_question *q, const char *type, const char *body, size_t n)
{
        _cleanup_(buffer_free) struct buffer url = BUFFER(URL_MAX);
        struct https_request request = {.method = "POST",
                                        .content_type = type,
                                        .body = body,
                                        .body_len = n,
                                        .timeout_ms = ANSWER_TIMEOUT,
                                        .max_body = 16384};
        const struct https_handlers handlers = {.on_done = on_done, .arg = q};
        struct error err = {""};
        int r = buffer_printf(&url, "%s/v1/link/answers/%s/%s", q->link->relay, q->session, q->id);

        request.url = url.data;
        r = r < 0 ? error_fail(&err, r, "the relay's URL is too long")
                  : https_start(q->link->https, &q->call, &request, &handlers, &err);
        if (r == 0)
                return;
        log_debug("link.answer_lost", KV_S("question", q->id), KV_S("why", err.text));
        drop(q);
}

static void decline(struct link_question *q, const char *why)
{
        char body[64];
        const int n = snprintf(body, sizeof(body), "{\"declined\":\"%s\"}", why);

        post(q, "application/json", body, (size_t)n);
}

bool link_answer(struct link *l, const char *id, const char *jwe)
{
        struct link_question *q = find(l, id);

        if (!q)
                return false;
        if (strlen(jwe) <= ANSWER_JWE_MAX && link_jose_text(jwe))
                post(q, "application/jose", jwe, strlen(jwe));
        else
                decline(q, "full");
        return true;
}

bool link_answer_declined(struct link *l, const char *id, const char *why)
{
        struct link_question *q = find(l, id);

        if (q)
                decline(q, decline_why_valid(why) ? why : "full");
        return q != NULL;
}

/* Those that the validator left without a word. */
static void sweep(struct link *l)
{
        struct link_question *q, *next;

        for (q = LIST_FIRST(&l->questions); q; q = next) {
                next = LIST_NEXT(q, entry);
                if (!q->call && loop_now(l->loop) > q->ends_at)
                        drop(q);
        }
}

int link_question_event(struct link *l, const char *data, size_t n, struct error *err)
{
        const uint64_t now = loop_now(l->loop);
        struct request_event e = {0};
        struct link_question *q;
        struct sealed sealed;
        int r = request_event_decode(&e, data, n, err);

        if (r < 0)
                return r;
        sweep(l);
        q = l->n_questions < LINK_QUESTIONS_MAX && !find(l, e.id) ? calloc(1, sizeof(*q)) : NULL;
        if (!q) { /* the relay bounds them itself: its caller hears that no answer came */
                log_debug("link.question_dropped", KV_S("question", e.id));
                request_event_clear(&e);
                return 0;
        }
        q->link = l;
        q->ends_at = now + e.budget;
        memcpy(q->id, e.id, sizeof(q->id));
        memcpy(q->session, l->hello.session, sizeof(q->session));
        LIST_INSERT_HEAD(&l->questions, q, entry);
        l->n_questions++;
        if (sealed_read(&sealed, e.sealed, strlen(e.sealed), err) < 0 || sealed.n != 1)
                decline(q, "bad_request");
        else if (l->draining || !l->cb->on_question)
                decline(q, "draining");
        else
                l->cb->on_question(l->arg, e.id, e.budget, now, e.sealed, strlen(e.sealed));
        request_event_clear(&e);
        return 0;
}
