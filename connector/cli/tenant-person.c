/*
 * `postern tenant approve-person`: who of the helpdesk may ask every connector what became of sign-ins.
 *
 * A person's powers are the roster's alone: which domains, and until when, 90 days at most. The key was made by the
 * person, and only its public half comes here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "connector/person/service-store.h"
#include "connector/cli/tenant-internal.h"

#define DAY_S 86400

static const struct cli_option options[] = {
        OPTION_DIR,
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        {"domains", "A,B", &tenant_o.domains, NULL, "whose sign-ins the person may see"},
        {"for", "DAYS", &tenant_o.life_text, NULL, "when it ends, 1..90 days from now (90)"},
        OPTIONS_SIGN,
        {0},
};

/* The domains of --domains; without it the roster's one. */
static int choose(const struct roster *roster, struct tenant_names *names, struct error *err)
{
        if (tenant_o.domains)
                return tenant_names_split(names, tenant_o.domains, "--domains", err);
        if (roster->n_domains != 1)
                return error_fail(err, -EINVAL,
                                  "the roster has %zu domains: say with --domains whose sign-ins it is about",
                                  roster->n_domains);
        return tenant_names_split(names, roster->domains[0].name, "--domains", err);
}

static int edit(struct tenant_store *s, const char *const *args, struct error *err)
{
        _cleanup_(service_public_clear) struct service_public p = {0};
        _cleanup_(tenant_names_clear) struct tenant_names names = {0};
        uint64_t days = ROSTER_PERSON_LIFE_MAX / DAY_S;
        int r = service_public_read(&p, args[0], err);

        if (r == 0 && strcmp(key_kid(p.key), args[1]) != 0)
                r = error_fail(err, -EKEYREJECTED, "%s holds the key %s, not %s", args[0], key_kid(p.key), args[1]);
        if (r == 0 && tenant_o.life_text && text_parse_u64(tenant_o.life_text, 1, days, &days) < 0)
                r = error_fail(err, -EINVAL, "--for %s: a number of days from 1 to %d", tenant_o.life_text,
                               ROSTER_PERSON_LIFE_MAX / DAY_S);
        if (r == 0)
                r = choose(s->roster, &names, err);
        if (r < 0)
                return r;
        const struct roster_grant grant = {.id = p.id,
                                           .name = p.name,
                                           .role = ROSTER_HELPDESK,
                                           .key = p.key,
                                           .domains = (const char *const *)names.list,
                                           .n_domains = names.n,
                                           .exp = (int64_t)time(NULL) + (int64_t)days * DAY_S};
        return roster_person_put(s->roster, &grant, err);
}

void tenant_print_person(const struct roster_member *m)
{
        char until[32];
        const time_t exp = (time_t)m->exp;
        struct tm tm;

        gmtime_r(&exp, &tm);
        strftime(until, sizeof(until), "%Y-%m-%d %H:%M UTC", &tm);
        printf("  person     %-20s %s  %s  %s until %s%s", m->name, m->id, key_kid(m->key), m->role, until,
               m->exp < (int64_t)time(NULL) ? " (ENDED)" : "");
        for (size_t i = 0; i < m->n_domains; i++)
                printf("%s%s", i ? "," : "  for ", m->domains[i]);
        printf("%s\n", m->n_domains ? "" : "  FOR NO DOMAIN");
}

int cmd_tenant_approve_person(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "approve-person",
                .words = "FILE FINGERPRINT",
                .min_words = 2,
                .max_words = 2,
                .about = "Lets a person of the helpdesk ask every connector what became of sign-ins\n"
                         "(postern explain --everywhere). FILE is the person's person.pub.json, and\n"
                         "FINGERPRINT what `postern person init` printed: get it from the person. Once\n"
                         "more for somebody who is there: other domains, a later end.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : tenant_edit(cli, edit, (const char *const[]){words[0], words[1]});
}
