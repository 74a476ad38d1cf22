/*
 * The table of frames: sender and receiver of each. It checks who speaks, not what the fields hold; that is the
 * reader's.
 */
#include <stddef.h>
#include <string.h>

#include "connector/frames/frames.h"
#include "connector/frames/messages.h"

#define BIT(part) (1u << (part))
#define CHILDREN (BIT(PART_LINK) | BIT(PART_VALIDATOR) | BIT(PART_LEDGER))

static const struct {
        enum frame_type type;
        unsigned from, to; /* sets of parts */
} rules[] = {
        {FRAME_CONFIG, BIT(PART_SUPERVISOR), CHILDREN},
        {FRAME_FILE, BIT(PART_SUPERVISOR), CHILDREN},
        {FRAME_PEER, BIT(PART_SUPERVISOR), CHILDREN},
        {FRAME_START, BIT(PART_SUPERVISOR), CHILDREN},
        {FRAME_DRAIN, BIT(PART_SUPERVISOR), CHILDREN},
        {FRAME_SHARE, BIT(PART_SUPERVISOR), BIT(PART_LEDGER)},
        {FRAME_STORED, BIT(PART_SUPERVISOR), BIT(PART_LINK)},
        {FRAME_READY, CHILDREN, BIT(PART_SUPERVISOR)},
        {FRAME_DRAINED, CHILDREN, BIT(PART_SUPERVISOR)},
        {FRAME_ALIVE, CHILDREN, BIT(PART_SUPERVISOR)},
        {FRAME_TAKEN, BIT(PART_VALIDATOR), BIT(PART_SUPERVISOR)},
        {FRAME_FAILED, CHILDREN, BIT(PART_SUPERVISOR)},
        {FRAME_CERTIFICATE, BIT(PART_LINK), BIT(PART_SUPERVISOR)},
        {FRAME_MAKE_KEY, BIT(PART_LINK), BIT(PART_SUPERVISOR)},
        {FRAME_REQUEST, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_CANCEL, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_CONFIRMED, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_LATE, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_ROSTER, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_CLOCK, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_LINK_STATE, BIT(PART_LINK), BIT(PART_VALIDATOR)},
        {FRAME_DECLINED, BIT(PART_VALIDATOR), BIT(PART_LINK)},
        {FRAME_VERDICT, BIT(PART_VALIDATOR), BIT(PART_LINK)},
        {FRAME_HELD, BIT(PART_VALIDATOR), BIT(PART_LINK)},
        {FRAME_STATE, BIT(PART_VALIDATOR), BIT(PART_LINK)},
        {FRAME_RECORD, BIT(PART_VALIDATOR), BIT(PART_LEDGER)},
        {FRAME_DELIVERY, BIT(PART_VALIDATOR), BIT(PART_LEDGER)},
        {FRAME_EVENT, BIT(PART_LINK) | BIT(PART_VALIDATOR), BIT(PART_LEDGER)},
        {FRAME_STATUS, BIT(PART_LINK) | BIT(PART_VALIDATOR), BIT(PART_LEDGER)},
};

/* Beginnings of the names that are one process's own: what only it knows. */
static const struct {
        enum part owner;
        const char *prefix;
} names[] = {
        {PART_LINK, "link"},          {PART_LINK, "identity."},        {PART_LINK, "certificate."},
        {PART_SUPERVISOR, "process"}, {PART_SUPERVISOR, "supervisor"},
};

const char *part_name(enum part part)
{
        static const char *const texts[PART_N] = {"supervisor", "link", "validator", "ledger"};

        return (unsigned)part < PART_N ? texts[part] : "?";
}

bool frame_may(uint8_t type, enum part from, enum part to)
{
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
                if (rules[i].type == type)
                        return rules[i].from & BIT(from) && rules[i].to & BIT(to);
        return false;
}

bool frame_may_name(enum part from, const char *name)
{
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strncmp(name, names[i].prefix, strlen(names[i].prefix)) == 0)
                        return names[i].owner == from;
        return from != PART_LINK;
}
