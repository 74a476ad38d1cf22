/*
 * Frames between the processes: SOCK_SEQPACKET pairs, each frame at most IPC_FRAME_MAX bytes, with an own send queue.
 *
 * A frame is a type byte and fields {tag u8, length u16 LE, bytes}; no tag twice. Writers build a frame in a
 * struct msg_out, readers take fields from a struct msg_in by tag. The reader trusts nothing: a malformed, truncated
 * (MSG_TRUNC) or empty frame closes the channel with a reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/ipc/loop.h"

#define IPC_FRAME_MAX 16384
#define IPC_FIELDS_MAX 64
#define IPC_QUEUE_MAX 4096 /* frames waiting in the send queue; past it ipc_send says -ENOBUFS */

struct msg_out {
        uint8_t data[IPC_FRAME_MAX];
        size_t len;
        bool overflow;
};

void msg_begin(struct msg_out *m, uint8_t type);
void msg_bytes(struct msg_out *m, uint8_t tag, const void *bytes, size_t n);
/* NULL is left out. */
void msg_str(struct msg_out *m, uint8_t tag, const char *s);
void msg_u64(struct msg_out *m, uint8_t tag, uint64_t value);

struct msg_field {
        uint8_t tag;
        uint16_t len;
        const uint8_t *bytes;
};

struct msg_in {
        uint8_t type;
        size_t n;
        struct msg_field fields[IPC_FIELDS_MAX];
};

/* Splits a frame; the fields point into bytes. -EBADMSG when it is malformed or has a tag twice. */
int msg_parse(struct msg_in *ret_m, const uint8_t *bytes, size_t n);
bool msg_has(const struct msg_in *m, uint8_t tag);
/* NULL and *ret_n = 0 where the tag is absent. */
const uint8_t *msg_get_bytes(const struct msg_in *m, uint8_t tag, size_t *ret_n);
/* Copies a string field into out (NUL added); -ENOENT, -EMSGSIZE (over cap - 1), -EBADMSG (embedded NUL, bad UTF-8). */
int msg_get_str(const struct msg_in *m, uint8_t tag, char *out, size_t cap);
/* fallback where absent or not 8 bytes long. */
uint64_t msg_get_u64(const struct msg_in *m, uint8_t tag, uint64_t fallback);

struct ipc;

/* fd is a descriptor that came with the frame or -1; the callee owns it. */
typedef void ipc_frame_fn(void *arg, const struct msg_in *m, int fd);
/* Called once, when the peer closed or broke the rules (why says which). The callee frees the channel. */
typedef void ipc_closed_fn(void *arg, const char *why);

/* Takes over fd (made non-blocking). 0 or -ENOMEM. */
int ipc_new(struct ipc **ret_ipc, struct loop *loop, int fd, ipc_frame_fn *on_frame, ipc_closed_fn *on_closed,
            void *arg);
struct ipc *ipc_free(struct ipc *ipc);

struct frame_table;
/* Called for the first frame of a channel that broke its rules; type is as sent. */
typedef void ipc_refused_fn(void *arg, uint8_t type, const char *why);
/*
 * Holds the channel to a table (frames.h), of which it is part `self` and its peer part `peer`: what the peer may not
 * send does not reach on_frame but is dropped, logged, and for the first time told to refused (may be NULL; arg is
 * ipc_new's); what this side may not send fails with -EPROTO and is logged. table is borrowed until the channel is
 * freed.
 */
void ipc_set_rules(struct ipc *ipc, const struct frame_table *table, unsigned self, unsigned peer,
                   ipc_refused_fn *refused);
/* Sends or queues the frame, in order. 0, -EMSGSIZE (overflow while building), -EPROTO (ipc_set_rules), -ENOBUFS,
 * -EPIPE. */
int ipc_send(struct ipc *ipc, const struct msg_out *m);
/* The same, with a descriptor (duplicated; the caller keeps its own). */
int ipc_send_fd(struct ipc *ipc, const struct msg_out *m, int fd);
/* Reads what had arrived before the peer's end, calling back as the loop would; for who knows of that end from
 * elsewhere. */
void ipc_read_rest(struct ipc *ipc);
size_t ipc_queued(const struct ipc *ipc);
/* A connected pair, close-on-exec, with send buffers fit for IPC_FRAME_MAX frames. 0 or -errno. */
int ipc_pair(int ret_fds[2]);
