/*
 * Sixteen lanes: AVX-512.
 */
#include "validate/krb/lanes-run.h"

#ifdef __x86_64__
#define LANES 16
#define LANES_RUN krb_lanes_run_16
#define LANES_TARGET __attribute__((target("avx512f")))
#include "validate/krb/lanes-kernel.h"
#endif
