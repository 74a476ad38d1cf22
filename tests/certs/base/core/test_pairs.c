/*
 * The bounded list of texts: what goes in comes out in order, and nothing else fits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/core/pairs.h"

static void test_in_order(void **state)
{
        struct pairs p = {0};
        const char *name, *value;
        size_t at = 0;

        (void)state;
        assert_false(pairs_next(&p, &at, &name, &value));
        assert_false(pairs_drop_last(&p));
        assert_int_equal(pairs_add(&p, "a", "first", 5), 0);
        assert_int_equal(pairs_add(&p, "a", "", 0), 0);
        assert_int_equal(pairs_add(&p, "b", "third and more", 5), 0);
        assert_true(pairs_next(&p, &at, &name, &value));
        assert_string_equal(value, "first");
        assert_true(pairs_next(&p, &at, &name, &value));
        assert_string_equal(name, "a");
        assert_string_equal(value, "");
        assert_true(pairs_next(&p, &at, &name, &value));
        assert_string_equal(name, "b");
        assert_string_equal(value, "third");
        assert_false(pairs_next(&p, &at, &name, &value));
        assert_true(pairs_drop_last(&p));
        assert_true(pairs_drop_last(&p));
        at = 0;
        assert_true(pairs_next(&p, &at, &name, &value));
        assert_string_equal(value, "first");
        assert_false(pairs_next(&p, &at, &name, &value));
        assert_true(pairs_drop_last(&p));
        assert_int_equal(p.len, 0);
}

static void test_bounds(void **state)
{
        char value[PAIRS_BYTES_MAX] = "", name[PAIRS_NAME_MAX + 2];
        struct pairs p = {0};

        (void)state;
        memset(value, 'x', sizeof value);
        memset(name, 'n', sizeof name);
        name[sizeof name - 1] = '\0';
        assert_int_equal(pairs_add(&p, name, "x", 1), -EINVAL);
        assert_int_equal(pairs_add(&p, "", "x", 1), -EINVAL);
        assert_int_equal(pairs_add(&p, "n", "a\0b", 3), -EINVAL);
        assert_int_equal(pairs_add(&p, "n", value, sizeof value - 2), -ENOSPC);
        assert_int_equal(p.len, 0);
        assert_int_equal(pairs_add(&p, "n", value, sizeof value - 3), 0);
        assert_int_equal(p.len, sizeof p.bytes);
        assert_int_equal(pairs_add(&p, "n", "", 0), -ENOSPC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_in_order),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
