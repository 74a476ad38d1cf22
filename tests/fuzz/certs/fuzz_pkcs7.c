/*
 * Any bytes as the answer of an EST server.
 */
#include <errno.h>

#include "certs/enrol/csr.h"
#include "tests/fuzz/certs/fixed-key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(256 * 1024);
        struct error err = {""};
        int64_t not_after;
        char cn[65];
        int r = csr_certs_from_pkcs7((const char *)data, n, &pem, &err);

        if (r < 0) {
                must(pem.len == 0 && err.text[0] != '\0');
                return 0;
        }
        must(pem.len > 0);
        (void)csr_cert_info(pem.data, pem.len, &not_after, cn, sizeof(cn), &err);
        (void)csr_cert_matches(pem.data, pem.len, fixed_key(), &err);
        (void)csr_cert_is_for(pem.data, pem.len, "acme", "connector-0001-aaaa", &err);
        return 0;
}
