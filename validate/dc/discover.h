/*
 * Finding a domain's DCs by SRV records ([MS-ADTS] 6.3.6), in the background. Internal to validate/.
 *
 * First those of the site, where one is configured, then those of the domain; never the domain's A records.
 * The records are asked for again when their TTL ends. What fails leaves the known DCs as they are and is
 * tried again after 5 s, backing off to a minute.
 */
#pragma once

#include "validate/dc/dc.h"

struct discover;

/* Looks up at once, and goes on until freed; what it finds goes to dcs_update(dcs). 0 or -ENOMEM. domain and
 * dcs are borrowed. */
int discover_new(struct discover **ret_discover, const struct dc_tools *tools, const struct domain_config *domain,
                 struct dcs *dcs);
struct discover *discover_free(struct discover *discover);
