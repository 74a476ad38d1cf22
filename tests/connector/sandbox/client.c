/*
 * A client of the sandbox by the C library: signs in as each account that the one table of reasons has, with the right
 * password and a wrong one, and changes passwords. Says what came otherwise than it must.
 *
 * usage: sandbox-client SANDBOX.JSON [ordinary]
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/client/client.h"
#include "validate/types/outcome.h"

static struct client *client;
static const char *right;
static unsigned problems, asked;

static const char *text_of(const json_t *json, const char *name)
{
        const char *text = json_string_value(json_object_get(json, name));

        if (!text) {
                fprintf(stderr, "sandbox.json has no %s\n", name);
                exit(2);
        }
        return text;
}

static void ask(struct sign_in_result *ret_result, const char *user, const char *password, const char *new_password)
{
        struct sign_in_params params = {
                .username = user, .username_len = strlen(user), .now = time(NULL), .change_password = new_password};
        struct secret *old = NULL, *new = NULL;
        struct error err = {""};

        *ret_result = (struct sign_in_result){0};
        asked++;
        if (secret_new(&old, password, strlen(password)) < 0 ||
            (new_password && secret_new(&new, new_password, strlen(new_password)) < 0))
                exit(2);
        params.password = old;
        params.new_password = new;
        if (client_sign_in(client, &params, ret_result, &err) < 0) {
                fprintf(stderr, "%s: %s\n", user, err.text);
                exit(2);
        }
        secret_free(old);
        secret_free(new);
}

/* reason NULL: any. */
static void expect(const char *user, const char *password, const char *new_password, const char *verdict,
                   const char *reason)
{
        struct sign_in_result r;

        ask(&r, user, password, new_password);
        const char *got = r.has_verdict ? r.verdict.reason : r.problem;
        const bool accepted = r.has_verdict && strcmp(r.verdict.verdict, "accepted") == 0;

        if (r.has_verdict && strcmp(r.verdict.verdict, verdict) == 0 && (!reason || strcmp(got, reason) == 0) &&
            (!accepted || (strcmp(r.verdict.user_domain, "corp.sandbox.invalid") == 0 && r.verdict.password_proved)))
                return;
        problems++;
        printf("%s with %s%s%s: %s (%s), not %s\n", user, password, new_password ? ", new " : "",
               new_password ? new_password : "", got, r.detail, reason ? reason : verdict);
}

/* Of reasons that only a change of the password can have, a sign-in must change it. */
static bool is_of_change(const char *id)
{
        return strncmp(id, "new_password_", 13) == 0 || strncmp(id, "change", 6) == 0 ||
               strcmp(id, "password_changed") == 0 || strcmp(id, "bad_new_password") == 0 ||
               strcmp(id, "password_too_young") == 0;
}

static void each_reason(void)
{
        for (unsigned i = 0; i < REASON_MAX; i++) {
                const struct reason_info *info = reason_info((enum reason)i);
                const bool of_change = is_of_change(info->id);
                char user[128];

                snprintf(user, sizeof user, "%s@sandbox.invalid", info->id);
                for (char *c = user; *c; c++)
                        *c = *c == '_' ? '-' : *c;
                if (of_change)
                        expect(user, right, NULL, "refused", "must_change_password");
                else
                        expect(user, right, NULL, verdict_text(info->verdict), info->id);
                if (info->verdict == VERDICT_ACCEPTED || of_change)
                        expect(user, "wrong", NULL, "refused", "wrong_password");
                if (of_change)
                        expect(user, right, "Another-1", verdict_text(info->verdict), info->id);
                expect("ok+between@sandbox.invalid", right, NULL, "accepted",
                       "ok"); /* nothing that came before matters */
        }
}

static void names_and_changes(void)
{
        expect("locked@sandbox.invalid", "whatever", NULL, "refused", "locked_out");
        expect("LOCKED+7@Sandbox.Invalid", "whatever", NULL, "refused", "locked_out");
        expect("SANDBOX\\ok", right, NULL, "accepted", "ok");
        expect("ok", right, NULL, "accepted", "ok");
        expect("ok@corp.sandbox.invalid", right, NULL, "accepted", "ok");
        expect("dc@sandbox.invalid", right, NULL, "refused", "unknown_user");
        expect("nobody@sandbox.invalid", right, NULL, "refused", "unknown_user");
        expect("disabled@sandbox.invalid", "wrong", NULL, "refused", "wrong_password");
        expect("must-change+1@sandbox.invalid", "wrong", "Another-1", "refused", "wrong_password");
        expect("must-change+1@sandbox.invalid", right, "Another-1", "accepted", "password_changed");
        expect("must-change+1@sandbox.invalid", right, NULL, "refused", "wrong_password");
        expect("must-change+1@sandbox.invalid", "Another-1", NULL, "accepted", "ok");
        expect("must-change+2@sandbox.invalid", right, NULL, "refused", "must_change_password");
        expect("slow@sandbox.invalid", right, NULL, "accepted", "ok");
        expect("slow@sandbox.invalid", "wrong", NULL, "refused", "wrong_password");
}

int main(int argc, char **argv)
{
        const bool ordinary = argc == 3 && strcmp(argv[2], "ordinary") == 0;
        json_t *json = argc >= 2 ? json_load_file(argv[1], 0, NULL) : NULL;
        struct buffer secret = BUFFER(256);
        struct key *key = NULL;
        struct error err = {""};

        if (!json || secret_arena_init(8, &err) < 0 || secure_heap_init(1 << 17, &err) < 0 ||
            file_read(&secret, text_of(json, "secret_file"), &err) < 0 ||
            key_read(&key, text_of(json, "key_file"), NULL, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 2;
        }
        secret.data[strcspn(secret.data, "\n")] = '\0';
        right = text_of(json, "password");
        const struct client_config config = {.sandbox = !ordinary,
                                             .relay = text_of(json, "relay"),
                                             .tenant = text_of(json, "tenant"),
                                             .pin = text_of(json, "pin"),
                                             .bearer = secret.data,
                                             .ca_file = text_of(json, "ca_file"),
                                             .service_id = text_of(json, "id"),
                                             .service_key = key};
        if (client_new(&client, &config, &err) < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 2;
        }
        if (ordinary) {
                struct sign_in_result r;

                ask(&r, "ok@sandbox.invalid", right, NULL);
                printf("%s: %s\n", r.has_verdict ? "a verdict" : r.problem, r.detail);
        } else {
                each_reason();
                names_and_changes();
                printf("%u sign-ins, %u problems\n", asked, problems);
        }
        client_free(client);
        key_free(key);
        buffer_free(&secret);
        json_decref(json);
        return problems ? 1 : 0;
}
