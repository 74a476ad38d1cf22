/*
 * The methods that the product has. This file alone names them: dc/ and the rest of op/ know the table that each
 * implements (types/method.h).
 */
#include <errno.h>

#include "validate/krb/krb.h"
#include "validate/ldap/pool.h"
#include "validate/op/validate.h"

const bool validate_scripted = false;

int validate_new(struct validate **ret_v, struct loop *loop, const struct validate_config *config,
                 validate_ready_fn *on_ready, void *arg, struct error *err)
{
        struct method_instance *methods[METHODS] = {0};
        struct krb *krb = NULL;
        bool kerberos = false;

        for (size_t i = 0; i < config->n_domains; i++)
                kerberos |= config->domains[i].methods[0] == METHOD_KRB5 || config->domains[i].password_change;
        int r = kerberos ? krb_new(&krb, loop, err) : 0;
        if (r < 0)
                return r;
        methods[METHOD_KRB5] = krb ? &krb->method : NULL;
        if (ldap_pools_new(&methods[METHOD_LDAP], loop) < 0) {
                krb_free(methods[METHOD_KRB5]);
                return error_fail(err, -ENOMEM, "validation: out of memory");
        }
        return validate_new_by(ret_v, loop, methods, config, on_ready, arg, err);
}
