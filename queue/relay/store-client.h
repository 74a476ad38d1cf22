/*
 * The relay's side of its store process (store-process.h): starts it, and again when it died; calls it; and is told of
 * every tenant, at the start and whenever one was written.
 *
 * Nothing here waits for a disk or a lock but the start. A call that finds no process, or that a process takes with it,
 * ends with -EIO.
 */
#pragma once

#include "base/core/buffer.h"
#include "queue/relay/config.h"
#include "queue/relay/store-frames.h"

struct store_client;
struct store_call;

/* A tenant as the database has it. */
struct store_image {
        struct store_tenant tenant;
        struct store_secret secrets[STORE_SECRETS_MAX];
        size_t n_secrets, n_members, n_revoked;
        struct store_member *members;
        struct store_serial *revoked;
        struct buffer roster; /* its text; empty: none */
        uint64_t run;         /* which start of the process told it */
};

struct store_client_ops {
        /* A tenant, borrowed for the call. */
        void (*image)(void *arg, const struct store_image *image);
        /* There is no tenant of this name. */
        void (*gone)(void *arg, const char *tenant);
        /* A process, new or started again, has told of all tenants there are: none is to stay that this run did not
         * tell. */
        void (*all_told)(void *arg, uint64_t run);
};

/*
 * Starts the process and returns when it has told of all tenants. Started by root it becomes the configuration's user;
 * later ones are who this process is by then. -errno with a sentence. config is borrowed.
 */
int store_client_new(struct store_client **ret_client, struct loop *loop, const struct relay_config *config,
                     const struct store_client_ops *ops, void *arg, struct error *err);
/* Gives the process the files of section [nats] anew; what became of that is in the log. -errno: they cannot be read.
 */
int store_client_reload(struct store_client *client, struct error *err);
/* Whether anything can be written, since when (loop_wall), why not, and how much waits for that. Of a database that is
 * always so. */
struct store_state {
        bool writable;
        int64_t since, waiting;
        char why[256];
};
const struct store_state *store_client_state(const struct store_client *client);
/* Waits until what was called for is done, for 5 s at most. Calls that wait are forgotten. */
struct store_client *store_client_free(struct store_client *client);
/* Whether the process has so much to do that what may be left out should be. */
bool store_client_busy(const struct store_client *client);
/* What is wrong with it now: that it does not run, or what its database said to the latest call that failed; NULL: none
 * failed since one went well. */
const char *store_client_fault(const struct store_client *client);

/* What a call brings (store-frames.h says what each has); the rest is zero. Borrowed for the call. */
struct store_request {
        enum store_op op;
        const char *tenant, *id, *word, *jwk, *proof;
        const void *bytes;
        size_t n_bytes;
        int64_t at, n;
        const uint8_t *hash;
        const char *text; /* goes in PARTs */
};
/* m has the ROW. */
typedef void store_row_fn(void *arg, const struct msg_in *m);
/* The end of a call, from the loop. code: as the function of store.h has it. */
typedef void store_end_fn(void *arg, int code);
/* end NULL: nobody waits. NULL: nobody waits, or there is no memory, and neither row nor end is called. */
struct store_call *store_client_call(struct store_client *client, const struct store_request *request,
                                     store_row_fn *row, store_end_fn *end, void *arg);
/* Neither row nor end is called any more. NULL-safe. */
void store_client_forget(struct store_call *call);
