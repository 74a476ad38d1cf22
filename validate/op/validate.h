/*
 * Validation of one (name, password) against domain controllers, within a budget, on the caller's loop.
 *
 * Nothing here blocks: no connect, handshake, look-up or library call waits. A wrong password costs
 * badPwdCount at most one: after the password left for a DC, no other DC and no other method is asked, but for the one
 * confirmation of a claim that nobody vouches for, at the same DC (op/confirm.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/ipc/loop.h"
#include "base/core/secret.h"
#include "validate/types/domain.h"
#include "validate/types/outcome.h"

struct method_instance;
struct validate;

/* Whether the methods of this program are a script instead of DCs (postern-sandbox): its connector then serves rosters
 * of a sandbox, and no others; every other program's serves no sandbox. Defined beside validate_new, so that no program
 * can have the one without the other. */
extern const bool validate_scripted;
struct validate_op;

/* Called whenever the readiness of a domain changes. */
typedef void validate_ready_fn(void *arg);
/* Called once per started operation, from the loop, never from inside validate_start. outcome is the callee's
 * to copy. */
typedef void validate_done_fn(void *arg, const struct outcome *outcome);

/* Borrows config, with all that it points to, until validate_free. Fails with every reason a domain can't be served
 * (e.g. krb5 without keytab) in err. */
int validate_new(struct validate **ret_v, struct loop *loop, const struct validate_config *config,
                 validate_ready_fn *on_ready, void *arg, struct error *err);
/* The same with these METHODS methods (types/method.h), by enum method, which validate_free frees, and so does this
 * where it fails. One that no domain uses may be NULL. */
int validate_new_by(struct validate **ret_v, struct loop *loop, struct method_instance *const *methods,
                    const struct validate_config *config, validate_ready_fn *on_ready, void *arg, struct error *err);
/* Cancels what runs, without callbacks. Not from inside a callback of its own. */
struct validate *validate_free(struct validate *v);

struct validate_request {
        const char *id;   /* for the log */
        const char *name; /* as typed, name_len bytes, perhaps not UTF-8 */
        size_t name_len;
        struct secret *password;     /* owned by the operation from here on, also on failure. NULL means empty or
                                        of bad form: */
        enum reason password_reason; /* then why (REASON_EMPTY_PASSWORD, REASON_BAD_PASSWORD_FORM) */
        /* Change the password to this one and sign in with it; NULL with REASON_OK: a sign-in. Owned as
         * password is. With another reason the new password was of bad form. */
        struct secret *new_password;
        enum reason new_password_reason; /* REASON_OK (set it) or REASON_BAD_NEW_PASSWORD; 0 is REASON_OK, too */
        uint64_t deadline;               /* loop_now() */
};

/* 0, or -ENOMEM. Input that must not reach a DC is answered through fn, too. */
int validate_start(struct validate_op **ret_op, struct validate *v, const struct validate_request *request,
                   validate_done_fn *fn, void *arg);
/* Stops caring: the password is wiped, fn is not called any more. NULL-safe. Valid until fn was called. */
void validate_cancel(struct validate_op *op);

/* The domain named so goes on with the keys of this keytab (krb5 name), also for sign-ins under way. -ENOENT: no
 * such domain, or none that uses Kerberos; else with err, and the keys in use stay. */
int validate_set_keytab(struct validate *v, const char *domain, const char *keytab, struct error *err);

/* Whether a DC of domain i answered lately; why (may be NULL) gets a short cause when not. */
bool validate_ready(const struct validate *v, size_t i, const char **ret_why);
/* Why DNS named no DC of domain i, in a sentence; "" where it named some, or was not asked. Lives as long as v. */
const char *validate_undiscovered(const struct validate *v, size_t i);
/* How many DCs of domain i are known and not used: more than DCS_MAX, those of the highest priority and the site first.
 */
size_t validate_left_out(const struct validate *v, size_t i);
/* The index of the domain that name routes to; -ENOENT: none of ours; -EINVAL: it has no form that could name
 * one. */
int validate_route(const struct validate *v, const char *name, size_t n);
/* Of a name that validate_route finds none of ours: the domain that may have been meant; NULL: nothing is like it. */
const char *validate_domain_meant(const struct validate *v, const char *name, size_t n);
void validate_each_sid(const struct validate *v, validate_sid_fn *fn, void *arg);
/* The roster's SID of the domain named so, or the one that an earlier run learnt (SID_LEARNT; "": it is to be learnt
 * again). Without effect for a domain that is not configured. */
void validate_set_sid(struct validate *v, const char *domain, enum sid_source source, const char *sid);
/* So many connectors speak for domain i: the lockout guard allows this one its share (guard_share), *ret_failures of an
 * account. 1: that is another number than before; 0; -ENOMEM: it is the former. */
int validate_set_connectors(struct validate *v, size_t i, size_t connectors, unsigned *ret_failures);
/* "learnt", "config", "roster" or "". */
const char *sid_source_text(enum sid_source source);

typedef void validate_dc_fn(void *arg, const struct validate_dc *dc);
void validate_each_dc(const struct validate *v, validate_dc_fn *fn, void *arg);
/* What the lockout guard did since the start; in GUARD_OBSERVE what it would have done. */
struct validate_guard {
        const char *mode; /* "off", "observe", "on" */
        uint64_t throttled, repeated;
        size_t names;      /* that it keeps count of */
        unsigned failures; /* that an account may have here: the least of the domains' */
};
void validate_guard_state(const struct validate *v, struct validate_guard *ret_guard);

/* What the lockout guard has of the account of a name, as typed. */
struct validate_guarded {
        const char *mode, *domain; /* "off", "observe", "on"; that the name is of */
        unsigned failures, limit;  /* here, within the window; how many there may be here */
        bool share;                /* which is this connector's part of the limit */
        bool stopped;              /* sign-ins are answered without a DC (observe: would be) */
        uint32_t left_s;           /* until the failures are forgotten */
};
/* release: what is counted is forgotten, and *ret is how it was before. -ENOENT: of no domain; -EINVAL: no name. */
int validate_guard_of(struct validate *v, const char *name, size_t n, bool release, struct validate_guarded *ret);
