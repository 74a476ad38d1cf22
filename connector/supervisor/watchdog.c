/*
 * Progress: each child says every second that its loop turns (FRAME_ALIVE); one that does not is ended, and so started
 * again: within 5 s where sign-ins wait for it, later where only its disk does. systemd's watchdog is fed as long as
 * that works.
 */
#include "connector/supervisor/supervisor.h"

#include <systemd/sd-daemon.h>

#define TURN_MS 500
#define TURN_LEAST_MS 100
#define TURNS_LEAST 4 /* in the patience that systemd's time leaves */
#define PATIENCE_MS 5000
#define LONG_PATIENCE_MS 30000

/* systemd's time, or 0 where its watchdog does not look. */
static uint64_t systemd_ms(void)
{
        uint64_t usec = 0;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec / 1000 : 0;
}

/*
 * So long may a child be silent, and at most half of systemd's time. No sign-in waits for the ledger, whose disk may
 * keep it for a while, nor for a child that starts, which reads files and keys, some of them in slow hardware.
 */
static uint64_t patience_of(const struct child *child)
{
        const uint64_t ms = child->part == PART_LEDGER || !child->ready ? LONG_PATIENCE_MS : PATIENCE_MS;
        const uint64_t most = systemd_ms() / 2;

        return most && most < ms ? most : ms;
}

/* Several of them in the shortest patience. */
static uint64_t turn_ms(void)
{
        const uint64_t ms = systemd_ms() / (2 * TURNS_LEAST);

        return !ms || ms > TURN_MS ? TURN_MS : ms < TURN_LEAST_MS ? TURN_LEAST_MS : ms;
}

void watchdog_turn(void *arg)
{
        struct supervisor *s = arg;
        bool well = true;

        for (size_t i = PART_LINK; i < PART_N; i++)
                if (!child_watch(&s->children[i], turn_ms(), patience_of(&s->children[i])))
                        well = false;
        if (well && systemd_ms())
                (void)sd_notify(0, "WATCHDOG=1");
        loop_timer_in(s->watchdog, turn_ms());
}
