/*
 * After sign-ins have ended, no piece of a password is left in the process: heap, stack, data or anonymous
 * memory.
 *
 * Linked like the validator, with the free() that wipes. The test itself keeps passwords only masked, and
 * wipes them out of its environment. A planted copy proves that the search finds what is there.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define MASK 0x5a
#define GUARD_SLOTS 1 /* the lockout guard's key */
#define PIECE 8       /* so many bytes in a row are a find */
#define PASSWORD_MAX 64

struct masked {
        uint8_t bytes[PASSWORD_MAX];
        size_t n;
};

static char keytab[512];

/* Takes the value of LAB_<label>_PASSWORD out of the environment. */
static void take(struct masked *m, const char *label)
{
        char name[128];
        char *value;

        snprintf(name, sizeof name, "LAB_%s_PASSWORD", label);
        value = getenv(name);
        assert_non_null(value);
        m->n = strlen(value);
        assert_true(m->n >= PIECE && m->n <= PASSWORD_MAX);
        for (size_t i = 0; i < m->n; i++)
                m->bytes[i] = (uint8_t)value[i] ^ MASK;
        wipe(value, m->n);
}

/* A password that nobody has. */
static void make(struct masked *m)
{
        m->n = 24;
        for (size_t i = 0; i < m->n; i++)
                m->bytes[i] = (uint8_t)('a' + loop_jitter(0, 25)) ^ MASK;
}

static void __attribute__((noinline)) unmask(struct secret **ret, const struct masked *m)
{
        char plain[PASSWORD_MAX];

        for (size_t i = 0; i < m->n; i++)
                plain[i] = (char)(m->bytes[i] ^ MASK);
        assert_int_equal(secret_new(ret, plain, m->n), 0);
        wipe(plain, sizeof plain);
}

/* Whether PIECE bytes of the password stand at p, from any place in it. */
static bool piece_at(const volatile uint8_t *p, const struct masked *m)
{
        for (size_t from = 0; from + PIECE <= m->n; from += PIECE / 2) {
                size_t i = 0;

                while (i < PIECE && (p[i] ^ MASK) == m->bytes[from + i])
                        i++;
                if (i == PIECE)
                        return true;
        }
        return false;
}

static unsigned search_range(uintptr_t from, uintptr_t to, const char *what, const struct masked *m)
{
        unsigned found = 0;

        for (uintptr_t at = from; at + PIECE <= to; at++) {
                if (!piece_at((const volatile uint8_t *)at, m))
                        continue;
                if (found++ < 3)
                        fprintf(stderr, "piece of a password at %#lx of %s (%#lx-%#lx)\n", at, what, from, to);
        }
        return found;
}

/* Looks through everything that this process may write to. */
static unsigned search(const struct masked *m)
{
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        unsigned found = 0;

        assert_non_null(maps);
        while (fgets(line, sizeof line, maps)) {
                unsigned long from, to;
                char mode[8] = "", path[256] = "anonymous";

                assert_true(sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, mode, path) >= 3);
                if (mode[0] == 'r' && mode[1] == 'w')
                        found += search_range(from, to, path, m);
        }
        fclose(maps);
        return found;
}

static void test_search_finds(void **state)
{
        struct masked m;
        char *plain = malloc(PASSWORD_MAX);

        (void)state;
        assert_non_null(plain);
        make(&m);
        assert_int_equal(search(&m), 0);
        for (size_t i = 0; i < m.n; i++)
                ((volatile char *)plain)[i] = (char)(m.bytes[i] ^ MASK);
        assert_true(search(&m) >= 1);
        free(plain);
        assert_int_equal(search(&m), 0);
}

struct end {
        unsigned calls;
        enum reason reason;
};

static void on_done(void *arg, const struct outcome *outcome)
{
        struct end *end = arg;

        end->calls++;
        end->reason = outcome->reason;
}

static enum reason ask_for(struct rig *rig, const char *name, const struct masked *password,
                           const struct masked *new_password)
{
        struct validate_request request = {
                .id = "0123456789abcdef",
                .name = name,
                .name_len = strlen(name),
                .deadline = loop_now(rig->loop) + 120000,
        };
        struct validate_op *op;
        struct end end = {0};

        unmask(&request.password, password);
        if (new_password)
                unmask(&request.new_password, new_password);
        assert_int_equal(validate_start(&op, rig->v, &request, on_done, &end), 0);
        rig_until(rig, &end.calls, 1);
        return end.reason;
}

static void ask(struct rig *rig, const char *name, const struct masked *password, const struct masked *new_password,
                enum reason reason)
{
        assert_string_equal(reason_info(ask_for(rig, name, password, new_password))->id, reason_info(reason)->id);
}

static void sign_in(struct rig *rig, const char *name, const struct masked *password, enum reason reason)
{
        ask(rig, name, password, NULL, reason);
}

/* Right and wrong, several times, on pooled connections; the pools stay open while the memory is searched. */
static void right_and_wrong(struct rig *rig, const char *name, const struct masked *right)
{
        struct masked wrong;

        make(&wrong);
        for (int i = 0; i < 3; i++) {
                sign_in(rig, name, right, REASON_OK);
                sign_in(rig, name, &wrong, REASON_WRONG_PASSWORD);
        }
        assert_int_equal(secret_arena_in_use(), GUARD_SLOTS);
        assert_int_equal(search(right) + search(&wrong), 0);
}

static void leaves_nothing(struct rig *rig, const char *name, const struct masked *right)
{
        rig_start_ready(rig, 1);
        right_and_wrong(rig, name, right);
}

static void test_ldap(void **state)
{
        struct rig *rig = *state;
        struct masked samba, slapd;

        take(&samba, "GOOD1");
        take(&slapd, "SLAPD_U1");
        rig_samba(rig, 0);
        leaves_nothing(rig, lab_get("GOOD1_UPN"), &samba);
        rig->v = validate_free(rig->v);
        rig_slapd(rig, 0);
        leaves_nothing(rig, "u1@slapd.example", &slapd);
}

static void test_krb5(void **state)
{
        struct rig *rig = *state;
        struct masked right;

        take(&right, "GOOD2");
        rig_samba(rig, 0);
        snprintf(keytab, sizeof keytab, "FILE:%s", lab_get("AD_KEYTAB"));
        rig->domains[0].methods[0] = METHOD_KRB5;
        rig->domains[0].keytab = keytab;
        rig->domains[0].service_principal = lab_get("AD_SERVICE");
        leaves_nothing(rig, lab_get("GOOD2_UPN"), &right);
}

/* Within armour libkrb5 has the password, too, and makes the key itself. */
static void test_armor(void **state)
{
        struct rig *rig = *state;
        struct masked right;
        uint64_t end;

        take(&right, "GOOD3");
        rig_samba(rig, 0);
        snprintf(keytab, sizeof keytab, "FILE:%s", lab_get("AD_ARMOR_KEYTAB"));
        rig->domains[0].methods[0] = METHOD_KRB5;
        rig->domains[0].keytab = keytab;
        rig->domains[0].service_principal = lab_get("AD_SERVICE");
        rig->domains[0].armor_principal = lab_get("AD_ARMOR_PRINCIPAL");
        rig_start_ready(rig, 1);
        end = loop_now(rig->loop) + 120000;
        while (ask_for(rig, lab_get("GOOD3_UPN"), &right, NULL) == REASON_ARMOR_UNAVAILABLE) {
                assert_true(loop_now(rig->loop) < end);
                rig_spin(rig, 20);
        }
        right_and_wrong(rig, lab_get("GOOD3_UPN"), &right);
}

/* Neither the old password nor the new one, whether it was taken or refused. */
static void test_change(void **state)
{
        struct rig *rig = *state;
        struct masked old, fresh, refused;

        take(&old, "CHANGE7");
        make(&fresh);
        make(&refused);
        rig_samba(rig, 0);
        rig->domains[0].password_change = true;
        rig_start_ready(rig, 1);
        ask(rig, lab_get("CHANGE7_UPN"), &refused, &fresh, REASON_WRONG_PASSWORD);
        ask(rig, lab_get("CHANGE7_UPN"), &old, &fresh, REASON_PASSWORD_CHANGED);
        ask(rig, lab_get("CHANGE_DENIED_UPN"), &old, &refused, REASON_WRONG_PASSWORD);
        assert_int_equal(secret_arena_in_use(), GUARD_SLOTS);
        assert_int_equal(search(&old) + search(&fresh) + search(&refused), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_search_finds, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_ldap, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_krb5, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_change, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_armor, rig_set_up, rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
