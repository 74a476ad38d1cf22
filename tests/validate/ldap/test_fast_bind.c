/*
 * Fast binds: at a peer that plays a Windows DC which has them (Samba has none), and at a real one that refuses.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define PEER_SID_TEXT "S-1-5-21-1-2-3-1000"

static struct secret *service_password;
static struct peer peer;

static void use_service_account(struct rig *rig, const char *name, const char *password)
{
        assert_int_equal(secret_new(&service_password, password, strlen(password)), 0);
        rig->domains[0].service_account = name;
        rig->domains[0].service_password = service_password;
        rig->domains[0].fast_bind = true;
}

static int tear_down(void **state)
{
        struct rig *rig = *state;

        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        service_password = secret_free(service_password);
        if (peer.rig)
                peer_close(&peer);
        memset(&peer, 0, sizeof peer);
        return rig_tear_down(state);
}

static void start_peer(struct rig *rig)
{
        rig->guard.mode = GUARD_OFF;
        peer_open(&peer, rig, "127.0.0.1", 0, "DC");
        peer_domain(rig, 0, &peer);
        use_service_account(rig, "CORP\\searcher", "right");
        rig_start_ready(rig, 1);
}

static struct ask sign_in(struct rig *rig, const char *name, const char *password)
{
        struct ask ask = {.name = name, .password = password};

        ask_one(rig, &ask);
        return ask;
}

static void test_accepts_and_refuses(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        start_peer(rig);
        for (unsigned i = 1; i <= 3; i++) {
                ask = sign_in(rig, i == 2 ? "CORP\\someone" : "someone@corp.example", "right");
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.user.id, PEER_SID_TEXT);
                assert_string_equal(ask.outcome.user.sam, "someone");
                assert_int_equal(peer.binds, 2 * i); /* the service account's and the user's */
                assert_int_equal(peer.fast, 1);      /* one connection serves them all */
        }
        ask = sign_in(rig, "someone@corp.example", "wrong");
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        assert_int_equal(ask.outcome.counted, COUNTED_YES);
        assert_int_equal(peer.binds, 8);
}

static void test_hidden_cause(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        start_peer(rig);
        peer.on_bind = PEER_SCRIPTED_WRONG;
        peer.script = (struct peer_result){
                49, "8009030C: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 0, v4563", NULL};
        ask = sign_in(rig, "someone@corp.example", "wrong");
        assert_reason(&ask, REASON_REFUSED_UNEXPLAINED);
        assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
        assert_false(ask.outcome.password_proved);
        assert_int_equal(peer.binds, 2);
}

static void test_not_offered(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        start_peer(rig);
        peer.no_fast_bind = true;
        ask = sign_in(rig, "someone@corp.example", "right");
        assert_reason(&ask, REASON_DC_ERROR);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_non_null(strstr(ask.outcome.context, "fast_bind = no"));
        assert_int_equal(peer.binds, 1);
}

/* A real DC: who a name is, is decided before; two accounts that it could be are none. */
static void test_names_at_a_real_dc(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        rig_samba(rig, 0);
        use_service_account(rig, lab_get2("SVC_SEARCH", "UPN"), lab_get2("SVC_SEARCH", "PASSWORD"));
        rig_start_ready(rig, 1);
        ask = sign_in(rig, lab_get2("GOOD1", "UPN"), "Wr0ng-password-1");
        assert_reason(&ask, REASON_DC_ERROR); /* Samba has no fast bind: the password stayed here */
        assert_non_null(strstr(ask.outcome.context, "offers no fast bind"));
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_int_equal(lab_bad_pwd_count("good1"), 0);
        ask = sign_in(rig, lab_get2("TWIN_A", "UPN"), lab_get2("TWIN_A", "PASSWORD"));
        assert_reason(&ask, REASON_NAME_AMBIGUOUS);
        ask = sign_in(rig, "nobody-has-this@corp.example", "Wr0ng-password-1");
        assert_reason(&ask, REASON_UNKNOWN_USER);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_int_equal(lab_bad_pwd_count("twina") + lab_bad_pwd_count("twinb"), 0);
}

static void test_refused_at_the_start(void **state)
{
        struct rig *rig = *state;
        struct error err;

        rig_samba(rig, 0);
        rig->domains[0].fast_bind = true;
        rig->config = (struct validate_config){.domains = rig->domains, .n_domains = 1};
        assert_int_equal(validate_new(&rig->v, rig->loop, &rig->config, NULL, NULL, &err), -EINVAL);
        assert_non_null(strstr(err.text, "does not tell whose it was"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_accepts_and_refuses), TEST(test_hidden_cause),         TEST(test_not_offered),
                TEST(test_names_at_a_real_dc),  TEST(test_refused_at_the_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
