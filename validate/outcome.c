/*
 * The table of reasons: what each means and what to tell whom.
 *
 * Invariant: every value of enum reason has a complete row (a test walks them all), and no sentence for a
 * user tells the state of an account unless the caller says that the password was proved. Foreign codes are
 * mapped to reasons in outcome-map.c.
 */
#include "validate/outcome.h"

#include <string.h>

/* What a user sees where the truth may only be told to the helpdesk. */
#define USER_POLICY_HIDDEN                                                                                   \
        "You cannot sign in at the moment. Please contact your helpdesk and tell them the id of this "       \
        "sign-in."
#define USER_WRONG "The user name or the password is wrong."
#define USER_LATER                                                                                           \
        "Your sign-in could not be checked right now; this says nothing about your password. Please try "    \
        "again in a few minutes."
#define USER_HELPDESK                                                                                        \
        "Your sign-in could not be checked; this says nothing about your password. Please contact your "     \
        "helpdesk and tell them "                                                                            \
        "the id of this sign-in."

#define CREDENTIALS .verdict = VERDICT_REFUSED, .class = VERDICT_CLASS_CREDENTIALS
#define POLICY .verdict = VERDICT_REFUSED, .class = VERDICT_CLASS_POLICY
#define INFRASTRUCTURE .verdict = VERDICT_UNAVAILABLE, .class = VERDICT_CLASS_INFRASTRUCTURE

/* clang-format off */
static const struct reason_info table[REASON_MAX] = {
        [REASON_INTERNAL] = { .id = "internal", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The connector met a fault of its own and decided nothing.",
                .remedy = "Look at the connector's log at this time and report the fault." },
        [REASON_OK] = { .id = "ok", .verdict = VERDICT_ACCEPTED, .class = VERDICT_CLASS_NONE,
                .user_text = "You are signed in.",
                .helpdesk_text = "The domain controller accepted the password and said who the account is.",
                .remedy = "Nothing to do." },

        [REASON_WRONG_PASSWORD] = { .id = "wrong_password", CREDENTIALS, .user_text = USER_WRONG,
                .helpdesk_text = "The domain controller says that the password is wrong; over LDAP this can also be a name that doesn't exist or an account that needs a smart card.",
                .remedy = "Check the spelling of the name, then let the user try again or reset the password." },
        [REASON_UNKNOWN_USER] = { .id = "unknown_user", CREDENTIALS, .user_text = USER_WRONG,
                .helpdesk_text = "The domain controller knows no account of this name.",
                .remedy = "Check the spelling of the name and of what follows the @." },

        [REASON_EMPTY_PASSWORD] = { .id = "empty_password", CREDENTIALS, .user_text = "Please enter your password.",
                .helpdesk_text = "The password was empty, so no domain controller was asked.",
                .remedy = "Let the user try again; if they did type one, look at the sign-in page." },
        [REASON_BAD_PASSWORD_FORM] = { .id = "bad_password_form", CREDENTIALS, .user_text = USER_WRONG,
                .helpdesk_text = "What was sent as password is too long, not valid text or holds a null character, so no domain controller was asked.",
                .remedy = "Let the user type the password by hand; if it happens again, look at the sign-in page." },
        [REASON_BAD_NAME_FORM] = { .id = "bad_name_form", CREDENTIALS, .user_text = "Please enter your user name like an e-mail address or as DOMAIN\\name.",
                .helpdesk_text = "The name has none of the forms that may reach a domain controller, so none was asked.",
                .remedy = "Tell the user to write name@domain or DOMAIN\\name." },
        [REASON_UNKNOWN_DOMAIN] = { .id = "unknown_domain", CREDENTIALS, .user_text = USER_WRONG,
                .helpdesk_text = "The domain part of the name is not one that this connector serves, so no domain controller was asked.",
                .remedy = "Check the name; if the domain is yours, add it or its suffix to the connector's configuration." },

        [REASON_DISABLED] = { .id = "disabled", POLICY, .user_text = "Your account is disabled. Please contact your helpdesk.",
                .helpdesk_text = "The account is disabled.",
                .remedy = "Enable the account if this person should have access." },
        [REASON_LOCKED_OUT] = { .id = "locked_out", POLICY, .user_text = "Your account is locked. Please wait a while or contact your helpdesk.",
                .helpdesk_text = "The account is locked after too many wrong passwords, so the domain controller did not look at this one; over Kerberos it may tell that by naming no cause, for it names one for every other state.",
                .remedy = "Find what keeps sending the old password, then unlock the account or wait for the lockout time." },
        [REASON_ACCOUNT_EXPIRED] = { .id = "account_expired", POLICY, .user_text = "Your account has expired. Please contact your helpdesk.",
                .helpdesk_text = "The account's expiry date has passed.",
                .remedy = "Set a later expiry date if this person should have access." },
        [REASON_PASSWORD_EXPIRED] = { .id = "password_expired", POLICY, .user_text = "Your password has expired. Please change it and sign in again.",
                .helpdesk_text = "The password has expired.",
                .remedy = "Let the user change the password where that is possible, or reset it." },
        [REASON_MUST_CHANGE_PASSWORD] = { .id = "must_change_password", POLICY, .user_text = "You must choose a new password before you can sign in.",
                .helpdesk_text = "The account is set to change its password at the next sign-in.",
                .remedy = "Let the user change the password where that is possible, or clear that flag." },
        [REASON_LOGON_HOURS] = { .id = "logon_hours", POLICY, .user_text = "Your account may not sign in at this time of day.",
                .helpdesk_text = "The account's logon hours do not allow a sign-in now.",
                .remedy = "Change the account's logon hours, or let the user try within them." },
        [REASON_WORKSTATION] = { .id = "workstation", POLICY, .user_text = "Your account may not sign in from here. Please contact your helpdesk.",
                .helpdesk_text = "The account's \"Log On To\" list leaves out the computer that was used; for a sign-in by LDAP that is the domain controller.",
                .remedy = "Add the domain controllers to the account's \"Log On To\" list, or use Kerberos." },
        [REASON_ACCOUNT_RESTRICTION] = { .id = "account_restriction", POLICY, .user_text = "A rule for your account does not allow this kind of sign-in. Please contact your helpdesk.",
                .helpdesk_text = "A restriction forbids this sign-in: membership in Protected Users, an authentication policy silo or a blank password.",
                .remedy = "Look at the account's groups and authentication policy; Protected Users cannot sign in by LDAP bind." },
        [REASON_LOGON_TYPE] = { .id = "logon_type", POLICY, .user_text = "A rule for your account does not allow this kind of sign-in. Please contact your helpdesk.",
                .helpdesk_text = "The account lacks the right to log on to the domain controller over the network.",
                .remedy = "Grant \"Access this computer from the network\" on the domain controllers, or use Kerberos." },
        [REASON_TOO_MANY_GROUPS] = { .id = "too_many_groups", POLICY, .user_text = "Your account is in too many groups to sign in. Please contact your helpdesk.",
                .helpdesk_text = "The account is a member of more groups than a logon token can hold.",
                .remedy = "Reduce the account's group memberships, nested ones included, to below 1015." },
        [REASON_AUTHENTICATION_FIREWALL] = { .id = "authentication_firewall", POLICY, .user_text = "Your account may not sign in here. Please contact your helpdesk.",
                .helpdesk_text = "Selective authentication on the trust does not let this account authenticate to the domain controller.",
                .remedy = "Grant the account \"Allowed to authenticate\" on the domain controllers." },
        [REASON_SMARTCARD_REQUIRED] = { .id = "smartcard_required", POLICY, .user_text = "Your account needs a smart card to sign in.",
                .helpdesk_text = "The account is set to need a smart card, so no password can work.",
                .remedy = "Clear \"Smart card is required\" on the account, or offer the user another way to sign in." },
        [REASON_REVOKED] = { .id = "revoked", POLICY, .user_text = USER_POLICY_HIDDEN,
                .helpdesk_text = "The domain controller refuses the account and does not say why: it is disabled, locked, expired or outside its logon hours.",
                .remedy = "Look at the account's state in the directory." },

        [REASON_NO_DC] = { .id = "no_dc", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "No domain controller of this domain can be reached.",
                .remedy = "Check the domain controllers and the network between them and the connector." },
        [REASON_DC_REFUSED] = { .id = "dc_refused", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The domain controller refused or dropped the connection before the password was sent.",
                .remedy = "Check that the service runs on the domain controller and that no firewall rejects the connector." },
        [REASON_DC_TIMEOUT] = { .id = "dc_timeout", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The domain controller did not answer in time; the password was not sent.",
                .remedy = "Check that the domain controller is up and that no firewall swallows the connector's packets." },
        [REASON_DC_TLS] = { .id = "dc_tls", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "No secure connection to the domain controller could be made; the password was not sent.",
                .remedy = "Check that the domain controller offers LDAPS with TLS 1.2 or later on the configured port." },
        [REASON_DC_CERTIFICATE] = { .id = "dc_certificate", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller's certificate does not prove that it is one of this domain; the password was not sent.",
                .remedy = "Give the domain controller a certificate that names the domain, from the configured CA, or adjust dc_identity." },
        [REASON_DC_ERROR] = { .id = "dc_error", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The domain controller answered with an error that decides nothing; the raw code says which.",
                .remedy = "Look up the raw code and look at the domain controller's event log." },
        [REASON_DC_PROTOCOL] = { .id = "dc_protocol", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The domain controller's answer was malformed.",
                .remedy = "Check that the address and port are those of a domain controller and that nothing between them changes the traffic." },
        [REASON_DC_SIGNING_REQUIRED] = { .id = "dc_signing_required", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller asks for a stronger form of authentication than a password bind.",
                .remedy = "Check that the configured port is the LDAPS port and that nothing removes TLS on the way." },
        [REASON_DC_CHANNEL_BINDING] = { .id = "dc_channel_binding", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller asks for channel binding, which a password bind cannot give; it did not look at the password.",
                .remedy = "Check that TLS is not ended between connector and domain controller, and the policy \"LDAP server channel binding token requirements\"." },
        [REASON_DNS] = { .id = "dns", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The domain controller's name could not be resolved.",
                .remedy = "Check the connector's DNS servers and the domain controller's name in the configuration." },
        [REASON_CLOCK_SKEW] = { .id = "clock_skew", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The clocks of connector and domain controller differ by more than five minutes.",
                .remedy = "Set up time synchronisation on both." },
        [REASON_ARMOR_REQUIRED] = { .id = "armor_required", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller demands Kerberos armouring or refuses this account by policy before looking at the password.",
                .remedy = "Set \"KDC support for claims, compound authentication and Kerberos armoring\" to Supported, or look at the account's authentication policy." },
        [REASON_ETYPE_NOSUPP] = { .id = "etype_nosupp", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The account has no AES key, so Kerberos cannot check its password.",
                .remedy = "Reset the account's password once, so that the domain controller stores AES keys." },
        [REASON_KDC_NOT_VERIFIED] = { .id = "kdc_not_verified", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller's Kerberos answer does not fit the connector's keytab, so it may not come from this domain; it was not believed.",
                .remedy = "Export the connector's keytab again; if that does not help, find out who answers at the domain controller's address." },
        [REASON_TRUST_FAILURE] = { .id = "trust_failure", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The trust between the domains failed.",
                .remedy = "Verify the trust in Active Directory Domains and Trusts." },
        [REASON_REFERRAL] = { .id = "referral", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller says that another domain must be asked, and the connector is not configured for it.",
                .remedy = "Add that domain to the connector's configuration." },
        [REASON_NO_IDENTITY] = { .id = "no_identity", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The password was right, but the domain controller did not say which account it belongs to.",
                .remedy = "Check that accounts may read their own objectSid (or entryUUID)." },
        [REASON_NAME_AMBIGUOUS] = { .id = "name_ambiguous", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The domain controller cannot map the name to exactly one account.",
                .remedy = "Look for two accounts with the same user principal name, or let the user sign in as DOMAIN\\name." },
        [REASON_OUTCOME_UNKNOWN] = { .id = "outcome_unknown", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The password was sent, but no answer came back in time; a wrong one may have been counted.",
                .remedy = "Check the domain controller's load and the network; do not let the user repeat a doubtful password often." },
        [REASON_DEADLINE] = { .id = "deadline", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The time for this sign-in ran out before the password was sent.",
                .remedy = "Check the connector's load and the latency of its links." },
        [REASON_CANCELLED] = { .id = "cancelled", INFRASTRUCTURE, .user_text = "The sign-in was cancelled.",
                .helpdesk_text = "Whoever asked for this sign-in stopped waiting.",
                .remedy = "Nothing to do, unless it happens often: then look at the sign-in service's time-outs." },
        [REASON_OVERLOADED] = { .id = "overloaded", INFRASTRUCTURE, .user_text = USER_LATER,
                .helpdesk_text = "The connector had too many sign-ins at once and did not start this one.",
                .remedy = "Add a connector, or find out where the many sign-ins come from." },

        [REASON_REQUEST_SIGNATURE] = { .id = "request_signature", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The request's signature is not the sign-in service's, so no domain controller was asked.",
                .remedy = "Check the sign-in service's key; if it is right, somebody else sends requests in its name." },
        [REASON_SERVICE_UNKNOWN] = { .id = "service_unknown", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The sign-in service's key is not in the roster, so no domain controller was asked.",
                .remedy = "Add the service to the roster and publish it, or find out who sends these requests." },
        [REASON_WRONG_AUDIENCE] = { .id = "wrong_audience", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The request is meant for another tenant, so no domain controller was asked.",
                .remedy = "Check the tenant in the sign-in service's configuration." },
        [REASON_NOT_ADDRESSED] = { .id = "not_addressed", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The request was sealed to this connector, but names only other ones.",
                .remedy = "Find out who sealed it again: a sign-in service names every connector it seals to." },
        [REASON_OPERATION_UNKNOWN] = { .id = "operation_unknown", INFRASTRUCTURE, .user_text = USER_HELPDESK,
                .helpdesk_text = "The request asks for an operation that this connector doesn't know.",
                .remedy = "Update the connector, or correct the sign-in service." },
};
/* clang-format on */

const struct reason_info *reason_info(enum reason reason)
{
        unsigned i = (unsigned)reason;

        return &table[i < REASON_MAX ? i : REASON_INTERNAL];
}

enum reason reason_from_id(const char *id)
{
        for (unsigned i = 0; i < REASON_MAX; i++)
                if (strcmp(table[i].id, id) == 0)
                        return (enum reason)i;
        return REASON_MAX;
}

const char *reason_user_text(enum reason reason, bool password_proved)
{
        const struct reason_info *info = reason_info(reason);

        if (info->class == VERDICT_CLASS_POLICY && !password_proved)
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
