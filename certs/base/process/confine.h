/*
 * What a process can still ask the kernel for, once it has everything it needs: seccomp by system call, and
 * Landlock by path where the kernel has it.
 *
 * Nothing here can be undone by the process, so a hole in its code gains no more than its rules say.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/error.h"

/* The words of the configuration key `confinement`. */
enum confine_mode {
        CONFINE_ENFORCE = 0, /* what is not allowed fails with EPERM; a start of a program kills the process */
        CONFINE_LOG,         /* what is not allowed is let through and noted in the kernel's audit log */
        CONFINE_OFF,
};

/* Besides memory, time, descriptors that are open already, and waiting on them. Never: exec, fork, ptrace,
 * another process's memory, listening sockets, io_uring, bpf, new namespaces, executable memory. */
enum confine_need {
        CONFINE_CONNECT = 1,  /* outbound TCP and UDP sockets of IPv4 and IPv6 */
        CONFINE_READ = 2,     /* open files for reading, below the paths */
        CONFINE_WRITE = 4,    /* make, write and remove files, below the paths that say so */
        CONFINE_ACCEPT = 8,   /* take connections of a listening socket that was handed over */
        CONFINE_ASK = 32,     /* connect to UNIX stream sockets, whose paths' permissions decide */
        CONFINE_THREADS = 64, /* threads of a library, and the C library's look-ups of names */
        /* Instead of all that: only what is never allowed is refused. For modules of tokens, which bring code of
         * their own. */
        CONFINE_FOREIGN_CODE = 16,
        /* It holds a connected UNIX datagram socket, by which it could reach any other one of the host: nothing is sent
         * to an address but where that socket leads, and no descriptor is handed on. */
        CONFINE_DATAGRAM = 128,
        CONFINE_TELL = 256, /* connect to UNIX datagram sockets, whose paths' permissions decide */
};

struct confine_path {
        const char *path; /* NULL: the descriptor */
        int fd;
        bool write;
};

/* What became of the rules about paths. */
enum confine_landlock {
        LANDLOCK_UNUSED = 0, /* not asked for: no path rules in this mode */
        LANDLOCK_ON,
        LANDLOCK_ABSENT,    /* the kernel has none */
        LANDLOCK_FORBIDDEN, /* the kernel may have it, but a filter around this process (the unit's, a container's) says
                               EPERM */
};

struct confined {
        bool seccomp;
        enum confine_landlock landlock;
};

/* What a unit must allow besides @system-service, for the texts that say so. */
#define CONFINE_UNIT_CALLS "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"

struct confine_rules {
        const char *process;
        unsigned needs; /* of enum confine_need */
        const struct confine_path *paths;
        size_t n_paths; /* a path that is not there is left out */
};

/*
 * Puts the calling process under the rules, for good; *ret says what holds from then on. 0; -errno and a text that
 * names what was refused, by whom, and what to do. Without Landlock the process goes on, and the log says why there is
 * none; without seccomp it does not. no_new_privs must be set (harden_process). In a build with sanitizers, which make
 * system calls of their own, nothing is done.
 */
int confine(const struct confine_rules *rules, enum confine_mode mode, struct confined *ret, struct error *err);

/* "on", "off", "absent" or "forbidden", as `postern status` shows it; literal. */
const char *confine_landlock_text(enum confine_landlock landlock);
