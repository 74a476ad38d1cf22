/*
 * One verified TLS connection to a DC's LDAPS port, one request under way at a time. Internal to the LDAP
 * method.
 */
#pragma once

#include <sys/queue.h>
#include <sys/socket.h>

#include "base/core/buffer.h"
#include "base/ipc/loop.h"
#include "validate/ldap/ber.h"
#include "validate/ldap/tls.h"

struct ldap_conn;

/* Who has the connection in hand. id is shown in log lines while one of its functions runs. */
struct ldap_conn_user {
        const char *id;
        /* A message that answers the request under way; it ends with a response that is no search entry. */
        void (*on_message)(void *arg, const struct ldap_message *message);
        /* The connection is gone; it must not be touched any more. left: the last request was handed to the
         * socket. */
        void (*on_lost)(void *arg, enum reason reason, const char *why, bool left);
        void *arg;
};

/* What its pool hears. */
struct ldap_conn_events {
        void (*on_open)(void *arg, struct ldap_conn *conn); /* connected and verified */
        /* Failed to open, or lost. Called before the user's on_lost; the pool unlinks it, the connection
         * frees itself. */
        void (*on_down)(void *arg, struct ldap_conn *conn, enum reason reason, const char *why);
        void *arg;
};

struct ldap_conn_target {
        const char *host;
        struct sockaddr_storage address; /* with port */
        socklen_t address_len;
        bool starttls;       /* on the clear port: TLS is asked for before anything else */
        uint32_t timeout_ms; /* connect and handshake together */
        uint32_t idle_ms;
};

/* Starts to connect; nothing is called back inside. 0 or -ENOMEM. */
int ldap_conn_new(struct ldap_conn **ret_conn, struct loop *loop, const struct ldap_tls *tls,
                  const struct ldap_conn_target *target, const struct ldap_conn_events *events);
/* Closes at once, calling nobody. */
struct ldap_conn *ldap_conn_free(struct ldap_conn *conn);

/* The owner's list entry. */
struct ldap_conn_link {
        TAILQ_ENTRY(ldap_conn_link) entry;
        struct ldap_conn *conn;
};
struct ldap_conn_link *ldap_conn_link(struct ldap_conn *conn);

/* Hands an idle connection to a user, and takes it back. It must be at rest (no request under way). */
void ldap_conn_attach(struct ldap_conn *conn, const struct ldap_conn_user *user);
void ldap_conn_detach(struct ldap_conn *conn);
/* No request is under way. */
bool ldap_conn_at_rest(const struct ldap_conn *conn);
/* TCP stands, TLS does not yet. */
bool ldap_conn_in_handshake(const struct ldap_conn *conn);
/* The peer has neither closed nor said anything since: what the kernel knows, without waiting. */
bool ldap_conn_quiet(const struct ldap_conn *conn);
/* Since when nothing went over it (loop_now). */
uint64_t ldap_conn_idle_since(const struct ldap_conn *conn);
/* The id for the next request. */
int32_t ldap_conn_next_id(struct ldap_conn *conn);
/* Sends a request built with that id; the bytes move to the connection (request is emptied) and are wiped
 * when they left. */
int ldap_conn_send(struct ldap_conn *conn, struct buffer *request);
/* Whether the last request was handed to the socket. */
bool ldap_conn_left(const struct ldap_conn *conn);
