/*
 * Connecting to NATS by libnats.
 *
 * Owns connection and login. Invariants: TLS, verified, to the configured servers only, whatever others those tell of;
 * what is published while there is no connection fails instead of being kept; the login is copied into libnats where
 * that has no other way (a password), and is otherwise only ever used to sign, from libnats' thread.
 */
#include "queue/relay/cluster.h"

#include <errno.h>
#include <nats/nats.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/secret.h"

#define CONNECT_MS 2000
#define RECONNECT_MS 250
#define PING_MS 5000 /* twice unanswered: the server is gone */
#define NO_BUFFER 1  /* byte; 0 is libnats' 8 MB */
#define DROPPED_MAX 16
#define SEED_LEN 58
#define NKEY_LEN 56
#define SEED_BYTES 36 /* two of prefix, the key, its checksum */
#define USER_PREFIX (20 << 3)

struct cluster {
        natsConnection *nc;
        natsOptions *options;
        natsSubscription *dropped[DROPPED_MAX]; /* of which a message may be read just now */
        size_t n_dropped;
        char *jwt, *seed, *user, *password; /* NULL where the login has none */
};

/* ---- the login ---- */

/* base32 without padding; out has room for n * 8 / 5 + 2. */
static void base32_encode(char *out, const uint8_t *bytes, size_t n)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        uint32_t held = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < n; i++) {
                held = held << 8 | bytes[i];
                for (bits += 8; bits >= 5; bits -= 5)
                        *out++ = digits[held >> (bits - 5) & 31];
        }
        if (bits)
                *out++ = digits[held << (5 - bits) & 31];
        *out = '\0';
}

static bool base32_decode(uint8_t *out, size_t n, const char *text)
{
        uint32_t held = 0;
        unsigned bits = 0;

        for (size_t at = 0; at < n; text++) {
                const int digit = *text >= 'A' && *text <= 'Z'   ? *text - 'A'
                                  : *text >= '2' && *text <= '7' ? *text - '2' + 26
                                                                 : -1;

                if (digit < 0)
                        return false;
                held = held << 5 | (uint32_t)digit;
                bits += 5;
                if (bits >= 8) {
                        bits -= 8;
                        out[at++] = (uint8_t)(held >> bits);
                }
        }
        return true;
}

/* CRC-16/XMODEM, as nkeys have it. */
static uint16_t checksum(const uint8_t *bytes, size_t n)
{
        uint16_t crc = 0;

        for (size_t i = 0; i < n; i++) {
                crc ^= (uint16_t)(bytes[i] << 8);
                for (unsigned bit = 0; bit < 8; bit++)
                        crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
        }
        return crc;
}

/* The public key of a user's seed, as NATS writes it; false: it is no seed. */
static bool public_of(const char *seed, char out[NKEY_LEN + 1])
{
        uint8_t raw[SEED_BYTES], key[1 + 32 + 2] = {USER_PREFIX};
        size_t n = 32;
        bool good = strlen(seed) == SEED_LEN && base32_decode(raw, sizeof(raw), seed) &&
                    checksum(raw, 34) == (raw[34] | raw[35] << 8) &&
                    (uint8_t)(raw[0] << 5 | raw[1] >> 3) == USER_PREFIX;
        EVP_PKEY *pkey = good ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw + 2, 32) : NULL;

        good = pkey && EVP_PKEY_get_raw_public_key(pkey, key + 1, &n) == 1;
        EVP_PKEY_free(pkey);
        wipe(raw, sizeof(raw));
        if (!good)
                return false;
        const uint16_t crc = checksum(key, 33);
        key[33] = (uint8_t)crc;
        key[34] = (uint8_t)(crc >> 8);
        base32_encode(out, key, sizeof(key));
        return true;
}

/* The first n lines with something in them; false: there are more or fewer. Copies, which cluster_free wipes. */
static bool take_lines(const char *text, char **lines, size_t n)
{
        size_t found = 0;

        while (*text) {
                const size_t len = strcspn(text, "\r\n");

                if (len && found == n)
                        return false;
                if (len)
                        lines[found++] = strndup(text, len);
                text += len + (text[len] != '\0');
        }
        return found == n && lines[n - 1];
}

/* The one line behind the one that holds mark. */
static char *line_behind(const char *text, const char *mark)
{
        const char *at = strstr(text, mark);

        at = at ? at + strcspn(at, "\n") : "";
        at += strspn(at, "\r\n");
        return *at ? strndup(at, strcspn(at, "\r\n")) : NULL;
}

static int read_login(struct cluster *c, const struct buffer *text, struct error *err)
{
        char *lines[2] = {NULL, NULL};
        const char *login = text->len ? text->data : "";

        if (strstr(login, "BEGIN NATS USER JWT")) {
                c->jwt = line_behind(login, "BEGIN NATS USER JWT");
                c->seed = line_behind(login, "BEGIN USER NKEY SEED");
                if (c->jwt && c->seed)
                        return 0;
        } else if (strncmp(login, "SU", 2) == 0 && strcspn(login, "\r\n") == SEED_LEN) {
                if (take_lines(login, &c->seed, 1))
                        return 0;
        } else {
                const bool two = take_lines(login, lines, 2);

                c->user = lines[0];
                c->password = lines[1];
                if (two)
                        return 0;
        }
        return error_fail(err, -EINVAL,
                          "the login of section [nats] holds neither two lines, user and password, nor the seed of an "
                          "nkey, nor credentials of nsc");
}

static natsStatus give_jwt(char **ret_jwt, char **ret_why, void *arg)
{
        const struct cluster *c = arg;

        (void)ret_why;
        *ret_jwt = strdup(c->jwt);
        return *ret_jwt ? NATS_OK : NATS_NO_MEMORY;
}

static natsStatus give_signature(char **ret_why, unsigned char **ret_signature, int *ret_n, const char *nonce,
                                 void *arg)
{
        const struct cluster *c = arg;

        (void)ret_why;
        return nats_Sign(c->seed, nonce, ret_signature, ret_n);
}

static natsStatus set_login(struct cluster *c)
{
        char nkey[NKEY_LEN + 1];

        if (c->jwt)
                return natsOptions_SetUserCredentialsCallbacks(c->options, give_jwt, c, give_signature, c);
        if (!c->seed)
                return natsOptions_SetUserInfo(c->options, c->user, c->password);
        if (!public_of(c->seed, nkey))
                return NATS_INVALID_ARG;
        return natsOptions_SetNKey(c->options, nkey, give_signature, c);
}

/* ---- the connection ---- */

/* What goes wrong on a connection is known from the calls that fail; libnats of its own accord writes it to stderr. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus s, void *arg)
{
        (void)connection;
        (void)subscription;
        (void)s;
        (void)arg;
}

static natsStatus set_options(struct cluster *c, const struct cluster_place *place, const struct cluster_files *files,
                              bool must)
{
        const struct buffer *texts = files->texts;
        const char *servers[RELAY_SERVERS_MAX];
        char name[96];

        for (size_t i = 0; i < place->n_servers; i++)
                servers[i] = place->servers[i];
        (void)snprintf(name, sizeof(name), "postern-relay %s %s", place->role == CLUSTER_STORE ? "store" : "dispatch",
                       place->node);
        natsStatus s = natsOptions_Create(&c->options);
        natsOptions *o = c->options;
        s = s ? s : natsOptions_SetServers(o, servers, (int)place->n_servers);
        s = s ? s : natsOptions_SetIgnoreDiscoveredServers(o, true);
        s = s ? s : natsOptions_SetName(o, name);
        s = s ? s : natsOptions_SetTimeout(o, CONNECT_MS);
        s = s ? s : natsOptions_SetPingInterval(o, PING_MS);
        s = s ? s : natsOptions_SetMaxPingsOut(o, 2);
        s = s ? s : natsOptions_SetMaxReconnect(o, -1);
        s = s ? s : natsOptions_SetReconnectWait(o, RECONNECT_MS);
        s = s ? s : natsOptions_SetReconnectJitter(o, RECONNECT_MS, RECONNECT_MS);
        s = s ? s : natsOptions_SetReconnectBufSize(o, NO_BUFFER);
        s = s ? s : natsOptions_SetFailRequestsOnDisconnect(o, true);
        s = s ? s : natsOptions_SetSendAsap(o, place->role == CLUSTER_DISPATCH); /* a sign-in waits for each message */
        s = s ? s : natsOptions_SetCustomInboxPrefix(o, cluster_inbox(place->role));
        s = s ? s : natsOptions_SetRetryOnFailedConnect(o, !must, NULL, NULL);
        s = s ? s : natsOptions_SetErrorHandler(o, on_error, NULL);
        s = s ? s : natsOptions_SetSecure(o, true);
        s = s ? s : natsOptions_SetCATrustedCertificates(o, texts[CLUSTER_CA].len ? texts[CLUSTER_CA].data : "");
        if (s == NATS_OK && texts[CLUSTER_CERTIFICATE].len && texts[CLUSTER_KEY].len)
                s = natsOptions_SetCertificatesChain(o, texts[CLUSTER_CERTIFICATE].data, texts[CLUSTER_KEY].data);
        return s;
}

/* What libnats says of the last failure in this thread; its text names servers, and no login. */
static int connect_failed(const struct cluster_place *place, natsStatus s, struct error *err)
{
        natsStatus last = s;
        const char *why = nats_GetLastError(&last);
        const char *who = place->role == CLUSTER_STORE ? "store_login" : "dispatch_login";

        if (!why || !*why)
                why = natsStatus_GetText(s);
        if (s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED)
                return error_fail(err, -EACCES, "NATS refuses the user of %s (%s)", who, why);
        if (s == NATS_SSL_ERROR || s == NATS_SECURE_CONNECTION_REQUIRED || s == NATS_SECURE_CONNECTION_WANTED)
                return error_fail(err, -EBADMSG,
                                  "TLS with a NATS server fails (%s): its certificate must name the host of `server` "
                                  "and come from `ca`, and the server must offer TLS",
                                  why);
        return error_fail(err, -ENOTCONN, "none of the %u NATS servers is reached, %s first (%s)", place->n_servers,
                          place->servers[0], why);
}

int cluster_new(struct cluster **ret_cluster, const struct cluster_place *place, const struct cluster_files *files,
                bool must, struct error *err)
{
        struct cluster *c = calloc(1, sizeof(*c));

        if (!c)
                return error_fail(err, -ENOMEM, "no memory");
        int r = read_login(c, &files->texts[CLUSTER_LOGIN], err);
        if (r < 0) {
                cluster_free(c);
                return r;
        }
        natsStatus s = set_options(c, place, files, must);
        if (s != NATS_OK) {
                r = error_fail(err, -EBADMSG, "ca, certificate or key of section [nats] cannot be used (%s)",
                               natsStatus_GetText(s));
        } else if (set_login(c) != NATS_OK) {
                r = error_fail(err, -EINVAL, "the seed in the login of section [nats] is no seed of a user's nkey");
        } else {
                s = natsConnection_Connect(&c->nc, c->options);
                r = s == NATS_OK || (s == NATS_NOT_YET_CONNECTED && !must) ? 0 : connect_failed(place, s, err);
        }
        if (r < 0)
                cluster_free(c);
        else
                *ret_cluster = c;
        return r;
}

static void login_free(char *text)
{
        if (text)
                wipe(text, strlen(text));
        free(text);
}

static void free_dropped(struct cluster *c)
{
        while (c->n_dropped)
                natsSubscription_Destroy(c->dropped[--c->n_dropped]);
}

void cluster_drop(struct cluster *cluster, natsSubscription **subscription)
{
        if (!*subscription)
                return;
        (void)natsSubscription_Unsubscribe(*subscription);
        cluster->dropped[cluster->n_dropped++] = *subscription;
        *subscription = NULL;
        if (cluster->n_dropped < DROPPED_MAX)
                return;
        /* an answer is read behind all that came before; else the end of the connection is that of its thread */
        if (natsConnection_FlushTimeout(cluster->nc, CONNECT_MS) != NATS_OK)
                natsConnection_Close(cluster->nc);
        free_dropped(cluster);
}

struct cluster *cluster_free(struct cluster *cluster)
{
        if (!cluster)
                return NULL;
        if (cluster->nc)
                natsConnection_Close(cluster->nc); /* its threads sign and read no more after this */
        free_dropped(cluster);
        natsConnection_Destroy(cluster->nc);
        natsOptions_Destroy(cluster->options);
        login_free(cluster->jwt);
        login_free(cluster->seed);
        login_free(cluster->user);
        login_free(cluster->password);
        free(cluster);
        return NULL;
}

struct __natsConnection *cluster_connection(struct cluster *cluster)
{
        return cluster->nc;
}

uint64_t cluster_reconnects(struct cluster *cluster)
{
        natsStatistics *stats = NULL;
        uint64_t unused[4], n = 0;

        natsStatus s = natsStatistics_Create(&stats);
        s = s ? s : natsConnection_GetStats(cluster->nc, stats);
        if (s == NATS_OK)
                (void)natsStatistics_GetCounts(stats, &unused[0], &unused[1], &unused[2], &unused[3], &n);
        natsStatistics_Destroy(stats);
        return n;
}

bool cluster_closed(struct cluster *cluster)
{
        return natsConnection_IsClosed(cluster->nc);
}

bool cluster_connected(struct cluster *cluster)
{
        return natsConnection_Status(cluster->nc) == NATS_CONN_STATUS_CONNECTED;
}
