/*
 * Codes and sessions, in memory only: a restart ends them all.
 *
 * Both are 32 random bytes that are compared in constant time. A code works once.
 */
#include "connector/web/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/core/secret.h"
#include "base/core/text.h"

#define SECRET_BYTES 32

/* A code or a session. */
struct pass {
        bool used;
        uint8_t secret[SECRET_BYTES];
        uint64_t began, seen;
        struct web_person person;
};

struct web_access {
        const struct loop *loop;
        struct pass codes[WEB_CODES_MAX], sessions[WEB_SESSIONS_MAX];
};

int web_access_new(struct web_access **ret_access, const struct loop *loop)
{
        struct web_access *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        a->loop = loop;
        *ret_access = a;
        return 0;
}

struct web_access *web_access_free(struct web_access *a)
{
        if (a)
                wipe(a, sizeof(*a));
        free(a);
        return NULL;
}

static bool is_over(const struct web_access *a, const struct pass *p)
{
        const uint64_t now = loop_now(a->loop);
        const bool code = p < a->sessions;

        return now - p->began >= (code ? WEB_CODE_MS : WEB_LIFE_MS) || (!code && now - p->seen >= WEB_IDLE_MS);
}

/* What is over is forgotten on the way. */
static struct pass *find(struct web_access *a, struct pass *passes, size_t n, const char *text)
{
        uint8_t secret[SECRET_BYTES];
        struct pass *found = NULL;

        if (strlen(text) != WEB_SECRET_LEN || b64u_decode_exact(secret, sizeof(secret), text, WEB_SECRET_LEN) < 0)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                if (passes[i].used && is_over(a, &passes[i]))
                        wipe(&passes[i], sizeof(passes[i]));
                if (passes[i].used && equal_const_time(secret, passes[i].secret, sizeof(secret)))
                        found = &passes[i];
        }
        wipe(secret, sizeof(secret));
        return found;
}

/* A free place; else the one that was seen longest ago. */
static struct pass *place(struct web_access *a, struct pass *passes, size_t n)
{
        struct pass *best = &passes[0];

        for (size_t i = 0; i < n; i++) {
                if (!passes[i].used || is_over(a, &passes[i]))
                        return &passes[i];
                if (passes[i].seen < best->seen)
                        best = &passes[i];
        }
        return best;
}

static int fill(const struct web_access *a, struct pass *p, const struct web_person *person,
                char ret_text[WEB_SECRET_LEN + 1])
{
        struct pass made = {.used = true, .began = loop_now(a->loop), .seen = loop_now(a->loop), .person = *person};

        if (getrandom(made.secret, sizeof(made.secret), 0) != (ssize_t)sizeof(made.secret))
                return -EIO;
        *p = made;
        b64u_encode_to(ret_text, made.secret, sizeof(made.secret));
        wipe(made.secret, sizeof(made.secret));
        return 0;
}

int web_access_admit(struct web_access *a, uid_t uid, char ret_code[WEB_SECRET_LEN + 1])
{
        struct pass *p = place(a, a->codes, WEB_CODES_MAX);
        struct web_person person = {.role = WEB_ADMIN};

        if (p->used && !is_over(a, p))
                return -EAGAIN;
        (void)snprintf(person.name, sizeof(person.name), "uid %u of this host", uid);
        return fill(a, p, &person, ret_code);
}

int web_access_enter(struct web_access *a, const char *code, char ret_token[WEB_SECRET_LEN + 1])
{
        struct pass *p = find(a, a->codes, WEB_CODES_MAX, code);

        if (!p)
                return -EACCES;
        const struct web_person person = p->person;
        wipe(p, sizeof(*p));
        return fill(a, place(a, a->sessions, WEB_SESSIONS_MAX), &person, ret_token);
}

bool web_access_find(struct web_access *a, const char *token, struct web_person *ret_person)
{
        struct pass *p = find(a, a->sessions, WEB_SESSIONS_MAX, token);

        if (!p)
                return false;
        p->seen = loop_now(a->loop);
        *ret_person = p->person;
        return true;
}

void web_access_leave(struct web_access *a, const char *token)
{
        struct pass *p = find(a, a->sessions, WEB_SESSIONS_MAX, token);

        if (p)
                wipe(p, sizeof(*p));
}

/* The next name of a list, *ret_n bytes of it without blanks around; NULL: there is none. */
static const char *next_name(const char **list, size_t *ret_n)
{
        if (!*list)
                return NULL;
        *list += strspn(*list, " ,");
        const char *name = *list;
        size_t n = strcspn(name, ",");
        *list += n;
        while (n && name[n - 1] == ' ')
                n--;
        *ret_n = n;
        return n ? name : NULL;
}

static bool is_listed(const char *group, size_t n, const char *list)
{
        const char *name;
        size_t n_name;

        while ((name = next_name(&list, &n_name)))
                if (n_name == n && memcmp(name, group, n) == 0)
                        return true;
        return false;
}

enum web_role web_access_role(const char *groups, const char *helpdesk, const char *admin)
{
        enum web_role role = WEB_NOBODY;
        const char *group;
        size_t n;

        while ((group = next_name(&groups, &n))) {
                if (is_listed(group, n, admin))
                        return WEB_ADMIN;
                if (is_listed(group, n, helpdesk))
                        role = WEB_HELPDESK;
        }
        return role;
}
