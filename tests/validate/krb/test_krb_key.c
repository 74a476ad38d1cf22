/*
 * The key from a password: equal to libk5crypto's over random input, by each set of lanes that the CPU has, and
 * nothing but bounded hints.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <nettle/pbkdf2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "validate/krb/batch.h"
#include "validate/krb/key.h"
#include "tests/valgrind.h"

#define ROUNDS (in_valgrind() ? 8U : 150U)

struct fixture {
        struct loop *loop;
        struct krb *krb;
        krb5_principal client;
};

static int set_up(void **state)
{
        static struct fixture f;

        assert_int_equal(secret_arena_init(64, NULL), 0);
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
        krb_free(&f->krb->method);
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

struct made {
        struct fixture *f;
        krb5_keytab keytab;
        unsigned calls;
};

static void on_key(void *arg, krb5_keytab keytab)
{
        struct made *made = arg;

        made->keytab = keytab;
        made->calls++;
}

static void on_batch(void *arg, const uint8_t *key)
{
        uint8_t *out = arg;

        memcpy(out + 1, key, KRB_BATCH_KEY_MAX);
        out[0] = 1;
}

static void run_until(struct fixture *f, const uint8_t *flag)
{
        while (!*flag)
                loop_run_once(f->loop);
}

struct input {
        uint8_t text[SECRET_MAX], salt[300], count[4];
        struct secret *password;
        uint32_t iterations;
        struct krb_etype_entry entry;
};

/* Lengths also around the hash's block. */
static void make_input(struct input *in, size_t text_len, int etype, uint32_t iterations)
{
        in->iterations = iterations;
        in->entry = (struct krb_etype_entry){.etype = etype,
                                             .salt = in->salt,
                                             .salt_len = next_random() % sizeof in->salt,
                                             .params = in->count,
                                             .params_len = 4};
        for (size_t j = 0; j < text_len; j++)
                in->text[j] = (uint8_t)(1 + next_random() % 255);
        for (size_t j = 0; j < sizeof in->salt; j++)
                in->salt[j] = (uint8_t)next_random();
        put_u32(in->count, iterations);
        assert_int_equal(secret_new(&in->password, in->text, text_len), 0);
}

/* The key of RFC 3962 from what PBKDF2 gave, by libk5crypto's own derivation: equal when the bytes were. */
static void assert_same_pbkdf2(struct fixture *f, const struct input *in, const uint8_t *bytes)
{
        uint8_t expected[32];
        size_t len = in->entry.etype == 18 ? 32 : 16;
        const void *text = secret_text(in->password);

        (void)f;
        pbkdf2_hmac_sha1(secret_len(in->password), text, in->iterations, in->entry.salt_len, in->salt, len, expected);
        assert_memory_equal(bytes, expected, len);
}

/* Many at once, of both lengths and several costs, by each set of lanes that this CPU has: what each set computes is
 * what nettle does, whoever runs beside. */
static void test_lanes_equal_to_nettle(void **state)
{
        enum { N = 45 };
        static struct input in[N];
        struct fixture *f = *state;
        size_t n_sets;
        const struct krb_lane_set *sets = krb_lane_sets(&n_sets);

        for (size_t k = 0; k < n_sets; k++) {
                struct krb_batch_job jobs[N] = {0};
                uint8_t out[N][1 + KRB_BATCH_KEY_MAX] = {0};

                krb_batch_use(f->krb->batch, &sets[k], false);
                for (size_t i = 0; i < N; i++) {
                        make_input(&in[i], 1 + next_random() % 200, 17 + (int)(i % 2), 1 + next_random() % 3000);
                        jobs[i] = (struct krb_batch_job){.password = in[i].password,
                                                         .salt = in[i].salt,
                                                         .salt_len = in[i].entry.salt_len,
                                                         .iterations = in[i].iterations,
                                                         .key_len = in[i].entry.etype == 18 ? 32 : 16,
                                                         .fn = on_batch,
                                                         .arg = out[i]};
                        krb_batch_start(f->krb->batch, &jobs[i]);
                        if (i % 7 == 6) /* some come while others run */
                                loop_run_once(f->loop);
                }
                for (size_t i = 0; i < N; i++) {
                        run_until(f, out[i]);
                        assert_same_pbkdf2(f, &in[i], out[i] + 1);
                        in[i].password = secret_free(in[i].password);
                }
        }
}

/* Those that are called off leave their lanes to others and are never told. */
static void test_cancelled_keys(void **state)
{
        enum { N = 30 };
        static struct input in[N];
        struct fixture *f = *state;
        struct krb_batch_job jobs[N] = {0};
        uint8_t out[N][1 + KRB_BATCH_KEY_MAX] = {0};

        krb_batch_use(f->krb->batch, krb_lane_sets(&(size_t){0}), false);
        for (size_t i = 0; i < N; i++) {
                make_input(&in[i], 8, 18, 2000);
                jobs[i] = (struct krb_batch_job){.password = in[i].password,
                                                 .salt = in[i].salt,
                                                 .salt_len = in[i].entry.salt_len,
                                                 .iterations = in[i].iterations,
                                                 .key_len = 32,
                                                 .fn = on_batch,
                                                 .arg = out[i]};
                krb_batch_start(f->krb->batch, &jobs[i]);
        }
        loop_run_once(f->loop);
        for (size_t i = 0; i < N; i += 2) { /* the first runs, the others wait */
                krb_batch_cancel(f->krb->batch, &jobs[i]);
                in[i].password = secret_free(in[i].password);
        }
        for (size_t i = 1; i < N; i += 2) {
                run_until(f, out[i]);
                assert_same_pbkdf2(f, &in[i], out[i] + 1);
                in[i].password = secret_free(in[i].password);
        }
        for (size_t i = 0; i < N; i += 2)
                assert_int_equal(out[i][0], 0);
}

/* A costly key holds nobody up: cheap ones that come later are through before it. */
static void test_slices(void **state)
{
        static struct input costly, cheap;
        struct fixture *f = *state;
        struct krb_batch_job jobs[2] = {0};
        uint8_t out[2][1 + KRB_BATCH_KEY_MAX] = {0};

        krb_batch_use(f->krb->batch, krb_lane_sets(&(size_t){0}), true);
        make_input(&costly, 8, 18, KRB_ITERATIONS_MAX);
        make_input(&cheap, 8, 18, KRB_ITERATIONS_MIN);
        for (size_t i = 0; i < 2; i++) {
                const struct input *in = i ? &cheap : &costly;

                jobs[i] = (struct krb_batch_job){.password = in->password,
                                                 .salt = in->salt,
                                                 .salt_len = in->entry.salt_len,
                                                 .iterations = in->iterations,
                                                 .key_len = 32,
                                                 .fn = on_batch,
                                                 .arg = out[i]};
                krb_batch_start(f->krb->batch, &jobs[i]);
                loop_run_once(f->loop);
        }
        run_until(f, out[1]);
        assert_int_equal(out[0][0], 0);
        run_until(f, out[0]);
        assert_same_pbkdf2(f, &costly, out[0] + 1);
        secret_free(costly.password);
        secret_free(cheap.password);
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
                memcpy(h->bytes + at, (const uint8_t[]){0xa0, 3, 2, 1, (uint8_t)etypes[i], 0xa1, 3, 0x1b, 1, 'S'}, 10);
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

static enum reason prepare_with(struct fixture *f, const struct krb_padata_list *hints, const struct secret *password,
                                krb5_keytab *ret)
{
        struct made made = {.f = f};
        const struct krb_key_request request = {f->client, hints, password, on_key, &made};
        struct krb_key *key = NULL;
        const char *why = NULL;
        enum reason reason = krb_key_start(&key, &why, f->krb, &request);

        assert_true((why == NULL) == (reason == REASON_OK));
        assert_int_equal(made.calls, 0);
        while (reason == REASON_OK && made.calls == 0)
                loop_run_once(f->loop);
        krb_key_free(key);
        if (reason == REASON_OK)
                *ret = made.keytab;
        return reason;
}

static enum reason prepare(struct fixture *f, const struct hints *h, krb5_keytab *ret)
{
        struct secret *password = NULL;
        enum reason reason;

        assert_int_equal(secret_new(&password, "right", 5), 0);
        reason = prepare_with(f, &h->list, password, ret);
        secret_free(password);
        return reason;
}

/* The key that is made of random input, and libk5crypto's. */
static void assert_equal_to_libk5crypto(struct fixture *f, size_t text_len, int etype, uint32_t iterations)
{
        static struct input in;
        struct krb_padata_list list = {.n = 1};
        uint8_t bytes[400], *p = bytes;
        krb5_keytab keytab = NULL;
        krb5_keytab_entry entry;
        krb5_keyblock key = {0};
        size_t salt, inner;

        make_input(&in, text_len, etype, iterations);
        in.entry.salt_len %= 100; /* lengths of one octet in DER */
        salt = in.entry.salt_len;
        inner = 5 + 4 + salt + 8;
        memcpy(p,
               (const uint8_t[]){0x30, (uint8_t)(inner + 2), 0x30, (uint8_t)inner, 0xa0, 3, 2, 1, (uint8_t)etype, 0xa1,
                                 (uint8_t)(salt + 2), 0x1b, (uint8_t)salt},
               13);
        p += 13;
        memcpy(p, in.salt, salt);
        memcpy(p + salt, (const uint8_t[]){0xa2, 6, 4, 4}, 4);
        memcpy(p + salt + 4, in.count, 4);
        list.items[0] = (struct krb_padata){KRB_PA_ETYPE_INFO2, bytes, (size_t)(p - bytes) + salt + 8};
        assert_int_equal(prepare_with(f, &list, in.password, &keytab), REASON_OK);
        reference(f, in.password, &in.entry, &key);
        assert_int_equal(krb5_kt_get_entry(f->krb->context, keytab, f->client, 0, 0, &entry), 0);
        assert_int_equal(entry.key.enctype, etype);
        assert_int_equal(entry.key.length, key.length);
        assert_memory_equal(entry.key.contents, key.contents, key.length);
        krb5_free_keytab_entry_contents(f->krb->context, &entry);
        krb5_free_keyblock_contents(f->krb->context, &key);
        krb5_kt_close(f->krb->context, keytab);
        in.password = secret_free(in.password);
}

/* By each set of lanes, and by nettle alone. */
static void test_equal_to_libk5crypto(void **state)
{
        struct fixture *f = *state;
        size_t n;
        const struct krb_lane_set *sets = krb_lane_sets(&n);

        for (unsigned i = 0; i < ROUNDS; i++) {
                krb_batch_use(f->krb->batch, &sets[i % n], i % (2 * n) < n);
                assert_equal_to_libk5crypto(f, i < 130 ? 1 + i : 1 + next_random() % SECRET_MAX, 17 + (int)(i / 3 % 2),
                                            4096 + (i % 3 ? 0 : next_random() % 3000)); /* it takes no fewer */
        }
}

/* RFC 8009: 19 is AES-128 with SHA-256, 20 AES-256 with SHA-384. */
static void test_sha2_equal_to_libk5crypto(void **state)
{
        for (unsigned i = 0; i < (in_valgrind() ? 2 : 24); i++)
                assert_equal_to_libk5crypto(*state, i < 12 ? 60 + 8 * i : 1 + next_random() % SECRET_MAX,
                                            19 + (int)(i % 2), 32768 + i % 3); /* it takes no fewer */
}

/* The best kind wins in whatever order the KDC names them, and its key is the one libk5crypto makes. */
static void test_choice_of_kind(void **state)
{
        static const struct {
                int offered[4];
                size_t n;
                int chosen;
        } rows[] = {
                {{23, 17, 18}, 3, 18}, {{17, 23}, 2, 17}, {{19, 20, 17}, 3, 17}, {{19, 20}, 2, 20}, {{19}, 1, 19},
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const struct krb_etype_entry e = {.etype = rows[i].chosen, .salt = (const uint8_t *)"S", .salt_len = 1};
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
        } bad[] = {{{0, 0, 0, 0}, 4}, {{0, 0, 0x0f, 0xff}, 4}, {{0, 1, 0, 1}, 4}, {{0xff, 0xff, 0xff, 0xff}, 4},
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
                TEST(test_lanes_equal_to_nettle),
                TEST(test_cancelled_keys),
                TEST(test_slices),
                TEST(test_choice_of_kind),
                TEST(test_refused_hints),
                TEST(test_bounds_themselves_are_allowed),
        };
        return cmocka_run_group_tests_name("validate-krb-key", tests, NULL, NULL);
}
