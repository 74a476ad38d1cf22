/*
 * Several nodes' copies of one bucket, at random: whatever they write, wherever one is away, and however often an older
 * copy of the bucket is put back, in the end all hold the same, and what was taken away is away.
 *
 * The bucket is one in memory, with the same promises; the rest is the store as it is. POSTERN_SEED, POSTERN_ROUNDS.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/text.h"
#include "tests/queue/relay/memory_bucket.h"

#define NODES 3
#define THINGS_MAX 4096
#define PIN "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define NOW 1800000000

static struct servers servers, kept;

/* ---- nodes, and what was done ---- */

struct node {
        struct store *store;
        struct bucket bucket;
        char dir[64];
};

/* What was taken away for good, by its number. */
struct thing {
        char tenant[8], gen[STORE_GEN_LEN + 1], id[32];
        uint8_t hash[STORE_HASH_LEN];
};

static struct node nodes[NODES];
static struct thing secrets[THINGS_MAX], tenants[THINGS_MAX], serials[THINGS_MAX], tokens[THINGS_MAX];
static size_t n_secrets, n_tenants, n_serials, n_tokens;
static uint64_t numbers, state;

static unsigned any(unsigned n)
{
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)(state >> 33) % n;
}

static void new_hash(uint8_t hash[STORE_HASH_LEN])
{
        memset(hash, 0, STORE_HASH_LEN);
        numbers++;
        memcpy(hash, &numbers, sizeof(numbers));
}

static void note_of(struct node *node, struct thing *list, size_t *n, const char *tenant, const char *id,
                    const uint8_t *hash)
{
        struct thing *t = &list[(*n)++];

        assert_true(*n < THINGS_MAX);
        snprintf(t->tenant, sizeof(t->tenant), "%s", tenant);
        snprintf(t->id, sizeof(t->id), "%s", id);
        if (hash)
                memcpy(t->hash, hash, sizeof(t->hash));
        assert_int_equal(store_gen(node->store, tenant, t->gen), 0);
}

static void follow(struct node *node)
{
        struct error err;

        if (node->bucket.there && store_catch_up(node->store, 0, 0, 0, &err) < 0)
                fail_msg("%s", err.text);
}

static void one_secret(struct node *node, const char *tenant)
{
        struct store_secret list[STORE_SECRETS_MAX];
        uint8_t hash[STORE_HASH_LEN];
        size_t n = 0;

        assert_int_equal(store_secrets(node->store, tenant, list, &n), 0);
        if (n && any(2)) {
                const struct store_secret *s = &list[any((unsigned)n)];
                if (store_secret_remove(node->store, tenant, s->hash, NOW + (int64_t)numbers) == 1)
                        note_of(node, secrets, &n_secrets, tenant, "", s->hash);
                return;
        }
        new_hash(hash);
        (void)store_secret_add(node->store, tenant, (enum store_secret_kind)(1 + any(3)), hash, NOW);
}

static void one_tenant(struct node *node, const char *tenant)
{
        struct thing *t = &tenants[n_tenants];

        if (any(4) || store_gen(node->store, tenant, t->gen) < 0 || !t->gen[0]) {
                (void)store_tenant_add(node->store, tenant, PIN, NOW);
                return;
        }
        snprintf(t->tenant, sizeof(t->tenant), "%s", tenant);
        if (store_tenant_remove(node->store, tenant, NOW + (int64_t)numbers++) == 0)
                assert_true(++n_tenants < THINGS_MAX);
}

static void one_connector(struct node *node, const char *tenant)
{
        char id[32], serial[32];

        snprintf(id, sizeof(id), "connector-%08u", any(4));
        snprintf(serial, sizeof(serial), "%016llx", (unsigned long long)++numbers);
        switch (any(5)) {
        case 0:
                if (store_connector_enrol(node->store, tenant, id, id + 10, NOW) == 0)
                        (void)store_certificate_add(node->store, tenant, id, serial, NOW + 1000);
                break;
        case 1:
                if (store_certificate_add(node->store, tenant, id, serial, NOW + 1000) == 0 &&
                    store_revoke(node->store, tenant, id, NOW) > 0 &&
                    store_is_revoked(node->store, tenant, "", serial) == 1)
                        note_of(node, serials, &n_serials, tenant, serial, NULL);
                break;
        case 2:
                (void)store_quarantine(node->store, tenant, id, "twice", NOW);
                break;
        case 3:
                (void)store_release(node->store, tenant, id);
                break;
        default:
                (void)store_roster_put(node->store, tenant, any(40), "roster", NOW);
        }
}

static void one_token(struct node *node, const char *tenant)
{
        uint8_t hash[STORE_HASH_LEN];
        const struct store_ticket ticket = {.tenant = tenant, .name = "c", .token = hash, .csr = hash};

        new_hash(hash);
        if (store_token_add(node->store, tenant, "c", hash, NOW + 1000) == 0 &&
            store_token_take(node->store, &ticket, NOW) == 0)
                note_of(node, tokens, &n_tokens, tenant, "", hash);
}

static void step(void)
{
        static const char *const names[] = {"t1", "t2"};
        struct node *node = &nodes[any(NODES)];
        const char *tenant = names[any(2)];
        void (*const does[])(struct node *, const char *) = {one_secret,    one_secret, one_connector,
                                                             one_connector, one_token,  one_tenant};

        if (any(40) == 0)
                node->bucket.there = !node->bucket.there;
        if (any(150) == 0)
                memory_copy(&kept, &servers);
        if (any(300) == 0 && kept.n) {
                memory_copy(&servers, &kept);
                for (size_t i = 0; i < NODES; i++)
                        nodes[i].bucket.watching = nodes[i].bucket.looked = false;
        }
        if (node->bucket.there && !node->bucket.watching && any(3))
                follow(node);
        if (node->bucket.watching && node->bucket.there && any(2)) {
                (void)bucket_settle(&node->bucket, 0);
                if (node->bucket.rewound || store_take(node->store, 0) < 0)
                        follow(node);
        }
        does[any(sizeof(does) / sizeof(does[0]))](node, tenant);
        if (node->bucket.there && any(2))
                (void)store_flush(node->store);
}

/* ---- the end ---- */

/* All are there, and nobody has anything to say any more. */
static void settle_all(void)
{
        for (size_t i = 0; i < NODES; i++) {
                nodes[i].bucket.there = true;
                follow(&nodes[i]);
        }
        for (size_t k = 0; k < 20; k++)
                for (size_t i = 0; i < NODES; i++) {
                        while (store_waiting(nodes[i].store) > 0)
                                assert_int_equal(store_flush(nodes[i].store), 0);
                        int r;
                        while ((r = store_take(nodes[i].store, 0)) != 0)
                                if (r < 0)
                                        follow(&nodes[i]);
                }
        for (size_t i = 0; i < NODES; i++)
                assert_int_equal(store_waiting(nodes[i].store), 0);
        for (size_t i = 0; i < NODES; i++)
                for (size_t before = 0; before != servers.n;) {
                        before = servers.n;
                        assert_int_equal(store_erase_some(nodes[i].store), 0);
                }
}

/* Nothing that is over stays in the bucket. */
static void check_bucket(void)
{
        struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct entity e;

        for (size_t i = 0; i < servers.n; i++) {
                if (!entity_parse(&e, servers.rows[i].key))
                        continue;
                buffer_clear(&text);
                if (e.kind == ENTITY_TOKEN && store_doc_encode(nodes[0].store, &e, &text) == -ENOENT)
                        fail_msg("%s: no node has this token", servers.rows[i].key);
                if (e.kind != ENTITY_TENANT && e.kind != ENTITY_TOKEN)
                        assert_int_equal(store_removed_has(nodes[0].store, e.tenant, REMOVED_GENERATIONS, e.gen), 0);
        }
        buffer_free(&text);
}

static void list_tenant(void *arg, const struct store_tenant *t)
{
        (void)buffer_printf(arg, "tenant %s\n", t->name);
}

static void list_connector(void *arg, const struct store_listed *c)
{
        (void)buffer_printf(arg, "  %s %lld revoked %d quarantine %s\n", c->connector.id, (long long)c->certificates,
                            c->revoked, c->quarantine);
}

static void describe(struct node *node, struct buffer *out)
{
        static const char *const names[] = {"t1", "t2"};
        struct store_secret list[STORE_SECRETS_MAX];
        size_t n = 0;

        assert_int_equal(store_tenants(node->store, list_tenant, out), 0);
        for (size_t i = 0; i < 2; i++) {
                struct entity e = {.kind = ENTITY_ROSTER};

                snprintf(e.tenant, sizeof(e.tenant), "%s", names[i]);
                (void)store_doc_encode(node->store, &e, out);
                e.kind = ENTITY_TENANT;
                (void)store_doc_encode(node->store, &e, out);
                assert_int_equal(store_connectors(node->store, names[i], list_connector, out), 0);
                assert_int_equal(store_secrets(node->store, names[i], list, &n), 0);
        }
}

static void check_taken_away(struct node *node)
{
        struct store_secret list[STORE_SECRETS_MAX];
        char gen[STORE_GEN_LEN + 1];
        size_t n = 0;

        for (size_t i = 0; i < n_tenants; i++) {
                assert_int_equal(store_gen(node->store, tenants[i].tenant, gen), 0);
                assert_string_not_equal(gen, tenants[i].gen);
        }
        for (size_t i = 0; i < n_secrets; i++) {
                assert_int_equal(store_secrets(node->store, secrets[i].tenant, list, &n), 0);
                for (size_t k = 0; k < n; k++)
                        assert_memory_not_equal(list[k].hash, secrets[i].hash, STORE_HASH_LEN);
        }
        for (size_t i = 0; i < n_serials; i++) {
                assert_int_equal(store_gen(node->store, serials[i].tenant, gen), 0);
                if (strcmp(gen, serials[i].gen) == 0)
                        assert_int_equal(store_is_revoked(node->store, serials[i].tenant, "", serials[i].id), 1);
        }
        for (size_t i = 0; i < n_tokens; i++) {
                const uint8_t other[STORE_HASH_LEN] = {1};
                const struct store_ticket again = {
                        .tenant = tokens[i].tenant, .name = "c", .token = tokens[i].hash, .csr = other};
                assert_true(store_token_take(node->store, &again, NOW) < 0);
        }
}

static void begin_round(uint64_t seed)
{
        struct error err;

        state = seed;
        numbers = n_secrets = n_tenants = n_serials = n_tokens = 0;
        memory_clear(&servers);
        memory_clear(&kept);
        servers.created = (int64_t)seed + 1;
        for (size_t i = 0; i < NODES; i++) {
                memset(&nodes[i].bucket, 0, sizeof(nodes[i].bucket));
                nodes[i].bucket.servers = &servers;
                nodes[i].bucket.there = true;
                snprintf(nodes[i].bucket.beat, sizeof(nodes[i].bucket.beat), "n.%zu", i);
                snprintf(nodes[i].dir, sizeof(nodes[i].dir), "/tmp/store-copy-XXXXXX");
                assert_non_null(mkdtemp(nodes[i].dir));
                assert_int_equal(store_open(&nodes[i].store, nodes[i].dir, &err), 0);
                store_set_bucket(nodes[i].store, &nodes[i].bucket);
                follow(&nodes[i]);
        }
}

static void end_round(void)
{
        static const char *const files[] = {"relay.db", "relay.db-wal", "relay.db-shm"};
        char path[128];

        for (size_t i = 0; i < NODES; i++) {
                nodes[i].store = store_free(nodes[i].store);
                for (size_t k = 0; k < 3; k++) {
                        snprintf(path, sizeof(path), "%s/%s", nodes[i].dir, files[k]);
                        unlink(path);
                }
                rmdir(nodes[i].dir);
        }
        memory_clear(&servers);
        memory_clear(&kept);
}

static void check_all_hold_the_same(void)
{
        struct buffer first = BUFFER(1 << 20), text = BUFFER(1 << 20);

        describe(&nodes[0], &first);
        for (size_t i = 0; i < NODES; i++) {
                check_taken_away(&nodes[i]);
                buffer_clear(&text);
                describe(&nodes[i], &text);
                if (strcmp(text.data, first.data) != 0)
                        printf("node 0\n%s\nnode %zu\n%s\n", first.data, i, text.data);
                assert_true(strcmp(text.data, first.data) == 0);
        }
        buffer_free(&first);
        buffer_free(&text);
}

static void one_round(uint64_t seed)
{
        begin_round(seed);
        for (unsigned i = 0; i < 1500; i++)
                step();
        settle_all();
        check_all_hold_the_same();
        check_bucket();
        end_round();
}

/* Who was away while a tenant was removed, and had last heard of that, finds no older copy in that it is gone. */
static void test_removed_while_away(void **unused)
{
        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_connector_enrol(nodes[0].store, "t1", "connector-00000001", "dc1", NOW), 0);
        settle_all();
        const uint64_t epoch = memory_row(&servers, BUCKET_EPOCH_KEY)->revision;
        nodes[2].bucket.there = nodes[2].bucket.watching = nodes[2].bucket.looked = false;
        assert_int_equal(store_tenant_remove(nodes[0].store, "t1", NOW), 0);
        settle_all();
        assert_int_equal(memory_row(&servers, BUCKET_EPOCH_KEY)->revision, epoch);
        check_all_hold_the_same();
        end_round();
}

static void test_whatever_happens(void **unused)
{
        const char *seed = getenv("POSTERN_SEED"), *rounds = getenv("POSTERN_ROUNDS");
        const uint64_t from = seed ? strtoull(seed, NULL, 10) : 1;

        (void)unused;
        for (uint64_t i = 0; i < (rounds ? strtoull(rounds, NULL, 10) : 4); i++) {
                print_message("seed %llu\n", (unsigned long long)(from + i));
                one_round(from + i);
        }
}

/* A command has the database of the relay that runs, which takes the command's own beat before the command looks. */
static void test_a_command_beside_the_relay(void **unused)
{
        struct node command = {.bucket = {.servers = &servers, .beat = "n.0", .there = true}};
        struct error err;

        (void)unused;
        begin_round(1);
        settle_all();
        const uint64_t epoch = memory_row(&servers, BUCKET_EPOCH_KEY)->revision;
        assert_int_equal(store_open(&command.store, nodes[0].dir, &err), 0);
        store_set_bucket(command.store, &command.bucket);
        memory_beside = nodes[0].store;
        follow(&command);
        assert_null(memory_beside);
        assert_int_equal(store_waiting(command.store), 0);
        command.store = store_free(command.store);
        settle_all();
        assert_int_equal(memory_row(&servers, BUCKET_EPOCH_KEY)->revision, epoch);
        end_round();
}

/* It ends, whether or not the bucket can be written: once it turned for ever where that could not be. */
static void test_push(void **unused)
{
        struct node *node = &nodes[0];

        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(node->store, "t1", PIN, NOW), 0);
        settle_all();
        node->bucket.there = false;
        assert_int_equal(store_push(node->store), 0);
        const int64_t waiting = store_waiting(node->store);
        assert_true(waiting > 0);
        assert_int_equal(store_drain(node->store, 0), -EHOSTUNREACH);
        assert_int_equal(store_waiting(node->store), waiting);
        node->bucket.there = true;
        assert_int_equal(store_drain(node->store, 0), 0);
        assert_int_equal(store_waiting(node->store), 0);
        end_round();
}

/* All are there, and the bucket is what it was when it was kept. */
static void put_back(void)
{
        memory_copy(&servers, &kept);
        for (size_t i = 0; i < NODES; i++)
                nodes[i].bucket.watching = nodes[i].bucket.looked = false;
        settle_all();
        check_all_hold_the_same();
}

/* A copy from between, in which the tenant is removed: it says nothing against one that was made again since. */
static void test_made_again(void **unused)
{
        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_tenant_remove(nodes[0].store, "t1", NOW), 0);
        memory_copy(&kept, &servers);
        nodes[2].bucket.there = nodes[2].bucket.watching = false; /* it hears nothing of what follows */
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_roster_put(nodes[0].store, "t1", 7, "roster", NOW), 0);
        assert_int_equal(store_connector_enrol(nodes[0].store, "t1", "connector-00000001", "dc1", NOW), 0);
        assert_int_equal(store_certificate_add(nodes[0].store, "t1", "connector-00000001", "01", NOW + 1000), 0);
        assert_true(store_revoke(nodes[0].store, "t1", "connector-00000001", NOW) > 0);
        put_back();
        for (size_t i = 0; i < NODES; i++) {
                assert_int_equal(store_has_roster(nodes[i].store, "t1"), 1);
                assert_int_equal(store_is_revoked(nodes[i].store, "t1", "", "01"), 1);
        }
        end_round();
}

static struct row *row_of_kind(char kind)
{
        for (size_t i = 0; i < servers.n; i++)
                if (servers.rows[i].key[0] == kind && servers.rows[i].key[1] == '.')
                        return &servers.rows[i];
        return NULL;
}

/* Tokens of a tenant that was removed leave the bucket as well: also where that could not be done at once, or came back
 * with an older copy; an event that is there again stays. */
static void test_what_is_over_leaves(void **unused)
{
        struct store_event event = {.at = NOW, .name = "connector_pending", .id = "connector-00000001", .text = "one"};
        uint8_t hash[STORE_HASH_LEN];

        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_tenant_add(nodes[0].store, "t2", PIN, NOW), 0);
        new_hash(hash);
        assert_int_equal(store_token_add(nodes[0].store, "t1", "dc1", hash, NOW + 10), 0);
        assert_int_equal(store_connector_enrol(nodes[0].store, "t1", "connector-00000001", "dc1", NOW), 0);
        assert_int_equal(store_event_add(nodes[0].store, "t1", &event), 0);
        settle_all();
        memory_copy(&kept, &servers);
        assert_int_equal(store_tenant_remove(nodes[1].store, "t1", NOW), 0);
        assert_null(row_of_kind('k'));
        put_back();
        assert_null(row_of_kind('k'));
        assert_null(row_of_kind('c'));
        assert_null(row_of_kind('e'));

        /* over while the servers are away, and there again before they are back */
        assert_int_equal(store_event_add(nodes[0].store, "t2", &event), 0);
        new_hash(hash);
        assert_int_equal(store_token_add(nodes[0].store, "t2", "dc1", hash, NOW + 10), 0);
        settle_all();
        nodes[0].bucket.there = nodes[0].bucket.watching = nodes[0].bucket.looked = false;
        assert_int_equal(store_purge(nodes[0].store, NOW + STORE_SIGN_IN_LIFE + 11), 0);
        event.at = NOW + STORE_SIGN_IN_LIFE + 11;
        assert_int_equal(store_event_add(nodes[0].store, "t2", &event), 0);
        assert_int_equal(store_erase_some(nodes[0].store), 0);
        assert_non_null(row_of_kind('k'));
        settle_all();
        assert_null(row_of_kind('k'));
        assert_non_null(row_of_kind('e'));
        end_round();
}

static void run(sqlite3 *db, const char *sql)
{
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* A purge that fails half way, of events or of tokens, leaves nothing open: what another process writes then is seen,
 * and this one can write. */
static void test_purge_that_fails(void **unused)
{
        const struct store_event event = {.at = NOW, .name = "connector_pending", .id = "connector-00000001"};
        const int64_t later = NOW + STORE_SIGN_IN_LIFE + 11;
        uint8_t hash[STORE_HASH_LEN];
        char path[128];
        sqlite3 *db;

        (void)unused;
        for (unsigned of_tokens = 0; of_tokens < 2; of_tokens++) {
                begin_round(1);
                assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
                for (unsigned i = 0; i < 2; i++) {
                        new_hash(hash);
                        assert_int_equal(store_token_add(nodes[0].store, "t1", "dc1", hash, NOW + 10), 0);
                }
                if (!of_tokens)
                        assert_int_equal(store_event_add(nodes[0].store, "t1", &event), 0);
                settle_all();
                snprintf(path, sizeof(path), "%s/relay.db", nodes[0].dir);
                assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
                run(db, "CREATE TRIGGER full BEFORE INSERT ON erase BEGIN SELECT RAISE(ABORT, 'full'); END");
                assert_true(store_purge(nodes[0].store, later) < 0);
                run(db, "DROP TRIGGER full; INSERT INTO note VALUES('other', 1)");
                assert_int_equal(store_tenant_add(nodes[0].store, "t2", PIN, NOW), 0);
                assert_int_equal(store_purge(nodes[0].store, later), 0);
                sqlite3_close(db);
                settle_all();
                assert_null(row_of_kind('k'));
                end_round();
        }
}

/* More was removed than a node remembers, one by one; the copy is from before that. */
static void test_more_than_is_remembered(void **unused)
{
        struct store_secret list[STORE_SECRETS_MAX];
        struct store_tenant t;
        uint8_t hash[STORE_HASH_LEN];
        size_t n = 0;

        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_tenant_add(nodes[0].store, "t2", PIN, NOW), 0);
        new_hash(hash);
        assert_int_equal(store_secret_add(nodes[0].store, "t1", SECRET_SERVICE, hash, NOW), 0);
        settle_all();
        memory_copy(&kept, &servers);
        nodes[2].bucket.there = nodes[2].bucket.watching = false;
        for (int i = 1; i <= REMOVED_MAX + 10; i++) {
                assert_int_equal(store_secret_remove(nodes[0].store, "t1", hash, NOW + i), 1);
                new_hash(hash);
                assert_int_equal(store_secret_add(nodes[0].store, "t1", SECRET_SERVICE, hash, NOW + i), 0);
                assert_int_equal(store_tenant_remove(nodes[0].store, "t2", NOW + i), 0);
                assert_int_equal(store_tenant_add(nodes[0].store, "t2", PIN, NOW + i), 0);
        }
        assert_int_equal(store_roster_put(nodes[0].store, "t2", 7, "roster", NOW), 0);
        put_back();
        for (size_t i = 0; i < NODES; i++) {
                assert_int_equal(store_secrets(nodes[i].store, "t1", list, &n), 0);
                assert_int_equal(n, 1);
                assert_memory_equal(list[0].hash, hash, STORE_HASH_LEN);
                assert_int_equal(store_tenant_get(nodes[i].store, "t2", &t), 0);
                assert_int_equal(t.since, NOW + REMOVED_MAX + 10);
                assert_int_equal(store_has_roster(nodes[i].store, "t2"), 1);
        }
        end_round();
}

static void find_revoked(void *arg, const struct store_listed *c)
{
        *(int *)arg = c->revoked;
}

/* It enrolled again, with a new token, behind a copy in which it is revoked: that says nothing against it. A second
 * revocation behind such a copy counts as before, and so does one of a node that did not know of the enrolment. */
static void test_enrolled_again(void **unused)
{
        static const char id[] = "connector-00000001";
        int revoked = -1;

        (void)unused;
        begin_round(1);
        assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
        assert_int_equal(store_connector_enrol(nodes[0].store, "t1", id, "dc1", NOW), 0);
        assert_int_equal(store_certificate_add(nodes[0].store, "t1", id, "01", NOW + 1000), 0);
        assert_true(store_revoke(nodes[0].store, "t1", id, NOW) > 0);
        settle_all();
        memory_copy(&kept, &servers);
        assert_int_equal(store_connector_enrol(nodes[1].store, "t1", id, "dc1", NOW + 1), 0);
        assert_int_equal(store_certificate_add(nodes[1].store, "t1", id, "02", NOW + 1000), 0);
        settle_all();
        put_back();
        for (size_t i = 0; i < NODES; i++) {
                assert_int_equal(store_is_revoked(nodes[i].store, "t1", id, "02"), 0);
                assert_int_equal(store_is_revoked(nodes[i].store, "t1", id, "01"), 1);
        }
        memory_copy(&kept, &servers);
        assert_true(store_revoke(nodes[2].store, "t1", id, NOW + 2) > 0);
        settle_all();
        put_back();
        assert_int_equal(store_connectors(nodes[0].store, "t1", find_revoked, &revoked), 0);
        assert_int_equal(revoked, 1);
        nodes[2].bucket.there = nodes[2].bucket.watching = false;
        assert_int_equal(store_connector_enrol(nodes[0].store, "t1", id, "dc1", NOW + 3), 0);
        assert_int_equal(store_revoke(nodes[2].store, "t1", id, NOW + 4), 0);
        settle_all();
        check_all_hold_the_same();
        assert_int_equal(store_connectors(nodes[1].store, "t1", find_revoked, &revoked), 0);
        assert_int_equal(revoked, 1);
        end_round();
}

/* A request took the token and was not answered; a node that had not heard of that revokes the connector. What the
 * bucket says then does not give the token back, and neither does an older copy. */
static void test_a_spoilt_token_stays_so(void **unused)
{
        static const char id[] = "connector-00000001";
        uint8_t hash[STORE_HASH_LEN];
        const struct store_ticket ticket = {.tenant = "t1", .name = "dc1", .token = hash, .csr = hash};

        (void)unused;
        for (unsigned old_copy = 0; old_copy < 2; old_copy++) {
                begin_round(1);
                assert_int_equal(store_tenant_add(nodes[0].store, "t1", PIN, NOW), 0);
                assert_int_equal(store_connector_enrol(nodes[0].store, "t1", id, "dc1", NOW), 0);
                new_hash(hash);
                assert_int_equal(store_token_add(nodes[0].store, "t1", "dc1", hash, NOW + 1000), 0);
                settle_all();
                nodes[1].bucket.there = nodes[1].bucket.watching = false;
                assert_int_equal(store_token_take(nodes[0].store, &ticket, NOW + 1), 0);
                assert_int_equal(store_token_check(nodes[0].store, &ticket, NOW + 2), 1);
                if (old_copy) {
                        nodes[1].bucket.there = true;
                        settle_all();
                        memory_copy(&kept, &servers);
                }
                assert_true(store_revoke(nodes[1].store, "t1", id, NOW + 3) >= 0);
                settle_all();
                if (old_copy)
                        put_back();
                check_all_hold_the_same();
                for (size_t i = 0; i < NODES; i++)
                        assert_int_equal(store_token_check(nodes[i].store, &ticket, NOW + 4), -EKEYREVOKED);
                end_round();
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_spoilt_token_stays_so),
                                           cmocka_unit_test(test_made_again),
                                           cmocka_unit_test(test_removed_while_away),
                                           cmocka_unit_test(test_enrolled_again),
                                           cmocka_unit_test(test_more_than_is_remembered),
                                           cmocka_unit_test(test_a_command_beside_the_relay),
                                           cmocka_unit_test(test_push),
                                           cmocka_unit_test(test_what_is_over_leaves),
                                           cmocka_unit_test(test_purge_that_fails),
                                           cmocka_unit_test(test_whatever_happens)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
