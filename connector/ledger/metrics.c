/*
 * The connector's metrics: counts of sign-ins as their records come, and what the parts last said of themselves, served
 * to whoever may connect to metrics.sock (GET /metrics) in Prometheus's text form.
 *
 * No user name, client or account is ever in them. Each label has a bounded number of values whatever a neighbour
 * sends: reasons and declines are of tables, domain controllers beyond HOPS_MAX count as "other". The counts begin anew
 * with the process, which Prometheus expects of counters.
 */
#include "connector/ledger/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "connector/findings/facts.h"
#include "connector/findings/finding.h"
#include "connector/findings/health.h"
#include "queue/http/http.h"
#include "validate/types/outcome.h"

#define HOPS_MAX 128
#define TEXT_MAX (1024 * 1024)

/* One domain controller by one method. */
struct hop {
        char dc[257];
        enum method method;
        struct metrics_times total, at_dc;
};

static const char *const declines[] = {"not_my_realm", "no_dc",  "full",      "draining", "stale_key", "bad_request",
                                       "expired",      "replay", "throttled", "lost",     "other"};
#define DECLINES (sizeof(declines) / sizeof(declines[0]))

struct ledger_metrics {
        struct ledger *ledger;
        struct http *http;
        uint64_t reasons[REASON_MAX], declined[DECLINES];
        struct hop hops[HOPS_MAX];
        size_t n_hops;
};

/* ---- counting ---- */

/* The one of that name and method; the last one, "other", where there are too many. NULL: no method is named. */
static struct hop *hop_of(struct ledger_metrics *lm, const char *dc, const char *method)
{
        enum method how = METHOD_NONE;
        size_t i;

        for (enum method m = METHOD_KRB5; m <= METHOD_LDAP; m++)
                if (strcmp(method_text(m), method) == 0)
                        how = m;
        if (how == METHOD_NONE)
                return NULL;
        for (i = 0; i < lm->n_hops; i++)
                if (lm->hops[i].method == how && strcmp(lm->hops[i].dc, dc) == 0)
                        return &lm->hops[i];
        if (i == HOPS_MAX)
                return &lm->hops[HOPS_MAX - 1];
        lm->n_hops++;
        lm->hops[i].method = how;
        (void)snprintf(lm->hops[i].dc, sizeof(lm->hops[i].dc), "%s", i == HOPS_MAX - 1 ? "other" : dc);
        return &lm->hops[i];
}

void ledger_metrics_count(struct ledger_metrics *lm, const struct msg_in *m)
{
        char text[257], dc[257], method[16];
        size_t i = 0;

        if (msg_get_str(m, R_DECLINED, text, sizeof(text)) == 0) {
                while (i < DECLINES - 1 && strcmp(declines[i], text) != 0)
                        i++;
                lm->declined[i]++;
                return;
        }
        if (msg_get_str(m, R_REASON, text, sizeof(text)) < 0)
                return;
        const enum reason reason = reason_from_id(text);
        lm->reasons[reason == REASON_MAX ? REASON_INTERNAL : reason]++;
        struct hop *hop = msg_get_str(m, R_DC, dc, sizeof(dc)) == 0 && dc[0] &&
                                          msg_get_str(m, R_METHOD, method, sizeof(method)) == 0
                                  ? hop_of(lm, dc, method)
                                  : NULL;
        if (hop) {
                metrics_observe(&hop->total, msg_get_u64(m, R_MS_TOTAL, 0));
                metrics_observe(&hop->at_dc, msg_get_u64(m, R_MS_DC, 0));
        }
}

/* ---- the text ---- */

static void put_sign_ins(struct metrics *m, const struct ledger_metrics *lm)
{
        metrics_begin(m, "postern_sign_ins_total", METRICS_COUNTER,
                      "Sign-ins that this connector decided, since its ledger started; reasons are in "
                      "postern-verdicts(7).");
        for (enum reason r = 0; r < REASON_MAX; r++) {
                const struct reason_info *info = reason_info(r);
                metrics_put(m, (double)lm->reasons[r], "verdict", verdict_text(info->verdict), "class",
                            verdict_class_text(info->class), "reason", info->id, METRICS_END);
        }
        metrics_begin(m, "postern_declined_total", METRICS_COUNTER,
                      "Sign-ins that this connector gave back before it asked a domain controller.");
        for (size_t i = 0; i < DECLINES; i++)
                metrics_put(m, (double)lm->declined[i], "why", declines[i], METRICS_END);
        metrics_begin(m, "postern_validation_seconds", METRICS_HISTOGRAM,
                      "From the arrival of a sign-in in the validator to its verdict.");
        for (size_t i = 0; i < lm->n_hops; i++)
                metrics_put_times(m, &lm->hops[i].total, "dc", lm->hops[i].dc, "method",
                                  method_text(lm->hops[i].method), METRICS_END);
        metrics_begin(m, "postern_dc_seconds", METRICS_HISTOGRAM, "The part of it that the domain controller took.");
        for (size_t i = 0; i < lm->n_hops; i++)
                metrics_put_times(m, &lm->hops[i].at_dc, "dc", lm->hops[i].dc, "method",
                                  method_text(lm->hops[i].method), METRICS_END);
}

static void put_fact(struct metrics *m, const char *name, enum metrics_kind kind, const char *help, const json_t *part,
                     const char *key)
{
        if (json_is_integer(json_object_get(part, key)) || json_is_boolean(json_object_get(part, key)))
                metrics_one(m, name, kind, help,
                            json_is_true(json_object_get(part, key)) ? 1 : (double)fact_number(part, key, 0));
}

static void put_validator(struct metrics *m, const json_t *v, uint32_t in_flight_max)
{
        const json_t *guard = json_object_get(v, "guard");

        if (fact_number(v, "roster_expires", 0)) /* 0: none has come yet */
                put_fact(m, "postern_roster_not_after_seconds", METRICS_GAUGE,
                         "When the roster ends: without a newer one no sign-in is taken after it.", v,
                         "roster_expires");
        put_fact(m, "postern_roster_number", METRICS_GAUGE, "Number of the roster in use.", v, "roster_seq");
        put_fact(m, "postern_in_roster", METRICS_GAUGE, "1: the roster has this connector.", v, "in_roster");
        put_fact(m, "postern_in_flight", METRICS_GAUGE, "Sign-ins that the validator works on.", v, "in_flight");
        metrics_one(m, "postern_in_flight_max", METRICS_GAUGE, "in_flight of the configuration: its credit.",
                    in_flight_max);
        put_fact(m, "postern_verdicts_undelivered", METRICS_GAUGE, "Verdicts that the relay has not confirmed yet.", v,
                 "undelivered");
        put_fact(m, "postern_guard_throttled_total", METRICS_COUNTER,
                 "Sign-ins that the lockout guard answered without a domain controller (with guard = observe: would "
                 "have).",
                 guard, "throttled");
        put_fact(m, "postern_guard_repeated_total", METRICS_COUNTER,
                 "Repeats of one wrong password that the guard answered itself (with guard = observe: would have).",
                 guard, "repeated");
        if (v)
                metrics_one(m, "postern_clock_wrong", METRICS_GAUGE,
                            "1: this host's clock is wrong, by what several others say.",
                            strcmp(fact_text(json_object_get(v, "clock"), "state"), "wrong") == 0);
}

static void put_link(struct metrics *m, const json_t *link)
{
        if (!link)
                return;
        metrics_begin(m, "postern_link_up", METRICS_GAUGE, "1: there is a link to the relay.");
        metrics_put(m, strcmp(fact_text(link, "state"), "up") == 0, "relay", fact_text(link, "relay"), METRICS_END);
        put_fact(m, "postern_link_requests_total", METRICS_COUNTER, "Sign-ins that came by the link.", link,
                 "requests");
        put_fact(m, "postern_link_verdicts_total", METRICS_COUNTER, "Verdicts that the relay took.", link, "verdicts");
        put_fact(m, "postern_link_in_hand", METRICS_GAUGE, "Sign-ins that the link handed on and has no answer to.",
                 link, "in_hand");
        put_fact(m, "postern_certificate_not_after_seconds", METRICS_GAUGE, "When the transport certificate ends.",
                 link, "certificate_expires");
        put_fact(m, "postern_clock_offset_seconds", METRICS_GAUGE,
                 "How far the relay's clock is ahead of this host's; negative: behind.", link, "clock_ahead");
}

/* What is told of each part whose name begins so. */
enum part_number { DC_UP = 0, DC_LATENCY, DOMAIN_READY, PROCESS_UP, PROCESS_RESTARTS, PART_NUMBERS };
static const struct {
        const char *prefix, *name, *help, *label, *label_key; /* label_key: NULL: what is behind the prefix */
        enum metrics_kind kind;
} part_families[PART_NUMBERS] = {
        [DC_UP] = {"dc:", "postern_dc_up", "1: the domain controller can be used.", "dc", "host", METRICS_GAUGE},
        [DC_LATENCY] = {"dc:", "postern_dc_latency_seconds", "What it takes to answer, smoothed; 0: not measured yet.",
                        "dc", "host", METRICS_GAUGE},
        [DOMAIN_READY] = {"domain:", "postern_domain_ready", "1: sign-ins of the domain can be decided here.", "domain",
                          NULL, METRICS_GAUGE},
        [PROCESS_UP] = {"process:", "postern_process_up", "1: the process runs and is ready.", "process", NULL,
                        METRICS_GAUGE},
        [PROCESS_RESTARTS] = {"process:", "postern_process_restarts_total", "How often the process was started again.",
                              "process", NULL, METRICS_COUNTER},
};

static double number_of(const json_t *value, enum part_number which)
{
        const char *state = fact_text(value, "state");

        switch (which) {
        case DC_UP:
                return strcmp(state, "alive") == 0 || strcmp(state, "recovering") == 0 || strcmp(state, "silent") == 0;
        case DC_LATENCY:
                return (double)fact_number(value, "ms", 0) / 1000.0;
        case DOMAIN_READY:
                return json_is_true(json_object_get(value, "ready"));
        case PROCESS_UP:
                return strcmp(state, "running") == 0;
        case PROCESS_RESTARTS:
                return (double)fact_number(value, "restarts", 0);
        case PART_NUMBERS:
                break;
        }
        return 0;
}

static void put_parts(struct metrics *m, const json_t *parts, enum part_number which)
{
        const char *prefix = part_families[which].prefix, *key = part_families[which].label_key, *name;
        const size_t n = strlen(prefix);
        json_t *part;

        metrics_begin(m, part_families[which].name, part_families[which].kind, part_families[which].help);
        json_object_foreach ((json_t *)(uintptr_t)parts, name, part) {
                const json_t *value = json_object_get(part, "value");
                if (strncmp(name, prefix, n) == 0 && key)
                        metrics_put(m, number_of(value, which), "domain", fact_text(value, "domain"),
                                    part_families[which].label, fact_text(value, key), METRICS_END);
                else if (strncmp(name, prefix, n) == 0)
                        metrics_put(m, number_of(value, which), part_families[which].label, name + n, METRICS_END);
        }
}

/* Findings by their codes, so that an alert and `postern status` say the same. */
static void put_findings(struct metrics *m, const json_t *status)
{
        json_auto_t *findings = health_findings(status), *by_code = json_object();
        const char *code;
        json_t *item, *n;
        size_t i;

        json_array_foreach (findings, i, item) {
                code = fact_text(item, "code");
                (void)json_object_set_new(by_code, code, json_integer(fact_number(by_code, code, 0) + 1));
        }
        metrics_begin(m, "postern_findings", METRICS_GAUGE,
                      "What `postern status` finds wrong, by code and level (postern-verdicts(7)); none: all is well.");
        json_object_foreach (by_code, code, n) {
                const struct finding_info *info = finding_info(code);
                metrics_put(m, (double)json_integer_value(n), "code", code, "level",
                            finding_level_text(info ? info->level : FINDING_WARNS), METRICS_END);
        }
}

static void put_all(struct metrics *m, const struct ledger_metrics *lm, const json_t *status)
{
        const json_t *parts = json_object_get(status, "parts"), *ledger = json_object_get(status, "ledger");
        const json_t *supervisor = fact_part(parts, "process:supervisor"), *v = fact_part(parts, "validator");

        metrics_begin(m, "postern_build_info", METRICS_GAUGE, "Always 1; the labels say what runs.");
        metrics_put(m, 1, "version", fact_text(supervisor, "version"), "connector", fact_text(v, "name"), "tenant",
                    fact_text(v, "tenant"), METRICS_END);
        put_sign_ins(m, lm);
        put_validator(m, v, lm->ledger->config->in_flight);
        put_link(m, fact_part(parts, "link"));
        for (enum part_number which = 0; which < PART_NUMBERS; which++)
                put_parts(m, parts, which);
        metrics_one(m, "postern_ledger_degraded", METRICS_GAUGE, "1: records are kept in memory only.",
                    strcmp(fact_text(ledger, "state"), "ok") != 0);
        put_fact(m, "postern_ledger_records", METRICS_GAUGE, "Records of sign-ins that are kept.", ledger, "rows");
        put_fact(m, "postern_ledger_records_in_memory", METRICS_GAUGE, "Of them those that are on no disk yet.", ledger,
                 "in_memory");
        put_fact(m, "postern_ledger_records_lost_total", METRICS_COUNTER, "Records that were lost.", ledger, "dropped");
        ledger_outlets_metrics(lm->ledger->outlets, m);
        put_findings(m, status);
}

int ledger_metrics_text(struct ledger_metrics *lm, struct buffer *ret_text)
{
        const struct request ask = {.what_to_do = REQUEST_STATUS};
        json_auto_t *status = ledger_answer(lm->ledger, &ask);
        struct metrics m = METRICS(TEXT_MAX);

        put_all(&m, lm, status);
        if (m.code == 0)
                *ret_text = m.text;
        else
                buffer_free(&m.text);
        return m.code;
}

/* ---- the socket ---- */

static void on_get(void *arg, struct http_req *r)
{
        struct buffer text = BUFFER(TEXT_MAX);

        if (ledger_metrics_text(arg, &text) == 0)
                http_reply(r, 200, METRICS_TYPE, text.data, text.len);
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory for the metrics");
        buffer_free(&text);
}

int ledger_metrics_new(struct ledger_metrics **ret_metrics, struct ledger *l, int handed, struct error *err)
{
        static const struct http_route routes[] = {{HTTP_GET, "/metrics", on_get, 0}};
        _cleanup_(closep) int fd = handed;
        struct ledger_metrics *lm = calloc(1, sizeof(*lm));
        struct http_config config = {.loop = l->process.loop, .routes = routes, .n_routes = 1, .arg = lm};
        int r = 0;

        if (!lm)
                return error_fail(err, -ENOMEM, "no memory for the metrics");
        lm->ledger = l;
        config.limits = HTTP_LIMITS;
        config.limits.connections = LEDGER_CLIENTS_MAX;
        if (fd >= 0)
                r = http_new(&lm->http, &config, err);
        if (r == 0 && fd >= 0)
                r = http_listen_fd(lm->http, steal_fd(&fd), HTTP_PLAIN, err);
        if (r < 0)
                ledger_metrics_free(lm);
        else
                *ret_metrics = lm;
        return r;
}

struct ledger_metrics *ledger_metrics_free(struct ledger_metrics *lm)
{
        if (!lm)
                return NULL;
        lm->http = http_free(lm->http);
        free(lm);
        return NULL;
}
