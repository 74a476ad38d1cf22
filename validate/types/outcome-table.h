/*
 * The rows of the one table of outcomes, shared by the files that read it. Internal to validate/.
 */
#pragma once

#include <stddef.h>

#include "validate/types/outcome.h"

#define NTSTATUS_NONE 0
#define WIN32_NONE UINT32_MAX

/* What a user sees where the truth may only be told to the helpdesk. */
#define USER_POLICY_HIDDEN                                                                                             \
        "You cannot sign in at the moment. Please contact your helpdesk and tell them the id of this "                 \
        "sign-in."
/* One of AD's causes, as LDAP shows it (a Win32 error) and as Kerberos does (an NTSTATUS). */
struct outcome_cause {
        uint32_t win32, ntstatus; /* WIN32_NONE, NTSTATUS_NONE: not seen in that form */
        enum reason reason;
        enum counted counted;
        bool ldap_proves, krb_proves; /* the DC says it only to the right password */
        const char *name;
};

/* A result or error code that needs no cause to be understood. */
struct outcome_code {
        int32_t code;
        enum reason reason;
        const char *name;
};

/* The row of a code among n; NULL: there is none. */
const struct outcome_code *outcome_code_find(const struct outcome_code *rows, size_t n, int32_t code);

extern const struct reason_info outcome_reasons[REASON_MAX];
extern const struct outcome_cause outcome_causes[];
extern const size_t outcome_causes_n;
/* LDAP results of a bind that are no verdict. */
extern const struct outcome_code outcome_ldap_results[];
extern const size_t outcome_ldap_results_n;
/* KRB-ERROR codes without an NTSTATUS that says more. */
extern const struct outcome_code outcome_krb_errors[];
extern const size_t outcome_krb_errors_n;
/* Results of kpasswd (RFC 3244), the old password being right. */
extern const struct outcome_code outcome_kpasswd_codes[];
extern const size_t outcome_kpasswd_codes_n;
/* What Samba's kpasswd says with result 4, by a piece of its sentence. */
struct outcome_text {
        const char *text;
        enum reason reason;
};
extern const struct outcome_text outcome_kpasswd_texts[];
extern const size_t outcome_kpasswd_texts_n;
