/*
 * What validate.c (domains, DCs, readiness) and validate-op.c (the life of one operation) share.
 */
#pragma once

#include <sys/queue.h>

#include "connector/base/text.h"
#include "validate/config-copy.h"
#include "validate/dc.h"
#include "validate/name.h"

enum op_state {
        OP_NEW = 0,   /* waits for the loop; out.reason may already hold the answer */
        OP_RESOLVING, /* the DC's address */
        OP_ASKING,    /* an attempt runs */
        OP_DONE,
};

struct validate_op {
        TAILQ_ENTRY(validate_op) link;
        struct validate *v;
        char id[ID_MAX + 1];
        enum op_state state;
        bool answered; /* out is the answer, to be given at the next turn */
        struct name name;
        const struct domain_config *domain;
        struct dcs *dcs;
        struct secret *password;
        uint64_t started, deadline;
        uint32_t tried;
        struct dc *dc;
        struct loop_timer *timer;
        struct dns_query *query;
        struct ldap_attempt *ldap;
        struct krb_attempt *krb;
        struct outcome out; /* what is known so far: the last attempt's */
        validate_done_fn *fn;
        void *arg;
};

struct validate {
        struct loop *loop;
        struct config_copy *copy;
        const struct validate_config *config;
        struct dc_tools tools;
        struct dcs **dcs; /* one per domain */
        validate_ready_fn *on_ready;
        void *arg;
        struct loop_timer *ready_timer; /* tells on_ready from a turn of its own */
        TAILQ_HEAD(, validate_op) ops;
        size_t n_ops;
};
