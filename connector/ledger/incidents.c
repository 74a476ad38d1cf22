/*
 * Sign-ins of the last minutes that could not be checked or taken, gathered by cause: one incident for many users.
 *
 * It reads records and events that are there and judges nothing: connector/findings says what an incident means.
 * Sign-ins that the caller gave up are left out, and so are those that a restart declined.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "connector/findings/facts.h"
#include "connector/ledger/ledger.h"

#define LATELY_S 300 /* an incident is told while its latest sign-in is no older than this */
#define BACK_S 3600  /* records are looked at as far back as this */
#define RECORDS 500  /* REQUEST_LIMIT_MAX */
#define CHANGE_S 600 /* what happened so shortly before may be the cause */
#define CHANGES_MAX 5

static bool is_ordinary(const char *reason)
{
        static const char *const ordinary[] = {"", "cancelled", "draining", "not_my_realm", "replay"};

        for (size_t i = 0; i < sizeof(ordinary) / sizeof(ordinary[0]); i++)
                if (strcmp(reason, ordinary[i]) == 0)
                        return true;
        return false;
}

/* The incident of this cause, made where there is none; records come newest first. */
static json_t *incident_of(json_t *incidents, const char *verdict, const char *reason, const json_t *record)
{
        json_t *incident;
        size_t i;

        json_array_foreach (incidents, i, incident)
                if (strcmp(fact_text(incident, "verdict"), verdict) == 0 &&
                    strcmp(fact_text(incident, "reason"), reason) == 0)
                        return incident;
        incident = json_pack("{s:s, s:s, s:i, s:O, s:O, s:O, s:{}, s:{}}", "verdict", verdict, "reason", reason, "n", 0,
                             "id", json_object_get(record, "id"), "last", json_object_get(record, "wall"), "first",
                             json_object_get(record, "wall"), "users", "dcs");
        return incident && json_array_append_new(incidents, incident) == 0 ? incident : NULL;
}

static void add_records(struct ledger *l, json_t *incidents, const char *verdict, int64_t now)
{
        struct request request = {.limit = RECORDS, .since = now - BACK_S};
        const struct store_search search = {.request = &request};
        json_auto_t *list = json_array();
        struct error err = {""};
        json_t *record;
        size_t i;

        (void)snprintf(request.verdict, sizeof(request.verdict), "%s", verdict);
        if (ledger_journal_search(l->journal, ledger_store_records, &search, list, &err) < 0)
                log_debug("status.records", KV_S("why", err.text));
        json_array_foreach (list, i, record) {
                const char *reason = fact_text(record, strcmp(verdict, "declined") == 0 ? "declined" : "reason"),
                           *user = fact_text(record, "user"), *dc = fact_text(record, "dc");
                json_t *incident = is_ordinary(reason) ? NULL : incident_of(incidents, verdict, reason, record);

                if (!incident)
                        continue;
                (void)json_object_set_new(incident, "n",
                                          json_integer(json_integer_value(json_object_get(incident, "n")) + 1));
                (void)json_object_set(incident, "first", json_object_get(record, "wall"));
                (void)json_object_set_new(json_object_get(incident, "users"),
                                          user[0] ? user : fact_text(record, "user_masked"), json_true());
                if (dc[0])
                        (void)json_object_set_new(json_object_get(incident, "dcs"), dc, json_true());
        }
}

/* Events of the connector, none of a sign-in, from shortly before the incident. */
static json_t *changes(struct ledger *l, int64_t first)
{
        const struct request request = {
                .limit = CHANGES_MAX * 4, .since = first - CHANGE_S, .until = first, .events = true};
        const struct store_search search = {.request = &request};
        json_t *found = json_array(), *event;
        json_auto_t *list = json_array();
        struct error err = {""};
        size_t i;

        if (ledger_journal_search(l->journal, ledger_store_events, &search, list, &err) < 0)
                log_debug("status.events", KV_S("why", err.text));
        json_array_foreach (list, i, event)
                if (!fact_text(event, "id")[0] && json_array_size(found) < CHANGES_MAX)
                        (void)json_array_append(found, event);
        return found;
}

json_t *ledger_incidents(struct ledger *l)
{
        const int64_t now = loop_wall(l->process.loop);
        json_auto_t *all = json_array();
        json_t *fresh = json_array(), *incident, *names, *value;
        const char *name;
        size_t i;

        add_records(l, all, "unavailable", now);
        add_records(l, all, "declined", now);
        json_array_foreach (all, i, incident) {
                if (json_integer_value(json_object_get(incident, "last")) < now - LATELY_S)
                        continue;
                (void)json_object_set_new(
                        incident, "users",
                        json_integer((json_int_t)json_object_size(json_object_get(incident, "users"))));
                names = json_array(); /* the set of domain controllers becomes a list */
                json_object_foreach (json_object_get(incident, "dcs"), name, value)
                        (void)json_array_append_new(names, json_string(name));
                (void)json_object_set_new(incident, "dcs", names);
                (void)json_object_set_new(incident, "changes",
                                          changes(l, json_integer_value(json_object_get(incident, "first"))));
                (void)json_array_append(fresh, incident);
        }
        return fresh;
}
