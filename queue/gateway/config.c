/*
 * The table of the gateway's configuration keys, for the engine of base/conf.
 *
 * A key exists exactly if it has a row here: the reader, --check-config, the sample file and postern-gateway.conf(5)
 * all come from this table. Paths are not opened here.
 */
#include "queue/gateway/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "base/events/keys.h"
#include "certs/http/http-way.h"
#include "queue/gateway/dn.h"
#include "queue/gateway/service.h"
#include "queue/wire/wire.h"

int gateway_address(uint8_t out[16], const char *text)
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

        if (inet_pton(AF_INET6, text, out) == 1)
                return 0;
        memcpy(out, mapped, sizeof(mapped));
        return inet_pton(AF_INET, text, out + 12) == 1 ? 0 : -EINVAL;
}

bool gateway_net_has(const struct gateway_net *nets, size_t n, const char *address)
{
        uint8_t a[16];

        for (size_t i = 0; gateway_address(a, address) == 0 && i < n; i++) {
                const unsigned whole = nets[i].bits / 8, rest = nets[i].bits % 8;

                if (memcmp(a, nets[i].address, whole) == 0 &&
                    (rest == 0 || (a[whole] ^ nets[i].address[whole]) >> (8 - rest) == 0))
                        return true;
        }
        return false;
}

/* ADDRESS or ADDRESS/BITS into a struct gateway_net. */
static int item_net(struct conf *conf, void *slot, const char *item, struct error *err)
{
        struct gateway_net *net = slot;
        char address[64];
        const char *slash = strchr(item, '/');
        const size_t n = slash ? (size_t)(slash - item) : strlen(item);
        uint64_t bits = 128;

        (void)conf;
        (void)snprintf(address, sizeof(address), "%.*s", (int)(n < sizeof(address) ? n : 0), item);
        const unsigned shift = strchr(address, ':') ? 0 : 96; /* of IPv4 in the mapped form */
        if (gateway_address(net->address, address) < 0 ||
            (slash && text_parse_u64(slash + 1, shift ? 0 : 1, 128 - shift, &bits) < 0))
                return error_fail(err, -EINVAL, "'%s' is neither a numeric address nor a network like 10.0.0.0/8",
                                  item);
        net->bits = slash ? (unsigned)bits + shift : 128;
        return 0;
}

int gateway_listen_of(const struct gateway_config *config, const char *file, enum gateway_listen_door door)
{
        const size_t n = strlen(GATEWAY_FILE_LISTEN);
        uint64_t i;

        if (strncmp(file, GATEWAY_FILE_LISTEN, n) != 0 || text_parse_u64(file + n, 0, config->n_listen - 1, &i) < 0 ||
            config->listen[i].door != door)
                return -ENOENT;
        return (int)i;
}

/* How an item of `listen` begins; the last row is that of HTTP by an address. */
static const struct prefix {
        const char *text;
        bool path;
        enum gateway_listen_door door;
} prefixes[] = {{"unix:", true, LISTEN_HTTP},  {"saslauthd:", true, LISTEN_SASLAUTHD}, {"ldapi:", true, LISTEN_LDAP},
                {"ldap:", false, LISTEN_LDAP}, {"ldaps:", false, LISTEN_LDAPS},        {"https:", false, LISTEN_HTTPS},
                {"", false, LISTEN_HTTP}};

const char *gateway_listen_prefix(const struct gateway_listen *listen)
{
        const struct prefix *p = prefixes;

        while (p->path != (listen->kind == LISTEN_UNIX) || p->door != listen->door)
                p++;
        return p->text;
}

/* One of the prefixes and a path or ADDRESS:PORT, IPv6 in brackets, into a struct gateway_listen. */
static int item_listen(struct conf *conf, void *slot, const char *item, struct error *err)
{
        static const struct gateway_net loopback[] = {{{[10] = 0xff, [11] = 0xff, [12] = 127}, 104}, {{[15] = 1}, 128}};
        struct gateway_listen *l = slot;
        const struct prefix *p = prefixes;

        (void)conf;
        while (strncmp(item, p->text, strlen(p->text)) != 0)
                p++;
        item += strlen(p->text);
        l->door = p->door;
        if (p->path) {
                if (item[0] != '/' || strlen(item) >= sizeof(l->where))
                        return error_fail(err, -EINVAL, "'%s%s' is not %s and an absolute path of at most %zu bytes",
                                          p->text, item, p->text, sizeof(l->where) - 1);
                memcpy(l->where, item, strlen(item) + 1);
                return 0;
        }
        if (conf_address(item, l->where, sizeof(l->where), &l->port, err) < 0)
                return error_fail(err, -EINVAL, "'%s%s' is neither %s nor %sADDRESS:PORT with a numeric address",
                                  p->text, item, p->door <= LISTEN_HTTPS ? "unix:/PATH" : "ldapi:/PATH", p->text);
        l->kind = gateway_net_has(loopback, 2, l->where) ? LISTEN_LOOPBACK : LISTEN_TLS;
        return 0;
}

static int check_ldap_dn(const char *value, struct error *err)
{
        struct dn dn;

        if (dn_read(&dn, value, strlen(value)) < 0 || strcmp(dn.value, "%u") != 0 || strstr(dn.rest, "%u"))
                return error_fail(err, -EINVAL, "'%s' is not a DN like uid=%%u,ou=people,dc=corp,dc=example", value);
        return 0;
}

static int check_ldap_name(const char *value, struct error *err)
{
        const char *u = strstr(value, "%u");

        if (!u || strchr(u + 1, '%') || strchr(value, '%') != u)
                return error_fail(err, -EINVAL, "'%s' is not a name like %%u or %%u@corp.example", value);
        return 0;
}

/* A name that stands for others ("*.example", ".example") would let in whatever has a certificate of that CA. */
static int check_certificate_name(const char *value, struct error *err)
{
        if (!value[0] || value[0] == '.' || strpbrk(value, "*:/ "))
                return error_fail(err, -EINVAL, "'%s' is not the name of one host, like portal.example", value);
        return 0;
}

static int check_relay(const char *value, struct error *err)
{
        if (strncmp(value, "https://", 8) != 0 || strlen(value) > 256)
                return error_fail(err, -EINVAL, "'%s' is not an https:// address of at most 256 bytes", value);
        return 0;
}

static const struct conf_word answers[] = {{"refuse", 0}, {"allow", 1}, {NULL, 0}};
static const struct conf_word confinements[] = {
        {"enforce", CONFINE_ENFORCE}, {"log", CONFINE_LOG}, {"off", CONFINE_OFF}, {NULL, 0}};

static const struct conf_word event_names[] = {{"pseudonyms", false}, {"clear", true}, {NULL, 0}};
static const struct conf_word yes_no[] = {{"no", false}, {"yes", true}, {NULL, 0}};

#define KEY(key, field) CONF_FIELD(struct gateway_config, key, field)
#define ITEMS(key, field)                                                                                              \
        CONF_ITEMS(struct gateway_config, key, field), .offset_n = offsetof(struct gateway_config, n_##field)
#define PATH .max = 256, .check = conf_check_path, .range = "an absolute path"
#define USER .max = 32, .check = conf_check_user, .range = "a system user other than root"

static const struct conf_key keys[] = {
        {KEY("service", service), PATH, .initial = "/etc/postern-gateway/service",
         .help = "Folder that `postern service init` made: the service's key, and where it signs in (relay, tenant, "
                 "pin, "
                 "the file of its secret). The tenant's admin must have approved it."},
        {ITEMS("listen", listen), .item = item_listen, .repeats = true, .required = true,
         .range = "1 to 8 of unix:/PATH, ADDRESS:PORT, https:ADDRESS:PORT, saslauthd:/PATH, ldapi:/PATH, "
                  "ldap:ADDRESS:PORT and "
                  "ldaps:ADDRESS:PORT, IPv6 in brackets; the key may be repeated",
         .example = "unix:/run/postern-gateway/gateway.sock\n127.0.0.1:8480",
         .help = "Where applications ask. HTTP: a UNIX socket, or a loopback address, both without TLS; any other "
                 "address, and each behind https:, with TLS, which needs `certificate` and `key`, and where it is not "
                 "loopback an [application] section. Port 0 takes a free "
                 "one. On a UNIX socket behind saslauthd: the protocol of saslauthd is spoken, for OpenLDAP's {SASL}, "
                 "Cyrus, Postfix and others; they are told by saslauthd_path where it is. Behind ldap:, ldaps: or "
                 "ldapi: it "
                 "is LDAP, for what signs in by a bind; see `ldap_dn` and `ldap_clients`."},
        {KEY("socket_group", socket_group), .max = 32, .check = conf_check_user, .range = "a group",
         .otherwise = "root's own", .example = "www-data",
         .help = "Group whose members may use the UNIX sockets, which have mode 0660."},
        {ITEMS("relay", relays), .check = check_relay, .repeats = true,
         .range = "up to 4 https:// addresses; the key may be repeated", .otherwise = "the one of `service`",
         .help = "The relay's nodes. A sign-in goes to the first one that works; where not a byte of it was sent or a "
                 "node says that nobody started on it, to the next."},
        {KEY("ca_file", ca_file), PATH, .otherwise = "the one of `service`, else the system's CAs",
         .help = "CAs (PEM) that the relay's certificate may be of."},
        {KEY("proxy", proxy), .max = 512, .check = http_way_check, .range = "a URL: " HTTP_WAY_SCHEMES,
         .otherwise = "https_proxy and no_proxy of the environment", .help = "Proxy by which the relay is reached."},
        {KEY("certificate", certificate), PATH, .otherwise = "no TLS", .needs = {{"key", NULL}},
         .help = "TLS certificate (PEM, with its chain) for addresses that are not loopback."},
        {KEY("key", key), PATH, .otherwise = "no TLS", .needs = {{"certificate", NULL}},
         .help = "The key of the certificate (PEM)."},
        {KEY("client_ca", client_ca), PATH, .otherwise = "no client certificates",
         .needs = {{"certificate", "which TLS needs"}},
         .help = "CAs (PEM) of the client certificates by which applications may show who they are, see "
                 "`certificate_name`."},
        {ITEMS("trusted_proxies", proxies), .item = item_net, .range = "up to 32 addresses or networks like 10.0.0.0/8",
         .otherwise = "only this host's own",
         .help = "Whose X-Forwarded-For is believed besides that of the UNIX sockets and of loopback: reverse proxies "
                 "in "
                 "front of the gateway. The user's address is the last one of the header that is none of these."},
        {ITEMS("ldap_clients", ldap_clients), .item = item_net,
         .range = "up to 32 addresses or networks like 10.0.0.0/8", .otherwise = "nobody",
         .help = "Which servers may use LDAP at an address that is not loopback, besides who shows an application's "
                 "client certificate: LDAP has no place for an application's secret. Failures are counted by name "
                 "there, not by address, for one server has many users: list application servers, and no networks "
                 "of users."},
        {KEY("ldap_dn", ldap_dn), .max = 512, .check = check_ldap_dn, .range = "a DN whose first value is %u",
         .otherwise = "binds by a DN are refused", .example = NULL,
         .help = "LDAP: how software that binds by a DN writes it, like uid=%u,ou=people,dc=corp,dc=example; %u is "
                 "what "
                 "the user typed. Binds by user@domain and DOMAIN\\user need no such key."},
        {KEY("ldap_name", ldap_name), .max = 256, .check = check_ldap_name, .range = "a text with one %u",
         .initial = "%u",
         .help = "LDAP: which name is signed in where a DN was bound by, like %u@corp.example; %u is what stands for "
                 "it "
                 "in `ldap_dn`. A name that has an @ or a \\ itself is taken as it is."},
        {KEY("source_failures", source_failures), .type = CONF_NUMBER, .min = 1, .max = 100000, .initial = "30",
         .help = "Sign-ins from one address (of IPv6 from one /64) that may fail within `failure_window`. Further ones "
                 "are "
                 "refused here, as `throttled`: no connector and no domain controller hears of them."},
        {KEY("name_failures", name_failures), .type = CONF_NUMBER, .min = 1, .max = 1000, .initial = "5",
         .help = "The same of one name as typed, in any case. Keep it below the domain's lockout threshold; it counts "
                 "names, the connectors' guard counts accounts."},
        {KEY("failure_window", failure_window), .type = CONF_NUMBER, .min = 10, .max = 86400, .initial = "600",
         .help = "Seconds that a failure counts."},
        {KEY("without_guard", without_guard), .type = CONF_WORD, .words = answers, .initial = "refuse",
         .help = "Whether sign-ins are taken while a connector of the roster says that its lockout guard does not stop "
                 "names (`guard = on` in postern.conf(5) does): who reaches a door could lock an account out by its "
                 "many "
                 "names. refuse: none is taken, and /readyz says which connector it is; allow: they are, and /readyz "
                 "warns."},
        {KEY("remember_s", remember_s), .type = CONF_NUMBER, .max = 60, .initial = "0",
         .help = "Seconds, from the sign-in on, that forward authentication (GET /v1/forward) takes the same name and "
                 "password again without asking anybody; 0: never. It ends at any refusal and at a change of the "
                 "password through the gateway, but not at a change elsewhere: a disabled account stays signed in for "
                 "so long."},
        {KEY("words", words), PATH, .otherwise = "English",
         .help = "Catalogue of the sentences that users read, like /usr/local/share/postern/words/de.words, see "
                 "postern-verdicts(7); the user of the doors must be able to read it. Times in it are of this "
                 "process's time zone."},
        {KEY("helpdesk", helpdesk), .max = 200, .range = "at most 200 bytes", .otherwise = "as the catalogue says",
         .help = "Whom users may contact, as it stands in the sentences: the IT service desk (phone 4711)."},
        EVENTS_KEYS(KEY, "sign-ins, limits, who was refused",
                    "The unit lets the gateway write in /var/log/postern-gateway.",
                    ": they continue the application's trace (traceparent), and relay and connector continue them"),
        {KEY("events_names", events_clear), .type = CONF_WORD, .words = event_names, .initial = "pseudonyms",
         .help = "How names of users stand in what events_file and events_socket get. pseudonyms: a keyed hash, the "
                 "same for the same name at this gateway, by a key in state_dir. clear: as typed, where the answer "
                 "shows that there is such an account."},
        {KEY("budget_ms", budget_ms), .type = CONF_NUMBER, .min = BUDGET_MIN, .max = BUDGET_MAX, .initial = "8000",
         .help = "Milliseconds that a sign-in may take, all in all."},
        {KEY("connections", connections), .type = CONF_NUMBER, .min = 16, .max = 65536, .initial = "8192",
         .help = "Connections of applications in all; over it the stalest idle one makes room."},
        {KEY("in_flight", in_flight), .type = CONF_NUMBER, .min = 1, .max = 4096, .initial = "512",
         .help = "Sign-ins under way at once; more are refused as `busy`."},
        {KEY("sandbox", sandbox), .type = CONF_WORD, .words = yes_no, .initial = "no",
         .help = "yes: `service` is of a postern-sandbox(1), which checks no password: to try out what asks this "
                 "gateway. Each HTTP answer then has the header Postern-Sandbox, and every real relay is refused; with "
                 "no, a sandbox is."},
        {KEY("state_dir", state_dir), PATH, .initial = "/var/lib/postern-gateway",
         .help = "Folder of the gateway's memory: which roster it saw last."},
        {KEY("ready_file", ready_file), PATH, .otherwise = "none is written",
         .help = "File to write the addresses to that are listened on, a line each, once they are."},
        {KEY("user_doors", user_doors), USER, .initial = "postern-doors",
         .help = "Started as root: user of the process that applications talk to."},
        {KEY("user_sealer", user_sealer), USER, .initial = "postern-sealer",
         .help = "The same of the process that holds the service's key."},
        {KEY("user_link", user_link), USER, .initial = "postern-gwlink",
         .help = "The same of the process that talks to the relay."},
        {KEY("drain_ms", drain_ms), .type = CONF_NUMBER, .max = 60000, .initial = "10000",
         .help = "Milliseconds that sign-ins under way get to finish at a stop or reload."},
        {KEY("log_level", log_level), .type = CONF_WORD, .words = conf_log_levels, .initial = "info",
         .help = "Least severe lines that are logged. No level logs passwords."},
        {KEY("confinement", confinement), .type = CONF_WORD, .words = confinements, .initial = "enforce",
         .help = "What a process may ask the kernel for once it runs, as in postern.conf(5): enforce, log or off."},
};

static const struct conf_key app_keys[] = {
        {CONF_FIELD(struct gateway_app, "secret_file", secret_file), PATH, .otherwise = "it has no secret",
         .help = "File with the secret that the application sends as `Authorization: Bearer SECRET`: 32 to 256 "
                 "letters, "
                 "digits or - . _ ~ + / =. Readable by root alone."},
        {CONF_FIELD(struct gateway_app, "certificate_name", certificate_name), .max = 253,
         .check = check_certificate_name, .range = "the name of one host", .otherwise = "it has no client certificate",
         .help = "The name that the application's client certificate bears (subjectAltName, DNS), of a CA in "
                 "`client_ca`. Who comes by TLS with such a certificate needs no secret."},
};

static const struct conf_section sections[] = {
        {.name = "gateway", .keys = keys, .n_keys = sizeof(keys) / sizeof(keys[0])},
        {.name = "application",
         .keys = app_keys,
         .n_keys = sizeof(app_keys) / sizeof(app_keys[0]),
         .which = "its name",
         .offset = offsetof(struct gateway_config, apps),
         .size = sizeof(struct gateway_app),
         .max = GATEWAY_APPS_MAX,
         .offset_n = offsetof(struct gateway_config, n_apps),
         .check = conf_check_label,
         .comment = "An application that may ask, by a secret of its own. Without any such section whoever reaches the "
                    "UNIX "
                    "socket or the loopback address may; with one, all that come by an address need their secret.",
         .title = "#application portal"},
};

static void relate_listen(struct conf_reader *r, struct gateway_config *c, const struct gateway_listen *l,
                          bool certified)
{
        const bool ldap = l->door == LISTEN_LDAP || l->door == LISTEN_LDAPS;

        if (l->kind != LISTEN_TLS && l->door != LISTEN_HTTPS && l->door != LISTEN_LDAPS)
                return;
        if (conf_lacks(r, c, "certificate"))
                conf_fault(r, c, "listen", "%s%s is %s, which needs TLS: give `certificate` and `key`",
                           gateway_listen_prefix(l), l->where,
                           l->kind == LISTEN_TLS ? "not loopback" : "by its name inside TLS");
        else if (l->kind == LISTEN_TLS && ldap && c->n_ldap_clients == 0 && !certified)
                conf_fault(r, c, "listen",
                           "%s%s is not loopback: say who may use it, by `ldap_clients`, or by `client_ca` and an "
                           "[application] with `certificate_name`",
                           gateway_listen_prefix(l), l->where);
        else if (l->kind == LISTEN_TLS && !ldap && c->n_apps == 0)
                conf_fault(r, c, "listen", "%s%s is not loopback, which needs an [application] section",
                           gateway_listen_prefix(l), l->where);
}

static int relate(struct conf_reader *r, struct conf *conf)
{
        struct gateway_config *c = (struct gateway_config *)(void *)conf;
        bool certified = false;

        c->without_guard |= c->sandbox; /* there is nobody to be locked out */
        for (size_t i = 0; i < c->n_apps; i++) {
                certified = certified || c->apps[i].certificate_name;
                if (!c->apps[i].secret_file && !c->apps[i].certificate_name)
                        conf_fault(r, &c->apps[i], "secret_file",
                                   "application %s has neither `secret_file` nor `certificate_name`", c->apps[i].name);
                else if (c->apps[i].certificate_name && conf_lacks(r, c, "client_ca"))
                        conf_fault(r, &c->apps[i], "certificate_name",
                                   "whose CA is not known: give `client_ca` in [gateway]");
        }
        for (size_t i = 0; i < c->n_listen; i++)
                relate_listen(r, c, &c->listen[i], certified);
        return 0;
}

static const struct conf_schema schema = {.size = sizeof(struct gateway_config),
                                          .sections = sections,
                                          .n_sections = sizeof(sections) / sizeof(sections[0]),
                                          .page = "postern-gateway.conf(5)",
                                          .sample = "gateway.conf.example",
                                          .relate = relate};

int gateway_config_load(struct gateway_config **ret_config, const char *path, struct buffer *merged,
                        struct conf_errors *errors)
{
        struct conf *conf = NULL;
        int r = conf_load(&conf, &schema, path, merged, errors);

        if (r == 0)
                *ret_config = (struct gateway_config *)(void *)conf;
        return r;
}

int gateway_config_of_child(struct gateway_config **ret_config, const char *name, int fd, struct error *err)
{
        struct conf *conf = NULL;
        int r = conf_from_fd(&conf, &schema, fd, err);

        (void)close(fd);
        if (r < 0)
                return r;
        *ret_config = (struct gateway_config *)(void *)conf;
        log_open(name, (*ret_config)->log_level, NULL);
        return 0;
}

struct gateway_config *gateway_config_free(struct gateway_config *config)
{
        conf_free(config ? &config->conf : NULL);
        return NULL;
}

void gateway_config_write_sample(FILE *out)
{
        static const char *const intro[] = {
                "Sample configuration of postern-gateway(8). Copy it to " GATEWAY_CONFIG_DEFAULT
                " and change what is yours; postern-gateway.conf(5) explains more. Check it with: postern-gateway "
                "--check-config",
                "Lines that begin with # are comments. The keys that are commented out show their defaults.", NULL};

        conf_write_sample(out, &schema, intro);
}

void gateway_config_write_man(FILE *out)
{
        conf_write_man(out, &schema);
}
