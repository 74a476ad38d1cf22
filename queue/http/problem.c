/*
 * The one table of the relay's error answers, and their JSON.
 *
 * Invariant: type, status, title and what a caller may do next stand in this table alone; a handler chooses a
 * row and adds a sentence.
 */
#include "queue/http/problem.h"

#include <string.h>

#include "certs/codec/json.h"

/* clang-format off */
static const struct row {
        int status;
        const char *word, *title, *retry;
        const char *meaning, *remedy; /* sentences without their full stop, for who looks after relay and connectors */
} rows[PROBLEM_TYPES_] = {
        [PROBLEM_MALFORMED] = {400, "malformed", "The request is malformed", "never",
                "What was sent does not follow the protocol, so nobody got it",
                "Report it to whoever makes the software that asked; the detail names the flaw"},
        [PROBLEM_BAD_CREDENTIALS] = {401, "bad-credentials", "The credentials are missing or wrong", "never",
                "The secret or the client certificate is missing, wrong or was revoked, so nothing was done",
                "Give the caller one that counts: postern-relay secret TENANT KIND; a connector: postern-relay connector list TENANT says what became of its certificate"},
        [PROBLEM_NOT_PERMITTED] = {403, "not-permitted", "These credentials do not permit this", "never",
                "The secret counts, but not for this: a service's secret signs in, an administrator's changes the tenant",
                "Use the other secret"},
        [PROBLEM_WRONG_TENANT_KEY] = {403, "wrong-tenant-key", "The roster is not signed by this tenant's key", "never",
                "The roster is signed by another key than the one that this tenant was made with, so it was not taken",
                "Sign it with the tenant's own key: postern-relay tenant list shows the pin of the key that counts, which postern tenant init printed when it was made"},
        [PROBLEM_NO_SUCH_TENANT] = {404, "no-such-tenant", "There is no such tenant", "never",
                "The relay has no tenant of that name",
                "Check the spelling of the tenant; postern-relay tenant list shows those that there are"},
        [PROBLEM_NOT_FOUND] = {404, "not-found", "There is nothing here", "never",
                "There is nothing under this address, or what there was is over 30 days old",
                "Check the address; of a sign-in, that it was made at this relay"},
        [PROBLEM_NO_SUCH_METHOD] = {405, "no-such-method", "This path does not serve this method", "never",
                "The address is right, but not for this kind of request",
                "Report it to whoever makes the software that asked"},
        [PROBLEM_DUPLICATE_ID] = {409, "duplicate-id", "This id was used before", "never",
                "A request with this id was taken before; its password was not sent a second time",
                "Make a new id for each attempt"},
        [PROBLEM_SEQ_NOT_NEWER] = {409, "seq-not-newer", "The roster is not newer than the stored one", "never",
                "The relay has a roster of this number or a later one already",
                "Take up the newer one and sign again: postern tenant roster fetch, then roster sign"},
        [PROBLEM_NO_SUCH_SESSION] = {409, "no-such-session", "There is no such session; open a new stream", "now",
                "The connector reports to a stream that has ended; it opens another by itself",
                "Nothing to do; where it comes again and again, look at what lies between connector and relay"},
        [PROBLEM_LENGTH_REQUIRED] = {411, "length-required", "A body needs Content-Length", "never",
                "The request has a body without its length",
                "Report it to whoever makes the software that asked"},
        [PROBLEM_TOO_LARGE] = {413, "too-large", "The request is too large", "never",
                "The request is longer than any of its kind",
                "Report it to whoever makes the software that asked"},
        [PROBLEM_UNSUPPORTED_TYPE] = {415, "unsupported-type", "The media type is not served here", "never",
                "The request's media type is another than the one that this address takes",
                "Report it to whoever makes the software that asked"},
        [PROBLEM_STALE_KEYS] = {422, "stale-keys", "No recipient key of the request is live", "refresh-keys",
                "The request was sealed to keys that no connector has any more, so nobody could open it; the client fetches keys and seals anew by itself",
                "Where it stays: look whether the connectors are linked (postern status on their hosts)"},
        [PROBLEM_RATE_LIMITED] = {429, "rate-limited", "Too many requests with this secret", "later",
                "More sign-ins came with this secret than it may bring in that time; no connector got this one",
                "Let the caller wait; where that many are right, raise sign_ins_per_second and sign_in_burst (postern-relay.conf(5))"},
        [PROBLEM_INTERNAL] = {500, "internal", "The relay failed", "later",
                "The relay met a fault of its own",
                "Look at its log at this time: journalctl -u postern-relay"},
        [PROBLEM_CONNECTOR_LOST] = {502, "connector-lost", "The connector was lost while it had the request", "never",
                "The connector was lost while it had the request, so the password may have been checked; it is not sent again",
                "Let the user try again; postern log --events on that connector's host tells why it was lost"},
        [PROBLEM_NO_CONNECTOR] = {503, "no-connector", "No connector of the request is linked", "refresh-keys",
                "No connector that the request was sealed for has a link to this relay, so no password was checked",
                "Run postern status on the connectors' hosts; on the tenant admin's machine, postern tenant connectors shows which of them are linked"},
        [PROBLEM_NOT_READY] = {503, "not-ready", "No connector of the request is ready", "refresh-keys",
                "Connectors are linked, but none of them can take sign-ins of that domain, so no password was checked; each one's word why is with the answer",
                "Run postern status on the connectors' hosts"},
        [PROBLEM_BUSY] = {503, "busy", "Every ready connector is busy", "later",
                "Every connector that is ready has as many sign-ins as it takes, so no password was checked",
                "Add a connector, or raise in_flight (postern.conf(5)); slow domain controllers fill it, too"},
        [PROBLEM_DRAINING] = {503, "draining", "This relay is going down", "now",
                "This relay is being stopped and takes nothing new; no password was checked",
                "Try again at once: another node, or the relay after its restart, takes it"},
        [PROBLEM_DEADLINE] = {504, "deadline", "The budget ended before an answer came", "never",
                "No answer came before the time of the request was over; the password may have been checked",
                "Let the user try again; postern tenant trace ID shows how far it came, postern explain ID at the connector the rest"},
        [PROBLEM_UNKNOWN_APPLICATION] = {503, "unknown-application", "The web server did not show that it may ask", "never",
                "A web server asked a gateway, which wants the secret or the client certificate of an [application] of it, and got none or a wrong one; nobody was asked, and the user is not at fault",
                "Let the web server send Postern-Application: Bearer SECRET, with the secret of its [application] in gateway.conf"},
        [PROBLEM_NO_QUORUM] = {503, "no-quorum", "The relay's nodes cannot agree", "later",
                "The relay keeps its state in a NATS cluster, of which too few servers are there to decide anything: enrolment and changes of rosters are refused, and sign-ins go on",
                "Bring the NATS servers back, then ask again; postern-relay store status says what is missing"},
};
/* clang-format on */

int problem_status(enum problem_type type)
{
        return rows[type].status;
}

const char *problem_word(enum problem_type type)
{
        return rows[type].word;
}

enum problem_type problem_of_word(const char *word, enum problem_type other)
{
        for (enum problem_type p = PROBLEM_MALFORMED; p < PROBLEM_TYPES_; p++)
                if (strcmp(rows[p].word, word) == 0)
                        return p;
        return other;
}

struct problem_text problem_text(enum problem_type type)
{
        const struct row *row = &rows[type];

        return (struct problem_text){row->title, row->retry, row->meaning, row->remedy};
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
