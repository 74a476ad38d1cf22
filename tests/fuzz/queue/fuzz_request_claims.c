/*
 * Request claims: whatever is decoded is within its bounds, and what can be encoded again means the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "queue/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static bool in_bounds(const struct request_claims *c)
{
        return c->n_to >= 1 && c->n_to <= REQUEST_TO_MAX && c->username_len <= WIRE_USERNAME_MAX &&
               c->password_len <= WIRE_PASSWORD_MAX && strlen(c->username) == c->username_len &&
               strlen(c->password) == c->password_len && c->exp > c->iat && c->exp - c->iat <= REQUEST_LIFE_MAX &&
               id_valid(c->iss, strlen(c->iss)) && id_valid(c->jti, strlen(c->jti)) && c->op[0] &&
               (c->password_form == CREDENTIAL_OK) == (c->password_len > 0) &&
               (c->username_form == CREDENTIAL_OK) == (c->username_len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static struct request_claims c, back;
        struct buffer text = BUFFER_SECRET(REQUEST_CLAIMS_MAX);
        struct error err;

        if (request_claims_decode(&c, (const char *)data, n, &err) < 0)
                return 0;
        must(in_bounds(&c));
        if (request_claims_encode(&c, &text, &err) == 0) {
                must(request_claims_decode(&back, text.data, text.len, &err) == 0);
                must(strcmp(c.password, back.password) == 0 && strcmp(c.username, back.username) == 0);
                must(strcmp(c.op, back.op) == 0 && memcmp(c.rk, back.rk, sizeof(c.rk)) == 0);
                must(c.n_to == back.n_to && memcmp(c.to, back.to, sizeof(c.to)) == 0);
        }
        buffer_free(&text);
        return 0;
}
