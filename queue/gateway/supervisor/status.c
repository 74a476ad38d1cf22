/*
 * `postern-gateway status`: asks the gateway that runs by the first UNIX socket of the configuration, and prints what
 * it says. It waits for the answer a few seconds, and changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "certs/codec/json.h"
#include "queue/gateway/supervisor/supervisor.h"

#define ANSWER_MAX 65536
#define PATIENCE_S 5
#define REQUEST "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/* The whole answer, its head too. */
static int ask(const char *path, struct buffer *answer, struct error *err)
{
        const struct timeval patience = {.tv_sec = PATIENCE_S};
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ssize_t n = -1;

        (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
                return error_fail(err, -errno, "unix:%s: %s%s", path, strerror(errno),
                                  errno == EACCES ? "; root and the members of socket_group may ask"
                                                  : "; is postern-gateway running, with this configuration?");
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) == (ssize_t)strlen(REQUEST))
                while (buffer_reserve(answer, 4096) == 0 && (n = recv(fd, answer->data + answer->len, 4096, 0)) > 0)
                        answer->len += (size_t)n;
        return n == 0 ? 0 : error_fail(err, -ETIMEDOUT, "unix:%s: no whole answer came within %d s", path, PATIENCE_S);
}

static void print_time(const char *what, int64_t s)
{
        if (s >= 2 * 86400)
                (void)printf("%s%lld days", what, (long long)s / 86400);
        else if (s >= 2 * 3600)
                (void)printf("%s%lld hours", what, (long long)s / 3600);
        else if (s >= 120)
                (void)printf("%s%lld minutes", what, (long long)s / 60);
        else
                (void)printf("%s%lld s", what, (long long)s);
}

/* 0 where it is ready, 1 where it is not; -EBADMSG. */
static int print(const char *json, size_t n, struct error *err)
{
        struct json_reader r, sub;
        char text[512], id[64];

        json_read_begin(&r, json, n, JSON_PLAIN, "the gateway's answer", err);
        const bool ready = json_read_bool(&r, "ready");
        json_read_cut(&r, "why", text, sizeof(text));
        if (json_read_result(&r) < 0)
                return -EBADMSG;
        (void)printf("%s%s\n", ready ? "ready: sign-ins can be decided" : "NOT READY: ", text);
        json_read_cut(&r, "warning", text, sizeof(text));
        if (*text)
                (void)printf("warning: %s\n", text);
        json_read_cut(&r, "records", text, sizeof(text));
        if (*text)
                (void)printf("records do not go out: %s\n", text);
        if (json_read_object(&sub, &r, "sign_ins", JSON_REQUIRED))
                (void)printf("sign-ins: %lld accepted, %lld refused, %lld undecided, %lld of them from memory",
                             (long long)json_read_int(&sub, "accepted", 0, INT64_MAX),
                             (long long)json_read_int(&sub, "refused", 0, INT64_MAX),
                             (long long)json_read_int(&sub, "unavailable", 0, INT64_MAX),
                             (long long)json_read_int(&sub, "remembered", 0, INT64_MAX));
        print_time(", in ", json_read_int(&r, "up_s", 0, INT64_MAX));
        (void)printf("\nunder way: %lld of %lld\n", (long long)json_read_int(&r, "in_flight", 0, INT64_MAX),
                     (long long)json_read_int(&r, "in_flight_max", 0, INT64_MAX));
        (void)printf("failed too often, and stopped here: %lld names, %lld addresses\n",
                     (long long)json_read_int(&r, "names_stopped", 0, INT64_MAX),
                     (long long)json_read_int(&r, "sources_stopped", 0, INT64_MAX));
        if (json_read_object(&sub, &r, "last_fault", JSON_OPTIONAL)) {
                json_read_str(&sub, "reason", JSON_REQUIRED, text, sizeof(text));
                json_read_str(&sub, "id", JSON_REQUIRED, id, sizeof(id));
                (void)printf("last one that nobody could decide: %s (id %s", text, id);
                print_time(", ", json_read_int(&sub, "ago_s", 0, INT64_MAX));
                (void)printf(" ago); postern-verdicts(7) explains the word\n");
        }
        const int code = json_read_end(&r, false);
        return code < 0 ? code : !ready;
}

int gateway_status(const struct gateway_config *config, bool json)
{
        _cleanup_(buffer_free) struct buffer answer = BUFFER(ANSWER_MAX);
        struct error err = {""};
        size_t i = 0;
        int r;

        while (i < config->n_listen && (config->listen[i].kind != LISTEN_UNIX || config->listen[i].door != LISTEN_HTTP))
                i++;
        if (i == config->n_listen)
                r = error_fail(&err, -ENOENT, "no unix:/PATH is in `listen`, by which alone the status is told");
        else
                r = ask(config->listen[i].where, &answer, &err);
        const char *body = r < 0 || !answer.len ? NULL : strstr(answer.data, "\r\n\r\n");
        if (r == 0 && (!body || strncmp(answer.data, "HTTP/1.1 200", 12) != 0))
                r = error_fail(&err, -EBADMSG, "the gateway is of another version, and tells no status");
        else if (r == 0)
                r = json ? printf("%s\n", body + 4) < 0 : print(body + 4, strlen(body + 4), &err);
        if (r < 0)
                (void)fprintf(stderr, "%s\n", err.text);
        return r != 0;
}
