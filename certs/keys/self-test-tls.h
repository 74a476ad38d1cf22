/*
 * The part of self-test.h for programs that speak TLS.
 */
#pragma once

#include "base/core/error.h"

/* crypto_self_test, and whether a TLS context can be made. -ENOTSUP with err. */
int tls_self_test(struct error *err);
