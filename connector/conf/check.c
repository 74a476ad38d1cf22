/*
 * What one value must look like: the checkers and item parsers that the table of keys names.
 *
 * They judge form only. They never open a file or look a name up, so that --check-config says the same on
 * every host, and they don't repeat values that can hold a password.
 */
#include "connector/conf/table.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/http/http-way.h"
#include "certs/keys/key-uri.h"
#include "base/core/text.h"
#include "base/core/sid.h"
#include "base/core/typed-name.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* A DNS name: labels of 1 to 63 letters, digits, '-' and '_', no '-' at the ends. */
static bool dns_name(const char *s)
{
        size_t label = 0;
        char last = '.';

        for (const char *p = s; *p; last = *p++) {
                if (*p == '.' ? (label == 0 || last == '-') : !strchr(LOWER UPPER DIGITS "-_", *p))
                        return false;
                if (*p == '-' && label == 0)
                        return false;
                label = *p == '.' ? 0 : label + 1;
                if (label > 63)
                        return false;
        }
        return label > 0 && last != '-' && strlen(s) <= 253;
}

/* A DNS name with or without the dot at its end that says that it is whole, which all names are here. */
static bool whole_dns_name(const char *s)
{
        size_t n = strlen(s);
        char text[256];

        if (n == 0 || n >= sizeof(text) || s[n - 1] != '.')
                return dns_name(s);
        memcpy(text, s, n - 1);
        text[n - 1] = '\0';
        return dns_name(text);
}

/* A copy in lower case, and without the dot that only says that the name is whole. 0 or -ENOMEM. */
static int lower_copy(struct conf *conf, const char **slot, const char *text)
{
        char *copy = conf_text(conf, text);
        size_t n = strlen(text);

        if (!copy)
                return -ENOMEM;
        if (n > 1 && text[n - 1] == '.')
                copy[n - 1] = '\0';
        for (char *p = copy; *p; p++)
                *p = (char)tolower((unsigned char)*p);
        *slot = copy;
        return 0;
}

int check_tenant(const char *value, struct error *err)
{
        if (!value[0] || value[strspn(value, LOWER DIGITS "-")])
                return error_fail(err, -EINVAL, "'%s' has other characters", value);
        return 0;
}

/* HOST or HOST:PORT, with [V6] allowed, and nothing behind it. */
static bool authority(const char *s)
{
        char host[256];
        struct in6_addr v6;
        size_t n = s[0] == '[' ? strcspn(s, "]") : strcspn(s, ":/");
        uint64_t port;

        if (n == 0 || n >= sizeof(host))
                return false;
        memcpy(host, s, n);
        host[n] = '\0';
        if (s[0] == '[' && (s[n++] != ']' || inet_pton(AF_INET6, host + 1, &v6) != 1))
                return false;
        if (s[0] != '[' && !dns_name(host))
                return false;
        return s[n] == '\0' || (s[n] == ':' && text_parse_u64(s + n + 1, 1, 65535, &port) == 0);
}

int check_relay(const char *value, struct error *err)
{
        if (strncmp(value, "https://", 8) != 0)
                return error_fail(err, -EINVAL, "'%s' does not begin with https://", value);
        if (!authority(value + 8))
                return error_fail(err, -EINVAL, "'%s' is not HOST or HOST:PORT and nothing more", value + 8);
        return 0;
}

/* A hardware key that exists, or a file. */
int check_key(const char *value, struct error *err)
{
        if (value[0] == '/')
                return conf_check_path(value, err);
        if (key_kind_of(value, strlen(value)) == KEY_KIND_TPM_NEW)
                return error_fail(err, -EINVAL, "tpm2: makes a key; name the one that was made");
        return key_uri_check(value, NULL, err);
}

int check_realm(const char *value, struct error *err)
{
        if (!dns_name(value))
                return error_fail(err, -EINVAL, "'%s' is not a realm like CORP.EXAMPLE", value);
        return 0;
}

int check_netbios(const char *value, struct error *err)
{
        if (!typed_domain(value, strlen(value)))
                return error_fail(err, -EINVAL, "'%s' has a character that NetBIOS names can't have", value);
        return 0;
}

int check_domain_sid(const char *value, struct error *err)
{
        return sid_is_domain(value) ? 0 : error_fail(err, -EINVAL, "it is not the SID of a domain");
}

int check_bind_template(const char *value, struct error *err)
{
        const char *name = strstr(value, "{name}");

        if (!name || strstr(name + 1, "{name}"))
                return error_fail(err, -EINVAL, "it must hold {name} exactly once");
        if (!strchr(value, '='))
                return error_fail(err, -EINVAL, "'%s' is not a DN", value);
        return 0;
}

int check_service_principal(const char *value, struct error *err)
{
        const char *slash = strchr(value, '/'), *at = strchr(value, '@');

        if (!slash || slash == value || !slash[1] || slash[1] == '@' || strchr(slash + 1, '/') ||
            strpbrk(value, "\\ \t") || (at && (at < slash || !at[1] || strchr(at + 1, '@'))))
                return error_fail(err, -EINVAL, "'%s' is not SERVICE/HOST or SERVICE/HOST@REALM", value);
        return 0;
}

int check_armor_principal(const char *value, struct error *err)
{
        if (strpbrk(value, "@\\ \t"))
                return error_fail(err, -EINVAL, "'%s' is not NAME or SERVICE/HOST without a realm", value);
        return 0;
}

int check_domain_name(const char *value, struct error *err)
{
        if (!dns_name(value) || !strchr(value, '.'))
                return error_fail(err, -EINVAL, "'%s' is not a DNS name with a dot like corp.example", value);
        return 0;
}

int item_suffix(struct conf *conf, void *slot, const char *item, struct error *err)
{
        char text[512];

        /* a suffix may have letters of any script, which DNS names cannot */
        for (const char *p = item; *p; p++)
                if (*p & 0x80)
                        return typed_domain(item, strlen(item)) && !strstr(item, "..") &&
                                               typed_compose(text, sizeof(text), item, strlen(item)) == 0
                                       ? lower_copy(conf, slot, text)
                                       : error_fail(err, -EINVAL, "'%s' cannot be a suffix", item);
        if (!whole_dns_name(item))
                return error_fail(err, -EINVAL, "'%s' is not a DNS name", item);
        return lower_copy(conf, slot, item);
}

static bool numeric_address(const char *s)
{
        struct in6_addr v6;
        struct in_addr v4;

        return inet_pton(AF_INET, s, &v4) == 1 || inet_pton(AF_INET6, s, &v6) == 1;
}

/* HOST or HOST@ADDRESS into a struct dc_config. */
int item_dc(struct conf *conf, void *slot, const char *item, struct error *err)
{
        struct dc_config *dc = slot;
        const char *at = strchr(item, '@');
        char host[256];
        size_t n = at ? (size_t)(at - item) : strlen(item);

        if (n >= sizeof(host))
                return error_fail(err, -EINVAL, "'%s' is too long for a host's name", item);
        memcpy(host, item, n);
        host[n] = '\0';
        if (!whole_dns_name(host) || numeric_address(host))
                return error_fail(err, -EINVAL, "'%s' is not a host's name, which must be the one in its certificate",
                                  host);
        if (at && !numeric_address(at + 1))
                return error_fail(err, -EINVAL, "'%s' behind the @ is not a numeric address", at + 1);
        if (lower_copy(conf, &dc->host, host) < 0)
                return -ENOMEM;
        return at && !(dc->address = conf_text(conf, at + 1)) ? -ENOMEM : 0;
}

int item_method(struct conf *conf, void *slot, const char *item, struct error *err)
{
        enum method m = strcmp(item, "krb5") == 0 ? METHOD_KRB5 : strcmp(item, "ldap") == 0 ? METHOD_LDAP : METHOD_NONE;

        (void)conf;
        if (m == METHOD_NONE)
                return error_fail(err, -EINVAL, "'%s' is not a method", item);
        memcpy(slot, &m, sizeof(m));
        return 0;
}

int check_pin(const char *value, struct error *err)
{
        uint8_t digest[32];

        if (b64u_decode_exact(digest, sizeof(digest), value, strlen(value)) < 0)
                return error_fail(err, -EINVAL, "'%s' is not the base64url form of 32 bytes", value);
        return 0;
}

/* One ADDRESS, ADDRESS:PORT or [IPV6]:PORT. */
static bool is_dns_server(const char *s, size_t n)
{
        char text[80], *host = text, *port = NULL;
        struct in6_addr address;

        if (n == 0 || n >= sizeof(text))
                return false;
        memcpy(text, s, n);
        text[n] = '\0';
        if (text[0] == '[') {
                host = text + 1;
                port = strchr(text, ']');
                if (!port || (port[1] && port[1] != ':'))
                        return false;
                *port++ = '\0';
        } else if (strchr(text, ':') == strrchr(text, ':')) {
                port = strchr(text, ':');
        }
        if (port && *port == ':') {
                *port++ = '\0';
                if (!*port || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 ||
                    strtoul(port, NULL, 10) - 1 >= 65535)
                        return false;
        }
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

int check_dns_servers(const char *value, struct error *err)
{
        for (const char *s = value;; s++) {
                size_t n;

                s += strspn(s, " \t");
                n = strcspn(s, ", \t");

                if (!is_dns_server(s, n))
                        return error_fail(err, -EINVAL, "'%.*s' is no address of a name server", (int)n, s);
                s += n;
                s += strspn(s, " \t");
                if (!*s)
                        return 0;
                if (*s != ',')
                        return error_fail(err, -EINVAL, "a comma is missing before '%s'", s);
        }
}

int check_attribute(const char *value, struct error *err)
{
        if (!isalpha((unsigned char)value[0]) ||
            strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != strlen(value))
                return error_fail(err, -EINVAL, "'%s' is no name of an attribute", value);
        return 0;
}

int check_told(const char *value, struct error *err)
{
        static const char *const secret[] = {"unicodePwd", "userPassword", "supplementalCredentials",
                                             "msDS-ManagedPassword", "ms-Mcs-AdmPwd"};

        for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
                if (strcasecmp(value, secret[i]) == 0)
                        return error_fail(err, -EINVAL, "'%s' holds a password, which a verdict never carries", value);
        return check_attribute(value, err);
}

int check_base(const char *value, struct error *err)
{
        if (!strchr(value, '=') || value[0] == '=')
                return error_fail(err, -EINVAL, "'%s' is not a DN", value);
        return 0;
}

int check_account(const char *value, struct error *err)
{
        const char *at = strchr(value, '@'), *slash = strchr(value, '\\');

        if ((at != NULL) == (slash != NULL) || at == value || slash == value || (at && !at[1]) || (slash && !slash[1]))
                return error_fail(err, -EINVAL, "'%s' is neither NAME@SUFFIX nor NETBIOS\\NAME", value);
        return 0;
}
