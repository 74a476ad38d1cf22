/*
 * The table of a relay's own faults, and the rules by which certificates and a disk have some.
 *
 * It changes nothing and asks nobody. A date is judged by the clock that it is handed.
 */
#include "queue/relay/faults.h"

#include <assert.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "queue/relay/ca.h"

#define DAY_S 86400
#define CERTIFICATE_WARN_S (14 * DAY_S)
#define CA_WARN_S (90 * DAY_S)
#define FULL_BYTES (1024 * 1024) /* less than this, and the database cannot write */
#define LOW_BYTES (64 * 1024 * 1024)

/* clang-format off */
static const struct relay_fault_info rows[] = {
        {"certificate_unusable", true, "The server's certificate or its key cannot be used, so the relay does not start, and goes on with the ones before at a reload",
                "Correct certificate and key in relay.conf: PEM files that belong together and that the relay's user can read"},
        {"certificate_expired", true, "The server's certificate has expired, so no connector and no service connects",
                "Renew it, then: systemctl reload postern-relay"},
        {"certificate_not_yet_valid", true, "The server's certificate begins in the future, so no connector and no service connects",
                "Set the clock of the host that is wrong, this one or that of the CA, or have the certificate issued again"},
        {"certificate_purpose", true, "The server's certificate is not for servers, so no connector and no service connects",
                "Have one issued with the extended key usage serverAuth"},
        {"certificate_names_another", true, "The server's certificate names none of the hosts in node_url, so no connector links to this node",
                "Have one issued for this node's name, or correct node_url"},
        {"certificate_chain", false, "The certificates of the file do not lead from one to the next, so a client may not find the way to its CA",
                "Write the server's own first, and behind each the one that issued it"},
        {"certificate_ends", false, "The server's certificate ends soon",
                "Renew it, then: systemctl reload postern-relay"},
        {"transport_ca_unusable", true, "The transport CA in state_dir cannot be used, so the relay does not start",
                "Put back transport-ca.key and transport-ca.pem from the backup; postern-relay(8) tells of the transport CA"},
        {"transport_ca_expired", true, "The transport CA has ended, so no connector enrols, renews or links",
                "Put a new one into use: postern-relay ca request, sign, install; postern-relay(8)"},
        {"transport_ca_ends", false, "The transport CA ends soon; what it issues ends with it",
                "Put a new one into use before: postern-relay ca request, sign, install; postern-relay(8)"},
        {"address_in_use", true, "Another program listens on an address of listen, so the relay does not start",
                "End that program, or change listen; ss -ltnp shows who listens where"},
        {"address_unusable", true, "An address of listen cannot be listened on, so the relay does not start",
                "Correct listen: ip address shows this host's; a port below 1024 wants the unit, which has the right to it, or root"},
        {"state_dir_unusable", true, "The relay's user cannot write into state_dir, so the relay does not start",
                "Make it that user's: install -d -m 700 -o USER FOLDER; where the file system is read-only, mount it anew"},
        {"disk_full", true, "The disk of state_dir is full: sign-ins go on, but enrolment, rosters, revocations and the records of sign-ins cannot be written",
                "Make room there; the relay needs no restart"},
        {"disk_low", false, "The disk of state_dir is nearly full",
                "Make room there; when it is full no connector enrols and no roster is taken"},
        {"descriptors", true, "The relay may not open as many files as its connections need, so it does not start",
                "Raise LimitNOFILE= in its unit (elsewhere ulimit -n), or lower connections"},
        {"user_unknown", true, "The user of relay.conf cannot be taken on, so the relay does not start",
                "Make the user (systemd-sysusers), or correct user in relay.conf"},
        {"socket_unusable", true, "metrics_socket, metrics_group or ready_file cannot be made, so the relay does not start",
                "Make the folder and the group, or correct the key in relay.conf"},
        {"nats_unusable", true, "The NATS servers, their accounts or their users are not as section [nats] needs them, so nodes do not find each other or nothing can be stored",
                "Correct [nats] in relay.conf, or the servers' configuration: postern-relay.conf(5) shows what they need"},
        {"nats_unreachable", false, "No NATS server answers: each node goes on with its own links, and nobody enrols where the store is there",
                "Start the servers, or correct servers in [nats]; ss -ltnp on their hosts shows whether they listen"},
        {"nats_weak", false, "The NATS servers are more open, or fewer, than they should be",
                "Correct the servers' configuration as the sentence says"},
        {"clock_doubtful", false, "The host's clock has jumped: no certificates are issued and nothing is forgotten until somebody has looked",
                "Set the clock (chronyd, systemd-timesyncd); where it is right: systemctl reload postern-relay"},
        {"store_fails", false, "The relay's database, or the process that has it open, fails: sign-ins go on, enrolment and rosters are refused",
                "Where the disk is full make room; a process that ended is started again by itself; journalctl -u postern-relay tells the rest"},
        {"records_not_sent", false, "Records for a SIEM, or spans, do not go where events_file, events_socket or traces_file say; sign-ins go on, and what waits in memory for too long is lost",
                "Make the folder, the relay's user's; start whoever receives; see to the disk: postern-events(7)"},
};
/* clang-format on */

const struct relay_fault_info *relay_fault_at(size_t i)
{
        return i < sizeof(rows) / sizeof(rows[0]) ? &rows[i] : NULL;
}

void relay_faults_add(struct relay_faults *faults, const char *code, const char *fmt, ...)
{
        struct relay_fault *fault = &faults->all[faults->n];
        va_list ap;

        if (faults->n == RELAY_FAULTS_MAX)
                return;
        fault->info = NULL;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (strcmp(rows[i].code, code) == 0)
                        fault->info = &rows[i];
        assert(fault->info);
        va_start(ap, fmt);
        (void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
        va_end(ap);
        faults->n++;
}

size_t relay_faults_stopping(const struct relay_faults *faults)
{
        size_t n = 0;

        for (size_t i = 0; i < faults->n; i++)
                n += faults->all[i].info->stops;
        return n;
}

/* ---- certificates ---- */

static void day_of(int64_t at, char out[32])
{
        const time_t t = (time_t)at;
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
                (void)snprintf(out, 32, "?");
}

/* The names that a certificate has, for a person who looks for the right one. */
static void names_of(X509 *cert, char out[200])
{
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        size_t at = 0;

        (void)snprintf(out, 200, "none");
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

                if (name->type != GEN_DNS || at + (size_t)ASN1_STRING_length(name->d.dNSName) + 3 > 200)
                        continue;
                at += (size_t)snprintf(out + at, 200 - at, "%s%.*s", at ? ", " : "",
                                       ASN1_STRING_length(name->d.dNSName), ASN1_STRING_get0_data(name->d.dNSName));
        }
        GENERAL_NAMES_free(names);
}

/* Whether the certificate is for the host of this https:// address. */
static bool names_host_of(X509 *cert, const char *url)
{
        const char *at = url + strlen("https://");
        char host[256];
        size_t n = *at == '[' ? strcspn(++at, "]") : strcspn(at, ":/");

        (void)snprintf(host, sizeof(host), "%.*s", (int)n, at);
        return X509_check_host(cert, host, 0, 0, NULL) == 1 || X509_check_ip_asc(cert, host, 0) == 1;
}

void relay_faults_certificate(struct relay_faults *faults, X509 *cert, const struct relay_config *config, int64_t now)
{
        char serial[CA_SERIAL_MAX], begins[32], ends[32], names[200];
        const char *path = config->certificate;
        int64_t from, to;
        bool named = config->n_nodes == 0;

        if (!cert || ca_cert_facts(cert, serial, &from, &to) < 0)
                return;
        day_of(from, begins);
        day_of(to, ends);
        names_of(cert, names);
        if (to <= now)
                relay_faults_add(faults, "certificate_expired", "certificate %s expired at %s", path, ends);
        else if (from > now)
                relay_faults_add(faults, "certificate_not_yet_valid", "certificate %s begins at %s only", path, begins);
        else if (to - now < CERTIFICATE_WARN_S)
                relay_faults_add(faults, "certificate_ends", "certificate %s ends at %s", path, ends);
        if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
                relay_faults_add(faults, "certificate_purpose", "certificate %s is not for servers", path);
        for (size_t i = 0; i < config->n_nodes; i++)
                named |= names_host_of(cert, config->nodes[i]);
        if (!named)
                relay_faults_add(faults, "certificate_names_another",
                                 "certificate %s names none of the hosts in node_url; the names that it has: %s", path,
                                 names);
}

void relay_faults_ca(struct relay_faults *faults, X509 *ca, int64_t now)
{
        char serial[CA_SERIAL_MAX], ends[32];
        int64_t from, to;

        if (!ca || ca_cert_facts(ca, serial, &from, &to) < 0)
                return;
        day_of(to, ends);
        if (to <= now)
                relay_faults_add(faults, "transport_ca_expired", "the transport CA ended at %s", ends);
        else if (to - now < CA_WARN_S)
                relay_faults_add(faults, "transport_ca_ends", "the transport CA ends at %s", ends);
}

/* ---- the disk ---- */

void relay_faults_disk(struct relay_faults *faults, const char *state_dir)
{
        struct statvfs fs;

        if (statvfs(state_dir, &fs) < 0)
                return;
        const uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
        if (left < FULL_BYTES || (fs.f_files && fs.f_favail == 0))
                relay_faults_add(faults, "disk_full", "state_dir %s: %s", state_dir,
                                 left < FULL_BYTES ? "the disk is full" : "the file system has no room for more files");
        else if (left < LOW_BYTES)
                relay_faults_add(faults, "disk_low", "state_dir %s: %llu MiB are left", state_dir,
                                 (unsigned long long)(left >> 20));
}
