/*
 * A configuration file of any content: it is refused with a reason, or every promise of struct config holds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "connector/conf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_domain(const struct domain_config *d)
{
        if (!d->name || !d->realm || (d->n_dcs < 1 && d->discover != DISCOVER_YES) || d->n_dcs > DCS_MAX ||
            d->methods[0] == METHOD_NONE || (d->n_dcs > 0 && !d->dcs[0].host))
                abort();
        for (size_t i = 0; i < 2; i++)
                if (d->methods[i] == METHOD_KRB5 && (!d->keytab_file || !d->service_principal))
                        abort();
        if ((d->dc_identity == DC_IDENTITY_PIN) != (d->pins[0] != NULL))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct config *config = NULL;
        struct error err = {""};
        int fd = memfd_create("fuzz", 0);

        if (fd < 0 || write(fd, data, n) != (ssize_t)n)
                abort();
        int r = config_from_fd(&config, fd, &err);
        (void)close(fd);
        if (r < 0 && (config || !err.text[0]))
                abort();
        if (r < 0)
                return 0;
        if (!config->state_dir || !config->user_link || config->validate.n_domains < 1 || config->in_flight < 1)
                abort();
        for (size_t i = 0; i < config->validate.n_domains; i++)
                check_domain(&config->domains[i]);
        config_free(config);
        return 0;
}
