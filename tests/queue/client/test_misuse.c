/*
 * What client_new refuses.
 */
#include "queue/client/client.h"
#include "tests/queue/world.h"

static int begin(void **state)
{
        *state = world_new();
        return 0;
}

static int end(void **state)
{
        world_free(*state);
        return 0;
}

static void misuse(void **state)
{
        struct world *w = *state;
        const struct client_config good = {.relay = "https://127.0.0.1:9",
                                           .tenant = TENANT,
                                           .pin = key_pin(w->tenant),
                                           .bearer = "service-secret-1",
                                           .service_id = SERVICE_ID,
                                           .service_key = w->service};
        struct client_config c = good;
        struct client *client = NULL;
        struct error err = {""};

        c.budget_ms = BUDGET_MIN - 1;
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        c.budget_ms = BUDGET_MAX + 1;
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        c = good;
        c.relay = "https://a:9 https://b:9 https://c:9 https://d:9 https://e:9";
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        c.relay = "  ";
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        c.relay = " https://a:9/  https://b:9 ";
        assert_int_equal(client_new(&client, &c, &err), 0);
        client = client_free(client);
        c = good;
        c.tenant = "Not A Tenant";
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        c = good;
        c.pin = NULL;
        assert_int_equal(client_new(&client, &c, &err), -EINVAL);
        assert_null(client);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(misuse, begin, end)};

        return cmocka_run_group_tests_name("queue/client-misuse", tests, NULL, NULL);
}
