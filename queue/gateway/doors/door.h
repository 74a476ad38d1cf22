/*
 * The interface of a door: how software of one kind asks whether a password is right, and hears the answer.
 *
 * A door is a struct door in the list of doors/main.c. It gets its sockets, already listening, from the supervisor by
 * take (a key of the configuration says where; supervisor/listen.c makes them), speaks its protocol on them, and asks
 * by doors_ask, which is the same for all: it makes the id, keeps the limits of sources and names, joins identical
 * questions, hands the password to the sealer, and calls back once, from the loop. A door holds no key and knows
 * neither relay nor roster; it keeps no password beyond the call of doors_ask.
 *
 * What a door makes of an answer:
 *      accepted     the account is user_domain and user_id, never the name as typed
 *      refused      class credentials: name or password is wrong; class policy: the account may not sign in
 *      unavailable  nobody could tell. No door says "wrong password" then: it uses its protocol's own word for a
 *                   fault, or closes without an answer where there is none
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/core/pairs.h"
#include "base/core/text.h"
#include "base/ipc/loop.h"
#include "queue/gateway/config.h"

struct doors;
struct asking;

struct door {
        const char *name; /* literal; in the log */
        /* Before the start: a socket that listens, or a file, by its name in FRAME_FILE. fd stays the caller's: what is
         * kept is duplicated. 1; 0: it is not this door's; -errno with err. */
        int (*take)(struct doors *doors, const char *file, int fd, struct error *err);
        /* Everything that comes by FRAME_FILE is there; nothing is asked before. May be NULL. */
        int (*start)(struct doors *doors, struct error *err);
        /* No new connections and no new work; what is under way goes on. */
        void (*drain)(struct doors *doors);
        /* How many answers have not left it yet. */
        size_t (*under_way)(const struct doors *doors);
        void (*stop)(struct doors *doors);
};

struct door_question {
        const char *app; /* who asks: an [application]'s name, or what the door calls itself; cut */
        const char *user;
        size_t user_len; /* any bytes of UTF-8, as typed */
        const char *password;
        size_t password_len;
        bool change; /* set new_password */
        const char *new_password;
        size_t new_password_len;
        const char *client_ip;    /* the user's, numeric; NULL: not known, and no limit of its source is kept */
        bool many_users;          /* client_ip is a server's that has many users: told, and no limit is kept either */
        const char *client_agent; /* the user's software, as it says; or NULL; cut */
        const char *traceparent;  /* of the application's trace (W3C Trace Context); or NULL; dropped if malformed */
        bool recall;              /* the same question's answer of moments ago will do (`remember_s`) */
};

struct door_answer {
        const char *id;      /* to be shown with every failure: what a helpdesk searches by */
        const char *verdict; /* "accepted" "refused" "unavailable" */
        const char *class;   /* "none" "credentials" "policy" "infrastructure" */
        const char *reason;  /* postern-verdicts(7), or the word of a problem of PROTOCOL.md */
        const char *text;    /* one sentence for the user; "" with accepted */
        bool password_proved;
        const char *may_have_counted; /* "0" "1" "unknown" */
        uint32_t retry_after;         /* s; 0: not said */
        /* with accepted; "" where absent */
        const char *user_id, *user_domain, *upn, *sam, *guid;
        const char *name;             /* for people: upn, else sam@user_domain, else user_id */
        const char *attributes_state; /* "complete" "truncated" "unavailable", or NULL */
        const struct pairs *attributes;
        bool remembered;
};

/* Called once, from the loop, unless the door forgot the question. The answer and its texts are gone behind it. */
typedef void door_answer_fn(void *arg, const struct door_answer *answer);

/*
 * Asks. 0 and *ret_asking, which is good until the answer or doors_forget; -EBUSY: too much is under way, or the
 * gateway is about to stop; -ENOMEM. What needs no connector (a name or password that can't be one, a limit that is
 * used up) is answered the same way. What q points to is not needed afterwards: the caller wipes it.
 */
int doors_ask(struct doors *doors, const struct door_question *q, door_answer_fn *fn, void *arg,
              struct asking **ret_asking);
/* Who asked waits no more; its limits are settled by the answer that comes all the same. Returns NULL. NULL-safe. */
struct asking *doors_forget(struct asking *asking);

/* For a SIEM: who asked for an application, as it seems, and may not; peer: its address. app: which, or NULL. */
void doors_events_refused(struct doors *doors, const char *door, const char *peer, const char *app, const char *why);

struct loop *doors_loop(struct doors *doors);
const struct gateway_config *doors_config(const struct doors *doors);
/* Whether sign-ins can be decided at present; *ret_why: why not, borrowed. */
bool doors_ready(const struct doors *doors, const char **ret_why);
/* What is allowed, but should be otherwise; "": nothing. Borrowed. */
const char *doors_warning(const struct doors *doors);
/*
 * The user's address: the peer's own ("unix" for a UNIX socket's), or, where that one is this host's or in
 * `trusted_proxies`, the last address of `forwarded` (X-Forwarded-For; NULL: none) that is neither. False where there
 * is none: out is "" then. *ret_is_proxy: the address is this host's or in `trusted_proxies`, so a server's that has
 * many users.
 */
bool doors_client_ip(const struct doors *doors, const char *peer, const char *forwarded, char out[64],
                     bool *ret_is_proxy);
