/*
 * A node's CA under a root: making the root, requests and their certificates, and what is trusted.
 *
 * Invariant: whatever a crash leaves behind, the relay starts with a key and its certificate, and every root that a
 * living certificate may lead to is still trusted: roots are added before anything is replaced, and a key is replaced
 * only when its certificate lies beside it (ca_open finishes that).
 */
#include "queue/relay/ca-node.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define ROOT_KEY_FILE "root.key"
#define ROOT_CERT_FILE "root.pem"
#define ROOT_DAYS 7300
#define REQUEST_MAX 16384
#define FINGERPRINT_MIN 8

static void certs_freep(STACK_OF(X509) * *certs)
{
        sk_X509_pop_free(*certs, X509_free);
}
#define _certs_ _cleanup_(certs_freep) STACK_OF(X509) *

DEFINE_VOID_FREEP(X509, X509_free)
DEFINE_VOID_FREEP(X509_REQ, X509_REQ_free)
DEFINE_VOID_FREEP(BIO, BIO_free_all)

int ca_fingerprint(const X509 *cert, char out[CA_FINGERPRINT_LEN + 1])
{
        unsigned char digest[SHA256_DIGEST_LENGTH];

        if (X509_digest(cert, EVP_sha256(), digest, NULL) != 1)
                return -ENOMEM;
        hex_encode_to(out, digest, sizeof(digest));
        return 0;
}

/* ---- the root's side ---- */

static int write_certs(const char *path, const STACK_OF(X509) * certs, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(CA_BUNDLE_MAX);
        int r = ca_pem(certs, &pem);

        return r < 0 ? error_fail(err, r, "no memory for %s", path)
                     : file_write_atomic(path, pem.data, pem.len, 0644, err);
}

int ca_make_root(const char *folder, int64_t now, struct error *err)
{
        char key_path[CA_PATH_CAP], cert_path[CA_PATH_CAP];
        _cleanup_(key_freep) struct key *key = NULL;
        _certs_ certs = sk_X509_new_null();
        X509 *cert = NULL;

        int r = ca_path(key_path, folder, ROOT_KEY_FILE, err);
        if (r == 0)
                r = ca_path(cert_path, folder, ROOT_CERT_FILE, err);
        if (r == 0 && access(cert_path, F_OK) == 0)
                r = error_fail(err, -EEXIST, "%s is there already: a root is made once", cert_path);
        if (r == 0)
                r = key_generate(&key, err);
        if (r == 0)
                r = key_write(key, key_path, NULL, err);
        if (r < 0)
                return r;
        const struct ca_subject subject = {
                .key = key_evp(key), .cn = "Postern transport root", .root = true, .days = ROOT_DAYS};
        if (!certs || ca_make_cert(&cert, &subject, NULL, NULL, now) < 0 || sk_X509_push(certs, cert) == 0) {
                X509_free(cert);
                return error_fail(err, -ENOMEM, "cannot make the root's certificate");
        }
        return write_certs(cert_path, certs, err);
}

/* A request whose own signature and key are in order, and its CN. */
static int read_request(X509_REQ **ret_request, const char *path, char cn[64], struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(REQUEST_MAX);
        int r = file_read(&text, path, err);

        if (r < 0)
                return r;
        _cleanup_(free_BIOp) BIO *bio = text.len ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
        _cleanup_(free_X509_REQp) X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
        EVP_PKEY *key = request ? X509_REQ_get0_pubkey(request) : NULL;
        const bool good = ca_is_p256(key) && X509_REQ_verify(request, key) == 1 &&
                          X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, cn, 64) > 0 &&
                          strncmp(cn, CA_CN, strlen(CA_CN)) == 0;
        ERR_clear_error();
        if (!good)
                return error_fail(err, -EBADMSG, "%s is no request that `postern-relay ca request` has made", path);
        *ret_request = steal(request);
        return 0;
}

int ca_sign(const char *folder, const char *path, int64_t now, struct buffer *out, struct error *err)
{
        char key_path[CA_PATH_CAP], cert_path[CA_PATH_CAP], cn[64];
        _cleanup_(free_X509_REQp) X509_REQ *request = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        _certs_ root = NULL;
        _certs_ made = sk_X509_new_null();
        X509 *cert = NULL;

        int r = ca_path(key_path, folder, ROOT_KEY_FILE, err);
        if (r == 0)
                r = ca_path(cert_path, folder, ROOT_CERT_FILE, err);
        if (r == 0)
                r = key_read(&key, key_path, NULL, err);
        if (r == 0)
                r = ca_read_certs(&root, cert_path, 1, err);
        if (r == 0 && X509_check_private_key(sk_X509_value(root, 0), key_evp(key)) != 1)
                r = error_fail(err, -EBADMSG, "%s is not the certificate of the key beside it", cert_path);
        if (r == 0)
                r = read_request(&request, path, cn, err);
        if (r < 0)
                return r;
        const struct ca_subject subject = {.key = X509_REQ_get0_pubkey(request), .cn = cn, .days = CA_NODE_DAYS};
        if (!made || ca_make_cert(&cert, &subject, sk_X509_value(root, 0), key_evp(key), now) < 0 ||
            sk_X509_push(made, cert) == 0) {
                X509_free(cert);
                return error_fail(err, -ENOMEM, "cannot make the certificate");
        }
        r = ca_pem(made, out);
        return r < 0 ? error_fail(err, r, "no memory") : 0;
}

/* ---- the node's side ---- */

int ca_request(const char *dir, const char *node, struct buffer *out, struct error *err)
{
        _cleanup_(free_X509_REQp) X509_REQ *request = X509_REQ_new();
        _cleanup_(free_BIOp) BIO *bio = BIO_new(BIO_s_mem());
        _cleanup_(key_freep) struct key *key = NULL;
        char path[CA_PATH_CAP], cn[64], *text = NULL;

        int r = ca_path(path, dir, CA_NEXT_KEY_FILE, err);
        if (r == 0)
                r = key_read(&key, path, NULL, err);
        if (r == -ENOENT && (r = key_generate(&key, err)) == 0)
                r = key_write(key, path, NULL, err);
        if (r < 0)
                return r;
        (void)snprintf(cn, sizeof(cn), CA_CN "%.40s", node);
        if (!request || !bio || X509_REQ_set_pubkey(request, key_evp(key)) != 1 ||
            X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
                                       (const unsigned char *)cn, -1, -1, 0) != 1 ||
            X509_REQ_sign(request, key_evp(key), EVP_sha256()) == 0 || PEM_write_bio_X509_REQ(bio, request) != 1)
                return error_fail(err, -ENOMEM, "cannot make the request");
        const long n = BIO_get_mem_data(bio, &text);
        r = buffer_append(out, text, (size_t)n);
        return r < 0 ? error_fail(err, r, "no memory") : 0;
}

/* transport-roots.pem, or, without it, the certificate that issues now; empty where there is neither. */
static int trusted(const char *dir, STACK_OF(X509) * *ret_roots, struct error *err)
{
        static const char *const files[] = {CA_ROOTS_FILE, CA_CERT_FILE};
        char path[CA_PATH_CAP];

        for (size_t i = 0; i < 2; i++) {
                int r = ca_path(path, dir, files[i], err);
                if (r == 0)
                        r = ca_read_certs(ret_roots, path, CA_ROOTS_MAX, err);
                if (r != -ENOENT)
                        return r;
        }
        *ret_roots = sk_X509_new_null();
        return *ret_roots ? 0 : error_fail(err, -ENOMEM, "no memory");
}

/* Where cert is among certs; -1. */
static int index_of(const STACK_OF(X509) * certs, const X509 *cert)
{
        for (int i = 0; i < sk_X509_num(certs); i++)
                if (X509_cmp(sk_X509_value(certs, i), cert) == 0)
                        return i;
        return -1;
}

int ca_trust(const char *dir, const char *path, struct error *err)
{
        char roots_path[CA_PATH_CAP];
        _certs_ roots = NULL;
        _certs_ more = NULL;
        int n = 0;

        int r = ca_path(roots_path, dir, CA_ROOTS_FILE, err);
        if (r == 0)
                r = trusted(dir, &roots, err);
        if (r == 0)
                r = ca_read_certs(&more, path, CA_ROOTS_MAX, err);
        for (int i = 0; r == 0 && i < sk_X509_num(more); i++) {
                X509 *cert = sk_X509_value(more, i);
                if (X509_check_ca(cert) != 1)
                        r = error_fail(err, -EBADMSG, "certificate %d of %s is no CA's", i + 1, path);
                else if (index_of(roots, cert) < 0 && (X509_up_ref(cert) != 1 || sk_X509_push(roots, cert) == 0))
                        r = error_fail(err, -ENOMEM, "no memory");
                else
                        n = sk_X509_num(roots);
        }
        if (r == 0 && n > CA_ROOTS_MAX)
                r = error_fail(err, -ENOSPC,
                               "%d certificates are trusted at most; take one out: postern-relay ca forget",
                               CA_ROOTS_MAX);
        return r < 0 ? r : write_certs(roots_path, roots, err);
}

/* Whether the first of chain leads, by the others, to a root now. */
static int leads_to_root(const STACK_OF(X509) * chain, const STACK_OF(X509) * roots, int64_t now)
{
        X509_STORE *store = X509_STORE_new();
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        int code = X509_V_ERR_OUT_OF_MEM;
        bool ok = store && ctx;

        for (int i = 0; ok && i < sk_X509_num(roots); i++)
                ok = X509_STORE_add_cert(store, sk_X509_value(roots, i)) == 1;
        if (ok && X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), (STACK_OF(X509) *)(uintptr_t)chain) == 1) {
                X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
                code = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
        }
        X509_STORE_CTX_free(ctx);
        X509_STORE_free(store);
        ERR_clear_error();
        return code;
}

/* Whether this may issue: for the key of the last request, of a CA, and under a root. */
static int check_chain(const char *dir, const STACK_OF(X509) * chain, const char *path, int64_t now, struct error *err)
{
        _cleanup_(key_freep) struct key *key = NULL;
        char key_path[CA_PATH_CAP];
        _certs_ roots = NULL;
        X509 *cert = sk_X509_value(chain, 0);

        int r = ca_path(key_path, dir, CA_NEXT_KEY_FILE, err);
        if (r == 0)
                r = key_read(&key, key_path, NULL, err);
        if (r == -ENOENT)
                return error_fail(err, r, "this node has made no request; begin with: postern-relay ca request");
        if (r == 0)
                r = trusted(dir, &roots, err);
        if (r < 0)
                return r;
        const bool ours = X509_check_private_key(cert, key_evp(key)) == 1;
        ERR_clear_error();
        if (!ours)
                return error_fail(err, -EBADMSG, "%s is not for this node's last request (its key is another one)",
                                  path);
        if (X509_check_ca(cert) != 1)
                return error_fail(err, -EBADMSG, "%s is no CA's certificate; it is made by: postern-relay ca sign",
                                  path);
        r = leads_to_root(chain, roots, now);
        return r == X509_V_OK
                       ? 0
                       : error_fail(err, -EBADMSG,
                                    "%s leads to no root that this node trusts (%s); add it first: postern-relay ca "
                                    "trust ROOT.pem",
                                    path, X509_verify_cert_error_string(r));
}

int ca_install(const char *dir, const char *path, int64_t now, struct error *err)
{
        char old_cert[CA_PATH_CAP], next_key[CA_PATH_CAP], next_cert[CA_PATH_CAP], key_path[CA_PATH_CAP];
        _certs_ chain = NULL;

        int r = ca_path(old_cert, dir, CA_CERT_FILE, err);
        if (r < 0 || ca_path(next_key, dir, CA_NEXT_KEY_FILE, err) < 0 ||
            ca_path(next_cert, dir, CA_NEXT_CERT_FILE, err) < 0 || ca_path(key_path, dir, CA_KEY_FILE, err) < 0)
                return -ENAMETOOLONG;
        r = ca_read_certs(&chain, path, CA_CHAIN_MAX, err);
        if (r == 0)
                r = check_chain(dir, chain, path, now, err);
        if (r == 0 && access(old_cert, F_OK) == 0)
                r = ca_trust(dir, old_cert, err); /* what it has issued lives on */
        if (r == 0)
                r = write_certs(next_cert, chain, err);
        if (r == 0 && (rename(next_key, key_path) < 0 || rename(next_cert, old_cert) < 0))
                r = error_fail(err, -errno, "%s: %s", dir, strerror(errno));
        return r;
}

int ca_forget(const char *dir, const char *fingerprint, struct error *err)
{
        char roots_path[CA_PATH_CAP], cert_path[CA_PATH_CAP], is[CA_FINGERPRINT_LEN + 1];
        _certs_ roots = NULL;
        _certs_ chain = NULL;
        const size_t n = strlen(fingerprint);
        int found = -1;

        int r = ca_path(roots_path, dir, CA_ROOTS_FILE, err);
        if (r == 0)
                r = ca_path(cert_path, dir, CA_CERT_FILE, err);
        if (r == 0)
                r = ca_read_certs(&roots, roots_path, CA_ROOTS_MAX, err);
        if (r == 0)
                r = ca_read_certs(&chain, cert_path, CA_CHAIN_MAX, err);
        for (int i = 0; r == 0 && i < sk_X509_num(roots); i++) {
                r = ca_fingerprint(sk_X509_value(roots, i), is);
                if (r < 0 || n < FINGERPRINT_MIN || strncmp(is, fingerprint, n) != 0)
                        continue;
                if (found >= 0)
                        return error_fail(err, -ENOENT, "%s is the beginning of several fingerprints; give more of it",
                                          fingerprint);
                found = i;
        }
        if (r < 0)
                return r;
        if (found < 0)
                return error_fail(err, -ENOENT,
                                  "no trusted certificate has the fingerprint %s; postern-relay ca list shows them",
                                  fingerprint);
        X509_free(sk_X509_delete(roots, found));
        if (leads_to_root(chain, roots, time(NULL)) != X509_V_OK)
                return error_fail(err, -EBUSY, "what issues now leads to that certificate; install another one first");
        return write_certs(roots_path, roots, err);
}
