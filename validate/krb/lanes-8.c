/*
 * Eight lanes: AVX2.
 */
#include "validate/krb/lanes-run.h"

#ifdef __x86_64__
#define LANES 8
#define LANES_RUN krb_lanes_run_8
#define LANES_TARGET __attribute__((target("avx2")))
#include "validate/krb/lanes-kernel.h"
#endif
