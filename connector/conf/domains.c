/*
 * Domains of the configuration in the form that validate/ and the key statements take.
 *
 * The keytab is copied into a memfd of this process: the file itself belongs to root, and libkrb5 opens
 * keytabs by name. The copy is read through /proc/self/fd, which a process may do for itself even when it is
 * undumpable.
 */
#include "connector/conf/domains.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/ca-bundle.h"
#include "base/core/secret.h"
#include "base/core/sid.h"
#include "base/core/text.h"
#include "connector/frames/messages.h"

#define COPY_CHUNK 4096
#define SERVICE_PASSWORD_MAX 1100

/* The names that statements announce: realm name, alternate suffixes, NetBIOS name of each domain. */
static int collect_names(struct domains *d)
{
        d->realms = calloc(d->n, sizeof(*d->realms));
        d->netbios = calloc(d->n, sizeof(*d->netbios));
        d->suffixes = calloc(d->n * 2 * SUFFIXES_MAX, sizeof(*d->suffixes));
        if (!d->realms || !d->netbios || !d->suffixes)
                return -ENOMEM;
        for (size_t i = 0; i < d->n; i++) {
                const struct domain_config *c = &d->config->domains[i];

                d->realms[d->names.n_realms++] = c->name;
                d->names.attributes |= c->attributes[0] != NULL;
                if (c->netbios)
                        d->netbios[d->names.n_netbios++] = c->netbios;
                for (size_t k = 0; k < SUFFIXES_MAX && c->suffixes[k] && d->names.n_suffixes < STATEMENT_NAMES_MAX; k++)
                        d->suffixes[d->names.n_suffixes++] = c->suffixes[k];
                for (size_t k = 0;
                     k < SUFFIXES_MAX && c->alternate_id_suffixes[k] && d->names.n_suffixes < STATEMENT_NAMES_MAX; k++)
                        d->suffixes[d->names.n_suffixes++] = c->alternate_id_suffixes[k];
        }
        d->names.guard = d->config->validate.guard.mode == GUARD_ON;
        d->names.realms = d->realms;
        d->names.netbios = d->netbios;
        d->names.suffixes = d->suffixes;
        return 0;
}

/* Once, and not the domain's own name, which is a suffix by itself. */
static void add_suffix(struct roster_domain *a, const char *suffix)
{
        if (strcmp(suffix, a->name) == 0)
                return;
        for (size_t i = 0; i < a->n_suffixes; i++)
                if (strcmp(a->suffixes[i], suffix) == 0)
                        return;
        a->suffixes[a->n_suffixes++] = (char *)(uintptr_t)suffix;
}

/* The texts are the configuration's. Alternate ids' suffixes are suffixes for who types them. */
static int collect_announced(struct domains *d, const char *by_default)
{
        d->announced = calloc(d->n, sizeof(*d->announced));
        d->announced_names = calloc(d->n, sizeof(*d->announced_names));
        if (!d->announced || !d->announced_names)
                return -ENOMEM;
        for (size_t i = 0; i < d->n; i++) {
                const struct domain_config *c = &d->config->domains[i];
                struct domain_names *names = &d->announced_names[i];
                struct roster_domain *a = &d->announced[i];

                a->name = (char *)(uintptr_t)c->name;
                a->suffixes = names->suffixes;
                a->netbios = names->netbios;
                if (c->sid && sid_is_domain(c->sid)) /* what is learnt is not announced: nobody wrote it down */
                        (void)snprintf(a->sid, sizeof(a->sid), "%s", c->sid);
                a->is_default = by_default && strcmp(by_default, c->name) == 0;
                if (c->netbios)
                        a->netbios[a->n_netbios++] = (char *)(uintptr_t)c->netbios;
                for (size_t k = 0; k < SUFFIXES_MAX && c->suffixes[k]; k++)
                        add_suffix(a, c->suffixes[k]);
                for (size_t k = 0; k < SUFFIXES_MAX && c->alternate_id_suffixes[k]; k++)
                        add_suffix(a, c->alternate_id_suffixes[k]);
        }
        return 0;
}

int domains_new(struct domains **ret_d, struct config *config)
{
        _cleanup_(domains_freep) struct domains *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->config = config;
        d->n = config->validate.n_domains;
        d->files = calloc(d->n, sizeof(*d->files));
        if (!d->files)
                return -ENOMEM;
        for (size_t i = 0; i < d->n; i++)
                d->files[i].keytab = -1;
        if (collect_names(d) < 0 || collect_announced(d, config->validate.default_domain) < 0)
                return -ENOMEM;
        *ret_d = steal(d);
        return 0;
}

struct domains *domains_free(struct domains *d)
{
        if (!d)
                return NULL;
        for (size_t i = 0; d->files && i < d->n; i++) {
                free(d->files[i].text);
                secret_free(d->files[i].service_password);
                if (d->files[i].keytab >= 0)
                        close(d->files[i].keytab);
        }
        free(d->files);
        free(d->announced);
        free(d->announced_names);
        free(d->realms);
        free(d->netbios);
        free(d->suffixes);
        free(d);
        return NULL;
}

int domains_ca(struct domains *d, const char *domain, int fd_in, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(CA_BUNDLE_MAX);
        _cleanup_(closep) int fd = fd_in;
        int i = config_domain_find(d->config, domain);
        int r;

        if (i < 0)
                return error_fail(err, i, "CA file for the unknown domain %s", domain);
        r = fd_read_all(&pem, fd, err);
        if (r < 0)
                return error_prefix(err, r, "CA file of domain %s", domain);
        r = ca_bundle_take(&pem, d->config->domains[i].ca_file, NULL, &d->files[i].n_certificates, err);
        if (r < 0)
                return r;
        free(d->files[i].text);
        d->files[i].text = buffer_steal(&pem);
        d->config->domains[i].ca_pem = d->files[i].text;
        return 0;
}

size_t domains_ca_count(const struct domains *d, const char *domain)
{
        int i = config_domain_find(d->config, domain);

        return i < 0 ? 0 : d->files[i].n_certificates;
}

/* A memfd with a copy of what fd holds; the intermediate copy is wiped. */
static int copy_to_memfd(int fd, struct error *err)
{
        _cleanup_(closep) int copy = memfd_create("keytab", MFD_CLOEXEC);
        char chunk[COPY_CHUNK];
        size_t whole = 0;
        ssize_t n;
        int r;

        if (copy < 0)
                return error_fail(err, -errno, "memfd_create: %s", strerror(errno));
        while ((n = read(fd, chunk, sizeof(chunk))) > 0 && (whole += (size_t)n) <= KEYTAB_MAX)
                if (write(copy, chunk, (size_t)n) != n) /* into memory: all of it, or there is none */
                        return error_fail(err, -ENOSPC, "copy of the keytab: out of memory");
        wipe(chunk, sizeof(chunk));
        if (n < 0)
                return error_fail(err, -errno, "copy of the keytab: %s", strerror(errno));
        if (whole > KEYTAB_MAX)
                return error_fail(err, -EFBIG, "the keytab is longer than %d KiB", KEYTAB_MAX / 1024);
        r = copy;
        copy = -1;
        return r;
}

int domains_keytab(struct domains *d, const char *domain, int fd_in, struct error *err)
{
        _cleanup_(closep) int fd = fd_in;
        int i = config_domain_find(d->config, domain);
        struct domain_file *file;
        int copy;

        if (i < 0)
                return error_fail(err, i, "keytab for the unknown domain %s", domain);
        copy = copy_to_memfd(fd, err);
        if (copy < 0)
                return error_prefix(err, copy, "keytab of domain %s", domain);
        file = &d->files[i];
        if (file->keytab >= 0)
                close(file->keytab);
        file->keytab = copy;
        snprintf(file->keytab_name, sizeof(file->keytab_name), "FILE:/proc/self/fd/%d", copy);
        d->config->domains[i].keytab = file->keytab_name;
        return 0;
}

int domains_new_keytab(struct domains *d, const char *domain, int fd, struct validate *v, struct error *err)
{
        int i = config_domain_find(d->config, domain), old = i < 0 ? -1 : d->files[i].keytab, r;

        if (i >= 0)
                d->files[i].keytab = -1; /* not closed yet: the other keeps being read if this one is no good */
        r = domains_keytab(d, domain, fd, err);
        if (r == 0)
                r = validate_set_keytab(v, domain, d->config->domains[i].keytab, err);
        if (i < 0)
                return r;
        if (r < 0) {
                closep(&d->files[i].keytab);
                d->files[i].keytab = old;
                snprintf(d->files[i].keytab_name, sizeof(d->files[i].keytab_name), "FILE:/proc/self/fd/%d", old);
        } else {
                closep(&old);
        }
        return r;
}

int domains_service_password(struct domains *d, const char *domain, int fd_in, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(SERVICE_PASSWORD_MAX);
        _cleanup_(closep) int fd = fd_in;
        int i = config_domain_find(d->config, domain);
        int r;

        if (i < 0)
                return error_fail(err, i, "password of a service account for the unknown domain %s", domain);
        r = fd_read_all(&text, fd, err);
        if (r < 0)
                return error_prefix(err, r, "service_password_file of domain %s", domain);
        r = text.len ? admin_secret(text.data, &text.len, d->config->domains[i].service_password_file, err) : 1;
        if (r != 0)
                return r < 0 ? r : error_fail(err, -EBADMSG, "service_password_file of domain %s is empty", domain);
        d->files[i].service_password = secret_free(d->files[i].service_password);
        r = secret_new(&d->files[i].service_password, text.data, text.len);
        d->config->domains[i].service_password = d->files[i].service_password;
        return r < 0 ? error_fail(err, r, "service_password_file of domain %s: it is longer than 1024 bytes", domain)
                     : 0;
}
