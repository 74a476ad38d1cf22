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
        int code = tenant_get(relay, name, &t);
        if (code < 0) {
                http_fail(r, code == -ENOENT ? PROBLEM_NO_SUCH_TENANT : PROBLEM_INTERNAL,
                          code == -ENOENT ? NULL : "the database failed");
                return NULL;
        }
        struct tenant_secret *found = tenant_secret(t, secret);
        if (!found || (kind && found->secret.kind != kind)) {
                api_refuse(relay, r, t, found ? REFUSED_OWN : REFUSED_STRANGER,
                           &(struct problem){.type = found ? PROBLEM_NOT_PERMITTED : PROBLEM_BAD_CREDENTIALS,
                                             .detail = !found                 ? "the secret is not this tenant's"
                                                       : kind == SECRET_ADMIN ? "this needs the tenant's admin secret"
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

struct listing {
        struct relay *relay;
        struct tenant *t;
        json_t *list;
};

/* ---- status ---- */

static json_t *realms_of(const struct session *s)
{
        json_t *list = json_array();

        for (size_t i = 0; s && i < s->n_realms; i++)
                json_array_append_new(list, json_string(s->realms[i]));
        return list;
}

static json_t *status_entry(const struct session *s, const char *id, const char *kid, bool ready)
{
        const bool shut = s && store_is_quarantined(s->relay->store, s->tenant->name, id) == 1;

        return json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:I, s:s}", "id", id, "kid", kid, "linked", s != NULL, "ready",
                         ready, "quarantined", shut, "realms", realms_of(s), "since", (json_int_t)(s ? s->since : 0),
                         "version", s ? s->agent : "");
}

struct ready_search {
        const char *connector;
        bool ready;
};

static void match_ready(void *arg, const struct dispatch_view *view)
{
        struct ready_search *search = arg;

        search->ready |= view->ready && strcmp(view->connector, search->connector) == 0;
}

static bool is_ready(struct relay *relay, const struct tenant *t, const char *connector)
{
        struct ready_search search = {.connector = connector};

        dispatch_links(relay->dispatch, t->name, match_ready, &search);
        return search.ready;
}

void api_status(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), 0);
        json_t *list = json_array();
        const struct session *s;

        if (!t) {
                json_decref(list);
                return;
        }
        for (size_t i = 0; t->roster && i < t->roster->n_connectors; i++) {
                const struct roster_member *m = &t->roster->connectors[i];
                json_array_append_new(list, status_entry(session_of_connector(t, m->id), m->id, key_kid(m->key),
                                                         is_ready(relay, t, m->id)));
        }
        TAILQ_FOREACH (s, &t->sessions, entry) {
                if (!tenant_connector_by_id(t->roster, s->connector) && session_of_connector(t, s->connector) == s)
                        json_array_append_new(list, status_entry(s, s->connector, "", false));
        }
        api_reply_json(r, 200, json_pack("{s:o}", "connectors", list));
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

/* Stores a verified roster and tells everyone linked. */
static int adopt_roster(struct relay *relay, struct tenant *t, struct roster *roster)
{
        int code = store_roster_put(relay->store, t->name, roster->seq, roster->text, loop_wall(relay->loop));

        if (code < 0) {
                roster_free(roster);
                return code;
        }
        tenant_set_roster(t, roster);
        api_keys_touch(t);
        sessions_send_roster(t);
        log_info("roster_stored", KV_S("tenant", t->name), KV_U("seq", roster->seq),
                 KV_U("connectors", roster->n_connectors), KV_U("services", roster->n_services));
        return 0;
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
        code = adopt_roster(relay, t, roster);
        if (code < 0)
                http_fail(r, code == -ESTALE ? PROBLEM_SEQ_NOT_NEWER : PROBLEM_INTERNAL,
                          code == -ESTALE ? NULL : "the database failed");
        else
                http_reply(r, 204, NULL, "", 0);
}

/* ---- pending identities ---- */

static void add_pending(void *arg, const struct store_connector *c)
{
        struct listing *l = arg;
        const struct roster_member *m = tenant_connector_by_id(l->t->roster, c->id);
        json_t *jwk;

        if ((m && strcmp(key_kid(m->key), c->kid) == 0) || json_array_size(l->list) >= STORE_PENDING_MAX)
                return;
        jwk = json_loads(c->jwk, JSON_REJECT_DUPLICATES, NULL);
        if (jwk)
                json_array_append_new(l->list,
                                      json_pack("{s:s, s:s, s:o, s:s, s:s, s:I}", "id", c->id, "name", c->name, "jwk",
                                                jwk, "kid", c->kid, "proof", c->proof, "since", (json_int_t)c->since));
}

void api_pending(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        struct listing l = {.relay = relay, .t = t};

        if (!t)
                return;
        l.list = json_array();
        if (store_identities(relay->store, t->name, add_pending, &l) == 0) {
                api_reply_json(r, 200, l.list);
                return;
        }
        json_decref(l.list);
        http_fail(r, PROBLEM_INTERNAL, "the database failed");
}

/* ---- events, and the way out of quarantine ---- */

static void add_event(void *arg, const struct store_event *e)
{
        json_array_append_new(arg, json_pack("{s:I, s:s, s:s, s:s}", "at", (json_int_t)e->at, "event", e->name,
                                             "connector", e->id, "text", e->text));
}

void api_events(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        json_t *list = t ? json_array() : NULL;

        if (!t)
                return;
        if (store_events(relay->store, t->name, add_event, list) == 0) {
                api_reply_json(r, 200, list);
                return;
        }
        json_decref(list);
        http_fail(r, PROBLEM_INTERNAL, "the database failed");
}

void api_release(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = api_tenant(relay, r, http_part(r, 0), SECRET_ADMIN);
        int code = t ? store_release(relay->store, t->name, http_part(r, 1)) : 0;

        if (!t)
                return;
        if (code < 0) {
                http_fail(r, PROBLEM_INTERNAL, "the database failed");
        } else if (code == 0) {
                http_fail(r, PROBLEM_NOT_FOUND, "no connector of this id is in quarantine");
        } else {
                relay_event(relay, t->name, "connector_released", http_part(r, 1),
                            "out of quarantine, by the tenant's admin");
                clones_refresh(relay, t);
                http_reply(r, 204, NULL, "", 0);
        }
}
