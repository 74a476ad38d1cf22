/*
 * What is handed on as a descriptor: whole, sealed, or refused with a reason.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/process/hand.h"

static void test_whole_and_sealed(void **state)
{
        struct error err = {""};
        char back[16] = "";
        int fd = hand_memfd("text", "whole", 5, &err);

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(read(fd, back, sizeof back), 5);
        assert_string_equal(back, "whole");
        assert_true(write(fd, "more", 4) < 0);
        assert_int_equal(close(fd), 0);
}

/* The kernel takes the first bytes of a write and says so: that is no success, and 0 would be a descriptor. */
static int a_part_is_a_failure(void)
{
        const struct rlimit four = {4, 4};
        struct error err = {""};

        child_check(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        child_check(setrlimit(RLIMIT_FSIZE, &four) == 0);
        errno = 0;
        child_check(hand_memfd("text", "more than four", 14, &err) == -EFBIG);
        child_check(strstr(err.text, "cannot hand on text: ") != NULL);
        return 0;
}

static void test_cut_off(void **state)
{
        (void)state;
        assert_child_ok(a_part_is_a_failure);
}

/* The disk of the folder is full: the lock holds all the same, and only the pid is missing. */
static int a_full_disk_locks(void)
{
        const struct rlimit none = {0, 0};
        char folder[] = "/tmp/postern-hand-XXXXXX", path[64];
        struct error err = {""};
        int fd = -1, other = -1;

        child_check(mkdtemp(folder) != NULL);
        (void)snprintf(path, sizeof path, "%s/lock", folder);
        child_check(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        child_check(setrlimit(RLIMIT_FSIZE, &none) == 0);
        const int r = hand_lock(path, &fd, &err), again = hand_lock(path, &other, &err);
        const bool locked = hand_locked(path);
        child_check(unlink(path) == 0 && rmdir(folder) == 0);
        child_check(r == 0 && fd >= 0);
        child_check(locked && again == -EBUSY && other == -1);
        child_check(close(fd) == 0);
        return 0;
}

static void test_lock_on_a_full_disk(void **state)
{
        (void)state;
        assert_child_ok(a_full_disk_locks);
}

/* Whoever looks whether it is locked stands in nobody's way, however often. */
static int looks_keep_nobody_out(void)
{
        char folder[] = "/tmp/postern-hand-XXXXXX", path[64];
        struct error err = {""};
        unsigned refused = 0;
        int fd = -1;

        child_check(mkdtemp(folder) != NULL);
        (void)snprintf(path, sizeof path, "%s/lock", folder);
        child_check(hand_lock(path, &fd, &err) == 0 && close(fd) == 0);
        const pid_t looking = fork();
        if (looking == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
                for (;;)
                        (void)hand_locked(path);
        for (int i = 0; i < 2000 && !refused; i++) {
                refused = hand_lock(path, &fd, &err) < 0;
                if (!refused)
                        (void)close(fd);
        }
        child_check(kill(looking, SIGKILL) == 0 && waitpid(looking, NULL, 0) == looking);
        child_check(unlink(path) == 0 && rmdir(folder) == 0);
        child_check(refused == 0);
        return 0;
}

static void test_looks(void **state)
{
        (void)state;
        assert_child_ok(looks_keep_nobody_out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole_and_sealed),
                cmocka_unit_test(test_cut_off),
                cmocka_unit_test(test_lock_on_a_full_disk),
                cmocka_unit_test(test_looks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
