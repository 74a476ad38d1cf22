/*
 * Names as they come out of a text box, before they are taken apart: what both ends agree on (PROTOCOL.md 7.2). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TYPED_FLAW_MAX 80

/* Cuts blanks and invisible characters off both ends (NBSP, a byte order mark, a zero width space and their like), and
 * a dot off the end. What is no UTF-8 stays. */
void typed_trim(const char **text, size_t *n);
/*
 * The first thing in what was typed that can be in no name, between its ends: bytes that are no UTF-8, a control or an
 * invisible character, a blank that is not U+0020. True with a few words for the helpdesk, "U+200B at character 5";
 * else false, and why is "".
 */
bool typed_flaw(const char *text, size_t n, char why[TYPED_FLAW_MAX]);
/* Writes valid UTF-8 in its composed form (NFC, UAX #15) and a NUL to out. -ENAMETOOLONG where that takes cap bytes or
 * more; -ENOMEM. */
int typed_compose(char *out, size_t cap, const char *text, size_t n);
/* Whether it can be the name of a domain in front of a backslash or behind an @: UTF-8 without blanks, control and
 * invisible characters and what separates or quotes names, no dot at its beginning. Configuration, statements and the
 * names that people type have this one alphabet. */
bool typed_domain(const char *text, size_t n);
/* Whether two are the same but for case and composition. */
bool typed_same(const char *a, size_t a_n, const char *b, size_t b_n);
/*
 * Forms to search by, with a NUL; -ENAMETOOLONG where that takes cap bytes or more, -ENOMEM, -EILSEQ where text is no
 * UTF-8. TYPED_CASE: without regard to case and composition. TYPED_LETTERS: nor to accents, so that Müller, Mueller and
 * Muller are one.
 */
enum typed_fold { TYPED_CASE, TYPED_LETTERS };
int typed_fold(char *out, size_t cap, enum typed_fold what, const char *text, size_t n);
