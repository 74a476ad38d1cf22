/*
 * Real tokens for tests: a SoftHSM token and a software TPM, each in a folder of its own.
 *
 * Setting one up sets the environment by which its module is found (SOFTHSM2_CONF, TPM2OPENSSL_TCTI), which
 * holders started from here inherit. Every failure of the set-up fails the test.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "certs/keys/key-holder.h"

#define TOKEN_PIN "1234-secret"

struct softhsm {
        char dir[64], pin_file[96], wrong_pin_file[96];
};
/* A token with the label "postern". */
void softhsm_begin(struct softhsm *h);
void softhsm_end(struct softhsm *h);

struct swtpm {
        char dir[64];
        pid_t pid;
};
void swtpm_begin(struct swtpm *t);
void swtpm_end(struct swtpm *t);

/* Runs a program to its end with output thrown away; false unless it exits 0. The list ends with NULL. */
bool run(const char *program, ...) __attribute__((sentinel));

/* Starts the holder that $KEYHOLDER names for this URI or PEM text; pin_file may be NULL. 0, or
 * key_from_holder's codes. */
struct holder {
        pid_t pid;
        struct key *key;
        struct buffer name;
        struct error err;
};
int holder_open(struct holder *h, const char *reference, const char *pin_file, bool make);
/* Ends it by giving up the key; its exit code. */
int holder_close(struct holder *h);
