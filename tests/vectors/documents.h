/*
 * The vector files as JSON: one document each.
 */
#pragma once

#include <jansson.h>

struct document {
        const char *file;
        json_t *(*make)(void); /* a new reference */
};
/* Ends with a row whose file is NULL. */
extern const struct document documents[];

/* question.c */
json_t *make_question_document(void);
