/*
 * The other names under which a sign-in of the same person may be kept: who typed CORP\alice yesterday types
 * alice@corp.example today, and where no account was seen the typed name is all there is.
 *
 * Knows the domains of the configuration, not the directory: names that differ before the @ or behind the
 * \ are other people to it.
 */
#include <string.h>
#include <strings.h>

#include "connector/ledger/ledger.h"

static void add(json_t *names, const char *head, char between, const char *tail)
{
        char name[REQUEST_TEXT_MAX * 2];
        int n = snprintf(name, sizeof(name), "%s%c%s", head, between, tail);

        if (n > 0 && (size_t)n < sizeof(name))
                (void)json_array_append_new(names, json_string(name));
}

/* account in the domain d, without the domain's other suffixes: what stands before those may differ. */
static void add_account(json_t *names, const struct config *c, const struct domain_config *d, const char *account)
{
        add(names, account, '@', d->name);
        if (d->netbios)
                add(names, d->netbios, '\\', account);
        if (c->validate.default_domain && strcasecmp(c->validate.default_domain, d->name) == 0)
                (void)json_array_append_new(names, json_string(account));
}

json_t *ledger_names(const struct config *c, const char *typed)
{
        json_t *names = json_array();
        const char *at = strrchr(typed, '@'), *slash = strchr(typed, '\\');
        char head[REQUEST_TEXT_MAX + 1] = "";

        (void)json_array_append_new(names, json_string(typed));
        if (at || slash)
                (void)snprintf(head, sizeof(head), "%.*s", (int)((slash ? slash : at) - typed), typed);
        for (size_t i = 0; i < c->validate.n_domains; i++) {
                const struct domain_config *d = &c->domains[i];

                if (!at && !slash) { /* a bare name: of any domain */
                        add_account(names, c, d, typed);
                        for (size_t k = 0; k < SUFFIXES_MAX && d->suffixes[k]; k++)
                                add(names, typed, '@', d->suffixes[k]);
                } else if (slash && d->netbios && strcasecmp(head, d->netbios) == 0) {
                        add_account(names, c, d, slash + 1);
                } else if (!slash && strcasecmp(at + 1, d->name) == 0) {
                        add_account(names, c, d, head);
                }
        }
        return names;
}
