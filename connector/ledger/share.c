/*
 * What a person of some of the domains may know of the connector's status, and of its ledger in any answer.
 *
 * Invariant: what is not listed here is left out, so that a new member of a part shows nobody another domain's affairs.
 * A part that names its domain is shown whole to that domain's people; one that names none shows what is true of the
 * whole connector, without numbers of sign-ins and without sentences that may name other domains' hosts or files.
 */
#include <string.h>
#include <strings.h>

#include "connector/ledger/ledger.h"

#define MEMBERS_MAX 18
#define ELSEWHERE "postern status on its host tells it"

static const struct shown {
        const char *part; /* its name; with a colon at its end the beginning of it */
        const char *members[MEMBERS_MAX];
} shown[] = {
        {"validator",
         {"keys", "clock", "connector", "name", "tenant", "identity", "roster_seq", "in_roster", "removed",
          "roster_begins", "roster_expires", "services"}},
        {"link",
         {"relay", "state", "why", "detail", "since", "certificate_expires", "certificate_renewal", "certificate_why",
          "in_roster", "clock_ahead", "nodes", "heard", "quarantined", "statement_refused", "statement_detail"}},
        {"process:",
         {"state", "since", "restarts", "last_end", "ends", "seccomp", "landlock", "version", "reload_refused",
          "reload_at", "keytabs"}},
};
static const char *const of_a_node[MEMBERS_MAX] = {
        "relay", "node", "state", "why", "detail", "since", "in_roster", "statement_refused", "statement_detail"};

static bool is_among(const json_t *domains, const char *domain)
{
        const json_t *d;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)domains, i, d)
                if (strcasecmp(json_string_value(d), domain) == 0)
                        return true;
        return false;
}

/* The object's members of these names; NULL where it is none. */
static json_t *only(const json_t *object, const char *const *members)
{
        json_t *left = json_is_object(object) ? json_object() : NULL;

        for (size_t i = 0; left && i < MEMBERS_MAX && members[i]; i++)
                if (json_object_get(object, members[i]))
                        (void)json_object_set(left, members[i], json_object_get(object, members[i]));
        return left;
}

/* A sentence that may name what is not the person's: that there is one is told. */
static void hide(json_t *object, const char *member)
{
        const char *text = json_string_value(json_object_get(object, member));

        if (text && text[0])
                (void)json_object_set_new(object, member, json_string(ELSEWHERE));
}

static json_t *nodes_of(const json_t *nodes)
{
        json_t *list = json_array(), *node;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)nodes, i, node)
                (void)json_array_append_new(list, only(node, of_a_node));
        return list;
}

static json_t *keytabs_of(const json_t *keytabs, const json_t *domains)
{
        json_t *left = json_object(), *why;
        const char *domain;

        json_object_foreach ((json_t *)(uintptr_t)keytabs, domain, why)
                if (is_among(domains, domain))
                        (void)json_object_set(left, domain, why);
        return left;
}

/* What a part that names no domain shows; NULL: nothing. */
static json_t *share_part(const char *name, const json_t *part, const json_t *domains)
{
        const struct shown *s = shown, *end = shown + sizeof(shown) / sizeof(shown[0]);
        json_auto_t *clock = NULL;

        while (s < end && (s->part[strlen(s->part) - 1] == ':' ? strncmp(s->part, name, strlen(s->part)) != 0
                                                               : strcmp(s->part, name) != 0))
                s++;
        json_t *value = s < end ? only(json_object_get(part, "value"), s->members) : NULL;
        if (!value)
                return NULL;
        hide(value, "reload_refused");
        clock = json_copy(json_object_get(value, "clock")); /* the ledger's own stays as it is */
        hide(clock, "detail");
        if (clock)
                (void)json_object_set(value, "clock", clock);
        if (json_object_get(value, "nodes"))
                (void)json_object_set_new(value, "nodes", nodes_of(json_object_get(value, "nodes")));
        if (json_object_get(value, "keytabs"))
                (void)json_object_set_new(value, "keytabs", keytabs_of(json_object_get(value, "keytabs"), domains));
        return json_pack("{s:O*, s:o*, s:o}", "at", json_object_get(part, "at"), "since",
                         only(json_object_get(part, "since"), s->members), "value", value);
}

static json_t *counts_of(const struct ledger *l, const json_t *domains)
{
        json_int_t n[COUNT_N] = {0};

        for (size_t i = 0; i < l->config->validate.n_domains && i < CONFIG_DOMAINS_MAX; i++)
                for (size_t k = 0; k < COUNT_N && is_among(domains, l->config->domains[i].name); k++)
                        n[k] += (json_int_t)l->counts_of[i][k];
        return ledger_counts(n);
}

void ledger_share_answer(json_t *answer)
{
        const json_t *state = json_object_get(json_object_get(answer, "ledger"), "state");

        (void)json_object_set_new(answer, "ledger", json_pack("{s:O*}", "state", state));
}

void ledger_share_status(const struct ledger *l, json_t *status, const json_t *domains)
{
        json_t *parts = json_object(), *part;
        const char *name;

        json_object_foreach (json_object_get(status, "parts"), name, part) {
                const char *domain = json_string_value(json_object_get(json_object_get(part, "value"), "domain"));

                if (!domain)
                        (void)json_object_set_new(parts, name, share_part(name, part, domains));
                else if (is_among(domains, domain))
                        (void)json_object_set(parts, name, part);
        }
        (void)json_object_set_new(status, "parts", parts);
        (void)json_object_set_new(status, "counts", counts_of(l, domains));
        ledger_share_answer(status);
        (void)json_object_del(status, "incidents"); /* of all domains together */
        (void)json_object_del(status, "outlets");
}
