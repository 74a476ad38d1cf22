/*
 * What the codecs of wire.h have in common: lists of ids, JOSE texts, and lists of lines.
 *
 * Knows no claim.
 */
#include "queue/wire/json.h"

#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/core/text.h"
#include "queue/wire/wire.h"

/* ---- reading ---- */

void wire_read_ids(struct json_reader *r, const char *key, size_t max, char (**ret_ids)[ID_MAX + 1], size_t *ret_n)
{
        struct json_reader list;

        if (!json_read_list(&list, r, key, JSON_REQUIRED, 0, max) || list.n == 0)
                return;
        *ret_ids = calloc(list.n, sizeof(**ret_ids));
        if (!*ret_ids) {
                json_read_no_memory(r);
                return;
        }
        while (json_read_next(&list))
                claims_id(&list, NULL, (*ret_ids)[(*ret_n)++]);
}

void wire_read_jose(struct json_reader *r, const char *key, enum json_need need, size_t max, char **ret_text)
{
        char *text = NULL;

        json_read_text(r, key, need, max, &text);
        if (text && (!*text || !b64u_only(text, strlen(text), '.')))
                json_read_fail(r, key, "is no compact JOSE text");
        if (text)
                *ret_text = text;
}

/* ---- texts and lines ---- */

void wire_text_cut(char *out, size_t cap, const char *text, size_t n)
{
        if (n > cap - 1) {
                n = cap - 1;
                while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                        n--;
        }
        memcpy(out, text, n);
        out[n] = '\0';
}

bool wire_lines_next(const char **at, const char **ret_line, size_t *ret_n)
{
        if (!*at || !**at)
                return false;
        *ret_line = *at;
        *ret_n = strcspn(*at, "\n");
        *at += *ret_n + ((*at)[*ret_n] == '\n');
        return true;
}

void wire_lines_add(char **lines, const char *line, size_t n)
{
        const char *at = *lines, *known;
        size_t len, used = *lines ? strlen(*lines) : 0;
        char *longer;

        while (wire_lines_next(&at, &known, &len))
                if (len == n && memcmp(known, line, n) == 0)
                        return;
        if (n == 0 || memchr(line, '\n', n) || !(longer = realloc(*lines, used + n + 2)))
                return;
        if (used)
                longer[used++] = '\n';
        memcpy(longer + used, line, n);
        longer[used + n] = '\0';
        *lines = longer;
}

void wire_lines_cut(char *out, size_t cap, const char *lines)
{
        const char *at = lines, *line;
        size_t n, fits = 0;

        while (wire_lines_next(&at, &line, &n) && (size_t)(line - lines) + n < cap)
                fits = (size_t)(line - lines) + n;
        memcpy(out, lines ? lines : "", fits);
        out[fits] = '\0';
}

void wire_read_lines(struct json_reader *r, const char *key, char *out, size_t cap)
{
        struct json_reader list;
        char text[256], *lines = NULL;
        size_t n;

        if (json_read_kind(r, key) == '[' && json_read_list(&list, r, key, JSON_OPTIONAL, 0, SIZE_MAX))
                while (json_read_next(&list))
                        if (json_read_kind(&list, NULL) == '"' &&
                            (n = json_read_bytes(&list, NULL, text, sizeof(text))) < sizeof(text))
                                wire_lines_add(&lines, text, n);
        wire_lines_cut(out, cap, lines);
        free(lines);
}
