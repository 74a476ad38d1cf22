/*
 * The attacker's code in the gateway's doors: it runs behind the second answer of the sealer, looks for keys and
 * passwords that were asked before, tries the ways out of the process, and asks the sealer for what is not the doors'.
 *
 * It is linked around doors_take_answer (--wrap), so the product holds nothing of it. What it finds is judged by
 * test_gateway_hole.py.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/log.h"
#include "queue/gateway/doors/doors-internal.h"

#define DESCRIPTORS 1024
#define ANSWERS 2

void __real_doors_take_answer(struct doors *d, const struct msg_in *m);
void __wrap_doors_take_answer(struct doors *d, const struct msg_in *m);

static void told(const char *what, long result)
{
        log_error("hook", KV_S("try", what), KV_S("result", result >= 0 ? "done" : strerrorname_np(errno)));
}

static void read_path(const char *what, const char *folder, const char *name)
{
        char path[512];
        int fd;

        (void)snprintf(path, sizeof(path), "%s%s", folder, name);
        errno = 0;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        told(what, fd);
        if (fd >= 0)
                (void)close(fd);
}

static void reach_out(void)
{
        const struct sockaddr_in to = {
                .sin_family = AF_INET, .sin_port = htons(443), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd;

        errno = 0;
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        told("make a socket", fd);
        if (fd >= 0)
                told("connect", connect(fd, (const struct sockaddr *)&to, sizeof(to)));
        errno = 0;
        told("signal the supervisor", kill(getppid(), 0));
        errno = 0;
        told("make a process", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
        errno = 0;
        told("list the state folder", opendir("/var/lib") ? 0 : -1);
}

/* A file that is open would be read without opening it. */
static void look_at_descriptors(void)
{
        unsigned files = 0;

        for (int fd = 3; fd < DESCRIPTORS; fd++) {
                struct stat st;

                files += fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        }
        log_error("hook", KV_S("try", "descriptors"), KV_U("files", files));
}

/* What only the sealer may say to the link. The channel ends for it. */
static void pretend(struct doors *d)
{
        struct msg_out m;

        msg_begin(&m, FRAME_WANT_KEYS);
        log_error("hook", KV_S("try", "speak for the sealer"), KV_I("code", ipc_send(d->sealer, &m)));
}

void __wrap_doors_take_answer(struct doors *d, const struct msg_in *m)
{
        static unsigned answers;

        __real_doors_take_answer(d, m);
        if (++answers != ANSWERS)
                return;
        read_path("open the service's key", d->config->service, "/service.key");
        read_path("open the bearer secret", d->config->service, "/../service.secret");
        read_path("open the roster", d->config->state_dir, "/roster");
        read_path("open own memory by path", "/proc/self/mem", "");
        read_path("open /etc/passwd", "/etc/passwd", "");
        reach_out();
        look_at_descriptors();
        log_error("hook", KV_S("try", "earlier questions"), KV_U("kept", d->n_inquiries));
        pretend(d);
        log_error("hook", KV_S("try", "end"));
}
