/*
 * URIs of hardware keys, as far as the daemon itself must understand them: which kind, and where the PIN is.
 *
 * Invariant: a URI that passed here holds no PIN, so it may stand in a configuration, a log and an error. The
 * other attributes of RFC 7512 are p11-kit's business, in the process postern-keyholder.
 */
#include "certs/keys/key-uri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define HANDLE "handle:0x81"
#define HEX "0123456789abcdefABCDEF"

static const struct {
        const char *head;
        enum key_kind kind;
} heads[] = {
        {"pkcs11:", KEY_KIND_PKCS11},
        {"handle:", KEY_KIND_TPM_HANDLE},
        {"tpm2:", KEY_KIND_TPM_NEW},
        {"-----BEGIN TSS2 PRIVATE KEY-----", KEY_KIND_TPM_PEM},
};

enum key_kind key_kind_of(const char *text, size_t n)
{
        for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
                const size_t len = strlen(heads[i].head);

                if (n >= len && memcmp(text, heads[i].head, len) == 0)
                        return heads[i].kind;
        }
        return KEY_KIND_NONE;
}

/* Percent-decodes n characters into a path; -1 when it is malformed, holds NUL or is too long. */
static int decode_path(char *out, const char *text, size_t n)
{
        size_t len = 0;

        for (size_t i = 0; i < n; i++) {
                int c = (unsigned char)text[i];

                if (c == '%') {
                        const unsigned high = i + 2 < n ? hex_value(text[i + 1]) : 16;
                        const unsigned low = i + 2 < n ? hex_value(text[i + 2]) : 16;

                        if (high > 15 || low > 15)
                                return -1;
                        c = (int)(high << 4 | low);
                        i += 2;
                }
                if (c == 0 || len + 1 >= KEY_PATH_MAX)
                        return -1;
                out[len++] = (char)c;
        }
        out[len] = '\0';
        return 0;
}

static int take_pin_source(const char *value, size_t n, char *path, struct error *err)
{
        char text[KEY_PATH_MAX];
        const char *start = text;

        if (decode_path(text, value, n) < 0)
                return error_fail(err, -EINVAL, "key URI: pin-source is malformed or over %d bytes long",
                                  KEY_PATH_MAX - 1);
        if (strncmp(start, "file:", 5) == 0)
                start += 5;
        if (strncmp(start, "///", 3) == 0)
                start += 2;
        if (start[0] != '/' || start[1] == '/')
                return error_fail(err, -EINVAL, "key URI: pin-source is not file:/ and the absolute path of a file");
        if (path)
                (void)snprintf(path, KEY_PATH_MAX, "%s", start);
        return 0;
}

/* The attributes behind '?'. */
static int take_query(const char *query, char *path, struct error *err)
{
        bool seen = false;

        for (const char *at = query; *at;) {
                const size_t n = strcspn(at, "&");

                if (n >= 11 && strncmp(at, "pin-source=", 11) == 0) {
                        if (seen)
                                return error_fail(err, -EINVAL, "key URI: pin-source is given twice");
                        seen = true;
                        int r = take_pin_source(at + 11, n - 11, path, err);
                        if (r < 0)
                                return r;
                }
                at += n + (at[n] == '&');
        }
        return 0;
}

int key_uri_check(const char *uri, char *ret_pin_file, struct error *err)
{
        const size_t n = strlen(uri);
        const enum key_kind kind = key_kind_of(uri, n);
        const char *query = strchr(uri, '?');

        if (ret_pin_file)
                ret_pin_file[0] = '\0';
        if (n > KEY_URI_MAX)
                return error_fail(err, -EINVAL, "key URI: is longer than %d bytes", KEY_URI_MAX);
        for (size_t i = 0; i < n; i++)
                if (uri[i] <= 0x20 || uri[i] >= 0x7f)
                        return error_fail(err, -EINVAL,
                                          "key URI: holds a blank or a character that RFC 7512 wants written "
                                          "as %%XX");
        if (kind == KEY_KIND_NONE || kind == KEY_KIND_TPM_PEM)
                return error_fail(err, -EINVAL, "key URI: begins neither with pkcs11: nor with handle: nor with tpm2:");
        if (strstr(uri, "pin-value"))
                return error_fail(err, -EINVAL,
                                  "key URI: a PIN does not belong there; put it alone into a file of mode 600 and "
                                  "write pin-source=file:/PATH");
        if (kind == KEY_KIND_TPM_HANDLE &&
            (strncmp(uri, HANDLE, strlen(HANDLE)) != 0 || strspn(uri + strlen(HANDLE), HEX) != 6 ||
             !strchr("?", uri[strlen(HANDLE) + 6])))
                return error_fail(err, -EINVAL,
                                  "key URI: a TPM's persistent handle is written handle:0x81 and six more "
                                  "hexadecimal digits");
        if (kind == KEY_KIND_TPM_NEW && uri[5] != '\0')
                return error_fail(err, -EINVAL, "key URI: tpm2: stands alone");
        return query ? take_query(query + 1, ret_pin_file, err) : 0;
}

int key_uri_next(const char *reference, struct buffer *out, struct error *err)
{
        const char *label = strstr(reference, "object="), *query = strchr(reference, '?');
        unsigned long number = 1;
        size_t n, base;
        char *end = NULL;

        if (key_kind_of(reference, strlen(reference)) != KEY_KIND_PKCS11)
                return buffer_append_str(out, "tpm2:");
        if (!label || (query && label > query))
                return error_fail(err, -EINVAL, "to make the next key the PKCS#11 URI needs object=LABEL");
        label += strlen("object=");
        n = base = strcspn(label, ";?");
        while (base > 0 && strchr("0123456789", label[base - 1]))
                base--;
        if (base > 1 && base < n && label[base - 1] == '.' && n - base <= 6)
                number = strtoul(label + base--, &end, 10);
        else
                base = n;
        if (buffer_append(out, reference, (size_t)(label - reference) + base) < 0 ||
            buffer_printf(out, ".%lu", number + 1) < 0 || buffer_append_str(out, label + n) < 0)
                return error_fail(err, -EMSGSIZE, "the PKCS#11 URI is too long");
        return 0;
}
