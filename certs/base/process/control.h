/*
 * The frames between a supervisor and each of its child processes, on the child's control channel: types, tags, and
 * their rows for a table of frames (base/ipc/frames.h). What the children say to each other is their program's own:
 * types from CONTROL_TYPES_END and tags from CONTROL_TAGS_END on.
 */
#pragma once

#include "base/ipc/frames.h"

enum control_type {
        FRAME_CONFIG = 1,
        FRAME_FILE,
        FRAME_PEER,
        FRAME_START,
        FRAME_DRAIN,
        FRAME_SHARE,
        FRAME_READY = 20,
        FRAME_DRAINED,
        FRAME_ALIVE,
        FRAME_TAKEN,
        FRAME_FAILED,
        CONTROL_TYPES_END = 32,
};

enum control_tag {
        TAG_NAME = 1,
        TAG_TEXT,
        TAG_BOOT,
        TAG_INSTANCE,
        TAG_BUDGET,
        TAG_SEQ,
        TAG_CHECK,
        TAG_WHY,
        TAG_SECCOMP,
        TAG_LANDLOCK,
        CONTROL_TAGS_END = 16,
};

#define CONTROL_NAME_MAX 300
#define CONTROL_BOOT_MAX 64

/* Rows of a table: supervisor and children are sets of parts, share_with those that get FRAME_SHARE. */
#define CONTROL_FRAME_ROWS(supervisor, children, share_with)                                                           \
        {.type = FRAME_CONFIG,                                                                                         \
         .name = "CONFIG",                                                                                             \
         .from = (supervisor),                                                                                         \
         .to = (children),                                                                                             \
         .fd = FRAME_FD_NEEDED,                                                                                        \
         .about = "the checked configuration's text"},                                                                 \
                {.type = FRAME_FILE,                                                                                   \
                 .name = "FILE",                                                                                       \
                 .from = (supervisor),                                                                                 \
                 .to = (children),                                                                                     \
                 .fd = FRAME_FD_NEEDED,                                                                                \
                 .needs = {TAG_NAME},                                                                                  \
                 .about = "an opened key file or state file"},                                                         \
                {.type = FRAME_PEER,                                                                                   \
                 .name = "PEER",                                                                                       \
                 .from = (supervisor),                                                                                 \
                 .to = (children),                                                                                     \
                 .fd = FRAME_FD_NEEDED,                                                                                \
                 .needs = {TAG_NAME},                                                                                  \
                 .about = "one end of a new pair with the process of that name; replaces an older one"},               \
                {.type = FRAME_START,                                                                                  \
                 .name = "START",                                                                                      \
                 .from = (supervisor),                                                                                 \
                 .to = (children),                                                                                     \
                 .needs = {TAG_BOOT, TAG_INSTANCE, TAG_SEQ},                                                           \
                 .may = {TAG_CHECK},                                                                                   \
                 .about = "all is there: begin, or with CHECK only say whether that could be"},                        \
                {.type = FRAME_DRAIN,                                                                                  \
                 .name = "DRAIN",                                                                                      \
                 .from = (supervisor),                                                                                 \
                 .to = (children),                                                                                     \
                 .needs = {TAG_BUDGET},                                                                                \
                 .about = "take no new work, finish what runs within this time, then DRAINED"},                        \
                {.type = FRAME_SHARE,                                                                                  \
                 .name = "SHARE",                                                                                      \
                 .from = (supervisor),                                                                                 \
                 .to = (share_with),                                                                                   \
                 .needs = {TAG_NAME, TAG_TEXT},                                                                        \
                 .about = "a part of the state that `status` shows"},                                                  \
                {.type = FRAME_READY,                                                                                  \
                 .name = "READY",                                                                                      \
                 .from = (children),                                                                                   \
                 .to = (supervisor),                                                                                   \
                 .needs = {TAG_SECCOMP, TAG_LANDLOCK},                                                                 \
                 .about = "it is at work; systemd may be told when all are"},                                          \
                {.type = FRAME_DRAINED,                                                                                \
                 .name = "DRAINED",                                                                                    \
                 .from = (children),                                                                                   \
                 .to = (supervisor),                                                                                   \
                 .about = "a drain is over"},                                                                          \
                {.type = FRAME_ALIVE,                                                                                  \
                 .name = "ALIVE",                                                                                      \
                 .from = (children),                                                                                   \
                 .to = (supervisor),                                                                                   \
                 .about = "its loop turns; every second"},                                                             \
                {.type = FRAME_TAKEN,                                                                                  \
                 .name = "TAKEN",                                                                                      \
                 .from = (children),                                                                                   \
                 .to = (supervisor),                                                                                   \
                 .needs = {TAG_NAME},                                                                                  \
                 .may = {TAG_WHY},                                                                                     \
                 .about = "a file that came while it runs is in use; WHY: it is not"},                                 \
        {                                                                                                              \
                .type = FRAME_FAILED, .name = "FAILED", .from = (children), .to = (supervisor), .needs = {TAG_WHY},    \
                .about = "it is about to end, for this reason"                                                         \
        }

#define CONTROL_TAG_ROWS                                                                                               \
        {TAG_NAME, FIELD_TEXT, CONTROL_NAME_MAX - 1, "NAME", "what the frame is about"},                               \
                {TAG_TEXT, FIELD_TEXT, 0, "TEXT", "a sentence, or JSON where the frame says so"},                      \
                {TAG_BOOT, FIELD_TEXT, CONTROL_BOOT_MAX - 1, "BOOT", "16 random bytes, base64url, new at each start"}, \
                {TAG_INSTANCE, FIELD_TEXT, ID_MAX, "INSTANCE", "this installation's id"},                              \
                {TAG_BUDGET, FIELD_NUMBER, 0, "BUDGET", "time that is left, ms"},                                      \
                {TAG_SEQ, FIELD_NUMBER, 0, "SEQ", "ms that rise over the processes of one boot"},                      \
                {TAG_CHECK, FIELD_NUMBER, 0, "CHECK", "1: this is a trial"},                                           \
                {TAG_WHY, FIELD_TEXT, 0, "WHY", "the cause, a sentence or a word"},                                    \
                {TAG_SECCOMP, FIELD_NUMBER, 0, "SECCOMP", "1: its filter is on, 0: it is not"},                        \
        {                                                                                                              \
                TAG_LANDLOCK, FIELD_TEXT, 64, "LANDLOCK", "what of it is on (base/process/confine.h)"                  \
        }
