/*
 * A renewal of the transport certificate over the link: what the relay's answers come to.
 */
#include "tests/queue/link/link_rig.h"

#include <curl/curl.h>

struct renewed {
        unsigned n;
        uint32_t again_s;
        bool has_chain;
        char why[ERROR_TEXT_MAX];
};

static void on_renewed(void *arg, const struct buffer *chain, uint32_t again_s, const char *why)
{
        struct renewed *renewed = arg;

        renewed->n++;
        renewed->again_s = again_s;
        renewed->has_chain = chain != NULL;
        (void)snprintf(renewed->why, sizeof(renewed->why), "%s", why);
}

/* A relay that has no time names a moment; whatever else it answers is a failure. */
static void a_renewal_is_put_off(void **state)
{
        static const struct {
                int status;
                const char *fields;
                uint32_t again_s;
        } answers[] = {{202, "Retry-After: 77\r\n", 77},
                       {202, "", 60},
                       {202, "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 60},
                       {202, "Retry-After: 0\r\n", 60},
                       {202, "Retry-After: 99999\r\n", 60},
                       {503, "Retry-After: 600\r\n", 0}};
        struct test *t = *state;
        struct error err = {""};
        struct est_asker asker = {"acme", "connector-0001-aaaa", NULL};

        assert_int_equal(key_generate(&asker.key, &err), 0);
        for (size_t i = 0; i < N(answers); i++) {
                struct renewed renewed = {0};

                t->enrol_status = answers[i].status;
                t->enrol_fields = answers[i].fields;
                assert_int_equal(link_reenroll(t->link, &asker, on_renewed, &renewed, &err), 0);
                for (int turns = 0; turns < 100000 && !renewed.n; turns++)
                        turn(t, 0);
                assert_int_equal(renewed.n, 1);
                assert_false(renewed.has_chain);
                assert_int_equal(renewed.again_s, answers[i].again_s);
                assert_non_null(strstr(renewed.why, "busy"));
        }
        key_free(asker.key);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_renewal_is_put_off, begin_up, end),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("queue/link-renewal", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
