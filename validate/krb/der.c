/*
 * The strict look at Kerberos messages that krb/der.h describes: the few structures that matter, by the DER cursor. It
 * allocates nothing and reads no byte past n.
 */
#include "validate/krb/der.h"

#include <errno.h>

#include "certs/codec/der.h"

/* Opens a whole message: tag { SEQUENCE { [first] pvno 5, [first + 1] msg-type, ... } }; ret is what follows.
 */
static bool open_message(struct der *ret, const uint8_t *bytes, size_t n, uint8_t tag, int first, int32_t type)
{
        struct der in = {bytes, n}, body;
        int32_t version, got;

        if (!der_take_wrapped(&in, tag, DER_SEQUENCE, &body) || in.n > 0)
                return false;
        if (!der_take_int(&body, DER_CONTEXT(first), &version) || version != 5)
                return false;
        if (!der_take_int(&body, DER_CONTEXT(first + 1), &got) || got != type)
                return false;
        *ret = body;
        return true;
}

enum krb_message krb_message_kind(const uint8_t *bytes, size_t n)
{
        struct der body;

        if (open_message(&body, bytes, n, DER_APPLICATION(11), 0, 11))
                return KRB_MESSAGE_AS_REP;
        if (open_message(&body, bytes, n, DER_APPLICATION(30), 0, 30))
                return KRB_MESSAGE_ERROR;
        return KRB_MESSAGE_BAD;
}

/* Reads PA-DATA elements until the sequence's body is used up. */
static int parse_list(struct krb_padata_list *ret, struct der body)
{
        struct krb_padata_list list = {0};

        while (body.n > 0) {
                struct der item, value;
                struct krb_padata *p;

                if (list.n == KRB_PADATA_MAX || !der_take(&body, DER_SEQUENCE, &item))
                        return -EBADMSG;
                p = &list.items[list.n++];
                if (!der_take_int(&item, DER_CONTEXT(1), &p->type) ||
                    !der_take_wrapped(&item, DER_CONTEXT(2), DER_OCTET_STRING, &value) || item.n > 0)
                        return -EBADMSG;
                p->bytes = value.p;
                p->n = value.n;
        }
        *ret = list;
        return 0;
}

int krb_padata_parse(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct der in = {bytes, n}, body;

        if (!der_take(&in, DER_SEQUENCE, &body) || in.n > 0)
                return -EBADMSG;
        return parse_list(ret, body);
}

/* Reads the optional padata field that comes next in a message. */
static int message_padata(struct krb_padata_list *ret, struct der *body, uint8_t tag)
{
        struct der list;

        if (!der_at(body, tag)) {
                ret->n = 0;
                return 0;
        }
        if (!der_take_wrapped(body, tag, DER_SEQUENCE, &list))
                return -EBADMSG;
        return parse_list(ret, list);
}

int krb_as_rep_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct der body;

        if (!open_message(&body, bytes, n, DER_APPLICATION(11), 0, 11))
                return -EBADMSG;
        return message_padata(ret, &body, DER_CONTEXT(2));
}

int krb_as_req_padata(struct krb_padata_list *ret, const uint8_t *bytes, size_t n)
{
        struct der body;

        if (!open_message(&body, bytes, n, DER_APPLICATION(10), 1, 10))
                return -EBADMSG;
        return message_padata(ret, &body, DER_CONTEXT(3));
}

const struct krb_padata *krb_padata_find(const struct krb_padata_list *list, int32_t type)
{
        for (size_t i = 0; i < list->n; i++) {
                if (list->items[i].type == type)
                        return &list->items[i];
        }
        return NULL;
}

int krb_as_req_has_preauth(bool *ret, const uint8_t *bytes, size_t n)
{
        struct krb_padata_list list;
        bool found = false;
        int r = krb_as_req_padata(&list, bytes, n);

        if (r < 0)
                return r;
        for (size_t i = 0; i < list.n; i++) {
                /* PA-PAC-REQUEST, PA-FX-COOKIE, PA-REQ-ENC-PA-REP, PA-AS-FRESHNESS, PA-PAC-OPTIONS: no key is needed to
                 * make them. */
                const int32_t type = list.items[i].type;

                found = found || (type != 128 && type != 133 && type != 149 && type != 150 && type != 167);
        }
        *ret = found;
        return 0;
}

static bool parse_etype_entry(struct krb_etype_entry *ret, struct der item)
{
        struct krb_etype_entry entry = {0};
        struct der value;

        if (!der_take_int(&item, DER_CONTEXT(0), &entry.etype))
                return false;
        if (der_at(&item, DER_CONTEXT(1))) {
                if (!der_take_wrapped(&item, DER_CONTEXT(1), DER_GENERAL_STRING, &value))
                        return false;
                entry.salt = value.p;
                entry.salt_len = value.n;
        }
        if (der_at(&item, DER_CONTEXT(2))) {
                if (!der_take_wrapped(&item, DER_CONTEXT(2), DER_OCTET_STRING, &value))
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
        struct der in = {bytes, n}, body;
        struct krb_etype_info info = {0};

        if (!der_take(&in, DER_SEQUENCE, &body) || in.n > 0 || body.n == 0)
                return -EBADMSG;
        while (body.n > 0) {
                struct der item;

                if (info.n == KRB_ETYPES_MAX || !der_take(&body, DER_SEQUENCE, &item) ||
                    !parse_etype_entry(&info.entries[info.n++], item))
                        return -EBADMSG;
        }
        *ret = info;
        return 0;
}
