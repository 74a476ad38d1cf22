/*
 * A sign-in service's folder: service.key (its key), service.pub.json (what the tenant's admin approves),
 * service.json (where it signs in); and the same of a person of the helpdesk, where the files begin with "person" and
 * the key may be encrypted or in a token.
 */
#pragma once

#include "certs/keys/key.h"
#include "base/ipc/loop.h"
#include "certs/trust/roster.h"

enum store_kind { STORE_SERVICE = 0, STORE_PERSON };

struct service_store {
        enum store_kind kind;
        char *dir;
        char id[ID_MAX + 1];
        char *name;
        struct key *key; /* of a person NULL until everywhere_open */
        /* remembered from `service init` or `sign-in`; or NULL */
        char *relay, *tenant, *pin, *ca_file, *secret_file, *roster_source;
        uint64_t roster_seq;           /* the highest seen: older rosters are refused */
        char roster_hash[KID_LEN + 1]; /* of its text: another one of that number is, too; "": not known */
        bool sandbox;                  /* postern-sandbox wrote it: it signs in there, and nowhere else */
        char **distrusted;             /* kids of connectors that believed a canary's password; owned */
        size_t n_distrusted;
};

/* Makes folder, files and, last, the key: where something fails before, it can be made again. given: what to remember.
 * -EEXIST where a key is there already; nothing is written then. */
struct service_settings;
int service_store_create(const char *dir, const char *name, const struct service_settings *given,
                         struct service_store *ret_s, struct error *err);
int service_store_open(struct service_store *ret_s, const char *dir, struct error *err);

/* What a person's folder has in common with a service's (everywhere.c): its files; a new one, in s, whose key is then
 * made and put there; writing what goes with the key, before the key's own file; and reading all but the key. */
enum store_file { STORE_FILE_KEY, STORE_FILE_PUBLIC, STORE_FILE_META };
const char *service_store_file(enum store_kind kind, enum store_file file);
int service_store_begin(struct service_store *s, enum store_kind kind, const char *dir, const char *name,
                        struct error *err);
int service_store_finish(const struct service_store *s, struct error *err);
int service_store_open_without_key(struct service_store *s, enum store_kind kind, const char *dir, struct error *err);

/* Takes what the client saw of rosters; does not save. */
struct client;
void service_store_saw(struct service_store *s, const struct client *client);
int service_store_save(const struct service_store *s, struct error *err);
/* What the command line gives; NULL: not given. */
struct service_settings {
        const char *relay, *tenant, *pin, *secret_file, *ca_file, *roster_source;
};
/* The options of `struct service_settings g`, for a cli_option table. */
#define SERVICE_OPTIONS(g)                                                                                             \
        {"relay", "URL", &(g).relay, NULL, "the relay; remembered, as are:"},                                          \
                {"tenant", "T", &(g).tenant, NULL, "the tenant"},                                                      \
                {"pin", "PIN", &(g).pin, NULL, "its pin, from `postern tenant init`"},                                 \
                {"secret-file", "FILE", &(g).secret_file, NULL, "the relay's secret for this service"},                \
                {"ca-file", "FILE", &(g).ca_file, NULL, "the relay's CA (else the system's)"},                         \
        {                                                                                                              \
                "roster-source", "SOURCE", &(g).roster_source, NULL, "second source: a file, an https URL, -"          \
        }
/* Takes what was given into s (files as absolute paths); does not save. -EINVAL, -ENOENT with err. */
int service_store_take(struct service_store *s, const struct service_settings *given, struct error *err);
/* -EINVAL with err naming each option that signing in still needs. */
int service_store_complete(const struct service_store *s, struct error *err);
void service_store_clear(struct service_store *s);

struct client_config;
/* A client by what is remembered; the texts stay the store's. */
struct client_config service_store_client(const struct service_store *s, const char *bearer);
/* Adds one; nothing where it is there. -ENOMEM. */
int service_store_distrust(struct service_store *s, const char *kid);
/* Remembers the kids instead of those before. -ENOMEM. */
int service_store_set_distrusted(struct service_store *s, const char *const *kids, size_t n);

struct service_public {
        char id[ID_MAX + 1];
        char name[NAME_MAX_LEN + 1];
        struct key *key;
};
/* What an admin approves by file: the public half of a service's key, or of a connector's identity. */
int public_write(const char *dir, const char *file, const char *id, const char *name, const struct key *key,
                 struct error *err);
int service_public_read(struct service_public *ret_p, const char *path, struct error *err);
void service_public_clear(struct service_public *p);
