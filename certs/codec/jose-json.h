/*
 * Strict JSON as jansson's trees, for state files and what admins' tools show. What is signed, sealed or comes from a
 * peer is read by json.h.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

#define KID_LEN 43                            /* b64u of 32 bytes */
#define JOSE_INT_MAX ((INT64_C(1) << 53) - 1) /* the largest integer every JSON library reads exactly */

static inline json_t *json_free(json_t *json)
{
        json_decref(json);
        return NULL;
}
DEFINE_FREEP(json_t, json_free)

/* Parses exactly one JSON object: UTF-8, no duplicate members, nothing behind it. -EBADMSG. */
int jose_json_object(json_t **ret_object, const char *text, size_t n, const char *what, struct error *err);
/* Appends the compact text of a value. */
int jose_json_text(const json_t *value, struct buffer *out);
/*
 * Readers of one member; what names the object in err. All -EBADMSG; no text shows a value, so that objects
 * with credentials may be read with them.
 */
/* A string of min..max bytes; borrowed from the object. */
int jose_json_str(const json_t *object, const char *what, const char *name, size_t min, size_t max, const char **ret_s,
                  struct error *err);
/* The version "v" of a state file is 1 (or absent: as 1) to newest. -EPROTO: a newer program wrote it, which alone may
 * write it again. */
int jose_json_version(const json_t *file, const char *path, int64_t newest, struct error *err);
/* A kid: the base64url form of 32 bytes. */
int jose_json_kid(const json_t *object, const char *what, const char *name, char ret_kid[KID_LEN + 1],
                  struct error *err);
