/*
 * The armour of a domain (FAST, RFC 6113): a ticket of the connector's own account, kept fresh in the background,
 * under whose key sign-ins are wrapped. Internal to the Kerberos method.
 *
 * Its requests hold no user's password. A KDC that refuses the connector's account is left alone for ten minutes,
 * so that the account is not locked out.
 */
#pragma once

#include "validate/krb/krb.h"

struct krb_armor;

/* The domain's armor_principal, NAME or SERVICE/HOST, in its realm. 0 or a krb5 code. */
krb5_error_code krb_armor_principal(krb5_principal *ret, const struct krb *krb, const struct krb_domain *domain);
/* The first ticket is asked for at the next turn. 0, -EINVAL, -ENOMEM. */
int krb_armor_new(struct krb_armor **ret, struct krb *krb, struct krb_domain *domain, struct error *err);
/* Stops what runs. NULL-safe. */
struct krb_armor *krb_armor_free(struct krb_armor *armor);
/* The options that wrap a sign-in, or NULL, and *ret_why says what is missing. Valid until the next turn. */
krb5_get_init_creds_opt *krb_armor_options(const struct krb_armor *armor, const char **ret_why);
/* The keytab changed: asks at once where nothing is held. */
void krb_armor_retry(struct krb_armor *armor);
