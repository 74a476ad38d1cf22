/*
 * postern-link: holds the links to the relay's nodes, and the transport key; sees no password, name, identity key or
 * decryption key.
 *
 * Order of start: the supervisor's files and peers first, then FRAME_START makes the first link. The validator's
 * channel is read only from then on, so nothing it says is lost. A changed certificate or configuration means
 * a new process.
 */
#include "connector/conf/enrolment.h"
#include "connector/link/bridge.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/enrol/csr.h"
#include "certs/keys/key-holder.h"
#include "certs/keys/self-test-tls.h"
#include "base/core/ca-bundle.h"
#include "base/core/log.h"
#include "certs/codec/self-test.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "certs/enrol/transport.h"

#define SECURE_HEAP (1U << 17)
#define STATUS_MS 1000 /* looks so often whether there is something new to tell */
#define STATUS_AT_LEAST_MS 5000
#define ABSENCE_MAX_MS (10 * 60 * UINT64_C(1000))
#define PEM_MAX 65536
#define CA_MAX (1024 * 1024)

/* The relay that `postern enroll` enrolled with; the config may name it too, and the supervisor has compared
 * them. */
static int read_enrolment(struct bridge *b, int fd, struct error *err)
{
        _cleanup_(enrolment_clear) struct enrolment e = {0};
        int r = enrolment_read(&e, fd, err);

        if (r == 0 && (text_set(&b->relay, e.relay) < 0 || text_set(&b->tenant, e.tenant) < 0))
                r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

/* A certificate that can't be read shows when the link is made; here it only has no end to tell. */
static int read_certificate(struct bridge *b, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(PEM_MAX);
        struct error why;
        char id[ID_MAX + 1];
        int r = fd_read_all(&text, fd, err);

        if (r == 0 && (r = transport_split(&text, &b->key, &b->cert)) < 0)
                error_fail(err, r, "%s is malformed", FILE_TRANSPORT_CERT);
        if (r == 0 &&
            csr_cert_info(b->cert.data ? b->cert.data : "", b->cert.len, &b->cert_expires, id, sizeof(id), &why) < 0)
                log_warning("link.certificate", KV_S("why", why.text));
        return r;
}

static int on_file(void *arg, const char *name, int fd_in, struct error *err)
{
        _cleanup_(closep) int fd = fd_in;
        struct bridge *b = arg;
        int r;

        if (b->process.started) {
                if (strcmp(name, FILE_TRANSPORT_NEXT) == 0)
                        renewal_key(b->renewal, steal_fd(&fd));
                return 0;
        }
        if (strcmp(name, FILE_ENROLMENT) == 0)
                return read_enrolment(b, fd, err);
        if (strcmp(name, FILE_TRANSPORT_KEY) == 0) {
                buffer_clear(&b->key);
                return fd_read_all(&b->key, fd, err);
        }
        if (strcmp(name, FILE_TRANSPORT_HOLDER) == 0) {
                r = key_from_holder(&b->held, steal_fd(&fd), NULL, err);
                return r < 0 ? error_prefix(err, r, "transport key") : 0;
        }
        if (strcmp(name, FILE_TRANSPORT_CERT) == 0)
                return read_certificate(b, fd, err);
        if (strcmp(name, FILE_RELAY_CA) == 0) {
                r = fd_read_all(&b->ca, fd, err);
                return r < 0 ? r : ca_bundle_take(&b->ca, "the relay's CA file", NULL, NULL, err);
        }
        return 0;
}

static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct bridge *b = arg;
        int r = 0;

        if (strcmp(name, "ledger") == 0) {
                r = bridge_open_ledger(b, fd);
                if (r == 0)
                        bridge_send_status(b);
        } else if (strcmp(name, "validator") == 0 && !TAILQ_EMPTY(&b->nodes)) {
                r = bridge_open_validator(b, fd);
        } else if (strcmp(name, "validator") == 0) {
                closep(&b->validator_fd);
                b->validator_fd = fd;
        } else {
                close(fd);
        }
        return r < 0 ? error_fail(err, r, "channel to %s: %s", name, strerror(-r)) : 0;
}

static void on_status_timer(void *arg)
{
        struct bridge *b = arg;

#ifdef POSTERN_TEST_HOOK
        hook_run(b);
#endif
        uint64_t now = loop_now(b->process.loop), counted = b->requests + b->verdicts;

        if (counted != b->status_counted || now - b->status_at >= STATUS_AT_LEAST_MS) {
                b->status_counted = counted;
                b->status_at = now;
                bridge_send_status(b);
                bridge_send_clock(b);
        }
        if (lines_best(b) || b->process.draining)
                b->down_at = 0;
        else if (!b->down_at)
                b->down_at = now;
        else if (now - b->down_at >= ABSENCE_MAX_MS) /* it can open no file, so it would never see what changed */
                process_stop(&b->process, 1,
                             "no relay for 10 minutes; starting again, with the name servers and "
                             "CAs as they are now");
        lines_turn(b, now);
        loop_timer_in(b->status_timer, STATUS_MS);
}

/* Sockets to the relay and the name servers; no file, whichever: all that it reads it has. */
static const struct confine_rules rules = {.process = "link", .needs = CONFINE_CONNECT};

/* Whether the transport key's file holds a key, and that of the certificate; one in hardware is its holder's to judge.
 * A start goes on without, for the status to say what the relay's refusal would not. */
static int check_pair(const struct bridge *b, struct error *err)
{
        _cleanup_(key_freep) struct key *key = NULL;
        char id[ID_MAX + 1];
        int64_t expires;
        int r = csr_cert_info(b->cert.data ? b->cert.data : "", b->cert.len, &expires, id, sizeof(id), err);

        if (r < 0)
                return error_prefix(err, r, "the certificate in %s", FILE_TRANSPORT_CERT);
        r = key_from_pem(&key, b->key.data ? b->key.data : "", b->key.len, NULL, err);
        if (r < 0)
                return error_prefix(err, r, "the transport key");
        r = csr_cert_matches(b->cert.data, b->cert.len, key, err);
        return r < 0 ? error_prefix(err, r, "the transport key and the certificate in %s", FILE_TRANSPORT_CERT) : 0;
}

/* Whether the CA, the proxy, and certificate and key, where an enrolment brought them, are usable. */
static int check_only(struct bridge *b, struct error *err)
{
        int r = link_host_new(&b->host, b->process.loop, b->ca.data, b->config->proxy, err);

        if (r == 0 && b->cert.len && b->key.len && !b->held)
                r = check_pair(b, err);
        if (r == 0 && b->cert.len && (b->key.len || b->held))
                r = lines_begin(b, err);
        if (r == 0)
                r = process_confine(&b->process, &rules, b->config->confinement, err);
        if (r == 0)
                process_ready(&b->process);
        return r;
}

static int on_start(void *arg, const char *boot, const char *connector_id, struct error *err)
{
        struct bridge *b = arg;
        int fd = b->validator_fd;
        int r = text_set(&b->boot, boot);

        memcpy(b->id, connector_id, strnlen(connector_id, ID_MAX));
        if (r == 0 && b->process.check)
                return check_only(b, err);
        r = r < 0 ? error_fail(err, r, "out of memory")
                  : link_host_new(&b->host, b->process.loop, b->ca.data, b->config->proxy, err);
        if (r == 0)
                r = lines_begin(b, err);
        if (r < 0)
                return r;
        b->validator_fd = -1;
        r = process_confine(&b->process, &rules, b->config->confinement, err);
        if (r < 0)
                return r;
        if ((fd >= 0 && bridge_open_validator(b, fd) < 0) || lines_watch_holder(b) < 0 ||
            loop_timer_new(&b->status_timer, b->process.loop, NULL, on_status_timer, b) < 0 ||
            loop_timer_new(&b->last_words, b->process.loop, NULL, lines_lose, b) < 0 || renewal_new(&b->renewal, b) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        lines_start(b);
        on_status_timer(b);
        process_ready(&b->process);
        return 0;
}

static int on_config(void *arg, int fd, struct error *err)
{
        struct bridge *b = arg;

        return config_of_child(&b->config, "link", fd, err);
}

/* FRAME_STORED is the one that the table lets through. */
static void on_supervisor_frame(void *arg, const struct msg_in *m)
{
        struct bridge *b = arg;
        char why[ERROR_TEXT_MAX];

        renewal_stored(b->renewal, msg_get_str(m, TAG_WHY, why, sizeof(why)) == 0 ? why : NULL);
}

static void clear(struct bridge *b)
{
        loop_timer_free(b->status_timer);
        loop_timer_free(b->last_words);
        b->renewal = renewal_free(b->renewal);
        ipc_free(b->validator);
        ipc_free(b->ledger);
        lines_clear(b);
        link_host_free(b->host);
        loop_io_free(b->holder);
        key_free(b->held);
        closep(&b->validator_fd);
        buffer_free(&b->key);
        buffer_free(&b->cert);
        buffer_free(&b->ca);
        buffer_free(&b->answer);
        config_free(b->config);
        free(b->relay);
        free(b->tenant);
        free(b->boot);
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {.config = on_config,
                                               .file = on_file,
                                               .peer = on_peer,
                                               .start = on_start,
                                               .drain = lines_drain,
                                               .frame = on_supervisor_frame,
                                               .orphaned = lines_last_words};
        struct bridge b = {.validator_fd = -1,
                           .key = BUFFER_SECRET(PEM_MAX),
                           .cert = BUFFER(PEM_MAX),
                           .ca = BUFFER(CA_MAX),
                           .answer = BUFFER(ANSWER_JWE_MAX)};
        struct error err = {""};
        int code;

        lines_init(&b);
        if (process_open(&b.process, &posternd_frames, PART_LINK, argc, argv, &ops, &b, &err) < 0 ||
            crypto_self_test(&err) < 0 || tls_self_test(&err) < 0 || secure_heap_init(SECURE_HEAP, &err) < 0)
                return process_fail("link", &err);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                error_fail(&err, -ENOMEM, "libcurl cannot be set up");
                return process_fail("link", &err);
        }
        code = process_run(&b.process);
        clear(&b);
        process_close(&b.process);
        curl_global_cleanup();
        return code;
}
