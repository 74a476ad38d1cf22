/*
 * From answers on a bound connection to an identity.
 *
 * AD: the rootDSE's tokenGroups (first value: the account's SID) and msDS-PrincipalName, then the object of
 * that SID, which must be an account, have that SID and bear that name. Other servers: "Who am I", then that
 * DN. Invariant: whatever is missing, malformed or contradictory gives no identity. It sends nothing.
 */
#include "validate/ldap/identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"

#define TEMPLATE_NAME "{name}"

int ldap_bind_name(char out[LDAP_BIND_NAME_MAX], const struct domain_config *domain, const struct name *name)
{
        const char *place = domain->bind_template ? strstr(domain->bind_template, TEMPLATE_NAME) : NULL;
        char escaped[2 * USERNAME_MAX + 4];
        int n, r;

        if (!place) {
                name_bind_text(name, domain, out, LDAP_BIND_NAME_MAX);
                return 0;
        }
        r = ldap_dn_escape(escaped, sizeof escaped, name->user);
        if (r < 0)
                return r;
        n = snprintf(out, LDAP_BIND_NAME_MAX, "%.*s%s%s", (int)(place - domain->bind_template), domain->bind_template,
                     escaped, place + strlen(TEMPLATE_NAME));
        return n >= 0 && n < LDAP_BIND_NAME_MAX ? 0 : -EMSGSIZE;
}

int ldap_who_ask(struct buffer *request, int32_t id, const struct domain_config *domain)
{
        static const char *const attributes[] = {"tokenGroups", "msDS-PrincipalName", NULL};

        if (domain->directory == DIRECTORY_GENERIC)
                return ldap_encode_extended(request, id, LDAP_OID_WHOAMI);
        return ldap_encode_read(request, id, "", NULL, attributes);
}

/* The domain's own groups Domain Users; Domain Computers, Domain Controllers and Read-only Domain Controllers: the
 * primary groups of people, and of computers, managed services included. */
static void note_group(struct ldap_who *who, const struct ldap_bytes *value)
{
        static const char *const rids[] = {"515", "516", "521"};
        const char *end = strrchr(who->sid, '-');
        size_t n = end ? (size_t)(end - who->sid) + 1 : 0;
        char group[SID_TEXT_MAX];

        if (n == 0 || ldap_sid_text(group, value) < 0 || strncmp(group, who->sid, n) != 0)
                return;
        who->of_people = who->of_people || strcmp(group + n, "513") == 0;
        for (size_t i = 0; i < sizeof rids / sizeof *rids; i++)
                who->of_computers = who->of_computers || strcmp(group + n, rids[i]) == 0;
}

static void on_rootdse(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        struct ldap_who *who = arg;

        if (ldap_bytes_is(attribute, "tokenGroups") && index > 0)
                note_group(who, value);
        if (index > 0)
                return;
        if (ldap_bytes_is(attribute, "tokenGroups") && ldap_sid_text(who->sid, value) < 0)
                who->contradicts = true;
        if (ldap_bytes_is(attribute, "msDS-PrincipalName"))
                ldap_bytes_text(who->principal, sizeof who->principal, value);
}

void ldap_who_entry(struct ldap_who *who, const struct ldap_message *m)
{
        if (m->op == LDAP_OP_ENTRY && ldap_entry_each(m, on_rootdse, who) < 0)
                who->contradicts = true;
}

/* "dn:uid=..." is an authzId (RFC 4513 5.2.1.8); "u:..." names nothing that can be read. */
void ldap_who_done(struct ldap_who *who, const struct ldap_message *m)
{
        const bool dn = m->value.n > 3 && strncasecmp(m->value.data, "dn:", 3) == 0;

        who->generic = who->generic || m->op == LDAP_OP_EXTENDED;
        if (m->op == LDAP_OP_EXTENDED && m->result == 0 && dn)
                ldap_bytes_text(who->base, sizeof who->base, &(struct ldap_bytes){m->value.data + 3, m->value.n - 3});
        else if (m->op == LDAP_OP_DONE && m->result == 0 && who->sid[0] && !who->contradicts)
                snprintf(who->base, sizeof who->base, "<SID=%s>", who->sid);
}

int ldap_who_look_up(struct buffer *request, int32_t id, const struct ldap_who *who)
{
        static const char *const ad[] = {
                "objectSid",          "objectGUID", "sAMAccountName", "userPrincipalName", "sAMAccountType",
                "userAccountControl", NULL};
        static const char *const generic[] = {"objectSid", "entryUUID",         "sAMAccountName",
                                              "uid",       "userPrincipalName", NULL};

        if (!who->base[0])
                return -ENOENT;
        return ldap_encode_read(request, id, who->base, who->generic ? NULL : "user", who->generic ? generic : ad);
}

static bool is_uuid(const struct ldap_bytes *value)
{
        if (value->n != 36)
                return false;
        for (size_t i = 0; i < 36; i++)
                if (!strchr(i == 8 || i == 13 || i == 18 || i == 23 ? "-" : "0123456789abcdefABCDEF", value->data[i]) ||
                    !value->data[i])
                        return false;
        return true;
}

static void on_account(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        struct ldap_who *who = arg;
        struct identity *identity = &who->identity;

        who->shown++;
        if (ldap_bytes_is(attribute, "sAMAccountType")) {
                who->type = ldap_number(value);
        } else if (ldap_bytes_is(attribute, "userAccountControl")) {
                who->control = ldap_number(value);
        } else if (ldap_bytes_is(attribute, "objectSid")) {
                if (index > 0 || ldap_sid_text(who->account_sid, value) < 0)
                        who->contradicts = true;
        } else if (ldap_bytes_is(attribute, "objectGUID")) {
                ldap_guid_text(identity->guid, value->data, value->n);
        } else if (ldap_bytes_is(attribute, "entryUUID")) {
                if (index > 0 || !is_uuid(value) || !ldap_bytes_text(who->uuid, sizeof who->uuid, value))
                        who->contradicts = true;
        } else if (ldap_bytes_is(attribute, "sAMAccountName") ||
                   (ldap_bytes_is(attribute, "uid") && !identity->sam[0])) {
                ldap_bytes_text(identity->sam, sizeof identity->sam, value);
        } else if (ldap_bytes_is(attribute, "userPrincipalName")) {
                ldap_bytes_text(identity->upn, sizeof identity->upn, value);
        }
}

void ldap_who_account(struct ldap_who *who, const struct ldap_message *m)
{
        if (m->op != LDAP_OP_ENTRY)
                return;
        who->accounts++;
        if (ldap_entry_each(m, on_account, who) < 0)
                who->contradicts = true;
}

uint32_t ldap_number(const struct ldap_bytes *value)
{
        uint64_t n = 0;

        if (value->n == 0 || value->n > 10)
                return 0;
        for (size_t i = 0; i < value->n; i++) {
                if (value->data[i] < '0' || value->data[i] > '9')
                        return 0;
                n = n * 10 + (uint64_t)(value->data[i] - '0');
        }
        return n <= UINT32_MAX ? (uint32_t)n : 0;
}

enum account_kind ldap_account_kind(uint32_t type, uint32_t control)
{
        enum { USER = 0x30000000 }; /* SAM_USER_OBJECT */
        enum { TEMP_DUPLICATE = 0x100, NORMAL = 0x200, TRUST = 0x800, WORKSTATION = 0x1000, SERVER = 0x2000 };
        uint32_t kinds = control & (TEMP_DUPLICATE | NORMAL | TRUST | WORKSTATION | SERVER);

        if (type == 0 && control == 0)
                return ACCOUNT_UNKNOWN;
        return (type == 0 || type == USER) && (control == 0 || kinds == NORMAL) ? ACCOUNT_PERSON : ACCOUNT_OTHER;
}

/* The kind by what the account's own bind was told. Where its type is not: a computer's name ends with a $, and its
 * primary group is one of computers. */
static enum account_kind kind_of(const struct ldap_who *who)
{
        enum account_kind kind = ldap_account_kind(who->type, who->control);
        const char *name = who->principal[0] ? who->principal : who->identity.sam;
        size_t n = strlen(name);

        if (kind != ACCOUNT_UNKNOWN)
                return kind;
        if (who->of_computers || (n > 0 && name[n - 1] == '$'))
                return ACCOUNT_OTHER;
        return n > 0 || who->of_people ? ACCOUNT_PERSON : ACCOUNT_UNKNOWN;
}

int ldap_who_identity(struct identity *ret_identity, const struct ldap_who *who, const struct domain_config *domain,
                      const char **ret_why)
{
        const char *id = who->account_sid[0] ? who->account_sid : who->uuid;
        const char *name = strrchr(who->principal, '\\'); /* NETBIOS\name of the rootDSE: the DC's own spelling */
        /* an account that may not read its own entry is still the one that the rootDSE names */
        const bool hidden = !who->generic && who->sid[0] && who->shown == 0 && who->accounts <= 1;

        *ret_why = NULL;
        if (hidden && !who->contradicts) {
                *ret_identity = (struct identity){.kind = kind_of(who)};
                snprintf(ret_identity->id, sizeof ret_identity->id, "%s", who->sid);
                if (name && strlen(name + 1) < sizeof ret_identity->sam)
                        snprintf(ret_identity->sam, sizeof ret_identity->sam, "%.256s", name + 1);
                snprintf(ret_identity->domain, sizeof ret_identity->domain, "%s", domain->name);
                return 0;
        }
        if (who->accounts != 1)
                *ret_why = "the account of the bind cannot be read on its own bind";
        else if (who->contradicts || !id[0])
                *ret_why = "the account has no readable id";
        else if (!who->generic &&
                 (strcmp(who->sid, who->account_sid) != 0 || (name && strcasecmp(name + 1, who->identity.sam) != 0)))
                *ret_why = "the directory's answers contradict each other";
        if (*ret_why)
                return -ENOENT;
        *ret_identity = who->identity;
        ret_identity->kind = kind_of(who);
        snprintf(ret_identity->id, sizeof ret_identity->id, "%s", id);
        if (!ret_identity->guid[0])
                snprintf(ret_identity->guid, sizeof ret_identity->guid, "%s", who->uuid);
        snprintf(ret_identity->domain, sizeof ret_identity->domain, "%s", domain->name);
        return 0;
}
