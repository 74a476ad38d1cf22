/*
 * Messages between nodes, as a node that is not well, or somebody with its login, could send them: sequences of them to
 * a node that has a connector of its own, sign-ins for one that is linked elsewhere, and no NATS but this file.
 *
 * Each message is a length (2 bytes, the low one first) and as many bytes. In their place: 0xffff lets 100 ms pass and
 * brings a sign-in, 0xfffe takes the connection or gives it back. Properties: what is sent holds to the table; nothing
 * is told twice; a body leaves once, in a grant, after a claim.
 */
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "queue/relay/nodes-internal.h"
#include "tests/queue/relay/own_bus.h"

#define RUN_US "uuuuuuuuuuuuuuuuuuuuug"
#define NEAR "connector-here-000001"
#define FAR "connector-there-00001"
#define BOOT "bbbbbbbbbbbbbbbbbbbbbg"
#define BODY "a body that only a grant may have"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

/* ---- the bus ---- */

static unsigned grants;

void own_bus_sent(const char *run, const struct msg_out *m)
{
        char from[BUS_RUN_LEN + 1];
        struct msg_in in;
        struct error err;

        require(!m->overflow && nodes_frames_read(&in, m->data, m->len, from, &err) == 0);
        require(!run || strlen(run) == BUS_RUN_LEN);
        require(in.type == NODES_GRANT || !memmem(m->data, m->len, BODY, strlen(BODY)));
        grants += in.type == NODES_GRANT;
}

/* ---- a node ---- */

static unsigned submitted, answered;

static int share(void *arg, size_t i, struct buffer *out)
{
        (void)arg;
        (void)i;
        return buffer_append_str(out, BODY);
}

static void done(void *arg, const struct dispatch_outcome *o)
{
        int *told = arg;

        require(!*told && (o->jwe || o->problem));
        *told = 1;
        answered++;
}

static int take(void *arg, const struct request_event *event)
{
        struct sealed form;
        struct error err;

        (void)arg; /* a connector's stream is cut at its lines: what comes to it must have its form */
        require(sealed_read(&form, event->sealed, strlen(event->sealed), &err) == 0 && form.n == 1);
        return 0;
}

static bool give_back(void *arg, const char *id)
{
        (void)arg;
        (void)id;
        return false;
}

static void cancel(void *arg, const char *id)
{
        (void)arg;
        (void)id;
}

static void sign_in(struct relay *relay)
{
        static int told[16];
        static const char *const to[] = {FAR};
        char id[ID_MAX + 1];

        if (submitted == sizeof(told) / sizeof(told[0]))
                return;
        (void)snprintf(id, sizeof(id), "sign-in-%08u", submitted);
        told[submitted] = 0;
        require(dispatch_submit(relay->dispatch,
                                &(struct dispatch_submission){
                                        .tenant = "acme",
                                        .id = id,
                                        .budget_ms = 1000,
                                        .n = 1,
                                        .connectors = to,
                                        .caller = {.share = share, .done = done, .arg = &told[submitted]}}) == 0);
        submitted++;
}

static void play(struct relay *relay, const uint8_t *data, size_t n)
{
        for (size_t at = 0; at + 2 <= n;) {
                const size_t len = (size_t)(data[at] | data[at + 1] << 8);

                at += 2;
                if (len == 0xffff) {
                        sign_in(relay);
                        loop_fake_advance(relay->loop, 100);
                } else if (len == 0xfffe) {
                        own_bus.connected = !own_bus.connected;
                        own_bus.ops.state(own_bus.ops.arg, own_bus.connected, NULL);
                } else {
                        const size_t left = n - at < len ? n - at : len;

                        own_bus.ops.message(own_bus.ops.arg, data + at, left);
                        at += left;
                }
        }
        loop_fake_advance(relay->loop, 20000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const struct dispatch_sink sink = {.request = take, .withdraw = give_back, .cancel = cancel};
        const struct dispatch_limits limits = {.in_flight_per_tenant = 100, .parked_per_tenant = 100};
        const struct dispatch_peer peer = {.tenant = "acme", .connector = NEAR, .boot = BOOT, .dead_ms = 0};
        struct relay_config config = {.node = "n1"};
        struct relay relay = {.config = &config};
        const struct store_tenant row = {.name = "acme"};
        struct dispatch_link *link;
        struct error err;

        submitted = answered = 0;
        require(loop_new_fake(&relay.loop) == 0 && dispatch_new(&relay.dispatch, relay.loop, &limits) == 0);
        struct tenant *t = tenant_new(&relay, &row);
        require(t && nodes_new(&relay.nodes, &relay, &err) == 0);
        require(dispatch_link_new(&link, relay.dispatch, &peer, &sink) == 0);
        dispatch_link_state(link, &(struct dispatch_state){.granted = 4, .ready = true});
        grants = 0;
        own_bus.connected = true;
        own_bus.ops.state(own_bus.ops.arg, true, NULL);
        play(&relay, data, n);
        require(answered == submitted); /* each budget is over */
        require(grants <= nodes_view(relay.nodes).counts->offered);
        dispatch_link_gone(link);
        relay.nodes = nodes_free(relay.nodes);
        relay.dispatch = dispatch_free(relay.dispatch);
        tenant_free(t);
        table_clear(&relay.by_name);
        loop_free(relay.loop);
        return 0;
}
