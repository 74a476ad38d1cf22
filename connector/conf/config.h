/*
 * The configuration of a connector: one table of keys (table.c) drives the reader, --check-config, the sample file and
 * postern.conf(5).
 *
 * A struct config is complete: every key has its value or its default, every range and every relation between keys was
 * checked. Its domains are in the form that validate/ takes. Nothing here opens a key file or asks the network.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/conf/conf.h"
#include "base/core/log.h"
#include "base/process/confine.h"
#include "validate/types/domain.h"

#define CONFIG_DEFAULT "/etc/postern"
#define CONFIG_DOMAINS_MAX 32
#define CONFIG_IN_FLIGHT_MAX 768 /* what the validator's locked memory has room for */

/* SIGNING_AUTO: hourly where the identity key is in hardware. */
enum config_signing { SIGNING_AUTO = 0, SIGNING_IDENTITY, SIGNING_HOURLY };
enum config_names { NAMES_PSEUDONYMS = 0, NAMES_CLEAR };

/* Texts live as long as the configuration, and are never NULL unless marked "or NULL" (key absent or empty). */
struct config {
        struct conf conf;
        const char *name;   /* of this connector, for humans, or NULL: as enrolled */
        const char *relay;  /* https URL, or NULL: as enrolled */
        const char *tenant; /* or NULL: as enrolled */
        const char *state_dir, *runtime_dir;
        const char *relay_ca_file; /* or NULL: state_dir/relay-ca.pem where it exists, else the system's */
        const char *proxy;         /* or NULL: the environment's https_proxy, no_proxy */
        const char *user_link, *user_validator, *user_ledger;  /* become these when started as root */
        const char *user_keys;                                 /* the same for postern-keyholder */
        const char *identity_key, *transport_key;              /* URI or path, or NULL: as enrolled */
        const char *user_account;                              /* the same for postern-account */
        const char *control_group;                             /* group of the control socket, or NULL: root's */
        const char *metrics_group;                             /* group of the socket of metrics, or NULL: root's */
        const char *events_file, *events_socket, *traces_file; /* where records go out, or NULL */
        enum config_names events_names;
        uint32_t in_flight; /* sign-ins at once */
        uint32_t drain_ms;
        enum log_level log_level;
        enum confine_mode confinement;
        enum config_signing signing;
        uint32_t ledger_days, names_days, ledger_rows;
        struct validate_config validate; /* its domains are those below */
        struct domain_config domains[CONFIG_DOMAINS_MAX];
};

/* conf_load and conf_from_fd of a connector's configuration. Free it with config_free. */
int config_load(struct config **ret_config, const char *path, struct buffer *merged, struct conf_errors *errors);
int config_from_fd(struct config **ret_config, int fd, struct error *err);
/* For op config of a child process (base/process/process.h): the same, fd is closed, and its log is as the
 * configuration says. name: the process's, literal. */
int config_of_child(struct config **ret_config, const char *name, int fd, struct error *err);
struct config *config_free(struct config *config);
DEFINE_FREEP(struct config, config_free)

/* The index of the domain that has this name, in whatever case, or -ENOENT. */
int config_domain_find(const struct config *config, const char *name);

/* The commented sample file, made from the table. */
void config_write_sample(FILE *out);
/* The keys as man(7) paragraphs for postern.conf(5), made from the table. */
void config_write_man(FILE *out);
