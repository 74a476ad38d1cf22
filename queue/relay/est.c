/*
 * Enrolment over Secure Transport (RFC 7030 subset, RFC 8951 encoding): a connector's client certificate for
 * its link.
 *
 * Invariants: a first certificate costs a one-time token, which is used up only after everything else was
 * found in order; a renewal is for the identity of the certificate that asks, with a new key. Errors are
 * plain text, as EST has them.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"

#define BASIC_MAX 512
#define ANSWER_MAX 16384
#define TOKEN_LEN 43 /* b64u of 32 bytes */

static void est_fail(struct http_req *r, int status, const char *why)
{
        char text[512];

        if (status == 401)
                http_add_header(r, "WWW-Authenticate", "Basic realm=\"postern\"");
        snprintf(text, sizeof(text), "%s\n", why);
        http_reply(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* The tenant of the path; answers 404 otherwise. */
static struct tenant *est_tenant(struct relay *relay, struct http_req *r, const char *name)
{
        struct tenant *t;

        int code = tenant_get(relay, name, &t);
        if (code == 0)
                return t;
        est_fail(r, code == -ENOENT ? 404 : 500, code == -ENOENT ? "no such tenant" : "the database failed");
        return NULL;
}

static void send_certs(struct http_req *r, X509 *const *certs, size_t n, const char *type)
{
        struct buffer out = BUFFER(ANSWER_MAX);

        if (ca_certs_only(certs, n, &out) < 0) {
                est_fail(r, 500, "the certificates could not be encoded");
        } else {
                http_add_header(r, "Content-Transfer-Encoding", "base64");
                http_reply(r, 200, type, out.data, out.len);
        }
        buffer_free(&out);
}

void relay_est_cacerts_get(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        X509 *certs[CA_CHAIN_MAX + CA_ROOTS_MAX];
        size_t n = ca_chain(relay->ca, certs);

        if (!est_tenant(relay, r, http_part(r, 0)))
                return;
        for (int i = 0; i < sk_X509_num(ca_roots(relay->ca)); i++)
                certs[n++] = sk_X509_value(ca_roots(relay->ca), i);
        send_certs(r, certs, n, "application/pkcs7-mime");
}

/* ---- the token ---- */

struct ticket {
        char name[NAME_MAX_LEN + 1];
        uint8_t hash[STORE_HASH_LEN];
};

/* Basic <name>:<token>, where what follows a dot in the token (the pin) is not for the relay. */
static int read_ticket(const struct http_req *r, struct ticket *ret_ticket)
{
        unsigned char plain[BASIC_MAX];
        const char *header = http_header(r, "Authorization");
        size_t n = header && strncasecmp(header, "Basic ", 6) == 0 ? strlen(header + 6) : 0;

        if (n == 0 || n % 4 || n / 4 * 3 >= sizeof(plain))
                return -EACCES;
        int len = EVP_DecodeBlock(plain, (const unsigned char *)header + 6, (int)n);
        if (len < 0)
                return -EACCES;
        plain[len] = '\0';
        char *colon = strchr((char *)plain, ':');
        size_t n_name = colon ? (size_t)(colon - (char *)plain) : 0;
        size_t n_token = colon ? strcspn(colon + 1, ".") : 0;
        int code = -EACCES;
        if (n_name >= 1 && n_name <= NAME_MAX_LEN && n_token == TOKEN_LEN) {
                memcpy(ret_ticket->name, plain, n_name);
                ret_ticket->name[n_name] = '\0';
                SHA256((unsigned char *)colon + 1, n_token, ret_ticket->hash);
                code = 0;
        }
        wipe(plain, sizeof(plain));
        return code;
}

/* ---- issuing ---- */

static bool read_request(struct http_req *r, const char *tenant, struct ca_request *ret_request)
{
        const char *type = http_header(r, "Content-Type");
        struct error err = {""};
        size_t n;

        if (!type || strncasecmp(type, "application/pkcs10", 18) != 0) {
                est_fail(r, 415, "Content-Type must be application/pkcs10");
                return false;
        }
        const char *body = http_body(r, &n);
        if (ca_request_parse(ret_request, body, n, tenant, &err) < 0) {
                est_fail(r, 400, err.text);
                return false;
        }
        return true;
}

/* Not by a clock that has jumped: the certificate would begin or end at any time. */
static bool may_issue(const struct relay *relay, struct http_req *r)
{
        if (!relay->clock.doubtful)
                return true;
        http_add_header(r, "Retry-After", "600");
        est_fail(r, 503,
                 "the relay's clock has jumped, so it issues no certificates until its operator has looked "
                 "(`postern-relay event list`)");
        return false;
}

static void issue(struct relay *relay, struct http_req *r, const struct tenant *t, const struct ca_request *request)
{
        char serial[CA_SERIAL_MAX];
        int64_t not_after = 0;
        X509 *cert = NULL;

        const struct relay_config *c = relay->config;
        const int64_t life =
                c->certificate_minutes ? (int64_t)c->certificate_minutes * 60 : (int64_t)c->certificate_days * 86400;
        int64_t not_before;
        int code = ca_issue(relay->ca, request, t->name, life, loop_wall(relay->loop), &cert);
        if (code == 0)
                code = ca_cert_facts(cert, serial, &not_before, &not_after);
        if (code == 0)
                code = store_certificate_add(relay->store, t->name, request->id, serial, not_after);
        if (code < 0) {
                log_error("certificate_not_issued", KV_S("tenant", t->name), KV_S("connector", request->id),
                          KV_I("code", code));
                est_fail(r, 500, "the certificate could not be issued");
        } else {
                X509 *certs[1 + CA_CHAIN_MAX] = {cert};
                log_info("certificate_issued", KV_S("tenant", t->name), KV_S("connector", request->id),
                         KV_S("serial", serial), KV_I("not_after", not_after));
                send_certs(r, certs, 1 + ca_chain(relay->ca, certs + 1),
                           "application/pkcs7-mime; smime-type=certs-only");
        }
        X509_free(cert);
}

/* Whether the id is free, or this name's already. */
static bool id_fits_name(struct relay *relay, const struct tenant *t, const char *id, const char *name)
{
        struct store_connector known;

        return store_connector_get(relay->store, t->name, id, &known) < 0 || strcmp(known.name, name) == 0;
}

void relay_est_simpleenroll(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = est_tenant(relay, r, http_part(r, 0));
        int64_t now = loop_wall(relay->loop);
        struct ticket ticket;
        struct ca_request request;

        if (!t || !may_issue(relay, r))
                return;
        if (read_ticket(r, &ticket) < 0 ||
            store_token_check(relay->store, t->name, ticket.name, ticket.hash, now) < 0) {
                log_info("enrolment_refused", KV_S("tenant", t->name), KV_S("peer", http_peer(r)));
                est_fail(r, 401, "the token is unknown, used, expired or for another name");
                return;
        }
        if (!read_request(r, t->name, &request))
                return;
        if (!id_fits_name(relay, t, request.id, ticket.name))
                est_fail(r, 400, "this id belongs to a connector of another name");
        else if (store_token_take(relay->store, t->name, ticket.name, ticket.hash, now) < 0)
                est_fail(r, 401, "the token is unknown, used, expired or for another name");
        else if (store_connector_enrol(relay->store, t->name, request.id, ticket.name, now) < 0)
                est_fail(r, 500, "the database failed");
        else
                issue(relay, r, t, &request);
        ca_request_clear(&request);
}

void relay_est_simplereenroll(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant *t = est_tenant(relay, r, http_part(r, 0));
        struct ca_request request;
        struct error err;
        struct peer peer;

        if (!t || !may_issue(relay, r))
                return;
        int code = credential_of(relay, r, &peer, &err);
        if (code < 0) {
                est_fail(r, code == -EIO ? 500 : code == -ENOENT || code == -EKEYREVOKED ? 403 : 401, err.text);
                return;
        }
        if (peer.tenant != t) {
                est_fail(r, 403, "the client certificate is not of a connector of this tenant");
                return;
        }
        if (!read_request(r, t->name, &request))
                return;
        const char *why;
        if (strcmp(request.id, peer.credential.id) != 0)
                est_fail(r, 400, "a renewal keeps subject and subjectAltName");
        else if (ca_request_same_key(&request, http_peer_cert(r, &why)))
                est_fail(r, 400, "a renewal brings a new key");
        else
                issue(relay, r, t, &request);
        ca_request_clear(&request);
}
