/*
 * Records for whoever gathers logs (a SIEM): as a line of JSON, or as a message of RFC 5424 with the same members as
 * structured data; and the ways out of the process that carry them.
 *
 * A record is a kind, a time and members. What others wrote can be in members' values only, and no value can forge a
 * line, a member or an end: characters that end lines, that terminals obey or that reorder text are escaped, bytes that
 * are no UTF-8 replaced. What a record holds is its owner's to document; postern-events(7) is about the ledger's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/log.h"
#include "base/ipc/loop.h"

#define EVENTS_LINE_MAX 8000  /* what rsyslog takes by default, and a little less */
#define EVENTS_VALUE_MAX 1024 /* of a value, once escaped; what is longer ends in "..." */
#define EVENTS_FIELDS_MAX 48

enum events_type { EVENTS_TEXT = 0, EVENTS_NUMBER, EVENTS_BOOL };

struct events_field {
        const char *key; /* literal, [a-z_]{1,32} */
        enum events_type type;
        const char *text; /* borrowed, n bytes of anything */
        size_t n;
        int64_t number;
};

struct events_record {
        int64_t wall;         /* s since the epoch: when what it tells of was */
        const char *kind;     /* literal, [a-z_] */
        const char *sentence; /* literal: what it is in words, ASCII, nothing of anybody's in it */
        enum log_level level;
        bool notice; /* with LOG_LEVEL_INFO: it is worth a look */
        size_t n;
        struct events_field fields[EVENTS_FIELDS_MAX];
};

/* Appends a member; without a word past EVENTS_FIELDS_MAX. A text that is NULL or empty is left out. */
void events_text(struct events_record *r, const char *key, const char *text);
void events_bytes(struct events_record *r, const char *key, const void *text, size_t n);
void events_number(struct events_record *r, const char *key, int64_t value);
void events_bool(struct events_record *r, const char *key, bool value);

/* Who writes; all borrowed, of characters that need no escape. */
struct events_origin {
        const char *host, *program, *version;
        int64_t run; /* when this run began, s since the epoch: numbers begin anew with it */
        int pid;
};

enum events_form {
        EVENTS_JSON = 0, /* with a line feed behind it */
        EVENTS_SYSLOG,   /* RFC 5424, facility authpriv, no end: a datagram has its own */
};

/* The text of a record into out (EVENTS_LINE_MAX bytes), its length; no NUL behind it. number: its place in the run.
 * Members that do not fit are left out whole, and the member "cut" says so. */
size_t events_render(char *out, enum events_form form, const struct events_origin *origin, uint64_t number,
                     const struct events_record *r);

/* ---- ways out ---- */

/*
 * The queue of records on their way to a scribe (base/scribe/scribe.h): a process that may hang with a disk, which its
 * writer must not. Each record is a packet on a SOCK_SEQPACKET pair; a word comes back when they are where they belong.
 * What cannot go out waits, within EVENTS_WAITING_MAX bytes; then the oldest goes, and as soon as there is a way again
 * a record of kind `gap` says how many are missing. Nothing here blocks.
 */
#define EVENTS_WAITING_MAX (4 * 1024 * 1024)
#define EVENTS_FLIGHT_MAX 128  /* that a scribe has and has said nothing of */
#define EVENTS_SILENCE_MS 5000 /* of a scribe that has some: it hangs */

/* What a scribe says. */
struct events_word {
        uint32_t done, refused; /* of the oldest that it has: written, and such as nobody would ever take */
        char why[200];          /* what is wrong now, or "" */
};

struct events_outlet;

struct events_outlet_config {
        struct loop *loop;
        enum events_form form;
        const struct events_origin *origin;
        bool foreign; /* its lines are no records: none of a gap is put among them */
};

/* 0 or -ENOMEM. Begins without a scribe: records wait for one. */
int events_outlet_new(struct events_outlet **ret_outlet, const struct events_outlet_config *config);
/* Brings out what waits, as far as that goes in half a second. */
struct events_outlet *events_outlet_free(struct events_outlet *outlet);
/* Takes over fd, the writer's end of a pair with a scribe, in the place of the one before. Of what that one had, it
 * gets all that was not said to be done: a line may come twice. */
void events_outlet_open(struct events_outlet *outlet, int fd);
/* Renders and queues it; it is on its way within a tenth of a second. */
void events_outlet_put(struct events_outlet *outlet, const struct events_record *record);
/* The same with a line that is made already (without a number and a gap's record, if it is lost). */
void events_outlet_line(struct events_outlet *outlet, const char *line, size_t n);

struct events_state {
        bool open;                /* there is a scribe, and nothing is wrong with it */
        uint64_t sent, lost;      /* records, since the start */
        size_t waiting;           /* records, those that a scribe has and has not written among them */
        int64_t since, lost_last; /* wall: since when it is as it is; when one was lost last, or 0 */
        const char *why;          /* what is wrong, or "" */
};
void events_outlet_state(const struct events_outlet *outlet, struct events_state *ret_state);
