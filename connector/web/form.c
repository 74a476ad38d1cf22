/*
 * Reading a form: fields apart, escapes decoded, nothing else (the URL standard, 5.1).
 */
#include "connector/web/form.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"

static int hex_digit(char c)
{
        static const char digits[] = "0123456789abcdef";
        const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

        return at ? (int)(at - digits) : -1;
}

static int decode(const char *text, size_t n, char *out, size_t cap)
{
        size_t len = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i] == '+' ? ' ' : text[i];

                if (c == '%') {
                        const int high = n - i > 2 ? hex_digit(text[i + 1]) : -1;
                        const int low = high < 0 ? -1 : hex_digit(text[i + 2]);
                        if (low < 0)
                                return -EBADMSG;
                        c = (char)(high << 4 | low);
                        i += 2;
                }
                if (len == 0 && c == ' ')
                        continue;
                if ((unsigned char)c < ' ' || c == 0x7f)
                        return -EBADMSG;
                if (len + 1 >= cap)
                        return -EMSGSIZE;
                out[len++] = c;
        }
        while (len && out[len - 1] == ' ')
                len--;
        out[len] = '\0';
        return utf8_valid(out, len) ? 0 : -EBADMSG;
}

int form_get(const char *body, size_t n, const char *name, char *out, size_t cap)
{
        const size_t n_name = strlen(name);

        for (size_t at = 0; at < n;) {
                const char *end = memchr(body + at, '&', n - at);
                const size_t len = end ? (size_t)(end - body) - at : n - at;

                if (len > n_name && memcmp(body + at, name, n_name) == 0 && body[at + n_name] == '=')
                        return decode(body + at + n_name + 1, len - n_name - 1, out, cap);
                at += len + 1;
        }
        return -ENOENT;
}
