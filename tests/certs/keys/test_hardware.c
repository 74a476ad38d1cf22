/*
 * Names of hardware keys, and what a holder may say: each malformed URI and frame is refused, and no PIN is
 * repeated in an error.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs/keys/key-holder.h"
#include "certs/keys/key-uri.h"

static void test_kinds(void **state)
{
        static const struct {
                const char *text;
                enum key_kind kind;
        } cases[] = {
                {"pkcs11:token=a", KEY_KIND_PKCS11},
                {"handle:0x81000001", KEY_KIND_TPM_HANDLE},
                {"tpm2:", KEY_KIND_TPM_NEW},
                {"-----BEGIN TSS2 PRIVATE KEY-----\nMII", KEY_KIND_TPM_PEM},
                {"-----BEGIN PRIVATE KEY-----\nMII", KEY_KIND_NONE},
                {"/etc/postern/identity.pem", KEY_KIND_NONE},
                {"pkcs11", KEY_KIND_NONE},
                {"", KEY_KIND_NONE},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(key_kind_of(cases[i].text, strlen(cases[i].text)), cases[i].kind);
        assert_int_equal(key_kind_of("pkcs11:", 6), KEY_KIND_NONE); /* n counts, not the NUL */
}

static void test_uris(void **state)
{
        static const struct {
                const char *uri, *pin_file;
        } cases[] = {
                {"pkcs11:token=a;object=b", ""},
                {"pkcs11:token=a?pin-source=file:/etc/pin", "/etc/pin"},
                {"pkcs11:token=a?pin-source=file:///etc/pin&module-path=/x.so", "/etc/pin"},
                {"pkcs11:token=a?module-path=/x.so&pin-source=/etc/pin", "/etc/pin"},
                {"pkcs11:token=a?pin-source=file:%2Fetc%2fa%20pin", "/etc/a pin"},
                {"handle:0x81000001", ""},
                {"handle:0x81abCDef?pin-source=file:/etc/pin", "/etc/pin"},
                {"tpm2:", ""},
        };
        char path[KEY_PATH_MAX];
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (key_uri_check(cases[i].uri, path, &err) < 0)
                        fail_msg("%s: %s", cases[i].uri, err.text);
                assert_string_equal(path, cases[i].pin_file);
                assert_int_equal(key_uri_check(cases[i].uri, NULL, &err), 0);
        }
}

static void test_bad_uris(void **state)
{
        static const struct {
                const char *uri, *what;
        } cases[] = {
                {"", "begins neither"},
                {"/etc/identity.pem", "begins neither"},
                {"-----BEGIN TSS2 PRIVATE KEY-----", "blank"},
                {"pkcs11:token=a b", "blank"},
                {"pkcs11:token=\xc3\xa4", "%XX"},
                {"pkcs11:token=a?pin-value=sesame", "a PIN does not belong there"},
                {"pkcs11:pin-value=sesame", "a PIN does not belong there"},
                {"pkcs11:token=a?module-name=x&pin-value=sesame", "a PIN does not belong there"},
                {"pkcs11:token=a?pin-source=etc/pin", "absolute path"},
                {"pkcs11:token=a?pin-source=", "absolute path"},
                {"pkcs11:token=a?pin-source=file://host/pin", "absolute path"},
                {"pkcs11:token=a?pin-source=|/bin/pin", "absolute path"},
                {"pkcs11:token=a?pin-source=/a%0", "malformed"},
                {"pkcs11:token=a?pin-source=/a%", "malformed"},
                {"pkcs11:token=a?pin-source=/a%00b", "malformed"},
                {"pkcs11:token=a?pin-source=/a%xyb", "malformed"},
                {"pkcs11:token=a?pin-source=/a&pin-source=/b", "twice"},
                {"handle:0x81", "six more"},
                {"handle:81000001", "six more"},
                {"handle:0x01000001", "six more"},
                {"handle:0x810000011", "six more"},
                {"tpm2:x", "stands alone"},
        };
        char path[KEY_PATH_MAX], text[KEY_URI_MAX + 2];
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const int r = key_uri_check(cases[i].uri, path, &err);

                if (r != -EINVAL || !strstr(err.text, cases[i].what) || strstr(err.text, "sesame"))
                        fail_msg("%s: %d %s", cases[i].uri, r, err.text);
        }
        memset(text, 'a', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        memcpy(text, "pkcs11:", 7);
        assert_int_equal(key_uri_check(text, path, &err), -EINVAL);
        text[KEY_URI_MAX] = '\0';
        assert_int_equal(key_uri_check(text, path, &err), 0);
}

/* What key_from_holder makes of these bytes in one frame; n 0: the holder ends. */
static int hear(const void *frame, size_t n, struct error *err)
{
        struct key *key = NULL;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        if (n)
                assert_int_equal(send(pair[1], frame, n, 0), (ssize_t)n);
        close(pair[1]);
        const int r = key_from_holder(&key, pair[0], NULL, err);
        key_free(key);
        return r;
}

static void test_frames(void **state)
{
        uint8_t frame[KEYHOLDER_FRAME_MAX + 1] = {KEYHOLDER_KEY};
        const int32_t code = -EACCES, positive = 5;
        struct error err = {""};

        (void)state;
        assert_int_equal(hear(NULL, 0, &err), -EPIPE);
        assert_int_equal(hear(frame, 1, &err), -EBADMSG);
        assert_int_equal(hear(frame, 64, &err), -EBADMSG);
        assert_int_equal(hear(frame, 65, &err), -EBADMSG); /* (0, 0) is no point */
        assert_int_equal(hear(frame, sizeof(frame), &err), -EBADMSG);
        frame[0] = KEYHOLDER_SIGNATURE;
        assert_int_equal(hear(frame, 65, &err), -EBADMSG);
        frame[0] = KEYHOLDER_ERROR;
        assert_int_equal(hear(frame, 5, &err), -EBADMSG);
        memcpy(frame + 1, &code, sizeof(code));
        memcpy(frame + 5, "no", 3);
        assert_int_equal(hear(frame, 8, &err), -EACCES);
        assert_string_equal(err.text, "no");
        memcpy(frame + 1, &positive, sizeof(positive));
        assert_int_equal(hear(frame, 8, &err), -EIO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_uris),
                cmocka_unit_test(test_bad_uris),
                cmocka_unit_test(test_frames),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
