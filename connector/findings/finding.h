/*
 * The one table of findings: every code that `postern status` and `postern check` can name, how much it stops, what it
 * means and what to do. Metrics, man pages and the helpdesk's page read the same rows.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* How much of the work a finding stops; the lower the worse. */
enum finding_level {
        FINDING_STOPS = 0, /* no sign-in can succeed at this connector */
        FINDING_LIMITS,    /* some sign-ins fail: a domain's, a domain controller's */
        FINDING_WARNS,     /* sign-ins succeed now, and may not later */
        FINDING_LEVELS
};

struct finding_info {
        const char *code; /* stays the same over versions: "link_down" */
        enum finding_level level;
        const char *meaning; /* a sentence without its full stop: what it is and what follows from it */
        const char *remedy;  /* what to do where the finding brings no better one; "" where it mends itself */
};

/* The row at this place; NULL behind the last one. */
const struct finding_info *finding_at(size_t i);
/* The row of the code; NULL where there is none. */
const struct finding_info *finding_info(const char *code);
/* "stops", "limits", "warns": literal. */
const char *finding_level_text(enum finding_level level);

/* What a finding is about. Everything but the code may be absent (NULL, 0). */
struct finding {
        const char *code, *about, *remedy; /* remedy: NULL: the table's */
        const char *detail;                /* code of the cause within the code: a reason, a detail of a reason */
        long long since;                   /* s since the epoch */
};
/* Appends {"code","level","about"?,"detail"?,"since"?,"cause","remedy"?} to the array; the cause as printf makes it.
 * The object stays the list's. NULL without memory. */
json_t *finding_add(json_t *list, struct finding f, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "stopped", "limited", "warned" or "well", by the worst of the findings: literal. */
const char *finding_state(const json_t *findings);
