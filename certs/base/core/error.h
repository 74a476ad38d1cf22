/*
 * Errors.
 *
 * Convention of the whole tree: a function that can fail returns int: 0 is success, negative is a
 * failure (-errno style), positive is an outcome that the function's contract names and the caller must
 * handle. Outputs are named ret_x and are left untouched on failure.
 *
 * struct error carries one plain sentence for a human, written by the layer that knew what went wrong.
 * It never holds a secret. Exactly one layer logs it.
 */
#pragma once

#include <stddef.h>

#define ERROR_TEXT_MAX 400

struct error {
        char text[ERROR_TEXT_MAX];
};

/*
 * Writes the formatted sentence into err (NULL is allowed: the text is dropped) and returns code, so that
 * a failing function ends in `return error_fail(err, -EINVAL, "roster: ...", ...)`. Over-long text is cut
 * at a UTF-8 boundary; control characters are replaced by '?'.
 */
int error_fail(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " (formatted) in front of the text that is in err; returns code. */
int error_prefix(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
