/*
 * What all users of libcurl say alike: the way (http-way.h), and why a proxy did not let a request through.
 */
#pragma once

#include <curl/curl.h>
#include <stddef.h>

#include "certs/http/http-way.h"
#include "base/core/buffer.h"

/* libcurl's file of the system's CAs, appended. -ENOENT: there is none. */
int http_curl_system_cas(struct buffer *out, struct error *err);
/* The CAs that the certificate of an https:// proxy may be of: the system's, and ca_pem (or NULL). -ENOENT, -EMSGSIZE.
 */
int http_curl_proxy_cas(struct buffer *out, const char *ca_pem, struct error *err);
/* The proxy or none, its user, the kinds of authentication (Basic, Digest, NTLM), its CAs (used where way->tls; must
 * outlive the call). Nothing of the environment counts afterwards. */
CURLcode http_curl_apply(CURL *curl, const struct http_way *way, const struct buffer *proxy_cas);
/* After a call that failed: whether the proxy refused it, and then why, in words that end in a remedy. */
bool http_curl_refused(CURL *curl, const struct http_way *way, char *out, size_t cap);
