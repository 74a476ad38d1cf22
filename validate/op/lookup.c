/*
 * The step before the sign-in of an alternate id, which account has it; and what all steps share that ask something
 * beside the sign-in's own attempt.
 *
 * Invariant: one DC after the other, each once, until one answers; after the DC refused the service account
 * nothing is searched for LOOKUP_REST_MS, so that a wrong password of its own never locks it out. No user's
 * password is touched here.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "validate/op/internal.h"

#define LOOKUP_REST_MS (10 * 60 * 1000)
#define LOOKUP_MS 3000 /* for one DC, where there are others */

static void fail(struct validate_op *op, enum reason reason, const char *context)
{
        snprintf(op->out.context, sizeof op->out.context, "%s", context);
        op->out.counted = COUNTED_NO;
        op_looked_up(op, reason);
}

static void leave_dc(struct validate_op *op)
{
        if (op->lookup.dc)
                dc_release(op->lookup.dc);
        op->lookup.dc = NULL;
}

static void missed(struct validate_op *op, const struct method_found *found)
{
        struct outcome outcome = {.reason = found->reason};

        snprintf(outcome.context, sizeof outcome.context, "%s", found->context);
        snprintf(op->out.context, sizeof op->out.context, "%s", found->context);
        snprintf(op->out.dc, sizeof op->out.dc, "%s", dc_host(op->lookup.dc));
        dc_note(op->lookup.dc, &outcome);
        dc_note_sign_in(op->lookup.dc, op_account(op), &outcome);
        leave_dc(op);
        op_lookup_start(op);
}

static void lookup_found(struct validate_op *op, const struct method_found *found)
{
        enum reason reason = found->reason;

        if (!op->name.alternate) /* the reasons are those of any name */
                reason = reason == REASON_ALIAS_UNKNOWN     ? REASON_UNKNOWN_USER
                         : reason == REASON_ALIAS_AMBIGUOUS ? REASON_NAME_AMBIGUOUS
                                                            : reason;
        if (found->reason == REASON_OK) {
                leave_dc(op);
                if (name_set_sam(&op->name, op->domain, found->sam) < 0) {
                        fail(op, REASON_LOOKUP_FAILED, "search for the account: its sAMAccountName cannot be used");
                        return;
                }
                /* from now on the sign-in is the account's */
                snprintf(op->lookup.sid, sizeof op->lookup.sid, "%s", found->sid);
                snprintf(op->lookup.sam, sizeof op->lookup.sam, "%s", found->sam);
                op->lookup.kind = found->kind;
                op->out.context[0] = '\0';
                op_looked_up(op, REASON_OK);
        } else if (found->reason == REASON_ALIAS_UNKNOWN || found->reason == REASON_ALIAS_AMBIGUOUS ||
                   found->reason == REASON_LOOKUP_FAILED) {
                snprintf(op->out.dc, sizeof op->out.dc, "%s", dc_host(op->lookup.dc));
                leave_dc(op);
                fail(op, reason, found->context);
        } else {
                missed(op, found);
        }
}

struct method_look_up op_what_to_search(const struct validate_op *op, char value[OP_VALUE_MAX])
{
        bool upn = op->name.alternate || op->name.form == NAME_UPN;

        snprintf(value, OP_VALUE_MAX, "%s%s%s", op->name.user, upn ? "@" : "", upn ? op->name.suffix : "");
        return (struct method_look_up){
                .attribute = op->name.alternate ? op->domain->alternate_id
                             : upn              ? "userPrincipalName"
                                                : "sAMAccountName",
                .value = value,
                .sam = !op->name.alternate && upn && strcasecmp(op->name.suffix, op->domain->name) == 0 ? op->name.user
                                                                                                        : NULL};
}

bool op_side_attempt(struct attempt *ret_attempt, const struct validate_op *op, const struct dc *dc, uint64_t ms)
{
        uint64_t end = loop_now(op->v->loop) + ms;
        struct dns_address address;

        if (!dc_address(dc, &address))
                return false;
        *ret_attempt = (struct attempt){.id = op->id,
                                        .domain = op->domain,
                                        .host = dc_host(dc),
                                        .address = address.storage,
                                        .address_len = address.len,
                                        .deadline = end < op->deadline ? end : op->deadline};
        return true;
}

static void on_look_up_found(void *arg, const struct method_found *found)
{
        struct validate_op *op = arg;

        op->lookup.search = NULL;
        if (found->refused)
                op->v->lookup_from[op->domain - op->v->config->domains] = loop_now(op->v->loop) + LOOKUP_REST_MS;
        op->lookup.found(op, found);
}

const char *op_search_start(struct validate_op *op, const struct dc *dc, uint64_t ms,
                            const struct method_look_up *look_up, op_found_fn *fn)
{
        struct method_instance *ldap = op->v->tools.methods[METHOD_LDAP];
        struct method_look_up asked = *look_up;
        struct attempt attempt;

        if (loop_now(op->v->loop) < op->v->lookup_from[op->domain - op->v->config->domains])
                return "the DC refused the service account a moment ago; it is tried again after ten minutes, or when "
                       "posternd is reloaded";
        if (!op_side_attempt(&attempt, op, dc, ms))
                return "the DC's address is not known any more";
        attempt.patient = !dcs_has_other(op->dcs, dc);
        asked.attempt = &attempt;
        op->lookup.found = fn;
        return ldap->ops->look_up(&op->lookup.search, ldap, &asked, on_look_up_found, op) < 0 ? "out of memory" : NULL;
}

static void search(struct validate_op *op)
{
        uint64_t ms = dcs_has_other(op->dcs, op->lookup.dc) ? LOOKUP_MS : op->deadline;
        char value[OP_VALUE_MAX], context[200];
        struct method_look_up look_up = op_what_to_search(op, value);
        const char *why = op_search_start(op, op->lookup.dc, ms, &look_up, lookup_found);

        if (!why)
                return;
        snprintf(context, sizeof context, "search for the account: %s", why);
        leave_dc(op);
        fail(op, REASON_LOOKUP_FAILED, context);
}

static void unresolved(struct validate_op *op, const char *why)
{
        struct method_found nothing = {.reason = REASON_DNS};

        snprintf(nothing.context, sizeof nothing.context, "%.80s: %.120s", dc_host(op->lookup.dc), why);
        missed(op, &nothing);
}

static void on_look_up_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct validate_op *op = arg;

        op->lookup.query = NULL;
        log_set_id(op->id);
        if (address)
                search(op);
        else
                unresolved(op, why);
}

void op_lookup_start(struct validate_op *op)
{
        struct op_lookup *l = &op->lookup;
        struct dns_address address;
        int r;

        l->dc = dcs_choose(op->dcs, l->tried, op_account(op));
        if (!l->dc) {
                if (l->tried == 0)
                        dcs_explain(op->dcs, &op->out);
                else
                        op->out.reason = REASON_NO_DC;
                op->out.counted = COUNTED_NO;
                op_looked_up(op, op->out.reason);
                return;
        }
        dc_hold(l->dc);
        l->tried |= dc_bit(l->dc);
        r = dc_resolve(l->dc, &address, &l->query, on_look_up_resolved, op);
        if (r > 0)
                search(op);
        else if (r < 0)
                unresolved(op, strerror(-r));
}

void op_lookup_cancel(struct validate_op *op)
{
        dns_query_cancel(op->lookup.query);
        method_cancel(op->lookup.search);
        leave_dc(op);
        op->lookup.query = NULL;
        op->lookup.search = NULL;
}
