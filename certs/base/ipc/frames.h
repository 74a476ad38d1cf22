/*
 * Tables of frames: who may send which to whom, and what is in each. A channel that has a table (ipc_set_rules) drops
 * what the table does not allow, in both directions: any neighbour may have been taken over, and a frame that is built
 * wrong is found where it is built.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/ipc/ipc.h"

#define FRAME_TAGS_MAX 28 /* of one frame */

enum frame_kind { FIELD_TEXT = 0, FIELD_NUMBER, FIELD_BYTES }; /* UTF-8 without NUL; 8 bytes (msg_u64); any */

struct frame_tag_rule {
        uint8_t tag;
        enum frame_kind kind;
        uint16_t max; /* bytes; 0: as long as the frame allows */
        const char *name, *about;
};

enum frame_fd { FRAME_FD_NONE = 0, FRAME_FD_NEEDED };

struct frame_rule {
        uint8_t type;
        const char *name, *about;
        unsigned from, to; /* sets of parts: bit n is part n */
        enum frame_fd fd;
        uint8_t needs[FRAME_TAGS_MAX], may[FRAME_TAGS_MAX]; /* tags; 0 ends */
};

struct frame_table {
        const struct frame_rule *frames;
        size_t n_frames;
        const struct frame_tag_rule *tags;
        size_t n_tags;
        const char *const *parts; /* their names */
        unsigned n_parts;
};

/* The row of a type, or NULL. */
const struct frame_rule *frame_rule_of(const struct frame_table *t, uint8_t type);
/*
 * Whether this frame may go from one part to another. -EPERM: not between these two, or of no known type; -EBADMSG: a
 * tag is missing, not of this frame, too long or of the wrong kind, or the descriptor is missing or too much. err names
 * it.
 */
int frame_check(const struct frame_table *t, const struct msg_in *m, bool has_fd, unsigned from, unsigned to,
                struct error *err);
/* 0, or -EINVAL with what is wrong in the table itself: a type or tag twice, a tag without a row, nobody to send. */
int frame_table_check(const struct frame_table *t, struct error *err);
/* Appends the table as Markdown. 0 or -errno. */
int frame_table_document(const struct frame_table *t, struct buffer *out);
