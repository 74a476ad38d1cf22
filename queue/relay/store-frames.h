/*
 * What the relay and its store process say to each other, on the store's control channel (base/process/control.h).
 *
 * Both ends are one program, started by itself: rows travel as the structs of store.h, and whoever reads one ends its
 * texts. A call has a number, and one END; what it brings or gets that is long goes in PARTs before it.
 */
#pragma once

#include "base/process/control.h"
#include "queue/relay/store.h"

enum store_part { STORE_PART_RELAY = 0, STORE_PART_STORE, STORE_PARTS_ };

enum store_frame {
        STORE_FRAME_CALL = CONTROL_TYPES_END,
        STORE_FRAME_PART,
        STORE_FRAME_ROW,
        STORE_FRAME_END,
        STORE_FRAME_IMAGE,
        STORE_FRAME_IMAGE_END,
        STORE_FRAME_SYNC,
        STORE_FRAME_SYNCED,
        STORE_FRAME_STATE,
};

enum store_tag {
        STORE_TAG_OP = CONTROL_TAGS_END,
        STORE_TAG_CALL,
        STORE_TAG_TENANT,
        STORE_TAG_ID,
        STORE_TAG_WORD,
        STORE_TAG_BYTES,
        STORE_TAG_AT,
        STORE_TAG_N,
        STORE_TAG_HASH,
        STORE_TAG_JWK,
        STORE_TAG_PROOF,
        STORE_TAG_CODE,
};

/* What a CALL asks for; beside TENANT. */
enum store_op {
        STORE_TOKEN_CHECK = 1, /* WORD the connector's name, HASH, BYTES the request's SHA-256, AT now. Codes as
                                  store_token_check */
        STORE_ENROL,         /* the same, and ID: uses the token up. As that, -EEXIST: the id has another name; 1: this
                                request was answered before, with the text in the ROW */
        STORE_CERTIFICATE,   /* ID, WORD its serial number, AT its end; with HASH and BYTES as above and PARTs, the
                                answer: keeps it. 1: there is another, in the ROW; -EACCES: another request has the
                                token, or none any more */
        STORE_IDENTITY,      /* BYTES struct store_connector, JWK, PROOF. -ENOSPC */
        STORE_ROSTER,        /* PARTs, N its number, AT now. -ESTALE */
        STORE_RELEASE,       /* ID. 1: it is out */
        STORE_QUARANTINE,    /* ID, WORD why, AT now. 1: it is in from now on */
        STORE_EVENT,         /* BYTES struct store_event */
        STORE_EVENTS,        /* ROWs struct store_event */
        STORE_PENDING,       /* ROWs struct store_connector, JWK, PROOF */
        STORE_SIGN_IN,       /* ID. ROW struct store_sign_in; -ENOENT */
        STORE_SIGN_INS_FIND, /* ID the beginning of one. ROWs, STORE_FOUND_MAX at most */
        STORE_SIGN_INS,      /* BYTES struct store_row[]: are written by and by */
        STORE_PURGE,         /* AT now */
        STORE_OPS_
};

/* Any that writes may end with -EHOSTUNREACH: the store is on NATS, and too few servers are there. */

/* A finished sign-in with its tenant. */
struct store_row {
        char tenant[TENANT_MAX + 1];
        struct store_sign_in sign_in;
};
#define STORE_ROWS_A_FRAME ((IPC_FRAME_MAX - 256) / sizeof(struct store_row))
#define STORE_PART_MAX (IPC_FRAME_MAX - 256)

/* What an IMAGE's BYTES are. The roster comes in PARTs of call 0. */
enum store_kind { STORE_IS_TENANT = 1, STORE_IS_SECRET, STORE_IS_MEMBER, STORE_IS_REVOKED };

extern const struct frame_table store_frames;

/* Each copies a struct out of BYTES and ends the texts in it; false: it has another size. */
bool store_frames_tenant(const struct msg_in *m, struct store_tenant *ret_row);
bool store_frames_secret(const struct msg_in *m, struct store_secret *ret_row);
bool store_frames_member(const struct msg_in *m, struct store_member *ret_row);
bool store_frames_serial(const struct msg_in *m, struct store_serial *ret_row);
bool store_frames_connector(const struct msg_in *m, struct store_connector *ret_row);
bool store_frames_event(const struct msg_in *m, struct store_event *ret_row);
bool store_frames_sign_in(const struct msg_in *m, struct store_sign_in *ret_row);
bool store_frames_rows(const struct msg_in *m, struct store_row rows[STORE_ROWS_A_FRAME], size_t *ret_n);
