/*
 * The pages, made of what the ledger answers. Each function writes one; none of them asks anybody.
 */
#pragma once

#include <jansson.h>

#include "connector/web/access.h"
#include "connector/web/html.h"

#define WEB_HOUR_S 3600
#define WEB_MINUTE_S 60
#define WEB_QUARTER_S 900
#define WEB_DAY_S 86400

/* Around each page: where it is, and for whom. person NULL: nobody is signed in. */
struct web_frame {
        const char *title;   /* of all pages */
        const char *here;    /* the path that the navigation marks; "" for none */
        const char *heading; /* of this page */
        const struct web_person *person;
        bool can_leave;  /* the person came by a link, so there is a session to end */
        bool everywhere; /* the page is of all connectors */
};
void web_page_begin(struct html *h, const struct web_frame *frame);
void web_page_end(struct html *h);

/* What is renewed while one looks: findings, the last hour, domain controllers, the parts. counts answers a
 * report on the last hour in minutes. */
void web_page_now(struct html *h, const json_t *status, const json_t *counts);
/* The same of all connectors, by everywhere_ask's answer to "status". */
void web_page_connectors(struct html *h, const json_t *answer);
/* The form, filled in with what was asked before. */
void web_page_form(struct html *h, const char *what, const char *when, bool everywhere);

struct web_found {
        const char *what;
        const json_t *answer; /* of one ledger, or of all */
        const json_t *others; /* the sign-ins of the user of the one whose story is told (explain_others), or NULL */
        bool account;         /* the directory can be asked about an account */
        bool listed;          /* it was looked for by time: no story is told */
};
/* What was found: one story where it is one sign-in, else a list of links, the newest with its story; and of all
 * connectors who is missing in it. */
void web_page_found(struct html *h, const struct web_found *found);
/* What postern-account answered about a name; failed: the user's latest refused sign-in, or NULL. */
void web_page_account(struct html *h, const char *what, const json_t *answer, const json_t *failed, long long now);
/* A day, from one midnight to before the next; whose sign-ins were refused most is shown where the report tells it. */
void web_page_day(struct html *h, long long midnight, long long until, const json_t *counts);
/* What words mean: of one id, or ("") a table of all. */
void web_page_words(struct html *h, const char *id);
/* Where a code becomes a session; why: what was wrong with the last one, or NULL. */
void web_page_enter(struct html *h, const char *why);
/* A sentence in the place of a page. */
void web_page_fault(struct html *h, const char *why);
