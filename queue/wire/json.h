/*
 * Internal to queue: what the codecs of wire.h read beyond what certs/codec/json.h knows.
 */
#pragma once

#include "certs/codec/json.h"
#include "certs/trust/claims.h"
#include "base/ipc/loop.h"

/* An array of at most max ids, into a new one; NULL where it is empty. */
void wire_read_ids(struct json_reader *r, const char *key, size_t max, char (**ret_ids)[ID_MAX + 1], size_t *ret_n);
/* A text of base64url and dots, not empty where it is there, into memory of its own. */
void wire_read_jose(struct json_reader *r, const char *key, enum json_need need, size_t max, char **ret_text);
/* An array of texts, where it is one, as lines: as many as fit whole into cap bytes. */
void wire_read_lines(struct json_reader *r, const char *key, char *out, size_t cap);

#define JSON_TIME_MAX INT64_C(253402300799)    /* the last second of the year 9999 */
#define JSON_SEQ_MAX INT64_C(9007199254740991) /* 2^53 - 1 */
