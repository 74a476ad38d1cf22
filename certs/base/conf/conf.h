/*
 * The configuration engine: one table of keys drives the reader, --check-config, the sample file and the man page.
 *
 * A program describes its file by a struct conf_schema: sections, and in each a row per key that says type, bounds,
 * default and documentation. Reading fills the program's own struct by offset. Every mistake of every file is found
 * in one run and told as `FILE:LINE: KEY: what is wrong, what is allowed`. What the engine accepts is complete: each
 * key has its value or its default. Nothing here opens a file that a key names, or looks a name up.
 *
 * A new key is one row of the table, one field of the struct, and its use.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

#define CONF_TEXT_MAX (256 * 1024) /* of all files together */
#define CONF_ERRORS_MAX 100        /* that are told; past it only the count goes on */

/* What every configuration begins with: the texts that its fields point to, which live as long as it does. */
struct conf {
        struct conf_text *texts;
};

enum conf_type { CONF_TEXT = 0, CONF_NUMBER, CONF_WORD, CONF_LIST };

struct conf_word {
        const char *word;
        unsigned value;
};

/* Says in err what is wrong with value, without repeating what could be a secret. 0 or -EINVAL. */
typedef int conf_check_fn(const char *value, struct error *err);
/* Parses one item of a list into its slot, which is zero; texts come from conf_text. 0, -EINVAL, -ENOMEM. */
typedef int conf_item_fn(struct conf *conf, void *slot, const char *item, struct error *err);

/* Another key that must be given where this one is. */
struct conf_need {
        const char *key, *why; /* why: for humans, or NULL */
};

struct conf_key {
        const char *name;
        size_t offset, size; /* of the field in its section's struct; size of a list: of one item */
        enum conf_type type; /* text: const char *, NULL where absent or empty; number, word: 1 to 8 bytes wide */
        uint32_t min, max;   /* number: value; text: bytes; list: items */
        uint32_t scale;      /* number: what the field counts of one unit of the key; 0: 1 */
        bool required;       /* text, list */
        bool repeats;        /* list: the key may be given again and adds its items */
        size_t offset_n;     /* list: of the size_t that counts the items; 0: none, items end at the first zero slot */
        const char *initial; /* default as one would write it; NULL: none */
        const char *range;   /* allowed values, for humans; NULL: said by min and max, or words */
        const char *otherwise;         /* what an absent key means, where `initial` doesn't say it; for humans */
        const char *example;           /* set in the sample file, one line for each of its lines; NULL: commented out */
        const char *help;              /* for humans, with its full stop */
        conf_check_fn *check;          /* text, and list without item; NULL: any text */
        conf_item_fn *item;            /* list; NULL: items are texts that check judges */
        const struct conf_word *words; /* word; ends with NULL */
        struct conf_need needs[2];
};

/* The field of a row: .name, .offset and .size; of a list, .max and .type as well. */
#define CONF_FIELD(type_, key_, field_)                                                                                \
        .name = (key_), .offset = offsetof(type_, field_), .size = sizeof(((type_ *)NULL)->field_)
#define CONF_ITEMS(type_, key_, field_)                                                                                \
        .name = (key_), .offset = offsetof(type_, field_), .size = sizeof(((type_ *)NULL)->field_[0]),                 \
        .type = CONF_LIST, .max = sizeof(((type_ *)NULL)->field_) / sizeof(((type_ *)NULL)->field_[0])

/*
 * [NAME], one, whose struct is the whole configuration, or a member of it at offset; or [NAME WHICH], several, in an
 * array of it: WHICH, in lower case, is the first member of each struct, a const char *.
 */
struct conf_section {
        const char *name;
        const struct conf_key *keys;
        size_t n_keys;
        const char *which;           /* what WHICH is called for humans; NULL: there is one such section */
        size_t offset, size, max;    /* one: its struct; several: the array, one struct of it, and how many */
        size_t offset_n;             /* several: of the size_t that counts them */
        conf_check_fn *check;        /* several: judges WHICH */
        bool required;               /* several: at least one */
        const char *comment, *title; /* several: of the sample file, and the section's line in it; commented out where
                                        it begins with #, for which its keys have no example */
};

struct conf_reader;

struct conf_schema {
        size_t size; /* of the program's struct, which begins with a struct conf */
        const struct conf_section *sections;
        size_t n_sections;
        const char *page, *sample; /* the man page that lists the keys, and the sample file: for humans */
        /* Defaults that follow from other keys, and what keys demand of each other: by conf_fault and conf_lacks. Runs
         * once after all files, on sound values alone. NULL, or 0 or -ENOMEM. */
        int (*relate)(struct conf_reader *r, struct conf *conf);
};

struct conf_errors {
        size_t n;
        struct buffer lines; /* each ends with a newline */
};
#define CONF_ERRORS ((struct conf_errors){0, BUFFER(64 * 1024)})
void conf_errors_clear(struct conf_errors *e);

/*
 * Reads a file, or every *.conf of a folder in the order of their names. 0 and an owned *ret_conf; -EINVAL with
 * errors->n >= 1 (also where a file can't be read); -ENOMEM. merged (may be NULL) takes the text of all files one
 * after the other, which conf_from_fd understands.
 */
int conf_load(struct conf **ret_conf, const struct conf_schema *schema, const char *path, struct buffer *merged,
              struct conf_errors *errors);
/* For a child: reads from the start of fd (not owned) what its parent has checked and merged. err names the first
 * error; there is none unless the two programs are of different versions. */
int conf_from_fd(struct conf **ret_conf, const struct conf_schema *schema, int fd, struct error *err);
/* Frees the configuration and every text in it. */
struct conf *conf_free(struct conf *conf);

/* A copy of text that lives as long as conf; NULL: out of memory. */
char *conf_text(struct conf *conf, const char *text);

/* For relate. Notes a mistake at the key of the struct of base (the configuration, or one of a section's array), or
 * where the section begins if the key is absent or NULL. */
void conf_fault(struct conf_reader *r, const void *base, const char *key, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
/* For relate. Whether the key has no value, and not because its value was refused. */
bool conf_lacks(const struct conf_reader *r, const void *base, const char *key);

/* The words of a log_level, for a field of enum log_level. */
extern const struct conf_word conf_log_levels[];

/* Checks that every program needs. */
int conf_check_path(const char *value, struct error *err);
int conf_check_label(const char *value, struct error *err);
int conf_check_user(const char *value, struct error *err);
/* Takes ADDRESS:PORT apart: a numeric address, of IPv6 in brackets (which host then lacks), and a port, 0 included.
 * -EINVAL with err. */
int conf_address(const char *text, char *host, size_t cap, uint16_t *ret_port, struct error *err);

/* The commented sample file. intro: lines of text for its head. */
void conf_write_sample(FILE *out, const struct conf_schema *schema, const char *const *intro);
/* The keys as man(7) paragraphs. */
void conf_write_man(FILE *out, const struct conf_schema *schema);
