/*
 * One AS-REQ made by libkrb5 and sent by hand, so that what comes back is the KDC's word and not the product's reading
 * of it. It sends no password and keeps nothing.
 */
#include "tests/validate/unasked.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <krb5.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lab/lab.h"
#include "validate/types/edata.h"

#define KDC_ERR_PREAUTH_REQUIRED 25
#define TAG_KRB_ERROR 0x7e

/* The AS-REQ that names the account and proves nothing; the caller frees it. */
static krb5_data make_request(krb5_context context, const char *sam)
{
        const char *realm = lab_get("AD_REALM");
        krb5_principal client = NULL;
        krb5_init_creds_context icc = NULL;
        krb5_data none = {0}, request = {0}, to = {0};
        unsigned flags = 0;

        assert_int_equal(krb5_build_principal(context, &client, (unsigned)strlen(realm), realm, sam, (char *)NULL), 0);
        assert_int_equal(krb5_init_creds_init(context, client, NULL, NULL, 0, NULL, &icc), 0);
        assert_int_equal(krb5_init_creds_step(context, icc, &none, &request, &to, &flags), 0);
        assert_true(flags & KRB5_INIT_CREDS_STEP_FLAG_CONTINUE);
        krb5_free_data_contents(context, &to);
        krb5_init_creds_free(context, icc);
        krb5_free_principal(context, client);
        return request;
}

static void read_all(int fd, void *bytes, size_t n)
{
        assert_int_equal(recv(fd, bytes, n, MSG_WAITALL), (ssize_t)n);
}

/* The KDC's answer, over TCP; its length. */
static size_t exchange(uint8_t *answer, size_t cap, const krb5_data *request)
{
        struct sockaddr_in kdc = {.sin_family = AF_INET, .sin_port = htons(lab_port("AD_KDC_PORT"))};
        const struct timeval limit = {.tv_sec = 30};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint32_t n = htonl(request->length);

        assert_true(fd >= 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
        assert_int_equal(inet_pton(AF_INET, lab_get("AD_ADDRESS"), &kdc.sin_addr), 1);
        assert_int_equal(connect(fd, (struct sockaddr *)&kdc, sizeof kdc), 0);
        assert_int_equal(send(fd, &n, sizeof n, MSG_NOSIGNAL), (ssize_t)sizeof n);
        assert_int_equal(send(fd, request->data, request->length, MSG_NOSIGNAL), (ssize_t)request->length);
        read_all(fd, &n, sizeof n);
        n = ntohl(n);
        assert_true(n <= cap);
        read_all(fd, answer, n);
        close(fd);
        return n;
}

bool unasked_tells(const char *sam, uint32_t *ret_ntstatus)
{
        krb5_context context = NULL;
        krb5_error *error = NULL;
        krb5_data request, reply = {0};
        char answer[8192];
        bool tells;

        assert_int_equal(krb5_init_context(&context), 0);
        request = make_request(context, sam);
        reply.length = (unsigned)exchange((uint8_t *)answer, sizeof answer, &request);
        reply.data = answer;
        *ret_ntstatus = 0;
        if ((uint8_t)answer[0] !=
            TAG_KRB_ERROR) { /* a ticket: the account needs no preauthentication, and has no state to tell */
                krb5_free_data_contents(context, &request);
                krb5_free_context(context);
                return false;
        }
        assert_int_equal(krb5_rd_error(context, &reply, &error), 0);
        tells = error->error != KDC_ERR_PREAUTH_REQUIRED;
        if (tells)
                (void)edata_ntstatus((const uint8_t *)error->e_data.data, error->e_data.length, ret_ntstatus);
        krb5_free_error(context, error);
        krb5_free_data_contents(context, &request);
        krb5_free_context(context);
        return tells;
}
