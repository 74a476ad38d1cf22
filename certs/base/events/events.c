/*
 * One record as text.
 *
 * Invariants: what is rendered is valid UTF-8 without a control character (but the line feed at the end of JSON); every
 * member stands there whole or not at all; a value is between quotes, in which only its escaped form stands.
 */
#include "base/events/events-internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"

#define FACILITY_AUTHPRIV 10
#define NOTICE 5
/* The enterprise number that RFC 5612 keeps for documents: this project has none of its own. */
#define SD_ID "postern@32473"
#define END_MAX 64 /* what may follow the members: the mark of a cut, the sentence of RFC 5424 is counted by itself */

void events_out_put(struct events_out *t, const char *s, size_t n)
{
        t->full = t->full || n > t->left;
        if (t->full)
                return;
        memcpy(t->at, s, n);
        t->at += n;
        t->left -= n;
}

void events_out_str(struct events_out *t, const char *s)
{
        events_out_put(t, s, strlen(s));
}

/* The escaped form of one character (n bytes at s), or of a byte that is none (n 0); its length. */
static size_t escape(char out[8], enum events_form form, const char *s, size_t n, uint32_t cp)
{
        if (n == 0) {
                memcpy(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
                return 3;
        }
        if (cp == '"' || cp == '\\' || (cp == ']' && form == EVENTS_SYSLOG)) {
                out[0] = '\\';
                out[1] = *s;
                return 2;
        }
        if (utf8_hostile(cp)) {                             /* they are all below U+10000 */
                const size_t slash = form == EVENTS_SYSLOG; /* the backslash is escaped itself */
                out[0] = '\\';
                return slash + (size_t)snprintf(out + slash, 8 - slash, "\\u%04x", (unsigned)cp & 0xFFFF);
        }
        memcpy(out, s, n);
        return n;
}

void events_out_value(struct events_out *t, enum events_form form, const char *s, size_t n)
{
        size_t used = 0;

        events_out_put(t, "\"", 1);
        while (n > 0) {
                char escaped[8];
                uint32_t cp = 0;
                const size_t len = utf8_next(s, n, &cp), takes = len ? len : 1, m = escape(escaped, form, s, len, cp);

                if (used + m > EVENTS_VALUE_MAX) {
                        events_out_str(t, "...");
                        break;
                }
                events_out_put(t, escaped, m);
                used += m;
                s += takes;
                n -= takes;
        }
        events_out_put(t, "\"", 1);
}

/* One member, or nothing where it does not fit. */
static void put_field(struct events_out *t, enum events_form form, const struct events_field *f)
{
        const struct events_out saved = *t;
        char number[32];

        events_out_str(t, form == EVENTS_SYSLOG ? " " : ",\"");
        events_out_str(t, f->key);
        events_out_str(t, form == EVENTS_SYSLOG ? "=" : "\":");
        (void)snprintf(number, sizeof(number), "%lld", (long long)f->number);
        const char *bare = f->type == EVENTS_NUMBER ? number : f->number ? "true" : "false";
        if (f->type == EVENTS_TEXT)
                events_out_value(t, form, f->text, f->n);
        else if (form == EVENTS_SYSLOG)
                events_out_value(t, form, bare, strlen(bare));
        else
                events_out_str(t, bare);
        if (t->full) {
                *t = saved;
                t->full = true;
        }
}

static void put_head(struct events_out *t, enum events_form form, const struct events_origin *o, uint64_t number,
                     const struct events_record *r)
{
        const time_t wall = (time_t)r->wall;
        struct tm tm = {0};
        char line[512], time[32];
        int n;

        (void)gmtime_r(&wall, &tm);
        if (strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                time[0] = '\0';
        if (form == EVENTS_JSON)
                n = snprintf(line, sizeof(line),
                             "{\"v\":1,\"time\":\"%s\",\"host\":\"%.200s\",\"program\":\"%.40s\",\"run\":%lld,"
                             "\"number\":%llu,"
                             "\"kind\":\"%.40s\"",
                             time, o->host, o->program, (long long)o->run, (unsigned long long)number, r->kind);
        else
                n = snprintf(line, sizeof(line),
                             "<%d>1 %s %.200s %.40s %d %.32s [meta sequenceId=\"%llu\"][origin software=\"postern\" "
                             "swVersion=\"%.30s\"][" SD_ID " v=\"1\" run=\"%lld\" number=\"%llu\"",
                             FACILITY_AUTHPRIV * 8 + (r->notice && r->level == LOG_LEVEL_INFO ? NOTICE : (int)r->level),
                             time[0] ? time : "-", o->host[0] ? o->host : "-", o->program, o->pid, r->kind,
                             (unsigned long long)((number - 1) % 2147483647 + 1), o->version, (long long)o->run,
                             (unsigned long long)number);
        events_out_put(t, line, n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

size_t events_render(char *out, enum events_form form, const struct events_origin *origin, uint64_t number,
                     const struct events_record *r)
{
        static const struct events_field cut = {.key = "cut", .type = EVENTS_BOOL, .number = true};
        const size_t end = END_MAX + strlen(r->sentence);
        struct events_out t = {out, EVENTS_LINE_MAX - end, false};
        bool dropped = false;

        put_head(&t, form, origin, number, r);
        for (size_t i = 0; i < r->n; i++) {
                put_field(&t, form, &r->fields[i]);
                dropped = dropped || t.full;
                t.full = false;
        }
        t.left += end;
        if (dropped)
                put_field(&t, form, &cut);
        if (form == EVENTS_SYSLOG) {
                events_out_str(&t, "] ");
                events_out_str(&t, r->sentence);
        } else {
                events_out_str(&t, "}\n");
        }
        return (size_t)(t.at - out);
}

static struct events_field *add(struct events_record *r, const char *key, enum events_type type)
{
        static struct events_field nowhere;
        struct events_field *f = r->n < EVENTS_FIELDS_MAX ? &r->fields[r->n++] : &nowhere;

        *f = (struct events_field){.key = key, .type = type};
        return f;
}

void events_bytes(struct events_record *r, const char *key, const void *text, size_t n)
{
        if (!text || n == 0)
                return;
        struct events_field *f = add(r, key, EVENTS_TEXT);
        f->text = text;
        f->n = n;
}

void events_text(struct events_record *r, const char *key, const char *text)
{
        events_bytes(r, key, text, text ? strlen(text) : 0);
}

void events_number(struct events_record *r, const char *key, int64_t value)
{
        add(r, key, EVENTS_NUMBER)->number = value;
}

void events_bool(struct events_record *r, const char *key, bool value)
{
        add(r, key, EVENTS_BOOL)->number = value;
}
