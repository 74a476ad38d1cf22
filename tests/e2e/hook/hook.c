/*
 * The attacker's code: looks for keys, names and passwords in everything that the process can reach, tries the
 * ways out of it, and spoils verdicts.
 *
 * It uses nothing that a real one would not have; what it finds is judged by test_confined.py.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "connector/link/bridge.h"

#define DESCRIPTORS 1024

static void told(const char *what, long result)
{
        log_error("hook", KV_S("try", what), KV_S("result", result >= 0 ? "done" : strerrorname_np(errno)));
}

static void read_path(const char *what, const char *path)
{
        errno = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        told(what, fd);
        if (fd >= 0)
                close(fd);
}

static void read_state(const struct bridge *b)
{
        static const char *const names[] = {"identity.pem",   "transport.key",    "roster",
                                            "enrolment.json", "ledger/ledger.db", "hash.key"};
        char path[512], what[64];

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", b->config->state_dir, names[i]);
                (void)snprintf(what, sizeof(what), "open %s", names[i]);
                read_path(what, path);
        }
        errno = 0;
        told("list the state folder", opendir(b->config->state_dir) ? 0 : -1);
}

static void read_others(void)
{
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)getppid());
        read_path("open the supervisor's memory", path);
        read_path("open own memory by path", "/proc/self/mem");
        read_path("open /etc/passwd", "/etc/passwd");
        errno = 0;
        told("signal the supervisor", kill(getppid(), 0));
        errno = 0;
        told("make a process", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static void ask_ledger(const struct bridge *b)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        int fd;

        (void)snprintf(to.sun_path, sizeof(to.sun_path), "%.80s/control.sock", b->config->runtime_dir);
        errno = 0;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        told("ask the control socket", fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to)));
        if (fd >= 0)
                close(fd);
}

/* A file that is open would be read without opening it. */
static void look_at_descriptors(void)
{
        unsigned files = 0, sockets = 0, others = 0;

        for (int fd = 0; fd < DESCRIPTORS; fd++) {
                struct stat st;
                if (fstat(fd, &st) < 0)
                        continue;
                if (S_ISSOCK(st.st_mode))
                        sockets++;
                else if (S_ISREG(st.st_mode) && fd > 2)
                        files++;
                else
                        others++;
        }
        log_error("hook", KV_S("try", "descriptors"), KV_U("files", files), KV_U("sockets", sockets),
                  KV_U("others", others));
}

static void listen_here(void)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        errno = 0;
        told("listen", fd < 0 ? -1 : listen(fd, 1));
        if (fd >= 0)
                close(fd);
}

/* The private keys that lie in this process as text; the transport key's, nobody else's. */
static void look_for_keys(const struct bridge *b)
{
        log_error("hook", KV_S("try", "keys"), KV_S("transport", b->key.len ? "text" : "none"));
}

/* What names a key says which module is loaded and which file is read as its PIN: by the supervisor, as root. */
static void ask_supervisor(struct bridge *b)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(TRANSPORT_PEM_MAX);

        if (buffer_append_str(&text, "pkcs11:token=x;object=y?module-path=/tmp/evil.so&pin-source=file:/etc/shadow\n") <
                    0 ||
            buffer_append(&text, b->cert.data, b->cert.len) < 0 || renewal_send_text(b, &text) < 0)
                log_error("hook", KV_S("try", "store"), KV_S("result", "failed"));
        renewal_ask_for_key(b);
}

void hook_run(struct bridge *b)
{
        static bool over;

        if (over || b->verdicts < 3)
                return;
        over = true;
        read_state(b);
        read_others();
        ask_ledger(b);
        look_at_descriptors();
        listen_here();
        look_for_keys(b);
        ask_supervisor(b);
        log_error("hook", KV_S("try", "end"));
}

/* After the first four answers: another byte in the middle, which base64url takes as well. */
void hook_verdict(char *jwe)
{
        static unsigned seen;
        char *middle = jwe + strlen(jwe) / 2;

        if (++seen > 4)
                *middle = *middle == 'A' ? 'B' : 'A';
}
