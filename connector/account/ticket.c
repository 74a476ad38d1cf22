/*
 * The reader's ticket by its keytab: a profile of its own (nothing of /etc/krb5.conf), a cache in memory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <krb5.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/account/account.h"

#define CACHE "MEMORY:postern-account"
#define CONNECT_S 3
#define ANSWER_S 8
#define REPLY_MAX (1024 * 1024)

/* libkrb5 and, through it, the GSSAPI mechanism read this and no other. The descriptor stays open. */
static int make_profile(const struct reader *reader, const struct dc_place *place, struct error *err)
{
        const struct domain_config *d = reader->domain;
        char text[2048], address[128], path[64];
        int fd = memfd_create("krb5.conf", 0);

        if (fd < 0 || getnameinfo((const struct sockaddr *)&place->address.storage, place->address.len, address,
                                  sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
                return error_fail(err, -EIO, "no profile for Kerberos can be made");
        const bool v6 = strchr(address, ':') != NULL;
        int n = snprintf(text, sizeof(text),
                         "[libdefaults]\n default_realm = %s\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
                         " rdns = false\n dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
                         " kdc_timesync = 0\n[realms]\n %s = {\n  kdc = %s%s%s:%u\n }\n[domain_realm]\n .%s = %s\n"
                         " %s = %s\n",
                         d->realm, d->realm, v6 ? "[" : "", address, v6 ? "]" : "",
                         (unsigned)(d->kdc_port ? d->kdc_port : 88), d->name, d->realm, place->host, d->realm);
        if (n <= 0 || n >= (int)sizeof(text) || write(fd, text, (size_t)n) != n)
                return error_fail(err, -EIO, "no profile for Kerberos can be made");
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        (void)setenv("KRB5_CONFIG", path, 1);
        (void)setenv("KRB5CCNAME", CACHE, 1);
        (void)setenv("KRB5RCACHENAME", "none:", 1);
        return 0;
}

/* Where the next message goes, and whether one went. */
struct kdc {
        struct dns_address address; /* with the port */
        bool asked;
};

static bool read_all(int fd, char *out, size_t n)
{
        for (size_t done = 0; done < n;) {
                const ssize_t more = recv(fd, out + done, n - done, 0);

                if (more <= 0)
                        return false;
                done += (size_t)more;
        }
        return true;
}

/*
 * Each message once, by TCP. libkrb5 itself, whatever its udp_preference_limit, asks by UDP as well where no answer
 * comes by TCP for ten seconds: a wrong key would count for the reader's account once more.
 */
static krb5_error_code send_once(krb5_context context, void *arg, const krb5_data *realm, const krb5_data *message,
                                 krb5_data **new_message, krb5_data **ret_reply)
{
        struct kdc *kdc = arg;
        const struct timeval to_connect = {.tv_sec = CONNECT_S}, to_answer = {.tv_sec = ANSWER_S};
        _cleanup_(closep) int fd = socket(kdc->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint32_t length = htonl((uint32_t)message->length);
        struct iovec parts[] = {{&length, sizeof(length)}, {message->data, message->length}};
        const struct msghdr both = {.msg_iov = parts, .msg_iovlen = 2};
        krb5_data reply = {.magic = KV5M_DATA};

        (void)realm;
        *new_message = NULL;
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &to_connect, sizeof(to_connect)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &to_answer, sizeof(to_answer)) < 0 ||
            connect(fd, (const struct sockaddr *)&kdc->address.storage, kdc->address.len) < 0) {
                krb5_set_error_message(context, KRB5_KDC_UNREACH, "no connection to its KDC: %s", strerror(errno));
                return KRB5_KDC_UNREACH;
        }
        kdc->asked = true;
        if (sendmsg(fd, &both, MSG_NOSIGNAL) == (ssize_t)(sizeof(length) + message->length) &&
            read_all(fd, (char *)&length, sizeof(length)) && (length = ntohl(length)) <= REPLY_MAX)
                reply = (krb5_data){.magic = KV5M_DATA, .length = length, .data = malloc(length + 1)};
        krb5_error_code code = reply.data && read_all(fd, reply.data, reply.length)
                                       ? krb5_copy_data(context, &reply, ret_reply)
                                       : KRB5_KDC_UNREACH;
        if (code == KRB5_KDC_UNREACH)
                krb5_set_error_message(context, code, "its KDC took the request and did not answer");
        free(reply.data);
        return code;
}

/* NAME of NAME@SUFFIX or NETBIOS\NAME, in the domain's realm. */
static int principal_of(krb5_context context, const struct domain_config *d, krb5_principal *ret)
{
        const char *name = d->reader, *slash = strchr(name, '\\'), *at = strrchr(name, '@');
        char text[600];

        name = slash ? slash + 1 : name;
        (void)snprintf(text, sizeof(text), "%.*s@%s", at && !slash ? (int)(at - name) : (int)strlen(name), name,
                       d->realm);
        return krb5_parse_name(context, text, ret);
}

int ticket_get(const struct reader *reader, const struct dc_place *place, struct error *err)
{
        krb5_context context = NULL;
        krb5_principal who = NULL;
        krb5_keytab keytab = NULL;
        krb5_ccache cache = NULL;
        krb5_creds creds = {.magic = 0};
        struct kdc kdc = {.address = place->address};
        int r = make_profile(reader, place, err);

        if (r < 0)
                return r;
        address_set_port(&kdc.address.storage, reader->domain->kdc_port ? reader->domain->kdc_port : 88);
        krb5_error_code code = krb5_init_context(&context);
        if (code == 0)
                krb5_set_kdc_send_hook(context, send_once, &kdc);
        if (code == 0)
                code = principal_of(context, reader->domain, &who);
        if (code == 0)
                code = krb5_kt_resolve(context, reader->keytab, &keytab);
        if (code == 0)
                code = krb5_get_init_creds_keytab(context, &creds, who, keytab, 0, NULL, NULL);
        if (code == 0)
                code = krb5_cc_resolve(context, CACHE, &cache);
        if (code == 0)
                code = krb5_cc_initialize(context, cache, who);
        if (code == 0)
                code = krb5_cc_store_cred(context, cache, &creds);
        if (code != 0) {
                const char *why = context ? krb5_get_error_message(context, code) : "no context";
                r = error_fail(err,
                               code == KRB5KDC_ERR_PREAUTH_FAILED || code == KRB5KDC_ERR_CLIENT_REVOKED ? -EKEYREJECTED
                               : code == KRB5_KDC_UNREACH && kdc.asked                                  ? -EINPROGRESS
                                                                                                        : -EACCES,
                               "%s gives the reader %s no ticket by reader_keytab: %s", place->host,
                               reader->domain->reader, why);
                if (context)
                        krb5_free_error_message(context, why);
        }
        if (context) { /* the cache stays in memory, for GSSAPI */
                krb5_free_cred_contents(context, &creds);
                krb5_free_principal(context, who);
                if (keytab)
                        (void)krb5_kt_close(context, keytab);
                if (cache)
                        (void)krb5_cc_close(context, cache);
        }
        return r;
}
