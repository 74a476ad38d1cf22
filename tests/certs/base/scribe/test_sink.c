/*
 * What a scribe writes to: a file that is full, moved away, forbidden; a socket that is slow, gone, and back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scribe/sink.h"

struct rig {
        char folder[64], path[96];
        struct sink sink;
        struct events_word word;
};

static void rig_up(struct rig *g, bool socket)
{
        *g = (struct rig){.folder = "/tmp/postern-sink-XXXXXX"};
        assert_non_null(mkdtemp(g->folder));
        (void)snprintf(g->path, sizeof(g->path), "%s/out", g->folder);
        sink_init(&g->sink, g->path, socket);
}

static void rig_down(struct rig *g)
{
        sink_close(&g->sink);
        (void)unlink(g->path);
        assert_int_equal(rmdir(g->folder), 0);
}

/* A line of 100 bytes: its number, dots, a line feed. */
static void add(struct rig *g, unsigned from, unsigned n)
{
        for (unsigned i = from; i < from + n; i++) {
                char *at = sink_room(&g->sink);

                assert_non_null(at);
                memset(at, '.', 99);
                at[snprintf(at, 99, "%u", i)] = ' ';
                at[99] = '\n';
                sink_add(&g->sink, 100);
        }
}

static void write_now(struct rig *g)
{
        memset(&g->word, 0, sizeof(g->word));
        sink_look(&g->sink);
        sink_write(&g->sink, &g->word);
}

/* That the file holds the whole lines from..to, in order. */
static void holds(const char *path, unsigned from, unsigned to)
{
        FILE *f = fopen(path, "r");
        char line[128];

        assert_non_null(f);
        for (unsigned i = from; i < to; i++) {
                assert_non_null(fgets(line, sizeof(line), f));
                assert_int_equal(strlen(line), 100);
                assert_int_equal(strtoul(line, NULL, 10), i);
        }
        assert_null(fgets(line, sizeof(line), f));
        (void)fclose(f);
}

static void limit_files(rlim_t bytes)
{
        const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_disk_that_is_full(void **state)
{
        struct rig g;

        (void)state;
        (void)signal(SIGXFSZ, SIG_IGN);
        rig_up(&g, false);
        limit_files(1050);
        add(&g, 0, 20);
        write_now(&g);
        assert_int_equal(g.word.done, 10);
        assert_true(g.word.why[0]);
        write_now(&g);
        assert_int_equal(g.word.done, 0);
        limit_files(RLIM_INFINITY);
        write_now(&g);
        assert_int_equal(g.word.done, 10);
        assert_string_equal(g.word.why, "");
        holds(g.path, 0, 20);
        rig_down(&g);
}

/* Half a line is in a file that was moved away: the next one gets it whole. */
static void test_a_file_that_is_moved(void **state)
{
        char moved[128];
        struct rig g;

        (void)state;
        rig_up(&g, false);
        limit_files(1050);
        add(&g, 0, 20);
        write_now(&g);
        limit_files(RLIM_INFINITY);
        (void)snprintf(moved, sizeof(moved), "%s.1", g.path);
        assert_int_equal(rename(g.path, moved), 0);
        write_now(&g);
        assert_int_equal(g.word.done, 10);
        holds(g.path, 10, 20);
        assert_int_equal(unlink(moved), 0);
        rig_down(&g);
}

static void test_what_is_no_file(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, false);
        assert_int_equal(mkfifo(g.path, 0600), 0);
        add(&g, 0, 1);
        write_now(&g);
        assert_true(g.word.why[0] && g.word.done == 0);
        assert_int_equal(unlink(g.path), 0);
        assert_int_equal(symlink("/dev/null", g.path), 0);
        write_now(&g);
        assert_true(g.word.why[0] && g.word.done == 0);
        assert_int_equal(unlink(g.path), 0);
        write_now(&g);
        assert_int_equal(g.word.done, 1);
        holds(g.path, 0, 1);
        rig_down(&g);
}

static int receiver(const struct rig *g)
{
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", g->path);
        (void)unlink(g->path);
        assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
        return fd;
}

static unsigned receive(int fd)
{
        char text[200];
        unsigned n = 0;

        while (recv(fd, text, sizeof(text), 0) == 100)
                n++;
        return n;
}

static void test_a_receiver(void **state)
{
        unsigned sent = 0, got = 0;
        struct rig g;

        (void)state;
        rig_up(&g, true);
        add(&g, 0, 1);
        write_now(&g);
        assert_non_null(strstr(g.word.why, "nobody receives there"));
        int fd = receiver(&g);
        write_now(&g);
        assert_int_equal(g.word.done, 1);
        assert_int_equal(receive(fd), 1);
        for (unsigned i = 0; i < 64; i++) { /* slow: what it has not taken stays */
                while (sink_room(&g.sink))
                        add(&g, 0, 1);
                write_now(&g);
                sent += g.word.done;
                if (g.word.why[0])
                        break;
        }
        assert_non_null(strstr(g.word.why, "too slowly"));
        do {
                got += receive(fd);
                write_now(&g);
                sent += g.word.done;
        } while (g.sink.n_lines);
        assert_int_equal(got + receive(fd), sent);
        (void)close(fd); /* gone, and back under the same name */
        add(&g, 0, 3);
        write_now(&g);
        assert_non_null(strstr(g.word.why, "nobody receives there"));
        fd = receiver(&g);
        write_now(&g);
        assert_int_equal(g.word.done, 3);
        assert_int_equal(receive(fd), 3);
        (void)close(fd);
        rig_down(&g);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_disk_that_is_full),
                cmocka_unit_test(test_a_file_that_is_moved),
                cmocka_unit_test(test_what_is_no_file),
                cmocka_unit_test(test_a_receiver),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
