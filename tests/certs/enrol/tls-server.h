/*
 * A TLS server of our own for the client's tests: it does on demand what a well-behaved relay never does.
 *
 * Runs as a child process on a free port of 127.0.0.1, one connection at a time. What it does is in the path
 * (tls-server.c, "behaviours"); below /.well-known/est/ the tenant's name chooses.
 */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <sys/types.h>

#include "certs/keys/key.h"

struct authority {
        struct key *key;
        X509 *cert;
        char dir[64]; /* of its files */
        char ca_file[96];
};

/* A CA with its certificate in a fresh folder. */
void authority_begin(struct authority *ca);
void authority_end(struct authority *ca);
/* A certificate from it. uri and dns may be NULL. days may be negative: expired. */
X509 *authority_issue(const struct authority *ca, EVP_PKEY *key, const char *cn, const char *san, int days);
/* PEM file `name` in its folder; the path goes to out (96 bytes). */
void authority_write(const struct authority *ca, const char *name, X509 *cert, const struct key *key, char *out);

struct tls_server {
        pid_t pid;
        int port;
};

enum tls_flaw { TLS_GOOD, TLS_EXPIRED, TLS_OLD_VERSION };

/* Serves as "localhost". Ready when it returns. */
void tls_server_start(struct tls_server *server, const struct authority *ca, enum tls_flaw flaw);
void tls_server_stop(struct tls_server *server);
