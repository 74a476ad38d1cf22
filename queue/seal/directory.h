/*
 * Who may be sealed to: a verified answer of GET /keys, whoever fetched it. No network and no clock.
 */
#pragma once

#include "certs/trust/roster.h"
#include "certs/trust/statement.h"

/* A verified answer of GET /keys. */
struct directory {
        struct roster *roster;
        size_t n;
        struct directory_entry {
                const struct roster_member *connector; /* in roster */
                struct statement *statement;
                int rank; /* place in the relay's ready list, -1 where it is not ready */
                size_t n_ready;
                char **ready; /* realms that the relay calls ready there; owned */
        } * entries;
};
/*
 * Verifies the JSON answer: roster against pin, tenant, now and min_seq; each statement against its roster member. A
 * statement that does not verify, or whose key is not in the roster, is left out (count in *ret_refused), never an
 * error; of two statements by one identity the newer counts. The relay's ready list only orders what verified. -EBADMSG
 * or roster_verify's codes.
 */
#define DIRECTORY_MAX (4 * 1024 * 1024)
int directory_open(struct directory **ret_d, const char *json, size_t n, const char *pin, const char *tenant,
                   int64_t now, uint64_t min_seq, size_t *ret_refused, struct error *err);
/*
 * The same with a roster from a second source beside the relay's (text, n_text; NULL: none): the newer one counts, so
 * that a relay that withholds a removal changes nothing. One that does not verify is an error, -EBADMSG, and so are two
 * texts of one number, -EBADE; one that has expired still is the floor of seq. sandbox: only a sandbox's roster counts.
 */
int directory_open_with(struct directory **ret_d, bool sandbox, const char *json, size_t n, const char *text,
                        size_t n_text, const char *pin, const char *tenant, int64_t now, uint64_t min_seq,
                        size_t *ret_refused, struct error *err);
struct directory *directory_free(struct directory *d);
DEFINE_FREEP(struct directory, directory_free)
