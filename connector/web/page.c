/*
 * The pages of the helpdesk: now, a search and its stories, a day.
 *
 * What is told comes from connector/findings, the same that the command line shows; this lays it out.
 */
#include "connector/web/page.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/metrics/metrics.h"
#include "connector/findings/account.h"
#include "connector/findings/connectors.h"
#include "connector/findings/explain.h"
#include "connector/findings/facts.h"
#include "connector/findings/finding.h"
#include "connector/findings/health.h"
#include "connector/findings/status.h"
#include "connector/web/chart.h"
#include "validate/types/outcome.h"

#define NAMES_MAX 20

/* ---- around a page ---- */

void web_page_begin(struct html *h, const struct web_frame *f)
{
        static const struct {
                const char *path, *text;
        } links[] = {{"/", "Now"}, {"/search", "Search"}, {"/day", "History"}, {"/words", "Words"}};

        html_put(h,
                 "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width\">"
                 "<meta name=\"color-scheme\" content=\"light dark\">"
                 "<title>{} – {}</title><link rel=\"stylesheet\" href=\"/style.css\">"
                 "<link rel=\"icon\" href=\"/icon.svg\">"
                 "<script src=\"/page.js\" defer></script></head><body>"
                 "<a class=\"skip\" href=\"#main\">Skip to the content</a><header><p class=\"title\">{}</p>",
                 f->heading, f->title, f->title);
        if (f->person) {
                html_put(h, "<nav aria-label=\"Pages\"><ul>");
                for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
                        if (!f->everywhere || strcmp(links[i].path, "/day") != 0)
                                html_put(h,
                                         strcmp(links[i].path, f->here) == 0
                                                 ? "<li><a href=\"{}\" aria-current=\"page\">{}</a>"
                                                 : "<li><a href=\"{}\">{}</a>",
                                         links[i].path, links[i].text);
                html_put(h, "</ul></nav><p class=\"person\">{} ({})</p>", f->person->name,
                         f->person->role == WEB_ADMIN ? "administrator" : "helpdesk");
                if (f->can_leave)
                        html_put(h, "<form method=\"post\" action=\"/leave\"><button>Leave</button></form>");
        }
        html_put(h, "</header><main id=\"main\" tabindex=\"-1\"><h1>{}</h1>", f->heading);
}

void web_page_end(struct html *h)
{
        html_put(h, "</main></body></html>\n");
}

void web_page_fault(struct html *h, const char *why)
{
        html_put(h, "<p class=\"state stopped\" role=\"alert\">{}</p>", why);
}

void web_page_enter(struct html *h, const char *why)
{
        if (why)
                web_page_fault(h, why);
        html_put(h,
                 "<form method=\"post\" action=\"/enter\" id=\"enter\"><p>Run <code>postern page</code> on this host, "
                 "as "
                 "root or a member of the group <code>postern-web</code>, and open the link that it prints. It works "
                 "once, within a minute.</p><p><label for=\"code\">Or paste its code here</label> "
                 "<input id=\"code\" name=\"code\" type=\"password\" autocomplete=\"off\" required maxlength=\"{d}\"> "
                 "<button>Enter</button></p></form>",
                 (long long)WEB_SECRET_LEN);
}

/* ---- what is counted ---- */

static const char *const layers[CHART_LAYERS] = {"accepted", "refused", "unavailable"};

static void put_chart(struct html *h, const char *title, long long since, long long step, size_t n,
                      const json_t *report)
{
        struct chart chart = {.title = title, .layers = layers, .since = since, .step = step, .n = n};
        const json_t *series = json_object_get(report, "series"), *row;
        size_t i;

        json_array_foreach (series, i, row) {
                const long long slot = (fact_number(row, "at", 0) - since) / step;

                for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                        if (slot >= 0 && (size_t)slot < n && strcmp(fact_text(row, "verdict"), layers[layer]) == 0)
                                chart.n_slots[slot][layer] += (unsigned)fact_number(row, "n", 0);
        }
        chart_bars(h, &chart);
}

/* The n of all ends with one verdict and reason, of whatever service; 0 for all but the first of them. */
static long long sum_of_reason(const json_t *ends, size_t at)
{
        const json_t *first = json_array_get(ends, at);
        long long sum = 0;

        for (size_t i = 0; i < json_array_size(ends); i++) {
                const json_t *row = json_array_get(ends, i);

                if (strcmp(fact_text(row, "verdict"), fact_text(first, "verdict")) != 0 ||
                    strcmp(fact_text(row, "reason"), fact_text(first, "reason")) != 0)
                        continue;
                if (i < at)
                        return 0;
                sum += fact_number(row, "n", 0);
        }
        return sum;
}

static void put_reason(struct html *h, const json_t *row, long long n, long long most)
{
        const char *word = fact_text(row, "reason");
        const bool declined = strcmp(fact_text(row, "verdict"), "declined") == 0;
        const enum reason reason = reason_from_id(word);

        html_put(h, "<tr class=\"{}\"><th scope=\"row\"><a href=\"/words/{}\">{}</a><td>{d} ",
                 fact_text(row, "verdict"), word, word, n);
        chart_share(h, (unsigned long long)n, (unsigned long long)most);
        html_put(h, "<td>{}</tr>", declined ? fact_decline(word) : reason ? reason_info(reason)->helpdesk_text : "");
}

/* The commonest first. */
static void put_reasons(struct html *h, const json_t *report)
{
        const json_t *ends = json_object_get(report, "ends");
        const size_t n = json_array_size(ends);
        long long most = 0, below = LLONG_MAX;

        html_put(h, "<section aria-labelledby=\"reasons\"><h2 id=\"reasons\">Failures by reason</h2>");
        for (long long next = 1; next > 0; below = next) {
                next = 0;
                for (size_t i = 0; i < n; i++) {
                        const long long sum = sum_of_reason(ends, i);
                        if (strcmp(fact_text(json_array_get(ends, i), "verdict"), "accepted") != 0 && sum < below &&
                            sum > next)
                                next = sum;
                }
                if (next && !most) {
                        most = next;
                        html_put(h, "<table class=\"reasons\"><thead><tr><th scope=\"col\">Reason<th "
                                    "scope=\"col\">Number<th "
                                    "scope=\"col\">What it means</tr></thead><tbody>");
                }
                for (size_t i = 0; next && i < n; i++)
                        if (strcmp(fact_text(json_array_get(ends, i), "verdict"), "accepted") != 0 &&
                            sum_of_reason(ends, i) == next)
                                put_reason(h, json_array_get(ends, i), next, most);
        }
        html_put(h, most ? "</tbody></table></section>" : "<p>None.</p></section>");
}

/* The bound within which the part of all answers lies. */
static void put_within(struct html *h, const long long *counts, long long sum, long long percent)
{
        long long seen = 0;

        for (size_t i = 0; i < METRICS_BOUNDS; i++) {
                seen += counts[i];
                if (seen * 100 >= sum * percent) {
                        html_put(h, "<td>{d} ms", (long long)metrics_bounds_ms[i]);
                        return;
                }
        }
        html_put(h, "<td>over {d} ms", (long long)metrics_bounds_ms[METRICS_BOUNDS - 1]);
}

/* One domain controller's row, at the first of its rows in the report. */
static void put_dc(struct html *h, const json_t *dcs, size_t at)
{
        const json_t *first = json_array_get(dcs, at), *row;
        long long counts[METRICS_BOUNDS + 1] = {0}, sum = 0, failed = 0;
        size_t i;

        json_array_foreach (dcs, i, row) {
                const long long bucket = fact_number(row, "bucket", 0);

                if (strcmp(fact_text(row, "dc"), fact_text(first, "dc")) != 0 ||
                    strcmp(fact_text(row, "method"), fact_text(first, "method")) != 0)
                        continue;
                if (i < at)
                        return;
                counts[bucket < 0 || bucket > METRICS_BOUNDS ? METRICS_BOUNDS : bucket] += fact_number(row, "n", 0);
                sum += fact_number(row, "n", 0);
                failed += fact_number(row, "failed", 0);
        }
        html_put(h, "<tr><th scope=\"row\">{}<td>{}<td>{d}<td>{d}", fact_text(first, "dc"), fact_text(first, "method"),
                 sum, failed);
        put_within(h, counts, sum, 50);
        put_within(h, counts, sum, 95);
        html_put(h, "</tr>");
}

static void put_latency(struct html *h, const json_t *report)
{
        const json_t *dcs = json_object_get(report, "dcs");
        const size_t n = json_array_size(dcs);

        html_put(h,
                 "<section aria-labelledby=\"latency\"><h2 id=\"latency\">How fast domain controllers answered</h2>");
        if (n)
                html_put(h, "<table class=\"latency\"><thead><tr><th scope=\"col\">Domain controller<th "
                            "scope=\"col\">Method<th "
                            "scope=\"col\">"
                            "Sign-ins<th scope=\"col\">Undecided<th scope=\"col\">Half within<th scope=\"col\">95 % "
                            "within</tr>"
                            "</thead><tbody>");
        for (size_t i = 0; i < n; i++)
                put_dc(h, dcs, i);
        html_put(h, n ? "</tbody></table></section>" : "<p>None was asked.</p></section>");
}

/* ---- now ---- */

static void put_finding(struct html *h, const json_t *finding, long long now)
{
        const json_t *others = json_object_get(finding, "others"), *changes = json_object_get(finding, "changes"), *row;
        const long long since = fact_number(finding, "since", 0), sign_ins = fact_number(finding, "sign_ins", 0);
        const char *detail = fact_text(finding, "detail");
        char age[32], when[32];
        size_t i;

        fact_age(now - since, age, sizeof(age));
        html_put(h, "<li class=\"{}\"><strong>{}</strong>", fact_text(finding, "level"), fact_text(finding, "cause"));
        json_array_foreach (others, i, row)
                html_put(h, "<p>The same: {}</p>", json_string_value(row));
        html_put(h, "<p>{}</p>", fact_text(finding, "remedy"));
        if (sign_ins)
                html_put(h,
                         "<p>Sign-ins that failed for it: {d}, of {d} users; the latest: <a "
                         "href=\"/sign-in/{}\">{}</a></p>",
                         sign_ins, fact_number(finding, "users", 0), fact_text(finding, "id"),
                         fact_text(finding, "id"));
        json_array_foreach (changes, i, row) {
                fact_time(fact_number(row, "wall", 0), when, sizeof(when));
                html_put(h, "<p>Shortly before, {}: {} {}</p>", when, fact_text(row, "event"),
                         fact_text(row, "detail"));
        }
        html_put(h, "<p class=\"code\"><a href=\"/words/{}\">{}</a>{}{}{}{}</p>", fact_text(finding, "code"),
                 fact_text(finding, "code"), detail[0] ? ": " : "", detail, since ? ", for " : "", since ? age : "");
}

/* stopped, limited: what these mean. */
static void put_state(struct html *h, const char *state, const char *stopped, const char *limited)
{
        html_put(h, "<p class=\"state {}\" role=\"status\">{}</p>", state,
                 strcmp(state, "stopped") == 0   ? stopped
                 : strcmp(state, "limited") == 0 ? limited
                 : strcmp(state, "warned") == 0  ? "Sign-ins succeed, but something is wrong"
                                                 : "All is well");
}

/* heading: over them, where there are any; NULL: none. */
static void put_findings(struct html *h, const char *heading, const json_t *findings, long long now)
{
        const json_t *finding;
        size_t i;

        if (json_array_size(findings) == 0)
                return;
        if (heading)
                html_put(h, "<h2>At {}</h2>", heading);
        html_put(h, "<ul class=\"findings\">");
        json_array_foreach ((json_t *)(uintptr_t)findings, i, finding)
                put_finding(h, finding, now);
        html_put(h, "</ul>");
}

static void put_parts(struct html *h, const json_t *status)
{
        json_t *sections = status_sections(status), *part, *row;
        size_t i, j;

        html_put(h, "<div class=\"parts\">");
        json_array_foreach (sections, i, part) {
                html_put(h, "<section><h2>{}</h2><dl>", fact_text(part, "title"));
                json_array_foreach (json_object_get(part, "rows"), j, row)
                        html_put(h, "<dt>{}<dd>{}", fact_text(row, "label"), fact_text(row, "text"));
                html_put(h, "</dl></section>");
        }
        html_put(h, "</div>");
        json_decref(sections);
}

void web_page_now(struct html *h, const json_t *status, const json_t *counts)
{
        const json_t *report = json_object_get(counts, "report");
        const long long now = fact_number(counts, "now", 0);
        json_auto_t *findings = health_findings(status);
        char when[32];

        fact_time(now, when, sizeof(when));
        html_put(h, "<p class=\"asof\">As of <time>{}</time></p>", when);
        put_state(h, finding_state(findings), "No sign-in can succeed here", "Some sign-ins fail");
        put_findings(h, NULL, findings, fact_number(status, "now", 0));
        put_chart(h, "Sign-ins a minute, last hour", now - now % WEB_MINUTE_S - WEB_HOUR_S + WEB_MINUTE_S, WEB_MINUTE_S,
                  WEB_HOUR_S / WEB_MINUTE_S, report);
        html_put(h, "<div class=\"pair\">");
        put_reasons(h, report);
        put_latency(h, report);
        html_put(h, "</div>");
        put_parts(h, status);
}

/* ---- a search and its stories ---- */

void web_page_form(struct html *h, const char *what, const char *when, bool everywhere)
{
        html_put(h,
                 "<form method=\"post\" action=\"/search\" class=\"search\" role=\"search\">"
                 "<p><label for=\"what\">{}</label>"
                 "<input id=\"what\" name=\"what\" value=\"{}\" maxlength=\"256\" autocomplete=\"off\" "
                 "spellcheck=\"false\">"
                 "<p><label for=\"when\">About when (optional)</label>"
                 "<input id=\"when\" name=\"when\" type=\"datetime-local\" value=\"{}\">"
                 "<p><button>Search</button></form>",
                 everywhere ? "User name in full (user@domain, DOMAIN\\user, the SID), or the whole reference"
                            : "User name, or the reference that the user was shown",
                 what, when);
}

struct label {
        const char *key, *text;
};

static const struct label labels[] = {{"result", "Result"},       {"meaning", "Meaning"},   {"remedy", "To do"},
                                      {"user_saw", "User saw"},   {"attempt", "Attempt"},   {"when", "When"},
                                      {"user", "User"},           {"user_note", "Note"},    {"account", "Account"},
                                      {"connector", "Connector"}, {"service", "Service"},   {"from", "From"},
                                      {"lockout", "Lockout"},     {"password", "Password"}, {"codes", "Codes"},
                                      {"detail", "Detail"},       {"id", "Reference"}};
#define N_LABELS (sizeof(labels) / sizeof(labels[0]))

/* Where a name is looked up in the directory; in a body, so that no address holds it. */
static void put_account_form(struct html *h, const char *user)
{
        html_put(h,
                 "<form method=\"post\" action=\"/account\"><input type=\"hidden\" name=\"what\" value=\"{}\">"
                 "<button>What the directory says of this account</button></form>",
                 user);
}

/* others: the user's, where they are known. */
static void put_story(struct html *h, const json_t *record, const json_t *others, bool account)
{
        json_t *told = explain_story(record, others, -1, NULL), *hop, *seen;
        size_t i;

        html_put(h, "<article class=\"story {}\"><dl>", fact_text(record, "verdict"));
        for (i = 0; i < N_LABELS; i++)
                if (fact_text(told, labels[i].key)[0])
                        html_put(h, "<dt>{}<dd>{}", labels[i].text, fact_text(told, labels[i].key));
        json_array_foreach (json_object_get(told, "seen"), i, seen)
                html_put(h, "<dt>{}<dd>{}", i ? "" : "Seen", json_string_value(seen));
        html_put(h, "</dl><h2>Hop by hop</h2><ol class=\"hops\">");
        json_array_foreach (json_object_get(told, "hops"), i, hop)
                if (json_object_get(hop, "ms"))
                        html_put(h, "<li><span>+{d} ms</span> {}", fact_number(hop, "ms", 0), fact_text(hop, "text"));
                else
                        html_put(h, "<li>{}", fact_text(hop, "text"));
        html_put(h,
                 "</ol><details><summary>For the ticket</summary><pre tabindex=\"0\">{}</pre>"
                 "<button type=\"button\" class=\"copy\" hidden>Copy</button></details>",
                 fact_text(told, "ticket"));
        if (account && fact_text(record, "user")[0])
                put_account_form(h, fact_text(record, "user"));
        html_put(h, "</article>");
        json_decref(told);
}

static void put_list(struct html *h, const json_t *list, size_t from)
{
        const bool everywhere = fact_text(json_array_get(list, 0), "connector")[0] != '\0';
        char when[32];

        html_put(h, "<table><thead><tr><th scope=\"col\">When<th scope=\"col\">User<th scope=\"col\">Result<th "
                    "scope=\"col\">Domain controller");
        html_put(h, everywhere ? "<th scope=\"col\">Connector" : "");
        html_put(h, "<th scope=\"col\">Reference</tr></thead><tbody>");
        for (size_t i = from; i < json_array_size(list); i++) {
                const json_t *r = json_array_get(list, i);
                const char *declined = fact_text(r, "declined");

                fact_time(fact_number(r, "wall", 0), when, sizeof(when));
                html_put(h, "<tr class=\"{}\"><td>{}<td>{}<td>{}: {}<td>{}", fact_text(r, "verdict"), when,
                         fact_user(r), declined[0] ? "declined" : fact_text(r, "verdict"),
                         declined[0] ? declined : fact_text(r, "reason"), fact_text(r, "dc"));
                if (everywhere)
                        html_put(h, "<td>{}", fact_text(r, "connector"));
                html_put(h, "<td><a href=\"/sign-in/{}\">{}</a></tr>", fact_text(r, "id"), fact_text(r, "id"));
        }
        html_put(h, "</tbody></table>");
}

static void put_sentences(struct html *h, const char *heading, json_t *texts)
{
        const json_t *text;
        size_t i;

        if (json_array_size(texts))
                html_put(h, "<section><h2>{}</h2><ul>", heading);
        json_array_foreach (texts, i, text)
                html_put(h, "<li>{}", json_string_value(text));
        if (json_array_size(texts))
                html_put(h, "</ul></section>");
        json_decref(texts);
}

static void put_absence(struct html *h, const struct web_found *f)
{
        const bool everywhere = json_object_get(f->answer, "everywhere") != NULL;

        html_put(
                h,
                "<p class=\"state stopped\" role=\"status\">Nothing is known of {} {}.</p><p>{} What no connector had, "
                "the relay knows: <code>postern tenant trace</code> on the tenant admin's machine.</p>",
                f->what[0] ? f->what : "that time", everywhere ? "where an answer came from" : "at this connector",
                everywhere ? "Only the exact reference, user@domain, DOMAIN\\user or SID is looked for, within the "
                             "domains that the roster gives this page."
                           : "If the tenant has several connectors, ask the others, too.");
        put_sentences(h, "How far back the records go", connectors_reach(f->answer));
        if (f->account && f->what[0])
                put_account_form(h, f->what);
}

void web_page_found(struct html *h, const struct web_found *f)
{
        const json_t *list = json_object_get(f->answer, "records");
        const size_t n = json_array_size(list);
        const char *found_by = f->listed ? "" : fact_text(f->answer, "found_by");

        if (!n) {
                put_absence(h, f);
        } else if (strcmp(found_by, "id") == 0) {
                for (size_t i = 0; i < n; i++)
                        put_story(h, json_array_get(list, i), i ? NULL : f->others, f->account);
        } else if (strcmp(found_by, "user") == 0) {
                html_put(h, "<h2>The latest sign-in</h2>");
                put_story(h, json_array_get(list, 0), f->others, f->account);
                if (n > 1) {
                        html_put(h, "<h2>Before that</h2>");
                        put_list(h, list, 1);
                }
        } else {
                put_list(h, list, 0);
                if (json_is_true(json_object_get(f->answer, "cut")))
                        html_put(h, "<p>These are the newest {d} of that time. For a user's give the name as well.</p>",
                                 (long long)n);
        }
        put_sentences(h, "Whose answer is missing", connectors_missing(f->answer));
}

/* ---- all connectors ---- */

void web_page_connectors(struct html *h, const json_t *answer)
{
        const long long now = fact_number(answer, "now", 0);
        json_auto_t *told = connectors_told(answer);
        const json_t *c, *row;
        char when[32];
        size_t i, j;

        fact_time(now, when, sizeof(when));
        html_put(h, "<p class=\"asof\">As of <time>{}</time></p>", when);
        put_state(h, connectors_state(told), "No connector takes sign-ins",
                  "Sign-ins succeed, but not at every connector");
        put_sentences(h, "Whose answer is missing", connectors_missing(answer));
        json_array_foreach (told, i, c)
                put_findings(h, fact_text(c, "name"), json_object_get(c, "findings"), now);
        html_put(h, "<div class=\"parts\">");
        json_array_foreach (told, i, c) {
                html_put(h, "<section><h2>{} <span class=\"state {}\">{}</span></h2><dl>", fact_text(c, "name"),
                         json_is_true(json_object_get(c, "well")) ? "well" : "stopped", fact_text(c, "state"));
                json_array_foreach (json_object_get(c, "rows"), j, row)
                        html_put(h, "<dt>{}<dd>{}", fact_text(row, "label"), fact_text(row, "text"));
                html_put(h, "</dl></section>");
        }
        html_put(h, "</div>");
}

/* ---- an account ---- */

static void put_counters(struct html *h, const json_t *rows)
{
        const json_t *row;
        size_t i;

        html_put(
                h,
                "<section><h2>What domain controllers counted</h2><table><thead><tr><th scope=\"col\">Domain controller"
                "<th scope=\"col\">Role<th scope=\"col\">Bad attempts<th scope=\"col\">The latest<th "
                "scope=\"col\">Locked "
                "since<th scope=\"col\">Password set</tr></thead><tbody>");
        json_array_foreach (rows, i, row) {
                json_auto_t *told = account_counters(row);

                html_put(h, "<tr><th scope=\"row\">{}<td>{}", fact_text(told, "dc"), fact_text(told, "role"));
                if (fact_text(told, "error")[0])
                        html_put(h, "<td colspan=\"4\">{}</tr>", fact_text(told, "error"));
                else
                        html_put(h, "<td>{}<td>{}<td>{}<td>{}</tr>", fact_text(told, "bad"),
                                 fact_text(told, "last_bad"), fact_text(told, "locked"), fact_text(told, "set"));
        }
        html_put(h, "</tbody></table></section>");
}

void web_page_account(struct html *h, const char *what, const json_t *answer, const json_t *failed, long long now)
{
        json_auto_t *facts = account_facts(answer), *findings = account_findings(answer, failed, now);
        const json_t *row;
        bool stops = false;
        size_t i;

        json_array_foreach (findings, i, row)
                stops |= json_is_true(json_object_get(row, "stops"));
        html_put(h, "<p class=\"state {}\" role=\"status\">{}: {}</p>", stops ? "stopped" : "well", what,
                 stops ? "something stands in the way of a sign-in"
                       : "nothing in the account stands in the way of a sign-in with the right password");
        if (json_array_size(findings))
                html_put(h, "<ul class=\"findings\">");
        json_array_foreach (findings, i, row)
                html_put(h, "<li class=\"{}\"><strong>{}</strong><p>{}</p><p class=\"code\">{}</p>",
                         json_is_true(json_object_get(row, "stops")) ? "stops" : "warns", fact_text(row, "text"),
                         fact_text(row, "remedy"), fact_text(row, "code"));
        if (json_array_size(findings))
                html_put(h, "</ul>");
        html_put(h, "<article class=\"story\"><dl>");
        json_array_foreach (facts, i, row)
                html_put(h, "<dt>{}<dd>{}", fact_text(row, "label"), fact_text(row, "text"));
        html_put(h, "</dl></article>");
        if (json_array_size(json_object_get(answer, "dcs")))
                put_counters(h, json_object_get(answer, "dcs"));
}

/* ---- a day ---- */

/* Midnight of the day so many days from this one; a day may have 23 or 25 hours. */
static void day_text(long long midnight, int days, char out[16])
{
        const time_t t = (time_t)(midnight + (long long)days * WEB_DAY_S + WEB_DAY_S / 2);
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
                out[0] = '\0';
}

void web_page_day(struct html *h, long long midnight, long long until, const json_t *counts)
{
        const json_t *report = json_object_get(counts, "report"), *users = json_object_get(report, "users"), *row;
        char before[16], after[16];
        size_t i;

        day_text(midnight, -1, before);
        day_text(midnight, 1, after);
        html_put(
                h,
                "<p class=\"days\"><a href=\"/day/{}\" rel=\"prev\">{}</a> <a href=\"/day/{}\" rel=\"next\">{}</a></p>",
                before, before, after, after);
        put_chart(h, "Sign-ins by quarter of an hour", midnight, WEB_QUARTER_S,
                  (size_t)(until - midnight) / WEB_QUARTER_S, report);
        html_put(h, "<div class=\"pair\">");
        put_reasons(h, report);
        put_latency(h, report);
        html_put(h, "</div>");
        if (!users)
                return;
        html_put(h, "<section><h2>Names refused most</h2><table><thead><tr><th scope=\"col\">Name<th "
                    "scope=\"col\">Locked out"
                    "<th scope=\"col\">Wrong password<th scope=\"col\">Refused in all</tr></thead><tbody>");
        json_array_foreach (users, i, row)
                if (i < NAMES_MAX)
                        html_put(h, "<tr><th scope=\"row\">{}<td>{d}<td>{d}<td>{d}</tr>", fact_text(row, "user"),
                                 fact_number(row, "locked", 0), fact_number(row, "wrong", 0), fact_number(row, "n", 0));
        html_put(h, "</tbody></table></section>");
}
