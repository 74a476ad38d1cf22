/*
 * enrolment.json: who this connector is.
 */
#pragma once

#include "certs/keys/key.h"

struct enrolment {
        char *relay, *tenant, *id, *name;
        char pin[KID_LEN + 1];
};

/* Reads it from fd (not owned); the strings are owned by *ret_e. */
int enrolment_read(struct enrolment *ret_e, int fd, struct error *err);
void enrolment_clear(struct enrolment *e);
