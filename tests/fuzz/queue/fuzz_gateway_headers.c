/*
 * What a web server passes on of a browser's headers to the gateway's door: Authorization and X-Forwarded-For.
 *
 * Input: the first, the peer's address, and the second, with NUL bytes between.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queue/gateway/doors/read.h"

static void must(bool held)
{
        if (!held)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const struct gateway_net trusted[] = {/* the second and third are so by themselves */
                                                     {{[10] = 0xff, [11] = 0xff, [12] = 10}, 104},
                                                     {{[10] = 0xff, [11] = 0xff, [12] = 127}, 104},
                                                     {{[15] = 1}, 128}};
        char *part[3] = {NULL}, basic[DOORS_BASIC_ROOM], ip[64];
        uint8_t address[16];
        size_t at = 0;

        for (size_t i = 0; i < 3; i++) { /* each of its own, so that reading past an end is seen */
                const size_t left = n - at;
                const char *end = left ? memchr(data + at, 0, left) : NULL;
                const size_t len = end ? (size_t)(end - (const char *)data) - at : left;

                part[i] = strndup(left ? (const char *)data + at : "", len);
                must(part[i] != NULL);
                at = len < left ? at + len + 1 : n;
        }
        const size_t decoded = doors_read_basic(part[0], basic);
        must(decoded <= DOORS_BASIC_ROOM - 4);
        must(decoded == 0 || strncasecmp(part[0], "Basic ", 6) == 0);
        if (gateway_address(address, part[1]) == 0 || strcmp(part[1], "unix") == 0) {
                const bool known = doors_read_client(trusted, 1, part[1], part[2], ip);

                must(known == (ip[0] != '\0'));
                must(!known || gateway_address(address, ip) == 0);
                /* who is not believed names nobody else */
                if (strcmp(part[1], "unix") != 0 && !gateway_net_has(trusted, 3, part[1]))
                        must(strcmp(ip, part[1]) == 0);
        }
        for (size_t i = 0; i < 3; i++)
                free(part[i]);
        return 0;
}
