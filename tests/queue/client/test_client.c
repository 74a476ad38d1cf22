/*
 * The blocking client against a relay in a child process that answers as a test says: what is repeated, and
 * above all what is not.
 */
#include "certs/jose/sealed.h"
#include "queue/client/client.h"
#include "tests/queue/link/fake_relay.h"
#include "tests/queue/world.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECRET "service-secret-1"
#define ATTEMPTS_MAX 4

enum reply { REPLY_VERDICT = 0, REPLY_PROBLEM, REPLY_GARBAGE, REPLY_HTML, REPLY_CLOSE, REPLY_NOTHING };

/* Shared with the child. */
struct seen {
        size_t n_to;
        char to[REQUEST_TO_MAX][KID_LEN + 1];
        char app[sizeof(((struct request_claims *)NULL)->client_app)];
        bool ip;
        size_t password_len;
};

struct script {
        struct seen seen; /* of the last request that connector 0 answered; until then of the first that any did */
        struct {
                enum reply reply;
                int status;
                char problem[256];
        } attempts[ATTEMPTS_MAX];
        int keys_status;                                 /* 200: the directory */
        size_t n_keys, n_not_modified, n_posts, n_again; /* n_again: the same id twice */
        char ids[ATTEMPTS_MAX][ID_MAX + 1],
                keys_id[ID_MAX + 1]; /* keys_id: for which sign-in keys were asked for last */
        unsigned budget;
        bool wrong_head; /* a request without a header it must have */
};

struct test {
        struct script *script;
        struct world *w;
        struct fake_relay *relay;
        char *keys, *keys_after, ca_file[64]; /* after: once a sign-in was posted; NULL: the same */
        pid_t pid;
        struct client *client;
        struct secret *password;
};

/* ---- the relay, in the child ---- */

static const char *field(const struct fake_request *request, const char *name, char *out, size_t cap)
{
        const char *at = strcasestr(request->head, name);

        (void)snprintf(out, cap, "%.*s", at ? (int)strcspn(at + strlen(name), "\r\n") : 0, at ? at + strlen(name) : "");
        return out;
}

static void check_head(struct script *s, const struct fake_request *request)
{
        char value[256];

        if (strcmp(field(request, "\r\nAuthorization: ", value, sizeof(value)), "Bearer " SECRET) != 0)
                s->wrong_head = true;
        if (strcmp(request->method, "POST") == 0 &&
            strcmp(field(request, "\r\nContent-Type: ", value, sizeof(value)), "application/postern-request") != 0)
                s->wrong_head = true;
}

static void answer_keys(struct test *t, struct fake_conn *conn, const struct fake_request *request)
{
        struct script *s = t->script;
        const bool after = t->keys_after && s->n_posts > 0;
        char etag[64];

        s->n_keys++;
        field(request, "\r\nPostern-Id: ", s->keys_id, sizeof(s->keys_id));
        if (s->keys_status != 200) {
                fake_answer(conn, s->keys_status, "application/problem+json",
                            "{\"type\":\"urn:postern:bad-credentials\",\"started\":\"no\",\"retry\":\"never\"}");
        } else if (!strcmp(field(request, "\r\nIf-None-Match: ", etag, sizeof(etag)), after ? "\"k2\"" : "\"k1\"")) {
                s->n_not_modified++;
                fake_answer_with(conn, 304, "application/json", "ETag: \"k1\"\r\n", "");
        } else {
                fake_answer_with(conn, 200, "application/json", after ? "ETag: \"k2\"\r\n" : "ETag: \"k1\"\r\n",
                                 after ? t->keys_after : t->keys);
        }
}

/* What a connector sees of a request, but for the password's text. */
static void note_claims(struct seen *seen, const struct request_claims *claims)
{
        seen->n_to = claims->n_to;
        memcpy(seen->to, claims->to, sizeof(seen->to));
        memcpy(seen->app, claims->client_app, sizeof(seen->app));
        seen->ip = claims->client_ip[0] || claims->client_agent[0];
        seen->password_len = claims->password_len;
}

/* Opens the request as its first recipient and answers it: connector 0 believes everything, the others nothing. */
static void answer_verdict(struct test *t, struct fake_conn *conn, const struct fake_request *request)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 1), jwe_out = BUFFER(16384);
        struct verdict_claims v = {.aud = SERVICE_ID,
                                   .tenant = TENANT,
                                   .iat = time(NULL),
                                   .verdict = "accepted",
                                   .class = "none",
                                   .reason = "ok",
                                   .password_proved = true,
                                   .may_have_counted = "0",
                                   .user_id = "S-1-5-21-7",
                                   .user_domain = "corp.example"};
        struct sealed sealed;
        _cleanup_(jws_clear) struct jws jws = {0};
        struct world_connector *c = &t->w->connectors[0];
        struct request_claims claims;
        struct error err = {""};
        size_t n;

        assert_int_equal(sealed_read(&sealed, request->body, request->body_len, &err), 0);
        while (memcmp(sealed_line(&sealed, 0), key_kid(c->enc), KID_LEN) != 0)
                assert_true(++c < &t->w->connectors[CONNECTORS]);
        assert_int_equal(sealed_open(&sealed, 0, c->enc, &plain, &err), 0);
        assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(jws_parse(&jws, plain.data, n, JOSE_TYP_REQUEST, true, &err), 0);
        assert_int_equal(request_claims_decode(&claims, jws.payload.data, jws.payload.len, &err), 0);
        if (c != &t->w->connectors[0] || claims.password_len == 0) {
                v.verdict = "refused";
                v.class = "credentials";
                (void)snprintf(v.reason, sizeof(v.reason), claims.password_len ? "wrong_password" : "unknown_domain");
                v.password_proved = false;
                v.may_have_counted = claims.password_len ? "1" : "0";
                v.user_id[0] = v.user_domain[0] = '\0';
        }
        if (c == &t->w->connectors[0] || t->script->seen.n_to == 0)
                note_claims(&t->script->seen, &claims);
        request_hash(plain.data, n, v.req);
        world_seal_verdict(c, &v, &claims, plain.len, &jwe_out);
        fake_answer(conn, 200, "application/jose", jwe_out.data);
}

static void answer_sign_in(struct test *t, struct fake_conn *conn, const struct fake_request *request)
{
        struct script *s = t->script;
        size_t i = s->n_posts < ATTEMPTS_MAX ? s->n_posts : ATTEMPTS_MAX - 1;
        char budget[16], id[ID_MAX + 1];

        field(request, "\r\nPostern-Id: ", id, sizeof(id));
        if (s->n_posts > 0 && strcmp(id, s->ids[i - 1]) == 0) {
                s->n_again++;
                fake_answer(conn, 409, "application/problem+json",
                            "{\"type\":\"urn:postern:duplicate-id\",\"started\":\"no\",\"retry\":\"never\"}");
                return;
        }
        s->n_posts++;
        memcpy(s->ids[i], id, sizeof(id));
        s->budget = (unsigned)strtoul(field(request, "\r\nPostern-Budget: ", budget, sizeof(budget)), NULL, 10);
        switch (s->attempts[i].reply) {
        case REPLY_VERDICT:
                answer_verdict(t, conn, request);
                break;
        case REPLY_PROBLEM:
                fake_answer(conn, s->attempts[i].status, "application/problem+json", s->attempts[i].problem);
                break;
        case REPLY_GARBAGE:
                fake_answer(conn, 200, "application/jose", "a..b.c.d");
                break;
        case REPLY_HTML:
                fake_answer(conn, 503, "text/html",
                            "{\"type\":\"urn:postern:busy\",\"started\":\"no\",\"retry\":\"now\"}");
                break;
        case REPLY_CLOSE:
                fake_close(conn);
                break;
        case REPLY_NOTHING:
                break;
        }
}

static void on_http(void *arg, struct fake_conn *conn, const struct fake_request *request)
{
        struct test *t = arg;

        check_head(t->script, request);
        if (strcmp(request->path, "/v1/tenants/" TENANT "/keys") == 0)
                answer_keys(t, conn, request);
        else if (strcmp(request->path, "/v1/tenants/" TENANT "/sign-ins") == 0)
                answer_sign_in(t, conn, request);
        else
                fake_answer(conn, 404, "text/plain", "");
}

/* ---- running ---- */

/* Connectors 0 to 3 have keys, and those of ready are ready. */
static void make_keys_after(struct test *t, const char *ready)
{
        _cleanup_(buffer_free) struct buffer statements = BUFFER(1 << 20), list = BUFFER(1 << 20);

        for (size_t i = 0; i < 4; i++)
                assert_true(!buffer_printf(&statements, "%s\"%s\"", i ? "," : "", world_publish(t->w, i, NOW, 3600)));
        for (const char *p = ready; *p && *p != '-'; p++)
                assert_int_equal(buffer_printf(&list, "%s{\"kid\":\"%s\",\"realms\":[\"corp.example\"]}",
                                               p == ready ? "" : ",", key_kid(t->w->connectors[*p - '0'].identity)),
                                 0);
        t->keys_after = world_keys(t->w, statements.data, list.len ? list.data : "");
}

static void start_client(struct test *t)
{
        struct error err = {""};
        const struct client_config config = {.relay = fake_relay_url(t->relay),
                                             .tenant = TENANT,
                                             .pin = key_pin(t->w->tenant),
                                             .bearer = SECRET,
                                             .ca_file = t->ca_file,
                                             .service_id = SERVICE_ID,
                                             .service_key = t->w->service,
                                             .budget_ms = 2000};
        assert_int_equal(client_new(&t->client, &config, &err), 0);
}

static int begin_with(void **state, size_t connectors, const char *ready_after)
{
        struct test *t = calloc(1, sizeof(*t));
        int fd;

        assert_non_null(t);
        t->script = mmap(NULL, sizeof(*t->script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(t->script, MAP_FAILED);
        t->script->keys_status = 200;
        world_time = time(NULL);
        t->w = world_new();
        t->keys = world_all_keys(t->w, connectors);
        if (ready_after)
                make_keys_after(t, ready_after);
        t->relay = fake_relay_new(on_http, t);
        fake_relay_allow_anonymous(t->relay);
        (void)snprintf(t->ca_file, sizeof(t->ca_file), "/tmp/postern-test-ca-XXXXXX");
        fd = mkstemp(t->ca_file);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, fake_relay_ca(t->relay), strlen(fake_relay_ca(t->relay))),
                         strlen(fake_relay_ca(t->relay)));
        close(fd);
        assert_int_equal(secret_new(&t->password, "s3cret", 6), 0);
        t->pid = fork();
        assert_true(t->pid >= 0);
        if (t->pid == 0)
                fake_relay_run(t->relay);
        start_client(t);
        *state = t;
        return 0;
}

static int begin(void **state)
{
        return begin_with(state, 1, NULL);
}

static int begin_two(void **state)
{
        return begin_with(state, 2, NULL);
}

/* The two that have keys at first are gone later, and two others are there. */
static int begin_spare(void **state)
{
        return begin_with(state, 2, "23");
}

/* The others are there as well, but not ready. */
static int begin_no_spare(void **state)
{
        return begin_with(state, 2, "01");
}

static void stop_relay(struct test *t)
{
        if (t->pid <= 0)
                return;
        assert_int_equal(kill(t->pid, SIGKILL), 0);
        assert_int_equal(waitpid(t->pid, NULL, 0), t->pid);
        t->pid = 0;
}

static int end(void **state)
{
        struct test *t = *state;

        stop_relay(t);
        assert_false(t->script->wrong_head);
        client_free(t->client);
        secret_free(t->password);
        fake_relay_free(t->relay);
        world_free(t->w);
        free(t->keys);
        free(t->keys_after);
        (void)unlink(t->ca_file);
        munmap(t->script, sizeof(*t->script));
        free(t);
        return 0;
}

static void problem(struct test *t, size_t attempt, int status, const char *type, const char *started,
                    const char *retry)
{
        t->script->attempts[attempt].reply = REPLY_PROBLEM;
        t->script->attempts[attempt].status = status;
        (void)snprintf(t->script->attempts[attempt].problem, sizeof(t->script->attempts[0].problem),
                       "{\"type\":\"urn:postern:%s\",\"status\":%d,\"started\":\"%s\",\"retry\":\"%s\","
                       "\"detail\":\"why\",\"reasons\":[\"no_dc: corp.example\",7,\"two\\nlines\",\"silent\"]}",
                       type, status, started, retry);
}

static struct sign_in_result sign_in_as(struct test *t, const char *name)
{
        const struct sign_in_params p = {.username = name, .username_len = strlen(name), .password = t->password};
        struct sign_in_result r;
        struct error err = {""};

        if (client_sign_in(t->client, &p, &r, &err) < 0)
                fail_msg("%s", err.text);
        return r;
}

static struct sign_in_result sign_in(struct test *t)
{
        return sign_in_as(t, "amy@corp.example");
}

static void assert_problem(const struct sign_in_result *r, const char *what, const char *started)
{
        assert_false(r->has_verdict);
        assert_string_equal(r->problem, what);
        assert_string_equal(r->started, started);
}

/* ---- tests ---- */

static void a_verdict(void **state)
{
        struct test *t = *state;
        struct sign_in_result r = sign_in(t);

        assert_true(r.has_verdict);
        assert_string_equal(r.verdict.user_id, "S-1-5-21-7");
        assert_string_equal(r.connector, t->w->connectors[0].id);
        assert_string_equal(r.connector_name, "dc-0");
        assert_string_equal(r.id, t->script->ids[0]);
        assert_int_equal(r.status, 200);
        assert_string_equal(r.problem, "");
        /* what is left of 2000 ms, less the way home */
        assert_true(t->script->budget >= 500 && t->script->budget <= 1800);
        assert_int_equal(sealer_view(client_sealer(t->client)).roster_seq, t->w->roster->seq);
}

static void the_directory_is_cached(void **state)
{
        struct test *t = *state;

        for (int i = 0; i < 3; i++) {
                struct sign_in_result r = sign_in(t);

                assert_true(r.has_verdict);
        }
        assert_int_equal(t->script->n_keys, 1);
        assert_int_equal(t->script->n_posts, 3);
        assert_string_not_equal(t->script->ids[0], t->script->ids[1]);
}

struct probes {
        unsigned asked, lying, unasked;
        char liar[ID_MAX + 1];
};

static void on_probe(void *arg, const struct client_probe *probe)
{
        struct probes *p = arg;

        p->asked += probe->asked;
        p->unasked += !probe->asked;
        if (!probe->honest) {
                p->lying++;
                (void)snprintf(p->liar, sizeof(p->liar), "%s", probe->connector->id);
        }
}

/* Connector 0 says accepted to whatever it is asked, connector 1 is honest, of the others there are no keys. */
static void a_canary_finds_a_liar(void **state)
{
        struct test *t = *state;
        struct probes probes = {0};
        struct error err = {""};
        struct seen usual;

        assert_true(sign_in_as(t, "canary@corp.example").has_verdict);
        usual = t->script->seen;
        assert_int_equal(sealer_view(client_sealer(t->client)).n_distrusted, 0);
        const struct client_probe_params canary = {"canary@corp.example", NULL, NULL, "portal"};
        assert_int_equal(client_probe(t->client, &canary, on_probe, &probes, &err), 0);
        assert_int_equal(probes.asked, 2);
        assert_int_equal(probes.lying, 1);
        assert_true(probes.unasked > 0);
        assert_string_equal(probes.liar, t->w->connectors[0].id);
        /* it was sealed to that one alone, which cannot tell: its claims are those of a sign-in of the same name */
        assert_int_equal(t->script->seen.n_to, usual.n_to);
        assert_true(usual.n_to > 1);
        for (size_t i = 0; i < usual.n_to; i++) /* in any order */
                assert_true(strcmp(t->script->seen.to[i], usual.to[0]) == 0 ||
                            strcmp(t->script->seen.to[i], usual.to[1]) == 0);
        assert_string_equal(t->script->seen.app, "portal");
        assert_false(t->script->seen.ip);
        assert_true(t->script->seen.password_len >= 12 && t->script->seen.password_len <= 20);
        assert_int_equal(sealer_view(client_sealer(t->client)).n_distrusted, 1);
        assert_string_equal(sealer_view(client_sealer(t->client)).distrusted[0], key_kid(t->w->connectors[0].identity));
        /* its verdicts are believed no more: no request is sealed to it */
        const size_t posts = t->script->n_posts;
        struct sign_in_result r = sign_in(t);
        assert_string_equal(r.verdict.verdict, "refused");
        assert_string_equal(r.connector, t->w->connectors[1].id);
        assert_int_equal(t->script->n_posts, posts + 1);
        const struct sign_in_params p = {.username = "amy@corp.example",
                                         .username_len = 16,
                                         .password = t->password,
                                         .only_connector = probes.liar};
        assert_int_equal(client_sign_in(t->client, &p, &r, &err), 0);
        assert_problem(&r, "no-connector", "no");
        assert_non_null(strstr(r.detail, "canary"));
}

static void stale_keys_are_refreshed_once(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;

        problem(t, 0, 422, "stale-keys", "no", "refresh-keys");
        r = sign_in(t);
        assert_true(r.has_verdict);
        assert_int_equal(t->script->n_posts, 2);
        assert_int_equal(t->script->n_keys, 2);
        assert_int_equal(t->script->n_not_modified, 1);
        assert_string_equal(r.id, t->script->ids[1]);
        assert_int_equal(strncmp(t->script->ids[1], t->script->ids[0], strlen(t->script->ids[0])), 0);
        assert_string_equal(t->script->ids[1] + strlen(t->script->ids[0]), "-2");
}

static void and_not_twice(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;

        for (size_t i = 0; i < ATTEMPTS_MAX; i++)
                problem(t, i, 422, "stale-keys", "no", "refresh-keys");
        r = sign_in(t);
        assert_problem(&r, "stale-keys", "no");
        assert_int_equal(r.status, 422);
        assert_string_equal(r.detail, "why");
        assert_int_equal(t->script->n_posts, 2);
}

static void spare_ones_are_asked(void **state)
{
        static const char *const cases[][2] = {{"no-connector", "refresh-keys"},
                                               {"not-ready", "refresh-keys"},
                                               {"stale-keys", "refresh-keys"},
                                               {"of-tomorrow", "refresh-keys"},
                                               {"busy", "later"}};
        struct test *t = *state;

        for (size_t i = 0; i < N(cases); i++) {
                struct sign_in_result r;

                t->script->n_posts = 0;
                t->client = client_free(t->client); /* the next begins with the first keys */
                start_client(t);
                problem(t, 0, 503, cases[i][0], "no", cases[i][1]);
                r = sign_in(t);
                assert_true(r.has_verdict);
                assert_true(r.connector[13] == '2' || r.connector[13] == '3');
                assert_int_equal(t->script->n_posts, 2);
        }
}

static void nobody_new_is_not_asked_again(void **state)
{
        static const char *const types[] = {"no-connector", "not-ready", "busy"};
        struct test *t = *state;

        for (size_t i = 0; i < N(types); i++) {
                struct sign_in_result r;

                t->script->n_posts = 0;
                problem(t, 0, 503, types[i], "no", "refresh-keys");
                r = sign_in(t);
                assert_problem(&r, types[i], "no");
                assert_int_equal(t->script->n_posts, 1);
        }
}

static void a_draining_relay_is_asked_again(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;

        problem(t, 0, 503, "draining", "no", "now");
        r = sign_in(t);
        assert_true(r.has_verdict);
        assert_int_equal(t->script->n_posts, 2);
}

/* Whatever may have started is never repeated, whoever says that it should be. */
static void doubt_is_not_repeated(void **state)
{
        static const struct {
                int status;
                const char *type, *started, *retry;
        } cases[] = {
                {502, "connector-lost", "unknown", "never"},
                {504, "deadline", "unknown", "never"},
                {422, "stale-keys", "unknown", "refresh-keys"},
                {503, "draining", "unknown", "now"},
                {503, "busy", "no", "later"},
                {400, "malformed", "no", "never"},
                {503, "draining", "maybe", "now"},
        };
        struct test *t = *state;

        for (size_t i = 0; i < N(cases); i++) {
                struct sign_in_result r;

                t->script->n_posts = 0;
                problem(t, 0, cases[i].status, cases[i].type, cases[i].started, cases[i].retry);
                r = sign_in(t);
                assert_problem(&r, cases[i].type, cases[i].started);
                assert_string_equal(r.retry, cases[i].retry);
                assert_string_equal(r.reasons, "no_dc: corp.example\nsilent"); /* what is no line of text is left out */
                assert_int_equal(t->script->n_posts, 1);
        }
}

static void answers_that_say_nothing(void **state)
{
        static const struct {
                enum reply reply;
                const char *problem;
        } cases[] = {{REPLY_GARBAGE, "bad-verdict"}, {REPLY_HTML, "bad-answer"}, {REPLY_CLOSE, "connection-lost"}};
        struct test *t = *state;

        for (size_t i = 0; i < N(cases); i++) {
                struct sign_in_result r;

                t->script->n_posts = 0;
                t->script->attempts[0].reply = cases[i].reply;
                r = sign_in(t);
                assert_problem(&r, cases[i].problem, "unknown");
                assert_string_equal(r.retry, "never");
                assert_int_equal(t->script->n_posts, 1);
        }
}

/* libcurl would send again by itself when a kept connection breaks: the relay must see one request, and the
 * caller the doubt. */
static void a_connection_that_breaks(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;

        t->script->attempts[0].reply = REPLY_CLOSE;
        r = sign_in(t);
        assert_false(r.has_verdict);
        assert_string_equal(r.started, "unknown");
        assert_string_equal(r.retry, "never");
        assert_int_equal(t->script->n_posts, 1);
        assert_int_equal(t->script->n_again, 0);
}

static void silence_ends_with_the_budget(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;

        t->script->attempts[0].reply = REPLY_NOTHING;
        r = sign_in(t);
        assert_problem(&r, "deadline", "unknown");
        assert_true(r.ms >= 1500 && r.ms < 2500);
        assert_int_equal(t->script->n_posts, 1);
}

static void nobody_there(void **state)
{
        struct test *t = *state;
        fake_relay_listen(t->relay, false); /* the parent's copy */
        stop_relay(t);
        const struct sign_in_result r = sign_in(t);
        assert_problem(&r, "transport", "no");
        assert_true(r.status == 0 && r.detail[0]);
}

static void keys_are_refused(void **state)
{
        struct test *t = *state;
        struct sign_in_result r;
        const struct directory *d = NULL;
        struct error err;

        t->script->keys_status = 401;
        r = sign_in(t);
        assert_problem(&r, "bad-credentials", "no");
        assert_int_equal(r.status, 401);
        assert_int_equal(t->script->n_posts, 0);
        assert_string_equal(t->script->keys_id, r.id[0] ? r.id : "an id"); /* the relay's row has it, too */
        assert_says(client_directory(t->client, &d, &err), -EIO, &err, "401 bad-credentials");
}

/* One connector says so, as to any mistyped name, and records it; nobody gets the password. */
static void nobody_serves_the_realm(void **state)
{
        struct test *t = *state;
        struct sign_in_result r = sign_in_as(t, "amy@elsewhere.example");

        assert_true(r.has_verdict && r.id[0]);
        assert_string_equal(r.verdict.verdict, "refused");
        assert_string_equal(r.verdict.class, "credentials");
        assert_string_equal(r.verdict.reason, "unknown_domain");
        assert_true(t->script->n_posts == 1 && t->script->seen.n_to == 1);
        assert_int_equal(t->script->seen.password_len, 0);
        /* a cached directory is looked up again before that is said */
        (void)sign_in(t);
        t->script->n_keys = 0;
        r = sign_in_as(t, "amy@elsewhere.example");
        assert_string_equal(r.verdict.reason, "unknown_domain");
        assert_int_equal(t->script->n_keys, 1);
}

/* An older one than was seen before, or another of its number, of which the first one stays in force. */
static void an_older_roster_is_refused(void **state)
{
        struct test *t = *state;
        struct client_config config = {.relay = fake_relay_url(t->relay),
                                       .tenant = TENANT,
                                       .pin = key_pin(t->w->tenant),
                                       .bearer = SECRET,
                                       .ca_file = t->ca_file,
                                       .service_id = SERVICE_ID,
                                       .service_key = t->w->service,
                                       .min_seq = t->w->roster->seq + 1};
        struct error err = {""};

        for (int another = 0; another < 2; another++) {
                client_free(t->client);
                assert_int_equal(client_new(&t->client, &config, &err), 0);
                const struct sign_in_result r = sign_in(t);
                assert_problem(&r, "bad-keys", "no");
                assert_non_null(strstr(r.detail, another ? "another text of number" : "older"));
                config.min_seq = t->w->roster->seq;
                config.roster_hash = key_pin(t->w->tenant); /* a hash, but not of this text */
        }
        assert_int_equal(t->script->n_posts, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_verdict, begin, end),
                cmocka_unit_test_setup_teardown(the_directory_is_cached, begin, end),
                cmocka_unit_test_setup_teardown(a_canary_finds_a_liar, begin_two, end),
                cmocka_unit_test_setup_teardown(stale_keys_are_refreshed_once, begin, end),
                cmocka_unit_test_setup_teardown(and_not_twice, begin, end),
                cmocka_unit_test_setup_teardown(spare_ones_are_asked, begin_spare, end),
                cmocka_unit_test_setup_teardown(nobody_new_is_not_asked_again, begin_no_spare, end),
                cmocka_unit_test_setup_teardown(a_draining_relay_is_asked_again, begin, end),
                cmocka_unit_test_setup_teardown(doubt_is_not_repeated, begin, end),
                cmocka_unit_test_setup_teardown(answers_that_say_nothing, begin, end),
                cmocka_unit_test_setup_teardown(a_connection_that_breaks, begin, end),
                cmocka_unit_test_setup_teardown(silence_ends_with_the_budget, begin, end),
                cmocka_unit_test_setup_teardown(nobody_there, begin, end),
                cmocka_unit_test_setup_teardown(keys_are_refused, begin, end),
                cmocka_unit_test_setup_teardown(nobody_serves_the_realm, begin, end),
                cmocka_unit_test_setup_teardown(an_older_roster_is_refused, begin, end),
        };
        struct error err = {""};

        (void)unsetenv("https_proxy");
        (void)unsetenv("HTTPS_PROXY");
        (void)unsetenv("ALL_PROXY");
        (void)unsetenv("all_proxy");
        if (secret_arena_init(4, &err) < 0) {
                (void)fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        return cmocka_run_group_tests_name("queue/client", tests, NULL, NULL);
}
