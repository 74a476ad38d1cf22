/*
 * Readiness of a domain: each condition that is missed makes it unready, and says since when and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "connector/findings/readiness.h"

static const char good[] =
        "{\"parts\":{"
        "\"link\":{\"since\":{\"heard\":20,\"quarantined\":21,\"statement_refused\":22},\"value\":{\"state\":\"up\","
        "\"heard\":true,\"since\":10,"
        "\"quarantined\":false,\"detail\":\"n1\"}},"
        "\"validator\":{\"since\":{\"clock\":30,\"keys\":31},\"value\":{\"keys\":true,\"clock\":{\"state\":\"fine\","
        "\"detail\":\"\"}}},"
        "\"domain:corp.example\":{\"since\":{\"ready\":50,\"may_speak\":40},\"value\":{\"domain\":\"corp.example\","
        "\"ready\":true,\"may_speak\":true,\"reason\":\"\",\"detail\":\"\"}}}}";

/* The good answer with one member changed; NULL: as it is. */
static json_t *readiness(const char *part, const char *member, json_t *to)
{
        json_auto_t *answer = json_loads(good, 0, NULL);

        assert_non_null(answer);
        if (part)
                (void)json_object_set_new(
                        json_object_get(json_object_get(json_object_get(answer, "parts"), part), "value"), member, to);
        return readiness_of(answer);
}

static void all_are_met(void **state)
{
        json_auto_t *all = readiness(NULL, NULL, NULL);
        const json_t *domain = json_array_get(all, 0);

        (void)state;
        assert_int_equal(json_array_size(all), 1);
        assert_string_equal(json_string_value(json_object_get(domain, "domain")), "corp.example");
        assert_true(json_is_true(json_object_get(domain, "ready")));
        assert_int_equal(json_integer_value(json_object_get(domain, "since")), 50);
        assert_int_equal(json_array_size(json_object_get(domain, "conditions")), 7);
}

static void each_is_needed(void **state)
{
        const struct {
                const char *what, *part, *member;
                json_t *to;
                int since;
                const char *cause;
        } missed[] = {
                {"link", "link", "state", json_string("down"), 10, "n1"},
                {"link", "link", "heard", json_false(), 20, "answered no report"},
                {"released", "link", "quarantined", json_true(), 21, "two machines"},
                {"announced", "link", "statement_refused", json_string("invalid"), 22, "no service can seal"},
                {"clock", "validator", "clock", json_pack("{s:s, s:s}", "state", "wrong", "detail", "10 min off"), 30,
                 "10 min off"},
                {"keys", "validator", "keys", json_false(), 31, "could not be made"},
                {"roster", "domain:corp.example", "may_speak", json_false(), 40, "does not let"},
                {"dc", "domain:corp.example", "ready", json_false(), 50, ""},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(missed) / sizeof(missed[0]); i++) {
                json_auto_t *all = readiness(missed[i].part, missed[i].member, missed[i].to);
                json_t *domain = json_array_get(all, 0), *condition;
                size_t at, n = 0;

                assert_true(json_is_false(json_object_get(domain, "ready")));
                assert_int_equal(json_integer_value(json_object_get(domain, "since")), missed[i].since);
                json_array_foreach (json_object_get(domain, "conditions"), at, condition) {
                        const char *cause = json_string_value(json_object_get(condition, "cause"));

                        if (json_is_true(json_object_get(condition, "met")))
                                continue;
                        n++;
                        assert_string_equal(json_string_value(json_object_get(condition, "what")), missed[i].what);
                        assert_int_equal(json_integer_value(json_object_get(condition, "since")), missed[i].since);
                        assert_true(missed[i].cause[0] ? cause && strstr(cause, missed[i].cause) != NULL : !cause);
                }
                assert_int_equal(n, 1);
        }
}

static void nobody_has_spoken(void **state)
{
        json_auto_t *empty = json_loads("{\"parts\":{}}", 0, NULL), *none = readiness_of(empty);
        json_auto_t *lone = json_loads("{\"parts\":{\"domain:a\":{\"value\":{\"domain\":\"a\"}}}}", 0, NULL),
                    *one = readiness_of(lone);

        (void)state;
        assert_int_equal(json_array_size(none), 0);
        assert_true(json_is_false(json_object_get(json_array_get(one, 0), "ready")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_are_met),
                cmocka_unit_test(each_is_needed),
                cmocka_unit_test(nobody_has_spoken),
        };

        return cmocka_run_group_tests_name("connector/readiness", tests, NULL, NULL);
}
