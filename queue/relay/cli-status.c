/*
 * `postern-relay status`: whether the relay runs, and each of its faults: those that it sees itself, by its
 * metrics_socket, and those that a start would find.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "queue/relay/cli-internal.h"
#include "queue/relay/relay.h"

#define PATIENCE_S 5
#define ANSWER_MAX (4 * 1024 * 1024)

/* What the running relay's metrics are now; 0 or -errno. */
static int fetch(const char *path, struct buffer *out)
{
        static const char request[] = "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
        const struct timeval patience = {.tv_sec = PATIENCE_S};
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char piece[8192];
        ssize_t n;

        (void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
                return -errno;
        while ((n = read(fd, piece, sizeof(piece))) > 0)
                if (buffer_append(out, piece, (size_t)n) < 0)
                        return -EMSGSIZE;
        return n < 0 ? -errno : 0;
}

/* Adds what the relay says of itself and a look from outside cannot tell. */
static void add_live(struct relay_faults *faults, const char *metrics)
{
        const struct relay_fault_info *info;
        char wanted[128];

        for (size_t i = 0; metrics && (info = relay_fault_at(i)); i++) {
                bool known = false;

                (void)snprintf(wanted, sizeof(wanted), "\npostern_relay_fault{code=\"%s\",level=\"%s\"} 1\n",
                               info->code, info->stops ? "stops" : "warns");
                for (size_t k = 0; k < faults->n; k++)
                        known |= faults->all[k].info == info;
                if (!known && strstr(metrics, wanted))
                        relay_faults_add(faults, info->code, "the running relay says so");
        }
}

/* How many connectors of which version are linked to the running relay: an array of {"version","connectors"}. Texts are
 * as connectors call themselves. */
static json_t *versions(const char *metrics)
{
        static const char sample[] = "\npostern_relay_connectors{version=\"";
        json_t *list = json_array();

        for (const char *at = metrics; at && (at = strstr(at, sample));) {
                const char *name = at += sizeof(sample) - 1;

                at += strcspn(at, "\"\\\n");
                if (at[0] == '"' && at[1] == '}')
                        (void)json_array_append_new(
                                list, json_pack("{s:o, s:I}", "version", json_stringn(name, (size_t)(at - name)),
                                                "connectors", (json_int_t)strtoll(at + 2, NULL, 10)));
        }
        return list;
}

static void print_versions(const char *metrics)
{
        json_t *list = versions(metrics), *each;
        size_t i;

        json_array_foreach (list, i, each)
                printf("linked: %lld of version %s\n",
                       (long long)json_integer_value(json_object_get(each, "connectors")),
                       json_string_value(json_object_get(each, "version")));
        json_decref(list);
}

int relay_cli_status(const struct relay_cli *cli)
{
        _cleanup_(buffer_free) struct buffer metrics = BUFFER(ANSWER_MAX);
        static struct relay_faults faults;
        const char *socket_path = cli->config->metrics_socket;
        const bool runs = relay_runs(cli->config->state_dir);
        const int asked = runs && socket_path ? fetch(socket_path, &metrics) : -ENOENT;
        json_t *list = json_array();

        relay_check(cli->config, &faults);
        add_live(&faults, metrics.data);
        for (size_t i = 0; i < faults.n; i++) {
                const struct relay_fault_info *info = faults.all[i].info;

                (void)json_array_append_new(list,
                                            json_pack("{s:s, s:s, s:s, s:s, s:s}", "code", info->code, "level",
                                                      info->stops ? "stops" : "warns", "cause", faults.all[i].text,
                                                      "meaning", info->meaning, "remedy", info->remedy));
        }
        const int status = runs && relay_faults_stopping(&faults) == 0 ? 0 : 1;
        if (cli->json) {
                const int r = relay_cli_print_json(json_pack("{s:b, s:b, s:o, s:o}", "runs", runs, "asked", asked == 0,
                                                             "linked", versions(metrics.data), "faults", list));
                return r ? r : status;
        }
        json_decref(list);
        printf("%s\n", !runs         ? "postern-relay does not run; start it: systemctl start postern-relay"
                       : asked == 0  ? "postern-relay runs"
                       : socket_path ? "postern-relay runs, but does not answer at metrics_socket"
                                     : "postern-relay runs; set metrics_socket to have its own word, too");
        print_versions(metrics.data);
        for (size_t i = 0; i < faults.n; i++)
                printf("%s %s: %s\n    %s\n    %s\n", faults.all[i].info->stops ? "FAULT  " : "warning",
                       faults.all[i].info->code, faults.all[i].text, faults.all[i].info->meaning,
                       faults.all[i].info->remedy);
        if (status == 0 && faults.n == 0)
                puts("all is well");
        return status;
}
