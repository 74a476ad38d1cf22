/*
 * Requests on connections that are kept, against a TLS server that misbehaves on demand: sent once, told apart by
 * whether a byte may have left, and never on a connection that is dead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dns/dns.h"
#include "base/ipc/loop.h"
#include "certs/http/https.h"
#include "tests/certs/enrol/tls-server.h"

#define PATIENCE_MS 60000
#define MORE_MAX (16 * 1024 * 1024) /* more than sockets take */

struct world {
        struct authority ca;
        struct tls_server server;
        struct loop *loop;
        struct loop_timer *patience;
        struct dns *dns;
        struct https *https;
        struct https_call *call;
        size_t more; /* of the body, behind its text */
        /* what came */
        long status;
        int failure;
        unsigned n;
        char body[4096], etag[16], why[256];
};

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct world *w = arg;

        w->n++;
        w->status = status;
        w->failure = status ? 0 : https_failure(w->call);
        https_header(w->call, "etag", w->etag, sizeof(w->etag));
        (void)snprintf(w->body, sizeof(w->body), "%s", answer->len ? answer->data : "");
        (void)snprintf(w->why, sizeof(w->why), "%s", why);
        w->call = NULL;
        loop_stop(w->loop, 0);
}

static void on_patience_end(void *arg)
{
        (void)arg;
        fail_msg("nothing came");
}

static int start(struct world *w, const char *path, uint32_t timeout_ms, const char *header)
{
        const struct https_handlers handlers = {.on_done = on_done, .arg = w};
        const char *const headers[] = {header, NULL};
        static char body[8 + MORE_MAX];
        struct error err = {""};
        char url[128];

        memcpy(body, "the body", 8);
        (void)snprintf(url, sizeof(url), "https://localhost:%d%s", w->server.port, path);
        return https_start(w->https, &w->call,
                           &(struct https_request){.method = "POST",
                                                   .url = url,
                                                   .bearer = "secret",
                                                   .content_type = "text/x",
                                                   .headers = headers,
                                                   .body = body,
                                                   .body_len = 8 + w->more,
                                                   .timeout_ms = timeout_ms,
                                                   .max_body = 3000,
                                                   .once = true,
                                                   .keeps = true},
                           &handlers, &err);
}

static void ask(struct world *w, const char *path, uint32_t timeout_ms)
{
        const unsigned before = w->n;

        assert_int_equal(start(w, path, timeout_ms, "X: y"), 0);
        assert_int_equal(w->n, before); /* no callback from within the start */
        loop_timer_in(w->patience, PATIENCE_MS);
        assert_int_equal(loop_run(w->loop), 0);
        assert_int_equal(w->n, before + 1);
        assert_null(w->call);
}

static int begin_by(void **state, int make_loop(struct loop **))
{
        struct world *w = calloc(1, sizeof(*w));
        struct error err = {""};

        assert_non_null(w);
        authority_begin(&w->ca);
        tls_server_start(&w->server, &w->ca, TLS_GOOD);
        assert_int_equal(make_loop(&w->loop), 0);
        assert_int_equal(loop_timer_new(&w->patience, w->loop, NULL, on_patience_end, w), 0);
        assert_int_equal(dns_new(&w->dns, w->loop, DNS_SEARCHED, &err), 0);
        assert_int_equal(https_new(&w->https, &(struct https_config){.ca_file = w->ca.ca_file, .proxy = ""}, &err), 0);
        assert_int_equal(https_on_loop(w->https, w->loop, w->dns, &err), 0);
        *state = w;
        return 0;
}

static int begin(void **state)
{
        return begin_by(state, loop_new);
}

static int begin_fake(void **state)
{
        return begin_by(state, loop_new_fake);
}

static int end(void **state)
{
        struct world *w = *state;

        https_free(w->https);
        dns_free(w->dns);
        loop_timer_free(w->patience);
        loop_free(w->loop);
        if (w->server.pid)
                tls_server_stop(&w->server);
        authority_end(&w->ca);
        free(w);
        return 0;
}

/* The server has one connection at a time: a second one would wait for ever. */
static void test_it_is_kept(void **state)
{
        struct world *w = *state;

        for (int i = 0; i < 3; i++) {
                ask(w, "/keep", 0);
                assert_int_equal(w->status, 200);
                assert_string_equal(w->body, "kept");
        }
        ask(w, "/echo", 10000); /* whose answer ends the connection */
        assert_int_equal(w->status, 200);
        assert_string_equal(w->etag, "\"v7\"");
        assert_non_null(strstr(w->body, "POST /echo HTTP/1.1\r\nHost: localhost:"));
        assert_non_null(strstr(w->body, "\r\nAuthorization: Bearer secret\r\nContent-Type: text/x\r\nX: y\r\n"));
        assert_non_null(strstr(w->body, "\r\nContent-Length: 8\r\n\r\nthe body"));
        ask(w, "/redirect", 0);
        assert_int_equal(w->status, 302);
}

/* Once the request may have left it is in doubt, and is sent no second time. */
static void test_doubt(void **state)
{
        struct world *w = *state;

        ask(w, "/keep", 0);
        ask(w, "/vanish", 0);
        assert_int_equal(w->status, 0);
        assert_int_equal(w->failure, -EIO);
        assert_non_null(strstr(w->why, "the connection broke"));
        ask(w, "/vanished", 0);
        assert_string_equal(w->body, "1");
        ask(w, "/cut", 0);
        assert_int_equal(w->failure, -EIO);
        ask(w, "/big", 0);
        assert_int_equal(w->status, 0);
        assert_non_null(strstr(w->why, "too long"));
        ask(w, "/stall", 300);
        assert_int_equal(w->failure, -ETIMEDOUT);
        ask(w, "/keep", 0);
        assert_int_equal(w->status, 200);
}

/* What is not sent yet when the answer comes would be the beginning of the next request, for the server. */
static void test_answered_early(void **state)
{
        struct world *w = *state;

        w->more = MORE_MAX;
        ask(w, "/early", 0);
        assert_int_equal(w->status, 429);
        assert_string_equal(w->body, "early");
        w->more = 0;
        ask(w, "/keep", 0);
        assert_int_equal(w->status, 200);
        assert_string_equal(w->body, "kept");
}

/* What was kept is gone with the server: nothing is sent to it, and the next request is not in doubt. */
static void test_dead_connections(void **state)
{
        struct world *w = *state;

        ask(w, "/keep", 0);
        tls_server_stop(&w->server);
        w->server.pid = 0;
        ask(w, "/keep", 0);
        assert_int_equal(w->status, 0);
        assert_int_equal(w->failure, -ECONNREFUSED);
}

static void test_cancelled(void **state)
{
        struct world *w = *state;

        ask(w, "/keep", 0);
        assert_int_equal(start(w, "/stall", 0, NULL), 0);
        w->call = https_cancel(w->call);
        ask(w, "/keep", 0);
        assert_int_equal(w->status, 200);
        assert_int_equal(start(w, "/keep", 0, "X: y\r\nZ: injected"), -EINVAL);
        assert_int_equal(start(w, "/k eep", 0, NULL), -EINVAL);
        ask(w, "/keep", 0);
        assert_int_equal(w->status, 200);
}

static void await_answer(struct world *w, const char *path, uint32_t timeout_ms, uint64_t passed_ms)
{
        const unsigned before = w->n;

        assert_int_equal(start(w, path, timeout_ms, "X: y"), 0);
        loop_fake_advance(w->loop, passed_ms);
        while (w->n == before)
                loop_run_once(w->loop);
}

/* Its time is over before there is a connection: nobody would take the answer, so nobody gets the question. */
static void test_too_late_to_send(void **state)
{
        struct world *w = *state;

        await_answer(w, "/vanish", 1000, 1000);
        assert_int_equal(w->failure, -ECONNREFUSED);
        assert_non_null(strstr(w->why, "no connection in time"));
        await_answer(w, "/vanished", 1000, 999);
        assert_string_equal(w->body, "0");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_it_is_kept, begin, end),
                cmocka_unit_test_setup_teardown(test_doubt, begin, end),
                cmocka_unit_test_setup_teardown(test_answered_early, begin, end),
                cmocka_unit_test_setup_teardown(test_dead_connections, begin, end),
                cmocka_unit_test_setup_teardown(test_cancelled, begin, end),
                cmocka_unit_test_setup_teardown(test_too_late_to_send, begin_fake, end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
