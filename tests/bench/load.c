/*
 * Many sign-ins at once through a real relay, as a sign-in service with an own event loop makes them: the
 * pure steps of queue/client over libcurl's multi interface, on kept-alive connections.
 *
 * With -m the program says in the summary, too, what the sealing alone takes: how many us of CPU of this process one
 * request, one check of its verdict and, as a measure of the machine, one P-256 verification are; with -r one at a
 * time, with a rest of so many us behind each.
 *
 * Reads "user<TAB>password" lines from standard input and takes them in turn. Prints one line per sign-in
 * (when asked: id, user, verdict or what else came, ms from the request's start to the answer's end, reason)
 * and a summary as JSON. Judges nothing: the caller compares.
 */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/secret.h"
#include "base/core/text.h"
#include "connector/person/service-store.h"
#include "queue/client/client.h"

#define USERS_MAX 1024
#define PARALLEL_MAX 1024

struct user {
        char name[257];
        struct secret *password;
};

struct flight {
        CURL *curl;
        struct sign_in sign_in;
        struct buffer answer;
        struct curl_slist *headers;
        char error[CURL_ERROR_SIZE];
        double begun;
        bool busy;
        size_t user;
};

static struct {
        const char *dir, *connector;
        uint64_t count, parallel, budget, measured, rest;
        int lines;
        bool sandbox;
        double seal_us, check_us, verify_us;
        char url[2048], bearer[600];
        struct service_store service;
        struct client *client;
        const struct directory *directory;
        struct user users[USERS_MAX];
        size_t n_users;
        struct flight flights[PARALLEL_MAX];
        double *took;
        uint64_t started, ended, verdicts, accepted, refused, unavailable, problems, silent;
        CURLM *multi;
} g = {.count = 100, .parallel = 16, .budget = BUDGET_DEFAULT};

static double now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what, const char *why)
{
        fprintf(stderr, "load: %s: %s\n", what, why);
        exit(2);
}

static void read_users(void)
{
        char line[2048];

        while (g.n_users < USERS_MAX && fgets(line, sizeof(line), stdin)) {
                struct user *u = &g.users[g.n_users];
                char *tab = strchr(line, '\t'), *end = strchr(line, '\n');

                if (end)
                        *end = '\0';
                if (!tab || (size_t)(tab - line) >= sizeof(u->name) ||
                    secret_new(&u->password, tab + 1, strlen(tab + 1)) < 0)
                        die("standard input", "lines are user<TAB>password");
                memcpy(u->name, line, (size_t)(tab - line));
                g.n_users++;
        }
        wipe(line, sizeof(line));
        if (g.n_users == 0)
                die("standard input", "no users");
}

static void open_service(void)
{
        _cleanup_(buffer_free) struct buffer secret = BUFFER(512);
        struct error err = {""};
        struct client_config config;

        if (service_store_open(&g.service, g.dir, &err) < 0 || file_read(&secret, g.service.secret_file, &err) < 0)
                die(g.dir, err.text);
        secret.data[strcspn(secret.data, "\r\n")] = '\0';
        config = (struct client_config){.relay = g.service.relay,
                                        .tenant = g.service.tenant,
                                        .pin = g.service.pin,
                                        .bearer = secret.data,
                                        .ca_file = g.service.ca_file,
                                        .service_id = g.service.id,
                                        .service_key = g.service.key,
                                        .budget_ms = (uint32_t)g.budget,
                                        .sandbox = g.sandbox};
        if (client_new(&g.client, &config, &err) < 0 || client_directory(g.client, &g.directory, &err) < 0)
                die("keys", err.text);
        snprintf(g.url, sizeof(g.url), "%s/v1/tenants/%s/sign-ins", g.service.relay, g.service.tenant);
        snprintf(g.bearer, sizeof(g.bearer), "Authorization: Bearer %s", secret.data);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
        struct flight *f = arg;

        return buffer_append(&f->answer, bytes, size * n) < 0 ? 0 : size * n;
}

static void seal(struct flight *f)
{
        const struct user *u = &g.users[f->user];
        struct sign_in_params p = {
                .service_id = g.service.id,
                .service_key = g.service.key,
                .username = u->name,
                .username_len = strlen(u->name),
                .password = u->password,
                .only_connector = g.connector,
                .now = (int64_t)time(NULL),
        };
        struct error err = {""};

        if (sign_in_make(&f->sign_in, g.directory, &p, &err) < 0)
                die("sealing", err.text);
}

static void launch(struct flight *f)
{
        char header[128];

        f->user = g.started++ % g.n_users;
        f->begun = now_ms();
        seal(f);
        buffer_clear(&f->answer);
        curl_slist_free_all(f->headers);
        f->headers = curl_slist_append(NULL, g.bearer);
        f->headers = curl_slist_append(f->headers, "Content-Type: application/postern-request");
        snprintf(header, sizeof(header), "Postern-Id: %s", f->sign_in.id);
        f->headers = curl_slist_append(f->headers, header);
        snprintf(header, sizeof(header), "Postern-Budget: %u", (unsigned)g.budget);
        f->headers = curl_slist_append(f->headers, header);
        curl_easy_setopt(f->curl, CURLOPT_URL, g.url);
        curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers);
        curl_easy_setopt(f->curl, CURLOPT_POSTFIELDS, f->sign_in.body.data);
        curl_easy_setopt(f->curl, CURLOPT_POSTFIELDSIZE, (long)f->sign_in.body.len);
        curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f);
        curl_easy_setopt(f->curl, CURLOPT_PRIVATE, f);
        f->error[0] = '\0';
        curl_easy_setopt(f->curl, CURLOPT_ERRORBUFFER, f->error);
        curl_easy_setopt(f->curl, CURLOPT_CAINFO, g.service.ca_file);
        curl_easy_setopt(f->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        /* the budget counts from when the relay has it; on a busy machine connecting takes its time before that */
        curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, (long)g.budget + 60000);
        curl_easy_setopt(f->curl, CURLOPT_NOPROXY, "*");
        f->busy = true;
        curl_multi_add_handle(g.multi, f->curl);
}

/* ---- what the sealing alone takes ---- */

static double cpu_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Others run meanwhile: what follows finds neither its code nor its data in the processor's caches, as in a process
 * that is asked now and then. */
static void rest(void)
{
        if (g.rest)
                nanosleep(&(struct timespec){.tv_nsec = (long)g.rest * 1000}, NULL);
}

static void measure_verify(void)
{
        static const char text[] = "what a signature stands under";
        EVP_PKEY *key = EVP_EC_gen("P-256");
        uint8_t signature[128];
        size_t n = sizeof(signature);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!key || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
            EVP_DigestSign(ctx, signature, &n, (const uint8_t *)text, sizeof(text)) != 1)
                die("a signature", "cannot be made");
        const double begun = cpu_us();
        for (uint64_t i = 0; i < g.measured; i++) {
                EVP_MD_CTX_reset(ctx);
                if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
                    EVP_DigestVerify(ctx, signature, n, (const uint8_t *)text, sizeof(text)) != 1)
                        die("a signature", "does not verify");
        }
        g.verify_us = (cpu_us() - begun) / (double)g.measured;
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
}

/* On the first one that was answered. */
static void measure_sealing(const struct flight *answered)
{
        static struct verdict_claims v;
        struct flight f = {.user = answered->user};
        struct error err = {""};
        double begun = cpu_us();

        for (uint64_t i = 0; i < g.measured; rest(), i++)
                if (sign_in_check(&answered->sign_in, answered->answer.data, answered->answer.len, (int64_t)time(NULL),
                                  &v, &err) < 0)
                        die("the verdict", err.text);
        g.check_us = (cpu_us() - begun) / (double)g.measured;
        begun = cpu_us();
        for (uint64_t i = 0; i < g.measured; rest(), i++) {
                seal(&f);
                sign_in_clear(&f.sign_in);
        }
        g.seal_us = (cpu_us() - begun) / (double)g.measured;
        measure_verify();
}

/* The word for what came back: the verdict, the problem's type, or what curl says. */
static const char *judge(struct flight *f, CURLcode result, long status, const char **ret_reason)
{
        static struct verdict_claims v;
        struct error err = {""};
        static char why[ERROR_TEXT_MAX];

        *ret_reason = why;
        if (result != CURLE_OK) {
                g.silent++;
                snprintf(why, sizeof(why), "%s", f->error[0] ? f->error : curl_easy_strerror(result));
                return "silent";
        }
        if (status != 200) {
                g.problems++;
                snprintf(why, sizeof(why), "%ld %.*s", status, (int)(f->answer.len < 300 ? f->answer.len : 300),
                         f->answer.data ? f->answer.data : "");
                return "problem";
        }
        if (sign_in_check(&f->sign_in, f->answer.data, f->answer.len, (int64_t)time(NULL), &v, &err) < 0) {
                g.silent++;
                snprintf(why, sizeof(why), "%s", err.text);
                return "invalid";
        }
        g.verdicts++;
        *ret_reason = v.reason;
        g.accepted += !strcmp(v.verdict, "accepted");
        g.refused += !strcmp(v.verdict, "refused");
        g.unavailable += !strcmp(v.verdict, "unavailable");
        return v.verdict;
}

static void land(struct flight *f, CURLcode result)
{
        const char *reason, *word;
        long status = 0;
        double took = now_ms() - f->begun;
        curl_off_t total = 0, sent = 0; /* µs; between them the relay had the request */

        curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(f->curl, CURLINFO_TOTAL_TIME_T, &total);
        curl_easy_getinfo(f->curl, CURLINFO_PRETRANSFER_TIME_T, &sent);
        curl_multi_remove_handle(g.multi, f->curl);
        word = judge(f, result, status, &reason);
        if (g.lines) {
                printf("%s\t%s\t%s\t%.1f\t%s\n", f->sign_in.id, g.users[f->user].name, word,
                       (double)(total - sent) / 1000, reason);
                fflush(stdout);
        }
        g.took[g.ended++] = took;
        if (g.measured && g.seal_us == 0 && strcmp(word, "accepted") == 0)
                measure_sealing(f);
        sign_in_clear(&f->sign_in);
        f->busy = false;
        if (g.started < g.count)
                launch(f);
}

static int by_value(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void summary(double wall)
{
        qsort(g.took, g.ended, sizeof(*g.took), by_value);
        printf("{\"count\":%llu,\"parallel\":%llu,\"wall_ms\":%.1f,\"per_second\":%.1f,\"accepted\":%llu,"
               "\"refused\":%llu,"
               "\"unavailable\":%llu,\"problems\":%llu,\"silent\":%llu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_"
               "ms\":%.2f,\"seal_us\":%.1f,\"check_us\":%.1f,\"verify_us\":%.1f}\n",
               (unsigned long long)g.ended, (unsigned long long)g.parallel, wall, (double)g.ended * 1000 / wall,
               (unsigned long long)g.accepted, (unsigned long long)g.refused, (unsigned long long)g.unavailable,
               (unsigned long long)g.problems, (unsigned long long)g.silent, g.took[g.ended / 2],
               g.took[g.ended * 99 / 100], g.took[g.ended - 1], g.seal_us, g.check_us, g.verify_us);
}

static void run(void)
{
        double begun = now_ms();

        g.multi = curl_multi_init();
        curl_multi_setopt(g.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)g.parallel);
        for (uint64_t i = 0; i < g.parallel && i < g.count; i++) {
                g.flights[i].curl = curl_easy_init();
                g.flights[i].answer = BUFFER(65536);
                launch(&g.flights[i]);
        }
        while (g.ended < g.count) {
                int running, left;
                CURLMsg *m;

                curl_multi_perform(g.multi, &running);
                while ((m = curl_multi_info_read(g.multi, &left))) {
                        struct flight *f;
                        CURLcode result = m->data.result;

                        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
                        land(f, result);
                }
                if (g.ended < g.count)
                        curl_multi_poll(g.multi, NULL, 0, 1000, NULL);
        }
        summary(now_ms() - begun);
}

static void release(void)
{
        for (size_t i = 0; i < g.parallel; i++) {
                curl_easy_cleanup(g.flights[i].curl);
                curl_slist_free_all(g.flights[i].headers);
                buffer_free(&g.flights[i].answer);
        }
        curl_multi_cleanup(g.multi);
        client_free(g.client);
        service_store_clear(&g.service);
        for (size_t i = 0; i < g.n_users; i++)
                secret_free(g.users[i].password);
        free(g.took);
}

int main(int argc, char **argv)
{
        struct error err = {""};
        int c;

        while ((c = getopt(argc, argv, "s:n:p:b:c:m:r:lx")) != -1) {
                if (c == 's')
                        g.dir = optarg;
                else if (c == 'c')
                        g.connector = optarg;
                else if (c == 'l')
                        g.lines = 1;
                else if (c == 'x')
                        g.sandbox = true;
                else if ((c == 'n' && text_parse_u64(optarg, 1, 10000000, &g.count) == 0) ||
                         (c == 'p' && text_parse_u64(optarg, 1, PARALLEL_MAX, &g.parallel) == 0) ||
                         (c == 'm' && text_parse_u64(optarg, 1, 100000, &g.measured) == 0) ||
                         (c == 'r' && text_parse_u64(optarg, 0, 100000, &g.rest) == 0) ||
                         (c == 'b' && text_parse_u64(optarg, BUDGET_MIN, BUDGET_MAX, &g.budget) == 0))
                        continue;
                else
                        die("usage", "load -s SERVICE-DIR [-n COUNT] [-p PARALLEL] [-b BUDGET-MS] [-c "
                                     "CONNECTOR] [-m TIMES [-r US]] [-l] [-x] <users");
        }
        if (!g.dir)
                die("usage", "-s SERVICE-DIR is missing");
        if (secure_heap_init(1u << 22, &err) < 0 || secret_arena_init(USERS_MAX, &err) < 0)
                die("secrets", err.text);
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g.took = calloc(g.count, sizeof(*g.took));
        if (!g.took)
                die("memory", "none");
        read_users();
        open_service();
        run();
        release();
        curl_global_cleanup();
        return 0;
}
