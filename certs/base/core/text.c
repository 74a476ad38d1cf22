/*
 * Text forms without state: base64url, hex, UTF-8, ids, numbers, and the two cleanup helpers.
 *
 * Every decoder is strict and accepts exactly one spelling of a value. Files are in file.c.
 */
#include "base/core/text.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/core/cleanup.h"

static const char b64u_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void freep(void *p)
{
        free(*(void **)p);
}

void closep(int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

void b64u_encode_to(char *out, const void *bytes, size_t n)
{
        const uint8_t *p = bytes;

        for (; n >= 3; n -= 3, p += 3) {
                *out++ = b64u_alphabet[p[0] >> 2];
                *out++ = b64u_alphabet[(p[0] & 3) << 4 | p[1] >> 4];
                *out++ = b64u_alphabet[(p[1] & 15) << 2 | p[2] >> 6];
                *out++ = b64u_alphabet[p[2] & 63];
        }
        if (n > 0) {
                *out++ = b64u_alphabet[p[0] >> 2];
                *out++ = b64u_alphabet[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)];
        }
        if (n == 2)
                *out++ = b64u_alphabet[(p[1] & 15) << 2];
        *out = '\0';
}

int b64u_encode(struct buffer *out, const void *bytes, size_t n)
{
        size_t len = B64U_LEN(n);
        int r = buffer_reserve(out, len);

        if (r < 0)
                return r;
        b64u_encode_to(out->data + out->len, bytes, n);
        out->len += len;
        return 0;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (uint8_t)(byte))

/* The top bit of each of eight bytes below 0x80 that is in [first, last]: one sum carries into it, the other not. */
static inline uint64_t each_within(uint64_t eight, char first, char last)
{
        return (eight + EACH(0x80 - first)) & ~(eight + EACH(0x7f - last));
}

/* The top bits of those of eight bytes that are of the alphabet, or this character. */
static inline uint64_t each_b64u(uint64_t eight, char also)
{
        const uint64_t low = eight & ~EACH(0x80);

        return ~eight & (each_within(low | EACH(0x20), 'a', 'z') | each_within(low, '0', '9') |
                         each_within(low, '-', '-') | each_within(low, '_', '_') | each_within(low, also, also));
}

bool b64u_only(const char *text, size_t n, char also)
{
        uint64_t every = EACH(0x80), eight;
        size_t i = 0;

        for (; i + sizeof(eight) <= n; i += sizeof(eight)) {
                memcpy(&eight, text + i, sizeof(eight));
                every &= each_b64u(eight, also);
        }
        eight = EACH('A');
        memcpy(&eight, text + i, n - i);
        return (every & each_b64u(eight, also) & EACH(0x80)) == EACH(0x80);
}

/* The value of one character, 64 for any other. No table and no branch: the text may be a key. */
static unsigned b64u_value(char ch)
{
        unsigned c = (unsigned char)ch;
        unsigned upper = 0U - (c - 'A' < 26), lower = 0U - (c - 'a' < 26), digit = 0U - (c - '0' < 10);
        unsigned minus = 0U - (c == '-'), under = 0U - (c == '_');

        return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (minus & 62) | (under & 63) |
               (~(upper | lower | digit | minus | under) & 64);
}

/* All bits of each byte whose top bit is set. */
static inline uint64_t each_whole(uint64_t tops)
{
        return (tops >> 7) * 0xff;
}

/* Six bytes of eight characters; returns the top bits of those that are of the alphabet. The same without a table or a
 * branch, eight at a time. */
static inline uint64_t b64u_decode_eight(uint8_t *out, const char *text)
{
        uint64_t eight;

        memcpy(&eight, text, sizeof(eight));
        const uint64_t low = eight & ~EACH(0x80);
        const uint64_t upper = each_within(low, 'A', 'Z'), lower = each_within(low, 'a', 'z');
        const uint64_t digit = each_within(low, '0', '9'), minus = each_within(low, '-', '-');
        const uint64_t under = each_within(low, '_', '_'), good = (upper | lower | digit | minus | under) & EACH(0x80);
        const uint64_t down = (EACH('A') & each_whole(upper & EACH(0x80))) |
                              (EACH('a' - 26) & each_whole(lower & EACH(0x80))) |
                              (EACH('_' - 63) & each_whole(under & EACH(0x80)));
        const uint64_t up =
                (EACH(52 - '0') & each_whole(digit & EACH(0x80))) | (EACH(62 - '-') & each_whole(minus & EACH(0x80)));
        uint64_t six = be64toh((low & each_whole(good)) + up - down);

        six = (six & UINT64_C(0x3f003f003f003f00)) >> 2 | (six & UINT64_C(0x003f003f003f003f));
        six = (six & UINT64_C(0x0fff00000fff0000)) >> 4 | (six & UINT64_C(0x00000fff00000fff));
        six = (six & UINT64_C(0x00ffffff00000000)) >> 8 | (six & UINT64_C(0x0000000000ffffff));
        six = htobe64(six << 16);
        memcpy(out, &six, 6);
        return good & ~eight;
}

/* Decodes into out, which has room for n * 3 / 4 bytes. */
static int b64u_decode_raw(uint8_t *out, const char *text, size_t n)
{
        uint64_t good = EACH(0x80);
        unsigned bad = 0, a, b, c, d;

        for (; n >= 8; n -= 8, text += 8, out += 6)
                good &= b64u_decode_eight(out, text);
        for (; n >= 4; n -= 4, text += 4) {
                a = b64u_value(text[0]);
                b = b64u_value(text[1]);
                c = b64u_value(text[2]);
                d = b64u_value(text[3]);
                bad |= a | b | c | d;
                *out++ = (uint8_t)(a << 2 | b >> 4);
                *out++ = (uint8_t)(b << 4 | c >> 2);
                *out++ = (uint8_t)(c << 6 | d);
        }
        if (n == 1 || bad > 63 || good != EACH(0x80))
                return -EBADMSG;
        if (n == 0)
                return 0;
        a = b64u_value(text[0]);
        b = b64u_value(text[1]);
        c = n == 3 ? b64u_value(text[2]) : 0;
        *out++ = (uint8_t)(a << 2 | b >> 4);
        if (n == 3)
                *out = (uint8_t)(b << 4 | c >> 2);
        /* the bits that stand for no byte must be 0: there is one spelling of every value */
        return (a | b | c) > 63 || (n == 3 ? c & 3 : b & 15) ? -EBADMSG : 0;
}

int b64u_decode(struct buffer *out, const char *text, size_t n)
{
        size_t len = n / 4 * 3 + n % 4 * 3 / 4;
        int r = buffer_reserve(out, len);

        if (r < 0)
                return r;
        r = b64u_decode_raw((uint8_t *)out->data + out->len, text, n);
        if (r < 0) {
                memset(out->data + out->len, 0, len);
                return r;
        }
        out->len += len;
        return 0;
}

int b64u_decode_exact(void *out, size_t n_out, const char *text, size_t n)
{
        if (n != B64U_LEN(n_out))
                return -EBADMSG;
        return b64u_decode_raw(out, text, n);
}

unsigned hex_value(char c)
{
        return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
               : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
               : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                      : 16;
}

void hex_encode_to(char *out, const void *bytes, size_t n)
{
        static const char digits[] = "0123456789abcdef";
        const uint8_t *p = bytes;

        for (size_t i = 0; i < n; i++) {
                *out++ = digits[p[i] >> 4];
                *out++ = digits[p[i] & 15];
        }
        *out = '\0';
}

size_t utf8_next(const char *s, size_t n, uint32_t *ret_cp)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        const uint8_t *p = (const uint8_t *)s;

        if (n == 0)
                return 0;
        size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
        if (len == 0 || len > n)
                return 0;
        uint32_t cp = len == 1 ? p[0] : p[0] & (0xFFU >> (len + 1));
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xC0) != 0x80)
                        return 0;
                cp = cp << 6 | (p[i] & 0x3F);
        }
        if (cp < least[len] || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
                return 0;
        *ret_cp = cp;
        return len;
}

bool utf8_valid(const char *s, size_t n)
{
        uint32_t cp;

        while (n > 0) {
                uint64_t eight = 0;
                size_t len;

                if (n >= sizeof(eight))
                        memcpy(&eight, s, sizeof(eight));
                len = n >= sizeof(eight) && !(eight & 0x8080808080808080U) ? sizeof(eight) : utf8_next(s, n, &cp);
                if (len == 0)
                        return false;
                s += len;
                n -= len;
        }
        return true;
}

bool utf8_hostile(uint32_t cp)
{
        return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x200E && cp <= 0x200F) ||
               (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x061C || cp == 0xFEFF;
}

size_t utf8_put(char out[4], uint32_t cp)
{
        if (cp < 0x80) {
                out[0] = (char)cp;
                return 1;
        }
        if (cp < 0x800) {
                out[0] = (char)(0xc0 | cp >> 6);
                out[1] = (char)(0x80 | (cp & 0x3f));
                return 2;
        }
        if (cp < 0x10000) {
                out[0] = (char)(0xe0 | cp >> 12);
                out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
                out[2] = (char)(0x80 | (cp & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | cp >> 18);
        out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
        out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[3] = (char)(0x80 | (cp & 0x3f));
        return 4;
}

bool id_valid(const char *s, size_t n)
{
        if (n < 16 || n > ID_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (b64u_value(s[i]) > 62)
                        return false;
        return true;
}

size_t id_first(const char *id)
{
        const size_t n = strlen(id), behind = strlen(ID_SECOND);

        return n > behind && strcmp(id + n - behind, ID_SECOND) == 0 ? n - behind : n;
}

#define ID_OURS 26

int id_generate(char *out)
{
        static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        uint8_t random[ID_OURS];

        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
                return -EIO;
        for (size_t i = 0; i < sizeof random; i++)
                out[i] = crockford[random[i] & 31];
        out[sizeof random] = '\0';
        return 0;
}

bool id_heard(const char *what, char *out)
{
        const size_t n = strlen(what);

        if (n < ID_BEGINNING_MIN || n > ID_OURS)
                return false;
        for (size_t i = 0; i < n; i++) {
                char c = (char)(what[i] >= 'a' && what[i] <= 'z' ? what[i] - 'a' + 'A' : what[i]);
                if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
                        return false;
                out[i] = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
        }
        out[n] = '\0';
        return true;
}

bool id_given(const char *what, char *out)
{
        static const char blanks[] = " \t\r\n";
        size_t n;

        what += strspn(what, blanks);
        for (n = strlen(what); n > 0 && strchr(blanks, what[n - 1]);)
                n--;
        if (n < ID_BEGINNING_MIN || n > ID_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (b64u_value(what[i]) > 62)
                        return false;
        memcpy(out, what, n);
        out[n] = '\0';
        return true;
}

bool id_same(const char *a, const char *b)
{
        return id_first(a) == id_first(b) && strncmp(a, b, id_first(a)) == 0;
}

int text_set(char **ret_s, const char *s)
{
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*ret_s);
        *ret_s = copy;
        return 0;
}

int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value)
{
        uint64_t value = 0;
        bool over = false;

        if (*s == '\0')
                return -EINVAL;
        for (; *s != '\0'; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                over = over || __builtin_mul_overflow(value, 10, &value) ||
                       __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value);
        }
        if (over || value < min || value > max)
                return -ERANGE;
        *ret_value = value;
        return 0;
}

/* ---- the closest word ---- */

/* Levenshtein's distance; words that are too long are far from everything. */
static size_t distance(const char *a, const char *b)
{
        size_t row[TEXT_GUESS_MAX + 1], n = strlen(b);

        if (n > TEXT_GUESS_MAX || strlen(a) > TEXT_GUESS_MAX)
                return TEXT_GUESS_MAX;
        for (size_t k = 0; k <= n; k++)
                row[k] = k;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t k = 1; k <= n; k++) {
                        const size_t above = row[k], other = diagonal + (a[i - 1] != b[k - 1]);
                        row[k] = 1 + (row[k - 1] < above ? row[k - 1] : above);
                        row[k] = other < row[k] ? other : row[k];
                        diagonal = above;
                }
        }
        return row[n];
}

void text_guess_consider(struct text_guess *g, const char *candidate)
{
        size_t d = distance(g->word, candidate);

        if (d < g->distance && d <= 1 + strlen(g->word) / 3) {
                g->best = candidate;
                g->distance = d;
        }
}
