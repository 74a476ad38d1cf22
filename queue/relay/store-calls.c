/*
 * What the relay calls for, done one call after the other: each ends with the result of the store's function.
 *
 * Invariant: what a call has written reaches the relay before its END. Nothing is judged here but whether a request
 * for a certificate was answered before.
 */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/relay/store-process-internal.h"

struct call {
        uint64_t number;
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1], word[601];
        int64_t at, n;
        uint8_t hash[STORE_HASH_LEN];
        const struct msg_in *m;
        struct server *server;
};

static void send_row(const struct call *c, const void *row, size_t size, const char *jwk, const char *proof)
{
        struct msg_out m;

        msg_begin(&m, STORE_FRAME_ROW);
        msg_u64(&m, STORE_TAG_CALL, c->number);
        msg_bytes(&m, STORE_TAG_BYTES, row, size);
        msg_str(&m, STORE_TAG_JWK, jwk);
        msg_str(&m, STORE_TAG_PROOF, proof);
        store_process_send(c->server, &m);
}

static void send_event(void *arg, const struct store_event *event)
{
        send_row(arg, event, sizeof(*event), NULL, NULL);
}

static void send_identity(void *arg, const struct store_connector *c)
{
        struct store_connector plain = *c;

        plain.jwk = plain.proof = NULL;
        send_row(arg, &plain, sizeof(plain), c->jwk, c->proof);
}

static bool read_ticket(const struct call *c, struct store_ticket *ret_ticket)
{
        size_t n;
        const uint8_t *csr = msg_get_bytes(c->m, STORE_TAG_BYTES, &n);

        *ret_ticket = (struct store_ticket){.tenant = c->tenant, .name = c->word, .token = c->hash, .csr = csr};
        return csr && n == STORE_HASH_LEN;
}

/* What that very request was answered before, as a ROW. -ENOENT. */
static int send_answer(struct server *s, const struct call *c, const struct store_ticket *ticket)
{
        _cleanup_(buffer_free) struct buffer answer = BUFFER(STORE_PART_MAX);
        const int r = store_token_answer(s->store, ticket, &answer);

        if (r < 0)
                return r;
        send_row(c, answer.data, answer.len, NULL, NULL);
        return 1;
}

/* The token is used up last, when all else is in order. */
static int enrol(struct server *s, const struct call *c)
{
        struct store_connector known;
        struct store_ticket ticket;
        int r = store_connector_get(s->store, c->tenant, c->id, &known);

        if (!read_ticket(c, &ticket))
                return -EBADMSG;
        if (r == 0 && strcmp(known.name, c->word) != 0)
                return -EEXIST;
        if (r < 0 && r != -ENOENT)
                return r;
        r = store_token_take(s->store, &ticket, c->at);
        if (r == 1 && (r = send_answer(s, c, &ticket)) != -ENOENT)
                return r;
        /* of a request that came before and was not answered all is done again */
        return r < 0 && r != -ENOENT ? r : store_connector_enrol(s->store, c->tenant, c->id, c->word, c->at);
}

/* The answer is kept when the certificate is on record: what is given away can be revoked. */
static int add_certificate(struct server *s, const struct call *c)
{
        struct store_ticket ticket;
        const bool by_token = read_ticket(c, &ticket);
        int r = store_certificate_add(s->store, c->tenant, c->id, c->word, c->at);

        if (r < 0 || !by_token || !s->parts.len || s->parts.len > STORE_PART_MAX)
                return r;
        r = store_token_answered(s->store, &ticket, s->parts.data);
        if (r == -EEXIST)
                r = send_answer(s, c, &ticket);
        return r == -ENOENT ? -EACCES : r; /* it was revoked meanwhile, or another request has the token */
}

static int put_identity(struct server *s, const struct call *c)
{
        char jwk[512], proof[4096];
        struct store_connector row;

        if (!store_frames_connector(c->m, &row) || msg_get_str(c->m, STORE_TAG_JWK, jwk, sizeof(jwk)) < 0 ||
            msg_get_str(c->m, STORE_TAG_PROOF, proof, sizeof(proof)) < 0)
                return -EBADMSG;
        row.jwk = jwk;
        row.proof = proof;
        return store_identity_put(s->store, c->tenant, &row);
}

static int add_event(struct server *s, const struct call *c)
{
        struct store_event event;

        return store_frames_event(c->m, &event) ? store_event_add(s->store, c->tenant, &event) : -EBADMSG;
}

/* A person asks: rare, so that what waits is written first. */
static int find_beginning(struct server *s, const struct call *c)
{
        struct store_sign_in rows[STORE_FOUND_MAX];

        memset(rows, 0, sizeof(rows));
        store_process_write_rows(s);
        const int n = store_sign_ins_find(s->store, c->tenant, c->id, rows);
        for (int i = 0; i < n; i++)
                send_row(c, &rows[i], sizeof(rows[i]), NULL, NULL);
        return n < 0 ? n : 0;
}

/* The same; and while they cannot be written, what waits is found here. */
static int find_sign_in(struct server *s, const struct call *c)
{
        struct store_sign_in row;

        memset(&row, 0, sizeof(row));
        store_process_write_rows(s);
        int r = store_sign_in_get(s->store, c->tenant, c->id, &row);
        for (size_t i = 0; r == -ENOENT && i < s->n_rows; i++) {
                if (strcmp(s->rows[i].sign_in.id, c->id) != 0 || strcmp(s->rows[i].tenant, c->tenant) != 0)
                        continue;
                row = s->rows[i].sign_in;
                r = 0;
        }
        if (r == 0)
                send_row(c, &row, sizeof(row), NULL, NULL);
        return r;
}

static int run(struct server *s, struct call *c, enum store_op op)
{
        struct store_ticket ticket;

        switch (op) {
        case STORE_TOKEN_CHECK:
                return read_ticket(c, &ticket) ? store_token_check(s->store, &ticket, c->at) : -EBADMSG;
        case STORE_ENROL:
                return enrol(s, c);
        case STORE_CERTIFICATE:
                return add_certificate(s, c);
        case STORE_IDENTITY:
                return put_identity(s, c);
        case STORE_ROSTER:
                return s->parts.len ? store_roster_put(s->store, c->tenant, (uint64_t)c->n, s->parts.data, c->at)
                                    : -EBADMSG;
        case STORE_RELEASE:
                return store_release(s->store, c->tenant, c->id);
        case STORE_QUARANTINE:
                return store_quarantine(s->store, c->tenant, c->id, c->word, c->at);
        case STORE_EVENT:
                return add_event(s, c);
        case STORE_EVENTS:
                return store_events(s->store, c->tenant, send_event, c);
        case STORE_PENDING:
                return store_identities(s->store, c->tenant, send_identity, c);
        case STORE_SIGN_IN:
                return find_sign_in(s, c);
        case STORE_SIGN_INS_FIND:
                return find_beginning(s, c);
        case STORE_SIGN_INS:
                return store_process_take_rows(s, c->m);
        case STORE_PURGE:
                return store_purge(s->store, c->at);
        case STORE_OPS_:
                break;
        }
        return -EBADMSG;
}

static bool writes_what_is_watched(enum store_op op)
{
        return op == STORE_ENROL || op == STORE_IDENTITY || op == STORE_ROSTER || op == STORE_RELEASE ||
               op == STORE_QUARANTINE || op == STORE_PURGE;
}

void store_process_call(struct server *s, const struct msg_in *m)
{
        struct call c = {.number = msg_get_u64(m, STORE_TAG_CALL, 0),
                         .at = (int64_t)msg_get_u64(m, STORE_TAG_AT, 0),
                         .n = (int64_t)msg_get_u64(m, STORE_TAG_N, 0),
                         .m = m,
                         .server = s};
        const enum store_op op = (enum store_op)msg_get_u64(m, STORE_TAG_OP, 0);
        struct msg_out answer;
        size_t n;
        const uint8_t *hash = msg_get_bytes(m, STORE_TAG_HASH, &n);

        (void)msg_get_str(m, STORE_TAG_TENANT, c.tenant, sizeof(c.tenant));
        (void)msg_get_str(m, STORE_TAG_ID, c.id, sizeof(c.id));
        (void)msg_get_str(m, STORE_TAG_WORD, c.word, sizeof(c.word));
        if (hash && n == sizeof(c.hash))
                memcpy(c.hash, hash, n);
        const int r = run(s, &c, op);
        buffer_free(&s->parts);
        s->parts = BUFFER(ROSTER_TEXT_MAX);
        if (s->cluster)
                store_cluster_tell(s->cluster);
        if (r == -EIO)
                log_error("store_failed", KV_U("operation", op), KV_S("why", store_why(s->store)));
        if (writes_what_is_watched(op))
                store_process_look(s);
        if (c.number == 0)
                return;
        msg_begin(&answer, STORE_FRAME_END);
        msg_u64(&answer, STORE_TAG_CALL, c.number);
        msg_u64(&answer, STORE_TAG_CODE, (uint64_t)(int64_t)r);
        if (r == -EIO || r == -EHOSTUNREACH)
                msg_str(&answer, TAG_WHY, store_why(s->store));
        store_process_send(s, &answer);
}
