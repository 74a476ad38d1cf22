/*
 * Hardening, seen through the kernel's eyes, in children because nothing of it can be undone. As another user
 * than root the change of user cannot be tried; that part then checks that nothing changes.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/process/harden.h"

static int process_is_protected(void)
{
        struct error err = {""};
        struct rlimit lim;

        child_check(harden_process(&err) == 0);
        child_check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        child_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        child_check(getrlimit(RLIMIT_CORE, &lim) == 0 && lim.rlim_cur == 0 && lim.rlim_max == 0);
        return 0;
}

/* The number behind a key of /proc/self/status, in base 16. */
static unsigned long status_hex(const char *key)
{
        FILE *f = fopen("/proc/thread-self/status", "re");
        unsigned long value = 1;
        char line[256];

        child_check(f != NULL);
        while (fgets(line, sizeof line, f))
                if (strncmp(line, key, strlen(key)) == 0)
                        value = strtoul(line + strlen(key), NULL, 16);
        (void)fclose(f);
        return value;
}

static int becomes_nobody(void)
{
        struct error err = {""};
        const gid_t extra[] = {4, 24};

        child_check(setgroups(2, extra) == 0);
        child_check(harden_process(&err) == 0);
        child_check(harden_become("nobody", HARDEN_NO_GROUPS, &err) == 0);
        const struct passwd *pw = getpwnam("nobody");
        child_check(pw && getuid() == pw->pw_uid && geteuid() == pw->pw_uid && getgid() == pw->pw_gid);
        child_check(getgroups(0, NULL) == 0);
        child_check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        child_check(status_hex("CapPrm:") == 0 && status_hex("CapEff:") == 0);
        child_check(status_hex("CapInh:") == 0 && status_hex("CapAmb:") == 0);
        child_check(setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0);
        child_check(harden_become("nobody", HARDEN_NO_GROUPS, &err) == 0);
        return 0;
}

/* Even when told to keep capabilities across the change. */
static int keepcaps_does_not_help(void)
{
        struct error err = {""};

        child_check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
        child_check(harden_become("nobody", HARDEN_NO_GROUPS, &err) == 0);
        child_check(status_hex("CapPrm:") == 0 && status_hex("CapEff:") == 0);
        return 0;
}

static int refuses_missing_and_root(void)
{
        struct error err = {""};

        child_check(harden_become("no-such-user-0", HARDEN_NO_GROUPS, &err) == -ENOENT);
        child_check(strstr(err.text, "no-such-user-0") && strstr(err.text, "useradd"));
        child_check(geteuid() == 0);
        child_check(harden_become("root", HARDEN_NO_GROUPS, &err) == -EINVAL);
        child_check(harden_become(NULL, HARDEN_NO_GROUPS, &err) == 0 && geteuid() == 0);
        return 0;
}

static int not_root_stays(void)
{
        struct error err = {""};
        uid_t uid = geteuid();

        child_check(harden_become("no-such-user-0", HARDEN_NO_GROUPS, &err) == 0);
        child_check(geteuid() == uid);
        return 0;
}

static void test_process(void **state)
{
        (void)state;
        assert_child_ok(process_is_protected);
}

static void test_become(void **state)
{
        (void)state;
        if (geteuid() != 0) {
                assert_child_ok(not_root_stays);
                skip();
        }
        assert_child_ok(becomes_nobody);
        assert_child_ok(keepcaps_does_not_help);
        assert_child_ok(refuses_missing_and_root);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_process),
                cmocka_unit_test(test_become),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
