/*
 * A person's key on the command line: where its folder is, and asking every connector with it.
 */
#pragma once

#include "connector/cli/cli.h"
#include "connector/person/everywhere.h"

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

/* everywhere_open of the options' folder, which asks for the passphrase. 0 or -errno with err. */
int person_open(struct everywhere_person *ret_p, struct error *err);

/* person-ask.c: everywhere_ask of that person, as view_ask: on failure the reason was printed and *ret_code is the exit
 * code. That some connectors are silent is none; that all are is CLI_UNAVAILABLE, which the caller returns. */
int person_ask(struct cli *cli, const struct question_claims *question, json_t **ret_answer, int *ret_code);
/* On standard error: who is silent, and what that means for what was shown. */
void person_tell(const json_t *answer);
/* How far back the records of each go, for who was looked for in vain. */
void person_tell_reach(const json_t *answer);
