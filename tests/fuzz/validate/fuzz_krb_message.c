/*
 * What a KDC, or somebody in its place, may send: the length prefix, replies and the padata in them.
 *
 * Properties: a frame is complete exactly when its announced bytes are there; results point into the input; a
 * malformed message gives no result; a request that holds a proof is never taken for one without.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "validate/krb/der.h"
#include "validate/krb/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check_list(const struct krb_padata_list *list, const uint8_t *data, size_t n)
{
        require(list->n <= KRB_PADATA_MAX);
        for (size_t i = 0; i < list->n; i++) {
                const struct krb_padata *p = &list->items[i];

                require(p->bytes >= data && p->n <= n && p->bytes <= data + n - p->n);
                require(krb_padata_find(list, p->type) != NULL);
        }
}

/* The bytes as the whole of what arrived, and as the body of a right frame. */
static void check_frames(const uint8_t *data, size_t n)
{
        struct buffer in = BUFFER(2 * KRB_REPLY_MAX);
        const uint8_t *reply = NULL;
        size_t reply_n = 0;
        uint8_t prefix[4] = {0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        int r;

        if (n > KRB_REPLY_MAX || n == 0)
                return;
        require(buffer_append(&in, data, n) == 0);
        r = krb_frame_parse(&in, &reply, &reply_n);
        require(r == 0 || r == 1 || r == -EBADMSG);
        require(r != 0 || (reply == (const uint8_t *)in.data + 4 && reply_n > 0 && reply_n <= n - 4));
        buffer_clear(&in);
        require(buffer_append(&in, prefix, 4) == 0 && buffer_append(&in, data, n - 1) == 0);
        require(krb_frame_parse(&in, &reply, &reply_n) == 1);
        require(buffer_append(&in, data + n - 1, 1) == 0);
        require(krb_frame_parse(&in, &reply, &reply_n) == 0 && reply_n == n && memcmp(reply, data, n) == 0);
        buffer_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct krb_padata_list list;
        bool preauth;

        check_frames(data, n);
        if (krb_as_rep_padata(&list, data, n) == 0) {
                require(krb_message_kind(data, n) == KRB_MESSAGE_AS_REP);
                check_list(&list, data, n);
        }
        if (krb_message_kind(data, n) == KRB_MESSAGE_ERROR)
                require(krb_as_rep_padata(&list, data, n) < 0 && krb_as_req_padata(&list, data, n) < 0);
        if (krb_as_req_has_preauth(&preauth, data, n) == 0) {
                require(krb_message_kind(data, n) == KRB_MESSAGE_BAD);
                require(krb_as_req_padata(&list, data, n) == 0);
                check_list(&list, data, n);
                require(preauth || !krb_padata_find(&list, KRB_PA_ENC_TIMESTAMP));
        }
        return 0;
}
