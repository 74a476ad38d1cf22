/*
 * The forms of a proxy's URL, and no_proxy.
 *
 * Invariant: a proxy is taken as it is understood here, or refused; libcurl gets no text that it could read in another
 * way. User and password are percent-encoded (RFC 3986, and a bare backslash as in CORP\user): an @, / or # in one of
 * them would end it for one reader and not for another.
 */
#include "certs/http/http-way.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/secret.h"
#include "base/core/text.h"

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define PORT_DEFAULT 1080 /* libcurl's for proxies */

static const struct scheme {
        const char *name;
        uint16_t port;
        bool tls, takes_addresses;
} schemes[] = {{"http", PORT_DEFAULT, false, false},  {"https", 443, true, false},
               {"socks4", PORT_DEFAULT, false, true}, {"socks4a", PORT_DEFAULT, false, false},
               {"socks5", PORT_DEFAULT, false, true}, {"socks5h", PORT_DEFAULT, false, false}};

void http_way_clear(struct http_way *way)
{
        wipe(way, sizeof(*way));
}

/* ---- a proxy's URL ---- */

/* The scheme, and what follows it; without one it is http. NULL: another. */
static const struct scheme *take_scheme(const char **text)
{
        const char *end = strstr(*text, "://");
        size_t n = end ? (size_t)(end - *text) : 0;

        if (!end)
                return &schemes[0];
        for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
                if (strlen(schemes[i].name) == n && strncasecmp(schemes[i].name, *text, n) == 0) {
                        *text = end + 3;
                        return &schemes[i];
                }
        return NULL;
}

/* Percent-decodes n bytes into out; false where a byte may not stand there, or out is too short. */
static bool decode(char out[HTTP_WAY_NAME_MAX + 1], const char *text, size_t n)
{
        size_t to = 0;

        for (size_t i = 0; i < n; i++) {
                int c = (unsigned char)text[i];

                if (c == '%') {
                        const unsigned high = i + 2 < n ? hex_value(text[i + 1]) : 16;
                        const unsigned low = i + 2 < n ? hex_value(text[i + 2]) : 16;

                        if (high > 15 || low > 15)
                                return false;
                        c = (int)(high << 4 | low);
                        i += 2;
                } else if (c < 0x80 && !strchr(ALPHANUMERIC "-._~!$&'()*+,;=:\\", c)) {
                        return false;
                }
                if (c < 0x20 || c == 0x7f || to == HTTP_WAY_NAME_MAX)
                        return false;
                out[to++] = (char)c;
        }
        out[to] = '\0';
        return utf8_valid(out, to);
}

/* HOST or HOST:PORT, with [V6] allowed, and nothing behind it but one '/'. */
static bool take_authority(struct http_way *way, const struct scheme *scheme, const char *text)
{
        const bool v6 = text[0] == '[';
        const char *host = text + v6, *end = host + strcspn(host, v6 ? "]" : ":/");
        struct in6_addr address;
        uint64_t port = scheme->port;
        char digits[8] = "";

        if (end == host || end - host > HTTP_WAY_NAME_MAX || (v6 && *end != ']'))
                return false;
        memcpy(way->host, host, (size_t)(end - host));
        if (v6 ? inet_pton(AF_INET6, way->host, &address) != 1
               : way->host[strspn(way->host, ALPHANUMERIC "-._")] || way->host[0] == '-' || way->host[0] == '.')
                return false;
        end += v6;
        if (*end == ':') {
                size_t n = strspn(end + 1, "0123456789");
                if (n == 0 || n >= sizeof(digits))
                        return false;
                memcpy(digits, end + 1, n);
                end += 1 + n;
        }
        if ((digits[0] && text_parse_u64(digits, 1, 65535, &port) < 0) || (*end && strcmp(end, "/") != 0))
                return false;
        way->port = (uint16_t)port;
        (void)snprintf(way->url, sizeof(way->url), "%s://%s%s%s:%u", scheme->name, v6 ? "[" : "", way->host,
                       v6 ? "]" : "", way->port);
        return true;
}

static int take_proxy(struct http_way *way, const char *text, struct error *err)
{
        const struct scheme *scheme = take_scheme(&text);
        const char *at = strrchr(text, '@'), *colon = at ? memchr(text, ':', (size_t)(at - text)) : NULL;
        const char *end = colon ? colon : at; /* of the user; what follows the colon is the password */

        if (!scheme)
                return error_fail(err, -EINVAL, "it does not begin with " HTTP_WAY_SCHEMES);
        way->has_user = at != NULL;
        if (at && (end == text || !decode(way->user, text, (size_t)(end - text)) ||
                   !decode(way->password, colon ? colon + 1 : "", colon ? (size_t)(at - colon) - 1 : 0)))
                return error_fail(err, -EINVAL,
                                  "its user or password can't be read: write all but letters, digits and "
                                  "- . _ ~ ! $ & ' ( ) * + , ; = percent-encoded (@ is %%40, / is %%2F, # "
                                  "is %%23, %% is %%25), each at most %d bytes",
                                  HTTP_WAY_NAME_MAX);
        if (!take_authority(way, scheme, at ? at + 1 : text))
                return error_fail(err, -EINVAL, "its end is not HOST:PORT and nothing more");
        way->tls = scheme->tls;
        way->takes_addresses = scheme->takes_addresses;
        return 0;
}

int http_way_check(const char *proxy, struct error *err)
{
        struct http_way way = {0};
        int r = take_proxy(&way, proxy, err);

        http_way_clear(&way);
        return r;
}

/* ---- the environment ---- */

static const char *variable(const char *const names[], const char **ret_name)
{
        for (; *names; names++) {
                const char *value = getenv(*names);
                if (value && *value) {
                        *ret_name = *names;
                        return value;
                }
        }
        return NULL;
}

int http_way_proxy(struct http_way *ret_way, const char *configured, struct error *err)
{
        static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
        const char *name = "proxy", *text = configured ? configured : variable(names, &name);
        struct http_way way = {0};
        int r = text && *text ? take_proxy(&way, text, err) : 0;

        if (r == 0)
                *ret_way = way;
        http_way_clear(&way);
        return r < 0 ? error_prefix(err, r, "%s%s", name, text == configured ? "" : " of the environment") : 0;
}

static int numeric(const char *text, unsigned char out[16])
{
        return inet_pton(AF_INET, text, out) == 1 ? 4 : inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

/* ADDRESS or ADDRESS/BITS against a host that is an address of n bytes. */
static bool range_holds(char *range, const unsigned char *host, int n)
{
        char *slash = strchr(range, '/');
        unsigned char address[16];
        uint64_t bits = (uint64_t)n * 8;
        size_t len = strlen(range);

        if (slash) {
                *slash = '\0';
                if (text_parse_u64(slash + 1, 0, (uint64_t)n * 8, &bits) < 0)
                        return false;
        } else if (range[0] == '[' && range[len - 1] == ']') {
                range[len - 1] = '\0';
                range++;
        }
        if (numeric(range, address) != n || memcmp(address, host, bits / 8) != 0)
                return false;
        return bits % 8 == 0 || (address[bits / 8] ^ host[bits / 8]) >> (8 - bits % 8) == 0;
}

/* The name itself, or below it. Dots at the ends say nothing. */
static bool name_holds(const char *name, const char *host)
{
        size_t n, len = strlen(host);

        name += strspn(name, ".");
        for (n = strlen(name); n > 0 && name[n - 1] == '.'; n--)
                ;
        while (len > 0 && host[len - 1] == '.')
                len--;
        return n > 0 && n <= len && strncasecmp(host + len - n, name, n) == 0 && (n == len || host[len - n - 1] == '.');
}

static bool excepted(const char *host)
{
        static const char *const names[] = {"no_proxy", "NO_PROXY", NULL};
        const char *name, *list = variable(names, &name);
        unsigned char address[16];
        const int n = numeric(host, address);
        char item[HTTP_WAY_NAME_MAX + 1];

        while (list && *list) {
                size_t len = strcspn(list, ", \t");
                if (len > 0 && len < sizeof(item)) {
                        memcpy(item, list, len);
                        item[len] = '\0';
                        if (strcmp(item, "*") == 0 || (n ? range_holds(item, address, n) : name_holds(item, host)))
                                return true;
                }
                list += len;
                list += strspn(list, ", \t");
        }
        return false;
}

int http_way_to(struct http_way *ret_way, const char *host, const char *configured, struct error *err)
{
        if (!configured && excepted(host)) {
                *ret_way = (struct http_way){0};
                return 0;
        }
        return http_way_proxy(ret_way, configured, err);
}
