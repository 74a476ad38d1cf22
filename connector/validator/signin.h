/*
 * The validator's sign-ins: from a request frame to a verdict that the relay confirmed.
 */
#pragma once

#include "base/ipc/ipc.h"
#include "connector/frames/name-hash.h"
#include "connector/validator/clock.h"
#include "connector/validator/intake.h"
#include "validate/op/validate.h"

/* Verdicts kept for the relay's confirmation; past it new requests are declined with "full". Well below
 * IPC_QUEUE_MAX, so that all of them fit the channel to a link that reads slowly. */
#define SIGNINS_UNDELIVERED_MAX 2048

/* Requests declined, or made by no service of the roster, that are recorded: so many at once, then one each
 * so many ms. */
#define SIGNINS_REFUSALS_BURST 100
#define SIGNINS_REFUSAL_EVERY_MS 100

/* What sign-ins need of the validator around them. All borrowed; the functions are called from the loop. */
struct signins_config {
        struct loop *loop;
        struct validate *validate;
        const struct enckeys *keys;
        struct replay *replay;
        const char *connector_id, *tenant;
        struct clock_watch *clock;  /* is told the iat of requests; NULL: nobody */
        size_t max;                 /* in flight at once */
        size_t n_domains;           /* that share them */
        const char *const *domains; /* their names; or NULL: records do not tell them */
        const uint8_t *hash_key;    /* NAME_HASH_KEY_LEN bytes */
        struct known_names *known_names;
        const struct roster *(*roster)(void *arg); /* the valid roster or NULL */
        bool (*may_speak)(void *arg,
                          size_t domain); /* for a domain of the configuration, by the roster; NULL: for all */
        int (*to_link)(void *arg, const struct msg_out *m); /* negative: not taken (a verdict is offered again) */
        void (*to_ledger)(void *arg, const struct msg_out *m);
        void (*idle)(void *arg); /* the last sign-in in flight ended */
        void *arg;
};

struct signins;
int signins_new(struct signins **ret_s, const struct signins_config *config);
struct signins *signins_free(struct signins *s); /* cancels what runs, silently */
DEFINE_FREEP(struct signins, signins_free)

/* FRAME_REQUEST, FRAME_CANCEL, FRAME_CONFIRMED, FRAME_LATE. */
void signins_request(struct signins *s, const struct msg_in *m);
void signins_cancel(struct signins *s, const char *id);
void signins_delivered(struct signins *s, const char *id, const char *state);
/* For a new link process: sends every verdict again that was not confirmed, and says what is being worked on. */
void signins_resend(struct signins *s);
/* From now on everything new is declined with "draining". */
void signins_drain(struct signins *s);
size_t signins_running(const struct signins *s);
/* Requests, since the start, that were sealed to a key of this connector's. */
uint64_t signins_opened(const struct signins *s);
size_t signins_undelivered(const struct signins *s);
