/*
 * Configuration of postern-gateway: one table of keys drives the reader, --check-config, the sample file and
 * postern-gateway.conf(5). Each of its processes reads it.
 */
#pragma once

#include "base/conf/conf.h"
#include "base/core/log.h"
#include "base/process/confine.h"

#define GATEWAY_LISTEN_MAX 8
#define GATEWAY_RELAYS_MAX 4
#define GATEWAY_NETS_MAX 32
#define GATEWAY_APPS_MAX 64
#define GATEWAY_CONFIG_DEFAULT "/etc/postern-gateway/gateway.conf"

enum gateway_listen_kind { LISTEN_UNIX = 0, LISTEN_LOOPBACK, LISTEN_TLS };

/* Which protocol is spoken there. HTTPS, LDAPS: with TLS from the first byte on, at whichever address. */
enum gateway_listen_door { LISTEN_HTTP = 0, LISTEN_HTTPS, LISTEN_SASLAUTHD, LISTEN_LDAP, LISTEN_LDAPS };

struct gateway_listen {
        enum gateway_listen_kind kind;
        enum gateway_listen_door door;
        char where[108]; /* a path, or a numeric address */
        uint16_t port;
};

/* A network: an IPv4 one as it is mapped into IPv6. */
struct gateway_net {
        uint8_t address[16];
        unsigned bits; /* 0: an unused slot */
};

/* Either is given, or both. */
struct gateway_app {
        const char *name;
        const char *secret_file;      /* or NULL */
        const char *certificate_name; /* a DNS name of its client certificate; or NULL */
};

/* Texts live as long as the configuration, and are never NULL unless marked "or NULL". */
struct gateway_config {
        struct conf conf;
        const char *service; /* the folder of `postern service init` */
        const char *relays[GATEWAY_RELAYS_MAX];
        size_t n_relays;             /* 0: the service's own */
        const char *ca_file, *proxy; /* or NULL */
        struct gateway_listen listen[GATEWAY_LISTEN_MAX];
        size_t n_listen;
        const char *socket_group, *certificate, *key, *client_ca; /* or NULL */
        struct gateway_net proxies[GATEWAY_NETS_MAX], ldap_clients[GATEWAY_NETS_MAX];
        size_t n_proxies, n_ldap_clients;
        const char *ldap_dn; /* or NULL */
        const char *ldap_name;
        const char *state_dir, *ready_file; /* ready_file: or NULL */
        const char *user_doors, *user_sealer, *user_link;
        const char *words, *helpdesk;                          /* or NULL */
        const char *events_file, *events_socket, *traces_file; /* where records go out; or NULL */
        bool events_clear;                                     /* with users' names */
        uint32_t budget_ms, drain_ms, connections, in_flight;
        uint32_t source_failures, name_failures, failure_window; /* window: s */
        uint32_t remember_s;
        bool without_guard;
        bool sandbox;
        enum log_level log_level;
        enum confine_mode confinement;
        struct gateway_app apps[GATEWAY_APPS_MAX];
        size_t n_apps;
};

/* conf_load of a gateway's configuration, which merged is for. Free it with gateway_config_free. */
int gateway_config_load(struct gateway_config **ret_config, const char *path, struct buffer *merged,
                        struct conf_errors *errors);
/* For a child: the text that its parent has checked, from fd, which is closed; sets the log's level. */
int gateway_config_of_child(struct gateway_config **ret_config, const char *name, int fd, struct error *err);
struct gateway_config *gateway_config_free(struct gateway_config *config);

/* The number in `listen` of the socket that comes under this name in FRAME_FILE, if this door's protocol is spoken
 * there; -ENOENT. */
int gateway_listen_of(const struct gateway_config *config, const char *file, enum gateway_listen_door door);
/* What stands before the address in `listen` ("ldaps:"; "" before one that speaks HTTP). */
const char *gateway_listen_prefix(const struct gateway_listen *listen);
/* Whether a numeric address lies in one of the networks. */
bool gateway_net_has(const struct gateway_net *nets, size_t n, const char *address);
/* 16 bytes of a numeric address, IPv4 mapped into IPv6. -EINVAL. */
int gateway_address(uint8_t out[16], const char *text);

/* The commented sample file, and the keys as man(7) paragraphs for postern-gateway.conf(5), made from the table. */
void gateway_config_write_sample(FILE *out);
void gateway_config_write_man(FILE *out);
