/*
 * Reading answers. Everything is read anew from the beginning as bytes come: an answer comes in a few pieces, and of a
 * long one only the chunks' frames are looked at.
 */
#include "certs/http/https-answer.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"

#define LENGTH_DIGITS_MAX 10
#define CHUNK_LINE_MAX 256 /* with its extensions */

static bool is(const char *s, size_t n, const char *word)
{
        return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

/* Whether the list of words has this one. */
static bool lists(const char *s, size_t n, const char *word)
{
        while (n) {
                const char *comma = memchr(s, ',', n);
                size_t len = comma ? (size_t)(comma - s) : n, first = 0, last = len;

                while (first < last && (s[first] == ' ' || s[first] == '\t'))
                        first++;
                while (last > first && (s[last - 1] == ' ' || s[last - 1] == '\t'))
                        last--;
                if (is(s + first, last - first, word))
                        return true;
                len += comma != NULL;
                s += len;
                n -= len;
        }
        return false;
}

/* One header line without its end; *ret_name is its length. -EBADMSG. */
static int split_line(const char *s, size_t n, size_t *ret_name, const char **ret_value, size_t *ret_n)
{
        const char *colon = n ? memchr(s, ':', n) : NULL;
        size_t at = colon ? (size_t)(colon - s) + 1 : 0;

        if (!colon || colon == s)
                return -EBADMSG;
        for (const char *c = s; c < colon; c++)
                if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
                        return -EBADMSG;
        while (at < n && (s[at] == ' ' || s[at] == '\t'))
                at++;
        while (n > at && (s[n - 1] == ' ' || s[n - 1] == '\t'))
                n--;
        for (size_t i = at; i < n; i++)
                if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
                        return -EBADMSG;
        *ret_name = (size_t)(colon - s);
        *ret_value = s + at;
        *ret_n = n - at;
        return 0;
}

/* The line that begins there, NULL at the empty one; *at moves behind it. Ends are CRLF, and CR, LF and NUL stand
 * nowhere else: the caller has seen to it. */
static const char *next_line(const char *head, size_t *at, size_t *ret_n)
{
        const char *line = head + *at, *end = strchrnul(line, '\r');

        *ret_n = (size_t)(end - line);
        *at += *ret_n + 2;
        return *ret_n ? line : NULL;
}

struct framing {
        uint64_t length;
        bool has_length, chunked, coded, close, keep;
};

static int take_field(struct framing *f, const char *line, size_t n)
{
        char digits[LENGTH_DIGITS_MAX + 1] = "";
        size_t n_name = 0, n_value = 0;
        const char *value = NULL;

        if (split_line(line, n, &n_name, &value, &n_value) < 0)
                return -EBADMSG;
        if (is(line, n_name, "Content-Length")) {
                if (f->has_length || n_value == 0 || n_value > LENGTH_DIGITS_MAX)
                        return -EBADMSG;
                memcpy(digits, value, n_value);
                f->has_length = true;
                return text_parse_u64(digits, 0, UINT32_MAX, &f->length) < 0 ? -EBADMSG : 0;
        }
        if (is(line, n_name, "Transfer-Encoding")) {
                if (f->coded || !is(value, n_value, "chunked"))
                        return -EBADMSG;
                f->coded = true;
        } else if (is(line, n_name, "Connection")) {
                f->close = f->close || lists(value, n_value, "close");
                f->keep = f->keep || lists(value, n_value, "keep-alive");
        }
        return 0;
}

/* HTTP/1.0 or 1.1 and three digits; -EBADMSG. */
static int take_status(struct https_answer *a, const char *line, size_t n, bool *ret_old)
{
        if (n < 12 || strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
            (n > 12 && line[12] != ' '))
                return -EBADMSG;
        a->status = 0;
        for (int i = 9; i < 12; i++) {
                if (line[i] < '0' || line[i] > '9')
                        return -EBADMSG;
                a->status = 10 * a->status + (line[i] - '0');
        }
        *ret_old = line[7] == '0';
        return a->status < 100 ? -EBADMSG : 0;
}

/* Where the head that begins there ends; 0: not yet. -EBADMSG where its lines have no clean ends. */
static int find_end(const char *s, size_t n, size_t *ret_end)
{
        for (size_t i = 0; i < n; i++) {
                if (s[i] == '\0' || (s[i] == '\n' && (i == 0 || s[i - 1] != '\r')) ||
                    (s[i] == '\r' && i + 1 < n && s[i + 1] != '\n'))
                        return -EBADMSG;
                if (i >= 3 && s[i] == '\n' && s[i - 2] == '\n') {
                        *ret_end = i + 1;
                        return 0;
                }
        }
        return n >= HTTPS_ANSWER_HEAD_MAX ? -EBADMSG : HTTPS_ANSWER_MORE;
}

static int read_head(struct https_answer *a, struct framing *f, const char *bytes, size_t n, bool *ret_old)
{
        size_t end = 0, at = 0, n_line;
        const char *head = bytes + a->head, *line;
        int r = find_end(head, n - a->head, &end);

        if (r != 0)
                return r;
        line = next_line(head, &at, &n_line);
        r = line ? take_status(a, line, n_line, ret_old) : -EBADMSG;
        while (r == 0 && (line = next_line(head, &at, &n_line)))
                r = take_field(f, line, n_line);
        a->body = a->head + end;
        return r;
}

/* A chunk's line: the bytes of its data. *ret_n: of the line, with its end. */
static int chunk_line(const char *s, size_t n, uint64_t *ret_data, size_t *ret_n)
{
        const char *end = memmem(s, n < CHUNK_LINE_MAX ? n : CHUNK_LINE_MAX, "\r\n", 2);
        size_t digits = 0;

        if (!end)
                return n >= CHUNK_LINE_MAX ? -EBADMSG : HTTPS_ANSWER_MORE;
        for (*ret_data = 0; digits < 9 && s + digits < end; digits++) {
                const char c = s[digits], low = (char)(c | 0x20);
                const int value = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;

                if (value < 0)
                        break;
                *ret_data = *ret_data << 4 | (uint64_t)value;
        }
        if (digits == 0 || *ret_data > UINT32_MAX || (s + digits < end && !strchr("; \t", s[digits])))
                return -EBADMSG;
        *ret_n = (size_t)(end - s) + 2;
        return 0;
}

/* Walks along the chunks; at the end *ret_n is what all take. out: where their data goes, or NULL. */
static int walk_chunks(const char *s, size_t n, size_t *ret_n, char *out, size_t *ret_data)
{
        size_t at = 0, line = 0, done = 0;
        uint64_t data = 1;
        int r = 0;

        while (data) {
                r = chunk_line(s + at, n - at, &data, &line);
                if (r != 0)
                        return r;
                at += line;
                if (data == 0)
                        break;
                if (n - at < data + 2)
                        return HTTPS_ANSWER_MORE;
                if (memcmp(s + at + data, "\r\n", 2) != 0)
                        return -EBADMSG;
                if (out)
                        memmove(out + done, s + at, data);
                done += data;
                at += data + 2;
        }
        for (;;) { /* trailers, which say nothing here */
                const char *end = memmem(s + at, n - at, "\r\n", 2);

                if (!end)
                        return n - at >= HTTPS_ANSWER_HEAD_MAX ? -EBADMSG : HTTPS_ANSWER_MORE;
                line = (size_t)(end - s) - at;
                at += line + 2;
                if (line == 0)
                        break;
        }
        *ret_n = at;
        *ret_data = done;
        return 0;
}

static int frame_body(struct https_answer *a, const struct framing *f, const char *bytes, size_t n, bool ended)
{
        const size_t there = n - a->body;
        size_t data;

        a->chunked = f->coded;
        if (a->status == 204 || a->status == 304)
                a->chunked = false;
        else if (f->coded)
                return walk_chunks(bytes + a->body, there, &a->body_len, NULL, &data);
        else if (f->has_length)
                a->body_len = f->length;
        else if (!ended)
                return HTTPS_ANSWER_MORE;
        else
                a->body_len = there;
        if (!f->has_length && a->status != 204 && a->status != 304)
                a->closes = true;
        return there < a->body_len ? HTTPS_ANSWER_MORE : 0;
}

int https_answer_read(struct https_answer *ret_answer, const char *bytes, size_t n, bool ended)
{
        struct https_answer a = {0};
        struct framing f = {0};
        bool old = false;
        int r;

        for (;;) {
                r = read_head(&a, &f, bytes, n, &old);
                if (r != 0)
                        break;
                if (a.status >= 200) {
                        /* RFC 9112 6.3, rule 3: an answer that has both may be somebody's trick */
                        r = f.coded && f.has_length ? -EBADMSG : frame_body(&a, &f, bytes, n, ended);
                        break;
                }
                if (a.status == 101 || a.body > HTTPS_ANSWER_HEAD_MAX)
                        return -EBADMSG;
                a.head = a.body;
                f = (struct framing){0};
        }
        if (r == 0) {
                a.closes = a.closes || f.close || (old && !f.keep) || n > a.body + a.body_len;
                *ret_answer = a;
        }
        return r == HTTPS_ANSWER_MORE && ended ? -EBADMSG : r;
}

size_t https_answer_join(const struct https_answer *answer, char *bytes)
{
        size_t all, data = answer->body_len;

        if (answer->chunked)
                (void)walk_chunks(bytes + answer->body, answer->body_len, &all, bytes + answer->body, &data);
        return data;
}

void https_answer_header(const struct https_answer *answer, const char *bytes, const char *name, char *out, size_t cap)
{
        const char *head = bytes + answer->head, *line, *value;
        size_t at = 0, n, n_name, n_value;

        out[0] = '\0';
        (void)next_line(head, &at, &n);
        while ((line = next_line(head, &at, &n))) {
                if (split_line(line, n, &n_name, &value, &n_value) < 0 || !is(line, n_name, name))
                        continue;
                if (n_value < cap) {
                        memcpy(out, value, n_value);
                        out[n_value] = '\0';
                }
                return;
        }
}
