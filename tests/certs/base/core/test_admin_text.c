/*
 * Files that people edit: what editors leave is taken, the rest is refused with its line, nothing is taken in part.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define BOM "\xef\xbb\xbf"

static void test_plain(void **state)
{
        static const char *const good[][2] = {
                {"", ""},
                {BOM, ""},
                {BOM "a\r\nb\r\n", "a\nb\n"},
                {"a\nb", "a\nb"},
                {"a\rb\r", "a\rb\r"}, /* for the lines' judge */
                {"a\r\r\n", "a\r\n"},
                {"a" BOM, "a" BOM},
                {"\r\n", "\n"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                struct buffer b = BUFFER(100);
                struct error err = {""};

                assert_int_equal(buffer_append_str(&b, good[i][0]), 0);
                assert_int_equal(admin_text_plain(&b, "f", &err), 0);
                assert_int_equal(b.len, strlen(good[i][1]));
                assert_string_equal(b.data ? b.data : "", good[i][1]);
                buffer_free(&b);
        }
}

static void test_not_plain(void **state)
{
        static const struct {
                const char *bytes;
                size_t n;
                const char *why;
        } bad[] = {
                {"\xff\xfe[\0c\0", 6, "f:1: the file is UTF-16"},
                {"\xfe\xff\0[\0c", 6, "f:1: the file is UTF-16"},
                {"a\r\nb\0c\n", 7, "f:2: a NUL byte"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                struct buffer b = BUFFER(100);
                struct error err = {""};

                assert_int_equal(buffer_append(&b, bad[i].bytes, bad[i].n), 0);
                assert_int_equal(admin_text_plain(&b, "f", &err), -EBADMSG);
                assert_memory_equal(err.text, bad[i].why, strlen(bad[i].why));
                buffer_free(&b);
        }
}

static void test_lines(void **state)
{
        static const char *const good[] = {"", "a = b\tc", "name = M\xc3\xbcnchen \xe6\x9d\xb1"};
        static const char *const bad[] = {"a\rb",          "a\x7f",         "a\xc2\x85",     "a\xc2\xa0",
                                          "a\xc2\xad",     "\xe2\x80\x8bx", "\xe2\x80\xaex", "x" BOM,
                                          "\xe3\x80\x80x", "\xfc",          "\xe2\x80"};

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
                assert_null(admin_line_fault(good[i], strlen(good[i])));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_non_null(admin_line_fault(bad[i], strlen(bad[i])));
        assert_non_null(admin_line_fault("a\0b", 3));
        assert_null(admin_comment_fault("# \xc2\xa0", 4));
        assert_non_null(admin_comment_fault("# \xfc", 3));
}

static void test_sections(void **state)
{
        static const struct {
                const char *line;
                int r;
                const char *name;
        } cases[] = {
                {"[connector]", 1, "connector"},
                {" [ connector\t]  ", 1, "connector"},
                {"[domain  corp.example ]", 1, "domain  corp.example"},
                {"a = [b]", 0, ""},
                {"", 0, ""},
                {"# [x]", 0, ""},
                {"[connector] x", -EBADMSG, ""},
                {"[connector]]", -EBADMSG, ""},
                {"[connector] ; x", -EBADMSG, ""},
                {"[connector", -EBADMSG, ""},
                {"[ ]", -EBADMSG, ""},
                {"[0123456789012345678901234567890]", -EBADMSG, ""},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                const char *why = NULL;
                char name[24] = "";

                assert_int_equal(admin_section(name, sizeof name, cases[i].line, strlen(cases[i].line), &why),
                                 cases[i].r);
                assert_string_equal(name, cases[i].name);
                assert_true(cases[i].r >= 0 || why);
        }
}

static void test_secrets(void **state)
{
        static const struct {
                const char *text;
                int r;
                const char *secret;
        } cases[] = {
                {"Pa ss", 0, "Pa ss"},
                {"Pa ss\n", 0, "Pa ss"},
                {BOM "Pass\r\n", 0, "Pass"},
                {"Pass\r\n\r\n", 0, "Pass"},
                {"P\xc3\xa4ss", 0, "P\xc3\xa4ss"},
                {"", 1, ""},
                {BOM "\r\n", 1, ""},
                {"Pass\nword\n", -EBADMSG, NULL},
                {"\nPass\n", -EBADMSG, NULL},
                {" Pass\n", -EBADMSG, NULL},
                {"Pass \n", -EBADMSG, NULL},
                {"Pass\t\r\n", -EBADMSG, NULL},
                {"Pass\xc2\xa0\n", -EBADMSG, NULL},
                {BOM BOM "Pass\n", -EBADMSG, NULL},
                {"Pass\xe2\x80\x8b", -EBADMSG, NULL},
                {"Pa\rss\n", -EBADMSG, NULL},
                {"P\xe4ss\n", -EBADMSG, NULL},
                {"\xff\xfeP\n", -EBADMSG, NULL},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct error err = {""};
                char text[64];
                size_t n = strlen(cases[i].text);

                memcpy(text, cases[i].text, n + 1);
                assert_int_equal(admin_secret(text, &n, "/f", &err), cases[i].r);
                if (cases[i].secret) {
                        assert_int_equal(n, strlen(cases[i].secret));
                        assert_string_equal(text, cases[i].secret);
                } else {
                        assert_memory_equal(err.text, "/f:", 3);
                        assert_null(strstr(err.text, "Pass"));
                }
        }
}

static void test_read(void **state)
{
        char path[] = "/tmp/admin-text-XXXXXX";
        struct buffer b = BUFFER(100);
        struct error err = {""};
        int fd = mkstemp(path);

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, BOM "{}\r\n", 7), 7);
        assert_int_equal(admin_text_read(&b, path, &err), 0);
        assert_string_equal(b.data, "{}\n");
        buffer_clear(&b);
        assert_int_equal(pwrite(fd, "\0", 1, 4), 1);
        assert_int_equal(admin_text_read(&b, path, &err), -EBADMSG);
        assert_int_equal(b.len, 0);
        assert_non_null(strstr(err.text, path));
        close(fd);
        unlink(path);
        assert_int_equal(admin_text_read(&b, path, &err), -ENOENT);
        buffer_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),    cmocka_unit_test(test_not_plain), cmocka_unit_test(test_lines),
                cmocka_unit_test(test_sections), cmocka_unit_test(test_secrets),   cmocka_unit_test(test_read),
        };

        return cmocka_run_group_tests_name("base/admin-text", tests, NULL, NULL);
}
