/*
 * postern tenant trace: what the relay knows of a sign-in, where no connector's `postern explain` has it.
 *
 * The relay has neither names nor outcomes; what its words mean to a helpdesk stands here.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/cli/folder.h"
#include "connector/cli/tenant-store.h"
#include "connector/cli/trace.h"
#include "connector/cli/view.h"
#include "validate/types/outcome.h"

static struct {
        const char *dir, *relay, *ca_file, *admin_secret_file;
} o;

static const struct cli_option options[] = {
        {"dir", "DIR", &o.dir, NULL, "the tenant's folder (~/.config/postern/tenant)"},
        {"relay", "URL", &o.relay, NULL, "the relay (else the remembered one), and:"},
        {"admin-secret-file", "FILE", &o.admin_secret_file, NULL, "what `postern-relay tenant add` printed"},
        {"ca-file", "FILE", &o.ca_file, NULL, "the relay's CA (else the system's)"},
        {0},
};

static const struct cli_usage usage = {
        .name = "trace",
        .words = "ID",
        .min_words = 1,
        .max_words = 1,
        .about = "Tells what became of a sign-in at the relay: which connector had it, when, and\n"
                 "why there was no answer. The relay knows neither names nor outcomes: those are\n"
                 "told by `postern explain ID` on that connector's host. Exit code 1: no trace.\n",
        .options = options,
        .no_config = true,
        .no_socket = true,
};

struct meaning {
        const char *word, *text;
};

static const char *meaning_of(const struct meaning *table, size_t n, const char *word, const char *otherwise)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].word, word) == 0)
                        return table[i].text;
        return otherwise;
}

static const char *problem_text(const char *word)
{
        static const struct meaning table[] = {
                {"no-connector", "No connector that could open it was linked to the relay, so no password was "
                                 "checked. Look at `postern status` on the connectors' hosts."},
                {"not-ready", "Connectors were linked, but none could check this sign-in, most often because "
                              "no domain controller answered them; no password was checked. Look at `postern "
                              "status` on their hosts."},
                {"busy", "Every connector had as many sign-ins as it takes at once; no password was checked."},
                {"stale-keys", "The sign-in service had sealed it to keys that no connector has any more; no "
                               "password was checked. Once is normal; if it stays, look at the service."},
                {"deadline", "The time ran out before an answer came. Whether a password was checked stands at "
                             "the connector, where one is named here."},
                {"connector-lost", "The connector's link broke while it had the sign-in. Whether a password "
                                   "was checked stands there."},
                {"rate-limited", "The tenant had more sign-ins than its rate allows; no password was checked."},
                {"draining", "The relay was being stopped; no password was checked."},
                {"malformed", "The request was malformed, too old, or came twice: look at the sign-in "
                              "service and at the clocks. No password was checked."},
        };

        return meaning_of(table, sizeof(table) / sizeof(table[0]), word,
                          "The relay gave no answer, for the reason above.");
}

static const char *state_text(const char *word)
{
        static const struct meaning table[] = {
                {"waiting", "It waits for a connector."},
                {"handed", "It was given to the connector, which has not said yet that it has it."},
                {"received", "The connector has it and works on it."},
                {"answered", "The sign-in service got the connector's answer. What it was: `postern explain` "
                             "on that connector's host."},
                {"cancelled", "The sign-in service stopped waiting before there was an answer."},
        };

        return meaning_of(table, sizeof(table) / sizeof(table[0]), word, "The relay's word is not known here.");
}

static void line(const char *label, const char *text)
{
        (void)printf("  %-10s ", label);
        view_wrap(13, text);
}

/* The connector's name by the roster that this folder has; its id is always told. */
static void show_connector(const struct tenant_store *s, const char *id)
{
        char text[300];
        const char *name = "not in this folder's roster";

        for (size_t i = 0; s->roster && i < s->roster->n_connectors; i++)
                if (strcmp(s->roster->connectors[i].id, id) == 0)
                        name = s->roster->connectors[i].name;
        (void)snprintf(text, sizeof(text), "%.64s (%s)", id, name);
        line("Connector", id[0] ? text : "none had it");
}

/* What a connector said of itself in a report: the words are the protocol's, or a reason's id and a realm. */
static void show_reason(const char *word)
{
        static const struct meaning table[] = {
                {"not_in_roster", "the roster did not name the connector: postern tenant approve"},
                {"domain_not_in_roster",
                 "the roster did not let the connector speak for that domain: postern tenant connector-domains"},
                {"no_roster", "the connector had no roster yet"},
                {"roster_expired", "the roster had expired: postern tenant roster sign"},
                {"validator_restarting", "the connector's validator was being started again; its host's log says why"},
                {"silent", "the connector had not taken an earlier request within a second"},
                {"quarantined",
                 "the relay gave it no work, for it had been seen on two machines: postern tenant events"},
        };
        const char *colon = strstr(word, ": "), *text;
        char id[64], all[512];

        (void)snprintf(id, sizeof(id), "%.*s", (int)(colon ? colon - word : (ptrdiff_t)strlen(word)), word);
        text = meaning_of(table, sizeof(table) / sizeof(table[0]), id, fact_decline(id));
        if (!text && reason_from_id(id) != REASON_MAX)
                text = reason_info(reason_from_id(id))->helpdesk_text;
        (void)snprintf(all, sizeof(all), "%.64s%s%s", word, text ? " - " : "", text ? text : "");
        line("Said", all);
}

static void show_hops(const json_t *hops)
{
        static const struct meaning steps[] = {{"in", "came in"},
                                               {"handed", "given to the connector"},
                                               {"received", "the connector has it"},
                                               {"answered", "the sign-in service was answered"}};

        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
                if (json_object_get(hops, steps[i].word))
                        (void)printf("  +%5lld ms  %s\n", fact_number(hops, steps[i].word, 0), steps[i].text);
}

static void show(const struct tenant_store *s, const json_t *trace)
{
        const char *problem = fact_text(trace, "problem"), *state = fact_text(trace, "state");
        const json_t *reason;
        char when[32];
        size_t i;

        fact_time(fact_number(trace, "at", 0), when, sizeof(when));
        (void)printf("Sign-in ");
        cli_print_text(stdout, fact_text(trace, "id"));
        (void)fputc('\n', stdout);
        line("When", when);
        show_connector(s, fact_text(trace, "connector"));
        line("State", problem[0] ? problem : state);
        line("Meaning", problem[0] ? problem_text(problem) : state_text(state));
        json_array_foreach (json_object_get(trace, "reasons"), i, reason)
                if (json_is_string(reason))
                        show_reason(json_string_value(reason));
        show_hops(json_object_get(trace, "hops"));
}

static int open_store(struct tenant_store *s, struct error *err)
{
        int r = tenant_store_open(s, o.dir, err);

        if (r == 0 && ((o.relay && text_set(&s->relay, o.relay) < 0) ||
                       (o.admin_secret_file && text_set(&s->admin_secret_file, o.admin_secret_file) < 0) ||
                       (o.ca_file && text_set(&s->ca_file, o.ca_file) < 0)))
                r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

/* Adds the trace of one id to list; 0 also where there is none. */
static int find_one(const struct tenant_store *s, const char *id, json_t *list, struct error *err)
{
        json_t *found = NULL;
        int r = id_valid(id, strlen(id)) ? tenant_trace(s, id, &found, err) : -ENOENT;

        if (r == 0 && json_array_append_new(list, found) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        return r == -ENOENT ? 0 : r;
}

static int find_attempts(const struct tenant_store *s, const char *first, json_t *list, struct error *err)
{
        char second[ID_MAX + sizeof(ID_SECOND)];
        int r = find_one(s, first, list, err);

        (void)snprintf(second, sizeof(second), "%s" ID_SECOND, first);
        return r < 0 ? r : find_one(s, second, list, err);
}

/* Both attempts of a sign-in, the first one first, whichever was asked for, and as it may have been meant. -ENOENT
 * where the relay knows neither. */
static int find(const struct tenant_store *s, const char *id, json_t *list, struct error *err)
{
        char first[ID_MAX + 1], heard[ID_MAX + 1];
        int r;

        (void)snprintf(first, sizeof(first), "%.*s", (int)id_first(id), id);
        r = find_attempts(s, first, list, err);
        if (r == 0 && json_array_size(list) == 0 && id_heard(first, heard) && strcmp(first, heard) != 0)
                r = find_attempts(s, heard, list, err);
        if (r == 0 && json_array_size(list) == 0)
                r = error_fail(
                        err, -ENOENT,
                        "the relay has no trace of '%s': it never came there, or more than 30 days ago. Where it "
                        "never came, the sign-in service's own answer says why: it could not reach the relay, or "
                        "no connector had published keys",
                        id);
        return r;
}

/* The attempt that came last decided; the other is told beside it. */
static void show_json(json_t *list)
{
        const size_t n = json_array_size(list);
        json_t *last = json_array_get(list, n - 1);

        if (n > 1)
                (void)json_object_set(last, "first_attempt", json_array_get(list, 0));
        view_print_json(last);
}

static void show_all(const struct tenant_store *s, const json_t *list)
{
        json_t *found;
        size_t i;

        if (json_array_size(list) > 1) {
                view_wrap(0, "The sign-in service tried this sign-in twice, because no connector could take the first "
                             "attempt. Both follow; what the user saw came of the second.");
                (void)fputc('\n', stdout);
        }
        json_array_foreach (list, i, found) {
                if (i > 0)
                        (void)fputc('\n', stdout);
                show(s, found);
        }
}

static int trace(const struct cli *cli, const char *id)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        json_auto_t *list = json_array();
        struct error err = {""};
        int r = open_store(&s, &err);

        if (r == 0)
                r = find(&s, id, list, &err);
        if (r < 0) {
                (void)cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
                return r == -ENOENT ? CLI_FAILED : CLI_UNAVAILABLE;
        }
        if (cli->json)
                show_json(list);
        else
                show_all(&s, list);
        return CLI_OK;
}

int cmd_tenant_trace(struct cli *cli, int argc, char **argv)
{
        _cleanup_(freep) char *fallback = NULL;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!id_valid(words[0], strlen(words[0])))
                return cli_usage_error(cli, "'%s' is not the id of a sign-in", words[0]);
        if (!o.dir)
                o.dir = fallback = folder_default("tenant");
        if (!o.dir)
                return cli_usage_error(cli, "HOME is not set: name the folder with --dir");
        return trace(cli, words[0]);
}
