/*
 * Records that leave the host as they come, for a SIEM: each sign-in, event and delivery, and each thing that somebody
 * asked of the control socket. postern-events(7) is what they look like.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/ipc/ipc.h"
#include "base/metrics/metrics.h"
#include "connector/ledger/request.h"

struct ledger;
struct ledger_outlets;

/* The ways out that the configuration names; none of them is open yet. connector: the id of this one. 0 or -ENOMEM. */
int ledger_outlets_new(struct ledger_outlets **ret_outlets, struct ledger *l, const char *connector);
/* Brings out what waits, as far as that goes in half a second for each way. */
struct ledger_outlets *ledger_outlets_free(struct ledger_outlets *outlets);
/* FRAME_FILE: whether it is one of them, and then fd is taken over. */
bool ledger_outlets_file(struct ledger_outlets *outlets, const char *name, int fd);

/* The rest does nothing where outlets is NULL, or names none. */
/* FRAME_RECORD, FRAME_UNANSWERED, FRAME_DELIVERY or FRAME_EVENT, as it was taken. */
void ledger_outlets_frame(struct ledger_outlets *outlets, const struct msg_in *m);
/* What somebody asked: request, or NULL for one that could not be read. refused: why not, or NULL. */
struct ledger_asker {
        uid_t uid;
        pid_t pid;
};
void ledger_outlets_act(struct ledger_outlets *outlets, const struct ledger_asker *asker, const struct request *request,
                        const char *refused);
/* What an administrator did on this host: a line of connector/frames/acts.h. */
void ledger_outlets_admin(struct ledger_outlets *outlets, const json_t *act);
/* {"events_file": {"path","open","sent","waiting","lost","lost_last","since","why"}}: a new object, NULL where none is
 * named. */
json_t *ledger_outlets_status(const struct ledger_outlets *outlets);
/* The families postern_outlet_*. */
void ledger_outlets_metrics(const struct ledger_outlets *outlets, struct metrics *m);
