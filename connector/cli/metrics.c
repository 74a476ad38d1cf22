/*
 * postern metrics: what a daemon's metrics socket says, on standard output or in a file for node_exporter's textfile
 * collector.
 *
 * A daemon that does not answer is a number, too: postern_up is 0, and the file then holds nothing else, so that no
 * old figures are taken for new ones.
 */
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/metrics/metrics.h"
#include "connector/cli/view.h"

#define ANSWER_MAX (8 * 1024 * 1024)
#define PATIENCE_S 10L

static const char *from, *output;

static const struct cli_option options[] = {
        {"from", "SOCKET", &from, NULL, "the metrics_socket of a relay, or a gateway's socket"},
        {"output", "FILE", &output, NULL, "write it there, in one step, for node_exporter"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "metrics",
        .about = "Shows the numbers that Prometheus reads, of posternd's metrics.sock or, with\n"
                 "--from, of a relay's. With --output they go to a file of which nobody sees a\n"
                 "half, for the textfile collector of node_exporter; where nobody answers, it\n"
                 "says postern_up 0. Exit code 3: nobody answered.\n",
        .options = options,
        .no_socket = true,
        .no_json = true,
};

static size_t take(char *bytes, size_t size, size_t n, void *arg)
{
        struct metrics *m = arg;

        if (m->code == 0)
                m->code = buffer_append(&m->text, bytes, size * n);
        return m->code == 0 ? size * n : 0;
}

/* The text of the socket; -errno with a sentence. */
static int fetch(struct metrics *m, const char *path, struct error *err)
{
        CURL *curl = curl_easy_init();
        long status = 0;

        if (!curl)
                return error_fail(err, -ENOMEM, "out of memory");
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
        (void)curl_easy_setopt(curl, CURLOPT_URL, "http://postern/metrics");
        (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, PATIENCE_S);
        (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, m);
        CURLcode code = curl_easy_perform(curl);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        long os = 0;
        (void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
        curl_easy_cleanup(curl);
        if (code == CURLE_OK && status == 200)
                return 0;
        buffer_clear(&m->text);
        if (os == EACCES)
                return error_fail(err, -EACCES, "not allowed to read %s; be root or a member of metrics_group", path);
        if (code == CURLE_COULDNT_CONNECT)
                return error_fail(err, -ENOENT,
                                  "nobody answers at %s; start the daemon (systemctl start postern), or name its "
                                  "socket by --from",
                                  path);
        return error_fail(err, -EIO, "%s: %s", path, code ? curl_easy_strerror(code) : "it refuses to tell");
}

int cmd_metrics(struct cli *cli, int argc, char **argv)
{
        char path[PATH_MAX];
        struct metrics m = METRICS(ANSWER_MAX);
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (from)
                (void)snprintf(path, sizeof(path), "%s", from);
        else
                view_socket(cli, "metrics.sock", path, sizeof(path));
        int r = fetch(&m, path, &err);
        m.code = 0;
        if (r < 0)
                (void)cli_error(cli, "%s", err.text);
        code = r < 0 ? CLI_UNAVAILABLE : CLI_OK;
        metrics_begin(&m, "postern_up", METRICS_GAUGE, "1: the daemon answered `postern metrics`.");
        metrics_put(&m, r == 0, "socket", path, METRICS_END);
        if (m.code == 0 && output && file_write_atomic(output, m.text.data, m.text.len, 0644, &err) < 0)
                code = cli_error(cli, "%s", err.text);
        else if (m.code == 0 && !output && r == 0)
                (void)fwrite(m.text.data, 1, m.text.len, stdout);
        buffer_free(&m.text);
        return m.code == 0 ? code : cli_error(cli, "out of memory");
}
