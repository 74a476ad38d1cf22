/*
 * Objects that must be refused: each is a right one with exactly one fault, and everything around the fault
 * made anew.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum negative_layer {
        LAYER_HEADER = 1, /* of the JWS */
        LAYER_CLAIMS,     /* its payload */
        LAYER_JWS,        /* its compact text */
        LAYER_PLAIN,      /* the padded plaintext */
        LAYER_PROTECTED,  /* the JWE's protected header */
        LAYER_LINE,       /* the first recipient's line */
        LAYER_SEALED,     /* the text that is sent */
        LAYER_CONTEXT,    /* the object is right, but not here, now or twice */
};

struct negative {
        const char *name, *rule; /* rule: one sentence of PROTOCOL.md */
        enum negative_layer layer;
        const char *from, *to; /* replaced once in that layer; @kid:NAME@, @x:NAME@, @y:NAME@ are expanded */
        const char *
                path; /* instead of from: the value there in the layer's JSON, "services/0/name", is replaced by to; the
                         member is put in where it is absent (in an array at its end), and taken out where to is NULL */
        const char *expect;               /* "declined bad_request", "reason not_addressed", "key", "unavailable" ... */
        const char *signer;               /* fixed_key; NULL: the right one */
        const char *id;                   /* Postern-Id; NULL: the right one */
        const char *pin, *tenant;         /* what the reader expects; NULL: the right ones; pin names a fixed_key */
        int64_t later;                    /* s after WORLD_NOW that it is read */
        uint64_t min_seq;                 /* 0: MIN_SEQ */
        char *(*special)(const char *to); /* makes the layer's text instead of from -> to */
        int alone;                        /* the request has one recipient */
        int twice;                        /* read once before, and accepted then */
        int large;                        /* the verdict is padded to the larger class */
        int signing;                      /* the statement has a signing key; the verdict is signed by it */
        int certified;                    /* and the request was sealed with a statement that has it */
        int no_sid;                       /* the roster has no SID for the domain that was asked */
        int64_t certified_nbf, certified_exp; /* 0: as in the statement */
};

/* Each ends with a row whose name is NULL. */
extern const struct negative negative_requests[], negative_rosters[], negative_statements[], negative_verdicts[];
/* negative-member.c: members that are missing, of another type or over their limits. */
extern const struct negative negative_request_members[], negative_roster_members[], negative_statement_members[],
        negative_verdict_members[];

/* text, an object, with the value at path replaced, put in or (to NULL) taken out; path as in struct negative. */
char *json_with(const char *text, const char *path, const char *to);

/* The text that is refused. */
char *negative_request(const struct negative *n);
char *negative_roster(const struct negative *n);
char *negative_statement(const struct negative *n);
char *negative_verdict(const struct negative *n);
/* The class of padding that its request had: the smaller one, but where it does not fit that. */
size_t negative_verdict_class(const struct negative *n);
const char *negative_layer_text(enum negative_layer layer);
