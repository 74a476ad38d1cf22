/*
 * What the tests of certs share: keys with known scalars, text surgery, and checks of what an error says.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "certs/jose/jose-internal.h"
#include "base/core/buffer.h"
#include "base/core/error.h"

/* A fresh key; the test fails if there is none. */
struct key *fresh_key(void);
/* {kty,crv,x,y,d} -> key, and the other way round. */
struct key *key_from_private_jwk(const json_t *jwk);
json_t *private_jwk(const struct key *key);

/* A copy of text with the first `find` replaced; fails where there is none. free() it. */
char *replaced(const char *text, const char *find, const char *with);
/* base64url of a text; free() it. */
char *b64u_text(const char *text);
/* Compact JWS of any header text over any payload text, properly signed. free() it. */
char *sign_raw(const struct key *key, const char *header, const char *payload);

/* r is code and the sentence contains what. */
void assert_refused(int r, int code, const struct error *err, const char *what);

/* Small deterministic generator: the same bytes in every run. */
uint32_t next_random(uint32_t *state);
void fill_random(uint32_t *state, void *out, size_t n);

static inline void *not_null(void *p)
{
        assert_non_null(p);
        return p;
}
