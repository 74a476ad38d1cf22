/*
 * A question in saslauthd's protocol: its fields lie in what came, in order, and the whole is used up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/gateway/doors/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct sasl_question q, again;
        char user[256];
        const int r = sasl_question_read(&q, data, n);

        must(r == 0 || r == 1 || r == -EBADMSG);
        if (r == 0) {
                must(n == 8 + q.login.n + q.password.n + q.service.n + q.realm.n && n <= SASL_QUESTION_MAX);
                must(q.login.bytes == (const char *)data + 2 && q.realm.bytes + q.realm.n == (const char *)data + n);
                must(sasl_question_read(&again, data, n - 1) == 1);
                const int length = sasl_user(&q, user, sizeof user);
                must(length == -EMSGSIZE || (length >= (int)q.login.n && memcmp(user, q.login.bytes, q.login.n) == 0));
        }
        return 0;
}
