/*
 * postern-account: one question from descriptor 0, one answer, the end. Started by postern-account.socket for each who
 * connects, or by `postern account` as root where there is no such socket.
 *
 * As root it only reads the configuration and the readers' credentials, and counts the question; what the asker sent is
 * read by the user of its own (`user_account`), confined, and so is every byte of a domain controller. Who asked for
 * whom is logged.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/rate-file.h"
#include "base/core/text.h"
#include "base/process/confine.h"
#include "base/process/harden.h"
#include "connector/account/account.h"
#include "connector/frames/control.h"

#define ASKED_FILE "account-asked" /* of state_dir: when the latest questions came */
#define RATE_N 30
#define ALARM_S 30
#define SECRETS (CONFIG_DOMAINS_MAX + 1)
#define FILE_MAX (1024 * 1024)

static struct reader readers[CONFIG_DOMAINS_MAX];
static char late[160] = "{\"ok\":false,\"code\":\"late\",\"error\":\"no answer within 30 s\"}\n";

/* libldap and libkrb5 block; this is the bound. */
static void on_alarm(int signo)
{
        (void)signo;
        (void)!write(STDIN_FILENO, late, strlen(late));
        _exit(1);
}

/* The records of who asked: by whichever way this process was started, they are in the system's log. */
static void to_syslog(enum log_level level, const char *program, const char *line)
{
        (void)program;
        syslog((int)level, "%s", line);
}

/* The exit code. */
static int answer(json_t *object)
{
        return control_answer(STDIN_FILENO, object) < 0;
}

static int refuse(const char *code, const struct error *err)
{
        log_warning("account.failed", KV_S("code", code), KV_S("why", err->text));
        return answer(json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "error",
                                utf8_valid(err->text, strlen(err->text)) ? err->text : "?"));
}

/* ---- as root: configuration, credentials, the rate ---- */

/* A copy in memory that can be opened again by name; -errno. */
static int copy_file(const char *path, bool private, char name[64], struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = private ? BUFFER_SECRET(FILE_MAX) : BUFFER(FILE_MAX);
        _cleanup_(closep) int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (from < 0 || fstat(from, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode) || (private && (st.st_uid != geteuid() || (st.st_mode & 077))))
                return error_fail(err, -EPERM, "%s can be read by others; fix it with: chown root %s; chmod 600 %s",
                                  path, path, path);
        int r = fd_read_all(&text, from, err);
        if (r < 0)
                return error_prefix(err, r, "%s", path);
        int fd = memfd_create("account", MFD_CLOEXEC);
        if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fchmod(fd, 0444) < 0)
                return error_fail(err, -EIO, "no memory for %s", path);
        (void)snprintf(name, 64, "/proc/self/fd/%d", fd);
        return 0;
}

static int load_password(struct reader *reader, const char *path, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(SECRET_MAX + 2);
        struct stat st;
        struct secret *secret = NULL;

        if (stat(path, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (st.st_uid != geteuid() || (st.st_mode & 077))
                return error_fail(err, -EPERM, "%s can be read by others; fix it with: chown root %s; chmod 600 %s",
                                  path, path, path);
        int r = file_read(&text, path, err);
        while (r == 0 && text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
                text.len--;
        if (r == 0 && secret_new(&secret, text.data ? text.data : "", text.len) < 0)
                r = error_fail(err, -EINVAL, "%s holds no password on one line", path);
        reader->password = secret;
        return r;
}

static int load_reader(struct reader *reader, const struct domain_config *domain, struct error *err)
{
        char path[64];
        int r = 0;

        if (!domain->reader)
                return 0;
        if (domain->reader_keytab) {
                r = copy_file(domain->reader_keytab, true, path, err);
                if (r == 0)
                        (void)snprintf(reader->keytab, sizeof(reader->keytab), "FILE:%.50s", path);
        } else {
                r = load_password(reader, domain->reader_password_file, err);
        }
        if (r == 0 && domain->ca_file)
                r = copy_file(domain->ca_file, false, reader->ca_file, err);
        if (r == 0)
                reader->domain = domain;
        return r;
}

static int prepare(const char *path, struct config **ret_config, struct error *err)
{
        struct conf_errors errors = CONF_ERRORS;
        char asked[512];
        int r = config_load(ret_config, path, NULL, &errors);

        conf_errors_clear(&errors);
        if (r < 0)
                return error_fail(err, r, "the configuration %s has errors: postern check-config shows them", path);
        (void)snprintf(asked, sizeof(asked), "%s/" ASKED_FILE, (*ret_config)->state_dir);
        r = rate_file_take(asked, RATE_N, err); /* whoever asks */
        for (size_t i = 0; r == 0 && i < (*ret_config)->validate.n_domains; i++)
                r = load_reader(&readers[i], &(*ret_config)->domains[i], err);
        return r;
}

/* ---- as its own user ---- */

static int serve(struct lookup *l)
{
        struct ucred peer = {0, (uid_t)-1, (gid_t)-1};
        socklen_t n = sizeof(peer);
        struct error err = {""};
        json_auto_t *question = control_question(STDIN_FILENO, &err);
        json_t *told = NULL;
        const char *user = json_string_value(json_object_get(question, "user")),
                   *reader = json_string_value(json_object_get(question, "reader"));

        if (!question || (!user && !reader)) {
                if (question)
                        (void)error_fail(&err, -EBADMSG, "'user' or 'reader' is missing");
                return refuse("malformed", &err);
        }
        l->all_dcs = json_is_true(json_object_get(question, "all_dcs"));
        (void)getsockopt(STDIN_FILENO, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        log_info("account.asked", KV_S("for", user ? "account" : "reader"), KV_S("name", user ? user : reader),
                 KV_U("uid", peer.uid), KV_I("pid", peer.pid));
        int r = user ? lookup_name(l, user, &told, &err) : lookup_reader(l, reader, &told, &err);
        if (r == 0)
                return answer(told);
        return refuse(r == -EINVAL ? "bad_name" : r == -ENOKEY ? "no_reader" : "unavailable", &err);
}

static int shut(const struct config *config, struct error *err)
{
        static const struct confine_path paths[] = {{.path = "/etc/ssl"},
                                                    {.path = "/usr/share/ca-certificates"},
                                                    {.path = "/usr/local/share/ca-certificates"}};
        const struct confine_rules rules = {.process = "account",
                                            .needs = CONFINE_CONNECT | CONFINE_READ,
                                            .paths = paths,
                                            .n_paths = sizeof(paths) / sizeof(paths[0])};
        struct confined confined;
        int r = harden_become(config->user_account, HARDEN_NO_GROUPS, err);

        if (r == 0)
                r = harden_process(err);
        return r < 0 ? r : confine(&rules, config->confinement, &confined, err);
}

/* Name servers and the hosts file, while files can be opened. */
static int open_dns(struct lookup *l, const struct config *config, struct error *err)
{
        int r = loop_new(&l->loop);

        if (r == 0)
                r = dns_new(&l->dns, l->loop, DNS_ABSOLUTE, err);
        if (r == 0 && config->validate.dns_servers)
                r = dns_set_servers(l->dns, config->validate.dns_servers);
        for (size_t i = 0; r == 0 && i < config->validate.n_domains; i++)
                for (size_t k = 0; k < config->domains[i].n_dcs; k++)
                        dns_learn_hosts_file(l->dns, config->domains[i].dcs[k].host);
        return r;
}

static int run(const char *path)
{
        struct lookup l = {.readers = readers};
        char **mechanisms = NULL;
        struct config *config = NULL;
        struct error err = {""};
        int r = secret_arena_init(SECRETS, &err);

        if (r == 0)
                r = prepare(path, &config, &err);
        if (r == 0) {
                log_open("account", config->log_level, to_syslog);
                /* of SASL they are libraries, which could not be loaded later */
                (void)ldap_get_option(NULL, LDAP_OPT_X_SASL_MECHLIST, &mechanisms);
                l.config = config;
                r = open_dns(&l, config, &err);
        }
        if (r == 0)
                r = shut(config, &err);
        int code = r == 0 ? serve(&l) : refuse(r == -EAGAIN ? "rate" : "setup", &err);
        for (size_t i = 0; i < CONFIG_DOMAINS_MAX; i++)
                secret_free((struct secret *)(uintptr_t)readers[i].password);
        dns_free(l.dns);
        loop_free(l.loop);
        config_free(config);
        return code;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
        const char *path = CONFIG_DEFAULT;
        int c;

        while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1)
                if (c == 'c')
                        path = optarg;
                else
                        return 2;
        openlog("postern-account", LOG_NDELAY | LOG_PID, LOG_AUTHPRIV); /* it could not connect later */
        log_open("account", LOG_LEVEL_INFO, to_syslog);
        (void)umask(077);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGALRM, on_alarm);
        (void)alarm(ALARM_S);
        return run(path);
}
