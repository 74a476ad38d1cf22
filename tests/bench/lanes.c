/*
 * What a Kerberos key costs (AES-256 with SHA-1, 4096 iterations): libk5crypto's, nettle's, and by each set of lanes
 * that this CPU has, filled. CPU time, the least of several runs.
 */
#include <krb5.h>
#include <nettle/pbkdf2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "validate/krb/lanes.h"

#define ITERATIONS 4096
#define RUNS 15
#define TEXT "a password"
#define SALT "CORP.EXAMPLEalice"

static double cpu_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct krb_lanes lanes;
static krb5_context context;

static void by_krb5(const void *arg)
{
        krb5_data text = {.length = sizeof TEXT - 1}, salt = {.length = sizeof SALT - 1};
        const char *t = TEXT, *s = SALT;
        krb5_keyblock key = {0};

        (void)arg;
        memcpy(&text.data, &t, sizeof t);
        memcpy(&salt.data, &s, sizeof s);
        krb5_c_string_to_key(context, ENCTYPE_AES256_CTS_HMAC_SHA1_96, &text, &salt, &key);
        krb5_free_keyblock_contents(context, &key);
}

static void by_nettle(const void *arg)
{
        uint8_t key[32];

        (void)arg;
        pbkdf2_hmac_sha1(sizeof TEXT - 1, (const uint8_t *)TEXT, ITERATIONS, sizeof SALT - 1, (const uint8_t *)SALT,
                         sizeof key, key);
}

static void by_lanes(const void *arg)
{
        const struct krb_lane_set *set = arg;

        set->run(&lanes, ITERATIONS);
}

static double least(void (*fn)(const void *arg), const void *arg)
{
        double best = 0;

        for (int i = 0; i < RUNS; i++) {
                double us = cpu_us();

                fn(arg);
                us = cpu_us() - us;
                best = best == 0 || us < best ? us : best;
        }
        return best;
}

int main(void)
{
        size_t n;
        const struct krb_lane_set *sets = krb_lane_sets(&n);

        if (krb5_init_context(&context) != 0)
                return 1;
        printf("libk5crypto        %6.0f us per key\n", least(by_krb5, NULL));
        printf("nettle             %6.0f us per key\n", least(by_nettle, NULL));
        for (size_t i = 0; i < n; i++) {
                double us = least(by_lanes, &sets[i]);

                printf("%-18s %6.0f us per key, %.0f us for the first alone\n", sets[i].name,
                       us / (sets[i].lanes / 2.0), us);
        }
        krb5_free_context(context);
        return 0;
}
