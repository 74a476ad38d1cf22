/*
 * The table of flaws: of name, way, connection, TLS and certificate, each with what to do.
 *
 * Invariant: the first row whose phrase the sentence holds is it; what is said of a proxy stands before what is said of
 * any connection.
 */
#include "certs/http/http-flaw.h"

#include <stdbool.h>
#include <string.h>

/* clang-format off */
static const struct http_flaw flaws[] = {
        {"proxy_refuses_password", "refuses its user or password (407", "Correct user and password in proxy (or https_proxy)", "The proxy on the way to the relay refuses the user and password that are configured"},
        {"proxy_asks_password", "asks for a user and password (407", "Write user and password into proxy (http://USER:PASSWORD@HOST:PORT), or have the proxy let the relay's host pass without", "The proxy on the way to the relay asks for a user and password"},
        {"proxy_forbids", "forbids the connection (403)", "Have the proxy's operator allow the relay's host and port", "The proxy on the way to the relay does not let connections to it pass"},
        {"proxy_dns", "the name of the proxy does not resolve", "Correct proxy (or https_proxy), or the DNS of this host", "The name of the proxy is known to no name server"},
        {"proxy_refused", "the proxy cannot be reached", "Check that the proxy runs, and address and port in proxy (or https_proxy)", "Nobody takes connections at the proxy's address"},
        {"proxy_answers", "the proxy answered ", "Ask the proxy's operator why it answers so", "The proxy could not, or would not, make the connection to the relay"},
        {"relay_dns", "its name does not resolve", "Check the URL of the relay, and the name servers of this host (/etc/resolv.conf)", "The relay's name is known to no name server"},
        {"relay_timeout", "no connection in time", "Check that the firewall lets this host out to the relay's address and port, and whether a proxy is needed", "Nothing answered at the relay's address: it is down, or something on the way swallows packets"},
        {"relay_refused", "no connection (Connection refused)", "Check that the relay runs, and its address and port; where a proxy is needed, set proxy", "Nobody takes connections at the relay's address and port"},
        {"relay_unreachable", "no connection (", "Check the network of this host and the route to the relay", "This host has no way to the relay's network"},
        {"relay_certificate_name", "its certificate is for another name", "Use the name of the relay that its certificate names, or give the relay a certificate for this one. If the names are nobody's that you know, something on the way breaks TLS open", "Who answers shows a certificate of another name than the relay's"},
        {"relay_certificate_ca", "its certificate is not signed by a CA known here", "Set relay_ca_file to the CA that issued it. If the issuer is a firewall's or a proxy's, have it leave connections to the relay alone: Postern does not let TLS be broken open", "Who answers shows a certificate of a CA that is not known here: the relay's CA is not configured, or something on the way breaks TLS open"},
        {"relay_certificate_expired", "its certificate has expired", "Have the relay's operator renew it; if its date lies in the future, set the clock of this host", "The relay's certificate has expired"},
        {"relay_certificate_not_yet", "its certificate is not valid yet", "Set the clock of this host (chronyd, systemd-timesyncd)", "The relay's certificate begins in the future"},
        {"relay_certificate", "its certificate is not accepted", "Have the relay's operator look at its certificate", "The relay's certificate is not one for a server"},
        {"relay_tls", "TLS fails", "Check that the port is the relay's and speaks TLS 1.2 or later; a firewall may break the connection off", "What answers speaks no TLS that this host takes"},
        {"relay_broke", "the connection broke", "It is tried again by itself; a firewall or proxy on the way may end connections that are long or idle", "The connection ended before the relay had answered"},
        {"relay_silent", "no answer in time", "Check the way with postern check; a proxy or firewall may hold answers back", "The relay took the connection and answered nothing"},
        {"relay_silent", "no hello", "Check the way with postern check: nothing answers, or a proxy or firewall holds the stream back", "The relay took the connection and answered nothing"},
};
/* clang-format on */

const struct http_flaw *http_flaw_at(size_t i)
{
        size_t n = 0;

        for (size_t k = 0; k < sizeof(flaws) / sizeof(flaws[0]); k++) {
                bool again = false;

                for (size_t before = 0; before < k; before++)
                        again |= strcmp(flaws[before].id, flaws[k].id) == 0;
                if (!again && n++ == i)
                        return &flaws[k];
        }
        return NULL;
}

const struct http_flaw *http_flaw_find(const char *why)
{
        for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++)
                if (strstr(why, flaws[i].phrase))
                        return &flaws[i];
        return NULL;
}
