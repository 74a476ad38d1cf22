/*
 * libpostern: signs users in through Postern. This header and the names in it are all that the library has to show;
 * what it stands on is in none of its types, so that a program goes on with a newer library of the same SONAME.
 *
 *      struct postern *p = postern_new();
 *      struct postern_answer *a = NULL;
 *
 *      if (postern_set(p, "folder", "/etc/portal") < 0 ||
 *          postern_sign_in(p, &(struct postern_request){POSTERN_REQUEST, .user = user, .password = password}, &a) < 0)
 *              fail(postern_error(p));
 *      if (postern_accepted(a))
 *              welcome(postern_get(a, "user.domain"), postern_get(a, "user.id"));
 *      else
 *              show(postern_get(a, "text"), postern_get(a, "id"));
 *      postern_answer_free(a);
 *      postern_free(p);
 *
 * An account is keyed by tenant, user.domain and user.id, never by the name as typed. A sign-in blocks, for its budget
 * at most. A struct postern is for one thread at a time; several may sign in side by side, each in a thread of its own.
 * The library logs nothing, starts no threads, and raises no SIGPIPE. Texts are UTF-8. See libpostern(3).
 */
#ifndef POSTERN_H
#define POSTERN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct postern;
struct postern_answer;

/* "0.1.0" of the library that runs. */
const char *postern_version(void);

/* NULL without memory. */
struct postern *postern_new(void);
/* NULL-safe. */
void postern_free(struct postern *p);
/* Why the latest call with p failed, in a sentence without a secret; "" when none did. Until the next one. */
const char *postern_error(const struct postern *p);

/*
 * Sets one option; each is copied, and none can be changed after the first sign-in. 0, -EINVAL, -ENOENT, -EACCES,
 * -ENOMEM.
 *
 *      folder         of `postern service init`, or the one that postern-sandbox made: sets what follows, but budget_ms
 *      relay          https://HOST[:PORT]; of a relay with several nodes up to 4 of them, with blanks between
 *      tenant, pin    the tenant and its key's pin
 *      service_id     as in service.pub.json
 *      key_file       the service's key, PEM;   key: its text
 *      secret_file    the relay's secret for this service;   secret: its text
 *      ca_file        the relay's CA, where the system does not know it
 *      roster_source  a second source of the roster: a file or an https URL
 *      seen_file      remembers the newest roster that was seen, so that no older one is believed after a restart; the
 *                     library makes and replaces it. With folder: roster.seen in it
 *      budget_ms      of a sign-in, 500 to 15000 (8000)
 *      words          a catalogue of the sentences for users, postern-verdicts(7): de.words for German ones
 *      helpdesk       whom users may contact, as it stands in those sentences
 *      sandbox        yes: it speaks to a postern-sandbox, where no password is checked, and to nothing else
 */
int postern_set(struct postern *p, const char *option, const char *value);

struct postern_request {
        size_t size;              /* sizeof(struct postern_request), by POSTERN_REQUEST */
        const char *user;         /* as typed */
        const char *password;     /* the caller's to wipe, as is the next one */
        const char *new_password; /* NULL: a sign-in; else the password is changed to this one */
        const char *client_ip, *client_app, *client_agent; /* for the helpdesk's records, or NULL */
        const char *traceparent; /* the caller's trace (W3C Trace Context), which the connector continues, or NULL */
};
#define POSTERN_REQUEST sizeof(struct postern_request)

/* 0 whenever *ret_answer says what came of it, be it no answer at all; negative for misuse or without memory, and
 * nothing was sent. */
int postern_sign_in(struct postern *p, const struct postern_request *request, struct postern_answer **ret_answer);
/* NULL-safe. */
void postern_answer_free(struct postern_answer *a);

/* 1: the user is signed in, and postern_get says who it is. 0: not. */
int postern_accepted(const struct postern_answer *a);
/*
 * One part of the answer; "" where it has none, NULL for a name that is none of:
 *
 *      id                               of the sign-in: show it with every failure, the helpdesk finds it by that
 *      verdict                          accepted, refused, unavailable
 *      class                            none, credentials, policy, infrastructure
 *      reason                           postern-verdicts(7); where no verdict came, the relay's problem
 *      text                             a sentence for the user, which tells no state of an account to a wrong password
 *      user.id, user.domain             the account's immutable id, and the domain it is one of
 *      user.upn, user.sam, user.guid
 *      password_proved                  yes: the password was right, whatever the verdict
 *      may_have_counted                 0, 1, unknown: whether the domain may have counted a wrong password
 *      retry_after                      seconds, where it makes sense to wait
 *      connector, dc, method, detail    for the helpdesk
 *      started, retry                   of a problem: whether anybody began, and what may help
 */
const char *postern_get(const struct postern_answer *a, const char *name);
/* The i-th attribute of the account that was accepted (of one with several values, one after the other), its name in
 * *ret_name; NULL behind the last. */
const char *postern_attribute(const struct postern_answer *a, size_t i, const char **ret_name);

#ifdef __cplusplus
}
#endif

#endif
