/*
 * From the ledger's frames to records for a SIEM: which members, which names of users, which severity.
 *
 * Invariant: with events_names = pseudonyms no name, account or search text of a person is in a record, in whatever
 * form it came; what stands for it is the hash by which the ledger finds the person's rows. What the ledger never had
 * in clear (names that nobody has) is never in clear here.
 */
#include "connector/ledger/outlets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "base/events/ways.h"
#include "connector/ledger/ledger.h"
#include "connector/ledger/store-internal.h"

#define PSEUDONYM "user-%.12s"
#define PSEUDONYM_MAX 32

struct ledger_outlets {
        struct ledger *ledger;
        struct events_ways *ways;
        char connector[ID_MAX + 1];
};

/* ---- names ---- */

/* The members of a record that say who it was. */
static bool is_personal(uint8_t tag)
{
        return tag == R_USER || tag == R_USER_MASKED || tag == R_UPN || tag == R_SAM || tag == R_USER_ID ||
               tag == R_CLIENT_AGENT;
}

static void hash_of(const struct ledger_outlets *o, const void *name, size_t n, char ret[PSEUDONYM_MAX])
{
        char hash[NAME_HASH_TEXT] = "";

        ret[0] = '\0';
        if (n == 0 || !o->ledger->has_hash_key)
                return;
        name_hash(o->ledger->hash_key, name, n, hash);
        (void)snprintf(ret, PSEUDONYM_MAX, PSEUDONYM, hash);
}

/* As the ledger makes it of old rows: of the typed name's hash, else of the account's. */
static void pseudonym_of(const struct ledger_outlets *o, const struct msg_in *m, char ret[PSEUDONYM_MAX])
{
        static const uint8_t sources[] = {R_USER, R_USER_ID};
        char hash[NAME_HASH_TEXT];
        size_t n;

        ret[0] = '\0';
        if (msg_get_str(m, R_USER_HASH, hash, sizeof(hash)) == 0)
                (void)snprintf(ret, PSEUDONYM_MAX, PSEUDONYM, hash);
        for (size_t i = 0; !ret[0] && i < sizeof(sources); i++) {
                const uint8_t *bytes = msg_get_bytes(m, sources[i], &n);
                hash_of(o, bytes, n, ret);
        }
}

/* ---- one record ---- */

static void begin(const struct ledger_outlets *o, struct events_record *r, const char *kind, const char *sentence)
{
        r->wall = loop_wall(o->ledger->process.loop);
        r->kind = kind;
        r->sentence = sentence;
        r->level = LOG_LEVEL_INFO;
        r->n = 0;
        events_text(r, "connector", o->connector);
}

static void put_column(struct events_record *r, const struct column *c, const struct msg_in *m)
{
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, c->tag, &n);

        if (c->kind == COLUMN_TEXT)
                events_bytes(r, c->name, bytes, n);
        else if (bytes && c->kind == COLUMN_BOOL)
                events_bool(r, c->name, msg_get_u64(m, c->tag, 0) != 0);
        else if (bytes)
                events_number(r, c->name, (int64_t)(msg_get_u64(m, c->tag, 0) & INT64_MAX));
}

static void put_sign_in(struct ledger_outlets *o, const struct msg_in *m)
{
        const bool clear = o->ledger->config->events_names == NAMES_CLEAR;
        char pseudonym[PSEUDONYM_MAX], verdict[16] = "", trace[64];
        struct spans_context context;
        struct events_record r;

        (void)msg_get_str(m, R_VERDICT, verdict, sizeof(verdict));
        begin(o, &r, "sign_in",
              msg_has(m, R_DECLINED)             ? "a sign-in was not taken by this connector"
              : strcmp(verdict, "accepted") == 0 ? "a sign-in was accepted"
              : strcmp(verdict, "refused") == 0  ? "a sign-in was refused"
                                                 : "a sign-in could not be decided");
        r.wall = (int64_t)(msg_get_u64(m, R_WALL, 0) & INT64_MAX);
        r.notice = strcmp(verdict, "accepted") != 0;
        if (!msg_has(m, R_DECLINED) && strcmp(verdict, "unavailable") == 0)
                r.level = LOG_LEVEL_WARNING;
        for (size_t i = 0; i < ledger_columns_n; i++) {
                const struct column *c = &ledger_columns[i];

                if (c->tag != 0 && !c->hidden && c->tag != R_WALL && (clear || !is_personal(c->tag)))
                        put_column(&r, c, m);
        }
        pseudonym_of(o, m, pseudonym);
        events_text(&r, "pseudonym", pseudonym);
        if (msg_get_str(m, R_TRACE, trace, sizeof(trace)) == 0) {
                spans_context(&context, trace, "");
                events_text(&r, "trace_id", context.trace);
        }
        events_ways_put(o->ways, &r);
}

/* A verdict is expected to arrive: only one that did not is told. */
static void put_delivery(struct ledger_outlets *o, const struct msg_in *m)
{
        char state[32] = "";
        struct events_record r;
        size_t n;

        if (msg_get_str(m, TAG_DELIVERY, state, sizeof(state)) < 0 || strcmp(state, "confirmed") == 0)
                return;
        begin(o, &r, "delivery", "a verdict did not arrive while somebody waited for it");
        r.notice = true;
        const uint8_t *id = msg_get_bytes(m, TAG_ID, &n);
        events_bytes(&r, "id", id, n);
        events_text(&r, "delivery", state);
        events_ways_put(o->ways, &r);
}

static void put_event(struct ledger_outlets *o, const struct msg_in *m)
{
        static const struct {
                uint8_t tag;
                const char *key;
        } members[] = {{TAG_NAME, "event"}, {TAG_TEXT, "detail"}, {TAG_ID, "id"}};
        struct events_record r;
        size_t n;

        begin(o, &r, "event", "an event of this connector");
        r.notice = true;
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
                const uint8_t *bytes = msg_get_bytes(m, members[i].tag, &n);
                events_bytes(&r, members[i].key, bytes, n);
        }
        events_ways_put(o->ways, &r);
}

/* ---- spans ---- */

/* The record comes at the end of its sign-in: when that was on the wall's clock, and what went before by its durations.
 */
static void put_spans(struct ledger_outlets *o, const struct msg_in *m)
{
        enum { SIGN_IN, AT_DC, SPANS };
        char id[ID_MAX + 1] = "", trace[64] = "", verdict[16] = "", reason[64] = "", dc[257] = "", method[16] = "",
                         domain[257] = "", declined[32] = "";
        const uint64_t total = msg_get_u64(m, R_MS_TOTAL, 0), at_dc = msg_get_u64(m, R_MS_DC, 0);
        struct spans_span spans[SPANS] = {{.name = "postern sign-in", .kind = SPANS_SERVER},
                                          {.name = "postern domain controller", .kind = SPANS_CLIENT}};
        struct spans_context context;

        (void)msg_get_str(m, TAG_ID, id, sizeof(id));
        (void)msg_get_str(m, R_TRACE, trace, sizeof(trace));
        (void)msg_get_str(m, R_VERDICT, verdict, sizeof(verdict));
        (void)msg_get_str(m, R_REASON, reason, sizeof(reason));
        (void)msg_get_str(m, R_DC, dc, sizeof(dc));
        (void)msg_get_str(m, R_METHOD, method, sizeof(method));
        (void)msg_get_str(m, R_DOMAIN, domain, sizeof(domain));
        (void)msg_get_str(m, R_DECLINED, declined, sizeof(declined));
        spans_context(&context, trace, id);
        if (!context.sampled)
                return;
        struct spans_span *whole = &spans[SIGN_IN], *part = &spans[AT_DC];
        spans_id(whole->id);
        spans_id(part->id);
        memcpy(whole->parent, context.parent, sizeof(whole->parent));
        memcpy(part->parent, whole->id, sizeof(part->parent));
        spans_took(whole, total);
        spans_took(part, at_dc <= total ? at_dc : total);
        whole->failed = strcmp(verdict, "unavailable") == 0 || strcmp(declined, DECLINED_LOST) == 0;
        part->failed = whole->failed;
        spans_text(whole, "postern.sign_in.id", id);
        spans_text(whole, "postern.verdict", verdict);
        spans_text(whole, "postern.reason", reason);
        spans_text(whole, "postern.declined", declined);
        spans_text(whole, "postern.domain", domain);
        spans_text(part, "server.address", dc);
        spans_text(part, "network.protocol.name", method);
        events_ways_spans(o->ways, &context, spans, dc[0] && method[0] ? SPANS : 1);
}

/* ---- what somebody asked ---- */

/* Whom the request is about: an id is told as it is, a person by the rule for names. */
static void put_subject(const struct ledger_outlets *o, struct events_record *r, const struct request *request,
                        char id[ID_MAX + 1], char pseudonym[PSEUDONYM_MAX])
{
        const char *about = request->what[0] ? request->what : request->user;
        const bool clear = o->ledger->config->events_names == NAMES_CLEAR;

        if (!about[0])
                return;
        /* what has the form of an id may be a name, but not where it is of capitals and digits, or hexadecimal */
        if (request->what[0] && id_given(about, id) && id_valid(id, strlen(id)) &&
            (clear || (id[strcspn(id, "0123456789")] && (!id[strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")] ||
                                                         !id[strspn(id, "abcdef0123456789-")])))) {
                events_text(r, "id", id);
                return;
        }
        hash_of(o, about, strlen(about), pseudonym);
        if (clear)
                events_text(r, "user", about);
        events_text(r, "pseudonym", pseudonym);
}

/* What a person of the helpdesk asked from afar, by the relay. */
static void put_question(struct ledger_outlets *o, const struct msg_in *m)
{
        char id[ID_MAX + 1], pseudonym[PSEUDONYM_MAX], op[17] = "", person[65] = "", kid[65] = "", refused[65] = "";
        struct request request = {.what_to_do = REQUEST_EXPLAIN};
        struct events_record r;

        (void)msg_get_str(m, TAG_OP, op, sizeof(op));
        (void)msg_get_str(m, TAG_PERSON, person, sizeof(person));
        (void)msg_get_str(m, TAG_KID, kid, sizeof(kid));
        (void)msg_get_str(m, TAG_WHAT, request.what, sizeof(request.what));
        (void)msg_get_str(m, TAG_REFUSED, refused, sizeof(refused));
        begin(o, &r, "act", "somebody asked this connector through the relay");
        r.notice = true;
        events_text(&r, "act", op);
        events_text(&r, "person", person);
        events_text(&r, "key", kid);
        put_subject(o, &r, &request, id, pseudonym);
        if (msg_has(m, TAG_SINCE))
                events_number(&r, "since", (int64_t)(msg_get_u64(m, TAG_SINCE, 0) & INT64_MAX));
        if (msg_has(m, TAG_UNTIL))
                events_number(&r, "until", (int64_t)(msg_get_u64(m, TAG_UNTIL, 0) & INT64_MAX));
        events_bool(&r, "done", !refused[0]);
        events_text(&r, "refused", refused);
        events_ways_put(o->ways, &r);
}

void ledger_outlets_act(struct ledger_outlets *o, const struct ledger_asker *asker, const struct request *request,
                        const char *refused)
{
        char id[ID_MAX + 1], pseudonym[PSEUDONYM_MAX];
        struct events_record r;

        if (!o || !events_ways_want_records(o->ways) || (request && !request_is_act(request) && !refused))
                return;
        begin(o, &r, "act", "somebody asked this connector's ledger");
        r.notice = true;
        events_text(&r, "act", request ? request_do_text(request->what_to_do) : "malformed");
        if (request && request->what_to_do == REQUEST_GUARD)
                events_bool(&r, "release", request->release);
        events_number(&r, "uid", (int64_t)asker->uid);
        events_number(&r, "pid", (int64_t)asker->pid);
        if (request) {
                events_text(&r, "person", request->person);
                put_subject(o, &r, request, id, pseudonym);
                events_text(&r, "verdict", request->verdict);
                if (request->since)
                        events_number(&r, "since", request->since);
                if (request->until)
                        events_number(&r, "until", request->until);
        }
        events_bool(&r, "done", !refused);
        events_text(&r, "refused", refused);
        events_ways_put(o->ways, &r);
}

void ledger_outlets_admin(struct ledger_outlets *o, const json_t *act)
{
        const json_t *login = json_object_get(act, "login_uid");
        struct events_record r;

        if (!o || !events_ways_want_records(o->ways))
                return;
        begin(o, &r, "act", "somebody administered this connector");
        r.wall = json_integer_value(json_object_get(act, "at"));
        r.notice = true;
        events_text(&r, "act", json_string_value(json_object_get(act, "act")));
        events_text(&r, "about", json_string_value(json_object_get(act, "detail")));
        events_number(&r, "uid", json_integer_value(json_object_get(act, "uid")));
        if (login)
                events_number(&r, "login_uid", json_integer_value(login));
        events_bool(&r, "done", true);
        events_ways_put(o->ways, &r);
}

void ledger_outlets_frame(struct ledger_outlets *o, const struct msg_in *m)
{
        if (o && events_ways_want_spans(o->ways) && (m->type == FRAME_RECORD || m->type == FRAME_UNANSWERED))
                put_spans(o, m);
        if (!o || !events_ways_want_records(o->ways))
                return;
        if (m->type == FRAME_RECORD || m->type == FRAME_UNANSWERED)
                put_sign_in(o, m);
        else if (m->type == FRAME_DELIVERY)
                put_delivery(o, m);
        else if (m->type == FRAME_EVENT)
                put_event(o, m);
        else if (m->type == FRAME_QUERY)
                put_question(o, m);
}

/* ---- the ways out ---- */

int ledger_outlets_new(struct ledger_outlets **ret_outlets, struct ledger *l, const char *connector)
{
        const struct events_ways_config config = {
                .loop = l->process.loop,
                .program = "postern",
                .service = "postern-connector",
                .instance = connector,
                .paths = {l->config->events_file, l->config->events_socket, l->config->traces_file}};
        struct ledger_outlets *o = calloc(1, sizeof(*o));

        if (!o || events_ways_new(&o->ways, &config) < 0) {
                free(o);
                return -ENOMEM;
        }
        o->ledger = l;
        (void)snprintf(o->connector, sizeof(o->connector), "%s", connector);
        *ret_outlets = o;
        return 0;
}

struct ledger_outlets *ledger_outlets_free(struct ledger_outlets *o)
{
        if (o)
                events_ways_free(o->ways);
        free(o);
        return NULL;
}

bool ledger_outlets_file(struct ledger_outlets *o, const char *name, int fd)
{
        return o && events_ways_open(o->ways, name, fd);
}

json_t *ledger_outlets_status(const struct ledger_outlets *o)
{
        json_t *all = json_object();
        struct events_state s;

        for (size_t i = 0; all && i < EVENTS_WAYS; i++) {
                const char *path = events_ways_state(o->ways, i, &s);

                if (path)
                        (void)json_object_set_new(all, events_way_keys[i],
                                                  json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:s}", "path", path,
                                                            "open", s.open, "sent", (json_int_t)s.sent, "waiting",
                                                            (json_int_t)s.waiting, "lost", (json_int_t)s.lost,
                                                            "lost_last", (json_int_t)s.lost_last, "since",
                                                            (json_int_t)s.since, "why", s.why));
        }
        if (json_object_size(all) > 0)
                return all;
        json_decref(all);
        return NULL;
}

void ledger_outlets_metrics(const struct ledger_outlets *o, struct metrics *m)
{
        events_ways_metrics(o ? o->ways : NULL, m);
}
