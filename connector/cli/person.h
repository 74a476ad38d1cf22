/*
 * A person's key on the command line: where its folder is, and opening it.
 */
#pragma once

#include "connector/cli/cli.h"
#include "connector/cli/service-store.h"

struct person_options {
        const char *dir, *passphrase_file;
};
extern struct person_options person_o;

#define PERSON_OPTIONS                                                                                                 \
        {"person", "DIR", &person_o.dir, NULL, "your key's folder (~/.config/postern/person)"},                        \
        {                                                                                                              \
                "passphrase-file", "FILE", &person_o.passphrase_file, NULL, "your key's passphrase; else asked for"    \
        }

/* person-connectors.c */
int cmd_person_connectors(struct cli *cli, int argc, char **argv);

/* The folder, its key opened, with all that asking takes. 0 or -errno with err. */
int person_open(struct service_store *ret_s, struct error *err);
