/*
 * The tenant admin's folder and the two calls to the relay that an admin makes.
 *
 * Invariant: the tenant key is written once and never overwritten; the roster on disk never goes back in seq.
 * The relay is not believed: a pending identity counts only with the fingerprint that the admin was told by
 * the connector's host, and with its own proof.
 */
#include "connector/cli/tenant-store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/jose/jose.h"
#include "base/ipc/loop.h"
#include "base/core/text.h"
#include "connector/person/folder.h"
#include "connector/person/key-file.h"
#include "connector/cli/prompt.h"
#include "connector/cli/tenant-internal.h"

#define KEY_FILE "tenant.key"
#define META_FILE "tenant.json"
#define META_VERSION 1
#define ROSTER_FILE "roster.jws"

static int write_meta(const struct tenant_store *s, struct error *err)
{
        return folder_write_json(s->dir, META_FILE,
                                 json_pack("{s:i, s:s, s:s, s:s*, s:s*, s:s*}", "v", META_VERSION, "tenant", s->tenant,
                                           "pin", s->pin, "relay", s->relay, "ca_file", s->ca_file, "admin_secret_file",
                                           s->admin_secret_file),
                                 0600, err);
}

bool tenant_store_has_key(const char *dir)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, dir, KEY_FILE);
        return access(path, F_OK) == 0;
}

int tenant_store_create(const char *dir, const struct tenant_new *new, char ret_pin[KID_LEN + 1], struct error *err)
{
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        _cleanup_(buffer_free) struct buffer reference = BUFFER(FOLDER_KEY_MAX);
        char path[FOLDER_PATH_MAX];
        const struct folder_key file = {.path = path, .passphrase = new->passphrase, .ask = prompt_pin};
        int r;

        if (!tenant_valid(new->tenant))
                return error_fail(err, -EINVAL, "%s is no tenant name: 1 to %d of a-z, 0-9 and -", new->tenant,
                                  TENANT_MAX);
        r = folder_make(dir, err);
        folder_path(path, dir, KEY_FILE);
        if (r == 0)
                r = folder_key_make(&file, new->key_uri, &key, &reference, err);
        if (r < 0)
                return r;
        if (text_set(&s.dir, dir) < 0 || text_set(&s.tenant, new->tenant) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        memcpy(s.pin, key_pin(key), sizeof(s.pin));
        r = write_meta(&s, err);
        if (r == 0)
                r = folder_key_write(&file, key, &reference, err);
        if (r == 0)
                memcpy(ret_pin, s.pin, sizeof(s.pin));
        return r;
}

static int take_text(char **to, const json_t *json, const char *name)
{
        const char *text = json_string_value(json_object_get(json, name));

        return text ? text_set(to, text) : 0;
}

static int read_meta(struct tenant_store *s, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(65536);
        char path[FOLDER_PATH_MAX];
        json_t *json = NULL;
        const char *pin;
        int r;

        folder_path(path, s->dir, META_FILE);
        r = file_read(&text, path, err);
        if (r < 0)
                return error_prefix(err, r,
                                    "no tenant here (make one with `postern tenant init`, or name its folder "
                                    "with --dir)");
        r = jose_json_object(&json, text.data, text.len, path, err);
        if (r == 0)
                r = jose_json_version(json, path, META_VERSION, err);
        if (r < 0) {
                json_decref(json);
                return r;
        }
        pin = json_string_value(json_object_get(json, "pin"));
        if (take_text(&s->tenant, json, "tenant") < 0 || take_text(&s->relay, json, "relay") < 0 ||
            take_text(&s->ca_file, json, "ca_file") < 0 ||
            take_text(&s->admin_secret_file, json, "admin_secret_file") < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        else if (!s->tenant || !pin || strlen(pin) != KID_LEN)
                r = error_fail(err, -EBADMSG, "%s: tenant or pin is missing", path);
        else
                memcpy(s->pin, pin, KID_LEN + 1);
        json_decref(json);
        return r;
}

/* The stored roster, expired or not: an admin must be able to sign a new one. */
static int read_roster(struct tenant_store *s, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(ROSTER_TEXT_MAX);
        char path[FOLDER_PATH_MAX];
        int r;

        folder_path(path, s->dir, ROSTER_FILE);
        r = file_read(&text, path, err);
        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = roster_verify(&s->roster, text.data, text.len, s->pin, s->tenant, ROSTER_ANY_TIME, 0, err);
        return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

int tenant_store_open(struct tenant_store *ret_s, const char *dir, struct error *err)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        int r;

        if (text_set(&s.dir, dir) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        r = read_meta(&s, err);
        if (r == 0)
                r = read_roster(&s, err);
        if (r < 0)
                return r;
        *ret_s = s;
        s = (struct tenant_store){0};
        return 0;
}

int tenant_store_open_by(struct tenant_store *ret_s, const struct tenant_way *way, struct error *err)
{
        _cleanup_(freep) char *fallback = way->dir ? NULL : folder_default("tenant");
        const char *dir = way->dir ? way->dir : fallback;
        int r = dir ? tenant_store_open(ret_s, dir, err)
                    : error_fail(err, -EINVAL, "HOME is not set: name the folder with --dir");

        if (r == 0 && ((way->relay && text_set(&ret_s->relay, way->relay) < 0) ||
                       (way->admin_secret_file && text_set(&ret_s->admin_secret_file, way->admin_secret_file) < 0) ||
                       (way->ca_file && text_set(&ret_s->ca_file, way->ca_file) < 0)))
                r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

const struct roster_member *tenant_store_member(const struct tenant_store *s, const char *id)
{
        for (size_t i = 0; s->roster && i < s->roster->n_connectors; i++)
                if (strcmp(s->roster->connectors[i].id, id) == 0)
                        return &s->roster->connectors[i];
        return NULL;
}

void tenant_store_clear(struct tenant_store *s)
{
        free(s->dir);
        free(s->tenant);
        free(s->relay);
        free(s->ca_file);
        free(s->admin_secret_file);
        roster_free(s->roster);
        json_decref(s->statements);
        *s = (struct tenant_store){0};
}

bool tenant_store_key_encrypted(const struct tenant_store *s)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, s->dir, KEY_FILE);
        return folder_key_encrypted(path);
}

int tenant_store_key(const struct tenant_store *s, const char *passphrase, struct key **ret_key, struct error *err)
{
        _cleanup_(key_freep) struct key *key = NULL;
        char path[FOLDER_PATH_MAX];
        const struct folder_key file = {.path = path, .passphrase = passphrase, .ask = prompt_pin};
        int r;

        folder_path(path, s->dir, KEY_FILE);
        r = folder_key_read(&file, &key, err);
        if (r < 0)
                return r;
        if (strcmp(key_pin(key), s->pin) != 0)
                return error_fail(err, -EKEYREJECTED, "%s is not the key that %s pins", path, META_FILE);
        *ret_key = steal(key);
        return 0;
}

int tenant_store_save(const struct tenant_store *s, struct error *err)
{
        char path[FOLDER_PATH_MAX];
        int r = write_meta(s, err);

        if (r < 0 || !s->roster || !s->roster->text)
                return r;
        folder_path(path, s->dir, ROSTER_FILE);
        return file_write_atomic(path, s->roster->text, strlen(s->roster->text), 0644, err);
}

int tenant_call(const struct tenant_store *s, const char *method, const char *what, const char *body,
                struct https_response *ret, struct error *err)
{
        _cleanup_(https_freep) struct https *https = NULL;
        struct https_config config = {.ca_file = s->ca_file};
        struct secret *bearer = NULL;
        char url[2048];
        int r;

        if (!s->relay || !s->admin_secret_file)
                return error_fail(err, -EINVAL,
                                  "which relay? Give --relay URL and --admin-secret-file FILE once; they are "
                                  "remembered");
        r = folder_secret_read(s->admin_secret_file, &bearer, err);
        if (r != 0)
                return r < 0 ? r : error_fail(err, -EINVAL, "%s is empty", s->admin_secret_file);
        snprintf(url, sizeof(url), "%s/v1/tenants/%s/%s", s->relay, s->tenant, what);
        r = https_new(&https, &config, err);
        if (r == 0) {
                struct https_request request = {
                        .method = method,
                        .url = url,
                        .bearer = secret_text(bearer),
                        .content_type = body ? "application/jose" : NULL,
                        .body = body,
                        .body_len = body ? strlen(body) : 0,
                };
                r = https_do(https, &request, ret, err);
        }
        secret_free(bearer);
        return r;
}

int tenant_refused(const struct https_response *response, struct error *err)
{
        json_t *json = NULL;
        const char *title = NULL, *detail = NULL;
        int r = -EPROTO;

        if (response->body.len &&
            jose_json_object(&json, response->body.data, response->body.len, "answer", NULL) == 0) {
                title = json_string_value(json_object_get(json, "title"));
                detail = json_string_value(json_object_get(json, "detail"));
        }
        if (response->status == 401)
                r = -EACCES;
        error_fail(err, r, "the relay refused (HTTP %ld): %s%s%s%s", response->status,
                   title ? title : "no reason given", detail ? ": " : "", detail ? detail : "",
                   response->status == 401
                           ? " (is --admin-secret-file the one that `postern-relay tenant add` printed?)"
                           : "");
        json_decref(json);
        return r;
}

int tenant_publish(const struct tenant_store *s, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        int r;

        if (!s->roster || !s->roster->text)
                return error_fail(err, -ENOENT, "there is no roster yet: approve a connector or a service first");
        r = tenant_call(s, "PUT", "roster", s->roster->text, &response, err);
        if (r < 0)
                return r;
        return response.status / 100 == 2 ? 0 : tenant_refused(&response, err);
}

/* A pending entry's key, its proof checked. The proof was fresh when the relay took it; its age does not
 * matter here. */
static int check_pending(const json_t *entry, const char *tenant, const char *fingerprint,
                         struct pending_identity *ret_p, struct error *err)
{
        const char *id = json_string_value(json_object_get(entry, "id"));
        const char *proof = json_string_value(json_object_get(entry, "proof"));
        _cleanup_(announcement_freep) struct announcement *a = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        int r;

        if (!id || !proof || !id_valid(id, strlen(id)))
                return error_fail(err, -EBADMSG, "the relay's answer lacks id or proof");
        r = key_from_jwk(&key, json_object_get(entry, "jwk"), err);
        if (r < 0)
                return r;
        if (strcmp(key_kid(key), fingerprint) != 0)
                return error_fail(err, -EKEYREJECTED, "the key that the relay shows has the fingerprint %s",
                                  key_kid(key));
        r = announcement_verify(&a, proof, strlen(proof), key, ANNOUNCE_ANY_TIME, err);
        if (r < 0)
                return r;
        if (strcmp(a->id, id) != 0 || strcmp(a->tenant, tenant) != 0)
                return error_fail(err, -EKEYREJECTED, "the proof of possession is for another connector or tenant");
        snprintf(ret_p->id, sizeof(ret_p->id), "%s", id);
        ret_p->key = steal(key);
        ret_p->announced = steal(a);
        return 0;
}

void pending_identity_clear(struct pending_identity *p)
{
        key_free(p->key);
        announcement_free(p->announced);
        *p = (struct pending_identity){0};
}

static const char *text_of(const json_t *entry, const char *name)
{
        const char *text = json_string_value(json_object_get(entry, name));

        return text ? text : "-";
}

/*
 * Picks the entry by name and fingerprint; otherwise err lists the names that are pending. Not their fingerprints: an
 * admin who takes one from there believes the relay, and compares nothing.
 */
static int pick_pending(const json_t *list, const struct tenant_store *s, const char *name, const char *fingerprint,
                        struct pending_identity *ret_p, struct error *err)
{
        _cleanup_(buffer_free) struct buffer seen = BUFFER(ERROR_TEXT_MAX);
        bool other = false;
        size_t i;
        json_t *entry;

        json_array_foreach (list, i, entry) {
                const bool named = !strcmp(text_of(entry, "name"), name);

                if (named && !strcmp(text_of(entry, "kid"), fingerprint)) {
                        snprintf(ret_p->name, sizeof(ret_p->name), "%s", name);
                        return check_pending(entry, s->tenant, fingerprint, ret_p, err);
                }
                other = other || named;
                if (buffer_printf(&seen, "%s%s", seen.len ? ", " : "", text_of(entry, "name")) < 0)
                        continue; /* the list in the message is cut, nothing else */
        }
        if (other)
                return error_fail(err, -EKEYREJECTED,
                                  "a connector %s asks to be approved with another fingerprint than %s: compare that, "
                                  "whole, with what postern enroll printed on its host and postern status shows there; "
                                  "where it is the same, somebody else asks in its name",
                                  name, fingerprint);
        return error_fail(err, -ENOENT,
                          "no connector %s asks to be approved (it asks once its posternd runs); those that ask: %s",
                          name, seen.len ? seen.data : "none");
}

/* A list that the relay gives the admin; owned. */
static int get_list(const struct tenant_store *s, const char *what, json_t **ret_list, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        json_t *list;
        int r = tenant_call(s, "GET", what, NULL, &response, err);

        if (r < 0)
                return r;
        if (response.status != 200)
                return tenant_refused(&response, err);
        list = json_loadb(response.body.data ? response.body.data : "", response.body.len, JSON_REJECT_DUPLICATES,
                          NULL);
        if (!json_is_array(list)) {
                json_decref(list);
                return error_fail(err, -EBADMSG, "the relay's list of %s is malformed", what);
        }
        *ret_list = list;
        return 0;
}

int tenant_find_pending(const struct tenant_store *s, const char *name, const char *fingerprint,
                        struct pending_identity *ret_p, struct error *err)
{
        json_t *list = NULL;
        int r = get_list(s, "pending", &list, err);

        if (r == 0)
                r = pick_pending(list, s, name, fingerprint, ret_p, err);
        json_decref(list);
        return r;
}

int tenant_events(const struct tenant_store *s, json_t **ret_list, struct error *err)
{
        return get_list(s, "events", ret_list, err);
}

/* A 404: the relay's sentence on it, or the ids of which one was meant. */
static int absent(const struct https_response *response, struct error *err)
{
        json_auto_t *problem = json_loadb(response->body.data ? response->body.data : "", response->body.len,
                                          JSON_REJECT_DUPLICATES, NULL);
        const char *detail = json_string_value(json_object_get(problem, "detail"));
        const char *type = json_string_value(json_object_get(problem, "type"));
        _cleanup_(buffer_free) struct buffer ids = BUFFER(ERROR_TEXT_MAX);
        json_t *id;
        size_t i;

        if (!type || strcmp(type, "urn:postern:not-found") != 0)
                return tenant_refused(response, err);
        json_array_foreach (json_object_get(problem, "reasons"), i, id)
                if (json_is_string(id))
                        (void)buffer_printf(&ids, "%s%s", i ? ", " : "", json_string_value(id));
        if (ids.len)
                return error_fail(err, -EMLINK, "%s: %s", detail ? detail : "several", ids.data);
        return error_fail(err, -ENOENT, "%s", detail ? detail : "it says no more");
}

/* An object that the relay gives the admin; owned. */
static int get_object(const struct tenant_store *s, const char *what, json_t **ret_object, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        json_t *object;
        int r = tenant_call(s, "GET", what, NULL, &response, err);

        if (r < 0)
                return r;
        if (response.status == 404)
                return absent(&response, err);
        if (response.status != 200)
                return tenant_refused(&response, err);
        object = json_loadb(response.body.data ? response.body.data : "", response.body.len, JSON_REJECT_DUPLICATES,
                            NULL);
        if (!json_is_object(object)) {
                json_decref(object);
                return error_fail(err, -EBADMSG, "the relay's answer is malformed");
        }
        *ret_object = object;
        return 0;
}

int tenant_status(const struct tenant_store *s, json_t **ret_status, struct error *err)
{
        return get_object(s, "status", ret_status, err);
}

int tenant_trace(const struct tenant_store *s, const char *id, json_t **ret_trace, struct error *err)
{
        char what[ID_MAX + sizeof("sign-ins/")];

        (void)snprintf(what, sizeof(what), "sign-ins/%.*s", ID_MAX, id);
        return get_object(s, what, ret_trace, err);
}

int tenant_release(const struct tenant_store *s, const char *id, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        char what[ID_MAX + sizeof("connectors//release")];
        int r;

        (void)snprintf(what, sizeof(what), "connectors/%.*s/release", ID_MAX, id);
        r = tenant_call(s, "POST", what, "", &response, err);
        if (r < 0)
                return r;
        return response.status / 100 == 2 ? 0 : tenant_refused(&response, err);
}
