/*
 * A question in saslauthd's protocol: login, password, service and realm, each behind its length in two bytes, the
 * higher first (saslauthd/ipc_unix.c of Cyrus SASL). The answer is of that form, too, and begins with OK or NO.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SASL_FIELDS 4
#define SASL_QUESTION_MAX (SASL_FIELDS * 2 + 256 + 1024 + 256 + 256)

struct sasl_question {
        struct sasl_field {
                const char *bytes; /* into what was read */
                size_t n;
        } login, password, service, realm;
};

/* 0 with the whole question in n bytes; 1: more is to come; -EBADMSG: a field is longer than any may be, or more bytes
 * came than a question has. */
int sasl_question_read(struct sasl_question *ret_question, const uint8_t *bytes, size_t n);
/* The user whom it asks for: login, or login@realm where the login names no domain. Its length, which is at most cap;
 * -EMSGSIZE. */
int sasl_user(const struct sasl_question *q, char *out, size_t cap);
