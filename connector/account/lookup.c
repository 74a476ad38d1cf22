/*
 * What is asked of the directory about a name, and the answer as JSON: which accounts it may mean, their state, the
 * counters of each domain controller, the domain's policy.
 *
 * It tells what is there and judges nothing (connector/findings/account.c does). Times are s since the epoch, 0 is
 * never; what may not be read is left out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/sid.h"
#include "base/core/text.h"
#include "connector/account/account.h"
#include "validate/types/name.h"

#define FILETIME_EPOCH_S 11644473600LL /* 1601-01-01 to 1970-01-01 */
#define FILETIME_S 10000000LL
#define NEVER_AT_LEAST (1LL << 62) /* 0x7FFFFFFFFFFFFFFF, and what rounds near it */
#define RULE_IN_CHAIN "1.2.840.113556.1.4.1941"
#define LOGON_HOURS 21 /* bytes, a bit for each hour of the week, UTC, from Sunday on */

static const char *const account_attributes[] = {"sAMAccountName",
                                                 "userPrincipalName",
                                                 "mail",
                                                 "displayName",
                                                 "objectSid",
                                                 "userAccountControl",
                                                 "msDS-User-Account-Control-Computed",
                                                 "msDS-UserPasswordExpiryTimeComputed",
                                                 "msDS-ResultantPSO",
                                                 "pwdLastSet",
                                                 "accountExpires",
                                                 "logonHours",
                                                 "userWorkstations",
                                                 "sAMAccountType",
                                                 "proxyAddresses",
                                                 NULL, /* the alternate id */
                                                 NULL};
#define ALTERNATE_AT (sizeof(account_attributes) / sizeof(account_attributes[0]) - 2)

/* One domain, at the domain controller that answers. */
struct view {
        const struct lookup *l;
        const struct reader *reader;
        struct reading *d;
        struct dc_place place;
        char *base; /* defaultNamingContext */
        char *pdc;  /* host, or NULL: not to be told */
        struct name name;
        char upn[2 * USERNAME_MAX + 2];
        struct error risk; /* why no other one may be tried with the reader's credential, or empty */
};

static void view_clear(struct view *v)
{
        reading_free(v->d);
        free(v->base);
        free(v->pdc);
}

/* RFC 4515: what would be read as part of the filter, and what is no ASCII, by its number. */
static int append_escaped(struct buffer *filter, const char *value)
{
        int r = 0;

        for (const unsigned char *p = (const unsigned char *)value; r == 0 && *p; p++)
                r = *p < 0x20 || *p > 0x7e || strchr("*()\\", *p) ? buffer_printf(filter, "\\%02x", *p)
                                                                  : buffer_append_char(filter, (char)*p);
        return r;
}

static void put_text(json_t *object, const char *key, const struct reading *d, LDAPMessage *entry,
                     const char *attribute)
{
        _cleanup_(freep) char *text = reading_text(d, entry, attribute);

        if (text)
                (void)json_object_set_new(object, key, json_string(text));
}

static void put_number(json_t *object, const char *key, const struct reading *d, LDAPMessage *entry,
                       const char *attribute, bool is_time)
{
        long long n = reading_number(d, entry, attribute, -1);

        if (n < 0)
                return;
        if (is_time) /* 0: never */
                n = n == 0 || n >= NEVER_AT_LEAST ? 0 : n / FILETIME_S - FILETIME_EPOCH_S;
        (void)json_object_set_new(object, key, json_integer(n));
}

/* ---- the domain controller ---- */

/* The one entry at base; NULL with err. *ret_result is the caller's. */
static LDAPMessage *read_entry(struct reading *d, const char *base, const char *filter, const char *const *attributes,
                               LDAPMessage **ret_result, struct error *err)
{
        if (reading_search(d, base, LDAP_SCOPE_BASE, filter, attributes, 1, ret_result, err) < 0)
                return NULL;
        LDAPMessage *entry = ldap_first_entry(reading_ldap(d), *ret_result);
        if (!entry)
                (void)error_fail(err, -ENOENT, "there is no %s that the reader may see", base);
        return entry;
}

/* One attribute of one entry; free() it. */
static char *read_text(struct reading *d, const char *base, const char *attribute)
{
        const char *const attributes[] = {attribute, NULL};
        LDAPMessage *result = NULL;
        struct error ignored;
        LDAPMessage *entry = read_entry(d, base, "(objectClass=*)", attributes, &result, &ignored);
        char *text = entry ? reading_text(d, entry, attribute) : NULL;

        ldap_msgfree(result);
        return text;
}

/* As the reader at a domain controller. Each attempt with a wrong credential counts at the PDC, so there is one: after
 * a bind that may have counted every further one fails with the words of that one. */
static int open_at(struct view *v, struct reading **ret_d, const struct dc_place *place, struct error *err)
{
        const struct domain_config *domain = v->reader->domain;

        if (v->risk.text[0])
                return error_fail(err, -EKEYREJECTED, "not asked: %s", v->risk.text);
        int r = reading_open(ret_d, v->reader, place, err);
        if (r != -EKEYREJECTED && r != -EINPROGRESS)
                return r;
        r = error_prefix(err, -EKEYREJECTED,
                         "the credential of reader %s (%s) %s; no other domain controller is tried with it",
                         domain->reader, domain->reader_keytab ? domain->reader_keytab : domain->reader_password_file,
                         r == -EINPROGRESS ? "may have been refused" : "was refused");
        v->risk = *err;
        return r;
}

/* The first domain controller that takes the reader. */
static int view_open(struct view *v, struct error *err)
{
        static struct dc_place places[ACCOUNT_DCS_MAX];
        const struct domain_config *domain = v->reader->domain;
        size_t n = places_of(v->l->loop, v->l->dns, domain, places, ACCOUNT_DCS_MAX, err);
        int r = -EHOSTUNREACH;

        if (n == 0)
                return error_prefix(err, r, "no domain controller of %s is known", domain->name);
        for (size_t i = 0; r < 0 && r != -EKEYREJECTED && i < n; i++) {
                r = open_at(v, &v->d, &places[i], err);
                v->place = places[i];
        }
        if (r < 0)
                return r;
        v->base = read_text(v->d, "", "defaultNamingContext");
        if (!v->base)
                return error_fail(err, -EIO, "%s names no defaultNamingContext: it is no domain controller",
                                  v->place.host);
        /* the host of the PDC: the parent of its NTDS settings has the name */
        _cleanup_(freep) char *owner = read_text(v->d, v->base, "fSMORoleOwner");
        const char *server = owner ? strchr(owner, ',') : NULL;
        v->pdc = server ? read_text(v->d, server + 1, "dNSHostName") : NULL;
        return 0;
}

/* ---- the accounts ---- */

static int make_filter(const struct view *v, struct buffer *filter)
{
        const char *alternate = v->reader->domain->alternate_id;
        int r = buffer_append_str(filter, "(&(objectClass=user)(|(sAMAccountName=");

        r = r ? r : append_escaped(filter, v->name.user);
        r = r ? r : buffer_append_str(filter, ")");
        for (size_t i = 0; r == 0 && v->name.form == NAME_UPN && i < 4; i++) {
                static const char *const begins[] = {"(userPrincipalName=", "(mail=", "(proxyAddresses=smtp:"};
                if (i == 3 && !alternate)
                        break;
                r = i < 3 ? buffer_append_str(filter, begins[i]) : buffer_printf(filter, "(%s=", alternate);
                r = r ? r : append_escaped(filter, v->upn);
                r = r ? r : buffer_append_str(filter, ")");
        }
        return r ? r : buffer_append_str(filter, "))");
}

static bool equal_text(const json_t *object, const char *key, const char *value)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text && strcasecmp(text, value) == 0;
}

/* By which attributes the name leads to this account; "near": none does, but a person may have meant it. */
static void put_by(const struct view *v, json_t *account)
{
        const struct domain_config *domain = v->reader->domain;
        json_t *by = json_array();
        const bool sam = equal_text(account, "sam", v->name.user),
                   own = v->name.form == NAME_NETBIOS || strcasecmp(v->name.suffix, domain->name) == 0;

        if (v->name.alternate && equal_text(account, "alternate", v->upn))
                (void)json_array_append_new(by, json_string(domain->alternate_id));
        if (!v->name.alternate && v->name.form == NAME_UPN && equal_text(account, "upn", v->upn))
                (void)json_array_append_new(by, json_string("userPrincipalName"));
        if (!v->name.alternate && sam && own)
                (void)json_array_append_new(by, json_string("sAMAccountName"));
        if (json_array_size(by) == 0)
                (void)json_object_set_new(account, "near",
                                          json_string(equal_text(account, "mail", v->upn)  ? "mail"
                                                      : equal_text(account, "upn", v->upn) ? "userPrincipalName"
                                                      : sam                                ? "sAMAccountName"
                                                                                           : "proxyAddresses"));
        (void)json_object_set_new(account, "by", by);
}

static void put_sid(json_t *account, const struct reading *d, LDAPMessage *entry)
{
        struct berval **values = ldap_get_values_len(reading_ldap(d), entry, "objectSid");
        char text[SID_TEXT_MAX];

        if (values && values[0] && sid_text(text, (const uint8_t *)values[0]->bv_val, values[0]->bv_len) == 0)
                (void)json_object_set_new(account, "sid", json_string(text));
        ldap_value_free_len(values);
}

static void put_hours(json_t *account, const struct reading *d, LDAPMessage *entry)
{
        struct berval **values = ldap_get_values_len(reading_ldap(d), entry, "logonHours");
        char text[2 * LOGON_HOURS + 1];

        if (values && values[0] && values[0]->bv_len == LOGON_HOURS) {
                hex_encode_to(text, values[0]->bv_val, LOGON_HOURS);
                (void)json_object_set_new(account, "logon_hours", json_string(text));
        }
        ldap_value_free_len(values);
}

/* Whether it is in Protected Users, also through other groups. */
static void put_protected(struct view *v, json_t *account)
{
        const char *sid = json_string_value(json_object_get(account, "sid")), *end = sid ? strrchr(sid, '-') : NULL;
        const char *dn = json_string_value(json_object_get(account, "dn"));
        static const char *const none[] = {"1.1", NULL};
        _cleanup_(buffer_free) struct buffer filter = BUFFER(8192);
        LDAPMessage *result = NULL;
        struct error ignored;

        if (!end)
                return;
        if (buffer_printf(&filter, "(&(objectSid=%.*s-525)(member:" RULE_IN_CHAIN ":=", (int)(end - sid), sid) < 0 ||
            append_escaped(&filter, dn) < 0 || buffer_append_str(&filter, "))") < 0 ||
            reading_search(v->d, v->base, LDAP_SCOPE_SUBTREE, filter.data, none, 1, &result, &ignored) < 0)
                return;
        (void)json_object_set_new(account, "protected_user",
                                  json_boolean(ldap_count_entries(reading_ldap(v->d), result) > 0));
        ldap_msgfree(result);
}

static json_t *make_account(struct view *v, LDAPMessage *entry)
{
        static const struct {
                const char *key, *attribute;
                enum { TEXT = 0, NUMBER, TIME } kind;
        } members[] = {{"sam", "sAMAccountName", TEXT},
                       {"upn", "userPrincipalName", TEXT},
                       {"mail", "mail", TEXT},
                       {"name", "displayName", TEXT},
                       {"policy", "msDS-ResultantPSO", TEXT},
                       {"workstations", "userWorkstations", TEXT},
                       {"control", "userAccountControl", NUMBER},
                       {"computed", "msDS-User-Account-Control-Computed", NUMBER},
                       {"type", "sAMAccountType", NUMBER},
                       {"password_set", "pwdLastSet", TIME},
                       {"password_expires", "msDS-UserPasswordExpiryTimeComputed", TIME},
                       {"expires", "accountExpires", TIME}};
        char *dn = ldap_get_dn(reading_ldap(v->d), entry);
        json_t *account = json_pack("{s:s}", "dn", dn ? dn : "");

        ldap_memfree(dn);
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
                if (members[i].kind == TEXT)
                        put_text(account, members[i].key, v->d, entry, members[i].attribute);
                else
                        put_number(account, members[i].key, v->d, entry, members[i].attribute, members[i].kind == TIME);
        if (v->reader->domain->alternate_id)
                put_text(account, "alternate", v->d, entry, v->reader->domain->alternate_id);
        put_sid(account, v->d, entry);
        put_hours(account, v->d, entry);
        put_by(v, account);
        put_protected(v, account);
        return account;
}

static int find_accounts(struct view *v, json_t *list, struct error *err)
{
        const char *attributes[sizeof(account_attributes) / sizeof(account_attributes[0])];
        _cleanup_(buffer_free) struct buffer filter = BUFFER(8192);
        LDAPMessage *result = NULL;

        memcpy(attributes, account_attributes, sizeof(attributes));
        attributes[ALTERNATE_AT] = v->reader->domain->alternate_id;
        if (make_filter(v, &filter) < 0)
                return error_fail(err, -EMSGSIZE, "the name is too long");
        int r = reading_search(v->d, v->base, LDAP_SCOPE_SUBTREE, filter.data, attributes, ACCOUNT_FOUND_MAX, &result,
                               err);
        LDAP *ld = reading_ldap(v->d);
        for (LDAPMessage *e = r == 0 ? ldap_first_entry(ld, result) : NULL; e; e = ldap_next_entry(ld, e))
                (void)json_array_append_new(list, make_account(v, e));
        ldap_msgfree(result);
        return r;
}

/* Whom a sign-in reaches: an explicit UPN goes before the implicit one. NULL: nobody. */
static json_t *reached(const json_t *list)
{
        json_t *account, *implicit = NULL;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)list, i, account) {
                const char *by = json_string_value(json_array_get(json_object_get(account, "by"), 0));
                if (by && strcmp(by, "sAMAccountName") != 0)
                        return account;
                if (by)
                        implicit = account;
        }
        return implicit;
}

/* ---- each domain controller's own counters ---- */

static json_t *counters_at(struct reading *d, const char *dn, struct error *err)
{
        static const char *const attributes[] = {
                "badPwdCount", "badPasswordTime", "lockoutTime", "pwdLastSet", "msDS-User-Account-Control-Computed",
                NULL};
        static const char *const keys[] = {"bad_count", "last_bad", "locked_at", "password_set", "computed"};
        LDAPMessage *result = NULL, *entry = read_entry(d, dn, "(objectClass=*)", attributes, &result, err);
        json_t *row = entry ? json_object() : NULL;

        for (size_t i = 0; row && attributes[i]; i++)
                put_number(row, keys[i], d, entry, attributes[i], i >= 1 && i <= 3);
        ldap_msgfree(result);
        return row;
}

static void add_counters(struct view *v, const char *host, const char *dn, json_t *list)
{
        struct reading *d = v->d, *other = NULL;
        struct error err = {""};
        struct dc_place place;
        json_t *row = NULL, *known;
        size_t i;

        json_array_foreach (list, i, known)
                if (equal_text(known, "dc", host))
                        return;
        if (strcasecmp(host, v->place.host) != 0) {
                if (places_find(v->l->loop, v->l->dns, v->reader->domain, host, &place, &err) == 0)
                        (void)open_at(v, &other, &place, &err);
                d = other;
        }
        if (d)
                row = counters_at(d, dn, &err);
        if (!row)
                row = json_pack("{s:s}", "error", utf8_valid(err.text, strlen(err.text)) ? err.text : "unreadable");
        (void)json_object_set_new(row, "dc", json_string(host));
        (void)json_object_set_new(row, "asked", json_boolean(d == v->d));
        (void)json_object_set_new(row, "pdc", json_boolean(v->pdc && strcasecmp(v->pdc, host) == 0));
        (void)json_array_append_new(list, row);
        reading_free(other);
}

static void add_all_counters(struct view *v, const char *dn, json_t *list)
{
        static const char *const attributes[] = {"dNSHostName", NULL};
        LDAPMessage *result = NULL;
        struct error ignored;
        LDAP *ld = reading_ldap(v->d);

        add_counters(v, v->place.host, dn, list);
        if (v->pdc)
                add_counters(v, v->pdc, dn, list);
        if (!v->l->all_dcs || reading_search(v->d, v->base, LDAP_SCOPE_SUBTREE,
                                             "(&(objectClass=computer)(|(primaryGroupID=516)(primaryGroupID=521)))",
                                             attributes, ACCOUNT_DCS_MAX, &result, &ignored) < 0)
                return;
        for (LDAPMessage *e = ldap_first_entry(ld, result); e; e = ldap_next_entry(ld, e)) {
                _cleanup_(freep) char *host = reading_text(v->d, e, "dNSHostName");
                if (host)
                        add_counters(v, host, dn, list);
        }
        ldap_msgfree(result);
}

/* The domain's own; a fine-grained one goes before it, and is often not to be read. */
static json_t *policy_of(struct view *v)
{
        static const char *const attributes[] = {"lockoutThreshold", "lockoutDuration", "lockOutObservationWindow",
                                                 "maxPwdAge", NULL};
        static const char *const keys[] = {"lockout_threshold", "lockout_s", "window_s", "password_age_s"};
        LDAPMessage *result = NULL;
        struct error ignored;
        LDAPMessage *entry = read_entry(v->d, v->base, "(objectClass=*)", attributes, &result, &ignored);
        json_t *policy = json_object();

        for (size_t i = 0; entry && attributes[i]; i++) {
                const long long n = reading_number(v->d, entry, attributes[i], 1);
                if (i == 0 && n >= 0)
                        (void)json_object_set_new(policy, keys[i], json_integer(n));
                else if (i > 0 && n <= 0) /* durations are negative; the least number is for ever */
                        (void)json_object_set_new(policy, keys[i],
                                                  json_integer(n <= -NEVER_AT_LEAST ? 0 : -(n / FILETIME_S)));
        }
        ldap_msgfree(result);
        return policy;
}

/* ---- the two questions ---- */

static int choose_reader(const struct lookup *l, size_t domain, struct view *v, struct error *err)
{
        v->l = l;
        v->reader = &l->readers[domain];
        if (v->reader->domain)
                return 0;
        return error_fail(err, -ENOKEY, "no reader is configured for %s", l->config->domains[domain].name);
}

int lookup_name(const struct lookup *l, const char *typed, json_t **ret_answer, struct error *err)
{
        _cleanup_(view_clear) struct view v = {.l = l};
        char fault[NAME_FAULT_MAX];
        enum reason reason = name_parse(&v.name, &l->config->validate, typed, strlen(typed));

        if (reason != REASON_OK) {
                name_fault(&l->config->validate, typed, strlen(typed), fault);
                return error_fail(err, -EINVAL, "%s",
                                  reason == REASON_BAD_NAME_FORM ? fault
                                                                 : "the name is of no domain of this configuration");
        }
        (void)snprintf(v.upn, sizeof(v.upn), "%s@%s", v.name.user, v.name.suffix);
        int r = choose_reader(l, v.name.domain, &v, err);
        if (r == 0)
                r = view_open(&v, err);
        if (r < 0)
                return r;
        json_t *found = json_array(), *dcs = json_array();
        r = find_accounts(&v, found, err);
        json_t *who = reached(found);
        if (r == 0 && who)
                add_all_counters(&v, json_string_value(json_object_get(who, "dn")), dcs);
        if (r < 0) {
                json_decref(found);
                json_decref(dcs);
                return r;
        }
        *ret_answer = json_pack("{s:b, s:s, s:s, s:s, s:O?, s:o, s:o, s:o}", "ok", 1, "domain", v.reader->domain->name,
                                "asked", v.name.form == NAME_UPN ? v.upn : typed, "dc", v.place.host, "account", who,
                                "found", found, "dcs", dcs, "policy", policy_of(&v));
        return *ret_answer ? 0 : error_fail(err, -ENOMEM, "the answer cannot be written");
}

/* Relative ids and well-known SIDs of groups that administer a domain. */
static const struct {
        const char *end, *name;
} privileged[] = {{"-512", "Domain Admins"},         {"-519", "Enterprise Admins"},  {"-518", "Schema Admins"},
                  {"-520", "Group Policy Creators"}, {"-32-544", "Administrators"},  {"-32-548", "Account Operators"},
                  {"-32-549", "Server Operators"},   {"-32-551", "Backup Operators"}};

/* Of the reader's own groups, which the domain controller tells of its session; the first SID is the reader's. */
static void put_privileges(struct view *v, json_t *list, char own[SID_TEXT_MAX])
{
        static const char *const attributes[] = {"tokenGroups", NULL};
        LDAPMessage *result = NULL;
        struct error ignored;
        LDAPMessage *entry = read_entry(v->d, "", "(objectClass=*)", attributes, &result, &ignored);
        struct berval **values = entry ? ldap_get_values_len(reading_ldap(v->d), entry, "tokenGroups") : NULL;
        char text[SID_TEXT_MAX];

        for (size_t i = 0; values && values[i]; i++) {
                if (sid_text(text, (const uint8_t *)values[i]->bv_val, values[i]->bv_len) < 0)
                        continue;
                if (i == 0)
                        memcpy(own, text, sizeof(text));
                for (size_t p = 0; p < sizeof(privileged) / sizeof(privileged[0]); p++) {
                        const size_t n = strlen(text), m = strlen(privileged[p].end);
                        if (n > m && strcmp(text + n - m, privileged[p].end) == 0)
                                (void)json_array_append_new(list, json_string(privileged[p].name));
                }
        }
        ldap_value_free_len(values);
        ldap_msgfree(result);
}

/* Other people's accounts of which it may write something: each may write some of its own. */
static void put_writable(struct view *v, const char *own, json_t *list)
{
        static const char *const attributes[] = {"allowedAttributesEffective", NULL};
        LDAPMessage *result = NULL;
        struct error ignored;
        char filter[SID_TEXT_MAX + 80];
        LDAP *ld = reading_ldap(v->d);

        (void)snprintf(filter, sizeof(filter), "(&(objectCategory=person)(objectClass=user)(!(objectSid=%s)))",
                       own[0] ? own : "S-1-0-0");
        if (reading_search(v->d, v->base, LDAP_SCOPE_SUBTREE, filter, attributes, ACCOUNT_FOUND_MAX, &result,
                           &ignored) < 0)
                return;
        for (LDAPMessage *e = ldap_first_entry(ld, result); e; e = ldap_next_entry(ld, e)) {
                struct berval **values = ldap_get_values_len(ld, e, "allowedAttributesEffective");
                char *dn = values && values[0] ? ldap_get_dn(ld, e) : NULL;
                if (dn)
                        (void)json_array_append_new(list, json_string(dn));
                ldap_memfree(dn);
                ldap_value_free_len(values);
        }
        ldap_msgfree(result);
}

int lookup_reader(const struct lookup *l, const char *domain, json_t **ret_answer, struct error *err)
{
        _cleanup_(view_clear) struct view v = {.l = l};
        const int at = config_domain_find(l->config, domain);
        char own[SID_TEXT_MAX] = "";

        if (at < 0)
                return error_fail(err, -EINVAL, "there is no domain %s in the configuration", domain);
        int r = choose_reader(l, (size_t)at, &v, err);
        if (r == 0)
                r = view_open(&v, err);
        if (r < 0)
                return r;
        json_t *groups = json_array(), *writable = json_array();
        put_privileges(&v, groups, own);
        put_writable(&v, own, writable);
        *ret_answer =
                json_pack("{s:b, s:s, s:s, s:s, s:o, s:o}", "ok", 1, "domain", v.reader->domain->name, "dc",
                          v.place.host, "reader", v.reader->domain->reader, "privileged", groups, "writable", writable);
        return *ret_answer ? 0 : error_fail(err, -ENOMEM, "the answer cannot be written");
}
