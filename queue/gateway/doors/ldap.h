/*
 * LDAP (RFC 4511) for a server that knows one entry, the signed-in user's own: requests from bytes, answers to bytes,
 * the entry, and filters. Pure; no socket.
 */
#pragma once

#include <lber.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "queue/gateway/dn.h"
#include "queue/gateway/doors/door.h"
#include "queue/gateway/frames.h"

#define LDAP_REQUEST_MOST 16384 /* bytes of a request */
#define LDAP_ANSWER_MOST 65536  /* bytes that wait to be sent */
#define LDAP_ENTRY_DN_MAX 1024

#define LDAP_OID_WHOAMI "1.3.6.1.4.1.4203.1.11.3"  /* RFC 4532 */
#define LDAP_OID_STARTTLS "1.3.6.1.4.1.1466.20037" /* RFC 4511 4.14 */

enum ldapd_kind {
        LDAP_BIND = 0x60,
        LDAP_UNBIND = 0x42,
        LDAP_SEARCH = 0x63,
        LDAP_MODIFY = 0x66,
        LDAP_ADD = 0x68,
        LDAP_DELETE = 0x4a,
        LDAP_RENAME = 0x6c,
        LDAP_COMPARE = 0x6e,
        LDAP_ABANDON = 0x50,
        LDAP_EXTENDED = 0x77,
};

enum ldapd_result {
        LDAP_SUCCESS = 0,
        LDAP_OPERATIONS_ERROR = 1,
        LDAP_PROTOCOL_ERROR = 2,
        LDAP_COMPARE_FALSE = 5,
        LDAP_COMPARE_TRUE = 6,
        LDAP_AUTH_METHOD_NOT_SUPPORTED = 7,
        LDAP_ADMIN_LIMIT_EXCEEDED = 11,
        LDAP_UNAVAILABLE_CRITICAL_EXTENSION = 12,
        LDAP_CONFIDENTIALITY_REQUIRED = 13,
        LDAP_NO_SUCH_ATTRIBUTE = 16,
        LDAP_NO_SUCH_OBJECT = 32,
        LDAP_INVALID_CREDENTIALS = 49,
        LDAP_INSUFFICIENT_ACCESS = 50,
        LDAP_BUSY = 51,
        LDAP_UNAVAILABLE = 52,
        LDAP_UNWILLING = 53,
};

enum ldapd_scope { LDAP_SCOPE_BASE = 0, LDAP_SCOPE_ONE, LDAP_SCOPE_SUB, LDAP_SCOPES_ };

/* Texts lie in the bytes that were read. */
struct ldapd_request {
        int32_t id;
        enum ldapd_kind kind;
        bool critical;                  /* it depends on a control, of which none is known here */
        int32_t version;                /* BIND */
        bool simple;                    /* BIND */
        enum ldapd_scope scope;         /* SEARCH */
        bool types_only;                /* SEARCH */
        struct berval name;             /* BIND: who; SEARCH: base; COMPARE: the entry; EXTENDED: the OID */
        struct berval password;         /* BIND, simple */
        struct berval filter;           /* SEARCH: the element */
        struct berval attributes;       /* SEARCH: contents of the list */
        struct berval attribute, value; /* COMPARE */
};

/*
 * Takes one whole message apart (der_length tells how long one is). -EBADMSG. bytes[n] must be readable, whatever it
 * is: liblber looks at the tag behind each element.
 */
int ldapd_request_read(struct ldapd_request *ret_request, uint8_t *bytes, size_t n);
/* The answer of this request's kind with this result; nothing for those that have no answer. text: for humans; NULL:
 * none. value: of EXTENDED, or NULL. 0, -EMSGSIZE, -ENOMEM. */
int ldapd_answer(struct buffer *out, const struct ldapd_request *q, enum ldapd_result result, const char *text,
                 const char *value);
/* That the connection ends (RFC 4511 4.4.1), and why. */
int ldapd_answer_end(struct buffer *out, enum ldapd_result result, const char *text);

/* For _cleanup_: of an encoder, which owns its bytes, and of a reader, which refers to others'. */
static inline void ldapd_encoder_freep(BerElement **ber)
{
        if (*ber)
                ber_free(*ber, 1);
}
static inline void ldapd_reader_freep(BerElement **ber)
{
        if (*ber)
                ber_free(*ber, 0);
}

/* ---- the entry ---- */

/* Whom a connection has signed in, or nobody: then it is the server's own entry that is searched, the root DSE. */
struct ldapd_user {
        char dn[LDAP_ENTRY_DN_MAX];       /* posternUserId=ID,dc=corp,dc=example: the account, whatever its names are */
        char asked[GATEWAY_USER_MAX + 1]; /* the name that was signed in by */
        char bound[LDAP_ENTRY_DN_MAX + 1]; /* as it was written in the bind */
        char id[192], domain[257], upn[257], sam[257], guid[37], name[600];
        bool partial, missing; /* not all attributes, or none, could be had */
        struct pairs attributes;
};

/* Takes over who was accepted. asked: the name that was signed in by; bound: as the bind wrote it. */
void ldapd_user_set(struct ldapd_user *u, const struct door_answer *a, const char *asked, const struct berval *bound);
/* Answers SEARCH: the entry where the filter matches, then the end. user NULL: the root DSE; starttls: it offers that.
 * 0, -EMSGSIZE, -ENOMEM. */
int ldapd_answer_search(struct buffer *out, const struct ldapd_request *q, const struct ldapd_user *user,
                        bool starttls);
/* The result of COMPARE with the user's own entry. */
enum ldapd_result ldapd_compare(const struct ldapd_request *q, const struct ldapd_user *user);
/* Whether name is the DN of the user's entry, or the one that was bound by. */
bool ldapd_is_own(const struct ldapd_user *user, const struct berval *name);

/* ---- binds ---- */

/*
 * The name to sign in for a bind's: user@domain, DOMAIN\user and others as they are; of a DN of the form ldap_dn what
 * stands for its %u, put into ldap_name. known: whom the connection signed in last, whose DN is understood too; or
 * NULL. LDAP_SUCCESS and the name, or the result that the bind is answered with, and *ret_why.
 */
enum ldapd_result ldapd_bind_name(const struct berval *name, const char *ldap_dn, const char *ldap_name,
                                  const struct ldapd_user *known, char out[GATEWAY_USER_MAX + 1], const char **ret_why);
/*
 * What a bind is answered. A refusal is 49, with the sub-code by which AD tells its cause in the place where AD's own
 * clients look for it. What nobody could decide is 52 where a repetition is safe, for there is software that repeats
 * the bind at 52 by itself, and else 53.
 */
enum ldapd_result ldapd_bind_result(const struct door_answer *a, struct buffer *out_text);
