/*
 * What the tests of queue share: cmocka in the order it wants, text surgery, and the check of a refusal.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* One change to a good text, and what the refusal must say. find "" puts `with` in place of the whole. */
struct change {
        const char *find, *with, *says;
};

/* A copy of text with the first `find` replaced; fails where there is none. free() it. */
static inline char *replaced(const char *text, const char *find, const char *with)
{
        const char *at = strstr(text, find);
        char *copy = malloc(strlen(text) + strlen(with) + 1);
        size_t before;

        if (!at)
                fail_msg("'%s' is not in the text", find);
        assert_non_null(copy);
        if (!*find) {
                memcpy(copy, with, strlen(with) + 1);
                return copy;
        }
        before = (size_t)(at - text);
        memcpy(copy, text, before);
        memcpy(copy + before, with, strlen(with));
        memcpy(copy + before + strlen(with), at + strlen(find), strlen(at + strlen(find)) + 1);
        return copy;
}

/* n times the same byte. free() it. */
static inline char *repeated(char c, size_t n)
{
        char *text = malloc(n + 1);

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                text[i] = c;
        text[n] = '\0';
        return text;
}

static inline void assert_says(int r, int code, const struct error *err, const char *what)
{
        if (r != code || !strstr(err->text, what))
                fail_msg("got %d \"%s\", expected %d \"%s\"", r, err->text, code, what);
}
