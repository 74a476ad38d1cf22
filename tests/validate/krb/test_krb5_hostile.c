/*
 * Kerberos against what is no honest KDC: one that doesn't know our service key, one that is silent, cuts,
 * lies, repeats, asks again. None of it may read as a wrong password, accept anybody, or draw a second proof
 * out of the connector.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/validate/krb/krb_rig.h"
#include "validate/krb/der.h"
#include "validate/krb/wire.h"

static int set_up(void **state)
{
        static struct rig rig;

        rig_open(&rig);
        *state = &rig;
        return 0;
}

static int tear_down(void **state)
{
        rig_close(*state);
        return 0;
}

static void assert_reason(const struct ask *ask, enum reason reason)
{
        if (ask->outcome.reason != reason)
                fail_msg("%s instead of %s (%s; krb %d)", reason_info(ask->outcome.reason)->id, reason_info(reason)->id,
                         ask->outcome.context, ask->outcome.krb);
}

/* Nobody is accepted, nothing is said of the password, no identity leaks. */
static void assert_nothing_said(const struct ask *ask)
{
        assert_int_equal(reason_info(ask->outcome.reason)->verdict, VERDICT_UNAVAILABLE);
        assert_int_equal(reason_info(ask->outcome.reason)->class, VERDICT_CLASS_INFRASTRUCTURE);
        assert_false(ask->outcome.password_proved);
        assert_string_equal(ask->outcome.user.id, "");
}

/* One way to spoil one of the two answers, and what must come of it. */
struct spoil {
        enum plan plain, preauth;
        enum reason reason;
        bool left;
        unsigned n_plain, n_preauth;
};

static void run_spoiled(struct rig *rig, const struct spoil *s)
{
        struct ask ask = ask_ad(rig, NAME_UPN, "good13");
        struct middle m;

        ask.budget_ms = 1500;
        middle_open(&m, rig, &ask);
        middle_use(&m, &ask);
        m.plain = s->plain;
        m.preauth = s->preauth;
        ask_one(rig, &ask);
        rig_spin(rig, 20);
        assert_reason(&ask, s->reason);
        assert_nothing_said(&ask);
        assert_int_equal(ask.left, s->left);
        assert_int_equal(ask.outcome.counted, s->left ? COUNTED_UNKNOWN : COUNTED_NO);
        assert_int_equal(m.n_plain, s->n_plain);
        assert_int_equal(m.n_preauth, s->n_preauth);
        assert_int_equal(m.n_other, 0);
        middle_close(&m);
}

static void test_spoiled_before_the_proof(void **state)
{
        static const struct spoil rows[] = {
                {PLAN_HOLD, PLAN_FORWARD, REASON_DC_TIMEOUT, false, 1, 0},
                {PLAN_DRIBBLE, PLAN_FORWARD, REASON_DC_TIMEOUT, false, 1, 0},
                {PLAN_CLOSE, PLAN_FORWARD, REASON_DC_REFUSED, false, 1, 0},
                {PLAN_RESET, PLAN_FORWARD, REASON_DC_REFUSED, false, 1, 0},
                {PLAN_CUT, PLAN_FORWARD, REASON_DC_PROTOCOL, false, 1, 0},
                {PLAN_GARBAGE, PLAN_FORWARD, REASON_DC_PROTOCOL, false, 1, 0},
                {PLAN_OVERSIZE, PLAN_FORWARD, REASON_DC_PROTOCOL, false, 1, 0},
                {PLAN_EMPTY, PLAN_FORWARD, REASON_DC_PROTOCOL, false, 1, 0},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                run_spoiled(*state, &rows[i]);
}

static void test_spoiled_after_the_proof(void **state)
{
        static const struct spoil rows[] = {
                {PLAN_FORWARD, PLAN_HOLD, REASON_OUTCOME_UNKNOWN, true, 1, 1},
                {PLAN_FORWARD, PLAN_DRIBBLE, REASON_OUTCOME_UNKNOWN, true, 1, 1},
                {PLAN_FORWARD, PLAN_CLOSE, REASON_OUTCOME_UNKNOWN, true, 1, 1},
                {PLAN_FORWARD, PLAN_RESET, REASON_OUTCOME_UNKNOWN, true, 1, 1},
                {PLAN_FORWARD, PLAN_CUT, REASON_DC_PROTOCOL, true, 1, 1},
                {PLAN_FORWARD, PLAN_GARBAGE, REASON_DC_PROTOCOL, true, 1, 1},
                {PLAN_FORWARD, PLAN_OVERSIZE, REASON_DC_PROTOCOL, true, 1, 1},
                {PLAN_FORWARD, PLAN_EMPTY, REASON_DC_PROTOCOL, true, 1, 1},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                run_spoiled(*state, &rows[i]);
}

/* Overwrites the error code of a KRB-ERROR ([6] INTEGER of one byte). */
static void set_code(uint8_t *reply, size_t n, uint8_t code)
{
        for (size_t i = 0; i + 5 <= n; i++) {
                if (reply[i] == 0xa6 && reply[i + 1] == 3 && reply[i + 2] == 2 && reply[i + 3] == 1) {
                        reply[i + 4] = code;
                        return;
                }
        }
        fail_msg("no error code in the reply");
}

static uint8_t edit_code;

static void edit_set_code(struct middle *m, uint8_t *reply, size_t *n)
{
        (void)m;
        set_code(reply, *n, edit_code);
}

/*
 * Answers to the proof that hold METHOD-DATA make libkrb5 try another mechanism, or the same again: it must
 * not get the chance. Made from the KDC's own first answer.
 */
static void test_no_second_proof_whatever_the_answer(void **state)
{
        static const struct {
                uint8_t code;
                enum reason reason;
        } rows[] = {
                {24, REASON_WRONG_PASSWORD}, /* with e-data */
                {25, REASON_DC_ERROR},       /* the KDC asks for what it got */
                {52, REASON_DC_ERROR},       /* too big: would be repeated over TCP */
                {90, REASON_DC_ERROR},       /* PREAUTH_EXPIRED: libkrb5 starts over */
                {91, REASON_DC_ERROR},       /* MORE_PREAUTH_DATA_REQUIRED */
                {68, REASON_REFERRAL},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = ask_ad(*state, NAME_UPN, "good14");
                struct middle m;

                middle_open(&m, *state, &ask);
                middle_use(&m, &ask);
                m.preauth = PLAN_FIRST_ANSWER;
                edit_code = rows[i].code;
                ask.budget_ms = 3000;
                m.edit = edit_set_code;
                m.edit_first = true;
                ask_one(*state, &ask);
                rig_spin(*state, 50);
                if (ask.outcome.reason != rows[i].reason)
                        fail_msg("code %d: %s", rows[i].code, reason_info(ask.outcome.reason)->id);
                assert_int_equal(m.n_plain, 1);
                assert_int_equal(m.n_preauth, 1);
                assert_true(ask.left);
                assert_false(ask.outcome.password_proved);
                assert_string_equal(ask.outcome.user.id, "");
                middle_close(&m);
        }
}

static const uint8_t *edit_params;

/* Puts s2kparams of our own into the KDC's error 25. */
static void edit_iterations(struct middle *m, uint8_t *reply, size_t *n)
{
        krb5_context context = m->rig->krb->context;
        const uint8_t method[] = {0x30, 0x25, 0x30, 0x09, 0xa1, 0x03, 0x02, 0x01, 0x02, 0xa2, 0x02, 0x04, 0x00,
                                  0x30, 0x18, 0xa1, 0x03, 0x02, 0x01, 0x13, 0xa2, 0x11, 0x04, 0x0f, 0x30, 0x0d,
                                  0x30, 0x0b, 0xa0, 0x03, 0x02, 0x01, 0x12, 0xa2, 0x04, 0x04, 0x02};
        krb5_data in = {.length = (unsigned)*n, .data = (char *)reply}, out = {0};
        uint8_t bytes[64];
        krb5_error *error = NULL;
        krb5_data old;

        memcpy(bytes, method, sizeof method);
        /* {etype 18, s2kparams OCTET STRING of 4}: lengths grow by 2 from the template's 2 bytes. */
        bytes[1] += 2, bytes[14] += 2, bytes[21] += 2, bytes[23] += 2, bytes[25] += 2, bytes[27] += 2, bytes[34] += 2;
        bytes[36] = 4;
        memcpy(bytes + 37, edit_params, 4);
        assert_int_equal(krb5_rd_error(context, &in, &error), 0);
        assert_int_equal(error->error, 25);
        old = error->e_data;
        error->e_data = (krb5_data){.length = 41, .data = (char *)bytes};
        assert_int_equal(krb5_mk_error(context, error, &out), 0);
        error->e_data = old;
        krb5_free_error(context, error);
        assert_true(out.length <= 4096);
        memcpy(reply, out.data, out.length);
        *n = out.length;
        krb5_free_data_contents(context, &out);
}

/* One iteration gives an eavesdropper the password; 2^32 take the validator's loop. Neither key is made. */
static void test_iterations_out_of_bounds(void **state)
{
        static const uint8_t counts[][4] = {
                {0, 0, 0, 1}, {0, 0, 0x0f, 0xff}, {0, 1, 0, 1}, {0xff, 0xff, 0xff, 0xff}, {0}};

        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
                struct ask ask = ask_ad(*state, NAME_UPN, "good13");
                struct middle m;

                middle_open(&m, *state, &ask);
                middle_use(&m, &ask);
                m.plain = PLAN_EDITED;
                m.edit = edit_iterations;
                edit_params = counts[i];
                ask_one(*state, &ask);
                rig_spin(*state, 20);
                assert_reason(&ask, REASON_DC_PROTOCOL);
                assert_nothing_said(&ask);
                assert_false(ask.left);
                assert_int_equal(m.n_preauth, 0);
                middle_close(&m);
        }
}

/* KDCs for armour: the lab's own. */
static int lab_kdc(void *arg, const char *realm, unsigned nth, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(lab_port("MIT"))};

        (void)arg;
        (void)realm;
        if (nth > 0)
                return -EHOSTUNREACH;
        assert_int_equal(inet_pton(AF_INET, lab("MIT", "", "address"), &sa.sin_addr), 1);
        memcpy(ret_address, &sa, sizeof sa);
        *ret_len = sizeof sa;
        return 0;
}

static unsigned replies, spoilt;

static void spoil_one(struct middle *m, uint8_t *reply, size_t *n)
{
        (void)m;
        if (replies++ == spoilt)
                reply[*n - 1] ^= 1; /* the end of what the armour holds */
}

static struct ask ask_armored(struct rig *rig, const struct domain_config *config, const char *password)
{
        struct ask ask = ask_mit(rig, "u1");

        ask.config = config;
        if (password)
                ask.password = password;
        return ask;
}

/* An armoured answer that was changed on the way opens with no key: that says nothing of the password. */
static void test_spoilt_armored_answers(void **state)
{
        struct rig *rig = *state;
        struct domain_config config = rig->mit;
        struct error err;
        struct ask ask;

        config.name = "armored.example";
        config.armor_principal = config.service_principal;
        rig->krb->method.kdc_of = lab_kdc;
        assert_int_equal(krb_domain_add(&rig->krb->method, &config, &err), 0);
        do {
                ask = ask_armored(rig, &config, NULL);
                ask_one(rig, &ask);
        } while (ask.outcome.reason == REASON_ARMOR_UNAVAILABLE);
        assert_reason(&ask, REASON_OK);
        for (spoilt = 0; spoilt < 3; spoilt++) { /* the hints, the refusal, and for comparison nothing */
                struct middle m;

                ask = ask_armored(rig, &config, "Wr0ng-password-1");
                middle_open(&m, rig, &ask);
                middle_use(&m, &ask);
                m.plain = m.preauth = PLAN_EDITED;
                m.edit = spoil_one;
                replies = 0;
                ask_one(rig, &ask);
                assert_reason(&ask, spoilt == 0   ? REASON_DC_PROTOCOL
                                    : spoilt == 1 ? REASON_KDC_NOT_VERIFIED
                                                  : REASON_WRONG_PASSWORD);
                assert_false(ask.outcome.password_proved);
                assert_int_equal(replies, spoilt == 0 ? 1 : 2);
                middle_close(&m);
        }
}

/* The answer of an earlier, right sign-in, played again: its nonce is old. */
static void record(struct middle *m, uint8_t *reply, size_t *n)
{
        memcpy(m->recorded, reply, *n);
        m->recorded_n = *n;
}

static void test_replayed_answers(void **state)
{
        static const char *const second[] = {"good15", "good16"}; /* the same account, and another one */

        for (size_t i = 0; i < 2; i++) {
                struct ask ask = ask_ad(*state, NAME_UPN, "good15");
                struct middle m;

                middle_open(&m, *state, &ask);
                middle_use(&m, &ask);
                m.preauth = PLAN_EDITED;
                m.edit = record;
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_OK);
                ask = ask_ad(*state, NAME_UPN, second[i]);
                middle_use(&m, &ask);
                m.preauth = PLAN_RECORDED;
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_KDC_NOT_VERIFIED);
                assert_nothing_said(&ask);
                middle_close(&m);
        }
}

/* The proof goes to another realm's KDC or nobody: one that is not configured is a referral. */
static void test_referral(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good1");
        struct middle m;

        middle_open(&m, *state, &ask);
        middle_use(&m, &ask);
        m.plain = PLAN_EDITED;
        m.edit = edit_set_code;
        edit_code = 68;
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_REFERRAL);
        assert_nothing_said(&ask);
        assert_false(ask.left);
        assert_int_equal(m.n_preauth, 0);
        middle_close(&m);
}

/* The same with a realm that is no text, wherever it stands. */
static void edit_hostile_realm(struct middle *m, uint8_t *reply, size_t *n)
{
        static const char realm[] = "CORP.EXAMPLE", hostile[] = "\xff\x1b[2J\n\x9b\"=\xc3X";

        (void)m;
        set_code(reply, *n, 68);
        for (size_t i = 0; i + sizeof realm - 1 <= *n; i++)
                if (memcmp(reply + i, realm, sizeof realm - 1) == 0)
                        memcpy(reply + i, hostile, sizeof realm - 1);
}

/* What a KDC sends goes into records and logs: only plain text may. */
static void test_referral_to_a_hostile_realm(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good1");
        struct middle m;

        middle_open(&m, *state, &ask);
        middle_use(&m, &ask);
        m.plain = PLAN_EDITED;
        m.edit = edit_hostile_realm;
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_REFERRAL);
        for (const char *c = ask.outcome.context; *c; c++)
                if (*c < 0x20 || *c > 0x7e)
                        fail_msg("byte %02x in the context", (unsigned)(unsigned char)*c);
        middle_close(&m);
}

/* A keytab with a key the domain doesn't know: the ticket can't be opened, whoever made it. */
static void test_other_service_key(void **state)
{
        struct rig *rig = *state;
        struct domain_config config = rig->ad;
        krb5_keytab_entry entry = {.vno = 2};
        krb5_keytab keytab;
        struct ask ask;

        config.keytab = "MEMORY:wrong-key";
        assert_int_equal(krb5_kt_resolve(rig->krb->context, config.keytab, &keytab), 0);
        assert_int_equal(
                krb5_copy_principal(rig->krb->context, krb_domain_find(rig->krb, &config)->service, &entry.principal),
                0);
        assert_int_equal(krb5_c_make_random_key(rig->krb->context, ENCTYPE_AES256_CTS_HMAC_SHA1_96, &entry.key), 0);
        assert_int_equal(krb5_kt_add_entry(rig->krb->context, keytab, &entry), 0);
        krb5_free_keytab_entry_contents(rig->krb->context, &entry);
        assert_int_equal(krb_domain_add(&rig->krb->method, &config, NULL), 0);
        ask = ask_ad(rig, NAME_UPN, "good1");
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_KDC_NOT_VERIFIED);
        assert_nothing_said(&ask);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        /* whoever has to mend it reads which key the KDC used and which there are */
        assert_non_null(strstr(ask.outcome.context, "the ticket needs key number "));
        assert_non_null(strstr(ask.outcome.context, "it holds host/"));
        krb5_kt_close(rig->krb->context, keytab);
}

/* The key was changed on the DC and in the keytab's file: the next sign-in reads it again. */
static void test_keytab_changed_on_disk(void **state)
{
        struct rig *rig = *state;
        struct krb_domain *domain = krb_domain_find(rig->krb, &rig->ad);
        struct ask ask = ask_ad(rig, NAME_UPN, "good1");
        krb5_keytab empty;

        assert_int_equal(krb_memory_keytab(&empty, rig->krb), 0);
        krb5_kt_close(rig->krb->context, domain->keytab);
        domain->keytab = empty;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
}

static uint16_t free_port(void)
{
        struct sockaddr_in in = {.sin_family = AF_INET};
        socklen_t len = sizeof in;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof in), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
        close(fd);
        return ntohs(in.sin_port);
}

static void test_refused_port(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good1");

        ask.address = "127.0.0.1";
        ask.port = free_port();
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_DC_REFUSED);
        assert_nothing_said(&ask);
        assert_false(ask.left);
        ask.password = NULL;
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_DC_REFUSED);
}

static void wait_for(const char *address, uint16_t port)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

        assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
        for (int tries = 0; tries < 2000; tries++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                int r = connect(fd, (const struct sockaddr *)&in, sizeof in);

                close(fd);
                if (r == 0)
                        return;
                usleep(10000);
        }
        fail_msg("the fake KDC does not come up");
}

struct fake {
        char folder[32], keytab[64];
        uint16_t port;
        int pid;
};

static void fake_open(struct fake *fake, const struct rig *rig)
{
        char port[8];

        snprintf(fake->folder, sizeof fake->folder, "/tmp/postern-fake-XXXXXX");
        assert_non_null(mkdtemp(fake->folder));
        snprintf(fake->keytab, sizeof fake->keytab, "FILE:%s/own.keytab", fake->folder);
        fake->port = free_port();
        snprintf(port, sizeof port, "%u", fake->port);
        fake->pid = spawn((const char *const[]){FAKE_KDC, fake->folder, "127.0.0.1", port, rig->ad.realm, "victim",
                                                "chosen", rig->ad.service_principal, NULL});
        wait_for("127.0.0.1", fake->port);
}

static void fake_close(struct fake *fake)
{
        char out[16];
        int status;

        kill(fake->pid, SIGTERM);
        assert_int_equal(waitpid(fake->pid, &status, 0), fake->pid);
        run((const char *const[]){"rm", "-r", fake->folder, NULL}, out, sizeof out);
}

static struct ask ask_fake(struct rig *rig, const struct fake *fake, const char *user, const char *password)
{
        struct ask ask = ask_ad(rig, NAME_NETBIOS, "good1");

        snprintf(ask.user, sizeof ask.user, "%s", user);
        ask.password = password;
        ask.address = "127.0.0.1";
        ask.port = fake->port;
        return ask;
}

/*
 * A whole KDC of the same realm with passwords of its own choice: everything agrees, but it can't make a
 * ticket that our service's key opens. With and without preauthentication.
 */
static void test_fake_kdc(void **state)
{
        static const char *const users[] = {"victim", "open"};
        struct rig *rig = *state;
        struct fake fake;

        fake_open(&fake, rig);
        for (size_t i = 0; i < 2; i++) {
                struct ask ask = ask_fake(rig, &fake, users[i], "chosen");

                ask_one(rig, &ask);
                assert_reason(&ask, REASON_KDC_NOT_VERIFIED);
                assert_nothing_said(&ask);
                assert_int_equal(ask.left, i == 0);
                /* Without preauthentication the answer itself refutes a wrong password. */
                ask = ask_fake(rig, &fake, users[i], "other");
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_int_equal(ask.outcome.counted, i == 0 ? COUNTED_YES : COUNTED_NO);
                assert_string_equal(ask.outcome.user.id, "");
        }
        fake_close(&fake);
}

/* Every kind of AES key signs in, with and without preauthentication; RC4 keys are never used. */
static void test_kinds_of_keys(void **state)
{
        static const char *const users[] = {"k17",    "k18",    "k19",    "k20",    "k1718",
                                            "open17", "open18", "open19", "open20", "open1718"};
        struct rig *rig = *state;
        struct domain_config config = rig->ad;
        struct fake fake;
        struct ask ask;

        fake_open(&fake, rig);
        config.directory = DIRECTORY_GENERIC;
        config.keytab = fake.keytab;
        assert_int_equal(krb_domain_add(&rig->krb->method, &config, NULL), 0);
        for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
                char id[64];

                snprintf(id, sizeof id, "krb5:%s@%s", users[i], rig->ad.realm);
                ask = ask_fake(rig, &fake, users[i], "chosen");
                ask.config = &config;
                ask_one(rig, &ask);
                if (ask.outcome.reason != REASON_OK)
                        fail_msg("%s: %s", users[i], ask.outcome.context);
                assert_string_equal(ask.outcome.user.id, id);
                assert_true(ask.outcome.password_proved);
                ask = ask_fake(rig, &fake, users[i], "other");
                ask.config = &config;
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_int_equal(ask.outcome.counted, users[i][0] == 'k' ? COUNTED_YES : COUNTED_NO);
        }
        ask = ask_fake(rig, &fake, "k23", "chosen");
        ask.config = &config;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_ETYPE_NOSUPP);
        assert_false(ask.left);
        fake_close(&fake);
}

/* Cancelled at every point of the flow: nothing is called back, nothing leaks, the DC may still answer. */
static void test_cancel(void **state)
{
        static const enum plan plans[][2] = {
                {PLAN_HOLD, PLAN_FORWARD}, {PLAN_FORWARD, PLAN_HOLD}, {PLAN_FORWARD, PLAN_FORWARD}};

        for (size_t i = 0; i < 3; i++) {
                struct ask ask = ask_ad(*state, NAME_UPN, "good17");
                struct middle m;

                middle_open(&m, *state, &ask);
                middle_use(&m, &ask);
                m.plain = plans[i][0];
                m.preauth = plans[i][1];
                ask_start(*state, &ask);
                if (i < 2)
                        rig_spin(*state, 200);
                assert_int_equal(ask.calls, 0);
                method_cancel(ask.attempt);
                rig_spin(*state, 50);
                assert_int_equal(ask.calls, 0);
                assert_int_equal(m.n_preauth, i == 1);
                ask.secret = secret_free(ask.secret);
                middle_close(&m);
        }
        method_cancel(NULL);
}

static void test_deadline_passed(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good1");
        struct middle m;

        middle_open(&m, *state, &ask);
        middle_use(&m, &ask);
        ask.budget_ms = 0;
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_DEADLINE);
        assert_false(ask.left);
        assert_int_equal(m.n_plain, 0);
        middle_close(&m);
}

/* More than the slots wait behind a silent KDC: each gets its answer in time, and the KDC at most the slots.
 */
static void test_burst_at_a_silent_kdc(void **state)
{
        static struct ask asks[KRB_SLOTS + 8];
        struct rig *rig = *state;
        struct middle m;

        asks[0] = ask_ad(rig, NAME_UPN, "good18");
        middle_open(&m, rig, &asks[0]);
        m.plain = PLAN_HOLD;
        for (size_t i = 0; i < KRB_SLOTS + 8; i++) {
                asks[i] = ask_ad(rig, NAME_UPN, "good18");
                asks[i].budget_ms = i < KRB_SLOTS ? 8000 : 2000; /* who waits does not live to see a slot come free */
                middle_use(&m, &asks[i]);
        }
        ask_all(rig, asks, KRB_SLOTS + 8);
        for (size_t i = 0; i < KRB_SLOTS + 8; i++) {
                assert_reason(&asks[i], i < KRB_SLOTS ? REASON_DC_TIMEOUT : REASON_OVERLOADED);
                assert_false(asks[i].left);
        }
        assert_true(m.n_plain >= KRB_SLOTS);
        assert_true(TAILQ_EMPTY(&rig->krb->kdcs));
        middle_close(&m);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_spoiled_before_the_proof),
                TEST(test_spoiled_after_the_proof),
                TEST(test_no_second_proof_whatever_the_answer),
                TEST(test_iterations_out_of_bounds),
                TEST(test_replayed_answers),
                TEST(test_spoilt_armored_answers),
                TEST(test_referral),
                TEST(test_referral_to_a_hostile_realm),
                TEST(test_other_service_key),
                TEST(test_keytab_changed_on_disk),
                TEST(test_refused_port),
                TEST(test_fake_kdc),
                TEST(test_kinds_of_keys),
                TEST(test_cancel),
                TEST(test_deadline_passed),
                TEST(test_burst_at_a_silent_kdc),
        };
        return cmocka_run_group_tests_name("validate-krb5-hostile", tests, NULL, NULL);
}
