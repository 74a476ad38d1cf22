/*
 * `postern enroll`: makes this host's keys, gets the transport certificate with a one-time token, and says
 * what the tenant's admin must approve. `--renew` gets a new certificate with the one that is still valid.
 *
 * A key may be in hardware (--identity-key, --transport-key): its file then holds the URI, or the text that
 * only its TPM can use, instead of the key.
 *
 * Invariant: nothing is written into the state folder until the relay has issued the certificate, but for
 * --renew, which replaces key and certificate one after the other (the pair is checked when it is used).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "certs/enrol/est.h"
#include "certs/trust/roster.h"
#include "base/core/ca-bundle.h"
#include "base/core/text.h"
#include "connector/conf/enrolment.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/person/hardware.h"
#include "certs/enrol/transport.h"
#include "connector/cli/prompt.h"
#include "connector/person/service-store.h"
#include "connector/cli/view.h"
#include "connector/conf/config.h"
#include "connector/frames/acts.h"
#include "connector/frames/messages.h"

#define STATE_DIR "/var/lib/postern"
#define TOKEN_RANDOM 43
#define KEY_TEXT_MAX 16384
#define PATIENCE_S 900

static struct {
        const char *relay, *tenant, *token_file, *name, *ca_file, *state_dir, *identity_key, *transport_key;
        char *proxy; /* the configuration's, or NULL */
        bool renew, again;
} o = {.state_dir = STATE_DIR};

static const struct cli_option options[] = {
        {"relay", "URL", &o.relay, NULL, "https://relay.example[:port]"},
        {"tenant", "T", &o.tenant, NULL, "the tenant's name at the relay"},
        {"token-file", "FILE", &o.token_file, NULL, "the one-time token; - is standard input"},
        {"name", "NAME", &o.name, NULL, "what the token was made for (host name)"},
        {"ca-file", "FILE", &o.ca_file, NULL, "the relay's CA (else the system's)"},
        {"state-dir", "DIR", &o.state_dir, NULL, "where keys are kept (" STATE_DIR ")"},
        {"identity-key", "URI", &o.identity_key, NULL, "key in hardware: pkcs11:..., tpm2:, handle:0x..."},
        {"transport-key", "URI", &o.transport_key, NULL, "the same for the transport key"},
        {"renew", NULL, NULL, &o.renew, "renew the transport certificate now"},
        {"again", NULL, NULL, &o.again, "a new certificate by a new token"},
        {0},
};

/* What is made before anything is written. */
struct enrolling {
        char id[65];
        char pin[KID_LEN + 1];
        struct key *identity, *transport;
        struct buffer identity_text, transport_text; /* what their files hold */
        struct est_answer answer;
};

static void enrolling_clear(struct enrolling *e)
{
        key_free(e->identity);
        key_free(e->transport);
        buffer_free(&e->identity_text);
        buffer_free(&e->transport_text);
        est_answer_clear(&e->answer);
}

/* Splits "<b64u 32 random>.<pin>" and checks both halves. */
static int check_token(const struct secret *token, char pin[KID_LEN + 1], struct error *err)
{
        const char *text = secret_text(token);
        uint8_t hash[32];

        if (secret_len(token) != TOKEN_RANDOM + 1 + KID_LEN || text[TOKEN_RANDOM] != '.' ||
            b64u_decode_exact(hash, sizeof(hash), text + TOKEN_RANDOM + 1, KID_LEN) < 0)
                return error_fail(err, -EINVAL,
                                  "the token is malformed: it is one line, as `postern-relay token` printed it");
        memcpy(pin, text + TOKEN_RANDOM + 1, KID_LEN + 1);
        return 0;
}

static int read_token(struct secret **ret_token, struct error *err)
{
        int r = !strcmp(o.token_file, "-") ? prompt_secret("Token: ", ret_token, err)
                                           : folder_secret_read(o.token_file, ret_token, err);

        return r > 0 ? error_fail(err, -EINVAL, "the token is empty") : r;
}

/* A new key in memory, or the one in hardware; text is what its file will hold. */
static int make_key(const char *uri, struct key **ret_key, struct buffer *text, struct error *err)
{
        const struct hardware_request request = {.reference = uri, .make = true};
        int r;

        *text = BUFFER_SECRET(KEY_TEXT_MAX);
        if (uri && !hardware_named(uri))
                return error_fail(err, -EINVAL,
                                  "%s names no key in hardware: it begins neither with pkcs11: "
                                  "nor with tpm2: nor with handle:",
                                  uri);
        if (uri)
                return hardware_key(&request, ret_key, text, err);
        r = key_generate(ret_key, err);
        return r < 0 ? r : key_to_pem(*ret_key, NULL, text, err);
}

/*
 * Whether the relay is to be asked once more, by the same request: it was too busy, and the pause that it asked for is
 * over. *left: s of patience.
 */
static bool come_again(int r, const struct est_answer *answer, uint32_t *left)
{
        if (r != EST_PENDING || answer->retry_after > *left)
                return false;
        fprintf(stderr, "postern: the relay has many to enrol; asking again in %u s\n", answer->retry_after);
        *left -= answer->retry_after;
        (void)sleep(answer->retry_after);
        return true;
}

static int pending_is_failure(int r, const struct est_answer *answer, struct error *err)
{
        if (r != EST_PENDING)
                return r;
        return error_fail(err, -EAGAIN,
                          "the relay still has no time for this, and has used up nothing: try again in %u s",
                          answer->retry_after);
}

static int issue(const char *name, struct enrolling *e, struct error *err)
{
        _cleanup_(https_freep) struct https *https = NULL;
        struct https_config config = {.ca_file = o.ca_file, .proxy = o.proxy};
        uint32_t left = PATIENCE_S;
        struct secret *token = NULL;
        int r = read_token(&token, err);

        if (r == 0)
                r = check_token(token, e->pin, err);
        if (r == 0 && (r = id_generate(e->id)) < 0)
                error_fail(err, r, "no random numbers");
        if (r == 0)
                r = make_key(o.identity_key, &e->identity, &e->identity_text, err);
        if (r == 0)
                r = make_key(o.transport_key, &e->transport, &e->transport_text, err);
        if (r == 0 && !strcmp(key_kid(e->identity), key_kid(e->transport)))
                r = error_fail(err, -EINVAL, "--identity-key and --transport-key name the same key");
        if (r == 0)
                r = https_new(&https, &config, err);
        if (r == 0) {
                do
                        r = est_enroll(https, o.relay, o.tenant, e->id, name, secret_text(token), e->transport,
                                       &e->answer, err);
                while (come_again(r, &e->answer, &left));
        }
        secret_free(token);
        return pending_is_failure(r, &e->answer, err);
}

static int write_key(const char *dir, const char *file, const struct buffer *text, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, dir, file);
        return file_write_atomic(path, text->data, text->len, 0600, err);
}

static int write_file(const char *dir, const char *file, const void *bytes, size_t n, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, dir, file);
        return file_write_atomic(path, bytes, n, 0644, err);
}

/* enrolment.json comes last: posternd takes the folder for enrolled only with it. */
static int store(const char *name, const struct enrolling *e, struct error *err)
{
        _cleanup_(buffer_free) struct buffer ca = BUFFER(CA_BUNDLE_MAX);
        int r = write_key(o.state_dir, FILE_IDENTITY, &e->identity_text, err);

        if (r == 0)
                r = write_key(o.state_dir, FILE_TRANSPORT_KEY, &e->transport_text, err);
        if (r == 0)
                r = write_file(o.state_dir, FILE_TRANSPORT_CERT, e->answer.chain.data, e->answer.chain.len, err);
        if (r == 0 && o.ca_file)
                r = ca_bundle_read(&ca, o.ca_file, NULL, err);
        if (r == 0 && o.ca_file)
                r = write_file(o.state_dir, FILE_RELAY_CA, ca.data, ca.len, err);
        if (r == 0)
                r = public_write(o.state_dir, "connector.pub.json", e->id, name, e->identity, err);
        if (r < 0)
                return r;
        return folder_write_json(o.state_dir, FILE_ENROLMENT,
                                 json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", ENROLMENT_VERSION, "relay", o.relay,
                                           "tenant", o.tenant, "id", e->id, "name", name, "pin", e->pin),
                                 0644, err);
}

/* The act is done: that it could not be noted is only said. */
__attribute__((format(printf, 3, 4))) static void note(const struct cli *cli, const char *act, const char *fmt, ...)
{
        char what[1024];
        struct error err;
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        if (acts_note(o.state_dir, act, what, &err) < 0)
                (void)cli_error(cli, "%s", err.text);
}

static int print_enrolled(const struct cli *cli, const char *name, const struct enrolling *e)
{
        if (cli->json)
                return view_show_json(cli, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", e->id, "name", name, "tenant",
                                                     o.tenant, "fingerprint", key_kid(e->identity), "state_dir",
                                                     o.state_dir));
        printf("Connector %s is enrolled for tenant %s (id %s).\n"
               "Start posternd now. It gets work once the tenant's admin has approved its fingerprint:\n\n"
               "  postern tenant approve %s %s\n\n"
               "`postern status` shows how it is.\n",
               name, o.tenant, e->id, name, key_kid(e->identity));
        return 0;
}

/* What would only fail once the token is used up. */
static int check_before(const char *name, struct error *err)
{
        int r;

        if (strlen(name) > NAME_MAX_LEN || !utf8_valid(name, strlen(name)) || !utf8_valid(o.relay, strlen(o.relay)))
                return error_fail(err, -EINVAL, "name and URL are UTF-8, the name at most %d bytes long", NAME_MAX_LEN);
        if ((r = folder_make(o.state_dir, err)) < 0)
                return r;
        if (access(o.state_dir, W_OK | X_OK) < 0)
                return error_fail(err, -errno,
                                  "cannot write to %s: %s; run it as the user that starts posternd, "
                                  "or name another folder with --state-dir",
                                  o.state_dir, strerror(errno));
        return 0;
}

static int enroll(const struct cli *cli)
{
        _cleanup_(enrolling_clear) struct enrolling e = {.id = ""};
        char host[NAME_MAX_LEN + 1] = "", enrolled[FOLDER_PATH_MAX];
        const char *name = o.name;
        struct error err = {""};
        int r;

        if (!name && gethostname(host, sizeof(host) - 1) == 0)
                name = host;
        if (!name || !name[0])
                return cli_usage_error(cli, "--name is missing and the host has no name");
        folder_path(enrolled, o.state_dir, FILE_ENROLMENT);
        if (access(enrolled, F_OK) == 0)
                return cli_error(cli,
                                 "%s is enrolled already. Its certificate is renewed by posternd, or with --renew; one "
                                 "that has expired with --again and a new token; to enrol as another connector, stop "
                                 "posternd, remove the files "
                                 "in %s, and have the old connector taken out with `postern tenant remove`.",
                                 o.state_dir, o.state_dir);
        r = check_before(name, &err);
        if (r == 0)
                r = issue(name, &e, &err);
        if (r == 0)
                r = store(name, &e, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        note(cli, "connector.enrolled", "as %s (id %s) of tenant %s at %s", name, e.id, o.tenant, o.relay);
        return print_enrolled(cli, name, &e);
}

/* What the stored enrolment says. */
static int read_stored(struct enrolment *ret_e, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, o.state_dir, FILE_ENROLMENT);
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_fail(err, -errno, "this host is not enrolled: %s: %s", path, strerror(errno));
        return enrolment_read(ret_e, fd, err);
}

static int reenroll(struct https *https, const struct enrolment *target, struct key *fresh, struct est_answer *answer,
                    struct error *err)
{
        uint32_t left = PATIENCE_S;
        int r;

        do
                r = est_reenroll(https, target->relay, target->tenant, target->id, fresh, answer, err);
        while (come_again(r, answer, &left));
        return pending_is_failure(r, answer, err);
}

/* The same in hardware: asks with the key that text names, for one that is made beside it. */
static int reissue_held(const struct enrolment *target, struct buffer *text, struct https_config *config,
                        struct est_answer *answer, struct error *err)
{
        const struct hardware_request request = {.reference = text->data};
        _cleanup_(buffer_free) struct buffer name = BUFFER(KEY_TEXT_MAX);
        _cleanup_(https_freep) struct https *https = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(key_freep) struct key *fresh = NULL;
        int r = hardware_key(&request, &key, NULL, err);

        config->key = key;
        if (r == 0)
                r = https_new(&https, config, err);
        if (r == 0)
                r = hardware_renew(text->data, &fresh, &name, err);
        if (r == 0)
                r = reenroll(https, target, fresh, answer, err);
        buffer_clear(text);
        return r < 0 ? r : buffer_append(text, name.data, name.len);
}

/* text: what the transport key's file holds; the new key's when it is issued. */
static int reissue(const struct enrolment *target, struct buffer *text, struct est_answer *answer, struct error *err)
{
        char ca[FOLDER_PATH_MAX], cert[FOLDER_PATH_MAX], key[FOLDER_PATH_MAX];
        struct https_config config = {.cert_file = cert, .proxy = o.proxy};
        _cleanup_(https_freep) struct https *https = NULL;
        _cleanup_(key_freep) struct key *fresh = NULL;
        int r;

        folder_path(ca, o.state_dir, FILE_RELAY_CA);
        folder_path(cert, o.state_dir, FILE_TRANSPORT_CERT);
        folder_path(key, o.state_dir, FILE_TRANSPORT_KEY);
        config.ca_file = o.ca_file ? o.ca_file : access(ca, R_OK) == 0 ? ca : NULL;
        if (hardware_named(text->data))
                return reissue_held(target, text, &config, answer, err);
        /* since the first renewal the key stands in the certificate's file */
        config.key_file = access(key, R_OK) == 0 ? key : cert;
        r = https_new(&https, &config, err);
        if (r == 0)
                r = key_generate(&fresh, err);
        if (r == 0)
                r = reenroll(https, target, fresh, answer, err);
        buffer_clear(text);
        return r < 0 ? r : key_to_pem(fresh, NULL, text, err);
}

/* The URI of the option, or what the file holds. */
static int read_transport_key(struct buffer *text, struct error *err)
{
        _cleanup_(buffer_free) struct buffer whole = BUFFER_SECRET(TRANSPORT_PEM_MAX),
                                             chain = BUFFER(TRANSPORT_PEM_MAX);
        char path[FOLDER_PATH_MAX];
        int r;

        folder_path(path, o.state_dir, FILE_TRANSPORT_KEY);
        if (!o.transport_key && access(path, F_OK) < 0)
                folder_path(path, o.state_dir, FILE_TRANSPORT_CERT);
        if (o.transport_key)
                return buffer_append_str(text, o.transport_key);
        r = file_read(&whole, path, err);
        if (r == 0 && transport_split(&whole, text, &chain) < 0)
                r = error_fail(err, -EBADMSG, "%s is malformed", path);
        if (r == 0 && text->len == 0)
                r = buffer_append(text, whole.data, whole.len);
        return r < 0 || text->len > 0 ? r : error_fail(err, -EBADMSG, "%s is empty", path);
}

/* Key, or its name, and certificate in one file, so that a cut never leaves two that don't belong together. */
static int store_transport(const struct buffer *key, const struct buffer *chain, struct error *err)
{
        _cleanup_(buffer_free) struct buffer both = BUFFER_SECRET(TRANSPORT_PEM_MAX);
        char path[FOLDER_PATH_MAX], old[FOLDER_PATH_MAX];
        int r;

        r = transport_join(&both, key, chain);
        if (r < 0)
                return error_fail(err, r, "the relay's certificate chain is too long");
        folder_path(path, o.state_dir, FILE_TRANSPORT_CERT);
        folder_path(old, o.state_dir, FILE_TRANSPORT_KEY);
        r = file_write_atomic(path, both.data, both.len, 0600, err);
        if (r == 0 && unlink(old) < 0 && errno != ENOENT)
                r = error_fail(err, -errno, "%s cannot be removed: %s", old, strerror(errno));
        return r;
}

/* Where the one before is: a key in hardware is followed by one in the same, unless the option names another place. */
static int make_transport_key(struct key **ret_key, struct buffer *text, struct error *err)
{
        _cleanup_(buffer_free) struct buffer before = BUFFER_SECRET(KEY_TEXT_MAX);
        struct error missing;

        if (!o.transport_key && read_transport_key(&before, &missing) == 0 && hardware_named(before.data))
                return hardware_renew(before.data, ret_key, text, err);
        return make_key(o.transport_key, ret_key, text, err);
}

/* Enrolled before, and the certificate is past renewing: the token stands for it, and the identity stays. */
static int enroll_again(const struct cli *cli)
{
        _cleanup_(https_freep) struct https *https = NULL;
        _cleanup_(key_freep) struct key *fresh = NULL;
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(KEY_TEXT_MAX);
        _cleanup_(est_answer_clear) struct est_answer answer = {0};
        char ca[FOLDER_PATH_MAX];
        struct https_config config = {.proxy = o.proxy};
        _cleanup_(enrolment_clear) struct enrolment target = {0};
        uint32_t left = PATIENCE_S;
        struct secret *token = NULL;
        struct error err = {""};
        int r = read_stored(&target, &err);

        folder_path(ca, o.state_dir, FILE_RELAY_CA);
        config.ca_file = o.ca_file ? o.ca_file : access(ca, R_OK) == 0 ? ca : NULL;
        if (r == 0)
                r = read_token(&token, &err);
        if (r == 0 && !strstr(secret_text(token), target.pin))
                r = error_fail(&err, -EINVAL,
                               "the token is for another tenant than %s, which this host is enrolled for",
                               target.tenant);
        if (r == 0)
                r = make_transport_key(&fresh, &text, &err);
        if (r == 0)
                r = https_new(&https, &config, &err);
        if (r == 0) {
                do
                        r = est_enroll(https, target.relay, target.tenant, target.id, o.name ? o.name : target.name,
                                       secret_text(token), fresh, &answer, &err);
                while (come_again(r, &answer, &left));
        }
        secret_free(token);
        r = pending_is_failure(r, &answer, &err);
        if (r == 0)
                r = store_transport(&text, &answer.chain, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        note(cli, "connector.enrolled_again", "a new transport certificate by a new token, for id %s", target.id);
        if (cli->json)
                return view_show_json(cli, json_pack("{s:s}", "enrolled", target.id));
        printf("Connector %s has a new transport certificate; its identity is the same, so no new approval is needed.\n"
               "Restart or reload posternd.\n",
               target.id);
        return 0;
}

static int renew(const struct cli *cli)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(KEY_TEXT_MAX);
        _cleanup_(enrolment_clear) struct enrolment target = {0};
        struct est_answer answer = {0};
        struct error err = {""};
        int r = read_stored(&target, &err);

        if (r == 0)
                r = read_transport_key(&text, &err);
        if (r == 0)
                r = reissue(&target, &text, &answer, &err);
        if (r == 0)
                r = store_transport(&text, &answer.chain, &err);
        if (r == 0)
                note(cli, "certificate.renewed", "the transport certificate of id %s, by postern enroll --renew",
                     target.id);
        if (r == 0 && cli->json)
                r = view_show_json(cli, json_pack("{s:s}", "renewed", target.id));
        else if (r == 0)
                printf("The transport certificate of %s is renewed. Restart or reload posternd.\n", target.id);
        est_answer_clear(&answer);
        return r < 0 ? cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r)) : r;
}

/* The daemon will go this way, too. There need be no configuration yet. */
static void read_proxy(const struct cli *cli)
{
        struct conf_errors errors = CONF_ERRORS;
        struct config *config = NULL;

        if (config_load(&config, cli->config, NULL, &errors) == 0 && config->proxy)
                (void)text_set(&o.proxy, config->proxy);
        config_free(config);
        conf_errors_clear(&errors);
}

int cmd_enroll(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "enroll",
                .about = "Makes this connector's keys and gets its transport certificate from the relay,\n"
                         "with a token made by `postern-relay token T NAME`. Then prints the fingerprint\n"
                         "that the tenant's admin approves with `postern tenant approve`.\n",
                .options = options,
                .no_socket = true,
        };
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (secrets_setup(cli) < 0)
                return CLI_FAILED;
        read_proxy(cli);
        if (o.renew)
                return renew(cli);
        if (o.again && !o.token_file)
                return cli_usage_error(cli, "--again needs --token-file");
        if (o.again)
                return enroll_again(cli);
        if (!o.relay || !o.tenant || !o.token_file)
                return cli_usage_error(cli, "missing:%s%s%s", o.relay ? "" : " --relay", o.tenant ? "" : " --tenant",
                                       o.token_file ? "" : " --token-file");
        if (folder_check_relay(o.relay, &err) < 0)
                return cli_usage_error(cli, "%s", err.text);
        return enroll(cli);
}
