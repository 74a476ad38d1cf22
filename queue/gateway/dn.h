/*
 * Distinguished names as LDAP writes them (RFC 4514), as far as they name a user: pure readers of bytes from outside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define DN_TYPE_MAX 64
#define DN_VALUE_MAX 256
#define DN_REST_MAX 1024

/* The first part's type, in lower case, and its value without escapes, as written; the other parts in one form, in
 * lower case, so that equal ones compare equal. */
struct dn {
        char type[DN_TYPE_MAX], value[DN_VALUE_MAX + 1], rest[DN_REST_MAX];
};

/* 0; -EINVAL: the n bytes are no DN, or one with several values in a part (+), a value in hexadecimal (#), or none. */
int dn_read(struct dn *ret_dn, const char *text, size_t n);
/* Whether both name the same entry; values compare without the case of ASCII letters. */
bool dn_equal(const struct dn *a, const struct dn *b);
/* value with what RFC 4514 wants escaped; 0, or -EMSGSIZE. */
int dn_escape(char *out, size_t cap, const char *value);
