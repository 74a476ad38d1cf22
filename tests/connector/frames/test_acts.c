/*
 * Acts that wait for the ledger: each is taken over once, however often the ledger's channel was full in between.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connector/frames/acts.h"

struct taker {
        unsigned room;  /* acts that it takes yet */
        char taken[64]; /* the last character of each one's detail */
};

static int take(void *arg, const char *line)
{
        struct taker *t = arg;
        const char *detail = strstr(line, "\"detail\":\"detail ");

        assert_non_null(detail);
        if (t->room == 0)
                return -EAGAIN;
        t->room--;
        strncat(t->taken, detail + strlen("\"detail\":\"detail "), 1);
        return 0;
}

static void note(const char *folder, const char *detail)
{
        struct error err = {""};

        assert_int_equal(acts_note(folder, "domain.repin", detail, &err), 0);
}

static void test_each_comes_once(void **state)
{
        char folder[] = "/tmp/postern-acts-XXXXXX", path[64];
        struct taker t = {.room = 2};
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/acts", folder);
        assert_int_equal(acts_each(folder, take, &t), 0); /* there is no file */
        note(folder, "detail a");
        note(folder, "detail b");
        note(folder, "detail c");
        assert_int_equal(acts_each(folder, take, &t), -EAGAIN);
        assert_int_equal(acts_each(folder, take, &t), -EAGAIN);
        note(folder, "detail d");
        t.room = 1;
        assert_int_equal(acts_each(folder, take, &t), -EAGAIN);
        t.room = 9;
        assert_int_equal(acts_each(folder, take, &t), 0);
        assert_string_equal(t.taken, "abcd");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_comes_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
