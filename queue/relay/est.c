/*
 * Enrolment over Secure Transport (RFC 7030 subset, RFC 8951 encoding): a connector's client certificate for
 * its link.
 *
 * Invariants: a first certificate costs a one-time token, which is used up only after everything else was
 * found in order, and for one request: that one gets the same answer for a while, at whatever node, so that an answer
 * that got lost costs nothing; a renewal is for the identity of the certificate that asks, with a new key. Errors are
 * plain text, as EST has them.
 */
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
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

        if (tenant_get(relay, name, &t) == 0)
                return t;
        est_fail(r, 404, "no such tenant");
        return NULL;
}

static void send_certs(struct http_req *r, const struct buffer *certs, const char *type)
{
        http_add_header(r, "Content-Transfer-Encoding", "base64");
        http_reply(r, 200, type, certs->data, certs->len);
}

void relay_est_cacerts_get(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        _cleanup_(buffer_free) struct buffer out = BUFFER(ANSWER_MAX);
        X509 *certs[CA_CHAIN_MAX + CA_ROOTS_MAX];
        size_t n = ca_chain(relay->ca, certs);

        if (!est_tenant(relay, r, http_part(r, 0)))
                return;
        for (int i = 0; i < sk_X509_num(ca_roots(relay->ca)); i++)
                certs[n++] = sk_X509_value(ca_roots(relay->ca), i);
        if (ca_certs_only(certs, n, &out) < 0)
                est_fail(r, 500, "the certificates could not be encoded");
        else
                send_certs(r, &out, "application/pkcs7-mime");
}

/* ---- the token ---- */

struct ticket {
        char name[NAME_MAX_LEN + 1]; /* "": it is a renewal, which brings none */
        uint8_t hash[STORE_HASH_LEN];
        uint8_t csr[STORE_HASH_LEN]; /* of the request's text without its white space */
};

static int hash_request(const struct http_req *r, uint8_t hash[STORE_HASH_LEN])
{
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        size_t n;
        const char *text = http_body(r, &n);
        int good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

        for (const char *end = text + n; good && text < end;) {
                const char *from = text;

                while (text < end && !isspace((unsigned char)*text))
                        text++;
                good = EVP_DigestUpdate(md, from, (size_t)(text - from)) == 1;
                while (text < end && isspace((unsigned char)*text))
                        text++;
        }
        good = good && EVP_DigestFinal_ex(md, hash, NULL) == 1;
        EVP_MD_CTX_free(md);
        return good ? 0 : -EIO;
}

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

/* What an enrolment or a renewal has come to. */
struct enrolment {
        struct turns_place place;
        struct turns *queue;
        void (*work)(struct ask *a); /* when its turn has come */
        struct ticket ticket;
        struct ca_request request;
        X509 *cert;
        char serial[CA_SERIAL_MAX];
        int64_t not_after;
        struct buffer answer; /* made here, or what another of the same request got */
};

static void enrolment_clear(void *more)
{
        struct enrolment *e = more;

        turns_leave(&e->place);
        ca_request_clear(&e->request);
        X509_free(e->cert);
        buffer_free(&e->answer);
        wipe(&e->ticket, sizeof(e->ticket));
        free(e);
}

/* NULL: r was answered. */
static struct ask *ask_for_enrolment(struct relay *relay, struct http_req *r, const struct tenant *t)
{
        struct enrolment *e = calloc(1, sizeof(*e));
        if (e)
                e->answer = BUFFER(ANSWER_MAX);
        struct ask *a = e ? ask_new(relay, r, t, NULL) : NULL;

        if (a) {
                a->more = e;
                a->clear = enrolment_clear;
                return a;
        }
        if (!e)
                est_fail(r, 500, "no memory");
        free(e);
        return NULL;
}

/* ---- turns ---- */

static void put_off(struct ask *a, struct turns *queue)
{
        const uint32_t seconds = turns_later(queue);
        char header[16], text[80];

        (void)snprintf(header, sizeof(header), "%u", seconds);
        (void)snprintf(text, sizeof(text), "many ask for certificates; ask again in %u s", seconds);
        log_debug("enrolment_put_off", KV_S("tenant", a->tenant), KV_U("seconds", seconds));
        http_add_header(a->r, "Retry-After", header);
        est_fail(a->r, 202, text);
}

static void on_asker_gone(void *arg)
{
        ask_settle(arg);
}

static void on_turn(void *arg, bool turn)
{
        struct ask *a = arg;
        struct enrolment *e = a->more;

        http_on_close(a->r, NULL, NULL);
        if (turn)
                e->work(a);
        else
                put_off(a, e->queue);
        ask_settle(a);
}

/* work is done when it is a's turn: at once, mostly. */
static void wait_for_turn(struct ask *a, struct turns *queue, void (*work)(struct ask *a))
{
        struct enrolment *e = a->more;

        e->queue = queue;
        e->work = work;
        if (turns_enter(queue, &e->place, on_turn, a)) {
                http_on_close(a->r, on_asker_gone, a);
                return;
        }
        put_off(a, queue);
        ask_settle(a);
}

/* ---- certificates ---- */

/* What this request was answered before. */
static void take_answer(void *arg, const struct msg_in *m)
{
        struct ask *a = arg;
        struct enrolment *e = a->more;
        size_t n;
        const uint8_t *text = msg_get_bytes(m, STORE_TAG_BYTES, &n);

        buffer_clear(&e->answer);
        if (text)
                (void)buffer_append(&e->answer, text, n);
}

/* The store is on NATS, where too few servers are there. */
static void est_no_quorum(struct http_req *r)
{
        http_add_header(r, "Retry-After", "10");
        est_fail(r, 503,
                 "too few of the relay's NATS servers are there, so nobody enrols and no certificate is renewed; "
                 "sign-ins go on. Try again later");
}

/* The answer to a token that does not count, or to a database that does not. */
static void refuse_token(struct ask *a, int code)
{
        static const struct {
                int code;
                const char *why;
        } whys[] = {
                {-EACCES,
                 "the relay does not know this token: it is mistyped or cut short, another relay's, or was forgotten "
                 "30 days after its end; get one with: postern-relay token TENANT NAME"},
                {-EXDEV,
                 "the token is for another connector: enrol under the name that it was made for (postern enroll "
                 "--name), or get one for this name with: postern-relay token TENANT NAME"},
                {-EKEYREVOKED,
                 "the token was used already, or spoilt when its connector was revoked: each is good once; get "
                 "another with: postern-relay token TENANT NAME"},
                {-EKEYEXPIRED,
                 "the token has expired; get another with: postern-relay token TENANT NAME --expires 24h"},
        };
        struct tenant *t = NULL;

        if (tenant_get(a->relay, a->tenant, &t) == 0 && refused_has_room(a->relay, t, REFUSED_ENROLMENT)) {
                log_info("enrolment_refused", KV_S("tenant", a->tenant), KV_S("peer", http_peer(a->r)),
                         KV_I("code", code));
                relay_events_event(a->relay->events, a->tenant, "enrolment_refused", NULL, http_peer(a->r));
        }
        for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
                if (code == whys[i].code) {
                        est_fail(a->r, 401, whys[i].why);
                        return;
                }
        if (code == -EEXIST)
                est_fail(a->r, 400, "this id belongs to a connector of another name");
        else if (code == -EHOSTUNREACH)
                est_no_quorum(a->r);
        else
                est_fail(a->r, 500, "the database failed");
}

/* A certificate that is not on record could not be revoked, so it is given away only then. */
static void on_recorded(struct ask *a, int code)
{
        struct enrolment *e = a->more;

        if (code < 0) {
                log_error("certificate_not_issued", KV_S("tenant", a->tenant), KV_S("connector", e->request.id),
                          KV_I("code", code));
                if (code == -EHOSTUNREACH)
                        est_no_quorum(a->r);
                else if (code == -EACCES) /* another request had the token as well, and was answered first */
                        refuse_token(a, -EKEYREVOKED);
                else
                        est_fail(a->r, 500, "the certificate could not be issued");
                return;
        }
        if (code == 1)
                log_info("certificate_given_again", KV_S("tenant", a->tenant), KV_S("connector", e->request.id));
        else
                log_info("certificate_issued", KV_S("tenant", a->tenant), KV_S("connector", e->request.id),
                         KV_S("serial", e->serial), KV_I("not_after", e->not_after));
        relay_events_event(a->relay->events, a->tenant, code == 1 ? "certificate_given_again" : "certificate_issued",
                           e->request.id, code == 1 ? NULL : e->serial);
        send_certs(a->r, &e->answer, "application/pkcs7-mime; smime-type=certs-only");
}

static void issue(struct ask *a)
{
        const struct relay_config *c = a->relay->config;
        const int64_t life =
                c->certificate_minutes ? (int64_t)c->certificate_minutes * 60 : (int64_t)c->certificate_days * 86400;
        struct enrolment *e = a->more;
        X509 *certs[1 + CA_CHAIN_MAX];
        int64_t not_before;

        int code = ca_issue(a->relay->ca, &e->request, a->tenant, life, loop_wall(a->relay->loop), &e->cert);
        if (code == 0)
                code = ca_cert_facts(e->cert, e->serial, &not_before, &e->not_after);
        if (code == 0) {
                certs[0] = e->cert;
                code = ca_certs_only(certs, 1 + ca_chain(a->relay->ca, certs + 1), &e->answer);
        }
        if (code < 0) {
                on_recorded(a, code);
                return;
        }
        const bool by_token = e->ticket.name[0] != '\0';
        ask_store(a,
                  &(struct store_request){.op = STORE_CERTIFICATE,
                                          .tenant = a->tenant,
                                          .id = e->request.id,
                                          .word = e->serial,
                                          .at = e->not_after,
                                          .hash = by_token ? e->ticket.hash : NULL,
                                          .bytes = by_token ? e->ticket.csr : NULL,
                                          .n_bytes = by_token ? sizeof(e->ticket.csr) : 0,
                                          .text = by_token ? e->answer.data : NULL},
                  take_answer, on_recorded);
}

static void on_enrolled(struct ask *a, int code)
{
        if (code < 0)
                refuse_token(a, code);
        else if (code == 1)
                on_recorded(a, code);
        else
                issue(a);
}

/* What the token is worth is looked at before the request is parsed, and once more when it is used up. */
static void on_token_checked(struct ask *a, int code)
{
        struct enrolment *e = a->more;

        if (code < 0) {
                refuse_token(a, code);
                return;
        }
        if (!read_request(a->r, a->tenant, &e->request))
                return;
        ask_store(a,
                  &(struct store_request){.op = STORE_ENROL,
                                          .tenant = a->tenant,
                                          .id = e->request.id,
                                          .word = e->ticket.name,
                                          .hash = e->ticket.hash,
                                          .bytes = e->ticket.csr,
                                          .n_bytes = sizeof(e->ticket.csr),
                                          .at = loop_wall(a->relay->loop)},
                  take_answer, on_enrolled);
}

static void enrol(struct ask *a)
{
        const struct enrolment *e = a->more;

        ask_store(a,
                  &(struct store_request){.op = STORE_TOKEN_CHECK,
                                          .tenant = a->tenant,
                                          .word = e->ticket.name,
                                          .hash = e->ticket.hash,
                                          .bytes = e->ticket.csr,
                                          .n_bytes = sizeof(e->ticket.csr),
                                          .at = loop_wall(a->relay->loop)},
                  NULL, on_token_checked);
}

void relay_est_simpleenroll(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        const struct tenant *t = est_tenant(relay, r, http_part(r, 0));
        struct ask *a = t && may_issue(relay, r) ? ask_for_enrolment(relay, r, t) : NULL;
        struct enrolment *e = a ? a->more : NULL;

        if (!a)
                return;
        if (read_ticket(r, &e->ticket) == 0 && hash_request(r, e->ticket.csr) == 0) {
                wait_for_turn(a, relay->enrolments, enrol);
                return;
        }
        refuse_token(a, -EACCES);
        ask_settle(a);
}

/* The connector that r is of, in the tenant that its path names; false: it was answered. */
static bool read_renewer(struct relay *relay, struct http_req *r, struct peer *ret_peer)
{
        const struct tenant *t = est_tenant(relay, r, http_part(r, 0));
        struct error err;

        if (!t || !may_issue(relay, r))
                return false;
        const int code = credential_of(relay, r, ret_peer, &err);
        if (code < 0)
                est_fail(r, code == -ENOENT || code == -EKEYREVOKED ? 403 : 401, err.text);
        else if (ret_peer->tenant != t)
                est_fail(r, 403, "the client certificate is not of a connector of this tenant");
        return code == 0 && ret_peer->tenant == t;
}

/* While it waited much may have become another. */
static void renew(struct ask *a)
{
        struct enrolment *e = a->more;
        struct peer peer;

        if (!read_renewer(a->relay, a->r, &peer) || !read_request(a->r, a->tenant, &e->request))
                return;
        if (strcmp(e->request.id, peer.credential.id) != 0)
                est_fail(a->r, 400, "a renewal keeps subject and subjectAltName");
        else if (ca_request_same_key(&e->request, peer.credential.key))
                est_fail(a->r, 400, "a renewal brings a new key");
        else
                issue(a);
}

void relay_est_simplereenroll(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct peer peer;
        struct ask *a = read_renewer(relay, r, &peer) ? ask_for_enrolment(relay, r, peer.tenant) : NULL;

        if (a)
                wait_for_turn(a, relay->renewals, renew);
}
