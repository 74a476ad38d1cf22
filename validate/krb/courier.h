/*
 * Carries requests that hold nobody's password to a realm's KDCs: where one doesn't answer, to the next. Internal
 * to the Kerberos method.
 */
#pragma once

#include "validate/krb/krb.h"

#define KRB_COURIER_KDCS_MAX 3 /* of one realm that are tried for one request */

struct krb_courier;

/* reply NULL: no KDC of the realm answered, and why says so. Called from the loop; the callee may send again or
 * free the courier. */
typedef void krb_courier_fn(void *arg, const uint8_t *reply, size_t n, const char *why);

/* 0 or -ENOMEM. id (may be NULL) is copied. */
int krb_courier_new(struct krb_courier **ret, struct krb *krb, const char *id, krb_courier_fn *fn, void *arg);
/* Stops caring. NULL-safe. */
struct krb_courier *krb_courier_free(struct krb_courier *courier);
/* Sends the request to a KDC of the realm; takes over the contents of both. fn is called later, never inside. */
void krb_courier_send(struct krb_courier *courier, krb5_data *request, krb5_data *realm, uint64_t deadline);
