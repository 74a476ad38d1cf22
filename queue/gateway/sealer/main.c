/*
 * postern-gateway-sealer: holds the service's key and the roster, seals questions and opens verdicts; has no network
 * and opens no file.
 *
 * It has the link fetch the keys before they are old, so that a sign-in seldom waits for them. The doors hear whether
 * sign-ins can be decided at all.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "certs/codec/self-test.h"
#include "queue/gateway/sealer/sealer-internal.h"

#define SECURE_HEAP (1U << 20)
#define KEY_MAX 16384
#define KEYS_EVERY_MS 20000 /* less than SEALER_KEYS_MAX_AGE_MS */
#define KEYS_WAIT_MS 20000  /* the same, for a relay that says when something changes */
#define KEYS_PAUSE_MS 100   /* between what it says, however often that is */
#define KEYS_AGAIN_MS 1000  /* after a failure, and twice that after the next, up to KEYS_EVERY_MS */
#define ROSTER_LINE_MAX 128

void sealer_send(struct seal_process *s, struct ipc *to, const struct msg_out *m)
{
        if (ipc_send(to, m) < 0)
                log_warning("frame.not_sent", KV_U("type", m->data[0]), KV_S("to", to == s->doors ? "doors" : "link"));
}

/* ---- the state that doors show ---- */

static void tell_state(struct seal_process *s, const char *why)
{
        static char told[256]; /* of the warning */
        const bool same = strcmp(why, s->state_why) == 0 && strcmp(told, s->unguarded) == 0;
        struct msg_out m;

        if (s->state_told && same)
                return;
        if (!same) {
                log_info("state", KV_S("ready", *why ? "no" : "yes"), KV_S("why", why),
                         KV_S("warning", s->config->without_guard ? s->unguarded : ""));
                memcpy(told, s->unguarded, sizeof(told));
                if (why != s->state_why)
                        wire_text_cut(s->state_why, sizeof(s->state_why), why, strlen(why));
        }
        s->state_told = s->doors != NULL;
        if (!s->doors)
                return;
        msg_begin(&m, FRAME_STATE);
        msg_u64(&m, TAG_GOOD, !*why);
        msg_str(&m, TAG_WHY, s->state_why);
        if (s->config->without_guard && s->unguarded[0])
                msg_str(&m, TAG_WARNING, s->unguarded);
        sealer_send(s, s->doors, &m);
}

/* Its own word, signed: the relay cannot say it in a connector's place. */
static void look_at_guards(struct seal_process *s)
{
        const struct directory *d = sealer_view(s->sealer).directory;

        s->unguarded[0] = '\0';
        for (size_t i = 0; i < d->n && !s->unguarded[0]; i++)
                if (!d->entries[i].statement->guard)
                        (void)snprintf(
                                s->unguarded, sizeof(s->unguarded),
                                "the lockout guard of connector %.64s does not stop names: set guard = on there%s",
                                d->entries[i].connector->name ? d->entries[i].connector->name
                                                              : d->entries[i].connector->id,
                                s->config->without_guard ? "" : ", or without_guard = allow here");
}

static const char *state_of(const struct seal_process *s)
{
        const struct directory *d = sealer_view(s->sealer).directory;

        if (!d)
                return "no keys have come from the relay yet";
        if (questions_forbidden(s))
                return s->unguarded;
        if (!roster_sign_in_service(d->roster, key_kid(s->key)))
                return "the roster does not name this service's key: the tenant's admin takes it in with: postern "
                       "tenant "
                       "approve-service service.pub.json FINGERPRINT";
        for (size_t i = 0; i < d->n; i++)
                if (d->entries[i].rank >= 0)
                        return "";
        return d->n ? "no connector is ready" : "no connector is there";
}

/* ---- keys ---- */

static void ask_for_keys(struct seal_process *s, uint64_t wait_ms)
{
        struct msg_out m;

        s->keys_parts = 0;
        buffer_clear(&s->keys);
        msg_begin(&m, FRAME_WANT_KEYS);
        if (*sealer_view(s->sealer).etag)
                msg_str(&m, TAG_ETAG, sealer_view(s->sealer).etag);
        if (wait_ms)
                msg_u64(&m, TAG_TIMEOUT, wait_ms);
        sealer_send(s, s->link, &m);
}

uint64_t sealer_want_keys(struct seal_process *s)
{
        if (s->fetching) /* what comes may have been asked for before now */
                return s->asked_n + 1;
        if (!s->link) {
                loop_timer_in(s->keys_timer, KEYS_AGAIN_MS);
                return s->asked_n + 1;
        }
        s->fetching = true;
        s->watching = false; /* the link gives that up */
        ask_for_keys(s, 0);
        return ++s->asked_n;
}

/* Waits at the relay for what changes, where the relay can do that and there is something that may change. */
static void on_keys_timer(void *arg)
{
        struct seal_process *s = arg;

        if (!s->link || !*sealer_view(s->sealer).state || !sealer_fresh(s->sealer, loop_now(s->process.loop))) {
                (void)sealer_want_keys(s);
        } else if (!s->fetching && !s->watching) {
                s->watching = true;
                ask_for_keys(s, KEYS_WAIT_MS);
        }
}

/* A part out of its turn spoils the whole, which then does not verify. */
static void take_part(struct seal_process *s, const struct msg_in *m)
{
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, TAG_BYTES, &n);

        if ((s->fetching || s->watching) && msg_get_u64(m, TAG_PART, UINT64_MAX) == s->keys_parts++ &&
            buffer_append(&s->keys, bytes, n) == 0)
                return;
        buffer_clear(&s->keys);
        s->keys_parts = SIZE_MAX / 2;
}

/* Remembered where it outlives a restart: an older roster is refused from now on. */
static void note_roster(struct seal_process *s, uint64_t before)
{
        char line[ROSTER_LINE_MAX];
        const struct sealer_view seen = sealer_view(s->sealer);
        const int n = snprintf(line, sizeof(line), "%-20llu %-43s %-43s\n", (unsigned long long)seen.roster_seq,
                               seen.roster_hash, s->service.pin);

        if (seen.roster_seq == before || s->roster_fd < 0)
                return;
        if (lseek(s->roster_fd, 0, SEEK_SET) < 0 || write(s->roster_fd, line, (size_t)n) != n)
                log_error("roster.not_noted", KV_U("seq", seen.roster_seq), KV_S("why", strerror(errno)));
        else
                log_info("roster", KV_U("seq", seen.roster_seq));
}

static void end_fetch(struct seal_process *s, const struct exchange_answer *failed)
{
        static uint64_t again_ms = KEYS_AGAIN_MS;
        const uint64_t n = s->asked_n;
        char why[256];

        s->fetching = s->watching = false;
        buffer_clear(&s->keys);
        if (failed) {
                if (failed->status == 401)
                        (void)snprintf(why, sizeof(why),
                                       "the relay refuses the service secret: store the right one with `postern "
                                       "service show --secret-file FILE --service FOLDER`, then reload");
                else if (failed->status > 0 && failed->status != 200)
                        (void)snprintf(why, sizeof(why), "the relay gives no keys: it answers by HTTP status %ld",
                                       failed->status);
                else
                        (void)snprintf(why, sizeof(why), "the relay gives no keys: %.200s", failed->why);
                tell_state(s, sealer_fresh(s->sealer, loop_now(s->process.loop)) ? state_of(s) : why);
                loop_timer_in(s->keys_timer, again_ms);
                again_ms = again_ms * 2 < KEYS_EVERY_MS ? again_ms * 2 : KEYS_EVERY_MS;
        } else {
                again_ms = KEYS_AGAIN_MS;
                tell_state(s, state_of(s));
                loop_timer_in(s->keys_timer, *sealer_view(s->sealer).state ? KEYS_PAUSE_MS
                                             : *s->state_why               ? KEYS_AGAIN_MS
                                                                           : KEYS_EVERY_MS);
        }
        if (questions_keys(s, n, failed) && !s->fetching)
                (void)sealer_want_keys(s);
}

static void take_keys_end(struct seal_process *s, const struct msg_in *m)
{
        char type[128], why[256], etag[128];
        struct error err = {""};
        struct exchange_answer a = {.status = (long)(msg_get_u64(m, TAG_STATUS, 0) & 0xffff),
                                    .code = -(int)(msg_get_u64(m, TAG_CODE, EIO) & 0xffff)};
        const struct exchange_now now = questions_now(s);
        const uint64_t before = sealer_view(s->sealer).roster_seq;

        if (msg_get_u64(m, TAG_TIMEOUT, 0) ? !s->watching : !s->fetching) {
                buffer_clear(&s->keys); /* of one that was given up meanwhile */
                s->keys_parts = 0;
                return;
        }
        a.body = (const char *)msg_get_bytes(m, TAG_BODY, &a.n);
        a.body = a.body ? a.body : "";
        a.content_type = msg_get_str(m, TAG_TYPE, type, sizeof(type)) == 0 ? type : "";
        a.why = msg_get_str(m, TAG_WHY, why, sizeof(why)) == 0 ? why : "";
        if (a.status == 304 && sealer_view(s->sealer).directory) {
                sealer_keep_keys(s->sealer, now.ms);
                end_fetch(s, NULL);
                return;
        }
        if (a.status != 200) {
                end_fetch(s, &a);
                return;
        }
        const struct sealer_keys keys = {.json = s->keys.data ? s->keys.data : "",
                                         .n = s->keys.len,
                                         .etag = msg_get_str(m, TAG_ETAG, etag, sizeof(etag)) == 0 ? etag : "",
                                         .wall = now.wall,
                                         .now_ms = now.ms};
        if (sealer_take_keys(s->sealer, &keys, &err) < 0) {
                log_warning("keys.refused", KV_S("why", err.text));
                a.why = err.text;
                end_fetch(s, &a);
                return;
        }
        note_roster(s, before);
        look_at_guards(s);
        end_fetch(s, NULL);
}

/* ---- channels ---- */

static void on_doors_frame(void *arg, const struct msg_in *m, int fd)
{
        struct seal_process *s = arg;

        closep(&fd);
        if (m->type == FRAME_ASK)
                questions_ask(s, m);
        for (size_t i = 0; i < m->n; i++) /* the channel's own memory, where passwords came */
                wipe((void *)(uintptr_t)m->fields[i].bytes, m->fields[i].len);
}

static void on_link_frame(void *arg, const struct msg_in *m, int fd)
{
        struct seal_process *s = arg;

        closep(&fd);
        if (m->type == FRAME_REPLY)
                questions_reply(s, m);
        else if (m->type == FRAME_KEYS)
                take_part(s, m);
        else if (m->type == FRAME_KEYS_END)
                take_keys_end(s, m);
}

static void on_doors_closed(void *arg, const char *why)
{
        struct seal_process *s = arg;

        log_debug("channel.closed", KV_S("to", "doors"), KV_S("why", why));
        s->doors = ipc_free(s->doors);
        questions_drop(s);
}

static void lose_link(struct seal_process *s)
{
        s->link = ipc_free(s->link);
        s->fetching = s->watching = false;
        questions_link_lost(s);
}

static void on_link_closed(void *arg, const char *why)
{
        struct seal_process *s = arg;

        log_debug("channel.closed", KV_S("to", "link"), KV_S("why", why));
        lose_link(s);
        loop_timer_in(s->keys_timer, KEYS_AGAIN_MS);
}

static int open_channel(struct seal_process *s, bool doors, int fd)
{
        int r;

        if (doors) {
                s->doors = ipc_free(s->doors);
                questions_drop(s);
                s->state_told = false;
                r = process_channel(&s->process, &s->doors, GATEWAY_DOORS, fd, on_doors_frame, on_doors_closed, s);
                if (r == 0)
                        tell_state(s, s->state_why);
                return r;
        }
        lose_link(s);
        r = process_channel(&s->process, &s->link, GATEWAY_LINK, fd, on_link_frame, on_link_closed, s);
        if (r == 0)
                (void)sealer_want_keys(s);
        return r;
}

/* ---- the process ---- */

static int on_config(void *arg, int fd, struct error *err)
{
        return gateway_config_of_child(&((struct seal_process *)arg)->config, "sealer", fd, err);
}

static int on_file(void *arg, const char *name, int received, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(KEY_MAX);
        _cleanup_(closep) int fd = received;
        struct seal_process *s = arg;

        if (strcmp(name, SERVICE_META) == 0)
                return gateway_service_read(&s->service, fd, err);
        if (strcmp(name, GATEWAY_FILE_ROSTER) == 0)
                s->roster_fd = steal_fd(&fd);
        if (strcmp(name, SERVICE_KEY) != 0)
                return 0;
        int r = fd_read_all(&pem, fd, err);
        r = r < 0 ? r : key_from_pem(&s->key, pem.data ? pem.data : "", pem.len, NULL, err);
        return r < 0 ? error_prefix(err, r, SERVICE_KEY) : 0;
}

static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct seal_process *s = arg;
        const bool doors = strcmp(name, "doors") == 0;
        int *early = doors ? &s->doors_fd : &s->link_fd;

        if (!doors && strcmp(name, "link") != 0) {
                (void)close(fd);
                return 0;
        }
        if (s->process.started)
                return open_channel(s, doors, fd) < 0 ? error_fail(err, -ENOMEM, "out of memory") : 0;
        closep(early);
        *early = fd;
        return 0;
}

/* The higher of what service.json and the gateway's own file remember. */
static int read_roster(struct seal_process *s, struct error *err)
{
        char line[ROSTER_LINE_MAX] = "", hash[KID_LEN + 1] = "", pin[KID_LEN + 1] = "";
        unsigned long long seq = 0;
        const ssize_t n = s->roster_fd >= 0 ? pread(s->roster_fd, line, sizeof(line) - 1, 0) : 0;
        const int fields = n > 0 ? sscanf(line, "%20llu %43s %43s", &seq, hash, pin) : 0;

        if (n > 0 && fields < 2)
                return error_fail(err, -EBADMSG,
                                  "%s/" GATEWAY_FILE_ROSTER
                                  " is damaged: it says which roster was seen last, so that the "
                                  "relay cannot bring an older one back. Remove it if you know how it was damaged",
                                  s->config->state_dir);
        if (fields == 3 && strcmp(pin, s->service.pin) != 0)
                return error_fail(err, -EBADMSG,
                                  "%s/" GATEWAY_FILE_ROSTER
                                  " is of another tenant (pin %s, and service.json has %s): give "
                                  "this service a state_dir of its own, or remove the file if the tenant has a new key",
                                  s->config->state_dir, pin, s->service.pin);
        if (fields >= 2 && seq > s->service.roster_seq) {
                s->service.roster_seq = seq;
                memcpy(s->service.roster_hash, hash, sizeof(hash));
        }
        return 0;
}

static int set_up(struct seal_process *s, struct error *err)
{
        const char *distrusted[SERVICE_DISTRUSTED_MAX];
        struct sealer_config config = {.sandbox = s->config->sandbox,
                                       .tenant = s->service.tenant,
                                       .pin = s->service.pin,
                                       .service_id = s->service.id,
                                       .service_key = s->key,
                                       .distrusted = distrusted,
                                       .n_distrusted = s->service.n_distrusted};
        int r;

        if (!s->key)
                return error_fail(err, -ENOENT, SERVICE_KEY " did not come");
        if ((r = read_roster(s, err)) < 0)
                return r;
        for (size_t i = 0; i < s->service.n_distrusted; i++)
                distrusted[i] = s->service.distrusted[i];
        config.min_seq = s->service.roster_seq;
        config.roster_hash = s->service.roster_hash;
        r = sealer_new(&s->sealer, &config, err);
        r = r < 0 ? r : memory_new(&s->memory, s->process.loop, s->config->remember_s, err);
        return r < 0 ? r : secret_arena_init(2 * (size_t)s->config->in_flight + 4, err);
}

static int on_start(void *arg, const char *boot, const char *instance, struct error *err)
{
        static const struct confine_rules rules = {.process = "sealer"};
        struct seal_process *s = arg;
        int r = set_up(s, err);

        (void)boot;
        (void)instance;
        r = r < 0 ? r : process_confine(&s->process, &rules, s->config->confinement, err);
        if (r < 0 || s->process.check) {
                if (r == 0)
                        process_ready(&s->process);
                return r;
        }
        tell_state(s, state_of(s));
        if (loop_timer_new(&s->keys_timer, s->process.loop, NULL, on_keys_timer, s) < 0 ||
            (s->doors_fd >= 0 && open_channel(s, true, steal_fd(&s->doors_fd)) < 0) ||
            (s->link_fd >= 0 && open_channel(s, false, steal_fd(&s->link_fd)) < 0))
                return error_fail(err, -ENOMEM, "out of memory");
        process_ready(&s->process);
        return 0;
}

static void clear(struct seal_process *s)
{
        questions_drop(s);
        table_clear(&s->asked);
        s->doors = ipc_free(s->doors);
        s->link = ipc_free(s->link);
        s->keys_timer = loop_timer_free(s->keys_timer);
        s->sealer = sealer_free(s->sealer);
        s->memory = memory_free(s->memory);
        s->key = key_free(s->key);
        buffer_free(&s->keys);
        closep(&s->doors_fd);
        closep(&s->link_fd);
        closep(&s->roster_fd);
        gateway_config_free(s->config);
        secret_arena_destroy();
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = on_config, .file = on_file, .peer = on_peer, .start = on_start};
        static struct seal_process s = {.doors_fd = -1, .link_fd = -1, .roster_fd = -1};
        struct error err = {""};
        int code;

        s.keys = BUFFER(DIRECTORY_MAX);
        TAILQ_INIT(&s.questions);
        if (process_open(&s.process, &gateway_frames, GATEWAY_SEALER, argc, argv, &ops, &s, &err) < 0 ||
            crypto_self_test(&err) < 0 || secure_heap_init(SECURE_HEAP, &err) < 0)
                return process_fail("sealer", &err);
        code = process_run(&s.process);
        clear(&s);
        process_close(&s.process);
        return code;
}
