/*
 * postern-keyholder: one process per key in hardware. Loads the vendor's module, opens the key, and signs what
 * the owner of the socket asks, until that is closed.
 *
 * It sees digests, never what they are of, and the PIN, which it offers to the token once. Started by posternd
 * (for link and validator) and by `postern enroll` and `tenant`; of no use by itself. See certs/keys/key-holder.h
 * for descriptors and frames.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "certs/codec/crypto.h"
#include "certs/keys/key-holder.h"
#include "certs/keys/key-uri.h"
#include "certs/codec/self-test.h"
#include "base/core/admin-text.h"
#include "base/core/cleanup.h"
#include "base/process/confine.h"
#include "base/process/harden.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "connector/keyholder/token.h"

#define TURN_LOOK_MS 10
#define TURN_MAX_MS 15000

static char pin[PIN_MAX + 8]; /* locked; wiped as soon as the token has taken it */

static void tell_error(int code, const struct error *err)
{
        uint8_t frame[1 + sizeof(int32_t) + ERROR_TEXT_MAX] = {KEYHOLDER_ERROR};
        const int32_t number = code;
        const size_t n = strnlen(err->text, ERROR_TEXT_MAX - 1);

        memcpy(frame + 1, &number, sizeof(number));
        memcpy(frame + 1 + sizeof(number), err->text, n + 1);
        (void)send(KEYHOLDER_SOCKET_FD, frame, 1 + sizeof(number) + n + 1, MSG_NOSIGNAL);
}

/* ---- what was handed over ---- */

static int read_pin(const char **ret_pin, struct error *err)
{
        ssize_t n = pread(KEYHOLDER_PIN_FD, pin, sizeof(pin) - 1, 0);
        size_t len = n > 0 ? (size_t)n : 0;
        int r;

        *ret_pin = NULL;
        if (n < 0 && errno == EBADF)
                return 0;
        r = admin_secret(pin, &len, "the PIN file", err);
        if (r < 0)
                return r;
        if (len < 1 || len > PIN_MAX)
                return error_fail(err, -EINVAL, "the PIN file is empty or holds more than %d bytes", PIN_MAX);
        *ret_pin = pin;
        return 0;
}

static int read_reference(char *out, struct error *err)
{
        ssize_t n = pread(KEYHOLDER_REFERENCE_FD, out, KEYHOLDER_REFERENCE_MAX, 0);

        if (n < 0)
                return error_fail(err, -errno, "cannot read the key's URI: %s", strerror(errno));
        out[n] = '\0';
        if (key_kind_of(out, (size_t)n) == KEY_KIND_TPM_PEM)
                return 0;
        while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == ' '))
                out[--n] = '\0';
        return key_uri_check(out, NULL, err);
}

/* ---- one after the other ---- */

/*
 * A token in software is files, which a log-in writes: who logs in at that moment may find the token half written and
 * without a PIN (SoftHSM). Holders of one PIN's file take turns; for one that hangs in its module nobody waits longer.
 */
static void take_turn(void)
{
        const struct timespec pause = {.tv_nsec = TURN_LOOK_MS * 1000000};

        for (unsigned waited = 0;
             flock(KEYHOLDER_PIN_FD, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && waited < TURN_MAX_MS;
             waited += TURN_LOOK_MS)
                (void)nanosleep(&pause, NULL);
}

/* ---- the key ---- */

static int open_token(struct token *token, const struct token_request *request, struct buffer *name, struct error *err)
{
        switch (key_kind_of(request->reference, strlen(request->reference))) {
        case KEY_KIND_PKCS11:
                return pkcs11_open(token, request, name, err);
        case KEY_KIND_TPM_NEW:
                if (!request->make)
                        return error_fail(err, -EINVAL, "tpm2: names no key that exists already");
                return tpm2_open(token, request, name, err);
        case KEY_KIND_TPM_HANDLE:
        case KEY_KIND_TPM_PEM:
                if (request->make)
                        return error_fail(err, -EEXIST, "only pkcs11: and tpm2: say where to make a key");
                return tpm2_open(token, request, name, err);
        case KEY_KIND_NONE:
                break;
        }
        return error_fail(err, -EINVAL, "that is no key in a token");
}

/* One signature, checked with the point: a PIN that only counts when the key is used fails here, and so does
 * a public key that isn't this private key's. */
static int prove(struct token *token, struct error *err)
{
        uint8_t message[16], digest[DIGEST_LEN], signature[SIGNATURE_LEN];
        EVP_PKEY *public = NULL;
        int r;

        if (RAND_bytes(message, sizeof(message)) != 1 || crypto_sha256(digest, message, sizeof(message)) < 0)
                return error_fail(err, -EIO, "OpenSSL cannot make random numbers");
        r = crypto_point_import(&public, token->point);
        if (r < 0)
                return error_fail(err, -EBADMSG, "the token's key is not a point on P-256");
        r = token->sign(token, digest, signature, err);
        if (r == 0 && crypto_es256_verify(signature, public, message, sizeof(message)) < 0)
                r = error_fail(err, -EBADMSG,
                               "the token's public key does not belong to its private key of the same name");
        EVP_PKEY_free(public);
        return r;
}

static int tell_key(const struct token *token, const struct buffer *name)
{
        static uint8_t frame[KEYHOLDER_FRAME_MAX] = {KEYHOLDER_KEY};
        const size_t n = 1 + POINT_LEN + name->len;

        memcpy(frame + 1, token->point, POINT_LEN);
        memcpy(frame + 1 + POINT_LEN, name->data, name->len);
        return send(KEYHOLDER_SOCKET_FD, frame, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -errno;
}

/* Until the owner closes its end, or breaks the rules, or the token fails. */
static int serve(struct token *token)
{
        uint8_t question[1 + DIGEST_LEN + 1], answer[1 + SIGNATURE_LEN] = {KEYHOLDER_SIGNATURE};
        struct error err = {""};
        ssize_t n;

        while ((n = recv(KEYHOLDER_SOCKET_FD, question, sizeof(question), 0)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n != 1 + DIGEST_LEN || question[0] != KEYHOLDER_DIGEST)
                        return 1;
                const int r = token->sign(token, question + 1, answer + 1, &err);
                if (r < 0) {
                        tell_error(r, &err);
                        return 1;
                }
                if (send(KEYHOLDER_SOCKET_FD, answer, sizeof(answer), MSG_NOSIGNAL) < 0)
                        return 0;
        }
        return 0;
}

/* ---- start ---- */

static int become(int argc, char **argv, struct error *err)
{
        const pid_t parent = getppid();
        const char *user = argc == 4 && strncmp(argv[3], "--user=", 7) == 0 ? argv[3] + 7 : NULL;
        int r = harden_process(err);

        if (r == 0)
                r = harden_become(user, HARDEN_OWN_GROUPS, err);
        if (r < 0)
                return r;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                return error_fail(err, -ESRCH, "its parent is gone");
        if (close_range(KEYHOLDER_PIN_FD + 1, ~0U, 0) < 0 || mlock(pin, sizeof(pin)) < 0)
                return error_fail(err, -errno, "cannot lock memory for the PIN: %s", strerror(errno));
        (void)signal(SIGINT, SIG_IGN);  /* ^C on a terminal is for the parent, whose end ends this */
        (void)signal(SIGTERM, SIG_IGN); /* the same of what systemd sends to all of the unit: a drain still signs */
        (void)setenv("TSS2_LOG", "all+NONE", 0);
        return 0;
}

static int check_call(int argc, char **argv)
{
        int type = 0;
        socklen_t n = sizeof(type);

        return (argc == 3 || argc == 4) && (!strcmp(argv[1], "open") || !strcmp(argv[1], "make")) &&
               getsockopt(KEYHOLDER_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET;
}

/* The module of a token is others' code, which may want files, sockets and threads at each signature. */
static const struct confine_rules rules = {.process = "keyholder", .needs = CONFINE_FOREIGN_CODE};

int main(int argc, char **argv)
{
        static char reference[KEYHOLDER_REFERENCE_MAX + 1];
        _cleanup_(buffer_free) struct buffer name = BUFFER(KEYHOLDER_REFERENCE_MAX);
        struct token_request request = {.reference = reference};
        struct token token = {.sign = NULL};
        struct confined confined;
        struct error err = {""};
        int r;

        if (!check_call(argc, argv)) {
                fputs("postern-keyholder is started by posternd and postern, not by hand\n", stderr);
                return 2;
        }
        request.make = !strcmp(argv[1], "make");
        r = crypto_self_test(&err);
        if (r == 0)
                r = become(argc, argv, &err);
        if (r == 0)
                r = read_pin(&request.pin, &err);
        if (r == 0)
                r = read_reference(reference, &err);
        if (r == 0) {
                take_turn();
                r = open_token(&token, &request, &name, &err);
                if (r == 0)
                        r = prove(&token, &err);
                (void)flock(KEYHOLDER_PIN_FD, LOCK_UN);
        }
        if (r == 0)
                r = confine(&rules,
                            !strcmp(argv[2], "off")   ? CONFINE_OFF
                            : !strcmp(argv[2], "log") ? CONFINE_LOG
                                                      : CONFINE_ENFORCE,
                            &confined, &err);
        if (r == 0)
                r = tell_key(&token, &name);
        else
                tell_error(r, &err);
        wipe(pin, sizeof(pin));
        if (r < 0)
                _exit(r == -EACCES ? KEYHOLDER_EXIT_PIN : 1);
        /* _exit: modules leave threads and exit handlers of their own behind */
        _exit(serve(&token));
}
