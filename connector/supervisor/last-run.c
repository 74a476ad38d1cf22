/*
 * How this run of posternd, or the start that failed, ended: a small file of state_dir, for `postern status` where no
 * posternd runs.
 *
 * It only tells: what cannot be written is left out, with a line in the log. A run that was killed leaves ended at 0.
 */
#include "connector/supervisor/supervisor.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

static void write_run(const struct supervisor *s, int64_t started, int64_t ended)
{
        const char *why = utf8_valid(s->end_why, strlen(s->end_why)) ? s->end_why : "see the log";
        json_auto_t *json = json_pack("{s:I, s:I, s:s}", "started", (json_int_t)started, "ended", (json_int_t)ended,
                                      "why", ended ? why : "");
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL, path[PATH_MAX];
        struct error err = {"out of memory"};

        if (!text || files_in_folder(path, s->config->state_dir, FILE_LAST_RUN, &err) < 0 ||
            file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
                log_debug("run.untold", KV_S("why", err.text));
        free(text);
}

void last_run_begin(const struct supervisor *s)
{
        write_run(s, s->boot.wall, 0);
}

void last_run_end(const struct supervisor *s)
{
        char path[PATH_MAX];
        struct error err;

        if (!s->loop ||
            (s->lock_fd < 0 && (files_in_folder(path, s->config->state_dir, FILE_LOCK, &err) < 0 || hand_locked(path))))
                return;
        write_run(s, s->boot.wall, loop_wall(s->loop));
}
