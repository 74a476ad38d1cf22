/*
 * The service's side of every sign-in: key, directory, and the highest roster that was seen.
 *
 * Invariant: the directory in use verified against the pin, and its roster is the newest that was ever handed in. A
 * directory that fails changes nothing.
 */
#include "queue/seal/sealer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

struct sealer {
        bool sandbox;
        char *tenant, *pin, *service_id;
        struct key *service_key;
        uint64_t min_seq;
        char roster_hash[KID_LEN + 1]; /* of its text; "": not known */
        struct directory *directory;
        uint64_t taken_ms; /* when the directory was last confirmed */
        char etag[128];
        char **distrusted; /* kids; owned */
        size_t n_distrusted;
};

struct sealer *sealer_free(struct sealer *s)
{
        if (!s)
                return NULL;
        s->directory = directory_free(s->directory);
        s->service_key = key_free(s->service_key);
        free(s->tenant);
        free(s->pin);
        free(s->service_id);
        for (size_t i = 0; i < s->n_distrusted; i++)
                free(s->distrusted[i]);
        free(s->distrusted);
        free(s);
        return NULL;
}

int sealer_new(struct sealer **ret_sealer, const struct sealer_config *config, struct error *err)
{
        _cleanup_(sealer_freep) struct sealer *s = NULL;
        int r;

        if (!config->tenant || !tenant_valid(config->tenant) || !config->pin || !config->service_id ||
            !config->service_key)
                return error_fail(err, -EINVAL, "tenant, pin and the service's id and key are needed");
        s = calloc(1, sizeof(*s));
        if (!s)
                return error_fail(err, -ENOMEM, "no memory");
        r = text_set(&s->tenant, config->tenant);
        r = r < 0 ? r : text_set(&s->pin, config->pin);
        r = r < 0 ? r : text_set(&s->service_id, config->service_id);
        s->service_key = key_ref(config->service_key);
        s->sandbox = config->sandbox;
        s->min_seq = config->min_seq;
        if (config->roster_hash)
                (void)snprintf(s->roster_hash, sizeof(s->roster_hash), "%s", config->roster_hash);
        for (size_t i = 0; r == 0 && i < config->n_distrusted; i++)
                r = sealer_distrust(s, config->distrusted[i]);
        if (r < 0)
                return error_fail(err, -ENOMEM, "no memory");
        *ret_sealer = steal(s);
        return 0;
}

int sealer_take_keys(struct sealer *s, const struct sealer_keys *keys, struct error *err)
{
        const struct directory_rules rules = {.sandbox = s->sandbox,
                                              .pin = s->pin,
                                              .tenant = s->tenant,
                                              .now = keys->wall,
                                              .min_seq = s->min_seq,
                                              .second = keys->second,
                                              .n_second = keys->n_second,
                                              .base = s->directory};
        struct directory *d = NULL;
        int r = directory_open(&d, keys->json, keys->n, &rules, NULL, err);

        if (r < 0)
                return r;
        r = roster_same_as_seen(d->roster, s->min_seq, s->roster_hash, err);
        if (r < 0) {
                directory_free(d);
                return r;
        }
        directory_free(s->directory);
        s->directory = d;
        s->min_seq = d->roster->seq;
        roster_text_hash(d->roster->text, strlen(d->roster->text), s->roster_hash);
        wire_text_cut(s->etag, sizeof(s->etag), keys->etag, strlen(keys->etag));
        sealer_keep_keys(s, keys->now_ms);
        return 0;
}

void sealer_keep_keys(struct sealer *s, uint64_t now_ms)
{
        s->taken_ms = now_ms;
}

bool sealer_fresh(const struct sealer *s, uint64_t now_ms)
{
        return s->directory && now_ms - s->taken_ms < SEALER_KEYS_MAX_AGE_MS;
}

struct sealer_view sealer_view(const struct sealer *s)
{
        return (struct sealer_view){.directory = s->directory,
                                    .state = s->directory ? s->directory->state : "",
                                    .etag = s->directory ? s->etag : "",
                                    .pin = s->pin,
                                    .roster_seq = s->min_seq,
                                    .roster_hash = s->roster_hash,
                                    .distrusted = (const char *const *)s->distrusted,
                                    .n_distrusted = s->n_distrusted};
}

int sealer_distrust(struct sealer *s, const char *kid)
{
        char **longer;

        for (size_t i = 0; i < s->n_distrusted; i++)
                if (strcmp(s->distrusted[i], kid) == 0)
                        return 0;
        longer = reallocarray(s->distrusted, s->n_distrusted + 1, sizeof(*longer));
        if (!longer)
                return -ENOMEM;
        s->distrusted = longer;
        longer[s->n_distrusted] = strdup(kid);
        if (!longer[s->n_distrusted])
                return -ENOMEM;
        s->n_distrusted++;
        return 0;
}

void sealer_fill(const struct sealer *s, struct sign_in_params *p)
{
        p->service_id = p->service_id ? p->service_id : s->service_id;
        p->service_key = p->service_key ? p->service_key : s->service_key;
        p->distrusted = (const char *const *)s->distrusted;
        p->n_distrusted = s->n_distrusted;
}
