/*
 * A program with threads that links libpostern: eight threads sign in side by side, each with a struct postern of its
 * own, half of them as somebody who is slow. Says how long the whole took in ms, and what came otherwise than it must.
 *
 * usage: threads FOLDER
 */
#include <postern.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define THREADS 8

static const char *folder;
static int wrong;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void complain(const char *user, const char *what)
{
        pthread_mutex_lock(&lock);
        printf("%s: %s\n", user, what);
        wrong++;
        pthread_mutex_unlock(&lock);
}

static void *sign_in(void *arg)
{
        const char *user = arg;
        struct postern_request request = {POSTERN_REQUEST, .user = user, .password = "sandbox"};
        struct postern *p = postern_new();

        if (postern_set(p, "folder", folder) < 0)
                complain(user, postern_error(p));
        for (int i = 0; i < 2; i++) {
                struct postern_answer *a = NULL;

                if (postern_sign_in(p, &request, &a) < 0)
                        complain(user, postern_error(p));
                else if (!postern_accepted(a))
                        complain(user, postern_get(a, "reason"));
                else if (strcmp(postern_get(a, "user.upn"), user) != 0)
                        complain(user, postern_get(a, "user.upn"));
                postern_answer_free(a);
        }
        postern_free(p);
        return NULL;
}

/* Options that are wrong are told by name, and nothing is sent. */
static void misuse(void)
{
        struct postern_request request = {POSTERN_REQUEST, .user = "a@b", .password = "x"};
        struct postern *p = postern_new();
        struct postern_answer *a = NULL;

        if (postern_set(p, "relai", "https://x") == 0 || !strstr(postern_error(p), "relay"))
                complain("misuse", postern_error(p));
        if (postern_set(p, "sandbox", "maybe") == 0 || postern_set(p, "folder", "/nonexistent") == 0)
                complain("misuse", "a wrong value was taken");
        if (postern_sign_in(p, &request, &a) == 0 || !strstr(postern_error(p), "relay is not set"))
                complain("misuse", postern_error(p));
        request.size = 7;
        if (postern_set(p, "folder", folder) < 0 || postern_sign_in(p, &request, &a) == 0)
                complain("misuse", "a request of another size was taken");
        postern_free(p);
        postern_free(NULL);
        postern_answer_free(NULL);
}

int main(int argc, char **argv)
{
        char users[THREADS][64];
        pthread_t threads[THREADS];
        struct timespec from, to;

        if (argc != 2)
                return 2;
        folder = argv[1];
        misuse();
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < THREADS; i++) {
                (void)snprintf(users[i], sizeof users[i], "%s+%d@sandbox.invalid", i % 2 ? "slow" : "ok", i);
                (void)pthread_create(&threads[i], NULL, sign_in, users[i]);
        }
        for (int i = 0; i < THREADS; i++)
                (void)pthread_join(threads[i], NULL);
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        struct sigaction pipe;
        if (sigaction(SIGPIPE, NULL, &pipe) < 0 || pipe.sa_handler != SIG_DFL)
                complain("SIGPIPE", "the library changed what it does");
        printf("%ld ms, %d wrong\n", (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, wrong);
        return wrong != 0;
}
