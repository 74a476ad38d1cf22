/*
 * `postern enroll`: makes this host's keys, gets the transport certificate with a one-time token, and says
 * what the tenant's admin must approve. `--renew` gets a new certificate with the one that is still valid.
 *
 * Invariant: nothing is written to the state folder until the relay has issued the certificate, but for
 * --renew, which replaces key and certificate one after the other (the pair is checked when it is used).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "certs/est.h"
#include "certs/roster.h"
#include "connector/base/text.h"
#include "connector/cli/cli.h"
#include "connector/cli/folder.h"
#include "connector/cli/prompt.h"
#include "connector/messages.h"

#define STATE_DIR "/var/lib/postern"
#define TOKEN_RANDOM 43

static const char help[] = "Usage: postern enroll --relay URL --tenant T --token-file FILE [OPTIONS]\n"
                           "       postern enroll --renew [OPTIONS]\n"
                           "\n"
                           "Makes this connector's keys and gets its transport certificate from the relay,\n"
                           "with a token made by `postern-relay token T NAME`. It then prints the\n"
                           "fingerprint that the tenant's admin approves: postern tenant approve.\n"
                           "\n"
                           "  --relay URL         https://relay.example[:port]\n"
                           "  --tenant T          the tenant's name at the relay\n"
                           "  --token-file FILE   the token, one line (- reads standard input)\n"
                           "  --name NAME         the name the token was made for (this host's name)\n"
                           "  --ca-file FILE      the CA of the relay's HTTPS (else the system's)\n"
                           "  --state-dir DIR     where keys are kept (/var/lib/postern)\n"
                           "  --renew             renew the certificate; the identity stays\n"
                           "  --json              machine-readable output\n";

struct options {
        const char *relay, *tenant, *token_file, *name, *ca_file, *state_dir;
        bool renew, json;
};

static const struct option longopts[] = {
        {"relay", required_argument, NULL, 'r'},
        {"tenant", required_argument, NULL, 't'},
        {"token-file", required_argument, NULL, 'f'},
        {"name", required_argument, NULL, 'n'},
        {"ca-file", required_argument, NULL, 'c'},
        {"state-dir", required_argument, NULL, 'd'},
        {"renew", no_argument, NULL, 'R'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

static int parse(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt_long(argc, argv, "h", longopts, NULL)) != -1) {
                if (c == 'r')
                        o->relay = optarg;
                else if (c == 't')
                        o->tenant = optarg;
                else if (c == 'f')
                        o->token_file = optarg;
                else if (c == 'n')
                        o->name = optarg;
                else if (c == 'c')
                        o->ca_file = optarg;
                else if (c == 'd')
                        o->state_dir = optarg;
                else if (c == 'R')
                        o->renew = true;
                else if (c == 'j')
                        o->json = true;
                else if (c == 'h')
                        return fputs(help, stdout), 0;
                else
                        return cli_usage("enroll", NULL);
        }
        if (optind < argc)
                return cli_usage("enroll", "unexpected word %s", argv[optind]);
        if (!o->renew && (!o->relay || !o->tenant || !o->token_file))
                return cli_usage("enroll", "%s is missing",
                                 !o->relay    ? "--relay"
                                 : !o->tenant ? "--tenant"
                                              : "--token-file");
        return -1;
}

/* What is made before anything is written. */
struct enrolment {
        char id[65];
        char pin[KID_LEN + 1];
        struct key *identity, *transport;
        struct est_answer answer;
};

static void enrolment_clear(struct enrolment *e)
{
        key_free(e->identity);
        key_free(e->transport);
        est_answer_clear(&e->answer);
}

/* Splits "<b64u 32 random>.<pin>" and checks both halves. */
static int check_token(const struct secret *token, char pin[KID_LEN + 1], struct error *err)
{
        const char *text = secret_text(token);
        uint8_t hash[32];

        if (secret_len(token) != TOKEN_RANDOM + 1 + KID_LEN || text[TOKEN_RANDOM] != '.' ||
            b64u_decode_exact(hash, sizeof(hash), text + TOKEN_RANDOM + 1, KID_LEN) < 0)
                return error_fail(
                        err, -EINVAL,
                        "the token is malformed: it is one line, as `postern-relay token` printed it");
        memcpy(pin, text + TOKEN_RANDOM + 1, KID_LEN + 1);
        return 0;
}

static int read_token(const struct options *o, struct secret **ret_token, struct error *err)
{
        int r = !strcmp(o->token_file, "-") ? prompt_secret("Token: ", ret_token, err)
                                            : prompt_secret_file(o->token_file, ret_token, err);

        return r > 0 ? error_fail(err, -EINVAL, "the token is empty") : r;
}

static int issue(const struct options *o, const char *name, struct enrolment *e, struct error *err)
{
        _cleanup_(https_freep) struct https *https = NULL;
        struct https_config config = {.ca_file = o->ca_file};
        struct secret *token = NULL;
        int r = read_token(o, &token, err);

        if (r == 0)
                r = check_token(token, e->pin, err);
        if (r == 0 && (r = id_generate(e->id)) < 0)
                error_fail(err, r, "no random numbers");
        if (r == 0)
                r = key_generate(&e->identity, err);
        if (r == 0)
                r = key_generate(&e->transport, err);
        if (r == 0)
                r = https_new(&https, &config, err);
        if (r == 0) {
                struct est_target target = {o->relay, o->tenant, e->id};
                r = est_enroll(https, &target, name, secret_text(token), e->transport, &e->answer, err);
        }
        secret_free(token);
        if (r == EST_PENDING)
                r = error_fail(err, -EAGAIN,
                               "the relay wants its operator to confirm first: try again in %u s",
                               e->answer.retry_after);
        return r;
}

static int write_key(const char *dir, const char *file, const struct key *key, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER_SECRET(16384);
        char path[FOLDER_PATH_MAX];
        int r = key_to_pem(key, NULL, &pem, err);

        folder_path(path, dir, file);
        return r < 0 ? r : file_write_atomic(path, pem.data, pem.len, 0600, err);
}

static int write_file(const char *dir, const char *file, const void *bytes, size_t n, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, dir, file);
        return file_write_atomic(path, bytes, n, 0644, err);
}

static int copy_ca(const struct options *o, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(256 * 1024);
        int r;

        if (!o->ca_file)
                return 0;
        r = file_read(&pem, o->ca_file, err);
        return r < 0 ? r : write_file(o->state_dir, FILE_RELAY_CA, pem.data, pem.len, err);
}

/* enrolment.json comes last: posternd takes the folder for enrolled only with it. */
static int store(const struct options *o, const char *name, const struct enrolment *e, struct error *err)
{
        json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", 1, "relay", o->relay, "tenant",
                                 o->tenant, "id", e->id, "name", name, "pin", e->pin);
        _cleanup_(freep) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
        int r;

        json_decref(json);
        if (!text)
                return error_fail(err, -ENOMEM, "out of memory");
        r = folder_make(o->state_dir, err);
        if (r == 0)
                r = write_key(o->state_dir, FILE_IDENTITY, e->identity, err);
        if (r == 0)
                r = write_key(o->state_dir, FILE_TRANSPORT_KEY, e->transport, err);
        if (r == 0)
                r = write_file(o->state_dir, FILE_TRANSPORT_CERT, e->answer.chain.data, e->answer.chain.len,
                               err);
        if (r == 0)
                r = copy_ca(o, err);
        return r < 0 ? r : write_file(o->state_dir, FILE_ENROLMENT, text, strlen(text), err);
}

static void print_enrolled(const struct options *o, const char *name, const struct enrolment *e)
{
        if (o->json) {
                printf("{\"id\":\"%s\",\"name\":\"%s\",\"tenant\":\"%s\",\"fingerprint\":\"%s\",\"state_"
                       "dir\":\"%s\"}\n",
                       e->id, name, o->tenant, key_kid(e->identity), o->state_dir);
                return;
        }
        printf("Connector %s is enrolled for tenant %s (id %s).\n"
               "It gets work once the tenant's admin has approved its fingerprint:\n\n"
               "  postern tenant approve %s %s\n\n"
               "Then start posternd; `postern status` shows how it is.\n",
               name, o->tenant, e->id, name, key_kid(e->identity));
}

static int enrolled_already(const struct options *o)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, o->state_dir, FILE_ENROLMENT);
        return access(path, F_OK) == 0;
}

static int enroll(const struct options *o)
{
        _cleanup_(enrolment_clear) struct enrolment e = {.answer = {0}};
        char host[NAME_MAX_LEN + 1] = "";
        const char *name = o->name;
        struct error err = {""};
        int r;

        if (!name && gethostname(host, sizeof(host) - 1) == 0)
                name = host;
        if (!name || !name[0])
                return cli_usage("enroll", "--name is missing and the host has no name");
        if (enrolled_already(o))
                return cli_fail("%s is enrolled already. Renew its certificate with --renew; to enrol anew, "
                                "stop posternd, remove the files "
                                "in %s, and have the old connector taken out with `postern tenant remove`.",
                                o->state_dir, o->state_dir);
        r = issue(o, name, &e, &err);
        if (r == 0)
                r = store(o, name, &e, &err);
        if (r < 0)
                return cli_fail("%s", err.text[0] ? err.text : strerror(-r));
        print_enrolled(o, name, &e);
        return 0;
}

/* What the stored enrolment says; strings are borrowed from *ret_json. */
static int read_stored(const struct options *o, json_t **ret_json, struct est_target *target,
                       struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(16384);
        char path[FOLDER_PATH_MAX];
        int r;

        folder_path(path, o->state_dir, FILE_ENROLMENT);
        r = file_read(&text, path, err);
        if (r < 0)
                return error_prefix(err, r, "this host is not enrolled");
        r = jose_json_object(ret_json, text.data, text.len, path, err);
        if (r == 0 && (r = jose_json_str(*ret_json, path, "relay", 1, 512, &target->base, err)) == 0 &&
            (r = jose_json_str(*ret_json, path, "tenant", 1, TENANT_MAX, &target->tenant, err)) == 0)
                r = jose_json_str(*ret_json, path, "id", 16, 64, &target->id, err);
        return r;
}

static int reissue(const struct options *o, const struct est_target *target, struct key *fresh,
                   struct est_answer *answer, struct error *err)
{
        char ca[FOLDER_PATH_MAX], cert[FOLDER_PATH_MAX], key[FOLDER_PATH_MAX];
        struct https_config config = {.cert_file = cert, .key_file = key};
        _cleanup_(https_freep) struct https *https = NULL;
        int r;

        folder_path(ca, o->state_dir, FILE_RELAY_CA);
        folder_path(cert, o->state_dir, FILE_TRANSPORT_CERT);
        folder_path(key, o->state_dir, FILE_TRANSPORT_KEY);
        config.ca_file = o->ca_file ? o->ca_file : access(ca, R_OK) == 0 ? ca : NULL;
        r = https_new(&https, &config, err);
        return r < 0 ? r : est_reenroll(https, target, fresh, answer, err);
}

static int renew(const struct options *o)
{
        struct est_target target = {0};
        struct est_answer answer = {0};
        struct key *fresh = NULL;
        json_t *json = NULL;
        struct error err = {""};
        int r = read_stored(o, &json, &target, &err);

        if (r == 0)
                r = key_generate(&fresh, &err);
        if (r == 0)
                r = reissue(o, &target, fresh, &answer, &err);
        if (r == 0)
                r = write_key(o->state_dir, FILE_TRANSPORT_KEY, fresh, &err);
        if (r == 0)
                r = write_file(o->state_dir, FILE_TRANSPORT_CERT, answer.chain.data, answer.chain.len, &err);
        if (r == 0)
                printf(o->json ? "{\"renewed\":\"%s\"}\n"
                               : "The transport certificate of %s is renewed. Restart or reload posternd.\n",
                       target.id);
        est_answer_clear(&answer);
        key_free(fresh);
        json_decref(json);
        return r < 0 ? cli_fail("%s", err.text[0] ? err.text : strerror(-r)) : 0;
}

int cmd_enroll(int argc, char **argv)
{
        struct options o = {.state_dir = STATE_DIR};
        int code = parse(argc, argv, &o);

        if (code >= 0)
                return code;
        return o.renew ? renew(&o) : enroll(&o);
}
