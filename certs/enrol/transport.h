/*
 * transport.pem: the transport key, or what names it in hardware, and the certificate's chain: in one file, so that
 * both change at once. As `postern enroll` writes it first, it holds the chain alone, and transport.key the other.
 */
#pragma once

#include "base/core/buffer.h"

/*
 * Takes it apart: a key's PEM block, or the name of one in hardware (certs/keys/key-uri.h), goes to *key, the rest to
 * *chain; *key is left as it is where there is none. 0, -EBADMSG where the block does not end, or -EMSGSIZE.
 */
int transport_split(const struct buffer *text, struct buffer *key, struct buffer *chain);
/* The other way round, appended to *text. 0 or -EMSGSIZE. */
int transport_join(struct buffer *text, const struct buffer *key, const struct buffer *chain);
