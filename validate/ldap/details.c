/*
 * Two questions at most: the account's own entry, and with nested groups the groups that it is in by whatever way
 * (LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] 3.1.1.3.4.4.3).
 *
 * Invariant: what is told is text: SIDs and GUIDs in their usual form, everything else UTF-8 as the DC has it. A value
 * that is neither, or that does not fit, is left out, and the result says so.
 */
#include "validate/ldap/details.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"
#include "validate/ldap/identity.h"

#define MEMBER_OF "memberOf"
#define LDAP_SIZE_LIMIT_EXCEEDED 4

static bool is_group(const char *name)
{
        return strcasecmp(name, MEMBER_OF) == 0;
}

int ldap_details_ask(struct ldap_details *d, struct buffer *request, int32_t id)
{
        char base[DOMAIN_BASE_MAX];
        struct ldap_groups_search search = {
                .base = domain_search_base(base, d->domain), .member = d->dn, .size_limit = LDAP_DETAILS_GROUPS_MAX};
        const char *names[ATTRIBUTES_MAX + 3] = {NULL};
        const unsigned asked = d->asked++;
        bool groups = false; /* these are asked for by themselves */
        size_t n = 0;

        for (size_t i = 0; i < ATTRIBUTES_MAX && d->domain->attributes[i]; i++)
                if (d->domain->nested_groups && is_group(d->domain->attributes[i]))
                        groups = true;
                else
                        names[n++] = d->domain->attributes[i];
        names[n++] = "sAMAccountType";
        names[n] = "userAccountControl";
        if (asked == 0)
                return ldap_encode_read(request, id, d->base, NULL, names);
        return asked == 1 && d->found && !d->failed && groups ? ldap_encode_groups_search(request, id, &search) : 1;
}

/* Of groups those that are below groups_base. */
static void add(struct ldap_details *d, const char *name, const char *value, size_t n)
{
        const char *base = d->domain->groups_base;
        const size_t base_n = base && is_group(name) ? strlen(base) : 0;

        if (base_n > 0 &&
            (n <= base_n || value[n - base_n - 1] != ',' || strncasecmp(value + n - base_n, base, base_n) != 0))
                return;
        if (!utf8_valid(value, n) || pairs_add(&d->details.values, name, value, n) < 0)
                d->details.state = DETAILS_TRUNCATED;
}

/* As the configuration writes the name; NULL for one that was not asked for. *ret_range: the DC gave a part only. */
static const char *configured(const struct domain_config *domain, const struct ldap_bytes *attribute, bool *ret_range)
{
        const char *option = memchr(attribute->data, ';', attribute->n);
        size_t n = option ? (size_t)(option - attribute->data) : attribute->n;

        *ret_range = option != NULL;
        for (size_t i = 0; i < ATTRIBUTES_MAX && domain->attributes[i]; i++)
                if (strlen(domain->attributes[i]) == n && strncasecmp(domain->attributes[i], attribute->data, n) == 0)
                        return domain->attributes[i];
        return NULL;
}

static void on_detail_value(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        struct ldap_details *d = arg;
        bool range;
        const char *name = configured(d->domain, attribute, &range);
        char text[SID_TEXT_MAX];

        (void)index;
        if (ldap_bytes_is(attribute, "sAMAccountType"))
                d->type = ldap_number(value);
        if (ldap_bytes_is(attribute, "userAccountControl"))
                d->control = ldap_number(value);
        if (!name)
                return;
        if (range)
                d->details.state = DETAILS_TRUNCATED;
        const bool guid = strcasecmp(name, "objectGUID") == 0;
        const bool sid = strcasecmp(name, "objectSid") == 0 || strcasecmp(name, "tokenGroups") == 0 ||
                         strcasecmp(name, "sIDHistory") == 0;
        if (!guid && !sid)
                add(d, name, value->data, value->n);
        else if ((guid ? ldap_guid_text(text, value->data, value->n) : ldap_sid_text(text, value)) == 0)
                add(d, name, text, strlen(text));
        else
                d->details.state = DETAILS_TRUNCATED;
}

void ldap_details_entry(struct ldap_details *d, const struct ldap_message *m)
{
        if (m->op != LDAP_OP_ENTRY)
                return;
        if (d->asked > 1) {
                add(d, MEMBER_OF, m->name.data, m->name.n);
                return;
        }
        d->found = m->name.n > 0 && m->name.n < sizeof d->dn && !memchr(m->name.data, '\0', m->name.n);
        if (d->found) {
                memcpy(d->dn, m->name.data, m->name.n);
                d->dn[m->name.n] = '\0';
        }
        d->details.state = DETAILS_COMPLETE;
        if (ldap_entry_each(m, on_detail_value, d) < 0)
                d->failed = true;
}

void ldap_details_done(struct ldap_details *d, const struct ldap_message *m)
{
        if (m->op == LDAP_OP_DONE && m->result == LDAP_SIZE_LIMIT_EXCEEDED && d->asked > 1)
                d->details.state = DETAILS_TRUNCATED;
        else if (m->op != LDAP_OP_DONE || m->result != 0)
                d->failed = true;
}

void ldap_details_result(const struct ldap_details *d, struct account_details *ret_details)
{
        *ret_details = d->found && !d->failed ? d->details : (struct account_details){.state = DETAILS_UNAVAILABLE};
}
