/*
 * Whether a client certificate counts, and what time it is for that.
 *
 * Invariants: stream, report, identity and renewal ask credential_check and nothing else, at each request and, for
 * streams, as long as they are open; a relay whose own clock has jumped expels nobody by it: what would be good before
 * or after the jump is good until the clock is back, or an operator has said that it is right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/log.h"
#include "queue/relay/relay.h"

#define CLOCK_STEP_MAX 600 /* s; a clock that is set by more has jumped */

/* ---- the clock ---- */

struct alarm {
        struct relay *relay;
        const char *name;
        char text[400];
};

static void tell_tenants(const struct alarm *a)
{
        const struct tenant *t;

        LIST_FOREACH (t, &a->relay->tenants, entry)
                relay_event(a->relay, t->name, a->name, "", "%s", a->text);
}

static void when(int64_t at, char out[32])
{
        const time_t t = (time_t)at;
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
                (void)snprintf(out, 32, "%lld", (long long)at);
}

static void raise_alarm(struct relay *relay, int64_t now, int64_t expected)
{
        struct alarm a = {.relay = relay, .name = "relay_clock_jumped"};
        char from[32], to[32];

        when(expected, from);
        when(now, to);
        (void)snprintf(
                a.text, sizeof(a.text),
                "the relay's clock went from %s to %s at once; until it is back, certificates, rosters and keys count "
                "that are good by either time, and no certificates are issued: set the clock, or, where it is right "
                "now, reload or restart the relay",
                from, to);
        tell_tenants(&a);
}

static void end_alarm(struct relay *relay, const char *why)
{
        struct alarm a = {.relay = relay, .name = "relay_clock_trusted"};

        relay->clock.doubtful = false;
        (void)snprintf(a.text, sizeof(a.text), "%s; only its time counts again", why);
        tell_tenants(&a);
}

static int64_t offset_now(const struct relay *relay)
{
        return loop_wall(relay->loop) - (int64_t)(loop_now(relay->loop) / 1000);
}

void clock_start(struct relay *relay)
{
        relay->clock = (struct relay_clock){.offset = offset_now(relay)};
}

void clock_trust(struct relay *relay)
{
        relay->clock.offset = offset_now(relay);
        if (relay->clock.doubtful)
                end_alarm(relay, "the relay was told that its clock is right");
}

void clock_look(void *arg)
{
        struct relay *relay = arg;
        const int64_t offset = offset_now(relay), moved = offset - relay->clock.offset;
        const bool jumped = moved > CLOCK_STEP_MAX || moved < -CLOCK_STEP_MAX;

        if (jumped && !relay->clock.doubtful) {
                relay->clock.doubtful = true;
                raise_alarm(relay, loop_wall(relay->loop), loop_wall(relay->loop) - moved);
        } else if (!jumped) {
                relay->clock.offset = offset; /* it is set by and by */
                if (relay->clock.doubtful)
                        end_alarm(relay, "the relay's clock is back");
        }
}

int64_t clock_earliest(const struct relay *relay)
{
        const int64_t now = loop_wall(relay->loop),
                      before = relay->clock.offset + (int64_t)(loop_now(relay->loop) / 1000);

        return relay->clock.doubtful && before < now ? before : now;
}

int64_t clock_latest(const struct relay *relay)
{
        const int64_t now = loop_wall(relay->loop),
                      before = relay->clock.offset + (int64_t)(loop_now(relay->loop) / 1000);

        return relay->clock.doubtful && before > now ? before : now;
}

/* ---- certificates ---- */

bool credential_current(const struct relay *relay, const struct credential *c)
{
        return c->not_before <= clock_latest(relay) && clock_earliest(relay) <= c->not_after;
}

int credential_check(struct relay *relay, const struct credential *c, struct peer *ret_peer, struct error *err)
{
        const struct store_member *member = NULL;
        struct tenant *t = NULL;

        if (!credential_current(relay, c))
                return error_fail(err, -EKEYEXPIRED, "client certificate: %s",
                                  c->not_before > clock_latest(relay) ? "certificate is not yet valid"
                                                                      : "certificate has expired");
        if (tenant_get(relay, c->tenant, &t) == 0)
                member = tenant_member(relay, t, c->id);
        if (t && tenant_is_revoked(relay, t, c->id, c->serial))
                return error_fail(
                        err, -EKEYREVOKED,
                        "the client certificate was revoked by the relay's operator; enrol the connector again with "
                        "a new token");
        if (!member)
                return error_fail(err, -ENOENT, "this relay does not know the connector; enrol it again");
        *ret_peer = (struct peer){.tenant = t, .connector = member->connector, .credential = *c};
        return 0;
}

int credential_of(struct relay *relay, struct http_req *r, struct peer *ret_peer, struct error *err)
{
        const struct credential *known = http_peer_facts(r);
        const char *why;

        if (known)
                return credential_check(relay, known, ret_peer, err);
        X509 *cert = http_peer_cert(r, &why);
        struct credential *c = cert ? calloc(1, sizeof(*c)) : NULL;
        if (!c)
                return error_fail(err, -ENOKEY, "client certificate: %s",
                                  why    ? why
                                  : cert ? "no memory"
                                         : "none was sent");
        if (ca_peer_identity(cert, c->tenant, c->id) < 0 ||
            ca_cert_facts(cert, c->serial, &c->not_before, &c->not_after) < 0 ||
            ca_key_hash(X509_get_X509_PUBKEY(cert), c->key) < 0) {
                free(c);
                return error_fail(err, -EBADMSG, "the client certificate is not a connector's");
        }
        http_keep_peer(r, c, free);
        return credential_check(relay, c, ret_peer, err);
}
