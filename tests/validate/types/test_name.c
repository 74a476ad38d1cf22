/*
 * Names as people type them: which forms reach a DC, where they route, and what is sent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "validate/types/name.h"
#include "base/core/typed-name.h"

static const struct domain_config domains[] = {
        {.name = "corp.example", .realm = "CORP.EXAMPLE", .netbios = "CORP", .suffixes = {"corp.com", "Mail.Example"}},
        {.name = "lab.example", .realm = "LAB.EXAMPLE"},
        {.name = "rd.example",
         .realm = "RD.EXAMPLE",
         .netbios = "R&D",
         .suffixes = {"b\xc3\xbc"
                      "cher.example"}},
};
static const struct validate_config config = {.domains = domains, .n_domains = 3, .default_domain = "corp.example"};
static const struct validate_config no_default = {.domains = domains, .n_domains = 3};
static const struct validate_config generic_default = {
        .domains = domains, .n_domains = 3, .default_domain = "lab.example"};

static const struct {
        const char *typed;
        enum reason reason;
        size_t domain;
        const char *bind;
} rows[] = {
        {"good@corp.example", REASON_OK, 0, "good@corp.example"},
        {"Good@CORP.Example", REASON_OK, 0, "Good@CORP.Example"},
        {"alt.suffix@corp.com", REASON_OK, 0, "alt.suffix@corp.com"},
        {"a@MAIL.example", REASON_OK, 0, "a@MAIL.example"},
        {"a+b@corp.com", REASON_OK, 0, "a+b@corp.com"},
        {"u1@lab.example", REASON_OK, 1, "u1@lab.example"},
        {"CORP\\good", REASON_OK, 0, "CORP\\good"},
        {"corp\\good", REASON_OK, 0, "CORP\\good"},
        {"good", REASON_OK, 0, "CORP\\good"},
        {"ren\xc3\xa9", REASON_OK, 0, "CORP\\ren\xc3\xa9"},
        {"Anna Maria", REASON_OK, 0, "CORP\\Anna Maria"},
        {"pc1$", REASON_OK, 0, "CORP\\pc1$"},
        {"o'neil@corp.example", REASON_OK, 0, "o'neil@corp.example"},
        /* what is around a name is not the name */
        {"x@corp.example.", REASON_OK, 0, "x@corp.example"},
        {"x@corp.example ", REASON_OK, 0, "x@corp.example"},
        {" \tx@corp.example\r\n", REASON_OK, 0, "x@corp.example"},
        {"\xef\xbb\xbfx@corp.example\xe2\x80\x8b", REASON_OK, 0, "x@corp.example"},
        {"\xc2\xa0"
         "CORP\\x\xc2\xa0.",
         REASON_OK, 0, "CORP\\x"},
        {"x .", REASON_OK, 0, "CORP\\x"},
        /* decomposed is composed */
        {"rene\xcc\x81", REASON_OK, 0, "CORP\\ren\xc3\xa9"},
        {"rene\xcc\x81@corp.example", REASON_OK, 0, "ren\xc3\xa9@corp.example"},
        /* one alphabet for names of domains */
        {"r&d\\x", REASON_OK, 2, "R&D\\x"},
        {"x@bu\xcc\x88"
         "cher.example",
         REASON_OK, 2,
         "x@b\xc3\xbc"
         "cher.example"},
        {"x@B\xc3\x9c"
         "CHER.example",
         REASON_OK, 2,
         "x@B\xc3\x9c"
         "CHER.example"},

        {"x@other.example", REASON_UNKNOWN_DOMAIN, 0, NULL},
        {"x@sub.corp.example", REASON_UNKNOWN_DOMAIN, 0, NULL},
        {"OTHER\\x", REASON_UNKNOWN_DOMAIN, 0, NULL},
        {"corp.example\\x", REASON_UNKNOWN_DOMAIN, 0, NULL},
        {"LAB\\x", REASON_UNKNOWN_DOMAIN, 0, NULL},

        {"", REASON_BAD_NAME_FORM, 0, NULL},
        {"@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"x@", REASON_BAD_NAME_FORM, 0, NULL},
        {"@", REASON_BAD_NAME_FORM, 0, NULL},
        {"CORP\\", REASON_BAD_NAME_FORM, 0, NULL},
        {"\\x", REASON_BAD_NAME_FORM, 0, NULL},
        {"CORP\\x\\y", REASON_BAD_NAME_FORM, 0, NULL},
        {"CORP\\x@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"CORP/x", REASON_BAD_NAME_FORM, 0, NULL},
        {"a@b@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"x@corp..example", REASON_BAD_NAME_FORM, 0, NULL},
        {"x@.corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"x@corp.example..", REASON_BAD_NAME_FORM, 0, NULL},
        {"x @corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {" ", REASON_BAD_NAME_FORM, 0, NULL},
        {"\xef\xbb\xbf", REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xe2\x80\x8b"
         "b@corp.example",
         REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xc2\xad"
         "b@corp.example",
         REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xc2\xa0"
         "b",
         REASON_BAD_NAME_FORM, 0, NULL},
        {"CO\xe2\x80\x8bRP\\x", REASON_BAD_NAME_FORM, 0, NULL},
        {"CN=x,DC=corp,DC=example", REASON_BAD_NAME_FORM, 0, NULL},
        {"CN=x@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"S-1-5-21-1-2-3-500", REASON_BAD_NAME_FORM, 0, NULL},
        {"s-1-5-18@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"CORP\\S-1-5-21-1-2-3-500", REASON_BAD_NAME_FORM, 0, NULL},
        {"<SID=S-1-5-21-1-2-3-500>", REASON_BAD_NAME_FORM, 0, NULL},
        {"host/dc1.corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"host/dc1@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"corp.example/Users/x", REASON_BAD_NAME_FORM, 0, NULL},
        {"a\tb@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"a\nb", REASON_BAD_NAME_FORM, 0, NULL},
        {"a\x7f"
         "b",
         REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xc2\x85"
         "b",
         REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xff", REASON_BAD_NAME_FORM, 0, NULL},
        {"a\xc3", REASON_BAD_NAME_FORM, 0, NULL},
        {"*@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"a|b", REASON_BAD_NAME_FORM, 0, NULL},
        {"\"a\"@corp.example", REASON_BAD_NAME_FORM, 0, NULL},
        {"x@c\xc3\xb6rp.example", REASON_UNKNOWN_DOMAIN, 0, NULL},
};

static void test_rows(void **state)
{
        char bind[2 * USERNAME_MAX + 2];

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct name name = {.domain = 77};
                enum reason reason = name_parse(&name, &config, rows[i].typed, strlen(rows[i].typed));

                if (reason != rows[i].reason)
                        fail_msg("\"%s\": %s instead of %s", rows[i].typed, reason_info(reason)->id,
                                 reason_info(rows[i].reason)->id);
                if (reason != REASON_OK) {
                        assert_int_equal(name.domain, reason == REASON_UNKNOWN_DOMAIN ? config.n_domains : 77);
                        continue;
                }
                assert_int_equal(name.domain, rows[i].domain);
                name_bind_text(&name, &domains[name.domain], bind, sizeof bind);
                assert_string_equal(bind, rows[i].bind);
        }
}

/* What is wrong with a name is said so that it can be found. */
static void test_flaws(void **state)
{
        static const struct {
                const char *typed, *why;
        } cases[] = {
                {"abcd\xe2\x80\x8b"
                 "e@corp.example",
                 "U+200B at character 5, which cannot be seen"},
                {"  a\xc2\xa0"
                 "b",
                 "U+00A0 at character 4, a blank other than the space"},
                {"a\tb", "U+0009 at character 2, a control character"},
                {"a\xc2\xad"
                 "b",
                 "U+00AD at character 2, which cannot be seen"},
                {"a\xef\xbb\xbf"
                 "b",
                 "U+FEFF at character 2, which cannot be seen"},
                {"a\xe2\x80\xae"
                 "b",
                 "U+202E at character 2, which cannot be seen"},
                {"ab\xff", "bytes that are no UTF-8 at character 3"},
        };
        char why[TYPED_FLAW_MAX];

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                assert_true(typed_flaw(cases[i].typed, strlen(cases[i].typed), why));
                assert_string_equal(why, cases[i].why);
        }
        assert_false(typed_flaw("\xef\xbb\xbf Anna M. \xc2\xa0", 14, why));
        assert_string_equal(why, "");
}

/* Each name that is refused for its form says why, without telling of it what may be a password. */
static void test_faults(void **state)
{
        static const struct {
                const char *typed, *why;
        } cases[] = {
                {"", "it is empty"},
                {"bob @corp.example", "a blank beside the @"},
                {"bob@ corp.example", "a blank beside the @"},
                {"bob@corp.example@x", "more than one @"},
                {"@corp.example", "nothing before the @"},
                {"bob@", "nothing behind the @"},
                {"bob@corp..example", "behind the @ cannot be a domain's name"},
                {"bob|x@corp.example", "it holds what no account can have: one of"},
                {"CORP\\", "nothing behind the backslash"},
                {"CORP\\a\\b", "more than one backslash"},
                {"CORP \\bob", "a blank beside the backslash"},
                {"\\bob", "before the backslash cannot be a domain's name"},
                {"S-1-5-21-1-2-3-500@corp.example", "the form of a SID"},
                {"a\xe2\x80\x8bz@corp.example", "the name holds U+200B at character 2, which cannot be seen"},
        };
        struct validate_config none = config;
        char why[NAME_FAULT_MAX];
        struct name name;

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                assert_int_equal(name_parse(&name, &config, cases[i].typed, strlen(cases[i].typed)),
                                 REASON_BAD_NAME_FORM);
                name_fault(&config, cases[i].typed, strlen(cases[i].typed), why);
                if (!strstr(why, cases[i].why) || strstr(why, "bob"))
                        fail_msg("\"%s\": %s", cases[i].typed, why);
        }
        none.default_domain = NULL;
        name_fault(&none, "bob", 3, why);
        assert_non_null(strstr(why, "default_domain is not set"));
}

/* Whatever the configuration takes as a NetBIOS name, the names that people type may begin with, and nothing else. */
static void test_one_alphabet(void **state)
{
        (void)state;
        for (int c = 1; c < 0x80; c++) {
                struct domain_config domain = {.name = "rd.example", .realm = "RD.EXAMPLE"};
                const struct validate_config one = {.domains = &domain, .n_domains = 1};
                char netbios[] = "R?D", typed[16];
                struct name name;
                bool taken;

                netbios[1] = (char)c;
                taken = typed_domain(netbios, 3);
                domain.netbios = netbios;
                snprintf(typed, sizeof typed, "%s\\x", netbios);
                if ((name_parse(&name, &one, typed, strlen(typed)) == REASON_OK) != taken)
                        fail_msg("U+%04X: the configuration %s it", (unsigned)c, taken ? "takes" : "refuses");
        }
}

static void test_bare_names(void **state)
{
        struct name name;
        char bind[2 * USERNAME_MAX + 2];

        (void)state;
        assert_int_equal(name_parse(&name, &no_default, "good", 4), REASON_BAD_NAME_FORM);
        assert_int_equal(name_parse(&name, &no_default, "good@corp.example", 17), REASON_OK);
        assert_int_equal(name_parse(&name, &generic_default, "u1", 2), REASON_OK);
        assert_int_equal(name.form, NAME_UPN);
        assert_string_equal(name.user, "u1");
        name_bind_text(&name, &domains[1], bind, sizeof bind);
        assert_string_equal(bind, "u1@lab.example");
}

static void test_lengths_and_nul(void **state)
{
        char typed[USERNAME_MAX + 2];
        struct name name;

        (void)state;
        memset(typed, 'a', sizeof typed);
        assert_int_equal(name_parse(&name, &config, typed, USERNAME_MAX), REASON_OK);
        assert_int_equal(strlen(name.user), USERNAME_MAX);
        assert_int_equal(name_parse(&name, &config, typed, USERNAME_MAX + 1), REASON_BAD_NAME_FORM);
        assert_int_equal(name_parse(&name, &config, "a\0b@corp.example", 16), REASON_BAD_NAME_FORM);
        assert_int_equal(name_parse(&name, &config, "good@corp.example\0", 18), REASON_BAD_NAME_FORM);
}

/* Two letters at most, and only of what follows the @. */
static void test_the_domain_that_was_meant(void **state)
{
        static const struct {
                const char *typed, *meant;
        } cases[] = {
                {"x@corp.exmaple", "corp.example"},
                {"x@CORP.EXMAPLE", "corp.example"},
                {"x@crop.example", "corp.example"},
                {"x@corp.exampl", "corp.example"},
                {"x@corp.ocm", "corp.com"},
                {"x@other.example", NULL},
                {"x@gmail.com", NULL},
                {"CRP\\x", NULL},
        };
        struct name name;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const char *typed = cases[i].typed;

                assert_int_equal(name_parse(&name, &config, typed, strlen(typed)), REASON_UNKNOWN_DOMAIN);
                const char *meant = name_domain_meant(&name, &config);
                if (cases[i].meant)
                        assert_string_equal(meant, cases[i].meant);
                else
                        assert_null(meant);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_bare_names),
                cmocka_unit_test(test_flaws),
                cmocka_unit_test(test_faults),
                cmocka_unit_test(test_one_alphabet),
                cmocka_unit_test(test_lengths_and_nul),
                cmocka_unit_test(test_the_domain_that_was_meant),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
