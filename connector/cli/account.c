/*
 * postern account: what the directory says of the account that a typed name reaches, and what of it stands in the way
 * of a sign-in.
 *
 * postern-account reads it, by a credential that no process of posternd has; this asks that process by its socket, or
 * starts it as root, and shows the answer. Without a credential it prints the PowerShell commands that tell the same.
 */
#include "connector/cli/account.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/process/program.h"
#include "connector/cli/view.h"
#include "connector/findings/account.h"
#include "connector/frames/control.h"

#define PATIENCE_S 40
#define NAME_MAX_BYTES 512

static bool all_dcs;

static const struct cli_option options[] = {
        {"all-dcs", NULL, NULL, &all_dcs, "the counters of every domain controller"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "account",
        .words = "USER",
        .min_words = 1,
        .max_words = 1,
        .about = "Shows which account of the directory a typed name reaches and by which\n"
                 "attribute, whether it is locked, disabled, expired or restricted, and what each\n"
                 "domain controller counted. It reads only: no password is tried, nothing\n"
                 "counts. Exit code: 0 nothing stands in the way, 1 something does, 3 nobody\n"
                 "could be asked.\n",
        .options = options,
};

/* ---- asking ---- */

/* As root, where systemd has no such socket. */
static int start_it(const struct cli *cli, pid_t *ret_pid, struct error *err)
{
        char program[4096];
        int pair[2];
        int r = program_path("account", program, sizeof(program), err);

        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return error_fail(err, -errno, "no socket: %s", strerror(errno));
        const char *const argv[] = {program, "--config", cli->config, NULL};
        r = program_spawn(ret_pid, argv, (const int[3]){pair[1], -1, -1});
        (void)close(pair[1]);
        if (r < 0) {
                (void)close(pair[0]);
                return error_fail(err, r, "cannot start %s: %s", program, strerror(-r));
        }
        return pair[0];
}

static json_t *talk(int fd, const json_t *question)
{
        const struct timeval patience = {.tv_sec = PATIENCE_S};
        char *text = json_dumps(question, JSON_COMPACT);
        size_t n = text ? strlen(text) : 0;
        FILE *in = fdopen(fd, "r");
        json_t *answer = NULL;

        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (in && n && send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n && send(fd, "\n", 1, MSG_NOSIGNAL) == 1)
                answer = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
        free(text);
        if (in)
                (void)fclose(in);
        else
                (void)close(fd);
        return answer;
}

int account_ask(const struct cli *cli, const json_t *question, json_t **ret_answer, struct error *err)
{
        const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ACCOUNT_SOCKET};
        pid_t pid = 0;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                const int r = -errno;

                (void)close(fd);
                fd = r;
        }
        if (fd == -EACCES)
                return error_fail(err, -EACCES,
                                  "not allowed to ask by " ACCOUNT_SOCKET "; be root, or a member of its group");
        if (fd < 0 && geteuid() != 0)
                return error_fail(err, -ENOENT,
                                  "nobody answers at " ACCOUNT_SOCKET "; root sets it up: systemctl enable --now "
                                  "postern-account.socket");
        if (fd < 0)
                fd = start_it(cli, &pid, err);
        if (fd < 0)
                return fd;
        json_t *answer = talk(fd, question);
        if (pid > 0)
                (void)waitpid(pid, NULL, 0);
        if (!json_is_object(answer)) {
                json_decref(answer);
                return error_fail(err, -EIO,
                                  "postern-account ended without an answer; its log says why: journalctl -t "
                                  "postern-account");
        }
        *ret_answer = answer;
        return 0;
}

int account_judge_reader(const struct cli *cli, const char *domain, char *text, size_t cap)
{
        json_auto_t *question = json_pack("{s:s}", "reader", domain), *answer = NULL;
        struct error err = {"out of memory"};
        int r = question ? account_ask(cli, question, &answer, &err) : -ENOMEM;

        if (r < 0 || !json_is_true(json_object_get(answer, "ok"))) {
                (void)snprintf(text, cap, "%s", r < 0 ? err.text : fact_text(answer, "error"));
                return r < 0 ? r : -EIO;
        }
        const json_t *groups = json_object_get(answer, "privileged"), *writable = json_object_get(answer, "writable");
        const char *reader = fact_text(answer, "reader");
        if (json_array_size(groups))
                (void)snprintf(text, cap,
                               "%s is a member of %s: whoever takes this host has that, too. Use an account without "
                               "rights for reader",
                               reader, json_string_value(json_array_get(groups, 0)));
        else if (json_array_size(writable))
                (void)snprintf(text, cap,
                               "%s may change other accounts (%s, for one). Use an account without rights for reader",
                               reader, json_string_value(json_array_get(writable, 0)));
        else
                (void)snprintf(text, cap, "%s reads at %s, and may change no account", reader, fact_text(answer, "dc"));
        return json_array_size(groups) || json_array_size(writable) ? 1 : 0;
}

/* The latest refused attempt of the user that the ledger knows; NULL: none, or it cannot be asked. */
static json_t *latest_failure(const struct cli *cli, const char *user)
{
        json_auto_t *request = json_pack("{s:s, s:s, s:s, s:i}", "do", "log", "user", user, "verdict", "refused",
                                         "limit", 1),
                    *answer = NULL;
        struct error err;
        char path[4096];

        view_socket(cli, "control.sock", path, sizeof(path));
        if (!request || control_ask(&answer, path, request, &err) < 0)
                return NULL;
        return json_incref(json_array_get(json_object_get(answer, "records"), 0));
}

/* ---- PowerShell, where nobody may read ---- */

/* For an LDAP filter between single quotes of PowerShell. */
static void print_quoted(const char *value)
{
        for (const unsigned char *p = (const unsigned char *)value; *p; p++)
                if (*p == '\'')
                        (void)printf("''");
                else if (*p < 0x20 || *p == 0x7f || strchr("*()\\", *p))
                        (void)printf("\\%02x", *p);
                else
                        (void)fputc(*p, stdout);
}

static void show_powershell(const char *user)
{
        const char *slash = strchr(user, '\\'), *at = strrchr(user, '@'), *name = slash ? slash + 1 : user;
        char sam[NAME_MAX_BYTES + 1];

        (void)snprintf(sam, sizeof(sam), "%.*s", at && !slash ? (int)(at - name) : (int)strlen(name), name);
        (void)printf("The same, in PowerShell at a computer with the ActiveDirectory module:\n\n"
                     "$u = Get-ADUser -LDAPFilter '(|(sAMAccountName=");
        print_quoted(sam);
        (void)printf(")(userPrincipalName=");
        print_quoted(name);
        (void)printf(")(mail=");
        print_quoted(name);
        (void)printf(
                "))' -Properties *\n"
                "$u | Format-List UserPrincipalName, SamAccountName, mail, Enabled, LockedOut, PasswordExpired,\n"
                "  PasswordLastSet, AccountExpirationDate, LogonWorkstations, SmartcardLogonRequired, MemberOf,\n"
                "  @{n='PasswordExpires'; e={[datetime]::FromFileTime($_.'msDS-UserPasswordExpiryTimeComputed')}}\n"
                "Get-ADDomainController -Filter * | ForEach-Object { $dc = $_.HostName\n"
                "  $u | ForEach-Object { Get-ADUser $_ -Server $dc -Properties badPwdCount, LastBadPasswordAttempt,\n"
                "    LockedOut, AccountLockoutTime, PasswordLastSet } | Select-Object @{n='DC'; e={$dc}},\n"
                "    SamAccountName, badPwdCount, LastBadPasswordAttempt, LockedOut, AccountLockoutTime,\n"
                "    PasswordLastSet } | Format-Table\n\n"
                "With an account that may read there (reader, postern.conf(5)) this command shows it itself.\n");
}

/* ---- showing ---- */

static void show_dcs(const json_t *rows)
{
        json_t *row;
        size_t i;

        (void)printf("\n%-30s %-10s %4s  %-19s  %-19s  %-19s\n", "domain controller", "", "bad", "latest bad attempt",
                     "locked since", "password set");
        json_array_foreach ((json_t *)(uintptr_t)rows, i, row) {
                json_auto_t *told = account_counters(row);

                (void)printf("%-30s %-10s ", fact_text(told, "dc"), fact_text(told, "role"));
                if (fact_text(told, "error")[0]) {
                        cli_print_text(stdout, fact_text(told, "error"));
                        (void)fputc('\n', stdout);
                        continue;
                }
                (void)printf("%4s  %-19s  %-19s  %-19s\n", fact_text(told, "bad"), fact_text(told, "last_bad"),
                             fact_text(told, "locked"), fact_text(told, "set"));
        }
}

static bool show_findings(const json_t *findings)
{
        bool stops = false;
        json_t *item;
        size_t i;

        (void)printf(json_array_size(findings) ? "\nto know:\n"
                                               : "\nnothing in the account stands in the way of a sign-in with the "
                                                 "right password\n");
        json_array_foreach ((json_t *)(uintptr_t)findings, i, item) {
                stops |= json_is_true(json_object_get(item, "stops"));
                (void)printf("  ");
                view_wrap(2, fact_text(item, "text"));
                if (fact_text(item, "remedy")[0]) {
                        (void)printf("    ");
                        view_wrap(4, fact_text(item, "remedy"));
                }
        }
        return stops;
}

static int show(const struct cli *cli, json_t *answer, const char *user)
{
        json_auto_t *failed = latest_failure(cli, user),
                    *findings = account_findings(answer, failed, (long long)time(NULL)),
                    *facts = json_is_object(json_object_get(answer, "account")) ? account_facts(answer) : NULL;
        const json_t *row;
        size_t i;

        if (cli->json) {
                (void)json_object_set(answer, "findings", findings);
                view_print_json(answer);
                json_array_foreach (findings, i, row)
                        if (json_is_true(json_object_get(row, "stops")))
                                return CLI_FAILED;
                return CLI_OK;
        }
        json_array_foreach (facts, i, row) {
                (void)printf("%-12s ", fact_text(row, "label"));
                cli_print_text(stdout, fact_text(row, "text"));
                (void)fputc('\n', stdout);
        }
        if (facts)
                show_dcs(json_object_get(answer, "dcs"));
        return show_findings(findings) ? CLI_FAILED : CLI_OK;
}

int cmd_account(struct cli *cli, int argc, char **argv)
{
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0][0] || strlen(words[0]) > NAME_MAX_BYTES)
                return cli_usage_error(cli, "USER is a name of 1 to %d bytes", NAME_MAX_BYTES);
        json_auto_t *question = json_pack("{s:s, s:b}", "user", words[0], "all_dcs", all_dcs), *answer = NULL;
        if (!question)
                return cli_usage_error(cli, "USER is not UTF-8");
        int r = account_ask(cli, question, &answer, &err);
        if (r == 0 && json_is_true(json_object_get(answer, "ok")))
                return show(cli, answer, words[0]);
        const char *refused = fact_text(answer, "code");
        if (cli->json && r == 0)
                view_print_json(answer);
        (void)cli_error(cli, "%s", r < 0 ? err.text : fact_text(answer, "error"));
        if (!cli->json && strcmp(refused, "bad_name") != 0 && strcmp(refused, "rate") != 0)
                show_powershell(words[0]);
        return strcmp(refused, "bad_name") == 0 ? CLI_FAILED : CLI_UNAVAILABLE;
}
