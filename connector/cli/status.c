/*
 * postern status: what each part of this connector says about itself.
 *
 * The sum at the end (and the exit code) says whether this connector can serve: processes run, link up,
 * approved, a live DC.
 */
#include <stdarg.h>
#include <string.h>

#include "connector/cli/view.h"

static const struct cli_usage usage = {
        .name = "status",
        .about = "Shows the processes of this connector, its link to the relay, its domain\n"
                 "controllers and the ledger, and what is wrong. Exit code 1: something is.\n",
};

#define STALE_S 30 /* link and validator speak every 5 s */

struct summary {
        long long now;
        size_t n_wrong;
        char wrong[12][200];
};

static void __attribute__((format(printf, 2, 3))) wrong(struct summary *s, const char *fmt, ...)
{
        va_list ap;

        if (s->n_wrong == sizeof(s->wrong) / sizeof(s->wrong[0]))
                return;
        va_start(ap, fmt);
        (void)vsnprintf(s->wrong[s->n_wrong++], sizeof(s->wrong[0]), fmt, ap);
        va_end(ap);
}

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

static void field_age(const struct summary *s, const char *label, const char *state, long long since)
{
        char age[32];

        view_age(s->now - since, age, sizeof(age));
        (void)printf("  %-14s %s%s%s\n", label, state, since > 0 ? " for " : "", since > 0 ? age : "");
}

/* ---- the parts ---- */

static void show_processes(struct summary *s, const json_t *parts)
{
        static const char *const names[] = {"supervisor", "link", "validator", "ledger"};

        (void)printf("processes\n");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char key[32], age[32];
                (void)snprintf(key, sizeof(key), "process:%s", names[i]);
                const json_t *value = json_object_get(json_object_get(parts, key), "value");
                const char *state = value ? view_text(value, "state") : "unknown",
                           *last = view_text(value, "last_end");
                long long restarts = view_number(value, "restarts", 0),
                          since = view_number(value, "since", 0);
                view_age(s->now - since, age, sizeof(age));
                (void)printf("  %-14s %-9s pid %-7lld", names[i], state, view_number(value, "pid", 0));
                if (since > 0)
                        (void)printf(" for %s", age);
                if (restarts)
                        (void)printf(", %lld restart%s, last end: %s", restarts, restarts == 1 ? "" : "s",
                                     last);
                (void)fputc('\n', stdout);
                if (strcmp(state, "running") != 0)
                        wrong(s, "the process %s is %s%s%s", names[i], state, last[0] ? ", last end: " : "",
                              last);
        }
}

/* The part's value, or NULL (said) where it is missing or has been silent for long. */
static const json_t *fresh(struct summary *s, const json_t *parts, const char *name)
{
        const json_t *part = json_object_get(parts, name);

        if (!part)
                wrong(s, "the %s has not reported yet", name);
        else if (s->now - view_number(part, "at", 0) > STALE_S)
                wrong(s, "the %s has been silent for %lld s", name, s->now - view_number(part, "at", 0));
        return json_object_get(part, "value");
}

/* The parts report every few seconds, so their numbers are as old as that. */
static void title(const struct summary *s, const json_t *parts, const char *name, const char *text)
{
        const json_t *part = json_object_get(parts, name);

        (void)printf("%s", text);
        if (part)
                (void)printf(" (%lld s ago)", s->now - view_number(part, "at", s->now));
        (void)fputc('\n', stdout);
}

static void show_link(struct summary *s, const json_t *parts)
{
        const json_t *link = fresh(s, parts, "link");

        title(s, parts, "link", "link to the relay");
        if (!link)
                return;
        bool up = strcmp(view_text(link, "state"), "up") == 0;
        field("relay", view_text(link, "relay"));
        field_age(s, "state", view_text(link, "state"), view_number(link, "since", 0));
        if (!up) {
                field("why", view_text(link, "detail"));
                wrong(s, "no link to the relay: %s", view_text(link, "detail"));
        }
        field_number("requests", view_number(link, "requests", 0));
        field_number("verdicts", view_number(link, "verdicts", 0));
}

static void show_validator(struct summary *s, const json_t *parts)
{
        const json_t *v = fresh(s, parts, "validator");
        char expires[32] = "-";

        title(s, parts, "validator", "this connector");
        if (!v)
                return;
        long long exp = view_number(v, "roster_expires", 0);
        bool in_roster = json_is_true(json_object_get(v, "in_roster"));
        field("name", view_text(v, "name"));
        field("id", view_text(v, "connector"));
        field("tenant", view_text(v, "tenant"));
        field("fingerprint", view_text(v, "identity"));
        if (exp)
                view_time(exp, expires, sizeof(expires));
        (void)printf("  %-14s number %lld, valid until %s\n", "roster", view_number(v, "roster_seq", 0),
                     expires);
        field("approved", in_roster ? "yes" : "no");
        field_number("in flight", view_number(v, "in_flight", 0));
        if (!in_roster)
                wrong(s, "not approved: on the tenant admin's machine run: postern tenant approve %s %s",
                      view_text(v, "name"), view_text(v, "identity"));
}

static void show_dcs(struct summary *s, json_t *parts)
{
        const char *name;
        json_t *part;
        size_t live = 0, n = 0;

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
                if (view_number(dc, "ms", 0) > 0)
                        (void)printf(", %lld ms", view_number(dc, "ms", 0));
                (void)fputc('\n', stdout);
                n++;
                if (strcmp(state, "dead") == 0)
                        wrong(s, "the domain controller %s does not answer", view_text(dc, "host"));
                else
                        live++;
        }
        if (n == 0)
                (void)printf("  none reported yet\n");
        else if (live == 0)
                wrong(s, "no domain controller answers: no sign-in can be decided");
}

static void show_ledger(struct summary *s, const json_t *answer)
{
        const json_t *ledger = json_object_get(answer, "ledger"), *counts = json_object_get(answer, "counts");

        (void)printf("ledger\n");
        field("state", view_text(ledger, "state"));
        (void)printf("  %-14s %lld kept, %lld in memory, %lld lost\n", "sign-ins",
                     view_number(ledger, "rows", 0), view_number(ledger, "in_memory", 0),
                     view_number(ledger, "dropped", 0));
        (void)printf("  %-14s %lld accepted, %lld refused, %lld unavailable, %lld declined\n", "since start",
                     view_number(counts, "accepted", 0), view_number(counts, "refused", 0),
                     view_number(counts, "unavailable", 0), view_number(counts, "declined", 0));
        if (strcmp(view_text(ledger, "state"), "ok") != 0)
                wrong(s, "the ledger keeps sign-ins in memory only: %s", view_text(ledger, "why"));
}

static int show(const json_t *answer)
{
        json_t *parts = json_object_get(answer, "parts");
        struct summary s = {.now = view_number(answer, "now", 0)};

        show_validator(&s, parts);
        show_link(&s, parts);
        show_dcs(&s, parts);
        show_processes(&s, parts);
        show_ledger(&s, answer);
        (void)printf(s.n_wrong ? "\nwrong:\n" : "\nall is well\n");
        for (size_t i = 0; i < s.n_wrong; i++) {
                (void)printf("  ");
                cli_print_text(stdout, s.wrong[i]);
                (void)fputc('\n', stdout);
        }
        return s.n_wrong ? CLI_FAILED : CLI_OK;
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
        if (cli->json) {
                view_print_json(answer);
                code = CLI_OK;
        } else {
                code = show(answer);
        }
        json_decref(answer);
        return code;
}
