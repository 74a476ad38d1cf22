/*
 * The one table of the relay's error answers, and their JSON.
 *
 * Invariant: type, status, title and what a caller may do next stand in this table alone; a handler chooses a
 * row and adds a sentence.
 */
#include "queue/http/problem.h"

#include <string.h>

#include "certs/codec/json.h"

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

int problem_encode(const struct problem *p, struct buffer *out)
{
        const struct row *row = &rows[p->type];
        char type[64] = "urn:postern:";
        struct json_writer w;

        memcpy(type + strlen(type), row->word, strlen(row->word) + 1);
        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "type", type);
        json_write_str(&w, "title", row->title);
        json_write_int(&w, "status", row->status);
        if (p->detail)
                json_write_str(&w, "detail", p->detail);
        if (p->instance)
                json_write_str(&w, "instance", p->instance);
        json_write_str(&w, "started", p->started_unknown ? "unknown" : "no");
        json_write_str(&w, "retry", row->retry);
        json_write_lines(&w, "reasons", p->reasons);
        json_write_close(&w, '}');
        return json_write_end(&w);
}
