/*
 * The gate of the page: which requests are its own, who asks, and how it answers.
 */
#pragma once

#include "connector/web/html.h"
#include "connector/web/serve.h"

#define WEB_COOKIE "postern="
#define WEB_PAGE_MAX (4 * 1024 * 1024)

/* The headers of every answer: what a browser may do with it. */
void web_gate_headers(struct http_req *r);
/* Answers with the page, which is freed. */
void web_gate_reply(struct http_req *r, int status, struct html *h);
/* Answers with a page of one sentence. */
void web_gate_fault(const struct web_front *f, struct http_req *r, int status, const char *why);
/* Sends the browser on. */
void web_gate_send_to(struct http_req *r, const char *path);
/* The session's token among the cookies; "" where there is none. */
void web_gate_cookie(const struct http_req *r, char ret_token[WEB_SECRET_LEN + 1]);
/* Refuses what comes under another's name or from another's page; false: it was answered. */
bool web_gate_request(const struct web_front *f, struct http_req *r);
/* The person who asks; false: it was answered. */
bool web_gate_admit(const struct web_front *f, struct http_req *r, struct web_person *ret_person);
