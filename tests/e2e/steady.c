/*
 * A sign-in service that stays: one client of the client library for many sign-ins, one at a time.
 *
 * steady RELAY TENANT PIN SECRET-FILE CA-FILE ID KEY-FILE; standard input: lines "name<TAB>password"; for each a line
 * "verdict or problem<TAB>may_have_counted or started<TAB>connector's name<TAB>id<TAB>reason" on standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/client/client.h"

static struct error err;

static void check(int r)
{
        if (r >= 0)
                return;
        (void)fprintf(stderr, "steady: %s\n", err.text);
        exit(1);
}

static void sign_in(struct client *c, char *line)
{
        char *password = line, *name = strsep(&password, "\t");
        struct sign_in_result r;
        struct secret *secret;

        password[strcspn(password, "\n")] = '\0';
        check(secret_new(&secret, password, strlen(password)));
        check(client_sign_in(
                c, &(struct sign_in_params){.username = name, .username_len = strlen(name), .password = secret}, &r,
                &err));
        secret_free(secret);
        (void)printf("%s\t%s\t%s\t%s\t%s\n", r.has_verdict ? r.verdict.verdict : r.problem,
                     r.has_verdict ? r.verdict.may_have_counted : r.started, r.connector_name, r.id,
                     r.has_verdict ? r.verdict.reason : "");
        (void)fflush(stdout);
}

int main(int argc, char **argv)
{
        _cleanup_(buffer_free) struct buffer bearer = BUFFER(256);
        struct key *key = NULL;
        struct client *client = NULL;
        char *line = NULL;
        size_t cap = 0;

        if (argc != 8)
                return 2;
        check(secret_arena_init(4, &err));
        check(file_read(&bearer, argv[4], &err));
        bearer.data[strcspn(bearer.data, "\n")] = '\0';
        check(key_read(&key, argv[7], NULL, &err));
        check(client_new(&client,
                         &(struct client_config){.relay = argv[1],
                                                 .tenant = argv[2],
                                                 .pin = argv[3],
                                                 .bearer = bearer.data,
                                                 .ca_file = argv[5],
                                                 .service_id = argv[6],
                                                 .service_key = key},
                         &err));
        while (getline(&line, &cap, stdin) > 0)
                sign_in(client, line);
        free(line);
        client_free(client);
        key_free(key);
        return 0;
}
