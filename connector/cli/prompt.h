/*
 * Asking a person, or standard input, for a password or passphrase. Never from an argument or the
 * environment.
 */
#pragma once

#include "base/core/secret.h"
#include "connector/cli/cli.h"

/*
 * Undumpable, no core; secret arena and secure heap locked; JSON wiped on free. Every command that touches a
 * key or a password calls it first, before any JSON. -EPERM and the like after telling the user.
 */
int secrets_setup(const struct cli *cli);

/*
 * With a terminal on standard input: shows the prompt on the terminal and reads one line without echo.
 * Otherwise reads standard input up to a newline or its end. The newline is not part of it. *ret_secret is
 * NULL for an empty line (outcome 1). -EMSGSIZE over SECRET_MAX bytes, -EIO, -EINTR (the terminal's mode is
 * restored) with err.
 */
int prompt_secret(const char *prompt, struct secret **ret_secret, struct error *err);
/* A token's PIN: a hardware_ask_fn. -EINVAL where it is empty; else as prompt_secret. */
int prompt_pin(struct secret **ret_pin, struct error *err);
/* The passphrase of a key: of the file (NULL: asked for). -EINVAL where it is empty; else as they. */
int prompt_passphrase(const char *file, const char *prompt, struct secret **ret_secret, struct error *err);
/* The same for a new key: asked twice where a person types it, and both must be one. *ret_secret may be set on failure,
 * too. */
int prompt_new_passphrase(const char *file, const char *prompt, struct secret **ret_secret, struct error *err);
