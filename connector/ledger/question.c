/*
 * What people ask from afar (FRAME_QUERY): noted first, then answered, in parts.
 *
 * Who asks, and which domains that person may see, the validator has checked; here the search is held to them. The
 * notes are read on the connector's host alone (`postern log --asked`): no answer to such a question holds any.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/ledger/ledger.h"

#define EXPLAIN_ROWS 10
#define DOMAINS_TEXT_MAX 16384

static void send_refusal(struct ledger *l, uint64_t number, const char *id, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_FOUND);
        msg_u64(&m, TAG_SEQ, number);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_WHY, why);
        if (ipc_send(l->validator.ipc, &m) < 0)
                log_warning("question.not_answered");
}

static void send_parts(struct ledger *l, uint64_t number, const char *id, const char *text, size_t len)
{
        uint64_t part = 0;
        struct msg_out m;

        for (size_t at = 0; at < len; part++) {
                const size_t n = len - at < ANSWER_PART_MAX ? len - at : ANSWER_PART_MAX;

                msg_begin(&m, FRAME_FOUND);
                msg_u64(&m, TAG_SEQ, number);
                msg_str(&m, TAG_ID, id);
                msg_u64(&m, TAG_PART, part);
                msg_u64(&m, TAG_TOTAL, len);
                msg_bytes(&m, TAG_ANSWER, text + at, n);
                if (ipc_send(l->validator.ipc, &m) < 0) {
                        log_warning("question.not_answered");
                        return;
                }
                at += n;
        }
}

/* As much as one answer holds: the oldest records go, the newest stay, and the answer says so. NULL: not even one. */
static char *fitting(json_t *answer)
{
        json_t *list = json_object_get(answer, "records");

        for (;;) {
                char *text = json_dumps(answer, JSON_COMPACT);
                size_t size = 0; /* that text takes within a JSON string */

                for (const char *c = text; c && *c; c++)
                        size += *c == '"' || *c == '\\' ? 2 : (unsigned char)*c < 0x20 || *c == 0x7f ? 6 : 1;
                if (text && size <= FOUND_MAX)
                        return text;
                free(text);
                if (!text || json_array_size(list) == 0)
                        return NULL;
                (void)json_array_remove(list, json_array_size(list) - 1);
                (void)json_object_set_new(answer, "cut", json_true());
        }
}

/* "a\nb\n" as a JSON array; NULL without memory. An empty line stands for records of no domain. */
static char *domains_json(char *lines)
{
        json_auto_t *list = json_array();

        for (char *line = lines, *end; *line; line = end) {
                end = strchr(line, '\n');
                if (!end)
                        end = line + strlen(line);
                else
                        *end++ = '\0';
                (void)json_array_append_new(list, json_string(line));
        }
        return json_dumps(list, JSON_COMPACT);
}

/* What the frame asks; false: it is malformed. */
static bool read_query(const struct msg_in *m, struct ledger_question *q, char **ret_domains)
{
        char op[17] = "", lines[DOMAINS_TEXT_MAX];
        struct request *r = &q->request;
        const uint64_t limit = msg_get_u64(m, TAG_LIMIT, FOUND_ROWS_MAX);

        *ret_domains = NULL;
        if (msg_get_str(m, TAG_OP, op, sizeof(op)) < 0)
                return false;
        q->status = strcmp(op, "status") == 0;
        q->events = strcmp(op, "explain") == 0;
        r->since = (int64_t)(msg_get_u64(m, TAG_SINCE, 0) & INT64_MAX);
        r->until = (int64_t)(msg_get_u64(m, TAG_UNTIL, 0) & INT64_MAX);
        if (!q->status && (msg_has(m, TAG_WHAT) || q->events || !r->since || !r->until) &&
            msg_get_str(m, TAG_WHAT, r->what, sizeof(r->what)) < 0)
                return false;
        if (msg_has(m, TAG_VERDICT) && msg_get_str(m, TAG_VERDICT, r->verdict, sizeof(r->verdict)) < 0)
                return false;
        r->limit = q->events ? EXPLAIN_ROWS : limit < FOUND_ROWS_MAX ? (uint32_t)limit : FOUND_ROWS_MAX;
        if (!msg_has(m, TAG_DOMAINS))
                return true;
        if (msg_get_str(m, TAG_DOMAINS, lines, sizeof(lines)) < 0)
                return false;
        q->domains = *ret_domains = domains_json(lines);
        return q->domains != NULL;
}

void ledger_query(struct ledger *l, const struct msg_in *m)
{
        const uint64_t number = msg_get_u64(m, TAG_SEQ, 0);
        struct ledger_question q = {0};
        json_auto_t *answer = NULL;
        char id[ID_MAX + 1], *domains = NULL, *text = NULL;

        if (msg_get_str(m, TAG_ID, id, sizeof(id)) < 0)
                return;
        ledger_take(l, m);
        ledger_journal_flush(l->journal);
        if (msg_has(m, TAG_REFUSED))
                return;
        if (read_query(m, &q, &domains)) {
                answer = ledger_answer_person(l, &q);
                text = json_is_true(json_object_get(answer, "ok")) ? fitting(answer) : NULL;
        }
        if (text)
                send_parts(l, number, id, text, strlen(text));
        else
                send_refusal(l, number, id, "not readable");
        free(text);
        free(domains);
}
