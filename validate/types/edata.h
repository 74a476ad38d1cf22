/*
 * The NTSTATUS that a KDC hides in the e-data of a KRB-ERROR ([MS-KILE] 2.2.2 KERB-EXT-ERROR).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads all three shapes that are seen: METHOD-DATA with an element of type 3, a bare KERB-ERROR-DATA
 * { [1] 3, [2] bytes }, and the 12 bytes alone. False where there is none, or anything is malformed.
 */
bool edata_ntstatus(const uint8_t *bytes, size_t n, uint32_t *ret_status);
/* Whether there is no e-data, or METHOD-DATA without an extended error: the KDC gave no cause. */
bool edata_silent(const uint8_t *bytes, size_t n);
