/*
 * People of the roster: their form, their end, and that nobody is two things.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"

#define TENANT "contoso"
#define NOW 1767225600
#define CONNECTOR_ID "connector-0001-aaaa"
#define SERVICE_ID "service-0001-aaaaaaa"

struct world {
        struct key *tenant, *connector, *service, *other, *stranger;
        struct roster *roster;
};

static char corp_example[] = "corp.example", partner_example[] = "partner.example";
static const struct roster_domain corp = {.name = corp_example, .is_default = true},
                                  partner = {.name = partner_example};
static const char *const corp_name[] = {"corp.example"};

static int begin(void **state)
{
        struct world *w = not_null(calloc(1, sizeof(*w)));
        struct error err = {""};

        w->tenant = fresh_key();
        w->connector = fresh_key();
        w->service = fresh_key();
        w->other = fresh_key();
        w->stranger = fresh_key();
        assert_int_equal(roster_new(&w->roster, TENANT, w->tenant), 0);
        assert_int_equal(roster_add(w->roster, false, CONNECTOR_ID, "dc-east", w->connector, &err), 0);
        assert_int_equal(roster_domain_put(w->roster, &corp, &err), 0);
        assert_int_equal(roster_domain_put(w->roster, &partner, &err), 0);
        assert_int_equal(roster_speak(w->roster, "dc-east", corp_name, 1, &err), 0);
        assert_int_equal(roster_add(w->roster, true, SERVICE_ID, "portal", w->service, &err), 0);
        *state = w;
        return 0;
}

static int end(void **state)
{
        struct world *w = *state;

        roster_free(w->roster);
        key_free(w->tenant);
        key_free(w->connector);
        key_free(w->service);
        key_free(w->other);
        key_free(w->stranger);
        free(w);
        return 0;
}

static int verify_at(const struct world *w, const char *text, int64_t now, struct roster **ret, struct error *err)
{
        return roster_verify(ret, text, strlen(text), key_pin(w->tenant), TENANT, now, 1, err);
}

#define PERSON_ID "pers-0123456789abcdef"

static void people(void **state)
{
        static const char *const unknown[] = {"else.example"};
        struct world *w = *state;
        struct roster_grant grant = {.id = PERSON_ID,
                                     .name = "frida",
                                     .role = ROSTER_HELPDESK,
                                     .key = w->other,
                                     .domains = corp_name,
                                     .n_domains = 1,
                                     .exp = NOW + ROSTER_PERSON_LIFE_MAX};
        struct roster *r = NULL;
        struct error err = {""};

        assert_int_equal(roster_form_needed(w->roster), ROSTER_FORM_WITHOUT_PEOPLE);
        assert_int_equal(roster_person_put(w->roster, &grant, &err), 0);
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        assert_int_equal(verify_at(w, w->roster->text, NOW, &r, &err), 0);
        assert_int_equal(r->form, ROSTER_FORM);
        const struct roster_member *m = roster_person(r, key_kid(w->other));
        assert_non_null(m);
        assert_string_equal(m->role, ROSTER_HELPDESK);
        assert_int_equal(m->exp, NOW + ROSTER_PERSON_LIFE_MAX);
        assert_true(roster_speaks_for(m, "corp.example"));
        assert_false(roster_speaks_for(m, "partner.example"));
        /* a person is no service and no connector */
        assert_null(roster_service(r, key_kid(w->other)));
        assert_null(roster_sign_in_service(r, key_kid(w->other)));
        assert_null(roster_connector(r, key_kid(w->other)));
        assert_null(roster_person(r, key_kid(w->service)));
        assert_refused(roster_domain_remove(r, "corp.example", &err), -EBUSY, &err, "speaks for");
        assert_int_equal(roster_speak(r, "dc-east", NULL, 0, &err), 0);
        assert_refused(roster_domain_remove(r, "corp.example", &err), -EBUSY, &err, "may see");
        assert_refused(roster_sign(r, w->tenant, NOW - 1, 86400, &err), -EINVAL, &err, "90 days at most");

        grant.exp = NOW + 5;
        assert_int_equal(roster_person_put(r, &grant, &err), 0);
        assert_int_equal(r->n_people, 1);
        assert_int_equal(r->people[0].exp, NOW + 5);
        grant.key = w->connector;
        assert_refused(roster_person_put(r, &grant, &err), -EEXIST, &err, "with another key");
        grant.id = "pers-another-0123456";
        grant.name = "paul";
        assert_refused(roster_person_put(r, &grant, &err), -EEXIST, &err, "belongs to dc-east");
        grant.key = w->stranger;
        grant.name = "frida";
        assert_refused(roster_person_put(r, &grant, &err), -EEXIST, &err, "frida belongs to");
        grant.name = "paul";
        grant.key = w->tenant;
        assert_refused(roster_person_put(r, &grant, &err), -EEXIST, &err, "tenant key");
        grant.id = PERSON_ID;
        grant.key = w->other;
        grant.domains = unknown;
        assert_refused(roster_person_put(r, &grant, &err), -ENOENT, &err, "no domain");
        grant.exp = 0;
        grant.domains = corp_name;
        assert_refused(roster_person_put(r, &grant, &err), -EINVAL, &err, "an end");
        grant.exp = NOW;
        grant.role = "Help";
        assert_refused(roster_person_put(r, &grant, &err), -EINVAL, &err, "role");
        /* nobody else takes the person's key, and it never comes back */
        assert_refused(roster_add(r, true, "svc-0000000000000000", "shop", w->other, &err), -EEXIST, &err,
                       "belongs to");
        assert_int_equal(roster_remove(r, "frida", &err), 0);
        assert_int_equal(r->n_people, 0);
        grant.role = ROSTER_HELPDESK;
        assert_refused(roster_person_put(r, &grant, &err), -EKEYREJECTED, &err, "was removed");
        assert_int_equal(roster_sign(r, w->tenant, NOW, 86400, &err), 0);
        assert_int_equal(r->form, ROSTER_FORM_WITHOUT_PEOPLE);
        roster_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(people, begin, end)};

        return cmocka_run_group_tests_name("certs-people", tests, NULL, NULL);
}
