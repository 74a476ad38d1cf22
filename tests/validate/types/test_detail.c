/*
 * The table of details: each row is complete, is found by its own phrase and by no other's, and only under its reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "validate/types/detail.h"

static void test_rows(void **state)
{
        (void)state;
        assert_null(detail_info(DETAIL_NONE));
        assert_null(detail_info(DETAIL_MAX));
        for (int d = DETAIL_NONE + 1; d < DETAIL_MAX; d++) {
                const struct detail_info *info = detail_info((enum detail)d);

                assert_non_null(info);
                assert_true(info->id[0] && info->phrase[0] && info->helpdesk_text[0] && info->remedy[0]);
                assert_int_equal(reason_from_id(info->id), REASON_MAX); /* no code has two meanings */
                for (int other = d + 1; other < DETAIL_MAX; other++)
                        assert_string_not_equal(info->id, detail_info((enum detail)other)->id);
        }
}

/* Under some reason each is found, and what is found by its phrase is itself. */
static void test_found(void **state)
{
        char context[256];

        (void)state;
        for (int d = DETAIL_NONE + 1; d < DETAIL_MAX; d++) {
                bool found = false;

                (void)snprintf(context, sizeof(context), "before %s behind", detail_phrase((enum detail)d));
                for (int reason = 0; reason < REASON_MAX; reason++) {
                        const enum detail got = detail_find((enum reason)reason, context);

                        assert_true(got == DETAIL_NONE || got == (enum detail)d);
                        found = found || got == (enum detail)d;
                }
                assert_true(found);
        }
        assert_int_equal(detail_find(REASON_DC_CERTIFICATE, ""), DETAIL_NONE);
        assert_int_equal(detail_find(REASON_MAX, "its certificate has expired"), DETAIL_NONE);
        assert_int_equal(detail_find(REASON_DC_TLS, "its certificate has expired"), DETAIL_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_found)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
