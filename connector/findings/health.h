/*
 * What is wrong with a connector, from the ledger's answer to "status", as data: for `postern status`, its JSON and its
 * exit code, for the hint under `postern log`, and for whatever else shows it.
 */
#pragma once

#include <jansson.h>

/*
 * An array of findings, empty where all is well: {"code":...,"about":...,"since":...,"cause":...,"remedy":...}. code is
 * a word that stays the same, postern(1) lists them; about (which domain, DC, process) and since (s since the epoch)
 * are left out where there is none. cause and remedy are sentences without their full stop. What stops all sign-ins
 * comes first. Texts may hold what others chose: a terminal gets them by cli_print_text only. Owned by the caller.
 */
json_t *health_findings(const json_t *status);
