/*
 * Requests as handlers see them: what they asked, and the one answer or stream that goes back.
 *
 * Invariant: a request is answered once, or its on_close is called once, never both. An answer leaves as one
 * TLS record where it fits. A stream says when it is clear, so that its owner can keep back what must
 * provably not have left.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/core/log.h"
#include "base/core/secret.h"
#include "queue/http/internal.h"

#define HEAD_ROOM 512           /* so much of an answer's head is usual */
#define UNACKNOWLEDGED_MS 12000 /* of a stream */

/* ---- the request ---- */

const struct http_head *http_head(const struct http_req *r)
{
        return r->conn->head;
}

const char *http_part(const struct http_req *r, size_t i)
{
        return r->parts.part[i];
}

const char *http_header(const struct http_req *r, const char *name)
{
        const char *bytes = r->conn->in.data;
        const struct http_field *field = http_head_field(r->conn->head, bytes, name, false);

        return field ? bytes + field->value : NULL;
}

const char *http_header_last(const struct http_req *r, const char *name)
{
        const char *bytes = r->conn->in.data;
        const struct http_field *field = http_head_field(r->conn->head, bytes, name, true);

        return field ? bytes + field->value : NULL;
}

const char *http_body(const struct http_req *r, size_t *ret_n)
{
        *ret_n = (size_t)r->conn->head->content_length;
        return r->conn->in.data + r->conn->head->length;
}

/* Their places stay: finish (conn.c) counts them. */
void http_wipe_request(struct http_req *r)
{
        wipe(r->conn->in.data, r->conn->head->length + (size_t)r->conn->head->content_length);
        r->conn->head->n_fields = 0;
}

const char *http_peer(const struct http_req *r)
{
        return r->conn->peer;
}

int http_peer_uid(const struct http_req *r, uid_t *ret_uid)
{
        struct ucred peer;
        socklen_t n = sizeof(peer);

        if (strcmp(r->conn->peer, "unix") != 0 || getsockopt(r->conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
            n != sizeof(peer))
                return -ENOTSOCK;
        *ret_uid = peer.uid;
        return 0;
}

void http_on_close(struct http_req *r, http_close_fn *fn, void *arg)
{
        r->on_close = fn;
        r->close_arg = arg;
}

/* ---- the answer ---- */

void http_keep_open(struct http_req *r)
{
        r->keep_open = true;
}

void http_add_header(struct http_req *r, const char *name, const char *value)
{
        for (const char *c = value; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return;
        if (buffer_printf(&r->headers, "%s: %s\r\n", name, value) < 0)
                http_conn_kill(r->conn);
}

/* Whether the handler has added a header of this name. */
static bool has_answer_header(const struct http_req *r, const char *name)
{
        const char *line = r->headers.len ? r->headers.data : NULL;

        while (line && strncasecmp(line, name, strlen(name)) != 0) {
                line = strstr(line, "\r\n");
                line = line && line[2] ? line + 2 : NULL;
        }
        return line != NULL;
}

/* RFC 9110 5.6.7, made once a second. */
static const char *date(struct http *http)
{
        time_t now = (time_t)loop_wall(http->config.loop);
        struct tm tm;

        if (now != http->date_at && gmtime_r(&now, &tm) &&
            strftime(http->date, sizeof(http->date), "%a, %d %b %Y %H:%M:%S GMT", &tm))
                http->date_at = now;
        return http->date;
}

/* Status line and headers, up to those that frame the body. */
static int append_head(struct http_req *r, int status, const char *type, const char *framing)
{
        static const struct {
                int status;
                const char *phrase;
        } phrases[] = {{200, "OK"},           {202, "Accepted"},     {204, "No Content"},
                       {303, "See Other"},    {304, "Not Modified"}, {400, "Bad Request"},
                       {401, "Unauthorized"}, {403, "Forbidden"},    {404, "Not Found"}};
        const char *phrase = status < 500 ? "Refused" : "Failed";
        struct conn *c = r->conn;

        for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
                if (phrases[i].status == status)
                        phrase = phrases[i].phrase;
        return buffer_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%s%s%s\r\n", status, phrase,
                             date(c->http), c->http->config.header ? c->http->config.header : "",
                             r->headers.len ? r->headers.data : "", type ? "Content-Type: " : "", type ? type : "",
                             type ? "\r\n" : "",
                             has_answer_header(r, "Cache-Control") ? "" : "Cache-Control: no-store\r\n",
                             c->last ? "Connection: close\r\n" : "", framing);
}

/* Whether the request still waits for its answer, which then is under way: the handler is told nothing more.
 */
static bool begin_answer(struct http_req *r)
{
        r->on_close = NULL;
        r->drained = NULL;
        r->conn->last |= r->conn->http->draining && !r->keep_open;
        return r->conn->state == CONN_ANSWERING || r->conn->state == CONN_STREAMING;
}

void http_reply(struct http_req *r, int status, const char *type, const void *body, size_t n)
{
        char framing[48] = ""; /* RFC 9110 8.6: none with 204, where there is no body */

        if (!begin_answer(r))
                return;
        if (status != 204 && status != 304)
                snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", n);
        if (buffer_reserve(&r->conn->out, HEAD_ROOM + n) < 0 || append_head(r, status, type, framing) < 0 ||
            buffer_append(&r->conn->out, body, n) < 0) {
                http_conn_kill(r->conn);
                return;
        }
        buffer_free(&r->headers);
        http_conn_answered(r->conn);
}

void http_problem(struct http_req *r, const struct problem *p)
{
        static const char *const methods[] = {[HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT"};
        struct buffer body = BUFFER(8192), allow = BUFFER(32);
        char seconds[16];

        r->conn->http->problems[p->type]++;
        if (p->retry_after) {
                snprintf(seconds, sizeof(seconds), "%u", p->retry_after);
                http_add_header(r, "Retry-After", seconds);
        }
        if (p->type == PROBLEM_BAD_CREDENTIALS && !has_answer_header(r, "WWW-Authenticate"))
                http_add_header(r, "WWW-Authenticate", "Bearer");
        for (int i = HTTP_GET; i <= HTTP_PUT && p->type == PROBLEM_NO_SUCH_METHOD; i++)
                if (!r->allowed || (r->allowed & (1U << i)))
                        (void)buffer_printf(&allow, "%s%s", allow.len ? ", " : "", methods[i]);
        if (allow.len) /* RFC 9110 15.5.6 */
                http_add_header(r, "Allow", allow.data);
        if (problem_encode(p, &body) < 0)
                http_reply(r, problem_status(p->type), NULL, "", 0);
        else
                http_reply(r, problem_status(p->type), "application/problem+json", body.data, body.len);
        buffer_free(&allow);
        buffer_free(&body);
}

void http_fail(struct http_req *r, enum problem_type type, const char *detail)
{
        http_problem(r, &(struct problem){.type = type, .detail = detail});
}

/* ---- streams ---- */

void http_stream_begin(struct http_req *r, http_close_fn *drained)
{
        if (r->conn->state != CONN_ANSWERING)
                return;
        const unsigned unacknowledged = UNACKNOWLEDGED_MS;

        r->drained = drained;
        r->conn->last = true;
        /* a peer that vanished without a word is one whose kernel acknowledges nothing; no TCP, no such option */
        (void)setsockopt(r->conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof(unacknowledged));
        if (append_head(r, 200, "text/event-stream", "Transfer-Encoding: chunked\r\n") < 0)
                http_conn_kill(r->conn);
        else
                http_conn_set(r->conn, CONN_STREAMING);
        http_conn_forget_request(r->conn);
        buffer_free(&r->headers);
}

bool http_stream_clear(const struct http_req *r)
{
        return r->conn->state == CONN_STREAMING && r->conn->out.len == 0;
}

int http_stream_send(struct http_req *r, const void *bytes, size_t n)
{
        struct conn *c = r->conn;
        size_t before = c->out.len;

        if (c->state != CONN_STREAMING)
                return -ENOBUFS;
        /* What goes out at once may be large (a roster); what waits for a slow reader may not. */
        if ((before > 0 && before + n > c->http->config.limits.pending_max) ||
            buffer_printf(&c->out, "%zx\r\n", n) < 0 || buffer_append(&c->out, bytes, n) < 0 ||
            buffer_append(&c->out, "\r\n", 2) < 0) {
                log_debug("http_stream_dropped", KV_S("peer", c->peer), KV_U("waiting", before));
                http_conn_kill(c);
                return -ENOBUFS;
        }
        if (!c->in_turn)
                http_conn_flush(c);
        return 0;
}

void http_stream_abort(struct http_req *r)
{
        http_conn_kill(r->conn);
}

void http_stream_end(struct http_req *r)
{
        if (!begin_answer(r))
                return;
        if (buffer_append(&r->conn->out, "0\r\n\r\n", 5) < 0)
                http_conn_kill(r->conn);
        else
                http_conn_answered(r->conn);
}
