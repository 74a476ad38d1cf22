/*
 * Text that comes from outside: base64url, UTF-8, ids, numbers, and values on a log line.
 *
 * Properties: base64url that decodes encodes back to the same text; a value, whatever its bytes, gives one
 * clean log line whose last field cannot be forged; valid UTF-8 is walked to its end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/buffer.h"
#include "base/core/log.h"
#include "base/core/text.h"

#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check_base64url(const char *text, size_t n)
{
        struct buffer bytes = BUFFER(INPUT_MAX), again = BUFFER(INPUT_MAX);

        if (b64u_decode(&bytes, text, n) == 0) {
                require(b64u_encode(&again, bytes.data, bytes.len) == 0);
                require(again.len == n && (n == 0 || memcmp(again.data, text, n) == 0));
        }
        buffer_free(&bytes);
        buffer_free(&again);
}

static void check_line(enum log_level level, const char *program, const char *line)
{
        static const char end[] = " end=1";
        size_t n = strlen(line);

        (void)level;
        (void)program;
        require(n < LOG_LINE_MAX && utf8_valid(line, n));
        for (size_t i = 0; i < n; i++)
                require((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
        require(n > sizeof end && strcmp(line + n - (sizeof end - 1), end) == 0);
        /* The value is bare, without blanks, or quoted, with no bare quote inside. */
        const char *value = line + strlen("e k=");
        size_t len = n - strlen("e k=") - (sizeof end - 1);
        if (value[0] != '"') {
                require(!memchr(value, ' ', len) && !memchr(value, '=', len));
                return;
        }
        size_t i = 1;
        while (i < len && value[i] != '"')
                i += value[i] == '\\' ? 2 : 1;
        require(i == len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        uint64_t number = 7;

        if (n > INPUT_MAX)
                return 0;
        char *text = malloc(n + 1);
        require(text);
        if (n > 0)
                memcpy(text, data, n);
        text[n] = '\0';
        check_base64url(text, n);
        if (id_valid(text, n))
                require(utf8_valid(text, n) && strlen(text) == n);
        if (text_parse_u64(text, 3, 99, &number) == 0)
                require(number >= 3 && number <= 99);
        else
                require(number == 7);
        log_open("fuzz", LOG_LEVEL_INFO, check_line);
        log_info("e", KV_S("k", text), KV_I("end", 1));
        free(text);
        return 0;
}
