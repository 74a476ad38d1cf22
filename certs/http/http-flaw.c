/*
 * The table of flaws: of name, way, connection, TLS and certificate, each with what to do.
 *
 * Invariant: the first row whose phrase the sentence holds is it; what is said of a proxy stands before what is said of
 * any connection.
 */
#include "certs/http/http-flaw.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
static const struct http_flaw flaws[] = {
        {"proxy_refuses_password", "refuses its user or password (407", "Correct user and password in proxy (or https_proxy)"},
        {"proxy_asks_password", "asks for a user and password (407", "Write user and password into proxy (http://USER:PASSWORD@HOST:PORT), or have the proxy let the relay's host pass without"},
        {"proxy_forbids", "forbids the connection (403)", "Have the proxy's operator allow the relay's host and port"},
        {"proxy_dns", "the name of the proxy does not resolve", "Correct proxy (or https_proxy), or the DNS of this host"},
        {"proxy_refused", "the proxy cannot be reached", "Check that the proxy runs, and address and port in proxy (or https_proxy)"},
        {"proxy_answers", "the proxy answered ", "Ask the proxy's operator why it answers so"},
        {"relay_dns", "its name does not resolve", "Check the URL of the relay, and the name servers of this host (/etc/resolv.conf)"},
        {"relay_timeout", "no connection in time", "Check that the firewall lets this host out to the relay's address and port, and whether a proxy is needed"},
        {"relay_refused", "no connection (Connection refused)", "Check that the relay runs, and its address and port; where a proxy is needed, set proxy"},
        {"relay_unreachable", "no connection (", "Check the network of this host and the route to the relay"},
        {"relay_certificate_name", "its certificate is for another name", "Use the name of the relay that its certificate names, or give the relay a certificate for this one. If the names are nobody's that you know, something on the way breaks TLS open"},
        {"relay_certificate_ca", "its certificate is not signed by a CA known here", "Set relay_ca_file to the CA that issued it. If the issuer is a firewall's or a proxy's, have it leave connections to the relay alone: Postern does not let TLS be broken open"},
        {"relay_certificate_expired", "its certificate has expired", "Have the relay's operator renew it; if its date lies in the future, set the clock of this host"},
        {"relay_certificate_not_yet", "its certificate is not valid yet", "Set the clock of this host (chronyd, systemd-timesyncd)"},
        {"relay_certificate", "its certificate is not accepted", "Have the relay's operator look at its certificate"},
        {"relay_tls", "TLS fails", "Check that the port is the relay's and speaks TLS 1.2 or later; a firewall may break the connection off"},
        {"relay_broke", "the connection broke", "It is tried again by itself; a firewall or proxy on the way may end connections that are long or idle"},
        {"relay_silent", "no answer in time", "Check the way with postern check; a proxy or firewall may hold answers back"},
        {"relay_silent", "no hello", "Check the way with postern check: nothing answers, or a proxy or firewall holds the stream back"},
};
/* clang-format on */

const struct http_flaw *http_flaw_find(const char *why)
{
        for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++)
                if (strstr(why, flaws[i].phrase))
                        return &flaws[i];
        return NULL;
}
