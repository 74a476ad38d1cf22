/*
 * A text that has the form of a sealed request and opens to nothing: for whoever only passes it on.
 */
#pragma once

#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"

#define SEALED_TEXT_LEN SEALED_LEN(PADDED_SMALL, 1)

/* For one recipient; out has SEALED_TEXT_LEN + 1 bytes. */
static inline const char *sealed_text(char *out)
{
        static const size_t parts[] = {16, B64U_LEN(PADDED_SMALL), 22, 43, 43, 43, 54};
        char *at = out + sizeof(SEALED_PROTECTED) - 1;

        memcpy(out, SEALED_PROTECTED, sizeof(SEALED_PROTECTED));
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
                *at++ = i == 3 ? '\n' : '.';
                memset(at, 'A', parts[i]);
                at += parts[i];
        }
        *at++ = '\n';
        *at = '\0';
        return out;
}

/* The same as it stands in an event: blanks for the line ends. */
static inline const char *sealed_event_text(char *out)
{
        sealed_text(out);
        out[SEALED_SHARED_LEN(PADDED_SMALL)] = ' ';
        out[SEALED_TEXT_LEN - 1] = '\0';
        return out;
}
