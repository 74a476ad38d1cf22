/*
 * The Kerberos method's own parsers: DER, padata, ETYPE-INFO2, frames, PAC buffers. Samples were recorded
 * from Samba and MIT.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/krb/der.h"
#include "validate/krb/pac.h"
#include "validate/krb/wire.h"

#define SAMPLE_SID "S-1-5-21-488683243-3432008910-2164546220-1102"

struct sample {
        uint8_t bytes[4096];
        size_t n;
};

static void load(struct sample *s, const char *name)
{
        struct buffer b = BUFFER(sizeof s->bytes);
        char path[512];

        snprintf(path, sizeof path, KRB_CORPUS "/%s", name);
        assert_int_equal(file_read(&b, path, NULL), 0);
        memcpy(s->bytes, b.data, b.len);
        s->n = b.len;
        buffer_free(&b);
}

static void test_kinds(void **state)
{
        static const struct {
                const char *name;
                enum krb_message kind;
        } rows[] = {
                {"krb-message/samba-as-rep", KRB_MESSAGE_AS_REP},
                {"krb-message/mit-as-rep-no-preauth", KRB_MESSAGE_AS_REP},
                {"krb-message/samba-disabled", KRB_MESSAGE_ERROR},
                {"krb-message/mit-wrong-password", KRB_MESSAGE_ERROR},
                {"krb-message/mit-preauth-required", KRB_MESSAGE_ERROR},
                {"krb-message/as-req-plain", KRB_MESSAGE_BAD},
        };
        struct sample s;

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                load(&s, rows[i].name);
                assert_int_equal(krb_message_kind(s.bytes, s.n), rows[i].kind);
                s.bytes[s.n] = 0;
                assert_int_equal(krb_message_kind(s.bytes, s.n + 1), KRB_MESSAGE_BAD);
                assert_int_equal(krb_message_kind(s.bytes, s.n - 1), KRB_MESSAGE_BAD);
        }
        assert_int_equal(krb_message_kind(s.bytes, 0), KRB_MESSAGE_BAD);
}

static void test_preauth_in_requests(void **state)
{
        struct sample s;
        struct krb_padata_list list;
        bool preauth;

        (void)state;
        preauth = true;
        load(&s, "krb-message/as-req-plain");
        assert_int_equal(krb_as_req_has_preauth(&preauth, s.bytes, s.n), 0);
        assert_false(preauth);
        load(&s, "krb-message/as-req-preauth");
        assert_int_equal(krb_as_req_has_preauth(&preauth, s.bytes, s.n), 0);
        assert_true(preauth);
        assert_int_equal(krb_as_req_padata(&list, s.bytes, s.n), 0);
        assert_non_null(krb_padata_find(&list, KRB_PA_ENC_TIMESTAMP));
        assert_null(krb_padata_find(&list, 138));
        load(&s, "krb-message/samba-as-rep");
        assert_int_equal(krb_as_req_has_preauth(&preauth, s.bytes, s.n), -EBADMSG);
}

/* A request whose one padata is of the given type: 6a SEQ { [1] 5, [2] 10, [3] { SEQ { [1] type, [2] '' } }
 * }. */
static bool request_with(uint8_t type, bool *ret_preauth)
{
        const uint8_t bytes[] = {0x6a, 0x1d, 0x30, 0x1b, 0xa1, 0x03, 0x02, 0x01, 0x05, 0xa2, 0x03,
                                 0x02, 0x01, 0x0a, 0xa3, 0x0f, 0x30, 0x0d, 0x30, 0x0b, 0xa1, 0x04,
                                 0x02, 0x02, 0x00, type, 0xa2, 0x03, 0x04, 0x01, 0x00};

        return krb_as_req_has_preauth(ret_preauth, bytes, sizeof bytes) == 0;
}

static void test_unknown_padata_counts_as_proof(void **state)
{
        bool preauth = false;

        (void)state;
        assert_true(request_with(138, &preauth) && preauth); /* PA-ENCRYPTED-CHALLENGE */
        assert_true(request_with(136, &preauth) && preauth); /* PA-FX-FAST: who knows what is in it */
        assert_true(request_with(151, &preauth) && preauth); /* SPAKE */
        assert_true(request_with(200, &preauth) && preauth);
        assert_true(request_with(149, &preauth) && !preauth);
        assert_true(request_with(133, &preauth) && !preauth);
        assert_false(request_with(2, &preauth)); /* 00 02 is no minimal integer */
}

static void test_etype_info(void **state)
{
        struct krb_padata_list list;
        struct krb_etype_info info;
        const struct krb_padata *p;
        struct sample s;

        (void)state;
        load(&s, "krb-etype/samba-method-data");
        assert_int_equal(krb_padata_parse(&list, s.bytes, s.n), 0);
        p = krb_padata_find(&list, KRB_PA_ETYPE_INFO2);
        assert_non_null(p);
        assert_int_equal(krb_etype_info2_parse(&info, p->bytes, p->n), 0);
        assert_int_equal(info.n, 1);
        assert_int_equal(info.entries[0].etype, 18);
        assert_int_equal(info.entries[0].salt_len, 17);
        assert_memory_equal(info.entries[0].salt, "CORP.EXAMPLEalice", 17);
        load(&s, "krb-etype/mit-etype-info2");
        assert_int_equal(krb_etype_info2_parse(&info, s.bytes, s.n), 0);
        assert_memory_equal(info.entries[0].salt, "MIT.EXAMPLEbob", 14);
        assert_null(info.entries[0].params);
}

static void test_etype_info_with_params(void **state)
{
        static const uint8_t bytes[] = {0x30, 0x14, 0x30, 0x12, 0xa0, 0x03, 0x02, 0x01, 0x12, 0xa1, 0x03,
                                        0x1b, 0x01, 'S',  0xa2, 0x06, 0x04, 0x04, 0x00, 0x00, 0x10, 0x00};
        struct krb_etype_info info;

        (void)state;
        assert_int_equal(krb_etype_info2_parse(&info, bytes, sizeof bytes), 0);
        assert_int_equal(info.entries[0].params_len, 4);
        assert_memory_equal(info.entries[0].params, bytes + 18, 4);
        assert_int_equal(krb_etype_info2_parse(&info, (const uint8_t[]){0x30, 0x00}, 2), -EBADMSG);
}

/* Lengths that BER allows and DER doesn't, and others that lie. */
static void test_der_strictness(void **state)
{
        static const struct {
                const char *what;
                uint8_t bytes[16];
                size_t n;
        } rows[] = {
                {"indefinite length", {0x30, 0x80, 0x00, 0x00}, 4},
                {"long form of a short length", {0x30, 0x81, 0x00}, 3},
                {"leading zero in the length", {0x30, 0x82, 0x00, 0x00}, 4},
                {"five octets of length", {0x30, 0x85, 1, 0, 0, 0, 0}, 7},
                {"length past the end", {0x30, 0x05, 0x30, 0x00}, 4},
                {"length near SIZE_MAX", {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, 6},
                {"bytes behind the list", {0x30, 0x00, 0x00}, 3},
                {"only a tag", {0x30}, 1},
                {"another tag", {0x31, 0x00}, 2},
                {"empty element", {0x30, 0x02, 0x30, 0x00}, 4},
                {"type of five bytes", {0x30, 0x0b, 0x30, 0x09, 0xa1, 0x07, 0x02, 0x05, 1, 1, 1, 1, 1}, 13},
                {"empty integer", {0x30, 0x06, 0x30, 0x04, 0xa1, 0x02, 0x02, 0x00}, 8},
        };
        struct krb_padata_list list = {.n = 77};

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                if (krb_padata_parse(&list, rows[i].bytes, rows[i].n) != -EBADMSG)
                        fail_msg("accepted: %s", rows[i].what);
        }
        assert_int_equal(list.n, 77);
        assert_int_equal(krb_padata_parse(&list, (const uint8_t[]){0x30, 0x00}, 2), 0);
        assert_int_equal(list.n, 0);
}

static void test_too_many_padata(void **state)
{
        uint8_t bytes[4 + 11 * (KRB_PADATA_MAX + 1)] = {0x30, 0x82};
        static const uint8_t one[11] = {0x30, 0x09, 0xa1, 0x03, 0x02, 0x01, 0x02, 0xa2, 0x02, 0x04, 0x00};
        struct krb_padata_list list;

        (void)state;
        for (size_t n = KRB_PADATA_MAX; n <= KRB_PADATA_MAX + 1; n++) {
                for (size_t i = 0; i < n; i++)
                        memcpy(bytes + 4 + 11 * i, one, sizeof one);
                bytes[2] = (uint8_t)(11 * n >> 8);
                bytes[3] = (uint8_t)(11 * n);
                assert_int_equal(krb_padata_parse(&list, bytes, 4 + 11 * n), n > KRB_PADATA_MAX ? -EBADMSG : 0);
        }
}

static void test_frames(void **state)
{
        struct buffer b = BUFFER(64);
        const uint8_t *reply;
        size_t n;

        (void)state;
        assert_int_equal(krb_frame_parse(&b, &reply, &n), 1);
        assert_int_equal(buffer_append(&b, "\0\0\0\2a", 5), 0);
        assert_int_equal(krb_frame_parse(&b, &reply, &n), 1);
        assert_int_equal(buffer_append(&b, "bc", 2), 0);
        assert_int_equal(krb_frame_parse(&b, &reply, &n), 0);
        assert_int_equal(n, 2);
        assert_memory_equal(reply, "ab", 2);
        buffer_clear(&b);
        assert_int_equal(buffer_append(&b, "\0\0\0\0", 4), 0);
        assert_int_equal(krb_frame_parse(&b, &reply, &n), -EBADMSG);
        buffer_clear(&b);
        assert_int_equal(buffer_append(&b, "\x80\0\0\1", 4), 0);
        assert_int_equal(krb_frame_parse(&b, &reply, &n), -EBADMSG);
        buffer_clear(&b);
        assert_int_equal(buffer_append(&b, "\0\2\0\0", 4), 0); /* exactly KRB_REPLY_MAX */
        assert_int_equal(krb_frame_parse(&b, &reply, &n), 1);
        b.data[3] = 1;
        assert_int_equal(krb_frame_parse(&b, &reply, &n), -EBADMSG);
        buffer_free(&b);
}

static void test_upn_dns_info(void **state)
{
        struct identity user = {0};
        struct sample s;

        (void)state;
        load(&s, "krb-pac/samba-upn-dns-info");
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), 0);
        assert_string_equal(user.id, SAMPLE_SID);
        assert_string_equal(user.upn, "alice@corp.example");
        assert_string_equal(user.sam, "alice");
}

static void test_upn_dns_info_without_sid(void **state)
{
        struct identity user = {0};
        struct sample s;

        (void)state;
        load(&s, "krb-pac/samba-upn-dns-info");
        s.bytes[8] = 1;
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -ENOENT);
        assert_string_equal(user.id, "");
        assert_string_equal(user.upn, "alice@corp.example");
}

static void test_upn_dns_info_malformed(void **state)
{
        struct identity user = {0};
        struct sample s, good;

        (void)state;
        load(&good, "krb-pac/samba-upn-dns-info");
        s = good;
        s.bytes[2] = 0xff; /* offset of the UPN near the end: length goes past it */
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        s.bytes[0] = 0x23; /* odd length of UTF-16 */
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        s.bytes[16] = 0x18; /* SID shorter than its count says */
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        s.bytes[0x18 + 1] = 0xd8; /* lone surrogate */
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        s.bytes[0x58] = 0; /* NUL inside the SAM name */
        assert_int_equal(krb_pac_upn_dns_info(&user, s.bytes, s.n), -EBADMSG);
        assert_int_equal(krb_pac_upn_dns_info(&user, good.bytes, 19), -EBADMSG);
        assert_string_equal(user.id, "");
        assert_string_equal(user.upn, "");
}

static void test_logon_info(void **state)
{
        struct identity user = {0};
        struct sample s;

        (void)state;
        load(&s, "krb-pac/samba-logon-info");
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), 0);
        assert_string_equal(user.id, SAMPLE_SID);
        assert_string_equal(user.sam, "alice");
}

static void test_logon_info_malformed(void **state)
{
        struct identity user = {0};
        struct sample s, good;

        (void)state;
        load(&good, "krb-pac/samba-logon-info");
        s = good;
        s.bytes[0x78] = s.bytes[0x79] = s.bytes[0x7a] = s.bytes[0x7b] = 0; /* UserId 0: the SID is elsewhere */
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), -ENOENT);
        s = good;
        memset(s.bytes + 0xac, 0, 4); /* LogonDomainId: none */
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), -ENOENT);
        s = good;
        memset(s.bytes + 0x80, 0xff, 4); /* GroupCount doesn't match the array */
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        memset(s.bytes + 0xec, 0xff, 4); /* a name longer than the buffer */
        memset(s.bytes + 0xf4, 0xff, 2);
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), -EBADMSG);
        s = good;
        s.bytes[0] = 2; /* another version of NDR */
        assert_int_equal(krb_pac_logon_info(&user, s.bytes, s.n), -EBADMSG);
        assert_int_equal(krb_pac_logon_info(&user, good.bytes, 0x18c), -EBADMSG);
        assert_string_equal(user.id, "");
}

static void test_sid_text(void **state)
{
        static const uint8_t short_one[] = {1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0};
        static const uint8_t wide[] = {1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0};
        uint8_t longest[8 + 15 * 4] = {1, 15};
        char text[SID_TEXT_MAX];

        (void)state;
        assert_int_equal(sid_text(text, short_one, sizeof short_one), 0);
        assert_string_equal(text, "S-1-5-18");
        assert_int_equal(sid_text(text, wide, sizeof wide), 0);
        assert_string_equal(text, "S-1-0xffffffffffff-1");
        memset(longest + 2, 0xff, sizeof longest - 2);
        assert_int_equal(sid_text(text, longest, sizeof longest), 0);
        assert_int_equal(strlen(text), strlen("S-1-0xffffffffffff") + 15 * strlen("-4294967295"));
        assert_int_equal(sid_text(text, longest, sizeof longest - 1), -EBADMSG);
        longest[1] = 16;
        assert_int_equal(sid_text(text, longest, sizeof longest), -EBADMSG);
        assert_int_equal(sid_text(text, (const uint8_t[12]){2, 1}, 12), -EBADMSG);
        assert_int_equal(sid_text(text, (const uint8_t[8]){1, 0}, 8), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_preauth_in_requests),
                cmocka_unit_test(test_unknown_padata_counts_as_proof),
                cmocka_unit_test(test_etype_info),
                cmocka_unit_test(test_etype_info_with_params),
                cmocka_unit_test(test_der_strictness),
                cmocka_unit_test(test_too_many_padata),
                cmocka_unit_test(test_frames),
                cmocka_unit_test(test_upn_dns_info),
                cmocka_unit_test(test_upn_dns_info_without_sid),
                cmocka_unit_test(test_upn_dns_info_malformed),
                cmocka_unit_test(test_logon_info),
                cmocka_unit_test(test_logon_info_malformed),
                cmocka_unit_test(test_sid_text),
        };
        return cmocka_run_group_tests_name("validate-krb-messages", tests, NULL, NULL);
}
