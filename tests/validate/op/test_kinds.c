/*
 * Whose account it is that signed in: people's only, judged by the account that was verified and not by the name that
 * was typed.
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

static void assert_no_user(const struct ask *ask)
{
        assert_reason(ask, REASON_NOT_A_USER);
        assert_true(ask->outcome.password_proved);
        assert_int_equal(ask->outcome.counted, COUNTED_NO);
        assert_string_equal(ask->outcome.user.id, "");
}

static const enum method methods[] = {METHOD_LDAP, METHOD_KRB5};

/* By every form of its name: the KDC appends the $ by itself, and a UPN shows nothing. */
static void test_computer(void **state)
{
        struct rig *rig = *state;

        for (size_t m = 0; m < 2; m++) {
                const char *const names[] = {"CORP\\evilpc$", "CORP\\evilpc", "evilpc$@corp.example",
                                             "evilpc@corp.example", lab_get("COMPUTER_UPN")};
                unsigned known = 0;

                rig_samba_by(rig, 0, methods[m]);
                rig_start_ready(rig, 1);
                for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                        struct ask ask = {.name = names[i], .password = lab_get("COMPUTER_PASSWORD")};

                        ask_one(rig, &ask);
                        assert_int_not_equal(reason_info(ask.outcome.reason)->verdict, VERDICT_ACCEPTED);
                        assert_int_not_equal(ask.outcome.reason, REASON_NAME_AMBIGUOUS);
                        known += ask.outcome.reason == REASON_NOT_A_USER;
                        if (ask.outcome.reason == REASON_NOT_A_USER)
                                assert_no_user(&ask);
                        lab_unlock("evilpc$");
                }
                assert_true(known >= 2); /* the rest are names that this DC does not know it by */
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

/* Who may not read their own entry is known by the bind, and let in. */
static void test_no_right_to_read_oneself(void **state)
{
        struct rig *rig = *state;

        for (size_t m = 0; m < 2; m++) {
                struct ask ask = {.name = lab_get("NO_READ_UPN"), .password = lab_get("NO_READ_PASSWORD")};

                rig_samba_by(rig, 0, methods[m]);
                rig_start_ready(rig, 1);
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.user.id, lab_get("NO_READ_SID"));
                if (ask.outcome.user.sam[0]) /* this DC tells the bind its SID and groups, and not its name */
                        assert_string_equal(ask.outcome.user.sam, "noread");
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
        }
}

static void test_every_kind(void **state)
{
        static const struct {
                const char *type, *control, *principal;
                unsigned group;
                bool hidden, accepted;
        } rows[] = {
                {"805306368", "512", NULL, 513, false, true},
                {"805306368", "66048", "CORP\\dollar$", 513, false, true}, /* a person's with such a name */
                {NULL, "512", NULL, 0, false, true},
                {"805306369", "4096", "CORP\\pc$", 515, false, false},
                {"805306369", "4096", NULL, 513, false, false}, /* a managed service without a $ */
                {"805306369", "532480", "CORP\\dc1$", 516, false, false},
                {"805306370", "2080", "CORP\\PARTNER$", 513, false, false},
                {"805306368", "256", NULL, 513, false, false}, /* a temporary duplicate */
                {"805306368", "4096", NULL, 513, false, false},
                {"268435456", "512", NULL, 513, false, false}, /* of no kind that signs in */
                {"1", NULL, NULL, 513, false, false},
                {NULL, NULL, "CORP\\pc$", 0, false, false}, /* what the bind tells */
                {NULL, NULL, NULL, 515, false, false},
                {NULL, NULL, "CORP\\pc$", 0, true, false},
                {NULL, NULL, NULL, 515, true, false},
                {NULL, NULL, NULL, 521, true, false},
                {NULL, NULL, NULL, 513, true, true},
        };
        struct rig *rig = *state;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct peer peer;
                struct ask ask = ask_right();

                peer_start(rig, &peer);
                peer.type = rows[i].type;
                peer.control = rows[i].control;
                peer.principal = rows[i].principal;
                peer.group = rows[i].group;
                peer.hides_account = rows[i].hidden;
                ask_one(rig, &ask);
                if (rows[i].accepted != (ask.outcome.reason == REASON_OK))
                        fail_msg("row %zu: %s (%s)", i, reason_info(ask.outcome.reason)->id, ask.outcome.context);
                if (!rows[i].accepted)
                        assert_no_user(&ask);
                peer_stop(rig, &peer);
        }
}

/* Where the bind tells nothing of the kind, the service account looks; without one, or where it sees nothing either,
 * nobody is let in. */
static void test_service_account_looks(void **state)
{
        static const struct {
                const char *type;
                unsigned hides;
                bool service, accepted;
        } rows[] = {{"805306368", 1, true, true},
                    {"805306369", 1, true, false},
                    {"805306368", 2, true, false},
                    {"805306368", 1, false, false}};
        struct rig *rig = *state;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct secret *password = NULL;
                struct peer peer;
                struct ask ask = ask_right();

                assert_int_equal(secret_new(&password, "right", 5), 0);
                peer_open(&peer, rig, peer_address(0), 0, "DC");
                peer_domain(rig, 0, &peer);
                rig->domains[0].service_account = rows[i].service ? "svc@corp.example" : NULL;
                rig->domains[0].service_password = password;
                rig_start_ready(rig, 1);
                peer.principal = "";
                peer.type = rows[i].type;
                peer.hides_account = rows[i].hides;
                ask_one(rig, &ask);
                if (rows[i].accepted)
                        assert_reason(&ask, REASON_OK);
                else
                        assert_no_user(&ask);
                assert_int_equal(peer.binds, rows[i].service ? 2 : 1);
                peer_stop(rig, &peer);
                secret_free(password);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_computer, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_no_right_to_read_oneself, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_service_account_looks, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_every_kind, rig_set_up, rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
