/*
 * The ledger process: records of sign-ins, events and deliveries in SQLite, and the control socket that shows
 * them.
 *
 * It holds no key but the one for hashing names and never sees a password. A full disk or a broken database
 * degrades it: the newest rows then live in memory, `postern status` says so, and it tries the disk again and
 * again.
 */
#pragma once

#include <jansson.h>
#include <sys/queue.h>

#include "connector/frames/frames.h"
#include "connector/ledger/outlets.h"
#include "connector/ledger/request.h"
#include "connector/ledger/store.h"
#include "connector/frames/name-hash.h"
#include "base/process/process.h"
#include "connector/conf/config.h"

#define LEDGER_CLIENTS_MAX 16
#define LEDGER_STATUS_MAX 256 /* parts that `postern status` shows */

/* A part's latest word on itself. */
struct ledger_status {
        char name[300];
        json_t *value;
        json_t *since; /* by the name of each member that is not a number: since when it has been as it is */
        int64_t wall;
};

enum { COUNT_ACCEPTED = 0, COUNT_REFUSED, COUNT_UNAVAILABLE, COUNT_DECLINED, COUNT_N };

struct control;
struct ledger_metrics;
struct ledger;

/* A process that speaks to the ledger: its channel says who it is. */
struct ledger_peer {
        struct ledger *ledger;
        enum part part;
        struct ipc *ipc;
        int held_fd;     /* its channel until start, else -1 */
        bool suspicious; /* it sent what is another's to say: told once for each channel */
};

struct ledger {
        struct process process;
        struct config *config;
        struct ledger_peer link, validator;
        uid_t page_uid; /* of postern-web; (uid_t)-1 where the host has no such user */
        struct journal *journal;
        struct control *control;
        struct ledger_metrics *metrics;
        struct ledger_outlets *outlets;
        uint64_t asked;                    /* questions to the validator: the latest one's number */
        int dir_fd, socket_fd, metrics_fd; /* as handed over, until start */
        bool has_hash_key;
        uint8_t hash_key[NAME_HASH_KEY_LEN];
        size_t n_status;
        struct ledger_status status[LEDGER_STATUS_MAX];
        int64_t since;                                   /* when this process started */
        uint64_t counts[COUNT_N];                        /* since then */
        uint64_t counts_of[CONFIG_DOMAINS_MAX][COUNT_N]; /* the same of each domain of the configuration */
};

/* question.c: FRAME_QUERY: notes who asks what, and answers the validator. */
void ledger_query(struct ledger *l, const struct msg_in *m);

/* What a person asks from afar: exact ids and names, and records of some domains only. */
struct ledger_question {
        bool status;            /* how the connector is; else records */
        bool events;            /* with what happened to each */
        struct request request; /* what: an id or a name; verdict, since, until, limit */
        const char *domains;    /* a JSON array; NULL: all that this connector did */
};
/* answer.c: the answer, as ledger_answer's. */
json_t *ledger_answer_person(struct ledger *l, const struct ledger_question *q);

/* answer.c: how many sign-ins ended in which way, as an object. */
json_t *ledger_counts(const json_int_t n[COUNT_N]);

/* share.c: what of a status (ledger_answer's, owned by the caller and changed) a person of these domains (a JSON array)
 * may know: the parts of those domains, and of all others only what names no domain and counts nothing. */
void ledger_share_status(const struct ledger *l, json_t *status, const json_t *domains);
/* The same of any answer: that the ledger works, not how many records of all domains together it has. */
void ledger_share_answer(json_t *answer);

/* answer.c: the answer to a request, an object with "ok". NULL: no memory. */
json_t *ledger_answer(struct ledger *l, const struct request *request);
/* {"ok":false,"error":why}; owned. */
json_t *ledger_refusal(const char *why);

/* main.c: a frame that is a row: into the journal, and out to whoever gathers records. */
void ledger_take(struct ledger *l, const struct msg_in *m);

/* main.c: asks the validator of the request's user; control_guarded brings the answer to this number. 0: there is no
 * validator. */
uint64_t ledger_guard_ask(struct ledger *l, const struct request *request);
/* control.c: what the validator said to that: text, a JSON object, or why not. */
void control_guarded(struct control *control, uint64_t number, const char *text, const char *why);

/* watch.c: a part says value of itself, after before (NULL: nothing yet). Events come of it. */
void ledger_watch(struct ledger *l, const char *part, const json_t *before, const json_t *value);

/* watch.c: the members of value that are no numbers, each with when it became so: since of before where it is the same
 * (both may be NULL), else wall. A new object; NULL without memory. */
json_t *ledger_watch_since(const json_t *before, const json_t *since, const json_t *value, int64_t wall);

/* incidents.c: sign-ins of the last minutes that could not be checked or taken, gathered by cause; an array of
 * {"verdict","reason","n","users","first","last","id" (of the latest),"dcs","changes" (events shortly before)}. */
json_t *ledger_incidents(struct ledger *l);

/* watch.c: notes an event that the ledger itself saw. */
void ledger_note(struct ledger *l, const char *event, const char *detail);

/* names.c: typed, and the other forms of that name by the configuration's domains; an array. */
json_t *ledger_names(const struct config *config, const char *typed);

/* offline.c: one request from standard input answered on standard output from the database of the configuration at
 * path, for `postern` where no posternd runs. The exit code. */
int ledger_offline(const char *path);

/* control.c: the listening socket and its clients. Takes over fd. */
int control_new(struct control **ret_control, struct ledger *l, int fd);
struct control *control_free(struct control *control);
