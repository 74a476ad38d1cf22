/*
 * Lockout arithmetic as a property: random sign-ins, right and wrong, by both methods, under every form of
 * the name, at two real DCs behind proxies that cut, reset, stall and swallow connections anywhere, while DCs
 * are stopped and go on. Whatever happens, an account's badPwdCount (summed over the DCs, which count for
 * themselves) never exceeds the number of wrong sign-ins, and may_have_counted is always true to it.
 *
 * usage: test_lockout [SEED [ROUNDS]]; the seed is printed, and the same one plans the same sign-ins and
 * faults.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define ACCOUNTS 16
#define PER_ACCOUNT 4 /* below the lab's lockout threshold of 5 */
#define PIPES 256
#define ROUNDS 12
#define QUIET_MS 250

enum fault { FAULT_NONE = 0, FAULT_CUT, FAULT_RESET, FAULT_STALL, FAULTS };

/* One connection through a proxy, with what happens to it after so many bytes in one direction. */
struct pipe_pair {
        struct proxy *proxy; /* NULL: free */
        int client, server;
        struct loop_io *client_io, *server_io;
        enum fault fault;
        bool by_client; /* the bytes counted are the client's */
        size_t left;
        bool stalled;
};

struct proxy {
        struct rig *rig;
        struct sockaddr_in real;
        int fd;
        struct loop_io *io;
};

static struct {
        struct rig *rig;
        struct proxy proxies[4]; /* LDAPS and KDC of either DC */
        struct pipe_pair pipes[PIPES];
        unsigned fault_percent;
        unsigned connections, faults;
        unsigned short dice[3], fault_dice[3]; /* of nrand48 */
} w;

static char hosts[2][32];
static unsigned rounds = ROUNDS;
static uint64_t seed;

/* Sign-ins and faults are drawn apart, so that a seed plans the same sign-ins whatever the connections do. */
static uint32_t draw(unsigned short dice[3], uint32_t n)
{
        return (uint32_t)nrand48(dice) % n;
}

static void dice_set(unsigned short dice[3], uint64_t from)
{
        for (unsigned i = 0; i < 3; i++)
                dice[i] = (unsigned short)(from >> 16 * i);
}

static uint32_t dice(uint32_t n)
{
        return draw(w.dice, n);
}

static void pipe_close(struct pipe_pair *p, bool reset)
{
        struct linger linger = {1, 0};

        if (!p->proxy)
                return;
        loop_io_free(p->client_io);
        loop_io_free(p->server_io);
        if (reset) {
                setsockopt(p->client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
                setsockopt(p->server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        }
        close(p->client);
        close(p->server);
        *p = (struct pipe_pair){0};
}

/* What of n bytes still passes; afterwards the fault strikes. */
static size_t allowance(struct pipe_pair *p, bool from_client, size_t n)
{
        if (p->fault == FAULT_NONE || p->by_client != from_client)
                return n;
        if (n < p->left) {
                p->left -= n;
                return n;
        }
        return p->left;
}

static void on_bytes(void *arg, int fd, int events)
{
        struct pipe_pair *p = arg;
        bool from_client = fd == p->client;
        char bytes[16384];
        ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        size_t pass;

        (void)events;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (p->stalled && n > 0)
                return; /* swallowed */
        if (n <= 0) {
                pipe_close(p, n < 0);
                return;
        }
        pass = allowance(p, from_client, (size_t)n);
        if (pass > 0 && send(from_client ? p->server : p->client, bytes, pass, MSG_NOSIGNAL) != (ssize_t)pass) {
                pipe_close(p, false);
                return;
        }
        if (pass == (size_t)n)
                return;
        w.faults++;
        if (p->fault == FAULT_STALL)
                p->stalled = true;
        else
                pipe_close(p, p->fault == FAULT_RESET);
}

static void plan_fault(struct pipe_pair *p)
{
        unsigned short *s = w.fault_dice;

        p->fault = draw(s, 100) < w.fault_percent ? (enum fault)(1 + draw(s, FAULTS - 1)) : FAULT_NONE;
        p->by_client = draw(s, 2);
        p->left = draw(s, 4) == 0 ? draw(s, 64) : draw(s, p->by_client ? 2500 : 5000);
}

static void on_connected(void *arg, int fd, int events)
{
        struct pipe_pair *p = arg;

        (void)fd;
        (void)events;
        loop_io_free(p->server_io);
        assert_int_equal(loop_io_new(&p->client_io, w.rig->loop, NULL, p->client, LOOP_READ, on_bytes, p), 0);
        assert_int_equal(loop_io_new(&p->server_io, w.rig->loop, NULL, p->server, LOOP_READ, on_bytes, p), 0);
}

static void on_accept(void *arg, int fd, int events)
{
        struct proxy *proxy = arg;
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        struct pipe_pair *p = w.pipes;

        (void)events;
        if (client < 0)
                return;
        while (p < w.pipes + PIPES && p->proxy)
                p++;
        assert_true(p < w.pipes + PIPES);
        w.connections++;
        *p = (struct pipe_pair){.proxy = proxy, .client = client};
        p->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        plan_fault(p);
        if (connect(p->server, (struct sockaddr *)&proxy->real, sizeof proxy->real) < 0 && errno != EINPROGRESS) {
                pipe_close(p, true);
                return;
        }
        /* a stopped DC's queue may be full: the client's bytes wait until it took the connection */
        assert_int_equal(loop_io_new(&p->server_io, w.rig->loop, NULL, p->server, LOOP_WRITE, on_connected, p), 0);
}

static void proxy_open(struct proxy *proxy, const char *address, uint16_t port, const char *real, uint16_t real_port)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
        int one = 1;

        *proxy = (struct proxy){.rig = w.rig};
        assert_int_equal(inet_pton(AF_INET, address, &sa.sin_addr), 1);
        proxy->real = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(real_port)};
        assert_int_equal(inet_pton(AF_INET, real, &proxy->real.sin_addr), 1);
        proxy->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        setsockopt(proxy->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        assert_int_equal(bind(proxy->fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(listen(proxy->fd, 64), 0);
        assert_int_equal(loop_io_new(&proxy->io, w.rig->loop, NULL, proxy->fd, LOOP_READ, on_accept, proxy), 0);
}

/* Two DCs behind proxies on loopback addresses of this process's own. */
static void open_proxies(uint16_t port)
{
        const char *real[] = {lab_get("AD_ADDRESS"), lab_get("AD2_ADDRESS")};

        for (unsigned i = 0; i < 2; i++) {
                snprintf(hosts[i], sizeof hosts[i], "127.%d.%d.%u", 1 + getpid() % 60, getpid() / 60 % 250, 10 + i);
                proxy_open(&w.proxies[2 * i], hosts[i], port, real[i], 636);
                proxy_open(&w.proxies[2 * i + 1], hosts[i], (uint16_t)(port + 1), real[i], 88);
        }
}

static void start(enum method method, uint16_t port)
{
        rig_samba_by(w.rig, 0, method);
        w.rig->domains[0].dcs[0].address = hosts[0];
        w.rig->domains[0].dcs[1] = (struct dc_config){.host = lab_get("AD2_HOST"), .address = hosts[1]};
        w.rig->domains[0].n_dcs = 2;
        w.rig->domains[0].ldaps_port = port;
        w.rig->domains[0].kdc_port = (uint16_t)(port + 1);
        w.rig->domains[0].connect_timeout_ms = 500;
        w.rig->guard = (struct guard_config){.mode = GUARD_OFF};
        rig_start_ready(w.rig, 1);
}

struct account {
        char label[16], sam[16];
        bool wrong; /* all of this round's sign-ins are */
        unsigned sent, yes, unknown;
        unsigned late; /* of the round before: may still be counted, since a DC may come to it after the round */
};

static void name_of(char out[64], const struct account *a)
{
        switch (dice(3)) {
        case 0:
                snprintf(out, 64, "%s@corp.example", a->sam);
                return;
        case 1:
                snprintf(out, 64, "%s@CORP.COM", a->sam);
                return;
        default:
                snprintf(out, 64, "corp\\%s", a->sam);
        }
}

static void take(struct account *a, const struct ask *ask)
{
        const struct outcome *o = &ask->outcome;
        const struct reason_info *info = reason_info(o->reason);

        if (!a->wrong) {
                /* a right password is never called wrong, whatever fails */
                if (info->class == VERDICT_CLASS_CREDENTIALS || info->class == VERDICT_CLASS_POLICY)
                        fail_msg("%s: the right password ended with %s (%s)", a->sam, info->id, o->context);
                return;
        }
        assert_int_not_equal(info->verdict, VERDICT_ACCEPTED);
        assert_false(o->password_proved);
        a->yes += o->counted == COUNTED_YES;
        a->unknown += o->counted == COUNTED_UNKNOWN;
        if (o->reason == REASON_WRONG_PASSWORD)
                assert_int_equal(o->counted, COUNTED_YES);
        if (info->class == VERDICT_CLASS_INFRASTRUCTURE && o->counted == COUNTED_YES)
                fail_msg("%s: %s says that it counted", a->sam, info->id);
}

/* What the DCs counted. Read until two answers in a row agree: a DC that was stopped has some in its queue. */
static unsigned counted_of(const struct account *a, int ret_each[2])
{
        int before[2] = {-1, -1};

        for (unsigned i = 0; i < 2; i++)
                while ((ret_each[i] = lab_ask("badpwdcount", a->sam, (int)i + 1)) != before[i])
                        before[i] = ret_each[i];
        assert_true(ret_each[0] >= 0 && ret_each[1] >= 0);
        return (unsigned)(ret_each[0] + ret_each[1]);
}

/*
 * No wait is long enough to be sure that a busy DC has come to all that it was sent; so what a round may have counted
 * and was not seen to have is allowed to the next one, and no more.
 */
static void check_account(struct account *a)
{
        int each[2];
        const unsigned counted = counted_of(a, each), most = a->yes + a->unknown;

        if (counted > a->sent + a->late || counted < a->yes || counted > most + a->late)
                fail_msg("%s (seed %llu): badPwdCount %d + %d after %u wrong sign-ins, of which %u say that they "
                         "counted "
                         "and %u that they may have; %u of the round before may have come late",
                         a->sam, (unsigned long long)seed, each[0], each[1], a->sent, a->yes, a->unknown, a->late);
        a->late = counted < most ? most - counted : 0;
        assert_int_equal(lab_ask("unlock", a->sam, 1), 0);
        assert_int_equal(lab_ask("unlock", a->sam, 2), 0);
}

static void one_round(struct account accounts[ACCOUNTS], unsigned *total)
{
        static struct ask asks[ACCOUNTS * PER_ACCOUNT];
        static char names[ACCOUNTS * PER_ACCOUNT][64], passwords[ACCOUNTS * PER_ACCOUNT][32];
        size_t n = 0;

        for (size_t i = 0; i < ACCOUNTS; i++) {
                struct account *a = &accounts[i];

                a->wrong = dice(2);
                a->sent = 1 + dice(PER_ACCOUNT);
                a->yes = a->unknown = 0;
                for (unsigned k = 0; k < a->sent; k++, n++) {
                        name_of(names[n], a);
                        snprintf(passwords[n], sizeof passwords[n], "Wr0ng-%u", dice(1000000));
                        asks[n] = (struct ask){.name = names[n],
                                               .password = a->wrong ? passwords[n] : lab_get2(a->label, "PASSWORD"),
                                               .budget_ms = dice(4) ? 4000 : 100 + dice(900)};
                }
        }
        for (size_t i = 0; i < n; i++) {
                ask_start(w.rig, &asks[i]);
                if (dice(3) == 0)
                        rig_spin(w.rig, dice(60));
        }
        ask_wait(w.rig, asks, n);
        *total += (unsigned)n;
        n = 0;
        for (size_t i = 0; i < ACCOUNTS; i++)
                for (unsigned k = 0; k < accounts[i].sent; k++)
                        take(&accounts[i], &asks[n++]);
}

static int set_up(void **state)
{
        static struct rig rig;

        rig_open(&rig);
        memset(&w, 0, sizeof w);
        w.rig = &rig;
        *state = &rig;
        return 0;
}

static int tear_down(void **state)
{
        for (size_t i = 0; i < PIPES; i++)
                pipe_close(&w.pipes[i], false);
        for (size_t i = 0; i < 4; i++) {
                loop_io_free(w.proxies[i].io);
                close(w.proxies[i].fd);
        }
        rig_close(*state);
        return 0;
}

/* Some rounds run while a DC is stopped; it goes on before anything is read from it. */
static void test_never_more_than_one(void **state)
{
        static struct account accounts[ACCOUNTS];
        const char *pids[] = {lab_get("AD_PID"), lab_get("AD2_PID")};
        uint16_t port = (uint16_t)(20000 + getpid() % 20000);
        unsigned total = 0, wrong = 0, yes = 0, unknown = 0;

        (void)state;
        dice_set(w.dice, seed);
        dice_set(w.fault_dice, ~seed);
        for (unsigned i = 0; i < ACCOUNTS; i++) {
                snprintf(accounts[i].label, sizeof accounts[i].label, "GOOD%u", i + 1);
                snprintf(accounts[i].sam, sizeof accounts[i].sam, "good%u", i + 1);
        }
        open_proxies(port);
        for (unsigned round = 0; round < rounds; round++) {
                pid_t stopped = dice(3) == 0 ? (pid_t)strtol(pids[dice(2)], NULL, 10) : 0;

                w.fault_percent = 0;
                start(round % 2 ? METHOD_KRB5 : METHOD_LDAP, port);
                w.fault_percent = 10 + dice(60);
                if (stopped)
                        kill(-stopped, SIGSTOP);
                one_round(accounts, &total);
                if (stopped)
                        kill(-stopped, SIGCONT);
                w.rig->v = validate_free(w.rig->v);
                rig_spin(w.rig, QUIET_MS); /* what is on its way arrives, or never will */
                for (unsigned i = 0; i < ACCOUNTS; i++) {
                        if (!accounts[i].wrong)
                                continue;
                        wrong += accounts[i].sent;
                        yes += accounts[i].yes;
                        unknown += accounts[i].unknown;
                        check_account(&accounts[i]);
                }
        }
        print_message("seed %llu: %u sign-ins, %u wrong (%u counted, %u unknown), %u connections, %u spoilt\n",
                      (unsigned long long)seed, total, wrong, yes, unknown, w.connections, w.faults);
        assert_true(yes > 0 && unknown > 0 && w.faults > 0);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_never_more_than_one, set_up, tear_down)};

        seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
        rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : ROUNDS;
        print_message("seed %llu\n", (unsigned long long)seed);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
