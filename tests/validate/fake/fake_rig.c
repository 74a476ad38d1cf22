/*
 * The scripted DCs and the model that holds sign-ins to what was promised of them.
 */
#include "tests/validate/fake/fake_rig.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERRUN_MS 251 /* an operation may overrun its deadline by its backstop, and a turn of the clock */

unsigned world_roll(struct world *w, unsigned n)
{
        return (unsigned)rand_r(&w->dice) % n;
}

static size_t dc_of(const struct world *w, const char *host)
{
        for (size_t i = 0; i < WORLD_DCS; i++)
                if (strcmp(w->dcs[i].host, host) == 0)
                        return i;
        fail_msg("a DC that is none of the world: %s", host);
        return 0;
}

static struct world_ask *ask_of(struct world *w, const char *id)
{
        size_t i = (size_t)strtoul(id, NULL, 10);

        assert_true(i < w->n);
        return &w->asks[i];
}

/* What the directory counts; AD's observation window is half an hour, as the guard's. */
static void count_bad(struct world *w, struct world_ask *ask, bool right)
{
        unsigned *bad;

        if (ask->user < 0)
                return;
        bad = &w->bad[ask->user];
        if (right || loop_now(w->loop) > w->bad_at[ask->user] + WORLD_WINDOW_MS)
                *bad = 0;
        if (right)
                return;
        ask->counted++;
        w->bad_at[ask->user] = loop_now(w->loop);
        if (++*bad > w->worst[ask->user])
                w->worst[ask->user] = *bad;
}

static void refuse(struct fake_answer *answer, enum method method)
{
        static const char text[] =
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1";
        const struct ldap_refusal ldap = {.result = 49, .diagnostic = text, .n = sizeof text - 1, .ad = true};
        const struct krb_refusal krb = {.code = 24, .preauth = true, .ad = true};

        if (method == METHOD_LDAP)
                outcome_from_ldap(&answer->outcome, &ldap);
        else
                outcome_from_krb(&answer->outcome, &krb);
}

/* The password comes: once, or by a second method at the same DC where the first answer only claimed something. */
static void note_password(struct world *w, struct world_dc *dc, struct world_ask *ask, enum method method)
{
        dc->passwords++;
        dc->first_password = dc->first_password ? dc->first_password : loop_now(w->loop);
        dc->last_password = loop_now(w->loop);
        if (ask->passwords++ == 0) {
                ask->dc = (int)(dc - w->dcs);
                return;
        }
        if (ask->passwords > 2 || ask->claims != 1 || method != METHOD_LDAP || ask->dc != dc - w->dcs)
                fail_msg("seed %u: %s gets the password of sign-in %zu, which another had", w->seed, dc->host,
                         (size_t)(ask - w->asks));
}

static void answer_password(struct world *w, const struct fake_question *q, struct fake_answer *answer)
{
        struct world_dc *dc = &w->dcs[dc_of(w, q->attempt->host)];
        struct world_ask *ask = ask_of(w, q->attempt->id);
        const struct krb_refusal expired = {.code = 23, .preauth = true, .ad = true};
        bool right = ask->right && strcmp(secret_text(q->attempt->password), ask->password) == 0;

        note_password(w, dc, ask, q->method);
        count_bad(w, ask, right);
        answer->ms = dc->act == DC_SILENT_ON_BIND || dc->act == DC_SILENT ? FAKE_NEVER : dc->answer_ms;
        if (dc->act == DC_FAILS_BINDS || dc->act == DC_DROPS_BINDS) {
                answer->outcome.reason = dc->act == DC_FAILS_BINDS ? REASON_DC_ERROR : REASON_OUTCOME_UNKNOWN;
                answer->outcome.counted = COUNTED_UNKNOWN;
        } else if (dc->act == DC_CLAIMS && q->method == METHOD_KRB5) {
                outcome_from_krb(&answer->outcome, &expired);
                ask->claims++;
        } else if (!right) {
                refuse(answer, q->method);
        } else {
                answer->outcome.password_proved = true;
                answer->outcome.counted = COUNTED_NO;
                answer->outcome.user.kind = ACCOUNT_PERSON;
                snprintf(answer->outcome.user.id, sizeof answer->outcome.user.id, "S-1-5-21-1-2-3-%d",
                         1000 + ask->user);
        }
}

static const char *salt_of(struct world *w, const char *id)
{
        static char salts[WORLD_USERS][32];
        int user = ask_of(w, id)->user;

        if (user < 0)
                return NULL;
        snprintf(salts[user], sizeof salts[user], "CORP.EXAMPLEuser%d", user);
        return salts[user];
}

static void world_script(void *arg, const struct fake_question *q, struct fake_answer *answer)
{
        struct world *w = arg;
        struct world_dc *dc = &w->dcs[dc_of(w, q->attempt->host)];

        answer->ms = q->step == FAKE_CONNECT ? dc->connect_ms : dc->answer_ms;
        if (q->step == FAKE_PASSWORD) {
                answer_password(w, q, answer);
        } else {
                dc->probes += q->step == FAKE_PROBE;
                dc->connects += q->step == FAKE_CONNECT;
                if (q->step == FAKE_PROBE)
                        dc->last_probe = loop_now(w->loop);
                if (dc->act == DC_SILENT)
                        answer->ms = FAKE_NEVER;
                if (dc->act == DC_REFUSES)
                        answer->outcome.reason = answer->found.reason = REASON_DC_REFUSED;
                if (q->step == FAKE_CONNECT && q->method == METHOD_KRB5)
                        answer->salt = salt_of(w, q->attempt->id);
                if (q->step == FAKE_PROBE && answer->outcome.reason == REASON_OK)
                        snprintf(answer->outcome.domain_sid, sizeof answer->outcome.domain_sid, "S-1-5-21-1-2-%d",
                                 q->attempt->domain->name[0] == 's' ? 4 : 3);
        }
        if (w->script)
                w->script(w, q, answer);
}

static void on_world_ready(void *arg)
{
        struct world *w = arg;

        w->ready_calls++;
}

static struct domain_config domain_of(const char *name, const char *realm, const char *netbios, enum method method)
{
        return (struct domain_config){.name = name,
                                      .realm = realm,
                                      .netbios = netbios,
                                      .methods = {method},
                                      .keytab = "MEMORY:fake",
                                      .service_principal = "host/connector"};
}

void world_open(struct world *w, size_t n, enum method method)
{
        static const char *const addresses[WORLD_DCS] = {"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"};

        static bool arena;

        if (!arena)
                assert_int_equal(secret_arena_init(256, NULL), 0);
        arena = true;
        memset(w, 0, sizeof *w);
        w->asks = calloc(WORLD_ASKS, sizeof *w->asks);
        w->slow = domain_of("slow.example", "SLOW.EXAMPLE", "SLOW", method);
        w->domain = domain_of("corp.example", "CORP.EXAMPLE", "CORP", method);
        assert_true(n <= WORLD_DCS);
        for (size_t i = 0; i < WORLD_DCS; i++) {
                w->dcs[i] = (struct world_dc){.connect_ms = 5, .answer_ms = 10};
                snprintf(w->dcs[i].host, sizeof w->dcs[i].host, "dc%zu.corp.example", i + 1);
                if (i < n)
                        w->domain.dcs[i] = (struct dc_config){.host = w->dcs[i].host, .address = addresses[i]};
        }
        w->domain.n_dcs = n;
        w->slow.n_dcs = 1;
        w->slow.dcs[0] = (struct dc_config){.host = w->dcs[WORLD_DCS - 1].host, .address = addresses[WORLD_DCS - 1]};
        w->config = (struct validate_config){
                .n_domains = 1, .default_domain = "corp.example", .guard = {.mode = GUARD_OFF}};
        assert_non_null(w->asks);
        assert_int_equal(loop_new_fake(&w->loop), 0);
        assert_int_equal(fake_new(&w->fake, w->loop, world_script, w), 0);
}

void world_start(struct world *w)
{
        struct method_instance *methods[METHODS] = {
                [METHOD_KRB5] = fake_method(w->fake, METHOD_KRB5), [METHOD_LDAP] = fake_method(w->fake, METHOD_LDAP)};
        struct error err = {""};

        w->lent[0] = w->domain;
        w->lent[1] = w->slow;
        w->config.domains = w->lent;
        if (validate_new_by(&w->v, w->loop, methods, &w->config, on_world_ready, w, &err) < 0)
                fail_msg("%s", err.text);
}

void world_start_ready(struct world *w)
{
        world_start(w);
        world_advance(w, 100);
        assert_true(validate_ready(w->v, 0, NULL));
        assert_int_equal(fake_runs(w->fake), 0);
}

void world_close(struct world *w)
{
        w->v = validate_free(w->v);
        assert_int_equal(fake_runs(w->fake), 0);
        assert_int_equal(secret_arena_in_use(), 0);
        w->fake = fake_free(w->fake);
        w->loop = loop_free(w->loop);
        free(w->asks);
}

void world_advance(struct world *w, uint64_t ms)
{
        loop_fake_advance(w->loop, ms);
}

static void on_world_done(void *arg, const struct outcome *outcome)
{
        struct world_ask *ask = arg;

        ask->calls++;
        ask->outcome = *outcome;
        ask->op = NULL;
        ask->ended = loop_now(ask->w->loop);
        assert_int_equal(outcome->ms_total, ask->ended - ask->started);
}

struct world_ask *world_ask_as(struct world *w, int user, const char *name, const char *password, uint32_t budget_ms)
{
        struct world_ask *ask = &w->asks[w->n];
        struct validate_request request = {.name = ask->name};
        char id[16];

        assert_true(w->n < WORLD_ASKS);
        *ask = (struct world_ask){.w = w, .user = user, .dc = -1};
        snprintf(ask->name, sizeof ask->name, "%s", name);
        snprintf(ask->password, sizeof ask->password, "%s", password);
        snprintf(id, sizeof id, "%zu", w->n++);
        ask->right = strncmp(password, "right", 5) == 0;
        ask->started = loop_now(w->loop);
        ask->deadline = ask->started + budget_ms;
        request.id = id;
        request.name_len = strlen(name);
        request.deadline = ask->deadline;
        assert_int_equal(secret_new(&request.password, password, strlen(password)), 0);
        assert_int_equal(validate_start(&ask->op, w->v, &request, on_world_done, ask), 0);
        return ask;
}

struct world_ask *world_ask(struct world *w, int user, bool right, uint32_t budget_ms)
{
        char name[40], password[24];

        snprintf(name, sizeof name, "user%d@corp.example", user);
        snprintf(password, sizeof password, right ? "right" : "wrong-%zu", w->n);
        return world_ask_as(w, user, name, password, budget_ms);
}

const struct outcome *world_finish(struct world *w, const struct world_ask *ask)
{
        while (ask->calls == 0) {
                if (loop_now(w->loop) > ask->deadline + 1000)
                        fail_msg("seed %u: sign-in %zu has no answer", w->seed, (size_t)(ask - w->asks));
                world_advance(w, 1);
        }
        return &ask->outcome;
}

const struct outcome *world_sign_in(struct world *w, int user, bool right)
{
        return world_finish(w, world_ask(w, user, right, 8000));
}

void world_cancel(struct world *w, struct world_ask *ask)
{
        (void)w;
        validate_cancel(ask->op);
        ask->op = NULL;
        ask->cancelled = true;
}

static void check_ask(const struct world *w, const struct world_ask *ask)
{
        const struct outcome *o = &ask->outcome;
        size_t i = (size_t)(ask - w->asks);
        const char *broken = NULL;

        if (ask->counted > 1 + ask->claims)
                broken = "a wrong password counted more than once";
        else if (ask->calls > (ask->cancelled ? 0 : 1))
                broken = "it ended more than once";
        else if (ask->calls == 0 && !ask->cancelled && loop_now(w->loop) > ask->deadline + OVERRUN_MS)
                broken = "it has no answer and its time is over";
        else if (ask->calls && ask->ended > ask->deadline + OVERRUN_MS)
                broken = "it overran its budget";
        else if (ask->calls && o->reason == REASON_WRONG_PASSWORD && ask->right)
                broken = "a right password was called wrong";
        else if (ask->calls && reason_info(o->reason)->verdict == VERDICT_ACCEPTED && !ask->right)
                broken = "a wrong password was accepted";
        else if (ask->calls && o->counted == COUNTED_NO && ask->counted)
                broken = "it counted, and the answer says that it did not";
        else if (ask->calls && o->counted == COUNTED_YES && !ask->counted)
                broken = "it did not count, and the answer says that it did";
        if (broken)
                fail_msg("seed %u, sign-in %zu (%s, %s at %s): %s", w->seed, i, ask->name, reason_info(o->reason)->id,
                         o->dc, broken);
}

void world_check(const struct world *w)
{
        for (size_t i = 0; i < w->n; i++)
                check_ask(w, &w->asks[i]);
}

struct state_seen {
        const char *host;
        const char *state;
};

static void on_world_dc(void *arg, const struct validate_dc *dc)
{
        struct state_seen *seen = arg;

        if (strcmp(dc->host, seen->host) == 0)
                seen->state = dc->state;
}

const char *world_state(const struct world *w, size_t dc)
{
        struct state_seen seen = {.host = w->dcs[dc].host, .state = "none"};

        validate_each_dc(w->v, on_world_dc, &seen);
        return seen.state;
}

void world_expect(const struct world *w, const struct outcome *outcome, enum reason reason)
{
        if (outcome->reason != reason)
                fail_msg("seed %u: %s (%s at %s), not %s", w->seed, reason_info(outcome->reason)->id, outcome->context,
                         outcome->dc, reason_info(reason)->id);
}
