/*
 * Scribes: processes that write records where they belong, one for each way out of a program (base/events/ways.h), so
 * that whoever makes the records never touches a disk that may hang, nor does the supervisor.
 *
 * A scribe is the program that starts it, started once more with --role=scribe. It opens and writes its one file, or
 * connects to its one socket, and says what came of it (struct events_word). It may hang for as long as it likes:
 * nobody waits for it, not even at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/error.h"
#include "base/events/ways.h"
#include "base/ipc/loop.h"
#include "base/process/child.h"
#include "base/process/confine.h"

/* ---- the process ---- */

/* Whether the command line is a scribe's. */
bool scribe_wanted(int argc, char **argv);
/* Serves until its writer ends. The exit code. */
int scribe_main(int argc, char **argv);

/* ---- who starts them ---- */

struct scribes;

/* The writer gets its end of a channel, under the way's key; fd stays the caller's. 0 or -errno: the scribe is started
 * again later. */
typedef int scribes_give_fn(void *arg, const char *key, int fd);

/* Starts nothing yet; boot is borrowed. NULL: no memory. */
struct scribes *scribes_new(struct loop *loop, const struct child_boot *boot, scribes_give_fn *give, void *arg);
/* Leaves them all alone: they end by themselves. NULL-safe. */
struct scribes *scribes_free(struct scribes *scribes);

struct scribes_wanted {
        const char *user; /* that they become, where this is root; NULL: they stay root, without any capability */
        enum confine_mode confinement;
        const char *paths[EVENTS_WAYS]; /* by way; NULL: none is wanted */
};
/* There is a writer that has no channel yet: each way gets a new scribe, and those that may still hang are left. What
 * wanted points to is copied. */
void scribes_begin(struct scribes *scribes, const struct scribes_wanted *wanted);
/* The writer is gone: none is started until scribes_begin. NULL-safe. */
void scribes_pause(struct scribes *scribes);
/* SIGCHLD: starts those again that ended. NULL-safe. */
void scribes_reap(struct scribes *scribes);
/* None is started any more; waits for those that write, at most a second. For the end, after the writer's. NULL-safe.
 */
void scribes_finish(struct scribes *scribes);

typedef void scribe_tell_fn(void *arg, const char *text);
/*
 * Looks at the files among the ways, by way, NULL where none is wanted (of a socket the receiver may come later). tell:
 * of each that a start would refuse, with its key and the remedy; how many. note: of each whose file system did not
 * answer within 2 s, which is worth knowing and no fault, since nothing waits for it.
 */
size_t scribe_check(const char *const paths[EVENTS_WAYS], scribe_tell_fn *tell, scribe_tell_fn *note, void *arg);
