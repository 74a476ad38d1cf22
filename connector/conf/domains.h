/*
 * From the daemon's configuration and the files the supervisor opened to what validate/ takes.
 */
#pragma once

#include "connector/conf/config.h"
#include "certs/trust/roster.h"
#include "certs/trust/statement.h"
#include "validate/op/validate.h"

/* What the files of one domain hold. */
struct domain_file {
        char *text;                      /* the DCs' CA certificates, PEM; owned */
        size_t n_certificates;           /* in text */
        int keytab;                      /* descriptor of a memfd with the keytab, or -1; owned */
        char keytab_name[64];            /* "FILE:/proc/self/fd/N" */
        struct secret *service_password; /* or NULL */
};

/* What a statement announces. */
struct domains_names {
        size_t n_realms, n_suffixes, n_netbios;
        const char *const *realms, *const *suffixes, *const *netbios;
        bool attributes; /* verdicts carry some: requests must have the larger class of padding */
        bool guard;      /* the lockout guard stops names, and does not only watch */
};

struct domains {
        struct config *config; /* borrowed */
        size_t n;
        struct domain_file *files; /* one per domain of the configuration, same order */
        const char **realms, **suffixes, **netbios;
        struct domains_names names; /* what statements announce */
        struct domain_names {
                char *suffixes[2 * SUFFIXES_MAX], *netbios[1];
        } * announced_names;
        struct roster_domain
                *announced; /* the same by domain, for who approves this connector; it points into the above */
};

/* Borrows config, whose domains take what the files hold, until domains_free. 0 or -ENOMEM. */
int domains_new(struct domains **ret_d, struct config *config);
struct domains *domains_free(struct domains *d);
DEFINE_FREEP(struct domains, domains_free)
/* Takes a CA file, a keytab or the service account's password for the domain from fd (closed). -ENOENT: no
 * such domain; else with err. */
int domains_ca(struct domains *d, const char *domain, int fd, struct error *err);
/* How many certificates the domain's CA file holds. */
size_t domains_ca_count(const struct domains *d, const char *domain);
int domains_keytab(struct domains *d, const char *domain, int fd, struct error *err);
/* While v runs: the domain goes on with this keytab (fd is closed), or with the one it has, and err says why. */
int domains_new_keytab(struct domains *d, const char *domain, int fd, struct validate *v, struct error *err);
int domains_service_password(struct domains *d, const char *domain, int fd, struct error *err);
