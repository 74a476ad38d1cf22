/*
 * The table of the page's configuration keys, for the engine of base/conf.
 *
 * A key exists exactly if it has a row here: the reader, --check-config, the sample file and postern-web.conf(5) all
 * come from this table. Nothing is opened or listened on here.
 */
#include "connector/web/config.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"

/* The page has no TLS of its own, so it listens where no network is. */
static int check_listen(const char *value, struct error *err)
{
        char host[64];
        uint16_t port;
        int r = conf_address(value, host, sizeof(host), &port, err);

        if (r == 0 && strncmp(host, "127.", 4) != 0 && strcmp(host, "::1") != 0)
                r = error_fail(
                        err, -EINVAL,
                        "'%s' is not of loopback (127.x.x.x or [::1]); others reach the page through a reverse proxy "
                        "and `socket`",
                        value);
        return r;
}

/* A token of RFC 9110. */
static int check_header(const char *value, struct error *err)
{
        if (!value[0] ||
            strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") < strlen(value))
                return error_fail(err, -EINVAL, "'%s' is not the name of a header", value);
        return 0;
}

static int check_host(const char *value, struct error *err)
{
        if (!value[0] || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") < strlen(value))
                return error_fail(err, -EINVAL, "'%s' is not a host name in lower case, with :PORT unless it is 443",
                                  value);
        return 0;
}

#define KEY(key, field) CONF_FIELD(struct web_config, key, field)
#define TEXTS(key, field, most)                                                                                        \
        CONF_FIELD(struct web_config, key, field[0]), .type = CONF_LIST, .max = (most), .repeats = true
#define PATH .max = 100, .check = conf_check_path, .range = "an absolute path of at most 100 bytes"

static const struct conf_key keys[] = {
        {KEY("control", control), PATH, .initial = "/run/postern/control.sock",
         .help = "The socket of the posternd on this host: control.sock in its runtime_dir. Its control_group must be "
                 "the group of this page (postern-web)."},
        {KEY("everywhere", everywhere), PATH, .otherwise = "the page shows the connector of this host",
         .help = "On a helpdesk host, which has no connector: the socket of postern-asker, /run/postern-asker.sock. "
                 "The "
                 "page then shows all connectors of the tenant, as that person may see them whose key postern-asker "
                 "holds (postern-web(8)), and control is not used."},
        {KEY("account", account), PATH, .otherwise = "the page shows no account of the directory",
         .help = "The socket of postern-account, /run/postern-account.sock, by which people on this page see an "
                 "account's "
                 "state in the directory, as `postern account` shows it (reader, postern.conf(5)). Its SocketGroup "
                 "must be "
                 "the group of this page (postern-web)."},
        {KEY("listen", listen), .max = 64, .check = check_listen, .range = "ADDRESS:PORT of loopback",
         .otherwise = "nobody is let in by a link", .example = "127.0.0.1:8470",
         .help = "Where an administrator on this host opens the page, by a link for one use that `postern page` "
                 "gives."},
        {KEY("admit", admit), PATH, .initial = "/run/postern-web/admit.sock",
         .help = "The socket that gives out those links, to root and to members of this page's group."},
        {KEY("socket", socket), PATH, .otherwise = "no reverse proxy is served",
         .help = "A socket for a reverse proxy that signs people in (by OpenID Connect, for one) and has the TLS "
                 "certificate. Only proxy_user is answered there.",
         .needs = {{"proxy_user", "who may ask there"}, {"host", "under which name the proxy is reached"}}},
        {KEY("proxy_user", proxy_user), .max = 32, .check = conf_check_user, .range = "a system user other than root",
         .help = "As whom the reverse proxy runs, www-data for one: whoever else connects to `socket` is refused.",
         .needs = {{"socket", NULL}}},
        {KEY("user_header", user_header), .max = 64, .check = check_header, .range = "the name of a header",
         .initial = "X-Forwarded-User",
         .help = "The header in which the proxy tells who is signed in. The proxy must overwrite what a browser sent "
                 "under this name."},
        {KEY("group_header", group_header), .max = 64, .check = check_header, .range = "the name of a header",
         .initial = "X-Forwarded-Groups",
         .help = "The header with that person's groups, separated by commas. By the same rule."},
        {TEXTS("host", hosts, WEB_HOSTS_MAX), .check = check_host,
         .range = "up to 8 names in lower case, with :PORT where that is not 443; the key may be repeated",
         .otherwise = "the addresses of `listen` alone",
         .help = "Names under which browsers reach the proxy. A request for another name is refused, so that no other "
                 "site's name can be pointed at this page."},
        {KEY("helpdesk_group", helpdesk_groups), .max = 1024, .range = "names of groups, with commas between",
         .otherwise = "nobody has the role",
         .help = "Whoever is in one of these groups, by group_header, may look up sign-ins."},
        {KEY("admin_group", admin_groups), .max = 1024, .range = "names of groups, with commas between",
         .otherwise = "nobody has the role", .help = "The same, and sees which names are refused most."},
        {KEY("title", title), .max = 64, .range = "at most 64 bytes", .initial = "Postern",
         .help = "What the page is called, at the top of each."},
        {KEY("log_level", log_level), .type = CONF_WORD, .words = conf_log_levels, .initial = "info",
         .help = "Least severe lines that are logged. Who looked what up is of level info."},
};

static const struct conf_section sections[] = {{.name = "web", .keys = keys, .n_keys = sizeof(keys) / sizeof(keys[0])}};

static int relate(struct conf_reader *r, struct conf *conf)
{
        const struct web_config *c = (const struct web_config *)(const void *)conf;

        if (!c->listen && !c->socket)
                conf_fault(r, conf, "listen", "neither listen nor socket is given, so nobody could reach the page");
        if (c->everywhere && c->account)
                conf_fault(
                        r, conf, "account",
                        "with everywhere there is no directory to ask: postern-account belongs to a connector's host");
        if (c->socket && !c->helpdesk_groups && !c->admin_groups)
                conf_fault(r, conf, "socket",
                           "neither helpdesk_group nor admin_group is given, so nobody would be let in");
        return 0;
}

static const struct conf_schema schema = {.size = sizeof(struct web_config),
                                          .sections = sections,
                                          .n_sections = 1,
                                          .page = "postern-web.conf(5)",
                                          .sample = "web.conf.example",
                                          .relate = relate};

int web_config_load(struct web_config **ret_config, const char *path, struct conf_errors *errors)
{
        struct conf *conf = NULL;
        int r = conf_load(&conf, &schema, path, NULL, errors);

        if (r == 0)
                *ret_config = (struct web_config *)(void *)conf;
        return r;
}

struct web_config *web_config_free(struct web_config *config)
{
        conf_free(config ? &config->conf : NULL);
        return NULL;
}

void web_config_write_sample(FILE *out)
{
        static const char *const intro[] = {
                "Sample configuration of postern-web(8). Copy it to /etc/postern-web/web.conf and change what is "
                "yours; "
                "postern-web.conf(5) explains more. Check it with: postern-web --config /etc/postern-web/web.conf "
                "--check-config",
                "Lines that begin with # are comments. The keys that are commented out show their defaults.", NULL};

        conf_write_sample(out, &schema, intro);
}

void web_config_write_man(FILE *out)
{
        conf_write_man(out, &schema);
}
