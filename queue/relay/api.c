/*
 * What services and administrators ask: status, rosters, pending identities. Sign-ins: sign-in.c; keys: keys.c.
 *
 * Invariant: nothing is answered before the bearer secret was found among the tenant's own, compared as
 * SHA-256 in constant time. The relay passes rosters and statements on; it can make neither.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"

#define REASONS_MAX 16 /* of a connector that is not ready */

/* ---- common ---- */

bool api_media_type(struct relay *relay, struct http_req *r, struct tenant *t, const char *type)
{
        const char *given = http_header(r, "Content-Type");
        size_t n = strlen(type);
        struct error text;

        if (given && strncasecmp(given, type, n) == 0 && (given[n] == '\0' || given[n] == ';' || given[n] == ' '))
                return true;
        error_fail(&text, 0, "Content-Type must be %s", type);
        api_refuse(relay, r, t, REFUSED_OWN, &(struct problem){.type = PROBLEM_UNSUPPORTED_TYPE, .detail = text.text});
        return false;
}

void api_reply_json(struct http_req *r, int status, json_t *json)
{
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

        json_decref(json);
        if (text)
                http_reply(r, status, "application/json", text, strlen(text));
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory for the answer");
        free(text);
}

static const char *bearer(const struct http_req *r)
{
        const char *header = http_header(r, "Authorization");

        return header && strncasecmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

void api_refuse(struct relay *relay, struct http_req *r, struct tenant *t, enum refused_who who,
                const struct problem *problem)
{
        const char *id = http_header(r, "Postern-Id");
        struct problem told = *problem;

        if (id && id_valid(id, strlen(id))) {
                refused_note(relay, t, who, id, problem->type, problem->detail);
                told.instance = id;
        }
        http_problem(r, &told);
}

struct tenant *api_caller(struct relay *relay, struct http_req *r, const char *name, enum store_secret_kind kind,
                          struct tenant_secret **ret_secret)
{
        const char *secret = bearer(r);
        struct tenant *t;

        if (!secret) {
                http_fail(r, PROBLEM_BAD_CREDENTIALS, "Authorization: Bearer <secret> is missing");
                return NULL;
        }
        if (tenant_get(relay, name, &t) < 0) {
                http_fail(r, PROBLEM_NO_SUCH_TENANT, NULL);
                return NULL;
        }
        struct tenant_secret *found = tenant_secret(t, secret);
        if (!found || (kind && found->secret.kind != kind)) {
                api_refuse(relay, r, t, found ? REFUSED_OWN : REFUSED_STRANGER,
                           &(struct problem){.type = found ? PROBLEM_NOT_PERMITTED : PROBLEM_BAD_CREDENTIALS,
                                             .detail = !found                 ? "the secret is not this tenant's"
                                                       : kind == SECRET_ADMIN ? "this needs the tenant's admin secret"
                                                       : kind == SECRET_HELPDESK ? "this needs a helpdesk secret"
                                                                                 : "this needs a service secret"});
                return NULL;
        }
        *ret_secret = found;
        return t;
}

struct tenant *api_tenant(struct relay *relay, struct http_req *r, const char *name, enum store_secret_kind kind)
{
        struct tenant_secret *secret;

        return api_caller(relay, r, name, kind, &secret);
}

static void add_realm(void *arg, const char *realm)
{
        (void)json_array_append_new(arg, json_string(realm));
}

/* What a connector's links have in common for whoever looks at it. */
struct links_view {
        const char *connector;
        bool ready;
        size_t in_hand;
        json_t *reasons;
};

static void add_link(void *arg, const struct dispatch_view *view)
{
        struct links_view *links = arg;
        const char *line = view->reasons;

        if (strcmp(view->connector, links->connector) != 0)
                return;
        links->ready |= view->ready;
        links->in_hand += view->in_hand;
        while (line && *line && json_array_size(links->reasons) < REASONS_MAX) {
                const size_t n = strcspn(line, "\n");

                (void)json_array_append_new(links->reasons, json_stringn(line, n));
                line += n + (line[n] != '\0');
        }
}

/* id's own, of the roster, or one whose key is not (kid ""); s: its session, or NULL. */
static json_t *status_entry(struct relay *relay, const struct tenant *t, const struct session *s, const char *id,
                            const char *kid)
{
        const struct far_link *far = connector_far(t, id);
        const bool shut = (s || far) && tenant_is_quarantined(relay, t, id);
        const int64_t far_since =
                far ? loop_wall(relay->loop) - (int64_t)(loop_now(relay->loop) - far->began) / 1000 : 0;
        struct links_view links = {.connector = id, .reasons = json_array()};
        json_t *realms = json_array(), *nodes = json_array();
        const struct far_link *each;

        connector_realms(t, id, add_realm, realms);
        if (session_of_connector(t, id))
                (void)json_array_append_new(nodes, json_string(relay->config->node));
        LIST_FOREACH (each, &t->far, of_tenant)
                if (!each->leaving && strcmp(each->connector, id) == 0)
                        (void)json_array_append_new(nodes, json_string(far_node_name(each)));
        dispatch_links(relay->dispatch, t->name, add_link, &links);
        return json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:I, s:I, s:s, s:s, s:I, s:o}", "id", id, "kid", kid,
                         "linked", s || far, "ready", *kid && links.ready, "quarantined", shut, "realms", realms,
                         "reasons", links.reasons, "in_hand", (json_int_t)links.in_hand, "since",
                         (json_int_t)(s ? s->since : far_since), "version",
                         s     ? s->agent
                         : far ? far->agent
                               : "",
                         "address",
                         s     ? s->peer
                         : far ? far->peer
                               : "",
                         "certificate_not_after", (json_int_t)(s ? s->credential.not_after : 0), "nodes", nodes);
}

void api_status(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), 0);
        const struct session *s;
        const char *name;

        if (!t)
                return;
        json_t *list = json_array(), *nodes = json_array();
        for (size_t i = 0; t->roster && i < t->roster->n_connectors; i++) {
                const struct roster_member *m = &t->roster->connectors[i];
                json_array_append_new(list,
                                      status_entry(relay, t, session_of_connector(t, m->id), m->id, key_kid(m->key)));
        }
        TAILQ_FOREACH (s, &t->sessions, entry) {
                if (!tenant_connector_by_id(t->roster, s->connector) && session_of_connector(t, s->connector) == s)
                        json_array_append_new(list, status_entry(relay, t, s, s->connector, ""));
        }
        for (unsigned i = 0; (name = nodes_name(relay->nodes, i)); i++)
                (void)json_array_append_new(nodes, json_string(name));
        const struct store_state *state = store_client_state(relay->store);
        json_t *store = json_pack("{s:b, s:I, s:s}", "writable", state->writable, "since", (json_int_t)state->since,
                                  "why", state->why);
        api_reply_json(r, 200,
                       json_pack("{s:s, s:o, s:s?, s:o, s:o}", "node", relay->config->node, "nodes", nodes,
                                 "nodes_fault", nodes_view(relay->nodes).fault, "connectors", list, "store", store));
}

/* ---- rosters ---- */

/* The stored one stays in force; the admin hears that there are two, one of which was signed from an older base. */
static void tell_two(struct relay *relay, const struct tenant *t, const struct http_req *r)
{
        log_warning("roster_twice", KV_S("tenant", t->name), KV_U("seq", t->roster->seq));
        relay_event(relay, t->name, "roster_twice", "",
                    "another roster of number %llu was offered, from %s, and refused: one of the two was signed from "
                    "an older "
                    "base",
                    (unsigned long long)t->roster->seq, http_peer(r));
}

static void roster_refused(struct http_req *r, int code, const char *why)
{
        enum problem_type type = code == -EKEYREJECTED ? PROBLEM_WRONG_TENANT_KEY
                                 : code == -ESTALE     ? PROBLEM_SEQ_NOT_NEWER
                                                       : PROBLEM_MALFORMED;

        http_fail(r, type, why);
}

static void note_act(const struct ask *a, const char *what, const char *about, const char *refused)
{
        relay_events_act(
                a->relay->events,
                &(struct relay_act){
                        .act = what, .tenant = a->tenant, .about = about, .peer = http_peer(a->r), .refused = refused});
}

/* Stored, and in force: the tenant was told before this. */
static void on_roster_put(struct ask *a, int code)
{
        struct tenant *t;
        char seq[24] = "";

        if (tenant_get(a->relay, a->tenant, &t) == 0 && t->roster)
                (void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)t->roster->seq);
        note_act(a, "roster.put", code < 0 ? NULL : seq,
                 code == -ESTALE ? "seq-not-newer"
                 : code < 0      ? "the store cannot be written"
                                 : NULL);
        if (code == -ESTALE)
                http_fail(a->r, PROBLEM_SEQ_NOT_NEWER, NULL);
        else if (code < 0)
                ask_failed(a, code);
        else
                http_reply(a->r, 204, NULL, "", 0);
}

void api_roster_put(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        struct roster *roster = NULL;
        struct error err = {""};
        size_t n;

        if (!t || !api_media_type(relay, r, t, "application/jose"))
                return;
        const char *text = http_body(r, &n);
        int code = roster_verify_kind(&roster, relay->sandbox, text, n, t->pin, t->name, clock_latest(relay), 0, &err);
        if (code < 0 && relay->clock.doubtful)
                code = roster_verify_kind(&roster, relay->sandbox, text, n, t->pin, t->name, clock_earliest(relay), 0,
                                          &err);
        if (code < 0) {
                roster_refused(r, code, err.text);
                return;
        }
        if (t->roster && strcmp(roster->text, t->roster->text) == 0) {
                roster_free(roster);
                http_reply(r, 204, NULL, "", 0);
                return;
        }
        if (t->roster && roster->seq <= t->roster->seq) {
                if (roster->seq == t->roster->seq)
                        tell_two(relay, t, r);
                error_fail(&err, 0, "seq %llu is not above the stored %llu", (unsigned long long)roster->seq,
                           (unsigned long long)t->roster->seq);
                roster_free(roster);
                roster_refused(r, -ESTALE, err.text);
                return;
        }
        struct ask *a = ask_new(relay, r, t, NULL);
        if (a) {
                ask_store(a,
                          &(struct store_request){.op = STORE_ROSTER,
                                                  .tenant = t->name,
                                                  .n = (int64_t)roster->seq,
                                                  .at = loop_wall(relay->loop),
                                                  .text = roster->text},
                          NULL, on_roster_put);
                ask_settle(a);
        }
        roster_free(roster);
}

/* ---- lists ---- */

static void add_pending(void *arg, const struct msg_in *m)
{
        struct ask *a = arg;
        char jwk[512], proof[4096];
        struct store_connector c;
        struct tenant *t;

        if (tenant_get(a->relay, a->tenant, &t) < 0 || !store_frames_connector(m, &c) ||
            msg_get_str(m, STORE_TAG_JWK, jwk, sizeof(jwk)) < 0 ||
            msg_get_str(m, STORE_TAG_PROOF, proof, sizeof(proof)) < 0)
                return;
        const struct roster_member *member = tenant_connector_by_id(t->roster, c.id);
        if ((member && strcmp(key_kid(member->key), c.kid) == 0) || json_array_size(a->list) >= STORE_PENDING_MAX)
                return;
        json_t *key = json_loads(jwk, JSON_REJECT_DUPLICATES, NULL);
        if (key)
                json_array_append_new(a->list,
                                      json_pack("{s:s, s:s, s:o, s:s, s:s, s:I}", "id", c.id, "name", c.name, "jwk",
                                                key, "kid", c.kid, "proof", proof, "since", (json_int_t)c.since));
}

static void add_event(void *arg, const struct msg_in *m)
{
        struct ask *a = arg;
        struct store_event e;

        if (store_frames_event(m, &e))
                json_array_append_new(a->list, json_pack("{s:I, s:s, s:s, s:s}", "at", (json_int_t)e.at, "event",
                                                         e.name, "connector", e.id, "text", e.text));
}

static void on_listed(struct ask *a, int code)
{
        if (code == 0)
                api_reply_json(a->r, 200, json_incref(a->list));
        else
                ask_failed(a, code);
}

static void list_for_admin(struct relay *relay, struct http_req *r, enum store_op op, store_row_fn *row)
{
        const struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        struct ask *a = t ? ask_new(relay, r, t, NULL) : NULL;

        if (!a)
                return;
        a->list = json_array();
        ask_store(a, &(struct store_request){.op = op, .tenant = t->name}, row, on_listed);
        ask_settle(a);
}

void api_pending(void *arg, struct http_req *r)
{
        list_for_admin(arg, r, STORE_PENDING, add_pending);
}

void api_events(void *arg, struct http_req *r)
{
        list_for_admin(arg, r, STORE_EVENTS, add_event);
}

/* ---- the way out of quarantine ---- */

/* Where it is out, the tenant was told before this, and its links are on their way. */
static void on_released(struct ask *a, int code)
{
        note_act(a, "connector.release", a->id,
                 code < 0    ? "the store cannot be written"
                 : code == 0 ? "it is not in quarantine"
                             : NULL);
        if (code < 0) {
                ask_failed(a, code);
        } else if (code == 0) {
                http_fail(a->r, PROBLEM_NOT_FOUND, "no connector of this id is in quarantine");
        } else {
                relay_event(a->relay, a->tenant, "connector_released", a->id,
                            "out of quarantine, by the tenant's admin");
                http_reply(a->r, 204, NULL, "", 0);
        }
}

void api_release(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        const struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        struct ask *a = t ? ask_new(relay, r, t, http_part(r, 1)) : NULL;

        if (!a)
                return;
        ask_store(a, &(struct store_request){.op = STORE_RELEASE, .tenant = t->name, .id = a->id}, NULL, on_released);
        ask_settle(a);
}
