/*
 * Buffers: the maximum holds exactly, contents survive growth, secrets live in the secure heap and are wiped.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>

#include <openssl/crypto.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/secret.h"

static void test_append_up_to_the_maximum(void **state)
{
        (void)state;
        for (size_t max = 0; max < 300; max += 7) {
                _cleanup_(buffer_free) struct buffer b = BUFFER(max);
                for (size_t i = 0; i < max; i++) {
                        assert_int_equal(buffer_append_char(&b, (char)('a' + i % 26)), 0);
                        assert_int_equal(b.len, i + 1);
                        assert_int_equal(b.data[b.len], 0);
                }
                assert_int_equal(buffer_append_char(&b, 'x'), -EMSGSIZE);
                assert_int_equal(b.len, max);
                for (size_t i = 0; i < max; i++)
                        assert_int_equal(b.data[i], 'a' + i % 26);
        }
}

static void test_over_the_maximum_appends_nothing(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(10);

        (void)state;
        assert_int_equal(buffer_append_str(&b, "12345678"), 0);
        assert_int_equal(buffer_append_str(&b, "abc"), -EMSGSIZE);
        assert_int_equal(buffer_printf(&b, "%d", 123), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&b, 3), -EMSGSIZE);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX), -EMSGSIZE);
        assert_string_equal(b.data, "12345678");
        assert_int_equal(buffer_printf(&b, "%d", 42), 0);
        assert_string_equal(b.data, "1234567842");
}

/* Whatever room there was before: none, too little, just enough. */
static void test_formats_into_any_room(void **state)
{
        (void)state;
        for (int before = 0; before < 140; before++)
                for (int n = 0; n < 140; n++) {
                        _cleanup_(buffer_free) struct buffer b = BUFFER(250);

                        assert_int_equal(buffer_printf(&b, "%*s", before, ""), 0);
                        assert_int_equal(buffer_printf(&b, "%*d", n + 1, 7), before + n + 1 > 250 ? -EMSGSIZE : 0);
                        assert_int_equal(b.len, before + n + 1 > 250 ? before : before + n + 1);
                        assert_int_equal(strlen(b.data), b.len);
                }
}

static void test_empty_appends(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(0);

        (void)state;
        assert_int_equal(buffer_append(&b, NULL, 0), 0);
        assert_int_equal(buffer_append_str(&b, ""), 0);
        assert_int_equal(b.len, 0);
        assert_null(buffer_steal(&b));
}

static void test_reserve_gives_zeroed_room(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(1000);

        (void)state;
        assert_int_equal(buffer_append_str(&b, "ab"), 0);
        assert_int_equal(buffer_reserve(&b, 500), 0);
        for (size_t i = 0; i <= 500; i++)
                assert_int_equal(b.data[b.len + i], 0);
        memcpy(b.data + b.len, "cd", 2);
        b.len += 2;
        assert_string_equal(b.data, "abcd");
}

static void test_consume_and_clear(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(100);

        (void)state;
        buffer_consume(&b, 5);
        buffer_clear(&b);
        assert_int_equal(buffer_append_str(&b, "hello world"), 0);
        buffer_consume(&b, 0);
        buffer_consume(&b, 6);
        assert_string_equal(b.data, "world");
        assert_int_equal(b.len, 5);
        buffer_consume(&b, 6);
        assert_int_equal(b.len, 0);
        assert_string_equal(b.data, "");
}

static void test_steal_and_free(void **state)
{
        struct buffer b = BUFFER(100);

        (void)state;
        assert_int_equal(buffer_append_str(&b, "mine"), 0);
        _cleanup_(freep) char *s = buffer_steal(&b);
        assert_string_equal(s, "mine");
        assert_null(b.data);
        assert_int_equal(b.max, 100);
        assert_int_equal(buffer_append_str(&b, "again"), 0);
        buffer_free(&b);
        buffer_free(&b);
        assert_int_equal(b.max, 100);
        assert_int_equal(b.len, 0);
}

/* No secure heap yet: tools and tests may do without. */
static void test_secret_without_secure_heap(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER_SECRET(5000);

        (void)state;
        assert_int_equal(CRYPTO_secure_malloc_initialized(), 0);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(buffer_append_str(&b, "geheim"), i < 833 ? 0 : -EMSGSIZE);
        assert_int_equal(b.len, 4998);
        for (size_t i = 0; i < b.len; i += 6)
                assert_memory_equal(b.data + i, "geheim", 6);
        assert_null(buffer_steal(&b));
        assert_int_equal(b.len, 4998);
}

static int secret_in_secure_heap(void)
{
        struct buffer b = BUFFER_SECRET(8192);
        struct error err = {""};

        child_check(secure_heap_init(65536, &err) == 0);
        child_check(buffer_append_str(&b, "geheim") == 0);
        child_check(CRYPTO_secure_allocated(b.data) == 1);
        const char *old = b.data;
        for (int i = 0; i < 100; i++)
                child_check(buffer_append_str(&b, "geheim") == 0);
        child_check(b.data != old && CRYPTO_secure_allocated(b.data) == 1);
        /* The block left behind is wiped; its first words may hold the allocator's list. */
        child_check(memcmp(old, "geheim", 6) != 0);
        size_t before = b.len;
        buffer_consume(&b, 6);
        for (size_t i = b.len; i < before; i++)
                child_check(b.data[i] == 0);
        const char *data = b.data;
        size_t cap = b.cap;
        buffer_clear(&b);
        for (size_t i = 0; i < cap; i++)
                child_check(data[i] == 0);
        child_check(buffer_append_str(&b, "geheim") == 0);
        buffer_free(&b);
        child_check(CRYPTO_secure_used() == 0);
        /* A heap that is full is -ENOMEM, never plain memory. */
        struct buffer big = BUFFER_SECRET(1 << 20);
        child_check(buffer_reserve(&big, 100000) == -ENOMEM);
        child_check(big.data == NULL);
        return 0;
}

static void test_secret_in_secure_heap(void **state)
{
        (void)state;
        assert_child_ok(secret_in_secure_heap);
}

/* Outside the secure heap, where it exists, too. */
static int wiped_in_ordinary_memory(void)
{
        struct buffer b = BUFFER_WIPED(1 << 20);
        struct error err = {""};

        child_check(secure_heap_init(65536, &err) == 0);
        child_check(buffer_reserve(&b, 100000) == 0 && CRYPTO_secure_used() == 0);
        for (int i = 0; i < 1000; i++)
                child_check(buffer_append_str(&b, "geheim") == 0);
        buffer_consume(&b, 5994);
        child_check(b.len == 6 && memcmp(b.data, "geheim", 7) == 0);
        for (size_t i = b.len; i < 6000; i++)
                child_check(b.data[i] == 0);
        child_check(buffer_steal(&b) == NULL && b.len == 6);
        buffer_clear(&b);
        for (size_t i = 0; i < b.cap; i++)
                child_check(b.data[i] == 0);
        buffer_free(&b);
        return 0;
}

static void test_wiped_in_ordinary_memory(void **state)
{
        (void)state;
        assert_child_ok(wiped_in_ordinary_memory);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_append_up_to_the_maximum),
                cmocka_unit_test(test_over_the_maximum_appends_nothing),
                cmocka_unit_test(test_formats_into_any_room),
                cmocka_unit_test(test_empty_appends),
                cmocka_unit_test(test_reserve_gives_zeroed_room),
                cmocka_unit_test(test_consume_and_clear),
                cmocka_unit_test(test_steal_and_free),
                cmocka_unit_test(test_secret_without_secure_heap),
                cmocka_unit_test(test_secret_in_secure_heap),
                cmocka_unit_test(test_wiped_in_ordinary_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
