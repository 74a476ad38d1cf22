/*
 * Configuration of postern-web: one table of keys drives the reader, --check-config, the sample file and
 * postern-web.conf(5).
 */
#pragma once

#include "base/conf/conf.h"
#include "base/core/log.h"

#define WEB_HOSTS_MAX 8

/* Texts live as long as the configuration, and are never NULL unless marked "or NULL". */
struct web_config {
        struct conf conf;
        const char *control;                    /* the ledger's socket */
        const char *everywhere;                 /* or NULL: the socket of postern-asker, which is asked instead */
        const char *account;                    /* or NULL: the socket of postern-account */
        const char *listen;                     /* or NULL: ADDRESS:PORT of loopback, for one-use links */
        const char *admit;                      /* the socket that gives them out */
        const char *socket, *proxy_user;        /* or NULL: where a reverse proxy asks, and as whom it runs */
        const char *user_header, *group_header; /* what it says of the person */
        const char
                *hosts[WEB_HOSTS_MAX + 1]; /* names under which the page is reached, besides listen; ends with NULL */
        const char *helpdesk_groups, *admin_groups; /* or NULL: names with commas between */
        const char *title;
        enum log_level log_level;
};

/* conf_load of a page's configuration. Free it with web_config_free. */
int web_config_load(struct web_config **ret_config, const char *path, struct conf_errors *errors);
struct web_config *web_config_free(struct web_config *config);

/* The commented sample file, and the keys as man(7) paragraphs, made from the table. */
void web_config_write_sample(FILE *out);
void web_config_write_man(FILE *out);
