/*
 * A KDC that says that the account is another realm's (KRB-ERROR 68): nobody else is asked, whether that realm is
 * configured or not. The other realm is a real AD's; the KDC that refers only refers.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <krb5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define CLIENTS 16

/* Answers every request with one and the same error. */
static struct {
        struct rig *rig;
        int fd;
        uint16_t port;
        struct loop_io *io;
        struct client {
                int fd;
                struct loop_io *io; /* NULL: free */
        } clients[CLIENTS];
        uint8_t reply[1024];
        size_t n;
        unsigned requests;
} kdc;

static char keytab[512];

static void on_request(void *arg, int fd, int events)
{
        struct client *c = arg;
        uint8_t bytes[8192];
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

        (void)events;
        if (n > 0) {
                kdc.requests++;
                assert_int_equal(send(fd, kdc.reply, kdc.n, MSG_NOSIGNAL), (ssize_t)kdc.n);
                return;
        }
        c->io = loop_io_free(c->io);
        close(c->fd);
}

static void on_accept(void *arg, int fd, int events)
{
        struct client *c = kdc.clients;

        (void)arg;
        (void)events;
        while (c < kdc.clients + CLIENTS && c->io)
                c++;
        assert_true(c < kdc.clients + CLIENTS);
        c->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(loop_io_new(&c->io, kdc.rig->loop, NULL, c->fd, LOOP_READ, on_request, c), 0);
}

/* KDC_ERR_WRONG_REALM with the realm as crealm (RFC 6806 section 7), framed for TCP. */
static void refer_to(const char *realm)
{
        krb5_context context = NULL;
        krb5_error error = {.error = 68, .susec = 1};
        krb5_principal client = NULL, server = NULL;
        krb5_data out = {0};
        krb5_timestamp now = 0;

        assert_int_equal(krb5_init_context(&context), 0);
        assert_int_equal(krb5_build_principal(context, &client, (unsigned)strlen(realm), realm, "x", (char *)NULL), 0);
        assert_int_equal(krb5_build_principal(context, &server, 13, "FRONT.EXAMPLE", "host", "x", (char *)NULL), 0);
        krb5_timeofday(context, &now);
        error.stime = now;
        error.client = client;
        error.server = server;
        assert_int_equal(krb5_mk_error(context, &error, &out), 0);
        kdc.n = 4 + out.length;
        assert_true(kdc.n <= sizeof kdc.reply);
        memcpy(kdc.reply, (const uint8_t[]){0, 0, (uint8_t)(out.length >> 8), (uint8_t)out.length}, 4);
        memcpy(kdc.reply + 4, out.data, out.length);
        krb5_free_data_contents(context, &out);
        krb5_free_principal(context, client);
        krb5_free_principal(context, server);
        krb5_free_context(context);
}

static int set_up(void **state)
{
        static struct rig rig;
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;

        rig_open(&rig);
        memset(&kdc, 0, sizeof kdc);
        kdc.rig = &rig;
        kdc.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(kdc.fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(listen(kdc.fd, 16), 0);
        assert_int_equal(getsockname(kdc.fd, (struct sockaddr *)&sa, &len), 0);
        kdc.port = ntohs(sa.sin_port);
        assert_int_equal(loop_io_new(&kdc.io, rig.loop, NULL, kdc.fd, LOOP_READ, on_accept, NULL), 0);
        *state = &rig;
        return 0;
}

static int tear_down(void **state)
{
        loop_io_free(kdc.io);
        for (size_t i = 0; i < CLIENTS; i++)
                if (kdc.clients[i].io) {
                        loop_io_free(kdc.clients[i].io);
                        close(kdc.clients[i].fd);
                }
        close(kdc.fd);
        rig_close(*state);
        return 0;
}

/* A keytab for the realm that only refers: no ticket of it is ever seen. */
static void make_front_keytab(void)
{
        static krb5_keytab keytab_of_front; /* a memory keytab lives while it is open */
        static krb5_octet key[32];
        krb5_keytab_entry entry = {.vno = 1};
        krb5_context context = NULL;

        if (keytab_of_front)
                return;
        assert_int_equal(krb5_init_context(&context), 0);
        assert_int_equal(krb5_kt_resolve(context, "MEMORY:front", &keytab_of_front), 0);
        assert_int_equal(krb5_parse_name(context, "host/connector.corp.example@FRONT.EXAMPLE", &entry.principal), 0);
        entry.key = (krb5_keyblock){.enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96, .length = sizeof key, .contents = key};
        assert_int_equal(krb5_kt_add_entry(context, keytab_of_front, &entry), 0);
        krb5_free_principal(context, entry.principal);
        krb5_free_context(context);
}

/* Domain 0: front.example, whose KDC only refers; domain 1: the lab's AD. corp.com is the first one's suffix.
 */
static void start(struct rig *rig, const char *realm)
{
        snprintf(keytab, sizeof keytab, "FILE:%s", lab_get("AD_KEYTAB"));
        make_front_keytab();
        for (size_t i = 0; i < 2; i++) {
                rig_samba(rig, i);
                rig->domains[i].methods[0] = METHOD_KRB5;
                rig->domains[i].keytab = i == 0 ? "MEMORY:front" : keytab;
                rig->domains[i].service_principal = lab_get("AD_SERVICE");
        }
        rig->domains[0].name = "front.example";
        rig->domains[0].realm = "FRONT.EXAMPLE";
        rig->domains[0].netbios = "FRONT";
        rig->domains[0].dcs[0] = (struct dc_config){.host = "kdc.front.example", .address = "127.0.0.1"};
        rig->domains[0].kdc_port = kdc.port;
        rig->domains[1].suffixes[0] = NULL;
        rig->domains[1].kdc_port = lab_port("AD_KDC_PORT");
        refer_to(realm);
        rig_start_ready(rig, 2);
        kdc.requests = 0;
}

/* The realm is another domain of the connector, which would let the user in. It was not asked for: the roster may not
 * let the connector speak for it, the service would refuse its account, and a plain KRB-ERROR is written by whoever is
 * on the path. */
static void test_a_domain_that_is_configured(void **state)
{
        struct rig *rig = *state;
        struct ask right = {.name = lab_get2("GOOD1", "ALT_UPN"), .password = lab_get2("GOOD1", "PASSWORD")},
                   wrong = {.name = lab_get2("GOOD14", "ALT_UPN"), .password = "Wr0ng-password-1"};

        start(rig, "CORP.EXAMPLE");
        ask_one(rig, &right);
        assert_reason(&right, REASON_REFERRAL);
        assert_int_equal(right.outcome.counted, COUNTED_NO);
        assert_non_null(strstr(right.outcome.context, "CORP.EXAMPLE"));
        assert_int_equal(kdc.requests, 1);
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_REFERRAL);
        assert_int_equal(lab_bad_pwd_count("good14"), 0);
}

/* A realm of nobody's, and one that refers to itself. */
static void test_nobodys(void **state)
{
        static const char *const realms[] = {"ELSEWHERE.EXAMPLE", "FRONT.EXAMPLE"};
        struct rig *rig = *state;

        for (size_t i = 0; i < 2; i++) {
                struct ask ask = {.name = lab_get2("GOOD1", "ALT_UPN"), .password = lab_get2("GOOD1", "PASSWORD")};

                start(rig, realms[i]);
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_REFERRAL);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_non_null(strstr(ask.outcome.context, realms[i]));
                assert_int_equal(kdc.requests, 1);
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_domain_that_is_configured),
                TEST(test_nobodys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
