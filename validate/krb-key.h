/*
 * From a password to the key that the KDC's hints ask for. Internal to the Kerberos method.
 */
#pragma once

#include "validate/krb-der.h"
#include "validate/krb.h"

/* RFC 3962's default is 4096 and nobody uses less; a KDC that asks for more than the maximum wants our time.
 */
#define KRB_ITERATIONS_MIN 4096
#define KRB_ITERATIONS_MAX 65536

/*
 * RFC 3962: password, salt and iterations -> AES key (16 or 32 bytes at out). The password leaves nothing on
 * the stack. Equal to krb5_c_string_to_key at a sixth of its cost.
 */
void krb_key_aes_sha1(uint8_t *out, size_t out_len, const struct secret *password,
                      const struct krb_etype_entry *entry, uint32_t iterations);
#define KRB_SALT_MAX 1024
/* RFC 8009 section 4: the same for AES with SHA-2 (16 bytes with SHA-256, 32 with SHA-384). -EMSGSIZE for a
 * salt over KRB_SALT_MAX. */
int krb_key_aes_sha2(uint8_t *out, size_t out_len, const struct secret *password,
                     const struct krb_etype_entry *entry, uint32_t iterations);
/*
 * Makes the key for the best AES entry among the KDC's hints and puts it into a memory keytab for client,
 * which krb5_kt_close wipes. REASON_OK; REASON_DC_PROTOCOL when the hints are malformed or out of
 * bounds, REASON_ETYPE_NOSUPP when they name no AES key. *ret_why is a literal sentence unless
 * REASON_OK.
 */
struct krb_key_request {
        krb5_principal client;
        const struct krb_padata_list *hints;
        const struct secret *password;
};
enum reason krb_key_prepare(krb5_keytab *ret, const char **ret_why, struct krb *krb,
                            const struct krb_key_request *request);
