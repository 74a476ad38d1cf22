/*
 * Foreign codes -> reasons: LDAP results with AD's sub-codes, KRB-ERROR codes and the NTSTATUS behind them.
 *
 * Invariant: total. A code that is in no row of outcome-table.c ends as unavailable with its raw value shown.
 * password_proved is said only for codes that AD gives after it checked the password, and over Kerberos only
 * when our own preauthentication was in the request and the answer inside the armour; outside it such a code is a
 * claim. Sources: [MS-ERREF], [MS-KILE], RFC 4511, RFC 4120 and
 * measurements (Samba answers LDAP data 52f for Protected Users to a wrong password, too).
 */
#include "validate/types/outcome.h"

#include <stdio.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/types/edata.h"
#include "validate/types/outcome-table.h"

#define LDAP_SUCCESS 0
#define LDAP_INVALID_CREDENTIALS 49
#define SEC_E_BAD_BINDINGS "80090346"
#define KRB_POLICY 12
#define KRB_REVOKED 18
#define KRB_EXPIRED 23
#define KRB_PREAUTH_REQUIRED 25

/* By one of the two; the other is WIN32_NONE or NTSTATUS_NONE. */
static const struct outcome_cause *find_cause(uint32_t win32, uint32_t ntstatus)
{
        for (size_t i = 0; i < outcome_causes_n; i++)
                if ((win32 != WIN32_NONE && outcome_causes[i].win32 == win32) ||
                    (ntstatus != NTSTATUS_NONE && outcome_causes[i].ntstatus == ntstatus))
                        return &outcome_causes[i];
        return NULL;
}

uint32_t reason_ad_code(enum reason reason)
{
        for (size_t i = 0; i < outcome_causes_n; i++)
                if (outcome_causes[i].reason == reason && outcome_causes[i].win32 != WIN32_NONE)
                        return outcome_causes[i].win32;
        return 0;
}

const struct outcome_code *outcome_code_find(const struct outcome_code *rows, size_t n, int32_t code)
{
        for (size_t i = 0; i < n; i++)
                if (rows[i].code == code)
                        return &rows[i];
        return NULL;
}

/* What remains of a verdict when only the reason is known. */
static void set(struct outcome *out, enum reason reason, bool proved, enum counted counted)
{
        out->reason = reason;
        out->password_proved = proved;
        out->counted = counted;
}

/* Where needle ends in the n bytes at text, or NULL. */
static const char *find_end(const char *text, size_t n, const char *needle)
{
        const char *p = n > 0 ? memmem(text, n, needle, strlen(needle)) : NULL;

        return p ? p + strlen(needle) : NULL;
}

/* AD's "..., data 52e, v1db1": 1 to 8 hex digits, then a comma, blank, NUL or the end. */
static bool find_data(const char *text, size_t n, uint32_t *ret_data)
{
        const char *p = find_end(text, n, ", data "), *end = text + n;
        uint32_t value = 0;
        unsigned digits = 0;

        if (!p)
                return false;
        for (; p < end && hex_value(*p) < 16 && digits < 8; digits++)
                value = value << 4 | hex_value(*p++);
        if (digits == 0 || (p < end && *p != ',' && *p != ' ' && *p != '\0'))
                return false;
        *ret_data = value;
        return true;
}

static void invalid_credentials(struct outcome *out, const struct ldap_refusal *refusal)
{
        const struct outcome_cause *cause;

        if (find_end(refusal->diagnostic, refusal->n, SEC_E_BAD_BINDINGS)) {
                set(out, REASON_DC_CHANNEL_BINDING, false, COUNTED_NO);
                snprintf(out->context, sizeof out->context, "LDAP result 49, SEC_E_BAD_BINDINGS");
                return;
        }
        if (!find_data(refusal->diagnostic, refusal->n, &out->ldap_data)) {
                /* AD sends this result with faults of its own, too: without its cause it decides nothing there */
                if (refusal->ad)
                        set(out, REASON_DC_ERROR, false, COUNTED_UNKNOWN);
                else
                        set(out, REASON_WRONG_PASSWORD, false, COUNTED_YES);
                snprintf(out->context, sizeof out->context, "LDAP result 49 (invalidCredentials)%s",
                         refusal->ad ? " without the cause that AD gives" : "");
                return;
        }
        out->has_ldap_data = true;
        if (refusal->fast && out->ldap_data == 0) {
                set(out, REASON_REFUSED_UNEXPLAINED, false, COUNTED_UNKNOWN);
                snprintf(out->context, sizeof out->context, "LDAP result 49, data 0 to a fast bind");
                return;
        }
        cause = find_cause(out->ldap_data, NTSTATUS_NONE);
        snprintf(out->context, sizeof out->context, "LDAP result 49, data %x (%s)", (unsigned)out->ldap_data,
                 cause ? cause->name : "not a code this program knows");
        if (cause)
                set(out, cause->reason, cause->ldap_proves, cause->counted);
        else
                set(out, REASON_DC_ERROR, false, COUNTED_UNKNOWN);
}

void outcome_from_ldap(struct outcome *out, const struct ldap_refusal *refusal)
{
        int result = refusal->result;
        const struct outcome_code *row;

        out->has_ldap = true;
        out->ldap = result;
        if (result == LDAP_SUCCESS) {
                set(out, REASON_OK, true, COUNTED_NO);
                return;
        }
        if (result == LDAP_INVALID_CREDENTIALS) {
                invalid_credentials(out, refusal);
                return;
        }
        row = outcome_code_find(outcome_ldap_results, outcome_ldap_results_n, result);
        set(out, row ? row->reason : REASON_DC_ERROR, false, COUNTED_UNKNOWN);
        snprintf(out->context, sizeof out->context, "LDAP result %d (%s)", result,
                 row ? row->name : "not a result this program knows");
}

/* AD names the cause of every code 18 but a lockout's (measured on Samba; Windows may name that, too), which
 * it answers before it looks at the password. */
static bool tells_lockout(const struct krb_refusal *refusal)
{
        return refusal->ad && !refusal->armored && refusal->code == KRB_REVOKED &&
               edata_silent(refusal->e_data, refusal->n);
}

/* Whether a refusal for this reason may have raised badPwdCount, when only the Kerberos code is known. */
static enum counted krb_counted(const struct krb_refusal *refusal, enum reason reason)
{
        if (!refusal->preauth || reason == REASON_UNKNOWN_USER || reason == REASON_LOCKED_OUT)
                return COUNTED_NO;
        if (reason == REASON_WRONG_PASSWORD)
                return COUNTED_YES;
        return COUNTED_UNKNOWN;
}

/* The KDC looked at the password and says what it says to the right one only: proof inside the armour, else a claim.
 * Some tell it before anybody has sent a password (Samba 4.22): then it says nothing of the password, armour or not,
 * and nothing was counted. */
static void set_right(struct outcome *out, enum reason reason, const struct krb_refusal *refusal)
{
        const bool proved = refusal->preauth && refusal->armored;

        set(out, reason, proved, proved || !refusal->preauth ? COUNTED_NO : COUNTED_UNKNOWN);
        out->claim = proved ? CLAIM_NONE : CLAIM_STATE;
}

/* A code alone. Without preauthentication nothing is known of the password, and 12 is the demand for armour.
 */
static void from_krb_code(struct outcome *out, const struct outcome_code *row, const struct krb_refusal *refusal)
{
        enum reason reason = row ? row->reason : REASON_DC_ERROR;

        if (reason == REASON_WRONG_PASSWORD && !refusal->preauth)
                reason = REASON_DC_ERROR;
        if (row && row->code == KRB_POLICY && !refusal->preauth)
                reason = REASON_ARMOR_REQUIRED;
        if (tells_lockout(refusal))
                reason = REASON_LOCKED_OUT;
        /* only of AD it is known that it may check the password before it says that it expired */
        if (refusal->ad && reason == REASON_PASSWORD_EXPIRED)
                set_right(out, reason, refusal);
        else
                set(out, reason, false, krb_counted(refusal, reason));
}

/* What a KDC said with an NTSTATUS. A wrong password is a verdict only on a request that proved one. */
static void from_krb_cause(struct outcome *out, const struct outcome_cause *cause, const struct krb_refusal *refusal)
{
        enum reason reason = cause->reason;

        if (reason == REASON_WRONG_PASSWORD && !refusal->preauth)
                reason = REASON_DC_ERROR;
        if (cause->krb_proves)
                set_right(out, reason, refusal);
        else
                set(out, reason, false, refusal->preauth ? cause->counted : COUNTED_NO);
        if (refusal->code != KRB_POLICY && refusal->code != KRB_REVOKED && refusal->code != KRB_EXPIRED)
                out->claim = CLAIM_NONE;
}

void outcome_from_krb(struct outcome *out, const struct krb_refusal *refusal)
{
        int32_t code = refusal->code;
        const struct outcome_code *row = outcome_code_find(outcome_krb_errors, outcome_krb_errors_n, code);
        const struct outcome_cause *cause = NULL;
        const char *name = row ? row->name : "not a code this program knows";

        out->has_krb = true;
        out->krb = code;
        /* In the answer 25 an element of type 3 is a salt. */
        if (code != KRB_PREAUTH_REQUIRED && edata_ntstatus(refusal->e_data, refusal->n, &out->ntstatus)) {
                out->has_ntstatus = true;
                cause = find_cause(WIN32_NONE, out->ntstatus);
                snprintf(out->context, sizeof out->context, "KRB-ERROR %d (%s), NTSTATUS %08X (%s)", (int)code, name,
                         (unsigned)out->ntstatus, cause ? cause->name : "not a status this program knows");
        } else {
                snprintf(out->context, sizeof out->context, "KRB-ERROR %d (%s)%s", (int)code, name,
                         tells_lockout(refusal) ? " without a cause, which AD gives for all but a lockout" : "");
        }
        if (cause)
                from_krb_cause(out, cause, refusal);
        else
                from_krb_code(out, row, refusal);
}
