/*
 * The tables of system calls, and Landlock's rules.
 *
 * Invariant: the filter is a list of what is allowed. What is not on it fails with EPERM, which libraries take
 * for a kernel that does not have it, or (a few that no honest path makes) kills the process. Landlock comes
 * first, because the filter forbids it afterwards.
 */
#include "base/process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"

/* Memory, time, waiting, and what is open already. */
static const char *const always[] = {
        "brk",
        "munmap",
        "mremap",
        "madvise",
        "mlock",
        "mlock2",
        "munlock",
        "mincore",
        "membarrier",
        "read",
        "readv",
        "write",
        "writev",
        "recvfrom",
        "recvmsg",
        "close",
        "fstat",
        "lseek",
        "fcntl",
        "dup",
        "dup2",
        "dup3",
        "shutdown",
        "getsockopt",
        "setsockopt",
        "getsockname",
        "getpeername",
        "pread64",
        "pwrite64",
        "fsync",
        "fdatasync",
        "memfd_create",
        "ftruncate",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_create1",
        "epoll_ctl",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "eventfd2",
        "pipe2",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_gettime",
        "clock_gettime",
        "clock_getres",
        "clock_nanosleep",
        "nanosleep",
        "alarm",
        "setitimer",
        "gettimeofday",
        "time",
        "getpid",
        "getppid",
        "gettid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "getresuid",
        "getresgid",
        "getrandom",
        "uname",
        "sysinfo",
        "getrusage",
        "times",
        "getrlimit",
        "getcpu",
        "sched_yield",
        "sched_getaffinity",
        "futex",
        "rseq",
        "set_robust_list",
        "restart_syscall",
        "sigaltstack",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "rt_sigpending",
        "exit",
        "exit_group",
};
static const char *const for_reading[] = {"newfstatat", "stat",       "lstat",    "statx",      "access",
                                          "faccessat",  "faccessat2", "readlink", "readlinkat", "getcwd",
                                          "getdents64", "fstatfs",    "flock"};
static const char *const for_writing[] = {"open",  "openat",  "unlink", "unlinkat",  "rename", "renameat", "renameat2",
                                          "mkdir", "mkdirat", "fchmod", "fallocate", "umask",  "fchdir",   "utimensat"};
/* No honest path comes here: whoever asks is somebody else's code. */
static const char *const deadly[] = {"execve",           "execveat",          "ptrace",      "bpf",
                                     "process_vm_readv", "process_vm_writev", "pidfd_getfd", "io_uring_setup",
                                     "userfaultfd",      "kexec_load",        "init_module", "finit_module"};
/* Refused even to foreign code, besides the deadly ones. */
static const char *const never[] = {"listen",          "unshare", "setns",   "mount",     "umount2",
                                    "pivot_root",      "chroot",  "keyctl",  "add_key",   "request_key",
                                    "perf_event_open", "swapon",  "swapoff", "reboot",    "settimeofday",
                                    "clock_settime",   "setuid",  "setgid",  "setresuid", "setresgid",
                                    "process_madvise"};

/* Adds one rule; a name that this machine's kernel interface does not have is none. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned n,
               const struct scmp_arg_cmp *conditions)
{
        int number = seccomp_syscall_resolve_name(name);

        if (number == __NR_SCMP_ERROR || number < 0)
                return 0;
        return seccomp_rule_add_array(filter, action, number, n, conditions);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = add(filter, action, names[i], 0, NULL);
        return r;
}
#define ADD_ALL(filter, action, names) add_all(filter, action, names, sizeof(names) / sizeof((names)[0]))

/* Calls that are allowed where their arguments say so, each for whom that needs it (0: for all). What sendmsg() is told
 * to send to cannot be seen here; of sendto() it can be seen that there is no address. connect() cannot be judged by
 * its address, so what may ask must not have sockets of other families. */
#define EQUAL(argument, value)                                                                                         \
        {                                                                                                              \
                argument, SCMP_CMP_EQ, value, 0                                                                        \
        }
#define MASKED(argument, mask, value)                                                                                  \
        {                                                                                                              \
                argument, SCMP_CMP_MASKED_EQ, mask, value                                                              \
        }
#define SOCKET(family, type)                                                                                           \
        2,                                                                                                             \
        {                                                                                                              \
                EQUAL(0, family), MASKED(1, ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), type)                       \
        }
/* open() for reading only: everything that could change a file is a flag. */
#define OPEN_CHANGES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define THREAD (CLONE_THREAD | CLONE_VM) /* and no process */
static const struct {
        unsigned needs;
        const char *name;
        unsigned n;
        struct scmp_arg_cmp conditions[2];
} conditional[] = {
        /* descriptors' state only, and what isatty() asks */
        {0, "ioctl", 1, {EQUAL(1, FIONREAD)}},
        {0, "ioctl", 1, {EQUAL(1, FIONBIO)}},
        {0, "ioctl", 1, {EQUAL(1, FIOCLEX)}},
        {0, "ioctl", 1, {EQUAL(1, TCGETS)}},
        {0, "mmap", 1, {MASKED(2, PROT_EXEC, 0)}},
        {0, "mprotect", 1, {MASKED(2, PROT_EXEC, 0)}},
        /* reading a limit, not setting one */
        {0, "prlimit64", 1, {EQUAL(2, 0)}},
        /* what fstat() is in glibc */
        {0, "newfstatat", 1, {MASKED(3, AT_EMPTY_PATH, AT_EMPTY_PATH)}},
        /* What libcurl wakes its loop with. A pair of datagram sockets would be a way out: each end can be connected
         * to, or send to, any local datagram socket (the journal's, another daemon's), which neither Landlock nor a
         * namespace of the network keeps it from. */
        {0, "socketpair", SOCKET(AF_UNIX, SOCK_STREAM)},
        {CONFINE_DATAGRAM, "sendto", 1, {EQUAL(4, 0)}},
        {CONFINE_CONNECT | CONFINE_ASK | CONFINE_TELL, "connect", 0, {EQUAL(0, 0)}},
        {CONFINE_CONNECT, "socket", SOCKET(AF_INET, SOCK_STREAM)},
        {CONFINE_CONNECT, "socket", SOCKET(AF_INET, SOCK_DGRAM)},
        {CONFINE_CONNECT, "socket", SOCKET(AF_INET6, SOCK_STREAM)},
        {CONFINE_CONNECT, "socket", SOCKET(AF_INET6, SOCK_DGRAM)},
        {CONFINE_ASK, "socket", SOCKET(AF_UNIX, SOCK_STREAM)},
        {CONFINE_TELL, "socket", SOCKET(AF_UNIX, SOCK_DGRAM)},
        {CONFINE_THREADS, "clone", 1, {MASKED(0, THREAD, THREAD)}},
        {CONFINE_READ | CONFINE_WRITE, "openat", 1, {MASKED(2, OPEN_CHANGES, O_RDONLY)}},
        {CONFINE_READ | CONFINE_WRITE, "open", 1, {MASKED(1, OPEN_CHANGES, O_RDONLY)}},
        {CONFINE_ACCEPT, "accept4", 0, {EQUAL(0, 0)}},
};
static const char *const for_sending[] = {"sendto", "sendmsg"};
static const char *const for_threads[] = {"sendmmsg", "recvmmsg", "sched_getparam", "sched_getscheduler", "prctl"};

static int allow_needs(scmp_filter_ctx filter, unsigned needs)
{
        const struct scmp_arg_cmp itself = EQUAL(0, (scmp_datum_t)getpid());
        int r = ADD_ALL(filter, SCMP_ACT_ALLOW, always);

        if (r == 0) /* abort() and raise() signal the process itself */
                r = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &itself);
        if (r == 0 && !(needs & CONFINE_DATAGRAM))
                r = ADD_ALL(filter, SCMP_ACT_ALLOW, for_sending);
        for (size_t i = 0; r == 0 && i < sizeof(conditional) / sizeof(conditional[0]); i++)
                if (!conditional[i].needs || needs & conditional[i].needs)
                        r = add(filter, SCMP_ACT_ALLOW, conditional[i].name, conditional[i].n,
                                conditional[i].conditions);
        if (r == 0 && needs & CONFINE_THREADS)
                r = ADD_ALL(filter, SCMP_ACT_ALLOW, for_threads);
        /* glibc asks for clone3() first, whose flags cannot be seen, and takes clone() where the kernel seems to have
         * none */
        if (r == 0 && needs & CONFINE_THREADS)
                r = add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
        if (r == 0 && needs & (CONFINE_READ | CONFINE_WRITE))
                r = ADD_ALL(filter, SCMP_ACT_ALLOW, for_reading);
        if (r == 0 && needs & CONFINE_WRITE)
                r = ADD_ALL(filter, SCMP_ACT_ALLOW, for_writing);
        return r;
}

static void filter_freep(scmp_filter_ctx *filter)
{
        if (*filter)
                seccomp_release(*filter);
}

static int filter_calls(const struct confine_rules *rules, bool enforce, struct error *err)
{
        const uint32_t refuse = enforce ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_LOG, allow = SECCOMP_RET_ALLOW;
        const bool foreign = rules->needs & CONFINE_FOREIGN_CODE;
        _cleanup_(filter_freep) scmp_filter_ctx filter = seccomp_init(foreign ? SCMP_ACT_ALLOW : refuse);
        int r = filter ? 0 : -ENOMEM;

        if (r == 0 && foreign)
                r = ADD_ALL(filter, refuse, never);
        else if (r == 0)
                r = allow_needs(filter, rules->needs);
        if (r == 0 && enforce)
                r = ADD_ALL(filter, SCMP_ACT_KILL_PROCESS, deadly);
        if (r == 0) /* the kernel's own answer, not "canceled" for all of them */
                r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
        if (r == 0)
                r = seccomp_load(filter);
        if (r >= 0)
                return 0;
        /* The kernel is asked, because where a filter that was there before forbids the call libseccomp tries another
         * one, whose error says nothing. */
        if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &allow) < 0 && (errno == EPERM || errno == EACCES))
                return error_fail(
                        err, -EPERM,
                        "the %s process may not confine itself: a filter around it, of its unit or its container, "
                        "forbids seccomp(); add to [Service] of the unit: SystemCallFilter=" CONFINE_UNIT_CALLS,
                        rules->process);
        return error_fail(err, r,
                          "the kernel does not take the filter of system calls of the %s process (%s); a "
                          "kernel without seccomp needs `confinement = off`",
                          rules->process, strerror(-r));
}

/* ---- Landlock: landlock(7). Numbers that Debian 12's headers do not have are written out. ---- */

#define FS_ALL_1 ((UINT64_C(1) << 13) - 1)
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_REFER (UINT64_C(1) << 13)    /* since version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14) /* 3 */
#define FS_IOCTL (UINT64_C(1) << 15)    /* 5 */
#define FS_READ (UINT64_C(1) << 2 | UINT64_C(1) << 3)
/* Making devices, sockets, pipes and links is nobody's. */
#define FS_WRITE (UINT64_C(1) << 1 | UINT64_C(1) << 4 | UINT64_C(1) << 5 | UINT64_C(1) << 7 | UINT64_C(1) << 8)
#define FS_OF_A_FILE (FS_EXECUTE | UINT64_C(1) << 1 | UINT64_C(1) << 2 | FS_TRUNCATE | FS_IOCTL)
#define NET_BIND (UINT64_C(1) << 0) /* 4 */
#define NET_CONNECT (UINT64_C(1) << 1)
#define SCOPE_ALL UINT64_C(3) /* 6: abstract sockets and signals of processes outside */

struct ruleset_attributes {
        uint64_t fs, net, scoped;
};

static int add_path(int ruleset, const struct confine_path *path, uint64_t handled)
{
        _cleanup_(closep) int opened = path->path ? open(path->path, O_PATH | O_CLOEXEC) : -1;
        const int fd = path->path ? opened : path->fd;
        struct landlock_path_beneath_attr rule = {.parent_fd = fd};

        if (fd < 0) /* not there */
                return 0;
        rule.allowed_access = (FS_READ | (path->write ? FS_WRITE | FS_TRUNCATE : 0)) & handled;
        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
                return 0;
        rule.allowed_access &= FS_OF_A_FILE; /* it is no folder */
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static int restrict_paths(const struct confine_rules *rules, int version)
{
        struct ruleset_attributes a = {.fs = FS_ALL_1};
        const size_t size = version >= 6   ? sizeof(a)
                            : version >= 4 ? offsetof(struct ruleset_attributes, scoped)
                                           : offsetof(struct ruleset_attributes, net);

        a.fs |= version >= 2 ? FS_REFER : 0;
        a.fs |= version >= 3 ? FS_TRUNCATE : 0;
        a.fs |= version >= 5 ? FS_IOCTL : 0;
        if (version >= 4)
                a.net = NET_BIND | (rules->needs & CONFINE_CONNECT ? 0 : NET_CONNECT);
        a.scoped = version >= 6 ? SCOPE_ALL : 0;
        _cleanup_(closep) int ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, size, 0);
        int r = ruleset < 0 ? -errno : 0;

        for (size_t i = 0; r == 0 && i < rules->n_paths; i++)
                r = add_path(ruleset, &rules->paths[i], a.fs);
        if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                r = -errno;
        return r;
}

/* 0 also where the kernel has none (it says ENOSYS or EOPNOTSUPP), or where it may not be asked. */
static int shut_paths(const struct confine_rules *rules, enum confine_landlock *ret, struct error *err)
{
        const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        const int r = version < 0 ? -errno : version == 0 ? -EOPNOTSUPP : restrict_paths(rules, (int)version);

        *ret = LANDLOCK_ON;
        if (r == -EPERM || r == -EACCES) {
                *ret = LANDLOCK_FORBIDDEN;
                log_warning("process.no_landlock", KV_S("process", rules->process),
                            KV_S("why", "a filter around it, of its unit or its container, forbids landlock"),
                            KV_S("remedy", "add to [Service] of the unit: SystemCallFilter=" CONFINE_UNIT_CALLS));
        } else if (version < 1) {
                *ret = LANDLOCK_ABSENT;
                log_info("process.no_landlock", KV_S("process", rules->process), KV_S("why", "the kernel has none"));
        } else if (r < 0) {
                return error_fail(err, r, "the kernel does not take the Landlock rules of the %s process: %s",
                                  rules->process, strerror(-r));
        }
        return 0;
}

int confine(const struct confine_rules *rules, enum confine_mode mode, struct confined *ret, struct error *err)
{
        struct confined is = {false, LANDLOCK_UNUSED};
        int r = 0;

#ifdef __SANITIZE_ADDRESS__
        mode = CONFINE_OFF;
#endif
        *ret = is;
        if (mode == CONFINE_OFF) {
                log_debug("process.unconfined", KV_S("process", rules->process));
                return 0;
        }
        if (mode == CONFINE_ENFORCE && !(rules->needs & CONFINE_FOREIGN_CODE))
                r = shut_paths(rules, &is.landlock, err);
        if (r == 0)
                r = filter_calls(rules, mode == CONFINE_ENFORCE, err);
        if (r < 0)
                return r;
        is.seccomp = mode == CONFINE_ENFORCE;
        *ret = is;
        log_debug("process.confined", KV_S("process", rules->process),
                  KV_S("how", mode == CONFINE_ENFORCE ? "enforce" : "log"),
                  KV_S("landlock", confine_landlock_text(is.landlock)));
        return 0;
}

const char *confine_landlock_text(enum confine_landlock landlock)
{
        switch (landlock) {
        case LANDLOCK_UNUSED:
                return "off";
        case LANDLOCK_ON:
                return "on";
        case LANDLOCK_ABSENT:
                return "absent";
        case LANDLOCK_FORBIDDEN:
                return "forbidden";
        }
        return "?";
}
