/*
 * What is wrong with a connector, from the ledger's answer to "status", as data: for `postern status`, its JSON and its
 * exit code, for the hint under `postern log`, for metrics, and for whatever else shows it.
 */
#pragma once

#include <jansson.h>

/*
 * An array of findings, empty where a sign-in would succeed now: {"code","level","about","detail","since","cause",
 * "remedy"}. code is of the table (finding.h) and stays the same, level is that of its row, about names the domain, DC
 * or process, detail is the code of the cause within the code, since is in s since the epoch; those that are not known
 * are left out. cause and remedy are sentences without their full stop. What stops all sign-ins comes first. A finding
 * for which sign-ins failed has sign_ins, users, id (of the latest) and changes (what happened shortly before). Texts
 * may hold what others chose: a terminal gets them by cli_print_text only. Owned by the caller.
 */
json_t *health_findings(const json_t *status);
