/*
 * What Windows DCs say to a bind and Samba doesn't, replayed by a peer over TLS: the whole way from the bytes
 * to the verdict. Each row names where its text was published; the sub-codes are those of [MS-ERREF] 2.2.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

/* The form that users of Windows servers publish (found so for 52e, 775 and 701); the other sub-codes are
 * those of [MS-ERREF] put into it. DSID and build differ between versions. */
#define DATA(hex) "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data " hex ", v1db1"

struct row {
        struct peer_result sent;
        enum reason reason;
        bool proved;
        enum counted counted;
        const char *context; /* a part of it */
};

static const struct row rows[] = {
        {{49, DATA("52e"), NULL}, REASON_WRONG_PASSWORD, false, COUNTED_YES, "data 52e"},
        {{49, DATA("525"), NULL}, REASON_UNKNOWN_USER, false, COUNTED_NO, "data 525"},
        {{49, DATA("52f"), NULL}, REASON_ACCOUNT_RESTRICTION, false, COUNTED_UNKNOWN, "data 52f"},
        {{49, DATA("530"), NULL}, REASON_LOGON_HOURS, true, COUNTED_NO, "data 530"},
        {{49, DATA("531"), NULL}, REASON_WORKSTATION, true, COUNTED_NO, "data 531"},
        {{49, DATA("532"), NULL}, REASON_PASSWORD_EXPIRED, true, COUNTED_NO, "data 532"},
        {{49, DATA("533"), NULL}, REASON_DISABLED, true, COUNTED_NO, "data 533"},
        {{49, DATA("534"), NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "data 534"},
        {{49, DATA("569"), NULL}, REASON_LOGON_TYPE, true, COUNTED_NO, "data 569"},
        {{49, DATA("568"), NULL}, REASON_TOO_MANY_GROUPS, true, COUNTED_NO, "data 568"},
        {{49, DATA("701"), NULL}, REASON_ACCOUNT_EXPIRED, true, COUNTED_NO, "data 701"},
        {{49, DATA("773"), NULL}, REASON_MUST_CHANGE_PASSWORD, true, COUNTED_NO, "data 773"},
        {{49, DATA("775"), NULL}, REASON_LOCKED_OUT, false, COUNTED_NO, "data 775"},
        {{49, DATA("51f"), NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "data 51f"},
        {{49, DATA("576"), NULL}, REASON_CLOCK_SKEW, false, COUNTED_UNKNOWN, "data 576"},
        {{49, DATA("6fc"), NULL}, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN, "data 6fc"},
        {{49, DATA("6fb"), NULL}, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN, "data 6fb"},
        {{49, DATA("78f"), NULL}, REASON_AUTHENTICATION_FIREWALL, true, COUNTED_NO, "data 78f"},
        {{49, DATA("57"), NULL}, REASON_NAME_AMBIGUOUS, false, COUNTED_UNKNOWN, "data 57"},
        /* reported of fast bind: the cause is hidden */
        {{49, DATA("0"), NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "data 0"},
        {{49, DATA("abcd"), NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "data abcd"},
        /* AD gives the cause with every refusal: something else sent these, or a fault of the DC's own */
        {{49, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "without the cause"},
        {{49, "80090308: comment: AcceptSecurityContext error, data ", NULL},
         REASON_DC_ERROR,
         false,
         COUNTED_UNKNOWN,
         "without the cause"},
        {{49, "Invalid credentials", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "without the cause"},
        /* other DSIDs, builds, and cases of the digits, as different versions of Windows print them */
        {{49, "80090308: LdapErr: DSID-0C090334, comment: AcceptSecurityContext error, data 525, vece", NULL},
         REASON_UNKNOWN_USER,
         false,
         COUNTED_NO,
         "data 525"},
        {{49, "80090308: LdapErr: DSID-0C090453, comment: AcceptSecurityContext error, data 52E, v3839", NULL},
         REASON_WRONG_PASSWORD,
         false,
         COUNTED_YES,
         "data 52e"},
        {{49, "8009030C: LdapErr: DSID-0C0906B0, comment: AcceptSecurityContext error, data 0, v4563", NULL},
         REASON_DC_ERROR,
         false,
         COUNTED_UNKNOWN,
         "data 0"},
        /* channel binding, published by users of Server 2019 and 2022 with LdapEnforceChannelBinding=2 */
        {{49, "80090346: LdapErr: DSID-0C0906AC, comment: AcceptSecurityContext error, data 80090346, v4563", NULL},
         REASON_DC_CHANNEL_BINDING,
         false,
         COUNTED_NO,
         "SEC_E_BAD_BINDINGS"},
        /* signing required, as ldapsearch shows it of Server 2019 */
        {{8,
          "00002028: LdapErr: DSID-0C090259, comment: The server requires binds to turn on integrity "
          "checking if SSL\\TLS are not already active on the connection, data 0, v4563",
          NULL},
         REASON_DC_SIGNING_REQUIRED,
         false,
         COUNTED_UNKNOWN,
         "result 8"},
        /* a referral, as ldapsearch shows it */
        {{10, "0000202B: RefErr: DSID-031007F9, data 0, 1 access points\n\tref 1: 'other.corp.example'\n",
          "ldap://other.corp.example/dc=other,dc=corp,dc=example"},
         REASON_REFERRAL,
         false,
         COUNTED_UNKNOWN,
         "result 10"},
        /* results that are no verdict, RFC 4511 A.1 */
        {{1,
          "000004DC: LdapErr: DSID-0C0906E8, comment: In order to perform this operation a successful bind "
          "must be completed on the connection., data 0, v1db1",
          NULL},
         REASON_DC_ERROR,
         false,
         COUNTED_UNKNOWN,
         "operationsError"},
        {{3, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "timeLimitExceeded"},
        {{32, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "noSuchObject"},
        {{34, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "invalidDNSyntax"},
        {{51, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "busy"},
        {{52, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "unavailable"},
        {{53, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "unwillingToPerform"},
        {{80, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "other"},
        {{4711, "", NULL}, REASON_DC_ERROR, false, COUNTED_UNKNOWN, "result 4711"},
};

static void check(const struct ask *ask, const struct row *row)
{
        const struct outcome *o = &ask->outcome;

        assert_reason(ask, row->reason);
        if (o->password_proved != row->proved || o->counted != row->counted)
                fail_msg("%s: proved %d, counted %s", o->context, o->password_proved, counted_text(o->counted));
        if (!strstr(o->context, row->context))
                fail_msg("\"%s\" is not in \"%s\"", row->context, o->context);
        assert_true(o->has_ldap);
        assert_int_equal(o->ldap, row->sent.code);
        assert_string_equal(o->user.id, "");
}

/* Every row is one bind, whatever it answers; and the DC is asked again for the next. */
static void test_replay(void **state)
{
        struct rig rig;
        struct peer peer;

        (void)state;
        rig_open(&rig);
        rig.guard.mode = GUARD_OFF;
        peer_open(&peer, &rig, "127.0.0.1", 0, "DC");
        peer_domain(&rig, 0, &peer);
        rig_start_ready(&rig, 1);
        peer.on_bind = PEER_SCRIPTED;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = {.name = "someone@corp.example", .password = "whatever"};

                peer.script = rows[i].sent;
                ask_one(&rig, &ask);
                check(&ask, &rows[i]);
                assert_int_equal(peer.binds, i + 1);
        }
        rig.v = validate_free(rig.v);
        rig_spin(&rig, 5);
        peer_close(&peer);
        rig_close(&rig);
}

static void note_dead(void *arg, const struct validate_dc *dc)
{
        *(bool *)arg = strcmp(dc->state, "dead") == 0;
}

/* The probe has read what the peer said, too. */
static void until_dead(struct rig *rig)
{
        const uint64_t end = loop_now(rig->loop) + 60000;
        bool dead = false;

        while (validate_each_dc(rig->v, note_dead, &dead), !dead) {
                if (loop_now(rig->loop) > end)
                        fail_msg("the DC is not found dead");
                rig_spin(rig, 1);
        }
}

/* RFC 4511 4.4.1: a DC that shuts down says so before the bind: nothing was tried, whoever asks. */
static void test_notice_before_the_bind(void **state)
{
        struct ask ask = {.name = "someone@corp.example", .password = "right"};
        struct rig rig;
        struct peer peer;

        (void)state;
        rig_open(&rig);
        peer_open(&peer, &rig, "127.0.0.1", 0, "DC");
        peer_domain(&rig, 0, &peer);
        peer.on_read = PEER_NOTICE;
        rig_start(&rig, 1);
        until_dead(&rig);
        ask_one(&rig, &ask);
        assert_reason(&ask, REASON_NO_DC); /* the context says why */
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_int_equal(peer.binds, 0);
        if (!strstr(ask.outcome.context, "Notice of Disconnection"))
                fail_msg("\"%s\" does not name the notice", ask.outcome.context);
        rig.v = validate_free(rig.v);
        rig_spin(&rig, 5);
        peer_close(&peer);
        rig_close(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replay),
                cmocka_unit_test(test_notice_before_the_bind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
