/*
 * What `postern service` and `postern person` print of their folder.
 */
#pragma once

#include "connector/cli/cli.h"
#include "connector/person/service-store.h"

/* Id, fingerprint (kid) and the file to have approved, and what is missing before it can be used; what: "Service" or
 * "Person". The exit code. */
int service_show(const struct cli *cli, const struct service_store *s, const char *what, const char *kid);
