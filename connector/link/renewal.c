/*
 * Renewal at two thirds of the certificate's life, spread by a twentieth, so that connectors made together do not ask
 * together; after a failure again when a tenth of what is left has passed, so more often the nearer the end.
 *
 * Order: key and request are made here (in hardware: the key by the supervisor's keyholder), the answer is checked to
 * be for them, the supervisor stores both in one file, and only then a second link is opened with them. The first keeps
 * what it has in hand and gets nothing new once the second has reported; so no sign-in falls between. Whatever fails
 * leaves the first as it was. With several relay nodes each has such a second link, by the same certificate.
 */
#include "connector/link/renewal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <time.h>
#include <unistd.h>

#include "certs/enrol/csr.h"
#include "certs/keys/key-holder.h"
#include "base/core/log.h"
#include "connector/link/bridge.h"

#define LOOK_MAX_S 60 /* the wall clock may be set meanwhile */
#define RETRY_MIN_S 60
#define RETRY_MAX_S (6 * 3600)
#define PUT_OFF_MAX_S 600 /* before `postern status` hears of it */
#define SHORT_LIFE_S 3600 /* below it the least pause shrinks, too */
#define ANSWER_PATIENCE_MS 30000
#define ASK_PATIENCE_MS 60000  /* longer than the call may take: it goes with its link */
#define MAKE_PATIENCE_MS 60000 /* a TPM takes seconds, and its neighbours may be busy */

enum step { STEP_WATCH = 0, STEP_MAKING, STEP_ASKED, STEP_STORING, STEP_LINKING };

struct renewal {
        struct bridge *b;
        struct loop_timer *timer;
        enum step step;
        int64_t not_before, not_after, due;
        int64_t put_off_since; /* 0: it is not */
        struct key *key;       /* the new one, while it is not in use */
        struct buffer text;    /* of the new transport.pem, likewise */
        char why[ERROR_TEXT_MAX];
};

int64_t renewal_next(const struct renewal *renewal)
{
        return renewal ? renewal->due : 0;
}

const char *renewal_why(const struct renewal *renewal)
{
        return renewal ? renewal->why : "";
}

/* ---- text ---- */

static void date_text(int64_t at, char out[32])
{
        time_t t = (time_t)at;
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
                (void)snprintf(out, 32, "%lld", (long long)at);
}

const char *renewal_clock_flaw(int64_t not_before, int64_t not_after, int64_t now, char *out, size_t cap)
{
        char from[32], to[32], here[32];

        date_text(not_before, from);
        date_text(not_after, to);
        date_text(now, here);
        if (now < not_before)
                (void)snprintf(out, cap, "this host's clock says %s, but its certificate was made at %s: set the clock",
                               here, from);
        else if (now >= not_after)
                (void)snprintf(out, cap,
                               "the transport certificate ended %s, the clock says %s: set the clock if that is wrong, "
                               "else: postern enroll --again --token-file FILE, with a new token, and restart",
                               to, here);
        else
                return NULL;
        return out;
}

/* ---- when ---- */

static int64_t now_of(const struct renewal *n)
{
        return loop_wall(n->b->process.loop);
}

const char *renewal_flaw(const struct renewal *n, char *out, size_t cap)
{
        return n && n->not_after ? renewal_clock_flaw(n->not_before, n->not_after, now_of(n), out, cap) : NULL;
}

static void look_again(struct renewal *n)
{
        int64_t left = n->due - now_of(n);

        left = left < 1 ? 1 : left > LOOK_MAX_S ? LOOK_MAX_S : left;
        loop_timer_in(n->timer, (uint64_t)left * 1000);
}

static int64_t jitter_s(int64_t low, int64_t high)
{
        return high > low ? (int64_t)loop_jitter((uint64_t)low, (uint64_t)high) : low;
}

static int read_life(struct renewal *n, struct error *err)
{
        const struct buffer *cert = &n->b->cert;
        int r = csr_cert_life(cert->data ? cert->data : "", cert->len, &n->not_before, &n->not_after, err);

        if (r < 0)
                return r;
        const int64_t life = n->not_after - n->not_before, spread = life / 20;
        n->due = n->not_before + life * 2 / 3 + jitter_s(0, 2 * spread) - spread;
        n->b->cert_expires = n->not_after;
        return 0;
}

/* Back to watching, with the next try after a tenth of what is left. */
static void failed(struct renewal *n, const char *why)
{
        const int64_t left = n->not_after - now_of(n), life = n->not_after - n->not_before;
        const int64_t least = life < SHORT_LIFE_S ? 1 + life / 60 : RETRY_MIN_S;
        int64_t pause = left / 10;

        pause = pause < least ? least : pause > RETRY_MAX_S ? RETRY_MAX_S : pause;
        pause = jitter_s(pause - pause / 10, pause + pause / 10);
        n->step = STEP_WATCH;
        n->put_off_since = 0;
        n->due = now_of(n) + pause;
        n->key = key_free(n->key);
        buffer_free(&n->text);
        (void)snprintf(n->why, sizeof(n->why), "%s", why);
        log_warning("certificate.not_renewed", KV_S("why", why), KV_I("again_in_s", pause), KV_I("left_s", left));
        bridge_event(n->b, "certificate.not_renewed", why);
        look_again(n);
}

/* ---- getting it ---- */

int renewal_send_text(struct bridge *b, const struct buffer *text)
{
        _cleanup_(closep) int fd = memfd_create("certificate", MFD_CLOEXEC);
        struct msg_out m;

        if (fd < 0)
                return -errno;
        if (write(fd, text->data, text->len) != (ssize_t)text->len || lseek(fd, 0, SEEK_SET) < 0)
                return -EIO;
        msg_begin(&m, FRAME_CERTIFICATE);
        return process_send(&b->process, &m, fd);
}

void renewal_ask_for_key(struct bridge *b)
{
        struct msg_out m;

        msg_begin(&m, FRAME_MAKE_KEY);
        if (process_send(&b->process, &m, -1) < 0)
                process_stop(&b->process, 1, "cannot speak to the supervisor");
}

/* The relay has many to serve: the same request at the moment that it named, and no failure unless it goes on so. */
static void postpone(struct renewal *n, uint32_t seconds)
{
        n->step = STEP_WATCH;
        n->due = now_of(n) + seconds;
        if (!n->put_off_since)
                n->put_off_since = now_of(n);
        if (now_of(n) - n->put_off_since >= PUT_OFF_MAX_S)
                (void)snprintf(n->why, sizeof(n->why), "the relay has put it off for %lld minutes: ask its operator",
                               (long long)(now_of(n) - n->put_off_since) / 60);
        log_info("certificate.put_off", KV_U("again_in_s", seconds));
        look_again(n);
}

static void on_chain(void *arg, const struct buffer *chain, uint32_t again_s, const char *why)
{
        struct renewal *n = arg;
        struct error err = {""};
        int r;

        if (n->step != STEP_ASKED)
                return;
        if (!chain) {
                if (again_s)
                        postpone(n, again_s);
                else
                        failed(n, why);
                return;
        }
        n->text = BUFFER_SECRET(TRANSPORT_PEM_MAX);
        r = n->b->held ? 0 : key_to_pem(n->key, NULL, &n->text, &err);
        if (r == 0 && buffer_append(&n->text, chain->data, chain->len) < 0)
                r = error_fail(&err, -EMSGSIZE, "the relay's certificate chain is too long");
        if (r < 0) {
                failed(n, err.text);
                return;
        }
        n->step = STEP_STORING;
        n->put_off_since = 0;
        loop_timer_in(n->timer, ANSWER_PATIENCE_MS);
        r = renewal_send_text(n->b, &n->text);
        if (r < 0)
                failed(n, "the supervisor cannot be told");
}

/* With the key that is there. */
static void request(struct renewal *n)
{
        struct est_asker asker = {n->b->tenant, n->b->id, n->key};
        struct error err = {""};

        const struct line *line = lines_best(n->b);

        n->step = STEP_ASKED;
        loop_timer_in(n->timer, ASK_PATIENCE_MS);
        if (!line)
                failed(n, "there is no link by which to ask");
        else if (link_reenroll(line->link, &asker, on_chain, n, &err) < 0)
                failed(n, err.text);
}

static void begin(struct renewal *n)
{
        struct error err = {""};

        if (n->key) { /* it was put off */
                request(n);
        } else if (n->b->held) {
                n->step = STEP_MAKING;
                loop_timer_in(n->timer, MAKE_PATIENCE_MS);
                renewal_ask_for_key(n->b);
        } else if (key_generate(&n->key, &err) < 0) {
                failed(n, err.text);
        } else {
                request(n);
        }
}

void renewal_key(struct renewal *n, int fd)
{
        struct error err = {""};

        if (!n || n->step != STEP_MAKING) {
                (void)close(fd);
                return;
        }
        loop_timer_stop(n->timer);
        if (key_from_holder(&n->key, fd, NULL, &err) < 0)
                failed(n, err.text);
        else
                request(n);
}

/* ---- going over ---- */

void renewal_stored(struct renewal *n, const char *why)
{
        struct error err = {""};

        if (n && why && (n->step == STEP_STORING || n->step == STEP_MAKING))
                failed(n, why);
        if (!n || why || n->step != STEP_STORING || n->b->process.draining)
                return;
        n->step = STEP_LINKING;
        loop_timer_in(n->timer, ANSWER_PATIENCE_MS);
        if (lines_open_next(n->b, &n->text, n->b->held ? n->key : NULL, &err) < 0)
                failed(n, err.text);
}

void renewal_link_up(struct renewal *n)
{
        struct error err;

        if (!n || n->step != STEP_LINKING)
                return;
        n->step = STEP_WATCH;
        n->why[0] = '\0';
        n->key = key_free(n->key);
        buffer_free(&n->text);
        if (read_life(n, &err) < 0) {
                log_error("link.certificate", KV_S("why", err.text));
                return;
        }
        log_info("certificate.renewed", KV_I("expires", n->not_after));
        bridge_event(n->b, "certificate.renewed", "the link goes on with it");
        look_again(n);
}

static void on_timer(void *arg)
{
        struct renewal *n = arg;

        if (n->step == STEP_LINKING) {
                lines_drop_next(n->b);
                failed(n, "no link could be made with the new certificate; it is used at the next start");
        } else if (n->step == STEP_STORING) {
                failed(n, "the supervisor did not store it in time");
        } else if (n->step == STEP_ASKED) {
                failed(n, "the link by which it was asked for is gone");
        } else if (n->step == STEP_MAKING) {
                failed(n, "the hardware has made no new key within a minute; the next try goes on with it");
        } else if (n->step == STEP_WATCH && now_of(n) >= n->due && lines_best(n->b) && !n->b->process.draining) {
                begin(n);
        } else {
                look_again(n);
        }
}

int renewal_new(struct renewal **ret_renewal, struct bridge *b)
{
        struct renewal *n = calloc(1, sizeof(*n));
        struct error err = {""};

        if (!n)
                return -ENOMEM;
        n->b = b;
        n->text = BUFFER(0);
        if (loop_timer_new(&n->timer, b->process.loop, NULL, on_timer, n) < 0) {
                free(n);
                return -ENOMEM;
        }
        if (read_life(n, &err) == 0)
                look_again(n);
        else
                log_warning("link.certificate", KV_S("why", err.text));
        *ret_renewal = n;
        return 0;
}

struct renewal *renewal_free(struct renewal *n)
{
        if (!n)
                return NULL;
        loop_timer_free(n->timer);
        key_free(n->key);
        buffer_free(&n->text);
        free(n);
        return NULL;
}
