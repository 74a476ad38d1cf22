/*
 * postern-ledger: takes records from validator and link, keeps them, and answers the control socket.
 *
 * What the disk does never ends this process; only the supervisor does. It keeps no name that resolved to
 * nothing: the validator masks those before they come here.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "certs/codec/self-test.h"
#include "connector/frames/control.h"
#include "connector/ledger/ledger.h"
#include "connector/ledger/metrics.h"

#define STATUS_TEXT_MAX 15000
#define PAGE_USER "postern-web"
#define LAST_TURNS 100 /* of the loop, each reading 64 frames from a channel */

/* ---- status of the parts ---- */

static struct ledger_status *status_slot(struct ledger *l, const char *name)
{
        for (size_t i = 0; i < l->n_status; i++)
                if (strcmp(l->status[i].name, name) == 0)
                        return &l->status[i];
        if (l->n_status == LEDGER_STATUS_MAX || strlen(name) >= sizeof(l->status[0].name))
                return NULL;
        struct ledger_status *s = &l->status[l->n_status++];
        *s = (struct ledger_status){.value = NULL};
        memcpy(s->name, name, strlen(name) + 1);
        return s;
}

static void set_status(struct ledger *l, const char *name, const char *text)
{
        json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        struct ledger_status *slot = json_is_object(value) ? status_slot(l, name) : NULL;

        if (!slot) {
                log_warning("status.refused", KV_S("part", name));
                json_decref(value);
                return;
        }
        ledger_watch(l, name, slot->value, value);
        slot->wall = loop_wall(l->process.loop);
        json_t *since = ledger_watch_since(slot->value, slot->since, value, slot->wall);
        json_decref(slot->since);
        slot->since = since;
        json_decref(slot->value);
        slot->value = value;
}

static void on_share(void *arg, const char *key, const char *text)
{
        struct ledger *l = arg;

        if (strcmp(key, SHARE_ACT) != 0) {
                set_status(l, key, text);
                return;
        }
        /* what an administrator did on this host: for `postern log --events` and for a SIEM */
        json_auto_t *act = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        const char *name = json_string_value(json_object_get(act, "act")),
                   *detail = json_string_value(json_object_get(act, "detail"));
        char told[LOG_VALUE_MAX];

        if (!name || !detail) {
                log_warning("status.refused", KV_S("part", SHARE_ACT));
                return;
        }
        (void)snprintf(told, sizeof(told), "%.400s (by the user of uid %lld)", detail,
                       (long long)json_integer_value(json_object_get(act, "uid")));
        ledger_note(l, name, told);
        ledger_outlets_admin(l->outlets, act);
}

/* ---- frames of validator and link ---- */

/* How a sign-in ended, in all and of its domain. */
static void count(struct ledger *l, const struct msg_in *m)
{
        static const char *const verdicts[] = {"accepted", "refused", "unavailable"};
        const size_t n_domains = l->config->validate.n_domains;
        char word[16] = "", realm[256];
        size_t end = 0; /* how the sign-in ended, one of COUNT_ */

        if (msg_has(m, R_DECLINED)) {
                end = msg_get_str(m, R_DECLINED, word, sizeof(word)) == 0 && strcmp(word, DECLINED_LOST) == 0
                              ? COUNT_UNAVAILABLE
                              : COUNT_DECLINED;
        } else {
                if (msg_get_str(m, R_VERDICT, word, sizeof(word)) < 0)
                        return;
                while (end < COUNT_DECLINED && strcmp(word, verdicts[end]) != 0)
                        end++;
                if (end == COUNT_DECLINED) /* none of them */
                        return;
        }
        l->counts[end]++;
        if (msg_get_str(m, R_REALM, realm, sizeof(realm)) < 0)
                return;
        for (size_t i = 0; i < n_domains && i < CONFIG_DOMAINS_MAX; i++)
                if (strcasecmp(l->config->domains[i].name, realm) == 0)
                        l->counts_of[i][end]++;
}

/* A neighbour said what only another process can know: it may have been taken over. */
static void suspect(void *arg, uint8_t type, const char *why)
{
        struct ledger_peer *peer = arg;
        char detail[800];

        if (peer->suspicious)
                return;
        peer->suspicious = true;
        (void)snprintf(detail, sizeof(detail),
                       "the %s process sent what is not its own to say (frame %u: %s): it may be under somebody else's "
                       "control; keep its log and restart posternd",
                       part_name(peer->part), type, why);
        ledger_note(peer->ledger, "process.suspicious", detail);
}

static void take_status(struct ledger *l, const struct msg_in *m, const char *name)
{
        char text[STATUS_TEXT_MAX];

        if (name[0] && msg_get_str(m, TAG_TEXT, text, sizeof(text)) == 0)
                set_status(l, name, text);
        else
                log_warning("status.refused", KV_S("part", name));
}

void ledger_take(struct ledger *l, const struct msg_in *m)
{
        char name[CONTROL_NAME_MAX] = "", text[LOG_VALUE_MAX] = "";

        if (m->type == FRAME_EVENT && msg_get_str(m, TAG_NAME, name, sizeof(name)) == 0) {
                (void)msg_get_str(m, TAG_TEXT, text, sizeof(text));
                log_info("connector.event", KV_S("name", name), KV_S("text", text));
        }
        ledger_journal_add(l->journal, m);
        ledger_outlets_frame(l->outlets, m);
}

uint64_t ledger_guard_ask(struct ledger *l, const struct request *request)
{
        struct msg_out m;

        msg_begin(&m, FRAME_GUARD);
        msg_u64(&m, TAG_SEQ, ++l->asked);
        msg_str(&m, R_USER, request->user);
        if (request->release)
                msg_u64(&m, TAG_RELEASE, 1);
        return l->validator.ipc && ipc_send(l->validator.ipc, &m) == 0 ? l->asked : 0;
}

static void take_guarded(struct ledger *l, const struct msg_in *m)
{
        char text[STATUS_TEXT_MAX] = "", why[ERROR_TEXT_MAX] = "";

        if (msg_get_str(m, TAG_TEXT, text, sizeof(text)) < 0 && msg_get_str(m, TAG_WHY, why, sizeof(why)) < 0)
                (void)snprintf(why, sizeof(why), "the validator answered nothing");
        if (l->control)
                control_guarded(l->control, msg_get_u64(m, TAG_SEQ, 0), text, why);
}

static void on_frame(void *arg, const struct msg_in *m, int received)
{
        [[maybe_unused]] _cleanup_(closep) int fd = received; /* only to be closed */
        struct ledger_peer *peer = arg;
        struct ledger *l = peer->ledger;
        char name[CONTROL_NAME_MAX] = "";

        if (msg_get_str(m, TAG_NAME, name, sizeof(name)) == 0 && !frame_may_name(peer->part, name)) {
                log_warning("frame.refused", KV_S("from", part_name(peer->part)), KV_U("type", m->type),
                            KV_S("name", name));
                suspect(peer, m->type, name);
                return;
        }
        if (m->type == FRAME_STATUS) {
                take_status(l, m, name);
                return;
        }
        if (m->type == FRAME_QUERY) {
                ledger_query(l, m);
                return;
        }
        if (m->type == FRAME_GUARDED) {
                take_guarded(l, m);
                return;
        }
        if (m->type == FRAME_RECORD || m->type == FRAME_UNANSWERED) {
                count(l, m);
                ledger_metrics_count(l->metrics, m);
        }
        ledger_take(l, m);
}

static void on_peer_closed(void *arg, const char *why)
{
        struct ledger_peer *peer = arg;

        log_debug("peer.gone", KV_S("peer", part_name(peer->part)), KV_S("why", why));
        peer->ipc = ipc_free(peer->ipc);
}

/* ---- what the supervisor hands over ---- */

static int on_config(void *arg, int fd, struct error *err)
{
        struct ledger *l = arg;

        return config_of_child(&l->config, "ledger", fd, err);
}

static int on_file(void *arg, const char *name, int handed, struct error *err)
{
        _cleanup_(closep) int fd = handed;
        struct ledger *l = arg;

        if (strcmp(name, FILE_HASH_KEY) == 0) {
                l->has_hash_key = pread(fd, l->hash_key, sizeof(l->hash_key), 0) == (ssize_t)sizeof(l->hash_key);
                if (!l->has_hash_key)
                        return error_fail(err, -EBADMSG, "%s is not %d bytes long: remove it and start again",
                                          FILE_HASH_KEY, NAME_HASH_KEY_LEN);
                return 0;
        }
        int *slot = strcmp(name, FILE_LEDGER_DIR) == 0       ? &l->dir_fd
                    : strcmp(name, FILE_CONTROL_SOCKET) == 0 ? &l->socket_fd
                    : strcmp(name, FILE_METRICS_SOCKET) == 0 ? &l->metrics_fd
                                                             : NULL;
        if (!slot) {
                if (ledger_outlets_file(l->outlets, name, fd))
                        fd = -1;
                return 0;
        }
        closep(slot);
        *slot = fd;
        fd = -1;
        return 0;
}

static int open_peer(struct ledger_peer *peer, int fd, struct error *err)
{
        peer->ipc = ipc_free(peer->ipc);
        peer->suspicious = false;
        struct process *p = &peer->ledger->process;
        int r = process_channel(p, &peer->ipc, peer->part, fd, on_frame, on_peer_closed, peer);

        if (r == 0)
                ipc_set_rules(peer->ipc, &posternd_frames, PART_LEDGER, peer->part, suspect);
        return r < 0 ? error_fail(err, r, "channel to %s: %s", part_name(peer->part), strerror(-r)) : 0;
}

/* Before the start there is no journal yet: the channel waits unread, so that no record is lost. */
static int on_peer(void *arg, const char *name, int fd, struct error *err)
{
        struct ledger *l = arg;
        struct ledger_peer *peer = strcmp(name, "link") == 0 ? &l->link : &l->validator;

        if (l->journal)
                return open_peer(peer, fd, err);
        closep(&peer->held_fd);
        peer->held_fd = fd;
        return 0;
}

static int open_held_peer(struct ledger_peer *peer, struct error *err)
{
        const int fd = peer->held_fd;

        peer->held_fd = -1;
        return fd < 0 ? 0 : open_peer(peer, fd, err);
}

static int on_start(void *arg, const char *boot, const char *connector_id, struct error *err)
{
        struct ledger *l = arg;

        (void)boot;
        l->since = loop_wall(l->process.loop);
        if (!l->process.check && (l->dir_fd < 0 || l->socket_fd < 0))
                return error_fail(err, -EINVAL, "the supervisor did not hand over folder and socket");
        const struct journal_config config = {.loop = l->process.loop,
                                              .dir_fd = l->dir_fd,
                                              .key = l->has_hash_key ? l->hash_key : NULL,
                                              .days = l->config->ledger_days,
                                              .names_days = l->config->names_days,
                                              .rows = l->config->ledger_rows};
        /* The folder of the ledger and the control socket that is open already; no network of any kind, and of the
         * sockets that lead out only where the supervisor connected them to. */
        const struct confine_path own = {.fd = l->dir_fd, .write = true};
        const struct confine_rules rules = {.process = "ledger",
                                            .needs = CONFINE_WRITE | CONFINE_ACCEPT | CONFINE_DATAGRAM,
                                            .paths = &own,
                                            .n_paths = 1};
        int r = ledger_metrics_new(&l->metrics, l, l->metrics_fd, err);
        l->metrics_fd = -1;
        if (r == 0 && !l->process.check && ledger_outlets_new(&l->outlets, l, connector_id) < 0)
                r = error_fail(err, -ENOMEM, "out of memory");
        if (r == 0)
                r = process_confine(&l->process, &rules, l->config->confinement, err);
        if (r == 0 && l->process.check) {
                process_ready(&l->process); /* another one holds the database */
                return 0;
        }
        if (r == 0)
                r = ledger_journal_new(&l->journal, &config, err);
        if (r < 0)
                return r;
        l->dir_fd = -1;
        r = control_new(&l->control, l, l->socket_fd);
        l->socket_fd = -1;
        if (r < 0)
                return error_fail(err, r, "control socket: %s", strerror(-r));
        r = open_held_peer(&l->validator, err);
        if (r == 0)
                r = open_held_peer(&l->link, err);
        if (r < 0)
                return r;
        process_ready(&l->process);
        return 0;
}

static void ledger_clear(struct ledger *l)
{
        l->control = control_free(l->control);
        l->metrics = ledger_metrics_free(l->metrics);
        l->link.ipc = ipc_free(l->link.ipc);
        l->validator.ipc = ipc_free(l->validator.ipc);
        l->outlets = ledger_outlets_free(l->outlets);
        l->journal = ledger_journal_free(l->journal);
        for (size_t i = 0; i < l->n_status; i++)
                json_decref(l->status[i].value), json_decref(l->status[i].since);
        closep(&l->dir_fd);
        closep(&l->socket_fd);
        closep(&l->metrics_fd);
        closep(&l->link.held_fd);
        closep(&l->validator.held_fd);
}

int main(int argc, char **argv)
{
        static const struct process_ops ops = {
                .config = on_config, .file = on_file, .peer = on_peer, .start = on_start, .share = on_share};
        static struct ledger ledger = {.dir_fd = -1, .socket_fd = -1, .metrics_fd = -1};
        struct error err;

        ledger.link = (struct ledger_peer){.ledger = &ledger, .part = PART_LINK, .held_fd = -1};
        ledger.validator = (struct ledger_peer){.ledger = &ledger, .part = PART_VALIDATOR, .held_fd = -1};
        (void)umask(077);
        if (argc == 3 && strcmp(argv[1], LEDGER_OFFLINE) == 0)
                return ledger_offline(argv[2]);
        (void)signal(SIGXFSZ, SIG_IGN);                  /* a limit on files is a full disk */
        const struct passwd *page = getpwnam(PAGE_USER); /* while it may read files */
        ledger.page_uid = page ? page->pw_uid : (uid_t)-1;
        if (process_open(&ledger.process, &posternd_frames, PART_LEDGER, argc, argv, &ops, &ledger, &err) < 0 ||
            crypto_self_test(&err) < 0)
                return process_fail("ledger", &err);
        log_native(NULL);
        int code = process_run(&ledger.process);
        /* what validator and link sent before the end is still in their channels */
        for (unsigned i = 0; i < LAST_TURNS && (ledger.link.ipc || ledger.validator.ipc); i++)
                loop_run_once(ledger.process.loop);
        ledger_clear(&ledger);
        process_close(&ledger.process);
        return code;
}
