/*
 * The memory of a domain's DCs: who is alive, how fast they answer, whom to ask next. Internal to validate/.
 *
 * Each DC is probed in the background, never with a sign-in: at start, every 15 s while it is alive and
 * quiet, every second backing off to ten while it is dead.
 */
#pragma once

#include "validate/dns.h"
#include "validate/method.h"

enum dc_state { DC_UNKNOWN = 0, DC_ALIVE, DC_DEAD };

/* What the probes work with; borrowed. */
struct dc_tools {
        struct loop *loop;
        struct dns *dns;
        struct ldap_pools *ldap;
        struct krb *krb; /* NULL when no domain uses Kerberos */
};

struct dc;
struct dcs;

/* Called from the loop when the domain became ready or stopped being so. */
typedef void dcs_changed_fn(void *arg);

/* One memory per domain; domain and tools are borrowed. 0 or -ENOMEM. The first probes start at the next
 * turn. */
int dcs_new(struct dcs **ret_dcs, const struct dc_tools *tools, const struct domain_config *domain,
            dcs_changed_fn *fn, void *arg);
struct dcs *dcs_free(struct dcs *dcs);

/*
 * The DC to ask, leaving out those whose bit is in tried; NULL when none is left that isn't known to be dead.
 * Alive ones come first, the fastest of them, and stay the choice until another is clearly faster.
 */
struct dc *dcs_choose(struct dcs *dcs, uint32_t tried);
/* Why dcs_choose found nobody: one reason that all share, or REASON_NO_DC, and a sentence in out->context. */
void dcs_explain(const struct dcs *dcs, struct outcome *out);
bool dcs_ready(const struct dcs *dcs, const char **ret_why);
size_t dcs_count(const struct dcs *dcs);
const struct dc *dcs_at(const struct dcs *dcs, size_t i);

uint32_t dc_bit(const struct dc *dc);
const char *dc_host(const struct dc *dc);
const struct dc_config *dc_get_config(const struct dc *dc);
const char *dc_state_text(const struct dc *dc);
uint32_t dc_ewma_ms(const struct dc *dc);
/* The id of the reason and the sentence of its latest failure; "" where it answered since, or never failed. */
const char *dc_failure(const struct dc *dc);
const char *dc_failure_detail(const struct dc *dc);
/* What a sign-in saw: tells answers, failures and the rest apart by the reason. */
void dc_note(struct dc *dc, const struct outcome *outcome);
