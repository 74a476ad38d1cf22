/*
 * One question to the control socket: connect, a line out, a line in, on the loop.
 *
 * Invariant: fn is called once, from the loop, unless the ask is freed before.
 */
#include "connector/web/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "connector/frames/control.h"

/* Whom one asks: what it is called, how long it may take, and what to do where it is not there or may not be asked. */
static const struct asked {
        const char *name;
        unsigned seconds;
        const char *absent, *forbidden;
} whom_asked[] = {
        [WEB_ASKED_LEDGER] =
                {"posternd's ledger", CONTROL_TIMEOUT_S,
                 "posternd does not run on this host. Start it: systemctl start postern. Its log tells why it "
                 "ended: journalctl -u postern",
                 "Set control_group = postern-web in postern.conf and reload posternd"},
        [WEB_ASKED_READER] =
                {"postern-account", 40,
                 "the reader of accounts is not there. Set it up: systemctl enable --now "
                 "postern-account.socket",
                 "Let the group postern-web ask: systemctl edit postern-account.socket, and there [Socket] "
                 "SocketGroup=postern-web"},
        [WEB_ASKED_EVERYWHERE] =
                {"postern-asker", 40,
                 "whoever asks the connectors is not there. Set it up, as postern-web(8) says: systemctl enable --now "
                 "postern-asker.socket",
                 "Its socket belongs to the group postern-web, of which this page must be"},
};

struct web_ask {
        const struct asked *whom;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer; /* fires at once where it could not begin, else at the deadline */
        struct error why;
        char *line;
        size_t len, sent;
        struct buffer answer;
        web_ask_fn *fn;
        void *arg;
};

struct web_ask *web_ask_free(struct web_ask *ask)
{
        if (!ask)
                return NULL;
        loop_io_free(ask->io);
        loop_timer_free(ask->timer);
        closep(&ask->fd);
        free(ask->line);
        buffer_free(&ask->answer);
        free(ask);
        return NULL;
}

static void finish(struct web_ask *ask, const json_t *answer, const char *why)
{
        web_ask_fn *fn = ask->fn;
        void *arg = ask->arg;
        struct error text = {.text = ""};

        (void)error_fail(&text, 0, "%s", why ? why : ""); /* it may lie in the ask */
        web_ask_free(ask);
        fn(arg, answer, answer ? NULL : text.text);
}

/* In whose name. */
static void fail(struct web_ask *ask, const char *what)
{
        struct error why = ask->why;

        if (!why.text[0])
                (void)error_fail(&why, 0, "%s %s", ask->whom->name, what);
        finish(ask, NULL, why.text);
}

static void on_timer(void *arg)
{
        struct web_ask *ask = arg;

        fail(ask, "does not answer");
}

static void read_some(struct web_ask *ask)
{
        ssize_t n = -1;

        if (buffer_reserve(&ask->answer, 65536) < 0)
                errno = EMSGSIZE;
        else
                n = recv(ask->fd, ask->answer.data + ask->answer.len, 65536, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                fail(ask, n < 0 && errno == EMSGSIZE ? "answered too much" : "closed the connection");
                return;
        }
        ask->answer.len += (size_t)n;
        if (ask->answer.data[ask->answer.len - 1] != '\n')
                return;
        json_auto_t *answer = json_loadb(ask->answer.data, ask->answer.len, JSON_REJECT_DUPLICATES, NULL);
        const char *why = json_string_value(json_object_get(answer, "error"));
        if (!json_is_object(answer))
                fail(ask, "answered something that is not JSON");
        else if (!json_is_true(json_object_get(answer, "ok")))
                finish(ask, NULL, why ? why : "it was refused without a reason");
        else
                finish(ask, answer, NULL);
}

static void on_ready(void *arg, int fd, int events)
{
        struct web_ask *ask = arg;

        if (events & LOOP_READ) {
                read_some(ask);
                return;
        }
        const ssize_t n = send(fd, ask->line + ask->sent, ask->len - ask->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
                fail(ask, "closed the connection");
        else if (n > 0 && (ask->sent += (size_t)n) == ask->len)
                loop_io_set(ask->io, LOOP_READ);
}

/* Of a UNIX socket it is done at once, or never. */
static int ask_connect(struct web_ask *ask, const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return error_fail(&ask->why, -ENAMETOOLONG, "%s: the path is too long for a socket", path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        ask->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (ask->fd < 0)
                return error_fail(&ask->why, -errno, "no socket: %s", strerror(errno));
        if (connect(ask->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
                return 0;
        switch (errno) {
        case ENOENT:
        case ECONNREFUSED:
                return error_fail(&ask->why, -errno, "%s", ask->whom->absent);
        case EACCES:
                return error_fail(&ask->why, -errno, "this page may not ask %s (%s). %s", ask->whom->name, path,
                                  ask->whom->forbidden);
        case EAGAIN:
                return error_fail(&ask->why, -errno, "%s is busy; try again", ask->whom->name);
        default:
                return error_fail(&ask->why, -errno, "%s: %s", path, strerror(errno));
        }
}

int web_ask_new(struct web_ask **ret_ask, struct loop *loop, enum web_asked whom, const char *socket,
                const json_t *request, web_ask_fn *fn, void *arg)
{
        struct web_ask *ask = calloc(1, sizeof(*ask));

        if (!ask)
                return -ENOMEM;
        *ask = (struct web_ask){
                .whom = &whom_asked[whom], .fd = -1, .fn = fn, .arg = arg, .answer = BUFFER(CONTROL_ANSWER_MAX)};
        ask->line = json_dumps(request, JSON_COMPACT);
        int r = ask->line ? loop_timer_new(&ask->timer, loop, NULL, on_timer, ask) : -ENOMEM;
        if (r == 0) {
                ask->len = strlen(ask->line);
                ask->line[ask->len++] = '\n'; /* in the place of the NUL: it is a line from here on */
                r = ask_connect(ask, socket);
                loop_timer_in(ask->timer, r < 0 ? 0 : ask->whom->seconds * 1000);
                r = r < 0 ? 0 : loop_io_new(&ask->io, loop, NULL, ask->fd, LOOP_WRITE, on_ready, ask);
        }
        if (r < 0)
                web_ask_free(ask);
        else
                *ret_ask = ask;
        return r;
}
