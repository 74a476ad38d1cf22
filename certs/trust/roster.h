/*
 * The roster: the tenant's domains, which identity keys are connectors and for which of the domains each may
 * speak, and which keys are services; signed by the tenant key that both ends pin (PROTOCOL.md "Roster").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/jose/jose.h"

#define ROSTER_LIFE_MAX (30 * 86400)
#define ROSTER_SKEW 120 /* tolerated clock difference, s */
/* As now of roster_verify: the times are not checked. For the admin, who signs anew, and for the floor of
 * seq. */
#define ROSTER_ANY_TIME INT64_MIN
#define ROSTER_MEMBERS_MAX 512
#define ROSTER_TEXT_MAX (256 * 1024)
#define ROSTER_DOMAINS_MAX 64
#define ROSTER_NAMES_MAX 64 /* suffixes, and NetBIOS names, of one domain */
#define ROSTER_SID_MAX 47   /* "S-1-5-21-" and three numbers of 32 bits */
#define ROSTER_ROLE_MAX 31
#define ROSTER_SIGN_IN "sign-in"   /* the role of a service that asks for sign-ins */
#define ROSTER_HELPDESK "helpdesk" /* the role of a person who asks what became of sign-ins */
#define ROSTER_PEOPLE_MAX 64
#define ROSTER_PERSON_LIFE_MAX (90 * 86400) /* a person's powers end so long after the roster's iat, at the latest */
/*
 * The newest form that roster_verify reads. Form 1 had no domains: nobody in such a roster speaks for any, so it counts
 * for its seq and to be edited, and nothing is released by it. Form 2 has no people; roster_sign writes it where there
 * are none, so that whoever cannot read form 3 goes on.
 */
#define ROSTER_FORM 3
#define ROSTER_FORM_WITHOUT_PEOPLE 2
#define TENANT_MAX 64 /* [a-z0-9-]{1,64} */
#define NAME_MAX_LEN 64

/* One domain of the tenant. No name, suffix, NetBIOS name or SID belongs to two of them. */
struct roster_domain {
        char *name; /* DNS name with a dot, lower case: `user.domain` of verdicts */
        size_t n_suffixes, n_netbios;
        char **suffixes; /* further UPN suffixes, lower case where they are ASCII */
        char **netbios;
        char sid[ROSTER_SID_MAX + 1]; /* "" where the roster has none */
        bool is_default;              /* bare names go there; one at most */
};

struct roster_member {
        char *id;   /* id of the connector or service, [A-Za-z0-9-]{16,64} */
        char *name; /* for humans */
        struct key *key;
        size_t n_domains; /* of a connector or a person */
        char **domains;   /* names of the domains that it may speak for, or whose sign-ins the person may see */
        char *role;       /* of a service or a person; NULL: a connector */
        int64_t exp;      /* of a person: when all powers end */
};

struct roster {
        unsigned form; /* that it was read in: 1 .. ROSTER_FORM */
        bool sandbox;  /* kind: for trying out; set it before roster_sign */
        char *tenant;
        struct key *tenant_key; /* public */
        uint64_t seq;
        int64_t iat, exp;
        size_t n_domains, n_connectors, n_services, n_people, n_removed;
        struct roster_domain *domains;
        struct roster_member *connectors, *services, *people;
        char (*removed)[KID_LEN + 1];
        char *text;      /* the compact JWS it was parsed from; NULL for one being built */
        unsigned others; /* owners beside the first: roster_ref */
};

/* Checks in PROTOCOL.md's order: SPKI hash of payload.key = pin, signature, tenant, kind, exp (against now, s), seq
 * >= min_seq. -EBADMSG malformed, -EKEYREJECTED wrong pin or signature, -EXDEV other tenant, -EPERM a sandbox's,
 * -ETIME expired, -ESTALE older than min_seq. */
int roster_verify(struct roster **ret_roster, const char *text, size_t n, const char *pin, const char *tenant,
                  int64_t now, uint64_t min_seq, struct error *err);
/* The same, for whoever knows whether a sandbox is what it deals with: with sandbox every other roster is -EPERM. */
int roster_verify_kind(struct roster **ret_roster, bool sandbox, const char *text, size_t n, const char *pin,
                       const char *tenant, int64_t now, uint64_t min_seq, struct error *err);
/* SHA-256 of a roster's compact text, as whoever keeps its seq keeps it. */
void roster_text_hash(const char *text, size_t n, char ret_hash[KID_LEN + 1]);
/* seen_hash is that of the text seen with seq seen_seq ("": not kept). -EBADE: another text of that number, one of
 * which was signed from an older base: the one seen first stays in force. */
int roster_same_as_seen(const struct roster *roster, uint64_t seen_seq, const char *seen_hash, struct error *err);
/* An empty roster (seq 0) to be filled and signed. */
int roster_new(struct roster **ret_roster, const char *tenant, struct key *tenant_key);
/* Adds; of who is there by id and key the name alone is changed. A connector comes without domains, a service
 * with the role sign-in. -EEXIST if id, key or name is another's, -EKEYREJECTED if the kid was removed. */
int roster_add(struct roster *roster, bool service, const char *id, const char *name, struct key *key,
               struct error *err);
/* Gives the id in that list a new key, and notes the old one in removed; domains and role stay. -ENOENT: nobody
 * has the id; and as roster_add. */
int roster_replace(struct roster *roster, bool service, const char *id, const char *name, struct key *key,
                   struct error *err);
/* Adds a copy of the domain, or puts it in the place of the one of its name; a default one takes that from the
 * others. -EINVAL malformed, -EEXIST: a name, suffix, NetBIOS name or SID is another domain's, -ENOSPC. */
int roster_domain_put(struct roster *roster, const struct roster_domain *domain, struct error *err);
/* -ENOENT; -EBUSY while a connector speaks for it, or a person may see its sign-ins. */
int roster_domain_remove(struct roster *roster, const char *name, struct error *err);
/* Sets for which domains of the roster a connector (id, name or kid) speaks. -ENOENT: no such connector or
 * domain. */
int roster_speak(struct roster *roster, const char *which, const char *const *domains, size_t n, struct error *err);
/* What a person is given. */
struct roster_grant {
        const char *id, *name, *role;
        struct key *key; /* referenced */
        const char *const *domains;
        size_t n_domains;
        int64_t exp;
};
/* Adds a person; of one who is there by id and key name, role, domains and end are replaced. -EEXIST if id, key or name
 * is another's, -EKEYREJECTED if the kid was removed, -ENOENT: no such domain, -EINVAL, -ENOSPC. */
int roster_person_put(struct roster *roster, const struct roster_grant *grant, struct error *err);
/* Removes by id, name or kid and notes the kid in removed. -ENOENT. */
int roster_remove(struct roster *roster, const char *which, struct error *err);
/* The form that it is signed in. */
unsigned roster_form_needed(const struct roster *roster);
/* Signs as seq+1 with iat now and exp now + life (<= ROSTER_LIFE_MAX); updates roster->seq, iat, exp, text. -EINVAL
 * where a person's end is more than ROSTER_PERSON_LIFE_MAX ahead. */
int roster_sign(struct roster *roster, const struct key *tenant_key, int64_t now, int64_t life, struct error *err);

const struct roster_member *roster_connector(const struct roster *roster, const char *kid);
/* Of whatever role. */
const struct roster_member *roster_service(const struct roster *roster, const char *kid);
/* A service that may ask for sign-ins. */
const struct roster_member *roster_sign_in_service(const struct roster *roster, const char *kid);
/* Of whatever role, and also after the end. */
const struct roster_member *roster_person(const struct roster *roster, const char *kid);
/* By name, without regard to case. */
const struct roster_domain *roster_domain(const struct roster *roster, const char *name);
/* The one whose name or suffix it is; whose NetBIOS name it is; that bare names go to. NULL: none. */
const struct roster_domain *roster_domain_of_suffix(const struct roster *roster, const char *suffix);
const struct roster_domain *roster_domain_of_netbios(const struct roster *roster, const char *netbios);
const struct roster_domain *roster_default_domain(const struct roster *roster);
bool roster_speaks_for(const struct roster_member *connector, const char *domain);
void roster_domain_clear(struct roster_domain *domain);
/* One more owner, each of whom frees it; nobody changes it from then on. */
struct roster *roster_ref(struct roster *roster);
struct roster *roster_free(struct roster *roster);
DEFINE_FREEP(struct roster, roster_free)
bool tenant_valid(const char *tenant);
