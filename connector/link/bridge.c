/*
 * Between the relay and the validator: frames in, link calls out, and the other way round.
 *
 * Sealed texts pass through unopened. A request that cannot be handed over was not started on, so it is
 * declined; one that a validator took with it is never declined: its password may have left.
 */
#include "connector/link/bridge.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/keys/key-holder.h"
#include "certs/trust/statement.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/frames/frames.h"
#include "certs/enrol/transport.h"

#define REALMS_TEXT_MAX 8192
#define REASONS_TEXT_MAX 4096
#define IDENTITY_TEXT_MAX 1024
#define PROOF_TEXT_MAX 4096
/*
 * The old link serves until the relay has heard the new one, for before that the new one gets nothing; but not for
 * ever: where only the relay's answers are lost, it is replaced there, and one that goes on 30 s later is taken for a
 * clone's.
 */
#define OLD_SERVES_MS 10000
#define OLD_LINK_MS 18000 /* then, longer than any request may take */

static const char *down_text(enum link_down why)
{
        switch (why) {
        case LINK_UP:
                return "up";
        case LINK_DOWN_TRANSPORT:
                return "transport";
        case LINK_DOWN_REFUSED:
                return "refused";
        case LINK_DOWN_SILENT:
                return "silent";
        case LINK_DOWN_PROTOCOL:
                return "protocol";
        case LINK_DOWN_SESSION:
                return "session";
        case LINK_DOWN_DRAIN:
                return "relay_drains";
        case LINK_DOWN_STOPPED:
                return "stopped";
        }
        return "?";
}

/* ---- to the ledger ---- */

static void to_ledger(struct bridge *b, const struct msg_out *m)
{
        int r = b->ledger ? ipc_send(b->ledger, m) : 0;

        if (r < 0)
                log_warning("ledger.not_told", KV_S("why", strerror(-r)));
}

void bridge_event(struct bridge *b, const char *name, const char *text)
{
        struct msg_out m;

        msg_begin(&m, FRAME_EVENT);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, text);
        to_ledger(b, &m);
}

/* What TLS says of a certificate that has ended, or of a wrong clock, is short. */
static const char *why_down(const struct bridge *b, char *flaw, size_t cap)
{
        return b->why != LINK_UP && renewal_flaw(b->renewal, flaw, cap) ? flaw : b->detail;
}

void bridge_send_status(struct bridge *b)
{
        char flaw[ERROR_TEXT_MAX];
        json_t *json =
                json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "relay",
                          b->relay, "state", b->why == LINK_UP ? "up" : "down", "why", down_text(b->why), "detail",
                          why_down(b, flaw, sizeof(flaw)), "since", (json_int_t)b->since, "certificate_expires",
                          (json_int_t)b->cert_expires, "certificate_days_left",
                          (json_int_t)((b->cert_expires - loop_wall(b->process.loop)) / 86400), "certificate_renewal",
                          (json_int_t)renewal_next(b->renewal), "certificate_why", renewal_why(b->renewal), "in_roster",
                          b->in_roster, "clock_ahead", (json_int_t)link_clock_ahead(b->link), "in_hand",
                          (json_int_t)link_in_hand(b->link), "undelivered", (json_int_t)link_undelivered(b->link),
                          "requests", (json_int_t)b->requests, "verdicts", (json_int_t)b->verdicts);
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        struct msg_out m;

        json_decref(json);
        if (!text) {
                log_warning("link.no_status", KV_S("why", "out of memory"));
                return;
        }
        msg_begin(&m, FRAME_STATUS);
        msg_str(&m, TAG_NAME, "link");
        msg_str(&m, TAG_TEXT, text);
        free(text);
        to_ledger(b, &m);
}

/* ---- to the validator ---- */

static int to_validator(struct bridge *b, const struct msg_out *m)
{
        return b->validator ? ipc_send(b->validator, m) : -EPIPE;
}

/* What the relay's clock says, which the validator holds against those that it can trust more. */
void bridge_send_clock(struct bridge *b)
{
        struct msg_out m;
        int64_t wall;
        uint64_t at;

        if (!link_relay_clock(b->link, &wall, &at))
                return;
        msg_begin(&m, FRAME_CLOCK);
        msg_u64(&m, TAG_WALL, (uint64_t)wall);
        msg_u64(&m, TAG_RECEIVED, at);
        if (to_validator(b, &m) < 0)
                log_debug("validator.not_told");
}

static void send_id(struct bridge *b, enum frame_type type, const char *id)
{
        struct msg_out m;

        msg_begin(&m, (uint8_t)type);
        msg_str(&m, TAG_ID, id);
        if (to_validator(b, &m) < 0)
                log_debug("validator.not_told", KV_S("request", id));
}

static void on_request(void *arg, const char *id, uint32_t budget_ms, uint64_t received_ms, const char *sealed,
                       size_t n, const char *traceparent)
{
        struct bridge *b = arg;
        struct msg_out m;
        int r;

        b->requests++;
        msg_begin(&m, FRAME_REQUEST);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, TAG_BUDGET, budget_ms);
        msg_u64(&m, TAG_RECEIVED, received_ms);
        msg_bytes(&m, TAG_SEALED, sealed, n);
        msg_str(&m, TAG_TRACE, *traceparent ? traceparent : NULL);
        r = to_validator(b, &m);
        if (r < 0)
                link_declined(b->link, id, r == -EMSGSIZE ? "bad_request" : "full");
}

static void on_cancel(void *arg, const char *id)
{
        send_id(arg, FRAME_CANCEL, id);
}

static void on_confirmed(void *arg, const char *id)
{
        send_id(arg, FRAME_CONFIRMED, id);
}

static void on_late(void *arg, const char *id)
{
        log_info("verdict.late", KV_S("request", id));
        send_id(arg, FRAME_LATE, id);
}

static void on_roster(void *arg, const char *jws, size_t n)
{
        struct bridge *b = arg;
        uint64_t part = 0;

        for (size_t at = 0; at < n; part++) {
                size_t len = n - at < ROSTER_PART_MAX ? n - at : ROSTER_PART_MAX;
                struct msg_out m;

                msg_begin(&m, FRAME_ROSTER);
                msg_u64(&m, TAG_PART, part);
                msg_u64(&m, TAG_TOTAL, n);
                msg_bytes(&m, TAG_ROSTER, jws + at, len);
                if (to_validator(b, &m) < 0) {
                        log_warning("validator.no_roster", KV_U("part", part));
                        return;
                }
                at += len;
        }
}

static void on_state(void *arg, enum link_down why, const char *detail)
{
        struct bridge *b = arg;
        bool up = why == LINK_UP;

        b->why = why;
        wire_text_cut(b->detail, sizeof(b->detail), detail, strlen(detail));
        if (up != b->was_up || b->since == 0)
                b->since = loop_wall(b->process.loop);
        b->was_up = up;
        if (up || why == LINK_DOWN_STOPPED || why == LINK_DOWN_DRAIN)
                log_info("link.state", KV_S("relay", b->relay), KV_S("state", down_text(why)), KV_S("detail", detail));
        else
                log_warning("link.state", KV_S("relay", b->relay), KV_S("state", down_text(why)),
                            KV_S("detail", detail));
        bridge_event(b, up ? "link.up" : "link.down", detail);
        bridge_send_status(b);
        bridge_send_clock(b);
}

static void on_identity(void *arg, bool in_roster, const char *detail)
{
        struct bridge *b = arg;

        b->in_roster = in_roster;
        log_info("link.identity", KV_S("state", in_roster ? "in_roster" : "pending"), KV_S("detail", detail));
        bridge_event(b, in_roster ? "identity.in_roster" : "identity.pending", detail);
        bridge_send_status(b);
}

static void all_drained(struct bridge *b)
{
        if (b->orphaned)
                process_stop(&b->process, 0, "the relay knows what is lost");
        else
                process_drained(&b->process);
}

static void on_drained(void *arg)
{
        struct bridge *b = arg;

        b->drained = true;
        if (!b->old)
                all_drained(b);
}

/* What another link of this process has, or a validator that has not spoken yet, this one does not know. */
static bool has_all(void *arg)
{
        const struct bridge *b = arg;

        return b->told && !b->old && !b->second;
}

/* ---- a key in hardware ---- */

/* Without its holder no connection can be made more; a new start gets a new one. */
static void on_holder(void *arg, int fd, int events)
{
        struct bridge *b = arg;

        (void)fd;
        (void)events;
        process_stop(&b->process, 1, "postern-keyholder of the transport key has ended");
}

int bridge_watch_holder(struct bridge *b)
{
        b->holder = loop_io_free(b->holder);
        return b->held ? loop_io_new(&b->holder, b->process.loop, NULL, key_holder_fd(b->held), LOOP_READ, on_holder, b)
                       : 0;
}

/* ---- a second link takes the place of the first ---- */

int bridge_make_link(struct bridge *b, const struct link_callbacks *callbacks, struct link **ret_link,
                     struct error *err)
{
        const struct config *config = b->config;
        struct link_config link = {.loop = b->process.loop,
                                   .relay = config->relay ? config->relay : b->relay,
                                   .boot = b->boot,
                                   .cert_pem = b->cert.data,
                                   .key_pem = b->held ? NULL : b->key.data,
                                   .key = b->held,
                                   .host = b->host,
                                   .proxy = config->proxy,
                                   .callbacks = callbacks,
                                   .arg = b};

        if (!link.relay || !b->cert.len || (!b->key.len && !b->held))
                return error_fail(err, -EINVAL, "the supervisor did not hand over everything (%s)",
                                  !link.relay    ? FILE_ENROLMENT
                                  : !b->cert.len ? FILE_TRANSPORT_CERT
                                                 : FILE_TRANSPORT_KEY);
        if (link.relay != b->relay && text_set(&b->relay, link.relay) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        link.relay = b->relay;
        return link_new(ret_link, &link, err);
}

static void let_old_end(struct bridge *b)
{
        b->old_serves = false;
        link_drain(b->old, OLD_LINK_MS);
}

/* One that lost its session comes back only to deliver: what is ready twice takes the link from itself. */
static void on_old_state(void *arg, enum link_down why, const char *detail)
{
        struct bridge *b = arg;

        log_debug("link.old", KV_S("state", down_text(why)), KV_S("detail", detail));
        if (why != LINK_UP && why != LINK_DOWN_STOPPED)
                let_old_end(b);
}

static void ignore_roster(void *arg, const char *jws, size_t n)
{
        (void)arg;
        (void)jws;
        (void)n;
}

static void ignore_identity(void *arg, bool in_roster, const char *detail)
{
        (void)arg;
        (void)in_roster;
        (void)detail;
}

static void on_old_drained(void *arg)
{
        struct bridge *b = arg;

        b->old = link_free(b->old);
        log_debug("link.old_gone");
        if (b->drained)
                all_drained(b);
}

static const struct link_callbacks old_callbacks = {.on_request = on_request,
                                                    .on_cancel = on_cancel,
                                                    .on_confirmed = on_confirmed,
                                                    .on_late = on_late,
                                                    .on_roster = ignore_roster,
                                                    .on_state = on_old_state,
                                                    .on_identity = ignore_identity,
                                                    .on_drained = on_old_drained,
                                                    .has_all = has_all};

/* The first thing that a new link hears of is its hello, before any request. */
static void on_second_state(void *arg, enum link_down why, const char *detail)
{
        struct bridge *b = arg;

        if (why != LINK_UP) {
                log_warning("link.second", KV_S("state", down_text(why)), KV_S("detail", detail));
                return;
        }
        b->old = b->link;
        b->link = b->second;
        b->second = NULL;
        link_set_callbacks(b->old, &old_callbacks);
        link_set_callbacks(b->link, &bridge_callbacks);
        b->old_serves = true;
        b->old_since = loop_now(b->process.loop);
        on_state(b, why, detail);
        renewal_link_up(b->renewal);
}

void bridge_look_at_old(struct bridge *b, uint64_t now)
{
        if (b->old && b->old_serves && (link_is_heard(b->link) || now - b->old_since >= OLD_SERVES_MS))
                let_old_end(b);
}

void bridge_drain(struct bridge *b, uint64_t budget_ms)
{
        bridge_drop_second(b); /* what it was made with is stored: the next start uses it */
        if (b->old)
                link_drain(b->old, budget_ms);
        if (b->link)
                link_drain(b->link, budget_ms);
        else
                process_drained(&b->process);
}

bool bridge_last_words(struct bridge *b)
{
        struct link *const all[] = {b->link, b->old};
        size_t n = 0;

        for (size_t i = 0; i < 2; i++)
                n += all[i] ? link_in_hand(all[i]) + link_undelivered(all[i]) : 0;
        if (n == 0 || b->drained)
                return false;
        log_warning("supervisor.gone", KV_U("in_hand", n));
        b->orphaned = true;
        for (size_t i = 0; i < 2; i++)
                if (all[i])
                        link_lost(all[i]);
        bridge_drain(b, PROCESS_LAST_WORDS_MS);
        return true;
}

static const struct link_callbacks second_callbacks = {.on_request = on_request,
                                                       .on_cancel = on_cancel,
                                                       .on_confirmed = on_confirmed,
                                                       .on_late = on_late,
                                                       .on_roster = on_roster,
                                                       .on_state = on_second_state,
                                                       .on_identity = on_identity,
                                                       .on_drained = on_drained,
                                                       .has_all = has_all};

void bridge_drop_second(struct bridge *b)
{
        b->second = link_free(b->second);
}

int bridge_open_second(struct bridge *b, const struct buffer *text, struct key *held, struct error *err)
{
        struct buffer cert = BUFFER(b->cert.max);
        int r;

        if (b->old || b->second)
                return error_fail(err, -EBUSY, "the link before is not gone yet");
        r = transport_split(text, &b->key, &cert);
        if (r < 0) {
                buffer_free(&cert);
                return error_fail(err, r, "the new certificate cannot be taken apart");
        }
        buffer_free(&b->cert);
        b->cert = cert;
        if (held) { /* the first link keeps the one before */
                key_free(b->held);
                b->held = key_ref(held);
                if (bridge_watch_holder(b) < 0)
                        return error_fail(err, -ENOMEM, "out of memory");
        }
        r = bridge_make_link(b, &second_callbacks, &b->second, err);
        if (r == 0 && link_inherit(b->second, b->link) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        if (r < 0) {
                bridge_drop_second(b);
                return r;
        }
        link_start(b->second);
        return 0;
}

const struct link_callbacks bridge_callbacks = {.on_request = on_request,
                                                .on_cancel = on_cancel,
                                                .on_confirmed = on_confirmed,
                                                .on_late = on_late,
                                                .on_roster = on_roster,
                                                .on_state = on_state,
                                                .on_identity = on_identity,
                                                .on_drained = on_drained,
                                                .has_all = has_all};

/* ---- from the validator ---- */

/* Cuts the next line off text; NULL at its end. */
static char *next_line(char **text)
{
        char *line = *text, *end;

        if (!*line)
                return NULL;
        end = strchr(line, '\n');
        *text = end ? end + 1 : line + strlen(line);
        if (end)
                *end = '\0';
        return line;
}

/* "corp.example=1\n..." */
static int read_realms(char *text, struct link_realm *realms, size_t *ret_n)
{
        char *line;

        while ((line = next_line(&text))) {
                char *mark = strrchr(line, '=');

                if (!mark || *ret_n == REPORT_REALMS_MAX)
                        return -EBADMSG;
                *mark = '\0';
                realms[(*ret_n)++] = (struct link_realm){line, mark[1] == '1'};
        }
        return 0;
}

static int read_reasons(char *text, const char **reasons, size_t *ret_n)
{
        char *line;

        while ((line = next_line(&text))) {
                if (*ret_n == REPORT_REASONS_MAX)
                        return 0; /* the first ones say enough */
                reasons[(*ret_n)++] = line;
        }
        return 0;
}

/* A text field that may be absent: NULL then. */
static int get_opt(const struct msg_in *m, uint8_t tag, char *out, size_t cap, const char **ret_text)
{
        int r = msg_get_str(m, tag, out, cap);

        if (r == 0)
                *ret_text = out;
        return r == -ENOENT ? 0 : r;
}

static int set_state(struct bridge *b, const struct link_state *state)
{
        struct link *const all[] = {b->link, b->old, b->second};
        int r = 0;

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                int done = all[i] ? link_set_state(all[i], state) : 0;

                r = r < 0 ? r : done;
        }
        return r;
}

static int take_state(struct bridge *b, const struct msg_in *m)
{
        char realms_text[REALMS_TEXT_MAX], reasons_text[REASONS_TEXT_MAX], statement[STATEMENT_TEXT_MAX + 1];
        char identity[IDENTITY_TEXT_MAX], proof[PROOF_TEXT_MAX];
        struct link_realm realms[REPORT_REALMS_MAX];
        const char *reasons[REPORT_REASONS_MAX];
        struct link_state state = {.realms = realms, .reasons = reasons};
        uint64_t capacity = msg_get_u64(m, TAG_CAPACITY, 0);
        int r;

        state.capacity = capacity < LINK_CAPACITY_MAX ? (uint32_t)capacity : LINK_CAPACITY_MAX;
        state.load = (double)msg_get_u64(m, TAG_LOAD, 0) / 1000.0;
        r = msg_get_str(m, TAG_REALMS, realms_text, sizeof(realms_text));
        r = r < 0 ? r : msg_get_str(m, TAG_REASONS, reasons_text, sizeof(reasons_text));
        r = r < 0 ? r : read_realms(realms_text, realms, &state.n_realms);
        r = r < 0 ? r : read_reasons(reasons_text, reasons, &state.n_reasons);
        r = r < 0 ? r : get_opt(m, TAG_STATEMENT, statement, sizeof(statement), &state.statement);
        r = r < 0 ? r : get_opt(m, TAG_IDENTITY, identity, sizeof(identity), &state.identity);
        r = r < 0 ? r : get_opt(m, TAG_PROOF, proof, sizeof(proof), &state.proof);
        b->told = r == 0 || b->told;
        return r < 0 ? r : set_state(b, &state);
}

/* The link that has the request in its hands. */
static struct link *link_of(struct bridge *b, const char *id)
{
        return b->old && link_knows(b->old, id) ? b->old : b->link;
}

static int take_verdict(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1], jwe[VERDICT_JWE_MAX + 1];
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));

        r = r < 0 ? r : msg_get_str(m, TAG_JWE, jwe, sizeof(jwe));
        if (r < 0)
                return r;
        b->verdicts++;
#ifdef POSTERN_TEST_HOOK
        hook_verdict(jwe);
#endif
        link_verdict(link_of(b, id), id, jwe, msg_get_u64(m, TAG_DEADLINE, 0));
        return 0;
}

static int take_declined(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1], why[32];
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));

        r = r < 0 ? r : msg_get_str(m, TAG_WHY, why, sizeof(why));
        if (r == 0)
                link_declined(link_of(b, id), id, why);
        return r;
}

static int take_held(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1];
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));

        if (r == 0 && !link_knows(link_of(b, id), id))
                link_hold(b->link, id, msg_get_u64(m, TAG_DEADLINE, 0));
        return r;
}

static void on_validator_frame(void *arg, const struct msg_in *m, int fd)
{
        struct bridge *b = arg;
        int r = -EBADMSG;

        if (fd >= 0)
                close(fd);
        if (m->type == FRAME_STATE)
                r = take_state(b, m);
        else if (m->type == FRAME_VERDICT)
                r = take_verdict(b, m);
        else if (m->type == FRAME_DECLINED)
                r = take_declined(b, m);
        else if (m->type == FRAME_HELD)
                r = take_held(b, m);
        if (r < 0)
                log_warning("validator.bad_frame", KV_U("type", m->type), KV_S("why", strerror(-r)));
}

/* Nothing is ready without a validator, and what the last one had gets no answer from here. */
static void lose_validator(struct bridge *b)
{
        static const char *const reasons[] = {"validator_restarting"};
        const struct link_state none = {.n_reasons = 1, .reasons = reasons};

        b->validator = ipc_free(b->validator);
        link_lost(b->link);
        if (b->old)
                link_lost(b->old);
        if (set_state(b, &none) < 0)
                log_warning("link.state_not_set", KV_S("why", "out of memory"));
}

static void on_validator_closed(void *arg, const char *why)
{
        struct bridge *b = arg;

        log_warning("validator.gone", KV_S("why", why), KV_U("in_hand", link_in_hand(b->link)));
        lose_validator(b);
}

int bridge_open_validator(struct bridge *b, int fd)
{
        if (b->validator)
                lose_validator(b);
        return process_channel(&b->process, &b->validator, PART_VALIDATOR, fd, on_validator_frame, on_validator_closed,
                               b);
}

/* ---- the ledger says nothing ---- */

/* The table has no frame from it. */
static void on_ledger_frame(void *arg, const struct msg_in *m, int fd)
{
        (void)arg;
        (void)m;
        (void)fd;
}

static void on_ledger_closed(void *arg, const char *why)
{
        struct bridge *b = arg;

        log_warning("ledger.gone", KV_S("why", why));
        b->ledger = ipc_free(b->ledger);
}

int bridge_open_ledger(struct bridge *b, int fd)
{
        b->ledger = ipc_free(b->ledger);
        return process_channel(&b->process, &b->ledger, PART_LEDGER, fd, on_ledger_frame, on_ledger_closed, b);
}
