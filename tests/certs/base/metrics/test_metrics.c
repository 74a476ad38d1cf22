/*
 * Prometheus's text form: what is written, escaped, added up, and that a full buffer stays an error.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/metrics/metrics.h"

static void test_samples(void **state)
{
        struct metrics m = METRICS(4096);

        (void)state;
        metrics_one(&m, "a_total", METRICS_COUNTER, "Things.", 3);
        metrics_begin(&m, "b", METRICS_GAUGE, "Others.");
        metrics_put(&m, -1.5, "x", "1", "y", NULL, METRICS_END);
        metrics_put(&m, 1764500000, "x", "a\"b\\c\nd\te", METRICS_END);
        assert_int_equal(m.code, 0);
        assert_string_equal(m.text.data, "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n"
                                         "# HELP b Others.\n# TYPE b gauge\nb{x=\"1\",y=\"\"} -1.5\n"
                                         "b{x=\"a\\\"b\\\\c\\nd?e\"} 1764500000\n");
        buffer_free(&m.text);
}

static void test_times(void **state)
{
        struct metrics_times t = {.n = 0};
        struct metrics m = METRICS(8192);

        (void)state;
        metrics_observe(&t, 5);
        metrics_observe(&t, 6);
        metrics_observe(&t, 60000);
        metrics_begin(&m, "s", METRICS_HISTOGRAM, "Times.");
        metrics_put_times(&m, &t, "dc", "a", METRICS_END);
        assert_int_equal(m.code, 0);
        assert_non_null(strstr(m.text.data, "\ns_bucket{dc=\"a\",le=\"0.005\"} 1\n"));
        assert_non_null(strstr(m.text.data, "\ns_bucket{dc=\"a\",le=\"0.01\"} 2\n"));
        assert_non_null(strstr(m.text.data, "\ns_bucket{dc=\"a\",le=\"15\"} 2\n"));
        assert_non_null(strstr(m.text.data, "\ns_bucket{dc=\"a\",le=\"+Inf\"} 3\n"));
        assert_non_null(strstr(m.text.data, "\ns_sum{dc=\"a\"} 60.011\ns_count{dc=\"a\"} 3\n"));
        buffer_free(&m.text);
        m = METRICS(8192);
        metrics_begin(&m, "s", METRICS_HISTOGRAM, "Times.");
        metrics_put_times(&m, &t, METRICS_END);
        assert_non_null(strstr(m.text.data, "\ns_bucket{le=\"0.005\"} 1\n"));
        assert_non_null(strstr(m.text.data, "\ns_sum 60.011\n"));
        buffer_free(&m.text);
}

static void test_full(void **state)
{
        struct metrics m = METRICS(40);

        (void)state;
        metrics_one(&m, "a_total", METRICS_COUNTER, "A text that is longer than there is room for.", 3);
        metrics_one(&m, "b", METRICS_COUNTER, "", 3);
        assert_int_equal(m.code, -EMSGSIZE);
        assert_true(m.text.len == 0);
        buffer_free(&m.text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_samples),
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
