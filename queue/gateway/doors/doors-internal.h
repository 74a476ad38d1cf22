/*
 * Internal to postern-gateway-doors: the process, and what is asked through it.
 */
#pragma once

#include <openssl/evp.h>
#include <sys/queue.h>

#include "base/core/secret.h"
#include "base/core/table.h"
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
void doors_status_write(const struct doors *d, struct json_writer *w);

extern const struct door http_door, sasl_door, ldapd_door;
