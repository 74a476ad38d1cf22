/*
 * From a password to the key that the KDC's hints ask for. Internal to the Kerberos method.
 */
#pragma once

#include "validate/krb/der.h"
#include "validate/krb/krb.h"

/* RFC 3962's default is 4096 and nobody uses less; a KDC that asks for more than the maximum wants our time.
 */
#define KRB_ITERATIONS_MIN 4096
#define KRB_ITERATIONS_MAX 65536
#define KRB_SALT_MAX 1024

struct krb_key;

/* keytab: a memory keytab with the key for the client, the callee's, which krb5_kt_close wipes; NULL: it could not
 * be made. Called once, from the loop; the callee frees the key. */
typedef void krb_key_fn(void *arg, krb5_keytab keytab);

struct krb_key_request {
        krb5_principal client;               /* borrowed until the key is freed */
        const struct krb_padata_list *hints; /* borrowed during the call */
        const struct secret *password;       /* borrowed until the key is freed */
        krb_key_fn *fn;
        void *arg;
};
/*
 * Makes the key for the best AES entry among the KDC's hints (RFC 3962, RFC 8009), equal to
 * krb5_c_string_to_key's. REASON_OK: fn is called later. REASON_DC_PROTOCOL when the hints are malformed or out of
 * bounds, REASON_ETYPE_NOSUPP when they name no AES key, REASON_OVERLOADED: then *ret_why is a literal sentence.
 */
enum reason krb_key_start(struct krb_key **ret, const char **ret_why, struct krb *krb,
                          const struct krb_key_request *request);
/* The salt of the key that krb_key_start would make, into the hints' bytes. -ENOENT: there is none. */
int krb_key_salt(const struct krb_padata_list *hints, const uint8_t **ret_salt, size_t *ret_n);
/* Stops what runs; nothing of the password is left. NULL-safe. */
struct krb_key *krb_key_free(struct krb_key *key);
