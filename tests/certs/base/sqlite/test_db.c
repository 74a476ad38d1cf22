/*
 * The database wrapper: schema versions, queries by number, transactions that happen whole or not at all, and a
 * sentence with a remedy for each failure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sqlite/db.h"

enum { Q_ADD, Q_GET, Q_COUNT, Q_LONG, Q_WRONG, Q_N };
static const char *const queries[Q_N] = {
        [Q_ADD] = "INSERT INTO thing VALUES(?,?,?)",
        [Q_GET] = "SELECT name, n, hash FROM thing ORDER BY n",
        [Q_COUNT] = "SELECT COUNT(*) FROM thing",
        [Q_LONG] = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT max(x) FROM c",
        [Q_WRONG] = "SELECT n FROM nowhere",
};
static char dir[] = "/tmp/postern-db-XXXXXX", path[64];
static int upgraded_from = -1;

static int upgrade(struct db *db, int version, struct error *err)
{
        upgraded_from = version;
        if (version == 0)
                return db_exec(db, "CREATE TABLE thing(name TEXT PRIMARY KEY, n INTEGER, hash BLOB)", err);
        return db_exec(db, "INSERT INTO thing VALUES('upgraded', 0, NULL)", err);
}

static int fail_upgrade(struct db *db, int version, struct error *err)
{
        (void)version;
        (void)db_exec(db, "DELETE FROM thing", err);
        return error_fail(err, -EIO, "no");
}

static struct db_options options(const char *file, int version)
{
        return (struct db_options){.name = "things",
                                   .path = file,
                                   .pragmas = "PRAGMA journal_mode=WAL",
                                   .busy_ms = 10,
                                   .queries = queries,
                                   .n_queries = Q_N,
                                   .version = version,
                                   .upgrade = upgrade,
                                   .folder = "the cellar",
                                   .damaged = "fetch another",
                                   .newer = "wait a year"};
}

static struct db *open_db(const char *file, int version)
{
        struct db_options o = options(file, version);
        struct error err = {""};
        struct db *db = NULL;

        if (db_open(&db, &o, &err) < 0)
                fail_msg("%s", err.text);
        return db;
}

static const uint8_t hash[DB_BLOB_LEN] = {1, 2, 3};

static void test_queries(void **state)
{
        struct db *db = open_db(NULL, 1);
        char name[4];
        size_t n;

        (void)state;
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "tib", "first", (int64_t)1, hash)), 1);
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "ti", "second", INT64_MAX)), 1); /* what isn't bound is NULL */
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "ti", NULL, (int64_t)-7)), 1);
        assert_int_equal(db_number(db_query(db, Q_COUNT, "")), 3);
        struct sqlite3_stmt *st = db_query(db, Q_GET, "");
        assert_int_equal(db_step(st), 1);
        assert_true(db_is_null(st, 0));
        db_text(st, 0, name, sizeof(name));
        assert_string_equal(name, "");
        assert_int_equal(db_int(st, 1), -7);
        assert_int_equal(db_step(st), 1);
        db_text(st, 0, name, sizeof(name));
        assert_string_equal(name, "fir");
        assert_string_equal(db_str(st, 0, &n), "first");
        assert_int_equal(n, 5);
        assert_memory_equal(db_blob(st, 2), hash, sizeof(hash));
        assert_int_equal(db_step(st), 1);
        assert_true(db_int(st, 1) == INT64_MAX);
        assert_null(db_blob(st, 2));
        assert_int_equal(db_step(st), 0);
        db_free(db);
}

static void test_transactions(void **state)
{
        struct db *db = open_db(NULL, 1);
        struct error err;

        (void)state;
        assert_int_equal(db_begin(db), 0);
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "ti", "a", (int64_t)1)), 1);
        assert_int_equal(db_end(db, 5), 5);
        assert_int_equal(db_begin(db), 0);
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "ti", "b", (int64_t)1)), 1);
        assert_int_equal(db_end(db, -EACCES), -EACCES); /* the caller's own reason */
        assert_int_equal(db_number(db_query(db, Q_COUNT, "")), 1);
        assert_int_equal(db_begin(db), 0);
        int r = db_run(db, db_query(db, Q_ADD, "ti", "a", (int64_t)2));
        assert_int_equal(r, -EIO);
        assert_int_equal(db_end(db, r), -EIO);
        assert_int_equal(db_fail(db, &err), -EIO); /* what failed, not that the end of the transaction went well */
        assert_non_null(strstr(err.text, "things: UNIQUE constraint failed"));
        assert_non_null(strstr(err.text, "the cellar"));
        db_free(db);
}

static void test_versions(void **state)
{
        struct db_options o = options(path, 2);
        struct error err;
        struct db *db = open_db(path, 1), *other = NULL;

        (void)state;
        assert_int_equal(upgraded_from, 0);
        assert_int_equal(db_run(db, db_query(db, Q_ADD, "ti", "a", (int64_t)1)), 1);
        db_free(db);
        upgraded_from = -1;
        db = open_db(path, 1);
        assert_int_equal(upgraded_from, -1);
        db_free(db);
        o.upgrade = fail_upgrade; /* nothing of one that fails has happened */
        assert_int_equal(db_open(&other, &o, &err), -EIO);
        assert_null(other);
        db = open_db(path, 2);
        assert_int_equal(upgraded_from, 1);
        assert_int_equal(db_number(db_query(db, Q_COUNT, "")), 2);
        db_free(db);
        o = options(path, 1);
        assert_int_equal(db_open(&other, &o, &err), -EPROTO);
        assert_string_equal(err.text, "things: the database is of version 2, this program knows up to 1: wait a year");
        assert_int_equal(unlink(path), 0);
}

static void test_failures(void **state)
{
        char junk[8192];
        struct db_options o = options(path, 1);
        struct error err;
        struct db *db = open_db(NULL, 1), *other = NULL;
        int fd;

        (void)state;
        assert_null(db_query(db, Q_WRONG, ""));
        assert_int_equal(db_step(NULL), -EIO);
        assert_int_equal(db_fail(db, &err), -EIO);
        if (!strstr(err.text, "no such table: nowhere"))
                fail_msg("%s", err.text);
        db_deadline(db, 20);
        assert_int_equal(db_number(db_query(db, Q_LONG, "")), -EIO);
        assert_int_equal(db_fail(db, &err), -ETIME);
        db_deadline(db, 0);
        assert_int_equal(db_number(db_query(db, Q_COUNT, "")), 0);
        db_free(db);

        memset(junk, 'x', sizeof(junk));
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(write(fd, junk, sizeof(junk)), (ssize_t)sizeof(junk));
        (void)close(fd);
        assert_int_equal(db_open(&other, &o, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, "is damaged"));
        assert_non_null(strstr(err.text, "fetch another"));
        assert_int_equal(unlink(path), 0);
        o.path = "/nonexistent/db";
        assert_int_equal(db_open(&other, &o, &err), -EIO);
        assert_non_null(strstr(err.text, "see that the cellar is there"));
}

/* Of a path that is relative nothing above the working folder is looked at. */
static void test_relative(void **state)
{
        struct db_options o = options("db", 1);
        struct error err = {""};
        struct db *db = NULL;

        (void)state;
        assert_int_equal(chdir(dir), 0);
        o.relative = true;
        if (db_open(&db, &o, &err) < 0)
                fail_msg("%s", err.text);
        db_free(db);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(unlink(path), 0);
}

static int set_up(void **state)
{
        (void)state;
        if (!mkdtemp(dir))
                return -1;
        (void)snprintf(path, sizeof(path), "%s/db", dir);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        return chdir("/") < 0 ? -1 : rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_queries),  cmocka_unit_test(test_transactions), cmocka_unit_test(test_versions),
                cmocka_unit_test(test_failures), cmocka_unit_test(test_relative),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
