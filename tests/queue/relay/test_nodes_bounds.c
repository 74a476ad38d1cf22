/*
 * What other nodes can make this one keep, on a bus that is the test's own; and by which way it says that it goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay/nodes-internal.h"
#include "tests/queue/relay/no_store.h"
#include "tests/queue/relay/own_bus.h"

#define T "acme"

/* ---- the bus ---- */

static unsigned byes, byes_to_all;

void own_bus_sent(const char *run, const struct msg_out *m)
{
        byes += m->data[0] == NODES_BYE && run;
        byes_to_all += m->data[0] == NODES_BYE && !run;
}

/* ---- a node, and others by their messages ---- */

static struct relay_config config = {.node = "n1"};
static struct relay relay;
static struct tenant *tenant;

static int setup(void **state)
{
        const struct dispatch_limits limits = {.in_flight_per_tenant = 100, .parked_per_tenant = 100};
        const struct store_tenant row = {.name = T};
        struct error err;

        (void)state;
        memset(&relay, 0, sizeof(relay));
        relay.config = &config;
        assert_int_equal(loop_new_fake(&relay.loop), 0);
        assert_int_equal(dispatch_new(&relay.dispatch, relay.loop, &limits), 0);
        tenant = tenant_new(&relay, &row);
        assert_non_null(tenant);
        assert_int_equal(nodes_new(&relay.nodes, &relay, &err), 0);
        byes = byes_to_all = 0;
        own_bus.connected = true;
        own_bus.ops.state(own_bus.ops.arg, true, NULL);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        relay.nodes = nodes_free(relay.nodes);
        relay.dispatch = dispatch_free(relay.dispatch);
        tenant_free(tenant);
        table_clear(&relay.by_name);
        loop_free(relay.loop);
        return 0;
}

static void begin(struct msg_out *m, unsigned node, enum nodes_frame type, uint64_t seq)
{
        char run[BUS_RUN_LEN + 1];

        (void)snprintf(run, sizeof(run), "nnnnnnnnnnnnnnnnnnn%02uA", node);
        msg_begin(m, (uint8_t)type);
        msg_str(m, NODES_TAG_RUN, run);
        msg_u64(m, NODES_TAG_SEQ, seq);
}

static void tell(const struct msg_out *m)
{
        assert_false(m->overflow);
        own_bus.ops.message(own_bus.ops.arg, m->data, m->len);
}

/* The node says that it lives. */
static void beat(unsigned node, uint64_t seq)
{
        struct msg_out m;

        begin(&m, node, NODES_HEARTBEAT, seq);
        msg_str(&m, NODES_TAG_NAME, "n2");
        tell(&m);
}

/* Its n-th link, with as much as fits of what it serves. */
static void tell_link(unsigned node, unsigned n, const char *lines)
{
        char connector[ID_MAX + 1];
        struct msg_out m;

        (void)snprintf(connector, sizeof(connector), "connector-%02u-%06u", node, n);
        begin(&m, node, NODES_LINK, n + 1);
        msg_str(&m, NODES_TAG_TENANT, T);
        msg_str(&m, NODES_TAG_CONNECTOR, connector);
        msg_str(&m, NODES_TAG_BOOT, "bbbbbbbbbbbbbbbbbbbbbA");
        msg_u64(&m, NODES_TAG_AGE, 5);
        msg_u64(&m, NODES_TAG_READY, 1);
        msg_str(&m, NODES_TAG_REALMS, lines);
        msg_str(&m, NODES_TAG_REASONS, lines);
        tell(&m);
}

/* ---- tests ---- */

/* As many names as there may be nodes, and each with links that serve as much as a message holds. */
static void test_what_they_tell(void **state)
{
        static char lines[NODES_LINES_MAX];
        const unsigned each = 250, n = NODES_MAX;

        (void)state;
        memset(lines, 'x', sizeof(lines) - 1);
        for (unsigned node = 0; node < n; node++) {
                beat(node, 0);
                for (unsigned i = 0; i < each; i++)
                        tell_link(node, i, lines);
        }
        assert_true((size_t)n * each * 2 * sizeof(lines) > NODES_LINES_ALL_MAX);
        assert_int_equal(relay.nodes->n_links, n * each);
        assert_in_range(relay.nodes->n_lines, NODES_LINES_ALL_MAX - sizeof(lines), NODES_LINES_ALL_MAX);
        tell_link(0, 0, ""); /* it serves nothing any more: others have its room */
        tell_link(n - 1, each - 1, lines);
        assert_in_range(relay.nodes->n_lines, NODES_LINES_ALL_MAX - 2 * sizeof(lines), NODES_LINES_ALL_MAX);
        loop_fake_advance(relay.loop, NODES_DEAD_MS + NODES_TICK_MS);
        assert_int_equal(relay.nodes->n, 0);
        assert_int_equal(relay.nodes->n_links, 0);
        assert_int_equal(relay.nodes->n_lines, 0);
}

static void test_how_many_links(void **state)
{
        unsigned node = 0;

        (void)state;
        for (; node < 5; node++) {
                beat(node, 0);
                relay.nodes->n_links += NODES_LINKS_MAX - 2; /* as if it had told of them */
                for (unsigned i = 0; i < 2; i++)
                        tell_link(node, i, "corp.example");
        }
        assert_int_equal(relay.nodes->n_links, NODES_LINKS_ALL_MAX + NODES_LINKS_MAX - 2);
        relay.nodes->n_links -= (size_t)node * (NODES_LINKS_MAX - 2);
        assert_int_equal(relay.nodes->n_links, 8); /* of the fifth: none */
}

static void test_bye(void **state)
{
        (void)state;
        beat(1, 0);
        beat(2, 0);
        relay.nodes = nodes_free(relay.nodes);
        assert_int_equal(byes, 2);
        assert_int_equal(byes_to_all, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {TEST(test_what_they_tell), TEST(test_how_many_links), TEST(test_bye)};

        return cmocka_run_group_tests_name("relay/nodes-bounds", tests, NULL, NULL);
}
