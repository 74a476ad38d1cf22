/*
 * Private keys at rest: PKCS#8 PEM, in the clear or encrypted (PBES2, AES-256-CBC, scrypt).
 *
 * Invariant: the text of a key is only ever in secret buffers and OpenSSL's secure BIOs; a file appears
 * complete, mode 0600, or not at all, and never in place of another.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/keys/key.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define PEM_MAX 16384
#define PASSPHRASE_MAX 1024
#define LABEL_PLAIN "PRIVATE KEY"
#define LABEL_ENCRYPTED "ENCRYPTED PRIVATE KEY"

/* 16 MiB, five passes. OpenSSL refuses to read back more than 32 MiB unless told otherwise. */
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 5

DEFINE_VOID_FREEP(BIO, BIO_free_all)
DEFINE_VOID_FREEP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)
DEFINE_VOID_FREEP(X509_SIG, X509_SIG_free)
DEFINE_VOID_FREEP(EVP_PKEY, EVP_PKEY_free)
DEFINE_VOID_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

/* One PEM block, its contents in the secure heap. */
struct pem {
        char *label, *header;
        unsigned char *der;
        long n;
};

static void pem_clear(struct pem *pem)
{
        OPENSSL_secure_free(pem->label);
        OPENSSL_secure_free(pem->header);
        OPENSSL_secure_clear_free(pem->der, pem->n > 0 ? (size_t)pem->n : 0);
}

bool key_pem_encrypted(const char *pem, size_t n)
{
        static const char begin[] = "-----BEGIN " LABEL_ENCRYPTED "-----";

        return memmem(pem, n, begin, sizeof(begin) - 1) != NULL;
}

/* Undoes the encryption of a PKCS#8 key. */
static int decrypt(PKCS8_PRIV_KEY_INFO **ret_p8, const struct pem *pem, const char *passphrase, struct error *err)
{
        const unsigned char *der = pem->der;
        _cleanup_(free_X509_SIGp) X509_SIG *sig = d2i_X509_SIG(NULL, &der, pem->n);

        if (!sig)
                return error_fail(err, -EBADMSG, "key file: the encrypted key in it is malformed");
        if (!passphrase)
                return error_fail(err, -EACCES, "key file: is encrypted; give its passphrase");
        *ret_p8 = PKCS8_decrypt(sig, passphrase, (int)strnlen(passphrase, PASSPHRASE_MAX));
        if (!*ret_p8)
                return error_fail(err, -EACCES, "key file: the passphrase is not the right one");
        return 0;
}

static int key_from_block(struct key **ret_key, const struct pem *pem, const char *passphrase, struct error *err)
{
        _cleanup_(free_PKCS8_PRIV_KEY_INFOp) PKCS8_PRIV_KEY_INFO *p8 = NULL;
        _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *check = NULL;
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *evp = NULL;
        const unsigned char *der = pem->der;
        int r;

        if (strcmp(pem->label, LABEL_ENCRYPTED) == 0) {
                if ((r = decrypt(&p8, pem, passphrase, err)) < 0)
                        return r;
        } else if (strcmp(pem->label, LABEL_PLAIN) == 0) {
                p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, pem->n);
        } else {
                return error_fail(err, -EBADMSG, "key file: holds %.40s, not a PKCS#8 private key", pem->label);
        }
        evp = p8 ? EVP_PKCS82PKEY(p8) : NULL;
        if (!evp)
                return error_fail(err, -EBADMSG, "key file: the PKCS#8 key in it is malformed");
        if ((r = key_from_evp(ret_key, evp, true, err)) < 0)
                return error_prefix(err, r, "key file");
        check = EVP_PKEY_CTX_new_from_pkey(NULL, evp, NULL);
        if (!check || EVP_PKEY_check(check) != 1) { /* the private scalar is not that of the point */
                *ret_key = key_free(*ret_key);
                return error_fail(err, -EBADMSG, "key file: its private and public parts do not belong together");
        }
        return 0;
}

int key_from_pem(struct key **ret_key, const char *pem, size_t n, const char *passphrase, struct error *err)
{
        _cleanup_(free_BIOp) BIO *bio = n <= PEM_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
        _cleanup_(pem_clear) struct pem block = {0};
        struct key *key = NULL;
        int r;

        if (!bio || PEM_read_bio_ex(bio, &block.label, &block.header, &block.der, &block.n, PEM_FLAG_SECURE) != 1) {
                ERR_clear_error();
                return error_fail(err, -EBADMSG, "key file: is not PEM (BEGIN PRIVATE KEY)");
        }
        r = key_from_block(&key, &block, passphrase, err);
        ERR_clear_error();
        if (r == 0)
                *ret_key = key;
        return r;
}

/* PBES2 with scrypt and AES-256-CBC. */
static X509_SIG *encrypt(const EVP_PKEY *evp, const char *passphrase)
{
        _cleanup_(free_PKCS8_PRIV_KEY_INFOp) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(evp);
        X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 16, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
        X509_SIG *sig = NULL;

        if (p8 && pbe)
                sig = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), p8, pbe); /* takes pbe when it succeeds */
        if (!sig)
                X509_ALGOR_free(pbe);
        return sig;
}

int key_to_pem(const struct key *key, const char *passphrase, struct buffer *out, struct error *err)
{
        _cleanup_(free_BIOp) BIO *bio = BIO_new(BIO_s_secmem());
        char *text = NULL;

        if (!key_has_private(key))
                return error_fail(err, -EINVAL, "key: has no private part to store");
        if (passphrase && (passphrase[0] == '\0' || strnlen(passphrase, PASSPHRASE_MAX + 1) > PASSPHRASE_MAX))
                return error_fail(err, -EINVAL, "key: the passphrase must have 1 to %d bytes", PASSPHRASE_MAX);
        _cleanup_(free_X509_SIGp) X509_SIG *sig = passphrase ? encrypt(key_evp(key), passphrase) : NULL;
        if (!bio || (passphrase && !sig) ||
            (sig ? PEM_write_bio_PKCS8(bio, sig)
                 : PEM_write_bio_PKCS8PrivateKey(bio, key_evp(key), NULL, NULL, 0, NULL, NULL)) != 1) {
                ERR_clear_error();
                return error_fail(err, -EIO, "key: cannot be written as PKCS#8; a key in hardware stays there");
        }
        const long n = BIO_get_mem_data(bio, &text);
        int r = n > 0 ? buffer_append(out, text, (size_t)n) : -EIO;
        return r < 0 ? error_fail(err, r, "key: no memory for its PEM text") : 0;
}

int key_read(struct key **ret_key, const char *path, const char *passphrase, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(PEM_MAX);
        int r = file_read(&text, path, err);

        if (r < 0)
                return r;
        r = key_from_pem(ret_key, text.data ? text.data : "", text.len, passphrase, err);
        return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

/* Writes a temporary file (mode 0600) beside path and links it to path, which must not exist. */
static int write_new(const char *path, const struct buffer *text)
{
        _cleanup_(freep) char *temporary = NULL;
        _cleanup_(closep) int fd = -1;
        int r;

        if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
                temporary = NULL;
                return -ENOMEM;
        }
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, text->data, text->len);
        if (r == 0 && (fsync(fd) < 0 || link(temporary, path) < 0))
                r = -errno;
        if (unlink(temporary) < 0 && r == 0)
                r = -errno;
        return r;
}

int key_write(const struct key *key, const char *path, const char *passphrase, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(PEM_MAX);
        int r = key_to_pem(key, passphrase, &text, err);

        if (r < 0)
                return error_prefix(err, r, "%s", path);
        r = write_new(path, &text);
        if (r == -EEXIST)
                return error_fail(err, r, "%s: exists already; a key file is never overwritten", path);
        return r < 0 ? error_fail(err, r, "%s: cannot be written: %s", path, strerror(-r)) : 0;
}
