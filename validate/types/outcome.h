/*
 * The one table of outcomes: every reason a sign-in can end with, what it means, and what to tell whom.
 *
 * The zero value is REASON_INTERNAL (unavailable), so a forgotten assignment never reads as accepted or
 * refused. Foreign codes (LDAP sub-codes, KRB-ERROR, NTSTATUS) are mapped to reasons in outcome-map.c and
 * nowhere else; an unknown code ends as unavailable with its raw value shown. Source of the mapping:
 * [MS-ERREF], [MS-KILE], RFC 4511, RFC 4120 and measurements.
 */
#pragma once

#include "base/core/pairs.h"
#include "base/core/sid.h"

#include <stdbool.h>
#include <stdint.h>

enum verdict { VERDICT_UNAVAILABLE = 0, VERDICT_REFUSED, VERDICT_ACCEPTED };
enum verdict_class {
        VERDICT_CLASS_INFRASTRUCTURE = 0,
        VERDICT_CLASS_CREDENTIALS,
        VERDICT_CLASS_POLICY,
        VERDICT_CLASS_NONE
};
enum counted { COUNTED_UNKNOWN = 0, COUNTED_NO, COUNTED_YES };
/* What an answer claims that nobody vouches for, and that a bind over verified LDAPS could confirm. */
enum claim {
        CLAIM_NONE = 0,
        CLAIM_STATE, /* a state of the account that a DC tells to the right password only, or before it was sent one
                        (KRB-ERROR 12, 18, 23) */
        CLAIM_RIGHT, /* that the old password was right, by a change of password that came so far */
};
enum method { METHOD_NONE = 0, METHOD_KRB5, METHOD_LDAP };

enum reason {
        REASON_INTERNAL = 0,
        REASON_OK,
        REASON_PASSWORD_CHANGED, /* change-password: done, and the new one was accepted */
        /* credentials */
        REASON_WRONG_PASSWORD,
        REASON_UNKNOWN_USER,
        REASON_REFUSED_UNEXPLAINED, /* by a fast bind: a wrong password, or a state of the account */
        REASON_ALIAS_UNKNOWN,       /* the search for an alternate id found no account */
        /* input refused before any DC is asked (class credentials, may_have_counted no) */
        REASON_EMPTY_PASSWORD,
        REASON_BAD_PASSWORD_FORM, /* NUL, over-long or not UTF-8 */
        REASON_BAD_NAME_FORM,     /* neither UPN nor DOMAIN\name nor (with a default domain) a bare name; NUL,
                                     over-long, not UTF-8 */
        REASON_UNKNOWN_DOMAIN,
        REASON_BAD_NEW_PASSWORD, /* change-password: the new one is empty, over-long, not UTF-8 or the old one
                                  */
        /* policy */
        REASON_DISABLED,
        REASON_LOCKED_OUT,
        REASON_ACCOUNT_EXPIRED,
        REASON_PASSWORD_EXPIRED,
        REASON_MUST_CHANGE_PASSWORD,
        REASON_LOGON_HOURS,
        REASON_WORKSTATION,
        REASON_ACCOUNT_RESTRICTION, /* Protected Users, authentication silo, blank password ... */
        REASON_LOGON_TYPE,
        REASON_TOO_MANY_GROUPS,
        REASON_AUTHENTICATION_FIREWALL,
        REASON_SMARTCARD_REQUIRED,
        REASON_NOT_A_USER, /* the account is a computer's, a service's or a trust's, or of no known kind */
        REASON_REVOKED,    /* KRB 18 without NTSTATUS, but for AD's way to say "locked out": disabled, locked,
                              expired or outside hours; the DC doesn't say */
        REASON_THROTTLED,  /* the connector's own guard: too many failures of this name lately; no DC was asked
                            */
        /* change-password, the old password being right */
        REASON_NEW_PASSWORD_TOO_SHORT,
        REASON_NEW_PASSWORD_TOO_SIMPLE,
        REASON_NEW_PASSWORD_IN_HISTORY,
        REASON_NEW_PASSWORD_REFUSED, /* by a rule that the DC does not name */
        REASON_PASSWORD_TOO_YOUNG,
        REASON_CHANGE_NOT_PERMITTED,
        /* infrastructure */
        REASON_NO_DC,          /* none configured or all known dead */
        REASON_DC_REFUSED,     /* connection refused or reset before the password left */
        REASON_DC_UNREACHABLE, /* no TCP connection in time: down, or packets are swallowed */
        REASON_DC_TIMEOUT,     /* connected, but no answer before the password left */
        REASON_DC_TLS,         /* handshake failed */
        REASON_DC_TLS_TIMEOUT, /* connected, but the handshake was not finished in time */
        REASON_DC_CERTIFICATE, /* chain, time or identity of the DC's certificate */
        REASON_DC_ERROR,       /* the DC answered an error that is no verdict; raw says which */
        REASON_DC_PROTOCOL,    /* malformed answer */
        REASON_DC_SIGNING_REQUIRED,
        REASON_DC_CHANNEL_BINDING,
        REASON_DNS,
        REASON_CLOCK_SKEW,
        REASON_ARMOR_REQUIRED,
        REASON_ARMOR_UNAVAILABLE, /* FAST is configured, and no armour ticket can be had */
        REASON_ETYPE_NOSUPP,
        REASON_KDC_NOT_VERIFIED, /* the ticket did not verify with the keytab */
        REASON_TRUST_FAILURE,
        REASON_REFERRAL,    /* the account is another domain's than the name says */
        REASON_NO_IDENTITY, /* password right, but the DC did not say who it is */
        REASON_FOREIGN_SID, /* the DC named an account that is not one of its domain */
        REASON_NAME_AMBIGUOUS,
        REASON_ALIAS_AMBIGUOUS,        /* several accounts have this alternate id */
        REASON_LOOKUP_FAILED,          /* the service account's search could not be made */
        REASON_ATTRIBUTES_UNAVAILABLE, /* the password was right, but attributes that are required can't be read */
        REASON_CHANGE_UNAVAILABLE,     /* this domain's passwords can't be changed through the connector */
        REASON_CHANGE_UNKNOWN,         /* the new password was sent, no answer came: either may hold */
        REASON_CHANGED_UNVERIFIED,     /* changed, but the sign-in with the new password decided nothing */
        REASON_OUTCOME_UNKNOWN,        /* the password left, no answer came back in time */
        REASON_DEADLINE,               /* the budget ended before the password left */
        REASON_CANCELLED,
        REASON_OVERLOADED, /* a limit of ours */
        /* the request itself, found by the connector before any DC was asked (unavailable, infrastructure,
           counted no) */
        REASON_REQUEST_SIGNATURE, /* the service's signature does not verify */
        REASON_SERVICE_UNKNOWN,   /* the service's key is not in the roster */
        REASON_WRONG_AUDIENCE,    /* the request names another tenant */
        REASON_NOT_ADDRESSED,     /* the request names other connectors only */
        REASON_OPERATION_UNKNOWN, /* op is not one this connector knows */
        REASON_MAX
};

struct reason_info {
        const char *id; /* wire name: "wrong_password" */
        enum verdict verdict;
        enum verdict_class class;
        const char *user_text;     /* one plain sentence for the user, when the password was proved: see
                                      reason_user_text */
        const char *helpdesk_text; /* one plain sentence for the helpdesk */
        const char *remedy;        /* one thing to do */
};

/* Never NULL; an out-of-range value gives REASON_INTERNAL's row. */
const struct reason_info *reason_info(enum reason reason);
/* REASON_MAX when the id is not known. */
enum reason reason_from_id(const char *id);

/* The sub-code ("data 533") by which AD's LDAP tells of this reason; 0: it has none. */
uint32_t reason_ad_code(enum reason reason);

/* What to tell the user: never the state of an account unless the password was proved. */
const char *reason_user_text(enum reason reason, bool password_proved);

/* Whose an account of AD is, by its type: userAccountControl, sAMAccountType, the PAC's flags. */
enum account_kind {
        ACCOUNT_UNKNOWN = 0, /* nobody said */
        ACCOUNT_PERSON,
        ACCOUNT_OTHER, /* a computer's, a managed service's, a trust's, or of a kind that is no known one */
};

struct identity {
        enum account_kind kind;  /* AD */
        char id[SID_TEXT_MAX];   /* objectSid; "" unless accepted */
        char guid[37];           /* objectGUID or "" */
        char upn[257], sam[257]; /* or "" */
        char domain[257];
};

/* The attributes that the configuration names, of an account that was accepted. */
enum details_state {
        DETAILS_NONE = 0, /* none are configured */
        DETAILS_COMPLETE,
        DETAILS_TRUNCATED,   /* some did not fit, or are no text */
        DETAILS_UNAVAILABLE, /* they could not be read */
};
struct account_details {
        enum details_state state;
        struct pairs values; /* of one attribute one after the other */
};

struct outcome {
        enum reason reason;
        bool password_proved; /* by an answer that is authenticated */
        enum claim claim;     /* else: what it would prove, were it */
        enum counted counted; /* badPwdCount may have been raised */
        enum method method;
        struct identity user;
        char dc[257]; /* host that was asked, or "" */
        /* raw codes for the helpdesk; has_* says whether the value was seen */
        bool has_ldap, has_ldap_data, has_krb, has_ntstatus;
        int32_t ldap, krb;
        uint32_t ldap_data, ntstatus;
        char context[256]; /* scrubbed English detail from the layer that knew, or "" */
        uint32_t ms_total, ms_connect, ms_dc;
        int64_t dc_clock; /* what the DC's clock said in an answer that is surely its own, s since the epoch; 0: nothing
                           */
        char domain_sid[SID_TEXT_MAX];  /* what the DC says that its domain's SID is, or "" */
        uint32_t retry_after;           /* s, with REASON_THROTTLED */
        bool elsewhere;                 /* with REASON_THROTTLED: another connector may let it go on */
        struct account_details details; /* with REASON_OK */
};

/* An LDAP bind's result as received. */
struct ldap_refusal {
        int result;
        const char *diagnostic; /* bytes, not NUL-terminated; AD's "data 52e" is found in them */
        unsigned long n;
        bool ad;   /* from a DC of AD, which names the cause of every refusal */
        bool fast; /* but for fast binds, where it may hide it ("data 0") */
};
/* Where the details could not be read: notes why, and with required turns OK into REASON_ATTRIBUTES_UNAVAILABLE. */
void outcome_require_details(struct outcome *out, bool required, const char *why);
/* LDAP bind result -> reason. Sets reason, raw, password_proved and counted of out. */
void outcome_from_ldap(struct outcome *out, const struct ldap_refusal *refusal);
/* A KRB-ERROR as received. */
struct krb_refusal {
        int32_t code;
        const uint8_t *e_data;
        unsigned long n;
        bool preauth; /* our own preauthentication was in the request that was answered */
        bool ad;      /* from a DC of AD */
        bool armored; /* it came inside the armour (FAST): else anybody on the way may have written it */
};
/* KRB-ERROR -> reason. Sets what outcome_from_ldap sets. */
void outcome_from_krb(struct outcome *out, const struct krb_refusal *refusal);
const char *verdict_text(enum verdict v);             /* "accepted" "refused" "unavailable" */
const char *verdict_class_text(enum verdict_class c); /* "none" "credentials" "policy" "infrastructure" */
const char *counted_text(enum counted c);             /* "0" "1" "unknown" */
const char *method_text(enum method m);               /* "krb5" "ldap" or "" */
