/*
 * One field of a configuration: set from text as its row of the table says, and freed.
 *
 * Every struct config is only ever filled and freed here, so a key that the table has is parsed, checked and
 * freed in the same way as all others.
 */
#include "connector/conf/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define LIST_SEPARATORS ", \t"

static void *field_of(const struct config_key *key, void *base)
{
        return (char *)base + key->offset;
}

static size_t *count_of(const struct config_key *key, void *base)
{
        return (size_t *)(void *)((char *)base + key->offset_n);
}

static int set_text(const struct config_key *key, void *base, const char *value, struct error *err)
{
        char **field = field_of(key, base);

        if (!value[0]) {
                if (key->initial)
                        return error_fail(err, -EINVAL, "it is empty; leave the key out for the default, allowed: %s",
                                          key->range);
                freep(field);
                *field = NULL;
                return 0;
        }
        if (strlen(value) > key->max)
                return error_fail(err, -EINVAL, "it has %zu bytes, allowed: %s", strlen(value), key->range);
        struct error why;
        if (key->check && key->check(value, &why) < 0)
                return error_fail(err, -EINVAL, "%s, allowed: %s", why.text, key->range);
        return text_set(field, value);
}

static int set_number(const struct config_key *key, void *base, const char *value, struct error *err)
{
        uint64_t number;
        int r = text_parse_u64(value, key->min, key->max, &number);

        if (r < 0)
                return error_fail(err, -EINVAL, "'%s' is %s, allowed: %u to %u", value,
                                  r == -ERANGE ? "out of range" : "not a number", key->min, key->max);
        *(uint32_t *)field_of(key, base) = (uint32_t)number;
        return 0;
}

static int set_word(const struct config_key *key, void *base, const char *value, struct error *err)
{
        struct buffer words = BUFFER(256);

        for (const struct config_word *w = key->words; w->word; w++) {
                if (strcmp(w->word, value) == 0) {
                        memcpy(field_of(key, base), &w->value, sizeof(w->value));
                        buffer_free(&words);
                        return 0;
                }
                (void)buffer_printf(&words, "%s%s", w == key->words ? "" : ", ", w->word);
        }
        (void)error_fail(err, -EINVAL, "'%s' is unknown, allowed: %s", value, words.len ? words.data : "");
        buffer_free(&words);
        return -EINVAL;
}

static int add_item(const struct config_key *key, void *base, const char *item, struct error *err)
{
        size_t *n = count_of(key, base);
        struct error why = {"out of memory"};

        if (*n >= key->max)
                return error_fail(err, -EINVAL, "it has more than %u items, allowed: %s", key->max, key->range);
        void *slot = (char *)field_of(key, base) + *n * key->item_size;
        int r = key->item(slot, item, &why);
        if (r < 0)
                return error_fail(err, r, "%s, allowed: %s", why.text, key->range);
        (*n)++;
        return 0;
}

static int set_list(const struct config_key *key, void *base, const char *value, struct error *err)
{
        _cleanup_(freep) char *copy = strdup(value);
        char *rest = copy, *item;

        if (!copy)
                return -ENOMEM;
        while ((item = strsep(&rest, LIST_SEPARATORS))) {
                int r = *item ? add_item(key, base, item, err) : 0;
                if (r < 0)
                        return r;
        }
        if (*count_of(key, base) < key->min)
                return error_fail(err, -EINVAL, "it is empty, allowed: %s", key->range);
        return 0;
}

int config_key_set(const struct config_key *key, void *base, const char *value, struct error *err)
{
        switch (key->type) {
        case TYPE_TEXT:
                return set_text(key, base, value, err);
        case TYPE_NUMBER:
                return set_number(key, base, value, err);
        case TYPE_WORD:
                return set_word(key, base, value, err);
        case TYPE_LIST:
                config_key_clear(key, base);
                return set_list(key, base, value, err);
        }
        return -EINVAL;
}

/* Items own memory where they are texts: a char * each, or a struct config_dc of two. */
static void clear_list(const struct config_key *key, void *base)
{
        bool texts = key->item != item_method;

        for (size_t i = 0; texts && i < key->max; i++) {
                char **slot = (char **)(void *)((char *)field_of(key, base) + i * key->item_size);
                for (size_t k = 0; k < key->item_size / sizeof(char *); k++)
                        freep(&slot[k]);
        }
        memset(field_of(key, base), 0, key->max * key->item_size);
        *count_of(key, base) = 0;
}

void config_key_clear(const struct config_key *key, void *base)
{
        switch (key->type) {
        case TYPE_TEXT: {
                char **field = field_of(key, base);
                freep(field);
                *field = NULL;
                break;
        }
        case TYPE_LIST:
                clear_list(key, base);
                break;
        case TYPE_NUMBER:
        case TYPE_WORD:
                break;
        }
}
