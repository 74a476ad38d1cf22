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
#include "certs/codec/json.h"

#define READY_REALMS_MAX 64

static void entry_clear(struct directory_entry *e)
{
        e->statement = statement_free(e->statement);
        for (size_t i = 0; i < e->n_ready; i++)
                free(e->ready[i]);
        free(e->ready);
        *e = (struct directory_entry){0};
}

struct directory *directory_free(struct directory *d)
{
        if (!d)
                return NULL;
        for (size_t i = 0; i < d->n; i++)
                entry_clear(&d->entries[i]);
        free(d->entries);
        d->roster = roster_free(d->roster);
        free(d);
        return NULL;
}

static struct directory_entry *entry_of(struct directory *d, const struct roster_member *connector)
{
        for (size_t i = 0; i < d->n; i++)
                if (d->entries[i].connector == connector)
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
        struct directory_entry *e = entry_of(d, connector);

        if (!e) {
                d->entries[d->n++] = (struct directory_entry){connector, s, -1, 0, NULL};
        } else if (newer(s, e->statement)) {
                statement_free(e->statement);
                e->statement = s;
        } else {
                statement_free(s);
        }
}

/* 0; 1 where the text is refused; -ENOMEM. */
static int add_statement(struct directory *d, const char *text, size_t n, int64_t now)
{
        const struct roster_member *connector;
        struct statement *s = NULL;
        char kid[KID_LEN + 1];
        int r;

        if (statement_peek_kid(text, n, kid, NULL) < 0)
                return 1;
        connector = roster_connector(d->roster, kid);
        if (!connector)
                return 1;
        r = statement_verify(&s, text, n, connector->key, connector->id, d->roster->tenant, now, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return 1;
        take_statement(d, connector, s);
        return 0;
}

/* What is no statement, of whatever type, is refused alone. */
static void add_statements(struct directory *d, struct json_reader *keys, int64_t now, size_t *refused)
{
        char text[STATEMENT_TEXT_MAX + 1];
        struct json_reader list;

        if (!json_read_list(&list, keys, "statements", JSON_REQUIRED, 0, ROSTER_MEMBERS_MAX))
                return;
        d->entries = calloc(list.n + 1, sizeof(*d->entries));
        if (!d->entries) {
                json_read_no_memory(keys);
                return;
        }
        while (json_read_next(&list)) {
                const size_t n =
                        json_read_kind(&list, NULL) == '"' ? json_read_bytes(&list, NULL, text, sizeof(text)) : 0;
                const int r = n > 0 && n < sizeof(text) ? add_statement(d, text, n, now) : 1;

                if (r < 0)
                        json_read_no_memory(keys);
                *refused += r > 0;
        }
}

/* Copies the realms of one element of the ready list. Elements of unknown connectors say nothing. */
static void take_ready(struct directory *d, struct json_reader *element, int rank)
{
        struct json_reader realms;
        char kid[KID_LEN + 2] = "";

        if (json_read_kind(element, "kid") == '"')
                json_read_cut(element, "kid", kid, sizeof(kid));
        const struct roster_member *connector = *kid ? roster_connector(d->roster, kid) : NULL;
        struct directory_entry *e = connector ? entry_of(d, connector) : NULL;

        if (!e || e->rank >= 0 || json_read_kind(element, "realms") != '[' ||
            !json_read_list(&realms, element, "realms", JSON_REQUIRED, 0, SIZE_MAX) || realms.n > READY_REALMS_MAX)
                return;
        e->rank = rank;
        e->ready = calloc(realms.n + 1, sizeof(*e->ready));
        if (!e->ready) {
                json_read_no_memory(element);
                return;
        }
        while (json_read_next(&realms))
                if (json_read_kind(&realms, NULL) == '"')
                        json_read_text(&realms, NULL, JSON_OPTIONAL, SIZE_MAX - 1, &e->ready[e->n_ready++]);
}

static void rank_entries(struct directory *d, struct json_reader *keys)
{
        struct json_reader list, element;

        json_read_list(&list, keys, "ready", JSON_REQUIRED, 0, ROSTER_MEMBERS_MAX);
        while (json_read_next(&list))
                if (json_read_kind(&list, NULL) == '{' && json_read_object(&element, &list, NULL, JSON_REQUIRED))
                        take_ready(d, &element, (int)list.at - 1);
}

struct roster_rules {
        bool sandbox;
        const char *pin, *tenant;
        int64_t now;
        uint64_t min_seq;
        const char *text; /* of the second source, or NULL */
        size_t n_text;
};

/* Takes the second source's roster where it is the newer one. */
static int second_roster(struct directory *d, const struct roster_rules *rules, struct error *err)
{
        _cleanup_(roster_freep) struct roster *second = NULL;
        int r = roster_verify_kind(&second, rules->sandbox, rules->text, rules->n_text, rules->pin, rules->tenant,
                                   ROSTER_ANY_TIME, 0, err);

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

static int fill(struct directory *d, struct json_reader *keys, const struct roster_rules *rules, size_t *refused,
                struct error *err)
{
        _cleanup_(freep) char *roster = NULL;
        int r = json_read_result(keys);

        if (r < 0)
                return r;
        if (json_read_kind(keys, "roster") != '"')
                return error_fail(err, -EBADMSG, "keys: the relay has no roster of this tenant");
        json_read_text(keys, "roster", JSON_REQUIRED, ROSTER_TEXT_MAX, &roster);
        if ((r = json_read_result(keys)) < 0)
                return r;
        r = roster_verify_kind(&d->roster, rules->sandbox, roster, strlen(roster), rules->pin, rules->tenant,
                               rules->now, rules->text ? 0 : rules->min_seq, err);
        if (r == 0 && rules->text)
                r = second_roster(d, rules, err);
        if (r == 0 && d->roster->seq < rules->min_seq)
                r = error_fail(err, -ESTALE, "roster: seq %llu is older than %llu, which was seen before",
                               (unsigned long long)d->roster->seq, (unsigned long long)rules->min_seq);
        if (r < 0)
                return r;
        add_statements(d, keys, rules->now, refused);
        rank_entries(d, keys);
        return json_read_end(keys, false);
}

int directory_open(struct directory **ret_d, const char *json, size_t n, const char *pin, const char *tenant,
                   int64_t now, uint64_t min_seq, size_t *ret_refused, struct error *err)
{
        return directory_open_with(ret_d, false, json, n, NULL, 0, pin, tenant, now, min_seq, ret_refused, err);
}

int directory_open_with(struct directory **ret_d, bool sandbox, const char *json, size_t n, const char *text,
                        size_t n_text, const char *pin, const char *tenant, int64_t now, uint64_t min_seq,
                        size_t *ret_refused, struct error *err)
{
        const struct roster_rules rules = {sandbox, pin, tenant, now, min_seq, text, n_text};
        _cleanup_(directory_freep) struct directory *d = calloc(1, sizeof(*d));
        struct json_reader keys;
        size_t refused = 0;
        int r;

        if (!d)
                return error_fail(err, -ENOMEM, "keys: no memory");
        json_read_begin(&keys, json, n, JSON_PLAIN, "keys", err);
        r = fill(d, &keys, &rules, &refused, err);
        if (r < 0)
                return r;
        *ret_d = steal(d);
        if (ret_refused)
                *ret_refused = refused;
        return 0;
}
