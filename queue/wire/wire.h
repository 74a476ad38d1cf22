/*
 * The claims that cross the wire, as C values and as JSON text (PROTOCOL.md). No keys, no network, no clock.
 *
 * Strings of a struct live in it or are owned by it; xxx_clear frees and wipes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/jose/jose.h"
#include "base/ipc/loop.h"
#include "base/core/pairs.h"

#define BUDGET_MIN 500     /* of a sign-in, as its caller sets it */
#define BUDGET_LEFT_MIN 50 /* what must be left of it when its call goes out */
#define BUDGET_MAX 15000
#define BUDGET_DEFAULT 8000
#define REQUEST_LIFE_MAX 60 /* exp - iat, s */
#define VERDICT_LIFE 30
#define WIRE_SKEW 120 /* tolerated clock difference, s */
#define REQUEST_TO_MAX 8
#define WIRE_USERNAME_MAX 256
#define WIRE_PASSWORD_MAX 1024
#define REPORT_MAX (256 * 1024)
#define EVENT_MAX 16384 /* one SSE event's data */

/* Copies n bytes of UTF-8 into out (cap bytes with the NUL), cut at a character where they do not fit. */
void wire_text_cut(char *out, size_t cap, const char *text, size_t n);

/* ---- lists of short texts, a line each: "a\nb" ---- */
/* The line that *at is at, without its end; *at goes behind it. False at the end. */
bool wire_lines_next(const char **at, const char **ret_line, size_t *ret_n);
/* Adds a line to a list of its own (NULL: none yet), once. One that is empty or holds a line's end is left out, as is
 * any without memory. */
void wire_lines_add(char **lines, const char *line, size_t n);
/* As many of them as fit whole into cap bytes. */
void wire_lines_cut(char *out, size_t cap, const char *lines);

/* ---- request claims ---- */
#define REQUEST_CLAIMS_MAX PADDED_CLAIMS_MAX(PADDED_LARGE)

/* What a name or password is like; anything but OK becomes a verdict with its own reason, and the text is then "". */
enum credential_form {
        CREDENTIAL_UNCHECKED = 0,
        CREDENTIAL_OK,
        CREDENTIAL_EMPTY,
        CREDENTIAL_TOO_LONG, /* over WIRE_USERNAME_MAX or WIRE_PASSWORD_MAX bytes */
        CREDENTIAL_HAS_NUL,
};

struct request_claims {
        char iss[ID_MAX + 1]; /* service id */
        char aud[65];         /* tenant */
        char jti[ID_MAX + 1];
        int64_t iat, exp;
        size_t n_to;
        char to[REQUEST_TO_MAX][KID_LEN + 1];
        enum credential_form username_form, password_form; /* set by decode; encode looks at the lengths alone */
        char username[WIRE_USERNAME_MAX + 1];              /* UTF-8, NUL-terminated */
        size_t username_len;
        char password[WIRE_PASSWORD_MAX + 1]; /* keep the struct in secret memory or wipe it */
        size_t password_len;
        enum credential_form new_password_form; /* UNCHECKED where op is not "change-password" */
        char new_password[WIRE_PASSWORD_MAX + 1];
        size_t new_password_len;
        uint8_t rk[32];
        char client_ip[64], client_agent[256], client_app[128]; /* "" where absent; cut */
        char op[32];                                            /* "sign-in" where absent */
};
#define OP_SIGN_IN "sign-in"
#define OP_CHANGE_PASSWORD "change-password" /* with new_password, there and only there */
/* Appends the JSON text to out (a BUFFER_SECRET). -EMSGSIZE when the padded form cannot hold it, -EINVAL for text that
 * is not UTF-8. */
int request_claims_encode(const struct request_claims *c, struct buffer *out, struct error *err);
/*
 * Every member checked (type, length, unknown member refused); proves nothing about signature, audience or time.
 * -EBADMSG, and err never quotes the input. An empty, over-long or NUL-holding name or password is no format error
 * here: username_form, password_form tell. The caller wipes *ret_c, also after a failure. n is not bounded here: it is
 * at most PADDED_LARGE by the padding rule.
 */
int request_claims_decode(struct request_claims *ret_c, const char *json, size_t n, struct error *err);

/* ---- verdict claims ---- */
struct verdict_claims {
        char iss[ID_MAX + 1]; /* connector id */
        char aud[ID_MAX + 1]; /* service id */
        char tenant[65];
        char jti[ID_MAX + 1];
        char req[KID_LEN + 1]; /* b64u SHA-256 of the request JWS, unpadded */
        int64_t iat, exp;
        const char *verdict; /* "accepted" "refused" "unavailable" (literals) */
        const char *class;   /* "none" "credentials" "policy" "infrastructure" (literals) */
        char reason[48];
        bool password_proved;
        const char *may_have_counted; /* "0" "1" "unknown" (literals) */
        char user_id[192], user_guid[37], user_upn[257], user_sam[257], user_domain[257]; /* "" where absent */
        const char *attributes_state; /* "complete" "truncated" "unavailable" (literals); NULL: absent */
        struct pairs attributes;      /* of the account, with accepted */
        char dc[257];
        char method[8];                                   /* "krb5" "ldap" or "" */
        char raw_ldap[64], raw_krb[32], raw_ntstatus[32]; /* "" where absent */
        uint32_t retry_after;                             /* s, only with reason "throttled"; 0: absent */
        uint32_t t_opened, t_dc, t_total;                 /* ms since the connector received the request */
};
int verdict_claims_encode(const struct verdict_claims *c, struct buffer *out, struct error *err);
/* Strict; verdict "accepted" without user_id is refused. -EBADMSG. */
int verdict_claims_decode(struct verdict_claims *ret_c, const char *json, size_t n, struct error *err);

/* ---- hash of a request JWS: b64u(SHA-256(ASCII JWS without padding)) ---- */
void request_hash(const char *jws, size_t n, char ret_hash[KID_LEN + 1]);

/* ---- the link: events and reports. Members that are not known are ignored here: this part may grow within version 1.
 * ---- */
#define HELLO_NODES_MAX 4
#define HELLO_REPORT_DEFAULT 5000 /* ms, where hello does not say */
#define HELLO_REPORT_MIN 1000
#define HELLO_REPORT_MAX 60000
#define RECONNECT_MAX 600000 /* ms: the longest wait that a relay may ask for */
struct hello {
        char session[ID_MAX + 1];
        char node[65];
        int64_t now;
        uint32_t heartbeat;
        uint32_t report; /* ms: how often a connector reports that has nothing to say, at least */
        uint64_t roster_seq;
        uint32_t reconnect_min, reconnect_max; /* ms */
        size_t n_nodes;
        char nodes[HELLO_NODES_MAX][257]; /* https URLs of all nodes, this one included */
};
int hello_encode(const struct hello *h, struct buffer *out);
int hello_decode(struct hello *ret_h, const char *json, size_t n, struct error *err);
/* 55 characters of the alphabet of a traceparent (W3C Trace Context). */
bool wire_traceparent_valid(const char *s);

/* event: request, one line with blanks between: id seq budget traceparent|- shared-line recipient's-line [last] */
struct request_event {
        char id[ID_MAX + 1];
        uint64_t seq;
        uint32_t budget;      /* ms */
        char traceparent[56]; /* "" where absent */
        bool last;            /* nobody else can be given it: a refusal is better than a decline */
        char *sealed;         /* for one recipient (sealed.h), its line ends in place; owned */
};
int request_event_encode(const struct request_event *e, struct buffer *out);
/* sealed is what stood there: whether it has its form, sealed_read says. -EBADMSG, -ENOMEM. */
int request_event_decode(struct request_event *ret_e, const char *text, size_t n, struct error *err);
void request_event_clear(struct request_event *e);
/* event: cancel */
int cancel_event_decode(char ret_id[ID_MAX + 1], const char *json, size_t n, struct error *err);
/* event: drain, {reconnect:[min,max]} ms */
int drain_event_decode(uint32_t *ret_min, uint32_t *ret_max, const char *json, size_t n, struct error *err);
/* event: roster; *ret_jws is malloc'ed and not verified. */
int roster_event_decode(char **ret_jws, const char *json, size_t n, struct error *err);

enum report_kind {
        REPORT_RECEIVED = 1,
        REPORT_DECLINED,
        REPORT_VERDICT,
        REPORT_LOST, /* whoever had it is gone, and its password may have left: no answer comes */
};
struct report_item {
        char id[ID_MAX + 1];
        enum report_kind is;
        char why[32]; /* declined */
        char *jwe;    /* verdict; owned */
};
#define REPORT_ITEMS_MAX 1024
#define REPORT_IN_HAND_MAX 4096
#define REPORT_REALMS_MAX 64
#define REPORT_REASONS_MAX 32
#define VERDICT_JWE_MAX 8192
struct report {
        char session[ID_MAX + 1];
        char boot[23];
        uint64_t granted;
        double load;
        size_t n_realms, n_reasons, n_items;
        struct {
                char realm[257];
                bool ready;
        } * realms;                /* owned */
        char (*reasons)[64];       /* owned */
        char *statement;           /* or NULL; owned */
        struct report_item *items; /* owned */
        /* All that the connector has of this boot, in a session's first report: the rest of what was handed over is
         * lost. */
        bool has_in_hand;
        size_t n_in_hand;
        char (*in_hand)[ID_MAX + 1]; /* owned */
};
int report_encode(const struct report *r, struct buffer *out);
int report_decode(struct report *ret_r, const char *json, size_t n, struct error *err);
void report_clear(struct report *r);
/* The answer to a report. */
/* Why a relay takes no statement: one word, and more for people. */
#define REFUSAL_DETAIL_MAX 255
struct report_refusal {
        char why[32];                        /* "not_in_roster" "invalid" "not_newer", or one that is unknown here */
        char detail[REFUSAL_DETAIL_MAX + 1]; /* what the relay says of it, or "" */
};
struct report_answer {
        bool has_reconnect;
        uint32_t reconnect_min, reconnect_max; /* ms: the schedule from now on, instead of hello's */
        uint32_t report;                       /* ms: instead of hello's; 0: as before */
        size_t n_confirmed, n_late;
        char (*confirmed)[ID_MAX + 1]; /* owned */
        char (*late)[ID_MAX + 1];      /* owned */
        bool quarantined;              /* the connector gets no work, for its identity runs twice (12.6) */
        struct report_refusal refused; /* the statement of the report; why "": it was taken, or there was none */
};
int report_answer_encode(const struct report_answer *a, struct buffer *out);
int report_answer_decode(struct report_answer *ret_a, const char *json, size_t n, struct error *err);
void report_answer_clear(struct report_answer *a);
bool decline_why_valid(const char *why);
/* Whether the relay may give a request declined so to the next recipient. */
bool decline_may_move_on(const char *why);
