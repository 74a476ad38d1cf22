/*
 * Keys: thumbprint and pin against OpenSSL and libjose, JWK forms, PEM files.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <jose/jose.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/text.h"

static void kid_and_pin(void **state)
{
        (void)state;
        for (int i = 0; i < 8; i++) {
                struct key *key = fresh_key();
                unsigned char *der = NULL;
                uint8_t digest[32];
                char pin[KID_LEN + 1];
                json_t *jwk = NULL;

                const int n = i2d_PUBKEY(key_evp(key), &der);
                assert_true(n > 0);
                assert_int_equal(EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL), 1);
                b64u_encode_to(pin, digest, sizeof(digest));
                assert_string_equal(key_pin(key), pin);

                assert_int_equal(key_to_jwk(key, &jwk), 0);
                json_t *thp = jose_jwk_thp(NULL, jwk, "S256");
                assert_string_equal(key_kid(key), json_string_value(thp));
                assert_true(key_has_private(key));
                json_decref(thp);
                json_decref(jwk);
                OPENSSL_free(der);
                key_free(key);
        }
}

static void jwk_round_trip(void **state)
{
        struct key *key = fresh_key(), *public = NULL;
        struct error err = {""};
        json_t *jwk = NULL;

        (void)state;
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(json_object_size(jwk), 4);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        assert_string_equal(key_kid(public), key_kid(key));
        assert_string_equal(key_pin(public), key_pin(key));
        assert_false(key_has_private(public));
        json_decref(jwk);
        key_free(public);
        key_free(key);
}

static void jwk_refused(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"\"kty\":\"EC\"", "\"kty\":\"OKP\"", "kty is not \"EC\""},
                {"\"kty\":\"EC\",", "", "kty is missing"},
                {"\"crv\":\"P-256\"", "\"crv\":\"P-384\"", "crv is not \"P-256\""},
                {"\"crv\":\"P-256\"", "\"crv\":[\"P-256\"]", "crv is not a string"},
                {"\"x\":\"", "\"x\":\"AAAA", "x is not base64url"},
                {"\"y\":\"", "\"y\":\"=", "y is not base64url"},
                {"\"y\":", "\"z\":", "y is missing"},
                {"{", "{\"key_ops\":[\"deriveKey\"],", "unknown member \"key_ops\""},
                {"{", "{\"nbf\":1,", "unknown member \"nbf\""},
                {"{", "{\"d\":\"AAAA\",", "private key"},
                {"{", "{\"a b\":1,", "has an unknown member"},
        };
        struct key *key = fresh_key(), *out = NULL;
        json_t *jwk = NULL;

        (void)state;
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        char *text = json_dumps(jwk, JSON_COMPACT);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct error err = {""};
                char *changed = replaced(text, cases[i].find, cases[i].with);
                json_t *bad = not_null(json_loads(changed, 0, NULL));

                assert_refused(key_from_jwk(&out, bad, &err), -EBADMSG, &err, cases[i].says);
                json_decref(bad);
                free(changed);
        }
        struct error err = {""};
        json_t *swapped = json_pack("{sssssOsO}", "kty", "EC", "crv", "P-256", "x", json_object_get(jwk, "y"), "y",
                                    json_object_get(jwk, "x"));
        assert_refused(key_from_jwk(&out, swapped, &err), -EBADMSG, &err, "not a point on P-256");
        json_t *no_object = json_array();
        assert_refused(key_from_jwk(&out, no_object, &err), -EBADMSG, &err, "not an object");
        assert_refused(key_from_jwk(&out, NULL, &err), -EBADMSG, &err, "not an object");
        assert_null(out);
        json_decref(no_object);
        json_decref(swapped);
        free(text);
        json_decref(jwk);
        key_free(key);
}

static void further_members_are_the_callers(void **state)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(512);
        struct key *key = fresh_key(), *out;
        struct error err = {""};
        struct json_reader r;

        (void)state;
        assert_int_equal(key_jwk_text(key, &text), 0);
        assert_int_equal(buffer_reserve(&text, 16), 0);
        memcpy(text.data + text.len - 1, ",\"use\":\"enc\"}", 14);
        json_read_begin(&r, text.data, text.len + 12, JSON_PLAIN, "jwk", &err);
        out = key_read_jwk(&r);
        json_read_is(&r, "use", "enc");
        assert_int_equal(json_read_end(&r, true), 0);
        assert_string_equal(key_kid(out), key_kid(key));
        key_free(out);
        key_free(key);
}

static void compressed_form(void **state)
{
        struct key *key = fresh_key(), *again = NULL;
        struct error err = {""};
        EVP_PKEY *evp = EVP_PKEY_dup(key_evp(key));

        (void)state;
        assert_int_equal(EVP_PKEY_set_utf8_string_param(evp, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
                         1);
        assert_int_equal(key_from_evp(&again, evp, true, &err), 0);
        assert_string_equal(key_pin(again), key_pin(key));
        assert_string_equal(key_kid(again), key_kid(key));
        key_free(again);
        EVP_PKEY_free(evp);
        key_free(key);
}

static void pem_round_trip(void **state)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(16384), encrypted = BUFFER_SECRET(16384);
        struct key *key = fresh_key(), *back = NULL;
        struct error err = {""};

        (void)state;
        assert_int_equal(key_to_pem(key, NULL, &plain, &err), 0);
        assert_int_equal(key_to_pem(key, "correct horse", &encrypted, &err), 0);
        assert_false(key_pem_encrypted(plain.data, plain.len));
        assert_true(key_pem_encrypted(encrypted.data, encrypted.len));

        assert_int_equal(key_from_pem(&back, plain.data, plain.len, NULL, &err), 0);
        assert_string_equal(key_kid(back), key_kid(key));
        assert_true(key_has_private(back));
        back = key_free(back);

        assert_int_equal(key_from_pem(&back, encrypted.data, encrypted.len, "correct horse", &err), 0);
        assert_string_equal(key_kid(back), key_kid(key));
        back = key_free(back);

        assert_refused(key_from_pem(&back, encrypted.data, encrypted.len, NULL, &err), -EACCES, &err,
                       "give its passphrase");
        assert_refused(key_from_pem(&back, encrypted.data, encrypted.len, "correct hors", &err), -EACCES, &err,
                       "not the right one");
        assert_refused(key_from_pem(&back, plain.data, plain.len / 2, NULL, &err), -EBADMSG, &err, "is not PEM");
        assert_refused(key_from_pem(&back, "", 0, NULL, &err), -EBADMSG, &err, "is not PEM");
        assert_refused(key_to_pem(key, "", &plain, &err), -EINVAL, &err, "passphrase must have");
        assert_null(back);
        assert_int_equal(ERR_peek_error(), 0); /* or TLS on this thread would trip over it */
        key_free(key);
}

/* What the encrypted form is made of, as OpenSSL itself reads it. */
static void pem_is_scrypt(void **state)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(16384);
        struct key *key = fresh_key();
        struct error err = {""};
        const X509_ALGOR *algorithm;
        const ASN1_OBJECT *oid;
        int type;
        const void *value;

        (void)state;
        assert_int_equal(key_to_pem(key, "pass", &pem, &err), 0);
        BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
        X509_SIG *sig = not_null(PEM_read_bio_PKCS8(bio, NULL, NULL, NULL));
        X509_SIG_get0(sig, &algorithm, NULL);
        X509_ALGOR_get0(&oid, &type, &value, algorithm);
        assert_int_equal(OBJ_obj2nid(oid), NID_pbes2);
        PBE2PARAM *pbe = not_null(ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter));
        assert_int_equal(OBJ_obj2nid(pbe->keyfunc->algorithm), NID_id_scrypt);
        assert_int_equal(OBJ_obj2nid(pbe->encryption->algorithm), NID_aes_256_cbc);
        PBE2PARAM_free(pbe);
        X509_SIG_free(sig);
        BIO_free(bio);
        key_free(key);
}

static void pem_of_other_kinds(void **state)
{
        EVP_PKEY *p384 = EVP_EC_gen("P-384"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        struct key *key = fresh_key(), *back = NULL;
        EVP_PKEY *kinds[] = {p384, ed};
        struct error err = {""};
        char *text = NULL;

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                BIO *bio = BIO_new(BIO_s_mem());

                assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, kinds[i], NULL, NULL, 0, NULL, NULL), 1);
                const long n = BIO_get_mem_data(bio, &text);
                assert_refused(key_from_pem(&back, text, (size_t)n, NULL, &err), -EBADMSG, &err, "not a P-256 key");
                BIO_free(bio);
        }
        BIO *bio = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_PUBKEY(bio, key_evp(key)), 1);
        const long n = BIO_get_mem_data(bio, &text);
        assert_refused(key_from_pem(&back, text, (size_t)n, NULL, &err), -EBADMSG, &err, "holds PUBLIC KEY");
        BIO_free(bio);
        EVP_PKEY_free(p384);
        EVP_PKEY_free(ed);
        key_free(key);
}

/* The private part of one key with the public part of another. */
static void pem_of_two_halves(void **state)
{
        struct key *a = fresh_key(), *b = fresh_key(), *back = NULL;
        PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_evp(a));
        BIO *der_bio = BIO_new(BIO_s_mem()), *pem_bio = BIO_new(BIO_s_mem());
        struct error err = {""};
        char *der, *pem;

        (void)state;
        assert_int_equal(i2d_PKCS8_PRIV_KEY_INFO_bio(der_bio, p8), 1);
        const long n = BIO_get_mem_data(der_bio, &der);
        assert_memory_equal(der + n - P256_POINT_LEN, key_point(a), P256_POINT_LEN); /* it ends in the point */
        memcpy(der + n - P256_POINT_LEN, key_point(b), P256_POINT_LEN);
        assert_true(PEM_write_bio(pem_bio, "PRIVATE KEY", "", (const unsigned char *)der, n) > 0);
        const long len = BIO_get_mem_data(pem_bio, &pem);
        assert_refused(key_from_pem(&back, pem, (size_t)len, NULL, &err), -EBADMSG, &err, "do not belong together");
        assert_null(back);
        PKCS8_PRIV_KEY_INFO_free(p8);
        BIO_free(der_bio);
        BIO_free(pem_bio);
        key_free(a);
        key_free(b);
}

static void key_files(void **state)
{
        char dir[] = "/tmp/postern-key-XXXXXX", path[64], missing[64];
        struct key *key = fresh_key(), *other = fresh_key(), *back = NULL;
        struct error err = {""};
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/identity.pem", dir);
        snprintf(missing, sizeof(missing), "%s/none/identity.pem", dir);
        assert_int_equal(key_write(key, path, NULL, &err), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_nlink, 1); /* the temporary name is gone */
        assert_refused(key_write(other, path, NULL, &err), -EEXIST, &err, "never overwritten");
        assert_int_equal(key_read(&back, path, NULL, &err), 0);
        assert_string_equal(key_kid(back), key_kid(key));
        assert_refused(key_write(key, missing, NULL, &err), -ENOENT, &err, "identity.pem: cannot be written");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(dir), 0);
        struct key *none = NULL;
        assert_refused(key_read(&none, path, NULL, &err), -ENOENT, &err, "identity.pem");
        key_free(back);
        key_free(key);
        key_free(other);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(kid_and_pin),       cmocka_unit_test(jwk_round_trip),
                cmocka_unit_test(jwk_refused),       cmocka_unit_test(further_members_are_the_callers),
                cmocka_unit_test(compressed_form),   cmocka_unit_test(pem_round_trip),
                cmocka_unit_test(pem_is_scrypt),     cmocka_unit_test(pem_of_other_kinds),
                cmocka_unit_test(pem_of_two_halves), cmocka_unit_test(key_files),
        };

        return cmocka_run_group_tests_name("certs-key", tests, NULL, NULL);
}
