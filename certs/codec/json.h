/*
 * JSON (RFC 8259) without trees: a strict check of a text, a reader over what passed it, and a writer into a buffer.
 *
 * The reader looks at the text where it lies and copies only what it is asked for, so that nothing of it lives in
 * memory that nobody wipes. Reader and writer remember the first failure: a codec reads as the list of its members
 * and asks for the result at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define JSON_DEPTH_MAX 16   /* objects and arrays within each other */
#define JSON_MEMBERS_MAX 64 /* of one object */

/* ---- check ---- */

/*
 * Whether n bytes are exactly one JSON object: UTF-8, no member twice in any object (two spellings of a name are one
 * name), within the limits above, integers within int64_t, no NUL in strings unless nul_ok (never in a name). NULL if
 * so, else what is wrong (literal) and in *ret_at at which byte.
 */
const char *json_flaw(const char *text, size_t n, bool nul_ok, size_t *ret_at);

/* ---- reader ---- */

enum json_need { JSON_OPTIONAL = 0, JSON_REQUIRED };

enum json_mode {
        JSON_PLAIN = 0,
        JSON_SECRET, /* strings may hold NUL, and no error text quotes anything of the input or says where it is */
};

struct json_slot {
        const char *name, *value, *end; /* behind the name's quote; the value, and behind it */
        size_t name_len;                /* as it is spelt */
        bool asked;
};

/* Of an object, or of an array whose elements are read one after the other. It points into the text. */
struct json_reader {
        struct json_reader *top; /* the one of the whole text */
        const struct json_reader *parent;
        const char *key; /* its name in the parent; NULL: the parent's element */
        size_t key_at;   /* then which */
        size_t n, at;    /* members or elements; the one that json_read_next went to, from 1 on */
        bool list;
        struct json_slot current; /* the element, or the member that json_read_next went to */
        /* only the top's count */
        const char *what, *end;
        enum json_mode mode;
        struct error *err;
        int r;
        struct json_slot slots[JSON_MEMBERS_MAX]; /* of an object */
};

/* Checks the text. A failure ("what: is not a JSON object: ...", -EBADMSG) is the reader's first. */
void json_read_begin(struct json_reader *r, const char *text, size_t n, enum json_mode mode, const char *what,
                     struct error *err);
/* 0, or the first failure of this reader, those above and those below it. */
int json_read_result(const struct json_reader *r);
/* The same; closed: a member that nobody asked for is a failure. */
int json_read_end(struct json_reader *r, bool closed);
/* Records -EBADMSG with "what: member key why"; keeps the first. */
void json_read_fail(struct json_reader *r, const char *key, const char *why);
/* Records -ENOMEM; keeps the first failure. */
void json_read_no_memory(struct json_reader *r);

/* Every required member is there, perhaps those of optional (NULL-terminated lists; NULL: none), and no other. */
void json_read_members(struct json_reader *r, const char *const *required, const char *const *optional);

/* In all below, key NULL means the element or member that json_read_next went to. */
bool json_read_has(const struct json_reader *r, const char *key);
/* The value's first character, which tells its type; 0 where it is absent, or after a failure. */
char json_read_kind(struct json_reader *r, const char *key);
/* A reader of a member object; false where there is none. It needs no end unless it is closed. */
bool json_read_object(struct json_reader *sub, struct json_reader *r, const char *key, enum json_need need);
/* A reader of a member array of min to max elements; false where there is none. sub->n says how many. */
bool json_read_list(struct json_reader *sub, struct json_reader *r, const char *key, enum json_need need, size_t min,
                    size_t max);
/* Goes to the next element of an array or member of an object; false at the end and after a failure. */
bool json_read_next(struct json_reader *r);
/* The name of the member that json_read_next went to. A failure where it is empty or has more than cap - 1 bytes. */
void json_read_name(struct json_reader *r, char *out, size_t cap);

/* A string of at most cap - 1 bytes without NUL; "" where absent. An empty one is a failure when required. */
void json_read_str(struct json_reader *r, const char *key, enum json_need need, char *out, size_t cap);
/* The same, optional, and cut at a character where it is longer. */
void json_read_cut(struct json_reader *r, const char *key, char *out, size_t cap);
/* The same into memory of its own; *ret_text stays where it is absent. */
void json_read_text(struct json_reader *r, const char *key, enum json_need need, size_t max, char **ret_text);
/* How many bytes a string has that must be there; it is copied, with a NUL behind, where they are fewer than cap. */
size_t json_read_bytes(struct json_reader *r, const char *key, char *out, size_t cap);
/* Unpadded base64url of exactly n bytes. */
void json_read_b64u(struct json_reader *r, const char *key, void *out, size_t n);
/* The same as text: out has room for B64U_LEN(n) + 1. */
void json_read_b64u_text(struct json_reader *r, const char *key, char *out, size_t n);
/* The string word, and no other. */
void json_read_is(struct json_reader *r, const char *key, const char *word);
/* One of the NULL-terminated words (literals); NULL on failure. */
const char *json_read_word(struct json_reader *r, const char *key, const char *const *words);
/* An integer (no fraction, no exponent) in [min, max]; 0 on failure. */
int64_t json_read_int(struct json_reader *r, const char *key, int64_t min, int64_t max);
/* Any number in [min, max]. */
double json_read_number(struct json_reader *r, const char *key, double min, double max);
bool json_read_bool(struct json_reader *r, const char *key);
/* The value as it is spelt, borrowed from the text; NULL where absent. */
const char *json_read_raw(struct json_reader *r, const char *key, enum json_need need, size_t *ret_n);

/* ---- writer ---- */

struct json_writer {
        struct buffer *out;
        size_t start; /* out->len when it began: a failure cuts back to here */
        bool comma;
        int r;
};

void json_write_begin(struct json_writer *w, struct buffer *out);
/* key NULL: an element of an array, or the outermost value. bracket is one of { } [ ]. */
void json_write_open(struct json_writer *w, const char *key, char bracket);
void json_write_close(struct json_writer *w, char bracket);
/* n bytes of UTF-8, else -EINVAL. */
void json_write_bytes(struct json_writer *w, const char *key, const char *s, size_t n);
void json_write_str(struct json_writer *w, const char *key, const char *s);
/* The same, left out where s is "" or NULL. */
void json_write_opt(struct json_writer *w, const char *key, const char *s);
void json_write_int(struct json_writer *w, const char *key, int64_t value);
void json_write_bool(struct json_writer *w, const char *key, bool value);
/* Three decimals. */
void json_write_fraction(struct json_writer *w, const char *key, double value);
/* An array of n strings. */
void json_write_strings(struct json_writer *w, const char *key, char *const *strings, size_t n);
/* The array of a text's lines; left out where there are none. */
void json_write_lines(struct json_writer *w, const char *key, const char *lines);
/* n bytes that are JSON already. */
void json_write_raw(struct json_writer *w, const char *key, const char *json, size_t n);
/* 0, or the first failure with out as it was at the beginning (the tail wiped). */
int json_write_end(struct json_writer *w);
