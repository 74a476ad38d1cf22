/*
 * The lockout guard: how often a name may fail through this connector before no DC is asked any more. That is its share
 * of the limit: sign-ins of one name are spread over all connectors of its domain.
 * Internal to validate/.
 *
 * It keeps a bounded table in memory and nothing else: no password, only keyed hashes under a key that dies
 * with the process. Times are milliseconds of loop_now().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/secret.h"
#include "validate/types/name.h"

#define GUARD_KEY_LEN 16

struct guard;

struct guard_who {
        const uint8_t *bytes;
        size_t n;
};

/* What a sign-in is counted under. */
struct guard_place {
        uint8_t key[GUARD_KEY_LEN];      /* of the account, as far as is known */
        uint8_t password[GUARD_KEY_LEN]; /* as tried for it */
        uint16_t failed;                 /* how many sign-ins of it had failed before */
};

/* One sign-in's places with the guard; starts zeroed. */
struct guard_ticket {
        unsigned limit; /* failures that its account may have here, as it was when it entered */
        uint8_t name[GUARD_KEY_LEN];
        uint8_t hint[GUARD_KEY_LEN];          /* of what the DC said of the account: as name */
        struct guard_place place, hint_place; /* by the name, and by what the DC said */
        bool entered;                         /* it holds a place that guard_leave gives back */
        bool hinted;                          /* the DC said something */
        bool hint_entered;                    /* a second place is held, under that */
        bool again;                           /* it holds its places a second time, by guard_again */
        bool sent;                            /* for the caller to set: the password went to a DC */
        bool twice;                           /* for the caller to set: it went there a second time, or may have */
        bool would_be;                        /* GUARD_OBSERVE: what it was let through */
};

enum guard_answer {
        GUARD_GO = 0,
        GUARD_WAIT,      /* as many as may fail are being checked now: ask again when one of them left */
        GUARD_REPEATED,  /* the same wrong password as a moment ago */
        GUARD_THROTTLED, /* too many failures; *ret_retry_s says in how many seconds again */
};

/* 0 or -ENOMEM (also where the secret arena is full). */
int guard_new(struct guard **ret_guard, const struct guard_config *config);
struct guard *guard_free(struct guard *guard);

/*
 * So many connectors, this one among them, speak for a domain: an account of it may fail here as often as the limit
 * divided by them says, never less than once, since its sign-ins are spread over all. 0 or 1: as often as the limit
 * says. From the next guard_enter on. -ENOMEM: it stays as it was.
 */
int guard_share(struct guard *guard, size_t domain, size_t connectors);
/* Whether that is only this connector's share, so that another one may still let an account go on. */
bool guard_is_share(const struct guard *guard, size_t domain);
/* How often an account of the domain may fail here. */
unsigned guard_limit(const struct guard *guard, size_t domain);
/*
 * Asks for leave. Names are the same account's when they differ in case, in accents, or in being the implicit
 * UPN, an alternate suffix or NETBIOS\name of one domain; and when a sign-in showed that they are. Only
 * GUARD_GO enters.
 */
enum guard_answer guard_enter(struct guard *guard, struct guard_ticket *ticket, const struct name *name,
                              const struct secret *password, uint64_t now, uint32_t *ret_retry_s);
/*
 * Before the password goes to the DC that names the account (who: bytes that are one account's, whatever name was
 * typed, like the salt of its key): asks for leave under that, too, for it may have failed under other names. Whoever
 * writes a KDC's answers can write these, so the name keeps its own count. As guard_enter; the first word of each
 * ticket counts.
 */
enum guard_answer guard_hint(struct guard *guard, struct guard_ticket *ticket, size_t domain,
                             const struct guard_who *who, const struct secret *password, uint64_t now,
                             uint32_t *ret_retry_s);
/* A look-up showed that the name is this account's: what comes of the ticket is counted there. */
void guard_tie(struct guard *guard, const struct guard_ticket *ticket, const char *sid, uint64_t now);
/* Whether a sign-in or a look-up showed whose the name is; true, too, where nothing is counted. */
bool guard_is_tied(const struct guard *guard, const struct guard_ticket *ticket);
/* Gives the place back and takes in what came of it; without effect unless entered. outcome NULL: nobody
 * waited for it, which counts as a failure where the password was sent. */
void guard_leave(struct guard *guard, struct guard_ticket *ticket, const struct outcome *outcome, uint64_t now);
/*
 * Asks whether the password may go to the DC a second time, and takes a place for that beside the first, so that those
 * that run side by side stay below the limit together; one failure more must be left then. Without the guard it may.
 */
bool guard_again(struct guard *guard, struct guard_ticket *ticket);
/* Whether one that waits is of the account of one that ended. */
bool guard_same(const struct guard_ticket *waiting, const struct guard_ticket *ended);

/* What is counted of an account, by a name of it. */
struct guard_look {
        unsigned failures, limit; /* within the window; how many there may be here */
        bool stopped;             /* its sign-ins are answered without a DC (GUARD_OBSERVE: would be) */
        uint32_t left_s;          /* until the failures are forgotten; 0: there are none */
};
void guard_look(const struct guard *guard, const struct name *name, uint64_t now, struct guard_look *ret_look);
/* Forgets the failures and the wrong passwords of the account, under this name and all that it is known to mean. What
 * is being checked now counts when it fails. */
void guard_release(struct guard *guard, const struct name *name);

struct guard_counts {
        uint64_t throttled, repeated; /* since the start; in GUARD_OBSERVE: what would have been */
        size_t names;                 /* in the table now */
};
void guard_count(const struct guard *guard, struct guard_counts *ret_counts);
