/*
 * Connections to one DC, shared by sign-ins one after the other. Internal to the LDAP method.
 */
#pragma once

#include "validate/ldap/conn.h"
#include "validate/types/method.h"

#define LDAP_CONNECTING_MAX 8 /* AD's and Samba's listen backlog is short */

struct ldap_pools; /* of all DCs; the method itself */
struct ldap_pool;  /* of one: key is domain and host */

/* The method LDAP. 0 or -ENOMEM. */
int ldap_pools_new(struct method_instance **ret, struct loop *loop);
/* As those of method_ops. */
int ldap_domain_add(struct method_instance *method, const struct domain_config *domain, struct error *err);
struct method_instance *ldap_pools_free(struct method_instance *method);
/* ldap/attempt.c */
extern const struct method_ops ldap_ops;

/* Who waits for a connection. Exactly one of the functions is called, once, unless it stops waiting. */
struct ldap_waiter {
        TAILQ_ENTRY(ldap_waiter) entry;
        bool first; /* goes before all others; where every connection serves somebody, one more is opened for it */
        bool waiting;
        /* conn is the waiter's until it gives it back; used: it was open before. May be called inside
         * ldap_pool_wait. */
        void (*on_conn)(void *arg, struct ldap_conn *conn, bool used);
        void (*on_none)(void *arg, enum reason reason, const char *why);
        void *arg;
};

/* The pool for a DC, made when first asked for; address and limits are those of the attempt. NULL when the
 * domain was never added or no memory. */
struct ldap_pool *ldap_pool_find(struct ldap_pools *pools, const struct attempt *attempt);
void ldap_pool_wait(struct ldap_pool *pool, struct ldap_waiter *waiter);
void ldap_pool_stop_waiting(struct ldap_pool *pool, struct ldap_waiter *waiter);
/* Gives a connection back; it is closed unless reusable and at rest. */
void ldap_pool_release(struct ldap_pool *pool, struct ldap_conn *conn, bool reusable);
/* What a waiter is still waiting for, as the reason to give when its time is over: DC_TLS_TIMEOUT while a
 * handshake is under way, OVERLOADED while all connections serve others, else DC_UNREACHABLE. */
enum reason ldap_pool_obstacle(const struct ldap_pool *pool);
/* After one proved dead: closes the idle ones, which are likely to be, too. */
void ldap_pool_drop_idle(struct ldap_pool *pool);

struct loop *ldap_pools_loop(const struct ldap_pools *pools);
