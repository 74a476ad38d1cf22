/*
 * Why a call failed: libcurl's codes and texts become the host, the cause, and what to do about it, never a credential.
 *
 * Invariant: "not connected" is said only where nothing of the request was sent.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "certs/http/https-internal.h"

bool https_proxy_refused(const struct https_call *call, char *out, size_t cap)
{
        const struct http_way *way = &call->way;
        long status = 0, offered = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_PROXYAUTH_AVAIL, &offered);
        if (!way->url[0] || curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status) != CURLE_OK ||
            status < 300)
                return false;
        if (status == 407 && way->has_user)
                (void)snprintf(out, cap,
                               "the proxy %.80s refuses its user or password (407; Basic, Digest and NTLM were "
                               "on offer); correct them",
                               way->url);
        else if (status == 407)
                (void)snprintf(out, cap,
                               "the proxy %.80s asks for a user and password (407%s%s%s%s); write them into its URL",
                               way->url, (unsigned long)offered & CURLAUTH_BASIC ? ", Basic" : "",
                               (unsigned long)offered & CURLAUTH_DIGEST ? ", Digest" : "",
                               (unsigned long)offered & CURLAUTH_NTLM ? ", NTLM" : "",
                               (unsigned long)offered & CURLAUTH_NEGOTIATE ? ", Negotiate" : "");
        else if (status == 403)
                (void)snprintf(out, cap,
                               "the proxy %.80s forbids the connection (403); allow the relay's host and port "
                               "there",
                               way->url);
        else
                (void)snprintf(out, cap, "the proxy answered %ld: %.80s", status, way->url);
        return true;
}

static int verify_failed(const struct https_call *call, struct error *err)
{
        const char *who = call->https->verify_text;

        switch (call->https->verify_error) {
        case X509_V_OK:
                return error_fail(err, -EPROTO, "%s: its certificate is for another name (%s)", call->host,
                                  call->reason);
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* a CA of the same name with another key */
                return error_fail(
                        err, -EPROTO,
                        "%s: its certificate is not signed by a CA known here; give its CA with --ca-file%s%.200s%s",
                        call->host, who[0] ? " (its issuer is " : "", who, who[0] ? ")" : "");
        case X509_V_ERR_CERT_HAS_EXPIRED:
                return error_fail(err, -EPROTO, "%s: its certificate has expired; renew it, or correct the clock here",
                                  call->host);
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return error_fail(err, -EPROTO, "%s: its certificate is not valid yet; correct the clock here",
                                  call->host);
        default:
                return error_fail(err, -EPROTO, "%s: its certificate is not accepted: %s", call->host,
                                  X509_verify_cert_error_string(call->https->verify_error));
        }
}

/* Everything that is neither name, connection, time nor certificate. */
static int broken(const struct https_call *call, CURLcode code, struct error *err)
{
        const char *reason = call->reason[0] ? call->reason : curl_easy_strerror(code);
        /* With bytes of the body given, a failed handshake is that of a second connection: the first one
         * broke. */
        if ((code == CURLE_SSL_CONNECT_ERROR && call->given == 0) || strstr(reason, "alert"))
                return error_fail(err, -EPROTO, "%s: TLS fails: %s", call->host, reason);
        if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER)
                return error_fail(err, -EPROTO, "%s: the CA file or client certificate cannot be used: %s", call->host,
                                  reason);
        return error_fail(err, -EIO, "%s: the connection broke: %s", call->host, reason);
}

int https_why(const struct https_call *call, struct error *err)
{
        const CURLcode code = call->result;
        char refused[CURL_ERROR_SIZE];
        curl_off_t connected = 0;
        long number = 0;

        if (call->overflow)
                return error_fail(err, -EMSGSIZE, "%s: its answer is longer than %zu bytes", call->host,
                                  call->inbox.max);
        if (code == CURLE_PEER_FAILED_VERIFICATION || call->https->verify_error != X509_V_OK)
                return verify_failed(call, err);
        if (code == CURLE_OPERATION_TIMEDOUT) {
                curl_easy_getinfo(call->easy, CURLINFO_APPCONNECT_TIME_T, &connected);
                return connected ? error_fail(err, -ETIMEDOUT, "%s: no answer in time", call->host)
                                 : error_fail(
                                           err, -ETIMEDOUT,
                                           "%s: no connection in time%s%.100s; check address, port, proxy and firewall",
                                           call->host, call->way.url[0] ? " by " : "", call->way.url);
        }
        if (call->given == 0 && https_proxy_refused(call, refused, sizeof(refused)))
                return error_fail(err, -ECONNREFUSED, "%s: %s", call->host, refused);
        if (call->given > 0) /* never "not connected", which a second connection would say */
                return broken(call, code, err);
        if (code == CURLE_COULDNT_RESOLVE_PROXY)
                return error_fail(err, -ECONNREFUSED, "%s: the name of the proxy does not resolve: %.100s", call->host,
                                  call->way.url);
        if (code == CURLE_COULDNT_RESOLVE_HOST)
                return error_fail(err, -ECONNREFUSED, "%s: its name does not resolve; check the URL and DNS%s%.150s",
                                  call->host, call->https->loop && call->reason[0] ? ": " : "",
                                  call->https->loop ? call->reason : "");
        if (code != CURLE_COULDNT_CONNECT)
                return broken(call, code, err);
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
        if (call->way.url[0])
                return error_fail(err, -ECONNREFUSED, "%s: the proxy cannot be reached: %.100s (%s)", call->host,
                                  call->way.url, number ? strerror((int)number) : call->reason);
        return error_fail(err, -ECONNREFUSED, "%s: no connection (%s); check that it runs, its address and port",
                          call->host, number ? strerror((int)number) : call->reason);
}
