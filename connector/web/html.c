/*
 * Writing HTML with every value escaped.
 *
 * A value never opens a tag, ends an attribute or names a character: & < > " ' become references. It knows no page.
 */
#include "connector/web/html.h"

#include <stdarg.h>
#include <string.h>

#include "base/core/text.h"

static int put_bytes(struct html *h, const char *bytes, size_t n)
{
        if (h->code == 0)
                h->code = buffer_append(&h->out, bytes, n);
        return h->code;
}

static void put_value(struct html *h, const char *text)
{
        static const char special[] = "&<>\"'";
        static const char *const references[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
        const size_t n = text ? strlen(text) : 0;

        for (size_t at = 0, len; at < n && h->code == 0; at += len) {
                const char *found = strchr(special, text[at]);
                uint32_t cp = 0;

                len = utf8_next(text + at, n - at, &cp);
                if (found)
                        put_bytes(h, references[found - special], strlen(references[found - special]));
                else if (!len || (cp < ' ' && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) ||
                         (cp >= 0x202a && cp <= 0x202e) ||
                         (cp >= 0x2066 && cp <= 0x2069)) /* nor does it turn text round */
                        put_bytes(h, "?", 1);
                else
                        put_bytes(h, text + at, len);
                len = len ? len : 1;
        }
}

void html_put(struct html *h, const char *form, ...)
{
        va_list ap;

        va_start(ap, form);
        while (*form) {
                const size_t n = strcspn(form, "{");

                put_bytes(h, form, n);
                form += n;
                if (strncmp(form, "{}", 2) == 0) {
                        put_value(h, va_arg(ap, const char *));
                        form += 2;
                } else if (strncmp(form, "{d}", 3) == 0) {
                        if (h->code == 0)
                                h->code = buffer_printf(&h->out, "%lld", va_arg(ap, long long));
                        form += 3;
                } else if (*form) {
                        put_bytes(h, form++, 1);
                }
        }
        va_end(ap);
}
