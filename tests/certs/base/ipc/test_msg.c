/*
 * Frames: what is built parses back; each malformed shape is refused and leaves the output alone.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>

#include "base/ipc/ipc.h"

static struct msg_out out;

static void test_round_trip(void **state)
{
        struct msg_in m;
        char text[16];
        size_t n = 99;

        (void)state;
        msg_begin(&out, 9);
        msg_str(&out, 1, "hello");
        msg_u64(&out, 2, 0x1122334455667788U);
        msg_bytes(&out, 3, "\x00\x01", 2);
        msg_str(&out, 4, "");
        msg_str(&out, 5, NULL);
        assert_false(out.overflow);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        assert_int_equal(m.type, 9);
        assert_int_equal(m.n, 4);
        assert_int_equal(msg_get_str(&m, 1, text, 6), 0);
        assert_string_equal(text, "hello");
        assert_true(msg_get_u64(&m, 2, 0) == 0x1122334455667788U);
        assert_memory_equal(msg_get_bytes(&m, 3, &n), "\x00\x01", 2);
        assert_int_equal(n, 2);
        assert_int_equal(msg_get_str(&m, 4, text, sizeof text), 0);
        assert_string_equal(text, "");
        assert_true(msg_has(&m, 4));
        assert_false(msg_has(&m, 5));
        assert_null(msg_get_bytes(&m, 5, &n));
        assert_int_equal(n, 0);
}

/* The wire form is fixed: processes of two builds may meet during an upgrade. */
static void test_bytes_on_the_wire(void **state)
{
        static const uint8_t want[] = {7, 1, 2, 0, 'h', 'i', 2, 8, 0, 1, 2, 0, 0, 0, 0, 0, 0};

        (void)state;
        msg_begin(&out, 7);
        msg_str(&out, 1, "hi");
        msg_u64(&out, 2, 0x201);
        assert_int_equal(out.len, sizeof want);
        assert_memory_equal(out.data, want, sizeof want);
}

static void test_refused(void **state)
{
        static const struct {
                const char *bytes;
                size_t n;
        } bad[] = {
                {"", 0},
                {"\x01\x05", 2},
                {"\x01\x05\x00", 3},
                {"\x01\x05\x01\x00", 4},
                {"\x01\x05\x00\x01xx", 6},
                {"\x01\x05\x00\x00\x05\x00\x00", 7},
                {"\x01\x05\x01\x00xy", 6},
        };
        struct msg_in m = {.type = 42, .n = 43};

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(msg_parse(&m, (const uint8_t *)bad[i].bytes, bad[i].n), -EBADMSG);
        assert_int_equal(m.type, 42);
        assert_int_equal(m.n, 43);
}

static void test_limits(void **state)
{
        static uint8_t bytes[IPC_FRAME_MAX + 8];
        struct msg_in m;

        (void)state;
        msg_begin(&out, 1);
        msg_bytes(&out, 1, bytes, IPC_FRAME_MAX - 4);
        assert_false(out.overflow);
        assert_int_equal(out.len, IPC_FRAME_MAX);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        msg_bytes(&out, 2, NULL, 0);
        assert_true(out.overflow);
        msg_begin(&out, 1);
        msg_bytes(&out, 1, bytes, IPC_FRAME_MAX - 3);
        assert_true(out.overflow);
        assert_int_equal(out.len, 1);
        msg_bytes(&out, 2, NULL, 0);
        assert_int_equal(out.len, 1);
        msg_begin(&out, 1);
        msg_bytes(&out, 1, bytes, SIZE_MAX);
        assert_true(out.overflow);

        bytes[0] = 1;
        bytes[1] = 1;
        bytes[2] = (IPC_FRAME_MAX - 3) & 0xff;
        bytes[3] = (IPC_FRAME_MAX - 3) >> 8;
        assert_int_equal(msg_parse(&m, bytes, IPC_FRAME_MAX + 1), -EBADMSG);
}

static void test_field_count(void **state)
{
        struct msg_in m;
        uint8_t bytes[1 + 3 * (IPC_FIELDS_MAX + 1)] = {1};

        (void)state;
        msg_begin(&out, 1);
        for (unsigned i = 0; i < IPC_FIELDS_MAX; i++) {
                msg_bytes(&out, (uint8_t)(i + 1), "x", 1);
                bytes[1 + 3 * i] = (uint8_t)i;
        }
        assert_false(out.overflow);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        assert_int_equal(m.n, IPC_FIELDS_MAX);
        msg_bytes(&out, 200, "x", 1);
        assert_true(out.overflow);
        bytes[1 + 3 * IPC_FIELDS_MAX] = 200;
        assert_int_equal(msg_parse(&m, bytes, sizeof bytes - 3), 0);
        assert_int_equal(msg_parse(&m, bytes, sizeof bytes), -EBADMSG);
}

static void test_same_tag_twice_is_overflow(void **state)
{
        (void)state;
        msg_begin(&out, 1);
        msg_str(&out, 1, "a");
        msg_str(&out, 2, "b");
        msg_str(&out, 1, "c");
        assert_true(out.overflow);
}

static void test_getters_check(void **state)
{
        struct msg_in m;
        char text[8] = "before";

        (void)state;
        msg_begin(&out, 1);
        msg_bytes(&out, 1, "a\0b", 3);
        msg_bytes(&out, 2, "\xff", 1);
        msg_str(&out, 3, "12345678");
        msg_bytes(&out, 4, "1234567", 7);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        assert_int_equal(msg_get_str(&m, 1, text, sizeof text), -EBADMSG);
        assert_int_equal(msg_get_str(&m, 2, text, sizeof text), -EBADMSG);
        assert_int_equal(msg_get_str(&m, 3, text, sizeof text), -EMSGSIZE);
        assert_int_equal(msg_get_str(&m, 3, text, 0), -EMSGSIZE);
        assert_int_equal(msg_get_str(&m, 9, text, sizeof text), -ENOENT);
        assert_string_equal(text, "before");
        assert_int_equal(msg_get_u64(&m, 4, 77), 77);
        assert_int_equal(msg_get_u64(&m, 9, 78), 78);
        assert_int_equal(msg_get_u64(&m, 3, 77), 0x3837363534333231);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_bytes_on_the_wire),
                cmocka_unit_test(test_refused),       cmocka_unit_test(test_limits),
                cmocka_unit_test(test_field_count),   cmocka_unit_test(test_same_tag_twice_is_overflow),
                cmocka_unit_test(test_getters_check),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
