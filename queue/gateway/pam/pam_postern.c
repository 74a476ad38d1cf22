/*
 * pam_postern: PAM's entry points. Passwords of domain accounts are checked and changed by postern-gateway.
 *
 * Invariants: an account of the system, or with a password on this host, is left to other modules; nobody is let in
 * whose account is not the one that this local name is pinned to; what nobody could decide is PAM_AUTHINFO_UNAVAIL,
 * never a wrong password. What of a module's state outlives a call is in struct state, for account and password.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/core/secret.h"
#include "queue/gateway/pam/pam.h"

#define SOCKET_DEFAULT "/run/postern-gateway/gateway.sock"
#define PINS_DEFAULT "/var/lib/pam_postern"
#define UID_LEAST 1000
#define TIMEOUT_S 20
#define NAME_MAX_ 512
#define STATE "pam_postern"
#define CHANGE_TRIES 3

struct settings {
        const char *socket, *pins, *domain; /* pins: NULL: none are kept. domain: NULL: names go as they are */
        uint32_t minimum_uid, timeout_s;
        bool any, defer, debug;
};

struct state {
        char *user;
        bool in;      /* the gateway accepted, and the pin fits */
        bool expired; /* the password was right and must be changed: defer_pwchange */
        struct pam_account account;
};

static bool has_flag(int flags, unsigned flag)
{
        return ((unsigned)flags & flag) != 0;
}

/* ---- settings ---- */

/* 0, or -EINVAL: logged. Arguments of pam_get_authtok's own are left to it. */
static int take_setting(pam_handle_t *pamh, struct settings *s, const char *word)
{
        const char *equals = strchr(word, '='), *value = equals ? equals + 1 : "";
        uint64_t n = 0;
        int r = 0;

        if (strncmp(word, "socket=/", 8) == 0)
                s->socket = value;
        else if (strncmp(word, "pins=/", 6) == 0)
                s->pins = value;
        else if (strcmp(word, "pins=none") == 0)
                s->pins = NULL;
        else if (strncmp(word, "domain=", 7) == 0 && value[0])
                s->domain = value;
        else if (strncmp(word, "minimum_uid=", 12) == 0 && (r = text_parse_u64(value, UID_LEAST, UINT32_MAX, &n)) == 0)
                s->minimum_uid = (uint32_t)n;
        else if (strncmp(word, "timeout=", 8) == 0 && (r = text_parse_u64(value, 1, 120, &n)) == 0)
                s->timeout_s = (uint32_t)n;
        else if (strcmp(word, "accounts=any") == 0 || strcmp(word, "accounts=local") == 0)
                s->any = value[0] == 'a';
        else if (strcmp(word, "defer_pwchange") == 0)
                s->defer = true;
        else if (strcmp(word, "debug") == 0)
                s->debug = true;
        else if (strcmp(word, "use_first_pass") != 0 && strcmp(word, "try_first_pass") != 0 &&
                 strcmp(word, "use_authtok") != 0 && strncmp(word, "authtok_type=", 13) != 0)
                r = -EINVAL;
        if (r < 0)
                pam_syslog(pamh, LOG_ERR, "'%s' is no setting of pam_postern(8), or beyond its range", word);
        return r;
}

static int read_settings(pam_handle_t *pamh, int argc, const char **argv, struct settings *ret_s)
{
        *ret_s = (struct settings){
                .socket = SOCKET_DEFAULT, .pins = PINS_DEFAULT, .minimum_uid = UID_LEAST, .timeout_s = TIMEOUT_S};
        for (int i = 0; i < argc; i++)
                if (take_setting(pamh, ret_s, argv[i]) < 0)
                        return PAM_SERVICE_ERR;
        return PAM_SUCCESS;
}

/* ---- the user ---- */

static void free_state(pam_handle_t *pamh, void *data, int status)
{
        struct state *state = data;

        (void)pamh;
        (void)status;
        free(state->user);
        free(state);
}

/* What this module found out about this user before; NULL. */
static const struct state *state_of(pam_handle_t *pamh, const char *user)
{
        const void *data = NULL;

        if (pam_get_data(pamh, STATE, &data) != PAM_SUCCESS || !data ||
            strcmp(((const struct state *)data)->user, user) != 0)
                return NULL;
        return data;
}

static int keep_state(pam_handle_t *pamh, const char *user, const struct state *what)
{
        struct state *state = malloc(sizeof *state);

        if (!state)
                return PAM_BUF_ERR;
        *state = *what;
        state->user = strdup(user);
        if (state->user && pam_set_data(pamh, STATE, state, free_state) == PAM_SUCCESS)
                return PAM_SUCCESS;
        free(state->user);
        free(state);
        return PAM_BUF_ERR;
}

/* PAM_SUCCESS; PAM_USER_UNKNOWN: the account is none that the domain is asked about. */
static int get_user(pam_handle_t *pamh, const struct settings *s, const char **ret_user,
                    struct pam_account *ret_account)
{
        struct error err = {""};
        int r = pam_get_user(pamh, ret_user, NULL);

        if (r != PAM_SUCCESS)
                return r;
        if (!(*ret_user)[0] || (*ret_user)[0] == '-')
                return PAM_USER_UNKNOWN;
        r = pam_account_judge(ret_account, *ret_user, s->minimum_uid, &err);
        if (r == 0 || (r == -ENOENT && s->any))
                return PAM_SUCCESS;
        if (s->debug)
                pam_syslog(pamh, LOG_DEBUG, "%s: left to other modules", err.text);
        return PAM_USER_UNKNOWN;
}

/* The name as the gateway is asked: domain= stands behind one that names none. */
static bool domain_name(const struct settings *s, const char *user, char out[NAME_MAX_])
{
        const bool bare = s->domain && !strpbrk(user, "@\\");

        return snprintf(out, NAME_MAX_, "%s%s%s", user, bare ? "@" : "", bare ? s->domain : "") < NAME_MAX_;
}

static const char *item_text(pam_handle_t *pamh, int item)
{
        const void *text = NULL;

        return pam_get_item(pamh, item, &text) == PAM_SUCCESS && text && *(const char *)text ? text : NULL;
}

/* ---- asking ---- */

/* PAM_SUCCESS with an answer, else PAM_AUTHINFO_UNAVAIL: logged. */
static int ask(pam_handle_t *pamh, const struct settings *s, const char *user, const char *password,
               const char *new_password, struct pam_answer *ret_answer)
{
        char name[NAME_MAX_], app[64] = "pam";
        const char *service = item_text(pamh, PAM_SERVICE), *rhost = item_text(pamh, PAM_RHOST);
        uint8_t address[16];
        struct pam_question q = {.socket = s->socket,
                                 .user = name,
                                 .password = password,
                                 .new_password = new_password,
                                 .client_app = app,
                                 .tty = item_text(pamh, PAM_TTY),
                                 .timeout_ms = s->timeout_s * 1000};
        struct error err = {""};
        int r = domain_name(s, user, name) ? 0 : error_fail(&err, -EMSGSIZE, "the name is too long");

        if (service)
                (void)snprintf(app, sizeof app, "pam/%s", service);
        if (rhost && (inet_pton(AF_INET, rhost, address) == 1 || inet_pton(AF_INET6, rhost, address) == 1))
                q.client_ip = rhost;
        if (r == 0)
                r = pam_ask(&q, ret_answer, &err);
        if (r < 0) {
                pam_syslog(pamh, LOG_ERR, "%s: nobody decided: %s", user, err.text);
                return PAM_AUTHINFO_UNAVAIL;
        }
        pam_syslog(pamh, ret_answer->verdict == PAM_ACCEPTED ? LOG_INFO : LOG_NOTICE, "%s: %s, id %s", user,
                   ret_answer->reason, ret_answer->id);
        return PAM_SUCCESS;
}

/* The sentence for the user, with the id by which the helpdesk finds the sign-in. */
static void tell(pam_handle_t *pamh, int flags, const struct pam_answer *a)
{
        if (!has_flag(flags, PAM_SILENT) && a->text[0])
                (void)pam_error(pamh, "%s (%s)", a->text, a->id);
}

static bool must_change(const struct pam_answer *a)
{
        return a->verdict == PAM_REFUSED && a->class == PAM_POLICY && a->password_proved &&
               (strcmp(a->reason, "password_expired") == 0 || strcmp(a->reason, "must_change_password") == 0);
}

/* For auth. What is not accepted has been told to the user, but for a wrong password, which the application tells. */
static int auth_result(pam_handle_t *pamh, int flags, const struct pam_answer *a)
{
        if (a->verdict == PAM_ACCEPTED)
                return PAM_SUCCESS;
        if (a->verdict == PAM_REFUSED && a->class == PAM_CREDENTIALS)
                return PAM_AUTH_ERR;
        tell(pamh, flags, a);
        if (a->verdict != PAM_REFUSED)
                return PAM_AUTHINFO_UNAVAIL;
        if (strcmp(a->reason, "locked_out") == 0 || strcmp(a->reason, "throttled") == 0)
                return PAM_MAXTRIES;
        return strcmp(a->reason, "account_expired") == 0 ? PAM_ACCT_EXPIRED : PAM_PERM_DENIED;
}

/* The account that was accepted against the one that had the local name first. */
static int check_pin(pam_handle_t *pamh, const struct settings *s, int flags, const char *user, struct state *state,
                     const struct pam_answer *a)
{
        struct error err = {""};
        const int r = s->pins ? pam_pin_check(s->pins, user, &state->account, a->user_domain, a->user_id, &err) : 0;

        state->in = r == 0;
        if (r == 0)
                return PAM_SUCCESS;
        pam_syslog(pamh, LOG_ALERT, "%s", err.text);
        if (!has_flag(flags, PAM_SILENT))
                (void)pam_error(pamh,
                                "Your password was right, but you could not be signed in on this host. Please contact "
                                "your helpdesk. (%s)",
                                a->id);
        return r == -EKEYREJECTED ? PAM_PERM_DENIED : PAM_AUTHINFO_UNAVAIL;
}

/* ---- changing ---- */

/* A new password, typed twice; *ret_text is freed by forget. */
static int get_new(pam_handle_t *pamh, char **ret_text)
{
        char *again = NULL;
        int r = pam_prompt(pamh, PAM_PROMPT_ECHO_OFF, ret_text, "New password: ");

        if (r == PAM_SUCCESS)
                r = pam_prompt(pamh, PAM_PROMPT_ECHO_OFF, &again, "Retype new password: ");
        if (r == PAM_SUCCESS && (!*ret_text || !(*ret_text)[0] || !again))
                r = PAM_AUTHTOK_ERR;
        if (r == PAM_SUCCESS && strcmp(*ret_text, again) != 0) {
                (void)pam_error(pamh, "The two do not match.");
                r = PAM_TRY_AGAIN;
        }
        if (again)
                explicit_bzero(again, strlen(again));
        free(again);
        return r;
}

static void forget(char **text)
{
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

/* Whether another new password may do. */
static bool new_one_may_do(const struct pam_answer *a)
{
        return a->verdict == PAM_REFUSED &&
               (strncmp(a->reason, "new_password", 12) == 0 || strcmp(a->reason, "bad_new_password") == 0);
}

/* Within the conversation of auth: the password was right and must be changed. */
static int change_now(pam_handle_t *pamh, const struct settings *s, int flags, const char *user, const char *password,
                      struct state *state)
{
        struct pam_answer a = {PAM_UNAVAILABLE};
        int r = PAM_TRY_AGAIN;

        (void)pam_info(pamh, "You must choose a new password before you can sign in.");
        for (int tries = 0; r == PAM_TRY_AGAIN && tries < CHANGE_TRIES; tries++) {
                char *new_password = NULL;

                r = get_new(pamh, &new_password);
                if (r == PAM_SUCCESS && (r = ask(pamh, s, user, password, new_password, &a)) == PAM_SUCCESS) {
                        r = new_one_may_do(&a) ? PAM_TRY_AGAIN : auth_result(pamh, flags, &a);
                        if (r == PAM_TRY_AGAIN)
                                tell(pamh, flags, &a);
                }
                if (r == PAM_SUCCESS) /* the modules behind, keyrings among them, go on with it */
                        r = pam_set_item(pamh, PAM_AUTHTOK, new_password);
                forget(&new_password);
        }
        if (r == PAM_SUCCESS)
                return check_pin(pamh, s, flags, user, state, &a);
        return r == PAM_TRY_AGAIN || r == PAM_AUTHTOK_ERR ? PAM_AUTH_ERR : r;
}

/* ---- PAM's entry points ---- */

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        struct pam_answer a = {PAM_UNAVAILABLE};
        struct state state = {NULL};
        const char *user, *password = NULL;
        struct settings s;
        int r = read_settings(pamh, argc, argv, &s);

        if (r == PAM_SUCCESS)
                r = get_user(pamh, &s, &user, &state.account);
        if (r == PAM_SUCCESS)
                r = pam_get_authtok(pamh, PAM_AUTHTOK, &password, NULL);
        if (r == PAM_SUCCESS && (!password || !password[0]))
                r = PAM_AUTH_ERR;
        if (r == PAM_SUCCESS)
                r = ask(pamh, &s, user, password, NULL, &a);
        if (r != PAM_SUCCESS)
                return r;
        state.expired = must_change(&a);
        if (state.expired && s.defer) /* account says PAM_NEW_AUTHTOK_REQD */
                return keep_state(pamh, user, &state);
        if (state.expired) {
                state.expired = false;
                r = change_now(pamh, &s, flags, user, password, &state);
        } else if ((r = auth_result(pamh, flags, &a)) == PAM_SUCCESS) {
                r = check_pin(pamh, &s, flags, user, &state, &a);
        }
        return r == PAM_SUCCESS ? keep_state(pamh, user, &state) : r;
}

/* There are none to set. Who was in auth is not asked: sshd does that in another process, whose state is gone. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        struct pam_account account;
        const char *user;
        struct settings s;

        (void)flags;
        if (read_settings(pamh, argc, argv, &s) != PAM_SUCCESS)
                return PAM_SERVICE_ERR;
        return get_user(pamh, &s, &user, &account) == PAM_SUCCESS ? PAM_SUCCESS : PAM_IGNORE;
}

/* Says something only of who signed in through this module: of others, as by a key of ssh, the domain is not asked. */
int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        const char *user = item_text(pamh, PAM_USER);
        const struct state *state = user ? state_of(pamh, user) : NULL;
        struct settings s;

        (void)flags;
        if (read_settings(pamh, argc, argv, &s) != PAM_SUCCESS)
                return PAM_SERVICE_ERR;
        if (!state)
                return PAM_IGNORE;
        return state->in ? PAM_SUCCESS : state->expired ? PAM_NEW_AUTHTOK_REQD : PAM_PERM_DENIED;
}

/* What came of a change that was asked for, told to the user where that helps. */
static int change_result(pam_handle_t *pamh, int flags, const struct pam_answer *a)
{
        if (a->verdict == PAM_ACCEPTED)
                return PAM_SUCCESS;
        tell(pamh, flags, a);
        if (a->verdict == PAM_REFUSED && a->class == PAM_CREDENTIALS && !new_one_may_do(a))
                return PAM_AUTH_ERR;
        return a->verdict == PAM_REFUSED ? PAM_AUTHTOK_ERR : PAM_AUTHINFO_UNAVAIL;
}

int pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
        struct pam_answer a = {PAM_UNAVAILABLE};
        struct state state = {NULL};
        const char *user, *old = NULL, *new_password = NULL;
        const struct state *before;
        struct settings s;
        int r = read_settings(pamh, argc, argv, &s);

        if (r == PAM_SUCCESS)
                r = get_user(pamh, &s, &user, &state.account);
        if (r != PAM_SUCCESS)
                return r == PAM_USER_UNKNOWN ? PAM_IGNORE : r;
        before = state_of(pamh, user);
        if (has_flag(flags, PAM_CHANGE_EXPIRED_AUTHTOK) && (!before || !before->expired))
                return PAM_IGNORE;
        if (before && before->expired && !item_text(pamh, PAM_OLDAUTHTOK)) /* what auth was told */
                (void)pam_set_item(pamh, PAM_OLDAUTHTOK, item_text(pamh, PAM_AUTHTOK));
        r = pam_get_authtok(pamh, PAM_OLDAUTHTOK, &old, NULL);
        if (r != PAM_SUCCESS || has_flag(flags, PAM_PRELIM_CHECK))
                return r;
        r = pam_get_authtok(pamh, PAM_AUTHTOK, &new_password, NULL);
        if (r == PAM_SUCCESS && (r = ask(pamh, &s, user, old, new_password, &a)) == PAM_SUCCESS &&
            (r = change_result(pamh, flags, &a)) == PAM_SUCCESS)
                r = check_pin(pamh, &s, flags, user, &state, &a);
        return r == PAM_SUCCESS ? keep_state(pamh, user, &state) : r;
}
