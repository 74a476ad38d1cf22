/*
 * Internal to postern-gateway-sealer: the process, its questions, and its memory of answers.
 */
#pragma once

#include <sys/queue.h>

#include "base/core/secret.h"
#include "base/core/table.h"
#include "base/process/process.h"
#include "queue/gateway/config.h"
#include "queue/gateway/frames.h"
#include "queue/gateway/service.h"
#include "queue/seal/exchange.h"

#define MARK_LEN 32 /* of a HMAC-SHA256 */

/* What tells two questions of one application apart, without their password. */
struct mark {
        char of_all[2 * MARK_LEN + 1];  /* hex: of application, name, password and operation */
        char of_name[2 * MARK_LEN + 1]; /* hex: of the name alone */
};

/* ---- memory.c: answers of moments ago, for those who ask with RECALL ---- */
struct memory;
/* keep_s: how long; 0: nothing is kept, and no marks are made. -ENOMEM, -EIO. */
int memory_new(struct memory **ret_memory, struct loop *loop, uint32_t keep_s, struct error *err);
struct memory *memory_free(struct memory *m);
struct memory_question {
        const char *app, *user;
        size_t user_len;
        const struct secret *password;
};
/* 0; -ENOENT: nothing is kept; -EIO. */
int memory_mark(struct memory *m, const struct memory_question *q, struct mark *ret_mark);
/* The answer to the same question, while it holds: borrowed until the loop turns; NULL: none. */
const struct sign_in_result *memory_find(struct memory *m, const struct mark *mark);
/* An accepted sign-in is kept; whatever else the directory says of a name makes all that is kept of it void. */
void memory_take(struct memory *m, const struct mark *mark, const struct sign_in_result *result);
void memory_drop_name(struct memory *m, const struct mark *mark);

/* ---- question.c ---- */
TAILQ_HEAD(question_list, question);

struct seal_process {
        struct process process;
        struct gateway_config *config;
        struct service service;
        struct key *key;
        struct sealer *sealer;
        struct memory *memory;
        struct ipc *doors, *link;
        int doors_fd, link_fd, roster_fd; /* until the start; roster_fd: the file of the highest roster */
        struct question_list questions;
        size_t n_questions;
        struct table asked;
        /* keys */
        struct loop_timer *keys_timer;
        struct buffer keys; /* parts that came */
        size_t keys_parts;
        uint64_t asked_n;    /* fetches that were begun */
        bool fetching;       /* one that ends at once */
        bool watching;       /* or one that waits until something changes */
        char state_why[256]; /* why sign-ins cannot be decided; "": they can */
        char unguarded[256]; /* which connector's guard does not stop names, and the remedy; "": none */
        bool state_told;
};

void questions_ask(struct seal_process *s, const struct msg_in *m);
void questions_reply(struct seal_process *s, const struct msg_in *m);
/* The link has ended: what it had in hand is in doubt. */
void questions_link_lost(struct seal_process *s);
/* Fetch n has ended; failed: NULL, or why there are no keys. Whether somebody waits for a later one. */
bool questions_keys(struct seal_process *s, uint64_t n, const struct exchange_answer *failed);
/* Drops all without answering. */
void questions_drop(struct seal_process *s);
/* Whether nothing is asked because of a connector without a guard. */
bool questions_forbidden(const struct seal_process *s);
struct exchange_now questions_now(const struct seal_process *s);

/* ---- main.c ---- */
/* Has the link fetch keys, unless it does already. Returns the number of the fetch whose keys are as fresh as now. */
uint64_t sealer_want_keys(struct seal_process *s);
void sealer_send(struct seal_process *s, struct ipc *to, const struct msg_out *m);
