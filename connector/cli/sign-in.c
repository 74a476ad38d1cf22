/*
 * `postern sign-in`: one sign-in through the relay, as a sign-in service makes it. Prints the verdict as
 * JSON.
 *
 * Exit code: 0 accepted, 1 refused, 2 wrong usage, 3 unavailable. The password comes from the terminal or
 * standard input, never from an argument or the environment.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/person/service-store.h"
#include "connector/cli/view.h"
#include "queue/client/client.h"
#include "validate/types/outcome.h"
#include "validate/types/words.h"

static struct {
        const char *dir, *user, *connector, *budget_text, *words_file, *helpdesk;
        struct service_settings given;
        bool change;
        uint64_t budget;
        struct words *words;
} o = {.budget = BUDGET_DEFAULT};

static const struct cli_option options[] = {
        {"user", "NAME", &o.user, NULL, "user@domain or DOMAIN\\user"},
        {"service", "DIR", &o.dir, NULL, "from `service init` (~/.config/postern/service)"},
        SERVICE_OPTIONS(o.given),
        {"connector", "NAME", &o.connector, NULL, "seal to this connector alone"},
        {"change-password", NULL, NULL, &o.change, "change the password; asks for the new one, too"},
        {"words", "FILE", &o.words_file, NULL, "what the user reads, from a catalogue of sentences"},
        {"helpdesk", "TEXT", &o.helpdesk, NULL, "whom the user may contact, as it stands in them"},
        {"budget", "MS", &o.budget_text, NULL, "time for all of it, 500..15000 (8000)"},
        {0},
};

static const char *or_null(const char *text)
{
        return text[0] ? text : NULL;
}

/* In the words of the catalogue, and with the reference and the time that it may tell. */
static const char *user_text(enum reason reason, bool proved, const struct sign_in_result *r)
{
        static char text[4096];
        _cleanup_(buffer_free) struct buffer out = BUFFER(sizeof(text) - 1);
        const uint32_t wait = r->has_verdict ? r->verdict.retry_after : 0;
        const struct words_facts facts = {
                .id = r->id, .helpdesk = o.helpdesk, .until = wait ? (int64_t)time(NULL) + wait : 0};

        if ((!o.words && !o.helpdesk) || words_user(o.words, reason, proved, &facts, &out) < 0)
                return reason_user_text(reason, proved);
        memcpy(text, out.data, out.len + 1);
        return text;
}

static json_t *verdict_json(const struct sign_in_result *r)
{
        const struct verdict_claims *v = &r->verdict;
        enum reason reason = reason_from_id(v->reason);
        json_t *user = v->user_id[0] ? json_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "id", v->user_id, "guid",
                                                 or_null(v->user_guid), "upn", or_null(v->user_upn), "sam",
                                                 or_null(v->user_sam), "domain", or_null(v->user_domain))
                                     : NULL;
        json_t *attributes = v->attributes_state ? json_pack("{s:s, s:o}", "state", v->attributes_state, "values",
                                                             view_pairs_json(&v->attributes))
                                                 : NULL;
        json_t *raw = v->raw_ldap[0] || v->raw_krb[0] || v->raw_ntstatus[0]
                              ? json_pack("{s:s*, s:s*, s:s*}", "ldap", or_null(v->raw_ldap), "krb",
                                          or_null(v->raw_krb), "ntstatus", or_null(v->raw_ntstatus))
                              : NULL;

        return json_pack(
                "{s:s, s:s, s:s, s:s, s:b, s:s, s:o*, s:o*, s:o*, s:s, s:s, s:s*, s:s*, s:o*, s:{s:i, s:i, s:i, "
                "s:i}, s:s*}",
                "id", r->id, "verdict", v->verdict, "class", v->class, "reason", v->reason, "password_proved",
                v->password_proved, "may_have_counted", v->may_have_counted, "retry_after",
                v->retry_after ? json_integer((json_int_t)v->retry_after) : NULL, "user", user, "attributes",
                attributes, "connector", r->connector, "connector_name", r->connector_name, "dc", or_null(v->dc),
                "method", or_null(v->method), "raw", raw, "t", "opened", (int)v->t_opened, "dc", (int)v->t_dc, "total",
                (int)v->t_total, "service", (int)r->ms, "text",
                reason == REASON_MAX ? NULL : user_text(reason, v->password_proved, r));
}

/* A relay's problem, or silence: never a verdict, always unavailable. */
static json_t *problem_json(const struct sign_in_result *r)
{
        json_t *reasons = r->reasons[0] ? json_array() : NULL;
        const char *line;
        size_t n;

        for (const char *lines = r->reasons; reasons && wire_lines_next(&lines, &line, &n);)
                if (json_array_append_new(reasons, json_stringn(line, n)) < 0)
                        reasons = NULL;
        /* what a wait cannot mend is the helpdesk's */
        const bool helpdesk =
                strcmp(r->started, "no") == 0 && strcmp(r->retry, "never") == 0 && strcmp(r->problem, "deadline") != 0;

        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:{s:s, s:I, s:s, s:s*, s:s*, s:o*}, s:{s:i}, s:s}", "id",
                         r->id, "verdict", "unavailable", "class", "infrastructure", "reason", r->problem,
                         "password_proved", 0, "may_have_counted", !strcmp(r->started, "no") ? "0" : "unknown",
                         "problem", "type", r->problem, "status", (json_int_t)r->status, "detail", r->detail, "started",
                         or_null(r->started), "retry", or_null(r->retry), "reasons", reasons, "t", "service",
                         (int)r->ms, "text",
                         user_text(helpdesk ? REASON_SERVICE_UNKNOWN : REASON_OUTCOME_UNKNOWN, false, r));
}

static int print_result(const struct cli *cli, const struct sign_in_result *r)
{
        json_t *json = r->has_verdict ? verdict_json(r) : problem_json(r);
        int shown = json ? json_dumpf(json, stdout, JSON_INDENT(2)) : -1;

        json_decref(json);
        if (shown < 0)
                return cli_error(cli, "out of memory"), CLI_UNAVAILABLE;
        putchar('\n');
        if (r->has_verdict && !o.change &&
            (!strcmp(r->verdict.reason, "must_change_password") || !strcmp(r->verdict.reason, "password_expired")))
                fprintf(stderr, "The password can be changed with --change-password, where the connector's "
                                "password_change allows it.\n");
        if (!r->has_verdict)
                return CLI_UNAVAILABLE;
        if (!strcmp(r->verdict.verdict, "accepted"))
                return CLI_OK;
        return !strcmp(r->verdict.verdict, "refused") ? CLI_FAILED : CLI_UNAVAILABLE;
}

/* The new password, twice where a person types it. */
static int prompt_new(struct secret **ret_secret, struct error *err)
{
        struct secret *once = NULL, *twice = NULL;
        int r = prompt_secret("New password: ", &once, err);

        if (r == 0 && isatty(STDIN_FILENO)) {
                r = prompt_secret("New password again: ", &twice, err);
                if (r >= 0 && (!twice || !secret_equal(once, twice)))
                        r = error_fail(err, -EINVAL, "the new passwords differ; nothing was sent");
        }
        secret_free(twice);
        if (r < 0) {
                secret_free(once);
                return r;
        }
        *ret_secret = once;
        return 0;
}

static int sign_in(struct service_store *s, const char *bearer, struct sign_in_result *ret, struct error *err)
{
        _cleanup_(client_freep) struct client *client = NULL;
        struct client_config config = service_store_client(s, bearer);
        struct sign_in_params params = {
                .service_id = s->id,
                .service_key = s->key,
                .username = o.user,
                .username_len = strlen(o.user),
                .client_app = "postern sign-in",
                .traceparent = getenv("TRACEPARENT"),
                .only_connector = o.connector,
                .now = (int64_t)time(NULL),
        };
        struct secret *password = NULL, *new_password = NULL;
        int r;

        config.budget_ms = (uint32_t)o.budget;
        r = client_new(&client, &config, err);
        if (r == 0)
                r = prompt_secret(o.change ? "Old password: " : "Password: ", &password, err);
        if (r >= 0 && o.change)
                r = prompt_new(&new_password, err);
        params.password = password;
        params.change_password = o.change;
        params.new_password = new_password;
        if (r >= 0)
                r = client_sign_in(client, &params, ret, err);
        secret_free(password);
        secret_free(new_password);
        if (r < 0)
                return r;
        /* settings are remembered once they have worked: a mistyped pin or relay must not spoil the next call
         */
        if (!ret->has_verdict && sealer_view(client_sealer(client)).roster_seq <= s->roster_seq)
                return 0;
        service_store_saw(s, client);
        return service_store_save(s, err);
}

static int run(const struct cli *cli, const char *dir)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        struct sign_in_result result = {0};
        struct secret *bearer = NULL;
        struct error err = {""};
        int r = service_store_open(&s, dir, &err);

        if (r < 0 || service_store_take(&s, &o.given, &err) < 0 || service_store_complete(&s, &err) < 0)
                return cli_usage_error(cli, "%s", err.text);
        r = folder_secret_read(s.secret_file, &bearer, &err);
        if (r > 0)
                r = error_fail(&err, -EINVAL, "%s is empty", s.secret_file);
        if (r == 0)
                r = sign_in(&s, secret_text(bearer), &result, &err);
        secret_free(bearer);
        if (r == 0)
                return print_result(cli, &result);
        /* never 1: that is a verdict */
        cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        return CLI_UNAVAILABLE;
}

int cmd_sign_in(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "sign-in",
                .about = "Signs NAME in through the relay, as a sign-in service does, and prints the\n"
                         "verdict as JSON, also without --json. The password is asked for, or read from\n"
                         "standard input; with --change-password the old one, then the new one, a line\n"
                         "each.\n"
                         "Exit code: 0 accepted, 1 refused, 2 wrong usage, 3 unavailable.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(freep) char *fallback = NULL;
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!o.user)
                return cli_usage_error(cli, "--user is missing");
        if (o.budget_text && text_parse_u64(o.budget_text, BUDGET_MIN, BUDGET_MAX, &o.budget) < 0)
                return cli_usage_error(cli, "--budget %s: milliseconds from %d to %d", o.budget_text, BUDGET_MIN,
                                       BUDGET_MAX);
        if (o.words_file && words_load(&o.words, o.words_file, &err) < 0)
                return cli_usage_error(cli, "--words: %s", err.text);
        fallback = folder_default("service");
        if (!o.dir && !fallback)
                code = cli_usage_error(cli, "HOME is not set: name the folder with --service");
        else
                code = secrets_setup(cli) < 0 ? CLI_UNAVAILABLE : run(cli, o.dir ? o.dir : fallback);
        o.words = words_free(o.words);
        return code;
}
