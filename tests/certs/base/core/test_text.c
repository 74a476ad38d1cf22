/*
 * Text forms: known values, and one spelling only for each.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>

#include "base/core/cleanup.h"
#include "base/ipc/loop.h"
#include "base/core/text.h"

static const struct {
        const char *plain;
        const char *coded;
} rfc4648[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
};

static void test_b64u_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof rfc4648 / sizeof *rfc4648; i++) {
                _cleanup_(buffer_free) struct buffer b = BUFFER(100);
                const char *plain = rfc4648[i].plain, *coded = rfc4648[i].coded;
                char text[32], back[32];
                b64u_encode_to(text, plain, strlen(plain));
                assert_string_equal(text, coded);
                assert_int_equal(B64U_LEN(strlen(plain)), strlen(coded));
                assert_int_equal(b64u_encode(&b, plain, strlen(plain)), 0);
                assert_int_equal(b64u_decode(&b, coded, strlen(coded)), 0);
                assert_int_equal(b.len, strlen(coded) + strlen(plain));
                if (b.len > 0)
                        assert_memory_equal(b.data, coded, strlen(coded));
                assert_int_equal(b64u_decode_exact(back, strlen(plain), coded, strlen(coded)), 0);
                assert_memory_equal(back, plain, strlen(plain));
        }
}

static void test_b64u_all_bytes(void **state)
{
        (void)state;
        for (size_t n = 0; n < 300; n++) {
                uint8_t in[300] = {0}, out[300];
                char text[B64U_LEN(300) + 1];
                for (size_t i = 0; i < n; i++)
                        in[i] = (uint8_t)(i * 7 + n);
                b64u_encode_to(text, in, n);
                assert_int_equal(strlen(text), B64U_LEN(n));
                assert_int_equal(b64u_decode_exact(out, n, text, strlen(text)), 0);
                assert_memory_equal(in, out, n);
        }
}

static void test_b64u_refuses(void **state)
{
        static const char *const bad[] = {"Z",     "Zg==", "Zg=",  "Zm8=",  "Zh",     "Zm9",        "Zm9v\n",
                                          " Zm9v", "Zm+v", "Zm/v", "Zm9vY", "Zm9v*A", "\xc3\xa9Zm", "Zm.v"};
        _cleanup_(buffer_free) struct buffer b = BUFFER(100);
        char out[16];

        (void)state;
        assert_int_equal(buffer_append_str(&b, "keep"), 0);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert_int_equal(b64u_decode(&b, bad[i], strlen(bad[i])), -EBADMSG);
                assert_string_equal(b.data, "keep");
        }
        assert_int_equal(b64u_decode(&b, "Zm9\0", 4), -EBADMSG);
        assert_int_equal(b64u_decode_exact(out, 2, "Zm9v", 4), -EBADMSG);
        assert_int_equal(b64u_decode_exact(out, 4, "Zm9v", 4), -EBADMSG);
        struct buffer small = BUFFER(2);
        assert_int_equal(b64u_decode(&small, "Zm9v", 4), -EMSGSIZE);
        assert_int_equal(b64u_encode(&small, "abc", 3), -EMSGSIZE);
        buffer_free(&small);
}

/* Eight characters at a time are the same bytes as four at a time, whichever character stands where. */
static void test_b64u_eight(void **state)
{
        uint8_t eight[6], four[6];

        (void)state;
        for (size_t at = 0; at < 8; at++)
                for (int c = 0; c < 256; c++) {
                        char text[] = "Zz09-_aB";

                        text[at] = (char)c;
                        const int r = b64u_decode_exact(eight, 6, text, 8);
                        const int first = b64u_decode_exact(four, 3, text, 4),
                                  second = b64u_decode_exact(four + 3, 3, text + 4, 4);
                        assert_int_equal(r, first < 0 ? first : second);
                        if (r == 0)
                                assert_memory_equal(eight, four, 6);
                }
}

/* Every character outside the alphabet, and only those, is refused. */
static void test_b64u_alphabet(void **state)
{
        unsigned accepted = 0;

        (void)state;
        for (int c = 0; c < 256; c++) {
                char text[4] = {(char)c, 'A', 'A', 'A'};
                uint8_t out[3];
                if (b64u_decode_exact(out, 3, text, 4) < 0)
                        continue;
                accepted++;
                char again[5];
                b64u_encode_to(again, out, 3);
                assert_memory_equal(again, text, 4);
        }
        assert_int_equal(accepted, 64);
}

static void test_hex(void **state)
{
        char out[9];

        (void)state;
        hex_encode_to(out, "\x00\x7f\xab\xff", 4);
        assert_string_equal(out, "007fabff");
        hex_encode_to(out, "", 0);
        assert_string_equal(out, "");
}

static void test_utf8(void **state)
{
        static const char *const good[] = {"",
                                           "abc",
                                           "\xc2\x80",
                                           "\xdf\xbf",
                                           "\xe0\xa0\x80",
                                           "\xed\x9f\xbf",
                                           "\xee\x80\x80",
                                           "\xf0\x90\x80\x80",
                                           "\xf4\x8f\xbf\xbf"};
        static const char *const bad[] = {"\x80",     "\xc0\x80",         "\xc1\xbf",         "\xc2",
                                          "\xc2\x41", "\xe0\x9f\xbf",     "\xed\xa0\x80",     "\xed\xbf\xbf",
                                          "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                          "a\xff",    "\xf0\x9f\x94",     "\xe2\x82\x41"};

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                char again[8] = "";
                uint32_t point = 0;
                size_t at = 0;

                assert_true(utf8_valid(good[i], strlen(good[i])));
                for (const char *c = good[i]; *c; c += utf8_next(c, strlen(c), &point)) {
                        assert_true(utf8_next(c, strlen(c), &point) > 0 && at <= sizeof again - 4);
                        at += utf8_put(again + at, point);
                }
                assert_memory_equal(again, good[i], at);
                assert_int_equal(at, strlen(good[i]));
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(utf8_valid(bad[i], strlen(bad[i])));
        uint32_t cp = 0;
        assert_int_equal(utf8_next("\xe2\x82\xac!", 4, &cp), 3);
        assert_int_equal(cp, 0x20AC);
        assert_int_equal(utf8_next("", 0, &cp), 0);
}

static void test_ids(void **state)
{
        char id[ID_MAX + 1], other[ID_MAX + 1];
        char longest[ID_MAX + 2];

        (void)state;
        assert_int_equal(id_generate(id), 0);
        assert_int_equal(id_generate(other), 0);
        assert_int_equal(strlen(id), 26);
        assert_true(id_valid(id, 26));
        assert_string_not_equal(id, other);
        assert_int_equal(strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
        assert_false(id_valid("123456789012345", 15));
        assert_true(id_valid("1234567890-abcDZ", 16));
        assert_false(id_valid("1234567890_abcDZ", 16));
        assert_false(id_valid("1234567890 abcDZ", 16));
        assert_false(id_valid("1234567890abcd\0Z", 16));
        memset(longest, 'a', sizeof longest);
        assert_true(id_valid(longest, ID_MAX));
        assert_false(id_valid(longest, ID_MAX + 1));
        assert_int_equal(id_first("0123456789ABCDEFGHJKMNPQRS"), 26);
        assert_int_equal(id_first("0123456789ABCDEFGHJKMNPQRS-2"), 26);
        assert_int_equal(id_first("-2"), 2);
        assert_true(id_heard("oil3456789abcdefghjkmnpqrs", other));
        assert_string_equal(other, "0113456789ABCDEFGHJKMNPQRS");
        assert_true(id_heard("ol23", other)); /* the beginning of one */
        assert_string_equal(other, "0123");
        assert_false(id_heard("012", other));
        assert_false(id_heard("0123456789ABCDEFGHJKMNPQRST", other));
        assert_false(id_heard("0123456789ABCDEFGHJKMNPQ-2", other));
        assert_true(id_given(" \tabCD-0123\r\n ", other));
        assert_string_equal(other, "abCD-0123");
        assert_false(id_given("abc", other));
        assert_false(id_given("ab cd", other));
        assert_false(id_given("alice@corp.example", other));
        assert_true(id_same("0123456789ABCDEFGHJKMNPQRS", "0123456789ABCDEFGHJKMNPQRS-2"));
        assert_false(id_same("0123456789ABCDEFGHJKMNPQRS", "0123456789ABCDEFGHJKMNPQRT-2"));
}

static void test_text_set(void **state)
{
        _cleanup_(freep) char *s = NULL;

        (void)state;
        assert_int_equal(text_set(&s, "one"), 0);
        assert_string_equal(s, "one");
        assert_int_equal(text_set(&s, "two"), 0);
        assert_string_equal(s, "two");
        assert_int_equal(text_set(&s, s), 0);
        assert_string_equal(s, "two");
        assert_int_equal(text_set(&s, NULL), 0);
        assert_null(s);
}

static void test_parse_u64(void **state)
{
        static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "a", "18446744073709551616a"};
        uint64_t v = 99;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(text_parse_u64(bad[i], 0, UINT64_MAX, &v), -EINVAL);
        assert_int_equal(text_parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
        assert_int_equal(text_parse_u64("99999999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
        assert_int_equal(text_parse_u64("4", 5, 9, &v), -ERANGE);
        assert_int_equal(text_parse_u64("10", 5, 9, &v), -ERANGE);
        assert_int_equal(v, 99);
        assert_int_equal(text_parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
        assert_true(v == UINT64_MAX);
        assert_int_equal(text_parse_u64("007", 5, 9, &v), 0);
        assert_int_equal(v, 7);
}

static void b64u_only_knows_each_character(void **state)
{
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        char text[20];

        (void)state;
        for (int c = 0; c < 256; c++) {
                const bool known = c && strchr(alphabet, c);

                for (size_t at = 0; at < sizeof(text); at++) {
                        memset(text, 'z', sizeof(text));
                        text[at] = (char)c;
                        assert_int_equal(b64u_only(text, sizeof(text), '-'), known);
                        assert_int_equal(b64u_only(text, sizeof(text), '.'), known || c == '.');
                        assert_true(b64u_only(text, at, '-'));
                }
        }
}

static void test_guess(void **state)
{
        static const struct {
                const char *word, *best;
        } rows[] = {
                {"in_fligth", "in_flight"}, {"domian", "domain"}, {"x", NULL}, {"", NULL}, {"in_flight", "in_flight"}};
        char longest[TEXT_GUESS_MAX + 2];

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct text_guess g = TEXT_GUESS(rows[i].word);

                text_guess_consider(&g, "domains");
                text_guess_consider(&g, "domain");
                text_guess_consider(&g, "in_flight");
                assert_int_equal(g.best == NULL, rows[i].best == NULL);
                if (g.best)
                        assert_string_equal(g.best, rows[i].best);
        }
        memset(longest, 'a', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        struct text_guess g = TEXT_GUESS(longest);
        text_guess_consider(&g, longest); /* too long to be looked at */
        assert_null(g.best);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(b64u_only_knows_each_character),
                cmocka_unit_test(test_b64u_known),
                cmocka_unit_test(test_b64u_all_bytes),
                cmocka_unit_test(test_b64u_refuses),
                cmocka_unit_test(test_b64u_alphabet),
                cmocka_unit_test(test_b64u_eight),
                cmocka_unit_test(test_hex),
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_ids),
                cmocka_unit_test(test_text_set),
                cmocka_unit_test(test_parse_u64),
                cmocka_unit_test(test_guess),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
