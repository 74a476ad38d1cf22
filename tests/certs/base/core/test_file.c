/*
 * Whole files: bounds, modes, what is left behind after a failure, and errors that say what to do.
 */
#include "tests/certs/base/core/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

static char folder[] = "/tmp/postern-test-file.XXXXXX";

static int make_folder(void **state)
{
        (void)state;
        return mkdtemp(folder) ? 0 : -1;
}

static const char *in_folder(const char *name)
{
        static char path[512];

        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        return path;
}

static unsigned count_files(void)
{
        DIR *d = opendir(folder);
        unsigned n = 0;

        assert_non_null(d);
        for (const struct dirent *e = readdir(d); e; e = readdir(d))
                n += e->d_name[0] != '.';
        (void)closedir(d);
        return n;
}

static int remove_folder(void **state)
{
        DIR *d = opendir(folder);

        (void)state;
        for (const struct dirent *e = readdir(d); e; e = readdir(d))
                if (e->d_name[0] != '.')
                        (void)unlink(in_folder(e->d_name));
        (void)closedir(d);
        return rmdir(folder);
}

static void test_write_then_read(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(100000);
        struct error err = {""};
        char bytes[70000];
        struct stat st;

        (void)state;
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (char)(i * 31);
        assert_int_equal(file_write_atomic(in_folder("a"), bytes, sizeof bytes, 0640, &err), 0);
        assert_int_equal(stat(in_folder("a"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(file_read(&b, in_folder("a"), &err), 0);
        assert_int_equal(b.len, sizeof bytes);
        assert_memory_equal(b.data, bytes, sizeof bytes);
        assert_int_equal(file_write_atomic(in_folder("a"), "new", 3, 0600, &err), 0);
        buffer_clear(&b);
        assert_int_equal(file_read(&b, in_folder("a"), &err), 0);
        assert_string_equal(b.data, "new");
        assert_int_equal(stat(in_folder("a"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(count_files(), 1);
}

static void test_exact_maximum_and_one_more(void **state)
{
        _cleanup_(buffer_free) struct buffer exact = BUFFER(5);
        struct buffer kinds[] = {BUFFER_SECRET(6), BUFFER_WIPED(6)};
        struct error err = {""};

        (void)state;
        assert_int_equal(file_write_atomic(in_folder("b"), "12345", 5, 0600, &err), 0);
        assert_int_equal(file_read(&exact, in_folder("b"), &err), 0);
        assert_string_equal(exact.data, "12345");
        for (size_t k = 0; k < 2; k++) {
                struct buffer *small = &kinds[k];

                assert_int_equal(buffer_append_str(small, "xy"), 0);
                assert_int_equal(file_read(small, in_folder("b"), &err), -EMSGSIZE);
                assert_non_null(strstr(err.text, in_folder("b")));
                assert_non_null(strstr(err.text, "4 bytes"));
                assert_int_equal(small->len, 2);
                assert_string_equal(small->data, "xy");
                for (size_t i = 2; i < small->cap; i++)
                        assert_int_equal(small->data[i], 0);
                buffer_free(small);
        }
}

static void test_missing_file_says_what_to_do(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(5);
        struct error err = {""};

        (void)state;
        assert_int_equal(file_read(&b, in_folder("none"), &err), -ENOENT);
        assert_non_null(strstr(err.text, in_folder("none")));
        assert_non_null(strstr(err.text, "create it"));
        assert_int_equal(file_read(&b, folder, &err), -EISDIR);
        assert_int_equal(file_write_atomic(in_folder("none/x"), "a", 1, 0600, &err), -ENOENT);
        assert_non_null(strstr(err.text, "cannot be written"));
}

static void test_failed_write_leaves_nothing(void **state)
{
        struct error err = {""};
        unsigned before = count_files();

        (void)state;
        /* A folder stands in the way: the rename fails after the temporary file was written. */
        assert_int_equal(mkdir(in_folder("dir"), 0700), 0);
        assert_int_equal(file_write_atomic(in_folder("dir"), "a", 1, 0600, &err), -EISDIR);
        assert_int_equal(rmdir(in_folder("dir")), 0);
        assert_int_equal(count_files(), before);
}

static void test_empty_file(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(0);
        struct error err = {""};

        (void)state;
        assert_int_equal(file_write_atomic(in_folder("e"), NULL, 0, 0600, &err), 0);
        assert_int_equal(file_read(&b, in_folder("e"), &err), 0);
        assert_int_equal(b.len, 0);
}

static void test_pipe_in_pieces(void **state)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(100);
        struct error err = {""};
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(write(fds[1], "abc", 3), 3);
        pid_t pid = fork();
        if (pid == 0)
                _exit(write(fds[1], "def", 3) == 3 ? 0 : 1);
        (void)close(fds[1]);
        assert_int_equal(fd_read_all(&b, fds[0], &err), 0);
        assert_string_equal(b.data, "abcdef");
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(fd_read_all(&b, -1, &err), -EBADF);
        assert_string_equal(b.data, "abcdef");
}

static void test_relative_path(void **state)
{
        struct error err = {""};

        (void)state;
        assert_int_equal(chdir(folder), 0);
        assert_int_equal(file_write_atomic("rel", "a", 1, 0600, &err), 0);
        assert_int_equal(access(in_folder("rel"), R_OK), 0);
        assert_int_equal(chdir("/"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_write_then_read),
                cmocka_unit_test(test_exact_maximum_and_one_more),
                cmocka_unit_test(test_missing_file_says_what_to_do),
                cmocka_unit_test(test_failed_write_leaves_nothing),
                cmocka_unit_test(test_empty_file),
                cmocka_unit_test(test_pipe_in_pieces),
                cmocka_unit_test(test_relative_path),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
