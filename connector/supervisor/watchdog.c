/*
 * Progress: each child says every second that its loop turns (FRAME_ALIVE); a child that does not is ended and
 * started again: within 5 s where sign-ins wait for it, later where only its disk does. systemd's watchdog is fed as
 * long as that works.
 */
#include "connector/supervisor/supervisor.h"

#include <systemd/sd-daemon.h>

#define TURN_MS 500
#define TURN_LEAST_MS 100
#define TURNS_LEAST 4 /* in the patience that systemd's time leaves */
#define PATIENCE_MS 5000
#define LONG_PATIENCE_MS 30000

void watchdog_turn(void *arg)
{
        struct supervisor *s = arg;
        uint64_t usec = 0;
        /* systemd's time, or 0 where its watchdog does not look */
        const uint64_t systemd_ms = sd_watchdog_enabled(0, &usec) > 0 ? usec / 1000 : 0, most = systemd_ms / 2;
        const uint64_t wanted = systemd_ms / (2 * TURNS_LEAST); /* several turns in the shortest patience */
        const uint64_t turn_ms = !wanted || wanted > TURN_MS ? TURN_MS
                                 : wanted < TURN_LEAST_MS    ? TURN_LEAST_MS
                                                             : wanted;
        bool well = true;

        for (size_t i = PART_LINK; i < PART_N; i++) {
                struct child *child = &s->children[i];
                /* So long may it be silent, and at most half of systemd's time. No sign-in waits for the ledger, whose
                 * disk may keep it for a while, nor for a child that starts, which reads files and keys, some of them
                 * in slow hardware. */
                const uint64_t ms = i == PART_LEDGER || !child->ready ? LONG_PATIENCE_MS : PATIENCE_MS;

                if (!child_watch(child, turn_ms, most && most < ms ? most : ms))
                        well = false;
        }
        if (well && systemd_ms)
                (void)sd_notify(0, "WATCHDOG=1");
        loop_timer_in(s->watchdog, turn_ms);
}
