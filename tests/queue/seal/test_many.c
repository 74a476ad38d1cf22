/*
 * A directory with as many connectors as a roster can have: what a refresh of the keys verifies.
 */
#include "tests/queue/world.h"
#include "tests/valgrind.h"

static int begin(void **state)
{
        *state = world_new();
        return 0;
}

static int end(void **state)
{
        world_free(*state);
        return 0;
}

/* Opens an answer beside what there was, which is freed. */
static struct directory *change(struct world *w, struct directory *base, const char *fmt, ...)
{
        const struct directory_rules rules = {
                .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .min_seq = w->roster->seq, .base = base};
        struct directory *d = NULL;
        struct error err = {""};
        char *json = NULL;
        va_list ap;

        va_start(ap, fmt);
        assert_true(vasprintf(&json, fmt, ap) > 0);
        va_end(ap);
        if (directory_open(&d, json, strlen(json), &rules, NULL, &err) < 0)
                fail_msg("%s", err.text);
        free(json);
        directory_free(base);
        return d;
}

#define MANY (in_valgrind() ? (size_t)32 : (size_t)ROSTER_MEMBERS_MAX)

struct many {
        struct key *identities[ROSTER_MEMBERS_MAX];
        char *statements[ROSTER_MEMBERS_MAX];
        struct roster *roster;
};

static char *state_one(const struct world *w, const char *id, const struct key *identity, uint64_t seq)
{
        struct statement *s = calloc(1, sizeof(*s));
        struct error err = {""};

        assert_non_null(s);
        s->tenant = strdup(TENANT);
        s->iss = strdup(id);
        memcpy(s->boot, w->connectors[0].statement->boot, sizeof(s->boot));
        s->seq = seq;
        s->n_keys = 1;
        s->keys[0] = (struct statement_key){key_ref(w->connectors[0].enc), NOW - 60, NOW + 3600};
        s->n_realms = 1;
        s->realms = calloc(1, sizeof(*s->realms));
        s->realms[0] = strdup("corp.example");
        assert_int_equal(statement_sign(s, identity, NOW, 3600, &err), 0);
        char *text = strdup(s->text);
        statement_free(s);
        return text;
}

static struct many *many_new(struct world *w)
{
        static const char *const domains[] = {"corp.example"};
        static char name[] = "corp.example";
        const struct roster_domain domain = {.name = name, .is_default = true};
        struct many *m = calloc(1, sizeof(*m));
        struct error err = {""};
        char id[ID_MAX + 1];

        assert_non_null(m);
        assert_int_equal(roster_new(&m->roster, TENANT, w->tenant), 0);
        m->roster->seq = w->roster->seq;
        assert_int_equal(roster_domain_put(m->roster, &domain, &err), 0);
        for (size_t i = 0; i < MANY; i++) {
                (void)snprintf(id, sizeof(id), "connector-%04zu-aaaa", i);
                assert_int_equal(key_generate(&m->identities[i], &err), 0);
                assert_int_equal(roster_add(m->roster, false, id, id, m->identities[i], &err), 0);
                assert_int_equal(roster_speak(m->roster, id, domains, 1, &err), 0);
                m->statements[i] = state_one(w, id, m->identities[i], 1);
        }
        assert_int_equal(roster_sign(m->roster, w->tenant, NOW, 86400, &err), 0);
        return m;
}

static void many_free(struct many *m)
{
        for (size_t i = 0; i < MANY; i++) {
                key_free(m->identities[i]);
                free(m->statements[i]);
        }
        roster_free(m->roster);
        free(m);
}

/* All that there is, in an answer. */
static void many_write(const struct many *m, struct buffer *json)
{
        buffer_clear(json);
        assert_int_equal(buffer_printf(json, "{\"state\":\"s1\",\"roster\":\"%s\",\"statements\":[", m->roster->text),
                         0);
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(buffer_printf(json, "%s\"%s\"", i ? "," : "", m->statements[i]), 0);
        assert_int_equal(buffer_append_str(json, "],\"ready\":["), 0);
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(buffer_printf(json, "%s{\"kid\":\"%s\",\"realms\":[\"corp.example\"],\"weight\":64}",
                                               i ? "," : "", key_kid(m->identities[i])),
                                 0);
        assert_int_equal(buffer_append_str(json, "]}"), 0);
}

/* As many connectors as a roster can have: each statement is verified once in its life, whatever comes how often. */
static void a_refresh_verifies_what_is_new(void **state)
{
        struct world *w = *state;
        struct many *m = many_new(w);
        _cleanup_(buffer_free) struct buffer json = BUFFER(DIRECTORY_MAX);
        struct directory_rules rules = {.pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW};
        struct error err = {""};
        struct directory *d = NULL;

        many_write(m, &json);
        assert_int_equal(directory_open(&d, json.data, json.len, &rules, NULL, &err), 0);
        assert_int_equal(d->n, MANY);
        assert_int_equal(d->n_verified, 1 + MANY);
        d = change(w, d, "%s", json.data); /* everything, again */
        assert_int_equal(d->n, MANY);
        assert_int_equal(d->n_verified, 0);
        d = change(w, d, "{\"state\":\"s2\",\"since\":\"s1\",\"statements\":[],\"gone\":[],\"ready\":[]}");
        assert_int_equal(d->n_verified, 0);
        free(m->statements[7]);
        m->statements[7] = state_one(w, m->roster->connectors[7].id, m->identities[7], 2);
        d = change(w, d, "{\"state\":\"s3\",\"since\":\"s2\",\"statements\":[\"%s\"],\"gone\":[\"%s\"]}",
                   m->statements[7], key_kid(m->identities[8]));
        assert_int_equal(d->n, MANY - 1);
        assert_int_equal(d->n_verified, 1);
        many_write(m, &json);
        d = change(w, d, "%s", json.data);
        assert_int_equal(d->n, MANY);
        assert_int_equal(d->n_verified, 1); /* of the one that was gone */
        /* a new roster alone */
        assert_int_equal(roster_sign(m->roster, w->tenant, NOW, 86400, &err), 0);
        d = change(w, d, "{\"state\":\"s4\",\"since\":\"s1\",\"roster\":\"%s\",\"statements\":[],\"gone\":[]}",
                   m->roster->text);
        assert_int_equal(d->n, MANY);
        assert_int_equal(d->n_verified, 1);
        directory_free(d);
        many_free(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_refresh_verifies_what_is_new, begin, end),
        };

        return cmocka_run_group_tests_name("queue/many", tests, NULL, NULL);
}
