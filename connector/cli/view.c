/*
 * Asking the ledger and showing what it says.
 *
 * What came from outside (names, contexts) is printed by cli_print_text only, so that nothing in it can drive
 * a terminal.
 */
#include "connector/cli/view.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/cli/offline.h"
#include "connector/conf/config.h"
#include "connector/frames/control.h"

#define RUNTIME_DIR "/run/postern"

void view_socket(const struct cli *cli, const char *name, char *out, size_t cap)
{
        struct conf_errors errors = CONF_ERRORS;
        struct config *config = NULL;

        if (!cli->socket)
                (void)config_load(&config, cli->config, NULL, &errors);
        if (cli->socket)
                (void)snprintf(out, cap, "%s", cli->socket);
        else
                (void)snprintf(out, cap, "%s/%s", config ? config->runtime_dir : RUNTIME_DIR, name);
        config_free(config);
        conf_errors_clear(&errors);
}

static bool not_there(int r)
{
        return r == -ENOENT || r == -ECONNREFUSED;
}

int view_ask(struct cli *cli, const json_t *request, json_t **ret_answer, int *ret_code)
{
        char path[PATH_MAX];
        struct error err;

        if (!request) {
                *ret_code = cli_error(cli, "out of memory");
                return -ENOMEM;
        }
        view_socket(cli, "control.sock", path, sizeof(path));
        int r = control_ask(ret_answer, path, request, &err);
        if (not_there(r) && !cli->socket) {
                struct error offline;

                if (offline_ask(ret_answer, cli->config, request, &offline) == 0) {
                        if (!cli->json)
                                (void)fprintf(stderr, "posternd does not run here; this is what its ledger holds.\n");
                        return 0;
                }
                (void)cli_error(cli, "%s", offline.text);
        }
        if (r < 0) {
                (void)cli_error(cli, "%s", err.text);
                if (cli->json)
                        (void)view_show_json(cli, json_pack("{s:b, s:s, s:s}", "ok", 0, "code",
                                                            not_there(r)      ? "not_running"
                                                            : r == -EACCES    ? "not_allowed"
                                                            : r == -ETIMEDOUT ? "process_silent"
                                                            : r == -EREMOTEIO ? "refused"
                                                                              : "failed",
                                                            "error", err.text));
                *ret_code = r == -EREMOTEIO ? CLI_FAILED : CLI_UNAVAILABLE;
        }
        return r;
}

void view_print_json(const json_t *value)
{
        (void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        (void)fputc('\n', stdout);
}

int view_show_json(const struct cli *cli, json_t *object)
{
        if (!object)
                return cli_error(cli, "a name or path is not UTF-8, so it cannot be shown as JSON");
        view_print_json(object);
        json_decref(object);
        return CLI_OK;
}

size_t view_width(void)
{
        const char *told = getenv("COLUMNS");
        struct winsize size = {0};
        uint64_t columns = 0;

        if (told && text_parse_u64(told, 20, 10000, &columns) == 0)
                return (size_t)columns;
        return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void view_wrap(size_t indent, const char *text)
{
        size_t width = view_width(), at = indent;
        char word[1024];

        while (*text) {
                size_t n = strcspn(text, " "), columns = 0;
                bool first = at == indent;

                for (size_t byte = 0; byte < n; columns++) {
                        uint32_t cp;
                        size_t len = utf8_next(text + byte, n - byte, &cp);
                        byte += len ? len : 1;
                }
                (void)snprintf(word, sizeof(word), "%.*s", (int)n, text);
                if (!first && width && at + 1 + columns > width) {
                        (void)printf("\n%*s", (int)indent, "");
                        at = indent;
                } else if (!first) {
                        (void)fputc(' ', stdout);
                        at++;
                }
                cli_print_text(stdout, word);
                at += columns;
                text += n + (text[n] != '\0');
        }
        (void)fputc('\n', stdout);
}

void view_near(const json_t *near)
{
        const json_t *name;
        char when[32];
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)near, i, name) {
                fact_time(fact_number(name, "last", 0), when, sizeof(when));
                (void)fprintf(stderr, "%s  ", i ? "" : "Names like it, and when they signed in last:\n");
                cli_print_text(stderr, fact_text(name, "name"));
                (void)fprintf(stderr, "  %s\n", when);
        }
}

json_t *view_pairs_json(const struct pairs *pairs)
{
        json_t *object = json_object(), *array;
        const char *name, *value;
        size_t at = 0;

        while (pairs_next(pairs, &at, &name, &value)) {
                array = json_object_get(object, name);
                if (!array) {
                        array = json_array();
                        json_object_set_new(object, name, array);
                }
                json_array_append_new(array, json_string(value));
        }
        return object;
}
