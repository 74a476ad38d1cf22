/*
 * Calls on the loop, by libcurl's multi interface.
 *
 * Invariants: libcurl's socket and timer callbacks only note what it wants watched and never call it; its
 * write callback only stores bytes. After each curl_multi_socket_action, outside of libcurl, `settle` hands
 * out what was stored and what has ended. A call is freed there and nowhere else, so a callback may cancel
 * any call, or free the whole, at any time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/http/https-internal.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/dns/dns.h"
#include "base/ipc/loop.h"

#define INBOX_MAX (128 * 1024) /* bytes held between libcurl and on_data; past it the transfer is paused */
#define PROBLEM_MAX 16384

/* One descriptor that libcurl wants watched. */
struct https_watch {
        TAILQ_ENTRY(https_watch) link;
        struct https *https;
        curl_socket_t fd;
        struct loop_io *io;
};

/* ---- what libcurl calls ---- */

static void on_io(void *arg, int fd, int events);

static void watch_drop(struct https_watch *w)
{
        TAILQ_REMOVE(&w->https->loop->watches, w, link);
        w->io = loop_io_free(w->io);
        free(w);
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
        const int events = ((what & CURL_POLL_IN) ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0);
        struct https *https = arg;
        struct https_watch *w;

        (void)easy;
        (void)unused;
        TAILQ_FOREACH (w, &https->loop->watches, link)
                if (w->fd == fd)
                        break;
        if (w && what == CURL_POLL_REMOVE)
                watch_drop(w);
        else if (w)
                loop_io_set(w->io, events);
        if (w || what == CURL_POLL_REMOVE)
                return 0;
        w = calloc(1, sizeof(*w));
        if (!w || loop_io_new(&w->io, https->loop->loop, NULL, fd, events, on_io, https) < 0) {
                free(w);
                return -1;
        }
        w->https = https;
        w->fd = fd;
        TAILQ_INSERT_TAIL(&https->loop->watches, w, link);
        return 0;
}

static int timer_cb(CURLM *multi, long timeout_ms, void *arg)
{
        struct https *https = arg;

        (void)multi;
        if (timeout_ms < 0)
                loop_timer_stop(https->loop->timer);
        else
                loop_timer_in(https->loop->timer, (uint64_t)timeout_ms);
        return 0;
}

static size_t write_cb(char *bytes, size_t size, size_t count, void *arg)
{
        struct https_call *call = arg;
        size_t n = size * count;
        long status = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (call->handlers.on_data && status != 200 && call->inbox.len + n > PROBLEM_MAX)
                return n; /* the start of an error answer says enough */
        if (call->handlers.on_data && call->inbox.len > 0 && call->inbox.len + n > call->inbox.max) {
                call->paused = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        if (buffer_append(&call->inbox, bytes, n) < 0) {
                call->overflow = true;
                return n ? 0 : 1;
        }
        return n;
}

/* ---- what we hand out ---- */

/* A connection that is kept goes on without a request, if it can. */
static void drop(struct https_call *call)
{
        TAILQ_REMOVE(&call->https->loop->calls, call, link);
        dns_query_cancel(call->query);
        if (!call->keeps || !https_kept_wait(call))
                https_call_free(call);
}

/* A stream's stored bytes, if its answer is 200. Others keep theirs for on_done. */
static void hand_data(struct https_call *call)
{
        const bool opens = !call->opened && call->handlers.on_open;
        const char *type = NULL;

        if (!call->handlers.on_data || call->inbox.len == 0 || https_status(call) != 200)
                return;
        call->opened = true;
        if (opens) {
                (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
                call->handlers.on_open(call->handlers.arg, type ? type : "");
        }
        if (call->dead)
                return;
        call->handlers.on_data(call->handlers.arg, call->inbox.data, call->inbox.len);
        buffer_clear(&call->inbox);
}

int64_t https_date(const struct https_call *call)
{
        char text[64] = "";
        time_t date;

        if (call && call->easy)
                https_header(call, "Date", text, sizeof(text));
        date = *text ? curl_getdate(text, NULL) : 0;
        return date > 0 ? (int64_t)date : 0;
}

int https_failure(const struct https_call *call)
{
        if (call->given == 0 && !call->overflow)
                return -ECONNREFUSED;
        return call->result == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO;
}

static void hand_done(struct https_call *call)
{
        const char *why = "";
        struct error err = {""};
        long status = call->result == CURLE_OK ? https_status(call) : 0;

        if (call->overflow)
                why = "the answer is too long";
        else if (call->result != CURLE_OK && https_why(call, &err) < 0)
                why = err.text;
        call->https->verify_error = X509_V_OK; /* it is this call's, whatever the next one comes to */
        call->dead = call->https->loop->reap = true;
        call->handlers.on_done(call->handlers.arg, status, &call->inbox, why);
}

/* Lets a paused transfer go on; libcurl may call write_cb from here. True when there is more to hand out. */
static bool resume(struct https_call *call)
{
        if (!call->paused || call->dead || call->over)
                return false;
        call->paused = false;
        (void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
        return call->inbox.len > 0;
}

static void hand_out(struct https_call *call)
{
        do {
                if (!call->dead)
                        hand_data(call);
        } while (resume(call));
        if (!call->over || call->dead)
                return;
        if (call->keeps && call->result == CURLE_OK && !call->answer.status)
                https_kept_send(call); /* libcurl has made the connection */
        else
                hand_done(call);
}

/* Frees what is over, once no callback runs any more. */
static void reap(struct https *https)
{
        struct https_loop *l = https->loop;
        struct https_call *call, *next;

        if (l->busy)
                return;
        for (call = l->reap ? TAILQ_FIRST(&l->calls) : NULL; call; call = next) {
                next = TAILQ_NEXT(call, link);
                if (call->dead)
                        drop(call);
        }
        l->reap = false;
        if (https->dead)
                https_free(https);
}

/* Hands out everything, then frees what is over. New calls made meanwhile are behind the end of this round.
 */
static void settle(struct https *https)
{
        struct https_call *call;

        https->loop->busy++;
        https_collect(https);
        TAILQ_FOREACH (call, &https->loop->calls, link)
                hand_out(call);
        https->loop->busy--;
        reap(https);
}

void https_over(struct https_call *call, CURLcode result)
{
        struct https *https = call->https;

        call->over = true;
        call->result = result;
        https->loop->busy++;
        hand_out(call);
        https->loop->busy--;
        reap(https);
}

static void on_io(void *arg, int fd, int events)
{
        struct https *https = arg;
        int running;

        (void)curl_multi_socket_action(https->multi, fd,
                                       ((events & LOOP_READ) ? CURL_CSELECT_IN : 0) |
                                               ((events & LOOP_WRITE) ? CURL_CSELECT_OUT : 0),
                                       &running);
        settle(https);
}

static void on_timer(void *arg)
{
        struct https *https = arg;
        long ms = -1;
        int running;

        (void)curl_multi_socket_action(https->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        /* libcurl does not ask again for a timeout that it thinks is still armed: ours may have fired a fraction of a
         * millisecond before it was due by libcurl's clock. */
        if (!loop_timer_armed(https->loop->timer) && curl_multi_timeout(https->multi, &ms) == CURLM_OK && ms >= 0)
                loop_timer_in(https->loop->timer, ms > 0 ? (uint64_t)ms : 1);
        settle(https);
}

/* ---- making and ending ---- */

/* Frees all of it, or marks it all where a callback is running. */
static void stop(struct https *https)
{
        struct https_loop *l = https->loop;
        struct https_call *call;

        https->dead = l->busy > 0;
        TAILQ_FOREACH (call, &l->calls, link) {
                call->dead = true;
                dns_query_cancel(call->query); /* dns may go before the rest does */
                call->query = NULL;
        }
        if (l->busy)
                return;
        https->loop->keep = 0;
        while (!TAILQ_EMPTY(&l->calls))
                drop(TAILQ_FIRST(&l->calls));
        while ((call = TAILQ_FIRST(&l->waiting))) {
                TAILQ_REMOVE(&l->waiting, call, link);
                https_call_free(call);
        }
        (void)curl_multi_setopt(https->multi, CURLMOPT_SOCKETFUNCTION, NULL);
        (void)curl_multi_setopt(https->multi, CURLMOPT_TIMERFUNCTION, NULL);
        while (!TAILQ_EMPTY(&l->watches))
                watch_drop(TAILQ_FIRST(&l->watches));
        loop_timer_free(l->timer);
        free(l);
}

int https_on_loop(struct https *https, struct loop *loop, struct dns *dns, struct error *err)
{
        struct https_loop *l = calloc(1, sizeof(*l));
        CURLM *m = https->multi;

        if (!l || loop_timer_new(&l->timer, loop, NULL, on_timer, https) < 0 ||
            curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, socket_cb) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_SOCKETDATA, https) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, timer_cb) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_TIMERDATA, https) != CURLM_OK) {
                if (l)
                        loop_timer_free(l->timer);
                free(l);
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        }
        TAILQ_INIT(&l->watches);
        TAILQ_INIT(&l->calls);
        TAILQ_INIT(&l->waiting);
        l->keep = https->keep;
        l->loop = loop;
        l->dns = dns;
        https->loop = l;
        https->stop = stop;
        https->let_go = https_kept_clear;
        return 0;
}

/* ---- addresses: libcurl would look them up in a thread, which a confined process can't make ---- */

static int add_addresses(struct https_call *call, const char *host, uint16_t port)
{
        struct dns_address found[DNS_ADDRESSES_MAX];
        size_t n = dns_addresses(call->https->loop->dns, host, found);
        _cleanup_(buffer_free) struct buffer line = BUFFER(4096);
        struct curl_slist *list;
        int r = buffer_printf(&line, "%s:%u:", host, port);

        for (size_t i = 0; r == 0 && i < n; i++) {
                char text[INET6_ADDRSTRLEN];
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;

                memcpy(&v4, &found[i].storage, sizeof(v4));
                memcpy(&v6, &found[i].storage, sizeof(v6));
                if (found[i].storage.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text)))
                        r = buffer_printf(&line, "%s[%s]", i ? "," : "", text);
                else if (inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text)))
                        r = buffer_printf(&line, "%s%s", i ? "," : "", text);
        }
        if (r < 0 || n == 0)
                return r;
        list = curl_slist_append(call->addresses, line.data);
        if (!list)
                return -ENOMEM;
        call->addresses = list;
        return 0;
}

/* The time of its names counts, too. */
static void keep_time(struct https_call *call)
{
        const uint64_t now = loop_now(call->https->loop->loop);
        const long left = call->deadline > now ? (long)(call->deadline - now) : 1;

        if (call->deadline && !loop_is_fake(call->https->loop->loop))
                (void)curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, left);
}

static int go(struct https_call *call)
{
        keep_time(call);
        if (call->addresses && curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->addresses) != CURLE_OK)
                return -ENOMEM;
        return curl_multi_add_handle(call->https->multi, call->easy) == CURLM_OK ? 0 : -ENOMEM;
}

/* The i-th name whose address libcurl needs, or NULL: the proxy's, and the relay's where it is asked directly or the
 * proxy takes addresses alone. */
static const char *need(const struct https_call *call, size_t i, uint16_t *ret_port)
{
        const struct http_way *way = &call->way;
        const bool proxy = way->url[0] != '\0';

        *ret_port = proxy && i == 0 ? way->port : call->port;
        if (proxy && i == 0)
                return way->host;
        return i == (proxy ? 1 : 0) && (!proxy || way->takes_addresses) ? call->host : NULL;
}

static void on_address(void *arg, const struct dns_address *address, const char *why);

/* Gives libcurl the call with the addresses that it needs, once they are known. */
static int look_up(struct https_call *call)
{
        struct dns *dns = call->https->loop->dns;
        struct dns_address known;
        const char *name;
        uint16_t port;
        int r = 0;

        for (; r == 0 && (name = need(call, call->asked, &port)); call->asked++) {
                if (dns_numeric(&known, name) == 0 || strcasecmp(name, "localhost") == 0)
                        continue; /* libcurl needs no look-up for it */
                if (!dns_known(dns, &known, name))
                        return dns_query_start(&call->query, dns, name, on_address, call);
                r = add_addresses(call, name, port);
        }
        return r < 0 ? r : go(call);
}

static void on_address(void *arg, const struct dns_address *address, const char *why)
{
        struct https_call *call = arg;
        uint16_t port;
        const char *name = need(call, call->asked, &port);

        call->query = NULL;
        if (!address) {
                (void)snprintf(call->reason, sizeof(call->reason), "cannot find the address of %.120s: %.100s",
                               name ? name : "", why);
                https_over(call, name == call->host ? CURLE_COULDNT_RESOLVE_HOST : CURLE_COULDNT_RESOLVE_PROXY);
                return;
        }
        call->asked++;
        if (add_addresses(call, name, port) < 0 || look_up(call) < 0)
                https_over(call, CURLE_OUT_OF_MEMORY);
}

/* On a connection that waited. */
static int start_again(struct https_call *call, struct https_call **ret_call, const struct https_request *request,
                       const struct https_handlers *handlers, struct error *err)
{
        int r = https_kept_note(call, request, err);

        if (r < 0) {
                https_call_free(call);
                return r;
        }
        call->handlers = *handlers;
        TAILQ_INSERT_TAIL(&call->https->loop->calls, call, link);
        https_kept_send(call);
        *ret_call = call;
        return 0;
}

int https_start(struct https *https, struct https_call **ret_call, const struct https_request *request,
                const struct https_handlers *handlers, struct error *err)
{
        struct https_call *call = NULL;
        int r;

        if (request->keeps && !handlers->on_data)
                call = https_kept_find(https, request->url);
        if (call)
                return start_again(call, ret_call, request, handlers, err);
        r = https_call_new(&call, https, request, handlers, write_cb, err);
        if (r < 0)
                return r;
        if (call->keeps && (r = https_kept_note(call, request, err)) < 0) {
                https_call_free(call);
                return r;
        }
        call->deadline = request->timeout_ms ? loop_now(https->loop->loop) + request->timeout_ms : 0;
        if (call->keeps && call->deadline)
                loop_timer_at(call->timer, call->deadline);
        if (handlers->on_data)
                call->inbox.max = INBOX_MAX;
        if (loop_is_fake(https->loop->loop)) { /* libcurl's clock is the real one, whose time means nothing there */
                (void)curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, 0L);
                (void)curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, 0L);
        }
        TAILQ_INSERT_TAIL(&https->loop->calls, call, link);
        r = look_up(call);
        if (r < 0) {
                drop(call);
                return error_fail(err, r, "HTTPS: out of memory");
        }
        *ret_call = call;
        return 0;
}

struct https_call *https_cancel(struct https_call *call)
{
        if (!call)
                return NULL;
        call->dead = call->https->loop->reap = true;
        reap(call->https);
        return NULL;
}
