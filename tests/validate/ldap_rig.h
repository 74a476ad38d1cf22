/*
 * What the LDAP tests share: a validator on a loop, sign-ins driven to their end, and a scripted TLS peer
 * that plays a DC.
 */
#pragma once

#include <event2/bufferevent.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#include "validate/op/validate.h"

struct rig {
        struct loop *loop;
        struct validate *v;
        struct domain_config domains[2];
        struct validate_config config;
        const char *dns_servers;   /* of the next rig_start */
        struct guard_config guard; /* of the next rig_start; all zero is the default */
        char *ca;                  /* PEM text */
        unsigned ready_calls;
        unsigned peers; /* open now */
};

struct ask {
        const char *name, *password; /* password "": none */
        const char *new_password;    /* NULL: a sign-in */
        uint32_t budget_ms;          /* 0: 60000 */
        struct validate_op *op;
        unsigned calls;
        struct outcome outcome;
        uint64_t started, ended;
        struct rig *rig;
};

/* A loop and empty config; the CA is the lab's. */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
/* Domain i as the lab's Samba or slapd by LDAP; the caller may change it before rig_start. */
void rig_samba(struct rig *rig, size_t i);
/* The same AD by either method; Kerberos with the lab's keytab. */
void rig_samba_by(struct rig *rig, size_t i, enum method method);
void rig_slapd(struct rig *rig, size_t i);
/* For cmocka: a rig in *state, opened and closed. */
int rig_set_up(void **state);
int rig_tear_down(void **state);
/* The memory keytab of this name holds the principal with a random key besides what it held; it
 * stays until the process ends. */
void rig_random_keytab(const char *keytab, const char *principal);
/* Makes the validator of the first n domains, default domain the first. */
void rig_start(struct rig *rig, size_t n);
/* The same, and waits until each domain is ready; fails the test after two minutes. */
void rig_start_ready(struct rig *rig, size_t n);
/* Runs the loop for a while. */
void rig_spin(struct rig *rig, uint32_t ms);
/* Runs the loop until *counter reaches value; fails the test after two minutes. */
void rig_until(struct rig *rig, const unsigned *counter, unsigned value);

void ask_start(struct rig *rig, struct ask *ask);
/* Runs until all n have answered once; fails the test when one doesn't within four minutes. */
void ask_wait(struct rig *rig, struct ask *asks, size_t n);
void ask_all(struct rig *rig, struct ask *asks, size_t n);
const struct outcome *ask_one(struct rig *rig, struct ask *ask);
/* Fails with everything that is known when it isn't the reason. */
void assert_reason(const struct ask *ask, enum reason reason);

/* What the scripted peer does with a kind of request. */
enum peer_act {
        PEER_ANSWER = 0,     /* bind: success for the password "right", else 49 data 52e; reads and whoami: as an
                                AD DC would */
        PEER_HOLD,           /* no answer, connection stays */
        PEER_CLOSE,          /* closes instead of answering */
        PEER_GARBAGE,        /* bytes that are no LDAP */
        PEER_WRONG_ID,       /* a good answer to another message */
        PEER_NOTICE,         /* Notice of Disconnection, then closes */
        PEER_HUGE,           /* announces a message of 1 GiB */
        PEER_OTHER_SID,      /* reads: the account read back has another SID than the rootDSE says */
        PEER_NO_SID,         /* reads: an account without objectSid */
        PEER_UNAVAILABLE,    /* LDAP result 52 */
        PEER_ENTRY,          /* bind: a search entry, which answers no bind */
        PEER_SCRIPTED,       /* bind: peer.script */
        PEER_SCRIPTED_WRONG, /* bind: peer.script, unless the password is "right" */
};

/* A bind's result, word by word. */
struct peer_result {
        int code;
        const char *text;     /* diagnosticMessage */
        const char *referral; /* one URL, or NULL */
};

#define PEER_WORK_MAX 256
#define PEER_SID_SIZE 28

/* What a slow peer has yet to do: begin TLS on a connection it accepted, or answer a request. */
struct peer_work {
        int fd; /* -1: bev's */
        struct bufferevent *bev;
};

struct peer {
        struct rig *rig;
        int fd;
        char address[INET6_ADDRSTRLEN];
        uint16_t port;
        SSL_CTX *ctx; /* NULL: accepts and never speaks */
        struct loop_io *io;
        enum peer_act on_bind, on_read;
        struct peer_result script;
        const char *type,
                *control; /* of the account that is read: its sAMAccountType and userAccountControl; NULL: not told */
        const char *principal;  /* NETBIOS\name of the rootDSE; NULL: CORP\someone */
        unsigned hides_account; /* so many reads of the account give nothing */
        unsigned group;         /* the last number of a group that the bind is in; 0: none */
        const char *sid;     /* of the account that binds, in bytes, PEER_SID_SIZE of them; NULL: S-1-5-21-1-2-3-1000 */
        int clock_offset;    /* s by which the time of its rootDSE is ahead; 0: it names none */
        bool no_fast_bind;   /* refuses the request for fast binds */
        unsigned fast;       /* requests for fast binds */
        unsigned read_times; /* on_read holds for so many reads only; 0: for all */
        unsigned accepts, binds, reads, wrong, open, most_open;
        struct bufferevent *links[128];
        /* A DC that does one thing at a time, and takes so long for each; 0: at once. */
        uint32_t work_ms;
        struct loop_timer *worker;
        struct peer_work work[PEER_WORK_MAX]; /* a ring */
        size_t work_first, n_work;
};

/* Listens on address (port 0: any) with a certificate of the lab, "DC", "DC_HOST_ONLY", "DC_OTHER_CA"; NULL:
 * never speaks TLS. */
void peer_open(struct peer *peer, struct rig *rig, const char *address, uint16_t port, const char *cert);
void peer_close(struct peer *peer);
/* Closes every connection, as a DC does with idle ones. */
void peer_drop(struct peer *peer);
/* Domain i: corp.example with this peer as its only DC. A handshake has time on a busy machine, too. */
#define PEER_CONNECT_MS 4000
void peer_domain(struct rig *rig, size_t i, const struct peer *peer);
/* A loopback address that no other test of this lab uses; i up to 3. */
const char *peer_address(unsigned i);
/* One peer, alive and known to be, as domain 0. */
void peer_start(struct rig *rig, struct peer *peer);
/* Ends in the order that lets the validator go first. */
void peer_stop(struct rig *rig, struct peer *peer);
/* A sign-in at a peer with the password that it takes, or another. */
struct ask ask_right(void);
struct ask ask_wrong(void);
