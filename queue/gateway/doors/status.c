/*
 * What the gateway is doing, for `postern-gateway status`: GET /v1/status on a UNIX socket.
 *
 * Names and addresses are counted here and not told, and no id but that of the last sign-in that nobody could decide.
 */
#include <string.h>

#include "queue/gateway/doors/doors-internal.h"

void doors_status_note(struct doors *d, const struct door_answer *a)
{
        struct doors_status *s = &d->status;

        if (strcmp(a->verdict, "accepted") == 0) {
                s->accepted++;
        } else if (strcmp(a->verdict, "refused") == 0) {
                s->refused++;
        } else {
                s->unavailable++;
                s->fault_ms = loop_now(d->process.loop);
                (void)snprintf(s->fault, sizeof(s->fault), "%s", a->reason);
                (void)snprintf(s->fault_id, sizeof(s->fault_id), "%s", a->id);
        }
        s->remembered += a->remembered;
}

void doors_status_write(struct doors *d, struct json_writer *w)
{
        const struct doors_status *s = &d->status;
        const uint64_t now = loop_now(d->process.loop);
        const char *why = "";
        const bool ready = doors_ready(d, &why);

        json_write_open(w, NULL, '{');
        json_write_bool(w, "ready", ready);
        json_write_opt(w, "why", ready ? "" : why);
        json_write_opt(w, "warning", d->warning);
        json_write_opt(w, "records", doors_events_warning(d));
        json_write_int(w, "up_s", (int64_t)(now - s->began_ms) / 1000);
        json_write_open(w, "sign_ins", '{');
        json_write_int(w, "accepted", (int64_t)s->accepted);
        json_write_int(w, "refused", (int64_t)s->refused);
        json_write_int(w, "unavailable", (int64_t)s->unavailable);
        json_write_int(w, "remembered", (int64_t)s->remembered);
        json_write_close(w, '}');
        json_write_int(w, "in_flight", (int64_t)d->n_inquiries);
        json_write_int(w, "in_flight_max", d->config->in_flight);
        json_write_int(w, "names_stopped", limits_stopped(d->names, now));
        json_write_int(w, "sources_stopped", limits_stopped(d->sources, now));
        if (s->fault_ms) {
                json_write_open(w, "last_fault", '{');
                json_write_str(w, "reason", s->fault);
                json_write_str(w, "id", s->fault_id);
                json_write_int(w, "ago_s", (int64_t)(now - s->fault_ms) / 1000);
                json_write_close(w, '}');
        }
        json_write_close(w, '}');
}
