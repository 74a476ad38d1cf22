/*
 * Internal to certs: shared by reading and editing a roster.
 */
#pragma once

#include "certs/roster.h"

/* 1..NAME_MAX_LEN bytes of UTF-8 without control characters. */
bool roster_name_valid(const char *name);
void roster_member_clear(struct roster_member *member);
