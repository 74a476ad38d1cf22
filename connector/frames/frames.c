/*
 * The table of posternd's frames: sender, receiver and fields of each. What the fields mean is the reader's.
 */
#include <stddef.h>
#include <string.h>

#include "connector/frames/frames.h"
#include "connector/frames/messages.h"

#define BIT(part) (1u << (part))
#define CHILDREN (BIT(PART_LINK) | BIT(PART_VALIDATOR) | BIT(PART_LEDGER))

static const struct frame_rule rows[] = {
        CONTROL_FRAME_ROWS(BIT(PART_SUPERVISOR), CHILDREN, BIT(PART_LEDGER)),
        {.type = FRAME_CERTIFICATE,
         .name = "CERTIFICATE",
         .from = BIT(PART_LINK),
         .to = BIT(PART_SUPERVISOR),
         .fd = FRAME_FD_NEEDED,
         .about = "the text of a new transport.pem, key and chain, to be stored; without the key where it is the one "
                  "that MAKE_KEY made"},
        {.type = FRAME_MAKE_KEY,
         .name = "MAKE_KEY",
         .from = BIT(PART_LINK),
         .to = BIT(PART_SUPERVISOR),
         .about = "it wants the next transport key in hardware, as FILE transport-next"},
        {.type = FRAME_STORED,
         .name = "STORED",
         .from = BIT(PART_SUPERVISOR),
         .to = BIT(PART_LINK),
         .may = {TAG_WHY},
         .about = "what CERTIFICATE brought is on disk; WHY: it is not, or MAKE_KEY failed"},
        {.type = FRAME_REQUEST,
         .name = "REQUEST",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_ID, TAG_BUDGET, TAG_RECEIVED, TAG_SEALED},
         .may = {TAG_TRACE},
         .about = "a sign-in"},
        {.type = FRAME_CANCEL,
         .name = "CANCEL",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_ID},
         .about = "nobody waits for it any more"},
        {.type = FRAME_CONFIRMED,
         .name = "CONFIRMED",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_ID},
         .about = "the relay has the verdict: forget it"},
        {.type = FRAME_LATE,
         .name = "LATE",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_ID},
         .about = "the relay has the verdict, but nobody waited any more"},
        {.type = FRAME_ROSTER,
         .name = "ROSTER",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_PART, TAG_TOTAL, TAG_ROSTER},
         .about = "a part of a roster"},
        {.type = FRAME_CLOCK,
         .name = "CLOCK",
         .from = BIT(PART_LINK),
         .to = BIT(PART_VALIDATOR),
         .needs = {TAG_WALL, TAG_RECEIVED},
         .about = "what the relay's clock said, and when"},
        {.type = FRAME_DECLINED,
         .name = "DECLINED",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LINK),
         .needs = {TAG_ID, TAG_WHY},
         .about = "not validated here: the relay may ask another connector"},
        {.type = FRAME_VERDICT,
         .name = "VERDICT",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LINK),
         .needs = {TAG_ID, TAG_JWE, TAG_DEADLINE},
         .about = "a sealed verdict; again for each new link process until it is confirmed"},
        {.type = FRAME_HELD,
         .name = "HELD",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LINK),
         .needs = {TAG_ID, TAG_DEADLINE},
         .about = "for a new link process: a sign-in that is being worked on"},
        {.type = FRAME_STATE,
         .name = "STATE",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LINK),
         .needs = {TAG_CAPACITY, TAG_LOAD, TAG_REALMS, TAG_REASONS, TAG_IN_ROSTER},
         .may = {TAG_STATEMENT, TAG_IDENTITY, TAG_PROOF},
         .about = "after HELD: what the connector can take, and for which domains"},
        {.type = FRAME_RECORD,
         .name = "RECORD",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LEDGER),
         .needs = {TAG_ID, R_WALL},
         .may = {R_USER,    R_USER_MASKED, R_USER_HASH, R_SERVICE,  R_CLIENT_IP, R_CLIENT_APP,
                 R_VERDICT, R_CLASS,       R_REASON,    R_PROVED,   R_COUNTED,   R_USER_ID,
                 R_UPN,     R_SAM,         R_DOMAIN,    R_DC,       R_METHOD,    R_RAW,
                 R_CONTEXT, R_MS_OPENED,   R_MS_DC,     R_MS_TOTAL, R_DECLINED,  R_CLIENT_AGENT},
         .about = "a finished sign-in"},
        {.type = FRAME_UNANSWERED,
         .name = "UNANSWERED",
         .from = BIT(PART_LINK),
         .to = BIT(PART_LEDGER),
         .needs = {TAG_ID, R_WALL, R_DECLINED},
         .about = "a sign-in that the validator does not tell of: declined in its place, or lost with it"},
        {.type = FRAME_DELIVERY,
         .name = "DELIVERY",
         .from = BIT(PART_VALIDATOR),
         .to = BIT(PART_LEDGER),
         .needs = {TAG_ID, TAG_DELIVERY},
         .about = "what became of a verdict"},
        {.type = FRAME_EVENT,
         .name = "EVENT",
         .from = BIT(PART_LINK) | BIT(PART_VALIDATOR),
         .to = BIT(PART_LEDGER),
         .needs = {TAG_NAME},
         .may = {TAG_TEXT, TAG_ID},
         .about = "a line of `postern log --events`"},
        {.type = FRAME_STATUS,
         .name = "STATUS",
         .from = BIT(PART_LINK) | BIT(PART_VALIDATOR),
         .to = BIT(PART_LEDGER),
         .needs = {TAG_NAME, TAG_TEXT},
         .about = "a part of what `postern status` shows: TEXT is a JSON object"},
};

/* R_USER: only where an answer showed that an account of this name exists, R_USER_MASKED otherwise. */
static const struct frame_tag_rule tags[] = {
        CONTROL_TAG_ROWS,
        {TAG_ID, FIELD_TEXT, ID_MAX, "ID", "the sign-in's"},
        {TAG_RECEIVED, FIELD_NUMBER, 0, "RECEIVED", "when it came, CLOCK_MONOTONIC, ms"},
        {TAG_DEADLINE, FIELD_NUMBER, 0, "DEADLINE", "when its budget ends, CLOCK_MONOTONIC, ms"},
        {TAG_JWE, FIELD_TEXT, 0, "JWE", "a sealed verdict"},
        {TAG_TRACE, FIELD_TEXT, 128, "TRACE", "traceparent (W3C Trace Context)"},
        {TAG_PART, FIELD_NUMBER, 0, "PART", "number of a part, from 0"},
        {TAG_TOTAL, FIELD_NUMBER, 0, "TOTAL", "bytes of all parts"},
        {TAG_ROSTER, FIELD_BYTES, ROSTER_PART_MAX, "ROSTER", "bytes of a roster's JWS"},
        {TAG_DELIVERY, FIELD_TEXT, 16, "DELIVERY", "confirmed, late or lost"},
        {TAG_CAPACITY, FIELD_NUMBER, 0, "CAPACITY", "sign-ins at once"},
        {TAG_LOAD, FIELD_NUMBER, 0, "LOAD", "per mille of that"},
        {TAG_REALMS, FIELD_TEXT, 0, "REALMS", "lines: corp.example=1 where it is ready, else =0"},
        {TAG_REASONS, FIELD_TEXT, 0, "REASONS", "lines: why it is not ready"},
        {TAG_STATEMENT, FIELD_TEXT, 0, "STATEMENT", "the key statement in force"},
        {TAG_IDENTITY, FIELD_TEXT, 512, "IDENTITY", "public JWK"},
        {TAG_PROOF, FIELD_TEXT, 0, "PROOF", "postern-identity+jwt"},
        {TAG_IN_ROSTER, FIELD_NUMBER, 0, "IN_ROSTER", "1: the roster has this connector"},
        {TAG_WALL, FIELD_NUMBER, 0, "WALL", "s since the epoch"},
        {TAG_SEALED, FIELD_TEXT, 0, "SEALED", "the sealed request with this connector's share"},
        {R_WALL, FIELD_NUMBER, 0, "R_WALL", "s since the epoch"},
        {R_USER, FIELD_TEXT, 0, "R_USER", "the name as typed, where such an account exists"},
        {R_USER_MASKED, FIELD_TEXT, 0, "R_USER_MASKED", "otherwise: first and last character and the length"},
        {R_USER_HASH, FIELD_TEXT, 0, "R_USER_HASH", "keyed hash of the case-folded name, hex"},
        {R_SERVICE, FIELD_TEXT, 0, "R_SERVICE", "id of the sign-in service"},
        {R_CLIENT_IP, FIELD_TEXT, 0, "R_CLIENT_IP", "as the service says"},
        {R_CLIENT_APP, FIELD_TEXT, 0, "R_CLIENT_APP", "as the service says"},
        {R_VERDICT, FIELD_TEXT, 0, "R_VERDICT", "accepted, refused, unavailable"},
        {R_CLASS, FIELD_TEXT, 0, "R_CLASS", ""},
        {R_REASON, FIELD_TEXT, 0, "R_REASON", "postern-verdicts(7)"},
        {R_PROVED, FIELD_NUMBER, 0, "R_PROVED", "1: the password was right"},
        {R_COUNTED, FIELD_TEXT, 0, "R_COUNTED", "whether badPwdCount may have risen"},
        {R_USER_ID, FIELD_TEXT, 0, "R_USER_ID", "SID"},
        {R_UPN, FIELD_TEXT, 0, "R_UPN", ""},
        {R_SAM, FIELD_TEXT, 0, "R_SAM", ""},
        {R_DOMAIN, FIELD_TEXT, 0, "R_DOMAIN", ""},
        {R_DC, FIELD_TEXT, 0, "R_DC", ""},
        {R_METHOD, FIELD_TEXT, 0, "R_METHOD", "ldap, krb5"},
        {R_RAW, FIELD_TEXT, 0, "R_RAW", "the DC's codes: ldap=49 data=52e"},
        {R_CONTEXT, FIELD_TEXT, 0, "R_CONTEXT", ""},
        {R_MS_OPENED, FIELD_NUMBER, 0, "R_MS_OPENED", "ms until it was opened"},
        {R_MS_DC, FIELD_NUMBER, 0, "R_MS_DC", "ms at the DC"},
        {R_MS_TOTAL, FIELD_NUMBER, 0, "R_MS_TOTAL", "ms in all"},
        {R_DECLINED, FIELD_TEXT, 0, "R_DECLINED", "why it was declined: there is no verdict then"},
        {R_CLIENT_AGENT, FIELD_TEXT, 0, "R_CLIENT_AGENT", "as the service says"},
};

static const char *const part_names[PART_N] = {"supervisor", "link", "validator", "ledger"};

const struct frame_table posternd_frames = {
        .frames = rows,
        .n_frames = sizeof(rows) / sizeof(rows[0]),
        .tags = tags,
        .n_tags = sizeof(tags) / sizeof(tags[0]),
        .parts = part_names,
        .n_parts = PART_N,
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
        return (unsigned)part < PART_N ? part_names[part] : "?";
}

bool frame_may_name(enum part from, const char *name)
{
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strncmp(name, names[i].prefix, strlen(names[i].prefix)) == 0)
                        return names[i].owner == from;
        return from != PART_LINK;
}
