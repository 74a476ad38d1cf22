/*
 * Requests as JWE (RFC 7516): general or flattened JSON in, one recipient out, opening with a private key.
 *
 * Invariant: the union of the protected header and a recipient's own is exactly {enc,typ,cty,alg,kid,epk}, no
 * member in both, or jwe_parse refuses; so jwe_open has nothing left to negotiate. Shared secret, KEK and CEK
 * are wiped before a function returns; plaintext exists only in the caller's secret buffer. Sealing is
 * jwe-seal.c's, verdicts are jwe-dir.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose-internal.h"
#include "connector/base/secret.h"
#include "connector/base/text.h"

#define WHAT "request JWE"
#define PROTECTED_WHAT "request JWE protected header"

/* Flattened -> general, so that everything after sees one form. */
static int normalise(json_t *root, struct error *err)
{
        static const char *const general[] = {"protected", "recipients", "iv", "ciphertext", "tag", NULL};
        static const char *const flattened[] = {"protected",  "encrypted_key", "iv",
                                                "ciphertext", "tag",           NULL};
        static const char *const own[] = {"header", NULL};
        int r;

        if (json_object_get(root, "recipients"))
                return jose_json_members(root, WHAT, general, NULL, err);
        if ((r = jose_json_members(root, WHAT, flattened, own, err)) < 0)
                return r;
        json_t *recipients = json_pack("[{sO*sO}]", "header", json_object_get(root, "header"),
                                       "encrypted_key", json_object_get(root, "encrypted_key"));
        if (!recipients || json_object_set_new(root, "recipients", recipients) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        json_object_del(root, "header");
        json_object_del(root, "encrypted_key");
        return 0;
}

/* With several recipients protected is exactly {enc,typ,cty}; with one it may hold the rest of its header
 * too. */
static int parse_protected(struct jwe *jwe, bool alone, json_t **ret_header, struct error *err)
{
        static const char *const shared[] = {"enc", "typ", "cty", NULL};
        static const char *const own[] = {"alg", "kid", "epk", NULL};
        _cleanup_(json_freep) json_t *header = NULL;
        const char *b64;
        int r;

        if ((r = jose_json_str(jwe->root, WHAT, "protected", 1, JWE_MAX, &b64, err)) < 0 ||
            (r = jose_header(&header, b64, strlen(b64), PROTECTED_WHAT, err)) < 0 ||
            (r = jose_json_members(header, PROTECTED_WHAT, shared, alone ? own : NULL, err)) < 0 ||
            (r = jose_json_is(header, PROTECTED_WHAT, "enc", "A256GCM", err)) < 0 ||
            (r = jose_json_is(header, PROTECTED_WHAT, "typ", JOSE_TYP_REQUEST_JWE, err)) < 0 ||
            (r = jose_json_is(header, PROTECTED_WHAT, "cty", "JWT", err)) < 0)
                return r;
        jwe->protected_b64 = strdup(b64);
        if (!jwe->protected_b64)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        *ret_header = steal(header);
        return 0;
}

static int parse_body(struct jwe *jwe, struct error *err)
{
        const char *b64;
        int r;

        if ((r = jose_json_bytes(jwe->root, WHAT, "iv", jwe->iv, sizeof(jwe->iv), err)) < 0 ||
            (r = jose_json_bytes(jwe->root, WHAT, "tag", jwe->tag, sizeof(jwe->tag), err)) < 0 ||
            (r = jose_json_str(jwe->root, WHAT, "ciphertext", 1, JWE_MAX, &b64, err)) < 0)
                return r;
        if ((r = b64u_decode(&jwe->ciphertext, b64, strlen(b64))) == -EBADMSG)
                return error_fail(err, r, WHAT ": member \"ciphertext\" is not base64url");
        return r < 0 ? error_fail(err, r, WHAT ": no memory for the ciphertext") : 0;
}

/* Adds the recipient's own header to a copy of the protected one. */
static int unite(json_t *protected, json_t *own, const char *what, json_t **ret_header, struct error *err)
{
        _cleanup_(json_freep) json_t *header = json_copy(protected);
        const char *name;
        json_t *value;

        if (!header)
                return error_fail(err, -ENOMEM, "%s: out of memory", what);
        if (own && (!json_is_object(own) || json_object_size(own) == 0))
                return error_fail(err, -EBADMSG, "%s: member \"header\" is not an object with members", what);
        json_object_foreach (own, name, value) {
                if (json_object_get(header, name))
                        return error_fail(err, -EBADMSG,
                                          "%s: a member of its header stands in the protected header too",
                                          what);
                if (json_object_set(header, name, value) < 0)
                        return error_fail(err, -ENOMEM, "%s: out of memory", what);
        }
        *ret_header = steal(header);
        return 0;
}

static int parse_header(struct jwe_recipient *to, const json_t *header, const char *what, struct error *err)
{
        static const char *const members[] = {"enc", "typ", "cty", "alg", "kid", "epk", NULL};
        uint8_t xy[P256_POINT_LEN];
        int r;

        if ((r = jose_json_members(header, what, members, NULL, err)) < 0 ||
            (r = jose_json_is(header, what, "alg", "ECDH-ES+A256KW", err)) < 0 ||
            (r = jose_json_kid(header, what, "kid", to->kid, err)) < 0)
                return r;
        if ((r = key_point_from_jwk(xy, json_object_get(header, "epk"), NULL, err)) < 0)
                return error_prefix(err, r, "%s: epk", what);
        memcpy(to->epk_x, xy, 32);
        memcpy(to->epk_y, xy + 32, 32);
        return 0;
}

static int parse_recipient(struct jwe_recipient *to, json_t *protected, json_t *element, const char *what,
                           struct error *err)
{
        static const char *const required[] = {"encrypted_key", NULL};
        static const char *const optional[] = {"header", NULL};
        _cleanup_(json_freep) json_t *header = NULL;
        int r;

        to->element = element;
        if ((r = jose_json_members(element, what, required, optional, err)) < 0 ||
            (r = jose_json_bytes(element, what, "encrypted_key", to->encrypted_key, sizeof(to->encrypted_key),
                                 err)) < 0 ||
            (r = unite(protected, json_object_get(element, "header"), what, &header, err)) < 0)
                return r;
        return parse_header(to, header, what, err);
}

static int parse_recipients(struct jwe *jwe, struct error *err)
{
        json_t *recipients = json_object_get(jwe->root, "recipients");
        const size_t n = json_array_size(recipients);
        _cleanup_(json_freep) json_t *protected = NULL;
        int r;

        if (!json_is_array(recipients) || n < 1 || n > JWE_RECIPIENTS_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"recipients\" is not an array of 1 to %d",
                                  JWE_RECIPIENTS_MAX);
        if ((r = parse_protected(jwe, n == 1, &protected, err)) < 0)
                return r;
        for (; jwe->n < n; jwe->n++) {
                char what[64];

                snprintf(what, sizeof(what), WHAT " recipient %zu", jwe->n);
                if ((r = parse_recipient(&jwe->to[jwe->n], protected, json_array_get(recipients, jwe->n),
                                         what, err)) < 0)
                        return r;
                for (size_t i = 0; i < jwe->n; i++)
                        if (strcmp(jwe->to[i].kid, jwe->to[jwe->n].kid) == 0)
                                return error_fail(err, -EBADMSG, "%s: kid stands in recipient %zu too", what,
                                                  i);
        }
        return 0;
}

int jwe_parse(struct jwe *ret_jwe, const char *text, size_t n, struct error *err)
{
        _cleanup_(jwe_clear) struct jwe jwe = {.ciphertext = BUFFER(JWE_MAX)};
        int r;

        if (n > JWE_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", JWE_MAX);
        if ((r = jose_json_object(&jwe.root, text, n, WHAT, err)) < 0 || (r = normalise(jwe.root, err)) < 0 ||
            (r = parse_recipients(&jwe, err)) < 0 || (r = parse_body(&jwe, err)) < 0)
                return r;
        *ret_jwe = jwe;
        jwe = (struct jwe){.ciphertext = BUFFER(0)};
        return 0;
}

void jwe_clear(struct jwe *jwe)
{
        json_decref(jwe->root);
        free(jwe->protected_b64);
        buffer_free(&jwe->ciphertext);
        *jwe = (struct jwe){.ciphertext = BUFFER(0)};
}

int jwe_only(const struct jwe *jwe, size_t i, json_t **ret_object)
{
        if (i >= jwe->n)
                return -EINVAL;
        json_t *object = json_pack("{sOs[O]sOsOsO}", "protected", json_object_get(jwe->root, "protected"),
                                   "recipients", jwe->to[i].element, "iv", json_object_get(jwe->root, "iv"),
                                   "ciphertext", json_object_get(jwe->root, "ciphertext"), "tag",
                                   json_object_get(jwe->root, "tag"));
        if (!object)
                return -ENOMEM;
        *ret_object = object;
        return 0;
}

/* ECDH-ES+A256KW backwards: the content key of one recipient. */
static int unwrap_cek(const struct jwe_recipient *to, const struct key *key, uint8_t cek[CEK_LEN])
{
        static const struct crypto_kdf kdf = {"ECDH-ES+A256KW", NULL, NULL, 256};
        uint8_t xy[P256_POINT_LEN], z[32], kek[32];
        EVP_PKEY *epk = NULL;
        int r;

        memcpy(xy, to->epk_x, 32);
        memcpy(xy + 32, to->epk_y, 32);
        if ((r = crypto_point_import(&epk, xy)) < 0)
                return r;
        r = crypto_ecdh(z, key_evp(key), epk);
        if (r == 0)
                r = crypto_concat_kdf(kek, z, &kdf);
        if (r == 0)
                r = crypto_unwrap(cek, kek, to->encrypted_key);
        EVP_PKEY_free(epk);
        wipe(z, sizeof(z));
        wipe(kek, sizeof(kek));
        return r;
}

/* One text for every way in which a key can be the wrong one: an attacker learns nothing from it. */
static int open_failed(int r, struct error *err)
{
        if (r == -EKEYREJECTED)
                return error_fail(err, r, WHAT ": does not decrypt with this key");
        if (r == -EBADMSG)
                return error_fail(err, r, WHAT ": epk is not a point on P-256");
        return error_fail(err, r, WHAT ": cannot be opened: %s", strerror(-r));
}

int jwe_open(const struct jwe *jwe, size_t i, const struct key *key, struct buffer *plain, struct error *err)
{
        uint8_t cek[CEK_LEN];
        int r;

        if (i >= jwe->n || !plain->secret || !key_has_private(key))
                return error_fail(err, -EINVAL,
                                  WHAT ": opened with a wrong index, a public key or a plain buffer");
        if (strcmp(jwe->to[i].kid, key_kid(key)) != 0)
                return error_fail(err, -EKEYREJECTED, WHAT ": kid of recipient %zu names another key", i);
        if ((r = buffer_reserve(plain, jwe->ciphertext.len)) < 0)
                return error_fail(err, r, WHAT ": no room for the plaintext");
        r = unwrap_cek(&jwe->to[i], key, cek);
        if (r == 0) {
                const struct crypto_gcm gcm = {cek, jwe->iv, jwe->protected_b64, strlen(jwe->protected_b64)};

                r = crypto_gcm_open(&gcm, jwe->ciphertext.data, jwe->ciphertext.len, jwe->tag,
                                    (uint8_t *)plain->data + plain->len);
        }
        wipe(cek, sizeof(cek));
        if (r < 0)
                return open_failed(r, err);
        plain->len += jwe->ciphertext.len;
        plain->data[plain->len] = '\0';
        return 0;
}
