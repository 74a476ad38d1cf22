/*
 * Internal to queue: a writer that puts JSON straight into a buffer, and a reader that accounts for every
 * member.
 *
 * Both remember the first failure, so that a codec reads as the list of its members; the result is asked for
 * at the end.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/error.h"
#include "base/ipc/loop.h"

/* ---- writer ---- */
struct json_writer {
        struct buffer *out;
        size_t start; /* out->len when it began: a failure cuts back to here */
        bool comma;
        int r;
};

void json_write_begin(struct json_writer *w, struct buffer *out);
/* key NULL: an element of an array. bracket is one of { } [ ]. */
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
/* 0, or the first failure with out as it was at the beginning (the tail wiped where out is secret). */
int json_write_end(struct json_writer *w);

/* ---- reader ---- */
#define JSON_READER_MEMBERS_MAX 24
struct json_reader {
        json_t *object;
        const char *what; /* "request", for the error text */
        bool secret;      /* never quote anything of the input */
        struct error *err;
        size_t n_seen;
        const char *seen[JSON_READER_MEMBERS_MAX];
        int r;
};

enum json_need { JSON_OPTIONAL = 0, JSON_REQUIRED };

/* object may be NULL or of another type: that is the reader's first failure. */
void json_read_begin(struct json_reader *r, json_t *object, const char *what, struct error *err);
/* A reader of a member object that shares what, secret and err. */
void json_read_sub(struct json_reader *r, const struct json_reader *parent, json_t *object);
/* Records -EBADMSG with "what: member key <why>"; keeps the first. */
void json_read_fail(struct json_reader *r, const char *key, const char *why);
/* Records -ENOMEM; keeps the first failure. */
void json_read_no_memory(struct json_reader *r);
/* The member, marked as known; NULL where absent (a failure when required). */
json_t *json_read_member(struct json_reader *r, const char *key, enum json_need need);
/* Copies a string without NUL of at most cap - 1 bytes; "" where absent. An empty string is a failure when
 * required. */
void json_read_str(struct json_reader *r, const char *key, enum json_need need, char *out, size_t cap);
/* The same, but cut at a character where it is longer. */
void json_read_cut(struct json_reader *r, const char *key, char *out, size_t cap);
/* An id as id_valid; out holds ID_MAX + 1. */
void json_read_id(struct json_reader *r, const char *key, char *out);
/* A tenant's name; out holds TENANT_MAX + 1. */
void json_read_tenant(struct json_reader *r, const char *key, char *out);
/* Unpadded base64url of exactly n bytes, kept as text; out holds B64U_LEN(n) + 1. n <= 64. */
void json_read_b64u(struct json_reader *r, const char *key, size_t n, char *out);
/* An integer (no fraction) in [min, max]. */
int64_t json_read_int(struct json_reader *r, const char *key, int64_t min, int64_t max);
bool json_read_bool(struct json_reader *r, const char *key);
/* One of the NULL-terminated words (literals); NULL on failure. */
const char *json_read_word(struct json_reader *r, const char *key, const char *const *words);
/* An array of at most max ids, into a new one; NULL where it is absent or empty. */
void json_read_ids(struct json_reader *r, const char *key, size_t max, char (**ret_ids)[ID_MAX + 1], size_t *ret_n);
/* The first failure; with strict also "has an unknown member". */
int json_read_end(struct json_reader *r, bool strict);

#define JSON_TIME_MAX INT64_C(253402300799)    /* the last second of the year 9999 */
#define JSON_SEQ_MAX INT64_C(9007199254740991) /* 2^53 - 1 */
