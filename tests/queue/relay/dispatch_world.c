/* See dispatch_world.h. */
#include "tests/queue/relay/dispatch_world.h"

const char *const names[N_CONNECTORS] = {"connector-aaaaaaaa", "connector-bbbbbbbb", "connector-cccccccc"};
struct world w;

struct model_request *model(const char *id)
{
        for (size_t i = 0; i < w.n; i++) {
                if (strcmp(w.requests[i].id, id) == 0)
                        return &w.requests[i];
        }
        fail_msg("unknown request %s", id);
        return NULL;
}

static int sink_request(void *arg, const struct request_event *event)
{
        struct model_link *l = arg;
        struct model_request *r = model(event->id);

        assert_non_null(l->link);
        assert_false(l->dropped);
        if (l->broken)
                return -EPIPE;
        assert_int_equal(r->holder, -1); /* with nobody else */
        assert_int_equal(r->answers, 0);
        assert_false(r->cancelled);
        assert_false(r->asked[l->connector]); /* and never twice with one */
        assert_string_equal(event->sealed, names[l->connector]);
        assert_true(++l->taken <= l->granted || l->far); /* within its credit */
        assert_true(event->budget <= r->budget);
        assert_true(loop_now(w.loop) + event->budget <= r->began + r->budget);
        r->asked[l->connector] = true;
        r->holder = l->connector;
        r->last = event->last;
        r->left = !l->stuck;
        if (!l->stuck)
                return 0;
        memcpy(l->waiting[l->n_waiting++], event->id, sizeof(event->id));
        return 1;
}

static bool sink_withdraw(void *arg, const char *id)
{
        struct model_link *l = arg;

        for (size_t i = 0; i < l->n_waiting; i++) {
                if (strcmp(l->waiting[i], id) != 0)
                        continue;
                struct model_request *r = model(id);
                assert_int_equal(r->holder, l->connector);
                assert_false(r->left);
                r->holder = -1;
                r->asked[l->connector] = !l->far;
                l->taken--;
                memmove(l->waiting[i], l->waiting[l->n_waiting - 1], sizeof(l->waiting[0]));
                l->n_waiting--;
                return true;
        }
        return false;
}

static void sink_cancel(void *arg, const char *id)
{
        struct model_link *l = arg;
        assert_int_equal(model(id)->holder, l->connector);
        l->cancels++;
}

static void sink_drop(void *arg, const char *why)
{
        struct model_link *l = arg;
        assert_non_null(why);
        l->dropped = true;
}

int on_share(void *arg, size_t i, struct buffer *out)
{
        struct model_request *r = arg;
        /* Candidates are submitted in the order of names, those of r->reasons[] = '1'. */
        for (size_t c = 0; c < N_CONNECTORS; c++) {
                if (r->reasons[c] == '1' && i-- == 0)
                        return buffer_append_str(out, names[c]);
        }
        return -EINVAL;
}

void on_done(void *arg, const struct dispatch_outcome *o)
{
        struct model_request *r = arg;

        assert_int_equal(r->answers++, 0);
        assert_false(r->cancelled);
        assert_true(loop_now(w.loop) <= r->began + r->budget);
        r->verdict = o->jwe != NULL;
        if (o->jwe) {
                assert_int_equal(strcmp(o->jwe, "verdict"), 0);
                assert_true(r->verdict_from >= 0);
                assert_string_equal(o->trail.connector, names[r->verdict_from]);
                assert_string_equal(o->trail.state, "answered");
        } else {
                assert_true(o->problem > 0);
                assert_string_equal(o->trail.state, "failed");
                /* "started: no" is a promise: nobody has it. */
                if (!o->started_unknown)
                        assert_true(r->holder < 0 || !r->left);
        }
        r->unknown = o->started_unknown;
        r->problem = o->problem;
        r->holder = -1;
        r->reasons[8] = '\0';
        if (o->reasons)
                snprintf(r->reasons + 8, sizeof(r->reasons) - 8, "%s", o->reasons);
}

/* ---- moving it ---- */

static void on_changed(void *arg, const char *tenant)
{
        (void)arg;
        assert_string_equal(tenant, TENANT);
        w.n_changed++;
}

static void on_barred(void *arg, const char *tenant, const char *connector, unsigned seconds)
{
        (void)arg;
        assert_string_equal(tenant, TENANT);
        assert_non_null(connector);
        w.barred_s = seconds;
        w.n_barred++;
}

int setup(void **state)
{
        const struct dispatch_limits limits = {.in_flight_per_tenant = 64,
                                               .parked_per_tenant = PARKED_MAX,
                                               .barred = on_barred,
                                               .changed = on_changed};

        (void)state;
        memset(&w, 0, sizeof(w));
        assert_int_equal(loop_new_fake(&w.loop), 0);
        assert_int_equal(dispatch_new(&w.d, w.loop, &limits), 0);
        return 0;
}

void close_link(struct model_link *l)
{
        struct dispatch_link *link = l->link;

        l->broken = true;
        dispatch_link_gone(link);
        assert_int_equal(l->n_waiting, 0); /* what waited was taken back */
        memset(l, 0, sizeof(*l));
}

int teardown(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_LINKS; i++) {
                if (w.links[i].link)
                        close_link(&w.links[i]);
        }
        w.d = dispatch_free(w.d);
        w.loop = loop_free(w.loop);
        return 0;
}

static struct model_link *open_any(size_t slot, int connector, const char *boot, bool far)
{
        struct model_link *l = &w.links[slot];
        const struct dispatch_sink sink = {sink_request, sink_withdraw, sink_cancel, sink_drop, l};
        const struct dispatch_peer peer = {TENANT, names[connector], boot, far ? 0 : DISPATCH_DEAD_MS, 0, far};

        l->connector = connector;
        l->far = l->stuck = far;
        assert_int_equal(dispatch_link_new(&l->link, w.d, &peer, &sink), 0);
        return l;
}

struct model_link *open_link_of(size_t slot, int connector, const char *boot)
{
        return open_any(slot, connector, boot, false);
}

struct model_link *open_far_link(size_t slot, int connector)
{
        return open_any(slot, connector, "g5gQaVnr0E-QZQ2l6nYV2A", true);
}

void claim(struct model_link *l)
{
        while (l->n_waiting) {
                char id[ID_MAX + 1];

                memcpy(id, l->waiting[--l->n_waiting], sizeof(id));
                model(id)->left = true;
                dispatch_link_sent(l->link, id);
        }
}

void give_back(struct model_link *l, struct model_request *r, bool again)
{
        for (size_t i = 0; i < l->n_waiting; i++)
                if (strcmp(l->waiting[i], r->id) == 0)
                        memmove(l->waiting[i], l->waiting[--l->n_waiting], sizeof(l->waiting[0]));
        assert_int_equal(r->holder, l->connector);
        r->holder = -1;
        r->left = false;
        r->asked[l->connector] = !again;
        assert_true(dispatch_link_returned(l->link, r->id, "late", again));
}

struct model_link *open_link(size_t slot, int connector)
{
        return open_link_of(slot, connector, "g5gQaVnr0E-QZQ2l6nYV2A");
}

void report(struct model_link *l, uint64_t credit, bool ready)
{
        static const char reasons[1][64] = {"no_dc"};
        const struct dispatch_state s = {
                .granted = l->granted + credit, .ready = ready, .n_reasons = ready ? 0 : 1, .reasons = reasons};

        l->granted = s.granted;
        dispatch_link_state(l->link, &s);
}

struct model_request *submit(const char *to, uint32_t budget)
{
        struct model_request *r = &w.requests[w.n++];
        const char *connectors[N_CONNECTORS];
        struct dispatch_submission s = {
                .tenant = TENANT, .budget_ms = budget, .connectors = connectors, .caller = {on_share, on_done, r}};

        assert_true(w.n <= N_REQUESTS);
        snprintf(r->id, sizeof(r->id), "request-%08zu", w.n);
        s.id = r->id;
        r->began = loop_now(w.loop);
        r->budget = budget;
        r->holder = r->verdict_from = -1;
        r->submitted = true;
        memcpy(r->reasons, to, N_CONNECTORS);
        for (size_t c = 0; c < N_CONNECTORS; c++) {
                if (to[c] == '1')
                        connectors[s.n++] = names[c];
        }
        assert_int_equal(dispatch_submit(w.d, &s), 0);
        assert_int_equal(r->answers, 0); /* never from within */
        return r;
}

void turn(void)
{
        loop_fake_advance(w.loop, 0);
}

void decline(struct model_link *l, struct model_request *r, const char *why)
{
        if (r->holder == l->connector && r->left) {
                r->holder = -1;
                r->left = false;
        }
        dispatch_declined(l->link, r->id, why);
}

enum dispatch_receipt verdict(struct model_link *l, struct model_request *r)
{
        bool may = r->holder == l->connector && r->left && !r->answers && !r->cancelled;

        if (may)
                r->verdict_from = l->connector;
        return dispatch_verdict(l->link, r->id, "verdict");
}
