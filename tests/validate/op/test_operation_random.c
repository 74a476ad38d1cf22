/*
 * The operation, its DCs and the guard on the fake clock: random sequences of everything that people, DCs and time can
 * do, watched by the model in fake_rig.c. A failure names its seed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/fake/fake_rig.h"

#define SEEDS 80
#define STEPS 400
#define FAILURES 3
/* For a DC that recovered: a probe that it never answered has 8 s, the next is at most 11 s away, the second 1.1 s
 * more. */
#define ASKED_AGAIN_MS 21000

static struct world w;
static bool mild; /* every password is answered, soon */

/* A dead DC is left alone while another lives. And answers overtake each other. */
static void watch_the_dead(struct world *world, const struct fake_question *question, struct fake_answer *answer)
{
        size_t asked = 0;
        bool lives = false;

        if (mild && question->step == FAKE_PASSWORD)
                answer->ms = 1 + world_roll(&w, 600);
        if (question->step != FAKE_CONNECT)
                return;
        for (size_t i = 0; i < world->domain.n_dcs; i++) {
                if (strcmp(world->dcs[i].host, question->attempt->host) == 0)
                        asked = i;
                lives = lives || strcmp(world_state(world, i), "dead") != 0;
        }
        if (lives && strcmp(world_state(world, asked), "dead") == 0)
                fail_msg("seed %u: dead %s is asked, and others live", world->seed, question->attempt->host);
}

static struct world_ask *pick_pending(void)
{
        for (size_t i = w.n > 20 ? w.n - 20 : 0; i < w.n; i++)
                if (w.asks[i].op && world_roll(&w, 3) == 0)
                        return &w.asks[i];
        return NULL;
}

static void random_dc_step(void)
{
        struct world_dc *dc = &w.dcs[world_roll(&w, (unsigned)w.domain.n_dcs)];

        dc->act = world_roll(&w, 3) ? (enum dc_act)world_roll(&w, mild ? DC_SILENT : DC_ACTS) : DC_WELL;
        dc->connect_ms = 1 + world_roll(&w, world_roll(&w, 4) ? 20 : 900);
        dc->answer_ms = 1 + world_roll(&w, world_roll(&w, 4) ? 40 : 1200);
}

/* By Kerberos also under other names of the same account: the KDC tells that they are one. */
static void random_ask(void)
{
        static const char *const before[] = {"user", "CORP\\user", "alias"}, *const after[] = {"@corp.example", "",
                                                                                               "@corp.example"};
        unsigned form = w.domain.methods[0] == METHOD_KRB5 ? world_roll(&w, 3) : 0;
        int user = (int)world_roll(&w, mild ? 2 : 8);
        bool right = world_roll(&w, 5) > 1;
        char name[40], password[24];

        snprintf(name, sizeof name, "%s%d%s", before[form], user, after[form]);
        snprintf(password, sizeof password, right ? "right" : "wrong-%u", world_roll(&w, 3) ? (unsigned)w.n : 7);
        world_ask_as(&w, user, name, password, (mild ? 5000 : 100) + world_roll(&w, 12000));
}

static void random_step(void)
{
        unsigned what = world_roll(&w, 14);
        struct world_ask *ask;

        if (what < 6) {
                random_ask();
        } else if (what < 11) {
                world_advance(&w, world_roll(&w, 4) ? world_roll(&w, 200) : world_roll(&w, 9000));
        } else if (what == 11) {
                ask = pick_pending();
                if (ask)
                        world_cancel(&w, ask);
        } else if (what == 12) {
                random_dc_step();
        } else {
                world_advance(&w, world_roll(&w, 12) ? 5 : WORLD_WINDOW_MS + 1000);
        }
        world_check(&w);
}

/* All DCs are well again: within ASKED_AGAIN_MS each is alive, and everybody signs in. */
static void heal(void)
{
        for (size_t i = 0; i < w.domain.n_dcs; i++) {
                w.dcs[i].act = DC_WELL;
                w.dcs[i].connect_ms = 5;
                w.dcs[i].answer_ms = 10;
        }
        world_advance(&w, ASKED_AGAIN_MS);
        for (size_t i = 0; i < w.domain.n_dcs; i++)
                if (strcmp(world_state(&w, i), "alive") != 0 && strcmp(world_state(&w, i), "sick") != 0)
                        fail_msg("seed %u: %s is still %s", w.seed, w.dcs[i].host, world_state(&w, i));
        world_expect(&w, world_sign_in(&w, WORLD_USERS - 1, true), REASON_OK);
}

static void check_guard(void)
{
        unsigned unknown[WORLD_USERS] = {0};

        for (size_t i = 0; i < w.n; i++)
                unknown[w.asks[i].user] += w.asks[i].counted && w.asks[i].outcome.counted != COUNTED_YES;
        for (int user = 0; user < WORLD_USERS; user++)
                if (w.worst[user] > FAILURES + unknown[user])
                        fail_msg("seed %u: user%d failed %u times (%u of them unanswered)", w.seed, user, w.worst[user],
                                 unknown[user]);
}

static void run_seed(unsigned seed, enum method method, enum guard_mode guard)
{
        world_open(&w, 1 + seed % WORLD_DCS, method);
        w.seed = w.dice = seed;
        w.script = watch_the_dead;
        w.domain.ca_pem = "for the confirmation over LDAPS";
        w.config.guard = (struct guard_config){.mode = guard, .failures = FAILURES};
        world_start(&w);
        for (int i = 0; i < STEPS; i++)
                random_step();
        heal();
        world_advance(&w, 20000);
        world_check(&w);
        if (guard == GUARD_ON)
                check_guard();
        for (size_t i = 0; i < w.n; i++)
                if (w.asks[i].calls + w.asks[i].cancelled != 1)
                        fail_msg("seed %u: sign-in %zu had %u answers", seed, i, w.asks[i].calls);
        world_close(&w);
}

static void test_any_method(void **state)
{
        (void)state;
        for (unsigned seed = 1; seed <= SEEDS; seed++)
                run_seed(seed, seed % 2 ? METHOD_LDAP : METHOD_KRB5, GUARD_OFF);
}

/* Nobody's count at the directory goes over the guard's limit, but by what the DCs never answered. */
static void test_guard_limit(void **state)
{
        (void)state;
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
                mild = seed % 3 != 0;
                run_seed(seed, seed % 2 ? METHOD_LDAP : METHOD_KRB5, GUARD_ON);
        }
        mild = false;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_any_method),
                cmocka_unit_test(test_guard_limit),
        };

        return cmocka_run_group_tests_name("validate/operation-random", tests, NULL, NULL);
}
