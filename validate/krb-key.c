/*
 * From a password to the key that the KDC's hints ask for.
 *
 * Invariant: salt and cost come from the KDC, within bounds, and are never guessed; the password is handed to
 * no function of libkrb5. The keys are derived here with nettle: libk5crypto needs 8 ms for AES with SHA-1,
 * which is what AD uses, nettle 1.3 ms.
 */
#include "validate/krb-key.h"

#include <errno.h>
#include <nettle/aes.h>
#include <nettle/hmac.h>
#include <nettle/pbkdf2.h>
#include <string.h>

/* Overwrites what callees left below this frame. Not inlined, so that it covers the same stretch. */
static __attribute__((noinline)) void wipe_stack(void)
{
        uint8_t below[4096];

        wipe(below, sizeof below);
}

/* RFC 3961's DK(key, "kerberos"): the 16-byte n-fold of the constant, encrypted once or twice. */
static void derive(uint8_t *out, size_t out_len, const uint8_t *key)
{
        static const uint8_t folded[AES_BLOCK_SIZE] = {0x6b, 0x65, 0x72, 0x62, 0x65, 0x72, 0x6f, 0x73,
                                                       0x7b, 0x9b, 0x5b, 0x2b, 0x93, 0x13, 0x2b, 0x93};
        struct aes256_ctx aes256;
        struct aes128_ctx aes128;

        if (out_len == AES256_KEY_SIZE) {
                aes256_set_encrypt_key(&aes256, key);
                aes256_encrypt(&aes256, AES_BLOCK_SIZE, out, folded);
                aes256_encrypt(&aes256, AES_BLOCK_SIZE, out + AES_BLOCK_SIZE, out);
                wipe(&aes256, sizeof aes256);
        } else {
                aes128_set_encrypt_key(&aes128, key);
                aes128_encrypt(&aes128, AES_BLOCK_SIZE, out, folded);
                wipe(&aes128, sizeof aes128);
        }
}

static const uint8_t *bytes_of(const struct secret *password)
{
        const void *text = secret_text(password);

        return text;
}

void krb_key_aes_sha1(uint8_t *out, size_t out_len, const struct secret *password,
                      const struct krb_etype_entry *entry, uint32_t iterations)
{
        uint8_t key[AES256_KEY_SIZE];

        pbkdf2_hmac_sha1(secret_len(password), bytes_of(password), iterations, entry->salt_len, entry->salt,
                         out_len, key);
        derive(out, out_len, key);
        wipe(key, sizeof key);
        wipe_stack();
}

/* RFC 8009 section 5: KDF-HMAC-SHA2(key, "kerberos", bits), of which one block is enough. */
static void derive_sha2(uint8_t *out, size_t out_len, const uint8_t *key)
{
        /* counter, label, zero, length in bits */
        const uint8_t input[] = {0,
                                 0,
                                 0,
                                 1,
                                 'k',
                                 'e',
                                 'r',
                                 'b',
                                 'e',
                                 'r',
                                 'o',
                                 's',
                                 0,
                                 0,
                                 0,
                                 (uint8_t)(out_len * 8 >> 8),
                                 (uint8_t)(out_len * 8)};
        struct hmac_sha384_ctx sha384;
        struct hmac_sha256_ctx sha256;

        if (out_len == AES256_KEY_SIZE) {
                hmac_sha384_set_key(&sha384, out_len, key);
                hmac_sha384_update(&sha384, sizeof input, input);
                hmac_sha384_digest(&sha384, out_len, out);
                wipe(&sha384, sizeof sha384);
        } else {
                hmac_sha256_set_key(&sha256, out_len, key);
                hmac_sha256_update(&sha256, sizeof input, input);
                hmac_sha256_digest(&sha256, out_len, out);
                wipe(&sha256, sizeof sha256);
        }
}

int krb_key_aes_sha2(uint8_t *out, size_t out_len, const struct secret *password,
                     const struct krb_etype_entry *entry, uint32_t iterations)
{
        static const char name256[] = "aes256-cts-hmac-sha384-192", name128[] = "aes128-cts-hmac-sha256-128";
        const char *name = out_len == AES256_KEY_SIZE ? name256 : name128;
        uint8_t salt[sizeof name256 + KRB_SALT_MAX], key[AES256_KEY_SIZE];
        size_t n = sizeof name256; /* both are as long; the NUL belongs to the salt */

        _Static_assert(sizeof name256 == sizeof name128, "the names differ in length");
        if (entry->salt_len > KRB_SALT_MAX)
                return -EMSGSIZE;
        memcpy(salt, name, n);
        memcpy(salt + n, entry->salt, entry->salt_len);
        n += entry->salt_len;
        if (out_len == AES256_KEY_SIZE)
                pbkdf2_hmac_sha384(secret_len(password), bytes_of(password), iterations, n, salt, out_len,
                                   key);
        else
                pbkdf2_hmac_sha256(secret_len(password), bytes_of(password), iterations, n, salt, out_len,
                                   key);
        derive_sha2(out, out_len, key);
        wipe(key, sizeof key);
        wipe_stack();
        return 0;
}

/* Iterations of an entry, 0 for the kind's default; false when they are malformed or out of bounds. */
static bool iterations_of(uint32_t *ret, const struct krb_etype_entry *entry)
{
        uint32_t count;

        if (!entry->params) {
                *ret = 0;
                return true;
        }
        if (entry->params_len != 4)
                return false;
        count = (uint32_t)entry->params[0] << 24 | (uint32_t)entry->params[1] << 16 |
                (uint32_t)entry->params[2] << 8 | entry->params[3];
        if (count < KRB_ITERATIONS_MIN || count > KRB_ITERATIONS_MAX)
                return false;
        *ret = count;
        return true;
}

static bool is_256(krb5_enctype etype)
{
        return etype == ENCTYPE_AES256_CTS_HMAC_SHA1_96 || etype == ENCTYPE_AES256_CTS_HMAC_SHA384_192;
}

static bool is_sha1(krb5_enctype etype)
{
        return etype == ENCTYPE_AES256_CTS_HMAC_SHA1_96 || etype == ENCTYPE_AES128_CTS_HMAC_SHA1_96;
}

/* The key of one entry; key is freed with krb5_free_keyblock_contents, which wipes it. */
static krb5_error_code make_key(krb5_keyblock *ret, krb5_context context, const struct krb_etype_entry *entry,
                                const struct secret *password)
{
        size_t len = is_256(entry->etype) ? AES256_KEY_SIZE : AES128_KEY_SIZE;
        krb5_keyblock *key = NULL;
        krb5_error_code code;
        uint32_t iterations;
        int r = 0;

        if (!iterations_of(&iterations, entry))
                return EINVAL;
        code = krb5_init_keyblock(context, entry->etype, len, &key);
        if (code)
                return code;
        if (is_sha1(entry->etype))
                krb_key_aes_sha1(key->contents, len, password, entry, iterations ? iterations : 4096);
        else
                r = krb_key_aes_sha2(key->contents, len, password, entry, iterations ? iterations : 32768);
        code = r < 0 ? EINVAL : krb5_copy_keyblock_contents(context, key, ret);
        krb5_free_keyblock(context, key);
        return code;
}

/* The entry whose kind we like best; NULL when none is AES. */
static const struct krb_etype_entry *choose(const struct krb_etype_info *info)
{
        static const krb5_enctype order[] = {ENCTYPE_AES256_CTS_HMAC_SHA1_96, ENCTYPE_AES128_CTS_HMAC_SHA1_96,
                                             ENCTYPE_AES256_CTS_HMAC_SHA384_192,
                                             ENCTYPE_AES128_CTS_HMAC_SHA256_128};

        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
                for (size_t j = 0; j < info->n; j++) {
                        if (info->entries[j].etype == order[i])
                                return &info->entries[j];
                }
        }
        return NULL;
}

/* Puts the key under the client's name into a keytab that only this sign-in has. */
static krb5_error_code make_keytab(krb5_keytab *ret, struct krb *krb, const struct krb_key_request *request,
                                   const struct krb_etype_entry *entry)
{
        krb5_keytab_entry row = {.principal = request->client};
        krb5_keytab keytab = NULL;
        krb5_error_code code = make_key(&row.key, krb->context, entry, request->password);

        if (code)
                return code;
        code = krb_memory_keytab(&keytab, krb);
        if (!code)
                code = krb5_kt_add_entry(krb->context, keytab, &row);
        krb5_free_keyblock_contents(krb->context, &row.key);
        if (!code)
                *ret = keytab;
        else if (keytab)
                krb5_kt_close(krb->context, keytab);
        return code;
}

static enum reason refuse(const char **ret_why, enum reason reason, const char *why)
{
        *ret_why = why;
        return reason;
}

enum reason krb_key_prepare(krb5_keytab *ret, const char **ret_why, struct krb *krb,
                            const struct krb_key_request *request)
{
        const struct krb_padata *padata = krb_padata_find(request->hints, KRB_PA_ETYPE_INFO2);
        const struct krb_etype_entry *entry;
        struct krb_etype_info info;
        krb5_error_code code;
        uint32_t iterations;

        if (!padata) /* as MIT says that it has no key of a kind we offered */
                return refuse(ret_why, REASON_ETYPE_NOSUPP,
                              "the KDC names no key of the account that we accept");
        if (krb_etype_info2_parse(&info, padata->bytes, padata->n) < 0)
                return refuse(ret_why, REASON_DC_PROTOCOL, "the KDC's hint for the key is malformed");
        entry = choose(&info);
        if (!entry)
                return refuse(ret_why, REASON_ETYPE_NOSUPP, "the KDC has no AES key of the account");
        if (!iterations_of(&iterations, entry))
                return refuse(ret_why, REASON_DC_PROTOCOL, "the KDC asks for iterations out of bounds");
        if (!entry->salt)
                return refuse(ret_why, REASON_ETYPE_NOSUPP,
                              "the KDC gives no salt for the account's key, so no password made it");
        code = make_keytab(ret, krb, request, entry);
        if (code)
                return refuse(ret_why, code == ENOMEM ? REASON_OVERLOADED : REASON_INTERNAL,
                              "the key could not be made");
        return REASON_OK;
}
