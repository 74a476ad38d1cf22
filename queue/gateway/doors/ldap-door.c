/*
 * The LDAP door: for software that signs people in by a bind. It is no directory: a connection that has signed somebody
 * in finds that user's own entry, and nothing else is ever found.
 *
 * One request at a time: while a bind waits for its answer, or an answer for the peer, nothing of the connection is
 * read. The descriptor is watched edge-triggered, so what is left in it (`more`) is remembered. Each wait has a
 * deadline, messages a length; over the cap of connections the stalest that has no work makes room. A connection is
 * freed by its own turn, its timer or the door's end, never under a caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "certs/codec/der.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/gateway/doors/ldap.h"
#include "queue/gateway/doors/listener.h"
#include "queue/gateway/doors/tls.h"
#include "queue/http/http.h"

#define STRANGERS_MAX 64 /* connections of whom it is not known yet whether they may ask */
#define TURN_STEPS 64
#define READ_MAX 4096
#define TAG_MESSAGE 0x30
#define NOT_SIGNED_IN                                                                                                  \
        "sign in by a bind first: this is no directory, and finds nobody but the user who is signed in on this "       \
        "connection"

/* What a connection waits for, and how long. */
enum wait { WAIT_VERDICT = 0, WAIT_HANDSHAKE, WAIT_FIRST, WAIT_REST, WAIT_NEXT, WAIT_PEER };
static const uint32_t wait_ms[] = {[WAIT_VERDICT] = 0,  [WAIT_HANDSHAKE] = 10000, [WAIT_FIRST] = 60000,
                                   [WAIT_REST] = 10000, [WAIT_NEXT] = 300000,     [WAIT_PEER] = 30000};

struct peer {
        TAILQ_ENTRY(peer) link;
        struct doors *doors;
        const struct gateway_listen *listen;
        int fd;
        SSL *ssl; /* NULL: none yet */
        struct loop_io *io;
        struct loop_timer *timer;
        enum wait wait;
        bool timed;    /* the timer is of this wait */
        bool served;   /* it has brought a whole request; inside TLS, where there is TLS */
        bool known;    /* it may ask, by its address or its certificate */
        bool more;     /* the descriptor may have bytes to read */
        bool starttls; /* once the answer has left, TLS begins */
        bool last;     /* once the answer has left, it ends */
        bool dead;     /* freed by its next turn */
        bool signed_in;
        char address[64];
        struct ldapd_user *user; /* whom it signed in last; NULL: nobody yet */
        struct asking *asking;
        struct ldapd_request bind; /* that asking is of; its id and kind count */
        char asked[GATEWAY_USER_MAX + 1];
        struct buffer bound; /* the bind's name as written */
        struct buffer in, out;
};

static struct {
        struct listener *listening[GATEWAY_LISTEN_MAX];
        size_t n_listening, n_peers;
        TAILQ_HEAD(, peer) peers; /* the stalest first */
        SSL_CTX *tls;
        /* What a listener needs to know of itself. */
        struct origin {
                struct doors *doors;
                const struct gateway_listen *listen;
        } origins[GATEWAY_LISTEN_MAX];
} door = {.peers = TAILQ_HEAD_INITIALIZER(door.peers)};

static void peer_free(struct peer *p)
{
        TAILQ_REMOVE(&door.peers, p, link);
        door.n_peers--;
        p->asking = doors_forget(p->asking);
        http_bytes_end(p->ssl);
        SSL_free(p->ssl);
        loop_io_free(p->io);
        loop_timer_free(p->timer);
        closep(&p->fd);
        buffer_free(&p->in);
        buffer_free(&p->out);
        buffer_free(&p->bound);
        free(p->user);
        free(p);
}

static void answer(struct peer *p, const struct ldapd_request *q, enum ldapd_result result, const char *text)
{
        p->dead = p->dead || ldapd_answer(&p->out, q, result, text, NULL) < 0;
}

/* ---- who it is ---- */

/* The application that asks, for the records; NULL: it may not. */
static const char *caller(const struct peer *p)
{
        const struct gateway_config *c = doors_config(p->doors);
        const char *app = p->ssl ? doors_tls_app(p->doors, http_bytes_peer(p->ssl)) : NULL;

        if (app)
                return app;
        return p->listen->kind != LISTEN_TLS || gateway_net_has(c->ldap_clients, c->n_ldap_clients, p->address) ? "ldap"
                                                                                                                : NULL;
}

/* ---- binds ---- */

static void take_verdict(void *arg, const struct door_answer *a)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(8192);
        struct peer *p = arg;
        const struct berval bound = {p->bound.len, p->bound.data};
        enum ldapd_result result = ldapd_bind_result(a, &text);

        p->asking = NULL;
        if (result == LDAP_SUCCESS && !p->user && !(p->user = calloc(1, sizeof(*p->user))))
                result = LDAP_UNWILLING; /* the verdict is there, but nobody can be told whom it is of */
        if (result == LDAP_SUCCESS) {
                ldapd_user_set(p->user, a, p->asked, &bound);
                p->signed_in = true;
        }
        answer(p, &p->bind, result, text.len ? text.data : NULL);
        loop_io_wake(p->io);
}

/* LDAP_SUCCESS: the answer follows. Else what is answered at once, and *ret_why. */
static enum ldapd_result ask(struct peer *p, const struct ldapd_request *q, const char **ret_why)
{
        const struct gateway_config *c = doors_config(p->doors);
        const char *app = caller(p);
        enum ldapd_result result;

        if (!p->ssl && p->listen->kind == LISTEN_TLS) { /* others could read along */
                *ret_why = "TLS is needed here: StartTLS first, or ldaps";
                return LDAP_CONFIDENTIALITY_REQUIRED;
        }
        if (!app) {
                *ret_why = "this client may not ask: it is not in ldap_clients of gateway.conf, and shows no client "
                           "certificate of an [application]";
                p->last = true;
                return LDAP_INSUFFICIENT_ACCESS;
        }
        result = ldapd_bind_name(&q->name, c->ldap_dn, c->ldap_name, p->user, p->asked, ret_why);
        buffer_clear(&p->bound);
        if (result != LDAP_SUCCESS || buffer_append(&p->bound, q->name.bv_val, q->name.bv_len) < 0)
                return result != LDAP_SUCCESS ? result : LDAP_UNWILLING;
        const struct door_question question = {.app = app,
                                               .user = p->asked,
                                               .user_len = strlen(p->asked),
                                               .password = q->password.bv_val,
                                               .password_len = q->password.bv_len,
                                               .client_ip = strcmp(p->address, "unix") == 0 ? NULL : p->address,
                                               .many_users = true,
                                               .recall = true};
        if (doors_ask(p->doors, &question, take_verdict, p, &p->asking) == 0)
                return LDAP_SUCCESS;
        *ret_why = "too many sign-ins are under way; nothing was checked";
        return LDAP_BUSY;
}

static void bind_user(struct peer *p, const struct ldapd_request *q)
{
        enum ldapd_result result = LDAP_SUCCESS;
        const char *why = NULL;

        p->signed_in = false; /* RFC 4511 4.2.1 */
        p->bind = *q;
        if (q->version != 3) {
                result = LDAP_PROTOCOL_ERROR;
                why = "only version 3 of LDAP is spoken here";
        } else if (!q->simple) {
                result = LDAP_AUTH_METHOD_NOT_SUPPORTED;
                why = "only simple binds, with name and password, can be checked";
        } else if (q->password.bv_len == 0 && q->name.bv_len > 0) {
                result = LDAP_UNWILLING; /* RFC 4513 5.1.2 */
                why = "a name without a password signs nobody in";
        } else if (q->password.bv_len > 0) {
                result = ask(p, q, &why);
                if (result == LDAP_SUCCESS)
                        return;
        }
        answer(p, q, result, why);
}

/* ---- the other requests ---- */

static void extend(struct peer *p, const struct ldapd_request *q)
{
        char who[LDAP_ENTRY_DN_MAX + 3];

        if (q->name.bv_len == strlen(LDAP_OID_WHOAMI) && memcmp(q->name.bv_val, LDAP_OID_WHOAMI, q->name.bv_len) == 0) {
                (void)snprintf(who, sizeof(who), p->signed_in ? "dn:%s" : "%s", p->signed_in ? p->user->dn : "");
                p->dead = p->dead || ldapd_answer(&p->out, q, LDAP_SUCCESS, NULL, who) < 0;
        } else if (q->name.bv_len != strlen(LDAP_OID_STARTTLS) ||
                   memcmp(q->name.bv_val, LDAP_OID_STARTTLS, q->name.bv_len) != 0) {
                answer(p, q, LDAP_PROTOCOL_ERROR, "this extended operation is not known here");
        } else if (p->ssl || !door.tls) {
                answer(p, q, p->ssl ? LDAP_OPERATIONS_ERROR : LDAP_PROTOCOL_ERROR,
                       p->ssl ? "this is inside TLS already" : "there is no TLS here: gateway.conf has no certificate");
        } else {
                answer(p, q, LDAP_SUCCESS, NULL);
                p->starttls = true;
        }
}

static void search(struct peer *p, const struct ldapd_request *q)
{
        const bool root = q->name.bv_len == 0 && q->scope == LDAP_SCOPE_BASE;

        if (!root && !p->signed_in)
                answer(p, q, LDAP_INSUFFICIENT_ACCESS, NOT_SIGNED_IN);
        else if (ldapd_answer_search(&p->out, q, root ? NULL : p->user, door.tls && !p->ssl) < 0)
                p->dead = true;
}

static void handle(struct peer *p, const struct ldapd_request *q)
{
        if (q->critical && q->kind != LDAP_UNBIND && q->kind != LDAP_ABANDON) {
                answer(p, q, LDAP_UNAVAILABLE_CRITICAL_EXTENSION, "no controls are known here");
                return;
        }
        switch (q->kind) {
        case LDAP_BIND:
                bind_user(p, q);
                break;
        case LDAP_UNBIND:
                p->dead = true;
                break;
        case LDAP_SEARCH:
                search(p, q);
                break;
        case LDAP_COMPARE:
                answer(p, q, p->signed_in ? ldapd_compare(q, p->user) : LDAP_INSUFFICIENT_ACCESS,
                       p->signed_in ? NULL : NOT_SIGNED_IN);
                break;
        case LDAP_EXTENDED:
                extend(p, q);
                break;
        case LDAP_ABANDON: /* there is nothing that could be */
                break;
        case LDAP_MODIFY:
        case LDAP_ADD:
        case LDAP_DELETE:
        case LDAP_RENAME:
                answer(p, q, LDAP_UNWILLING, "nothing can be changed here");
                break;
        }
}

/* ---- turns ---- */

/* Says why, and ends. */
static void refuse(struct peer *p, enum ldapd_result result, const char *why)
{
        log_debug("ldap_refused", KV_S("peer", p->address), KV_S("why", why));
        p->dead = p->dead || ldapd_answer_end(&p->out, result, why) < 0;
        p->last = true;
}

static void flush(struct peer *p)
{
        while (p->out.len && !p->dead) {
                const ssize_t n = http_bytes_send(p->ssl, p->fd, p->out.data, p->out.len);

                if (n == -EAGAIN)
                        return;
                if (n <= 0)
                        p->dead = true;
                else if ((size_t)n < p->out.len)
                        buffer_consume(&p->out, (size_t)n);
                else
                        buffer_free(&p->out);
        }
}

static bool fill(struct peer *p)
{
        ssize_t n = -EAGAIN;

        if (!p->more || buffer_reserve(&p->in, READ_MAX + 1) < 0)
                return false;
        n = http_bytes_recv(p->ssl, p->fd, p->in.data + p->in.len, READ_MAX);
        if (n > 0) {
                p->in.len += (size_t)n;
                return true;
        }
        p->dead = p->dead || n != -EAGAIN;
        p->more = p->ssl && SSL_want_write(p->ssl);
        if (p->in.len == 0)
                buffer_free(&p->in);
        return false;
}

/* Handles the request that is there as a whole; false: it is not. */
static bool take_request(struct peer *p)
{
        struct ldapd_request q;
        size_t length = 0;
        const int r =
                p->in.len ? der_length((uint8_t *)p->in.data, p->in.len, TAG_MESSAGE, LDAP_REQUEST_MOST, &length) : 1;

        if (r < 0) {
                refuse(p, LDAP_PROTOCOL_ERROR, r == -EMSGSIZE ? "the request is too long" : "this is not LDAP");
                return true;
        }
        if (r > 0 || p->in.len < length)
                return false;
        p->served = true;
        p->known = p->known || caller(p);
        p->timed = false;
        TAILQ_REMOVE(&door.peers, p, link);
        TAILQ_INSERT_TAIL(&door.peers, p, link);
        if (ldapd_request_read(&q, (uint8_t *)p->in.data, length) < 0)
                refuse(p, LDAP_PROTOCOL_ERROR, "the request is malformed");
        else
                handle(p, &q);
        wipe(p->in.data, length);
        buffer_consume(&p->in, length);
        wipe(p->in.data + p->in.len, length); /* where what moved up has been */
        if (p->in.len == 0)
                buffer_free(&p->in);
        return true;
}

/* TLS begins behind the answer to StartTLS. What came before that was not inside it, and is not believed. */
static void begin_tls(struct peer *p)
{
        p->starttls = false;
        p->timed = false;
        p->ssl = p->in.len == 0 ? SSL_new(door.tls) : NULL;
        if (!p->ssl || SSL_set_fd(p->ssl, p->fd) != 1) {
                p->dead = true;
                return;
        }
        SSL_set_accept_state(p->ssl);
        p->signed_in = p->served = false;
}

static void set_wait(struct peer *p)
{
        const enum wait wait = p->asking                       ? WAIT_VERDICT
                               : p->out.len                    ? WAIT_PEER
                               : p->ssl && SSL_in_init(p->ssl) ? WAIT_HANDSHAKE
                               : p->in.len                     ? WAIT_REST
                               : p->served                     ? WAIT_NEXT
                                                               : WAIT_FIRST;

        if (p->timed && wait == p->wait)
                return;
        p->wait = wait;
        p->timed = true;
        if (wait_ms[wait])
                loop_timer_in(p->timer, wait_ms[wait]);
        else
                loop_timer_stop(p->timer);
}

static void turn(struct peer *p)
{
        int budget = TURN_STEPS;

        for (; budget; budget--) {
                flush(p);
                if (p->dead || p->asking || p->out.len)
                        break;
                if (p->last)
                        p->dead = true;
                else if (p->starttls)
                        begin_tls(p);
                else if (!take_request(p) && !fill(p))
                        break;
        }
        if (p->dead) {
                peer_free(p);
                return;
        }
        set_wait(p);
        if (!budget)
                loop_io_wake(p->io);
}

static void serve(void *arg, int fd, int events)
{
        struct peer *p = arg;
        char one;

        p->more = p->more || (events & (LOOP_READ | LOOP_HANGUP));
        if (p->asking && events) { /* a client that has gone waits for no verdict */
                const ssize_t n = recv(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);

                if ((events & LOOP_HANGUP) || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                        p->dead = true;
        }
        turn(p);
}

static void give_up(void *arg)
{
        peer_free(arg);
}

/* ---- connections ---- */

/* Whoever may not ask, or has not come to a request inside TLS: they cost nothing to make, StartTLS included. */
static bool is_stranger(const struct peer *p)
{
        return !p->known || (p->ssl && !p->served);
}

/* Whether there is room for one more. Strangers have a share of their own; over it, or where all is full, the stalest
 * of them that has no work goes. Those of applications make room for one who may ask alone. */
static bool make_room(struct doors *d, bool known, bool tls)
{
        const bool full = door.n_peers >= doors_config(d)->connections;
        struct peer *p, *stalest = NULL;
        size_t strangers = 0;

        if (!full && known && !tls)
                return true;
        TAILQ_FOREACH (p, &door.peers, link) {
                const bool stranger = is_stranger(p);

                strangers += stranger;
                if (!p->asking && !p->out.len && (stranger || known) &&
                    (!stalest || (stranger && !is_stranger(stalest))))
                        stalest = p;
        }
        if (!full && strangers < STRANGERS_MAX)
                return true;
        if (!stalest || (!full && !is_stranger(stalest)))
                return false;
        peer_free(stalest);
        return true;
}

static void accept_peer(void *arg, int accepted, const struct sockaddr *address)
{
        const struct origin *origin = arg;
        const struct gateway_config *c = doors_config(origin->doors);
        _cleanup_(closep) int fd = accepted;
        const bool ldaps = origin->listen->door == LISTEN_LDAPS;
        struct peer *p;
        char shown[64];

        listener_peer(shown, address);
        const bool known =
                origin->listen->kind != LISTEN_TLS || gateway_net_has(c->ldap_clients, c->n_ldap_clients, shown);
        if (!known && !c->client_ca) {
                log_debug("ldap_refused", KV_S("peer", shown), KV_S("why", "it is not in ldap_clients"));
                doors_events_refused(origin->doors, "ldap", shown, NULL, "its address is not in ldap_clients");
                return;
        }
        if (!make_room(origin->doors, known, ldaps) || !(p = calloc(1, sizeof(*p))))
                return;
        p->doors = origin->doors;
        p->listen = origin->listen;
        p->known = known;
        p->fd = steal_fd(&fd);
        p->in = BUFFER_WIPED(LDAP_REQUEST_MOST + READ_MAX + 1);
        p->out = BUFFER(LDAP_ANSWER_MOST);
        p->bound = BUFFER(LDAP_ENTRY_DN_MAX);
        memcpy(p->address, shown, sizeof(shown));
        TAILQ_INSERT_TAIL(&door.peers, p, link);
        door.n_peers++;
        if (loop_timer_new(&p->timer, doors_loop(p->doors), NULL, give_up, p) < 0 ||
            loop_io_new(&p->io, doors_loop(p->doors), NULL, p->fd, LOOP_READ | LOOP_WRITE | LOOP_HANGUP | LOOP_EDGE,
                        serve, p) < 0) {
                peer_free(p);
                return;
        }
        if (ldaps)
                begin_tls(p);
        if (p->dead)
                peer_free(p);
        else
                set_wait(p);
}

/* ---- the door ---- */

static int take(struct doors *d, const char *file, int fd, struct error *err)
{
        const struct gateway_config *c = doors_config(d);
        int i = gateway_listen_of(c, file, LISTEN_LDAP);

        i = i < 0 ? gateway_listen_of(c, file, LISTEN_LDAPS) : i;
        if (i < 0)
                return 0;
        struct origin *origin = &door.origins[door.n_listening];
        *origin = (struct origin){d, &c->listen[i]};
        const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own < 0 || listener_new(&door.listening[door.n_listening], d, own, accept_peer, origin) < 0)
                return error_fail(err, own < 0 ? -errno : -ENOMEM, "listen: no memory or descriptor");
        door.n_listening++;
        return 1;
}

static int start(struct doors *d, struct error *err)
{
        int r = door.n_listening ? doors_tls_use(d, NULL, &door.tls, err) : 0;

        for (size_t i = 0; r == 0 && i < door.n_listening; i++)
                if (listener_start(door.listening[i]) < 0)
                        r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

/* Who has nothing under way is told; who waits for a verdict gets it first. */
static void drain(struct doors *d)
{
        struct peer *p;

        (void)d;
        for (size_t i = 0; i < door.n_listening; i++)
                listener_stop(door.listening[i]);
        TAILQ_FOREACH (p, &door.peers, link) {
                if (p->asking || p->out.len)
                        p->last = true;
                else if (p->ssl && SSL_in_init(p->ssl))
                        p->dead = true;
                else
                        refuse(p, LDAP_UNAVAILABLE, "the gateway starts again or stops");
                loop_io_wake(p->io);
        }
}

static size_t under_way(const struct doors *d)
{
        (void)d;
        return door.n_peers;
}

static void stop(struct doors *d)
{
        (void)d;
        for (size_t i = 0; i < door.n_listening; i++)
                door.listening[i] = listener_free(door.listening[i]);
        door.n_listening = 0;
        while (!TAILQ_EMPTY(&door.peers))
                peer_free(TAILQ_FIRST(&door.peers));
        SSL_CTX_free(door.tls);
        door.tls = NULL;
}

const struct door ldapd_door = {
        .name = "ldap", .take = take, .start = start, .drain = drain, .under_way = under_way, .stop = stop};
