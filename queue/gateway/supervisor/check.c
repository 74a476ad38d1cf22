/*
 * The check of everything that a start would find, for `--check-config`, which a reload calls, too. Users, files and
 * addresses are judged by the code that a start uses; what the processes make of their files each process says itself,
 * on trial (base/process/trial.h).
 *
 * Invariant: nothing is made, changed or asked of a network, and a gateway that runs is not touched.
 */
#include <linux/capability.h>
#include <stdio.h>

#include "base/process/trial.h"
#include "queue/gateway/supervisor/supervisor.h"

static size_t tell(const char *key, const char *name, const char *text)
{
        (void)fprintf(stderr, "%s%s: %s\n", key, name, text);
        return 1;
}

/* A process whose user or files are unfit is not tried: it would say the same in other words. */
static size_t try_all(struct gateway *g, const size_t found[GATEWAY_PARTS])
{
        struct error err;
        size_t n = 0;
        int r = loop_new(&g->loop);

        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                r = r < 0 ? r : child_new(&g->children[part], g->loop, &gateway_frames, part, &child_trial_ops, g);
                if (r == 0 && !found[part] &&
                    child_try(&g->children[part], gateway_start, &g->boot, "gateway", &err) < 0)
                        n += tell("the process ", gateway_frames.parts[part], err.text);
        }
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                child_free(&g->children[part]);
        g->loop = loop_free(g->loop);
        return r < 0 ? tell("the processes", "", "out of memory") : n;
}

/* What root sees here, the unit may not. */
static void note_hidden(const char *key, const char *path)
{
        const char *why = path ? file_hidden_by_unit(path) : NULL;

        if (why)
                (void)tell(key, path, why);
}

size_t gateway_check(const struct gateway_config *config, const struct buffer *text)
{
        static struct gateway g;
        size_t found[GATEWAY_PARTS];
        struct error err = {""};

        g = (struct gateway){.config = (struct gateway_config *)(uintptr_t)config,
                             .text = *text,
                             .check = true,
                             .lock_fd = -1,
                             .check_fd = -1,
                             .boot.id = "AAAAAAAAAAAAAAAAAAAAAA"};
        caps_note_parent();
        size_t n = gateway_files_check(config, found);
        n += gateway_listen_check(config);
        n += caps_reduce(CAP_NET_BIND_SERVICE, &err) < 0 ? tell("capabilities", "", err.text) : try_all(&g, found);
        note_hidden("note: service ", config->service);
        note_hidden("note: ca_file ", config->ca_file);
        note_hidden("note: certificate ", config->certificate);
        note_hidden("note: key ", config->key);
        note_hidden("note: client_ca ", config->client_ca);
        note_hidden("note: words ", config->words);
        return n;
}
