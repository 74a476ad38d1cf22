/*
 * Where a scribe writes: one file that lines are appended to, or one UNIX datagram socket. Every call may hang as long
 * as the file system or the receiver does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/events/events.h"

#define SINK_LINES_MAX 64
#define SINK_BYTES_MAX (SINK_LINES_MAX * 1024 + EVENTS_LINE_MAX)

struct sink {
        const char *path; /* borrowed */
        bool socket;
        int fd; /* -1: it is not open */
        dev_t dev;
        ino_t ino;     /* of what is open */
        char why[200]; /* what is wrong, or "" */

        /* what is to be written, in order: lens of n_lines behind each other in bytes */
        char bytes[SINK_BYTES_MAX];
        size_t lens[SINK_LINES_MAX];
        size_t n_lines, n_bytes;
        size_t line;      /* the first that is not written whole */
        size_t at, begun; /* where it begins in bytes; how much of it is in the file */
};

void sink_init(struct sink *sink, const char *path, bool socket);
void sink_close(struct sink *sink);
/* Opens it where it is not open, or where another one lies at the path by now. sink->why tells what came of it. */
void sink_look(struct sink *sink);
/* Room for EVENTS_LINE_MAX + 1 bytes of a line; sink_add then says how many it has. NULL: there is none. */
char *sink_room(struct sink *sink);
void sink_add(struct sink *sink, size_t n);
/* Writes what it can. Into word: how many lines are where they belong, how many nobody would take, and why. */
void sink_write(struct sink *sink, struct events_word *word);
