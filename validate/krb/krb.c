/*
 * The krb5 context of the validator and the keys of its domains.
 *
 * Invariant: nothing outside this process's configuration steers libkrb5: the profile is a table in this
 * file, no system file, environment variable, DNS look-up or plugin is read. A domain's keys are copied into
 * a memory keytab when it is added, so a sign-in reads no file.
 *
 * It does not talk to KDCs (krb/attempt.c) and does not judge tickets (krb/verify.c).
 */
#include "validate/krb/krb.h"

#include <errno.h>
#include <inttypes.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "validate/krb/armor.h"
#include "validate/krb/batch.h"

#define ARMOR_LIFE_S (10 * 3600) /* the KDC may give less */

/* The whole of what libkrb5 may read: section, relation, value. Every other question is answered "not set".
 */
static const struct {
        const char *section;
        const char *relation;
        const char *subrelation; /* or NULL */
        const char *value;
} profile_rows[] = {
        {"libdefaults", "dns_lookup_kdc", NULL, "false"},
        {"libdefaults", "dns_lookup_realm", NULL, "false"},
        {"libdefaults", "dns_uri_lookup", NULL, "false"},
        {"libdefaults", "dns_canonicalize_hostname", NULL, "false"},
        {"libdefaults", "rdns", NULL, "false"},
        {"libdefaults", "default_realm", NULL, "POSTERN.INVALID"},
        {"libdefaults", "kdc_timesync", NULL, "0"},
        {"libdefaults", "clockskew", NULL, "300"},
        {"libdefaults", "canonicalize", NULL, "false"},
        {"libdefaults", "forwardable", NULL, "false"},
        {"libdefaults", "proxiable", NULL, "false"},
        {"libdefaults", "noaddresses", NULL, "true"},
        {"libdefaults", "ticket_lifetime", NULL, "600"},
        {"libdefaults", "allow_weak_crypto", NULL, "false"},
        {"libdefaults", "udp_preference_limit", NULL, "1"},
        {"libdefaults", "plugin_base_dir", NULL, "/nonexistent"},
        {"libdefaults", "default_ccache_name", NULL, "MEMORY:none"},
        {"libdefaults", "default_keytab_name", NULL, "MEMORY:none"},
        {"libdefaults", "default_client_keytab_name", NULL, "MEMORY:none"},
        {"libdefaults", "permitted_enctypes", NULL,
         "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 "
         "aes128-cts-hmac-sha256-128"},
        {"libdefaults", "preferred_preauth_types", NULL, "2"},
        /* the second works within armour only */
        {"plugins", "clpreauth", "enable_only", "encrypted_timestamp encrypted_challenge"},
};

#define PROFILE_VALUES_MAX 4

static const char *profile_lookup(const char *const *names)
{
        for (size_t i = 0; i < sizeof profile_rows / sizeof *profile_rows; i++) {
                const char *sub = profile_rows[i].subrelation;

                if (!names[0] || strcmp(names[0], profile_rows[i].section) != 0)
                        continue;
                if (!names[1] || strcmp(names[1], profile_rows[i].relation) != 0)
                        continue;
                if (!sub ? !names[2] : names[2] && strcmp(names[2], sub) == 0 && !names[3])
                        return profile_rows[i].value;
        }
        return NULL;
}

static void profile_free(void *data, char **values)
{
        (void)data;
        for (char **v = values; v && *v; v++)
                free(*v);
        free(values);
}

/* Answers one question of libkrb5 with a NULL-terminated list: plugins' names are separate values. */
static long profile_get(void *data, const char *const *names, char ***ret_values)
{
        const char *value = profile_lookup(names);
        bool several = names[0] && strcmp(names[0], "plugins") == 0;
        char **values;

        (void)data;
        if (!value)
                return PROF_NO_RELATION;
        values = calloc(PROFILE_VALUES_MAX + 1, sizeof *values);
        for (size_t i = 0; values && *value && i < PROFILE_VALUES_MAX; i++) {
                size_t n = several ? strcspn(value, " ") : strlen(value);

                values[i] = strndup(value, n);
                if (!values[i]) {
                        profile_free(NULL, values);
                        return ENOMEM;
                }
                value += n + (value[n] == ' ');
        }
        if (!values)
                return ENOMEM;
        *ret_values = values;
        return 0;
}

/* Writes "what: libkrb5's sentence" into err. */
static int fail_krb(struct error *err, krb5_context context, krb5_error_code code, const char *what)
{
        const char *text = krb5_get_error_message(context, code);
        int r = error_fail(err, code == ENOMEM ? -ENOMEM : -EINVAL, "%s: %s", what, text);

        krb5_free_error_message(context, text);
        return r;
}

/* krb5_init_context reads KRB5_TRACE even in its secure mode, so the variables go away before. */
static krb5_error_code context_new(struct krb *krb)
{
        static const char *const variables[] = {"KRB5_CONFIG",    "KRB5_TRACE",         "KRB5CCNAME",
                                                "KRB5_KTNAME",    "KRB5_CLIENT_KTNAME", "KRB5_KDC_PROFILE",
                                                "KRB5RCACHENAME", "KRB5RCACHEDIR",      "KRB5RCACHETYPE"};
        struct profile_vtable vtable = {.minor_ver = 1, .get_values = profile_get, .free_values = profile_free};
        krb5_error_code code;

        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
                unsetenv(variables[i]);
        code = (krb5_error_code)profile_init_vtable(&vtable, NULL, &krb->profile);
        if (code)
                return code;
        code = krb5_init_context_profile(krb->profile, KRB5_INIT_CONTEXT_SECURE, &krb->context);
        if (code)
                return code;
        code = krb5_set_trace_callback(krb->context, NULL, NULL);
        if (code && code != KRB5_TRACE_NOSUPP)
                return code;
        code = krb5_get_init_creds_opt_alloc(krb->context, &krb->options);
        if (!code)
                code = krb5_get_init_creds_opt_alloc(krb->context, &krb->armor_options);
        if (!code)
                krb5_get_init_creds_opt_set_tkt_life(krb->armor_options, ARMOR_LIFE_S);
        return code;
}

int krb_new(struct krb **ret, struct loop *loop, struct error *err)
{
        struct krb *krb = calloc(1, sizeof *krb);
        krb5_error_code code;

        if (!krb)
                return error_fail(err, -ENOMEM, "Kerberos: out of memory");
        krb->method.ops = &krb_ops;
        krb->loop = loop;
        TAILQ_INIT(&krb->domains);
        TAILQ_INIT(&krb->kdcs);
        code = krb_batch_new(&krb->batch, loop) < 0 ? ENOMEM : context_new(krb);
        if (code) {
                int r = fail_krb(err, krb->context, code, "Kerberos: libkrb5 does not start");

                krb_free(&krb->method);
                return r;
        }
        *ret = krb;
        return 0;
}

static void domain_free(struct krb *krb, struct krb_domain *domain)
{
        if (!domain)
                return;
        krb_armor_free(domain->armor);
        free(domain->armor_principal);
        if (domain->keytab)
                krb5_kt_close(krb->context, domain->keytab);
        if (domain->armor_keytab)
                krb5_kt_close(krb->context, domain->armor_keytab);
        krb5_free_principal(krb->context, domain->service);
        free(domain->name);
        free(domain->realm);
        free(domain->keytab_source);
        free(domain->service_text);
        free(domain);
}

struct method_instance *krb_free(struct method_instance *method)
{
        struct krb *krb = (struct krb *)method;
        struct krb_domain *domain;

        if (!krb)
                return NULL;
        while ((domain = TAILQ_FIRST(&krb->domains))) {
                TAILQ_REMOVE(&krb->domains, domain, link);
                domain_free(krb, domain);
        }
        krb_batch_free(krb->batch);
        if (krb->options)
                krb5_get_init_creds_opt_free(krb->context, krb->options);
        if (krb->armor_options)
                krb5_get_init_creds_opt_free(krb->context, krb->armor_options);
        if (krb->context)
                krb5_free_context(krb->context);
        if (krb->profile)
                profile_release(krb->profile);
        free(krb);
        return NULL;
}

krb5_error_code krb_memory_ccache(krb5_ccache *ret, krb5_context context, krb5_creds *creds)
{
        krb5_ccache ccache = NULL;
        krb5_error_code code = krb5_cc_new_unique(context, "MEMORY", NULL, &ccache);

        if (!code)
                code = krb5_cc_initialize(context, ccache, creds->client);
        if (!code)
                code = krb5_cc_store_cred(context, ccache, creds);
        if (code && ccache)
                krb5_cc_destroy(context, ccache);
        else if (!code)
                *ret = ccache;
        return code;
}

krb5_error_code krb_memory_keytab(krb5_keytab *ret, struct krb *krb)
{
        char name[64];

        snprintf(name, sizeof name, "MEMORY:postern-%" PRIxPTR "-%lu", (uintptr_t)krb, ++krb->serial);
        return krb5_kt_resolve(krb->context, name, ret);
}

bool krb_enctype_is_aes(krb5_enctype enctype)
{
        return enctype == ENCTYPE_AES256_CTS_HMAC_SHA1_96 || enctype == ENCTYPE_AES128_CTS_HMAC_SHA1_96 ||
               enctype == ENCTYPE_AES256_CTS_HMAC_SHA384_192 || enctype == ENCTYPE_AES128_CTS_HMAC_SHA256_128;
}

/* Copies the AES keys of a principal from one keytab to another and counts them. */
static krb5_error_code keys_copy(krb5_context context, krb5_keytab from, krb5_keytab to, krb5_const_principal principal,
                                 size_t *ret_n)
{
        krb5_kt_cursor cursor;
        krb5_keytab_entry entry;
        krb5_error_code code = krb5_kt_start_seq_get(context, from, &cursor), end;
        size_t n = 0;

        if (code)
                return code;
        while (!(code = krb5_kt_next_entry(context, from, &entry, &cursor))) {
                bool wanted = krb5_principal_compare(context, entry.principal, principal) &&
                              krb_enctype_is_aes(entry.key.enctype);

                if (wanted)
                        code = krb5_kt_add_entry(context, to, &entry);
                krb5_free_keytab_entry_contents(context, &entry);
                if (code)
                        break;
                n += wanted;
        }
        end = krb5_kt_end_seq_get(context, from, &cursor);
        if (code != KRB5_KT_END)
                return code;
        *ret_n = n;
        return end;
}

/* The AES keys of a principal of the configured keytab, in a fresh memory keytab; KRB5_KT_NOTFOUND when it has
 * none. */
static krb5_error_code keys_of(struct krb *krb, const struct krb_domain *domain, krb5_const_principal principal,
                               krb5_keytab *ret)
{
        krb5_keytab from = NULL, to = NULL;
        krb5_error_code code = krb5_kt_resolve(krb->context, domain->keytab_source, &from);
        size_t n = 0;

        if (code)
                return code;
        code = krb_memory_keytab(&to, krb);
        if (!code)
                code = keys_copy(krb->context, from, to, principal, &n);
        if (!code && n == 0)
                code = KRB5_KT_NOTFOUND;
        krb5_kt_close(krb->context, from);
        if (!code)
                *ret = to;
        else if (to)
                krb5_kt_close(krb->context, to);
        return code;
}

/* Reads the configured keytab: both kinds of keys, or none. */
static krb5_error_code keys_load(struct krb *krb, struct krb_domain *domain)
{
        krb5_keytab service = NULL, armor = NULL;
        krb5_principal principal = NULL;
        krb5_error_code code = keys_of(krb, domain, domain->service, &service);

        if (!code && domain->armor_principal) {
                code = krb_armor_principal(&principal, krb, domain);
                if (!code)
                        code = keys_of(krb, domain, principal, &armor);
                krb5_free_principal(krb->context, principal);
        }
        if (code) {
                if (service)
                        krb5_kt_close(krb->context, service);
                return code;
        }
        if (domain->keytab)
                krb5_kt_close(krb->context, domain->keytab);
        if (domain->armor_keytab)
                krb5_kt_close(krb->context, domain->armor_keytab);
        domain->keytab = service;
        domain->armor_keytab = armor;
        return 0;
}

krb5_error_code krb_domain_reload(struct krb *krb, struct krb_domain *domain)
{
        krb5_error_code code = keys_load(krb, domain);

        if (!code && domain->armor)
                krb_armor_retry(domain->armor);
        return code;
}

struct krb_domain *krb_domain_find(struct krb *krb, const struct domain_config *config)
{
        struct krb_domain *domain;

        TAILQ_FOREACH (domain, &krb->domains, link) {
                if (strcmp(domain->name, config->name) == 0)
                        return domain;
        }
        return NULL;
}

/* The connector's service, in the domain's realm unless the text names another. */
static krb5_error_code service_parse(struct krb *krb, struct krb_domain *domain, const struct domain_config *config)
{
        krb5_error_code code;
        char *text = NULL;
        bool named = strchr(config->service_principal, '@') != NULL;

        code = krb5_parse_name_flags(krb->context, config->service_principal, named ? 0 : KRB5_PRINCIPAL_PARSE_NO_REALM,
                                     &domain->service);
        if (!code && !named)
                code = krb5_set_principal_realm(krb->context, domain->service, config->realm);
        if (code)
                return code;
        domain->foreign = named && strcmp(strrchr(config->service_principal, '@') + 1, config->realm) != 0;
        code = krb5_unparse_name(krb->context, domain->service, &text);
        if (code)
                return code;
        if (text_set(&domain->service_text, text) < 0)
                code = ENOMEM;
        krb5_free_unparsed_name(krb->context, text);
        return code;
}

/* Says what is wrong with a domain's keytab and how to make a right one. */
static int fail_keytab(struct error *err, struct krb *krb, const struct krb_domain *domain,
                       const struct domain_config *config, krb5_error_code code)
{
        const char *text = krb5_get_error_message(krb->context, code);
        char held[160];
        const char *why = code != KRB5_KT_NOTFOUND ? text
                          : config->armor_principal
                                  ? "it lacks an AES key of the service principal or of armor_principal"
                                  : "it holds no AES key of the service principal";
        int r;

        krb_keytab_text(krb->context, domain->keytab_source, domain->service_text, held, sizeof held);
        if (config->directory == DIRECTORY_GENERIC)
                r = error_fail(err, -ENOENT,
                               "domain %s: keytab for %s: %s%s%s; make it on the KDC: kadmin.local -q \"ktadd -k "
                               "FILE %s\"",
                               config->name, domain->service_text, why, held[0] ? "; " : "", held,
                               config->service_principal);
        else
                r = error_fail(err, -ENOENT,
                               "domain %s: keytab for %s: %s%s%s; make it: samba-tool domain exportkeytab FILE "
                               "--principal=%s, or ktpass (postern.conf(5), keytab)",
                               config->name, domain->service_text, why, held[0] ? "; " : "", held,
                               config->service_principal);
        krb5_free_error_message(krb->context, text);
        return r;
}

static int domain_fill(struct krb *krb, struct krb_domain *domain, const struct domain_config *config,
                       struct error *err)
{
        krb5_error_code code;

        if (text_set(&domain->name, config->name) < 0 || text_set(&domain->realm, config->realm) < 0 ||
            text_set(&domain->keytab_source, config->keytab) < 0 ||
            (config->armor_principal && text_set(&domain->armor_principal, config->armor_principal) < 0))
                return error_fail(err, -ENOMEM, "domain %s: out of memory", config->name);
        code = service_parse(krb, domain, config);
        if (code)
                return fail_krb(err, krb->context, code, "service_principal");
        code = keys_load(krb, domain);
        if (code)
                return fail_keytab(err, krb, domain, config, code);
        return config->armor_principal ? krb_armor_new(&domain->armor, krb, domain, err) : 0;
}

int krb_domain_add(struct method_instance *method, const struct domain_config *config, struct error *err)
{
        struct krb *krb = (struct krb *)method;
        struct krb_domain *domain, *old;
        int r;

        if (!config->realm || !config->keytab || !config->service_principal)
                return error_fail(err, -EINVAL, "domain %s: Kerberos needs realm, keytab and service_principal",
                                  config->name);
        domain = calloc(1, sizeof *domain);
        if (!domain)
                return error_fail(err, -ENOMEM, "domain %s: out of memory", config->name);
        r = domain_fill(krb, domain, config, err);
        if (r < 0) {
                domain_free(krb, domain);
                return r;
        }
        old = krb_domain_find(krb, config);
        if (old) {
                TAILQ_REMOVE(&krb->domains, old, link);
                domain_free(krb, old);
        }
        TAILQ_INSERT_TAIL(&krb->domains, domain, link);
        return 0;
}

int krb_set_keytab(struct method_instance *method, const struct domain_config *config, const char *keytab,
                   struct error *err)
{
        struct krb *krb = (struct krb *)method;
        struct krb_domain *domain = krb_domain_find(krb, config);
        krb5_error_code code;
        char *old, *fresh;
        int r = 0;

        if (!domain)
                return error_fail(err, -ENOENT, "domain %s was never added", config->name);
        fresh = strdup(keytab);
        if (!fresh)
                return error_fail(err, -ENOMEM, "domain %s: out of memory", config->name);
        old = domain->keytab_source;
        domain->keytab_source = fresh;
        code = krb_domain_reload(krb, domain);
        if (code) { /* the old keys stay, but it is the new keytab whose contents are told */
                r = fail_keytab(err, krb, domain, config, code);
                domain->keytab_source = old;
        }
        free(code ? fresh : old);
        return r;
}

/*
 * Samba's KDC parses the text inside an enterprise name ("good\0@corp.example" finds good), and AD allows neither a
 * backslash nor a slash in names, so these never reach a DC of AD. A principal of MIT's may hold anything: it is one
 * component.
 */
krb5_error_code krb_principal_new(krb5_principal *ret, krb5_context context, const struct domain_config *config,
                                  const struct name *name)
{
        const bool ad = config->directory == DIRECTORY_AD;
        char text[2 * USERNAME_MAX + 2];
        krb5_error_code code;
        int n;

        if (!name->user[0] || (ad && (strpbrk(name->user, "\\/") || strpbrk(name->suffix, "\\/@"))))
                return KRB5_PARSE_MALFORMED;
        if (name->form == NAME_UPN && ad)
                n = snprintf(text, sizeof text, "%s@%s", name->user, name->suffix);
        else
                n = snprintf(text, sizeof text, "%s", name->user);
        if (n <= 0 || (size_t)n >= sizeof text)
                return KRB5_PARSE_MALFORMED;
        code = krb5_build_principal_ext(context, ret, (unsigned)strlen(config->realm), config->realm, (unsigned)n, text,
                                        0);
        if (code)
                return code;
        (*ret)->type = name->form == NAME_UPN && ad ? KRB5_NT_ENTERPRISE_PRINCIPAL : KRB5_NT_PRINCIPAL;
        return 0;
}
