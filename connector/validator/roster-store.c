/*
 * Two-slot store of the roster's text. A slot is {magic, length, SHA-256 of the text, text} at a fixed
 * offset.
 *
 * Invariant: the slot with the newest good roster is never the one being written.
 */
#include "connector/validator/roster-store.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "validate/op/validate.h"

#define SLOT_SIZE (ROSTER_TEXT_MAX + 4096)
#define MAGIC 0x31545352u /* "RST1" */

struct head {
        uint32_t magic;
        uint32_t len;
        uint8_t hash[SHA256_DIGEST_LENGTH];
};

void roster_store_init(struct roster_store *s, int fd)
{
        *s = (struct roster_store){.fd = fd};
}

void roster_store_clear(struct roster_store *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

static int pread_all(int fd, void *buf, size_t n, off_t at)
{
        size_t done = 0;

        while (done < n) {
                ssize_t r = pread(fd, (char *)buf + done, n - done, at + (off_t)done);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        return -ENODATA;
                done += (size_t)r;
        }
        return 0;
}

static int pwrite_all(int fd, const void *buf, size_t n, off_t at)
{
        size_t done = 0;

        while (done < n) {
                ssize_t r = pwrite(fd, (const char *)buf + done, n - done, at + (off_t)done);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                done += (size_t)r;
        }
        return 0;
}

/* Gives the slot's text (malloc). -ENODATA where nothing was ever written, -EBADMSG where it is damaged. */
static int slot_read(int fd, unsigned slot, char **ret_text, size_t *ret_n)
{
        _cleanup_(freep) char *text = NULL;
        uint8_t hash[SHA256_DIGEST_LENGTH];
        struct head head;
        off_t at = (off_t)slot * SLOT_SIZE;
        int r = pread_all(fd, &head, sizeof(head), at);

        if (r < 0)
                return r;
        if (head.magic == 0 && head.len == 0)
                return -ENODATA;
        if (head.magic != MAGIC || head.len == 0 || head.len > ROSTER_TEXT_MAX)
                return -EBADMSG;
        text = malloc(head.len + 1);
        if (!text)
                return -ENOMEM;
        r = pread_all(fd, text, head.len, at + (off_t)sizeof(head));
        if (r < 0)
                return r == -ENODATA ? -EBADMSG : r;
        text[head.len] = '\0';
        SHA256((const uint8_t *)text, head.len, hash);
        if (memcmp(hash, head.hash, sizeof(hash)) != 0)
                return -EBADMSG;
        *ret_n = head.len;
        *ret_text = steal(text);
        return 0;
}

/* An authentic roster that is not valid now still counts: its seq is the floor below which nothing is taken. *ret_past
 * is it then, else *ret_roster. */
static int slot_verify(const char *text, size_t n, const char *pin, const char *tenant, int64_t now,
                       struct roster **ret_roster, struct roster **ret_past, struct error *err)
{
        int r = roster_verify_kind(ret_roster, validate_scripted, text, n, pin, tenant, now, 0, err);

        if (r != -ETIME ||
            roster_verify_kind(ret_past, validate_scripted, text, n, pin, tenant, ROSTER_ANY_TIME, 0, NULL) < 0)
                return r;
        return 0;
}

int roster_store_load(struct roster_store *s, const char *pin, const char *tenant, int64_t now,
                      struct roster **ret_roster, uint64_t *ret_seq, struct error *err)
{
        struct roster *best = NULL;
        uint64_t best_seq = 0;
        int damaged = 0;

        for (unsigned slot = 0; slot < 2; slot++) {
                _cleanup_(roster_freep) struct roster *roster = NULL, *past = NULL;
                const struct roster *found;
                _cleanup_(freep) char *text = NULL;
                struct error why = {""};
                size_t n = 0;
                int r = slot_read(s->fd, slot, &text, &n);

                if (r == -ENODATA)
                        continue;
                if (r == 0)
                        r = slot_verify(text, n, pin, tenant, now, &roster, &past, &why);
                if (r < 0) {
                        error_fail(err, r,
                                   "slot %u of the stored roster is not usable (%s): the relay's copy will "
                                   "replace it",
                                   slot, why.text[0] ? why.text : strerror(-r));
                        damaged = 1;
                        continue;
                }
                found = roster ? roster : past;
                if (!found || found->seq < best_seq)
                        continue;
                best_seq = found->seq;
                s->iat = found->iat;
                s->exp = found->exp;
                roster_text_hash(text, n, s->hash);
                s->next = 1 - slot;
                roster_free(best);
                best = steal(roster);
        }
        *ret_roster = best;
        *ret_seq = best_seq;
        return damaged;
}

int roster_store_save(struct roster_store *s, const char *text, size_t n, struct error *err)
{
        struct head head = {.magic = MAGIC, .len = (uint32_t)n};
        off_t at = (off_t)s->next * SLOT_SIZE;
        int r;

        if (n == 0 || n > ROSTER_TEXT_MAX)
                return error_fail(err, -EMSGSIZE, "roster of %zu bytes cannot be stored", n);
        SHA256((const uint8_t *)text, n, head.hash);
        r = pwrite_all(s->fd, text, n, at + (off_t)sizeof(head));
        if (r == 0 && fdatasync(s->fd) < 0)
                r = -errno;
        if (r == 0)
                r = pwrite_all(s->fd, &head, sizeof(head), at);
        if (r == 0 && fdatasync(s->fd) < 0)
                r = -errno;
        if (r < 0)
                return error_fail(err, r, "cannot store the roster: %s", strerror(-r));
        s->next = 1 - s->next;
        return 0;
}
