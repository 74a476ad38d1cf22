/* Bodies of enrolment requests: as they come, and with the input as DER inside clean base64. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/relay/ca.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_text(const char *text, size_t n)
{
        struct ca_request request = {.req = NULL};
        struct error err = {""};

        int r = ca_request_parse(&request, text, n, "acme", &err);
        if (r == 0 ? !request.req || strlen(request.id) < 16 : r != -EBADMSG || request.req || !err.text[0])
                abort();
        ca_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        try_text((const char *)data, n);
        if (n > 8192)
                return 0;
        unsigned char *text = malloc(n * 2 + 8);
        if (!text)
                return 0;
        int len = EVP_EncodeBlock(text, data, (int)n);
        try_text((const char *)text, (size_t)len);
        free(text);
        return 0;
}
