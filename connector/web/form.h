/*
 * Reading what a page's form sends: application/x-www-form-urlencoded. Pure.
 */
#pragma once

#include <stddef.h>

/*
 * The value of the first field of this name, decoded, NUL-terminated, without blanks around it. -ENOENT; -EMSGSIZE: it
 * does not fit; -EBADMSG: an escape that is none, a control character or not UTF-8.
 */
int form_get(const char *body, size_t n, const char *name, char *out, size_t cap);
