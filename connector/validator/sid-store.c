/*
 * Between the file of learnt SIDs and what validate/ knows.
 *
 * Invariant: a SID that another domain may just have learnt, too, or that two claim, is not kept, so that who came
 * first by chance is not the stronger after a restart.
 */
#include "connector/validator/sid-store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/log.h"

void sid_store_init(struct sid_store *s, int fd)
{
        *s = (struct sid_store){.fd = fd};
}

void sid_store_clear(struct sid_store *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

struct sync {
        struct sid_store *s;
        struct validate *v;
        struct sid_file file;
        bool changed;
        sid_store_event_fn *event;
        void *arg;
};

static const char *sid_of(struct sid_file *file, const char *domain)
{
        const struct sid_file_domain *d = sid_file_find(file, domain, false);

        return d ? d->sid : "";
}

/* Somebody else changed the entry: that holds from now on. */
static void take_one(void *arg, const struct validate_sid *sid)
{
        struct sync *sync = arg;
        char domain[254];

        snprintf(domain, sizeof(domain), "%s", sid->domain);
        if (strcmp(sid_of(&sync->file, domain), sid_of(&sync->s->last, domain)) != 0)
                validate_set_sid(sync->v, domain, SID_LEARNT, sid_of(&sync->file, domain));
}

static void put(char *to, size_t cap, const char *text, bool *changed)
{
        *changed = *changed || strcmp(to, text) != 0;
        snprintf(to, cap, "%s", text);
}

static void give_one(void *arg, const struct validate_sid *sid)
{
        struct sync *sync = arg;
        struct sid_file_domain *d = sid_file_find(&sync->file, sid->domain, true);

        if (!d)
                return;
        if (!sid->rival[0] && sid->settled)
                put(d->sid, sizeof(d->sid), sid->learnt, &sync->changed);
        put(d->seen, sizeof(d->seen), sid->seen, &sync->changed);
        put(d->source, sizeof(d->source), sid_source_text(sid->source), &sync->changed);
}

__attribute__((format(printf, 3, 4))) static void say(struct sync *sync, const char *name, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        log_warning("domain.sids", KV_S("event", name), KV_S("what", text));
        sync->event(sync->arg, name, text);
}

/* sid: in force now; seen: what a DC says instead; source: the domain that claims the same. */
static void tell_one(void *arg, const struct validate_sid *sid)
{
        struct sync *sync = arg;
        struct sid_file_domain *told = sid_file_find(&sync->s->told, sid->domain, true);
        bool in_force = false, seen = false, rival = false;

        if (!told)
                return;
        put(told->sid, sizeof(told->sid), sid->sid, &in_force);
        put(told->seen, sizeof(told->seen), sid->seen, &seen);
        put(told->source, sizeof(told->source), sid->rival[0] ? "rival" : "", &rival);
        if (in_force && sid->sid[0])
                say(sync, "domain.sid", "%s has the SID %s (%s)", sid->domain, sid->sid, sid_source_text(sid->source));
        if (seen && sid->seen[0])
                say(sync, "domain.sid_changed",
                    "a domain controller of %s says that the domain's SID is %s, not %s (%s): its accounts are refused "
                    "until somebody runs postern domain repin %s, or corrects roster or domain_sid",
                    sid->domain, sid->seen, sid->sid, sid_source_text(sid->source), sid->domain);
        if (rival && sid->rival[0])
                say(sync, "domain.sid_disputed",
                    "%s and %s say that they have one SID, %s: nobody of %s is accepted until "
                    "domain_sid is set",
                    sid->domain, sid->rival, sid->sid, sid->domain);
}

/* 1: there is a file to go on with. */
static int read_file(struct sync *sync)
{
        struct error err = {""};
        int r = sid_file_lock(sync->s->fd, &err);

        if (r == 0)
                r = sid_file_read(&sync->file, sync->s->fd, &err);
        if (r == 0)
                return 1;
        sync->s->refused = r != -EBADMSG;
        say(sync, "domain.sids_unreadable", "%s: %s", err.text,
            r == -EBADMSG ? "the domains' SIDs are learnt again" : "nothing is read from it, and nothing kept in it");
        return r == -EBADMSG;
}

void sid_store_sync(struct sid_store *s, struct validate *v, sid_store_event_fn *event, void *arg)
{
        struct sync sync = {.s = s, .v = v, .event = event, .arg = arg};
        const bool has_file = s->fd >= 0 && !s->refused;
        struct error err = {""};

        if (has_file && read_file(&sync)) {
                validate_each_sid(v, take_one, &sync);
                s->last = sync.file;
                validate_each_sid(v, give_one, &sync);
                if (sync.changed && sid_file_write(&sync.file, s->fd, &err) < 0)
                        say(&sync, "domain.sids_unwritten", "%s", err.text);
                else
                        s->last = sync.file;
        }
        if (has_file)
                sid_file_unlock(s->fd);
        validate_each_sid(v, tell_one, &sync);
}
