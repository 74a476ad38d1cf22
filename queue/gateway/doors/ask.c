/*
 * Questions on their way to the sealer: ids, limits, identical ones joined, and the one answer for each who asked.
 *
 * Invariant: an inquiry is charged to its source and name exactly while it is under way, and each who asked is called
 * back once or has forgotten it. What has gone to the sealer is waited for even where all have forgotten it: only its
 * verdict tells whether it was a failure, and the same question, asked again, joins it. No password is kept: only a
 * HMAC, to tell identical questions, while they are under way.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/wire/wire.h"
#include "validate/types/outcome.h"

#define KEYS_MAX 65536       /* sources, and names, whose failures are counted */
#define SEALER_GRACE_MS 2000 /* that the sealer, which keeps the budget, may answer late */
#define SOURCE_PREFIX 8      /* bytes of an IPv6 address that are one source */

struct asking {
        TAILQ_ENTRY(asking) link;
        struct inquiry *inquiry;
        door_answer_fn *fn;
        void *arg;
};

struct inquiry {
        TAILQ_ENTRY(inquiry) link;
        struct doors *d;
        struct table_node by_id, by_mark;
        TAILQ_HEAD(, asking) askings;
        struct loop_timer *timer; /* what is decided here already is told from the loop; else the sealer's time is up */
        uint64_t since_ms;
        bool charged;
        uint32_t retry_after;
        enum reason local;
        char id[ID_MAX + 1], mark[2 * 32 + 1], app[128];
        char source[64], name[LIMITS_KEY_MAX]; /* keys of limits; source "": not known */
        char client_ip[64];
        struct spans_context context; /* of the trace, where span is an id */
        char span[SPANS_ID_LEN + 1];  /* "": none is wanted */
};

/* ---- set-up ---- */

/* A HMAC with a key that nobody knows. */
static int new_mark(struct doors *d)
{
        char digest[] = "SHA256";
        const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                     OSSL_PARAM_construct_end()};
        EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        uint8_t key[32];

        d->mark = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
        int r = d->mark && RAND_priv_bytes(key, sizeof(key)) == 1 &&
                                EVP_MAC_init(d->mark, key, sizeof(key), params) == 1
                        ? 0
                        : -ENOMEM;
        wipe(key, sizeof(key));
        EVP_MAC_free(hmac);
        return r;
}

int doors_ask_new(struct doors *d, struct error *err)
{
        const struct gateway_config *c = d->config;

        if (c->words && words_load(&d->words, c->words, err) < 0)
                return error_prefix(err, -EINVAL, "words");
        TAILQ_INIT(&d->inquiries);
        d->status.began_ms = loop_now(d->process.loop);
        d->sources = limits_new(c->source_failures, (uint64_t)c->failure_window * 1000, KEYS_MAX);
        d->names = limits_new(c->name_failures, (uint64_t)c->failure_window * 1000, KEYS_MAX);
        if (!d->sources || !d->names || doors_tally_new(d) < 0 || new_mark(d) < 0)
                return error_fail(err, -ENOMEM, "no memory, or no random bytes");
        return 0;
}

static void inquiry_free(struct inquiry *i)
{
        struct asking *a;

        while ((a = TAILQ_FIRST(&i->askings))) {
                TAILQ_REMOVE(&i->askings, a, link);
                free(a);
        }
        TAILQ_REMOVE(&i->d->inquiries, i, link);
        i->d->n_inquiries--;
        table_remove(&i->by_id);
        table_remove(&i->by_mark);
        loop_timer_free(i->timer);
        free(i);
}

void doors_ask_free(struct doors *d)
{
        while (TAILQ_FIRST(&d->inquiries))
                inquiry_free(TAILQ_FIRST(&d->inquiries));
        table_clear(&d->by_id);
        table_clear(&d->by_mark);
        d->sources = limits_free(d->sources);
        d->names = limits_free(d->names);
        doors_tally_free(d);
        d->words = words_free(d->words);
        EVP_MAC_CTX_free(d->mark);
        d->mark = NULL;
}

/* ---- limits ---- */

/* In any case, without blanks around it: what a domain controller would take for one name. Raw bytes are no key. */
static void name_key(char out[LIMITS_KEY_MAX], const char *name, size_t n)
{
        size_t k = 0;

        for (; n && name[n - 1] == ' '; n--)
                ;
        for (; n && *name == ' '; n--, name++)
                ;
        for (size_t i = 0; i < n && k + 1 < LIMITS_KEY_MAX; i++)
                out[k++] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i] ? name[i] : ' ');
        out[k] = '\0';
}

/* 0: charged; else in how many seconds it may be tried. */
static uint32_t charge(struct inquiry *i)
{
        const uint64_t now = loop_now(i->d->process.loop);
        uint32_t wait = *i->source ? limits_begin(i->d->sources, i->source, now) : 0;

        if (wait)
                return wait;
        wait = limits_begin(i->d->names, i->name, now);
        if (wait && *i->source)
                limits_end(i->d->sources, i->source, LIMITS_UNDECIDED, now);
        i->charged = !wait;
        return wait;
}

/* A name pays for whatever may have raised its badPwdCount; a source for wrong names and passwords alone, so that an
 * outage shuts nobody out. Of a new password that is none the old one was not looked at. */
static void settle(struct inquiry *i, const struct door_answer *a)
{
        const uint64_t now = loop_now(i->d->process.loop);
        const bool wrong = strcmp(a->class, "credentials") == 0 && strcmp(a->reason, "bad_new_password") != 0;
        enum limits_end name = LIMITS_UNDECIDED;

        if (!i->charged)
                return;
        i->charged = false;
        if (*i->source)
                limits_end(i->d->sources, i->source, wrong ? LIMITS_FAILED : LIMITS_UNDECIDED, now);
        if (strcmp(a->verdict, "accepted") == 0)
                name = LIMITS_CLEARED;
        else if (strcmp(a->may_have_counted, "0") != 0 && !a->password_proved)
                name = LIMITS_FAILED;
        limits_end(i->d->names, i->name, name, now);
}

/* ---- answers ---- */

/* By which reason the user is told. What this program does not know it tells by the class. */
static enum reason told_by(const struct door_answer *a)
{
        const enum reason reason = reason_from_id(a->reason);

        if (strcmp(a->verdict, "refused") != 0)
                return reason != REASON_MAX && reason_info(reason)->verdict == VERDICT_UNAVAILABLE
                               ? reason
                               : REASON_OUTCOME_UNKNOWN;
        if (reason != REASON_MAX)
                return reason;
        return strcmp(a->class, "credentials") == 0 ? REASON_WRONG_PASSWORD : REASON_REVOKED;
}

/* The sentence for the user, in the catalogue's words. */
static const char *text_of(struct doors *d, const struct door_answer *a)
{
        const struct words_facts facts = {.id = a->id,
                                          .helpdesk = d->config->helpdesk,
                                          .until = a->retry_after ? loop_wall(d->process.loop) + a->retry_after : 0};
        _cleanup_(buffer_free) struct buffer out = BUFFER(sizeof(d->text) - 1);
        const enum reason reason = told_by(a);

        if (strcmp(a->verdict, "accepted") == 0)
                return "";
        if (words_user(d->words, reason, a->password_proved, &facts, &out) < 0)
                return reason_user_text(reason, a->password_proved);
        memcpy(d->text, out.data, out.len + 1);
        return d->text;
}

/* Whether it is decided here, and the sealer was not asked. */
static bool is_local(const struct inquiry *i)
{
        return i->local != REASON_OK;
}

static void finish(struct inquiry *i, struct door_answer *a, const char *detail)
{
        struct doors *d = i->d;
        struct asking *asking;
        const struct doors_asked asked = {.app = i->app,
                                          .client_ip = i->client_ip,
                                          .name = i->name,
                                          .detail = detail,
                                          .here = is_local(i),
                                          .ms = loop_now(d->process.loop) - i->since_ms,
                                          .traced = i->span[0] != '\0',
                                          .context = &i->context,
                                          .span = i->span};

        settle(i, a);
        a->text = text_of(d, a);
        doors_status_note(d, a);
        doors_tally_note(d, a, asked.ms);
        doors_events_answer(d, &asked, a);
        log_info("sign_in", KV_S("id", a->id), KV_S("app", i->app), KV_S("verdict", a->verdict),
                 KV_S("class", a->class), KV_S("reason", a->reason), KV_S("counted", a->may_have_counted),
                 KV_U("remembered", a->remembered), KV_U("ms", asked.ms), KV_S("why", detail));
        while ((asking = TAILQ_FIRST(&i->askings))) {
                door_answer_fn *fn = asking->fn;
                void *arg = asking->arg;

                TAILQ_REMOVE(&i->askings, asking, link);
                free(asking);
                fn(arg, a);
        }
        inquiry_free(i);
}

/* An answer of this process's own: nobody was asked, or who was asked is gone. */
static void finish_here(struct inquiry *i, const char *word, const char *counted, const char *detail)
{
        const struct reason_info *info = reason_info(i->local);
        struct door_answer a = {.id = i->id,
                                .verdict = word ? "unavailable" : verdict_text(info->verdict),
                                .class = word ? "infrastructure" : verdict_class_text(info->class),
                                .reason = word ? word : info->id,
                                .may_have_counted = counted,
                                .retry_after = i->retry_after,
                                .user_id = "",
                                .user_domain = "",
                                .upn = "",
                                .sam = "",
                                .guid = "",
                                .name = ""};

        finish(i, &a, detail);
}

static void tell_from_loop(void *arg)
{
        struct inquiry *i = arg;

        if (!is_local(i))
                finish_here(i, "deadline", "unknown", "the gateway's sealer does not answer");
        else if (i->local == REASON_INTERNAL)
                finish_here(i, "not-ready", "0", "the sealer is not there");
        else
                finish_here(i, NULL, "0", i->local == REASON_THROTTLED ? "a limit of the gateway" : "");
}

void doors_lose_sealer(struct doors *d)
{
        struct inquiry *i = TAILQ_FIRST(&d->inquiries), *next;

        for (; i; i = next) {
                next = TAILQ_NEXT(i, link);
                if (!is_local(i))
                        finish_here(i, "connection-lost", "unknown", "the gateway's sealer ended");
        }
}

struct texts {
        char shown[ID_MAX + 1], verdict[16], class[16], reason[64], counted[16], why[256];
        char user_id[192], domain[257], upn[257], sam[257], guid[37], state[16], name[600];
        struct pairs attributes;
};

/* "" where it is absent. */
static const char *text(const struct msg_in *m, uint8_t tag, char *out, size_t cap)
{
        if (msg_get_str(m, tag, out, cap) < 0)
                out[0] = '\0';
        return out;
}

#define TEXT(tag, field) text(m, tag, t.field, sizeof(t.field))

/* The sealer is believed about who it is, but not that a word may be any. */
static const char *word(const char *said, const char *const *words)
{
        for (size_t i = 0; words[i]; i++)
                if (strcmp(said, words[i]) == 0)
                        return words[i];
        return NULL;
}

void doors_take_answer(struct doors *d, const struct msg_in *m)
{
        static const char *const verdicts[] = {"accepted", "refused", "unavailable", NULL};
        static const char *const classes[] = {"none", "credentials", "policy", "infrastructure", NULL};
        char id[ID_MAX + 1];
        struct texts t = {.shown = ""};
        struct inquiry *i =
                table_object(table_find(&d->by_id, text(m, TAG_ID, id, sizeof(id)), NULL), struct inquiry, by_id);
        struct door_answer a = {.id = TEXT(TAG_SHOWN, shown),
                                .verdict = word(TEXT(TAG_VERDICT, verdict), verdicts),
                                .class = word(TEXT(TAG_CLASS, class), classes),
                                .reason = TEXT(TAG_REASON, reason),
                                .may_have_counted = TEXT(TAG_COUNTED, counted),
                                .password_proved = msg_get_u64(m, TAG_PROVED, 0) != 0,
                                .retry_after = (uint32_t)msg_get_u64(m, TAG_RETRY, 0),
                                .user_id = TEXT(TAG_USER_ID, user_id),
                                .user_domain = TEXT(TAG_DOMAIN, domain),
                                .upn = TEXT(TAG_UPN, upn),
                                .sam = TEXT(TAG_SAM, sam),
                                .guid = TEXT(TAG_GUID, guid),
                                .remembered = msg_get_u64(m, TAG_REMEMBERED, 0) != 0,
                                .name = t.name};
        size_t n;
        const uint8_t *pairs = msg_get_bytes(m, TAG_ATTRIBUTES, &n);

        if (!i || is_local(i))
                return;
        if (!a.verdict || !a.class || (strcmp(a.verdict, "accepted") == 0 && (!*a.user_id || !*a.user_domain))) {
                finish_here(i, "internal", "unknown", "the sealer's answer is none");
                return;
        }
        if (pairs && n <= sizeof(t.attributes.bytes) && (n == 0 || pairs[n - 1] == '\0')) {
                memcpy(t.attributes.bytes, pairs, n);
                t.attributes.len = n;
        }
        a.attributes_state = *TEXT(TAG_ATTRIBUTES_STATE, state) ? t.state : NULL;
        a.attributes = &t.attributes;
        (void)snprintf(t.name, sizeof(t.name),
                       *a.upn   ? "%s"
                       : *a.sam ? "%s@%s"
                                : "%s",
                       *a.upn   ? a.upn
                       : *a.sam ? a.sam
                                : a.user_id,
                       a.user_domain);
        finish(i, &a, TEXT(TAG_WHY, why));
}

/* ---- asking ---- */

static int mark(struct inquiry *i, const struct door_question *q)
{
        const struct {
                const char *text;
                size_t n;
        } parts[] = {{i->app, strlen(i->app)},
                     {q->user, q->user_len},
                     {q->password, q->password_len},
                     {q->new_password, q->new_password_len}};
        uint8_t mac[32];
        size_t n = 0;
        bool good = EVP_MAC_init(i->d->mark, NULL, 0, NULL) == 1 &&
                    EVP_MAC_update(i->d->mark, (const uint8_t *)&q->change, sizeof(q->change)) == 1;

        for (size_t p = 0; good && p < sizeof(parts) / sizeof(parts[0]); p++)
                good = EVP_MAC_update(i->d->mark, (const uint8_t *)&parts[p].n, sizeof(parts[p].n)) == 1 &&
                       (!parts[p].n || EVP_MAC_update(i->d->mark, (const uint8_t *)parts[p].text, parts[p].n) == 1);
        if (!good || EVP_MAC_final(i->d->mark, mac, &n, sizeof(mac)) != 1)
                return -ENOMEM;
        hex_encode_to(i->mark, mac, sizeof(mac));
        return 0;
}

/* A name or password that can't be one: no connector is asked. */
static enum reason form_fault(const struct door_question *q)
{
        if (q->user_len == 0 || q->user_len > GATEWAY_USER_MAX || !utf8_valid(q->user, q->user_len))
                return REASON_BAD_NAME_FORM;
        if (q->password_len > GATEWAY_PASSWORD_MAX || !utf8_valid(q->password_len ? q->password : "", q->password_len))
                return REASON_BAD_PASSWORD_FORM;
        if (q->change && (q->new_password_len > GATEWAY_PASSWORD_MAX ||
                          !utf8_valid(q->new_password_len ? q->new_password : "", q->new_password_len)))
                return REASON_BAD_NEW_PASSWORD;
        return REASON_OK;
}

static int ask_sealer(struct inquiry *i, const struct door_question *q)
{
        const bool valid = q->traceparent && wire_traceparent_valid(q->traceparent);
        char agent[256] = "", trace[SPANS_PARENT_LEN + 1];
        struct msg_out m;
        int r;

        msg_begin(&m, FRAME_ASK);
        msg_str(&m, TAG_ID, i->id);
        msg_bytes(&m, TAG_USER, q->user, q->user_len);
        if (q->password_len)
                msg_bytes(&m, TAG_PASSWORD, q->password, q->password_len);
        if (q->change) {
                msg_u64(&m, TAG_CHANGE, 1);
                msg_bytes(&m, TAG_NEW_PASSWORD, q->new_password ? q->new_password : "", q->new_password_len);
        }
        if (q->recall)
                msg_u64(&m, TAG_RECALL, 1);
        msg_str(&m, TAG_APP, i->app);
        if (events_ways_want_spans(i->d->events)) {
                spans_context(&i->context, valid ? q->traceparent : NULL, i->id);
                spans_id(i->span);
                spans_traceparent(trace, &i->context, i->span);
        }
        if (q->client_agent && utf8_valid(q->client_agent, strlen(q->client_agent)))
                wire_text_cut(agent, sizeof(agent), q->client_agent, strlen(q->client_agent));
        msg_str(&m, TAG_CLIENT_IP, i->client_ip[0] ? i->client_ip : NULL);
        msg_str(&m, TAG_CLIENT_AGENT, *agent ? agent : NULL);
        msg_str(&m, TAG_TRACE, i->span[0] ? trace : valid ? q->traceparent : NULL);
        msg_u64(&m, TAG_BUDGET, i->d->config->budget_ms);
        r = ipc_send(i->d->sealer, &m);
        wipe(m.data, m.len);
        return r;
}

static struct inquiry *inquiry_new(struct doors *d, const struct door_question *q)
{
        struct inquiry *i = calloc(1, sizeof(*i));

        if (!i)
                return NULL;
        TAILQ_INIT(&i->askings);
        TAILQ_INSERT_TAIL(&d->inquiries, i, link);
        d->n_inquiries++;
        i->d = d;
        i->since_ms = loop_now(d->process.loop);
        wire_text_cut(i->app, sizeof(i->app), q->app, strlen(q->app));
        if (q->client_ip)
                wire_text_cut(i->client_ip, sizeof(i->client_ip), q->client_ip, strlen(q->client_ip));
        if (id_generate(i->id) < 0 || loop_timer_new(&i->timer, d->process.loop, i->id, tell_from_loop, i) < 0) {
                inquiry_free(i);
                return NULL;
        }
        table_add(&d->by_id, &i->by_id, i->id, NULL);
        return i;
}

/* Sends it on, or decides it here. */
static void begin(struct inquiry *i, const struct door_question *q, enum reason fault)
{
        struct doors *d = i->d;
        uint8_t a[16];

        i->local = fault;
        if (fault == REASON_OK) {
                if (!q->many_users && q->client_ip && gateway_address(a, q->client_ip) == 0)
                        hex_encode_to(i->source, a,
                                      a[10] == 0xff && a[11] == 0xff && !a[0] ? sizeof(a) : SOURCE_PREFIX);
                name_key(i->name, q->user, q->user_len);
                i->retry_after = charge(i);
                i->local = i->retry_after ? REASON_THROTTLED : REASON_OK;
        }
        if (i->local == REASON_OK && (!d->sealer || ask_sealer(i, q) < 0))
                i->local = REASON_INTERNAL;
        if (i->local != REASON_OK)
                loop_timer_in(i->timer, 0);
        else
                loop_timer_in(i->timer, (uint64_t)d->config->budget_ms + SEALER_GRACE_MS);
        if (i->local == REASON_OK && *i->mark)
                table_add(&d->by_mark, &i->by_mark, i->mark, NULL);
}

int doors_ask(struct doors *d, const struct door_question *q, door_answer_fn *fn, void *arg, struct asking **ret_asking)
{
        const enum reason fault = form_fault(q);
        struct asking *asking;
        struct inquiry *i, *same = NULL;

        if (d->n_inquiries >= d->config->in_flight)
                return -EBUSY;
        asking = calloc(1, sizeof(*asking));
        i = asking ? inquiry_new(d, q) : NULL;
        if (!i) {
                free(asking);
                return -ENOMEM;
        }
        if (fault == REASON_OK && mark(i, q) == 0)
                same = table_object(table_find(&d->by_mark, i->mark, NULL), struct inquiry, by_mark);
        if (same)
                inquiry_free(i);
        else
                begin(i, q, fault);
        *asking = (struct asking){.inquiry = same ? same : i, .fn = fn, .arg = arg};
        TAILQ_INSERT_TAIL(&asking->inquiry->askings, asking, link);
        *ret_asking = asking;
        return 0;
}

struct asking *doors_forget(struct asking *asking)
{
        struct inquiry *i = asking ? asking->inquiry : NULL;

        if (!i)
                return NULL;
        TAILQ_REMOVE(&i->askings, asking, link);
        free(asking);
        if (!TAILQ_FIRST(&i->askings))
                log_info("sign_in.forgotten", KV_S("id", i->id), KV_S("app", i->app));
        return NULL;
}
