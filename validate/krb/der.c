/*
 * The strict look at Kerberos messages that krb/der.h describes: a cursor over tag-length-value and the few
 * structures that matter. It allocates nothing and reads no byte past n.
 */
#include "validate/krb/der.h"

#include <errno.h>
#include <string.h>

enum {
        TAG_INTEGER = 0x02,
        TAG_OCTET_STRING = 0x04,
        TAG_GENERAL_STRING = 0x1b,
        TAG_SEQUENCE = 0x30,
        TAG_AS_REQ = 0x6a,
        TAG_AS_REP = 0x6b,
        TAG_KRB_ERROR = 0x7e,
};

#define TAG_CONTEXT(i) ((uint8_t)(0xa0 + (i)))

struct cursor {
        const uint8_t *p;
        size_t n;
};

/* Reads a definite, minimal length; false when it is malformed or goes past the end. */
static bool take_length(struct cursor *in, size_t *ret)
{
        size_t length, octets;

        if (in->n < 1)
                return false;
        length = *in->p++;
        in->n--;
        if (length >= 0x80) {
                octets = length & 0x7f;
                if (octets < 1 || octets > 4 || octets > in->n || in->p[0] == 0)
                        return false;
                length = 0;
                for (size_t i = 0; i < octets; i++)
                        length = length << 8 | in->p[i];
                in->p += octets;
                in->n -= octets;
                if (length < 0x80)
                        return false;
        }
        if (length > in->n)
                return false;
        *ret = length;
        return true;
}

/* Takes one element of the given tag off the front; false, and nothing taken, when another one is there. */
static bool take(struct cursor *in, uint8_t tag, struct cursor *ret_body)
{
        struct cursor at = *in;
        size_t length;

        if (at.n < 2 || at.p[0] != tag)
                return false;
        at.p++;
        at.n--;
        if (!take_length(&at, &length))
                return false;
        *ret_body = (struct cursor){at.p, length};
        *in = (struct cursor){at.p + length, at.n - length};
        return true;
}

/* Takes tag { inner ... } where nothing but the inner element is inside. */
static bool take_wrapped(struct cursor *in, uint8_t tag, uint8_t inner, struct cursor *ret_body)
{
        struct cursor at = *in, outer, body;

        if (!take(&at, tag, &outer) || !take(&outer, inner, &body) || outer.n > 0)
                return false;
        *ret_body = body;
        *in = at;
        return true;
}

/* Takes tag { INTEGER } of 32 bits, minimal. */
static bool take_int(struct cursor *in, uint8_t tag, int32_t *ret)
{
        struct cursor at = *in, body;
        uint32_t value;

        if (!take_wrapped(&at, tag, TAG_INTEGER, &body) || body.n < 1 || body.n > 4)
                return false;
        if (body.n > 1 && ((body.p[0] == 0 && body.p[1] < 0x80) || (body.p[0] == 0xff && body.p[1] >= 0x80)))
                return false;
        value = body.p[0] >= 0x80 ? UINT32_MAX : 0;
        for (size_t i = 0; i < body.n; i++)
                value = value << 8 | body.p[i];
        memcpy(ret, &value, sizeof value);
        *in = at;
        return true;
}

static bool at_tag(const struct cursor *in, uint8_t tag)
{
        return in->n > 0 && in->p[0] == tag;
}

/* Opens a whole message: tag { SEQUENCE { [first] pvno 5, [first + 1] msg-type, ... } }; ret is what follows.
 */
static bool open_message(struct cursor *ret, const uint8_t *bytes, size_t n, uint8_t tag, int first, int32_t type)
{
        struct cursor in = {bytes, n}, body;
        int32_t version, got;

        if (!take_wrapped(&in, tag, TAG_SEQUENCE, &body) || in.n > 0)
                return false;
        if (!take_int(&body, TAG_CONTEXT(first), &version) || version != 5)
                return false;
        if (!take_int(&body, TAG_CONTEXT(first + 1), &got) || got != type)
                return false;
        *ret = body;
        return true;
}

enum krb_message krb_message_kind(const uint8_t *bytes, size_t n)
{
        struct cursor body;

        if (open_message(&body, bytes, n, TAG_AS_REP, 0, 11))
                return KRB_MESSAGE_AS_REP;
        if (open_message(&body, bytes, n, TAG_KRB_ERROR, 0, 30))
                return KRB_MESSAGE_ERROR;
        return KRB_MESSAGE_BAD;
}

/* Reads PA-DATA elements until the sequence's body is used up. */
static int parse_list(struct krb_padata_list *ret, struct cursor body)
{
        struct krb_padata_list list = {0};

        while (body.n > 0) {
                struct cursor item, value;
                struct krb_padata *p;

                if (list.n == KRB_PADATA_MAX || !take(&body, TAG_SEQUENCE, &item))
                        return -EBADMSG;
                p = &list.items[list.n++];
                if (!take_int(&item, TAG_CONTEXT(1), &p->type) ||
                    !take_wrapped(&item, TAG_CONTEXT(2), TAG_OCTET_STRING, &value) || item.n > 0)
                        return -EBADMSG;
                p->bytes = value.p;
                p->n = value.n;
        }
        *ret = list;
        return 0;
}

int krb_padata_parse(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct cursor in = {bytes, n}, body;

        if (!take(&in, TAG_SEQUENCE, &body) || in.n > 0)
                return -EBADMSG;
        return parse_list(ret, body);
}

/* Reads the optional padata field that comes next in a message. */
static int message_padata(struct krb_padata_list *ret, struct cursor *body, uint8_t tag)
{
        struct cursor list;

        if (!at_tag(body, tag)) {
                ret->n = 0;
                return 0;
        }
        if (!take_wrapped(body, tag, TAG_SEQUENCE, &list))
                return -EBADMSG;
        return parse_list(ret, list);
}

int krb_as_rep_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct cursor body;

        if (!open_message(&body, bytes, n, TAG_AS_REP, 0, 11))
                return -EBADMSG;
        return message_padata(ret, &body, TAG_CONTEXT(2));
}

int krb_as_req_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct cursor body;

        if (!open_message(&body, bytes, n, TAG_AS_REQ, 1, 10))
                return -EBADMSG;
        return message_padata(ret, &body, TAG_CONTEXT(3));
}

const struct krb_padata *krb_padata_find(const struct krb_padata_list *list, int32_t type)
{
        for (size_t i = 0; i < list->n; i++) {
                if (list->items[i].type == type)
                        return &list->items[i];
        }
        return NULL;
}

/* PA-PAC-REQUEST, PA-FX-COOKIE, PA-REQ-ENC-PA-REP, PA-AS-FRESHNESS, PA-PAC-OPTIONS: no key is needed to make
 * them. */
static bool is_information(int32_t type)
{
        return type == 128 || type == 133 || type == 149 || type == 150 || type == 167;
}

int krb_as_req_has_preauth(bool *ret, const uint8_t *bytes, size_t n)
{
        struct krb_padata_list list;
        bool found = false;
        int r = krb_as_req_padata(&list, bytes, n);

        if (r < 0)
                return r;
        for (size_t i = 0; i < list.n; i++)
                found = found || !is_information(list.items[i].type);
        *ret = found;
        return 0;
}

static bool parse_etype_entry(struct krb_etype_entry *ret, struct cursor item)
{
        struct krb_etype_entry entry = {0};
        struct cursor value;

        if (!take_int(&item, TAG_CONTEXT(0), &entry.etype))
                return false;
        if (at_tag(&item, TAG_CONTEXT(1))) {
                if (!take_wrapped(&item, TAG_CONTEXT(1), TAG_GENERAL_STRING, &value))
                        return false;
                entry.salt = value.p;
                entry.salt_len = value.n;
        }
        if (at_tag(&item, TAG_CONTEXT(2))) {
                if (!take_wrapped(&item, TAG_CONTEXT(2), TAG_OCTET_STRING, &value))
                        return false;
                entry.params = value.p;
                entry.params_len = value.n;
        }
        if (item.n > 0)
                return false;
        *ret = entry;
        return true;
}

int krb_etype_info2_parse(struct krb_etype_info *ret, const uint8_t *bytes, size_t n)
{
        struct cursor in = {bytes, n}, body;
        struct krb_etype_info info = {0};

        if (!take(&in, TAG_SEQUENCE, &body) || in.n > 0 || body.n == 0)
                return -EBADMSG;
        while (body.n > 0) {
                struct cursor item;

                if (info.n == KRB_ETYPES_MAX || !take(&body, TAG_SEQUENCE, &item) ||
                    !parse_etype_entry(&info.entries[info.n++], item))
                        return -EBADMSG;
        }
        *ret = info;
        return 0;
}
