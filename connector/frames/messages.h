/*
 * Frames between the processes of posternd (base/ipc/ipc.h): types and tags. What each carries, and who may send it to
 * whom, is the table in frames.c, which every channel is held to; FRAMES.md shows it. The frames of the control channel
 * are base's (base/process/control.h).
 *
 * Every id is the sign-in's id. Times are milliseconds; "received" and "deadline" are CLOCK_MONOTONIC, which all
 * processes share.
 */
#pragma once

#include "base/process/control.h"

enum frame_type {
        /* link -> supervisor, and its answer */
        FRAME_CERTIFICATE = CONTROL_TYPES_END,
        FRAME_MAKE_KEY,
        FRAME_STORED,

        /* link -> validator */
        FRAME_REQUEST = 40,
        FRAME_CANCEL,
        FRAME_CONFIRMED,
        FRAME_LATE,
        FRAME_ROSTER,
        FRAME_CLOCK,
        FRAME_QUESTION,

        /* validator -> link */
        FRAME_DECLINED = 60,
        FRAME_VERDICT,
        FRAME_HELD,
        FRAME_STATE,
        FRAME_ANSWER,

        /* validator, link -> ledger */
        FRAME_RECORD = 80,
        FRAME_EVENT,
        FRAME_STATUS,
        FRAME_DELIVERY,
        FRAME_UNANSWERED,

        /* validator -> ledger, and its answer */
        FRAME_QUERY,
        FRAME_FOUND,

        /* ledger -> validator, and its answer */
        FRAME_GUARD,
        FRAME_GUARDED,
};

enum frame_tag {
        TAG_ID = CONTROL_TAGS_END,
        TAG_RECEIVED,
        TAG_DEADLINE,
        TAG_JWE,
        TAG_TRACE,
        TAG_PART,
        TAG_TOTAL,
        TAG_ROSTER,
        TAG_DELIVERY,
        TAG_CAPACITY,
        TAG_LOAD,
        TAG_REALMS,
        TAG_REASONS,
        TAG_STATEMENT,
        TAG_IDENTITY,
        TAG_PROOF,
        TAG_IN_ROSTER,
        TAG_WALL,
        TAG_SEALED,
        TAG_ANSWER,
        TAG_PERSON,
        TAG_KID,
        TAG_OP,
        TAG_WHAT,
        TAG_VERDICT,
        TAG_SINCE,
        TAG_UNTIL,
        TAG_LIMIT,
        TAG_DOMAINS,
        TAG_REFUSED,
        TAG_LAST,
        TAG_RELEASE,
        /* a record */
        R_WALL = 100, /* s since the epoch, u64 */
        R_USER, /* as typed, without what is around it; only where an answer showed that an account of this name exists
                 */
        R_USER_MASKED, /* otherwise: first and last character and the length, "h……2 (9)" */
        R_USER_HASH,   /* keyed hash of the case-folded name, hex, for searching */
        R_SERVICE,     /* id of the sign-in service */
        R_CLIENT_IP,
        R_CLIENT_APP,
        R_VERDICT,
        R_CLASS,
        R_REASON,
        R_PROVED, /* u64 0|1 */
        R_COUNTED,
        R_USER_ID, /* SID */
        R_UPN,
        R_SAM,
        R_DOMAIN,
        R_DC,
        R_METHOD,
        R_RAW, /* "ldap=49 data=52e" */
        R_CONTEXT,
        R_MS_OPENED,
        R_MS_DC,
        R_MS_TOTAL,
        R_DECLINED, /* why, where it was declined: no verdict then */
        R_CLIENT_AGENT,
        R_REALM,
        R_TRACE, /* traceparent */
};

#define DECLINED_LOST "lost" /* R_DECLINED of FRAME_UNANSWERED: a validator that is gone had it */

/* TAG_NAME of FRAME_FILE, and who gets it */
/*
 * state_dir/enrolment.json, written by `postern enroll`: {"v":1,"relay":URL,"tenant":T,"id":ID,"name":NAME,"pin":PIN};
 * goes to link and validator, read-only. The config's relay and tenant keys may be left out; where given they must
 * agree with it (a clear error says so). `postern enroll` also writes identity.pem (the identity key), transport.key,
 * transport.pem and, with --ca-file, relay-ca.pem to state_dir.
 */
#define FILE_ENROLMENT "enrolment.json"
#define ENROLMENT_VERSION 1                      /* its "v" */
#define FILE_IDENTITY "identity.pem"             /* validator, read-only: private identity key */
#define FILE_IDENTITY_HOLDER "identity-holder"   /* validator, instead: a socket, see certs/keys/key-holder.h */
#define FILE_TRANSPORT_KEY "transport.key"       /* link */
#define FILE_TRANSPORT_HOLDER "transport-holder" /* link, instead */
#define FILE_TRANSPORT_NEXT                                                                                            \
        "transport-next" /* link, while it runs: the same for the key that FRAME_MAKE_KEY asked for */
#define FILE_TRANSPORT_CERT                                                                                            \
        "transport.pem" /* link: the chain; in the file since the first renewal the key as well (transport.h) */
#define TRANSPORT_PEM_MAX 65536
#define FILE_RELAY_CA "relay-ca.pem" /* link; absent: system CAs */
#define FILE_ROSTER "roster"         /* validator, read-write: two slots, see roster-store.c */
/* FILE_DOMAIN_SIDS, sid-file.h: validator, read-write */
#define FILE_KEYTAB "keytab:"                     /* validator: "keytab:corp.example" */
#define KEYTAB_MAX (1024 * 1024)                  /* the one limit, wherever a keytab is copied */
#define FILE_DC_CA "dc-ca:"                       /* validator: "dc-ca:corp.example" */
#define FILE_SERVICE_PASSWORD "service-password:" /* validator: "service-password:corp.example" */
#define FILE_HASH_KEY "hash.key"                  /* validator, ledger: 32 random bytes for R_USER_HASH */
#define FILE_LEDGER_DIR "ledger-dir"              /* ledger: directory */
#define FILE_CONTROL_SOCKET "control.sock"        /* ledger: the listening UNIX socket, bound by the supervisor */
#define FILE_METRICS_SOCKET "metrics.sock"        /* ledger: the same for metrics */
/* ledger, while it runs, and again with each scribe that is started: events_file, events_socket, traces_file
 * (base/events/ways.h), a channel to the process that writes there. */

#define SHARE_ACT "act" /* a key of FRAME_SHARE, which is no state: a line of connector/frames/acts.h */

#define ROSTER_PART_MAX 12000
#define ANSWER_PART_MAX 12000 /* of a sealed answer, and of what the ledger found */
#define FOUND_MAX 48000       /* what the ledger found, once it is a JSON string within claims, bytes */
#define FOUND_ROWS_MAX 50
