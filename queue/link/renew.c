/*
 * The renewal of the transport certificate, over the link's own connections.
 *
 * What becomes of the certificate, and when one is due, is the link process's matter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "queue/link/internal.h"

#define ANSWER_MAX (64 * 1024)
#define TIMEOUT_MS 20000
#define WORDS_MAX 200
#define AGAIN_DEFAULT_S 60
#define AGAIN_MAX_S 3600

struct link_renewal {
        struct link *link;
        struct https_call *call;
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1];
        struct key *key;
        link_renewed_fn *fn;
        void *arg;
};

void link_renewal_clear(struct link *l)
{
        struct link_renewal *renewal = l->renewal;

        l->renewal = NULL;
        if (!renewal)
                return;
        https_cancel(renewal->call);
        key_free(renewal->key);
        free(renewal);
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct link_renewal *renewal = arg;
        struct link_renewal was = *renewal;
        _cleanup_(buffer_free) struct buffer chain = BUFFER(0);
        struct error err = {""};
        const struct est_asker asker = {was.tenant, was.id, was.key};
        const char *body = answer->data ? answer->data : "";
        char retry_after[32];
        uint64_t again_s = 0;
        int r = -EIO;

        if (status == 202) { /* RFC 7030 4.2.3; a default where it is a date or absent */
                https_header(was.call, "Retry-After", retry_after, sizeof(retry_after));
                if (text_parse_u64(retry_after, 1, AGAIN_MAX_S, &again_s) < 0)
                        again_s = AGAIN_DEFAULT_S;
        }
        if (status == 200)
                r = est_read_chain(&asker, body, answer->len, &chain, &err);
        else if (status)
                error_fail(&err, 0, "the relay answers %ld: %.*s", status,
                           (int)(answer->len < WORDS_MAX ? answer->len : WORDS_MAX), body);
        else
                error_fail(&err, 0, "%s", why);
        was.link->renewal = NULL;
        free(renewal);
        was.fn(was.arg, r == 0 ? &chain : NULL, (uint32_t)again_s, err.text);
        key_free(was.key);
}

int link_reenroll(struct link *l, const struct est_asker *asker, link_renewed_fn *fn, void *arg, struct error *err)
{
        _cleanup_(buffer_free) struct buffer url = BUFFER(1024), body = BUFFER(EST_REQUEST_MAX);
        struct https_request request = {.method = "POST",
                                        .content_type = "application/pkcs10",
                                        .accept = "application/pkcs7-mime",
                                        .timeout_ms = TIMEOUT_MS,
                                        .max_body = ANSWER_MAX};
        struct https_handlers handlers = {.on_done = on_done};
        struct link_renewal *renewal;
        int r;

        if (l->renewal)
                return error_fail(err, -EBUSY, "a certificate is asked for already");
        r = est_make_request(asker, l->relay, "simplereenroll", &url, &body, err);
        if (r < 0)
                return r;
        renewal = calloc(1, sizeof(*renewal));
        if (!renewal)
                return error_fail(err, -ENOMEM, "out of memory");
        *renewal = (struct link_renewal){.link = l, .key = key_ref(asker->key), .fn = fn, .arg = arg};
        memcpy(renewal->tenant, asker->tenant, strnlen(asker->tenant, TENANT_MAX));
        memcpy(renewal->id, asker->id, strnlen(asker->id, ID_MAX));
        l->renewal = renewal;
        request.url = url.data;
        request.body = body.data;
        request.body_len = body.len;
        handlers.arg = renewal;
        r = https_start(l->https, &renewal->call, &request, &handlers, err);
        if (r < 0) {
                renewal->call = NULL;
                link_renewal_clear(l);
        }
        return r;
}
