/*
 * The folder of a sign-in service, as `postern service init` makes it: what the gateway's processes need of
 * service.json.
 */
#pragma once

#include "base/core/error.h"
#include "base/core/text.h"
#include "certs/jose/jose.h"

#define SERVICE_DISTRUSTED_MAX 64

/* Names of files, in FRAME_FILE, too. */
#define SERVICE_META "service.json"
#define SERVICE_KEY "service.key"
#define GATEWAY_FILE_SECRET "service.secret"
#define GATEWAY_FILE_CA "relay-ca"
#define GATEWAY_FILE_ROSTER "roster"
#define GATEWAY_FILE_CERTIFICATE "certificate"
#define GATEWAY_FILE_TLS_KEY "tls-key"
#define GATEWAY_FILE_CLIENT_CA "client-ca"
#define GATEWAY_FILE_APP "application "      /* and its name: its secret */
#define GATEWAY_FILE_EVENTS_KEY "events-key" /* by which names become pseudonyms */
#define GATEWAY_EVENTS_KEY_LEN 32
#define GATEWAY_FILE_LISTEN "listen " /* and its number in the configuration: a socket that listens */

struct service {
        char id[ID_MAX + 1];
        char relay[1040], tenant[65], pin[KID_LEN + 1], ca_file[257],
                secret_file[257]; /* "": not remembered there.
                                   relay: up to 4 URLs, blanks between */
        char roster_source[257];
        uint64_t roster_seq;
        char roster_hash[KID_LEN + 1];
        size_t n_distrusted;
        char distrusted[SERVICE_DISTRUSTED_MAX][KID_LEN + 1];
};

/* Reads service.json's text from fd (at its beginning; stays the caller's) and demands what a gateway needs. -EBADMSG,
 * -EINVAL with what is missing and the remedy. */
int gateway_service_read(struct service *ret_service, int fd, struct error *err);
