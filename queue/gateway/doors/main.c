/*
 * postern-gateway-doors: what applications talk to. It holds no key and makes no connection: it hands each question to
 * the sealer, a password with it, and keeps neither.
 *
 * The list of doors is here. What they share (limits, joining, the sealer) is ask.c; what they are is door.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "certs/codec/self-test.h"
#include "certs/keys/self-test-tls.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/gateway/doors/read.h"
#include "queue/gateway/doors/tls.h"

/* 32 bytes for each TLS connection, the most that `connections` allows, and 2 MiB for what is freed at once: the texts
 * of one question. What strangers send lives elsewhere (http_config.secret_bodies). */
#define SECURE_HEAP (4U << 20)
#define DRAIN_LOOK_MS 20

static const struct door *const list[] = {&http_door, &sasl_door, &ldapd_door};
#define DOORS_N (sizeof(list) / sizeof(list[0]))

struct loop *doors_loop(struct doors *d)
{
        return d->process.loop;
}

const struct gateway_config *doors_config(const struct doors *d)
{
        return d->config;
}

bool doors_ready(const struct doors *d, const char **ret_why)
{
        *ret_why = d->process.draining ? "the gateway is about to stop"
                   : !d->sealer        ? "the sealer is not there"
                                       : d->why;
        return d->good && d->sealer && !d->process.draining;
}

bool doors_client_ip(const struct doors *d, const char *peer, const char *forwarded, char out[64], bool *ret_is_proxy)
{
        const struct gateway_config *c = d->config;
        const bool known = doors_read_client(c->proxies, c->n_proxies, peer, forwarded, out);

        *ret_is_proxy = known && doors_read_proxy(c->proxies, c->n_proxies, out);
        return known;
}

const char *doors_warning(const struct doors *d)
{
        return d->warning;
}

/* ---- the sealer ---- */

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        struct doors *d = arg;
        const bool good = d->good;

        closep(&fd);
        if (m->type == FRAME_ANSWER) {
                doors_take_answer(d, m);
        } else if (m->type == FRAME_STATE) {
                d->good = msg_get_u64(m, TAG_GOOD, 0) != 0;
                if (msg_get_str(m, TAG_WHY, d->why, sizeof(d->why)) < 0)
                        d->why[0] = '\0';
                if (msg_get_str(m, TAG_WARNING, d->warning, sizeof(d->warning)) < 0)
                        d->warning[0] = '\0';
                if (good != d->good)
                        doors_events_state(d, d->good, d->why);
        }
}

static void on_sealer_closed(void *arg, const char *why)
{
        struct doors *d = arg;

        log_debug("channel.closed", KV_S("to", "sealer"), KV_S("why", why));
        d->sealer = ipc_free(d->sealer);
        if (d->good)
                doors_events_state(d, false, "the sealer is not there");
        d->good = false;
        doors_lose_sealer(d);
}

static int open_sealer(struct doors *d, int fd)
{
        if (d->sealer) {
                d->sealer = ipc_free(d->sealer);
                doors_lose_sealer(d);
        }
        d->good = false;
        return process_channel(&d->process, &d->sealer, GATEWAY_SEALER, fd, on_frame, on_sealer_closed, d);
}

/* ---- the process ---- */

static int on_config(void *arg, int fd, struct error *err)
{
        return gateway_config_of_child(&((struct doors *)arg)->config, "doors", fd, err);
}

static int on_file(void *arg, const char *name, int received, struct error *err)
{
        _cleanup_(closep) int fd = received;
        struct doors *d = arg;

        if (strcmp(name, GATEWAY_FILE_EVENTS_KEY) == 0)
                doors_events_key(d, fd);
        if (events_ways_open(d->events, name, fd)) {
                (void)steal_fd(&fd);
                return 0;
        }
        int r = doors_tls_take(d, name, fd, err);
        for (size_t i = 0; r == 0 && i < DOORS_N; i++)
                r = list[i]->take(d, name, fd, err);
        return r < 0 ? r : 0;
}

static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct doors *d = arg;

        if (strcmp(name, "sealer") != 0) {
                (void)close(fd);
                return 0;
        }
        if (d->process.started)
                return open_sealer(d, fd) < 0 ? error_fail(err, -ENOMEM, "out of memory") : 0;
        closep(&d->sealer_fd);
        d->sealer_fd = fd;
        return 0;
}

static void close_tls_files(struct doors *d)
{
        closep(&d->certificate);
        closep(&d->tls_key);
        closep(&d->client_ca);
}

static int on_start(void *arg, const char *boot, const char *instance, struct error *err)
{
        static const struct confine_rules rules = {.process = "doors", .needs = CONFINE_ACCEPT};
        struct doors *d = arg;
        int r = doors_ask_new(d, err);

        (void)boot;
        (void)instance;
        if (r == 0 && doors_events_new(d) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        for (size_t i = 0; r == 0 && i < DOORS_N; i++)
                r = list[i]->start ? list[i]->start(d, err) : 0;
        if (r == 0 && d->process.check) { /* without sockets no door has used them */
                SSL_CTX *ctx = NULL;

                r = doors_tls_use(d, NULL, &ctx, err);
                SSL_CTX_free(ctx);
        }
        close_tls_files(d);
        r = r < 0 ? r : process_confine(&d->process, &rules, d->config->confinement, err);
        if (r == 0 && !d->process.check && d->sealer_fd >= 0 && open_sealer(d, steal_fd(&d->sealer_fd)) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        if (r == 0)
                process_ready(&d->process);
        return r;
}

/* Until every answer has left. */
static void look_whether_drained(void *arg)
{
        struct doors *d = arg;
        size_t n = 0;

        for (size_t i = 0; i < DOORS_N; i++)
                n += list[i]->under_way(d);
        if (n == 0 && TAILQ_EMPTY(&d->inquiries))
                process_drained(&d->process);
        else
                loop_timer_in(d->drain_timer, DRAIN_LOOK_MS);
}

static void on_drain(void *arg, uint64_t budget_ms)
{
        struct doors *d = arg;

        (void)budget_ms;
        for (size_t i = 0; i < DOORS_N; i++)
                list[i]->drain(d);
        if (loop_timer_new(&d->drain_timer, d->process.loop, NULL, look_whether_drained, d) < 0)
                process_drained(&d->process);
        else
                look_whether_drained(d);
}

static void clear(struct doors *d)
{
        for (size_t i = 0; i < DOORS_N; i++)
                list[i]->stop(d);
        if (d->sources)
                doors_ask_free(d);
        d->drain_timer = loop_timer_free(d->drain_timer);
        d->sealer = ipc_free(d->sealer);
        closep(&d->sealer_fd);
        close_tls_files(d);
        d->events = events_ways_free(d->events);
        gateway_config_free(d->config);
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = on_config, .file = on_file, .peer = on_peer, .start = on_start, .drain = on_drain};
        static struct doors d = {
                .sealer_fd = -1, .certificate = -1, .tls_key = -1, .client_ca = -1, .why = "no connector is known yet"};
        struct error err = {""};
        int code;

        if (process_open(&d.process, &gateway_frames, GATEWAY_DOORS, argc, argv, &ops, &d, &err) < 0 ||
            crypto_self_test(&err) < 0 || tls_self_test(&err) < 0 || secure_heap_init(SECURE_HEAP, &err) < 0)
                return process_fail("doors", &err);
        code = process_run(&d.process);
        clear(&d);
        process_close(&d.process);
        return code;
}
