/* Heads of HTTP requests: a verdict depends only on the head's own bytes, and what passes is well-formed. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int condition)
{
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct http_head head, again;
        struct http_parts parts;
        struct error err;
        char value[32];

        int r = http_head_parse(&head, (const char *)data, n, &err);
        check(r == 0 || r == HTTP_HEAD_MORE || r == -EBADMSG || r == -EMSGSIZE || r == -EOPNOTSUPP || r == -ENODATA);
        if (r == HTTP_HEAD_MORE)
                check(n < HTTP_HEAD_MAX);
        if (r != 0)
                return 0;
        check(head.length <= n && head.length <= HTTP_HEAD_MAX && memcmp(data + head.length - 4, "\r\n\r\n", 4) == 0);
        check(head.path[0] == '/' && strlen(head.path) <= HTTP_PATH_MAX);
        check(head.method == HTTP_GET ? head.content_length == 0 : head.method == HTTP_POST || head.method == HTTP_PUT);
        check(http_head_parse(&again, (const char *)data, head.length, &err) == 0);
        check(strcmp(again.path, head.path) == 0 && again.content_length == head.content_length);
        check(http_head_parse(&again, (const char *)data, head.length - 1, &err) == HTTP_HEAD_MORE);
        http_path_match("/v1/tenants/{}/sign-ins/{}", head.path, &parts);
        http_query_get(head.query, "boot", value, sizeof(value));
        return 0;
}
