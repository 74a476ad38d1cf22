/*
 * What lies behind a reason: the one cause among several that the layer which knew wrote into the outcome's context.
 *
 * Each row has the phrase that this layer writes, and by which the detail is found again wherever a context is shown:
 * in status, explain, check and the support bundle. So a record of years ago tells it, too.
 */
#pragma once

#include "validate/types/outcome.h"

enum detail {
        DETAIL_NONE = 0,
        DETAIL_CERTIFICATE_EXPIRED,
        DETAIL_CERTIFICATE_NOT_YET,
        DETAIL_CERTIFICATE_UNKNOWN_CA,
        DETAIL_CERTIFICATE_SELF_SIGNED,
        DETAIL_CERTIFICATE_NO_NAME, /* before the two that say which names it has instead */
        DETAIL_CERTIFICATE_OTHER_DOMAIN,
        DETAIL_CERTIFICATE_OTHER_HOST,
        DETAIL_CERTIFICATE_NOT_LISTED,
        DETAIL_CERTIFICATE_NOT_PINNED,
        DETAIL_CERTIFICATE_WEAK,
        DETAIL_CERTIFICATE_PURPOSE,
        DETAIL_PORT_WITHOUT_TLS,
        DETAIL_TLS_VERSION,
        DETAIL_STARTTLS_REFUSED,
        DETAIL_CLOSED,
        DETAIL_CLOCK_AHEAD,
        DETAIL_CLOCK_BEHIND,
        DETAIL_KEYTAB_OLD_KEY,
        DETAIL_KEYTAB_WRONG_KEY,
        DETAIL_GUARD_REPEAT,
        DETAIL_DNS_NO_NAME,
        DETAIL_DNS_NO_SERVER,
        DETAIL_DOMAIN_MISTYPED,
        DETAIL_MAX
};

struct detail_info {
        const char *id;     /* stays the same over versions: "certificate_expired" */
        const char *phrase; /* what a context holds of it */
        const char *helpdesk_text, *remedy;
};

/* The row; NULL for DETAIL_NONE. */
const struct detail_info *detail_info(enum detail detail);
/* The phrase, to be written into a context. */
const char *detail_phrase(enum detail detail);
/* The detail that a context of this reason tells; DETAIL_NONE where it tells none. */
enum detail detail_find(enum reason reason, const char *context);
