/*
 * JSON against jansson: both take and refuse the same texts, our limits aside, and what ours reads of a text is what
 * jansson's tree holds. Read out, written again and read once more it is the same.
 *
 * Input: the first byte says whether strings may hold NUL (N) or not; the rest is the text.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define NAME_MAX_LEN 65536

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void same_value(struct json_reader *r, const json_t *theirs, struct json_writer *w, const char *name);

static void same_members(struct json_reader *r, const json_t *theirs, struct json_writer *w)
{
        char *name = malloc(NAME_MAX_LEN);

        must(name && r->n == json_object_size(theirs));
        while (json_read_next(r)) {
                if (r->current.name_len == 0) { /* json_read_name takes no empty one */
                        same_value(r, json_object_get(theirs, ""), w, "");
                        continue;
                }
                json_read_name(r, name, NAME_MAX_LEN);
                must(json_read_result(r) == 0 && json_read_has(r, name));
                same_value(r, json_object_get(theirs, name), w, name);
        }
        free(name);
}

static void same_elements(struct json_reader *r, const json_t *theirs, struct json_writer *w)
{
        size_t i = 0;

        must(r->n == json_array_size(theirs));
        while (json_read_next(r))
                same_value(r, json_array_get(theirs, i++), w, NULL);
        must(i == r->n);
}

static void same_string(struct json_reader *r, const json_t *theirs, struct json_writer *w, const char *name)
{
        const size_t n = json_string_length(theirs);
        char *text = malloc(n + 1), *cut = malloc(n + 1);

        must(text && cut && json_read_bytes(r, NULL, text, n + 1) == n &&
             memcmp(text, json_string_value(theirs), n + 1) == 0);
        if (!memchr(text, '\0', n)) {
                json_read_cut(r, NULL, cut, n / 2 + 1);
                must(memcmp(cut, text, strlen(cut)) == 0 && (text[strlen(cut)] & 0xc0) != 0x80);
        }
        json_write_bytes(w, name, text, n);
        free(text);
        free(cut);
}

static void same_value(struct json_reader *r, const json_t *theirs, struct json_writer *w, const char *name)
{
        struct json_reader *sub = malloc(sizeof(*sub));
        size_t n = 0;
        const char *raw = json_read_raw(r, NULL, JSON_REQUIRED, &n);

        must(sub && theirs && raw && n > 0);
        if (json_is_object(theirs)) {
                must(json_read_object(sub, r, NULL, JSON_REQUIRED));
                json_write_open(w, name, '{');
                same_members(sub, theirs, w);
                json_write_close(w, '}');
        } else if (json_is_array(theirs)) {
                must(json_read_list(sub, r, NULL, JSON_REQUIRED, 0, SIZE_MAX));
                json_write_open(w, name, '[');
                same_elements(sub, theirs, w);
                json_write_close(w, ']');
        } else if (json_is_string(theirs)) {
                same_string(r, theirs, w, name);
        } else if (json_is_integer(theirs)) {
                must(json_read_int(r, NULL, INT64_MIN, INT64_MAX) == json_integer_value(theirs));
                json_write_int(w, name, json_integer_value(theirs));
        } else if (json_is_real(theirs)) {
                const double ours = json_read_number(r, NULL, -INFINITY, INFINITY), real = json_real_value(theirs);

                must(memcmp(&ours, &real, sizeof(ours)) == 0);
                json_write_raw(w, name, raw, n);
        } else if (json_is_boolean(theirs)) {
                must(json_read_bool(r, NULL) == json_is_true(theirs));
                json_write_bool(w, name, json_is_true(theirs));
        } else {
                must(json_is_null(theirs) && n == 4 && memcmp(raw, "null", 4) == 0);
                json_write_raw(w, name, raw, n);
        }
        must(json_read_result(r) == 0);
        free(sub);
}

/* Refused for a limit that jansson does not have. */
static bool is_limit(const char *flaw)
{
        return strstr(flaw, "deeply") || strstr(flaw, "many members") || strstr(flaw, "too long");
}

static void check_equal(const char *text, size_t n, enum json_mode mode, const json_t *theirs)
{
        struct json_reader *r = malloc(sizeof(*r));
        struct buffer out = BUFFER(1U << 24);
        struct json_writer w;
        size_t at;

        must(r != NULL);
        json_read_begin(r, text, n, mode, "text", NULL);
        must(json_read_result(r) == 0);
        json_write_begin(&w, &out);
        json_write_open(&w, NULL, '{');
        same_members(r, theirs, &w);
        json_write_close(&w, '}');
        must(json_read_end(r, true) == 0 && json_write_end(&w) == 0);
        must(json_flaw(out.data, out.len, mode == JSON_SECRET, &at) == NULL);
        json_t *again = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        must(json_equal(again, theirs));
        json_decref(again);
        buffer_free(&out);
        free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data + 1, *flaw;
        const enum json_mode mode = n && data[0] == 'N' ? JSON_SECRET : JSON_PLAIN;
        size_t at;
        json_t *theirs;

        if (n < 1)
                return 0;
        n--;
        flaw = json_flaw(text, n, mode == JSON_SECRET, &at);
        must(at <= n);
        theirs = json_loadb(text, n, JSON_REJECT_DUPLICATES | (mode == JSON_SECRET ? JSON_ALLOW_NUL : 0), NULL);
        /* jansson 2.14 overlooks a NUL byte behind a number */
        must(flaw ? !json_is_object(theirs) || is_limit(flaw) || memchr(text, '\0', n) : json_is_object(theirs));
        if (!flaw)
                check_equal(text, n, mode, theirs);
        json_decref(theirs);
        return 0;
}
