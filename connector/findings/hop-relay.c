/*
 * The way to the relay, by one request as the link makes them, and one with the transport certificate.
 *
 * Which stage failed is what the HTTPS client says of it (http-flaw.h); the stages before it held. No stream is opened:
 * a second one of this identity would look like a copy of this host.
 */
#include <errno.h>
#include <string.h>

#include "certs/http/http-flaw.h"
#include "certs/http/http-way.h"
#include "certs/http/https.h"
#include "connector/findings/hop.h"

#define PLAIN_MS 6000
#define IDENTITY_MS 4000

enum stage { STAGE_NAME = 0, STAGE_PROXY, STAGE_CONNECTION, STAGE_TLS, STAGE_ANSWER, STAGE_N };

static const struct {
        const char *title;
        const char *flaws[7]; /* ids, or their beginnings, that mean that it failed */
} stages[STAGE_N] = {
        [STAGE_NAME] = {"name", {"relay_dns"}},
        [STAGE_PROXY] = {"proxy", {"proxy_"}},
        [STAGE_CONNECTION] = {"connection", {"relay_timeout", "relay_refused", "relay_unreachable"}},
        [STAGE_TLS] = {"TLS", {"relay_certificate", "relay_tls"}},
        [STAGE_ANSWER] = {"answer", {""}},
};

static enum stage stage_of(const struct http_flaw *flaw)
{
        for (int s = 0; flaw && s < STAGE_ANSWER; s++)
                for (size_t i = 0; stages[s].flaws[i]; i++)
                        if (strncmp(flaw->id, stages[s].flaws[i], strlen(stages[s].flaws[i])) == 0)
                                return (enum stage)s;
        return STAGE_ANSWER;
}

/* The stages up to the one that failed, and that the rest is skipped; why NULL: all held. */
static void put_stages(json_t *lines, const struct hop_relay *relay, const struct http_way *way, const char *why)
{
        const struct http_flaw *flaw = why ? http_flaw_find(why) : NULL;
        const int stuck = why ? (int)stage_of(flaw) : STAGE_N;

        for (int s = 0; s < STAGE_N; s++) {
                if (s == STAGE_PROXY && !way->url[0])
                        continue; /* none is used, and none can have failed */
                if (s < stuck)
                        (void)hop_add(lines, (struct hop){.step = "relay", .about = stages[s].title}, "%s: %s",
                                      stages[s].title,
                                      s == STAGE_PROXY                 ? way->url
                                      : s == STAGE_NAME && way->url[0] ? "looked up by the proxy"
                                                                       : relay->url);
                else if (s == stuck)
                        (void)hop_add(lines,
                                      (struct hop){.step = "relay",
                                                   .result = HOP_FAILED,
                                                   .about = stages[s].title,
                                                   .code = flaw ? flaw->id : "relay_failed",
                                                   .remedy = flaw ? flaw->remedy : NULL},
                                      "%s: %s", stages[s].title, why);
                else
                        (void)hop_add(lines,
                                      (struct hop){.step = "relay", .result = HOP_SKIPPED, .about = stages[s].title},
                                      "%s: skipped because %s failed", stages[s].title, stages[stuck].title);
        }
}

/* 0: the relay answered, with whatever status. */
static int ask(const struct hop_relay *relay, bool identity, struct https_response *answer, struct error *err)
{
        const struct https_config config = {.cas = relay->cas,
                                            .proxy_cas = relay->cas,
                                            .proxy = relay->proxy,
                                            .cert_pem = identity ? relay->cert_pem : NULL,
                                            .key_pem = identity ? relay->key_pem : NULL};
        _cleanup_(https_freep) struct https *https = NULL;
        char url[600];
        const struct https_request request = {.method = identity ? "POST" : "GET",
                                              .url = url,
                                              .content_type = identity ? "application/json" : NULL,
                                              .body = identity ? "{}" : NULL,
                                              .body_len = identity ? 2 : 0,
                                              .timeout_ms = identity ? IDENTITY_MS : PLAIN_MS,
                                              .max_body = 65536};

        if (snprintf(url, sizeof(url), "%s%s", relay->url, identity ? "/v1/link/report" : "/") >= (int)sizeof(url))
                return error_fail(err, -EINVAL, "the relay's URL is too long");
        int r = https_new(&https, &config, err);
        return r < 0 ? r : https_do(https, &request, answer, err);
}

/* An empty report is malformed to a relay that takes the certificate, and refused by one that does not. */
static void test_identity(json_t *lines, const struct hop_relay *relay)
{
        struct https_response answer = {0};
        struct error err = {""};

        if (!relay->cert_pem || !relay->key_pem) {
                (void)hop_add(lines, (struct hop){.step = "relay", .result = HOP_SKIPPED, .about = "identity"},
                              "identity: skipped because %s", relay->no_identity);
                return;
        }
        int r = ask(relay, true, &answer, &err);
        if (r < 0 && strstr(err.text, "client certificate cannot be used")) {
                (void)hop_add(
                        lines,
                        (struct hop){.step = "relay",
                                     .result = HOP_FAILED,
                                     .about = "identity",
                                     .code = "transport_unfit",
                                     .remedy = "Get a token (postern-relay token TENANT NAME) and run postern enroll "
                                               "--again --token-file FILE"},
                        "identity: the transport key and certificate in state_dir cannot be used: %s", err.text);
                return;
        }
        if (r == 0 && (answer.status == 400 || answer.status == 409))
                (void)hop_add(lines, (struct hop){.step = "relay", .about = "identity"},
                              "identity: the relay takes the transport certificate");
        else if (r < 0 || answer.status >= 500)
                (void)hop_add(lines,
                              (struct hop){.step = "relay",
                                           .result = HOP_FAILED,
                                           .about = "identity",
                                           .code = "relay_fails",
                                           .remedy = "Try again; if it is the same, tell the relay's operator"},
                              "identity: the relay could not say whether it takes the transport certificate (%s%ld)",
                              r < 0 ? err.text : "status ", r < 0 ? (long)r : answer.status);
        else
                (void)hop_add(lines,
                              (struct hop){.step = "relay",
                                           .result = HOP_FAILED,
                                           .about = "identity",
                                           .code = "relay_refuses_certificate",
                                           .remedy = "If the certificate has expired or was revoked: get a token "
                                                     "(postern-relay token TENANT NAME) and run postern enroll --again "
                                                     "--token-file FILE"},
                              "identity: the relay does not take the transport certificate (status %ld)",
                              answer.status);
        https_response_clear(&answer);
}

void hop_relay(json_t *lines, const struct hop_relay *relay)
{
        struct https_response answer = {0};
        struct error err = {""};
        struct http_way way = {0};
        char host[256];
        uint16_t port;
        int r = https_split_url(relay->url, host, &port);

        if (r == 0)
                r = http_way_to(&way, host, relay->proxy, &err);
        else
                (void)error_fail(&err, r, "%s is no URL of a relay", relay->url);
        if (r < 0) {
                (void)hop_add(lines, (struct hop){.step = "relay", .result = HOP_FAILED, .code = "proxy_form"}, "%s",
                              err.text);
                http_way_clear(&way);
                return;
        }
        r = ask(relay, false, &answer, &err);
        put_stages(lines, relay, &way, r < 0 ? err.text : NULL);
        if (r == 0)
                test_identity(lines, relay);
        https_response_clear(&answer);
        http_way_clear(&way);
}
