/*
 * Logging: a literal event name and typed key=value fields.
 *
 * String values are escaped and cut (LOG_VALUE_MAX bytes), so nothing a peer sends can forge a line. The id of
 * the sign-in whose callback is running (loop.h sets it) is added as id=. Never pass a credential.
 * The sink is a function: stderr by default. The journal's sink lives in connector/ and is not linked into
 * the validator.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

#define LOG_VALUE_MAX 512
#define LOG_LINE_MAX 4096

enum log_type { LOG_END = 0, LOG_STR, LOG_INT, LOG_UINT };

struct log_field {
        const char *key; /* literal, [a-z_] */
        enum log_type type;
        const char *str; /* NULL is shown as - */
        int64_t num;
};

/* One finished line without level prefix or newline: `event key=value key="val ue"`. */
typedef void log_sink_fn(enum log_level level, const char *program, const char *line);

/* Sets the program name (literal) shown on each line, the least severe level that is kept, and the sink
 * (NULL: stderr, "<level>program: line" when stderr is the journal, else "program: level line"). */
void log_open(const char *program, enum log_level max, log_sink_fn *sink);
/*
 * From now on, where stderr is the journal, lines go there by its own protocol: each field is one of the entry, too
 * (POSTERN_KEY), and all of an event have one MESSAGE_ID (the catalog of messages is by it). Keeps a datagram socket
 * open, so a process that is confined afterwards needs CONFINE_DATAGRAM. socket: NULL, or where a test listens.
 */
void log_native(const char *socket);
#define LOG_MESSAGE_ID 33
/* The MESSAGE_ID of an event's entries; "" where it cannot be computed. */
void log_message_id(const char *event, char ret_id[LOG_MESSAGE_ID]);
/* The id shown on following lines; loop.h calls it around callbacks. NULL or "" for none. Copied. */
void log_set_id(const char *id);
const char *log_get_id(void);

void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define KV_S(k, v)                                                                                                     \
        {                                                                                                              \
                (k), LOG_STR, (v), 0                                                                                   \
        }
#define KV_I(k, v)                                                                                                     \
        {                                                                                                              \
                (k), LOG_INT, 0, (int64_t)(v)                                                                          \
        }
#define KV_U(k, v)                                                                                                     \
        {                                                                                                              \
                (k), LOG_UINT, 0, (int64_t)(v)                                                                         \
        }

/* log_info("event", KV_S("key", value), ...): the event is a literal. */
#define log_at(level, ...) log_fields_((level), __VA_ARGS__, {0, LOG_END, 0, 0})
#define log_fields_(level, event, ...) log_write((level), "" event, (const struct log_field[]){__VA_ARGS__})
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
