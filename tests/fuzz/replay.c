/*
 * Stands in for libFuzzer where there is no clang: feeds a folder of files to the target.
 *
 * Each file goes in whole, then every prefix of it (short files) and a fixed number of mutations from a fixed
 * seed, so a run is the same every time. Inputs lie in blocks of exactly their size, so that ASan sees a read
 * past the end. An empty or missing folder is a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1U << 20)
#define PREFIX_MAX 2048
#define MUTATIONS 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t seed = 0x9E3779B97F4A7C15U;

static uint64_t next_random(void)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return seed;
}

static void feed(const uint8_t *data, size_t n)
{
        uint8_t *copy = malloc(n ? n : 1);

        if (!copy)
                abort();
        if (n > 0)
                memcpy(copy, data, n);
        (void)LLVMFuzzerTestOneInput(copy, n);
        free(copy);
}

/* Changes up to four bytes, then feeds the result. */
static void feed_mutation(const uint8_t *data, size_t n)
{
        uint8_t *copy = malloc(n);

        if (!copy)
                abort();
        memcpy(copy, data, n);
        for (uint64_t changes = 1 + next_random() % 4; changes > 0; changes--) {
                uint64_t r = next_random();
                size_t at = (size_t)(next_random() % n);
                if (r & 1)
                        copy[at] = (uint8_t)(r >> 8);
                else
                        copy[at] ^= (uint8_t)(1U << (r >> 8 & 7));
        }
        feed(copy, n);
        free(copy);
}

static void feed_all(const uint8_t *data, size_t n)
{
        feed(data, n);
        for (size_t i = 0; i < n && n <= PREFIX_MAX; i++)
                feed(data, i);
        for (int i = 0; i < MUTATIONS && n > 0; i++)
                feed_mutation(data, n);
}

static int feed_file(const char *folder, const char *name)
{
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        FILE *f = fopen(path, "rbe");
        uint8_t *data = malloc(INPUT_MAX);

        if (!f || !data) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                free(data);
                if (f)
                        (void)fclose(f);
                return -1;
        }
        size_t n = fread(data, 1, INPUT_MAX, f);
        int bad = ferror(f);
        (void)fclose(f);
        feed_all(data, n);
        free(data);
        return bad ? -1 : 0;
}

int main(int argc, char **argv)
{
        unsigned files = 0;
        DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

        if (!dir) {
                fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
                return 2;
        }
        for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
                if (e->d_name[0] == '.')
                        continue;
                if (feed_file(argv[1], e->d_name) < 0)
                        return 1;
                files++;
        }
        (void)closedir(dir);
        printf("%u files\n", files);
        return files > 0 ? 0 : 1;
}
