/*
 * Keytabs that change while the daemon runs: the validator gets the new one, without a reload and a drain.
 *
 * Looked at by stat, every two seconds: that also sees a file that another takes the place of, a symbolic link's
 * new target, and file systems that send no notice. A keytab that can't be handed on, or that the validator
 * refuses, changes nothing: the keys that run stay in use, and `postern status` says so until one is taken.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WATCH_MS 2000

struct watched {
        bool there;
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec changed;
        bool open;                    /* it was handed on, and nothing came back yet */
        char trouble[ERROR_TEXT_MAX]; /* watch_trouble */
};

struct watch {
        struct supervisor *s;
        const struct config *config; /* whose files the memory is of */
        struct watched *files;       /* one per domain */
        struct loop_timer *timer;
};

static struct watched look(const char *path)
{
        struct stat st;

        if (!path || stat(path, &st) < 0)
                return (struct watched){0};
        return (struct watched){
                .there = true, .dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .changed = st.st_ctim};
}

static void set_trouble(struct watch *w, size_t i, const char *why)
{
        char *trouble = w->files[i].trouble;

        if (strcmp(trouble, why) == 0)
                return;
        (void)snprintf(trouble, ERROR_TEXT_MAX, "%s", why);
        share_supervisor(w->s);
}

const char *watch_trouble(const struct watch *w, size_t i)
{
        return w && w->files && w->config == w->s->config ? w->files[i].trouble : "";
}

void watch_taken(struct watch *w, const char *name, const char *why)
{
        const size_t prefix = strlen(FILE_KEYTAB);

        for (size_t i = 0; w->files && w->config == w->s->config && i < w->config->validate.n_domains; i++)
                if (strncmp(name, FILE_KEYTAB, prefix) == 0 && strcmp(name + prefix, w->config->domains[i].name) == 0) {
                        w->files[i].open = false;
                        kept_settle(w->s->kept, name, !why);
                        set_trouble(w, i, why ? why : "");
                }
}

void watch_again(struct watch *w)
{
        for (size_t i = 0; w && w->files && w->config == w->s->config && i < w->config->validate.n_domains; i++)
                if (w->files[i].open)
                        w->files[i].changed = (struct timespec){0}; /* the next turn finds it changed */
}

static void refused(struct watch *w, size_t i, const char *why)
{
        log_error("keytab.refused", KV_S("domain", w->config->domains[i].name), KV_S("why", why),
                  KV_S("kept", "the keys that are in use"));
        set_trouble(w, i, why);
}

/* The validator says what it makes of it: watch_taken. */
static void hand_on(struct watch *w, size_t i)
{
        struct child *validator = &w->s->children[PART_VALIDATOR];
        const struct domain_config *d = &w->config->domains[i];
        struct error err = {"the channel broke"};

        w->files[i].open = true;
        if (validator->state != CHILD_RUNNING || !validator->ready)
                return; /* watch_again, when it is */
        if (files_keytab(w->s, d, child_hand, validator, &err) < 0) {
                w->files[i].open = false;
                refused(w, i, err.text);
        } else {
                log_info("keytab.changed", KV_S("domain", d->name));
        }
}

static void look_again(struct watch *w, size_t i)
{
        const char *path = w->config->domains[i].keytab_file;
        struct watched now = look(path);
        char why[ERROR_TEXT_MAX];

        struct watched *before = &w->files[i];
        if (now.there == before->there && now.dev == before->dev && now.ino == before->ino &&
            now.size == before->size && now.changed.tv_sec == before->changed.tv_sec &&
            now.changed.tv_nsec == before->changed.tv_nsec)
                return;
        memcpy(now.trouble, before->trouble, sizeof(now.trouble));
        *before = now;
        if (now.there) {
                hand_on(w, i);
        } else {
                (void)snprintf(why, sizeof(why), "keytab: %.300s is gone", path);
                refused(w, i, why);
        }
}

static void on_timer(void *arg)
{
        struct watch *w = arg;
        const struct config *config = w->s->config;

        loop_timer_in(w->timer, WATCH_MS);
        if (w->s->state != SUPERVISOR_RUNNING)
                return;
        if (w->config != config) {
                watch_begin(w);
                return;
        }
        for (size_t i = 0; i < config->validate.n_domains; i++)
                look_again(w, i);
        share_acts(w->s);
}

void watch_begin(struct watch *w)
{
        const struct config *config = w->s->config;
        struct watched *files = calloc(config->validate.n_domains ? config->validate.n_domains : 1, sizeof *files);

        if (!files)
                return; /* the next turn tries again */
        for (size_t i = 0; i < config->validate.n_domains; i++)
                files[i] = look(config->domains[i].keytab_file);
        free(w->files);
        w->files = files;
        w->config = config;
}

int watch_new(struct watch **ret, struct supervisor *s)
{
        struct watch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return -ENOMEM;
        w->s = s;
        r = loop_timer_new(&w->timer, s->loop, NULL, on_timer, w);
        if (r < 0) {
                free(w);
                return r;
        }
        loop_timer_in(w->timer, WATCH_MS);
        *ret = w;
        return 0;
}

struct watch *watch_free(struct watch *w)
{
        if (!w)
                return NULL;
        loop_timer_free(w->timer);
        free(w->files);
        free(w);
        return NULL;
}
