/*
 * Private keys of people: where they are at rest. A file is written once and never overwritten.
 */
#include "connector/person/key-file.h"

#include <errno.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/person/hardware.h"

int folder_key_make(const struct folder_key *file, const char *uri, struct key **ret_key, struct buffer *reference,
                    struct error *err)
{
        /* in a token or TPM; the file gets what names it */
        const struct hardware_request request = {.reference = uri, .make = true, .ask = file->ask};

        if (access(file->path, F_OK) == 0)
                return error_fail(err, -EEXIST, "%s: exists already; a key file is never overwritten", file->path);
        if (!uri)
                return key_generate(ret_key, err);
        if (!hardware_named(uri))
                return error_fail(err, -EINVAL,
                                  "%s names no key in hardware: it begins neither with pkcs11: nor with tpm2: nor with "
                                  "handle:",
                                  uri);
        return hardware_key(&request, ret_key, reference, err);
}

int folder_key_write(const struct folder_key *file, const struct key *key, const struct buffer *reference,
                     struct error *err)
{
        return reference->len ? file_write_atomic(file->path, reference->data, reference->len, 0600, err)
                              : key_write(key, file->path, file->passphrase, err);
}

int folder_key_read(const struct folder_key *file, struct key **ret_key, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(FOLDER_KEY_MAX);
        struct hardware_request request = {.ask = file->ask};
        int r = file_read(&text, file->path, err);

        if (r < 0)
                return r;
        request.reference = text.data ? text.data : "";
        return hardware_named(request.reference) ? hardware_key(&request, ret_key, NULL, err)
                                                 : key_read(ret_key, file->path, file->passphrase, err);
}

bool folder_key_encrypted(const char *path)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(65536); /* it may not be encrypted */

        return file_read(&pem, path, NULL) == 0 && key_pem_encrypted(pem.data, pem.len);
}
