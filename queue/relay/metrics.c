/*
 * The relay's metrics: how sign-ins ended for each tenant, and what its links, rosters and certificates are like now,
 * served on a UNIX socket (`metrics_socket`, GET /metrics) in Prometheus's text form.
 *
 * It has a server of its own, so that nothing of this can be asked on a listening port. Labels are names of tenants
 * and connectors, which only the operator and the tenant's key make, words of tables, and a few versions.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/metrics/metrics.h"
#include "queue/relay/relay.h"

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif
#define TEXT_MAX (4 * 1024 * 1024)
#define SCRAPERS_MAX 16
#define VERSIONS_MAX 15

/* How the sign-ins, or the questions, of one tenant ended; between answered and cancelled: problems. */
struct ends {
        uint64_t n, outcomes[METERED_OUTCOMES];
        struct metrics_times answered;
};
struct tenant_counts {
        LIST_ENTRY(tenant_counts) entry;
        char name[TENANT_MAX + 1];
        struct ends sign_ins, questions;
};

struct metering {
        struct relay *relay;
        struct http *http;
        LIST_HEAD(, tenant_counts) tenants;
};

/* ---- counting ---- */

static struct tenant_counts *counts_of(struct metering *metering, const char *tenant)
{
        struct tenant_counts *c;

        LIST_FOREACH (c, &metering->tenants, entry)
                if (strcmp(c->name, tenant) == 0)
                        return c;
        c = calloc(1, sizeof(*c));
        if (c) {
                memcpy(c->name, tenant, strnlen(tenant, TENANT_MAX));
                LIST_INSERT_HEAD(&metering->tenants, c, entry);
        }
        return c;
}

void metering_note(struct metering *metering, const char *tenant, const struct store_sign_in *row)
{
        struct tenant_counts *c = metering ? counts_of(metering, tenant) : NULL;
        const size_t problem = problem_of_word(row->problem, PROBLEM_TYPES_);
        const bool answered = problem == PROBLEM_TYPES_ && strcmp(row->state, "cancelled") != 0;
        const size_t outcome = answered ? METERED_ANSWER : problem; /* where there is none: cancelled */

        if (!c)
                return;
        c->sign_ins.outcomes[outcome]++;
        if (outcome == METERED_ANSWER && row->answered >= 0)
                metrics_observe(&c->sign_ins.answered, (uint64_t)row->answered);
}

void metering_note_question(struct metering *metering, const char *tenant, size_t outcome, uint64_t ms)
{
        struct tenant_counts *c = metering ? counts_of(metering, tenant) : NULL;

        if (!c)
                return;
        c->questions.n++;
        c->questions.outcomes[outcome]++;
        if (outcome == METERED_ANSWER)
                metrics_observe(&c->questions.answered, ms);
}

void metering_forget(struct metering *metering, const char *tenant)
{
        struct tenant_counts *c = metering ? LIST_FIRST(&metering->tenants) : NULL, *next;

        for (; c; c = next) {
                next = LIST_NEXT(c, entry);
                if (strcmp(c->name, tenant) != 0)
                        continue;
                LIST_REMOVE(c, entry);
                free(c);
        }
}

/* ---- the text ---- */

static void put_outcomes(struct metrics *m, const struct tenant_counts *c, const struct ends *ends,
                         const char *answered)
{
        for (size_t i = 0; i < METERED_OUTCOMES; i++)
                if (ends->outcomes[i] || i == METERED_ANSWER)
                        metrics_put(m, (double)ends->outcomes[i], "tenant", c->name, "outcome",
                                    i == METERED_ANSWER      ? answered
                                    : i == METERED_CANCELLED ? "cancelled"
                                                             : problem_word((enum problem_type)i),
                                    METRICS_END);
}

static void put_sign_ins(struct metrics *m, const struct metering *metering)
{
        const uint64_t *problems = http_view(metering->relay->http).problems;
        const struct tenant_counts *c;

        metrics_begin(m, "postern_relay_sign_ins_total", METRICS_COUNTER,
                      "Sign-ins that a tenant's service brought, by what it was answered: a verdict, or the problem.");
        LIST_FOREACH (c, &metering->tenants, entry)
                put_outcomes(m, c, &c->sign_ins, "verdict");
        metrics_begin(m, "postern_relay_sign_in_seconds", METRICS_HISTOGRAM,
                      "From the request of a service to the verdict.");
        LIST_FOREACH (c, &metering->tenants, entry)
                metrics_put_times(m, &c->sign_ins.answered, "tenant", c->name, METRICS_END);
        metrics_begin(m, "postern_relay_problems_total", METRICS_COUNTER,
                      "Refusals to anybody, of every endpoint, by the problem that was answered.");
        for (enum problem_type p = PROBLEM_MALFORMED; p < PROBLEM_TYPES_; p++)
                metrics_put(m, (double)problems[p], "problem", problem_word(p), METRICS_END);
}

/* Of those tenants alone whose people ask. */
static void put_questions(struct metrics *m, const struct metering *metering)
{
        const struct tenant_counts *c;

        metrics_begin(
                m, "postern_relay_questions_total", METRICS_COUNTER,
                "Questions that a tenant's people asked connectors, by what came of them: an answer, or the problem.");
        LIST_FOREACH (c, &metering->tenants, entry)
                if (c->questions.n)
                        put_outcomes(m, c, &c->questions, "answer");
        metrics_begin(m, "postern_relay_question_seconds", METRICS_HISTOGRAM,
                      "From a person's question to its answer.");
        LIST_FOREACH (c, &metering->tenants, entry)
                if (c->questions.n)
                        metrics_put_times(m, &c->questions.answered, "tenant", c->name, METRICS_END);
        metrics_one(m, "postern_relay_questions_waiting", METRICS_GAUGE, "Questions under way.",
                    relay_questions_waiting(metering->relay));
}

enum link_number { LINK_READY = 0, LINK_CREDIT, LINK_IN_HAND, LINK_NOT_AFTER, LINK_NUMBERS };

/* A connector's links, put together: one that reconnects has two for a while. */
struct linked {
        const char *connector, *name; /* borrowed */
        double numbers[LINK_NUMBERS];
};
struct linked_list {
        struct linked *all;
        size_t n, max;
};

static struct linked *linked_get(struct linked_list *list, const char *connector)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->all[i].connector, connector) == 0)
                        return &list->all[i];
        if (list->n == list->max)
                return NULL;
        list->all[list->n] = (struct linked){.connector = connector, .name = ""};
        return &list->all[list->n++];
}

static void add_view(void *arg, const struct dispatch_view *view)
{
        struct linked *linked = view->far ? NULL : linked_get(arg, view->connector);

        if (!linked)
                return;
        linked->numbers[LINK_READY] = fmax(linked->numbers[LINK_READY], view->ready);
        linked->numbers[LINK_CREDIT] += (double)view->credit;
        linked->numbers[LINK_IN_HAND] += (double)view->in_hand;
}

/* Who of the tenant is linked; all: room for one for each session. */
static void collect(const struct relay *relay, const struct tenant *t, struct linked_list *list)
{
        const struct session *s;

        dispatch_links(relay->dispatch, t->name, add_view, list);
        TAILQ_FOREACH (s, &t->sessions, entry) {
                struct linked *linked = linked_get(list, s->connector);
                const struct roster_member *member = t->roster ? tenant_connector_by_id(t->roster, s->connector) : NULL;

                if (!linked)
                        continue;
                linked->name = member ? member->name : "";
                linked->numbers[LINK_NOT_AFTER] =
                        fmax(linked->numbers[LINK_NOT_AFTER], (double)s->credential.not_after);
        }
}

static const struct {
        const char *name, *help;
} link_families[LINK_NUMBERS] = {
        [LINK_READY] = {"postern_relay_link_ready", "1: the connector is linked and would get work now, credit aside."},
        [LINK_CREDIT] = {"postern_relay_link_credit", "Sign-ins that it would take further."},
        [LINK_IN_HAND] = {"postern_relay_link_in_hand", "Sign-ins that it has."},
        [LINK_NOT_AFTER] = {"postern_relay_link_certificate_not_after_seconds", "When its transport certificate ends."},
};

static void put_links(struct metrics *m, const struct relay *relay)
{
        const struct tenant *t;

        for (enum link_number f = 0; f < LINK_NUMBERS; f++) {
                metrics_begin(m, link_families[f].name, METRICS_GAUGE, link_families[f].help);
                LIST_FOREACH (t, &relay->tenants, entry) {
                        struct linked_list list = {.max = t->n_sessions};
                        list.all = calloc(t->n_sessions + 1, sizeof(*list.all));
                        if (list.all)
                                collect(relay, t, &list);
                        for (size_t i = 0; i < list.n; i++)
                                metrics_put(m, list.all[i].numbers[f], "tenant", t->name, "connector",
                                            list.all[i].connector, "name", list.all[i].name, METRICS_END);
                        free(list.all);
                }
        }
}

/* Of which versions the connectors are that are linked here. A connector calls itself what it likes, so there is a
 * bound: the rest are "other". */
static void put_versions(struct metrics *m, const struct relay *relay)
{
        static const char other[] = "other";
        struct {
                const char *name;
                double n;
        } versions[VERSIONS_MAX + 1] = {{NULL, 0}};
        const struct tenant *t;
        const struct session *s;

        LIST_FOREACH (t, &relay->tenants, entry)
                TAILQ_FOREACH (s, &t->sessions, entry) {
                        const char *name = s->agent[0] ? s->agent : "not told";
                        size_t i = strcmp(name, other) == 0 ? VERSIONS_MAX : 0;

                        if (session_of_connector(t, s->connector) != s)
                                continue;
                        while (i < VERSIONS_MAX && versions[i].name && strcmp(versions[i].name, name) != 0)
                                i++;
                        versions[i].name = i < VERSIONS_MAX ? name : other;
                        versions[i].n++;
                }
        metrics_begin(m, "postern_relay_connectors", METRICS_GAUGE, "Connectors that are linked here, by version.");
        for (size_t i = 0; i <= VERSIONS_MAX; i++)
                if (versions[i].name)
                        metrics_put(m, versions[i].n, "version", versions[i].name, METRICS_END);
}

static void put_tenants(struct metrics *m, const struct relay *relay)
{
        const struct tenant *t;

        metrics_begin(m, "postern_relay_links", METRICS_GAUGE, "Streams of the tenant's connectors.");
        LIST_FOREACH (t, &relay->tenants, entry)
                metrics_put(m, t->n_sessions, "tenant", t->name, METRICS_END);
        metrics_begin(m, "postern_relay_keys_waiting", METRICS_GAUGE, "Services that wait for changes of its keys.");
        LIST_FOREACH (t, &relay->tenants, entry)
                metrics_put(m, api_keys_waiting(t), "tenant", t->name, METRICS_END);
        metrics_begin(m, "postern_relay_roster_not_after_seconds", METRICS_GAUGE,
                      "When the tenant's roster ends: its sign-ins end with it.");
        LIST_FOREACH (t, &relay->tenants, entry)
                if (t->roster)
                        metrics_put(m, (double)t->roster->exp, "tenant", t->name, METRICS_END);
        put_links(m, relay);
        put_versions(m, relay);
}

/* What went over between the nodes, where there are several. */
static void put_nodes(struct metrics *m, const struct relay *relay)
{
        const struct nodes_view view = nodes_view(relay->nodes);
        const struct nodes_counts *c = view.counts;

        metrics_one(m, "postern_relay_nodes", METRICS_GAUGE, "Nodes that this one knows to live, itself included.",
                    view.live);
        if (!c)
                return;
        metrics_one(m, "postern_relay_dispatch_connected", METRICS_GAUGE,
                    "0: dispatch is on NATS, and no server is there: each node has only its own links.",
                    view.fault == NULL);
        metrics_begin(m, "postern_relay_hops_total", METRICS_COUNTER,
                      "Sign-ins between nodes. To others: offered, granted (they claimed it), refused. From others: "
                      "claimed, taken (its grant came), stale (it came late). stray: verdicts that another node waited "
                      "for.");
        metrics_put(m, (double)c->offered, "way", "out", "what", "offered", METRICS_END);
        metrics_put(m, (double)c->granted, "way", "out", "what", "granted", METRICS_END);
        metrics_put(m, (double)c->refused, "way", "out", "what", "refused", METRICS_END);
        metrics_put(m, (double)c->claimed, "way", "in", "what", "claimed", METRICS_END);
        metrics_put(m, (double)c->taken, "way", "in", "what", "taken", METRICS_END);
        metrics_put(m, (double)c->stale, "way", "in", "what", "stale", METRICS_END);
        metrics_put(m, (double)c->strays, "way", "out", "what", "stray", METRICS_END);
        metrics_begin(m, "postern_relay_questions_passed_total", METRICS_COUNTER,
                      "Questions of people between nodes, for connectors that are linked to one of them.");
        metrics_put(m, (double)c->questions_out, "way", "out", METRICS_END);
        metrics_put(m, (double)c->questions_in, "way", "in", METRICS_END);
        metrics_one(m, "postern_relay_node_messages_refused_total", METRICS_COUNTER,
                    "Messages on dispatch's subjects that are none of a node.", (double)c->bad);
}

static void put_certificate(struct metrics *m, const char *name, const char *help, X509 *cert)
{
        char serial[CA_SERIAL_MAX];
        int64_t not_before, not_after;

        if (cert && ca_cert_facts(cert, serial, &not_before, &not_after) == 0)
                metrics_one(m, name, METRICS_GAUGE, help, (double)not_after);
}

static void put_certificates_asked(struct metrics *m, const struct relay *relay)
{
        metrics_begin(m, "postern_relay_certificates_waiting", METRICS_GAUGE,
                      "Connectors that wait for a transport certificate.");
        metrics_put(m, turns_waiting(relay->enrolments), "kind", "enrolment", METRICS_END);
        metrics_put(m, turns_waiting(relay->renewals), "kind", "renewal", METRICS_END);
        metrics_begin(m, "postern_relay_certificates_put_off_total", METRICS_COUNTER,
                      "Requests for one that were answered 202: ask again later.");
        metrics_put(m, (double)turns_put_off(relay->enrolments), "kind", "enrolment", METRICS_END);
        metrics_put(m, (double)turns_put_off(relay->renewals), "kind", "renewal", METRICS_END);
}

/* Of each of the table whether it is so now, and the room on the disk. */
static void put_faults(struct metrics *m, const struct relay *relay)
{
        const struct relay_fault_info *info;
        struct statvfs fs;

        metrics_begin(
                m, "postern_relay_fault", METRICS_GAUGE,
                "1: the relay has this fault now; stops: connectors or services cannot use it, or it cannot start.");
        for (size_t i = 0; (info = relay_fault_at(i)); i++) {
                bool is_so = false;

                for (size_t k = 0; k < relay->faults.n; k++)
                        is_so |= relay->faults.all[k].info == info;
                metrics_put(m, is_so, "code", info->code, "level", info->stops ? "stops" : "warns", METRICS_END);
        }
        if (statvfs(relay->config->state_dir, &fs) == 0)
                metrics_one(m, "postern_relay_disk_free_bytes", METRICS_GAUGE, "Room on the disk of state_dir.",
                            (double)fs.f_bavail * (double)fs.f_frsize);
}

static void put_all(struct metrics *m, const struct metering *metering)
{
        const struct relay *relay = metering->relay;

        metrics_begin(m, "postern_relay_build_info", METRICS_GAUGE, "Always 1; the labels say what runs.");
        metrics_put(m, 1, "version", POSTERN_VERSION, "node", relay->config->node, METRICS_END);
        put_sign_ins(m, metering);
        put_questions(m, metering);
        put_tenants(m, relay);
        put_nodes(m, relay);
        metrics_one(m, "postern_relay_in_flight", METRICS_GAUGE, "Sign-ins under way.",
                    (double)dispatch_in_flight(relay->dispatch, NULL));
        put_certificates_asked(m, relay);
        metrics_one(m, "postern_relay_connections", METRICS_GAUGE, "Connections to the listening addresses.",
                    http_view(relay->http).connections);
        metrics_one(m, "postern_relay_connections_max", METRICS_GAUGE, "`connections` of the configuration.",
                    relay->config->connections);
        put_certificate(m, "postern_relay_certificate_not_after_seconds", "When the server's certificate in use ends.",
                        http_tls_cert(relay->http));
        put_certificate(m, "postern_relay_ca_not_after_seconds", "When the transport CA ends.", ca_cert(relay->ca));
        put_faults(m, relay);
        metrics_one(m, "postern_relay_clock_doubtful", METRICS_GAUGE, "1: the host's clock has jumped.",
                    relay->clock.doubtful);
        metrics_one(m, "postern_relay_store_writable", METRICS_GAUGE,
                    "0: the store is on NATS, and too few servers are there: nobody enrols, no roster changes.",
                    store_client_state(relay->store)->writable);
        metrics_one(m, "postern_relay_store_waiting", METRICS_GAUGE,
                    "Revocations, quarantines and events that the other nodes are to hear of.",
                    (double)store_client_state(relay->store)->waiting);
        relay_events_metrics(relay->events, m);
        metrics_one(m, "postern_relay_draining", METRICS_GAUGE, "1: it is going down.", relay->draining);
}

/* ---- the socket ---- */

static void on_get(void *arg, struct http_req *r)
{
        struct metrics m = METRICS(TEXT_MAX);

        put_all(&m, arg);
        if (m.code == 0)
                http_reply(r, 200, METRICS_TYPE, m.text.data, m.text.len);
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory for the metrics");
        buffer_free(&m.text);
}

int metering_new(struct metering **ret_metering, struct relay *relay, struct error *err)
{
        static const struct http_route routes[] = {{HTTP_GET, "/metrics", on_get, 0}};
        const struct relay_config *c = relay->config;
        struct metering *metering = calloc(1, sizeof(*metering));
        struct http_config config = {.loop = relay->loop, .routes = routes, .n_routes = 1, .arg = metering};

        if (!metering)
                return error_fail(err, -ENOMEM, "no memory");
        metering->relay = relay;
        LIST_INIT(&metering->tenants);
        config.limits = HTTP_LIMITS;
        config.limits.connections = SCRAPERS_MAX;
        int r = http_new(&metering->http, &config, err);
        if (r == 0 && c->metrics_socket)
                r = http_listen_unix(metering->http, c->metrics_socket, c->metrics_group, err);
        if (r < 0)
                metering_free(metering);
        else
                *ret_metering = metering;
        return r;
}

struct metering *metering_free(struct metering *metering)
{
        if (!metering)
                return NULL;
        while (!LIST_EMPTY(&metering->tenants))
                metering_forget(metering, LIST_FIRST(&metering->tenants)->name);
        metering->http = http_free(metering->http);
        free(metering);
        return NULL;
}
