/*
 * postern status: what each part of this connector says about itself.
 *
 * The sum at the end (and the exit code) says whether this connector can serve; the rules are in health.c.
 */
#include <string.h>

#include "connector/cli/health.h"
#include "connector/cli/view.h"

static const struct cli_usage usage = {
        .name = "status",
        .about = "Shows the processes of this connector, its link to the relay, its domain\n"
                 "controllers and the ledger, and what is wrong. Exit code 1: something is.\n",
};

static void field(const char *label, const char *text)
{
        (void)printf("  %-14s ", label);
        cli_print_text(stdout, text[0] ? text : "-");
        (void)fputc('\n', stdout);
}

static void field_number(const char *label, long long number)
{
        (void)printf("  %-14s %lld\n", label, number);
}

static void field_age(long long now, const char *label, const char *state, long long since)
{
        char age[32];

        view_age(now - since, age, sizeof(age));
        (void)printf("  %-14s %s%s%s\n", label, state, since > 0 ? " for " : "", since > 0 ? age : "");
}

static void field_end(const char *label, long long end)
{
        char when[32] = "-";

        if (end)
                view_time(end, when, sizeof(when));
        (void)printf("  %-14s valid until %s\n", label, when);
}

/* ---- the parts ---- */

/* What a child has shut itself up with; the supervisor cannot, and what is not ready has not yet. */
static void show_confinement(const json_t *value)
{
        const char *landlock = view_text(value, "landlock");

        if (!landlock[0])
                return;
        if (!json_is_true(json_object_get(value, "seccomp")))
                (void)printf(", not confined");
        else
                (void)printf(", seccomp, Landlock %s", landlock);
}

static void show_processes(long long now, const json_t *parts)
{
        static const char *const names[] = {"supervisor", "link", "validator", "ledger"};

        (void)printf("processes\n");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char key[32], age[32];
                (void)snprintf(key, sizeof(key), "process:%s", names[i]);
                const json_t *value = json_object_get(json_object_get(parts, key), "value");
                const char *state = value ? view_text(value, "state") : "unknown", *last = view_text(value, "last_end");
                long long restarts = view_number(value, "restarts", 0), since = view_number(value, "since", 0);
                view_age(now - since, age, sizeof(age));
                (void)printf("  %-14s %-9s pid %-7lld", names[i], state, view_number(value, "pid", 0));
                if (since > 0)
                        (void)printf(" for %s", age);
                show_confinement(value);
                if (restarts)
                        (void)printf(", %lld restart%s, last end: %s", restarts, restarts == 1 ? "" : "s", last);
                (void)fputc('\n', stdout);
        }
}

static const json_t *value_of(const json_t *parts, const char *name)
{
        return json_object_get(json_object_get(parts, name), "value");
}

/* The parts report every few seconds, so their numbers are as old as that. */
static void title(long long now, const json_t *parts, const char *name, const char *text)
{
        const json_t *part = json_object_get(parts, name);

        (void)printf("%s", text);
        if (part)
                (void)printf(" (%lld s ago)", now - view_number(part, "at", now));
        (void)fputc('\n', stdout);
}

static void show_renewal(long long now, const json_t *link)
{
        const long long expires = view_number(link, "certificate_expires", 0),
                        next = view_number(link, "certificate_renewal", 0);
        char when[32];

        if (!expires)
                return;
        view_time(next, when, sizeof(when));
        (void)printf("  %-14s %lld days, renewed at %s%s\n", "  left", expires > now ? (expires - now) / 86400 : 0,
                     next ? when : "?", view_text(link, "certificate_why")[0] ? ", tried before" : "");
}

static void show_link(long long now, const json_t *parts)
{
        const json_t *link = value_of(parts, "link");

        title(now, parts, "link", "link to the relay");
        if (!link)
                return;
        field("relay", view_text(link, "relay"));
        field_age(now, "state", view_text(link, "state"), view_number(link, "since", 0));
        if (strcmp(view_text(link, "state"), "up") != 0)
                field("why", view_text(link, "detail"));
        field_end("certificate", view_number(link, "certificate_expires", 0));
        show_renewal(now, link);
        field_number("requests", view_number(link, "requests", 0));
        field_number("verdicts", view_number(link, "verdicts", 0));
}

/* What the lockout guard did, or only watched. */
static void show_guard(const json_t *guard)
{
        char text[160];

        if (!guard)
                return;
        (void)snprintf(text, sizeof(text), "%s: %lld throttled, %lld repeated%s", view_text(guard, "mode"),
                       view_number(guard, "throttled", 0), view_number(guard, "repeated", 0),
                       strcmp(view_text(guard, "mode"), "observe") == 0 ? " (had it been on)" : "");
        field("lockout guard", text);
}

static void show_validator(long long now, const json_t *parts)
{
        const json_t *v = value_of(parts, "validator");

        title(now, parts, "validator", "this connector");
        if (!v)
                return;
        field("name", view_text(v, "name"));
        field("id", view_text(v, "connector"));
        field("tenant", view_text(v, "tenant"));
        field("fingerprint", view_text(v, "identity"));
        field_number("roster number", view_number(v, "roster_seq", 0));
        field_end("roster", view_number(v, "roster_expires", 0));
        field("approved", json_is_true(json_object_get(v, "in_roster")) ? "yes" : "no");
        field_number("in flight", view_number(v, "in_flight", 0));
        show_guard(json_object_get(v, "guard"));
        field("version", view_text(value_of(parts, "process:supervisor"), "version"));
}

static void show_dcs(json_t *parts)
{
        const char *name;
        json_t *part;
        size_t n = 0;

        (void)printf("domain controllers\n");
        json_object_foreach (parts, name, part) {
                if (strncmp(name, "dc:", 3) != 0)
                        continue;
                const json_t *dc = json_object_get(part, "value");
                const char *state = view_text(dc, "state");
                (void)printf("  ");
                cli_print_text(stdout, view_text(dc, "domain"));
                (void)printf("  ");
                cli_print_text(stdout, view_text(dc, "host"));
                (void)printf("  %s", state);
                if (strcmp(view_text(dc, "source"), "site") == 0)
                        (void)printf(", of the site by DNS");
                else if (strcmp(view_text(dc, "source"), "srv") == 0)
                        (void)printf(", by DNS");
                if (view_number(dc, "ms", 0) > 0)
                        (void)printf(", answered in %lld ms", view_number(dc, "ms", 0));
                if (view_text(dc, "reason")[0]) {
                        (void)printf(", last failure: ");
                        cli_print_text(stdout, view_text(dc, "reason"));
                }
                (void)fputc('\n', stdout);
                n++;
        }
        if (n == 0)
                (void)printf("  none reported yet\n");
}

static void show_sids(json_t *parts)
{
        const char *name;
        json_t *part;

        json_object_foreach (parts, name, part) {
                const json_t *sid = json_object_get(part, "value");
                if (strncmp(name, "sid:", 4) != 0)
                        continue;
                (void)printf("  ");
                cli_print_text(stdout, view_text(sid, "domain"));
                (void)printf("  SID ");
                cli_print_text(stdout, view_text(sid, "sid")[0] ? view_text(sid, "sid") : "not known yet");
                if (view_text(sid, "source")[0])
                        (void)printf(" (%s)", view_text(sid, "source"));
                (void)fputc('\n', stdout);
        }
}

static void show_ledger(const json_t *answer)
{
        const json_t *ledger = json_object_get(answer, "ledger"), *counts = json_object_get(answer, "counts");

        (void)printf("ledger\n");
        field("state", view_text(ledger, "state"));
        (void)printf("  %-14s %lld kept, %lld in memory, %lld lost\n", "sign-ins", view_number(ledger, "rows", 0),
                     view_number(ledger, "in_memory", 0), view_number(ledger, "dropped", 0));
        (void)printf("  %-14s %lld accepted, %lld refused, %lld unavailable, %lld declined\n", "since start",
                     view_number(counts, "accepted", 0), view_number(counts, "refused", 0),
                     view_number(counts, "unavailable", 0), view_number(counts, "declined", 0));
}

static void show(const json_t *answer, const json_t *wrong)
{
        json_t *parts = json_object_get(answer, "parts"), *text;
        long long now = view_number(answer, "now", 0);
        size_t i;

        show_validator(now, parts);
        show_link(now, parts);
        show_dcs(parts);
        show_sids(parts);
        show_processes(now, parts);
        show_ledger(answer);
        (void)printf(json_array_size(wrong) ? "\nwrong:\n" : "\nall is well\n");
        json_array_foreach (wrong, i, text) {
                (void)printf("  ");
                view_wrap(2, json_string_value(text));
        }
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
        json_t *answer = NULL;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        json_t *request = json_pack("{s:s}", "do", "status");
        int r = view_ask(cli, request, &answer, &code);
        json_decref(request);
        if (r < 0)
                return code;
        json_t *wrong = health_wrong(answer);
        code = json_array_size(wrong) ? CLI_FAILED : CLI_OK;
        if (cli->json) {
                (void)json_object_set(answer, "wrong", wrong);
                view_print_json(answer);
        } else {
                show(answer, wrong);
        }
        json_decref(wrong);
        json_decref(answer);
        return code;
}
