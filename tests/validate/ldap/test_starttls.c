/*
 * StartTLS: against a real AD DC, and against a peer that refuses it, answers badly, says more in clear text
 * than it may, or nothing at all. No password ever crosses in clear text.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

/* ExtendedResponse to message 1: success, and result 52 (unavailable). */
static const uint8_t agreed[] = {0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0};
static const uint8_t refused[] = {0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 52, 4, 0, 4, 0};
/* The same with a bind response, success for message 2, behind it. */
static const uint8_t injected[] = {0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0,
                                   0x30, 0x0c, 2, 1, 2, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0};
static const uint8_t other_id[] = {0x30, 0x0c, 2, 1, 9, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0};
static const uint8_t no_ldap[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

#define CLIENTS 16

/* Listens, answers the first words of every connection alike, and keeps what it was told. */
struct clear_peer {
        struct rig *rig;
        int fd;
        uint16_t port;
        struct loop_io *io;
        struct client {
                struct clear_peer *peer;
                struct loop_io *io; /* NULL: free */
                int fd;
                bool answered;
        } clients[CLIENTS];
        const uint8_t *answer;
        size_t answer_n, heard_n;
        char heard[16384];
};

static struct clear_peer peer;

static void client_close(struct client *c)
{
        if (!c->io)
                return;
        c->io = loop_io_free(c->io);
        close(c->fd);
}

static void on_heard(void *arg, int fd, int events)
{
        struct client *c = arg;
        struct clear_peer *p = c->peer;
        ssize_t n = recv(fd, p->heard + p->heard_n, sizeof p->heard - p->heard_n, MSG_DONTWAIT);

        (void)events;
        if (n <= 0) {
                client_close(c);
                return;
        }
        p->heard_n += (size_t)n;
        if (!c->answered && p->answer_n > 0)
                assert_int_equal(send(fd, p->answer, p->answer_n, MSG_NOSIGNAL), (ssize_t)p->answer_n);
        c->answered = true;
}

static void on_accept(void *arg, int fd, int events)
{
        struct clear_peer *p = arg;
        struct client *c = p->clients;

        (void)events;
        while (c < p->clients + CLIENTS && c->io)
                c++;
        assert_true(c < p->clients + CLIENTS);
        *c = (struct client){.peer = p, .fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC)};
        assert_int_equal(loop_io_new(&c->io, p->rig->loop, NULL, c->fd, LOOP_READ, on_heard, c), 0);
}

static int set_up(void **state)
{
        static struct rig rig;
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;

        rig_open(&rig);
        memset(&peer, 0, sizeof peer);
        peer.rig = &rig;
        peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(peer.fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(listen(peer.fd, 16), 0);
        assert_int_equal(getsockname(peer.fd, (struct sockaddr *)&sa, &len), 0);
        peer.port = ntohs(sa.sin_port);
        assert_int_equal(loop_io_new(&peer.io, rig.loop, NULL, peer.fd, LOOP_READ, on_accept, &peer), 0);
        *state = &rig;
        return 0;
}

static int tear_down(void **state)
{
        loop_io_free(peer.io);
        for (size_t i = 0; i < CLIENTS; i++)
                client_close(&peer.clients[i]);
        close(peer.fd);
        rig_close(*state);
        return 0;
}

static void test_a_real_dc(void **state)
{
        struct rig *rig = *state;
        struct ask right = {.name = lab_get2("GOOD1", "UPN"), .password = lab_get2("GOOD1", "PASSWORD")},
                   wrong = {.name = lab_get2("GOOD13", "UPN"), .password = "Wr0ng-password-1"};

        rig_samba(rig, 0);
        rig->domains[0].starttls = true;
        rig->domains[0].ldap_port = lab_port("AD_LDAP_PORT");
        rig_start_ready(rig, 1);
        ask_one(rig, &right);
        assert_reason(&right, REASON_OK);
        assert_string_equal(right.outcome.user.id, lab_get2("GOOD1", "SID"));
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(lab_bad_pwd_count("good13"), 1);
}

/* A certificate that is not the domain's is refused after StartTLS, too. */
static void test_identity_holds(void **state)
{
        struct rig *rig = *state;
        struct ask ask = {.name = "someone@other.example", .password = "secret-word-1"};

        rig_samba(rig, 0);
        rig->domains[0].name = "other.example";
        rig->domains[0].starttls = true;
        rig->domains[0].ldap_port = lab_port("AD_LDAP_PORT");
        rig_start(rig, 1);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_DC_CERTIFICATE);
}

static void check_answer(struct rig *rig, const uint8_t *answer, size_t n, enum reason reason)
{
        struct ask ask = {.name = "someone@corp.example", .password = "secret-word-1", .budget_ms = 3000};

        peer.answer = answer;
        peer.answer_n = n;
        peer.heard_n = 0;
        rig_samba(rig, 0);
        rig->domains[0].dcs[0].address = "127.0.0.1";
        rig->domains[0].starttls = true;
        rig->domains[0].ldap_port = peer.port;
        rig->domains[0].connect_timeout_ms = 500;
        rig_start(rig, 1);
        ask_one(rig, &ask);
        assert_reason(&ask, reason);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_null(memmem(peer.heard, peer.heard_n, "secret-word-1", 13));
        assert_null(memmem(peer.heard, peer.heard_n, "someone", 7));
        rig->v = validate_free(rig->v);
        loop_run_once(rig->loop);
}

static void test_bad_answers(void **state)
{
        struct rig *rig = *state;

        check_answer(rig, refused, sizeof refused, REASON_DC_TLS);
        check_answer(rig, injected, sizeof injected, REASON_DC_PROTOCOL);
        check_answer(rig, other_id, sizeof other_id, REASON_DC_PROTOCOL);
        check_answer(rig, no_ldap, sizeof no_ldap - 1, REASON_DC_PROTOCOL);
        check_answer(rig, agreed, 5, REASON_DC_TLS_TIMEOUT); /* cut, then silence */
        check_answer(rig, NULL, 0, REASON_DC_TLS_TIMEOUT);
        check_answer(rig, agreed, sizeof agreed, REASON_DC_TLS_TIMEOUT); /* and then no handshake */
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_real_dc),
                TEST(test_identity_holds),
                TEST(test_bad_answers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
