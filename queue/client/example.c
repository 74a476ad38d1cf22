/*
 * Signs a user in with libpostern: sign-in FOLDER USER, the password on standard input. FOLDER is one of
 * `postern service init`, or of postern-sandbox. Exit status: 0 signed in, 1 not, 2 misuse.
 *
 *      cc -o sign-in sign-in.c $(pkg-config --cflags --libs postern)
 */
#include <postern.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
        struct postern_request request = {POSTERN_REQUEST, .client_app = "example"};
        struct postern *p = postern_new();
        struct postern_answer *a = NULL;
        char password[1026];
        int status = 2;

        if (argc != 3 || !p || !fgets(password, sizeof password, stdin))
                return 2;
        password[strcspn(password, "\n")] = '\0';
        request.user = argv[2];
        request.password = password;
        if (postern_set(p, "folder", argv[1]) < 0 || postern_sign_in(p, &request, &a) < 0)
                fprintf(stderr, "%s\n", postern_error(p));
        else if ((status = !postern_accepted(a)) == 0)
                printf("%s of %s is signed in\n", postern_get(a, "user.id"), postern_get(a, "user.domain"));
        else
                printf("%s (%s, %s)\n", postern_get(a, "text"), postern_get(a, "reason"), postern_get(a, "id"));
        postern_answer_free(a);
        postern_free(p);
        return status;
}
