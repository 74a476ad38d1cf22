/*
 * The kernels, one file each. Internal to krb-lanes*.c.
 */
#pragma once

#include "validate/krb/lanes.h"

void krb_lanes_run_4(struct krb_lanes *lanes, uint32_t iterations);
#ifdef __x86_64__
void krb_lanes_run_8(struct krb_lanes *lanes, uint32_t iterations);  /* needs AVX2 */
void krb_lanes_run_16(struct krb_lanes *lanes, uint32_t iterations); /* needs AVX-512F */
#endif
