/*
 * Sessions: the event stream of each linked connector, from hello to the end.
 *
 * Owns struct session and the requests in it that have not left: while earlier bytes of the stream are
 * unsent, a request stays here, so taking it back is certain. Its sequence number and remaining budget are
 * written when it leaves. A session says nothing on its own but heartbeats; what it hears comes through
 * report.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"

#define HEARTBEAT_MS 10000
#define DEAD_AFTER_MS(report_) ((report_) / 5 * 12) /* without a report that was due so often */
/* The connection for it may have to wait behind many handshakes; who drops a link for that has one handshake more. */
#define FIRST_REPORT_MS 60000
#define REPORT_SHARE_MS 6 /* of a link: reports of idle ones are 170 a second at most, however many there are */
/* Links come back by a schedule: all within a minute, no more a second than their handshakes allow, few at once. */
#define RECONNECT_MIN_MS 100
#define RECONNECT_LEAST_MS 1000
#define RECONNECT_MOST_MS 60000
#define LINKS_PER_SECOND 200
#define LEAVE_MS 2000 /* a connector that was asked to leave, before the next one is */
#define EVENTS_MAX (512 * 1024)

struct waiting {
        TAILQ_ENTRY(waiting) entry;
        struct request_event event; /* sealed is owned */
        uint64_t deadline;
};

/* ---- events ---- */

static int append_event(struct buffer *out, const char *name, const char *data)
{
        int r = buffer_printf(out, "event: %s\ndata: ", name);

        r = r < 0 ? r : buffer_append_str(out, data);
        return r < 0 ? r : buffer_append_str(out, "\n\n");
}

int session_event(struct session *s, const char *name, const char *data)
{
        struct buffer out = BUFFER(EVENTS_MAX);
        int r = append_event(&out, name, data);

        if (r == 0)
                r = http_stream_send(s->r, out.data, out.len);
        else
                http_stream_abort(s->r);
        buffer_free(&out);
        return r;
}

static int append_request(struct session *s, struct request_event *event, struct buffer *out)
{
        struct buffer line = BUFFER(EVENT_MAX);

        event->seq = s->seq + 1;
        int r = request_event_encode(event, &line);
        if (r == 0)
                r = append_event(out, "request", line.data);
        buffer_free(&line);
        if (r == 0)
                s->seq++;
        return r;
}

static void send_roster(struct session *s)
{
        struct buffer json = BUFFER(EVENTS_MAX);

        if (!s->tenant->roster)
                return;
        if (buffer_printf(&json, "{\"jws\":\"%s\"}", s->tenant->roster->text) == 0)
                session_event(s, "roster", json.data);
        buffer_free(&json);
}

void sessions_send_roster(struct tenant *t)
{
        struct session *s;

        TAILQ_FOREACH (s, &t->sessions, entry)
                send_roster(s);
}

static uint32_t reconnect_max(const struct relay *relay)
{
        const uint64_t ms = (uint64_t)relay->n_sessions * 1000 / LINKS_PER_SECOND;

        return ms < RECONNECT_LEAST_MS ? RECONNECT_LEAST_MS : ms > RECONNECT_MOST_MS ? RECONNECT_MOST_MS : (uint32_t)ms;
}

static uint32_t report_ms(const struct session *s)
{
        const uint64_t share = clones_watched(s) ? 0 : REPORT_SHARE_MS * (uint64_t)s->relay->n_sessions;

        return share < HELLO_REPORT_DEFAULT ? HELLO_REPORT_DEFAULT
               : share > HELLO_REPORT_MAX   ? HELLO_REPORT_MAX
                                            : (uint32_t)share;
}

/* Links that came first know little of how many there are. */
static bool is_another(uint32_t now, uint32_t told)
{
        return now * 2 >= told * 3 || told * 2 >= now * 3;
}

void session_schedule(struct session *s, struct report_answer *answer)
{
        const uint32_t max = reconnect_max(s->relay), report = report_ms(s);

        if (is_another(max, s->reconnect_max)) {
                s->reconnect_max = max;
                answer->has_reconnect = true;
                answer->reconnect_min = RECONNECT_MIN_MS;
                answer->reconnect_max = max;
        }
        if (is_another(report, s->report_ms)) {
                s->report_ms = answer->report = report;
                dispatch_link_allow(s->link, DEAD_AFTER_MS(report));
        }
}

static int send_hello(struct session *s)
{
        const struct relay_config *c = s->relay->config;
        struct hello hello = {.now = loop_wall(s->relay->loop),
                              .heartbeat = HEARTBEAT_MS,
                              .report = s->report_ms,
                              .reconnect_min = RECONNECT_MIN_MS,
                              .reconnect_max = s->reconnect_max,
                              .roster_seq = s->tenant->roster ? s->tenant->roster->seq : 0};
        struct buffer json = BUFFER(EVENT_MAX);

        memcpy(hello.session, s->id, sizeof(hello.session));
        snprintf(hello.node, sizeof(hello.node), "%s", c->node);
        for (; hello.n_nodes < c->n_nodes && hello.n_nodes < HELLO_NODES_MAX; hello.n_nodes++)
                snprintf(hello.nodes[hello.n_nodes], sizeof(hello.nodes[0]), "%s", c->nodes[hello.n_nodes]);
        int r = hello_encode(&hello, &json);
        if (r == 0)
                r = session_event(s, "hello", json.data);
        buffer_free(&json);
        return r;
}

static void on_heartbeat(void *arg)
{
        struct session *s = arg;

        loop_timer_in(s->heartbeat, HEARTBEAT_MS);
        http_stream_send(s->r, ": hb\n\n", 6);
}

/* ---- requests ---- */

static struct waiting *waiting_free(struct session *s, struct waiting *w)
{
        TAILQ_REMOVE(&s->waiting, w, entry);
        request_event_clear(&w->event);
        free(w);
        return NULL;
}

static int sink_request(void *arg, const struct request_event *event)
{
        struct session *s = arg;
        struct request_event copy = *event;
        struct buffer out = BUFFER(EVENTS_MAX);

        if (!http_stream_clear(s->r) || !TAILQ_EMPTY(&s->waiting)) {
                struct waiting *w = calloc(1, sizeof(*w));

                copy.sealed = NULL; /* it is the caller's */
                if (!w || text_set(&copy.sealed, event->sealed) < 0) {
                        free(w);
                        return -ENOMEM;
                }
                w->event = copy;
                w->deadline = loop_now(s->relay->loop) + event->budget;
                TAILQ_INSERT_TAIL(&s->waiting, w, entry);
                return 1;
        }
        int r = append_request(s, &copy, &out);
        if (r == 0)
                r = http_stream_send(s->r, out.data, out.len);
        buffer_free(&out);
        return r;
}

static bool sink_withdraw(void *arg, const char *id)
{
        struct session *s = arg;
        struct waiting *w;

        TAILQ_FOREACH (w, &s->waiting, entry) {
                if (strcmp(w->event.id, id) == 0) {
                        waiting_free(s, w);
                        return true;
                }
        }
        return false;
}

static void sink_cancel(void *arg, const char *id)
{
        struct session *s = arg;
        char json[ID_MAX + 16];

        snprintf(json, sizeof(json), "{\"id\":\"%s\"}", id);
        session_event(s, "cancel", json);
}

void session_drop(void *arg, const char *why)
{
        struct session *s = arg;

        log_info("link_dropped", KV_S("tenant", s->tenant->name), KV_S("connector", s->connector), KV_S("why", why));
        http_stream_abort(s->r);
}

/* The stream is clear: all that waited leaves as one write, each with the budget that is left. */
static void on_drained(void *arg)
{
        struct session *s = arg;
        struct waiting_list leaving = TAILQ_HEAD_INITIALIZER(leaving);
        struct buffer out = BUFFER(HTTP_PENDING_MAX);
        uint64_t now = loop_now(s->relay->loop);
        struct waiting *w;

        while ((w = TAILQ_FIRST(&s->waiting))) {
                w->event.budget = w->deadline > now ? (uint32_t)(w->deadline - now) : 1;
                if (out.len + EVENT_MAX > out.max || append_request(s, &w->event, &out) < 0)
                        break;
                TAILQ_REMOVE(&s->waiting, w, entry);
                TAILQ_INSERT_TAIL(&leaving, w, entry);
        }
        if (out.len)
                http_stream_send(s->r, out.data, out.len);
        buffer_free(&out);
        while ((w = TAILQ_FIRST(&leaving))) {
                char id[ID_MAX + 1];
                memcpy(id, w->event.id, sizeof(id));
                TAILQ_REMOVE(&leaving, w, entry);
                request_event_clear(&w->event);
                free(w);
                dispatch_link_sent(s->link, id);
        }
}

/* ---- life ---- */

/* The stream is gone, or never came to be. */
static void session_close(void *arg)
{
        struct session *s = arg;

        session_end_questions(s);
        TAILQ_REMOVE(&s->tenant->sessions, s, entry);
        table_remove(&s->by_id);
        s->tenant->n_sessions--;
        s->relay->n_sessions--;
        api_keys_touch(s->relay, s->tenant);
        if (s->link) {
                log_info("link_down", KV_S("tenant", s->tenant->name), KV_S("connector", s->connector),
                         KV_S("session", s->id));
                relay_events_event(s->relay->events, s->tenant->name, "link_down", s->connector, NULL);
                dispatch_link_gone(s->link);
        }
        while (!TAILQ_EMPTY(&s->waiting))
                waiting_free(s, TAILQ_FIRST(&s->waiting));
        loop_timer_free(s->heartbeat);
        free(s->realms);
        free(s);
}

struct session *session_find(const struct relay *relay, const char *id)
{
        return table_object(table_find(&relay->sessions, id, NULL), struct session, by_id);
}

const struct session *session_of_connector(const struct tenant *t, const char *connector)
{
        const struct session *s, *found = NULL;

        TAILQ_FOREACH (s, &t->sessions, entry) {
                if (strcmp(s->connector, connector) == 0 && (!found || s->n_realms))
                        found = s;
        }
        return found;
}

const struct far_link *connector_far(const struct tenant *t, const char *connector)
{
        const struct far_link *far, *found = NULL;

        LIST_FOREACH (far, &t->far, of_tenant)
                if (!far->leaving && strcmp(far->connector, connector) == 0 &&
                    (!found || (far->ready && !found->ready)))
                        found = far;
        return found;
}

void connector_realms(const struct tenant *t, const char *connector, realm_fn *fn, void *arg)
{
        const struct session *s = session_of_connector(t, connector);
        const struct far_link *far = s && s->n_realms ? NULL : connector_far(t, connector);
        const char *at = far ? far->realms : NULL, *line;
        char realm[257];
        size_t n;

        for (size_t i = 0; s && i < s->n_realms; i++)
                fn(arg, s->realms[i]);
        while (wire_lines_next(&at, &line, &n)) {
                if (n >= sizeof(realm))
                        continue;
                memcpy(realm, line, n);
                realm[n] = '\0';
                fn(arg, realm);
        }
}

bool connector_is_linked(const struct tenant *t, const char *connector, const char *boot)
{
        const struct session *s;
        const struct far_link *far;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (strcmp(s->connector, connector) == 0 && strcmp(s->boot, boot) == 0)
                        return !dispatch_link_is_quarantined(s->link);
        LIST_FOREACH (far, &t->far, of_tenant)
                if (!far->leaving && strcmp(far->connector, connector) == 0 && strcmp(far->boot, boot) == 0)
                        return !dispatch_link_is_quarantined(far->link);
        return false;
}

/*
 * A process holds one stream to a node, but for the seconds in which it changes its certificate, or in which a
 * connection that broke without a word has not been missed yet: once the newer one has reported, the older gets
 * nothing new, and what it has may still be answered there. One that goes on as if nothing had happened is
 * somebody else's (clones.c). A third of the same boot makes the oldest superfluous; of boots side by side the
 * newest few stay.
 */
static void shed_older(struct tenant *t, const char *connector, const char *boot)
{
        struct session *s, *oldest = NULL, *same = NULL;
        unsigned n = 0;

        TAILQ_FOREACH (s, &t->sessions, entry) {
                if (strcmp(s->connector, connector) != 0)
                        continue;
                n++;
                if (!oldest)
                        oldest = s;
                if (strcmp(s->boot, boot) != 0)
                        continue;
                if (same) {
                        clones_shed(same);
                        session_drop(same, "a newer session of the same boot");
                }
                same = s;
        }
        if (!same && n >= SESSIONS_PER_CONNECTOR && oldest) {
                clones_shed(oldest);
                session_drop(oldest, "a newer session of the same connector");
        }
}

void session_takes_over(struct session *s)
{
        struct session *older;

        if (s->took_over || s->superseded)
                return;
        s->took_over = true;
        TAILQ_FOREACH (older, &s->tenant->sessions, entry) {
                if (older == s)
                        break; /* those behind it are newer */
                if (older->superseded || strcmp(older->connector, s->connector) != 0 ||
                    strcmp(older->boot, s->boot) != 0)
                        continue;
                older->superseded = true;
                clones_replaced(older, s);
                dispatch_link_drain(older->link);
        }
}

/* As much of it as fits, and as is printable ASCII (RFC 9110, 10.1.5): terminals, metrics and answers show it. */
static void keep_agent(struct session *s, const char *agent)
{
        size_t n = 0;

        for (; agent && agent[n] >= ' ' && agent[n] <= '~' && n < sizeof(s->agent) - 1; n++)
                s->agent[n] = agent[n];
        s->agent[n] = '\0';
}

static struct session *session_new(struct relay *relay, struct http_req *r, const struct peer *peer, const char *boot)
{
        struct session *s = calloc(1, sizeof(*s));
        struct dispatch_peer to = {.tenant = peer->tenant->name,
                                   .connector = peer->connector.id,
                                   .boot = boot,
                                   .first_ms = FIRST_REPORT_MS};
        const struct dispatch_sink sink = {sink_request, sink_withdraw, sink_cancel, session_drop, s};

        if (!s)
                return NULL;
        s->relay = relay;
        s->tenant = peer->tenant;
        s->r = r;
        s->since = loop_wall(relay->loop);
        s->began = loop_now(relay->loop);
        memcpy(s->connector, peer->connector.id, sizeof(s->connector));
        s->report_ms = report_ms(s);
        s->reconnect_max = reconnect_max(relay);
        to.dead_ms = DEAD_AFTER_MS(s->report_ms);
        snprintf(s->boot, sizeof(s->boot), "%s", boot);
        keep_agent(s, http_header(r, "User-Agent"));
        TAILQ_INIT(&s->waiting);
        TAILQ_INSERT_TAIL(&peer->tenant->sessions, s, entry);
        peer->tenant->n_sessions++;
        relay->n_sessions++;
        if (id_generate(s->id) == 0 && loop_timer_new(&s->heartbeat, relay->loop, NULL, on_heartbeat, s) == 0 &&
            dispatch_link_new(&s->link, relay->dispatch, &to, &sink) == 0) {
                table_add(&relay->sessions, &s->by_id, s->id, NULL);
                return s;
        }
        session_close(s);
        return NULL;
}

void relay_link_stream(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct peer peer;
        struct session *s;
        char boot[64];
        uint8_t bytes[16];

        if (!relay_link_peer(relay, r, &peer))
                return;
        if (http_query_get(http_head(r)->query, "boot", boot, sizeof(boot)) < 0 ||
            b64u_decode_exact(bytes, sizeof(bytes), boot, strlen(boot)) < 0) {
                http_fail(r, PROBLEM_MALFORMED, "query boot must be the base64url of 16 bytes");
                return;
        }
        if (relay->draining || relay->moving) {
                http_fail(r, PROBLEM_DRAINING, NULL);
                return;
        }
        shed_older(peer.tenant, peer.connector.id, boot);
        if (peer.tenant->n_sessions >= relay->config->links_per_tenant) {
                http_problem(r, &(struct problem){.type = PROBLEM_BUSY,
                                                  .detail = "too many links of this tenant",
                                                  .retry_after = 10});
                return;
        }
        s = session_new(relay, r, &peer, boot);
        if (!s) {
                http_fail(r, PROBLEM_INTERNAL, "no memory for a session");
                return;
        }
        log_info("link_up", KV_S("tenant", s->tenant->name), KV_S("connector", s->connector),
                 KV_S("name", peer.connector.name), KV_S("session", s->id), KV_S("peer", http_peer(r)));
        relay_events_event(relay->events, s->tenant->name, "link_up", s->connector, http_peer(r));
        s->credential = peer.credential;
        (void)snprintf(s->peer, sizeof(s->peer), "%s", http_peer(r));
        clones_check_in(s);
        http_on_close(r, session_close, s);
        http_stream_begin(r, on_drained);
        loop_timer_in(s->heartbeat, HEARTBEAT_MS);
        if (send_hello(s) == 0)
                send_roster(s);
}

/* ---- going down ---- */

static void ask_to_leave(struct session *s)
{
        /* whose next start has the sockets waits in no queue but its own */
        const uint32_t max = handover_is_kept(s->relay->handover) ? s->relay->n_sessions * 1000 / LINKS_PER_SECOND
                                                                  : reconnect_max(s->relay);
        char json[64];

        if (s->asked_at)
                return;
        s->asked_at = loop_now(s->relay->loop);
        snprintf(json, sizeof(json), "{\"reconnect\":[0,%u]}", max);
        dispatch_link_drain(s->link);
        session_event(s, "drain", json);
}

void sessions_drain(struct relay *relay)
{
        struct tenant *t;
        struct session *s;

        LIST_FOREACH (t, &relay->tenants, entry) {
                TAILQ_FOREACH (s, &t->sessions, entry)
                        ask_to_leave(s);
        }
}

bool sessions_are_gone(const struct relay *relay, const struct tenant *t)
{
        const struct session *s;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (!s->asked_at)
                        return false;
        return relay->draining || relay->moving;
}

bool sessions_move(struct relay *relay)
{
        const uint64_t now = loop_now(relay->loop);
        struct tenant *t;
        struct session *s;

        LIST_FOREACH (t, &relay->tenants, entry) {
                const char *next = NULL; /* the connector that is to leave next */
                bool one_is_leaving = false;

                TAILQ_FOREACH (s, &t->sessions, entry) {
                        one_is_leaving |= s->asked_at && now - s->asked_at < LEAVE_MS;
                        next = next || s->asked_at ? next : s->connector;
                }
                TAILQ_FOREACH (s, &t->sessions, entry)
                        if (next && !one_is_leaving && strcmp(s->connector, next) == 0)
                                ask_to_leave(s);
        }
        return relay->n_sessions > 0;
}

void session_send_back(struct session *s)
{
        log_info("link_sent_back", KV_S("tenant", s->tenant->name), KV_S("connector", s->connector));
        session_event(s, "drain", "{\"reconnect\":[0,500]}");
        http_stream_end(s->r);
        session_close(s);
}

void sessions_close(struct tenant *t)
{
        struct session *s;

        while ((s = TAILQ_FIRST(&t->sessions))) {
                http_stream_end(s->r);
                session_close(s);
        }
}
