/*
 * Frames between the processes of postern-gateway (base/ipc/ipc.h): types, tags, and the table that every channel is
 * held to, since any neighbour may have been taken over: the doors by an application, the link by a relay.
 *
 * Doors ask and the sealer answers; the sealer posts and the link replies. Doors and link do not know each other. Every
 * id is a question's (a sign-in's), made by the door that asks. Times are milliseconds.
 */
#pragma once

#include "base/ipc/frames.h"
#include "base/process/control.h"

enum gateway_part { GATEWAY_SUPERVISOR = 0, GATEWAY_DOORS, GATEWAY_SEALER, GATEWAY_LINK, GATEWAY_PARTS };

enum gateway_frame {
        /* doors -> sealer */
        FRAME_ASK = CONTROL_TYPES_END,

        /* sealer -> doors */
        FRAME_ANSWER = 48,
        FRAME_STATE,

        /* sealer -> link */
        FRAME_POST = 64,
        FRAME_CANCEL,
        FRAME_WANT_KEYS,

        /* link -> sealer */
        FRAME_REPLY = 80,
        FRAME_KEYS,
        FRAME_KEYS_END,
};

enum gateway_tag {
        TAG_ID = CONTROL_TAGS_END,
        /* a question */
        TAG_USER,
        TAG_PASSWORD,
        TAG_NEW_PASSWORD,
        TAG_CHANGE,
        TAG_RECALL,
        TAG_APP,
        TAG_CLIENT_IP,
        TAG_CLIENT_AGENT,
        TAG_TRACE,
        /* its answer */
        TAG_SHOWN,
        TAG_VERDICT,
        TAG_CLASS,
        TAG_REASON,
        TAG_PROVED,
        TAG_COUNTED,
        TAG_USER_ID,
        TAG_DOMAIN,
        TAG_UPN,
        TAG_SAM,
        TAG_GUID,
        TAG_RETRY,
        TAG_CONNECTOR,
        TAG_ATTRIBUTES_STATE,
        TAG_ATTRIBUTES,
        TAG_REMEMBERED,
        /* the sealer's state */
        TAG_GOOD,
        TAG_WARNING,
        /* the network */
        TAG_SEALED,
        TAG_TIMEOUT,
        TAG_ETAG,
        TAG_STATUS,
        TAG_CODE,
        TAG_TYPE,
        TAG_BODY,
        TAG_PART,
        TAG_TOTAL,
        TAG_BYTES,
};

#define GATEWAY_USER_MAX 256      /* bytes of a name, as of a request's claims */
#define GATEWAY_PASSWORD_MAX 1024 /* bytes of a password */
#define GATEWAY_PART_MAX 12288    /* bytes of keys in one frame */
#define GATEWAY_BODY_MAX 9216     /* of the relay's answer to a sign-in, and of a problem */
#define GATEWAY_ATTRIBUTES_MAX 2048

extern const struct frame_table gateway_frames;
