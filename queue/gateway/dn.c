/*
 * Reading and comparing distinguished names. Nothing here keeps what it reads.
 *
 * Stricter than RFC 4514 where software that means well never is different: one value to a part, no '#' form, no raw
 * special characters; and as lenient as RFC 2253 about blanks around '=' and ','.
 */
#include "queue/gateway/dn.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"

#define SPECIAL "\\,+\"<>;="

struct cursor {
        const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
        while (c->at < c->end && *c->at == ' ')
                c->at++;
}

static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* TYPE = */
static int read_type(struct cursor *c, char out[DN_TYPE_MAX])
{
        size_t n = 0;

        skip_blanks(c);
        for (; c->at < c->end && strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", lower(*c->at)) && *c->at; c->at++) {
                if (n + 1 == DN_TYPE_MAX)
                        return -EINVAL;
                out[n++] = lower(*c->at);
        }
        out[n] = '\0';
        skip_blanks(c);
        return n > 0 && c->at < c->end && *c->at++ == '=' ? 0 : -EINVAL;
}

static int hex_of(char c)
{
        const char *digits = "0123456789abcdef", *at = c ? strchr(digits, lower(c)) : NULL;

        return at ? (int)(at - digits) : -1;
}

/* The byte behind a backslash, of one character or of two hexadecimal digits; NUL: it is none. */
static char read_escaped(struct cursor *c)
{
        const int high = c->end - c->at >= 2 ? hex_of(c->at[0]) : -1;
        const int low = high >= 0 ? hex_of(c->at[1]) : -1;

        if (low >= 0) {
                c->at += 2;
                return (char)(high * 16 + low);
        }
        return c->at < c->end && strchr(SPECIAL " #", *c->at) ? *c->at++ : '\0';
}

/* The value, up to the comma or the end. */
static int read_value(struct cursor *c, char out[DN_VALUE_MAX + 1])
{
        size_t n = 0, blanks = 0; /* blanks: at the end, unescaped */

        skip_blanks(c);
        if (c->at < c->end && *c->at == '#')
                return -EINVAL;
        while (c->at < c->end && *c->at != ',') {
                char one = *c->at++;

                blanks = one == ' ' ? blanks + 1 : 0;
                if (one == '\\')
                        one = read_escaped(c);
                else if (strchr(SPECIAL, one) && one != '=') /* NUL is found, too */
                        return -EINVAL;
                if (one == '\0' || n == DN_VALUE_MAX)
                        return -EINVAL;
                out[n++] = one;
        }
        out[n - blanks] = '\0';
        return n - blanks > 0 ? 0 : -EINVAL;
}

int dn_escape(char *out, size_t cap, const char *value)
{
        const size_t n = strlen(value);
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                const bool outer = (value[i] == ' ' && (i == 0 || i + 1 == n)) || (value[i] == '#' && i == 0);

                if (k + 3 > cap)
                        return -EMSGSIZE;
                if (outer || strchr(SPECIAL, value[i]))
                        out[k++] = '\\';
                out[k++] = value[i];
        }
        if (k >= cap)
                return -EMSGSIZE;
        out[k] = '\0';
        return 0;
}

/* The parts behind the first, in their one form. */
static int read_rest(struct cursor *c, char out[DN_REST_MAX])
{
        char type[DN_TYPE_MAX], value[DN_VALUE_MAX + 1] = "";
        size_t n = 0;

        out[0] = '\0';
        while (c->at < c->end) {
                c->at++; /* the comma */
                if (read_type(c, type) < 0 || read_value(c, value) < 0 || n + strlen(type) + 3 > DN_REST_MAX)
                        return -EINVAL;
                for (char *v = value; *v; v++)
                        *v = lower(*v);
                out[n++] = ',';
                memcpy(out + n, type, strlen(type));
                n += strlen(type);
                out[n++] = '=';
                if (dn_escape(out + n, DN_REST_MAX - n, value) < 0)
                        return -EINVAL;
                n += strlen(out + n);
        }
        return 0;
}

int dn_read(struct dn *ret_dn, const char *text, size_t n)
{
        struct cursor c = {text, text + n};
        struct dn dn = {.type = ""};

        if (read_type(&c, dn.type) < 0 || read_value(&c, dn.value) < 0 || read_rest(&c, dn.rest) < 0)
                return -EINVAL;
        *ret_dn = dn;
        return 0;
}

bool dn_equal(const struct dn *a, const struct dn *b)
{
        return strcmp(a->type, b->type) == 0 && strcasecmp(a->value, b->value) == 0 && strcmp(a->rest, b->rest) == 0;
}
