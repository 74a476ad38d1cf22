/*
 * LDAP as bytes: requests as they go out, answers taken apart, and who they say it was.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "validate/ldap/ber.h"
#include "validate/ldap/details.h"
#include "validate/ldap/identity.h"

#define SID_BYTES "\1\5\0\0\0\0\0\5\25\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\364\1\0\0"
#define SID_TEXT "S-1-5-21-1-2-3-500"
#define OTHER_BYTES "\1\5\0\0\0\0\0\5\25\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\365\1\0\0"
#define GUID_BYTES "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"

/* Parses a copy in a block of exactly its size and the byte more that is asked for. */
static int parse(struct ldap_message *m, uint8_t **block, const void *bytes, size_t n)
{
        *block = calloc(1, n + 1);
        assert_non_null(*block);
        memcpy(*block, bytes, n);
        return ldap_message_parse(m, *block, n);
}

static const uint8_t bind_ok[] = {0x30, 12, 2, 1, 7, 0x61, 7, 10, 1, 0, 4, 0, 4, 0};
static const uint8_t bind_49[] = {0x30, 17, 2, 1, 7, 0x61, 12, 10, 1, 49, 4, 0, 4, 5, 'd', ' ', '5', '2', 'e'};
static const uint8_t notice[] = {0x30, 36,   2,   1,   0,   0x78, 31,  10,  1,   52,  4,   0,   4,
                                 0,    0x8a, 22,  '1', '.', '3',  '.', '6', '.', '1', '.', '4', '.',
                                 '1',  '.',  '1', '4', '6', '6',  '.', '2', '0', '0', '3', '6'};

static void test_responses(void **state)
{
        struct ldap_message m;
        uint8_t *block;

        (void)state;
        assert_int_equal(parse(&m, &block, bind_ok, sizeof bind_ok), 0);
        assert_int_equal(m.id, 7);
        assert_int_equal(m.op, LDAP_OP_BIND_RESPONSE);
        assert_int_equal(m.result, 0);
        free(block);
        assert_int_equal(parse(&m, &block, bind_49, sizeof bind_49), 0);
        assert_int_equal(m.result, 49);
        assert_int_equal(m.diagnostic.n, 5);
        assert_memory_equal(m.diagnostic.data, "d 52e", 5);
        free(block);
        assert_int_equal(parse(&m, &block, notice, sizeof notice), 0);
        assert_int_equal(m.op, LDAP_OP_EXTENDED);
        assert_true(ldap_bytes_is(&m.name, LDAP_OID_DISCONNECT));
        free(block);
}

static void refuse(const void *bytes, size_t n)
{
        struct ldap_message m = {.id = 99};
        uint8_t *block;

        assert_int_equal(parse(&m, &block, bytes, n), -EBADMSG);
        assert_int_equal(m.id, 99);
        free(block);
}

static void test_refusals(void **state)
{
        static const uint8_t trailing[] = {0x30, 12, 2, 1, 7, 0x61, 7, 10, 1, 0, 4, 0, 4, 0, 0};
        static const uint8_t inner_trailing[] = {0x30, 14, 2, 1, 7, 0x61, 9, 10, 1, 0, 4, 0, 4, 0, 5, 0};
        static const uint8_t negative_id[] = {0x30, 12, 2, 1, 0xff, 0x61, 7, 10, 1, 0, 4, 0, 4, 0};
        static const uint8_t a_request[] = {0x30, 12, 2, 1, 7, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0};
        static const uint8_t no_enum[] = {0x30, 9, 2, 1, 7, 0x61, 4, 4, 0, 4, 0};
        static const uint8_t short_body[] = {0x30, 12, 2, 1, 7, 0x61, 9, 10, 1, 0, 4, 0, 4, 0};
        static const uint8_t big_id[] = {0x30, 16, 2, 5, 1, 0, 0, 0, 0, 0x61, 7, 10, 1, 0, 4, 0, 4, 0};

        (void)state;
        for (size_t n = 0; n < sizeof bind_49; n++)
                refuse(bind_49, n);
        refuse(trailing, sizeof trailing);
        refuse(inner_trailing, sizeof inner_trailing);
        refuse(negative_id, sizeof negative_id);
        refuse(a_request, sizeof a_request);
        refuse(no_enum, sizeof no_enum);
        refuse(short_body, sizeof short_body);
        refuse(big_id, sizeof big_id);
        refuse("HTTP/1.1 400", 12);
}

static void test_lengths(void **state)
{
        static const struct {
                uint8_t bytes[6];
                size_t n;
                int result;
                size_t len;
        } rows[] = {
                {{0x30, 12}, 2, 0, 14},
                {{0x30}, 1, 1, 0},
                {{0}, 0, 1, 0},
                {{0x30, 0x82, 1}, 3, 1, 0},
                {{0x30, 0x82, 1, 0}, 4, 0, 260},
                {{0x30, 0x84, 0, 0, 0, 5}, 6, 0, 11}, /* AD always sends four octets */
                {{0x30, 0x84, 0, 4, 0, 0}, 6, -EMSGSIZE, 0},
                {{0x30, 0x84, 0, 3, 0xff, 0xfa}, 6, 0, LDAP_MESSAGE_MAX},
                {{0x30, 0x84, 0x40, 0, 0, 0}, 6, -EMSGSIZE, 0},
                {{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, 6, -EMSGSIZE, 0},
                {{0x30, 0x80, 0, 0}, 4, -EBADMSG, 0},
                {{0x30, 0x85, 0, 0, 0, 0}, 6, -EBADMSG, 0},
                {{'H', 'T', 'T', 'P'}, 4, -EBADMSG, 0},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                size_t len = 0;

                if (ldap_message_length(rows[i].bytes, rows[i].n, &len) != rows[i].result || len != rows[i].len)
                        fail_msg("row %zu: length %zu", i, len);
        }
}

static void test_bind_bytes(void **state)
{
        static const uint8_t expected[] = {0x30, 23,  2,   1,    5,   0x60, 18,  2,    1, 3,   4,    8,   'C',
                                           'O',  'R', 'P', '\\', 'b', 'o',  'b', 0x80, 3, 's', 0xc3, 0xa9};
        struct buffer out = BUFFER_SECRET(LDAP_REQUEST_MAX), tiny = BUFFER_SECRET(10);
        struct secret *secret = NULL;

        (void)state;
        assert_int_equal(secret_new(&secret, "s\xc3\xa9", 3), 0);
        assert_int_equal(ldap_encode_bind(&out, 5, "CORP\\bob", secret), 0);
        assert_int_equal(out.len, sizeof expected);
        assert_memory_equal(out.data, expected, sizeof expected);
        assert_int_equal(ldap_encode_bind(&tiny, 5, "CORP\\bob", secret), -EMSGSIZE);
        assert_int_equal(tiny.len, 0);
        secret_free(secret);
        buffer_free(&out);
        buffer_free(&tiny);
}

/* The longest name and password make a request that fits its buffer, and one TLS record. */
static void test_longest_bind(void **state)
{
        static char name[LDAP_BIND_NAME_MAX], password[SECRET_MAX];
        struct buffer out = BUFFER_SECRET(LDAP_REQUEST_MAX);
        struct secret *secret = NULL;
        size_t len;

        (void)state;
        memset(name, 'n', sizeof name - 1);
        memset(password, 'p', sizeof password);
        assert_int_equal(secret_new(&secret, password, sizeof password), 0);
        assert_int_equal(ldap_encode_bind(&out, INT32_MAX, name, secret), 0);
        assert_int_equal(ldap_message_length((const uint8_t *)out.data, out.len, &len), 0);
        assert_int_equal(len, out.len);
        assert_true(out.len < 16384);
        secret_free(secret);
        buffer_free(&out);
}

static void test_read_bytes(void **state)
{
        static const char *const attributes[] = {"a", NULL};
        static const uint8_t expected[] = {0x30, 41,  2,   1,   2,   0x63, 36,  4,   1,    'B', 10,   1,  0,   10,  1,
                                           0,    2,   1,   1,   2,   1,    0,   1,   1,    0,   0x87, 11, 'o', 'b', 'j',
                                           'e',  'c', 't', 'C', 'l', 'a',  's', 's', 0x30, 3,   4,    1,  'a'};
        struct buffer out = BUFFER(LDAP_REQUEST_MAX);

        (void)state;
        assert_int_equal(ldap_encode_read(&out, 2, "B", NULL, attributes), 0);
        assert_int_equal(out.len, sizeof expected);
        assert_memory_equal(out.data, expected, sizeof expected);
        buffer_free(&out);
}

static void test_texts(void **state)
{
        char guid[37], dn[64];

        (void)state;
        assert_int_equal(ldap_guid_text(guid, GUID_BYTES, 16), 0);
        assert_string_equal(guid, "00112233-4455-6677-8899-aabbccddeeff");
        assert_int_equal(ldap_guid_text(guid, GUID_BYTES, 15), -EBADMSG);
        assert_int_equal(ldap_dn_escape(dn, sizeof dn, "a,b+c\"d\\e<f>g;h=i"), 0);
        assert_string_equal(dn, "a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\=i");
        assert_int_equal(ldap_dn_escape(dn, sizeof dn, " #a "), 0);
        assert_string_equal(dn, "\\ #a\\ ");
        assert_int_equal(ldap_dn_escape(dn, sizeof dn, "#a"), 0);
        assert_string_equal(dn, "\\#a");
        assert_int_equal(ldap_dn_escape(dn, 4, "abcdef"), -EMSGSIZE);
}

static void test_bind_names(void **state)
{
        const struct domain_config slapd = {.name = "s.example", .bind_template = "uid={name},ou=p"};
        const struct domain_config ad = {.name = "corp.example", .netbios = "CORP"};
        struct name name = {.form = NAME_UPN, .user = "a+b", .suffix = "s.example"};
        char out[LDAP_BIND_NAME_MAX];

        (void)state;
        assert_int_equal(ldap_bind_name(out, &slapd, &name), 0);
        assert_string_equal(out, "uid=a\\+b,ou=p");
        assert_int_equal(ldap_bind_name(out, &ad, &name), 0);
        assert_string_equal(out, "a+b@s.example");
        name.form = NAME_NETBIOS;
        assert_int_equal(ldap_bind_name(out, &ad, &name), 0);
        assert_string_equal(out, "CORP\\a+b");
}

/* ---- who it was ---- */

struct attribute {
        const char *name, *value;
        size_t n;
};

static size_t put(uint8_t *out, uint8_t tag, const void *bytes, size_t n)
{
        assert_true(n < 128);
        out[0] = tag;
        out[1] = (uint8_t)n;
        memmove(out + 2, bytes, n);
        return n + 2;
}

/* The PartialAttributeList of an entry, as ldap_message_parse leaves it. */
static struct ldap_message entry(uint8_t *space, const struct attribute *attributes, size_t n)
{
        struct ldap_message m = {.op = LDAP_OP_ENTRY};
        size_t at = 0;

        for (size_t i = 0; i < n; i++) {
                uint8_t value[200], inner[250];
                size_t used = put(inner, 4, attributes[i].name, strlen(attributes[i].name));
                size_t value_n = put(value, 4, attributes[i].value, attributes[i].n);

                used += put(inner + used, 0x31, value, value_n);
                at += put(space + at, 0x30, inner, used);
        }
        m.attributes = (struct ldap_bytes){(const char *)space, at};
        return m;
}

static const struct attribute root[] = {{"tokenGroups", SID_BYTES, 28}, {"msDS-PrincipalName", "CORP\\bob", 8}};
static const struct attribute account[] = {{"objectSid", SID_BYTES, 28},
                                           {"objectGUID", GUID_BYTES, 16},
                                           {"samaccountname", "Bob", 3},
                                           {"userPrincipalName", "bob@corp.example", 16}};
static const struct domain_config corp = {.name = "corp.example"};
static const struct ldap_message done = {.op = LDAP_OP_DONE};

/* The whole conversation; the reason why there is no identity, or NULL. */
static const char *converse(struct identity *ret, const struct attribute *r, size_t nr, const struct attribute *a,
                            size_t na)
{
        struct ldap_who who = {0};
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        uint8_t space[600];
        struct ldap_message m = entry(space, r, nr);
        const char *why = "not asked";
        int r2;

        ldap_who_entry(&who, &m);
        ldap_who_done(&who, &done);
        r2 = ldap_who_look_up(&request, 1, &who);
        buffer_free(&request);
        if (r2 < 0)
                return why;
        m = entry(space, a, na);
        ldap_who_account(&who, &m);
        ldap_who_identity(ret, &who, &corp, &why);
        return why;
}

static void test_identity(void **state)
{
        struct identity id = {0};

        (void)state;
        assert_null(converse(&id, root, 2, account, 4));
        assert_string_equal(id.id, SID_TEXT);
        assert_string_equal(id.guid, "00112233-4455-6677-8899-aabbccddeeff");
        assert_string_equal(id.sam, "Bob");
        assert_string_equal(id.upn, "bob@corp.example");
        assert_string_equal(id.domain, "corp.example");
        assert_null(converse(&id, root, 1, account, 4)); /* without a principal name */
}

static void test_no_identity(void **state)
{
        struct attribute a[4], r[2];
        struct identity id = {0};
        struct ldap_who who = {0};
        const char *why;

        (void)state;
        assert_non_null(converse(&id, root + 1, 1, account, 4)); /* no tokenGroups */
        memcpy(a, account, sizeof a);
        memcpy(r, root, sizeof r);
        a[0].value = OTHER_BYTES;
        assert_non_null(converse(&id, root, 2, a, 4));
        assert_non_null(converse(&id, root, 2, account + 1, 3));
        a[0].value = SID_BYTES;
        a[0].n = 27;
        assert_non_null(converse(&id, root, 2, a, 4));
        r[0].n = 5;
        assert_non_null(converse(&id, r, 2, account, 4));
        r[0].n = 28;
        r[1].value = "CORP\\eve";
        assert_non_null(converse(&id, r, 2, account, 4));
        assert_int_equal(ldap_who_identity(&id, &who, &corp, &why), -ENOENT); /* no entry at all */
        assert_string_equal(id.id, "");
}

static void test_generic_identity(void **state)
{
        static const char uuid[] = "8e4ee2a0-0000-103c-9c7c-0123456789ab";
        const struct attribute a[] = {{"entryUUID", uuid, 36}, {"uid", "u1", 2}};
        struct ldap_who who = {0};
        struct ldap_message m = {.op = LDAP_OP_EXTENDED, .value = {"dn:uid=u1,ou=p", 14}};
        struct identity id = {0};
        uint8_t space[200];
        const char *why;

        (void)state;
        ldap_who_done(&who, &m);
        assert_string_equal(who.base, "uid=u1,ou=p");
        m = entry(space, a, 2);
        ldap_who_account(&who, &m);
        assert_int_equal(ldap_who_identity(&id, &who, &corp, &why), 0);
        assert_string_equal(id.id, uuid);
        assert_string_equal(id.guid, uuid);
        assert_string_equal(id.sam, "u1");
        memset(&who, 0, sizeof who);
        m = (struct ldap_message){.op = LDAP_OP_EXTENDED, .value = {"u:u1", 4}};
        ldap_who_done(&who, &m);
        assert_string_equal(who.base, "");
}

/* ---- attributes for the verdict ---- */

/* What is told is text: an id that is none in its usual form is left out, whatever its bytes look like. */
static void test_ids_that_are_none(void **state)
{
        static const struct domain_config wants = {.name = "corp.example", .attributes = {"objectSid", "objectGUID"}};
        static const struct attribute right[] = {{"objectSid", SID_BYTES, 28}, {"objectGUID", GUID_BYTES, 16}};
        static const struct attribute wrong[] = {
                {"objectSid", "no SID, but a text that is longer than any of them, which goes up to 68 bytes", 77},
                {"objectGUID", "no GUID", 7}};
        struct ldap_details d = {.domain = &wants, .base = "", .asked = 1};
        uint8_t space[400];
        struct ldap_message m = entry(space, right, 2);

        (void)state;
        m.name = (struct ldap_bytes){"CN=bob", 6};
        ldap_details_entry(&d, &m);
        assert_int_equal(d.details.state, DETAILS_COMPLETE);
        assert_true(d.details.values.len > 60);
        d = (struct ldap_details){.domain = &wants, .base = "", .asked = 1};
        m = entry(space, wrong, 2);
        m.name = (struct ldap_bytes){"CN=bob", 6};
        ldap_details_entry(&d, &m);
        assert_int_equal(d.details.state, DETAILS_TRUNCATED);
        assert_int_equal(d.details.values.len, 0);
}

static int set_up(void **state)
{
        struct error err;

        (void)state;
        return secret_arena_init(4, &err);
}

static int tear_down(void **state)
{
        (void)state;
        secret_arena_destroy();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_responses),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_bind_bytes),
                cmocka_unit_test(test_longest_bind),
                cmocka_unit_test(test_read_bytes),
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_bind_names),
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_no_identity),
                cmocka_unit_test(test_generic_identity),
                cmocka_unit_test(test_ids_that_are_none),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
