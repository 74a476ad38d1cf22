/*
 * Text forms that every layer needs: base64url, hex, UTF-8, ids, whole-file reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define ID_MAX 64      /* longest id of a sign-in, PROTOCOL.md: [A-Za-z0-9-]{16,64} */
#define ID_SECOND "-2" /* stands behind the id of the first attempt in that of the second */

/* Length of the unpadded base64url form of n bytes. */
#define B64U_LEN(n) (((n) / 3) * 4 + ((n) % 3 ? (n) % 3 + 1 : 0))

/* RFC 4648 section 5, no padding. Appends to out; -EMSGSIZE, -ENOMEM. */
int b64u_encode(struct buffer *out, const void *bytes, size_t n);
/* Writes the text and a NUL into out (B64U_LEN(n) + 1 bytes). */
void b64u_encode_to(char *out, const void *bytes, size_t n);
/*
 * Strict: no padding, white space or other alphabet, and the unused bits of the last character are 0.
 * Appends to out. -EBADMSG on any violation.
 */
int b64u_decode(struct buffer *out, const char *text, size_t n);
/* Decodes exactly n_out bytes; -EBADMSG otherwise. */
int b64u_decode_exact(void *out, size_t n_out, const char *text, size_t n);
/* Whether n characters are all of the alphabet, or this one. */
bool b64u_only(const char *text, size_t n, char also);

/* The value of a hex digit, either case; 16 for any other character. */
unsigned hex_value(char c);
/* Lower-case hex, 2n + 1 bytes. */
void hex_encode_to(char *out, const void *bytes, size_t n);

/* RFC 3629: no overlong forms, surrogates or values over U+10FFFF. */
bool utf8_valid(const char *s, size_t n);
/* Length of the valid character that s begins with (its code point in *ret_cp), or 0 when there is none. */
size_t utf8_next(const char *s, size_t n, uint32_t *ret_cp);
/* Writes the RFC 3629 form of a code point (no surrogate, at most U+10FFFF); returns its length, 1 to 4. */
size_t utf8_put(char out[4], uint32_t cp);
/* Whether a terminal obeys it or it reorders text: C0, DEL, C1, line separators, bidirectional controls. All are below
 * U+10000. */
bool utf8_hostile(uint32_t cp);
/* [A-Za-z0-9-]{16,64} */
bool id_valid(const char *s, size_t n);
/* How much of an id is that of the sign-in's first attempt: all of it, or what is before ID_SECOND at its end. */
size_t id_first(const char *id);
/* A fresh id: "YYYYMMDD-" is not used; 26 characters of Crockford base32 from the system's CSPRNG. out: ID_MAX + 1. */
int id_generate(char *out);
/* Makes such an id, or the beginning of one (ID_BEGINNING_MIN characters at least), of what somebody read out: in lower
 * case, with the letters that it leaves out for being misread. False where what can't be one. out: ID_MAX + 1. */
bool id_heard(const char *what, char *out);
/*
 * An id, or the beginning of one, as a person gives it: without the blanks around it. False where it can't be one.
 * out: ID_MAX + 1.
 */
#define ID_BEGINNING_MIN 4
bool id_given(const char *what, char *out);
/* Whether two ids are of one sign-in, its first attempt or its second. */
bool id_same(const char *a, const char *b);

/* Why a unit of ours cannot see this file, and what to do; NULL: it can. Literal. */
const char *file_hidden_by_unit(const char *path);
/* The same for an error about opening it: "" where this process is in no unit. */
const char *file_hint(const char *path);
/* Reads a whole file or descriptor (at most out->max). err names the file and the remedy. */
int file_read(struct buffer *out, const char *path, struct error *err);
int fd_read_all(struct buffer *out, int fd, struct error *err);
/* Writes all n bytes, however many calls that takes; 0 or -errno, and then some may be written. */
int fd_write_all(int fd, const void *bytes, size_t n);
/* Writes path atomically (temporary file in the same folder, fsync, rename) with the given mode. */
int file_write_atomic(const char *path, const void *bytes, size_t n, unsigned mode, struct error *err);

/* strdup that cannot be forgotten to be checked: 0 or -ENOMEM; frees the old value of *ret_s only on success. */
int text_set(char **ret_s, const char *s);
/* Decimal without sign, blanks or leading '+'; -EINVAL, -ERANGE beyond [min, max]. */
int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value);

/* Which of several words is closest to one that is none of them: `did you mean ...?`. */
#define TEXT_GUESS_MAX 64 /* bytes; longer words are far from everything */
struct text_guess {
        const char *word, *best; /* best: NULL while nothing is close enough */
        size_t distance;
};
#define TEXT_GUESS(word_) ((struct text_guess){(word_), NULL, TEXT_GUESS_MAX})
/* candidate is kept. */
void text_guess_consider(struct text_guess *g, const char *candidate);
