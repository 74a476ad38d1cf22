/*
 * The kernel of krb-lanes: included once for each width, with LANES, LANES_RUN (the function's name) and
 * LANES_TARGET (an attribute, or nothing).
 *
 * An iteration of PBKDF2 is two SHA-1 compressions (FIPS 180-4 6.1.2) of messages of 20 bytes, whose padding is the
 * same for all: 64 bytes of pad went before. Nothing here depends on secrets but the arithmetic.
 */
#include "validate/krb/lanes.h"

#include <string.h>

typedef uint32_t vec __attribute__((vector_size(4 * LANES)));

#define ROTL(x, n) ((x) << (n) | (x) >> (32 - (n)))
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 20")
#endif
#define MESSAGE_BITS ((64 + 20) * 8)

/* One round: f is the function's value, k the constant. */
#define ROUND(f, k)                                                                                                    \
        do {                                                                                                           \
                vec x = ROTL(a, 5) + (f) + e + (k) + w[i & 15];                                                        \
                e = d;                                                                                                 \
                d = c;                                                                                                 \
                c = ROTL(b, 30);                                                                                       \
                b = a;                                                                                                 \
                a = x;                                                                                                 \
        } while (0)
#define EXPAND()                                                                                                       \
        do {                                                                                                           \
                vec x = w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15];                              \
                w[i & 15] = ROTL(x, 1);                                                                                \
        } while (0)

/* out = compress(state, the five words of message and padding); out may be message. */
LANES_TARGET static inline __attribute__((always_inline)) void compress(vec out[5], const vec state[5],
                                                                        const vec message[5])
{
        vec a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], w[16];
        const vec zero = {0};

        for (int i = 0; i < 5; i++)
                w[i] = message[i];
        w[5] = zero + 0x80000000u;
        for (int i = 6; i < 15; i++)
                w[i] = zero;
        w[15] = zero + (uint32_t)MESSAGE_BITS;
        UNROLLED
        for (int i = 0; i < 16; i++)
                ROUND((b & c) | (~b & d), 0x5a827999u);
        UNROLLED
        for (int i = 16; i < 20; i++) {
                EXPAND();
                ROUND((b & c) | (~b & d), 0x5a827999u);
        }
        UNROLLED
        for (int i = 20; i < 40; i++) {
                EXPAND();
                ROUND(b ^ c ^ d, 0x6ed9eba1u);
        }
        UNROLLED
        for (int i = 40; i < 60; i++) {
                EXPAND();
                ROUND((b & c) | (d & (b | c)), 0x8f1bbcdcu);
        }
        UNROLLED
        for (int i = 60; i < 80; i++) {
                EXPAND();
                ROUND(b ^ c ^ d, 0xca62c1d6u);
        }
        out[0] = a + state[0];
        out[1] = b + state[1];
        out[2] = c + state[2];
        out[3] = d + state[3];
        out[4] = e + state[4];
}

LANES_TARGET void LANES_RUN(struct krb_lanes *lanes, uint32_t iterations)
{
        vec inner[5], outer[5], u[5], t[5];

        for (int i = 0; i < 5; i++) {
                memcpy(&inner[i], lanes->inner[i], sizeof(vec));
                memcpy(&outer[i], lanes->outer[i], sizeof(vec));
                memcpy(&u[i], lanes->u[i], sizeof(vec));
                memcpy(&t[i], lanes->t[i], sizeof(vec));
        }
        for (uint32_t n = 0; n < iterations; n++) {
                compress(u, inner, u);
                compress(u, outer, u);
                for (int i = 0; i < 5; i++)
                        t[i] ^= u[i];
        }
        for (int i = 0; i < 5; i++) {
                memcpy(lanes->u[i], &u[i], sizeof(vec));
                memcpy(lanes->t[i], &t[i], sizeof(vec));
        }
        wipe(inner, sizeof inner);
        wipe(outer, sizeof outer);
        wipe(u, sizeof u);
        wipe(t, sizeof t);
}
