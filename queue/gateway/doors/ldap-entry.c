/*
 * The one entry that the LDAP door shows: of the root DSE, or of the account that the connection has signed in; and
 * which filters it matches (RFC 4511 4.5.1.7).
 *
 * Invariant: nothing is shown that the verdict did not say, and nobody but the signed-in user is ever found. The DN is
 * made of the account's id within its domain, so that software which keys accounts by the DN never takes one for
 * another when names change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/sid.h"
#include "queue/gateway/doors/ldap.h"

#define OWN_VALUES_MAX 32
#define FILTER_DEPTH_MAX 16
#define SID_BYTES_MAX 68
#define GUID_BYTES 16
#define RULE_BIT_AND "1.2.840.113556.1.4.803"
#define RULE_BIT_OR "1.2.840.113556.1.4.804"
#define RULE_IN_CHAIN "1.2.840.113556.1.4.1941"

static bool text_is(const struct berval *a, const char *text)
{
        return a->bv_len == strlen(text) && strncasecmp(a->bv_val, text, a->bv_len) == 0;
}

/* ---- the entry ---- */

/* Values of one attribute stand together. */
struct entry {
        const char *dn;
        size_t n;
        struct own {
                const char *attribute;
                struct berval value;
                bool hidden; /* a filter may ask for it */
        } own[OWN_VALUES_MAX];
        const struct pairs *pairs; /* more, for attributes that are not among those; or NULL */
        uint8_t sid[SID_BYTES_MAX], guid[GUID_BYTES];
};

static void add(struct entry *e, const char *attribute, const char *value, size_t n)
{
        if (n > 0 && e->n < OWN_VALUES_MAX)
                e->own[e->n++] = (struct own){attribute, {n, (char *)(uintptr_t)value}, false};
}

static void add_text(struct entry *e, const char *attribute, const char *value)
{
        add(e, attribute, value, strlen(value));
}

/* What the connectors tell under this name is better. */
static void add_unless_told(struct entry *e, const char *attribute, const char *value)
{
        const char *name, *told;
        size_t at = 0;

        while (pairs_next(e->pairs, &at, &name, &told))
                if (strcasecmp(name, attribute) == 0)
                        return;
        add_text(e, attribute, value);
}

/* The form of [MS-DTYP] 2.3.4.2: the first three groups have their lowest byte first. */
static size_t guid_bytes(uint8_t out[GUID_BYTES], const char *text)
{
        static const uint8_t order[GUID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
        unsigned byte;
        size_t n = 0;

        for (const char *at = text; *at && n < GUID_BYTES; at += 2) {
                at += *at == '-';
                if (sscanf(at, "%2x", &byte) != 1 || !at[1])
                        return 0;
                out[order[n++]] = (uint8_t)byte;
        }
        return n == GUID_BYTES ? n : 0;
}

static void make_user_entry(struct entry *e, const struct ldapd_user *u)
{
        static const char *const classes[] = {"top", "person", "organizationalPerson", "user", "inetOrgPerson"};

        *e = (struct entry){.dn = u->dn, .pairs = &u->attributes};
        for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
                add_text(e, "objectClass", classes[i]);
        add_text(e, "posternUserId", u->id);
        add_text(e, "posternUserDomain", u->domain);
        add(e, "objectSid", (const char *)e->sid, sid_from_text(e->sid, sizeof(e->sid), u->id));
        add(e, "objectGUID", (const char *)e->guid, guid_bytes(e->guid, u->guid));
        add_text(e, "entryUUID", u->guid);
        add_text(e, "sAMAccountName", u->sam);
        add_text(e, "userPrincipalName", u->upn);
        add_unless_told(e, "uid", *u->sam ? u->sam : u->name);
        add_text(e, "uid", u->asked);
        e->own[e->n - 1].hidden = true;
        add_unless_told(e, "cn", u->name);
        add_unless_told(e, "displayName", u->name);
        add_unless_told(e, "sn", u->name);
        add_unless_told(e, "userAccountControl", "512"); /* a person's account, not disabled: who is accepted has one */
}

static void make_root(struct entry *e, bool starttls)
{
        static const struct pairs none;

        *e = (struct entry){.dn = "", .pairs = &none};
        add_text(e, "objectClass", "top");
        add_text(e, "supportedLDAPVersion", "3");
        add_text(e, "supportedExtension", LDAP_OID_WHOAMI);
        if (starttls)
                add_text(e, "supportedExtension", LDAP_OID_STARTTLS);
        add_text(e, "vendorName", "Postern");
}

/* Walks all values: *at starts at 0. */
static bool next_value(const struct entry *e, size_t *at, struct own *ret)
{
        const char *name, *value;
        size_t in_pairs;

        if (*at < e->n) {
                *ret = e->own[(*at)++];
                return true;
        }
        in_pairs = *at - e->n;
        while (pairs_next(e->pairs, &in_pairs, &name, &value)) {
                bool own = false;

                *at = e->n + in_pairs;
                for (size_t i = 0; i < e->n && !own; i++)
                        own = !e->own[i].hidden && strcasecmp(e->own[i].attribute, name) == 0;
                *ret = (struct own){name, {strlen(value), (char *)(uintptr_t)value}, false};
                if (!own)
                        return true;
        }
        return false;
}

void ldapd_user_set(struct ldapd_user *u, const struct door_answer *a, const char *asked, const struct berval *bound)
{
        char escaped[2 * sizeof(u->domain)], label[sizeof(u->domain)];
        size_t n;

        *u = (struct ldapd_user){.attributes = {.len = 0}};
        (void)snprintf(u->asked, sizeof(u->asked), "%s", asked);
        (void)snprintf(u->bound, sizeof(u->bound), "%.*s", (int)bound->bv_len, bound->bv_val);
        (void)snprintf(u->id, sizeof(u->id), "%s", a->user_id);
        (void)snprintf(u->domain, sizeof(u->domain), "%s", a->user_domain);
        (void)snprintf(u->upn, sizeof(u->upn), "%s", a->upn);
        (void)snprintf(u->sam, sizeof(u->sam), "%s", a->sam);
        (void)snprintf(u->guid, sizeof(u->guid), "%s", a->guid);
        (void)snprintf(u->name, sizeof(u->name), "%s", a->name);
        if (a->attributes)
                u->attributes = *a->attributes;
        u->partial = a->attributes_state && strcmp(a->attributes_state, "truncated") == 0;
        u->missing = a->attributes_state && strcmp(a->attributes_state, "unavailable") == 0;
        if (dn_escape(escaped, sizeof(escaped), u->id) < 0)
                escaped[0] = '\0';
        n = (size_t)snprintf(u->dn, sizeof(u->dn), "posternUserId=%s", escaped);
        for (const char *at = u->domain; *at && n < sizeof(u->dn);) {
                const size_t length = strcspn(at, ".");

                (void)snprintf(label, sizeof(label), "%.*s", (int)length, at);
                if (dn_escape(escaped, sizeof(escaped), label) == 0)
                        n += (size_t)snprintf(u->dn + n, sizeof(u->dn) - n, ",dc=%s", escaped);
                at += length + (at[length] == '.');
        }
}

bool ldapd_is_own(const struct ldapd_user *user, const struct berval *name)
{
        struct dn one, own;

        if (dn_read(&one, name->bv_val, name->bv_len) < 0)
                return false;
        return (dn_read(&own, user->dn, strlen(user->dn)) == 0 && dn_equal(&one, &own)) ||
               (dn_read(&own, user->bound, strlen(user->bound)) == 0 && dn_equal(&one, &own));
}

/* ---- filters ---- */

/* UNDEFINED: of an attribute that nobody told of; its negation is not true either. */
enum truth { FALSE = 0, TRUE, UNDEFINED, MALFORMED };

struct search {
        const struct entry *entry;
        bool partial; /* there may be more values */
};

typedef bool match_fn(const struct berval *value, const void *arg);

static bool is_equal(const struct berval *value, const void *arg)
{
        const struct berval *wanted = arg;

        return value->bv_len == wanted->bv_len && strncasecmp(value->bv_val, wanted->bv_val, wanted->bv_len) == 0 &&
               (!memchr(value->bv_val, '\0', value->bv_len) ||
                memcmp(value->bv_val, wanted->bv_val, value->bv_len) == 0);
}

static bool is_there(const struct berval *value, const void *arg)
{
        (void)value;
        (void)arg;
        return true;
}

static enum truth any_value(const struct search *s, const struct berval *attribute, match_fn *fn, const void *arg)
{
        struct own one;
        size_t at = 0;
        bool known = false;

        while (next_value(s->entry, &at, &one)) {
                if (!text_is(attribute, one.attribute))
                        continue;
                if (fn(&one.value, arg))
                        return TRUE;
                known = known || at <= s->entry->n || !s->partial;
        }
        return known ? FALSE : UNDEFINED;
}

/* The pieces come one behind the other; the first may stand at the beginning, the last at the end. -1: malformed. */
static int has_pieces(const struct berval *value, const struct berval *list)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval copy = *list, piece;
        size_t at = 0;

        if (!ber)
                return -1;
        ber_init2(ber, &copy, 0);
        while (ber_remaining(ber) > 0) {
                const ber_tag_t tag = ber_skip_element(ber, &piece);
                const size_t left = value->bv_len - at;

                if (tag != 0x80 && tag != 0x81 && tag != 0x82)
                        return -1;
                if (piece.bv_len > left)
                        return 0;
                size_t skip = tag == 0x82 ? left - piece.bv_len : 0;
                while (tag == 0x81 && skip + piece.bv_len < left &&
                       strncasecmp(value->bv_val + at + skip, piece.bv_val, piece.bv_len) != 0)
                        skip++;
                if (strncasecmp(value->bv_val + at + skip, piece.bv_val, piece.bv_len) != 0)
                        return 0;
                at += skip + piece.bv_len;
        }
        return 1;
}

static bool is_like(const struct berval *value, const void *arg)
{
        return has_pieces(value, arg) > 0;
}

struct bits {
        unsigned long long mask;
        bool all;
};

static bool has_bits(const struct berval *value, const void *arg)
{
        const struct bits *bits = arg;
        char text[24];

        (void)snprintf(text, sizeof(text), "%.*s", (int)(value->bv_len < sizeof(text) ? value->bv_len : 0),
                       value->bv_val);
        const unsigned long long both = strtoull(text, NULL, 10) & bits->mask;
        return bits->all ? both == bits->mask : both != 0;
}

/* The rules of AD that software asks for: bits of userAccountControl, and groups within groups, of which only the ones
 * that are told are known. */
static enum truth extensible(const struct search *s, struct berval *body)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval rule = {0, NULL}, type = {0, NULL}, value = {0, NULL}, one;
        char number[24];

        if (!ber)
                return MALFORMED;
        ber_init2(ber, body, 0);
        while (ber_remaining(ber) > 0) {
                switch (ber_skip_element(ber, &one)) {
                case 0x81:
                        rule = one;
                        break;
                case 0x82:
                        type = one;
                        break;
                case 0x83:
                        value = one;
                        break;
                case 0x84:
                        break;
                default:
                        return MALFORMED;
                }
        }
        if (!type.bv_val || !rule.bv_val || !value.bv_val)
                return UNDEFINED;
        if (text_is(&rule, RULE_IN_CHAIN))
                return any_value(s, &type, is_equal, &value) == TRUE ? TRUE : UNDEFINED;
        if ((!text_is(&rule, RULE_BIT_AND) && !text_is(&rule, RULE_BIT_OR)) || value.bv_len >= sizeof(number))
                return UNDEFINED;
        (void)snprintf(number, sizeof(number), "%.*s", (int)value.bv_len, value.bv_val);
        const struct bits bits = {strtoull(number, NULL, 10), text_is(&rule, RULE_BIT_AND)};
        return any_value(s, &type, has_bits, &bits);
}

static enum truth assertion(const struct search *s, ber_tag_t tag, struct berval *body)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval attribute, value;

        if (!ber)
                return MALFORMED;
        ber_init2(ber, body, 0);
        switch (tag) {
        case 0xa3: /* equality */
        case 0xa8: /* approximately */
                if (ber_skip_element(ber, &attribute) != LBER_OCTETSTRING ||
                    ber_skip_element(ber, &value) != LBER_OCTETSTRING)
                        return MALFORMED;
                return any_value(s, &attribute, is_equal, &value);
        case 0xa4: /* substrings */
                if (ber_skip_element(ber, &attribute) != LBER_OCTETSTRING || ber_skip_element(ber, &value) != 0x30 ||
                    has_pieces(&(struct berval){0, value.bv_val}, &value) < 0)
                        return MALFORMED;
                return any_value(s, &attribute, is_like, &value);
        case 0xa5: /* greater, less */
        case 0xa6:
                return UNDEFINED;
        case 0x87: /* present */
                return any_value(s, body, is_there, NULL);
        case 0xa9:
                return extensible(s, body);
        default:
                return MALFORMED;
        }
}

/* AND is true where none is false, OR where one is true; of an empty set as RFC 4526 says. */
static enum truth evaluate(const struct search *s, struct berval *element, unsigned depth)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval body, one, skipped;
        ber_tag_t tag;

        if (!ber || depth == 0)
                return MALFORMED;
        ber_init2(ber, element, 0);
        tag = ber_skip_element(ber, &body);
        if (tag != 0xa0 && tag != 0xa1 && tag != 0xa2)
                return assertion(s, tag, &body);
        const enum truth stops = tag == 0xa0 ? FALSE : TRUE;
        enum truth all = tag == 0xa0 ? TRUE : FALSE;
        ber_init2(ber, &body, 0);
        while (ber_remaining(ber) > 0) {
                one.bv_val = body.bv_val + body.bv_len - ber_remaining(ber);
                if (ber_skip_element(ber, &skipped) == LBER_ERROR)
                        return MALFORMED;
                one.bv_len = (ber_len_t)(skipped.bv_val + skipped.bv_len - one.bv_val);
                const enum truth part = evaluate(s, &one, depth - 1);
                if (part == MALFORMED)
                        return MALFORMED;
                if (tag == 0xa2)
                        return ber_remaining(ber) > 0 ? MALFORMED
                               : part == UNDEFINED    ? UNDEFINED
                               : part == TRUE         ? FALSE
                                                      : TRUE;
                all = part == stops || all == stops ? stops : part == UNDEFINED ? UNDEFINED : all;
        }
        return tag == 0xa2 ? MALFORMED : all;
}

/* ---- answers ---- */

static bool is_wanted(const struct ldapd_request *q, const char *attribute)
{
        _cleanup_(ldapd_reader_freep) BerElement *ber = ber_alloc_t(0);
        struct berval list = q->attributes, one;

        if (!ber || list.bv_len == 0)
                return ber != NULL;
        ber_init2(ber, &list, 0);
        while (ber_remaining(ber) > 0 && ber_skip_element(ber, &one) == LBER_OCTETSTRING)
                if (text_is(&one, "*") || text_is(&one, "+") || text_is(&one, attribute))
                        return true;
        return false;
}

static int print_attributes(BerElement *ber, const struct entry *e, const struct ldapd_request *q)
{
        const char *open = NULL;
        struct own one;
        size_t at = 0;
        int r = 0;

        while (r != -1 && next_value(e, &at, &one)) {
                if (one.hidden || !is_wanted(q, one.attribute))
                        continue;
                if (!open || strcasecmp(open, one.attribute) != 0) {
                        r = open ? ber_printf(ber, "]}") : 0;
                        r = r == -1 ? r : ber_printf(ber, "{s[", one.attribute);
                        open = one.attribute;
                }
                if (r != -1 && !q->types_only)
                        r = ber_printf(ber, "O", &one.value);
        }
        return r == -1 || !open ? r : ber_printf(ber, "]}");
}

static int append_entry(struct buffer *out, const struct entry *e, const struct ldapd_request *q)
{
        _cleanup_(ldapd_encoder_freep) BerElement *ber = ber_alloc_t(LBER_USE_DER);
        struct berval bytes;

        if (!ber || ber_printf(ber, "{it{s{", q->id, (ber_tag_t)0x64, e->dn) == -1 ||
            print_attributes(ber, e, q) == -1 || ber_printf(ber, "}}}") == -1 || ber_flatten2(ber, &bytes, 0) < 0)
                return -ENOMEM;
        return buffer_append(out, bytes.bv_val, bytes.bv_len);
}

int ldapd_answer_search(struct buffer *out, const struct ldapd_request *q, const struct ldapd_user *user, bool starttls)
{
        struct entry e;
        struct berval filter = q->filter;
        int r = 0;

        if (user)
                make_user_entry(&e, user);
        else
                make_root(&e, starttls);
        if (user && q->scope == LDAP_SCOPE_BASE && !ldapd_is_own(user, &q->name))
                return ldapd_answer(out, q, LDAP_NO_SUCH_OBJECT, "only the signed-in user's own entry is here", NULL);
        const enum truth truth =
                evaluate(&(struct search){&e, user && (user->partial || user->missing)}, &filter, FILTER_DEPTH_MAX);
        if (truth == MALFORMED)
                return ldapd_answer(out, q, LDAP_PROTOCOL_ERROR, "the filter is malformed, or too deep", NULL);
        if (user && user->missing && truth != FALSE)
                return ldapd_answer(out, q, LDAP_UNAVAILABLE, "the user's attributes could not be read at the moment",
                                    NULL);
        if (truth == TRUE)
                r = append_entry(out, &e, q);
        if (r == 0 && user && user->partial && truth != FALSE)
                return ldapd_answer(out, q, LDAP_ADMIN_LIMIT_EXCEEDED, "not all of the user's attributes are here",
                                    NULL);
        return r < 0 ? r : ldapd_answer(out, q, LDAP_SUCCESS, NULL, NULL);
}

enum ldapd_result ldapd_compare(const struct ldapd_request *q, const struct ldapd_user *user)
{
        struct entry e;

        if (!ldapd_is_own(user, &q->name))
                return LDAP_NO_SUCH_OBJECT;
        make_user_entry(&e, user);
        switch (any_value(&(struct search){&e, user->partial || user->missing}, &q->attribute, is_equal, &q->value)) {
        case TRUE:
                return LDAP_COMPARE_TRUE;
        case FALSE:
                return LDAP_COMPARE_FALSE;
        case UNDEFINED:
        case MALFORMED:
                break;
        }
        return user->partial || user->missing ? LDAP_UNAVAILABLE : LDAP_NO_SUCH_ATTRIBUTE;
}
