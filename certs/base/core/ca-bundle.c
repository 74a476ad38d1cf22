/*
 * PEM text of certificates, read line by line.
 *
 * Invariant: every byte is part of a certificate that was taken, of a key beside a server's, or of a comment that looks
 * like no part of one.
 * It judges whether the bytes are whole, not whether a CA is to be trusted or still valid.
 */
#include "base/core/ca-bundle.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "base/core/admin-text.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define HEX "0123456789abcdefABCDEF"
#define BASE64_LINE_LEAST 40 /* what is longer and base64 is no comment */
#define CERT_MAX 65536

struct reading {
        const char *name;
        X509_STORE *store;
        STACK_OF(X509) * chain; /* of a server, beside whose certificates keys may stand; NULL: CAs */
        unsigned line, began;   /* began: the block's first line; 0 outside of blocks */
        bool other;             /* the block is no certificate, and passed over */
        size_t n;
        struct buffer base64;
        struct error *err;
};

static int damaged(const struct reading *r, unsigned line, const char *why)
{
        char text[200];

        (void)snprintf(text, sizeof(text), "certificate %zu of the file, from line %u on, is damaged: %s", r->n + 1,
                       r->began, why);
        return admin_text_fail(r->err, -EBADMSG, r->name, line, text);
}

static int take_der(struct reading *r, const unsigned char *der, size_t n)
{
        const unsigned char *p = der;
        X509 *cert = d2i_X509(NULL, &p, (long)n);
        EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;
        const char *fault = NULL;

        if (!cert)
                fault = "it is not an X.509 certificate";
        else if (p != der + n)
                fault = "bytes follow the certificate";
        else if (!key)
                fault = "its public key can't be read";
        else if (X509_self_signed(cert, 0) == 1 && X509_verify(cert, key) == 0)
                fault = "its own signature is wrong"; /* a root that was changed; others need their issuer to judge */
        int code = fault ? damaged(r, r->began, fault) : 0;

        if (code == 0 && ((r->store && X509_STORE_add_cert(r->store, cert) != 1) ||
                          (r->chain && (X509_up_ref(cert) != 1 || sk_X509_push(r->chain, cert) == 0))))
                code = error_fail(r->err, -ENOMEM, "out of memory");
        X509_free(cert);
        ERR_clear_error();
        return code;
}

/* The block's base64 was gathered; its padding is not counted by OpenSSL's decoder. */
static int end_block(struct reading *r)
{
        static const char none[] = "";
        const char *text = r->base64.data ? r->base64.data : none;
        size_t n = r->base64.len, pad = 0;
        _cleanup_(buffer_free) struct buffer der = BUFFER(CERT_MAX);

        while (pad < 2 && n > pad && text[n - 1 - pad] == '=')
                pad++;
        if (n == 0 || n % 4 || strspn(text, BASE64) != n - pad)
                return damaged(r, r->line, "its base64 is cut");
        if (buffer_reserve(&der, n) < 0)
                return error_fail(r->err, -ENOMEM, "out of memory");
        int len = EVP_DecodeBlock((unsigned char *)der.data, (const unsigned char *)text, (int)n);
        int code = len < (int)pad ? damaged(r, r->line, "its base64 is cut")
                                  : take_der(r, (const unsigned char *)der.data, (size_t)len - pad);
        r->began = 0;
        r->n += code == 0;
        buffer_clear(&r->base64);
        return code;
}

static int inside_certificate(struct reading *r, const char *line, size_t n)
{
        if (n == strlen(END) && memcmp(line, END, n) == 0)
                return end_block(r);
        if (memmem(line, n, "--", 2))
                return damaged(r, r->line, "its last line, " END ", is missing or changed");
        if (strspn(line, BASE64 "=") < n)
                return damaged(r, r->line, "the line is not base64");
        return buffer_append(&r->base64, line, n) < 0 ? damaged(r, r->line, "it is longer than 64 KiB") : 0;
}

static bool holds_word(const char *line, size_t n, const char *word)
{
        return memmem(line, n, word, strlen(word)) != NULL;
}

static bool is_key_line(const char *line, size_t n, const char *begins)
{
        static const char *const ends[] = {"PRIVATE KEY-----", "PARAMETERS-----"};

        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
                const size_t tail = strlen(ends[i]), head = strlen(begins);

                if (n >= head + tail && memcmp(line, begins, head) == 0 && memcmp(line + n - tail, ends[i], tail) == 0)
                        return true;
        }
        return false;
}

/* The lines of a key are passed over, unless another block begins there. */
static int inside_key(struct reading *r, const char *line, size_t n)
{
        if (holds_word(line, n, "BEGIN"))
                return admin_text_fail(r->err, -EBADMSG, r->name, r->line,
                                       "the key before this line has no last line, -----END ... KEY-----");
        if (is_key_line(line, n, "-----END "))
                r->began = r->other = 0;
        return 0;
}

static int outside_blocks(struct reading *r, const char *line, size_t n)
{
        if (n == strlen(BEGIN) && memcmp(line, BEGIN, n) == 0) {
                r->began = r->line;
                return 0;
        }
        if (r->chain && is_key_line(line, n, "-----BEGIN ")) {
                r->began = r->line;
                r->other = true;
                return 0;
        }
        /* What looks like a piece of a block is one that was damaged: a first or last line, whole or not, or base64. */
        const bool dashes = holds_word(line, n, "--");
        const char *fault = NULL;

        if (dashes && holds_word(line, n, "PRIVATE KEY"))
                fault = "a private key has no place in a file of CA certificates";
        else if (dashes && holds_word(line, n, "BEGIN ") && !holds_word(line, n, "CERTIFICATE-"))
                fault = "this block is not a certificate; only " BEGIN " is taken";
        else if (dashes &&
                 (holds_word(line, n, "BEGIN") || holds_word(line, n, "END") || holds_word(line, n, "CERTIFICATE")))
                fault = "a certificate is damaged here: the line is like " BEGIN " or " END ", but not the same or not "
                        "in its place";
        else if (n >= BASE64_LINE_LEAST && strspn(line, BASE64 "=") >= n && strspn(line, HEX) < n)
                fault = "a certificate is damaged here: a line of base64 stands outside of any";
        return fault ? admin_text_fail(r->err, -EBADMSG, r->name, r->line, fault) : 0;
}

/* The caller has filled in name, err and where the certificates go. A file that begins like DER (a SEQUENCE longer than
 * 127 bytes) is a certificate as Windows exports it by default. */
static int take(struct reading *r, struct buffer *text)
{
        int code;

        if (text->len > 4 && (unsigned char)text->data[0] == 0x30 && (unsigned char)text->data[1] >= 0x80)
                return admin_text_fail(r->err, -EBADMSG, r->name, 1,
                                       "this is DER, not PEM; convert it with: openssl x509 -inform der -in FILE");
        if ((code = admin_text_plain(text, r->name, r->err)) < 0)
                return code;
        r->base64 = BUFFER(CERT_MAX);
        const char *line = text->data ? text->data : "", *end = line + text->len;
        while (code == 0 && line < end) {
                const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;
                const char *next = newline ? newline + 1 : end;

                r->line++;
                while (line < stop && isspace((unsigned char)*line))
                        line++;
                while (stop > line && isspace((unsigned char)stop[-1]))
                        stop--;
                const size_t n = (size_t)(stop - line);
                code = (r->other ? inside_key : r->began ? inside_certificate : outside_blocks)(r, line, n);
                line = next;
        }
        if (code == 0 && r->began)
                code = damaged(r, r->line, "the file ends inside of it");
        buffer_free(&r->base64);
        if (code == 0 && r->n == 0)
                return admin_text_fail(r->err, -EBADMSG, r->name, 1, "the file holds no certificate (PEM is expected)");
        return code;
}

int ca_bundle_take(struct buffer *text, const char *name, X509_STORE *store, size_t *ret_n, struct error *err)
{
        struct reading r = {.name = name, .store = store, .err = err};
        int code = take(&r, text);

        if (code == 0 && ret_n)
                *ret_n = r.n;
        return code;
}

int ca_bundle_chain(struct buffer *text, const char *name, STACK_OF(X509) * *ret_chain, struct error *err)
{
        struct reading r = {.name = name, .chain = sk_X509_new_null(), .err = err};
        int code = r.chain ? take(&r, text) : error_fail(err, -ENOMEM, "out of memory");

        if (code == 0)
                *ret_chain = r.chain;
        else
                sk_X509_pop_free(r.chain, X509_free);
        return code;
}

int ca_bundle_read(struct buffer *out, const char *path, size_t *ret_n, struct error *err)
{
        int r = file_read(out, path, err);

        return r < 0 ? r : ca_bundle_take(out, path, NULL, ret_n, err);
}
