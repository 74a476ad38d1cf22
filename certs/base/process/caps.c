/*
 * The capabilities of the supervisor.
 *
 * Root keeps only the right to change users, and makes, gives and ends as those users what is theirs; the
 * bounding set shrinks to the same, so that no child can have more. Children drop the rest themselves (harden.c).
 */
#include "base/process/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/process/harden.h"

int caps_reduce(int also, struct error *err)
{
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2];
        uint32_t kept = 1u << CAP_SETGID | 1u << CAP_SETUID;

        if (geteuid() != 0)
                return 0;
        if (also != CAPS_NONE)
                kept |= 1u << also;
        /* The bounding set first, which needs CAP_SETPCAP; in a container that lacks it the set is small already. */
        for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                if ((cap >= 32 || !(kept >> cap & 1)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
                        return error_fail(err, -errno, "cannot drop the capability %d: %s", cap, strerror(errno));
        if (syscall(SYS_capget, &head, data) < 0)
                return error_fail(err, -errno, "cannot read the capabilities: %s", strerror(errno));
        data[0].effective &= kept;
        data[0].permitted &= kept;
        data[0].inheritable = 0;
        data[1] = (struct __user_cap_data_struct){0, 0, 0};
        if (syscall(SYS_capset, &head, data) < 0)
                return error_fail(err, -errno, "cannot drop capabilities: %s", strerror(errno));
        return 0;
}

static struct parent_tie tie; /* of this process */

void caps_note_parent(void)
{
        tie = parent_tie_note();
}

void caps_back(void)
{
        if (seteuid(getuid()) < 0 || setegid(getgid()) < 0)
                abort(); /* another user's process must not go on as the supervisor */
        parent_tie_renew(&tie);
}

void caps_kill(pid_t pid, uid_t uid)
{
        if (kill(pid, SIGKILL) == 0 || errno != EPERM || seteuid(uid) < 0)
                return;
        (void)kill(pid, SIGKILL);
        caps_back();
}
