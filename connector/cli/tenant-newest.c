/*
 * Which roster is the newest: the folder's or the relay's.
 *
 * Invariant: an edit starts from a roster that is at least as new as the relay's, so that a folder that was
 * restored from a backup brings nobody back. The relay is not believed: what it has counts with the tenant key's
 * signature. Two rosters of one number are told, and nothing is done.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "certs/trust/statement.h"
#include "base/core/text.h"
#include "connector/cli/tenant-internal.h"

/* Which of the two is in force. 1: the relay's, which is stored now; 0: the folder's. */
static int compare(struct tenant_store *s, const char *text, struct error *err)
{
        _cleanup_(roster_freep) struct roster *theirs = NULL;
        int r = roster_verify(&theirs, text, strlen(text), s->pin, s->tenant, ROSTER_ANY_TIME, 0, err);

        if (r < 0)
                return error_prefix(err, r, "the relay's roster");
        s->relay_seq = theirs->seq;
        if (s->roster && theirs->seq < s->roster->seq)
                return 0;
        if (s->roster && theirs->seq == s->roster->seq) {
                if (s->roster->text && strcmp(theirs->text, s->roster->text) == 0)
                        return 0;
                return error_fail(
                        err, -EBADE,
                        "the relay has another roster of number %" PRIu64
                        " than this folder: one of them was signed from an older base. The relay's is in force: "
                        "move %s/roster.jws away, run this again, and look at what is missing",
                        theirs->seq, s->dir);
        }
        roster_free(s->roster);
        s->roster = steal(theirs);
        r = tenant_store_save(s, err);
        return r < 0 ? r : 1;
}

int tenant_catch_up(struct tenant_store *s, struct error *err)
{
        _cleanup_(https_response_clear) struct https_response response = {0};
        json_t *json = NULL;
        const char *text;
        int r;

        if (!s->relay)
                return -ENOENT;
        r = tenant_call(s, "GET", "keys", NULL, &response, err);
        if (r < 0)
                return error_prefix(err, r,
                                    "whether the relay has a newer roster cannot be learnt, so nothing is changed");
        if (response.status == 404 && strstr(response.body.data ? response.body.data : "", "not-found"))
                return 0; /* no roster there yet */
        if (response.status != 200)
                return tenant_refused(&response, err);
        r = jose_json_object(&json, response.body.data, response.body.len, "the relay's keys", err);
        if (r < 0)
                return r;
        json_decref(s->statements);
        s->statements = json_incref(json_object_get(json, "statements"));
        text = json_string_value(json_object_get(json, "roster"));
        r = text ? compare(s, text, err) : error_fail(err, -EBADMSG, "the relay's keys hold no roster");
        json_decref(json);
        return r;
}

/* NULL: the statement says nothing against it. */
static const struct roster_member *who_cannot_read(const struct tenant_store *s, const char *text)
{
        _cleanup_(statement_freep) struct statement *statement = NULL;
        const struct roster_member *connector;
        char kid[KID_LEN + 1];

        if (!text || statement_peek_kid(text, strlen(text), kid, NULL) < 0)
                return NULL;
        connector = roster_connector(s->roster, kid);
        if (!connector || statement_verify(&statement, text, strlen(text), connector->key, connector->id, s->tenant,
                                           time(NULL), NULL) < 0)
                return NULL;
        return statement->roster_form < roster_form_needed(s->roster) ? connector : NULL;
}

int tenant_readable(const struct tenant_store *s, struct error *err)
{
        const json_t *value;
        size_t i;

        json_array_foreach (s->statements, i, value) {
                const struct roster_member *m = who_cannot_read(s, json_string_value(value));

                if (m)
                        return error_fail(
                                err, -EPROTONOSUPPORT,
                                "connector %s (%s) runs a version of Postern that cannot read this roster, and would "
                                "stop: upgrade it first, or take it out with `postern tenant remove %s`",
                                m->name, m->id, m->name);
        }
        return 0;
}
