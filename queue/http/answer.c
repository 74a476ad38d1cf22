/*
 * Requests as handlers see them: what they asked, and the one answer or stream that goes back.
 *
 * Invariant: a request is answered once, or its on_close is called once, never both. A stream says when it is
 * clear, so that its owner can keep back what must provably not have left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/http/internal.h"

#define ANSWER_MAX (4 * 1024 * 1024)
#define JOIN_MAX (64 * 1024)

/* ---- the request ---- */

struct http_req *req_new(struct conn *c, struct evhttp_request *ev)
{
        struct http_req *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->conn = c;
        r->ev = ev;
        if (IN6_IS_ADDR_V4MAPPED(&c->address))
                inet_ntop(AF_INET, &c->address.s6_addr[12], r->peer, sizeof(r->peer));
        else
                inet_ntop(AF_INET6, &c->address, r->peer, sizeof(r->peer));
        return r;
}

struct http_req *req_free(struct http_req *r)
{
        free(r);
        return NULL;
}

void req_closed(struct http_req *r)
{
        http_close_fn *fn = r->on_close;

        r->on_close = NULL;
        r->drained = NULL;
        if (fn && !r->answered)
                fn(r->close_arg);
}

const struct http_head *http_head(const struct http_req *r)
{
        return &r->conn->head;
}

const char *http_header(const struct http_req *r, const char *name)
{
        return evhttp_find_header(evhttp_request_get_input_headers(r->ev), name);
}

const char *http_body(const struct http_req *r, size_t *ret_n)
{
        struct evbuffer *in = evhttp_request_get_input_buffer(r->ev);
        const char *bytes = (const char *)evbuffer_pullup(in, -1);

        *ret_n = bytes ? evbuffer_get_length(in) : 0;
        return bytes ? bytes : "";
}

const char *http_peer(const struct http_req *r)
{
        return r->peer;
}

X509 *http_peer_cert(const struct http_req *r, const char **ret_why)
{
        X509 *cert = SSL_get0_peer_certificate(r->conn->ssl);
        long code = r->conn->cert_error ? r->conn->cert_error : SSL_get_verify_result(r->conn->ssl);

        *ret_why = NULL;
        if (!cert)
                return NULL;
        if (code != X509_V_OK) {
                *ret_why = X509_verify_cert_error_string(code);
                return NULL;
        }
        return cert;
}

void http_on_close(struct http_req *r, http_close_fn *fn, void *arg)
{
        r->on_close = fn;
        r->close_arg = arg;
}

/* ---- the answer ---- */

void http_add_header(struct http_req *r, const char *name, const char *value)
{
        evhttp_add_header(evhttp_request_get_output_headers(r->ev), name, value);
}

static const char *reason_phrase(int status)
{
        static const struct {
                int status;
                const char *phrase;
        } phrases[] = {{200, "OK"},          {202, "Accepted"},     {204, "No Content"}, {304, "Not Modified"},
                       {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},  {404, "Not Found"}};

        for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
                if (phrases[i].status == status)
                        return phrases[i].phrase;
        }
        return status < 500 ? "Refused" : "Failed";
}

/*
 * Before and after evhttp queues output. Held back until it is whole and joined, an answer leaves as one TLS
 * record; and evhttp 2.1.12 reads on while it writes, which nobody here wants: junk would pile up.
 */
static void output_begin(struct conn *c)
{
        bufferevent_disable(c->bev, EV_READ | EV_WRITE);
}

static void output_end(struct conn *c, size_t before)
{
        struct evbuffer *out = bufferevent_get_output(c->bev);

        if (c->state == CONN_SENDING || c->state == CONN_STREAMING)
                bufferevent_disable(c->bev, EV_READ);
        if (before == 0 && evbuffer_get_length(out) <= JOIN_MAX)
                evbuffer_pullup(out, -1);
}

static bool has_answer_header(const struct http_req *r, const char *name)
{
        return evhttp_find_header(evhttp_request_get_output_headers(r->ev), name) != NULL;
}

void http_reply(struct http_req *r, int status, const char *type, const void *body, size_t n)
{
        struct evbuffer *out = evbuffer_new();

        if (!out || n > ANSWER_MAX || evbuffer_add(out, body, n) < 0) {
                if (out)
                        evbuffer_free(out);
                r->on_close = NULL;
                conn_kill(r->conn);
                return;
        }
        if (type)
                http_add_header(r, "Content-Type", type);
        if (!has_answer_header(r, "Cache-Control"))
                http_add_header(r, "Cache-Control", "no-store");
        conn_unwatch(r->conn);
        r->answered = true;
        r->on_close = NULL;
        struct conn *c = r->conn;
        conn_set(c, CONN_SENDING);
        output_begin(c);
        evhttp_send_reply(r->ev, status, reason_phrase(status), out);
        output_end(c, 0);
        evbuffer_free(out);
}

void http_problem(struct http_req *r, const struct problem *p)
{
        struct buffer body = BUFFER(8192);
        char seconds[16];

        if (p->retry_after) {
                snprintf(seconds, sizeof(seconds), "%u", p->retry_after);
                http_add_header(r, "Retry-After", seconds);
        }
        if (p->type == PROBLEM_BAD_CREDENTIALS && !has_answer_header(r, "WWW-Authenticate"))
                http_add_header(r, "WWW-Authenticate", "Bearer");
        if (problem_encode(p, &body) < 0)
                http_reply(r, problem_status(p->type), NULL, "", 0);
        else
                http_reply(r, problem_status(p->type), "application/problem+json", body.data, body.len);
        buffer_free(&body);
}

void http_fail(struct http_req *r, enum problem_type type, const char *detail)
{
        http_problem(r, &(struct problem){.type = type, .detail = detail});
}

/* ---- streams ---- */

static size_t unsent(const struct http_req *r)
{
        return evbuffer_get_length(bufferevent_get_output(r->conn->bev));
}

static void on_drained(struct evhttp_connection *evcon, void *arg)
{
        struct http_req *r = arg;

        (void)evcon;
        if (r->conn->state == CONN_STREAMING && unsent(r) == 0 && r->drained)
                r->drained(r->close_arg);
}

void http_stream_begin(struct http_req *r, http_close_fn *drained)
{
        r->drained = drained;
        http_add_header(r, "Content-Type", "text/event-stream");
        http_add_header(r, "Cache-Control", "no-store");
        http_add_header(r, "Connection", "close");
        conn_set(r->conn, CONN_STREAMING);
        evhttp_send_reply_start(r->ev, 200, "OK");
        bufferevent_disable(r->conn->bev, EV_READ);
}

bool http_stream_clear(const struct http_req *r)
{
        return r->conn->state == CONN_STREAMING && unsent(r) == 0;
}

int http_stream_send(struct http_req *r, const void *bytes, size_t n)
{
        struct evbuffer *out;

        if (r->conn->state != CONN_STREAMING)
                return -ENOBUFS;
        /* What goes out at once may be large (a roster); what waits for a slow reader may not. */
        bool over = unsent(r) > 0 && unsent(r) + n > HTTP_PENDING_MAX;
        out = over ? NULL : evbuffer_new();
        if (!out || evbuffer_add(out, bytes, n) < 0) {
                log_debug("http_stream_dropped", KV_S("peer", r->peer), KV_U("waiting", unsent(r)));
                if (out)
                        evbuffer_free(out);
                conn_kill(r->conn);
                return -ENOBUFS;
        }
        size_t before = unsent(r);
        output_begin(r->conn);
        evhttp_send_reply_chunk_with_cb(r->ev, out, on_drained, r);
        output_end(r->conn, before);
        evbuffer_free(out);
        return 0;
}

void http_stream_abort(struct http_req *r)
{
        conn_kill(r->conn);
}

void http_stream_end(struct http_req *r)
{
        r->answered = true;
        r->on_close = NULL;
        r->drained = NULL;
        conn_unwatch(r->conn);
        conn_set(r->conn, CONN_SENDING);
        evhttp_send_reply_end(r->ev);
}
