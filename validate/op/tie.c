/*
 * The step after a password that was wrong by LDAP, where nothing has shown yet whose the name is: the service account
 * looks, once for each name, so that the guard counts one account under all its names. Kerberos tells that by itself.
 *
 * Invariant: whatever comes of it, the verdict stays. It takes at most TIE_MS and none beyond the operation's deadline,
 * and a DC that refused the service account is left alone as in op/lookup.c.
 */
#include <stdio.h>

#include "validate/op/internal.h"

#define LOOKUP_REST_MS (10 * 60 * 1000)
#define TIE_MS 1000

bool op_wants_tie(const struct validate_op *op)
{
        const struct domain_config *domain = op->domain;

        return !op->tied && domain && op->committed && op->out.reason == REASON_WRONG_PASSWORD &&
               (op->out.method == METHOD_LDAP || op->unasked) && domain->directory == DIRECTORY_AD &&
               domain->service_account && domain->service_password && !guard_is_tied(op->v->guard, &op->ticket);
}

static void on_found(void *arg, const struct ldap_found *found)
{
        struct validate_op *op = arg;
        struct validate *v = op->v;

        op->lookup.search = NULL;
        if (found->refused)
                v->lookup_from[op->domain - v->config->domains] = loop_now(v->loop) + LOOKUP_REST_MS;
        if (found->reason == REASON_OK)
                guard_tie(v->guard, &op->ticket, found->sid);
        op_tied(op);
}

void op_tie_start(struct validate_op *op)
{
        const struct dc_config *dc = dc_get_config(op->committed->dc);
        struct validate *v = op->v;
        uint64_t now = loop_now(v->loop), end = now + TIE_MS;
        const char *attribute, *sam = NULL;
        char value[2 * USERNAME_MAX + 2];
        struct dns_address address;
        struct attempt attempt = {.id = op->id,
                                  .domain = op->domain,
                                  .host = dc->host,
                                  .deadline = end < op->deadline ? end : op->deadline};
        struct ldap_lookup_request request = {.attempt = &attempt};

        op->tied = true;
        snprintf(value, sizeof value, "%s@%s", op->name.user, op->name.suffix);
        op_what_to_search(op, &attribute, value, &sam);
        request.attribute = attribute;
        request.value = value;
        request.sam = sam;
        if (now < v->lookup_from[op->domain - v->config->domains] ||
            !dns_known(v->tools.dns, &address, dc->address ? dc->address : dc->host)) {
                op_tied(op);
                return;
        }
        attempt.address = address.storage;
        attempt.address_len = address.len;
        if (ldap_lookup_start(&op->lookup.search, v->tools.ldap, &request, on_found, op) < 0)
                op_tied(op);
}
