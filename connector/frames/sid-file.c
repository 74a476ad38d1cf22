/*
 * The file of learnt SIDs as bytes. What they mean is the validator's.
 */
#include "connector/frames/sid-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <unistd.h>

#include "certs/jose/jose.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/core/sid.h"

#define TEXT_MAX (64 * 1024)
#define VERSION 1

int sid_file_lock(int fd, struct error *err)
{
        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return error_fail(err, -errno, "%s: %s", FILE_DOMAIN_SIDS, strerror(errno));
        return 0;
}

void sid_file_unlock(int fd)
{
        (void)flock(fd, LOCK_UN);
}

struct sid_file_domain *sid_file_find(struct sid_file *file, const char *domain, bool make)
{
        struct sid_file_domain *d;

        for (size_t i = 0; i < file->n; i++)
                if (strcasecmp(file->domains[i].domain, domain) == 0)
                        return &file->domains[i];
        if (!make || file->n == SID_FILE_DOMAINS || strlen(domain) >= sizeof(file->domains[0].domain))
                return NULL;
        d = &file->domains[file->n++];
        *d = (struct sid_file_domain){0};
        snprintf(d->domain, sizeof(d->domain), "%s", domain);
        return d;
}

/* A member's text where it is a domain's SID, else "". */
static void take_sid(char out[SID_TEXT_MAX], const json_t *entry, const char *name)
{
        const char *text = json_string_value(json_object_get(entry, name));

        snprintf(out, SID_TEXT_MAX, "%s", text && sid_is_domain(text) ? text : "");
}

static int take_all(struct sid_file *file, json_t *json, struct error *err)
{
        json_int_t version = json_integer_value(json_object_get(json, "v"));
        json_t *domains = json_object_get(json, "domains"), *entry;
        const char *name;

        if (version > VERSION)
                return error_fail(err, -EPROTO, "%s is of version %lld, which a newer program wrote", FILE_DOMAIN_SIDS,
                                  (long long)version);
        if (version != VERSION || !json_is_object(domains))
                return error_fail(err, -EBADMSG, "%s is damaged", FILE_DOMAIN_SIDS);
        json_object_foreach (domains, name, entry) {
                struct sid_file_domain *d = sid_file_find(file, name, true);
                const char *source = json_string_value(json_object_get(entry, "source"));

                if (!d)
                        continue;
                take_sid(d->sid, entry, "sid");
                take_sid(d->seen, entry, "seen");
                snprintf(d->source, sizeof(d->source), "%s", source ? source : "");
        }
        return 0;
}

static int read_text(int fd, struct buffer *text, struct error *err)
{
        char part[4096];
        ssize_t n;

        while ((n = pread(fd, part, sizeof(part), (off_t)text->len)) > 0)
                if (buffer_append(text, part, (size_t)n) < 0)
                        return error_fail(err, -EBADMSG, "%s is too long", FILE_DOMAIN_SIDS);
        return n < 0 ? error_fail(err, -errno, "%s: %s", FILE_DOMAIN_SIDS, strerror(errno)) : 0;
}

int sid_file_read(struct sid_file *ret_file, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(TEXT_MAX);
        struct sid_file file = {0};
        json_t *json = NULL;
        int r = read_text(fd, &text, err);

        if (r == 0 && text.len > 0) {
                r = jose_json_object(&json, text.data, text.len, FILE_DOMAIN_SIDS, err);
                r = r < 0 ? (r == -ENOMEM ? r : -EBADMSG) : take_all(&file, json, err);
                json_decref(json);
        }
        if (r == 0)
                *ret_file = file;
        return r;
}

static json_t *to_json(const struct sid_file *file)
{
        json_t *domains = json_object();

        for (size_t i = 0; i < file->n; i++) {
                const struct sid_file_domain *d = &file->domains[i];

                json_object_set_new(domains, d->domain,
                                    json_pack("{s:s, s:s, s:s}", "sid", d->sid, "seen", d->seen, "source", d->source));
        }
        return json_pack("{s:i, s:o}", "v", VERSION, "domains", domains);
}

int sid_file_write(const struct sid_file *file, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(TEXT_MAX);
        json_t *json = to_json(file);
        int r = json ? jose_json_text(json, &text) : -ENOMEM;

        json_decref(json);
        if (r < 0)
                return error_fail(err, r, "%s: out of memory", FILE_DOMAIN_SIDS);
        if (pwrite(fd, text.data, text.len, 0) != (ssize_t)text.len || ftruncate(fd, (off_t)text.len) < 0 ||
            fdatasync(fd) < 0)
                return error_fail(err, -EIO, "%s cannot be written: %s", FILE_DOMAIN_SIDS, strerror(errno));
        return 0;
}
