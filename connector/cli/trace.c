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
#include "connector/person/folder.h"
#include "connector/cli/tenant-store.h"
#include "connector/cli/trace.h"
#include "connector/cli/view.h"
#include "validate/types/outcome.h"

static struct tenant_way o;

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
                 "why there was no answer, or why it was refused at once. ID may be the beginning\n"
                 "of one. The relay knows neither names nor outcomes: those are told by `postern\n"
                 "explain ID` on that connector's host. Exit code 1: it never came to the relay.\n",
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
                {"rate-limited", "The sign-in service's secret had more sign-ins than its rate allows; no password was "
                                 "checked. Once it is a burst; if it stays, raise sign_ins_per_second at the relay, or "
                                 "look who signs in so often: postern log on the connectors' hosts."},
                {"bad-credentials", "The sign-in service showed a secret that is not this tenant's: it was refused at "
                                    "once, and no password was sent to anybody. Put the secret that `postern-relay "
                                    "tenant add` or `secret add` printed into its secret file; one that was revoked "
                                    "needs a new one. Where no service of yours made this id, somebody tries secrets."},
                {"not-permitted",
                 "The sign-in service showed the tenant's admin secret, with which nobody signs in; no "
                 "password was checked. Give it a service secret: postern-relay secret add."},
                {"not-found", "The tenant has no roster yet, so nobody may answer: approve a connector and the service "
                              "with postern tenant approve and approve-service. No password was checked."},
                {"unsupported-type", "The request was not a sealed sign-in: the service's software is of another "
                                     "protocol. No password was checked."},
                {"internal", "The relay failed; its log of that time says how. No password was checked."},
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
                {"keys",
                 "The sign-in service asked the relay for the connectors' keys and sent nothing after that: none of "
                 "the connectors serves the domain of the name, so no password left the service. Compare the "
                 "name's domain with those of the roster (postern tenant domain list) and of the connectors "
                 "(postern status on their hosts)."},
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
        const struct roster_member *m = tenant_store_member(s, id);

        (void)snprintf(text, sizeof(text), "%.64s (%s)", id, m ? m->name : "not in this folder's roster");
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

static void show(const struct tenant_store *s, const json_t *trace)
{
        static const struct meaning steps[] = {{"in", "came in"},
                                               {"handed", "given to the connector"},
                                               {"received", "the connector has it"},
                                               {"answered", "the sign-in service was answered"}};
        const char *problem = fact_text(trace, "problem"), *state = fact_text(trace, "state");
        const json_t *hops = json_object_get(trace, "hops");
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
        if (fact_text(trace, "detail")[0])
                line("Detail", fact_text(trace, "detail"));
        json_array_foreach (json_object_get(trace, "reasons"), i, reason)
                if (json_is_string(reason))
                        show_reason(json_string_value(reason));
        for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
                if (json_object_get(hops, steps[i].word))
                        (void)printf("  +%5lld ms  %s\n", fact_number(hops, steps[i].word, 0), steps[i].text);
}

/* Adds the trace of one id, or of the one that begins so, to list. 0 also where there is none: why is then in err. */
static int find_one(const struct tenant_store *s, const char *id, json_t *list, struct error *err)
{
        json_t *found = NULL;
        int r = tenant_trace(s, id, &found, err);

        if (r == 0 && json_array_append_new(list, found) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        return r == -ENOENT ? 0 : r;
}

/* Both attempts of a sign-in, the first one first, by the id of the first or its beginning. */
static int find_attempts(const struct tenant_store *s, const char *beginning, json_t *list, struct error *err)
{
        char second[ID_MAX + sizeof(ID_SECOND)];
        struct error no_second;
        int r = find_one(s, beginning, list, err);
        const char *id = fact_text(json_array_get(list, 0), "id");

        if (r < 0 || !id[0] || id[id_first(id)])
                return r;
        (void)snprintf(second, sizeof(second), "%.*s" ID_SECOND, ID_MAX, id);
        return id_valid(second, strlen(second)) ? find_one(s, second, list, &no_second) : 0;
}

/* Whichever attempt was asked for, and as it may have been meant. 0 also where there is none: why is then in err. */
static int find(const struct tenant_store *s, const char *given, json_t *list, struct error *err)
{
        char first[ID_MAX + 1], heard[ID_MAX + 1];
        struct error not_heard;
        int r;

        (void)snprintf(first, sizeof(first), "%.*s", (int)id_first(given), given);
        r = find_attempts(s, first, list, err);
        if (r == 0 && json_array_size(list) == 0 && id_heard(first, heard) && strcmp(first, heard) != 0)
                r = find_attempts(s, heard, list, &not_heard);
        return r;
}

/* The connectors that are not linked to the relay now, by name where the roster has one: ["north", ...]. */
static json_t *silent_connectors(const struct tenant_store *s)
{
        json_t *list = json_array(), *status = NULL, *c;
        struct error err;
        size_t i;

        if (tenant_status(s, &status, &err) < 0)
                return list;
        json_array_foreach (json_object_get(status, "connectors"), i, c) {
                const struct roster_member *m = tenant_store_member(s, fact_text(c, "id"));

                if (json_is_false(json_object_get(c, "linked")))
                        (void)json_array_append_new(list, json_string(m ? m->name : fact_text(c, "id")));
        }
        json_decref(status);
        return list;
}

/* What it means that the relay has nothing: nobody else is to be asked. why: the relay's sentence. */
static void show_absent(const struct cli *cli, const struct tenant_store *s, const char *given, const char *why)
{
        static const char meaning[] = "No connector had it either. Either the sign-in service did not get as far as "
                                      "the relay: its own answer or "
                                      "log under this id says why (it cannot reach the relay, or it has no keys of a "
                                      "connector for the name's "
                                      "domain). Or it asks another relay or tenant than this one. Or nobody asked: the "
                                      "application checks the "
                                      "password elsewhere, or did not ask for it.";
        json_auto_t *silent = silent_connectors(s);
        json_t *name;
        size_t i;

        if (cli->json) {
                json_auto_t *told = json_pack("{s:b, s:s, s:s, s:s, s:O}", "found", 0, "id", given, "why", why,
                                              "meaning", meaning, "silent", silent);
                view_print_json(told);
                return;
        }
        (void)cli_error(cli, "the relay has no record of '%s': %s. %s", given, why, meaning);
        json_array_foreach (silent, i, name)
                (void)fprintf(stderr, "%s%s", i ? ", " : "Not linked to the relay now: ", json_string_value(name));
        if (json_array_size(silent))
                (void)fprintf(stderr, "; postern status on those hosts says why.\n");
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
        int r = tenant_store_open_by(&s, &o, &err);

        if (r == 0)
                r = find(&s, id, list, &err);
        if (r < 0) {
                (void)cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
                return r == -EMLINK ? CLI_FAILED : CLI_UNAVAILABLE;
        }
        const size_t n = json_array_size(list);
        json_t *last = json_array_get(list, n ? n - 1 : 0); /* it decided; the attempt before is told beside it */
        if (n > 1 && cli->json)
                (void)json_object_set(last, "first_attempt", json_array_get(list, 0));
        if (!last)
                show_absent(cli, &s, id, err.text);
        else if (cli->json)
                view_print_json(last);
        else
                show_all(&s, list);
        return last ? CLI_OK : CLI_FAILED;
}

int cmd_tenant_trace(struct cli *cli, int argc, char **argv)
{
        _cleanup_(freep) char *fallback = NULL;
        char **words, given[ID_MAX + 1];
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!id_given(words[0], given))
                return cli_usage_error(cli,
                                       "'%s' is neither the id of a sign-in nor the beginning of one (%d characters)",
                                       words[0], ID_BEGINNING_MIN);
        if (!o.dir)
                o.dir = fallback = folder_default("tenant");
        if (!o.dir)
                return cli_usage_error(cli, "HOME is not set: name the folder with --dir");
        return trace(cli, given);
}
