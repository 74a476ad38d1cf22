/*
 * libcurl and proxies. No Kerberos for proxies: it would open files of its own, which a confined process can't.
 */
#include "certs/http/http-curl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

#define SET(option, value) (c = c == CURLE_OK ? curl_easy_setopt(curl, (option), (value)) : c)

int http_curl_system_cas(struct buffer *out, struct error *err)
{
        const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
        _cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        if (fd < 0)
                return error_fail(err, -ENOENT,
                                  "the system's CAs are not in %s; install ca-certificates or name "
                                  "the relay's CA",
                                  path ? path : "one file");
        return fd_read_all(out, fd, err);
}

/* A host may do without the system's CAs where the relay's are given. */
int http_curl_proxy_cas(struct buffer *out, const char *ca_pem, struct error *err)
{
        int r = http_curl_system_cas(out, err);

        if (!ca_pem || !*ca_pem || (r < 0 && r != -ENOENT))
                return r;
        return buffer_append_str(out, "\n") < 0 || buffer_append_str(out, ca_pem) < 0
                       ? error_fail(err, -EMSGSIZE, "the CAs are too long")
                       : 0;
}

CURLcode http_curl_apply(CURL *curl, const struct http_way *way, const struct buffer *proxy_cas)
{
        struct curl_blob cas = {proxy_cas->data, proxy_cas->len, CURL_BLOB_NOCOPY};
        CURLcode c = CURLE_OK;

        SET(CURLOPT_PROXY, way->url); /* "" shuts out the environment's */
        SET(CURLOPT_NOPROXY, "");
        if (way->has_user) {
                SET(CURLOPT_PROXYUSERNAME, way->user);
                SET(CURLOPT_PROXYPASSWORD, way->password);
        }
        SET(CURLOPT_PROXYAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST | CURLAUTH_NTLM));
        SET(CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
        if (way->tls) {
                SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
                SET(CURLOPT_PROXY_CAINFO_BLOB, &cas);
                SET(CURLOPT_PROXY_CAINFO, NULL);
                SET(CURLOPT_PROXY_CAPATH, NULL);
        }
        return c;
}

bool http_curl_refused(CURL *curl, const struct http_way *way, char *out, size_t cap)
{
        long status = 0;

        if (!way->url[0] || curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &status) != CURLE_OK || status < 300)
                return false;
        if (status == 407 && way->has_user)
                (void)snprintf(out, cap,
                               "the proxy %.80s refuses its user or password (407; Basic, Digest and NTLM were "
                               "on offer); correct them",
                               way->url);
        else if (status == 407)
                (void)snprintf(out, cap, "the proxy %.80s asks for a user and password (407); write them into its URL",
                               way->url);
        else if (status == 403)
                (void)snprintf(out, cap,
                               "the proxy %.80s forbids the connection (403); allow the relay's host and port "
                               "there",
                               way->url);
        else
                (void)snprintf(out, cap, "the proxy %.80s answers %ld", way->url, status);
        return true;
}
