/*
 * Reading the stored vectors. See reading.h.
 */
#include "tests/vectors/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "tests/vectors/maker.h"

json_t *vectors_load(const char *file)
{
        const char *folder = getenv("VECTORS");
        json_error_t e;
        char path[4096];

        assert_non_null(folder);
        assert_true(snprintf(path, sizeof(path), "%s/%s", folder, file) < (int)sizeof(path));
        json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
        if (!json)
                fail_msg("%s: %s, line %d", path, e.text, e.line);
        return json;
}

const json_t *at(const json_t *object, const char *name)
{
        const json_t *member = json_object_get(object, name);

        if (!member)
                fail_msg("member %s is missing", name);
        return member;
}

const char *text_at(const json_t *object, const char *name)
{
        const char *text = json_string_value(at(object, name));

        if (!text)
                fail_msg("member %s is not a text", name);
        return text;
}

int64_t int_at(const json_t *object, const char *name)
{
        const json_t *member = at(object, name);

        if (!json_is_integer(member))
                fail_msg("member %s is not an integer", name);
        return json_integer_value(member);
}

/* The generator's keys come from their names; here that is checked against what is stored, and the stored one
 * is returned. */
struct key *key_at(const json_t *keys, const char *name)
{
        const json_t *entry = at(at(keys, "keys"), name), *jwk = at(entry, "jwk");
        struct key *key = fixed_key(name);

        assert_string_equal(text_at(jwk, "d"), fixed_scalar(name));
        assert_string_equal(text_at(jwk, "x"), key_x(key));
        assert_string_equal(text_at(jwk, "y"), key_y(key));
        assert_string_equal(text_at(entry, "kid"), key_kid(key));
        assert_string_equal(text_at(entry, "pin"), key_pin(key));
        return key_ref(key);
}

struct roster *roster_at(const json_t *file)
{
        const json_t *with = at(file, "with");
        const char *jws = text_at(file, "jws");
        struct roster *roster = NULL;
        struct error err = {""};

        if (roster_verify(&roster, jws, strlen(jws), text_at(with, "pin"), text_at(with, "tenant"), int_at(with, "now"),
                          (uint64_t)int_at(with, "min_seq"), &err) < 0)
                fail_msg("%s", err.text);
        return roster;
}

size_t sign_at(const json_t *keys, const json_t *vector, struct statement_key *ret)
{
        const json_t *sign = json_object_get(vector, "sign");

        if (!sign)
                return 0;
        *ret = (struct statement_key){key_at(keys, text_at(sign, "key")), int_at(sign, "nbf"), int_at(sign, "exp")};
        return 1;
}
