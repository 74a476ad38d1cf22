/*
 * TLS of the doors: the files, which come from the supervisor as descriptors, and the names in client certificates.
 *
 * Invariant: a certificate counts only as long as its dates say, looked at when somebody asks and not when he
 * connected.
 */
#include "queue/gateway/doors/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/http/http.h"

int doors_tls_take(struct doors *d, const char *file, int fd, struct error *err)
{
        int *to = strcmp(file, GATEWAY_FILE_CERTIFICATE) == 0 ? &d->certificate
                  : strcmp(file, GATEWAY_FILE_TLS_KEY) == 0   ? &d->tls_key
                  : strcmp(file, GATEWAY_FILE_CLIENT_CA) == 0 ? &d->client_ca
                                                              : NULL;

        if (!to)
                return 0;
        closep(to);
        *to = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *to < 0 ? error_fail(err, -errno, "%s: %s", file, strerror(errno)) : 1;
}

/* The file's own name in the place of the descriptor's. */
static void put_name(struct error *err, const char *descriptor, const char *path)
{
        char *at = strstr(err->text, descriptor), before[sizeof(err->text)];

        if (!at)
                return;
        memcpy(before, err->text, sizeof(before));
        (void)snprintf(at, sizeof(err->text) - (size_t)(at - err->text), "%.200s%s", path,
                       before + (at - err->text) + strlen(descriptor));
}

int doors_tls_use(struct doors *d, struct http *http, SSL_CTX **ret_ctx, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(CA_BUNDLE_MAX);
        STACK_OF(X509) *cas = NULL;
        char certificate[32], key[32], ca[32];
        int r = 0;

        if (d->certificate < 0 || d->tls_key < 0)
                return 0;
        /* Each reader opens it anew, from the beginning. */
        (void)snprintf(certificate, sizeof(certificate), "/proc/self/fd/%d", d->certificate);
        (void)snprintf(key, sizeof(key), "/proc/self/fd/%d", d->tls_key);
        (void)snprintf(ca, sizeof(ca), "/proc/self/fd/%d", d->client_ca);
        if (d->client_ca >= 0) {
                r = file_read(&text, ca, err);
                r = r < 0 ? r : ca_bundle_chain(&text, d->config->client_ca, &cas, err);
                if (r < 0)
                        return error_prefix(err, r, "client_ca");
        }
        r = http ? http_set_tls(http, certificate, key, cas, err)
                 : http_tls_new(ret_ctx, certificate, key, cas, true, err);
        sk_X509_pop_free(cas, X509_free);
        if (r == 0)
                return 0;
        put_name(err, certificate, d->config->certificate);
        put_name(err, key, d->config->key);
        return r;
}

const char *doors_tls_app(const struct doors *d, X509 *certificate)
{
        const struct gateway_config *c = d->config;
        time_t now = (time_t)loop_wall(d->process.loop);
        const char *found = NULL;

        if (!certificate || X509_cmp_time(X509_get0_notBefore(certificate), &now) >= 0 ||
            X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
                return NULL;
        for (size_t i = 0; i < c->n_apps && !found; i++)
                if (c->apps[i].certificate_name &&
                    X509_check_host(certificate, c->apps[i].certificate_name, 0,
                                    X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
                        found = c->apps[i].name;
        return found;
}
