/*
 * The socket that gives out links: whoever may open it (root, and the group that it belongs to) gets one.
 */
#pragma once

#include "connector/web/serve.h"

struct web_admit;
/*
 * Listens at path, which only its owner and group may open; an old socket there is removed. Whoever sends a line gets
 * one back, {"ok":true,"url":...} or {"ok":false,"error":...}, as control_ask reads it. -errno with the path in err.
 */
int web_admit_new(struct web_admit **ret_admit, struct web *web, const char *path, struct error *err);
struct web_admit *web_admit_free(struct web_admit *admit);

/* A listening UNIX socket at path with these permissions, in the place of an old one. The descriptor; -errno with err.
 */
int web_admit_socket(const char *path, unsigned mode, struct error *err);
