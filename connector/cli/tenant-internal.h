/*
 * Internal to `postern tenant`: what its files share.
 */
#pragma once

#include "base/core/secret.h"
#include "connector/cli/cli.h"
#include "connector/cli/tenant-store.h"

/* What the command line says; one for all of the commands. */
struct tenant_options {
        const char *dir, *relay, *ca_file, *admin_secret_file, *passphrase_file, *days_text, *key_uri, *identity_file;
        const char *life_text, *domains, *suffixes, *netbios, *sid;
        bool no_passphrase, no_publish, replace, by_default, not_default, yes;
};
extern struct tenant_options tenant_o;

#define OPTION_DIR                                                                                                     \
        {                                                                                                              \
                "dir", "DIR", &tenant_o.dir, NULL, "the key's folder (~/.config/postern/tenant)"                       \
        }
#define OPTION_PASSPHRASE                                                                                              \
        {                                                                                                              \
                "passphrase-file", "FILE", &tenant_o.passphrase_file, NULL, "the key's passphrase; else asked for"     \
        }
#define OPTIONS_RELAY                                                                                                  \
        {"relay", "URL", &tenant_o.relay, NULL, "the relay; remembered, as are:"},                                     \
                {"admin-secret-file", "FILE", &tenant_o.admin_secret_file, NULL,                                       \
                 "what `postern-relay tenant add` printed"},                                                           \
        {                                                                                                              \
                "ca-file", "FILE", &tenant_o.ca_file, NULL, "the relay's CA (else the system's)"                       \
        }
#define OPTIONS_SIGN                                                                                                   \
        {"days", "N", &tenant_o.days_text, NULL, "how long the roster is valid, 1..30 (30)"},                          \
        {                                                                                                              \
                "no-publish", NULL, NULL, &tenant_o.no_publish, "only sign; `tenant roster publish` later"             \
        }

/* As cli_parse, and finds the default folder. */
int tenant_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, char ***ret_words);
/* Takes relay, CA and secret of the command line into s. */
int tenant_remember(struct tenant_store *s, struct error *err);

/* Asks a person question, which ends with (yes/no), on the terminal. -EINVAL with otherwise where there is none;
 * -ECANCELED for any other answer than yes. */
int tenant_confirm(const char *question, const char *otherwise, struct error *err);
/* tenant_catch_up, and says on stderr what it found. 0, also where no relay is known. */
int tenant_newest(struct tenant_store *s, struct error *err);

/* What a command does to the roster before it is signed. */
typedef int tenant_edit_fn(struct tenant_store *s, const char *const *args, struct error *err);
/* Catches up with the relay, edits, signs, publishes, and stores what came into force. Returns an exit code. */
int tenant_edit(const struct cli *cli, tenant_edit_fn *edit, const char *const *args);
void tenant_print_roster(const struct roster *r, bool json);
void tenant_print_domain(const struct roster_domain *d);

/* tenant-person.c */
int cmd_tenant_approve_person(struct cli *cli, int argc, char **argv);
void tenant_print_person(const struct roster_member *m);

/* tenant-domains.c: who speaks for which domain */
/* Names of an option. */
struct tenant_names {
        size_t n;
        char *list[ROSTER_NAMES_MAX];
};
void tenant_names_clear(struct tenant_names *names);
/* "a,b": blanks around a name are nobody's; "-" is the empty list. -EINVAL with err naming the option. */
int tenant_names_split(struct tenant_names *names, const char *text, const char *option, struct error *err);
int tenant_edit_approve(struct tenant_store *s, const char *const *args, struct error *err);
int cmd_tenant_domain(struct cli *cli, int argc, char **argv);
int cmd_tenant_connector_domains(struct cli *cli, int argc, char **argv);

/* tenant-store.c: one call to the relay with the admin's secret; ret is filled with any status. */
int tenant_call(const struct tenant_store *s, const char *method, const char *what, const char *body,
                struct https_response *ret, struct error *err);
/* What the relay's problem answer says, in one line; a negative code. */
int tenant_refused(const struct https_response *response, struct error *err);
