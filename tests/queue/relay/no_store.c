/*
 * What no_store.h says.
 */
#include "tests/queue/relay/no_store.h"

#include <errno.h>

void (*no_store_event)(const char *tenant, const struct store_event *event);

struct store_call *store_client_call(struct store_client *client, const struct store_request *request,
                                     store_row_fn *row, store_end_fn *end, void *arg)
{
        (void)client;
        (void)row;
        (void)end;
        (void)arg;
        if (request->op == STORE_EVENT && no_store_event)
                no_store_event(request->tenant, request->bytes);
        return NULL;
}

void store_client_forget(struct store_call *call)
{
        (void)call;
}

bool store_client_busy(const struct store_client *client)
{
        (void)client;
        return false;
}

const struct store_state *store_client_state(const struct store_client *client)
{
        static const struct store_state state = {.writable = true};

        (void)client;
        return &state;
}

int store_client_new(struct store_client **ret_client, struct loop *loop, const struct relay_config *conf,
                     const struct store_client_ops *ops, void *arg, struct error *err)
{
        (void)ret_client;
        (void)loop;
        (void)conf;
        (void)ops;
        (void)arg;
        return error_fail(err, -ENOSYS, "not in this test");
}

int store_client_reload(struct store_client *client, struct error *err)
{
        (void)client;
        (void)err;
        return 0;
}

struct store_client *store_client_free(struct store_client *client)
{
        (void)client;
        return NULL;
}
