/*
 * pam_postern's own parts: the question to postern-gateway, and what this host knows of the account. Internal to the
 * module, which runs inside sshd, sudo, login and whatever else: so it blocks, starts nothing, keeps nothing open, and
 * shows no name but PAM's entry points.
 */
#pragma once

#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "base/core/text.h"

/* ---- answer.c, ask.c: the gateway ---- */

#define PAM_ANSWER_MAX 32768 /* bytes of an answer, with its head */

enum pam_verdict { PAM_UNAVAILABLE = 0, PAM_REFUSED, PAM_ACCEPTED };
enum pam_class { PAM_INFRASTRUCTURE = 0, PAM_CREDENTIALS, PAM_POLICY };

struct pam_answer {
        enum pam_verdict verdict;
        enum pam_class class;
        char id[ID_MAX + 1];
        char reason[64];
        char text[512]; /* for the user */
        bool password_proved;
        char user_id[192], user_domain[257]; /* with PAM_ACCEPTED */
};

struct pam_question {
        const char *socket;                       /* of the gateway */
        const char *user, *password;              /* as typed */
        const char *new_password;                 /* NULL: a sign-in */
        const char *client_ip, *client_app, *tty; /* or NULL */
        uint32_t timeout_ms;                      /* the whole call */
};

/*
 * What the gateway answered, whole or not yet: 0 and the answer; 1: more is to come; -EBADMSG: that is no answer of a
 * gateway's; -EBUSY: it is one, and says why it takes no question (err).
 */
int pam_answer_read(struct pam_answer *ret_answer, const char *bytes, size_t n, struct error *err);
/* Appends the request's bytes; out is secret. 0, -EMSGSIZE, -ENOMEM, -EINVAL (no UTF-8). */
int pam_question_write(const struct pam_question *q, struct buffer *out);
/* Asks, once. 0 with an answer, or -errno with a sentence for the log: nobody decided. The socket and its
 * folder must be root's, or this process's user's, and the folder closed to others: else anybody could have put it
 * there. */
int pam_ask(const struct pam_question *q, struct pam_answer *ret_answer, struct error *err);

/* ---- account.c: this host ---- */

struct pam_account {
        bool local; /* there is a passwd entry */
        uid_t uid;
};
/*
 * Whether the account may be the domain's: 0; -ENOENT: this host has no such account; -EPERM: its uid is below
 * minimum_uid; -EEXIST: it has a password on this host, or that cannot be told. err: which, for the log.
 */
int pam_account_judge(struct pam_account *ret_account, const char *user, uid_t minimum_uid, struct error *err);
/* The same of a shadow entry's hash: whether it is none that anybody could type a password for, or could again. */
bool pam_shadow_is_empty_account(const char *hash);

/*
 * Holds the local name to the domain's account that had it first: DIR/NAME says "UID DOMAIN ID". 0: it is that one, or
 * is noted now; -EKEYREJECTED: it is another, err tells both and the remedy; else -errno with err.
 */
int pam_pin_check(const char *dir, const char *user, const struct pam_account *account, const char *domain,
                  const char *id, struct error *err);
