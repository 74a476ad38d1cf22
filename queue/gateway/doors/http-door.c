/*
 * The HTTP door: JSON for applications, forward authentication for web servers, and how the gateway is.
 *
 * A question that was taken is answered 200 with a verdict, whichever it is; whoever did not get so far hears a problem
 * (RFC 9457). So no fault ever reads as a refusal, and no refusal as a fault. Forward authentication speaks by the
 * status alone: 204, 401 (credentials), 403 (policy), 503.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "certs/codec/crypto.h"
#include "certs/codec/json.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/gateway/doors/read.h"
#include "queue/gateway/doors/tls.h"
#include "queue/http/http.h"

#define BODY_MAX 8192
#define ANSWER_MAX 16384
#define SECRET_LEAST 32
#define SECRET_MOST 256
#define HEADER_MAX 2048
#define METRICS_MAX (256 * 1024)

/* ---- what the door holds ---- */

static struct {
        struct http *http;
        size_t n_apps; /* with a secret */
        struct {
                const char *name;
                uint8_t hash[SHA256_LEN]; /* of its secret */
        } apps[GATEWAY_APPS_MAX];
} door;

/* ---- who asks ---- */

/* The application that the bearer secret is of; all are compared, in constant time. */
static const char *app_of_secret(const char *secret)
{
        uint8_t hash[SHA256_LEN];
        const char *found = NULL;

        if (crypto_sha256(hash, secret, strlen(secret)) < 0)
                return NULL;
        for (size_t i = 0; i < door.n_apps; i++)
                if (equal_const_time(hash, door.apps[i].hash, sizeof(hash)))
                        found = door.apps[i].name;
        return found;
}

/* NULL where it may not ask. By a UNIX socket who can open it may; by an address whoever has an application's secret or
 * its client certificate, or anybody on this host where there are no applications. header: where the secret stands. */
static const char *caller(struct doors *d, struct http_req *r, const char *header)
{
        const char *given = http_header(r, header), *why, *app;
        const bool needed = doors_config(d)->n_apps > 0 && strcmp(http_peer(r), "unix") != 0;

        if (given && strncasecmp(given, "Bearer ", 7) == 0)
                app = app_of_secret(given + 7);
        else if (!(app = doors_tls_app(d, http_peer_cert(r, &why))) && !needed)
                app = "gateway";
        if (!app)
                doors_events_refused(d, "http", http_peer(r), NULL,
                                     given ? "the secret is that of no application"
                                           : "it shows neither a secret nor a client certificate of an application");
        return app;
}

/* ---- answers ---- */

struct http_question {
        struct doors *doors;
        struct http_req *r;
        struct asking *asking;
        char app[128];
};

static void on_close(void *arg)
{
        struct http_question *q = arg;

        q->asking = doors_forget(q->asking);
        free(q);
}

static void write_user(struct json_writer *w, const struct door_answer *a)
{
        const char *name, *value, *last = "";
        size_t at = 0;

        json_write_open(w, "user", '{');
        json_write_str(w, "domain", a->user_domain);
        json_write_str(w, "id", a->user_id);
        json_write_str(w, "name", a->name);
        json_write_opt(w, "upn", a->upn);
        json_write_opt(w, "sam", a->sam);
        json_write_opt(w, "guid", a->guid);
        json_write_close(w, '}');
        if (!a->attributes_state)
                return;
        json_write_open(w, "attributes", '{');
        json_write_str(w, "state", a->attributes_state);
        json_write_open(w, "values", '{');
        while (pairs_next(a->attributes, &at, &name, &value)) {
                if (strcmp(name, last) != 0) {
                        if (*last)
                                json_write_close(w, ']');
                        json_write_open(w, name, '[');
                }
                json_write_str(w, NULL, value);
                last = name;
        }
        if (*last)
                json_write_close(w, ']');
        json_write_close(w, '}');
        json_write_close(w, '}');
}

static void answer_json(void *arg, const struct door_answer *a)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(ANSWER_MAX);
        struct http_question *q = arg;
        struct json_writer w;

        json_write_begin(&w, &out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "id", a->id);
        json_write_str(&w, "verdict", a->verdict);
        json_write_str(&w, "class", a->class);
        json_write_str(&w, "reason", a->reason);
        json_write_opt(&w, "text", a->text);
        json_write_bool(&w, "password_proved", a->password_proved);
        json_write_str(&w, "may_have_counted", a->may_have_counted);
        if (a->retry_after)
                json_write_int(&w, "retry_after", a->retry_after);
        if (strcmp(a->verdict, "accepted") == 0)
                write_user(&w, a);
        json_write_close(&w, '}');
        http_add_header(q->r, "Cache-Control", "no-store");
        http_add_header(q->r, "Postern-Id", a->id);
        if (json_write_end(&w) < 0)
                http_fail(q->r, PROBLEM_INTERNAL, "no room for the answer");
        else
                http_reply(q->r, 200, "application/json", out.data, out.len);
        free(q);
}

/* One text for all values of the attributes whose name begins so, with '|' between them; what has one inside is left
 * out. */
static void join_values(const struct door_answer *a, const char *prefix, char out[HEADER_MAX])
{
        const char *name, *value;
        size_t at = 0, len = 0;

        out[0] = '\0';
        while (a->attributes_state && pairs_next(a->attributes, &at, &name, &value)) {
                const size_t n = strlen(value);

                if (strncasecmp(name, prefix, strlen(prefix)) != 0 || strchr(value, '|') || len + n + 2 > HEADER_MAX)
                        continue;
                len += (size_t)snprintf(out + len, HEADER_MAX - len, "%s%s", len ? "|" : "", value);
        }
}

/* Each header is there in each 204, empty perhaps: a web server that copies them then overwrites what a client sent
 * under these names. */
static void answer_forward(void *arg, const struct door_answer *a)
{
        struct http_question *q = arg;
        struct http_req *r = q->r;
        char groups[HEADER_MAX], seconds[16];

        http_add_header(r, "Cache-Control", "no-store");
        http_add_header(r, "Postern-Id", a->id);
        if (strcmp(a->verdict, "accepted") == 0) {
                join_values(a, "memberOf", groups);
                http_add_header(r, "Remote-User", a->name);
                http_add_header(r, "X-Postern-User-Domain", a->user_domain);
                http_add_header(r, "X-Postern-User-Id", a->user_id);
                http_add_header(r, "X-Postern-Groups", groups);
                http_reply(r, 204, NULL, NULL, 0);
        } else {
                const bool wrong = strcmp(a->verdict, "refused") == 0 && strcmp(a->class, "credentials") == 0;
                const bool refused = strcmp(a->verdict, "refused") == 0;

                if (wrong)
                        http_add_header(r, "WWW-Authenticate", "Basic realm=\"Postern\", charset=\"UTF-8\"");
                (void)snprintf(seconds, sizeof(seconds), "%u", a->retry_after);
                if (a->retry_after)
                        http_add_header(r, "Retry-After", seconds);
                http_add_header(r, "Postern-Reason", a->reason);
                http_reply(r, wrong ? 401 : refused ? 403 : 503, "text/plain; charset=utf-8", a->text, strlen(a->text));
        }
        free(q);
}

/* ---- questions ---- */

static void ask(struct doors *d, struct http_req *r, const struct door_question *what, door_answer_fn *fn)
{
        struct http_question *q = calloc(1, sizeof(*q));
        int code = q ? 0 : -ENOMEM;

        if (q) {
                q->doors = d;
                q->r = r;
                code = doors_ask(d, what, fn, q, &q->asking);
                http_wipe_request(r);
        }
        if (code < 0) {
                free(q);
                http_problem(r, &(struct problem){.type = code == -EBUSY ? PROBLEM_BUSY : PROBLEM_INTERNAL,
                                                  .detail = code == -EBUSY ? "too many sign-ins are under way here"
                                                                           : "no memory",
                                                  .retry_after = 1});
                return;
        }
        http_on_close(r, on_close, q);
}

/* The texts of one body. Passwords are in it: the whole is wiped. */
struct body {
        char user[GATEWAY_USER_MAX + 2], password[GATEWAY_PASSWORD_MAX + 2], new_password[GATEWAY_PASSWORD_MAX + 2];
        size_t user_len, password_len, new_len;
        char ip[64], agent[256], app[128];
};

static int read_body(struct body *b, struct http_req *r, bool change, struct error *err)
{
        struct json_reader json, client;
        size_t n;
        const char *text = http_body(r, &n);

        json_read_begin(&json, text, n, JSON_SECRET, "the body", err);
        b->user_len = json_read_bytes(&json, "username", b->user, sizeof(b->user));
        b->password_len = json_read_bytes(&json, "password", b->password, sizeof(b->password));
        if (change)
                b->new_len = json_read_bytes(&json, "new_password", b->new_password, sizeof(b->new_password));
        if (json_read_object(&client, &json, "client", JSON_OPTIONAL)) {
                json_read_cut(&client, "ip", b->ip, sizeof(b->ip));
                json_read_cut(&client, "agent", b->agent, sizeof(b->agent));
                json_read_cut(&client, "app", b->app, sizeof(b->app));
                (void)json_read_end(&client, true);
        }
        return json_read_end(&json, true);
}

static void handle_json(struct doors *d, struct http_req *r, bool change)
{
        const char *app = caller(d, r, "Authorization"), *type = http_header(r, "Content-Type");
        struct error err = {""};
        struct body *b;

        if (!app) {
                http_add_header(r, "WWW-Authenticate", "Bearer");
                http_fail(r, PROBLEM_BAD_CREDENTIALS,
                          "the secret of an [application] of the gateway is needed: Bearer SECRET, or its client "
                          "certificate");
                return;
        }
        if (!type || strncasecmp(type, "application/json", 16) != 0 || (type[16] && !strchr("; ", type[16]))) {
                http_fail(r, PROBLEM_UNSUPPORTED_TYPE, "Content-Type must be application/json");
                return;
        }
        b = OPENSSL_secure_zalloc(sizeof(*b));
        if (!b) {
                http_fail(r, PROBLEM_INTERNAL, "no room in the secure heap");
                return;
        }
        if (read_body(b, r, change, &err) < 0) {
                http_fail(r, PROBLEM_MALFORMED, err.text);
        } else {
                const struct door_question q = {.app = doors_config(d)->n_apps == 0 && *b->app ? b->app : app,
                                                .user = b->user,
                                                .user_len = b->user_len,
                                                .password = b->password,
                                                .password_len = b->password_len,
                                                .change = change,
                                                .new_password = b->new_password,
                                                .new_password_len = b->new_len,
                                                .client_ip = *b->ip ? b->ip : NULL,
                                                .client_agent = *b->agent ? b->agent : NULL,
                                                .traceparent = http_header(r, "traceparent")};

                ask(d, r, &q, answer_json);
        }
        OPENSSL_secure_clear_free(b, sizeof(*b));
}

static void on_sign_in(void *arg, struct http_req *r)
{
        handle_json(arg, r, false);
}

static void on_change(void *arg, struct http_req *r)
{
        handle_json(arg, r, true);
}

/* GET: what a web server asks about each request of its own. The secret of an application stands in a header of its
 * own, for Authorization is the user's; without it the web server is at fault, and no 401 blames the user. */
static void on_forward(void *arg, struct http_req *r)
{
        struct doors *d = arg;
        const char *app = caller(d, r, "Postern-Application"), *given = http_header(r, "Authorization");
        char ip[64], *pair;

        if (!app) {
                http_fail(r, PROBLEM_UNKNOWN_APPLICATION,
                          "the web server must send the secret of an [application] of the gateway, and sent none or a "
                          "wrong one: Postern-Application: Bearer SECRET");
                return;
        }
        pair = OPENSSL_secure_zalloc(DOORS_BASIC_ROOM);
        const size_t n = pair ? doors_read_basic(given, pair) : 0;
        const char *colon = n ? memchr(pair, ':', n) : NULL;
        if (!colon) {
                http_add_header(r, "WWW-Authenticate", "Basic realm=\"Postern\", charset=\"UTF-8\"");
                http_fail(r, PROBLEM_BAD_CREDENTIALS, "name and password are needed: Authorization: Basic");
        } else {
                const size_t user_len = (size_t)(colon - pair);
                bool is_proxy;
                const bool known =
                        doors_client_ip(d, http_peer(r), http_header_last(r, "X-Forwarded-For"), ip, &is_proxy);
                const struct door_question q = {.app = app,
                                                .user = pair,
                                                .user_len = user_len,
                                                .password = colon + 1,
                                                .password_len = n - user_len - 1,
                                                .client_ip = known ? ip : NULL,
                                                /* a RADIUS server's, which knows no address of its users */
                                                .many_users = is_proxy,
                                                .client_agent = http_header(r, "User-Agent"),
                                                .traceparent = http_header(r, "traceparent"),
                                                .recall = true};

                ask(d, r, &q, answer_forward);
        }
        OPENSSL_secure_clear_free(pair, DOORS_BASIC_ROOM);
}

static void on_healthz(void *arg, struct http_req *r)
{
        (void)arg;
        http_add_header(r, "Cache-Control", "no-store");
        http_reply(r, 200, "application/json", "{\"status\":\"ok\"}", 15);
}

static void on_readyz(void *arg, struct http_req *r)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(2048);
        struct json_writer w;
        const char *why;

        if (!doors_ready(arg, &why)) {
                http_fail(r, PROBLEM_NOT_READY, why);
                return;
        }
        http_add_header(r, "Cache-Control", "no-store");
        json_write_begin(&w, &out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "status", "ready");
        json_write_opt(&w, "warning", doors_warning(arg));
        json_write_close(&w, '}');
        if (json_write_end(&w) < 0)
                http_fail(r, PROBLEM_INTERNAL, "no room for the answer");
        else
                http_reply(r, 200, "application/json", out.data, out.len);
}

/* By a UNIX socket alone: what listens on an address is for applications. */
static void on_metrics(void *arg, struct http_req *r)
{
        struct metrics m = METRICS(METRICS_MAX);
        const uint64_t *problems = http_view(door.http).problems;

        if (strcmp(http_peer(r), "unix") != 0) {
                http_fail(r, PROBLEM_NOT_FOUND, NULL);
                return;
        }
        doors_tally_put(arg, &m);
        metrics_begin(&m, "postern_gateway_problems_total", METRICS_COUNTER,
                      "Requests that were no question, by the problem that was answered.");
        for (enum problem_type p = PROBLEM_MALFORMED; p < PROBLEM_TYPES_; p++)
                metrics_put(&m, (double)problems[p], "problem", problem_word(p), METRICS_END);
        metrics_one(&m, "postern_gateway_connections", METRICS_GAUGE, "Connections of applications.",
                    http_view(door.http).connections);
        if (m.code == 0)
                http_reply(r, 200, METRICS_TYPE, m.text.data, m.text.len);
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory for the metrics");
        buffer_free(&m.text);
}

/* The same, for `postern-gateway status`. */
static void on_status(void *arg, struct http_req *r)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct json_writer w;

        if (strcmp(http_peer(r), "unix") != 0) {
                http_fail(r, PROBLEM_NOT_FOUND, NULL);
                return;
        }
        json_write_begin(&w, &out);
        doors_status_write(arg, &w);
        http_add_header(r, "Cache-Control", "no-store");
        if (json_write_end(&w) < 0)
                http_fail(r, PROBLEM_INTERNAL, "no room for the answer");
        else
                http_reply(r, 200, "application/json", out.data, out.len);
}

static const struct http_route routes[] = {
        {HTTP_POST, "/v1/sign-in", on_sign_in, BODY_MAX},
        {HTTP_POST, "/v1/change-password", on_change, BODY_MAX},
        {HTTP_GET, "/v1/forward", on_forward, 0},
        {HTTP_GET, "/v1/status", on_status, 0},
        {HTTP_GET, "/healthz", on_healthz, 0},
        {HTTP_GET, "/readyz", on_readyz, 0},
        {HTTP_GET, "/metrics", on_metrics, 0},
};

/* ---- the door ---- */

static int take_secret(const struct gateway_app *app, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(1024);
        int r = fd_read_all(&text, fd, err);

        while (r == 0 && text.len && strchr("\r\n", text.data[text.len - 1]))
                text.data[--text.len] = '\0';
        if (r < 0)
                return error_prefix(err, r, "%s", app->secret_file);
        if (text.len < SECRET_LEAST || text.len > SECRET_MOST)
                return error_fail(err, -EINVAL,
                                  "%s: the secret of application %s has %zu characters instead of %d to %d; make one "
                                  "with: openssl rand -hex 32",
                                  app->secret_file, app->name, text.len, SECRET_LEAST, SECRET_MOST);
        door.apps[door.n_apps].name = app->name;
        r = crypto_sha256(door.apps[door.n_apps++].hash, text.data, text.len);
        return r < 0 ? r : 1;
}

static int make_http(struct doors *d, struct error *err)
{
        struct http_config http = {.loop = doors_loop(d),
                                   .routes = routes,
                                   .n_routes = sizeof(routes) / sizeof(routes[0]),
                                   .arg = d,
                                   .limits = HTTP_LIMITS,
                                   .secret_bodies = true,
                                   .header = doors_config(d)->sandbox ? HTTP_SANDBOX_HEADER : NULL};

        http.limits.connections = doors_config(d)->connections;
        http.limits.per_address = doors_config(d)->connections; /* a proxy's are all from one */
        return door.http ? 0 : http_new(&door.http, &http, err);
}

/* A socket of the configuration's `listen`, an application's secret. */
static int take(struct doors *d, const char *file, int fd, struct error *err)
{
        const struct gateway_config *c = doors_config(d);
        int r;

        if (strncmp(file, GATEWAY_FILE_APP, strlen(GATEWAY_FILE_APP)) == 0) {
                for (size_t a = 0; a < c->n_apps; a++)
                        if (strcmp(c->apps[a].name, file + strlen(GATEWAY_FILE_APP)) == 0)
                                return take_secret(&c->apps[a], fd, err);
                return 0;
        }
        int i = gateway_listen_of(c, file, LISTEN_HTTP);
        i = i < 0 ? gateway_listen_of(c, file, LISTEN_HTTPS) : i;
        if (i < 0)
                return 0;
        r = make_http(d, err);
        if (r < 0)
                return r;
        r = http_listen_fd(door.http, fcntl(fd, F_DUPFD_CLOEXEC, 3),
                           c->listen[i].kind == LISTEN_TLS || c->listen[i].door == LISTEN_HTTPS ? HTTP_TLS : HTTP_PLAIN,
                           err);
        return r < 0 ? error_prefix(err, r, "listen") : 1;
}

static int start(struct doors *d, struct error *err)
{
        return door.http ? doors_tls_use(d, door.http, NULL, err) : 0;
}

static void drain(struct doors *d)
{
        (void)d;
        if (!door.http)
                return;
        http_stop_listening(door.http); /* who comes now waits for the next process of these sockets */
        http_drain(door.http);
}

static size_t under_way(const struct doors *d)
{
        (void)d;
        return door.http ? http_view(door.http).unanswered + http_view(door.http).unserved : 0;
}

static void stop(struct doors *d)
{
        (void)d;
        door.http = door.http ? http_free(door.http) : NULL;
}

const struct door http_door = {
        .name = "http", .take = take, .start = start, .drain = drain, .under_way = under_way, .stop = stop};
