/*
 * Writes the test vectors, or compares them: generate [--check] FOLDER.
 *
 * All inputs are fixed, so the files are the same on every machine; --check says which file is not, writes
 * nothing, and ends with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/secret.h"
#include "base/core/text.h"
#include "tests/vectors/documents.h"
#include "tests/vectors/maker.h"

#define FILE_MAX (4 * 1024 * 1024)

static char *document_text(const struct document *d)
{
        json_t *json = d->make();
        char *text = json_dumps(json, JSON_INDENT(2));
        char *pooled = pool_text("%s\n", text ? text : "");

        free(text);
        json_decref(json);
        return pooled;
}

static int check(const char *path, const char *text)
{
        _cleanup_(buffer_free) struct buffer stored = BUFFER(FILE_MAX);
        struct error err = {""};

        if (file_read(&stored, path, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        if (stored.len == strlen(text) && memcmp(stored.data, text, stored.len) == 0)
                return 0;
        fprintf(stderr, "%s: is not what the generator makes; run it without --check and look at the difference\n",
                path);
        return 1;
}

static int write_file(const char *path, const char *text)
{
        struct error err = {""};

        if (file_write_atomic(path, text, strlen(text), 0644, &err) == 0)
                return 0;
        fprintf(stderr, "%s\n", err.text);
        return 1;
}

int main(int argc, char **argv)
{
        const int checking = argc == 3 && strcmp(argv[1], "--check") == 0;
        int failed = 0;

        if (argc != 2 + checking || argv[1 + checking][0] == '-') {
                fprintf(stderr, "usage: generate [--check] FOLDER\n");
                return 2;
        }
        for (const struct document *d = documents; d->file; d++) {
                const char *path = pool_text("%s/%s", argv[1 + checking], d->file), *text = document_text(d);

                failed |= checking ? check(path, text) : write_file(path, text);
        }
        pool_free();
        return failed;
}
