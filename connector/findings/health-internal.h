/*
 * What the rules of health share. For health.c and health-domains.c only.
 */
#pragma once

#include <stdbool.h>

#include "connector/findings/facts.h"
#include "connector/findings/finding.h"
#include "connector/findings/health.h"

#define HEALTH_STALE_S 15 /* link and validator speak every 5 s */
#define HEALTH_CLOCK_S 60 /* by which clocks may differ */

struct health {
        json_t *parts, *list;
        long long now;
};

/* health-domains.c: domains, their controllers and SIDs. in_roster: whether the roster holds this connector. */
void health_domains(struct health *h, bool in_roster);
