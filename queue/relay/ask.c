/*
 * Answers that wait for the store process.
 *
 * Invariant: an ask ends with its request, whichever of the two is first: the process's word, or the client's going
 * away. A tenant may be gone when the word comes, so whoever goes on looks it up again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/relay/relay.h"

void ask_settle(struct ask *a)
{
        if (a->call)
                return;
        if (a->clear)
                a->clear(a->more);
        json_decref(a->list);
        free(a);
}

static void on_end(void *arg, int code)
{
        struct ask *a = arg;

        a->call = NULL;
        http_on_close(a->r, NULL, NULL);
        a->then(a, code);
        ask_settle(a);
}

static void on_close(void *arg)
{
        struct ask *a = arg;

        store_client_forget(a->call);
        a->call = NULL;
        ask_settle(a);
}

void ask_failed(const struct ask *a, int code)
{
        if (code == -EHOSTUNREACH)
                http_problem(a->r, &(struct problem){.type = PROBLEM_NO_QUORUM,
                                                     .detail = store_client_state(a->relay->store)->why,
                                                     .retry_after = 10});
        else
                http_fail(a->r, PROBLEM_INTERNAL, "the database failed");
}

struct ask *ask_new(struct relay *relay, struct http_req *r, const struct tenant *t, const char *id)
{
        struct ask *a = calloc(1, sizeof(*a));

        if (!a) {
                http_fail(r, PROBLEM_INTERNAL, "no memory");
                return NULL;
        }
        a->relay = relay;
        a->r = r;
        memcpy(a->tenant, t->name, sizeof(a->tenant));
        if (id)
                memcpy(a->id, id, strnlen(id, sizeof(a->id) - 1));
        return a;
}

void ask_store(struct ask *a, const struct store_request *request, store_row_fn *row, ask_then_fn *then)
{
        a->then = then;
        http_on_close(a->r, on_close, a);
        a->call = store_client_call(a->relay->store, request, row, on_end, a);
        if (a->call)
                return;
        http_on_close(a->r, NULL, NULL);
        http_fail(a->r, PROBLEM_INTERNAL, "no memory");
}
