/*
 * Keys in hardware: opened or made through a postern-keyholder of this process' own.
 */
#pragma once

#include <stdbool.h>

#include "base/core/secret.h"
#include "certs/keys/key.h"

/* Whether the option's or file's text names a key in hardware. */
bool hardware_named(const char *text);

/* Asks a person for a PIN. 0 with one that is not empty, to be freed; -errno with err. */
typedef int hardware_ask_fn(struct secret **ret_pin, struct error *err);

struct hardware_request {
        const char *reference; /* a URI, or a TSS2 PEM text */
        bool make;             /* make it where the token has none of that name; tpm2: always makes one */
        hardware_ask_fn
                *ask; /* for a PIN that the token wants and the URI gives no file for; NULL: nobody can be asked */
};
/* The key, and in name (appended to; may be NULL) the text that names it from now on. Codes of
 * key_from_holder. The PIN is offered once. */
int hardware_key(const struct hardware_request *request, struct key **ret_key, struct buffer *name, struct error *err);
/* Makes the next key after the one that reference names; as hardware_key. */
int hardware_renew(const char *reference, struct key **ret_key, struct buffer *name, struct error *err);
