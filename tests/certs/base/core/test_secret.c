/*
 * Secrets: where they live (the kernel's own account of the mapping), that they are wiped, and that misuse
 * ends the process. What cannot be undone runs in children.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

#include "base/core/secret.h"

#define SLOTS 8

static int make_arena(void **state)
{
        struct error err = {""};

        (void)state;
        return secret_arena_init(SLOTS, &err);
}

static int drop_arena(void **state)
{
        (void)state;
        secret_arena_destroy();
        return 0;
}

static void test_holds_and_wipes(void **state)
{
        struct secret *s = NULL;

        (void)state;
        assert_int_equal(secret_new(&s, "pass\0word", 9), 0);
        assert_int_equal(secret_len(s), 9);
        assert_memory_equal(secret_text(s), "pass\0word", 10);
        assert_int_equal(secret_arena_in_use(), 1);
        const char *text = secret_text(s);
        assert_null(secret_free(s));
        for (size_t i = 0; i < SECRET_MAX; i++)
                assert_int_equal(text[i], 0);
        assert_int_equal(secret_arena_in_use(), 0);
        assert_null(secret_free(NULL));
}

static void test_bounds(void **state)
{
        static char bytes[SECRET_MAX + 1];
        struct secret *s = NULL;

        (void)state;
        memset(bytes, 'x', sizeof bytes);
        assert_int_equal(secret_new(&s, bytes, 0), -EINVAL);
        assert_int_equal(secret_new(&s, bytes, SECRET_MAX + 1), -EMSGSIZE);
        assert_null(s);
        assert_int_equal(secret_new(&s, bytes, SECRET_MAX), 0);
        assert_int_equal(strlen(secret_text(s)), SECRET_MAX);
        (void)secret_free(s);
}

static void test_slots_run_out_and_come_back(void **state)
{
        struct secret *s[SLOTS], *more = NULL;

        (void)state;
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < SLOTS; i++) {
                        char text[2] = {(char)('a' + i), 0};
                        assert_int_equal(secret_new(&s[i], text, 1), 0);
                }
                assert_int_equal(secret_new(&more, "x", 1), -EAGAIN);
                assert_int_equal(secret_arena_in_use(), SLOTS);
                for (size_t i = 0; i < SLOTS; i++)
                        assert_int_equal(secret_text(s[i])[0], 'a' + (int)i);
                for (size_t i = 0; i < SLOTS; i++)
                        (void)secret_free(s[(i * 3) % SLOTS]);
        }
        assert_int_equal(secret_arena_in_use(), 0);
}

static void test_equal(void **state)
{
        struct secret *a = NULL, *b = NULL, *c = NULL;

        (void)state;
        assert_int_equal(secret_new(&a, "same", 4), 0);
        assert_int_equal(secret_new(&b, "same", 4), 0);
        assert_int_equal(secret_new(&c, "samE", 4), 0);
        assert_true(secret_equal(a, b));
        assert_false(secret_equal(a, c));
        (void)secret_free(c);
        assert_int_equal(secret_new(&c, "same!", 5), 0);
        assert_false(secret_equal(a, c));
        (void)secret_free(a);
        (void)secret_free(b);
        (void)secret_free(c);
        assert_true(equal_const_time("abc", "abd", 2));
        assert_false(equal_const_time("abc", "abd", 3));
        assert_true(equal_const_time("a", "b", 0));
}

/* The kernel's flags of the mapping that holds p: " lo" locked, " dd" not dumped, " wf" wiped on fork. */
static void mapping_flags(const void *p, char *out, size_t cap)
{
        FILE *f = fopen("/proc/self/smaps", "re");
        char line[256];
        bool inside = false;

        assert_non_null(f);
        out[0] = '\0';
        while (fgets(line, sizeof line, f)) {
                unsigned long from, to;
                if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
                        inside = (uintptr_t)p >= from && (uintptr_t)p < to;
                else if (inside && strncmp(line, "VmFlags:", 8) == 0)
                        (void)snprintf(out, cap, "%s", line + 8);
        }
        (void)fclose(f);
}

static void test_mapping_is_locked_and_undumped(void **state)
{
        struct secret *s = NULL;
        char flags[256];

        (void)state;
        assert_int_equal(secret_new(&s, "x", 1), 0);
        mapping_flags(s, flags, sizeof flags);
        assert_non_null(strstr(flags, " lo"));
        assert_non_null(strstr(flags, " dd"));
        assert_non_null(strstr(flags, " wf"));
        (void)secret_free(s);
}

static struct secret *inherited;

static int child_sees_zeros(void)
{
        child_check(secret_len(inherited) == 0);
        for (size_t i = 0; i < SECRET_MAX; i++)
                child_check(secret_text(inherited)[i] == 0);
        return 0;
}

static void test_forked_child_sees_zeros(void **state)
{
        (void)state;
        assert_int_equal(secret_new(&inherited, "password", 8), 0);
        assert_child_ok(child_sees_zeros);
        assert_string_equal(secret_text(inherited), "password");
        inherited = secret_free(inherited);
}

static int free_twice(void)
{
        struct secret *s = NULL;

        child_check(secret_new(&s, "x", 1) == 0);
        (void)secret_free(s);
        (void)secret_free(s);
        return 0;
}

static int free_foreign(void)
{
        static char place[2048] __attribute__((aligned(16))) = "not a slot";

        (void)secret_free((struct secret *)(void *)place);
        return 0;
}

static int free_inside(void)
{
        struct secret *s = NULL;

        child_check(secret_new(&s, "xxxxxxxxxxxxxxxxxxxxxxxx", 24) == 0);
        (void)secret_free((struct secret *)((uintptr_t)s + 8));
        return 0;
}

static void test_wrong_frees_abort(void **state)
{
        (void)state;
        assert_child_aborts(free_twice);
        assert_child_aborts(free_foreign);
        assert_child_aborts(free_inside);
}

static void test_arena_once(void **state)
{
        struct error err = {""};

        (void)state;
        assert_int_equal(secret_arena_init(4, &err), -EALREADY);
}

static void test_without_arena(void **state)
{
        struct secret *s = NULL;
        struct error err = {""};

        (void)state;
        assert_int_equal(secret_new(&s, "x", 1), -EAGAIN);
        assert_int_equal(secret_arena_init(0, &err), -EINVAL);
        assert_int_equal(secret_arena_init(SIZE_MAX, &err), -EINVAL);
        secret_arena_destroy();
        assert_int_equal(secret_arena_in_use(), 0);
}

/* Without the capability, so that the limit counts. */
static void limit_locked_memory(rlim_t bytes)
{
        struct rlimit lim = {bytes, bytes};

        if (geteuid() == 0)
                child_check(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
                            setresuid(65534, 65534, 65534) == 0);
        child_check(setrlimit(RLIMIT_MEMLOCK, &lim) == 0);
}

static int lock_refused(void)
{
        struct error err = {""};
        struct secret *s = NULL;

        limit_locked_memory(16384);
        child_check(secret_arena_init(64, &err) == -ENOMEM);
        child_check(strstr(err.text, "16384 bytes") != NULL);
        child_check(strstr(err.text, "69632 bytes") != NULL || strstr(err.text, "cannot lock") != NULL);
        child_check(strstr(err.text, "LimitMEMLOCK=") != NULL);
        child_check(strstr(err.text, "ulimit -l") != NULL);
        child_check(secret_new(&s, "x", 1) == -EAGAIN);
        child_check(secret_arena_init(4, &err) == 0);
        return 0;
}

static int lock_forbidden(void)
{
        struct error err = {""};

        limit_locked_memory(0);
        child_check(secret_arena_init(1, &err) == -EPERM);
        child_check(strstr(err.text, "RLIMIT_MEMLOCK is 0 bytes") != NULL);
        return 0;
}

static int heap_refused(void)
{
        struct error err = {""};

        limit_locked_memory(16384);
        child_check(secure_heap_init(65536, &err) == -ENOMEM);
        child_check(strstr(err.text, "65536 bytes") != NULL);
        child_check(strstr(err.text, "LimitMEMLOCK=") != NULL);
        /* Nothing half-protected is left. */
        child_check(CRYPTO_secure_malloc_initialized() == 0);
        return 0;
}

static int heap_works(void)
{
        struct error err = {""};
        char flags[256];

        child_check(secure_heap_init(65537, &err) == -EINVAL && secure_heap_init(0, &err) == -EINVAL);
        child_check(secure_heap_init(65536, &err) == 0);
        child_check(secure_heap_init(65536, &err) == -EALREADY);
        void *p = OPENSSL_secure_malloc(100);
        child_check(p && CRYPTO_secure_allocated(p) == 1);
        mapping_flags(p, flags, sizeof flags);
        child_check(strstr(flags, " lo") && strstr(flags, " dd"));
        OPENSSL_secure_clear_free(p, 100);
        return 0;
}

static void test_limits_are_explained(void **state)
{
        (void)state;
        assert_child_ok(lock_refused);
        assert_child_ok(lock_forbidden);
        assert_child_ok(heap_refused);
        assert_child_ok(heap_works);
}

int main(void)
{
        const struct CMUnitTest with_arena[] = {
                cmocka_unit_test(test_holds_and_wipes),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_slots_run_out_and_come_back),
                cmocka_unit_test(test_equal),
                cmocka_unit_test(test_mapping_is_locked_and_undumped),
                cmocka_unit_test(test_forked_child_sees_zeros),
                cmocka_unit_test(test_wrong_frees_abort),
                cmocka_unit_test(test_arena_once),
        };
        const struct CMUnitTest without[] = {
                cmocka_unit_test(test_without_arena),
                cmocka_unit_test(test_limits_are_explained),
        };

        return cmocka_run_group_tests(with_arena, make_arena, drop_arena) + cmocka_run_group_tests(without, NULL, NULL);
}
