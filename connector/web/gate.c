/*
 * Who is let in to the page, and what each answer carries.
 *
 * Invariants: a page with content is answered to nobody whose role is not known. A request under a name that is not the
 * page's is refused (another site's name pointed at this address), and so is a form that another site sent.
 */
#include "connector/web/gate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "connector/web/page.h"

/* ---- answers ---- */

void web_gate_headers(struct http_req *r)
{
        static const char *const headers[][2] = {
                {"Content-Security-Policy",
                 "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
                 "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
                {"X-Frame-Options", "DENY"},
                {"X-Content-Type-Options", "nosniff"},
                {"Referrer-Policy", "no-referrer"},
                {"Cross-Origin-Opener-Policy", "same-origin"},
                {"Cross-Origin-Resource-Policy", "same-origin"},
                {"Cache-Control", "no-store"}};

        for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
                http_add_header(r, headers[i][0], headers[i][1]);
}

void web_gate_reply(struct http_req *r, int status, struct html *h)
{
        if (h->code < 0) {
                http_fail(r, PROBLEM_INTERNAL, "the page is too long, or memory is short");
        } else {
                web_gate_headers(r);
                http_reply(r, status, "text/html; charset=utf-8", h->out.data, h->out.len);
        }
        buffer_free(&h->out);
}

void web_gate_fault(const struct web_front *f, struct http_req *r, int status, const char *why)
{
        struct html h = HTML(WEB_PAGE_MAX);

        web_page_begin(&h, &(struct web_frame){.title = f->web->config->title, .here = "", .heading = "Not shown"});
        web_page_fault(&h, why);
        web_page_end(&h);
        web_gate_reply(r, status, &h);
}

void web_gate_send_to(struct http_req *r, const char *path)
{
        web_gate_headers(r);
        http_add_header(r, "Location", path);
        http_reply(r, 303, NULL, NULL, 0);
}

/* ---- who asks ---- */

static bool is_own_name(const struct web_front *f, const char *host)
{
        if (f->proxied) {
                for (const char *const *own = f->web->config->hosts; *own; own++)
                        if (strcasecmp(*own, host) == 0)
                                return true;
                return false;
        }
        for (size_t i = 0; i < 2; i++)
                if (strcasecmp(f->origin[i] + strlen("http://"), host) == 0)
                        return true;
        return false;
}

/* Of a form: that a page of ours sent it. Browsers tell by either header. */
static bool is_own_form(const struct http_req *r, const char *host)
{
        const char *site = http_header(r, "Sec-Fetch-Site"), *origin = http_header(r, "Origin");
        const char *name = origin ? strstr(origin, "://") : NULL;

        if (site)
                return strcmp(site, "same-origin") == 0;
        return name && strcasecmp(name + 3, host) == 0;
}

/* The session's token among the cookies; "" where there is none. */
void web_gate_cookie(const struct http_req *r, char ret_token[WEB_SECRET_LEN + 1])
{
        const char *at = http_header(r, "Cookie");

        ret_token[0] = '\0';
        while (at && *at) {
                const size_t n = strcspn(at, ";");

                if (n == strlen(WEB_COOKIE) + WEB_SECRET_LEN && strncmp(at, WEB_COOKIE, strlen(WEB_COOKIE)) == 0)
                        (void)snprintf(ret_token, WEB_SECRET_LEN + 1, "%s", at + strlen(WEB_COOKIE));
                at += n;
                at += strspn(at, "; ");
        }
}

/* Refuses what comes under another's name or from another's page; false: it was answered. */
bool web_gate_request(const struct web_front *f, struct http_req *r)
{
        const char *host = http_header(r, "Host");
        uid_t uid = (uid_t)-1;

        if (f->proxied && (http_peer_uid(r, &uid) < 0 || uid != f->web->proxy_uid)) {
                log_warning("web.refused", KV_S("why", "not the reverse proxy"), KV_U("uid", uid));
                web_gate_fault(f, r, 403, "Only the reverse proxy of proxy_user may ask here.");
        } else if (!host || !is_own_name(f, host)) {
                log_warning("web.refused", KV_S("why", "another name"), KV_S("host", host));
                web_gate_fault(f, r, 421,
                               "This page is not reached under that name. An administrator lists its names with "
                               "`host` in web.conf.");
        } else if (http_head(r)->method == HTTP_POST && !is_own_form(r, host)) {
                log_warning("web.refused", KV_S("why", "a form of another site"),
                            KV_S("origin", http_header(r, "Origin")));
                web_gate_fault(f, r, 403, "This form was not sent by a page of this site.");
        } else {
                return true;
        }
        return false;
}

static bool person_of(const struct web_front *f, const struct http_req *r, struct web_person *ret_person)
{
        const struct web_config *c = f->web->config;
        char token[WEB_SECRET_LEN + 1];

        if (!f->proxied) {
                web_gate_cookie(r, token);
                return web_access_find(f->web->access, token, ret_person);
        }
        const char *user = http_header(r, c->user_header), *groups = http_header(r, c->group_header);
        if (!user || !user[0] || strlen(user) >= sizeof(ret_person->name) || !utf8_valid(user, strlen(user)))
                return false;
        (void)snprintf(ret_person->name, sizeof(ret_person->name), "%s", user);
        ret_person->role = web_access_role(groups ? groups : "", c->helpdesk_groups, c->admin_groups);
        return ret_person->role != WEB_NOBODY;
}

/* The person who asks; false: it was answered. */
bool web_gate_admit(const struct web_front *f, struct http_req *r, struct web_person *ret_person)
{
        char why[320];

        if (!web_gate_request(f, r))
                return false;
        if (person_of(f, r, ret_person))
                return true;
        if (!f->proxied) {
                web_gate_send_to(r, "/enter");
        } else {
                (void)snprintf(why, sizeof(why),
                               "You are signed in, but have no role here: an administrator lists your group with "
                               "helpdesk_group or admin_group in web.conf (headers %.64s and %.64s).",
                               f->web->config->user_header, f->web->config->group_header);
                web_gate_fault(f, r, 403, why);
        }
        return false;
}
