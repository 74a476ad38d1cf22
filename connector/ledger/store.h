/*
 * Where the ledger's rows are: a database, and the journal in front of it.
 *
 * A store is one SQLite database, on disk or in memory. The journal owns both kinds: it takes frames, writes
 * them in batches, falls back to memory while the disk refuses, and moves what gathered there to the disk
 * once that works again.
 */
#pragma once

#include <jansson.h>

#include "base/ipc/ipc.h"
#include "connector/ledger/request.h"

struct store;

/* dir_fd: the folder of ledger.db (not owned); -1: a database in memory. key: NAME_HASH_KEY_LEN bytes by which names
 * and accounts are hashed, copied; NULL: there is none, and an account is found by its typed names only. -errno with
 * err, which names the remedy. */
int ledger_store_open(struct store **ret_store, int dir_fd, const uint8_t *key, struct error *err);
struct store *ledger_store_free(struct store *store);

/* One transaction around the calls of store_insert. */
int ledger_store_begin(struct store *store, struct error *err);
/* r: what came of it; negative: nothing of it happened. Returns r, or what the end fails with. */
int ledger_store_end(struct store *store, int r, struct error *err);
/* FRAME_RECORD, FRAME_EVENT, FRAME_DELIVERY, FRAME_UNANSWERED or FRAME_QUERY; wall: now. -EBADMSG: a frame that can't
 * be a row (skip it). */
int ledger_store_insert(struct store *store, const struct msg_in *m, int64_t wall, struct error *err);
/* Removes rows older than `before` and the oldest above `rows`, some thousands at a time. *ret_more: call
 * again. */
int ledger_store_trim(struct store *store, int64_t before, uint64_t rows, bool *ret_more, struct error *err);
/* Makes keyed pseudonyms of the names in rows older than `before`, some thousands at a time, and forgets names that
 * were last seen then. *ret_more: call again. */
int ledger_store_pseudonyms(struct store *store, int64_t before, bool *ret_more, struct error *err);
/* Copies every row of `from` into `to`, or none. */
int ledger_store_copy(struct store *to, struct store *from, struct error *err);

/* A search. Rows come newest first, appended to list (a JSON array). -ETIME: took too
 * long. */
struct store_search {
        const struct request *request;
        const char
                *hashes; /* of a user: a JSON array of hashes, of forms of the name and of the account's id; or NULL */
        const char *names;   /* with hashes: a JSON array of forms of the name, by typed_fold (TYPED_CASE) */
        const char *id;      /* or NULL */
        const char *domains; /* a JSON array: records of these alone; or NULL: whatever there is */
};
int ledger_store_records(struct store *store, const struct store_search *search, json_t *list, struct error *err);
int ledger_store_events(struct store *store, const struct store_search *search, json_t *list, struct error *err);
/* Who of the helpdesk asked what from afar (FRAME_QUERY). */
int ledger_store_questions(struct store *store, const struct store_search *search, json_t *list, struct error *err);
/* Counts of the request's stretch of time, appended to the arrays of report (an object): ends, dcs, names, users,
 * series. */
int ledger_store_report(struct store *store, const struct store_search *search, json_t *report, struct error *err);
/*
 * Accounts whose names are like what was typed (letters: by typed_fold, TYPED_LETTERS), used since then:
 * {"name","account"?,"last","near"}, the likest first, at most limit. near: 0 the same but for accents and the domain,
 * 1 it is a part of the name, 2 or 3 one letter or two are others.
 */
int ledger_store_near(struct store *store, const char *letters, int64_t since, size_t limit, json_t *list,
                      struct error *err);
/* How long the sign-ins of the request's time took, hop by hop, beside the same time a day before, and the slowest of
 * them: store-look.c. ret: an object. */
int ledger_store_slow(struct store *store, const struct store_search *search, json_t *ret, struct error *err);
/* What may be an attack: one address with many names, success after failures from a new address. ret: an object. */
int ledger_store_unusual(struct store *store, const struct store_search *search, json_t *ret, struct error *err);
/* The ids that begin so, the first by id, at most limit, appended to list. */
int ledger_store_ids(struct store *store, const char *beginning, size_t limit, json_t *list, struct error *err);
/* The time of the oldest record; 0: there is none. */
int64_t ledger_store_oldest(struct store *store);
/* Erases every row of the search's user (hashes, names), and the names of the account. How many records; -errno. */
int ledger_store_erase(struct store *store, const struct store_search *search, struct error *err);
/* How many rows there are, more or less. */
uint64_t ledger_store_count(struct store *store);

struct journal_config {
        struct loop *loop;
        int dir_fd;         /* owned from here on */
        const uint8_t *key; /* as of ledger_store_open; borrowed */
        uint32_t days, names_days, rows;
        uint32_t retry_ms; /* 0: 5000 */
        uint32_t flush_ms; /* 0: 100 */
};

/* The limits of memory while the disk refuses. */
#define JOURNAL_PENDING_MAX 10000
#define JOURNAL_MEMORY_ROWS 20000

struct journal;
/* A disk that refuses is no failure: the journal begins degraded. 0 or -ENOMEM and the like. */
int ledger_journal_new(struct journal **ret_journal, const struct journal_config *config, struct error *err);
/* Writes what is pending, and frees it. */
struct journal *ledger_journal_free(struct journal *journal);
/* Takes a copy; written within flush_ms, or with the 100th. Never fails; past JOURNAL_PENDING_MAX the oldest
 * goes and is counted. */
void ledger_journal_add(struct journal *journal, const struct msg_in *m);
/* Writes what is pending, so that a search finds it. */
void ledger_journal_flush(struct journal *journal);
/* A search of one store, as ledger_store_records and its like. ret: an array or an object that it adds to. */
typedef int store_search_fn(struct store *store, const struct store_search *search, json_t *ret, struct error *err);
/* Searches memory, then disk, up to the request's limit: records, events, questions, report. */
int ledger_journal_search(struct journal *journal, store_search_fn *fn, const struct store_search *search, json_t *ret,
                          struct error *err);
/* Looks at the disk alone where there is one, else at memory: slow, unusual. */
int ledger_journal_look(struct journal *journal, store_search_fn *fn, const struct store_search *search, json_t *ret,
                        struct error *err);
/* Of disk and memory. */
int ledger_journal_erase(struct journal *journal, const struct store_search *search, struct error *err);
int ledger_journal_near(struct journal *journal, const char *letters, int64_t since, size_t limit, json_t *list,
                        struct error *err);
int ledger_journal_ids(struct journal *journal, const char *beginning, size_t limit, json_t *list, struct error *err);
/* The time of the oldest record; 0: there is none. */
int64_t ledger_journal_oldest(struct journal *journal);
/* {"state":"ok"|"degraded","why":...,"rows":n,"in_memory":n,"dropped":n} */
json_t *ledger_journal_status(struct journal *journal);
