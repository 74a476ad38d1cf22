/*
 * EST client: enrolment with a one-time token, renewal over mTLS.
 *
 * Invariant: a chain is handed out only if its first certificate carries the key that asked and names the
 * tenant and id that were asked for. The relay's transport CA proves nothing end to end; the tenant key does
 * (roster.h). Writes no files: the caller stores key and chain together.
 */
#include "certs/enrol/est.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/trust/roster.h"
#include "base/core/text.h"

#define CSR_MAX 4096
#define CHAIN_MAX (64 * 1024)
#define ANSWER_MAX (256 * 1024)
#define RETRY_DEFAULT 60
#define PKCS7_TYPE "application/pkcs7-mime"

static const char *const accept_pkcs7[] = {"Accept: " PKCS7_TYPE, NULL};

void est_answer_clear(struct est_answer *answer)
{
        buffer_free(&answer->chain);
        *answer = (struct est_answer){.chain = BUFFER(0)};
}

/* RFC 7030 section 4.2.3: certs-only, where a type is named at all. */
static bool is_pkcs7(const char *type)
{
        const char *smime = strcasestr(type, "smime-type=");

        if (strncasecmp(type, PKCS7_TYPE, sizeof(PKCS7_TYPE) - 1) != 0 || !strchr("; \t", type[sizeof(PKCS7_TYPE) - 1]))
                return false;
        return !smime || strncasecmp(smime + strlen("smime-type="), "certs-only", 10) == 0 ||
               strncasecmp(smime + strlen("smime-type="), "\"certs-only\"", 12) == 0;
}

/* Every status that is not an answer. The server's own words are text for a human, cut and cleaned by
 * error_fail. */
static int refused(const struct https_response *response, bool renewal, struct error *err)
{
        const char *words = response->body.len > 0 && strncasecmp(response->content_type, "text/plain", 10) == 0
                                    ? response->body.data
                                    : "no reason given";

        if (renewal && (response->status == 401 || response->status == 403))
                return error_fail(err, -EACCES,
                                  "renewal: the relay does not accept this connector's transport certificate (%.200s); "
                                  "get another one with: postern enroll --again --token-file FILE",
                                  words);
        if (response->status == 401 || response->status == 403)
                return error_fail(err, -EACCES, "enrolment: the relay does not accept the token: %.300s", words);
        if (response->status == 400)
                return error_fail(err, -EINVAL, "enrolment: the relay refuses the request: %.200s", words);
        if (response->status == 404)
                return error_fail(err, -EINVAL,
                                  "enrolment: the relay knows no such tenant; check --relay and --tenant");
        return error_fail(err, -EIO, "enrolment: the relay answers %ld: %.200s", response->status, words);
}

/* Puts the certificate that carries the key first, the others behind it in their order. */
static int order_chain(const struct buffer *pem, const struct key *key, struct buffer *chain)
{
        static const char end_mark[] = "-----END CERTIFICATE-----\n";
        _cleanup_(buffer_free) struct buffer others = BUFFER(CHAIN_MAX);
        const char *at = pem->data;
        int r = 0;

        while (r == 0 && at && *at) {
                const char *end = strstr(at, end_mark);
                const size_t n = end ? (size_t)(end - at) + sizeof(end_mark) - 1 : strlen(at);
                const bool ours = chain->len == 0 && csr_cert_matches(at, n, key, NULL) == 0;

                r = buffer_append(ours ? chain : &others, at, n);
                at += n;
        }
        if (r == 0 && chain->len == 0)
                return -EKEYREJECTED;
        return r < 0 ? r : buffer_append(chain, others.data, others.len);
}

int est_read_chain(const struct est_asker *asker, const char *answer, size_t n, struct buffer *ret_chain,
                   struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(CHAIN_MAX), chain = BUFFER(CHAIN_MAX);
        int r = csr_certs_from_pkcs7(answer, n, &pem, err);

        if (r < 0)
                return error_prefix(err, r, "enrolment");
        if ((r = order_chain(&pem, asker->key, &chain)) == -EKEYREJECTED)
                return error_fail(err, -EBADMSG, "enrolment: the relay's certificate is for another key");
        if (r < 0)
                return error_fail(err, r, "enrolment: the relay's answer is too long");
        if ((r = csr_cert_is_for(chain.data, chain.len, asker->tenant, asker->id, err)) < 0)
                return error_prefix(err, r, "enrolment");
        *ret_chain = chain;
        chain = BUFFER(0);
        return 0;
}

int est_make_request(const struct est_asker *asker, const char *base, const char *operation, struct buffer *url,
                     struct buffer *body, struct error *err)
{
        _cleanup_(buffer_free) struct buffer der = BUFFER(CSR_MAX);
        size_t end = strlen(base);
        int r;

        while (end > 0 && base[end - 1] == '/')
                end--;
        if (!tenant_valid(asker->tenant))
                return error_fail(err, -EINVAL, "enrolment: %.64s is not a tenant's name", asker->tenant);
        if (buffer_append(url, base, end) < 0 ||
            buffer_printf(url, "/.well-known/est/%s/%s", asker->tenant, operation) < 0)
                return error_fail(err, -EINVAL, "enrolment: the relay's URL is too long");
        if ((r = csr_make(asker->key, asker->tenant, asker->id, &der, err)) < 0)
                return r;
        const size_t n = (der.len + 2) / 3 * 4;
        if ((r = buffer_reserve(body, n)) < 0)
                return error_fail(err, r, "enrolment: the certificate request is too long");
        EVP_EncodeBlock((unsigned char *)body->data + body->len, (const unsigned char *)der.data, (int)der.len);
        body->len += n;
        return 0;
}

/* A request for a certificate: request holds the credentials, the rest is filled in here. */
static int ask(struct https *https, const char *base, const char *operation, struct https_request *request,
               const struct est_asker *asked, struct est_answer *ret_answer, struct error *err)
{
        _cleanup_(buffer_free) struct buffer url = BUFFER(1024), body = BUFFER(EST_REQUEST_MAX);
        _cleanup_(https_response_clear) struct https_response response = {.body = BUFFER(0)};
        int r = est_make_request(asked, base, operation, &url, &body, err);

        if (r < 0)
                return r;
        request->method = "POST";
        request->url = url.data;
        request->content_type = "application/pkcs10";
        request->body = body.data;
        request->body_len = body.len;
        request->headers = accept_pkcs7;
        request->max_body = ANSWER_MAX;
        if ((r = https_do(https, request, &response, err)) < 0)
                return r;
        if (response.status == 200) {
                struct buffer chain;

                if (!is_pkcs7(response.content_type))
                        return error_fail(err, -EBADMSG, "enrolment: the relay's answer is not " PKCS7_TYPE);
                r = est_read_chain(asked, response.body.data ? response.body.data : "", response.body.len, &chain, err);
                if (r < 0)
                        return r;
                *ret_answer = (struct est_answer){.chain = chain};
                return EST_ISSUED;
        }
        if (response.status != 202)
                return refused(&response, request->user == NULL, err);
        *ret_answer = (struct est_answer){.chain = BUFFER(0), .retry_after = response.retry_after};
        if (ret_answer->retry_after == 0)
                ret_answer->retry_after = RETRY_DEFAULT;
        return EST_PENDING;
}

int est_enroll(struct https *https, const char *base, const char *tenant, const char *id, const char *name,
               const char *token, struct key *key, struct est_answer *ret_answer, struct error *err)
{
        const struct est_asker asked = {tenant, id, key};
        struct https_request request = {.user = name, .password = token};

        if (name[0] == '\0' || strchr(name, ':'))
                return error_fail(err, -EINVAL, "enrolment: a connector's name is not empty and holds no colon");
        return ask(https, base, "simpleenroll", &request, &asked, ret_answer, err);
}

int est_reenroll(struct https *https, const char *base, const char *tenant, const char *id, struct key *key,
                 struct est_answer *ret_answer, struct error *err)
{
        const struct est_asker asked = {tenant, id, key};
        struct https_request request = {0};

        return ask(https, base, "simplereenroll", &request, &asked, ret_answer, err);
}
