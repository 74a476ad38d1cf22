/* Who may send what to whom: every type has its rule, and nobody speaks in another's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connector/frames/frames.h"
#include "connector/frames/messages.h"

static unsigned senders_to(uint8_t type, enum part to)
{
        unsigned from = 0;

        for (unsigned p = 0; p < PART_N; p++)
                from |= frame_may(type, (enum part)p, to) ? 1u << p : 0;
        return from;
}

static void test_sign_ins_are_the_validators_to_tell(void **state)
{
        (void)state;
        assert_int_equal(senders_to(FRAME_RECORD, PART_LEDGER), 1u << PART_VALIDATOR);
        assert_int_equal(senders_to(FRAME_DELIVERY, PART_LEDGER), 1u << PART_VALIDATOR);
        assert_int_equal(senders_to(FRAME_SHARE, PART_LEDGER), 1u << PART_SUPERVISOR);
        assert_int_equal(senders_to(FRAME_VERDICT, PART_LINK), 1u << PART_VALIDATOR);
        assert_int_equal(senders_to(FRAME_REQUEST, PART_VALIDATOR), 1u << PART_LINK);
        assert_int_equal(senders_to(FRAME_CERTIFICATE, PART_SUPERVISOR), 1u << PART_LINK);
}

static void test_nobody_sends_to_itself_or_what_is_not_known(void **state)
{
        (void)state;
        for (unsigned type = 0; type < 256; type++)
                for (unsigned p = 0; p < PART_N; p++)
                        assert_false(frame_may((uint8_t)type, (enum part)p, (enum part)p));
        for (unsigned from = 0; from < PART_N; from++)
                for (unsigned to = 0; to < PART_N; to++)
                        assert_false(frame_may(0, (enum part)from, (enum part)to) ||
                                     frame_may(255, (enum part)from, (enum part)to));
}

static void test_names(void **state)
{
        (void)state;
        assert_true(frame_may_name(PART_LINK, "link"));
        assert_true(frame_may_name(PART_LINK, "link.down"));
        assert_true(frame_may_name(PART_LINK, "certificate.renewed"));
        assert_false(frame_may_name(PART_LINK, "validator"));
        assert_false(frame_may_name(PART_LINK, "dc:corp.example/dc1"));
        assert_false(frame_may_name(PART_LINK, "process:link"));
        assert_false(frame_may_name(PART_LINK, "roster.adopted"));
        assert_false(frame_may_name(PART_LINK, ""));
        assert_true(frame_may_name(PART_VALIDATOR, "validator"));
        assert_true(frame_may_name(PART_VALIDATOR, "dc:corp.example/dc1"));
        assert_true(frame_may_name(PART_VALIDATOR, "roster.adopted"));
        assert_false(frame_may_name(PART_VALIDATOR, "link"));
        assert_false(frame_may_name(PART_VALIDATOR, "link.up"));
        assert_false(frame_may_name(PART_VALIDATOR, "process.up"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sign_ins_are_the_validators_to_tell),
                cmocka_unit_test(test_nobody_sends_to_itself_or_what_is_not_known),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
