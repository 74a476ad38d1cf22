/*
 * The blocking client: fetches the directory, makes a request, posts it, checks what comes back, within one
 * budget.
 *
 * A request is made a second time only when the relay says that nobody started on the first. Every other
 * doubt is handed to the caller as it is: a second attempt could count as a second wrong password.
 */
#include "queue/client/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "certs/jose/sealed.h"
#include "base/core/admin-text.h"
#include "base/core/text.h"
#include "queue/wire/json.h"

#define SECOND_TIMEOUT_MS 5000
#define KEYS_MAX_AGE_MS 30000
#define ANSWER_MARGIN_MS 200 /* so that the relay's own deadline answer still arrives within ours */

struct client {
        struct https *https;
        char *relay, *tenant, *pin, *bearer, *service_id;
        struct key *service_key;
        uint32_t budget_ms;
        uint64_t min_seq;
        char roster_hash[KID_LEN + 1]; /* of its text; "": not known */
        struct directory *directory;
        uint64_t fetched_ms; /* monotonic, when the directory was last confirmed */
        char etag[128];
        char *roster_source;
        char **distrusted; /* kids; owned */
        size_t n_distrusted;
};

static uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct client *client_free(struct client *c)
{
        if (!c)
                return NULL;
        c->https = https_free(c->https);
        c->directory = directory_free(c->directory);
        c->service_key = key_free(c->service_key);
        if (c->bearer)
                wipe(c->bearer, strlen(c->bearer));
        free(c->relay);
        free(c->tenant);
        free(c->pin);
        free(c->bearer);
        free(c->service_id);
        free(c->roster_source);
        for (size_t i = 0; i < c->n_distrusted; i++)
                free(c->distrusted[i]);
        free(c->distrusted);
        free(c);
        return NULL;
}

int client_distrust(struct client *c, const char *kid)
{
        char **longer;

        for (size_t i = 0; i < c->n_distrusted; i++)
                if (strcmp(c->distrusted[i], kid) == 0)
                        return 0;
        longer = reallocarray(c->distrusted, c->n_distrusted + 1, sizeof(*longer));
        if (!longer)
                return -ENOMEM;
        c->distrusted = longer;
        longer[c->n_distrusted] = strdup(kid);
        if (!longer[c->n_distrusted])
                return -ENOMEM;
        c->n_distrusted++;
        return 0;
}

const char *client_pin(const struct client *c)
{
        return c->pin;
}

size_t client_distrusted(const struct client *c, const char *const **ret_kids)
{
        *ret_kids = (const char *const *)c->distrusted;
        return c->n_distrusted;
}

static int copy_config(struct client *c, const struct client_config *config)
{
        int r = text_set(&c->relay, config->relay);

        r = r < 0 ? r : text_set(&c->tenant, config->tenant);
        r = r < 0 ? r : text_set(&c->pin, config->pin);
        r = r < 0 ? r : text_set(&c->bearer, config->bearer);
        r = r < 0 ? r : text_set(&c->service_id, config->service_id);
        c->service_key = key_ref(config->service_key);
        c->budget_ms = config->budget_ms ? config->budget_ms : BUDGET_DEFAULT;
        c->min_seq = config->min_seq;
        if (config->roster_hash)
                (void)snprintf(c->roster_hash, sizeof(c->roster_hash), "%s", config->roster_hash);
        if (r == 0 && config->roster_source)
                r = text_set(&c->roster_source, config->roster_source);
        for (size_t i = 0; r == 0 && i < config->n_distrusted; i++)
                r = client_distrust(c, config->distrusted[i]);
        return r;
}

int client_new(struct client **ret_c, const struct client_config *config, struct error *err)
{
        const struct https_config https = {.ca_file = config->ca_file};
        _cleanup_(client_freep) struct client *c = NULL;
        int r;

        if (!config->relay || !config->pin || !config->bearer || !config->service_id || !config->service_key ||
            !config->tenant || !tenant_valid(config->tenant))
                return error_fail(err, -EINVAL, "relay, tenant, pin, bearer and the service's id and key are needed");
        if (config->budget_ms && (config->budget_ms < BUDGET_MIN || config->budget_ms > BUDGET_MAX))
                return error_fail(err, -EINVAL, "the budget must be %d to %d ms", BUDGET_MIN, BUDGET_MAX);
        c = calloc(1, sizeof(*c));
        if (!c || copy_config(c, config) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        for (size_t n = strlen(c->relay); n > 0 && c->relay[n - 1] == '/'; n--)
                c->relay[n - 1] = '\0';
        r = https_new(&c->https, &https, err);
        if (r < 0)
                return r;
        *ret_c = steal(c);
        return 0;
}

uint64_t client_roster_seq(const struct client *c)
{
        return c->min_seq;
}

const char *client_roster_hash(const struct client *c)
{
        return c->roster_hash;
}

/* ---- the outcome ---- */

struct attempt {
        struct client *c;
        struct client_result *result;
        uint64_t started_ms;
        bool refreshed; /* the directory came fresh in this call */
        size_t n_tried;
        char tried[REQUEST_TO_MAX][KID_LEN + 1]; /* encryption keys that the first attempt was sealed to */
};

static uint32_t remaining(const struct attempt *a)
{
        uint64_t spent = now_ms() - a->started_ms;

        return spent >= a->c->budget_ms ? 0 : a->c->budget_ms - (uint32_t)spent;
}

static void set_text(char *out, size_t cap, const char *text)
{
        wire_text_cut(out, cap, text, strlen(text));
}

static void set_problem(struct client_result *r, const char *problem, const char *started, const char *retry,
                        const char *detail)
{
        set_text(r->problem, sizeof(r->problem), problem);
        set_text(r->started, sizeof(r->started), started);
        set_text(r->retry, sizeof(r->retry), retry);
        set_text(r->detail, sizeof(r->detail), detail);
        r->reasons[0] = '\0';
}

/* No answer came. sent: whether bytes of a sign-in may have left. */
static void set_transport(struct client_result *r, int code, bool sent, const struct error *err)
{
        bool started = sent && code != -ECONNREFUSED;

        r->status = 0;
        if (started)
                set_problem(r, code == -ETIMEDOUT ? "deadline" : "connection-lost", "unknown", "never", err->text);
        else
                set_problem(r, "transport", "no", "later", err->text);
}

/* Reads a problem answer. What is no problem document says nothing: then the request may have been started
 * on. */
static void set_relay_problem(struct client_result *r, const struct https_response *response)
{
        const bool is_problem = strncmp(response->content_type, "application/problem+json", 24) == 0;
        const size_t n = is_problem ? response->body.len : 0;
        struct json_reader p;

        r->status = response->status;
        set_problem(r, "", "", "", "");
        json_read_begin(&p, n ? response->body.data : "", n, JSON_PLAIN, "problem", NULL);
        json_read_cut(&p, "type", r->problem, sizeof(r->problem));
        json_read_cut(&p, "started", r->started, sizeof(r->started));
        json_read_cut(&p, "retry", r->retry, sizeof(r->retry));
        json_read_cut(&p, json_read_has(&p, "detail") ? "detail" : "title", r->detail, sizeof(r->detail));
        wire_read_lines(&p, "reasons", r->reasons, sizeof(r->reasons));
        if (json_read_end(&p, false) < 0) {
                set_problem(r, "bad-answer", "unknown", "never",
                            "the answer is neither a verdict nor a problem document");
                return;
        }
        if (strncmp(r->problem, "urn:postern:", 12) == 0)
                memmove(r->problem, r->problem + 12, strlen(r->problem + 12) + 1);
        if (!*r->problem)
                set_text(r->problem, sizeof(r->problem), "bad-answer");
        if (!*r->started)
                set_text(r->started, sizeof(r->started), "unknown");
        if (!*r->retry)
                set_text(r->retry, sizeof(r->retry), "never");
}

/* ---- the directory ---- */

/* The second source's roster, compact, without what an editor left around it. */
static int read_second(struct client *c, struct buffer *text, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {.body = BUFFER(0)};
        const struct https_request request = {
                .method = "GET", .url = c->roster_source, .max_body = ROSTER_TEXT_MAX, .timeout_ms = SECOND_TIMEOUT_MS};
        int r;

        if (strncmp(c->roster_source, "https://", 8) != 0)
                r = admin_text_read(text, c->roster_source, err);
        else if ((r = https_do(c->https, &request, &response, err)) == 0)
                r = response.status == 200
                            ? buffer_append(text, response.body.data ? response.body.data : "", response.body.len)
                            : error_fail(err, -EBADMSG, "%s: HTTP %ld", c->roster_source, response.status);
        while (r == 0 && text->len > 0 && (text->data[text->len - 1] == '\n' || text->data[text->len - 1] == '\r'))
                text->data[--text->len] = '\0';
        return r < 0 ? error_prefix(err, r, "second source of the roster") : 0;
}

static int take_directory(struct client *c, const struct https_response *response, struct error *err)
{
        _cleanup_(buffer_free) struct buffer second = BUFFER(ROSTER_TEXT_MAX);
        struct directory *d = NULL;
        int r = c->roster_source ? read_second(c, &second, err) : 0;

        if (r == 0)
                r = directory_open_with(&d, response->body.data, response->body.len,
                                        c->roster_source ? second.data : NULL, second.len, c->pin, c->tenant,
                                        time(NULL), c->min_seq, NULL, err);
        if (r < 0 || !d)
                return r;
        r = roster_same_as_seen(d->roster, c->min_seq, c->roster_hash, err);
        if (r < 0) {
                directory_free(d);
                return r;
        }
        directory_free(c->directory);
        c->directory = d;
        c->min_seq = d->roster->seq;
        roster_text_hash(d->roster->text, strlen(d->roster->text), c->roster_hash);
        set_text(c->etag, sizeof(c->etag), response->etag);
        return 0;
}

/* GET /keys. 0; 1 with the relay's answer in ret_response, which is not a directory; or a failure. */
static int fetch(struct client *c, uint32_t timeout_ms, struct https_response *ret_response, struct error *err)
{
        char url[512], match[160];
        const char *headers[] = {NULL, NULL};
        struct https_request request = {.method = "GET",
                                        .url = url,
                                        .bearer = c->bearer,
                                        .headers = headers,
                                        .timeout_ms = timeout_ms,
                                        .max_body = DIRECTORY_MAX};
        int r;

        if (snprintf(url, sizeof(url), "%s/v1/tenants/%s/keys", c->relay, c->tenant) >= (int)sizeof(url))
                return error_fail(err, -EINVAL, "the relay's URL is too long");
        /* with a second source the relay's "not modified" does not say that nothing changed */
        if (c->directory && c->etag[0] && !c->roster_source) {
                (void)snprintf(match, sizeof(match), "If-None-Match: %s", c->etag);
                headers[0] = match;
        }
        r = https_do(c->https, &request, ret_response, err);
        if (r < 0)
                return r;
        if (ret_response->status == 200)
                r = take_directory(c, ret_response, err);
        else if (ret_response->status != 304 || !c->directory)
                return 1;
        if (r == 0)
                c->fetched_ms = now_ms();
        return r;
}

static bool fresh(const struct client *c)
{
        return c->directory && now_ms() - c->fetched_ms < KEYS_MAX_AGE_MS;
}

int client_directory(struct client *c, const struct directory **ret_d, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        int r = 0;

        if (!fresh(c))
                r = fetch(c, c->budget_ms, &response, err);
        if (r > 0) {
                struct client_result result = {0};

                set_relay_problem(&result, &response);
                return error_fail(err, -EIO, "the relay answered %ld %s: %s", result.status, result.problem,
                                  result.detail);
        }
        if (r == 0)
                *ret_d = c->directory;
        return r;
}

/* Makes the cached directory good for sealing. 0, or 1 with the result filled in. */
static int refresh(struct attempt *a)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        struct error err = {""};
        int r = fetch(a->c, remaining(a) ? remaining(a) : 1, &response, &err);

        if (r == 0) {
                a->refreshed = true;
                return 0;
        }
        if (r > 0) {
                set_relay_problem(a->result, &response);
                set_text(a->result->started, sizeof(a->result->started), "no");
                return 1;
        }
        if (response.status == 200) {
                a->result->status = 200;
                set_problem(a->result, "bad-keys", "no", "later", err.text);
                return 1;
        }
        set_transport(a->result, r, false, &err);
        return 1;
}

/* ---- one attempt ---- */

static void take_verdict(struct attempt *a, const struct sign_in *s, const struct https_response *response)
{
        struct client_result *r = a->result;
        struct error err = {""};

        r->status = response->status;
        if (sign_in_check(s, response->body.data, response->body.len, time(NULL), &r->verdict, &err) < 0) {
                set_problem(r, "bad-verdict", "unknown", "never", err.text);
                return;
        }
        set_problem(r, "", "", "", "");
        r->has_verdict = true;
        set_text(r->connector, sizeof(r->connector), r->verdict.iss);
        for (size_t i = 0; i < a->c->directory->roster->n_connectors; i++) {
                const struct roster_member *m = &a->c->directory->roster->connectors[i];

                if (strcmp(m->id, r->verdict.iss) == 0 && m->name)
                        set_text(r->connector_name, sizeof(r->connector_name), m->name);
        }
}

static void post(struct attempt *a, const struct sign_in *s)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        char url[512], id[96], budget[48];
        const char *headers[] = {id, budget, NULL};
        uint32_t left = remaining(a);
        struct https_request request = {.method = "POST",
                                        .url = url,
                                        .bearer = a->c->bearer,
                                        .content_type = SEALED_TYPE,
                                        .body = s->body.data,
                                        .body_len = s->body.len,
                                        .headers = headers,
                                        .timeout_ms = left};
        struct error err = {""};
        int r;

        set_text(a->result->id, sizeof(a->result->id), s->id);
        if (left < BUDGET_LEFT_MIN) {
                set_problem(a->result, "deadline", "no", "later", "the budget ended before the request was sent");
                return;
        }
        (void)snprintf(url, sizeof(url), "%s/v1/tenants/%s/sign-ins", a->c->relay, a->c->tenant);
        (void)snprintf(id, sizeof(id), "Postern-Id: %s", s->id);
        left -= left / 5 < ANSWER_MARGIN_MS ? left / 5 : ANSWER_MARGIN_MS;
        left = left < BUDGET_LEFT_MIN ? BUDGET_LEFT_MIN : left;
        (void)snprintf(budget, sizeof(budget), "Postern-Budget: %u", left);
        r = https_do(a->c->https, &request, &response, &err);
        if (r < 0)
                set_transport(a->result, r, true, &err);
        else if (response.status == 200)
                take_verdict(a, s, &response);
        else
                set_relay_problem(a->result, &response);
        /* Ids are random and https_do sends once: only a proxy that sends again can make a duplicate. */
        if (strcmp(a->result->problem, "duplicate-id") == 0)
                set_problem(a->result, "connection-lost", "unknown", "never",
                            "the connection to the relay broke after the request was sent");
}

/* 0 with the result filled in; negative for misuse. */
static int attempt_once(struct attempt *a, const struct sign_in_params *p, struct error *err)
{
        struct sign_in s = {0};
        struct sign_in_params now = *p;
        int r;

        now.now = time(NULL);
        r = sign_in_make(&s, a->c->directory, &now, err);
        if ((r == -ENOENT || (r == 0 && s.nobody)) && !a->refreshed) {
                if (r == 0)
                        sign_in_clear(&s);
                if (refresh(a))
                        return 0;
                r = sign_in_make(&s, a->c->directory, &now, err);
        }
        if (r == -ENOENT) {
                set_problem(a->result, "no-connector", "no", "later",
                            err ? err->text : "no connector has published keys");
                return 0;
        }
        if (r < 0)
                return r;
        for (a->n_tried = 0; a->n_tried < s.n_to; a->n_tried++)
                memcpy(a->tried[a->n_tried], s.to[a->n_tried].sealed_to, sizeof(a->tried[0]));
        post(a, &s);
        sign_in_clear(&s);
        return 0;
}

/* Whether the relay said that nobody started, and that it may be otherwise with fresh keys. */
static bool may_seal_again(const struct client_result *r)
{
        return !r->has_verdict && strcmp(r->started, "no") == 0 &&
               (strcmp(r->retry, "refresh-keys") == 0 || strcmp(r->retry, "now") == 0 ||
                strcmp(r->problem, "busy") == 0);
}

/*
 * A second attempt, once: where the keys were stale or the relay was going down, anyhow; where those that it was sealed
 * to did not take it, if the fresh keys name somebody else who would.
 */
static int seal_again(struct attempt *a, const struct sign_in_params *p, struct error *err)
{
        const char *tried[REQUEST_TO_MAX];
        struct sign_in_params other = *p;
        char second[ID_MAX + 1];
        const bool anyhow = strcmp(a->result->retry, "now") == 0 || strcmp(a->result->problem, "stale-keys") == 0;

        for (other.n_tried = 0; other.n_tried < a->n_tried; other.n_tried++)
                tried[other.n_tried] = a->tried[other.n_tried];
        other.tried = tried;
        /* where the first was never made, this one is it */
        if (a->n_tried && sign_in_retry_id(second, a->result->id) == 0)
                other.id = second;
        other.now = time(NULL);
        return anyhow || sign_in_names_another(a->c->directory, &other) ? attempt_once(a, &other, err) : 0;
}

int client_sign_in(struct client *c, const struct sign_in_params *p, struct client_result *ret_r, struct error *err)
{
        struct client_result result = {0};
        struct attempt a = {.c = c, .result = &result, .started_ms = now_ms()};
        struct sign_in_params params = *p;
        int r = id_generate(result.id);

        if (r < 0)
                return error_fail(err, r, "no random bytes");
        params.id = params.id ? params.id : result.id;
        params.service_id = params.service_id ? params.service_id : c->service_id;
        params.service_key = params.service_key ? params.service_key : c->service_key;
        params.distrusted = (const char *const *)c->distrusted;
        params.n_distrusted = c->n_distrusted;
        if (fresh(c) || !refresh(&a))
                r = attempt_once(&a, &params, err);
        if (r == 0 && may_seal_again(&result) && !refresh(&a))
                r = seal_again(&a, &params, err);
        if (r < 0)
                return r;
        result.ms = (uint32_t)(now_ms() - a.started_ms);
        *ret_r = result;
        return 0;
}
