/*
 * State files and the like as jansson's trees, strictly.
 *
 * Invariant: an object that passed jose_json_object has no duplicate members, no NUL in any string and nothing behind
 * it. Error texts name the member and the place, never a value. Does not know which object it reads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/jose-json.h"
#include "certs/codec/crypto.h"
#include "base/core/secret.h"
#include "base/core/text.h"

/* Jansson's own text may quote what it read, so only its code is passed on. */
static const char *json_reason(const json_error_t *e)
{
        switch (json_error_code(e)) {
        case json_error_duplicate_key:
                return "a member is repeated";
        case json_error_end_of_input_expected:
                return "there is something behind it";
        case json_error_invalid_utf8:
                return "it is not UTF-8";
        case json_error_null_character:
        case json_error_null_byte_in_key:
                return "a string holds NUL";
        case json_error_premature_end_of_input:
                return "it ends early";
        case json_error_numeric_overflow:
                return "a number is out of range";
        case json_error_stack_overflow:
                return "it is nested too deeply";
        case json_error_out_of_memory:
                return "out of memory";
        case json_error_unknown:
        case json_error_cannot_open_file:
        case json_error_invalid_argument:
        case json_error_invalid_syntax:
        case json_error_invalid_format:
        case json_error_wrong_type:
        case json_error_null_value:
        case json_error_item_not_found:
        case json_error_index_out_of_range:
                return "syntax error";
        }
        return "syntax error";
}

int jose_json_object(json_t **ret_object, const char *text, size_t n, const char *what, struct error *err)
{
        json_error_t e;
        json_t *json = n > 0 ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &e) : NULL;

        if (n == 0)
                return error_fail(err, -EBADMSG, "%s: is empty, not a JSON object", what);
        if (!json)
                return error_fail(err, -EBADMSG, "%s: is not a JSON object: %s (line %d, byte %d)", what,
                                  json_reason(&e), e.line, e.position);
        if (!json_is_object(json)) {
                json_decref(json);
                return error_fail(err, -EBADMSG, "%s: is not a JSON object", what);
        }
        *ret_object = json;
        return 0;
}

static int append_chunk(const char *bytes, size_t n, void *out)
{
        return buffer_append(out, bytes, n);
}

int jose_json_text(const json_t *value, struct buffer *out)
{
        const size_t before = out->len;

        if (json_dump_callback(value, append_chunk, out, JSON_COMPACT) == 0)
                return 0;
        if (out->data)
                wipe(out->data + before, out->len - before);
        out->len = before;
        return -EMSGSIZE;
}

int jose_json_str(const json_t *object, const char *what, const char *name, size_t min, size_t max, const char **ret_s,
                  struct error *err)
{
        const json_t *member = json_object_get(object, name);
        const size_t n = json_string_length(member);

        if (!member)
                return error_fail(err, -EBADMSG, "%s: member \"%s\" is missing", what, name);
        if (!json_is_string(member))
                return error_fail(err, -EBADMSG, "%s: member \"%s\" is not a string", what, name);
        if (n < min || n > max)
                return error_fail(err, -EBADMSG, "%s: member \"%s\" has %zu bytes, allowed are %zu to %zu", what, name,
                                  n, min, max);
        *ret_s = json_string_value(member);
        return 0;
}

int jose_json_version(const json_t *file, const char *path, int64_t newest, struct error *err)
{
        const json_t *member = json_object_get(file, "v");
        const int64_t version = member ? json_integer_value(member) : 1;

        if (member && !json_is_integer(member))
                return error_fail(err, -EBADMSG, "%s: member \"v\" is not an integer", path);
        if (version < 1 || version > JOSE_INT_MAX)
                return error_fail(err, -EBADMSG, "%s: member \"v\" is out of range", path);
        if (version > newest)
                return error_fail(
                        err, -EPROTO,
                        "%s: is of version %lld, and this program knows up to %lld: a newer one wrote it; use that",
                        path, (long long)version, (long long)newest);
        return 0;
}

int jose_json_kid(const json_t *object, const char *what, const char *name, char ret_kid[KID_LEN + 1],
                  struct error *err)
{
        uint8_t digest[KID_LEN * 3 / 4];
        const char *s;
        int r = jose_json_str(object, what, name, 0, SIZE_MAX, &s, err);

        if (r < 0)
                return r;
        if (b64u_decode_exact(digest, sizeof(digest), s, strlen(s)) < 0)
                return error_fail(err, -EBADMSG, "%s: member \"%s\" is not the base64url form of 32 bytes", what, name);
        memcpy(ret_kid, s, KID_LEN + 1);
        return 0;
}
