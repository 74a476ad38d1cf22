/*
 * The JSON reader and writer by their contracts: what a flaw is called and where, what a reader says and leaves alone.
 * Agreement with jansson on whatever bytes: tests/fuzz/certs/fuzz_json.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/cleanup.h"
#include "certs/codec/json.h"

static void flaws(void **state)
{
        static const struct {
                const char *text, *flaw;
                size_t at;
        } cases[] = {
                {"", "it is empty", 0},
                {" [1]", "it does not begin with {", 1},
                {"{}", NULL, 2},
                {" {\n} ", NULL, 5},
                {"{}{", "there is something behind it", 2},
                {"\xef\xbb\xbf{}", "it does not begin with {", 0},
                {"{\"a\":1,\"a\":2}", "a member is repeated", 10},
                {"{\"ab\":1,\"\\u0061b\":2}", "a member is repeated", 17},
                {"{\"x\":{\"\xe2\x82\xac\":1,\"\\u20ac\":2}}", "a member is repeated", 22},
                {"{\"a\":1,\"A\":2,\"ab\":3,\"\":4}", NULL, 25},
                {"{\"a\":\"\\u0000\"}", "a string holds NUL", 6},
                {"{\"a\\u0000\":1}", "a string holds NUL", 3},
                {"{\"a\":\"\\ud800\"}", "a surrogate has no other half", 6},
                {"{\"a\":\"\\udc00\\ud800\"}", "a surrogate has no other half", 6},
                {"{\"a\":\"\\ud83d\\ude00\"}", NULL, 20},
                {"{\"a\":\"\\u12g4\"}", "an escape lacks its four hexadecimal digits", 6},
                {"{\"a\":\"\\x\"}", "an escape is none of JSON's", 6},
                {"{\"a\":\"seven..\x01\"}", "a control character stands in a string", 13},
                {"{\"a\":\"eight...\xff\"}", "it is not UTF-8", 14},
                {"{\"a\":9223372036854775807}", NULL, 25},
                {"{\"a\":9223372036854775808}", "a number is out of range", 24},
                {"{\"a\":-9223372036854775808}", NULL, 26},
                {"{\"a\":1e400}", "a number is out of range", 10},
                {"{\"a\":01}", "a number is malformed", 7},
                {"{\"a\":1.}", "a number is malformed", 7},
                {"{\"a\":nul}", "syntax error", 5},
                {"{\"a\":1,}", "syntax error", 7},
                {"{\"a\":[1 2]}", "syntax error", 8},
                {"{\"a\":[1", "it ends early", 7},
                {"{\"a\":\"x", "it ends early", 7},
                {"{\"a\"", "it ends early", 4},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t at = 0;
                const char *flaw = json_flaw(cases[i].text, strlen(cases[i].text), false, &at);

                if (flaw ? !cases[i].flaw || strcmp(flaw, cases[i].flaw) != 0 : cases[i].flaw != NULL)
                        fail_msg("%s: %s", cases[i].text, flaw ? flaw : "nothing wrong");
                if (at != cases[i].at)
                        fail_msg("%s: at %zu, not %zu", cases[i].text, at, cases[i].at);
        }
}

static void limits(void **state)
{
        char text[1024] = "{\"a\":", *p = text + 5;
        size_t at;

        (void)state;
        memset(p, '[', JSON_DEPTH_MAX - 1);
        memset(p + JSON_DEPTH_MAX - 1, ']', JSON_DEPTH_MAX - 1);
        memcpy(p + 2 * (JSON_DEPTH_MAX - 1), "}", 2);
        assert_null(json_flaw(text, strlen(text), false, &at));
        memset(p, '[', JSON_DEPTH_MAX);
        assert_string_equal(json_flaw(text, strlen(text), false, &at), "it is nested too deeply");

        p = text + 1;
        for (char n = 0; n < JSON_MEMBERS_MAX; n++, p += 6)
                memcpy(p, (char[]){'"', (char)('0' + n / 8), (char)('0' + n % 8), '"', ':', '1', ','}, 7), p++;
        memcpy(p - 1, "}", 2);
        assert_null(json_flaw(text, strlen(text), false, &at));
        memcpy(p - 1, ",\"x\":1}", 8);
        assert_string_equal(json_flaw(text, strlen(text), false, &at), "an object has too many members");
}

static const char all[] = "{\"s\":\"t\\u00e9xt\",\"e\":\"\",\"i\":-7,\"r\":0.25,\"b\":true,\"n\":null,"
                          "\"o\":{\"k\":\"AQEB\",\"x\":1},\"l\":[\"one\",\"two\",3]}";

static void begin(struct json_reader *r, const char *text, struct error *err)
{
        json_read_begin(r, text, strlen(text), JSON_PLAIN, "thing", err);
}

static void reads_what_is_there(void **state)
{
        static const char *const words[] = {"a", "t\xc3\xa9xt", NULL};
        struct json_reader r, o, l;
        struct error err = {""};
        char text[16], cut[3];
        char *own = NULL;
        uint8_t key[3];
        size_t n = 0;

        (void)state;
        begin(&r, all, &err);
        json_read_str(&r, "s", JSON_REQUIRED, text, sizeof(text));
        assert_string_equal(text, "t\xc3\xa9xt");
        json_read_cut(&r, "s", cut, sizeof(cut)); /* the two bytes of the second character do not fit */
        assert_string_equal(cut, "t");
        json_read_text(&r, "s", JSON_REQUIRED, 5, &own);
        assert_string_equal(own, "t\xc3\xa9xt");
        free(own);
        assert_ptr_equal(json_read_word(&r, "s", words), words[1]);
        json_read_str(&r, "e", JSON_OPTIONAL, text, sizeof(text));
        assert_string_equal(text, "");
        json_read_str(&r, "absent", JSON_OPTIONAL, text, sizeof(text));
        assert_int_equal(json_read_int(&r, "i", -7, 0), -7);
        assert_true(json_read_number(&r, "r", 0, 1) == 0.25);
        assert_true(json_read_number(&r, "i", -10, 1) == -7);
        assert_true(json_read_bool(&r, "b"));
        assert_true(json_read_has(&r, "n") && !json_read_has(&r, "absent"));
        assert_memory_equal(json_read_raw(&r, "n", JSON_REQUIRED, &n), "null", 4);
        assert_int_equal(n, 4);
        assert_true(json_read_object(&o, &r, "o", JSON_REQUIRED));
        json_read_b64u(&o, "k", key, 3);
        assert_int_equal(key[2], 1);
        assert_int_equal(json_read_int(&o, "x", 0, 9), 1);
        assert_int_equal(json_read_end(&o, true), 0);
        assert_true(json_read_list(&l, &r, "l", JSON_REQUIRED, 0, 3) && l.n == 3);
        assert_true(json_read_next(&l));
        json_read_is(&l, NULL, "one");
        assert_true(json_read_next(&l) && json_read_next(&l) && !json_read_next(&l));
        assert_int_equal(json_read_end(&r, true), 0);
}

/* One wrong question each, and what is said to it. */
static void ask(struct json_reader *r, struct json_reader *sub, int which)
{
        char text[8];
        char *own = NULL;

        switch (which) {
        case 0:
                json_read_str(r, "absent", JSON_REQUIRED, text, sizeof(text));
                break;
        case 1:
                json_read_str(r, "i", JSON_OPTIONAL, text, sizeof(text));
                break;
        case 2:
                json_read_str(r, "s", JSON_REQUIRED, text, 5);
                break;
        case 3:
                json_read_str(r, "e", JSON_REQUIRED, text, sizeof(text));
                break;
        case 4:
                json_read_text(r, "s", JSON_REQUIRED, 4, &own);
                break;
        case 5:
                json_read_int(r, "r", 0, 1);
                break;
        case 6:
                json_read_int(r, "i", -6, 0);
                break;
        case 7:
                json_read_bool(r, "n");
                break;
        case 8:
                json_read_object(sub, r, "l", JSON_REQUIRED);
                break;
        case 9:
                json_read_list(sub, r, "o", JSON_REQUIRED, 0, 9);
                break;
        case 10:
                json_read_list(sub, r, "l", JSON_REQUIRED, 0, 2);
                break;
        case 11:
                json_read_list(sub, r, "l", JSON_REQUIRED, 4, 9);
                break;
        case 12:
                json_read_list(sub, r, "l", JSON_REQUIRED, 3, 3);
                while (json_read_next(sub))
                        json_read_str(sub, NULL, JSON_REQUIRED, text, sizeof(text));
                break;
        case 13:
                json_read_object(sub, r, "o", JSON_REQUIRED);
                json_read_b64u(sub, "k", text, 4);
                break;
        case 14:
                json_read_object(sub, r, "o", JSON_REQUIRED);
                json_read_int(sub, "x", 0, 9);
                json_read_end(sub, true);
                break;
        case 15:
                json_read_is(r, "s", "text");
                break;
        case 16:
                json_read_number(r, "s", 0, 1);
                break;
        case 17:
                json_read_end(r, true);
                break;
        default:
                break;
        }
        assert_null(own);
}

static void says_what_is_wrong(void **state)
{
        static const char *const says[] = {
                "thing: member absent is missing",
                "thing: member i is not a string",
                "thing: member s is too long",
                "thing: member e is empty",
                "thing: member s is too long",
                "thing: member r is not an integer",
                "thing: member i is out of range",
                "thing: member n is not a boolean",
                "thing: member l is not an object",
                "thing: member o is not an array",
                "thing: member l has 3 elements, allowed are 0 to 2",
                "thing: member l has 3 elements, allowed are 4 to 9",
                "thing: member l[2] is not a string",
                "thing: member o.k is not base64url of the right length",
                "thing: unknown member \"k\"",
                "thing: member s is not \"text\"",
                "thing: member s is not a number",
                "thing: unknown member \"s\"",
        };

        (void)state;
        for (int i = 0; i < (int)(sizeof(says) / sizeof(says[0])); i++) {
                struct json_reader r, sub;
                struct error err = {""};

                begin(&r, all, &err);
                ask(&r, &sub, i);
                ask(&r, &sub, 0); /* the first failure stays */
                assert_int_equal(json_read_result(&r), -EBADMSG);
                assert_string_equal(err.text, says[i]);
        }
}

static void a_secret_text_is_not_quoted(void **state)
{
        static const char text[] = "{\"s3cret\":1,\"a\":\"x\\u0000\"}";
        struct json_reader r;
        struct error err = {""};
        char out[8];

        (void)state;
        json_read_begin(&r, text, strlen(text), JSON_SECRET, "thing", &err);
        assert_int_equal(json_read_bytes(&r, "a", out, sizeof(out)), 2);
        assert_memory_equal(out, "x\0", 3);
        assert_int_equal(json_read_end(&r, true), -EBADMSG);
        assert_string_equal(err.text, "thing: has an unknown member");
        json_read_begin(&r, text, strlen(text), JSON_SECRET, "thing", &err);
        json_read_str(&r, "a", JSON_REQUIRED, out, sizeof(out));
        assert_string_equal(err.text, "thing: member a holds a NUL");
        json_read_begin(&r, text, 5, JSON_SECRET, "thing", &err);
        assert_string_equal(err.text, "thing: is not a JSON object: it ends early");
}

static void writes(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(80);
        struct json_writer w;

        (void)state;
        assert_int_equal(buffer_append_str(&out, "x="), 0);
        json_write_begin(&w, &out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "a\"b", "\x01\\\xc3\xa9 and more");
        json_write_opt(&w, "none", "");
        json_write_int(&w, "i", INT64_MIN);
        json_write_bool(&w, "b", false);
        json_write_close(&w, '}');
        assert_int_equal(json_write_end(&w), 0);
        assert_string_equal(out.data,
                            "x={\"a\\\"b\":\"\\u0001\\\\\xc3\xa9 and more\",\"i\":-9223372036854775808,\"b\":false}");
        out.len = 2;
        json_write_begin(&w, &out);
        json_write_str(&w, NULL, "not UTF-8 \xc3");
        assert_int_equal(json_write_end(&w), -EINVAL);
        assert_int_equal(out.len, 2);
        json_write_begin(&w, &out);
        json_write_str(&w, NULL,
                       "longer than there is room for in a buffer of eighty bytes, of which two are taken already");
        assert_int_equal(json_write_end(&w), -EMSGSIZE);
        assert_int_equal(out.len, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(flaws),
                cmocka_unit_test(limits),
                cmocka_unit_test(reads_what_is_there),
                cmocka_unit_test(says_what_is_wrong),
                cmocka_unit_test(a_secret_text_is_not_quoted),
                cmocka_unit_test(writes),
        };

        return cmocka_run_group_tests_name("certs/codec/json", tests, NULL, NULL);
}
