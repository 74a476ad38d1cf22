/*
 * One value of a configuration: set from text as its row of the table says.
 *
 * Owns the texts of a configuration: a field is filled here and nowhere else, so a key that the table has is parsed,
 * checked and freed like all others. It knows no files and no sections.
 */
#include "base/conf/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"

#define LIST_SEPARATORS ", \t"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

const struct conf_word conf_log_levels[] = {{"error", LOG_LEVEL_ERROR},
                                            {"warning", LOG_LEVEL_WARNING},
                                            {"info", LOG_LEVEL_INFO},
                                            {"debug", LOG_LEVEL_DEBUG},
                                            {NULL, 0}};

struct conf_text {
        struct conf_text *next;
        char bytes[];
};

char *conf_text(struct conf *conf, const char *text)
{
        size_t n = strlen(text);
        struct conf_text *copy = malloc(sizeof(*copy) + n + 1);

        if (!copy)
                return NULL;
        memcpy(copy->bytes, text, n + 1);
        copy->next = conf->texts;
        conf->texts = copy;
        return copy->bytes;
}

struct conf *conf_free(struct conf *conf)
{
        while (conf && conf->texts) {
                struct conf_text *next = conf->texts->next;

                free(conf->texts);
                conf->texts = next;
        }
        free(conf);
        return NULL;
}

static int store_text(struct conf *conf, void *field, const char *value)
{
        const char *copy = conf_text(conf, value);

        memcpy(field, &copy, sizeof(copy));
        return copy ? 0 : -ENOMEM;
}

static void store_number(void *field, size_t size, uint64_t value)
{
        switch (size) {
        case 1:
                *(uint8_t *)field = (uint8_t)value;
                break;
        case 2:
                *(uint16_t *)field = (uint16_t)value;
                break;
        case 4:
                *(uint32_t *)field = (uint32_t)value;
                break;
        default:
                *(uint64_t *)field = value;
        }
}

void conf_value_range(const struct conf_key *key, struct buffer *out)
{
        if (key->range)
                (void)buffer_append_str(out, key->range);
        else if (key->type == CONF_NUMBER)
                (void)buffer_printf(out, "%u to %u", key->min, key->max);
        for (const struct conf_word *w = key->words; w && w->word; w++)
                (void)buffer_printf(out, "%s%s", w == key->words ? "" : ", ", w->word);
}

/* Puts what is allowed behind what is wrong. */
static int refuse(const struct conf_key *key, int code, const char *why, struct error *err)
{
        struct buffer range = BUFFER(ERROR_TEXT_MAX);

        conf_value_range(key, &range);
        (void)error_fail(err, code, "%s, allowed: %s", why, range.len ? range.data : "");
        buffer_free(&range);
        return code;
}

static int set_text(struct conf *conf, const struct conf_key *key, void *field, const char *value, struct error *err)
{
        struct error why;

        if (!value[0] && key->initial)
                return refuse(key, -EINVAL, "it is empty; leave the key out for the default", err);
        if (!value[0] && key->required)
                return refuse(key, -EINVAL, "it is empty", err);
        if (!value[0]) {
                memset(field, 0, sizeof(char *));
                return 0;
        }
        if (strlen(value) > key->max) {
                (void)error_fail(&why, 0, "it has %zu bytes", strlen(value));
                return refuse(key, -EINVAL, why.text, err);
        }
        if (key->check && key->check(value, &why) < 0)
                return refuse(key, -EINVAL, why.text, err);
        return store_text(conf, field, value);
}

static int set_number(const struct conf_key *key, void *field, const char *value, struct error *err)
{
        struct error why;
        uint64_t number;
        int r = text_parse_u64(value, key->min, key->max, &number);

        if (r < 0) {
                (void)error_fail(&why, 0, "'%s' is %s", value, r == -ERANGE ? "out of range" : "not a number");
                return refuse(key, -EINVAL, why.text, err);
        }
        store_number(field, key->size, number * (key->scale ? key->scale : 1));
        return 0;
}

static int set_word(const struct conf_key *key, void *field, const char *value, struct error *err)
{
        struct error why;

        for (const struct conf_word *w = key->words; w->word; w++)
                if (strcmp(w->word, value) == 0) {
                        store_number(field, key->size, w->value);
                        return 0;
                }
        (void)error_fail(&why, 0, "'%s' is unknown", value);
        return refuse(key, -EINVAL, why.text, err);
}

static bool all_zero(const char *bytes, size_t n)
{
        while (n > 0 && !bytes[n - 1])
                n--;
        return n == 0;
}

static size_t count_items(const struct conf_key *key, const char *field)
{
        size_t n = 0;

        while (n < key->max && !all_zero(field + n * key->size, key->size))
                n++;
        return n;
}

static int set_list(struct conf *conf, const struct conf_key *key, void *base, const char *value, struct error *err)
{
        _cleanup_(freep) char *copy = strdup(value);
        char *field = (char *)base + key->offset, *rest = copy, *item;
        size_t n;

        if (!copy)
                return -ENOMEM;
        while ((item = strsep(&rest, LIST_SEPARATORS))) {
                struct error why = {"out of memory"};
                int r = 0;

                if (!*item)
                        continue;
                n = count_items(key, field);
                if (n == key->max)
                        r = error_fail(&why, -EINVAL, "it has more than %u items", key->max);
                else if (key->item)
                        r = key->item(conf, field + n * key->size, item, &why);
                else if (key->check && key->check(item, &why) < 0)
                        r = -EINVAL;
                else
                        r = store_text(conf, field + n * key->size, item);
                if (r < 0)
                        return refuse(key, r, why.text, err);
        }
        n = count_items(key, field);
        if (key->offset_n)
                memcpy((char *)base + key->offset_n, &n, sizeof(n));
        return n < key->min || (n == 0 && key->required) ? refuse(key, -EINVAL, "it is empty", err) : 0;
}

int conf_value_set(struct conf *conf, const struct conf_key *key, void *base, const char *value, struct error *err)
{
        void *field = (char *)base + key->offset;

        switch (key->type) {
        case CONF_TEXT:
                return set_text(conf, key, field, value, err);
        case CONF_NUMBER:
                return set_number(key, field, value, err);
        case CONF_WORD:
                return set_word(key, field, value, err);
        case CONF_LIST:
                return set_list(conf, key, base, value, err);
        }
        return -EINVAL;
}

bool conf_value_empty(const struct conf_key *key, const void *base)
{
        return all_zero((const char *)base + key->offset, key->size);
}

/* ---- checks ---- */

static bool made_of(const char *value, const char *set)
{
        return value[0] && value[strspn(value, set)] == '\0';
}

int conf_check_path(const char *value, struct error *err)
{
        if (value[0] != '/')
                return error_fail(err, -EINVAL, "'%s' does not begin with '/'", value);
        if (strstr(value, "/../") || (strlen(value) >= 3 && strcmp(value + strlen(value) - 3, "/..") == 0))
                return error_fail(err, -EINVAL, "'%s' holds '..'", value);
        return 0;
}

int conf_check_label(const char *value, struct error *err)
{
        if (!made_of(value, LOWER UPPER DIGITS "._-"))
                return error_fail(err, -EINVAL, "'%s' has other characters", value);
        return 0;
}

int conf_address(const char *text, char *host, size_t cap, uint16_t *ret_port, struct error *err)
{
        const char *colon = strrchr(text, ':');
        const bool bracketed = text[0] == '[' && colon && colon > text + 2 && colon[-1] == ']';
        const char *begin = text + bracketed;
        const size_t n = colon ? (size_t)(colon - begin) - bracketed : 0;
        uint8_t address[sizeof(struct in6_addr)];
        uint64_t port;

        if (!colon || text_parse_u64(colon + 1, 0, 65535, &port) < 0)
                return error_fail(err, -EINVAL, "'%s' is not ADDRESS:PORT", text);
        if (n == 0 || n >= cap)
                return error_fail(err, -EINVAL, "'%s' has no numeric address", text);
        memcpy(host, begin, n);
        host[n] = '\0';
        if (inet_pton(bracketed ? AF_INET6 : AF_INET, host, address) != 1)
                return error_fail(err, -EINVAL, "'%s' has no numeric address", text);
        *ret_port = (uint16_t)port;
        return 0;
}

int conf_check_user(const char *value, struct error *err)
{
        if (strcmp(value, "root") == 0)
                return error_fail(err, -EINVAL, "root is not allowed: nothing that reads remote input runs as root");
        if (!made_of(value, LOWER DIGITS "_-") || strchr(DIGITS "-", value[0]))
                return error_fail(err, -EINVAL, "'%s' is not a name made of a-z, 0-9, '_' and '-'", value);
        return 0;
}
