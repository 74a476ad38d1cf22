/*
 * Look-ups in the table of reasons and the words of the enums.
 *
 * The rows are in outcome-table.c; foreign codes are mapped to reasons in outcome-map.c.
 */
#include "validate/types/outcome.h"

#include <stdio.h>
#include <string.h>

#include "validate/types/outcome-table.h"

const struct reason_info *reason_info(enum reason reason)
{
        unsigned i = (unsigned)reason;

        return &outcome_reasons[i < REASON_MAX ? i : REASON_INTERNAL];
}

enum reason reason_from_id(const char *id)
{
        for (unsigned i = 0; i < REASON_MAX; i++)
                if (strcmp(outcome_reasons[i].id, id) == 0)
                        return (enum reason)i;
        return REASON_MAX;
}

const char *reason_user_text(enum reason reason, bool password_proved)
{
        const struct reason_info *info = reason_info(reason);

        /* The guard's word says nothing of the account: it counts names that do not exist, too. */
        if (info->class == VERDICT_CLASS_POLICY && !password_proved && reason != REASON_THROTTLED)
                return USER_POLICY_HIDDEN;
        return info->user_text;
}

const char *verdict_text(enum verdict v)
{
        switch (v) {
        case VERDICT_ACCEPTED:
                return "accepted";
        case VERDICT_REFUSED:
                return "refused";
        case VERDICT_UNAVAILABLE:
                break;
        }
        return "unavailable";
}

const char *verdict_class_text(enum verdict_class c)
{
        switch (c) {
        case VERDICT_CLASS_NONE:
                return "none";
        case VERDICT_CLASS_CREDENTIALS:
                return "credentials";
        case VERDICT_CLASS_POLICY:
                return "policy";
        case VERDICT_CLASS_INFRASTRUCTURE:
                break;
        }
        return "infrastructure";
}

const char *counted_text(enum counted c)
{
        switch (c) {
        case COUNTED_NO:
                return "0";
        case COUNTED_YES:
                return "1";
        case COUNTED_UNKNOWN:
                break;
        }
        return "unknown";
}

const char *method_text(enum method m)
{
        switch (m) {
        case METHOD_KRB5:
                return "krb5";
        case METHOD_LDAP:
                return "ldap";
        case METHOD_NONE:
                break;
        }
        return "";
}

void outcome_require_details(struct outcome *out, bool required, const char *why)
{
        if (out->details.state != DETAILS_UNAVAILABLE || out->reason != REASON_OK)
                return;
        snprintf(out->context, sizeof out->context, "%s", why);
        if (!required)
                return;
        out->reason = REASON_ATTRIBUTES_UNAVAILABLE;
        out->user = (struct identity){0};
}
