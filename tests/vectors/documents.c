/*
 * What stands in which vector file. Texts are stored exactly as they are signed, sealed or sent.
 */
#include "tests/vectors/documents.h"

#include <string.h>

#include "certs/jose/sealed.h"
#include "queue/http/problem.h"
#include "queue/wire/wire.h"
#include "tests/vectors/negative.h"
#include "tests/vectors/world.h"
#include "validate/types/outcome.h"

/* A new object or array; stops where there is none. */
static json_t *must(json_t *json)
{
        if (!json)
                maker_stop("no room for JSON");
        return json;
}

#define PACK(...) must(json_pack(__VA_ARGS__))

/* ---- keys ---- */

static json_t *key_json(const char *name, const char *use)
{
        const struct key *key = fixed_key(name);
        const char *x = key_x(key), *y = key_y(key);

        return PACK("{s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:s}", "use", use, "jwk", "kty", "EC", "crv", "P-256",
                    "x", x, "y", y, "d", fixed_scalar(name), "thumbprint_input",
                    pool_text("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y), "kid",
                    key_kid(key), "pin", key_pin(key));
}

static json_t *make_keys(void)
{
        static const struct {
                const char *name, *use;
        } rows[] = {
                {"tenant", "the tenant key TK: signs rosters; its pin is what both ends know beforehand"},
                {"berlin-1", "identity of connector " BERLIN_1 ": signs statements and verdicts"},
                {"berlin-2", "identity of connector " BERLIN_2},
                {"berlin-0", "identity of a connector that was removed"},
                {"portal", "sign-in service " PORTAL ": signs requests"},
                {"berlin-1-enc", "encryption key of " BERLIN_1},
                {"berlin-2-enc", "encryption key of " BERLIN_2},
                {SIGNING_KEY, "signs verdicts of " BERLIN_1 ", certified by its statement `signing`"},
                {"ephemeral 1", "epk of the first recipient"},
                {"ephemeral 2", "epk of the second recipient"},
                {"frida", "a person of the helpdesk: signs questions"},
                {"stranger", "nobody's: for the negative vectors"},
                {"other-tenant", "another tenant's: for the negative vectors"},
        };
        json_t *keys = must(json_object());

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                json_object_set_new(keys, rows[i].name, key_json(rows[i].name, rows[i].use));
        return PACK("{s:s, s:o}", "about",
                    "Private keys of the vectors, never to be used. Each d is SHA-256 of \"postern test "
                    "vector: key NAME\"; signatures are "
                    "RFC 6979's, so that all bytes can be made again.",
                    "keys", keys);
}

/* ---- roster, statements, identity ---- */

static json_t *make_roster(void)
{
        const struct world *w = world();

        return PACK("{s:s, s:{s:s, s:s, s:I, s:i}, s:s, s:s, s:s, s:s}", "about",
                    "A roster. It verifies with these expectations; min_seq is the highest seq seen before.", "with",
                    "pin", key_pin(fixed_key("tenant")), "tenant", TENANT, "now", (json_int_t)WORLD_NOW, "min_seq",
                    MIN_SEQ, "signer", "tenant", "header", w->roster_header, "payload", w->roster_payload, "jws",
                    w->roster_jws);
}

static json_t *statement_json(const struct world_statement *s)
{
        return PACK("{s:s, s:s, s:s, s:s, s:s}", "connector", s->id, "signer", s->key, "header", s->header, "payload",
                    s->payload, "jws", s->jws);
}

static json_t *make_statements(void)
{
        json_t *list = must(json_array());

        for (size_t i = 0; i < 2; i++)
                json_array_append_new(list, statement_json(&world()->statements[i]));
        return PACK(
                "{s:s, s:{s:s, s:I}, s:o, s:s, s:s, s:o}", "about",
                "Key statements of both connectors, and the answer of GET /v1/tenants/contoso/keys that "
                "carries them. signing: a later one of the first, whose `sign` names a key that signs its verdicts. "
                "keys_change: the answer of GET keys?since= with the state of that answer: the later one, the other "
                "connector gone, a fourth of the weight.",
                "with", "tenant", TENANT, "now", (json_int_t)WORLD_NOW, "statements", list, "keys_answer",
                world()->keys_answer, "keys_change", world()->keys_change, "signing",
                statement_json(&world()->signing));
}

static json_t *make_identity(void)
{
        const struct world *w = world();

        return PACK("{s:s, s:{s:s, s:s, s:I}, s:s, s:s, s:s, s:s, s:s}", "about",
                    "A connector's announcement of its identity key: body of PUT /v1/link/identity.", "with", "tenant",
                    TENANT, "id", BERLIN_1, "now", (json_int_t)WORLD_NOW, "signer", "berlin-1", "header",
                    w->identity_header, "payload", w->identity_payload, "proof", w->identity_jws, "body",
                    w->identity_body);
}

/* ---- request ---- */

static json_t *bytes_of(const char *name, size_t n)
{
        uint8_t bytes[32];

        fixed_bytes(name, bytes, n);
        return must(json_string(text_b64u(bytes, n)));
}

static json_t *change_json(void)
{
        const struct world_change *c = &world()->change;

        return PACK("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "about",
                    "The same user sets a new password: sealed to the first connector alone, in the larger class of "
                    "padding.",
                    "id", CHANGE_ID, "claims", c->claims, "jws", c->jws, "req", c->req, "padded_length", PADDED_LARGE,
                    "open_with", "berlin-1-enc", "sealed", c->sealed);
}

static json_t *make_request(void)
{
        const struct world *w = world();
        json_t *o = PACK("{s:s, s:{s:s, s:s, s:I}, s:s, s:s, s:s, s:s, s:s, s:i}", "about",
                         "A request, step by step: claims, JWS, padded plaintext, sealed to two connectors, "
                         "and the share of each, which the relay forwards.",
                         "with", "tenant", TENANT, "id", REQUEST_ID, "now", (json_int_t)WORLD_NOW, "signer", "portal",
                         "header", w->request_header, "claims", w->request_claims, "jws", w->request_jws, "req", w->req,
                         "padded_length", PADDED_SMALL);
        json_t *more =
                PACK("{s:s, s:s, s:o, s:o, s:o, s:s, s:[s,s], s:[s,s], s:s, s:[s,s], s:o}", "padded_sha256",
                     request_hash_of(w->padded), "padded", w->padded, "rk", bytes_of("rk", 32), "cek",
                     bytes_of("cek request", 32), "iv", bytes_of("iv request", 12), "protected", w->protected,
                     "recipient_keys", "berlin-1-enc", "berlin-2-enc", "ephemeral_keys", "ephemeral 1", "ephemeral 2",
                     "sealed", w->sealed, "shares", w->shares[0], w->shares[1], "change", change_json());

        json_object_update(o, more);
        json_decref(more);
        return o;
}

/* ---- verdicts ---- */

static json_t *verdict_json(const struct world_verdict *v)
{
        return PACK("{s:s, s:s, s:s, s:s, s:o, s:s, s:s*}", "name", v->name, "about", v->about, "claims", v->claims,
                    "jws", v->jws, "iv", bytes_of(pool_text("iv verdict %s", v->name), 12), "jwe", v->jwe, "domain_sid",
                    strcmp(v->name, "accepted_generic") == 0 ? "" : NULL);
}

static json_t *sign_json(int64_t nbf, int64_t exp)
{
        return PACK("{s:s, s:I, s:I}", "key", SIGNING_KEY, "nbf", (json_int_t)nbf, "exp", (json_int_t)exp);
}

static json_t *make_verdicts(void)
{
        const struct world *w = world();
        json_t *list = must(json_array()), *signing = verdict_json(&w->signing_verdict);

        for (size_t i = 0; i < VERDICTS; i++)
                json_array_append_new(list, verdict_json(&w->verdicts[i]));
        json_object_set_new(signing, "signer", json_string(SIGNING_KEY));
        json_object_set_new(signing, "header", json_string(w->signing_header));
        json_object_set_new(signing, "sign", sign_json(SIGNING_NBF, SIGNING_EXP));
        return PACK(
                "{s:s, s:{s:o, s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:[s], s:[{s:s, s:s}, {s:s, s:s}]}, s:s, s:s, "
                "s:s, s:o, s:o, s:o}",
                "about",
                "Verdicts on the request of request.json, as its service opens them. signing: one by a "
                "key of the statement `signing` of statements.json, where that was the one that it was sealed with; "
                "sign: that key's times. change: on the change of request.json, whose id, req and class of padding it "
                "has. "
                "domain, domain_sid: the roster's of the name, with what a verdict says itself in its place "
                "(as if the roster had another SID, or none); other_sids: those of its other domains.",
                "with", "rk", bytes_of("rk", 32), "service", PORTAL, "tenant", TENANT, "id", REQUEST_ID, "req", w->req,
                "padded", PADDED_SMALL, "now", (json_int_t)WORLD_NOW + 1, "domain", "corp.example", "domain_sid",
                CORP_SID, "other_sids", PARTNER_SID, "sealed_to", "id", BERLIN_1, "kid", key_kid(fixed_key("berlin-1")),
                "id", BERLIN_2, "kid", key_kid(fixed_key("berlin-2")), "signer", "berlin-1", "header",
                w->verdict_header, "jwe_header", w->verdict_jwe_header, "verdicts", list, "signing", signing, "change",
                verdict_json(&w->change_verdict));
}

/* ---- the link ---- */

static json_t *event(const char *name, const char *data)
{
        return PACK("{s:s, s:s, s:s}", "event", name, "data", data, "bytes",
                    pool_text("event: %s\ndata: %s\n\n", name, data));
}

/* A share as one line of the stream: blanks for its line ends. */
static char *request_line(const char *share)
{
        char *line = pool_text(REQUEST_ID " 1 7940 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 %s", share);

        *strchr(line, '\n') = ' ';
        *strchr(line, '\n') = '\0';
        return line;
}

#define SESSION "ses-01JGFJJZ00QW7T5N"

static json_t *make_link(void)
{
        const struct world *w = world();
        const char *boot = "g5gQaVnr0E-QZQ2l6nYV2A";
        json_t *events =
                PACK("[o, o, o, o, o]",
                     event("hello",
                           pool_text("{\"session\":\"" SESSION
                                     "\",\"node\":\"relay-1\",\"v\":[1],\"now\":%d,\"heartbeat\":10000,\"report\":5000,"
                                     "\"nodes\":[\"https://"
                                     "relay.example\"],\"roster_seq\":7,\"reconnect\":[500,2000]}",
                                     WORLD_NOW - 5)),
                     event("request", request_line(w->shares[0])), event("cancel", "{\"id\":\"" REQUEST_ID "\"}"),
                     event("roster", pool_text("{\"jws\":\"%s\"}", w->roster_jws)),
                     event("drain", "{\"reconnect\":[0,5000]}"));

        return PACK("{s:s, s:o, s:[s,s,s], s:s, s:s}", "about",
                    "The link: events as they stand in the stream, reports, and answers to reports.", "events", events,
                    "reports",
                    pool_text("{\"session\":\"" SESSION
                              "\",\"boot\":\"%s\",\"granted\":64,\"ready\":{\"corp.example\":true},\"reasons\":[],"
                              "\"load\":0.000,\"statement\":\"%s\",\"in_hand\":[],\"items\":[]}",
                              boot, w->statements[0].jws),
                    pool_text("{\"session\":\"" SESSION
                              "\",\"boot\":\"%s\",\"granted\":65,\"ready\":{\"corp.example\":true},\"reasons\":[],"
                              "\"load\":0.016,\"items\":[{\"id\":\"" REQUEST_ID "\",\"is\":\"received\"},"
                              "{\"id\":\"req-7Q2M4N8P1R5T9V3X\",\"is\":\"declined\",\"why\":\"stale_key\"},"
                              "{\"id\":\"req-5B8G1K4N7R2U6X9A\",\"is\":\"lost\"}]}",
                              boot),
                    pool_text("{\"session\":\"" SESSION
                              "\",\"boot\":\"%s\",\"granted\":66,\"ready\":{\"corp.example\":false},"
                              "\"reasons\":[\"no_dc: "
                              "corp.example\"],\"load\":0.000,\"items\":[{\"id\":\"" REQUEST_ID
                              "\",\"is\":\"verdict\",\"jwe\":\"%s\"}]}",
                              boot, w->verdicts[0].jwe),
                    "answer", "{\"confirmed\":[\"" REQUEST_ID "\"],\"late\":[]}", "answer_refused",
                    "{\"confirmed\":[],\"late\":[],\"statement_refused\":{\"why\":\"not_in_roster\",\"detail\":"
                    "\"connector " BERLIN_1 " is not in the roster\"}}");
}

/* ---- words ---- */

static json_t *reasons_json(void)
{
        json_t *list = must(json_array());

        for (int i = 0; i < (int)REASON_MAX; i++) {
                const struct reason_info *info = reason_info((enum reason)i);

                json_array_append_new(list,
                                      PACK("{s:s, s:s, s:s}", "id", info->id, "verdict", verdict_text(info->verdict),
                                           "class", verdict_class_text(info->class)));
        }
        return list;
}

static json_t *problems_json(void)
{
        json_t *list = must(json_array());

        for (int i = 1; i < (int)PROBLEM_TYPES_; i++) {
                const struct problem p = {.type = (enum problem_type)i};
                struct buffer text = BUFFER(4096);
                json_t *o;

                if (problem_encode(&p, &text) < 0)
                        maker_stop("a problem without text");
                o = must(json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL));
                buffer_free(&text);
                json_object_del(o, "started");
                json_array_append_new(list, o);
        }
        return list;
}

static json_t *declines_json(void)
{
        static const char *const words[] = {"not_my_realm", "no_dc",   "full",   "draining", "stale_key",
                                            "bad_request",  "expired", "replay", "throttled"};
        json_t *list = must(json_array());

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (!decline_why_valid(words[i]))
                        maker_stop("a word that is no decline");
                json_array_append_new(
                        list, PACK("{s:s, s:b}", "why", words[i], "may_move_on", decline_may_move_on(words[i])));
        }
        return list;
}

static json_t *make_words(void)
{
        return PACK("{s:s, s:o, s:o, s:o}", "about",
                    "Every reason, problem and decline word there is, from the tables of the code. "
                    "PROTOCOL.md lists the same.",
                    "reasons", reasons_json(), "problems", problems_json(), "declines", declines_json());
}

/* ---- negative ---- */

static json_t *case_json(const struct negative *n, char *(*make)(const struct negative *))
{
        json_t *o = PACK("{s:s, s:s, s:s, s:s}", "name", n->name, "rule", n->rule, "layer",
                         negative_layer_text(n->layer), "expect", n->expect);

        if (n->later)
                json_object_set_new(o, "now", json_integer(WORLD_NOW + n->later));
        if (n->id)
                json_object_set_new(o, "id", json_string(n->id));
        if (n->pin)
                json_object_set_new(o, "pin", json_string(key_pin(fixed_key(n->pin))));
        if (n->tenant)
                json_object_set_new(o, "tenant", json_string(n->tenant));
        if (n->min_seq)
                json_object_set_new(o, "min_seq", json_integer((json_int_t)n->min_seq));
        if (n->no_sid)
                json_object_set_new(o, "domain_sid", json_string(""));
        if (n->certified)
                json_object_set_new(o, "sign",
                                    sign_json(n->certified_nbf ? n->certified_nbf : SIGNING_NBF,
                                              n->certified_exp ? n->certified_exp : SIGNING_EXP));
        if (n->twice)
                json_object_set_new(o, "after_itself", json_true());
        if (make == negative_verdict && negative_verdict_class(n) == PADDED_LARGE)
                json_object_set_new(o, "padded", json_integer(PADDED_LARGE));
        json_object_set_new(o, "text", must(json_string(make(n))));
        return o;
}

static void add_cases(json_t *list, const struct negative *rows, char *(*make)(const struct negative *))
{
        for (; rows->name; rows++)
                json_array_append_new(list, case_json(rows, make));
}

static json_t *cases(const struct negative *rows, const struct negative *members,
                     char *(*make)(const struct negative *))
{
        json_t *list = must(json_array());

        add_cases(list, rows, make);
        add_cases(list, members, make);
        return list;
}

/* What the relay says to the text itself, before any connector. */
static void add_relay(json_t *requests)
{
        json_t *o;
        size_t i;

        json_array_foreach (requests, i, o) {
                const char *text = json_string_value(json_object_get(o, "text"));
                struct sealed sealed;

                if (strlen(text) > SEALED_MAX)
                        json_object_set_new(o, "relay", json_string("too-large"));
                else if (sealed_read(&sealed, text, strlen(text), NULL) < 0)
                        json_object_set_new(o, "relay", json_string("malformed"));
        }
}

static json_t *make_negative(void)
{
        json_t *requests = cases(negative_requests, negative_request_members, negative_request);

        add_relay(requests);
        return PACK(
                "{s:s, s:o, s:o, s:o, s:o}", "about",
                "Objects with one fault each. They are read with the expectations (\"with\") of "
                "roster.json, statements.json, request.json "
                "and verdicts.json, but for what a case says itself. expect: for rosters and statements "
                "what is wrong; for requests "
                "\"declined WHY\" or the reason of the signed verdict; a verdict that fails means "
                "unavailable; accepted: it is right, though it may look wrong. relay: the problem that the "
                "relay answers before any connector sees the request. sign: the request was sealed with a statement of "
                "the first connector that certifies this key.",
                "rosters", cases(negative_rosters, negative_roster_members, negative_roster), "statements",
                cases(negative_statements, negative_statement_members, negative_statement), "requests", requests,
                "verdicts", cases(negative_verdicts, negative_verdict_members, negative_verdict));
}

const struct document documents[] = {
        {"keys.json", make_keys},
        {"roster.json", make_roster},
        {"statements.json", make_statements},
        {"identity.json", make_identity},
        {"request.json", make_request},
        {"verdicts.json", make_verdicts},
        {"question.json", make_question_document},
        {"link.json", make_link},
        {"words.json", make_words},
        {"negative.json", make_negative},
        {NULL, NULL},
};
