/*
 * What the validator tells of itself: to the link (readiness, statement, identity) and to the ledger
 * (status).
 *
 * Readiness is per realm: in the roster, a live DC, live keys and a clock that is not wrong. Each frame to the link is
 * complete, statement and a fresh proof of possession included; the link decides what the relay has to hear.
 */
#include "connector/validator/validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/announce.h"
#include "base/core/log.h"
#include "base/core/text.h"

int validator_to_link(void *arg, const struct msg_out *m)
{
        struct validator *v = arg;
        int r = v->link ? ipc_send(v->link, m) : 0;

        if (r < 0)
                log_warning("link.send_failed", KV_S("why", strerror(-r)));
        return r;
}

int validator_ask_ledger(void *arg, const struct msg_out *m)
{
        struct validator *v = arg;

        return v->ledger ? ipc_send(v->ledger, m) : -EPIPE;
}

void validator_to_ledger(void *arg, const struct msg_out *m)
{
        const struct validator *v = arg;
        const int r = v->ledger ? validator_ask_ledger(arg, m) : 0;

        /* records are shed, sign-ins are not: the ledger may be slow or its disk full */
        if (r < 0)
                log_warning("ledger.send_failed", KV_S("why", strerror(-r)));
}

size_t validator_capacity(const struct validator *v)
{
        size_t n = v->config->in_flight;

        return n < VALIDATOR_IN_FLIGHT_MAX ? n : VALIDATOR_IN_FLIGHT_MAX;
}

void validator_event(void *arg, const char *name, const char *text)
{
        struct msg_out m;

        msg_begin(&m, FRAME_EVENT);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, text);
        validator_to_ledger(arg, &m);
}

static void put_identity(struct validator *v, struct msg_out *m)
{
        _cleanup_(buffer_free) struct buffer proof = BUFFER(4096), text = BUFFER(1024);
        const struct announcement announced = {.tenant = v->enrolment.tenant,
                                               .id = v->enrolment.id,
                                               .n_domains = v->domains->n < ROSTER_DOMAINS_MAX ? v->domains->n : 0,
                                               .domains = v->domains->announced};
        struct error err = {""};

        if (key_jwk_text(v->identity, &text) < 0 ||
            announcement_sign(&announced, v->identity, loop_wall(v->process.loop), ANNOUNCE_LIFE_MAX, &proof, &err) <
                    0) {
                log_error("identity.no_proof", KV_S("why", err.text));
                return;
        }
        msg_bytes(m, TAG_IDENTITY, text.data, text.len);
        msg_bytes(m, TAG_PROOF, proof.data, proof.len);
}

/* Whether services can seal to this connector: a hardware key that signs no more ends it with the last statement. */
static bool has_keys(const struct validator *v)
{
        return v->keys.n > 0 && v->keys.statement && v->keys.statement->exp > loop_wall(v->process.loop);
}

/* "corp.example=1\n..." and the reasons of the realms that are not ready, one each a line. */
static void collect_ready(struct validator *v, bool in_roster, struct buffer *realms, struct buffer *reasons)
{
        int r = 0;

        if (!validator_roster(v))
                r |= buffer_printf(reasons, "%s\n", v->roster ? "roster_expired" : "no_roster");
        else if (!in_roster)
                r |= buffer_printf(reasons, "not_in_roster\n");
        if (v->clock_state == CLOCK_WRONG)
                r |= buffer_printf(reasons, "clock_wrong\n");
        if (!has_keys(v))
                r |= buffer_printf(reasons, "no_keys\n");
        for (size_t i = 0; i < v->domains->n; i++) {
                const char *why = NULL;
                bool live = validate_ready(v->validate, i, &why);
                const bool may = validator_may_speak(v, i);

                r |= buffer_printf(realms, "%s=%d\n", v->config->domains[i].name,
                                   live && may && has_keys(v) && v->clock_state != CLOCK_WRONG);
                if (in_roster && !may)
                        r |= buffer_printf(reasons, "domain_not_in_roster: %.40s\n", v->config->domains[i].name);
                if (!live)
                        r |= buffer_printf(reasons, "%.40s: %.20s\n", why ? why : "no_dc", v->config->domains[i].name);
        }
        if (r < 0)
                log_warning("state.cut");
}

void validator_relay_clock(struct validator *v, const struct msg_in *m)
{
        uint64_t now = loop_now(v->process.loop), at = msg_get_u64(m, TAG_RECEIVED, now);

        clock_note(&v->clock, CLOCK_RELAY, "", (int64_t)(msg_get_u64(m, TAG_WALL, 0) & INT32_MAX), at < now ? at : now);
}

static void note_dc_clock(void *arg, const struct validate_dc *dc)
{
        struct validator *v = arg;

        if (dc->clock_at)
                clock_note(&v->clock, CLOCK_DC, dc->host, dc->clock, dc->clock_at);
}

/* This host's clock, by all that is known of others'; a change is an event. */
static void judge_clock(struct validator *v)
{
        static const char *const events[] = {[CLOCK_FINE] = "clock.right",
                                             [CLOCK_RELAY_OFF] = "clock.relay_off",
                                             [CLOCK_SERVICE_OFF] = "clock.service_off",
                                             [CLOCK_WRONG] = "clock.wrong"};
        struct loop *loop = v->process.loop;
        enum clock_state before = v->clock_state;

        validate_each_dc(v->validate, note_dc_clock, v);
        v->clock_state = clock_judge(&v->clock, loop_now(loop), loop_wall(loop), v->clock_why, sizeof(v->clock_why));
        if (v->clock_state == before)
                return;
        log_warning("clock.state", KV_S("is", clock_state_text(v->clock_state)), KV_S("why", v->clock_why));
        validator_event(v, events[v->clock_state], v->clock_why[0] ? v->clock_why : "this host's clock is right again");
}

static void send_state(struct validator *v)
{
        _cleanup_(buffer_free) struct buffer realms = BUFFER(4096), reasons = BUFFER(2048);
        size_t max = validator_capacity(v);
        struct msg_out m;

        collect_ready(v, validator_in_roster(v), &realms, &reasons);
        msg_begin(&m, FRAME_STATE);
        msg_u64(&m, TAG_CAPACITY, v->process.draining ? 0 : max);
        msg_u64(&m, TAG_LOAD, signins_running(v->signins) * 1000 / max);
        msg_bytes(&m, TAG_REALMS, realms.data ? realms.data : "", realms.len);
        msg_bytes(&m, TAG_REASONS, reasons.data ? reasons.data : "", reasons.len);
        if (v->keys.statement)
                msg_str(&m, TAG_STATEMENT, v->keys.statement->text);
        put_identity(v, &m);
        msg_u64(&m, TAG_IN_ROSTER, validator_in_roster(v));
        validator_to_link(v, &m);
}

static void send_status_of(struct validator *v, const char *name, json_t *json)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(8192);
        int r = json ? jose_json_text(json, &text) : -1;
        struct msg_out m;

        json_decref(json);
        if (r < 0)
                return;
        msg_begin(&m, FRAME_STATUS);
        msg_str(&m, TAG_NAME, name);
        msg_bytes(&m, TAG_TEXT, text.data, text.len);
        validator_to_ledger(v, &m);
}

static void send_dc(void *arg, const struct validate_dc *dc)
{
        char name[600];

        snprintf(name, sizeof(name), "dc:%s/%s", dc->domain, dc->host);
        send_status_of(arg, name,
                       json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "domain", dc->domain, "host", dc->host,
                                 "source", dc->source, "state", dc->state, "ms", (int)dc->ewma_ms, "reason", dc->reason,
                                 "detail", utf8_valid(dc->detail, strlen(dc->detail)) ? dc->detail : ""));
}

static void send_sid(void *arg, const struct validate_sid *sid)
{
        char name[300];

        snprintf(name, sizeof(name), "sid:%s", sid->domain);
        send_status_of(arg, name,
                       json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "domain", sid->domain, "sid", sid->sid, "source",
                                 sid_source_text(sid->source), "learnt", sid->learnt, "seen", sid->seen, "rival",
                                 sid->rival));
}

/* For each domain whether its sign-ins can be taken, and what stands in the way. */
static void send_domains(struct validator *v)
{
        for (size_t i = 0; i < v->domains->n; i++) {
                const char *domain = v->config->domains[i].name, *why = NULL;
                const char *detail = validate_undiscovered(v->validate, i);
                const bool ready = validate_ready(v->validate, i, &why);
                char name[300];

                snprintf(name, sizeof(name), "domain:%s", domain);
                send_status_of(v, name,
                               json_pack("{s:s, s:b, s:s, s:s, s:b}", "domain", domain, "ready", ready, "reason",
                                         ready || !why ? "" : why, "detail",
                                         utf8_valid(detail, strlen(detail)) ? detail : "", "may_speak",
                                         validator_may_speak(v, i)));
        }
}

/* The roster lists this connector's key among those that are out for good. */
static bool removed(const struct validator *v)
{
        for (size_t i = 0; v->roster && i < v->roster->n_removed; i++)
                if (strcmp(v->roster->removed[i], key_kid(v->identity)) == 0)
                        return true;
        return false;
}

static void send_status(struct validator *v)
{
        struct validate_guard guard;
        size_t left_out = 0; /* DCs that SRV records name and that have no place */

        for (size_t i = 0; i < v->domains->n; i++)
                left_out += validate_left_out(v->validate, i);
        validate_guard_state(v->validate, &guard);
        send_status_of(
                v, "validator",
                json_pack(
                        "{s:b, s:I, s:{s:s, s:s}, s:{s:s, s:I, s:I, s:I, s:I}, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:I, "
                        "s:I, "
                        "s:I, s:I, "
                        "s:I, s:I, s:I, s:I}",
                        "keys", has_keys(v), "dcs_left_out", (json_int_t)left_out, "clock", "state",
                        clock_state_text(v->clock_state), "detail", v->clock_why, "guard", "mode", guard.mode,
                        "throttled", (json_int_t)guard.throttled, "repeated", (json_int_t)guard.repeated, "names",
                        (json_int_t)guard.names, "failures", (json_int_t)guard.failures, "connector", v->enrolment.id,
                        "name", v->enrolment.name, "tenant", v->enrolment.tenant, "identity", key_kid(v->identity),
                        "roster_seq", (json_int_t)v->roster_seq, "in_roster", validator_in_roster(v), "removed",
                        removed(v), "roster_begins", (json_int_t)(v->roster ? v->roster->iat : v->store.iat),
                        "roster_expires", (json_int_t)(v->roster ? v->roster->exp : v->store.exp), "services",
                        (json_int_t)(v->roster ? v->roster->n_services : 0), "statement_seq", (json_int_t)v->keys.seq,
                        "in_flight", (json_int_t)signins_running(v->signins), "undelivered",
                        (json_int_t)signins_undelivered(v->signins), "replay_entries",
                        (json_int_t)replay_count(v->replay), "secrets_in_use", (json_int_t)secret_arena_in_use()));
        validate_each_dc(v->validate, send_dc, v);
        validate_each_sid(v->validate, send_sid, v);
        send_domains(v);
}

void validator_publish(struct validator *v, bool renew)
{
        struct error err = {""};

        if (!v->signins || v->orphaned)
                return;
        if (enckeys_turn(&v->keys, &v->domains->names, loop_wall(v->process.loop), loop_now(v->process.loop), renew,
                         &err) < 0)
                log_error("keys.turn_failed", KV_S("why", err.text));
        sid_store_sync(&v->sids, v->validate, validator_event, v);
        judge_clock(v);
        send_state(v);
        send_status(v);
}
