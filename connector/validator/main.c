/*
 * postern-validator: takes what the supervisor hands over, then serves the link. Talks to DCs only; sees no
 * relay and no internet.
 *
 * Order of start: secure heap and arena before the first key is read; validate/ and the keys once everything
 * has come (start). Reload replaces nothing here: the supervisor starts a new validator for a changed
 * configuration.
 */
#include "connector/validator/validator.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/keys/key-holder.h"
#include "certs/keys/self-test-tls.h"
#include "base/core/log.h"
#include "certs/codec/self-test.h"
#include "base/core/text.h"
#include "connector/frames/frames.h"
#include "connector/conf/enrolment.h"

#define SECURE_HEAP (4u << 20)
#define ARENA_SLOTS 1100 /* one for each sign-in that can run, and some */
/* Each sign-in parks its claims there; a quarter is left for keys, opening and sealing. */
_Static_assert(VALIDATOR_IN_FLIGHT_MAX * 4096 <= SECURE_HEAP / 4 * 3 && sizeof(struct request_claims) <= 4096 &&
                       VALIDATOR_IN_FLIGHT_MAX < ARENA_SLOTS,
               "the secure heap or the arena is too small");
#define HOLDER_GONE "postern-keyholder of the identity key has ended"
#define TURN_MS 5000
/* After a start by a clock that was set back a little, the relay takes the statement for older than the one before the
 * start. Where nothing came that was sealed by it another is made, until its time is past any that the relay may have.
 */
#define UNHEARD_MS 60000
#define UNHEARD_UNTIL_MS 300000
/* An administrator's; whoever took the ledger over gets no more than this out of the guard. */
#define RELEASES_BURST 30
#define RELEASES_EVERY_MS 10000

static int on_config(void *arg, int fd, struct error *err)
{
        struct validator *v = arg;
        int r = config_of_child(&v->config, "validator", fd, err);

        if (r == 0 && domains_new(&v->domains, v->config) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        return r;
}

static int read_identity(struct validator *v, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(65536);
        int r = fd_read_all(&pem, fd, err);

        if (r == 0)
                r = key_from_pem(&v->identity, pem.data ? pem.data : "", pem.len, NULL, err);
        return r < 0 ? error_prefix(err, r, "%s", FILE_IDENTITY) : 0;
}

/* Without its holder there is no statement more; a new start gets a new one. What runs is answered before, where an
 * hourly key signs verdicts. */
static void on_holder(void *arg, int fd, int events)
{
        struct validator *v = arg;

        (void)fd;
        (void)events;
        v->holder = loop_io_free(v->holder);
        if (!v->signins || signins_running(v->signins) == 0 ||
            enckeys_signer(&v->keys, loop_wall(v->process.loop)) == v->keys.identity) {
                process_stop(&v->process, 1, HOLDER_GONE);
                return;
        }
        log_warning("holder.gone", KV_U("running", signins_running(v->signins)));
        v->orphaned = v->holder_gone = true;
        signins_drain(v->signins);
        loop_timer_in(v->turn, PROCESS_LAST_WORDS_MS);
}

/* A keytab that is none changes nothing. */
static void keytab_changed(struct validator *v, const char *name, int fd)
{
        const char *domain = name + strlen(FILE_KEYTAB);
        struct error err = {""};
        const bool taken = domains_new_keytab(v->domains, domain, fd, v->validate, &err) >= 0;

        if (taken)
                log_info("keytab.in_use", KV_S("domain", domain));
        else
                log_error("keytab.refused", KV_S("domain", domain), KV_S("why", err.text),
                          KV_S("kept", "the keys that are in use"));
        process_taken(&v->process, name, taken ? NULL : err.text);
}

static int on_file(void *arg, const char *name, int fd_in, struct error *err)
{
        const size_t ca = strlen(FILE_DC_CA), keytab = strlen(FILE_KEYTAB), password = strlen(FILE_SERVICE_PASSWORD);
        _cleanup_(closep) int fd = fd_in;
        struct validator *v = arg;
        int handed;

        if (v->process.started && (strncmp(name, FILE_KEYTAB, keytab) != 0 || !v->validate))
                return 0; /* another file that was replaced is read by the next start */
        if (!strcmp(name, FILE_ENROLMENT))
                return enrolment_read(&v->enrolment, fd, err);
        if (!strcmp(name, FILE_IDENTITY))
                return read_identity(v, fd, err);
        if (!strcmp(name, FILE_HASH_KEY)) {
                v->has_hash_key = pread(fd, v->hash_key, sizeof(v->hash_key), 0) == (ssize_t)sizeof(v->hash_key);
                return v->has_hash_key ? 0
                                       : error_fail(err, -EBADMSG, "%s is not %d bytes long: remove it and start again",
                                                    FILE_HASH_KEY, NAME_HASH_KEY_LEN);
        }
        handed = fd;
        fd = -1;
        if (!strcmp(name, FILE_IDENTITY_HOLDER)) {
                int r = key_from_holder(&v->identity, handed, NULL, err);
                return r < 0 ? error_prefix(err, r, "identity key") : 0;
        }
        if (!strncmp(name, FILE_DC_CA, ca))
                return domains_ca(v->domains, name + ca, handed, err);
        if (v->process.started) {
                keytab_changed(v, name, handed);
                return 0;
        }
        if (!strncmp(name, FILE_KEYTAB, keytab))
                return domains_keytab(v->domains, name + keytab, handed, err);
        if (!strncmp(name, FILE_SERVICE_PASSWORD, password))
                return domains_service_password(v->domains, name + password, handed, err);
        if (!strcmp(name, FILE_ROSTER)) {
                roster_store_init(&v->store, handed);
                return 0;
        }
        if (!strcmp(name, FILE_DOMAIN_SIDS)) {
                sid_store_init(&v->sids, handed);
                return 0;
        }
        close(handed);
        return 0;
}

static void on_link_frame(void *arg, const struct msg_in *m, int fd)
{
        struct validator *v = arg;
        char id[ID_MAX + 1] = "";

        if (fd >= 0)
                close(fd);
        if (!v->signins)
                return;
        if (msg_has(m, TAG_ID) && msg_get_str(m, TAG_ID, id, sizeof(id)) < 0) {
                log_warning("link.bad_id");
                return;
        }
        if (m->type == FRAME_REQUEST)
                signins_request(v->signins, m);
        else if (m->type == FRAME_CANCEL)
                signins_cancel(v->signins, id);
        else if (m->type == FRAME_CONFIRMED)
                signins_delivered(v->signins, id, "confirmed");
        else if (m->type == FRAME_LATE)
                signins_delivered(v->signins, id, "late");
        else if (m->type == FRAME_ROSTER && !v->orphaned) /* the next start may have the file already */
                validator_roster_part(v, m);
        else if (m->type == FRAME_CLOCK)
                validator_relay_clock(v, m);
        else if (m->type == FRAME_QUESTION)
                helpdesk_ask(v->helpdesk, m);
}

static void on_link_closed(void *arg, const char *why)
{
        struct validator *v = arg;

        log_warning("link.gone", KV_S("why", why));
        v->link = ipc_free(v->link);
}

static void on_ledger_frame(void *arg, const struct msg_in *m, int fd)
{
        struct validator *v = arg;

        if (fd >= 0)
                close(fd);
        if (m->type == FRAME_GUARD && v->validate)
                validator_guard(v, m);
        if (v->helpdesk && m->type == FRAME_FOUND)
                helpdesk_found(v->helpdesk, m);
}

static void on_ledger_closed(void *arg, const char *why)
{
        struct validator *v = arg;

        log_warning("ledger.gone", KV_S("why", why));
        v->ledger = ipc_free(v->ledger);
}

static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct validator *v = arg;
        int r = 0;

        if (!strcmp(name, "link")) {
                v->link = ipc_free(v->link);
                buffer_free(&v->incoming);
                r = process_channel(&v->process, &v->link, PART_LINK, fd, on_link_frame, on_link_closed, v);
                if (r == 0 && v->signins) {
                        signins_resend(v->signins);
                        validator_publish(v, false);
                }
        } else if (!strcmp(name, "ledger")) {
                v->ledger = ipc_free(v->ledger);
                r = process_channel(&v->process, &v->ledger, PART_LEDGER, fd, on_ledger_frame, on_ledger_closed, v);
        } else {
                close(fd);
        }
        return r < 0 ? error_fail(err, r, "channel to %s: %s", name, strerror(-r)) : 0;
}

static void on_ready_changed(void *arg)
{
        validator_publish(arg, false);
}

static void on_turn(void *arg)
{
        struct validator *v = arg;

        if (v->holder_gone) {
                process_stop(&v->process, 1, HOLDER_GONE);
                return;
        }
        const uint64_t now = loop_now(v->process.loop);
        validator_publish(v, signins_opened(v->signins) == 0 && now - v->keys.stated_at >= UNHEARD_MS &&
                                     now - v->started_at < UNHEARD_UNTIL_MS);
        loop_timer_in(v->turn, TURN_MS);
}

static void on_idle(void *arg)
{
        struct validator *v = arg;

        if (v->process.draining && !v->drained) {
                v->drained = true;
                process_drained(&v->process);
        }
        if (v->orphaned && (!v->link || ipc_queued(v->link) == 0))
                process_stop(&v->process, v->holder_gone, v->holder_gone ? HOLDER_GONE : "what it had is answered");
}

static int check_handed(const struct validator *v, const char *connector_id, struct error *err)
{
        if (!v->domains || !v->identity || !v->enrolment.id || !v->has_hash_key || v->store.fd < 0)
                return error_fail(err, -EINVAL, "the supervisor did not hand over everything (%s)",
                                  !v->identity       ? FILE_IDENTITY
                                  : !v->enrolment.id ? FILE_ENROLMENT
                                  : !v->has_hash_key ? FILE_HASH_KEY
                                  : v->store.fd < 0  ? FILE_ROSTER
                                                     : "config");
        if (strcmp(v->enrolment.id, connector_id) != 0)
                return error_fail(err, -EINVAL, "connector id %s is not the enrolled %s", connector_id,
                                  v->enrolment.id);
        return 0;
}

static int make_signins(struct validator *v)
{
        struct signins_config config = {
                .loop = v->process.loop,
                .validate = v->validate,
                .keys = &v->keys,
                .replay = v->replay,
                .connector_id = v->enrolment.id,
                .tenant = v->enrolment.tenant,
                .clock = &v->clock,
                .max = validator_capacity(v),
                .n_domains = v->domains->n,
                .domains = v->domains->realms,
                .hash_key = v->hash_key,
                .known_names = &v->known_names,
                .roster = validator_roster,
                .may_speak = validator_may_speak,
                .to_link = validator_to_link,
                .to_ledger = validator_to_ledger,
                .idle = on_idle,
                .arg = v,
        };

        const struct helpdesk_config helpdesk = {.loop = v->process.loop,
                                                 .keys = &v->keys,
                                                 .connector_id = v->enrolment.id,
                                                 .tenant = v->enrolment.tenant,
                                                 .domains = v->domains->realms,
                                                 .n_domains = v->domains->n,
                                                 .roster = validator_roster,
                                                 .to_link = validator_to_link,
                                                 .to_ledger = validator_ask_ledger,
                                                 .arg = v};
        int r = helpdesk_new(&v->helpdesk, &helpdesk);

        return r < 0 ? r : signins_new(&v->signins, &config);
}

/*
 * Sockets to domain controllers and name servers. libkrb5 opens the keytab, which is memory of our own, and c-ares
 * looks at the hosts file; of /etc the user can read nothing that isn't everybody's.
 */
static const struct confine_path readable[] = {{.path = "/etc"},
                                               {.path = "/usr/share"},
                                               {.path = "/usr/lib"},
                                               {.path = "/run/systemd/resolve"},
                                               {.path = "/run/resolvconf"}};
static const struct confine_rules rules = {.process = "validator",
                                           .needs = CONFINE_CONNECT | CONFINE_READ,
                                           .paths = readable,
                                           .n_paths = sizeof(readable) / sizeof(readable[0])};

/* Whether the domains can be served with these CAs, keytabs and passwords. */
static int check_only(struct validator *v, struct error *err)
{
        int r = validate_new(&v->validate, v->process.loop, &v->config->validate, on_ready_changed, v, err);

        v->validate = validate_free(v->validate);
        if (r == 0)
                r = process_confine(&v->process, &rules, v->config->confinement, err);
        if (r == 0)
                process_ready(&v->process);
        return r;
}

static int on_start(void *arg, const char *boot, const char *connector_id, struct error *err)
{
        struct validator *v = arg;
        int holder;

        if (v->process.check)
                return check_only(v, err);
        int r = check_handed(v, connector_id, err);
        if (r < 0)
                return r;
        r = enckeys_init(&v->keys, v->identity, v->enrolment.id, v->enrolment.tenant, boot, v->process.seq);
        if (r < 0)
                return error_fail(err, r, "boot id %s is malformed", boot);
        holder = key_holder_fd(v->identity);
        v->keys.hourly = v->config->signing == SIGNING_HOURLY || (v->config->signing == SIGNING_AUTO && holder >= 0);
        validator_load_roster(v);
        r = validate_new(&v->validate, v->process.loop, &v->config->validate, on_ready_changed, v, err);
        if (r < 0)
                return r;
        validator_apply_roster(v);
        if (replay_new(&v->replay, REPLAY_MAX) < 0 || make_signins(v) < 0 ||
            (holder >= 0 && loop_io_new(&v->holder, v->process.loop, NULL, holder, LOOP_READ, on_holder, v) < 0) ||
            loop_timer_new(&v->turn, v->process.loop, NULL, on_turn, v) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        if (validator_capacity(v) < v->config->in_flight)
                log_warning("in_flight.cut", KV_U("configured", v->config->in_flight),
                            KV_U("used", validator_capacity(v)));
        r = process_confine(&v->process, &rules, v->config->confinement, err);
        if (r < 0)
                return r;
        v->started_at = loop_now(v->process.loop);
        on_turn(v);
        process_ready(&v->process);
        return 0;
}

static void on_drain(void *arg, uint64_t budget_ms)
{
        struct validator *v = arg;

        (void)budget_ms; /* the supervisor ends us at the end of it */
        if (!v->signins) {
                process_drained(&v->process);
                return;
        }
        signins_drain(v->signins);
        validator_publish(v, false);
        if (signins_running(v->signins) == 0)
                on_idle(v);
}

/* What a domain controller was asked for is answered, where that takes no longer than the link has: nobody else may be
 * asked for it. */
static bool on_orphaned(void *arg)
{
        struct validator *v = arg;

        if (!v->signins || signins_running(v->signins) == 0)
                return false;
        log_warning("supervisor.gone", KV_U("running", signins_running(v->signins)));
        v->orphaned = true;
        loop_timer_stop(v->turn);
        signins_drain(v->signins);
        return true;
}

static void clear(struct validator *v)
{
        signins_free(v->signins);
        helpdesk_free(v->helpdesk);
        validate_free(v->validate);
        loop_timer_free(v->turn);
        loop_io_free(v->holder);
        enckeys_clear(&v->keys);
        replay_free(v->replay);
        ipc_free(v->link);
        ipc_free(v->ledger);
        roster_free(v->roster);
        roster_store_clear(&v->store);
        sid_store_clear(&v->sids);
        buffer_free(&v->incoming);
        enrolment_clear(&v->enrolment);
        key_free(v->identity);
        domains_free(v->domains);
        config_free(v->config);
        wipe(v->hash_key, sizeof(v->hash_key));
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {.config = on_config,
                                               .file = on_file,
                                               .peer = on_peer,
                                               .start = on_start,
                                               .drain = on_drain,
                                               .orphaned = on_orphaned};
        struct validator v = {.store = {.fd = -1},
                              .sids = {.fd = -1},
                              .incoming = BUFFER(ROSTER_TEXT_MAX),
                              .refusals = {.burst = 20, .every_ms = 1000},
                              .releases = {.burst = RELEASES_BURST, .every_ms = RELEASES_EVERY_MS}};
        struct error err = {""};
        int code;

        if (process_open(&v.process, &posternd_frames, PART_VALIDATOR, argc, argv, &ops, &v, &err) < 0 ||
            crypto_self_test(&err) < 0 || tls_self_test(&err) < 0 || secure_heap_init(SECURE_HEAP, &err) < 0 ||
            secret_arena_init(ARENA_SLOTS, &err) < 0)
                return process_fail("validator", &err);
        code = process_run(&v.process);
        clear(&v);
        process_close(&v.process);
        return code;
}
