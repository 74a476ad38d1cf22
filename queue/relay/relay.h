/*
 * The relay as a whole: what its handlers share.
 */
#pragma once

#include <jansson.h>
#include <sys/queue.h>

#include "base/core/table.h"
#include "base/events/ways.h"
#include "certs/trust/statement.h"
#include "queue/relay/ca.h"
#include "queue/relay/cluster.h"
#include "queue/relay/config.h"
#include "queue/relay/faults.h"
#include "queue/relay/dispatch.h"
#include "queue/relay/turns.h"
#include "queue/relay/nodes.h"
#include "queue/http/http.h"
#include "queue/relay/store-client.h"

#define DRAIN_MS 9500 /* with the grace for the last answers within 10 s */
#define SESSIONS_PER_CONNECTOR 4

struct board;
struct handover;
struct journal;
struct metering;
struct node;
struct relay_events;
struct session;
struct told;
TAILQ_HEAD(session_list, session);

/* A connector's link at another node, as that node tells it. */
struct far_link {
        TAILQ_ENTRY(far_link) of_node;
        LIST_ENTRY(far_link) of_tenant;
        struct node *node;
        struct tenant *tenant;
        struct dispatch_link *link;
        char connector[ID_MAX + 1], boot[BOOT_LEN + 1], agent[65], peer[64];
        char *realms, *reasons; /* a line each; NULL: none */
        bool ready;
        bool leaving;   /* it is no more; its node answers what it has in hand */
        uint64_t began; /* by this node's clock, of the age that was told */
        uint64_t seq;   /* when it was told last */
        TAILQ_HEAD(offer_list, offer) offers;
};

/* A connector's live statement. */
struct announced {
        TAILQ_ENTRY(announced) entry;
        char connector[ID_MAX + 1];
        struct statement *statement;
};

/* A bearer secret, and what is left of its rate. */
struct tenant_secret {
        struct store_secret secret;
        double tokens;
        uint64_t tokens_at;
};

/* Sign-ins that were refused before a connector was looked for, and what may still be written of them (refused.c). */
enum refused_who { REFUSED_OWN, REFUSED_STRANGER, REFUSED_KEYS, REFUSED_ENROLMENT, REFUSED_WHO_N };
struct tenant_refused {
        double tokens;
        uint64_t at;       /* of the last one, on the loop's clock; 0: none yet */
        uint64_t left_out; /* since the start */
        int64_t left_out_since;
};

/* A connector that ever enrolled. */
struct member {
        LIST_ENTRY(member) entry;
        struct table_node by_id;
        struct store_member row;
        bool told;             /* by the image that is being taken */
        unsigned quarantining; /* calls that put it into quarantine and are not answered: images may be older */
};

/* A certificate's serial number that was revoked. */
struct revoked {
        LIST_ENTRY(revoked) entry;
        struct table_node by_serial;
        struct store_serial serial;
};

/* A tenant in memory: the database is the truth, this is its cache, and what lives only while the relay does.
 */
struct tenant {
        LIST_ENTRY(tenant) entry;
        struct table_node by_name;
        char name[TENANT_MAX + 1], pin[KID_LEN + 1];
        int64_t since;
        uint64_t told; /* in which run of the store process */
        struct tenant_secret secrets[STORE_SECRETS_MAX];
        size_t n_secrets;
        struct tenant_refused refused[REFUSED_WHO_N];
        struct roster *roster; /* NULL: none yet. May have expired */
        TAILQ_HEAD(announced_list, announced) announced;
        struct session_list sessions;
        unsigned n_sessions;
        TAILQ_HEAD(lineage_list, lineage) lineages;
        size_t n_lineages;
        LIST_HEAD(member_list, member) members;
        LIST_HEAD(revoked_list, revoked) revoked;
        struct board *board; /* what services were told of its keys; NULL: none asked yet */
        LIST_HEAD(far_list, far_link) far;
        LIST_HEAD(told_list, told) told_far; /* what other nodes were told of its links */
        TAILQ_ENTRY(tenant) untold;
        bool is_untold; /* what they were told has changed */
};

/* What the relay's clock showed before it jumped (credential.c). */
struct relay_clock {
        int64_t offset; /* s, of the wall clock over the monotonic one */
        bool doubtful;
};

struct relay {
        struct relay_config *config; /* owned */
        bool sandbox;                /* postern-sandbox's: takes its roster, and no other; each answer says so */
        struct loop *loop;
        struct http *http;
        struct handover *handover;
        struct store_client *store;
        struct table members, revoked; /* of all tenants; members by id within the tenant */
        struct table sessions, lineages;
        struct ca *ca;
        struct turns *enrolments, *renewals; /* apart, so that strangers are in no connector's way */
        struct dispatch *dispatch;
        struct nodes *nodes; /* NULL: this is the only one */
        struct journal *journal;
        struct relay_events *events;
        struct metering *metering;
        LIST_HEAD(tenant_list, tenant) tenants;
        struct table by_name;                         /* of them */
        LIST_HEAD(question_list, question) questions; /* that connectors have (question.c) */
        unsigned n_sessions;                          /* of all */
        uint64_t watched_at;                          /* when clones.c began to watch one; 0: never */
        struct relay_clock clock;
        bool moving;   /* it goes down, and links are leaving for other nodes one after the other */
        bool settling; /* it goes down, is alone, and serves on until a moment in which nothing hangs */
        bool draining, drained;
        uint64_t move_end, drain_end;
        struct loop_timer *drain_timer, *purge_timer, *refresh_timer, *health_timer;
        struct relay_faults faults;            /* as relay_health_look saw them last */
        unsigned most_connections, trimmed_at; /* since memory was given back last; then */
        unsigned last_connections, calm;       /* when it was looked at last; looks since many came */
        struct loop_signal *signals[3];
};

/* As many descriptors as the connections of the configuration need, and the rest of the relay; -errno with what to do.
 */
int relay_want_descriptors(const struct relay_config *config, struct error *err);
/* Opens state and listens; relay->config is filled in. */
int relay_start(struct relay *relay, struct error *err);
void relay_stop(struct relay *relay);
/* Of a signal; arg is the relay. */
void relay_reload(void *arg);
void relay_drain(void *arg);

/* ---- check.c ---- */
/*
 * Each fault that a start would find, and what would be wrong then. Becomes the configuration's user as a start does,
 * for good. Where the relay runs, its addresses are not looked at.
 */
void relay_check(const struct relay_config *config, struct relay_faults *faults);
/* Whether a relay runs that keeps its state there. */
bool relay_runs(const char *state_dir);

/* ---- health.c ---- */
/* Looks at what a running relay can see of its own faults: into relay->faults, the log, systemctl status. By a timer,
 * too; arg is the relay. */
void relay_health_look(void *arg);
/* "well", or the faults as one line. */
void relay_health_line(const struct relay_faults *faults, char *out, size_t cap);

/* ---- tenant-image.c: tenants as the store process tells them ---- */
extern const struct store_client_ops tenants_told; /* arg is the relay */
/* NULL: no connector of this id ever enrolled. */
const struct store_member *tenant_member(const struct relay *relay, const struct tenant *t, const char *id);
bool tenant_is_quarantined(const struct relay *relay, const struct tenant *t, const char *id);
/* Whether this certificate, or whatever its identity shows, was revoked. */
bool tenant_is_revoked(const struct relay *relay, const struct tenant *t, const char *id, const char *serial);
/* Puts it into quarantine, and the database after it; false: it is in already. */
bool tenant_quarantine(struct relay *relay, struct tenant *t, const char *id, const char *why);
/* Forgets members and serial numbers. */
void tenant_forget_members(struct tenant *t);

/* ---- ask.c: answers that wait for the store process ---- */
struct ask;
/* The process's word: code as the function of store.h has it. Answers a->r, or asks once more. */
typedef void ask_then_fn(struct ask *a, int code);
struct ask {
        struct relay *relay;
        struct http_req *r;
        struct store_call *call;
        ask_then_fn *then;
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1];
        json_t *list;              /* or NULL: of rows; owned */
        void *more;                /* the handler's */
        void (*clear)(void *more); /* or NULL */
};
/* id may be NULL. NULL: r was answered. */
struct ask *ask_new(struct relay *relay, struct http_req *r, const struct tenant *t, const char *id);
/* Calls; row's argument is the ask. Where that cannot be done r is answered, and then is not called. */
void ask_store(struct ask *a, const struct store_request *request, store_row_fn *row, ask_then_fn *then);
/* Answers that the store did not do it. */
void ask_failed(const struct ask *a, int code);
/* What each handler ends with: frees the ask if it asks nothing. After an ask_then_fn this happens by itself. */
void ask_settle(struct ask *a);

/* ---- tenant.c ---- */
/* -ENOENT. Borrowed. */
int tenant_get(struct relay *relay, const char *name, struct tenant **ret_tenant);
/* A new one, of which nothing is known yet; NULL: no memory. */
struct tenant *tenant_new(struct relay *relay, const struct store_tenant *row);
struct tenant *tenant_free(struct tenant *tenant);
/* It was removed, perhaps made anew since: its links and its sign-ins end. */
void tenant_drop(struct relay *relay, struct tenant *t);
/* The secrets as they are stored now; those that stay keep their rate. */
void tenant_set_secrets(struct relay *relay, struct tenant *t, const struct store_secret *secrets, size_t n);
/* The tenant's secret of this text; NULL. Until the loop's next turn. */
struct tenant_secret *tenant_secret(struct tenant *t, const char *secret);
/* Takes one sign-in from the secret's rate; otherwise seconds to wait. */
bool tenant_admit(struct relay *relay, struct tenant_secret *secret, uint32_t *ret_wait);
/* The roster, unless there is none or it has expired. */
const struct roster *tenant_live_roster(const struct relay *relay, const struct tenant *t);
const struct roster_member *tenant_connector_by_id(const struct roster *roster, const char *id);
/* Replaces the roster (owned by the tenant from now on) and drops statements of those who left. */
void tenant_set_roster(struct tenant *t, struct roster *roster);
/* Verifies and keeps a connector's statement. 0; -errno with the reason: nothing changed. */
int tenant_put_statement(struct relay *relay, struct tenant *t, const char *connector, const char *text,
                         struct error *err);
/* Statements that live now; drops the others. */
void tenant_expire_statements(const struct relay *relay, struct tenant *t);
void tenant_forget_statement(struct tenant *t, const char *connector);
const struct announced *tenant_announced(const struct tenant *t, const char *connector);
/* Whose encryption key has this kid, live now; NULL. */
const char *tenant_connector_of_key(const struct relay *relay, const struct tenant *t, const char *kid);

/* ---- journal.c: metadata of finished sign-ins, written in batches ---- */
int journal_new(struct journal **ret_journal, struct relay *relay);
struct journal *journal_free(struct journal *journal); /* gives away what waits */
void journal_add(struct journal *journal, const char *tenant, const struct store_sign_in *row);
/* Gives what waits to the store process now, before whatever is asked of it next. */
void journal_flush(struct journal *journal);

/* ---- refused.c ---- */
#define STATE_REFUSED "refused"
/* The service asked for keys, and sent nothing (yet). Never takes the place of another row. */
#define STATE_KEYS "keys"
/*
 * Notes that a sign-in was refused: of the tenant's own secret, or of somebody who shows none. id NULL, or none:
 * nothing to note. detail: what the caller is told beside the problem, or NULL.
 */
void refused_note(struct relay *relay, struct tenant *t, enum refused_who who, const char *id, enum problem_type type,
                  const char *detail);
/* Whether one more of them may be written for the tenant now; otherwise it is counted as left out. */
bool refused_has_room(struct relay *relay, struct tenant *t, enum refused_who who);
/* Notes that a service asked for keys for a sign-in, and how many connectors it got them of. */
void refused_note_keys(struct relay *relay, struct tenant *t, const char *id, size_t n_statements);
/* Whether the row is one of those: a request may come under its id, and its row then takes their place. */
bool refused_is_open(const struct store_sign_in *row);
/* Appends a sentence on what it means that an id is not found: how far back rows go, and which were not kept. */
void refused_tell_absent(const struct relay *relay, const struct tenant *t, struct buffer *out);

/* ---- events.c: records for a SIEM, and spans ---- */
/* A sign-in's, from its request on. */
struct relay_trace {
        bool wanted; /* else the rest is not set */
        uint64_t began;
        struct spans_context context;
        char span[SPANS_ID_LEN + 1],
                handed[SPANS_ID_LEN + 1];  /* ids: of the relay's part, and of the connector's in it */
        char onward[SPANS_PARENT_LEN + 1]; /* the traceparent for the connector */
};
/* Something that a tenant's admin did by the relay's API. */
struct relay_act {
        const char *act, *tenant, *about; /* about: what was changed, or NULL */
        const char *peer;                 /* from where */
        const char *refused;              /* why it was not done, or NULL */
};
/* Starts the processes that write; where the configuration names no way out, none. 0 or -errno. */
int relay_events_new(struct relay_events **ret_events, struct relay *relay);
/* Brings out what waits, for a second at most. NULL-safe, as are the others. */
struct relay_events *relay_events_free(struct relay_events *events);
/* The families postern_outlet_*. */
void relay_events_metrics(const struct relay_events *events, struct metrics *m);
/* What is wrong with a way out, as a fault. */
void relay_events_look(const struct relay_events *events, struct relay_faults *faults);
/* A sign-in ended, or was refused. trace may be NULL. */
void relay_events_sign_in(struct relay_events *events, const char *tenant, const struct store_sign_in *row,
                          const struct relay_trace *trace);
/* tenant, connector, detail: or NULL. */
void relay_events_event(struct relay_events *events, const char *tenant, const char *name, const char *connector,
                        const char *detail);
void relay_events_act(struct relay_events *events, const struct relay_act *act);
/* Begins a trace, which goes on with that of traceparent (NULL: it had none), where spans are wanted. */
void relay_events_trace(const struct relay_events *events, struct relay_trace *trace, const char *traceparent,
                        const char *id);
/* The sign-in ended: its spans. */
void relay_events_spans(struct relay_events *events, const char *tenant, const struct store_sign_in *row,
                        const struct relay_trace *trace);

/* ---- metrics.c ---- */
/* Listens on metrics_socket, where the configuration has one; before privileges are dropped. */
int metering_new(struct metering **ret_metering, struct relay *relay, struct error *err);
struct metering *metering_free(struct metering *metering);
/* A sign-in has ended. */
void metering_note(struct metering *metering, const char *tenant, const struct store_sign_in *row);
/* A question has ended: METERED_ANSWER, METERED_CANCELLED, or a problem; ms from its POST on. */
enum { METERED_ANSWER = 0, METERED_CANCELLED = PROBLEM_TYPES_, METERED_OUTCOMES };
void metering_note_question(struct metering *metering, const char *tenant, size_t outcome, uint64_t ms);
/* The tenant was removed. */
void metering_forget(struct metering *metering, const char *tenant);

/* ---- handover.c: what a relay that is alone leaves to its next start ---- */
/* Takes the sockets that came with the start. */
int handover_new(struct handover **ret_h, struct relay *relay, struct error *err);
/* After http_free: callers that wait are gone then. */
struct handover *handover_free(struct handover *h);
/* Listens as http_listen does; on the socket of that address that was handed over, where there is one. */
int handover_listen(struct handover *h, const char *host, uint16_t port, uint16_t *ret_port, struct error *err);
/* Once all is listened on: gives the sockets to systemd to keep, and away what is configured no more. */
void handover_keep(struct handover *h);
/* Whether somebody keeps the sockets, so that who comes meanwhile waits for the next start. */
bool handover_is_kept(const struct handover *h);
/*
 * Whether r waits for the links of its tenant, which are coming back after a start; its handler is called again when
 * they are, or most_ms after it came. False: go on.
 */
bool handover_hold(struct handover *h, struct http_req *r, const struct tenant *t, http_handler_fn *again,
                   uint64_t most_ms);
/* How long the request has waited so whose handler is being called; ms. */
uint64_t handover_waited(const struct handover *h);

/* ---- credential.c: whether a client certificate counts, and the clock by which it does ---- */
/* What a client certificate of the transport CA says. */
struct credential {
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1], serial[CA_SERIAL_MAX];
        int64_t not_before, not_after;
        uint8_t key[CA_KEY_HASH_LEN];
};
/* Whom it stands for. */
struct peer {
        struct tenant *tenant;
        struct store_connector connector;
        struct credential credential;
};
/*
 * The one decision whether a certificate counts now: its dates, its serial number and its identity not revoked, tenant
 * and connector known. A sentence for the peer in err: -EKEYEXPIRED, -EKEYREVOKED, -ENOENT.
 */
int credential_check(struct relay *relay, const struct credential *c, struct peer *ret_peer, struct error *err);
/* The same of the certificate with which r came, whose chain must verify: also -ENOKEY, -EBADMSG. */
int credential_of(struct relay *relay, struct http_req *r, struct peer *ret_peer, struct error *err);
/* The dates alone. */
bool credential_current(const struct relay *relay, const struct credential *c);
/* Takes the clock as it is; says that it is right; looks whether it has jumped (arg is the relay). */
void clock_start(struct relay *relay);
void clock_trust(struct relay *relay);
void clock_look(void *arg);
/* Now; where the clock has jumped, the earlier and the later of its time and the one before the jump. */
int64_t clock_earliest(const struct relay *relay);
int64_t clock_latest(const struct relay *relay);

/* ---- session.c, report.c: connectors ---- */
http_handler_fn relay_link_stream, relay_link_report, relay_link_identity;
/* The connector behind the client certificate, or an answer that refuses. */
bool relay_link_peer(struct relay *relay, struct http_req *r, struct peer *ret_peer);

/* What a session knows, for /keys, status and reports. */
struct session {
        TAILQ_ENTRY(session) entry;
        struct table_node by_id;
        struct relay *relay;
        struct tenant *tenant;
        struct http_req *r;
        struct dispatch_link *link;
        char id[ID_MAX + 1], connector[ID_MAX + 1], boot[BOOT_LEN + 1], agent[65];
        int64_t since;
        uint64_t began;
        uint32_t report_ms;     /* how often it is to report at least */
        uint32_t reconnect_max; /* as it was told last */
        uint64_t seq;           /* of the last request that left */
        uint64_t questions;     /* that left */
        struct loop_timer *heartbeat;
        TAILQ_HEAD(waiting_list, waiting) waiting; /* requests that have not left */
        size_t n_realms;
        char (*realms)[257];                 /* that are ready */
        char refused_statement[KID_LEN + 1]; /* hash of the last one that did not verify, so that it is logged once */
        struct credential credential;
        char peer[64];        /* where it comes from */
        bool superseded;      /* the same boot has a newer one */
        uint64_t reported_at; /* 0: not yet */
        uint64_t asked_at;    /* to leave (sessions_move); 0: not yet */
        uint64_t replaced_at; /* when that took over, or a stream of another boot came first; 0: never */
        char successor[64];   /* where it came from */
        bool took_over;
        bool beyond_told; /* that it serves what the roster does not give it */
};
struct session *session_find(const struct relay *relay, const char *id);
/* The connector's session, one that serves something before others; NULL. */
const struct session *session_of_connector(const struct tenant *t, const char *connector);
/* Realms for which the connector is ready, at this node or else at another one. */
typedef void realm_fn(void *arg, const char *realm);
void connector_realms(const struct tenant *t, const char *connector, realm_fn *fn, void *arg);
/* Whether this start of the connector is linked, at any node, and not in quarantine. */
bool connector_is_linked(const struct tenant *t, const char *connector, const char *boot);
/* A link of the connector at another node, one that is ready before others; NULL. */
const struct far_link *connector_far(const struct tenant *t, const char *connector);
const char *far_node_name(const struct far_link *far);
/* Its name on the bus. */
const char *far_node_run(const struct far_link *far);
/* Sends one event; data is JSON text. */
int session_event(struct session *s, const char *name, const char *data);
/* Sends the tenant's roster to all of its sessions. */
void sessions_send_roster(struct tenant *t);
void sessions_drain(struct relay *relay);
/*
 * Asks links to go to other nodes, of each tenant the next connector's once the one before has gone, or has had its
 * time: so that all the others serve meanwhile. False: none is left. Now and then.
 */
bool sessions_move(struct relay *relay);
/* Whether the relay goes down and this tenant is to be served by another node: none of its links stays here. */
bool sessions_are_gone(const struct relay *relay, const struct tenant *t);
/* Tells the link its schedule where that has become another. */
void session_schedule(struct session *s, struct report_answer *answer);
void sessions_close(struct tenant *t);
/* The first report of a session: those of the same boot before it get nothing new. */
void session_takes_over(struct session *s);
/* Ends the stream in order and has the connector open another one at once; s is gone. */
void session_send_back(struct session *s);
/* Drops the stream of the session (arg), later. */
void session_drop(void *arg, const char *why);

/* ---- clones.c: copies of one identity, and what the operator decided about connectors ---- */
/* A new session: remembers its boot, sees one that comes back, and keeps a connector in quarantine from work. */
void clones_check_in(struct session *s);
/* s has taken the place of older, which may be done soon: clones_look looks whether it is. */
void clones_replaced(struct session *older, const struct session *s);
/* s is about to be dropped because its connector opens one more: one that does so while all are in use is two. */
void clones_shed(struct session *s);
/* s, which is verified, has the number of another statement of the same start of the connector: two processes with one
 * memory made them. */
void clones_two_statements(struct relay *relay, struct tenant *t, const char *connector, const struct statement *s);
/* With each report: whether it goes on though another of the same identity has come. */
void clones_look(struct session *s);
/* Whether the connector's streams are to report often, since one was superfluous lately. */
bool clones_watched(const struct session *s);
/* Takes up what was decided about a tenant's connectors: shuts them out, or lets them out of quarantine. */
void clones_refresh(struct relay *relay, struct tenant *t);
void clones_forget(struct tenant *t);
/* One line for the log and for those who read the tenant's events. */
void relay_event(struct relay *relay, const char *tenant, const char *name, const char *id, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));

/* ---- keys.c: what services fetch, and wait for ---- */
#define KEYS_WAIT_MAX_MS 30000
/* Something may have changed of what services are told: links, readiness, statements, the roster. */
void api_keys_touch(const struct relay *relay, struct tenant *t);
/* How many services wait. */
unsigned api_keys_waiting(const struct tenant *t);
/* Sends away who waits. */
void api_keys_drain(const struct relay *relay);
struct board *api_keys_free(struct board *board);

/* ---- question.c: what people ask of connectors ---- */
http_handler_fn api_question, relay_link_answer;
/* The session ends: whoever waits for an answer by it is told. */
void session_end_questions(struct session *s);
/* How many are under way that services of this node asked. */
unsigned relay_questions_waiting(const struct relay *relay);
/* One that was asked at another node (nodes-question.c); its sealed text has its form. */
struct question_passed {
        const char *run, *node; /* the node's name on the bus, and its own */
        uint64_t number;        /* there */
        char tenant[TENANT_MAX + 1], connector[ID_MAX + 1], id[ID_MAX + 1];
        uint32_t budget;
        char *sealed; /* borrowed */
};
void relay_question_passed(struct relay *relay, const struct question_passed *passed);
/* Of one that was passed to that node under that number: it has come there; the next part of its answer, of total
 * characters; there is none (run NULL: the number reached nobody). */
void relay_question_taken(struct relay *relay, const char *run, uint64_t number);
void relay_question_part(struct relay *relay, const char *run, uint64_t number, size_t total, const char *part);
void relay_question_failed(struct relay *relay, const char *run, uint64_t number, enum problem_type type,
                           const char *reasons);
/* The node is gone: so are its questions, and those that it has are lost. */
void relay_questions_drop(struct relay *relay, const char *run);

/* ---- api.c, sign-in.c, est.c ---- */
/* arg is the relay. */
http_handler_fn api_keys, api_status, api_pending, api_events, api_release, api_roster_put, api_sign_in,
        api_sign_in_get;
http_handler_fn relay_est_cacerts_get, relay_est_simpleenroll, relay_est_simplereenroll;
/* The tenant, if the bearer secret is of this kind (0: any); otherwise an answer that refuses. NULL then. */
struct tenant *api_tenant(struct relay *relay, struct http_req *r, const char *name, enum store_secret_kind kind);
/* The same, and which of its secrets it was. */
struct tenant *api_caller(struct relay *relay, struct http_req *r, const char *name, enum store_secret_kind kind,
                          struct tenant_secret **ret_secret);
/* Answers with a problem a call that names a sign-in (Postern-Id), and leaves a row of it; one that names none,
 * without. */
void api_refuse(struct relay *relay, struct http_req *r, struct tenant *t, enum refused_who who,
                const struct problem *problem);
/* Whether Content-Type is type (parameters aside); otherwise answers 415. */
bool api_media_type(struct relay *relay, struct http_req *r, struct tenant *t, const char *type);
/* Answers 200 with JSON; takes the reference. NULL is a lack of memory. */
void api_reply_json(struct http_req *r, int status, json_t *json);
