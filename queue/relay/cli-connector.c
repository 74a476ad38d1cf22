/*
 * postern-relay connector list|revoke|release, postern-relay event list.
 *
 * Writes the database that the running relay looks at twice a second. A revocation ends the certificates that the
 * connector has; a new token lets it enrol again.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "queue/relay/cli-internal.h"

void relay_cli_when(int64_t at, char out[32])
{
        time_t t = (time_t)at;
        struct tm tm;

        if (at <= 0 || !gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
                (void)snprintf(out, 32, "-");
}

static void list_json(void *arg, const struct store_listed *c)
{
        json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:s}", "id", c->connector.id, "name",
                                             c->connector.name, "kid", c->connector.kid, "enrolled",
                                             (json_int_t)c->connector.enrolled, "certificates",
                                             (json_int_t)c->certificates, "not_after", (json_int_t)c->not_after,
                                             "revoked", c->revoked, "quarantine", c->quarantine));
}

static void list_line(void *arg, const struct store_listed *c)
{
        char until[32];

        (void)arg;
        relay_cli_when(c->not_after, until);
        printf("%-20s %-26s %s%s%s%s\n", c->connector.name, c->connector.id,
               c->certificates ? "certificate until " : "no certificate", c->certificates ? until : "",
               c->revoked ? "  REVOKED" : "", c->quarantine[0] ? "  IN QUARANTINE" : "");
        if (c->quarantine[0])
                printf("%-20s %s\n", "", c->quarantine);
}

static int list(const struct relay_cli *cli, struct store *store, const char *tenant)
{
        json_t *out = json_array();
        int r = store_connectors(store, tenant, cli->json ? list_json : list_line, out);

        if (r == 0 && cli->json)
                return relay_cli_print_json(out);
        json_decref(out);
        return r < 0 ? relay_cli_store_failed(store, r) : 0;
}

/* The connectors that a name or an id means. */
struct search {
        const char *word;
        char id[ID_MAX + 1];
        size_t n;
};

static void match(void *arg, const struct store_listed *c)
{
        struct search *s = arg;

        if (strcmp(c->connector.id, s->word) != 0 && strcmp(c->connector.name, s->word) != 0)
                return;
        memcpy(s->id, c->connector.id, sizeof(s->id));
        s->n++;
}

static int find(struct store *store, const char *tenant, const char *word, char id[ID_MAX + 1])
{
        struct search s = {.word = word};
        int r = store_connectors(store, tenant, match, &s);

        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (s.n != 1)
                return relay_cli_complain(word,
                                          s.n ? "several connectors have this name; give the id (`connector list`)"
                                              : "no connector has this name or id; see `connector list`");
        memcpy(id, s.id, sizeof(s.id));
        return 0;
}

void relay_cli_note(struct store *store, const char *tenant, const char *id, const char *name, const char *text)
{
        struct store_event e = {.at = time(NULL)};

        (void)snprintf(e.name, sizeof(e.name), "%s", name);
        (void)snprintf(e.id, sizeof(e.id), "%s", id);
        (void)snprintf(e.text, sizeof(e.text), "%s", text);
        if (store_event_add(store, tenant, &e) < 0)
                relay_cli_complain("event", store_why(store));
}

static int revoke(struct store *store, const char *tenant, const char *word)
{
        char id[ID_MAX + 1];
        int status = find(store, tenant, word, id);

        if (status)
                return status;
        int n = store_revoke(store, tenant, id, time(NULL));
        if (n < 0)
                return relay_cli_store_failed(store, n);
        relay_cli_note(store, tenant, id, "connector_revoked",
                       "it was revoked by the relay's operator: its transport certificates end, and it gets "
                       "no other until it enrols with a new token");
        printf("%d certificate%s of %s revoked; its links end within a second. A new `postern-relay token %s NAME` "
               "lets it "
               "enrol again; its end-to-end approval is the tenant's (`postern tenant remove`).\n",
               n, n == 1 ? "" : "s", id, tenant);
        return 0;
}

static int release(struct store *store, const char *tenant, const char *word)
{
        char id[ID_MAX + 1];
        int status = find(store, tenant, word, id);

        if (status)
                return status;
        int n = store_release(store, tenant, id);
        if (n < 0)
                return relay_cli_store_failed(store, n);
        if (n == 0)
                return relay_cli_complain(word, "is not in quarantine");
        relay_cli_note(store, tenant, id, "connector_released", "out of quarantine, by the relay's operator");
        printf("%s is out of quarantine.\n", id);
        return 0;
}

int run_connector(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        struct store_tenant tenant;
        int status;

        if (argc < 2 || (strcmp(argv[0], "list") == 0 ? argc != 2 : argc != 3))
                return relay_cli_misused("connector",
                                         "usage: connector list TENANT | connector revoke TENANT NAME|ID | "
                                         "connector release TENANT NAME|ID");
        status = relay_cli_need_tenant(store, argv[1], &tenant);
        if (status)
                return status;
        if (strcmp(argv[0], "list") == 0)
                return list(cli, store, argv[1]);
        if (strcmp(argv[0], "revoke") == 0)
                return revoke(store, argv[1], argv[2]);
        if (strcmp(argv[0], "release") == 0)
                return release(store, argv[1], argv[2]);
        return relay_cli_misused(argv[0], "connector knows list, revoke and release");
}

/* ---- events ---- */

static void event_json(void *arg, const struct store_event *e)
{
        json_array_append_new(arg, json_pack("{s:I, s:s, s:s, s:s}", "at", (json_int_t)e->at, "event", e->name,
                                             "connector", e->id, "text", e->text));
}

static void event_line(void *arg, const struct store_event *e)
{
        char at[32];

        (void)arg;
        relay_cli_when(e->at, at);
        printf("%s  %-22s %s  %s\n", at, e->name, e->id, e->text);
}

int run_event(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        struct store_tenant tenant;
        json_t *out;
        int status;

        if (argc != 2 || strcmp(argv[0], "list") != 0)
                return relay_cli_misused("event", "usage: event list TENANT");
        status = relay_cli_need_tenant(store, argv[1], &tenant);
        if (status)
                return status;
        out = json_array();
        int r = store_events(store, argv[1], cli->json ? event_json : event_line, out);
        if (r == 0 && cli->json)
                return relay_cli_print_json(out);
        json_decref(out);
        return r < 0 ? relay_cli_store_failed(store, r) : 0;
}
