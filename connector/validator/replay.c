/*
 * Replay cache: for each span of SPAN seconds one hash set of the tags whose time ends in it.
 *
 * Invariants: a set leaves as a whole, only when `now` is past its span, never to make room. A clock that leaps ahead
 * empties the cache; when it comes back, what ends no later than the entries that left cannot be told from a replay and
 * is refused. It does not judge requests: only pairs that passed the signature come here.
 */
#include "connector/validator/replay.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "connector/validator/shares.h"

#define SPAN 16 /* s */
#define SETS 32 /* more than the spans that live requests can end in: 285 s */
#define ROOM_MIN 1024
#define KEY_LEN 32

struct tag {
        uint64_t a, b; /* both 0: none */
};

struct set {
        int64_t span; /* it holds what ends in [span * SPAN, (span + 1) * SPAN) */
        struct tag *tags;
        size_t room, n; /* room: a power of two, or 0 */
        int64_t last;   /* the latest end in it */
        uint32_t *used; /* by service; NULL in a set without tags */
};

struct service {
        char kid[KID_LEN + 1];
};

struct replay {
        uint8_t key[KEY_LEN]; /* of the tags: nobody can aim at a place of the sets */
        size_t n, max;
        int64_t forgotten; /* the latest end among the entries that left */
        struct set sets[SETS];
        size_t n_services;
        struct service services[REPLAY_SERVICES_MAX];
        uint32_t used[REPLAY_SERVICES_MAX]; /* by each, in all sets */
};

int replay_new(struct replay **ret_replay, size_t max)
{
        struct replay *replay = calloc(1, sizeof(*replay));

        if (!replay || RAND_bytes(replay->key, sizeof(replay->key)) != 1) {
                free(replay);
                return -ENOMEM;
        }
        replay->max = max;
        *ret_replay = replay;
        return 0;
}

static void set_drop(struct replay *replay, struct set *set)
{
        for (size_t i = 0; set->used && i < replay->n_services; i++)
                replay->used[i] -= set->used[i];
        if (set->n > 0 && set->last > replay->forgotten)
                replay->forgotten = set->last;
        replay->n -= set->n;
        free(set->tags);
        free(set->used);
        *set = (struct set){0};
}

struct replay *replay_free(struct replay *replay)
{
        if (!replay)
                return NULL;
        for (size_t i = 0; i < SETS; i++)
                set_drop(replay, &replay->sets[i]);
        free(replay);
        return NULL;
}

static int tag_of(const struct replay *replay, const char *kid, const char *jti, struct tag *ret_tag)
{
        uint8_t text[KID_LEN + 1 + ID_MAX], mac[EVP_MAX_MD_SIZE];
        size_t kid_n = strlen(kid), jti_n = strlen(jti);
        unsigned n = 0;

        if (kid_n > KID_LEN || jti_n > ID_MAX)
                return -EINVAL;
        memcpy(text, kid, kid_n + 1);
        memcpy(text + kid_n + 1, jti, jti_n);
        if (!HMAC(EVP_sha256(), replay->key, KEY_LEN, text, kid_n + 1 + jti_n, mac, &n))
                return -ENOMEM;
        memcpy(ret_tag, mac, sizeof(*ret_tag));
        ret_tag->a += ret_tag->a == 0 && ret_tag->b == 0;
        return 0;
}

/* The tag's place: where it is, or where it would go. The set has room. */
static struct tag *place_of(const struct set *set, const struct tag *tag)
{
        size_t at = tag->a & (set->room - 1);

        while ((set->tags[at].a || set->tags[at].b) && (set->tags[at].a != tag->a || set->tags[at].b != tag->b))
                at = (at + 1) & (set->room - 1);
        return &set->tags[at];
}

/* Also under another end: a service that signs the same id again has not made a new one. */
static bool is_taken(const struct replay *replay, const struct tag *tag)
{
        for (size_t i = 0; i < SETS; i++) {
                const struct tag *at = replay->sets[i].n > 0 ? place_of(&replay->sets[i], tag) : NULL;

                if (at && at->a == tag->a && at->b == tag->b)
                        return true;
        }
        return false;
}

/* Keeps a quarter of the places free. 0 or -ENOMEM; then the set is as it was. */
static int set_grow(struct set *set)
{
        struct set next = *set;

        if (set->room > 0 && set->n + 1 <= set->room - set->room / 4)
                return 0;
        next.room = set->room ? set->room * 2 : ROOM_MIN;
        next.tags = calloc(next.room, sizeof(*next.tags));
        next.used = set->used ? set->used : calloc(REPLAY_SERVICES_MAX, sizeof(*next.used));
        if (!next.tags || !next.used) {
                free(next.tags);
                if (!set->used)
                        free(next.used);
                return -ENOMEM;
        }
        for (size_t i = 0; i < set->room; i++)
                if (set->tags[i].a || set->tags[i].b)
                        *place_of(&next, &set->tags[i]) = set->tags[i];
        free(set->tags);
        *set = next;
        return 0;
}

static void sweep(struct replay *replay, int64_t now)
{
        for (size_t i = 0; i < SETS; i++)
                if (replay->sets[i].n > 0 && (replay->sets[i].span + 1) * SPAN <= now)
                        set_drop(replay, &replay->sets[i]);
}

/* The service's number: a known one's, or that of one that has nothing here any more. REPLAY_SERVICES_MAX: no room. */
static size_t service_of(struct replay *replay, const char *kid)
{
        size_t free_at = REPLAY_SERVICES_MAX;

        for (size_t i = 0; i < replay->n_services; i++) {
                if (strcmp(replay->services[i].kid, kid) == 0)
                        return i;
                if (replay->used[i] == 0)
                        free_at = i;
        }
        if (free_at == REPLAY_SERVICES_MAX && replay->n_services < REPLAY_SERVICES_MAX)
                free_at = replay->n_services++;
        if (free_at < REPLAY_SERVICES_MAX)
                memcpy(replay->services[free_at].kid, kid, strlen(kid) + 1);
        return free_at;
}

/* Whether the service may have one more; those of the roster that have none here count as well. */
static bool has_room(const struct replay *replay, size_t service, size_t services)
{
        uint32_t used[REPLAY_SERVICES_MAX];
        size_t n = services > replay->n_services ? services : replay->n_services;

        n = n < REPLAY_SERVICES_MAX ? n : REPLAY_SERVICES_MAX;
        if (replay->n < replay->max / 2) /* nobody's reserve is touched; spares the sum */
                return true;
        memset(used, 0, n * sizeof(*used));
        memcpy(used, replay->used, replay->n_services * sizeof(*used));
        return share_allows(used, n, service, replay->max);
}

int replay_take(struct replay *replay, const char *kid, const char *jti, size_t services, int64_t now, int64_t until)
{
        int64_t span = until / SPAN;
        struct set *set = &replay->sets[(uint64_t)span % SETS];
        struct tag tag;
        size_t service;
        int r = tag_of(replay, kid, jti, &tag);

        if (r < 0 || until < now || until < 0)
                return r < 0 ? r : -EINVAL;
        sweep(replay, now);
        if (until <= replay->forgotten)
                return -ESTALE;
        if (set->n > 0 && set->span != span) /* of another time than live requests are: the clock leapt */
                return -ENOSPC;
        if (is_taken(replay, &tag))
                return -EEXIST;
        service = service_of(replay, kid);
        if (service == REPLAY_SERVICES_MAX || !has_room(replay, service, services))
                return -ENOSPC;
        r = set_grow(set);
        if (r < 0)
                return r;
        *place_of(set, &tag) = tag;
        set->span = span;
        set->last = until > set->last ? until : set->last;
        set->n++;
        set->used[service]++;
        replay->used[service]++;
        replay->n++;
        return 0;
}

size_t replay_count(const struct replay *replay)
{
        return replay->n;
}
