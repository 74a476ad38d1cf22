/*
 * Sign-ins by LDAP at DCs that are dead, slow, silent, mute, closing, lying or not DCs at all: what the
 * verdict says, and how often a password left.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "base/core/text.h"
#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"
#include "validate/ldap/pool.h"

#define PEER_SID_TEXT "S-1-5-21-1-2-3-1000"

static void test_peer_is_a_dc(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask right = ask_right(), wrong = ask_wrong();

        peer_start(rig, &peer);
        ask_one(rig, &right);
        assert_reason(&right, REASON_OK);
        assert_string_equal(right.outcome.user.id, PEER_SID_TEXT);
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(peer.binds, 2);
        assert_int_equal(peer.accepts, 1);
        peer_stop(rig, &peer);
}

/* Wherever no verdict comes back after the bind left, the outcome is unknown and nothing is sent again, to
 * nobody. */
static void test_mute_after_the_bind(void **state)
{
        static const enum peer_act acts[] = {PEER_HOLD,     PEER_CLOSE,  PEER_GARBAGE,
                                             PEER_WRONG_ID, PEER_NOTICE, PEER_HUGE};
        struct rig *rig = *state;
        struct peer first, second;

        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
                struct ask ask = ask_right();

                ask.budget_ms = 700;
                peer_open(&first, rig, peer_address(0), 0, "DC");
                peer_open(&second, rig, peer_address(1), first.port, "DC");
                peer_domain(rig, 0, &first);
                rig->domains[0].dcs[1] = (struct dc_config){.host = "dc1.corp.example.", .address = second.address};
                rig->domains[0].n_dcs = 2;
                rig_start_ready(rig, 1);
                first.on_bind = second.on_bind = acts[i];
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_OUTCOME_UNKNOWN);
                assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
                assert_false(ask.outcome.password_proved);
                assert_int_equal(first.binds + second.binds, 1);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
                peer_close(&second);
                peer_close(&first);
        }
}

/* An answer of the wrong kind comes after the password left: nobody else is asked. */
static void test_entry_to_a_bind(void **state)
{
        struct rig *rig = *state;
        struct peer first, second;
        struct ask ask = ask_right();

        peer_open(&first, rig, peer_address(0), 0, "DC");
        peer_open(&second, rig, peer_address(1), first.port, "DC");
        peer_domain(rig, 0, &first);
        rig->domains[0].dcs[1] = (struct dc_config){.host = "dc1.corp.example.", .address = second.address};
        rig->domains[0].n_dcs = 2;
        rig_start_ready(rig, 1);
        first.on_bind = second.on_bind = PEER_ENTRY;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_DC_PROTOCOL);
        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
        assert_int_equal(first.binds + second.binds, 1);
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(&second);
        peer_close(&first);
}

static void test_error_that_is_no_verdict(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();

        peer_start(rig, &peer);
        peer.on_bind = PEER_UNAVAILABLE;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_DC_ERROR);
        assert_int_equal(ask.outcome.ldap, 52);
        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
        assert_int_equal(peer.binds, 1);
        peer_stop(rig, &peer);
}

/* "Accepted" without a sure identity is not accepted. */
static void test_who_is_not_said(void **state)
{
        static const enum peer_act acts[] = {PEER_OTHER_SID, PEER_NO_SID, PEER_CLOSE, PEER_GARBAGE, PEER_HOLD};
        struct rig *rig = *state;

        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
                struct peer peer;
                struct ask ask = ask_right();

                ask.budget_ms = 500;
                peer_start(rig, &peer);
                peer.on_read = acts[i];
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_NO_IDENTITY);
                assert_true(ask.outcome.password_proved);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_string_equal(ask.outcome.user.id, "");
                assert_int_equal(peer.binds, 1);
                peer_stop(rig, &peer);
        }
}

static void on_skewed_dc(void *arg, const struct validate_dc *dc)
{
        bool *seen = arg;

        *seen = strcmp(dc->reason, "clock_skew") == 0 && strstr(dc->detail, "400 s") != NULL;
}

/* A DC whose clock is off says so in the status; LDAP doesn't need its clock, so it still decides. */
static void test_wrong_clock(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();
        uint64_t end;
        bool seen = false;

        peer_open(&peer, rig, peer_address(0), 0, "DC");
        peer.clock_offset = 400;
        peer_domain(rig, 0, &peer);
        rig_start_ready(rig, 1);
        end = loop_now(rig->loop) + 5000;
        while (!seen && loop_now(rig->loop) < end) {
                rig_spin(rig, 5);
                validate_each_dc(rig->v, on_skewed_dc, &seen);
        }
        assert_true(seen);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
        peer_stop(rig, &peer);
}

static void on_bad_dc(void *arg, const struct validate_dc *dc)
{
        bool *seen = arg;

        assert_string_equal(dc->state, "dead");
        assert_string_equal(dc->reason, "dc_certificate");
        assert_true(dc->detail[0]);
        *seen = true;
}

/* Domain 0 with this certificate at its DC; what a sign-in then says. The password must stay here. */
static void certificate_case(struct rig *rig, const char *cert, enum dc_identity identity, const char *pin,
                             enum reason reason)
{
        struct peer peer;
        struct ask ask = ask_right();

        peer_open(&peer, rig, peer_address(0), 0, cert);
        peer_domain(rig, 0, &peer);
        rig->domains[0].dc_identity = identity;
        rig->domains[0].pins[0] = pin;
        rig_start(rig, 1);
        ask_one(rig, &ask);
        assert_reason(&ask, reason);
        if (reason == REASON_DC_CERTIFICATE) {
                assert_int_equal(peer.binds + peer.reads, 0);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                /* the same when the DC is known to be bad */
                rig_spin(rig, 50);
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_DC_CERTIFICATE);
                bool seen = false;
                validate_each_dc(rig->v, on_bad_dc, &seen);
                assert_true(seen);
        }
        /* one that names others says which they are */
        if (reason == REASON_DC_CERTIFICATE && identity != DC_IDENTITY_PIN && strcmp(cert, "DC_OTHER_CA") != 0)
                assert_non_null(strstr(ask.outcome.context, "it names "));
        peer_stop(rig, &peer);
}

static void pin_of(char out[B64U_LEN(SHA256_DIGEST_LENGTH) + 1], const char *path)
{
        FILE *f = fopen(path, "re");
        X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
        uint8_t *der = NULL, hash[SHA256_DIGEST_LENGTH];
        int n;

        assert_non_null(cert);
        n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        assert_true(n > 0);
        SHA256(der, (size_t)n, hash);
        b64u_encode_to(out, hash, sizeof hash);
        OPENSSL_free(der);
        X509_free(cert);
        fclose(f);
}

static void test_certificates(void **state)
{
        struct rig *rig = *state;
        char pin[64];

        certificate_case(rig, "DC", DC_IDENTITY_DOMAIN_SAN, NULL, REASON_OK);
        certificate_case(rig, "DC_HOST_ONLY", DC_IDENTITY_DOMAIN_SAN, NULL, REASON_DC_CERTIFICATE);
        certificate_case(rig, "DC_KDC", DC_IDENTITY_DOMAIN_SAN, NULL, REASON_OK);
        certificate_case(rig, "DC_OTHER_CA", DC_IDENTITY_DOMAIN_SAN, NULL, REASON_DC_CERTIFICATE);
        certificate_case(rig, "DC_HOST_ONLY", DC_IDENTITY_LIST, NULL, REASON_OK);
        certificate_case(rig, "DC_OTHER_HOST", DC_IDENTITY_LIST, NULL, REASON_DC_CERTIFICATE);
        certificate_case(rig, "DC_OTHER_CA", DC_IDENTITY_LIST, NULL, REASON_DC_CERTIFICATE);
        pin_of(pin, lab_get2("CERT", "DC_OTHER_CA"));
        certificate_case(rig, "DC_OTHER_CA", DC_IDENTITY_PIN, pin, REASON_OK);
        certificate_case(rig, "DC", DC_IDENTITY_PIN, pin, REASON_DC_CERTIFICATE);
}

static void on_probe(void *arg, const struct outcome *outcome, bool left)
{
        struct ask *ask = arg;

        (void)left;
        ask->outcome = *outcome;
        ask->calls++;
}

/* What a host that DNS names must show: whoever forges DNS may name the KDC of another domain of the same CA. */
static enum reason reach(struct rig *rig, const struct peer *peer, const char *host, const char *domain,
                         enum dc_identity identity)
{
        struct method_instance *pools = NULL;
        struct method_run *probe = NULL;
        struct error err = {""};
        struct attempt attempt = {.domain = &rig->domains[0], .host = host, .deadline = loop_now(rig->loop) + 20000};
        struct sockaddr_in *sa = (struct sockaddr_in *)&attempt.address;
        struct ask ask = {.rig = rig};

        peer_domain(rig, 0, peer);
        rig->domains[0].name = domain;
        rig->domains[0].dc_identity = identity;
        rig->domains[0].connect_timeout_ms = 10000;
        sa->sin_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, peer->address, &sa->sin_addr), 1);
        attempt.address_len = sizeof *sa;
        assert_int_equal(ldap_pools_new(&pools, rig->loop), 0);
        assert_int_equal(pools->ops->domain_add(pools, &rig->domains[0], &err), 0);
        assert_int_equal(pools->ops->probe(&probe, pools, &attempt, on_probe, &ask), 0);
        rig_until(rig, &ask.calls, 1);
        pools->ops->free(pools);
        rig_spin(rig, 5);
        return ask.outcome.reason;
}

static void test_kdc_of_another_domain(void **state)
{
        static const struct {
                const char *cert, *host, *domain;
                enum dc_identity identity;
                enum reason reason;
        } rows[] = {
                {"PARTNER_KDC", "dc1.partner.example", "corp.example", DC_IDENTITY_DOMAIN_SAN, REASON_DC_CERTIFICATE},
                {"PARTNER_KDC", "dc1.partner.example.", "corp.example", DC_IDENTITY_DOMAIN_SAN, REASON_DC_CERTIFICATE},
                {"PARTNER_KDC", "dc1.partner.example", "partner.example", DC_IDENTITY_DOMAIN_SAN, REASON_OK},
                {"PARTNER_KDC", "dc1.partner.example", "example", DC_IDENTITY_DOMAIN_SAN,
                 REASON_DC_CERTIFICATE}, /* a child's */
                {"DC_KDC", "DC1.Corp.Example.", "corp.example", DC_IDENTITY_DOMAIN_SAN, REASON_OK},
                {"DC_KDC", "dc1.corp.example", "other.example", DC_IDENTITY_DOMAIN_SAN, REASON_OK}, /* listed */
                {"DC", "elsewhere.example", "corp.example", DC_IDENTITY_DOMAIN_SAN, REASON_OK}, /* names the domain */
                {"PARTNER_KDC", "dc1.partner.example", "corp.example", DC_IDENTITY_LIST,
                 REASON_DC_CERTIFICATE}, /* not listed */
                {"DC_HOST_ONLY", "dc1.corp.example.", "corp.example", DC_IDENTITY_LIST, REASON_OK},
        };
        struct rig *rig = *state;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct peer peer;
                enum reason reason;

                peer_open(&peer, rig, peer_address(0), 0, rows[i].cert);
                reason = reach(rig, &peer, rows[i].host, rows[i].domain, rows[i].identity);
                if (reason != rows[i].reason)
                        fail_msg("row %zu: %s", i, reason_info(reason)->id);
                peer_close(&peer);
        }
}

static void test_bad_configuration(void **state)
{
        struct rig *rig = *state;
        struct validate_config config = {.domains = rig->domains, .n_domains = 1};
        struct validate *v = NULL;
        struct error err;

        rig_samba(rig, 0);
        rig->domains[0].ca_pem = "no certificate here";
        assert_true(validate_new(&v, rig->loop, &config, NULL, NULL, &err) < 0);
        assert_non_null(strstr(err.text, "corp.example"));
        rig_samba(rig, 0);
        rig->domains[0].dc_identity = DC_IDENTITY_PIN;
        assert_true(validate_new(&v, rig->loop, &config, NULL, NULL, &err) < 0);
        rig->domains[0].pins[0] = "not-a-hash";
        assert_true(validate_new(&v, rig->loop, &config, NULL, NULL, &err) < 0);
        rig_samba(rig, 0);
        rig->domains[0].methods[0] = METHOD_KRB5;
        assert_true(validate_new(&v, rig->loop, &config, NULL, NULL, &err) < 0);
        assert_non_null(strstr(err.text, "keytab"));
        rig_samba(rig, 0);
        rig->domains[0].n_dcs = 0;
        assert_true(validate_new(&v, rig->loop, &config, NULL, NULL, &err) < 0);
        assert_null(v);
}

/* A port where nobody listens: a definite answer at once, and still when the DC is known to be dead. */
static void test_refused(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();

        peer_open(&peer, rig, peer_address(0), 0, NULL);
        peer_domain(rig, 0, &peer);
        peer_close(&peer);
        rig_start(rig, 1);
        ask.budget_ms = 120000;
        for (int i = 0; i < 3; i++) {
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_DC_REFUSED);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_true(ask.ended - ask.started < ask.budget_ms / 2); /* at once, not at its end */
                assert_false(validate_ready(rig->v, 0, NULL));
        }
}

/* Accepts, and never says a word. The password stays, the answer is there within the time of the connect, not
 * of the budget. */
static void test_black_hole(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right(), brief = ask_right();

        peer_open(&peer, rig, peer_address(0), 0, NULL);
        peer_domain(rig, 0, &peer);
        rig_start(rig, 1);
        brief.budget_ms = 150;
        ask.budget_ms = 2500; /* it is the only DC: there is nothing better to do with the time */
        ask_start(rig, &brief);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_DC_TLS_TIMEOUT);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_reason(&brief, REASON_DC_TLS_TIMEOUT);
        assert_true(brief.ended <= ask.ended);
        peer_stop(rig, &peer);
}

/* With one DC silent, sign-ins end up at the other; a wrong password is told to one only. */
static void test_goes_on_to_the_next_dc(void **state)
{
        struct rig *rig = *state;
        struct peer dead, good;
        struct ask right = ask_right(), wrong = ask_wrong();

        peer_open(&dead, rig, peer_address(0), 0, NULL);
        peer_open(&good, rig, peer_address(1), dead.port, "DC");
        peer_domain(rig, 0, &dead);
        rig->domains[0].dcs[1] = (struct dc_config){.host = "dc1.corp.example.", .address = good.address};
        rig->domains[0].n_dcs = 2;
        rig_start(rig, 1);
        ask_start(rig, &right); /* nothing is known yet: the first in the list is asked */
        ask_wait(rig, &right, 1);
        assert_reason(&right, REASON_OK);
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_string_equal(wrong.outcome.dc, "dc1.corp.example.");
        assert_int_equal(good.binds, 2);
        peer_stop(rig, &good);
        peer_close(&dead);
}

/* A DC that closes idle connections (AD: after 900 s) must not cost a sign-in, nor a second bind. */
static void test_idle_connections_closed(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask asks[8], again[8];

        for (size_t i = 0; i < 8; i++)
                asks[i] = again[i] = ask_right();
        peer_start(rig, &peer);
        ask_all(rig, asks, 8);
        assert_int_equal(peer.binds, 8);
        peer_drop(&peer); /* the validator's loop has not seen it when the next ones start */
        ask_all(rig, again, 8);
        for (size_t i = 0; i < 8; i++)
                assert_reason(&again[i], REASON_OK);
        assert_int_equal(peer.binds, 16);
        peer_stop(rig, &peer);
}

/*
 * Idle for over five seconds: a read comes before the bind. A connection that is closed at that read, or
 * doesn't answer it, is replaced; the password leaves once. (Four rigs, so that the five seconds pass once.)
 */
static void test_stale_connections(void **state)
{
        static const enum peer_act acts[4] = {PEER_ANSWER, PEER_CLOSE, PEER_HOLD, PEER_GARBAGE};
        static struct rig rigs[4];
        struct peer peers[4];
        struct ask ask;
        unsigned reads[4];

        for (size_t i = 0; i < 4; i++) {
                ask = ask_right();
                rig_open(&rigs[i]);
                peer_start(&rigs[i], &peers[i]);
                ask_one(&rigs[i], &ask);
                assert_reason(&ask, REASON_OK);
                reads[i] = peers[i].reads;
        }
        rig_spin(*state, 5100);
        for (size_t i = 0; i < 4; i++) {
                ask = ask_right();
                peers[i].on_read = acts[i];
                peers[i].read_times = 1;
                ask_one(&rigs[i], &ask);
                assert_reason(&ask, REASON_OK);
                /* rootDSE before; rootDSE and account after; a DC that keeps a sign-in waiting is probed */
                assert_in_range(peers[i].reads, reads[i] + 3 + (acts[i] == PEER_HOLD),
                                reads[i] + 3 + (acts[i] == PEER_HOLD ? 4U : 0U));
                assert_int_equal(peers[i].binds, 2);
                assert_in_range(peers[i].accepts, acts[i] == PEER_ANSWER ? 1 : 2, acts[i] == PEER_ANSWER ? 1 : 3);
                peer_stop(&rigs[i], &peers[i]);
        }
        /* each validator's guard keeps a key in the arena, which must be empty at a rig's end */
        for (size_t i = 0; i < 4; i++)
                rig_close(&rigs[i]);
}

/* A DC that hangs holds its own sign-ins up, nobody else's. */
static void test_stalled_dc_disturbs_no_other(void **state)
{
        struct rig *rig = *state;
        struct peer stalled, good;
        struct ask held[16], quick[64];

        peer_open(&stalled, rig, peer_address(0), 0, "DC");
        peer_open(&good, rig, peer_address(1), 0, "DC");
        peer_domain(rig, 0, &stalled);
        rig_slapd(rig, 1);
        rig_start_ready(rig, 2);
        stalled.on_bind = PEER_HOLD;
        for (size_t i = 0; i < 16; i++) {
                held[i] = ask_right();
                held[i].budget_ms = 120000;
                ask_start(rig, &held[i]);
        }
        rig_until(rig, &stalled.binds, 16);
        for (size_t i = 0; i < 64; i++)
                quick[i] = (struct ask){
                        .name = "u1@slapd.example", .password = lab_get("SLAPD_U1_PASSWORD"), .budget_ms = 60000};
        ask_all(rig, quick, 64);
        for (size_t i = 0; i < 64; i++)
                assert_reason(&quick[i], REASON_OK);
        for (size_t i = 0; i < 16; i++)
                assert_int_equal(held[i].calls, 0);
        peer_drop(&stalled);
        ask_wait(rig, held, 16);
        for (size_t i = 0; i < 16; i++)
                assert_reason(&held[i], REASON_OUTCOME_UNKNOWN);
        peer_stop(rig, &stalled);
        peer_close(&good);
}

/* Down, then back: the probes notice both, and the owner is told. */
static void test_comes_back(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();
        uint16_t port;
        unsigned calls;

        peer_start(rig, &peer);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
        port = peer.port;
        calls = rig->ready_calls;
        peer_close(&peer);
        rig_spin(rig, 20);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_DC_REFUSED);
        rig_until(rig, &rig->ready_calls, calls + 1);
        assert_false(validate_ready(rig->v, 0, NULL));
        peer_open(&peer, rig, peer_address(0), port, "DC");
        rig_until(rig, &rig->ready_calls, calls + 2);
        assert_true(validate_ready(rig->v, 0, NULL));
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
        peer_stop(rig, &peer);
}

/* It took the password and then fell silent: that it told right from wrong before does not make it alive. */
static void test_silent_after_the_proof(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();

        peer_start(rig, &peer);
        peer.on_read = PEER_HOLD;
        ask.budget_ms = 4000;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_NO_IDENTITY);
        assert_int_equal(peer.binds, 1);
        assert_false(validate_ready(rig->v, 0, NULL));
        peer_stop(rig, &peer);
}

/* A name that is looked up, and one that isn't there. */
static void test_names_of_dcs(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();

        peer_open(&peer, rig, "127.0.0.1", 0, "DC");
        peer_domain(rig, 0, &peer);
        rig->domains[0].dcs[0] = (struct dc_config){.host = "localhost"};
        rig_start_ready(rig, 1);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
        assert_string_equal(ask.outcome.dc, "localhost");
        peer_stop(rig, &peer);
        rig->domains[0].dcs[0] = (struct dc_config){.host = "dc1.corp.invalid"};
        rig_start(rig, 1);
        ask_one(rig, &ask);
        assert_true(ask.outcome.reason == REASON_DNS || ask.outcome.reason == REASON_DEADLINE);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
}

static void test_freed_while_it_works(void **state)
{
        static struct ask asks[32];
        struct rig *rig = *state;

        for (unsigned turn = 0; turn < 6; turn++) {
                struct peer peer;

                peer_open(&peer, rig, peer_address(0), 0, "DC");
                peer_domain(rig, 0, &peer);
                rig_start(rig, 1);
                for (size_t i = 0; i < 32; i++) {
                        asks[i] = ask_right();
                        ask_start(rig, &asks[i]);
                }
                rig_spin(rig, turn * 4);
                peer_stop(rig, &peer);
                for (size_t i = 0; i < 32; i++)
                        assert_true(asks[i].calls <= 1);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_peer_is_a_dc),
                TEST(test_mute_after_the_bind),
                TEST(test_entry_to_a_bind),
                TEST(test_error_that_is_no_verdict),
                TEST(test_who_is_not_said),
                TEST(test_certificates),
                TEST(test_wrong_clock),
                TEST(test_bad_configuration),
                TEST(test_refused),
                TEST(test_black_hole),
                TEST(test_goes_on_to_the_next_dc),
                TEST(test_idle_connections_closed),
                TEST(test_stale_connections),
                TEST(test_kdc_of_another_domain),
                TEST(test_stalled_dc_disturbs_no_other),
                TEST(test_comes_back),
                TEST(test_silent_after_the_proof),
                TEST(test_names_of_dcs),
                TEST(test_freed_while_it_works),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
