/*
 * Files that people edit: plain text, lines, sections, one secret.
 *
 * Properties: what is plain stays as it is when it is made plain again; a secret that was taken is one line without
 * blanks at its ends, and taking it again gives the same; a section's name holds no bracket.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/admin-text.h"

#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check_plain(const char *bytes, size_t n)
{
        struct buffer text = BUFFER(INPUT_MAX), again = BUFFER(INPUT_MAX);
        struct error err;

        require(n == 0 || buffer_append(&text, bytes, n) == 0);
        if (admin_text_plain(&text, "f", &err) == 0) {
                require(!text.data || !memchr(text.data, '\0', text.len));
                require(text.len <= n);
                if (text.data && !memmem(text.data, text.len, "\xef\xbb\xbf", 3) &&
                    !memchr(text.data, '\r', text.len)) {
                        require(buffer_append(&again, text.data, text.len) == 0);
                        require(admin_text_plain(&again, NULL, &err) == 0);
                        require(again.len == text.len);
                        require(text.len == 0 || memcmp(again.data, text.data, text.len) == 0);
                }
        }
        buffer_free(&text);
        buffer_free(&again);
}

static void check_secret(const char *bytes, size_t n)
{
        char *text = calloc(n + 1, 1);
        struct error err;

        require(text);
        memcpy(text, bytes, n);
        if (admin_secret(text, &n, "f", &err) == 0) {
                size_t again = n;

                require(n > 0 && strlen(text) == n && text[0] != ' ' && text[n - 1] != ' ' && !strpbrk(text, "\r\n"));
                require(admin_secret(text, &again, "f", &err) == 0 && again == n);
        }
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *bytes = (const char *)data, *why;
        char name[64];

        if (n > INPUT_MAX)
                return 0;
        if (n > 0) {
                check_plain(bytes, n);
                check_secret(bytes, n);
        }
        if (n > 0 && !memchr(bytes, '\n', n) && !memchr(bytes, '\0', n) &&
            admin_section(name, sizeof name, bytes, n, &why) == 1)
                require(*name && !strchr(name, ']'));
        (void)admin_line_fault(bytes, n);
        return 0;
}
