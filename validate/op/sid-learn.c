/*
 * One question at a time to one DC. What comes of it says nothing of the DC's health, which is Kerberos' here.
 */
#include "validate/op/sid-learn.h"

#include <errno.h>
#include <stdlib.h>

#define ASK_MS 3000
#define AGAIN_MS 60000  /* after no answer */
#define WATCH_MS 600000 /* after one */

struct sid_learner {
        struct dc_tools tools;
        const struct domain_config *domain;
        struct dcs *dcs;
        dcs_sid_fn *told;
        void *arg;
        bool knows;
        struct method_run *probe;
        struct loop_timer *timer;
};

static void on_sid_answer(void *arg, const struct outcome *outcome, bool left)
{
        struct sid_learner *l = arg;

        (void)left;
        l->probe = NULL;
        l->knows = l->knows || outcome->domain_sid[0] != '\0';
        loop_timer_in(l->timer, outcome->domain_sid[0] ? WATCH_MS : AGAIN_MS);
        if (outcome->domain_sid[0])
                l->told(l->arg, l->domain, outcome->domain_sid);
}

static void on_sid_timer(void *arg)
{
        struct sid_learner *l = arg;
        struct dc *dc = l->probe ? NULL : dcs_choose(l->dcs, 0, 0);
        struct method_instance *ldap = l->tools.methods[METHOD_LDAP];
        struct dns_address address;
        struct attempt attempt = {.id = "sid", .domain = l->domain, .deadline = loop_now(l->tools.loop) + ASK_MS};

        loop_timer_in(l->timer, AGAIN_MS);
        if (!dc || !dc_address(dc, &address))
                return;
        attempt.host = dc_host(dc);
        attempt.address = address.storage;
        attempt.address_len = address.len;
        (void)ldap->ops->probe(&l->probe, ldap, &attempt, on_sid_answer, l);
}

int sid_learner_new(struct sid_learner **ret_learner, const struct dc_tools *tools, const struct domain_config *domain,
                    struct dcs *dcs, dcs_sid_fn *told, void *arg)
{
        struct sid_learner *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        *l = (struct sid_learner){.tools = *tools, .domain = domain, .dcs = dcs, .told = told, .arg = arg};
        if (loop_timer_new(&l->timer, tools->loop, NULL, on_sid_timer, l) < 0) {
                free(l);
                return -ENOMEM;
        }
        *ret_learner = l;
        return 0;
}

struct sid_learner *sid_learner_free(struct sid_learner *learner)
{
        if (!learner)
                return NULL;
        method_cancel(learner->probe);
        loop_timer_free(learner->timer);
        free(learner);
        return NULL;
}

void sid_learner_wake(struct sid_learner *learner)
{
        if (learner && !learner->knows && !learner->probe)
                loop_timer_in(learner->timer, 0);
}
