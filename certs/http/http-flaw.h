/*
 * Why an HTTPS request came to nothing, as a code: found by the phrase that https_why writes, so that it is known
 * wherever the sentence is shown. Pure: it links no libcurl.
 */
#pragma once

#include <stddef.h>

struct http_flaw {
        const char *id;      /* stays the same over versions: "proxy_asks_password" */
        const char *phrase;  /* what the sentence holds of it */
        const char *remedy;  /* for the admin of the host that asks */
        const char *meaning; /* a sentence without its full stop */
};

/* The row at this place, each id once; NULL behind the last one. */
const struct http_flaw *http_flaw_at(size_t i);

/* The flaw that the sentence tells, or NULL. */
const struct http_flaw *http_flaw_find(const char *why);
