/*
 * Whose SID is whose: what is learnt, what stands against what, and what no domain may take from another.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "validate/types/domain-sid.h"
#include "base/core/sid.h"

#define CORP "S-1-5-21-1-2-3"
#define PARTNER "S-1-5-21-4-5-6"

static struct domain_sids *two(const char *corp, const char *partner)
{
        struct domain_config domains[2] = {{.name = "corp.example", .sid = corp},
                                           {.name = "partner.example", .sid = partner}};
        struct domain_sids *sids = NULL;

        assert_int_equal(domain_sids_new(&sids, domains, 2), 0);
        return sids;
}

#define NOW 100000

static enum sid_answer judge(struct domain_sids *sids, size_t i, const char *account)
{
        return domain_sids_judge(sids, i, account, NOW);
}

static void test_text(void **state)
{
        static const char *const bad[] = {"",
                                          "S-1-5-21-1-2",
                                          "S-1-5-21-1-2-3-500",
                                          "S-1-5-21-1-2-03",
                                          "S-1-5-21-1-2-4294967296",
                                          "S-1-5-32-544",
                                          "s-1-5-21-1-2-3",
                                          " S-1-5-21-1-2-3",
                                          "S-1-5-21-1-2-3 ",
                                          "S-1-5-21--2-3",
                                          "S-1-5-21-1-2-"};

        (void)state;
        assert_true(sid_is_domain(CORP));
        assert_true(sid_is_domain("S-1-5-21-0-4294967295-3"));
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_false(sid_is_domain(bad[i]));
        assert_true(sid_is_of(CORP "-500", CORP));
        assert_false(sid_is_of(CORP, CORP));
        assert_false(sid_is_of(CORP "-", CORP));
        assert_false(sid_is_of(CORP "-5-0", CORP));
        assert_false(sid_is_of("S-1-5-21-1-2-33-500", CORP));
        assert_false(sid_is_of("-500", ""));
}

static void test_configured(void **state)
{
        struct domain_sids *sids = two(CORP, PARTNER);

        (void)state;
        assert_int_equal(judge(sids, 0, CORP "-1000"), SID_IS_OURS);
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_FOREIGN);
        assert_int_equal(judge(sids, 1, PARTNER "-500"), SID_IS_OURS);
        assert_int_equal(judge(sids, 0, "S-1-5-32-544"), SID_IS_FOREIGN);
        assert_int_equal(judge(sids, 0, CORP), SID_IS_FOREIGN);
        domain_sids_free(sids);
}

/* A learnt one holds as a configured one does, but against none that somebody wrote down. */
static void test_learnt(void **state)
{
        struct domain_sids *sids = two(CORP, NULL);
        struct validate_sid seen;

        (void)state;
        assert_true(domain_sids_told(sids, 1, CORP, NOW)); /* a DC of the partner claims the other's */
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_DISPUTED);
        assert_int_equal(judge(sids, 0, CORP "-500"), SID_IS_OURS);
        assert_true(domain_sids_set(sids, 1, SID_LEARNT, ""));
        assert_int_equal(judge(sids, 1, PARTNER "-1104"), SID_IS_OURS);
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_FOREIGN);
        domain_sids_get(sids, 1, NOW, &seen);
        assert_string_equal(seen.sid, PARTNER);
        assert_int_equal(seen.source, SID_LEARNT);
        assert_string_equal(seen.seen, CORP);
        assert_false(domain_sids_told(sids, 1, CORP, NOW)); /* nothing new */
        assert_false(domain_sids_told(sids, 1, PARTNER, NOW));
        domain_sids_free(sids);
}

/* Who was first by a moment is chance: of two that claim one SID neither has it, until somebody says whose it is. */
static void test_a_race_has_no_winner(void **state)
{
        struct domain_sids *sids = two(NULL, NULL);
        struct validate_sid corp;

        (void)state;
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_OURS); /* nothing speaks against it yet */
        assert_int_equal(judge(sids, 0, CORP "-1000"), SID_IS_DISPUTED);
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_DISPUTED);
        domain_sids_get(sids, 0, NOW, &corp);
        assert_string_equal(corp.rival, "partner.example");
        assert_true(domain_sids_set(sids, 0, SID_OF_ROSTER, CORP));
        assert_int_equal(judge(sids, 0, CORP "-1000"), SID_IS_OURS);
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_DISPUTED);
        domain_sids_free(sids);
}

/* Who comes clearly later takes nothing from the first. */
static void test_late_claim(void **state)
{
        struct domain_sids *sids = two(NULL, NULL);

        (void)state;
        assert_true(domain_sids_told(sids, 0, CORP, NOW));
        assert_int_equal(domain_sids_judge(sids, 1, CORP "-500", NOW + SID_SETTLE_MS + 1), SID_IS_DISPUTED);
        assert_int_equal(judge(sids, 0, CORP "-1000"), SID_IS_OURS);
        domain_sids_free(sids);
}

static void test_kept_goes_before_fresh(void **state)
{
        struct domain_sids *sids = two(NULL, NULL);

        (void)state;
        assert_true(domain_sids_set(sids, 0, SID_LEARNT, CORP)); /* in an earlier run */
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_DISPUTED);
        assert_int_equal(judge(sids, 0, CORP "-1000"), SID_IS_OURS);
        domain_sids_free(sids);
}

static void test_roster_before_configuration(void **state)
{
        struct domain_sids *sids = two(PARTNER, NULL);

        (void)state;
        assert_int_equal(judge(sids, 0, CORP "-500"), SID_IS_FOREIGN);
        assert_true(domain_sids_set(sids, 0, SID_OF_ROSTER, CORP));
        assert_int_equal(judge(sids, 0, CORP "-500"), SID_IS_OURS);
        assert_int_equal(judge(sids, 0, PARTNER "-500"), SID_IS_FOREIGN);
        assert_true(domain_sids_set(sids, 0, SID_OF_ROSTER, ""));
        assert_int_equal(judge(sids, 0, PARTNER "-500"), SID_IS_OURS);
        domain_sids_free(sids);
}

/* Two that people wrote down as one: neither is anybody's. */
static void test_both_written_down(void **state)
{
        struct domain_sids *sids = two(CORP, NULL);

        (void)state;
        assert_true(domain_sids_set(sids, 1, SID_OF_ROSTER, CORP));
        assert_int_equal(judge(sids, 0, CORP "-500"), SID_IS_DISPUTED);
        assert_int_equal(judge(sids, 1, CORP "-500"), SID_IS_DISPUTED);
        domain_sids_free(sids);
}

static void test_generic_has_none(void **state)
{
        struct domain_config domain = {.name = "unix.example", .directory = DIRECTORY_GENERIC};
        struct domain_sids *sids = NULL;

        (void)state;
        assert_int_equal(domain_sids_new(&sids, &domain, 1), 0);
        assert_int_equal(judge(sids, 0, "krb5:alice@UNIX.EXAMPLE"), SID_IS_OURS);
        assert_false(domain_sids_told(sids, 0, CORP, NOW));
        domain_sids_free(sids);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_configured),
                cmocka_unit_test(test_learnt),
                cmocka_unit_test(test_a_race_has_no_winner),
                cmocka_unit_test(test_late_claim),
                cmocka_unit_test(test_kept_goes_before_fresh),
                cmocka_unit_test(test_roster_before_configuration),
                cmocka_unit_test(test_both_written_down),
                cmocka_unit_test(test_generic_has_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
