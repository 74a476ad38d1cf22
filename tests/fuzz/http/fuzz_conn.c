/*
 * The framing of a connection: however the bytes are cut, the handlers see the same requests, which are those
 * that the heads alone promise, and each has one answer. The first byte seeds the cuts, the rest is what the
 * client sends.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "queue/http/http.h"

#define BODY_MAX 64
#define INPUT_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* One run: what handlers saw, what came back. */
struct run {
        struct loop *loop;
        struct http *http;
        struct http_req *waiting;
        struct buffer seen, answers;
};

static void check(int condition)
{
        if (!condition)
                abort();
}

static void note(struct buffer *seen, const char *path, const char *query, const char *host, const char *body, size_t n)
{
        check(buffer_printf(seen, "%s?%s %s %zu ", path, query, host, n) == 0 && buffer_append(seen, body, n) == 0);
}

static void see(struct run *run, struct http_req *r)
{
        size_t n;
        const char *body = http_body(r, &n), *host = http_header(r, "host");

        check(host != NULL && n <= BODY_MAX);
        note(&run->seen, http_head(r)->path, http_head(r)->query, host, body, n);
}

static void handle_now(void *arg, struct http_req *r)
{
        see(arg, r);
        http_reply(r, 200, "a/b", "x", 1);
}

static void handle_later(void *arg, struct http_req *r)
{
        struct run *run = arg;

        see(run, r);
        check(!run->waiting);
        run->waiting = r;
}

static const struct http_route routes[] = {{HTTP_GET, "/a", handle_now, 0},
                                           {HTTP_POST, "/a", handle_now, BODY_MAX},
                                           {HTTP_PUT, "/{}", handle_later, BODY_MAX},
                                           {HTTP_GET, "/{}", handle_later, 0}};

/* Lets the server do what it can; answers what waits. */
static void turn(struct run *run, int fd)
{
        char bytes[4096];
        ssize_t n;

        for (bool more = true; more;) {
                for (int i = 0; i < 3; i++)
                        loop_run_once(run->loop);
                more = run->waiting != NULL;
                struct http_req *r = run->waiting;
                run->waiting = NULL;
                if (r)
                        http_reply(r, 204, NULL, "", 0);
                while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
                        more = true;
                        check(buffer_append(&run->answers, bytes, (size_t)n) == 0);
                }
        }
}

/* Sends the bytes in pieces; seed 0: in one. */
static void run_it(struct run *run, const char *bytes, size_t n, uint32_t seed)
{
        struct http_config config = {
                .routes = routes, .n_routes = sizeof(routes) / sizeof(routes[0]), .arg = run, .limits = HTTP_LIMITS};
        struct error err;
        int fds[2];

        *run = (struct run){.seen = BUFFER(1 << 20), .answers = BUFFER(4 << 20)};
        check(loop_new_fake(&run->loop) == 0);
        config.loop = run->loop;
        config.limits.body_max = BODY_MAX;
        check(http_new(&run->http, &config, &err) == 0);
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        check(http_adopt(run->http, fds[1], HTTP_PLAIN) == 0);
        for (size_t at = 0, piece; at < n; at += piece) {
                seed = seed * 1664525 + (seed ? 1013904223 : 0);
                piece = seed ? 1 + (seed >> 8) % (seed & 64 ? 3 : 90) : n;
                piece = piece < n - at ? piece : n - at;
                if (send(fds[0], bytes + at, piece, MSG_NOSIGNAL) != (ssize_t)piece)
                        break; /* refused before */
                turn(run, fds[0]);
        }
        turn(run, fds[0]);
        close(fds[0]);
        for (int i = 0; i < 3; i++)
                loop_run_once(run->loop);
        check(http_view(run->http).connections == 0);
        http_free(run->http);
        loop_free(run->loop);
}

/* Final answers of a run. */
static size_t count_answers(const struct run *run)
{
        static const char begin[] = "HTTP/1.1 ", interim[] = "HTTP/1.1 100 ";
        size_t n = 0;
        const char *at = run->answers.len ? run->answers.data : "";

        for (; (at = strstr(at, begin)); at++)
                n += strncmp(at, interim, sizeof(interim) - 1) != 0;
        return n;
}

/* What the heads promise, read one after the other; returns the answers that are due. */
static size_t promise(const char *bytes, size_t n, struct buffer *seen)
{
        struct http_head head;
        struct error err;
        size_t due = 0;
        int r;

        while ((r = http_head_parse(&head, bytes, n, &err)) == 0) {
                size_t length = (size_t)head.content_length;
                bool is_a = strcmp(head.path, "/a") == 0;
                struct http_parts parts;
                if (length > BODY_MAX || n < head.length + length)
                        return due + (length > BODY_MAX);
                if ((is_a && head.method != HTTP_PUT) ||
                    (head.method != HTTP_POST && http_path_match("/{}", head.path, &parts))) {
                        const struct http_field *host = http_head_field(&head, bytes, "Host", false);
                        char value[HTTP_HEAD_MAX];
                        snprintf(value, sizeof(value), "%.*s", host->n_value, bytes + host->value);
                        note(seen, head.path, head.query, value, bytes + head.length, length);
                }
                due++;
                if (head.closes)
                        return due;
                bytes += head.length + length;
                n -= head.length + length;
        }
        return due + (r < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct buffer promised = BUFFER(1 << 20);
        struct run whole, cut;

        if (n < 2 || n > INPUT_MAX)
                return 0;
        const char *bytes = (const char *)data + 1;
        size_t due = promise(bytes, n - 1, &promised);
        run_it(&whole, bytes, n - 1, 0);
        run_it(&cut, bytes, n - 1, data[0] * 2654435761U | 1);
        check(whole.seen.len == promised.len && cut.seen.len == promised.len);
        check(promised.len == 0 || (memcmp(whole.seen.data, promised.data, promised.len) == 0 &&
                                    memcmp(cut.seen.data, promised.data, promised.len) == 0));
        check(count_answers(&whole) == due && count_answers(&cut) == due);
        buffer_free(&promised);
        buffer_free(&whole.seen);
        buffer_free(&whole.answers);
        buffer_free(&cut.seen);
        buffer_free(&cut.answers);
        return 0;
}
