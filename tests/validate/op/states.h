/*
 * What every state of an account gives, by both methods, to the right and to a wrong password: measured on
 * Samba, checked cell by cell by test_states.c, and printed into postern-verdicts(7) by states_doc.c.
 */
#pragma once

#include "validate/types/outcome.h"

/* One answer of a DC. counts: by how much badPwdCount grows, which an outcome "may have counted" must admit. */
struct state_answer {
        enum reason reason;
        bool proved;
        unsigned counts;
};

struct state_row {
        const char *label; /* of the lab's account */
        const char *title; /* in the documentation */
        struct state_answer ldap_right, ldap_wrong, krb_right, krb_wrong;
};

#define ACCEPTED                                                                                                       \
        {                                                                                                              \
                REASON_OK, true, 0                                                                                     \
        }
#define PROVED(reason)                                                                                                 \
        {                                                                                                              \
                reason, true, 0                                                                                        \
        }
#define UNPROVED(reason)                                                                                               \
        {                                                                                                              \
                reason, false, 0                                                                                       \
        }
#define WRONG                                                                                                          \
        {                                                                                                              \
                REASON_WRONG_PASSWORD, false, 1                                                                        \
        }

/* clang-format off */
static const struct state_row state_rows[] = {
        {"GOOD1", "In good order", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"UTF8", "Name and password beyond ASCII", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"ACCENT", "A name that differs from another by an accent alone", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"ALT_SUFFIX", "User principal name unlike the account name", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"DISABLED", "Disabled", PROVED(REASON_DISABLED), WRONG, UNPROVED(REASON_DISABLED), WRONG},
        {"LOCKED", "Locked out", UNPROVED(REASON_LOCKED_OUT), UNPROVED(REASON_LOCKED_OUT),
         UNPROVED(REASON_LOCKED_OUT), UNPROVED(REASON_LOCKED_OUT)},
        {"EXPIRED", "Password expired", PROVED(REASON_PASSWORD_EXPIRED), WRONG, PROVED(REASON_PASSWORD_EXPIRED), WRONG},
        {"MUST_CHANGE", "Must change the password at next logon", PROVED(REASON_MUST_CHANGE_PASSWORD), WRONG,
         PROVED(REASON_MUST_CHANGE_PASSWORD), WRONG},
        {"ACCOUNT_EXPIRED", "Account expired", PROVED(REASON_ACCOUNT_EXPIRED), WRONG, PROVED(REASON_ACCOUNT_EXPIRED), WRONG},
        {"HOURS", "Outside its logon hours", PROVED(REASON_LOGON_HOURS), WRONG, PROVED(REASON_LOGON_HOURS), WRONG},
        {"WORKSTATION", "\"Log On To\" names other computers", PROVED(REASON_WORKSTATION), WRONG, ACCEPTED, WRONG},
        {"PROTECTED", "Member of Protected Users", UNPROVED(REASON_ACCOUNT_RESTRICTION),
         UNPROVED(REASON_ACCOUNT_RESTRICTION), ACCEPTED, WRONG},
        {"SMARTCARD", "Smart card required", WRONG, WRONG, UNPROVED(REASON_ETYPE_NOSUPP), UNPROVED(REASON_ETYPE_NOSUPP)},
        {"RC4_ONLY", "Only an RC4 key (password older than AES in the domain)", ACCEPTED, WRONG,
         UNPROVED(REASON_ETYPE_NOSUPP), UNPROVED(REASON_ETYPE_NOSUPP)},
        {"AES_ONLY", "AES keys only", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"NO_PREAUTH", "\"Do not require Kerberos preauthentication\"", ACCEPTED, WRONG, ACCEPTED, WRONG},
        {"MANY_GROUPS", "Member of 150 groups", ACCEPTED, WRONG, ACCEPTED, WRONG},
};
/* clang-format on */
#define STATE_ROWS (sizeof state_rows / sizeof *state_rows)
