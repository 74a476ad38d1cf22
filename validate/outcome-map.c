/*
 * Foreign codes -> reasons: LDAP results with AD's sub-codes, KRB-ERROR codes and the NTSTATUS behind them.
 *
 * Invariant: total. A code that is in no table here ends as unavailable with its raw value shown.
 * password_proved is said only for codes that AD gives after it checked the password, and over Kerberos only
 * when our own preauthentication was in the request. Sources: [MS-ERREF], [MS-KILE], RFC 4511, RFC 4120 and
 * measurements (Samba answers LDAP data 52f for Protected Users to a wrong password, too).
 */
#include "validate/outcome.h"

#include <stdio.h>
#include <string.h>

#include "validate/edata.h"

#define LDAP_SUCCESS 0
#define LDAP_STRONGER_AUTH_REQUIRED 8
#define LDAP_REFERRAL 10
#define LDAP_INVALID_CREDENTIALS 49
#define SEC_E_BAD_BINDINGS "80090346"

#define NTSTATUS_NONE 0
#define WIN32_NONE UINT32_MAX

/* One of AD's causes, as LDAP shows it (a Win32 error) and as Kerberos does (an NTSTATUS). */
struct cause {
        uint32_t win32, ntstatus;
        enum reason reason;
        enum counted counted;
        bool ldap_proves, krb_proves;
        const char *name;
};

/* clang-format off */
static const struct cause causes[] = {
        { 0x525, 0xC0000064, REASON_UNKNOWN_USER,            COUNTED_NO,  false, false, "NO_SUCH_USER" },
        { 0x52e, 0xC000006D, REASON_WRONG_PASSWORD,          COUNTED_YES, false, false, "LOGON_FAILURE" },
        { WIN32_NONE, 0xC000006A, REASON_WRONG_PASSWORD,     COUNTED_YES, false, false, "WRONG_PASSWORD" },
        { 0x52f, NTSTATUS_NONE, REASON_ACCOUNT_RESTRICTION,  COUNTED_UNKNOWN, false, false, "ACCOUNT_RESTRICTION" },
        { WIN32_NONE, 0xC000006E, REASON_ACCOUNT_RESTRICTION, COUNTED_NO, false, true,  "ACCOUNT_RESTRICTION" },
        { 0x530, 0xC000006F, REASON_LOGON_HOURS,             COUNTED_NO,  true,  true,  "INVALID_LOGON_HOURS" },
        { 0x531, 0xC0000070, REASON_WORKSTATION,             COUNTED_NO,  true,  true,  "INVALID_WORKSTATION" },
        { 0x532, 0xC0000071, REASON_PASSWORD_EXPIRED,        COUNTED_NO,  true,  true,  "PASSWORD_EXPIRED" },
        { 0x533, 0xC0000072, REASON_DISABLED,                COUNTED_NO,  true,  false, "ACCOUNT_DISABLED" },
        { 0x534, 0xC0000073, REASON_DC_ERROR,                COUNTED_UNKNOWN, false, false, "NONE_MAPPED" },
        { 0x569, 0xC000015B, REASON_LOGON_TYPE,              COUNTED_NO,  true,  true,  "LOGON_TYPE_NOT_GRANTED" },
        { 0x568, 0xC000015A, REASON_TOO_MANY_GROUPS,         COUNTED_NO,  true,  true,  "TOO_MANY_CONTEXT_IDS" },
        { 0x701, 0xC0000193, REASON_ACCOUNT_EXPIRED,         COUNTED_NO,  true,  true,  "ACCOUNT_EXPIRED" },
        { 0x773, 0xC0000224, REASON_MUST_CHANGE_PASSWORD,    COUNTED_NO,  true,  true,  "PASSWORD_MUST_CHANGE" },
        { 0x775, 0xC0000234, REASON_LOCKED_OUT,              COUNTED_NO,  false, false, "ACCOUNT_LOCKED_OUT" },
        { 0x51f, 0xC000005E, REASON_DC_ERROR,                COUNTED_UNKNOWN, false, false, "NO_LOGON_SERVERS" },
        { 0x576, 0xC0000133, REASON_CLOCK_SKEW,              COUNTED_UNKNOWN, false, false, "TIME_SKEW" },
        { 0x6fc, 0xC000018C, REASON_TRUST_FAILURE,           COUNTED_UNKNOWN, false, false, "TRUSTED_DOMAIN_FAILURE" },
        { 0x6fb, 0xC000018B, REASON_TRUST_FAILURE,           COUNTED_UNKNOWN, false, false, "NO_TRUST_SAM_ACCOUNT" },
        { 0x78f, 0xC0000413, REASON_AUTHENTICATION_FIREWALL, COUNTED_NO,  true,  true,  "AUTHENTICATION_FIREWALL" },
        { 0x57,  0xC000000D, REASON_NAME_AMBIGUOUS,          COUNTED_UNKNOWN, false, false, "INVALID_PARAMETER" },
        { WIN32_NONE, 0xC00002FA, REASON_SMARTCARD_REQUIRED, COUNTED_UNKNOWN, false, false, "SMARTCARD_LOGON_REQUIRED" },
        { WIN32_NONE, 0xC000018A, REASON_TRUST_FAILURE,      COUNTED_UNKNOWN, false, false, "NO_TRUST_LSA_SECRET" },
        { WIN32_NONE, 0xC0000190, REASON_TRUST_FAILURE,      COUNTED_UNKNOWN, false, false, "TRUST_FAILURE" },
        { WIN32_NONE, 0xC0000062, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "INVALID_ACCOUNT_NAME" },
        { WIN32_NONE, 0xC0000192, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "NETLOGON_NOT_STARTED" },
        { WIN32_NONE, 0xC00000DC, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "INVALID_SERVER_STATE" },
        { WIN32_NONE, 0xC0000198, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "NOLOGON_INTERDOMAIN_TRUST_ACCOUNT" },
        { WIN32_NONE, 0xC0000199, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "NOLOGON_WORKSTATION_TRUST_ACCOUNT" },
        { WIN32_NONE, 0xC000019A, REASON_DC_ERROR,           COUNTED_UNKNOWN, false, false, "NOLOGON_SERVER_TRUST_ACCOUNT" },
};

struct named { int32_t code; enum reason reason; const char *name; };

/* LDAP results of a bind that are no verdict. */
static const struct named ldap_results[] = {
        { 1,  REASON_DC_ERROR, "operationsError" },
        { 2,  REASON_DC_ERROR, "protocolError" },
        { 3,  REASON_DC_ERROR, "timeLimitExceeded" },
        { 7,  REASON_DC_ERROR, "authMethodNotSupported" },
        { LDAP_STRONGER_AUTH_REQUIRED, REASON_DC_SIGNING_REQUIRED, "strongerAuthRequired" },
        { LDAP_REFERRAL, REASON_REFERRAL, "referral" },
        { 11, REASON_DC_ERROR, "adminLimitExceeded" },
        { 13, REASON_DC_SIGNING_REQUIRED, "confidentialityRequired" },
        { 14, REASON_DC_ERROR, "saslBindInProgress" },
        { 32, REASON_DC_ERROR, "noSuchObject" },
        { 34, REASON_DC_ERROR, "invalidDNSyntax" },
        { 48, REASON_DC_ERROR, "inappropriateAuthentication" },
        { 50, REASON_DC_ERROR, "insufficientAccessRights" },
        { 51, REASON_DC_ERROR, "busy" },
        { 52, REASON_DC_ERROR, "unavailable" },
        { 53, REASON_DC_ERROR, "unwillingToPerform" },
        { 80, REASON_DC_ERROR, "other" },
};

/* KRB-ERROR codes without an NTSTATUS that says more. */
static const struct named krb_errors[] = {
        { 1,  REASON_ACCOUNT_EXPIRED, "NAME_EXP" }, /* MIT's KDC; AD says 18 */
        { 6,  REASON_UNKNOWN_USER, "C_PRINCIPAL_UNKNOWN" },
        { 7,  REASON_DC_ERROR, "S_PRINCIPAL_UNKNOWN" },
        { 8,  REASON_NAME_AMBIGUOUS, "PRINCIPAL_NOT_UNIQUE" },
        { 9,  REASON_DC_ERROR, "NULL_KEY" },
        { 12, REASON_ACCOUNT_RESTRICTION, "POLICY" },
        { 13, REASON_DC_ERROR, "BADOPTION" },
        { 14, REASON_ETYPE_NOSUPP, "ETYPE_NOSUPP" },
        { 16, REASON_DC_ERROR, "PADATA_TYPE_NOSUPP" },
        { 18, REASON_REVOKED, "CLIENT_REVOKED" },
        { 23, REASON_PASSWORD_EXPIRED, "KEY_EXPIRED" },
        { 24, REASON_WRONG_PASSWORD, "PREAUTH_FAILED" },
        { 25, REASON_DC_ERROR, "PREAUTH_REQUIRED" },
        { 26, REASON_DC_ERROR, "SERVER_NOMATCH" },
        { 29, REASON_DC_ERROR, "SVC_UNAVAILABLE" },
        { 31, REASON_WRONG_PASSWORD, "BAD_INTEGRITY" },
        { 32, REASON_DC_ERROR, "TKT_EXPIRED" },
        { 34, REASON_DC_ERROR, "REPEAT" },
        { 36, REASON_DC_ERROR, "BADMATCH" },
        { 37, REASON_CLOCK_SKEW, "SKEW" },
        { 41, REASON_DC_ERROR, "MODIFIED" },
        { 44, REASON_DC_ERROR, "BADKEYVER" },
        { 52, REASON_DC_ERROR, "RESPONSE_TOO_BIG" },
        { 60, REASON_DC_ERROR, "GENERIC" },
        { 68, REASON_REFERRAL, "WRONG_REALM" },
};
/* clang-format on */

#define KRB_POLICY 12
#define KRB_REVOKED 18
#define KRB_PREAUTH_REQUIRED 25

static const struct cause *cause_by_win32(uint32_t code)
{
        for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
                if (causes[i].win32 == code && code != WIN32_NONE)
                        return &causes[i];
        return NULL;
}

static const struct cause *cause_by_ntstatus(uint32_t status)
{
        for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
                if (causes[i].ntstatus == status && status != NTSTATUS_NONE)
                        return &causes[i];
        return NULL;
}

static const struct named *named_find(const struct named *rows, size_t n, int32_t code)
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

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* AD's "..., data 52e, v1db1": 1 to 8 hex digits, then a comma, blank, NUL or the end. */
static bool find_data(const char *text, size_t n, uint32_t *ret_data)
{
        const char *p = find_end(text, n, ", data "), *end = text + n;
        uint32_t value = 0;
        unsigned digits = 0;

        if (!p)
                return false;
        while (p < end && hex_digit(*p) >= 0 && digits < 8) {
                value = value << 4 | (uint32_t)hex_digit(*p++);
                digits++;
        }
        if (digits == 0 || (p < end && *p != ',' && *p != ' ' && *p != '\0'))
                return false;
        *ret_data = value;
        return true;
}

static void invalid_credentials(struct outcome *out, const char *diagnostic, size_t n)
{
        const struct cause *cause;

        if (find_end(diagnostic, n, SEC_E_BAD_BINDINGS)) {
                set(out, REASON_DC_CHANNEL_BINDING, false, COUNTED_NO);
                snprintf(out->context, sizeof out->context, "LDAP result 49, SEC_E_BAD_BINDINGS");
                return;
        }
        if (!find_data(diagnostic, n, &out->ldap_data)) {
                set(out, REASON_WRONG_PASSWORD, false, COUNTED_YES);
                snprintf(out->context, sizeof out->context, "LDAP result 49 (invalidCredentials)");
                return;
        }
        out->has_ldap_data = true;
        cause = cause_by_win32(out->ldap_data);
        snprintf(out->context, sizeof out->context, "LDAP result 49, data %x (%s)", (unsigned)out->ldap_data,
                 cause ? cause->name : "not a code this program knows");
        if (cause)
                set(out, cause->reason, cause->ldap_proves, cause->counted);
        else
                set(out, REASON_DC_ERROR, false, COUNTED_UNKNOWN);
}

void outcome_from_ldap(struct outcome *out, int result, const char *diagnostic, unsigned long n)
{
        const struct named *row;

        out->has_ldap = true;
        out->ldap = result;
        if (result == LDAP_SUCCESS) {
                set(out, REASON_OK, true, COUNTED_NO);
                return;
        }
        if (result == LDAP_INVALID_CREDENTIALS) {
                invalid_credentials(out, diagnostic, n);
                return;
        }
        row = named_find(ldap_results, sizeof ldap_results / sizeof *ldap_results, result);
        set(out, row ? row->reason : REASON_DC_ERROR, false, COUNTED_UNKNOWN);
        snprintf(out->context, sizeof out->context, "LDAP result %d (%s)", result,
                 row ? row->name : "not a result this program knows");
}

/* AD names the cause of every code 18 but a lockout's (measured on Samba; Windows may name that, too), which
 * it answers before it looks at the password. */
static bool tells_lockout(const struct krb_refusal *refusal)
{
        return refusal->ad && refusal->code == KRB_REVOKED && edata_silent(refusal->e_data, refusal->n);
}

/* Only AD is known to check the password before it says that it expired. */
static bool proves_expired(const struct krb_refusal *refusal, enum reason reason)
{
        return refusal->ad && refusal->preauth && reason == REASON_PASSWORD_EXPIRED;
}

/* Whether a refusal for this reason may have raised badPwdCount, when only the Kerberos code is known. */
static enum counted krb_counted(const struct krb_refusal *refusal, enum reason reason)
{
        if (!refusal->preauth || reason == REASON_UNKNOWN_USER || reason == REASON_LOCKED_OUT)
                return COUNTED_NO;
        if (reason == REASON_WRONG_PASSWORD)
                return COUNTED_YES;
        return proves_expired(refusal, reason) ? COUNTED_NO : COUNTED_UNKNOWN;
}

/* A code alone. Without preauthentication nothing is known of the password, and 12 is the demand for armour.
 */
static void from_krb_code(struct outcome *out, const struct named *row, const struct krb_refusal *refusal)
{
        enum reason reason = row ? row->reason : REASON_DC_ERROR;

        if (reason == REASON_WRONG_PASSWORD && !refusal->preauth)
                reason = REASON_DC_ERROR;
        if (row && row->code == KRB_POLICY && !refusal->preauth)
                reason = REASON_ARMOR_REQUIRED;
        if (tells_lockout(refusal))
                reason = REASON_LOCKED_OUT;
        set(out, reason, proves_expired(refusal, reason), krb_counted(refusal, reason));
}

/* What a KDC said with an NTSTATUS. A wrong password is a verdict only on a request that proved one. */
static void from_krb_cause(struct outcome *out, const struct cause *cause, bool preauth)
{
        enum reason reason = cause->reason;

        if (reason == REASON_WRONG_PASSWORD && !preauth)
                reason = REASON_DC_ERROR;
        set(out, reason, preauth && cause->krb_proves, preauth ? cause->counted : COUNTED_NO);
}

void outcome_from_krb(struct outcome *out, const struct krb_refusal *refusal)
{
        int32_t code = refusal->code;
        const struct named *row = named_find(krb_errors, sizeof krb_errors / sizeof *krb_errors, code);
        const struct cause *cause = NULL;
        const char *name = row ? row->name : "not a code this program knows";

        out->has_krb = true;
        out->krb = code;
        /* In the answer 25 an element of type 3 is a salt. */
        if (code != KRB_PREAUTH_REQUIRED && edata_ntstatus(refusal->e_data, refusal->n, &out->ntstatus)) {
                out->has_ntstatus = true;
                cause = cause_by_ntstatus(out->ntstatus);
                snprintf(out->context, sizeof out->context, "KRB-ERROR %d (%s), NTSTATUS %08X (%s)",
                         (int)code, name, (unsigned)out->ntstatus,
                         cause ? cause->name : "not a status this program knows");
        } else {
                snprintf(out->context, sizeof out->context, "KRB-ERROR %d (%s)%s", (int)code, name,
                         tells_lockout(refusal) ? " without a cause, which AD gives for all but a lockout"
                                                : "");
        }
        if (cause)
                from_krb_cause(out, cause, refusal->preauth);
        else
                from_krb_code(out, row, refusal);
}
