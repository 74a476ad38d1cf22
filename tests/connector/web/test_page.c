/*
 * The page's parts by themselves: values escaped, forms read, sessions and codes on the fake clock, the configuration's
 * sample and man page.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <stdio.h>

#include "base/core/text.h"
#include "connector/web/access.h"
#include "connector/web/chart.h"
#include "connector/web/config.h"
#include "connector/web/form.h"
#include "connector/web/html.h"

static void test_every_value_is_escaped(void **state)
{
        struct html h = HTML(4096);

        (void)state;
        html_put(&h, "<a title=\"{}\">{d} {} {", "\"><b>&'", 7LL, "é\x01\xff\u202e");
        html_put(&h, "{}", NULL);
        assert_int_equal(h.code, 0);
        assert_string_equal(h.out.data, "<a title=\"&quot;&gt;&lt;b&gt;&amp;&#39;\">7 é??? {");
        buffer_free(&h.out);
}

static void test_a_page_that_is_too_long(void **state)
{
        struct html h = HTML(8);

        (void)state;
        html_put(&h, "1234{}", "567890");
        html_put(&h, "!");
        assert_int_equal(h.code, -EMSGSIZE);
        buffer_free(&h.out);
}

static void test_forms(void **state)
{
        static const struct {
                const char *body, *value; /* of a */
                int code;
        } rows[] = {
                {"a=1", "1", 0},
                {"b=2&a=1&a=3", "1", 0},
                {"a=", "", 0},
                {"a=+x+y%20", "x y", 0},
                {"a=%c3%A9%40", "é@", 0},
                {"", NULL, -ENOENT},
                {"aa=1&ba=2", NULL, -ENOENT},
                {"a", NULL, -ENOENT},
                {"a=%", NULL, -EBADMSG},
                {"a=%4", NULL, -EBADMSG},
                {"a=%4&b=1", NULL, -EBADMSG},
                {"a=%zz", NULL, -EBADMSG},
                {"a=%00", NULL, -EBADMSG},
                {"a=%ff", NULL, -EBADMSG},
                {"a=1\n", NULL, -EBADMSG},
                {"a=1234567", "1234567", 0},
                {"a=12345678", NULL, -EMSGSIZE},
        };
        char out[8];

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                /* a copy without an end, so that a read past it is seen */
                char *body = malloc(strlen(rows[i].body) + 1);
                assert_non_null(body);
                memcpy(body, rows[i].body, strlen(rows[i].body) + 1);
                if (form_get(body, strlen(rows[i].body), "a", out, sizeof(out)) != rows[i].code)
                        fail_msg("%s", rows[i].body);
                if (rows[i].value)
                        assert_string_equal(out, rows[i].value);
                free(body);
        }
}

/* ---- who is let in ---- */

static void test_codes_and_sessions_end(void **state)
{
        char code[WEB_SECRET_LEN + 1], other[WEB_SECRET_LEN + 1], token[WEB_SECRET_LEN + 1];
        struct web_access *a = NULL;
        struct loop *loop = NULL;
        struct web_person p;

        (void)state;
        assert_int_equal(loop_new_fake(&loop), 0);
        assert_int_equal(web_access_new(&a, loop), 0);
        assert_int_equal(web_access_admit(a, 0, code), 0);
        assert_false(web_access_find(a, code, &p)); /* a code is no session */
        loop_fake_advance(loop, WEB_CODE_MS - 1);
        assert_int_equal(web_access_enter(a, code, token), 0);
        assert_int_equal(web_access_enter(a, code, other), -EACCES);
        assert_int_equal(web_access_enter(a, token, other), -EACCES); /* nor the other way round */
        assert_true(web_access_find(a, token, &p));
        assert_string_equal(p.name, "uid 0 of this host");
        assert_int_equal(p.role, WEB_ADMIN);

        assert_int_equal(web_access_admit(a, 0, code), 0);
        loop_fake_advance(loop, WEB_CODE_MS);
        assert_int_equal(web_access_enter(a, code, other), -EACCES);

        loop_fake_advance(loop, WEB_IDLE_MS - WEB_CODE_MS - 1);
        assert_true(web_access_find(a, token, &p));
        loop_fake_advance(loop, WEB_IDLE_MS);
        assert_false(web_access_find(a, token, &p));

        assert_int_equal(web_access_admit(a, 0, code), 0);
        assert_int_equal(web_access_enter(a, code, token), 0);
        for (uint64_t at = 0; at + WEB_IDLE_MS / 2 < WEB_LIFE_MS; at += WEB_IDLE_MS / 2) {
                assert_true(web_access_find(a, token, &p));
                loop_fake_advance(loop, WEB_IDLE_MS / 2);
        }
        loop_fake_advance(loop, WEB_IDLE_MS / 2);
        assert_false(web_access_find(a, token, &p)); /* however busy it was */
        web_access_free(a);
        loop_free(loop);
}

static void test_codes_are_few_and_sessions_make_room(void **state)
{
        char code[WEB_SECRET_LEN + 1], first[WEB_SECRET_LEN + 1] = "", token[WEB_SECRET_LEN + 1];
        struct web_access *a = NULL;
        struct loop *loop = NULL;
        struct web_person p;

        (void)state;
        assert_int_equal(loop_new_fake(&loop), 0);
        assert_int_equal(web_access_new(&a, loop), 0);
        for (int i = 0; i < WEB_CODES_MAX; i++)
                assert_int_equal(web_access_admit(a, 1, code), 0);
        assert_int_equal(web_access_admit(a, 1, token), -EAGAIN);
        assert_int_equal(web_access_enter(a, code, token), 0);
        for (int i = 0; i < WEB_SESSIONS_MAX; i++) {
                loop_fake_advance(loop, 1);
                assert_int_equal(web_access_admit(a, 1, code), 0);
                assert_int_equal(web_access_enter(a, code, i ? token : first), 0);
                assert_true(web_access_find(a, first, &p));
        }
        web_access_leave(a, first);
        assert_false(web_access_find(a, first, &p));
        assert_true(web_access_find(a, token, &p));
        web_access_free(a);
        loop_free(loop);
}

static void test_roles(void **state)
{
        static const struct {
                const char *groups, *helpdesk, *admin;
                enum web_role role;
        } rows[] = {{"a", "a", "b", WEB_HELPDESK},
                    {"b, a", "a", "b", WEB_ADMIN},
                    {"x,y z ,w", "y z", NULL, WEB_HELPDESK},
                    {"y", "y z", NULL, WEB_NOBODY},
                    {"", "a", "b", WEB_NOBODY},
                    {"a", NULL, NULL, WEB_NOBODY},
                    {",, ,", "a,,b", ", ", WEB_NOBODY},
                    {"A", "a", NULL, WEB_NOBODY},
                    {"c", "a, b ,c", "", WEB_HELPDESK}};

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_int_equal(web_access_role(rows[i].groups, rows[i].helpdesk, rows[i].admin), rows[i].role);
}

/* ---- charts ---- */

static void test_a_chart_counts(void **state)
{
        static const char *const layers[CHART_LAYERS] = {"accepted", "refused", "unavailable"};
        struct chart c = {.title = "T", .layers = layers, .since = 0, .step = 60, .n = 60};
        struct html h = HTML(1 << 20);

        (void)state;
        c.n_slots[0][0] = 1000;
        c.n_slots[59][2] = 1; /* one of a thousand still shows */
        chart_bars(&h, &c);
        assert_int_equal(h.code, 0);
        assert_non_null(strstr(h.out.data, "1000 accepted"));
        assert_non_null(
                strstr(h.out.data, "<rect class=\"unavailable\" x=\"885\" y=\"159\" width=\"14\" height=\"1\"/>"));
        assert_non_null(strstr(h.out.data, "highest: 1000"));
        buffer_free(&h.out);
}

/* ---- the committed texts ---- */

static char *produce(void (*write_it)(FILE *))
{
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        write_it(f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void is_in(const char *path, void (*write_it)(FILE *))
{
        struct buffer text = BUFFER(65536);
        struct error err;
        char *made = produce(write_it);

        assert_int_equal(file_read(&text, path, &err), 0);
        if (!strstr(text.data, made))
                fail_msg("%s is not what the table says:\n%s", path, made);
        free(made);
        buffer_free(&text);
}

static void test_sample_and_man_page(void **state)
{
        struct conf_errors errors = CONF_ERRORS;
        struct web_config *c = NULL;

        (void)state;
        is_in(SOURCE_ROOT "/connector/packaging/web.conf.example", web_config_write_sample);
        is_in(SOURCE_ROOT "/connector/man/postern-web.conf.5", web_config_write_man);
        assert_int_equal(web_config_load(&c, SOURCE_ROOT "/connector/packaging/web.conf.example", &errors), 0);
        assert_string_equal(c->listen, "127.0.0.1:8470");
        web_config_free(c);
        conf_errors_clear(&errors);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_value_is_escaped),
                                           cmocka_unit_test(test_a_page_that_is_too_long),
                                           cmocka_unit_test(test_forms),
                                           cmocka_unit_test(test_codes_and_sessions_end),
                                           cmocka_unit_test(test_codes_are_few_and_sessions_make_room),
                                           cmocka_unit_test(test_roles),
                                           cmocka_unit_test(test_a_chart_counts),
                                           cmocka_unit_test(test_sample_and_man_page)};

        return cmocka_run_group_tests_name("web/page", tests, NULL, NULL);
}
