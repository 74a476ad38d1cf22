/*
 * Log lines: what a peer sends can neither forge a line nor a field, and the id of the running sign-in is on
 * each.
 */
#include "tests/certs/base/core/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/core/log.h"
#include "base/ipc/loop.h"
#include "base/core/text.h"

static char last[LOG_LINE_MAX + 16];
static enum log_level last_level;
static unsigned lines;

static void catch_line(enum log_level level, const char *program, const char *line)
{
        assert_string_equal(program, "tester");
        assert_true(strlen(line) < LOG_LINE_MAX);
        (void)snprintf(last, sizeof last, "%s", line);
        last_level = level;
        lines++;
}

static int setup(void **state)
{
        (void)state;
        log_open("tester", LOG_LEVEL_DEBUG, catch_line);
        log_set_id(NULL);
        lines = 0;
        return 0;
}

static void test_fields(void **state)
{
        (void)state;
        log_info("started");
        assert_string_equal(last, "started");
        assert_int_equal(last_level, LOG_LEVEL_INFO);
        log_error("dc-down", KV_S("dc", "dc1.corp.example:636"), KV_I("code", -5), KV_U("tries", UINT64_MAX),
                  KV_S("why", NULL), KV_S("empty", ""), KV_S("dash", "-"));
        assert_string_equal(last, "dc-down dc=dc1.corp.example:636 code=-5 tries=18446744073709551615 why=- "
                                  "empty=\"\" dash=\"-\"");
        assert_int_equal(last_level, LOG_LEVEL_ERROR);
}

static const struct {
        const char *value;
        const char *shown;
} escapes[] = {
        {"plain.A-z_9:/@+,", "plain.A-z_9:/@+,"},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"x\nERROR forged=1", "\"x\\nERROR forged=1\""},
        {"t\tq\"b\\", "\"t\\tq\\\"b\\\\\""},
        {"\x1b[2J\r", "\"\\x1b[2J\\x0d\""},
        {"J\xc3\xb6rg", "\"J\xc3\xb6rg\""},
        {"bad\xff\xc3", "\"bad\\xff\\xc3\""},
        {"c1\xc2\x9b", "\"c1\\xc2\\x9b\""},
        {"rtl\xe2\x80\xae"
         "gpj",
         "\"rtl\\xe2\\x80\\xaegpj\""},
        {"ls\xe2\x80\xa8", "\"ls\\xe2\\x80\\xa8\""},
        {"\x7f", "\"\\x7f\""},
        {"CORP\\user", "\"CORP\\\\user\""},
};

static void test_escapes(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
                char want[256];
                log_info("e", KV_S("k", escapes[i].value), KV_I("end", 1));
                (void)snprintf(want, sizeof want, "e k=%s end=1", escapes[i].shown);
                assert_string_equal(last, want);
        }
}

static void test_every_byte_keeps_the_line_clean(void **state)
{
        (void)state;
        for (int c = 1; c < 256; c++) {
                char value[4] = {'a', (char)c, 'b', '\0'};
                log_info("e", KV_S("k", value));
                assert_true(utf8_valid(last, strlen(last)));
                for (const char *p = last; *p; p++)
                        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        }
}

static void test_long_values_are_cut(void **state)
{
        char value[LOG_VALUE_MAX + 100];

        (void)state;
        memset(value, 'a', sizeof value);
        value[LOG_VALUE_MAX] = '\0';
        log_info("e", KV_S("k", value));
        assert_int_equal(strlen(last), strlen("e k=") + LOG_VALUE_MAX);
        value[LOG_VALUE_MAX] = 'a';
        value[sizeof value - 1] = '\0';
        log_info("e", KV_S("k", value));
        assert_int_equal(strlen(last), strlen("e k=\"...\"") + LOG_VALUE_MAX);
        assert_string_equal(last + strlen(last) - 4, "...\"");
        /* A character that would be cut in half is left out. */
        memcpy(value + LOG_VALUE_MAX - 1, "\xe2\x82\xac", 3);
        log_info("e", KV_S("k", value));
        assert_true(utf8_valid(last, strlen(last)));
        assert_null(strstr(last, "\\x"));
}

static void test_long_lines_drop_whole_fields(void **state)
{
        char value[LOG_VALUE_MAX + 1];

        (void)state;
        memset(value, '\n', sizeof value - 1);
        value[sizeof value - 1] = '\0';
        log_info("e", KV_S("a", value), KV_S("b", value), KV_S("c", value), KV_S("d", value), KV_I("z", 7));
        assert_non_null(strstr(last, " a=\""));
        assert_non_null(strstr(last, " c=\""));
        assert_null(strstr(last, " d="));
        assert_string_equal(last + strlen(last) - strlen(" z=7 cut=1"), " z=7 cut=1");
}

static void test_id(void **state)
{
        char longest[ID_MAX + 20];

        (void)state;
        log_set_id("01J8ZQ4W7X9T2M5K3N6P8R1S");
        log_info("bind", KV_I("n", 1));
        assert_string_equal(last, "bind id=01J8ZQ4W7X9T2M5K3N6P8R1S n=1");
        assert_string_equal(log_get_id(), "01J8ZQ4W7X9T2M5K3N6P8R1S");
        log_set_id("");
        log_info("bind");
        assert_string_equal(last, "bind");
        memset(longest, 'x', sizeof longest);
        longest[sizeof longest - 1] = '\0';
        log_set_id(longest);
        assert_int_equal(strlen(log_get_id()), ID_MAX);
        log_set_id(NULL);
        assert_string_equal(log_get_id(), "");
}

static void test_levels(void **state)
{
        (void)state;
        log_open("tester", LOG_LEVEL_WARNING, catch_line);
        log_debug("no");
        log_info("no");
        assert_int_equal(lines, 0);
        log_warning("yes");
        log_error("yes");
        assert_int_equal(lines, 2);
}

/* What arrives on standard error, as a file, with JOURNAL_STREAM naming that file (offset 0) or another. */
static void read_stderr(char *out, size_t cap, unsigned offset)
{
        char path[] = "/tmp/postern-test-log.XXXXXX", stream[64];
        int fd = mkostemp(path, O_CLOEXEC);
        struct stat st;

        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        (void)unlink(path);
        (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
                       (unsigned long long)st.st_ino + offset);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        int saved = dup(STDERR_FILENO);
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        log_open("tester", LOG_LEVEL_INFO, NULL);
        log_warning("hello", KV_I("n", 1));
        assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        (void)close(saved);
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
        ssize_t n = pread(fd, out, cap - 1, 0);
        assert_true(n > 0);
        out[n] = '\0';
        (void)close(fd);
}

static void test_stderr_sink(void **state)
{
        char got[256];

        (void)state;
        read_stderr(got, sizeof got, 0);
        assert_string_equal(got, "<4>tester: hello n=1\n");
        read_stderr(got, sizeof got, 1);
        assert_string_equal(got, "tester: warning hello n=1\n");
}

/* What the journal gets by its own protocol: one line for each field, which no value can add to. */
static void test_native(void **state)
{
        char folder[] = "/tmp/postern-test-log.XXXXXX", got[8192], id[LOG_MESSAGE_ID];
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void)state;
        assert_non_null(mkdtemp(folder));
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/journal", folder);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        log_open("tester", LOG_LEVEL_DEBUG, NULL);
        log_native(address.sun_path);
        log_set_id("ID000000000000001");
        log_warning("some.event", KV_S("why", "a\nMESSAGE_ID=forged\"\\\xff\xe2\x80\xae"), KV_I("n", -3),
                    KV_S("none", NULL));
        log_set_id(NULL);
        ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        got[n] = '\0';
        const char *after = strstr(got, "\nSYSLOG_IDENTIFIER=");
        assert_memory_equal(got, "MESSAGE=tester: some.event id=ID000000000000001 why=", 52);
        assert_non_null(after);
        assert_non_null(strstr(got, "\nPRIORITY=4\n"));
        log_message_id("some.event", id);
        assert_string_equal(id, "00a23b8e179e86eb863537af3f4ccc40");
        assert_string_equal(
                strstr(got, "\nPOSTERN_EVENT="),
                "\nPOSTERN_EVENT=some.event\nMESSAGE_ID=00a23b8e179e86eb863537af3f4ccc40\n"
                "POSTERN_SIGN_IN=ID000000000000001\nPOSTERN_WHY=a\\nMESSAGE_ID=forged\"\\\\xff\\xe2\\x80\\xae\n"
                "POSTERN_N=-3\nPOSTERN_NONE=\n");
        log_debug("some.event");
        n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        got[n] = '\0';
        assert_null(strstr(got, "MESSAGE_ID"));
        (void)close(fd); /* the journal is gone: the line is on standard error */
        char text[256];
        read_stderr(text, sizeof text, 1);
        assert_string_equal(text, "tester: warning hello n=1\n");
        (void)unlink(address.sun_path);
        assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_fields, setup),
                cmocka_unit_test_setup(test_escapes, setup),
                cmocka_unit_test_setup(test_every_byte_keeps_the_line_clean, setup),
                cmocka_unit_test_setup(test_long_values_are_cut, setup),
                cmocka_unit_test_setup(test_long_lines_drop_whole_fields, setup),
                cmocka_unit_test_setup(test_id, setup),
                cmocka_unit_test_setup(test_levels, setup),
                cmocka_unit_test_setup(test_stderr_sink, setup),
                cmocka_unit_test_setup(test_native, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
