/*
 * What a C test asks of the lab around it. The test is started as `tests/lab/lab run --with samba -- TEST`;
 * the keys are those of lab.env without LAB_: AD_ADDRESS, CA, GOOD1_UPN, GOOD1_PASSWORD, LOCKED_SID,
 * MIT_U3_PASSWORD …
 */
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The value of LAB_key. Without it the test can't mean anything: says so and ends the program as failed. */
static inline const char *lab_get(const char *key)
{
        char name[128];
        int n = snprintf(name, sizeof(name), "LAB_%s", key);
        const char *value = n > 0 && (size_t)n < sizeof(name) ? getenv(name) : NULL;
        if (!value) {
                fprintf(stderr, "%s is not set: start this test by `tests/lab/lab run -- TEST`\n", name);
                exit(1);
        }
        return value;
}

/* LAB_<prefix>_<field>, for tests that walk a list of accounts: lab_get2("LOCKED", "PASSWORD"). */
static inline const char *lab_get2(const char *prefix, const char *field)
{
        char key[96];
        int n = snprintf(key, sizeof(key), "%s_%s", prefix, field);
        return lab_get(n > 0 && (size_t)n < sizeof(key) ? key : prefix);
}

static inline uint16_t lab_port(const char *key)
{
        return (uint16_t)strtoul(lab_get(key), NULL, 10);
}

/* Runs `lab COMMAND SAM` to its end; returns the number it printed, or -1 when it failed. */
static inline int lab_ask(const char *command, const char *sam)
{
        char text[32] = "";
        int fds[2], status;
        pid_t pid;
        posix_spawn_file_actions_t actions;
        char *argv[] = {strdup(lab_get("TOOL")), strdup(command), strdup(sam), NULL};

        if (pipe2(fds, O_CLOEXEC) < 0 || posix_spawn_file_actions_init(&actions))
                return -1;
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        int r = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[1]);
        for (size_t i = 0; i < 3; i++)
                free(argv[i]);
        if (!r) {
                size_t n = 0;
                for (ssize_t got;
                     n < sizeof(text) - 1 && (got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0;)
                        n += (size_t)got;
                r = waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status);
        }
        close(fds[0]);
        return r ? -1 : (int)strtol(text, NULL, 10);
}

/* The account's badPwdCount as the DC has it now; -1 when it can't be read. */
static inline int lab_bad_pwd_count(const char *sam)
{
        return lab_ask("badpwdcount", sam);
}

/* Ends a lockout and sets badPwdCount to 0; 0, or -1 when that failed. */
static inline int lab_unlock(const char *sam)
{
        return lab_ask("unlock", sam);
}
