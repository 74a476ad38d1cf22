/*
 * Owns what is known of the domains' SIDs.
 *
 * Invariants: a domain has at most one SID in force, and no SID is in force for two domains: of two that claim one,
 * the stronger source has it, and of equals neither. Only domains of Active Directory have any.
 */
#include "validate/types/domain-sid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/sid.h"

struct known {
        const char *name;
        bool ad;
        char by[SID_SOURCES][SID_TEXT_MAX]; /* by source; "": it has none */
        bool kept;                          /* the learnt one is of an earlier run */
        uint64_t learnt_at;                 /* else: when */
        char seen[SID_TEXT_MAX];            /* what a DC said last that is not the one in force, or "" */
};

struct domain_sids {
        size_t n;
        struct known known[];
};

int domain_sids_new(struct domain_sids **ret_sids, const struct domain_config *domains, size_t n)
{
        struct domain_sids *sids = calloc(1, sizeof *sids + n * sizeof sids->known[0]);

        if (!sids)
                return -ENOMEM;
        sids->n = n;
        for (size_t i = 0; i < n; i++) {
                sids->known[i].name = domains[i].name;
                sids->known[i].ad = domains[i].directory == DIRECTORY_AD;
                domain_sids_set(sids, i, SID_CONFIGURED, domains[i].sid ? domains[i].sid : "");
        }
        *ret_sids = sids;
        return 0;
}

struct domain_sids *domain_sids_free(struct domain_sids *sids)
{
        free(sids);
        return NULL;
}

/* Where the domain's SID comes from, whether or not it is in force. */
static enum sid_source source_of(const struct known *k)
{
        return k->by[SID_OF_ROSTER][0]    ? SID_OF_ROSTER
               : k->by[SID_CONFIGURED][0] ? SID_CONFIGURED
               : k->by[SID_LEARNT][0]     ? SID_LEARNT
                                          : SID_UNKNOWN;
}

static const char *claim_of(const struct known *k)
{
        return k->by[source_of(k)];
}

/* Whether what people wrote down says which SID is the domain's. */
static bool is_written(const struct known *k)
{
        return source_of(k) == SID_OF_ROSTER || source_of(k) == SID_CONFIGURED;
}

/* Whether k's claim to a SID goes before another's; of two that are learnt the clearly older one's. */
static bool goes_before(const struct known *k, const struct known *other)
{
        if (is_written(k) || is_written(other))
                return is_written(k) && !is_written(other);
        if (k->kept || other->kept)
                return k->kept && !other->kept;
        return k->learnt_at + SID_SETTLE_MS < other->learnt_at;
}

/* The other domain that claims the same SID and does not stand back; NULL: there is none. */
static const struct known *rival_of(const struct domain_sids *sids, const struct known *k)
{
        for (size_t i = 0; i < sids->n; i++) {
                const struct known *other = &sids->known[i];

                if (other != k && claim_of(k)[0] && strcmp(claim_of(other), claim_of(k)) == 0 &&
                    strcmp(other->name, k->name) != 0 && !goes_before(k, other))
                        return other;
        }
        return NULL;
}

bool domain_sids_set(struct domain_sids *sids, size_t i, enum sid_source source, const char *sid)
{
        struct known *k = &sids->known[i];
        bool changed;

        if (!k->ad || source == SID_UNKNOWN)
                return false;
        if (!sid_is_domain(sid))
                sid = "";
        changed = strcmp(k->by[source], sid) != 0;
        snprintf(k->by[source], sizeof k->by[source], "%s", sid);
        if (source == SID_LEARNT)
                k->kept = sid[0] != '\0';
        if (changed && (strcmp(k->seen, claim_of(k)) == 0 || source_of(k) == SID_UNKNOWN))
                k->seen[0] = '\0';
        return changed;
}

bool domain_sids_told(struct domain_sids *sids, size_t i, const char *sid, uint64_t now)
{
        struct known *k = &sids->known[i];

        if (!k->ad || !sid_is_domain(sid) || strcmp(claim_of(k), sid) == 0)
                return false;
        if (source_of(k) == SID_UNKNOWN) {
                snprintf(k->by[SID_LEARNT], sizeof k->by[SID_LEARNT], "%s", sid);
                k->kept = false;
                k->learnt_at = now;
                return true;
        }
        if (strcmp(k->seen, sid) == 0)
                return false;
        snprintf(k->seen, sizeof k->seen, "%s", sid);
        return true;
}

enum sid_answer domain_sids_judge(struct domain_sids *sids, size_t i, const char *account, uint64_t now)
{
        const char *end = sid_skip_domain(account); /* NULL: it has no domain's part */
        struct known *k = &sids->known[i];
        char domain[SID_TEXT_MAX];

        if (!k->ad)
                return SID_IS_OURS;
        snprintf(domain, sizeof domain, "%.*s", end ? (int)(end - account) : 0, account);
        if (!sid_is_of(account, domain))
                return SID_IS_FOREIGN;
        (void)domain_sids_told(sids, i, domain, now);
        if (strcmp(claim_of(k), domain) != 0)
                return SID_IS_FOREIGN;
        return rival_of(sids, k) ? SID_IS_DISPUTED : SID_IS_OURS;
}

void domain_sids_get(const struct domain_sids *sids, size_t i, uint64_t now, struct validate_sid *ret_sid)
{
        const struct known *k = &sids->known[i], *rival = rival_of(sids, k);

        *ret_sid = (struct validate_sid){.domain = k->name,
                                         .has_one = k->ad,
                                         .sid = claim_of(k),
                                         .source = source_of(k),
                                         .learnt = k->by[SID_LEARNT],
                                         .settled = k->kept || now > k->learnt_at + SID_SETTLE_MS,
                                         .seen = k->seen,
                                         .rival = rival ? rival->name : ""};
}
