/*
 * Room that several share: whoever needs it may borrow what nobody uses, but for a reserve of each of the others, so
 * that one alone fills half of it and more and never all of it. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept for each of n in max places: half of all, in equal parts. */
static inline size_t share_reserve(size_t n, size_t max)
{
        size_t reserve = n > 1 ? max / (2 * n) : 0;

        return reserve == 0 && n > 1 && max > n ? 1 : reserve;
}

/* Whether number i of n, which have used[] of the max places, may take one more. */
static inline bool share_allows(const uint32_t *used, size_t n, size_t i, size_t max)
{
        size_t reserve = share_reserve(n, max), total = 0, kept = 0;

        for (size_t k = 0; k < n; k++) {
                total += used[k];
                kept += k != i && used[k] < reserve ? reserve - used[k] : 0;
        }
        return total < max && (used[i] < reserve || total + kept < max);
}
