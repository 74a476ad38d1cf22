/*
 * The check of everything that a start would find: users, groups, folders, enrolment, files, and what the processes
 * make of them. A start, `posternd --check-config`, `postern check` and a reload all use it; the last three as a
 * program of their own.
 *
 * What the processes make of their files is not judged twice: each of them is started as its user, with the files that
 * it would get, as far as to where its work would begin, and ends (process.h, `check`). Invariant: nothing is made,
 * locked, changed or asked of a network; the daemon that runs is not touched.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "certs/keys/key-uri.h"
#include "base/core/text.h"
#include "base/process/trial.h"

/* A path may name a key in hardware as well, but that file is not opened here. */
static bool names_hardware(const char *setting)
{
        return setting && key_kind_of(setting, strlen(setting)) != KEY_KIND_NONE;
}

static size_t tell(const struct files_check *check, const char *key, const char *name, const struct error *err)
{
        char text[ERROR_TEXT_MAX + 64];

        (void)snprintf(text, sizeof(text), "%s%s: %s", key, name, err->text);
        check->tell(check->arg, text);
        return 1;
}

size_t check_users(const struct config *config, const struct files_check *check)
{
        struct error err;
        size_t n = 0;

        for (int id = PART_LINK; id < PART_N; id++)
                if (files_check_user(config, (enum part)id, &err) < 0)
                        n += tell(check, "user_", part_name((enum part)id), &err);
        if ((names_hardware(config->identity_key) || names_hardware(config->transport_key)) &&
            files_check_keys_user(config, &err) < 0)
                n += tell(check, "user_", "keys", &err);
        return n;
}

size_t check_all(struct supervisor *s, struct files_check *check, size_t found[PART_N])
{
        size_t n = prepare_check(s, check);

        for (int id = PART_LINK; id < PART_N; id++)
                n += found[id] = files_check(s, (enum part)id, check);
        return n;
}

/* ---- the processes, on trial ---- */

/* A process whose user or files are unfit is not tried: it would say the same in other words. */
static size_t try_all(struct supervisor *s, const struct files_check *check, const size_t found[PART_N])
{
        struct error err;
        size_t n = 0;

        for (int id = PART_LINK; id < PART_N; id++)
                if (found[id] == 0 && files_check_user(s->config, (enum part)id, &err) == 0 &&
                    child_try(&s->children[id], supervisor_start, &s->boot, s->connector_id, &err) < 0)
                        n += tell(check, "the process ", child_name(&s->children[id]), &err);
        return n;
}

/* A path that root can read here may be hidden from the unit. */
static void note_hidden(const struct files_check *check, const char *key, const char *path)
{
        const char *why = path ? file_hidden_by_unit(path) : NULL;
        char text[ERROR_TEXT_MAX + 64];

        if (!why)
                return;
        (void)snprintf(text, sizeof(text), "%s: %.150s: %s", key, path, why);
        check->note(check->arg, text);
}

static void note_all_hidden(const struct config *config, const struct files_check *check)
{
        note_hidden(check, "relay_ca_file", config->relay_ca_file);
        note_hidden(check, "events_file", config->events_file);
        note_hidden(check, "traces_file", config->traces_file);
        for (size_t i = 0; i < config->validate.n_domains; i++) {
                note_hidden(check, "ca_file", config->domains[i].ca_file);
                note_hidden(check, "keytab", config->domains[i].keytab_file);
                note_hidden(check, "service_password_file", config->domains[i].service_password_file);
        }
}

size_t supervisor_check(struct config *config, const struct buffer *text, struct files_check *check)
{
        static struct supervisor s;
        struct holder holders[HOLDER_N] = {{0}};
        struct error err = {"out of memory"};
        size_t found[PART_N];

        s = (struct supervisor){.config = config,
                                .text = *text,
                                .check = check,
                                .holders = holders,
                                .lock_fd = -1,
                                .control_fd = -1,
                                .metrics_fd = -1,
                                .renewals.fd = -1,
                                .reloading.fd = -1,
                                .boot.id = "AAAAAAAAAAAAAAAAAAAAAA"};
        caps_note_parent();
        size_t n = check_users(config, check);
        int r = loop_new(&s.loop);
        for (size_t i = PART_LINK; r == 0 && i < PART_N; i++)
                r = child_new(&s.children[i], s.loop, &posternd_frames, (unsigned)i, &child_trial_ops, &s);
        if (r < 0 || caps_reduce(CAPS_NONE, &err) < 0) {
                check->tell(check->arg, err.text);
                n++;
        } else {
                n += check_all(&s, check, found);
                n += scribe_check(
                        (const char *const[EVENTS_WAYS]){
                                [EVENTS_WAY_FILE] = config->events_file, [EVENTS_WAY_TRACES] = config->traces_file},
                        check->tell, check->note, check->arg);
                n += try_all(&s, check, found);
                note_all_hidden(config, check);
        }
        for (size_t i = PART_LINK; i < PART_N; i++)
                child_free(&s.children[i]);
        s.loop = loop_free(s.loop);
        return n;
}
