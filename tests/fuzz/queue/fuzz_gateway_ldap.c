/*
 * A request of LDAP: what is read lies in what came, and whatever it is, the answer is whole messages; DNs that are
 * read are read again from their one form as the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/der.h"
#include "queue/gateway/doors/ldap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void check_inside(const struct berval *text, const uint8_t *bytes, size_t n)
{
        must(!text->bv_val ||
             (text->bv_val >= (const char *)bytes && text->bv_val + text->bv_len <= (const char *)bytes + n));
}

static void check_dn(const struct berval *name)
{
        char value[2 * DN_VALUE_MAX + 3], again[DN_TYPE_MAX + sizeof(value) + DN_REST_MAX];
        struct dn dn, same;

        if (dn_read(&dn, name->bv_val, name->bv_len) < 0)
                return;
        must(dn_escape(value, sizeof(value), dn.value) == 0);
        const int length = snprintf(again, sizeof(again), "%s=%s%s", dn.type, value, dn.rest);
        must(dn_read(&same, again, (size_t)length) == 0 && dn_equal(&dn, &same));
}

static void check_answers(const struct buffer *out)
{
        for (size_t at = 0, length = 0; at < out->len; at += length)
                must(der_length((const uint8_t *)out->data + at, out->len - at, 0x30, LDAP_ANSWER_MOST, &length) == 0 &&
                     length <= out->len - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static char dn[] = "uid=alice,ou=people,dc=corp,dc=example";
        const struct berval bound = {sizeof(dn) - 1, dn};
        struct pairs pairs = {.len = 0};
        struct door_answer a = {.user_id = "S-1-5-21-1-2-3-4",
                                .user_domain = "corp.example",
                                .upn = "alice@corp.example",
                                .sam = "alice",
                                .guid = "00112233-4455-6677-8899-aabbccddeeff",
                                .name = "alice",
                                .attributes_state = n % 3 == 0 ? "truncated" : NULL,
                                .attributes = &pairs};
        struct buffer out = BUFFER(LDAP_ANSWER_MOST);
        struct ldapd_request q;
        struct ldapd_user user;
        char name[GATEWAY_USER_MAX + 1];
        const char *why = NULL;
        size_t length;
        uint8_t *bytes = malloc(n + 1);

        must(bytes && pairs_add(&pairs, "mail", "a@corp.example", 14) == 0);
        memcpy(bytes, data, n);
        bytes[n] = 0;
        ldapd_user_set(&user, &a, "alice", &bound);
        if (der_length(bytes, n, 0x30, LDAP_REQUEST_MOST, &length) == 0 && length <= n &&
            ldapd_request_read(&q, bytes, length) == 0) {
                const struct berval *const texts[] = {&q.name,       &q.password,  &q.filter,
                                                      &q.attributes, &q.attribute, &q.value};
                for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                        check_inside(texts[i], bytes, length);
                if (q.name.bv_val)
                        check_dn(&q.name);
                if (q.kind == LDAP_BIND && q.name.bv_val)
                        must(ldapd_bind_name(&q.name, "uid=%u,dc=x", "%u@x", &user, name, &why) == LDAP_SUCCESS
                                     ? strlen(name) <= GATEWAY_USER_MAX
                                     : why != NULL);
                if (q.kind == LDAP_SEARCH)
                        must(ldapd_answer_search(&out, &q, n % 2 ? &user : NULL, true) == 0);
                else
                        must(ldapd_answer(&out, &q, q.kind == LDAP_COMPARE ? ldapd_compare(&q, &user) : LDAP_UNWILLING,
                                          "x", NULL) == 0);
                check_answers(&out);
        }
        buffer_free(&out);
        free(bytes);
        return 0;
}
