/*
 * Canaries: whether a connector believes a password that can't be right.
 *
 * Each connector is asked alone, so that its answer is its own; a verdict counts only as any verdict does, signed by
 * the identity that the roster names. What a connector that does not answer is, a probe cannot say.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/cleanup.h"
#include "connector/base/text.h"
#include "queue/client/client-internal.h"

#define RANDOM_BYTES 24

static int random_password(struct secret **ret, struct error *err)
{
        uint8_t bytes[RANDOM_BYTES];
        char text[B64U_LEN(RANDOM_BYTES) + 1];
        int r;

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return error_fail(err, -EIO, "no random numbers");
        b64u_encode_to(text, bytes, sizeof(bytes));
        r = secret_new(ret, text, strlen(text));
        wipe(text, sizeof(text));
        return r < 0 ? error_fail(err, r, "no memory for the probe's password") : 0;
}

static int probe_one(struct client *c, const char *canary, const struct roster_member *connector,
                     const struct secret *password, client_probe_fn *fn, void *arg, struct error *err)
{
        const struct sign_in_params params = {.username = canary,
                                              .username_len = strlen(canary),
                                              .password = password,
                                              .client_app = "canary",
                                              .only_connector = connector->id};
        struct client_result result;
        struct client_probe probe = {.connector = connector, .result = &result};
        int r = client_sign_in(c, &params, &result, err);

        if (r < 0)
                return r;
        probe.asked = result.has_verdict && strcmp(result.connector, connector->id) == 0;
        probe.honest = !(probe.asked && (strcmp(result.verdict.verdict, "accepted") == 0 || result.verdict.password_proved));
        if (!probe.honest && client_distrust(c, key_kid(connector->key)) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        fn(arg, &probe);
        return 0;
}

int client_probe(struct client *c, const char *canary, client_probe_fn *fn, void *arg, struct error *err)
{
        const struct directory *d;
        struct secret *password = NULL;
        struct roster *roster = NULL;
        int r = client_directory(c, &d, err);

        if (r == 0)
                r = random_password(&password, err);
        /* a copy: the directory may be fetched anew between two of them */
        if (r == 0)
                r = roster_verify(&roster, d->roster->text, strlen(d->roster->text), client_pin(c), d->roster->tenant,
                                  ROSTER_ANY_TIME, 0, err);
        for (size_t i = 0; r == 0 && i < roster->n_connectors; i++)
                r = probe_one(c, canary, &roster->connectors[i], password, fn, arg, err);
        roster_free(roster);
        secret_free(password);
        return r;
}
