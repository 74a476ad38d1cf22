/*
 * Catalogues of users' sentences: reading one, and filling a sentence in.
 *
 * Invariant: whatever a catalogue holds, which sentence is told is decided by reason_user_text, so no translation can
 * tell more of an account than the table does.
 */
#include "validate/types/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

#define CATALOGUE_MAX (64 * 1024)
#define SENTENCE_MAX 600
#define YOUR_HELPDESK "your helpdesk"

struct words {
        char *text; /* the file; what is below points into it */
        const char *sentences[REASON_MAX];
        const char *helpdesk, *language;
};

/* Sentences that say more here than in the table: with the reference, or with a time. */
static const struct {
        enum reason key;
        const char *text;
} richer[] = {
        {REASON_REVOKED, "You cannot sign in at the moment. Please contact {helpdesk} and tell them the id of this "
                         "sign-in[: {id}]."},
        {REASON_THROTTLED,
         "There were too many failed sign-ins with this name. Please wait [until {until}|some minutes] "
         "before you try again."},
        {REASON_DC_CERTIFICATE,
         "Your sign-in could not be checked; this says nothing about your password. Please contact "
         "{helpdesk} and tell them the id of this sign-in[: {id}]."},
};

enum reason words_key(enum reason reason, bool password_proved)
{
        const char *text = reason_user_text(reason, password_proved);
        unsigned i = 0;

        while (i < REASON_MAX && strcmp(reason_info((enum reason)i)->user_text, text) != 0)
                i++;
        return i < REASON_MAX ? (enum reason)i : reason;
}

int words_english(enum reason key, struct buffer *out)
{
        const char *text = reason_user_text(key, true), *at;
        int r = 0;

        if (words_key(key, true) != key)
                return -ENOENT;
        for (size_t i = 0; i < sizeof(richer) / sizeof(richer[0]); i++)
                if (richer[i].key == key)
                        return buffer_append_str(out, richer[i].text);
        for (; r == 0 && (at = strstr(text, YOUR_HELPDESK)); text = at + strlen(YOUR_HELPDESK)) {
                r = buffer_append(out, text, (size_t)(at - text));
                r = r ? r : buffer_append_str(out, "{helpdesk}");
        }
        return r ? r : buffer_append_str(out, text);
}

/* ---- filling in ---- */

struct filling {
        const struct words_facts *facts;
        const char *helpdesk;
        char until[16];
};

/* The value of a placeholder of n bytes; "" where it is not known, NULL where there is none of that name. */
static const char *value_of(const struct filling *f, const char *name, size_t n)
{
        if (n == 8 && memcmp(name, "helpdesk", n) == 0)
                return f->helpdesk;
        if (n == 2 && memcmp(name, "id", n) == 0)
                return f->facts->id ? f->facts->id : "";
        return n == 5 && memcmp(name, "until", n) == 0 ? f->until : NULL;
}

/* Appends n bytes of a sentence with their placeholders. 1: one of them is not known (some may have been appended);
 * -EBADMSG: there is none of that name; -errno. */
static int fill_plain(const struct filling *f, const char *text, size_t n, struct buffer *out)
{
        int r = 0, unknown = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                const char *end = text[i] == '{' ? memchr(text + i, '}', n - i) : NULL;
                if (!end) {
                        r = buffer_append_char(out, text[i]);
                        continue;
                }
                const char *value = value_of(f, text + i + 1, (size_t)(end - text - (ptrdiff_t)i) - 1);
                if (!value)
                        return -EBADMSG;
                unknown |= !value[0];
                r = buffer_append_str(out, value);
                i = (size_t)(end - text);
        }
        return r < 0 ? r : unknown;
}

/* [A|B] */
static int fill_choice(const struct filling *f, const char *text, size_t n, struct buffer *out)
{
        const char *bar = memchr(text, '|', n);
        const size_t first = bar ? (size_t)(bar - text) : n, before = out->len;
        int r = fill_plain(f, text, first, out);

        if (r <= 0)
                return r;
        out->len = before;
        if (out->data)
                out->data[before] = '\0';
        return bar ? fill_plain(f, bar + 1, n - first - 1, out) : 0;
}

static int fill(const struct filling *f, const char *text, struct buffer *out)
{
        int r = 0;

        while (r >= 0 && *text) {
                const size_t plain = strcspn(text, "[");
                r = fill_plain(f, text, plain, out);
                text += plain;
                const char *end = *text ? strchr(text, ']') : NULL;
                if (*text && !end)
                        return -EBADMSG;
                if (r >= 0 && end) {
                        r = fill_choice(f, text + 1, (size_t)(end - text) - 1, out);
                        text = end + 1;
                }
        }
        return r < 0 ? r : 0;
}

int words_user(const struct words *words, enum reason reason, bool password_proved, const struct words_facts *facts,
               struct buffer *out)
{
        const enum reason key = words_key(reason, password_proved);
        _cleanup_(buffer_free) struct buffer english = BUFFER(4 * SENTENCE_MAX);
        const char *text = words ? words->sentences[key] : NULL;
        struct filling f = {.facts = facts, .helpdesk = YOUR_HELPDESK, .until = ""};
        const time_t until = (time_t)facts->until;
        struct tm tm;
        int r = text ? 0 : words_english(key, &english);

        if (r < 0)
                return r;
        if (words && words->helpdesk)
                f.helpdesk = words->helpdesk;
        if (facts->helpdesk && facts->helpdesk[0])
                f.helpdesk = facts->helpdesk;
        if (until && localtime_r(&until, &tm))
                (void)strftime(f.until, sizeof(f.until), "%H:%M", &tm);
        return fill(&f, text ? text : english.data, out);
}

/* ---- reading ---- */

static char *trimmed(char *text)
{
        size_t n;

        text += strspn(text, " \t");
        n = strlen(text);
        while (n && strchr(" \t\r", text[n - 1]))
                text[--n] = '\0';
        return text;
}

static int take_line(struct words *w, char *line, struct error *err)
{
        static const struct words_facts none = {.until = 0};
        const struct filling any = {.facts = &none, .helpdesk = "x", .until = "x"};
        _cleanup_(buffer_free) struct buffer out = BUFFER(4 * SENTENCE_MAX);
        char *equals = strchr(line, '='), *key = trimmed(line);

        if (!*key || *key == '#')
                return 0;
        if (!equals)
                return error_fail(err, -EBADMSG, "a line is KEY = SENTENCE");
        *equals = '\0';
        key = trimmed(key);
        const char *text = trimmed(equals + 1);
        if (!*text || strlen(text) > SENTENCE_MAX)
                return error_fail(err, -EBADMSG, "%.64s: a sentence has 1 to %d bytes", key, SENTENCE_MAX);
        if (strcmp(key, "helpdesk") == 0 || strcmp(key, "language") == 0) {
                *(key[0] == 'h' ? &w->helpdesk : &w->language) = text;
                return 0;
        }
        const enum reason reason = reason_from_id(key);
        if (reason == REASON_MAX || words_key(reason, true) != reason)
                return error_fail(err, -EBADMSG, "%.64s: there is no such sentence%s%s", key,
                                  reason == REASON_MAX ? "" : "; it is told under ",
                                  reason == REASON_MAX ? "" : reason_info(words_key(reason, true))->id);
        if (fill(&any, text, &out) < 0)
                return error_fail(err, -EBADMSG, "%.64s: only {helpdesk}, {id}, {until} and [A|B] stand for something",
                                  key);
        w->sentences[reason] = text;
        return 0;
}

int words_load(struct words **ret_words, const char *path, struct error *err)
{
        _cleanup_(buffer_free) struct buffer file = BUFFER(CATALOGUE_MAX);
        int r = file_read(&file, path, err);

        if (r < 0)
                return r;
        if (!file.len || !utf8_valid(file.data, file.len) || memchr(file.data, '\0', file.len))
                return error_fail(err, -EBADMSG, "%s: it is empty, or not UTF-8", path);
        struct words *w = calloc(1, sizeof(*w));
        if (!w)
                return error_fail(err, -ENOMEM, "out of memory");
        w->text = buffer_steal(&file);
        char *line = w->text;
        for (size_t number = 1; r == 0 && line; number++) {
                char *end = strchr(line, '\n');
                if (end)
                        *end = '\0';
                r = take_line(w, line, err);
                if (r < 0)
                        r = error_prefix(err, r, "%s:%zu", path, number);
                line = end ? end + 1 : NULL;
        }
        if (r < 0)
                words_free(w);
        else
                *ret_words = w;
        return r;
}

struct words *words_free(struct words *words)
{
        if (words) {
                free(words->text);
                free(words);
        }
        return NULL;
}

const char *words_language(const struct words *words)
{
        return words && words->language ? words->language : "en";
}
