/*
 * An answer of the kpasswd service: its frame, and the content as if it had been decrypted.
 *
 * Properties: the parts lie inside the answer; only the code for success ever reads as changed; a refusal is
 * of class policy or infrastructure, and nothing was counted.
 */
#include <stdlib.h>

#include "validate/krb/kpasswd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static struct secret *password;
        struct kpasswd_reply reply;
        struct outcome out = {0};
        struct error err;

        if (!password && (secret_arena_init(2, &err) < 0 || secret_new(&password, "Abc-123", 7) < 0))
                abort();
        if (kpasswd_parse(&reply, data, n) == 0) {
                require(reply.priv_n > 0 && reply.priv + reply.priv_n == data + n);
                require(!reply.ap_rep || reply.ap_rep + reply.ap_rep_n == reply.priv);
        }
        kpasswd_outcome(&out, data, n, password);
        require((out.reason == REASON_PASSWORD_CHANGED) == (n >= 2 && data[0] == 0 && data[1] == 0));
        require(reason_info(out.reason)->class != VERDICT_CLASS_CREDENTIALS);
        require(out.counted == COUNTED_NO && out.password_proved);
        return 0;
}
