/*
 * The connector's end of the link to one relay node (PROTOCOL.md "Connector and relay"): a stream of requests
 * down, batched reports up, credit, reconnects, and the identity's announcement.
 *
 * Plain bytes pass through: the link knows sign-ins by id, sees no name, no password and no outcome, and
 * holds no key but the transport's. It keeps a verdict until the relay has confirmed it or its time is over.
 * One struct link per relay node, on the caller's loop; all callbacks come from the loop, and may call
 * anything here but link_free, which on_drained alone may. curl_global_init is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/enrol/est.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "base/ipc/loop.h"
#include "queue/wire/wire.h"

#define LINK_CAPACITY_MAX 4096 /* requests in hand at once, and verdicts kept */

struct link;

/* why of on_state, for `postern status` and the log. */
enum link_down {
        LINK_UP = 0,
        LINK_DOWN_TRANSPORT, /* could not connect, TLS, the connection broke */
        LINK_DOWN_REFUSED,   /* the relay answered the stream with an error */
        LINK_DOWN_SILENT,    /* no hello in time, or no heartbeat */
        LINK_DOWN_PROTOCOL,  /* the relay broke a rule: sequence over credit, malformed event, too long */
        LINK_DOWN_SESSION,   /* the relay does not know the session any more (409) */
        LINK_DOWN_DRAIN,     /* the relay asked to reconnect */
        LINK_DOWN_STOPPED,   /* link_drain is through */
};

struct link_request {
        const char *id;
        uint32_t budget_ms;
        uint64_t received_ms; /* loop_now() of its arrival */
        const char *sealed;   /* in the form of sealed.h, for one recipient, NUL-terminated behind n */
        size_t n;
        const char *traceparent; /* "" where absent */
        bool last;               /* the relay has nobody else for it */
};

struct link_callbacks {
        /* A request to start on; what it points to is borrowed for the call. */
        void (*on_request)(void *arg, const struct link_request *request);
        void (*on_cancel)(void *arg, const char *id);            /* nobody waits any more; an answer is still taken */
        void (*on_confirmed)(void *arg, const char *id);         /* the relay gave the verdict to the caller */
        void (*on_late)(void *arg, const char *id);              /* the relay has it, but nobody waited */
        void (*on_roster)(void *arg, const char *jws, size_t n); /* not verified */
        void (*on_state)(void *arg, enum link_down why,
                         const char *detail); /* each change between up and down, and each new why */
        void (*on_identity)(void *arg, bool in_roster,
                            const char *detail); /* each change of what the relay says of the identity */
        void (*on_drained)(void *arg);           /* once after link_drain */
        /* Whether what the link has in its hands is all that the connector has; NULL: it is. Only then may the relay
         * take for lost what else it handed over. */
        bool (*has_all)(void *arg);
        /* A request that gets no answer from the caller, and why: a word of the protocol's for what the link declined
         * in its place, or "lost", with link_lost. NULL: nobody wants to know. */
        void (*on_unanswered)(void *arg, const char *id, const char *why);
        /* A report was not answered: perhaps its node is gone, and the session will only end later. NULL: nobody wants
         * to know. */
        void (*on_unheard)(void *arg);
        /* A person's question, as on_request; to be answered by link_answer or link_answer_declined. NULL: this
         * connector answers none. */
        void (*on_question)(void *arg, const char *id, uint32_t budget_ms, uint64_t received_ms, const char *sealed,
                            size_t n);
};

struct link_config {
        struct loop *loop;
        const char *relay; /* https://host[:port] */
        const char *boot;  /* BOOT_LEN characters */
        const char *cert_pem, *key_pem;
        struct key *key;        /* instead of key_pem, where it is in hardware */
        const char *ca_pem;     /* or NULL: the system's */
        const char *proxy;      /* or NULL: the environment's */
        struct link_host *host; /* instead of ca_pem, what several links share, borrowed; NULL: it reads its own */
        const struct link_callbacks *callbacks;
        void *arg;
};

/* Everything is copied but callbacks. -EINVAL for a URL that is not https. Nothing is sent before link_start.
 */
int link_new(struct link **ret_l, const struct link_config *config, struct error *err);
struct link *link_free(struct link *l);
DEFINE_FREEP(struct link, link_free)

/* The connector's state, as it goes into reports. */
struct link_state {
        uint32_t capacity; /* requests that this link may have in hand, or be given, at once */
        double load;       /* 0..1 */
        size_t n_realms, n_reasons;
        const struct link_realm {
                const char *realm;
                bool ready;
        } * realms;
        const char *const *reasons;
        const char *statement; /* compact JWS, or NULL: none yet */
        const char *identity;  /* public JWK as JSON text, and its proof; or NULL */
        const char *proof;
};
/* Copied; a change of readiness, reasons or statement is reported at once. The first call with an identity
 * starts its announcement; each call brings a proof that is still good. -ENOMEM, -EMSGSIZE (over the limits
 * of wire.h); the old state then stays. */
int link_set_state(struct link *l, const struct link_state *state);

/* Connects now. */
void link_start(struct link *l);
/* The validator's answer to a request, now or after a reconnect or a restart: kept until the relay has it or
 * its time is over. deadline_ms is the request's end on loop_now()'s clock, used where the link does not know
 * the id (0: 15 s from now). A second one for an id that is kept is dropped. */
void link_verdict(struct link *l, const char *id, const char *jwe, uint64_t deadline_ms);
/* The validator does not start on it. */
void link_declined(struct link *l, const char *id, const char *why);
/* The answer to a question, sealed, of ANSWER_JWE_MAX characters at most: sent once. False: this link does not have the
 * question, or no more. */
bool link_answer(struct link *l, const char *id, const char *jwe);
/* There is none; why is a decline's word. */
bool link_answer_declined(struct link *l, const char *id, const char *why);
/* The validator is gone and what it had with it: those requests are reported lost, and their credit is given back. */
void link_lost(struct link *l);
/* A validator has the request from another link, which is gone: as if it had come by this one. deadline_ms as in
 * link_verdict. */
void link_hold(struct link *l, const char *id, uint64_t deadline_ms);
/*
 * Takes no new work: reports not ready with the reason "draining", declines what the relay sent meanwhile,
 * goes on reporting. When nothing is in hand any more, or after ms: closes, on_state(LINK_DOWN_STOPPED),
 * on_drained.
 */
void link_drain(struct link *l, uint64_t ms);

/* chain: PEM, the certificate for the key first; or NULL, and why says what went wrong. again_s: the relay has no time
 * now, and wants the same request once more in so many seconds; else 0. Once. */
typedef void link_renewed_fn(void *arg, const struct buffer *chain, uint32_t again_s, const char *why);
/*
 * Asks the relay for a certificate of the fresh key (RFC 7030 simplereenroll), with the one in use as its proof.
 * fn is called later, never inside, and not once the link is freed. -EBUSY: one is asked for already.
 */
int link_reenroll(struct link *l, const struct est_asker *asker, link_renewed_fn *fn, void *arg, struct error *err);
/* Takes over the state that from shows, for a further link of one connector. */
int link_inherit(struct link *l, const struct link *from);
/*
 * Takes over what from has in its hands, for whose node another may be the one that waits: what no relay gave it in
 * this process's life (link_hold, verdicts to requests that no link knew); all: also what its own relay gave it, which
 * may be gone. What l knows already stays as it is. 0; -ENOMEM, -ENOBUFS: not all.
 */
int link_share(struct link *l, const struct link *from, bool all);
/* What of the connector's capacity is this link's; until the next link_set_state. */
void link_set_capacity(struct link *l, uint32_t capacity);
/* Another link has delivered the verdict: nothing more is said of it here. */
void link_forget(struct link *l, const char *id);
/* From now on its callbacks are these; for a link that another has taken the place of. */
void link_set_callbacks(struct link *l, const struct link_callbacks *callbacks);
/* Whether the request is in this link's hands. */
bool link_knows(struct link *l, const char *id);

/* What there is to see of a link. Texts are borrowed, until the next hello. */
struct link_view {
        bool up;
        bool has_session; /* be it one that is about to be left */
        bool heard;       /* the relay has answered a report of this session: before, it gives this link nothing */
        /* The relay said, in its latest answer to this session, that it keeps the connector from work (PROTOCOL 12.6).
         */
        bool quarantined;
        /* Why the relay, in its latest answer to a report with the key statement, did not take it, as it goes on for
         * 15 s (while a roster is on its way both are right); NULL: nothing of the kind is known. Until the next
         * answer. */
        const struct report_refusal *refused;
        size_t in_hand;     /* requests handed over and not answered */
        size_t undelivered; /* verdicts not confirmed */
        /* What the relay calls this node, and which ones there are (HELLO_NODES_MAX at most), by the hello of the
         * session; "" and 0 before the first. */
        const char *node;
        const char (*nodes)[257];
        size_t n_nodes;
        /* What the relay's clock said last, in s since the epoch, and when that came, in loop_now()'s ms; 0 before the
         * first. */
        int64_t relay_wall;
        uint64_t relay_at;
        int64_t clock_ahead; /* by how many s that clock is ahead of ours; 0 before the first */
};
struct link_view link_view(const struct link *l);
/* Each of those in hand, or of those undelivered. */
typedef void link_id_fn(void *arg, const char *id);
void link_each(const struct link *l, bool undelivered, link_id_fn *fn, void *arg);
/* Whether it is one of them. */
bool link_has(struct link *l, const char *id, bool undelivered);
