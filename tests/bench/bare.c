/*
 * What three processes cost that do nothing: frames of a sign-in's sizes pass from an application through doors, sealer
 * and link to a relay and back, and nobody looks at them. The sealer only takes the time that sealing and checking
 * take, which is not counted. So nothing that the gateway's processes do can make them cost less than this, on this
 * machine.
 *
 * usage: bare SEAL-US CHECK-US [COUNT [IN-FLIGHT]]      prints us of CPU per sign-in, as JSON
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUESTION 300 /* bytes, as the gateway's own frames have them */
#define ASKED 250
#define SEALED 1700
#define VERDICT 900
#define WARM_UP 500

enum { DOORS = 0, SEALER, LINK, PARTS };

static double cpu_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int good, const char *what)
{
        if (good)
                return;
        perror(what);
        exit(1);
}

/* Works for so long; returns how long it was. */
static double work(double us)
{
        const double begun = cpu_us();

        while (us > 0 && cpu_us() < begun + us)
                ;
        return cpu_us() - begun;
}

struct side {
        int fd;
        size_t frame; /* bytes that a message from there has; of a stream they come in pieces */
        size_t sent;  /* that it is passed on with */
        double us;    /* that work with it takes */
        size_t have;
};

/* Passes so many messages from either side to the other; tells how much CPU one of them took. */
static void pass(struct side sides[2], unsigned long count, int tell)
{
        const int epoll = epoll_create1(EPOLL_CLOEXEC);
        static char bytes[8192];
        double begun = 0, worked = 0;
        unsigned long back = 0;

        for (uint32_t i = 0; i < 2; i++)
                must(epoll_ctl(epoll, EPOLL_CTL_ADD, sides[i].fd, &(struct epoll_event){EPOLLIN, {.u32 = i}}) == 0,
                     "epoll");
        while (back < count) {
                struct epoll_event ready[2];
                const int n = epoll_wait(epoll, ready, 2, -1);

                for (int i = 0; i < n; i++) {
                        struct side *from = &sides[ready[i].data.u32], *to = &sides[1 - ready[i].data.u32];
                        ssize_t got;

                        while ((got = recv(from->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
                                for (from->have += (size_t)got; from->have >= from->frame; from->have -= from->frame) {
                                        worked += work(from->us);
                                        must(send(to->fd, bytes, from->sent, MSG_NOSIGNAL) > 0, "send");
                                        back += from == &sides[1];
                                        if (back == WARM_UP && begun == 0) {
                                                begun = cpu_us();
                                                worked = 0;
                                        }
                                }
                }
        }
        const double us = (cpu_us() - begun - worked) / (double)(count - WARM_UP);
        must(write(tell, &us, sizeof(us)) == sizeof(us), "pipe");
        _exit(0);
}

/* A relay that answers each request at once. */
static void relay(int listening)
{
        static char bytes[8192];
        const int fd = accept(listening, NULL, NULL);

        for (size_t have = 0;;) {
                const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

                if (n <= 0)
                        _exit(0);
                for (have += (size_t)n; have >= SEALED; have -= SEALED)
                        must(send(fd, bytes, VERDICT, MSG_NOSIGNAL) > 0, "send");
        }
}

static int connect_to(int listening)
{
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t n = sizeof(address);
        const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

        must(getsockname(listening, (struct sockaddr *)&address, &n) == 0 &&
                     connect(fd, (struct sockaddr *)&address, n) == 0 &&
                     setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0,
             "connect");
        return fd;
}

int main(int argc, char **argv)
{
        const double seal = argc > 2 ? strtod(argv[1], NULL) : 0, check = argc > 2 ? strtod(argv[2], NULL) : 0;
        const unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 10) : 3000,
                            in_flight = argc > 4 ? strtoul(argv[4], NULL, 10) : 16;
        static const char *const names[PARTS] = {"doors", "sealer", "link"};
        int app[2], ask[2], post[2], tell[PARTS][2], listening = socket(AF_INET, SOCK_STREAM, 0);
        char bytes[1024] = "";
        double sum = 0, us = 0;

        must(argc > 2 && count > WARM_UP, "usage: bare SEAL-US CHECK-US [COUNT [IN-FLIGHT]]");
        must(listen(listening, 1) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, app) == 0 &&
                     socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ask) == 0 &&
                     socketpair(AF_UNIX, SOCK_SEQPACKET, 0, post) == 0,
             "sockets");
        for (int part = -1; part < PARTS; part++) {
                must(part < 0 || pipe(tell[part]) == 0, "pipe");
                const pid_t pid = fork();
                must(pid >= 0, "fork");
                if (pid)
                        continue;
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (part < 0)
                        relay(listening);
                struct side sides[PARTS][2] = {
                        {{app[1], QUESTION, ASKED, 0, 0}, {ask[0], VERDICT, VERDICT, 0, 0}},
                        {{ask[1], ASKED, SEALED, seal, 0}, {post[0], VERDICT, VERDICT, check, 0}},
                        {{post[1], SEALED, SEALED, 0, 0},
                         {part == LINK ? connect_to(listening) : -1, VERDICT, VERDICT, 0, 0}}};
                pass(sides[part], count, tell[part][1]);
        }
        for (unsigned long asked = 0, have = 0, answered = 0; answered < count;) {
                for (; asked < count && asked < answered + in_flight; asked++)
                        must(send(app[0], bytes, QUESTION, 0) == QUESTION, "send");
                have += (unsigned long)recv(app[0], bytes, sizeof(bytes), 0);
                answered += have / VERDICT;
                have %= VERDICT;
        }
        printf("{");
        for (int part = 0; part < PARTS; part++, sum += us) {
                must(read(tell[part][0], &us, sizeof(us)) == sizeof(us), "pipe");
                printf("\"%s\":%.1f,", names[part], us);
        }
        printf("\"us\":%.1f}\n", sum);
        return 0;
}
