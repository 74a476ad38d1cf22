/*
 * Starts and ends the processes, hands the connector's what they need, and prints what they did.
 *
 * Invariant: whatever ends, all end: no process outlives this one (each asks for that itself), and when one ends the
 * sandbox does. What is handed over are sealed memory files: the connector's keys are in no other.
 */
#include "connector/sandbox/children.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/process.h"
#include "connector/frames/frames.h"
#include "connector/frames/messages.h"
#include "connector/sandbox/accounts.h"
#include "connector/sandbox/roles.h"
#include "queue/relay/relay.h"
#include "queue/relay/store-process.h"

#define TEXT_MAX 65536
#define END_PATIENCE_MS 3000

static const char *const roles[SANDBOX_ROLES] = {"relay", "link", "validator"};
static const enum part parts[SANDBOX_ROLES] = {[SANDBOX_LINK] = PART_LINK, [SANDBOX_VALIDATOR] = PART_VALIDATOR};

/* The connector's configuration: one domain, whose one DC is the script of accounts.c. */
static const char connector_conf[] = "[connector]\n"
                                     "log_level = error\n"
                                     "guard = off\n"
                                     "default_domain = " SANDBOX_DOMAIN "\n"
                                     "[domain " SANDBOX_DOMAIN "]\n"
                                     "netbios = " SANDBOX_NETBIOS "\n"
                                     "domain_sid = " SANDBOX_SID "\n"
                                     "suffixes = " SANDBOX_SUFFIX "\n"
                                     "dcs = " SANDBOX_HOST "@127.0.0.1\n"
                                     "discover = no\n"
                                     "methods = ldap\n"
                                     "password_change = kpasswd\n";

static void fail(struct sandbox_children *c, const char *why)
{
        if (c->told)
                return;
        c->told = true;
        c->failed(c->arg, why);
}

/* ---- starting ---- */

/* This program again; fds[i] becomes at[i] there (-1: there is none). A group of its own: ^C ends the sandbox, which
 * ends it. */
static int spawn(struct sandbox_child *child, char *const argv[], const int *fds, const int *at, size_t n,
                 struct error *err)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        int r = posix_spawn_file_actions_init(&actions);

        if (r != 0)
                return error_fail(err, -r, "cannot start a process: %s", strerror(r));
        r = posix_spawnattr_init(&attr);
        if (r == 0) {
                (void)posix_spawnattr_setpgroup(&attr, 0);
                (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
                for (size_t i = 0; r == 0 && i < n; i++)
                        r = posix_spawn_file_actions_adddup2(&actions, fds[i], at[i]);
                if (r == 0)
                        r = posix_spawn(&child->pid, "/proc/self/exe", &actions, &attr, argv, environ);
                (void)posix_spawnattr_destroy(&attr);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
        return r ? error_fail(err, -r, "cannot start %s: %s", argv[1], strerror(r)) : 0;
}

/* The port behind "postern-relay: ready 127.0.0.1:"; 0: it said something else, or nothing. */
static uint16_t read_port(int fd)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER(512);
        const char *colon;
        uint64_t port = 0;
        char c;

        while (read(fd, &c, 1) == 1 && c != '\n')
                if (buffer_append_char(&line, c) < 0)
                        return 0;
        colon = line.len ? strrchr(line.data, ':') : NULL;
        return colon && text_parse_u64(colon + 1, 1, UINT16_MAX, &port) == 0 ? (uint16_t)port : 0;
}

int sandbox_relay_start(struct sandbox_children *c, uint16_t *ret_port, struct error *err)
{
        _cleanup_(closep) int ours = -1;
        _cleanup_(closep) int theirs = -1;
        char role[] = "--role=relay", self[] = "postern-sandbox", path[SANDBOX_PATH_MAX];
        char *argv[] = {self, role, path, NULL};
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_fail(err, -errno, "cannot make a pipe: %s", strerror(errno));
        ours = fds[0];
        theirs = fds[1];
        sandbox_path(c->site, "relay.conf", path);
        c->child[SANDBOX_RELAY] = (struct sandbox_child){.all = c, .role = SANDBOX_RELAY};
        int r = spawn(&c->child[SANDBOX_RELAY], argv, &theirs, &(const int){STDOUT_FILENO}, 1, err);
        closep(&theirs);
        theirs = -1;
        if (r < 0)
                return r;
        *ret_port = read_port(ours);
        return *ret_port ? 0 : error_fail(err, -EIO, "the relay did not start; what it said is above");
}

/* ---- the connector's two ---- */

static int hand(struct sandbox_child *child, uint8_t type, const char *name, int fd, struct error *err)
{
        struct msg_out m;

        msg_begin(&m, type);
        msg_str(&m, TAG_NAME, name);
        int r = ipc_send_fd(child->control, &m, fd);
        return r < 0 ? error_fail(err, r, "cannot hand on %s: %s", name ? name : "the configuration", strerror(-r)) : 0;
}

/* In a sealed file in memory. */
static int hand_bytes(struct sandbox_child *child, uint8_t type, const char *name, const void *bytes, size_t n,
                      struct error *err)
{
        _cleanup_(closep) int fd = memfd_create("sandbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || write(fd, bytes, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return error_fail(err, -errno, "cannot make a file in memory: %s", strerror(errno));
        return hand(child, type, name, fd, err);
}

static int hand_key(struct sandbox_child *child, const char *name, const struct key *key, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(TEXT_MAX);
        int r = key_to_pem(key, NULL, &pem, err);

        return r < 0 ? r : hand_bytes(child, FRAME_FILE, name, pem.data, pem.len, err);
}

static int hand_files(struct sandbox_child *child, struct error *err)
{
        const struct sandbox_site *site = child->all->site;
        _cleanup_(buffer_free) struct buffer enrolment = BUFFER(TEXT_MAX);
        _cleanup_(closep) int roster = -1;
        uint8_t hash_key[32];
        int r = hand_bytes(child, FRAME_CONFIG, NULL, connector_conf, strlen(connector_conf), err);

        if (r == 0 && (r = sandbox_site_enrolment(site, &enrolment)) < 0)
                return error_fail(err, r, "out of memory");
        if (r == 0)
                r = hand_bytes(child, FRAME_FILE, FILE_ENROLMENT, enrolment.data, enrolment.len, err);
        if (r < 0 || child->role == SANDBOX_LINK) {
                if (r < 0 || (r = hand_key(child, FILE_TRANSPORT_KEY, site->transport, err)) < 0 ||
                    (r = hand_bytes(child, FRAME_FILE, FILE_TRANSPORT_CERT, site->chain.data, site->chain.len, err)) <
                            0)
                        return r;
                return hand_bytes(child, FRAME_FILE, FILE_RELAY_CA, site->ca.data, site->ca.len, err);
        }
        roster = memfd_create("roster", MFD_CLOEXEC);
        if (roster < 0 || RAND_bytes(hash_key, sizeof hash_key) != 1)
                return error_fail(err, -EIO, "no memory file, or no random numbers");
        if ((r = hand_key(child, FILE_IDENTITY, site->identity, err)) < 0 ||
            (r = hand_bytes(child, FRAME_FILE, FILE_HASH_KEY, hash_key, sizeof hash_key, err)) < 0)
                return r;
        return hand(child, FRAME_FILE, FILE_ROSTER, roster, err);
}

static void take_control(void *arg, const struct msg_in *m, int received)
{
        _cleanup_(closep) int fd = received;
        struct sandbox_child *child = arg;
        struct sandbox_children *c = child->all;
        char why[ERROR_TEXT_MAX];
        struct msg_out stored;

        if (m->type == FRAME_READY && !child->ready) {
                child->ready = true;
                if (c->child[SANDBOX_LINK].ready && c->child[SANDBOX_VALIDATOR].ready)
                        c->ready(c->arg);
        } else if (m->type == FRAME_FAILED && msg_get_str(m, TAG_WHY, why, sizeof why) == 0) {
                fail(c, why);
        } else if (m->type == FRAME_CERTIFICATE) { /* in memory alone, as everything: the link has it */
                msg_begin(&stored, FRAME_STORED);
                (void)ipc_send(child->control, &stored);
        }
}

static void lose_control(void *arg, const char *why)
{
        struct sandbox_child *child = arg;
        char text[ERROR_TEXT_MAX];

        child->control = ipc_free(child->control);
        (void)snprintf(text, sizeof text, "the process %s has ended (%s)", roles[child->role], why);
        fail(child->all, text);
}

/* One line for each sign-in, and for each that could not be one. */
static void take_record(void *arg, const struct msg_in *m, int received)
{
        _cleanup_(closep) int fd = received;
        struct sandbox_child *child = arg;
        char id[ID_MAX + 1], name[300] = "?", end[64] = "", verdict[32] = "declined";

        if (m->type != FRAME_RECORD || child->all->quiet || msg_get_str(m, TAG_ID, id, sizeof id) < 0 ||
            strcmp(id, child->all->own) == 0)
                return;
        if (msg_get_str(m, R_USER, name, sizeof name) < 0)
                (void)msg_get_str(m, R_USER_MASKED, name, sizeof name);
        if (msg_get_str(m, R_DECLINED, end, sizeof end) < 0) {
                (void)msg_get_str(m, R_REASON, end, sizeof end);
                (void)msg_get_str(m, R_VERDICT, verdict, sizeof verdict);
        }
        log_info("sandbox.sign_in", KV_S("id", id), KV_S("user", name), KV_S("verdict", verdict), KV_S("reason", end));
}

static void lose_record(void *arg, const char *why)
{
        struct sandbox_child *child = arg;

        (void)why;
        child->records = ipc_free(child->records);
}

static int start_child(struct sandbox_children *c, enum sandbox_role which, struct error *err)
{
        struct sandbox_child *child = &c->child[which];
        _cleanup_(closep) int theirs = -1;
        char role[32], self[] = "postern-sandbox";
        char *argv[] = {self, role, NULL};
        int pair[2], r = ipc_pair(pair);

        *child = (struct sandbox_child){.all = c, .role = which};
        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        theirs = pair[1];
        (void)snprintf(role, sizeof role, "--role=%s", roles[which]);
        r = ipc_new(&child->control, c->loop, pair[0], take_control, lose_control, child);
        if (r < 0) {
                (void)close(pair[0]);
                return error_fail(err, r, "out of memory");
        }
        ipc_set_rules(child->control, &posternd_frames, PART_SUPERVISOR, parts[which], NULL);
        r = spawn(child, argv, &theirs, &(const int){PROCESS_CONTROL_FD}, 1, err);
        return r < 0 ? r : hand_files(child, err);
}

/* A pair between the two; a is NULL: this process, as the ledger. */
static int join(struct sandbox_child *a, struct sandbox_child *b, struct error *err)
{
        _cleanup_(closep) int end_a = -1;
        _cleanup_(closep) int end_b = -1;
        int pair[2], r = ipc_pair(pair);

        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        end_a = pair[0];
        end_b = pair[1];
        if (a) {
                r = hand(a, FRAME_PEER, roles[b->role], end_a, err);
                return r < 0 ? r : hand(b, FRAME_PEER, roles[a->role], end_b, err);
        }
        r = ipc_new(&b->records, b->all->loop, end_a, take_record, lose_record, b);
        if (r < 0)
                return error_fail(err, r, "out of memory");
        (void)steal_fd(&end_a);
        ipc_set_rules(b->records, &posternd_frames, PART_LEDGER, parts[b->role], NULL);
        return hand(b, FRAME_PEER, "ledger", end_b, err);
}

static int begin(struct sandbox_child *child, const char *boot)
{
        struct msg_out m;

        msg_begin(&m, FRAME_START);
        msg_str(&m, TAG_BOOT, boot);
        msg_u64(&m, TAG_SEQ, (uint64_t)loop_wall(child->all->loop) * 1000);
        msg_str(&m, TAG_INSTANCE, child->all->site->connector_id);
        return ipc_send(child->control, &m);
}

/* SIGCHLD. */
static void reap(void *arg)
{
        struct sandbox_children *c = arg;
        char text[ERROR_TEXT_MAX];

        for (size_t i = 0; i < SANDBOX_ROLES; i++) {
                int status;

                if (c->child[i].pid <= 0 || waitpid(c->child[i].pid, &status, WNOHANG) != c->child[i].pid)
                        continue;
                c->child[i].pid = 0;
                if (c->child[i].control) /* it may have said why */
                        ipc_read_rest(c->child[i].control);
                (void)snprintf(text, sizeof text, "the process %s has ended; what it said is above", roles[i]);
                fail(c, text);
        }
}

int sandbox_connector_start(struct sandbox_children *c, struct error *err)
{
        struct sandbox_child *link = &c->child[SANDBOX_LINK], *validator = &c->child[SANDBOX_VALIDATOR];
        uint8_t random[16];
        char boot[B64U_LEN(sizeof random) + 1];
        int r;

        if (RAND_bytes(random, sizeof random) != 1 || loop_signal_new(&c->reaper, c->loop, SIGCHLD, reap, c) < 0)
                return error_fail(err, -EIO, "no random numbers, or no memory");
        b64u_encode_to(boot, random, sizeof random);
        if ((r = start_child(c, SANDBOX_LINK, err)) < 0 || (r = start_child(c, SANDBOX_VALIDATOR, err)) < 0 ||
            (r = join(link, validator, err)) < 0 || (r = join(NULL, link, err)) < 0 ||
            (r = join(NULL, validator, err)) < 0)
                return r;
        if ((r = begin(link, boot)) < 0 || (r = begin(validator, boot)) < 0)
                return error_fail(err, r, "cannot begin: %s", strerror(-r));
        return 0;
}

/* ---- ending ---- */

void sandbox_children_end(struct sandbox_children *c)
{
        c->told = true;
        c->reaper = loop_signal_free(c->reaper);
        for (size_t i = 0; i < SANDBOX_ROLES; i++) {
                c->child[i].control = ipc_free(c->child[i].control); /* the end of it is the process's */
                c->child[i].records = ipc_free(c->child[i].records);
        }
        for (size_t i = 0; i < SANDBOX_ROLES; i++) {
                struct sandbox_child *child = &c->child[i];

                if (child->pid > 0 && child->role == SANDBOX_RELAY)
                        (void)kill(child->pid, SIGKILL); /* it would drain, and its state goes with it */
                if (child->pid > 0)
                        (void)waitpid(child->pid, NULL, 0);
                child->pid = 0;
        }
}

/* ---- being one ---- */

/* The real relay, but that it takes the sandbox's roster, and says in each answer what it is. */
static int run_relay(const char *path)
{
        struct conf_errors errors = CONF_ERRORS;
        struct relay relay = {.sandbox = true};
        const pid_t parent = getppid();
        struct error err = {""};
        int status = 1;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                return 1;
        log_open("postern-sandbox relay", LOG_LEVEL_ERROR, NULL);
        if (relay_config_load(&relay.config, path, &errors) < 0 || loop_new(&relay.loop) < 0) {
                (void)fputs(errors.lines.len ? errors.lines.data : "out of memory\n", stderr);
        } else {
                (void)signal(SIGPIPE, SIG_IGN);
                if (relay_start(&relay, &err) < 0)
                        log_error("start_failed", KV_S("why", err.text));
                else
                        status = loop_run(relay.loop);
                relay_stop(&relay);
                loop_free(relay.loop);
        }
        conf_errors_clear(&errors);
        return status;
}

int sandbox_role_run(int argc, char **argv)
{
        const char *role = argv[1] + strlen("--role=");

        if (strcmp(role, "relay") == 0 && argc == 3)
                return run_relay(argv[2]);
        if (store_process_wanted(argc, argv))
                return store_process_main(argc, argv);
        if (strcmp(role, "link") == 0)
                return link_main(argc, argv);
        if (strcmp(role, "validator") == 0)
                return validator_main(argc, argv);
        (void)fputs("postern-sandbox: --role is between its own processes\n", stderr);
        return 2;
}
