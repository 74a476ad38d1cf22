/*
 * The directory and the choice of recipients: what the relay can and cannot bring about.
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

static struct sign_in_params params(struct world *w, const char *name)
{
        return (struct sign_in_params){.service_id = SERVICE_ID,
                                       .service_key = w->service,
                                       .username = name,
                                       .username_len = strlen(name),
                                       .now = NOW};
}

/* Seals for the name and compares the recipients' ids, as digits of their numbers; "" means that none serves
 * it. */
static void assert_sealed_to(struct world *w, const struct directory *d, const char *name, const char *numbers)
{
        struct sign_in_params p = params(w, name);
        const char *others = strchr(numbers, '|');
        const size_t n_first = others ? (size_t)(others - numbers) : strlen(numbers);
        const size_t n_named = strlen(numbers) - (others != NULL);
        struct error err = {""};
        struct sign_in s;
        int r = sign_in_make(&s, d, &p, &err);

        if (r == -ENOENT) { /* of a domain that no connector serves at present */
                assert_int_equal(*numbers, 0);
                return;
        }
        assert_int_equal(r, 0);
        assert_int_equal(s.nobody, !*numbers);
        if (s.nobody) { /* one is told, so that it is recorded */
                assert_int_equal(s.n_to, 1);
                sign_in_clear(&s);
                return;
        }
        assert_int_equal(s.n_to, n_named < SIGN_IN_TO_MAX ? n_named : SIGN_IN_TO_MAX);
        for (size_t i = 0; i < s.n_to; i++) {
                const char *at = strchr(numbers, s.to[i].id[13]);

                assert_non_null(at);
                assert_int_equal((size_t)(at - numbers) < n_first, i < n_first);
                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(s.to[i].id, s.to[j].id);
        }
        sign_in_clear(&s);
}

/* The best first for everybody would leave all work to four: each is taken, and each takes each place. */
static void four_at_most_of_the_ready_at_random(void **state)
{
        struct world *w = *state;
        char *json = world_all_keys(w, 5);
        struct directory *d = world_open(w, json);
        struct sign_in_params p = params(w, "amy@corp.example");
        size_t taken[5][SIGN_IN_TO_MAX] = {0};
        struct error err = {""};
        const int draws = in_valgrind() ? 8 : 200;

        assert_int_equal(d->n, 5);
        assert_sealed_to(w, d, "amy@corp.example", "01234");
        for (int i = 0; i < draws; i++) {
                struct sign_in s;

                assert_int_equal(sign_in_make(&s, d, &p, &err), 0);
                for (size_t j = 0; j < s.n_to; j++)
                        taken[s.to[j].id[13] - '0'][j]++;
                sign_in_clear(&s);
        }
        for (int i = 0; i < 5 && draws == 200; i++)
                for (int j = 0; j < SIGN_IN_TO_MAX; j++)
                        assert_in_range(taken[i][j], 10, 80);
        directory_free(d);
        free(json);
}

/* Statements of all five, and a ready list in an order of its own. */
static struct directory *open_ready(struct world *w, const char *order, const char *realm)
{
        _cleanup_(buffer_free) struct buffer ready = BUFFER(4096);
        char *all = world_all_keys(w, 5), *json, *from;
        struct directory *d;

        for (const char *p = order; *p; p++)
                assert_int_equal(buffer_printf(&ready, "%s{\"kid\":\"%s\",\"realms\":[\"%s\"]}", p == order ? "" : ",",
                                               key_kid(w->connectors[*p - '0'].identity), realm),
                                 0);
        from = strstr(all, "\"ready\":[");
        assert_non_null(from);
        *from = '\0';
        json = malloc(strlen(all) + ready.len + 64);
        assert_non_null(json);
        (void)snprintf(json, strlen(all) + ready.len + 64, "%s\"ready\":[%s]}", all, ready.len ? ready.data : "");
        d = world_open(w, json);
        free(json);
        free(all);
        return d;
}

/* What an earlier attempt was sealed to comes after who was not, but before who is not ready. */
static void untried_ones_first(void **state)
{
        struct world *w = *state;
        struct directory *d = open_ready(w, "0123", "corp.example");
        struct sign_in_params p = params(w, "amy@corp.example");
        const char *tried[4];
        struct error err = {""};

        p.tried = tried;
        for (p.n_tried = 0; p.n_tried < 3; p.n_tried++)
                tried[p.n_tried] = key_kid(w->connectors[p.n_tried].enc);
        assert_true(sign_in_names_another(d, &p));
        for (int i = 0; i < 20; i++) {
                struct sign_in s;

                assert_int_equal(sign_in_make(&s, d, &p, &err), 0);
                assert_int_equal(s.n_to, 4);
                assert_string_equal(s.to[0].id, w->connectors[3].id);
                assert_string_equal(s.to[0].sealed_to, key_kid(w->connectors[3].enc));
                for (size_t j = 1; j < 4; j++)
                        assert_string_not_equal(s.to[j].id, w->connectors[4].id);
                sign_in_clear(&s);
        }
        tried[p.n_tried++] = key_kid(w->connectors[3].enc); /* what is left is not ready */
        assert_false(sign_in_names_another(d, &p));
        directory_free(d);
}

static void ready_ones_before_the_others(void **state)
{
        struct world *w = *state;
        struct directory *d = open_ready(w, "3", "corp.example");

        assert_sealed_to(w, d, "amy@corp.example", "3|0124");
        directory_free(d);
        /* ready, but in another realm than the name's: no better than the others */
        d = open_ready(w, "3", "other.example");
        assert_sealed_to(w, d, "amy@corp.example", "01234");
        /* by suffix or NetBIOS name as well: the roster says whose it is */
        assert_sealed_to(w, d, "amy@corp.com", "01234");
        assert_sealed_to(w, d, "CORP\\amy", "01234");
        directory_free(d);
        d = open_ready(w, "", "corp.example");
        assert_sealed_to(w, d, "amy@corp.example", "01234");
        directory_free(d);
}

static void names_choose_the_realm(void **state)
{
        struct world *w = *state;
        struct directory *d;
        char *json;

        world_set_realm(w, 1, "b.example", "b.com", "BEE");
        world_set_realm(w, 2, "c.example", NULL, NULL);
        world_put_domain(w, "b.example", "b.com", "BEE", NULL);
        world_put_domain(w, "c.example", "late.com", NULL, NULL);
        world_speak(w, 1, "b.example");
        world_speak(w, 2, "c.example");
        json = world_all_keys(w, 3);
        d = world_open(w, json);
        assert_sealed_to(w, d, "amy@corp.example", "0");
        assert_sealed_to(w, d, "amy@CORP.example", "0");
        assert_sealed_to(w, d, "amy@corp.com", "0");
        assert_sealed_to(w, d, "corp\\amy", "0");
        assert_sealed_to(w, d, "amy@B.com", "1");
        assert_sealed_to(w, d, "bee\\amy", "1");
        assert_sealed_to(w, d, "a@b.example@c.example", "2");
        assert_sealed_to(w, d, "BEE\\a@corp.example", "1");
        assert_sealed_to(w, d, "amy", "0"); /* the default domain's */
        assert_sealed_to(w, d, "", "0");
        assert_sealed_to(w, d, "amy@late.com", ""); /* the roster has it, its connector not yet */
        assert_sealed_to(w, d, "amy@d.example", "");
        assert_sealed_to(w, d, "amy@", "");
        assert_sealed_to(w, d, "b.example\\amy", "");
        assert_sealed_to(w, d, "\\amy", "");
        directory_free(d);
        free(json);
}

/* A connector that announces what the roster does not give it gets none of those names, and loses none of its own. */
static void announcing_is_not_speaking(void **state)
{
        struct world *w = *state;
        struct directory *d;
        char *json;

        world_put_domain(w, "b.example", "b.com", "BEE", NULL);
        world_speak(w, 1, "b.example");
        world_speak(w, 2, NULL);
        world_set_realm(w, 1, "b.example", "corp.com", "CORP");
        json = world_all_keys(w, 3);
        d = world_open(w, json);
        assert_sealed_to(w, d, "amy@corp.example", "0"); /* 2 announces it as before */
        assert_sealed_to(w, d, "amy@corp.com", "0");
        assert_sealed_to(w, d, "CORP\\amy", "0");
        assert_sealed_to(w, d, "amy", "0");
        assert_sealed_to(w, d, "amy@b.example", "1");
        directory_free(d);
        free(json);
        /* and what it announces of another's realm in its own name */
        world_set_realm(w, 1, "corp.example", "b.com", "BEE");
        json = world_all_keys(w, 3);
        d = world_open(w, json);
        assert_sealed_to(w, d, "amy@corp.example", "0");
        assert_sealed_to(w, d, "amy@b.com", "");
        directory_free(d);
        free(json);
}

/* The main promise: a relay that adds a connector of its own gets nothing sealed to it. */
static void a_connector_of_the_relay_gets_nothing(void **state)
{
        struct world *w = *state;
        size_t evil = CONNECTORS - 1, refused = 0;
        char both[32768], ready[512], *json;
        struct directory *d = NULL;
        struct error err = {""};
        const char *own;

        /* with an id of its own, and with the id of a true connector */
        for (int as_other = 0; as_other < 2; as_other++) {
                if (as_other)
                        memcpy(w->connectors[evil].statement->iss, w->connectors[0].id,
                               strlen(w->connectors[0].id) + 1);
                own = world_publish(w, evil, NOW, 3600);
                (void)snprintf(both, sizeof(both), "\"%s\",\"%s\"", own, world_publish(w, 1, NOW, 3600));
                (void)snprintf(ready, sizeof(ready), "{\"kid\":\"%s\",\"realms\":[\"corp.example\"]}",
                               key_kid(w->connectors[evil].identity));
                json = world_keys(w, both, ready);
                assert_int_equal(
                        directory_open(&d, json, strlen(json),
                                       &(const struct directory_rules){
                                               .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .min_seq = 0},
                                       &refused, &err),
                        0);
                assert_int_equal(refused, 1);
                assert_int_equal(d->n, 1);
                assert_sealed_to(w, d, "amy@corp.example", "1");
                assert_sealed_to(w, d, "amy", "1");

                struct sign_in_params p = params(w, "amy@corp.example");
                struct sign_in s;
                p.only_connector = w->connectors[evil].id;
                assert_int_equal(sign_in_make(&s, d, &p, &err), -ENOENT);
                p.only_connector = NULL;
                assert_int_equal(sign_in_make(&s, d, &p, &err), 0);
                assert_null(memmem(s.body.data, s.body.len, key_kid(w->connectors[evil].enc), KID_LEN));
                assert_non_null(memmem(s.body.data, s.body.len, key_kid(w->connectors[1].enc), KID_LEN));
                sign_in_clear(&s);
                d = directory_free(d);
                free(json);
        }
}

/* One statement text; is it taken? */
static void assert_statement(struct world *w, const char *text, bool taken)
{
        size_t refused = 0;
        struct directory *d = NULL;
        struct error err = {""};
        char quoted[16384], *json;

        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", text);
        json = world_keys(w, quoted, "");
        assert_int_equal(directory_open(&d, json, strlen(json),
                                        &(const struct directory_rules){
                                                .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .min_seq = 0},
                                        &refused, &err),
                         0);
        assert_int_equal(refused, taken ? 0 : 1);
        assert_int_equal(d->n, taken ? 1 : 0);
        directory_free(d);
        free(json);
}

static void statements_that_are_left_out(void **state)
{
        struct world *w = *state;
        char *text = strdup(world_publish(w, 0, NOW, 3600)), *changed;

        assert_statement(w, text, true);
        /* one character of the payload */
        changed = strdup(text);
        char *dot = strchr(changed, '.');
        dot[9] = dot[9] == 'A' ? 'B' : 'A';
        assert_statement(w, changed, false);
        free(changed);
        assert_statement(w, "", false);
        assert_statement(w, "a.b.c", false);
        /* expired: a relay that replays an old one */
        assert_statement(w, world_publish(w, 0, NOW - 7200 - 300, 7200), false);
        /* from the future */
        assert_statement(w, world_publish(w, 0, NOW + 600, 3600), false);
        /* another tenant's */
        w->connectors[0].statement->tenant[0] = 'b';
        assert_statement(w, world_publish(w, 0, NOW, 3600), false);
        free(text);
}

static void the_newer_statement_counts(void **state)
{
        struct world *w = *state;
        char both[32768], *old = strdup(world_publish(w, 0, NOW - 100, 3600)), *json;
        struct directory *d;

        w->connectors[0].statement->seq = 2;
        for (int swapped = 0; swapped < 2; swapped++) {
                const char *new = world_publish(w, 0, NOW, 3600);

                (void)snprintf(both, sizeof(both), "\"%s\",\"%s\"", swapped ? new : old, swapped ? old : new);
                json = world_keys(w, both, "");
                d = world_open(w, json);
                assert_int_equal(d->n, 1);
                assert_int_equal(d->entries[0].statement->iat, NOW);
                directory_free(d);
                free(json);
        }
        free(old);
}

static void a_cached_directory_goes_stale(void **state)
{
        struct world *w = *state;
        char *json = world_all_keys(w, 1);
        struct directory *d = world_open(w, json);
        struct sign_in_params p = params(w, "amy@corp.example");
        struct error err = {""};
        struct sign_in s;

        p.now = NOW + 3599;
        assert_int_equal(sign_in_make(&s, d, &p, &err), 0);
        sign_in_clear(&s);
        p.now = NOW + 3600;
        assert_int_equal(sign_in_make(&s, d, &p, &err), -ENOENT);
        directory_free(d);
        free(json);
}

static void answers_that_are_refused(void **state)
{
        struct world *w = *state;
        char *good = world_all_keys(w, 1), *json;
        struct directory *d = NULL;
        struct error err = {""};
        const struct {
                const char *find, *with, *says;
                int code;
        } cases[] = {
                {"", "[]", "", -EBADMSG},
                {"\"roster\":\"", "\"roster\":7,\"x\":\"", "no roster", -EBADMSG},
                {"\"roster\":\"", "\"Roster\":\"", "no roster", -EBADMSG},
                {"\"statements\":[", "\"statements\":{},\"x\":[", "statements", -EBADMSG},
                {"\"ready\":[", "\"ready\":{},\"x\":[", "ready", -EBADMSG},
                {"{\"roster\"", "{\"ready\":[],\"roster\"", "", -EBADMSG},
        };

        for (size_t i = 0; i < N(cases); i++) {
                json = replaced(good, cases[i].find, cases[i].with);
                assert_says(
                        directory_open(&d, json, strlen(json),
                                       &(const struct directory_rules){
                                               .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .min_seq = 0},
                                       NULL, &err),
                        cases[i].code, &err, cases[i].says);
                free(json);
        }
        assert_int_equal(directory_open(&d, good, strlen(good),
                                        &(const struct directory_rules){
                                                .pin = key_pin(w->service), .tenant = TENANT, .now = NOW, .min_seq = 0},
                                        NULL, &err),
                         -EKEYREJECTED);
        assert_int_equal(directory_open(&d, good, strlen(good),
                                        &(const struct directory_rules){
                                                .pin = key_pin(w->tenant), .tenant = "other", .now = NOW, .min_seq = 0},
                                        NULL, &err),
                         -EXDEV);
        assert_int_equal(
                directory_open(&d, good, strlen(good),
                               &(const struct directory_rules){
                                       .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW + 90000, .min_seq = 0},
                               NULL, &err),
                -ETIME);
        assert_int_equal(directory_open(&d, good, strlen(good),
                                        &(const struct directory_rules){.pin = key_pin(w->tenant),
                                                                        .tenant = TENANT,
                                                                        .now = NOW,
                                                                        .min_seq = w->roster->seq + 1},
                                        NULL, &err),
                         -ESTALE);
        assert_null(d);
        free(good);
}

/* Whoever seals passwords seals none to a sandbox unless it is set to, and then nowhere else; a second source changes
 * nothing about that. */
static void sandboxes(void **state)
{
        struct world *w = *state;
        char *real = world_all_keys(w, 2), *sandbox, *text = strdup(w->roster->text);
        const char *pin = key_pin(w->tenant);
        struct directory *d = NULL;
        struct error err = {""};

        w->roster->sandbox = true;
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        sandbox = world_all_keys(w, 2);
        assert_says(
                directory_open(&d, sandbox, strlen(sandbox),
                               &(const struct directory_rules){.pin = pin, .tenant = TENANT, .now = NOW, .min_seq = 0},
                               NULL, &err),
                -EPERM, &err, "sandbox's");
        struct directory_rules rules = {.pin = pin, .tenant = TENANT, .now = NOW, .second = w->roster->text};
        rules.n_second = strlen(rules.second);
        assert_says(directory_open(&d, real, strlen(real), &rules, NULL, &err), -EPERM, &err, "second source");
        rules.second = NULL;
        rules.sandbox = true;
        assert_says(directory_open(&d, real, strlen(real), &rules, NULL, &err), -EPERM, &err, "not a sandbox's");
        rules.second = text;
        rules.n_second = strlen(text);
        assert_says(directory_open(&d, sandbox, strlen(sandbox), &rules, NULL, &err), -EPERM, &err, "second source");
        rules.second = NULL;
        assert_int_equal(directory_open(&d, sandbox, strlen(sandbox), &rules, NULL, &err), 0);
        assert_true(d->roster->sandbox);
        directory_free(d);
        free(real);
        free(sandbox);
        free(text);
}

/* ---- what changed ---- */

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

static const struct directory_entry *entry(const struct world *w, const struct directory *d, int i)
{
        for (size_t k = 0; k < d->n; k++)
                if (strcmp(d->entries[k].connector->id, w->connectors[i].id) == 0)
                        return &d->entries[k];
        return NULL;
}

/* With the relay's name of the state: "s1". */
static struct directory *open_named(struct world *w)
{
        char *all = world_all_keys(w, 4);
        struct directory *d;

        d = change(w, NULL, "{\"state\":\"s1\",%s", all + 1);
        free(all);
        assert_string_equal(d->state, "s1");
        return d;
}

/* Statements that did not change are the very ones that were verified; so is the roster. */
static void changes_are_taken_into_what_there_was(void **state)
{
        struct world *w = *state;
        struct directory *d = open_named(w);
        const struct roster *roster = d->roster;
        const struct statement *kept = entry(w, d, 0)->statement, *old = entry(w, d, 1)->statement;

        /* one newer, one gone, one new */
        d = change(w, d, "{\"state\":\"s2\",\"since\":\"s1\",\"statements\":[\"%s\",\"%s\"],\"gone\":[\"%s\"]}",
                   (w->connectors[1].statement->seq++, world_publish(w, 1, NOW, 3600)), world_publish(w, 4, NOW, 3600),
                   key_kid(w->connectors[2].identity));
        assert_string_equal(d->state, "s2");
        assert_int_equal(d->n, 4);
        assert_ptr_equal(d->roster, roster);
        assert_ptr_equal(entry(w, d, 0)->statement, kept);
        assert_ptr_not_equal(entry(w, d, 1)->statement, old);
        assert_null(entry(w, d, 2));
        assert_int_equal(entry(w, d, 4)->rank, -1);
        assert_sealed_to(w, d, "amy@corp.example", "013|4"); /* as ready as before */
        /* readiness alone */
        d = change(w, d,
                   "{\"state\":\"s3\",\"since\":\"s2\",\"statements\":[],\"gone\":[],\"ready\":[{\"kid\":\"%s\","
                   "\"realms\":[\"corp.example\"]}]}",
                   key_kid(w->connectors[4].identity));
        assert_sealed_to(w, d, "amy@corp.example", "4|013");
        assert_ptr_equal(entry(w, d, 0)->statement, kept);
        /* everything again: the same texts are not verified again either */
        d = change(w, d, "{\"state\":\"s4\",\"roster\":\"%s\",\"statements\":[\"%s\"],\"ready\":[]}", w->roster->text,
                   kept->text);
        assert_int_equal(d->n, 1);
        assert_ptr_equal(entry(w, d, 0)->statement, kept);
        assert_ptr_equal(d->roster, roster);
        /* a new roster without that connector's right to the domain: its statement stays, and it gets nothing */
        world_speak(w, 0, NULL);
        d = change(w, d, "{\"state\":\"s5\",\"since\":\"s4\",\"roster\":\"%s\",\"statements\":[],\"gone\":[]}",
                   w->roster->text);
        assert_ptr_equal(entry(w, d, 0)->statement, kept);
        assert_sealed_to(w, d, "amy@corp.example", "");
        directory_free(d);
}

static void changes_that_are_refused(void **state)
{
        static const struct {
                const char *json, *says;
        } bad[] = {
                {"{\"state\":\"s2\",\"since\":\"s0\",\"statements\":[],\"gone\":[]}", "not ours"},
                {"{\"state\":\"s2\",\"since\":\"\",\"statements\":[],\"gone\":[]}", "not ours"},
                {"{\"state\":\"s2\",\"since\":1,\"statements\":[],\"gone\":[]}", "not ours"},
                {"{\"state\":\"s2\",\"since\":\"s1\",\"statements\":[]}", "gone"},
                {"{\"state\":\"s2\",\"since\":\"s1\",\"gone\":[]}", "statements"},
                {"{\"state\":\"s2\",\"since\":\"s1\",\"statements\":[],\"gone\":{}}", "gone"},
                {"{\"state\":\"s2\",\"since\":\"s1\",\"roster\":\"x\",\"statements\":[],\"gone\":[]}", "roster"},
        };
        struct world *w = *state;
        struct directory *base = open_named(w), *d = NULL;
        struct directory_rules rules = {.pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .base = base};
        struct error err = {""};

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_says(directory_open(&d, bad[i].json, strlen(bad[i].json), &rules, NULL, &err), -EBADMSG, &err,
                            bad[i].says);
        /* nothing to change */
        rules.base = NULL;
        assert_says(directory_open(&d, bad[0].json, strlen(bad[0].json), &rules, NULL, &err), -EBADMSG, &err,
                    "not ours");
        /* what is kept is checked for its times: the statements are over, then the roster is */
        const char *none = "{\"state\":\"s 2\",\"since\":\"s1\",\"statements\":[],\"gone\":[]}";
        rules.base = base;
        rules.now = NOW + 3600 + ROSTER_SKEW + 1;
        assert_int_equal(directory_open(&d, none, strlen(none), &rules, NULL, &err), 0);
        assert_int_equal(d->n, 0);
        assert_string_equal(d->state, ""); /* a state that does not fit into a URL is none */
        struct sign_in_params p = params(w, "amy@corp.example");
        struct sign_in s;
        p.now = w->roster->exp + ROSTER_SKEW + 1;
        assert_int_equal(sign_in_make(&s, base, &p, &err), -ENOENT);
        assert_non_null(strstr(err.text, "the roster has expired"));
        directory_free(d);
        d = NULL;
        rules.now = p.now;
        assert_says(directory_open(&d, none, strlen(none), &rules, NULL, &err), -ETIME, &err, "expired");
        /* and what there was is as it was */
        assert_sealed_to(w, base, "amy@corp.example", "0123");
        directory_free(base);
}

/* Who has four times the weight comes first four times as often; what is no weight counts as 1. */
static void weights_count(void **state)
{
        static const char *const weights[] = {",\"weight\":64", ",\"weight\":16", ",\"weight\":\"x\"",
                                              ",\"weight\":1001", ""};
        _cleanup_(buffer_free) struct buffer ready = BUFFER(8192);
        struct world *w = *state;
        char *all = world_all_keys(w, 5), *from = strstr(all, "\"ready\":[");
        struct sign_in_params p = params(w, "amy@corp.example");
        size_t first[5] = {0};
        struct error err = {""};
        struct directory *d;
        const int draws = in_valgrind() ? 8 : 400;

        assert_non_null(from);
        *from = '\0';
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(buffer_printf(&ready, "%s{\"kid\":\"%s\",\"realms\":[\"corp.example\"]%s}",
                                               i ? "," : "", key_kid(w->connectors[i].identity), weights[i]),
                                 0);
        d = change(w, NULL, "%s\"ready\":[%s]}", all, ready.data);
        assert_int_equal(entry(w, d, 0)->weight, 64);
        assert_int_equal(entry(w, d, 1)->weight, 16);
        for (int i = 2; i < 5; i++)
                assert_int_equal(entry(w, d, i)->weight, 1);
        for (int i = 0; i < draws; i++) {
                struct sign_in s;

                assert_int_equal(sign_in_make(&s, d, &p, &err), 0);
                first[s.to[0].id[13] - '0']++;
                sign_in_clear(&s);
        }
        /* 308, 77 and 5 each are expected */
        if (draws == 400) {
                assert_in_range(first[0], 250, 360);
                assert_in_range(first[1], 35, 130);
                assert_in_range(first[2] + first[3] + first[4], 0, 50);
        }
        directory_free(d);
        free(all);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(changes_are_taken_into_what_there_was, begin, end),
                cmocka_unit_test_setup_teardown(changes_that_are_refused, begin, end),
                cmocka_unit_test_setup_teardown(weights_count, begin, end),
                cmocka_unit_test_setup_teardown(four_at_most_of_the_ready_at_random, begin, end),
                cmocka_unit_test_setup_teardown(untried_ones_first, begin, end),
                cmocka_unit_test_setup_teardown(ready_ones_before_the_others, begin, end),
                cmocka_unit_test_setup_teardown(names_choose_the_realm, begin, end),
                cmocka_unit_test_setup_teardown(announcing_is_not_speaking, begin, end),
                cmocka_unit_test_setup_teardown(a_connector_of_the_relay_gets_nothing, begin, end),
                cmocka_unit_test_setup_teardown(statements_that_are_left_out, begin, end),
                cmocka_unit_test_setup_teardown(the_newer_statement_counts, begin, end),
                cmocka_unit_test_setup_teardown(a_cached_directory_goes_stale, begin, end),
                cmocka_unit_test_setup_teardown(answers_that_are_refused, begin, end),
                cmocka_unit_test_setup_teardown(sandboxes, begin, end),
        };
        return cmocka_run_group_tests_name("queue/directory", tests, NULL, NULL);
}
