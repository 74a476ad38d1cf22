/*
 * The accounts of the sandbox: one for each reason of the one table (validate/types/outcome-table.c), and some that are
 * slow. Nothing that anybody types is checked against anything but these.
 *
 * An account is called as its reason, with hyphens: locked-out@sandbox.invalid. So is the beginning of a name where
 * only one account begins so (locked@), and with a tag behind a plus sign it is another account of the same kind
 * (locked+7@), so that tests that run side by side do not meet.
 */
#pragma once

#include <stdio.h>

#include "validate/fake/fake.h"

#define SANDBOX_DOMAIN "corp.sandbox.invalid" /* user.domain of every verdict */
#define SANDBOX_SUFFIX "sandbox.invalid"      /* what people type behind the @ */
#define SANDBOX_NETBIOS "SANDBOX"
#define SANDBOX_SID "S-1-5-21-3735928559-3735928559-3735928559"
#define SANDBOX_HOST "dc1.corp.sandbox.invalid"
#define SANDBOX_PASSWORD "sandbox" /* the right one of every account, until it is changed */

/* What an account does. */
struct sandbox_kind {
        enum reason reason;
        uint32_t ms; /* until it answers; FAKE_NEVER */
};

/* The kind of the account with this name: what stands before the @, in any case. What is no account's name is
 * REASON_UNKNOWN_USER's. */
struct sandbox_kind sandbox_kind_of(const char *user);
/* A table of the accounts, what each answers and to whom. */
void sandbox_accounts_print(FILE *out);

/* Passwords that were changed, of at most so many accounts: the oldest is forgotten, and has SANDBOX_PASSWORD again. */
#define SANDBOX_CHANGED_MAX 256
struct sandbox_accounts;
/* NULL without memory. */
struct sandbox_accounts *sandbox_accounts_new(void);
struct sandbox_accounts *sandbox_accounts_free(struct sandbox_accounts *accounts);
/* A fake_script_fn; arg: struct sandbox_accounts. */
void sandbox_accounts_answer(void *arg, const struct fake_question *question, struct fake_answer *ret_answer);
