/*
 * The memory of a domain's DCs: who is alive, how fast they answer, whom to ask next. Internal to validate/.
 *
 * Each DC is probed in the background, never with a sign-in: at start, every 15 s while it is alive and
 * quiet, at once when a sign-in waits too long for it, every second backing off to ten while it is dead. A
 * dead one that answers again is recovering until a second probe was answered: only where no other is alive
 * does it get sign-ins before (a circuit breaker, half open). What sign-ins come to says more than probes do: one
 * that answers probes and fails several accounts' sign-ins is sick (dc/health.c).
 */
#pragma once

#include "base/dns/dns.h"
#include "validate/types/method.h"

enum dc_state { DC_UNKNOWN = 0, DC_ALIVE, DC_RECOVERING, DC_DEAD };

#define DC_SUSPECT_MS 700 /* a DC that a sign-in waits for has so long to answer a probe, or anything else */

/* What the probes work with; borrowed. */
struct dc_tools {
        struct loop *loop;
        struct dns *dns;
        struct method_instance *methods[METHODS]; /* NULL where no domain uses it */
};

struct dc;
struct dcs;

/* Called from the loop when the domain became ready or stopped being so. */
typedef void dcs_changed_fn(void *arg);
/* Called from the loop when a DC was found silent: it took a probe and did not answer. */
typedef void dcs_silent_fn(void *arg, struct dc *dc);

/* Called from the loop when a DC told a probe which SID its domain has. */
typedef void dcs_sid_fn(void *arg, const struct domain_config *domain, const char *sid);

struct dcs_events {
        dcs_changed_fn *changed;
        dcs_silent_fn *silent;
        dcs_sid_fn *sid;
        void *arg;
};

/* One memory per domain; domain and tools are borrowed. 0 or -ENOMEM. The first probes start at the next
 * turn. */
int dcs_new(struct dcs **ret_dcs, const struct dc_tools *tools, const struct domain_config *domain,
            const struct dcs_events *events);
struct dcs *dcs_free(struct dcs *dcs);

/* A DC that SRV records name. */
struct dc_found {
        char host[257];
        bool in_site;
        uint16_t priority; /* RFC 2782: the lower first */
};
/* Takes in what discovery found, the preferred first: new DCs are probed, those that are neither found nor configured
 * any more get no sign-ins. left_out: so many more were found than found[] holds. */
void dcs_update(struct dcs *dcs, const struct dc_found *found, size_t n, size_t left_out);
/* How many DCs that discovery found have no place. */
size_t dcs_left_out(const struct dcs *dcs);
/* Discovery found nothing this time: what is known stays; where nothing is, why tells the reason. */
void dcs_undiscovered(struct dcs *dcs, const char *why);
/* That reason, "" where discovery found some or did not look. */
const char *dcs_undiscovered_why(const struct dcs *dcs);
/* A try holds on to its DC, whose place is not given to another meanwhile. */
void dc_hold(struct dc *dc);
void dc_release(struct dc *dc);

/*
 * The DC to ask for this account (0: for nobody's sign-in), leaving out those whose bit is in tried; NULL when none is
 * left that isn't known to be dead. Alive ones come first, of those the configured and the site's, of those the
 * fastest, which stays the choice until another is clearly faster. One that fails sign-ins comes last, and so does, for
 * the account, the one that failed its latest. Where all are dead, one that fell silent a moment ago is given.
 */
struct dc *dcs_choose(struct dcs *dcs, uint32_t tried, uint64_t account);
/* Whether a sign-in may go to another DC than this one: then time is better spent there than in waiting. */
bool dcs_has_other(const struct dcs *dcs, const struct dc *than);
/* Why dcs_choose found nobody: one reason that all share, or REASON_NO_DC, and a sentence in out->context. */
void dcs_explain(const struct dcs *dcs, struct outcome *out);
bool dcs_ready(const struct dcs *dcs, const char **ret_why);
const struct dc *dcs_at(const struct dcs *dcs, size_t i);

uint32_t dc_bit(const struct dc *dc);
const char *dc_host(const struct dc *dc);
/* Its address. False: it must be asked for first. */
bool dc_address(const struct dc *dc, struct dns_address *ret_address);
/* The same, or asks for it: fn is called later. 1: known; 0: asked; -errno. */
int dc_resolve(const struct dc *dc, struct dns_address *ret_address, struct dns_query **ret_query, dns_fn *fn,
               void *arg);
/* All that is told of it but its domain; the texts are the DC's. */
void dc_describe(const struct dc *dc, struct validate_dc *ret_dc);
/* Writes what its silence was into reason, dc and context of out. */
void dc_explain(const struct dc *dc, struct outcome *out);
/* What a sign-in saw: tells answers, failures and the rest apart by the reason. */
void dc_note(struct dc *dc, const struct outcome *outcome);
/* What a sign-in of this account came to: whether the DC fails those of several. */
void dc_note_sign_in(struct dc *dc, uint64_t account, const struct outcome *outcome);
/* A sign-in's password goes to the DC now. */
void dc_asked(struct dc *dc);
/* A sign-in that went to it still waits: a failure where the DC answers nobody. */
void dc_note_waiting(struct dc *dc, uint64_t account);
/* The DC showed to a sign-in that it is at work: however long others wait for it, it is not silent. */
void dc_heard(struct dc *dc);
/* A sign-in waits for this DC longer than it should, or could go to it, which had none for a while: it is probed at the
 * loop's next turn and gets no new ones until it answered. Never calls back from inside. */
void dc_suspect(struct dc *dc);
/* How long a sign-in should wait for this DC before another is prepared beside it, or it is suspected: ms. */
uint32_t dc_patience_ms(const struct dc *dc);
