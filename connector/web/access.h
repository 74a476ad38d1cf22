/*
 * Who may see the page: people whom a reverse proxy has signed in, and administrators of this host with a code for one
 * use, which becomes a session. Pure but for the clock: it knows no request.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/ipc/loop.h"

#define WEB_SECRET_LEN 43          /* characters of a code or a session's token: 32 bytes */
#define WEB_CODE_MS 60000          /* life of a code */
#define WEB_IDLE_MS (1800 * 1000)  /* a session ends when nothing was asked for so long */
#define WEB_LIFE_MS (28800 * 1000) /* and after this in any case */
#define WEB_CODES_MAX 8
#define WEB_SESSIONS_MAX 32

enum web_role { WEB_NOBODY = 0, WEB_HELPDESK, WEB_ADMIN };

struct web_person {
        char name[257];
        enum web_role role;
};

struct web_access;
int web_access_new(struct web_access **ret_access, const struct loop *loop);
struct web_access *web_access_free(struct web_access *access);

/* A code for one use within WEB_CODE_MS, for this user of the host. -EAGAIN: too many are open; -EIO. */
int web_access_admit(struct web_access *access, uid_t uid, char ret_code[WEB_SECRET_LEN + 1]);
/* Uses the code up: the token of a new session (the stalest makes room). -EACCES: unknown, used or too late; -EIO. */
int web_access_enter(struct web_access *access, const char *code, char ret_token[WEB_SECRET_LEN + 1]);
/* Whose session this token is; false: nobody's. It is used, so its idle time begins anew. */
bool web_access_find(struct web_access *access, const char *token, struct web_person *ret_person);
void web_access_leave(struct web_access *access, const char *token);

/* The best role that one of the groups gives by the two lists; each has names with commas between, NULL is none. */
enum web_role web_access_role(const char *groups, const char *helpdesk, const char *admin);
