/*
 * What a confined process can and cannot do: each attempt in a child of its own, by its real system call.
 *
 * Not in builds with sanitizers, which confine() leaves alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/process/confine.h"
#include "base/core/log.h"

static char folder[] = "/tmp/postern-confine-XXXXXX";
static int listener = -1, folder_fd = -1;

enum { ALLOWED = 0, DENIED = 1, KILLED = 2, ODD = 3, ANY = 4 };

/* What an attempt gave: its own result as ALLOWED or DENIED by EPERM or EACCES, or the end by SIGSYS. */
static int attempt(const struct confine_rules *rules, enum confine_mode mode, int (*try)(void))
{
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                struct error err = {""};
                struct confined is;

                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(rules, mode, &is, &err) < 0) {
                        dprintf(2, "%s\n", err.text);
                        _exit(ODD);
                }
                errno = 0;
                int r = try();
                _exit(r >= 0 ? ALLOWED : errno == EPERM || errno == EACCES ? DENIED : ODD);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status))
                return WTERMSIG(status) == SIGSYS ? KILLED : ODD;
        return WEXITSTATUS(status);
}

static int read_file(const char *path)
{
        char byte;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 || read(fd, &byte, 1) < 0 ? -1 : 0;
}
static int in_folder(const char *name, int flags)
{
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        return open(path, flags | O_CLOEXEC, 0600);
}
static int read_passwd(void)
{
        return read_file("/etc/passwd");
}
static int read_own(void)
{
        return in_folder("there", O_RDONLY);
}
static int write_own(void)
{
        return in_folder("there", O_WRONLY);
}
static int make_own(void)
{
        return in_folder("new", O_WRONLY | O_CREAT);
}
static int make_elsewhere(void)
{
        return open("/tmp/postern-confine-elsewhere", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}
static int read_memory(void)
{
        return read_file("/proc/1/mem");
}
static int stat_path(void)
{
        struct stat st;
        return stat("/etc/passwd", &st);
}
static int stat_fd(void)
{
        struct stat st;
        return fstat(0, &st);
}
static int make_process(void)
{
        return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static int run_program(void)
{
        char *const argv[] = {NULL};
        return execve("/bin/true", argv, argv);
}
static int trace_parent(void)
{
        return (int)ptrace(PTRACE_ATTACH, getppid(), 0, 0);
}
static int peek_parent(void)
{
        char byte;
        struct iovec mine = {&byte, 1}, theirs = {&byte, 1};
        return (int)process_vm_readv(getppid(), &mine, 1, &theirs, 1, 0);
}
static int signal_parent(void)
{
        return kill(getppid(), 0);
}
static int make_ring(void)
{
        return (int)syscall(SYS_io_uring_setup, 1, NULL);
}
static int executable_memory(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static int plain_memory(void)
{
        void *p = malloc(1 << 20);
        if (!p)
                return -1;
        free(p);
        return 0;
}
static int inet_socket(void)
{
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int unix_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int raw_socket(void)
{
        return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}
static int netlink_socket(void)
{
        return socket(AF_NETLINK, SOCK_RAW, 0);
}
static int pair_of(int type)
{
        int pair[2];
        return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair);
}
static int stream_pair(void)
{
        return pair_of(SOCK_STREAM);
}
static int datagram_pair(void)
{
        return pair_of(SOCK_DGRAM);
}
static int packet_pair(void)
{
        return pair_of(SOCK_SEQPACKET);
}
/* Turns one end of a pair of datagram sockets to a socket outside. */
static int reach_outside(void)
{
        const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0postern-confine-outside"};
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
                return -1;
        return (int)sendto(pair[0], "x", 1, 0, (const struct sockaddr *)&to,
                           offsetof(struct sockaddr_un, sun_path) + sizeof("\0postern-confine-outside") - 1);
}
static int connect_out(void)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(to);
        int fd = inet_socket();

        if (fd < 0 || getsockname(listener, (struct sockaddr *)&to, &n) < 0)
                return -1;
        return connect(fd, (struct sockaddr *)&to, sizeof(to));
}
static int listen_here(void)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = inet_socket();

        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
                return -1;
        return listen(fd, 1);
}
static int raise_limit(void)
{
        return (int)syscall(SYS_prlimit64, 0, 4, &(uint64_t[2]){1 << 20, 1 << 20}, NULL);
}
static int become_root(void)
{
        return setuid(0);
}
static int abort_self(void)
{
        return raise(SIGURG);
}

static const struct confine_path none_path = {.path = "/nowhere-at-all"};
static struct confine_path own_read = {.fd = -1}, own_write = {.fd = -1, .write = true};
static const struct confine_rules link_rules = {.process = "link", .needs = CONFINE_CONNECT};
static const struct confine_rules reader = {
        .process = "reader", .needs = CONFINE_CONNECT | CONFINE_READ, .paths = &own_read, .n_paths = 1};
static const struct confine_rules writer = {
        .process = "writer", .needs = CONFINE_WRITE | CONFINE_ACCEPT, .paths = &own_write, .n_paths = 1};
static const struct confine_rules foreign = {.process = "foreign", .needs = CONFINE_FOREIGN_CODE};

static bool landlock(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
}

static void a_table(void **state)
{
        const int denied_below = landlock() ? DENIED : ALLOWED;
        const struct {
                const char *what;
                int (*try)(void);
                int link, reader, writer, foreign;
        } rows[] = {
                {"read /etc/passwd", read_passwd, DENIED, denied_below, denied_below, ALLOWED},
                {"read its own file", read_own, DENIED, ALLOWED, ALLOWED, ALLOWED},
                {"write its own file", write_own, DENIED, DENIED, ALLOWED, ALLOWED},
                {"make a file in its folder", make_own, DENIED, DENIED, ALLOWED, ALLOWED},
                {"make a file elsewhere", make_elsewhere, DENIED, DENIED, denied_below, ALLOWED},
                {"open another's memory", read_memory, DENIED, denied_below, denied_below, ANY},
                {"stat a path", stat_path, DENIED, ALLOWED, ALLOWED, ALLOWED},
                {"stat a descriptor", stat_fd, ALLOWED, ALLOWED, ALLOWED, ALLOWED},
                {"make a process", make_process, DENIED, DENIED, DENIED, ALLOWED},
                {"run a program", run_program, KILLED, KILLED, KILLED, KILLED},
                {"trace", trace_parent, KILLED, KILLED, KILLED, KILLED},
                {"read another's memory", peek_parent, KILLED, KILLED, KILLED, KILLED},
                {"set up an io_uring", make_ring, KILLED, KILLED, KILLED, KILLED},
                {"signal another", signal_parent, DENIED, DENIED, DENIED, ALLOWED},
                {"map code", executable_memory, DENIED, DENIED, DENIED, ALLOWED},
                {"take memory", plain_memory, ALLOWED, ALLOWED, ALLOWED, ALLOWED},
                {"make a TCP socket", inet_socket, ALLOWED, ALLOWED, DENIED, ALLOWED},
                {"connect", connect_out, ALLOWED, ALLOWED, DENIED, ALLOWED},
                {"listen", listen_here, DENIED, DENIED, DENIED, DENIED},
                {"make a local socket", unix_socket, DENIED, DENIED, DENIED, ALLOWED},
                {"make a pair of stream sockets", stream_pair, ALLOWED, ALLOWED, ALLOWED, ALLOWED},
                {"make a pair of datagram sockets", datagram_pair, DENIED, DENIED, DENIED, ALLOWED},
                {"make a pair of packet sockets", packet_pair, DENIED, DENIED, DENIED, ALLOWED},
                {"reach a datagram socket outside", reach_outside, DENIED, DENIED, DENIED, ANY},
                {"make a raw socket", raw_socket, DENIED, DENIED, DENIED, geteuid() ? DENIED : ALLOWED},
                {"make a netlink socket", netlink_socket, DENIED, DENIED, DENIED, ALLOWED},
                {"set a limit", raise_limit, DENIED, DENIED, DENIED, ALLOWED},
                {"become root", become_root, DENIED, DENIED, DENIED, DENIED},
                {"signal itself", abort_self, ALLOWED, ALLOWED, ALLOWED, ALLOWED},
        };
        int wrong = 0;

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                const struct {
                        const struct confine_rules *rules;
                        int expected;
                } cells[] = {{&link_rules, rows[i].link},
                             {&reader, rows[i].reader},
                             {&writer, rows[i].writer},
                             {&foreign, rows[i].foreign}};
                for (size_t k = 0; k < 4; k++) {
                        int got = attempt(cells[k].rules, CONFINE_ENFORCE, rows[i].try);
                        if (got != cells[k].expected && cells[k].expected != ANY) {
                                print_message("%s: %s: got %d, expected %d\n", rows[i].what, cells[k].rules->process,
                                              got, cells[k].expected);
                                wrong++;
                        }
                }
        }
        assert_int_equal(wrong, 0);
}

/* A datagram socket that was there before: by it only where it is connected to is reached. */
static int handed[2];
static int send_on(void)
{
        return (int)send(handed[0], "x", 1, 0);
}
static int send_to_outside(void)
{
        const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0postern-confine-outside"};

        return (int)sendto(handed[0], "x", 1, 0, (const struct sockaddr *)&to,
                           offsetof(struct sockaddr_un, sun_path) + sizeof("\0postern-confine-outside") - 1);
}
static int send_message(void)
{
        struct iovec iov = {(char[]){"x"}, 1};
        const struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

        return (int)sendmsg(handed[0], &h, 0);
}
static void handed_datagram_socket(void **state)
{
        struct confine_rules rules = writer;

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, handed), 0);
        rules.needs |= CONFINE_DATAGRAM;
        assert_int_equal(attempt(&rules, CONFINE_ENFORCE, send_on), ALLOWED);
        assert_int_equal(attempt(&rules, CONFINE_ENFORCE, send_to_outside), DENIED);
        assert_int_equal(attempt(&rules, CONFINE_ENFORCE, send_message), DENIED);
}

/* Only notes: what is refused otherwise works. */
static void log_mode(void **state)
{
        (void)state;
        assert_int_equal(attempt(&link_rules, CONFINE_LOG, read_passwd), ALLOWED);
        assert_int_equal(attempt(&link_rules, CONFINE_LOG, make_own), ALLOWED);
        assert_int_equal(attempt(&link_rules, CONFINE_OFF, read_passwd), ALLOWED);
}

/* What a path names need not be there. */
static void missing_path(void **state)
{
        const struct confine_rules rules = {
                .process = "reader", .needs = CONFINE_READ, .paths = &none_path, .n_paths = 1};

        (void)state;
        assert_int_equal(attempt(&rules, CONFINE_ENFORCE, stat_fd), ALLOWED);
}

/* What confine() says below a filter that answers this call with this error: 'A' absent, 'F' forbidden, 'O' on; 'N'
 * fails and names what the unit lacks, 'X' fails with other words. */
static int below_a_filter(const char *call, uint16_t error)
{
        static const struct confine_rules rules = {.process = "boxed", .needs = CONFINE_READ};
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                scmp_filter_ctx around = seccomp_init(SCMP_ACT_ALLOW);
                struct error err = {""};
                struct confined is;

                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    seccomp_rule_add(around, SCMP_ACT_ERRNO(error), seccomp_syscall_resolve_name(call), 0) < 0 ||
                    seccomp_load(around) < 0)
                        _exit('?');
                if (confine(&rules, CONFINE_ENFORCE, &is, &err) < 0)
                        _exit(strstr(err.text, "SystemCallFilter=" CONFINE_UNIT_CALLS) && !strstr(err.text, "= off")
                                      ? 'N'
                                      : 'X');
                _exit(is.landlock == LANDLOCK_ABSENT ? 'A' : is.landlock == LANDLOCK_FORBIDDEN ? 'F' : 'O');
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : '!';
}

static void test_a_filter_around_it_is_named(void **state)
{
        (void)state;
        assert_int_equal(below_a_filter("landlock_create_ruleset", EPERM), 'F');
        assert_int_equal(below_a_filter("landlock_create_ruleset", ENOSYS), 'A');
        assert_int_equal(below_a_filter("seccomp", EPERM), 'N');
        if (below_a_filter("getpid", 0) == 'O') /* this kernel has it */
                assert_int_equal(below_a_filter("landlock_restrict_self", EPERM), 'F');
}

static int set_up(void **state)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        (void)state;
        if (!mkdtemp(folder) || in_folder("there", O_WRONLY | O_CREAT) < 0)
                return -1;
        folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        own_read.fd = own_write.fd = folder_fd;
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return folder_fd < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ? -1 : listen(listener, 16);
}

static int tear_down(void **state)
{
        char path[128];

        (void)state;
        (void)snprintf(path, sizeof(path), "%s/there", folder);
        (void)unlink(path);
        (void)snprintf(path, sizeof(path), "%s/new", folder);
        (void)unlink(path);
        (void)unlink("/tmp/postern-confine-elsewhere");
        return rmdir(folder);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(a_table), cmocka_unit_test(handed_datagram_socket),
                                           cmocka_unit_test(log_mode), cmocka_unit_test(missing_path),
                                           cmocka_unit_test(test_a_filter_around_it_is_named)};

        log_open("test", LOG_LEVEL_ERROR, NULL);
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
