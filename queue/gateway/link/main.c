/*
 * postern-gateway-link: talks HTTPS to the relay's nodes, and holds the bearer secret; sees sealed bytes only.
 *
 * It sends each sealed request once. Where not a byte of it was given out, the next node gets it; in any doubt the
 * sealer hears of it and nobody else is asked. Keys are asked of each node until one gives them. It opens no file once
 * it runs.
 */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/secret.h"
#include "base/core/table.h"
#include "base/process/process.h"
#include "certs/codec/json.h"
#include "certs/http/https.h"
#include "certs/jose/sealed.h"
#include "certs/keys/self-test-tls.h"
#include "queue/gateway/config.h"
#include "queue/gateway/frames.h"
#include "queue/gateway/service.h"
#include "queue/link/host.h"
#include "queue/wire/wire.h"

#define SECURE_HEAP (1U << 17)
#define CA_MAX (1024 * 1024)
#define KEYS_MAX (4 * 1024 * 1024)
#define KEYS_TIMEOUT_MS 8000
#define KEYS_WAIT_MAX_MS 30000
#define STATE_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
#define CONNECT_MS 2000     /* where there is another node */
#define ASIDE_MS 10000      /* for so long a node that failed is the last to be asked */
#define BUDGET_LEAST_MS 100 /* with less left no other node is tried */
#define ABSENCE_MAX_MS (10 * 60 * UINT64_C(1000))
#define KEPT_MAX 256U  /* connections between sign-ins */
#define POSTS_MAX 8192 /* the sealer has a bound of its own, which is lower */

struct node {
        const char *url;
        uint64_t aside_until;
        bool doubted; /* it failed, and has answered nothing well since: no sign-in is the first to try it */
};

struct link {
        struct process process;
        struct gateway_config *config;
        struct service service;
        struct buffer secret, ca;
        struct ipc *sealer;
        int sealer_fd; /* until the start */
        struct link_host *host;
        struct https *https;
        struct node nodes[GATEWAY_RELAYS_MAX];
        size_t n_nodes;
        struct table posts;
        struct call *keys; /* under way, or NULL */
        uint64_t heard_at; /* when a node last answered */
        struct loop_timer *absence;
};

/* One question to the relay: a sealed request, or GET keys. */
struct call {
        struct link *link;
        struct table_node node; /* of posts */
        struct https_call *https;
        char id[ID_MAX + 1], etag[128], trace[64]; /* id: "" of GET keys; trace: a traceparent, or "" */
        struct buffer sealed;
        uint64_t deadline, budget_until;
        uint64_t wait_ms; /* GET keys waits so long for what changes */
        size_t at;        /* node that is asked */
        unsigned tried;   /* nodes, as bits */
};

static struct call *call_free(struct call *c)
{
        if (!c)
                return NULL;
        c->https = https_cancel(c->https);
        table_remove(&c->node);
        if (c->link->keys == c)
                c->link->keys = NULL;
        buffer_free(&c->sealed);
        free(c);
        return NULL;
}

/* ---- to the sealer ---- */

static void tell(struct link *l, const struct msg_out *m)
{
        if (l->sealer && ipc_send(l->sealer, m) < 0)
                process_stop(&l->process, 1, "cannot speak to the sealer");
}

static int send_keys(struct link *l, const struct buffer *answer)
{
        struct msg_out m;

        for (size_t at = 0, part = 0; at < answer->len; at += GATEWAY_PART_MAX, part++) {
                const size_t left = answer->len - at;

                msg_begin(&m, FRAME_KEYS);
                msg_u64(&m, TAG_PART, part);
                msg_u64(&m, TAG_TOTAL, answer->len);
                msg_bytes(&m, TAG_BYTES, answer->data + at, left < GATEWAY_PART_MAX ? left : GATEWAY_PART_MAX);
                tell(l, &m);
        }
        return 0;
}

/* The end of a call: status 0 with an errno and why, or what the node answered. */
static void report(struct call *c, long status, const struct buffer *answer, int code, const char *why)
{
        struct link *l = c->link;
        const bool keys = !*c->id;
        char type[128] = "", etag[128] = "";
        struct msg_out m;

        if (status && c->https) {
                https_header(c->https, "Content-Type", type, sizeof(type));
                https_header(c->https, "ETag", etag, sizeof(etag));
        }
        if (keys && status == 200 && answer)
                send_keys(l, answer);
        msg_begin(&m, keys ? FRAME_KEYS_END : FRAME_REPLY);
        if (!keys)
                msg_str(&m, TAG_ID, c->id);
        msg_u64(&m, TAG_STATUS, (uint64_t)status);
        if (keys && *etag)
                msg_str(&m, TAG_ETAG, etag);
        if (c->wait_ms)
                msg_u64(&m, TAG_TIMEOUT, c->wait_ms);
        if (!status) {
                char said[256];

                wire_text_cut(said, sizeof(said), why, strlen(why));
                msg_u64(&m, TAG_CODE, (uint64_t)-code);
                msg_str(&m, TAG_WHY, utf8_valid(said, strlen(said)) ? said : "");
        } else if (!keys || status != 200) {
                if (utf8_valid(type, strlen(type)))
                        msg_str(&m, TAG_TYPE, type);
                msg_bytes(&m, TAG_BODY, answer->data ? answer->data : "",
                          answer->len < GATEWAY_BODY_MAX ? answer->len : GATEWAY_BODY_MAX);
        }
        tell(l, &m);
        c->https = NULL;
        call_free(c);
}

/* ---- nodes ---- */

/* The first node that was not tried: one that works before one that failed, and the one that failed longest ago before
 * the others. Nodes are 4 at most. */
static bool choose_node(const struct call *c, size_t *ret_at)
{
        const uint64_t now = loop_now(c->link->process.loop);
        uint64_t least = UINT64_MAX;

        for (size_t i = 0; i < c->link->n_nodes; i++) {
                const struct node *n = &c->link->nodes[i];
                const uint64_t aside = n->aside_until > now ? n->aside_until : n->doubted && *c->id ? 1 : 0;

                if (c->tried & 1U << i || aside >= least)
                        continue;
                least = aside;
                *ret_at = i;
        }
        return least != UINT64_MAX;
}

static void set_aside(struct link *l, size_t at, const char *why)
{
        struct node *n = &l->nodes[at];
        const uint64_t now = loop_now(l->process.loop);

        if (n->aside_until <= now)
                log_warning("relay.aside", KV_S("node", n->url), KV_S("why", why), KV_U("for_ms", ASIDE_MS));
        n->aside_until = now + ASIDE_MS;
        n->doubted = true;
}

/* The query of GET keys: what changed since the keys in use, whose ETag is their state in quotes. */
static void since(const struct call *c, char *out, size_t cap)
{
        const size_t n = strspn(c->etag + (*c->etag == '"'), STATE_CHARS);

        out[0] = '\0';
        if (*c->etag == '"' && n > 0 && strcmp(c->etag + 1 + n, "\"") == 0)
                (void)snprintf(out, cap, "?since=%.*s&wait=%" PRIu64, (int)n, c->etag + 1, c->wait_ms);
}

static void start_call(struct call *c);

/* Whether the answer speaks against the node. To GET keys each fault does. To a sign-in a 503 does which says that
 * nobody started on it, and what is no answer of a relay: a proxy in front of a dead node answers so. */
static bool is_failed(const struct call *c, long status, const struct buffer *answer)
{
        char started[16] = "";
        struct json_reader p;

        if (status < 500 || !*c->id)
                return status >= 500;
        json_read_begin(&p, answer->len ? answer->data : "", answer->len, JSON_PLAIN, "problem", NULL);
        json_read_cut(&p, "started", started, sizeof(started));
        return json_read_end(&p, false) < 0 || !*started || (status == 503 && strcmp(started, "no") == 0);
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct call *c = arg;
        struct link *l = c->link;
        const int code = status ? 0 : https_failure(c->https);
        const uint64_t now = loop_now(l->process.loop);
        const bool keys = !*c->id, failed = !status || is_failed(c, status, answer);
        struct node *n = &l->nodes[c->at];
        char said[32];
        size_t next;

        if (status)
                l->heard_at = now;
        (void)snprintf(said, sizeof(said), "HTTP %ld", status);
        if (failed && (!status || l->n_nodes > 1))
                set_aside(l, c->at, status ? said : why);
        else if (status < 500)
                n->doubted = false;
        if (status && status < 500 && !keys) /* one that gives keys may yet take no sign-in */
                n->aside_until = 0;
        c->tried |= 1U << c->at;
        if (failed && (keys || code == -ECONNREFUSED) && choose_node(c, &next) && c->deadline > now + BUDGET_LEAST_MS) {
                c->https = NULL;
                start_call(c);
                return;
        }
        report(c, status, answer, code, status ? "" : why);
}

/* Asks the next node. The call is over behind it where none can be asked. */
static void start_call(struct call *c)
{
        struct link *l = c->link;
        const uint64_t now = loop_now(l->process.loop);
        const uint64_t budget = c->budget_until > now + BUDGET_LEFT_MIN ? c->budget_until - now : BUDGET_LEFT_MIN;
        const bool keys = !*c->id;
        char url[640], id[96], more[160], trace[80], query[160] = "";
        const char *headers[] = {id, more, NULL, NULL};
        const struct https_handlers handlers = {.on_done = on_done, .arg = c};
        struct https_request q = {.method = keys ? "GET" : "POST",
                                  .url = url,
                                  .bearer = l->secret.data,
                                  .content_type = keys ? NULL : SEALED_TYPE,
                                  .body = c->sealed.data,
                                  .body_len = c->sealed.len,
                                  .headers = keys ? headers + 1 : headers,
                                  .timeout_ms = c->deadline > now ? (uint32_t)(c->deadline - now) : 1,
                                  .max_body = keys ? KEYS_MAX : GATEWAY_BODY_MAX,
                                  .connect_ms = l->n_nodes > 1 ? CONNECT_MS : 0,
                                  .once = true,
                                  .keeps = !keys};
        const struct buffer none = BUFFER(0);
        struct error err = {"no relay node is left"};

        if (!choose_node(c, &c->at)) {
                report(c, 0, &none, -ECONNREFUSED, err.text);
                return;
        }
        if (keys)
                since(c, query, sizeof(query));
        (void)snprintf(url, sizeof(url), "%s/v1/tenants/%s/%s%s", l->nodes[c->at].url, l->service.tenant,
                       keys ? "keys" : "sign-ins", query);
        (void)snprintf(id, sizeof(id), "Postern-Id: %s", c->id);
        (void)snprintf(trace, sizeof(trace), "traceparent: %s", c->trace);
        if (*c->trace)
                headers[2] = trace;
        if (!keys)
                (void)snprintf(more, sizeof(more), "Postern-Budget: %llu", (unsigned long long)budget);
        else if (*c->etag)
                (void)snprintf(more, sizeof(more), "If-None-Match: %s", c->etag);
        else
                headers[1] = NULL;
        if (https_start(l->https, &c->https, &q, &handlers, &err) < 0)
                report(c, 0, &none, -ECONNREFUSED, err.text);
}

/* ---- from the sealer ---- */

static struct call *call_new(struct link *l)
{
        struct call *c = calloc(1, sizeof(*c));

        if (!c)
                process_stop(&l->process, 1, "out of memory");
        else
                c->link = l;
        return c;
}

static void take_post(struct link *l, const struct msg_in *m)
{
        const uint64_t now = loop_now(l->process.loop);
        size_t n;
        const uint8_t *sealed = msg_get_bytes(m, TAG_SEALED, &n);
        struct call *c = l->posts.n < POSTS_MAX ? call_new(l) : NULL;

        if (!c)
                return;
        c->sealed = BUFFER(SEALED_MAX);
        c->deadline = now + (msg_get_u64(m, TAG_TIMEOUT, 0) & 0xffff);
        c->budget_until = now + (msg_get_u64(m, TAG_BUDGET, 0) & 0xffff);
        if (msg_get_str(m, TAG_ID, c->id, sizeof(c->id)) < 0 || !id_valid(c->id, strlen(c->id)) ||
            table_find(&l->posts, c->id, NULL) || buffer_append(&c->sealed, sealed, n) < 0) {
                call_free(c);
                return;
        }
        if (msg_get_str(m, TAG_TRACE, c->trace, sizeof(c->trace)) < 0 || !wire_traceparent_valid(c->trace))
                c->trace[0] = '\0';
        table_add(&l->posts, &c->node, c->id, NULL);
        start_call(c);
}

static void take_want_keys(struct link *l, const struct msg_in *m)
{
        const uint64_t now = loop_now(l->process.loop);

        if (l->keys && l->keys->wait_ms)
                call_free(l->keys);
        if (l->keys || !(l->keys = call_new(l)))
                return;
        l->keys->wait_ms = msg_get_u64(m, TAG_TIMEOUT, 0) % KEYS_WAIT_MAX_MS;
        l->keys->deadline = l->keys->budget_until = now + KEYS_TIMEOUT_MS + l->keys->wait_ms;
        if (msg_get_str(m, TAG_ETAG, l->keys->etag, sizeof(l->keys->etag)) < 0)
                l->keys->etag[0] = '\0';
        start_call(l->keys);
}

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        struct link *l = arg;
        char id[ID_MAX + 1];

        closep(&fd);
        if (m->type == FRAME_POST)
                take_post(l, m);
        else if (m->type == FRAME_WANT_KEYS)
                take_want_keys(l, m);
        else if (m->type == FRAME_CANCEL && msg_get_str(m, TAG_ID, id, sizeof(id)) == 0)
                call_free(table_object(table_find(&l->posts, id, NULL), struct call, node));
}

static void drop_calls(struct link *l)
{
        struct table_node *node;

        while ((node = table_next(&l->posts, NULL)))
                call_free(table_object(node, struct call, node));
        call_free(l->keys);
}

/* Nobody is left who waits for any reply. */
static void on_sealer_closed(void *arg, const char *why)
{
        struct link *l = arg;

        log_debug("channel.closed", KV_S("to", "sealer"), KV_S("why", why));
        l->sealer = ipc_free(l->sealer);
        drop_calls(l);
}

static int open_sealer(struct link *l, int fd)
{
        l->sealer = ipc_free(l->sealer);
        drop_calls(l);
        return process_channel(&l->process, &l->sealer, GATEWAY_SEALER, fd, on_frame, on_sealer_closed, l);
}

/* ---- the process ---- */

static int on_config(void *arg, int fd, struct error *err)
{
        return gateway_config_of_child(&((struct link *)arg)->config, "link", fd, err);
}

static int on_file(void *arg, const char *name, int received, struct error *err)
{
        _cleanup_(closep) int fd = received;
        struct link *l = arg;
        int r = 0;

        if (strcmp(name, SERVICE_META) == 0)
                return gateway_service_read(&l->service, fd, err);
        if (strcmp(name, GATEWAY_FILE_SECRET) == 0) {
                r = fd_read_all(&l->secret, fd, err);
                while (r == 0 && l->secret.len && strchr(" \t\r\n", l->secret.data[l->secret.len - 1]))
                        l->secret.data[--l->secret.len] = '\0';
                if (r == 0 && l->secret.len == 0)
                        r = error_fail(err, -EINVAL, "%s is empty", l->service.secret_file);
        } else if (strcmp(name, GATEWAY_FILE_CA) == 0) {
                r = fd_read_all(&l->ca, fd, err);
                r = r < 0 ? r : ca_bundle_take(&l->ca, "the relay's CA file", NULL, NULL, err);
        }
        return r;
}

static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct link *l = arg;

        if (strcmp(name, "sealer") != 0) {
                (void)close(fd);
                return 0;
        }
        if (l->process.started)
                return open_sealer(l, fd) < 0 ? error_fail(err, -ENOMEM, "out of memory") : 0;
        closep(&l->sealer_fd);
        l->sealer_fd = fd;
        return 0;
}

/* It can open no file any more, so it would never see other name servers or new CAs: a new process reads them. */
static void look_at_absence(void *arg)
{
        struct link *l = arg;

        if (loop_now(l->process.loop) - l->heard_at >= ABSENCE_MAX_MS)
                process_stop(&l->process, 1,
                             "no relay for 10 minutes; starting again, with the name servers and CAs as they are now");
        else
                loop_timer_in(l->absence, ABSENCE_MAX_MS / 20);
}

static int add_node(struct link *l, const char *url, size_t n, struct error *err)
{
        char *own = l->n_nodes < GATEWAY_RELAYS_MAX ? strndup(url, n) : NULL;

        if (!own)
                return error_fail(err, -ENOMEM, "no memory, or over %d relay nodes", GATEWAY_RELAYS_MAX);
        while (n > 0 && own[n - 1] == '/')
                own[--n] = '\0';
        l->nodes[l->n_nodes++].url = own;
        link_host_learn(l->host, own);
        return 0;
}

static int set_up(struct link *l, struct error *err)
{
        /* as many connections as sign-ins are under way, or most of them would begin with a handshake */
        struct https_config https = {.agent = "postern-gateway",
                                     .keep = l->config->in_flight < KEPT_MAX ? (unsigned)l->config->in_flight
                                                                             : KEPT_MAX};
        int r = link_host_new(&l->host, l->process.loop, l->ca.data, l->config->proxy, err);

        if (r < 0)
                return r;
        https.cas = &l->host->cas;
        https.proxy_cas = &l->host->proxy_cas;
        https.proxy = l->config->proxy;
        r = https_new(&l->https, &https, err);
        r = r < 0 ? r : https_on_loop(l->https, l->process.loop, l->host->dns, err);
        for (size_t i = 0; r == 0 && i < l->config->n_relays; i++)
                r = add_node(l, l->config->relays[i], strlen(l->config->relays[i]), err);
        for (const char *at = l->service.relay; r == 0 && !l->config->n_relays && *(at += strspn(at, " "));) {
                const size_t n = strcspn(at, " ");

                r = add_node(l, at, n, err);
                at += n;
        }
        return r;
}

static int on_start(void *arg, const char *boot, const char *instance, struct error *err)
{
        static const struct confine_rules rules = {.process = "link", .needs = CONFINE_CONNECT};
        struct link *l = arg;
        int r = set_up(l, err);

        (void)boot;
        (void)instance;
        r = r < 0 ? r : process_confine(&l->process, &rules, l->config->confinement, err);
        if (r < 0 || l->process.check) {
                if (r == 0)
                        process_ready(&l->process);
                return r;
        }
        l->heard_at = loop_now(l->process.loop);
        if ((l->sealer_fd >= 0 && open_sealer(l, steal_fd(&l->sealer_fd)) < 0) ||
            loop_timer_new(&l->absence, l->process.loop, NULL, look_at_absence, l) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        look_at_absence(l);
        process_ready(&l->process);
        return 0;
}

static void clear(struct link *l)
{
        drop_calls(l);
        table_clear(&l->posts);
        l->sealer = ipc_free(l->sealer);
        closep(&l->sealer_fd);
        l->absence = loop_timer_free(l->absence);
        l->https = https_free(l->https);
        link_host_free(l->host);
        for (size_t i = 0; i < l->n_nodes; i++)
                free((char *)(uintptr_t)l->nodes[i].url);
        buffer_free(&l->secret);
        buffer_free(&l->ca);
        gateway_config_free(l->config);
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = on_config, .file = on_file, .peer = on_peer, .start = on_start};
        static struct link l = {.sealer_fd = -1};
        struct error err = {""};
        int code;

        l.secret = BUFFER_SECRET(1024);
        l.ca = BUFFER(CA_MAX);
        if (process_open(&l.process, &gateway_frames, GATEWAY_LINK, argc, argv, &ops, &l, &err) < 0 ||
            tls_self_test(&err) < 0 || secure_heap_init(SECURE_HEAP, &err) < 0)
                return process_fail("link", &err);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                error_fail(&err, -ENOMEM, "libcurl cannot be set up");
                return process_fail("link", &err);
        }
        code = process_run(&l.process);
        clear(&l);
        process_close(&l.process);
        curl_global_cleanup();
        return code;
}
