/*
 * Announcing the identity key, so that the tenant's administrator can approve it: PUT until the relay says
 * that it is in the roster.
 *
 * What the relay answers decides nothing here but whether to ask again and what `postern status` shows.
 */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/link/internal.h"

#define URL_MAX 600
#define BODY_MAX 8192
#define ANNOUNCE_TIMEOUT 10000

enum { TOLD_PENDING = 0, TOLD_IN_ROSTER, TOLD_REFUSED };

static void tell(struct link *l, int what, const char *detail)
{
        if (l->told_identity == what)
                return;
        l->told_identity = what;
        l->cb->on_identity(l->arg, what == TOLD_IN_ROSTER, detail);
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct link *l = arg;
        struct error err;

        (void)answer;
        l->announce = NULL;
        l->in_roster = status == 200;
        if (status == 200) {
                tell(l, TOLD_IN_ROSTER, "in the roster");
                return;
        }
        if (!loop_timer_armed(l->identity_timer))
                loop_timer_in(l->identity_timer, loop_jitter(IDENTITY_EVERY * 8 / 10, IDENTITY_EVERY * 12 / 10));
        if (status == 202) {
                tell(l, TOLD_PENDING, "waits for approval by the tenant's administrator");
        } else if (status != 0) {
                error_fail(&err, 0, "the relay answered the announcement of the identity with status %ld", status);
                tell(l, TOLD_REFUSED, err.text);
        } else {
                log_debug("link.identity_not_announced", KV_S("why", why));
        }
}

void link_identity_on_timer(void *arg)
{
        struct link *l = arg;
        _cleanup_(buffer_free) struct buffer body = BUFFER(BODY_MAX), url = BUFFER(URL_MAX);
        struct https_request request = {
                .method = "PUT", .content_type = "application/json", .timeout_ms = ANNOUNCE_TIMEOUT, .max_body = 16384};
        const struct https_handlers handlers = {.on_done = on_done, .arg = l};
        struct error err = {""};
        int r;

        if (l->announce || !l->state.identity || l->phase == LINK_IDLE || l->phase == LINK_STOPPED)
                return;
        /* Both texts were checked by link_set_state: an object, and base64url with dots. */
        r = buffer_printf(&body, "{\"jwk\":%s,\"proof\":\"%s\"}", l->state.identity, l->state.proof);
        r = r < 0 ? r : buffer_printf(&url, "%s/v1/link/identity", l->relay);
        request.url = url.data;
        request.body = body.data;
        request.body_len = body.len;
        r = r < 0 ? error_fail(&err, r, "the identity is too long")
                  : https_start(l->https, &l->announce, &request, &handlers, &err);
        if (r < 0) {
                log_debug("link.identity_not_announced", KV_S("why", err.text));
                loop_timer_in(l->identity_timer, IDENTITY_EVERY);
        }
}

void link_identity_announce(struct link *l)
{
        loop_timer_in(l->identity_timer, 0);
}
