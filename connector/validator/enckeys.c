/*
 * Encryption keys and their statements.
 *
 * Invariant: keys[0] is the newest and the one that every new statement offers first; a key is freed (its
 * scalar wiped by OpenSSL's secure heap) at its exp + ENCKEY_GRACE, or when that much time has passed by a clock
 * that nobody sets. A statement never outlives the keys in it. seq rises with every statement and begins where the
 * supervisor says, so that a restarted validator under the same boot goes on above its predecessor.
 */
#include "connector/validator/enckeys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define SIGN_RENEW 3600 /* s: a signing key's age when the next one is announced */
#define CLOCK_SET 5     /* s by which the clock must differ from what passed to count as set */
#define SIGN_LEFT 600   /* s that are left to a key that signs; by then the next has been known for 50 minutes */

int enckeys_init(struct enckeys *e, struct key *identity, const char *connector_id, const char *tenant,
                 const char *boot, uint64_t seq)
{
        if (strlen(boot) != BOOT_LEN)
                return -EINVAL;
        *e = (struct enckeys){.seq = seq};
        memcpy(e->boot, boot, BOOT_LEN + 1);
        if (text_set(&e->connector_id, connector_id) < 0 || text_set(&e->tenant, tenant) < 0) {
                enckeys_clear(e);
                return -ENOMEM;
        }
        e->identity = key_ref(identity);
        return 0;
}

void enckeys_clear(struct enckeys *e)
{
        for (size_t i = 0; i < e->n; i++)
                key_free(e->keys[i].key);
        for (size_t i = 0; i < e->n_sign; i++)
                key_free(e->sign[i].key);
        key_free(e->identity);
        statement_free(e->statement);
        free(e->connector_id);
        free(e->tenant);
        *e = (struct enckeys){0};
}

static void drop_old(struct enckeys *e, int64_t now, uint64_t now_ms)
{
        while (e->n > 0 && (e->keys[e->n - 1].exp + ENCKEY_GRACE < now || e->dies[e->n - 1] <= now_ms))
                key_free(e->keys[--e->n].key);
        while (e->n_sign > 0 && (e->sign[e->n_sign - 1].exp <= now || e->sign[e->n_sign - 1].nbf > now + SIGN_LEFT))
                key_free(e->sign[--e->n_sign].key);
}

const struct key *enckeys_signer(const struct enckeys *e, int64_t now)
{
        for (size_t i = e->n_sign; i > 0; i--)
                if (e->sign[i - 1].exp - now >= SIGN_LEFT)
                        return e->sign[i - 1].key;
        return e->n_sign ? e->sign[0].key : e->identity;
}

/* Puts a fresh key in front of those before; the oldest goes where there are max of them. */
static int add_key(struct statement_key *keys, size_t *n, size_t max, int64_t nbf, int64_t exp, struct error *err)
{
        struct key *key;
        int r = key_generate(&key, err);

        if (r < 0)
                return r;
        if (*n == max)
                key_free(keys[--*n].key);
        memmove(&keys[1], &keys[0], *n * sizeof(*keys));
        keys[0] = (struct statement_key){key, nbf, exp};
        ++*n;
        return 0;
}

static int copy_list(char ***ret_list, size_t *ret_n, const char *const *from, size_t n)
{
        char **list;

        if (n == 0)
                return 0;
        list = calloc(n, sizeof(*list));
        if (!list)
                return -ENOMEM;
        *ret_list = list;
        for (size_t i = 0; i < n; i++) {
                list[i] = strdup(from[i]);
                if (!list[i])
                        return -ENOMEM;
                *ret_n = i + 1;
        }
        return 0;
}

/* An unsigned statement of the current keys and names. */
static int draft(struct statement **ret_s, const struct enckeys *e, const struct domains_names *names)
{
        _cleanup_(statement_freep) struct statement *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        memcpy(s->boot, e->boot, sizeof(s->boot));
        if (text_set(&s->iss, e->connector_id) < 0 || text_set(&s->tenant, e->tenant) < 0 ||
            copy_list(&s->realms, &s->n_realms, names->realms, names->n_realms) < 0 ||
            copy_list(&s->suffixes, &s->n_suffixes, names->suffixes, names->n_suffixes) < 0 ||
            copy_list(&s->netbios, &s->n_netbios, names->netbios, names->n_netbios) < 0)
                return -ENOMEM;
        /* only the newest key is offered: what was sealed to an older one was so under an older statement */
        s->keys[0] = (struct statement_key){key_ref(e->keys[0].key), e->keys[0].nbf, e->keys[0].exp};
        s->n_keys = 1;
        s->guard = names->guard;
        s->pad = names->attributes ? PADDED_LARGE : PADDED_SMALL;
        for (size_t i = 0; i < e->n_sign; i++)
                s->sign[s->n_sign++] = (struct statement_key){key_ref(e->sign[i].key), e->sign[i].nbf, e->sign[i].exp};
        *ret_s = steal(s);
        return 0;
}

int enckeys_turn(struct enckeys *e, const struct domains_names *names, int64_t now, uint64_t now_ms, bool renew,
                 struct error *err)
{
        _cleanup_(statement_freep) struct statement *s = NULL;
        const int64_t base = now - (int64_t)(now_ms / 1000), set_by = base - e->stated_base;
        int r;

        drop_old(e, now, now_ms);
        /* a clock that went back would leave keys from the future: start afresh */
        if (e->n == 0 || e->keys[0].nbf > now || e->keys[0].nbf + ENCKEY_LIFE < now) {
                /* nbf lies back by the tolerated skew, so that a service with a slow clock takes the key */
                r = add_key(e->keys, &e->n, ENCKEYS_MAX, now - 120, now + ENCKEY_LIFE + STATEMENT_LIFE_MAX, err);
                if (r < 0)
                        return r;
                memmove(&e->dies[1], &e->dies[0], (e->n - 1) * sizeof(e->dies[0]));
                e->dies[0] = now_ms + (uint64_t)(ENCKEY_LIFE + STATEMENT_LIFE_MAX + ENCKEY_GRACE) * 1000;
                renew = true;
        }
        if (e->hourly && (e->n_sign == 0 || now - e->sign[0].nbf >= SIGN_RENEW || e->sign[0].nbf > now)) {
                /* the signing key before goes on signing until services know this one */
                r = add_key(e->sign, &e->n_sign, STATEMENT_SIGN_MAX, now, now + STATEMENT_LIFE_MAX, err);
                if (r < 0)
                        return r;
                renew = true;
        }
        /* by a clock that was slow it would seem older for an hour than what was said before this start */
        if (e->statement && !renew && set_by <= CLOCK_SET && now >= e->statement->iat &&
            now < e->statement->iat + STATEMENT_RENEW)
                return 0;
        r = draft(&s, e, names);
        if (r < 0)
                return error_fail(err, r, "key statement: out of memory");
        s->seq = e->seq + 1;
        r = statement_sign(s, e->identity, now, STATEMENT_LIFE_MAX, err);
        if (r < 0)
                return r;
        e->seq = s->seq;
        e->stated_at = now_ms;
        e->stated_base = base;
        statement_free(e->statement);
        e->statement = steal(s);
        return 1;
}

const struct key *enckeys_find(const struct enckeys *e, const char *kid, int64_t now)
{
        for (size_t i = 0; i < e->n; i++)
                if (!strcmp(key_kid(e->keys[i].key), kid))
                        return e->keys[i].exp + ENCKEY_GRACE >= now ? e->keys[i].key : NULL;
        return NULL;
}
