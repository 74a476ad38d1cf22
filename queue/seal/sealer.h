/*
 * One service that seals: its id and key, the verified directory in use, and what was seen that no later directory may
 * contradict. No network and no clock: whoever fetches the keys hands them in, and times are given.
 */
#pragma once

#include "queue/seal/directory.h"
#include "queue/seal/sign-in.h"

struct sealer_config {
        bool sandbox; /* it speaks to a postern-sandbox, and to nothing else */
        const char *tenant, *pin;
        const char *service_id;
        struct key *service_key;       /* referenced */
        uint64_t min_seq;              /* the highest roster sequence number seen so far */
        const char *roster_hash;       /* sealer_view of then, or NULL: another text of that number is refused */
        const char *const *distrusted; /* identities (kid) that a probe found out before; copied */
        size_t n_distrusted;
};
struct sealer;
/* 0, -EINVAL, -ENOMEM. */
int sealer_new(struct sealer **ret_sealer, const struct sealer_config *config, struct error *err);
struct sealer *sealer_free(struct sealer *s);
DEFINE_FREEP(struct sealer, sealer_free)

#define SEALER_KEYS_MAX_AGE_MS 30000

/* The relay's answer of GET /keys. */
struct sealer_keys {
        const char *json;
        size_t n;
        const char *second; /* the roster of a second source (directory_rules), or NULL: there is none */
        size_t n_second;
        const char *etag; /* "": none */
        int64_t wall;     /* s since the epoch */
        uint64_t now_ms;  /* monotonic */
};
/* Verifies them and takes them into use, or keeps what it had and says why: directory_open's codes, -EBADE where
 * the roster is another text of a number that was seen. */
int sealer_take_keys(struct sealer *s, const struct sealer_keys *keys, struct error *err);
/* The relay says that they have not changed. */
void sealer_keep_keys(struct sealer *s, uint64_t now_ms);
/* Whether there are keys that are not older than SEALER_KEYS_MAX_AGE_MS. */
bool sealer_fresh(const struct sealer *s, uint64_t now_ms);
/* What it has and has seen; each is borrowed until the next keys, or the next identity that is distrusted. */
struct sealer_view {
        const struct directory *directory; /* in use; NULL before the first keys */
        /* What the relay calls the keys in use: GET keys?since=STATE answers what changed since, which sealer_take_keys
         * takes as well, and GET keys?since=STATE&wait=30000 as soon as something changes. "": there is none. */
        const char *state;
        const char *etag; /* of the keys in use; "" where there are none or it had none */
        const char *pin;
        uint64_t roster_seq;           /* the highest roster sequence number seen so far */
        const char *roster_hash;       /* of the roster of that number; "": not known */
        const char *const *distrusted; /* the identities that were found out: kids */
        size_t n_distrusted;
};
struct sealer_view sealer_view(const struct sealer *s);

/* No sign-in goes to this identity any more. 0 or -ENOMEM. */
int sealer_distrust(struct sealer *s, const char *kid);

/* Completes the parameters with what is the sealer's: its id and key, where none are given, and whom it distrusts. */
void sealer_fill(const struct sealer *s, struct sign_in_params *p);
