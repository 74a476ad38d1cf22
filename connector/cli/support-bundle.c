/*
 * postern support-bundle: what somebody who helps from afar needs, in one archive without a secret and without names.
 *
 * Invariant: nothing is copied as it is. Of the configuration come the keys that the table of keys knows, values that
 * can hold a password cut out; answers come from the ledger, which holds none; every name of a person in them becomes a
 * pseudonym under a key that lives as long as this run, the same for the same person. No file of state_dir is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/cli/scrub.h"
#include "connector/cli/tar.h"
#include "connector/cli/tasks.h"
#include "connector/cli/view.h"
#include "connector/findings/finding.h"
#include "connector/findings/health.h"

#define RECORDS "500"
#define TEXT_MAX (4U << 20)
#define LOG_LINES "2000"

static const char *out_path;
static bool with_names;

static const struct cli_option options[] = {
        {"out", "FILE", &out_path, NULL, "the archive (default: postern-support-TIME.tar)"},
        {"names", NULL, NULL, &with_names, "leave the names of people as they are"},
        {0},
};

static const struct cli_usage usage = {
        .name = "support-bundle",
        .about = "Writes an archive for somebody who helps: configuration without secrets, status,\n"
                 "check, the latest sign-ins and events, versions, the log. Names of people are\n"
                 "pseudonyms, new ones in each archive. Look into it before you send it.\n"
                 "Exit code: 0 written, 1 not.\n",
        .options = options,
};

struct bundle {
        struct cli *cli;
        struct tar *tar;
        struct scrub *scrub;
        json_t *missing; /* what is not in it, and why */
};

static void add_text(struct bundle *b, const char *name, const char *text, size_t n)
{
        _cleanup_(buffer_free) struct buffer clean = BUFFER(2 * TEXT_MAX);

        if (scrub_text(b->scrub, text, n, &clean) < 0 ||
            tar_add(b->tar, name, clean.data ? clean.data : "", clean.len) < 0)
                (void)json_object_set_new(b->missing, name,
                                          json_string("it is too long, or the archive cannot be written"));
}

/* Takes over json; its people's names become pseudonyms first. */
static void add_json(struct bundle *b, const char *name, json_t *json)
{
        char *text = NULL;

        scrub_json(b->scrub, json);
        text = json ? json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
        if (text)
                add_text(b, name, text, strlen(text));
        else
                (void)json_object_set_new(b->missing, name, json_string("out of memory"));
        free(text);
        json_decref(json);
}

/* An answer of the ledger, running or not. */
static json_t *ask(struct bundle *b, const char *name, json_t *request)
{
        json_t *answer = NULL;
        int code;

        if (view_ask(b->cli, request, &answer, &code) < 0)
                (void)json_object_set_new(b->missing, name, json_string("the ledger does not answer"));
        json_decref(request);
        return answer;
}

static void add_answers(struct bundle *b)
{
        const json_int_t limit = 500;
        json_t *records = ask(b, "sign-ins.json", json_pack("{s:s, s:I}", "do", "log", "limit", limit)),
               *events = ask(b, "events.json", json_pack("{s:s, s:I, s:b}", "do", "log", "limit", limit, "events", 1)),
               *status = ask(b, "status.json", json_pack("{s:s}", "do", "status"));

        scrub_learn(b->scrub, json_object_get(records, "records")); /* before anything is written */
        if (status)
                (void)json_object_set_new(status, "findings", health_findings(status));
        if (status)
                add_json(b, "status.json", status);
        if (records)
                add_json(b, "sign-ins.json", records);
        if (events)
                add_json(b, "events.json", events);
}

/* The lines of `postern check`, its tests side by side as there; no password is asked for and no DC is bound to. */
static void add_check(struct bundle *b, const struct config *config)
{
        struct task tasks[2];
        task_fn *const fns[] = {tasks_startup, tasks_relay};
        static const char *const steps[] = {"start", "relay"};
        json_t *lines = json_array();
        bool begun[2];

        for (size_t i = 0; i < 2; i++)
                begun[i] = tasks_begin(&tasks[i], fns[i], b->cli, config) == 0;
        for (size_t i = 0; i < 2; i++) {
                json_auto_t *of_task = begun[i] ? tasks_end(&tasks[i], steps[i]) : NULL;
                (void)json_array_extend(lines, of_task);
        }
        add_json(b, "check.json", lines);
}

static void add_config(struct bundle *b)
{
        struct conf_errors errors = CONF_ERRORS;
        _cleanup_(buffer_free) struct buffer merged = BUFFER(CONF_TEXT_MAX), clean = BUFFER(2 * CONF_TEXT_MAX);
        struct config *config = NULL;

        (void)config_load(&config, b->cli->config, &merged, &errors);
        if (merged.len && scrub_config(merged.data, merged.len, &clean) == 0)
                add_text(b, "postern.conf", clean.data ? clean.data : "", clean.len);
        else
                (void)json_object_set_new(b->missing, "postern.conf", json_string("it has errors, or cannot be read"));
        if (config)
                add_check(b, config);
        else
                (void)json_object_set_new(b->missing, "check.json", json_string("the configuration has errors"));
        config_free(config);
        conf_errors_clear(&errors);
}

static void add_versions(struct bundle *b)
{
        _cleanup_(buffer_free) struct buffer release = BUFFER(65536);
        struct utsname host = {0};
        struct error err;

        (void)uname(&host);
        (void)file_read(&release, "/etc/os-release", &err);
        add_json(b, "versions.json",
                 json_pack("{s:s, s:s, s:s, s:s, s:I}", "postern", POSTERN_VERSION, "kernel", host.release, "machine",
                           host.machine, "os-release",
                           release.data && utf8_valid(release.data, release.len) ? release.data : "", "made",
                           (json_int_t)time(NULL)));
}

/* The journal's latest lines of the unit; none where there is no journal. */
static void add_log(struct bundle *b)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(TEXT_MAX);

        if (tasks_output(&text, (const char *const[]){"journalctl", "-u", "postern", "-n", LOG_LINES, "-o", "short-iso",
                                                      "--no-pager", NULL}) == 0 &&
            text.len)
                add_text(b, "log.txt", text.data, text.len);
        else
                (void)json_object_set_new(b->missing, "log.txt",
                                          json_string("journalctl has no lines of the unit postern"));
}

int cmd_support_bundle(struct cli *cli, int argc, char **argv)
{
        struct bundle b = {.cli = cli};
        char **words, name[64];
        const time_t now = time(NULL);
        struct tm tm;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (gmtime_r(&now, &tm) && strftime(name, sizeof(name), "postern-support-%Y%m%dT%H%M%SZ.tar", &tm) > 0 &&
            !out_path)
                out_path = name;
        if (scrub_new(&b.scrub, with_names) < 0 || !(b.missing = json_object()))
                return cli_error(cli, "out of memory");
        int r = tar_open(&b.tar, out_path);
        if (r == 0) {
                add_answers(&b);
                add_config(&b);
                add_versions(&b);
                add_log(&b);
                add_json(&b, "missing.json", json_incref(b.missing));
                r = tar_close(b.tar);
        }
        b.scrub = scrub_free(b.scrub);
        json_decref(b.missing);
        if (r < 0)
                return cli_error(cli, "%s cannot be written: %s", out_path, strerror(-r));
        if (cli->json)
                return view_show_json(cli, json_pack("{s:s}", "file", out_path));
        (void)printf("%s is written%s. Look into it before you send it: tar xf %s\n", out_path,
                     with_names ? ", with names of people" : "; names of people in it are pseudonyms", out_path);
        return CLI_OK;
}
