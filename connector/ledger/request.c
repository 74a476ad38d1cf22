/*
 * Reading a control request: strict JSON, known members only, each within its bounds. Takes bytes, knows no
 * socket.
 */
#include "connector/ledger/request.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/core/typed-name.h"

#define LIMIT_DEFAULT 50

static int take_text(const json_t *value, const char *key, char *out, size_t cap, struct error *err)
{
        const char *text = json_string_value(value);

        if (!text || !text[0] || strlen(text) != json_string_length(value) || strlen(text) >= cap)
                return error_fail(err, -EBADMSG, "'%s' must be a text of 1 to %zu bytes", key, cap - 1);
        memcpy(out, text, strlen(text) + 1);
        return 0;
}

/* A name or an id, without the blanks around it. */
static int take_trimmed(const json_t *value, const char *key, char *out, size_t cap, struct error *err)
{
        char text[REQUEST_TEXT_MAX + 1];
        const char *begin = text;
        int r = take_text(value, key, text, cap < sizeof(text) ? cap : sizeof(text), err);
        size_t n = r == 0 ? strlen(text) : 0;

        if (r < 0)
                return r;
        typed_trim(&begin, &n);
        if (n == 0)
                return error_fail(err, -EBADMSG, "'%s' is blank", key);
        memcpy(out, begin, n);
        out[n] = '\0';
        return 0;
}

static int take_number(const json_t *value, const char *key, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
        if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
                return error_fail(err, -EBADMSG, "'%s' must be a whole number from %lld to %lld", key, (long long)min,
                                  (long long)max);
        *ret = json_integer_value(value);
        return 0;
}

static const char *const do_words[] = {[REQUEST_STATUS] = "status",   [REQUEST_LOG] = "log",
                                       [REQUEST_EXPLAIN] = "explain", [REQUEST_REPORT] = "report",
                                       [REQUEST_SLOW] = "slow",       [REQUEST_UNUSUAL] = "unusual",
                                       [REQUEST_ERASE] = "erase",     [REQUEST_QUESTIONS] = "questions",
                                       [REQUEST_GUARD] = "guard"};

const char *request_do_text(enum request_do what)
{
        return what >= REQUEST_STATUS && what < sizeof(do_words) / sizeof(do_words[0]) ? do_words[what] : "?";
}

bool request_is_act(const struct request *request)
{
        return request->what_to_do != REQUEST_STATUS && (request->what_to_do != REQUEST_REPORT || request->users);
}

static int take_do(const json_t *value, enum request_do *ret, struct error *err)
{
        const char *text = json_string_value(value);

        for (size_t i = REQUEST_STATUS; text && i < sizeof(do_words) / sizeof(do_words[0]); i++)
                if (strcmp(text, do_words[i]) == 0) {
                        *ret = (enum request_do)i;
                        return 0;
                }
        return error_fail(err, -EBADMSG,
                          "'do' must be status, log, explain, report, slow, unusual, erase, questions or guard");
}

static int take_verdict(const json_t *value, char *out, size_t cap, struct error *err)
{
        static const char *const words[] = {"accepted", "refused", "unavailable", "declined"};
        int r = take_text(value, "verdict", out, cap, err);

        for (size_t i = 0; r == 0 && i < 4; i++)
                if (strcmp(out, words[i]) == 0)
                        return 0;
        return error_fail(err, -EBADMSG, "'verdict' must be accepted, refused, unavailable or declined");
}

static int take_member(struct request *r, const char *key, const json_t *value, struct error *err)
{
        int64_t limit = 0;
        int code;

        if (strcmp(key, "do") == 0)
                return take_do(value, &r->what_to_do, err);
        if (strcmp(key, "user") == 0)
                return take_trimmed(value, key, r->user, sizeof(r->user), err);
        if (strcmp(key, "what") == 0)
                return take_trimmed(value, key, r->what, sizeof(r->what), err);
        if (strcmp(key, "person") == 0)
                return take_text(value, key, r->person, sizeof(r->person), err);
        if (strcmp(key, "verdict") == 0)
                return take_verdict(value, r->verdict, sizeof(r->verdict), err);
        if (strcmp(key, "since") == 0)
                return take_number(value, key, 0, INT64_MAX, &r->since, err);
        if (strcmp(key, "until") == 0)
                return take_number(value, key, 0, INT64_MAX, &r->until, err);
        if (strcmp(key, "step") == 0)
                return take_number(value, key, REQUEST_STEP_MIN, REQUEST_REPORT_S, &r->step, err);
        if (strcmp(key, "limit") == 0) {
                code = take_number(value, key, 1, REQUEST_LIMIT_MAX, &limit, err);
                r->limit = (uint32_t)limit;
                return code;
        }
        if (strcmp(key, "events") == 0 && json_is_boolean(value)) {
                r->events = json_is_true(value);
                return 0;
        }
        if (strcmp(key, "users") == 0 && json_is_boolean(value)) {
                r->users = json_is_true(value);
                return 0;
        }
        if (strcmp(key, "release") == 0 && json_is_boolean(value)) {
                r->release = json_is_true(value);
                return 0;
        }
        return error_fail(err, -EBADMSG, "the member '%.64s' is unknown or of the wrong type", key);
}

/* What the members demand of each other. */
static int check_whole(const struct request *r, struct error *err)
{
        if (!r->what_to_do)
                return error_fail(err, -EBADMSG, "'do' is missing");
        if (r->what_to_do == REQUEST_EXPLAIN && !r->what[0])
                return error_fail(err, -EBADMSG, "'what' is missing: the id of a sign-in, or a user");
        if (r->what_to_do == REQUEST_REPORT && (r->since >= r->until || r->until - r->since > REQUEST_REPORT_S))
                return error_fail(err, -EBADMSG, "a report is of the time from 'since' to 'until', a day at most");
        if ((r->what_to_do == REQUEST_SLOW || r->what_to_do == REQUEST_UNUSUAL) &&
            (r->since >= r->until || r->until - r->since > REQUEST_LOOK_S))
                return error_fail(err, -EBADMSG, "'since' and 'until' must be a week apart at most");
        if ((r->users || r->step) && r->what_to_do != REQUEST_REPORT)
                return error_fail(err, -EBADMSG, "only a report has users and a step");
        if (r->what_to_do == REQUEST_ERASE && !r->user[0])
                return error_fail(err, -EBADMSG, "'user' is missing: whose records are to be erased");
        if (r->what_to_do == REQUEST_GUARD && !r->user[0])
                return error_fail(err, -EBADMSG, "'user' is missing: whom the guard may stop");
        if (r->release && r->what_to_do != REQUEST_GUARD)
                return error_fail(err, -EBADMSG, "only the guard releases");
        if (r->events && (r->user[0] || r->verdict[0]))
                return error_fail(err, -EBADMSG, "events have neither user nor verdict");
        return 0;
}

int request_parse(struct request *ret_r, const char *line, size_t n, struct error *err)
{
        struct request r = {.limit = LIMIT_DEFAULT};
        json_error_t why;
        json_t *root, *value;
        const char *key;
        int code = 0;

        if (n > REQUEST_LINE_MAX)
                return error_fail(err, -EBADMSG, "the request is longer than %d bytes", REQUEST_LINE_MAX);
        root = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(root)) {
                json_decref(root);
                return error_fail(err, -EBADMSG, "the request is not a JSON object");
        }
        json_object_foreach (root, key, value)
                if (code == 0)
                        code = take_member(&r, key, value, err);
        json_decref(root);
        if (code == 0)
                code = check_whole(&r, err);
        if (code == 0)
                *ret_r = r;
        return code;
}
