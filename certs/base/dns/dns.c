/*
 * c-ares on the loop: its sockets become loop_ios, its time-outs one timer, its answers a bounded cache.
 *
 * Invariant: no callback runs inside dns_query_start (an answer that c-ares gives at once waits for the next
 * turn), and a cancelled query is only marked, because c-ares cannot drop one: it goes when its answer comes.
 * It knows nothing of DCs.
 */
#include "base/dns/dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "base/core/log.h"

#define HOST_MAX 256
#define TRY_MS 1000
#define TRIES 2
#define TTL_MIN 1
#define FAILURE_TTL 1

struct addresses {
        struct dns_address at[DNS_ADDRESSES_MAX];
        size_t n, current;
};

struct entry {
        TAILQ_ENTRY(entry) link; /* the most recently written first */
        char host[HOST_MAX];
        uint64_t until;     /* fresh */
        uint64_t usable_to; /* stale, but better than nothing */
        bool asking;        /* for it again, in the background */
        struct addresses addresses;
};

struct watch {
        LIST_ENTRY(watch) link;
        int fd;
        struct loop_io *io;
};

struct dns_query {
        TAILQ_ENTRY(dns_query) link;
        struct dns *dns;
        char host[HOST_MAX];
        dns_fn *fn; /* NULL once cancelled */
        void *arg;
        struct dns_address address; /* len 0: none */
        const char *why;
        dns_srv_fn *srv_fn; /* then it asks for SRV records */
        struct dns_srv_answer *srv;
};

struct dns {
        struct loop *loop;
        ares_channel channel;
        struct loop_timer *timeout; /* c-ares's next time-out */
        struct loop_timer *deliver; /* the done list waits for it */
        TAILQ_HEAD(entry_list, entry) cache;
        size_t n_cache;
        LIST_HEAD(, watch) watches;
        TAILQ_HEAD(, dns_query) running, done;
        bool closing;
};

int dns_numeric(struct dns_address *ret_address, const char *text)
{
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        struct dns_address a = {0};

        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
                a.len = sizeof v4;
                memcpy(&a.storage, &v4, sizeof v4);
        } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
                a.len = sizeof v6;
                memcpy(&a.storage, &v6, sizeof v6);
        } else {
                return -EINVAL;
        }
        *ret_address = a;
        return 0;
}

void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;

        if (address->ss_family == AF_INET6) {
                memcpy(&v6, address, sizeof v6);
                v6.sin6_port = htons(port);
                memcpy(address, &v6, sizeof v6);
        } else {
                memcpy(&v4, address, sizeof v4);
                v4.sin_port = htons(port);
                memcpy(address, &v4, sizeof v4);
        }
}

/* Arms the timer for c-ares's next time-out. */
static void timeout_update(struct dns *dns)
{
        struct timeval tv;

        if (dns->closing)
                return;
        if (ares_timeout(dns->channel, NULL, &tv))
                loop_timer_in(dns->timeout, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
        else
                loop_timer_stop(dns->timeout);
}

static void on_ares_timeout(void *arg)
{
        struct dns *dns = arg;

        ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        timeout_update(dns);
}

static void on_ares_socket(void *arg, int fd, int events)
{
        struct dns *dns = arg;

        ares_process_fd(dns->channel, events & LOOP_READ ? fd : ARES_SOCKET_BAD,
                        events & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
        timeout_update(dns);
}

static void watch_free(struct watch *w)
{
        LIST_REMOVE(w, link);
        loop_io_free(w->io);
        free(w);
}

/* c-ares says what it waits for on a socket; neither: it is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
        struct dns *dns = arg;
        struct watch *w;
        int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);

        LIST_FOREACH (w, &dns->watches, link)
                if (w->fd == fd)
                        break;
        if (w && events)
                loop_io_set(w->io, events);
        else if (w)
                watch_free(w);
        if (w || !events)
                return;
        w = calloc(1, sizeof *w); /* without memory the query times out */
        if (!w || loop_io_new(&w->io, dns->loop, NULL, fd, events, on_ares_socket, dns) < 0) {
                free(w);
                return;
        }
        w->fd = fd;
        LIST_INSERT_HEAD(&dns->watches, w, link);
}

static struct entry *cache_find(const struct dns *dns, const char *host)
{
        struct entry *e;

        TAILQ_FOREACH (e, &dns->cache, link)
                if (strcasecmp(e->host, host) == 0)
                        return e;
        return NULL;
}

static const struct dns_address *current(const struct addresses *a)
{
        return &a->at[a->current];
}

/* Remembers an answer; the one written longest ago makes room. The address that is given at present stays so where the
 * answer still has it. */
static void cache_put(struct dns *dns, const char *host, const struct addresses *addresses, uint64_t ttl)
{
        struct entry *e = cache_find(dns, host);

        if (!e && dns->n_cache >= DNS_CACHE_MAX) {
                e = TAILQ_LAST(&dns->cache, entry_list);
                e->addresses.n = 0;
        }
        if (e) {
                TAILQ_REMOVE(&dns->cache, e, link);
        } else {
                e = calloc(1, sizeof *e);
                if (!e)
                        return;
                dns->n_cache++;
        }
        e->asking = false;
        e->until = loop_now(dns->loop) + ttl * 1000;
        if (addresses->n > 0 || strcasecmp(e->host, host) != 0 || e->usable_to <= loop_now(dns->loop)) {
                struct addresses next = *addresses;

                for (size_t i = 0; i < next.n && e->addresses.n > 0; i++)
                        if (memcmp(&next.at[i], current(&e->addresses), sizeof next.at[i]) == 0)
                                next.current = i;
                memcpy(e->host, host, strlen(host) + 1);
                e->addresses = next;
                e->usable_to = loop_now(dns->loop) + DNS_STALE_MAX * UINT64_C(1000);
        }
        TAILQ_INSERT_HEAD(&dns->cache, e, link);
}

/* The usable addresses; the least time to live goes to *ret_ttl. */
static void pick(struct addresses *out, const struct ares_addrinfo *info, uint64_t *ret_ttl)
{
        for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
                struct dns_address *a = &out->at[out->n];
                const int kept = n->ai_ttl > DNS_TTL_MAX ? DNS_TTL_MAX : n->ai_ttl;
                const uint64_t ttl = kept < TTL_MIN ? TTL_MIN : (uint64_t)kept;

                if (out->n == DNS_ADDRESSES_MAX) {
                        log_debug("dns_cut", KV_U("addresses", DNS_ADDRESSES_MAX));
                        return;
                }
                if ((n->ai_family != AF_INET && n->ai_family != AF_INET6) || n->ai_addrlen > sizeof a->storage)
                        continue;
                memcpy(&a->storage, n->ai_addr, n->ai_addrlen);
                a->len = n->ai_addrlen;
                if (out->n == 0 || ttl < *ret_ttl)
                        *ret_ttl = ttl;
                out->n++;
        }
}

/* Takes the query off the running ones; false, and it is gone, where all of dns goes away. */
static bool ended(struct dns_query *q)
{
        TAILQ_REMOVE(&q->dns->running, q, link);
        if (!q->dns->closing)
                return true;
        free(q);
        return false;
}

/* Newer versions of the library say how the servers failed, older ones that none could be asked: the same to us. */
static const char *why_of(int status)
{
        const bool failed = status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP;

        return ares_strerror(failed ? ARES_ECONNREFUSED : status);
}

/* bytes: the whole message, where there is one. */
static void take_srv(struct dns_query *q, int status, const unsigned char *bytes, size_t len)
{
        struct dns *dns = q->dns;

        if (!ended(q))
                return;
        q->why = status == ARES_SUCCESS ? "malformed answer" : why_of(status);
        if (status == ARES_SUCCESS && len > 0)
                q->srv = calloc(1, sizeof *q->srv);
        if (q->srv && dns_srv_parse(q->srv, bytes, len) < 0) {
                free(q->srv);
                q->srv = NULL;
        }
        log_debug("dns_srv", KV_S("name", q->host), KV_S("result", q->srv ? "ok" : q->why));
        TAILQ_INSERT_TAIL(&dns->done, q, link);
        loop_timer_in(dns->deliver, 0);
}

#ifdef HAVE_ARES_QUERY_DNSREC
/* As bytes again, so that one reader serves every c-ares. */
static void on_srv(void *arg, ares_status_t status, size_t timeouts, const ares_dns_record_t *record)
{
        unsigned char *bytes = NULL;
        size_t len = 0;

        (void)timeouts;
        if (status == ARES_SUCCESS && record && ares_dns_write(record, &bytes, &len) != ARES_SUCCESS)
                len = 0;
        take_srv(arg, (int)status, bytes, len);
        ares_free_string(bytes);
}

static void ask_srv(struct dns_query *q)
{
        (void)ares_query_dnsrec(q->dns->channel, q->host, ARES_CLASS_IN, ARES_REC_TYPE_SRV, on_srv, q, NULL);
}
#else
static void on_srv(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
        (void)timeouts;
        take_srv(arg, status, bytes, len > 0 ? (size_t)len : 0);
}

static void ask_srv(struct dns_query *q)
{
        ares_query(q->dns->channel, q->host, ns_c_in, ns_t_srv, on_srv, q);
}
#endif

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
        struct dns_query *q = arg;
        struct dns *dns = q->dns;
        struct addresses addresses = {0};
        const struct entry *e;
        uint64_t ttl = FAILURE_TTL;

        (void)timeouts;
        if (status == ARES_SUCCESS && info)
                pick(&addresses, info, &ttl);
        if (info)
                ares_freeaddrinfo(info);
        if (!ended(q))
                return;
        q->why = status == ARES_SUCCESS ? "no address" : why_of(status);
        q->address = addresses.at[0];
        cache_put(dns, q->host, &addresses, ttl);
        e = cache_find(dns, q->host);
        if (e && addresses.n > 0)
                q->address = *current(&e->addresses);
        log_debug("dns_answer", KV_S("host", q->host), KV_S("result", q->address.len ? "ok" : q->why));
        TAILQ_INSERT_TAIL(&dns->done, q, link);
        loop_timer_in(dns->deliver, 0);
}

/* Hands out one answer; the callee may free everything. */
static void on_deliver(void *arg)
{
        struct dns *dns = arg;
        struct dns_query *q = TAILQ_FIRST(&dns->done), answer;

        if (!q)
                return;
        TAILQ_REMOVE(&dns->done, q, link);
        if (!TAILQ_EMPTY(&dns->done))
                loop_timer_in(dns->deliver, 0);
        answer = *q;
        free(q);
        if (answer.srv_fn)
                answer.srv_fn(answer.arg, answer.srv, answer.why);
        else if (answer.fn)
                answer.fn(answer.arg, answer.address.len ? &answer.address : NULL, answer.why);
        free(answer.srv);
}

static int channel_new(struct dns *dns, bool absolute, struct error *err)
{
        struct ares_options options = {.timeout = TRY_MS,
                                       .tries = TRIES,
                                       .sock_state_cb = on_socket_state,
                                       .sock_state_cb_data = dns,
                                       .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS};
        int extra = absolute ? ARES_OPT_DOMAINS | ARES_OPT_FLAGS : 0; /* no domains: .domains is NULL */
        int status = ares_library_init(ARES_LIB_INIT_ALL);

        if (status == ARES_SUCCESS)
                status = ares_init_options(&dns->channel, &options,
                                           ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | extra);
        if (status != ARES_SUCCESS)
                return error_fail(err, -ENOMEM, "c-ares does not start: %s", ares_strerror(status));
        return 0;
}

int dns_new(struct dns **ret_dns, struct loop *loop, enum dns_names names, struct error *err)
{
        struct dns *dns = calloc(1, sizeof *dns);
        int r;

        if (!dns)
                return error_fail(err, -ENOMEM, "DNS: out of memory");
        dns->loop = loop;
        TAILQ_INIT(&dns->cache);
        TAILQ_INIT(&dns->running);
        TAILQ_INIT(&dns->done);
        LIST_INIT(&dns->watches);
        r = loop_timer_new(&dns->timeout, loop, NULL, on_ares_timeout, dns);
        if (r == 0)
                r = loop_timer_new(&dns->deliver, loop, NULL, on_deliver, dns);
        if (r == 0)
                r = channel_new(dns, names == DNS_ABSOLUTE, err);
        else
                error_fail(err, r, "DNS: out of memory");
        if (r < 0) {
                dns_free(dns);
                return r;
        }
        *ret_dns = dns;
        return 0;
}

int dns_set_servers(struct dns *dns, const char *list)
{
        char text[1024];
        size_t n = 0;

        for (; *list; list++) { /* c-ares takes no blanks */
                if (*list == ' ' || *list == '\t')
                        continue;
                if (n + 1 >= sizeof text)
                        return -EINVAL;
                text[n++] = *list;
        }
        text[n] = '\0';
        return ares_set_servers_ports_csv(dns->channel, text) == ARES_SUCCESS ? 0 : -EINVAL;
}

struct dns *dns_free(struct dns *dns)
{
        struct entry *e;
        struct watch *w;
        struct dns_query *q;

        if (!dns)
                return NULL;
        dns->closing = true;
        if (dns->channel)
                ares_destroy(dns->channel); /* ends what runs through on_answer */
        while ((w = LIST_FIRST(&dns->watches)))
                watch_free(w);
        while ((q = TAILQ_FIRST(&dns->done))) {
                TAILQ_REMOVE(&dns->done, q, link);
                free(q->srv);
                free(q);
        }
        while ((e = TAILQ_FIRST(&dns->cache))) {
                TAILQ_REMOVE(&dns->cache, e, link);
                free(e);
        }
        loop_timer_free(dns->timeout);
        loop_timer_free(dns->deliver);
        ares_library_cleanup();
        free(dns);
        return NULL;
}

static int query_new(struct dns_query **ret_query, struct dns *dns, const char *host, void *arg)
{
        const size_t n = strlen(host);
        struct dns_query *q = n < HOST_MAX ? calloc(1, sizeof *q) : NULL;

        if (!q)
                return n < HOST_MAX ? -ENOMEM : -EINVAL;
        memcpy(q->host, host, n + 1);
        q->dns = dns;
        q->arg = arg;
        *ret_query = q;
        return 0;
}

static void query_start(struct dns_query *q)
{
        struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        struct dns *dns = q->dns;

        TAILQ_INSERT_TAIL(&dns->running, q, link);
        ares_getaddrinfo(dns->channel, q->host, NULL, &hints, on_answer, q);
        timeout_update(dns);
}

bool dns_known(struct dns *dns, struct dns_address *ret_address, const char *host)
{
        uint64_t now = loop_now(dns->loop);
        struct dns_query *q;
        struct entry *e;

        if (dns_numeric(ret_address, host) == 0)
                return true;
        e = cache_find(dns, host);
        if (!e || e->addresses.n == 0 || e->usable_to <= now)
                return false;
        *ret_address = *current(&e->addresses);
        if (e->until <= now && !e->asking && query_new(&q, dns, e->host, NULL) == 0) {
                e->asking = true; /* nobody waits for this query: its answer goes to the memory */
                query_start(q);
        }
        return true;
}

size_t dns_addresses(const struct dns *dns, const char *host, struct dns_address out[DNS_ADDRESSES_MAX])
{
        const struct entry *e = cache_find(dns, host);
        size_t n = e ? e->addresses.n : 0;

        for (size_t i = 0; i < n; i++)
                out[i] = e->addresses.at[(e->addresses.current + i) % n];
        return n;
}

static void on_hosts_file(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
        struct addresses *found = arg;
        uint64_t ttl = 0; /* a file's addresses have none */

        (void)timeouts;
        if (status == ARES_SUCCESS && info)
                pick(found, info, &ttl);
        if (info)
                ares_freeaddrinfo(info);
}

void dns_learn_hosts_file(struct dns *dns, const char *host)
{
        char files_only[] = "f";
        struct ares_options options = {.lookups = files_only};
        struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        struct addresses found = {0};
        struct entry *e;
        ares_channel channel;

        if (strlen(host) >= HOST_MAX || ares_init_options(&channel, &options, ARES_OPT_LOOKUPS) != ARES_SUCCESS)
                return;
        ares_getaddrinfo(channel, host, NULL, &hints, on_hosts_file, &found);
        ares_destroy(channel); /* a file is read at once; nothing is left that could call back later */
        if (found.n == 0)
                return;
        cache_put(dns, host, &found, 0);
        e = cache_find(dns, host);
        if (e)
                e->until = e->usable_to = UINT64_MAX;
}

size_t dns_count(const struct dns *dns, const char *host)
{
        const struct entry *e = cache_find(dns, host);

        return e && e->addresses.n > 0 ? e->addresses.n : 1;
}

void dns_next(struct dns *dns, const char *host)
{
        struct entry *e = cache_find(dns, host);

        if (e && e->addresses.n > 0)
                e->addresses.current = (e->addresses.current + 1) % e->addresses.n;
}

int dns_query_start(struct dns_query **ret_query, struct dns *dns, const char *host, dns_fn *fn, void *arg)
{
        const struct entry *e = cache_find(dns, host);
        struct dns_query *q;
        int r = query_new(&q, dns, host, arg);

        if (r < 0)
                return r;
        q->fn = fn;
        if (e && e->until > loop_now(dns->loop)) {
                q->address = *current(&e->addresses);
                q->why = "no address (asked a moment ago)";
                TAILQ_INSERT_TAIL(&dns->done, q, link);
                loop_timer_in(dns->deliver, 0);
        } else {
                query_start(q);
        }
        *ret_query = q;
        return 0;
}

void dns_query_cancel(struct dns_query *query)
{
        if (!query)
                return;
        query->fn = NULL;
        query->srv_fn = NULL;
}

int dns_srv_start(struct dns_query **ret_query, struct dns *dns, const char *name, dns_srv_fn *fn, void *arg)
{
        struct dns_query *q;
        int r = query_new(&q, dns, name, arg);

        if (r < 0)
                return r;
        q->srv_fn = fn;
        TAILQ_INSERT_TAIL(&dns->running, q, link);
        ask_srv(q);
        timeout_update(dns);
        *ret_query = q;
        return 0;
}
