/*
 * The key from a password: equal to libk5crypto's over random input, RFC 3962's vectors, and nothing but
 * bounded hints.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "validate/krb-key.h"

#define ROUNDS 150

struct fixture {
        struct loop *loop;
        struct krb *krb;
        krb5_principal client;
};

static int set_up(void **state)
{
        static struct fixture f;

        assert_int_equal(secret_arena_init(8, NULL), 0);
        assert_int_equal(loop_new(&f.loop), 0);
        assert_int_equal(krb_new(&f.krb, f.loop, NULL), 0);
        assert_int_equal(krb5_parse_name(f.krb->context, "alice@CORP.EXAMPLE", &f.client), 0);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        krb5_free_principal(f->krb->context, f->client);
        f->krb = krb_free(f->krb);
        f->loop = loop_free(f->loop);
        assert_int_equal(secret_arena_in_use(), 0);
        secret_arena_destroy();
        return 0;
}

static uint32_t next_random(void)
{
        static uint64_t seed = 0x2545F4914F6CDD1DU;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)(seed >> 16);
}

static void put_u32(uint8_t out[4], uint32_t v)
{
        for (size_t i = 0; i < 4; i++)
                out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* The same by libk5crypto. */
static void reference(struct fixture *f, const struct secret *password, const struct krb_etype_entry *e,
                      krb5_keyblock *ret)
{
        krb5_data text = {.length = (unsigned)secret_len(password)}, salt = {.length = (unsigned)e->salt_len};
        krb5_data params = {.length = (unsigned)e->params_len};
        const char *bytes = secret_text(password);

        memcpy(&text.data, &bytes, sizeof bytes);
        memcpy(&salt.data, &e->salt, sizeof e->salt);
        memcpy(&params.data, &e->params, sizeof e->params);
        assert_int_equal(krb5_c_string_to_key_with_params(f->krb->context, e->etype, &text, &salt,
                                                          e->params ? &params : NULL, ret),
                         0);
}

static void test_equal_to_libk5crypto(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < ROUNDS; i++) {
                uint8_t text[SECRET_MAX], salt[300], count[4], mine[32];
                uint32_t iterations =
                        4096 + (i % 3 ? 0 : next_random() % 3000); /* libk5crypto takes no fewer */
                size_t text_len =
                        i < 130 ? 1 + i
                                : 1 + next_random() % SECRET_MAX; /* also around SHA-1's block of 64 */
                struct krb_etype_entry e = {.etype = 17 + (int)(i % 2),
                                            .salt = salt,
                                            .salt_len = next_random() % sizeof salt,
                                            .params = count,
                                            .params_len = 4};
                size_t len = e.etype == 18 ? 32 : 16;
                struct secret *password = NULL;
                krb5_keyblock key = {0};

                for (size_t j = 0; j < text_len; j++)
                        text[j] = (uint8_t)(1 + next_random() % 255);
                for (size_t j = 0; j < sizeof salt; j++)
                        salt[j] = (uint8_t)next_random();
                put_u32(count, iterations);
                assert_int_equal(secret_new(&password, text, text_len), 0);
                reference(f, password, &e, &key);
                krb_key_aes_sha1(mine, len, password, &e, iterations);
                assert_int_equal(key.length, len);
                assert_memory_equal(mine, key.contents, len);
                krb5_free_keyblock_contents(f->krb->context, &key);
                secret_free(password);
        }
}

/* RFC 8009: 19 is AES-128 with SHA-256, 20 AES-256 with SHA-384. */
static void test_sha2_equal_to_libk5crypto(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < 24; i++) {
                uint8_t text[SECRET_MAX], salt[300], count[4], mine[32];
                uint32_t iterations = 32768 + i % 3; /* libk5crypto takes no fewer */
                size_t text_len =
                        i < 12 ? 60 + 8 * i
                               : 1 + next_random() % SECRET_MAX; /* also around SHA-1's block of 64 */
                struct krb_etype_entry e = {.etype = 19 + (int)(i % 2),
                                            .salt = salt,
                                            .salt_len = next_random() % sizeof salt,
                                            .params = count,
                                            .params_len = 4};
                size_t len = e.etype == 20 ? 32 : 16;
                struct secret *password = NULL;
                krb5_keyblock key = {0};

                for (size_t j = 0; j < text_len; j++)
                        text[j] = (uint8_t)(1 + next_random() % 255);
                for (size_t j = 0; j < sizeof salt; j++)
                        salt[j] = (uint8_t)next_random();
                put_u32(count, iterations);
                assert_int_equal(secret_new(&password, text, text_len), 0);
                reference(f, password, &e, &key);
                assert_int_equal(krb_key_aes_sha2(mine, len, password, &e, iterations), 0);
                assert_int_equal(key.length, len);
                assert_memory_equal(mine, key.contents, len);
                krb5_free_keyblock_contents(f->krb->context, &key);
                secret_free(password);
        }
}

/* RFC 3962, appendix B. */
static void test_rfc_3962(void **state)
{
        static const struct {
                uint32_t iterations;
                const char *password, *salt;
                uint8_t key[32];
        } rows[] = {
                {1, "password", "ATHENA.MIT.EDUraeburn", {0xfe, 0x69, 0x7b, 0x52, 0xbc, 0x0d, 0x3c, 0xe1,
                                                          0x44, 0x32, 0xba, 0x03, 0x6a, 0x92, 0xe6, 0x5b,
                                                          0xbb, 0x52, 0x28, 0x09, 0x90, 0xa2, 0xfa, 0x27,
                                                          0x88, 0x39, 0x98, 0xd7, 0x2a, 0xf3, 0x01, 0x61}},
                {1200, "password", "ATHENA.MIT.EDUraeburn", {0x55, 0xa6, 0xac, 0x74, 0x0a, 0xd1, 0x7b, 0x48,
                                                             0x46, 0x94, 0x10, 0x51, 0xe1, 0xe8, 0xb0, 0xa7,
                                                             0x54, 0x8d, 0x93, 0xb0, 0xab, 0x30, 0xa8, 0xbc,
                                                             0x3f, 0xf1, 0x62, 0x80, 0x38, 0x2b, 0x8c, 0x2a}},
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct krb_etype_entry e = {.etype = 18, .salt_len = strlen(rows[i].salt)};
                const void *salt = rows[i].salt;
                struct secret *password = NULL;
                uint8_t mine[32];

                e.salt = salt;
                assert_int_equal(secret_new(&password, rows[i].password, strlen(rows[i].password)), 0);
                krb_key_aes_sha1(mine, sizeof mine, password, &e, rows[i].iterations);
                assert_memory_equal(mine, rows[i].key, sizeof mine);
                secret_free(password);
        }
}

/* ETYPE-INFO2 of the given kinds, each with the salt "S" and, where count isn't 0, s2kparams. */
struct hints {
        uint8_t bytes[256];
        struct krb_padata_list list;
};

static void hints_make(struct hints *h, const int *etypes, size_t n, const uint8_t *params, size_t params_len)
{
        size_t at = 2;

        memset(h, 0, sizeof *h);
        for (size_t i = 0; i < n; i++) {
                size_t start = at;

                h->bytes[at] = 0x30;
                at += 2;
                memcpy(h->bytes + at,
                       (const uint8_t[]){0xa0, 3, 2, 1, (uint8_t)etypes[i], 0xa1, 3, 0x1b, 1, 'S'}, 10);
                at += 10;
                if (params) {
                        memcpy(h->bytes + at,
                               (const uint8_t[]){0xa2, (uint8_t)(params_len + 2), 4, (uint8_t)params_len}, 4);
                        memcpy(h->bytes + at + 4, params, params_len);
                        at += 4 + params_len;
                }
                h->bytes[start + 1] = (uint8_t)(at - start - 2);
        }
        h->bytes[0] = 0x30;
        h->bytes[1] = (uint8_t)(at - 2);
        h->list.n = 1;
        h->list.items[0] = (struct krb_padata){KRB_PA_ETYPE_INFO2, h->bytes, at};
}

static enum reason prepare(struct fixture *f, const struct hints *h, krb5_keytab *ret)
{
        struct secret *password = NULL;
        struct krb_key_request request = {f->client, &h->list, NULL};
        const char *why = NULL;
        enum reason reason;

        assert_int_equal(secret_new(&password, "right", 5), 0);
        request.password = password;
        reason = krb_key_prepare(ret, &why, f->krb, &request);
        assert_true((why == NULL) == (reason == REASON_OK));
        secret_free(password);
        return reason;
}

/* The best kind wins in whatever order the KDC names them, and its key is the one libk5crypto makes. */
static void test_choice_of_kind(void **state)
{
        static const struct {
                int offered[4];
                size_t n;
                int chosen;
        } rows[] = {
                {{23, 17, 18}, 3, 18}, {{17, 23}, 2, 17}, {{19, 20, 17}, 3, 17},
                {{19, 20}, 2, 20},     {{19}, 1, 19},
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const struct krb_etype_entry e = {
                        .etype = rows[i].chosen, .salt = (const uint8_t *)"S", .salt_len = 1};
                struct secret *password = NULL;
                krb5_keytab keytab = NULL;
                krb5_keytab_entry entry;
                krb5_keyblock key = {0};
                struct hints h;

                hints_make(&h, rows[i].offered, rows[i].n, NULL, 0);
                assert_int_equal(prepare(f, &h, &keytab), REASON_OK);
                assert_int_equal(krb5_kt_get_entry(f->krb->context, keytab, f->client, 0, 0, &entry), 0);
                assert_int_equal(entry.key.enctype, rows[i].chosen);
                assert_int_equal(secret_new(&password, "right", 5), 0);
                reference(f, password, &e, &key);
                assert_int_equal(entry.key.length, key.length);
                assert_memory_equal(entry.key.contents, key.contents, key.length);
                secret_free(password);
                krb5_free_keyblock_contents(f->krb->context, &key);
                krb5_free_keytab_entry_contents(f->krb->context, &entry);
                krb5_kt_close(f->krb->context, keytab);
        }
}

static void test_refused_hints(void **state)
{
        static const struct {
                uint8_t params[8];
                size_t n;
        } bad[] = {
                {{0, 0, 0, 0}, 4}, {{0, 0, 0x0f, 0xff}, 4}, {{0, 1, 0, 1}, 4}, {{0xff, 0xff, 0xff, 0xff}, 4},
                {{0, 0, 0x10}, 3}, {{0, 0, 0, 0x10, 0}, 5}, {{0}, 0}};
        static const int rc4[] = {23, 3, 16}, aes[] = {18};
        struct fixture *f = *state;
        krb5_keytab keytab = NULL;
        struct hints h;

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                hints_make(&h, aes, 1, bad[i].params, bad[i].n);
                assert_int_equal(prepare(f, &h, &keytab), REASON_DC_PROTOCOL);
        }
        hints_make(&h, rc4, 3, NULL, 0);
        assert_int_equal(prepare(f, &h, &keytab), REASON_ETYPE_NOSUPP);
        hints_make(&h, aes, 1, NULL, 0);
        h.list.n = 0;
        assert_int_equal(prepare(f, &h, &keytab), REASON_ETYPE_NOSUPP);
        h.list.n = 1;
        h.list.items[0].n--;
        assert_int_equal(prepare(f, &h, &keytab), REASON_DC_PROTOCOL);
        /* An entry without salt means "the default": we never guess. */
        memcpy(h.bytes, (const uint8_t[]){0x30, 7, 0x30, 5, 0xa0, 3, 2, 1, 18}, 9);
        h.list = (struct krb_padata_list){1, {{KRB_PA_ETYPE_INFO2, h.bytes, 9}}};
        assert_int_equal(prepare(f, &h, &keytab), REASON_ETYPE_NOSUPP);
        assert_null(keytab);
}

static void test_bounds_themselves_are_allowed(void **state)
{
        static const uint8_t counts[][4] = {{0, 0, 0x10, 0}, {0, 1, 0, 0}};
        static const int aes[] = {17};
        struct fixture *f = *state;
        struct hints h;

        for (size_t i = 0; i < 2; i++) {
                krb5_keytab keytab = NULL;

                hints_make(&h, aes, 1, counts[i], 4);
                assert_int_equal(prepare(f, &h, &keytab), REASON_OK);
                krb5_kt_close(f->krb->context, keytab);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_equal_to_libk5crypto),
                TEST(test_sha2_equal_to_libk5crypto),
                TEST(test_rfc_3962),
                TEST(test_choice_of_kind),
                TEST(test_refused_hints),
                TEST(test_bounds_themselves_are_allowed),
        };
        return cmocka_run_group_tests_name("validate-krb-key", tests, NULL, NULL);
}
