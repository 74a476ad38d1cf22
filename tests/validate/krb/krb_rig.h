/*
 * What the Kerberos tests share: sign-ins driven to their end on a loop, and a peer between connector and KDC
 * that counts and, by plan, misbehaves.
 */
#pragma once

#include "validate/krb/krb.h"

struct rig {
        struct loop *loop;
        struct krb *krb;
        struct domain_config ad, mit;
};

/* One sign-in and, afterwards, its result. */
struct ask {
        const struct domain_config *config;
        enum name_form form;
        char user[USERNAME_MAX + 1], suffix[USERNAME_MAX + 1];
        const char *password; /* NULL: a probe */
        const char *address;
        uint16_t port;
        uint32_t budget_ms;
        struct rig *rig; /* set by ask_start, as all that follows */
        struct domain_config own;
        struct method_run *attempt;
        struct secret *secret;
        unsigned calls;
        bool left;
        struct outcome outcome;
        unsigned *pending;
};

/* Reads LAB_*; what of it a test needs must be there. */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
/* The variable LAB_<prefix>_<label>_<key>; fails the test when it isn't set. */
const char *lab(const char *prefix, const char *label, const char *key);
uint16_t lab_port(const char *prefix);

struct ask ask_ad(struct rig *rig, enum name_form form, const char *label);
struct ask ask_mit(struct rig *rig, const char *label);
void ask_start(struct rig *rig, struct ask *ask);
/* Runs until all n have answered; fails the test when one answers twice or not within a minute. */
void ask_all(struct rig *rig, struct ask *asks, size_t n);
void ask_one(struct rig *rig, struct ask *ask);
/* Runs the loop for a while, without waiting for anything. */
void rig_spin(struct rig *rig, uint32_t ms);

unsigned bad_pwd_count(const char *sam);
void unlock(const char *sam);
/* Starts argv and returns its process id. */
int spawn(const char *const *argv);
/* Runs argv to its end and gives what it printed. It must succeed. */
void run(const char *const *argv, char *out, size_t cap);

enum plan {
        PLAN_FORWARD = 0,
        PLAN_HOLD,         /* read the request, never answer */
        PLAN_CLOSE,        /* read the request, close */
        PLAN_RESET,        /* the same with a reset */
        PLAN_CUT,          /* half of the KDC's answer, then close */
        PLAN_GARBAGE,      /* a frame of junk */
        PLAN_OVERSIZE,     /* a prefix that announces 2 GiB */
        PLAN_EMPTY,        /* a frame of no bytes */
        PLAN_DRIBBLE,      /* a frame that announces more than it brings, then silence */
        PLAN_FIRST_ANSWER, /* whatever the KDC answered to the first request of this middle */
        PLAN_EDITED,       /* the KDC's answer after edit() */
        PLAN_RECORDED,     /* the recorded answer */
};

struct link;

struct middle {
        struct rig *rig;
        int fd;
        uint16_t port;
        struct loop_io *io;
        struct sockaddr_storage real;
        enum plan plain, preauth; /* what happens to requests without and with preauthentication */
        unsigned n_plain, n_preauth, n_other;
        /* Changes the answer in place (at most KRB_REPLY_MAX). */
        void (*edit)(struct middle *m, uint8_t *reply, size_t *n);
        bool edit_first; /* applies edit() to the kept first answer, for PLAN_FIRST_ANSWER */
        uint8_t first[8192], recorded[8192];
        size_t first_n, recorded_n;
        struct link *links;
};

/* Listens on 127.0.0.1 and forwards to the KDC of config. */
void middle_open(struct middle *m, struct rig *rig, const struct ask *ask);
void middle_close(struct middle *m);
/* Points the sign-in to the middle. */
void middle_use(const struct middle *m, struct ask *ask);
