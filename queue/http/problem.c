/*
 * The one table of the relay's error answers, and their JSON.
 *
 * Invariant: type, status, title and what a caller may do next stand in this table alone; a handler chooses a
 * row and adds a sentence.
 */
#include "queue/http/problem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

static const struct row {
        int status;
        const char *word, *title, *retry;
} rows[PROBLEM_TYPES_] = {
        [PROBLEM_MALFORMED] = {400, "malformed", "The request is malformed", "never"},
        [PROBLEM_BAD_CREDENTIALS] = {401, "bad-credentials", "The credentials are missing or wrong", "never"},
        [PROBLEM_NOT_PERMITTED] = {403, "not-permitted", "These credentials do not permit this", "never"},
        [PROBLEM_WRONG_TENANT_KEY] = {403, "wrong-tenant-key", "The roster is not signed by this tenant's key",
                                      "never"},
        [PROBLEM_NO_SUCH_TENANT] = {404, "no-such-tenant", "There is no such tenant", "never"},
        [PROBLEM_NOT_FOUND] = {404, "not-found", "There is nothing here", "never"},
        [PROBLEM_NO_SUCH_METHOD] = {405, "no-such-method", "This path does not serve this method", "never"},
        [PROBLEM_DUPLICATE_ID] = {409, "duplicate-id", "This id was used before", "never"},
        [PROBLEM_SEQ_NOT_NEWER] = {409, "seq-not-newer", "The roster is not newer than the stored one", "never"},
        [PROBLEM_NO_SUCH_SESSION] = {409, "no-such-session", "There is no such session; open a new stream", "now"},
        [PROBLEM_LENGTH_REQUIRED] = {411, "length-required", "A body needs Content-Length", "never"},
        [PROBLEM_TOO_LARGE] = {413, "too-large", "The request is too large", "never"},
        [PROBLEM_UNSUPPORTED_TYPE] = {415, "unsupported-type", "The media type is not served here", "never"},
        [PROBLEM_STALE_KEYS] = {422, "stale-keys", "No recipient key of the request is live", "refresh-keys"},
        [PROBLEM_RATE_LIMITED] = {429, "rate-limited", "Too many requests with this secret", "later"},
        [PROBLEM_INTERNAL] = {500, "internal", "The relay failed", "later"},
        [PROBLEM_CONNECTOR_LOST] = {502, "connector-lost", "The connector was lost while it had the request", "never"},
        [PROBLEM_NO_CONNECTOR] = {503, "no-connector", "No connector of the request is linked", "refresh-keys"},
        [PROBLEM_NOT_READY] = {503, "not-ready", "No connector of the request is ready", "refresh-keys"},
        [PROBLEM_BUSY] = {503, "busy", "Every ready connector is busy", "later"},
        [PROBLEM_DRAINING] = {503, "draining", "This relay is going down", "now"},
        [PROBLEM_DEADLINE] = {504, "deadline", "The budget ended before an answer came", "never"},
};

int problem_status(enum problem_type type)
{
        return rows[type].status;
}

const char *problem_word(enum problem_type type)
{
        return rows[type].word;
}

static inline json_t *json_free(json_t *j)
{
        json_decref(j);
        return NULL;
}
DEFINE_FREEP(json_t, json_free)

int problem_encode(const struct problem *p, struct buffer *out)
{
        const struct row *row = &rows[p->type];
        struct buffer type = BUFFER(64);
        _cleanup_(json_freep) json_t *o = NULL;

        int r = buffer_printf(&type, "urn:postern:%s", row->word);
        if (r == 0)
                o = json_pack("{s:s, s:s, s:i, s:s*, s:s*, s:s, s:s}", "type", type.data, "title", row->title, "status",
                              row->status, "detail", p->detail, "instance", p->instance, "started",
                              p->started_unknown ? "unknown" : "no", "retry", row->retry);
        buffer_free(&type);
        if (!o)
                return -ENOMEM;
        if (p->reasons && json_object_set_new(o, "reasons", json_deep_copy(p->reasons)) < 0)
                return -ENOMEM;
        _cleanup_(freep) char *text = json_dumps(o, JSON_COMPACT);
        return text ? buffer_append_str(out, text) : -ENOMEM;
}
