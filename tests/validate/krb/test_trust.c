/*
 * Accounts of one realm, the connector's key in another that trusts it: the ticket that proves the KDC comes by
 * two realms. Both are served by a real MIT KDC.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define SERVICE_REALM "MIT.EXAMPLE"

static char keytab[512], service[256];

static void mit_domain(struct rig *rig, size_t i, const char *name, const char *realm, const char *port)
{
        rig->domains[i] = (struct domain_config){
                .name = name,
                .realm = realm,
                .dcs = {{.host = lab_get("MIT_HOST"), .address = lab_get("MIT_ADDRESS")}},
                .n_dcs = 1,
                .methods = {METHOD_KRB5},
                .directory = DIRECTORY_GENERIC,
                .kdc_port = lab_port(port),
                .keytab = keytab,
                .service_principal = service,
        };
}

/* Domain 0: the accounts'; domain 1: that of the connector's service. */
static void domains(struct rig *rig)
{
        snprintf(keytab, sizeof keytab, "FILE:%s", lab_get("MIT_KEYTAB"));
        snprintf(service, sizeof service, "%s@%s", lab_get("MIT_SERVICE"), lab_get("MIT_REALM"));
        mit_domain(rig, 0, "far.example", lab_get("MIT_FAR_REALM"), "MIT_FAR_PORT");
        mit_domain(rig, 1, lab_get("MIT_DOMAIN"), lab_get("MIT_REALM"), "MIT_KDC_PORT");
}

static struct ask far(const char *password)
{
        return (struct ask){.name = "far@far.example", .password = password};
}

/* The password was right, as far as one KDC goes, but nobody proved that KDC: no verdict, and nothing counted. */
static void assert_undecided(const struct ask *ask, enum reason reason, const char *why)
{
        assert_reason(ask, reason);
        assert_int_equal(ask->outcome.counted, COUNTED_NO);
        assert_false(ask->outcome.password_proved);
        assert_string_equal(ask->outcome.user.id, "");
        if (!strstr(ask->outcome.context, why))
                fail_msg("\"%s\" is not in \"%s\"", why, ask->outcome.context);
}

static void test_through_the_trust(void **state)
{
        struct rig *rig = *state;
        struct ask right = far(lab_get2("MIT_FAR", "PASSWORD")), wrong = far("Wr0ng-password-1"),
                   home = {.name = "u1@mit.example", .password = lab_get2("MIT_U1", "PASSWORD")};

        domains(rig);
        rig_start_ready(rig, 2);
        ask_one(rig, &right);
        assert_reason(&right, REASON_OK);
        assert_string_equal(right.outcome.user.id, "krb5:far@FAR.EXAMPLE");
        assert_string_equal(right.outcome.user.domain, "far.example");
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(wrong.outcome.counted, COUNTED_YES);
        ask_one(rig, &home);
        assert_reason(&home, REASON_OK);
}

/* Many at once, each with a cache of its own. */
static void test_many(void **state)
{
        struct rig *rig = *state;
        struct ask asks[60];

        domains(rig);
        rig_start_ready(rig, 2);
        for (size_t i = 0; i < 60; i++)
                asks[i] = far(i % 3 == 0 ? "Wr0ng-password-1" : lab_get2("MIT_FAR", "PASSWORD"));
        ask_all(rig, asks, 60);
        for (size_t i = 0; i < 60; i++)
                assert_reason(&asks[i], i % 3 == 0 ? REASON_WRONG_PASSWORD : REASON_OK);
}

static void test_realm_of_the_service_is_not_configured(void **state)
{
        struct rig *rig = *state;
        struct ask ask = far(lab_get2("MIT_FAR", "PASSWORD"));

        domains(rig);
        rig_start_ready(rig, 1);
        ask_one(rig, &ask);
        assert_undecided(&ask, REASON_TRUST_FAILURE, "realm " SERVICE_REALM ": no domain of this realm is configured");
}

static void test_kdc_of_the_service_is_down(void **state)
{
        struct rig *rig = *state;
        struct ask ask = far(lab_get2("MIT_FAR", "PASSWORD"));

        domains(rig);
        rig->domains[1].kdc_port = 1; /* nobody listens there */
        rig_start(rig, 2);
        while (!validate_ready(rig->v, 0, NULL))
                rig_spin(rig, 5);
        ask_one(rig, &ask);
        assert_undecided(&ask, REASON_TRUST_FAILURE, "realm " SERVICE_REALM);
}

/* It takes the connection and says nothing: the sign-in ends in time, and the account's own DC is not blamed. */
static void test_kdc_of_the_service_is_hung(void **state)
{
        struct rig *rig = *state;
        struct ask ask = far(lab_get2("MIT_FAR", "PASSWORD"));
        struct peer mute;

        peer_open(&mute, rig, "127.0.0.1", 0, NULL);
        domains(rig);
        rig->domains[1].dcs[0].address = mute.address;
        rig->domains[1].kdc_port = mute.port;
        rig_start(rig, 2);
        while (!validate_ready(rig->v, 0, NULL))
                rig_spin(rig, 5);
        ask.budget_ms = 4000;
        ask_one(rig, &ask);
        assert_undecided(&ask, REASON_TRUST_FAILURE, "realm " SERVICE_REALM);
        assert_true(validate_ready(rig->v, 0, NULL));
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(&mute);
}

static void test_keytab_of_another_key(void **state)
{
        struct rig *rig = *state;
        struct ask ask = far(lab_get2("MIT_FAR", "PASSWORD"));

        domains(rig);
        rig_random_keytab("MEMORY:other", service);
        rig->domains[0].keytab = "MEMORY:other";
        rig_start_ready(rig, 2);
        ask_one(rig, &ask);
        assert_undecided(&ask, REASON_KDC_NOT_VERIFIED, "the keytab lacks the key's number");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_through_the_trust),
                TEST(test_many),
                TEST(test_realm_of_the_service_is_not_configured),
                TEST(test_kdc_of_the_service_is_down),
                TEST(test_kdc_of_the_service_is_hung),
                TEST(test_keytab_of_another_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
