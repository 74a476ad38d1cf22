/*
 * Names become pseudonyms by a keyed hash, the same within one run; secrets are cut out by where they can stand.
 *
 * Invariant: what is not known to be harmless is not kept: of the configuration only lines KEY = VALUE and section
 * heads, without comments, in which people note passwords.
 */
#include "connector/cli/scrub.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/core/text.h"
#include "connector/frames/name-hash.h"

#define NAME_MIN 3 /* a shorter name would be found in any word */

struct scrub {
        bool names;
        uint8_t key[NAME_HASH_KEY_LEN];
        json_t *known; /* pseudonyms by name */
};

int scrub_new(struct scrub **ret_scrub, bool names)
{
        struct scrub *scrub = calloc(1, sizeof(*scrub));

        if (!scrub || !(scrub->known = json_object()) ||
            getrandom(scrub->key, sizeof(scrub->key), 0) != (ssize_t)sizeof(scrub->key)) {
                scrub_free(scrub);
                return -ENOMEM;
        }
        scrub->names = names;
        *ret_scrub = scrub;
        return 0;
}

struct scrub *scrub_free(struct scrub *scrub)
{
        if (!scrub)
                return NULL;
        json_decref(scrub->known);
        explicit_bzero(scrub->key, sizeof(scrub->key));
        free(scrub);
        return NULL;
}

static void pseudonym(const struct scrub *scrub, const char *name, char out[24])
{
        char hash[NAME_HASH_TEXT];

        name_hash(scrub->key, name, strlen(name), hash);
        (void)snprintf(out, 24, "person-%.12s", hash);
}

/* Members of records and events that name a person, an address or what a person chose. */
static bool names_person(const char *key)
{
        static const char *const keys[] = {"user",      "user_masked", "user_id", "upn",          "sam",
                                           "client_ip", "account",     "from",    "name_as_typed"};

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                if (strcmp(key, keys[i]) == 0)
                        return true;
        return false;
}

/* The whole, and what stands before the @ or behind the \. */
static void learn_name(struct scrub *scrub, const char *name)
{
        const char *slash = strchr(name, '\\'), *at = strrchr(name, '@');
        char part[520], hidden[24];

        (void)snprintf(part, sizeof(part), "%.*s", at && !slash ? (int)(at - name) : 512, slash ? slash + 1 : name);
        pseudonym(scrub, name, hidden);
        (void)json_object_set_new(scrub->known, name, json_string(hidden));
        if (strcmp(part, name) == 0)
                return;
        pseudonym(scrub, part, hidden);
        (void)json_object_set_new(scrub->known, part, json_string(hidden));
}

void scrub_learn(struct scrub *scrub, const json_t *records)
{
        const json_t *record;
        json_t *value;
        const char *key;
        size_t i;

        json_array_foreach (records, i, record)
                json_object_foreach ((json_t *)(uintptr_t)record, key, value)
                        if (names_person(key) && json_string_length(value) >= NAME_MIN)
                                learn_name(scrub, json_string_value(value));
}

void scrub_json(struct scrub *scrub, json_t *value)
{
        json_t *member;
        const char *key;
        char hidden[24];
        size_t i;

        json_array_foreach (value, i, member)
                scrub_json(scrub, member);
        json_object_foreach (value, key, member) {
                if (json_is_string(member) && names_person(key) && json_string_length(member) > 0 && !scrub->names) {
                        pseudonym(scrub, json_string_value(member), hidden);
                        (void)json_string_set(member, hidden);
                } else {
                        scrub_json(scrub, member);
                }
        }
}

/* The longest name that is known and stands here as a word of its own. */
static const char *known_here(const struct scrub *scrub, const char *text, size_t n, bool begins, size_t *ret_len)
{
        const char *name, *found = NULL;
        json_t *value;

        *ret_len = 0;
        if (!begins || scrub->names)
                return NULL;
        json_object_foreach (scrub->known, name, value) {
                const size_t len = strlen(name);

                if (len >= NAME_MIN && len > *ret_len && len <= n && strncasecmp(name, text, len) == 0 &&
                    (len == n || !isalnum((unsigned char)text[len]))) {
                        *ret_len = len;
                        found = json_string_value(value);
                }
        }
        return found;
}

int scrub_text(const struct scrub *scrub, const char *text, size_t n, struct buffer *out)
{
        bool begins = true; /* a word may begin here */
        int r = 0;

        for (size_t at = 0; r == 0 && at < n;) {
                size_t len = 0;
                const char *instead = NULL;

                if (at >= 3 && memcmp(text + at - 3, "://", 3) == 0) { /* first: a proxy's user may be a person */
                        while (at + len < n && !isspace((unsigned char)text[at + len]) &&
                               !strchr("/\"'<>@", text[at + len]))
                                len++;
                        len = at + len < n && text[at + len] == '@' ? len + 1 : 0; /* USER:PASSWORD@ */
                }
                if (len > 0)
                        r = buffer_append_str(out, "(cut)@");
                else if ((instead = known_here(scrub, text + at, n - at, begins, &len)))
                        r = buffer_append_str(out, instead);
                else
                        r = buffer_append(out, text + at, len = 1);
                at += len;
                begins = !isalnum((unsigned char)text[at - 1]);
        }
        return r;
}

/* Keys whose value can hold a secret itself; files that hold one are named only. */
static bool holds_secret(const char *key, size_t n)
{
        static const char *const words[] = {"password", "secret", "pin", "token", "key"};
        char lower[64];

        if (n >= sizeof(lower))
                return true;
        for (size_t i = 0; i <= n; i++)
                lower[i] = (char)(i < n ? tolower((unsigned char)key[i]) : '\0');
        if (strcmp(lower, "pins") == 0 || strstr(lower, "_file") || strcmp(lower, "keytab") == 0)
                return false; /* hashes of public keys; paths */
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strstr(lower, words[i]))
                        return true;
        return false;
}

int scrub_config(const char *text, size_t n, struct buffer *out)
{
        int r = 0;

        for (size_t at = 0; r == 0 && at < n;) {
                const char *line = text + at, *end = memchr(line, '\n', n - at);
                const size_t len = end ? (size_t)(end - line) : n - at;
                const char *equals = memchr(line, '=', len);
                size_t key = equals ? (size_t)(equals - line) : 0;

                at += len + 1;
                while (key && isspace((unsigned char)line[key - 1]))
                        key--;
                if (len && line[0] == '[')
                        r = buffer_printf(out, "%.*s\n", (int)len, line);
                else if (key && isalpha((unsigned char)line[0]) && holds_secret(line, key))
                        r = buffer_printf(out, "%.*s = (cut)\n", (int)key, line);
                else if (key && isalpha((unsigned char)line[0]))
                        r = buffer_printf(out, "%.*s\n", (int)len, line);
        }
        return r;
}
