/*
 * Asking every connector of the tenant at once, with a person's key through the relay (PROTOCOL.md, section 21).
 */
#pragma once

#include <jansson.h>

#include "connector/person/hardware.h"
#include "connector/person/service-store.h"
#include "queue/wire/question.h"

/* Who asks: the folder, its key opened, and the relay's secret for the helpdesk. Owned. */
struct everywhere_person {
        struct service_store store;
        struct secret *bearer;
};
struct everywhere_key {
        const char *dir;             /* the person's folder */
        hardware_ask_fn *passphrase; /* called where the key is encrypted; NULL: there is none */
        hardware_ask_fn *pin;        /* of a token; or NULL */
};
/* Reads all that asking takes; the secret arena must be there. 0 or -errno with err. */
int everywhere_open(struct everywhere_person *ret_p, const struct everywhere_key *key, struct error *err);
void everywhere_close(struct everywhere_person *p);

/*
 * Asks all connectors that serve one of the person's domains, blocking, for at most some 10 s for each node of the
 * relay. The answer is in the form of one ledger's (frames/control.h), its records are those of all, the newest first,
 * each with the "connector" that it is of; "everywhere" says who of them answered, with its own "answer", and who did
 * not and why. 0, also where all are silent; -EACCES: by the roster this person may not ask; else nobody could be
 * asked, and err says why. What was seen of the roster is remembered in the folder.
 */
int everywhere_ask(struct everywhere_person *p, const struct question_claims *question, json_t **ret_answer,
                   struct error *err);
