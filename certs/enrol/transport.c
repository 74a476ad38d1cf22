/*
 * The text of transport.pem. Knows blocks of PEM and names of keys by their first characters, and looks into neither.
 */
#include "certs/enrol/transport.h"

#include <errno.h>
#include <string.h>

#include "certs/keys/key-uri.h"

#define KEY_MARK "PRIVATE KEY-----"

/* A URI ends with its line, a block with the line of its second mark. NULL where it doesn't; *ret_begin is NULL where
 * there is no key. */
static const char *find_key(const char *whole, size_t n, const char **ret_begin)
{
        const enum key_kind kind = key_kind_of(whole, n);
        const char *mark = strstr(whole, KEY_MARK), *end;

        *ret_begin = NULL;
        if (kind != KEY_KIND_NONE && kind != KEY_KIND_TPM_PEM) {
                *ret_begin = whole;
                return whole + strcspn(whole, "\n");
        }
        if (!mark)
                return NULL;
        *ret_begin = mark;
        while (*ret_begin > whole && (*ret_begin)[-1] != '\n')
                (*ret_begin)--;
        end = strstr(mark + sizeof(KEY_MARK) - 1, KEY_MARK);
        return end ? end + sizeof(KEY_MARK) - 1 : NULL;
}

int transport_split(const struct buffer *text, struct buffer *key, struct buffer *chain)
{
        const char *whole = text->data ? text->data : "", *begin;
        const char *end = find_key(whole, text->len, &begin);
        int r;

        if (!begin)
                return buffer_append(chain, whole, text->len);
        if (!end)
                return -EBADMSG;
        buffer_clear(key);
        r = buffer_append(key, begin, (size_t)(end - begin));
        if (r == 0 && memcmp(begin, "-----", 5) == 0)
                r = buffer_append_str(key, "\n");
        if (r == 0)
                r = buffer_append(chain, whole, (size_t)(begin - whole));
        return r < 0 ? r : buffer_append_str(chain, *end == '\n' ? end + 1 : end);
}

int transport_join(struct buffer *text, const struct buffer *key, const struct buffer *chain)
{
        int r = buffer_append(text, key->data, key->len);

        if (r == 0 && key->len > 0 && key->data[key->len - 1] != '\n')
                r = buffer_append_str(text, "\n");
        return r < 0 ? r : buffer_append(text, chain->data, chain->len);
}
