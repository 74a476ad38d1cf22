/*
 * enrolment.json: who this connector is.
 */
#pragma once

#include "connector/validator/validator.h"

/* Reads it from fd (not owned); the strings are owned by *ret_e. */
int enrolment_read(struct enrolment *ret_e, int fd, struct error *err);
void enrolment_clear(struct enrolment *e);
