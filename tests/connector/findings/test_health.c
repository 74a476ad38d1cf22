/*
 * Findings that a test of the ledger does not reach: its own losses, a part that says nothing, whose clock is off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "connector/findings/health.h"

static const char well[] =
        "{\"now\":1000,\"ledger\":{\"state\":\"ok\",\"dropped\":0},\"parts\":{"
        "\"process:supervisor\":{\"value\":{\"state\":\"running\"}},\"process:link\":{\"value\":{\"state\":\"running\"}"
        "},"
        "\"process:validator\":{\"value\":{\"state\":\"running\"}},\"process:ledger\":{\"value\":{\"state\":"
        "\"running\"}},"
        "\"link\":{\"at\":999,\"value\":{\"state\":\"up\",\"heard\":true,\"clock_ahead\":0}},"
        "\"validator\":{\"at\":999,\"value\":{\"in_roster\":true}},"
        "\"domain:d\":{\"at\":999,\"value\":{\"domain\":\"d\",\"ready\":true,\"may_speak\":true,\"detail\":\"\"}},"
        "\"dc:d/"
        "a\":{\"at\":999,\"value\":{\"domain\":\"d\",\"host\":\"a\",\"state\":\"alive\",\"reason\":\"\",\"detail\":"
        "\"\"}},"
        "\"dc:d/"
        "b\":{\"at\":999,\"value\":{\"domain\":\"d\",\"host\":\"b\",\"state\":\"alive\",\"reason\":\"\",\"detail\":"
        "\"\"}}}}";

/* What is found in the well answer once the member is set to value; where: what it is a member of, NULL-terminated. */
static json_t *found(const char *const *where, const char *member, json_t *value)
{
        json_auto_t *status = json_loads(well, 0, NULL);
        json_t *at = status;

        assert_non_null(status);
        for (; *where; where++)
                at = json_object_get(at, *where);
        if (member)
                assert_int_equal(json_object_set_new(at, member, value), 0);
        return health_findings(status);
}

static const char *text_of(const json_t *findings, size_t i, const char *key)
{
        const char *text = json_string_value(json_object_get(json_array_get(findings, i), key));

        return text ? text : "";
}

static void each_alone(void **state)
{
        const struct {
                const char *where[3], *member;
                json_t *value;
                const char *code;
        } cases[] = {
                {{"ledger"}, "dropped", json_integer(3), "records_lost"},
                {{"ledger"}, "state", json_string("degraded"), "ledger_memory_only"},
                {{"parts", "link"}, "at", json_integer(900), "process_silent"},
        };
        json_auto_t *nothing = found((const char *const[]){NULL}, NULL, NULL);

        (void)state;
        assert_int_equal(json_array_size(nothing), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_auto_t *list = found(cases[i].where, cases[i].member, cases[i].value);

                assert_int_equal(json_array_size(list), 1);
                assert_string_equal(text_of(list, 0, "code"), cases[i].code);
                assert_true(text_of(list, 0, "remedy")[0]);
        }
}

static json_t *skewed(const char *host, const char *by)
{
        return json_pack("{s:s, s:s, s:s, s:s, s:s}", "domain", "d", "host", host, "state", "alive", "reason",
                         "clock_skew", "detail", by);
}

/* One that others contradict is its own trouble; what all say is this host's. */
static void whose_clock(void **state)
{
        json_auto_t *status = json_loads(well, 0, NULL), *one, *all;
        json_t *parts = json_object_get(status, "parts");

        (void)state;
        (void)json_object_set_new(json_object_get(parts, "dc:d/a"), "value",
                                  skewed("a", "its clock is 600 s ahead of this host's"));
        one = health_findings(status);
        assert_int_equal(json_array_size(one), 1);
        assert_string_equal(text_of(one, 0, "detail"), "dc_clock_ahead");
        assert_non_null(strstr(text_of(one, 0, "remedy"), "domain controller's clock"));
        (void)json_object_set_new(json_object_get(parts, "dc:d/b"), "value",
                                  skewed("b", "its clock is 598 s ahead of this host's"));
        (void)json_object_del(json_object_get(json_object_get(parts, "link"), "value"), "clock_ahead");
        all = health_findings(status);
        assert_int_equal(json_array_size(all), 1);
        assert_int_equal(json_array_size(json_object_get(json_array_get(all, 0), "others")), 1);
        assert_non_null(strstr(text_of(all, 0, "remedy"), "this host's clock"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(each_alone), cmocka_unit_test(whose_clock)};

        return cmocka_run_group_tests_name("connector/health", tests, NULL, NULL);
}
