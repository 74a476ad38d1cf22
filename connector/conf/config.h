/*
 * The configuration of a connector: one table of keys drives the parser, --check-config, the sample file and
 * postern.conf(5).
 *
 * A struct config is plain data and complete: every key has its value or its default, every range and every
 * relation between keys was checked. All errors of all files are found in one run, each as
 * `file:line: key: why, allowed range`. Nothing here opens a key file or asks the network.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/process/confine.h"
#include "base/core/log.h"
#include "validate/types/domain.h"

#define CONFIG_DEFAULT "/etc/postern"
#define CONFIG_TEXT_MAX (256 * 1024)
#define CONFIG_DOMAINS_MAX 32
#define CONFIG_PINS_MAX 8
#define CONFIG_IN_FLIGHT_MAX 768 /* what the validator's locked memory has room for */

/* SIGNING_AUTO: hourly where the identity key is in hardware. */
enum config_signing { SIGNING_AUTO = 0, SIGNING_IDENTITY, SIGNING_HOURLY };
/* DISCOVER_AUTO: where no DC is listed. */
enum config_discover { DISCOVER_AUTO = 0, DISCOVER_YES, DISCOVER_NO };

/* Strings are owned and never NULL unless marked "or NULL" (key absent or empty). */
struct config_domain {
        char *name;       /* from [domain NAME], lower case */
        char *realm;      /* default: NAME in upper case */
        char *netbios;    /* or NULL */
        char *domain_sid; /* or NULL: the roster's, or learnt */
        size_t n_suffixes, n_dcs, n_methods, n_pins;
        char *suffixes[SUFFIXES_MAX]; /* lower case, without NAME itself */
        struct config_dc {
                char *host;
                char *address;         /* numeric, or NULL */
        } dcs[DCS_MAX];                /* at least one, unless they are discovered */
        enum config_discover discover; /* DISCOVER_YES or DISCOVER_NO once loaded */
        char *site;                    /* or NULL */
        enum method methods[2];        /* at least one; default: krb5 where there is a keytab, then ldap */
        enum directory_kind directory;
        uint32_t ldaps_port, ldap_port, kdc_port, kpasswd_port;
        unsigned password_change, starttls; /* 0 or 1 */
        char *ca_file;                      /* or NULL: the system's CAs */
        enum dc_identity dc_identity;
        char *pins[CONFIG_PINS_MAX]; /* b64u SHA-256 of SPKI; not empty exactly with DC_IDENTITY_PIN */
        char *bind_template;         /* or NULL; only with DIRECTORY_GENERIC */
        char *alternate_id;          /* or NULL */
        size_t n_alternate_id_suffixes;
        char *alternate_id_suffixes[SUFFIXES_MAX];
        char *search_base;           /* or NULL: the domain's */
        char *service_account;       /* or NULL */
        char *service_password_file; /* set where service_account is */
        size_t n_attributes;
        char *attributes[ATTRIBUTES_MAX];
        unsigned fast_bind;                          /* 0 or 1 */
        unsigned attributes_required, nested_groups; /* 0 or 1 */
        char *groups_base;                           /* or NULL: all groups */
        char *keytab;                                /* path, or NULL: no Kerberos */
        char *service_principal;                     /* or NULL; set where keytab is */
        char *armor_principal;                       /* or NULL */
        uint32_t pool_max, connect_timeout_ms;
};

struct config {
        char *name;   /* of this connector, for humans */
        char *relay;  /* https URL, or NULL: as enrolled */
        char *tenant; /* or NULL: as enrolled */
        char *state_dir, *runtime_dir;
        char *relay_ca_file; /* or NULL: state_dir/relay-ca.pem where it exists, else the system's */
        char *proxy;         /* or NULL: the environment's https_proxy, no_proxy */
        char *user_link, *user_validator, *user_ledger; /* become these when started as root */
        char *user_keys;                                /* the same for postern-keyholder */
        char *identity_key, *transport_key;             /* URI or path, or NULL: as enrolled */
        char *control_group;                            /* group of the control socket, or NULL: root's */
        uint32_t in_flight;                             /* sign-ins at once */
        uint32_t drain_ms;
        enum log_level log_level;
        enum confine_mode confinement;
        enum config_signing signing;
        char *default_domain; /* one of domains[].name, or NULL: bare names are refused */
        char *dns_servers;    /* or NULL: the system's */
        enum guard_mode guard;
        uint32_t guard_failures, guard_window_s, guard_repeat_s;
        uint32_t ledger_days, ledger_rows;
        size_t n_domains;
        struct config_domain domains[CONFIG_DOMAINS_MAX];
};

/*
 * Everything wrong that one run found, as lines `file:line: key: why\n`, in the order of the files.
 * Past CONFIG_ERRORS_MAX only the count goes on.
 */
#define CONFIG_ERRORS_MAX 100
struct config_errors {
        size_t n;
        struct buffer lines;
};
#define CONFIG_ERRORS ((struct config_errors){0, BUFFER(64 * 1024)})
void config_errors_clear(struct config_errors *e);

/*
 * Reads a file, or every *.conf of a folder in the order of their names. 0 and an owned *ret_config; -EINVAL
 * with errors->n >= 1 (also when a file can't be read); -ENOMEM. merged (may be NULL) takes the text of all
 * files one after the other, which config_from_fd understands.
 */
int config_load(struct config **ret_config, const char *path, struct buffer *merged, struct config_errors *errors);
/* For the children: reads from the start of fd (not owned) what the supervisor has checked and merged. err
 * names the first error; there is none unless the two programs are of different versions. */
int config_from_fd(struct config **ret_config, int fd, struct error *err);
/* For op config of a child process (base/process/process.h): the same, fd is closed, and its log is as the
 * configuration says. name: the process's, literal. */
int config_of_child(struct config **ret_config, const char *name, int fd, struct error *err);
struct config *config_free(struct config *config);
DEFINE_FREEP(struct config, config_free)

/* The commented sample file, made from the table. */
void config_write_sample(FILE *out);
/* The keys as man(7) paragraphs for postern.conf(5), made from the table. */
void config_write_man(FILE *out);
