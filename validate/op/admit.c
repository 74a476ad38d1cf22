/*
 * What may reach a DC: the form of passwords and names, and which domain a name is of. Everything else is answered
 * without asking anybody.
 */
#include <stdio.h>
#include <string.h>

#include "validate/op/internal.h"

#define OPS_MAX 1024

/* Whether the password may be shown to a DC. */
static enum reason check_password(const struct validate_request *request)
{
        const struct secret *s = request->password;

        if (!s)
                return request->password_reason == REASON_BAD_PASSWORD_FORM ? REASON_BAD_PASSWORD_FORM
                                                                            : REASON_EMPTY_PASSWORD;
        if (secret_len(s) == 0)
                return REASON_EMPTY_PASSWORD;
        if (memchr(secret_text(s), '\0', secret_len(s)) || !utf8_valid(secret_text(s), secret_len(s)))
                return REASON_BAD_PASSWORD_FORM;
        return REASON_OK;
}

/* Whether a new password, if there is one, may be set. */
static enum reason check_new_password(const struct validate_request *request)
{
        const struct secret *s = request->new_password;

        if (!s)
                return request->new_password_reason == REASON_BAD_NEW_PASSWORD ? REASON_BAD_NEW_PASSWORD : REASON_OK;
        if (secret_len(s) == 0 || memchr(secret_text(s), '\0', secret_len(s)) ||
            !utf8_valid(secret_text(s), secret_len(s)) || (request->password && secret_equal(s, request->password)))
                return REASON_BAD_NEW_PASSWORD;
        return REASON_OK;
}

uint64_t op_account(const struct validate_op *op)
{
        char folded[USERNAME_MAX + 1];
        uint64_t h = 14695981039346656037ULL ^ (uint64_t)op->name.domain; /* FNV-1a */

        name_fold(folded, sizeof folded, op->name.user);
        for (const char *s = folded; *s; s++)
                h = (h ^ (uint8_t)*s) * 1099511628211ULL;
        return h | 1;
}

void op_admit(struct validate_op *op, const struct validate_request *request)
{
        struct validate *v = op->v;
        enum reason reason = name_parse(&op->name, v->config, request->name, request->name_len);
        char why[NAME_FAULT_MAX];

        /* the name's form before the password's: a name that nobody could have says what is wrong with it */
        if (reason == REASON_BAD_NAME_FORM) {
                name_fault(v->config, request->name, request->name_len, why);
                snprintf(op->out.context, sizeof op->out.context, "%s", why);
        }
        if (reason == REASON_OK)
                reason = check_password(request);
        if (reason == REASON_OK)
                reason = check_new_password(request);
        if (reason == REASON_OK && v->n_ops > OPS_MAX)
                reason = REASON_OVERLOADED;
        if (reason == REASON_OK && op->new_password && !v->config->domains[op->name.domain].password_change)
                reason = REASON_CHANGE_UNAVAILABLE;
        if (reason == REASON_OK) {
                op->domain = &v->config->domains[op->name.domain];
                op->dcs = v->dcs[op->name.domain];
                return;
        }
        op->answered = true;
        op->out.reason = reason;
        op->out.counted = COUNTED_NO;
        op->password = secret_free(op->password);
        op->new_password = secret_free(op->new_password);
}
