/*
 * A program with threads that links libpostern: threads sign in side by side, each with a struct postern of its own,
 * while one waits for somebody who is never answered. Says what came otherwise than it must.
 *
 * usage: threads FOLDER
 */
#include <postern.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

/* It waits for its whole budget, and the others for none of it. */
static int silent_is_over;

static void *wait_in_vain(void *arg)
{
        struct postern_request request = {POSTERN_REQUEST, .user = "silent@sandbox.invalid", .password = "sandbox"};
        struct postern_answer *a = NULL;
        struct postern *p = postern_new();

        (void)arg;
        if (postern_set(p, "folder", folder) < 0 || postern_set(p, "budget_ms", "15000") < 0 ||
            postern_sign_in(p, &request, &a) < 0)
                complain(request.user, postern_error(p));
        else if (strcmp(postern_get(a, "verdict"), "unavailable") != 0)
                complain(request.user, postern_get(a, "reason"));
        postern_answer_free(a);
        postern_free(p);
        pthread_mutex_lock(&lock);
        silent_is_over = 1;
        pthread_mutex_unlock(&lock);
        return NULL;
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
        pthread_t threads[THREADS], silent;

        if (argc != 2)
                return 2;
        folder = argv[1];
        misuse();
        (void)pthread_create(&silent, NULL, wait_in_vain, NULL);
        for (int i = 0; i < THREADS; i++) {
                (void)snprintf(users[i], sizeof users[i], "ok+%d@sandbox.invalid", i);
                (void)pthread_create(&threads[i], NULL, sign_in, users[i]);
        }
        for (int i = 0; i < THREADS; i++)
                (void)pthread_join(threads[i], NULL);
        pthread_mutex_lock(&lock);
        wrong += silent_is_over;
        pthread_mutex_unlock(&lock);
        if (silent_is_over)
                printf("the others waited for the one that waits\n");
        (void)pthread_join(silent, NULL);
        struct sigaction pipe;
        if (sigaction(SIGPIPE, NULL, &pipe) < 0 || pipe.sa_handler != SIG_DFL)
                complain("SIGPIPE", "the library changed what it does");
        printf("%d wrong\n", wrong);
        return wrong != 0;
}
