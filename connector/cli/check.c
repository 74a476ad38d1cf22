/*
 * postern check: everything that a sign-in at this connector needs, tested side by side and told in order:
 * configuration, what a start would find, the way to the relay, each domain and its controllers, the daemon's own word;
 * with --user one whole validation, every step with its time.
 *
 * What blocks (the relay, posternd's check, the daemon) runs in a child process of its own (check-task.c), so that a
 * black hole costs no more than the longest of them.
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
#include <unistd.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/cli/check-internal.h"
#include "connector/cli/cli.h"
#include "connector/cli/view.h"
#include "connector/cli/view-verdict.h"
#include "connector/cli/prompt.h"
#include "connector/cli/tasks.h"
#include "connector/cli/trial.h"
#include "connector/conf/domains.h"
#include "connector/findings/finding.h"
#include "connector/findings/hop.h"
#include "validate/types/detail.h"
#include "validate/types/name.h"

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
        .about = "Tests in order what a sign-in needs: configuration, files, relay, domain\n"
                 "controllers, daemon. With --user validates one password, which is asked for:\n"
                 "a real attempt, and a wrong password counts towards the account's lockout.\n"
                 "Exit code: 0 well or accepted, 1 not, 2 wrong usage, 3 unavailable.\n",
        .options = options,
};

/* The log's sink has no argument. */
static struct check *current;

static void show(const struct check *c, const json_t *line)
{
        const char *result = fact_text(line, "result"), *remedy = fact_text(line, "remedy");

        if (c->cli->json)
                return;
        printf("%6lld ms  %-8s %-8s ", fact_number(line, "ms", 0), fact_text(line, "step"),
               strcmp(result, "failed") == 0 ? "FAILED" : result);
        cli_print_text(stdout, fact_text(line, "text"));
        putchar('\n');
        if (remedy[0]) {
                printf("%29s", "");
                view_wrap(29, remedy);
        }
}

static void put_time(const struct check *c, json_t *line)
{
        if (!json_object_get(line, "ms"))
                (void)json_object_set_new(line, "ms", json_integer((json_int_t)(loop_now(c->loop) - c->started)));
}

/* A line of another's making; takes it over. */
void check_add(struct check *c, json_t *line)
{
        put_time(c, line);
        if (json_array_append_new(c->steps, line) == 0 && c->live)
                show(c, line);
}

void check_say(struct check *c, const char *step, const char *result, const char *fmt, ...)
{
        char text[LOG_LINE_MAX];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        check_add(c, json_pack("{s:s, s:s, s:s%}", "step", step, "result", result, "text", text,
                               utf8_valid(text, strlen(text)) ? strlen(text) : 0));
}

/* What came of the ticket that the keytab is tried with: validate/ tells it in its debug log alone. */
static void on_log(enum log_level level, const char *program, const char *line)
{
        const struct config *config = current ? current->trials[TRIAL_KEYTAB].config : NULL;
        const char *told = strstr(line, "krb_armor "), *refused = told ? strstr(told, "refused=") : NULL;

        (void)level, (void)program;
        for (size_t i = 0; told && config && i < config->validate.n_domains; i++) {
                char domain[300];

                (void)snprintf(domain, sizeof domain, "domain=%s ", config->domains[i].name);
                if (!strstr(told, domain))
                        continue;
                current->keytabs[i].ok = strstr(told, "result=ok") != NULL;
                (void)snprintf(current->keytabs[i].why, sizeof current->keytabs[i].why, "%s",
                               refused                   ? refused + strlen("refused=")
                               : strstr(told, "result=") ? strstr(told, "result=") + strlen("result=")
                                                         : "");
        }
        if (current && o.user) /* without, only what the probes came to */
                check_say(current, "trace", "", "%s", line);
}

/* Says that a step failed, and that the following ones are left out. */
static int failed(struct check *c, const char *step, const char *text, const char *skip)
{
        check_say(c, step, "failed", "%s", text);
        c->skip = skip;
        return -EINVAL;
}

static int check_config(struct check *c)
{
        struct conf_errors errors = CONF_ERRORS;
        int r = config_load(&c->config, c->cli->config, NULL, &errors);

        for (const char *line = r == 0 ? "" : errors.lines.len ? errors.lines.data : strerror(-r); *line;) {
                const int n = (int)strcspn(line, "\n"); /* each error is a step of its own */

                (void)hop_add(c->steps, (struct hop){.step = "config", .result = HOP_FAILED, .code = "config_invalid"},
                              "%.*s", n, line);
                line += n + (int)strspn(line + n, "\n");
        }
        if (r < 0)
                c->skip = "the configuration has errors";
        else
                check_say(c, "config", "ok", "%s: %zu domain%s", c->cli->config, c->config->validate.n_domains,
                          c->config->validate.n_domains == 1 ? "" : "s");
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
                check_say(c, "file", "ok", "%s of %s: %s%s", what, domain, path, n ? count : "");
                return 0;
        }
        (void)hop_add(c->steps,
                      (struct hop){.step = "file", .result = HOP_FAILED, .about = domain, .code = "file_unfit"},
                      "%s: %s", path, err.text);
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

static void check_name(struct check *c)
{
        struct name name;
        char sent[2 * USERNAME_MAX + 2];
        enum reason reason = name_parse(&name, &c->config->validate, o.user, strlen(o.user));
        const struct domain_config *domain;

        if (reason == REASON_BAD_NAME_FORM) {
                char why[NAME_FAULT_MAX];

                name_fault(&c->config->validate, o.user, strlen(o.user), why);
                check_say(c, "name", "failed", "%s: %s", reason_info(reason)->id, why);
                return;
        }
        if (reason != REASON_OK) {
                check_say(c, "name", "failed", "%s: %s", reason_info(reason)->id, reason_info(reason)->helpdesk_text);
                return; /* the sign-in ends with the same reason, without a DC */
        }
        domain = &c->config->domains[name.domain];
        name_bind_text(&name, domain, sent, sizeof sent);
        check_say(c, "name", "ok", "%s: domain %s, realm %s, by %s, sent as %s",
                  name.form == NAME_UPN ? "user@suffix" : "DOMAIN\\name", domain->name,
                  domain->realm ? domain->realm : "-", method_text(domain->methods[0]), sent);
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
        check_say(c, "sign-in", reason_info(c->outcome.reason)->verdict == VERDICT_ACCEPTED ? "ok" : "failed",
                  "%s at %s by %s: connect %" PRIu32 " ms, answer %" PRIu32 " ms, all %" PRIu32 " ms",
                  reason_info(c->outcome.reason)->id, c->outcome.dc[0] ? c->outcome.dc : "no domain controller",
                  method_text(c->outcome.method), c->outcome.ms_connect, c->outcome.ms_dc, c->outcome.ms_total);
}

/* All that was told, in order; from here on it is shown at once. */
static enum hop_result tell(struct check *c)
{
        enum hop_result worst = HOP_OK;
        json_t *line;
        size_t i;

        for (int section = 0; section < SECTIONS; section++) {
                const enum hop_result here = hop_worst(c->sections[section]);

                worst = here > worst ? here : worst;
                json_array_foreach (c->sections[section], i, line) {
                        put_time(c, line);
                        show(c, line);
                }
        }
        c->steps = c->sections[SECTION_USER];
        c->live = true;
        return worst;
}

static int conclude(struct check *c, enum hop_result worst)
{
        json_t *root, *all = json_array();

        if (c->skip && o.user && !c->done)
                check_say(c, "sign-in", "skipped", "because %s; the password was not asked for", c->skip);
        if (c->cli->json) {
                for (int section = 0; section < SECTIONS; section++)
                        (void)json_array_extend(all, c->sections[section]);
                root = json_pack("{s:s, s:O}", "result", hop_result_text(worst), "steps", all);
                if (c->done)
                        json_object_set_new(root, "verdict", view_verdict_json(&c->outcome));
                (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
                putchar('\n');
                json_decref(root);
        } else if (c->done) {
                view_verdict(&c->outcome);
        }
        json_decref(all);
        if (!c->done)
                return worst == HOP_FAILED || c->skip || o.user ? (o.user ? CLI_UNAVAILABLE : CLI_FAILED) : CLI_OK;
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

/* One of the tests that run beside the domains', or that it is left out. */
static void end_task(struct check *c, struct task *task, enum section section, const char *step, bool begun)
{
        json_t *lines, *line;
        size_t i;

        c->steps = c->sections[section];
        if (!begun) {
                check_say(c, step, "skipped", "because %s", c->skip ? c->skip : "it could not be begun");
                return;
        }
        lines = tasks_end(task, step);
        json_array_foreach (lines, i, line)
                check_add(c, json_incref(line));
        json_decref(lines);
}

static void check_all(struct check *c)
{
        struct task startup = {0}, relay = {0}, daemon = {0}, readers = {0};
        bool look, has_startup = false, has_relay = false, has_readers = false, has_daemon;

        c->steps = c->sections[SECTION_CONFIG];
        look = check_config(c) == 0;
        if (look && access(c->config->state_dir, R_OK | X_OK) < 0 && errno == EACCES) {
                /* whoever may not read the state folder can ask the daemon, and is told so of the rest */
                c->skip = "only root can read what posternd reads; run postern check as root";
                look = false;
        }
        has_daemon = tasks_begin(&daemon, tasks_daemon, c->cli, c->config) == 0;
        if (look) {
                has_startup = tasks_begin(&startup, tasks_startup, c->cli, c->config) == 0;
                has_relay = tasks_begin(&relay, tasks_relay, c->cli, c->config) == 0;
                has_readers = tasks_begin(&readers, tasks_readers, c->cli, c->config) == 0;
        }
        c->steps = c->sections[SECTION_DOMAINS];
        if (look)
                check_files(c);
        if (!c->skip)
                check_dcs(c);
        else
                check_say(c, "dc", "skipped", "because %s", c->skip);
        if (has_readers)
                end_task(c, &readers, SECTION_DOMAINS, "reader", true);
        end_task(c, &startup, SECTION_START, "start", has_startup);
        end_task(c, &relay, SECTION_RELAY, "relay", has_relay);
        end_task(c, &daemon, SECTION_DAEMON, "daemon", has_daemon);
}

static int run(struct check *c)
{
        struct secret *password = NULL;
        struct error err = {""};

        check_all(c);
        const enum hop_result worst = tell(c);
        if (c->skip || !o.user)
                return conclude(c, worst);
        fputs("This is a real attempt: a wrong password counts towards the account's lockout.\n", stderr);
        if (prompt_secret("Password: ", &password, &err) < 0)
                failed(c, "sign-in", err.text, "there is no password");
        else
                check_user(c, password);
        return conclude(c, worst);
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
        for (int section = 0; section < SECTIONS; section++)
                c.sections[section] = json_array();
        if (loop_new(&c.loop) < 0 || loop_timer_new(&c.poll, c.loop, NULL, check_poll, &c) < 0)
                return cli_error(cli, "out of memory"), CLI_UNAVAILABLE;
        c.started = loop_now(c.loop);
        c.narrowed = o.dc || o.method;
        current = &c;
        log_open("postern", LOG_LEVEL_DEBUG, on_log);
        code = run(&c);
        current = NULL;
        for (int i = 0; i < TRIALS; i++) {
                validate_free(c.trials[i].v);
                free(c.trials[i].config);
        }
        validate_free(c.v);
        loop_run_once(c.loop);
        loop_timer_free(c.poll);
        loop_free(c.loop);
        domains_free(c.domains);
        config_free(c.config);
        for (int section = 0; section < SECTIONS; section++)
                json_decref(c.sections[section]);
        return code;
}
