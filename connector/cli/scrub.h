/*
 * Taking secrets and people's names out of what leaves the host.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/core/buffer.h"

struct scrub;

/* With a key of its own; names: people's stay as they are. 0 or -ENOMEM. */
int scrub_new(struct scrub **ret_scrub, bool names);
struct scrub *scrub_free(struct scrub *scrub);
/* Learns the people that these records (an array) name, so that their names are found in other texts. */
void scrub_learn(struct scrub *scrub, const json_t *records);
/* Replaces, below value, the members that name people by pseudonyms. */
void scrub_json(struct scrub *scrub, json_t *value);
/* Appends the text with the names that were learnt replaced, and what looks like a password in a URL cut out. 0 or
 * -errno. */
int scrub_text(const struct scrub *scrub, const char *text, size_t n, struct buffer *out);
/* Appends a configuration's lines, comments left out, values that can hold a secret cut out. 0 or -errno. */
int scrub_config(const char *text, size_t n, struct buffer *out);
