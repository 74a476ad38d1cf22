/*
 * Makes the signed and sealed things that a test of the relay needs, so that the test itself can be plain
 * Python: forge key FILE                                         -> {"kid","pin","jwk"} forge roster KEY
 * TENANT SEQ LIFE [c|s:ID:NAME:KEYFILE | many:N]...  -> compact JWS, in which all connectors speak for corp.example
 * forge statement KEY TENANT ID BOOT SEQ ENCKEY REALM    -> compact JWS forge proof KEY TENANT ID AGE [DOMAINS] ->
 * compact JWS made AGE seconds ago forge seal LENGTH ENCKEY...                            -> JWE of LENGTH bytes forge
 * csr KEY TENANT ID                                -> base64 PKCS#10 forge open JWEFILE KEY...
 * -> "opens" or "does not open", a line for each key; forge issue STATE-DIR TENANT LIFE KEY ID -> base64 PKCS#7; forge
 * links STATE-DIR TENANT N KEY DIR -> ids of connectors that were enrolled, with their certificates in DIR; forge fleet
 * STATE-DIR TENANT N KEY DIR TENANT-KEY -> the same and their boots, with their statements and the roster in DIR
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/rand.h>

#include "certs/jose/sealed.h"
#include "certs/enrol/csr.h"
#include "certs/trust/roster.h"
#include "certs/trust/statement.h"
#include "base/ipc/loop.h"
#include "base/core/text.h"
#include "queue/relay/ca.h"
#include "queue/relay/store.h"
#include "queue/wire/wire.h"

static struct error err = {"wrong usage"};

static void check(int r)
{
        if (r < 0) {
                fprintf(stderr, "forge: %s\n", err.text);
                exit(1);
        }
}

static struct key *load(const char *path)
{
        struct key *key = NULL;

        check(key_read(&key, path, NULL, &err));
        return key;
}

static void make_key(char **a)
{
        struct key *key;
        json_t *jwk, *o;

        check(key_generate(&key, &err));
        check(key_write(key, a[0], NULL, &err));
        check(key_to_jwk(key, &jwk));
        o = json_pack("{s:s, s:s, s:o}", "kid", key_kid(key), "pin", key_pin(key), "jwk", jwk);
        json_dumpf(o, stdout, JSON_COMPACT);
        json_decref(o);
        key_free(key);
}

/* n services that nobody knows, to make a roster large. */
static void add_many(struct roster *roster, long n)
{
        char id[ID_MAX + 1];

        while (n-- > 0) {
                struct key *key;
                check(id_generate(id));
                check(key_generate(&key, &err));
                check(roster_add(roster, true, id, id, key, &err));
                key_free(key);
        }
}

static void add_domain(struct roster *roster)
{
        static char name[] = "corp.example";
        static const char *const names[] = {"corp.example"};
        const struct roster_domain corp = {.name = name, .is_default = true};

        check(roster_domain_put(roster, &corp, &err));
        for (size_t i = 0; i < roster->n_connectors; i++)
                check(roster_speak(roster, roster->connectors[i].id, names, 1, &err));
}

static void make_roster(int n, char **a)
{
        struct key *tenant_key = load(a[0]);
        struct roster *roster;

        check(roster_new(&roster, a[1], tenant_key));
        roster->seq = strtoull(a[2], NULL, 10) - 1;
        for (int i = 4; i < n; i++) {
                if (strcmp(a[i], "sandbox") == 0) {
                        roster->sandbox = true;
                        continue;
                }
                if (strncmp(a[i], "many:", 5) == 0) {
                        add_many(roster, strtol(a[i] + 5, NULL, 10));
                        continue;
                }
                char *rest = a[i], *role = strsep(&rest, ":"), *id = strsep(&rest, ":");
                char *name = strsep(&rest, ":");
                struct key *key = load(rest);
                check(roster_add(roster, *role == 's', id, name, key, &err));
                key_free(key);
        }
        add_domain(roster);
        check(roster_sign(roster, tenant_key, time(NULL), strtoll(a[3], NULL, 10), &err));
        puts(roster->text);
        roster_free(roster);
        key_free(tenant_key);
}

/* As a connector of before says it, which reads rosters of the first form alone and does not say so. */
static void put_first_form(const struct statement *s, const struct key *identity)
{
        struct buffer payload = BUFFER(STATEMENT_TEXT_MAX), out = BUFFER(STATEMENT_TEXT_MAX);
        struct jws jws = {0};
        json_t *json = NULL;

        check(jws_parse(&jws, s->text, strlen(s->text), JOSE_TYP_KEYS, false, &err));
        check(jose_json_object(&json, jws.payload.data, jws.payload.len, "statement", &err));
        check(json_object_del(json, "roster"));
        check(jose_json_text(json, &payload));
        check(jws_sign(identity, JOSE_TYP_KEYS, payload.data, payload.len, &out, &err));
        puts(out.data);
        json_decref(json);
        jws_clear(&jws);
        buffer_free(&payload);
        buffer_free(&out);
}

/* first_form: "first" or NULL. */
static void make_statement(char **a, const char *first_form)
{
        struct key *identity = load(a[0]), *enc = load(a[5]);
        struct statement *s = calloc(1, sizeof(*s));
        int64_t now = time(NULL);

        s->tenant = strdup(a[1]);
        s->iss = strdup(a[2]);
        snprintf(s->boot, sizeof(s->boot), "%s", a[3]);
        s->seq = strtoull(a[4], NULL, 10);
        s->n_keys = 1;
        s->keys[0] = (struct statement_key){enc, now - 60, now + 3600};
        s->n_realms = 1;
        s->realms = calloc(1, sizeof(char *));
        s->realms[0] = strdup(a[6]);
        check(statement_sign(s, identity, now, 3600, &err));
        if (first_form)
                put_first_form(s, identity);
        else
                puts(s->text);
        statement_free(s);
        key_free(identity);
}

static void make_proof(char **a)
{
        struct key *key = load(a[0]);
        struct buffer out = BUFFER(4096);
        char claims[2048];
        int64_t iat = time(NULL) - strtoll(a[3], NULL, 10);

        snprintf(claims, sizeof(claims), "{\"tenant\":\"%s\",\"id\":\"%s\",\"iat\":%lld,\"exp\":%lld%s%s}", a[1], a[2],
                 (long long)iat, (long long)iat + 300, a[4] ? ",\"roster\":2,\"domains\":" : "", a[4] ? a[4] : "");
        check(jws_sign(key, JOSE_TYP_IDENTITY, claims, strlen(claims), &out, &err));
        puts(out.data);
        buffer_free(&out);
        key_free(key);
}

static void make_seal(int n, char **a)
{
        struct key *to[SEALED_RECIPIENTS_MAX];
        struct buffer out = BUFFER(64 * 1024);
        size_t len = strtoull(a[0], NULL, 10), n_to = 0;
        struct buffer plain = BUFFER(PADDED_LARGE);

        if (buffer_reserve(&plain, len) < 0)
                exit(1);
        memset(plain.data, ' ', len);
        plain.len = len;
        for (int i = 1; i < n && n_to < SEALED_RECIPIENTS_MAX; i++)
                to[n_to++] = load(a[i]);
        check(sealed_seal(to, n_to, &plain, &out, &err));
        fputs(out.data, stdout);
        buffer_free(&out);
        buffer_free(&plain);
        while (n_to)
                key_free(to[--n_to]);
}

static void make_csr(char **a)
{
        struct key *key = load(a[0]);
        struct buffer der = BUFFER(8192);

        check(csr_make(key, a[1], a[2], &der, &err));
        size_t n = der.len;
        char *text = calloc(1, n * 2 + 8);
        EVP_EncodeBlock((unsigned char *)text, (unsigned char *)der.data, (int)n);
        puts(text);
        free(text);
        buffer_free(&der);
        key_free(key);
}

/* A certificate by the CA that is in a relay's state folder. */
static void issue(char **a)
{
        struct key *key = load(a[3]);
        struct buffer der = BUFFER(8192), out = BUFFER(16384);
        struct ca_request request;
        struct ca *ca;
        char text[16384];
        X509 *cert;

        check(ca_open(&ca, a[0], "test", time(NULL), &err));
        check(csr_make(key, a[1], a[4], &der, &err));
        const int n = EVP_EncodeBlock((unsigned char *)text, (unsigned char *)der.data, (int)der.len);
        check(ca_request_parse(&request, text, (size_t)n, a[1], &err));
        check(ca_issue(ca, &request, a[1], strtoll(a[2], NULL, 10), time(NULL), &cert));
        check(ca_certs_only((X509 *const[]){cert}, 1, &out));
        puts(out.data);
        X509_free(cert);
        ca_request_clear(&request);
        ca_free(ca);
        buffer_free(&der);
        buffer_free(&out);
        key_free(key);
}

/* What connectors are enrolled with, straight into a relay's state folder. */
struct enroller {
        struct ca *ca;
        struct store *store;
        struct key *key; /* of all their transport certificates */
        const char *tenant, *dir;
};

static void enroller_open(struct enroller *e, char **a)
{
        *e = (struct enroller){.key = load(a[3]), .tenant = a[1], .dir = a[4]};
        check(ca_open(&e->ca, a[0], "test", time(NULL), &err));
        check(store_open(&e->store, a[0], &err));
}

static void enroller_close(struct enroller *e)
{
        store_free(e->store);
        ca_free(e->ca);
        key_free(e->key);
}

/* A new connector, its certificate in DIR/ID.pem. */
static void enrol_one(struct enroller *e, char id[ID_MAX + 1])
{
        struct buffer der = BUFFER(8192);
        struct ca_request request;
        char text[16384], path[4096];
        X509 *cert;

        check(id_generate(id));
        check(csr_make(e->key, e->tenant, id, &der, &err));
        const int len = EVP_EncodeBlock((unsigned char *)text, (unsigned char *)der.data, (int)der.len);
        check(ca_request_parse(&request, text, (size_t)len, e->tenant, &err));
        check(ca_issue(e->ca, &request, e->tenant, 86400, time(NULL), &cert));
        check(store_connector_enrol(e->store, e->tenant, id, id, time(NULL)));
        snprintf(path, sizeof(path), "%s/%s.pem", e->dir, id);
        FILE *f = fopen(path, "w");
        if (!f || PEM_write_X509(f, cert) != 1 || fclose(f) != 0)
                check(-1);
        X509_free(cert);
        ca_request_clear(&request);
        buffer_free(&der);
}

/* Enrols n connectors that share one key: DIR/ID.pem; prints the ids. */
static void make_links(char **a)
{
        struct enroller e;
        char id[ID_MAX + 1];

        enroller_open(&e, a);
        for (long n = strtol(a[2], NULL, 10); n > 0; n--) {
                enrol_one(&e, id);
                puts(id);
        }
        enroller_close(&e);
}

static void state_one(const struct enroller *e, const char *id, const char *boot, const struct key *identity,
                      struct key *enc)
{
        struct statement *s = calloc(1, sizeof(*s));
        const int64_t now = time(NULL);
        char path[4096];

        s->tenant = strdup(e->tenant);
        s->iss = strdup(id);
        snprintf(s->boot, sizeof(s->boot), "%s", boot);
        s->seq = 1;
        s->n_keys = 1;
        s->keys[0] = (struct statement_key){key_ref(enc), now - 60, now + 3600};
        s->n_realms = 1;
        s->realms = calloc(1, sizeof(char *));
        s->realms[0] = strdup("corp.example");
        check(statement_sign(s, identity, now, 7200, &err));
        snprintf(path, sizeof(path), "%s/%s.statement", e->dir, id);
        check(file_write_atomic(path, s->text, strlen(s->text), 0644, &err));
        statement_free(s);
}

/* Enrols n connectors, each with an identity of its own: DIR/ID.pem, DIR/ID.statement, and DIR/TENANT.roster, by the
 * tenant's key, that names them; prints a line "ID BOOT" for each. */
static void make_fleet(char **a)
{
        struct key *tenant_key = load(a[5]), *identity, *enc;
        char id[ID_MAX + 1], boot[BOOT_LEN + 1], path[4096];
        struct roster *roster;
        uint8_t bytes[16];
        struct enroller e;

        enroller_open(&e, a);
        check(roster_new(&roster, a[1], tenant_key));
        roster->seq = 0;
        for (long n = strtol(a[2], NULL, 10); n > 0; n--) {
                enrol_one(&e, id);
                check(RAND_bytes(bytes, sizeof(bytes)) == 1 ? 0 : -1);
                b64u_encode_to(boot, bytes, sizeof(bytes));
                check(key_generate(&identity, &err));
                check(key_generate(&enc, &err));
                check(roster_add(roster, false, id, id, identity, &err));
                state_one(&e, id, boot, identity, enc);
                printf("%s %s\n", id, boot);
                key_free(identity);
                key_free(enc);
        }
        add_domain(roster);
        check(roster_sign(roster, tenant_key, time(NULL), 86400, &err));
        snprintf(path, sizeof(path), "%s/%s.roster", a[4], a[1]);
        check(file_write_atomic(path, roster->text, strlen(roster->text), 0644, &err));
        roster_free(roster);
        key_free(tenant_key);
        enroller_close(&e);
}

/* Whether a sealed request is for this key, whichever recipient it may be. */
static void try_open(int n, char **a)
{
        struct buffer text = BUFFER(1 << 20), plain = BUFFER_SECRET(1 << 20);
        struct sealed sealed;

        check(file_read(&text, a[0], &err));
        check(sealed_read(&sealed, text.data, text.len, &err));
        for (int k = 1; k < n; k++) {
                struct key *key = load(a[k]);
                bool opens = false;

                for (size_t i = 0; i < sealed.n; i++)
                        opens = opens || sealed_open(&sealed, i, key, &plain, &err) == 0;
                puts(opens ? "opens" : "does not open");
                key_free(key);
        }
        buffer_free(&text);
        buffer_free(&plain);
}

int main(int argc, char **argv)
{
        const char *word = argc > 1 ? argv[1] : "";

        if (strcmp(word, "key") == 0 && argc == 3)
                make_key(argv + 2);
        else if (strcmp(word, "roster") == 0 && argc >= 6)
                make_roster(argc - 2, argv + 2);
        else if (strcmp(word, "statement") == 0 && (argc == 9 || argc == 10))
                make_statement(argv + 2, argc == 10 ? argv[9] : NULL);
        else if (strcmp(word, "proof") == 0 && (argc == 6 || argc == 7))
                make_proof(argv + 2);
        else if (strcmp(word, "seal") == 0 && argc >= 4)
                make_seal(argc - 2, argv + 2);
        else if (strcmp(word, "csr") == 0 && argc == 5)
                make_csr(argv + 2);
        else if (strcmp(word, "issue") == 0 && argc == 7)
                issue(argv + 2);
        else if (strcmp(word, "links") == 0 && argc == 7)
                make_links(argv + 2);
        else if (strcmp(word, "fleet") == 0 && argc == 8)
                make_fleet(argv + 2);
        else if (strcmp(word, "open") == 0 && argc >= 4)
                try_open(argc - 2, argv + 2);
        else
                check(-1);
        return 0;
}
