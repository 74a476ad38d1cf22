/*
 * A strict cursor over DER (X.690): definite, minimal lengths, low tags. It allocates nothing, copies nothing and looks
 * at no byte past its end. What the elements mean is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DER_INTEGER = 0x02,
        DER_OCTET_STRING = 0x04,
        DER_GENERAL_STRING = 0x1b,
        DER_SEQUENCE = 0x30,
};
#define DER_CONTEXT(i) ((uint8_t)(0xa0 + (i)))
#define DER_APPLICATION(i) ((uint8_t)(0x60 + (i)))

struct der {
        const uint8_t *p;
        size_t n; /* what is left */
};

/* Whether the next element has this tag. */
bool der_at(const struct der *d, uint8_t tag);
/*
 * Takes an element of this tag off the front; its contents are *ret_body. False, and nothing taken, where another one
 * is there, or its length is malformed or goes past the end. So do those below.
 */
bool der_take(struct der *d, uint8_t tag, struct der *ret_body);
/* tag { inner }, with nothing else inside. */
bool der_take_wrapped(struct der *d, uint8_t tag, uint8_t inner, struct der *ret_body);
/* tag { INTEGER } of 32 bits, minimal. */
bool der_take_int(struct der *d, uint8_t tag, int32_t *ret);
/*
 * How many bytes the element of this tag has that the n bytes begin with, tag and length included, where the rest has
 * yet to come; longer forms of a length than DER's are taken (X.690 8.1.3, as LDAP uses it: RFC 4511 5.1). 0 and
 * *ret_len; 1: more bytes are needed to tell, of which six are always enough; -EBADMSG: it is no such element;
 * -EMSGSIZE: it is longer than max.
 */
int der_length(const uint8_t *bytes, size_t n, uint8_t tag, size_t max, size_t *ret_len);
