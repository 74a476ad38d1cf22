/*
 * A validator: its domains, their DCs and methods, and whether they can be served.
 *
 * It owns what operations share. It decides no sign-in (operation.c) and speaks no protocol.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "validate/op/internal.h"

#define GUARD_FAILURES 4
#define GUARD_WINDOW_MS (30 * 60 * 1000)
#define GUARD_REPEAT_MS (60 * 1000)

static void on_dcs_changed(void *arg)
{
        struct validate *v = arg;

        loop_timer_in(v->ready_timer, 0);
        for (size_t i = 0; i < v->config->n_domains; i++)
                sid_learner_wake(v->learners[i]);
}

static void on_sid(void *arg, const struct domain_config *domain, const char *sid)
{
        struct validate *v = arg;

        (void)domain_sids_told(v->sids, (size_t)(domain - v->config->domains), sid, loop_now(v->loop));
}

static void on_ready_timer(void *arg)
{
        struct validate *v = arg;

        if (v->on_ready)
                v->on_ready(v->arg);
}

bool domain_has_ldaps(const struct domain_config *domain)
{
        return domain->methods[0] == METHOD_LDAP || domain->ca_pem || domain->pins[0];
}

static int domain_start(struct validate *v, size_t i, struct error *err)
{
        const struct domain_config *domain = &v->config->domains[i];
        struct method_instance *krb = v->tools.methods[METHOD_KRB5], *ldap = v->tools.methods[METHOD_LDAP];
        int r = domain_check(domain, err);

        if (r < 0)
                return r;
        if (domain->methods[0] == METHOD_KRB5)
                r = krb->ops->domain_add(krb, domain, err);
        if (r == 0 && (domain->methods[0] == METHOD_LDAP || domain->alternate_id || domain->attributes[0] ||
                       domain_has_ldaps(domain)))
                r = ldap->ops->domain_add(ldap, domain, err);
        if (r < 0)
                return r;
        r = dcs_new(&v->dcs[i], &v->tools, domain,
                    &(struct dcs_events){.changed = on_dcs_changed, .silent = ops_dc_silent, .sid = on_sid, .arg = v});
        if (r == 0 && domain->methods[0] == METHOD_KRB5 && domain->directory == DIRECTORY_AD &&
            domain_has_ldaps(domain))
                r = sid_learner_new(&v->learners[i], &v->tools, domain, v->dcs[i], on_sid, v);
        if (r == 0 && domain->discover)
                r = discover_new(&v->discover[i], &v->tools, domain, v->dcs[i]);
        return r < 0 ? error_fail(err, r, "domain %s: out of memory", domain->name) : 0;
}

static int fill(struct validate *v, const struct validate_config *config, struct error *err)
{
        struct guard_config guard = config->guard;
        const size_t n = config->n_domains ? config->n_domains : 1;
        int r;

        guard.failures = guard.failures ? guard.failures : GUARD_FAILURES;
        guard.window_ms = guard.window_ms ? guard.window_ms : GUARD_WINDOW_MS;
        guard.repeat_ms = guard.repeat_ms ? guard.repeat_ms : GUARD_REPEAT_MS;
        v->config = config;
        v->dcs = calloc(n, sizeof(struct dcs *));
        v->lookup_from = calloc(n, sizeof *v->lookup_from);
        v->discover = calloc(n, sizeof(struct discover *));
        v->learners = calloc(n, sizeof(struct sid_learner *));
        if (!v->learners || !v->dcs || !v->discover || !v->lookup_from ||
            domain_sids_new(&v->sids, v->config->domains, v->config->n_domains) < 0 ||
            loop_timer_new(&v->ready_timer, v->loop, NULL, on_ready_timer, v) < 0 || guard_new(&v->guard, &guard) < 0)
                return error_fail(err, -ENOMEM, "validation: out of memory");
        r = dns_new(&v->tools.dns, v->loop, DNS_ABSOLUTE, err);
        if (r == 0 && config->dns_servers && dns_set_servers(v->tools.dns, config->dns_servers) < 0)
                r = error_fail(err, -EINVAL, "dns_servers: '%s' is not a list of ADDRESS or ADDRESS:PORT",
                               config->dns_servers);
        for (size_t i = 0; r == 0 && i < v->config->n_domains; i++)
                r = domain_start(v, i, err);
        return r;
}

static void methods_free(struct method_instance *const *methods)
{
        for (size_t i = 0; i < METHODS; i++)
                if (methods[i])
                        methods[i]->ops->free(methods[i]);
}

int validate_new_by(struct validate **ret_v, struct loop *loop, struct method_instance *const *methods,
                    const struct validate_config *config, validate_ready_fn *on_ready, void *arg, struct error *err)
{
        struct validate *v = calloc(1, sizeof *v);
        int r;

        if (!v) {
                methods_free(methods);
                return error_fail(err, -ENOMEM, "validation: out of memory");
        }
        for (size_t i = 0; i < METHODS; i++) {
                v->tools.methods[i] = methods[i];
                if (methods[i]) {
                        methods[i]->kdc_of = validate_kdc_of;
                        methods[i]->kdc_arg = v;
                }
        }
        TAILQ_INIT(&v->ops);
        v->loop = loop;
        v->tools.loop = loop;
        v->on_ready = on_ready;
        v->arg = arg;
        r = fill(v, config, err);
        if (r < 0) {
                validate_free(v);
                return r;
        }
        *ret_v = v;
        return 0;
}

struct validate *validate_free(struct validate *v)
{
        struct validate_op *op;

        if (!v)
                return NULL;
        while ((op = TAILQ_FIRST(&v->ops)))
                validate_cancel(op);
        for (size_t i = 0; v->discover && i < v->config->n_domains; i++)
                discover_free(v->discover[i]);
        for (size_t i = 0; v->learners && i < v->config->n_domains; i++)
                sid_learner_free(v->learners[i]);
        free(v->learners);
        for (size_t i = 0; v->dcs && i < v->config->n_domains; i++)
                dcs_free(v->dcs[i]);
        free(v->dcs);
        free(v->discover);
        free(v->lookup_from);
        methods_free(v->tools.methods);
        dns_free(v->tools.dns);
        loop_timer_free(v->ready_timer);
        guard_free(v->guard);
        domain_sids_free(v->sids);
        free(v);
        return NULL;
}

int validate_set_keytab(struct validate *v, const char *domain, const char *keytab, struct error *err)
{
        struct method_instance *krb = v->tools.methods[METHOD_KRB5];

        for (size_t i = 0; i < v->config->n_domains && krb; i++)
                if (strcmp(v->config->domains[i].name, domain) == 0 && v->config->domains[i].methods[0] == METHOD_KRB5)
                        return krb->ops->set_keytab(krb, &v->config->domains[i], keytab, err);
        return error_fail(err, -ENOENT, "domain %s uses no keytab", domain);
}

size_t validate_left_out(const struct validate *v, size_t i)
{
        return i < v->config->n_domains ? dcs_left_out(v->dcs[i]) : 0;
}

const char *validate_undiscovered(const struct validate *v, size_t i)
{
        return i < v->config->n_domains ? dcs_undiscovered_why(v->dcs[i]) : "";
}

bool validate_ready(const struct validate *v, size_t i, const char **ret_why)
{
        if (i < v->config->n_domains)
                return dcs_ready(v->dcs[i], ret_why);
        if (ret_why)
                *ret_why = "no such domain";
        return false;
}

int validate_route(const struct validate *v, const char *name, size_t n)
{
        struct name parsed;
        enum reason reason = name_parse(&parsed, v->config, name, n);

        if (reason == REASON_OK)
                return (int)parsed.domain;
        return reason == REASON_UNKNOWN_DOMAIN ? -ENOENT : -EINVAL;
}

const char *validate_domain_meant(const struct validate *v, const char *name, size_t n)
{
        struct name parsed;

        return name_parse(&parsed, v->config, name, n) == REASON_UNKNOWN_DOMAIN ? name_domain_meant(&parsed, v->config)
                                                                                : NULL;
}

void validate_each_sid(const struct validate *v, validate_sid_fn *fn, void *arg)
{
        struct validate_sid sid;

        for (size_t i = 0; i < v->config->n_domains; i++) {
                domain_sids_get(v->sids, i, loop_now(v->loop), &sid);
                if (sid.has_one)
                        fn(arg, &sid);
        }
}

void validate_set_sid(struct validate *v, const char *domain, enum sid_source source, const char *sid)
{
        for (size_t i = 0; i < v->config->n_domains; i++)
                if (strcmp(v->config->domains[i].name, domain) == 0)
                        (void)domain_sids_set(v->sids, i, source, sid);
}

const char *sid_source_text(enum sid_source source)
{
        static const char *const texts[] = {
                [SID_LEARNT] = "learnt", [SID_CONFIGURED] = "config", [SID_OF_ROSTER] = "roster"};

        return source > SID_UNKNOWN && source < SID_SOURCES ? texts[source] : "";
}

void validate_each_dc(const struct validate *v, validate_dc_fn *fn, void *arg)
{
        for (size_t i = 0; i < v->config->n_domains; i++) {
                const struct dc *dc;

                for (size_t k = 0; (dc = dcs_at(v->dcs[i], k)); k++) {
                        struct validate_dc seen;

                        dc_describe(dc, &seen);
                        seen.domain = v->config->domains[i].name;
                        fn(arg, &seen);
                }
        }
}

int validate_set_connectors(struct validate *v, size_t i, size_t connectors, unsigned *ret_failures)
{
        const unsigned before = guard_limit(v->guard, i);
        const int r = guard_share(v->guard, i, connectors);

        *ret_failures = guard_limit(v->guard, i);
        return r < 0 ? r : *ret_failures != before;
}

static const char *const guard_modes[] = {[GUARD_OBSERVE] = "observe", [GUARD_OFF] = "off", [GUARD_ON] = "on"};

int validate_guard_of(struct validate *v, const char *name, size_t n, bool release, struct validate_guarded *ret)
{
        struct name parsed;
        struct guard_look look;
        const enum reason reason = name_parse(&parsed, v->config, name, n);

        if (reason != REASON_OK)
                return reason == REASON_UNKNOWN_DOMAIN ? -ENOENT : -EINVAL;
        guard_look(v->guard, &parsed, loop_now(v->loop), &look);
        *ret = (struct validate_guarded){.mode = guard_modes[v->config->guard.mode],
                                         .domain = v->config->domains[parsed.domain].name,
                                         .failures = look.failures,
                                         .limit = look.limit,
                                         .share = guard_is_share(v->guard, parsed.domain),
                                         .stopped = look.stopped,
                                         .left_s = look.left_s};
        if (release)
                guard_release(v->guard, &parsed);
        return 0;
}

void validate_guard_state(const struct validate *v, struct validate_guard *ret_guard)
{
        struct guard_counts counts;

        guard_count(v->guard, &counts);
        *ret_guard = (struct validate_guard){.mode = guard_modes[v->config->guard.mode],
                                             .throttled = counts.throttled,
                                             .repeated = counts.repeated,
                                             .names = counts.names,
                                             .failures = guard_limit(v->guard, 0)};
        for (size_t i = 1; i < v->config->n_domains; i++)
                if (guard_limit(v->guard, i) < ret_guard->failures)
                        ret_guard->failures = guard_limit(v->guard, i);
}
