/*
 * The sentence that goes up with a failure.
 *
 * Invariant: the text is always NUL-terminated, valid UTF-8 without control characters, whatever was put into
 * it, and cut only between characters. Nothing here logs, allocates or translates codes.
 */
#include "base/core/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/core/text.h"

/* Drops a UTF-8 character that was cut in half at the end. */
static void drop_half(char *text)
{
        size_t n = strlen(text), start = n;

        while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
                start--;
        if (start == 0)
                return;
        unsigned char lead = (unsigned char)text[start - 1];
        size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        if (n - (start - 1) < want)
                text[start - 1] = '\0';
}

/* behind: the text that follows what fmt says, or NULL. */
static void __attribute__((format(printf, 2, 0)))
write_text(struct error *err, const char *fmt, va_list ap, const char *behind)
{
        int n = vsnprintf(err->text, sizeof err->text, fmt, ap);

        if (n < 0)
                err->text[0] = '\0';
        if (behind && n < (int)sizeof err->text) {
                const size_t used = strlen(err->text);
                n = (int)used + snprintf(err->text + used, sizeof err->text - used, ": %s", behind);
        }
        if (n >= (int)sizeof err->text)
                drop_half(err->text);
        /* control characters, and bytes that are no UTF-8, as a "%.40s" may leave them */
        const size_t len = strlen(err->text);
        for (size_t i = 0, step; i < len; i += step ? step : 1) {
                uint32_t c = 0;
                step = utf8_next(err->text + i, len - i, &c);
                if (step == 0 || c < 0x20 || c == 0x7f)
                        err->text[i] = '?';
        }
}

int error_fail(struct error *err, int code, const char *fmt, ...)
{
        va_list ap;

        if (!err)
                return code;
        va_start(ap, fmt);
        write_text(err, fmt, ap, NULL);
        va_end(ap);
        return code;
}

int error_prefix(struct error *err, int code, const char *fmt, ...)
{
        struct error old;
        va_list ap;

        if (!err)
                return code;
        old = *err;
        va_start(ap, fmt);
        write_text(err, fmt, ap, old.text);
        va_end(ap);
        return code;
}
