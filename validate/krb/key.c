/*
 * From a password to the key that the KDC's hints ask for.
 *
 * Invariant: salt and cost come from the KDC, within bounds, and are never guessed; the password is handed to
 * no function of libkrb5. The keys are made here: libk5crypto needs 8 ms for AES with SHA-1, which is what AD
 * uses, nettle 0.7 to 1.3 ms, and several side by side (krb/batch.c) down to 0.1 ms each.
 */
#include "validate/krb/key.h"

#include <errno.h>
#include <nettle/aes.h>
#include <nettle/hmac.h>
#include <nettle/pbkdf2.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/bytes.h"
#include "validate/krb/batch.h"

#define SHA2_NAME_LEN 27 /* of both kinds, the NUL included */

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

/* RFC 8009 section 4, for a job whose salt begins with the kind's name. */
static void aes_sha2(const struct krb_batch_job *job, uint8_t *out)
{
        uint8_t key[AES256_KEY_SIZE];

        if (job->key_len == AES256_KEY_SIZE)
                pbkdf2_hmac_sha384(secret_len(job->password), bytes_of(job->password), job->iterations, job->salt_len,
                                   job->salt, job->key_len, key);
        else
                pbkdf2_hmac_sha256(secret_len(job->password), bytes_of(job->password), job->iterations, job->salt_len,
                                   job->salt, job->key_len, key);
        derive_sha2(out, job->key_len, key);
        wipe(key, sizeof key);
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
        count = bytes_be32(entry->params);
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

/* The entry whose kind we like best; NULL when none is AES. */
static const struct krb_etype_entry *choose(const struct krb_etype_info *info)
{
        static const krb5_enctype order[] = {ENCTYPE_AES256_CTS_HMAC_SHA1_96, ENCTYPE_AES128_CTS_HMAC_SHA1_96,
                                             ENCTYPE_AES256_CTS_HMAC_SHA384_192, ENCTYPE_AES128_CTS_HMAC_SHA256_128};

        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
                for (size_t j = 0; j < info->n; j++) {
                        if (info->entries[j].etype == order[i])
                                return &info->entries[j];
                }
        }
        return NULL;
}

struct krb_key {
        struct krb *krb;
        krb5_principal client;
        krb5_enctype etype;
        struct krb_batch_job job;
        uint8_t salt[SHA2_NAME_LEN + KRB_SALT_MAX];
        krb_key_fn *fn;
        void *arg;
};

/* Puts the key under the client's name into a keytab that only this sign-in has. */
static krb5_error_code make_keytab(krb5_keytab *ret, const struct krb_key *k, const uint8_t *bytes)
{
        krb5_context context = k->krb->context;
        krb5_keytab_entry row = {.principal = k->client};
        krb5_keyblock *key = NULL;
        krb5_keytab keytab = NULL;
        krb5_error_code code = krb5_init_keyblock(context, k->etype, k->job.key_len, &key);

        if (code)
                return code;
        memcpy(key->contents, bytes, k->job.key_len);
        row.key = *key;
        code = krb_memory_keytab(&keytab, k->krb);
        if (!code)
                code = krb5_kt_add_entry(context, keytab, &row);
        krb5_free_keyblock(context, key);
        if (!code)
                *ret = keytab;
        else if (keytab)
                krb5_kt_close(context, keytab);
        return code;
}

/* The batch is through: what is left is cheap. */
static void on_bytes(void *arg, const uint8_t *bytes)
{
        struct krb_key *k = arg;
        krb5_keytab keytab = NULL;
        uint8_t key[AES256_KEY_SIZE];
        krb5_error_code code;

        if (is_sha1(k->etype)) {
                derive(key, k->job.key_len, bytes);
                code = make_keytab(&keytab, k, key);
        } else {
                code = make_keytab(&keytab, k, bytes);
        }
        wipe(key, sizeof key);
        krb_lanes_wipe_stack();
        k->fn(k->arg, code ? NULL : keytab);
}

static enum reason refuse(const char **ret_why, enum reason reason, const char *why)
{
        *ret_why = why;
        return reason;
}

/* The job for an entry. -EMSGSIZE for a salt that no account has. */
static int make_job(struct krb_key *k, const struct krb_etype_entry *entry, uint32_t iterations)
{
        static const char names[2][SHA2_NAME_LEN] = {"aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"};
        size_t n = 0;

        if (entry->salt_len > KRB_SALT_MAX)
                return -EMSGSIZE;
        k->etype = entry->etype;
        if (!is_sha1(entry->etype)) { /* RFC 8009: the NUL behind the name belongs to the salt */
                n = SHA2_NAME_LEN;
                memcpy(k->salt, names[is_256(entry->etype)], n);
        }
        memcpy(k->salt + n, entry->salt, entry->salt_len);
        k->job.salt = k->salt;
        k->job.salt_len = n + entry->salt_len;
        k->job.key_len = is_256(entry->etype) ? AES256_KEY_SIZE : AES128_KEY_SIZE;
        k->job.iterations = iterations ? iterations : is_sha1(entry->etype) ? 4096 : 32768;
        k->job.alone = is_sha1(entry->etype) ? NULL : aes_sha2;
        k->job.fn = on_bytes;
        k->job.arg = k;
        return 0;
}

enum reason krb_key_start(struct krb_key **ret, const char **ret_why, struct krb *krb,
                          const struct krb_key_request *request)
{
        const struct krb_padata *padata = krb_padata_find(request->hints, KRB_PA_ETYPE_INFO2);
        const struct krb_etype_entry *entry;
        struct krb_etype_info info;
        uint32_t iterations;
        struct krb_key *k;

        if (!padata) /* as MIT says that it has no key of a kind we offered */
                return refuse(ret_why, REASON_ETYPE_NOSUPP, "the KDC names no key of the account that we accept");
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
        k = calloc(1, sizeof *k);
        if (!k)
                return refuse(ret_why, REASON_OVERLOADED, "out of memory");
        k->krb = krb;
        k->client = request->client;
        k->job.password = request->password;
        k->fn = request->fn;
        k->arg = request->arg;
        if (make_job(k, entry, iterations) < 0) {
                free(k);
                return refuse(ret_why, REASON_DC_PROTOCOL, "the KDC gives a salt that is too long");
        }
        krb_batch_start(krb->batch, &k->job);
        *ret = k;
        return REASON_OK;
}

int krb_key_salt(const struct krb_padata_list *hints, const uint8_t **ret_salt, size_t *ret_n)
{
        const struct krb_padata *padata = krb_padata_find(hints, KRB_PA_ETYPE_INFO2);
        const struct krb_etype_entry *entry;
        struct krb_etype_info info;

        if (!padata || krb_etype_info2_parse(&info, padata->bytes, padata->n) < 0)
                return -ENOENT;
        entry = choose(&info);
        if (!entry || !entry->salt)
                return -ENOENT;
        *ret_salt = entry->salt;
        *ret_n = entry->salt_len;
        return 0;
}

struct krb_key *krb_key_free(struct krb_key *k)
{
        if (!k)
                return NULL;
        krb_batch_cancel(k->krb->batch, &k->job);
        free(k);
        return NULL;
}
