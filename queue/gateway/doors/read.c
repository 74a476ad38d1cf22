/*
 * Reading Authorization: Basic and X-Forwarded-For. Nothing here keeps or logs what it reads.
 */
#include "queue/gateway/doors/read.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

size_t doors_read_basic(const char *header, char *out)
{
        const size_t n = header && strncasecmp(header, "Basic ", 6) == 0 ? strlen(header + 6) : 0;
        size_t pad = 0;
        int len;

        if (n == 0 || n % 4 || n / 4 * 3 > DOORS_BASIC_ROOM - 4)
                return 0;
        while (pad < 2 && header[6 + n - 1 - pad] == '=')
                pad++;
        len = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)header + 6, (int)n);
        return len > (int)pad ? (size_t)len - pad : 0;
}

bool doors_read_proxy(const struct gateway_net *trusted, size_t n, const char *address)
{
        static const struct gateway_net own[] = {{{[10] = 0xff, [11] = 0xff, [12] = 127}, 104}, {{[15] = 1}, 128}};

        return gateway_net_has(own, 2, address) || gateway_net_has(trusted, n, address);
}

bool doors_read_client(const struct gateway_net *trusted, size_t n, const char *peer, const char *forwarded,
                       char out[64])
{
        const char *end = forwarded ? forwarded + strlen(forwarded) : NULL;
        bool believed = strcmp(peer, "unix") == 0;

        (void)snprintf(out, 64, "%s", believed ? "" : peer);
        believed = believed || doors_read_proxy(trusted, n, out);
        while (believed && end) {
                const char *comma = end > forwarded ? memrchr(forwarded, ',', (size_t)(end - forwarded)) : NULL;
                const char *at = comma ? comma + 1 : forwarded;
                uint8_t address[16];
                char one[64];

                while (at < end && (*at == ' ' || *at == '\t'))
                        at++;
                size_t len = (size_t)(end - at);
                while (len && (at[len - 1] == ' ' || at[len - 1] == '\t'))
                        len--;
                (void)snprintf(one, sizeof(one), "%.*s", (int)(len < sizeof(one) ? len : 0), at);
                if (gateway_address(address, one) < 0)
                        break; /* what stands before it is not believed */
                memcpy(out, one, sizeof(one));
                believed = doors_read_proxy(trusted, n, one);
                end = comma;
        }
        return *out != '\0';
}
