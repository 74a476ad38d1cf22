/*
 * Canaries: whether a connector believes a password that can't be right.
 *
 * Each connector is asked alone, so that its answer is its own, and cannot see that it is: `to` names others as well,
 * who get nothing. A verdict counts only as any verdict does, signed by the identity that the roster names. What a
 * connector that does not answer is, a probe cannot say.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "queue/client/client.h"

#define PASSWORD_MIN 12 /* of 57 characters each: 70 bits and more */
#define PASSWORD_MAX 20

/* Of the length and the characters that people and their password managers use: a patched connector would believe all
 * passwords but those that look like a probe's. */
static int random_password(struct secret **ret, struct error *err)
{
        static const char characters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
        uint8_t bytes[4 * PASSWORD_MAX], length;
        char text[PASSWORD_MAX];
        size_t n = 0;
        int r;

        if (RAND_bytes(&length, 1) != 1 || RAND_bytes(bytes, sizeof(bytes)) != 1)
                return error_fail(err, -EIO, "no random numbers");
        length = (uint8_t)(PASSWORD_MIN + length % (PASSWORD_MAX - PASSWORD_MIN + 1));
        for (size_t i = 0; i < sizeof(bytes) && n < length; i++)
                if (bytes[i] < 256 / (sizeof(characters) - 1) * (sizeof(characters) - 1))
                        text[n++] = characters[bytes[i] % (sizeof(characters) - 1)];
        r = n == length ? secret_new(ret, text, n) : -EIO;
        wipe(text, sizeof(text));
        wipe(bytes, sizeof(bytes));
        return r < 0 ? error_fail(err, r, "no password for the probe") : 0;
}

static int probe_one(struct client *c, const struct client_probe_params *p, const struct roster_member *connector,
                     client_probe_fn *fn, void *arg, struct error *err)
{
        struct sign_in_params params = {.username = p->canary,
                                        .username_len = strlen(p->canary),
                                        .client_ip = p->client_ip,
                                        .client_agent = p->client_agent,
                                        .client_app = p->client_app,
                                        .only_connector = connector->id,
                                        .disguised = true};
        struct sign_in_result result = {0};
        struct client_probe probe = {.connector = connector, .result = &result};
        struct secret *password = NULL;
        int r = random_password(&password, err);

        params.password = password;
        if (r == 0)
                r = client_sign_in(c, &params, &result, err);
        secret_free(password);
        if (r < 0)
                return r;
        probe.asked = result.has_verdict && strcmp(result.connector, connector->id) == 0;
        probe.honest =
                !(probe.asked && (strcmp(result.verdict.verdict, "accepted") == 0 || result.verdict.password_proved));
        if (!probe.honest && sealer_distrust(client_sealer(c), key_kid(connector->key)) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        fn(arg, &probe);
        return 0;
}

int client_probe(struct client *c, const struct client_probe_params *p, client_probe_fn *fn, void *arg,
                 struct error *err)
{
        const struct directory *d;
        struct roster *roster = NULL;
        int r = client_directory(c, &d, err);

        /* a copy: the directory may be fetched anew between two of them */
        if (r == 0)
                r = roster_verify_kind(&roster, d->roster->sandbox, d->roster->text, strlen(d->roster->text),
                                       sealer_view(client_sealer(c)).pin, d->roster->tenant, ROSTER_ANY_TIME, 0, err);
        for (size_t i = 0; r == 0 && i < roster->n_connectors; i++)
                r = probe_one(c, p, &roster->connectors[i], fn, arg, err);
        roster_free(roster);
        return r;
}
