/*
 * Forms of typed names to search by: without regard to case, composition and accents.
 * What is refused in names stands in the tests of validate/types.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <string.h>

#include "base/core/typed-name.h"

static void test_fold(void **state)
{
        static const char *const same[] = {"Müller", "MUELLER", "muller", "Mu\u0308ller"};
        char out[64], first[64];

        (void)state;
        assert_int_equal(typed_fold(first, sizeof(first), TYPED_LETTERS, same[0], strlen(same[0])), 0);
        for (size_t i = 1; i < sizeof(same) / sizeof(same[0]); i++) {
                assert_int_equal(typed_fold(out, sizeof(out), TYPED_LETTERS, same[i], strlen(same[i])), 0);
                assert_string_equal(out, first);
        }
        assert_int_equal(typed_fold(out, sizeof(out), TYPED_CASE, same[3], strlen(same[3])), 0);
        assert_string_equal(out, "müller");
        assert_int_equal(typed_fold(out, sizeof(out), TYPED_LETTERS, "Weißé", strlen("Weißé")), 0);
        assert_string_equal(out, "weisse");
        assert_int_equal(typed_fold(out, sizeof(out), TYPED_CASE, "", 0), 0);
        assert_string_equal(out, "");
        assert_int_equal(typed_fold(out, 3, TYPED_CASE, "abc", 3), -ENAMETOOLONG);
        assert_int_equal(typed_fold(out, sizeof(out), TYPED_CASE, "\xff", 1), -EILSEQ);
}

static void test_same(void **state)
{
        static const struct {
                const char *a, *b;
                bool same;
        } pairs[] = {{"Corp.Example", "cORP.eXAMPLE", true},
                     {"", "", true},
                     {"corp", "corp.", false},
                     {"a@b", "a`b", false},
                     {"x[", "x{", false},
                     {"corp", "cor_", false},
                     {"K", "\u212a", true},
                     {"ß", "SS", true},
                     {"M\u00fcller", "mu\u0308LLER", true},
                     {"a\xff", "a\xff", false}};

        (void)state;
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
                assert_int_equal(typed_same(pairs[i].a, strlen(pairs[i].a), pairs[i].b, strlen(pairs[i].b)),
                                 pairs[i].same);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_same), cmocka_unit_test(test_fold)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
