/*
 * Keys in hardware, from the outside: the process postern-keyholder has loaded the token's module and opened
 * the key; whoever holds the other end of its socket asks it for signatures.
 *
 * So no code of a token's vendor runs in a process that sees passwords, and the owner of a key needs to open
 * and start nothing: it sends 32 bytes on a socket and gets 64 back.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "certs/keys/key.h"

#define KEYHOLDER_SOCKET_FD 3    /* SOCK_SEQPACKET, to the owner */
#define KEYHOLDER_REFERENCE_FD 4 /* the URI or the TSS2 PEM text */
#define KEYHOLDER_PIN_FD 5       /* the PIN alone, or not open */
#define KEYHOLDER_REFERENCE_MAX 8192

/* Exit code after a PIN that the token refused: starting again with the same would lock the token. */
#define KEYHOLDER_EXIT_PIN 77

/* A frame: its first byte says what follows. */
#define KEYHOLDER_KEY 'K'       /* holder: point (64 bytes), then what names the key from now on */
#define KEYHOLDER_SIGNATURE 'S' /* holder: r || s */
#define KEYHOLDER_ERROR 'E'     /* holder: int32 errno, text; the holder ends */
#define KEYHOLDER_DIGEST 'D'    /* owner: SHA-256 */
#define KEYHOLDER_FRAME_MAX (1 + 64 + KEYHOLDER_REFERENCE_MAX)

struct keyholder_start {
        const char *program;      /* path of postern-keyholder */
        bool make;                /* make the key instead of opening it */
        const char *user;         /* becomes this user (as root), or NULL */
        const char *confinement;  /* "enforce" (also NULL), "log" or "off": of the module, once the key is open */
        int reference_fd, pin_fd; /* stay the caller's; pin_fd may be -1 */
        char *const *environment; /* NULL: the caller's */
};
/* Starts a holder and gives the owner's end of its socket. It ends when that is closed, or its parent ends.
 */
int keyholder_start(const struct keyholder_start *start, pid_t *ret_pid, int *ret_fd, struct error *err);

/*
 * Waits for the holder to have opened the key and makes a private key of it; takes fd over, also when it
 * fails. Every signature waits for the holder, at most 10 s. reference (may be NULL) gets the text that names
 * the key. The holder's own errors: -EACCES PIN, -ENODEV no such token or TPM, -ENOENT no such key or a
 * package is missing, -EEXIST, -EBADMSG wrong kind of key; each with its remedy in err. -EPIPE: it died.
 */
int key_from_holder(struct key **ret_key, int fd, struct buffer *reference, struct error *err);
/* The code and, in err, the words of a KEYHOLDER_ERROR frame of n bytes, which never hold a PIN. */
int keyholder_error(const uint8_t *frame, size_t n, struct error *err);
/* A descriptor that becomes readable, and signing fails, when the holder has ended; -1 for a key in memory.
 * Borrowed. */
int key_holder_fd(const struct key *key);
