/*
 * Lines of `postern check`: how one is made, and what the daemon's findings and a DC's probe are as lines.
 *
 * It tests nothing itself: the probe is validate/'s, the findings are the daemon's.
 */
#include "connector/findings/hop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "connector/findings/facts.h"
#include "connector/findings/health.h"
#include "validate/types/detail.h"

#define CLOCK_WARN_S 60

const char *hop_result_text(enum hop_result result)
{
        static const char *const texts[HOP_RESULTS] = {"ok", "skipped", "warning", "failed"};

        return result < HOP_RESULTS ? texts[result] : "failed";
}

json_t *hop_add(json_t *lines, struct hop hop, const char *fmt, ...)
{
        json_t *line = json_pack("{s:s, s:s}", "step", hop.step, "result", hop_result_text(hop.result));
        const char *const more[][2] = {{"about", hop.about}, {"code", hop.code}, {"remedy", hop.remedy}};
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        (void)json_object_set_new(line, "text", text ? text : json_string("(not valid text)"));
        for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
                if (more[i][1] && more[i][1][0])
                        (void)json_object_set_new(line, more[i][0], json_string(more[i][1]));
        return json_array_append_new(lines, line) == 0 ? line : NULL;
}

enum hop_result hop_worst(const json_t *lines)
{
        int worst = HOP_OK;

        for (size_t i = 0; i < json_array_size(lines); i++)
                for (int result = worst + 1; result < HOP_RESULTS; result++)
                        if (strcmp(fact_text(json_array_get(lines, i), "result"),
                                   hop_result_text((enum hop_result)result)) == 0)
                                worst = result;
        return (enum hop_result)worst;
}

void hop_daemon(json_t *lines, const json_t *status)
{
        json_t *findings = health_findings(status), *finding;
        size_t i;

        json_array_foreach (findings, i, finding)
                (void)hop_add(lines,
                              (struct hop){.step = "daemon",
                                           .result = strcmp(fact_text(finding, "level"), "warns") == 0 ? HOP_WARNING
                                                                                                       : HOP_FAILED,
                                           .about = fact_text(finding, "about"),
                                           .code = fact_text(finding, "code"),
                                           .remedy = fact_text(finding, "remedy")},
                              "%s", fact_text(finding, "cause"));
        if (json_array_size(findings) == 0)
                (void)hop_add(lines, (struct hop){.step = "daemon"},
                              "posternd runs, its stream to the relay stands, and a sign-in would succeed now");
        json_decref(findings);
}

/* ---- domain controllers ---- */

enum stage { STAGE_NAME = 0, STAGE_CONNECTION, STAGE_TLS, STAGE_ANSWER, STAGE_N };

static const char *const stages[STAGE_N] = {"name", "connection", "TLS", "answer"};

/* The stage that a probe which ended so got stuck in. */
static enum stage stage_of(enum reason reason, enum detail detail)
{
        if (reason == REASON_DNS)
                return STAGE_NAME;
        if (reason == REASON_DC_REFUSED || reason == REASON_DC_UNREACHABLE)
                return detail == DETAIL_PORT_WITHOUT_TLS ? STAGE_TLS
                       : detail == DETAIL_CLOSED         ? STAGE_ANSWER
                                                         : STAGE_CONNECTION;
        if (reason == REASON_DC_TLS || reason == REASON_DC_TLS_TIMEOUT || reason == REASON_DC_CERTIFICATE)
                return STAGE_TLS;
        return STAGE_ANSWER;
}

/* "name ok, connection ok, TLS failed, answer skipped"; Kerberos has no TLS. */
static void put_stages(char *out, size_t cap, enum stage stuck, bool tls)
{
        size_t at = 0;

        for (int s = 0; s < STAGE_N && at < cap; s++)
                if (tls || s != STAGE_TLS)
                        at += (size_t)snprintf(out + at, cap - at, "%s%s %s", at ? ", " : "", stages[s],
                                               s < (int)stuck    ? "ok"
                                               : s == (int)stuck ? "failed"
                                                                 : "skipped");
}

/* A DC that answers; a clock that is off by less than Kerberos allows is a warning. */
static void add_well(json_t *lines, const struct validate_dc *dc, const char *by, const struct hop_clock *clock)
{
        const bool off = clock->known && (clock->ahead > CLOCK_WARN_S || clock->ahead < -CLOCK_WARN_S);
        const struct detail_info *detail = detail_info(clock->ahead > 0 ? DETAIL_CLOCK_AHEAD : DETAIL_CLOCK_BEHIND);
        const long long by_s = clock->ahead < 0 ? -clock->ahead : clock->ahead;
        char told[80] = "";

        if (clock->known && by_s <= 1)
                (void)snprintf(told, sizeof(told), "; its clock agrees with this host's");
        else if (clock->known)
                (void)snprintf(told, sizeof(told), "; its clock is %lld s %s this host's", by_s,
                               clock->ahead < 0 ? "behind" : "ahead of");
        (void)hop_add(lines,
                      (struct hop){.step = "dc",
                                   .result = off ? HOP_WARNING : HOP_OK,
                                   .about = dc->host,
                                   .code = off ? detail->id : NULL,
                                   .remedy = !off            ? NULL
                                             : clock->remedy ? clock->remedy
                                                             : detail->remedy},
                      "%s of %s (%s) answers by %s in %" PRIu32 " ms%s%s", dc->host, dc->domain, dc->source, by,
                      dc->ewma_ms, told, off ? ": from 300 s on Kerberos fails" : "");
}

void hop_dc(json_t *lines, const struct validate_dc *dc, const char *by, const struct hop_clock *clock)
{
        const enum reason reason = dc->reason[0] ? reason_from_id(dc->reason) : REASON_DC_TIMEOUT;
        const enum detail found = detail_find(reason, dc->detail);
        const struct detail_info *detail = detail_info(found);
        const bool alive = strcmp(dc->state, "alive") == 0, tls = strcmp(by, "ldap") == 0;
        char passed[120] = "nothing is known of it yet";

        if (alive && !dc->reason[0]) {
                add_well(lines, dc, by, clock);
                return;
        }
        if (dc->reason[0]) /* else it has not come to anything yet */
                put_stages(passed, sizeof(passed), stage_of(reason, found), tls);
        (void)hop_add(lines,
                      (struct hop){.step = "dc",
                                   .result = alive && reason != REASON_CLOCK_SKEW ? HOP_WARNING : HOP_FAILED,
                                   .about = dc->host,
                                   .code = detail ? detail->id : reason_info(reason)->id,
                                   .remedy = reason == REASON_CLOCK_SKEW && clock->remedy ? clock->remedy
                                             : detail                                     ? detail->remedy
                                                      : reason_info(reason)->remedy},
                      "%s of %s (%s) by %s: %s: %s%s%s", dc->host, dc->domain, dc->source, by, passed,
                      reason_info(reason)->id, dc->detail[0] ? ": " : "",
                      dc->detail[0]   ? dc->detail
                      : dc->reason[0] ? ""
                                      : ": no answer in time");
}
