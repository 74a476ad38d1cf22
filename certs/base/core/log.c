/*
 * Log lines: an event name and escaped key=value fields, handed to one sink.
 *
 * Invariants: a finished line holds no control character and no byte that a value could use to begin a field
 * of its own; a field stands on the line whole or not at all. The state is per process: program, level, sink,
 * current id. Which journal or file the lines end in is the sink's affair.
 */
#include "base/core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/text.h"

static void sink_stderr(enum log_level level, const char *program, const char *line);

static struct {
        const char *program;
        enum log_level max;
        log_sink_fn *sink;
        bool journal;
        char id[ID_MAX + 1];
} state = {"postern", LOG_LEVEL_INFO, sink_stderr, false, ""};

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

static bool is_plain(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("._:/@+,-", c));
}

/* Characters that a terminal obeys or that reorder text: C0, DEL, C1, line separators, bidirectional
 * controls. */
static bool is_hostile(uint32_t cp)
{
        return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x200E && cp <= 0x200F) ||
               (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x061C || cp == 0xFEFF;
}

/* Puts the n bytes of one character, or of one invalid byte. */
static void put_escaped(struct text *t, const char *s, size_t n, bool hostile)
{
        if (*s == '\n')
                put(t, "\\n", 2);
        else if (*s == '\t')
                put(t, "\\t", 2);
        else if (*s == '"' || *s == '\\')
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

static void put_quoted(struct text *t, const char *s, size_t n)
{
        size_t limit = n > LOG_VALUE_MAX ? LOG_VALUE_MAX : n;
        size_t i = 0;

        put(t, "\"", 1);
        while (i < limit) {
                uint32_t cp = 0;
                size_t len = utf8_next(s + i, n - i, &cp);
                bool hostile = len == 0 || is_hostile(cp);
                if (len == 0)
                        len = 1;
                if (i + len > limit)
                        break;
                put_escaped(t, s + i, len, hostile);
                i += len;
        }
        put_str(t, i < n ? "...\"" : "\"");
}

static void put_string(struct text *t, const char *s)
{
        if (!s) {
                put(t, "-", 1);
                return;
        }
        size_t n = strlen(s);
        bool plain = n > 0 && n <= LOG_VALUE_MAX && strcmp(s, "-") != 0;
        for (size_t i = 0; plain && i < n; i++)
                plain = is_plain(s[i]);
        if (plain)
                put(t, s, n);
        else
                put_quoted(t, s, n);
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
        struct text saved = *t;

        put(t, " ", 1);
        put_str(t, f->key);
        put(t, "=", 1);
        if (f->type == LOG_STR)
                put_string(t, f->str);
        else
                put_number(t, f);
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

static const char *level_word(enum log_level level)
{
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
                if (words[i].level == level)
                        return words[i].word;
        return "error";
}

static void sink_stderr(enum log_level level, const char *program, const char *line)
{
        char out[LOG_LINE_MAX + 128];
        int n = state.journal ? snprintf(out, sizeof out, "<%d>%.64s: %s\n", (int)level, program, line)
                              : snprintf(out, sizeof out, "%.64s: %s %s\n", program, level_word(level), line);

        /* One write, so that lines of several processes do not mix. When it fails there is nowhere left to
         * tell. */
        if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
                return;
}

void log_open(const char *program, enum log_level max, log_sink_fn *sink)
{
        state.program = program;
        state.max = max;
        state.sink = sink ? sink : sink_stderr;
        state.journal = stderr_is_journal();
}

bool log_level_parse(const char *word, enum log_level *ret_level)
{
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
                if (strcmp(words[i].word, word) == 0) {
                        *ret_level = words[i].level;
                        return true;
                }
        return false;
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
        for (; fields->type != LOG_END; fields++) {
                put_field(&t, fields);
                dropped = dropped || t.full;
                t.full = false;
        }
        if (dropped) {
                t.left = sizeof cut;
                put_str(&t, cut);
        }
        *t.at = '\0';
        state.sink(level, state.program, line);
}
