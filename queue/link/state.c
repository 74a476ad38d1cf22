/*
 * The connector's state as it goes into reports: a checked copy, and what of it is news.
 *
 * Invariant: a state that breaks a limit changes nothing. What the words mean is the validator's and the
 * relay's matter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "certs/codec/json.h"
#include "queue/link/internal.h"

void link_state_clear(struct state_copy *s)
{
        report_clear(&s->report);
        free(s->identity);
        free(s->proof);
        *s = (struct state_copy){0};
}

static int copy_realms(struct report *to, const struct link_state *from)
{
        to->realms = calloc(from->n_realms + 1, sizeof(*to->realms));
        if (!to->realms)
                return -ENOMEM;
        for (size_t i = 0; i < from->n_realms; i++) {
                size_t n = strlen(from->realms[i].realm);

                if (n == 0 || n >= sizeof(to->realms[0].realm) || !utf8_valid(from->realms[i].realm, n))
                        return -EMSGSIZE;
                memcpy(to->realms[i].realm, from->realms[i].realm, n + 1);
                to->realms[i].ready = from->realms[i].ready;
                to->n_realms++;
        }
        return 0;
}

static int copy_reasons(struct report *to, const struct link_state *from)
{
        to->reasons = calloc(from->n_reasons + 1, sizeof(*to->reasons));
        if (!to->reasons)
                return -ENOMEM;
        for (size_t i = 0; i < from->n_reasons; i++) {
                size_t n = strlen(from->reasons[i]);

                if (n == 0 || !utf8_valid(from->reasons[i], n))
                        return -EMSGSIZE;
                wire_text_cut(to->reasons[to->n_reasons++], sizeof(to->reasons[0]), from->reasons[i], n);
        }
        return 0;
}

bool link_jose_text(const char *text)
{
        return *text && b64u_only(text, strlen(text), '.');
}

static int state_copy(struct state_copy *ret_s, const struct link_state *from)
{
        struct state_copy s = {0};
        size_t at;
        int r = 0;

        if (from->n_realms > REPORT_REALMS_MAX || from->n_reasons > REPORT_REASONS_MAX ||
            (from->statement && (strlen(from->statement) > STATEMENT_TEXT_MAX || !link_jose_text(from->statement))))
                return -EMSGSIZE;
        s.capacity = from->capacity < LINK_CAPACITY_MAX ? from->capacity : LINK_CAPACITY_MAX;
        s.report.load = from->load > 0.0 ? (from->load < 1.0 ? from->load : 1.0) : 0.0;
        r = copy_realms(&s.report, from);
        r = r < 0 ? r : copy_reasons(&s.report, from);
        if (r == 0 && from->statement)
                r = text_set(&s.report.statement, from->statement);
        if (r == 0 && from->identity && from->proof) {
                if (!link_jose_text(from->proof) || json_flaw(from->identity, strlen(from->identity), false, &at))
                        r = -EINVAL;
                r = r < 0 ? r : text_set(&s.identity, from->identity);
                r = r < 0 ? r : text_set(&s.proof, from->proof);
        }
        if (r < 0)
                link_state_clear(&s);
        else
                *ret_s = s;
        return r;
}

static bool same_text(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_report(const struct report *a, const struct report *b)
{
        if (a->n_realms != b->n_realms || a->n_reasons != b->n_reasons || !same_text(a->statement, b->statement))
                return false;
        for (size_t i = 0; i < a->n_realms; i++)
                if (a->realms[i].ready != b->realms[i].ready || strcmp(a->realms[i].realm, b->realms[i].realm) != 0)
                        return false;
        for (size_t i = 0; i < a->n_reasons; i++)
                if (strcmp(a->reasons[i], b->reasons[i]) != 0)
                        return false;
        return true;
}

int link_set_state(struct link *l, const struct link_state *state)
{
        struct state_copy s;
        bool first_identity, news;
        int r = state_copy(&s, state);

        if (r < 0)
                return r;
        news = s.capacity > l->state.capacity || !same_report(&s.report, &l->state.report);
        first_identity = s.identity && !l->state.identity;
        if (!same_text(s.report.statement, l->state.report.statement))
                l->statement_known = l->statement_posted = false;
        link_state_clear(&l->state);
        l->state = s;
        if (news)
                link_report_soon(l);
        if (first_identity)
                link_identity_announce(l);
        return 0;
}

void link_set_capacity(struct link *l, uint32_t capacity)
{
        const bool more = capacity > l->state.capacity;

        l->state.capacity = capacity < LINK_CAPACITY_MAX ? capacity : LINK_CAPACITY_MAX;
        if (more)
                link_report_soon(l);
}

int link_inherit(struct link *l, const struct link *from)
{
        const struct report *report = &from->state.report;
        struct link_realm *realms = calloc(report->n_realms + 1, sizeof(*realms));
        const char **reasons = calloc(report->n_reasons + 1, sizeof(*reasons));
        int r = -ENOMEM;

        if (realms && reasons) {
                for (size_t i = 0; i < report->n_realms; i++)
                        realms[i] = (struct link_realm){report->realms[i].realm, report->realms[i].ready};
                for (size_t i = 0; i < report->n_reasons; i++)
                        reasons[i] = report->reasons[i];
                r = link_set_state(l, &(struct link_state){.capacity = from->state.capacity,
                                                           .load = report->load,
                                                           .n_realms = report->n_realms,
                                                           .n_reasons = report->n_reasons,
                                                           .realms = realms,
                                                           .reasons = reasons,
                                                           .statement = report->statement,
                                                           .identity = from->state.identity,
                                                           .proof = from->state.proof});
        }
        free(realms);
        free(reasons);
        return r;
}
