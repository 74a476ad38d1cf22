/*
 * The JSON writer and reader below every codec of wire.h, and jansson's wiping allocator.
 *
 * The writer never goes through a json_t, so a password is copied from its slot into a secret buffer and
 * nowhere else. The reader marks each member it is asked for; what nobody asked for is an unknown member.
 * Neither knows any claim.
 */
#include "queue/wire/json.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/ipc/loop.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/wire/wire.h"

/* ---- allocator ---- */

/* In front of each block: its size, in the space that keeps the block aligned for any type. */
union block_head {
        size_t n;
        max_align_t align;
};

static void *block_new(size_t n)
{
        union block_head *head;

        if (n > SIZE_MAX - sizeof(*head))
                return NULL;
        head = OPENSSL_secure_malloc(n + sizeof(*head));
        if (!head)
                head = OPENSSL_malloc(n + sizeof(*head));
        if (!head)
                return NULL;
        head->n = n;
        return head + 1;
}

static void block_free(void *p)
{
        union block_head *head = p;

        if (!head)
                return;
        head--;
        /* Frees plain blocks too, and wipes both. */
        OPENSSL_secure_clear_free(head, head->n + sizeof(*head));
}

void wire_json_wipe_setup(void)
{
        json_set_alloc_funcs(block_new, block_free);
}

/* ---- writer ---- */

void json_write_begin(struct json_writer *w, struct buffer *out)
{
        *w = (struct json_writer){.out = out, .start = out->len};
}

static void put(struct json_writer *w, const char *bytes, size_t n)
{
        if (w->r == 0)
                w->r = buffer_append(w->out, bytes, n);
}

static void put_escaped(struct json_writer *w, unsigned char c)
{
        char text[7] = "\\u00";

        if (c == '"' || c == '\\') {
                put(w, "\\", 1);
                put(w, (const char *)&c, 1);
                return;
        }
        hex_encode_to(text + 4, &c, 1);
        put(w, text, 6);
}

static void put_string(struct json_writer *w, const char *s, size_t n)
{
        size_t from = 0;

        if (!utf8_valid(s, n)) {
                w->r = w->r ? w->r : -EINVAL;
                return;
        }
        put(w, "\"", 1);
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                if (i > from)
                        put(w, s + from, i - from);
                put_escaped(w, c);
                from = i + 1;
        }
        if (n > from)
                put(w, s + from, n - from);
        put(w, "\"", 1);
}

/* Writes the comma and the member's name that a value needs in front. */
static void put_key(struct json_writer *w, const char *key)
{
        if (w->comma)
                put(w, ",", 1);
        w->comma = true;
        if (!key)
                return;
        put_string(w, key, strlen(key));
        put(w, ":", 1);
}

void json_write_open(struct json_writer *w, const char *key, char bracket)
{
        put_key(w, key);
        put(w, &bracket, 1);
        w->comma = false;
}

void json_write_close(struct json_writer *w, char bracket)
{
        put(w, &bracket, 1);
        w->comma = true;
}

/* Opens the outermost value too: there is no key and no comma in front of it. */
void json_write_bytes(struct json_writer *w, const char *key, const char *s, size_t n)
{
        put_key(w, key);
        put_string(w, s, n);
}

void json_write_str(struct json_writer *w, const char *key, const char *s)
{
        json_write_bytes(w, key, s, strlen(s));
}

void json_write_opt(struct json_writer *w, const char *key, const char *s)
{
        if (s && *s)
                json_write_str(w, key, s);
}

void json_write_int(struct json_writer *w, const char *key, int64_t value)
{
        put_key(w, key);
        if (w->r == 0)
                w->r = buffer_printf(w->out, "%" PRId64, value);
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
        const char *word = value ? "true" : "false";

        put_key(w, key);
        put(w, word, strlen(word));
}

void json_write_fraction(struct json_writer *w, const char *key, double value)
{
        put_key(w, key);
        if (w->r == 0)
                w->r = buffer_printf(w->out, "%.3f", value);
}

int json_write_end(struct json_writer *w)
{
        if (w->r == 0 || w->out->len <= w->start)
                return w->r;
        wipe(w->out->data + w->start, w->out->len - w->start);
        w->out->len = w->start;
        return w->r;
}

/* ---- reader ---- */

void json_read_begin(struct json_reader *r, json_t *object, const char *what, struct error *err)
{
        *r = (struct json_reader){.object = object, .what = what, .err = err};
        if (!json_is_object(object))
                r->r = error_fail(err, -EBADMSG, "%s: not a JSON object", what);
}

void json_read_sub(struct json_reader *r, const struct json_reader *parent, json_t *object)
{
        json_read_begin(r, object, parent->what, parent->r ? NULL : parent->err);
        r->secret = parent->secret;
}

void json_read_fail(struct json_reader *r, const char *key, const char *why)
{
        if (r->r == 0)
                r->r = error_fail(r->err, -EBADMSG, "%s: member %s %s", r->what, key, why);
}

void json_read_no_memory(struct json_reader *r)
{
        if (r->r == 0)
                r->r = error_fail(r->err, -ENOMEM, "%s: no memory", r->what);
}

json_t *json_read_member(struct json_reader *r, const char *key, enum json_need need)
{
        json_t *member;

        if (!json_is_object(r->object))
                return NULL;
        member = json_object_get(r->object, key);
        if (!member) {
                if (need == JSON_REQUIRED)
                        json_read_fail(r, key, "is missing");
                return NULL;
        }
        if (r->n_seen == JSON_READER_MEMBERS_MAX) {
                json_read_fail(r, key, "is one too many");
                return NULL;
        }
        r->seen[r->n_seen++] = key;
        return member;
}

/* The text of a string member without NUL, or NULL (a failure unless it is absent and optional). */
static const char *read_text(struct json_reader *r, const char *key, enum json_need need, size_t *ret_n)
{
        json_t *member = json_read_member(r, key, need);

        if (!member)
                return NULL;
        if (!json_is_string(member)) {
                json_read_fail(r, key, "is not a string");
                return NULL;
        }
        *ret_n = json_string_length(member);
        if (strlen(json_string_value(member)) != *ret_n) {
                json_read_fail(r, key, "holds a NUL");
                return NULL;
        }
        if (*ret_n == 0 && need == JSON_REQUIRED) {
                json_read_fail(r, key, "is empty");
                return NULL;
        }
        return json_string_value(member);
}

void json_read_str(struct json_reader *r, const char *key, enum json_need need, char *out, size_t cap)
{
        size_t n = 0;
        const char *text = read_text(r, key, need, &n);

        out[0] = '\0';
        if (!text)
                return;
        if (n >= cap) {
                json_read_fail(r, key, "is too long");
                return;
        }
        memcpy(out, text, n + 1);
}

void json_read_cut(struct json_reader *r, const char *key, char *out, size_t cap)
{
        size_t n = 0;
        const char *text = read_text(r, key, JSON_OPTIONAL, &n);

        out[0] = '\0';
        if (text)
                wire_text_cut(out, cap, text, n);
}

void json_read_id(struct json_reader *r, const char *key, char *out)
{
        json_read_str(r, key, JSON_REQUIRED, out, ID_MAX + 1);
        if (r->r == 0 && !id_valid(out, strlen(out)))
                json_read_fail(r, key, "is not an id");
}

void json_read_tenant(struct json_reader *r, const char *key, char *out)
{
        json_read_str(r, key, JSON_REQUIRED, out, TENANT_MAX + 1);
        if (r->r == 0 && !tenant_valid(out))
                json_read_fail(r, key, "is not a tenant's name");
}

void json_read_b64u(struct json_reader *r, const char *key, size_t n, char *out)
{
        uint8_t bytes[64];

        json_read_str(r, key, JSON_REQUIRED, out, B64U_LEN(n) + 1);
        if (r->r)
                return;
        if (n > sizeof(bytes) || b64u_decode_exact(bytes, n, out, strlen(out)) < 0)
                json_read_fail(r, key, "is not base64url of the right length");
        wipe(bytes, sizeof(bytes));
}

int64_t json_read_int(struct json_reader *r, const char *key, int64_t min, int64_t max)
{
        json_t *member = json_read_member(r, key, JSON_REQUIRED);
        int64_t value;

        if (!member)
                return 0;
        if (!json_is_integer(member)) {
                json_read_fail(r, key, "is not an integer");
                return 0;
        }
        value = json_integer_value(member);
        if (value < min || value > max) {
                json_read_fail(r, key, "is out of range");
                return 0;
        }
        return value;
}

bool json_read_bool(struct json_reader *r, const char *key)
{
        json_t *member = json_read_member(r, key, JSON_REQUIRED);

        if (member && !json_is_boolean(member))
                json_read_fail(r, key, "is not a boolean");
        return json_is_true(member);
}

const char *json_read_word(struct json_reader *r, const char *key, const char *const *words)
{
        size_t n = 0;
        const char *text = read_text(r, key, JSON_REQUIRED, &n);

        if (!text)
                return NULL;
        for (; *words; words++)
                if (strcmp(*words, text) == 0)
                        return *words;
        json_read_fail(r, key, "is no known word");
        return NULL;
}

static bool was_seen(const struct json_reader *r, const char *key)
{
        for (size_t i = 0; i < r->n_seen; i++)
                if (strcmp(r->seen[i], key) == 0)
                        return true;
        return false;
}

void json_read_ids(struct json_reader *r, const char *key, size_t max, char (**ret_ids)[ID_MAX + 1], size_t *ret_n)
{
        json_t *list = json_read_member(r, key, JSON_REQUIRED);
        json_t *value;
        size_t i;

        if (!list || (json_is_array(list) && json_array_size(list) == 0))
                return;
        if (!json_is_array(list) || json_array_size(list) > max) {
                json_read_fail(r, key, "is not an array of ids within the limit");
                return;
        }
        *ret_ids = calloc(json_array_size(list), sizeof(**ret_ids));
        if (!*ret_ids) {
                json_read_no_memory(r);
                return;
        }
        json_array_foreach (list, i, value) {
                const char *id = json_string_value(value);

                if (!id || !id_valid(id, json_string_length(value))) {
                        json_read_fail(r, key, "holds what is no id");
                        return;
                }
                memcpy((*ret_ids)[(*ret_n)++], id, json_string_length(value) + 1);
        }
}

int json_read_end(struct json_reader *r, bool strict)
{
        json_t *object = r->object;

        if (r->r || !strict || json_object_size(object) == r->n_seen)
                return r->r;
        if (r->secret)
                return r->r = error_fail(r->err, -EBADMSG, "%s: has an unknown member", r->what);
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
                if (!was_seen(r, json_object_iter_key(i)))
                        return r->r = error_fail(r->err, -EBADMSG, "%s: unknown member \"%.40s\"", r->what,
                                                 json_object_iter_key(i));
        return r->r = error_fail(r->err, -EBADMSG, "%s: a member was read twice", r->what);
}

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
