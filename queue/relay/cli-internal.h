/*
 * Internal to the relay's command line: what its words share.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "queue/relay/cli.h"
#include "queue/relay/store.h"

/* Print to standard error, and give the exit status. */
int relay_cli_complain(const char *what, const char *why);
int relay_cli_misused(const char *what, const char *why);
int relay_cli_store_failed(struct store *store, int code);
/* Takes the reference. */
int relay_cli_print_json(json_t *json);
/* Exit status 0 when the tenant exists. */
int relay_cli_need_tenant(struct store *store, const char *name, struct store_tenant *ret_tenant);

/* cli-events.c */
/* What was done by which words: none of them is a secret. */
struct relay_cli_act {
        char act[40];
        const char *tenant, *about; /* or NULL */
        uid_t uid;                  /* whose process this was */
};
/* Notes it where records go, if they do; done: or it was not to be. */
void relay_cli_act(const struct relay_cli *cli, const struct relay_cli_act *act, bool done);

/* cli-connector.c */
/* A time for people; "-" where there is none. */
void relay_cli_when(int64_t at, char out[32]);
/* One event that the tenant's admin reads; id: of a connector, or "". */
void relay_cli_note(struct store *store, const char *tenant, const char *id, const char *name, const char *text);
int run_connector(const struct relay_cli *cli, struct store *store, int argc, char **argv);
/* cli-ca.c */
int run_ca(const struct relay_cli *cli, struct store *store, int argc, char **argv);
int run_event(const struct relay_cli *cli, struct store *store, int argc, char **argv);
/* cli-store.c */
int run_store(const struct relay_cli *cli, struct store *store, int argc, char **argv);
