/*
 * What can be wrong with a relay itself: one table of codes, and the rules that hold before a start (--check-config)
 * and while it runs (its log, its metrics, systemctl status).
 */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "queue/relay/config.h"

struct relay_fault_info {
        const char *code;    /* stays the same over versions: "certificate_expired" */
        bool stops;          /* connectors or services cannot use the relay, or it cannot start; else it is a warning */
        const char *meaning; /* a sentence without its full stop */
        const char *remedy;
};
/* The row at this place; NULL behind the last one. */
const struct relay_fault_info *relay_fault_at(size_t i);

#define RELAY_FAULTS_MAX 24
struct relay_fault {
        const struct relay_fault_info *info;
        char text[512]; /* what is wrong here: a sentence without its full stop, which may name the remedy */
};
struct relay_faults {
        struct relay_fault all[RELAY_FAULTS_MAX];
        size_t n;
};
/* Adds one of the table's; what is over RELAY_FAULTS_MAX is left out. */
void relay_faults_add(struct relay_faults *faults, const char *code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
/* How many of them stop. */
size_t relay_faults_stopping(const struct relay_faults *faults);

/* The server's certificate: dates and purpose now (s since the epoch), and that it names a node of node_url, if any. */
void relay_faults_certificate(struct relay_faults *faults, X509 *cert, const struct relay_config *config, int64_t now);
/* The dates of what issues connectors' certificates. */
void relay_faults_ca(struct relay_faults *faults, X509 *ca, int64_t now);
/* The room on the disk of state_dir. */
void relay_faults_disk(struct relay_faults *faults, const char *state_dir);
