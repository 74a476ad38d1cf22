/*
 * Four lanes: what every CPU that we build for can do (SSE2, NEON, or plain words).
 */
#include "validate/krb/lanes-run.h"

#define LANES 4
#define LANES_RUN krb_lanes_run_4
#define LANES_TARGET
#include "validate/krb/lanes-kernel.h"
