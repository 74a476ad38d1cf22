/*
 * What connectors say: who they are, their reports, their identity keys.
 *
 * Invariants: a connector speaks only for the id in its client certificate, whose SAN names its tenant; a
 * report counts only for a session of that connector and boot; a statement or identity of another id is
 * refused. Reports are idempotent, so a connector may post one again whenever it did not see the answer.
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/announce.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"

/* ---- who it is ---- */

bool relay_link_peer(struct relay *relay, struct http_req *r, struct peer *ret_peer)
{
        struct error err;
        int code = credential_of(relay, r, ret_peer, &err);

        if (code < 0)
                http_fail(r, code == -ENOKEY || code == -EKEYEXPIRED ? PROBLEM_BAD_CREDENTIALS : PROBLEM_NOT_PERMITTED,
                          err.text);
        return code == 0;
}

/* ---- reports ---- */

/* One that is on its way out, and only comes to deliver what it still has: it takes nobody's place, and gets no work.
 */
static bool is_draining(const struct report *report)
{
        for (size_t i = 0; i < report->n_reasons; i++)
                if (strcmp(report->reasons[i], "draining") == 0)
                        return true;
        return false;
}

/* Keeps the realms that are ready, of those that the roster lets the connector speak for. What it says beyond that
 * counts for nothing, and the admin hears of it once a session. */
static int take_realms(struct session *s, const struct report *report)
{
        const struct roster_member *m = tenant_connector_by_id(tenant_live_roster(s->relay, s->tenant), s->connector);
        char(*realms)[257] = calloc(report->n_realms + 1, sizeof(*realms));
        const size_t n_offered = is_draining(report) ? 0 : report->n_realms;
        size_t n = 0;

        if (!realms)
                return -ENOMEM;
        for (size_t i = 0; i < n_offered; i++) {
                const char *realm = report->realms[i].realm;

                if (!report->realms[i].ready)
                        continue;
                if (roster_speaks_for(m, realm)) {
                        memcpy(realms[n++], realm, sizeof(*realms));
                } else if (m && !s->beyond_told) {
                        s->beyond_told = true;
                        relay_event(s->relay, s->tenant->name, "connector_beyond_roster", s->connector,
                                    "says that it serves %.200s, for which the roster does not let it speak", realm);
                }
        }
        if (n != s->n_realms || (n && memcmp(realms, s->realms, n * sizeof(*realms)) != 0))
                api_keys_touch(s->relay, s->tenant);
        free(s->realms);
        s->realms = realms;
        s->n_realms = n;
        return 0;
}

/* One that is not taken is told to its connector each time, and to the log once. */
static void take_statement(struct session *s, const char *text, struct report_refusal *ret_refused)
{
        uint8_t hash[SHA256_DIGEST_LENGTH];
        char shown[KID_LEN + 1];
        struct error err;
        const int code = tenant_put_statement(s->relay, s->tenant, s->connector, text, &err);

        if (code == 0) {
                api_keys_touch(s->relay, s->tenant);
                return;
        }
        (void)snprintf(ret_refused->why, sizeof(ret_refused->why), "%s",
                       code == -ENOKEY   ? "not_in_roster"
                       : code == -ESTALE ? "not_newer"
                                         : "invalid");
        (void)snprintf(ret_refused->detail, sizeof(ret_refused->detail), "%.*s", REFUSAL_DETAIL_MAX, err.text);
        if (!utf8_valid(ret_refused->detail, strlen(ret_refused->detail)))
                ret_refused->detail[0] = '\0';
        SHA256((const unsigned char *)text, strlen(text), hash);
        b64u_encode_to(shown, hash, sizeof(hash));
        if (strcmp(shown, s->refused_statement) == 0)
                return;
        memcpy(s->refused_statement, shown, sizeof(shown));
        log_info("statement_ignored", KV_S("tenant", s->tenant->name), KV_S("connector", s->connector),
                 KV_S("why", err.text));
}

/* One that this node does not know may be waited for at another: until that is known it is in neither list, and the
 * connector comes with it again. */
static void take_verdict(struct session *s, const struct report_item *item, struct report_answer *answer)
{
        enum nodes_stray stray = NODES_STRAY_TAKEN;
        struct dispatch_trail trail;

        if (dispatch_verdict(s->link, item->id, item->jwe) != DISPATCH_CONFIRMED) {
                /* this node gave it to this connector, and whoever waited was told something else */
                const bool over = dispatch_trail(s->relay->dispatch, s->tenant->name, item->id, &trail) == 0 &&
                                  strcmp(trail.connector, s->connector) == 0;

                stray = over ? NODES_STRAY_LATE
                             : nodes_give_stray(s->relay->nodes, s->tenant, s->connector, item->id, item->jwe);
        }
        if (stray == NODES_STRAY_TAKEN)
                memcpy(answer->confirmed[answer->n_confirmed++], item->id, sizeof(item->id));
        if (stray != NODES_STRAY_LATE)
                return;
        memcpy(answer->late[answer->n_late++], item->id, sizeof(item->id));
        log_info("verdict_late", KV_S("tenant", s->tenant->name), KV_S("request", item->id),
                 KV_S("connector", s->connector));
}

static void take_items(struct session *s, const struct report *report, struct report_answer *answer)
{
        for (size_t i = 0; i < report->n_items; i++) {
                const struct report_item *item = &report->items[i];
                switch (item->is) {
                case REPORT_LOST:
                        dispatch_lost(s->link, item->id);
                        break;
                case REPORT_RECEIVED:
                        dispatch_received(s->link, item->id);
                        break;
                case REPORT_DECLINED:
                        dispatch_declined(s->link, item->id, item->why);
                        break;
                case REPORT_VERDICT:
                        take_verdict(s, item, answer);
                        break;
                }
        }
}

static void answer_report(struct http_req *r, struct session *s, struct report *report)
{
        struct report_answer answer = {.confirmed = calloc(report->n_items + 1, sizeof(*answer.confirmed)),
                                       .late = calloc(report->n_items + 1, sizeof(*answer.late))};
        struct buffer json = BUFFER(REPORT_MAX);

        if (!answer.confirmed || !answer.late || take_realms(s, report) < 0) {
                report_answer_clear(&answer);
                http_fail(r, PROBLEM_INTERNAL, "no memory for the report");
                return;
        }
        dispatch_link_state(s->link, &(struct dispatch_state){.granted = report->granted,
                                                              .ready = s->n_realms > 0,
                                                              .n_reasons = report->n_reasons,
                                                              .reasons = (const char(*)[64])report->reasons});
        s->reported_at = loop_now(s->relay->loop);
        if (!is_draining(report))
                session_takes_over(s);
        if (report->statement)
                take_statement(s, report->statement, &answer.refused);
        take_items(s, report, &answer);
        if (report->has_in_hand)
                dispatch_in_hand(s->link, report->in_hand, report->n_in_hand);
        clones_look(s);
        answer.quarantined = dispatch_link_is_quarantined(s->link);
        session_schedule(s, &answer);
        if (report_answer_encode(&answer, &json) < 0)
                http_fail(r, PROBLEM_INTERNAL, "no memory for the answer");
        else
                http_reply(r, 200, "application/json", json.data, json.len);
        buffer_free(&json);
        report_answer_clear(&answer);
}

void relay_link_report(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct peer peer;
        struct report report = {.granted = 0};
        struct error err;
        size_t n;

        if (!relay_link_peer(relay, r, &peer) || !api_media_type(relay, r, peer.tenant, "application/json"))
                return;
        const char *body = http_body(r, &n);
        if (report_decode(&report, body, n, &err) < 0) {
                http_fail(r, PROBLEM_MALFORMED, err.text);
                return;
        }
        struct session *s = session_find(relay, report.session);
        if (!s || s->tenant != peer.tenant || strcmp(s->connector, peer.connector.id) != 0 ||
            strcmp(s->boot, report.boot) != 0)
                http_fail(r, PROBLEM_NO_SUCH_SESSION, NULL);
        else {
                http_keep_open(r); /* a verdict may be to come, for which nobody could connect any more */
                answer_report(r, s, &report);
        }
        report_clear(&report);
}

/* ---- identity ---- */

struct identity {
        struct key *key;
        char *proof, *jwk;
};

/* By this key for this connector, and not old; but a key that is stored already may show its old proof again. */
static int check_proof(const struct relay *relay, const struct peer *peer, const struct identity *i, struct error *err)
{
        const bool stored = strcmp(peer->connector.kid, key_kid(i->key)) == 0;
        _cleanup_(announcement_freep) struct announcement *a = NULL;
        int r = announcement_verify(&a, i->proof, strlen(i->proof), i->key, ANNOUNCE_ANY_TIME, err);

        if (r < 0)
                return r;
        if (strcmp(a->tenant, peer->tenant->name) != 0 || strcmp(a->id, peer->connector.id) != 0)
                return error_fail(err, -EBADMSG, "proof: it is of another connector or tenant");
        if (!stored && (a->iat > clock_latest(relay) + WIRE_SKEW || a->exp < clock_earliest(relay) - WIRE_SKEW))
                return error_fail(err, -ETIME, "proof: it is not current; is a clock wrong?");
        return 0;
}

static int read_identity(const struct relay *relay, const struct peer *peer, struct json_reader *body,
                         struct identity *i, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(512);
        struct json_reader jwk;

        json_read_object(&jwk, body, "jwk", JSON_REQUIRED);
        i->key = key_read_jwk(&jwk);
        json_read_end(&jwk, true);
        json_read_text(body, "proof", JSON_REQUIRED, ANNOUNCE_TEXT_MAX, &i->proof);
        if (i->key && (key_jwk_text(i->key, &text) < 0 || !(i->jwk = buffer_steal(&text))))
                json_read_no_memory(body);
        return json_read_end(body, true) < 0 ? json_read_result(body) : check_proof(relay, peer, i, err);
}

static void answer_identity(struct http_req *r, bool approved)
{
        if (approved)
                http_reply(r, 200, "application/json", "{\"state\":\"in-roster\"}", 21);
        else
                http_reply(r, 202, "application/json", "{\"state\":\"pending\"}", 19);
}

/* It is kept for the administrator. a->more: the roster has it. */
static void on_identity_kept(struct ask *a, int code)
{
        if (code == -ENOSPC)
                http_problem(a->r, &(struct problem){.type = PROBLEM_BUSY,
                                                     .detail = "too many identities wait for approval",
                                                     .retry_after = 600});
        else if (code < 0 && !(code == -EHOSTUNREACH && a->more)) /* what the roster has need not be kept */
                ask_failed(a, code);
        else
                answer_identity(a->r, a->more != NULL);
}

/* 200 where the roster has it; otherwise it is kept for the administrator. */
static void settle_identity(struct relay *relay, struct http_req *r, struct peer *peer, const struct identity *i)
{
        static char in_roster;
        const struct roster_member *m =
                tenant_connector_by_id(tenant_live_roster(relay, peer->tenant), peer->connector.id);
        const bool known = strcmp(peer->connector.kid, key_kid(i->key)) == 0;
        const bool approved = m && strcmp(key_kid(m->key), key_kid(i->key)) == 0;
        struct store_connector *c = &peer->connector;

        memcpy(c->kid, key_kid(i->key), sizeof(c->kid));
        c->since = loop_wall(relay->loop);
        if (!known) {
                log_info("identity_announced", KV_S("tenant", peer->tenant->name), KV_S("connector", c->id),
                         KV_S("name", c->name), KV_S("kid", c->kid));
                relay_event(relay, peer->tenant->name, "connector_pending", c->id,
                            "%s asks for approval with fingerprint %s, from %s", c->name, c->kid, http_peer(r));
        }
        if (known && approved) {
                answer_identity(r, true);
                return;
        }
        /* the domains that it announces may change while it waits */
        struct ask *a = ask_new(relay, r, peer->tenant, NULL);
        if (!a)
                return;
        a->more = approved ? &in_roster : NULL;
        ask_store(a,
                  &(struct store_request){.op = STORE_IDENTITY,
                                          .tenant = peer->tenant->name,
                                          .bytes = c,
                                          .n_bytes = sizeof(*c),
                                          .jwk = i->jwk,
                                          .proof = i->proof},
                  NULL, on_identity_kept);
        ask_settle(a);
}

void relay_link_identity(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct peer peer;
        struct identity i = {.key = NULL};
        struct error err = {""};
        struct json_reader body;
        size_t n;

        if (!relay_link_peer(relay, r, &peer) || !api_media_type(relay, r, peer.tenant, "application/json"))
                return;
        const char *text = http_body(r, &n);
        json_read_begin(&body, text, n, JSON_PLAIN, "identity", &err);
        const int code = read_identity(relay, &peer, &body, &i, &err);
        if (code < 0)
                http_fail(r, code == -ENOMEM ? PROBLEM_INTERNAL : PROBLEM_MALFORMED, err.text);
        else
                settle_identity(relay, r, &peer, &i);
        key_free(i.key);
        free(i.proof);
        free(i.jwk);
}
