/*
 * Questions of people, answers, and the word why there is none: what decodes keeps to its bounds and means the same
 * once it is encoded.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/wire/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void question(const char *text, size_t n)
{
        struct buffer once = BUFFER(65536), again = BUFFER(65536);
        struct question_claims c, back;

        if (question_claims_decode(&c, text, n, NULL) < 0)
                return;
        must(c.op >= QUESTION_EXPLAIN && c.op <= QUESTION_STATUS && c.exp - c.iat <= QUESTION_LIFE_MAX);
        must(c.op != QUESTION_STATUS || !c.what[0]);
        must(c.op != QUESTION_EXPLAIN || c.what[0]);
        must(c.op != QUESTION_LOG || c.what[0] || question_claims_short_time(c.since, c.until));
        must(c.limit <= QUESTION_ROWS_MAX);
        must(c.op == QUESTION_LOG || (!c.verdict[0] && !c.since && !c.until && !c.limit));
        must(question_claims_encode(&c, &once, NULL) == 0);
        must(question_claims_decode(&back, once.data, once.len, NULL) == 0);
        must(question_claims_encode(&back, &again, NULL) == 0);
        must(once.len == again.len && memcmp(once.data, again.data, once.len) == 0);
        buffer_free(&once);
        buffer_free(&again);
}

static void answer(const char *text, size_t n)
{
        struct buffer once = BUFFER(1 << 20);
        struct answer_claims c, back;

        if (answer_claims_decode(&c, text, n, NULL) < 0)
                return;
        must((c.state == ANSWER_OK) == (c.body != NULL) && c.exp == c.iat + VERDICT_LIFE);
        if (answer_claims_encode(&c, &once, NULL) == 0) { /* an empty body is none */
                must(answer_claims_decode(&back, once.data, once.len, NULL) == 0);
                must(!c.body || strcmp(c.body, back.body) == 0);
                answer_claims_clear(&back);
        }
        answer_claims_clear(&c);
        buffer_free(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        char why[32];

        question((const char *)data, n);
        answer((const char *)data, n);
        if (question_declined_decode(why, (const char *)data, n, NULL) == 0)
                must(decline_why_valid(why));
        return 0;
}
