/*
 * Which DC is asked next: by what is known of it, never by chance.
 *
 * Invariants: of two that are alive the choice stays with the one that it fell on until the other is clearly
 * faster, so that two equal ones do not take turns. And no sign-in finds out that a DC which had nothing to do for a
 * while has gone silent meanwhile: before the choice goes over to it a probe does.
 */
#include "validate/dc/internal.h"

#define SWITCH_MS 2  /* another DC must be faster by a quarter and this */
#define FRESH_MS 250 /* an answer that is no older needs no probe */

#define SILENT_MAX_MS 10000 /* so long a DC that fell silent is still worth waiting for, where there is no other */

/* For whom, and whether sickness counts: not where every DC that could be asked is sick. */
struct choice {
        uint64_t account;
        bool heed_sickness;
};

static bool may_be_asked(const struct dc *dc)
{
        return dc->state != DC_DEAD && !dc->gone;
}

static bool any_well(const struct dcs *dcs)
{
        for (size_t i = 0; i < dcs->n; i++)
                if (may_be_asked(&dcs->dcs[i]) && !dc_is_sick(&dcs->dcs[i]))
                        return true;
        return false;
}

/* A DC that just failed a sign-in comes last until its probe told more, and after it one that fails many. */
static unsigned rank(const struct dc *dc, const struct choice *c)
{
        if (c->heed_sickness && dc_rests(dc))
                return 5;
        if (dc->failures > 0 || dc->suspect)
                return 4;
        if (dc->skewed || dc->distrusted_until > loop_now(dc->dcs->tools.loop) ||
            (c->account && dc_failed_lately(dc, c->account)))
                return 3;
        if (dc->state == DC_RECOVERING)
                return 2;
        return dc->state == DC_ALIVE ? 0 : 1;
}

/* Configured or in the site before all others, then by the SRV record's priority. */
static uint32_t preference(const struct dc *dc)
{
        return (dc->listed || dc->in_site ? 0 : 0x10000u) + dc->priority;
}

/* Alive before unknown, then the preferred, then the faster, then the one listed first. */
static bool better(const struct dc *a, const struct dc *b, const struct choice *c)
{
        if (!b || rank(a, c) != rank(b, c))
                return !b || rank(a, c) < rank(b, c);
        if (preference(a) != preference(b))
                return preference(a) < preference(b);
        return a->ewma < b->ewma;
}

static bool clearly_better(const struct dc *a, const struct dc *than)
{
        if (preference(a) != preference(than))
                return preference(a) < preference(than);
        return a->ewma + a->ewma / 4 + SWITCH_MS * DC_EWMA_ONE < than->ewma;
}

/* Whether sign-ins may go on with current though best looks faster: best's last answer may be old. */
static bool stay(const struct dc *current, struct dc *best)
{
        if (!clearly_better(best, current))
                return true;
        if (loop_now(best->dcs->tools.loop) - best->answered_at <= FRESH_MS)
                return false;
        dc_suspect(best);
        return true;
}

void dcs_reconsider(struct dc *dc)
{
        struct dcs *dcs = dc->dcs;
        const struct choice c = {.heed_sickness = any_well(dcs)};

        if (dcs->current && dcs->current != dc && !dc->gone && rank(dc, &c) == 0 && rank(dcs->current, &c) == 0 &&
            clearly_better(dc, dcs->current))
                dcs->current = dc;
}

bool dcs_has_other(const struct dcs *dcs, const struct dc *than)
{
        for (size_t i = 0; i < dcs->n; i++)
                if (&dcs->dcs[i] != than && may_be_asked(&dcs->dcs[i]))
                        return true;
        return false;
}

struct dc *dcs_choose(struct dcs *dcs, uint32_t tried, uint64_t account)
{
        const struct choice c = {.account = account, .heed_sickness = any_well(dcs)};
        struct dc *best = NULL, *current = dcs->current;

        for (size_t i = 0; i < dcs->n; i++) {
                struct dc *dc = &dcs->dcs[i];

                if (may_be_asked(dc) && !(tried & dc_bit(dc)) && better(dc, best, &c))
                        best = dc;
        }
        /* of several that are dead, one that fell silent so lately that it may only have stood still */
        for (size_t i = 0; !best && tried == 0 && i < dcs->n; i++) {
                struct dc *dc = &dcs->dcs[i];

                if (!dc->gone && dc->silent_since > 0 && loop_now(dcs->tools.loop) - dc->silent_since <= SILENT_MAX_MS)
                        return dc;
        }
        if (!best || rank(best, &c) != 0)
                return best;
        if (current && current != best && !current->gone && rank(current, &c) == 0 && !(tried & dc_bit(current)) &&
            stay(current, best))
                return current;
        if (tried == 0 && !(current && account && dc_failed_lately(current, account)))
                dcs->current = best;
        return best;
}
