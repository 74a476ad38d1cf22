/* Connections of the HTTP server on a fake clock: framing, deadlines, caps, hang-up, streams; plain, through
 * socket pairs, TCP and UNIX sockets. With TLS: tests/queue/relay. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "base/core/buffer.h"
#include "base/core/secret.h"
#include "queue/http/http.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: r\r\n\r\n"
#define TURNS 200

static struct world {
        struct loop *loop;
        struct http *http;
        struct http_req *waiting; /* of /later and /stream */
        unsigned closed, drained;
        struct buffer told; /* what the handlers saw */
} w;

static void on_close(void *arg)
{
        (void)arg;
        w.closed++;
        w.waiting = NULL;
}

static void on_drained(void *arg)
{
        (void)arg;
        w.drained++;
}

static void handle_echo(void *arg, struct http_req *r)
{
        size_t n;
        const char *body = http_body(r, &n), *x = http_header(r, "x-any");

        assert_ptr_equal(arg, &w);
        assert_int_equal(buffer_printf(&w.told, "%s?%s x=%s body=%.*s\n", http_part(r, 0), http_head(r)->query,
                                       x ? x : "-", (int)n, body),
                         0);
        http_reply(r, 200, "text/plain", body, n);
}

static void handle_later(void *arg, struct http_req *r)
{
        assert_null(w.waiting);
        w.waiting = r;
        http_on_close(r, on_close, arg);
}

static void handle_wiped(void *arg, struct http_req *r)
{
        size_t n;
        const char *body = http_body(r, &n), *x = http_header(r, "x-any");

        assert_memory_equal(body, "hello", n);
        assert_string_equal(x, "b");
        http_wipe_request(r);
        assert_memory_equal(body, "\0\0\0\0\0", n);
        assert_int_equal(*x, 0);
        assert_null(http_header(r, "x-any"));
        handle_later(arg, r);
}

static void handle_stream(void *arg, struct http_req *r)
{
        w.waiting = r;
        http_on_close(r, on_close, arg);
        http_stream_begin(r, on_drained);
}

static void handle_headers(void *arg, struct http_req *r)
{
        (void)arg;
        http_add_header(r, "X-Good", "yes");
        http_add_header(r, "X-Bad", "a\r\nSet-Cookie: b");
        http_add_header(r, "Cache-Control", "max-age=3");
        http_reply(r, 204, NULL, "", 0);
}

static const struct http_route routes[] = {
        {HTTP_GET, "/echo/{}", handle_echo, 0},  {HTTP_POST, "/echo/{}", handle_echo, 64 * 1024},
        {HTTP_GET, "/later", handle_later, 0},   {HTTP_POST, "/wiped", handle_wiped, 10},
        {HTTP_GET, "/stream", handle_stream, 0}, {HTTP_PUT, "/headers", handle_headers, 10}};

/* *state: whether bodies are secret. */
static int set_up(void **state)
{
        struct http_config config = {.routes = routes,
                                     .n_routes = sizeof(routes) / sizeof(routes[0]),
                                     .arg = &w,
                                     .limits = HTTP_LIMITS,
                                     .secret_bodies = *state != NULL};
        struct error err;

        w = (struct world){.told = BUFFER(1 << 20)};
        assert_int_equal(loop_new_fake(&w.loop), 0);
        config.loop = w.loop;
        config.limits.connections = 6;
        config.limits.per_address = 4;
        return http_new(&w.http, &config, &err);
}

static int tear_down(void **state)
{
        (void)state;
        w.http = http_free(w.http);
        w.loop = loop_free(w.loop);
        buffer_free(&w.told);
        return 0;
}

static void turns(void)
{
        for (int i = 0; i < TURNS; i++)
                loop_run_once(w.loop);
}

/* The client's end of a new connection. */
static int connect_pair(void)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(http_adopt(w.http, fds[1], HTTP_PLAIN), 0);
        return fds[0];
}

static void send_text(int fd, const char *text, size_t n)
{
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
        turns();
}

static void say(int fd, const char *text)
{
        send_text(fd, text, strlen(text));
}

/* What has come; *ret_open: whether the server has not ended it. */
static const char *receive(int fd, bool *ret_open)
{
        static char text[4 << 20];
        size_t n = 0;
        ssize_t part;

        while ((part = read(fd, text + n, sizeof(text) - 1 - n)) > 0) {
                n += (size_t)part;
                turns();
        }
        *ret_open = part < 0 && errno == EAGAIN;
        text[n] = '\0';
        return text;
}

static void expect(int fd, const char *begin, const char *contains, bool open)
{
        bool is_open;
        const char *text = receive(fd, &is_open);

        if (strncmp(text, begin, strlen(begin)) != 0 || !strstr(text, contains) || (!*begin && *text) ||
            is_open != open)
                fail_msg("open %d: %s", is_open, text);
}

static unsigned count(const char *text, const char *what)
{
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}

#define POST "POST /echo/a HTTP/1.1\r\nHost: r\r\nX-Any:  b \t\r\nContent-Length: 5\r\n\r\nhello"

static void test_every_split(void **state)
{
        static const char text[] = POST GET("/echo/b?c=d") POST;

        (void)state;
        for (size_t at = 1; at < sizeof(text) - 1; at++) {
                bool open;
                int fd = connect_pair();
                buffer_clear(&w.told);
                send_text(fd, text, at);
                send_text(fd, text + at, sizeof(text) - 1 - at);
                assert_int_equal(count(receive(fd, &open), "HTTP/1.1 200 OK\r\n"), 3);
                assert_string_equal(w.told.data, "a? x=b body=hello\nb?c=d x=- body=\na? x=b body=hello\n");
                assert_true(open);
                close(fd);
                turns();
                assert_int_equal(http_view(w.http).connections, 0);
        }
}

/* Where two readers of the same bytes could differ about a request's end, there is one refusal and nothing
 * after it. */
static void test_smuggling(void **state)
{
        static const struct {
                const char *head, *answer;
        } cases[] = {
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 411 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 6\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n0\r\n\r\n",
                 "HTTP/1.1 411 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: xchunked\r\nContent-Length: "
                 "6\r\n\r\n0\r\n\r\n",
                 "HTTP/1.1 411 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                 "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 3, 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length : 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length:\r\n 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nA: b\r\n\tContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\nHost: r\nContent-Length: 3\n\nabc\r\n\r\n", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 3\n\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: -3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"POST /echo/a HTTP/1.1\r\nHost: r\r\nHost: s\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"GET /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400 "},
                {"\r\n" GET("/echo/a"), "HTTP/1.1 400 "},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                bool open;
                int fd = connect_pair();
                say(fd, cases[i].head);
                say(fd, GET("/echo/smuggled"));
                const char *text = receive(fd, &open);
                if (strncmp(text, cases[i].answer, strlen(cases[i].answer)) != 0 || count(text, "HTTP/1.1 ") != 1 ||
                    open)
                        fail_msg("%s: %s", cases[i].head, text);
                assert_non_null(strstr(text, "Connection: close\r\n"));
                close(fd);
                turns();
        }
        assert_int_equal(w.told.len, 0);
        assert_int_equal(http_view(w.http).connections, 0);
}

static void test_bodies(void **state)
{
        static char big[64 * 1024 + 200];
        int fd = connect_pair();
        int n = snprintf(big, sizeof(big), "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 65536\r\n\r\n");

        (void)state;
        memset(big + n, 'x', 65536);
        send_text(fd, big, (size_t)n + 65536);
        expect(fd, "HTTP/1.1 200 OK\r\n", "xxx", true);
        say(fd, "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 65537\r\n\r\n");
        expect(fd, "HTTP/1.1 413 ", "the body may have 65536 bytes here", false);
        close(fd);
        /* 100 only where the client may wait for it */
        fd = connect_pair();
        say(fd, "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n");
        expect(fd, "HTTP/1.1 100 Continue\r\n\r\n", "", true);
        say(fd, "ab");
        expect(fd, "HTTP/1.1 200 OK\r\n", "\r\n\r\nab", true);
        say(fd, "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab");
        expect(fd, "HTTP/1.1 200 OK\r\n", "\r\n\r\nab", true);
        close(fd);
}

static void test_answers(void **state)
{
        int fd = connect_pair();

        (void)state;
        say(fd, "PUT /headers HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n");
        bool open;
        const char *text = receive(fd, &open);
        assert_non_null(strstr(text, "HTTP/1.1 204 No Content\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n"));
        assert_non_null(strstr(text, "X-Good: yes\r\n"));
        assert_null(strstr(text, "Cookie"));
        assert_null(strstr(text, "no-store"));
        assert_null(strstr(text, "Content-Length"));
        say(fd, GET("/headers"));
        expect(fd, "HTTP/1.1 405 ", "\r\nAllow: PUT\r\n", true);
        say(fd, GET("/nowhere"));
        expect(fd, "HTTP/1.1 404 ", "urn:postern:not-found", true);
        say(fd, "GET /echo/x HTTP/1.1\r\nHost: r\r\nConnection: TE , Close\r\n\r\n" GET("/echo/y"));
        expect(fd, "HTTP/1.1 200 ", "\r\nConnection: close\r\n", false);
        assert_string_equal(w.told.data, "x? x=- body=\n");
        close(fd);
        fd = connect_pair();
        say(fd, GET("/later"));
        http_drain(w.http);
        http_reply(w.waiting, 200, NULL, "", 0);
        turns();
        expect(fd, "HTTP/1.1 200 ", "\r\nConnection: close\r\n", false);
        close(fd);
        fd = connect_pair();
        say(fd, GET("/echo/z"));
        expect(fd, "HTTP/1.1 200 ", "\r\nConnection: close\r\n", false);
        close(fd);
}

static void test_deadlines(void **state)
{
        const struct http_limits limits = HTTP_LIMITS;
        static const char head[] = "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 9\r\n\r\nx";

        (void)state;
        /* silence; a head that comes in drops; a body that does: none of them stretches it */
        for (size_t n = 0; n < sizeof(head); n += sizeof(head) - 2) {
                int fd = connect_pair();
                for (size_t i = 0; i < n; i++) {
                        send_text(fd, head + i, 1);
                        loop_fake_advance(w.loop, i == 0 ? 0 : 20);
                }
                loop_fake_advance(w.loop, limits.deadline_ms - 1 - (n ? (n - 1) * 20 : 0));
                expect(fd, "", "", true);
                loop_fake_advance(w.loop, 1);
                expect(fd, "", "", false);
                close(fd);
        }
        int fd = connect_pair();
        say(fd, GET("/echo/a"));
        expect(fd, "HTTP/1.1 200 ", "", true);
        loop_fake_advance(w.loop, limits.idle_ms - 1);
        expect(fd, "", "", true);
        say(fd, GET("/echo/a") "G"); /* its deadline runs from when it came */
        expect(fd, "HTTP/1.1 200 ", "", true);
        loop_fake_advance(w.loop, limits.deadline_ms - 1);
        expect(fd, "", "", true);
        loop_fake_advance(w.loop, 1);
        expect(fd, "", "", false);
        close(fd);
        /* a handler may take its time; a client that does not take its answer may not */
        fd = connect_pair();
        say(fd, GET("/later"));
        loop_fake_advance(w.loop, 3600 * 1000);
        assert_non_null(w.waiting);
        static char answer[3 << 20];
        http_reply(w.waiting, 200, "a/b", answer, sizeof(answer));
        assert_int_equal(http_view(w.http).unanswered, 1);
        loop_fake_advance(w.loop, limits.send_ms - 1);
        assert_int_equal(http_view(w.http).connections, 1);
        loop_fake_advance(w.loop, 1);
        assert_int_equal(http_view(w.http).connections, 0);
        assert_int_equal(w.closed, 0);
        close(fd);
}

/* A refused client that goes on sending reads its answer, and is cut after a while. */
static void test_lingering(void **state)
{
        static char junk[60000];
        int fd = connect_pair();

        (void)state;
        say(fd, "junk\r\n\r\n");
        for (int i = 0; i < 20; i++)
                send_text(fd, junk, sizeof(junk));
        expect(fd, "HTTP/1.1 400 ", "urn:postern:malformed", false);
        assert_int_equal(http_view(w.http).connections, 1);
        loop_fake_advance(w.loop, 1500);
        assert_int_equal(http_view(w.http).connections, 0);
        close(fd);
}

static void test_hang_up(void **state)
{
        (void)state;
        for (int pipelined = 0; pipelined < 2; pipelined++) {
                int fd = connect_pair();
                say(fd, GET("/later"));
                for (int i = 0; i < 200 * pipelined; i++) /* more than is read ahead */
                        say(fd, GET("/echo/abcdefghijklmnopqrstuvwxyz"));
                assert_non_null(w.waiting);
                assert_int_equal(w.closed, pipelined);
                close(fd);
                turns();
                assert_null(w.waiting);
                assert_int_equal(w.closed, 1 + pipelined);
                assert_int_equal(http_view(w.http).connections, 0);
        }
        assert_int_equal(w.told.len, 0);
        /* half a request, and gone */
        int fd = connect_pair();
        say(fd, "POST /echo/a HTTP/1.1\r\nHost: r\r\nContent-Length: 9\r\n\r\nx");
        close(fd);
        turns();
        assert_int_equal(http_view(w.http).connections, 0);
        /* the server ends while one waits */
        fd = connect_pair();
        say(fd, GET("/later"));
        w.http = http_free(w.http);
        assert_int_equal(w.closed, 3);
        close(fd);
}

static void test_later(void **state)
{
        bool open;
        int fd = connect_pair();

        (void)state;
        for (int i = 0; i < 50; i++)
                say(fd, GET("/later"));
        for (int i = 0; i < 50; i++) {
                assert_non_null(w.waiting);
                assert_int_equal(http_view(w.http).unanswered, 1);
                struct http_req *r = w.waiting;
                w.waiting = NULL;
                http_reply(r, 202, NULL, "", 0);
                turns();
                assert_int_equal(count(receive(fd, &open), "HTTP/1.1 202 Accepted\r\n"), 1);
        }
        assert_null(w.waiting);
        assert_int_equal(w.closed, 0);
        assert_int_equal(http_view(w.http).unanswered, 0);
        close(fd);
}

/* Secret bodies take no room of the secure heap, and what follows a request that was wiped is whole. */
static void test_wiped(void **state)
{
        static const char head[] = "POST /wiped HTTP/1.1\r\nHost: r\r\nX-Any: b\r\nContent-Length: 5\r\n\r\nhello";
        struct error err = {""};
        int half = connect_pair(), fd = connect_pair();

        (void)state;
        assert_int_equal(secure_heap_init(1 << 14, &err), 0);
        say(half, "POST /wiped HTTP/1.1\r\n");
        send_text(fd, head, 30);
        say(fd, head + 30);
        assert_non_null(w.waiting);
        say(fd, POST);
        assert_int_equal(CRYPTO_secure_used(), 0);
        http_reply(w.waiting, 202, NULL, "", 0);
        turns();
        expect(fd, "HTTP/1.1 202 Accepted\r\n", "HTTP/1.1 200 OK\r\n", true);
        assert_string_equal(w.told.data, "a? x=b body=hello\n");
        close(half);
        close(fd);
}

static void test_stream(void **state)
{
        static char event[60000];
        int fd = connect_pair();
        unsigned sent = 0;
        bool open;

        (void)state;
        say(fd, GET("/stream"));
        expect(fd, "HTTP/1.1 200 OK\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", true);
        assert_int_equal(http_view(w.http).unanswered, 0);
        assert_true(http_stream_clear(w.waiting));
        assert_int_equal(http_stream_send(w.waiting, "data: 1\n\n", 9), 0);
        assert_true(http_stream_clear(w.waiting));
        expect(fd, "9\r\ndata: 1\n\n\r\n", "", true);
        memset(event, 'e', sizeof(event));
        while (http_stream_clear(w.waiting)) {
                assert_int_equal(http_stream_send(w.waiting, event, sizeof(event)), 0);
                assert_true(++sent < 1000);
        }
        assert_int_equal(http_stream_send(w.waiting, "x", 1), 0);
        w.drained = 0;
        assert_int_equal(strlen(receive(fd, &open)), sent * (sizeof(event) + 8) + 6);
        assert_true(open);
        assert_int_equal(w.drained, 1);
        assert_true(http_stream_clear(w.waiting));
        http_stream_end(w.waiting);
        turns();
        expect(fd, "0\r\n\r\n", "", false);
        close(fd);
        assert_int_equal(w.closed, 0);
        /* a deaf client is dropped when too much waits, whatever it sends meanwhile */
        fd = connect_pair();
        say(fd, GET("/stream") "junk");
        int r = 0;
        for (sent = 0; r == 0 && sent < 1000; sent++) {
                r = http_stream_send(w.waiting, event, sizeof(event));
                turns();
        }
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(w.closed, 1);
        assert_int_equal(http_view(w.http).connections, 0);
        close(fd);
}

static int connect_to(const void *address, socklen_t n)
{
        int fd = socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, address, n), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        turns();
        return fd;
}

/* The oldest silent one makes room, of the same address first; whoever has work stays, and where all have
 * work the newcomer goes. */
static void test_caps(void **state)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct error err;
        uint16_t port;
        int fd[6], unix_fd[2];

        (void)state;
        assert_int_equal(http_listen(w.http, "127.0.0.1", 0, HTTP_PLAIN, &port, &err), 0);
        to.sin_port = htons(port);
        for (int i = 0; i < 4; i++)
                fd[i] = connect_to(&to, sizeof(to));
        say(fd[0], GET("/later"));
        say(fd[1], GET("/echo/a"));
        expect(fd[1], "HTTP/1.1 200 ", "", true);
        fd[4] = connect_to(&to, sizeof(to)); /* 2 and 3 are silent, 1 is idle: 2 goes */
        expect(fd[2], "", "", false);
        say(fd[3], GET("/echo/a"));
        expect(fd[3], "HTTP/1.1 200 ", "", true);
        fd[5] = connect_to(&to, sizeof(to)); /* 1 and 3 are idle, 4 is silent: 1 goes */
        expect(fd[1], "", "", false);
        expect(fd[4], "", "", true);
        assert_int_equal(http_view(w.http).connections, 4);
        /* others do not count for an address, but in all */
        for (int i = 0; i < 2; i++)
                unix_fd[i] = connect_pair();
        assert_int_equal(http_view(w.http).connections, 6);
        close(connect_pair()); /* silent: 4, 5, both of these; idle: 3 */
        turns();
        expect(fd[4], "", "", false);
        expect(fd[5], "", "", true);
        assert_non_null(w.waiting);
        http_reply(w.waiting, 200, NULL, "", 0);
        expect(fd[0], "HTTP/1.1 200 ", "", true);
        http_stop_listening(w.http);
        for (int i = 0; i < 6; i++)
                close(fd[i]);
        close(unix_fd[0]);
        close(unix_fd[1]);
}

/* A peer's host that acknowledges nothing is gone; the kernel counts. */
static void test_streams_must_be_acknowledged(void **state)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        unsigned found = 0, ms;
        struct error err;
        uint16_t port;

        (void)state;
        assert_int_equal(http_listen(w.http, "127.0.0.1", 0, HTTP_PLAIN, &port, &err), 0);
        to.sin_port = htons(port);
        int fd = connect_to(&to, sizeof(to));
        say(fd, GET("/stream"));
        assert_non_null(w.waiting);
        for (int i = 0; i < 64; i++) {
                socklen_t n = sizeof(ms);
                found += getsockopt(i, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &n) == 0 && ms == 12000;
        }
        assert_int_equal(found, 1);
        http_stop_listening(w.http);
        close(fd);
}

static void test_all_busy(void **state)
{
        int fd[7], fds[2];

        (void)state;
        for (int i = 0; i < 6; i++) {
                fd[i] = connect_pair();
                w.waiting = NULL;
                say(fd[i], GET("/later"));
                assert_non_null(w.waiting);
        }
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_int_equal(http_adopt(w.http, fds[1], HTTP_PLAIN), -EBUSY);
        close(fds[0]);
        assert_int_equal(w.closed, 0);
        for (int i = 0; i < 6; i++)
                close(fd[i]);
        turns();
        assert_int_equal(w.closed, 6);
}

static void test_unix_socket(void **state)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0http-test"};
        socklen_t n = sizeof(to);
        struct error err;

        (void)state;
        snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "postern-http-%d", (int)getpid());
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&to, n), 0);
        assert_int_equal(http_listen_fd(w.http, fd, HTTP_PLAIN, &err), 0);
        fd = connect_to(&to, n);
        say(fd, GET("/echo/u"));
        expect(fd, "HTTP/1.1 200 ", "", true);
        close(fd);
        for (int i = 1; i < 9; i++) {
                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(http_listen_fd(w.http, fd, HTTP_PLAIN, &err), i < 8 ? 0 : -E2BIG);
        }
        http_stop_listening(w.http);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, n), -1);
        close(fd);
}

/* Without descriptors accepting pauses, and nobody is lost who waits. */
static void test_no_descriptors(void **state)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct rlimit before, none;
        struct error err;
        uint16_t port;

        (void)state;
        assert_int_equal(http_listen(w.http, "127.0.0.1", 0, HTTP_PLAIN, &port, &err), 0);
        to.sin_port = htons(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), more = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        assert_int_equal(connect(more, (struct sockaddr *)&to, sizeof(to)), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){0, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        turns();
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        turns();
        assert_int_equal(http_view(w.http).connections, 0);
        loop_fake_advance(w.loop, 100);
        turns();
        assert_true(http_view(w.http).connections >= 1); /* valgrind accepts the first, and throws it away */
        close(fd);
        close(more);
}

/* What does not fit is told, not cut. */
static void test_bad_places(void **state)
{
        struct error err;
        uint16_t port;

        (void)state;
        assert_int_equal(http_listen(w.http, "localhost", 0, HTTP_PLAIN, &port, &err), -EINVAL);
        assert_int_equal(http_set_tls(w.http, "/nowhere.pem", "/nowhere.key", NULL, &err), -EINVAL);
        assert_non_null(strstr(err.text, "/nowhere.pem"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {T(test_every_split),
                                           T(test_smuggling),
                                           T(test_bodies),
                                           T(test_answers),
                                           T(test_deadlines),
                                           T(test_lingering),
                                           T(test_hang_up),
                                           T(test_later),
                                           cmocka_unit_test_prestate_setup_teardown(test_wiped, set_up, tear_down, &w),
                                           T(test_stream),
                                           T(test_caps),
                                           T(test_streams_must_be_acknowledged),
                                           T(test_all_busy),
                                           T(test_unix_socket),
                                           T(test_no_descriptors),
                                           T(test_bad_places)};

        return cmocka_run_group_tests_name("http/conn", tests, NULL, NULL);
}
