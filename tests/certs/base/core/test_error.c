/*
 * The error text: formatted, prefixed, cut only between characters, free of control characters.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>

#include "base/core/error.h"
#include "base/core/text.h"

static void test_returns_code_and_text(void **state)
{
        struct error err = {"old"};

        (void)state;
        assert_int_equal(error_fail(&err, -EINVAL, "roster: %s is %d", "seq", 7), -EINVAL);
        assert_string_equal(err.text, "roster: seq is 7");
        assert_int_equal(error_fail(NULL, -EIO, "dropped"), -EIO);
        assert_int_equal(error_prefix(NULL, -EIO, "dropped"), -EIO);
}

static void test_prefix(void **state)
{
        struct error err = {"no such file"};

        (void)state;
        assert_int_equal(error_prefix(&err, -ENOENT, "%s:%d", "/etc/x", 3), -ENOENT);
        assert_string_equal(err.text, "/etc/x:3: no such file");
        /* The old text as an argument of its own prefix. */
        assert_int_equal(error_prefix(&err, -ENOENT, "%s", "a"), -ENOENT);
        assert_string_equal(err.text, "a: /etc/x:3: no such file");
}

static void test_control_characters_are_replaced(void **state)
{
        struct error err;

        (void)state;
        (void)error_fail(&err, -1, "a%sb", "\n\x1b[31m\x7f\t");
        assert_string_equal(err.text, "a??[31m??b");
}

static void test_cut_between_characters(void **state)
{
        static const char *const chars[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
        struct error err;
        char text[ERROR_TEXT_MAX * 2];

        (void)state;
        for (size_t kind = 0; kind < 4; kind++)
                for (size_t offset = 0; offset < 4; offset++) {
                        size_t len = strlen(chars[kind]);
                        memset(text, 'a', offset);
                        size_t n = offset;
                        for (; n + len < sizeof text; n += len)
                                memcpy(text + n, chars[kind], len);
                        text[n] = '\0';
                        (void)error_fail(&err, -1, "%s", text);
                        size_t got = strlen(err.text);
                        assert_true(utf8_valid(err.text, got));
                        assert_in_range(got, ERROR_TEXT_MAX - len, ERROR_TEXT_MAX - 1);
                        (void)error_prefix(&err, -1, "abc");
                        assert_true(utf8_valid(err.text, strlen(err.text)));
                        assert_memory_equal(err.text, "abc: ", 5);
                }
}

/* A width in the format cuts wherever it falls, and some bytes were never text. */
static void test_no_text_becomes_text(void **state)
{
        struct error err;

        (void)state;
        (void)error_fail(&err, -1, "member \"%.3s\"", "ab\xc3\xa9");
        assert_string_equal(err.text, "member \"ab?\"");
        (void)error_prefix(&err, -1, "%s", "\xff\xc3+\xc3\xa9");
        assert_string_equal(err.text, "??+\xc3\xa9: member \"ab?\"");
}

static void test_exact_fit_is_not_cut(void **state)
{
        struct error err;
        char text[ERROR_TEXT_MAX];

        (void)state;
        memset(text, 'a', sizeof text);
        memcpy(text + ERROR_TEXT_MAX - 3, "\xc3\xa9", 3);
        (void)error_fail(&err, -1, "%s", text);
        assert_string_equal(err.text, text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_returns_code_and_text),
                cmocka_unit_test(test_prefix),
                cmocka_unit_test(test_control_characters_are_replaced),
                cmocka_unit_test(test_cut_between_characters),
                cmocka_unit_test(test_no_text_becomes_text),
                cmocka_unit_test(test_exact_fit_is_not_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
