/*
 * The relay put together: routes, start, reload, drain, stop.
 *
 * Owns the table of endpoints. Invariant: where there are other nodes, going down, it sends its links to other nodes,
 * one connector of a tenant at a time, and its callers once none of theirs is left; it ends when nothing is in flight
 * or after DRAIN_MS, whichever is first; what is still in flight then is answered. Alone, it leaves its callers to its
 * next start (handover.c).
 */
#include "queue/relay/relay.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "certs/jose/sealed.h"

#include "queue/wire/question.h"

#include "base/process/harden.h"
#include "base/core/text.h"

#define DRAIN_LOOK_MS 50
#define MOVE_MS 4000  /* for links to go to other nodes, before services are sent there; or for what hangs to end */
#define HANGS_MS 1000 /* a sign-in that takes so long: new callers would wait for its end, too */
#define DRAIN_GRACE_MS 300
#define DRAIN_LEAVE_MS 2000   /* for answers that leave slowly */
#define DESCRIPTORS_BESIDE 64 /* of the relay itself, beside its connections */
#define TRIM_FROM 256         /* connections that went, or came: memory is given back */
#define CALM_LOOKS 4
#define PARKED_PER_TENANT 256 /* sign-ins that wait for a silent link */
#define REFRESH_MS 500        /* looks so often for what the command line decided */
#define PURGE_MS (6 * 3600 * 1000)
#define PURGE_FIRST_MS (3600 * 1000) /* a host's clock may be set only after the relay's start */
#define SMALL_BODY_MAX (16 * 1024)

/* ---- routes ---- */

static const struct http_route routes[] = {
        {HTTP_POST, "/v1/tenants/{}/sign-ins", api_sign_in, SEALED_MAX},
        {HTTP_POST, "/v1/link/report", relay_link_report, REPORT_MAX},
        {HTTP_POST, "/v1/link/answers/{}/{}", relay_link_answer, ANSWER_JWE_MAX},
        {HTTP_POST, "/v1/tenants/{}/questions", api_question, SEALED_SHARE_MAX},
        {HTTP_GET, "/v1/link/stream", relay_link_stream, 0},
        {HTTP_PUT, "/v1/link/identity", relay_link_identity, SMALL_BODY_MAX},
        {HTTP_GET, "/v1/tenants/{}/keys", api_keys, 0},
        {HTTP_GET, "/v1/tenants/{}/sign-ins/{}", api_sign_in_get, 0},
        {HTTP_GET, "/v1/tenants/{}/status", api_status, 0},
        {HTTP_PUT, "/v1/tenants/{}/roster", api_roster_put, ROSTER_TEXT_MAX},
        {HTTP_GET, "/v1/tenants/{}/pending", api_pending, 0},
        {HTTP_GET, "/v1/tenants/{}/events", api_events, 0},
        {HTTP_POST, "/v1/tenants/{}/connectors/{}/release", api_release, 0},
        {HTTP_GET, "/.well-known/est/{}/cacerts", relay_est_cacerts_get, 0},
        {HTTP_POST, "/.well-known/est/{}/simpleenroll", relay_est_simpleenroll, SMALL_BODY_MAX},
        {HTTP_POST, "/.well-known/est/{}/simplereenroll", relay_est_simplereenroll, SMALL_BODY_MAX},
};

/* ---- start ---- */

int relay_want_descriptors(const struct relay_config *config, struct error *err)
{
        const rlim_t need = config->connections + DESCRIPTORS_BESIDE;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_fail(err, -errno, "the limit of open files cannot be read: %s", strerror(errno));
        if (limit.rlim_cur >= need)
                return 0;
        limit.rlim_cur = limit.rlim_max;
        if (limit.rlim_max < need && setrlimit(RLIMIT_NOFILE, &(struct rlimit){need, need}) == 0)
                return 0;
        if (limit.rlim_max < need)
                return error_fail(
                        err, -EINVAL,
                        "connections = %u needs %llu open files, and this process may have %llu: raise "
                        "LimitNOFILE= in its unit (elsewhere `ulimit -n`), or set connections to %llu at most",
                        config->connections, (unsigned long long)need, (unsigned long long)limit.rlim_max,
                        (unsigned long long)(limit.rlim_max > DESCRIPTORS_BESIDE ? limit.rlim_max - DESCRIPTORS_BESIDE
                                                                                 : 0));
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_fail(err, -errno, "the limit of open files cannot be raised to %llu: %s",
                                  (unsigned long long)limit.rlim_max, strerror(errno));
        return 0;
}

/* Where it listens: one line on standard output, and the ready_file. */
static int announce(const struct relay *relay, const char *places, struct error *err)
{
        printf("postern-relay: ready");
        for (const char *place = places; *place;) {
                const size_t n = strcspn(place, "\n");

                printf(" %.*s", (int)n, place);
                place += n + (place[n] != '\0');
        }
        printf("\n");
        fflush(stdout);
        if (!relay->config->ready_file)
                return 0;
        return file_write_atomic(relay->config->ready_file, places, strlen(places), 0644, err);
}

/* Listens while still privileged; appends "host:port\n" for each. */
static int listen_all(struct relay *relay, struct buffer *places, struct error *err)
{
        for (size_t i = 0; i < relay->config->n_listen; i++) {
                const struct relay_listen *l = &relay->config->listen[i];
                const char *open = strchr(l->host, ':') ? "[" : "", *close = *open ? "]" : "";
                uint16_t port;

                int r = handover_listen(relay->handover, l->host, l->port, &port, err);
                if (r < 0)
                        return r;
                if (buffer_printf(places, "%s%s%s:%u\n", open, l->host, close, port) < 0)
                        return error_fail(err, -ENOMEM, "no memory");
        }
        return 0;
}

static void on_purge(void *arg)
{
        struct relay *relay = arg;

        clock_look(relay);
        /* by a clock that has jumped what is needed would be forgotten: that a certificate was revoked, for one */
        if (!relay->clock.doubtful)
                (void)store_client_call(relay->store,
                                        &(struct store_request){.op = STORE_PURGE, .at = loop_wall(relay->loop)}, NULL,
                                        NULL, NULL);
        loop_timer_in(relay->purge_timer, PURGE_MS);
}

/*
 * What many connections held goes back to the system when most of them are gone; the allocator alone would keep it. And
 * what their handshakes took lies in holes between what stays of them: that goes back when an eighth more have come
 * than there were, and hardly any have come for CALM_LOOKS looks.
 */
static void return_memory(struct relay *relay)
{
        const unsigned n = http_view(relay->http).connections, were = relay->trimmed_at;

        relay->calm = n <= relay->last_connections + n / 64 ? relay->calm + 1 : 0;
        relay->last_connections = n;
        if (n > relay->most_connections)
                relay->most_connections = n;
        const bool gone = relay->most_connections - n >= TRIM_FROM && n <= relay->most_connections / 2;
        const bool come = relay->calm >= CALM_LOOKS && n >= were + TRIM_FROM && n - were >= were / 8;
        if (!gone && !come)
                return;
        relay->most_connections = relay->trimmed_at = n;
        (void)malloc_trim(0);
}

static void on_refresh(void *arg)
{
        struct relay *relay = arg;
        struct session *s;
        struct tenant *t;
        struct peer peer;
        struct error err;
        int r;

        clock_look(relay);
        LIST_FOREACH (t, &relay->tenants, entry) {
                TAILQ_FOREACH (s, &t->sessions, entry) { /* streams outlive what they began with */
                        r = credential_current(relay, &s->credential)
                                    ? 0
                                    : credential_check(relay, &s->credential, &peer, &err);
                        if (r < 0 && r != -EIO)
                                session_drop(s, err.text);
                }
        }
        return_memory(relay);
        loop_timer_in(relay->refresh_timer, REFRESH_MS);
}

/* Nothing new is taken any more. Where its next start gets the sockets, who comes from now on waits for that. */
static void drain(struct relay *relay)
{
        relay->moving = relay->settling = false;
        relay->draining = true;
        if (handover_is_kept(relay->handover))
                http_stop_listening(relay->http);
        http_drain(relay->http);
        dispatch_drain(relay->dispatch, false);
        api_keys_drain(relay);
        sessions_drain(relay);
}

/* Whoever comes from now on is not taken, and goes to another node; who is connected already may have sent a request,
 * and gets its refusal. */
static bool is_being_asked(struct relay *relay)
{
        http_stop_listening(relay->http);
        return http_view(relay->http).unanswered || http_view(relay->http).unserved;
}

static void on_drain_timer(void *arg)
{
        struct relay *relay = arg;
        uint64_t now = loop_now(relay->loop);
        uint64_t oldest;
        size_t left = dispatch_in_flight(relay->dispatch, &oldest);

        if (relay->settling) {
                if (oldest < HANGS_MS || now >= relay->move_end)
                        drain(relay);
                loop_timer_in(relay->drain_timer, DRAIN_LOOK_MS);
        } else if (relay->moving) {
                if (!sessions_move(relay) || now >= relay->move_end)
                        drain(relay);
                loop_timer_in(relay->drain_timer, DRAIN_LOOK_MS);
        } else if (relay->drained && (!is_being_asked(relay) || now >= relay->drain_end)) {
                loop_stop(relay->loop, 0);
        } else if (relay->drained || (left && now < relay->drain_end)) {
                loop_timer_in(relay->drain_timer, DRAIN_LOOK_MS);
        } else {
                log_info("drained", KV_U("abandoned", left));
                dispatch_end(relay->dispatch, NULL);
                relay->drained = true; /* the last answers still have to leave */
                relay->drain_end = now + DRAIN_LEAVE_MS;
                loop_timer_in(relay->drain_timer, DRAIN_GRACE_MS);
        }
}

static int make_events(struct relay *relay)
{
        int r = loop_signal_new(&relay->signals[0], relay->loop, SIGTERM, relay_drain, relay);

        r = r < 0 ? r : loop_signal_new(&relay->signals[1], relay->loop, SIGINT, relay_drain, relay);
        r = r < 0 ? r : loop_signal_new(&relay->signals[2], relay->loop, SIGHUP, relay_reload, relay);
        r = r < 0 ? r : loop_timer_new(&relay->drain_timer, relay->loop, NULL, on_drain_timer, relay);
        r = r < 0 ? r : loop_timer_new(&relay->purge_timer, relay->loop, NULL, on_purge, relay);
        r = r < 0 ? r : loop_timer_new(&relay->refresh_timer, relay->loop, NULL, on_refresh, relay);
        r = r < 0 ? r : loop_timer_new(&relay->health_timer, relay->loop, NULL, relay_health_look, relay);
        return r;
}

static void on_barred(void *arg, const char *tenant, const char *connector, unsigned seconds)
{
        relay_event(arg, tenant, "connector_answers_nothing", connector,
                    "it was given sign-ins and answered none of the last three; for %u s it gets only what no other "
                    "connector "
                    "takes: look at its host (`postern status`, `postern log`)",
                    seconds);
}

static void on_links_changed(void *arg, const char *tenant)
{
        const struct relay *relay = arg;
        struct tenant *t = table_object(table_find(&relay->by_name, tenant, NULL), struct tenant, by_name);

        if (t)
                api_keys_touch(relay, t);
}

static int open_state(struct relay *relay, struct error *err)
{
        const struct dispatch_limits limits = {.in_flight_per_tenant = relay->config->in_flight_per_tenant,
                                               .parked_per_tenant = PARKED_PER_TENANT,
                                               .barred = on_barred,
                                               .changed = on_links_changed,
                                               .arg = relay};

        int r = ca_open(&relay->ca, relay->config->state_dir, relay->config->node, loop_wall(relay->loop), err);
        if (r < 0)
                return r;
        if (dispatch_new(&relay->dispatch, relay->loop, &limits) < 0 || journal_new(&relay->journal, relay) < 0 ||
            turns_new(&relay->enrolments, relay->loop) < 0 || turns_new(&relay->renewals, relay->loop) < 0 ||
            make_events(relay) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        return relay->config->dispatch == RELAY_ON_NATS ? nodes_new(&relay->nodes, relay, err) : 0;
}

int relay_start(struct relay *relay, struct error *err)
{
        struct buffer places = BUFFER(1024);
        struct http_config http = {.loop = relay->loop,
                                   .routes = routes,
                                   .n_routes = sizeof(routes) / sizeof(routes[0]),
                                   .before = clock_look,
                                   .arg = relay,
                                   .header = relay->sandbox ? HTTP_SANDBOX_HEADER : NULL,
                                   .limits = HTTP_LIMITS};

        http.limits.connections = (unsigned)relay->config->connections;
        http.limits.per_address = (unsigned)relay->config->connections_per_address;
        LIST_INIT(&relay->tenants);
        LIST_INIT(&relay->questions);
        int r = relay_want_descriptors(relay->config, err);
        if (r == 0)
                r = handover_new(&relay->handover, relay, err);
        if (r == 0) /* before anything is open that a process of its own need not have */
                r = store_client_new(&relay->store, relay->loop, relay->config, &tenants_told, relay, err);
        if (r == 0)
                r = http_new(&relay->http, &http, err);
        if (r == 0)
                r = listen_all(relay, &places, err);
        if (r == 0)
                r = metering_new(&relay->metering, relay, err);
        if (r == 0)
                r = harden_become(relay->config->user, HARDEN_NO_GROUPS, err);
        if (r == 0 && geteuid() == 0)
                log_warning("runs_as_root", KV_S("why", "no `user` is configured; name one without powers"));
        if (r == 0)
                r = harden_process(err);
        if (r == 0)
                r = open_state(relay, err);
        if (r == 0 && (r = relay_events_new(&relay->events, relay)) < 0)
                error_fail(err, r, "the ways out of records: %s", strerror(-r));
        if (r == 0)
                r = http_set_tls(relay->http, relay->config->certificate, relay->config->key, ca_roots(relay->ca), err);
        if (r == 0)
                r = announce(relay, places.data, err);
        buffer_free(&places);
        if (r < 0)
                return r;
        handover_keep(relay->handover);
        clock_start(relay);
        loop_timer_in(relay->purge_timer, PURGE_FIRST_MS);
        on_refresh(relay);
        relay_health_look(relay);
        sd_notify(0, "READY=1");
        log_info("started", KV_S("node", relay->config->node), KV_S("state_dir", relay->config->state_dir));
        relay_events_event(relay->events, NULL, "relay_started", NULL, NULL);
        return 0;
}

/* ---- reload, drain, stop ---- */

void relay_reload(void *arg)
{
        struct relay *relay = arg;
        const struct relay_config *c = relay->config;
        struct ca *ca = NULL;
        struct error err;

        sd_notify(0, "RELOADING=1");
        clock_trust(relay);
        nodes_reload(relay->nodes);
        if (ca_open(&ca, c->state_dir, c->node, loop_wall(relay->loop), &err) < 0 ||
            http_set_tls(relay->http, c->certificate, c->key, ca_roots(ca), &err) < 0) {
                log_error("reload_failed", KV_S("why", err.text));
                ca_free(ca);
        } else {
                ca_free(relay->ca);
                relay->ca = ca;
                log_info("reloaded", KV_S("certificate", c->certificate),
                         KV_I("transport_roots", sk_X509_num(ca_roots(ca))));
        }
        if (store_client_reload(relay->store, &err) < 0)
                log_error("reload_failed", KV_S("why", err.text));
        sd_notify(0, "READY=1");
}

void relay_drain(void *arg)
{
        struct relay *relay = arg;
        if (relay->draining || relay->moving || relay->settling)
                return;
        relay->drain_end = loop_now(relay->loop) + DRAIN_MS;
        relay->move_end = loop_now(relay->loop) + MOVE_MS;
        sd_notify(0, "STOPPING=1");
        log_info("draining", KV_U("in_flight", dispatch_in_flight(relay->dispatch, NULL)),
                 KV_U("links", relay->n_sessions));
        if (handover_is_kept(relay->handover)) {
                relay->settling = true;
        } else {
                relay->moving = true;
                http_drain(relay->http);
                dispatch_drain(relay->dispatch, true);
                if (!sessions_move(relay))
                        drain(relay);
        }
        loop_timer_in(relay->drain_timer, DRAIN_LOOK_MS);
}

void relay_stop(struct relay *relay)
{
        struct tenant *t;

        if (relay->http)
                http_stop_listening(relay->http);
        LIST_FOREACH (t, &relay->tenants, entry)
                sessions_close(t);
        relay->http = http_free(relay->http);
        relay->handover = handover_free(relay->handover);
        relay->enrolments = turns_free(relay->enrolments);
        relay->renewals = turns_free(relay->renewals);
        relay->metering = metering_free(relay->metering);
        relay->nodes = nodes_free(relay->nodes);
        relay->dispatch = dispatch_free(relay->dispatch);
        relay->journal = journal_free(relay->journal);
        relay_events_event(relay->events, NULL, "relay_stopped", NULL, NULL);
        relay->events = relay_events_free(relay->events);
        while ((t = LIST_FIRST(&relay->tenants)))
                tenant_free(t);
        table_clear(&relay->by_name);
        table_clear(&relay->members);
        table_clear(&relay->revoked);
        table_clear(&relay->sessions);
        table_clear(&relay->lineages);
        relay->ca = ca_free(relay->ca);
        for (size_t i = 0; i < sizeof(relay->signals) / sizeof(relay->signals[0]); i++)
                relay->signals[i] = loop_signal_free(relay->signals[i]);
        relay->drain_timer = loop_timer_free(relay->drain_timer);
        relay->purge_timer = loop_timer_free(relay->purge_timer);
        relay->refresh_timer = loop_timer_free(relay->refresh_timer);
        relay->health_timer = loop_timer_free(relay->health_timer);
        /* last: what the others gave it is written before it ends, while nothing else is left to happen in the loop */
        relay->store = store_client_free(relay->store);
        relay->config = relay_config_free(relay->config);
}
