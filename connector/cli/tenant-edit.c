/*
 * Editing the roster: from the newest one, signed, published, and only then stored.
 *
 * Invariant: what the folder holds came into force, or was signed with --no-publish or without a relay; so two
 * admins who edit at the same time get one roster and one refusal, never two rosters of one number.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/cli/tenant-internal.h"

/* ---- what the command line gives ---- */

int tenant_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, char ***ret_words)
{
        static char *fallback;
        int code = cli_parse(cli, usage, argc, argv, ret_words);

        if (code >= 0 || tenant_o.dir)
                return code;
        fallback = folder_default("tenant");
        tenant_o.dir = fallback;
        return fallback ? -1 : cli_usage_error(cli, "HOME is not set: name the folder with --dir");
}

int tenant_remember(struct tenant_store *s, struct error *err)
{
        int r = folder_check_relay(tenant_o.relay, err);

        if (r < 0)
                return r;
        if (tenant_o.relay && text_set(&s->relay, tenant_o.relay) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        r = folder_set_path(&s->ca_file, tenant_o.ca_file, err);
        return r < 0 ? r : folder_set_path(&s->admin_secret_file, tenant_o.admin_secret_file, err);
}

int tenant_confirm(const char *question, const char *otherwise, struct error *err)
{
        char answer[16];

        if (!isatty(STDIN_FILENO))
                return error_fail(err, -EINVAL, "%s", otherwise);
        fputs(question, stderr);
        if (fgets(answer, sizeof(answer), stdin) && strcasecmp(answer, "yes\n") == 0)
                return 0;
        return error_fail(err, -ECANCELED, "nothing was changed");
}

static int open_key(const struct tenant_store *s, struct key **ret_key, struct error *err)
{
        struct secret *pass = NULL;
        int r = 0;

        if (tenant_store_key_encrypted(s))
                r = prompt_passphrase(tenant_o.passphrase_file, "Passphrase of the tenant key: ", &pass, err);
        if (r == 0)
                r = tenant_store_key(s, pass ? secret_text(pass) : NULL, ret_key, err);
        secret_free(pass);
        return r;
}

/* ---- showing ---- */

static json_t *names_json(char *const *names, size_t n)
{
        json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, json_string(names[i]));
        return list;
}

static json_t *members_json(const struct roster_member *members, size_t n)
{
        json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s*, s:o*, s:o*}", "id", members[i].id, "name",
                                                      members[i].name, "fingerprint", key_kid(members[i].key), "role",
                                                      members[i].role, "domains",
                                                      members[i].domains || !members[i].role
                                                              ? names_json(members[i].domains, members[i].n_domains)
                                                              : NULL,
                                                      "until", members[i].exp ? json_integer(members[i].exp) : NULL));
        return list;
}

static void print_json(const struct roster *r)
{
        json_t *domains = json_array();

        for (size_t i = 0; i < r->n_domains; i++) {
                const struct roster_domain *d = &r->domains[i];

                json_array_append_new(domains, json_pack("{s:s, s:o, s:o, s:s, s:b}", "name", d->name, "suffixes",
                                                         names_json(d->suffixes, d->n_suffixes), "netbios",
                                                         names_json(d->netbios, d->n_netbios), "sid", d->sid, "default",
                                                         d->is_default));
        }
        json_t *json =
                json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "tenant", r->tenant, "seq", (json_int_t)r->seq,
                          "iat", (json_int_t)r->iat, "exp", (json_int_t)r->exp, "domains", domains, "connectors",
                          members_json(r->connectors, r->n_connectors), "services",
                          members_json(r->services, r->n_services), "people", members_json(r->people, r->n_people));

        if (json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0)
                putchar('\n');
        json_decref(json);
}

#define ROSTER_WARN_DAYS 7

static void print_names(const char *what, char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                printf("%s%s", i ? "," : what, names[i]);
}

void tenant_print_domain(const struct roster_domain *d)
{
        printf("  domain     %-20s", d->name);
        print_names(" suffixes ", d->suffixes, d->n_suffixes);
        print_names(" NetBIOS ", d->netbios, d->n_netbios);
        printf("%s%s%s\n", d->sid[0] ? " SID " : "", d->sid, d->is_default ? " (default)" : "");
}

void tenant_print_roster(const struct roster *r, bool json)
{
        const int64_t left = r->exp - (int64_t)time(NULL);
        char until[32];
        time_t exp = (time_t)r->exp;
        struct tm tm;

        /* services and connectors stop where it ends, so the one who can sign hears of it in time */
        if (r->seq && left > 0 && left < ROSTER_WARN_DAYS * 86400)
                fprintf(stderr,
                        "postern: the roster ends in %" PRId64 " hours, and with it every sign-in: run `postern tenant "
                        "roster sign`\n",
                        left / 3600);
        if (json) {
                print_json(r);
                return;
        }
        gmtime_r(&exp, &tm);
        strftime(until, sizeof(until), "%Y-%m-%d %H:%M UTC", &tm);
        printf("Roster of tenant %s, number %" PRIu64 ", valid until %s%s\n", r->tenant, r->seq,
               r->seq ? until : "(never signed)",
               r->seq && r->exp < (int64_t)time(NULL) ? " (EXPIRED: run `postern tenant roster sign`)" : "");
        for (size_t i = 0; i < r->n_domains; i++)
                tenant_print_domain(&r->domains[i]);
        for (size_t i = 0; i < r->n_connectors; i++) {
                const struct roster_member *m = &r->connectors[i];

                printf("  connector  %-20s %s  %s", m->name, m->id, key_kid(m->key));
                print_names("  for ", m->domains, m->n_domains);
                printf("%s\n", m->n_domains ? "" : "  FOR NO DOMAIN: run `postern tenant connector-domains`");
        }
        for (size_t i = 0; i < r->n_services; i++)
                printf("  service    %-20s %s  %s%s%s\n", r->services[i].name, r->services[i].id,
                       key_kid(r->services[i].key), strcmp(r->services[i].role, ROSTER_SIGN_IN) ? "  role " : "",
                       strcmp(r->services[i].role, ROSTER_SIGN_IN) ? r->services[i].role : "");
        for (size_t i = 0; i < r->n_people; i++)
                tenant_print_person(&r->people[i]);
}

/* ---- editing ---- */

int tenant_newest(struct tenant_store *s, struct error *err)
{
        int r = tenant_catch_up(s, err);

        if (r == 1)
                fprintf(stderr, "postern: the relay has a newer roster, number %" PRIu64 ": it is taken\n",
                        s->roster->seq);
        if (r == 0 && s->roster && s->relay_seq < s->roster->seq)
                fprintf(stderr, "postern: the relay has %s roster than this folder's, number %" PRIu64 "\n",
                        s->relay_seq ? "an older" : "no", s->roster->seq);
        return r == -ENOENT && !s->relay ? 0 : r < 0 ? r : 0;
}

/* What is not published is not stored, unless that is wanted. */
static int sign_and_publish(struct tenant_store *s, uint64_t days, struct key *key, struct error *err)
{
        int r = tenant_readable(s, err);

        if (r == 0)
                r = roster_sign(s->roster, key, (int64_t)time(NULL), (int64_t)days * 86400, err);
        if (r == 0 && s->relay && !tenant_o.no_publish) {
                r = tenant_publish(s, err);
                if (r < 0)
                        return error_prefix(err, r,
                                            "the relay did not confirm the new roster, and the folder keeps the one it "
                                            "has (`postern tenant roster fetch` shows which is in force)");
        }
        return r < 0 ? r : tenant_store_save(s, err);
}

int tenant_edit(const struct cli *cli, tenant_edit_fn *edit, const char *const *args)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        _cleanup_(key_freep) struct key *key = NULL;
        struct error err = {""};
        uint64_t days = 30;
        int r;

        if (tenant_o.days_text && text_parse_u64(tenant_o.days_text, 1, 30, &days) < 0)
                return cli_usage_error(cli, "--days %s: a number from 1 to 30", tenant_o.days_text);
        r = tenant_store_open(&s, tenant_o.dir, &err);
        if (r == 0)
                r = tenant_remember(&s, &err);
        if (r == 0)
                r = tenant_newest(&s, &err);
        if (r == 0 && !s.roster && (r = open_key(&s, &key, &err)) == 0)
                r = roster_new(&s.roster, s.tenant, key);
        if (r == 0)
                r = edit(&s, args, &err);
        if (r == 0 && !key) /* nobody types a passphrase for what is refused anyway */
                r = open_key(&s, &key, &err);
        if (r == 0)
                r = sign_and_publish(&s, days, key, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        tenant_print_roster(s.roster, cli->json);
        if (!cli->json && (!s.relay || tenant_o.no_publish))
                printf("Not published: run `postern tenant roster publish --relay URL --admin-secret-file "
                       "FILE`.\n");
        return 0;
}
