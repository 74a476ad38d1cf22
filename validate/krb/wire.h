/*
 * One request and its reply over one TCP connection to a KDC (RFC 4120 7.2.2). Internal to the Kerberos
 * method.
 *
 * It sends the request once, whatever happens, and never to anybody else. It knows nothing of what is in it.
 */
#pragma once

#include <sys/socket.h>

#include "base/core/buffer.h"
#include "base/ipc/loop.h"

#define KRB_REPLY_MAX (128 * 1024) /* AD's largest tickets are below 64 KiB */

/*
 * Splits the length prefix off what arrived. 0 and the reply when it is complete, 1 when more is needed,
 * -EBADMSG when the prefix is 0, has its high bit set or announces more than KRB_REPLY_MAX.
 */
int krb_frame_parse(const struct buffer *in, const uint8_t **ret_reply, size_t *ret_n);

struct krb_wire;

/*
 * error 0: the reply, valid during the call. -EBADMSG: not a frame, or cut off in the middle. -ECONNRESET:
 * closed without a byte. Else the errno of the socket. Called once, from the loop; the callee frees the wire.
 */
typedef void krb_wire_fn(void *arg, int error, const uint8_t *reply, size_t n);

/* 0 or -ENOMEM. id (may be NULL) is copied. */
int krb_wire_new(struct krb_wire **ret, struct loop *loop, const char *id, krb_wire_fn *fn, void *arg);
/* Copies the request and starts to connect. Once per wire. 0 or -errno: then nothing left and fn is not
 * called. */
int krb_wire_send(struct krb_wire *wire, const struct sockaddr_storage *address, socklen_t len, const void *request,
                  size_t n);
struct krb_wire *krb_wire_free(struct krb_wire *wire);
bool krb_wire_connected(const struct krb_wire *wire);
/* Whether a byte of the request was handed to the socket. */
bool krb_wire_left(const struct krb_wire *wire);
/* Time from krb_wire_send until the connection stood, or until now. */
uint32_t krb_wire_connect_ms(const struct krb_wire *wire);
