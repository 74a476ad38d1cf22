/*
 * What reading a message costs: our check and reader against jansson's tree and, where they are installed, yajl's
 * events and the trees of cJSON and json-c, each as strict as it can be set.
 *
 * usage: bench_json FILE...    prints CPU ns for each
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "certs/codec/json.h"
#include "base/core/text.h"
#ifdef HAVE_YAJL
#include <yajl/yajl_parse.h>
#endif
#ifdef HAVE_CJSON
#include <cjson/cJSON.h>
#endif
#ifdef HAVE_JSON_C
#include <json-c/json_tokener.h>
#endif

#define FILE_MAX (1U << 20)
#define FOR_NS 200000000U

typedef bool read_fn(const char *text, size_t n);

static bool by_check(const char *text, size_t n)
{
        size_t at;

        return json_flaw(text, n, false, &at) == NULL;
}

/* Copies each string once, as a codec does. */
static void walk(struct json_reader *r)
{
        char text[8193];
        struct json_reader sub;

        while (json_read_next(r)) {
                if (*r->current.value == '{' && json_read_object(&sub, r, NULL, JSON_REQUIRED))
                        walk(&sub);
                else if (*r->current.value == '[' && json_read_list(&sub, r, NULL, JSON_REQUIRED, 0, SIZE_MAX))
                        walk(&sub);
                else if (*r->current.value == '"')
                        json_read_bytes(r, NULL, text, sizeof(text));
        }
}

static bool by_reader(const char *text, size_t n)
{
        struct json_reader r;

        json_read_begin(&r, text, n, JSON_PLAIN, "text", NULL);
        walk(&r);
        return json_read_end(&r, true) == 0;
}

static bool by_jansson(const char *text, size_t n)
{
        json_t *tree = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        const bool fine = tree != NULL;

        json_decref(tree);
        return fine;
}

#ifdef HAVE_YAJL
static int on_text(void *arg, const unsigned char *text, size_t n)
{
        static char copy[8193];

        (void)arg;
        memcpy(copy, text, n < sizeof(copy) ? n : sizeof(copy));
        return 1;
}

static int on_bool(void *arg, int value)
{
        (void)arg;
        return value >= 0;
}

static int on_end(void *arg)
{
        (void)arg;
        return 1;
}

static int on_number(void *arg, const char *text, size_t n)
{
        (void)arg;
        return text && n > 0;
}

/* Without a check for members that are repeated: it has none. */
static bool by_yajl(const char *text, size_t n)
{
        static const yajl_callbacks calls = {.yajl_null = on_end,
                                             .yajl_boolean = on_bool,
                                             .yajl_number = on_number,
                                             .yajl_string = on_text,
                                             .yajl_start_map = on_end,
                                             .yajl_map_key = on_text,
                                             .yajl_end_map = on_end,
                                             .yajl_start_array = on_end,
                                             .yajl_end_array = on_end};
        yajl_handle handle = yajl_alloc(&calls, NULL, NULL);
        const bool fine = yajl_parse(handle, (const unsigned char *)text, n) == yajl_status_ok &&
                          yajl_complete_parse(handle) == yajl_status_ok;

        yajl_free(handle);
        return fine;
}
#endif

#ifdef HAVE_CJSON
/* Without checks for UTF-8 and for members that are repeated: it has none. */
static bool by_cjson(const char *text, size_t n)
{
        cJSON *tree = cJSON_ParseWithLength(text, n);
        const bool fine = tree != NULL;

        cJSON_Delete(tree);
        return fine;
}
#endif

#ifdef HAVE_JSON_C
/* Without a check for members that are repeated: the last one wins. */
static bool by_json_c(const char *text, size_t n)
{
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *tree;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        tree = json_tokener_parse_ex(tokener, text, (int)n);
        const bool fine = tree != NULL;
        json_object_put(tree);
        json_tokener_free(tokener);
        return fine;
}
#endif

static uint64_t cpu_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void measure(const char *name, read_fn *fn, const struct buffer *text)
{
        const uint64_t start = cpu_ns();
        uint64_t rounds = 0;

        while (cpu_ns() - start < FOR_NS)
                for (unsigned i = 0; i < 64; i++, rounds++)
                        if (!fn(text->data, text->len))
                                exit(1);
        printf("  %-18s %9.0f ns\n", name, (double)(cpu_ns() - start) / (double)rounds);
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                struct buffer text = BUFFER(FILE_MAX);
                struct error err;

                if (file_read(&text, argv[i], &err) < 0) {
                        fprintf(stderr, "%s\n", err.text);
                        return 1;
                }
                printf("%s, %zu bytes\n", argv[i], text.len);
                measure("check", by_check, &text);
                measure("check and read", by_reader, &text);
                measure("jansson", by_jansson, &text);
#ifdef HAVE_YAJL
                measure("yajl", by_yajl, &text);
#endif
#ifdef HAVE_CJSON
                measure("cJSON", by_cjson, &text);
#endif
#ifdef HAVE_JSON_C
                measure("json-c", by_json_c, &text);
#endif
                buffer_free(&text);
        }
        return 0;
}
