/*
 * postern check: each hop between this connector and its domain controllers in order, in this process,
 * without the daemon; with --user one whole validation, every step with its time.
 *
 * The steps inside validate/ are its debug log, which by its own rule holds no credential. The password goes
 * from the terminal into the secret arena and is wiped by validate/ before the answer. The lockout guard is
 * off here: it belongs to the daemon and its memory of failures.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/cli/account.h"
#include "connector/cli/cli.h"
#include "connector/cli/view.h"
#include "connector/cli/prompt.h"
#include "connector/cli/startup.h"
#include "connector/conf/domains.h"
#include "validate/types/name.h"

#define READY_MS 5000
#define POLL_MS 10
#define BUDGET_MS 10000

static struct {
        const char *user, *domain, *method, *dc;
} o;

static const struct cli_option options[] = {
        {"user", "NAME", &o.user, NULL, "validate this user; a real attempt, see above"},
        {"domain", "NAME", &o.domain, NULL, "only this domain of the configuration"},
        {"method", "ldap|krb5", &o.method, NULL, "by this method, not the configured ones"},
        {"dc", "HOST", &o.dc, NULL, "at this domain controller alone"},
        {0},
};

static const struct cli_usage usage = {
        .name = "check",
        .about = "Checks each hop in order, without the daemon: configuration, files, domain\n"
                 "controllers. With --user validates one password, which is asked for: a real\n"
                 "attempt, and a wrong password counts towards the account's lockout.\n"
                 "Exit code: 0 well or accepted, 1 not, 2 wrong usage, 3 unavailable.\n",
        .options = options,
        .no_socket = true,
};

/* One run. The log's sink has no argument: current points to it. */
struct check {
        const struct cli *cli;
        struct loop *loop;
        struct config *config;
        struct domains *domains;
        struct validate *v;
        struct loop_timer *poll;
        uint64_t started, ready_until;
        json_t *steps;
        const char *skip; /* why what follows is not done, or NULL */
        unsigned down;    /* DCs that can't be used */
        bool fit;         /* posternd's own check finds nothing */
        bool done;
        struct outcome outcome;
};

static struct check *current;

__attribute__((format(printf, 4, 5))) static void say(struct check *c, const char *step, const char *result,
                                                      const char *fmt, ...)
{
        unsigned ms = (unsigned)(loop_now(c->loop) - c->started);
        char text[LOG_LINE_MAX];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (c->cli->json) {
                json_array_append_new(c->steps,
                                      json_pack("{s:i, s:s, s:s, s:s%}", "ms", (int)ms, "step", step, "result", result,
                                                "text", text, utf8_valid(text, strlen(text)) ? strlen(text) : 0));
                return;
        }
        printf("%6u ms  %-8s %-8s ", ms, step, result);
        cli_print_text(stdout, text);
        putchar('\n');
}

static void on_log(enum log_level level, const char *program, const char *line)
{
        (void)level, (void)program;
        if (current)
                say(current, "trace", "", "%s", line);
}

/* Says that a step failed, and that the following ones are left out. */
static int failed(struct check *c, const char *step, const char *text, const char *skip)
{
        say(c, step, "FAILED", "%s", text);
        c->skip = skip;
        return -EINVAL;
}

/* Each error is a step of its own. */
static void say_errors(struct check *c, const char *lines)
{
        for (const char *line = lines; *line; line += strspn(line, "\n")) {
                const size_t n = strcspn(line, "\n");

                say(c, "config", "FAILED", "%.*s", (int)n, line);
                line += n;
        }
}

static int check_config(struct check *c)
{
        struct conf_errors errors = CONF_ERRORS;
        int r = config_load(&c->config, c->cli->config, NULL, &errors);

        if (r < 0) {
                say_errors(c, errors.lines.len ? errors.lines.data : strerror(-r));
                c->skip = "the configuration has errors";
        } else {
                say(c, "config", "ok", "%s: %zu domain%s", c->cli->config, c->config->validate.n_domains,
                    c->config->validate.n_domains == 1 ? "" : "s");
        }
        conf_errors_clear(&errors);
        return r;
}

/* --domain, --method and --dc. */
static int narrow(struct check *c, struct error *err)
{
        struct config *config = c->config;
        size_t n = 0;

        for (size_t i = 0; i < c->domains->n; i++) {
                struct domain_config *domain = &config->domains[i];

                if (o.domain && strcasecmp(o.domain, domain->name) != 0)
                        continue;
                if (o.method) {
                        domain->methods[0] = strcmp(o.method, "ldap") == 0 ? METHOD_LDAP : METHOD_KRB5;
                        domain->methods[1] = METHOD_NONE;
                }
                for (size_t k = 0; o.dc && k < domain->n_dcs; k++)
                        if (strcasecmp(o.dc, domain->dcs[k].host) == 0)
                                domain->dcs[0] = domain->dcs[k];
                if (o.dc && (domain->n_dcs == 0 || strcasecmp(o.dc, domain->dcs[0].host) != 0))
                        domain->dcs[0] = (struct dc_config){.host = o.dc};
                if (o.dc) {
                        domain->n_dcs = 1;
                        domain->discover = false;
                }
                config->domains[n++] = *domain;
        }
        if (n == 0)
                return error_fail(err, -ENOENT, "--domain %s is not in the configuration", o.domain);
        config->validate.n_domains = n;
        if (o.domain)
                config->validate.default_domain = config->domains[0].name;
        config->validate.guard = (struct guard_config){.mode = GUARD_OFF, .failures = 1, .window_ms = 1000};
        return 0;
}

static void on_startup_line(void *arg, const char *line)
{
        say(arg, "start", "", "%s", line);
}

/* What a start, or a reload, of posternd would find: users, folders, enrolment, files. */
static void check_startup(struct check *c)
{
        struct error err = {""};

        if (startup_check(c->cli->config, on_startup_line, c, &c->fit, &err) < 0)
                say(c, "start", "FAILED", "%s", err.text);
        else if (c->fit)
                say(c, "start", "ok", "posternd could start");
        else
                say(c, "start", "FAILED", "posternd could not start, for the reasons above");
}

typedef int take_fn(struct domains *d, const char *domain, int fd, struct error *err);

static int take_file(struct check *c, const char *domain, const char *path, take_fn *take)
{
        const char *what = take == domains_ca       ? "CA file"
                           : take == domains_keytab ? "keytab"
                                                    : "service account's password";
        struct error err = {""};
        char count[40];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        int r = fd < 0 ? error_fail(&err, -errno, "%s", strerror(errno)) : take(c->domains, domain, fd, &err);
        size_t n = r >= 0 && take == domains_ca ? domains_ca_count(c->domains, domain) : 0;

        if (r >= 0) {
                (void)snprintf(count, sizeof(count), ", %zu certificate%s", n, n == 1 ? "" : "s");
                say(c, "file", "ok", "%s of %s: %s%s", what, domain, path, n ? count : "");
                return 0;
        }
        say(c, "file", "FAILED", "%s: %s", path, err.text);
        c->skip = "a file could not be read";
        return r;
}

static void check_files(struct check *c)
{
        struct error err = {""};

        if (domains_new(&c->domains, c->config) < 0) {
                failed(c, "file", "out of memory", "out of memory");
                return;
        }
        for (size_t i = 0; i < c->config->validate.n_domains; i++) {
                const struct domain_config *domain = &c->config->domains[i];

                if (domain->ca_file)
                        take_file(c, domain->name, domain->ca_file, domains_ca);
                if (domain->keytab_file)
                        take_file(c, domain->name, domain->keytab_file, domains_keytab);
                if (domain->service_password_file)
                        take_file(c, domain->name, domain->service_password_file, domains_service_password);
        }
        if (!c->skip && narrow(c, &err) < 0)
                failed(c, "domains", err.text, "there is no such domain");
}

static bool all_ready(const struct check *c)
{
        for (size_t i = 0; i < c->config->validate.n_domains; i++)
                if (!validate_ready(c->v, i, NULL))
                        return false;
        return true;
}

static void on_poll(void *arg)
{
        struct check *c = arg;

        if (all_ready(c) || loop_now(c->loop) >= c->ready_until)
                loop_stop(c->loop, 0);
        else
                loop_timer_in(c->poll, POLL_MS);
}

static const char *remedy_of(const char *id)
{
        const enum reason reason = reason_from_id(id);

        return reason == REASON_MAX ? "" : reason_info(reason)->remedy;
}

static void show_dc(void *arg, const struct validate_dc *dc)
{
        struct check *c = arg;
        bool alive = strcmp(dc->state, "alive") == 0;

        c->down += !alive;
        if (alive)
                say(c, "dc", "ok", "%s of %s (%s) answers in %" PRIu32 " ms", dc->host, dc->domain, dc->source,
                    dc->ewma_ms);
        else if (dc->reason[0])
                say(c, "dc", "FAILED", "%s of %s (%s): %s %s. %s", dc->host, dc->domain, dc->source, dc->reason,
                    dc->detail, remedy_of(dc->reason));
        else
                say(c, "dc", "FAILED", "%s of %s (%s): no answer within %d s. %s", dc->host, dc->domain, dc->source,
                    READY_MS / 1000, remedy_of("dc_timeout"));
}

static void on_ready(void *arg)
{
        (void)arg;
}

/* What is known of one domain's SID, to be said with whether it can be served. */
struct sid_note {
        const char *domain;
        char text[SID_TEXT_MAX + 64];
};

static void note_sid(void *arg, const struct validate_sid *sid)
{
        struct sid_note *note = arg;

        if (strcmp(sid->domain, note->domain) == 0 && sid->sid[0])
                snprintf(note->text, sizeof note->text, "; its SID is %s (%s)", sid->sid, sid_source_text(sid->source));
        else if (strcmp(sid->domain, note->domain) == 0)
                snprintf(note->text, sizeof note->text,
                         "; its SID was not told: set domain_sid, or the first sign-in tells");
}

/* What refusals by Kerberos are worth without armour. */
static const char *note_proof(const struct domain_config *d)
{
        if (d->methods[0] != METHOD_KRB5 || d->armor_principal)
                return "";
        return d->ca_pem || d->pins[0]
                       ? "; refusals by Kerberos are confirmed over LDAPS"
                       : "; refusals by Kerberos prove nothing, so users are not told that a password expired: set "
                         "armor_principal, or ca_file for LDAPS";
}

/* What would refuse everybody of a domain, or some. */
static void judge_sid(void *arg, const struct validate_sid *sid)
{
        struct check *c = arg;

        if (sid->rival[0])
                say(c, "sid", "FAILED", "%s and %s have one SID, %s: set domain_sid of both", sid->domain, sid->rival,
                    sid->sid);
        else if (sid->seen[0])
                say(c, "sid", "FAILED", "%s: a domain controller says %s, not %s (%s)", sid->domain, sid->seen,
                    sid->sid, sid_source_text(sid->source));
}

/* The accounts that `postern account` reads with; without one sign-ins go on. */
static void check_readers(struct check *c)
{
        char text[1024];

        for (size_t i = 0; i < c->config->validate.n_domains; i++) {
                if (!c->config->domains[i].reader)
                        continue;
                int r = account_judge_reader(c->cli, c->config->domains[i].name, text, sizeof text);
                say(c, "reader", r ? "warning" : "ok", "%s", text);
        }
}

/* TLS contexts and keytabs, then DNS, connect, handshake and a first answer of the DCs. */
static void check_dcs(struct check *c)
{
        struct error err = {""};
        const char *why = NULL;

        if (validate_new(&c->v, c->loop, &c->config->validate, on_ready, c, &err) < 0) {
                failed(c, "domains", err.text, "a domain cannot be served as it is configured");
                return;
        }
        say(c, "domains", "ok", "certificates and keytabs are usable");
        c->ready_until = loop_now(c->loop) + READY_MS;
        loop_timer_in(c->poll, 0);
        loop_run(c->loop);
        validate_each_dc(c->v, show_dc, c);
        validate_each_sid(c->v, judge_sid, c);
        for (size_t i = 0; i < c->config->validate.n_domains; i++) {
                const char *name = c->config->domains[i].name;
                size_t left_out = validate_left_out(c->v, i);

                if (left_out > 0)
                        say(c, "dc", "note", "%zu more domain controllers of %s are known by SRV records and not used",
                            left_out, name);
                if (validate_ready(c->v, i, &why)) {
                        struct sid_note note = {.domain = name};

                        validate_each_sid(c->v, note_sid, &note);
                        say(c, "ready", "ok", "%s can be served%s%s", name, note.text,
                            note_proof(&c->config->domains[i]));
                } else {
                        const char *unknown = validate_undiscovered(c->v, i);

                        say(c, "ready", "FAILED", "%s: %s%s%s. %s", name, why ? why : "no domain controller answered",
                            unknown[0] ? ", " : "", unknown,
                            unknown[0] ? remedy_of("dns") : "No sign-in of its users can be decided");
                        c->skip = "a domain has no domain controller that answers";
                }
        }
}

static void check_name(struct check *c)
{
        struct name name;
        char sent[2 * USERNAME_MAX + 2];
        enum reason reason = name_parse(&name, &c->config->validate, o.user, strlen(o.user));
        const struct domain_config *domain;

        if (reason == REASON_BAD_NAME_FORM) {
                char why[NAME_FAULT_MAX];

                name_fault(&c->config->validate, o.user, strlen(o.user), why);
                say(c, "name", "FAILED", "%s: %s", reason_info(reason)->id, why);
                return;
        }
        if (reason != REASON_OK) {
                say(c, "name", "FAILED", "%s: %s", reason_info(reason)->id, reason_info(reason)->helpdesk_text);
                return; /* the sign-in ends with the same reason, without a DC */
        }
        domain = &c->config->domains[name.domain];
        name_bind_text(&name, domain, sent, sizeof sent);
        say(c, "name", "ok", "%s: domain %s, realm %s, by %s, sent as %s",
            name.form == NAME_UPN ? "user@suffix" : "DOMAIN\\name", domain->name, domain->realm ? domain->realm : "-",
            method_text(domain->methods[0]), sent);
}

static void on_done(void *arg, const struct outcome *outcome)
{
        struct check *c = arg;

        c->outcome = *outcome;
        c->done = true;
        loop_stop(c->loop, 0);
}

static void check_user(struct check *c, struct secret *password)
{
        struct validate_request request = {.id = "postern-check-00",
                                           .name = o.user,
                                           .name_len = strlen(o.user),
                                           .password = password,
                                           .password_reason = REASON_EMPTY_PASSWORD,
                                           .deadline = loop_now(c->loop) + BUDGET_MS};
        struct validate_op *op = NULL;

        check_name(c);
        if (validate_start(&op, c->v, &request, on_done, c) < 0) {
                failed(c, "sign-in", "out of memory", "out of memory");
                return;
        }
        loop_run(c->loop);
        say(c, "sign-in", reason_info(c->outcome.reason)->verdict == VERDICT_ACCEPTED ? "ok" : "FAILED",
            "%s at %s by %s: connect %" PRIu32 " ms, answer %" PRIu32 " ms, all %" PRIu32 " ms",
            reason_info(c->outcome.reason)->id, c->outcome.dc[0] ? c->outcome.dc : "no domain controller",
            method_text(c->outcome.method), c->outcome.ms_connect, c->outcome.ms_dc, c->outcome.ms_total);
}

static json_t *verdict_json(const struct outcome *out)
{
        const struct reason_info *info = reason_info(out->reason);

        return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:o*}", "verdict",
                         verdict_text(info->verdict), "class", verdict_class_text(info->class), "reason", info->id,
                         "password_proved", out->password_proved, "may_have_counted", counted_text(out->counted), "dc",
                         out->dc, "method", method_text(out->method), "user_id", out->user.id, "upn", out->user.upn,
                         "sam", out->user.sam, "context", out->context, "ms", (int)out->ms_total, "user_text",
                         reason_user_text(out->reason, out->password_proved), "helpdesk_text", info->helpdesk_text,
                         "remedy", info->remedy, "attributes",
                         out->details.state == DETAILS_NONE ? NULL : view_pairs_json(&out->details.values));
}

static void print_field(const char *name, const char *value)
{
        if (!value[0])
                return;
        printf("%-17s ", name);
        cli_print_text(stdout, value);
        putchar('\n');
}

static void print_verdict(const struct outcome *out)
{
        const struct reason_info *info = reason_info(out->reason);
        const char *name, *value;

        printf("\n%-17s %s (%s, %s)\n", "verdict", verdict_text(info->verdict), info->id,
               verdict_class_text(info->class));
        print_field("account", out->user.id);
        print_field("upn", out->user.upn);
        print_field("sam", out->user.sam);
        for (size_t at = 0; pairs_next(&out->details.values, &at, &name, &value);)
                print_field(name, value);
        if (out->details.state == DETAILS_TRUNCATED)
                print_field("attributes", "some do not fit or are no text, and are left out");
        print_field("raw", out->context);
        print_field("password proved", out->password_proved ? "yes" : "no");
        print_field("may have counted", counted_text(out->counted));
        print_field("the user reads", reason_user_text(out->reason, out->password_proved));
        print_field("what it means", info->helpdesk_text);
        print_field("what to do", info->remedy);
}

static int conclude(struct check *c)
{
        json_t *root;

        if (c->skip && o.user && !c->done)
                say(c, "sign-in", "skipped", "because %s; the password was not asked for", c->skip);
        if (c->cli->json) {
                root = json_pack("{s:O}", "steps", c->steps);
                if (c->done)
                        json_object_set_new(root, "verdict", verdict_json(&c->outcome));
                (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
                putchar('\n');
                json_decref(root);
        } else if (c->done) {
                print_verdict(&c->outcome);
        }
        if (!c->done)
                return c->skip || o.user || c->down > 0 || !c->fit ? (o.user ? CLI_UNAVAILABLE : CLI_FAILED) : CLI_OK;
        switch (reason_info(c->outcome.reason)->verdict) {
        case VERDICT_ACCEPTED:
                return CLI_OK;
        case VERDICT_REFUSED:
                return CLI_FAILED;
        case VERDICT_UNAVAILABLE:
                break;
        }
        return CLI_UNAVAILABLE;
}

static int run(struct check *c)
{
        struct secret *password = NULL;
        struct error err = {""};

        check_config(c);
        if (!c->skip)
                check_startup(c);
        if (!c->skip)
                check_files(c);
        else
                say(c, "file", "skipped", "because %s", c->skip);
        if (!c->skip)
                check_dcs(c);
        else
                say(c, "dc", "skipped", "because %s", c->skip);
        if (!c->skip)
                check_readers(c);
        if (c->skip || !o.user)
                return conclude(c);
        fputs("This is a real attempt: a wrong password counts towards the account's lockout.\n", stderr);
        if (prompt_secret("Password: ", &password, &err) < 0)
                failed(c, "sign-in", err.text, "there is no password");
        else
                check_user(c, password);
        return conclude(c);
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
        struct check c = {.cli = cli};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (o.method && strcmp(o.method, "ldap") != 0 && strcmp(o.method, "krb5") != 0)
                return cli_usage_error(cli, "--method %s: ldap or krb5", o.method);
        if (secrets_setup(cli) < 0)
                return CLI_UNAVAILABLE;
        c.steps = json_array();
        if (!c.steps || loop_new(&c.loop) < 0 || loop_timer_new(&c.poll, c.loop, NULL, on_poll, &c) < 0)
                return cli_error(cli, "out of memory"), CLI_UNAVAILABLE;
        c.started = loop_now(c.loop);
        current = &c;
        log_open("postern", LOG_LEVEL_DEBUG, on_log);
        code = run(&c);
        current = NULL;
        validate_free(c.v);
        loop_run_once(c.loop);
        loop_timer_free(c.poll);
        loop_free(c.loop);
        domains_free(c.domains);
        config_free(c.config);
        json_decref(c.steps);
        return code;
}
