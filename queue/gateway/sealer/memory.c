/*
 * Marks of questions, and the answers that still hold.
 *
 * Invariant: no password is kept, only a HMAC under a key that was drawn at the start and lives in the secure heap. An
 * answer is kept for a time that begins when it was given and is never extended.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "queue/gateway/sealer/sealer-internal.h"

#define KEPT_MAX 4096

struct kept {
        TAILQ_ENTRY(kept) link; /* the oldest first */
        struct table_node node;
        struct mark mark;
        uint64_t until;
        struct sign_in_result result;
};

struct memory {
        struct loop *loop;
        uint64_t keep_ms;
        uint8_t *key; /* of the secure heap */
        struct table table;
        TAILQ_HEAD(, kept) kept;
        size_t n;
};

int memory_new(struct memory **ret_memory, struct loop *loop, uint32_t keep_s, struct error *err)
{
        struct memory *m = calloc(1, sizeof(*m));

        if (!m || !(m->key = OPENSSL_secure_zalloc(MARK_LEN)) || RAND_priv_bytes(m->key, MARK_LEN) != 1) {
                memory_free(m);
                return error_fail(err, -ENOMEM, "no memory or random bytes for the marks of questions");
        }
        TAILQ_INIT(&m->kept);
        m->loop = loop;
        m->keep_ms = (uint64_t)keep_s * 1000;
        *ret_memory = m;
        return 0;
}

static void drop(struct memory *m, struct kept *k)
{
        TAILQ_REMOVE(&m->kept, k, link);
        table_remove(&k->node);
        m->n--;
        wipe(k, sizeof(*k));
        free(k);
}

struct memory *memory_free(struct memory *m)
{
        if (!m)
                return NULL;
        while (m->key && m->n && TAILQ_FIRST(&m->kept))
                drop(m, TAILQ_FIRST(&m->kept));
        table_clear(&m->table);
        OPENSSL_secure_clear_free(m->key, MARK_LEN);
        free(m);
        return NULL;
}

static int add_field(struct buffer *b, const char *bytes, size_t n)
{
        const uint8_t length[2] = {(uint8_t)(n >> 8), (uint8_t)n};
        int r = buffer_append(b, length, sizeof(length));

        return r < 0 ? r : buffer_append(b, bytes, n);
}

static int hash(const struct memory *m, const struct buffer *text, char out[2 * MARK_LEN + 1])
{
        uint8_t mac[MARK_LEN];
        unsigned n = sizeof(mac);

        if (!HMAC(EVP_sha256(), m->key, MARK_LEN, (const uint8_t *)text->data, text->len, mac, &n))
                return -EIO;
        hex_encode_to(out, mac, sizeof(mac));
        return 0;
}

int memory_mark(struct memory *m, const struct memory_question *q, struct mark *ret_mark)
{
        _cleanup_(buffer_free) struct buffer name = BUFFER_SECRET(1024), all = BUFFER_SECRET(4096);
        char lower[GATEWAY_USER_MAX];
        struct mark mark = {.of_all = ""};
        int r;

        if (!m->keep_ms)
                return -ENOENT;
        if (q->user_len > sizeof(lower))
                return -EIO;
        for (size_t i = 0; i < q->user_len; i++) /* one account in another spelling is dropped with it */
                lower[i] = (char)(q->user[i] >= 'A' && q->user[i] <= 'Z' ? q->user[i] | 0x20 : q->user[i]);
        r = add_field(&name, lower, q->user_len);
        r = r < 0 ? r : hash(m, &name, mark.of_name);
        r = r < 0 ? r : add_field(&all, q->app, strlen(q->app));
        r = r < 0 ? r : add_field(&all, q->user, q->user_len);
        r = r < 0 ? r
                  : add_field(&all, q->password ? secret_text(q->password) : "",
                              q->password ? secret_len(q->password) : 0);
        r = r < 0 ? r : hash(m, &all, mark.of_all);
        if (r == 0)
                *ret_mark = mark;
        return r < 0 ? -EIO : 0;
}

const struct sign_in_result *memory_find(struct memory *m, const struct mark *mark)
{
        struct kept *k;

        while ((k = TAILQ_FIRST(&m->kept)) && k->until <= loop_now(m->loop))
                drop(m, k);
        k = table_object(table_find(&m->table, mark->of_all, NULL), struct kept, node);
        return k ? &k->result : NULL;
}

void memory_drop_name(struct memory *m, const struct mark *mark)
{
        struct kept *k = TAILQ_FIRST(&m->kept), *next;

        for (; k; k = next) {
                next = TAILQ_NEXT(k, link);
                if (strcmp(k->mark.of_name, mark->of_name) == 0)
                        drop(m, k);
        }
}

void memory_take(struct memory *m, const struct mark *mark, const struct sign_in_result *result)
{
        struct kept *k;

        if (!result->has_verdict || strcmp(result->verdict.verdict, "accepted") != 0) {
                if (result->has_verdict && strcmp(result->verdict.verdict, "refused") == 0)
                        memory_drop_name(m, mark);
                return;
        }
        if (!m->keep_ms || memory_find(m, mark))
                return;
        if (m->n == KEPT_MAX)
                drop(m, TAILQ_FIRST(&m->kept));
        k = calloc(1, sizeof(*k));
        if (!k) /* it is asked again then */
                return;
        k->mark = *mark;
        k->result = *result;
        k->until = loop_now(m->loop) + m->keep_ms;
        table_add(&m->table, &k->node, k->mark.of_all, NULL);
        TAILQ_INSERT_TAIL(&m->kept, k, link);
        m->n++;
}
