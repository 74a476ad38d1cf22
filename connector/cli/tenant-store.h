/*
 * The tenant admin's folder: tenant.key (the tenant key), tenant.json (which tenant, which relay), roster.jws
 * (the newest roster).
 */
#pragma once

#include "certs/trust/announce.h"
#include "certs/http/https.h"
#include "certs/trust/roster.h"

struct tenant_store {
        char *dir;
        char *tenant;
        char pin[KID_LEN + 1];
        char *relay, *ca_file, *admin_secret_file; /* remembered from the last call that gave them; or NULL */
        struct roster *roster;                     /* the newest one, or an empty one of seq 0 */
        uint64_t relay_seq;                        /* the relay's, as tenant_catch_up found it; 0: it has none */
        json_t *statements;                        /* the relay's, as it gave them; or NULL */
};

struct tenant_new {
        const char *tenant;
        const char *passphrase; /* or NULL: the key is stored as it is */
        const char *key_uri;    /* of a key in hardware, used or made; NULL: a new one in a file */
};
/* Whether the folder holds a tenant key, of which none is overwritten. */
bool tenant_store_has_key(const char *dir);
/* Makes the folder (0700) and its files. -EEXIST where a tenant key is there already: it is never
 * overwritten. */
int tenant_store_create(const char *dir, const struct tenant_new *new, char ret_pin[KID_LEN + 1], struct error *err);
int tenant_store_open(struct tenant_store *ret_s, const char *dir, struct error *err);
/* What the options of a command say; each may be NULL: the usual folder, and what is remembered in it. */
struct tenant_way {
        const char *dir, *relay, *ca_file, *admin_secret_file;
};
/* The same as tenant_store_open, by the options, which are not remembered. */
int tenant_store_open_by(struct tenant_store *ret_s, const struct tenant_way *way, struct error *err);
/* The connector of the roster with this id, or NULL. */
const struct roster_member *tenant_store_member(const struct tenant_store *s, const char *id);
void tenant_store_clear(struct tenant_store *s);
/* Reads the private tenant key, or opens it in its token (asking for the PIN where the URI gives no file), and
 * checks that it is the pin's. -EACCES: passphrase or PIN missing or wrong. */
int tenant_store_key(const struct tenant_store *s, const char *passphrase, struct key **ret_key, struct error *err);
bool tenant_store_key_encrypted(const struct tenant_store *s);
/* Writes tenant.json (relay and so on) and, when it was signed, the roster. */
int tenant_store_save(const struct tenant_store *s, struct error *err);

/*
 * Takes the relay's roster where it is newer than the one here, and notes what the connectors' statements say, so
 * that no edit is made on an older base. 1: it was newer and is stored now; 0; -ENOENT: no relay is known;
 * -EBADE: another roster of the same number, which is nobody's to mend but the admin's; else as other calls.
 */
int tenant_catch_up(struct tenant_store *s, struct error *err);
/* Every connector of the roster whose statement the relay has can read what roster_sign would make of it.
 * -EPROTONOSUPPORT with err. */
int tenant_readable(const struct tenant_store *s, struct error *err);

/* The relay's side: PUT roster, GET pending, GET sign-ins. Needs relay and admin_secret_file. */
int tenant_publish(const struct tenant_store *s, struct error *err);
/* What the relay noted of the tenant's connectors, the newest first; owned. */
int tenant_events(const struct tenant_store *s, json_t **ret_list, struct error *err);
/* Lets the connector out of the relay's quarantine. */
int tenant_release(const struct tenant_store *s, const char *id, struct error *err);
/* What the relay knows of a sign-in, by its id or the beginning of that: an object, owned. -ENOENT where that is
 * nothing: the relay's words on it in err; -EMLINK: several ids begin so, err names them. */
int tenant_trace(const struct tenant_store *s, const char *id, json_t **ret_trace, struct error *err);
/* The connectors as the relay sees them: {"connectors":[...]}, owned. */
int tenant_status(const struct tenant_store *s, json_t **ret_status, struct error *err);
struct pending_identity {
        char id[65];
        char name[NAME_MAX_LEN + 1];
        struct key *key;
        struct announcement *announced; /* what its host says that it serves; NULL: by --identity */
};
void pending_identity_clear(struct pending_identity *p);
/* Finds the pending identity of this name and fingerprint and checks its proof of possession. -ENOENT says
 * what is pending instead. */
int tenant_find_pending(const struct tenant_store *s, const char *name, const char *fingerprint,
                        struct pending_identity *ret_p, struct error *err);
