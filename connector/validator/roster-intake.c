/*
 * The roster as it comes in from the relay, in parts, and as it was kept from last time.
 *
 * Invariant: v->roster carries the pinned tenant key's signature and its seq never goes down, across restarts
 * too; of two texts of one seq the one that came first stays. A roster that does not verify changes nothing but the
 * log.
 */
#include "connector/validator/validator.h"

#include <string.h>

#include "base/core/log.h"

static void adopt(struct validator *v, struct roster *roster)
{
        roster_free(v->roster);
        v->roster = roster;
        v->roster_seq = roster->seq;
        roster_text_hash(roster->text, strlen(roster->text), v->roster_hash);
        validator_apply_roster(v);
}

void validator_load_roster(struct validator *v)
{
        struct roster *roster = NULL;
        struct error err = {""};
        uint64_t seq = 0;

        if (v->store.fd < 0)
                return;
        if (roster_store_load(&v->store, v->enrolment.pin, v->enrolment.tenant, loop_wall(v->process.loop), &roster,
                              &seq, &err) != 0)
                log_warning("roster.store_damaged", KV_S("why", err.text));
        v->roster_seq = seq;
        memcpy(v->roster_hash, v->store.hash, sizeof(v->roster_hash));
        if (roster)
                adopt(v, roster);
        log_info("roster.loaded", KV_U("seq", seq), KV_S("valid", roster ? "yes" : "no"));
}

void validator_apply_roster(struct validator *v)
{
        for (size_t i = 0; v->validate && v->roster && i < v->domains->n; i++) {
                const char *name = v->config->domains[i].name;
                const struct roster_domain *d = roster_domain(v->roster, name);
                unsigned failures;
                size_t n = 0;

                validate_set_sid(v->validate, name, SID_OF_ROSTER, d ? d->sid : "");
                /* the guard's share: the roster's connectors that speak for a domain have the limit together */
                for (size_t k = 0; k < v->roster->n_connectors; k++)
                        n += roster_speaks_for(&v->roster->connectors[k], name);
                const int r = validate_set_connectors(v->validate, i, n, &failures);
                if (r < 0)
                        log_warning("guard.share_kept", KV_S("domain", name), KV_U("failures", failures));
                else if (r > 0)
                        log_info("guard.share", KV_S("domain", name), KV_U("connectors", n),
                                 KV_U("failures", failures));
        }
}

static void take_roster(struct validator *v, const char *text, size_t n)
{
        struct roster *roster = NULL;
        struct error err = {""};
        uint64_t missed;

        if (v->roster && v->roster->text && strlen(v->roster->text) == n && !memcmp(v->roster->text, text, n))
                return;
        if (roster_verify_kind(&roster, validate_scripted, text, n, v->enrolment.pin, v->enrolment.tenant,
                               loop_wall(v->process.loop), v->roster_seq, &err) < 0 ||
            roster_same_as_seen(roster, v->roster_seq, v->roster_hash, &err) < 0) {
                roster_free(roster);
                if (limit_take(&v->refusals, loop_now(v->process.loop), &missed)) { /* a relay can send any number */
                        log_warning("roster.refused", KV_S("why", err.text), KV_U("not_logged_before", missed));
                        validator_event(v, "roster.refused", err.text);
                }
                return;
        }
        if (v->store.fd >= 0 && roster_store_save(&v->store, text, n, &err) < 0)
                log_error("roster.not_stored", KV_S("why", err.text));
        log_info("roster.adopted", KV_U("seq", roster->seq), KV_U("connectors", roster->n_connectors),
                 KV_U("services", roster->n_services));
        adopt(v, roster);
        validator_event(v, "roster.adopted",
                        validator_in_roster(v) ? "this connector is in it" : "this connector is not in it");
        validator_publish(v, false);
}

void validator_roster_part(struct validator *v, const struct msg_in *m)
{
        uint64_t part = msg_get_u64(m, TAG_PART, 0), total = msg_get_u64(m, TAG_TOTAL, 0);
        const uint8_t *bytes;
        size_t n;

        bytes = msg_get_bytes(m, TAG_ROSTER, &n);
        if (part == 0)
                buffer_clear(&v->incoming);
        if (!bytes || total == 0 || total > ROSTER_TEXT_MAX || part * ROSTER_PART_MAX != v->incoming.len ||
            v->incoming.len + n > total || buffer_append(&v->incoming, bytes, n) < 0) {
                log_warning("roster.part_out_of_order", KV_U("part", part));
                buffer_clear(&v->incoming);
                return;
        }
        if (v->incoming.len < total)
                return;
        take_roster(v, v->incoming.data, v->incoming.len);
        buffer_free(&v->incoming);
}

const struct roster *validator_roster(void *arg)
{
        struct validator *v = arg;

        return v->roster && v->roster->exp >= loop_wall(v->process.loop) ? v->roster : NULL;
}

/* This connector in the roster that is valid now, or NULL. */
static const struct roster_member *myself(struct validator *v)
{
        const struct roster *roster = validator_roster(v);
        const struct roster_member *self = roster ? roster_connector(roster, key_kid(v->identity)) : NULL;

        return self && !strcmp(self->id, v->enrolment.id) ? self : NULL;
}

bool validator_in_roster(struct validator *v)
{
        return myself(v) != NULL;
}

bool validator_may_speak(void *arg, size_t domain)
{
        struct validator *v = arg;

        return domain < v->domains->n && roster_speaks_for(myself(v), v->config->domains[domain].name);
}
