/*
 * A sign-in service's folder, or a person's, on disk.
 *
 * Invariant: the private key is written once (0600), after all else that its folder gets, and never overwritten;
 * service.pub.json and person.pub.json hold nothing secret.
 */
#include "connector/person/service-store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/jose/jose.h"
#include "base/core/admin-text.h"
#include "base/core/text.h"
#include "connector/person/folder.h"
#include "queue/client/client.h"

static const struct {
        const char *word, *key, *public, *meta;
} kinds[] = {[STORE_SERVICE] = {"service", "service.key", "service.pub.json", "service.json"},
             [STORE_PERSON] = {"person", "person.key", "person.pub.json", "person.json"}};
#define META_VERSION 2 /* 2: roster_hash */
#define PUBLIC_VERSION 1

int public_write(const char *dir, const char *file, const char *id, const char *name, const struct key *key,
                 struct error *err)
{
        json_t *jwk = NULL;

        if (key_to_jwk(key, &jwk) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        return folder_write_json(dir, file,
                                 json_pack("{s:i, s:s, s:s, s:s, s:o}", "v", PUBLIC_VERSION, "id", id, "name", name,
                                           "kid", key_kid(key), "jwk", jwk),
                                 0644, err);
}

int service_store_save(const struct service_store *s, struct error *err)
{
        json_t *distrusted = s->n_distrusted ? json_array() : NULL;

        for (size_t i = 0; i < s->n_distrusted; i++)
                json_array_append_new(distrusted, json_string(s->distrusted[i]));
        return folder_write_json(s->dir, kinds[s->kind].meta,
                                 json_pack("{s:i, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:I, s:s*, s:o*, s:o*}",
                                           "v", META_VERSION, "id", s->id, "name", s->name, "relay", s->relay, "tenant",
                                           s->tenant, "pin", s->pin, "ca_file", s->ca_file, "secret_file",
                                           s->secret_file, "roster_source", s->roster_source, "roster_seq",
                                           (json_int_t)s->roster_seq, "roster_hash",
                                           s->roster_hash[0] ? s->roster_hash : NULL, "distrusted", distrusted,
                                           "sandbox", s->sandbox ? json_true() : NULL),
                                 0600, err);
}

static void forget_distrusted(struct service_store *s)
{
        for (size_t i = 0; i < s->n_distrusted; i++)
                free(s->distrusted[i]);
        free(s->distrusted);
        s->distrusted = NULL;
        s->n_distrusted = 0;
}

int service_store_set_distrusted(struct service_store *s, const char *const *kids, size_t n)
{
        char **list = calloc(n + 1, sizeof(*list));

        for (size_t i = 0; list && i < n; i++) {
                list[i] = strdup(kids[i]);
                if (!list[i]) {
                        while (i > 0)
                                free(list[--i]);
                        free(list);
                        return -ENOMEM;
                }
        }
        if (!list)
                return -ENOMEM;
        forget_distrusted(s);
        s->distrusted = list;
        s->n_distrusted = n;
        return 0;
}

int service_store_distrust(struct service_store *s, const char *kid)
{
        const char **kids = calloc(s->n_distrusted + 1, sizeof(*kids));
        bool there = false;
        int r = -ENOMEM;

        for (size_t i = 0; kids && i < s->n_distrusted; i++) {
                kids[i] = s->distrusted[i];
                there = there || strcmp(kids[i], kid) == 0;
        }
        if (kids)
                kids[s->n_distrusted] = kid;
        if (kids)
                r = there ? 0 : service_store_set_distrusted(s, kids, s->n_distrusted + 1);
        free(kids);
        return r;
}

void service_store_saw(struct service_store *s, const struct client *client)
{
        const struct sealer_view seen = sealer_view(client_sealer(client));

        s->roster_seq = seen.roster_seq;
        (void)snprintf(s->roster_hash, sizeof(s->roster_hash), "%s", seen.roster_hash);
}

struct client_config service_store_client(const struct service_store *s, const char *bearer)
{
        return (struct client_config){.sandbox = s->sandbox,
                                      .relay = s->relay,
                                      .tenant = s->tenant,
                                      .pin = s->pin,
                                      .bearer = bearer,
                                      .ca_file = s->ca_file,
                                      .service_id = s->id,
                                      .service_key = s->key,
                                      .min_seq = s->roster_seq,
                                      .roster_hash = s->roster_hash,
                                      .roster_source = s->roster_source,
                                      .distrusted = (const char *const *)s->distrusted,
                                      .n_distrusted = s->n_distrusted};
}

static int read_distrusted(struct service_store *s, const json_t *list)
{
        const size_t n = json_array_size(list);
        const char **kids = calloc(n + 1, sizeof(*kids));
        int r = kids ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < n; i++)
                if (!(kids[i] = json_string_value(json_array_get(list, i))))
                        r = -EBADMSG;
        if (r == 0)
                r = service_store_set_distrusted(s, kids, n);
        free(kids);
        return r;
}

const char *service_store_file(enum store_kind kind, enum store_file file)
{
        return file == STORE_FILE_KEY      ? kinds[kind].key
               : file == STORE_FILE_PUBLIC ? kinds[kind].public
                                           : kinds[kind].meta;
}

int service_store_begin(struct service_store *s, enum store_kind kind, const char *dir, const char *name,
                        struct error *err)
{
        int r;

        s->kind = kind;
        if (!name[0] || strlen(name) > NAME_MAX_LEN || !utf8_valid(name, strlen(name)))
                return error_fail(err, -EINVAL, "a %s's name has 1 to %d bytes", kinds[kind].word, NAME_MAX_LEN);
        if (text_set(&s->dir, dir) < 0 || text_set(&s->name, name) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        r = id_generate(s->id);
        return r < 0 ? error_fail(err, r, "no random numbers") : folder_make(dir, err);
}

int service_store_finish(const struct service_store *s, struct error *err)
{
        int r = public_write(s->dir, kinds[s->kind].public, s->id, s->name, s->key, err);

        return r < 0 ? r : service_store_save(s, err);
}

int service_store_create(const char *dir, const char *name, const struct service_settings *given,
                         struct service_store *ret_s, struct error *err)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        char path[FOLDER_PATH_MAX];
        int r = service_store_begin(&s, STORE_SERVICE, dir, name, err);

        folder_path(path, dir, kinds[STORE_SERVICE].key);
        if (r == 0 && access(path, F_OK) == 0)
                r = error_fail(err, -EEXIST, "%s: exists already; a key file is never overwritten", path);
        if (r == 0)
                r = key_generate(&s.key, err);
        if (r == 0)
                r = service_store_take(&s, given, err);
        if (r == 0)
                r = service_store_finish(&s, err);
        if (r == 0)
                r = key_write(s.key, path, NULL, err);
        if (r < 0)
                return r;
        *ret_s = s;
        s = (struct service_store){0};
        return 0;
}

static int take(char **to, const json_t *json, const char *name)
{
        const char *text = json_string_value(json_object_get(json, name));

        return text ? text_set(to, text) : 0;
}

static int read_json(json_t **ret_json, const char *path, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(65536);
        int r = admin_text_read(&text, path, err);

        return r < 0 ? r : jose_json_object(ret_json, text.data ? text.data : "", text.len, path, err);
}

static int read_meta(struct service_store *s, struct error *err)
{
        char path[FOLDER_PATH_MAX];
        json_t *json = NULL;
        const char *id, *hash;
        int r;

        folder_path(path, s->dir, kinds[s->kind].meta);
        r = read_json(&json, path, err);
        if (r < 0)
                return error_prefix(err, r,
                                    "no %s here (make one with `postern %s init`, or name its folder with --%s)",
                                    kinds[s->kind].word, kinds[s->kind].word, kinds[s->kind].word);
        id = json_string_value(json_object_get(json, "id"));
        r = jose_json_version(json, path, META_VERSION, err);
        if (r < 0) {
                json_decref(json);
                return r;
        }
        if (!id || !id_valid(id, strlen(id)))
                r = error_fail(err, -EBADMSG, "%s: id is missing", path);
        else if (take(&s->name, json, "name") < 0 || take(&s->relay, json, "relay") < 0 ||
                 take(&s->tenant, json, "tenant") < 0 || take(&s->pin, json, "pin") < 0 ||
                 take(&s->ca_file, json, "ca_file") < 0 || take(&s->secret_file, json, "secret_file") < 0 ||
                 take(&s->roster_source, json, "roster_source") < 0 ||
                 read_distrusted(s, json_object_get(json, "distrusted")) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        else
                memcpy(s->id, id, strlen(id) + 1);
        s->sandbox = json_is_true(json_object_get(json, "sandbox"));
        s->roster_seq = (uint64_t)json_integer_value(json_object_get(json, "roster_seq"));
        hash = json_string_value(json_object_get(json, "roster_hash"));
        (void)snprintf(s->roster_hash, sizeof(s->roster_hash), "%s", hash ? hash : "");
        json_decref(json);
        return r;
}

int service_store_open_without_key(struct service_store *s, enum store_kind kind, const char *dir, struct error *err)
{
        s->kind = kind;
        return text_set(&s->dir, dir) < 0 ? error_fail(err, -ENOMEM, "out of memory") : read_meta(s, err);
}

int service_store_open(struct service_store *ret_s, const char *dir, struct error *err)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        char path[FOLDER_PATH_MAX];
        int r = service_store_open_without_key(&s, STORE_SERVICE, dir, err);

        folder_path(path, dir, kinds[STORE_SERVICE].key);
        if (r == 0)
                r = key_read(&s.key, path, NULL, err);
        if (r < 0)
                return r;
        *ret_s = s;
        s = (struct service_store){0};
        return 0;
}

int service_store_take(struct service_store *s, const struct service_settings *given, struct error *err)
{
        int r = folder_check_relays(given->relay, err);

        if (r < 0)
                return r;
        if (given->pin && strlen(given->pin) != KID_LEN)
                return error_fail(err, -EINVAL,
                                  "--pin %s is no pin: %d characters, as `postern tenant init` printed it", given->pin,
                                  KID_LEN);
        if ((given->relay && text_set(&s->relay, given->relay) < 0) ||
            (given->tenant && text_set(&s->tenant, given->tenant) < 0) ||
            (given->pin && text_set(&s->pin, given->pin) < 0))
                return error_fail(err, -ENOMEM, "out of memory");
        if (given->roster_source && !strcmp(given->roster_source, "-")) {
                free(s->roster_source);
                s->roster_source = NULL;
        } else if (given->roster_source && strncmp(given->roster_source, "https://", 8) == 0) {
                if (text_set(&s->roster_source, given->roster_source) < 0)
                        return error_fail(err, -ENOMEM, "out of memory");
        } else if ((r = folder_set_path(&s->roster_source, given->roster_source, err)) < 0) {
                return r;
        }
        r = folder_set_path(&s->secret_file, given->secret_file, err);
        return r < 0 ? r : folder_set_path(&s->ca_file, given->ca_file, err);
}

int service_store_complete(const struct service_store *s, struct error *err)
{
        const struct {
                const char *value, *option;
        } needed[] = {{s->relay, "--relay URL"},
                      {s->tenant, "--tenant T"},
                      {s->pin, "--pin PIN"},
                      {s->secret_file, "--secret-file FILE"}};
        char missing[128] = "";
        size_t n = 0;

        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
                if (!needed[i].value)
                        n += (size_t)snprintf(missing + n, sizeof(missing) - n, "%s%s", n ? " " : "", needed[i].option);
        return n ? error_fail(err, -EINVAL, "%s, this is needed once, and remembered: postern %s show %s",
                              s->kind == STORE_PERSON ? "to ask the connectors" : "to sign people in",
                              kinds[s->kind].word, missing)
                 : 0;
}

void service_store_clear(struct service_store *s)
{
        free(s->dir);
        free(s->name);
        key_free(s->key);
        free(s->relay);
        free(s->tenant);
        free(s->pin);
        free(s->ca_file);
        free(s->secret_file);
        free(s->roster_source);
        forget_distrusted(s);
        *s = (struct service_store){0};
}

int service_public_read(struct service_public *ret_p, const char *path, struct error *err)
{
        struct service_public p = {0};
        json_t *json = NULL;
        const char *id = NULL, *name = NULL;
        int r = read_json(&json, path, err);

        if (r == 0)
                r = jose_json_version(json, path, PUBLIC_VERSION, err);
        if (r == 0)
                r = jose_json_str(json, path, "id", 16, ID_MAX, &id, err);
        if (r == 0)
                r = jose_json_str(json, path, "name", 1, NAME_MAX_LEN, &name, err);
        if (r == 0)
                r = key_from_jwk(&p.key, json_object_get(json, "jwk"), err);
        if (r == 0) {
                memcpy(p.id, id, strlen(id) + 1);
                memcpy(p.name, name, strlen(name) + 1);
                *ret_p = p;
        }
        json_decref(json);
        return r;
}

void service_public_clear(struct service_public *p)
{
        key_free(p->key);
        *p = (struct service_public){0};
}
