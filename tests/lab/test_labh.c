/*
 * The C side of the lab: a test program finds its environment and reads badPwdCount.
 *
 * Run by `lab run`; whether the domain itself behaves is test_lab.py's business.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lab/lab.h"

static void test_keys(void **state)
{
        (void)state;
        assert_int_equal(lab_port("AD_LDAPS_PORT"), 636);
        assert_string_equal(lab_get2("ALT_SUFFIX", "UPN"), "alt.suffix@corp.com");
        assert_int_equal(strncmp(lab_get("GOOD1_SID"), "S-1-5-21-", 9), 0);
}

static void test_bad_pwd_count(void **state)
{
        (void)state;
        assert_int_equal(lab_bad_pwd_count(lab_get("LOCKED_SAM")), 5);
        assert_int_equal(lab_bad_pwd_count(lab_get("GOOD1_SAM")), 0);
        assert_int_equal(lab_bad_pwd_count("nobody-of-that-name"), -1);
        assert_int_equal(lab_unlock(lab_get("LOCKED_SAM")), 0);
        assert_int_equal(lab_bad_pwd_count(lab_get("LOCKED_SAM")), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_bad_pwd_count)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
