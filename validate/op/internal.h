/*
 * What validate.c (domains, DCs, readiness) and operation.c (the life of one operation) share.
 */
#pragma once

#include <sys/queue.h>

#include "base/core/text.h"
#include "validate/op/validate.h"
#include "validate/dc/discover.h"
#include "validate/dc/dc.h"
#include "validate/types/domain-sid.h"
#include "validate/types/guard.h"
#include "validate/types/name.h"
#include "validate/op/sid-learn.h"

enum op_state {
        OP_NEW = 0,    /* waits for the loop; out.reason may already hold the answer */
        OP_LOOKING_UP, /* whose alternate id the name is */
        OP_WAITING,    /* as many sign-ins of this account as may fail are being checked */
        OP_PREPARING,  /* one or two DCs are being reached; none has the password */
        OP_DETAILING,  /* accepted by Kerberos; the service account reads the account's attributes */
        OP_CONFIRMING, /* the same DC is asked over LDAPS whether what a KDC claimed is so */
        OP_COMMITTED,  /* one DC gets, or got, the password; nobody else is asked any more */
        OP_DONE,
};

/* One DC on its way to be asked: its address, then an attempt. */
struct op_try {
        struct validate_op *op;
        struct dc *dc; /* NULL: the slot is free */
        struct dns_query *query;
        struct method_run *run; /* the attempt */
        bool hurried;           /* its DC was found silent, and it was told */
};

#define OP_TRIES 2

typedef void op_found_fn(struct validate_op *op, const struct method_found *found);

/* A search for the account whose alternate id was typed; once done, whose SID must come out. */
struct op_lookup {
        uint32_t tried;
        struct dc *dc;
        struct dns_query *query;
        struct method_run *search;
        op_found_fn *found;     /* what it is for */
        char sid[SID_TEXT_MAX]; /* "" where nothing was searched */
        enum account_kind kind;
        char sam[257];
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
        struct secret *new_password; /* to be set; NULL once it was, and then password is it */
        bool changed;                /* the DC that changed it is asked for a sign-in with the new one */
        struct op_lookup lookup;
        bool confirmed;             /* it was tried, once */
        bool unasked;               /* and before it no DC had been sent the password */
        struct method_run *confirm; /* under way */
        bool change_proved;         /* that the old password was right, by an answer inside the armour */
        bool detailed;              /* the account's attributes were asked for */
        struct guard_ticket ticket;
        bool stopped; /* by the guard, once the DC had told whose account it is: stop says how */
        enum guard_answer stop;
        bool tied; /* it was tried to find out whose the name is */
        uint64_t started, deadline;
        uint32_t tried;
        struct op_try tries[OP_TRIES];
        struct op_try *committed; /* the one that has leave to send the password */
        struct loop_timer *timer; /* the deadline */
        struct loop_timer *pace;  /* until a second DC is prepared, or the one asked is suspected */
        struct outcome out;       /* what is known so far: the last attempt's */
        validate_done_fn *fn;
        void *arg;
};

struct validate {
        struct loop *loop;
        const struct validate_config *config;
        struct dc_tools tools;
        struct dcs **dcs;           /* one per domain */
        struct discover **discover; /* one per domain, NULL where its list is all */
        uint64_t *lookup_from;      /* one per domain: loop_now() before which its service account rests */
        struct domain_sids *sids;
        struct sid_learner **learners; /* one per domain, NULL where its probes tell the SID, or nobody can */
        struct guard *guard;
        validate_ready_fn *on_ready;
        void *arg;
        struct loop_timer *ready_timer; /* tells on_ready from a turn of its own */
        TAILQ_HEAD(, validate_op) ops;
        size_t n_ops;
};

/* Whether somebody said how the domain's DCs are known over LDAPS, so that more than the sign-in may be asked there. */
bool domain_has_ldaps(const struct domain_config *domain);

/* The one end that answers, or one more step before it. */
void op_finish(struct validate_op *op);

/* op/lookup.c: turns the alternate id into the account's name. op_looked_up is called once, from the loop,
 * with REASON_OK or why the operation ends; context, dc and counted of op->out are then set. */
void op_lookup_start(struct validate_op *op);
void op_lookup_cancel(struct validate_op *op);
void op_looked_up(struct validate_op *op, enum reason reason);
/* What finds the name's account: an alternate id by its attribute; else by its UPN, by sAMAccountName, or by either
 * where it may be both: two accounts are then none. It points into value. */
#define OP_VALUE_MAX (2 * USERNAME_MAX + 2)
struct method_look_up op_what_to_search(const struct validate_op *op, char value[OP_VALUE_MAX]);
/* What a DC is asked beside the sign-in's own attempt, for at most so many ms. False: its address is not known. */
bool op_side_attempt(struct attempt *ret_attempt, const struct validate_op *op, const struct dc *dc, uint64_t ms);
/* The service account asks a DC; fn is called once, from the loop. NULL, or why it cannot be asked. */
const char *op_search_start(struct validate_op *op, const struct dc *dc, uint64_t ms,
                            const struct method_look_up *look_up, op_found_fn *fn);

/* op/admit.c: answers what must not reach a DC, else routes. */
void op_admit(struct validate_op *op, const struct validate_request *request);

/* op/judge.c: whether the account that a DC accepted may be; else why not is written over it. */
void op_judge(struct validate_op *op, struct outcome *out);
/* Whether it is a person's, judged by its kind as far as that is known; why: why it is not. */
void op_judge_kind(struct outcome *out, const char *why);
/* The alternate id's account is the only one that may come out. */
void op_check_found(const struct validate_op *op, struct outcome *out);

/* Steps of op_finish, each once, which comes back to it, from the loop or from inside.
 * op/confirm.c: what a KDC claimed without proof, asked once more over LDAPS. op_may_confirm: whether that is wanted,
 * and the guard has given a place for it, which makes op_confirm_start due.
 * op/tie.c: whose name it was that failed by LDAP, so that the guard counts accounts and not spellings.
 * op/details.c: attributes for an accepted verdict. */
bool op_may_confirm(struct validate_op *op);
void op_confirm_start(struct validate_op *op);
void op_confirm_cancel(struct validate_op *op);
bool op_wants_tie(const struct validate_op *op);
void op_tie_start(struct validate_op *op);
bool op_wants_details(const struct validate_op *op);
void op_details_start(struct validate_op *op);

/* op/realm.c; krb_kdc_fn, arg is the validator. */
int validate_kdc_of(void *arg, const char *realm, unsigned nth, struct sockaddr_storage *ret_address,
                    socklen_t *ret_len);

/* Which account signs in, as far as the name tells: the same number for all spellings of one name in its domain. */
uint64_t op_account(const struct validate_op *op);

/* A DC was found silent (dcs_silent_fn; arg is the validator): where there is another, what waits for it goes on there,
 * or ends where it has the password. */
void ops_dc_silent(void *arg, struct dc *dc);
