/*
 * Makes a configuration that differs in its domains' methods alone. Pure: it opens and asks nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "connector/cli/trial.h"

static bool is_wanted(const struct domain_config *d, enum trial_kind kind)
{
        if (kind == TRIAL_SECOND)
                return d->methods[1] != METHOD_NONE;
        return (d->methods[0] == METHOD_KRB5 || d->methods[1] == METHOD_KRB5) && d->keytab_file &&
               d->service_principal &&
               !strchr(d->service_principal, '@'); /* of another realm: its trust is not tried */
}

struct config *trial_config(const struct config *config, enum trial_kind kind)
{
        struct config *copy = malloc(sizeof *copy);
        size_t n = 0;

        if (!copy)
                return NULL;
        *copy = *config;
        for (size_t i = 0; i < config->validate.n_domains; i++) {
                struct domain_config *d = &copy->domains[n];

                if (!is_wanted(&config->domains[i], kind))
                        continue;
                *d = config->domains[i];
                d->methods[0] = kind == TRIAL_KEYTAB ? METHOD_KRB5 : d->methods[1];
                d->methods[1] = METHOD_NONE;
                if (kind == TRIAL_KEYTAB && !d->armor_principal)
                        d->armor_principal = d->service_principal;
                n++;
        }
        copy->validate.domains = copy->domains;
        copy->validate.n_domains = n;
        copy->validate.default_domain = NULL;
        if (n > 0)
                return copy;
        free(copy);
        return NULL;
}
