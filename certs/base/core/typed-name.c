/*
 * What is cut off typed names, what is refused in them, and their composed form, by libunistring's tables.
 *
 * It knows no domain and no form of names (name.c), and it never changes a password.
 */
#include "base/core/typed-name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

#include "base/core/text.h"

/* What separates or quotes names (statement.c has the same). */
#define DOMAIN_FORBIDDEN "\"/\\:*?<>|@,"

static bool is_blank(uint32_t cp)
{
        return uc_is_property_white_space(cp) || uc_is_general_category_withtable(cp, UC_CATEGORY_MASK_Z);
}

/* Nothing is to be seen of it: format characters, joiners, fillers, variation selectors. */
static bool is_invisible(uint32_t cp)
{
        return uc_is_general_category_withtable(cp, UC_CATEGORY_MASK_Cf) ||
               uc_is_property_default_ignorable_code_point(cp) || cp == 0x2800;
}

static bool is_control(uint32_t cp)
{
        return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

static bool is_trimmed(uint32_t cp)
{
        return is_blank(cp) || is_invisible(cp);
}

static void trim_end(const char *text, size_t *n)
{
        while (*n > 0) {
                size_t at = *n - 1;
                uint32_t cp = 0;

                while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
                        at--;
                if (utf8_next(text + at, *n - at, &cp) != *n - at || !is_trimmed(cp))
                        return;
                *n = at;
        }
}

/* Cuts the beginning; returns how many characters went. */
static size_t trim_start(const char **text, size_t *n)
{
        size_t cut = 0, step;
        uint32_t cp = 0;

        while ((step = utf8_next(*text, *n, &cp)) > 0 && is_trimmed(cp)) {
                *text += step;
                *n -= step;
                cut++;
        }
        return cut;
}

void typed_trim(const char **text, size_t *n)
{
        trim_start(text, n);
        trim_end(*text, n);
        if (*n > 1 && (*text)[*n - 1] == '.') {
                --*n;
                trim_end(*text, n);
        }
}

bool typed_flaw(const char *text, size_t n, char why[TYPED_FLAW_MAX])
{
        size_t at = trim_start(&text, &n);

        why[0] = '\0';
        typed_trim(&text, &n);
        while (n > 0) {
                uint32_t cp = 0;
                size_t step = utf8_next(text, n, &cp);

                at++;
                if (step == 0)
                        snprintf(why, TYPED_FLAW_MAX, "bytes that are no UTF-8 at character %zu", at);
                else if (is_control(cp))
                        snprintf(why, TYPED_FLAW_MAX, "U+%04X at character %zu, a control character", cp, at);
                else if (is_invisible(cp))
                        snprintf(why, TYPED_FLAW_MAX, "U+%04X at character %zu, which cannot be seen", cp, at);
                else if (is_blank(cp) && cp != ' ')
                        snprintf(why, TYPED_FLAW_MAX, "U+%04X at character %zu, a blank other than the space", cp, at);
                if (why[0])
                        return true;
                text += step;
                n -= step;
        }
        return false;
}

int typed_compose(char *out, size_t cap, const char *text, size_t n)
{
        size_t len = 0;
        uint8_t *composed;

        if (n == 0) {
                out[0] = '\0';
                return 0;
        }
        composed = u8_normalize(UNINORM_NFC, (const uint8_t *)text, n, NULL, &len);
        if (!composed)
                return -ENOMEM;
        if (len < cap) {
                memcpy(out, composed, len);
                out[len] = '\0';
        }
        free(composed);
        return len < cap ? 0 : -ENAMETOOLONG;
}

bool typed_domain(const char *text, size_t n)
{
        if (n == 0 || text[0] == '.')
                return false;
        while (n > 0) {
                uint32_t cp = 0;
                size_t step = utf8_next(text, n, &cp);

                if (step == 0 || is_control(cp) || is_blank(cp) || is_invisible(cp) ||
                    (cp < 0x80 && strchr(DOMAIN_FORBIDDEN, (int)cp)))
                        return false;
                text += step;
                n -= step;
        }
        return true;
}

static bool is_ascii(const char *text, size_t n)
{
        unsigned char all = 0;

        for (size_t i = 0; i < n; i++)
                all |= (unsigned char)text[i];
        return all < 0x80;
}

static bool same_ascii(const char *a, const char *b, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (a[i] != b[i] && !((a[i] ^ b[i]) == 0x20 && (a[i] | 0x20) >= 'a' && (a[i] | 0x20) <= 'z'))
                        return false;
        return true;
}

bool typed_same(const char *a, size_t a_n, const char *b, size_t b_n)
{
        int differ = 1;

        if (!utf8_valid(a, a_n) || !utf8_valid(b, b_n))
                return false;
        if (is_ascii(a, a_n) && is_ascii(b, b_n)) /* nearly all are: libunistring's tables would say the same */
                return a_n == b_n && same_ascii(a, b, a_n);
        if (u8_casecmp((const uint8_t *)a, a_n, (const uint8_t *)b, b_n, NULL, UNINORM_NFC, &differ) != 0)
                return false;
        return differ == 0;
}

/* Leaves out accents, and the e with which umlauts are written where there are none. In place. */
static size_t drop_accents(char *text, size_t n)
{
        size_t len = 0;
        char last = '\0';

        for (size_t at = 0; at < n;) {
                uint32_t cp = 0;
                const size_t step = utf8_next(text + at, n - at, &cp);
                const bool umlaut = cp == 'e' && (last == 'a' || last == 'o' || last == 'u');

                if (step == 0)
                        break;
                if (!umlaut && !uc_is_general_category_withtable(cp, UC_CATEGORY_MASK_Mn)) {
                        memmove(text + len, text + at, step);
                        len += step;
                }
                last = cp < 0x80 && !umlaut ? (char)cp : '\0';
                at += step;
        }
        return len;
}

int typed_fold(char *out, size_t cap, enum typed_fold what, const char *text, size_t n)
{
        uint8_t *folded;
        size_t len = 0;

        if (!utf8_valid(text, n))
                return -EILSEQ;
        folded = n ? u8_casefold((const uint8_t *)text, n, NULL, what == TYPED_CASE ? UNINORM_NFC : UNINORM_NFKD, NULL,
                                 &len)
                   : (uint8_t *)strdup("");
        if (!folded)
                return -ENOMEM;
        if (what == TYPED_LETTERS)
                len = drop_accents((char *)folded, len);
        if (len < cap) {
                memcpy(out, folded, len);
                out[len] = '\0';
        }
        free(folded);
        return len < cap ? 0 : -ENAMETOOLONG;
}
