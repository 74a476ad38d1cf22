/*
 * What Windows KDCs answer to a proof and Samba doesn't, replayed over TCP by a peer that forwards the first
 * request to the real KDC: NTSTATUS in each of its three shapes ([MS-KILE] 2.2.1 and 2.2.2; values from
 * [MS-ERREF] 2.3.1, codes from RFC 4120 7.5.9), e-data that lies, and codes alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/validate/krb/krb_rig.h"

enum shape { BARE = 0, METHOD, ERROR_DATA, RAW, CUT, JUNK, EVERY /* METHOD, ERROR_DATA and RAW in turn */ };

struct row {
        uint8_t code;
        enum shape shape;
        uint32_t status;
        enum reason reason;
        bool proved;
        enum counted counted;
};

/* What precedes the 12 bytes of KERB-EXT-ERROR, which ends every shape. */
static const struct {
        uint8_t bytes[16];
        uint8_t n;
} heads[] = {
        [BARE] = {{0}, 0},
        /* SEQUENCE OF { [1] 3, [2] OCTET STRING }: METHOD-DATA, seen from Samba */
        [METHOD] = {{0x30, 0x17, 0x30, 0x15, 0xa1, 3, 2, 1, 3, 0xa2, 14, 4, 12}, 13},
        /* { [1] 3, [2] OCTET STRING }: KERB-ERROR-DATA, Windows */
        [ERROR_DATA] = {{0x30, 0x15, 0xa1, 3, 2, 1, 3, 0xa2, 14, 4, 12}, 11},
        [RAW] = {{0}, 0},
        /* KERB-ERROR-DATA that announces more than it brings */
        [CUT] = {{0x30, 0x75, 0xa1, 3, 2, 1, 3, 0xa2, 110, 4, 108}, 11},
        [JUNK] = {{0xff, 0xff, 0xff}, 3},
};

static const struct row rows[] = {
        {24, EVERY, 0xC000006A, REASON_WRONG_PASSWORD, false, COUNTED_YES},
        {24, EVERY, 0xC000006D, REASON_WRONG_PASSWORD, false, COUNTED_YES},
        {24, BARE, 0, REASON_WRONG_PASSWORD, false, COUNTED_YES},
        {31, BARE, 0, REASON_WRONG_PASSWORD, false, COUNTED_YES},
        {24, EVERY, 0xC00002FA, REASON_SMARTCARD_REQUIRED, false, COUNTED_UNKNOWN},
        {12, EVERY, 0xC00002FA, REASON_SMARTCARD_REQUIRED, false, COUNTED_UNKNOWN},
        {12, EVERY, 0xC000006E, REASON_ACCOUNT_RESTRICTION, false, COUNTED_UNKNOWN},
        {12, EVERY, 0xC0000070, REASON_WORKSTATION, false, COUNTED_UNKNOWN},
        {12, BARE, 0, REASON_ACCOUNT_RESTRICTION, false, COUNTED_UNKNOWN},
        {18, EVERY, 0xC000006F, REASON_LOGON_HOURS, false, COUNTED_UNKNOWN},
        {18, EVERY, 0xC0000072, REASON_DISABLED, false, COUNTED_NO},
        {18, EVERY, 0xC0000193, REASON_ACCOUNT_EXPIRED, false, COUNTED_UNKNOWN},
        {18, EVERY, 0xC0000234, REASON_LOCKED_OUT, false, COUNTED_NO},
        {18, BARE, 0, REASON_LOCKED_OUT, false, COUNTED_NO}, /* AD names every other cause */
        {18, CUT, 0xC0000193, REASON_REVOKED, false, COUNTED_UNKNOWN},
        {18, JUNK, 0xC0000193, REASON_REVOKED, false, COUNTED_UNKNOWN},
        {18, EVERY, 0xC0FFEE00, REASON_REVOKED, false, COUNTED_UNKNOWN},
        {23, EVERY, 0xC0000071, REASON_PASSWORD_EXPIRED, false, COUNTED_UNKNOWN},
        {23, EVERY, 0xC0000224, REASON_MUST_CHANGE_PASSWORD, false, COUNTED_UNKNOWN},
        {6, BARE, 0, REASON_UNKNOWN_USER, false, COUNTED_NO},
        {8, BARE, 0, REASON_NAME_AMBIGUOUS, false, COUNTED_UNKNOWN},
        {29, EVERY, 0xC000005E, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {37, BARE, 0, REASON_CLOCK_SKEW, false, COUNTED_UNKNOWN},
        {37, EVERY, 0xC0000133, REASON_CLOCK_SKEW, false, COUNTED_UNKNOWN},
        {14, BARE, 0, REASON_ETYPE_NOSUPP, false, COUNTED_UNKNOWN},
        {60, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC000018B, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN},
        {99, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {7, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {9, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {13, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {16, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {26, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {32, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {34, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {36, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {41, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {44, BARE, 0, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC000018A, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC000018C, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000190, REASON_TRUST_FAILURE, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000062, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000073, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000192, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC00000DC, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000198, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC0000199, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC000019A, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
        {60, EVERY, 0xC000000D, REASON_NAME_AMBIGUOUS, false, COUNTED_UNKNOWN},
        {6, EVERY, 0xC0000064, REASON_UNKNOWN_USER, false, COUNTED_NO},
        {12, EVERY, 0xC0000413, REASON_AUTHENTICATION_FIREWALL, false, COUNTED_UNKNOWN},
        {12, EVERY, 0xC000015B, REASON_LOGON_TYPE, false, COUNTED_UNKNOWN},
        {12, EVERY, 0xC000015A, REASON_TOO_MANY_GROUPS, false, COUNTED_UNKNOWN},
};

/* Answers to the request without a proof: causes prove nothing then, and 12 is a demand for armour. */
static const struct row first_rows[] = {
        {12, BARE, 0, REASON_ARMOR_REQUIRED, false, COUNTED_NO},
        {12, EVERY, 0xC0000070, REASON_WORKSTATION, false, COUNTED_NO},
        {18, EVERY, 0xC0000193, REASON_ACCOUNT_EXPIRED, false, COUNTED_NO},
        {18, EVERY, 0xC0000072, REASON_DISABLED, false, COUNTED_NO},
        {23, EVERY, 0xC0000071, REASON_PASSWORD_EXPIRED, false, COUNTED_NO},
        {24, BARE, 0, REASON_DC_ERROR, false, COUNTED_NO},
        {14, BARE, 0, REASON_ETYPE_NOSUPP, false, COUNTED_NO},
        {37, BARE, 0, REASON_CLOCK_SKEW, false, COUNTED_NO},
};

/* Puts a value with its DER head (two bytes of length where needed). Returns its whole length. */
static size_t der(uint8_t *out, uint8_t tag, const void *value, size_t n)
{
        size_t head = n < 128 ? 2 : 3;

        assert_true(n < 256);
        memmove(out + head, value, n);
        out[0] = tag;
        out[1] = n < 128 ? (uint8_t)n : 0x81;
        if (n >= 128)
                out[2] = (uint8_t)n;
        return head + n;
}

static size_t e_data(uint8_t *out, const struct row *row)
{
        size_t n = heads[row->shape].n;

        if (row->shape == BARE)
                return 0;
        memcpy(out, heads[row->shape].bytes, n);
        for (int i = 0; i < 4; i++)
                out[n + (size_t)i] = (uint8_t)(row->status >> 8 * i); /* LE32, reserved, flags = 1 */
        memcpy(out + n + 4, "\0\0\0\0\1\0\0\0", 8);
        return n + 12;
}

/* One context-tagged member appended at b. */
static size_t member(uint8_t *b, uint8_t number, uint8_t tag, const void *value, size_t n)
{
        uint8_t inner[256];
        size_t len = der(inner, tag, value, n);

        return der(b, (uint8_t)(0xa0 | number), inner, len);
}

/* A KRB-ERROR of RFC 4120 5.9.1. */
static size_t krb_error(uint8_t *out, const struct row *row)
{
        static const uint8_t five = 5, thirty = 30, zero = 0;
        static const char realm[] = "CORP.EXAMPLE";
        uint8_t body[512], name[256], parts[256], data[256];
        size_t n = 0, k, len;

        n += member(body + n, 0, 2, &five, 1);
        n += member(body + n, 1, 2, &thirty, 1);
        n += member(body + n, 4, 0x18, "20260101000000Z", 15);
        n += member(body + n, 5, 2, &zero, 1);
        n += member(body + n, 6, 2, &row->code, 1);
        n += member(body + n, 9, 0x1b, realm, sizeof realm - 1);
        k = der(parts, 0x1b, "krbtgt", 6);
        k += der(parts + k, 0x1b, realm, sizeof realm - 1);
        len = member(name, 0, 2, "\2", 1);
        len += member(name + len, 1, 0x30, parts, k);
        n += member(body + n, 10, 0x30, name, len);
        k = e_data(data, row);
        if (k > 0)
                n += member(body + n, 12, 4, data, k);
        len = der(out, 0x30, body, n);
        return der(out, 0x7e, out, len);
}

static void replay(struct rig *rig, const struct row *row, bool first)
{
        struct ask ask = ask_ad(rig, NAME_UPN, "good13");
        const struct outcome *o = &ask.outcome;
        struct middle m;

        middle_open(&m, rig, &ask);
        middle_use(&m, &ask);
        if (first)
                m.plain = PLAN_RECORDED;
        m.preauth = PLAN_RECORDED;
        m.recorded_n = krb_error(m.recorded, row);
        ask_one(rig, &ask);
        if (o->reason != row->reason || o->password_proved != row->proved || o->counted != row->counted)
                fail_msg("code %u, shape %d, %08x: %s, proved %d, counted %s (%s)", row->code, (int)row->shape,
                         (unsigned)row->status, reason_info(o->reason)->id, o->password_proved,
                         counted_text(o->counted), o->context);
        assert_string_equal(o->user.id, "");
        assert_int_equal(o->krb, row->code);
        assert_int_equal(m.n_preauth, first ? 0 : 1); /* nothing after its answer */
        assert_int_equal(m.n_other, 0);
        middle_close(&m);
}

static void replay_row(struct rig *rig, const struct row *row, bool first)
{
        struct row shaped = *row;

        if (row->shape != EVERY) {
                replay(rig, row, first);
                return;
        }
        for (int shape = METHOD; shape <= RAW; shape++) {
                shaped.shape = (enum shape)shape;
                replay(rig, &shaped, first);
        }
}

static void test_replay(void **state)
{
        struct rig rig;

        (void)state;
        rig_open(&rig);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                replay_row(&rig, &rows[i], false);
        for (size_t i = 0; i < sizeof first_rows / sizeof *first_rows; i++)
                replay_row(&rig, &first_rows[i], true);
        rig_close(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_replay)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
