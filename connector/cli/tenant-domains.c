/*
 * Who may speak for which domain: approving a connector with its domains, and editing both.
 *
 * What a connector announces is shown, and only ever adds a domain that the roster does not have: it changes no
 * name, suffix, NetBIOS name or SID that the admin approved before. Nobody gets more domains than the admin saw:
 * where there is a choice, a person is asked or --domains makes it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/sid.h"
#include "base/core/text.h"
#include "connector/person/service-store.h"
#include "connector/cli/tenant-internal.h"

/* ---- lists in options ---- */

void tenant_names_clear(struct tenant_names *names)
{
        for (size_t i = 0; i < names->n; i++)
                free(names->list[i]);
        names->n = 0;
}

int tenant_names_split(struct tenant_names *names, const char *text, const char *option, struct error *err)
{
        if (strcmp(text, "-") == 0)
                return 0;
        for (const char *p = text; *p;) {
                size_t n = strcspn(p, ","), skip = strspn(p, " ");
                const char *next = p[n] ? p + n + 1 : p + n;

                for (p += skip, n -= skip < n ? skip : n; n > 0 && p[n - 1] == ' ';)
                        n--;
                if (n == 0)
                        return error_fail(err, -EINVAL, "%s %s: an empty name", option, text);
                if (names->n == ROSTER_NAMES_MAX)
                        return error_fail(err, -EINVAL, "%s: more than %d names", option, ROSTER_NAMES_MAX);
                if (!(names->list[names->n] = strndup(p, n)))
                        return error_fail(err, -ENOMEM, "out of memory");
                names->n++;
                p = next;
        }
        return 0;
}

/* ---- approving ---- */

/* From the file that `postern enroll` wrote, for a tenant key that is kept without a network. */
static int read_identity(const char *const *args, struct pending_identity *ret_p, struct error *err)
{
        struct service_public file = {0};
        int r = service_public_read(&file, tenant_o.identity_file, err);

        if (r == 0 && (strcmp(file.name, args[0]) != 0 || strcmp(key_kid(file.key), args[1]) != 0))
                r = error_fail(err, -EKEYREJECTED, "%s holds %s with the fingerprint %s", tenant_o.identity_file,
                               file.name, key_kid(file.key));
        if (r == 0) {
                (void)snprintf(ret_p->id, sizeof(ret_p->id), "%s", file.id);
                (void)snprintf(ret_p->name, sizeof(ret_p->name), "%s", file.name);
                ret_p->key = key_ref(file.key);
        }
        service_public_clear(&file);
        return r;
}

static const struct roster_domain *announced_domain(const struct pending_identity *p, const char *name)
{
        for (size_t i = 0; p->announced && i < p->announced->n_domains; i++)
                if (strcasecmp(p->announced->domains[i].name, name) == 0)
                        return &p->announced->domains[i];
        return NULL;
}

/* On stderr: what it is about, not what came of it. */
static void show_announced(const struct roster *roster, const struct pending_identity *p)
{
        fprintf(stderr, "Connector %s announces:\n", p->name);
        for (size_t i = 0; i < p->announced->n_domains; i++) {
                const struct roster_domain *d = &p->announced->domains[i];

                fprintf(stderr, "  %s", d->name);
                for (size_t k = 0; k < d->n_suffixes; k++)
                        fprintf(stderr, "%s%s", k ? "," : ", suffixes ", d->suffixes[k]);
                for (size_t k = 0; k < d->n_netbios; k++)
                        fprintf(stderr, "%s%s", k ? "," : ", NetBIOS ", d->netbios[k]);
                fprintf(stderr, "%s%s%s  (%s)\n", d->sid[0] ? ", SID " : "", d->sid,
                        d->is_default ? ", names without a domain" : "",
                        roster_domain(roster, d->name) ? "in the roster" : "new");
        }
}

/* A name that nobody knows is more likely mistyped than new. */
static int refuse_unknown(const struct roster *roster, const struct pending_identity *p,
                          const struct tenant_names *names, struct error *err)
{
        for (size_t i = 0; p->announced && p->announced->n_domains && i < names->n; i++)
                if (!roster_domain(roster, names->list[i]) && !announced_domain(p, names->list[i]))
                        return error_fail(err, -ENOENT,
                                          "--domains: connector %s does not announce %s, and the roster has no such "
                                          "domain; where it is to have one, first run: postern tenant domain set %s",
                                          p->name, names->list[i], names->list[i]);
        return 0;
}

static int take_name(struct tenant_names *names, const char *name, struct error *err)
{
        if (!(names->list[names->n] = strdup(name)))
                return error_fail(err, -ENOMEM, "out of memory");
        names->n++;
        return 0;
}

/* Which domains the newcomer gets. */
static int choose_domains(const struct roster *roster, const struct pending_identity *p, struct tenant_names *names,
                          struct error *err)
{
        char question[256], otherwise[256];
        int r = 0;

        if (p->announced && p->announced->n_domains)
                show_announced(roster, p);
        if (tenant_o.domains) {
                r = tenant_names_split(names, tenant_o.domains, "--domains", err);
                return r < 0 ? r : refuse_unknown(roster, p, names, err);
        }
        if (!p->announced || p->announced->n_domains == 0) /* as with --identity: the tenant's one domain */
                return roster->n_domains == 1
                               ? take_name(names, roster->domains[0].name, err)
                               : error_fail(err, -EINVAL,
                                            "connector %s announces no domains: say which with --domains A,B", p->name);
        (void)snprintf(question, sizeof(question), "May %s speak for all of them? (yes/no; --domains A,B names some) ",
                       p->name);
        (void)snprintf(otherwise, sizeof(otherwise),
                       "say which of these domains connector %s may speak for: --domains A,B", p->name);
        /* where the tenant has this one domain, there is nothing to choose */
        if (p->announced->n_domains > 1 || roster->n_domains > 1 ||
            (roster->n_domains && strcmp(roster->domains[0].name, p->announced->domains[0].name) != 0))
                r = tenant_confirm(question, otherwise, err);
        for (size_t i = 0; r == 0 && i < p->announced->n_domains; i++)
                r = take_name(names, p->announced->domains[i].name, err);
        return r;
}

/* A domain that stands in the roster stays as it is; what the newcomer says otherwise is told, and another SID is
 * another domain. */
static int compare_domain(const struct roster_domain *have, const struct roster_domain *says, struct error *err)
{
        if (!says)
                return 0;
        if (have->sid[0] && says->sid[0] && strcmp(have->sid, says->sid) != 0)
                return error_fail(err, -EBADE,
                                  "its domain %s has the SID %s, and the roster's has %s: it is another domain",
                                  have->name, says->sid, have->sid);
        if (!have->sid[0] && says->sid[0])
                fprintf(stderr,
                        "postern: the roster has no SID for %s; if %s is its, run `postern tenant domain set %s --sid "
                        "%s`\n",
                        have->name, says->sid, have->name, says->sid);
        for (size_t i = 0; i < says->n_suffixes; i++) {
                const char *of[] = {says->suffixes[i]};
                bool known = false;

                for (size_t k = 0; k < have->n_suffixes; k++)
                        known = known || strcasecmp(have->suffixes[k], of[0]) == 0;
                if (!known)
                        fprintf(stderr,
                                "postern: the roster does not have the suffix %s of %s: names with it are not sent\n",
                                of[0], have->name);
        }
        return 0;
}

/*
 * Where names without a domain go, and their passwords: where there was no domain yet, what the newcomer says, else its
 * first one. Later nobody becomes it by what it says of itself: that is the admin's to say. NULL: it stays as it is.
 */
static const char *default_of(const struct roster *roster, const struct pending_identity *p,
                              const struct tenant_names *names)
{
        if (roster->n_domains || names->n == 0)
                return NULL;
        for (size_t i = 0; i < names->n; i++) {
                const struct roster_domain *says = announced_domain(p, names->list[i]);

                if (says && says->is_default)
                        return names->list[i];
        }
        return names->list[0];
}

/* As it was announced, or by its name alone. */
static int bring_in(struct roster *roster, const struct pending_identity *p, char *name, bool by_default,
                    struct error *err)
{
        const struct roster_domain *have = roster_domain(roster, name), *says = announced_domain(p, name);
        struct roster_domain fresh = {.name = name};

        if (have)
                return compare_domain(have, says, err);
        if (says)
                fresh = *says;
        if (!says)
                fprintf(stderr,
                        "postern: domain %s is new and was not announced: `postern tenant domain set %s` gives it its "
                        "suffixes, NetBIOS names and SID\n",
                        name, name);
        else if (says->is_default && !by_default && !roster_default_domain(roster))
                fprintf(stderr,
                        "postern: the roster sends names without a domain nowhere; if they are %s's, run `postern "
                        "tenant "
                        "domain set %s --default`\n",
                        name, name);
        fresh.is_default = by_default;
        return roster_domain_put(roster, &fresh, err);
}

static int approve(struct tenant_store *s, const struct pending_identity *p, struct error *err)
{
        _cleanup_(tenant_names_clear) struct tenant_names names = {0};
        const struct roster_member *same = tenant_store_member(s, p->id);
        const char *by_default;
        int r = 0;

        /* roster_add replaces by id, and the id is what the newcomer says: it must not push out another connector */
        if (same && strcmp(key_kid(same->key), key_kid(p->key)) != 0)
                r = error_fail(err, -EEXIST,
                               "connector %s already has the id %s with another key: if it was enrolled anew, first "
                               "`postern tenant remove %s`",
                               same->name, p->id, same->name);
        if (r == 0 && p->announced && p->announced->roster_form < roster_form_needed(s->roster))
                r = error_fail(err, -EPROTONOSUPPORT,
                               "connector %s runs a version of Postern that cannot read this roster: upgrade it first",
                               p->name);
        if (r == 0)
                r = choose_domains(s->roster, p, &names, err);
        by_default = r == 0 ? default_of(s->roster, p, &names) : NULL;
        for (size_t i = 0; r == 0 && i < names.n; i++)
                r = bring_in(s->roster, p, names.list[i], names.list[i] == by_default, err);
        if (r == 0)
                r = roster_add(s->roster, false, p->id, p->name, p->key, err);
        return r < 0 ? r : roster_speak(s->roster, p->id, (const char *const *)names.list, names.n, err);
}

int tenant_edit_approve(struct tenant_store *s, const char *const *args, struct error *err)
{
        _cleanup_(pending_identity_clear) struct pending_identity p = {0};
        int r;

        for (size_t i = 0; i < s->roster->n_connectors; i++)
                if (!strcmp(key_kid(s->roster->connectors[i].key), args[1]))
                        return error_fail(err, -EEXIST, "%s (%s) is in the roster already",
                                          s->roster->connectors[i].name, args[1]);
        r = tenant_o.identity_file ? read_identity(args, &p, err) : tenant_find_pending(s, args[0], args[1], &p, err);
        return r < 0 ? r : approve(s, &p, err);
}

/* ---- domains ---- */

static const struct cli_option domain_options[] = {
        OPTION_DIR,
        {"suffixes", "A,B", &tenant_o.suffixes, NULL, "its further UPN suffixes; - for none"},
        {"netbios", "A,B", &tenant_o.netbios, NULL, "its NetBIOS names; - for none"},
        {"sid", "SID", &tenant_o.sid, NULL, "its SID, S-1-5-21-A-B-C; - for none"},
        {"default", NULL, NULL, &tenant_o.by_default, "names without a domain are its"},
        {"not-default", NULL, NULL, &tenant_o.not_default, "they are no longer its"},
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        OPTIONS_SIGN,
        {0},
};
static const struct cli_option edit_options[] = {
        OPTION_DIR, OPTIONS_RELAY, OPTION_PASSPHRASE, OPTIONS_SIGN, {0},
};

/* What the options say over what the roster has. fresh borrows from all of them. */
static int overlay(struct roster_domain *fresh, struct tenant_names *suffixes, struct tenant_names *netbios,
                   struct error *err)
{
        int r;

        if (tenant_o.suffixes) {
                if ((r = tenant_names_split(suffixes, tenant_o.suffixes, "--suffixes", err)) < 0)
                        return r;
                fresh->suffixes = suffixes->list;
                fresh->n_suffixes = suffixes->n;
        }
        if (tenant_o.netbios) {
                if ((r = tenant_names_split(netbios, tenant_o.netbios, "--netbios", err)) < 0)
                        return r;
                fresh->netbios = netbios->list;
                fresh->n_netbios = netbios->n;
        }
        if (tenant_o.sid && strcmp(tenant_o.sid, "-") != 0 && !sid_is_domain(tenant_o.sid))
                return error_fail(err, -EINVAL, "--sid %s: a domain's SID is S-1-5-21- and three numbers",
                                  tenant_o.sid);
        if (tenant_o.sid)
                snprintf(fresh->sid, sizeof(fresh->sid), "%s", strcmp(tenant_o.sid, "-") ? tenant_o.sid : "");
        if (tenant_o.by_default && tenant_o.not_default)
                return error_fail(err, -EINVAL, "--default and --not-default: one of them");
        fresh->is_default = (fresh->is_default || tenant_o.by_default) && !tenant_o.not_default;
        return 0;
}

static int edit_domain_set(struct tenant_store *s, const char *const *args, struct error *err)
{
        _cleanup_(tenant_names_clear) struct tenant_names suffixes = {0}, netbios = {0};
        const struct roster_domain *have = roster_domain(s->roster, args[0]);
        char *name = strdup(args[0]);
        struct roster_domain fresh = {.name = name, .is_default = s->roster->n_domains == 0};
        int r;

        if (have)
                fresh = *have;
        r = name ? overlay(&fresh, &suffixes, &netbios, err) : error_fail(err, -ENOMEM, "out of memory");
        if (r == 0)
                r = roster_domain_put(s->roster, &fresh, err);
        free(name);
        return r;
}

static int edit_domain_remove(struct tenant_store *s, const char *const *args, struct error *err)
{
        return roster_domain_remove(s->roster, args[0], err);
}

static int list_domains(const struct cli *cli)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        struct error err = {""};
        int r = tenant_store_open(&s, tenant_o.dir, &err);

        if (r < 0)
                return cli_error(cli, "%s", err.text);
        if (cli->json && s.roster)
                tenant_print_roster(s.roster, true);
        else if (!s.roster || s.roster->n_domains == 0)
                return cli_error(cli, "the roster has no domains yet: `postern tenant approve` brings them in, or "
                                      "`postern tenant domain set`");
        for (size_t i = 0; !cli->json && i < s.roster->n_domains; i++)
                tenant_print_domain(&s.roster->domains[i]);
        return 0;
}

int cmd_tenant_domain(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "domain",
                .words = "[list | set NAME | remove NAME]",
                .max_words = 2,
                .about = "Whose a name is. Services send a name only to connectors that may speak for its\n"
                         "domain (`tenant connector-domains`), and believe them about no other.\n",
                .options = domain_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);
        const char *what;

        if (code >= 0)
                return code;
        what = words[0] ? words[0] : "list";
        if (!strcmp(what, "list") && (!words[0] || !words[1]))
                return list_domains(cli);
        if (strcmp(what, "set") != 0 && strcmp(what, "remove") != 0)
                return cli_usage_error(cli, "%s: list, set or remove", what);
        if (!words[1])
                return cli_usage_error(cli, "%s which domain?", what);
        return tenant_edit(cli, !strcmp(what, "set") ? edit_domain_set : edit_domain_remove,
                           (const char *const[]){words[1], NULL});
}

/* ---- a connector's domains ---- */

static int edit_connector_domains(struct tenant_store *s, const char *const *args, struct error *err)
{
        _cleanup_(tenant_names_clear) struct tenant_names names = {0};
        int r = tenant_names_split(&names, args[1], "DOMAINS", err);

        return r < 0 ? r : roster_speak(s->roster, args[0], (const char *const *)names.list, names.n, err);
}

int cmd_tenant_connector_domains(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "connector-domains",
                .words = "CONNECTOR DOMAINS",
                .min_words = 2,
                .max_words = 2,
                .about = "For which domains of the roster a connector may speak: A,B, or - for none. It\n"
                         "gets no password of any other, and is not believed about any other.\n",
                .options = edit_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : tenant_edit(cli, edit_connector_domains, (const char *const[]){words[0], words[1]});
}
