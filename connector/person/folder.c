/*
 * Finds and makes the folders that hold keys, and reads secrets that a file holds. Everything in those folders is
 * written by file_write_atomic or key_write.
 */
#include "connector/person/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define JSON_FILE_MAX (64 * 1024)
#define FILE_MARKS_MAX 16 /* a byte order mark, line ends */

char *folder_default(const char *what)
{
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        char *dir = NULL;

        if (config && config[0] == '/' && asprintf(&dir, "%s/postern/%s", config, what) < 0)
                dir = NULL;
        else if (!dir && home && asprintf(&dir, "%s/.config/postern/%s", home, what) < 0)
                dir = NULL;
        return dir;
}

void folder_path(char *out, const char *dir, const char *file)
{
        snprintf(out, FOLDER_PATH_MAX, "%s/%s", dir, file);
}

/* Who may write into the folder may put another key, pin or roster there. */
static int check_mine(const char *path, struct error *err)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISDIR(st.st_mode))
                return error_fail(err, -ENOTDIR, "%s is not a folder", path);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return error_fail(err, -EPERM, "the folder %s belongs to another user (uid %u)", path,
                                  (unsigned)st.st_uid);
        if (st.st_mode & S_IWOTH)
                return error_fail(err, -EPERM, "others can write to the folder %s; fix it with: chmod o-w %s", path,
                                  path);
        return 0;
}

int folder_make(const char *dir, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        snprintf(path, sizeof(path), "%s", dir);
        for (char *p = path + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return error_fail(err, -errno, "cannot make the folder %s: %s", path, strerror(errno));
                *p = '/';
        }
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_fail(err, -errno, "cannot make the folder %s: %s", path, strerror(errno));
        return check_mine(path, err);
}

static int append(const char *bytes, size_t n, void *data)
{
        return buffer_append(data, bytes, n) < 0 ? -1 : 0;
}

int folder_write_json(const char *dir, const char *file, json_t *json, unsigned mode, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JSON_FILE_MAX);
        char path[FOLDER_PATH_MAX];
        int r = json ? json_dump_callback(json, append, &text, JSON_INDENT(2)) : -1;

        json_decref(json);
        if (r < 0 || buffer_append_char(&text, '\n') < 0)
                return error_fail(err, -ENOMEM, "%s: out of memory", file);
        folder_path(path, dir, file);
        return file_write_atomic(path, text.data, text.len, mode, err);
}

int folder_check_relay(const char *url, struct error *err)
{
        if (!url || (strncmp(url, "https://", 8) == 0 && url[8] && !strpbrk(url, " \t")))
                return 0;
        return error_fail(err, -EINVAL,
                          "--relay %s is no https URL; it is like https://relay.example or "
                          "https://relay.example:8443",
                          url);
}

int folder_check_relays(const char *urls, struct error *err)
{
        char one[2048];
        size_t n;
        int r = urls && !*urls ? folder_check_relay(urls, err) : 0;

        for (const char *at = urls; r == 0 && at && *at; at += n + strspn(at + n, " ")) {
                n = strcspn(at, " ");
                (void)snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : sizeof(one) - 1), at);
                r = folder_check_relay(one, err);
        }
        return r;
}

int folder_set_path(char **to, const char *path, struct error *err)
{
        char *real;

        if (!path)
                return 0;
        real = realpath(path, NULL);
        if (!real)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        free(*to);
        *to = real;
        return 0;
}

int folder_secret_read(const char *path, struct secret **ret_secret, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(SECRET_MAX + FILE_MARKS_MAX);
        int r = file_read(&text, path, err);

        *ret_secret = NULL;
        if (r < 0)
                return r;
        r = text.len ? admin_secret(text.data, &text.len, path, err) : 1;
        if (r != 0)
                return r;
        r = secret_new(ret_secret, text.data, text.len);
        return r < 0 ? error_fail(err, r, "%s: %s", path,
                                  r == -EMSGSIZE ? "it holds more than 1024 bytes" : "no room for a secret")
                     : 0;
}
