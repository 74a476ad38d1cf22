/*
 * Counts failures per account in a set-associative table of fixed size.
 *
 * Invariants: an entry with a place taken is never evicted; among the others goes the one whose window is
 * over, then the one with the fewest failures, then the oldest. Which set a name falls into depends on a
 * random key, so nobody can aim at another name's entry, and a flood of fresh names (one failure each) does
 * not push out a name that failed more often. A success clears the failures that came before it began: those beside it
 * the DC may have counted after it. Memory does not grow. It asks nobody and has no timer.
 */
#include "validate/types/guard.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define SETS 8192
#define WAYS 8
#define ALIASES 32768 /* spellings that a sign-in tied to an account */
#define REMEMBERED 2  /* wrong passwords of one name */
#define SPARE_LEAST 2 /* failures that an account may still have where a password is to go to the DC again */

struct wrong {
        uint8_t mac[GUARD_KEY_LEN];
        uint64_t until;
};

struct entry {
        uint8_t key[GUARD_KEY_LEN];
        uint64_t last; /* failure or place taken; 0: the entry is free */
        uint16_t failures, places;
        uint16_t failed; /* failures ever, also those that a success cleared; it may wrap */
        struct wrong wrong[REMEMBERED];
        uint8_t hint[GUARD_KEY_LEN]; /* of a name: where else its latest sign-in was counted, by what the DC said */
};

struct alias {
        uint8_t name[GUARD_KEY_LEN], account[GUARD_KEY_LEN];
};

struct guard {
        struct guard_config config;
        unsigned *shares; /* by domain: failures that this connector allows; 0: all of config.failures */
        size_t n_shares;
        struct secret *key;
        struct entry (*sets)[WAYS];
        struct alias *aliases;
        struct guard_counts counts;
};

int guard_new(struct guard **ret_guard, const struct guard_config *config)
{
        struct guard *guard = calloc(1, sizeof *guard);
        uint8_t key[32];
        int r = -ENOMEM;

        if (!guard)
                return -ENOMEM;
        guard->config = *config;
        guard->sets = calloc(SETS, sizeof *guard->sets);
        guard->aliases = calloc(ALIASES, sizeof *guard->aliases);
        if (guard->sets && guard->aliases && RAND_bytes(key, sizeof key) == 1)
                r = secret_new(&guard->key, key, sizeof key);
        wipe(key, sizeof key);
        if (r < 0) {
                guard_free(guard);
                return r;
        }
        *ret_guard = guard;
        return 0;
}

struct guard *guard_free(struct guard *guard)
{
        if (!guard)
                return NULL;
        if (guard->sets)
                wipe(guard->sets, SETS * sizeof *guard->sets);
        free(guard->sets);
        free(guard->aliases);
        free(guard->shares);
        secret_free(guard->key);
        free(guard);
        return NULL;
}

int guard_share(struct guard *guard, size_t domain, size_t connectors)
{
        const unsigned share = connectors < 2 ? 0 : (unsigned)(guard->config.failures / connectors);

        if (domain >= guard->n_shares) {
                unsigned *longer = reallocarray(guard->shares, domain + 1, sizeof *longer);

                if (!longer)
                        return -ENOMEM;
                memset(longer + guard->n_shares, 0, (domain + 1 - guard->n_shares) * sizeof *longer);
                guard->shares = longer;
                guard->n_shares = domain + 1;
        }
        guard->shares[domain] = connectors < 2 ? 0 : share ? share : 1;
        return 0;
}

bool guard_is_share(const struct guard *guard, size_t domain)
{
        return domain < guard->n_shares && guard->shares[domain] != 0;
}

unsigned guard_limit(const struct guard *guard, size_t domain)
{
        const unsigned share = domain < guard->n_shares ? guard->shares[domain] : 0;

        return share ? share : guard->config.failures;
}

/* HMAC-SHA256 under the process's key over a word for what it is and two parts, cut to 16 bytes. */
static void mac(const struct guard *guard, uint8_t out[GUARD_KEY_LEN], char what, const void *a, size_t a_n,
                const struct secret *b)
{
        uint8_t whole[EVP_MAX_MD_SIZE], text[1 + 512];
        uint8_t inner[GUARD_KEY_LEN] = {0};
        unsigned n = 0;

        if (b && HMAC(EVP_sha256(), secret_text(guard->key), (int)secret_len(guard->key),
                      (const uint8_t *)secret_text(b), secret_len(b), whole, &n))
                memcpy(inner, whole, sizeof inner);
        if (a_n > sizeof text - 1 - sizeof inner)
                a_n = sizeof text - 1 - sizeof inner;
        text[0] = (uint8_t)what;
        memcpy(text + 1, inner, sizeof inner);
        memcpy(text + 1 + sizeof inner, a, a_n);
        memset(out, 0, GUARD_KEY_LEN);
        if (HMAC(EVP_sha256(), secret_text(guard->key), (int)secret_len(guard->key), text, 1 + sizeof inner + a_n,
                 whole, &n))
                memcpy(out, whole, GUARD_KEY_LEN);
        wipe(whole, sizeof whole);
        wipe(text, sizeof text);
        wipe(inner, sizeof inner);
}

static struct alias *alias_of(const struct guard *guard, const uint8_t name[GUARD_KEY_LEN])
{
        uint32_t at;

        memcpy(&at, name, sizeof at);
        return &guard->aliases[at % ALIASES];
}

/* The account that a name or a hint is known to mean, or itself. */
static void resolve(const struct guard *guard, uint8_t key[GUARD_KEY_LEN], const uint8_t name[GUARD_KEY_LEN])
{
        const struct alias *alias = alias_of(guard, name);

        memcpy(key, memcmp(alias->name, name, GUARD_KEY_LEN) == 0 ? alias->account : name, GUARD_KEY_LEN);
}

/* The keys of the name and of the account that it is known to mean. */
static void find_keys(const struct guard *guard, struct guard_ticket *ticket, const struct name *name)
{
        char text[USERNAME_MAX + 32];
        size_t n = (size_t)snprintf(text, sizeof text, "%zu\n", name->domain);

        n += name_fold(text + n, sizeof text - n, name->user);
        mac(guard, ticket->name, 'n', text, n, NULL);
        resolve(guard, ticket->place.key, ticket->name);
}

static bool over(const struct guard *guard, const struct entry *e, uint64_t now)
{
        return e->places == 0 && now - e->last > guard->config.window_ms;
}

/* Whether a should go before b when there is no room. */
static bool weaker(const struct guard *guard, const struct entry *a, const struct entry *b, uint64_t now)
{
        if ((a->places == 0) != (b->places == 0))
                return a->places == 0;
        if (over(guard, a, now) != over(guard, b, now))
                return over(guard, a, now);
        return a->failures != b->failures ? a->failures < b->failures : a->last < b->last;
}

static struct entry *entry_find(const struct guard *guard, const uint8_t key[GUARD_KEY_LEN])
{
        struct entry *set;
        uint32_t at;

        memcpy(&at, key, sizeof at);
        set = guard->sets[at % SETS];
        for (size_t i = 0; i < WAYS; i++)
                if (set[i].last && memcmp(set[i].key, key, GUARD_KEY_LEN) == 0)
                        return &set[i];
        return NULL;
}

/* The entry of a key, a fresh one where there is none; NULL when all of its set have places taken. */
static struct entry *entry_get(struct guard *guard, const uint8_t key[GUARD_KEY_LEN], uint64_t now)
{
        struct entry *e = entry_find(guard, key), *set;
        uint32_t at;

        if (e && over(guard, e, now))
                e->failures = 0;
        if (e)
                return e;
        memcpy(&at, key, sizeof at);
        set = guard->sets[at % SETS];
        e = &set[0];
        for (size_t i = 0; i < WAYS && e->last; i++)
                if (!set[i].last || weaker(guard, &set[i], e, now))
                        e = &set[i];
        if (e->last && e->places > 0)
                return NULL;
        guard->counts.names += e->last == 0;
        wipe(e, sizeof *e);
        memcpy(e->key, key, GUARD_KEY_LEN);
        e->last = now;
        return e;
}

static bool is_repeated(const struct entry *e, const uint8_t password[GUARD_KEY_LEN], uint64_t now)
{
        for (size_t i = 0; i < REMEMBERED; i++)
                if (e->wrong[i].until > now && equal_const_time(e->wrong[i].mac, password, GUARD_KEY_LEN))
                        return true;
        return false;
}

static uint32_t seconds_left(const struct guard *guard, const struct entry *e, uint64_t now)
{
        uint64_t end = e->last + guard->config.window_ms;

        return end > now ? (uint32_t)((end - now + 999) / 1000) : 1;
}

/* Asks one entry, counts what it says, and takes a place in it. */
static enum guard_answer take_place(struct guard *guard, struct guard_ticket *ticket, struct entry *e,
                                    struct guard_place *place, uint64_t now)
{
        enum guard_answer answer = is_repeated(e, place->password, now)                 ? GUARD_REPEATED
                                   : e->failures >= ticket->limit                       ? GUARD_THROTTLED
                                   : (unsigned)e->failures + e->places >= ticket->limit ? GUARD_WAIT
                                                                                        : GUARD_GO;

        guard->counts.repeated += answer == GUARD_REPEATED;
        guard->counts.throttled += answer == GUARD_THROTTLED;
        if (guard->config.mode == GUARD_OBSERVE) {
                ticket->would_be = ticket->would_be || answer == GUARD_REPEATED || answer == GUARD_THROTTLED;
                answer = GUARD_GO;
        }
        if (answer == GUARD_GO)
                e->places++;
        place->failed = e->failed;
        return answer;
}

enum guard_answer guard_enter(struct guard *guard, struct guard_ticket *ticket, const struct name *name,
                              const struct secret *password, uint64_t now, uint32_t *ret_retry_s)
{
        enum guard_answer answer;
        struct entry *e;

        if (guard->config.mode == GUARD_OFF)
                return GUARD_GO;
        *ticket = (struct guard_ticket){.limit = guard_limit(guard, name->domain)};
        find_keys(guard, ticket, name);
        mac(guard, ticket->place.password, 'p', ticket->place.key, GUARD_KEY_LEN, password);
        e = entry_get(guard, ticket->place.key, now);
        if (!e)
                return GUARD_GO; /* eight others of its set are being checked: chance, and not to be aimed at
                                  */
        answer = take_place(guard, ticket, e, &ticket->place, now);
        if (answer == GUARD_THROTTLED)
                *ret_retry_s = seconds_left(guard, e, now);
        ticket->entered = answer == GUARD_GO;
        return answer;
}

enum guard_answer guard_hint(struct guard *guard, struct guard_ticket *ticket, size_t domain,
                             const struct guard_who *who, const struct secret *password, uint64_t now,
                             uint32_t *ret_retry_s)
{
        uint8_t text[32 + 256];
        size_t n = (size_t)snprintf((char *)text, 32, "%zu\n", domain), take = who->n < 256 ? who->n : 256;
        enum guard_answer answer;
        struct entry *e;

        if (!ticket->entered || ticket->hinted)
                return GUARD_GO;
        ticket->hinted = true;
        memcpy(text + n, who->bytes, take);
        mac(guard, ticket->hint, 'k', text, n + take, NULL);
        resolve(guard, ticket->hint_place.key, ticket->hint);
        e = memcmp(ticket->hint_place.key, ticket->place.key, GUARD_KEY_LEN) == 0
                    ? NULL
                    : entry_get(guard, ticket->hint_place.key, now);
        if (!e)
                return GUARD_GO;
        mac(guard, ticket->hint_place.password, 'p', ticket->hint_place.key, GUARD_KEY_LEN, password);
        answer = take_place(guard, ticket, e, &ticket->hint_place, now);
        if (answer == GUARD_THROTTLED)
                *ret_retry_s = seconds_left(guard, e, now);
        ticket->hint_entered = answer == GUARD_GO;
        return answer;
}

/* Remembers the wrong password in place of the one that is forgotten first. */
static void remember(const struct guard *guard, struct entry *e, const uint8_t password[GUARD_KEY_LEN], uint64_t now)
{
        struct wrong *w = &e->wrong[0];

        for (size_t i = 0; i < REMEMBERED; i++) {
                if (memcmp(e->wrong[i].mac, password, GUARD_KEY_LEN) == 0) {
                        w = &e->wrong[i];
                        break;
                }
                if (e->wrong[i].until < w->until)
                        w = &e->wrong[i];
        }
        memcpy(w->mac, password, GUARD_KEY_LEN);
        w->until = now + guard->config.repeat_ms;
}

/* Ties a name or a hint to the account that it proved to be: from now on they share one entry. What is counted under
 * the key that it had goes along, those who are being checked under it as if they had failed; own: those of the ticket.
 */
static void learn(struct guard *guard, const uint8_t name[GUARD_KEY_LEN], const struct guard_place *place, uint16_t own,
                  const char *sid, uint64_t now)
{
        struct alias *alias = alias_of(guard, name);
        struct entry *from = entry_find(guard, place->key), *to;

        memcpy(alias->name, name, GUARD_KEY_LEN);
        mac(guard, alias->account, 's', sid, strlen(sid), NULL);
        to = entry_get(guard, alias->account, now);
        if (!from || !to || from == to || from->failures + from->places - own <= to->failures)
                return;
        own = (uint16_t)(from->failures + from->places - own);
        to->failed = (uint16_t)(to->failed + own - to->failures); /* to who is being checked under it these are new */
        to->failures = own;
        to->last = now;
}

void guard_tie(struct guard *guard, const struct guard_ticket *ticket, const char *sid, uint64_t now)
{
        if (ticket->entered)
                learn(guard, ticket->name, &ticket->place, 1, sid, now);
}

bool guard_is_tied(const struct guard *guard, const struct guard_ticket *ticket)
{
        return !ticket->entered || memcmp(alias_of(guard, ticket->name)->name, ticket->name, GUARD_KEY_LEN) == 0;
}

static void failed(struct entry *e, uint64_t now)
{
        e->failures = e->failures < UINT16_MAX ? (uint16_t)(e->failures + 1) : UINT16_MAX;
        e->failed++;
        e->last = now;
}

/* Where a failure is counted: a sign-in beside it may have shown meanwhile which account the name means. */
static struct entry *entry_now(struct guard *guard, const uint8_t name[GUARD_KEY_LEN], const uint8_t key[GUARD_KEY_LEN],
                               uint64_t now)
{
        uint8_t account[GUARD_KEY_LEN];

        resolve(guard, account, name);
        return entry_get(guard, memcmp(account, name, GUARD_KEY_LEN) == 0 ? key : account, now);
}

static void give_back(const struct guard *guard, const uint8_t key[GUARD_KEY_LEN], uint16_t places)
{
        struct entry *e = entry_find(guard, key);

        if (e)
                e->places -= e->places < places ? e->places : places;
}

static void count(const struct guard *guard, struct entry *e, const struct guard_ticket *ticket,
                  const struct guard_place *place, const struct outcome *outcome, uint64_t now)
{
        const struct reason_info *info = outcome ? reason_info(outcome->reason) : NULL;
        uint16_t since = UINT16_MAX; /* failures since it began; not known where another entry was its own then */

        if (!e)
                return;
        if (memcmp(e->key, place->key, GUARD_KEY_LEN) == 0)
                since = (uint16_t)(e->failed - place->failed);
        if (info ? info->class == VERDICT_CLASS_CREDENTIALS : ticket->sent) {
                failed(e, now);
                if (outcome && outcome->reason == REASON_WRONG_PASSWORD)
                        remember(guard, e, place->password, now);
        } else if (info && (info->verdict == VERDICT_ACCEPTED || outcome->password_proved)) {
                e->failures = e->failures < since ? e->failures : since;
                wipe(e->wrong, sizeof e->wrong);
        }
        if (ticket->twice && (!info || info->class == VERDICT_CLASS_CREDENTIALS))
                failed(e, now);
}

void guard_leave(struct guard *guard, struct guard_ticket *ticket, const struct outcome *outcome, uint64_t now)
{
        const uint16_t places = ticket->again ? 2 : 1;
        struct entry *e, *other = NULL;

        if (!ticket->entered)
                return;
        ticket->entered = ticket->again = false;
        give_back(guard, ticket->place.key, places);
        if (ticket->hint_entered) {
                give_back(guard, ticket->hint_place.key, places);
                other = entry_now(guard, ticket->hint, ticket->hint_place.key, now);
        }
        ticket->hint_entered = false;
        e = entry_now(guard, ticket->name, ticket->place.key, now);
        count(guard, e, ticket, &ticket->place, outcome, now);
        if (other != e) /* a look-up may have shown that they are one */
                count(guard, other, ticket, &ticket->hint_place, outcome, now);
        if (e && other)
                memcpy(e->hint, other->key, GUARD_KEY_LEN);
        if (!outcome || !outcome->user.id[0])
                return;
        learn(guard, ticket->name, &ticket->place, 0, outcome->user.id, now);
        if (ticket->hinted)
                learn(guard, ticket->hint, &ticket->hint_place, 0, outcome->user.id, now);
}

/* Where nobody is stopped, the whole limit counts: a share would forbid what saves nobody. */
static bool has_spare(const struct guard *guard, const struct guard_ticket *ticket, const struct entry *e)
{
        const unsigned limit = guard->config.mode == GUARD_ON ? ticket->limit : guard->config.failures;

        return e && (unsigned)e->failures + e->places + SPARE_LEAST <= limit;
}

bool guard_again(struct guard *guard, struct guard_ticket *ticket)
{
        struct entry *e, *other;

        if (guard->config.mode == GUARD_OFF)
                return true;
        if (!ticket->entered || ticket->again)
                return false;
        e = entry_find(guard, ticket->place.key);
        other = ticket->hint_entered ? entry_find(guard, ticket->hint_place.key) : e;
        if (!has_spare(guard, ticket, e) || !has_spare(guard, ticket, other))
                return false;
        e->places++;
        if (other != e)
                other->places++;
        ticket->again = true;
        return true;
}

bool guard_same(const struct guard_ticket *waiting, const struct guard_ticket *ended)
{
        return memcmp(waiting->place.key, ended->place.key, GUARD_KEY_LEN) == 0 ||
               (ended->hinted && memcmp(waiting->place.key, ended->hint_place.key, GUARD_KEY_LEN) == 0);
}

/* What is counted under a name: by itself or the account that it means, and by what a DC said of it. */
#define PLACES 2
static void places_of(const struct guard *guard, const struct name *name, struct entry *ret[PLACES])
{
        struct guard_ticket ticket = {0};

        find_keys(guard, &ticket, name);
        ret[0] = entry_find(guard, ticket.place.key);
        ret[1] = ret[0] ? entry_find(guard, ret[0]->hint) : NULL;
}

void guard_look(const struct guard *guard, const struct name *name, uint64_t now, struct guard_look *ret_look)
{
        struct entry *places[PLACES];

        *ret_look = (struct guard_look){.limit = guard_limit(guard, name->domain)};
        places_of(guard, name, places);
        for (size_t i = 0; i < PLACES; i++) {
                const struct entry *e = places[i];

                if (!e || e->failures <= ret_look->failures || now - e->last > guard->config.window_ms)
                        continue;
                ret_look->failures = e->failures;
                ret_look->left_s = seconds_left(guard, e, now);
        }
        ret_look->stopped = guard->config.mode != GUARD_OFF && ret_look->failures >= ret_look->limit;
}

void guard_release(struct guard *guard, const struct name *name)
{
        struct entry *places[PLACES];

        places_of(guard, name, places);
        for (size_t i = 0; i < PLACES; i++)
                if (places[i]) {
                        places[i]->failures = 0;
                        wipe(places[i]->wrong, sizeof places[i]->wrong);
                }
}

void guard_count(const struct guard *guard, struct guard_counts *ret_counts)
{
        *ret_counts = guard->counts;
}
