/*
 * DCs that name accounts of another domain than theirs: scripted ones by LDAP, a real one by both methods.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

/* "S-1-5-21-A-B-C-RID" in bytes. */
static void sid_bytes(char out[PEER_SID_SIZE], const char *text)
{
        static const char head[] = "\1\5\0\0\0\0\0\5\25\0\0\0";
        unsigned long parts[4];

        assert_int_equal(sscanf(text, "S-1-5-21-%lu-%lu-%lu-%lu", &parts[0], &parts[1], &parts[2], &parts[3]), 4);
        memcpy(out, head, 12);
        for (size_t i = 0; i < 16; i++)
                out[12 + i] = (char)(parts[i / 4] >> 8 * (i % 4));
}

/* The SID of the lab's domain with another last number, and without any. */
static void lab_sid(char out[SID_TEXT_MAX], const char *end)
{
        const char *sid = lab_get("GOOD1_SID");

        snprintf(out, SID_TEXT_MAX, "%.*s%s", (int)(strrchr(sid, '-') - sid), sid, end);
}

struct known {
        const char *domain;
        struct validate_sid sid;
        char text[SID_TEXT_MAX];
};

static void on_sid(void *arg, const struct validate_sid *sid)
{
        struct known *known = arg;

        if (strcmp(sid->domain, known->domain) != 0)
                return;
        known->sid = *sid;
        snprintf(known->text, sizeof known->text, "%s", sid->sid);
}

static struct known known_of(struct rig *rig, const char *domain)
{
        struct known known = {.domain = domain};

        validate_each_sid(rig->v, on_sid, &known);
        return known;
}

static struct ask ask_good(void)
{
        return (struct ask){.name = lab_get("GOOD1_UPN"), .password = lab_get("GOOD1_PASSWORD")};
}

/* Its DC answers for the lab's administrator. */
static void partner(struct rig *rig, size_t i, struct peer *peer, char sid[PEER_SID_SIZE])
{
        char text[SID_TEXT_MAX];

        lab_sid(text, "-500");
        sid_bytes(sid, text);
        peer_open(peer, rig, peer_address(0), 0, "DC");
        peer->sid = sid;
        peer_domain(rig, i, peer);
        rig->domains[i].name = "partner.example";
        rig->domains[i].realm = "PARTNER.EXAMPLE";
        rig->domains[i].netbios = "PARTNER";
        rig->domains[i].dc_identity = DC_IDENTITY_LIST;
}

static void assert_foreign(const struct ask *ask)
{
        assert_reason(ask, REASON_FOREIGN_SID);
        assert_false(ask->outcome.password_proved);
        assert_string_equal(ask->outcome.user.id, "");
        assert_string_equal(verdict_class_text(reason_info(ask->outcome.reason)->class), "infrastructure");
}

/* The other domain's SID is configured, or was just learnt from its DC's probes: it is never the partner's. */
static void test_administrator_of_another_domain(void **state)
{
        struct rig *rig = *state;
        char corp[SID_TEXT_MAX], sid[PEER_SID_SIZE];

        lab_sid(corp, "");
        for (unsigned configured = 0; configured < 2; configured++) {
                struct peer peer;
                struct ask evil = {.name = "someone@partner.example", .password = "right"}, good = ask_good();

                rig_samba(rig, 0);
                rig->domains[0].sid = configured ? corp : NULL;
                partner(rig, 1, &peer, sid);
                rig_start_ready(rig, 2);
                assert_string_equal(known_of(rig, "corp.example").text, corp); /* before anybody signed in */
                ask_one(rig, &evil);
                assert_foreign(&evil);
                ask_one(rig, &good);
                if (configured)
                        assert_reason(&good, REASON_OK);
                else /* both were just learnt, and are one: whose it is, somebody must say */
                        assert_foreign(&good);
                peer_stop(rig, &peer);
        }
}

/* What the partner's DC told before does not open the door for the other's accounts. */
static void test_another_sid_later(void **state)
{
        struct rig *rig = *state;
        char sid[PEER_SID_SIZE];
        struct peer peer;
        struct ask first = ask_right(), second = ask_right();
        struct known known;

        sid_bytes(sid, "S-1-5-21-7-8-9-1000");
        peer_start(rig, &peer);
        ask_one(rig, &first);
        assert_reason(&first, REASON_OK);
        peer.sid = sid;
        ask_one(rig, &second);
        assert_foreign(&second);
        known = known_of(rig, "corp.example");
        assert_string_equal(known.text, "S-1-5-21-1-2-3");
        assert_string_equal(known.sid.seen, "S-1-5-21-7-8-9");
        validate_set_sid(rig->v, "corp.example", SID_LEARNT, "S-1-5-21-7-8-9"); /* repinned */
        ask_one(rig, &second);
        assert_reason(&second, REASON_OK);
        peer_stop(rig, &peer);
}

/* Builtin accounts, and none of the domain's form. */
static void test_sids_of_no_domain(void **state)
{
        static const char system[PEER_SID_SIZE] = "\1\5\0\0\0\0\0\5\26\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\350\3\0\0";
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask = ask_right();

        peer_start(rig, &peer);
        peer.sid = system;
        ask_one(rig, &ask);
        assert_foreign(&ask);
        peer_stop(rig, &peer);
}

/* A PAC whose signature is good names accounts of its own domain only, too. */
static void test_both_methods_of_a_real_dc(void **state)
{
        static const enum method methods[] = {METHOD_LDAP, METHOD_KRB5};
        struct rig *rig = *state;
        char corp[SID_TEXT_MAX];

        lab_sid(corp, "");
        for (size_t i = 0; i < 2; i++) {
                for (unsigned right = 0; right < 2; right++) {
                        struct ask ask = ask_good();

                        rig_samba_by(rig, 0, methods[i]);
                        rig->domains[0].sid = right ? corp : "S-1-5-21-1-2-3";
                        rig_start_ready(rig, 1);
                        ask_one(rig, &ask);
                        if (right)
                                assert_reason(&ask, REASON_OK);
                        else
                                assert_foreign(&ask);
                        rig->v = validate_free(rig->v);
                        rig_spin(rig, 5);
                }
        }
}

/* A Kerberos domain is told it over LDAPS, where that can be verified, before anybody signs in. */
static void test_kerberos_learns_before_a_sign_in(void **state)
{
        struct rig *rig = *state;
        char corp[SID_TEXT_MAX];
        uint64_t end;

        lab_sid(corp, "");
        rig_samba_by(rig, 0, METHOD_KRB5);
        rig_start_ready(rig, 1);
        end = loop_now(rig->loop) + 120000;
        while (strcmp(known_of(rig, "corp.example").text, corp) != 0) {
                assert_true(loop_now(rig->loop) < end);
                rig_spin(rig, 10);
        }
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_administrator_of_another_domain, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_another_sid_later, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_sids_of_no_domain, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_both_methods_of_a_real_dc, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_kerberos_learns_before_a_sign_in, rig_set_up, rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
