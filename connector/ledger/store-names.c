/*
 * The names under which accounts are known: kept with each record that shows an account, so that a search finds all of
 * a person's rows whatever was typed, and offers names that are like the one that was asked for.
 *
 * A name comes here only where the validator showed it in clear, because an answer had shown that the account exists;
 * it goes with the last row that used it (ledger_days), or when names become pseudonyms.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "base/core/typed-name.h"
#include "connector/frames/messages.h"
#include "connector/ledger/store-internal.h"

#define NAME_BYTES (3 * REQUEST_TEXT_MAX)
#define NEAR_MS 1000
#define NEAR_FOUND 64 /* candidates of which the likest are shown */
#define HOUR_S 3600

bool ledger_store_hash(const struct store *store, const char *text, char ret_hash[NAME_HASH_TEXT])
{
        if (!store->has_key || !text[0])
                return false;
        name_hash(store->key, text, strlen(text), ret_hash);
        return true;
}

/* Whether this was not written within the hour. FNV-1a: a collision only writes less often. */
static bool is_news(struct store *store, const char *name, const char *account, int64_t wall)
{
        const char *const parts[] = {name, "\n", account};
        uint64_t h = 14695981039346656037U ^ (uint64_t)(wall / HOUR_S);

        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                for (const char *c = parts[i]; *c; c++)
                        h = (h ^ (uint8_t)*c) * 1099511628211U;
        if (store->recent[h % RECENT_NAMES] == h)
                return false;
        store->recent[h % RECENT_NAMES] = h;
        return true;
}

static int note_name(struct store *store, const char *typed, const char *account, int64_t wall)
{
        char name[NAME_BYTES], letters[NAME_BYTES], hash[NAME_HASH_TEXT] = "";
        struct sqlite3_stmt *stmt;

        if (!typed[0] || !is_news(store, typed, account, wall) ||
            typed_fold(name, sizeof(name), TYPED_CASE, typed, strlen(typed)) < 0 ||
            typed_fold(letters, sizeof(letters), TYPED_LETTERS, typed, strlen(typed)) < 0)
                return 0;
        (void)ledger_store_hash(store, typed, hash);
        stmt = db_query(store->db, Q_INSERT_NAME, "tttti", name, letters, account[0] ? account : NULL,
                        hash[0] ? hash : NULL, wall);
        return db_step(stmt) < 0 ? -EIO : 0;
}

int ledger_store_note_names(struct store *store, const struct msg_in *m)
{
        char text[REQUEST_TEXT_MAX + 1], domain[REQUEST_TEXT_MAX + 1], account[NAME_HASH_TEXT] = "",
                                                                       both[2 * sizeof(text)];
        const int64_t wall = (int64_t)msg_get_u64(m, R_WALL, 0);
        int r = 0;

        if (msg_get_str(m, R_USER_ID, text, sizeof(text)) == 0)
                (void)ledger_store_hash(store, text, account);
        if (msg_get_str(m, R_USER, text, sizeof(text)) == 0)
                r = note_name(store, text, account, wall);
        if (r == 0 && account[0] && msg_get_str(m, R_UPN, text, sizeof(text)) == 0)
                r = note_name(store, text, account, wall);
        if (r == 0 && account[0] && msg_get_str(m, R_SAM, text, sizeof(text)) == 0 &&
            msg_get_str(m, R_DOMAIN, domain, sizeof(domain)) == 0) {
                (void)snprintf(both, sizeof(both), "%s@%s", text, domain);
                r = note_name(store, both, account, wall);
        }
        return r;
}

/* ---- names that are like another ---- */

/* What is before the @, or behind the \. */
static void local_part(const char *name, const char **ret_local, size_t *ret_n)
{
        const char *slash = strchr(name, '\\'), *at = strrchr(name, '@');

        *ret_local = slash ? slash + 1 : name;
        *ret_n = slash || !at ? strlen(*ret_local) : (size_t)(at - name);
}

#define LETTERS_MAX 64

/* How many letters differ, a swap of two neighbours counting as one; 9: more than can be told. */
static unsigned letters_apart(const char *a, size_t a_n, const char *b, size_t b_n)
{
        unsigned rows[3][LETTERS_MAX + 1];

        if (a_n > LETTERS_MAX || b_n > LETTERS_MAX || a_n > b_n + 2 || b_n > a_n + 2)
                return 9;
        for (size_t k = 0; k <= b_n; k++)
                rows[0][k] = (unsigned)k;
        for (size_t i = 1; i <= a_n; i++) {
                unsigned *const row = rows[i % 3], *const above = rows[(i + 2) % 3], *const over = rows[(i + 1) % 3];

                row[0] = (unsigned)i;
                for (size_t k = 1; k <= b_n; k++) {
                        unsigned best = above[k - 1] + (a[i - 1] != b[k - 1]);

                        best = above[k] + 1 < best ? above[k] + 1 : best;
                        best = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
                        if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && over[k - 2] + 1 < best)
                                best = over[k - 2] + 1;
                        row[k] = best;
                }
        }
        return rows[a_n % 3][b_n];
}

/* 0 to 3 as ledger_store_near says; -1: it is not like it. */
static int nearness(const char *letters, const char *wanted)
{
        const char *have, *want;
        size_t have_n, want_n;
        unsigned apart;

        local_part(letters, &have, &have_n);
        local_part(wanted, &want, &want_n);
        if (want_n < 2)
                return -1;
        if (have_n == want_n && memcmp(have, want, want_n) == 0)
                return 0;
        /* one of the parts of the name that dots, blanks and the like separate, or the beginning of one */
        for (size_t at = 0; want_n >= 3 && at + want_n <= have_n; at++)
                if ((at == 0 || strchr(".-_ ", have[at - 1])) && memcmp(have + at, want, want_n) == 0)
                        return 1;
        apart = letters_apart(have, have_n, want, want_n);
        return apart <= (want_n < 5 ? 1U : 2U) ? (int)apart + 1 : -1;
}

/* By nearness, then the one that was used last. */
static int by_nearness(const void *a, const void *b)
{
        const json_t *const x = *(json_t *const *)a, *const y = *(json_t *const *)b;
        const json_int_t near = json_integer_value(json_object_get(x, "near")) -
                                json_integer_value(json_object_get(y, "near")),
                         last = json_integer_value(json_object_get(y, "last")) -
                                json_integer_value(json_object_get(x, "last"));

        return near ? (near < 0 ? -1 : 1) : last < 0 ? -1 : last > 0;
}

int ledger_store_near(struct store *store, const char *letters, int64_t since, size_t limit, json_t *list,
                      struct error *err)
{
        struct sqlite3_stmt *stmt = db_query(store->db, Q_NAMES, "i", since);
        json_t *found[NEAR_FOUND] = {NULL};
        size_t n = 0;
        int r;

        db_deadline(store->db, NEAR_MS);
        while ((r = db_step(stmt)) == 1) {
                const char *text = db_str(stmt, 1, NULL);
                const int near = text ? nearness(text, letters) : -1;

                if (near < 0 || (near > 1 && n >= NEAR_FOUND / 2) || n >= NEAR_FOUND)
                        continue;
                found[n] = json_pack("{s:s*, s:s*, s:I, s:i}", "name", db_str(stmt, 0, NULL), "account",
                                     db_str(stmt, 2, NULL), "last", (json_int_t)db_int(stmt, 3), "near", near);
                n += found[n] != NULL;
        }
        if (r < 0)
                r = db_fail(store->db, err);
        db_deadline(store->db, 0);
        qsort(found, n, sizeof(found[0]), by_nearness);
        for (size_t i = 0; i < n; i++) {
                if (i < limit)
                        (void)json_array_append(list, found[i]);
                json_decref(found[i]);
        }
        return r;
}
