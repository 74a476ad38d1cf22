/*
 * What an administrator did by postern-relay's command line, for a SIEM: a record on the ways that the configuration
 * names, whether the relay runs or not. postern-events(7) is what it looks like.
 *
 * Invariant: the command was carried out before, and a record that cannot be written fails nothing: it is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "base/scribe/scribe.h"
#include "queue/relay/cli-internal.h"

#define PATIENCE_MS 3000
#define NO_LOGIN UINT32_MAX /* of /proc/self/loginuid */

struct noting {
        struct loop *loop;
        struct events_ways *ways;
        struct scribes *scribes;
        struct loop_timer *timer;
        uint64_t until;
};

/* Until all of it is where it belongs, or that has taken too long. */
static void look(void *arg)
{
        struct noting *n = arg;
        struct events_state state;
        size_t waiting = 0;

        for (size_t i = 0; i < EVENTS_WAYS; i++)
                if (events_ways_state(n->ways, i, &state))
                        waiting += state.waiting;
        if (waiting == 0 || loop_now(n->loop) >= n->until)
                loop_stop(n->loop, waiting > 0);
        loop_timer_in(n->timer, 10);
}

/* Who logged in, before sudo and its like: the kernel keeps it. */
static bool login_uid(int64_t *ret_uid)
{
        _cleanup_(closep) int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
        char text[24] = "";
        uint64_t uid;

        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || text_parse_u64(text, 0, UINT32_MAX, &uid) < 0 ||
            uid == NO_LOGIN)
                return false;
        *ret_uid = (int64_t)uid;
        return true;
}

static void put(const struct noting *n, const struct relay_cli *cli, const struct relay_cli_act *act, bool done)
{
        struct events_record r = {.wall = loop_wall(n->loop),
                                  .kind = "act",
                                  .sentence = "somebody administered this relay",
                                  .level = LOG_LEVEL_INFO,
                                  .notice = true};
        int64_t login;

        events_text(&r, "node", cli->config->node);
        events_text(&r, "tenant", act->tenant);
        events_text(&r, "act", act->act);
        events_text(&r, "about", act->about);
        events_number(&r, "uid", (int64_t)act->uid);
        if (login_uid(&login))
                events_number(&r, "login_uid", login);
        events_bool(&r, "done", done);
        events_ways_put(n->ways, &r);
}

static int note(struct noting *n, const struct relay_cli *cli, const struct relay_cli_act *act, bool done)
{
        const struct relay_config *c = cli->config;
        const struct scribes_wanted wanted = {.paths = {c->events_file, c->events_socket}};
        struct child_boot boot;
        int r = loop_new(&n->loop);
        const struct events_ways_config config = {.loop = n->loop,
                                                  .program = "postern-relay",
                                                  .service = "postern-relay",
                                                  .instance = c->node,
                                                  .paths = {c->events_file, c->events_socket}};

        r = r < 0 ? r : events_ways_new(&n->ways, &config);
        r = r < 0 ? r : loop_timer_new(&n->timer, n->loop, NULL, look, n);
        r = r < 0 ? r : child_boot_begin(&boot, n->loop);
        n->scribes = r < 0 ? NULL : scribes_new(n->loop, &boot, events_ways_give, n->ways);
        if (!n->scribes)
                return -ENOMEM;
        n->until = loop_now(n->loop) + PATIENCE_MS;
        scribes_begin(n->scribes, &wanted);
        put(n, cli, act, done);
        loop_timer_in(n->timer, 0);
        return loop_run(n->loop);
}

void relay_cli_act(const struct relay_cli *cli, const struct relay_cli_act *act, bool done)
{
        struct noting n = {.until = 0};

        if (!cli->config->events_file && !cli->config->events_socket)
                return;
        (void)signal(SIGPIPE, SIG_IGN);
        log_open("postern-relay", LOG_LEVEL_ERROR, NULL);
        if (note(&n, cli, act, done) != 0)
                (void)relay_cli_complain(act->act, "it was not noted where records go (events_file, events_socket): "
                                                   "see `postern-relay status` and the folder's owner");
        n.ways = events_ways_free(n.ways);
        scribes_finish(n.scribes);
        n.scribes = scribes_free(n.scribes);
        n.timer = loop_timer_free(n.timer);
        n.loop = loop_free(n.loop);
}
