/*
 * Links and statements of connectors: telling the other nodes of those here, and keeping those that they tell of.
 *
 * Owns struct told and struct far_link. Invariants: what changed is told once the change has settled, and no faster
 * than the bus takes it; each message has the next number, so that whoever missed one knows, and asks for all; a
 * statement counts only if it verifies here, as if the connector itself had brought it. A link that its node says is
 * no more gets nothing new; what it has in hand stays that node's to answer.
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/nodes-internal.h"

#define GATHER_MS 50
#define TELL_ALL_MS 1000 /* between two tellings of all */
#define QUEUE_FULL 256   /* messages that wait to leave: the rest is told later */
#define RETRY_MS 100
#define BOOTS_MAX 4 /* of one connector at one node: an old one that goes, a new one that comes */

/* ---- telling ---- */

static struct told *told_of(struct nodes *n, struct tenant *t, const struct session *s)
{
        char key[ID_MAX + BOOT_LEN + 2];
        struct told *told;

        (void)snprintf(key, sizeof(key), "%s/%s", s->connector, s->boot);
        told = table_object(table_find(&n->told, key, t->name), struct told, by_key);
        if (told || !(told = calloc(1, sizeof(*told))))
                return told;
        memcpy(told->key, key, sizeof(told->key));
        memcpy(told->connector, s->connector, sizeof(told->connector));
        memcpy(told->boot, s->boot, sizeof(told->boot));
        table_add(&n->told, &told->by_key, told->key, t->name);
        LIST_INSERT_HEAD(&t->told_far, told, entry);
        return told;
}

static void told_free(struct told *told)
{
        table_remove(&told->by_key);
        LIST_REMOVE(told, entry);
        free(told);
}

static void begin_about(const struct nodes *n, struct msg_out *m, enum nodes_frame type, const struct tenant *t,
                        const char *connector)
{
        nodes_begin(n, m, type);
        msg_str(m, NODES_TAG_TENANT, t->name);
        msg_str(m, NODES_TAG_CONNECTOR, connector);
}

/* With the next number, unless it cannot leave. */
static int send_numbered(struct nodes *n, struct msg_out *m)
{
        msg_u64(m, NODES_TAG_SEQ, n->seq + 1);
        const int r = bus_send(n->bus, NULL, 0, m);

        n->seq += r == 0;
        return r;
}

/* Sends what is another than was told last, whose hash it is; with the age of a session, which is another each time. */
static int send_changed(struct nodes *n, struct msg_out *m, uint8_t hash[32], const struct session *aged)
{
        uint8_t now[SHA256_DIGEST_LENGTH];

        SHA256(m->data, m->len, now);
        if (memcmp(now, hash, sizeof(now)) == 0)
                return 0;
        if (aged)
                msg_u64(m, NODES_TAG_AGE, loop_now(n->relay->loop) - aged->began);
        const int r = send_numbered(n, m);
        if (r == 0)
                memcpy(hash, now, sizeof(now));
        return r;
}

static int tell_link(struct nodes *n, const struct tenant *t, struct told *told)
{
        const struct session *s = told->best;
        char lines[NODES_LINES_MAX] = "";
        struct msg_out m;
        size_t len = 0;

        for (size_t i = 0; i < s->n_realms && len + strlen(s->realms[i]) + 2 < sizeof(lines); i++)
                len += (size_t)snprintf(lines + len, sizeof(lines) - len, "%s%s", i ? "\n" : "", s->realms[i]);
        begin_about(n, &m, NODES_LINK, t, told->connector);
        msg_str(&m, NODES_TAG_BOOT, told->boot);
        msg_u64(&m, NODES_TAG_READY, dispatch_link_is_ready(s->link));
        msg_str(&m, NODES_TAG_REALMS, lines);
        wire_lines_cut(lines, sizeof(lines), dispatch_link_reasons(s->link));
        msg_str(&m, NODES_TAG_REASONS, lines);
        msg_str(&m, NODES_TAG_AGENT, s->agent);
        msg_str(&m, NODES_TAG_PEER, s->peer);
        return send_changed(n, &m, told->link, s);
}

static int tell_statement(struct nodes *n, const struct tenant *t, struct told *told)
{
        const struct announced *a = tenant_announced(t, told->connector);
        struct msg_out m;

        if (!a || strcmp(a->statement->boot, told->boot) != 0)
                return 0;
        begin_about(n, &m, NODES_STATEMENT, t, told->connector);
        msg_str(&m, NODES_TAG_STATEMENT, a->statement->text);
        return send_changed(n, &m, told->statement, NULL);
}

void nodes_tell_statement(struct nodes *nodes, const struct tenant *t, const char *connector, const char *text)
{
        struct msg_out m;

        if (!nodes)
                return;
        begin_about(nodes, &m, NODES_STATEMENT, t, connector);
        msg_str(&m, NODES_TAG_STATEMENT, text);
        (void)send_numbered(nodes, &m);
}

static int tell_gone(struct nodes *n, const struct tenant *t, struct told *told)
{
        static const uint8_t never[sizeof(told->link)];
        struct msg_out m;
        int r = 0;

        begin_about(n, &m, NODES_GONE, t, told->connector);
        msg_str(&m, NODES_TAG_BOOT, told->boot);
        if (memcmp(told->link, never, sizeof(never)) != 0)
                r = send_numbered(n, &m);
        if (r == 0)
                told_free(told);
        return r;
}

/* -errno: not all could be told. */
static int tell_tenant(struct nodes *n, struct tenant *t)
{
        struct told *told, *next;
        struct session *s;
        int r = 0;

        LIST_FOREACH (told, &t->told_far, entry)
                told->best = NULL;
        TAILQ_FOREACH (s, &t->sessions, entry) {
                if (!s->link || !(told = told_of(n, t, s)))
                        continue;
                /* of a connector's sessions one speaks that is ready, one that serves something, the first */
                const struct session *best = told->best;
                const bool ready = dispatch_link_is_ready(s->link), other = best && dispatch_link_is_ready(best->link);
                if (!best || (ready != other ? ready : s->n_realms > 0 && best->n_realms == 0))
                        told->best = s;
        }
        for (told = LIST_FIRST(&t->told_far); told && r == 0; told = next) {
                next = LIST_NEXT(told, entry);
                if (!told->best) {
                        r = tell_gone(n, t, told);
                        continue;
                }
                r = tell_link(n, t, told);
                if (r == 0)
                        r = tell_statement(n, t, told);
        }
        return r;
}

static void on_gathered(void *arg)
{
        struct nodes *n = arg;
        struct tenant *t;
        struct msg_out m;

        while (bus_is_connected(n->bus) && bus_queued(n->bus) < QUEUE_FULL && (t = TAILQ_FIRST(&n->untold))) {
                if (tell_tenant(n, t) < 0)
                        break;
                TAILQ_REMOVE(&n->untold, t, untold);
                t->is_untold = false;
        }
        if (TAILQ_EMPTY(&n->untold) && n->telling_all) { /* that was all */
                nodes_begin(n, &m, NODES_TOLD);
                msg_u64(&m, NODES_TAG_FROM, n->told_from);
                n->telling_all = send_numbered(n, &m) < 0;
        }
        if (!TAILQ_EMPTY(&n->untold) || n->telling_all)
                loop_timer_in(n->gather, RETRY_MS);
}

static void touch(struct nodes *n, struct tenant *t)
{
        if (t->is_untold)
                return;
        t->is_untold = true;
        TAILQ_INSERT_TAIL(&n->untold, t, untold);
}

void nodes_touch(struct nodes *nodes, struct tenant *t)
{
        if (!nodes)
                return;
        touch(nodes, t);
        if (!loop_timer_armed(nodes->gather))
                loop_timer_in(nodes->gather, GATHER_MS);
}

void nodes_tell_all(struct nodes *n)
{
        const uint64_t now = loop_now(n->relay->loop);
        struct tenant *t;
        struct told *told;

        if (n->telling_all || (n->told_all_at && now - n->told_all_at < TELL_ALL_MS)) /* he asks again */
                return;
        n->told_all_at = now;
        n->telling_all = true;
        n->told_from = n->seq + 1;
        LIST_FOREACH (t, &n->relay->tenants, entry) {
                LIST_FOREACH (told, &t->told_far, entry) {
                        memset(told->link, 0, sizeof(told->link));
                        memset(told->statement, 0, sizeof(told->statement));
                }
                if (!TAILQ_EMPTY(&t->sessions) || !LIST_EMPTY(&t->told_far))
                        touch(n, t);
        }
        loop_timer_in(n->gather, 0);
}

/* ---- what others tell ---- */

/* Once: an honest relay is far from it. */
static void tell_crowd(const struct node *node)
{
        struct nodes *n = node->nodes;

        if (!n->links_told)
                log_error("too_many_far_links", KV_S("node", node->name), KV_U("links", n->n_links),
                          KV_U("bytes", n->n_lines), KV_S("consequence", "others are not known here"));
        n->links_told = true;
}

/* Over the bound there are none, as where there is no memory. */
static void set_lines(struct far_link *far, char **lines, const char *text)
{
        struct nodes *n = far->node->nodes;
        const size_t before = *lines ? strlen(*lines) : 0;

        n->n_lines -= before;
        free(*lines);
        *lines = text[0] && n->n_lines + strlen(text) <= NODES_LINES_ALL_MAX ? strdup(text) : NULL;
        n->n_lines += *lines ? strlen(*lines) : 0;
}

void nodes_far_free(struct far_link *far)
{
        struct relay *relay = far->node->nodes->relay;
        struct tenant *t = far->tenant;

        TAILQ_REMOVE(&far->node->links, far, of_node);
        far->node->n_links--;
        far->node->nodes->n_links--;
        LIST_REMOVE(far, of_tenant);
        dispatch_link_gone(far->link); /* takes back what was only offered */
        nodes_offers_drop(far);
        api_keys_touch(relay, t);
        set_lines(far, &far->realms, "");
        set_lines(far, &far->reasons, "");
        free(far);
}

static struct far_link *far_find(const struct node *node, const struct tenant *t, const char *connector,
                                 const char *boot, unsigned *ret_n)
{
        struct far_link *far, *found = NULL;

        *ret_n = 0;
        LIST_FOREACH (far, &t->far, of_tenant) {
                if (far->node != node || strcmp(far->connector, connector) != 0)
                        continue;
                (*ret_n)++;
                if (strcmp(far->boot, boot) == 0)
                        found = far;
        }
        return found;
}

static struct far_link *far_new(struct node *node, struct tenant *t, const char *connector, const char *boot)
{
        struct relay *relay = node->nodes->relay;
        struct far_link *far = calloc(1, sizeof(*far));
        struct dispatch_sink sink = nodes_sink;

        if (!far)
                return NULL;
        sink.arg = far;
        memcpy(far->connector, connector, sizeof(far->connector));
        memcpy(far->boot, boot, sizeof(far->boot));
        TAILQ_INIT(&far->offers);
        far->node = node;
        far->tenant = t;
        if (dispatch_link_new(&far->link, relay->dispatch,
                              &(struct dispatch_peer){
                                      .tenant = t->name, .connector = far->connector, .boot = far->boot, .far = true},
                              &sink) < 0) {
                free(far);
                return NULL;
        }
        TAILQ_INSERT_TAIL(&node->links, far, of_node);
        node->n_links++;
        node->nodes->n_links++;
        LIST_INSERT_HEAD(&t->far, far, of_tenant);
        if (tenant_is_quarantined(relay, t, connector))
                dispatch_link_quarantine(far->link, true);
        return far;
}

static void take_lines(struct far_link *far, char **lines, const struct msg_in *m, uint8_t tag)
{
        char text[NODES_LINES_MAX + 1] = "";

        (void)msg_get_str(m, tag, text, sizeof(text));
        set_lines(far, lines, text);
        if (text[0] && !*lines)
                tell_crowd(far->node);
}

/* Readiness and reasons, for dispatch. */
static void far_state(struct far_link *far)
{
        char reasons[REPORT_REASONS_MAX][64];
        struct dispatch_state state = {.ready = far->ready && !far->leaving, .reasons = (const char(*)[64])reasons};
        const char *at = far->reasons, *line;
        size_t n;

        while (state.n_reasons < REPORT_REASONS_MAX && wire_lines_next(&at, &line, &n)) {
                n = n < sizeof(reasons[0]) ? n : sizeof(reasons[0]) - 1;
                memcpy(reasons[state.n_reasons], line, n);
                reasons[state.n_reasons++][n] = '\0';
        }
        dispatch_link_state(far->link, &state);
}

static void take_link(struct node *node, struct tenant *t, const char *connector, const struct msg_in *m)
{
        const uint64_t age = msg_get_u64(m, NODES_TAG_AGE, 0), now = loop_now(node->nodes->relay->loop);
        char boot[BOOT_LEN + 1];
        unsigned n;

        if (!nodes_frames_boot(m, boot))
                return;
        struct far_link *far = far_find(node, t, connector, boot, &n);
        const bool crowded = node->n_links >= NODES_LINKS_MAX || node->nodes->n_links >= NODES_LINKS_ALL_MAX;
        if (!far && crowded)
                tell_crowd(node);
        if (!far && n < BOOTS_MAX && !crowded)
                far = far_new(node, t, connector, boot);
        if (!far)
                return;
        (void)msg_get_str(m, NODES_TAG_AGENT, far->agent, sizeof(far->agent));
        (void)msg_get_str(m, NODES_TAG_PEER, far->peer, sizeof(far->peer));
        take_lines(far, &far->realms, m, NODES_TAG_REALMS);
        take_lines(far, &far->reasons, m, NODES_TAG_REASONS);
        far->ready = msg_get_u64(m, NODES_TAG_READY, 0) == 1;
        far->leaving = false;
        far->began = age < now ? now - age : 0;
        far->seq = node->seq;
        far_state(far);
        api_keys_touch(node->nodes->relay, t);
}

/* What it has in hand its node still answers. */
static void far_leave(struct far_link *far)
{
        if (TAILQ_EMPTY(&far->offers)) {
                nodes_far_free(far);
                return;
        }
        far->leaving = true;
        far_state(far);
        api_keys_touch(far->node->nodes->relay, far->tenant);
}

static void take_gone(struct node *node, struct tenant *t, const char *connector, const struct msg_in *m)
{
        char boot[BOOT_LEN + 1];
        unsigned n;
        struct far_link *far = nodes_frames_boot(m, boot) ? far_find(node, t, connector, boot, &n) : NULL;

        if (far)
                far_leave(far);
}

static void take_statement(struct node *node, struct tenant *t, const char *connector, const struct msg_in *m)
{
        struct relay *relay = node->nodes->relay;
        char text[STATEMENT_TEXT_MAX + 1];
        struct error err;

        if (msg_get_str(m, NODES_TAG_STATEMENT, text, sizeof(text)) < 0)
                return;
        if (tenant_put_statement(relay, t, connector, text, &err) == 0)
                api_keys_touch(relay, t);
        else
                log_debug("statement_ignored", KV_S("tenant", t->name), KV_S("connector", connector),
                          KV_S("node", node->name), KV_S("why", err.text));
}

/* All that there is was told since from: what was not is no more. */
static void take_told(struct node *node, uint64_t from)
{
        struct far_link *far, *next;

        if (node->unbroken > from) /* some of it is missing */
                return;
        for (far = TAILQ_FIRST(&node->links); far; far = next) {
                next = TAILQ_NEXT(far, of_node);
                if (far->seq < from && !far->leaving)
                        far_leave(far);
        }
        node->whole = true;
        node->asked_at = 0;
}

void nodes_take_directory(struct node *node, const struct msg_in *m)
{
        const uint64_t seq = msg_get_u64(m, NODES_TAG_SEQ, 0);
        char name[TENANT_MAX + 1], connector[ID_MAX + 1];
        struct tenant *t;

        if (seq != node->seq + 1) {
                node->unbroken = seq;
                node->whole = false;
        }
        node->seq = seq;
        if (m->type == NODES_TOLD) {
                take_told(node, msg_get_u64(m, NODES_TAG_FROM, 0));
                return;
        }
        if (!nodes_frames_tenant(m, name) || !nodes_frames_id(m, NODES_TAG_CONNECTOR, connector))
                return;
        if (tenant_get(node->nodes->relay, name, &t) < 0) { /* made this moment, and not told here yet */
                node->unbroken = seq + 1;
                node->whole = false;
        } else if (m->type == NODES_LINK) {
                take_link(node, t, connector, m);
        } else if (m->type == NODES_GONE) {
                take_gone(node, t, connector, m);
        } else {
                take_statement(node, t, connector, m);
        }
}

/* ---- what the relay asks, and life ---- */

void nodes_quarantine(struct nodes *nodes, struct tenant *t, const char *connector, bool quarantined)
{
        struct far_link *far;

        (void)nodes;
        LIST_FOREACH (far, &t->far, of_tenant)
                if (strcmp(far->connector, connector) == 0)
                        dispatch_link_quarantine(far->link, quarantined);
}

void nodes_forget_tenant(struct nodes *nodes, struct tenant *t)
{
        if (!nodes)
                return;
        while (!LIST_EMPTY(&t->far))
                nodes_far_free(LIST_FIRST(&t->far));
        while (!LIST_EMPTY(&t->told_far))
                told_free(LIST_FIRST(&t->told_far));
        if (t->is_untold)
                TAILQ_REMOVE(&nodes->untold, t, untold);
        t->is_untold = false;
}

const char *far_node_name(const struct far_link *far)
{
        return far->node->name;
}

const char *far_node_run(const struct far_link *far)
{
        return far->node->run;
}

int nodes_directory_new(struct nodes *n)
{
        return loop_timer_new(&n->gather, n->relay->loop, NULL, on_gathered, n);
}

void nodes_directory_clear(struct nodes *n)
{
        struct tenant *t;

        LIST_FOREACH (t, &n->relay->tenants, entry)
                nodes_forget_tenant(n, t);
        table_clear(&n->told);
        loop_timer_free(n->gather);
}
