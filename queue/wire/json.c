/*
 * What the codecs of wire.h have in common: ids, tenants and JOSE texts, and lists of lines.
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

void wire_read_id(struct json_reader *r, const char *key, char *out)
{
        json_read_str(r, key, JSON_REQUIRED, out, ID_MAX + 1);
        if (!id_valid(out, strlen(out)))
                json_read_fail(r, key, "is not an id");
}

void wire_read_tenant(struct json_reader *r, const char *key, char *out)
{
        json_read_str(r, key, JSON_REQUIRED, out, TENANT_MAX + 1);
        if (!tenant_valid(out))
                json_read_fail(r, key, "is not a tenant's name");
}

void wire_read_ids(struct json_reader *r, const char *key, size_t max, char (**ret_ids)[ID_MAX + 1], size_t *ret_n)
{
        struct json_reader list;

        if (!json_read_list(&list, r, key, JSON_REQUIRED, 0, max) || list.n == 0)
                return;
        *ret_ids = calloc(list.n, sizeof(**ret_ids));
        if (!*ret_ids)
                json_read_no_memory(r);
        while (json_read_next(&list))
                wire_read_id(&list, NULL, (*ret_ids)[(*ret_n)++]);
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

void wire_lines_join(char *out, size_t cap, const json_t *texts)
{
        size_t used = 0, i;
        const json_t *member;

        out[0] = '\0';
        json_array_foreach (texts, i, member) {
                const char *text = json_string_value(member);

                if (!text || !*text || strchr(text, '\n'))
                        continue;
                if (used + strlen(text) + 2 > cap)
                        return;
                if (used)
                        out[used++] = '\n';
                memcpy(out + used, text, strlen(text) + 1);
                used += strlen(text);
        }
}

json_t *wire_lines_split(const char *lines)
{
        json_t *list = *lines ? json_array() : NULL;

        while (list && *lines) {
                const size_t n = strcspn(lines, "\n");

                if (json_array_append_new(list, json_stringn(lines, n)) < 0) {
                        json_decref(list);
                        return NULL;
                }
                lines += n + (lines[n] == '\n');
        }
        return list;
}
