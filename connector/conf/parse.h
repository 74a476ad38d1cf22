/*
 * The state of one run over the files of a configuration. Internal to config.c and conf/relate.c.
 */
#pragma once

#include "connector/conf/internal.h"

#define CONFIG_FILES_MAX 64

struct config_place {
        const char *file;       /* NULL: never set */
        unsigned file_no, line; /* line 0: the file as a whole */
        bool refused;           /* of a key: its value was, and that was said */
};

struct config_fault {
        struct config_place place;
        size_t order;
        char text[ERROR_TEXT_MAX + 64];
};

/* Where each key of one section stands; the index is the row of the table. */
struct config_section_notes {
        struct config_place opened, set[CONFIG_KEYS_MAX];
};

struct config_parser {
        struct config *config;
        const char *text; /* the file being read */
        size_t len, at;
        struct config_place place;
        bool first_pass, values_pass, no_memory;
        bool in_section;                    /* a section line was seen in this file */
        enum config_section section;        /* where the keys go now ... */
        struct config_section_notes *notes; /* ... NULL: the section was refused */
        unsigned n_files, blanked[CONFIG_ERRORS_MAX];
        size_t n_blanked, n_faults, n_paths;
        char *paths[CONFIG_FILES_MAX + 1];
        struct config_fault faults[CONFIG_ERRORS_MAX];
        struct config_section_notes connector_notes, domain_notes[CONFIG_DOMAINS_MAX];
};

/* Notes one error; key may be NULL. */
void parse_error(struct config_parser *p, const struct config_place *place, const char *key, const char *why);
/* Reads one file's text; faults are noted. file must live as long as p. 0 or -ENOMEM. */
int parse_text(struct config_parser *p, const char *file, const char *text, size_t n);
/* Fills in the defaults and checks what keys demand of each other. whole: the place of what has no line. 0 or
 * -ENOMEM. */
int config_relate(struct config_parser *p, const struct config_place *whole);
