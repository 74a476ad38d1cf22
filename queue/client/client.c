/*
 * The blocking client: the transport of queue/seal's exchange, by https_do.
 *
 * It fetches keys and posts requests as it is told. What is sealed, believed and repeated is decided there.
 */
#include "queue/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "certs/jose/sealed.h"
#include "base/core/admin-text.h"
#include "base/core/text.h"

#define SECOND_TIMEOUT_MS 5000

struct client {
        struct https *https;
        struct sealer *sealer;
        char *nodes[CLIENT_NODES_MAX]; /* URLs of the relay's */
        size_t n_nodes, at;            /* at: the one that is asked */
        char *tenant, *bearer;
        char *roster_source;
        uint32_t budget_ms;
        void (*waits)(void *arg, bool begins);
        void *waits_arg;
};

static struct exchange_now now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (struct exchange_now){.ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
                                     .wall = time(NULL)};
}

struct client *client_free(struct client *c)
{
        if (!c)
                return NULL;
        c->https = https_free(c->https);
        c->sealer = sealer_free(c->sealer);
        if (c->bearer)
                wipe(c->bearer, strlen(c->bearer));
        for (size_t i = 0; i < c->n_nodes; i++)
                free(c->nodes[i]);
        free(c->tenant);
        free(c->bearer);
        free(c->roster_source);
        free(c);
        return NULL;
}

struct sealer *client_sealer(const struct client *c)
{
        return c->sealer;
}

const char *client_node(const struct client *c)
{
        return c->nodes[c->at];
}

size_t client_nodes(const struct client *c)
{
        return c->n_nodes;
}

/* Which one comes first is drawn: services spread over the nodes. */
static int copy_nodes(struct client *c, const char *urls)
{
        for (const char *at = urls + strspn(urls, " "); *at;) {
                size_t n = strcspn(at, " ");
                const char *next = at + n + strspn(at + n, " ");

                while (n > 0 && at[n - 1] == '/')
                        n--;
                if (c->n_nodes == CLIENT_NODES_MAX || n == 0)
                        return -EINVAL;
                c->nodes[c->n_nodes] = strndup(at, n);
                if (!c->nodes[c->n_nodes])
                        return -ENOMEM;
                c->n_nodes++;
                at = next;
        }
        c->at = c->n_nodes ? (size_t)loop_jitter(0, c->n_nodes - 1) : 0;
        return c->n_nodes ? 0 : -EINVAL;
}

static int copy_config(struct client *c, const struct client_config *config)
{
        int r = copy_nodes(c, config->relay);

        r = r < 0 ? r : text_set(&c->tenant, config->tenant);
        r = r < 0 ? r : text_set(&c->bearer, config->bearer);
        if (r == 0 && config->roster_source)
                r = text_set(&c->roster_source, config->roster_source);
        c->waits = config->waits;
        c->waits_arg = config->waits_arg;
        c->budget_ms = config->budget_ms ? config->budget_ms : BUDGET_DEFAULT;
        return r;
}

int client_new(struct client **ret_c, const struct client_config *config, struct error *err)
{
        const struct https_config https = {.ca_file = config->ca_file};
        const struct sealer_config sealer = {.sandbox = config->sandbox,
                                             .tenant = config->tenant,
                                             .pin = config->pin,
                                             .service_id = config->service_id,
                                             .service_key = config->service_key,
                                             .min_seq = config->min_seq,
                                             .roster_hash = config->roster_hash,
                                             .distrusted = config->distrusted,
                                             .n_distrusted = config->n_distrusted};
        _cleanup_(client_freep) struct client *c = NULL;
        int r;

        if (!config->relay || !config->pin || !config->bearer || !config->service_id || !config->service_key ||
            !config->tenant || !tenant_valid(config->tenant))
                return error_fail(err, -EINVAL, "relay, tenant, pin, bearer and the service's id and key are needed");
        if (config->budget_ms && (config->budget_ms < BUDGET_MIN || config->budget_ms > BUDGET_MAX))
                return error_fail(err, -EINVAL, "the budget must be %d to %d ms", BUDGET_MIN, BUDGET_MAX);
        c = calloc(1, sizeof(*c));
        r = c ? copy_config(c, config) : -ENOMEM;
        if (r < 0)
                return r == -EINVAL ? error_fail(err, r, "relay: 1 to %d URLs, with blanks between", CLIENT_NODES_MAX)
                                    : error_fail(err, r, "no memory");
        r = sealer_new(&c->sealer, &sealer, err);
        r = r < 0 ? r : https_new(&c->https, &https, err);
        if (r < 0)
                return r;
        *ret_c = steal(c);
        return 0;
}

/* ---- keys ---- */

static int ask(struct client *c, const struct https_request *request, struct https_response *response,
               struct error *err)
{
        if (c->waits)
                c->waits(c->waits_arg, true);
        const int r = https_do(c->https, request, response, err);
        if (c->waits)
                c->waits(c->waits_arg, false);
        return r;
}

/* The second source's roster, compact, without what an editor left around it. */
static int read_second(struct client *c, struct buffer *text, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {.body = BUFFER(0)};
        const struct https_request request = {
                .method = "GET", .url = c->roster_source, .max_body = ROSTER_TEXT_MAX, .timeout_ms = SECOND_TIMEOUT_MS};
        int r;

        if (strncmp(c->roster_source, "https://", 8) != 0)
                r = admin_text_read(text, c->roster_source, err);
        else if ((r = ask(c, &request, &response, err)) == 0)
                r = response.status == 200
                            ? buffer_append(text, response.body.data ? response.body.data : "", response.body.len)
                            : error_fail(err, -EBADMSG, "%s: HTTP %ld", c->roster_source, response.status);
        while (r == 0 && text->len > 0 && (text->data[text->len - 1] == '\n' || text->data[text->len - 1] == '\r'))
                text->data[--text->len] = '\0';
        return r < 0 ? error_prefix(err, r, "second source of the roster") : 0;
}

static int take_keys(struct client *c, const struct https_response *response, struct error *err)
{
        _cleanup_(buffer_free) struct buffer second = BUFFER(ROSTER_TEXT_MAX);
        const struct exchange_now at = now();
        struct sealer_keys keys = {.json = response->body.data ? response->body.data : "",
                                   .n = response->body.len,
                                   .etag = response->etag,
                                   .wall = at.wall,
                                   .now_ms = at.ms};
        int r = c->roster_source ? read_second(c, &second, err) : 0;

        if (r < 0)
                return r;
        keys.second = c->roster_source ? second.data : NULL;
        keys.n_second = second.len;
        return sealer_take_keys(c->sealer, &keys, err);
}

void client_next_node(struct client *c)
{
        c->at = (c->at + 1) % c->n_nodes;
}

/* GET /keys of the node that is asked into the sealer, for the sign-in of this id (NULL: for none). 0; 1 with the
 * relay's answer in ret_response, which is not a directory; or a failure. */
static int fetch_there(struct client *c, const char *id, uint32_t timeout_ms, struct https_response *ret_response,
                       struct error *err)
{
        const struct sealer_view view = sealer_view(c->sealer);
        /* with a second source the relay's "not modified" does not say that nothing changed */
        const char *state = c->roster_source ? "" : view.state;
        char url[512], match[160], header[96];
        const char *headers[] = {NULL, NULL, NULL};
        size_t n = 0;
        struct https_request request = {.method = "GET",
                                        .url = url,
                                        .bearer = c->bearer,
                                        .headers = headers,
                                        .timeout_ms = timeout_ms,
                                        .max_body = DIRECTORY_MAX};
        int r;

        if (snprintf(url, sizeof(url), "%s/v1/tenants/%s/keys%s%s", c->nodes[c->at], c->tenant, *state ? "?since=" : "",
                     state) >= (int)sizeof(url))
                return error_fail(err, -EINVAL, "the relay's URL is too long");
        if (view.etag[0] && !c->roster_source) {
                (void)snprintf(match, sizeof(match), "If-None-Match: %s", view.etag);
                headers[n++] = match;
        }
        if (id) {
                (void)snprintf(header, sizeof(header), "Postern-Id: %s", id);
                headers[n] = header;
        }
        r = ask(c, &request, ret_response, err);
        if (r < 0)
                return r;
        if (ret_response->status == 200)
                return take_keys(c, ret_response, err);
        if (ret_response->status != 304 || !sealer_view(c->sealer).directory)
                return 1;
        sealer_keep_keys(c->sealer, now().ms);
        return 0;
}

/* The same of each node, until one gives an answer that is worth something; each may take its part of the time. Keys
 * are worth something where they name somebody who is ready: a node that has just started knows nobody yet. */
static int fetch(struct client *c, const char *id, uint32_t timeout_ms, struct https_response *ret_response,
                 struct error *err)
{
        const uint64_t end = now().ms + timeout_ms;
        int r = 0;

        for (size_t left = c->n_nodes; left > 0; left--) {
                const uint64_t at = now().ms;

                bool somebody_is_ready = false;

                https_response_clear(ret_response);
                r = fetch_there(c, id, at < end ? (uint32_t)((end - at) / left) + 1 : 1, ret_response, err);
                const struct directory *d = sealer_view(c->sealer).directory;
                for (size_t i = 0; r == 0 && i < d->n; i++)
                        somebody_is_ready |= d->entries[i].rank >= 0;
                if ((r == 0 && (left == 1 || somebody_is_ready)) ||
                    (r < 0 ? ret_response->status != 0 : r > 0 && ret_response->status < 500))
                        return r;
                client_next_node(c);
        }
        return r;
}

static struct exchange_answer answer_of(const struct https_response *response, int code, const struct error *err)
{
        return (struct exchange_answer){.status = response->status,
                                        .code = code,
                                        .why = err->text,
                                        .content_type = response->content_type,
                                        .body = response->body.data ? response->body.data : "",
                                        .n = response->body.len};
}

int client_directory(struct client *c, const struct directory **ret_d, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        int r = 0;

        if (!sealer_fresh(c->sealer, now().ms))
                r = fetch(c, NULL, c->budget_ms, &response, err);
        if (r > 0) {
                const struct exchange_answer answer = answer_of(&response, 0, &(struct error){""});
                struct sign_in_result result = {0};

                exchange_read_problem(&result, &answer);
                return error_fail(err, -EIO, "the relay answered %ld %s: %s", result.status, result.problem,
                                  result.detail);
        }
        if (r == 0)
                *ret_d = sealer_view(c->sealer).directory;
        return r;
}

/* ---- the steps of a sign-in ---- */

static int bring_keys(struct client *c, struct exchange *e, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        const uint32_t left = exchange_left(e, now().ms);
        struct error why = {""};
        const int r = fetch(c, exchange_result(e)->id, left ? left : 1, &response, &why);

        if (r == 0)
                return exchange_keys(e, now(), err);
        const struct exchange_answer answer = answer_of(&response, r, &why);
        exchange_keys_failed(e, &answer, now());
        return 0;
}

/* The request as it is goes to another node only where not a byte of it can have left. */
static void post(struct client *c, struct exchange *e)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        size_t left = c->n_nodes;
        struct exchange_post p;
        int r;
        char url[512], id[96], budget[48], trace[80];
        const char *headers[] = {id, budget, NULL, NULL};
        struct https_request request = {
                .method = "POST", .url = url, .bearer = c->bearer, .content_type = SEALED_TYPE, .headers = headers};
        struct error why = {""};

        do {
                exchange_post(e, now().ms, &p);
                request.body = p.body;
                request.body_len = p.n;
                request.timeout_ms = p.timeout_ms;
                (void)snprintf(url, sizeof(url), "%s/v1/tenants/%s/sign-ins", c->nodes[c->at], c->tenant);
                (void)snprintf(id, sizeof(id), "Postern-Id: %s", p.id);
                (void)snprintf(budget, sizeof(budget), "Postern-Budget: %u", p.budget_ms);
                (void)snprintf(trace, sizeof(trace), "traceparent: %s", p.traceparent ? p.traceparent : "");
                headers[2] = p.traceparent && wire_traceparent_valid(p.traceparent) ? trace : NULL;
                https_response_clear(&response);
                r = ask(c, &request, &response, &why);
                if (r < 0 || response.status == 503)
                        client_next_node(c);
        } while (r == -ECONNREFUSED && --left > 0);
        struct exchange_answer answer = answer_of(&response, r, &why);
        if (r < 0)
                answer.status = 0;
        answer.elsewhere = c->n_nodes > 1;
        exchange_answered(e, &answer, now());
}

int client_sign_in(struct client *c, const struct sign_in_params *p, struct sign_in_result *ret_r, struct error *err)
{
        _cleanup_(exchange_freep) struct exchange *e = NULL;
        int r = exchange_new(&e, c->sealer, p, c->budget_ms, now(), err);

        while (r == 0 && exchange_step(e) != EXCHANGE_DONE) {
                if (exchange_step(e) == EXCHANGE_KEYS)
                        r = bring_keys(c, e, err);
                else
                        post(c, e);
        }
        if (r == 0)
                *ret_r = *exchange_result(e);
        return r;
}
