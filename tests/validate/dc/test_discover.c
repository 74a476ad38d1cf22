/*
 * Domain controllers found by SRV records of a real name server: the site first, records that change, servers
 * that fall silent, and the reasons when there is nothing to find.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define DEAD_ADDRESS_1 "127.9.9.1"
#define DEAD_ADDRESS_2 "127.9.9.2"
#define SITE "Default-First-Site-Name"
#define DOMAIN_SRV "_ldap._tcp.dc._msdcs.corp.example"

struct site {
        struct rig rig;
        char conf[128], servers[64];
        char address[20];
        pid_t dnsmasq;
        unsigned ghosts; /* records of DCs that are not there */
};

static struct site s;

/* An address of its own, for the name server comes back to it: a port of 127.0.0.1 could be another's by then. */
#define DNS_PORT 5300U

static void own_address(char *out, size_t cap)
{
        const unsigned pid = (unsigned)getpid();

        (void)snprintf(out, cap, "127.%u.%u.%u", 128 + (pid >> 16) % 64, (pid >> 8) & 255, pid & 255);
}

static void dns_stop(void)
{
        if (s.dnsmasq <= 0)
                return;
        kill(s.dnsmasq, SIGKILL);
        waitpid(s.dnsmasq, NULL, 0);
        s.dnsmasq = 0;
}

/* Starts (anew) a name server that knows the DCs' addresses and these SRV records: (name, target) pairs.
 * Addresses where nothing listens stand before and after the first DC's own. */
static void dns_start(const char *const (*records)[2], size_t n)
{
        char *argv[] = {strdup("dnsmasq"), NULL, NULL};
        const char *dc1 = lab_get("AD_HOST");
        char option[160];
        FILE *conf;

        dns_stop();
        conf = fopen(s.conf, "w");
        assert_non_null(conf);
        fprintf(conf,
                "keep-in-foreground\nno-resolv\nno-hosts\nno-daemon\nport=%u\nlisten-address=%s\n"
                "bind-interfaces\nuser=root\ngroup=root\npid-file=\nlocal-ttl=5\nlocal=/example/\n"
                "no-round-robin\nhost-record=%s," DEAD_ADDRESS_1 "\nhost-record=%s,%s\n"
                "host-record=%s," DEAD_ADDRESS_2 "\nhost-record=%s,%s\n",
                DNS_PORT, s.address, dc1, dc1, lab_get("AD_ADDRESS"), dc1, lab_get("AD2_HOST"), lab_get("AD2_ADDRESS"));
        for (unsigned i = 0; i < s.ghosts; i++)
                fprintf(conf, "srv-host=" DOMAIN_SRV ",ghost%u.corp.example,389,100\n", i);
        for (size_t i = 0; i < n; i++)
                fprintf(conf, "srv-host=%s,%s,389\n", records[i][0], records[i][1]);
        fclose(conf);
        snprintf(option, sizeof option, "--conf-file=%s", s.conf);
        argv[1] = option;
        assert_int_equal(posix_spawnp(&s.dnsmasq, "dnsmasq", NULL, NULL, argv, environ), 0);
        free(argv[0]);
}

static int set_up(void **state)
{
        int fd;

        (void)state;
        memset(&s, 0, sizeof s);
        rig_open(&s.rig);
        snprintf(s.conf, sizeof s.conf, "%s/discover-XXXXXX", lab_get("DIR"));
        fd = mkstemp(s.conf);
        assert_true(fd >= 0);
        close(fd);
        own_address(s.address, sizeof s.address);
        snprintf(s.servers, sizeof s.servers, "%s:%u", s.address, DNS_PORT);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        dns_stop();
        unlink(s.conf);
        rig_close(&s.rig);
        return 0;
}

static void start(const char *site)
{
        rig_samba(&s.rig, 0);
        s.rig.domains[0].n_dcs = 0;
        s.rig.domains[0].discover = true;
        s.rig.domains[0].site = site;
        s.rig.dns_servers = s.servers;
        rig_start(&s.rig, 1);
}

static void wait_ready(void)
{
        uint64_t end = loop_now(s.rig.loop) + 120000;
        const char *why = NULL;

        while (!validate_ready(s.rig.v, 0, &why)) {
                if (loop_now(s.rig.loop) > end)
                        fail_msg("not ready: %s", why);
                rig_spin(&s.rig, 20);
        }
}

struct seen {
        const char *host;
        char state[16], source[8];
};

static void on_dc(void *arg, const struct validate_dc *dc)
{
        struct seen *seen = arg;

        if (strcmp(dc->host, seen->host) != 0)
                return;
        snprintf(seen->state, sizeof seen->state, "%s", dc->state);
        snprintf(seen->source, sizeof seen->source, "%s", dc->source);
}

static struct seen look(const char *host)
{
        struct seen seen = {.host = host};

        validate_each_dc(s.rig.v, on_dc, &seen);
        return seen;
}

static void wait_state(const char *host, const char *state)
{
        uint64_t end = loop_now(s.rig.loop) + 120000;

        while (strcmp(look(host).state, state) != 0) {
                if (loop_now(s.rig.loop) > end)
                        fail_msg("%s is '%s' instead of '%s'", host, look(host).state, state);
                rig_spin(&s.rig, 20);
        }
}

static struct ask sign_in(void)
{
        struct ask ask = {.name = lab_get2("GOOD1", "UPN"), .password = lab_get2("GOOD1", "PASSWORD")};

        ask_one(&s.rig, &ask);
        return ask;
}

#define SITE_SRV "_ldap._tcp." SITE "._sites.dc._msdcs.corp.example"

/* The site's DC is asked, though the other is known and alive, too. */
static void test_the_site_first(void **state)
{
        const char *dc1 = lab_get("AD_HOST"), *dc2 = lab_get("AD2_HOST");
        const char *const records[][2] = {{DOMAIN_SRV, dc1}, {DOMAIN_SRV, dc2}, {SITE_SRV, dc2}};

        (void)state;
        dns_start(records, 3);
        start(SITE);
        wait_ready();
        wait_state(dc1, "alive");
        wait_state(dc2, "alive");
        assert_string_equal(look(dc1).source, "srv");
        assert_string_equal(look(dc2).source, "site");
        for (int i = 0; i < 10; i++) {
                struct ask ask = sign_in();

                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.dc, dc2);
        }
}

/* Records that change are followed when their TTL ends; a server that falls silent changes nothing. */
static void test_change_and_silence(void **state)
{
        const char *dc1 = lab_get("AD_HOST"), *dc2 = lab_get("AD2_HOST");
        const char *const before[][2] = {{DOMAIN_SRV, dc1}}, *const after[][2] = {{DOMAIN_SRV, dc2}};
        struct ask ask;

        (void)state;
        dns_start(before, 1);
        start(SITE); /* without records of its own */
        wait_ready();
        ask = sign_in();
        assert_string_equal(ask.outcome.dc, dc1);
        dns_start(after, 1);
        wait_state(dc2, "alive");
        wait_state(dc1, "gone");
        ask = sign_in();
        assert_reason(&ask, REASON_OK);
        assert_string_equal(ask.outcome.dc, dc2);
        kill(s.dnsmasq, SIGSTOP); /* a black hole: who waited for it would wait longer than the budget */
        for (int i = 0; i < 7; i++) {
                rig_spin(&s.rig, 1000);
                ask = sign_in();
                assert_reason(&ask, REASON_OK);
        }
}

/* Fifty DCs that are not there, and the one that is, with a better priority than they: it is among those that are
 * asked, and how many are left out is told. */
static void test_more_than_there_is_room_for(void **state)
{
        const char *dc1 = lab_get("AD_HOST");
        const char *const records[][2] = {{DOMAIN_SRV, dc1}};
        struct ask ask;

        (void)state;
        for (int i = 0; i < 3; i++) { /* whatever order the server sends */
                s.ghosts = 50;
                dns_start(records, 1);
                start(NULL);
                wait_ready();
                wait_state(dc1, "alive");
                assert_int_equal(validate_left_out(s.rig.v, 0), 51 - DCS_MAX);
                ask = sign_in();
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.dc, dc1);
                s.rig.v = validate_free(s.rig.v);
        }
}

static void test_nothing_to_find(void **state)
{
        const char *const records[][2] = {{"_ldap._tcp.dc._msdcs.other.example", "dc9.other.example"}};
        struct ask ask;

        (void)state;
        dns_start(records, 1);
        start(NULL);
        ask = sign_in();
        while (strstr(ask.outcome.context, "not looked up yet")) {
                rig_spin(&s.rig, 20);
                ask = sign_in();
        }
        assert_reason(&ask, REASON_DNS);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_non_null(strstr(ask.outcome.context, DOMAIN_SRV));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_site_first),
                TEST(test_change_and_silence),
                TEST(test_more_than_there_is_room_for),
                TEST(test_nothing_to_find),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
