/*
 * Internal to postern-gateway-doors: the process, and what is asked through it.
 */
#pragma once

#include <openssl/evp.h>
#include <sys/queue.h>

#include "base/core/secret.h"
#include "base/core/table.h"
#include "base/events/ways.h"
#include "base/metrics/metrics.h"
#include "base/process/process.h"
#include "certs/codec/json.h"
#include "queue/gateway/doors/door.h"
#include "queue/gateway/doors/limits.h"
#include "queue/gateway/frames.h"
#include "queue/gateway/service.h"
#include "validate/types/words.h"

struct inquiry;
struct tally;
TAILQ_HEAD(inquiry_list, inquiry);

/* Since this process began. */
struct doors_status {
        uint64_t began_ms, accepted, refused, unavailable, remembered;
        uint64_t fault_ms; /* of the last one that nobody could decide; 0: there was none */
        char fault[64], fault_id[ID_MAX + 1];
};

struct doors {
        struct process process;
        struct gateway_config *config;
        struct ipc *sealer;
        int sealer_fd;                       /* until the start */
        int certificate, tls_key, client_ca; /* memory with the PEM texts, until the start; -1: none */
        struct loop_timer *drain_timer;
        bool good; /* as the sealer says */
        char why[256], warning[256];
        struct limits *sources, *names;
        struct tally *tally;
        struct doors_status status;
        struct words *words; /* NULL: English */
        char text[4096];     /* the sentence that is being told */
        struct inquiry_list inquiries;
        size_t n_inquiries;
        struct table by_id, by_mark;
        EVP_MAC_CTX *mark; /* tells identical questions that are under way at once; of no use later */
        struct events_ways *events;
        char events_warning[256];
        uint8_t events_key[GATEWAY_EVENTS_KEY_LEN]; /* by which names become pseudonyms */
        bool has_events_key;
        struct {
                uint64_t second;         /* of the loop's clock */
                unsigned told, left_out; /* in it; since a record told of any */
        } refusals;                      /* of applications */
};

/* ---- ask.c ---- */
/* Limits and tables. 0 or -ENOMEM, -EIO. */
int doors_ask_new(struct doors *d, struct error *err);
void doors_ask_free(struct doors *d);
void doors_take_answer(struct doors *d, const struct msg_in *m);
/* The sealer has ended: what it had in hand is in doubt. */
void doors_lose_sealer(struct doors *d);

/* ---- metrics.c ---- */
int doors_tally_new(struct doors *d);
void doors_tally_free(struct doors *d);
void doors_tally_note(struct doors *d, const struct door_answer *a, uint64_t ms);
void doors_tally_put(const struct doors *d, struct metrics *m);

/* ---- status.c ---- */
void doors_status_note(struct doors *d, const struct door_answer *a);
void doors_status_write(struct doors *d, struct json_writer *w);

/* ---- events.c ---- */
/* What of a question is told with its answer. */
struct doors_asked {
        const char *app, *client_ip, *name; /* name: as limits know it */
        const char *detail;                 /* or NULL */
        bool here;                          /* the gateway itself decided */
        uint64_t ms;
        bool traced; /* a span of it is wanted: */
        const struct spans_context *context;
        const char *span; /* its id */
};
/* 0 or -ENOMEM. Confined processes may call it. */
int doors_events_new(struct doors *d);
/* GATEWAY_FILE_EVENTS_KEY: reads it. Without it doors_events_new makes one for this start. */
void doors_events_key(struct doors *d, int fd);
void doors_events_answer(struct doors *d, const struct doors_asked *q, const struct door_answer *a);
/* What is wrong with where records go, or "". Borrowed, until the next call. */
const char *doors_events_warning(struct doors *d);
/* The sealer says so. */
void doors_events_state(struct doors *d, bool ready, const char *why);

extern const struct door http_door, sasl_door, ldapd_door;
