/*
 * Requests of the page: the routes, and the ledger (or all of them, by postern-asker) and the reader of accounts asked
 * for what is shown.
 *
 * Invariant: what is looked up travels in bodies, never in an address, but for a sign-in's id. Who is let in: gate.c.
 */
#include "connector/web/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/findings/explain.h"
#include "connector/findings/facts.h"
#include "connector/web/ask.h"
#include "connector/web/assets.h"
#include "connector/web/form.h"
#include "connector/web/gate.h"
#include "connector/web/page.h"

#define ASKS_MAX 8 /* of the ledger at once; it takes 16 clients in all */
#define FORM_MAX 4096
#define WHAT_MAX 256
#define AROUND_S 900 /* a time is looked for so much before and after */

/* ---- a visit: a request that waits for the ledger ---- */

#define QUESTIONS_MAX 2
struct visit;
typedef void render_fn(struct html *h, const struct visit *visit);

struct question {
        struct visit *visit;
        struct web_ask *ask; /* NULL: answered */
        json_t *answer;
};

struct visit {
        struct web_front *front;
        struct http_req *r;
        struct web_person person;
        const char *here, *heading;
        bool part; /* of a page: nothing around it */
        render_fn *render;
        struct question questions[QUESTIONS_MAX];
        size_t n, n_open;
        void (*next)(struct visit *v); /* asks more by what was answered, or NULL */
        bool optional;                 /* what is asked now: the page is shown without, too */
        char why[400];                 /* what failed; "" */
        char what[WHAT_MAX + 1], when[32];
        long long midnight, until;
};

static struct visit *visit_free(struct visit *v)
{
        for (size_t i = 0; i < v->n; i++) {
                if (v->questions[i].ask)
                        v->front->web->n_asks--;
                web_ask_free(v->questions[i].ask);
                json_decref(v->questions[i].answer);
        }
        free(v);
        return NULL;
}

static void on_gone(void *arg)
{
        visit_free(arg);
}

static void visit_answer(struct visit *v)
{
        struct html h = HTML(WEB_PAGE_MAX);
        const struct web_frame frame = {.title = v->front->web->config->title,
                                        .here = v->here,
                                        .heading = v->heading,
                                        .person = &v->person,
                                        .everywhere = v->front->web->config->everywhere != NULL,
                                        .can_leave = !v->front->proxied};

        if (!v->part)
                web_page_begin(&h, &frame);
        if (v->why[0])
                web_page_fault(&h, v->why);
        else
                v->render(&h, v);
        if (!v->part)
                web_page_end(&h);
        web_gate_reply(v->r, v->why[0] ? 503 : 200, &h);
        visit_free(v);
}

static void on_answer(void *arg, const json_t *answer, const char *why)
{
        struct question *q = arg;
        struct visit *v = q->visit;

        q->ask = NULL;
        v->front->web->n_asks--;
        if (answer)
                q->answer = json_incref(
                        (json_t *)(uintptr_t)answer); /* jansson counts references of what it may not change */
        else if (!v->optional)
                (void)snprintf(v->why, sizeof(v->why), "%s.", why);
        void (*next)(struct visit *) = --v->n_open == 0 && !v->why[0] ? v->next : NULL;
        v->next = next ? NULL : v->next;
        if (next)
                next(v);
        if (v->n_open == 0)
                visit_answer(v);
}

/* Asks one more question, whose reference it takes. */
static void visit_ask_of(struct visit *v, enum web_asked whom, json_t *request)
{
        const struct web *web = v->front->web;
        const char *const sockets[] = {[WEB_ASKED_LEDGER] = web->config->control,
                                       [WEB_ASKED_READER] = web->config->account,
                                       [WEB_ASKED_EVERYWHERE] = web->config->everywhere};
        const bool told = whom == WEB_ASKED_EVERYWHERE || (whom == WEB_ASKED_LEDGER && web->is_known);
        const char *why = NULL;
        struct question *q = &v->questions[v->n++];

        q->visit = v;
        if (request && told && utf8_valid(v->person.name, strlen(v->person.name)))
                (void)json_object_set_new(request, "person", json_string(v->person.name));
        if (!request)
                why = "What you looked for is not valid text.";
        else if (web->n_asks >= ASKS_MAX)
                why = "Too many look things up at once. Try again.";
        else if (web_ask_new(&q->ask, web->loop, whom, sockets[whom], request, on_answer, q) < 0)
                why = "Memory is short.";
        if (!why) {
                v->front->web->n_asks++;
                v->n_open++;
        } else if (!v->optional) {
                (void)snprintf(v->why, sizeof(v->why), "%s", why);
        }
        json_decref(request);
}

static void visit_ask(struct visit *v, json_t *request)
{
        visit_ask_of(v, v->front->web->config->everywhere ? WEB_ASKED_EVERYWHERE : WEB_ASKED_LEDGER, request);
}

/* A visit of an admitted person, whose questions follow; NULL: it was answered. */
static struct visit *visit_new(struct web_front *f, struct http_req *r, const char *here, const char *heading,
                               render_fn *render)
{
        struct visit *v = calloc(1, sizeof(*v));

        if (!v) {
                http_fail(r, PROBLEM_INTERNAL, "memory is short");
                return NULL;
        }
        *v = (struct visit){.front = f, .r = r, .here = here, .heading = heading, .render = render};
        if (!web_gate_admit(f, r, &v->person))
                return visit_free(v);
        return v;
}

/* Once all questions are asked. */
static void visit_wait(struct visit *v)
{
        if (v->n_open == 0)
                visit_answer(v);
        else
                http_on_close(v->r, on_gone, v);
}

static json_t *report_request(long long since, long long until, long long step)
{
        return json_pack("{s:s, s:I, s:I, s:I}", "do", "report", "since", (json_int_t)since, "until", (json_int_t)until,
                         "step", (json_int_t)step);
}

/* ---- pages ---- */

static void render_now(struct html *h, const struct visit *v)
{
        const bool everywhere = v->front->web->config->everywhere != NULL;

        if (!v->part)
                html_put(h, "<div id=\"live\" data-every=\"{d}\">",
                         (long long)(everywhere ? WEB_EVERY_EVERYWHERE_S : WEB_EVERY_S));
        if (everywhere)
                web_page_connectors(h, v->questions[0].answer);
        else
                web_page_now(h, v->questions[0].answer, v->questions[1].answer);
        if (!v->part)
                html_put(h, "</div>");
}

static void keep_status(struct visit *v)
{
        struct web *web = v->front->web;

        json_decref(web->status);
        web->status = json_incref(v->questions[0].answer);
        web->status_at = loop_now(web->loop);
}

/* "/", and "/now", its part that is renewed. */
static void page_now(void *arg, struct http_req *r)
{
        const struct web_front *f = arg;
        const struct web *web = f->web;
        struct visit *v = visit_new(arg, r, "/", "Now", render_now);
        const long long now = loop_wall(web->loop), since = now - now % WEB_MINUTE_S - WEB_HOUR_S + WEB_MINUTE_S;

        if (!v)
                return;
        v->part = strcmp(http_head(r)->path, "/now") == 0;
        if (web->status &&
            loop_now(web->loop) - web->status_at < WEB_STATUS_MS) { /* as somebody was told just before */
                v->questions[v->n++] = (struct question){.visit = v, .answer = json_incref(web->status)};
        } else {
                v->next = web->config->everywhere ? keep_status : NULL;
                visit_ask(v, json_pack("{s:s}", "do", "status"));
        }
        if (!web->config->everywhere)
                visit_ask(v, report_request(since, now + 1, WEB_MINUTE_S));
        visit_wait(v);
}

static void render_story(struct html *h, const struct visit *v)
{
        const struct web_found found = {
                .what = v->what,
                .answer = v->questions[0].answer,
                .others = v->n > 1 ? json_object_get(v->questions[1].answer, "records") : NULL,
                .account = v->front->web->config->account != NULL,
                .listed = v->when[0] != '\0',
        };

        web_page_found(h, &found);
}

/* For a story: the user's other sign-ins, without which it is told, too. */
static void ask_others(struct visit *v)
{
        const json_t *answer = v->questions[0].answer, *r = json_array_get(json_object_get(answer, "records"), 0);
        const char *found_by = fact_text(answer, "found_by");
        json_t *request = r && found_by[0] && !v->when[0]
                                  ? explain_others(r, strcmp(found_by, "user") == 0 ? v->what : NULL)
                                  : NULL;

        v->optional = true;
        if (request)
                visit_ask(v, request);
}

static void render_search(struct html *h, const struct visit *v)
{
        web_page_form(h, v->what, v->when, v->front->web->config->everywhere != NULL);
        if (v->n)
                render_story(h, v);
}

static void note_search(const struct visit *v)
{
        log_info("web.search", KV_S("person", v->person.name), KV_S("what", v->what), KV_S("when", v->when));
}

/* "2026-11-30T09:02" of local time; -1. */
static long long time_of(const char *text)
{
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, "%Y-%m-%dT%H:%M", &tm);

        return end && (!*end || *end == ':') ? (long long)mktime(&tm) : -1;
}

static json_t *search_request(struct visit *v)
{
        const long long at = v->when[0] ? time_of(v->when) : 0;
        json_t *request;

        if (!v->when[0])
                return json_pack("{s:s, s:s}", "do", "explain", "what", v->what);
        request = json_pack("{s:s, s:I, s:I}", "do", "log", "since", (json_int_t)(at - AROUND_S), "until",
                            (json_int_t)(at + AROUND_S));
        if (v->what[0])
                (void)json_object_set_new(request, "user", json_string(v->what));
        return request;
}

/* The form; posted, what it finds. */
static void page_search(void *arg, struct http_req *r)
{
        struct visit *v = visit_new(arg, r, "/search", "Search", render_search);
        size_t n;

        if (!v)
                return;
        const char *body = http_body(r, &n);
        const int what = form_get(body, n, "what", v->what, sizeof(v->what)),
                  when = form_get(body, n, "when", v->when, sizeof(v->when));
        if ((what < 0 && what != -ENOENT) || (when < 0 && when != -ENOENT) ||
            (v->when[0] && time_of(v->when) < AROUND_S)) {
                web_gate_fault(arg, r, 400,
                               "The form cannot be read: a name has at most 256 bytes of valid text, a time is a "
                               "date and a time of day.");
                visit_free(v);
                return;
        }
        if (v->what[0] || v->when[0]) {
                note_search(v);
                v->next = ask_others;
                visit_ask(v, search_request(v));
        }
        visit_wait(v);
}

static void page_story(void *arg, struct http_req *r)
{
        struct visit *v = visit_new(arg, r, "", "Sign-in", render_story);

        if (!v)
                return;
        (void)snprintf(v->what, sizeof(v->what), "%s", http_part(r, 0));
        note_search(v);
        v->next = ask_others;
        visit_ask(v, search_request(v));
        visit_wait(v);
}

static void render_account(struct html *h, const struct visit *v)
{
        const json_t *records = json_object_get(v->questions[1].answer, "records");

        web_page_account(h, v->what, v->questions[0].answer, json_array_get(records, 0),
                         loop_wall(v->front->web->loop));
}

/* The user's latest refused sign-in is known to the ledger, perhaps. */
static void ask_latest_failure(struct visit *v)
{
        v->optional = true;
        visit_ask(v, json_pack("{s:s, s:s, s:s, s:i}", "do", "log", "user", v->what, "verdict", "refused", "limit", 1));
}

static void page_account(void *arg, struct http_req *r)
{
        struct visit *v = visit_new(arg, r, "/search", "Account", render_account);
        size_t n;

        if (!v)
                return;
        const char *body = http_body(r, &n);
        if (!v->front->web->config->account || form_get(body, n, "what", v->what, sizeof(v->what)) < 0 || !v->what[0]) {
                web_gate_fault(arg, r, 400,
                               v->front->web->config->account
                                       ? "The form cannot be read: a name has 1 to 256 bytes of valid text."
                                       : "This page may not ask the directory: `account` is not set in web.conf.");
                visit_free(v);
                return;
        }
        log_info("web.account", KV_S("person", v->person.name), KV_S("what", v->what));
        v->next = ask_latest_failure;
        visit_ask_of(v, WEB_ASKED_READER, json_pack("{s:s, s:b}", "user", v->what, "all_dcs", 0));
        visit_wait(v);
}

static void render_day(struct html *h, const struct visit *v)
{
        web_page_day(h, v->midnight, v->until, v->questions[0].answer);
}

/* Today, or "/day/2026-11-30". */
static void page_day(void *arg, struct http_req *r)
{
        const struct web_front *f = arg;
        struct visit *v = visit_new(arg, r, "/day", "History", render_day);
        const time_t now = (time_t)loop_wall(f->web->loop);
        struct tm tm;

        if (!v)
                return;
        (void)localtime_r(&now, &tm);
        if (f->web->config->everywhere) {
                web_gate_fault(
                        f, r, 404,
                        "A day's history is one connector's: open the page of a connector's host. This page asks "
                        "all connectors, for how they are and for the sign-ins of a user.");
                visit_free(v);
                return;
        }
        const char *end = strcmp(http_head(r)->path, "/day") == 0 ? "" : strptime(http_part(r, 0), "%Y-%m-%d", &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        v->midnight = end && !*end ? (long long)mktime(&tm) : -1;
        if (v->midnight < 0 || strftime(v->when, sizeof(v->when), "%Y-%m-%d", &tm) == 0) {
                web_gate_fault(f, r, 404, "There is no such day. A day is written like 2026-11-30.");
                visit_free(v);
                return;
        }
        v->heading = v->when;
        tm.tm_mday++;
        tm.tm_isdst = -1;
        v->until = (long long)mktime(&tm); /* after 23 hours, or 25, where clocks change */
        json_t *request = report_request(v->midnight, v->until, WEB_QUARTER_S);
        if (v->person.role == WEB_ADMIN && f->web->is_known)
                (void)json_object_set_new(request, "users", json_true());
        visit_ask(v, request);
        visit_wait(v);
}

/* ---- words ---- */

static void render_words(struct html *h, const struct visit *v)
{
        web_page_words(h, v->what);
}

/* All, or one of them. */
static void page_words(void *arg, struct http_req *r)
{
        const bool all = strcmp(http_head(r)->path, "/words") == 0;
        struct visit *v = visit_new(arg, r, all ? "/words" : "", "Words", render_words);

        if (!v)
                return;
        (void)snprintf(v->what, sizeof(v->what), "%s", all ? "" : http_part(r, 0));
        visit_wait(v);
}

/* ---- the way in by a code ---- */

static void show_enter(struct web_front *f, struct http_req *r, int status, const char *why)
{
        struct html h = HTML(WEB_PAGE_MAX);

        web_page_begin(&h, &(struct web_frame){.title = f->web->config->title, .here = "", .heading = "Enter"});
        web_page_enter(&h, why);
        web_page_end(&h);
        web_gate_reply(r, status, &h);
}

static void page_enter(void *arg, struct http_req *r)
{
        const struct web_front *f = arg;

        if (!web_gate_request(f, r))
                return;
        if (f->proxied)
                web_gate_send_to(r, "/");
        else
                show_enter(arg, r, 200, NULL);
}

static void set_cookie(struct http_req *r, const char *token, int seconds)
{
        char cookie[160];

        (void)snprintf(cookie, sizeof(cookie), WEB_COOKIE "%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d", token,
                       seconds);
        http_add_header(r, "Set-Cookie", cookie);
}

static void take_code(void *arg, struct http_req *r)
{
        struct web_front *f = arg;
        char code[WEB_SECRET_LEN + 1] = "", token[WEB_SECRET_LEN + 1];
        size_t n;

        if (!web_gate_request(f, r))
                return;
        const char *body = http_body(r, &n);
        if (f->proxied || form_get(body, n, "code", code, sizeof(code)) < 0 ||
            web_access_enter(f->web->access, code, token) < 0) {
                show_enter(f, r, 403,
                           "This code is unknown, or was used, or is older than a minute. Run postern page again.");
                return;
        }
        log_info("web.entered", KV_S("peer", http_peer(r)));
        set_cookie(r, token, WEB_LIFE_MS / 1000);
        web_gate_send_to(r, "/");
}

static void take_leave(void *arg, struct http_req *r)
{
        struct web_front *f = arg;
        char token[WEB_SECRET_LEN + 1];

        if (!web_gate_request(f, r))
                return;
        web_gate_cookie(r, token);
        web_access_leave(f->web->access, token);
        set_cookie(r, "", 0);
        web_gate_send_to(r, "/enter");
}

/* ---- what pages are made with ---- */

static void page_asset(void *arg, struct http_req *r)
{
        static const struct {
                const char *path, *type;
                const struct web_asset *asset;
        } assets[] = {{"/style.css", "text/css; charset=utf-8", &web_style_css},
                      {"/page.js", "text/javascript; charset=utf-8", &web_page_js},
                      {"/icon.svg", "image/svg+xml", &web_icon_svg}};
        size_t i = 0;

        if (!web_gate_request(arg, r))
                return;
        while (i < sizeof(assets) / sizeof(assets[0]) - 1 && strcmp(assets[i].path, http_head(r)->path) != 0)
                i++;
        web_gate_headers(r);
        http_reply(r, 200, assets[i].type, assets[i].asset->bytes, assets[i].asset->n);
}

static const struct http_route routes[] = {
        {HTTP_GET, "/", page_now, 0},
        {HTTP_GET, "/now", page_now, 0},
        {HTTP_GET, "/search", page_search, 0},
        {HTTP_POST, "/search", page_search, FORM_MAX},
        {HTTP_GET, "/sign-in/{}", page_story, 0},
        {HTTP_POST, "/account", page_account, FORM_MAX},
        {HTTP_GET, "/day", page_day, 0},
        {HTTP_GET, "/day/{}", page_day, 0},
        {HTTP_GET, "/words", page_words, 0},
        {HTTP_GET, "/words/{}", page_words, 0},
        {HTTP_GET, "/enter", page_enter, 0},
        {HTTP_POST, "/enter", take_code, FORM_MAX},
        {HTTP_POST, "/leave", take_leave, FORM_MAX},
        {HTTP_GET, "/style.css", page_asset, 0},
        {HTTP_GET, "/page.js", page_asset, 0},
        {HTTP_GET, "/icon.svg", page_asset, 0},
};

/* ---- the servers ---- */

static int front_new(struct web *web, struct web_front *f, bool proxied, struct error *err)
{
        const struct http_config config = {.loop = web->loop,
                                           .routes = routes,
                                           .n_routes = sizeof(routes) / sizeof(routes[0]),
                                           .arg = f,
                                           .limits = HTTP_LIMITS};

        *f = (struct web_front){.web = web, .proxied = proxied};
        return http_new(&f->http, &config, err);
}

int web_serve_new(struct web *web, struct error *err)
{
        int r = web_access_new(&web->access, web->loop) < 0 ? error_fail(err, -ENOMEM, "no memory") : 0;

        if (r == 0 && web->config->listen)
                r = front_new(web, &web->direct, false, err);
        if (r == 0 && web->config->socket)
                r = front_new(web, &web->proxy, true, err);
        if (r < 0)
                web_serve_free(web);
        return r;
}

void web_serve_free(struct web *web)
{
        web->direct.http = http_free(web->direct.http);
        web->proxy.http = http_free(web->proxy.http);
        web->access = web_access_free(web->access);
        json_decref(web->status);
        web->status = NULL;
}

void web_serve_at(struct web *web, const char *host, uint16_t port)
{
        (void)snprintf(web->direct.origin[0], sizeof(web->direct.origin[0]), "http://%.60s:%u", host, port);
        (void)snprintf(web->direct.origin[1], sizeof(web->direct.origin[1]), "http://localhost:%u", port);
}
