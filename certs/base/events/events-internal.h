/*
 * Writing into a line of bounded length; shared by records and spans.
 */
#pragma once

#include "base/events/events.h"

/* full is set once something did not fit; nothing is added after that. */
struct events_out {
        char *at;
        size_t left;
        bool full;
};

void events_out_put(struct events_out *t, const char *s, size_t n);
void events_out_str(struct events_out *t, const char *s);
/* Between quotes, escaped, at most EVENTS_VALUE_MAX bytes of it. */
void events_out_value(struct events_out *t, enum events_form form, const char *s, size_t n);
