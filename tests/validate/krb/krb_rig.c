/*
 * The rig of the Kerberos tests: real KDCs come from the lab, hostile ones are a peer in this process, on the
 * same loop, that forwards to a real KDC and spoils what it is told to spoil.
 */
#include "tests/validate/krb/krb_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/text.h"
#include "validate/krb/der.h"
#include "validate/krb/wire.h"

extern char **environ;

const char *lab(const char *prefix, const char *label, const char *key)
{
        char name[128];
        const char *value;

        snprintf(name, sizeof name, "LAB_%s%s%s%s%s", prefix, *prefix ? "_" : "", label, *label ? "_" : "", key);
        for (char *c = name; *c; c++)
                *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        value = getenv(name);
        if (!value)
                fail_msg("%s is not set: run this test by tests/lab/lab run --with samba,mit -- ...", name);
        return value;
}

uint16_t lab_port(const char *prefix)
{
        uint64_t port = 0;

        assert_int_equal(text_parse_u64(lab(prefix, "", "kdc_port"), 1, 65535, &port), 0);
        return (uint16_t)port;
}

void rig_open(struct rig *rig)
{
        struct error err;

        assert_int_equal(secret_arena_init(128, &err), 0);
        assert_int_equal(loop_new(&rig->loop), 0);
        assert_int_equal(krb_new(&rig->krb, rig->loop, &err), 0);
        rig->ad = (struct domain_config){.name = lab("AD", "", "domain"),
                                         .realm = lab("AD", "", "realm"),
                                         .netbios = lab("AD", "", "netbios"),
                                         .keytab = lab("AD", "", "keytab"),
                                         .service_principal = lab("AD", "", "service"),
                                         .kdc_port = lab_port("AD")};
        rig->mit = (struct domain_config){.name = lab("MIT", "", "domain"),
                                          .realm = lab("MIT", "", "realm"),
                                          .directory = DIRECTORY_GENERIC,
                                          .keytab = lab("MIT", "", "keytab"),
                                          .service_principal = lab("MIT", "", "service"),
                                          .kdc_port = lab_port("MIT")};
        if (krb_domain_add(&rig->krb->method, &rig->ad, &err) < 0 ||
            krb_domain_add(&rig->krb->method, &rig->mit, &err) < 0)
                fail_msg("%s", err.text);
}

void rig_close(struct rig *rig)
{
        krb_free(&rig->krb->method);
        rig->loop = loop_free(rig->loop);
        assert_int_equal(secret_arena_in_use(), 0);
        secret_arena_destroy();
}

struct ask ask_ad(struct rig *rig, enum name_form form, const char *label)
{
        const char *upn = lab("", label, "upn"), *at = strrchr(upn, '@');
        struct ask ask = {.config = &rig->ad,
                          .form = form,
                          .password = lab("", label, "password"),
                          .address = lab("AD", "", "address"),
                          .port = lab_port("AD"),
                          .budget_ms = 20000};

        assert_non_null(at);
        if (form == NAME_UPN)
                snprintf(ask.user, sizeof ask.user, "%.*s", (int)(at - upn), upn);
        else
                snprintf(ask.user, sizeof ask.user, "%s", lab("", label, "sam"));
        snprintf(ask.suffix, sizeof ask.suffix, "%s", form == NAME_UPN ? at + 1 : rig->ad.netbios);
        return ask;
}

struct ask ask_mit(struct rig *rig, const char *label)
{
        struct ask ask = {.config = &rig->mit,
                          .form = NAME_UPN,
                          .password = lab("MIT", label, "password"),
                          .address = lab("MIT", "", "address"),
                          .port = lab_port("MIT"),
                          .budget_ms = 20000};

        snprintf(ask.user, sizeof ask.user, "%s", lab("MIT", label, "name"));
        snprintf(ask.suffix, sizeof ask.suffix, "%s", rig->mit.name);
        return ask;
}

static void on_done(void *arg, const struct outcome *outcome, bool left)
{
        struct ask *ask = arg;

        ask->calls++;
        ask->outcome = *outcome;
        ask->left = left;
        ask->attempt = NULL;
        if (ask->pending && --*ask->pending == 0)
                loop_stop(ask->rig->loop, 0);
}

static void address_of(struct sockaddr_storage *ret, const char *text)
{
        struct sockaddr_in in = {.sin_family = AF_INET};

        assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
        memset(ret, 0, sizeof *ret);
        memcpy(ret, &in, sizeof in);
}

void ask_start(struct rig *rig, struct ask *ask)
{
        struct name name = {.form = ask->form};
        struct attempt attempt = {.id = "test-0000-0000-0000", .domain = &ask->own, .host = "kdc.test", .name = &name};
        int r;

        ask->own = *ask->config;
        ask->own.kdc_port = ask->port;
        snprintf(name.user, sizeof name.user, "%s", ask->user);
        snprintf(name.suffix, sizeof name.suffix, "%s", ask->suffix);
        address_of(&attempt.address, ask->address);
        attempt.address_len = sizeof(struct sockaddr_in);
        attempt.deadline = loop_now(rig->loop) + ask->budget_ms;
        ask->rig = rig;
        ask->calls = 0;
        if (ask->password) {
                assert_int_equal(secret_new(&ask->secret, ask->password, strlen(ask->password)), 0);
                attempt.password = ask->secret;
        }
        r = ask->password ? krb_ops.start(&ask->attempt, &rig->krb->method, &attempt, on_done, ask)
                          : krb_ops.probe(&ask->attempt, &rig->krb->method, &attempt, on_done, ask);
        assert_int_equal(r, 0);
        assert_int_equal(ask->calls, 0); /* never from inside the starter */
}

static void on_watchdog(void *arg)
{
        loop_stop(arg, -1);
}

void ask_all(struct rig *rig, struct ask *asks, size_t n)
{
        unsigned pending = (unsigned)n;
        struct loop_timer *watchdog = NULL;

        assert_int_equal(loop_timer_new(&watchdog, rig->loop, NULL, on_watchdog, rig->loop), 0);
        loop_timer_in(watchdog, 300000);
        for (size_t i = 0; i < n; i++) {
                asks[i].pending = &pending;
                ask_start(rig, &asks[i]);
        }
        assert_int_equal(loop_run(rig->loop), 0);
        rig_spin(rig, 1);
        loop_timer_free(watchdog);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(asks[i].calls, 1);
                assert_int_equal(asks[i].outcome.method, METHOD_KRB5);
                assert_string_equal(asks[i].outcome.dc, "kdc.test");
                asks[i].secret = secret_free(asks[i].secret);
                asks[i].pending = NULL;
        }
}

void ask_one(struct rig *rig, struct ask *ask)
{
        ask_all(rig, ask, 1);
}

static void on_spun(void *arg)
{
        loop_stop(arg, 0);
}

void rig_spin(struct rig *rig, uint32_t ms)
{
        struct loop_timer *timer = NULL;

        assert_int_equal(loop_timer_new(&timer, rig->loop, NULL, on_spun, rig->loop), 0);
        loop_timer_in(timer, ms);
        assert_int_equal(loop_run(rig->loop), 0);
        loop_timer_free(timer);
}

int spawn(const char *const *argv)
{
        char *copy[16] = {0};
        pid_t pid = -1;

        for (size_t i = 0; argv[i]; i++) {
                assert_true(i < 15);
                copy[i] = strdup(argv[i]);
        }
        assert_int_equal(posix_spawnp(&pid, copy[0], NULL, NULL, copy, environ), 0);
        for (size_t i = 0; copy[i]; i++)
                free(copy[i]);
        return pid;
}

void run(const char *const *argv, char *out, size_t cap)
{
        int pipes[2], old = dup(STDOUT_FILENO), status = -1;
        struct buffer b = BUFFER(cap - 1);
        pid_t pid;

        assert_int_equal(pipe(pipes), 0);
        fflush(stdout);
        assert_true(dup2(pipes[1], STDOUT_FILENO) >= 0);
        close(pipes[1]);
        pid = spawn(argv);
        assert_true(dup2(old, STDOUT_FILENO) >= 0);
        close(old);
        assert_int_equal(fd_read_all(&b, pipes[0], NULL), 0);
        close(pipes[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        snprintf(out, cap, "%s", b.data ? b.data : "");
        buffer_free(&b);
}

static void run_tool(const char *verb, const char *sam, char *out, size_t cap)
{
        const char *const argv[] = {lab("", "", "tool"), verb, "--dir", lab("", "", "dir"), sam, NULL};

        run(argv, out, cap);
}

unsigned bad_pwd_count(const char *sam)
{
        char out[64];
        uint64_t n = 0;

        run_tool("badpwdcount", sam, out, sizeof out);
        out[strcspn(out, "\n")] = '\0';
        assert_int_equal(text_parse_u64(out, 0, 1000, &n), 0);
        return (unsigned)n;
}

void unlock(const char *sam)
{
        char out[256];

        run_tool("unlock", sam, out, sizeof out);
}

/* One connection from the connector, perhaps with one to the KDC behind it. */
struct link {
        struct link *next;
        struct middle *m;
        struct loop_io *io;
        int fd;
        struct buffer in;
        enum plan plan;
        struct krb_wire *wire;
};

static void link_free(struct link *l)
{
        struct link **at = &l->m->links;

        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        loop_io_free(l->io);
        krb_wire_free(l->wire);
        if (l->fd >= 0)
                close(l->fd);
        buffer_free(&l->in);
        free(l);
}

static void put(struct link *l, const void *bytes, size_t n)
{
        assert_int_equal(send(l->fd, bytes, n, MSG_NOSIGNAL), n);
}

static void put_frame(struct link *l, const uint8_t *bytes, size_t n)
{
        const uint8_t prefix[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

        put(l, prefix, sizeof prefix);
        put(l, bytes, n);
}

/* What the KDC said, spoiled by plan. */
static void on_kdc_reply(void *arg, int error, const uint8_t *reply, size_t n)
{
        struct link *l = arg;
        struct middle *m = l->m;
        uint8_t copy[8192];

        assert_int_equal(error, 0);
        assert_true(n <= sizeof copy);
        memcpy(copy, reply, n);
        if (m->first_n == 0) {
                memcpy(m->first, copy, n);
                m->first_n = n;
                if (m->edit_first)
                        m->edit(m, m->first, &m->first_n);
        }
        if (l->plan == PLAN_EDITED)
                m->edit(m, copy, &n);
        if (l->plan == PLAN_CUT) {
                const uint8_t prefix[4] = {0, 0, (uint8_t)(n >> 8), (uint8_t)n};

                put(l, prefix, sizeof prefix);
                put(l, copy, n / 2);
                link_free(l);
                return;
        }
        put_frame(l, copy, n);
        l->wire = krb_wire_free(l->wire);
}

static void forward(struct link *l, const uint8_t *request, size_t n)
{
        assert_int_equal(krb_wire_new(&l->wire, l->m->rig->loop, NULL, on_kdc_reply, l), 0);
        assert_int_equal(krb_wire_send(l->wire, &l->m->real, sizeof(struct sockaddr_in), request, n), 0);
}

static void act(struct link *l, const uint8_t *request, size_t n)
{
        static const uint8_t junk[] = "this is not a Kerberos message";
        static const uint8_t oversize[4] = {0x7f, 0xff, 0xff, 0xff}, empty[4], dribble[6] = {0, 0, 1, 0, 'a', 'b'};
        const struct linger hard = {1, 0};

        switch (l->plan) {
        case PLAN_FORWARD:
        case PLAN_CUT:
        case PLAN_EDITED:
                forward(l, request, n);
                break;
        case PLAN_HOLD:
                break;
        case PLAN_RESET:
                assert_int_equal(setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
                link_free(l);
                break;
        case PLAN_CLOSE:
                link_free(l);
                break;
        case PLAN_GARBAGE:
                put_frame(l, junk, sizeof junk);
                break;
        case PLAN_OVERSIZE:
                put(l, oversize, sizeof oversize);
                break;
        case PLAN_EMPTY:
                put(l, empty, sizeof empty);
                break;
        case PLAN_DRIBBLE:
                put(l, dribble, sizeof dribble);
                break;
        case PLAN_FIRST_ANSWER:
                put_frame(l, l->m->first, l->m->first_n);
                break;
        case PLAN_RECORDED:
                put_frame(l, l->m->recorded, l->m->recorded_n);
                break;
        }
}

static void on_link(void *arg, int fd, int events)
{
        struct link *l = arg;
        const uint8_t *request;
        uint8_t chunk[4096];
        bool preauth = false;
        size_t n;
        ssize_t got = recv(fd, chunk, sizeof chunk, 0);

        (void)events;
        if (got <= 0) {
                link_free(l);
                return;
        }
        assert_int_equal(buffer_append(&l->in, chunk, (size_t)got), 0);
        if (krb_frame_parse(&l->in, &request, &n) != 0)
                return;
        if (krb_as_req_has_preauth(&preauth, request, n) < 0) {
                l->m->n_other++;
                link_free(l);
                return;
        }
        l->m->n_plain += !preauth;
        l->m->n_preauth += preauth;
        l->plan = preauth ? l->m->preauth : l->m->plain;
        act(l, request, n);
}

static void on_accept(void *arg, int fd, int events)
{
        struct middle *m = arg;
        struct link *l = calloc(1, sizeof *l);

        (void)events;
        assert_non_null(l);
        l->m = m;
        l->in = BUFFER(65536);
        l->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        l->next = m->links;
        m->links = l;
        assert_true(l->fd >= 0);
        assert_int_equal(loop_io_new(&l->io, m->rig->loop, NULL, l->fd, LOOP_READ, on_link, l), 0);
}

void middle_open(struct middle *m, struct rig *rig, const struct ask *ask)
{
        struct sockaddr_in in = {.sin_family = AF_INET};
        socklen_t len = sizeof in;

        memset(m, 0, sizeof *m);
        m->rig = rig;
        address_of(&m->real, ask->address);
        memcpy(&in, &m->real, sizeof in);
        in.sin_port = htons(ask->port);
        memcpy(&m->real, &in, sizeof in);
        in = (struct sockaddr_in){.sin_family = AF_INET};
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(m->fd >= 0);
        assert_int_equal(bind(m->fd, (const struct sockaddr *)&in, sizeof in), 0);
        assert_int_equal(listen(m->fd, 128), 0);
        assert_int_equal(getsockname(m->fd, (struct sockaddr *)&in, &len), 0);
        m->port = ntohs(in.sin_port);
        assert_int_equal(loop_io_new(&m->io, rig->loop, NULL, m->fd, LOOP_READ, on_accept, m), 0);
}

void middle_close(struct middle *m)
{
        while (m->links)
                link_free(m->links);
        m->io = loop_io_free(m->io);
        close(m->fd);
}

void middle_use(const struct middle *m, struct ask *ask)
{
        ask->address = "127.0.0.1";
        ask->port = m->port;
}
