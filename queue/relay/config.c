/*
 * The table of the relay's configuration keys, for the engine of base/conf.
 *
 * A key exists exactly if it has a row here: the reader, --check-config, the sample file and postern-relay.conf(5) all
 * come from this table. Paths are not opened here.
 */
#include "queue/relay/config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "base/events/keys.h"

/* ADDRESS:PORT into a struct relay_listen. */
static int item_listen(struct conf *conf, void *slot, const char *item, struct error *err)
{
        struct relay_listen *l = slot;

        (void)conf;
        return conf_address(item, l->host, sizeof(l->host), &l->port, err);
}

static int check_node_url(const char *value, struct error *err)
{
        if (strncmp(value, "https://", 8) != 0 || strlen(value) > 256)
                return error_fail(err, -EINVAL, "'%s' is not an https:// address of at most 256 bytes", value);
        return 0;
}

/* tls://HOST:PORT. */
static int check_server(const char *value, struct error *err)
{
        const size_t scheme = strlen("tls://");
        const char *colon = memrchr(value, ':', strlen(value));
        uint64_t port;

        if (strchr(value, '@'))
                return error_fail(err, -EINVAL, "a user belongs into store_login and dispatch_login, not here");
        if (strncmp(value, "tls://", scheme) != 0 || colon <= value + scheme || colon - value > 259 ||
            strpbrk(value + scheme, "/ ,") || text_parse_u64(colon + 1, 1, 65535, &port) < 0)
                return error_fail(err, -EINVAL, "'%s' is not tls://HOST:PORT", value);
        return 0;
}

#define WORD_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static int check_bucket(const char *value, struct error *err)
{
        return strspn(value, WORD_CHARS) == strlen(value)
                       ? 0
                       : error_fail(err, -EINVAL, "'%s' has other characters", value);
}

static int check_subject(const char *value, struct error *err)
{
        const size_t n = strlen(value);

        if (strspn(value, WORD_CHARS ".") != n || value[0] == '.' || (n && value[n - 1] == '.') || strstr(value, ".."))
                return error_fail(err, -EINVAL, "'%s' is not words with dots between", value);
        return 0;
}

static const struct conf_word stores[] = {{"sqlite", RELAY_ALONE}, {"nats", RELAY_ON_NATS}, {NULL, 0}};
static const struct conf_word dispatches[] = {{"local", RELAY_ALONE}, {"nats", RELAY_ON_NATS}, {NULL, 0}};

#define KEY(key, field) CONF_FIELD(struct relay_config, key, field)
#define ITEMS(key, field)                                                                                              \
        CONF_ITEMS(struct relay_config, key, field), .offset_n = offsetof(struct relay_config, n_##field)
#define PATH .max = 256, .check = conf_check_path, .range = "an absolute path"

static const struct conf_key keys[] = {
        {ITEMS("listen", listen), .item = item_listen, .required = true, .repeats = true,
         .range = "1 to 8 of ADDRESS:PORT, IPv6 in brackets; the key may be repeated",
         .example = "0.0.0.0:443\n[::]:443",
         .help = "Numeric addresses to listen on, like 0.0.0.0:443 or [::]:443. Port 0 takes a free one."},
        {KEY("certificate", certificate), PATH, .required = true, .example = "/etc/postern-relay/relay.pem",
         .help = "The server's TLS certificate (PEM, with its chain). It must be readable by `user`; SIGHUP reads it "
                 "again."},
        {KEY("key", key), PATH, .required = true, .example = "/etc/postern-relay/relay.key",
         .help = "The key of the certificate (PEM), by the same rules."},
        {KEY("state_dir", state_dir), PATH, .initial = "/var/lib/postern-relay",
         .help = "Folder of the database and the transport CA, whose key is made at the first start. It must exist "
                 "and belong to `user`; nobody else needs to read it."},
        {KEY("user", user), .max = 32, .check = conf_check_user, .range = "a system user other than root",
         .otherwise = "the relay stays who started it", .example = "postern-relay",
         .help = "Started as root, the relay becomes this user once it listens, and its words (tenant, token ...) do "
                 "before they open the database."},
        {KEY("node", node), .max = 64, .range = "at most 64 bytes", .otherwise = "the host's name",
         .help = "Name of this node in answers and logs."},
        {ITEMS("node_url", nodes), .check = check_node_url, .repeats = true,
         .range = "up to 4 https:// addresses; the key may be repeated", .otherwise = "there is one node",
         .help = "Addresses of every node of this relay, this one included, each on a host of its own: connectors "
                 "link to each, so that any of them may fail. Every node names all, and has a `node` of its own. "
                 "Connectors pass over an address that is neither on the host of their own `relay` nor on one beside "
                 "it, as n2.example.com is beside n1.example.com."},
        {KEY("store", store), .type = CONF_WORD, .words = stores, .initial = "sqlite",
         .help = "Where tenants, tokens, connectors, rosters and events are kept: sqlite, a database in state_dir, for "
                 "one node; "
                 "nats, in the JetStream of section [nats], for several nodes with one truth, of which each keeps a "
                 "copy in state_dir. Records of sign-ins stay in each node's own state_dir."},
        {KEY("dispatch", dispatch), .type = CONF_WORD, .words = dispatches, .initial = "local",
         .help = "How a sign-in finds a connector: local, among the links of this node; nats, also among those of the "
                 "other nodes, by section [nats]."},
        {KEY("ready_file", ready_file), PATH, .otherwise = "none is written",
         .help = "File to write the addresses to that the relay listens on, one ADDRESS:PORT per line, once it does."},
        {KEY("metrics_socket", metrics_socket), .max = 100, .check = conf_check_path,
         .range = "an absolute path of at most 100 bytes", .otherwise = "none is made",
         .example = "/run/postern-relay/metrics.sock",
         .help = "UNIX socket that answers GET /metrics over HTTP with what Prometheus reads: tenants, links, "
                 "problems, certificates; no user's name, for the relay knows none. Its owner and `metrics_group` may "
                 "connect."},
        {KEY("metrics_group", metrics_group), .max = 32, .check = conf_check_user, .range = "a group other than root",
         .otherwise = "the group of who starts the relay",
         .help = "Group whose members may connect to `metrics_socket`."},
        EVENTS_KEYS(KEY, "sign-ins as they ended here, events, what administrators did",
                    "It must be writable by `user`. The unit lets the relay write in /var/log/postern-relay.",
                    ": they continue the caller's trace (traceparent), and the connector continues them"),
        {KEY("log_level", log_level), .type = CONF_WORD, .words = conf_log_levels, .initial = "info",
         .help = "Least severe lines that are logged. No level shows a name, a secret or anything sealed."},
        {KEY("certificate_days", certificate_days), .type = CONF_NUMBER, .min = 1, .max = 30, .initial = "30",
         .help = "Days that a connector's transport certificate lives; connectors renew it by themselves at two "
                 "thirds."},
        {KEY("certificate_minutes", certificate_minutes), .type = CONF_NUMBER, .max = 43200, .initial = "0",
         .help = "Life of a transport certificate in minutes, where not 0, instead of days: for connectors that must "
                 "be off "
                 "for hardly any time without enrolling again."},
        {KEY("connections", connections), .type = CONF_NUMBER, .min = 16, .max = 65536, .initial = "4096",
         .help = "Connections in all, of which a connector's link has two; over it the stalest without work makes "
                 "room. "
                 "Each takes a descriptor: the relay does not start where it may not open 64 files more than this "
                 "(LimitNOFILE= of its unit)."},
        {KEY("connections_per_address", connections_per_address), .type = CONF_NUMBER, .min = 1, .max = 65536,
         .initial = "1024",
         .help = "Connections from one address, of IPv6 from one /64; over it the stalest makes room."},
        {KEY("links_per_tenant", links_per_tenant), .type = CONF_NUMBER, .min = 1, .max = 1024, .initial = "64",
         .help = "Links of one tenant's connectors."},
        {KEY("in_flight_per_tenant", in_flight_per_tenant), .type = CONF_NUMBER, .min = 1, .max = 65536,
         .initial = "4096", .help = "Sign-ins of one tenant that are under way at once."},
        {KEY("sign_ins_per_second", sign_ins_per_second), .type = CONF_NUMBER, .min = 1, .max = 100000,
         .initial = "2000",
         .help = "Rate of sign-ins of one bearer secret: a bucket of `sign_in_burst` fills at this rate."},
        {KEY("sign_in_burst", sign_in_burst), .type = CONF_NUMBER, .min = 1, .max = 100000, .initial = "4000",
         .help = "Sign-ins of one bearer secret at once."},
};

#define LOGIN PATH, .otherwise = "it is not used"
#define LOGIN_FORMS                                                                                                    \
        "The file holds two lines, user and password; or the seed of an nkey (SU...); or what `nsc` calls a .creds "   \
        "file. It must be readable by `user` and by nobody else; SIGHUP reads it again."

#define NATS(key, field) CONF_FIELD(struct relay_nats, key, field)

static const struct conf_key nats_keys[] = {
        {CONF_ITEMS(struct relay_nats, "server", servers), .offset_n = offsetof(struct relay_nats, n_servers),
         .check = check_server, .repeats = true, .range = "1 to 8 of tls://HOST:PORT; the key may be repeated",
         .otherwise = "none",
         .help = "The NATS servers, of which three make a cluster that may lose one. All connections are by TLS."},
        {NATS("ca", ca), PATH, .otherwise = "none",
         .help = "Authority of the servers' certificates (PEM), which must name HOST."},
        {NATS("certificate", certificate), PATH, .otherwise = "none is shown", .needs = {{"key", NULL}},
         .help = "Client certificate to show to servers that ask for one (PEM, with its chain)."},
        {NATS("key", key), PATH, .otherwise = "none", .needs = {{"certificate", NULL}},
         .help = "The key of the client certificate (PEM)."},
        {NATS("store_login", store_login), LOGIN,
         .help = "Who the store is to NATS: a user of an account with JetStream, in which no sign-in "
                 "travels. " LOGIN_FORMS},
        {NATS("dispatch_login", dispatch_login), LOGIN,
         .help = "Who dispatch is to NATS: a user of another account, which has no JetStream. By the same rules."},
        {NATS("bucket", bucket), .max = 32, .check = check_bucket, .initial = "postern",
         .range = "1 to 32 of A-Z a-z 0-9 _ -",
         .help = "Key-value bucket of the store; its stream is KV_BUCKET. The first node makes it."},
        {NATS("replicas", replicas), .type = CONF_NUMBER, .min = 1, .max = 5, .initial = "3",
         .help = "Servers that keep a copy of the bucket, when it is made: of 3 any one may fail."},
        {NATS("subject", subject), .max = 64, .check = check_subject, .initial = "postern",
         .range = "1 to 64 of A-Z a-z 0-9 _ - .", .help = "What the subjects of dispatch begin with."},
};

static const struct conf_section sections[] = {
        {.name = "relay", .keys = keys, .n_keys = sizeof(keys) / sizeof(keys[0])},
        {.name = "nats",
         .keys = nats_keys,
         .n_keys = sizeof(nats_keys) / sizeof(nats_keys[0]),
         .offset = offsetof(struct relay_config, nats)}};

/* What a part that is on NATS needs. */
static void relate_nats(struct conf_reader *r, const struct relay_config *c, const char *part, const char *login)
{
        if (conf_lacks(r, &c->nats, "server"))
                conf_fault(r, &c->nats, "server", "%s = nats needs the servers, in section [nats]", part);
        if (conf_lacks(r, &c->nats, "ca"))
                conf_fault(r, &c->nats, "ca", "%s = nats needs it, in section [nats]", part);
        if (conf_lacks(r, &c->nats, login))
                conf_fault(r, &c->nats, login, "%s = nats needs it, in section [nats]", part);
}

static int relate(struct conf_reader *r, struct conf *conf)
{
        struct relay_config *c = (struct relay_config *)(void *)conf;
        char host[65] = "relay";

        if (c->store == RELAY_ON_NATS)
                relate_nats(r, c, "store", "store_login");
        if (c->dispatch == RELAY_ON_NATS)
                relate_nats(r, c, "dispatch", "dispatch_login");
        if (c->nats.store_login && c->nats.dispatch_login && strcmp(c->nats.store_login, c->nats.dispatch_login) == 0)
                conf_fault(r, &c->nats, "dispatch_login", "it is store_login: the two are users of separate accounts");
        (void)gethostname(host, sizeof(host) - 1);
        if (!c->node)
                c->node = conf_text(conf, host);
        return c->node ? 0 : -ENOMEM;
}

static const struct conf_schema schema = {.size = sizeof(struct relay_config),
                                          .sections = sections,
                                          .n_sections = sizeof(sections) / sizeof(sections[0]),
                                          .page = "postern-relay.conf(5)",
                                          .sample = "relay.conf.example",
                                          .relate = relate};

int relay_config_load(struct relay_config **ret_config, const char *path, struct conf_errors *errors)
{
        struct conf *conf = NULL;
        int r = conf_load(&conf, &schema, path, NULL, errors);

        if (r == 0)
                *ret_config = (struct relay_config *)(void *)conf;
        return r;
}

struct relay_config *relay_config_free(struct relay_config *config)
{
        conf_free(config ? &config->conf : NULL);
        return NULL;
}

void relay_config_write_sample(FILE *out)
{
        static const char *const intro[] = {
                "Sample configuration of postern-relay(8). Copy it to /etc/postern-relay/relay.conf and change what is "
                "yours; postern-relay.conf(5) explains more. Check it with: postern-relay --check-config",
                "Lines that begin with # are comments. The keys that are commented out show their defaults.", NULL};

        conf_write_sample(out, &schema, intro);
}

void relay_config_write_man(FILE *out)
{
        conf_write_man(out, &schema);
}
