/*
 * Progress: each child says every second that its loop turns (FRAME_ALIVE); one that does not is ended, and so started
 * again. systemd's watchdog is fed as long as that works.
 *
 * Silence is counted in turns of this loop, not by a clock: when the whole machine stood still, nobody was silent. A
 * child that cannot even be killed (its disk hangs in the kernel) stops the feeding, and systemd ends and starts all.
 */
#include "connector/supervisor/supervisor.h"

#include <systemd/sd-daemon.h>

#define SILENT_TURNS 30
#define PATIENCE_MS 30000 /* without systemd's watchdog; with it half of its time */
#define TURN_LEAST_MS 100

/* systemd's time, or 0 where its watchdog does not look. */
static uint64_t systemd_ms(void)
{
        uint64_t usec = 0;

        return sd_watchdog_enabled(0, &usec) > 0 ? usec / 1000 : 0;
}

static uint64_t patience_ms(void)
{
        const uint64_t ms = systemd_ms();

        return ms ? ms / 2 : PATIENCE_MS;
}

static void end_hung(struct child *child)
{
        log_error("process.hung", KV_S("process", child_name(child->id)), KV_I("pid", child->pid),
                  KV_U("silent_ms", patience_ms()));
        child->hung = true;
        child_end(child);
        caps_kill(child->pid, child->uid);
}

/* Whether the child makes progress, or at least can be ended. */
static bool look_at(struct child *child)
{
        if (child->state == CHILD_DOWN)
                return true;
        child->silent_turns++;
        if (child->state == CHILD_RUNNING && child->silent_turns > SILENT_TURNS)
                end_hung(child);
        return child->silent_turns <= 2 * SILENT_TURNS;
}

void watchdog_turn(void *arg)
{
        struct supervisor *s = arg;
        const uint64_t turn = patience_ms() / SILENT_TURNS;
        bool well = true;

        for (size_t i = 0; i < CHILD_N; i++)
                if (!look_at(&s->children[i]))
                        well = false;
        if (well && systemd_ms())
                (void)sd_notify(0, "WATCHDOG=1");
        loop_timer_in(s->watchdog, turn < TURN_LEAST_MS ? TURN_LEAST_MS : turn);
}
