/*
 * What every cmocka test of this folder includes, in the order cmocka wants.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child, for what cannot be undone; the wait status. Children leave by _exit: 0 is success. */
static inline int in_child(int (*fn)(void))
{
        pid_t pid = fork();
        int status = -1;

        if (pid == 0)
                _exit(fn());
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

#define assert_child_ok(fn)                                                                                            \
        do {                                                                                                           \
                int status_ = in_child(fn);                                                                            \
                assert_true(WIFEXITED(status_));                                                                       \
                assert_int_equal(WEXITSTATUS(status_), 0);                                                             \
        } while (0)

#define assert_child_aborts(fn)                                                                                        \
        do {                                                                                                           \
                int status_ = in_child(fn);                                                                            \
                assert_true(WIFSIGNALED(status_));                                                                     \
                assert_int_equal(WTERMSIG(status_), SIGABRT);                                                          \
        } while (0)

/* In children: leaves with the line's number (1..255) when the condition does not hold. */
#define child_check(cond)                                                                                              \
        do {                                                                                                           \
                if (!(cond))                                                                                           \
                        _exit(__LINE__ % 255 + 1);                                                                     \
        } while (0)
