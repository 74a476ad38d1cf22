/*
 * LDAP messages of a server to and from bytes, by liblber, and what binds mean.
 *
 * Invariant: a request that was read was one whole LDAPMessage with nothing left over, and its texts lie inside the
 * bytes given; a password is copied nowhere here. What is answered to a bind by an answer of the gateway is decided
 * here alone.
 */
#include "queue/gateway/doors/ldap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "validate/types/outcome.h"

#define TAG_MESSAGE ((ber_tag_t)0x30)
#define TAG_SEQUENCE ((ber_tag_t)0x30)
#define TAG_CONTROLS ((ber_tag_t)0xa0)
#define TAG_BOOLEAN ((ber_tag_t)0x01)
#define TAG_SIMPLE ((ber_tag_t)0x80)
#define TAG_SASL ((ber_tag_t)0xa3)
#define TAG_EXTENDED_NAME ((ber_tag_t)0x80)
#define TAG_EXTENDED_VALUE ((ber_tag_t)0x81)
#define TAG_ANSWER_VALUE ((ber_tag_t)0x8b)
#define TAG_ANSWER_NAME ((ber_tag_t)0x8a)
#define EXTENDED_ANSWER ((ber_tag_t)0x78)
#define OID_DISCONNECT "1.3.6.1.4.1.1466.20036"
/* ERROR_ACCOUNT_RESTRICTION: of what AD has no sub-code for. */
#define AD_RESTRICTION 0x52fU
#define AD_LOGON_FAILURE 0x52eU
#define AD_LOCKED_OUT 0x775U

/* ---- requests ---- */

/* Not by ber_scanf's "m", which writes a NUL behind the text: on what follows, perhaps the next request. */
static bool take_text(BerElement *ber, struct berval *ret)
{
        return ber_skip_element(ber, ret) == LBER_OCTETSTRING;
}

/* Whether one of them, which the client cannot do without, is there; none is known here. -EBADMSG. */
static int read_controls(struct berval *body, bool *ret_critical)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval oid, value;
        ber_len_t n;

        if (!ber)
                return -ENOMEM;
        ber_init2(ber, body, 0);
        while (ber_remaining(ber) > 0) {
                ber_int_t critical = 0;

                if (ber_skip_tag(ber, &n) != TAG_SEQUENCE || !take_text(ber, &oid) ||
                    (ber_peek_tag(ber, &n) == TAG_BOOLEAN && ber_scanf(ber, "b", &critical) == LBER_ERROR) ||
                    (ber_peek_tag(ber, &n) == LBER_OCTETSTRING && !take_text(ber, &value)))
                        return -EBADMSG;
                *ret_critical = *ret_critical || critical;
        }
        return 0;
}

static bool read_bind(BerElement *ber, struct ldapd_request *q)
{
        struct berval skipped;
        ber_len_t n;

        if (ber_scanf(ber, "i", &q->version) == LBER_ERROR || !take_text(ber, &q->name))
                return false;
        q->simple = ber_peek_tag(ber, &n) == TAG_SIMPLE;
        if (q->simple)
                return ber_skip_element(ber, &q->password) == TAG_SIMPLE;
        return ber_skip_element(ber, &skipped) == TAG_SASL;
}

static bool read_search(BerElement *ber, const struct berval *body, struct ldapd_request *q)
{
        ber_int_t scope, deref, size, seconds, types_only;
        struct berval skipped;

        if (!take_text(ber, &q->name) ||
            ber_scanf(ber, "eeiib", &scope, &deref, &size, &seconds, &types_only) == LBER_ERROR || scope < 0 ||
            scope >= LDAP_SCOPES_)
                return false;
        q->scope = (enum ldapd_scope)scope;
        q->types_only = types_only != 0;
        q->filter.bv_val = body->bv_val + body->bv_len - ber_remaining(ber);
        if (ber_skip_element(ber, &skipped) == LBER_ERROR)
                return false;
        q->filter.bv_len = (ber_len_t)(skipped.bv_val + skipped.bv_len - q->filter.bv_val);
        return ber_skip_element(ber, &q->attributes) == TAG_SEQUENCE;
}

static bool read_extended(BerElement *ber, struct ldapd_request *q)
{
        struct berval skipped;

        return ber_skip_element(ber, &q->name) == TAG_EXTENDED_NAME &&
               (ber_remaining(ber) == 0 || ber_skip_element(ber, &skipped) == TAG_EXTENDED_VALUE);
}

/* What stands in the request of a kind that this server serves; of others nothing is looked at. */
static int read_body(struct ldapd_request *q, struct berval *body)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        ber_len_t length;
        bool good = true;

        if (!ber)
                return -ENOMEM;
        ber_init2(ber, body, 0);
        switch (q->kind) {
        case LDAP_BIND:
                good = read_bind(ber, q) && ber_remaining(ber) == 0;
                break;
        case LDAP_SEARCH:
                good = read_search(ber, body, q) && ber_remaining(ber) == 0;
                break;
        case LDAP_COMPARE:
                good = take_text(ber, &q->name) && ber_skip_tag(ber, &length) == TAG_SEQUENCE &&
                       take_text(ber, &q->attribute) && take_text(ber, &q->value);
                break;
        case LDAP_EXTENDED:
                good = read_extended(ber, q);
                break;
        case LDAP_UNBIND:
        case LDAP_ABANDON:
        case LDAP_MODIFY:
        case LDAP_ADD:
        case LDAP_DELETE:
        case LDAP_RENAME:
                break;
        }
        return good ? 0 : -EBADMSG;
}

/* 0: it is none. */
static enum ldapd_kind kind_of(ber_tag_t tag)
{
        static const enum ldapd_kind kinds[] = {LDAP_BIND,   LDAP_UNBIND, LDAP_SEARCH,  LDAP_MODIFY,  LDAP_ADD,
                                                LDAP_DELETE, LDAP_RENAME, LDAP_COMPARE, LDAP_ABANDON, LDAP_EXTENDED};

        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if ((ber_tag_t)kinds[i] == tag)
                        return kinds[i];
        return 0;
}

int ldapd_request_read(struct ldapd_request *ret_request, uint8_t *bytes, size_t n)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval whole = {n, (char *)bytes}, body, controls;
        struct ldapd_request q = {.version = 0};
        ber_len_t length;
        int r;

        if (!ber)
                return -ENOMEM;
        ber_init2(ber, &whole, 0);
        if (ber_scanf(ber, "{i", &q.id) == LBER_ERROR || q.id < 0 ||
            (q.kind = kind_of(ber_peek_tag(ber, &length))) == 0 || ber_skip_element(ber, &body) == LBER_ERROR)
                return -EBADMSG;
        r = read_body(&q, &body);
        if (r == 0 && ber_peek_tag(ber, &length) == TAG_CONTROLS)
                r = ber_skip_element(ber, &controls) == TAG_CONTROLS ? read_controls(&controls, &q.critical) : -EBADMSG;
        if (r == 0 && ber_remaining(ber) > 0)
                r = -EBADMSG;
        if (r == 0)
                *ret_request = q;
        return r;
}

/* ---- answers ---- */

/* Appends what the encoder holds. printed: what the last ber_printf came to. */
static int append(struct buffer *out, BerElement *ber, int printed)
{
        struct berval bytes;

        if (printed == -1 || ber_flatten2(ber, &bytes, 0) < 0)
                return -ENOMEM;
        return buffer_append(out, bytes.bv_val, bytes.bv_len);
}

int ldapd_answer(struct buffer *out, const struct ldapd_request *q, enum ldapd_result result, const char *text,
                 const char *value)
{
        _cleanup_(ldapd_encoder_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        /* The answer of each kind has the next number; DELETE is of another form. */
        const ber_tag_t tag = q->kind == LDAP_DELETE     ? (ber_tag_t)0x6b
                              : q->kind == LDAP_EXTENDED ? EXTENDED_ANSWER
                              : q->kind == LDAP_SEARCH   ? (ber_tag_t)0x65
                                                         : (ber_tag_t)q->kind + 1;

        if (q->kind == LDAP_UNBIND || q->kind == LDAP_ABANDON)
                return 0;
        if (!ber)
                return -ENOMEM;
        if (value)
                return append(out, ber,
                              ber_printf(ber, "{it{essts}}", q->id, tag, (ber_int_t)result, "", text ? text : "",
                                         TAG_ANSWER_VALUE, value));
        return append(out, ber, ber_printf(ber, "{it{ess}}", q->id, tag, (ber_int_t)result, "", text ? text : ""));
}

int ldapd_answer_end(struct buffer *out, enum ldapd_result result, const char *text)
{
        _cleanup_(ldapd_encoder_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);

        return !ber ? -ENOMEM
                    : append(out, ber,
                             ber_printf(ber, "{it{essts}}", (ber_int_t)0, EXTENDED_ANSWER, (ber_int_t)result, "", text,
                                        TAG_ANSWER_NAME, OID_DISCONNECT));
}

/* ---- binds ---- */

/* What stands for %u in the DN. */
static bool name_in_dn(const struct dn *dn, const char *ldap_dn, const char *ldap_name, char out[GATEWAY_USER_MAX + 1])
{
        struct dn form;
        const char *u = strstr(ldap_name, "%u");
        const bool whole = strchr(dn->value, '@') || strchr(dn->value, '\\') || !u;

        if (!ldap_dn || dn_read(&form, ldap_dn, strlen(ldap_dn)) < 0 || strcmp(form.type, dn->type) != 0 ||
            strcmp(form.rest, dn->rest) != 0)
                return false;
        return snprintf(out, GATEWAY_USER_MAX + 1, "%.*s%s%s", whole ? 0 : (int)(u - ldap_name), ldap_name, dn->value,
                        whole ? "" : u + 2) <= GATEWAY_USER_MAX;
}

enum ldapd_result ldapd_bind_name(const struct berval *name, const char *ldap_dn, const char *ldap_name,
                                  const struct ldapd_user *known, char out[GATEWAY_USER_MAX + 1], const char **ret_why)
{
        struct dn dn;

        if (memchr(name->bv_val, '\0', name->bv_len) || name->bv_len > LDAP_ENTRY_DN_MAX) {
                *ret_why = "the name is longer than any name, or has a NUL";
                return LDAP_UNWILLING;
        }
        if (dn_read(&dn, name->bv_val, name->bv_len) < 0) {
                if (name->bv_len > GATEWAY_USER_MAX) {
                        *ret_why = "the name is longer than any name";
                        return LDAP_UNWILLING;
                }
                memcpy(out, name->bv_val, name->bv_len);
                out[name->bv_len] = '\0';
                return LDAP_SUCCESS;
        }
        if (known && ldapd_is_own(known, name)) {
                (void)snprintf(out, GATEWAY_USER_MAX + 1, "%s", known->asked);
                return LDAP_SUCCESS;
        }
        if (name_in_dn(&dn, ldap_dn, ldap_name, out))
                return LDAP_SUCCESS;
        *ret_why = ldap_dn ? "this DN is not of the form that ldap_dn has in gateway.conf; nothing was checked"
                           : "binds are by user@domain or DOMAIN\\user; for binds by a DN set ldap_dn in gateway.conf; "
                             "nothing was checked";
        return LDAP_UNWILLING;
}

/* What AD would say of it. Of an account whose password was not proved only what AD, too, tells everybody. */
static uint32_t ad_code(const struct door_answer *a)
{
        const enum reason reason = reason_from_id(a->reason);
        const uint32_t code = reason == REASON_MAX ? 0 : reason_ad_code(reason);

        if (strcmp(a->class, "credentials") == 0)
                return AD_LOGON_FAILURE; /* also of names that there are not */
        if (reason == REASON_THROTTLED || code == AD_LOCKED_OUT)
                return AD_LOCKED_OUT;
        return code && a->password_proved ? code : AD_RESTRICTION;
}

enum ldapd_result ldapd_bind_result(const struct door_answer *a, struct buffer *out_text)
{
        if (strcmp(a->verdict, "accepted") == 0)
                return LDAP_SUCCESS;
        if (strcmp(a->verdict, "refused") == 0) {
                (void)buffer_printf(out_text,
                                    "80090308: LdapErr: DSID-00000000, comment: AcceptSecurityContext error, data %x, "
                                    "v0; %s (id %s)",
                                    ad_code(a), a->text, a->id);
                return LDAP_INVALID_CREDENTIALS;
        }
        const bool safe = strcmp(a->may_have_counted, "0") == 0;
        (void)buffer_printf(out_text, "%s (id %s, %s%s)", a->text, a->id, a->reason,
                            safe ? "" : "; the password may have been checked: do not repeat this by itself");
        return safe ? LDAP_UNAVAILABLE : LDAP_UNWILLING;
}
