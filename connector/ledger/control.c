/*
 * The control socket: a bounded number of clients, one line in, one line out, each within a deadline.
 *
 * The ledger's loop never waits for a client: answers are written as the socket takes them, and a client that
 * doesn't read or write within CLIENT_MS is dropped. Who asked is logged. It does not know what requests mean
 * (request.c, answer.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/ledger/ledger.h"

#define CLIENT_MS 10000
#define ACCEPT_AGAIN_MS 200
#define GUARD_MS 3000 /* of the validator, to answer */

struct client {
        TAILQ_ENTRY(client) link;
        struct control *control;
        int fd;
        struct loop_io *io;
        struct loop_timer *deadline;
        char line[REQUEST_LINE_MAX + 1];
        size_t len;
        char *answer; /* from jansson; the NUL became a newline */
        size_t answer_len, sent;
        struct request request; /* while the validator is asked: its number is in asked */
        uint64_t asked;
};

struct control {
        struct ledger *ledger;
        int fd;
        struct loop_io *io;
        struct loop_timer *again; /* watches the socket again after a failed accept */
        TAILQ_HEAD(, client) clients;
        size_t n_clients;
};

static void client_drop(struct client *c)
{
        struct control *control = c->control;

        TAILQ_REMOVE(&control->clients, c, link);
        if (control->n_clients-- == LEDGER_CLIENTS_MAX)
                loop_io_set(control->io, LOOP_READ);
        c->io = loop_io_free(c->io);
        c->deadline = loop_timer_free(c->deadline);
        closep(&c->fd);
        free(c->answer);
        free(c);
}

static void client_write(struct client *c)
{
        ssize_t n = send(c->fd, c->answer + c->sent, c->answer_len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                c->sent += (size_t)n;
        if (n < 0 || c->sent == c->answer_len)
                client_drop(c);
}

static struct ucred peer_of(const struct client *c)
{
        struct ucred peer = {0, (uid_t)-1, (gid_t)-1};
        socklen_t n = sizeof(peer);

        (void)getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        return peer;
}

/* Root, this process's own user, and the helpdesk's page: their word on who asks is taken. */
static bool is_trusted(const struct client *c)
{
        const uid_t uid = peer_of(c).uid;

        return uid == 0 || uid == getuid() || uid == c->control->ledger->page_uid;
}

/* The list of who failed most is an administrator's, not the helpdesk's, which sees failures one by one and what is
 * unusual among them: root's, who runs all of this, or the helpdesk's page's, which tells the two apart. Erasing is an
 * administrator's alone, and so is who of the helpdesk asked what, and what the guard forgets. */
static bool may_ask(const struct client *c, const struct request *request)
{
        const uid_t uid = peer_of(c).uid;

        if (request->what_to_do == REQUEST_ERASE || request->what_to_do == REQUEST_QUESTIONS || request->release)
                return uid == 0 || uid == getuid();
        return !request->users || is_trusted(c);
}

/* Takes over answer. It is recorded what was asked: request is NULL where that could not be read. */
static void client_answer(struct client *c, const struct request *request, json_t *answer)
{
        struct ledger *l = c->control->ledger;
        const struct ucred peer = peer_of(c);
        const bool ok = json_is_true(json_object_get(answer, "ok"));

        ledger_outlets_act(l->outlets, &(struct ledger_asker){.uid = peer.uid, .pid = peer.pid}, request,
                           ok ? NULL : json_string_value(json_object_get(answer, "error")));
        c->answer = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
        json_decref(answer);
        if (!c->answer) {
                client_drop(c);
                return;
        }
        c->answer_len = strlen(c->answer) + 1;
        c->answer[c->answer_len - 1] = '\n';
        loop_timer_in(c->deadline, CLIENT_MS);
        loop_io_set(c->io, LOOP_WRITE);
}

static void on_deadline(void *arg)
{
        struct client *c = arg;

        if (!c->asked) {
                client_drop(c);
                return;
        }
        c->asked = 0;
        client_answer(c, &c->request,
                      ledger_refusal(c->request.release
                                             ? "posternd's validator does not answer; an event guard.released tells "
                                               "whether it did it nevertheless"
                                             : "posternd's validator does not answer"));
}

/* The validator is asked; until it answers the client waits. */
static void ask_guard(struct client *c, const struct request *request)
{
        c->request = *request;
        c->asked = ledger_guard_ask(c->control->ledger, request);
        if (c->asked == 0) {
                client_answer(c, request, ledger_refusal("posternd's validator does not run; see postern status"));
                return;
        }
        loop_io_set(c->io, 0);
        loop_timer_in(c->deadline, GUARD_MS);
}

void control_guarded(struct control *control, uint64_t number, const char *text, const char *why)
{
        json_t *guard = text[0] ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        struct client *c;

        /* also where the answer comes too late for who asked: it was done */
        if (json_is_object(guard) && json_is_true(json_object_get(guard, "released")))
                ledger_note(control->ledger, "guard.released", "the failures of one account were forgotten on request");
        TAILQ_FOREACH (c, &control->clients, link)
                if (c->asked == number && number != 0)
                        break;
        if (c) {
                c->asked = 0;
                client_answer(c, &c->request,
                              json_is_object(guard)
                                      ? json_pack("{s:b, s:I, s:O}", "ok", 1, "now",
                                                  (json_int_t)loop_wall(control->ledger->process.loop), "guard", guard)
                                      : ledger_refusal(why[0] ? why : "the validator answered no JSON"));
        }
        json_decref(guard);
}

static void client_ask(struct client *c)
{
        struct request request;
        struct error err;
        const bool fit = request_parse(&request, c->line, c->len, &err) == 0;
        const struct ucred peer = peer_of(c);

        if (fit && !is_trusted(c))
                request.person[0] = '\0';
        log_info("control.request", KV_S("do", fit ? request_do_text(request.what_to_do) : "malformed"),
                 KV_U("uid", peer.uid), KV_I("pid", peer.pid));
        if (!fit)
                client_answer(c, NULL, ledger_refusal(err.text));
        else if (!may_ask(c, &request))
                client_answer(c, &request, ledger_refusal("that is root's only"));
        else if (request.what_to_do == REQUEST_GUARD)
                ask_guard(c, &request);
        else
                client_answer(c, &request, ledger_answer(c->control->ledger, &request));
}

static void client_read(struct client *c)
{
        ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                client_drop(c);
                return;
        }
        char *end = memchr(c->line + c->len, '\n', (size_t)n);
        c->len += (size_t)n;
        if (end)
                c->len = (size_t)(end - c->line);
        if (end || c->len == sizeof(c->line)) /* too long: the parser says so */
                client_ask(c);
}

static void on_client(void *arg, int fd, int events)
{
        struct client *c = arg;

        (void)fd;
        if (c->answer)
                client_write(c);
        else if (events & LOOP_READ)
                client_read(c);
}

static int client_new(struct control *control, int fd)
{
        struct client *c = calloc(1, sizeof(*c));

        if (!c) {
                (void)close(fd);
                return -ENOMEM;
        }
        c->control = control;
        c->fd = fd;
        TAILQ_INSERT_TAIL(&control->clients, c, link);
        if (++control->n_clients == LEDGER_CLIENTS_MAX)
                loop_io_set(control->io, 0);
        int r = loop_timer_new(&c->deadline, control->ledger->process.loop, NULL, on_deadline, c);
        if (r == 0)
                r = loop_io_new(&c->io, control->ledger->process.loop, NULL, fd, LOOP_READ, on_client, c);
        if (r < 0) {
                client_drop(c);
                return r;
        }
        loop_timer_in(c->deadline, CLIENT_MS);
        return 0;
}

static void on_again(void *arg)
{
        struct control *control = arg;

        if (control->n_clients < LEDGER_CLIENTS_MAX)
                loop_io_set(control->io, LOOP_READ);
}

static void on_connection(void *arg, int fd, int events)
{
        struct control *control = arg;
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)events;
        if (client >= 0 && client_new(control, client) == 0)
                return;
        if (client < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
                return;
        loop_io_set(control->io, 0); /* no descriptors or no memory: not in a tight circle */
        loop_timer_in(control->again, ACCEPT_AGAIN_MS);
}

int control_new(struct control **ret_control, struct ledger *l, int fd)
{
        struct control *control = calloc(1, sizeof(*control));

        if (!control) {
                (void)close(fd);
                return -ENOMEM;
        }
        control->ledger = l;
        control->fd = fd;
        TAILQ_INIT(&control->clients);
        int r = loop_timer_new(&control->again, l->process.loop, NULL, on_again, control);
        if (r == 0)
                r = loop_io_new(&control->io, l->process.loop, NULL, fd, LOOP_READ, on_connection, control);
        if (r < 0)
                control_free(control);
        else
                *ret_control = control;
        return r;
}

struct control *control_free(struct control *control)
{
        if (!control)
                return NULL;
        while (!TAILQ_EMPTY(&control->clients))
                client_drop(TAILQ_FIRST(&control->clients));
        control->io = loop_io_free(control->io);
        control->again = loop_timer_free(control->again);
        closep(&control->fd);
        free(control);
        return NULL;
}
