/*
 * What the link's renewals want of the supervisor: the next transport key, where that is in hardware, and storing.
 *
 * The link is the process that speaks to the outside, so what it sends is not trusted. Invariants: it writes its own
 * transport.pem and nothing else; the name of a key in hardware never comes from it, for a name says which module is
 * loaded and which PIN file is read: it is made here from the name before, or is the TPM's own text, told by the
 * keyholder. A key that was made and not stored is used by the next try, and there are few tries, so a token does not
 * fill up.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/codec/crypto.h"
#include "certs/keys/key-holder.h"
#include "certs/keys/key-uri.h"
#include "base/core/text.h"
#include "certs/enrol/transport.h"

#define CERTIFICATE_MARK "-----BEGIN CERTIFICATE-----"
#define STORE_PAUSE_MS 5000 /* a link that asks more often keeps the disk busy, no more */
#define MAKE_PAUSE_MS 1000  /* as little may it keep starting processes */
#define KEYS_AT_ONCE 10     /* keys made in hardware: this many, and one more each hour */
#define KEY_EACH_MS (3600 * UINT64_C(1000))
#define NAMES_MAX 100 /* that are taken already */

/* ---- the key in use, and the next one's name ---- */

static bool in_hardware(const struct buffer *name)
{
        return name->len > 0 && key_kind_of(name->data, name->len) != KEY_KIND_NONE;
}

/* The text that names the key in use: in transport.pem since the first renewal, before in its own file. */
static int current_name(const struct supervisor *s, struct buffer *name, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(TRANSPORT_PEM_MAX), chain = BUFFER(TRANSPORT_PEM_MAX);
        int r = files_read_state(s, FILE_TRANSPORT_CERT, &text, err);

        if (r == 0 && (r = transport_split(&text, name, &chain)) < 0)
                error_fail(err, r, "%s is malformed", FILE_TRANSPORT_CERT);
        if (r == 0 && name->len == 0)
                r = files_read_state(s, FILE_TRANSPORT_KEY, name, err);
        while (r == 0 && name->len > 0 && in_hardware(name) && strchr(" \n", name->data[name->len - 1]))
                name->data[--name->len] = '\0';
        return r;
}

/* Whether the next start would find a new key. */
static int is_followed(const struct supervisor *s, struct error *err)
{
        return s->config->transport_key
                       ? error_fail(
                                 err, -EINVAL,
                                 "transport_key in the configuration names the key, so the next start would not find a "
                                 "new one: take the setting out (postern enroll has noted its key itself) and reload")
                       : 0;
}

/* ---- making it ---- */

static void renewals_clear(struct renewals *n)
{
        n->io = loop_io_free(n->io);
        closep(&n->fd);
}

void renewals_free(struct supervisor *s)
{
        renewals_clear(&s->renewals);
        buffer_free(&s->renewals.asked);
        buffer_free(&s->renewals.made);
}

/* why: NULL, or it failed. */
static void tell_stored(struct child *link, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_STORED);
        msg_str(&m, TAG_WHY, why);
        if (link->control && ipc_send(link->control, &m) < 0)
                child_end(link);
}

static void refuse(struct supervisor *s, const char *why)
{
        renewals_clear(&s->renewals);
        log_error("key.not_made", KV_S("why", why));
        tell_stored(&s->children[PART_LINK], why);
}

/* Whether one more may be made; counts it. */
static bool may_make(struct renewals *n, uint64_t now)
{
        const uint64_t longest = KEYS_AT_ONCE * KEY_EACH_MS;

        if (n->made_until < now)
                n->made_until = now;
        if (n->made_until + KEY_EACH_MS > now + longest)
                return false;
        n->made_until += KEY_EACH_MS;
        return true;
}

/* Gives the allowance back where no key was made: whatever stops a key from being made must not use it up, or the wait
 * would go on after that was remedied. */
static void give_back(struct renewals *n)
{
        if (n->made.len == 0 && n->made_until >= KEY_EACH_MS)
                n->made_until -= KEY_EACH_MS;
}

static void on_holder(void *arg, int fd, int events);

/* Starts the holder that makes the key n->asked, or opens the one made before. */
static int start(struct supervisor *s, struct error *err)
{
        struct renewals *n = &s->renewals;
        const struct buffer *name = n->made.len ? &n->made : &n->asked;
        _cleanup_(closep) int reference = hand_memfd(FILE_TRANSPORT_KEY, name->data, name->len, err);
        int fd = reference < 0 ? reference : keys_start(s, s->config, HOLDER_NEXT, n->made.len == 0, reference, err);

        if (fd < 0)
                return fd;
        n->fd = fd;
        if (loop_io_new(&n->io, s->loop, NULL, fd, LOOP_READ, on_holder, s) < 0) {
                closep(&n->fd);
                return error_fail(err, -ENOMEM, "out of memory");
        }
        return 0;
}

/* n->asked becomes the name behind before. */
static int name_next(struct renewals *n, const struct buffer *before, struct error *err)
{
        _cleanup_(buffer_free) struct buffer next = BUFFER(KEY_URI_MAX);
        int r = key_uri_next(before->data, &next, err);

        if (r < 0)
                return r;
        buffer_free(&n->asked);
        n->asked = next;
        next = BUFFER(0);
        return 0;
}

static int make(struct supervisor *s, struct error *err)
{
        _cleanup_(buffer_free) struct buffer name = BUFFER_SECRET(TRANSPORT_PEM_MAX);
        struct renewals *n = &s->renewals;
        int r;

        r = is_followed(s, err);
        if (r == 0 && n->made.len > 0)
                return start(s, err);
        if (r == 0)
                r = current_name(s, &name, err);
        if (r == 0 && !in_hardware(&name))
                r = error_fail(err, -EINVAL, "the transport key is in no hardware");
        if (r == 0 && !may_make(n, loop_now(s->loop)))
                r = error_fail(
                        err, -EAGAIN,
                        "%d keys were made, or asked for in vain, within a few hours; the next may be in an hour",
                        KEYS_AT_ONCE);
        if (r == 0)
                r = name_next(n, &name, err);
        n->tries = 0;
        if (r == 0 && (r = start(s, err)) < 0)
                give_back(n);
        return r;
}

void renewals_make_key(struct child *link)
{
        struct supervisor *s = link->arg;
        const uint64_t now = loop_now(s->loop), before = s->renewals.asked_at;
        struct error err = {""};

        if (before && now - before < MAKE_PAUSE_MS) {
                tell_stored(link, "a key was asked for a moment ago");
                return;
        }
        s->renewals.asked_at = now;
        renewals_clear(&s->renewals); /* its holder ends */
        if (make(s, &err) < 0)
                refuse(s, err.text);
}

/* ---- what the holder says ---- */

/* Of a PKCS#11 token the name is the one that was asked for; of a TPM it is the text of the key, which it alone can
 * open. The frame stays in the socket, for the link. */
static int hand_on(struct supervisor *s, const char *name, size_t len, struct error *err)
{
        struct renewals *n = &s->renewals;
        const struct buffer *known = n->made.len ? &n->made : &n->asked;
        const bool tpm = n->made.len == 0 && key_kind_of(known->data, known->len) == KEY_KIND_TPM_NEW;
        int r;

        if (tpm ? key_kind_of(name, len) != KEY_KIND_TPM_PEM : len != known->len || memcmp(name, known->data, len) != 0)
                return error_fail(err, -EBADMSG, "postern-keyholder names another key than it was asked for");
        if (n->made.len == 0) {
                n->made = BUFFER(KEYHOLDER_REFERENCE_MAX);
                if ((r = buffer_append(&n->made, name, len)) < 0)
                        return error_fail(err, r, "the key's name is too long");
                log_info("key.made", KV_S("key", "transport_key"));
        }
        r = child_hand(&s->children[PART_LINK], FILE_TRANSPORT_NEXT, n->fd, err);
        if (r == 0)
                renewals_clear(n);
        return r;
}

/* A name that is taken: on to the one behind it. */
static int go_on(struct supervisor *s, struct error *err)
{
        _cleanup_(buffer_free) struct buffer taken = s->renewals.asked;
        int r;

        s->renewals.asked = BUFFER(0);
        renewals_clear(&s->renewals);
        if (++s->renewals.tries > NAMES_MAX)
                return error_fail(err, -EEXIST, "the token is full of keys of that name; delete old ones");
        r = name_next(&s->renewals, &taken, err);
        return r < 0 ? r : start(s, err);
}

static void on_holder(void *arg, int fd, int events)
{
        static uint8_t frame[KEYHOLDER_FRAME_MAX + 1];
        struct supervisor *s = arg;
        struct renewals *n = &s->renewals;
        struct error err = {"postern-keyholder has ended before it made the key"};
        const ssize_t len = recv(fd, frame, sizeof(frame) - 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
        const size_t head = 1 + P256_POINT_LEN;
        int r = -EPIPE;

        (void)events;
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (len >= (ssize_t)sizeof(frame)) {
                error_fail(&err, -EBADMSG, "postern-keyholder: malformed answer");
        } else if (len > 0 && frame[0] == KEYHOLDER_ERROR) {
                r = keyholder_error(frame, (size_t)len, &err);
                if (r == -ENOENT && n->made.len > 0)
                        buffer_free(&n->made); /* somebody has removed it: the next try makes another */
                else if (r == -EEXIST && n->made.len == 0)
                        r = go_on(s, &err);
                else if (r == -EACCES || r == -EPERM || r == -ENODEV)
                        give_back(n); /* a token that refuses so has not come to make anything */
        } else if (len > (ssize_t)head && frame[0] == KEYHOLDER_KEY) {
                r = hand_on(s, (const char *)frame + head, (size_t)len - head, &err);
        }
        if (r < 0)
                refuse(s, err.text);
}

/* ---- storing ---- */

/* Of a key in memory the link sends both; of one in hardware the chain, and the name is known here. */
static int whole_text(const struct supervisor *s, const struct buffer *sent, struct buffer *text, struct error *err)
{
        _cleanup_(buffer_free) struct buffer key = BUFFER_SECRET(TRANSPORT_PEM_MAX), chain = BUFFER(TRANSPORT_PEM_MAX);
        _cleanup_(buffer_free) struct buffer now = BUFFER_SECRET(TRANSPORT_PEM_MAX);
        const struct buffer *made = &s->renewals.made;
        int r = is_followed(s, err);

        if (r == 0)
                r = current_name(s, &now, err);
        if (r < 0)
                return r;
        if (transport_split(sent, &key, &chain) < 0 || !chain.data || !strstr(chain.data, CERTIFICATE_MARK) ||
            (key.len > 0 && key_kind_of(key.data, key.len) != KEY_KIND_NONE))
                return error_fail(err, -EBADMSG, "the link sent something that is no certificate");
        if (in_hardware(&now) != (key.len == 0) || (key.len == 0 && made->len == 0))
                return error_fail(err, -EBADMSG, "the link sent a certificate %s a key", key.len ? "with" : "without");
        r = transport_join(text, key.len ? &key : made, &chain);
        return r < 0 ? error_fail(err, r, "the certificate's chain is too long") : 0;
}

static int store(struct supervisor *s, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer sent = BUFFER_SECRET(TRANSPORT_PEM_MAX),
                                             text = BUFFER_SECRET(TRANSPORT_PEM_MAX);
        struct stat st;

        /* memory and nothing that reading could wait for: the sender may be hostile */
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > TRANSPORT_PEM_MAX)
                return error_fail(err, -EBADMSG, "the link sent something that is no file of 1 to %d bytes",
                                  TRANSPORT_PEM_MAX);
        int r = fd_read_all(&sent, fd, err);
        if (r == 0)
                r = whole_text(s, &sent, &text, err);
        if (r == 0)
                r = files_write_transport(s, &text, err);
        if (r == 0 && s->renewals.made.len > 0) {
                buffer_free(&s->renewals.made);
                keys_take_next(s);
        }
        return r;
}

void renewals_store(struct child *link, int fd)
{
        struct supervisor *s = link->arg;
        const uint64_t now = loop_now(s->loop);
        struct error err = {""};
        int r = s->renewals.stored_at && now - s->renewals.stored_at < STORE_PAUSE_MS
                        ? error_fail(&err, -EAGAIN, "a certificate was stored a moment ago")
                        : store(s, fd, &err);

        s->renewals.stored_at = now;
        if (r < 0)
                log_error("certificate.not_stored", KV_S("why", err.text));
        else
                log_info("certificate.stored");
        tell_stored(link, r < 0 ? err.text : NULL);
}
