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
#include "queue/wire/question.h"

#define REALMS_TEXT_MAX 8192
#define REASONS_TEXT_MAX 4096
#define IDENTITY_TEXT_MAX 1024
#define PROOF_TEXT_MAX 4096
const char *bridge_down_text(enum link_down why)
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

/* Of what the validator does not tell, since it never had it or is gone. What several links have is told as lost by the
 * last of them. */
static void on_unanswered(void *arg, const char *id, const char *why)
{
        struct bridge *b = ((struct line *)arg)->node->b;
        const struct line *line;
        struct msg_out m;

        TAILQ_FOREACH (line, &b->lines, entry)
                if (strcmp(why, "lost") == 0 && link_has(line->link, id, false))
                        return;

        msg_begin(&m, FRAME_UNANSWERED);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, R_DECLINED, why);
        msg_u64(&m, R_WALL, (uint64_t)loop_wall(b->process.loop));
        to_ledger(b, &m);
}

/* What TLS says of a certificate that has ended, or of a wrong clock, is short. */
static const char *why_down(const struct node *node, char *flaw, size_t cap)
{
        return node->why != LINK_UP && renewal_flaw(node->b->renewal, flaw, cap) ? flaw : node->detail;
}

struct hands {
        const struct line *line;
        const struct node *of; /* its lines only; NULL: all */
        bool undelivered;
        json_int_t n;
};

/* What several links have, since it was spread, is one sign-in: that of the first. */
static void count_once(void *arg, const char *id)
{
        struct hands *h = arg;
        const struct line *line = h->line;

        while ((line = TAILQ_PREV(line, line_list, entry)))
                if ((!h->of || line->node == h->of) && link_has(line->link, id, h->undelivered))
                        return;
        h->n++;
}

static json_int_t count_hands(const struct bridge *b, const struct node *of, bool undelivered)
{
        struct hands h = {.of = of, .undelivered = undelivered};

        TAILQ_FOREACH (h.line, &b->lines, entry)
                if (!of || h.line->node == of)
                        link_each(h.line->link, undelivered, count_once, &h);
        return h.n;
}

/* Whether a node (NULL: each that has answered) takes this connector's key statement: without it no service can seal to
 * this connector. Why it takes none is put into the part; "", where it does, since the ledger notes since when. */
static void put_refused(const struct bridge *b, const struct node *of, json_t *part)
{
        const struct report_refusal *refused = NULL;
        const struct line *line;
        bool taken = false;

        TAILQ_FOREACH (line, &b->lines, entry) {
                if ((of && line->node != of) || !link_view(line->link).heard)
                        continue;
                refused = link_view(line->link).refused;
                taken = taken || !refused;
        }
        refused = taken ? NULL : refused;
        (void)json_object_set_new(part, "statement_refused", json_string(refused ? refused->why : ""));
        if (refused)
                (void)json_object_set_new(part, "statement_detail", json_string(refused->detail));
}

static json_t *nodes_json(const struct bridge *b)
{
        json_t *list = json_array();
        const struct node *node;

        TAILQ_FOREACH (node, &b->nodes, entry) {
                char flaw[ERROR_TEXT_MAX];

                json_t *part = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I}", "relay", node->url, "node",
                                         node->name, "state", node->why == LINK_UP ? "up" : "down", "why",
                                         bridge_down_text(node->why), "detail", why_down(node, flaw, sizeof(flaw)),
                                         "since", (json_int_t)node->since, "in_roster", node->in_roster, "in_hand",
                                         count_hands(b, node, false), "undelivered", count_hands(b, node, true));
                put_refused(b, node, part);
                (void)json_array_append_new(list, part);
        }
        return list;
}

/* One that is up speaks for all, else the first. */
void bridge_send_status(struct bridge *b)
{
        const struct line *best = lines_best(b);
        const struct link_view view = best ? link_view(best->link) : (struct link_view){.up = false};
        const struct node *node = best ? best->node : TAILQ_FIRST(&b->nodes);
        char flaw[ERROR_TEXT_MAX];
        struct msg_out m;

        if (!node)
                return;
        json_t *json = json_pack(
                "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:b, s:b}", "relay",
                b->relay, "state", best ? "up" : "down", "why", bridge_down_text(node->why), "detail",
                why_down(node, flaw, sizeof(flaw)), "since", (json_int_t)node->since, "certificate_expires",
                (json_int_t)b->cert_expires, "certificate_days_left",
                (json_int_t)((b->cert_expires - loop_wall(b->process.loop)) / 86400), "certificate_renewal",
                (json_int_t)renewal_next(b->renewal), "certificate_why", renewal_why(b->renewal), "in_roster",
                node->in_roster, "clock_ahead", (json_int_t)view.clock_ahead, "in_hand", count_hands(b, NULL, false),
                "undelivered", count_hands(b, NULL, true), "requests", (json_int_t)b->requests, "verdicts",
                (json_int_t)b->verdicts, "nodes", nodes_json(b), "heard", view.heard, "quarantined", view.quarantined);
        put_refused(b, NULL, json);
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

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
        const struct line *best = lines_best(b);
        const struct link_view view = best ? link_view(best->link) : (struct link_view){.up = false};
        struct msg_out m;

        if (!view.relay_wall)
                return;
        msg_begin(&m, FRAME_CLOCK);
        msg_u64(&m, TAG_WALL, (uint64_t)view.relay_wall);
        msg_u64(&m, TAG_RECEIVED, view.relay_at);
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

/* An id is one sign-in's, at whichever node: a second one by the same would take its answers. */
static void on_request(void *arg, const struct link_request *request)
{
        struct line *line = arg;
        const char *id = request->id, *why = NULL;
        struct bridge *b = line->node->b;
        const struct line *other = lines_next_with(b, NULL, id);
        struct msg_out m;

        if (other == line)
                other = lines_next_with(b, other, id);
        if (other) {
                why = "replay";
        } else {
                b->requests++;
                msg_begin(&m, FRAME_REQUEST);
                msg_str(&m, TAG_ID, id);
                msg_u64(&m, TAG_BUDGET, request->budget_ms);
                msg_u64(&m, TAG_RECEIVED, request->received_ms);
                msg_bytes(&m, TAG_SEALED, request->sealed, request->n);
                msg_str(&m, TAG_TRACE, *request->traceparent ? request->traceparent : NULL);
                if (request->last)
                        msg_u64(&m, TAG_LAST, 1);
                int r = to_validator(b, &m);
                why = r == -EMSGSIZE ? "bad_request" : r < 0 ? "full" : NULL;
        }
        if (why) {
                link_declined(line->link, id, why);
                on_unanswered(line, id, why);
        }
}

static void on_question(void *arg, const char *id, uint32_t budget_ms, uint64_t received_ms, const char *sealed,
                        size_t n)
{
        struct line *line = arg;
        struct bridge *b = line->node->b;
        struct msg_out m;

        msg_begin(&m, FRAME_QUESTION);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, TAG_BUDGET, budget_ms);
        msg_u64(&m, TAG_RECEIVED, received_ms);
        msg_bytes(&m, TAG_SEALED, sealed, n);
        if (to_validator(b, &m) < 0)
                (void)link_answer_declined(line->link, id, "full");
}

static void on_cancel(void *arg, const char *id)
{
        send_id(((struct line *)arg)->node->b, FRAME_CANCEL, id);
}

/* After a new start of this process other nodes may have been offered the verdict, too. */
static void on_confirmed(void *arg, const char *id)
{
        struct bridge *b = ((struct line *)arg)->node->b;
        struct line *line = NULL;

        while ((line = lines_next_with(b, line, id)))
                link_forget(line->link, id);
        send_id(b, FRAME_CONFIRMED, id);
}

/* A node that never gave it says the same: as long as another is to be asked, it is not late. */
static void on_late(void *arg, const char *id)
{
        struct bridge *b = ((struct line *)arg)->node->b;

        if (lines_next_with(b, NULL, id))
                return;
        log_info("verdict.late", KV_S("request", id));
        send_id(b, FRAME_LATE, id);
}

static void on_roster(void *arg, const char *jws, size_t n)
{
        const struct line *line = arg;
        struct bridge *b = line->node->b;
        uint64_t part = 0;

        if (line->role == LINE_OLD)
                return;
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

static void on_identity(void *arg, bool in_roster, const char *detail)
{
        const struct line *line = arg;
        struct node *node = line->node;

        if (line->role == LINE_OLD)
                return;
        node->in_roster = in_roster;
        log_info("link.identity", KV_S("relay", node->url), KV_S("state", in_roster ? "in_roster" : "pending"),
                 KV_S("detail", detail));
        bridge_event(node->b, in_roster ? "identity.in_roster" : "identity.pending", detail);
        bridge_send_status(node->b);
}

/* What another link of this process has to the same node, or a validator that has not spoken yet, this one does not
 * know. */
static bool has_all(void *arg)
{
        const struct line *line = arg, *other;
        const struct bridge *b = line->node->b;

        TAILQ_FOREACH (other, &b->lines, entry)
                if (other != line && other->node == line->node)
                        return false;
        return b->told;
}

const struct link_callbacks bridge_callbacks = {.on_request = on_request,
                                                .on_cancel = on_cancel,
                                                .on_confirmed = on_confirmed,
                                                .on_late = on_late,
                                                .on_roster = on_roster,
                                                .on_state = lines_state,
                                                .on_identity = on_identity,
                                                .on_drained = lines_drained,
                                                .has_all = has_all,
                                                .on_unanswered = on_unanswered,
                                                .on_unheard = lines_spread,
                                                .on_question = on_question};

/* ---- from the validator ---- */

/* "corp.example=1\n..." */
static int read_realms(char *text, struct link_realm *realms, size_t *ret_n)
{
        char *line;

        while ((line = strsep(&text, "\n")) && (*line || text)) { /* only the last one may be empty */
                char *mark = strrchr(line, '=');

                if (!mark || *ret_n == REPORT_REALMS_MAX)
                        return -EBADMSG;
                *mark = '\0';
                realms[(*ret_n)++] = (struct link_realm){line, mark[1] == '1'};
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

/* Each link shows its part of the capacity. */
static int set_state(struct bridge *b, const struct link_state *state)
{
        struct link_state part = *state;
        struct line *line;
        int r = 0;

        b->capacity = state->capacity;
        part.capacity = lines_share(b);
        TAILQ_FOREACH (line, &b->lines, entry) {
                int done = link_set_state(line->link, &part);

                r = r < 0 ? r : done;
        }
        return r;
}

static int take_state(struct bridge *b, const struct msg_in *m)
{
        char realms_text[REALMS_TEXT_MAX], reasons_text[REASONS_TEXT_MAX], statement[STATEMENT_TEXT_MAX + 1];
        char *more = reasons_text;
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
        for (char *line; r == 0 && (line = strsep(&more, "\n")) && state.n_reasons < REPORT_REASONS_MAX;)
                if (*line)
                        reasons[state.n_reasons++] = line; /* the first ones say enough */
        r = r < 0 ? r : get_opt(m, TAG_STATEMENT, statement, sizeof(statement), &state.statement);
        r = r < 0 ? r : get_opt(m, TAG_IDENTITY, identity, sizeof(identity), &state.identity);
        r = r < 0 ? r : get_opt(m, TAG_PROOF, proof, sizeof(proof), &state.proof);
        b->told = r == 0 || b->told;
        return r < 0 ? r : set_state(b, &state);
}

/* One that no link knows came by another link process: each node may be the one that waits. So may they for what was
 * given to the link of a node that is gone: its other links know it then (lines_spread). */
static int take_verdict(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1], jwe[VERDICT_JWE_MAX + 1];
        const uint64_t deadline = msg_get_u64(m, TAG_DEADLINE, 0);
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));
        struct line *line;

        r = r < 0 ? r : msg_get_str(m, TAG_JWE, jwe, sizeof(jwe));
        if (r < 0)
                return r;
        b->verdicts++;
#ifdef POSTERN_TEST_HOOK
        hook_verdict(jwe);
#endif
        const bool known = lines_next_with(b, NULL, id) != NULL;
        TAILQ_FOREACH (line, &b->lines, entry)
                if (known ? link_knows(line->link, id) : line->role == LINE_SERVES)
                        link_verdict(line->link, id, jwe, deadline);
        return 0;
}

static int take_declined(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1], why[32];
        struct line *line = NULL;
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));

        r = r < 0 ? r : msg_get_str(m, TAG_WHY, why, sizeof(why));
        while (r == 0 && (line = lines_next_with(b, line, id)))
                link_declined(line->link, id, why);
        return r;
}

static int take_held(struct bridge *b, const struct msg_in *m)
{
        char id[ID_MAX + 1];
        struct line *line;
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));

        if (r < 0 || lines_next_with(b, NULL, id))
                return r;
        TAILQ_FOREACH (line, &b->lines, entry)
                if (line->role == LINE_SERVES)
                        link_hold(line->link, id, msg_get_u64(m, TAG_DEADLINE, 0));
        return 0;
}

/* An answer comes in parts, one answer after the other; whole it goes to the link that has the question. */
static int take_answer(struct bridge *b, const struct msg_in *m)
{
        const uint64_t part = msg_get_u64(m, TAG_PART, 0), total = msg_get_u64(m, TAG_TOTAL, 0);
        char id[ID_MAX + 1], why[32] = "";
        struct line *line;
        size_t n = 0;
        int r = msg_get_str(m, TAG_ID, id, sizeof(id));
        const uint8_t *bytes = r == 0 ? msg_get_bytes(m, TAG_ANSWER, &n) : NULL;

        if (r < 0 || (!bytes && msg_get_str(m, TAG_WHY, why, sizeof(why)) < 0) || total > ANSWER_JWE_MAX)
                return -EBADMSG;
        if (bytes && part == 0) {
                buffer_free(&b->answer);
                memcpy(b->answer_id, id, sizeof(id));
        }
        if (bytes &&
            (strcmp(b->answer_id, id) != 0 || b->answer.len + n > total || buffer_append(&b->answer, bytes, n) < 0))
                return -EBADMSG;
        if (bytes && b->answer.len < total)
                return 0;
        TAILQ_FOREACH (line, &b->lines, entry)
                if (why[0] ? link_answer_declined(line->link, id, why) : link_answer(line->link, id, b->answer.data))
                        break;
        return 0;
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
        else if (m->type == FRAME_ANSWER)
                r = take_answer(b, m);
        if (r < 0)
                log_warning("validator.bad_frame", KV_U("type", m->type), KV_S("why", strerror(-r)));
}

/* Nothing is ready without a validator, and what the last one had gets no answer from here. */
static void lose_validator(struct bridge *b)
{
        static const char *const reasons[] = {"validator_restarting"};
        const struct link_state none = {.n_reasons = 1, .reasons = reasons};

        b->validator = ipc_free(b->validator);
        lines_lose(b);
        if (set_state(b, &none) < 0)
                log_warning("link.state_not_set", KV_S("why", "out of memory"));
}

static void on_validator_closed(void *arg, const char *why)
{
        struct bridge *b = arg;

        log_warning("validator.gone", KV_S("why", why), KV_I("in_hand", count_hands(b, NULL, false)));
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
