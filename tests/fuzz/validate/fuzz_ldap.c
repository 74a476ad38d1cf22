/*
 * What a DC may send: the cutting of messages, their parts, and the identity drawn from them.
 *
 * Properties: whatever was parsed lies inside the message; an identity has an id, and only one that both
 * answers gave; attributes are text, bounded, and of the names that were asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/ldap/details.h"
#include "validate/ldap/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct domain_config corp = {
        .name = "corp.example",
        .search_base = "DC=corp,DC=example",
        .attributes = {"mail", "memberOf", "objectSid", "objectGUID", "tokenGroups", "sAMAccountName"},
        .nested_groups = true,
};

static void require(bool holds)
{
        if (!holds)
                abort();
}

struct span {
        const char *from;
        size_t n;
};

static void inside(const struct span *whole, const struct ldap_bytes *part)
{
        require(part->n == 0 || (part->data >= whole->from && part->data + part->n <= whole->from + whole->n));
}

static void on_value(void *arg, const struct ldap_bytes *attribute, const struct ldap_bytes *value, size_t index)
{
        char sid[SID_TEXT_MAX];

        (void)index;
        inside(arg, attribute);
        inside(arg, value);
        if (ldap_extended_sid(sid, value) == 0)
                require(strlen(sid) > 0 && strlen(sid) < sizeof sid);
}

/* Takes the message as the answer to each question in turn. */
static void use(struct ldap_who *who, const struct ldap_message *m, const struct span *whole)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        struct outcome out = {0};

        inside(whole, &m->diagnostic);
        inside(whole, &m->name);
        inside(whole, &m->value);
        inside(whole, &m->attributes);
        for (int ad = 0; ad < 2; ad++) {
                const struct ldap_refusal refusal = {
                        .result = m->result, .diagnostic = m->diagnostic.data, .n = m->diagnostic.n, .ad = ad};

                outcome_from_ldap(&out, &refusal);
                require(out.reason != REASON_OK || m->result == 0);
        }
        if (m->op == LDAP_OP_ENTRY) {
                (void)ldap_entry_each(m, on_value, (void *)(uintptr_t)whole);
                if (who->base[0])
                        ldap_who_account(who, m);
                else
                        ldap_who_entry(who, m);
        } else if (!who->base[0]) {
                ldap_who_done(who, m);
                (void)ldap_who_look_up(&request, 1, who);
        }
        buffer_free(&request);
}

static void check_details(const struct ldap_details *d)
{
        struct account_details details;
        const char *name, *value;

        ldap_details_result(d, &details);
        require(details.state != DETAILS_UNAVAILABLE || details.values.len == 0);
        require(details.values.len <= sizeof details.values.bytes);
        for (size_t at = 0; pairs_next(&details.values, &at, &name, &value);) {
                size_t i = 0;

                require(utf8_valid(value, strlen(value)));
                while (i < ATTRIBUTES_MAX && corp.attributes[i] && strcmp(corp.attributes[i], name) != 0)
                        i++;
                require(i < ATTRIBUTES_MAX && corp.attributes[i]);
        }
}

/* Takes the message as the answer to the question under way. */
static void use_details(struct ldap_details *d, const struct ldap_message *m)
{
        struct buffer request = BUFFER(LDAP_REQUEST_MAX);

        if (d->asked == 0)
                (void)ldap_details_ask(d, &request, 1);
        if (m->op == LDAP_OP_ENTRY || m->op == LDAP_OP_REFERENCE) {
                ldap_details_entry(d, m);
        } else if (d->asked < 3) {
                ldap_details_done(d, m);
                buffer_clear(&request);
                (void)ldap_details_ask(d, &request, 2);
        }
        buffer_free(&request);
}

static void check_identity(const struct ldap_who *who)
{
        struct identity id = {0};
        const char *why;

        if (ldap_who_identity(&id, who, &corp, &why) < 0) {
                require(id.id[0] == '\0' && why);
                return;
        }
        require(id.id[0] != '\0' && (who->accounts == 1 || (who->accounts == 0 && !who->generic)));
        require(who->generic || strcmp(id.id, who->sid) == 0);
        require(utf8_valid(id.sam, strlen(id.sam)) && utf8_valid(id.upn, strlen(id.upn)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct ldap_details details = {.domain = &corp, .base = "<SID=S-1-5-21-1-2-3-1000>"};
        struct ldap_who who = {0};
        size_t len;

        while (n > 0 && ldap_message_length(data, n, &len) == 0 && len <= n) {
                struct ldap_message m;
                uint8_t *block = calloc(1, len + 1);

                require(len >= 2 && len <= LDAP_MESSAGE_MAX && block);
                memcpy(block, data, len);
                if (ldap_message_parse(&m, block, len) == 0) {
                        struct span whole = {(const char *)block, len};

                        require(m.id >= 0);
                        use(&who, &m, &whole);
                        use_details(&details, &m);
                }
                free(block);
                data += len;
                n -= len;
        }
        check_identity(&who);
        check_details(&details);
        return 0;
}
