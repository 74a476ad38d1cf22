/*
 * Folders: where the files of a tenant's admin, a service, a person or a connector are.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/core/error.h"
#include "base/core/secret.h"

#define FOLDER_PATH_MAX 4096

/* ${XDG_CONFIG_HOME:-~/.config}/postern/<what>; malloc. NULL where neither variable is set. */
char *folder_default(const char *what);
/* dir/file into out (FOLDER_PATH_MAX bytes; a longer one is cut and then not found). */
void folder_path(char *out, const char *dir, const char *file);
/* mkdir -p, the last part with mode 0700. -EPERM where it exists and somebody else could write to it. */
int folder_make(const char *dir, struct error *err);
/* Writes json (reference taken over; NULL means out of memory) to dir/file, atomically, indented. */
int folder_write_json(const char *dir, const char *file, json_t *json, unsigned mode, struct error *err);
/* Remembers path as an absolute one; NULL changes nothing. -ENOENT and the like where the file isn't there.
 */
int folder_set_path(char **to, const char *path, struct error *err);
/* A relay's URL as it was typed, before it is remembered; NULL is right. -EINVAL with err where it is no https URL. */
int folder_check_relay(const char *url, struct error *err);
/* The same of several, with blanks between. */
int folder_check_relays(const char *urls, struct error *err);
/* The secret that a file holds alone on its one line (base/core/admin-text.h). *ret_secret is NULL for an empty file
 * (outcome 1). -errno with err. */
int folder_secret_read(const char *path, struct secret **ret_secret, struct error *err);
