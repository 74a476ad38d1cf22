/*
 * Requests with short answers, one after the other on connections that are kept: libcurl makes the connection (name,
 * proxy, TLS, who the other end is) and carries its bytes (CURLOPT_CONNECT_ONLY, curl_easy_send, curl_easy_recv); the
 * request's head and the answer are written and read here. A transfer of libcurl's own costs three times as much: it
 * sets up everything anew for each.
 *
 * Invariants: a request is sent once, not begun behind its deadline, and from its first byte on the call is in doubt
 * (call->given); a connection waits for the next request only where this one left whole, and its answer came whole and
 * nothing else with it, and is looked at again before it gets one. No callback runs from within https_kept_send: what
 * fails at once is told from the loop.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "certs/http/https-internal.h"
#include "base/core/text.h"
#include "base/ipc/loop.h"

#define WAIT_MAX_MS 60000 /* servers close theirs after 75 s */
#define HEAD_ROOM 8192
#define READ_SIZE 4096

static void on_ready(void *arg, int fd, int events);
static void on_timer(void *arg);

/* ---- the request ---- */

/* Of an https:// URL, up to where its path begins. */
static size_t origin_len(const char *url)
{
        const size_t scheme = strlen("https://");

        return strlen(url) < scheme ? 0 : scheme + strcspn(url + scheme, "/?#");
}

/* A line break in it would be a header of somebody else's. */
static int put_line(struct buffer *out, const char *name, const char *value)
{
        for (const char *c = value; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return -EINVAL;
        int r = buffer_append_str(out, name);
        r = r < 0 ? r : buffer_append_str(out, value);
        return r < 0 ? r : buffer_append(out, "\r\n", 2);
}

static int write_head(struct buffer *out, const struct https_request *q, const char *agent)
{
        const char *at = q->url + strlen("https://"), *path = q->url + origin_len(q->url);
        int r = buffer_printf(out, "%s %s%s HTTP/1.1\r\nHost: %.*s\r\n", q->method, *path == '/' ? "" : "/", path,
                              (int)(path - at), at);

        r = r < 0 ? r : put_line(out, "User-Agent: ", agent);
        r = r < 0 || !q->bearer ? r : put_line(out, "Authorization: Bearer ", q->bearer);
        r = r < 0 || !q->content_type ? r : put_line(out, "Content-Type: ", q->content_type);
        r = r < 0 || !q->accept ? r : put_line(out, "Accept: ", q->accept);
        for (const char *const *line = q->headers; r == 0 && line && *line; line++)
                r = put_line(out, "", *line);
        if (r == 0 && strcmp(q->method, "GET") != 0)
                r = buffer_printf(out, "Content-Length: %zu\r\n", q->body_len);
        return r < 0 ? r : buffer_append(out, "\r\n", 2);
}

int https_kept_note(struct https_call *call, const struct https_request *q, struct error *err)
{
        const size_t max = HEAD_ROOM + q->body_len;
        const struct loop *loop = call->https->loop->loop;
        int r;

        buffer_clear(&call->out);
        buffer_clear(&call->inbox);
        buffer_clear(&call->head);
        call->out.wiped = true; /* the bearer secret is in it */
        call->out.max = max > call->out.max ? max : call->out.max;
        call->head.max = HTTPS_ANSWER_HEAD_MAX;
        if (q->max_body || !call->max_body)
                call->max_body = q->max_body ? q->max_body : call->inbox.max;
        call->body_len = q->body_len;
        (void)snprintf(call->origin, sizeof(call->origin), "%.*s", (int)origin_len(q->url), q->url);
        call->inbox.max = call->max_body + HTTPS_ANSWER_HEAD_MAX;
        call->answer = (struct https_answer){0};
        call->over = call->dead = call->overflow = false;
        call->given = call->sent = 0;
        call->reason[0] = '\0';
        call->deadline = q->timeout_ms ? loop_now(loop) + q->timeout_ms : 0;
        r = strpbrk(q->url, " \t\r\n") ? -EINVAL : write_head(&call->out, q, call->https->agent);
        r = r < 0 ? r : buffer_append(&call->out, q->body, q->body_len);
        if (r == 0 && !call->timer)
                r = loop_timer_new(&call->timer, call->https->loop->loop, NULL, on_timer, call);
        return r < 0 ? error_fail(err, r, "HTTPS: the request cannot be written: %s", strerror(-r)) : 0;
}

/* ---- sending and receiving ---- */

/* From the loop: a callback of the caller's may follow. */
static void fail(struct https_call *call, CURLcode result)
{
        if (!call->reason[0])
                (void)snprintf(call->reason, sizeof(call->reason), "%s", curl_easy_strerror(result));
        https_over(call, result);
}

/* False: it failed. */
static bool send_rest(struct https_call *call)
{
        CURLcode c = CURLE_OK;

        while (c == CURLE_OK && call->sent < call->out.len) {
                size_t n = 0;

                call->given = call->body_len; /* some of it may leave now */
                c = curl_easy_send(call->easy, call->out.data + call->sent, call->out.len - call->sent, &n);
                call->sent += n;
        }
        loop_io_set(call->io, LOOP_READ | (c == CURLE_AGAIN ? LOOP_WRITE : 0));
        if (c != CURLE_OK && c != CURLE_AGAIN && !call->reason[0])
                (void)snprintf(call->reason, sizeof(call->reason), "%s", curl_easy_strerror(c));
        return c == CURLE_OK || c == CURLE_AGAIN;
}

void https_kept_send(struct https_call *call)
{
        const uint64_t now = loop_now(call->https->loop->loop);

        call->over = false;
        if (call->deadline && call->deadline <= now) { /* the way there took all the time */
                loop_timer_at(call->timer, now);
                return;
        }
        if (!call->connected &&
            (curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &call->fd) != CURLE_OK ||
             call->fd == CURL_SOCKET_BAD ||
             loop_io_new(&call->io, call->https->loop->loop, NULL, call->fd, LOOP_READ, on_ready, call) < 0)) {
                call->deadline = now; /* nothing was sent */
                (void)snprintf(call->reason, sizeof(call->reason), "its connection cannot be watched");
        } else {
                call->connected = true;
                if (!send_rest(call))
                        call->deadline = now; /* the timer tells it */
        }
        if (call->deadline)
                loop_timer_at(call->timer, call->deadline);
        else
                loop_timer_stop(call->timer);
}

/* The answer is whole: its head goes aside, its body to the front. */
static void take_answer(struct https_call *call)
{
        struct buffer *in = &call->inbox;
        const size_t n = https_answer_join(&call->answer, in->data);

        call->overflow = n > call->max_body || buffer_append(&call->head, in->data, call->answer.body) < 0;
        buffer_consume(in, call->answer.body);
        in->len = n;
        if (n)
                in->data[n] = '\0';
        https_over(call, call->overflow ? CURLE_WRITE_ERROR : CURLE_OK);
}

/* Reads until the answer is whole or nothing is there: libcurl may hold bytes of which the descriptor says nothing. */
static void receive(struct https_call *call)
{
        struct buffer *in = &call->inbox;

        for (;;) {
                const size_t left = in->max - in->len, room = left < READ_SIZE ? left : READ_SIZE;
                size_t n = 0;
                CURLcode c;

                call->overflow = room == 0;
                c = call->overflow                 ? CURLE_WRITE_ERROR
                    : buffer_reserve(in, room) < 0 ? CURLE_OUT_OF_MEMORY
                                                   : curl_easy_recv(call->easy, in->data + in->len, room, &n);
                if (c == CURLE_AGAIN)
                        return;
                if (c != CURLE_OK) {
                        fail(call, c);
                        return;
                }
                in->len += n;
                const int r = https_answer_read(&call->answer, in->data, in->len, n == 0);
                if (r == 0)
                        take_answer(call);
                else if (r < 0)
                        fail(call, in->len == 0 ? CURLE_GOT_NOTHING : CURLE_WEIRD_SERVER_REPLY);
                if (r <= 0)
                        return;
        }
}

/* ---- connections that wait ---- */

static void end_waiting(struct https_call *call)
{
        struct https_loop *l = call->https->loop;

        TAILQ_REMOVE(&l->waiting, call, link);
        l->n_waiting--;
        https_call_free(call);
}

/* Nothing came since the last look, neither to OpenSSL nor to the kernel: a fifth of the cost of asking libcurl. False:
 * something did, or it cannot be told. */
static bool nothing_came(struct https_call *call)
{
        struct curl_tlssessioninfo *tls = NULL;
        char byte;

        return !call->way.tls && /* which would be another TLS around it */
               curl_easy_getinfo(call->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls &&
               tls->backend == CURLSSLBACKEND_OPENSSL && tls->internals && !SSL_has_pending(tls->internals) &&
               recv(call->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* A connection that waits has nothing to say but its end; TLS's own messages are taken on the way. */
static bool is_silent(struct https_call *call)
{
        char byte;
        size_t n = 0;

        return nothing_came(call) || curl_easy_recv(call->easy, &byte, 1, &n) == CURLE_AGAIN;
}

static bool is_waiting(const struct https_call *call)
{
        return call->connected && call->handlers.on_done == NULL;
}

static void on_ready(void *arg, int fd, int events)
{
        struct https_call *call = arg;

        (void)fd;
        if (is_waiting(call)) {
                if (!is_silent(call))
                        end_waiting(call);
        } else if ((events & LOOP_WRITE) && !send_rest(call)) {
                fail(call, CURLE_SEND_ERROR);
        } else {
                receive(call);
        }
}

static void on_timer(void *arg)
{
        struct https_call *call = arg;

        if (is_waiting(call))
                end_waiting(call);
        else if (call->query)
                fail(call, call->asked || !call->way.url[0] ? CURLE_COULDNT_RESOLVE_HOST : CURLE_COULDNT_RESOLVE_PROXY);
        else if (!call->connected)
                fail(call, call->reason[0] ? CURLE_COULDNT_CONNECT : CURLE_OPERATION_TIMEDOUT);
        else
                fail(call, call->sent < call->out.len && call->reason[0] ? CURLE_SEND_ERROR : CURLE_OPERATION_TIMEDOUT);
}

bool https_kept_wait(struct https_call *call)
{
        struct https_loop *l = call->https->loop;

        if (!call->connected || call->result != CURLE_OK || !call->answer.status || call->answer.closes || !l->keep)
                return false;
        if (call->sent < call->out.len) /* answered early: the server takes what comes next for the rest of this one */
                return false;
        if (l->n_waiting >= l->keep)
                end_waiting(TAILQ_LAST(&l->waiting, https_calls));
        call->handlers = (struct https_handlers){.on_done = NULL};
        buffer_clear(&call->out);
        buffer_free(&call->inbox);
        TAILQ_INSERT_HEAD(&l->waiting, call, link);
        l->n_waiting++;
        loop_timer_in(call->timer, WAIT_MAX_MS);
        return true;
}

struct https_call *https_kept_find(struct https *https, const char *url)
{
        const size_t n = origin_len(url);
        struct https_loop *l = https->loop;
        struct https_call *call = TAILQ_FIRST(&l->waiting), *next;

        for (; call; call = next) {
                next = TAILQ_NEXT(call, link);
                if (strlen(call->origin) != n || strncmp(call->origin, url, n) != 0)
                        continue;
                if (!is_silent(call)) {
                        end_waiting(call);
                        continue;
                }
                TAILQ_REMOVE(&l->waiting, call, link);
                l->n_waiting--;
                return call;
        }
        return NULL;
}

void https_kept_clear(struct https_call *call)
{
        call->io = loop_io_free(call->io);
        call->timer = loop_timer_free(call->timer);
        buffer_free(&call->out);
        buffer_free(&call->head);
}
