/*
 * Values of keys. Internal to the configuration engine.
 */
#pragma once

#include "base/conf/conf.h"

/* Sets the key's field in base from value. 0; -EINVAL with what is wrong, and what is allowed, in err; -ENOMEM. */
int conf_value_set(struct conf *conf, const struct conf_key *key, void *base, const char *value, struct error *err);
/* Whether the key's field holds nothing: no text, no item, 0. */
bool conf_value_empty(const struct conf_key *key, const void *base);
/* What is allowed, for humans. */
void conf_value_range(const struct conf_key *key, struct buffer *out);
