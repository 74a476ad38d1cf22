/*
 * How often sign-ins of one key (a source's address, a name) may fail before further ones are refused here.
 *
 * Failures are counted as Active Directory counts its own: one that comes a whole window after the last begins at 1
 * again, and a success sets a name's count back. So no window, wherever it begins, sees more failures than the limit.
 * Sign-ins under way count as if they would fail. No clock of its own: times are given.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_KEY_MAX 300

struct limits;
/* Keeps at most max keys; those that were used longest ago make room, unless a sign-in of theirs is under way. NULL: no
 * memory. */
struct limits *limits_new(uint32_t failures, uint64_t window_ms, unsigned max);
struct limits *limits_free(struct limits *l);
/* 0: it may go on, and limits_end must follow; else in how many seconds it may be tried again. Without memory it may.
 */
uint32_t limits_begin(struct limits *l, const char *key, uint64_t now_ms);
/* Of how many keys nothing goes on at present. Looks at all. */
unsigned limits_stopped(const struct limits *l, uint64_t now_ms);
enum limits_end { LIMITS_FAILED = 0, LIMITS_UNDECIDED, LIMITS_SUCCEEDED, LIMITS_CLEARED };
/* LIMITS_CLEARED: a success that sets the count back. */
void limits_end(struct limits *l, const char *key, enum limits_end how, uint64_t now_ms);
