/*
 * What a KDC that holds no key can make the connector say: it answers whatever it likes, as anybody between connector
 * and domain controller can. Beside it stands a real one's LDAPS.
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
#include "tests/validate/unasked.h"
#include "tests/lab/lab.h"
#include "validate/krb/der.h"

#define CLIENTS 16
#define WRONG "Wr0ng-password-1"

/* Asks for a timestamp, and answers the one that comes with an error of choice. */
static struct {
        struct rig *rig;
        int fd;
        uint16_t port;
        struct loop_io *io;
        struct client {
                int fd;
                struct loop_io *io; /* NULL: free */
        } clients[CLIENTS];
        int code;
        uint32_t ntstatus; /* 0: none */
        unsigned proofs, asked;
        bool holds; /* no answer to a proof */
        bool tells; /* the error comes without one having been asked for */
} kdc;

/* A KRB-ERROR, framed for TCP; its length. */
static size_t make_error(uint8_t out[1024], int code, const void *e_data, size_t n)
{
        static const char realm[] = "CORP.EXAMPLE";
        krb5_context context = NULL;
        krb5_principal server = NULL;
        krb5_error error = {.error = (krb5_ui_4)code, .susec = 1, .e_data = {.length = (unsigned)n}};
        krb5_data made = {0};
        krb5_timestamp now = 0;
        size_t len;

        memcpy(&error.e_data.data, &e_data, sizeof e_data);
        assert_int_equal(krb5_init_context(&context), 0);
        assert_int_equal(krb5_build_principal(context, &server, sizeof realm - 1, realm, "krbtgt", realm, (char *)NULL),
                         0);
        krb5_timeofday(context, &now);
        error.stime = now;
        error.server = server;
        assert_int_equal(krb5_mk_error(context, &error, &made), 0);
        len = made.length;
        assert_true(len + 4 <= 1024);
        memcpy(out, (const uint8_t[]){0, 0, (uint8_t)(len >> 8), (uint8_t)len}, 4);
        memcpy(out + 4, made.data, len);
        krb5_free_data_contents(context, &made);
        krb5_free_principal(context, server);
        krb5_free_context(context);
        return len + 4;
}

static size_t answer(uint8_t out[1024], const uint8_t *request, size_t n)
{
        /* METHOD-DATA: PA-ENC-TIMESTAMP, and PA-ETYPE-INFO2 that names AES */
        static const char hints[] = "\x30\x27\x30\x09\xa1\3\2\1\2\xa2\2\4\0\x30\x1a\xa1\3\2\1\x13\xa2\x13\4\x11"
                                    "\x30\x0f\x30\x0d\xa0\3\2\1\x12\xa1\6\x1b\4salt";
        uint8_t cause[12] = {0};
        bool preauth = false;

        assert_true(n > 4 && krb_as_req_has_preauth(&preauth, request + 4, n - 4) == 0);
        kdc.asked += !preauth;
        if (!preauth && !kdc.tells)
                return make_error(out, 25, hints, sizeof hints - 1);
        kdc.proofs += preauth;
        if (kdc.holds)
                return 0;
        for (size_t i = 0; i < 4; i++)
                cause[i] = (uint8_t)(kdc.ntstatus >> 8 * i);
        cause[8] = 1;
        return make_error(out, kdc.code, cause, kdc.ntstatus ? sizeof cause : 0);
}

static void on_request(void *arg, int fd, int events)
{
        struct client *c = arg;
        uint8_t bytes[8192], reply[1024];
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        size_t len;

        (void)events;
        if (n > 0) {
                len = answer(reply, bytes, (size_t)n);
                if (len == 0)
                        return;
                assert_int_equal(send(fd, reply, len, MSG_NOSIGNAL), (ssize_t)len);
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

/* On the real one's address, so that its LDAPS is the same host's. */
static int set_up(void **state)
{
        static struct rig rig;
        struct sockaddr_in sa = {.sin_family = AF_INET};
        socklen_t len = sizeof sa;

        rig_open(&rig);
        memset(&kdc, 0, sizeof kdc);
        kdc.rig = &rig;
        kdc.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(inet_pton(AF_INET, lab_get("AD_ADDRESS"), &sa.sin_addr), 1);
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

static void start(struct rig *rig, bool ldaps)
{
        rig_samba_by(rig, 0, METHOD_KRB5);
        rig->domains[0].kdc_port = kdc.port;
        if (!ldaps)
                rig->domains[0].ca_pem = NULL;
        rig_start_ready(rig, 1);
}

static struct ask sign_in(struct rig *rig, const char *label, const char *password, int code, uint32_t ntstatus)
{
        struct ask ask = {.name = lab_get2(label, "UPN"), .password = password};

        kdc.code = code;
        kdc.ntstatus = ntstatus;
        ask_one(rig, &ask);
        return ask;
}

static void assert_claims_nothing(const struct ask *ask)
{
        const struct outcome *o = &ask->outcome;

        assert_false(o->password_proved);
        assert_int_not_equal(reason_info(o->reason)->verdict, VERDICT_ACCEPTED);
        assert_string_equal(o->user.id, "");
        if (reason_info(o->reason)->class == VERDICT_CLASS_POLICY)
                assert_string_equal(reason_user_text(o->reason, o->password_proved),
                                    reason_user_text(REASON_REVOKED, false));
}

static const struct {
        int code;
        uint32_t ntstatus;
        enum reason reason;
        bool confirmable; /* only the right password brings it */
} forged[] = {
        {23, 0xC0000224, REASON_MUST_CHANGE_PASSWORD, true},
        {23, 0xC0000071, REASON_PASSWORD_EXPIRED, true},
        {23, 0, REASON_PASSWORD_EXPIRED, true},
        {12, 0xC000006E, REASON_ACCOUNT_RESTRICTION, true},
        {12, 0xC0000070, REASON_WORKSTATION, true},
        {18, 0xC000006F, REASON_LOGON_HOURS, true},
        {18, 0xC0000193, REASON_ACCOUNT_EXPIRED, true},
        {18, 0xC0000072, REASON_DISABLED, false},
        {18, 0, REASON_LOCKED_OUT, false},
        {18, 0xC0000234, REASON_LOCKED_OUT, false},
        {12, 0, REASON_ACCOUNT_RESTRICTION, false},
        {12, 0xC00002FA, REASON_SMARTCARD_REQUIRED, false},
        {24, 0xC0000224, REASON_MUST_CHANGE_PASSWORD, false},
};
#define FORGED (sizeof forged / sizeof *forged)

/* Whoever holds no key proves nothing, whatever it says and whatever was typed. */
static void test_alone_it_proves_nothing(void **state)
{
        struct rig *rig = *state;

        start(rig, false);
        for (size_t i = 0; i < 2 * FORGED; i++) {
                struct ask ask = sign_in(rig, "GOOD1", i % 2 ? WRONG : lab_get("GOOD1_PASSWORD"), forged[i / 2].code,
                                         forged[i / 2].ntstatus);

                assert_reason(&ask, forged[i / 2].reason);
                assert_claims_nothing(&ask);
                if (forged[i / 2].confirmable)
                        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
        }
        assert_int_equal(kdc.proofs, 2 * FORGED);
        assert_int_equal(lab_bad_pwd_count("good1"), 0);
}

/* LDAPS knows better: the account is in order, and nobody is let in by a confirmation. */
static void test_contradicted(void **state)
{
        struct rig *rig = *state;

        start(rig, true);
        for (size_t i = 0; i < FORGED; i++) {
                struct ask ask = sign_in(rig, "GOOD1", lab_get("GOOD1_PASSWORD"), forged[i].code, forged[i].ntstatus);

                assert_reason(&ask, forged[i].reason);
                assert_claims_nothing(&ask);
                if (forged[i].confirmable) {
                        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
                        assert_non_null(strstr(ask.outcome.context, "may sign in"));
                }
        }
        assert_int_equal(lab_bad_pwd_count("good1"), 0);
}

/* A wrong password that the KDC calls expired is wrong by LDAPS: one bind, for claims that it can settle and no others.
 */
static void test_wrong_password(void **state)
{
        struct rig *rig = *state;
        int expected = 0;

        rig->guard = (struct guard_config){.mode = GUARD_OFF};
        start(rig, true);
        for (size_t i = 0; i < FORGED; i++) {
                struct ask ask = sign_in(rig, "GOOD2", WRONG, forged[i].code, forged[i].ntstatus);

                expected = forged[i].confirmable ? 1 : 0;
                assert_reason(&ask, forged[i].confirmable ? REASON_WRONG_PASSWORD : forged[i].reason);
                assert_claims_nothing(&ask);
                if (forged[i].confirmable)
                        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
                assert_int_equal(lab_bad_pwd_count("good2"), expected);
                assert_int_equal(lab_unlock("good2"), 0);
        }
}

/* A state that is told before anybody has sent a password says nothing of it. Where only the right password's user
 * should know it, LDAPS is asked, and that is the one attempt; nothing goes to the KDC. */
static void test_told_unasked(void **state)
{
        struct rig *rig = *state;

        rig->guard = (struct guard_config){.mode = GUARD_OFF};
        kdc.tells = true;
        for (int ldaps = 0; ldaps < 2; ldaps++) {
                start(rig, ldaps);
                for (size_t i = 0; i < FORGED; i++) {
                        const bool asks = ldaps && forged[i].confirmable,
                                   demand = forged[i].code == 12 && !forged[i].ntstatus;
                        const enum reason reason = demand ? REASON_ARMOR_REQUIRED : forged[i].reason;
                        struct ask right = sign_in(rig, "GOOD1", lab_get("GOOD1_PASSWORD"), forged[i].code,
                                                   forged[i].ntstatus),
                                   wrong = sign_in(rig, "GOOD2", WRONG, forged[i].code, forged[i].ntstatus);

                        assert_reason(&right, reason);
                        assert_claims_nothing(&right);
                        assert_int_equal(right.outcome.counted, COUNTED_NO);
                        assert_int_equal(strstr(right.outcome.context, "may sign in") != NULL, asks);
                        assert_reason(&wrong, asks ? REASON_WRONG_PASSWORD : reason);
                        assert_claims_nothing(&wrong);
                        assert_int_equal(wrong.outcome.counted, asks ? COUNTED_YES : COUNTED_NO);
                        assert_int_equal(lab_bad_pwd_count("good2"), asks);
                        assert_int_equal(lab_unlock("good2"), 0);
                }
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
        assert_int_equal(kdc.proofs, 0);
        assert_int_equal(lab_bad_pwd_count("good1"), 0);
}

/* Told unasked and true: the user with the right password is told, the one with a wrong password is not. */
static void test_told_unasked_and_so(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        kdc.tells = true;
        start(rig, true);
        ask = sign_in(rig, "EXPIRED", lab_get("EXPIRED_PASSWORD"), 23, 0xC0000071);
        assert_reason(&ask, REASON_PASSWORD_EXPIRED);
        assert_true(ask.outcome.password_proved);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        ask = sign_in(rig, "EXPIRED", WRONG, 23, 0xC0000071);
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        assert_claims_nothing(&ask);
        assert_int_equal(ask.outcome.counted, COUNTED_YES);
        assert_int_equal(lab_bad_pwd_count("expired"), 1);
        assert_int_equal(lab_unlock("expired"), 0);
        assert_int_equal(kdc.proofs, 0);
}

/* Each such attempt costs one, so the guard lets as many through as by LDAP alone, and no more. */
static void test_the_limit_of_the_unasked(void **state)
{
        struct rig *rig = *state;

        kdc.tells = true;
        for (unsigned limit = 1; limit < 4; limit++) {
                rig->guard =
                        (struct guard_config){.mode = GUARD_ON, .failures = limit, .window_ms = 60000, .repeat_ms = 1};
                start(rig, true);
                for (unsigned i = 0; i < 6; i++) {
                        struct ask ask = sign_in(rig, "GOOD3", i % 2 ? WRONG "x" : WRONG, 23, 0xC0000224);

                        assert_reason(&ask, i < limit ? REASON_WRONG_PASSWORD : REASON_THROTTLED);
                }
                assert_int_equal(lab_bad_pwd_count("good3"), limit);
                assert_int_equal(lab_unlock("good3"), 0);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

/* With the guard close to its limit nothing is asked a second time; each that was counts as two. */
static void test_the_guards_limit(void **state)
{
        struct rig *rig = *state;

        for (unsigned limit = 1; limit < 6; limit++) {
                rig->guard =
                        (struct guard_config){.mode = GUARD_ON, .failures = limit, .window_ms = 60000, .repeat_ms = 1};
                start(rig, true);
                for (unsigned i = 0; i < 5; i++)
                        (void)sign_in(rig, "GOOD3", i % 2 ? WRONG "x" : WRONG, 23, 0xC0000224);
                /* the KDC may count each, and a bind counts one more: both together stay below the limit */
                if (2 * lab_bad_pwd_count("good3") >= (int)limit && lab_bad_pwd_count("good3") > 0)
                        fail_msg("limit %u: %d bad passwords counted", limit, lab_bad_pwd_count("good3"));
                assert_int_equal(lab_unlock("good3"), 0);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

/* Those that are confirmed side by side keep to the limit together: each may have cost two. */
static void test_the_limit_of_several(void **state)
{
        static const char *const wrong[] = {WRONG "a", WRONG "b", WRONG "c", WRONG "d"};
        struct rig *rig = *state;

        for (unsigned limit = 4; limit < 8; limit++) {
                struct ask asks[4];

                rig->guard =
                        (struct guard_config){.mode = GUARD_ON, .failures = limit, .window_ms = 60000, .repeat_ms = 1};
                start(rig, true);
                kdc.code = 23;
                kdc.ntstatus = 0xC0000224;
                for (size_t i = 0; i < 4; i++)
                        asks[i] = (struct ask){.name = lab_get2("GOOD3", "UPN"), .password = wrong[i]};
                ask_all(rig, asks, 4);
                if (2 * lab_bad_pwd_count("good3") > (int)limit)
                        fail_msg("limit %u: %d bad passwords by LDAPS, and as many at the KDC", limit,
                                 lab_bad_pwd_count("good3"));
                assert_int_equal(lab_unlock("good3"), 0);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

/* Who waits for an account that another name holds asks the KDC now and then, not as fast as it answers. */
static void test_waiting_is_no_storm(void **state)
{
        struct rig *rig = *state;
        struct ask asks[] = {{.name = lab_get2("GOOD1", "UPN"), .password = WRONG, .budget_ms = 2000},
                             {.name = lab_get2("GOOD2", "UPN"), .password = WRONG "a", .budget_ms = 1000},
                             {.name = lab_get2("GOOD2", "UPN"), .password = WRONG "b", .budget_ms = 1000},
                             {.name = lab_get2("GOOD2", "UPN"), .password = WRONG "c", .budget_ms = 1000}};

        rig->guard = (struct guard_config){.mode = GUARD_ON, .failures = 1, .window_ms = 60000, .repeat_ms = 1};
        start(rig, false);
        kdc.holds = true;
        ask_start(rig, &asks[0]);
        rig_until(rig, &kdc.proofs, 1);
        kdc.asked = 0;
        for (size_t i = 1; i < 4; i++)
                ask_start(rig, &asks[i]);
        ask_wait(rig, asks, 4);
        assert_int_equal(kdc.proofs, 1);
        assert_in_range(kdc.asked, 1, 3 * 11);
        kdc.holds = false;
}

/* The real KDC's answer is confirmed, and then it is told; without LDAPS it is not. */
static void test_confirmed(void **state)
{
        static const struct {
                const char *label;
                enum reason reason;
        } rows[] = {{"EXPIRED", REASON_PASSWORD_EXPIRED},
                    {"MUST_CHANGE", REASON_MUST_CHANGE_PASSWORD},
                    {"HOURS", REASON_LOGON_HOURS}};
        struct rig *rig = *state;

        for (int ldaps = 0; ldaps < 2; ldaps++) {
                rig_samba_by(rig, 0, METHOD_KRB5);
                if (!ldaps)
                        rig->domains[0].ca_pem = NULL;
                rig_start_ready(rig, 1);
                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                        struct ask ask = {.name = lab_get2(rows[i].label, "UPN"),
                                          .password = lab_get2(rows[i].label, "PASSWORD")};
                        uint32_t ntstatus;

                        ask_one(rig, &ask);
                        assert_reason(&ask, rows[i].reason);
                        assert_int_equal(ask.outcome.password_proved, ldaps);
                        assert_int_equal(ask.outcome.counted,
                                         ldaps || unasked_tells(lab_get2(rows[i].label, "SAM"), &ntstatus)
                                                 ? COUNTED_NO
                                                 : COUNTED_UNKNOWN);
                        assert_int_equal(ask.outcome.method, METHOD_KRB5);
                }
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

/* A kpasswd service's refusal is worth as little, and confirmed in the same way. */
static void test_refused_change(void **state)
{
        struct rig *rig = *state;

        for (int ldaps = 0; ldaps < 2; ldaps++) {
                struct ask ask = {.name = lab_get2("CHANGE_DENIED", "UPN"),
                                  .password = lab_get2("CHANGE_DENIED", "PASSWORD"),
                                  .new_password = "Brand-new-Pass-77"};

                rig_samba_by(rig, 0, METHOD_KRB5);
                rig->domains[0].password_change = true;
                if (!ldaps)
                        rig->domains[0].ca_pem = NULL;
                rig_start_ready(rig, 1);
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_CHANGE_NOT_PERMITTED);
                assert_int_equal(ask.outcome.password_proved, ldaps);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_alone_it_proves_nothing),
                TEST(test_contradicted),
                TEST(test_wrong_password),
                TEST(test_the_guards_limit),
                TEST(test_confirmed),
                TEST(test_refused_change),
                TEST(test_the_limit_of_several),
                TEST(test_waiting_is_no_storm),
                TEST(test_told_unasked),
                TEST(test_told_unasked_and_so),
                TEST(test_the_limit_of_the_unasked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
