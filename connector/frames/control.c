/*
 * The asking end of the control socket: connect, one line out, one line in, each within a bound; and the answering end
 * of programs that are started for one question.
 */
#include "connector/frames/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"

static int open_socket(int *ret_fd, const char *path, struct error *err)
{
        const struct timeval patience = {.tv_sec = CONTROL_TIMEOUT_S};
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return error_fail(err, -ENAMETOOLONG, "%s: the path is too long for a socket", path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
                return error_fail(err, -errno, "no socket: %s", strerror(errno));
        const int code = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
        if (code == EACCES)
                return error_fail(err, -code, "not allowed to ask posternd (%s); be root or a member of control_group",
                                  path);
        if (code)
                return error_fail(err, -code,
                                  code == ENOENT || code == ECONNREFUSED
                                          ? "posternd does not run here (%s: %s); start it: systemctl start postern. "
                                            "Why it ended, its log tells: journalctl -u postern"
                                          : "%s: %s",
                                  path, strerror(code));
        *ret_fd = fd;
        fd = -1;
        return 0;
}

/* text's n bytes as a line, in the place of whose NUL the line's end comes. */
static int send_text(int fd, char *text, size_t n)
{
        text[n++] = '\n';
        for (size_t at = 0; at < n;) {
                ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL);
                if (sent <= 0)
                        return sent < 0 ? -errno : -EPIPE;
                at += (size_t)sent;
        }
        return 0;
}

static int send_line(int fd, const json_t *request, struct error *err)
{
        _cleanup_(freep) char *text = json_dumps(request, JSON_COMPACT);
        size_t n = text ? strlen(text) : 0;

        if (n == 0 || n + 1 > CONTROL_REQUEST_MAX)
                return error_fail(err, -EMSGSIZE, "the request is too long");
        int r = send_text(fd, text, n);
        return r < 0 ? error_fail(err, r, "asking posternd: %s", strerror(-r)) : 0;
}

static int read_line(int fd, struct buffer *line, struct error *err)
{
        while (!line->len || line->data[line->len - 1] != '\n') {
                int r = buffer_reserve(line, 65536);
                if (r < 0)
                        return error_fail(err, r, "posternd's answer is too long");
                ssize_t n = recv(fd, line->data + line->len, 65536, 0);
                if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                        return error_fail(err, -ETIMEDOUT, "posternd's ledger did not answer within %d s",
                                          CONTROL_TIMEOUT_S);
                if (n <= 0)
                        return error_fail(err, n < 0 ? -errno : -EBADMSG, "posternd's ledger closed the connection");
                line->len += (size_t)n;
        }
        return 0;
}

int control_ask(json_t **ret_answer, const char *socket_path, const json_t *request, struct error *err)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER(CONTROL_ANSWER_MAX);
        _cleanup_(closep) int fd = -1;
        int r = open_socket(&fd, socket_path, err);

        if (r == 0)
                r = send_line(fd, request, err);
        if (r == 0)
                r = read_line(fd, &line, err);
        if (r < 0)
                return r;
        json_t *answer = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(answer)) {
                json_decref(answer);
                return error_fail(err, -EBADMSG, "posternd's ledger answered something that is not JSON");
        }
        if (!json_is_true(json_object_get(answer, "ok"))) {
                const char *why = json_string_value(json_object_get(answer, "error"));
                r = error_fail(err, -EREMOTEIO, "%s", why ? why : "the ledger refused without a reason");
                json_decref(answer);
                return r;
        }
        *ret_answer = answer;
        return 0;
}

/* ---- the answering end ---- */

json_t *control_question(int fd, struct error *err)
{
        char line[CONTROL_REQUEST_MAX] = "";
        size_t n = 0;

        while (n < sizeof(line) && !memchr(line, '\n', n)) {
                ssize_t got = recv(fd, line + n, sizeof(line) - n, 0);
                if (got <= 0)
                        break;
                n += (size_t)got;
        }
        json_t *question = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, NULL);
        if (json_is_object(question))
                return question;
        json_decref(question);
        (void)error_fail(err, -EBADMSG, "the question is no JSON object on a line");
        return NULL;
}

int control_answer(int fd, json_t *object)
{
        _cleanup_(freep) char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

        json_decref(object);
        return text ? send_text(fd, text, strlen(text)) : -ENOMEM;
}
