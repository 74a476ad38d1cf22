/*
 * A wall clock that a test can set, for a process that this library is preloaded into. $TEST_CLOCK names a file of
 * eight bytes, the seconds that the clock is off, which lab_clock.py writes. The file is mapped when the process
 * starts, so a process that may open no file any more follows it, too. The monotonic clock stays as it is.
 *
 * The kernel is asked directly: whatever else is preloaded (a sanitizer) may ask for the time before it is ready
 * itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t right = 0;
static const volatile int64_t *off = &right;

__attribute__((constructor)) static void follow(void)
{
        const char *path = getenv("TEST_CLOCK");
        const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        void *map = mmap(NULL, sizeof(*off), PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
                off = map;
        (void)close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
        const int r = (int)syscall(SYS_clock_gettime, clock, ret);

        if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                ret->tv_sec += *off;
        return r;
}

time_t time(time_t *ret)
{
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
        struct timespec now = {0};

        (void)zone;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        *ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
        return 0;
}

/* The kernel waits by its own clock. Who made the condition wait by the monotonic one is not in use here. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
        static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
        struct timespec end = *until;

        if (!real)
                *(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        end.tv_sec -= *off;
        return real ? real(cond, mutex, &end) : ENOSYS;
}
