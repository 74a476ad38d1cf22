/*
 * JWS compact with ES256 (RFC 7515, RFC 7518 section 3.4), header exactly {alg,typ,kid}.
 *
 * Invariant: jws_parse accepts one spelling of one header; nothing of a payload is believed before
 * jws_verify. Knows nothing of claims: the payload is bytes here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "certs/keys/key-holder.h"
#include "base/core/secret.h"
#include "base/core/text.h"

int jws_sign(const struct key *key, const char *typ, const char *payload, size_t n, struct buffer *out,
             struct error *err)
{
        const size_t start = out->len;
        uint8_t signature[ES256_LEN];
        char header[160];
        int r, len;

        if (!key_has_private(key))
                return error_fail(err, -EINVAL, "JWS %s: the signing key has no private part", typ);
        len = snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"%s\",\"kid\":\"%s\"}", typ, key_kid(key));
        r = len < 0 || (size_t)len >= sizeof(header) ? -EINVAL : b64u_encode(out, header, (size_t)len);
        if (r == 0)
                r = buffer_append_char(out, '.');
        if (r == 0)
                r = b64u_encode(out, payload, n);
        if (r == 0)
                r = crypto_es256_sign(signature, key_evp(key), out->data + start, out->len - start);
        if (r == 0)
                r = buffer_append_char(out, '.');
        if (r == 0)
                r = b64u_encode(out, signature, sizeof(signature));
        if (r < 0) {
                if (out->data)
                        wipe(out->data + start, out->len - start);
                out->len = start;
                return error_fail(err, r, "JWS %s: cannot be signed: %s", typ,
                                  key_holder_fd(key) < 0 ? strerror(-r)
                                                         : "the token that holds the key does not answer");
        }
        return 0;
}

static int check_header(const struct part *b64, const char *typ, char kid[KID_LEN + 1], struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JOSE_HEADER_MAX);
        struct json_reader header;

        jose_header(&header, &text, b64, "JWS header", err);
        json_read_is(&header, "alg", "ES256");
        json_read_is(&header, "typ", typ);
        json_read_b64u_text(&header, "kid", kid, SHA256_LEN);
        return json_read_end(&header, true);
}

int jws_parse(struct jws *ret_jws, const char *text, size_t n, const char *typ, bool secret, struct error *err)
{
        _cleanup_(jws_clear) struct jws jws = {.payload = secret ? BUFFER_SECRET(JWS_MAX) : BUFFER(JWS_MAX)};
        struct part part[3];
        int r;

        if (n > JWS_MAX)
                return error_fail(err, -EBADMSG, "JWS %s: is longer than %d bytes", typ, JWS_MAX);
        if (jose_split(text, n, part, 3) < 0)
                return error_fail(err, -EBADMSG, "JWS %s: is not three parts with dots between", typ);
        if ((r = check_header(&part[0], typ, jws.kid, err)) < 0)
                return error_prefix(err, r, "%s", typ);
        if (part[1].n == 0 || (r = b64u_decode(&jws.payload, part[1].text, part[1].n)) == -EBADMSG)
                return error_fail(err, -EBADMSG, "JWS %s: payload is empty or not base64url", typ);
        if (r < 0)
                return error_fail(err, r, "JWS %s: no memory for the payload", typ);
        if (b64u_decode_exact(jws.signature, sizeof(jws.signature), part[2].text, part[2].n) < 0)
                return error_fail(err, -EBADMSG, "JWS %s: signature is not the base64url form of 64 bytes", typ);
        jws.text = text;
        jws.text_len = n;
        jws.signing_len = part[0].n + 1 + part[1].n;
        *ret_jws = jws;
        jws.payload = BUFFER(0);
        return 0;
}

int jws_verify(const struct jws *jws, const struct key *key, struct error *err)
{
        int r;

        if (strcmp(jws->kid, key_kid(key)) != 0)
                return error_fail(err, -EKEYREJECTED, "JWS: kid %s is not the key that should have signed it",
                                  jws->kid);
        r = crypto_es256_verify(jws->signature, key_evp(key), jws->text, jws->signing_len);
        if (r == -EKEYREJECTED)
                return error_fail(err, r, "JWS: the signature does not verify with key %s", jws->kid);
        if (r < 0)
                return error_fail(err, r, "JWS: the signature cannot be checked: %s", strerror(-r));
        return 0;
}

void jws_clear(struct jws *jws)
{
        buffer_free(&jws->payload);
        *jws = (struct jws){.payload = BUFFER(0)};
}
