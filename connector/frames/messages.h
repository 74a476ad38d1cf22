/*
 * Frames between the processes of posternd (ipc.h): types and tags, one place for all. Who may send which of them to
 * whom is the table in frames.c; a new frame needs a row there.
 *
 * Every id below is the sign-in's id. Times are milliseconds; "received" is CLOCK_MONOTONIC, which all processes share.
 */
#pragma once

enum frame_type {
        /* supervisor -> child, at start and on reload (descriptors travel with the frame) */
        FRAME_CONFIG = 1, /* fd: the checked config file's text */
        FRAME_FILE,       /* TAG_NAME (one of FILE_*), fd: opened key file or state file */
        FRAME_PEER,   /* TAG_NAME: "link" | "validator" | "ledger", fd: one end of a new pair; replaces an older one */
        FRAME_START,  /* TAG_BOOT, TAG_CONNECTOR_ID, TAG_SEQ (ms that rise within the boot): all is there, begin; with
                         TAG_STATE  "check" only say whether that could be (process.h) */
        FRAME_DRAIN,  /* TAG_BUDGET: take no new work, finish what runs within this time, then FRAME_DRAINED */
        FRAME_SHARE,  /* TAG_NAME (state key), TAG_TEXT: something for `postern status` */
        FRAME_STORED, /* to the link: what FRAME_CERTIFICATE brought is on disk; TAG_WHY: it is not, or FRAME_MAKE_KEY
                         failed */

        /* child -> supervisor */
        FRAME_READY =
                20, /* started; systemd may be told. TAG_STATE: "on" | "off", seccomp; TAG_TEXT: Landlock (confine.h) */
        FRAME_DRAINED,
        FRAME_ALIVE, /* its loop turns; every second */
        FRAME_TAKEN, /* from the validator, TAG_NAME (of FRAME_FILE, while it runs): it is in use; TAG_WHY: it is not */
        FRAME_FAILED,      /* TAG_WHY: it is about to end, for this reason */
        FRAME_CERTIFICATE, /* from the link, fd: the text of a new transport.pem, key and chain, to be stored; without
                              the key where that is the one that FRAME_MAKE_KEY made */
        FRAME_MAKE_KEY, /* from the link: it wants the next transport key in hardware, as FRAME_FILE FILE_TRANSPORT_NEXT
                         */

        /* link -> validator */
        FRAME_REQUEST = 40, /* TAG_ID, TAG_BUDGET, TAG_RECEIVED, TAG_SEALED, TAG_TRACE? */
        FRAME_CANCEL,       /* TAG_ID */
        FRAME_CONFIRMED,    /* TAG_ID: the relay has the verdict, forget it */
        FRAME_LATE,         /* TAG_ID: the relay has it, but nobody waited any more */
        FRAME_ROSTER, /* TAG_SEQ (part number from 0), TAG_TOTAL (bytes in all), TAG_TEXT: a roster's text in parts <=
                         12000 B */
        FRAME_CLOCK,  /* TAG_WALL: s since the epoch at the relay, TAG_RECEIVED: when it said so */
        FRAME_LINK_STATE, /* TAG_STATE "up"|"down", TAG_NAME: relay URL, TAG_TEXT: cause */

        /* validator -> link */
        FRAME_DECLINED = 60, /* TAG_ID, TAG_WHY */
        FRAME_VERDICT,       /* TAG_ID, TAG_JWE; again for each new link process until confirmed */
        FRAME_HELD, /* TAG_ID, TAG_RECEIVED (the request's end): for a new link process, a request that it is working on
                     */
        FRAME_STATE, /* after FRAME_HELD: TAG_CAPACITY (in-flight limit), TAG_LOAD (per mille), TAG_REALMS
                        ("corp.example=1\n..."), TAG_REASONS ("a\nb"), TAG_STATEMENT?, TAG_IDENTITY (public JWK),
                        TAG_PROOF (postern-identity+jwt), TAG_IN_ROSTER 0|1 */

        /* validator, link -> ledger */
        FRAME_RECORD = 80, /* a finished sign-in: TAG_ID and the R_* tags below */
        FRAME_EVENT,       /* TAG_NAME (event), TAG_TEXT (detail), TAG_ID? : a line for `postern log --events` */
        FRAME_STATUS, /* TAG_NAME ("link" | "validator" | "dc:corp.example/dc1" | "process:link"), TAG_TEXT: JSON object
                         for `postern status` */
        FRAME_DELIVERY, /* TAG_ID, TAG_STATE: "confirmed" | "late" | "lost": what became of the verdict */
};

enum frame_tag {
        TAG_ID = 1,
        TAG_NAME,
        TAG_TEXT,
        TAG_BOOT,
        TAG_CONNECTOR_ID,
        TAG_BUDGET,
        TAG_RECEIVED,
        TAG_JWE,
        TAG_TRACE,
        TAG_SEQ,
        TAG_TOTAL,
        TAG_STATE,
        TAG_WHY,
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
};

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

#define ROSTER_PART_MAX 12000
