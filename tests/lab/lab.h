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

/* Starts `lab admin` and leaves its standard input and output in *ret_to and *ret_from. It ends with this
 * process, which closes its input. */
static inline int lab_admin_start(FILE **ret_to, FILE **ret_from)
{
        int in[2], out[2];
        pid_t pid;
        posix_spawn_file_actions_t actions;
        char *argv[] = {strdup(lab_get("TOOL")), strdup("admin"), NULL};

        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || posix_spawn_file_actions_init(&actions))
                return -1;
        posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
        int r = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(in[0]);
        close(out[1]);
        free(argv[0]);
        free(argv[1]);
        if (r)
                return -1;
        *ret_to = fdopen(in[1], "w");
        *ret_from = fdopen(out[0], "r");
        return *ret_to && *ret_from ? 0 : -1;
}

/* Asks `lab admin` of this lab; returns the number it printed, or -1 when it failed. dc: 1 or 2. */
static inline int lab_ask(const char *command, const char *sam, int dc)
{
        static FILE *to, *from;
        char text[32] = "";

        if (!to && lab_admin_start(&to, &from) < 0)
                return -1;
        if (fprintf(to, "%s %s %d\n", command, sam, dc) < 0 || fflush(to) != 0 || !fgets(text, sizeof(text), from))
                return -1;
        return (int)strtol(text, NULL, 10);
}

/* The account's badPwdCount as the DC has it now; -1 when it can't be read. */
static inline int lab_bad_pwd_count(const char *sam)
{
        return lab_ask("badpwdcount", sam, 1);
}

/* Ends a lockout and sets badPwdCount to 0; 0, or -1 when that failed. */
static inline int lab_unlock(const char *sam)
{
        return lab_ask("unlock", sam, 1);
}
