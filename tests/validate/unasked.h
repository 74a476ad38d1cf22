/*
 * What the lab's AD tells of an account to whoever only names it. DCs differ in that: Samba 4.17 tells nothing before
 * it has looked at a password, 4.22 tells most states. The tests ask the DC itself, so that they expect of each what it
 * does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether the DC answers a request without preauthentication for the account with its state, instead of asking for a
 * password; *ret_ntstatus: the cause that it gives, or 0. One request, with libkrb5 alone; no attempt, nothing counts.
 */
bool unasked_tells(const char *sam, uint32_t *ret_ntstatus);
