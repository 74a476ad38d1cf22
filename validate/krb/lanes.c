/*
 * Which kernels the CPU has, and what goes into and comes out of a lane: HMAC's pads and the first iteration, by
 * nettle.
 */
#include "validate/krb/lanes.h"

#include <nettle/hmac.h>
#include <nettle/sha1.h>
#include <string.h>

#include "base/core/bytes.h"
#include "validate/krb/lanes-run.h"

#define SETS_MAX 3

const struct krb_lane_set *krb_lane_sets(size_t *ret_n)
{
        static const struct krb_lane_set all[SETS_MAX] = {
                {"4 lanes", 4, krb_lanes_run_4},
#ifdef __x86_64__
                {"AVX2, 8 lanes", 8, krb_lanes_run_8},
                {"AVX-512, 16 lanes", 16, krb_lanes_run_16},
#endif
        };
        size_t n = 1;

#ifdef __x86_64__
        if (__builtin_cpu_supports("avx2"))
                n = __builtin_cpu_supports("avx512f") ? 3 : 2;
#endif
        *ret_n = n;
        return all;
}

void krb_lane_load(struct krb_lanes *lanes, unsigned lane, const struct secret *password, const uint8_t *salt,
                   size_t salt_len, uint32_t block)
{
        const void *text = secret_text(password);
        struct hmac_sha1_ctx hmac;
        uint8_t number[4], first[SHA1_DIGEST_SIZE];

        hmac_sha1_set_key(&hmac, secret_len(password), text);
        bytes_put_be32(number, block);
        for (int i = 0; i < 5; i++) {
                lanes->inner[i][lane] = hmac.inner.state[i];
                lanes->outer[i][lane] = hmac.outer.state[i];
        }
        hmac_sha1_update(&hmac, salt_len, salt);
        hmac_sha1_update(&hmac, sizeof number, number);
        hmac_sha1_digest(&hmac, sizeof first, first);
        for (int i = 0; i < 5; i++)
                lanes->u[i][lane] = lanes->t[i][lane] = bytes_be32(first + 4 * i);
        wipe(&hmac, sizeof hmac);
        wipe(first, sizeof first);
}

/* Not inlined, so that it covers the same stretch as what was called before. */
__attribute__((noinline)) void krb_lanes_wipe_stack(void)
{
        uint8_t below[8192];

        wipe(below, sizeof below);
}

void krb_lane_read(const struct krb_lanes *lanes, unsigned lane, uint8_t out[KRB_LANE_BLOCK])
{
        for (int i = 0; i < 5; i++)
                bytes_put_be32(out + 4 * i, lanes->t[i][lane]);
}

void krb_lane_clear(struct krb_lanes *lanes, unsigned lane)
{
        for (int i = 0; i < 5; i++)
                lanes->inner[i][lane] = lanes->outer[i][lane] = lanes->u[i][lane] = lanes->t[i][lane] = 0;
}
