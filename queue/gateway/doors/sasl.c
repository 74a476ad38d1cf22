/*
 * saslauthd's question, as bytes. Nothing here waits or keeps anything.
 */
#include "queue/gateway/doors/sasl.h"

#include <errno.h>
#include <string.h>

static const size_t most[SASL_FIELDS] = {256, 1024, 256, 256};

int sasl_question_read(struct sasl_question *ret_question, const uint8_t *bytes, size_t n)
{
        struct sasl_field *const fields[SASL_FIELDS] = {&ret_question->login, &ret_question->password,
                                                        &ret_question->service, &ret_question->realm};
        size_t at = 0;

        for (size_t i = 0; i < SASL_FIELDS; i++) {
                if (n - at < 2)
                        return 1;
                const size_t length = (size_t)(bytes[at] << 8 | bytes[at + 1]);
                at += 2;
                if (length > most[i])
                        return -EBADMSG;
                if (n - at < length)
                        return 1;
                *fields[i] = (struct sasl_field){(const char *)bytes + at, length};
                at += length;
        }
        return at == n ? 0 : -EBADMSG;
}

int sasl_user(const struct sasl_question *q, char *out, size_t cap)
{
        const bool whole =
                q->realm.n == 0 || memchr(q->login.bytes, '@', q->login.n) || memchr(q->login.bytes, '\\', q->login.n);
        const size_t n = q->login.n + (whole ? 0 : 1 + q->realm.n);

        if (n > cap)
                return -EMSGSIZE;
        memcpy(out, q->login.bytes, q->login.n);
        if (!whole) {
                out[q->login.n] = '@';
                memcpy(out + q->login.n + 1, q->realm.bytes, q->realm.n);
        }
        return (int)n;
}
