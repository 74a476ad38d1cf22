/*
 * From answers on a bound connection to an identity.
 *
 * AD: the rootDSE's tokenGroups (first value: the account's SID) and msDS-PrincipalName, then the object of
 * that SID, which must be an account, have that SID and bear that name. Other servers: "Who am I", then that
 * DN. Invariant: whatever is missing, malformed or contradictory gives no identity. It sends nothing.
 */
#include "validate/ldap-identity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "connector/base/text.h"
#include "validate/krb-pac.h"

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
        n = snprintf(out, LDAP_BIND_NAME_MAX, "%.*s%s%s", (int)(place - domain->bind_template),
                     domain->bind_template, escaped, place + strlen(TEMPLATE_NAME));
        return n >= 0 && n < LDAP_BIND_NAME_MAX ? 0 : -EMSGSIZE;
}

int ldap_who_ask(struct buffer *request, int32_t id, const struct domain_config *domain)
{
        static const char *const attributes[] = {"tokenGroups", "msDS-PrincipalName", NULL};

        if (domain->directory == DIRECTORY_GENERIC)
                return ldap_encode_whoami(request, id);
        return ldap_encode_read(request, id, "", NULL, attributes);
}

/* Copies text that is valid UTF-8 without NUL and fits; otherwise out stays as it is. */
static bool copy_text(char *out, size_t cap, const struct ldap_bytes *value)
{
        if (value->n == 0 || value->n >= cap || memchr(value->data, '\0', value->n) ||
            !utf8_valid(value->data, value->n))
                return false;
        memcpy(out, value->data, value->n);
        out[value->n] = '\0';
        return true;
}

static bool copy_sid(char *out, const struct ldap_bytes *value)
{
        uint8_t sid[68]; /* the largest: 15 sub-authorities */

        if (value->n > sizeof sid)
                return false;
        memcpy(sid, value->data, value->n);
        return krb_sid_text(out, sid, value->n) == 0;
}

static void on_rootdse(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value,
                       size_t index)
{
        struct ldap_who *who = arg;

        if (index > 0)
                return;
        if (ldap_bytes_is(attribute, "tokenGroups") && !copy_sid(who->sid, value))
                who->contradicts = true;
        if (ldap_bytes_is(attribute, "msDS-PrincipalName"))
                copy_text(who->principal, sizeof who->principal, value);
}

void ldap_who_entry(struct ldap_who *who, const struct ldap_message *m)
{
        if (m->op == LDAP_OP_ENTRY && ldap_entry_each(m, on_rootdse, who) < 0)
                who->contradicts = true;
}

/* "dn:uid=..." is an authzId (RFC 4513 5.2.1.8); "u:..." names nothing that can be read. */
static void from_whoami(struct ldap_who *who, const struct ldap_message *m)
{
        struct ldap_bytes dn = m->value;

        who->generic = true;
        if (m->result != 0 || dn.n <= 3 || strncasecmp(dn.data, "dn:", 3) != 0)
                return;
        dn.data += 3;
        dn.n -= 3;
        copy_text(who->base, sizeof who->base, &dn);
}

void ldap_who_done(struct ldap_who *who, const struct ldap_message *m)
{
        if (m->op == LDAP_OP_EXTENDED)
                from_whoami(who, m);
        else if (m->op == LDAP_OP_DONE && m->result == 0 && who->sid[0] && !who->contradicts)
                snprintf(who->base, sizeof who->base, "<SID=%s>", who->sid);
}

int ldap_who_look_up(struct buffer *request, int32_t id, const struct ldap_who *who)
{
        static const char *const ad[] = {"objectSid", "objectGUID", "sAMAccountName", "userPrincipalName",
                                         NULL};
        static const char *const generic[] = {"objectSid", "entryUUID",         "sAMAccountName",
                                              "uid",       "userPrincipalName", NULL};

        if (!who->base[0])
                return -ENOENT;
        return ldap_encode_read(request, id, who->base, who->generic ? NULL : "user",
                                who->generic ? generic : ad);
}

static bool is_uuid(const struct ldap_bytes *value)
{
        if (value->n != 36)
                return false;
        for (size_t i = 0; i < 36; i++)
                if (!strchr(i == 8 || i == 13 || i == 18 || i == 23 ? "-" : "0123456789abcdefABCDEF",
                            value->data[i]) ||
                    !value->data[i])
                        return false;
        return true;
}

static void on_account(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value,
                       size_t index)
{
        struct ldap_who *who = arg;
        struct identity *identity = &who->identity;

        if (ldap_bytes_is(attribute, "objectSid")) {
                if (index > 0 || !copy_sid(who->account_sid, value))
                        who->contradicts = true;
        } else if (ldap_bytes_is(attribute, "objectGUID")) {
                ldap_guid_text(identity->guid, value->data, value->n);
        } else if (ldap_bytes_is(attribute, "entryUUID")) {
                if (index > 0 || !is_uuid(value) || !copy_text(who->uuid, sizeof who->uuid, value))
                        who->contradicts = true;
        } else if (ldap_bytes_is(attribute, "sAMAccountName") ||
                   (ldap_bytes_is(attribute, "uid") && !identity->sam[0])) {
                copy_text(identity->sam, sizeof identity->sam, value);
        } else if (ldap_bytes_is(attribute, "userPrincipalName")) {
                copy_text(identity->upn, sizeof identity->upn, value);
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

/* NETBIOS\name of the rootDSE against the account's sAMAccountName; both are the DC's own spelling. */
static bool principal_agrees(const struct ldap_who *who)
{
        const char *name = strrchr(who->principal, '\\');

        return !name || strcasecmp(name + 1, who->identity.sam) == 0;
}

int ldap_who_identity(struct identity *ret_identity, const struct ldap_who *who,
                      const struct domain_config *domain, const char **ret_why)
{
        const char *id = who->account_sid[0] ? who->account_sid : who->uuid;

        *ret_why = NULL;
        if (who->accounts != 1)
                *ret_why = "the account of the bind cannot be read on its own bind";
        else if (who->contradicts || !id[0])
                *ret_why = "the account has no readable id";
        else if (!who->generic && (strcmp(who->sid, who->account_sid) != 0 || !principal_agrees(who)))
                *ret_why = "the directory's answers contradict each other";
        if (*ret_why)
                return -ENOENT;
        *ret_identity = who->identity;
        snprintf(ret_identity->id, sizeof ret_identity->id, "%s", id);
        if (!ret_identity->guid[0])
                snprintf(ret_identity->guid, sizeof ret_identity->guid, "%s", who->uuid);
        snprintf(ret_identity->domain, sizeof ret_identity->domain, "%s", domain->name);
        return 0;
}
