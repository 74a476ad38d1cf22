/*
 * Log lines: an event name and escaped key=value fields, handed to one sink.
 *
 * Invariants: a finished line holds no control character and no byte that a value could use to begin a field
 * of its own; a field stands on the line whole or not at all. The state is per process: program, level, sink,
 * current id. Which journal or file the lines end in is the sink's affair.
 */
#include "base/core/log.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/text.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define ENTRY_MAX (3 * LOG_LINE_MAX)

static void sink_stderr(enum log_level level, const char *program, const char *line);

static struct {
        const char *program;
        enum log_level max;
        log_sink_fn *sink;
        bool journal;
        int native; /* a socket to it, or -1 */
        char id[ID_MAX + 1];
} state = {"postern", LOG_LEVEL_INFO, sink_stderr, false, -1, ""};

static const struct {
        const char *word;
        enum log_level level;
} words[] = {
        {"error", LOG_LEVEL_ERROR},
        {"warning", LOG_LEVEL_WARNING},
        {"info", LOG_LEVEL_INFO},
        {"debug", LOG_LEVEL_DEBUG},
};

/* A piece of the line under construction; full is set once something did not fit. */
struct text {
        char *at;
        size_t left;
        bool full;
};

static void put(struct text *t, const char *s, size_t n)
{
        if (t->full || n > t->left) {
                t->full = true;
                return;
        }
        memcpy(t->at, s, n);
        t->at += n;
        t->left -= n;
}

static void put_str(struct text *t, const char *s)
{
        put(t, s, strlen(s));
}

/* Puts the n bytes of one character, or of one invalid byte. quoted: between quotes. */
static void put_escaped(struct text *t, const char *s, size_t n, bool hostile, bool quoted)
{
        if (*s == '\n')
                put(t, "\\n", 2);
        else if (*s == '\t')
                put(t, "\\t", 2);
        else if (quoted && (*s == '"' || *s == '\\'))
                put(t, (const char[]){'\\', *s}, 2);
        else if (!hostile)
                put(t, s, n);
        else
                for (size_t i = 0; i < n; i++) {
                        char hex[5] = "\\x";
                        hex_encode_to(hex + 2, s + i, 1);
                        put(t, hex, 4);
                }
}

static void put_value(struct text *t, const char *s, size_t n, bool quoted)
{
        size_t limit = n > LOG_VALUE_MAX ? LOG_VALUE_MAX : n;
        size_t i = 0;

        if (quoted)
                put(t, "\"", 1);
        while (i < limit) {
                uint32_t cp = 0;
                size_t len = utf8_next(s + i, n - i, &cp);
                bool hostile = len == 0 || utf8_hostile(cp);
                if (len == 0)
                        len = 1;
                if (i + len > limit)
                        break;
                put_escaped(t, s + i, len, hostile, quoted);
                i += len;
        }
        put_str(t, i < n ? "..." : "");
        put_str(t, quoted ? "\"" : "");
}

static void put_number(struct text *t, const struct log_field *f)
{
        char digits[24];
        int n = f->type == LOG_INT ? snprintf(digits, sizeof digits, "%lld", (long long)f->num)
                                   : snprintf(digits, sizeof digits, "%llu", (unsigned long long)f->num);

        put(t, digits, (size_t)n);
}

/* Puts " key=value", or nothing where it does not fit. */
static void put_field(struct text *t, const struct log_field *f)
{
        const struct text saved = *t;
        const char *s = f->type == LOG_STR ? f->str : NULL;
        const size_t n = s ? strlen(s) : 0;
        bool plain = n > 0 && n <= LOG_VALUE_MAX && strcmp(s, "-") != 0; /* a text that needs no quotes */

        for (size_t i = 0; plain && i < n; i++)
                plain = (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
                        (s[i] != '\0' && strchr("._:/@+,-", s[i]));
        put(t, " ", 1);
        put_str(t, f->key);
        put(t, "=", 1);
        if (f->type != LOG_STR)
                put_number(t, f);
        else if (!s)
                put(t, "-", 1);
        else if (plain)
                put(t, s, n);
        else
                put_value(t, s, n, true);
        if (t->full) {
                *t = saved;
                t->full = true;
        }
}

/* The journal tells a unit by JOURNAL_STREAM which descriptor it reads. */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

static void sink_stderr(enum log_level level, const char *program, const char *line)
{
        char out[LOG_LINE_MAX + 128];
        size_t i = 0;

        while (i + 1 < sizeof words / sizeof *words && words[i].level != level)
                i++;
        int n = state.journal ? snprintf(out, sizeof out, "<%d>%.64s: %s\n", (int)level, program, line)
                              : snprintf(out, sizeof out, "%.64s: %s %s\n", program, words[i].word, line);

        /* One write, so that lines of several processes do not mix. When it fails there is nowhere left to
         * tell. */
        if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
                return;
}

/* ---- the journal's own protocol: a datagram of lines KEY=value ---- */

void log_native(const char *socket_path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *path = socket_path ? socket_path : JOURNAL_SOCKET;

        if ((!socket_path && !stderr_is_journal()) || strlen(path) >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, strlen(path) + 1);
        const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
                state.native = fd;
        else if (fd >= 0)
                (void)close(fd);
}

void log_message_id(const char *event, char ret_id[LOG_MESSAGE_ID])
{
        unsigned char hash[EVP_MAX_MD_SIZE];
        char text[128];
        unsigned n = 0;
        const int len = snprintf(text, sizeof(text), "Postern %s", event);

        ret_id[0] = '\0';
        if (len < 0 || (size_t)len >= sizeof(text) ||
            EVP_Digest(text, (size_t)len, hash, &n, EVP_sha256(), NULL) != 1 || n < 16)
                return;
        hash[6] = (hash[6] & 0x0F) | 0x80; /* a UUID of version 8 (RFC 9562) */
        hash[8] = (hash[8] & 0x3F) | 0x80;
        hex_encode_to(ret_id, hash, 16);
}

static void put_line(struct text *t, const char *key, const char *value)
{
        put_str(t, key);
        put(t, "=", 1);
        put_value(t, value, strlen(value), false);
        put(t, "\n", 1);
}

/* False: it did not go out. */
static bool send_entry(enum log_level level, const char *event, const struct log_field *fields, const char *line)
{
        char entry[ENTRY_MAX], id[LOG_MESSAGE_ID] = "", head[LOG_LINE_MAX + 256];
        struct text t = {entry, sizeof entry, false};
        const int n = snprintf(head, sizeof head, "MESSAGE=%.64s: %s\nPRIORITY=%d\n", state.program, line, (int)level);

        if (n < 0 || (size_t)n >= sizeof head)
                return false;
        put(&t, head, (size_t)n);
        put_line(&t, "SYSLOG_IDENTIFIER", program_invocation_short_name);
        put_line(&t, "POSTERN_EVENT", event);
        if (level != LOG_LEVEL_DEBUG)
                log_message_id(event, id);
        if (id[0])
                put_line(&t, "MESSAGE_ID", id);
        if (state.id[0])
                put_line(&t, "POSTERN_SIGN_IN", state.id);
        for (; fields->type != LOG_END && !t.full; fields++) {
                const struct text saved = t;

                put_str(&t, "POSTERN_");
                for (const char *c = fields->key; *c; c++)
                        put(&t, (const char[]){(char)toupper((unsigned char)*c)}, 1);
                put(&t, "=", 1);
                if (fields->type == LOG_STR)
                        put_value(&t, fields->str ? fields->str : "", fields->str ? strlen(fields->str) : 0, false);
                else
                        put_number(&t, fields);
                put(&t, "\n", 1);
                if (t.full)
                        t = saved;
        }
        return send(state.native, entry, (size_t)(t.at - entry), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void log_open(const char *program, enum log_level max, log_sink_fn *sink)
{
        state.program = program;
        state.max = max;
        state.sink = sink ? sink : sink_stderr;
        state.journal = stderr_is_journal();
}

void log_set_id(const char *id)
{
        size_t n = id ? strnlen(id, ID_MAX) : 0;

        if (n > 0)
                memmove(state.id, id, n);
        state.id[n] = '\0';
}

const char *log_get_id(void)
{
        return state.id;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
        static const char cut[] = " cut=1";
        char line[LOG_LINE_MAX];
        struct text t = {line, sizeof line - sizeof cut, false};
        bool dropped = false;

        if (level > state.max)
                return;
        put_str(&t, event);
        if (state.id[0] != '\0')
                put_field(&t, &(struct log_field){"id", LOG_STR, state.id, 0});
        for (const struct log_field *f = fields; f->type != LOG_END; f++) {
                put_field(&t, f);
                dropped = dropped || t.full;
                t.full = false;
        }
        if (dropped) {
                t.left = sizeof cut;
                put_str(&t, cut);
        }
        *t.at = '\0';
        if (state.native < 0 || state.sink != sink_stderr || !send_entry(level, event, fields, line))
                state.sink(level, state.program, line);
}
