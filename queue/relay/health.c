/*
 * What a running relay sees of its own faults: it looks every HEALTH_MS, logs what begins and what ends, and tells
 * systemd, whose `systemctl status` shows it; metrics.c shows the same.
 *
 * It mends nothing, and none of it stops a sign-in.
 */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "queue/relay/relay.h"

#define HEALTH_MS 10000

static const struct relay_fault *find(const struct relay_faults *faults, const struct relay_fault_info *info)
{
        for (size_t i = 0; i < faults->n; i++)
                if (faults->all[i].info == info)
                        return &faults->all[i];
        return NULL;
}

void relay_health_line(const struct relay_faults *faults, char *out, size_t cap)
{
        size_t at = 0;

        (void)snprintf(out, cap, "well");
        for (size_t i = 0; i < faults->n && at < cap; i++) {
                const struct relay_fault *f = &faults->all[i];

                at += (size_t)snprintf(out + at, cap - at, "%s%s: %s. %s", at ? " | " : "", f->info->code, f->text,
                                       f->info->remedy);
        }
}

/* What began since the last look, and what ended. */
static void tell_changes(const struct relay_faults *before, const struct relay_faults *now)
{
        for (size_t i = 0; i < now->n; i++) {
                const struct relay_fault *f = &now->all[i];

                if (find(before, f->info))
                        continue;
                if (f->info->stops)
                        log_error("fault", KV_S("code", f->info->code), KV_S("why", f->text),
                                  KV_S("remedy", f->info->remedy));
                else
                        log_warning("fault", KV_S("code", f->info->code), KV_S("why", f->text),
                                    KV_S("remedy", f->info->remedy));
        }
        for (size_t i = 0; i < before->n; i++)
                if (!find(now, before->all[i].info))
                        log_info("fault_over", KV_S("code", before->all[i].info->code));
}

void relay_health_look(void *arg)
{
        struct relay *relay = arg;
        struct relay_faults faults = {.n = 0};
        const int64_t now = loop_wall(relay->loop);
        const struct store_state *store = store_client_state(relay->store);
        const char *failed = store_client_fault(relay->store);
        char line[2048];

        relay_faults_certificate(&faults, http_tls_cert(relay->http), relay->config, now);
        relay_faults_ca(&faults, ca_cert(relay->ca), now);
        relay_faults_disk(&faults, relay->config->state_dir);
        if (relay->clock.doubtful)
                relay_faults_add(&faults, "clock_doubtful", "the clock of this host has jumped");
        if (!failed && !store->writable)
                failed = store->why[0] ? store->why : "nothing can be stored now";
        if (failed)
                relay_faults_add(&faults, "store_fails", "%s", failed);
        relay_events_look(relay->events, &faults);
        tell_changes(&relay->faults, &faults);
        relay->faults = faults;
        relay_health_line(&faults, line, sizeof(line));
        (void)sd_notifyf(0, "STATUS=%s", line);
        loop_timer_in(relay->health_timer, HEALTH_MS);
}
