/*
 * The life of the transport certificate: when a new one is due, getting it, and going over to it.
 */
#pragma once

#include "base/core/buffer.h"
#include "base/core/error.h"

struct bridge;
struct renewal;

/* Starts the watch over the certificate that the link uses. 0 or -ENOMEM. */
int renewal_new(struct renewal **ret_renewal, struct bridge *b);
struct renewal *renewal_free(struct renewal *renewal);
/* Sends the supervisor the text of a new transport.pem (FRAME_CERTIFICATE). 0 or -errno. */
int renewal_send_text(struct bridge *b, const struct buffer *text);
/* Asks it for the next transport key in hardware (FRAME_MAKE_KEY). */
void renewal_ask_for_key(struct bridge *b);
/* The next key in hardware, by its holder's socket, which is taken over: what renewal_ask_for_key asked for. */
void renewal_key(struct renewal *renewal, int fd);
/* The supervisor has stored what was sent, or not, or could have no key made (why). */
void renewal_stored(struct renewal *renewal, const char *why);
/* The second link is up, or will not be. */
void renewal_link_up(struct renewal *renewal);
/* What `postern status` shows: s since the epoch of the next try, and what the last one said ("" : nothing). */
int64_t renewal_next(const struct renewal *renewal);
const char *renewal_why(const struct renewal *renewal);
/* The same for the certificate in use, when no link can be made. */
const char *renewal_flaw(const struct renewal *renewal, char *out, size_t cap);
/*
 * What a certificate of this life says of the clock, in words for whoever has to act: NULL where now lies in it.
 */
const char *renewal_clock_flaw(int64_t not_before, int64_t not_after, int64_t now, char *out, size_t cap);
