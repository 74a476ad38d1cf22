/*
 * The lockout guard's table: budget, window, places of sign-ins under way, the same wrong password again,
 * spellings of one account, and a million other names.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "validate/types/guard.h"

#ifdef __SANITIZE_ADDRESS__
#define NAMES 150000 /* the sanitizer is slow; the plain build runs all */
#else
#define NAMES 1000000
#endif
#define FAILURES 3
#define WINDOW_MS 60000
#define REPEAT_MS 5000

struct world {
        struct guard *guard;
        uint64_t now;
        uint32_t retry;
};

static struct world w;

static void open_guard(enum guard_mode mode)
{
        const struct guard_config config = {mode, FAILURES, WINDOW_MS, REPEAT_MS};

        w = (struct world){.now = 1000000};
        assert_int_equal(guard_new(&w.guard, &config), 0);
}

static int tear_down(void **state)
{
        (void)state;
        w.guard = guard_free(w.guard);
        assert_int_equal(secret_arena_in_use(), 0);
        return 0;
}

static struct name name_of(enum name_form form, const char *user, const char *suffix)
{
        struct name name = {.form = form};

        snprintf(name.user, sizeof name.user, "%s", user);
        snprintf(name.suffix, sizeof name.suffix, "%s", suffix);
        return name;
}

static enum guard_answer enter(struct guard_ticket *ticket, const char *user, const char *password)
{
        const struct name name = name_of(NAME_UPN, user, "corp.example");
        struct secret *secret = NULL;
        enum guard_answer answer;

        *ticket = (struct guard_ticket){0};
        assert_int_equal(secret_new(&secret, password, strlen(password)), 0);
        answer = guard_enter(w.guard, ticket, &name, secret, w.now, &w.retry);
        secret_free(secret);
        return answer;
}

static void leave(struct guard_ticket *ticket, enum reason reason)
{
        struct outcome outcome = {.reason = reason, .password_proved = reason == REASON_OK};

        if (reason == REASON_OK)
                snprintf(outcome.user.id, sizeof outcome.user.id, "S-1-5-21-1-2-3-1000");
        guard_leave(w.guard, ticket, &outcome, w.now);
}

/* One sign-in from beginning to end, which the guard must let through. */
static void sign_in(const char *user, const char *password, enum reason reason)
{
        struct guard_ticket ticket;

        assert_int_equal(enter(&ticket, user, password), GUARD_GO);
        leave(&ticket, reason);
}

static void test_budget_and_window(void **state)
{
        struct guard_ticket ticket;

        (void)state;
        open_guard(GUARD_ON);
        sign_in("alice", "a", REASON_WRONG_PASSWORD);
        w.now += 10000;
        sign_in("alice", "b", REASON_WRONG_PASSWORD);
        sign_in("alice", "c", REASON_UNKNOWN_USER);
        assert_int_equal(enter(&ticket, "alice", "d"), GUARD_THROTTLED);
        assert_int_equal(w.retry, WINDOW_MS / 1000);
        w.now += WINDOW_MS; /* since the last failure, to the millisecond */
        assert_int_equal(enter(&ticket, "alice", "right"), GUARD_THROTTLED);
        assert_int_equal(w.retry, 1);
        w.now++;
        sign_in("alice", "right", REASON_OK);
        sign_in("bob", "x", REASON_WRONG_PASSWORD);
}

static struct guard_look look(const char *user)
{
        const struct name name = name_of(NAME_UPN, user, "corp.example");
        struct guard_look ret;

        guard_look(w.guard, &name, w.now, &ret);
        return ret;
}

/* What an administrator sees and lets go: under each name of the account, and what a KDC said of it. */
static void test_release(void **state)
{
        const struct name alice = name_of(NAME_UPN, "alice", "corp.example");
        const struct guard_who who = {(const uint8_t *)"CORPalice", 9};
        struct secret *secret = NULL;
        struct guard_ticket ticket, beside;

        (void)state;
        open_guard(GUARD_ON);
        assert_int_equal(look("alice").failures, 0);
        assert_int_equal(look("alice").limit, FAILURES);
        for (int i = 0; i < FAILURES; i++) {
                char password[2] = {(char)('a' + i), '\0'};

                secret_free(secret);
                assert_int_equal(secret_new(&secret, password, 1), 0);
                assert_int_equal(enter(&ticket, "alice", password), GUARD_GO);
                assert_int_equal(guard_hint(w.guard, &ticket, 0, &who, secret, w.now, &w.retry), GUARD_GO);
                leave(&ticket, REASON_WRONG_PASSWORD);
        }
        w.now += 20000;
        assert_true(look("ALICE").stopped);
        assert_int_equal(look("alice").failures, FAILURES);
        assert_int_equal(look("alice").left_s, (WINDOW_MS - 20000) / 1000);
        assert_int_equal(enter(&ticket, "alice", "right"), GUARD_THROTTLED);
        guard_release(w.guard, &alice);
        assert_false(look("alice").stopped);
        assert_int_equal(look("alice").failures, 0);
        assert_int_equal(look("alice").left_s, 0);
        /* also where the KDC says whose it is, and the password that was wrong may be right now */
        assert_int_equal(enter(&ticket, "alice", "c"), GUARD_GO);
        assert_int_equal(guard_hint(w.guard, &ticket, 0, &who, secret, w.now, &w.retry), GUARD_GO);
        /* what is being checked while it is let go counts when it fails */
        assert_int_equal(enter(&beside, "alice", "d"), GUARD_GO);
        guard_release(w.guard, &alice);
        leave(&ticket, REASON_WRONG_PASSWORD);
        leave(&beside, REASON_WRONG_PASSWORD);
        assert_int_equal(look("alice").failures, 2);
        guard_release(w.guard, &(struct name){.form = NAME_UPN, .user = "nobody", .suffix = "corp.example"});
        secret_free(secret);
        w.now += WINDOW_MS + 1;
        assert_int_equal(look("alice").failures, 0);
}

/* Only class credentials is counted; what proves the password clears. */
static void test_what_counts(void **state)
{
        static const enum reason others[] = {REASON_OUTCOME_UNKNOWN, REASON_NO_DC, REASON_LOCKED_OUT, REASON_DC_ERROR,
                                             REASON_CANCELLED};
        struct guard_ticket ticket;

        (void)state;
        open_guard(GUARD_ON);
        for (size_t i = 0; i < 4 * sizeof others / sizeof *others; i++)
                sign_in("alice", "x", others[i % (sizeof others / sizeof *others)]);
        for (int i = 0; i < 4; i++) {
                sign_in("alice", "a", REASON_WRONG_PASSWORD);
                sign_in("alice", "b", REASON_WRONG_PASSWORD);
                sign_in("alice", "right", REASON_OK);
        }
        for (int i = 0; i < FAILURES; i++) { /* nobody waited for the answer, and the password was on its way */
                assert_int_equal(enter(&ticket, "alice", "x"), GUARD_GO);
                ticket.sent = true;
                guard_leave(w.guard, &ticket, NULL, w.now);
        }
        assert_int_equal(enter(&ticket, "alice", "y"), GUARD_THROTTLED);
}

static void test_same_wrong_password(void **state)
{
        struct guard_ticket ticket;

        (void)state;
        open_guard(GUARD_ON);
        sign_in("alice", "old", REASON_WRONG_PASSWORD);
        for (int i = 0; i < 100; i++)
                assert_int_equal(enter(&ticket, "alice", "old"), GUARD_REPEATED);
        sign_in("bob", "old", REASON_WRONG_PASSWORD); /* another account's is another password */
        sign_in("alice", "new", REASON_OK);
        sign_in("alice", "old", REASON_WRONG_PASSWORD); /* wiped on success */
        w.now += REPEAT_MS;
        sign_in("alice", "old", REASON_WRONG_PASSWORD); /* and by time */
}

/* Many at once: never more are under way than may fail. */
static void test_places(void **state)
{
        struct guard_ticket tickets[FAILURES], more;

        (void)state;
        open_guard(GUARD_ON);
        for (int i = 0; i < FAILURES; i++)
                assert_int_equal(enter(&tickets[i], "alice", (const char[]){(char)('a' + i), 0}), GUARD_GO);
        assert_int_equal(enter(&more, "alice", "z"), GUARD_WAIT);
        assert_true(guard_same(&more, &tickets[0]));
        leave(&tickets[0], REASON_OK);
        assert_int_equal(enter(&more, "alice", "z"), GUARD_GO);
        leave(&more, REASON_WRONG_PASSWORD);
        leave(&tickets[1], REASON_WRONG_PASSWORD);
        leave(&tickets[2], REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&more, "alice", "y"), GUARD_THROTTLED);
}

static enum guard_answer hint(struct guard_ticket *ticket, const char *salt, const char *password)
{
        struct secret *secret = NULL;
        enum guard_answer answer;

        assert_int_equal(secret_new(&secret, password, strlen(password)), 0);
        answer = guard_hint(w.guard, ticket, 0, &(struct guard_who){(const uint8_t *)salt, strlen(salt)}, secret, w.now,
                            &w.retry);
        secret_free(secret);
        return answer;
}

/* Two names of one account, by turns, where the KDC's salt tells that they are; a salt that changes hides no name. */
static void test_what_the_kdc_tells(void **state)
{
        struct guard_ticket ticket;
        char text[32];

        (void)state;
        open_guard(GUARD_ON);
        for (int i = 0; i < FAILURES; i++) {
                snprintf(text, sizeof text, "wrong-%d", i);
                assert_int_equal(enter(&ticket, i % 2 ? "guard.two" : "gd22222", text), GUARD_GO);
                assert_int_equal(hint(&ticket, "CORP.EXAMPLEgd22222", text), GUARD_GO);
                leave(&ticket, REASON_WRONG_PASSWORD);
        }
        assert_int_equal(enter(&ticket, "guard.two", "other"), GUARD_GO);
        assert_int_equal(hint(&ticket, "CORP.EXAMPLEgd22222", "other"), GUARD_THROTTLED);
        guard_leave(w.guard, &ticket, NULL, w.now);
        for (int i = 0; i < FAILURES; i++) { /* forged */
                snprintf(text, sizeof text, "salt-%d", i);
                assert_int_equal(enter(&ticket, "victim", text), GUARD_GO);
                assert_int_equal(hint(&ticket, text, text), GUARD_GO);
                leave(&ticket, REASON_WRONG_PASSWORD);
        }
        assert_int_equal(enter(&ticket, "victim", "more"), GUARD_THROTTLED);
}

static void test_spellings(void **state)
{
        static const struct {
                enum name_form form;
                const char *user, *suffix;
        } same[] = {{NAME_UPN, "rené", "corp.example"},
                    {NAME_UPN, "RENÉ", "CORP.COM"},
                    {NAME_NETBIOS, "Rene", "CORP"},
                    {NAME_UPN, "rene\xcc\x81", "corp.example"},
                    {NAME_UPN, "\xef\xbd\x92\xef\xbd\x85\xef\xbd\x8e\xef\xbd\x85", "corp.example"}, /* full width */
                    {NAME_UPN, "re\xc2\xadn\xe2\x80\x8b\xe1\xb8\x97\xef\xbb\xbf",
                     "corp.example"}, /* soft hyphen, ZWSP, BOM */
                    {NAME_UPN, "\xe1\xb9\x99\xc4\x95\xc5\x88\xe1\xba\xbf", "corp.example"}};
        struct guard_ticket ticket, first;

        (void)state;
        open_guard(GUARD_ON);
        enter(&first, "rene", "x");
        for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
                const struct name name = name_of(same[i].form, same[i].user, same[i].suffix);
                struct secret *secret = NULL;

                assert_int_equal(secret_new(&secret, "y", 1), 0);
                ticket = (struct guard_ticket){0};
                guard_enter(w.guard, &ticket, &name, secret, w.now, &w.retry);
                secret_free(secret);
                assert_true(guard_same(&ticket, &first));
                guard_leave(w.guard, &ticket, NULL, w.now);
        }
        leave(&first, REASON_WRONG_PASSWORD);
        /* Two that nothing but a sign-in shows to be one account. */
        sign_in("alice.smith", "right", REASON_OK);
        sign_in("asmith", "right", REASON_OK);
        enter(&first, "alice.smith", "x");
        enter(&ticket, "asmith", "x");
        assert_true(guard_same(&ticket, &first));
}

/* Sign-ins of one name are spread over the connectors of its domain: each allows its share, never less than one. */
static void test_share(void **state)
{
        const struct guard_config config = {GUARD_ON, 6, WINDOW_MS, REPEAT_MS};
        static const struct {
                size_t connectors;
                unsigned failures;
        } shares[] = {{0, 6}, {1, 6}, {2, 3}, {4, 1}, {6, 1}, {512, 1}};
        struct guard_ticket ticket;

        (void)state;
        w = (struct world){.now = 1000000};
        assert_int_equal(guard_new(&w.guard, &config), 0);
        assert_int_equal(guard_limit(w.guard, 0), 6);
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
                const char user[] = {(char)('a' + i), '\0'};

                assert_int_equal(guard_share(w.guard, 0, shares[i].connectors), 0);
                assert_int_equal(guard_share(w.guard, 3, 2), 0);
                assert_int_equal(guard_limit(w.guard, 0), shares[i].failures);
                for (unsigned k = 0; k < shares[i].failures; k++)
                        sign_in(user, (const char[]){(char)('0' + k), '\0'}, REASON_WRONG_PASSWORD);
                assert_int_equal(enter(&ticket, user, "z"), GUARD_THROTTLED);
        }
        /* a domain that nobody spoke of has the whole limit, one beside it its own share */
        assert_int_equal(guard_limit(w.guard, 2), 6);
        assert_int_equal(guard_limit(w.guard, 3), 3);
        assert_int_equal(guard_limit(w.guard, 4), 6);
}

/* With a share too small to spare a failure nothing is asked twice; where nobody is stopped, the limit decides. */
static void test_share_and_again(void **state)
{
        const struct guard_config on = {GUARD_ON, 6, WINDOW_MS, REPEAT_MS},
                                  observe = {GUARD_OBSERVE, 6, WINDOW_MS, REPEAT_MS};
        struct guard_ticket ticket;

        (void)state;
        w = (struct world){.now = 1000000};
        assert_int_equal(guard_new(&w.guard, &on), 0);
        assert_int_equal(guard_share(w.guard, 0, 3), 0);
        assert_int_equal(enter(&ticket, "alice", "a"), GUARD_GO);
        assert_false(guard_again(w.guard, &ticket));
        guard_leave(w.guard, &ticket, NULL, w.now);
        assert_int_equal(guard_share(w.guard, 0, 2), 0);
        assert_int_equal(enter(&ticket, "alice", "a"), GUARD_GO);
        assert_true(guard_again(w.guard, &ticket));
        guard_leave(w.guard, &ticket, NULL, w.now);
        w.guard = guard_free(w.guard);
        assert_int_equal(guard_new(&w.guard, &observe), 0);
        assert_int_equal(guard_share(w.guard, 0, 512), 0);
        assert_int_equal(enter(&ticket, "alice", "a"), GUARD_GO);
        assert_true(guard_again(w.guard, &ticket));
        guard_leave(w.guard, &ticket, NULL, w.now);
}

/* A second way to the DC takes a place of its own, and counts where nobody waited for its answer. */
static void test_again(void **state)
{
        const struct guard_config config = {GUARD_ON, 5, WINDOW_MS, REPEAT_MS};
        struct guard_ticket tickets[4], more;

        (void)state;
        w = (struct world){.now = 1000000};
        assert_int_equal(guard_new(&w.guard, &config), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(enter(&tickets[i], "alice", (const char[]){(char)('a' + i), '\0'}), GUARD_GO);
        assert_true(guard_again(w.guard, &tickets[0]));
        assert_false(guard_again(w.guard, &tickets[0]));
        assert_false(guard_again(w.guard, &tickets[1]));
        assert_int_equal(enter(&tickets[3], "alice", "d"), GUARD_GO);
        assert_int_equal(enter(&more, "alice", "e"), GUARD_WAIT);
        tickets[0].sent = tickets[0].twice = true;
        guard_leave(w.guard, &tickets[0], NULL, w.now);
        for (int i = 1; i < 4; i++)
                leave(&tickets[i], REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&more, "alice", "e"), GUARD_THROTTLED);
        assert_false(guard_again(w.guard, &more));

        assert_int_equal(enter(&more, "bob", "a"), GUARD_GO); /* and its places come back */
        assert_true(guard_again(w.guard, &more));
        leave(&more, REASON_OUTCOME_UNKNOWN);
        for (int i = 0; i < 4; i++)
                assert_int_equal(enter(&tickets[i], "bob", (const char[]){(char)('a' + i), '\0'}), GUARD_GO);
        assert_int_equal(enter(&more, "bob", "e"), GUARD_GO);
}

static void test_modes(void **state)
{
        struct guard_ticket ticket;
        struct guard_counts counts;

        (void)state;
        open_guard(GUARD_OBSERVE);
        for (int i = 0; i < 5; i++)
                sign_in("alice", (const char[]){(char)('a' + i), 0}, REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&ticket, "alice", "z"), GUARD_GO);
        assert_true(ticket.would_be);
        leave(&ticket, REASON_OK);
        guard_count(w.guard, &counts);
        assert_int_equal(counts.throttled, 3);
        w.guard = guard_free(w.guard);
        open_guard(GUARD_OFF);
        for (int i = 0; i < 50; i++)
                sign_in("alice", "a", REASON_WRONG_PASSWORD);
        guard_count(w.guard, &counts);
        assert_int_equal(counts.names, 0);
}

/* A flood of fresh names costs no memory and does not free a name that failed too often. */
static void test_a_million_names(void **state)
{
        struct guard_ticket ticket;
        struct mallinfo2 before, after;
        char user[32];

        (void)state;
        open_guard(GUARD_ON);
        for (int i = 0; i < FAILURES; i++)
                sign_in("victim", (const char[]){(char)('a' + i), 0}, REASON_WRONG_PASSWORD);
        before = mallinfo2();
        for (unsigned i = 0; i < NAMES; i++) {
                snprintf(user, sizeof user, "name%u", i);
                sign_in(user, "x", REASON_UNKNOWN_USER);
                w.now += i % 64 == 0;
        }
        after = mallinfo2();
        assert_true(after.uordblks + after.hblkhd <= before.uordblks + before.hblkhd + 4096);
        assert_int_equal(enter(&ticket, "victim", "z"), GUARD_THROTTLED);
}

/* A success clears what came before it began: what failed beside it the DC may have counted after it. */
static void test_overtaken(void **state)
{
        struct guard_ticket right, ticket;

        (void)state;
        open_guard(GUARD_ON);
        sign_in("alice", "right", REASON_OK); /* whose the name is, is known */
        sign_in("alice", "a", REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&right, "alice", "right"), GUARD_GO);
        sign_in("alice", "b", REASON_WRONG_PASSWORD);
        leave(&right, REASON_OK);
        sign_in("alice", "c", REASON_WRONG_PASSWORD);
        sign_in("alice", "d", REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&ticket, "alice", "e"), GUARD_THROTTLED);
}

/* Whose the name is shows while others of it are being checked: none of them is lost. */
static void test_learnt_amid(void **state)
{
        struct guard_ticket right, wrong, ticket;

        (void)state;
        open_guard(GUARD_ON);
        assert_int_equal(enter(&right, "alice", "right"), GUARD_GO);
        assert_int_equal(enter(&wrong, "alice", "a"), GUARD_GO);
        leave(&right, REASON_OK);
        sign_in("alice", "b", REASON_WRONG_PASSWORD);
        leave(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(enter(&ticket, "alice", "c"), GUARD_THROTTLED);
}

static int open_arena(void **state)
{
        struct error err;

        (void)state;
        return secret_arena_init(64, &err);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_budget_and_window),
                TEST(test_release),
                TEST(test_what_counts),
                TEST(test_same_wrong_password),
                TEST(test_places),
                TEST(test_spellings),
                TEST(test_what_the_kdc_tells),
                TEST(test_share),
                TEST(test_share_and_again),
                TEST(test_again),
                TEST(test_overtaken),
                TEST(test_learnt_amid),
                TEST(test_modes),
                TEST(test_a_million_names),
        };

        return cmocka_run_group_tests(tests, open_arena, NULL);
}
