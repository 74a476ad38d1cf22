/*
 * The relay's answer to GET keys, and a roster from a second source: whatever they say, what comes out verified.
 *
 * Input: two parts by a NUL byte, the second source first. An answer that tells what changed since "s1" is held against
 * what comes of the same one without that word. Where a part begins with '{' its roster's payload and
 * its statements' are signed here with the fixed key, so that the fuzzer gets behind the signatures.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/client/client.h"
#include "tests/fuzz/certs/fixed-key.h"

#define NOW 1800000000

/* Puts a compact JWS by the fixed key in the place of each object. */
static void sign_member(json_t *holder, const char *name, const char *typ)
{
        _cleanup_(buffer_free) struct buffer payload = BUFFER(ROSTER_TEXT_MAX), text = BUFFER(ROSTER_TEXT_MAX);
        json_t *value = json_object_get(holder, name);

        if (json_is_object(value) && jose_json_text(value, &payload) == 0 &&
            jws_sign(fixed_key(), typ, payload.data, payload.len, &text, NULL) == 0)
                json_object_set_new(holder, name, json_string(text.data));
}

static void sign_list(json_t *list)
{
        for (size_t i = 0; i < json_array_size(list) && i < 8; i++) {
                json_t *one = json_pack("{s:O}", "x", json_array_get(list, i));

                sign_member(one, "x", JOSE_TYP_KEYS);
                json_array_set(list, i, json_object_get(one, "x"));
                json_decref(one);
        }
}

/* whole: without `since`, and named "s1". */
static char *answer_of(const char *bytes, size_t n, bool whole)
{
        json_t *root = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
        char *text;

        if (!json_is_object(root)) {
                json_decref(root);
                return strndup(bytes, n);
        }
        if (whole) {
                json_object_del(root, "since");
                json_object_set_new(root, "state", json_string("s1"));
        }
        sign_member(root, "roster", JOSE_TYP_ROSTER);
        sign_list(json_object_get(root, "statements"));
        text = json_dumps(root, JSON_COMPACT);
        json_decref(root);
        return text;
}

static void check(const struct directory *d)
{
        for (size_t i = 0; i < d->n; i++) {
                must(roster_connector(d->roster, d->entries[i].statement->kid) == d->entries[i].connector);
                must(strcmp(d->entries[i].statement->iss, d->entries[i].connector->id) == 0);
                must(d->entries[i].n_ready <= REPORT_REALMS_MAX);
                must(d->entries[i].weight >= 1 && d->entries[i].weight <= DIRECTORY_WEIGHT_MAX);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *bytes = (const char *)data, *cut = memchr(bytes, '\0', n);
        const size_t first = cut ? (size_t)(cut - bytes) : 0, at = cut ? first + 1 : 0;
        char *whole = n > at ? answer_of(bytes + at, n - at, true) : NULL,
             *text = n > at ? answer_of(bytes + at, n - at, false) : NULL;
        struct directory_rules rules = {.pin = key_pin(fixed_key()),
                                        .tenant = "acme",
                                        .now = NOW,
                                        .second = first ? bytes : NULL,
                                        .n_second = first};
        struct directory *base = NULL, *d = NULL;
        struct error err = {""};
        int r;

        if (whole && text) {
                r = directory_open(&base, whole, strlen(whole), &rules, NULL, &err);
                must(r == 0 || err.text[0]);
                if (r == 0)
                        check(base);
                rules.base = base;
                r = directory_open(&d, text, strlen(text), &rules, NULL, &err);
                must(r == 0 || err.text[0]);
                base = directory_free(base);
                if (r == 0)
                        check(d);
        }
        directory_free(d);
        free(whole);
        free(text);
        return 0;
}
