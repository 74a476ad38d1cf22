/*
 * The links of the process: one to each relay node, and one more while a certificate changes hands or a node is left.
 *
 * The first goes to the relay that is configured. Its hello names the nodes, and each of those gets a link of its own,
 * so that a node that dies costs what was on its link and no more. The configured address may be a node's, or one
 * behind which any node answers; its link is then left once a named node has heard the connector. Only what looks like
 * the relay's own is believed, for a hostile relay would have connectors call whatever is inside their network.
 *
 * Invariants: a node has one line that serves, at most; so has whatever calls itself by one name, for two streams of
 * one process at one node take its place from each other. The capacities of the links together are at most twice the
 * validator's, whose own limit decides. What is sent over a link is not this file's matter.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/enrol/transport.h"
#include "certs/http/https.h"
#include "certs/keys/key-holder.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/link/bridge.h"

/*
 * The old link serves until the relay has heard the new one, for before that the new one gets nothing; but not for
 * ever: where only the relay's answers are lost, it is replaced there, and one that goes on 30 s later is taken for a
 * clone's.
 */
#define OLD_SERVES_MS 10000
#define OLD_LINK_MS 18000    /* then, longer than any request may take */
#define BEGIN_AGAIN_MS 30000 /* without any node: the configured address may know others */
#define LAST_ANSWERS_MS 600  /* of a validator whose supervisor is gone; the rest of its last second is for reports */
#define LINES_MAX (3 * HELLO_NODES_MAX) /* those that are being left included: a relay that names others each time */

/* ---- looking ---- */

struct line *lines_of(const struct node *node, enum line_role role)
{
        struct line *line;

        TAILQ_FOREACH (line, &node->b->lines, entry)
                if (line->node == node && line->role == role)
                        return line;
        return NULL;
}

struct line *lines_best(const struct bridge *b)
{
        struct line *line, *best = NULL;

        TAILQ_FOREACH (line, &b->lines, entry)
                if (line->role == LINE_SERVES && link_view(line->link).up &&
                    (!best || (line->node->named && !best->node->named)))
                        best = line;
        return best;
}

struct line *lines_next_with(struct bridge *b, const struct line *after, const char *id)
{
        struct line *line = after ? TAILQ_NEXT(after, entry) : TAILQ_FIRST(&b->lines);

        while (line && !link_knows(line->link, id))
                line = TAILQ_NEXT(line, entry);
        return line;
}

static bool has_line(const struct node *node)
{
        const struct line *line;

        TAILQ_FOREACH (line, &node->b->lines, entry)
                if (line->node == node)
                        return true;
        return false;
}

/* The node at that host and port, however its URL is spelt. */
static struct node *node_at(const struct bridge *b, const char *url)
{
        char host[256], other[256];
        uint16_t port, other_port;
        struct node *node;

        if (https_split_url(url, host, &port) < 0)
                return NULL;
        TAILQ_FOREACH (node, &b->nodes, entry)
                if (https_split_url(node->url, other, &other_port) == 0 && other_port == port &&
                    strcasecmp(other, host) == 0)
                        return node;
        return NULL;
}

/* ---- making and ending ---- */

static struct line *line_free(struct line *line)
{
        TAILQ_REMOVE(&line->node->b->lines, line, entry);
        link_free(line->link);
        free(line);
        return NULL;
}

/* Unstarted, with the state that the others show. */
static int line_new(struct line **ret_line, struct node *node, enum line_role role, struct error *err)
{
        struct bridge *b = node->b;
        const struct line *other = TAILQ_FIRST(&b->lines);
        struct line *line = calloc(1, sizeof(*line));
        struct link_config config = {.loop = b->process.loop,
                                     .relay = node->url,
                                     .boot = b->boot,
                                     .cert_pem = b->cert.data,
                                     .key_pem = b->held ? NULL : b->key.data,
                                     .key = b->held,
                                     .host = b->host,
                                     .proxy = b->config->proxy,
                                     .callbacks = &bridge_callbacks,
                                     .arg = line};
        int r;

        if (!line)
                return error_fail(err, -ENOMEM, "out of memory");
        line->node = node;
        line->role = role;
        r = link_new(&line->link, &config, err);
        if (r == 0 && other && link_inherit(line->link, other->link) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        if (r < 0) {
                link_free(line->link);
                free(line);
                return r;
        }
        TAILQ_INSERT_TAIL(&b->lines, line, entry);
        *ret_line = line;
        return 0;
}

static struct node *node_free(struct node *node)
{
        TAILQ_REMOVE(&node->b->nodes, node, entry);
        free(node->url);
        free(node);
        return NULL;
}

/* With a line that serves, unstarted. */
static int node_new(struct node **ret_node, struct bridge *b, const char *url, struct error *err)
{
        struct node *node = calloc(1, sizeof(*node));
        struct line *line;
        int r;

        if (!node || text_set(&node->url, url) < 0) {
                free(node);
                return error_fail(err, -ENOMEM, "out of memory");
        }
        node->b = b;
        node->why = LINK_DOWN_TRANSPORT;
        (void)snprintf(node->detail, sizeof(node->detail), "not connected yet");
        TAILQ_INSERT_TAIL(&b->nodes, node, entry);
        r = line_new(&line, node, LINE_SERVES, err);
        if (r < 0)
                node_free(node);
        else
                *ret_node = node;
        return r;
}

void lines_init(struct bridge *b)
{
        TAILQ_INIT(&b->nodes);
        TAILQ_INIT(&b->lines);
}

int lines_begin(struct bridge *b, struct error *err)
{
        const char *relay = b->config->relay ? b->config->relay : b->relay;
        struct node *node;

        if (!relay || !b->cert.len || (!b->key.len && !b->held))
                return error_fail(err, -EINVAL, "the supervisor did not hand over everything (%s)",
                                  !relay         ? FILE_ENROLMENT
                                  : !b->cert.len ? FILE_TRANSPORT_CERT
                                                 : FILE_TRANSPORT_KEY);
        if (relay != b->relay && text_set(&b->relay, relay) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        return node_at(b, b->relay) ? 0 : node_new(&node, b, b->relay, err);
}

void lines_start(struct bridge *b)
{
        struct line *line;

        TAILQ_FOREACH (line, &b->lines, entry)
                link_start(line->link); /* does nothing with one that was started */
}

void lines_clear(struct bridge *b)
{
        struct line *line;
        struct node *node;

        while ((line = TAILQ_FIRST(&b->lines)))
                line_free(line);
        while ((node = TAILQ_FIRST(&b->nodes)))
                node_free(node);
}

/* ---- capacity ---- */

uint32_t lines_share(const struct bridge *b)
{
        const struct line *line;
        uint32_t n = 0;

        TAILQ_FOREACH (line, &b->lines, entry)
                n += line->role == LINE_SERVES;
        return n <= 2 || b->capacity < n ? b->capacity : 2 * b->capacity / n;
}

static void share_capacity(struct bridge *b)
{
        const uint32_t share = lines_share(b);
        struct line *line;

        TAILQ_FOREACH (line, &b->lines, entry)
                link_set_capacity(line->link, share);
}

/* ---- nodes that the relay names ---- */

/* A new one gets what may be any node's: sign-ins that a validator has from the life of another link process. */
static int add_node(struct bridge *b, const char *url, struct node **ret_node, struct error *err)
{
        const struct line *line, *other = TAILQ_FIRST(&b->lines);
        struct line *made;
        size_t n = 0;

        TAILQ_FOREACH (line, &b->lines, entry)
                n++;
        int r = n < LINES_MAX ? node_new(ret_node, b, url, err)
                              : error_fail(err, -EBUSY, "too many nodes are being left still");
        if (r < 0)
                return r;
        log_info("link.node", KV_S("relay", url));
        made = lines_of(*ret_node, LINE_SERVES);
        if (made && other && link_share(made->link, other->link, false) < 0)
                log_warning("link.node", KV_S("why", "no memory for what it may wait for"));
        if (made)
                link_start(made->link);
        return 0;
}

/* Whether one before it is on the same host: it would end with that one. */
static bool host_was_named(const char (*urls)[257], size_t at)
{
        char host[256], other[256];
        uint16_t port;

        if (https_split_url(urls[at], host, &port) < 0)
                return true;
        for (size_t i = 0; i < at; i++)
                if (https_split_url(urls[i], other, &port) == 0 && strcasecmp(host, other) == 0)
                        return true;
        return false;
}

static bool is_loopback(const char *host)
{
        struct in_addr v4;

        return strcmp(host, "::1") == 0 || (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

bool lines_may_name(const char *relay, const char *url)
{
        char host[256], own[256];
        struct in_addr v4;
        uint16_t port;

        if (https_split_url(url, host, &port) < 0 || https_split_url(relay, own, &port) < 0)
                return false;
        if (strcasecmp(host, own) == 0 || (is_loopback(host) && is_loopback(own)))
                return true;
        const char *domain = strchr(own, '.'), *beside = strchr(host, '.');
        if (!domain || !beside || beside == host || strchr(own, ':') || inet_aton(own, &v4) || inet_aton(host, &v4))
                return false;
        const char *second = strchr(domain + 1, '.');
        return second && second[1] && strcasecmp(beside, domain) == 0;
}

static void learn_nodes(struct bridge *b, const struct link *link)
{
        const struct link_view view = link_view(link);
        struct node *node, *next;
        struct error err = {""};
        bool foreign = false;

        if (view.n_nodes == 0 || b->ending)
                return;
        TAILQ_FOREACH (node, &b->nodes, entry)
                node->named = false;
        for (size_t i = 0; i < view.n_nodes; i++) {
                node = node_at(b, view.nodes[i]);
                if (!lines_may_name(b->relay, view.nodes[i])) {
                        foreign = true;
                        if (!b->foreign_logged)
                                log_warning("link.node_ignored", KV_S("relay", view.nodes[i]),
                                            KV_S("why", "it is not in the domain of the configured relay's host"),
                                            KV_S("configured", b->relay));
                } else if (host_was_named(view.nodes, i))
                        log_info("link.node_ignored", KV_S("relay", view.nodes[i]),
                                 KV_S("why", "the host has one already"));
                else if (node || add_node(b, view.nodes[i], &node, &err) == 0)
                        node->named = true;
                else
                        log_warning("link.node_ignored", KV_S("relay", view.nodes[i]), KV_S("why", err.text));
        }
        b->foreign_logged |= foreign;
        for (node = TAILQ_FIRST(&b->nodes); node; node = next) { /* ever new names would pile up */
                next = TAILQ_NEXT(node, entry);
                if (!node->named && !has_line(node))
                        node_free(node);
        }
        share_capacity(b);
}

/* It takes nothing new and goes once all that it has is answered. */
static void leave(struct line *line)
{
        line->role = LINE_OLD;
        link_drain(line->link, OLD_LINK_MS);
}

/* Another that serves and is up, and whose node calls itself by the same name. */
static struct line *twin_of(const struct node *node)
{
        struct line *line;

        TAILQ_FOREACH (line, &node->b->lines, entry)
                if (line->node != node && line->role == LINE_SERVES && link_view(line->link).up &&
                    strcmp(line->node->name, node->name) == 0)
                        return line;
        return NULL;
}

/* Two addresses lead to one node: the one that is named stays, of two of them the one that was there. */
static void leave_twin(struct line *line)
{
        struct node *node = line->node;
        struct line *other = twin_of(node);

        if (!other)
                return;
        log_warning("link.same_node", KV_S("node", node->name), KV_S("relay", node->url),
                    KV_S("and", other->node->url));
        if (node->named && !other->node->named) {
                leave(other);
                return;
        }
        leave(line);
        node->why = LINK_DOWN_STOPPED;
        (void)snprintf(node->detail, sizeof(node->detail), "it leads to the node %.64s, as %.200s does", node->name,
                       other->node->url);
}

/* What the relay names no more is left for what it names, once that hears this connector. */
static void leave_unnamed(struct bridge *b)
{
        struct line *line, *next;
        bool heard = false;

        TAILQ_FOREACH (line, &b->lines, entry)
                heard |= line->node->named && line->role == LINE_SERVES && link_view(line->link).heard;
        for (line = TAILQ_FIRST(&b->lines); heard && line; line = next) {
                next = TAILQ_NEXT(line, entry);
                if (line->node->named || line->role == LINE_OLD)
                        continue;
                if (line->role == LINE_NEXT)
                        line_free(line);
                else
                        leave(line);
        }
}

/* A named node that another address led to, too: perhaps it leads elsewhere by now. */
static void look_for_twins(struct bridge *b)
{
        struct error err = {""};
        struct node *node;
        struct line *line;

        TAILQ_FOREACH (node, &b->nodes, entry) {
                if (!node->named || has_line(node) || twin_of(node))
                        continue;
                line = NULL;
                if (line_new(&line, node, LINE_SERVES, &err) < 0 || !line)
                        log_warning("link.node", KV_S("relay", node->url), KV_S("why", err.text));
                else
                        link_start(line->link);
        }
}

/* ---- a new certificate ---- */

static void take_place(struct line *line)
{
        struct node *node = line->node;
        struct line *before = lines_of(node, LINE_SERVES);

        if (before) {
                before->role = LINE_OLD;
                node->old_serves = true;
                node->old_since = loop_now(node->b->process.loop);
        }
        line->role = LINE_SERVES;
}

static void let_old_end(struct node *node)
{
        struct line *line;

        node->old_serves = false;
        TAILQ_FOREACH (line, &node->b->lines, entry)
                if (line->node == node && line->role == LINE_OLD)
                        link_drain(line->link, OLD_LINK_MS);
}

void lines_drop_next(struct bridge *b)
{
        struct node *node;
        struct line *line;

        TAILQ_FOREACH (node, &b->nodes, entry)
                while ((line = lines_of(node, LINE_NEXT)))
                        line_free(line);
}

/* Without its holder no connection can be made more; a new start gets a new one. Where the supervisor is gone the
 * holder went with it, and the last words go by the connections that are there. */
static void on_holder(void *arg, int fd, int events)
{
        struct bridge *b = arg;

        (void)fd;
        (void)events;
        b->holder = loop_io_free(b->holder);
        if (!b->orphaned)
                process_stop(&b->process, 1, "postern-keyholder of the transport key has ended");
}

int lines_watch_holder(struct bridge *b)
{
        b->holder = loop_io_free(b->holder);
        return b->held ? loop_io_new(&b->holder, b->process.loop, NULL, key_holder_fd(b->held), LOOP_READ, on_holder, b)
                       : 0;
}

int lines_open_next(struct bridge *b, const struct buffer *text, struct key *held, struct error *err)
{
        struct buffer cert = BUFFER(b->cert.max);
        struct node *node;
        struct line *line;
        int r;

        TAILQ_FOREACH (line, &b->lines, entry)
                if (line->role == LINE_OLD)
                        return error_fail(err, -EBUSY, "the link before is not gone yet");
        lines_drop_next(b); /* to a node that has been away since the renewal before */
        r = transport_split(text, &b->key, &cert);
        if (r < 0) {
                buffer_free(&cert);
                return error_fail(err, r, "the new certificate cannot be taken apart");
        }
        buffer_free(&b->cert);
        b->cert = cert;
        if (held) { /* the links that are there keep the one before */
                key_free(b->held);
                b->held = key_ref(held);
                if (lines_watch_holder(b) < 0)
                        return error_fail(err, -ENOMEM, "out of memory");
        }
        TAILQ_FOREACH (node, &b->nodes, entry) {
                if (!lines_of(node, LINE_SERVES))
                        continue;
                line = NULL;
                r = line_new(&line, node, LINE_NEXT, err);
                if (r < 0 || !line) {
                        lines_drop_next(b);
                        return r;
                }
                link_start(line->link);
        }
        return 0;
}

/* ---- a node that is gone ---- */

static void share(struct line *to, const struct line *from)
{
        if (link_share(to->link, from->link, true) < 0)
                log_warning("link.not_shared", KV_S("relay", from->node->url), KV_S("with", to->node->url),
                            KV_S("why", "no memory, or no room"));
}

void lines_spread(void *arg)
{
        const struct line *line = arg;
        struct line *to;

        TAILQ_FOREACH (to, &line->node->b->lines, entry)
                if (to != line && to->role == LINE_SERVES && link_view(to->link).up)
                        share(to, line);
}

/* What went down before this one was there to take it up. */
static void take_spread(struct line *line)
{
        const struct line *from;

        TAILQ_FOREACH (from, &line->node->b->lines, entry)
                if (from != line && line->role == LINE_SERVES && !link_view(from->link).has_session)
                        share(line, from);
}

/* ---- what links say of themselves ---- */

static void tell_state(struct line *line, enum link_down why, const char *detail)
{
        struct node *node = line->node;
        const bool up = why == LINK_UP;
        char text[ERROR_TEXT_MAX + 300];

        node->why = why;
        wire_text_cut(node->detail, sizeof(node->detail), detail, strlen(detail));
        if (up != node->was_up || node->since == 0)
                node->since = loop_wall(node->b->process.loop);
        node->was_up = up;
        if (up)
                (void)snprintf(node->name, sizeof(node->name), "%s", link_view(line->link).node);
        if (up || why == LINK_DOWN_STOPPED || why == LINK_DOWN_DRAIN)
                log_info("link.state", KV_S("relay", node->url), KV_S("state", bridge_down_text(why)),
                         KV_S("detail", detail));
        else
                log_warning("link.state", KV_S("relay", node->url), KV_S("state", bridge_down_text(why)),
                            KV_S("detail", detail));
        (void)snprintf(text, sizeof(text), "%s (%.256s)", detail, node->url);
        bridge_event(node->b, up ? "link.up" : "link.down", text);
}

/* The first thing that a link hears of is its hello, before any request. An old one that lost its session comes back
 * only to deliver: what is ready twice takes the link from itself. */
void lines_state(void *arg, enum link_down why, const char *detail)
{
        struct line *line = arg;
        struct bridge *b = line->node->b;
        const bool is_next = line->role == LINE_NEXT;

        if (why != LINK_UP && !link_view(line->link).has_session)
                lines_spread(line);
        if (line->role == LINE_OLD || (is_next && why != LINK_UP)) {
                log_debug("link.other", KV_S("relay", line->node->url), KV_S("state", bridge_down_text(why)),
                          KV_S("detail", detail));
                if (line->role == LINE_OLD && why != LINK_UP && why != LINK_DOWN_STOPPED)
                        let_old_end(line->node);
                return;
        }
        if (is_next)
                take_place(line);
        tell_state(line, why, detail);
        if (why == LINK_UP) {
                learn_nodes(b, line->link);
                leave_twin(line);
                take_spread(line);
        }
        bridge_send_status(b);
        bridge_send_clock(b);
        if (is_next)
                renewal_link_up(b->renewal);
}

static void all_drained(struct bridge *b)
{
        if (b->orphaned)
                process_stop(&b->process, 0, "the relay knows what is lost");
        else
                process_drained(&b->process);
}

void lines_drained(void *arg)
{
        struct line *line = arg;
        struct node *node = line->node;
        struct bridge *b = node->b;

        log_debug("link.gone", KV_S("relay", node->url));
        line_free(line);
        if (!node->named && !has_line(node) && !b->ending)
                node_free(node);
        if (b->ending && TAILQ_EMPTY(&b->lines))
                all_drained(b);
        else
                bridge_send_status(b);
}

void lines_turn(struct bridge *b, uint64_t now)
{
        struct error err = {""};
        const struct line *serves;
        struct node *node;

        TAILQ_FOREACH (node, &b->nodes, entry) {
                serves = lines_of(node, LINE_SERVES);
                if (node->old_serves && serves &&
                    (link_view(serves->link).heard || now - node->old_since >= OLD_SERVES_MS))
                        let_old_end(node);
        }
        if (b->ending)
                return;
        leave_unnamed(b);
        look_for_twins(b);
        if (b->down_at && now - b->down_at >= BEGIN_AGAIN_MS && lines_begin(b, &err) == 0)
                lines_start(b);
        share_capacity(b);
}

/* ---- the end ---- */

void lines_drain(void *arg, uint64_t budget_ms)
{
        struct bridge *b = arg;
        struct line *line;

        b->ending = true;
        lines_drop_next(b); /* what they were made with is stored: the next start uses it */
        TAILQ_FOREACH (line, &b->lines, entry)
                link_drain(line->link, budget_ms);
        if (TAILQ_EMPTY(&b->lines))
                all_drained(b);
}

void lines_lose(void *arg)
{
        struct bridge *b = arg;
        struct line *line;

        TAILQ_FOREACH (line, &b->lines, entry)
                link_lost(line->link);
}

bool lines_last_words(void *arg)
{
        struct bridge *b = arg;
        struct line *line;
        size_t n = 0;

        TAILQ_FOREACH (line, &b->lines, entry)
                n += link_view(line->link).in_hand + link_view(line->link).undelivered;
        if (n == 0)
                return false;
        log_warning("supervisor.gone", KV_U("in_hand", n));
        b->orphaned = true;
        if (b->validator)
                loop_timer_in(b->last_words, LAST_ANSWERS_MS); /* its own end loses what it has, too */
        else
                lines_lose(b);
        lines_drain(b, PROCESS_LAST_WORDS_MS);
        return true;
}
