/*
 * The table of details: whose cause a context names, and what to do about that one.
 *
 * Invariant: no phrase is part of another one of the same reason that stands behind it, and none is long enough to be
 * cut off a context. What a context names besides (names, dates, numbers) stands before or behind its phrase.
 */
#include "validate/types/detail.h"

#include <stddef.h>
#include <string.h>

struct row {
        struct detail_info info;
        enum reason reasons[3]; /* of which it is a detail; REASON_INTERNAL (0): no more */
};

/* clang-format off */
static const struct row rows[DETAIL_MAX] = {
        [DETAIL_CERTIFICATE_EXPIRED] = {{"certificate_expired", "its certificate has expired",
                "The domain controller's certificate has expired, so it proves nothing any more; the password was not sent.",
                "Renew the certificate on the domain controller (certlm.msc, or its autoenrolment), then restart its service or wait until it takes it. If the date is in the future, set the clock of this host."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_NOT_YET] = {{"certificate_not_yet_valid", "its certificate is not valid yet",
                "The domain controller's certificate begins in the future, so it proves nothing yet; the password was not sent.",
                "Compare the clocks of this host and of the CA that issued it; set the one that is wrong."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_SELF_SIGNED] = {{"certificate_self_signed", "its certificate is self-signed",
                "The domain controller's certificate is signed by itself, not by a CA, so anybody could have made it; the password was not sent.",
                "Give the domain controller a certificate of your CA, or set dc_identity = pin with the key of this one."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_UNKNOWN_CA] = {{"certificate_unknown_ca", "its certificate is of a CA that is not known here",
                "The domain controller's certificate was issued by a CA that this connector does not trust; the password was not sent.",
                "Set ca_file of the domain to the certificate of the issuer that is named. If that issuer is none of yours, something between connector and domain controller breaks TLS open."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_NO_NAME] = {{"certificate_without_name", "it names no host at all",
                "The domain controller's certificate holds no DNS name, so it cannot prove whose it is; the password was not sent.",
                "Issue a certificate with the domain's name and the host's as subject alternative names, by the template Kerberos Authentication."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_OTHER_DOMAIN] = {{"certificate_other_domain", "certificate does not name the domain",
                "The domain controller's certificate names others than this domain; the password was not sent.",
                "Issue one by the template Kerberos Authentication, which names the domain; or list the host in dcs and set dc_identity = list. If the names are of another host, correct its address."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_OTHER_HOST] = {{"certificate_other_host", "certificate does not name the host",
                "The domain controller's certificate names other hosts than the one that was asked; the password was not sent.",
                "Write the host in dcs as its certificate names it, or issue a certificate for that name."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_NOT_LISTED] = {{"certificate_host_not_listed", "the host is not one of dcs",
                "The domain controller was found by DNS, and dc_identity = list takes only those in dcs; the password was not sent.",
                "Add the host to dcs, or set dc_identity = domain-san."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_NOT_PINNED] = {{"certificate_not_pinned", "certificate's key is not pinned",
                "The domain controller shows another key than those in pins; the password was not sent.",
                "If its certificate was renewed with a new key, set pins to that; if not, find out who answers at its address."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_WEAK] = {{"certificate_weak", "its certificate has a key or a signature that is too weak",
                "The domain controller's certificate, or one above it, is too weak to be believed; the password was not sent.",
                "Issue one with RSA of 2048 bits or more, or ECDSA, and SHA-256."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_CERTIFICATE_PURPOSE] = {{"certificate_purpose", "its certificate is not one for servers",
                "The domain controller's certificate may not be used by a server; the password was not sent.",
                "Issue one with the usage Server Authentication."},
                {REASON_DC_CERTIFICATE}},
        [DETAIL_PORT_WITHOUT_TLS] = {{"port_without_tls", "the port takes no TLS",
                "What answers at the domain controller's port speaks no TLS: it is not an LDAPS port; the password was not sent.",
                "Set ldaps_port to the LDAPS port (636); for port 389 set tls = starttls. If the port is right, the domain controller has no certificate yet: give it one; or a firewall breaks the connection off."},
                {REASON_DC_TLS, REASON_DC_REFUSED}},
        [DETAIL_TLS_VERSION] = {{"tls_version", "no version or cipher of TLS is common",
                "The domain controller offers no version or cipher of TLS that the connector takes; the password was not sent.",
                "Enable TLS 1.2 or 1.3 on the domain controller."},
                {REASON_DC_TLS}},
        [DETAIL_STARTTLS_REFUSED] = {{"starttls_refused", "StartTLS: the DC refuses it",
                "The domain controller refuses to begin TLS on its LDAP port; the password was not sent.",
                "Give the domain controller a certificate, or set tls = ldaps with ldaps_port = 636."},
                {REASON_DC_TLS, REASON_DC_PROTOCOL, REASON_DC_REFUSED}},
        [DETAIL_CLOSED] = {{"dc_closed", "closed by the DC",
                "The domain controller took the connection and closed it without an answer; the password was not sent.",
                "Look at the domain controller's event log: it may be stopping, short of resources, or limit connections. Check that nothing between it and the connector ends connections."},
                {REASON_DC_REFUSED}},
        [DETAIL_CLOCK_AHEAD] = {{"dc_clock_ahead", "s ahead of this host's",
                "The domain controller's clock is ahead of this host's by more than Kerberos allows.",
                "See which of the two is wrong (date -u; w32tm /query /status) and set that one; one that many domain controllers agree with is right."},
                {REASON_CLOCK_SKEW}},
        [DETAIL_CLOCK_BEHIND] = {{"dc_clock_behind", "s behind this host's",
                "The domain controller's clock is behind this host's by more than Kerberos allows.",
                "See which of the two is wrong (date -u; w32tm /query /status) and set that one; one that many domain controllers agree with is right."},
                {REASON_CLOCK_SKEW}},
        [DETAIL_KEYTAB_OLD_KEY] = {{"keytab_old_key", "the keytab lacks the key's number",
                "The connector's account got a new password or key after its keytab was made, so the keytab does not open what the domain controller sends.",
                "Export the keytab again (ktpass, net ads keytab, samba-tool domain exportkeytab) and put it in the place of the old one; it is taken at once."},
                {REASON_KDC_NOT_VERIFIED}},
        [DETAIL_KEYTAB_WRONG_KEY] = {{"keytab_wrong_key", "the keytab has another key of this number",
                "The keytab's key has the right number and is another than the domain controller's.",
                "Export the keytab again from this domain; one that was made by hand may have the wrong salt or password. If that does not help, find out who answers at the domain controller's address."},
                {REASON_KDC_NOT_VERIFIED}},
        [DETAIL_GUARD_REPEAT] = {{"guard_repeat", "the same wrong password as a moment ago",
                "The connector's lockout guard answered: the same wrong password was refused by a domain controller a moment ago, so none got it again, and nothing was counted.",
                "Look at the sign-in before this one; something, a phone or a mail program perhaps, sends an old password again and again."},
                {REASON_WRONG_PASSWORD}},
        [DETAIL_DNS_NO_NAME] = {{"dns_no_name", "Domain name not found",
                "The name servers say that there is no such name.",
                "Correct the name in the configuration, or add it to the DNS."},
                {REASON_DNS}},
        [DETAIL_DNS_NO_SERVER] = {{"dns_no_server", "DNS servers",
                "No name server that the connector asks answers.",
                "Check the name servers in /etc/resolv.conf (or dns_servers) and the way to them on port 53."},
                {REASON_DNS}},
        [DETAIL_DOMAIN_MISTYPED] = {{"domain_mistyped", "the domain that was typed is much like",
                "The domain part of the name is not one that this connector serves, but much like one that it does: most likely a typing mistake. No domain controller was asked.",
                "Let the user type the name again; the detail names the domain that was meant."},
                {REASON_UNKNOWN_DOMAIN}},
};
/* clang-format on */

const struct detail_info *detail_info(enum detail detail)
{
        return detail > DETAIL_NONE && detail < DETAIL_MAX ? &rows[detail].info : NULL;
}

const char *detail_phrase(enum detail detail)
{
        const struct detail_info *info = detail_info(detail);

        return info ? info->phrase : "";
}

enum detail detail_find(enum reason reason, const char *context)
{
        for (int d = DETAIL_NONE + 1; d < DETAIL_MAX; d++)
                for (size_t i = 0; i < 3 && rows[d].reasons[i] != REASON_INTERNAL; i++)
                        if (rows[d].reasons[i] == reason && strstr(context, rows[d].info.phrase))
                                return (enum detail)d;
        return DETAIL_NONE;
}
