/*
 * One line that a client of the control socket sent: {"do":"status"}, {"do":"log",...} or
 * {"do":"explain","what":...}, or {"do":"report","since":...,"until":...}; the same with slow and unusual.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"

#define REQUEST_LINE_MAX 4096
#define REQUEST_TEXT_MAX 512
#define REQUEST_LIMIT_MAX 500

#define REQUEST_STEP_MIN 60
#define REQUEST_LOOK_S (8 * 86400)   /* the longest stretch of slow and unusual */
#define REQUEST_REPORT_S (25 * 3600) /* the longest stretch of a report: a day, also when clocks change */

enum request_do {
        REQUEST_STATUS = 1,
        REQUEST_LOG,
        REQUEST_EXPLAIN,
        REQUEST_REPORT,
        REQUEST_SLOW,
        REQUEST_UNUSUAL,
        REQUEST_ERASE,
        REQUEST_QUESTIONS,
        REQUEST_GUARD
};

struct request {
        enum request_do what_to_do;
        char user[REQUEST_TEXT_MAX + 1];   /* log: or "" */
        char person[REQUEST_TEXT_MAX + 1]; /* for whom the helpdesk's page asks, or "" */
        char what[REQUEST_TEXT_MAX + 1];   /* explain: an id or a name */
        char verdict[16];                  /* log: "accepted" "refused" "unavailable" "declined" or "" */
        int64_t since, until;              /* s since the epoch; 0: open */
        int64_t step;                      /* report: s that are counted together; 0: no series */
        uint32_t limit;                    /* 1 to REQUEST_LIMIT_MAX */
        bool events;                       /* log: events instead of sign-ins */
        bool users;                        /* report: names of users, for administrators */
        bool release;                      /* guard: what it counted is forgotten */
};

/* "status", "log" ...: literal. */
const char *request_do_text(enum request_do what);
/* Whether it shows or changes something of people, and so is told to whoever gathers records. */
bool request_is_act(const struct request *request);

/* Every member checked; an unknown one is refused by name. -EBADMSG with err. */
int request_parse(struct request *ret_r, const char *line, size_t n, struct error *err);
