/*
 * postern-relay store status|push|backup.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "queue/relay/cli-internal.h"
#include "queue/relay/store-cluster.h"

#define PUSH_WAIT_MS 8000

static void warn_line(void *arg, const char *line)
{
        (void)arg;
        fprintf(stderr, "postern-relay: %s\n", line);
}

static int status(const struct relay_cli *cli, struct store *store)
{
        struct error err;

        if (cli->config->store != RELAY_ON_NATS) {
                puts("sqlite: the database in state_dir");
                return 0;
        }
        const int r = cluster_check(cli->config, warn_line, NULL, &err);
        printf("nats: %s\n", r == 0 ? "the bucket can be written" : err.text);
        printf("%lld changes of this node wait to be stored\n", (long long)store_waiting(store));
        return r == 0 ? 0 : 1;
}

static int push(const struct relay_cli *cli, struct store *store)
{
        if (cli->config->store != RELAY_ON_NATS)
                return relay_cli_complain("store push", "the configuration has store = sqlite");
        int r = store_push(store);

        r = r < 0 ? r : store_drain(store, PUSH_WAIT_MS);
        if (r < 0)
                return relay_cli_store_failed(store, r);
        puts("All that this node knows is in the bucket.");
        return 0;
}

/* A file of the database's folder to standard output, which the shell has opened for whoever asks. */
static int print_file(const char *path)
{
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        char part[65536];
        ssize_t n = fd < 0 ? -1 : 1;

        while (n > 0 && (n = read(fd, part, sizeof(part))) > 0)
                if (fwrite(part, 1, (size_t)n, stdout) != (size_t)n)
                        n = -1;
        return n < 0 || fflush(stdout) == EOF ? -errno : 0;
}

static int backup(const struct relay_cli *cli, struct store *store)
{
        char path[4096 + 32];

        if (isatty(STDOUT_FILENO))
                return relay_cli_misused("store backup", "it is no text: store backup > FILE");
        (void)snprintf(path, sizeof(path), "%s/backup-%d.db", cli->config->state_dir, (int)getpid());
        int r = store_backup(store, path);
        const bool stored = r == 0;
        if (r == 0)
                r = print_file(path);
        (void)unlink(path);
        if (r < 0)
                return stored ? relay_cli_complain("store backup", strerror(-r)) : relay_cli_store_failed(store, r);
        return 0;
}

int run_store(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        if (argc == 1 && strcmp(argv[0], "push") == 0)
                return push(cli, store);
        if (argc == 1 && strcmp(argv[0], "status") == 0)
                return status(cli, store);
        if (argc == 1 && strcmp(argv[0], "backup") == 0)
                return backup(cli, store);
        return relay_cli_misused("store", "usage: store status | store push | store backup > FILE");
}
