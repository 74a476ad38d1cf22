/*
 * Look-ups of DCs' names against a name server of our own on the same loop: answers, the memory of them,
 * silence, cancelling.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dns/dns.h"

struct site {
        struct loop *loop;
        struct dns *dns;
        struct loop_io *io;
        int fd;
        bool silent;
        uint8_t ttl;
        unsigned queries, answers, failures;
        unsigned searched; /* questions for a name of the search list */
        struct dns_address address;
};

/* Answers A questions with 10.1.2.3, for names that begin with 'm' with 10.1.2.4 before, with 'v' with twenty; all
 * others, and names that begin with 'x', with "no such name". */
static void on_query(void *arg, int fd, int events)
{
        struct site *site = arg;
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        uint8_t packet[600];
        ssize_t n = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &len);
        bool is_a;

        (void)events;
        if (n < 17)
                return;
        site->queries++;
        site->searched += memmem(packet, (size_t)n, "searchlist", 10) != NULL;
        if (site->silent)
                return;
        /* cut the EDNS record off: header and one question */
        for (n = 12; packet[n]; n += packet[n] + 1)
                ;
        n += 5;
        is_a = packet[n - 3] == 1 && packet[13] != 'x';
        packet[2] = 0x81;
        packet[3] = is_a ? 0x80 : 0x83;
        packet[7] = is_a;
        packet[9] = packet[11] = 0;
        if (is_a) {
                uint8_t answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, site->ttl, 0, 4, 10, 1, 2, 4};

                packet[7] = packet[13] == 'm' ? 2 : packet[13] == 'v' ? 20 : 1;
                for (uint8_t last = (uint8_t)(packet[7] + 2); last >= 3; last--) {
                        answer[sizeof answer - 1] = last;
                        memcpy(packet + n, answer, sizeof answer);
                        n += (ssize_t)sizeof answer;
                }
        }
        sendto(fd, packet, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static int set_up(void **state)
{
        struct site *site = calloc(1, sizeof *site);
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        char servers[64];
        struct error err;

        assert_non_null(site);
        assert_int_equal(loop_new(&site->loop), 0);
        site->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(site->fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(getsockname(site->fd, (struct sockaddr *)&sa, &len), 0);
        assert_int_equal(loop_io_new(&site->io, site->loop, NULL, site->fd, LOOP_READ, on_query, site), 0);
        setenv("LOCALDOMAIN", "searchlist.example", 1); /* the system's search list, as c-ares reads it */
        assert_int_equal(dns_new(&site->dns, site->loop, DNS_ABSOLUTE, &err), 0);
        snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(sa.sin_port));
        assert_int_equal(dns_set_servers(site->dns, servers), 0);
        site->ttl = 60;
        *state = site;
        return 0;
}

static int tear_down(void **state)
{
        struct site *site = *state;

        dns_free(site->dns);
        loop_io_free(site->io);
        close(site->fd);
        loop_free(site->loop);
        free(site);
        return 0;
}

static void on_answer(void *arg, const struct dns_address *address, const char *why)
{
        struct site *site = arg;

        if (address) {
                site->answers++;
                site->address = *address;
        } else {
                assert_non_null(why);
                site->failures++;
        }
}

static void on_spun(void *arg)
{
        loop_stop(arg, 0);
}

static void spin(struct site *site, uint32_t ms)
{
        struct loop_timer *timer = NULL;

        assert_int_equal(loop_timer_new(&timer, site->loop, NULL, on_spun, site->loop), 0);
        loop_timer_in(timer, ms);
        loop_run(site->loop);
        loop_timer_free(timer);
}

/* Runs until so many answers and failures came; fails the test after ten seconds. */
static void until(struct site *site, unsigned n)
{
        uint64_t end = loop_now(site->loop) + 10000;

        while (site->answers + site->failures < n) {
                if (loop_now(site->loop) > end)
                        fail_msg("%u answers of %u", site->answers + site->failures, n);
                spin(site, 2);
        }
}

/* 1: known at once; 0: asked. */
static int ask(struct site *site, const char *host, struct dns_query **ret_query)
{
        if (dns_known(site->dns, &site->address, host))
                return 1;
        return dns_query_start(ret_query, site->dns, host, on_answer, site);
}

static void assert_address(const struct site *site, const char *expected)
{
        struct sockaddr_in sa;
        char text[INET_ADDRSTRLEN];

        memcpy(&sa, &site->address.storage, sizeof sa);
        assert_int_equal(sa.sin_family, AF_INET);
        assert_string_equal(inet_ntop(AF_INET, &sa.sin_addr, text, sizeof text), expected);
}

static void test_numeric_asks_nobody(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        struct dns_address address;

        assert_int_equal(ask(site, "192.0.2.7", &query), 1);
        assert_address(site, "192.0.2.7");
        assert_int_equal(ask(site, "2001:db8::1", &query), 1);
        assert_int_equal(site->address.storage.ss_family, AF_INET6);
        assert_int_equal(dns_numeric(&address, "dc1"), -EINVAL);
        assert_int_equal(dns_numeric(&address, "10.1"), -EINVAL);
        spin(site, 20);
        assert_int_equal(site->queries, 0);
}

/* A DC's name is whole: another domain's host of that name is none of ours. */
static void test_no_search_list(void **state)
{
        static const char *const names[] = {"xdc1.corp.example", "xdc1", "xdc2.corp.example."};
        struct site *site = *state;
        struct dns_query *query = NULL;

        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(ask(site, names[i], &query), 0);
                until(site, i + 1);
        }
        assert_int_equal(site->failures, 3);
        assert_true(site->queries > 0);
        assert_int_equal(site->searched, 0);
}

/* Each of a host's addresses has its turn. */
static void test_all_addresses(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        bool seen[32] = {false};
        unsigned n = 0;

        assert_int_equal(ask(site, "vmany.corp.example", &query), 0);
        until(site, 1);
        assert_int_equal(dns_count(site->dns, "vmany.corp.example"), 20);
        for (unsigned i = 0; i < 20; i++) {
                struct sockaddr_in sa;

                assert_true(dns_known(site->dns, &site->address, "vmany.corp.example"));
                memcpy(&sa, &site->address.storage, sizeof sa);
                n += !seen[ntohl(sa.sin_addr.s_addr) % 32];
                seen[ntohl(sa.sin_addr.s_addr) % 32] = true;
                dns_next(site->dns, "vmany.corp.example");
        }
        assert_int_equal(n, 20);
}

/* An answer of 200 SRV records, the worst first: those that are kept are the best, the rest is counted. */
static void test_srv_by_priority(void **state)
{
        enum { N = 200 };
        static struct dns_srv_answer answer;
        static uint8_t message[12 + N * 64];
        size_t n = 12;

        (void)state;
        message[2] = 0x81;
        message[7] = N;
        for (unsigned i = 0; i < N; i++) {
                char host[32];
                uint8_t head[] = {0, 0, 33, 0, 1, 0, 0, 0, 60, 0, 0, 0, (uint8_t)(N - i), 0, (uint8_t)(i % 2), 1, 133};
                uint8_t len = (uint8_t)snprintf(host, sizeof host, "dc%03u", N - i);

                head[10] = (uint8_t)(6 + 1 + len + 1);
                memcpy(message + n, head, sizeof head);
                n += sizeof head;
                message[n++] = len;
                memcpy(message + n, host, len);
                n += len;
                message[n++] = 0;
        }
        assert_int_equal(dns_srv_parse(&answer, message, n), 0);
        assert_int_equal(answer.n, DNS_SRV_MAX);
        assert_int_equal(answer.left_out, N - DNS_SRV_MAX);
        for (unsigned i = 0; i < DNS_SRV_MAX; i++)
                assert_int_equal(answer.records[i].priority, i + 1);
        assert_string_equal(answer.records[0].host, "dc001");
        assert_int_equal(answer.ttl, 60);
        assert_int_equal(dns_srv_parse(&answer, message, n - 1), -EBADMSG);
}

static void test_answer_is_remembered(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        unsigned queries;

        assert_int_equal(ask(site, "dc1.corp.example", &query), 0);
        assert_int_equal(site->answers, 0);
        until(site, 1);
        assert_address(site, "10.1.2.3");
        queries = site->queries;
        assert_int_equal(ask(site, "DC1.corp.example", &query), 1);
        assert_address(site, "10.1.2.3");
        assert_int_equal(site->queries, queries);
}

/* After its end an answer is still given, and asked for again meanwhile; also when nobody answers any more.
 */
static void test_ttl_ends(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        unsigned queries;

        site->ttl = 1;
        assert_int_equal(ask(site, "dc1.corp.example", &query), 0);
        until(site, 1);
        queries = site->queries;
        spin(site, 1100);
        site->silent = true;
        assert_int_equal(ask(site, "dc1.corp.example", &query), 1);
        assert_address(site, "10.1.2.3");
        spin(site, 50);
        assert_true(site->queries > queries);
        spin(site, 4500); /* the servers' time is over */
        site->silent = false;
        queries = site->queries;
        assert_int_equal(ask(site, "dc1.corp.example", &query), 1);
        spin(site, 100);
        assert_true(site->queries > queries);
        queries = site->queries;
        assert_int_equal(ask(site, "dc1.corp.example", &query), 1);
        spin(site, 20);
        assert_int_equal(site->queries, queries); /* fresh again */
}

static void test_no_such_name(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        unsigned queries;

        assert_int_equal(ask(site, "x.corp.example", &query), 0);
        until(site, 1);
        assert_int_equal(site->failures, 1);
        queries = site->queries;
        assert_int_equal(ask(site, "x.corp.example", &query),
                         0); /* again at once: from memory, but not inside the call */
        assert_int_equal(site->failures, 1);
        until(site, 2);
        assert_int_equal(site->queries, queries);
}

static void test_silence(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        uint64_t start = loop_now(site->loop);

        site->silent = true;
        assert_int_equal(ask(site, "dc1.corp.example", &query), 0);
        until(site, 1);
        assert_int_equal(site->failures, 1);
        assert_true(site->queries >= 2);
        assert_true(loop_now(site->loop) - start < 9000);
}

static void test_cancel(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;

        assert_int_equal(ask(site, "dc1.corp.example", &query), 0);
        dns_query_cancel(query);
        dns_query_cancel(NULL);
        assert_int_equal(ask(site, "dc2.corp.example", &query), 0);
        until(site, 1);
        spin(site, 50);
        assert_int_equal(site->answers, 1);
        site->silent = true;
        assert_int_equal(ask(site, "dc3.corp.example", &query), 0); /* still running when all is freed */
        spin(site, 10);
}

/* The memory is bounded; what was written longest ago is asked again. */
static void test_memory_is_bounded(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        char host[64];

        for (unsigned i = 0; i < DNS_CACHE_MAX + 1; i++) {
                snprintf(host, sizeof host, "dc%u.corp.example", i);
                assert_int_equal(ask(site, host, &query), 0);
                until(site, i + 1);
        }
        assert_int_equal(site->failures, 0);
        assert_int_equal(ask(site, "dc1.corp.example", &query), 1);
        assert_int_equal(ask(site, "dc0.corp.example", &query), 0);
        until(site, DNS_CACHE_MAX + 2);
}

/* Of several addresses the one that serves stays the one that is given, also when the answer is refreshed. */
static void test_next_address(void **state)
{
        struct site *site = *state;
        struct dns_query *query = NULL;
        unsigned queries;

        site->ttl = 1;
        assert_int_equal(dns_count(site->dns, "m.corp.example"), 1);
        dns_next(site->dns, "m.corp.example"); /* nothing is known: nothing happens */
        assert_int_equal(ask(site, "m.corp.example", &query), 0);
        until(site, 1);
        assert_address(site, "10.1.2.4");
        assert_int_equal(dns_count(site->dns, "m.corp.example"), 2);
        dns_next(site->dns, "m.corp.example");
        assert_int_equal(ask(site, "m.corp.example", &query), 1);
        assert_address(site, "10.1.2.3");
        spin(site, 1100);
        queries = site->queries;
        assert_int_equal(ask(site, "m.corp.example", &query), 1);
        while (site->queries < queries + 2)
                spin(site, 2);
        spin(site, 20);
        assert_int_equal(ask(site, "m.corp.example", &query), 1);
        assert_address(site, "10.1.2.3");
        dns_next(site->dns, "m.corp.example");
        assert_int_equal(ask(site, "m.corp.example", &query), 1);
        assert_address(site, "10.1.2.4");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_numeric_asks_nobody),
                TEST(test_no_search_list),
                TEST(test_all_addresses),
                TEST(test_srv_by_priority),
                TEST(test_answer_is_remembered),
                TEST(test_ttl_ends),
                TEST(test_no_such_name),
                TEST(test_silence),
                TEST(test_cancel),
                TEST(test_memory_is_bounded),
                TEST(test_next_address),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
