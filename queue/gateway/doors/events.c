/*
 * What a SIEM and a collector of traces get of the gateway: each sign-in as it was answered, applications that were
 * refused, whether sign-ins can be decided; a span of each sign-in. postern-events(7) is what they look like.
 *
 * Invariant: with events_names = pseudonyms no name of a user is in a record; with clear, names of which an answer,
 * this one or one before it, shows that there is such an account, since people type passwords into the wrong box.
 * Strangers cannot displace the records of sign-ins.
 */
#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "queue/gateway/doors/doors-internal.h"
#include "validate/types/outcome.h"

#define PSEUDONYM_MAX 32
#define REFUSALS_A_SECOND 20 /* so that strangers displace nothing else */
#define KNOWN_MAX 32768

/* Names that some answer showed to be an account's, by their keyed hashes; a newer one may take another's place. */
static uint64_t known[KNOWN_MAX];

int doors_events_new(struct doors *d)
{
        const struct gateway_config *c = d->config;
        const struct events_ways_config config = {.loop = d->process.loop,
                                                  .program = "postern-gateway",
                                                  .service = "postern-gateway",
                                                  .instance = "doors",
                                                  .paths = {c->events_file, c->events_socket, c->traces_file}};

        if (!d->has_events_key && RAND_bytes(d->events_key, sizeof(d->events_key)) != 1)
                return -EIO;
        return events_ways_new(&d->events, &config);
}

void doors_events_key(struct doors *d, int fd)
{
        d->has_events_key = pread(fd, d->events_key, sizeof(d->events_key), 0) == (ssize_t)sizeof(d->events_key);
}

static void begin(const struct doors *d, struct events_record *r, const char *kind, const char *sentence)
{
        *r = (struct events_record){
                .wall = loop_wall(d->process.loop), .kind = kind, .sentence = sentence, .level = LOG_LEVEL_INFO};
}

/* Whether the answer, or one before it, shows that there is an account of the name. Limits stop names that are none
 * just the same, and what some domain controllers say of a wrong password they say of them, too. */
static bool is_known(const struct door_answer *a, const uint8_t *mac)
{
        const enum reason reason = reason_from_id(a->reason);
        uint64_t number;

        memcpy(&number, mac, sizeof(number));
        number = number ? number : 1; /* 0: none */
        uint64_t *place = &known[number % KNOWN_MAX];
        if (strcmp(a->verdict, "accepted") == 0 || a->password_proved ||
            (strcmp(a->class, "policy") == 0 && reason != REASON_THROTTLED))
                *place = number;
        return *place == number && reason != REASON_UNKNOWN_USER && reason != REASON_ALIAS_UNKNOWN;
}

/* pseudonym: room for it. */
static void put_name(const struct doors *d, struct events_record *r, const struct doors_asked *q,
                     const struct door_answer *a, char pseudonym[PSEUDONYM_MAX])
{
        uint8_t mac[EVP_MAX_MD_SIZE] = {0};
        unsigned n = 0;
        char hex[13];

        if (!q->name[0] || !HMAC(EVP_sha256(), d->events_key, sizeof(d->events_key), (const uint8_t *)q->name,
                                 strlen(q->name), mac, &n))
                return;
        if (is_known(a, mac) && d->config->events_clear)
                events_text(r, "user", q->name);
        hex_encode_to(hex, mac, 6);
        (void)snprintf(pseudonym, PSEUDONYM_MAX, "user-%s", hex);
        events_text(r, "pseudonym", pseudonym);
}

static void put_record(struct doors *d, const struct doors_asked *q, const struct door_answer *a)
{
        const bool accepted = strcmp(a->verdict, "accepted") == 0, refused = strcmp(a->verdict, "refused") == 0;
        char pseudonym[PSEUDONYM_MAX];
        struct events_record r;

        begin(d, &r, "sign_in",
              accepted  ? "a sign-in was accepted"
              : refused ? "a sign-in was refused"
                        : "a sign-in could not be decided");
        r.notice = !accepted;
        if (!accepted && !refused)
                r.level = LOG_LEVEL_WARNING;
        events_text(&r, "id", a->id);
        events_text(&r, "client_app", q->app);
        events_text(&r, "client_ip", q->client_ip);
        put_name(d, &r, q, a, pseudonym);
        events_text(&r, "verdict", a->verdict);
        events_text(&r, "class", a->class);
        events_text(&r, "reason", a->reason);
        events_bool(&r, "password_proved", a->password_proved);
        events_text(&r, "may_have_counted", a->may_have_counted);
        if (d->config->events_clear) {
                events_text(&r, "user_id", a->user_id);
                events_text(&r, "upn", a->upn);
                events_text(&r, "sam", a->sam);
        }
        events_text(&r, "domain", a->user_domain);
        events_text(&r, "context", q->detail);
        events_bool(&r, "remembered", a->remembered);
        events_bool(&r, "decided_here", q->here);
        if (a->retry_after)
                events_number(&r, "retry_after", a->retry_after);
        events_number(&r, "ms_total", (int64_t)q->ms);
        events_text(&r, "trace_id", q->traced ? q->context->trace : NULL);
        events_ways_put(d->events, &r);
}

void doors_events_answer(struct doors *d, const struct doors_asked *q, const struct door_answer *a)
{
        struct spans_span span = {.name = "postern gateway", .kind = SPANS_SERVER};

        if (events_ways_want_records(d->events))
                put_record(d, q, a);
        if (!q->traced)
                return;
        memcpy(span.id, q->span, sizeof(span.id));
        memcpy(span.parent, q->context->parent, sizeof(span.parent));
        spans_took(&span, q->ms);
        span.failed = strcmp(a->verdict, "unavailable") == 0;
        spans_text(&span, "postern.sign_in.id", a->id);
        spans_text(&span, "postern.verdict", a->verdict);
        spans_text(&span, "postern.reason", a->reason);
        spans_text(&span, "postern.domain", a->user_domain);
        spans_text(&span, "postern.application", q->app);
        events_ways_spans(d->events, q->context, &span, 1);
}

void doors_events_refused(struct doors *d, const char *door, const char *peer, const char *app, const char *why)
{
        const uint64_t second = loop_now(d->process.loop) / 1000;
        struct events_record r;

        if (!events_ways_want_records(d->events))
                return;
        if (d->refusals.second != second)
                d->refusals.told = 0;
        d->refusals.second = second;
        if (d->refusals.told++ >= REFUSALS_A_SECOND) {
                d->refusals.left_out++;
                return;
        }
        begin(d, &r, "application_refused", "an application may not ask here");
        r.notice = true;
        if (d->refusals.left_out)
                events_number(&r, "left_out", d->refusals.left_out);
        d->refusals.left_out = 0;
        events_text(&r, "door", door);
        events_text(&r, "peer", peer);
        events_text(&r, "client_app", app);
        events_text(&r, "context", why);
        events_ways_put(d->events, &r);
}

const char *doors_events_warning(struct doors *d)
{
        return events_ways_trouble(d->events, d->events_warning, sizeof(d->events_warning)) ? d->events_warning : "";
}

void doors_events_state(struct doors *d, bool ready, const char *why)
{
        struct events_record r;

        if (!events_ways_want_records(d->events))
                return;
        begin(d, &r, "event", ready ? "sign-ins can be decided" : "sign-ins cannot be decided");
        r.notice = true;
        if (!ready)
                r.level = LOG_LEVEL_WARNING;
        events_text(&r, "event", ready ? "gateway.ready" : "gateway.not_ready");
        events_text(&r, "detail", why);
        events_ways_put(d->events, &r);
}
