/*
 * Masking and keyed hashing of names as typed. Knows nothing of what a name means.
 */
#include "connector/frames/name-hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/core/secret.h"
#include "base/core/text.h"

void name_hash(const uint8_t key[NAME_HASH_KEY_LEN], const char *name, size_t n, char ret_hash[NAME_HASH_TEXT])
{
        uint8_t folded[1024], mac[EVP_MAX_MD_SIZE] = {0};
        unsigned mac_len = 0;

        if (n > sizeof(folded))
                n = sizeof(folded);
        for (size_t i = 0; i < n; i++)
                folded[i] = (uint8_t)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
        HMAC(EVP_sha256(), key, NAME_HASH_KEY_LEN, folded, n, mac, &mac_len);
        hex_encode_to(ret_hash, mac, (NAME_HASH_TEXT - 1) / 2);
        wipe(folded, sizeof(folded));
}

/* A single printable ASCII character stands for itself, all else for '?'. */
static char shown(char c)
{
        return c > 0x20 && c < 0x7f ? c : '?';
}

void name_mask(const char *name, size_t n, int keep_domain, char *out, size_t cap)
{
        const char *at = keep_domain && n ? memrchr(name, '@', n) : NULL;
        size_t local = at ? (size_t)(at - name) : n;

        if (at && !utf8_valid(at, n - local))
                at = NULL, local = n;
        if (local < 4)
                snprintf(out, cap, "… (%zu)%.*s", local, at ? (int)(n - local) : 0, at ? at : "");
        else
                snprintf(out, cap, "%c…%c (%zu)%.*s", shown(name[0]), shown(name[local - 1]), local,
                         at ? (int)(n - local) : 0, at ? at : "");
}
