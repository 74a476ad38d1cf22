/*
 * The files of section [nats]: certificates and logins.
 *
 * Invariant: a login is read into wiped memory, from a file that not everybody may read, and is in no error text.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/text.h"
#include "queue/relay/cluster.h"

#define CERTIFICATES_MAX (256 * 1024)
#define LOGIN_MAX 8192

void cluster_files_init(struct cluster_files *files)
{
        files->texts[CLUSTER_CA] = BUFFER(CERTIFICATES_MAX);
        files->texts[CLUSTER_CERTIFICATE] = BUFFER(CERTIFICATES_MAX);
        files->texts[CLUSTER_KEY] = BUFFER_WIPED(LOGIN_MAX);
        files->texts[CLUSTER_LOGIN] = BUFFER_WIPED(LOGIN_MAX);
}

void cluster_files_free(struct cluster_files *files)
{
        for (size_t i = 0; i < CLUSTER_FILES_; i++)
                buffer_free(&files->texts[i]);
}

const char *cluster_file_name(enum cluster_file file)
{
        static const char *const names[CLUSTER_FILES_] = {"ca", "certificate", "key", "login"};

        return names[file];
}

const char *cluster_file_path(const struct relay_nats *nats, enum cluster_role role, enum cluster_file file)
{
        const char *const paths[CLUSTER_FILES_] = {nats->ca, nats->certificate, nats->key,
                                                   role == CLUSTER_STORE ? nats->store_login : nats->dispatch_login};

        return paths[file];
}

int cluster_file_open(const struct relay_nats *nats, enum cluster_role role, enum cluster_file file, int *ret_fd,
                      struct error *err)
{
        const char *path = cluster_file_path(nats, role, file);
        const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                const int code = errno;

                if (fd >= 0)
                        close(fd);
                return error_fail(err, -code, "%s: %s; the relay's user must be able to read it", path, strerror(code));
        }
        if ((file == CLUSTER_LOGIN || file == CLUSTER_KEY) && st.st_mode & S_IRWXO) {
                close(fd);
                return error_fail(err, -EACCES, "%s holds a secret, and everybody may read it: chmod 640 %s", path,
                                  path);
        }
        *ret_fd = fd;
        return 0;
}

int cluster_file_take(struct cluster_files *files, enum cluster_file file, int fd, struct error *err)
{
        struct buffer *text = &files->texts[file];

        buffer_free(text);
        const int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(text, fd, err);
        if (r == 0 && text->len && memchr(text->data, '\0', text->len))
                return error_fail(err, -EBADMSG, "the %s of section [nats] is no text", cluster_file_name(file));
        return r;
}

int cluster_files_read(struct cluster_files *files, const struct relay_nats *nats, enum cluster_role role,
                       struct error *err)
{
        int r = 0;

        for (size_t i = 0; i < CLUSTER_FILES_ && r == 0; i++) {
                const enum cluster_file file = (enum cluster_file)i;
                int fd = -1;

                if (!cluster_file_path(nats, role, file))
                        continue;
                r = cluster_file_open(nats, role, file, &fd, err);
                if (r == 0)
                        r = cluster_file_take(files, file, fd, err);
                if (fd >= 0)
                        close(fd);
        }
        return r;
}

void cluster_place_of(const struct relay_nats *nats, enum cluster_role role, const char *node,
                      struct cluster_place *ret_place)
{
        memset(ret_place, 0, sizeof(*ret_place));
        for (size_t i = 0; i < nats->n_servers; i++)
                memcpy(ret_place->servers[i], nats->servers[i], strnlen(nats->servers[i], CLUSTER_SERVER_MAX - 1));
        ret_place->n_servers = (uint32_t)nats->n_servers;
        ret_place->role = role;
        memcpy(ret_place->node, node, strnlen(node, sizeof(ret_place->node) - 1));
}

const char *cluster_inbox(enum cluster_role role)
{
        return role == CLUSTER_STORE ? "_INBOX_store" : "_INBOX_dispatch";
}
