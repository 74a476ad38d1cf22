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

static const struct conf_section sections[] = {
        {.name = "relay", .keys = keys, .n_keys = sizeof(keys) / sizeof(keys[0])}};

static int relate(struct conf_reader *r, struct conf *conf)
{
        struct relay_config *c = (struct relay_config *)(void *)conf;
        char host[65] = "relay";

        (void)r;
        (void)gethostname(host, sizeof(host) - 1);
        if (!c->node)
                c->node = conf_text(conf, host);
        return c->node ? 0 : -ENOMEM;
}

static const struct conf_schema schema = {.size = sizeof(struct relay_config),
                                          .sections = sections,
                                          .n_sections = 1,
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
                "yours; postern-relay.conf(5) explains more. Check it with: postern-relay --config "
                "/etc/postern-relay/relay.conf --check-config",
                "Lines that begin with # are comments. The keys that are commented out show their defaults.", NULL};

        conf_write_sample(out, &schema, intro);
}

void relay_config_write_man(FILE *out)
{
        conf_write_man(out, &schema);
}
