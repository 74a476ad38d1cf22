/*
 * The claims of a request: what a sign-in service signs and seals, and only the validator reads.
 *
 * The text holds a password. It goes straight from the struct into a secret buffer, and from the text into the struct;
 * no other memory ever holds any of it, and no error text quotes it.
 * Signature, audience, times against a clock and replay are the validator's.
 */
#include "queue/wire/wire.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/wire/json.h"

static void put_client(struct json_writer *w, const struct request_claims *c)
{
        if (!c->client_ip[0] && !c->client_agent[0] && !c->client_app[0])
                return;
        json_write_open(w, "client", '{');
        json_write_opt(w, "ip", c->client_ip);
        json_write_opt(w, "agent", c->client_agent);
        json_write_opt(w, "app", c->client_app);
        json_write_close(w, '}');
}

static void put_claims(struct json_writer *w, const struct request_claims *c)
{
        char rk[B64U_LEN(sizeof(c->rk)) + 1];

        json_write_open(w, NULL, '{');
        json_write_int(w, "v", 1);
        json_write_str(w, "iss", c->iss);
        json_write_str(w, "aud", c->aud);
        json_write_str(w, "jti", c->jti);
        json_write_int(w, "iat", c->iat);
        json_write_int(w, "exp", c->exp);
        json_write_open(w, "to", '[');
        for (size_t i = 0; i < c->n_to; i++)
                json_write_str(w, NULL, c->to[i]);
        json_write_close(w, ']');
        json_write_bytes(w, "username", c->username, c->username_len);
        json_write_bytes(w, "password", c->password, c->password_len);
        if (strcmp(c->op, OP_CHANGE_PASSWORD) == 0)
                json_write_bytes(w, "new_password", c->new_password, c->new_password_len);
        b64u_encode_to(rk, c->rk, sizeof(c->rk));
        json_write_str(w, "rk", rk);
        wipe(rk, sizeof(rk));
        put_client(w, c);
        if (c->op[0] && strcmp(c->op, OP_SIGN_IN) != 0)
                json_write_str(w, "op", c->op);
        json_write_close(w, '}');
}

int request_claims_encode(const struct request_claims *c, struct buffer *out, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(REQUEST_CLAIMS_MAX);
        struct json_writer w;
        int r;

        if (c->n_to < 1 || c->n_to > REQUEST_TO_MAX || c->username_len > WIRE_USERNAME_MAX ||
            c->password_len > WIRE_PASSWORD_MAX || c->new_password_len > WIRE_PASSWORD_MAX)
                return error_fail(err, -EINVAL, "request: recipients, name or password out of bounds");
        json_write_begin(&w, &text);
        put_claims(&w, c);
        r = json_write_end(&w);
        if (r == -EMSGSIZE)
                return error_fail(err, r, "request: name, passwords and client together are too long");
        if (r == -EINVAL)
                return error_fail(err, r, "request: name, password or client is not UTF-8");
        if (r < 0)
                return error_fail(err, r, "request: no memory for the claims");
        r = buffer_append(out, text.data, text.len);
        return r < 0 ? error_fail(err, r, "request: no room for the claims") : 0;
}

/* Reads a credential whose text may be anything that JSON can carry, and says what it is like. */
static enum credential_form read_credential(struct json_reader *r, const char *key, char *out, size_t max,
                                            size_t *ret_len)
{
        const size_t n = json_read_bytes(r, key, out, max + 1);
        enum credential_form form = CREDENTIAL_OK;

        if (json_read_result(r) < 0)
                return CREDENTIAL_UNCHECKED;
        if (n == 0)
                form = CREDENTIAL_EMPTY;
        else if (n > max)
                form = CREDENTIAL_TOO_LONG;
        else if (memchr(out, '\0', n))
                form = CREDENTIAL_HAS_NUL;
        if (form != CREDENTIAL_OK)
                wipe(out, max + 1);
        *ret_len = form == CREDENTIAL_OK ? n : 0;
        return form;
}

static void read_to(struct json_reader *r, struct request_claims *c)
{
        struct json_reader list;

        json_read_list(&list, r, "to", JSON_REQUIRED, 1, REQUEST_TO_MAX);
        while (json_read_next(&list)) {
                char *kid = c->to[c->n_to];

                json_read_b64u_text(&list, NULL, kid, 32);
                for (size_t i = 0; i < c->n_to; i++)
                        if (strcmp(c->to[i], kid) == 0)
                                json_read_fail(&list, NULL, "is there twice");
                c->n_to++;
        }
}

static void read_client(struct json_reader *r, struct request_claims *c)
{
        struct json_reader client;

        if (!json_read_object(&client, r, "client", JSON_OPTIONAL))
                return;
        json_read_cut(&client, "ip", c->client_ip, sizeof(c->client_ip));
        json_read_cut(&client, "agent", c->client_agent, sizeof(c->client_agent));
        json_read_cut(&client, "app", c->client_app, sizeof(c->client_app));
        json_read_end(&client, true);
}

static void read_op(struct json_reader *r, struct request_claims *c)
{
        if (!json_read_has(r, "op")) {
                memcpy(c->op, OP_SIGN_IN, sizeof(OP_SIGN_IN));
                return;
        }
        json_read_str(r, "op", JSON_REQUIRED, c->op, sizeof(c->op));
        if (c->op[strspn(c->op, "abcdefghijklmnopqrstuvwxyz0123456789-")])
                json_read_fail(r, "op", "is no operation's name");
}

int request_claims_decode(struct request_claims *ret_c, const char *json, size_t n, struct error *err)
{
        struct request_claims *c = ret_c;
        struct json_reader r;

        *c = (struct request_claims){0};
        json_read_begin(&r, json, n, JSON_SECRET, "request", err);
        json_read_int(&r, "v", 1, 1);
        claims_id(&r, "iss", c->iss);
        claims_tenant(&r, "aud", c->aud);
        claims_id(&r, "jti", c->jti);
        c->iat = json_read_int(&r, "iat", 0, JSON_TIME_MAX);
        c->exp = json_read_int(&r, "exp", 0, JSON_TIME_MAX);
        if (c->exp <= c->iat || c->exp - c->iat > REQUEST_LIFE_MAX)
                json_read_fail(&r, "exp", "is not within 60 s after iat");
        read_to(&r, c);
        c->username_form = read_credential(&r, "username", c->username, WIRE_USERNAME_MAX, &c->username_len);
        c->password_form = read_credential(&r, "password", c->password, WIRE_PASSWORD_MAX, &c->password_len);
        json_read_b64u(&r, "rk", c->rk, sizeof(c->rk));
        read_client(&r, c);
        read_op(&r, c);
        if (strcmp(c->op, OP_CHANGE_PASSWORD) == 0) /* elsewhere it is an unknown member */
                c->new_password_form =
                        read_credential(&r, "new_password", c->new_password, WIRE_PASSWORD_MAX, &c->new_password_len);
        return json_read_end(&r, true);
}

void request_hash(const char *jws, size_t n, char ret_hash[KID_LEN + 1])
{
        uint8_t hash[32] = {0};

        /* SHA-256 of bytes in memory fails only where OpenSSL itself is broken; the zero hash then matches
         * nothing. */
        (void)EVP_Digest(jws, n, hash, NULL, EVP_sha256(), NULL);
        b64u_encode_to(ret_hash, hash, sizeof(hash));
}
