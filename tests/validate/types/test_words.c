/*
 * Catalogues of users' sentences: the shipped ones are whole, placeholders are filled in, mistakes are named by line,
 * and no catalogue tells more of an account than the table.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/text.h"
#include "validate/types/words.h"

#define SHIPPED SOURCE_ROOT "/connector/packaging/words/"

static char path[] = "/tmp/postern-words-XXXXXX";

static int make_file(void **state)
{
        const int fd = mkstemp(path);

        (void)state;
        return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
        (void)state;
        return unlink(path);
}

static int load(struct words **ret, const char *text, struct error *err)
{
        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, err), 0);
        return words_load(ret, path, err);
}

static char *told(const struct words *w, enum reason reason, bool proved, struct words_facts facts)
{
        static char text[4096];
        struct buffer out = BUFFER(sizeof(text));

        assert_int_equal(words_user(w, reason, proved, &facts, &out), 0);
        (void)snprintf(text, sizeof(text), "%s", out.data);
        buffer_free(&out);
        return text;
}

/* The lines of a shipped file that begin with the key. */
static size_t lines_of(const struct buffer *file, const char *key)
{
        char begin[80];
        size_t n = 0;

        (void)snprintf(begin, sizeof(begin), "\n%s = ", key);
        for (const char *at = file->data; (at = strstr(at, begin)); at++)
                n++;
        return n;
}

static void test_shipped(void **state)
{
        static const char *const names[] = {"en", "de"};

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                struct buffer file = BUFFER(65536), english = BUFFER(4096);
                struct words *w = NULL;
                struct error err = {""};
                char name[4096];

                (void)snprintf(name, sizeof(name), SHIPPED "%s.words", names[i]);
                assert_int_equal(file_read(&file, name, &err), 0);
                if (words_load(&w, name, &err) < 0)
                        fail_msg("%s", err.text);
                assert_string_equal(words_language(w), names[i]);
                for (enum reason r = 0; r < REASON_MAX; r++) {
                        buffer_clear(&english);
                        const bool key = words_english(r, &english) == 0;
                        if (lines_of(&file, reason_info(r)->id) != key)
                                fail_msg("%s.words: %s", names[i], reason_info(r)->id);
                        if (key && i == 0) /* the file is what the program says */
                                assert_non_null(strstr(file.data, english.data));
                }
                words_free(w);
                buffer_free(&file);
                buffer_free(&english);
        }
}

static void test_english_without_a_catalogue(void **state)
{
        (void)state;
        for (enum reason r = 0; r < REASON_MAX; r++) /* but for the reference, which the table cannot tell */
                if (r != REASON_THROTTLED)
                        assert_string_equal(told(NULL, r, true, (struct words_facts){0}), reason_user_text(r, true));
        assert_string_equal(told(NULL, REASON_DISABLED, true, (struct words_facts){.helpdesk = "IT (4711)"}),
                            "Your account is disabled. Please contact IT (4711).");
        assert_non_null(strstr(told(NULL, REASON_DC_CERTIFICATE, false, (struct words_facts){.id = "01JD"}),
                               "the id of this sign-in: 01JD."));
}

static void test_filled_in(void **state)
{
        struct words *w = NULL;
        struct error err = {""};
        const struct words_facts facts = {.until = 1800000000};

        (void)state;
        assert_int_equal(load(&w, "", &err), -EBADMSG); /* empty */
        assert_int_equal(
                load(&w,
                     "# a comment\r\n\n language = fr\nhelpdesk=le support\r\n"
                     "throttled = Attendez [jusqu'à {until}|un peu].[ ({id})]\nlocked_out = Écrivez à {helpdesk}.",
                     &err),
                0);
        assert_string_equal(words_language(w), "fr");
        (void)setenv("TZ", "UTC", 1);
        tzset();
        assert_string_equal(told(w, REASON_THROTTLED, false, facts), "Attendez jusqu'à 08:00.");
        (void)setenv("TZ", "Europe/Berlin", 1);
        tzset();
        assert_string_equal(told(w, REASON_THROTTLED, false, (struct words_facts){.until = 1800000000, .id = "x"}),
                            "Attendez jusqu'à 09:00. (x)");
        assert_string_equal(told(w, REASON_THROTTLED, true, (struct words_facts){0}), "Attendez un peu.");
        assert_string_equal(told(w, REASON_LOCKED_OUT, true, facts), "Écrivez à le support.");
        assert_string_equal(told(w, REASON_LOCKED_OUT, true, (struct words_facts){.helpdesk = "Ada"}),
                            "Écrivez à Ada.");
        assert_string_equal(told(w, REASON_OK, true, facts), "You are signed in."); /* left out */
        words_free(w);
}

/* A state is told only where the password was proved, whatever the catalogue holds for it. */
static void test_tells_no_more_than_the_table(void **state)
{
        struct words *w = NULL;
        struct error err = {""};
        const struct words_facts facts = {.until = 0};
        char hidden[4096];

        (void)state;
        assert_int_equal(words_load(&w, SHIPPED "de.words", &err), 0);
        (void)snprintf(hidden, sizeof(hidden), "%s", told(w, REASON_REVOKED, false, facts));
        for (enum reason r = 0; r < REASON_MAX; r++) {
                if (strcmp(reason_user_text(r, false), reason_user_text(REASON_REVOKED, false)) == 0)
                        assert_string_equal(told(w, r, false, facts), hidden);
                if (strcmp(reason_user_text(r, false), reason_user_text(REASON_WRONG_PASSWORD, false)) == 0)
                        assert_string_equal(told(w, r, false, facts), "Der Benutzername oder das Kennwort ist falsch.");
        }
        words_free(w);
}

static void test_mistakes(void **state)
{
        static const struct {
                const char *text, *why;
        } rows[] = {
                {"language = de\nnonsense = x\n", ":2: nonsense: there is no such sentence"},
                {"unknown_user = x\n", ":1: unknown_user: there is no such sentence; it is told under wrong_password"},
                {"ok\n", ":1: a line is KEY = SENTENCE"},
                {"ok =\n", ":1: ok: a sentence has 1 to 600 bytes"},
                {"ok = {password}\n", ":1: ok: only {helpdesk}, {id}, {until}"},
                {"ok = [until {until}\n", ":1: ok: only"},
                {"ok = \xff\n", "not UTF-8"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct words *w = NULL;
                struct error err = {""};

                assert_int_equal(load(&w, rows[i].text, &err), -EBADMSG);
                if (!strstr(err.text, rows[i].why))
                        fail_msg("%s", err.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_shipped), cmocka_unit_test(test_english_without_a_catalogue),
                cmocka_unit_test(test_filled_in), cmocka_unit_test(test_tells_no_more_than_the_table),
                cmocka_unit_test(test_mistakes)};

        return cmocka_run_group_tests_name("validate/words", tests, make_file, remove_file);
}
