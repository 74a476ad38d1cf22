/*
 * The owner's side of a key in hardware: an EVP_PKEY whose signature is asked from postern-keyholder.
 *
 * Invariant: one question is in flight at a time and each has one answer, so a late answer can't be taken for
 * another's: after a timeout or a malformed answer the socket is shut down for good. OpenSSL 3.0 has no other
 * hook for "sign this by a callback" than EC_KEY_METHOD (or a whole provider), which it calls deprecated;
 * that is why this one file asks for the old interface.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "certs/keys/key-holder.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "certs/codec/crypto.h"
#include "certs/keys/key-internal.h"

#define OPEN_PATIENCE_MS 60000
#define SIGN_PATIENCE_MS 10000

DEFINE_VOID_FREEP(EC_KEY, EC_KEY_free)
DEFINE_VOID_FREEP(EVP_PKEY, EVP_PKEY_free)

/* ---- starting one ---- */

static int spawn(const struct keyholder_start *start, pid_t *ret_pid, int theirs)
{
        posix_spawn_file_actions_t actions;
        char user[80], mode[] = "open", make[] = "make", confinement[16], *program = strdup(start->program);
        char *argv[] = {program, start->make ? make : mode, confinement, start->user ? user : NULL, NULL};
        int r = program ? posix_spawn_file_actions_init(&actions) : ENOMEM;

        (void)snprintf(user, sizeof(user), "--user=%s", start->user ? start->user : "");
        (void)snprintf(confinement, sizeof(confinement), "%s", start->confinement ? start->confinement : "enforce");
        if (r != 0) {
                free(program);
                return -r;
        }
        (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        r = posix_spawn_file_actions_adddup2(&actions, theirs, KEYHOLDER_SOCKET_FD);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, start->reference_fd, KEYHOLDER_REFERENCE_FD);
        if (r == 0 && start->pin_fd >= 0)
                r = posix_spawn_file_actions_adddup2(&actions, start->pin_fd, KEYHOLDER_PIN_FD);
        else if (r == 0)
                r = posix_spawn_file_actions_addclose(&actions, KEYHOLDER_PIN_FD);
        if (r == 0)
                r = posix_spawn(ret_pid, start->program, &actions, NULL, argv,
                                start->environment ? start->environment : environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        free(program);
        return -r;
}

/* A copy of fd that none of the holder's numbers can overwrite. */
static int lift(int fd)
{
        return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, KEYHOLDER_PIN_FD + 1);
}

int keyholder_start(const struct keyholder_start *start, pid_t *ret_pid, int *ret_fd, struct error *err)
{
        _cleanup_(closep) int ours = -1;
        _cleanup_(closep) int theirs = -1;
        _cleanup_(closep) int reference = lift(start->reference_fd);
        _cleanup_(closep) int pin = lift(start->pin_fd);
        struct keyholder_start lifted = *start;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_fail(err, -errno, "cannot make a channel: %s", strerror(errno));
        ours = pair[0];
        theirs = lift(pair[1]);
        (void)close(pair[1]);
        lifted.reference_fd = reference;
        lifted.pin_fd = pin;
        if (theirs < 0 || reference < 0 || (start->pin_fd >= 0 && pin < 0))
                return error_fail(err, -EMFILE, "cannot hand descriptors to %s", start->program);
        r = spawn(&lifted, ret_pid, theirs);
        if (r < 0)
                return error_fail(err, r, "cannot start %s: %s", start->program, strerror(-r));
        *ret_fd = steal_fd(&ours);
        return 0;
}

/* ---- its frames ---- */

/* Waits for one frame; its length, or -errno. */
static ssize_t receive(int fd, uint8_t *frame, size_t cap, int patience_ms)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct timespec now;
        int64_t left = patience_ms, until;
        int r;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        until = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + patience_ms;
        while ((r = poll(&p, 1, (int)left)) < 0 && errno == EINTR) {
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
                left = until - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
                if (left < 0)
                        left = 0;
        }
        if (r <= 0)
                return r == 0 ? -ETIMEDOUT : -errno;
        const ssize_t n = recv(fd, frame, cap, MSG_DONTWAIT | MSG_TRUNC);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return -EPIPE;
        return n < 0 ? -errno : (size_t)n > cap ? -EBADMSG : n;
}

int keyholder_error(const uint8_t *frame, size_t n, struct error *err)
{
        int32_t code;

        if (n < 1 + sizeof(code) + 1)
                return error_fail(err, -EBADMSG, "postern-keyholder: malformed answer");
        memcpy(&code, frame + 1, sizeof(code));
        if (code >= 0 || code < -4095)
                code = -EIO;
        return error_fail(err, code, "%.*s", (int)(n - 1 - sizeof(code)), (const char *)frame + 1 + sizeof(code));
}

static int ask(int fd, const uint8_t digest[SHA256_LEN], uint8_t signature[ES256_LEN], struct error *err)
{
        uint8_t question[1 + SHA256_LEN] = {KEYHOLDER_DIGEST}, frame[1 + 4 + ERROR_TEXT_MAX];
        ssize_t n;

        memcpy(question + 1, digest, SHA256_LEN);
        if (send(fd, question, sizeof(question), MSG_NOSIGNAL) != (ssize_t)sizeof(question))
                return error_fail(err, -EPIPE, "postern-keyholder has ended");
        n = receive(fd, frame, sizeof(frame), SIGN_PATIENCE_MS);
        if (n == 1 + ES256_LEN && frame[0] == KEYHOLDER_SIGNATURE) {
                memcpy(signature, frame + 1, ES256_LEN);
                return 0;
        }
        (void)shutdown(fd, SHUT_RDWR);
        if (n > 0 && frame[0] == KEYHOLDER_ERROR)
                return keyholder_error(frame, (size_t)n, err);
        return error_fail(err, n < 0 ? (int)n : -EBADMSG, "postern-keyholder: %s",
                          n == -ETIMEDOUT ? "gave no signature within 10 s"
                          : n == -EPIPE   ? "has ended"
                                          : "malformed answer");
}

/* ---- the key for OpenSSL ---- */

/* The socket, stored one higher so that none is NULL. */
static void close_slot(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
        (void)parent;
        (void)data;
        (void)index;
        (void)argl;
        (void)argp;
        if (ptr)
                (void)close((int)(intptr_t)ptr - 1);
}

static int slot_index(void)
{
        static int index = -1;

        if (index < 0)
                index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, close_slot);
        return index;
}

static ECDSA_SIG *sign_by_holder(const unsigned char *digest, int n, const BIGNUM *kinv, const BIGNUM *rp, EC_KEY *ec)
{
        const int fd = (int)(intptr_t)EC_KEY_get_ex_data(ec, slot_index()) - 1;
        uint8_t raw[ES256_LEN];
        struct error err = {""};

        (void)kinv;
        (void)rp;
        if (n != SHA256_LEN || ask(fd, digest, raw, &err) < 0) {
                ERR_raise_data(ERR_LIB_EC, ERR_R_OPERATION_FAIL, "%s",
                               err.text[0] ? err.text : "only SHA-256 is signed");
                return NULL;
        }
        return crypto_signature(raw);
}

static const EC_KEY_METHOD *method(void)
{
        static EC_KEY_METHOD *own;
        int (*sign)(int, const unsigned char *, int, unsigned char *, unsigned int *, const BIGNUM *, const BIGNUM *,
                    EC_KEY *) = NULL;
        int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **) = NULL;

        if (!own && (own = EC_KEY_METHOD_new(EC_KEY_OpenSSL()))) {
                EC_KEY_METHOD_get_sign(own, &sign, &setup, NULL);
                EC_KEY_METHOD_set_sign(own, sign, setup, sign_by_holder);
        }
        return own;
}

/* Takes fd over on success. */
static EVP_PKEY *evp_of(const uint8_t xy[P256_POINT_LEN], int fd)
{
        _cleanup_(free_EC_KEYp) EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *evp = EVP_PKEY_new();
        uint8_t octets[1 + P256_POINT_LEN] = {POINT_CONVERSION_UNCOMPRESSED};

        memcpy(octets + 1, xy, P256_POINT_LEN);
        if (!ec || !evp || !method() || EC_KEY_set_method(ec, method()) != 1 ||
            EC_KEY_oct2key(ec, octets, sizeof(octets), NULL) != 1 || EC_KEY_check_key(ec) != 1 ||
            EVP_PKEY_assign_EC_KEY(evp, ec) != 1) {
                ERR_clear_error();
                return NULL;
        }
        EC_KEY *owned = steal(ec);
        return EC_KEY_set_ex_data(owned, slot_index(), (void *)(intptr_t)(fd + 1)) == 1 ? steal(evp) : NULL;
}

int key_from_holder(struct key **ret_key, int given, struct buffer *reference, struct error *err)
{
        _cleanup_(closep) int fd = given;
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *evp = NULL;
        uint8_t frame[KEYHOLDER_FRAME_MAX];
        struct key *key = NULL;
        const ssize_t n = receive(fd, frame, sizeof(frame), OPEN_PATIENCE_MS);
        int r;

        if (n > 0 && frame[0] == KEYHOLDER_ERROR)
                return keyholder_error(frame, (size_t)n, err);
        if (n < 1 + P256_POINT_LEN || frame[0] != KEYHOLDER_KEY)
                return error_fail(err, n < 0 ? (int)n : -EBADMSG, "postern-keyholder: %s",
                                  n == -ETIMEDOUT ? "has not opened the key within 60 s"
                                  : n == -EPIPE   ? "ended before it had opened the key"
                                                  : "malformed answer");
        evp = evp_of(frame + 1, fd);
        if (!evp)
                return error_fail(err, -EBADMSG, "postern-keyholder: what it holds is no P-256 key");
        const int held = fd;
        fd = -1; /* evp's from here on */
        r = key_from_held(&key, evp, frame + 1, held, err);
        if (r == 0 && reference &&
            (r = buffer_append(reference, frame + 1 + P256_POINT_LEN, (size_t)n - 1 - P256_POINT_LEN)) < 0) {
                key_free(key);
                return error_fail(err, r, "postern-keyholder: no room for the key's name");
        }
        if (r < 0)
                return r;
        *ret_key = key;
        return 0;
}
