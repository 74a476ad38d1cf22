/*
 * What is no sealed request. Each case changes one thing of a good text, so that nothing else can be the reason, and
 * names what the error must say.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* A request of n recipients; free() it. */
static char *good_text(struct key **keys, size_t n, size_t padded)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX), plain = BUFFER(PADDED_LARGE);
        struct error err = {""};

        assert_int_equal(jose_pad(&plain, "attack.at.dawn", 14, padded), 0);
        assert_int_equal(sealed_seal(keys, n, &plain, &text, &err), 0);
        assert_int_equal(text.len, SEALED_LEN(padded, n));
        return buffer_steal(&text);
}

static void must_refuse(const char *text, size_t n, const char *says)
{
        struct error err = {""};
        struct sealed sealed = {.n = 77};

        assert_refused(sealed_read(&sealed, text, n, &err), -EBADMSG, &err, says);
        assert_int_equal(sealed.n, 77);
}

/* Where each part begins, of a text of the small class. */
#define IV 77
#define CIPHERTEXT (IV + 17)
#define TAG (CIPHERTEXT + B64U_LEN(PADDED_SMALL) + 1)
#define LINE(i) SEALED_LEN(PADDED_SMALL, (i))

/* One character changed. */
static void one_character(void **state)
{
        static const struct {
                size_t at;
                char to;
                const char *says;
        } cases[] = {
                {0, 'f', "the one protected header"},
                {75, 'K', "the one protected header"},
                {76, ':', "the one protected header"},
                {IV, '+', "iv is not the base64url form of 12 bytes"},
                {IV + 3, '.', "iv is not"},
                {IV + 16, '\n', "iv is not"},
                {CIPHERTEXT, '=', "ciphertext is not the base64url form of 2048 bytes"},
                {TAG - 2, 'B', "ciphertext is not"}, /* bits that are not used */
                {TAG - 1, '~', "ciphertext is not"},
                {TAG + 3, ' ', "tag is not the base64url form of 16 bytes"},
                {TAG + 21, 'B', "tag is not"},
                {TAG + 22, ' ', "tag is not"},
                {LINE(0) + 5, '\0', "recipient 0: sealed request: kid is not the base64url form of 32 bytes"},
                {LINE(0) + 42, 'B', "recipient 0: sealed request: kid is not"},
                {LINE(0) + 43, '-', "recipient 0: sealed request: kid is not"},
                {LINE(0) + 44, '\xc3', "recipient 0: sealed request: epk_x is not"},
                {LINE(0) + 87, '\n', "recipient 0: sealed request: epk_x is not"},
                {LINE(1) + 88, '/', "recipient 1: sealed request: epk_y is not"},
                {LINE(1) + 131, ',', "recipient 1: sealed request: epk_y is not"},
                {LINE(1) + 132, '"',
                 "recipient 1: sealed request: encrypted_key is not the base64url form of 40 bytes"},
                {LINE(1) + 185, 'B', "recipient 1: sealed request: encrypted_key is not"},
                {LINE(2) - 1, '\r', "recipient 1: sealed request: encrypted_key is not"},
        };
        struct key *keys[] = {fresh_key(), fresh_key()};
        char *text = good_text(keys, 2, PADDED_SMALL);
        const size_t n = strlen(text);
        struct error err = {""};
        struct sealed sealed;

        (void)state;
        assert_int_equal(sealed_read(&sealed, text, n, &err), 0);
        assert_int_equal(sealed.padded, PADDED_SMALL);
        assert_int_equal(sealed.n, 2);
        for (size_t i = 0; i < N(cases); i++) {
                const char was = text[cases[i].at];

                assert_int_not_equal(was, cases[i].to);
                text[cases[i].at] = cases[i].to;
                must_refuse(text, n, cases[i].says);
                text[cases[i].at] = was;
        }
        free(text);
        key_free(keys[0]);
        key_free(keys[1]);
}

/* No other length is one of a request: no prefix, nothing behind it, and no class of its own. */
static void lengths(void **state)
{
        struct key *keys[SEALED_RECIPIENTS_MAX + 1];
        char *text, *longer;
        size_t n;

        (void)state;
        for (size_t i = 0; i < N(keys); i++)
                keys[i] = fresh_key();
        text = good_text(keys, SEALED_RECIPIENTS_MAX, PADDED_LARGE);
        n = strlen(text);
        assert_int_equal(n, SEALED_MAX);
        assert_int_equal(n, 7076);
        for (size_t i = 0; i < n; i++) {
                struct sealed sealed;

                if (sealed_read(&sealed, text, i, NULL) == 0)
                        assert_int_equal(i, SEALED_LEN(PADDED_LARGE, sealed.n)); /* whole lines */
        }
        longer = calloc(1, n + SEALED_LINE_LEN + 2);
        memcpy(longer, text, n);
        memcpy(longer + n, text + n - SEALED_LINE_LEN - 1, SEALED_LINE_LEN + 1);
        must_refuse(longer, n + 1, "length");
        must_refuse(longer, n + SEALED_LINE_LEN + 1, "not that of 1 to 8 recipients");
        must_refuse(longer, 0, "length");
        free(longer);
        free(text);
        for (size_t i = 0; i < N(keys); i++)
                key_free(keys[i]);
}

static void a_kid_twice(void **state)
{
        struct key *keys[] = {fresh_key(), fresh_key(), fresh_key()};
        char *text = good_text(keys, 3, PADDED_SMALL);

        (void)state;
        memcpy(text + LINE(2), text + LINE(0), 43); /* with an epk of its own */
        must_refuse(text, strlen(text), "kid of recipient 2 is that of recipient 0, too");
        free(text);
        for (size_t i = 0; i < N(keys); i++)
                key_free(keys[i]);
}

static void cannot_be_sealed(void **state)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX), plain = BUFFER(PADDED_LARGE), odd = BUFFER(64),
                                             small = BUFFER(100);
        struct key *keys[SEALED_RECIPIENTS_MAX + 1];
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < N(keys); i++)
                keys[i] = fresh_key();
        assert_int_equal(jose_pad(&plain, "a", 1, PADDED_SMALL), 0);
        assert_int_equal(buffer_append_str(&odd, "not padded"), 0);
        assert_refused(sealed_seal(keys, 0, &plain, &text, &err), -EINVAL, &err, "1 to 8 different keys");
        assert_refused(sealed_seal(keys, N(keys), &plain, &text, &err), -EINVAL, &err, "1 to 8 different keys");
        struct key *const same[] = {keys[0], keys[1], keys[0]};
        assert_refused(sealed_seal(same, 3, &plain, &text, &err), -EINVAL, &err, "different keys");
        assert_refused(sealed_seal(keys, 1, &odd, &text, &err), -EINVAL, &err, "2048 or 4096 bytes");
        assert_refused(sealed_seal(keys, 1, &plain, &small, &err), -EMSGSIZE, &err, "cannot be sealed");
        assert_int_equal(text.len, 0);
        for (size_t i = 0; i < N(keys); i++)
                key_free(keys[i]);
}

static void does_not_open(void **state)
{
        static const size_t damage[] = {IV, CIPHERTEXT, TAG, LINE(0) + 132};
        struct key *key = fresh_key(), *other = fresh_key(), *public = NULL;
        char *text = good_text(&key, 1, PADDED_SMALL);
        const size_t n = strlen(text);
        struct error err = {""};
        struct sealed sealed;
        json_t *jwk = NULL;

        (void)state;
        for (size_t i = 0; i < N(damage); i++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_SMALL);
                const char was = text[damage[i]];

                text[damage[i]] = was == 'A' ? 'B' : 'A';
                assert_int_equal(sealed_read(&sealed, text, n, &err), 0);
                assert_refused(sealed_open(&sealed, 0, key, &plain, &err), -EKEYREJECTED, &err,
                               "does not decrypt with this key");
                assert_int_equal(plain.len, 0);
                text[damage[i]] = was;
        }
        _cleanup_(buffer_free) struct buffer secret = BUFFER_SECRET(PADDED_SMALL), small = BUFFER_SECRET(13),
                                             plain = BUFFER(PADDED_SMALL);
        assert_int_equal(sealed_read(&sealed, text, n, &err), 0);
        assert_refused(sealed_open(&sealed, 0, other, &secret, &err), -EKEYREJECTED, &err, "names another key");
        assert_refused(sealed_open(&sealed, 1, key, &secret, &err), -EINVAL, &err, "wrong index");
        assert_refused(sealed_open(&sealed, 0, key, &plain, &err), -EINVAL, &err, "plain buffer");
        assert_refused(sealed_open(&sealed, 0, key, &small, &err), -EMSGSIZE, &err, "no room");
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        assert_refused(sealed_open(&sealed, 0, public, &secret, &err), -EINVAL, &err, "a public key");
        memcpy(text + LINE(0) + 88, text + LINE(0) + 44, 43); /* y = x */
        assert_refused(sealed_open(&sealed, 0, key, &secret, &err), -EBADMSG, &err, "epk is not a point on P-256");
        assert_int_equal(secret.len, 0);
        json_decref(jwk);
        key_free(public);
        free(text);
        key_free(key);
        key_free(other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_character),    cmocka_unit_test(lengths),       cmocka_unit_test(a_kid_twice),
                cmocka_unit_test(cannot_be_sealed), cmocka_unit_test(does_not_open),
        };

        return cmocka_run_group_tests_name("certs-sealed", tests, NULL, NULL);
}
