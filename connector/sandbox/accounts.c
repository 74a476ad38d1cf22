/*
 * What each account of the sandbox answers.
 *
 * Invariants: each row of the one table of reasons has an account, whoever adds one; accepted is said to the right
 * password alone, and of the states of an account those that a DC tells to the right password only. Of a password that
 * was changed a hash is kept, in memory.
 */
#include "connector/sandbox/accounts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "certs/codec/crypto.h"
#include "validate/types/outcome-table.h"

#define ANSWER_MS 2
#define RID_FIRST 1000

/* Accounts beside those of the table. */
static const struct {
        const char *name;
        struct sandbox_kind kind;
        const char *about;
} further[] = {
        {"slow", {REASON_OK, 3000}, "accepted, after 3 s"},
        {"silent", {REASON_OK, FAKE_NEVER}, "outcome_unknown, when the budget is over: the DC never answers"},
};
#define FURTHER_N (sizeof further / sizeof *further)

struct sandbox_accounts {
        struct changed {
                char user[USERNAME_MAX + 1]; /* "": none */
                uint8_t hash[SHA256_LEN];    /* of its password */
        } changed[SANDBOX_CHANGED_MAX];
        size_t next; /* whose place the next one takes */
};

struct sandbox_accounts *sandbox_accounts_new(void)
{
        return calloc(1, sizeof(struct sandbox_accounts));
}

struct sandbox_accounts *sandbox_accounts_free(struct sandbox_accounts *accounts)
{
        free(accounts);
        return NULL;
}

/* ---- names ---- */

/* How much of the account's name user is: all, the words that it begins with, or nothing. n: up to the tag. */
enum fit { FIT_NOT = 0, FIT_BEGINNING, FIT_WHOLE };
static enum fit fits(const char *user, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++) {
                const char c = name[i] == '_' ? '-' : name[i];

                if (!c || strncasecmp(&c, &user[i], 1) != 0)
                        return FIT_NOT;
        }
        return !name[n] ? FIT_WHOLE : name[n] == '_' ? FIT_BEGINNING : FIT_NOT;
}

struct sandbox_kind sandbox_kind_of(const char *user)
{
        struct sandbox_kind kind = {REASON_UNKNOWN_USER, ANSWER_MS};
        const size_t n = strcspn(user, "+");
        size_t beginnings = 0;

        for (size_t i = 0; i < FURTHER_N; i++)
                if (fits(user, n, further[i].name) == FIT_WHOLE)
                        return further[i].kind;
        for (unsigned i = 0; n && i < REASON_MAX; i++) {
                const enum fit fit = fits(user, n, outcome_reasons[i].id);

                if (fit == FIT_NOT)
                        continue;
                kind.reason = (enum reason)i;
                if (fit == FIT_WHOLE)
                        return kind;
                beginnings++;
        }
        if (beginnings != 1)
                kind.reason = REASON_UNKNOWN_USER;
        return kind;
}

/* ---- what a kind says ---- */

static const struct outcome_cause *cause_of(enum reason reason)
{
        for (size_t i = 0; i < outcome_causes_n; i++)
                if (outcome_causes[i].reason == reason && outcome_causes[i].win32 != WIN32_NONE)
                        return &outcome_causes[i];
        return NULL;
}

/* Answers to a change of the password alone; a sign-in of theirs must change it. */
static bool is_of_change(enum reason reason)
{
        static const enum reason of_change[] = {
                REASON_PASSWORD_CHANGED,        REASON_BAD_NEW_PASSWORD,        REASON_NEW_PASSWORD_TOO_SHORT,
                REASON_NEW_PASSWORD_TOO_SIMPLE, REASON_NEW_PASSWORD_IN_HISTORY, REASON_NEW_PASSWORD_REFUSED,
                REASON_PASSWORD_TOO_YOUNG,      REASON_CHANGE_NOT_PERMITTED,    REASON_CHANGE_UNAVAILABLE,
                REASON_CHANGE_UNKNOWN,          REASON_CHANGED_UNVERIFIED};

        for (size_t i = 0; i < sizeof of_change / sizeof *of_change; i++)
                if (of_change[i] == reason)
                        return true;
        return false;
}

/* Whether a DC says it to the right password only. */
static bool is_of_right_password(enum reason reason)
{
        const struct outcome_cause *cause = cause_of(reason);

        if (reason_info(reason)->verdict == VERDICT_ACCEPTED || is_of_change(reason))
                return true;
        return reason_info(reason)->class == VERDICT_CLASS_POLICY &&
               (cause ? cause->ldap_proves : reason != REASON_REVOKED && reason != REASON_THROTTLED);
}

/* The reason of this kind for a sign-in that brought the right password, or not. */
static enum reason sign_in_reason(enum reason kind, bool right, bool changed)
{
        if (!is_of_right_password(kind))
                return kind;
        if (!right)
                return REASON_WRONG_PASSWORD;
        if (changed)
                return kind == REASON_CHANGED_UNVERIFIED ? REASON_DC_ERROR : REASON_OK;
        return is_of_change(kind) ? REASON_MUST_CHANGE_PASSWORD : kind;
}

/* The same for a change of the password: what can be signed in with, or would be but for its password, changes it. */
static enum reason change_reason(enum reason kind, bool right)
{
        if (!is_of_right_password(kind))
                return kind;
        if (!right)
                return REASON_WRONG_PASSWORD;
        if (kind == REASON_OK || kind == REASON_CHANGED_UNVERIFIED || kind == REASON_PASSWORD_EXPIRED ||
            kind == REASON_MUST_CHANGE_PASSWORD)
                return REASON_PASSWORD_CHANGED;
        return kind;
}

/* ---- passwords ---- */

static struct changed *changed_find(struct sandbox_accounts *accounts, const char *user)
{
        for (size_t i = 0; i < SANDBOX_CHANGED_MAX; i++)
                if (accounts->changed[i].user[0] && strcasecmp(accounts->changed[i].user, user) == 0)
                        return &accounts->changed[i];
        return NULL;
}

static void changed_put(struct sandbox_accounts *accounts, const char *user, const struct secret *password)
{
        struct changed *c = changed_find(accounts, user);

        if (!c)
                c = &accounts->changed[accounts->next++ % SANDBOX_CHANGED_MAX];
        if (crypto_sha256(c->hash, secret_text(password), secret_len(password)) < 0)
                c->user[0] = '\0';
        else
                (void)snprintf(c->user, sizeof c->user, "%s", user);
}

static bool is_right(const struct changed *c, const struct secret *password)
{
        uint8_t hash[SHA256_LEN];

        if (!c)
                return strcmp(secret_text(password), SANDBOX_PASSWORD) == 0;
        return crypto_sha256(hash, secret_text(password), secret_len(password)) == 0 &&
               equal_const_time(hash, c->hash, sizeof hash);
}

/* ---- answers ---- */

/* Whose account it is: the same name is the same SID in every run. */
static void identify(struct identity *ret_user, const char *user)
{
        uint32_t h = 2166136261u; /* FNV-1a */

        for (const char *s = user; *s; s++)
                h = (h ^ (uint8_t)(*s | 0x20)) * 16777619u;
        ret_user->kind = ACCOUNT_PERSON;
        (void)snprintf(ret_user->id, sizeof ret_user->id, SANDBOX_SID "-%u", RID_FIRST + h % 1000000000u);
        (void)snprintf(ret_user->upn, sizeof ret_user->upn, "%.200s@" SANDBOX_SUFFIX, user);
        (void)snprintf(ret_user->sam, sizeof ret_user->sam, "%.20s", user);
        (void)snprintf(ret_user->domain, sizeof ret_user->domain, SANDBOX_DOMAIN);
}

static void fill(struct outcome *out, enum reason reason, bool right, const char *user)
{
        const struct outcome_cause *cause = cause_of(reason);

        out->reason = reason;
        out->password_proved = right && reason_info(reason)->class != VERDICT_CLASS_INFRASTRUCTURE;
        out->counted = cause ? cause->counted : COUNTED_NO;
        if (reason == REASON_OUTCOME_UNKNOWN || reason == REASON_REFUSED_UNEXPLAINED)
                out->counted = COUNTED_UNKNOWN;
        if (cause) {
                out->has_ldap = out->has_ldap_data = true;
                out->ldap = 49;
                out->ldap_data = cause->win32;
        }
        if (reason == REASON_THROTTLED)
                out->retry_after = 60;
        if (reason_info(reason)->verdict == VERDICT_UNAVAILABLE) /* so that the DC stays alive for the other accounts */
                out->claim = CLAIM_RIGHT;
        if (reason_info(reason)->verdict == VERDICT_ACCEPTED)
                identify(&out->user, user);
        else
                (void)snprintf(out->context, sizeof out->context, "the sandbox's account for this reason");
}

void sandbox_accounts_answer(void *arg, const struct fake_question *question, struct fake_answer *ret_answer)
{
        struct sandbox_accounts *accounts = arg;
        const struct attempt *attempt = question->attempt;

        ret_answer->ms = ANSWER_MS;
        if (question->step == FAKE_PROBE)
                (void)snprintf(ret_answer->outcome.domain_sid, sizeof ret_answer->outcome.domain_sid, SANDBOX_SID);
        if (question->step != FAKE_PASSWORD)
                return;
        const char *user = attempt->name->user;
        const struct sandbox_kind kind = sandbox_kind_of(user);
        const struct changed *changed = changed_find(accounts, user);
        const bool right = is_right(changed, attempt->password) && is_of_right_password(kind.reason);
        const enum reason reason = attempt->new_password ? change_reason(kind.reason, right)
                                                         : sign_in_reason(kind.reason, right, changed != NULL);

        ret_answer->ms = kind.ms;
        fill(&ret_answer->outcome, reason, right, user);
        if (reason == REASON_PASSWORD_CHANGED)
                changed_put(accounts, user, attempt->new_password);
}

/* ---- the list ---- */

static void print_row(FILE *out, const char *id, const char *about)
{
        char name[64] = "";

        for (size_t i = 0; id[i] && i + 1 < sizeof name; i++)
                name[i] = id[i] == '_' ? '-' : id[i];
        (void)fprintf(out, "%-26s %s\n", name, about);
}

void sandbox_accounts_print(FILE *out)
{
        char about[160];

        (void)fprintf(out, "Each NAME below is an account, NAME@" SANDBOX_SUFFIX
                           ", with the password `" SANDBOX_PASSWORD "`.\n\n");
        for (unsigned i = 0; i < REASON_MAX; i++) {
                const struct reason_info *info = &outcome_reasons[i];

                (void)snprintf(about, sizeof about, "%s, %s%s", verdict_text(info->verdict),
                               verdict_class_text(info->class),
                               is_of_change((enum reason)i)           ? "; to a change of the password"
                               : is_of_right_password((enum reason)i) ? "; else wrong_password"
                                                                      : "; whatever the password");
                print_row(out, info->id, about);
        }
        for (size_t i = 0; i < FURTHER_N; i++)
                print_row(out, further[i].name, further[i].about);
}
