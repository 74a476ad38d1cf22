/*
 * libpostern: client.h behind an interface that can stay as it is while everything below it moves.
 *
 * Owns what a program that knows nothing of Postern's ground would have to set up: the secret arena, OpenSSL's secure
 * heap, the log (there is none), SIGPIPE. Invariant: everything but waiting for the network runs under one lock, since
 * the ground below has no threads and keeps state of its own.
 */
#include "queue/client/postern.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/admin-text.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/client/client.h"
#include "validate/types/outcome.h"
#include "validate/types/words.h"

#define SECURE_HEAP (1U << 20)
#define SLOTS 64 /* two for each thread that signs in at this moment */
#define FILE_MAX 65536

enum option {
        RELAY = 0,
        TENANT,
        PIN,
        SERVICE_ID,
        KEY_FILE,
        KEY,
        SECRET_FILE,
        SECRET,
        CA_FILE,
        ROSTER_SOURCE,
        SEEN_FILE,
        BUDGET_MS,
        SANDBOX,
        WORDS,
        HELPDESK,
        OPTIONS_N
};
static const char *const options[OPTIONS_N] = {"relay",     "tenant",      "pin",     "service_id", "key_file",
                                               "key",       "secret_file", "secret",  "ca_file",    "roster_source",
                                               "seen_file", "budget_ms",   "sandbox", "words",      "helpdesk"};

struct postern {
        char *set[OPTIONS_N];
        struct client *client;  /* NULL before the first sign-in */
        struct words *words;    /* NULL: English */
        uint64_t seq;           /* of the newest roster seen, */
        char hash[KID_LEN + 1]; /* and its text's hash */
        struct error err;
};

struct postern_answer {
        struct sign_in_result result;
        char retry_after[16];
        char text[2048]; /* for the user */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The network is waited for without the lock. */
static void wait_outside(void *arg, bool begins)
{
        (void)arg;
        if (begins)
                pthread_mutex_unlock(&lock);
        else
                pthread_mutex_lock(&lock);
}

static void log_nothing(enum log_level level, const char *program, const char *line)
{
        (void)level;
        (void)program;
        (void)line;
}

/* Once per process. OpenSSL's secure heap may be the program's own already. */
static int set_up(struct error *err)
{
        static bool done;
        int r = 0;

        if (done)
                return 0;
        log_open("libpostern", LOG_LEVEL_ERROR, log_nothing);
        if (!CRYPTO_secure_malloc_initialized())
                r = secure_heap_init(SECURE_HEAP, err);
        if (r == 0)
                r = secret_arena_init(SLOTS, err);
        done = r == 0;
        return r;
}

const char *postern_version(void)
{
        return POSTERN_VERSION;
}

struct postern *postern_new(void)
{
        return calloc(1, sizeof(struct postern));
}

static void forget(char **text)
{
        if (*text)
                wipe(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

void postern_free(struct postern *p)
{
        if (!p)
                return;
        pthread_mutex_lock(&lock);
        client_free(p->client);
        pthread_mutex_unlock(&lock);
        for (size_t i = 0; i < OPTIONS_N; i++)
                forget(&p->set[i]);
        words_free(p->words);
        free(p);
}

const char *postern_error(const struct postern *p)
{
        return p ? p->err.text : "out of memory";
}

/* ---- options ---- */

static int set(struct postern *p, enum option option, const char *value)
{
        char *copy = strdup(value);

        if (!copy)
                return error_fail(&p->err, -ENOMEM, "out of memory");
        forget(&p->set[option]);
        p->set[option] = copy;
        return 0;
}

static int set_in_folder(struct postern *p, enum option option, const char *folder, const char *name)
{
        char path[4096];

        if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
                return error_fail(&p->err, -EINVAL, "folder: the path is too long");
        return set(p, option, path);
}

/* What `postern service init`, or postern-sandbox, wrote. Members that are not of use here are left alone. */
static int take_service_json(struct postern *p, const char *folder)
{
        static const struct {
                const char *member;
                enum option option;
        } members[] = {{"id", SERVICE_ID},
                       {"relay", RELAY},
                       {"tenant", TENANT},
                       {"pin", PIN},
                       {"ca_file", CA_FILE},
                       {"secret_file", SECRET_FILE},
                       {"roster_source", ROSTER_SOURCE}};
        _cleanup_(buffer_free) struct buffer text = BUFFER(FILE_MAX);
        struct json_reader json;
        char path[4096];
        int r;

        if (snprintf(path, sizeof path, "%s/service.json", folder) >= (int)sizeof path)
                return error_fail(&p->err, -EINVAL, "folder: the path is too long");
        if ((r = file_read(&text, path, &p->err)) < 0)
                return r;
        json_read_begin(&json, text.data ? text.data : "", text.len, JSON_PLAIN, path, &p->err);
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
                _cleanup_(freep) char *value = NULL;

                json_read_text(&json, members[i].member, JSON_OPTIONAL, 4096, &value);
                if (value && (r = set(p, members[i].option, value)) < 0)
                        return r;
        }
        if (json_read_has(&json, "sandbox") && json_read_bool(&json, "sandbox") && (r = set(p, SANDBOX, "yes")) < 0)
                return r;
        if (json_read_has(&json, "roster_seq"))
                p->seq = (uint64_t)json_read_int(&json, "roster_seq", 0, JOSE_INT_MAX);
        json_read_cut(&json, "roster_hash", p->hash, sizeof p->hash);
        return json_read_end(&json, false);
}

static int take_words(struct postern *p, const char *path)
{
        struct words *words = NULL;
        int r = words_load(&words, path, &p->err);

        if (r < 0)
                return r;
        words_free(p->words);
        p->words = words;
        return set(p, WORDS, path);
}

int postern_set(struct postern *p, const char *option, const char *value)
{
        struct text_guess guess = TEXT_GUESS(option ? option : "");
        int r;

        if (!p || !option || !value)
                return -EINVAL;
        p->err.text[0] = '\0';
        if (p->client)
                return error_fail(&p->err, -EINVAL, "%s: options are set before the first sign-in", option);
        if (strcmp(option, "folder") == 0) {
                pthread_mutex_lock(&lock);
                r = take_service_json(p, value);
                r = r < 0 ? r : set_in_folder(p, KEY_FILE, value, "service.key");
                r = r < 0 ? r : set_in_folder(p, SEEN_FILE, value, "roster.seen");
                pthread_mutex_unlock(&lock);
                return r;
        }
        for (size_t i = 0; i < OPTIONS_N; i++) {
                if (strcmp(option, options[i]) != 0) {
                        text_guess_consider(&guess, options[i]);
                        continue;
                }
                if (i == SANDBOX && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
                        return error_fail(&p->err, -EINVAL, "sandbox is yes or no");
                return i == WORDS ? take_words(p, value) : set(p, (enum option)i, value);
        }
        return error_fail(&p->err, -EINVAL, "there is no option %.40s%s%s%s", option,
                          guess.best ? "; did you mean " : "", guess.best ? guess.best : "", guess.best ? "?" : "");
}

/* ---- the client ---- */

/* "NUMBER HASH\n". One that is not there yet says nothing. */
static int read_seen(struct postern *p)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(256);
        char number[24] = "", hash[KID_LEN + 1] = "";
        uint64_t seq;
        int r = p->set[SEEN_FILE] ? file_read(&text, p->set[SEEN_FILE], &p->err) : -ENOENT;

        if (r == -ENOENT) {
                p->err.text[0] = '\0';
                return 0;
        }
        if (r < 0)
                return r;
        if (sscanf(text.len ? text.data : "", "%23s %43s", number, hash) != 2 || strlen(hash) != KID_LEN ||
            text_parse_u64(number, 0, JOSE_INT_MAX, &seq) < 0)
                return error_fail(&p->err, -EBADMSG,
                                  "%s: is not what this library wrote; remove it to believe the relay's "
                                  "roster once",
                                  p->set[SEEN_FILE]);
        if (seq < p->seq)
                return 0;
        p->seq = seq;
        memcpy(p->hash, hash, sizeof hash);
        return 0;
}

/* What cannot be written is said with the answer that came: it is no reason to refuse it. */
static void write_seen(struct postern *p)
{
        const struct sealer_view seen = sealer_view(client_sealer(p->client));
        char text[96];

        if (!p->set[SEEN_FILE] || (seen.roster_seq == p->seq && strcmp(seen.roster_hash, p->hash) == 0) ||
            !seen.roster_hash[0])
                return;
        const int n = snprintf(text, sizeof text, "%llu %s\n", (unsigned long long)seen.roster_seq, seen.roster_hash);
        if (file_write_atomic(p->set[SEEN_FILE], text, (size_t)n, 0600, &p->err) < 0)
                return;
        p->seq = seen.roster_seq;
        (void)snprintf(p->hash, sizeof p->hash, "%s", seen.roster_hash);
}

static int read_secret(struct postern *p)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(1024);
        int r = p->set[SECRET] ? 0 : admin_text_read(&text, p->set[SECRET_FILE], &p->err);

        if (r < 0 || p->set[SECRET])
                return r;
        if (!text.len)
                return error_fail(&p->err, -EBADMSG, "%s: is empty", p->set[SECRET_FILE]);
        text.data[strcspn(text.data, "\r\n")] = '\0';
        return set(p, SECRET, text.data);
}

static int check_complete(struct postern *p)
{
        static const enum option needed[] = {RELAY, TENANT, PIN, SERVICE_ID};

        for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
                if (!p->set[needed[i]])
                        return error_fail(&p->err, -EINVAL, "%s is not set (or folder, which brings it)",
                                          options[needed[i]]);
        if (!p->set[KEY] && !p->set[KEY_FILE])
                return error_fail(&p->err, -EINVAL, "key_file is not set (or folder, which brings it)");
        if (!p->set[SECRET] && !p->set[SECRET_FILE])
                return error_fail(&p->err, -EINVAL, "secret_file is not set (or folder, which brings it)");
        return 0;
}

static int make_client(struct postern *p)
{
        _cleanup_(key_freep) struct key *key = NULL;
        uint64_t budget = 0;
        int r = check_complete(p);

        if (r < 0 || (r = set_up(&p->err)) < 0 || (r = read_secret(p)) < 0 || (r = read_seen(p)) < 0)
                return r;
        r = p->set[KEY] ? key_from_pem(&key, p->set[KEY], strlen(p->set[KEY]), NULL, &p->err)
                        : key_read(&key, p->set[KEY_FILE], NULL, &p->err);
        if (r < 0)
                return r;
        if (p->set[BUDGET_MS] && text_parse_u64(p->set[BUDGET_MS], BUDGET_MIN, BUDGET_MAX, &budget) < 0)
                return error_fail(&p->err, -EINVAL, "budget_ms is %d to %d", BUDGET_MIN, BUDGET_MAX);
        const struct client_config config = {.relay = p->set[RELAY],
                                             .tenant = p->set[TENANT],
                                             .pin = p->set[PIN],
                                             .bearer = p->set[SECRET],
                                             .ca_file = p->set[CA_FILE],
                                             .service_id = p->set[SERVICE_ID],
                                             .service_key = key,
                                             .budget_ms = (uint32_t)budget,
                                             .min_seq = p->seq,
                                             .roster_hash = p->hash,
                                             .roster_source = p->set[ROSTER_SOURCE],
                                             .sandbox = p->set[SANDBOX] && strcmp(p->set[SANDBOX], "yes") == 0,
                                             .waits = wait_outside};
        return client_new(&p->client, &config, &p->err);
}

/* ---- a sign-in ---- */

/* A text of the request, as a secret; *ret_secret stays NULL for an empty one. */
static int take_password(struct secret **ret_secret, const char *text, const char *name, struct error *err)
{
        const size_t n = text ? strlen(text) : 0;

        if (n == 0)
                return 0;
        if (n > SECRET_MAX)
                return error_fail(err, -EMSGSIZE, "the %s is longer than %d bytes", name, SECRET_MAX);
        const int r = secret_new(ret_secret, text, n);
        return r < 0 ? error_fail(err, r, "there is no room for the %s: too many sign-ins at once", name) : 0;
}

static int run(struct postern *p, const struct postern_request *request, struct sign_in_result *ret_result)
{
        struct secret *password = NULL, *new_password = NULL;
        struct sign_in_params params = {.username = request->user,
                                        .username_len = strlen(request->user),
                                        .change_password = request->new_password != NULL,
                                        .client_ip = request->client_ip,
                                        .client_app = request->client_app,
                                        .client_agent = request->client_agent,
                                        .traceparent = request->traceparent,
                                        .now = time(NULL)};
        int r = p->client ? 0 : make_client(p);

        if (r == 0)
                r = take_password(&password, request->password, "password", &p->err);
        if (r == 0)
                r = take_password(&new_password, request->new_password, "new password", &p->err);
        params.password = password;
        params.new_password = new_password;
        if (r == 0)
                r = client_sign_in(p->client, &params, ret_result, &p->err);
        secret_free(password);
        secret_free(new_password);
        if (r == 0)
                write_seen(p);
        return r;
}

/* Writing to a relay that hung up must not end the program: what of SIGPIPE this thread raised goes with it. */
static int run_without_sigpipe(struct postern *p, const struct postern_request *request,
                               struct sign_in_result *ret_result)
{
        const struct timespec none = {0};
        sigset_t pipe, before, pending;

        (void)sigemptyset(&pipe);
        (void)sigaddset(&pipe, SIGPIPE);
        (void)sigpending(&pending);
        (void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
        const int r = run(p, request, ret_result);
        if (!sigismember(&pending, SIGPIPE))
                while (sigtimedwait(&pipe, NULL, &none) < 0 && errno == EINTR)
                        ;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r;
}

/* The user's sentence, in the catalogue's words. What a wait cannot mend is the helpdesk's. */
static void put_text(const struct postern *p, struct postern_answer *a)
{
        const struct sign_in_result *r = &a->result;
        _cleanup_(buffer_free) struct buffer out = BUFFER(sizeof a->text - 1);
        const uint32_t wait = r->has_verdict ? r->verdict.retry_after : 0;
        const struct words_facts facts = {
                .id = r->id, .helpdesk = p->set[HELPDESK], .until = wait ? (int64_t)time(NULL) + wait : 0};
        enum reason reason = r->has_verdict ? reason_from_id(r->verdict.reason) : REASON_MAX;

        if (reason == REASON_MAX)
                reason = !r->has_verdict && strcmp(r->started, "no") == 0 && strcmp(r->retry, "never") == 0 &&
                                         strcmp(r->problem, "deadline") != 0
                                 ? REASON_SERVICE_UNKNOWN
                                 : REASON_OUTCOME_UNKNOWN;
        const bool proved = r->has_verdict && r->verdict.password_proved;
        const char *text = reason_user_text(reason, proved);
        if (words_user(p->words, reason, proved, &facts, &out) == 0)
                text = out.data;
        (void)snprintf(a->text, sizeof a->text, "%s", text);
}

int postern_sign_in(struct postern *p, const struct postern_request *request, struct postern_answer **ret_answer)
{
        struct postern_answer *a;
        int r;

        if (!p || !request || !ret_answer)
                return -EINVAL;
        p->err.text[0] = '\0';
        if (request->size != sizeof *request || !request->user)
                return error_fail(&p->err, -EINVAL, "the request has no user, or does not begin with POSTERN_REQUEST");
        a = calloc(1, sizeof *a);
        if (!a)
                return error_fail(&p->err, -ENOMEM, "out of memory");
        pthread_mutex_lock(&lock);
        r = run_without_sigpipe(p, request, &a->result);
        pthread_mutex_unlock(&lock);
        if (r < 0) {
                free(a);
                return r;
        }
        if (a->result.verdict.retry_after)
                (void)snprintf(a->retry_after, sizeof a->retry_after, "%u", a->result.verdict.retry_after);
        put_text(p, a);
        *ret_answer = a;
        return 0;
}

void postern_answer_free(struct postern_answer *a)
{
        if (a)
                wipe(a, sizeof *a);
        free(a);
}

/* ---- the answer ---- */

int postern_accepted(const struct postern_answer *a)
{
        return a && a->result.has_verdict && strcmp(a->result.verdict.verdict, "accepted") == 0;
}

/* NULL: none of these. v is all zero where no verdict came. */
static const char *of_both(const struct postern_answer *a, const char *name)
{
        const struct sign_in_result *r = &a->result;
        const struct verdict_claims *v = &r->verdict;

        if (strcmp(name, "id") == 0)
                return r->id;
        if (strcmp(name, "verdict") == 0)
                return r->has_verdict ? v->verdict : "unavailable";
        if (strcmp(name, "class") == 0)
                return r->has_verdict ? v->class : "infrastructure";
        if (strcmp(name, "reason") == 0)
                return r->has_verdict ? v->reason : r->problem;
        if (strcmp(name, "text") == 0)
                return a->text;
        if (strcmp(name, "password_proved") == 0)
                return v->password_proved ? "yes" : "no";
        if (strcmp(name, "may_have_counted") == 0)
                return r->has_verdict ? v->may_have_counted : strcmp(r->started, "no") == 0 ? "0" : "unknown";
        return NULL;
}

const char *postern_get(const struct postern_answer *a, const char *name)
{
        const struct sign_in_result *r = &a->result;
        const struct verdict_claims *v = &r->verdict;
        const struct {
                const char *name, *value;
        } parts[] = {{"user.id", v->user_id},
                     {"user.domain", v->user_domain},
                     {"user.upn", v->user_upn},
                     {"user.sam", v->user_sam},
                     {"user.guid", v->user_guid},
                     {"retry_after", a->retry_after},
                     {"connector", r->connector_name[0] ? r->connector_name : r->connector},
                     {"dc", v->dc},
                     {"method", v->method},
                     {"detail", r->detail},
                     {"started", r->started},
                     {"retry", r->retry}};
        const char *value = of_both(a, name);

        for (size_t i = 0; !value && i < sizeof parts / sizeof *parts; i++)
                if (strcmp(name, parts[i].name) == 0)
                        value = parts[i].value;
        return value;
}

const char *postern_attribute(const struct postern_answer *a, size_t i, const char **ret_name)
{
        const char *name = NULL, *value = NULL;
        size_t at = 0;

        for (size_t n = 0; n <= i; n++)
                if (!pairs_next(&a->result.verdict.attributes, &at, &name, &value))
                        return NULL;
        if (ret_name)
                *ret_name = name;
        return value;
}
