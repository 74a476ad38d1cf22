/*
 * The directory: who may be sealed to, as the tenant key says, and what the relay adds to it.
 *
 * Invariant: every entry is a connector of the verified roster with a statement that its identity key signed.
 * The relay decides only the order; a connector that it adds, or a statement that it changes, is left out.
 */
#include "queue/seal/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "certs/codec/json.h"
#include "queue/wire/wire.h"

#define READY_REALMS_MAX 64
#define GONE_MAX (2 * ROSTER_MEMBERS_MAX)

struct directory *directory_free(struct directory *d)
{
        if (!d)
                return NULL;
        for (size_t i = 0; i < d->n; i++) {
                statement_free(d->entries[i].statement);
                for (size_t k = 0; k < d->entries[i].n_ready; k++)
                        free(d->entries[i].ready[k]);
                free(d->entries[i].ready);
        }
        free(d->entries);
        d->roster = roster_free(d->roster);
        free(d);
        return NULL;
}

const struct key *directory_signer(const struct key *identity, const struct statement_key *sign, size_t n,
                                   const char *kid, int64_t now)
{
        if (strcmp(key_kid(identity), kid) == 0)
                return identity;
        for (size_t i = 0; i < n; i++)
                if (strcmp(key_kid(sign[i].key), kid) == 0 && sign[i].nbf <= now + WIRE_SKEW &&
                    now - WIRE_SKEW < sign[i].exp)
                        return sign[i].key;
        return NULL;
}

static struct directory_entry *entry_of(const struct directory *d, const char *kid)
{
        for (size_t i = 0; d && i < d->n; i++)
                if (strcmp(d->entries[i].statement->kid, kid) == 0)
                        return &d->entries[i];
        return NULL;
}

/* Within a boot by seq, which no clock moves; between boots by the later iat. */
static bool newer(const struct statement *s, const struct statement *old)
{
        if (strcmp(s->boot, old->boot) == 0)
                return s->seq > old->seq;
        return s->iat > old->iat || (s->iat == old->iat && s->seq > old->seq);
}

/* Puts a verified statement in, or in the place of an older one. The array has room for one entry per
 * statement. */
static void take_statement(struct directory *d, const struct roster_member *connector, struct statement *s)
{
        struct directory_entry *e = entry_of(d, s->kid);

        if (!e) {
                d->entries[d->n++] =
                        (struct directory_entry){.connector = connector, .statement = s, .rank = -1, .weight = 1};
        } else if (newer(s, e->statement)) {
                statement_free(e->statement);
                e->statement = s;
        } else {
                statement_free(s);
        }
}

/* 0; 1 where the text is refused; -ENOMEM. */
static int add_statement(struct directory *d, const char *text, size_t n, const struct directory_rules *rules)
{
        const struct roster_member *connector;
        const struct directory_entry *old;
        struct statement *s = NULL;
        char kid[KID_LEN + 1];
        int r = 0;

        if (statement_peek_kid(text, n, kid, NULL) < 0)
                return 1;
        connector = roster_connector(d->roster, kid);
        if (!connector)
                return 1;
        /* what base has of this text is verified, if it still is this connector's, and not over */
        old = entry_of(rules->base, key_kid(connector->key));
        if (old && strlen(old->statement->text) == n && memcmp(old->statement->text, text, n) == 0 &&
            strcmp(old->statement->iss, connector->id) == 0 && rules->now <= old->statement->exp + ROSTER_SKEW)
                s = statement_ref(old->statement);
        d->n_verified += !s;
        if (!s)
                r = statement_verify(&s, text, n, connector->key, connector->id, d->roster->tenant, rules->now, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 1;
        take_statement(d, connector, s);
        return 0;
}

/* Takes over how ready the connector was. */
static int copy_ready(struct directory_entry *to, const struct directory_entry *from)
{
        to->rank = from->rank;
        to->weight = from->weight;
        to->ready = from->n_ready ? calloc(from->n_ready, sizeof(*to->ready)) : NULL;
        if (from->n_ready && !to->ready)
                return -ENOMEM;
        for (size_t i = 0; i < from->n_ready; i++) {
                to->ready[i] = strdup(from->ready[i]);
                if (!to->ready[i])
                        return -ENOMEM;
                to->n_ready++;
        }
        return 0;
}

static bool is_gone(struct json_reader *keys, const char *kid)
{
        struct json_reader list;
        char one[KID_LEN + 2];

        json_read_list(&list, keys, "gone", JSON_REQUIRED, 0, GONE_MAX);
        while (json_read_next(&list)) {
                if (json_read_kind(&list, NULL) != '"')
                        continue;
                json_read_cut(&list, NULL, one, sizeof(one));
                if (strcmp(one, kid) == 0)
                        return true;
        }
        return false;
}

/* What did not change since base: statements of those who are connectors still, and how ready they were. */
static int keep_base(struct directory *d, struct json_reader *keys, const struct directory *base, int64_t now)
{
        for (size_t i = 0; i < base->n; i++) {
                const struct directory_entry *e = &base->entries[i];
                const struct roster_member *connector = roster_connector(d->roster, e->statement->kid);

                if (!connector || strcmp(connector->id, e->statement->iss) != 0 ||
                    now > e->statement->exp + ROSTER_SKEW || is_gone(keys, e->statement->kid))
                        continue;
                take_statement(d, connector, statement_ref(e->statement));
                if (!json_read_has(keys, "ready") && copy_ready(&d->entries[d->n - 1], e) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* What is no statement, of whatever type, is refused alone. */
static void add_statements(struct directory *d, struct json_reader *keys, const struct directory_rules *rules,
                           bool is_change, size_t *refused)
{
        const struct directory *kept = is_change ? rules->base : NULL;
        char text[STATEMENT_TEXT_MAX + 1];
        struct json_reader list;

        if (!json_read_list(&list, keys, "statements", JSON_REQUIRED, 0, ROSTER_MEMBERS_MAX))
                return;
        d->entries = calloc((kept ? kept->n : 0) + list.n + 1, sizeof(*d->entries));
        if (!d->entries || (kept && keep_base(d, keys, kept, rules->now) < 0)) {
                json_read_no_memory(keys);
                return;
        }
        while (json_read_next(&list)) {
                const size_t n =
                        json_read_kind(&list, NULL) == '"' ? json_read_bytes(&list, NULL, text, sizeof(text)) : 0;
                const int r = n > 0 && n < sizeof(text) ? add_statement(d, text, n, rules) : 1;

                if (r < 0)
                        json_read_no_memory(keys);
                *refused += r > 0;
        }
}

/* What is no weight counts as none was given. */
static unsigned weight_in(struct json_reader *element)
{
        size_t n = 0;
        const char *raw = json_read_raw(element, "weight", JSON_OPTIONAL, &n);
        char text[8] = "";
        uint64_t weight = 1;

        if (raw && n < sizeof(text))
                memcpy(text, raw, n);
        return text_parse_u64(text, 1, DIRECTORY_WEIGHT_MAX, &weight) < 0 ? 1 : (unsigned)weight;
}

/* Copies the realms of the ready list's elements. Those of unknown connectors say nothing. */
static void rank_entries(struct directory *d, struct json_reader *keys, bool is_change)
{
        struct json_reader list, element, realms;

        json_read_list(&list, keys, "ready", is_change ? JSON_OPTIONAL : JSON_REQUIRED, 0, ROSTER_MEMBERS_MAX);
        while (json_read_next(&list)) {
                char kid[KID_LEN + 2] = "";

                if (json_read_kind(&list, NULL) != '{' || !json_read_object(&element, &list, NULL, JSON_REQUIRED))
                        continue;
                if (json_read_kind(&element, "kid") == '"')
                        json_read_cut(&element, "kid", kid, sizeof(kid));
                struct directory_entry *e = entry_of(d, kid);

                if (!e || e->rank >= 0 || json_read_kind(&element, "realms") != '[' ||
                    !json_read_list(&realms, &element, "realms", JSON_REQUIRED, 0, SIZE_MAX) ||
                    realms.n > READY_REALMS_MAX)
                        continue;
                e->rank = (int)list.at - 1;
                e->weight = weight_in(&element);
                e->ready = calloc(realms.n + 1, sizeof(*e->ready));
                if (!e->ready)
                        json_read_no_memory(&element);
                while (e->ready && json_read_next(&realms))
                        if (json_read_kind(&realms, NULL) == '"')
                                json_read_text(&realms, NULL, JSON_OPTIONAL, SIZE_MAX - 1, &e->ready[e->n_ready++]);
        }
}

/* Takes the second source's roster where it is the newer one. */
static int second_roster(struct directory *d, const struct directory_rules *rules, struct error *err)
{
        _cleanup_(roster_freep) struct roster *second = NULL;
        int r = roster_verify_kind(&second, rules->sandbox, rules->second, rules->n_second, rules->pin, rules->tenant,
                                   ROSTER_ANY_TIME, 0, err);

        d->n_verified++;
        if (r < 0)
                return error_prefix(err, r, "second source");
        if (second->seq == d->roster->seq && strcmp(second->text, d->roster->text) != 0)
                return error_fail(err, -EBADE, "keys: relay and second source have two rosters of number %llu",
                                  (unsigned long long)second->seq);
        if (second->seq <= d->roster->seq)
                return 0;
        if (rules->now > second->exp + ROSTER_SKEW)
                return error_fail(
                        err, -EBADMSG,
                        "keys: the second source has a newer roster than the relay, and it has expired: sign it "
                        "anew (postern tenant roster sign)");
        roster_free(d->roster);
        d->roster = steal(second);
        return 0;
}

/* 1: the answer tells what changed since base; 0: everything; -EBADMSG. */
static int is_change_of(const struct directory *base, struct json_reader *keys, struct error *err)
{
        char since[DIRECTORY_STATE_MAX + 2] = "";

        if (!json_read_has(keys, "since"))
                return 0;
        if (json_read_kind(keys, "since") == '"')
                json_read_cut(keys, "since", since, sizeof(since));
        if (!base || !*since || strcmp(since, base->state) != 0)
                return error_fail(err, -EBADMSG, "keys: the relay tells what changed since a state that is not ours");
        return 1;
}

/* The roster of the answer, or base's, where it is the same text or the answer has none as nothing changed. */
static int take_roster(struct directory *d, struct json_reader *keys, const struct directory_rules *rules,
                       bool is_change, struct error *err)
{
        const struct directory *base = rules->base;
        _cleanup_(freep) char *text = NULL;
        int r;

        if (json_read_kind(keys, "roster") != '"' && !is_change)
                return error_fail(err, -EBADMSG, "keys: the relay has no roster of this tenant");
        json_read_text(keys, "roster", is_change ? JSON_OPTIONAL : JSON_REQUIRED, ROSTER_TEXT_MAX, &text);
        if ((r = json_read_result(keys)) < 0)
                return r;
        d->n_verified = !base || (text && strcmp(text, base->roster->text) != 0);
        if (d->n_verified)
                return roster_verify_kind(&d->roster, rules->sandbox, text, strlen(text), rules->pin, rules->tenant,
                                          rules->now, rules->second ? 0 : rules->min_seq, err);
        if (rules->now > base->roster->exp + ROSTER_SKEW)
                return error_fail(err, -ETIME, "roster: it has expired: sign it anew (postern tenant roster sign)");
        d->roster = roster_ref(base->roster);
        return 0;
}

static int fill(struct directory *d, struct json_reader *keys, const struct directory_rules *rules, size_t *refused,
                struct error *err)
{
        int r = json_read_result(keys), is_change = r < 0 ? r : is_change_of(rules->base, keys, err);
        char state[DIRECTORY_STATE_MAX + 2] = "";

        if (is_change < 0)
                return is_change;
        r = take_roster(d, keys, rules, is_change, err);
        if (r == 0 && rules->second)
                r = second_roster(d, rules, err);
        if (r == 0 && d->roster->seq < rules->min_seq)
                r = error_fail(err, -ESTALE, "roster: seq %llu is older than %llu, which was seen before",
                               (unsigned long long)d->roster->seq, (unsigned long long)rules->min_seq);
        if (r < 0)
                return r;
        /* the relay's name of what it shows becomes part of a URL: what has another form is none */
        if (json_read_kind(keys, "state") == '"')
                json_read_cut(keys, "state", state, sizeof(state));
        const size_t n = strspn(state, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
        if (n > 0 && n <= DIRECTORY_STATE_MAX && !state[n])
                memcpy(d->state, state, n);
        add_statements(d, keys, rules, is_change, refused);
        rank_entries(d, keys, is_change);
        return json_read_end(keys, false);
}

int directory_open(struct directory **ret_d, const char *json, size_t n, const struct directory_rules *rules,
                   size_t *ret_refused, struct error *err)
{
        _cleanup_(directory_freep) struct directory *d = calloc(1, sizeof(*d));
        struct json_reader keys;
        size_t refused = 0;
        int r;

        if (!d)
                return error_fail(err, -ENOMEM, "keys: no memory");
        json_read_begin(&keys, json, n, JSON_PLAIN, "keys", err);
        r = fill(d, &keys, rules, &refused, err);
        if (r < 0)
                return r;
        *ret_d = steal(d);
        if (ret_refused)
                *ret_refused = refused;
        return 0;
}
