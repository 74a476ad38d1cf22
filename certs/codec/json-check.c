/*
 * The strict check of a JSON text, which every reader begins with.
 *
 * Invariant: what has no flaw here has the grammar of RFC 8259 to its last byte, so a reader may walk it by its
 * brackets and quotes alone. One pass, no allocation, bounded depth; strings go by eight bytes at a time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/json-internal.h"
#include "base/core/text.h"

#define NUMBER_MAX 64 /* characters of a number that has a fraction or an exponent */

struct check {
        const char *at, *end;
        const char *flaw; /* the first */
        bool nul_ok;
        unsigned depth;
};

struct name {
        const char *text;
        size_t n; /* as it is spelt */
        bool escaped;
};

static bool fail(struct check *c, const char *flaw)
{
        if (!c->flaw)
                c->flaw = flaw;
        return false;
}

static bool cut_off(struct check *c)
{
        return fail(c, "it ends early");
}

/* ---- strings ---- */

#define EACH(byte) (0x0101010101010101U * (uint64_t)(byte))

size_t json_plain_run(const char *s, size_t n)
{
        size_t i = 0;

        for (; i + 8 <= n; i += 8) {
                uint64_t w, quote, backslash;

                memcpy(&w, s + i, 8);
                quote = w ^ EACH('"');
                backslash = w ^ EACH('\\');
                /* the top bit of a byte: it is 0x80 at least, or the subtraction borrowed, so the byte is below */
                if ((w | (w - EACH(0x20)) | (quote - EACH(1)) | (backslash - EACH(1))) & EACH(0x80))
                        break;
        }
        while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x80 && s[i] != '"' && s[i] != '\\')
                i++;
        return i;
}

/* The four digits behind \u; 0x10000 where they are none. */
static uint32_t hex4(const char *s)
{
        uint32_t value = 0;

        for (size_t i = 0; i < 4; i++) {
                const unsigned digit = hex_value(s[i]);

                if (digit > 15)
                        return 0x10000;
                value = value << 4 | digit;
        }
        return value;
}

static bool is_high(uint32_t unit)
{
        return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(uint32_t unit)
{
        return unit >= 0xdc00 && unit < 0xe000;
}

/* Of an escape that passed the check: its character, and *at goes behind it. */
static size_t escaped_char(const char **at, char out[4])
{
        static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *p = *at, *letter;
        uint32_t cp;

        if (p[1] != 'u') {
                letter = strchr(letters, p[1]);
                *at = p + 2;
                out[0] = letter ? values[letter - letters] : p[1];
                return 1;
        }
        cp = hex4(p + 2);
        *at = p + 6;
        if (is_high(cp)) {
                cp = 0x10000 + ((cp - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
                *at = p + 12;
        }
        return utf8_put(out, cp);
}

int json_next_byte(struct json_spelling *s)
{
        if (s->i < s->n)
                return (unsigned char)s->bytes[s->i++];
        if (s->at == s->end)
                return -1;
        if (*s->at != '\\')
                return (unsigned char)*s->at++;
        s->n = escaped_char(&s->at, s->bytes);
        s->i = 1;
        return (unsigned char)s->bytes[0];
}

/* c->at is at a backslash. */
static bool check_escape(struct check *c, bool nul_ok)
{
        const size_t left = (size_t)(c->end - c->at);
        uint32_t unit;

        if (left < 2)
                return cut_off(c);
        if (c->at[1] != 'u') {
                if (!c->at[1] || !strchr("\"\\/bfnrt", c->at[1]))
                        return fail(c, "an escape is none of JSON's");
                c->at += 2;
                return true;
        }
        unit = left < 6 ? 0x10000 : hex4(c->at + 2);
        if (unit > 0xffff)
                return fail(c, "an escape lacks its four hexadecimal digits");
        if (is_low(unit) ||
            (is_high(unit) && (left < 12 || c->at[6] != '\\' || c->at[7] != 'u' || !is_low(hex4(c->at + 8)))))
                return fail(c, "a surrogate has no other half");
        if (unit == 0 && !nul_ok)
                return fail(c, "a string holds NUL");
        c->at += is_high(unit) ? 12 : 6;
        return true;
}

/* c->at is at the opening quote, and then behind the closing one. */
static bool check_string(struct check *c, bool nul_ok, bool *ret_escaped)
{
        uint32_t cp;

        for (c->at++;;) {
                c->at += json_plain_run(c->at, (size_t)(c->end - c->at));
                if (c->at == c->end)
                        return cut_off(c);
                if (*c->at == '"') {
                        c->at++;
                        return true;
                }
                if (*c->at == '\\') {
                        *ret_escaped = true;
                        if (!check_escape(c, nul_ok))
                                return false;
                        continue;
                }
                const size_t len = (unsigned char)*c->at < 0x20 ? 0 : utf8_next(c->at, (size_t)(c->end - c->at), &cp);
                if (len == 0)
                        return fail(c, (unsigned char)*c->at < 0x20 ? "a control character stands in a string"
                                                                    : "it is not UTF-8");
                c->at += len;
        }
}

/* ---- numbers and words ---- */

static size_t digits(struct check *c)
{
        const char *from = c->at;

        while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
                c->at++;
        return (size_t)(c->at - from);
}

static bool check_integer(struct check *c, const char *from)
{
        const bool minus = *from == '-';
        uint64_t value = 0;

        for (const char *p = from + minus; p < c->at; p++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
                        return fail(c, "a number is out of range");
        return value <= (uint64_t)INT64_MAX + minus || fail(c, "a number is out of range");
}

static bool check_real(struct check *c, const char *from)
{
        const size_t n = (size_t)(c->at - from);
        char text[NUMBER_MAX + 1];

        if (n > NUMBER_MAX)
                return fail(c, "a number is too long");
        memcpy(text, from, n);
        text[n] = '\0';
        return isfinite(strtod(text, NULL)) || fail(c, "a number is out of range");
}

static bool check_number(struct check *c)
{
        const char *from = c->at;
        bool real = false;

        c->at += *c->at == '-';
        const bool zero = c->at < c->end && *c->at == '0';
        const size_t whole = digits(c);
        if (whole == 0 || (zero && whole > 1))
                return c->at == c->end && whole == 0 ? cut_off(c) : fail(c, "a number is malformed");
        if (c->at < c->end && *c->at == '.') {
                c->at++;
                real = true;
                if (digits(c) == 0)
                        return fail(c, "a number is malformed");
        }
        if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
                c->at++;
                real = true;
                c->at += c->at < c->end && (*c->at == '+' || *c->at == '-');
                if (digits(c) == 0)
                        return fail(c, "a number is malformed");
        }
        return real ? check_real(c, from) : check_integer(c, from);
}

static bool check_word(struct check *c)
{
        static const char *const words[] = {"true", "false", "null"};

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                const size_t n = strlen(words[i]);

                if ((size_t)(c->end - c->at) >= n && memcmp(c->at, words[i], n) == 0) {
                        c->at += n;
                        return true;
                }
        }
        return fail(c, "syntax error");
}

/* ---- objects and arrays ---- */

static void skip_blanks(struct check *c)
{
        while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
                c->at++;
}

/* Takes this character, with the blanks around it. */
static bool take(struct check *c, char wanted)
{
        skip_blanks(c);
        if (c->at == c->end || *c->at != wanted)
                return false;
        c->at++;
        skip_blanks(c);
        return true;
}

/* Whether two names are one, however they are spelt. */
static bool same_name(const struct name *a, const struct name *b)
{
        struct json_spelling x = {.at = a->text, .end = a->text + a->n}, y = {.at = b->text, .end = b->text + b->n};
        int byte;

        if (!a->escaped && !b->escaped)
                return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
        do {
                byte = json_next_byte(&x);
                if (byte != json_next_byte(&y))
                        return false;
        } while (byte >= 0);
        return true;
}

static bool check_value(struct check *c);

static bool check_name(struct check *c, struct name *names, size_t *n)
{
        struct name *name = &names[*n];

        if (c->at == c->end)
                return cut_off(c);
        if (*c->at != '"')
                return fail(c, "syntax error");
        if (*n == JSON_MEMBERS_MAX)
                return fail(c, "an object has too many members");
        *name = (struct name){.text = c->at + 1};
        if (!check_string(c, false, &name->escaped))
                return false;
        name->n = (size_t)(c->at - 1 - name->text);
        for (size_t i = 0; i < *n; i++)
                if (same_name(&names[i], name))
                        return fail(c, "a member is repeated");
        (*n)++;
        return true;
}

/* Behind the opening bracket; end: the closing one. */
static bool check_members(struct check *c, char end)
{
        struct name names[JSON_MEMBERS_MAX];
        size_t n = 0;

        if (take(c, end))
                return true;
        do {
                if (end == '}' && !check_name(c, names, &n))
                        return false;
                if (end == '}' && !take(c, ':'))
                        return c->at == c->end ? cut_off(c) : fail(c, "syntax error");
                if (!check_value(c))
                        return false;
        } while (take(c, ','));
        return take(c, end) || (c->at == c->end ? cut_off(c) : fail(c, "syntax error"));
}

static bool check_value(struct check *c)
{
        bool escaped, fine;

        if (c->at == c->end)
                return cut_off(c);
        if (*c->at == '"')
                return check_string(c, c->nul_ok, &escaped);
        if (*c->at == '-' || (*c->at >= '0' && *c->at <= '9'))
                return check_number(c);
        if (*c->at != '{' && *c->at != '[')
                return check_word(c);
        if (c->depth == JSON_DEPTH_MAX)
                return fail(c, "it is nested too deeply");
        c->depth++;
        fine = check_members(c, *c->at++ == '{' ? '}' : ']');
        c->depth--;
        return fine;
}

const char *json_flaw(const char *text, size_t n, bool nul_ok, size_t *ret_at)
{
        struct check c = {.at = text, .end = text + n, .nul_ok = nul_ok};

        skip_blanks(&c);
        if (c.at == c.end)
                fail(&c, "it is empty");
        else if (*c.at != '{')
                fail(&c, "it does not begin with {");
        else if (check_value(&c) && (skip_blanks(&c), c.at < c.end))
                fail(&c, "there is something behind it");
        *ret_at = (size_t)(c.at - text);
        return c.flaw;
}
