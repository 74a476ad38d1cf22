/*
 * What `postern status` learns from the supervisor: FRAME_SHARE to the ledger, for each process and for the supervisor.
 *
 * It only tells; nothing is decided here. Text of others that is no UTF-8 is left out rather than sent broken.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/frames/acts.h"

static const char *clean(const char *text)
{
        return utf8_valid(text, strlen(text)) ? text : "(not readable)";
}

/* 0 or -errno. */
static int tell_ledger(struct supervisor *s, const char *name, const char *text)
{
        struct child *ledger = &s->children[PART_LEDGER];
        struct msg_out m;

        if (ledger->state != CHILD_RUNNING)
                return -EPIPE;
        msg_begin(&m, FRAME_SHARE);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, text);
        return ipc_send(ledger->control, &m);
}

/* Takes over json. A broken channel is reported from the loop. */
static void share(struct supervisor *s, const char *name, json_t *json)
{
        char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

        json_decref(json);
        if (text)
                (void)tell_ledger(s, name, text);
        free(text);
}

static int tell_act(void *arg, const char *line)
{
        return utf8_valid(line, strlen(line)) ? tell_ledger(arg, SHARE_ACT, line) : 0;
}

void share_acts(struct supervisor *s)
{
        const struct child *ledger = &s->children[PART_LEDGER];

        if (ledger->state == CHILD_RUNNING && ledger->ready)
                (void)acts_each(s->config->state_dir, tell_act, s);
}

void share_child(struct child *child)
{
        char name[32];

        (void)snprintf(name, sizeof(name), "process:%s", child_name(child));
        json_t *ends = json_array();
        for (size_t i = 0; i < CHILD_ENDS; i++)
                (void)json_array_append_new(ends, json_integer(child->ends[i]));
        share(child->arg, name,
              json_pack("{s:s, s:i, s:I, s:I, s:s, s:s, s:b, s:s, s:o}", "state",
                        child->state == CHILD_DOWN ? "down"
                        : child->ready             ? "running"
                                                   : "starting",
                        "pid", (int)child->pid, "since", (json_int_t)child->since, "restarts",
                        (json_int_t)child->restarts, "last_end", child->last_end, "why", clean(child->why), "seccomp",
                        child->ready && child->seccomp, "landlock", child->ready ? child->landlock : "", "ends", ends));
}

void share_supervisor(struct supervisor *s)
{
        json_t *keytabs = json_object(); /* {"corp.example": "why the keytab on the disk is not in use"} */

        for (size_t i = 0; i < s->config->validate.n_domains; i++)
                if (watch_trouble(s->watch, i)[0])
                        (void)json_object_set_new(keytabs, s->config->domains[i].name,
                                                  json_string(clean(watch_trouble(s->watch, i))));
        share(s, "process:supervisor",
              json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:o}", "state", "running", "pid", (int)getpid(), "version",
                        POSTERN_VERSION, "boot", s->boot.id, "id", s->connector_id, "reload_refused",
                        clean(s->reloading.why), "reload_at", (json_int_t)s->reloading.at, "keytabs", keytabs));
}

void share_all(struct supervisor *s)
{
        share_supervisor(s);
        for (size_t i = PART_LINK; i < PART_N; i++)
                share_child(&s->children[i]);
}
