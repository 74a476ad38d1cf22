/*
 * Answers of the control socket: status, log, explain, each as one JSON object.
 *
 * The form is stable: `postern --json` prints it as it is. Nothing is decided here; rows and parts are shown
 * as they came.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/core/typed-name.h"
#include "connector/ledger/ledger.h"

#define EXPLAIN_RECORDS 10
#define EXPLAIN_EVENTS 50
#define NEAR_NAMES 8

json_t *ledger_refusal(const char *why)
{
        return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

/* {"ok":true,"now":...,"ledger":"ok"|"degraded"}: what begins every answer. */
static json_t *begin(struct ledger *l)
{
        json_t *status = ledger_journal_status(l->journal);
        json_t *root =
                json_pack("{s:b, s:I, s:o}", "ok", 1, "now", (json_int_t)loop_wall(l->process.loop), "ledger", status);

        return root;
}

static json_t *parts(const struct ledger *l)
{
        json_t *o = json_object();

        for (size_t i = 0; i < l->n_status; i++) {
                const struct ledger_status *s = &l->status[i];
                (void)json_object_set_new(
                        o, s->name,
                        json_pack("{s:I, s:O*, s:O}", "at", (json_int_t)s->wall, "since", s->since, "value", s->value));
        }
        return o;
}

json_t *ledger_counts(const json_int_t n[COUNT_N])
{
        return json_pack("{s:I, s:I, s:I, s:I}", "accepted", n[COUNT_ACCEPTED], "refused", n[COUNT_REFUSED],
                         "unavailable", n[COUNT_UNAVAILABLE], "declined", n[COUNT_DECLINED]);
}

static json_t *answer_status(struct ledger *l)
{
        json_t *root = begin(l);
        json_int_t n[COUNT_N];

        if (!root)
                return NULL;
        for (size_t i = 0; i < COUNT_N; i++)
                n[i] = (json_int_t)l->counts[i];
        (void)json_object_set_new(root, "counts", ledger_counts(n));
        (void)json_object_set_new(root, "incidents", ledger_incidents(l));
        if (l->outlets)
                (void)json_object_set_new(root, "outlets", ledger_outlets_status(l->outlets));
        (void)json_object_set_new(root, "parts", parts(l));
        return root;
}

/* A user in every form that a row may hold; the hashes find rows whose name was only kept masked. */
struct user_forms {
        char *names, *hashes;
};

static void user_forms_clear(struct user_forms *f)
{
        free(f->names);
        free(f->hashes);
}

static void search_user(const struct ledger *l, struct store_search *s, const char *user, struct user_forms *forms)
{
        json_auto_t *names = ledger_names(l->config, user), *hashes = json_array(), *folded = json_array();
        char hash[NAME_HASH_TEXT], fold[3 * REQUEST_TEXT_MAX];
        json_t *name;
        size_t i;

        json_array_foreach (names, i, name) {
                const char *text = json_string_value(name);

                if (l->has_hash_key) {
                        name_hash(l->hash_key, text, strlen(text), hash);
                        (void)json_array_append_new(hashes, json_string(hash));
                }
                if (typed_fold(fold, sizeof(fold), TYPED_CASE, text, strlen(text)) == 0)
                        (void)json_array_append_new(folded, json_string(fold));
        }
        forms->names = json_dumps(folded, JSON_COMPACT);
        forms->hashes = json_dumps(hashes, JSON_COMPACT);
        s->names = forms->names;
        s->hashes = forms->hashes;
}

/* What it means that nothing is found: whose records these are, how far they go back, and what is missing in them. */
static json_t *absence(struct ledger *l)
{
        const char *name = NULL;

        for (size_t i = 0; i < l->n_status && !name; i++)
                if (strcmp(l->status[i].name, "validator") == 0)
                        name = json_string_value(json_object_get(l->status[i].value, "name"));
        return json_pack("{s:s*, s:I, s:I}", "connector", name, "records_since",
                         (json_int_t)ledger_journal_oldest(l->journal), "running_since", (json_int_t)l->since);
}

/* Accounts whose names are like what was typed. */
static json_t *near_names(struct ledger *l, const char *typed, int64_t since)
{
        char letters[3 * REQUEST_TEXT_MAX];
        json_t *list = json_array();
        struct error err;

        if (typed_fold(letters, sizeof(letters), TYPED_LETTERS, typed, strlen(typed)) == 0 &&
            ledger_journal_near(l->journal, letters, since, NEAR_NAMES, list, &err) < 0)
                log_debug("names.not_searched", KV_S("why", err.text));
        return list;
}

static json_t *answer_log(struct ledger *l, const struct request *request)
{
        struct store_search search = {.request = request};
        _cleanup_(user_forms_clear) struct user_forms forms = {NULL, NULL};
        json_t *root = begin(l), *list = json_array();
        struct error err;
        int r;

        if (request->user[0])
                search_user(l, &search, request->user, &forms);
        r = ledger_journal_search(l->journal, request->events ? ledger_store_events : ledger_store_records, &search,
                                  list, &err);
        if (r < 0) {
                json_decref(list);
                json_decref(root);
                return ledger_refusal(err.text);
        }
        if (request->user[0] && json_array_size(list) == 0)
                (void)json_object_set_new(root, "near", near_names(l, request->user, request->since));
        if (json_array_size(list) == 0)
                (void)json_object_set_new(root, "absent", absence(l));
        if (!request->events && json_array_size(list) >= request->limit)
                (void)json_object_set_new(root, "cut", json_true());
        (void)json_object_set_new(root, request->events ? "events" : "records", list);
        return root;
}

/* The event says that it was done and how much it was, not whose. */
static json_t *answer_erase(struct ledger *l, const struct request *request)
{
        const struct request all = {.limit = REQUEST_LIMIT_MAX};
        struct store_search search = {.request = &all};
        _cleanup_(user_forms_clear) struct user_forms forms = {NULL, NULL};
        json_t *root = begin(l);
        struct error err;
        char detail[100];

        search_user(l, &search, request->user, &forms);
        const int n = ledger_journal_erase(l->journal, &search, &err);
        if (n < 0) {
                json_decref(root);
                return ledger_refusal(err.text);
        }
        (void)snprintf(detail, sizeof(detail), "%d record%s of one user erased on request", n, n == 1 ? "" : "s");
        ledger_note(l, "privacy.erased", detail);
        (void)json_object_set_new(root, "erased", json_integer(n));
        return root;
}

static int add_events(struct ledger *l, json_t *record, struct error *err)
{
        const struct request request = {.limit = EXPLAIN_EVENTS};
        const struct store_search search = {.request = &request,
                                            .id = json_string_value(json_object_get(record, "id"))};
        json_t *list = json_array();
        int r = ledger_journal_search(l->journal, ledger_store_events, &search, list, err);

        (void)json_object_set_new(record, "events", list);
        return r;
}

/* The second attempt of a sign-in, then its first, newest first like all that is answered. */
static int find_attempts(struct ledger *l, const char *first, const char *domains, json_t *list, struct error *err)
{
        const struct request request = {.limit = EXPLAIN_RECORDS};
        char second[ID_MAX + sizeof(ID_SECOND)];
        struct store_search search = {.request = &request, .id = second, .domains = domains};
        int r = 0;

        (void)snprintf(second, sizeof(second), "%s" ID_SECOND, first);
        if (id_valid(second, strlen(second)))
                r = ledger_journal_search(l->journal, ledger_store_records, &search, list, err);
        search.id = first;
        return r < 0 ? r : ledger_journal_search(l->journal, ledger_store_records, &search, list, err);
}

/* By the id as given, then as it may have been meant; of either attempt both are found. */
static int find_id(struct ledger *l, const char *given, const char *domains, json_t *list, struct error *err)
{
        char first[ID_MAX + 1], heard[ID_MAX + 1];
        int r;

        (void)snprintf(first, sizeof(first), "%.*s", (int)id_first(given), given);
        r = find_attempts(l, first, domains, list, err);
        if (r == 0 && json_array_size(list) == 0 && id_heard(first, heard))
                r = find_attempts(l, heard, domains, list, err);
        return r;
}

/*
 * The sign-in whose id begins so, where there is but one. The ids that begin so are in ret_ids, each sign-in once: by
 * the id of its first attempt where that has a record.
 */
static int find_beginning(struct ledger *l, const char *given, json_t *list, json_t *ret_ids, struct error *err)
{
        char heard[ID_MAX + 1];
        int r = ledger_journal_ids(l->journal, given, EXPLAIN_RECORDS, ret_ids, err);

        if (r == 0 && id_heard(given, heard) && strcmp(given, heard) != 0)
                r = ledger_journal_ids(l->journal, heard, EXPLAIN_RECORDS, ret_ids, err);
        for (size_t i = 1; i < json_array_size(ret_ids);)
                if (id_same(json_string_value(json_array_get(ret_ids, i - 1)),
                            json_string_value(json_array_get(ret_ids, i))))
                        (void)json_array_remove(ret_ids, i);
                else
                        i++;
        if (r == 0 && json_array_size(ret_ids) == 1)
                r = find_id(l, json_string_value(json_array_get(ret_ids, 0)), NULL, list, err);
        return r;
}

/* An id, a user, or the beginning of an id, in this order. *ret_by: which of them it was. */
static int find(struct ledger *l, const char *what, json_t *list, json_t *ids, const char **ret_by, struct error *err)
{
        const struct request request = {.limit = EXPLAIN_RECORDS};
        struct store_search search = {.request = &request};
        _cleanup_(user_forms_clear) struct user_forms forms = {NULL, NULL};
        char given[ID_MAX + 1];
        const bool maybe_id = id_given(what, given);
        int r = maybe_id ? find_id(l, given, NULL, list, err) : 0;

        *ret_by = "id";
        if (r < 0 || json_array_size(list) > 0)
                return r;
        *ret_by = "user";
        search_user(l, &search, what, &forms);
        r = ledger_journal_search(l->journal, ledger_store_records, &search, list, err);
        if (r < 0 || json_array_size(list) > 0 || !maybe_id)
                return r;
        r = find_beginning(l, given, list, ids, err);
        if (json_array_size(ids) > 0)
                *ret_by = "id";
        return r;
}

/* By a sign-in's id where there is one, else by a user, else by the beginning of an id: the newest records, each with
 * its events. */
static json_t *answer_explain(struct ledger *l, const struct request *asked)
{
        json_t *root = begin(l), *list = json_array(), *ids = json_array(), *record;
        struct error err;
        const char *by;
        size_t i;
        int r = find(l, asked->what, list, ids, &by, &err);

        json_array_foreach (list, i, record)
                if (r == 0)
                        r = add_events(l, record, &err);
        if (r < 0) {
                json_decref(list);
                json_decref(ids);
                json_decref(root);
                return ledger_refusal(err.text);
        }
        (void)json_object_set_new(root, "found_by", json_string(by));
        if (json_array_size(list) == 0 && json_array_size(ids) > 0)
                (void)json_object_set(root, "ids", ids);
        if (json_array_size(list) == 0) {
                (void)json_object_set_new(root, "absent", absence(l));
                (void)json_object_set_new(root, "near", near_names(l, asked->what, 0));
        }
        (void)json_object_set_new(root, "records", list);
        json_decref(ids);
        return root;
}

/* Records by the exact id, of the exact name, or of a time alone: no beginnings, and no names that are like it. */
static int find_exact(struct ledger *l, const struct ledger_question *q, json_t *list, const char **ret_by,
                      struct error *err)
{
        struct store_search search = {.request = &q->request, .domains = q->domains};
        _cleanup_(user_forms_clear) struct user_forms forms = {NULL, NULL};
        char given[ID_MAX + 1];
        int r = q->events && id_given(q->request.what, given) ? find_id(l, given, q->domains, list, err) : 0;

        *ret_by = "id";
        if (r < 0 || json_array_size(list) > 0)
                return r;
        *ret_by = q->request.what[0] ? "user" : "time";
        if (q->request.what[0])
                search_user(l, &search, q->request.what, &forms);
        return ledger_journal_search(l->journal, ledger_store_records, &search, list, err);
}

json_t *ledger_answer_person(struct ledger *l, const struct ledger_question *q)
{
        json_t *root, *list, *record;
        const char *by = "";
        struct error err;
        size_t i;
        int r;

        if (q->status) {
                json_auto_t *domains = q->domains ? json_loads(q->domains, 0, NULL) : NULL;

                root = answer_status(l);
                if (q->domains)
                        ledger_share_status(l, root, domains);
                return root;
        }
        root = begin(l);
        if (q->domains)
                ledger_share_answer(root);
        list = json_array();
        r = find_exact(l, q, list, &by, &err);
        json_array_foreach (list, i, record)
                if (r == 0 && q->events)
                        r = add_events(l, record, &err);
        if (r < 0) {
                json_decref(list);
                json_decref(root);
                return ledger_refusal(err.text);
        }
        (void)json_object_set_new(root, "found_by", json_string(by));
        (void)json_object_set_new(root, "absent", absence(l));
        (void)json_object_set_new(root, "records", list);
        return root;
}

typedef int journal_search_fn(struct journal *, store_search_fn *, const struct store_search *, json_t *,
                              struct error *);

/* One search, whose result is the member of that name. found: empty; taken over. */
static json_t *answer_search(struct ledger *l, const struct request *request, journal_search_fn *by,
                             store_search_fn *fn, const char *name, json_t *found)
{
        const struct store_search search = {.request = request};
        json_t *root = begin(l);
        struct error err = {""};

        if (by(l->journal, fn, &search, found, &err) < 0) {
                json_decref(found);
                json_decref(root);
                return ledger_refusal(err.text);
        }
        (void)json_object_set_new(root, name, found);
        return root;
}

json_t *ledger_answer(struct ledger *l, const struct request *request)
{
        switch (request->what_to_do) {
        case REQUEST_STATUS:
                return answer_status(l);
        case REQUEST_LOG:
                return answer_log(l, request);
        case REQUEST_EXPLAIN:
                return answer_explain(l, request);
        case REQUEST_REPORT: /* counts of one day at most, which whoever asks adds up */
                return answer_search(l, request, ledger_journal_search, ledger_store_report, "report", json_object());
        case REQUEST_ERASE:
                return answer_erase(l, request);
        case REQUEST_SLOW:
                return answer_search(l, request, ledger_journal_look, ledger_store_slow, "slow", json_object());
        case REQUEST_UNUSUAL:
                return answer_search(l, request, ledger_journal_look, ledger_store_unusual, "unusual", json_object());
        case REQUEST_QUESTIONS: /* who of the helpdesk asked what from afar */
                return answer_search(l, request, ledger_journal_search, ledger_store_questions, "questions",
                                     json_array());
        case REQUEST_GUARD: /* the validator answers: ledger_guard_ask */
                return ledger_refusal("posternd does not run, and what the guard counts ended with it");
        }
        return ledger_refusal("unknown");
}
