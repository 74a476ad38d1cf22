/*
 * The one table of configuration keys.
 *
 * A key exists exactly if it has a row here: the reader, --check-config, the sample file and postern.conf(5) all come
 * from this table. What keys demand of each other beyond `needs` is in conf/config.c.
 */
#include "connector/conf/table.h"

#include <string.h>

#include "certs/http/http-way.h"
#include "certs/keys/key-uri.h"
#include "base/events/keys.h"

static const struct conf_word guard_modes[] = {
        {"observe", GUARD_OBSERVE}, {"on", GUARD_ON}, {"off", GUARD_OFF}, {NULL, 0}};
static const struct conf_word confinements[] = {
        {"enforce", CONFINE_ENFORCE}, {"log", CONFINE_LOG}, {"off", CONFINE_OFF}, {NULL, 0}};
static const struct conf_word signings[] = {
        {"auto", SIGNING_AUTO}, {"identity", SIGNING_IDENTITY}, {"hourly", SIGNING_HOURLY}, {NULL, 0}};
static const struct conf_word directories[] = {{"ad", DIRECTORY_AD}, {"generic", DIRECTORY_GENERIC}, {NULL, 0}};
static const struct conf_word tls_ways[] = {{"ldaps", false}, {"starttls", true}, {NULL, 0}};
static const struct conf_word changes[] = {{"off", false}, {"kpasswd", true}, {NULL, 0}};
static const struct conf_word discoveries[] = {
        {"auto", DISCOVER_AUTO}, {"yes", DISCOVER_YES}, {"no", DISCOVER_NO}, {NULL, 0}};
static const struct conf_word identities[] = {
        {"domain-san", DC_IDENTITY_DOMAIN_SAN}, {"list", DC_IDENTITY_LIST}, {"pin", DC_IDENTITY_PIN}, {NULL, 0}};

static const struct conf_word event_names[] = {{"pseudonyms", NAMES_PSEUDONYMS}, {"clear", NAMES_CLEAR}, {NULL, 0}};
static const struct conf_word yes_no[] = {{"no", false}, {"yes", true}, {NULL, 0}};
static const struct conf_word group_kinds[] = {{"direct", false}, {"nested", true}, {NULL, 0}};

#define C(key, field) CONF_FIELD(struct config, key, field)
#define D(key, field) CONF_FIELD(struct domain_config, key, field)
#define ITEMS(key, field) CONF_ITEMS(struct domain_config, key, field)

static const struct conf_key connector_keys[] = {
        {C("name", name), .max = 64, .check = conf_check_label, .range = "1 to 64 letters, digits, '.', '_' and '-'",

         .otherwise = "as enrolled",
         .help = "What people call this connector, in the roster and in the log. `postern enroll --name` wrote it "
                 "down; a name that is set here must be the same."},
        {C("relay", relay), .max = 512, .check = check_relay, .range = "https://HOST or https://HOST:PORT",
         .otherwise = "as enrolled",
         .help = "The relay. `postern enroll` wrote it down; one that is set here must be the same."},
        {C("tenant", tenant), .max = 64, .check = check_tenant, .range = "1 to 64 of a-z, 0-9 and '-'",
         .otherwise = "as enrolled",
         .help = "The tenant. `postern enroll` wrote it down; one that is set here must be the same."},
        {C("state_dir", state_dir), .max = 256, .check = conf_check_path, .initial = "/var/lib/postern",
         .range = "an absolute path",
         .help = "Folder of what must outlive a restart: the keys made by `postern enroll`, the roster, the "
                 "ledger."},
        {C("runtime_dir", runtime_dir), .max = 80, .check = conf_check_path, .initial = "/run/postern",
         .range = "an absolute path of at most 80 bytes",
         .help = "Folder of the control socket that `postern status`, `log` and `explain` speak to."},
        {C("relay_ca_file", relay_ca_file), .max = 256, .check = conf_check_path, .range = "an absolute path",
         .otherwise = "the CA noted by `postern enroll --ca-file`, else the system's CAs",
         .help = "PEM file of the CAs that may vouch for the relay's certificate, instead of the system's."},
        {C("proxy", proxy), .max = 512, .check = http_way_check,
         .range = "http://[USER:PASSWORD@]HOST:PORT, or https://, socks4://, socks4a://, socks5://, socks5h://",
         .otherwise = "https_proxy and no_proxy of the environment",
         .help = "Proxy for all connections to the relay; no_proxy does not count then. User and password are "
                 "percent-encoded (@ is %40, "
                 "/ is %2F), and Basic, Digest and NTLM are spoken. If it needs a password, keep this file readable by "
                 "root alone."},
        {C("user_link", user_link), .max = 32, .check = conf_check_user, .initial = "postern-link",
         .range = "a system user other than root",
         .help = "User that the link process becomes when posternd was started as root. Started as anybody else, "
                 "all processes stay that user and the three user keys are not used."},
        {C("user_validator", user_validator), .max = 32, .check = conf_check_user, .initial = "postern-validator",
         .range = "a system user other than root",
         .help = "User that the validator process becomes; the three users must be different."},
        {C("user_ledger", user_ledger), .max = 32, .check = conf_check_user, .initial = "postern-ledger",
         .range = "a system user other than root",
         .help = "User that the ledger process becomes; it owns the folder of the ledger."},
        {C("user_keys", user_keys), .max = 32, .check = conf_check_user, .initial = "postern-keys",
         .range = "a system user other than root",
         .help = "User of the processes that ask a token or a TPM for signatures; they run only where a key is in "
                 "hardware. Give it the groups that a TPM (tss) or a token's files (softhsm, pcscd ...) want."},
        {C("user_account", user_account), .max = 32, .check = conf_check_user, .initial = "postern-account",
         .range = "a system user other than root",
         .help = "User that postern-account becomes, which reads accounts for `postern account` and holds no key of "
                 "the connector's."},
        {C("identity_key", identity_key), .max = KEY_URI_MAX, .check = check_key,
         .range = "pkcs11:..., handle:0x81NNNNNN or an absolute path", .otherwise = "as enrolled",
         .help = "The identity key, where it is in hardware: an RFC 7512 URI with "
                 "pin-source=file:/PATH, a persistent handle of a TPM 2, or a PEM file, which may be a "
                 "TPM's own (TSS2 PRIVATE KEY). `postern enroll --identity-key` wrote it down."},
        {C("transport_key", transport_key), .max = KEY_URI_MAX, .check = check_key,
         .range = "pkcs11:..., handle:0x81NNNNNN or an absolute path", .otherwise = "as enrolled",
         .help = "The same for the key of the transport certificate. Without this setting each renewal of the "
                 "certificate makes a new key; a key that is named here stays for all renewals."},
        {C("signing", signing), .type = CONF_WORD, .words = signings, .initial = "auto",
         .help = "What signs verdicts. identity: the identity key, each time. hourly: a key that lives in memory for "
                 "at most two hours and that the identity key certifies in the key statements; a token then signs "
                 "twice an hour instead of once for each sign-in. auto: hourly where the identity key is in hardware."},
        {C("control_group", control_group), .max = 32, .check = conf_check_user, .range = "a group other than root",
         .otherwise = "root alone",
         .help = "Group whose members may ask the control socket, so that the helpdesk need not be root."},
        {C("metrics_group", metrics_group), .max = 32, .check = conf_check_user, .range = "a group other than root",
         .otherwise = "root alone",
         .help = "Group whose members may read metrics.sock in runtime_dir: GET /metrics over HTTP gives what "
                 "Prometheus reads. It tells no user's name, so a monitoring system need not be in control_group."},
        {C("in_flight", in_flight), .type = CONF_NUMBER, .min = 1, .max = CONFIG_IN_FLIGHT_MAX, .initial = "256",
         .help = "Sign-ins that this connector works on at once; more wait at the relay or go to another."},
        {C("drain_ms", drain_ms), .type = CONF_NUMBER, .min = 0, .max = 60000, .initial = "10000",
         .help = "Milliseconds that sign-ins under way get to finish when posternd is stopped."},
        {C("log_level", log_level), .type = CONF_WORD, .words = conf_log_levels, .initial = "info",
         .help = "Least severe lines that are logged. No level logs passwords."},
        {C("confinement", confinement), .type = CONF_WORD, .words = confinements, .initial = "enforce",
         .help = "What a process may ask the kernel for once it runs (seccomp, and Landlock where the kernel has "
                 "it): enforce refuses the rest; log lets it through and notes it in the kernel's audit log, to "
                 "find out what a new library, or the module of a token, wants; off is for kernels without seccomp."},
        {C("default_domain", validate.default_domain), .max = 253, .check = check_domain_name,
         .range = "the name of one of the [domain NAME] sections", .otherwise = "bare names are refused",
         .help = "Domain of names typed without any, like `alice`."},
        {C("dns_servers", validate.dns_servers), .max = 512, .check = check_dns_servers,
         .range = "ADDRESS, ADDRESS:PORT or [IPV6]:PORT, with commas between", .otherwise = "the system's",
         .help = "Name servers for domain controllers: their SRV records and addresses. Names that were found once "
                 "are used for a day even when no server answers any more."},
        {C("guard", validate.guard.mode), .type = CONF_WORD, .words = guard_modes, .initial = "observe",
         .help = "The lockout guard. on: an account that failed guard_failures times within guard_window_s is "
                 "answered `throttled`, and a wrong password that comes again is not sent to a domain controller, "
                 "which would count it again. observe: records say what it would have stopped. off: nothing is "
                 "counted."},
        {C("guard_failures", validate.guard.failures), .type = CONF_NUMBER, .min = 1, .max = 1000, .initial = "4",
         .help = "Failures of one account before the guard stops it, of all connectors together: keep it below the "
                 "domain's account lockout threshold. Each connector counts for itself and allows its share, this "
                 "number divided by the roster's connectors of the domain, but never less than 1: with more "
                 "connectors than this, an account may fail once at each. With guard = on and a share below 3 the "
                 "connector does not confirm by LDAPS what a KDC says without armour."},
        {C("guard_window_s", validate.guard.window_ms), .type = CONF_NUMBER, .scale = 1000, .min = 10, .max = 604800,
         .initial = "1800",
         .help = "Seconds after the last failure until the guard forgets; not less than the domain's \"reset "
                 "account lockout counter after\"."},
        {C("guard_repeat_s", validate.guard.repeat_ms), .type = CONF_NUMBER, .scale = 1000, .min = 1, .max = 3600,
         .initial = "60",
         .help = "Seconds for which the same wrong password of an account is sent to no domain controller. A user "
                 "whose password is changed to just that one is refused until then."},
        {C("ledger_days", ledger_days), .type = CONF_NUMBER, .min = 1, .max = 3650, .initial = "30",
         .help = "Days that the ledger keeps a sign-in."},
        {C("names_days", names_days), .type = CONF_NUMBER, .min = 1, .max = 3650, .initial = "7",
         .help = "Days after which names in the ledger become keyed pseudonyms: a sign-in then no longer shows whose "
                 "it was, but a search for the name or the SID still finds it."},
        {C("ledger_rows", ledger_rows), .type = CONF_NUMBER, .min = 100, .max = 100000000, .initial = "1000000",
         .help = "Sign-ins that the ledger keeps at most; the oldest go first."},
        EVENTS_KEYS(C, "sign-ins, events, and what administrators and the helpdesk asked for",
                    "The unit lets posternd write in /var/log/postern.",
                    ": from the arrival at this connector to the verdict, and the part at the domain controller, which "
                    "continue the trace that came with the request (traceparent)"),
        {C("events_names", events_names), .type = CONF_WORD, .words = event_names, .initial = "pseudonyms",
         .help = "How names of users stand in what events_file and events_socket get. pseudonyms: keyed hashes, the "
                 "same for the same name, as the ledger has them after names_days; until then `postern explain` "
                 "with the record's id tells the name. clear: as the ledger has them at first; what was sent is not "
                 "erased by names_days or `postern privacy erase`."},
};

static const struct conf_key domain_keys[] = {
        {D("realm", realm), .max = 253, .check = check_realm, .range = "a Kerberos realm",
         .otherwise = "NAME in upper case", .help = "The Kerberos realm."},
        {D("netbios", netbios), .max = 15, .check = check_netbios,
         .range = "1 to 15 bytes, no blanks, no \\ / : * ? \" < > | @ ,", .otherwise = "DOMAIN\\name is not understood",
         .example = "CORP", .help = "The NetBIOS name, for names typed like CORP\\alice."},
        {D("domain_sid", sid), .max = 60, .check = check_domain_sid, .range = "S-1-5-21-A-B-C",
         .otherwise = "the roster's, else the first that a domain controller tells, which is then kept",
         .help = "The SID of this domain, as `(Get-ADDomain).DomainSID` prints it. Only accounts with it are "
                 "accepted from this domain's controllers, whatever they say. A SID in the roster counts before it. "
                 "Set it where the roster names none and a connector serves more than one domain; `postern status` "
                 "and `check` show the one in use, and `postern domain repin` forgets one that was learnt."},
        {ITEMS("suffixes", suffixes), .item = item_suffix, .range = "up to 32 DNS names, with commas or blanks between",
         .otherwise = "NAME alone",
         .help = "Further UPN suffixes of this domain, for names typed like alice@corp.com."},
        {ITEMS("dcs", dcs), .item = item_dc, .min = 1, .offset_n = offsetof(struct domain_config, n_dcs),
         .range = "1 to 32 of HOST or HOST@NUMERIC-ADDRESS, with commas or blanks between",
         .otherwise = "they are looked up, see discover", .example = "dc1.corp.example, dc2.corp.example@192.0.2.12",
         .help = "Domain controllers, best first. HOST is the name in the DC's certificate; without an address it "
                 "is looked up in DNS."},
        {D("discover", discover), .type = CONF_WORD, .words = discoveries, .initial = "auto",
         .help = "Whether domain controllers are found by the SRV records of Active Directory, in the background. "
                 "auto: where dcs is absent. With yes and dcs, the listed ones come first. DNS is no proof: a DC "
                 "found so must show what dc_identity demands, like any other. But Kerberos sends its proof of a "
                 "password before it knows the KDC, and whoever forges DNS answers could guess at that: with krb5 "
                 "on a network that you do not trust, list the DCs with their addresses. Read-only domain "
                 "controllers cannot be told from others by DNS: where there are some, use dcs or a site without "
                 "them."},
        {D("site", site), .max = 63, .check = conf_check_label, .range = "the name of an Active Directory site",
         .otherwise = "all sites are equal",
         .help = "With discover: the site whose domain controllers are asked first."},
        {ITEMS("methods", methods), .item = item_method, .range = "krb5, ldap or both",
         .otherwise = "krb5, ldap with a keytab, ldap without",
         .help = "How passwords are checked, in order of preference. A sign-in is tried by one of them only; krb5 "
                 "needs a keytab."},
        {D("directory", directory), .type = CONF_WORD, .words = directories, .initial = "ad",
         .help = "`generic` is an MIT realm or a plain LDAP server: its refusals tell no cause, and an account is "
                 "known by its objectSid if it has one, else by its entryUUID, or by the principal."},
        {D("tls", starttls), .type = CONF_WORD, .words = tls_ways, .initial = "ldaps",
         .help = "How TLS to a domain controller begins: at once on ldaps_port, or by StartTLS on ldap_port. LDAP "
                 "in clear text is never used: where StartTLS is refused, nothing is sent."},
        {D("ldaps_port", ldaps_port), .type = CONF_NUMBER, .min = 1, .max = 65535, .initial = "636",
         .help = "TCP port of LDAP over TLS."},
        {D("ldap_port", ldap_port), .type = CONF_NUMBER, .min = 1, .max = 65535, .initial = "389",
         .help = "TCP port for tls = starttls."},
        {D("kdc_port", kdc_port), .type = CONF_NUMBER, .min = 1, .max = 65535, .initial = "88",
         .help = "TCP port of the KDC."},
        {D("password_change", password_change), .type = CONF_WORD, .words = changes, .initial = "off",
         .help = "Whether a sign-in service may let people change their password, also an expired one. kpasswd: by "
                 "the protocol of RFC 3244 at the same domain controller, whatever the method of sign-ins; kdc_port "
                 "and kpasswd_port must be reachable."},
        {D("kpasswd_port", kpasswd_port), .type = CONF_NUMBER, .min = 1, .max = 65535, .initial = "464",
         .help = "TCP port of the password change service."},
        {D("ca_file", ca_file), .max = 256, .check = conf_check_path, .range = "an absolute path",
         .otherwise = "the system's CAs",
         .help = "PEM file of the CAs that may vouch for the DCs' certificates: usually the enterprise CA "
                 "alone."},
        {D("dc_identity", dc_identity), .type = CONF_WORD, .words = identities, .initial = "domain-san",
         .help = "What a DC's certificate must show besides its chain. domain-san: it names the domain, as the "
                 "template `Kerberos Authentication` does, or it names the host and is a KDC's (id-pkinit-KPKdc) "
                 "that is one of `dcs` or called LABEL.NAME. list: it names a host of `dcs`, and no other is asked. "
                 "pin: its key is one of `pins`. The host's name alone never suffices, because any workstation may "
                 "own such a certificate."},
        {ITEMS("pins", pins), .check = check_pin,
         .range = "up to 8 base64url SHA-256 values of a public key (SPKI), 43 characters each", .otherwise = "none",
         .help = "With dc_identity = pin: the public keys of the DCs."},
        {D("bind_template", bind_template), .max = 512, .check = check_bind_template,
         .range = "a DN that holds {name} once", .otherwise = "the name as UPN",
         .help = "With directory = generic: the DN to bind as. {name} becomes the name's left part, "
                 "escaped."},
        {D("alternate_id", alternate_id), .max = 64, .check = check_attribute, .range = "the name of an LDAP attribute",
         .otherwise = "every name is a UPN or DOMAIN\\name",
         .help = "Attribute whose value people may type instead of a UPN, like mail. The service account searches "
                 "for it, in the domain that alternate_id_suffixes lead to; exactly one account must have the value.",
         .needs = {{"alternate_id_suffixes", "which names are searched for"},
                   {"service_account", "somebody must search"}}},
        {ITEMS("alternate_id_suffixes", alternate_id_suffixes), .item = item_suffix,
         .range = "up to 32 DNS names, with commas or blanks between",
         .otherwise = "must be given where alternate_id is",
         .help = "What follows the @ in names that are alternate ids. Such a name is always searched for, also "
                 "where it could be a UPN.",
         .needs = {{"alternate_id", "the attribute that is searched"}}},
        {D("search_base", search_base), .max = 512, .check = check_base, .range = "a DN",
         .otherwise = "the domain's own, DC=corp,DC=example",
         .help = "Entry at and below which alternate ids are searched for."},
        {D("service_account", service_account), .max = 256, .check = check_account,
         .range = "NAME@SUFFIX or NETBIOS\\NAME", .otherwise = "nothing can be searched for",
         .help = "Account that searches for alternate ids and reads attributes; where users may not read their own "
                 "entry, it reads whether the account is a person's. It needs no rights but to read.",
         .needs = {{"service_password_file", NULL}}},
        {D("service_password_file", service_password_file), .max = 256, .check = conf_check_path,
         .range = "an absolute path", .otherwise = "must be given where service_account is",
         .help = "File that holds its password on one line, readable by root alone. Where a domain controller "
                 "refuses it, nothing is searched for ten minutes, so that the account is not locked out.",
         .needs = {{"service_account", NULL}}},
        {D("reader", reader), .max = 256, .check = check_account, .range = "NAME@SUFFIX or NETBIOS\\NAME",
         .otherwise = "`postern account` tells the PowerShell commands instead",
         .help = "Account that `postern account` reads accounts with; it needs no rights but to read them, and should "
                 "be in no group that has more: `postern check` warns otherwise. With reader_keytab or "
                 "reader_password_file."},
        {D("reader_keytab", reader_keytab), .max = 256, .check = conf_check_path, .range = "an absolute path",
         .otherwise = "reader has a password",
         .help = "Keytab with the key of reader, readable by root alone: the connector's own will do, where it holds "
                 "its account's key. LDAP is then sealed by Kerberos, on ldap_port, instead of by TLS, and kdc_port "
                 "must be reachable. It needs the package libsasl2-modules-gssapi-mit.",
         .needs = {{"reader", NULL}}},
        {D("reader_password_file", reader_password_file), .max = 256, .check = conf_check_path,
         .range = "an absolute path", .otherwise = "reader has a keytab",
         .help = "File that holds the password of reader on one line, readable by root alone. It is sent to a domain "
                 "controller by LDAP over TLS, after its certificate was checked.",
         .needs = {{"reader", NULL}}},
        {D("fast_bind", fast_bind), .type = CONF_WORD, .words = yes_no, .initial = "no",
         .help = "Whether ldap checks passwords by fast binds of Active Directory, for which a domain controller "
                 "builds no token of the account's groups. A fast bind does not tell why it refuses (the reason is "
                 "then `refused_unexplained`), nor whose account it was: so service_account, which must be set, "
                 "like netbios, searches for the name first, once for each sign-in. Use it only where you have "
                 "measured that tokens of very many groups load the domain controllers.",
         .needs = {{"service_account", "a fast bind does not tell whose it was"},
                   {"netbios", "under which the account that was found signs in"}}},
        {ITEMS("attributes", attributes), .check = check_told,
         .range = "up to 16 names of LDAP attributes, with commas or blanks between", .otherwise = "none",
         .help = "What an accepted verdict tells the sign-in service of the account besides its id, like mail, "
                 "displayName, objectGUID, pwdLastSet, memberOf or tokenGroups (all groups' SIDs). Read on the "
                 "account's own bind, with krb5 by the service account; sealed with the verdict, and kept nowhere. "
                 "SIDs and GUIDs are told in their usual form, everything else as the domain controller has it; what "
                 "is no text, or is too much (about 1500 bytes in all), is left out, and the verdict says so."},
        {D("attributes_required", attributes_required), .type = CONF_WORD, .words = yes_no, .initial = "no",
         .help = "yes: somebody whose attributes cannot be read is not accepted. no: the verdict says that they are "
                 "unavailable.",
         .needs = {{"attributes", NULL}}},
        {D("groups", nested_groups), .type = CONF_WORD, .words = group_kinds, .initial = "direct",
         .help = "What memberOf means: the groups that name the account, or with nested also those that it is in "
                 "through other groups."},
        {D("groups_base", groups_base), .max = 512, .check = check_base, .range = "a DN", .otherwise = "all groups",
         .help = "Only groups below this DN are told as memberOf.",
         .needs = {{"attributes", "with memberOf among them"}}},
        {D("keytab", keytab_file), .max = 256, .check = conf_check_path, .range = "an absolute path",
         .otherwise = "no Kerberos",
         .help = "Keytab with the key of service_principal, readable by root alone. A file that changes is taken "
                 "into use within seconds, without a reload; where the new one lacks the key the log says so, and "
                 "the old keys stay in use. Keep the keys of the version before in it, for tickets that were issued "
                 "by them. To make one: samba-tool domain exportkeytab FILE --principal=PRINCIPAL; on Windows: "
                 "ktpass /princ PRINCIPAL@REALM /mapuser ACCOUNT /crypto AES256-SHA1 /ptype KRB5_NT_PRINCIPAL /pass "
                 "* /out FILE.",
         .needs = {{"service_principal", "the name whose key the keytab holds"}}},
        {D("service_principal", service_principal), .max = 256, .check = check_service_principal,
         .range = "SERVICE/HOST or SERVICE/HOST@REALM", .otherwise = "must be given where keytab is",
         .help = "The connector's own principal, for which tickets are asked and against whose key they are "
                 "checked, like host/connector.corp.example. Without a realm it is one of this domain. With the "
                 "realm of another [domain] that trusts this one, the ticket is fetched through the trust, and "
                 "this domain needs no account of the connector's.",
         .needs = {{"keytab", "the file that holds its key"}}},
        {D("armor_principal", armor_principal), .max = 256, .check = check_armor_principal,
         .range = "NAME or SERVICE/HOST, without a realm", .otherwise = "sign-ins are not armoured",
         .help = "Kerberos armouring (FAST, RFC 6113): sign-ins are wrapped under a ticket of this account of the "
                 "domain, whose key the keytab must hold, too: in Active Directory the service account's own name, "
                 "elsewhere often service_principal. It hides the exchange, and is what a domain controller that "
                 "demands armour asks for. Armoured refusals name no cause: a locked account then has the reason "
                 "`revoked`. libkrb5 then makes the keys, which takes several times as long. Without armour anybody "
                 "between connector and domain controller can write a refusal, so none proves that the password was "
                 "right. States of an account (expired, must change, logon hours) are then confirmed by one bind "
                 "over LDAPS, for which ca_file or pins must be set; otherwise the user is not told them.",
         .needs = {{"keytab", "the file that must hold its key, too"}}},
        {D("pool_max", pool_max), .type = CONF_NUMBER, .min = 1, .max = 256, .initial = "16",
         .help = "LDAP connections to one DC. Where all of them are in use, one more is opened to see whether it is "
                 "alive."},
        {D("connect_timeout_ms", connect_timeout_ms), .type = CONF_NUMBER, .min = 100, .max = 15000, .initial = "2000",
         .help = "Milliseconds for connecting to one DC, TLS handshake included, before another is tried. The last one "
                 "that is left may take all the time of the sign-in."},
};

#define KEYS(table) .keys = (table), .n_keys = sizeof(table) / sizeof((table)[0])

const struct conf_section config_sections[CONFIG_SECTIONS] = {
        {.name = "connector", KEYS(connector_keys)},
        {.name = "domain",
         KEYS(domain_keys),
         .which = "NAME",
         .check = check_domain_name,
         .required = true,
         .offset = offsetof(struct config, domains),
         .size = sizeof(struct domain_config),
         .max = CONFIG_DOMAINS_MAX,
         .offset_n = offsetof(struct config, validate.n_domains),
         .title = "domain corp.example",
         .comment = "One such section for each domain; NAME is its DNS name."},
};
