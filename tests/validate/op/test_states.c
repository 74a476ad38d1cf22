/*
 * Every state of an account by both methods, to the right and to a wrong password, under each form of its
 * name, at a real AD DC: reason, proof, badPwdCount, and whose SID it is. Then accounts whose names collide.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/validate/op/states.h"
#include "tests/validate/unasked.h"
#include "tests/lab/lab.h"

#define WRONG_PASSWORD "Wr0ng-password-1"

enum form { FORM_UPN, FORM_ALTERNATE, FORM_NETBIOS, FORMS };

static void rig_method(struct rig *rig, enum method method)
{
        rig_samba_by(rig, 0, method);
        rig_start_ready(rig, 1);
}

static void name_of(char *out, size_t cap, const char *label, enum form form)
{
        const char *sam = lab_get2(label, "SAM");

        switch (form) {
        case FORM_UPN:
                snprintf(out, cap, "%s@%s", sam, lab_get("AD_DOMAIN"));
                return;
        case FORM_ALTERNATE:
                snprintf(out, cap, "%s", lab_get2(label, "ALT_UPN"));
                return;
        case FORM_NETBIOS:
                snprintf(out, cap, "%s\\%s", lab_get("AD_NETBIOS"), sam);
                return;
        case FORMS:
                break;
        }
        fail();
}

/* What may_have_counted admits must hold what was counted. */
static void assert_counted(const struct ask *ask, unsigned grown)
{
        enum counted counted = ask->outcome.counted;

        if ((counted == COUNTED_NO && grown != 0) || (counted == COUNTED_YES && grown != 1) || grown > 1)
                fail_msg("%s: may_have_counted %s, and badPwdCount grew by %u", ask->name, counted_text(counted),
                         grown);
}

static void check_cell(struct rig *rig, const char *label, enum form form, const char *password,
                       const struct state_answer *expected)
{
        const char *sam = lab_get2(label, "SAM");
        int before = lab_bad_pwd_count(sam);
        struct ask ask = {.password = password};
        unsigned grown;
        char name[300];

        name_of(name, sizeof name, label, form);
        ask.name = name;
        ask_one(rig, &ask);
        assert_reason(&ask, expected->reason);
        grown = (unsigned)(lab_bad_pwd_count(sam) - before);
        assert_counted(&ask, grown);
        if (grown != expected->counts || ask.outcome.password_proved != expected->proved)
                fail_msg("%s: badPwdCount grew by %u, expected %u; proved %d, expected %d", name, grown,
                         expected->counts, ask.outcome.password_proved, expected->proved);
        if (expected->reason == REASON_OK)
                assert_string_equal(ask.outcome.user.id, lab_get2(label, "SID"));
        else
                assert_string_equal(ask.outcome.user.id, "");
        if (expected->counts)
                assert_int_equal(lab_unlock(sam), 0);
}

/* Whether the DC tells the state before it is sent a password, and so to a wrong one, too. The table has the cells of
 * one that does not. Where the state is the user's to know, LDAPS then looks at the password, and the cells are the
 * same. */
static bool is_told_to_all(const struct state_row *row)
{
        uint32_t ntstatus;

        return unasked_tells(lab_get2(row->label, "SAM"), &ntstatus) && !row->krb_right.proved;
}

static void check_all(struct rig *rig, enum method method)
{
        rig_method(rig, method);
        for (size_t i = 0; i < STATE_ROWS; i++) {
                const struct state_row *row = &state_rows[i];
                bool ldap = method == METHOD_LDAP;
                const bool to_all = !ldap && is_told_to_all(row);

                for (enum form form = 0; form < FORMS; form++) {
                        check_cell(rig, row->label, form, lab_get2(row->label, "PASSWORD"),
                                   ldap ? &row->ldap_right : &row->krb_right);
                        check_cell(rig, row->label, form, WRONG_PASSWORD,
                                   ldap     ? &row->ldap_wrong
                                   : to_all ? &row->krb_right
                                            : &row->krb_wrong);
                }
        }
}

static void test_every_state_by_ldap(void **state)
{
        check_all(*state, METHOD_LDAP);
}

static void test_every_state_by_krb5(void **state)
{
        check_all(*state, METHOD_KRB5);
}

/*
 * TWIN_A's explicit UPN is TWIN_B's implicit one; RENÉ and RENE differ by an accent. Whatever is typed with
 * whosever password, an accepted sign-in names the account whose password it is, and CORP\name never lets in
 * an account of another name.
 */
static void test_names_that_collide(void **state)
{
        static const char *const labels[] = {"TWIN_A", "TWIN_B", "UTF8", "ACCENT"};
        struct rig *rig = *state;

        for (int m = 0; m < 2; m++) {
                unsigned accepted = 0;

                rig_method(rig, m ? METHOD_KRB5 : METHOD_LDAP);
                for (size_t i = 0; i < 16 * FORMS; i++) {
                        const char *named = labels[i % 4], *owner = labels[i / 4 % 4];
                        enum form form = (enum form)(i / 16);
                        struct ask ask = {.password = lab_get2(owner, "PASSWORD")};
                        char name[300];

                        name_of(name, sizeof name, named, form);
                        ask.name = name;
                        ask_one(rig, &ask);
                        if (ask.outcome.reason == REASON_OK) {
                                accepted++;
                                assert_string_equal(ask.outcome.user.id, lab_get2(owner, "SID"));
                                if (form == FORM_NETBIOS)
                                        assert_string_equal(named, owner);
                        } else if (ask.outcome.reason != REASON_NAME_AMBIGUOUS) {
                                assert_reason(&ask, REASON_WRONG_PASSWORD);
                        }
                        lab_unlock(lab_get2(named, "SAM"));
                        lab_unlock("twina");
                }
                assert_true(accepted >= 9);
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_every_state_by_ldap),
                TEST(test_every_state_by_krb5),
                TEST(test_names_that_collide),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
