/*
 * Many idle connectors' links at once, so that the relay's share of their cost can be measured: each has what a real
 * one has, a stream and a connection for reports, mTLS with a certificate of its own, reports as often as the relay
 * asks, and comes back by the relay's schedule when its stream ends. What it has no work for (roster, verdicts) it does
 * not say.
 *
 * usage: links PORT CA KEY DIR <commands; DIR/ID.pem are certificates of KEY, DIR/ID.statement what ID says, if it is
 * there
 *
 * Commands, a line each: "add ID TENANT [BOOT]" makes a link known; "join COUNT RATE" connects the next COUNT of them,
 * RATE a second; "renew COUNT RATE" has the first COUNT ask for new certificates, which are not used; "drop N" ends the
 * N-th, which comes back; "status" prints a line of JSON and begins the counts anew; "leave" closes all. It ends with
 * its input. Judges nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/ipc/loop.h"
#include "certs/enrol/est.h"
#include "certs/trust/roster.h"
#include "certs/trust/statement.h"
#include "queue/wire/wire.h"

#define LINKS_MAX 65536
#define PACE_MS 10
#define SILENT_MS 25000 /* of the stream (PROTOCOL.md 12.1) */
#define ANSWER_MS 60000
#define GIVE_UP_MS 60000 /* to come to a hello: more than a link's, for the machine is busy */
#define ANSWER_MAX 4096
#define SHAKING_MAX 64 /* handshakes under way; the next link waits: one process stands for many hosts */
#define SOURCES 8      /* addresses of this host that connections come from: one has too few ports */

enum step { STEP_AWAY = 0, STEP_STREAM, STEP_REPORTS, STEP_LIVE };

struct wire {
        struct link *link;
        int fd; /* -1: none */
        SSL *ssl;
        struct loop_io *io;
        bool shaken;
};

struct link {
        char id[ID_MAX + 1], tenant[TENANT_MAX + 1], boot[BOOT_LEN + 1], session[ID_MAX + 1];
        enum step step;
        struct wire stream, reports;
        struct loop_timer *timer; /* the next attempt, report, or the end of waiting for one */
        uint64_t heard, posted;   /* posted: when the report under way left; 0: none is */
        uint32_t every, reconnect_min, reconnect_max;
        bool joined; /* it has been live once: it ends as lost */
        bool told;   /* its statement, in this session */
        char *statement;
        struct loop_timer *renew; /* NULL: its certificate is not renewed */
        uint64_t asks, asked;     /* since when it wants one; when it asked last, 0: no answer is waited for */
        char *head;               /* of the stream, until the hello is whole */
        size_t n_head;
};

static struct {
        struct loop *loop;
        struct loop_timer *pace;
        SSL_CTX *tls;
        uint16_t port;
        const char *dir;
        EVP_PKEY *key;
        struct link *links;
        size_t n, started, wanted;
        uint64_t pace_from;
        size_t paced, rate, shaking;
        struct loop_timer *renew_pace;
        uint64_t renew_from;
        size_t renewals, renew_wanted, renew_rate;
        /* since the last status */
        uint64_t lost, failed, refused, reports, silent, slowest_ms, renewed, put_off, renewal_ms;
        char why[200]; /* the last loss or refusal */
} g;

static void die(const char *what, const char *why)
{
        fprintf(stderr, "links: %s: %s\n", what, why);
        exit(2);
}

/* ---- a connection ---- */

static void wire_close(struct wire *w)
{
        if (w->fd < 0)
                return;
        g.shaking -= !w->shaken;
        w->io = loop_io_free(w->io);
        SSL_free(w->ssl);
        w->ssl = NULL;
        close(w->fd);
        w->fd = -1;
        w->shaken = false;
}

static void link_lost(struct link *l, const char *why);

/* Bytes; 0: none for now; -1: it has ended. */
static int wire_read(struct wire *w, char *out, int cap)
{
        const int n = SSL_read(w->ssl, out, cap);

        if (n > 0)
                return n;
        const int code = SSL_get_error(w->ssl, n);
        ERR_clear_error();
        return code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Small enough that a socket takes it at once. */
static void wire_write(struct wire *w, const char *text, size_t n)
{
        if (SSL_write(w->ssl, text, (int)n) != (int)n)
                link_lost(w->link, "a request did not leave");
}

static void on_wire(void *arg, int fd, int events);

static int wire_open(struct wire *w, struct link *l)
{
        struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(g.port)};
        const int on = 1;
        char path[4096];

        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)((size_t)(l - g.links) % SOURCES));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        (void)snprintf(path, sizeof(path), "%s/%s.pem", g.dir, l->id);
        w->link = l;
        w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (w->fd < 0)
                die("socket", strerror(errno));
        g.shaking++;
        (void)setsockopt(w->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        (void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        w->ssl = SSL_new(g.tls);
        if (!w->ssl || bind(w->fd, (struct sockaddr *)&from, sizeof(from)) < 0 || SSL_set_fd(w->ssl, w->fd) != 1 ||
            SSL_use_certificate_file(w->ssl, path, SSL_FILETYPE_PEM) != 1 || SSL_use_PrivateKey(w->ssl, g.key) != 1)
                die(path, "no connection can be made with it");
        SSL_set_connect_state(w->ssl);
        if (connect(w->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
                return -errno;
        return loop_io_new(&w->io, g.loop, NULL, w->fd, LOOP_READ | LOOP_WRITE | LOOP_EDGE, on_wire, w);
}

/* ---- a link ---- */

static void link_connect(struct link *l)
{
        l->step = STEP_STREAM;
        if (g.shaking >= SHAKING_MAX) {
                l->step = STEP_AWAY;
                loop_timer_in(l->timer, PACE_MS);
                return;
        }
        loop_timer_in(l->timer, GIVE_UP_MS);
        if (wire_open(&l->stream, l) < 0)
                link_lost(l, "connecting failed");
}

/* It comes back by the schedule: a wait that is drawn once, then the longest one. */
static void link_lost(struct link *l, const char *why)
{
        const bool was_live = l->step == STEP_LIVE;

        if (l->step == STEP_AWAY)
                return;
        g.lost += was_live;
        g.failed += !was_live;
        (void)snprintf(g.why, sizeof(g.why), "%s: %s", was_live ? "lost" : "no link", why);
        wire_close(&l->stream);
        wire_close(&l->reports);
        free(l->head);
        l->head = NULL;
        l->n_head = 0;
        l->posted = l->asked = 0;
        l->told = false;
        l->step = STEP_AWAY;
        loop_timer_in(l->timer, was_live ? loop_jitter(l->reconnect_min, l->reconnect_max) : l->reconnect_max);
}

static void link_report(struct link *l)
{
        static char text[STATEMENT_TEXT_MAX + 800], whole[STATEMENT_TEXT_MAX + 1200];
        const char *statement = l->statement && !l->told ? l->statement : NULL;
        const int body = snprintf(text, sizeof(text),
                                  "{\"session\":\"%s\",\"boot\":\"%s\",\"granted\":16,\"ready\":{%s},\"reasons\":[%s],"
                                  "\"load\":0.0,%s%s%s\"items\":[]}",
                                  l->session, l->boot, l->statement ? "\"corp.example\":true" : "",
                                  l->statement ? "" : "\"no_roster\"", statement ? "\"statement\":\"" : "",
                                  statement ? statement : "", statement ? "\"," : "");
        const int n = snprintf(whole, sizeof(whole),
                               "POST /v1/link/report HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n"
                               "Content-Length: %d\r\n\r\n%s",
                               body, text);

        l->posted = loop_now(g.loop);
        l->told = true;
        loop_timer_in(l->timer, ANSWER_MS);
        wire_write(&l->reports, whole, (size_t)n);
}

/* The stream's first event: who it is now, how often to report, when to come back. */
static void take_hello(struct link *l)
{
        const char *data = memmem(l->head, l->n_head, "event: hello\ndata: ", strlen("event: hello\ndata: "));
        const char *from = data ? data + strlen("event: hello\ndata: ") : NULL;
        const char *end = from ? memmem(from, l->n_head - (size_t)(from - l->head), "\n\n", 2) : NULL;
        struct hello hello;
        struct error err;

        if (!end) {
                if (l->n_head + 1 < ANSWER_MAX && (l->n_head < 12 || memcmp(l->head, "HTTP/1.1 200", 12) == 0))
                        return;
                g.refused++;
                link_lost(l, l->head);
                return;
        }
        if (hello_decode(&hello, from, (size_t)(end - from), &err) < 0)
                die("hello", err.text);
        memcpy(l->session, hello.session, sizeof(l->session));
        l->every = hello.report;
        l->reconnect_min = hello.reconnect_min;
        l->reconnect_max = hello.reconnect_max;
        free(l->head);
        l->head = NULL;
        l->step = STEP_REPORTS;
        if (wire_open(&l->reports, l) < 0)
                link_lost(l, "connecting failed");
}

static void read_stream(struct link *l)
{
        char bytes[ANSWER_MAX];
        int n;

        while (l->step != STEP_AWAY && (n = wire_read(&l->stream, bytes, sizeof(bytes))) != 0) {
                if (n < 0) {
                        link_lost(l, "the stream has ended");
                        return;
                }
                l->heard = loop_now(g.loop);
                if (l->step != STEP_STREAM)
                        continue;
                if (!l->head && !(l->head = calloc(1, ANSWER_MAX)))
                        die("memory", "none");
                const size_t room = ANSWER_MAX - 1 - l->n_head, take = (size_t)n < room ? (size_t)n : room;
                memcpy(l->head + l->n_head, bytes, take);
                l->n_head += take;
                take_hello(l);
        }
}

/* ---- renewals, by the connection for reports, between two of them ---- */

static void renew(struct link *l)
{
        _cleanup_(buffer_free) struct buffer url = BUFFER(1024), body = BUFFER(EST_REQUEST_MAX), out = BUFFER(16384);
        struct est_asker asker = {.tenant = l->tenant, .id = l->id};
        struct error err;

        if (l->posted || l->asked || l->step != STEP_LIVE) {
                loop_timer_in(l->renew, PACE_MS);
                return;
        }
        if (key_generate(&asker.key, &err) < 0 ||
            est_make_request(&asker, "", "simplereenroll", &url, &body, &err) < 0 ||
            buffer_printf(&out,
                          "POST %s HTTP/1.1\r\nHost: relay\r\nContent-Type: application/pkcs10\r\nContent-Length: "
                          "%zu\r\n\r\n",
                          url.data, body.len) < 0 ||
            buffer_append(&out, body.data, body.len) < 0)
                die("renewal", err.text);
        key_free(asker.key);
        l->asked = loop_now(g.loop);
        l->asks = l->asks ? l->asks : l->asked;
        wire_write(&l->reports, out.data, out.len);
}

static void on_renew(void *arg)
{
        renew(arg);
}

/* Whether text is the answer to a request for a certificate. */
static bool take_certificate(struct link *l, const char *text)
{
        const char *after = strcasestr(text, "retry-after: ");
        const uint64_t now = loop_now(g.loop);

        if (!l->asked)
                return false;
        l->asked = 0;
        if (strncmp(text, "HTTP/1.1 202", 12) == 0 && after) {
                g.put_off++;
                loop_timer_in(l->renew, (uint64_t)strtoul(after + strlen("retry-after: "), NULL, 10) * 1000);
        } else if (strncmp(text, "HTTP/1.1 200", 12) == 0) {
                g.renewed++;
                g.renewal_ms = now - l->asks > g.renewal_ms ? now - l->asks : g.renewal_ms;
                l->asks = 0;
        } else {
                g.refused++;
                (void)snprintf(g.why, sizeof(g.why), "no certificate: %.150s", text);
        }
        return true;
}

/* The relay's answers are small, and leave as one record. */
static void read_answer(struct link *l)
{
        char text[ANSWER_MAX];
        struct report_answer answer;
        struct error err;
        const int n = wire_read(&l->reports, text, sizeof(text) - 1);

        if (n == 0)
                return;
        text[n < 0 ? 0 : n] = '\0';
        if (n > 0 && take_certificate(l, text))
                return;
        const char *body = strstr(text, "\r\n\r\n");
        if (n < 0 || strncmp(text, "HTTP/1.1 200", 12) != 0 || !body || !l->posted) {
                g.refused += n > 0;
                link_lost(l, n < 0 ? "the connection for reports has ended" : text);
                return;
        }
        body += 4;
        if (report_answer_decode(&answer, body, strlen(body), &err) < 0)
                die("answer", err.text);
        if (answer.has_reconnect) {
                l->reconnect_min = answer.reconnect_min;
                l->reconnect_max = answer.reconnect_max;
        }
        if (answer.report)
                l->every = answer.report;
        report_answer_clear(&answer);
        const uint64_t took = loop_now(g.loop) - l->posted;
        g.slowest_ms = took > g.slowest_ms ? took : g.slowest_ms;
        g.reports++;
        l->posted = 0;
        l->step = STEP_LIVE;
        l->joined = true;
        loop_timer_in(l->timer, l->every - l->every / 5);
}

static void on_shaken(struct wire *w)
{
        struct link *l = w->link;
        char text[300];

        w->shaken = true;
        g.shaking--;
        if (w == &l->reports) {
                link_report(l);
                return;
        }
        (void)snprintf(text, sizeof(text), "GET /v1/link/stream?boot=%s HTTP/1.1\r\nHost: relay\r\n\r\n", l->boot);
        wire_write(w, text, strlen(text));
}

static void on_wire(void *arg, int fd, int events)
{
        struct wire *w = arg;
        struct link *l = w->link;

        (void)fd;
        (void)events;
        if (!w->shaken) {
                const int r = SSL_do_handshake(w->ssl), code = r == 1 ? 0 : SSL_get_error(w->ssl, r);

                ERR_clear_error();
                if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
                        return;
                if (code) {
                        link_lost(l, "the handshake failed");
                        return;
                }
                on_shaken(w);
        }
        if (l->step != STEP_AWAY && w == &l->stream)
                read_stream(l);
        else if (l->step != STEP_AWAY)
                read_answer(l);
}

static void on_link_timer(void *arg)
{
        struct link *l = arg;

        if (l->step == STEP_AWAY) {
                link_connect(l);
        } else if (l->step != STEP_LIVE) {
                link_lost(l, "no hello, or no answer to the first report, for a minute");
        } else if (l->posted || loop_now(g.loop) - l->heard > SILENT_MS) {
                g.silent++;
                link_lost(l, l->posted ? "a report had no answer for a minute" : "no heartbeat for 25 s");
        } else if (l->asked) {
                loop_timer_in(l->timer, PACE_MS);
        } else {
                link_report(l);
        }
}

/* ---- commands ---- */

static void add_link(const char *words)
{
        _cleanup_(buffer_free) struct buffer statement = BUFFER(STATEMENT_TEXT_MAX);
        struct link *l = &g.links[g.n];
        uint8_t boot[16];
        char path[4096];
        struct error err;

        if (g.n == LINKS_MAX)
                die("add", "too many");
        if (RAND_bytes(boot, sizeof(boot)) != 1 || loop_timer_new(&l->timer, g.loop, NULL, on_link_timer, l) < 0)
                die("add", "no memory");
        b64u_encode_to(l->boot, boot, sizeof(boot));
        if (sscanf(words, "%64s %64s %22s", l->id, l->tenant, l->boot) < 2)
                die("add", words);
        (void)snprintf(path, sizeof(path), "%s/%s.statement", g.dir, l->id);
        if (file_read(&statement, path, &err) == 0)
                l->statement = buffer_steal(&statement);
        l->stream.fd = l->reports.fd = -1;
        l->reconnect_max = 1000;
        g.n++;
}

static void on_pace(void *arg)
{
        const uint64_t now = loop_now(g.loop);
        const size_t due = (size_t)((now - g.pace_from) * g.rate / 1000) + 1;

        (void)arg;
        while (g.started < g.wanted && g.paced < due) {
                link_connect(&g.links[g.started++]);
                g.paced++;
        }
        if (g.started < g.wanted)
                loop_timer_in(g.pace, PACE_MS);
}

static void join(size_t count, size_t rate)
{
        g.wanted = g.started + count < g.n ? g.started + count : g.n;
        g.pace_from = loop_now(g.loop);
        g.paced = 0;
        g.rate = rate;
        on_pace(NULL);
}

static void on_renew_pace(void *arg)
{
        const size_t due = (size_t)((loop_now(g.loop) - g.renew_from) * g.renew_rate / 1000) + 1;

        (void)arg;
        for (; g.renewals < g.renew_wanted && g.renewals < due; g.renewals++) {
                struct link *l = &g.links[g.renewals];

                if (!l->renew && loop_timer_new(&l->renew, g.loop, NULL, on_renew, l) < 0)
                        die("renew", "no memory");
                renew(l);
        }
        if (g.renewals < g.renew_wanted)
                loop_timer_in(g.renew_pace, PACE_MS);
}

static void renew_some(size_t count, size_t rate)
{
        g.renew_wanted = count < g.started ? count : g.started;
        g.renew_from = loop_now(g.loop);
        g.renewals = 0;
        g.renew_rate = rate;
        on_renew_pace(NULL);
}

static void leave(void)
{
        for (size_t i = 0; i < g.started; i++) {
                struct link *l = &g.links[i];

                loop_timer_stop(l->timer);
                l->renew = loop_timer_free(l->renew);
                wire_close(&l->stream);
                wire_close(&l->reports);
                l->step = STEP_AWAY;
        }
}

static void status(void)
{
        size_t live = 0, once = 0;
        uint32_t most = 0;

        for (size_t i = 0; i < g.started; i++) {
                const struct link *l = &g.links[i];

                live += l->step == STEP_LIVE;
                once += l->joined;
                most = l->step == STEP_LIVE && l->every > most ? l->every : most;
        }
        printf("{\"started\":%zu,\"live\":%zu,\"joined\":%zu,\"lost\":%llu,\"failed\":%llu,\"refused\":%llu,"
               "\"silent\":%llu,\"reports\":%llu,\"slowest_ms\":%llu,\"every_ms\":%u,\"renewed\":%llu,\"put_off\":%llu,"
               "\"renewal_ms\":%llu,\"why\":\"",
               g.started, live, once, (unsigned long long)g.lost, (unsigned long long)g.failed,
               (unsigned long long)g.refused, (unsigned long long)g.silent, (unsigned long long)g.reports,
               (unsigned long long)g.slowest_ms, most, (unsigned long long)g.renewed, (unsigned long long)g.put_off,
               (unsigned long long)g.renewal_ms);
        for (const char *c = g.why; *c; c++)
                putchar(*c < ' ' || *c == '"' || *c == '\\' ? ' ' : *c);
        printf("\"}\n");
        fflush(stdout);
        g.lost = g.failed = g.refused = g.silent = g.reports = g.slowest_ms = 0;
        g.renewed = g.put_off = g.renewal_ms = 0;
        g.why[0] = '\0';
}

static void obey(const char *line)
{
        unsigned long count, rate;

        if (strncmp(line, "add ", 4) == 0)
                add_link(line + 4);
        else if (sscanf(line, "join %lu %lu", &count, &rate) == 2 && rate > 0)
                join(count, rate);
        else if (sscanf(line, "renew %lu %lu", &count, &rate) == 2 && rate > 0)
                renew_some(count, rate);
        else if (sscanf(line, "drop %lu", &count) == 1 && count < g.started)
                link_lost(&g.links[count], "dropped");
        else if (strcmp(line, "status") == 0)
                status();
        else if (strcmp(line, "leave") == 0)
                leave();
        else
                die("command", line);
}

static void on_input(void *arg, int fd, int events)
{
        static struct buffer in = {.max = 1 << 20};
        char *end;
        ssize_t n;

        (void)arg;
        (void)events;
        if (buffer_reserve(&in, 4096) < 0)
                die("command", "too long");
        n = read(fd, in.data + in.len, 4096);
        if (n <= 0) {
                loop_stop(g.loop, 0);
                buffer_free(&in);
                return;
        }
        in.len += (size_t)n;
        while (in.len && (end = memchr(in.data, '\n', in.len))) {
                *end = '\0';
                obey(in.data);
                buffer_consume(&in, (size_t)(end + 1 - in.data));
        }
}

static void open_tls(const char *ca, const char *key)
{
        FILE *f = fopen(key, "r");

        g.key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
        g.tls = SSL_CTX_new(TLS_client_method());
        if (!g.key || !g.tls || SSL_CTX_load_verify_locations(g.tls, ca, NULL) != 1)
                die(key, "no key, or no CA");
        (void)fclose(f);
        SSL_CTX_set_verify(g.tls, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_mode(g.tls, SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
        struct rlimit files;
        struct loop_io *input;
        uint64_t port;

        if (argc != 5 || text_parse_u64(argv[1], 1, 65535, &port) < 0)
                die("usage", "links PORT CA KEY DIR <commands");
        g.port = (uint16_t)port;
        g.dir = argv[4];
        g.links = calloc(LINKS_MAX, sizeof(*g.links));
        if (!g.links || loop_new(&g.loop) < 0 || loop_timer_new(&g.pace, g.loop, NULL, on_pace, NULL) < 0 ||
            loop_timer_new(&g.renew_pace, g.loop, NULL, on_renew_pace, NULL) < 0 ||
            loop_io_new(&input, g.loop, NULL, STDIN_FILENO, LOOP_READ, on_input, NULL) < 0)
                die("start", "no memory");
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        open_tls(argv[2], argv[3]);
        const int code = loop_run(g.loop);
        leave();
        for (size_t i = 0; i < g.n; i++) {
                loop_timer_free(g.links[i].timer);
                free(g.links[i].statement);
        }
        loop_io_free(input);
        loop_timer_free(g.pace);
        loop_timer_free(g.renew_pace);
        loop_free(g.loop);
        SSL_CTX_free(g.tls);
        EVP_PKEY_free(g.key);
        free(g.links);
        return code;
}
