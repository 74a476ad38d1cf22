/*
 * Makes a sandbox's keys, folder, roster, and relay's state, by the same functions as the real programs.
 *
 * Invariant: the folder is new, its owner's alone (0700), and is removed with all that is in it, by whoever made it;
 * nothing is followed out of it. The relay's state is written before the relay runs.
 */
#include "connector/sandbox/site.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "certs/codec/crypto.h"
#include "certs/enrol/csr.h"
#include "connector/frames/messages.h"
#include "connector/sandbox/accounts.h"
#include "connector/sandbox/certificate.h"
#include "queue/relay/ca.h"
#include "queue/relay/store.h"

#define TEXT_MAX 16384
#define RELAY_DIR "relay"

DEFINE_VOID_FREEP(X509, X509_free)

void sandbox_path(const struct sandbox_site *site, const char *name, char out[SANDBOX_PATH_MAX])
{
        (void)snprintf(out, SANDBOX_PATH_MAX, "%s/%s", site->dir, name);
}

void sandbox_url(const struct sandbox_site *site, char out[SANDBOX_URL_MAX])
{
        (void)snprintf(out, SANDBOX_URL_MAX, "https://127.0.0.1:%u", site->port);
}

static int write_file(const struct sandbox_site *site, const char *name, const struct buffer *text, unsigned mode,
                      struct error *err)
{
        char path[SANDBOX_PATH_MAX];

        sandbox_path(site, name, path);
        return file_write_atomic(path, text->data ? text->data : "", text->len, mode, err);
}

/* ---- the folder ---- */

static int make_folder(struct sandbox_site *site, const char *dir, struct error *err)
{
        const char *tmp = getenv("TMPDIR");
        char path[SANDBOX_PATH_MAX];
        const int n = dir ? snprintf(site->dir, sizeof site->dir, "%s", dir)
                          : snprintf(site->dir, sizeof site->dir, "%s/postern-sandbox-XXXXXX",
                                     tmp && tmp[0] == '/' ? tmp : "/tmp");

        if (n < 1 || n >= (int)sizeof site->dir || site->dir[0] != '/')
                return error_fail(err, -EINVAL, "%s: the folder must be an absolute path of at most %d bytes",
                                  site->dir, SANDBOX_DIR_MAX);
        if (!dir && !mkdtemp(site->dir))
                return error_fail(err, -errno, "%s: %s", site->dir, strerror(errno));
        if (dir && mkdir(dir, 0700) < 0)
                return error_fail(err, -errno, "%s: %s%s", dir, strerror(errno),
                                  errno == EEXIST
                                          ? ": a sandbox makes its folder itself and removes it at its end; name "
                                            "another, or remove this one if nothing runs in it"
                                          : "");
        site->made = true;
        sandbox_path(site, RELAY_DIR, path);
        return mkdir(path, 0700) < 0 ? error_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        (void)st;
        (void)kind;
        (void)at;
        (void)remove(path);
        return 0;
}

void sandbox_site_clear(struct sandbox_site *site)
{
        if (site->made)
                (void)nftw(site->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        key_free(site->tenant);
        key_free(site->service);
        key_free(site->identity);
        key_free(site->transport);
        buffer_free(&site->chain);
        buffer_free(&site->ca);
        wipe(site->secret, sizeof site->secret);
        *site = (struct sandbox_site){.chain = BUFFER(TEXT_MAX), .ca = BUFFER(TEXT_MAX)};
}

/* ---- keys and roster ---- */

static int make_keys(struct sandbox_site *site, struct error *err)
{
        struct key **const keys[] = {&site->tenant, &site->service, &site->identity, &site->transport};
        uint8_t secret[32];
        int r = 0;

        for (size_t i = 0; r == 0 && i < sizeof keys / sizeof *keys; i++)
                r = key_generate(keys[i], err);
        if (r < 0)
                return r;
        if (id_generate(site->service_id) < 0 || id_generate(site->connector_id) < 0 ||
            RAND_bytes(secret, sizeof secret) != 1)
                return error_fail(err, -EIO, "no random numbers");
        b64u_encode_to(site->secret, secret, sizeof secret);
        wipe(secret, sizeof secret);
        return 0;
}

/* One domain, one connector that speaks for it, one service. */
static int make_roster(const struct sandbox_site *site, struct roster **ret_roster, struct error *err)
{
        static const char *const domains[] = {SANDBOX_DOMAIN};
        char name[] = SANDBOX_DOMAIN, suffix[] = SANDBOX_SUFFIX, netbios[] = SANDBOX_NETBIOS;
        char *suffixes[] = {suffix}, *netbios_names[] = {netbios};
        const struct roster_domain domain = {.name = name,
                                             .suffixes = suffixes,
                                             .n_suffixes = 1,
                                             .netbios = netbios_names,
                                             .n_netbios = 1,
                                             .sid = SANDBOX_SID,
                                             .is_default = true};
        _cleanup_(roster_freep) struct roster *roster = NULL;
        int r = roster_new(&roster, SANDBOX_TENANT, site->tenant);

        if (r < 0)
                return error_fail(err, r, "out of memory");
        roster->sandbox = true;
        if ((r = roster_domain_put(roster, &domain, err)) < 0 ||
            (r = roster_add(roster, false, site->connector_id, SANDBOX_CONNECTOR, site->identity, err)) < 0 ||
            (r = roster_speak(roster, site->connector_id, domains, 1, err)) < 0 ||
            (r = roster_add(roster, true, site->service_id, SANDBOX_SERVICE, site->service, err)) < 0 ||
            (r = roster_sign(roster, site->tenant, time(NULL), ROSTER_LIFE_MAX, err)) < 0)
                return r;
        *ret_roster = steal(roster);
        return 0;
}

/* ---- the relay's state ---- */

/* The connector's transport certificate, from the relay's own CA. */
static int certify(struct sandbox_site *site, const struct ca *ca, struct store *store, struct error *err)
{
        _cleanup_(buffer_free) struct buffer der = BUFFER(TEXT_MAX);
        _cleanup_(free_X509p) X509 *cert = NULL;
        struct ca_request request = {0};
        char base64[TEXT_MAX], serial[CA_SERIAL_MAX];
        int64_t from, to;
        int r = csr_make(site->transport, SANDBOX_TENANT, site->connector_id, &der, err);

        if (r < 0)
                return r;
        const int n = EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)der.data, (int)der.len);
        r = ca_request_parse(&request, base64, (size_t)n, SANDBOX_TENANT, err);
        if (r == 0)
                r = ca_issue(ca, &request, SANDBOX_TENANT, ROSTER_LIFE_MAX, time(NULL), &cert);
        if (r == 0)
                r = ca_cert_facts(cert, serial, &from, &to);
        if (r == 0)
                r = store_certificate_add(store, SANDBOX_TENANT, site->connector_id, serial, to);
        ca_request_clear(&request);
        if (r == 0)
                r = sandbox_certificate_pem(&site->chain, cert);
        return r < 0 ? error_fail(err, r, "the connector's certificate cannot be made") : 0;
}

static int fill_store(struct sandbox_site *site, const char *dir, struct error *err)
{
        _cleanup_(roster_freep) struct roster *roster = NULL;
        _cleanup_(store_freep) struct store *store = NULL;
        _cleanup_(ca_freep) struct ca *ca = NULL;
        const int64_t now = time(NULL);
        uint8_t hash[STORE_HASH_LEN];
        int r = make_roster(site, &roster, err);

        if (r == 0)
                r = store_open(&store, dir, err);
        if (r == 0)
                r = ca_open(&ca, dir, SANDBOX_TENANT, now, err);
        if (r < 0 || !roster)
                return r;
        if ((r = crypto_sha256(hash, site->secret, strlen(site->secret))) < 0 ||
            (r = store_tenant_add(store, SANDBOX_TENANT, key_pin(site->tenant), now)) < 0 ||
            (r = store_secret_add(store, SANDBOX_TENANT, SECRET_SERVICE, hash, now)) < 0 ||
            (r = store_connector_enrol(store, SANDBOX_TENANT, site->connector_id, SANDBOX_CONNECTOR, now)) < 0 ||
            (r = store_roster_put(store, SANDBOX_TENANT, roster->seq, roster->text, now)) < 0)
                return error_fail(err, r, "the relay's database: %s", store_why(store));
        return certify(site, ca, store, err);
}

static int write_relay(struct sandbox_site *site, uint16_t port, struct error *err)
{
        _cleanup_(buffer_free) struct buffer cert = BUFFER(TEXT_MAX), key = BUFFER_SECRET(TEXT_MAX),
                                             conf = BUFFER(TEXT_MAX);
        int r = sandbox_certificate(&site->ca, &cert, &key, time(NULL), err);

        if (r == 0)
                r = write_file(site, "ca.pem", &site->ca, 0644, err);
        if (r == 0)
                r = write_file(site, "relay.pem", &cert, 0644, err);
        if (r == 0)
                r = write_file(site, "relay.key", &key, 0600, err);
        if (r < 0)
                return r;
        r = buffer_printf(&conf,
                          "[relay]\nlisten = 127.0.0.1:%u\nnode = " SANDBOX_TENANT "\nlog_level = error\n"
                          "certificate = %s/relay.pem\nkey = %s/relay.key\nstate_dir = %s/" RELAY_DIR "\n",
                          port, site->dir, site->dir, site->dir);
        return r < 0 ? error_fail(err, r, "out of memory") : write_file(site, "relay.conf", &conf, 0600, err);
}

int sandbox_site_make(struct sandbox_site *site, const char *dir, uint16_t port, struct error *err)
{
        char path[SANDBOX_PATH_MAX];
        int r;

        *site = (struct sandbox_site){.chain = BUFFER(TEXT_MAX), .ca = BUFFER(TEXT_MAX)};
        if ((r = make_folder(site, dir, err)) < 0 || (r = make_keys(site, err)) < 0)
                return r;
        sandbox_path(site, RELAY_DIR, path);
        r = fill_store(site, path, err);
        return r < 0 ? r : write_relay(site, port, err);
}

/* ---- what others are told ---- */

int sandbox_site_enrolment(const struct sandbox_site *site, struct buffer *out)
{
        char url[SANDBOX_URL_MAX];
        struct json_writer w;

        sandbox_url(site, url);
        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", ENROLMENT_VERSION);
        json_write_str(&w, "relay", url);
        json_write_str(&w, "tenant", SANDBOX_TENANT);
        json_write_str(&w, "id", site->connector_id);
        json_write_str(&w, "name", SANDBOX_CONNECTOR);
        json_write_str(&w, "pin", key_pin(site->tenant));
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* The members that service.json, as `postern service init` writes it, and sandbox.json have both. */
static void write_whereabouts(struct json_writer *w, const struct sandbox_site *site)
{
        char path[SANDBOX_PATH_MAX], url[SANDBOX_URL_MAX];

        sandbox_url(site, url);
        json_write_bool(w, "sandbox", true);
        json_write_str(w, "id", site->service_id);
        json_write_str(w, "name", SANDBOX_SERVICE);
        json_write_str(w, "relay", url);
        json_write_str(w, "tenant", SANDBOX_TENANT);
        json_write_str(w, "pin", key_pin(site->tenant));
        sandbox_path(site, "ca.pem", path);
        json_write_str(w, "ca_file", path);
        sandbox_path(site, "service.secret", path);
        json_write_str(w, "secret_file", path);
}

int sandbox_site_json(const struct sandbox_site *site, struct buffer *out)
{
        char path[SANDBOX_PATH_MAX];
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        write_whereabouts(&w, site);
        json_write_str(&w, "service", site->dir);
        sandbox_path(site, "service.key", path);
        json_write_str(&w, "key_file", path);
        sandbox_path(site, "service.key.json", path);
        json_write_str(&w, "jwk_file", path);
        json_write_str(&w, "kid", key_kid(site->service));
        json_write_str(&w, "domain", SANDBOX_DOMAIN);
        json_write_str(&w, "suffix", SANDBOX_SUFFIX);
        json_write_str(&w, "password", SANDBOX_PASSWORD);
        json_write_close(&w, '}');
        return json_write_end(&w);
}

static int service_json(const struct sandbox_site *site, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", 2);
        write_whereabouts(&w, site);
        json_write_int(&w, "roster_seq", 0);
        json_write_close(&w, '}');
        return json_write_end(&w);
}

static int public_json(const struct sandbox_site *site, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", 1);
        json_write_str(&w, "id", site->service_id);
        json_write_str(&w, "name", SANDBOX_SERVICE);
        json_write_str(&w, "kid", key_kid(site->service));
        json_write_open(&w, "jwk", '{');
        key_write_jwk(&w, site->service);
        json_write_close(&w, '}');
        json_write_close(&w, '}');
        return json_write_end(&w);
}

/* The service's private key as JOSE libraries take it. */
static int private_json(const struct sandbox_site *site, struct buffer *out)
{
        uint8_t scalar[32];
        char d[B64U_LEN(32) + 1];
        struct json_writer w;
        BIGNUM *bn = NULL;
        int r = -EIO;

        if (EVP_PKEY_get_bn_param(key_evp(site->service), OSSL_PKEY_PARAM_PRIV_KEY, &bn) == 1 &&
            BN_bn2binpad(bn, scalar, sizeof scalar) == (int)sizeof scalar) {
                b64u_encode_to(d, scalar, sizeof scalar);
                json_write_begin(&w, out);
                json_write_open(&w, NULL, '{');
                key_write_jwk(&w, site->service);
                json_write_str(&w, "d", d);
                json_write_close(&w, '}');
                r = json_write_end(&w);
        }
        BN_clear_free(bn);
        wipe(scalar, sizeof scalar);
        wipe(d, sizeof d);
        return r;
}

static int key_text(const struct sandbox_site *site, struct buffer *out)
{
        return key_to_pem(site->service, NULL, out, NULL);
}

static int secret_text_of(const struct sandbox_site *site, struct buffer *out)
{
        return buffer_printf(out, "%s\n", site->secret);
}

int sandbox_site_write(const struct sandbox_site *site, struct error *err)
{
        static const struct {
                const char *name;
                int (*make)(const struct sandbox_site *site, struct buffer *out);
        } files[] = {{"service.secret", secret_text_of}, {"service.key", key_text},
                     {"service.key.json", private_json}, {"service.pub.json", public_json},
                     {"service.json", service_json},     {"sandbox.json", sandbox_site_json}};
        int r = 0;

        for (size_t i = 0; r == 0 && i < sizeof files / sizeof *files; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(TEXT_MAX);

                r = files[i].make(site, &text);
                r = r < 0 ? error_fail(err, r, "%s cannot be made", files[i].name)
                          : write_file(site, files[i].name, &text, 0600, err);
        }
        return r;
}
