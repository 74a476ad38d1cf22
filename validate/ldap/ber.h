/*
 * LDAP messages (RFC 4511) as bytes: the few requests that a sign-in needs and the answers to them. Pure; no
 * socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/secret.h"
#include "validate/types/outcome.h"

#define LDAP_MESSAGE_MAX (256 * 1024)
#define LDAP_REQUEST_MAX 4096

#define LDAP_OID_DISCONNECT "1.3.6.1.4.1.1466.20036"
#define LDAP_OID_STARTTLS "1.3.6.1.4.1.1466.20037"   /* RFC 4511 4.14 */
#define LDAP_OID_WHOAMI "1.3.6.1.4.1.4203.1.11.3"    /* RFC 4532 */
#define LDAP_OID_FAST_BIND "1.2.840.113556.1.4.1781" /* [MS-ADTS] 3.1.1.3.4.2.2: then binds alone, which only check */

enum ldap_op {
        LDAP_OP_BIND_RESPONSE = 0x61,
        LDAP_OP_ENTRY = 0x64,
        LDAP_OP_DONE = 0x65,
        LDAP_OP_REFERENCE = 0x73,
        LDAP_OP_EXTENDED = 0x78,
};

struct ldap_bytes {
        const char *data; /* not NUL-terminated; into the message */
        size_t n;
};

struct ldap_message {
        int32_t id;
        enum ldap_op op;
        int32_t result;               /* BIND_RESPONSE, DONE, EXTENDED */
        struct ldap_bytes diagnostic; /* of the same */
        struct ldap_bytes name;       /* EXTENDED: the OID, or empty; ENTRY: the DN */
        struct ldap_bytes value;      /* EXTENDED: the response value, or empty */
        struct ldap_bytes attributes; /* ENTRY: for ldap_entry_each */
};

/*
 * How long the message is that the n bytes begin with. 0 and *ret_len; 1 when more bytes are needed to tell;
 * -EBADMSG when it is no message, -EMSGSIZE over LDAP_MESSAGE_MAX. Six bytes are always enough.
 */
int ldap_message_length(const uint8_t *bytes, size_t n, size_t *ret_len);
/*
 * Takes one whole message apart; *ret_message points into bytes. -EBADMSG. bytes may be scribbled on, and
 * bytes[n] must be readable, whatever it is: liblber looks at the tag behind each element, at the end too
 * (ber_skip_element).
 */
int ldap_message_parse(struct ldap_message *ret_message, uint8_t *bytes, size_t n);

/* Called per value of an attribute of a search entry, in order; index counts the values of that attribute. */
typedef void ldap_value_fn(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index);
/* Walks a search entry. -EBADMSG where it is malformed; the calls before that have happened. */
int ldap_entry_each(const struct ldap_message *message, ldap_value_fn *fn, void *arg);
/* Attribute descriptions compare without case. */
bool ldap_bytes_is(const struct ldap_bytes *bytes, const char *text);

/* Encoders: append to out. 0, -EMSGSIZE, -ENOMEM. */
int ldap_encode_bind(struct buffer *out, int32_t id, const char *name, const struct secret *password);
/* One of the operations below, which have no value. */
int ldap_encode_extended(struct buffer *out, int32_t id, const char *oid);
/* Base search. object_class: only an entry of this class ("user"), or NULL for any. attributes:
 * NULL-terminated. */
int ldap_encode_read(struct buffer *out, int32_t id, const char *base, const char *object_class,
                     const char *const *attributes);

/* The rootDSE with the DC's time and, in the name of its domain, that domain's SID, which LDAP_SERVER_EXTENDED_DN asks
 * for ([MS-ADTS] 3.1.1.3.4.1.5): it is told to the nameless, too. */
int ldap_encode_root(struct buffer *out, int32_t id);
/* The SID in a name of that form, "<GUID=...>;<SID=S-1-5-21-...>;DC=corp,DC=example". -ENOENT. out holds SID_TEXT_MAX.
 */
int ldap_extended_sid(char *out, const struct ldap_bytes *name);

/* Subtree search for users (objectCategory person, class user) whose attribute equals value, or whose or_attribute
 * (unless NULL) equals or_value. */
struct ldap_search {
        const char *base, *attribute, *value, *or_attribute, *or_value;
        unsigned size_limit;
        const char *const *attributes; /* NULL-terminated */
};
int ldap_encode_search(struct buffer *out, int32_t id, const struct ldap_search *search);

/* Subtree search for the groups that the object of this DN is in, by whatever way; no attributes. */
struct ldap_groups_search {
        const char *base, *member;
        unsigned size_limit;
};
int ldap_encode_groups_search(struct buffer *out, int32_t id, const struct ldap_groups_search *search);

/* 16 bytes of objectGUID -> "xxxxxxxx-xxxx-..." (37 bytes). -EBADMSG. */
int ldap_guid_text(char *out, const char *bytes, size_t n);
/* Bytes of objectSid -> "S-1-..." (SID_TEXT_MAX bytes). -EBADMSG. */
int ldap_sid_text(char *out, const struct ldap_bytes *value);
/* Copies text that is valid UTF-8 without NUL, not empty and shorter than cap; otherwise false, and out stays. */
bool ldap_bytes_text(char *out, size_t cap, const struct ldap_bytes *value);
/* Escapes a value of a DN (RFC 4514 2.4). -EMSGSIZE when it doesn't fit. */
int ldap_dn_escape(char *out, size_t cap, const char *value);
