/*
 * Whether OpenSSL, as this machine's openssl.cnf has set it up, can do what Postern needs.
 *
 * A configuration that names a provider which isn't there, or forbids an algorithm, shows otherwise as "out of memory",
 * as a key that is none, or as a database without an error. Each program asks once, when it starts.
 */
#pragma once

#include <openssl/types.h>

#include "base/core/error.h"

/* Known answers of every primitive of ours. -ENOTSUP: err names what doesn't work, the configuration file and what is
 * wrong with it. Leaves OpenSSL's error queue empty. */
int crypto_self_test(struct error *err);
/* Says the same of something else that failed: what, OpenSSL's reason, the file. Returns -ENOTSUP. */
int crypto_self_test_fail(struct error *err, const char *what);
