/*
 * e-data of a KRB-ERROR, and the verdict drawn from it. The first two bytes choose code,
 * preauthentication and kind of directory.
 *
 * Properties: only failures' NTSTATUS are read; nothing is ever accepted; nothing is proved without
 * preauthentication.
 */
#include <stdlib.h>

#include "validate/types/edata.h"
#include "validate/types/outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct outcome out = {0};
        uint32_t status = 0;
        struct krb_refusal refusal;
        bool preauth;

        if (n < 2)
                return 0;
        preauth = data[1] & 1;
        if (edata_ntstatus(data + 2, n - 2, &status))
                require(status >> 30 == 3);
        else
                require(status == 0);
        refusal = (struct krb_refusal){.code = data[0],
                                       .e_data = data + 2,
                                       .n = n - 2,
                                       .preauth = preauth,
                                       .ad = data[1] & 2,
                                       .armored = data[1] & 4};
        outcome_from_krb(&out, &refusal);
        require(reason_info(out.reason)->verdict != VERDICT_ACCEPTED);
        require(!out.password_proved ||
                (preauth && refusal.armored && reason_info(out.reason)->class == VERDICT_CLASS_POLICY));
        require(preauth || out.counted == COUNTED_NO);
        return 0;
}
