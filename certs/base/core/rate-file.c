/*
 * A ring of times in a file, locked while one is taken.
 *
 * A time that is still to come (somebody set the clock back) counts as free, so that no step of the clock shuts
 * anything for long. What stands in the file is believed: whoever can write it needs no turn.
 */
#include "base/core/rate-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#define MINUTE_S 60

int rate_file_take(const char *path, unsigned n, struct error *err)
{
        int64_t times[RATE_FILE_MAX] = {0}, now = (int64_t)time(NULL);
        unsigned oldest = 0;

        _cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        (void)!pread(fd, times, n * sizeof(times[0]), 0);
        for (unsigned i = 1; i < n; i++)
                if (times[i] < times[oldest])
                        oldest = i;
        if (times[oldest] > now - MINUTE_S && times[oldest] <= now)
                return error_fail(err, -EAGAIN, "%u questions in a minute are enough; ask again in %lld s", n,
                                  (long long)(times[oldest] + MINUTE_S - now));
        times[oldest] = now;
        return pwrite(fd, times, n * sizeof(times[0]), 0) != (ssize_t)(n * sizeof(times[0]))
                       ? error_fail(err, -EIO, "%s: %s", path, strerror(errno))
                       : 0;
}
