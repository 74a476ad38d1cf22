/*
 * Asking every connector at once: a question sealed for each, posted side by side, each answer opened and checked by
 * itself.
 *
 * Invariant: what is shown as a connector's answer was signed by that connector for this very question; all else is
 * silence, with what the relay says of it. A connector that is silent is named: what it did is missing, not absent.
 */
#include "connector/person/everywhere.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/secret.h"
#include "base/core/text.h"
#include "base/dns/dns.h"
#include "certs/http/https.h"
#include "certs/jose/sealed.h"
#include "connector/findings/facts.h"
#include "connector/person/folder.h"
#include "connector/person/key-file.h"
#include "queue/client/client.h"
#include "queue/seal/exchange.h"
#include "queue/seal/question.h"

#define BUDGET_MS 8000
#define GRACE_MS 2000 /* for the way to the relay and back */

/* One connector, and what came of asking it. */
struct asking {
        struct everywhere *all;
        const struct roster_member *connector;
        struct asked asked;
        struct https_call *call;
        const char *state; /* "answered" "refused" "silent" "untrue" */
        bool elsewhere;    /* this node of the relay does not reach it: another may */
        bool unlinked;     /* so one has said */
        bool unreached;    /* one has said nothing */
        char why[320];
        json_t *answer; /* owned */
};

struct everywhere {
        struct service_store *person; /* borrowed */
        const char *bearer;           /* borrowed */
        struct client *client;
        const struct directory *directory; /* borrowed of client */
        struct loop *loop;
        struct dns *dns;
        struct https *https;
        struct asking *asking;
        size_t n, waiting;
        struct https_call *status_call;
        json_t *status; /* what the relay sees of the connectors; owned, or NULL */
};

static void everywhere_clear(struct everywhere *e)
{
        for (size_t i = 0; i < e->n; i++) {
                asked_clear(&e->asking[i].asked);
                json_decref(e->asking[i].answer);
        }
        free(e->asking);
        json_decref(e->status);
        https_free(e->https);
        dns_free(e->dns);
        loop_free(e->loop);
        client_free(e->client);
}

/* ---- who may ask, and whom ---- */

/* By the roster; NULL with err: this person may not ask. */
static const struct roster_member *find_person(const struct everywhere *e, struct error *err)
{
        const struct roster *roster = e->directory->roster;
        const struct roster_member *m = roster_person(roster, key_kid(e->person->key));

        if (!m)
                error_fail(err, 0,
                           "the tenant's roster (number %llu) does not have your key, fingerprint %s: the tenant's "
                           "admin runs `postern tenant approve-person`",
                           (unsigned long long)roster->seq, key_kid(e->person->key));
        else if (strcmp(m->role, ROSTER_HELPDESK) != 0)
                error_fail(err, 0, "your role in the roster is %s, which may not ask", m->role);
        else if (m->exp <= (int64_t)time(NULL))
                error_fail(err, 0,
                           "your time in the roster is over: the tenant's admin runs `postern tenant approve-person` "
                           "once more");
        else if (m->n_domains == 0)
                error_fail(err, 0, "the roster gives you no domain: ask the tenant's admin");
        else
                return m;
        return NULL;
}

static bool shares_domain(const struct roster_member *connector, const struct roster_member *person)
{
        for (size_t i = 0; i < person->n_domains; i++)
                if (roster_speaks_for(connector, person->domains[i]))
                        return true;
        return false;
}

/* ---- asking ---- */

static void end(struct asking *a, const char *state, const char *why)
{
        a->state = state;
        (void)snprintf(a->why, sizeof(a->why), "%s", why);
}

/* Why a connector that can be reached does not answer. */
static const char *refusal(enum answer_state state)
{
        switch (state) {
        case ANSWER_OK:
                break;
        case ANSWER_UNAVAILABLE:
                return "its records cannot be read at the moment: look at `postern status` on its host";
        case ANSWER_PERSON_UNKNOWN:
                return "it does not know your key: it has another roster than you, perhaps an older one";
        case ANSWER_ROLE:
                return "your role may not ask";
        case ANSWER_ENDED:
                return "your time in the roster is over, by its clock";
        case ANSWER_WRONG_AUDIENCE:
                return "the question was for another connector or tenant";
        case ANSWER_NO_DOMAIN:
                return "by its configuration it serves none of your domains";
        case ANSWER_RATE:
                return "you have asked it 30 times within a minute: wait";
        case ANSWER_STATES:
                break;
        }
        return "";
}

static void take_answer(struct asking *a, const struct buffer *jwe)
{
        _cleanup_(answer_claims_clear) struct answer_claims c = {0};
        struct error err = {""};

        if (asked_check(&a->asked, jwe->data ? jwe->data : "", jwe->len, (int64_t)time(NULL), &c, &err) < 0) {
                end(a, "untrue", err.text);
                return;
        }
        if (c.state != ANSWER_OK) {
                end(a, "refused", refusal(c.state));
                return;
        }
        a->answer = json_loads(c.body, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(a->answer))
                end(a, "answered", "");
        else
                end(a, "untrue", "its answer is no JSON object");
}

/* What the relay says instead of an answer. */
static void take_problem(struct asking *a, long status, const struct buffer *body, const char *why)
{
        struct sign_in_result said = {0};
        const struct exchange_answer answer = {.status = status,
                                               .why = why,
                                               .content_type = "application/problem+json",
                                               .body = body && body->data ? body->data : "",
                                               .n = body ? body->len : 0};
        char text[sizeof(a->why)];

        if (status == 0) {
                a->elsewhere = a->unreached = true;
                (void)snprintf(text, sizeof(text), "the relay gave no answer: %.200s", why);
                end(a, "silent", text);
                return;
        }
        exchange_read_problem(&said, &answer);
        a->unlinked |= strcmp(said.problem, "no-connector") == 0;
        a->elsewhere = strcmp(said.problem, "no-connector") == 0 || strcmp(said.problem, "draining") == 0;
        if (strcmp(said.problem, "no-connector") == 0)
                end(a, "silent", "it is not linked to the relay: look at `postern status` on its host");
        else if (strcmp(said.problem, "deadline") == 0 || strcmp(said.problem, "connector-lost") == 0)
                end(a, "silent", "it is linked, but gave no answer in time: it may be of an older version, or hang");
        else if (strcmp(said.problem, "stale-keys") == 0)
                end(a, "silent", "it has just started, with other keys: ask again");
        else {
                (void)snprintf(text, sizeof(text), "the relay says %ld %.60s%s%.160s%s%.60s", status, said.problem,
                               said.detail[0] ? ": " : "", said.detail, said.reasons[0] ? ", " : "", said.reasons);
                end(a, "silent", text);
        }
}

static void on_done(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct asking *a = arg;

        a->call = NULL;
        if (status == 200 && answer)
                take_answer(a, answer);
        else
                take_problem(a, status, answer, why);
        if (--a->all->waiting == 0)
                loop_stop(a->all->loop, 0);
}

static void post(struct asking *a)
{
        struct everywhere *e = a->all;
        char url[512], id[96], budget[48];
        const char *const headers[] = {id, budget, NULL};
        const struct https_request request = {.method = "POST",
                                              .url = url,
                                              .bearer = e->bearer,
                                              .content_type = SEALED_TYPE,
                                              .headers = headers,
                                              .body = a->asked.body.data,
                                              .body_len = a->asked.body.len,
                                              .timeout_ms = BUDGET_MS + GRACE_MS};
        const struct https_handlers handlers = {.on_done = on_done, .arg = a};
        struct error err = {""};

        (void)snprintf(url, sizeof(url), "%s/v1/tenants/%s/questions", client_node(e->client), e->person->tenant);
        (void)snprintf(id, sizeof(id), "Postern-Id: %s", a->asked.id);
        (void)snprintf(budget, sizeof(budget), "Postern-Budget: %d", BUDGET_MS);
        if (https_start(e->https, &a->call, &request, &handlers, &err) < 0)
                end(a, "silent", err.text);
        else
                e->waiting++;
}

static void on_status(void *arg, long status, const struct buffer *answer, const char *why)
{
        struct everywhere *e = arg;

        (void)why;
        e->status_call = NULL;
        if (status == 200 && answer && answer->data)
                e->status = json_loadb(answer->data, answer->len, JSON_REJECT_DUPLICATES, NULL);
        if (--e->waiting == 0)
                loop_stop(e->loop, 0);
}

static int open_loop(struct everywhere *e, struct error *err)
{
        const struct https_config config = {.ca_file = e->person->ca_file};
        int r = loop_new(&e->loop);

        if (r < 0)
                return error_fail(err, r, "no event loop: %s", strerror(-r));
        r = dns_new(&e->dns, e->loop, DNS_SEARCHED, err);
        r = r < 0 ? r : https_new(&e->https, &config, err);
        return r < 0 ? r : https_on_loop(e->https, e->loop, e->dns, err);
}

static void ask_one(struct asking *a, const struct question_claims *question)
{
        struct everywhere *e = a->all;
        const struct directory_entry *entry = NULL;
        struct error why = {""};

        asked_clear(&a->asked);
        a->elsewhere = false;
        for (size_t i = 0; i < e->directory->n && !entry; i++)
                if (e->directory->entries[i].connector == a->connector)
                        entry = &e->directory->entries[i];
        if (!entry)
                end(a, "silent",
                    "it is not linked to the relay, or in quarantine: look at `postern status` on its host");
        else if (asked_make(&a->asked, entry, e->person->id, e->person->key, question, (int64_t)time(NULL), &why) < 0)
                end(a, "silent", why.text);
        else
                post(a);
}

/* Asks each connector that shares a domain with the person; whoever a node of the relay does not reach, at the next. */
static int ask_all(struct everywhere *e, const struct question_claims *question, struct error *err)
{
        const struct roster *roster = e->directory->roster;
        const struct roster_member *person = find_person(e, err);
        char url[512];
        const struct https_request request = {
                .method = "GET", .url = url, .bearer = e->bearer, .timeout_ms = BUDGET_MS + GRACE_MS};
        const struct https_handlers handlers = {.on_done = on_status, .arg = e};
        int r = person ? open_loop(e, err) : -EACCES;

        e->asking = calloc(roster->n_connectors + 1, sizeof(*e->asking));
        if (r < 0 || !person || !e->asking)
                return r < 0 ? r : error_fail(err, -ENOMEM, "out of memory");
        for (size_t i = 0; i < roster->n_connectors; i++)
                if (shares_domain(&roster->connectors[i], person))
                        e->asking[e->n++] = (struct asking){
                                .all = e, .connector = &roster->connectors[i], .elsewhere = true, .state = "silent"};
        if (question->op == QUESTION_STATUS) { /* what the relay sees; without it the answers are all there is */
                (void)snprintf(url, sizeof(url), "%s/v1/tenants/%s/status", client_node(e->client), e->person->tenant);
                e->waiting += https_start(e->https, &e->status_call, &request, &handlers, NULL) == 0;
        }
        for (size_t node = 0; node < client_nodes(e->client); node++) {
                if (node > 0)
                        client_next_node(e->client);
                for (size_t i = 0; i < e->n; i++)
                        if (e->asking[i].elsewhere)
                                ask_one(&e->asking[i], question);
                if (e->waiting)
                        (void)loop_run(e->loop);
        }
        for (size_t i = 0; i < e->n; i++)
                if (e->asking[i].elsewhere && e->asking[i].unlinked && e->asking[i].unreached)
                        end(&e->asking[i], "silent",
                            "it is not linked to a node of the relay that answers, and another node gave no answer: "
                            "look "
                            "at `postern status` on its host");
        return 0;
}

/* ---- one answer of all ---- */

static int by_time(const void *left, const void *right)
{
        const json_t *const *a = left, *const *b = right;
        const long long x = fact_number(*a, "wall", 0), y = fact_number(*b, "wall", 0);

        return x < y ? 1 : x > y ? -1 : strcmp(fact_text(*b, "id"), fact_text(*a, "id"));
}

/* The newest first. */
static void sort(json_t *list)
{
        const size_t n = json_array_size(list);
        const json_t **rows = calloc(n + 1, sizeof(json_t *));

        for (size_t i = 0; rows && i < n; i++)
                rows[i] = json_incref(json_array_get(list, i));
        if (rows && n) {
                qsort(rows, n, sizeof(json_t *), by_time);
                (void)json_array_clear(list);
                for (size_t i = 0; i < n; i++)
                        (void)json_array_append_new(list, (json_t *)(uintptr_t)rows[i]);
        }
        free(rows);
}

/* A connector's records among those of all: what is none is left out. With most, so many mean that there may be more.
 */
static void gather(const struct asking *a, size_t most, json_t *records)
{
        json_t *list = json_object_get(a->answer, "records"), *record;
        size_t i;

        if (most && json_array_size(list) >= most)
                (void)json_object_set_new(a->answer, "cut", json_true());

        json_array_foreach (list, i, record)
                if (json_is_object(record)) {
                        (void)json_object_set_new(record, "connector", json_string(a->connector->name));
                        (void)json_array_append(records, record);
                }
        (void)json_object_del(a->answer, "records");
}

static json_t *merge(const struct everywhere *e, const struct question_claims *question)
{
        const bool all_of_a_time = question->op == QUESTION_LOG && !question->what[0];
        json_t *connectors = json_array(), *records = json_array();
        const char *found_by = all_of_a_time ? "time" : "user";
        size_t answered = 0;

        for (size_t i = 0; i < e->n; i++) {
                const struct asking *a = &e->asking[i];
                const char *state = a->state ? a->state : "silent";

                if (a->answer && json_array_size(json_object_get(a->answer, "records")) > 0)
                        found_by = strcmp(fact_text(a->answer, "found_by"), "id") == 0 ? "id" : found_by;
                gather(a, !all_of_a_time ? 0 : question->limit ? question->limit : QUESTION_ROWS_MAX, records);
                answered += strcmp(state, "answered") == 0;
                (void)json_array_append_new(connectors,
                                            json_pack("{s:s, s:s, s:s, s:s*, s:O*}", "name", a->connector->name, "id",
                                                      a->connector->id, "state", state, "why",
                                                      a->why[0] ? a->why : NULL, "answer", a->answer));
        }
        sort(records);
        return json_pack("{s:b, s:I, s:{s:s}, s:s, s:o, s:{s:s, s:s, s:I, s:I, s:o, s:O*}}", "ok", 1, "now",
                         (json_int_t)time(NULL), "ledger", "state", "ok", "found_by", found_by, "records", records,
                         "everywhere", "person", e->person->name, "tenant", e->person->tenant, "asked",
                         (json_int_t)e->n, "answered", (json_int_t)answered, "connectors", connectors, "relay",
                         json_object_get(e->status, "connectors"));
}

int everywhere_ask(struct everywhere_person *p, const struct question_claims *question, json_t **ret_answer,
                   struct error *err)
{
        _cleanup_(everywhere_clear) struct everywhere e = {.person = &p->store, .bearer = secret_text(p->bearer)};
        const struct client_config config = service_store_client(e.person, e.bearer);
        char before[KID_LEN + 1];
        int r = client_new(&e.client, &config, err);

        /* the keys by the relay; what was seen of the roster is remembered where it is new */
        (void)snprintf(before, sizeof(before), "%s", e.person->roster_hash);
        r = r < 0 ? r : client_directory(e.client, &e.directory, err);
        if (r >= 0)
                service_store_saw(e.person, e.client);
        if (r >= 0 && strcmp(before, e.person->roster_hash) != 0)
                r = service_store_save(e.person, err);
        r = r < 0 ? r : ask_all(&e, question, err);
        if (r < 0)
                return r;
        *ret_answer = merge(&e, question);
        return *ret_answer ? 0 : error_fail(err, -ENOMEM, "out of memory");
}

/* ---- who asks ---- */

/* Reads or opens the key, which must be the one whose public half is there. */
static int open_key(struct service_store *s, const struct everywhere_key *how, struct error *err)
{
        _cleanup_(service_public_clear) struct service_public public = {0};
        char path[FOLDER_PATH_MAX];
        struct folder_key file = {.path = path, .ask = how->pin};
        struct secret *pass = NULL;
        int r;

        folder_path(path, s->dir, service_store_file(STORE_PERSON, STORE_FILE_PUBLIC));
        r = service_public_read(&public, path, err);
        folder_path(path, s->dir, service_store_file(STORE_PERSON, STORE_FILE_KEY));
        if (r == 0 && folder_key_encrypted(path))
                r = how->passphrase ? how->passphrase(&pass, err)
                                    : error_fail(err, -EACCES, "%s is encrypted, and there is no passphrase", path);
        file.passphrase = pass ? secret_text(pass) : NULL;
        if (r == 0)
                r = folder_key_read(&file, &s->key, err);
        secret_free(pass);
        if (r == 0 && strcmp(key_kid(s->key), key_kid(public.key)) != 0)
                r = error_fail(err, -EKEYREJECTED, "%s is not the key of person.pub.json", path);
        return r;
}

int everywhere_open(struct everywhere_person *ret_p, const struct everywhere_key *key, struct error *err)
{
        _cleanup_(everywhere_close) struct everywhere_person p = {0};
        int r = service_store_open_without_key(&p.store, STORE_PERSON, key->dir, err);

        if (r == 0)
                r = service_store_complete(&p.store, err);
        if (r == 0)
                r = open_key(&p.store, key, err);
        if (r == 0)
                r = folder_secret_read(p.store.secret_file, &p.bearer, err);
        if (r > 0)
                r = error_fail(err, -EINVAL, "%s is empty", p.store.secret_file);
        if (r < 0)
                return r;
        *ret_p = p;
        p = (struct everywhere_person){0};
        return 0;
}

void everywhere_close(struct everywhere_person *p)
{
        service_store_clear(&p->store);
        secret_free(p->bearer);
        *p = (struct everywhere_person){0};
}
