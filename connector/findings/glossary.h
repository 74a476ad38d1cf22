/*
 * Every word that a sign-in, the relay or `postern status` can end with, explained: the tables of reasons, problems,
 * declines, findings and details as one list, for `postern words`, its page, postern-verdicts(7) and the helpdesk's
 * page.
 */
#pragma once

#include <jansson.h>

#include "base/core/buffer.h"

/*
 * An array of
 * {"kind":"reason"|"problem"|"decline"|"finding"|"detail","id":...,"verdict"?,"class"?,"level"?,"status"?,"meaning":
 * ...,"user"?,"remedy"?,"remedy_for"?}. meaning and remedy are sentences, user is what the user reads, remedy_for is
 * "helpdesk" or "admin". Owned by the caller; NULL without memory.
 */
json_t *glossary_all(void);
/* Those of that id, of whatever kind; an empty array: there is none. */
json_t *glossary_find(const char *id);
/* All of it as one HTML document, in which KIND-ID is each entry's anchor. */
int glossary_html(struct buffer *out);
