/*
 * LDAP messages to and from bytes, by liblber.
 *
 * Invariant: a parsed message was one whole LDAPMessage with nothing left over in its response; what it
 * points to lies inside the bytes given. The only copy of a password that is made here is in the caller's
 * buffer: the encoder's own is wiped. What answers mean is not decided here.
 */
#include "validate/ldap/ber.h"

#include <errno.h>
#include <lber.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/sid.h"
#include "base/core/text.h"
#include "certs/codec/der.h"

#define TAG_MESSAGE 0x30
#define TAG_SET 0x31
#define TAG_OCTETS 0x04
#define TAG_REFERRALS 0xa3
#define TAG_SASL_CREDS 0x87
#define TAG_EXT_NAME 0x8a
#define TAG_EXT_VALUE 0x8b
#define TAG_CONTROLS 0xa0

#define REQ_BIND 0x60U
#define REQ_SEARCH 0x63U
#define REQ_EXTENDED 0x77U
#define AUTH_SIMPLE 0x80U
#define EXT_REQ_NAME 0x80U
#define FILTER_EQUAL 0xa3U
#define FILTER_AND ((ber_tag_t)0xa0)
#define FILTER_OR ((ber_tag_t)0xa1)
#define SEARCH_SECONDS 5
#define FILTER_PRESENT 0x87U
#define FILTER_EXTENSIBLE ((ber_tag_t)0xa9)
#define MATCH_RULE 0x81U
#define MATCH_TYPE 0x82U
#define MATCH_VALUE 0x83U

#define OID_IN_CHAIN "1.2.840.113556.1.4.1941" /* [MS-ADTS] 3.1.1.3.4.4.3 */
#define OID_EXTENDED_DN "1.2.840.113556.1.4.529"

/* For an encoder, which owns its bytes. */
static void element_freep(BerElement **ber)
{
        if (*ber)
                ber_free(*ber, 1);
}

/* For a reader, which only refers to them. */
static void reader_freep(BerElement **ber)
{
        if (*ber)
                ber_free(*ber, 0);
}

int ldap_message_length(const uint8_t *bytes, size_t n, size_t *ret_len)
{
        return der_length(bytes, n, TAG_MESSAGE, LDAP_MESSAGE_MAX, ret_len);
}

/* Takes the next element, which must have this tag. */
static int take(BerElement *ber, ber_tag_t tag, struct berval *ret_value)
{
        ber_len_t len;

        if (ber_peek_tag(ber, &len) != tag)
                return -EBADMSG;
        return ber_skip_element(ber, ret_value) == tag ? 0 : -EBADMSG;
}

/* Takes the next element if it has this tag; value is emptied otherwise. */
static int take_optional(BerElement *ber, ber_tag_t tag, struct berval *ret_value)
{
        ber_len_t len;

        ret_value->bv_val = NULL;
        ret_value->bv_len = 0;
        if (ber_peek_tag(ber, &len) != tag)
                return 0;
        return take(ber, tag, ret_value);
}

static bool at_end(BerElement *ber)
{
        return ber_remaining(ber) == 0;
}

static struct ldap_bytes bytes_of(const struct berval *value)
{
        return (struct ldap_bytes){value->bv_val, value->bv_len};
}

/* A reader over the contents of an element. NULL when out of memory. */
static BerElement *reader(struct berval *value)
{
        BerElement *ber = ber_alloc_t(0);

        if (ber)
                ber_init2(ber, value, 0);
        return ber;
}

/* LDAPResult, then what each kind of response adds. */
static int parse_result(struct ldap_message *m, struct berval *body)
{
        _cleanup_(reader_freep) BerElement *ber = reader(body);
        struct berval matched, text, skip, name, value;
        ber_int_t result;

        if (!ber)
                return -ENOMEM;
        if (ber_get_enum(ber, &result) == LBER_ERROR || take(ber, TAG_OCTETS, &matched) < 0 ||
            take(ber, TAG_OCTETS, &text) < 0)
                return -EBADMSG;
        if (take_optional(ber, TAG_REFERRALS, &skip) < 0)
                return -EBADMSG;
        if (m->op == LDAP_OP_BIND_RESPONSE && take_optional(ber, TAG_SASL_CREDS, &skip) < 0)
                return -EBADMSG;
        if (m->op == LDAP_OP_EXTENDED) {
                if (take_optional(ber, TAG_EXT_NAME, &name) < 0 || take_optional(ber, TAG_EXT_VALUE, &value) < 0)
                        return -EBADMSG;
                m->name = bytes_of(&name);
                m->value = bytes_of(&value);
        }
        if (!at_end(ber))
                return -EBADMSG;
        m->result = result;
        m->diagnostic = bytes_of(&text);
        return 0;
}

static int parse_entry(struct ldap_message *m, struct berval *body)
{
        _cleanup_(reader_freep) BerElement *ber = reader(body);
        struct berval dn, attributes;

        if (!ber)
                return -ENOMEM;
        if (take(ber, TAG_OCTETS, &dn) < 0 || take(ber, TAG_MESSAGE, &attributes) < 0 || !at_end(ber))
                return -EBADMSG;
        m->name = bytes_of(&dn);
        m->attributes = bytes_of(&attributes);
        return 0;
}

static int parse_op(struct ldap_message *m, ber_tag_t tag, struct berval *body)
{
        switch (tag) {
        case LDAP_OP_BIND_RESPONSE:
        case LDAP_OP_DONE:
        case LDAP_OP_EXTENDED:
                m->op = (enum ldap_op)tag;
                return parse_result(m, body);
        case LDAP_OP_ENTRY:
                m->op = LDAP_OP_ENTRY;
                return parse_entry(m, body);
        case LDAP_OP_REFERENCE:
                m->op = LDAP_OP_REFERENCE;
                return 0;
        default: /* a foreign number, not an enum of ours */
                return -EBADMSG;
        }
}

/* messageID, operation, controls (which are skipped: none of them was asked for). */
static int parse_message(struct ldap_message *m, struct berval *body)
{
        _cleanup_(reader_freep) BerElement *ber = reader(body);
        struct berval op, controls;
        ber_tag_t tag;
        ber_int_t id;
        int r;

        if (!ber)
                return -ENOMEM;
        if (ber_get_int(ber, &id) == LBER_ERROR || id < 0)
                return -EBADMSG;
        m->id = id;
        tag = ber_skip_element(ber, &op);
        if (tag == LBER_ERROR)
                return -EBADMSG;
        r = parse_op(m, tag, &op);
        if (r < 0)
                return r;
        if (take_optional(ber, TAG_CONTROLS, &controls) < 0 || !at_end(ber))
                return -EBADMSG;
        return 0;
}

int ldap_message_parse(struct ldap_message *ret_message, uint8_t *bytes, size_t n)
{
        struct berval whole = {n, (char *)bytes}, body;
        _cleanup_(reader_freep) BerElement *ber = reader(&whole);
        struct ldap_message m = {0};
        int r;

        if (!ber)
                return -ENOMEM;
        if (n > LDAP_MESSAGE_MAX || take(ber, TAG_MESSAGE, &body) < 0 || !at_end(ber))
                return -EBADMSG;
        r = parse_message(&m, &body);
        if (r == 0)
                *ret_message = m;
        return r;
}

/* One PartialAttribute: description and a set of values. */
static int each_value(struct berval *attribute, ldap_value_fn *fn, void *arg)
{
        _cleanup_(reader_freep) BerElement *ber = reader(attribute), *values = NULL;
        struct berval description, set, value;
        struct ldap_bytes name, bytes;

        if (!ber)
                return -ENOMEM;
        if (take(ber, TAG_OCTETS, &description) < 0 || take(ber, TAG_SET, &set) < 0 || !at_end(ber))
                return -EBADMSG;
        values = reader(&set);
        if (!values)
                return -ENOMEM;
        name = bytes_of(&description);
        for (size_t i = 0; !at_end(values); i++) {
                if (take(values, TAG_OCTETS, &value) < 0)
                        return -EBADMSG;
                bytes = bytes_of(&value);
                fn(arg, &name, &bytes, i);
        }
        return 0;
}

int ldap_entry_each(const struct ldap_message *message, ldap_value_fn *fn, void *arg)
{
        struct berval list = {message->attributes.n, (char *)(uintptr_t)message->attributes.data}, attribute;
        _cleanup_(reader_freep) BerElement *ber = reader(&list);

        if (!ber)
                return -ENOMEM;
        while (!at_end(ber)) {
                int r = take(ber, TAG_MESSAGE, &attribute);

                if (r == 0)
                        r = each_value(&attribute, fn, arg);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool ldap_bytes_is(const struct ldap_bytes *bytes, const char *text)
{
        return bytes->n == strlen(text) && strncasecmp(bytes->data, text, bytes->n) == 0;
}

/* Moves a finished request into out and wipes the encoder's copy. */
static int finish(struct buffer *out, BerElement *ber, int written)
{
        struct berval value = {0, NULL};
        int r = -ENOMEM;

        if (ber_flatten2(ber, &value, 0) == 0 && value.bv_val) {
                if (written >= 0)
                        r = buffer_append(out, value.bv_val, value.bv_len);
                wipe(value.bv_val, value.bv_len);
        }
        return r;
}

int ldap_encode_bind(struct buffer *out, int32_t id, const char *name, const struct secret *password)
{
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);

        if (!ber)
                return -ENOMEM;
        return finish(out, ber,
                      ber_printf(ber, "{it{isto}}", (ber_int_t)id, REQ_BIND, 3, name, AUTH_SIMPLE,
                                 secret_text(password), (ber_len_t)secret_len(password)));
}

int ldap_encode_extended(struct buffer *out, int32_t id, const char *oid)
{
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);

        if (!ber)
                return -ENOMEM;
        return finish(out, ber, ber_printf(ber, "{it{ts}}", (ber_int_t)id, REQ_EXTENDED, EXT_REQ_NAME, oid));
}

int ldap_encode_read(struct buffer *out, int32_t id, const char *base, const char *object_class,
                     const char *const *attributes)
{
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        int n;

        if (!ber)
                return -ENOMEM;
        /* scope base, never dereference, one entry, no time limit, values too */
        n = ber_printf(ber, "{it{seeiib", (ber_int_t)id, REQ_SEARCH, base, 0, 0, 1, 0, 0);
        if (n >= 0 && object_class)
                n = ber_printf(ber, "t{ss}", FILTER_EQUAL, "objectClass", object_class);
        else if (n >= 0)
                n = ber_printf(ber, "ts", FILTER_PRESENT, "objectClass");
        if (n >= 0)
                n = ber_printf(ber, "{");
        for (size_t i = 0; n >= 0 && attributes[i]; i++)
                n = ber_printf(ber, "s", attributes[i]);
        if (n >= 0)
                n = ber_printf(ber, "}}}");
        return finish(out, ber, n);
}

int ldap_encode_root(struct buffer *out, int32_t id)
{
        static const char as_text[] = {0x30, 3, 2, 1, 1}; /* SEQUENCE { INTEGER 1 } */
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        int n;

        if (!ber)
                return -ENOMEM;
        n = ber_printf(ber, "{it{seeiibts{ss}}", (ber_int_t)id, REQ_SEARCH, "", 0, 0, 1, 0, 0, FILTER_PRESENT,
                       "objectClass", "currentTime", "defaultNamingContext");
        if (n >= 0) /* not critical: who does not know the control leaves it out */
                n = ber_printf(ber, "t{{so}}}", (ber_tag_t)TAG_CONTROLS, OID_EXTENDED_DN, as_text,
                               (ber_len_t)sizeof as_text);
        return finish(out, ber, n);
}

int ldap_extended_sid(char *out, const struct ldap_bytes *name)
{
        static const char begin[] = "<SID=";
        const char *sid = name->n > 0 ? memmem(name->data, name->n, begin, sizeof begin - 1) : NULL, *end;
        size_t n;

        if (!sid)
                return -ENOENT;
        sid += sizeof begin - 1;
        end = memchr(sid, '>', name->n - (size_t)(sid - name->data));
        n = end ? (size_t)(end - sid) : 0;
        if (n == 0 || n >= SID_TEXT_MAX || memchr(sid, '\0', n))
                return -ENOENT;
        memcpy(out, sid, n);
        out[n] = '\0';
        return 0;
}

int ldap_encode_search(struct buffer *out, int32_t id, const struct ldap_search *search)
{
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        int n;

        if (!ber)
                return -ENOMEM;
        /* scope subtree, never dereference, the limits in entries and seconds, values too */
        n = ber_printf(ber, "{it{seeiib", (ber_int_t)id, REQ_SEARCH, search->base, 2, 0, (ber_int_t)search->size_limit,
                       SEARCH_SECONDS, 0);
        if (n >= 0)
                n = ber_printf(ber, "t{t{ss}t{ss}t{t{ss}", FILTER_AND, FILTER_EQUAL, "objectCategory", "person",
                               FILTER_EQUAL, "objectClass", "user", FILTER_OR, FILTER_EQUAL, search->attribute,
                               search->value);
        if (n >= 0 && search->or_attribute)
                n = ber_printf(ber, "t{ss}", FILTER_EQUAL, search->or_attribute, search->or_value);
        if (n >= 0)
                n = ber_printf(ber, "}}");
        if (n >= 0)
                n = ber_printf(ber, "{");
        for (size_t i = 0; n >= 0 && search->attributes[i]; i++)
                n = ber_printf(ber, "s", search->attributes[i]);
        if (n >= 0)
                n = ber_printf(ber, "}}}");
        return finish(out, ber, n);
}

int ldap_encode_groups_search(struct buffer *out, int32_t id, const struct ldap_groups_search *search)
{
        _cleanup_(element_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        int n;

        if (!ber)
                return -ENOMEM;
        n = ber_printf(ber, "{it{seeiib", (ber_int_t)id, REQ_SEARCH, search->base, 2, 0, (ber_int_t)search->size_limit,
                       SEARCH_SECONDS, 1);
        if (n >= 0) /* extensibleMatch: rule, type, value; RFC 4511 4.5.1.7.7 */
                n = ber_printf(ber, "t{tststs}", FILTER_EXTENSIBLE, MATCH_RULE, OID_IN_CHAIN, MATCH_TYPE, "member",
                               MATCH_VALUE, search->member);
        if (n >= 0)
                n = ber_printf(ber, "{s}}}", "1.1");
        return finish(out, ber, n);
}

int ldap_guid_text(char *out, const char *bytes, size_t n)
{
        static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
        size_t at = 0;

        if (n != 16)
                return -EBADMSG;
        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        out[at++] = '-';
                snprintf(out + at, 3, "%02x", (unsigned)(unsigned char)bytes[order[i]]);
                at += 2;
        }
        return 0;
}

int ldap_sid_text(char *out, const struct ldap_bytes *value)
{
        return sid_text(out, (const uint8_t *)value->data, value->n);
}

bool ldap_bytes_text(char *out, size_t cap, const struct ldap_bytes *value)
{
        if (value->n == 0 || value->n >= cap || memchr(value->data, '\0', value->n) ||
            !utf8_valid(value->data, value->n))
                return false;
        memcpy(out, value->data, value->n);
        out[value->n] = '\0';
        return true;
}

int ldap_dn_escape(char *out, size_t cap, const char *value)
{
        size_t n = strlen(value), at = 0;

        for (size_t i = 0; i < n; i++) {
                char c = value[i];
                bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == n && c == ' ');

                if (at + 3 > cap)
                        return -EMSGSIZE;
                if (edge || strchr("\"+,;<=>\\", c))
                        out[at++] = '\\';
                out[at++] = c;
        }
        if (at >= cap)
                return -EMSGSIZE;
        out[at] = '\0';
        return 0;
}
