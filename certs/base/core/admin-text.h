/*
 * Text that people write and mail: the one reader of configuration, secrets, tokens, PINs and CA files.
 *
 * A byte order mark at the beginning and CR LF are taken, as editors leave them. What else no editor shows is
 * refused with FILE:LINE: another encoding, NUL bytes, control and invisible characters. Nothing is taken in
 * part. No error text repeats what a file holds. Where a name is NULL, the text says the line alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

/* Says "NAME:LINE: why". Returns code. */
int admin_text_fail(struct error *err, int code, const char *name, unsigned line, const char *why);
/* Drops a byte order mark and the CR of each CR LF, in place. -EBADMSG for NUL bytes and UTF-16, with the line. */
int admin_text_plain(struct buffer *text, const char *name, struct error *err);
/* Reads the file and makes it plain. -errno as file_read, -EBADMSG. */
int admin_text_read(struct buffer *out, const char *path, struct error *err);
/* Why such a line may not stand in a plain file: it isn't UTF-8, or holds a control or an invisible character; NULL:
 * it may. */
const char *admin_line_fault(const char *line, size_t n);
/* The same for a line that nobody interprets: NUL bytes and what isn't UTF-8. */
const char *admin_comment_fault(const char *line, size_t n);

/*
 * Whether a line of an INI file (without its end) opens a section: 1 with the name, trimmed, in out; 0: another kind
 * of line; -EBADMSG: it begins like one, and *ret_why says what is wrong.
 */
int admin_section(char *out, size_t cap, const char *line, size_t n, const char **ret_why);

/*
 * The secret that a file holds alone on its one line. text: the file's *n bytes, with room for one more; becomes the
 * secret with a NUL behind it. 1 when there is none (*n is 0); -EBADMSG: anything else than one line without blanks
 * at its ends.
 */
int admin_secret(char *text, size_t *n, const char *name, struct error *err);
