/*
 * The link: its API, its phases, and the ends of sessions and of the whole.
 *
 * Invariants: link_phase_set is the only writer of the phase; link_session_end the only way out of a session:
 * it cancels both calls, keeps what was to be reported, and arms the reconnect. What a sign-in is about is
 * not known here.
 */
#include "queue/link/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/link/host.h"
#include "queue/link/internal.h"

#define REFUSED_FOR 15000 /* ms, until it is told that the relay takes no statement */

void link_phase_set(struct link *l, enum link_phase phase)
{
        static const char *const words[] = {[LINK_IDLE] = "idle", [LINK_WAIT] = "wait",   [LINK_CONNECT] = "connect",
                                            [LINK_LIVE] = "live", [LINK_LEAVE] = "leave", [LINK_STOPPED] = "stopped"};

        log_debug("link.phase", KV_S("from", words[l->phase]), KV_S("to", words[phase]));
        l->phase = phase;
}

bool link_has_session(const struct link *l)
{
        return l->phase == LINK_LIVE || l->phase == LINK_LEAVE;
}

struct link_view link_view(const struct link *l)
{
        const bool up = l->phase == LINK_LIVE, told = l->relay_wall != 0;
        const bool refused = l->refused.why[0] && loop_now(l->loop) - l->refused_since >= REFUSED_FOR;
        const int64_t since = (int64_t)((loop_now(l->loop) - l->relay_at) / 1000);

        return (struct link_view){.up = up,
                                  .has_session = link_has_session(l),
                                  .heard = up && l->heard,
                                  .quarantined = up && l->heard && l->quarantined,
                                  .refused = refused && up && l->heard ? &l->refused : NULL,
                                  .in_hand = l->flights_taking,
                                  .undelivered = l->kept.ids.n,
                                  .node = l->hello.node,
                                  .nodes = (const char(*)[257])l->hello.nodes,
                                  .n_nodes = l->hello.n_nodes,
                                  .relay_wall = l->relay_wall,
                                  .relay_at = l->relay_at,
                                  .clock_ahead = told ? l->relay_wall + since - loop_wall(l->loop) : 0};
}

bool link_knows(struct link *l, const char *id)
{
        return link_store_find_flight(l, id) || link_store_find_kept(l, id);
}

void link_each(const struct link *l, bool undelivered, link_id_fn *fn, void *arg)
{
        const struct id_table *table = undelivered ? &l->kept : &l->flights;
        const struct by_id *node;

        TAILQ_FOREACH (node, &table->list, order)
                if (undelivered || !((const struct flight *)node)->over)
                        fn(arg, node->id);
}

bool link_has(struct link *l, const char *id, bool undelivered)
{
        const struct flight *f = undelivered ? NULL : link_store_find_flight(l, id);

        return undelivered ? link_store_find_kept(l, id) != NULL : f && !f->over;
}

void link_set_callbacks(struct link *l, const struct link_callbacks *callbacks)
{
        l->cb = callbacks;
}

void link_note_clock(struct link *l, int64_t wall)
{
        if (wall <= 0)
                return;
        l->relay_wall = wall;
        l->relay_at = loop_now(l->loop);
}

void link_tell_state(struct link *l, enum link_down why, const char *detail)
{
        if (l->told_detail && l->told_why == why && strcmp(l->told_detail, detail) == 0)
                return;
        l->told_why = why;
        if (text_set(&l->told_detail, detail) < 0)
                log_debug("link.no_memory");
        l->cb->on_state(l->arg, why, detail);
}

/* ---- the end of a session ---- */

/* Requests of the session that ended are still being worked on and take credit until they are answered or
 * lapse. */
void link_session_end(struct link *l, enum link_down why, const char *detail)
{
        const bool was_linked = link_has_session(l);
        const bool lasted = was_linked && loop_now(l->loop) - l->live_since >= STABLE_AFTER;
        const enum reconnect_after after = lasted                                   ? RECONNECT_LASTED
                                           : was_linked || why == LINK_DOWN_REFUSED ? RECONNECT_BRIEF
                                                                                    : RECONNECT_MISSED;
        const enum reconnect_hurry hurry = why == LINK_DOWN_SESSION             ? HURRY_RELAY_IS_UP
                                           : l->flights_taking || l->kept.ids.n ? HURRY_CALLERS_WAIT
                                                                                : HURRY_NONE;

        if (l->phase == LINK_STOPPED || l->phase == LINK_IDLE || l->phase == LINK_WAIT)
                return;
        l->stream = https_cancel(l->stream);
        l->report = https_cancel(l->report);
        loop_timer_stop(l->report_timer);
        link_store_unpost(l);
        link_phase_set(l, LINK_WAIT);
        loop_timer_in(l->phase_timer, link_reconnect_wait(&l->reconnect, after, hurry));
        link_tell_state(l, why, detail);
}

/* ---- draining ---- */

static void stop(struct link *l)
{
        l->stream = https_cancel(l->stream);
        l->report = https_cancel(l->report);
        l->announce = https_cancel(l->announce);
        link_questions_clear(l);
        loop_timer_stop(l->phase_timer);
        loop_timer_stop(l->report_timer);
        loop_timer_stop(l->identity_timer);
        loop_timer_stop(l->sweep_timer);
        link_phase_set(l, LINK_STOPPED);
        l->drained = true;
        link_tell_state(l, LINK_DOWN_STOPPED, "drained");
        l->cb->on_drained(l->arg);
}

void link_settled(struct link *l)
{
        if (l->drain_timer && (l->draining || l->phase == LINK_LEAVE))
                loop_timer_in(l->drain_timer, 0);
}

static void on_drain_timer(void *arg)
{
        struct link *l = arg;
        uint64_t now = loop_now(l->loop);
        const bool through = l->flights_taking == 0 && l->kept.ids.n == 0 && (l->n_items == 0 || !link_has_session(l));
        /* the relay knows that nothing more may come, and what was on its way is here */
        const bool known = !link_has_session(l) || (l->drain_known_at && now >= l->drain_known_at + DRAIN_SETTLE);

        if (l->drained)
                return;
        if (l->draining && ((through && known) || now >= l->drain_by)) {
                stop(l);
                return;
        }
        if (l->phase == LINK_LEAVE && (through || now >= l->leave_by))
                link_session_end(l, LINK_DOWN_DRAIN, "the relay asked to reconnect");
        if (l->draining)
                loop_timer_at(l->drain_timer,
                              through && now + DRAIN_LOOK < l->drain_by ? now + DRAIN_LOOK : l->drain_by);
        else if (l->phase == LINK_LEAVE)
                loop_timer_at(l->drain_timer, l->leave_by);
}

void link_drain(struct link *l, uint64_t ms)
{
        if (l->draining)
                return;
        l->draining = true;
        l->drain_by = loop_now(l->loop) + ms;
        link_report_soon(l);
        link_settled(l);
}

/* ---- timers ---- */

static void on_phase_timer(void *arg)
{
        struct link *l = arg;

        switch (l->phase) {
        case LINK_WAIT:
                link_stream_connect(l);
                break;
        case LINK_CONNECT:
                link_session_end(l, LINK_DOWN_SILENT, "no hello in time");
                break;
        case LINK_LIVE:
        case LINK_LEAVE:
                link_session_end(l, LINK_DOWN_SILENT, "no heartbeat for 25 s");
                break;
        case LINK_IDLE:
        case LINK_STOPPED:
                break;
        }
}

static void on_sweep(void *arg)
{
        struct link *l = arg;

        link_store_sweep(l);
        if (l->phase != LINK_STOPPED)
                loop_timer_in(l->sweep_timer, SWEEP_EVERY);
}

/* ---- answers ---- */

/* The latest moment that a clock which the validator shares can mean. */
static uint64_t bounded_deadline(const struct link *l, uint64_t deadline_ms)
{
        uint64_t latest = loop_now(l->loop) + BUDGET_MAX;

        return (deadline_ms && deadline_ms < latest ? deadline_ms : latest) + LATE_GRACE;
}

void link_verdict(struct link *l, const char *id, const char *jwe, uint64_t deadline_ms)
{
        struct flight *f = link_store_find_flight(l, id);
        uint64_t ends_at = f ? f->ends_at : bounded_deadline(l, deadline_ms);
        const bool foreign = !f || f->foreign;
        int r = 0;

        if (strlen(jwe) > VERDICT_JWE_MAX || !link_jose_text(jwe))
                r = -EINVAL;
        if (f)
                link_store_end_flight(l, f);
        if (r == 0)
                r = link_store_keep(l, id, jwe, ends_at);
        if (r == 0)
                link_store_find_kept(l, id)->foreign = foreign;
        if (r < 0 && r != -EEXIST)
                log_debug("link.verdict_dropped", KV_S("request", id), KV_S("why", strerror(-r)));
        link_report_soon(l);
}

void link_declined(struct link *l, const char *id, const char *why)
{
        struct flight *f = link_store_find_flight(l, id);

        if (!f)
                return;
        link_store_end_flight(l, f);
        if (decline_why_valid(why) && link_store_item(l, id, REPORT_DECLINED, why) < 0)
                log_debug("link.item_dropped", KV_S("request", id));
        link_report_soon(l);
}

void link_lost(struct link *l)
{
        struct by_id *node;

        TAILQ_FOREACH (node, &l->flights.list, order) {
                struct flight *f = (struct flight *)node;

                if (f->lost) /* with the validator before */
                        continue;
                f->lost = true;
                if (!f->over && link_store_item(l, node->id, REPORT_LOST, NULL) < 0)
                        log_debug("link.item_dropped", KV_S("request", node->id));
                link_store_free_credit(l, f);
                if (l->cb->on_unanswered) /* of one that was cancelled, too: whether the password had left is not known
                                           */
                        l->cb->on_unanswered(l->arg, node->id, "lost");
        }
        link_settled(l);
        link_report_soon(l);
}

void link_hold(struct link *l, const char *id, uint64_t deadline_ms)
{
        struct flight *f;

        if (link_store_find_kept(l, id) || link_store_flight(l, id, bounded_deadline(l, deadline_ms)) < 0)
                return;
        f = link_store_find_flight(l, id);
        f->session = 0; /* no session was told of it */
        f->foreign = true;
        if (link_has_session(l))
                link_store_say_received(l);
        link_report_soon(l);
}

void link_forget(struct link *l, const char *id)
{
        struct flight *f = link_store_find_flight(l, id);
        struct kept *k = link_store_find_kept(l, id);

        if (f)
                link_store_end_flight(l, f);
        if (k)
                link_store_drop_kept(l, k);
}

/* jwe: the verdict; NULL: there is none yet. 0: it is known here already; 1: taken over. */
static int share(struct link *l, const char *id, const char *jwe, uint64_t ends_at)
{
        int r;

        if (link_knows(l, id))
                return 0;
        r = jwe ? link_store_keep(l, id, jwe, ends_at) : link_store_flight(l, id, ends_at);
        if (r < 0)
                return r;
        if (jwe) {
                link_store_find_kept(l, id)->foreign = true;
        } else {
                link_store_find_flight(l, id)->session = 0; /* no session was told of it */
                link_store_find_flight(l, id)->foreign = true;
        }
        return 1;
}

int link_share(struct link *l, const struct link *from, bool all)
{
        const struct by_id *node;
        int r = 0, n = 0;

        TAILQ_FOREACH (node, &from->flights.list, order) {
                const struct flight *f = (const struct flight *)node;

                r = r >= 0 && (f->foreign || all) && !f->over ? share(l, node->id, NULL, f->ends_at) : r;
                n += r > 0;
        }
        TAILQ_FOREACH (node, &from->kept.list, order) {
                const struct kept *k = (const struct kept *)node;

                r = r >= 0 && (k->foreign || all) ? share(l, node->id, k->jwe, k->ends_at) : r;
                n += r > 0;
        }
        if (n && link_has_session(l)) {
                link_store_say_received(l);
                link_report_soon(l);
        }
        return r < 0 ? r : 0;
}

/* ---- making and freeing ---- */

static int new_timers(struct link *l)
{
        int r = loop_timer_new(&l->phase_timer, l->loop, NULL, on_phase_timer, l);

        r = r < 0 ? r : loop_timer_new(&l->report_timer, l->loop, NULL, link_report_on_timer, l);
        r = r < 0 ? r : loop_timer_new(&l->sweep_timer, l->loop, NULL, on_sweep, l);
        r = r < 0 ? r : loop_timer_new(&l->identity_timer, l->loop, NULL, link_identity_on_timer, l);
        return r < 0 ? r : loop_timer_new(&l->drain_timer, l->loop, NULL, on_drain_timer, l);
}

static int copy_config(struct link *l, const struct link_config *config, struct error *err)
{
        size_t n = strlen(config->relay);

        if (strncmp(config->relay, "https://", 8) != 0 || n > 500)
                return error_fail(err, -EINVAL, "link: the relay's URL must begin with https://");
        if (strlen(config->boot) != BOOT_LEN || !link_jose_text(config->boot))
                return error_fail(err, -EINVAL, "link: boot is not 16 bytes of base64url");
        memcpy(l->boot, config->boot, sizeof(l->boot));
        if (text_set(&l->relay, config->relay) < 0)
                return error_fail(err, -ENOMEM, "link: no memory");
        while (n > 8 && l->relay[n - 1] == '/')
                l->relay[--n] = '\0';
        return 0;
}

int link_new(struct link **ret_l, const struct link_config *config, struct error *err)
{
        struct https_config https = {.cert_pem = config->cert_pem,
                                     .key_pem = config->key_pem,
                                     .key = config->key,
                                     .proxy = config->proxy,
                                     .agent = "posternd/" POSTERN_VERSION};
        struct link_host *host = config->host;
        _cleanup_(link_freep) struct link *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return error_fail(err, -ENOMEM, "link: no memory");
        link_store_init(l);
        LIST_INIT(&l->questions);
        l->loop = config->loop;
        l->cb = config->callbacks;
        l->arg = config->arg;
        link_reconnect_init(&l->reconnect);
        l->told_identity = -1;
        r = copy_config(l, config, err);
        if (r < 0)
                return r;
        r = new_timers(l);
        if (r < 0)
                return error_fail(err, r, "link: no memory");
        if (!host) {
                r = link_host_new(&l->own_host, config->loop, config->ca_pem, config->proxy, err);
                host = l->own_host;
        }
        if (r < 0)
                return r;
        link_host_learn(host, l->relay); /* does nothing where files are out of reach by now */
        https.cas = &host->cas;
        https.proxy_cas = &host->proxy_cas;
        r = https_new(&l->https, &https, err);
        if (r == 0)
                r = https_on_loop(l->https, config->loop, host->dns, err);
        if (r < 0)
                return r;
        *ret_l = steal(l);
        return 0;
}

struct link *link_free(struct link *l)
{
        if (!l)
                return NULL;
        link_renewal_clear(l);
        link_questions_clear(l);
        l->https = https_free(l->https);
        l->own_host = link_host_free(l->own_host);
        l->drain_timer = loop_timer_free(l->drain_timer);
        link_store_clear(l);
        sse_clear(&l->sse);
        link_state_clear(&l->state);
        loop_timer_free(l->phase_timer);
        loop_timer_free(l->report_timer);
        loop_timer_free(l->sweep_timer);
        loop_timer_free(l->identity_timer);
        free(l->relay);
        free(l->told_detail);
        free(l);
        return NULL;
}

void link_start(struct link *l)
{
        if (l->phase != LINK_IDLE)
                return;
        loop_timer_in(l->sweep_timer, SWEEP_EVERY);
        link_phase_set(l, LINK_WAIT);
        loop_timer_in(l->phase_timer, 0);
        link_identity_announce(l);
}
