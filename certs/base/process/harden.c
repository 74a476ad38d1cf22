/*
 * What a process gives up before it reads anything from outside.
 *
 * Each step is checked, and a step that fails ends the start: there is no half-protected process. Confinement
 * by seccomp, namespaces and the unit file is added by the processes themselves, not here.
 */
#include "base/process/harden.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/log.h"

struct parent_tie parent_tie_note(void)
{
        struct parent_tie tie = {0, getppid()};

        return prctl(PR_GET_PDEATHSIG, &tie.signo, 0, 0, 0) < 0 ? (struct parent_tie){0, 0} : tie;
}

void parent_tie_renew(const struct parent_tie *tie)
{
        if (!tie->signo)
                return;
        (void)prctl(PR_SET_PDEATHSIG, tie->signo, 0, 0, 0);
        if (getppid() != tie->parent)
                (void)raise(tie->signo);
}

/* Changing the uid sets the flag back, so this runs after it as well. */
static int become_undumpable(struct error *err)
{
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
                return error_fail(err, -EPERM, "cannot make the process undumpable: %s", strerror(errno));
        return 0;
}

void harden_files(unsigned long wanted)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning("files.limit", KV_S("why", strerror(errno)));
}

int harden_process(struct error *err)
{
        const struct rlimit none = {0, 0};

        if (setrlimit(RLIMIT_CORE, &none) < 0)
                return error_fail(err, -errno, "cannot forbid core files: %s", strerror(errno));
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_fail(err, -errno, "cannot forbid new privileges: %s", strerror(errno));
        return become_undumpable(err);
}

static int find_user(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
        errno = 0;
        const struct passwd *pw = getpwnam(user);
        int code = errno;

        if (!pw && code != 0 && code != ENOENT)
                return error_fail(err, -code, "cannot look up the user %s: %s", user, strerror(code));
        if (!pw)
                return error_fail(err, -ENOENT,
                                  "there is no user %s; make it with: useradd --system --user-group --no-create-home "
                                  "--shell /usr/sbin/nologin %s",
                                  user, user);
        if (pw->pw_uid == 0)
                return error_fail(err, -EINVAL, "the user %s is root; name one without powers", user);
        *ret_uid = pw->pw_uid;
        *ret_gid = pw->pw_gid;
        return 0;
}

int harden_powerless(struct error *err)
{
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capset, &head, data) < 0)
                return error_fail(err, -errno, "cannot drop capabilities: %s", strerror(errno));
        return 0;
}

/* Tries the ways back; each must be refused. */
static int check_no_way_back(uid_t uid, gid_t gid, bool grouped, struct error *err)
{
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}}; /* valgrind knows of one of them alone */
        uid_t r, e, s;
        gid_t rg, eg, sg;

        if (getresuid(&r, &e, &s) < 0 || r != uid || e != uid || s != uid || getresgid(&rg, &eg, &sg) < 0 ||
            rg != gid || eg != gid || sg != gid || (!grouped && getgroups(0, NULL) != 0))
                return error_fail(err, -EPERM, "the change of user did not take hold");
        if (syscall(SYS_capget, &head, data) < 0 || data[0].permitted || data[1].permitted || data[0].inheritable ||
            data[1].inheritable)
                return error_fail(err, -EPERM, "capabilities are left after the change of user");
        if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || (gid != 0 && setresgid((gid_t)-1, 0, (gid_t)-1) == 0))
                return error_fail(err, -EPERM, "the process could become root again");
        return 0;
}

int harden_become(const char *user, enum harden_groups groups, struct error *err)
{
        const bool grouped = groups == HARDEN_OWN_GROUPS;
        const struct parent_tie tie = parent_tie_note();
        uid_t uid = (uid_t)-1;
        gid_t gid = (gid_t)-1;

        if (!user || geteuid() != 0)
                return 0;
        int r = find_user(user, &uid, &gid, err);
        if (r < 0)
                return r;
        if ((grouped ? initgroups(user, gid) : setgroups(0, NULL)) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0)
                return error_fail(err, -errno, "cannot become the user %s: %s", user, strerror(errno));
        r = harden_powerless(err);
        if (r == 0)
                r = check_no_way_back(uid, gid, grouped, err);
        if (r == 0)
                r = become_undumpable(err);
        parent_tie_renew(&tie);
        return r;
}
