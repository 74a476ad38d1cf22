/*
 * The step before the sign-in of an alternate id: which account has it.
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

static void next_dc(struct validate_op *op);

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

static void missed(struct validate_op *op, const struct ldap_found *found)
{
        struct outcome outcome = {.reason = found->reason};

        snprintf(outcome.context, sizeof outcome.context, "%s", found->context);
        snprintf(op->out.context, sizeof op->out.context, "%s", found->context);
        snprintf(op->out.dc, sizeof op->out.dc, "%s", dc_host(op->lookup.dc));
        dc_note(op->lookup.dc, &outcome);
        dc_note_sign_in(op->lookup.dc, op_account(op), &outcome);
        leave_dc(op);
        next_dc(op);
}

/* From now on the sign-in is the account's. */
static void found_account(struct validate_op *op, const struct ldap_found *found)
{
        leave_dc(op);
        if (name_set_sam(&op->name, op->domain, found->sam) < 0) {
                fail(op, REASON_LOOKUP_FAILED, "search for the account: its sAMAccountName cannot be used");
                return;
        }
        snprintf(op->lookup.sid, sizeof op->lookup.sid, "%s", found->sid);
        snprintf(op->lookup.sam, sizeof op->lookup.sam, "%s", found->sam);
        op->lookup.kind = found->kind;
        op->out.context[0] = '\0';
        op_looked_up(op, REASON_OK);
}

/* Without an alternate id the reasons are those of any name. */
static enum reason reason_of(const struct validate_op *op, enum reason reason)
{
        if (op->name.alternate)
                return reason;
        return reason == REASON_ALIAS_UNKNOWN     ? REASON_UNKNOWN_USER
               : reason == REASON_ALIAS_AMBIGUOUS ? REASON_NAME_AMBIGUOUS
                                                  : reason;
}

static void on_found(void *arg, const struct ldap_found *found)
{
        struct validate_op *op = arg;
        struct validate *v = op->v;

        op->lookup.search = NULL;
        if (found->refused)
                v->lookup_from[op->name.domain] = loop_now(v->loop) + LOOKUP_REST_MS;
        if (found->reason == REASON_OK) {
                found_account(op, found);
        } else if (found->reason == REASON_ALIAS_UNKNOWN || found->reason == REASON_ALIAS_AMBIGUOUS ||
                   found->reason == REASON_LOOKUP_FAILED) {
                snprintf(op->out.dc, sizeof op->out.dc, "%s", dc_host(op->lookup.dc));
                leave_dc(op);
                fail(op, reason_of(op, found->reason), found->context);
        } else {
                missed(op, found);
        }
}

/* A name that is no alternate id, before a fast bind: by its UPN, by sAMAccountName, or by either where it may be
 * both; two accounts are then none. */
void op_what_to_search(const struct validate_op *op, const char **ret_attribute, char value[2 * USERNAME_MAX + 2],
                       const char **ret_sam)
{
        if (op->name.form == NAME_UPN) {
                *ret_attribute = "userPrincipalName";
                *ret_sam = strcasecmp(op->name.suffix, op->domain->name) == 0 ? op->name.user : NULL;
        } else {
                *ret_attribute = "sAMAccountName";
                snprintf(value, 2 * USERNAME_MAX + 2, "%s", op->name.user);
        }
}

static void search(struct validate_op *op, const struct dns_address *address)
{
        bool patient = !dcs_has_other(op->dcs, op->lookup.dc);
        uint64_t end = patient ? op->deadline : loop_now(op->v->loop) + LOOKUP_MS;
        char value[2 * USERNAME_MAX + 2];
        const char *attribute = op->domain->alternate_id, *sam = NULL;
        struct attempt attempt = {.id = op->id,
                                  .domain = op->domain,
                                  .host = dc_host(op->lookup.dc),
                                  .address = address->storage,
                                  .address_len = address->len,
                                  .deadline = end < op->deadline ? end : op->deadline,
                                  .patient = patient};
        struct ldap_lookup_request request;

        snprintf(value, sizeof value, "%s@%s", op->name.user, op->name.suffix);
        if (!op->name.alternate)
                op_what_to_search(op, &attribute, value, &sam);
        request = (struct ldap_lookup_request){.attempt = &attempt, .attribute = attribute, .value = value, .sam = sam};
        if (ldap_lookup_start(&op->lookup.search, op->v->tools.ldap, &request, on_found, op) == 0)
                return;
        leave_dc(op);
        fail(op, REASON_OVERLOADED, "search for the account: out of memory");
}

static void unresolved(struct validate_op *op, const char *why)
{
        struct ldap_found found = {.reason = REASON_DNS};

        snprintf(found.context, sizeof found.context, "%.80s: %.120s", dc_host(op->lookup.dc), why);
        missed(op, &found);
}

static void on_resolved(void *arg, const struct dns_address *address, const char *why)
{
        struct validate_op *op = arg;

        op->lookup.query = NULL;
        log_set_id(op->id);
        if (address)
                search(op, address);
        else
                unresolved(op, why);
}

static void next_dc(struct validate_op *op)
{
        struct op_lookup *l = &op->lookup;
        struct dns_address address;
        const struct dc_config *dc;
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
        dc = dc_get_config(l->dc);
        if (dns_known(op->v->tools.dns, &address, dc->address ? dc->address : dc->host)) {
                search(op, &address);
                return;
        }
        r = dns_query_start(&l->query, op->v->tools.dns, dc->host, on_resolved, op);
        if (r < 0)
                unresolved(op, strerror(-r));
}

void op_lookup_start(struct validate_op *op)
{
        if (loop_now(op->v->loop) < op->v->lookup_from[op->name.domain])
                fail(op, REASON_LOOKUP_FAILED,
                     "search for the account: the DC refused the service account a moment ago; it is tried "
                     "again "
                     "after ten minutes, or when posternd is reloaded");
        else
                next_dc(op);
}

void op_lookup_cancel(struct validate_op *op)
{
        dns_query_cancel(op->lookup.query);
        ldap_lookup_cancel(op->lookup.search);
        leave_dc(op);
        op->lookup.query = NULL;
        op->lookup.search = NULL;
}
