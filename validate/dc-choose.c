/*
 * Which DC is asked next: by what is known of it, never by chance.
 *
 * Invariant: of two that are alive the choice stays with the one that it fell on until the other is clearly
 * faster, so that two equal ones do not take turns.
 */
#include "validate/dc-internal.h"

#define SWITCH_MS 2 /* another DC must be faster by a quarter and this */

/* A DC that just failed a sign-in comes last until its probe told more. */
static unsigned rank(const struct dc *dc)
{
        if (dc->failures > 0 || dc->suspect)
                return 4;
        if (dc->skewed || dc->distrusted_until > loop_now(dc->dcs->tools.loop))
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
static bool better(const struct dc *a, const struct dc *b)
{
        if (!b || rank(a) != rank(b))
                return !b || rank(a) < rank(b);
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

struct dc *dcs_choose(struct dcs *dcs, uint32_t tried)
{
        struct dc *best = NULL, *current = dcs->current;

        for (size_t i = 0; i < dcs->n; i++) {
                struct dc *dc = &dcs->dcs[i];

                if (dc->state != DC_DEAD && !dc->gone && !(tried & dc_bit(dc)) && better(dc, best))
                        best = dc;
        }
        if (!best || rank(best) != 0)
                return best;
        if (current && !current->gone && rank(current) == 0 && !(tried & dc_bit(current)) &&
            !clearly_better(best, current))
                return current;
        if (tried == 0)
                dcs->current = best;
        return best;
}
