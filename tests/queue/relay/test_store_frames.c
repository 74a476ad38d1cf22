/* Frames between the relay and its store process: the table is whole, and what a hostile neighbour sends as a row is
 * refused, or its texts end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay/store-frames.h"

static void test_table(void **state)
{
        struct error err = {""};

        (void)state;
        assert_int_equal(frame_table_check(&store_frames, &err), 0);
        assert_string_equal(err.text, "");
}

/* A frame with n bytes of 0xff, parsed. */
static void full(struct msg_out *out, struct msg_in *in, size_t n)
{
        static uint8_t bytes[IPC_FRAME_MAX];

        memset(bytes, 0xff, sizeof(bytes));
        msg_begin(out, STORE_FRAME_ROW);
        msg_bytes(out, STORE_TAG_BYTES, bytes, n);
        assert_false(out->overflow);
        assert_int_equal(msg_parse(in, out->data, out->len), 0);
}

static void test_texts_end(void **state)
{
        struct store_tenant tenant;
        struct store_secret secret;
        struct store_member member;
        struct store_serial serial;
        struct store_event event;
        struct store_sign_in sign_in;
        static struct msg_out out;
        struct msg_in in;

        (void)state;
        full(&out, &in, sizeof(tenant));
        assert_true(store_frames_tenant(&in, &tenant));
        assert_int_equal(strlen(tenant.name), TENANT_MAX);
        assert_int_equal(strlen(tenant.pin), KID_LEN);
        full(&out, &in, sizeof(secret));
        assert_true(store_frames_secret(&in, &secret));
        assert_int_equal(secret.kind, SECRET_HELPDESK); /* the least */
        full(&out, &in, sizeof(member));
        assert_true(store_frames_member(&in, &member));
        assert_int_equal(strlen(member.connector.id), ID_MAX);
        assert_null(member.connector.jwk); /* a pointer of somebody else's is none */
        assert_null(member.connector.proof);
        full(&out, &in, sizeof(serial));
        assert_true(store_frames_serial(&in, &serial));
        assert_int_equal(strlen(serial.text), sizeof(serial.text) - 1);
        full(&out, &in, sizeof(event));
        assert_true(store_frames_event(&in, &event));
        assert_int_equal(strlen(event.text), sizeof(event.text) - 1);
        full(&out, &in, sizeof(sign_in));
        assert_true(store_frames_sign_in(&in, &sign_in));
        assert_int_equal(strlen(sign_in.reasons), sizeof(sign_in.reasons) - 1);
}

static void test_sizes(void **state)
{
        static struct store_row rows[STORE_ROWS_A_FRAME];
        static struct msg_out out;
        struct store_tenant tenant;
        struct store_connector connector;
        struct msg_in in;
        size_t n = 0;

        (void)state;
        full(&out, &in, sizeof(tenant) - 1);
        assert_false(store_frames_tenant(&in, &tenant));
        full(&out, &in, sizeof(connector) + 1);
        assert_false(store_frames_connector(&in, &connector));
        full(&out, &in, sizeof(rows[0]) + 1);
        assert_false(store_frames_rows(&in, rows, &n));
        full(&out, &in, sizeof(rows));
        assert_true(store_frames_rows(&in, rows, &n));
        assert_int_equal(n, STORE_ROWS_A_FRAME);
        assert_int_equal(strlen(rows[n - 1].tenant), TENANT_MAX);
        msg_begin(&out, STORE_FRAME_ROW);
        assert_int_equal(msg_parse(&in, out.data, out.len), 0);
        assert_false(store_frames_rows(&in, rows, &n));
        assert_false(store_frames_tenant(&in, &tenant));
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_texts_end),
                                           cmocka_unit_test(test_sizes)};

        return cmocka_run_group_tests_name("relay/store-frames", tests, NULL, NULL);
}
