/*
 * Writing HTML: text goes out through one function that escapes every value, so that no page can forget to.
 */
#pragma once

#include "base/core/buffer.h"

struct html {
        struct buffer out;
        int code; /* of the first write that failed; what comes after it is dropped */
};

#define HTML(max_bytes) ((struct html){BUFFER(max_bytes), 0})

/*
 * Writes form, a literal, in which {} stands for the next value, a const char * that is escaped for text and for
 * attributes in double quotes (NULL is nothing; what is not UTF-8, and control characters, become '?'), and {d} for the
 * next one, a long long.
 */
void html_put(struct html *h, const char *form, ...);
