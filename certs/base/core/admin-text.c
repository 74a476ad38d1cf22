/*
 * What editors and mail do to a text, undone or refused.
 *
 * Pure but for admin_text_read. Lines are counted from 1, as an editor shows them. It knows no key and no format
 * beyond sections of INI files.
 */
#include "base/core/admin-text.h"

#include <errno.h>
#include <string.h>

#include "base/core/secret.h"
#include "base/core/text.h"

#define BOM "\xef\xbb\xbf"
#define BOM_LEN 3

int admin_text_fail(struct error *err, int code, const char *name, unsigned line, const char *why)
{
        return name ? error_fail(err, code, "%s:%u: %s", name, line, why)
                    : error_fail(err, code, "line %u: %s", line, why);
}

static unsigned line_of(const char *text, const char *at)
{
        unsigned line = 1;

        while ((text = memchr(text, '\n', (size_t)(at - text)))) {
                text++;
                line++;
        }
        return line;
}

/* Drops the CR of each CRLF and the mark at the beginning. */
static int make_plain(char *text, size_t *n, const char *name, struct error *err)
{
        const char *nul = memchr(text, '\0', *n);
        size_t from = *n >= BOM_LEN && memcmp(text, BOM, BOM_LEN) == 0 ? BOM_LEN : 0, to = 0;

        if (*n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
                return admin_text_fail(err, -EBADMSG, name, 1,
                                       "the file is UTF-16, as Windows programs write it; save it as UTF-8");
        if (nul)
                return admin_text_fail(err, -EBADMSG, name, line_of(text, nul),
                                       "a NUL byte: this is not a text file; save it as UTF-8 text");
        for (; from < *n; from++)
                if (text[from] != '\r' || from + 1 == *n || text[from + 1] != '\n')
                        text[to++] = text[from];
        wipe(text + to, *n - to);
        *n = to;
        return 0;
}

int admin_text_plain(struct buffer *text, const char *name, struct error *err)
{
        int r;

        if (!text->data)
                return 0;
        r = make_plain(text->data, &text->len, name, err);
        if (r == 0)
                text->data[text->len] = '\0';
        return r;
}

int admin_text_read(struct buffer *out, const char *path, struct error *err)
{
        int r = file_read(out, path, err);

        if (r == 0 && (r = admin_text_plain(out, path, err)) < 0)
                buffer_clear(out);
        return r;
}

/* ---- lines ---- */

/* Why a character may not stand on a line: no editor shows it, or it only looks like a blank. NULL: it may. */
static const char *character_fault(uint32_t cp)
{
        static const struct {
                uint32_t first, last;
                const char *why;
        } table[] = {{0x00, 0x08, "a control character"},
                     {0x0a, 0x1f, "a control character"},
                     {0x7f, 0x9f, "a control character"},
                     {0xa0, 0xa0, "a no-break space (U+00A0), which looks like a blank"},
                     {0xad, 0xad, "a soft hyphen (U+00AD), which nobody sees"},
                     {0x61c, 0x61c, "a direction mark (U+061C), which nobody sees"},
                     {0x180e, 0x180e, "an invisible character (U+180E)"},
                     {0x2000, 0x200a, "a blank other than the space (U+2000 to U+200A)"},
                     {0x200b, 0x200f, "an invisible character (U+200B to U+200F)"},
                     {0x2028, 0x202f, "an invisible character (U+2028 to U+202F)"},
                     {0x205f, 0x206f, "an invisible character (U+205F to U+206F)"},
                     {0x3000, 0x3000, "a wide blank (U+3000)"},
                     {0xfeff, 0xfeff, "a byte order mark (U+FEFF) that is not at the file's beginning"}};

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (cp >= table[i].first && cp <= table[i].last)
                        return table[i].why;
        return NULL;
}

const char *admin_comment_fault(const char *line, size_t n)
{
        if (memchr(line, '\0', n))
                return "the line holds a NUL byte";
        return utf8_valid(line, n) ? NULL : "the line is not valid UTF-8";
}

const char *admin_line_fault(const char *line, size_t n)
{
        const char *fault = admin_comment_fault(line, n);
        uint32_t cp;

        for (size_t at = 0; !fault && at < n; fault = character_fault(cp))
                at += utf8_next(line + at, n - at, &cp);
        return fault;
}

static bool blank(char c)
{
        return c == ' ' || c == '\t';
}

int admin_section(char *out, size_t cap, const char *line, size_t n, const char **ret_why)
{
        const char *end;
        size_t len;

        for (; n > 0 && blank(*line); n--)
                line++;
        for (; n > 0 && blank(line[n - 1]); n--)
                ;
        if (n == 0 || *line != '[')
                return 0;
        *ret_why = "the section's name has no ']' behind it";
        if (!(end = memchr(line, ']', n)))
                return -EBADMSG;
        *ret_why = "there is text behind the ']'; a comment needs a line of its own";
        if (end != line + n - 1)
                return -EBADMSG;
        for (line++; line < end && blank(*line); line++)
                ;
        for (; end > line && blank(end[-1]); end--)
                ;
        len = (size_t)(end - line);
        *ret_why = len ? "the section's name is too long" : "the section has no name";
        if (len == 0 || len >= cap)
                return -EBADMSG;
        memcpy(out, line, len);
        out[len] = '\0';
        return 1;
}

/* ---- one secret ---- */

int admin_secret(char *text, size_t *n, const char *name, struct error *err)
{
        const char *second, *fault;
        int r = *n ? make_plain(text, n, name, err) : 0;

        if (r < 0)
                return r;
        while (*n > 0 && text[*n - 1] == '\n')
                text[--*n] = '\0';
        text[*n] = '\0';
        if (*n == 0)
                return 1;
        second = memchr(text, '\n', *n);
        if (second)
                fault = "there is more than one line; the file must hold the secret on one line and nothing else";
        else if (blank(text[0]) || blank(text[*n - 1]))
                fault = "there is a blank at the beginning or the end of the secret";
        else
                fault = admin_line_fault(text, *n);
        return fault ? admin_text_fail(err, -EBADMSG, name, second ? line_of(text, second) + 1 : 1, fault) : 0;
}
