/*
 * Documents as the bucket may hold them, whoever wrote them: the first line is the key, the rest the document.
 *
 * Whatever they are, they are taken or refused, a used token stays used, a barred connector whose revocations are no
 * fewer stays barred, a roster's number never falls, and what was taken reads the same when it is written again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/relay/store-internal.h"

#define T "acme"

static struct store *store;
static const uint8_t token[STORE_HASH_LEN] = {1}, csr[STORE_HASH_LEN] = {2};

static void must(bool holds)
{
        if (!holds)
                abort();
}

static void open_store(void)
{
        char dir[] = "/tmp/fuzz-doc-XXXXXX", path[64];
        struct error err;

        must(mkdtemp(dir) != NULL && store_open(&store, dir, &err) == 0);
        /* the file is gone, and the database goes on in it */
        static const char *const names[] = {"relay.db", "relay.db-wal", "relay.db-shm"};
        for (size_t i = 0; i < 3; i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                (void)unlink(path);
        }
        (void)rmdir(dir);
        must(store_tenant_add(store, T, "pin", 1) == 0);
        must(db_exec(store->db, "UPDATE tenant SET gen='g'", &err) == 0); /* as the corpus has it */
        must(store_token_add(store, T, "dc1", token, 1000) == 0);
        must(store_token_take(store, &(struct store_ticket){T, "dc1", token, csr}, 1) == 0);
        must(store_connector_enrol(store, T, "one", "dc1", 1) == 0);
        must(store_certificate_add(store, T, "one", "serial-of-one", 1000) == 0);
        must(store_revoke(store, T, "one", 1) == 1);
        must(store_roster_put(store, T, 5, "five", 1) == 0);
}

static void write_again(struct entity *e)
{
        _cleanup_(buffer_free) struct buffer one = BUFFER(1 << 20), two = BUFFER(1 << 20);

        if (store_doc_encode(store, e, &one) < 0)
                return;
        must(store_doc_apply(store, e, one.data, one.len, false) >= 0);
        must(store_doc_encode(store, e, &two) == 0 && one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
        char key[ENTITY_KEY_MAX], again[ENTITY_KEY_MAX];
        struct entity e;

        if (!store)
                open_store();
        if (!end || (size_t)(end - data) >= sizeof(key))
                return 0;
        memcpy(key, data, (size_t)(end - data));
        key[end - data] = '\0';
        if (!entity_parse(&e, key))
                return 0;
        entity_key(&e, again);
        must(strcmp(key, again) == 0);
        must(db_begin(store->db) == 0);
        if (e.kind == ENTITY_TOKEN)
                memcpy(e.hash, token, sizeof(token));
        const int r = store_doc_apply(store, &e, (const char *)end + 1, n - (size_t)(end + 1 - data), false);
        must(r != -EIO);
        if (r >= 0)
                write_again(&e);
        if (e.kind == ENTITY_TOKEN)
                must(store_token_check(store, &(struct store_ticket){T, "dc1", token, csr}, 1) != 0);
        if (e.kind != ENTITY_TENANT) {
                must(store_is_revoked(store, T, "-", "serial-of-one") == 1);
                must(db_number(db_query(store->db, Q_ROSTER_SEQ, "t", T)) >= 5);
        }
        (void)db_end(store->db, -ECANCELED);
        return 0;
}
