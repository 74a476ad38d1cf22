/* HTTP answers: what is whole lies within the bytes, stays the same whatever follows, and is not whole with a byte
 * less. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "certs/http/https-answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int condition)
{
        if (!condition)
                abort();
}

static void look(const char *bytes, size_t n, bool ended)
{
        struct https_answer a = {0}, again = {0};
        const int r = https_answer_read(&a, bytes, n, ended);
        char value[64], *copy;

        check(r == 0 || r == HTTPS_ANSWER_MORE || r == -EBADMSG);
        check(!ended || r != HTTPS_ANSWER_MORE);
        if (r != 0)
                return;
        const size_t end = a.body + a.body_len;
        check(a.status >= 200 && a.status <= 999 && a.head < a.body && end <= n);
        check(memcmp(bytes + a.body - 4, "\r\n\r\n", 4) == 0 && (end == n || a.closes));
        https_answer_header(&a, bytes, "Content-Type", value, sizeof(value));
        check(strlen(value) < sizeof(value) && !strpbrk(value, "\r\n"));
        copy = malloc(n);
        check(copy != NULL);
        memcpy(copy, bytes, n);
        check(https_answer_join(&a, copy) <= a.body_len && memcmp(copy, bytes, a.body) == 0);
        free(copy);
        if (ended)
                return;
        check(https_answer_read(&again, bytes, end, false) == 0 && again.status == a.status &&
              again.body_len == a.body_len);
        check(https_answer_read(&again, bytes, end - 1, false) == HTTPS_ANSWER_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        look((const char *)data, n, false);
        look((const char *)data, n, true);
        return 0;
}
