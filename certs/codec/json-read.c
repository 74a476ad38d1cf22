/*
 * The reader: an object's members by name, an array's elements one after the other.
 *
 * Invariant: every reader lies over a text that json_flaw found nothing wrong with, so that walking needs no checks;
 * values are looked at when they are asked for, and copied nowhere but to where the caller says. Does not know which
 * object it reads.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/json-internal.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define PLACE_MAX 160
#define KEY_BYTES_MAX 64 /* of json_read_b64u */

/* ---- walking ---- */

static const char *skip_blanks(const char *p)
{
        while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
                p++;
        return p;
}

/* p is at the opening quote of a string; the closing one. */
static const char *closing_quote(const char *p, const char *end)
{
        for (const char *q = p + 1;; q++) {
                const char *slash;

                q = memchr(q, '"', (size_t)(end - q));
                for (slash = q; slash[-1] == '\\'; slash--)
                        ;
                if ((q - slash) % 2 == 0)
                        return q;
        }
}

/* Behind the value that p is at. */
static const char *behind(const char *p, const char *end)
{
        size_t depth = 0;

        do {
                if (*p == '"') {
                        p = closing_quote(p, end) + 1;
                } else if (*p == '{' || *p == '[') {
                        depth++;
                        p++;
                } else if (*p == '}' || *p == ']') {
                        depth--;
                        p++;
                } else if (depth > 0) {
                        p++;
                } else {
                        p += strcspn(p, ",]} \n\r\t"); /* a number or a word, which a bracket follows somewhere */
                }
        } while (depth > 0);
        return p;
}

/* Whether n characters of a string's spelling stand for this text. */
static bool spells(const char *at, size_t n, const char *text)
{
        struct json_spelling s = {.at = at, .end = at + n};
        int byte;

        if (!memchr(at, '\\', n))
                return strlen(text) == n && memcmp(at, text, n) == 0;
        do {
                byte = json_next_byte(&s);
                if (byte < 0)
                        return *text == '\0';
        } while (*text && byte == (unsigned char)*text++);
        return false;
}

/* ---- failures ---- */

/* Where in the text a member or element of r is: "user.id", "items[3].why". */
static size_t put_place(const struct json_reader *r, const char *key, size_t at, char *out)
{
        size_t n = r->parent ? put_place(r->parent, r->key, r->key_at, out) : 0;
        const int more = key ? snprintf(out + n, PLACE_MAX - n, "%s%s", n ? "." : "", key)
                             : snprintf(out + n, PLACE_MAX - n, "[%zu]", at - 1);

        return more > 0 && n + (size_t)more < PLACE_MAX ? n + (size_t)more : n;
}

void json_read_fail(struct json_reader *r, const char *key, const char *why)
{
        struct json_reader *top = r->top;
        char place[PLACE_MAX];

        if (top->r)
                return;
        put_place(r, key, r->at, place);
        top->r = error_fail(top->err, -EBADMSG, "%s: member %s %s", top->what, place, why);
}

void json_read_no_memory(struct json_reader *r)
{
        if (r->top->r == 0)
                r->top->r = error_fail(r->top->err, -ENOMEM, "%s: no memory", r->top->what);
}

int json_read_result(const struct json_reader *r)
{
        return r->top->r;
}

/* Names the member only where it is fit to be shown: a peer chooses the names of its members. */
static void fail_unknown(const struct json_reader *r, const struct json_slot *slot)
{
        static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-#";
        const size_t n = slot->name_len;
        struct json_reader *top = r->top;

        if (top->r)
                return;
        if (top->mode == JSON_SECRET || n == 0 || n > 32 || strspn(slot->name, characters) < n)
                top->r = error_fail(top->err, -EBADMSG, "%s: has an unknown member", top->what);
        else
                top->r = error_fail(top->err, -EBADMSG, "%s: unknown member \"%.*s\"", top->what, (int)n, slot->name);
}

int json_read_end(struct json_reader *r, bool closed)
{
        for (size_t i = 0; closed && i < r->n; i++)
                if (!r->slots[i].asked)
                        fail_unknown(r, &r->slots[i]);
        return r->top->r;
}

static bool is_listed(const struct json_slot *slot, const char *const *names)
{
        for (; names && *names; names++)
                if (spells(slot->name, slot->name_len, *names))
                        return true;
        return false;
}

void json_read_members(struct json_reader *r, const char *const *required, const char *const *optional)
{
        for (const char *const *name = required; name && *name; name++)
                if (!json_read_has(r, *name))
                        json_read_fail(r, *name, "is missing");
        for (size_t i = 0; i < r->n; i++)
                if (!is_listed(&r->slots[i], required) && !is_listed(&r->slots[i], optional))
                        fail_unknown(r, &r->slots[i]);
}

/* ---- objects and arrays ---- */

/* Empties r, but for its slots. */
static void reset(struct json_reader *r)
{
        memset(r, 0, offsetof(struct json_reader, slots));
}

/* Notes where the members of the object at p are. */
static void index_object(struct json_reader *r, const char *p)
{
        const char *end = r->top->end;

        for (p = skip_blanks(p + 1); *p != '}'; p = skip_blanks(p + (*p == ','))) {
                const char *quote = closing_quote(p, end);
                struct json_slot *slot = &r->slots[r->n++];

                *slot = (struct json_slot){.name = p + 1, .name_len = (size_t)(quote - p - 1)};
                p = skip_blanks(quote + 1) + 1; /* the colon */
                slot->value = skip_blanks(p);
                slot->end = behind(slot->value, end);
                p = skip_blanks(slot->end);
        }
}

void json_read_begin(struct json_reader *r, const char *text, size_t n, enum json_mode mode, const char *what,
                     struct error *err)
{
        size_t at, line = 1;
        const char *flaw;

        reset(r);
        r->top = r;
        r->what = what;
        r->mode = mode;
        r->err = err;
        r->end = text + n;
        flaw = json_flaw(text, n, mode == JSON_SECRET, &at);
        if (!flaw) {
                index_object(r, skip_blanks(text));
                return;
        }
        for (size_t i = 0; i < at; i++)
                line += text[i] == '\n';
        r->r = mode == JSON_SECRET /* then not even the place is told */
                       ? error_fail(err, -EBADMSG, "%s: is not a JSON object: %s", what, flaw)
                       : error_fail(err, -EBADMSG, "%s: is not a JSON object: %s (line %zu, byte %zu)", what, flaw,
                                    line, at);
}

/* Which slot has the member; r->n: none. */
static size_t slot_of(const struct json_reader *r, const char *key)
{
        size_t i = 0;

        while (i < r->n && (r->list || !spells(r->slots[i].name, r->slots[i].name_len, key)))
                i++;
        return i;
}

bool json_read_has(const struct json_reader *r, const char *key)
{
        return slot_of(r, key) < r->n;
}

/* The member, marked as asked for; NULL: absent (a failure when required), or something failed before. */
static const struct json_slot *member_of(struct json_reader *r, const char *key, enum json_need need)
{
        size_t i;

        if (r->top->r)
                return NULL;
        if (!key)
                return &r->current;
        i = slot_of(r, key);
        if (i < r->n) {
                r->slots[i].asked = true;
                return &r->slots[i];
        }
        if (need == JSON_REQUIRED)
                json_read_fail(r, key, "is missing");
        return NULL;
}

char json_read_kind(struct json_reader *r, const char *key)
{
        const struct json_slot *slot = member_of(r, key, JSON_OPTIONAL);

        return slot ? *slot->value : '\0';
}

/* Makes sub the reader of the value, if it begins with this bracket. */
static const char *enter(struct json_reader *sub, struct json_reader *r, const char *key, enum json_need need,
                         char bracket)
{
        const struct json_slot *slot = member_of(r, key, need);

        reset(sub);
        sub->top = r->top;
        sub->parent = r;
        sub->key = key;
        sub->key_at = r->at;
        if (slot && *slot->value == bracket)
                return slot->value;
        if (slot)
                json_read_fail(r, key, bracket == '{' ? "is not an object" : "is not an array");
        return NULL;
}

bool json_read_object(struct json_reader *sub, struct json_reader *r, const char *key, enum json_need need)
{
        const char *value = enter(sub, r, key, need, '{');

        if (value)
                index_object(sub, value);
        return value != NULL;
}

bool json_read_list(struct json_reader *sub, struct json_reader *r, const char *key, enum json_need need, size_t min,
                    size_t max)
{
        const char *value = enter(sub, r, key, need, '['), *p;
        char why[80];

        sub->list = true;
        if (!value)
                return false;
        sub->current.end = value + 1;
        for (p = skip_blanks(value + 1); *p != ']'; p = skip_blanks(p + (*p == ','))) {
                p = skip_blanks(behind(p, r->top->end));
                sub->n++;
        }
        if (sub->n >= min && sub->n <= max)
                return true;
        (void)snprintf(why, sizeof(why), "has %zu elements, allowed are %zu to %zu", sub->n, min, max);
        json_read_fail(r, key, why);
        return false;
}

bool json_read_next(struct json_reader *r)
{
        if (r->top->r || r->at == r->n)
                return false;
        r->at++;
        if (!r->list) {
                r->slots[r->at - 1].asked = true;
                r->current = r->slots[r->at - 1];
                return true;
        }
        r->current.value = skip_blanks(r->current.end);
        r->current.value = skip_blanks(r->current.value + (*r->current.value == ','));
        r->current.end = behind(r->current.value, r->top->end);
        return true;
}

/* ---- strings ---- */

struct copied {
        size_t len;         /* of the whole string */
        unsigned char next; /* the first byte that did not fit, or 0 */
        bool nul;
};

/* Copies what n characters of spelling stand for into out (cap bytes with the NUL), as much of it as fits. */
static struct copied copy_spelt(const char *at, size_t n, char *out, size_t cap)
{
        struct json_spelling s = {.at = at, .end = at + n};
        struct copied c = {.len = n};
        int byte;

        if (!memchr(at, '\\', n)) {
                const size_t fits = n < cap ? n : cap - 1;

                memcpy(out, at, fits);
                out[fits] = '\0';
                c.next = n > fits ? (unsigned char)at[fits] : 0;
                return c;
        }
        for (c.len = 0; (byte = json_next_byte(&s)) >= 0; c.len++) {
                c.nul |= byte == 0;
                if (c.len < cap - 1)
                        out[c.len] = (char)byte;
                else if (c.len == cap - 1)
                        c.next = (unsigned char)byte;
        }
        out[c.len < cap ? c.len : cap - 1] = '\0';
        return c;
}

/* Where a string's spelling begins and how long it is; NULL: absent (a failure when required), or no string. */
static const char *spelling_of(struct json_reader *r, const char *key, enum json_need need, size_t *ret_n)
{
        const struct json_slot *slot = member_of(r, key, need);

        if (slot && *slot->value == '"') {
                *ret_n = (size_t)(slot->end - slot->value) - 2;
                return slot->value + 1;
        }
        if (slot)
                json_read_fail(r, key, "is not a string");
        return NULL;
}

/* Copies a string without NUL that is not empty where it is required. */
static struct copied copy_string(struct json_reader *r, const char *key, enum json_need need, char *out, size_t cap)
{
        struct copied c = {.len = 0};
        size_t n = 0;
        const char *at = spelling_of(r, key, need, &n);

        out[0] = '\0';
        if (!at)
                return c;
        c = copy_spelt(at, n, out, cap);
        if (c.len == 0 && need == JSON_REQUIRED)
                json_read_fail(r, key, "is empty");
        else if (c.nul)
                json_read_fail(r, key, "holds a NUL");
        return c;
}

void json_read_str(struct json_reader *r, const char *key, enum json_need need, char *out, size_t cap)
{
        if (copy_string(r, key, need, out, cap).len >= cap)
                json_read_fail(r, key, "is too long");
}

void json_read_cut(struct json_reader *r, const char *key, char *out, size_t cap)
{
        const struct copied c = copy_string(r, key, JSON_OPTIONAL, out, cap);
        unsigned char next = c.next;
        size_t n = c.len < cap ? c.len : cap - 1;

        for (; n > 0 && (next & 0xc0) == 0x80; n--)
                next = (unsigned char)out[n - 1];
        out[n] = '\0';
}

void json_read_name(struct json_reader *r, char *out, size_t cap)
{
        struct copied c;

        out[0] = '\0';
        if (r->top->r)
                return;
        c = copy_spelt(r->current.name, r->current.name_len, out, cap);
        if (c.len == 0 || c.len >= cap)
                json_read_fail(r, NULL, c.len == 0 ? "has no name" : "has too long a name");
}

void json_read_text(struct json_reader *r, const char *key, enum json_need need, size_t max, char **ret_text)
{
        size_t n = 0;
        const char *at = spelling_of(r, key, need, &n);
        const size_t cap = (n < max ? n : max) + 1; /* no text is longer than its spelling */
        char *text = at ? malloc(cap) : NULL;

        if (!at)
                return;
        if (!text) {
                json_read_no_memory(r);
                return;
        }
        const struct copied c = copy_spelt(at, n, text, cap);
        if (c.len > max || c.nul || (c.len == 0 && need == JSON_REQUIRED)) {
                json_read_fail(r, key, c.nul ? "holds a NUL" : c.len ? "is too long" : "is empty");
                free(text);
                return;
        }
        free(*ret_text);
        *ret_text = text;
}

size_t json_read_bytes(struct json_reader *r, const char *key, char *out, size_t cap)
{
        size_t n = 0, len;
        const char *at = spelling_of(r, key, JSON_REQUIRED, &n);

        out[0] = '\0';
        if (!at)
                return 0;
        len = copy_spelt(at, n, out, cap).len;
        if (len >= cap)
                wipe(out, cap);
        return len;
}

void json_read_b64u(struct json_reader *r, const char *key, void *out, size_t n)
{
        char text[B64U_LEN(KEY_BYTES_MAX) + 1];
        const size_t len = json_read_bytes(r, key, text, sizeof(text));

        if (r->top->r == 0 && (n > KEY_BYTES_MAX || b64u_decode_exact(out, n, text, len) < 0))
                json_read_fail(r, key, "is not base64url of the right length");
        wipe(text, sizeof(text));
}

void json_read_b64u_text(struct json_reader *r, const char *key, char *out, size_t n)
{
        uint8_t bytes[KEY_BYTES_MAX];

        out[0] = '\0';
        json_read_b64u(r, key, bytes, n);
        if (r->top->r == 0)
                b64u_encode_to(out, bytes, n); /* the strict form has one spelling */
        wipe(bytes, sizeof(bytes));
}

void json_read_is(struct json_reader *r, const char *key, const char *word)
{
        const char *const words[] = {word, NULL};

        json_read_word(r, key, words);
}

const char *json_read_word(struct json_reader *r, const char *key, const char *const *words)
{
        size_t n = 0;
        const char *at = spelling_of(r, key, JSON_REQUIRED, &n);
        char why[80];

        for (const char *const *w = words; at && *w; w++)
                if (spells(at, n, *w))
                        return *w;
        if (words[0] && !words[1])
                (void)snprintf(why, sizeof(why), "is not \"%s\"", words[0]);
        if (at)
                json_read_fail(r, key, n == 0 ? "is empty" : words[0] && !words[1] ? why : "is no known word");
        return NULL;
}

/* ---- the rest ---- */

static bool is_number(const char *value)
{
        return *value == '-' || (*value >= '0' && *value <= '9');
}

int64_t json_read_int(struct json_reader *r, const char *key, int64_t min, int64_t max)
{
        const struct json_slot *slot = member_of(r, key, JSON_REQUIRED);
        const char *value = slot ? slot->value : NULL;
        char *behind_digits;
        int64_t number;

        if (!value)
                return 0;
        number = is_number(value) ? strtoll(value, &behind_digits, 10) : 0; /* a bracket or comma ends it */
        if (!is_number(value) || *behind_digits == '.' || *behind_digits == 'e' || *behind_digits == 'E') {
                json_read_fail(r, key, "is not an integer");
                return 0;
        }
        if (number < min || number > max) {
                json_read_fail(r, key, "is out of range");
                return 0;
        }
        return number;
}

double json_read_number(struct json_reader *r, const char *key, double min, double max)
{
        const struct json_slot *slot = member_of(r, key, JSON_REQUIRED);
        const char *value = slot ? slot->value : NULL;
        double number;

        if (!value)
                return 0;
        number = is_number(value) ? strtod(value, NULL) : 0;
        if (is_number(value) && number >= min && number <= max)
                return number;
        json_read_fail(r, key, is_number(value) ? "is out of range" : "is not a number");
        return 0;
}

bool json_read_bool(struct json_reader *r, const char *key)
{
        const struct json_slot *slot = member_of(r, key, JSON_REQUIRED);

        if (slot && *slot->value != 't' && *slot->value != 'f')
                json_read_fail(r, key, "is not a boolean");
        return slot && *slot->value == 't';
}

const char *json_read_raw(struct json_reader *r, const char *key, enum json_need need, size_t *ret_n)
{
        const struct json_slot *slot = member_of(r, key, need);

        if (slot)
                *ret_n = (size_t)(slot->end - slot->value);
        return slot ? slot->value : NULL;
}
