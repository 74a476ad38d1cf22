/*
 * The ledger without posternd: one request, answered from the database that the last run left.
 *
 * Invariant: before the database is opened this process is the user that the database belongs to, so that whatever it
 * writes (SQLite finishes what a killed run began) the next posternd can use, and a database that somebody prepared
 * meets no root. It serves nobody else, and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/frames/control.h"
#include "connector/ledger/ledger.h"

#define LAST_RUN "last-run.json"
#define LAST_RUN_MAX 4096

static int put(json_t *answer)
{
        const bool ok = json_is_true(json_object_get(answer, "ok"));

        if (!answer || json_dumpf(answer, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF || fflush(stdout) != 0)
                return 1;
        json_decref(answer);
        return !ok;
}

static int refuse(const char *why)
{
        return put(json_pack("{s:b, s:s}", "ok", 0, "error", why));
}

/* What the supervisor wrote of its last run; NULL where there is nothing. */
static json_t *read_last_run(int state)
{
        _cleanup_(closep) int fd = openat(state, LAST_RUN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        char text[LAST_RUN_MAX];
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

        return n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static void read_hash_key(struct ledger *l, int state)
{
        _cleanup_(closep) int fd = openat(state, FILE_HASH_KEY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        l->has_hash_key = fd >= 0 && pread(fd, l->hash_key, sizeof(l->hash_key), 0) == (ssize_t)sizeof(l->hash_key);
}

/* Opens what the last run left, in state_dir. */
static int open_ledger(struct ledger *l, json_t **ret_last_run, struct error *err)
{
        const char *state_dir = l->config->state_dir;
        _cleanup_(closep) int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (state < 0)
                return error_fail(err, -errno, "%s: %s%s", state_dir, strerror(errno),
                                  errno == EACCES ? "; where posternd does not run, only root can read its ledger"
                                                  : "");
        *ret_last_run = read_last_run(state);
        read_hash_key(l, state);
        l->dir_fd = openat(state, "ledger", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (l->dir_fd < 0 || fstatat(l->dir_fd, "ledger.db", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_fail(err, -ENOENT, "no posternd has run here: %s/ledger holds no database", state_dir);
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0))
                return error_fail(err, -errno, "cannot become the user of the ledger: %s", strerror(errno));
        const struct journal_config config = {.loop = l->process.loop,
                                              .dir_fd = l->dir_fd,
                                              .key = l->has_hash_key ? l->hash_key : NULL,
                                              .days = l->config->ledger_days,
                                              .names_days = l->config->names_days,
                                              .rows = l->config->ledger_rows};
        l->dir_fd = -1;
        return ledger_journal_new(&l->journal, &config, err);
}

/* Without a database the last run, or that there was none, can be told all the same. */
static json_t *answer_without(struct ledger *l, const struct request *request, const struct error *err)
{
        if (request->what_to_do != REQUEST_STATUS)
                return json_pack("{s:b, s:s}", "ok", 0, "error", err->text);
        return json_pack("{s:b, s:I, s:{s:s, s:s}, s:{}}", "ok", 1, "now", (json_int_t)loop_wall(l->process.loop),
                         "ledger", "state", "none", "why", err->text, "parts");
}

int ledger_offline(const char *path)
{
        struct conf_errors errors = CONF_ERRORS;
        static struct ledger l = {.dir_fd = -1, .socket_fd = -1};
        struct request request = {.limit = 1};
        struct error err = {"out of memory"};
        char line[REQUEST_LINE_MAX + 1];
        json_t *last_run = NULL;

        log_open("postern-ledger", LOG_LEVEL_ERROR, NULL);
        if (config_load(&l.config, path, NULL, &errors) < 0)
                return refuse(errors.lines.len ? errors.lines.data : "the configuration cannot be read");
        if (loop_new(&l.process.loop) < 0 ||
            request_parse(&request, line, fread(line, 1, sizeof(line), stdin), &err) < 0)
                return refuse(err.text);
        int r = open_ledger(&l, &last_run, &err);
        json_t *answer = r == 0         ? ledger_answer(&l, &request)
                         : r == -ENOENT ? answer_without(&l, &request, &err)
                                        : json_pack("{s:b, s:s}", "ok", 0, "error", err.text);
        (void)json_object_set_new(answer, "offline", json_true());
        if (last_run)
                (void)json_object_set_new(answer, "last_run", last_run);
        int code = put(answer);
        l.journal = ledger_journal_free(l.journal);
        l.process.loop = loop_free(l.process.loop);
        l.config = config_free(l.config);
        conf_errors_clear(&errors);
        return code;
}
