/*
 * A bounded list of (name, value) texts in one block, in the order they came: attributes of an account.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PAIRS_BYTES_MAX 1600
#define PAIRS_NAME_MAX 64

/* All zero is empty. */
struct pairs {
        size_t len;
        char bytes[PAIRS_BYTES_MAX]; /* name NUL value NUL ... */
};

/* 0; -ENOSPC where it does not fit, -EINVAL for a name or value with NUL, or an empty or too long name: then nothing
 * was added. */
int pairs_add(struct pairs *p, const char *name, const char *value, size_t n);
/* Walks: *at starts at 0. False at the end. What is returned points into p. */
bool pairs_next(const struct pairs *p, size_t *at, const char **ret_name, const char **ret_value);
/* Takes the last one out. False when it is empty. */
bool pairs_drop_last(struct pairs *p);
