/*
 * The methods of the sandbox, in the place of validate/op/methods.c: both are the script of accounts.h. With them its
 * validator serves rosters that say `sandbox`, and no others.
 */
#include <errno.h>

#include "connector/sandbox/accounts.h"
#include "validate/op/validate.h"

const bool validate_scripted = true;

/* One validator to a process, which lives as long: they end with it. */
static struct sandbox_accounts *accounts;
static struct fake *fake;

int validate_new(struct validate **ret_v, struct loop *loop, const struct validate_config *config,
                 validate_ready_fn *on_ready, void *arg, struct error *err)
{
        struct method_instance *methods[METHODS] = {0};

        accounts = accounts ? accounts : sandbox_accounts_new();
        if (!accounts || (!fake && fake_new(&fake, loop, sandbox_accounts_answer, accounts) < 0))
                return error_fail(err, -ENOMEM, "validation: out of memory");
        methods[METHOD_LDAP] = fake_method(fake, METHOD_LDAP);
        methods[METHOD_KRB5] = fake_method(fake, METHOD_KRB5);
        return validate_new_by(ret_v, loop, methods, config, on_ready, arg, err);
}
