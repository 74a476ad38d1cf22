/* Who may send what to whom: every type has its rule, and nobody speaks in another's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/frames/frames.h"
#include "connector/frames/messages.h"

static void document(struct buffer *out)
{
        assert_int_equal(
                buffer_append_str(out, "# Frames between the processes of posternd\n\n"
                                       "Made by tests/connector/frames/test_frames.c from connector/frames/frames.c: "
                                       "change the table there. Whatever it does not allow\n"
                                       "is dropped where it is read, and not sent by who builds it "
                                       "(certs/base/ipc/frames.h).\n\n"),
                0);
        assert_int_equal(frame_table_document(&posternd_frames, out), 0);
}

static unsigned senders_to(uint8_t type, enum part to)
{
        const struct frame_rule *rule = frame_rule_of(&posternd_frames, type);

        return rule && rule->to >> to & 1 ? rule->from : 0;
}

static void test_the_table_is_whole(void **state)
{
        struct error err = {""};

        (void)state;
        if (frame_table_check(&posternd_frames, &err) < 0)
                fail_msg("%s", err.text);
}

/* What the table says is what FRAMES.md shows. To write it anew: BUILD/tests/connector/test_frames FILE */
static void test_the_page_shows_it(void **state)
{
        _cleanup_(buffer_free) struct buffer made = BUFFER(1 << 20), committed = BUFFER(1 << 20);
        struct error err = {""};

        (void)state;
        document(&made);
        if (file_read(&committed, SOURCE_ROOT "/connector/frames/FRAMES.md", &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(made.len, committed.len);
        assert_memory_equal(made.data, committed.data, made.len);
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

static void test_nobody_sends_to_itself(void **state)
{
        (void)state;
        for (size_t i = 0; i < posternd_frames.n_frames; i++)
                assert_int_equal(posternd_frames.frames[i].from & posternd_frames.frames[i].to, 0);
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

int main(int argc, char **argv)
{
        if (argc == 2) {
                _cleanup_(buffer_free) struct buffer made = BUFFER(1 << 20);
                FILE *f = fopen(argv[1], "w");

                document(&made);
                return !f || fwrite(made.data, 1, made.len, f) != made.len || fclose(f) != 0;
        }
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sign_ins_are_the_validators_to_tell),
                cmocka_unit_test(test_nobody_sends_to_itself),
                cmocka_unit_test(test_the_table_is_whole),
                cmocka_unit_test(test_the_page_shows_it),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
